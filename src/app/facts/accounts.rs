//! Facts about accounts.

use super::{Applied, Audit, Context, Effect, Kind, Subject, sentence};
use crate::app::actor::Actor;
use crate::app::layout::{
    FEED, MISSING_OWED, account_key, delivery_key, event_key, events_index, index_changes,
};
use crate::app::work::Work;
use crate::domain::account::{Account, Apart, Origin, Reservation, SignupOutcome};
use crate::domain::fact::{Credit, Decision, Delivery, Event, Review, ReviewAction, Signup, Void};
use crate::domain::id::AccountId;
use crate::domain::outcome::FactOutcome;
use crate::domain::person::Permission;
use crate::domain::statement::AccountEvent;
use crate::metrics::FactKind;
use crate::store::{Partition, Result};
use serde_json::{Value, json};
use std::sync::Arc;

impl Kind for Signup {
    const METRIC: Option<FactKind> = Some(FactKind::Signup);
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        Subject::Account(&self.account_id)
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.reports()
    }
    fn documents(&self) -> Vec<String> {
        let delivery = self.delivery.as_ref().map(|delivery| delivery_key(&self.account_id, delivery));
        [account_key(&self.account_id)].into_iter().chain(delivery).collect()
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        on_account(work, context, &self.account_id, |work, account, _| {
            let seen = seen(work, &self.account_id, self.delivery.as_ref())?;
            let (origin, claimed_at) = (context.origin, context.now);
            Ok(match account.report_signup(self, seen.as_ref(), origin, claimed_at) {
                SignupOutcome::Claimed => {
                    Effect::Reserved(Box::new(Reservation { origin, claimed_at, signup: self.clone() }))
                }
                SignupOutcome::Pending => Effect::Pending,
                SignupOutcome::Replayed => Effect::of(false),
                SignupOutcome::Conflict => Effect::conflict("signup".to_owned()),
            })
        })
    }
}

/// The delivery with the same id that brought an event which is kept apart, if there is one.
fn seen(work: &Work, account: &AccountId, delivery: Option<&Delivery>) -> Result<Option<Delivery>> {
    delivery.map_or(Ok(None), |delivery| work.get(&delivery_key(account, delivery)))
}

impl Kind for Event {
    const METRIC: Option<FactKind> = Some(FactKind::Event);
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        Subject::Account(&self.account_id)
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.reports()
    }
    /// Each event is looked up on its own, so that the work for one does not grow with their number.
    fn documents(&self) -> Vec<String> {
        let id = &self.account_id;
        let delivery = self.delivery.as_ref().map(|delivery| delivery_key(id, delivery));
        [account_key(id), event_key(id, &self.event.event_id)].into_iter().chain(delivery).collect()
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        on_account(work, context, &self.account_id, |work, account, feed| {
            let (outcome, apart_changed) = report_event(work, account, &self.event, self.delivery.as_ref())?;
            if outcome == FactOutcome::Conflict {
                return Ok(Effect::conflict(format!("event:{}", self.event.event_id)));
            }
            if outcome == FactOutcome::New && account.credited_to.is_some() {
                feed.push(json!({"kind": "event", "event": self.event}));
            } else if apart_changed && account.credited_to.is_some() {
                feed.push(json!({"kind": "changed"}));
            }
            Ok(Effect::done(outcome))
        })
    }
}

/// Adds an event, and keeps apart what does not fit into the account's document; also returns whether an event
/// that was kept apart has changed.
fn report_event(
    work: &mut Work,
    account: &mut Account,
    event: &AccountEvent,
    delivery: Option<&Delivery>,
) -> Result<(FactOutcome, bool)> {
    let id = account.id.clone();
    let seen = seen(work, &id, delivery)?;
    let mut apart = Apart { event: work.get(&event_key(&id, &event.event_id))?, delivery: seen };
    let known = apart.event.clone();
    let outcome = account.report_event(event, delivery, &mut apart);
    if outcome == FactOutcome::Conflict {
        return Ok((outcome, false));
    }
    let changed = apart.event.filter(|event| known.as_ref() != Some(event));
    let apart_changed = changed.is_some();
    for kept in account.take_events_to_keep_apart().into_iter().chain(changed) {
        let event_id = &kept.event.event_id;
        work.index(events_index(&id), event_id.to_string(), true);
        work.put(&event_key(&id, event_id), &kept)?;
        if let Some(delivery) = &kept.delivery {
            work.put(&delivery_key(&id, delivery), delivery)?;
        }
    }
    Ok((outcome, apart_changed))
}

impl Kind for Decision {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        Subject::Account(&self.signup.account_id)
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![account_key(&self.signup.account_id)]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let signup = &self.signup;
        on_account(work, context, &signup.account_id, |_, account, feed| {
            let signed_up = Origin { at: self.received_at, position: self.signup_position, ..context.origin };
            let stands = account.decide(signup, signed_up, &self.attribution);
            if stands && account.credited_to.is_some() {
                feed.push(json!({"kind": "attributed", "at": signup.signed_up_at, "plan": signup.plan,
                    "active": signup.active, "held": account.is_held()}));
                feed.extend(account.events.iter().map(|kept| json!({"kind": "event", "event": kept.event})));
                // Hundreds of events before a signup belong in no feed entry: readers of the feed ask for the
                // account instead.
                feed.extend((account.events_apart > 0).then(|| json!({"kind": "changed"})));
            }
            let contradicts = account.contradicts(signup);
            Ok(if contradicts { Effect::done(FactOutcome::Conflict) } else { Effect::of(stands) })
        })
    }
}

impl Kind for Void {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        self.account_id.as_ref().map_or(Subject::Nothing, Subject::Account)
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        self.account_id.iter().map(account_key).collect()
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let Some(id) = &self.account_id else { return Ok(Effect::of(false)) };
        on_account(work, context, id, |_, account, _| {
            let origin = Origin { position: self.position, ..context.origin };
            account.note_conflict(origin, self.reason.clone());
            Ok(Effect::of(true))
        })
    }
}

impl Kind for Review {
    const METRIC: Option<FactKind> = Some(FactKind::Review);
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| {
        sentence(match entry["action"].as_str().unwrap_or_default() {
            "hold" => "Held a referral for review",
            "release" => "Released a referral",
            _ => "Rejected a referral",
        })
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Account(&self.account_id)
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::JudgeHolds)
    }
    fn documents(&self) -> Vec<String> {
        vec![account_key(&self.account_id)]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        on_account(work, context, &self.account_id, |_, account, feed| {
            let changed = account.review(self.action, &self.reason, context.by, context.origin)?;
            let kind = match self.action {
                ReviewAction::Hold => "held",
                ReviewAction::Release => "released",
                ReviewAction::Reject => "rejected",
            };
            feed.extend(changed.then(|| json!({"kind": kind})));
            Ok(Effect::of(changed))
        })
    }
}

impl Kind for Credit {
    const METRIC: Option<FactKind> = Some(FactKind::Review);
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| {
        sentence(match entry["affiliate_id"] {
            Value::Null => "Credited an account to nobody",
            _ => "Credited an account by hand",
        })
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Account(&self.account_id)
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::Credit)
    }
    fn documents(&self) -> Vec<String> {
        vec![account_key(&self.account_id)]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        if let (Some(claim), Partition::Directory) = (self.claim_id, context.partition) {
            // The account's partition has added it.
            work.index(MISSING_OWED.to_owned(), claim.to_string(), false);
        }
        on_account(work, context, &self.account_id, |_, account, feed| {
            let (to, ends, said) =
                (self.affiliate_id, self.ends_judgement, (self.reason.as_str(), context.by));
            let before = account.credited_to;
            let changed = match self.claim_id {
                Some(claim) => account.credit_claim(claim, to, ends, said, context.origin)?,
                None => account.credit(to, ends, said, context.origin)?,
            };
            feed.extend(changed.then(|| match self.claim_id {
                None => json!({"kind": "credited", "before": before}),
                Some(claim) => json!({"kind": "credited", "before": before, "claim_id": claim}),
            }));
            Ok(Effect::of(changed))
        })
    }
}

/// Changes an account, and adds the change to the feed for the affiliates concerned. In the directory it does
/// nothing: there, a fact about an account matters only for the audit log.
fn on_account(
    work: &mut Work,
    context: &Context<'_>,
    id: &AccountId,
    change: impl FnOnce(&mut Work, &mut Account, &mut Vec<Value>) -> Applied,
) -> Applied {
    if context.partition == Partition::Directory {
        return Ok(Effect::of(true));
    }
    let key = account_key(id);
    let before: Option<Account> = work.get(&key)?;
    let mut account = before.clone().unwrap_or_else(|| Account::new(id.clone()));
    let mut feed = Vec::new();
    let effect = change(work, &mut account, &mut feed)?;
    if before.as_ref() != Some(&account) && !matches!(effect, Effect::Void { .. }) {
        work.index_all(index_changes(before.as_ref(), &account));
        work.put(&key, &account)?;
    }
    add_to_feed(work, context, before.as_ref(), &account, feed);
    Ok(match effect {
        Effect::Done { outcome, .. } => {
            Effect::Done { outcome, account: Some(Arc::new(account.without_history())) }
        }
        other => other,
    })
}

/// Whatever changes the input of a statement, by any kind of fact, must name the affiliates concerned in the feed;
/// otherwise the nightly run would not compute them again.
fn add_to_feed(
    work: &mut Work,
    context: &Context<'_>,
    before: Option<&Account>,
    account: &Account,
    mut feed: Vec<Value>,
) {
    let former = before.and_then(|account| account.credited_to);
    let moved = former != account.credited_to;
    let changed = moved
        || before.and_then(Account::referral) != account.referral()
        || before.map_or(0, |account| account.events_apart) != account.events_apart;
    if changed && feed.is_empty() && former.or(account.credited_to).is_some() {
        feed.push(json!({"kind": "changed"}));
    }
    for mut entry in feed {
        if moved && former.is_some() {
            entry["before"] = json!(former);
        }
        entry["account_id"] = json!(account.id);
        entry["affiliate_id"] = json!(account.credited_to);
        entry["recorded_at"] = json!(context.at);
        work.append(FEED, &entry);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Located, apply, documents};
    use super::*;
    use crate::domain::fact::{Evidence, Fact, Record};
    use crate::domain::id::{AffiliateId, NodeId};
    use crate::domain::naive;
    use crate::domain::statement::{AccountEvent, Change};
    use crate::store::sqlite::SqliteStore;
    use crate::store::{Cursor, Partition, Store};
    use chrono::{DateTime, TimeDelta, Utc};

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }
    fn account() -> AccountId {
        "acct_1".parse().expect("an id")
    }

    /// A node's decision on the signup that it received at this minute.
    fn decision(received: i64, affiliate: Option<u64>) -> Fact {
        let signup = Signup {
            account_id: account(),
            plan: "growth".parse().expect("a plan"),
            signed_up_at: at(0),
            active: true,
            evidence: Evidence::default(),
            delivery: None,
            warnings: Vec::new(),
        };
        let attribution = naive::credited(affiliate, &[]);
        Decision { signup, received_at: at(received), signup_position: 1, attribution }.into()
    }
    fn event(change: Change) -> Fact {
        let event = AccountEvent { event_id: "e1".parse().expect("an id"), occurred_at: at(3), change };
        Event { account_id: account(), event, delivery: None }.into()
    }
    fn credit(affiliate: Option<u64>) -> Fact {
        let affiliate_id = affiliate.map(AffiliateId::from_bits);
        Credit {
            account_id: account(),
            affiliate_id,
            reason: "a call".to_owned(),
            claim_id: None,
            ends_judgement: true,
        }
        .into()
    }
    fn review(action: ReviewAction) -> Fact {
        Review { account_id: account(), action, reason: "a look".to_owned() }.into()
    }

    /// Nightly runs compute only affiliates that the feed names: a fact that changes the input of a statement must
    /// name both the affiliate that had the account and the one that has it.
    #[tokio::test]
    async fn whatever_changes_a_referral_names_whom_it_concerns() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(&dir.path().join("store")).expect("a store");
        let unknown = Change::Unknown { name: "merged".to_owned() };
        let histories: [&[Fact]; 6] = [
            // The same signup, received earlier by a node that was away: it wins.
            &[decision(9, Some(1)), decision(5, Some(2))],
            &[decision(9, Some(1)), decision(5, None)],
            &[decision(9, None), decision(5, Some(2))],
            &[decision(9, Some(1)), event(unknown)],
            &[decision(9, Some(1)), credit(Some(2)), credit(None), credit(Some(1))],
            &[
                event(Change::Canceled),
                decision(9, Some(1)),
                review(ReviewAction::Hold),
                review(ReviewAction::Release),
                review(ReviewAction::Reject),
            ],
        ];
        let mut count = 0;
        for history in histories {
            let mut former: Option<Account> = None;
            for (position, fact) in (1..).zip(history) {
                // The document as the earlier facts left it, and its own feed.
                let key = account_key(&account());
                let partition = Partition::Hashed(0);
                let mut work =
                    Work::load(&store as &dyn Store, partition, documents(fact)).await.expect("a store");
                if let Some(former) = &former {
                    work.put(&key, former).expect("plain data");
                }
                let record = Record { at: at(20), by: "tests".to_owned(), fact: fact.clone() };
                let located = Located { cursor: Cursor { epoch: 1, position }, record };
                let node = NodeId::from_bits(1);
                let effect = apply(&mut work, partition, node, &located, at(20)).expect("it reads");
                assert!(!matches!(effect, Effect::Void { .. }), "{fact:?}: {effect:?}");
                let after: Account = work.get(&key).expect("plain data").expect("it is there");
                let feed = work.into_commit().appends;
                let named_in_feed: Vec<serde_json::Value> =
                    feed.iter().map(|entry| serde_json::from_slice(&entry.body).expect("JSON")).collect();
                let (whose, is) =
                    (former.as_ref().and_then(|account| account.credited_to), after.credited_to);
                let changed = whose != is || former.as_ref().and_then(Account::referral) != after.referral();
                count += usize::from(changed);
                for affiliate in [whose, is].into_iter().flatten().filter(|_| changed) {
                    let is_named = named_in_feed.iter().any(|entry| {
                        entry["affiliate_id"] == json!(affiliate) || entry["before"] == json!(affiliate)
                    });
                    assert!(is_named, "{fact:?} does not name {affiliate}: {named_in_feed:?}");
                }
                former = Some(after);
            }
        }
        assert_eq!(count, 15, "of 17 facts");
    }
}
