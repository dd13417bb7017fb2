//! The money of the story: two payouts by PayPal's file. The first one pays all statements through September; one of its
//! payments is denied, and the next payout makes it again.

use super::world::{Partner, World, expect};
use crate::cli::Failure;
use crate::cli::client::{full, good};
use crate::cli::show::{Column, number, table, text};
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// What PayPal says of a payment that it denied because the receiver's account is locked.
const LOCKED: &str = "RECEIVER_ACCOUNT_LOCKED";

const BALANCES: &[Column] = &[
    text("AFFILIATE", "/name"),
    number("OWED", "/owed"),
    number("UNDER WAY", "/under_way"),
    number("PAID", "/paid"),
    text("", "/currency"),
];

/// What the payouts came to.
pub(super) struct Payouts {
    /// Both batches, as they are in the end.
    pub batches: Vec<Value>,
    /// What each affiliate is owed, what is under way to it and what it was paid.
    pub balances: Vec<Value>,
}

impl Payouts {
    /// Pays the year's statements, and checks what each affiliate has then.
    pub(super) async fn run(world: &mut World, north: &Partner, bert: &Partner) -> Result<Self, Failure> {
        let september = first(world, north, bert).await?;
        let october = second(world, bert).await?;
        let balances = [
            balance(world, north, ["0.00", "0.00", "3433.00"]).await?,
            balance(world, bert, ["0.00", "0.00", "398.00"]).await?,
        ];
        let batches = [batch(world, &september).await?, batch(world, &october).await?];
        Ok(Self { batches: batches.to_vec(), balances: balances.to_vec() })
    }

    /// Shows where the money is in the end.
    pub(super) fn print_balances(&self) -> Result<(), Failure> {
        table(&self.balances, BALANCES)
    }
}

/// The payout at the end of October: one payment is made, one is denied. Returns its id.
async fn first(world: &mut World, north: &Partner, bert: &Partner) -> Result<String, Failure> {
    world.print("\nOctober 31: the first payout, for September and the months before.")?;
    world.until("2026-10-31T10:00:00-04:00").await?;
    says_what_was_paid_elsewhere(world).await?;
    let draft = draft(world, "2026-09", "3831.00").await?;
    world
        .print(&format!("  It pays April to September: {} $3,433.00, {} $398.00.", north.name, bert.name))?;
    let (id, file) = approved_and_exported(world, &draft).await?;
    world.print("  It is approved by its hash, so what was looked at is paid. A person uploads this file on PayPal's site:")?;
    for row in file.lines() {
        world.print(&format!("    {row}"))?;
    }

    let report = report(&file, |receiver| if receiver == bert.email { Err(LOCKED) } else { Ok(()) });
    expect("what PayPal's report changes", &reads(world, &id, &report).await?, &json!(2))?;
    expect("what the same report changes again", &reads(world, &id, &report).await?, &json!(0))?;
    balance(world, north, ["0.00", "0.00", "3433.00"]).await?;
    balance(world, bert, ["398.00", "0.00", "0.00"]).await?;
    world.print(&format!(
        "  PayPal's report: {} is paid. {} is not ({LOCKED}): its $398.00 are owed again.",
        north.name, bert.name
    ))?;
    world.print("  The same report, read twice, changes nothing more.")?;
    Ok(id)
}

/// A first payout of earlier months is refused until somebody says that nobody has paid them yet.
async fn says_what_was_paid_elsewhere(world: &World) -> Result<(), Failure> {
    let headers = [("content-type", "application/json")];
    let asked = json!({ "month": "2026-09" }).to_string();
    let refused = world.staff.ask(Method::POST, "/v1/payouts", &headers, full(asked)).await?;
    expect("the status of a payout of earlier months", &refused.status, &StatusCode::CONFLICT)?;
    expect("why it is refused", &refused.body["code"], &json!("opening_unknown"))?;
    world.staff.send(Method::POST, "/v1/payouts/opening", &json!({ "through": null })).await?;
    world.print("  It is refused (409) until a person says which months were paid elsewhere: none.")
}

/// The batch of a month is made.
async fn draft(world: &World, month: &str, total: &str) -> Result<Value, Failure> {
    let draft = world.staff.send(Method::POST, "/v1/payouts", &json!({ "month": month })).await?;
    expect(&format!("the total of the payout for {month}"), &draft["total"], &json!(total))?;
    Ok(draft)
}

/// The payout at the end of November makes the payment that was denied. Returns its id.
async fn second(world: &mut World, bert: &Partner) -> Result<String, Failure> {
    world.print(&format!("\nNovember: another PayPal e-mail for {}.", bert.name))?;
    world.until("2026-11-10T10:00:00-05:00").await?;
    let path = format!("/v1/affiliates/{}", bert.id);
    world.staff.send(Method::PATCH, &path, &json!({ "paypal_email": "bert@pay.example" })).await?;
    world.until("2026-11-30T10:00:00-05:00").await?;
    let draft = draft(world, "2026-10", "398.00").await?;
    let (id, file) = approved_and_exported(world, &draft).await?;
    expect("what its report changes", &reads(world, &id, &report(&file, |_| Ok(()))).await?, &json!(1))?;
    world.print(&format!(
        "  November 30: the payout for October, {id}, takes what is owed from before: the $398.00 are paid."
    ))?;
    Ok(id)
}

/// A draft is approved as it was looked at, and becomes PayPal's file. Returns its id and the file.
async fn approved_and_exported(world: &World, draft: &Value) -> Result<(String, String), Failure> {
    let id = text_of(&draft["id"])?;
    let path = format!("/v1/payouts/{id}");
    let looked_at = json!({ "hash": draft["hash"] });
    let approved = world.staff.send(Method::POST, &format!("{path}/approve"), &looked_at).await?;
    expect("the status of an approved payout", &approved["status"], &json!("approved"))?;
    let file = world.staff.file(Method::POST, &format!("{path}/export"), &json!({})).await?;
    let file = String::from_utf8(file.to_vec());
    Ok((id, file.map_err(|_| Failure::other("the demo failed: PayPal's file is no text"))?))
}

/// The report that PayPal's site would give about the file, with what became of each receiver's payment.
fn report(file: &str, became: impl Fn(&str) -> Result<(), &'static str>) -> String {
    let mut report = "Transaction ID,Recipient,Customer ID,Amount,Currency,Status,Reason\r\n".to_owned();
    for (number, row) in (1..).zip(file.lines()) {
        // Receivers, amounts and ids of this story need no quotes.
        let mut cells = row.split(',');
        let mut next = || cells.next().unwrap_or_default();
        let (receiver, amount, currency, item) = (next(), next(), next(), next());
        let (transaction, status, reason) = match became(receiver) {
            Ok(()) => (format!("9PE35473MC41699{number}Y"), "Completed", ""),
            // PayPal gives no transaction to what it denies.
            Err(reason) => (String::new(), "Denied", reason),
        };
        report.extend([transaction.as_str(), ",", receiver, ",", item, ",", amount, ",", currency]);
        report.extend([",", status, ",", reason, "\r\n"]);
    }
    report
}

/// PayPal's report is read. Returns how many of its rows changed something.
async fn reads(world: &World, id: &str, report: &str) -> Result<Value, Failure> {
    let headers = [("content-type", "text/csv")];
    let path = format!("/v1/payouts/{id}/results");
    let answer = good(world.staff.ask(Method::POST, &path, &headers, full(report.to_owned())).await?)?;
    expect("the rows of PayPal's report for a person", &answer["for_a_person"], &json!(0))?;
    Ok(answer["changes"].clone())
}

/// An affiliate's balance, which must be this: owed, under way, paid.
async fn balance(world: &World, partner: &Partner, wanted: [&str; 3]) -> Result<Value, Failure> {
    let mut balance = world.get(&format!("/v1/affiliates/{}/balance", partner.id)).await?;
    let found = ["owed", "under_way", "paid"].map(|key| balance[key].clone());
    expect(&format!("the balance of {}", partner.name), &found, &wanted.map(|amount| json!(amount)))?;
    balance["name"] = json!(partner.name);
    Ok(balance)
}

async fn batch(world: &World, id: &str) -> Result<Value, Failure> {
    let batch = world.get(&format!("/v1/payouts/{id}")).await?;
    expect(&format!("the status of {id}"), &batch["status"], &json!("settled"))?;
    Ok(batch)
}

fn text_of(value: &Value) -> Result<String, Failure> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::other(format!("the demo failed: {value} is no text")))
}
