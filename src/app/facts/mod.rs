//! The kinds of facts. Each kind states in one place what it is about, who may submit it, which documents it
//! needs, how many mails it may cause, how it is counted, how the audit log shows it, and what it does to the
//! store's documents. A kind that leaves something out does not compile. The drainer applies all kinds
//! alike.

mod accounts;
mod affiliates;
mod agreements;
mod by_hand;
mod links;
mod months;
mod news;
mod payouts;
mod puts;
mod referrals;
mod staff;
mod upkeep;

pub(crate) use months::{crossing_entries, statement_indexes};
pub(crate) use payouts::Opening;

use super::actor::Actor;
use super::layout::{AUDIT, account_partition, affiliate_partition};
use super::outbox;
use super::work::{Source, Work};
use crate::domain::account::{Account, Origin, Refusal, Reservation};
use crate::domain::fact::{Fact, Record};
use crate::domain::id::{AccountId, AffiliateId, NodeId};
use crate::domain::outcome::FactOutcome;
use crate::metrics::FactKind;
use crate::store::{Cursor, Partition, Result, StoreError};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a kind of fact states about itself.
trait Kind {
    /// How it is counted when it is submitted; `None`: it is not counted there.
    const METRIC: Option<FactKind>;
    /// The most mails that a fact of the kind may cause.
    const MAILS: usize;
    /// How the audit log shows it; `None`: it is not shown there.
    const AUDIT: Option<Audit>;

    /// What it is about.
    fn subject(&self) -> Subject<'_>;
    /// Whether an actor may submit it.
    fn permits(&self, actor: &Actor) -> bool;
    /// The documents in its subject's partition that it reads or changes, except those of its mails.
    fn documents(&self) -> Vec<String>;
    /// The most mails that this one may cause: a kind that changes many things says how many.
    fn mails(&self) -> usize {
        Self::MAILS
    }
    /// Applies it to the documents of a partition: its subject's, or the directory's.
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied;
}

/// What a fact is about; this determines where it is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'f> {
    /// An account: applied in its partition.
    Account(&'f AccountId),
    /// An affiliate, a link, a member of staff: applied in the directory.
    Directory,
    /// An affiliate's line by hand: applied in the affiliate's partition, where its statements are.
    Line(AffiliateId),
    /// An affiliate's statement, closed by a nightly run: applied in the affiliate's partition.
    Statement { affiliate: AffiliateId, fence: u64 },
    /// A nightly run: applied in the directory, unless a later run has taken over.
    Run { fence: u64 },
    /// Nothing in the store.
    Nothing,
}

/// How the audit log shows a fact.
#[derive(Debug, Clone, Copy)]
struct Audit {
    /// The path of the field that it does not show; empty: it shows all.
    hides: &'static [&'static str],
    /// The fact in words, from its JSON; `None`: this fact is not shown.
    says: fn(&Value) -> Option<String>,
}

impl Audit {
    #[expect(clippy::unnecessary_wraps, reason = "the value of `Kind::AUDIT`")]
    const fn saying(says: fn(&Value) -> Option<String>) -> Option<Self> {
        Some(Self { hides: &[], says })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the answer of every `says`")]
fn sentence(words: &str) -> Option<String> {
    Some(words.to_owned())
}

/// What is known besides the fact that is being applied.
#[derive(Debug, Clone, Copy)]
struct Context<'f> {
    partition: Partition,
    /// Its position in its node's journal.
    origin: Origin,
    /// When it was accepted.
    at: DateTime<Utc>,
    /// Who submitted it.
    by: &'f str,
    now: DateTime<Utc>,
}

/// A fact with its position in the journal.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) cursor: Cursor,
    pub(crate) record: Record,
}

impl Located {
    pub(crate) fn origin(&self, node: NodeId) -> Origin {
        Origin { at: self.record.at, node, position: self.cursor.position }
    }
    /// The ids of its mails are derived from it.
    const fn source(&self, node: NodeId, now: DateTime<Utc>) -> Source {
        Source { node, cursor: self.cursor, at: self.record.at, now }
    }
}

/// The effect of a fact in one partition.
#[derive(Debug)]
pub(crate) enum Effect {
    /// It is done.
    Done { outcome: FactOutcome, account: Option<Arc<Account>> },
    /// This node reserved the signup and must decide it.
    Reserved(Box<Reservation>),
    /// The same signup is being decided already.
    Pending,
    /// It had no effect, and never will have one.
    Void { reason: String, refusal: Option<Refusal> },
}

impl Effect {
    const fn done(outcome: FactOutcome) -> Self {
        Self::Done { outcome, account: None }
    }
    /// It is new; or it repeats an earlier fact and changes nothing.
    const fn of(changed: bool) -> Self {
        Self::done(if changed { FactOutcome::New } else { FactOutcome::Replayed })
    }
    const fn conflict(what: String) -> Self {
        Self::Void { reason: what, refusal: None }
    }
}

/// Why a fact was not applied.
#[derive(Debug)]
enum NotApplied {
    /// The rules refuse it.
    Refused(Refusal),
    /// A document can't be read.
    Store(StoreError),
}

type Applied = std::result::Result<Effect, NotApplied>;

impl From<Refusal> for NotApplied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
impl From<StoreError> for NotApplied {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Work {
    /// A document that must exist; otherwise the fact is refused.
    fn need<T: DeserializeOwned>(&self, key: &str, or: Refusal) -> std::result::Result<T, NotApplied> {
        self.get(key)?.ok_or(NotApplied::Refused(or))
    }
}

/// Calls a function of the fact's kind.
macro_rules! kinds {
    ($($kind:ident)*) => {
        /// What a fact is about.
        pub(crate) fn subject(fact: &Fact) -> Subject<'_> {
            match fact { $( Fact::$kind(fact) => fact.subject(), )* }
        }
        /// Whether an actor may submit a fact.
        pub(crate) fn permits(fact: &Fact, actor: &Actor) -> bool {
            match fact { $( Fact::$kind(fact) => fact.permits(actor), )* }
        }
        /// How a fact is counted when it is submitted, if it is.
        pub(crate) const fn metric(fact: &Fact) -> Option<FactKind> {
            match fact { $( Fact::$kind(_) => <crate::domain::fact::$kind as Kind>::METRIC, )* }
        }
        fn mails(fact: &Fact) -> usize {
            match fact { $( Fact::$kind(fact) => fact.mails(), )* }
        }
        const fn audit(fact: &Fact) -> Option<Audit> {
            match fact { $( Fact::$kind(_) => <crate::domain::fact::$kind as Kind>::AUDIT, )* }
        }
        fn audit_of(kind: &str) -> Option<Audit> {
            match kind {
                $( crate::domain::fact::$kind::NAME => <crate::domain::fact::$kind as Kind>::AUDIT, )*
                _ => None,
            }
        }
        fn documents(fact: &Fact) -> Vec<String> {
            match fact { $( Fact::$kind(fact) => fact.documents(), )* }
        }
        fn apply_kind(fact: &Fact, work: &mut Work, context: &Context<'_>) -> Applied {
            match fact { $( Fact::$kind(fact) => fact.apply(work, context), )* }
        }
    };
}

kinds! {
    Signup Event Decision Void Review Credit
    AffiliateCreated AffiliateStep AffiliateChanged NoteAdded ActivationSent SignedOutEverywhere
    LinkCreated LinkDisabled LinkEnabled
    AgreementPublished AgreementSigned
    ClaimFiled ClaimDecided
    StaffCreated StaffChanged StaffInvited StaffSignedOutEverywhere PasswordSet
    LineAdded LineRemoved StatementClosed MonthClosing MonthClosed RunFinished
    MailDone SetAside SetAsideEnded
    PayoutBegun PayoutItemsAdded PayoutDrafted PayoutApproved PayoutDiscarded PayoutExported PayoutItemsChanged
    PayoutSubmitted PayoutCalling PayoutAnswered PayoutHinted PayoutOpening PayoutCleared
    AffiliateTold
}

/// The account that a fact is about, if any.
pub(crate) fn account_of(fact: &Fact) -> Option<&AccountId> {
    if let Subject::Account(id) = subject(fact) { Some(id) } else { None }
}

/// The fencing token of the nightly run that a fact belongs to.
pub(crate) fn fence_of(fact: &Fact) -> Option<u64> {
    match subject(fact) {
        Subject::Statement { fence, .. } | Subject::Run { fence } => Some(fence),
        Subject::Account(_) | Subject::Directory | Subject::Line(_) | Subject::Nothing => None,
    }
}

/// The partition of a fact's subject, if the subject is in the store.
pub(crate) fn home_partition(fact: &Fact, partitions: u16) -> Option<Partition> {
    match subject(fact) {
        Subject::Account(id) => Some(account_partition(id, partitions)),
        Subject::Line(affiliate) | Subject::Statement { affiliate, .. } => {
            Some(affiliate_partition(affiliate, partitions))
        }
        Subject::Directory | Subject::Run { .. } => Some(Partition::Directory),
        Subject::Nothing => None,
    }
}

/// Whether a replay applies a fact in the order of the times of all nodes' facts: what the directory says, and whether a
/// month closed with a line by hand or the line was taken back before, depend on the order in which people acted.
pub(crate) fn needs_order(fact: &Fact) -> bool {
    match (subject(fact), fact) {
        (Subject::Directory | Subject::Run { .. } | Subject::Line(_), _) => true,
        (_, Fact::StatementClosed(closed)) => !closed.statement.by_hand.is_empty(),
        _ => false,
    }
}

/// Whether a fact changes something in a partition.
pub(crate) fn affects(fact: &Fact, partition: Partition, partitions: u16) -> bool {
    home_partition(fact, partitions) == Some(partition)
        || (partition == Partition::Directory && audit(fact).is_some() && subject(fact) != Subject::Nothing)
}

/// The documents that a fact reads or may change in a partition, including its mails.
pub(crate) fn keys_of(
    located: &Located,
    partition: Partition,
    node: NodeId,
    now: DateTime<Utc>,
) -> Vec<String> {
    let fact = &located.record.fact;
    let is_home = (partition == Partition::Directory)
        == matches!(subject(fact), Subject::Directory | Subject::Run { .. });
    if !is_home {
        return Vec::new();
    }
    let mails = outbox::keys_of(&located.source(node, now), mails(fact));
    documents(fact).into_iter().chain(mails).collect()
}

/// Applies a fact to a partition's documents.
pub(crate) fn apply(
    work: &mut Work,
    partition: Partition,
    node: NodeId,
    located: &Located,
    now: DateTime<Utc>,
) -> Result<Effect> {
    let Record { at, by, fact } = &located.record;
    work.begin(located.source(node, now));
    let context = Context { partition, origin: located.origin(node), at: *at, by, now };
    match apply_kind(fact, work, &context) {
        Ok(effect) => {
            // Only facts that had an effect are in the log.
            if partition == Partition::Directory && !matches!(effect, Effect::Void { .. }) {
                note_in_audit(work, &located.record);
            }
            Ok(effect)
        }
        Err(NotApplied::Refused(refusal)) => {
            Ok(Effect::Void { reason: refusal.code().to_owned(), refusal: Some(refusal) })
        }
        Err(NotApplied::Store(error)) => Err(error),
    }
}

fn note_in_audit(work: &mut Work, record: &Record) {
    let Some(audit) = audit(&record.fact) else { return };
    let mut shown = json!(record);
    if (audit.says)(&shown).is_none() {
        return;
    }
    if let [path @ .., field] = audit.hides {
        let place = path.iter().try_fold(&mut shown, |place, field| place.get_mut(field));
        place.and_then(Value::as_object_mut).map(|fields| fields.remove(*field));
    }
    work.append(AUDIT, &shown);
}

/// An entry of the audit log in words; an entry of a newer version is shown by its kind.
pub fn in_words(kind: &str, entry: &Value) -> String {
    audit_of(kind).and_then(|audit| (audit.says)(entry)).unwrap_or_else(|| kind.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::affiliate::{Profile, Step};
    use crate::domain::fact::{AffiliateChange, AffiliateChanged, AffiliateStep, ClaimDecided};
    use crate::domain::id::{ClaimId, StaffId};
    use crate::domain::person::Role;

    #[test]
    fn who_may_hand_in_a_fact_is_said_by_the_fact() {
        let (own, others) = (AffiliateId::from_bits(1), AffiliateId::from_bits(2));
        let step = |step| AffiliateStep { affiliate_id: own, step, reason: None }.into();
        let changed = |change| AffiliateChanged { affiliate_id: own, change }.into();
        let profile = |email: &str, name: &str| {
            let (name, email) = (name.to_owned(), email.to_owned());
            Some(Profile { name, email, ..Profile::default() })
        };
        let exempt = AffiliateChange { exempt_from_holds: Some(true), ..AffiliateChange::default() };
        let renamed = |email, name| AffiliateChange {
            before: profile("a@b.example", "Ann"),
            profile: profile(email, name),
            ..AffiliateChange::default()
        };
        let claim_id = ClaimId::from_bits(1);
        let granted = |account: Option<&str>| {
            let account_id = account.map(|id| id.parse().expect("a literal"));
            ClaimDecided { claim_id, affiliate_id: own, granted: true, reason: "x".into(), account_id }.into()
        };
        let key = || Actor::Key("office".into());
        let staff = |role| Actor::Staff(StaffId::from_bits(1), role);
        let table: [(&str, Fact, &[Actor], &[Actor]); 9] = [
            ("approve", step(Step::Approve), &[key(), staff(Role::Reviewer)], &[staff(Role::Finance)]),
            ("close", step(Step::Close), &[key(), staff(Role::Admin)], &[staff(Role::Reviewer)]),
            ("sign", step(Step::Sign), &[Actor::server()], &[key(), staff(Role::Admin)]),
            (
                "another name",
                changed(renamed("a@b.example", "Bob")),
                &[key(), staff(Role::Reviewer), Actor::Affiliate(own)],
                &[staff(Role::Finance), Actor::Affiliate(others)],
            ),
            (
                "another address",
                changed(renamed("b@b.example", "Ann")),
                &[key(), staff(Role::Finance), Actor::Affiliate(own)],
                &[staff(Role::Reviewer), Actor::Affiliate(others)],
            ),
            (
                "both",
                changed(renamed("b@b.example", "Bob")),
                &[key(), staff(Role::Admin)],
                &[staff(Role::Reviewer), staff(Role::Finance)],
            ),
            ("exempt", changed(exempt), &[key(), staff(Role::Reviewer)], &[Actor::Affiliate(own)]),
            ("grant", granted(None), &[key(), staff(Role::Reviewer)], &[staff(Role::Finance)]),
            ("grant and credit", granted(Some("a")), &[key(), staff(Role::Reviewer)], &[Actor::Applicant]),
        ];
        for (name, fact, may, may_not) in table {
            for actor in may {
                assert!(permits(&fact, actor), "{name} by {actor:?}");
            }
            let never = [
                Actor::Reader("report".into()),
                Actor::SignupFlow("flow".into()),
                staff(Role::ReadOnly),
                Actor::Applicant,
            ];
            for actor in may_not.iter().chain(&never) {
                assert!(!permits(&fact, actor), "{name} by {actor:?}");
            }
        }
    }

    #[test]
    fn an_unknown_fact_is_said_by_its_name() {
        assert_eq!(in_words("payout_sent", &json!({})), "payout sent");
        let credit = json!({"affiliate_id": null});
        assert_eq!(in_words("credit", &credit), "Credited an account to nobody");
    }
}
