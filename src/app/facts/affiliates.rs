//! Facts about affiliates: applications, the steps of their life, changes of their data, notes of staff.

use super::puts::{code_key, end_sessions, link_key, put_affiliate, put_link, write_to};
use super::{Applied, Audit, Context, Effect, Kind, Subject, sentence};
use crate::app::actor::{APPLICANT, Actor};
use crate::app::layout::{affiliate_key, applied_again_key, credentials_key, email_key, notes_key};
use crate::app::outbox::enqueue_in;
use crate::app::people::NOTES;
use crate::app::work::Work;
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, MOST_FORMER, Profile, Status, Step};
use crate::domain::fact::{
    ActivationSent, AffiliateChanged, AffiliateCreated, AffiliateStep, NoteAdded, SignedOutEverywhere,
};
use crate::domain::id::AffiliateId;
use crate::domain::mail::{Letter, Message};
use crate::domain::password::Credentials;
use crate::domain::person::Permission;
use crate::domain::person::{Note, Person, mask_email, same_email};
use crate::metrics::FactKind;
use crate::store::Result;
use chrono::{DateTime, TimeDelta, Utc};

impl Kind for AffiliateCreated {
    const METRIC: Option<FactKind> = Some(FactKind::Affiliate);
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> = Audit::saying(|entry| {
        let steps = entry["affiliate"]["history"].as_array().map_or(0, Vec::len);
        sentence(if steps > 1 { "Brought an affiliate over" } else { "Applied" })
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        match actor {
            Actor::Key(_) => true,
            Actor::Applicant => self.affiliate.status() == Status::Applied,
            _ => false,
        }
    }
    fn documents(&self) -> Vec<String> {
        let (affiliate, email) = (&self.affiliate, &self.affiliate.profile.email);
        vec![
            affiliate_key(affiliate.id),
            link_key(self.link.id),
            email_key(email),
            applied_again_key(email),
            code_key(affiliate.code.as_str()),
        ]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let Self { affiliate, link } = self;
        let applied_itself = context.by == APPLICANT;
        if work.get::<Affiliate>(&affiliate_key(affiliate.id))?.is_some() {
            return Ok(Effect::of(false));
        }
        let (email, code) = (email_key(&affiliate.profile.email), code_key(affiliate.code.as_str()));
        if work.get::<AffiliateId>(&email)?.is_some() {
            if applied_itself {
                write_to_who_is_known(work, &affiliate.profile, context.at)?;
            }
            return Err(Refusal::EmailTaken.into());
        }
        if work.get::<AffiliateId>(&code)?.is_some() {
            return Err(Refusal::CodeTaken.into());
        }
        work.put(&email, &affiliate.id)?;
        work.put(&code, &affiliate.id)?;
        put_affiliate(work, affiliate)?;
        put_link(work, link)?;
        if applied_itself {
            write_to(work, affiliate, Message::ApplicationReceived)?;
        }
        Ok(Effect::of(true))
    }
}

/// Writes to the owner of a known address that somebody applied with it, at most once a day. The letter does not
/// use the name from the application, because a stranger may have entered it.
fn write_to_who_is_known(work: &mut Work, profile: &Profile, at: DateTime<Utc>) -> Result<()> {
    let key = applied_again_key(&profile.email);
    let last_mail: Option<DateTime<Utc>> = work.get(&key)?;
    if last_mail.is_some_and(|last| at - last < TimeDelta::days(1)) {
        return Ok(());
    }
    work.put(&key, &at)?;
    let (to, message) = (profile.email.trim().to_owned(), Message::ApplicationKnown);
    enqueue_in(work, Letter { to, name: String::new(), person: None, message })
}

impl Kind for AffiliateStep {
    const METRIC: Option<FactKind> = Some(FactKind::Affiliate);
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> = Audit::saying(|entry| {
        sentence(match entry["step"].as_str().unwrap_or_default() {
            "approve" => "Approved an application",
            "reject" => "Rejected an application",
            "activate" => "Activated the account",
            "sign" => "Signed the agreement",
            "suspend" => "Suspended an affiliate",
            "reinstate" => "Reinstated an affiliate",
            _ => "Closed an affiliate",
        })
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        match self.step {
            Step::Approve | Step::Reject => actor.may(Permission::ReviewApplications),
            Step::Suspend | Step::Reinstate => actor.may(Permission::ChangeAffiliates),
            Step::Close => actor.may(Permission::CloseAffiliates),
            // These come with a new password or a signed agreement.
            Step::Activate | Step::Sign => actor.is_server(),
        }
    }
    fn documents(&self) -> Vec<String> {
        vec![affiliate_key(self.affiliate_id)]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let key = affiliate_key(self.affiliate_id);
        let mut affiliate: Affiliate = work.need(&key, Refusal::UnknownAffiliate)?;
        // An affiliate that never became active has nothing to close.
        let may_sign_in = affiliate.may_sign_in();
        if affiliate.step(self.step, self.reason.clone(), context.at).is_err() {
            return Err(Refusal::WrongStatus.into());
        }
        put_affiliate(work, &affiliate)?;
        let reason = self.reason.clone().unwrap_or_default();
        let message = match self.step {
            Step::Approve => Message::Approved,
            Step::Reject => Message::Rejected { reason },
            Step::Suspend => Message::Suspended { reason },
            Step::Reinstate => Message::Reinstated,
            Step::Close if may_sign_in => Message::Closed { reason },
            Step::Activate | Step::Sign | Step::Close => return Ok(Effect::of(true)),
        };
        write_to(work, &affiliate, message)?;
        Ok(Effect::of(true))
    }
}

impl Kind for AffiliateChanged {
    const METRIC: Option<FactKind> = Some(FactKind::Affiliate);
    /// Two to the old address, and one to each address that was replaced shortly before.
    const MAILS: usize = 2 + MOST_FORMER;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Changed an affiliate's data"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        let (addresses, others) = self.change.touches();
        let may_change = |touched: bool, permission| !touched || actor.may(permission);
        // Only staff change its code and its exemption from holds.
        let is_own = actor.is(self.affiliate_id) && self.change.is_of_profile();
        is_own
            || may_change(addresses, Permission::ChangeAddresses)
                && may_change(others, Permission::ChangeAffiliates)
    }
    fn documents(&self) -> Vec<String> {
        let email = self.change.profile.as_ref().map(|profile| email_key(&profile.email));
        let code = self.change.code.as_ref().map(|code| code_key(code.as_str()));
        let id = self.affiliate_id;
        let own = [affiliate_key(id), credentials_key(Person::Affiliate(id))];
        own.into_iter().chain(email).chain(code).collect()
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let Self { affiliate_id: id, change } = self;
        let mut affiliate: Affiliate = work.need(&affiliate_key(*id), Refusal::UnknownAffiliate)?;
        // A former e-mail or code stays the affiliate's own: links in print still use it.
        let claims = [
            (change.profile.as_ref().map(|profile| email_key(&profile.email)), Refusal::EmailTaken),
            (change.code.as_ref().map(|code| code_key(code.as_str())), Refusal::CodeTaken),
        ];
        for (key, refusal) in &claims {
            if let Some(key) = key
                && work.get::<AffiliateId>(key)?.is_some_and(|owner| owner != *id)
            {
                return Err((*refusal).into());
            }
        }
        for key in claims.iter().filter_map(|(key, _)| key.as_ref()) {
            work.put(key, id)?;
        }
        let before = affiliate.clone();
        if let Some(profile) = &change.profile {
            affiliate.take_profile(change.before.as_ref(), profile, context.at);
        }
        if let Some(code) = &change.code {
            affiliate.code = code.clone();
        }
        if let Some(exempt) = change.exempt_from_holds {
            affiliate.exempt_from_holds = exempt;
        }
        put_affiliate(work, &affiliate)?;
        if before.addresses.email_changes != affiliate.addresses.email_changes {
            // Sessions and links of the old address end.
            end_sessions(work, Person::Affiliate(*id))?;
        }
        write_of_addresses(work, &before, &affiliate, context.at)?;
        Ok(Effect::of(true))
    }
}

/// Writes to the affiliate, at its old address, that mail or payouts go elsewhere, so that it learns of a change
/// that it did not make. A change of where payouts go is also sent to the addresses that were replaced shortly
/// before, because somebody who took over the account would have changed them first.
fn write_of_addresses(
    work: &mut Work,
    before: &Affiliate,
    after: &Affiliate,
    at: DateTime<Utc>,
) -> Result<()> {
    if !same_email(&before.profile.email, &after.profile.email) {
        let new_email_masked = mask_email(&after.profile.email);
        let held = before.holds_when_changed();
        write_to(work, before, Message::EmailChanged { new_email_masked, held })?;
    }
    if let Some(held_until) = after.payouts_held_until()
        && before.addresses.paypal_changes != after.addresses.paypal_changes
        && before.holds_when_changed()
    {
        let masked = after.profile.paypal_email.as_deref().map(mask_email).unwrap_or_default();
        let first = before.profile.paypal_email.is_none();
        let message = Message::PaypalChanged { masked, first, held_until };
        let mut recipients = vec![before.profile.email.clone()];
        for email in before.addresses.former_at(at) {
            if !recipients.iter().any(|one| same_email(one, email)) {
                recipients.push(email.to_owned());
            }
        }
        for to in recipients {
            let (name, person) = (before.profile.name.clone(), Some(Person::Affiliate(before.id)));
            enqueue_in(work, Letter { to, name, person, message: message.clone() })?;
        }
    }
    Ok(())
}

impl Kind for NoteAdded {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Wrote a note"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::WriteNotes)
    }
    fn documents(&self) -> Vec<String> {
        vec![affiliate_key(self.affiliate_id), notes_key(self.affiliate_id)]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        work.need::<Affiliate>(&affiliate_key(self.affiliate_id), Refusal::UnknownAffiliate)?;
        let key = notes_key(self.affiliate_id);
        let mut notes: Vec<Note> = work.get(&key)?.unwrap_or_default();
        notes.push(Note { at: context.at, by: context.by.to_owned(), text: self.text.clone() });
        // In a fixed order, no matter which node's journal is replayed first.
        notes.sort();
        notes.drain(..notes.len().saturating_sub(NOTES));
        work.put(&key, &notes)?;
        Ok(Effect::of(true))
    }
}

impl Kind for ActivationSent {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Sent a link that sets the password"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::ChangeAffiliates)
    }
    fn documents(&self) -> Vec<String> {
        let id = self.affiliate_id;
        vec![affiliate_key(id), credentials_key(Person::Affiliate(id))]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let id = self.affiliate_id;
        let affiliate: Affiliate = work.need(&affiliate_key(id), Refusal::UnknownAffiliate)?;
        let has_password = work.get::<Credentials>(&credentials_key(Person::Affiliate(id)))?.is_some();
        if !affiliate.may_sign_in() || (!has_password && !affiliate.may_act()) {
            return Err(Refusal::WrongStatus.into());
        }
        let message = if has_password { Message::PasswordReset } else { Message::Approved };
        write_to(work, &affiliate, message)?;
        Ok(Effect::of(true))
    }
}

impl Kind for SignedOutEverywhere {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Signed an affiliate out everywhere"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is(self.affiliate_id) || actor.may(Permission::ChangeAffiliates)
    }
    fn documents(&self) -> Vec<String> {
        let id = self.affiliate_id;
        vec![affiliate_key(id), credentials_key(Person::Affiliate(id))]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        work.need::<Affiliate>(&affiliate_key(self.affiliate_id), Refusal::UnknownAffiliate)?;
        end_sessions(work, Person::Affiliate(self.affiliate_id))?;
        Ok(Effect::of(true))
    }
}
