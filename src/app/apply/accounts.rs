//! What the facts of an account do, and the closing of a statement.

use super::{Effect, Located};
use crate::app::StatementDoc;
use crate::app::layout::{
    FEED, account_key, delivery_key, event_key, events_index, index_changes, statement_key, statements_index,
};
use crate::app::work::Work;
use crate::domain::account::{Account, Apart, Claim, Origin, Refusal, SignupOutcome};
use crate::domain::fact::{Delivery, Fact, ReviewAction};
use crate::domain::id::{AccountId, NodeId};
use crate::domain::outcome::FactOutcome;
use crate::domain::statement::{AccountEvent, ClosingReferrals, Line, Statement};
use crate::store::{IndexChange, Result};
use chrono::{DateTime, Utc};
use serde_json::json;
use std::sync::Arc;

/// The documents that a fact of an account reads and may change. Events are looked for one by one, so that the work for
/// one does not grow with how many there are.
pub(super) fn keys_of(id: &AccountId, fact: &Fact) -> Vec<String> {
    let (event, delivery) = match fact {
        Fact::Event { event, delivery, .. } => (Some(event), delivery.as_ref()),
        Fact::Signup(signup) => (None, signup.delivery.as_ref()),
        _ => (None, None),
    };
    let event = event.map(|event| event_key(id, &event.event_id));
    let delivery = delivery.map(|delivery| delivery_key(id, delivery));
    [account_key(id)].into_iter().chain(event).chain(delivery).collect()
}

/// Takes in an event, and keeps apart what does not fit into the account's document.
fn report_event(
    work: &mut Work,
    account: &mut Account,
    event: &AccountEvent,
    delivery: Option<&Delivery>,
) -> Result<FactOutcome> {
    let id = account.id.clone();
    let seen = delivery.map(|delivery| work.get(&delivery_key(&id, delivery))).transpose()?.flatten();
    let mut apart = Apart { event: work.get(&event_key(&id, &event.event_id))?, delivery: seen };
    let known = apart.event.clone();
    let outcome = account.report_event(event, delivery, &mut apart);
    if outcome == FactOutcome::Conflict {
        return Ok(outcome);
    }
    let changed = apart.event.filter(|event| known.as_ref() != Some(event));
    for kept in account.take_events_to_keep_apart().into_iter().chain(changed) {
        let event_id = &kept.event.event_id;
        work.index(events_index(&id), event_id.to_string(), true);
        work.put(&event_key(&id, event_id), &kept)?;
        if let Some(delivery) = &kept.delivery {
            work.put(&delivery_key(&id, delivery), delivery)?;
        }
    }
    Ok(outcome)
}

pub(super) fn apply_to_account(
    work: &mut Work,
    id: &AccountId,
    node: NodeId,
    located: &Located,
    now: DateTime<Utc>,
) -> Result<Effect> {
    let key = account_key(id);
    let before: Option<Account> = work.get(&key)?;
    let mut account = before.clone().unwrap_or_else(|| Account::new(id.clone()));
    let former = before.as_ref().and_then(|account| account.credited_to);
    let origin = located.origin(node);
    let by = located.record.by.as_str();
    let mut feed = Vec::new();
    let effect = match &located.record.fact {
        Fact::Signup(signup) => {
            let delivery = signup.delivery.as_ref();
            let seen = delivery.map(|delivery| work.get(&delivery_key(id, delivery))).transpose()?.flatten();
            match account.report_signup(signup, seen.as_ref(), origin, now) {
                SignupOutcome::Claimed => {
                    Effect::Claimed(Box::new(Claim { origin, claimed_at: now, signup: signup.clone() }))
                }
                SignupOutcome::Pending => Effect::Pending,
                SignupOutcome::Replayed => Effect::done(FactOutcome::Replayed),
                SignupOutcome::Conflict => Effect::conflict("signup".to_owned()),
            }
        }
        Fact::Decision { signup, received_at, signup_position, attribution } => {
            let signed_up = Origin { at: *received_at, node, position: *signup_position };
            let stands = account.decide(signup, signed_up, attribution);
            if stands && account.credited_to.is_some() {
                feed.push(json!({"kind": "attributed", "at": signup.signed_up_at, "plan": signup.plan,
                    "active": signup.active, "held": account.is_held()}));
                feed.extend(account.events.iter().map(|kept| json!({"kind": "event", "event": kept.event})));
                // Hundreds of events before a signup are nobody's story: who reads the feed asks the account for them.
                feed.extend((account.events_apart > 0).then(|| json!({"kind": "changed"})));
            }
            Effect::done(if stands { FactOutcome::New } else { FactOutcome::Replayed })
        }
        Fact::Event { event, delivery, .. } => {
            match report_event(work, &mut account, event, delivery.as_ref())? {
                FactOutcome::Conflict => Effect::conflict(format!("event:{}", event.event_id)),
                outcome => {
                    if outcome == FactOutcome::New && account.credited_to.is_some() {
                        feed.push(json!({"kind": "event", "event": event}));
                    }
                    Effect::done(outcome)
                }
            }
        }
        Fact::Review { action, reason, .. } => match account.review(*action, reason, by, origin) {
            Ok(true) => {
                let kind = match action {
                    ReviewAction::Hold => "held",
                    ReviewAction::Release => "released",
                    ReviewAction::Reject => "rejected",
                };
                feed.push(json!({"kind": kind}));
                Effect::done(FactOutcome::New)
            }
            Ok(false) => Effect::done(FactOutcome::Replayed),
            Err(refusal) => Effect::refused(refusal),
        },
        Fact::Credit { affiliate_id, reason, claim_id, ends_judgement, .. } => {
            let said = (reason.as_str(), by);
            let credited = match claim_id {
                Some(claim) => account.credit_claim(*claim, *affiliate_id, *ends_judgement, said, origin),
                None => account.credit(*affiliate_id, *ends_judgement, said, origin),
            };
            match credited {
                Ok(true) => {
                    feed.push(json!({"kind": "credited", "before": former}));
                    Effect::done(FactOutcome::New)
                }
                Ok(false) => Effect::done(FactOutcome::Replayed),
                Err(refusal) => Effect::refused(refusal),
            }
        }
        Fact::Void { position, reason, .. } => {
            account.note_conflict(Origin { position: *position, ..origin }, reason.clone());
            Effect::done(FactOutcome::New)
        }
        _ => Effect::done(FactOutcome::Ignored),
    };
    if before.as_ref() != Some(&account) && !matches!(effect, Effect::Void { .. }) {
        work.index_all(index_changes(before.as_ref(), &account));
        work.put(&key, &account)?;
    }
    // Whatever changed what a statement is computed from, and by whatever kind of fact: those whom it concerns are
    // told, or a night would leave them as they were.
    let moved = former != account.credited_to;
    let referral = |account: &Account| account.referral();
    let apart = |account: &Account| account.events_apart;
    let changed = moved
        || before.as_ref().and_then(referral) != account.referral()
        || before.as_ref().map_or(0, apart) != account.events_apart;
    if changed && feed.is_empty() && former.or(account.credited_to).is_some() {
        feed.push(json!({"kind": "changed"}));
    }
    for mut entry in feed {
        if moved && former.is_some() {
            entry["before"] = json!(former);
        }
        entry["account_id"] = json!(id);
        entry["affiliate_id"] = json!(account.credited_to);
        entry["recorded_at"] = json!(located.record.at);
        work.append(FEED, &entry);
    }
    Ok(match effect {
        Effect::Done { outcome, .. } => {
            Effect::Done { outcome, account: Some(Arc::new(account.without_history())) }
        }
        other => other,
    })
}

pub(super) fn close_statement(
    work: &mut Work,
    statement: &Statement,
    read_at: DateTime<Utc>,
    referrals: Option<&ClosingReferrals>,
) -> Result<Effect> {
    let key = statement_key(statement.affiliate_id, statement.month);
    let before = work.get::<StatementDoc>(&key)?;
    if let Some(known) = before.as_ref().filter(|known| known.is_closed()) {
        return Ok(if known.statement.hash == statement.hash {
            Effect::done(FactOutcome::Replayed)
        } else {
            Effect::refused(Refusal::AlreadyClosed)
        });
    }
    let doc = StatementDoc {
        closed_at: Some(read_at),
        withdrawn: false,
        statement: statement.clone(),
        referrals: referrals.cloned(),
    };
    work.put(&key, &doc)?;
    work.index_all(statement_indexes(statement));
    let shown = before.as_ref().filter(|doc| !doc.withdrawn).map(|doc| &doc.statement);
    for entry in crossing_entries(shown, statement) {
        work.append(FEED, &entry);
    }
    Ok(Effect::done(FactOutcome::New))
}

/// What the feed says when a statement's lines change: crossings that are new, and those that late facts undid.
pub(crate) fn crossing_entries(before: Option<&Statement>, after: &Statement) -> Vec<serde_json::Value> {
    let old = before.map(|statement| statement.lines.as_slice()).unwrap_or_default();
    let entry = |kind, line: &Line| {
        json!({"kind": kind, "account_id": line.account_id, "affiliate_id": after.affiliate_id,
            "crossed_on": line.crossed_on, "plan": line.plan, "month": after.month})
    };
    let in_it = |lines: &[Line], line: &Line| {
        lines.iter().any(|other| other.account_id == line.account_id && other.crossed_on == line.crossed_on)
    };
    let gone =
        old.iter().filter(|line| !in_it(&after.lines, line)).map(|line| entry("crossing_undone", line));
    let new = after.lines.iter().filter(|line| !in_it(old, line)).map(|line| entry("crossed", line));
    gone.chain(new).collect()
}

/// The indexes that a statement is found by.
pub(crate) fn statement_indexes(statement: &Statement) -> Vec<IndexChange> {
    let (affiliate, month) = (statement.affiliate_id, statement.month);
    [
        (statements_index(affiliate), month.to_string()),
        ("statements".to_owned(), format!("{month}:{affiliate}")),
    ]
    .map(|(index, member)| IndexChange { index, member, present: true })
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attribution::Attribution;
    use crate::domain::fact::{Evidence, Record, Signup};
    use crate::domain::id::AffiliateId;
    use crate::domain::outcome::Reason;
    use crate::domain::program::Model;
    use crate::domain::statement::{AccountEvent, Change};
    use crate::store::sqlite::SqliteStore;
    use crate::store::{Cursor, Partition, Store};
    use chrono::TimeDelta;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }
    fn account() -> AccountId {
        "acct_1".parse().expect("an id")
    }

    /// A node's decision on the signup that it received at a minute.
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
        let attribution = Attribution {
            affiliate_id: affiliate.map(AffiliateId::from_bits),
            link_id: None,
            click_id: None,
            clicked_at: None,
            via: None,
            model: Model::LastClick,
            reason: if affiliate.is_some() { Reason::Attributed } else { Reason::NoEvidence },
            holds: Vec::new(),
            considered: Vec::new(),
            code: None,
            tie_break: None,
        };
        Fact::Decision { signup, received_at: at(received), signup_position: 1, attribution }
    }
    fn event(change: Change) -> Fact {
        let event = AccountEvent { event_id: "e1".parse().expect("an id"), occurred_at: at(3), change };
        Fact::Event { account_id: account(), event, delivery: None }
    }
    fn credit(affiliate: Option<u64>) -> Fact {
        let affiliate_id = affiliate.map(AffiliateId::from_bits);
        Fact::Credit {
            account_id: account(),
            affiliate_id,
            reason: "a call".to_owned(),
            claim_id: None,
            ends_judgement: true,
        }
    }
    fn review(action: ReviewAction) -> Fact {
        Fact::Review { account_id: account(), action, reason: "a look".to_owned() }
    }

    /// Nights compute those affiliates only that the feed names: whatever fact changes what a statement is computed from
    /// must name both whose account it was and whose it is.
    #[tokio::test]
    async fn whatever_changes_a_referral_names_whom_it_concerns() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(&dir.path().join("store")).expect("a store");
        let unknown = Change::Unknown { name: "merged".to_owned() };
        let histories: [&[Fact]; 6] = [
            // The same signup, received earlier on a node that was away: it wins.
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
                // The document as the facts before left it, and a feed of its own.
                let key = account_key(&account());
                let partition = Partition::Hashed(0);
                let mut work = Work::load(&store as &dyn Store, partition, keys_of(&account(), fact))
                    .await
                    .expect("a store");
                if let Some(former) = &former {
                    work.put(&key, former).expect("plain data");
                }
                let record = Record { at: at(20), by: "tests".to_owned(), fact: fact.clone() };
                let located = Located { cursor: Cursor { epoch: 1, position }, record };
                let node = NodeId::from_bits(1);
                let effect =
                    apply_to_account(&mut work, &account(), node, &located, at(20)).expect("it reads");
                assert!(!matches!(effect, Effect::Void { .. }), "{fact:?}: {effect:?}");
                let after: Account = work.get(&key).expect("plain data").expect("it is there");
                let feed = work.into_commit().appends;
                let told: Vec<serde_json::Value> =
                    feed.iter().map(|entry| serde_json::from_slice(&entry.body).expect("JSON")).collect();
                let (whose, is) =
                    (former.as_ref().and_then(|account| account.credited_to), after.credited_to);
                let changed = whose != is || former.as_ref().and_then(Account::referral) != after.referral();
                count += usize::from(changed);
                for affiliate in [whose, is].into_iter().flatten().filter(|_| changed) {
                    let named = told.iter().any(|entry| {
                        entry["affiliate_id"] == json!(affiliate) || entry["before"] == json!(affiliate)
                    });
                    assert!(named, "{fact:?} does not tell {affiliate}: {told:?}");
                }
                former = Some(after);
            }
        }
        assert_eq!(count, 15, "of 17 facts");
    }
}
