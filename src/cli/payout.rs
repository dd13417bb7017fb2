//! `payout …`

use super::args::{Found, Held, Payout};
use super::client::{Client, full};
use super::session::with_server;
use super::show::{Column, Show, line, number, print_fields, table, text};
use super::{Context, Failure};
use crate::domain::payout::ItemId;
use http::Method;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

const LIST: &[Column] = &[
    text("PAYOUT", "/id"),
    text("STATUS", "/status"),
    text("METHOD", "/method"),
    number("TOTAL", "/total"),
    text("", "/currency"),
    number("CARRIED", "/carried"),
    text("MADE", "/created_at"),
    text("APPROVED BY", "/approved_by"),
];

const HEAD: &[Column] = &[
    text("payout", "/id"),
    text("status", "/status"),
    text("method", "/method"),
    number("total", "/total"),
    text("currency", "/currency"),
    text("items", "/counts"),
    number("carried", "/carried"),
    text("made by", "/by"),
    text("made", "/created_at"),
    text("approved by", "/approved_by"),
    text("approved", "/approved_at"),
    text("discarded", "/discarded"),
    text("exports", "/exports"),
    text("calls", "/calls"),
    text("hash", "/hash"),
];

const ITEMS: &[Column] = &[
    text("ITEM", "/id"),
    text("AFFILIATE", "/affiliate_id"),
    text("RECEIVER", "/receiver"),
    number("AMOUNT", "/amount"),
    text("STATUS", "/status"),
    text("PAID", "/paid_at"),
    text("REASON", "/reason"),
    text("NOTICES", "/notices"),
];

const CARRIED: &[Column] =
    &[text("AFFILIATE", "/affiliate_id"), number("AMOUNT", "/amount"), text("REASONS", "/reasons")];

const RESULTS: &[Column] = &[
    number("LINE", "/line"),
    text("OUTCOME", "/outcome"),
    text("ITEM", "/item_id"),
    text("BEFORE", "/before"),
    text("AFTER", "/after"),
    text("", "/why"),
];

const BALANCE: &[Column] = &[
    number("owed", "/owed"),
    number("under way", "/under_way"),
    number("paid", "/paid"),
    text("currency", "/currency"),
    text("does not add up", "/does_not_add_up"),
];

pub(super) async fn run(context: Context<'_>, command: Payout) -> Result<(), Failure> {
    let show = context.show;
    with_server(&context, async |client: &Client| Commands { client, show }.run(command).await).await
}

struct Commands<'a> {
    client: &'a Client,
    show: Show,
}

impl Commands<'_> {
    async fn run(&self, command: Payout) -> Result<(), Failure> {
        match command {
            Payout::List => self.list("/v1/payouts", LIST, "no payouts").await,
            Payout::Make { month } => self.act("/v1/payouts", &json!({"month": month}), HEAD).await,
            Payout::Show { payout } => self.get(&format!("/v1/payouts/{payout}"), HEAD).await,
            Payout::Items { payout, status } => {
                let query = status.map(|status| format!("?status={status}")).unwrap_or_default();
                self.list(&format!("/v1/payouts/{payout}/items{query}"), ITEMS, "no payments").await
            }
            Payout::Carried { payout } => {
                self.list(&format!("/v1/payouts/{payout}/carried"), CARRIED, "nothing is carried").await
            }
            Payout::Approve { payout, hash, method } => {
                let asked = json!({"hash": hash, "method": method});
                self.act(&format!("/v1/payouts/{payout}/approve"), &asked, HEAD).await
            }
            Payout::Submit { payout } => {
                self.act(&format!("/v1/payouts/{payout}/submit"), &json!({}), HEAD).await
            }
            Payout::Seen { item, reason } => {
                self.act(&format!("{}/seen", path_of(item)), &json!({"reason": reason}), ITEMS).await
            }
            Payout::Discard { payout, reason } => {
                self.act(&format!("/v1/payouts/{payout}/discard"), &json!({"reason": reason}), HEAD).await
            }
            Payout::Export { payout, part, out, again } => {
                let asked = json!({"part": part, "again": again});
                self.export(&format!("/v1/payouts/{payout}/export"), &asked, &out).await
            }
            Payout::Results { payout, file, dry_run } => {
                self.results(&format!("/v1/payouts/{payout}/results?dry_run={dry_run}"), &file).await
            }
            Payout::Paid { what, on, reference, reason } => {
                let asked = json!({"paid_at": on, "reference": reference, "reason": reason});
                self.paid(&what, &asked).await
            }
            Payout::Withdraw { item, reason } => {
                self.act(&format!("{}/withdraw", path_of(item)), &json!({"reason": reason}), ITEMS).await
            }
            Payout::Resolve { item, outcome, on, reason } => {
                let outcome = match outcome {
                    Found::Paid => "paid",
                    Found::NotPaid => "not_paid",
                };
                let asked = json!({"outcome": outcome, "paid_at": on, "reason": reason});
                self.act(&format!("{}/resolve", path_of(item)), &asked, ITEMS).await
            }
            Payout::Status => self.status().await,
            Payout::Balance { affiliate } => {
                self.get(&format!("/v1/affiliates/{affiliate}/balance"), BALANCE).await
            }
            Payout::Release { affiliate, what, up_to, reason } => {
                let what = match what {
                    Held::Blocked => "blocked",
                    Held::SharedReceiver => "shared_receiver",
                    Held::Sum => "sum",
                };
                let asked = json!({"what": what, "up_to": up_to, "reason": reason});
                self.act(&format!("/v1/affiliates/{affiliate}/payouts/release"), &asked, BALANCE).await
            }
            Payout::Opening { paid_through, none: _, affiliate } => {
                let asked = json!({"through": paid_through, "affiliate_id": affiliate});
                let said = self.client.send(Method::POST, "/v1/payouts/opening", &asked).await?;
                self.show.result(&said, || match paid_through {
                    Some(month) => line(&format!("statements through {month} count as paid elsewhere")),
                    None => line("no statement counts as paid elsewhere"),
                })
            }
            Payout::Year { year } => {
                let path = format!("/v1/payouts/year?year={year}");
                let csv = self.client.file(Method::GET, &path, &Value::Null).await?;
                std::io::stdout().write_all(&csv).map_err(|error| Failure::other(error.to_string()))
            }
        }
    }

    async fn list(&self, path: &str, columns: &[Column], none: &str) -> Result<(), Failure> {
        self.show.list(&self.client.list(path).await?, columns, none)
    }
    async fn get(&self, path: &str, fields: &[Column]) -> Result<(), Failure> {
        let answer = self.client.get(path).await?;
        self.show.result(&answer, || print_fields(&answer, fields))
    }
    async fn act(&self, path: &str, asked: &Value, fields: &[Column]) -> Result<(), Failure> {
        let answer = self.client.send(Method::POST, path, asked).await?;
        self.show.result(&answer, || match answer.get("accepted") {
            Some(_) => line("it is on disk, and will be done when the store is back"),
            None => print_fields(&answer, fields),
        })
    }

    /// The file is made before the payments count as exported, so that a full disk is noticed before.
    async fn export(&self, path: &str, asked: &Value, out: &Path) -> Result<(), Failure> {
        let unwritable = |error: std::io::Error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::Usage(format!(
                "{} exists; name another file, so that none is uploaded twice",
                out.display()
            )),
            _ => Failure::Usage(format!("can't write {}: {error}", out.display())),
        };
        let mut file = File::create_new(out).map_err(unwritable)?;
        let csv = match self.client.file(Method::POST, path, asked).await {
            Ok(csv) => csv,
            Err(failure) => {
                drop(file);
                // It is empty: nothing is lost if it can't be removed.
                let _ = std::fs::remove_file(out);
                return Err(failure);
            }
        };
        file.write_all(&csv).and_then(|()| file.sync_all()).map_err(|error| {
            Failure::other(format!(
                "the payments count as exported, and {} could not be written ({error}); export again with --again",
                out.display()
            ))
        })?;
        let rows = csv.split(|byte| *byte == b'\n').count() - 1;
        let result = json!({"file": out, "rows": rows});
        self.show.result(&result, || {
            line(&format!(
                "{rows} payments in {}; upload it once, then read PayPal's report with `payout results`",
                out.display()
            ))
        })
    }

    async fn results(&self, path: &str, file: &Path) -> Result<(), Failure> {
        let bytes = std::fs::read(file).map_err(|error| {
            Failure::Usage(format!(
                "can't read {}: {error}; name the CSV file that PayPal made",
                file.display()
            ))
        })?;
        let headers = [("content-type", "text/csv")];
        let answer = self.client.ask(Method::POST, path, &headers, full(bytes)).await?;
        let answer = super::client::good(answer)?;
        self.show.result(&answer, || {
            table(answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default(), RESULTS)?;
            line(&format!("{} changes, {} rows for a person", answer["changes"], answer["for_a_person"]))
        })
    }

    async fn paid(&self, what: &str, asked: &Value) -> Result<(), Failure> {
        if let Ok(item) = what.parse::<ItemId>() {
            return self.act(&format!("{}/paid", path_of(item)), asked, ITEMS).await;
        }
        let payout: crate::domain::payout::PayoutId = what.parse().map_err(|_| {
            Failure::Usage(format!("{what} is no payout and no payment; `payout list` shows them"))
        })?;
        let answer = self.client.send(Method::POST, &format!("/v1/payouts/{payout}/paid"), asked).await?;
        self.show.result(&answer, || line(&format!("{} payments are noted as paid", answer["items"])))
    }

    async fn status(&self) -> Result<(), Failure> {
        let answer = self.client.get("/v1/payouts/status").await?;
        let list = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
        self.show.result(&answer, || {
            let (stops, items, wrong) = (list("stops"), list("for_a_person"), list("does_not_add_up"));
            if stops.is_empty() {
                line("nothing is in the way of payouts")?;
            }
            for stop in &stops {
                line(&format!("in the way: {}", super::show::shown(Some(stop))))?;
            }
            if !items.is_empty() {
                table(&items, ITEMS)?;
            }
            for one in &wrong {
                let said = |key: &str| super::show::shown(one.get(key));
                line(&format!("{} is not paid: {}", said("affiliate_id"), said("why")))?;
            }
            Ok(())
        })
    }
}

fn path_of(item: ItemId) -> String {
    format!("/v1/payouts/{}/items/{item}", item.payout)
}
