//! What people are told about money that no fact of the directory says.
//!
//! A credited or qualified account and a closed statement are in other partitions than mail. So the server reads what is new
//! there, from the feed and from the list of closed months, and hands in a fact for each affiliate that is to be told
//! ([`AffiliateTold`]). How far it has read is noted after these facts are on disk: after a crash they are handed in
//! again, and a fact that repeats another one changes nothing. Old news is left out, so that history which is brought over
//! causes no mail.
//!
//! What staff are told follows from the present state of payouts: [`App::enqueue_once`] writes each letter once.

use super::actor::SERVER;
use super::layout::{FEED, NEWS, affiliate_partition, all_partitions, statement_key};
use super::work::{Work, decode, load_one};
use super::{App, MonthDoc, ReadError, StatementDoc, SubmitError};
use crate::domain::calendar::Month;
use crate::domain::fact::{AffiliateTold, Fact, Record};
use crate::domain::id::{AccountId, AffiliateId};
use crate::domain::mail::{LIFETIME, Letter, Message, News, Topic};
use crate::domain::payout::{Batch, BatchStatus, ChunkState, PayoutId};
use crate::domain::person::{Permission, Person};
use crate::store::{Committed, Lease, Partition, Result, StoreError, Stream, StreamId};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const LEASE: &str = "news";
const LEASE_MS: u64 = 10_000;
/// Entries of a partition's feed read at once.
const ENTRIES_AT_ONCE: usize = 500;
/// Statements read at once.
const STATEMENTS_AT_ONCE: usize = 500;
/// An older signup or qualification is history.
const FRESH: TimeDelta = TimeDelta::days(7);
/// An item whose end is not known for less time may still be cleared up by the next answer.
const DOUBTFUL_FOR: TimeDelta = TimeDelta::minutes(30);

/// How far news was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ReadSoFar {
    /// Each hashed partition's feed, in their order.
    feed: Vec<StreamId>,
    /// The newest closed month.
    month: Option<Month>,
}

/// What news needs of an entry of the feed.
#[derive(Debug, Deserialize)]
struct Entry {
    kind: String,
    account_id: Option<AccountId>,
    affiliate_id: Option<AffiliateId>,
    /// When the account signed up.
    at: Option<DateTime<Utc>>,
    recorded_at: Option<DateTime<Utc>>,
    #[serde(default)]
    held: bool,
    /// The claim that was granted: its own mail says so.
    claim_id: Option<String>,
    crossed_on: Option<NaiveDate>,
    month: Option<Month>,
}

impl Entry {
    /// What the affiliate is told; `None`: nothing, or it is history.
    fn news(self, now: DateTime<Utc>, today: NaiveDate) -> Option<(AffiliateId, News)> {
        let (account_id, affiliate) = (self.account_id?, self.affiliate_id?);
        let is_recorded = self.recorded_at.is_some_and(|at| now - at <= LIFETIME);
        let signed_up = self.at.zip(self.recorded_at).is_some_and(|(at, recorded)| recorded - at <= FRESH);
        let told = match &*self.kind {
            "attributed" => is_recorded && signed_up && !self.held,
            "credited" => is_recorded && self.claim_id.is_none(),
            "released" => is_recorded,
            "crossed" => {
                let is_fresh = self.crossed_on.is_some_and(|day| today - day <= FRESH);
                let month = self.month.filter(|_| is_fresh)?;
                return Some((affiliate, News::ReferralQualified { account_id, month }));
            }
            _ => false,
        };
        told.then_some((affiliate, News::ReferralCredited { account_id }))
    }
}

/// Whether a closed month is news: neither its closing is old, nor is it one of many that closed together.
fn is_news(doc: &MonthDoc, so_far: Option<Month>, now: DateTime<Utc>) -> bool {
    let newest = Month::of(doc.closing_at.date_naive()).previous();
    doc.closed
        && so_far.is_none_or(|month| doc.month > month)
        && now - doc.closing_at <= LIFETIME
        && doc.month >= newest.previous()
}

/// Why people were not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] SubmitError),
    #[error("read statements")]
    Read(#[from] ReadError),
}

impl App {
    /// Tells affiliates what is new, and staff what waits for them.
    pub(crate) async fn tell_news(&self) -> std::result::Result<(), NewsError> {
        // Until all facts are in, it is not known what was told.
        if self.is_recovering().await? {
            return Ok(());
        }
        while self.tell_affiliates().await? {}
        Ok(self.tell_staff().await?)
    }

    fn is_wanted(&self, topic: Topic) -> bool {
        !self.config().mail.off.contains(&topic)
    }

    /// Returns whether there may be more.
    async fn tell_affiliates(&self) -> std::result::Result<bool, NewsError> {
        let mut work = Work::load(&*self.store, Partition::Directory, vec![NEWS.to_owned()]).await?;
        let before: ReadSoFar = work.get(NEWS)?.unwrap_or_default();
        let mut so_far = before.clone();
        let mut news = self.news_of_feed(&mut so_far.feed).await?;
        news.extend(self.news_of_months(&mut so_far.month).await?);
        if so_far == before || !self.tells_news().await? {
            return Ok(false);
        }
        let facts = self.not_told(news).await?;
        self.take_in_own(&facts).await?;
        work.put(NEWS, &so_far)?;
        // Another node may have been faster; what was handed in twice has one effect.
        Ok(self.store.commit(&work.into_commit()).await? == Committed::Done && so_far.feed != before.feed)
    }

    /// Whether this node is the one that tells news now.
    async fn tells_news(&self) -> Result<bool> {
        Ok(self.store.lease(LEASE, &self.node_name(), LEASE_MS).await? != Lease::Held)
    }

    async fn news_of_feed(
        &self,
        places: &mut Vec<StreamId>,
    ) -> std::result::Result<Vec<(AffiliateId, News)>, NewsError> {
        let wants = [Topic::ReferralCredited, Topic::ReferralQualified].map(|topic| self.is_wanted(topic));
        if wants == [false, false] {
            return Ok(Vec::new());
        }
        let partitions = all_partitions(self.store.partitions()).filter(|it| *it != Partition::Directory);
        let partitions: Vec<Partition> = partitions.collect();
        places.resize(partitions.len(), StreamId::default());
        let reads = partitions.iter().zip(&*places);
        let reads =
            reads.map(|(one, after)| self.store.read_stream(Stream(*one, FEED), *after, ENTRIES_AT_ONCE));
        let read = try_join_all(reads).await?;
        let (now, today) = (self.now(), self.zone().date_of(self.now()));
        let mut all = Vec::new();
        for (place, entries) in places.iter_mut().zip(read) {
            for entry in entries {
                *place = entry.id;
                let told = decode::<Entry>(FEED, &entry.body)?.news(now, today);
                if let Some((affiliate, news)) = told.filter(|(_, news)| self.is_wanted(news.topic()))
                    && self.earns(affiliate, &news).await?
                {
                    all.push((affiliate, news));
                }
            }
        }
        Ok(all)
    }

    /// Whether a qualification still stands, and earns something. Other news earns nothing yet.
    async fn earns(&self, affiliate: AffiliateId, news: &News) -> Result<bool> {
        let News::ReferralQualified { account_id, month } = news else { return Ok(true) };
        let partition = affiliate_partition(affiliate, self.store.partitions());
        let doc =
            load_one::<StatementDoc>(&*self.store, partition, &statement_key(affiliate, *month)).await?;
        let lines = doc.filter(|doc| !doc.withdrawn).map(|doc| doc.statement.lines).unwrap_or_default();
        Ok(lines.iter().any(|line| line.account_id == *account_id && !line.amount.is_zero()))
    }

    async fn news_of_months(
        &self,
        so_far: &mut Option<Month>,
    ) -> std::result::Result<Vec<(AffiliateId, News)>, NewsError> {
        let (now, directory) = (self.now(), self.directory());
        let months = directory.months().filter(|doc| is_news(doc, *so_far, now)).map(|doc| doc.month);
        let months: Vec<Month> = months.collect();
        *so_far = months.last().copied().or(*so_far);
        let mut all = Vec::new();
        for month in months.into_iter().filter(|_| self.is_wanted(Topic::StatementFinal)) {
            let mut cursor = None;
            loop {
                let page = self.statements(Some(month), None, cursor.as_deref(), STATEMENTS_AT_ONCE).await?;
                all.extend(page.data.iter().filter_map(|doc| self.news_of_statement(doc)));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(all)
    }
    fn news_of_statement(&self, doc: &StatementDoc) -> Option<(AffiliateId, News)> {
        let says = &doc.statement;
        let (month, total, currency) = (says.month, says.total, self.settings.rules.currency.clone());
        let is_final = doc.is_closed() && !total.is_zero();
        is_final.then_some((says.affiliate_id, News::StatementFinal { month, total, currency }))
    }

    /// The facts of news that was not told yet.
    async fn not_told(&self, news: Vec<(AffiliateId, News)>) -> Result<Vec<Record>> {
        let facts = news.into_iter().map(|(affiliate_id, news)| AffiliateTold { affiliate_id, news });
        let facts: Vec<AffiliateTold> = facts.collect();
        let keys: Vec<String> = facts.iter().map(AffiliateTold::told_key).collect();
        let mut told = Vec::with_capacity(keys.len());
        for some in keys.chunks(STATEMENTS_AT_ONCE) {
            told.extend(self.store.load(Partition::Directory, some).await?);
        }
        let (at, by) = (self.by_all_clocks(), SERVER.to_owned());
        let new = facts.into_iter().zip(told).filter(|(_, told)| told.is_none());
        Ok(new.map(|(fact, _)| Record { at, by: by.clone(), fact: Fact::AffiliateTold(fact) }).collect())
    }

    /// Tells staff who may make payouts what waits for them.
    async fn tell_staff(&self) -> Result<()> {
        let mut letters = self.letters_of_batches().await?;
        letters.extend(self.letters_of_doubts().await?);
        let directory = self.directory();
        for member in directory.staff().iter().filter(|member| member.may(Permission::Payouts)) {
            for (at, what, message) in &letters {
                let letter = Letter {
                    to: member.email.clone(),
                    name: member.name.clone(),
                    person: Some(Person::Staff(member.id)),
                    message: message.clone(),
                };
                self.enqueue_once(*at, &format!("{what} {}", member.id), letter).await?;
            }
        }
        Ok(())
    }

    /// What is new about batches: since when, what, and the message.
    async fn letters_of_batches(&self) -> Result<Vec<(DateTime<Utc>, String, Message)>> {
        let batches = self.payouts().await?;
        Ok(batches.iter().flat_map(|batch| waits(batch).into_iter().chain(refusals(batch))).collect())
    }

    /// Payments that a person has to look at, once a day for each batch.
    async fn letters_of_doubts(&self) -> Result<Vec<(DateTime<Utc>, String, Message)>> {
        let now = self.now();
        let today = self.zone().date_of(now);
        let mut counts: BTreeMap<PayoutId, u32> = BTreeMap::new();
        for (id, item) in self.payouts_for_a_person().await? {
            if now - item.changed_at >= DOUBTFUL_FOR {
                *counts.entry(id.payout).or_default() += 1;
            }
        }
        let letters = counts.into_iter().map(|(payout_id, items)| {
            let message = Message::PayoutDoubts { payout_id, items };
            (self.zone().start_of(today), format!("payout doubts {payout_id}"), message)
        });
        Ok(letters.collect())
    }
}

/// A batch that waits for approval.
fn waits(batch: &Batch) -> Option<(DateTime<Utc>, String, Message)> {
    (batch.status == BatchStatus::Draft).then(|| {
        let (payout_id, total, currency) = (batch.id, batch.total, batch.currency.clone());
        let message = Message::PayoutWaits { payout_id, items: batch.items(), total, currency };
        (batch.created_at, format!("payout waits {payout_id}"), message)
    })
}

/// Calls that PayPal refused.
fn refusals(batch: &Batch) -> impl Iterator<Item = (DateTime<Utc>, String, Message)> {
    batch.chunks.iter().filter_map(|chunk| {
        let ChunkState::Refused { why } = &chunk.state else { return None };
        let message = Message::PayoutRefused { payout_id: batch.id, why: why.clone() };
        let what = format!("payout refused {} {} {}", batch.id, chunk.number, chunk.attempts);
        Some((chunk.last_at, what, message))
    })
}
