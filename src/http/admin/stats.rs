//! Figures: clicks, signups, crossings and earnings of a period.
//!
//! Clicks are counted as they are recorded. Signups and crossings are those of accounts credited now: a crossing that
//! late facts undid is none, one that became known late is one.
//! Earnings are the lines of statements, by the day of crossing; adjustments stand apart, as they belong to
//! no day.

use crate::app::ReferralSummary;
use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, AffiliateId, LinkId};
use crate::domain::money::Money;
use crate::domain::outcome::Verdict;
use crate::domain::statement::Statement;
use crate::http::answer::ok;
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::state::ApiState;
use crate::store::{Counter, DayCounts};
use axum::extract::State;
use axum::response::Response;
use chrono::{Datelike, Days, NaiveDate};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

/// The longest period, in days.
const MAX_DAYS: i64 = 367;
/// The period when none is given: today and the 29 days before.
const DEFAULT_DAYS_BACK: u64 = 29;

/// Tells the figures of a period.
///
/// Of one affiliate, or of all. `by` cuts them by day, by link, or by a sub id; clicks by sub id are of people only,
/// and nothing else is known by sub id.
#[utoipa::path(
    get, path = "/v1/stats", tag = "stats",
    params(
        ("affiliate_id" = Option<String>, Query, description = "Only of this affiliate", pattern = "^aff_[0-9a-z]{13}$", example = "aff_0a1b2c3d4e5f6"),
        ("from" = Option<String>, Query, description = "First day, in the program's time zone; absent: 29 days before `to`", pattern = "^20[0-9]{2}-[0-9]{2}-[0-9]{2}$", example = "2026-04-01"),
        ("to" = Option<String>, Query, description = "Last day; absent: today. At most 366 days after `from`", pattern = "^20[0-9]{2}-[0-9]{2}-[0-9]{2}$", example = "2026-04-30"),
        ("by" = Option<By>, Query, description = "What `rows` are cut by; absent: `day`"),
    ),
    responses(
        (status = 200, body = Stats, description = "The figures"),
        (status = 404, body = ProblemDoc, content_type = "application/problem+json", description = "`unknown_affiliate`"),
    ),
    security(("bearer" = []))
)]
pub async fn read(State(state): State<ApiState>, mut params: Params) -> Result<Response, Problem> {
    let today = state.app.zone().date_of(state.app.now());
    let question = Question::read(&mut params, today)?;
    params.done()?;
    if let Some(id) = question.affiliate {
        state.app.directory().affiliate(id).ok_or(Problem::UnknownAffiliate)?;
    }
    let mut tally = Tally::new(question);
    let counts = state.app.click_counts(question.affiliate, question.from, question.to).await?;
    tally.count_clicks(&counts);
    let affiliates = match question.affiliate {
        Some(id) => vec![id],
        None => state.app.directory().affiliates().iter().map(|one| one.id).collect(),
    };
    for affiliate in affiliates {
        let statements = state.app.statements_of(affiliate).await?;
        for referral in state.app.referrals_of(affiliate, &statements).await? {
            tally.count_referral(&referral);
        }
        for doc in &statements {
            tally.count_statement(&doc.statement);
        }
    }
    Ok(ok(&tally.answer(state.app.config().program.currency.clone())))
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
struct Question {
    affiliate: Option<AffiliateId>,
    from: NaiveDate,
    to: NaiveDate,
    by: By,
}

impl Question {
    fn read(params: &mut Params, today: NaiveDate) -> Result<Self, Problem> {
        let affiliate = params.optional("affiliate_id")?;
        let from: Option<Day> = params.optional("from")?;
        let to: Option<Day> = params.optional("to")?;
        let by = params.optional("by")?.unwrap_or(By::Day);
        let to = to.map_or(today, |day| day.0);
        let from = from.map_or(to - Days::new(DEFAULT_DAYS_BACK), |day| day.0);
        if !(0..MAX_DAYS).contains(&(to - from).num_days()) {
            return Err(Problem::InvalidTo);
        }
        Ok(Self { affiliate, from, to, by })
    }
    fn holds(&self, day: NaiveDate) -> bool {
        self.from <= day && day <= self.to
    }
}

/// A date of four-digit years from 2000 on: `2026-04-01`.
struct Day(NaiveDate);
impl FromStr for Day {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| ())?;
        let plain = text.len() == 10 && (2_000..=9_000).contains(&date.year());
        if plain { Ok(Self(date)) } else { Err(()) }
    }
}

/// What figures are cut by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Days of the program's time zone.
    Day,
    /// Links.
    Link,
    /// Values of `sub1`.
    Sub1,
    /// Values of `sub2`.
    Sub2,
    /// Values of `sub3`.
    Sub3,
    /// Values of `sub4`.
    Sub4,
    /// Values of `sub5`.
    Sub5,
}

impl FromStr for By {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "day" => Ok(Self::Day),
            "link" => Ok(Self::Link),
            "sub1" => Ok(Self::Sub1),
            "sub2" => Ok(Self::Sub2),
            "sub3" => Ok(Self::Sub3),
            "sub4" => Ok(Self::Sub4),
            "sub5" => Ok(Self::Sub5),
            _ => Err(()),
        }
    }
}

impl By {
    /// The number of the sub id.
    const fn sub(self) -> Option<u8> {
        match self {
            Self::Day | Self::Link => None,
            Self::Sub1 => Some(1),
            Self::Sub2 => Some(2),
            Self::Sub3 => Some(3),
            Self::Sub4 => Some(4),
            Self::Sub5 => Some(5),
        }
    }
}

/// Figures as they add up.
struct Tally {
    question: Question,
    total: Figures,
    rows: BTreeMap<String, Figures>,
    adjusted: Money,
    /// The link that each account came through, to know a line's.
    links: HashMap<AccountId, LinkId>,
}

#[derive(Debug, Default, Clone)]
struct Figures {
    human: u64,
    unique: u64,
    by_verdict: BTreeMap<Verdict, u64>,
    other: u64,
    signups: u64,
    crossings: u64,
    earned: Money,
}

impl Tally {
    fn new(question: Question) -> Self {
        Self {
            question,
            total: Figures::default(),
            rows: BTreeMap::new(),
            adjusted: Money::ZERO,
            links: HashMap::new(),
        }
    }

    fn row(&mut self, key: String) -> &mut Figures {
        self.rows.entry(key).or_default()
    }

    fn count_clicks(&mut self, days: &[DayCounts]) {
        let by = self.question.by;
        for (day, counter, count) in days
            .iter()
            .flat_map(|day| day.counts.iter().map(move |(counter, count)| (day.day, counter, *count)))
        {
            match counter {
                Counter::Verdict(verdict) => {
                    self.total.count_verdict(*verdict, count);
                    if by == By::Day {
                        self.row(day.to_string()).count_verdict(*verdict, count);
                    }
                }
                Counter::Unique => {
                    self.total.unique += count;
                    if by == By::Day {
                        self.row(day.to_string()).unique += count;
                    }
                }
                Counter::Link(link) if by == By::Link => self.row(link.to_string()).human += count,
                Counter::LinkOther(link) if by == By::Link => self.row(link.to_string()).other += count,
                Counter::Sub(number, value) if by.sub() == Some(*number) => {
                    self.row(value.clone()).human += count;
                }
                Counter::Link(_) | Counter::LinkOther(_) | Counter::Sub(..) => {}
            }
        }
    }

    fn count_referral(&mut self, referral: &ReferralSummary) {
        let (by, question) = (self.question.by, self.question);
        if let Some(link) = referral.link_id {
            self.links.insert(referral.account_id.clone(), link);
        }
        let key_of = |day: NaiveDate| match by {
            By::Day => Some(day.to_string()),
            By::Link => Some(referral.link_id.map_or_else(|| NO_LINK.to_owned(), |link| link.to_string())),
            _ => None,
        };
        if question.holds(referral.signed_up_on) {
            self.total.signups += 1;
            if let Some(key) = key_of(referral.signed_up_on) {
                self.row(key).signups += 1;
            }
        }
        if let Some(day) = referral.crossed_on.filter(|day| question.holds(*day)) {
            self.total.crossings += 1;
            if let Some(key) = key_of(day) {
                self.row(key).crossings += 1;
            }
        }
    }

    fn count_statement(&mut self, statement: &Statement) {
        let question = self.question;
        let Question { from, to, .. } = question;
        if (Month::of(from)..=Month::of(to)).contains(&statement.month) {
            self.adjusted += statement.adjustments.iter().map(|one| one.amount).sum();
        }
        for line in statement.lines.iter().filter(|line| question.holds(line.crossed_on)) {
            self.total.earned += line.amount;
            let key = match self.question.by {
                By::Day => line.crossed_on.to_string(),
                By::Link => {
                    self.links.get(&line.account_id).map_or_else(|| NO_LINK.to_owned(), LinkId::to_string)
                }
                _ => continue,
            };
            self.row(key).earned += line.amount;
        }
    }

    fn answer(self, currency: String) -> Stats {
        let by = self.question.by;
        let rows = self.rows.into_iter().map(|(key, figures)| Row::of(key, &figures, by)).collect();
        Stats {
            affiliate_id: self.question.affiliate,
            from: self.question.from,
            to: self.question.to,
            by,
            clicks: self.total.clicks(),
            signups: self.total.signups,
            crossings: self.total.crossings,
            earned: self.total.earned,
            adjusted: self.adjusted,
            currency,
            rows,
        }
    }
}

/// The key of what came through no link: by a code, or by hand.
const NO_LINK: &str = "none";

impl Figures {
    fn count_verdict(&mut self, verdict: Verdict, count: u64) {
        *self.by_verdict.entry(verdict).or_default() += count;
        if verdict.is_human() {
            self.human += count;
        } else {
            self.other += count;
        }
    }
    fn clicks(&self) -> Clicks {
        let by_reason = self.by_verdict.iter().map(|(verdict, count)| (verdict.code(), *count)).collect();
        Clicks { total: self.human + self.other, human: self.human, unique: self.unique, by_reason }
    }
}

/// The figures of a period.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Stats {
    /// Whose; null: of all.
    #[schema(required, value_type = Option<String>)]
    pub affiliate_id: Option<AffiliateId>,
    /// First day.
    #[schema(value_type = String, format = Date)]
    pub from: NaiveDate,
    /// Last day.
    #[schema(value_type = String, format = Date)]
    pub to: NaiveDate,
    /// What `rows` are cut by.
    pub by: By,
    /// Clicks.
    pub clicks: Clicks,
    /// Accounts that signed up and are credited now.
    pub signups: u64,
    /// Accounts that crossed the mark.
    pub crossings: u64,
    /// The lines of statements whose crossing lies in the period.
    #[schema(value_type = String, example = "99.00")]
    pub earned: Money,
    /// The adjustments on statements of months that the period touches.
    #[schema(value_type = String, example = "-50.00")]
    pub adjusted: Money,
    /// ISO 4217 code.
    pub currency: String,
    /// The same, cut.
    pub rows: Vec<Row>,
}

/// Clicks of a period.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Clicks {
    /// All that were recorded.
    pub total: u64,
    /// Made by people, on links that may earn.
    pub human: u64,
    /// Human ones without a valid cookie.
    pub unique: u64,
    /// By what they were judged to be.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub by_reason: BTreeMap<&'static str, u64>,
}

/// Figures of a day, a link or a sub id's value.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Row {
    /// The day, the link's id (`none`: by a code or by hand), or the value.
    pub key: String,
    /// Clicks: of a day as above; of a link `total` and `human`; of a value `human`.
    pub clicks: RowClicks,
    /// Accounts that signed up; left out by sub id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub signups: Option<u64>,
    /// Accounts that crossed the mark; left out by sub id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub crossings: Option<u64>,
    /// What they earned; left out by sub id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, example = "99.00")]
    pub earned: Option<Money>,
}

/// Clicks of a row; what is not counted so is left out.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct RowClicks {
    /// All.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total: Option<u64>,
    /// Made by people.
    pub human: u64,
    /// Human ones without a valid cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unique: Option<u64>,
    /// By what they were judged to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<std::collections::BTreeMap<String, u64>>)]
    pub by_reason: Option<BTreeMap<&'static str, u64>>,
}

impl Row {
    fn of(key: String, figures: &Figures, by: By) -> Self {
        let all = figures.clicks();
        let clicks = match by {
            By::Day => RowClicks {
                total: Some(all.total),
                human: all.human,
                unique: Some(all.unique),
                by_reason: Some(all.by_reason),
            },
            By::Link => RowClicks { total: Some(all.total), human: all.human, ..RowClicks::default() },
            _ => RowClicks { human: all.human, ..RowClicks::default() },
        };
        let known = by.sub().is_none();
        Self {
            key,
            clicks,
            signups: known.then_some(figures.signups),
            crossings: known.then_some(figures.crossings),
            earned: known.then_some(figures.earned),
        }
    }
}

#[cfg(test)]
mod tests;
