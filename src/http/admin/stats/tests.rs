use super::*;
use crate::app::{ReferralState, ReferralSummary};
use crate::domain::calendar::Month;
use crate::domain::id::LinkId;
use crate::domain::naive;
use crate::domain::outcome::Verdict;
use crate::domain::statement::{Adjustment, Line, Statement};
use crate::store::{Counter, DayCounts};
use serde_json::json;

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a literal")
}

fn ask(query: &str) -> Result<Question, Problem> {
    let mut params = Params::read(Some(query))?;
    let question = Question::read(&mut params, day("2026-04-30"))?;
    params.done().map(|()| question)
}

#[test]
fn a_period_is_the_last_thirty_days_unless_given() {
    let table = [
        ("", "2026-04-01", "2026-04-30"),
        ("to=2026-03-31", "2026-03-02", "2026-03-31"),
        ("from=2026-04-30", "2026-04-30", "2026-04-30"),
        ("from=2025-04-29&to=2026-04-30", "2025-04-29", "2026-04-30"),
    ];
    for (query, from, to) in table {
        let question = ask(query).expect("a good period");
        assert_eq!((question.from, question.to), (day(from), day(to)), "{query}");
    }
}

#[test]
fn a_period_has_bounds() {
    let table = [
        ("from=2026-05-01", Problem::InvalidTo),
        ("from=2025-04-28&to=2026-04-30", Problem::InvalidTo),
        ("from=2026-4-1", Problem::InvalidFrom),
        ("from=2026-02-30", Problem::InvalidFrom),
        ("from=0001-01-01", Problem::InvalidFrom),
        ("from=%2b262143-12-31", Problem::InvalidFrom),
        ("to=9999-12-31", Problem::InvalidTo),
        ("to=now", Problem::InvalidTo),
        ("by=sub6", Problem::InvalidBy),
        ("by=", Problem::InvalidBy),
        ("affiliate_id=aff_1", Problem::InvalidAffiliateId),
        ("afiliate_id=aff_0000000000001", Problem::UnknownParameter),
    ];
    for (query, problem) in table {
        assert_eq!(ask(query).err(), Some(problem), "{query}");
    }
}

fn referral(account: &str, link: Option<LinkId>, crossed_on: Option<&str>) -> ReferralSummary {
    ReferralSummary {
        account_id: account.parse().expect("a literal"),
        plan: "growth".parse().expect("a literal"),
        signed_up_at: "2026-04-02T12:00:00Z".parse().expect("a literal"),
        signed_up_on: day("2026-04-02"),
        state: ReferralState::Active,
        active_days: 90,
        mark_days: 90,
        crossed_on: crossed_on.map(day),
        expected_on: None,
        has_rate: true,
        earned: None,
        earned_for: None,
        via: None,
        clicked_at: None,
        link_id: link,
        counts_for_tier: true,
    }
}

fn statement() -> Statement {
    let line = |account: &str, crossed_on| Line {
        account_id: account.parse().expect("a literal"),
        plan: "growth".parse().expect("a literal"),
        crossed_on: day(crossed_on),
        amount: Money::from_cents(9_900),
        note: None,
    };
    let adjustment = Adjustment {
        for_month: Month { year: 2026, month: 3 },
        account_id: "acct_9".parse().expect("a literal"),
        stated: Money::from_cents(14_900),
        now: Money::from_cents(9_900),
        amount: Money::from_cents(-5_000),
    };
    let lines = vec![line("acct_81", "2026-04-20"), line("acct_82", "2026-03-01")];
    naive::statement("2026-04", lines, vec![adjustment])
}

fn asked(query: &str) -> (Question, Report) {
    let question = ask(query).expect("a good question");
    (question, Report::new(question.from..=question.to, question.by.cut()))
}

fn figures(query: &str) -> serde_json::Value {
    let link = LinkId::from_bits(1);
    let counts = vec![
        (Counter::Verdict(Verdict::Human), 5),
        (Counter::Verdict(Verdict::Bot), 2),
        (Counter::Unique, 4),
        (Counter::Link(link), 5),
        (Counter::LinkOther(link), 2),
        (Counter::Sub(1, "mail".into()), 3),
        (Counter::Sub(2, "spring".into()), 1),
    ];
    let (question, mut report) = asked(query);
    report.count_clicks(&[DayCounts { day: day("2026-04-02"), counts }]);
    report.count_referral(&referral("acct_81", Some(link), Some("2026-04-20")));
    report.count_statement(&statement());
    serde_json::to_value(answer(question, &report, "USD".into())).expect("plain data")
}

#[test]
fn figures_by_day() {
    let answer = figures("by=day");
    assert_eq!(
        answer["clicks"],
        json!({"total": 7, "human": 5, "unique": 4, "by_reason": {"human": 5, "bot": 2}})
    );
    assert_eq!((&answer["signups"], &answer["crossings"]), (&json!(1), &json!(1)));
    assert_eq!((&answer["earned"], &answer["adjusted"]), (&json!("99.00"), &json!("-50.00")));
    assert_eq!(
        answer["rows"],
        json!([
            {"key": "2026-04-02", "clicks": {"total": 7, "human": 5, "unique": 4, "by_reason": {"human": 5, "bot": 2}},
                "signups": 1, "crossings": 0, "earned": "0.00"},
            {"key": "2026-04-20", "clicks": {"total": 0, "human": 0, "unique": 0, "by_reason": {}},
                "signups": 0, "crossings": 1, "earned": "99.00"},
        ])
    );
}

#[test]
fn figures_by_link_and_by_sub_id() {
    assert_eq!(
        figures("by=link")["rows"],
        json!([{"key": "lnk_0000000000001", "clicks": {"total": 7, "human": 5}, "signups": 1, "crossings": 1,
            "earned": "99.00"}])
    );
    assert_eq!(figures("by=sub1")["rows"], json!([{"key": "mail", "clicks": {"human": 3}}]));
    assert_eq!(figures("by=sub3")["rows"], json!([]));
}

#[test]
fn what_lies_outside_the_period_is_not_counted() {
    let answer = figures("from=2026-04-21&to=2026-04-30");
    assert_eq!(
        (&answer["signups"], &answer["crossings"], &answer["earned"]),
        (&json!(0), &json!(0), &json!("0.00"))
    );
}

#[test]
fn crossings_are_those_of_referrals_whatever_statements_say() {
    let (question, mut report) = asked("by=day");
    // Its line was undone by an adjustment; the other one crossed in a month that was closed without it.
    report.count_referral(&referral("acct_81", None, None));
    report.count_referral(&referral("acct_9", None, Some("2026-04-03")));
    report.count_statement(&statement());
    let answer = serde_json::to_value(answer(question, &report, "USD".into())).expect("plain data");
    assert_eq!((&answer["crossings"], &answer["earned"]), (&json!(1), &json!("99.00")));
    let of = |key: &str| answer["rows"].as_array()?.iter().find(|row| row["key"] == key).cloned();
    assert_eq!(of("2026-04-03").expect("a row")["crossings"], 1);
    assert_eq!(of("2026-04-20").expect("a row")["crossings"], 0);
}
