//! The demo's story. Every amount was computed by hand from the program's rules: 90 active days in New York's
//! calendar, then $39/$99/$299 by plan, or $59/$149/$449 with 25 active accounts or more.

use super::payout::Payouts;
use super::world::{Partner, World, expect};
use crate::cli::Failure;
use crate::cli::show::{Show, line};
use crate::cli::statement;
use http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

/// What is shown at the end.
pub(super) struct Story {
    nights: u64,
    north: Partner,
    /// May 2026, the month in which the agency reaches the second tier.
    may: Value,
    /// June 2026, with the adjustments.
    june: Value,
    payouts: Payouts,
}

impl Story {
    /// Runs through the year, and checks the results.
    pub(super) async fn run(world: &mut World) -> Result<Self, Failure> {
        world.print("\nThree affiliates are imported from the company's former system.")?;
        let north = world.brings_over("Northwind Agency", "partners@northwind.example").await?;
        let bert = world.brings_over("Bert's Blog", "bert@blog.example").await?;
        let quiet = world.brings_over("Quiet Corner", "hello@quiet.example").await?;
        world.print(&format!("  {} shares {}", north.name, north.url))?;

        winter(world, &north, &bert, &quiet).await?;
        spring(world, &north).await?;
        summer(world, &north).await?;
        world.print("\nJuly to October: nightly runs, and months that close.")?;
        world.until("2026-10-30T12:00:00-04:00").await?;
        let payouts = Payouts::run(world, &north, &bert).await?;
        world.print("\nThe rest of the year.")?;
        world.until("2027-01-04T12:00:00-05:00").await?;
        world.print(&format!("  {} nightly runs were made.", world.nights))?;

        check_programs(world, &quiet).await?;
        check_bert(world, &bert).await?;
        let (may, june) = check_north(world, &north).await?;
        Ok(Self { nights: world.nights, north, may, june, payouts })
    }

    /// Shows the results of the year.
    pub(super) fn end(self, show: Show, took: Duration) -> Result<(), Failure> {
        let summary = json!({
            "nights": self.nights, "milliseconds": took.as_millis().to_string(),
            "statements": [self.may, self.june],
            "payouts": self.payouts.batches, "balances": self.payouts.balances,
        });
        show.result(&summary, || {
            line(&format!("\nMay of {}: with 25 active accounts, the second tier.\n", self.north.name))?;
            statement::print(&self.may)?;
            line("\nJune: a cancellation of May was reported after May was closed. May had 24 active accounts, so its")?;
            line("three commissions are reduced by $50.00 each, as adjustments; the closed May stays as it is.\n")?;
            statement::print(&self.june)?;
            line("\nBoth statements name the payout that paid them. In all, what was earned is paid:\n")?;
            self.payouts.print_balances()?;
            line(&format!("\nAll amounts are as computed by hand. {:.1} seconds. Next, try:", took.as_secs_f64()))?;
            for next in NEXT {
                line(next)?;
            }
            Ok(())
        })
    }
}

const NEXT: [&str; 8] = [
    "  counterfoil serve                                     a server of your own, in ./data, and its pages for people:",
    "                                                          http://127.0.0.1:8080/apply   join the program",
    "                                                          http://127.0.0.1:8080/login   the affiliates' portal",
    "                                                          http://127.0.0.1:8081/admin   staff; serve prints a link for the first sign-in",
    "  counterfoil affiliate bring-over --name Ada --email ada@example.com --agreement-accepted-at 2026-01-01T00:00:00Z",
    "  counterfoil aggregate --dry-run                       what a nightly run would close",
    "  counterfoil payout status                             what is in the way of payouts, and what waits for a person",
    "  counterfoil --help                                    everything else",
];

async fn winter(world: &mut World, north: &Partner, bert: &Partner, quiet: &Partner) -> Result<(), Failure> {
    world.print("\nJanuary: prospects follow links and sign up.")?;
    world.until("2026-01-05T10:00:00-05:00").await?;
    for (account, plan) in
        [("bert-upgrader", "performance"), ("bert-pauser", "growth"), ("bert-leaver", "growth")]
    {
        let visitor = world.follows(bert).await?;
        credited(world, account, plan, visitor.by_click(), bert, "click").await?;
    }
    world.print("  3 sign up through Bert's Blog.")?;

    world.until("2026-01-08T15:00:00-05:00").await?;
    let programs = world.programs_follow(quiet).await?;
    world.print(&format!(
        "  {programs} bots follow Quiet Corner's link (previews, a scanner, an image: redirected; a prefetch: refused); nobody is credited."
    ))?;

    world.until("2026-01-10T11:00:00-05:00").await?;
    for number in 1..=19 {
        let account = format!("north-{number:02}");
        match number {
            19 => credited(world, &account, "growth", json!({ "code": north.code }), north, "code").await?,
            18 => {
                let visitor = world.follows(north).await?;
                credited(world, &account, "growth", visitor.by_cookie(), north, "cookie").await?;
            }
            _ => {
                let visitor = world.follows(north).await?;
                credited(world, &account, "growth", visitor.by_click(), north, "click").await?;
            }
        }
    }
    world.print(
        "  19 sign up through Northwind Agency: 17 by the click, 1 by the cookie alone, 1 by a typed code.",
    )?;

    let again = world.signs_up("north-19", "growth", json!({ "code": north.code })).await?;
    expect("the status of a repeated callback", &again.status, &StatusCode::OK)?;
    expect("the mark of a repeated callback", &again.headers.contains_key("idempotency-replayed"), &true)?;
    let other = world.signs_up("north-19", "connect", json!({ "code": north.code })).await?;
    expect("the status of a contradicting callback", &other.status, &StatusCode::CONFLICT)?;
    world.print("  A callback sent twice has one effect; one that contradicts it is refused (409).")?;

    world.until("2026-01-20T20:00:00-05:00").await?;
    let slow_visitor = world.follows(bert).await?;

    world.print("\nFebruary and March: a pause, more signups.")?;
    world.until("2026-02-01T09:00:00-05:00").await?;
    world.happens("bert-pauser", "suspended", None, "2026-02-01T09:00:00-05:00").await?;
    world.until("2026-02-03T15:00:00-05:00").await?;
    world.happens("bert-pauser", "activated", None, "2026-02-03T15:00:00-05:00").await?;
    world.print("  bert-pauser does not pay for two days: February 1st, 2nd and 3rd do not count.")?;
    world.until("2026-02-10T10:00:00-05:00").await?;
    sign_up(world, north, 20..=22, "growth").await?;
    world.until("2026-03-12T10:00:00-04:00").await?;
    sign_up(world, north, 23..=24, "growth").await?;
    world.print("  5 more through Northwind Agency.")?;

    world.print("\nApril: the first ones reach 90 active days.")?;
    world.until("2026-04-04T12:00:00-04:00").await?;
    world.happens("bert-leaver", "canceled", None, "2026-04-04T12:00:00-04:00").await?;
    world.until("2026-04-05T18:00:00-04:00").await?;
    world.happens("bert-upgrader", "plan_changed", Some("connect"), "2026-04-05T18:00:00-04:00").await?;
    world.print("  bert-leaver leaves with 88 active days; bert-upgrader changes to Connect on its 90th.")?;
    world.until("2026-04-25T10:00:00-04:00").await?;
    let answer = world.signs_up("slow-visitor", "growth", slow_visitor.by_click()).await?;
    expect(
        "the reason of a signup 95 days after the click",
        &answer.body["reason"],
        &json!("outside_window"),
    )?;
    world.print(
        "  A visitor from January signs up 95 days after the click: outside the window, so nobody is credited.",
    )
}

async fn spring(world: &mut World, north: &Partner) -> Result<(), Failure> {
    world.print("\nMay: Northwind Agency's 25th active account.")?;
    world.until("2026-05-05T10:00:00-04:00").await?;
    sign_up(world, north, 25..=25, "performance").await?;
    let april = statement_of(world, north, "2026-04").await?;
    expect("Northwind's active accounts in April", &april["active_accounts"], &json!(24))?;
    expect("Northwind's April", &april["total"], &json!("1881.00"))?;
    world.print("  April's statement: 24 active accounts, the first tier: 19 × $99.00 = $1,881.00.")?;
    world.until("2026-06-05T10:00:00-04:00").await?;
    let may = statement_of(world, north, "2026-05").await?;
    expect("Northwind's May", &may["total"], &json!("447.00"))?;
    world.print("  May's statement: 25 active accounts, the second tier: 3 × $149.00 = $447.00.")
}

async fn summer(world: &mut World, north: &Partner) -> Result<(), Failure> {
    world.print("\nJune: a late report.")?;
    world.until("2026-06-10T11:00:00-04:00").await?;
    world.happens("north-07", "canceled", None, "2026-05-29T16:00:00-04:00").await?;
    world.print(
        "  north-07 left on May 29, but this is reported only now: 24 accounts were active at the end of May.",
    )?;
    world.until("2026-06-15T10:00:00-04:00").await?;
    sign_up(world, north, 26..=27, "connect").await?;
    world.until("2026-07-05T10:00:00-04:00").await
}

/// Prospects follow the link and sign up, one after the other.
async fn sign_up(
    world: &mut World,
    north: &Partner,
    numbers: std::ops::RangeInclusive<u32>,
    plan: &str,
) -> Result<(), Failure> {
    for number in numbers {
        let visitor = world.follows(north).await?;
        credited(world, &format!("north-{number:02}"), plan, visitor.by_click(), north, "click").await?;
    }
    Ok(())
}

async fn credited(
    world: &mut World,
    account: &str,
    plan: &str,
    evidence: Value,
    partner: &Partner,
    via: &str,
) -> Result<(), Failure> {
    let answer = world.signs_up(account, plan, evidence).await?;
    expect("the status of a signup's callback", &answer.status, &StatusCode::CREATED)?;
    expect("the credited affiliate", &answer.body["affiliate_id"], &json!(partner.id))?;
    expect("the evidence that was believed", &answer.body["via"], &json!(via))
}

async fn statement_of(world: &World, partner: &Partner, month: &str) -> Result<Value, Failure> {
    let page = world.get(&format!("/v1/statements?month={month}&affiliate_id={}", partner.id)).await?;
    let statement = &page["data"][0];
    expect(&format!("the state of {month} of {}", partner.name), &statement["status"], &json!("closed"))?;
    Ok(statement.clone())
}

async fn check_programs(world: &World, quiet: &Partner) -> Result<(), Failure> {
    let path = format!("/v1/stats?affiliate_id={}&from=2026-01-01&to=2026-12-31", quiet.id);
    let stats = world.get(&path).await?;
    expect("Quiet Corner's clicks", &stats["clicks"]["total"], &json!(7))?;
    expect("Quiet Corner's human clicks", &stats["clicks"]["human"], &json!(0))?;
    expect("Quiet Corner's signups", &stats["signups"], &json!(0))?;
    world.print(&format!("  Quiet Corner's 7 clicks by reason: {}.", stats["clicks"]["by_reason"]))
}

async fn check_bert(world: &World, bert: &Partner) -> Result<(), Failure> {
    let crossings = [
        ("bert-upgrader", json!("2026-04-05")),
        ("bert-pauser", json!("2026-04-08")),
        ("bert-leaver", json!(null)),
    ];
    for (account, crossed_on) in &crossings {
        let found = world.get(&format!("/v1/accounts/{account}")).await?;
        expect(&format!("the day on which {account} qualified"), &found["crossed_on"], crossed_on)?;
    }
    let april = statement_of(world, bert, "2026-04").await?;
    expect("Bert's April", &april["total"], &json!("398.00"))?;
    world.print("  Bert's April: Connect $299.00 (its plan at the end of its 90th day) and Growth $99.00 (3 days late).")
}

async fn check_north(world: &World, north: &Partner) -> Result<(Value, Value), Failure> {
    let months = [
        ("2026-04", "1881.00"),
        ("2026-05", "447.00"),
        ("2026-06", "148.00"),
        ("2026-07", "0.00"),
        ("2026-08", "59.00"),
        ("2026-09", "898.00"),
        ("2026-12", "0.00"),
    ];
    for (month, total) in months {
        let statement = statement_of(world, north, month).await?;
        expect(&format!("Northwind's {month}"), &statement["total"], &json!(total))?;
    }
    let (may, june) =
        (statement_of(world, north, "2026-05").await?, statement_of(world, north, "2026-06").await?);
    expect("May's tier", &may["tier_from"], &json!(25))?;
    expect("May's active accounts", &may["active_accounts"], &json!(25))?;
    let amounts: Vec<&Value> = june["adjustments"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|adjustment| &adjustment["amount"])
        .collect();
    let down = json!("-50.00");
    expect("June's adjustments", &amounts, &vec![&down, &down, &down])?;
    Ok((may, june))
}
