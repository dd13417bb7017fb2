//! What people do: passwords, signatures, claims, notes, staff.

use super::{Effect, Located};
use crate::app::layout::{
    ADMINS, CHANGES, MISSING, MISSING_OPEN, MISSING_OWED, affiliate_key, agreement_key, claim_key,
    credentials_key, missing_index, notes_key, staff_email_key, staff_key,
};
use crate::app::outbox::enqueue_in;
use crate::app::people::NOTES;
use crate::app::work::Work;
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Status, Step};
use crate::domain::fact::{Fact, Record};
use crate::domain::id::{AccountId, AffiliateId, ClaimId, StaffId};
use crate::domain::mail::{Letter, Message};
use crate::domain::outcome::FactOutcome;
use crate::domain::password::{Credentials, PasswordHash};
use crate::domain::person::{
    Action, Agreement, ClaimState, MissingReferral, Note, Person, Signature, StaffMember,
};
use crate::store::Result;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The documents that a fact of people reads and may change.
pub(super) fn keys_of(fact: &Fact) -> Vec<String> {
    match fact {
        Fact::PasswordSet { person, .. } => {
            let standing = match person {
                Person::Affiliate(id) => affiliate_key(*id),
                Person::Staff(id) => staff_key(*id),
            };
            vec![credentials_key(*person), standing]
        }
        Fact::AgreementPublished { agreement } => vec![agreement_key(&agreement.version)],
        Fact::AgreementSigned { affiliate_id, signature } => {
            vec![affiliate_key(*affiliate_id), agreement_key(&signature.version)]
        }
        Fact::StaffCreated { member } => {
            vec![staff_key(member.id), staff_email_key(&member.email), ADMINS.to_owned()]
        }
        Fact::StaffChanged { staff_id, .. } => {
            vec![staff_key(*staff_id), credentials_key(Person::Staff(*staff_id)), ADMINS.to_owned()]
        }
        Fact::StaffInvited { staff_id } | Fact::StaffSignedOutEverywhere { staff_id } => {
            vec![staff_key(*staff_id), credentials_key(Person::Staff(*staff_id))]
        }
        Fact::ActivationSent { affiliate_id } | Fact::SignedOutEverywhere { affiliate_id } => {
            vec![affiliate_key(*affiliate_id), credentials_key(Person::Affiliate(*affiliate_id))]
        }
        Fact::NoteAdded { affiliate_id, .. } => vec![affiliate_key(*affiliate_id), notes_key(*affiliate_id)],
        Fact::ClaimFiled { claim } => vec![affiliate_key(claim.affiliate_id), claim_key(claim.id)],
        Fact::ClaimDecided { claim_id, affiliate_id, .. } => {
            vec![affiliate_key(*affiliate_id), claim_key(*claim_id)]
        }
        _ => Vec::new(),
    }
}

/// Applies a fact of people.
pub(super) fn apply(work: &mut Work, located: &Located) -> Result<Effect> {
    let Record { at, by, fact } = &located.record;
    match fact {
        Fact::PasswordSet { person, hash, replaces } => set_password(work, *person, hash, *replaces, located),
        Fact::AgreementPublished { agreement } => publish(work, agreement),
        Fact::AgreementSigned { affiliate_id, signature } => sign(work, *affiliate_id, signature),
        Fact::StaffCreated { member } => create_staff(work, member),
        Fact::StaffChanged { staff_id, role, disabled, admins } => {
            let change = |member: &mut StaffMember| {
                member.role = role.unwrap_or(member.role);
                match disabled {
                    Some(true) if member.disabled_at.is_none() => {
                        member.disabled_at = Some(*at);
                        member.disablings += 1;
                    }
                    Some(false) => member.disabled_at = None,
                    _ => {}
                }
            };
            change_staff(work, *staff_id, admins.as_ref(), change)
        }
        Fact::StaffInvited { staff_id } => invite_staff(work, *staff_id),
        Fact::ActivationSent { affiliate_id } => send_activation(work, *affiliate_id),
        Fact::SignedOutEverywhere { affiliate_id } => {
            if work.get::<Affiliate>(&affiliate_key(*affiliate_id))?.is_none() {
                return Ok(Effect::refused(Refusal::UnknownAffiliate));
            }
            end_sessions(work, Person::Affiliate(*affiliate_id))?;
            Ok(Effect::done(FactOutcome::New))
        }
        Fact::StaffSignedOutEverywhere { staff_id } => {
            if work.get::<StaffMember>(&staff_key(*staff_id))?.is_none() {
                return Ok(Effect::refused(Refusal::UnknownStaff));
            }
            end_sessions(work, Person::Staff(*staff_id))?;
            Ok(Effect::done(FactOutcome::New))
        }
        Fact::NoteAdded { affiliate_id, text } => {
            let note = Note { at: *at, by: by.clone(), text: text.clone() };
            add_note(work, *affiliate_id, note)
        }
        Fact::ClaimFiled { claim } => file_claim(work, claim),
        Fact::ClaimDecided { claim_id, affiliate_id, granted, reason, account_id } => {
            let account_id = account_id.as_ref().filter(|_| *granted);
            let verdict = Verdict { granted: *granted, reason, account_id, by, at: *at };
            decide_claim(work, *claim_id, *affiliate_id, &verdict)
        }
        _ => Ok(Effect::done(FactOutcome::Ignored)),
    }
}

/// A record as the audit log shows it: neither passwords' hashes, nor long texts, nor the addresses that people signed
/// from.
pub(super) fn audited(record: &Record) -> Value {
    let mut shown = json!(record);
    match &record.fact {
        Fact::PasswordSet { .. } => {
            shown.as_object_mut().map(|fields| fields.remove("hash"));
        }
        Fact::AgreementPublished { .. } => {
            shown["agreement"].as_object_mut().map(|fields| fields.remove("text"));
        }
        Fact::AgreementSigned { .. } => {
            shown["signature"].as_object_mut().map(|fields| fields.remove("ip"));
        }
        _ => {}
    }
    shown
}

fn set_password(
    work: &mut Work,
    person: Person,
    hash: &PasswordHash,
    replaces: u32,
    located: &Located,
) -> Result<Effect> {
    let at = located.record.at;
    let to = match person {
        Person::Affiliate(id) => {
            let Some(mut affiliate) = work.get::<Affiliate>(&affiliate_key(id))? else {
                return Ok(Effect::refused(Refusal::UnknownAffiliate));
            };
            if !affiliate.may_sign_in() {
                return Ok(Effect::refused(Refusal::WrongStatus));
            }
            if !replace_credentials(work, person, hash, replaces, located)? {
                return Ok(Effect::refused(Refusal::PasswordReplaced));
            }
            if affiliate.status() == Status::Approved && affiliate.step(Step::Activate, None, at).is_ok() {
                super::directory::put_affiliate(work, &affiliate)?;
            }
            (affiliate.profile.email, affiliate.profile.name)
        }
        Person::Staff(id) => {
            let member: Option<StaffMember> = work.get(&staff_key(id))?;
            // Disabled later, on another node whose facts came first, it had set its password all the same.
            let may = |member: &StaffMember| member.disabled_at.is_none_or(|disabled| at < disabled);
            let Some(member) = member.filter(may) else {
                return Ok(Effect::refused(Refusal::UnknownStaff));
            };
            if !replace_credentials(work, person, hash, replaces, located)? {
                return Ok(Effect::refused(Refusal::PasswordReplaced));
            }
            (member.email, member.name)
        }
    };
    // Whoever has just set a first password knows it.
    if replaces > 0 {
        let (to, name) = to;
        enqueue_in(work, Letter { to, name, person: Some(person), message: Message::PasswordChanged })?;
    }
    Ok(Effect::done(FactOutcome::New))
}

/// Puts a password in the place of the one that it replaces; false: another one stands there.
fn replace_credentials(
    work: &mut Work,
    person: Person,
    hash: &PasswordHash,
    replaces: u32,
    located: &Located,
) -> Result<bool> {
    let key = credentials_key(person);
    let known: Option<Credentials> = work.get(&key)?;
    // Whoever applies a fact says first where it comes from.
    let Some(source) = work.source() else { return Ok(false) };
    let origin = located.origin(source.node);
    let Some(after) = Credentials::after(known.as_ref(), hash, replaces, origin) else { return Ok(false) };
    work.put(&key, &after)?;
    Ok(true)
}

/// Ends all sessions and open links of a person; the password stays. One that has none has no sessions.
pub(super) fn end_sessions(work: &mut Work, person: Person) -> Result<()> {
    let key = credentials_key(person);
    let Some(mut known) = work.get::<Credentials>(&key)? else { return Ok(()) };
    known.ended = known.ended.saturating_add(1);
    work.put(&key, &known)
}

/// A link that sets a member's password was made: whoever has one already hears of it.
fn invite_staff(work: &mut Work, id: StaffId) -> Result<Effect> {
    let member: Option<StaffMember> = work.get(&staff_key(id))?;
    let Some(member) = member.filter(|member| member.disabled_at.is_none()) else {
        return Ok(Effect::refused(Refusal::UnknownStaff));
    };
    let person = Person::Staff(id);
    if work.get::<Credentials>(&credentials_key(person))?.is_some() {
        let message = Message::StaffLinkMade;
        enqueue_in(work, Letter { to: member.email, name: member.name, person: Some(person), message })?;
    }
    Ok(Effect::done(FactOutcome::New))
}

/// Sends an affiliate that may sign in a link that sets its password.
fn send_activation(work: &mut Work, id: AffiliateId) -> Result<Effect> {
    let Some(affiliate) = work.get::<Affiliate>(&affiliate_key(id))? else {
        return Ok(Effect::refused(Refusal::UnknownAffiliate));
    };
    if !affiliate.may_sign_in() {
        return Ok(Effect::refused(Refusal::WrongStatus));
    }
    let known = work.get::<Credentials>(&credentials_key(Person::Affiliate(id)))?;
    if known.is_none() && !affiliate.may_act() {
        return Ok(Effect::refused(Refusal::WrongStatus));
    }
    let message = if known.is_none() { Message::Approved } else { Message::PasswordReset };
    tell(work, &affiliate, message)?;
    Ok(Effect::done(FactOutcome::New))
}

/// A version stands for one text for ever: the first.
fn publish(work: &mut Work, agreement: &Agreement) -> Result<Effect> {
    let key = agreement_key(&agreement.version);
    match work.get::<Agreement>(&key)? {
        Some(known) if known.sha256 == agreement.sha256 => Ok(Effect::done(FactOutcome::Replayed)),
        Some(_) => Ok(Effect::refused(Refusal::AgreementChanged)),
        None => {
            work.put(&key, agreement)?;
            Ok(Effect::done(FactOutcome::New))
        }
    }
}

fn sign(work: &mut Work, id: AffiliateId, signature: &Signature) -> Result<Effect> {
    let Some(mut affiliate) = work.get::<Affiliate>(&affiliate_key(id))? else {
        return Ok(Effect::refused(Refusal::UnknownAffiliate));
    };
    let stands: Option<Agreement> = work.get(&agreement_key(&signature.version))?;
    if stands.is_some_and(|stands| stands.sha256 != signature.sha256) {
        return Ok(Effect::refused(Refusal::AgreementChanged));
    }
    match affiliate.sign(signature.clone()) {
        Ok(true) => {}
        Ok(false) => return Ok(Effect::done(FactOutcome::Replayed)),
        Err(_) => return Ok(Effect::refused(Refusal::WrongStatus)),
    }
    super::directory::put_affiliate(work, &affiliate)?;
    let Signature { version, sha256, name, at, .. } = signature.clone();
    tell(work, &affiliate, Message::AgreementSigned { version, sha256, name, at })?;
    Ok(Effect::done(FactOutcome::New))
}

fn create_staff(work: &mut Work, member: &StaffMember) -> Result<Effect> {
    if work.get::<StaffMember>(&staff_key(member.id))?.is_some() {
        return Ok(Effect::done(FactOutcome::Replayed));
    }
    let email = staff_email_key(&member.email);
    if work.get::<StaffId>(&email)?.is_some() {
        return Ok(Effect::refused(Refusal::EmailTaken));
    }
    work.put(&email, &member.id)?;
    count_admin(work, member, None)?;
    put_staff(work, member)?;
    Ok(Effect::done(FactOutcome::New))
}

fn change_staff(
    work: &mut Work,
    id: StaffId,
    admins: Option<&BTreeSet<StaffId>>,
    change: impl FnOnce(&mut StaffMember),
) -> Result<Effect> {
    let Some(before) = work.get::<StaffMember>(&staff_key(id))? else {
        return Ok(Effect::refused(Refusal::UnknownStaff));
    };
    let mut member = before.clone();
    change(&mut member);
    if member == before {
        return Ok(Effect::done(FactOutcome::Replayed));
    }
    if !count_admin(work, &member, admins)? {
        return Ok(Effect::refused(Refusal::LastAdmin));
    }
    put_staff(work, &member)?;
    if member.disablings != before.disablings {
        end_sessions(work, Person::Staff(id))?;
    }
    Ok(Effect::done(FactOutcome::New))
}

/// Keeps who may manage staff, once somebody asked that one be left; false: nobody would be. `asked`: those who were
/// known to whoever asks that.
fn count_admin(work: &mut Work, member: &StaffMember, asked: Option<&BTreeSet<StaffId>>) -> Result<bool> {
    let counted: Option<BTreeSet<StaffId>> = work.get(ADMINS)?;
    let Some(mut admins) = counted.or_else(|| asked.cloned()) else { return Ok(true) };
    if member.may(Action::ManageStaff) {
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

fn add_note(work: &mut Work, affiliate: AffiliateId, note: Note) -> Result<Effect> {
    if work.get::<Affiliate>(&affiliate_key(affiliate))?.is_none() {
        return Ok(Effect::refused(Refusal::UnknownAffiliate));
    }
    let key = notes_key(affiliate);
    let mut notes: Vec<Note> = work.get(&key)?.unwrap_or_default();
    notes.push(note);
    // In one order, whichever node's journal is replayed first.
    notes.sort();
    notes.drain(..notes.len().saturating_sub(NOTES));
    work.put(&key, &notes)?;
    Ok(Effect::done(FactOutcome::New))
}

fn file_claim(work: &mut Work, claim: &MissingReferral) -> Result<Effect> {
    if work.get::<Affiliate>(&affiliate_key(claim.affiliate_id))?.is_none() {
        return Ok(Effect::refused(Refusal::UnknownAffiliate));
    }
    let key = claim_key(claim.id);
    if work.get::<MissingReferral>(&key)?.is_some() {
        return Ok(Effect::done(FactOutcome::Replayed));
    }
    for index in [MISSING.to_owned(), MISSING_OPEN.to_owned(), missing_index(claim.affiliate_id)] {
        work.index(index, claim.id.to_string(), true);
    }
    work.put(&key, claim)?;
    Ok(Effect::done(FactOutcome::New))
}

/// What staff decided.
struct Verdict<'a> {
    granted: bool,
    reason: &'a str,
    account_id: Option<&'a AccountId>,
    by: &'a str,
    at: DateTime<Utc>,
}

fn decide_claim(
    work: &mut Work,
    id: ClaimId,
    affiliate_id: AffiliateId,
    verdict: &Verdict<'_>,
) -> Result<Effect> {
    let key = claim_key(id);
    let claim: Option<MissingReferral> = work.get(&key)?;
    let Some(mut claim) = claim.filter(|claim| claim.affiliate_id == affiliate_id) else {
        return Ok(Effect::refused(Refusal::UnknownClaim));
    };
    if claim.state != ClaimState::Open {
        return Ok(Effect::refused(Refusal::AlreadyDecided));
    }
    claim.state = if verdict.granted { ClaimState::Granted } else { ClaimState::Declined };
    claim.reason = Some(verdict.reason.to_owned());
    claim.decided_by = Some(verdict.by.to_owned());
    claim.decided_at = Some(verdict.at);
    claim.account_id = verdict.account_id.cloned();
    // The account lives elsewhere: the credit is a fact of its own, and owed until it is there.
    work.index(MISSING_OWED.to_owned(), id.to_string(), claim.account_id.is_some());
    work.index(MISSING_OPEN.to_owned(), id.to_string(), false);
    work.put(&key, &claim)?;
    if let Some(affiliate) = work.get::<Affiliate>(&affiliate_key(affiliate_id))? {
        let reason = verdict.reason.to_owned();
        tell(work, &affiliate, Message::ClaimDecided { granted: verdict.granted, reason })?;
    }
    Ok(Effect::done(FactOutcome::New))
}

/// Writes to an affiliate.
pub(super) fn tell(work: &mut Work, affiliate: &Affiliate, message: Message) -> Result<()> {
    let profile = &affiliate.profile;
    let (to, name) = (profile.email.clone(), profile.name.clone());
    enqueue_in(work, Letter { to, name, person: Some(Person::Affiliate(affiliate.id)), message })
}
