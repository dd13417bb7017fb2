//! What is known of payouts.

use crate::app::facts::Opening;
use crate::app::layout::{
    PAYOUT_ATTENTION, PAYOUT_OPENING, PAYOUTS, carried_key, ledger_key, payout_index, payout_key,
};
use crate::app::work::{decode, load_one};
use crate::app::{App, Page, ReadError, StatementDoc};
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::Month;
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use crate::domain::payout::{
    Balance, Batch, BatchStatus, CarriedSum, ClosedStatement, Due, Imbalance, Item, ItemId, ItemStatus,
    Ledger, Notice, Outlook, PayoutId, notices,
};
use crate::store::{Partition, Result, missing};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{Datelike, NaiveTime};
use futures_util::future::try_join_all;
use std::sync::Arc;

/// Ledgers loaded at once.
pub(super) const LEDGERS_AT_ONCE: usize = 200;
/// Names read at once of an index.
const NAMES_AT_ONCE: usize = 10_000;

/// What an affiliate earned by its closed statements, and what became of it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its ledger.
    pub ledger: Ledger,
    /// Its closed statements.
    pub closed: Vec<ClosedStatement>,
}

impl Account {
    /// Where the money is.
    pub fn balance(&self) -> Balance {
        self.ledger.balance(&self.closed)
    }
    /// Why it does not add up, if it does not.
    pub fn imbalance(&self) -> Option<Imbalance> {
        self.ledger.check(&self.closed).err()
    }
}

/// What an affiliate was paid in a calendar year, and what it earned by statements of that year.
#[derive(Debug, Clone)]
pub struct YearRow {
    /// The affiliate.
    pub affiliate: Arc<Affiliate>,
    /// Payments by the day on which they were paid, less what came back in the year.
    pub paid: Money,
    /// What came back in the year, as part of `paid`.
    pub came_back: Money,
    /// The closed statements of the year's months.
    pub earned: Money,
}

/// What is in the way of payouts, and what waits for a person.
#[derive(Debug)]
pub struct Waiting {
    /// Why no payout goes on, each with what to do about it.
    pub stops: Vec<String>,
    /// Items that a person has to look at.
    pub items: Vec<(ItemId, Item)>,
    /// Affiliates whose payouts do not add up to their statements.
    pub imbalances: Vec<(AffiliateId, Imbalance)>,
}

/// A closed statement as payouts need it; `None`: it is still open.
pub(crate) fn closed_of(doc: &StatementDoc) -> Option<ClosedStatement> {
    let says = &doc.statement;
    doc.is_closed().then(|| ClosedStatement { month: says.month, total: says.total, hash: says.hash.clone() })
}

impl App {
    /// All batches, newest first.
    pub async fn payouts(&self) -> Result<Vec<Batch>> {
        let ids = self.all_members(PAYOUTS).await?;
        let keys: Vec<String> = ids.iter().map(|id| format!("payout:{id}")).collect();
        let docs = self.store.load(Partition::Directory, &keys).await?;
        let batches = keys.iter().zip(docs).map(|(key, doc)| {
            let doc = doc.ok_or_else(|| missing(PAYOUTS, key))?;
            decode(key, &doc.body)
        });
        let mut batches = batches.collect::<Result<Vec<Batch>>>()?;
        batches.sort_by_key(|batch| std::cmp::Reverse(batch.id));
        Ok(batches)
    }

    /// A batch.
    pub async fn payout(&self, id: PayoutId) -> Result<Option<Batch>> {
        load_one(self.store.as_ref(), Partition::Directory, &payout_key(id)).await
    }

    /// Items of a batch by affiliate, a page; with a status, only those that have it.
    pub async fn payout_items(
        &self,
        id: PayoutId,
        status: Option<ItemStatus>,
        cursor: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Page<(AffiliateId, Item)>, ReadError> {
        let after = cursor.map(read_cursor).transpose()?;
        let index = payout_index(id, status);
        let mut names = self.store.members(Partition::Directory, &index, after.as_deref(), limit + 1).await?;
        let more = names.len() > limit;
        names.truncate(limit);
        let next_cursor = names.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(last));
        let affiliates = names.iter().map(|name| name.parse().map_err(|_| missing(&index, name)));
        let affiliates = affiliates.collect::<Result<Vec<AffiliateId>>>()?;
        let ledgers = self.ledgers(&affiliates).await?;
        let items = affiliates.into_iter().zip(ledgers).map(|(affiliate, ledger)| {
            let item = ledger.item(id).ok_or_else(|| missing(&index, &ledger_key(affiliate)))?;
            Ok((affiliate, item.clone()))
        });
        Ok(Page { data: items.collect::<Result<Vec<_>>>()?, next_cursor })
    }

    /// An item of a batch.
    pub async fn payout_item(&self, id: ItemId) -> Result<Option<Item>> {
        let ledgers = self.ledgers(&[id.affiliate]).await?;
        Ok(ledgers.first().and_then(|ledger| ledger.item(id.payout).cloned()))
    }

    /// What a person should look at twice before approving items, for items of one batch.
    pub async fn payout_notices(&self, items: &[(AffiliateId, Item)]) -> Result<Vec<Vec<Notice>>> {
        let affiliates: Vec<AffiliateId> = items.iter().map(|(affiliate, _)| *affiliate).collect();
        let ledgers = self.ledgers(&affiliates).await?;
        let (directory, large_sum) = (self.directory(), self.config().payouts.large_sum);
        let of = |((affiliate, item), ledger): (&(AffiliateId, Item), Ledger)| {
            let known = directory.affiliate(*affiliate);
            known.map(|known| notices(known, &ledger, item, large_sum, self.now())).unwrap_or_default()
        };
        Ok(items.iter().zip(ledgers).map(of).collect())
    }

    /// What a batch leaves to a later one.
    pub async fn payout_carried(&self, batch: &Batch) -> Result<Vec<CarriedSum>> {
        let keys: Vec<String> = (0..batch.carried_parts).map(|part| carried_key(batch.id, part)).collect();
        let docs = self.store.load(Partition::Directory, &keys).await?;
        let parts = keys.iter().zip(docs).filter_map(|(key, doc)| Some(decode(key, &doc?.body)));
        Ok(parts.collect::<Result<Vec<Vec<CarriedSum>>>>()?.into_iter().flatten().collect())
    }

    /// Items that a person has to look at.
    pub async fn payouts_for_a_person(&self) -> Result<Vec<(ItemId, Item)>> {
        let names = self.all_members(PAYOUT_ATTENTION).await?;
        let ids = names.iter().map(|name| name.parse().map_err(|_| missing(PAYOUT_ATTENTION, name)));
        let ids = ids.collect::<Result<Vec<ItemId>>>()?;
        let affiliates: Vec<AffiliateId> = ids.iter().map(|id| id.affiliate).collect();
        let ledgers = self.ledgers(&affiliates).await?;
        let items = ids.into_iter().zip(ledgers);
        Ok(items.filter_map(|(id, ledger)| ledger.item(id.payout).map(|item| (id, item.clone()))).collect())
    }

    /// What is in the way of payouts, and what waits for a person.
    pub async fn payouts_waiting(&self) -> std::result::Result<Waiting, ReadError> {
        Ok(Waiting {
            stops: self.payout_stops().await?,
            items: self.payouts_for_a_person().await?,
            imbalances: self.check_payouts().await?,
        })
    }

    /// What was said of payouts before the first one; `None`: nothing yet.
    pub(crate) async fn payout_opening(&self) -> Result<Option<Opening>> {
        load_one(self.store.as_ref(), Partition::Directory, PAYOUT_OPENING).await
    }

    /// The ledgers of affiliates, in their order; one that has none yet has an empty one.
    pub async fn ledgers(&self, affiliates: &[AffiliateId]) -> Result<Vec<Ledger>> {
        let through = self.payout_opening().await?.and_then(|opening| opening.through);
        let mut ledgers = Vec::with_capacity(affiliates.len());
        for some in affiliates.chunks(LEDGERS_AT_ONCE) {
            let keys: Vec<String> = some.iter().map(|id| ledger_key(*id)).collect();
            let docs = self.store.load(Partition::Directory, &keys).await?;
            for (key, doc) in keys.iter().zip(docs) {
                let ledger = doc.map(|doc| decode::<Ledger>(key, &doc.body)).transpose()?;
                ledgers.push(ledger.unwrap_or_default().with_opening(through));
            }
        }
        Ok(ledgers)
    }
    /// An affiliate's ledger.
    pub async fn ledger_of(&self, affiliate: AffiliateId) -> Result<Ledger> {
        Ok(self.ledgers(&[affiliate]).await?.pop().unwrap_or_default())
    }
    /// An affiliate's ledger and closed statements.
    pub async fn payout_account(&self, affiliate: AffiliateId) -> std::result::Result<Account, ReadError> {
        // Statements only become more: those that the ledger names are among those read afterwards.
        let ledger = self.ledger_of(affiliate).await?;
        let docs = self.statements_of(affiliate).await?;
        Ok(Account { ledger, closed: docs.iter().filter_map(closed_of).collect() })
    }

    /// An affiliate's next payout, with these statements of it.
    pub async fn payout_outlook(
        &self,
        affiliate: &Affiliate,
        statements: &[StatementDoc],
    ) -> Result<Outlook> {
        let ledger = self.ledger_of(affiliate.id).await?;
        let due = statements.iter().map(due);
        let shared = self.shares_its_receiver(affiliate);
        Ok(Outlook::of(affiliate, ledger, due, shared, self.zone(), self.payout_terms()))
    }
    /// Whether another affiliate has its PayPal e-mail too.
    fn shares_its_receiver(&self, affiliate: &Affiliate) -> bool {
        let Some(receiver) = &affiliate.profile.paypal_email else { return false };
        let is_same = |other: &Arc<Affiliate>| {
            let theirs = other.profile.paypal_email.as_ref();
            other.id != affiliate.id
                && other.was_ever_active()
                && theirs.is_some_and(|one| one.eq_ignore_ascii_case(receiver))
        };
        self.directory().affiliates().iter().any(is_same)
    }

    /// What each affiliate was paid and earned in a calendar year; those with neither are left out.
    pub async fn payout_year(&self, year: i32) -> std::result::Result<Vec<YearRow>, ReadError> {
        let mut rows = Vec::new();
        let affiliates = self.directory().affiliates();
        for some in affiliates.chunks(LEDGERS_AT_ONCE) {
            let accounts = try_join_all(some.iter().map(|one| self.payout_account(one.id))).await?;
            for (affiliate, account) in some.iter().zip(accounts) {
                let entries = account.ledger.entries.iter();
                let paid: Vec<Money> = entries
                    .filter(|entry| entry.on.is_some_and(|on| on.year() == year))
                    .map(|entry| entry.paid)
                    .collect();
                let closed = account.closed.iter().filter(|one| one.month.first_day().year() == year);
                let row = YearRow {
                    affiliate: Arc::clone(affiliate),
                    paid: paid.iter().copied().sum(),
                    came_back: paid.iter().copied().filter(|paid| *paid < Money::ZERO).sum(),
                    earned: closed.map(|one| one.total).sum(),
                };
                if !paid.is_empty() || !row.earned.is_zero() {
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    /// Compares all ledgers with the closed statements. Returns the affiliates that do not add up, with the reason.
    pub async fn check_payouts(&self) -> std::result::Result<Vec<(AffiliateId, Imbalance)>, ReadError> {
        let mut wrong = Vec::new();
        let affiliates = self.directory().affiliates();
        for some in affiliates.chunks(LEDGERS_AT_ONCE) {
            let accounts = try_join_all(some.iter().map(|one| self.payout_account(one.id))).await?;
            let checked = some.iter().zip(accounts);
            wrong.extend(checked.filter_map(|(one, account)| Some((one.id, account.imbalance()?))));
        }
        Ok(wrong)
    }

    /// All names of an index of the directory.
    pub(super) async fn all_members(&self, index: &str) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().map(String::as_str);
            let more = self.store.members(Partition::Directory, index, after, NAMES_AT_ONCE).await?;
            let is_last = more.len() < NAMES_AT_ONCE;
            names.extend(more);
            if is_last {
                return Ok(names);
            }
        }
    }

    /// The month whose batch is due, at or before now: it is made on the last day of the month after.
    pub(crate) fn payout_month_due(&self, at: NaiveTime) -> Month {
        let now = self.now();
        let this = self.zone().month_of(now);
        let is_due = self.zone().local_time_on(this.last_day(), at) <= now;
        if is_due { this.previous() } else { this.previous().previous() }
    }
    /// Whether a month had a batch, also one that was discarded: the schedule makes no other one.
    pub(crate) async fn had_payout(&self, month: Month) -> Result<bool> {
        let is_it = |batch: &Batch| batch.id.month == month && batch.status != BatchStatus::Making;
        Ok(self.payouts().await?.iter().any(is_it))
    }
}

/// A statement as its outlook needs it.
pub(crate) fn due(doc: &StatementDoc) -> Due {
    Due { month: doc.statement.month, total: doc.statement.total, closed: doc.is_closed() }
}

fn read_cursor(cursor: &str) -> std::result::Result<String, ReadError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| ReadError::BadCursor)?;
    String::from_utf8(bytes).map_err(|_| ReadError::BadCursor)
}
