//! The program's figures: clicks, signups, crossings, earnings, by day or by month.

use super::words::Words;
use super::{Staff, export_lines};
use crate::app::ProgramDay;
use crate::domain::calendar::Month;
use crate::domain::money::Money;
use crate::http::pages::chart::{Chart, Unit, grouped};
use crate::http::pages::{Fault, PageState};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::{Days, NaiveDate};
use serde_json::json;
use std::collections::BTreeMap;
use url::form_urlencoded;

/// A period, and what its points are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Period {
    /// The last 30 days, by day.
    Month,
    /// The last 90 days, by day.
    Quarter,
    /// The last 12 months, by month.
    Year,
}

impl Period {
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Month, "30", "Last 30 days"),
        (Self::Quarter, "90", "Last 90 days"),
        (Self::Year, "year", "Last 12 months"),
    ];
    fn first_day(self, today: NaiveDate) -> NaiveDate {
        match self {
            Self::Month => today - Days::new(29),
            Self::Quarter => today - Days::new(89),
            Self::Year => (0..11).fold(Month::of(today), |month, _| month.previous()).first_day(),
        }
    }
}

/// Figures of a point.
#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    people: i64,
    others: i64,
    signups: i64,
    crossings: i64,
    earned: Money,
}

impl Figures {
    fn add(&mut self, day: &ProgramDay) {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.people = self.people.saturating_add(count(day.people));
        self.others = self.others.saturating_add(count(day.others));
        self.signups += count(day.signups);
        self.crossings += count(day.crossings);
        self.earned += day.earned;
    }
}

struct Asked {
    period: Period,
    csv: bool,
}

fn read(raw: Option<&str>) -> Result<Asked, Fault> {
    let mut asked = Asked { period: Period::Month, csv: false };
    for (key, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
        match (&*key, &*value) {
            ("period", name) => {
                let known = Period::ALL.iter().find(|(_, code, _)| *code == name);
                asked.period = known.ok_or(Fault::BadRequest)?.0;
            }
            ("format", "csv") => asked.csv = true,
            _ => return Err(Fault::BadRequest),
        }
    }
    Ok(asked)
}

pub async fn page(
    State(state): State<PageState>,
    who: Staff,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let Asked { period, csv } = read(raw.as_deref())?;
    let (words, zone) = (Words::of(&state), state.app.zone());
    let today = zone.date_of(state.app.now());
    let from = period.first_day(today);
    let figures = state.app.program_figures(from, today).await?;
    let mut points = Points::new(period, from, today);
    for (day, one) in &figures.days {
        points.at(*day, |point| point.add(one));
    }
    if csv {
        return as_csv(&who, &points);
    }
    let total = points.total();
    let money = points.chart(
        &words,
        "earned",
        "Earned",
        &["earned"],
        Unit::Cents(state.app.config().program.currency.clone()),
        |one| vec![cents(one.earned)],
    );
    let referrals = points.chart(
        &words,
        "referrals",
        "Signups and crossings",
        &["signups", "crossed the mark"],
        Unit::Count,
        |one| vec![one.signups, one.crossings],
    );
    let clicks =
        points.chart(&words, "clicks", "Clicks", &["people", "bots and others"], Unit::Count, |one| {
            vec![one.people, one.others]
        });
    let periods: Vec<_> = Period::ALL
        .iter()
        .map(|(one, code, name)| json!({"code": code, "name": name, "chosen": *one == period}))
        .collect();
    let code = Period::ALL.iter().find(|(one, ..)| *one == period).map_or("30", |(_, code, _)| code);
    let content = json!({
        "periods": periods, "period": code, "from": words.day(from), "to": words.day(today), "as_of": words.at(figures.as_of),
        "people": grouped(total.people), "others": grouped(total.others), "signups": grouped(total.signups),
        "crossings": grouped(total.crossings), "earned": words.money(total.earned),
        "charts": [clicks.bars(), referrals.bars(), money.bars()],
    });
    Ok(state.page("staff/figures.html", &who.chrome("figures", None), content))
}

/// An amount in hundredths, for a picture.
fn cents(amount: Money) -> i64 {
    let hundredths = amount.decimal() * rust_decimal::Decimal::ONE_HUNDRED;
    hundredths.trunc().to_string().parse().unwrap_or(0)
}

/// The figures of each point of a period.
struct Points {
    period: Period,
    from: NaiveDate,
    to: NaiveDate,
    /// By the first day of each point.
    figures: BTreeMap<NaiveDate, Figures>,
}

impl Points {
    fn new(period: Period, from: NaiveDate, to: NaiveDate) -> Self {
        let mut points = Self { period, from, to, figures: BTreeMap::new() };
        for day in from.iter_days().take_while(|day| *day <= to) {
            points.at(day, |_| ());
        }
        points
    }
    fn at(&mut self, day: NaiveDate, change: impl FnOnce(&mut Figures)) {
        if (self.from..=self.to).contains(&day) {
            let key = if self.period == Period::Year { Month::of(day).first_day() } else { day };
            change(self.figures.entry(key).or_default());
        }
    }
    fn total(&self) -> Figures {
        self.figures.values().fold(Figures::default(), |sum, one| Figures {
            people: sum.people.saturating_add(one.people),
            others: sum.others.saturating_add(one.others),
            signups: sum.signups + one.signups,
            crossings: sum.crossings + one.crossings,
            earned: sum.earned + one.earned,
        })
    }
    fn name(&self, words: &Words<'_>, day: NaiveDate) -> String {
        if self.period == Period::Year { words.month(Month::of(day)) } else { words.day(day) }
    }
    fn chart(
        &self,
        words: &Words<'_>,
        id: &'static str,
        title: &str,
        series: &[&'static str],
        unit: Unit,
        values: impl Fn(&Figures) -> Vec<i64>,
    ) -> Chart {
        let along = if self.period == Period::Year { "Month" } else { "Day" };
        let points = self.figures.iter().map(|(day, one)| (self.name(words, *day), values(one)));
        Chart {
            id,
            title: format!("{title} by {}", along.to_lowercase()),
            along,
            series: series.to_vec(),
            points: points.collect(),
            unit,
        }
    }
}

fn as_csv(who: &Staff, points: &Points) -> Result<Response, Fault> {
    let heads = ["from", "clicks_people", "clicks_others", "signups", "crossings", "earned"];
    let mut lines = vec![heads.map(str::to_owned).to_vec()];
    for (day, one) in &points.figures {
        let numbers = [one.people, one.others, one.signups, one.crossings].map(|number| number.to_string());
        let mut line = vec![day.to_string()];
        line.extend(numbers);
        line.push(one.earned.to_string());
        lines.push(line);
    }
    export_lines(who, "figures", &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_twelve_months_and_days_outside_are_left_out() {
        let day = |text: &str| text.parse::<NaiveDate>().expect(text);
        let today = day("2026-11-23");
        let from = Period::Year.first_day(today);
        assert_eq!(from, day("2025-12-01"));
        let mut points = Points::new(Period::Year, from, today);
        assert_eq!(points.figures.len(), 12);
        for at in ["2025-11-30", "2025-12-01", "2026-11-23", "2026-11-24"] {
            points.at(day(at), |one| one.signups += 1);
        }
        assert_eq!(points.total().signups, 2);
        assert_eq!(Points::new(Period::Month, Period::Month.first_day(today), today).figures.len(), 30);
    }

    #[test]
    fn amounts_are_drawn_in_hundredths() {
        for (text, expected) in [("0.00", 0), ("99.50", 9_950), ("-50.00", -5_000)] {
            assert_eq!(cents(text.parse().expect(text)), expected);
        }
    }

    #[test]
    fn only_known_periods_are_shown() {
        assert!(
            read(Some("period=year&format=csv")).is_ok_and(|asked| asked.csv && asked.period == Period::Year)
        );
        for bad in ["period=1000", "period", "x=1", "format=pdf"] {
            assert!(read(Some(bad)).is_err(), "{bad}");
        }
    }
}
