//! What it costs to pay by PayPal's API, with a PayPal of our own in this process, whose CPU does not count.

use crate::night::text;
use crate::payees::{PATIENCE, count};
use crate::process::cpu_time;
use crate::server::Server;
use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use counterfoil::for_tests::fake_paypal::{CLIENT_ID, CLIENT_SECRET, Fake, Lie, Says};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// PayPal takes so many items in a call.
const ITEMS_PER_CALL: u64 = 15_000;
/// Nothing is due in this time: what is spent in it is spent all the time.
const IDLE: Duration = Duration::from_secs(10);
/// The time after the last answer in which a look's end is worked on.
const AFTER_A_LOOK: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);

/// A PayPal that pays nobody.
pub struct PayPal {
    fake: Fake,
    /// Stopped after it.
    _runtime: Runtime,
}

impl PayPal {
    pub fn start(now: DateTime<Utc>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let fake = runtime.block_on(Fake::start(now)).context("start a PayPal")?;
        Ok(Self { fake, _runtime: runtime })
    }

    /// How a server pays by it.
    pub fn config(&self) -> String {
        format!(
            "[payouts]\nmethod = \"api\"\nat = \"\"\n[payouts.paypal]\nurl = \"{}\"\n\
             client_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\n",
            self.fake.url()
        )
    }

    /// Pays a batch. Returns the CPU that the dearest look at the items of one call took, in seconds.
    pub fn measure(&self, server: &Server, batch: &Value, now: DateTime<Utc>) -> Result<f64> {
        let watch = Watch { server, path: format!("/v1/payouts/{}", batch["id"].as_str().context("no id")?) };
        let asked = json!({"hash": batch["hash"], "method": "api"});
        watch.spends("approved", || {
            server.admin.post_within(&watch.at("approve"), &asked, PATIENCE).map(drop)
        })?;

        // PayPal takes the first call and has no money for the second: it has the items of one call.
        let items = count(batch, "ready").min(ITEMS_PER_CALL);
        self.fake.takes(TimeDelta::hours(1));
        self.fake.next_create(Lie::performs_then(Says::Truth));
        self.fake.next_create(Lie::only(Says::Unfunded));
        let calls = 1 + u64::from(count(batch, "ready") > items);
        watch.spends("sent, and looked at while nothing is known", || {
            server.admin.post(&watch.at("submit"), &json!({}))?;
            watch.until(|_| self.asked("POST", "payouts") >= calls && self.pages() >= pages(items))?;
            std::thread::sleep(AFTER_A_LOOK);
            Ok(())
        })?;

        let paid = watch.spends("looked at, and all are paid", || {
            self.passes(server, now, TimeDelta::hours(2))?;
            watch.until(|batch| count(batch, "paid") >= items).map(drop)
        })?;
        let again = watch.spends("looked at again, and nothing is new", || {
            let before = self.pages();
            self.passes(server, now, TimeDelta::hours(15))?;
            watch.until(|_| self.pages() >= before + pages(items))?;
            std::thread::sleep(AFTER_A_LOOK);
            Ok(())
        })?;

        let all = count(batch, "ready");
        watch.spends("all others are sent and paid", || {
            self.fake.takes(TimeDelta::zero());
            server.admin.post(&watch.at("submit"), &json!({}))?;
            watch.until(|batch| count(batch, "paid") >= all).map(drop)
        })?;
        let idle = watch.spends("nothing is due", || {
            std::thread::sleep(IDLE);
            Ok(())
        })?;
        println!("  {:.1} ms of CPU a second while nothing is due", idle * 1e3 / IDLE.as_secs_f64());
        self.is_right(all)?;
        Ok(paid.max(again))
    }

    fn passes(&self, server: &Server, from: DateTime<Utc>, time: TimeDelta) -> Result<()> {
        self.fake.at(from + time);
        server.admin.post("/v1/clock", &json!({"now": text(from + time)}))?;
        Ok(())
    }

    /// How often it was asked.
    fn asked(&self, method: &str, path_ends: &str) -> u64 {
        let is_it = |one: &&String| one.starts_with(method) && one.ends_with(path_ends);
        self.fake.requests().iter().filter(is_it).count() as u64
    }
    /// How many pages it has shown.
    fn pages(&self) -> u64 {
        let is_it = |one: &&String| one.starts_with("GET /v1/payments/payouts/");
        self.fake.requests().iter().filter(is_it).count() as u64
    }

    /// Each item was paid once, and no call was made twice.
    fn is_right(&self, items: u64) -> Result<()> {
        let payments = self.fake.payments();
        let ids: std::collections::BTreeSet<_> = payments.iter().map(|one| &one.sender_item_id).collect();
        if payments.len() as u64 != items || ids.len() as u64 != items {
            bail!("{} payments of {} items, and {items} were due", payments.len(), ids.len());
        }
        Ok(())
    }
}

/// Pages of a thousand items.
const fn pages(items: u64) -> u64 {
    items.div_ceil(1_000)
}

/// A batch at which is looked.
struct Watch<'s> {
    server: &'s Server,
    path: String,
}

impl Watch<'_> {
    fn at(&self, step: &str) -> String {
        format!("{}/{step}", self.path)
    }

    /// What the server spends on something, in seconds of CPU.
    fn spends(&self, what: &str, act: impl FnOnce() -> Result<()>) -> Result<f64> {
        let pid = self.server.process.id();
        let (start, before) = (Instant::now(), cpu_time(pid)?);
        act().with_context(|| format!("wait until it is {what}"))?;
        let spent = cpu_time(pid)?.saturating_sub(before).as_secs_f64();
        println!("{what}: {spent:.2} s of CPU, {:.1} s", start.elapsed().as_secs_f64());
        Ok(spent)
    }

    fn until(&self, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let batch = self.server.admin.get_json(&self.path)?;
            if is_so(&batch) {
                return Ok(batch);
            }
            if Instant::now() > deadline {
                bail!("it is {batch} after {PATIENCE:?}");
            }
            std::thread::sleep(LOOK);
        }
    }
}
