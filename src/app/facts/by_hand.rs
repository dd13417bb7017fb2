//! Facts about lines by hand.
//!
//! They are applied where the affiliate's statements are, so that a closing and what becomes of its lines are one step. A
//! replay applies them, and closings with lines, in the order of their times; adding a line needs no order (see
//! [`KeptLine`]).

use super::{Applied, Audit, Context, Effect, Kind, NotApplied, Subject, sentence};
use crate::app::actor::Actor;
use crate::app::layout::{WITH_LINES, line_key, lines_key};
use crate::app::work::Work;
use crate::domain::account::Refusal;
use crate::domain::by_hand::{KeptLine, LineByHand, LineState, in_order};
use crate::domain::fact::{LineAdded, LineRemoved};
use crate::domain::id::{AffiliateId, LineKey};
use crate::domain::person::Permission;
use crate::domain::statement::Statement;
use crate::metrics::FactKind;
use crate::store::{Partition, Result};

impl Kind for LineAdded {
    const METRIC: Option<FactKind> = Some(FactKind::Line);
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| {
        let is_claw_back = entry["amount"].as_str().is_some_and(|amount| amount.starts_with('-'));
        sentence(if is_claw_back { "Added a claw-back by hand" } else { "Added a bonus by hand" })
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Line(self.affiliate_id)
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::Payouts)
    }
    fn documents(&self) -> Vec<String> {
        documents(self.affiliate_id, [&self.key])
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        if context.partition == Partition::Directory {
            return Ok(Effect::of(true));
        }
        let line = LineByHand {
            key: self.key.clone(),
            amount: self.amount,
            reason: self.reason.clone(),
            by: context.by.to_owned(),
            at: context.at,
        };
        let known = work.get(&line_key(self.affiliate_id, &self.key))?;
        let (kept, is_new) = KeptLine::add(known, line, context.origin)?;
        put(work, self.affiliate_id, &[kept])?;
        Ok(Effect::of(is_new))
    }
}

impl Kind for LineRemoved {
    const METRIC: Option<FactKind> = Some(FactKind::Line);
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Took back a line by hand"));

    fn subject(&self) -> Subject<'_> {
        Subject::Line(self.affiliate_id)
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::Payouts)
    }
    fn documents(&self) -> Vec<String> {
        documents(self.affiliate_id, [&self.key])
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        if context.partition == Partition::Directory {
            return Ok(Effect::of(true));
        }
        let known: KeptLine = work.need(&line_key(self.affiliate_id, &self.key), Refusal::UnknownLine)?;
        let (kept, is_new) = known.take_back()?;
        put(work, self.affiliate_id, &[kept])?;
        Ok(Effect::of(is_new))
    }
}

/// The documents of some lines, if there are any.
pub(super) fn documents<'k>(
    affiliate: AffiliateId,
    keys: impl IntoIterator<Item = &'k LineKey>,
) -> Vec<String> {
    let mut names: Vec<String> = keys.into_iter().map(|key| line_key(affiliate, key)).collect();
    if !names.is_empty() {
        names.push(lines_key(affiliate));
    }
    names
}

/// Closes the lines of a statement with it: all of them, or the statement is refused.
pub(super) fn close(work: &mut Work, statement: &Statement) -> std::result::Result<(), NotApplied> {
    let affiliate = statement.affiliate_id;
    let mut closed = Vec::with_capacity(statement.by_hand.len());
    for line in &statement.by_hand {
        let known = work.get(&line_key(affiliate, &line.key))?;
        closed.push(KeptLine::close(known, line, statement.month)?);
    }
    Ok(put(work, affiliate, &closed)?)
}

/// Writes lines, and the list of those that are open.
fn put(work: &mut Work, affiliate: AffiliateId, lines: &[KeptLine]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut open: Vec<LineByHand> = work.get(&lines_key(affiliate))?.unwrap_or_default();
    open.retain(|one| lines.iter().all(|kept| kept.line.key != one.key));
    for kept in lines {
        work.put(&line_key(affiliate, &kept.line.key), kept)?;
        open.extend((kept.state == LineState::Open).then(|| kept.line.clone()));
    }
    work.index(WITH_LINES.to_owned(), affiliate.to_string(), !open.is_empty());
    work.put(&lines_key(affiliate), &in_order(open))
}

#[cfg(test)]
mod tests {
    use super::super::{Located, apply, documents as documents_of};
    use super::*;
    use crate::domain::calendar::Month;
    use crate::domain::fact::{Fact, Record, StatementClosed};
    use crate::domain::id::NodeId;
    use crate::domain::money::Money;
    use crate::store::sqlite::SqliteStore;
    use crate::store::{Committed, Cursor, Documents};
    use chrono::{DateTime, TimeDelta, Utc};

    const AFFILIATE: AffiliateId = AffiliateId::from_bits(7);

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }
    fn key(text: &str) -> LineKey {
        text.parse().expect(text)
    }
    fn added(name: &str) -> Fact {
        let (amount, reason) = (Money::from_cents(500), "a call".to_owned());
        LineAdded { affiliate_id: AFFILIATE, key: key(name), amount, reason }.into()
    }
    fn removed(name: &str) -> Fact {
        LineRemoved { affiliate_id: AFFILIATE, key: key(name) }.into()
    }
    /// The closing of a month with these lines, as a run read them.
    fn closing(month: &str, by_hand: &[LineByHand]) -> Fact {
        let month: Month = month.parse().expect(month);
        let statement = Statement {
            affiliate_id: AFFILIATE,
            month,
            active_accounts: 0,
            tier_from: 0,
            lines: Vec::new(),
            adjustments: Vec::new(),
            by_hand: by_hand.to_vec(),
            total: by_hand.iter().map(|line| line.amount).sum(),
            currency: "USD".to_owned(),
            rules_hash: String::new(),
            facts_hash: String::new(),
            previous: None,
            hash: month.to_string(),
        };
        StatementClosed { statement, read_at: at(9), fence: 1, referrals: None }.into()
    }

    struct Shelf {
        store: SqliteStore,
        partition: Partition,
        _dir: tempfile::TempDir,
    }

    impl Shelf {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let store = SqliteStore::open(&dir.path().join("store")).expect("a store");
            let partition = crate::store::affiliate_partition(AFFILIATE, store.partitions());
            Self { store, partition, _dir: dir }
        }
        /// Applies a fact; answers why it was refused, if it was.
        async fn takes(&self, minute: i64, fact: Fact) -> Option<Refusal> {
            let mut work =
                Work::load(&self.store, self.partition, documents_of(&fact)).await.expect("a store");
            let record = Record { at: at(minute), by: "tests".to_owned(), fact };
            let position = u64::try_from(minute).expect("after the epoch");
            let located = Located { cursor: Cursor { epoch: 1, position }, record };
            let effect = apply(&mut work, self.partition, NodeId::from_bits(1), &located, at(20));
            if let Effect::Void { refusal, .. } = effect.expect("it reads") {
                return refusal;
            }
            let committed = self.store.commit(&work.into_commit()).await.expect("a store");
            assert_eq!(committed, Committed::Done);
            None
        }
        async fn open(&self) -> Vec<LineByHand> {
            let docs = self.store.load(self.partition, &[lines_key(AFFILIATE)]).await.expect("a store");
            let doc = docs.into_iter().flatten().next();
            doc.map_or_else(Vec::new, |doc| serde_json::from_slice(&doc.body).expect("lines"))
        }
        async fn is_named(&self) -> bool {
            let named = self.store.members(self.partition, WITH_LINES, None, 9).await.expect("a store");
            named == [AFFILIATE.to_string()]
        }
    }

    /// A run reads lines, and closes a month with them a little later.
    #[tokio::test]
    async fn a_line_is_in_the_closed_month_or_stays_open_and_is_never_lost_or_in_both() {
        let shelf = Shelf::new();
        for (minute, name) in [(1, "a"), (2, "b")] {
            assert_eq!(shelf.takes(minute, added(name)).await, None);
        }
        let read = shelf.open().await;
        assert_eq!(shelf.takes(3, added("late")).await, None);
        assert_eq!(shelf.takes(4, removed("b")).await, None);
        let refused = shelf.takes(5, closing("2026-04", &read)).await;
        assert_eq!(refused, Some(Refusal::LinesChanged), "it has a line that was taken back");
        let open = shelf.open().await;
        assert_eq!(open.iter().map(|line| line.key.as_str()).collect::<Vec<_>>(), ["a", "late"]);

        // The next run reads again; another line comes before it closes.
        assert_eq!(shelf.takes(6, added("later")).await, None);
        assert_eq!(shelf.takes(7, closing("2026-04", &open)).await, None);
        let left = shelf.open().await;
        assert_eq!(left.iter().map(|line| line.key.as_str()).collect::<Vec<_>>(), ["later"]);
        assert_eq!(shelf.takes(8, removed("a")).await, Some(Refusal::AlreadyClosed));
        assert_eq!(shelf.takes(9, added("a")).await, None, "a repetition changes nothing");
        assert_eq!(shelf.open().await, left);
        assert_eq!(
            shelf.takes(10, closing("2026-05", &open)).await,
            Some(Refusal::LinesChanged),
            "April has them"
        );
        assert!(shelf.is_named().await);
        assert_eq!(shelf.takes(11, closing("2026-05", &left)).await, None);
        assert!(!shelf.is_named().await && shelf.open().await.is_empty());
        assert_eq!(shelf.takes(12, closing("2026-05", &left)).await, None, "the same closing once more");
    }
}
