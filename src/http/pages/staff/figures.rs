//! The program's figures: clicks, signups, qualifications, earnings, by day or by month.

use super::words::Words;
use super::{Staff, Visit, export};
use crate::app::{Cut, Tally};
use crate::domain::calendar::Month;
use crate::domain::money::Money;
use crate::http::pages::PageError;
use crate::http::pages::chart::{Chart, Unit};
use crate::http::pages::table::csv_file;
use crate::http::pages::view::count_in_words;
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
    const fn cut(self) -> Cut {
        if matches!(self, Self::Year) { Cut::Month } else { Cut::Day }
    }
    fn first_day(self, today: NaiveDate) -> NaiveDate {
        match self {
            Self::Month => today - Days::new(29),
            Self::Quarter => today - Days::new(89),
            Self::Year => (0..11).fold(Month::of(today), |month, _| month.previous()).first_day(),
        }
    }
}

struct Asked {
    period: Period,
    csv: bool,
}

fn read(raw: Option<&str>) -> Result<Asked, PageError> {
    let mut asked = Asked { period: Period::Month, csv: false };
    for (key, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
        match (&*key, &*value) {
            ("period", name) => {
                let known = Period::ALL.iter().find(|(_, code, _)| *code == name);
                asked.period = known.ok_or(PageError::BadRequest)?.0;
            }
            ("format", "csv") => asked.csv = true,
            _ => return Err(PageError::BadRequest),
        }
    }
    Ok(asked)
}

pub async fn page(visit: Visit<Staff>) -> Result<Response, PageError> {
    let Asked { period, csv } = read(visit.raw.as_deref())?;
    let (words, zone) = (Words::of(&visit), visit.app.zone());
    let today = zone.date_of(visit.app.now());
    let from = period.first_day(today);
    let figures = visit.app.program_figures(from, today, period.cut()).await?;
    let points = figures.report.each();
    if csv {
        return as_csv(&visit.who, &points);
    }
    let total = &figures.report.total;
    let chart = |id, title: &str, series: &[&'static str], unit, values: fn(&Tally) -> Vec<i64>| {
        let along = if period == Period::Year { "Month" } else { "Day" };
        let name = |day| if period == Period::Year { words.month(Month::of(day)) } else { words.day(day) };
        let points = points.iter().map(|(day, one)| (name(*day), values(one))).collect();
        let title = format!("{title} by {}", along.to_lowercase());
        Chart { id, title, along, series: series.to_vec(), points, unit }.bars()
    };
    let clicks = chart("clicks", "Clicks", &["people", "bots and others"], Unit::Count, |one| {
        vec![whole(one.people), whole(one.others)]
    });
    let series = ["signups", "qualified"];
    let referrals = chart("referrals", "Signups and qualifications", &series, Unit::Count, |one| {
        vec![whole(one.signups), whole(one.crossings)]
    });
    let unit = Unit::Cents(visit.app.config().program.currency.clone());
    let money = chart("earned", "Earned", &["earned"], unit, |one| vec![cents(one.earned)]);
    let periods: Vec<_> = Period::ALL
        .iter()
        .map(|(one, code, name)| json!({"code": code, "name": name, "chosen": *one == period}))
        .collect();
    let code = Period::ALL.iter().find(|(one, ..)| *one == period).map_or("30", |(_, code, _)| code);
    let content = json!({
        "periods": periods, "period": code, "from": words.day(from), "to": words.day(today), "as_of": words.at(figures.as_of),
        "people": count_in_words(whole(total.people)), "others": count_in_words(whole(total.others)),
        "signups": count_in_words(whole(total.signups)), "crossings": count_in_words(whole(total.crossings)),
        "earned": words.money(total.earned), "charts": [clicks, referrals, money],
    });
    Ok(visit.page("staff/figures.html", "figures", content))
}

/// A count, for a picture.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// An amount in hundredths, for a picture.
fn cents(amount: Money) -> i64 {
    let hundredths = amount.decimal() * rust_decimal::Decimal::ONE_HUNDRED;
    hundredths.trunc().to_string().parse().unwrap_or(0)
}

fn as_csv(who: &Staff, points: &BTreeMap<NaiveDate, Tally>) -> Result<Response, PageError> {
    let heads = ["from", "clicks_people", "clicks_others", "signups", "crossings", "earned"];
    let mut lines = vec![heads.map(str::to_owned).to_vec()];
    for (day, one) in points {
        let numbers = [one.people, one.others, one.signups, one.crossings].map(|number| number.to_string());
        let mut line = vec![day.to_string()];
        line.extend(numbers);
        line.push(one.earned.to_string());
        lines.push(line);
    }
    export(who, "figures", csv_file(&lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Report;

    #[test]
    fn a_year_is_twelve_months_and_a_month_thirty_days() {
        let today = "2026-11-23".parse().expect("a day");
        for (period, first, points) in [(Period::Year, "2025-12-01", 12), (Period::Month, "2026-10-25", 30)] {
            let from = period.first_day(today);
            assert_eq!(from, first.parse().expect("a day"));
            assert_eq!(Report::new(from..=today, period.cut()).each().len(), points);
        }
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
