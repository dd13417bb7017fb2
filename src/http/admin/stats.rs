//! Figures: clicks, signups, qualifications and earnings of a period.
//!
//! What counts is said by `app::Report`, which every face draws.

use crate::app::{Cut, Report, Tally};
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use crate::domain::named::named;
use crate::http::answer::ok;
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use chrono::{Datelike, Days, NaiveDate};
use serde::Serialize;
use std::collections::BTreeMap;
use std::str::FromStr;

/// The longest period, in days.
const MAX_DAYS: i64 = 367;
/// The period when none is given: today and the 29 days before.
const DEFAULT_DAYS_BACK: u64 = 29;

/// Shows the figures of a period.
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
    )
)]
pub async fn read(State(state): State<ApiState>, mut params: Params) -> Result<Response, Problem> {
    let today = state.app.zone().date_of(state.app.now());
    let question = Question::read(&mut params, today)?;
    params.done()?;
    if let Some(id) = question.affiliate {
        state.app.directory().affiliate(id).ok_or(Problem::UnknownAffiliate)?;
    }
    let days = question.from..=question.to;
    let counts = state.app.click_counts(question.affiliate, &days).await?;
    let mut report = Report::new(days, question.by.cut());
    report.count_clicks(&counts);
    let affiliates = match question.affiliate {
        Some(id) => vec![id],
        None => state.app.directory().affiliates().iter().map(|one| one.id).collect(),
    };
    for affiliate in affiliates {
        let statements = state.app.statements_of(affiliate).await?;
        for referral in state.app.referrals_of(affiliate, &statements).await? {
            report.count_referral(&referral);
        }
        for doc in &statements {
            report.count_statement(&doc.statement);
        }
    }
    Ok(ok(&answer(question, &report, state.app.config().program.currency.clone())))
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

named! {
    /// What figures are cut by.
    pub enum By {
        /// Days of the program's time zone.
        Day = "day",
        /// Links.
        Link = "link",
        /// Values of `sub1`.
        Sub1 = "sub1",
        /// Values of `sub2`.
        Sub2 = "sub2",
        /// Values of `sub3`.
        Sub3 = "sub3",
        /// Values of `sub4`.
        Sub4 = "sub4",
        /// Values of `sub5`.
        Sub5 = "sub5",
    }
}

impl By {
    const fn cut(self) -> Cut {
        match self {
            Self::Day => Cut::Day,
            Self::Link => Cut::Link,
            Self::Sub1 => Cut::Sub(1),
            Self::Sub2 => Cut::Sub(2),
            Self::Sub3 => Cut::Sub(3),
            Self::Sub4 => Cut::Sub(4),
            Self::Sub5 => Cut::Sub(5),
        }
    }
}

fn answer(question: Question, report: &Report, currency: String) -> Stats {
    let by = question.by;
    Stats {
        affiliate_id: question.affiliate,
        from: question.from,
        to: question.to,
        by,
        clicks: Clicks::of(&report.total),
        signups: report.total.signups,
        crossings: report.total.crossings,
        earned: report.total.earned,
        adjusted: report.adjusted,
        by_hand: report.by_hand,
        currency,
        rows: report.rows.iter().map(|(key, tally)| Row::of(key.to_string(), tally, by)).collect(),
    }
}

impl Clicks {
    fn of(tally: &Tally) -> Self {
        let by_reason = tally.by_verdict.iter().map(|(verdict, count)| (verdict.code(), *count)).collect();
        let Tally { people: human, others, unique, .. } = *tally;
        Self { total: human + others, human, unique, by_reason }
    }
}

/// The figures of a period.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Stats {
    /// Whose; null: of all.
    #[schema(value_type = Option<String>)]
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
    /// Accounts that qualified.
    pub crossings: u64,
    /// The lines of statements whose qualification lies in the period.
    #[schema(value_type = String, example = "99.00")]
    pub earned: Money,
    /// The adjustments on statements of months that the period touches.
    #[schema(value_type = String, example = "-50.00")]
    pub adjusted: Money,
    /// The lines by hand on them.
    #[schema(value_type = String, example = "50.00")]
    pub by_hand: Money,
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
    /// By what they were classified as.
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
    /// Accounts that qualified; left out by sub id.
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
    /// By what they were classified as.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<std::collections::BTreeMap<String, u64>>)]
    pub by_reason: Option<BTreeMap<&'static str, u64>>,
}

impl Row {
    fn of(key: String, figures: &Tally, by: By) -> Self {
        let all = Clicks::of(figures);
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
        let known = matches!(by, By::Day | By::Link);
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
