//! What the facts of affiliates, links, months and runs do to the directory.

use super::people::{end_sessions, tell};
use super::{Effect, Located};
use crate::app::layout::{
    CHANGES, MISSING_OWED, RUN, RUNS, SET_ASIDE, affiliate_key, applied_again_key, email_key, link_count_key,
    set_aside_key,
};
use crate::app::outbox::{enqueue_in, mail_done, remember_lost};
use crate::app::people::APPLICANT;
use crate::app::set_aside::{Ended, SetAside, SetAsideId};
use crate::app::work::Work;
use crate::app::{MonthDoc, RunDoc};
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Link, Profile, Status, Step};
use crate::domain::fact::{AffiliateChange, Fact, Record, Within};
use crate::domain::id::{AffiliateId, LinkId};
use crate::domain::mail::{Letter, Message};
use crate::domain::outcome::FactOutcome;
use crate::domain::person::{Person, mask_email, same_email};
use crate::store::Result;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

pub(super) fn apply(work: &mut Work, located: &Located) -> Result<Effect> {
    let new = Effect::done(FactOutcome::New);
    match &located.record.fact {
        Fact::AffiliateCreated { affiliate, link } => {
            create_affiliate(work, affiliate, link, &located.record)
        }
        Fact::AffiliateStep { affiliate_id, step, reason } => {
            take_step(work, *affiliate_id, *step, reason.as_deref(), located.record.at)
        }
        Fact::AffiliateChanged { affiliate_id, change } => {
            change_affiliate(work, *affiliate_id, change, located.record.at)
        }
        Fact::LinkCreated { link, within } => {
            let Some(affiliate) = work.get::<Affiliate>(&affiliate_key(link.affiliate))? else {
                return Ok(Effect::refused(Refusal::UnknownAffiliate));
            };
            if affiliate.status() != Status::Active {
                return Ok(Effect::refused(Refusal::NotActive));
            }
            if !count_link(work, link, *within)? {
                return Ok(Effect::refused(Refusal::TooManyLinks));
            }
            put_link(work, link)?;
            Ok(new)
        }
        Fact::LinkDisabled { link_id, affiliate_id, reason } => {
            switch_off(work, (*link_id, *affiliate_id), reason.as_deref(), &located.record)
        }
        Fact::LinkEnabled { link_id, affiliate_id } => {
            switch_on(work, (*link_id, *affiliate_id), located.record.at)
        }
        Fact::MonthClosing { month, rules, as_of, .. } => {
            let key = format!("month:{month}");
            if let Some(known) = work.get::<MonthDoc>(&key)? {
                return Ok(if known.rules == *rules {
                    Effect::done(FactOutcome::Replayed)
                } else {
                    Effect::refused(Refusal::AlreadyClosed)
                });
            }
            let doc = MonthDoc {
                month: *month,
                rules: rules.clone(),
                as_of: *as_of,
                closing_at: located.record.at,
                closed: false,
                statements: 0,
            };
            put_month(work, &doc)?;
            Ok(new)
        }
        Fact::MonthClosed { month, statements, .. } => {
            let Some(mut doc) = work.get::<MonthDoc>(&format!("month:{month}"))? else {
                return Ok(Effect::refused(Refusal::AlreadyClosed));
            };
            doc.closed = true;
            doc.statements = *statements;
            put_month(work, &doc)?;
            Ok(new)
        }
        Fact::RunFinished { run, took_ms, .. } => {
            let doc = RunDoc {
                run: run.clone(),
                finished_at: located.record.at,
                by: Some(located.record.by.clone()),
                took_ms: *took_ms,
            };
            work.put(RUN, &doc)?;
            work.append(RUNS, &json!(doc));
            work.append(CHANGES, &json!({"kind": "run"}));
            Ok(new)
        }
        Fact::MailDone { mail_id, outcome, lost } => {
            let at = located.record.at;
            mail_done(work, mail_id, *outcome, at)?;
            if let Some(mail) = lost {
                remember_lost(work, mail, at)?;
            }
            Ok(new)
        }
        Fact::SetAside { node, position, cause, kind, account_id, record } => {
            let id = SetAsideId { node: *node, position: *position };
            let key = set_aside_key(id);
            if work.get::<SetAside>(&key)?.is_some() {
                return Ok(Effect::done(FactOutcome::Replayed));
            }
            work.index(SET_ASIDE.to_owned(), id.to_string(), true);
            work.put(
                &key,
                &SetAside {
                    node: *node,
                    position: *position,
                    at: located.record.at,
                    cause: cause.clone(),
                    kind: kind.clone(),
                    account_id: account_id.clone(),
                    record: record.clone(),
                    ended: None,
                },
            )?;
            Ok(new)
        }
        Fact::SetAsideEnded { node, position, retried, reason } => {
            let id = SetAsideId { node: *node, position: *position };
            let key = set_aside_key(id);
            let Some(mut aside) = work.get::<SetAside>(&key)?.filter(|aside| aside.ended.is_none()) else {
                return Ok(Effect::refused(Refusal::NotSetAside));
            };
            let (at, by) = (located.record.at, located.record.by.clone());
            // It may hold people's data, and nobody needs it any more.
            aside.record = None;
            aside.ended = Some(Ended { at, by, retried: *retried, reason: reason.clone() });
            work.index(SET_ASIDE.to_owned(), id.to_string(), false);
            work.put(&key, &aside)?;
            Ok(new)
        }
        // The account's partition has taken it in.
        Fact::Credit { claim_id: Some(claim), .. } => {
            work.index(MISSING_OWED.to_owned(), claim.to_string(), false);
            Ok(new)
        }
        // Of an account: here only for the audit log.
        fact if fact.account_id().is_some() => Ok(new),
        _ => super::people::apply(work, located),
    }
}

fn create_affiliate(work: &mut Work, affiliate: &Affiliate, link: &Link, record: &Record) -> Result<Effect> {
    let applied_itself = record.by == APPLICANT;
    if work.get::<Affiliate>(&affiliate_key(affiliate.id))?.is_some() {
        return Ok(Effect::done(FactOutcome::Replayed));
    }
    let (email, code) = (email_key(&affiliate.profile.email), code_key(affiliate.code.as_str()));
    if work.get::<AffiliateId>(&email)?.is_some() {
        if applied_itself {
            tell_who_is_known(work, &affiliate.profile, record.at)?;
        }
        return Ok(Effect::refused(Refusal::EmailTaken));
    }
    if work.get::<AffiliateId>(&code)?.is_some() {
        return Ok(Effect::refused(Refusal::CodeTaken));
    }
    work.put(&email, &affiliate.id)?;
    work.put(&code, &affiliate.id)?;
    put_affiliate(work, affiliate)?;
    put_link(work, link)?;
    if applied_itself {
        tell(work, affiliate, Message::ApplicationReceived)?;
    }
    Ok(Effect::done(FactOutcome::New))
}

/// Tells the owner of a known address that somebody applied with it, at most once a day. The letter greets nobody by
/// the name that was given: anybody may have given it.
fn tell_who_is_known(work: &mut Work, profile: &Profile, at: DateTime<Utc>) -> Result<()> {
    let key = applied_again_key(&profile.email);
    let told: Option<DateTime<Utc>> = work.get(&key)?;
    if told.is_some_and(|told| at - told < TimeDelta::days(1)) {
        return Ok(());
    }
    work.put(&key, &at)?;
    let (to, message) = (profile.email.trim().to_owned(), Message::ApplicationKnown);
    enqueue_in(work, Letter { to, name: String::new(), person: None, message })
}

fn take_step(
    work: &mut Work,
    id: AffiliateId,
    step: Step,
    reason: Option<&str>,
    at: DateTime<Utc>,
) -> Result<Effect> {
    let Some(mut affiliate) = work.get::<Affiliate>(&affiliate_key(id))? else {
        return Ok(Effect::refused(Refusal::UnknownAffiliate));
    };
    // One that never got in has nothing that could be closed.
    let may_sign_in = affiliate.may_sign_in();
    if affiliate.step(step, reason.map(str::to_owned), at).is_err() {
        return Ok(Effect::refused(Refusal::WrongStatus));
    }
    put_affiliate(work, &affiliate)?;
    let reason = reason.unwrap_or_default().to_owned();
    let message = match step {
        Step::Approve => Message::Approved,
        Step::Reject => Message::Rejected { reason },
        Step::Suspend => Message::Suspended { reason },
        Step::Reinstate => Message::Reinstated,
        Step::Close if may_sign_in => Message::Closed { reason },
        Step::Activate | Step::Sign | Step::Close => return Ok(Effect::done(FactOutcome::New)),
    };
    tell(work, &affiliate, message)?;
    Ok(Effect::done(FactOutcome::New))
}

/// Switches a link off. A default link is what its affiliate's home page, mail and print lead to: to stop it, the
/// affiliate is suspended.
fn switch_off(
    work: &mut Work,
    which: (LinkId, AffiliateId),
    reason: Option<&str>,
    record: &Record,
) -> Result<Effect> {
    let Some((affiliate, mut link)) = link_of(work, which)? else {
        return Ok(Effect::refused(Refusal::UnknownLink));
    };
    if link.id == affiliate.default_link && reason.is_some() && !link.switch.is_off() {
        return Ok(Effect::refused(Refusal::DefaultLink));
    }
    let changed = link.switch.off(record.at, &record.by, reason);
    put_link(work, &link)?;
    // Who switched it off itself knows it.
    if changed && !link.switch.is_off_by(affiliate.id) && affiliate.may_act() {
        let reason = link.switch.disabled_reason.unwrap_or_default();
        tell(
            work,
            &affiliate,
            Message::LinkDisabled { label: link.label, made_at: link.created_at, reason },
        )?;
    }
    Ok(Effect::done(if changed { FactOutcome::New } else { FactOutcome::Replayed }))
}

fn switch_on(work: &mut Work, which: (LinkId, AffiliateId), at: DateTime<Utc>) -> Result<Effect> {
    let Some((affiliate, mut link)) = link_of(work, which)? else {
        return Ok(Effect::refused(Refusal::UnknownLink));
    };
    let changed = link.switch.on(at);
    put_link(work, &link)?;
    if changed && affiliate.may_act() {
        tell(work, &affiliate, Message::LinkEnabled { label: link.label, made_at: link.created_at })?;
    }
    Ok(Effect::done(if changed { FactOutcome::New } else { FactOutcome::Replayed }))
}

/// A link with whose it is.
fn link_of(work: &mut Work, (link, affiliate): (LinkId, AffiliateId)) -> Result<Option<(Affiliate, Link)>> {
    let owner = work.get::<Affiliate>(&affiliate_key(affiliate))?;
    let link = work.get::<Link>(&format!("link:{link}"))?.filter(|link| link.affiliate == affiliate);
    Ok(owner.zip(link))
}

fn change_affiliate(
    work: &mut Work,
    id: AffiliateId,
    change: &AffiliateChange,
    at: DateTime<Utc>,
) -> Result<Effect> {
    let Some(mut affiliate) = work.get::<Affiliate>(&affiliate_key(id))? else {
        return Ok(Effect::refused(Refusal::UnknownAffiliate));
    };
    // A former e-mail or code stays the affiliate's own: old links on paper still lead to it.
    let claims = [
        (change.profile.as_ref().map(|profile| email_key(&profile.email)), Refusal::EmailTaken),
        (change.code.as_ref().map(|code| code_key(code.as_str())), Refusal::CodeTaken),
    ];
    for (key, refusal) in &claims {
        if let Some(key) = key
            && work.get::<AffiliateId>(key)?.is_some_and(|owner| owner != id)
        {
            return Ok(Effect::refused(*refusal));
        }
    }
    for key in claims.iter().filter_map(|(key, _)| key.as_ref()) {
        work.put(key, &id)?;
    }
    let before = affiliate.clone();
    if let Some(profile) = &change.profile {
        affiliate.take_profile(change.before.as_ref(), profile, at);
    }
    if let Some(code) = &change.code {
        affiliate.code = code.clone();
    }
    if let Some(exempt) = change.exempt_from_holds {
        affiliate.exempt_from_holds = exempt;
    }
    put_affiliate(work, &affiliate)?;
    if before.addresses.email_changes != affiliate.addresses.email_changes {
        // Whoever is signed in, or holds a link, was let in by the address that was.
        end_sessions(work, Person::Affiliate(id))?;
    }
    tell_of_addresses(work, &before, &affiliate, at)?;
    Ok(Effect::done(FactOutcome::New))
}

/// Tells an affiliate, at the address that it had, that mail or payouts go elsewhere: if it did not mean that, it
/// hears of it. Where payouts go is also told the addresses that were given up shortly before: whoever took the
/// account began with them.
fn tell_of_addresses(
    work: &mut Work,
    before: &Affiliate,
    after: &Affiliate,
    at: DateTime<Utc>,
) -> Result<()> {
    if !same_email(&before.profile.email, &after.profile.email) {
        let new_email_masked = mask_email(&after.profile.email);
        let held = before.holds_when_changed();
        tell(work, before, Message::EmailChanged { new_email_masked, held })?;
    }
    if let Some(held_until) = after.payouts_held_until()
        && before.addresses.paypal_changes != after.addresses.paypal_changes
        && before.holds_when_changed()
    {
        let masked = after.profile.paypal_email.as_deref().map(mask_email).unwrap_or_default();
        let first = before.profile.paypal_email.is_none();
        let message = Message::PaypalChanged { masked, first, held_until };
        let mut told = vec![before.profile.email.clone()];
        for email in before.addresses.former_at(at) {
            if !told.iter().any(|one| same_email(one, email)) {
                told.push(email.to_owned());
            }
        }
        for to in told {
            let (name, person) = (before.profile.name.clone(), Some(Person::Affiliate(before.id)));
            enqueue_in(work, Letter { to, name, person, message: message.clone() })?;
        }
    }
    Ok(())
}

pub(super) fn put_affiliate(work: &mut Work, affiliate: &Affiliate) -> Result<()> {
    work.index("affiliates".to_owned(), affiliate.id.to_string(), true);
    work.append(CHANGES, &json!({"kind": "affiliate", "id": affiliate.id}));
    work.put(&affiliate_key(affiliate.id), affiliate)
}

fn put_link(work: &mut Work, link: &Link) -> Result<()> {
    work.index("links".to_owned(), link.id.to_string(), true);
    work.append(CHANGES, &json!({"kind": "link", "id": link.id}));
    work.put(&link_key(link), link)
}

/// Counts a link that is made; false: there are as many as there may be. Nothing is counted before somebody asks.
fn count_link(work: &mut Work, link: &Link, within: Option<Within>) -> Result<bool> {
    let key = link_count_key(link.affiliate);
    let counted: Option<u32> = work.get(&key)?;
    let Some(count) = counted.or(within.map(|within| within.known)) else { return Ok(true) };
    if within.is_some_and(|within| count >= within.most) {
        return Ok(false);
    }
    work.put(&key, &(count + 1))?;
    Ok(true)
}

fn put_month(work: &mut Work, doc: &MonthDoc) -> Result<()> {
    work.index("months".to_owned(), doc.month.to_string(), true);
    work.append(CHANGES, &json!({"kind": "month", "id": doc.month}));
    work.put(&format!("month:{}", doc.month), doc)
}

pub(super) fn link_key(link: &Link) -> String {
    format!("link:{}", link.id)
}
pub(super) fn code_key(code: &str) -> String {
    format!("code:{code}")
}
