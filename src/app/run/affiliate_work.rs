//! What an affiliate's statements are computed from, as a run reads it.

use super::changes::{AffiliateResult, Changes};
use super::make::Run;
use super::summaries::Parts;
use crate::app::StatementDoc;
use crate::app::layout::{
    account_key, account_partition, affiliate_partition, all_partitions, referrals_index, statements_index,
};
use crate::app::work::decode;
use crate::domain::account::Account;
use crate::domain::affiliate::Affiliate;
use crate::domain::by_hand::LineByHand;
use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, AffiliateId};
use crate::domain::program::Rules;
use crate::domain::statement::{ClosedMonth, Ledger, Referral, Summarizer, Summary};
use crate::store::{Doc, Partition, Result, StoreError, missing};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// An affiliate, with everything from which its statements are computed.
pub(super) struct AffiliateWork {
    pub affiliate: Arc<Affiliate>,
    /// The summaries of all its referrals, by account.
    pub summaries: BTreeMap<AccountId, Summary>,
    pub basis: String,
    /// Its lines by hand that no closed month has, the oldest first.
    pub lines: Vec<LineByHand>,
    /// Its summaries as kept, and as they are to be kept.
    pub kept: Parts,
    pub bodies: Vec<Vec<u8>>,
    /// Why some of its accounts or statements can't be read; `None`: all can.
    pub unreadable: Option<String>,
    /// A time just before its facts were read.
    pub read_at: DateTime<Utc>,
    /// Its statements in the store, with their documents' versions.
    pub statements: BTreeMap<Month, (u64, StatementDoc)>,
}

impl AffiliateWork {
    /// Its statement of a month, if that is closed.
    fn closed(&self, month: Month) -> Option<&StatementDoc> {
        self.statements.get(&month).map(|(_, kept)| kept).filter(|kept| kept.is_closed())
    }
    pub fn closed_months(&self) -> impl Iterator<Item = Month> {
        self.statements.iter().filter(|(_, (_, kept))| kept.is_closed()).map(|(month, _)| *month)
    }
    /// Updates the summary of an account, which may be new, changed or no longer the affiliate's.
    fn take(&mut self, account: &Account, summarizer: &Summarizer<'_>) {
        let ours = account.credited_to == Some(self.affiliate.id);
        match account.referral().filter(|_| ours) {
            Some(referral) => self.put(&referral, summarizer),
            None => drop(self.summaries.remove(&account.id)),
        }
    }
    fn put(&mut self, referral: &Referral, summarizer: &Summarizer<'_>) {
        self.summaries.insert(referral.account_id.clone(), summarizer.summarize(referral));
    }
}

/// Which of an affiliate's accounts must be read.
enum Wanted {
    All,
    Some(BTreeSet<AccountId>),
}

impl Run<'_> {
    /// Reads the input for some affiliates' statements, by the given rules for open months.
    pub(super) async fn fetch(
        &self,
        affiliates: &[Arc<Affiliate>],
        changes: Option<&Changes>,
        rules: &Arc<Rules>,
    ) -> Result<Vec<AffiliateWork>> {
        let read_at = self.app.now();
        let batch = affiliates.iter().map(|affiliate| self.start_work(affiliate, changes, read_at));
        let mut batch = try_join_all(batch).await?;
        self.read_lines(&mut batch).await?;
        let closed_months = self.closed_months(&batch);
        let ledgers: Vec<Ledger<'_>> = batch
            .iter()
            .zip(&closed_months)
            // Summaries know nothing of lines by hand.
            .map(|(work, closed_months)| self.ledger(&work.affiliate, closed_months, &[], rules))
            .collect();
        let summarizers: Vec<Summarizer<'_>> = ledgers.iter().map(Summarizer::of).collect();
        let mut all: Vec<usize> = Vec::new();
        let mut some: BTreeMap<Partition, Vec<(usize, AccountId)>> = BTreeMap::new();
        for (place, (work, summarizer)) in batch.iter_mut().zip(&summarizers).enumerate() {
            work.basis = summarizer.basis();
            match self.wanted(work, changes) {
                Wanted::All => all.push(place),
                Wanted::Some(accounts) => {
                    for account in accounts {
                        let partition = account_partition(&account, self.app.store.partitions());
                        some.entry(partition).or_default().push((place, account));
                    }
                }
            }
        }
        let store = &self.app.store;
        let indexes: Vec<String> =
            all.iter().map(|place| referrals_index(batch[*place].affiliate.id)).collect();
        let hashed = all_partitions(store.partitions()).filter(|part| *part != Partition::Directory);
        // Even an empty request would be a round trip.
        let hashed: Vec<Partition> = hashed.filter(|_| !indexes.is_empty()).collect();
        let whole = hashed.into_iter().map(|partition| store.load_indexed(partition, &indexes, "account:"));
        let named = some.into_iter().map(|(partition, wanted)| async move {
            let keys: Vec<String> = wanted.iter().map(|(_, account)| account_key(account)).collect();
            let docs = store.load(partition, &keys).await?;
            Ok(wanted.into_iter().zip(docs).collect::<Vec<_>>())
        });
        let (whole, named) = tokio::try_join!(try_join_all(whole), try_join_all(named))?;
        for lists in whole {
            for (place, docs) in all.iter().zip(lists) {
                for doc in docs {
                    self.take_doc(&mut batch[*place], doc, &summarizers[*place]).await?;
                }
            }
        }
        for ((place, account), doc) in named.into_iter().flatten() {
            let doc = doc.ok_or_else(|| missing("the feed", &account_key(&account)));
            self.take_doc(&mut batch[place], doc, &summarizers[place]).await?;
        }
        Ok(batch)
    }

    /// Adds an account's document; one that can't be read, or is missing, is noted.
    async fn take_doc(
        &self,
        work: &mut AffiliateWork,
        doc: Result<Doc>,
        summarizer: &Summarizer<'_>,
    ) -> Result<()> {
        let account = match doc.and_then(|doc| decode::<Account>("account", &doc.body)) {
            // The account was lost, and a later report created another one.
            Ok(account) if account.signup.is_none() => {
                Err(StoreError::Corrupt(format!("account:{} has lost its signup", account.id)))
            }
            Ok(account) => self.app.with_all_events(account).await,
            Err(error) => Err(error),
        };
        match account {
            Ok(account) => work.take(&account, summarizer),
            Err(error @ StoreError::Corrupt(_)) => work.unreadable = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn start_work(
        &self,
        affiliate: &Arc<Affiliate>,
        changes: Option<&Changes>,
        read_at: DateTime<Utc>,
    ) -> Result<AffiliateWork> {
        let parts =
            changes.and_then(|changes| changes.last_result(affiliate.id)).map_or(1, AffiliateResult::parts);
        let kept = async {
            // A dry run writes nothing and trusts nothing that was kept: its result checks the other runs.
            if self.fence.is_none() {
                return Ok(Parts::default());
            }
            Parts::load(&*self.app.store, affiliate.id, parts).await
        };
        let statements = async { Ok(self.kept_statements(affiliate.id).await) };
        let (statements, kept) = tokio::try_join!(statements, kept)?;
        let (statements, unreadable) = match statements {
            Err(error @ StoreError::Corrupt(_)) => (BTreeMap::new(), Some(error.to_string())),
            statements => (statements?, None),
        };
        Ok(AffiliateWork {
            affiliate: Arc::clone(affiliate),
            summaries: BTreeMap::new(),
            basis: String::new(),
            lines: Vec::new(),
            kept,
            bodies: Vec::new(),
            unreadable,
            read_at,
            statements,
        })
    }

    /// Takes the kept summaries that are still valid; returns the accounts that must be read. Kept summaries are trusted only
    /// if they are, byte for byte, what the last finished run left.
    fn wanted(&self, work: &mut AffiliateWork, changes: Option<&Changes>) -> Wanted {
        let id = work.affiliate.id;
        let Some(changes) = changes else { return Wanted::All };
        let left = changes.last_result(id).filter(|result| result.summaries == work.kept.hash());
        let Some(kept) = left.and_then(|_| work.kept.read(&work.basis)) else { return Wanted::All };
        let mut wanted: BTreeSet<AccountId> = changes.changed(id).cloned().collect();
        for summary in kept {
            if !summary.is_still_valid(self.through) {
                wanted.insert(summary.account_id.clone());
            }
            work.summaries.insert(summary.account_id.clone(), summary);
        }
        Wanted::Some(wanted)
    }

    pub(super) async fn kept_statements(
        &self,
        affiliate: AffiliateId,
    ) -> Result<BTreeMap<Month, (u64, StatementDoc)>> {
        let partition = affiliate_partition(affiliate, self.app.store.partitions());
        let prefix = format!("statement:{affiliate}:");
        let lists = self.app.store.load_indexed(partition, &[statements_index(affiliate)], &prefix).await?;
        let docs = lists.into_iter().flatten().map(|doc| {
            let doc = doc?;
            let kept: StatementDoc = decode("statement", &doc.body)?;
            Ok((kept.statement.month, (doc.version, kept)))
        });
        docs.collect()
    }

    /// The closed months of each of some affiliates, with its statements.
    pub(super) fn closed_months(&self, batch: &[AffiliateWork]) -> Vec<Vec<ClosedMonth>> {
        let directory = self.app.directory();
        let mut shared: HashMap<Month, Arc<Rules>> = HashMap::new();
        let mut closed_of = |work: &AffiliateWork| {
            let mut closed_months: Vec<ClosedMonth> = Vec::new();
            for month in directory.months() {
                let kept = work.closed(month.month);
                // A closing month is closed only for the affiliates that a run has processed.
                if month.closed || kept.is_some() {
                    let rules = shared.entry(month.month).or_insert_with(|| Arc::new(month.rules.clone()));
                    closed_months.push(ClosedMonth {
                        month: month.month,
                        rules: Arc::clone(rules),
                        closed_at: kept.and_then(|kept| kept.closed_at).unwrap_or(month.closing_at),
                        statement: kept.map(|kept| kept.statement.clone()),
                        referrals: kept.and_then(|kept| kept.referrals.clone()),
                    });
                }
            }
            closed_months
        };
        batch.iter().map(&mut closed_of).collect()
    }

    pub(super) fn ledger<'l>(
        &self,
        affiliate: &Affiliate,
        closed_months: &'l [ClosedMonth],
        by_hand: &'l [LineByHand],
        rules: &'l Arc<Rules>,
    ) -> Ledger<'l> {
        Ledger {
            affiliate_id: affiliate.id,
            closed_at: affiliate.closed_at(),
            closed_months,
            by_hand,
            rules,
            through: self.through,
        }
    }
}
