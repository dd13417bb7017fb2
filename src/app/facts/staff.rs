//! Facts about members of staff, and the passwords of all people.

use super::puts::{end_sessions, put_affiliate};
use super::{Applied, Audit, Context, Effect, Kind, NotApplied, Subject, sentence};
use crate::app::actor::Actor;
use crate::app::layout::{ADMINS, CHANGES, affiliate_key, credentials_key, staff_email_key, staff_key};
use crate::app::outbox::enqueue_in;
use crate::app::work::Work;
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Status, Step};
use crate::domain::fact::{PasswordSet, StaffChanged, StaffCreated, StaffInvited, StaffSignedOutEverywhere};
use crate::domain::id::StaffId;
use crate::domain::mail::{Letter, Message};
use crate::domain::password::Credentials;
use crate::domain::person::{Permission, Person, StaffMember};
use crate::metrics::FactKind;
use crate::store::Result;
use serde_json::json;
use std::collections::BTreeSet;

impl Kind for StaffCreated {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Made a member of staff"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::ManageStaff)
    }
    fn documents(&self) -> Vec<String> {
        vec![staff_key(self.member.id), staff_email_key(&self.member.email), ADMINS.to_owned()]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let (member, email) = (&self.member, staff_email_key(&self.member.email));
        if work.get::<StaffMember>(&staff_key(member.id))?.is_some() {
            return Ok(Effect::of(false));
        }
        if work.get::<StaffId>(&email)?.is_some() {
            return Err(Refusal::EmailTaken.into());
        }
        work.put(&email, &member.id)?;
        count_admin(work, member, None)?;
        put_staff(work, member)?;
        Ok(Effect::of(true))
    }
}

impl Kind for StaffChanged {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Changed a member of staff"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::ManageStaff)
    }
    fn documents(&self) -> Vec<String> {
        let id = self.staff_id;
        vec![staff_key(id), credentials_key(Person::Staff(id)), ADMINS.to_owned()]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let before: StaffMember = work.need(&staff_key(self.staff_id), Refusal::UnknownStaff)?;
        let mut member = before.clone();
        member.role = self.role.unwrap_or(member.role);
        match self.disabled {
            Some(true) if member.disabled_at.is_none() => {
                member.disabled_at = Some(context.at);
                member.disablings += 1;
            }
            Some(false) => member.disabled_at = None,
            _ => {}
        }
        if member == before {
            return Ok(Effect::of(false));
        }
        if !count_admin(work, &member, self.admins.as_ref())? {
            return Err(Refusal::LastAdmin.into());
        }
        put_staff(work, &member)?;
        if member.disablings != before.disablings {
            end_sessions(work, Person::Staff(self.staff_id))?;
        }
        Ok(Effect::of(true))
    }
}

/// Updates the list of members who may manage staff, once a fact requires that one remains; false: nobody would
/// remain. `asked`: the members that the sender of the fact knew.
fn count_admin(work: &mut Work, member: &StaffMember, asked: Option<&BTreeSet<StaffId>>) -> Result<bool> {
    let counted: Option<BTreeSet<StaffId>> = work.get(ADMINS)?;
    let Some(mut admins) = counted.or_else(|| asked.cloned()) else { return Ok(true) };
    if member.may(Permission::ManageStaff) {
        admins.insert(member.id);
    } else if admins.remove(&member.id) && admins.is_empty() && asked.is_some() {
        return Ok(false);
    }
    work.put(ADMINS, &admins)?;
    Ok(true)
}

fn put_staff(work: &mut Work, member: &StaffMember) -> Result<()> {
    work.index("staff".to_owned(), member.id.to_string(), true);
    work.append(CHANGES, &json!({"kind": "staff", "id": member.id}));
    work.put(&staff_key(member.id), member)
}

impl Kind for StaffInvited {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Made a link that sets a member's password"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::ManageStaff)
    }
    fn documents(&self) -> Vec<String> {
        vec![staff_key(self.staff_id), credentials_key(Person::Staff(self.staff_id))]
    }
    /// A member who has a password is informed that a link was made that sets another one.
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let member: StaffMember = work.need(&staff_key(self.staff_id), Refusal::UnknownStaff)?;
        if member.disabled_at.is_some() {
            return Err(Refusal::UnknownStaff.into());
        }
        let person = Person::Staff(self.staff_id);
        if work.get::<Credentials>(&credentials_key(person))?.is_some() {
            let (to, name, message) = (member.email, member.name, Message::StaffLinkMade);
            enqueue_in(work, Letter { to, name, person: Some(person), message })?;
        }
        Ok(Effect::of(true))
    }
}

impl Kind for StaffSignedOutEverywhere {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Signed out everywhere"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is(self.staff_id)
    }
    fn documents(&self) -> Vec<String> {
        vec![staff_key(self.staff_id), credentials_key(Person::Staff(self.staff_id))]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        work.need::<StaffMember>(&staff_key(self.staff_id), Refusal::UnknownStaff)?;
        end_sessions(work, Person::Staff(self.staff_id))?;
        Ok(Effect::of(true))
    }
}

impl Kind for PasswordSet {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> = Some(Audit { hides: &["hash"], says: |_| sentence("Set a password") });

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is(self.person)
    }
    fn documents(&self) -> Vec<String> {
        let owner = match self.person {
            Person::Affiliate(id) => affiliate_key(id),
            Person::Staff(id) => staff_key(id),
        };
        vec![credentials_key(self.person), owner]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let (to, name) = match self.person {
            Person::Affiliate(id) => {
                let mut affiliate: Affiliate = work.need(&affiliate_key(id), Refusal::UnknownAffiliate)?;
                if !affiliate.may_sign_in() {
                    return Err(Refusal::WrongStatus.into());
                }
                self.replace_credentials(work, context)?;
                if affiliate.status() == Status::Approved
                    && affiliate.step(Step::Activate, None, context.at).is_ok()
                {
                    put_affiliate(work, &affiliate)?;
                }
                (affiliate.profile.email, affiliate.profile.name)
            }
            Person::Staff(id) => {
                let member: StaffMember = work.need(&staff_key(id), Refusal::UnknownStaff)?;
                // A member who was disabled later, on another node whose facts came first, had still set a
                // password.
                if member.disabled_at.is_some_and(|disabled| disabled <= context.at) {
                    return Err(Refusal::UnknownStaff.into());
                }
                self.replace_credentials(work, context)?;
                (member.email, member.name)
            }
        };
        // A person who has just set a first password needs no mail about it.
        if self.replaces > 0 {
            let message = Message::PasswordChanged;
            enqueue_in(work, Letter { to, name, person: Some(self.person), message })?;
        }
        Ok(Effect::of(true))
    }
}

impl PasswordSet {
    /// Sets the password in place of the one that it replaces; refused if another one is set now.
    fn replace_credentials(
        &self,
        work: &mut Work,
        context: &Context<'_>,
    ) -> std::result::Result<(), NotApplied> {
        let key = credentials_key(self.person);
        let known: Option<Credentials> = work.get(&key)?;
        let after = Credentials::after(known.as_ref(), &self.hash, self.replaces, context.origin);
        work.put(&key, &after.ok_or(Refusal::PasswordReplaced)?)?;
        Ok(())
    }
}
