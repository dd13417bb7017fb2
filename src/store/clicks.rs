//! Visits, and how many clicks there were.

use super::{Advance, Committed, Partition, Result};
use crate::domain::attribution::Visit;
use crate::domain::id::{AffiliateId, LinkId, VisitorId};
use crate::domain::outcome::Verdict;
use async_trait::async_trait;
use chrono::NaiveDate;
use std::ops::RangeInclusive;

/// Days in the program's time zone, the last one in.
pub type Dates = RangeInclusive<NaiveDate>;

/// Visits of visitors and clicks counted for affiliates.
#[async_trait]
pub trait Clicks: Send + Sync {
    /// Applies clicks, whole or not at all. Never answers `Stale` or `Fenced`.
    async fn apply_clicks(&self, batch: &ClickBatch) -> Result<Committed>;
    /// The visits of visitors, oldest first, in the order asked; none for a visitor not known.
    async fn visits(&self, visitors: &[VisitorId]) -> Result<Vec<Vec<Visit>>>;
    /// The counts of an affiliate, for each of the days that has any.
    async fn click_counts(&self, of: AffiliateId, days: &Dates) -> Result<Vec<DayCounts>>;
    /// The same, of verdicts, unique clicks and these links only: what is quickly read of many days.
    async fn click_totals(&self, of: AffiliateId, links: &[LinkId], days: &Dates) -> Result<Vec<DayCounts>>;
}

/// A click enters its visitor's visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitWrite {
    /// Whose. Any id is stored right; one of version 7, which begins with its time, several times cheaper.
    pub visitor: VisitorId,
    /// The visitor was made for this click: it can have no earlier visit.
    pub new_visitor: bool,
    /// The click.
    pub visit: Visit,
}

/// What clicks are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// By verdict.
    Verdict(Verdict),
    /// Human clicks without a valid cookie.
    Unique,
    /// Human clicks of a link.
    Link(LinkId),
    /// All but human clicks of a link.
    LinkOther(LinkId),
    /// Human clicks with this value of `sub1` … `sub5` (1 to 5). At most [`MAX_SUB_VALUES`] values an
    /// affiliate, day and sub are kept apart; then they are counted as the value `other`.
    Sub(u8, String),
}

/// Values of one sub id that are kept apart for an affiliate and a day.
pub const MAX_SUB_VALUES: usize = 1_000;

/// Visits kept of a visitor: the first and the newest 31.
pub const MAX_VISITS: usize = 32;

/// So many clicks more on an affiliate's day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterChange {
    /// Whose.
    pub affiliate: AffiliateId,
    /// The day, in the program's time zone.
    pub day: NaiveDate,
    /// What is counted.
    pub counter: Counter,
    /// How many more.
    pub by: u64,
}

/// A batch of clicks for one partition: the visits of visitors and the counts of affiliates that hash there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickBatch {
    /// Where.
    pub partition: Partition,
    /// The journal that they come from.
    pub advance: Advance,
    /// In the order of the journal.
    pub visits: Vec<VisitWrite>,
    /// Each affiliate, day and counter at most once.
    pub counters: Vec<CounterChange>,
    /// How long a visitor's visits are kept after the newest, in milliseconds.
    pub visits_ttl_ms: u64,
}

/// The counts of an affiliate's day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCounts {
    /// The day.
    pub day: NaiveDate,
    /// Each counter once, in any order.
    pub counts: Vec<(Counter, u64)>,
}
