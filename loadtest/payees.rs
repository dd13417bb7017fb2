//! Affiliates to whom a closed month owes something, and a member of staff who looks at it.

use crate::http::{Admin, Connection};
use crate::night::{import, lines};
use crate::server::Server;
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Days after a month's end when it is surely closed.
const CLOSED_AFTER: u32 = 5;
/// The clock is behind that of the store: a measurement puts it forward, and it must never be ahead.
const BEHIND: TimeDelta = TimeDelta::hours(16);

/// The time at which all this happens.
pub struct Time {
    pub now: DateTime<Utc>,
    /// The first day of the month that is paid.
    month: NaiveDate,
}

impl Time {
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the store has the time of today")]
        let now = Utc::now() - BEHIND;
        let today = now.date_naive();
        let back = if today.day() > CLOSED_AFTER { 1 } else { 2 };
        // Neither is a day that does not exist: the first of a month, and some months before it.
        let month = today.with_day(1).expect("a first day") - Months::new(back);
        Self { now, month }
    }
    pub fn month(&self) -> String {
        self.month.format("%Y-%m").to_string()
    }
    /// In the middle of the month that is paid.
    fn signup(&self) -> String {
        format!("{}-10T12:00:00Z", self.month())
    }
    /// Before that month.
    fn agreed(&self) -> String {
        format!("{}T00:00:00Z", self.month - Months::new(2))
    }
}

/// The journal writes what comes at the same time together.
const AT_ONCE: usize = 64;
/// Longer than any acceptable run.
pub const PATIENCE: Duration = Duration::from_mins(10);
const PASSWORD: &str = "a+passphrase+of+the+load+test";

/// Makes affiliates with a PayPal e-mail, each with one account, and closes the month.
pub fn fill(server: &Server, affiliates: usize, time: &Time) -> Result<()> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..AT_ONCE)
            .map(|first| {
                scope.spawn(move || make(&server.admin, (first..affiliates).step_by(AT_ONCE), &time.agreed()))
            })
            .collect();
        makers.into_iter().try_for_each(|maker| match maker.join() {
            Ok(made) => made,
            Err(_) => bail!("a maker of affiliates gave up"),
        })
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{affiliates} affiliates made in {seconds:.0} s");
    import(server, "accounts", affiliates, signups(affiliates, &time.signup()))?;
    let start = Instant::now();
    let report = server.admin.post_within("/v1/aggregate", &json!({}), PATIENCE)?;
    println!("the nightly run took {:.1} s", start.elapsed().as_secs_f64());
    let closed = report["closed"].as_array().context("a run without closed months")?;
    if !closed.contains(&json!(time.month())) {
        bail!("the run did not close {}: {report}", time.month());
    }
    Ok(())
}

fn make(admin: &Admin, numbers: impl Iterator<Item = usize>, agreed: &str) -> Result<()> {
    let affiliates = numbers.map(|number| {
        json!({
            "name": format!("Partner {number}"),
            "email": format!("partner-{number}@example.com"),
            "paypal_email": format!("pay-{number}@example.com"),
            "code": code(number),
            "active": true,
            "agreement_accepted_at": agreed,
        })
    });
    admin.post_each("/v1/affiliates", affiliates)
}

fn code(number: usize) -> String {
    format!("PARTNER{number}")
}

fn signups(affiliates: usize, at: &str) -> Vec<u8> {
    lines(affiliates, |number, line| {
        // Writing to a String does not fail.
        let _ = write!(
            line,
            r#"{{"kind":"signup","account_id":"acct_{number}","plan":"growth","signed_up_at":"{at}","code":"{}"}}"#,
            code(number)
        );
    })
}

/// A member of staff who may pay; returns the session's cookie.
pub fn staff_signs_in(server: &Server) -> Result<String> {
    let member = json!({"name": "Finn Ance", "email": "finance@example.com", "role": "admin"});
    let made = server.admin.post("/v1/staff", &member)?;
    let token = made["one_time_url"].as_str().and_then(|link| Some(link.split_once("token=")?.1));
    let token = token.with_context(|| format!("no one-time link in {made}"))?;
    first_password(server.admin.address, "/admin/activate", token, PASSWORD)
}

/// Chooses a person's first password, by a one-time link; returns the session's cookie.
pub fn first_password(host: SocketAddr, path: &str, token: &str, password: &str) -> Result<String> {
    let form = format!("token={token}&new_password={password}");
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut connection = Connection::open(host)?;
    connection.send(request.as_bytes())?;
    let answer = connection.receive()?;
    let cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next());
    let said = || format!("no session: {} {}", answer.status, answer.brief());
    Ok(cookie.with_context(said)?.to_owned())
}

/// How many items of a batch have a status.
pub fn count(batch: &Value, status: &str) -> u64 {
    batch["counts"][status].as_u64().unwrap_or(0)
}
