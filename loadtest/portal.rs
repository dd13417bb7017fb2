//! How long the partner portal's pages take for an affiliate with many accounts and many more clicks.

use crate::http::Connection;
use crate::load::{self, Plan};
use crate::night::{import, lines, text};
use crate::payees::first_password;
use crate::process::cpu_time;
use crate::redis;
use crate::server::{Server, path_of};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Duration, Utc};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

const PASSWORD: &str = "a passphrase of the load test";
/// The pages that are measured; the limit is for the first.
const PAGES: [&str; 5] =
    ["/portal", "/portal/referrals", "/portal/statements", "/portal/payouts", "/portal/links"];
/// How often each page is requested.
const TIMES: usize = 50;
/// How many values of the sub id clicks have.
const CAMPAIGNS: usize = 40;
/// How long the mail with the link may take.
const MAIL_PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

#[derive(Args)]
pub struct Portal {
    /// The server's program
    #[arg(long, default_value = "target/release/counterfoil")]
    server: PathBuf,
    /// The store: sqlite, or redis://host:port of an empty Redis
    #[arg(long, default_value = "sqlite")]
    store: String,
    /// Accounts that the affiliate referred
    #[arg(long, default_value_t = 1_000)]
    accounts: u32,
    /// Clicks on its link
    #[arg(long, default_value_t = 1_000_000)]
    clicks: usize,
    /// Days over which they are spread
    #[arg(long, default_value_t = 200)]
    days: u32,
    /// Milliseconds that the home page may take
    #[arg(long, default_value_t = 50.0)]
    max_millis: f64,
}

impl Portal {
    pub fn run(&self) -> Result<()> {
        redis::must_be_empty(&self.store)?;
        #[expect(clippy::disallowed_methods, reason = "the days before today are made up")]
        let end = Utc::now();
        let first = end - Duration::days(self.days.into());
        let server = Server::start_at(&self.server, &self.store, Some(first))?;
        let affiliate = server.make_affiliate(0, &text(first - Duration::days(1)))?;
        let id = affiliate["id"].as_str().context("an affiliate without id")?;
        let code = affiliate["code"].as_str().context("an affiliate without code")?;
        let link = path_of(affiliate["default_link"]["url"].as_str().context("an affiliate without link")?)?;
        println!(
            "{} accounts, {} clicks in {} days, store {}",
            self.accounts, self.clicks, self.days, self.store
        );
        self.click(&server, &link, first)?;
        set_clock(&server, end)?;
        import(&server, "accounts", self.accounts as usize, self.signups(first, code))?;
        import(&server, "events", self.accounts as usize, self.events(end))?;
        server.admin.post_within("/v1/aggregate", &json!({}), MAIL_PATIENCE)?;
        let cookie = sign_in(&server, id)?;
        let pid = server.process.id();
        let mut home = 0.0;
        for page in PAGES {
            let before = cpu_time(pid)?;
            let (latency, bytes) = measure(&server, page, &cookie)?;
            let cpu = (cpu_time(pid)?.saturating_sub(before)).as_secs_f64() * 1e3 / TIMES as f64;
            let millis = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
            println!(
                "{page}: p50 {:.1} ms, p99 {:.1} ms, {cpu:.1} ms of CPU, {:.0} kB",
                millis(0.5),
                millis(0.99),
                bytes as f64 / 1e3
            );
            if page == PAGES[0] {
                home = millis(0.5);
            }
        }
        let mut server = server;
        server.process.stop()?;
        if home > self.max_millis {
            bail!("the bar is {} ms", self.max_millis);
        }
        Ok(())
    }

    /// Clicks each day's links, with the server's clock at that day.
    fn click(&self, server: &Server, link: &str, first: DateTime<Utc>) -> Result<()> {
        let each = self.clicks / self.days.max(1) as usize;
        let paths: Vec<String> =
            (0..CAMPAIGNS).map(|number| format!("{link}?sub1=campaign-{number}")).collect();
        let rate = 20_000.0;
        let begun = Instant::now();
        let mut redirected = 0;
        for day in 0..self.days {
            set_clock(server, first + Duration::days(day.into()))?;
            let outcome = load::run(&Plan {
                address: server.public,
                paths: paths.clone(),
                rate,
                duration: std::time::Duration::from_secs_f64(each as f64 / rate),
                connections: 16,
                pipeline: 16,
                returning: 0.2,
            });
            if outcome.failed() > 0 {
                bail!("{} clicks were not redirected", outcome.failed());
            }
            redirected += outcome.redirected;
        }
        let counted = server.wait_until_drained()?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("{redirected} clicks in {seconds:.0} s, {} in the store", counted.applied);
        if counted.applied != redirected {
            bail!("not all clicks are in the store");
        }
        Ok(())
    }

    fn signups(&self, first: DateTime<Utc>, code: &str) -> Vec<u8> {
        let step = Duration::minutes(i64::from(self.days) * 24 * 60 / i64::from(self.accounts.max(1)));
        lines(self.accounts as usize, |number, line| {
            let at = text(first + step * i32::try_from(number).unwrap_or(i32::MAX));
            // Writing to a String does not fail.
            let _ = write!(
                line,
                r#"{{"kind":"signup","account_id":"acct_{number}","plan":"growth","signed_up_at":"{at}","code":"{code}"}}"#
            );
        })
    }

    /// Every account changes its plan once.
    fn events(&self, end: DateTime<Utc>) -> Vec<u8> {
        let at = text(end - Duration::days(1));
        lines(self.accounts as usize, |number, line| {
            // Writing to a String does not fail.
            let _ = write!(
                line,
                r#"{{"kind":"event","account_id":"acct_{number}","event_id":"evt_1","occurred_at":"{at}","type":"plan_changed","plan":"connect"}}"#
            );
        })
    }
}

fn set_clock(server: &Server, now: DateTime<Utc>) -> Result<()> {
    server.admin.post("/v1/clock", &json!({"now": text(now)}))?;
    Ok(())
}

/// Sets the affiliate's first password with the link in its mail; returns the session's cookie.
fn sign_in(server: &Server, affiliate: &str) -> Result<String> {
    server.admin.post(&format!("/v1/affiliates/{affiliate}/activation"), &json!({}))?;
    let deadline = Instant::now() + MAIL_PATIENCE;
    let token = loop {
        if let Some(token) = token_in(&server.outbox()) {
            break token;
        }
        if Instant::now() > deadline {
            bail!("no mail with a link came");
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    first_password(server.public, "/activate", &token, &PASSWORD.replace(' ', "+"))
}

fn token_in(outbox: &std::path::Path) -> Option<String> {
    let mails = std::fs::read_dir(outbox).ok()?;
    let texts = mails.filter_map(|mail| std::fs::read_to_string(mail.ok()?.path()).ok());
    // Quoted-printable: a soft line break is not part of the link, and `=3D` is its equals sign.
    let texts = texts.map(|text| text.replace("=\r\n", "").replace("=3D", "="));
    texts.into_iter().find_map(|text| {
        let (_, after) = text.split_once("/activate?token=")?;
        let end = after.find(|letter: char| !(letter.is_ascii_alphanumeric() || "-_".contains(letter)))?;
        Some(after[..end].to_owned())
    })
}

fn measure(server: &Server, page: &str, cookie: &str) -> Result<(Histogram<u64>, usize)> {
    // The bounds are constants that the histogram accepts.
    let mut latency = Histogram::new_with_bounds(1, 60_000_000, 3).expect("constant bounds are right");
    let mut connection = Connection::open(server.public)?;
    let request = format!("GET {page} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n", server.public);
    let mut bytes = 0;
    for _ in 0..TIMES {
        let begun = Instant::now();
        connection.send(request.as_bytes())?;
        let answer = connection.receive()?;
        if answer.status != 200 {
            bail!("GET {page} was answered {}: {}", answer.status, answer.brief());
        }
        bytes = answer.body.len();
        latency.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok((latency, bytes))
}
