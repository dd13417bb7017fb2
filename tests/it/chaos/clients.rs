//! Those who do the deeds of a plan, as real clients do: again and again, with the same ids, until they are told that it
//! is done.

use super::plan::{Act, Deed, Event, Evidence, PARTNERS, Signup, Visit};
use crate::support::app::{Partner, Visitor, bearer};
use crate::support::history::{History, sum_of};
use crate::support::http::{self, Answer};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// How long a person waits for a redirect, and a program for an answer, before it tries elsewhere.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const BREATH: Duration = Duration::from_millis(50);
/// How long a deed may be tried: longer than any fault lasts.
const AGES: Duration = Duration::from_secs(90);

/// All clients of some nodes.
#[derive(Debug)]
pub struct Clients {
    /// Public and internal addresses.
    pub nodes: Vec<(SocketAddr, SocketAddr)>,
    pub partners: Vec<Partner>,
    /// What each visitor's browser keeps.
    pub visitors: Vec<Mutex<Visitor>>,
    pub history: History,
    /// What was acknowledged.
    pub taken: Mutex<BTreeSet<String>>,
    /// Callbacks that were sent, and those of them that had no answer, or a 503.
    pub sent: AtomicU64,
    pub unknown: AtomicU64,
    /// Whether copies are sent.
    pub copies: bool,
}

impl Clients {
    /// Does a deed, at this node first.
    pub async fn does(&self, deed: &Deed, node: usize) {
        let what = format!("{deed:?}");
        let done = async {
            match deed {
                Deed::Visit(visit) => self.visits(*visit, node).await,
                Deed::Signup(signup) => self.signs_up(signup, node).await,
                Deed::Event(event) => self.happens(event, node).await,
                Deed::Act(act) => self.acts(act, node).await,
            }
        };
        timeout(AGES, done).await.unwrap_or_else(|_| panic!("not taken in {AGES:?}: {what}"));
    }

    fn link(&self, node: usize, partner: usize) -> String {
        let (_, token) = self.partners[partner].link.split_once("/r/").expect("a link");
        format!("http://{}/r/{token}", self.nodes[node % self.nodes.len()].0)
    }

    async fn visits(&self, visit: Visit, node: usize) {
        let mut browser = self.visitors[visit.visitor].lock().await;
        if visit.prefetches {
            let link = self.link(node, visit.partner);
            // What is fetched ahead nobody waits for.
            timeout(PATIENCE, self.history.prefetches(&browser, &link)).await.ok();
        }
        for node in node.. {
            let mut person = browser.clone();
            let before = self.drops(node).await;
            let arrived = self.history.clicks(&mut person, &self.link(node, visit.partner), PATIENCE).await;
            if arrived && !visit.forgets {
                *browser = person;
                return;
            }
            // A click that may have been dropped is not reported.
            if arrived && before.is_some() && before == self.drops(node).await {
                browser.cfoil = None;
                return;
            }
            sleep(BREATH).await;
        }
    }

    /// When a node started, and how many clicks it has dropped since.
    async fn drops(&self, node: usize) -> Option<(String, u64)> {
        let to = self.nodes[node % self.nodes.len()].1;
        let text = timeout(PATIENCE, http::try_get(to, "/metrics", &bearer())).await.ok()??.text();
        let started = text.lines().find(|line| line.starts_with("process_start_time_seconds"))?.to_owned();
        Some((started, sum_of(&text, "counterfoil_clicks_dropped_total")))
    }

    async fn signs_up(&self, signup: &Signup, node: usize) {
        let mut body = json!({"account_id": signup.account, "plan": signup.plan, "signed_up_at": signup.at,
            "active": signup.active});
        let visitor = match signup.evidence {
            Evidence::Click(visitor) | Evidence::ClickAndCode(visitor, _) | Evidence::Cookie(visitor) => {
                self.visitors[visitor].lock().await.clone()
            }
            Evidence::Code(_) | Evidence::Nothing => Visitor::default(),
        };
        match signup.evidence {
            Evidence::Cookie(_) => body["cookie"] = json!(visitor.cookie),
            _ => body["click"] = json!(visitor.cfoil),
        }
        if let Evidence::Code(partner) | Evidence::ClickAndCode(_, partner) = signup.evidence {
            body["code"] = json!(format!(" {}", self.partners[partner].code.to_lowercase()));
        }
        if let Some(partner) = signup.email_of {
            body["email"] = json!(format!("{}@partners.example", name_of(partner)));
        }
        if signup.contradicts {
            let refused = |answer: &Answer| matches!(answer.status, 202 | 409);
            self.until(node, "/v1/signups", &body, refused).await;
        } else {
            self.reports("/v1/signups", &body, node, signup.copies).await;
            self.taken.lock().await.insert(format!("{} signup", signup.account));
        }
    }

    async fn happens(&self, event: &Event, node: usize) {
        let mut body = json!({"event_id": event.id, "type": event.kind, "occurred_at": event.at});
        if let Some(plan) = event.plan {
            body["plan"] = json!(plan);
        }
        let path = format!("/v1/accounts/{}/events", event.account);
        self.reports(&path, &body, node, event.copies).await;
        self.taken.lock().await.insert(format!("{} {}", event.account, event.id));
    }

    async fn acts(&self, act: &Act, node: usize) {
        let (path, mut body) = match act {
            Act::Hold(account) => (format!("/v1/accounts/{account}/hold"), json!({})),
            Act::Release(account) => (format!("/v1/accounts/{account}/release"), json!({})),
            Act::Credit(account, partner) => (
                format!("/v1/accounts/{account}/attribution"),
                json!({"affiliate_id": self.partners[*partner].id}),
            ),
            Act::Suspend(partner) => {
                (format!("/v1/affiliates/{}/suspend", self.partners[*partner].id), json!({}))
            }
            Act::Reinstate(partner) => {
                (format!("/v1/affiliates/{}/reinstate", self.partners[*partner].id), json!({}))
            }
        };
        body["reason"] = json!("a look");
        // A step that was taken, and whose answer was lost, can't be taken again.
        let is_step = matches!(act, Act::Suspend(_) | Act::Reinstate(_));
        let taken = |answer: &Answer| (200..300).contains(&answer.status) || is_step && answer.status == 409;
        self.until(node, &path, &body, taken).await;
    }

    /// Sends a callback until it is taken, if wanted to two nodes at once.
    async fn reports(&self, path: &str, body: &Value, node: usize, copies: bool) {
        let taken = |answer: &Answer| (200..300).contains(&answer.status);
        let copies = copies && self.copies;
        let copy = async {
            if copies {
                self.until(node + 1, path, body, taken).await;
            }
        };
        tokio::join!(self.until(node, path, body, taken), copy);
    }

    /// Sends something until the answer is as wanted. No answer, and a 503, is no answer.
    async fn until(&self, node: usize, path: &str, body: &Value, is_wanted: impl Fn(&Answer) -> bool) {
        for node in node.. {
            self.sent.fetch_add(1, Ordering::Relaxed);
            let to = self.nodes[node % self.nodes.len()].1;
            let answer = timeout(PATIENCE, self.history.callback(to, path, body)).await.ok().flatten();
            match answer {
                Some(answer) if is_wanted(&answer) => return,
                Some(answer) if answer.status != 503 => {
                    self.history.was_refused(&answer).await;
                    return eprintln!("{path} {body}: {} {}", answer.status, answer.text());
                }
                _ => self.unknown.fetch_add(1, Ordering::Relaxed),
            };
            sleep(BREATH).await;
        }
    }

    /// Clicks on the last partner's link at all nodes in turn, until it must stop.
    pub async fn wanders(&self, stop: &AtomicBool) {
        for node in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let link = self.link(node, PARTNERS - 1);
            self.history.clicks(&mut Visitor::default(), &link, PATIENCE).await;
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks for nightly runs in which no month becomes due, despite all errors, until it must stop.
    pub async fn asks_for_nights(&self, node: usize, as_of: &str, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(250)).await;
            let asked = json!({"as_of": as_of});
            let asking = self.history.callback(self.nodes[node].1, "/v1/aggregate", &asked);
            let Some(answer) = timeout(PATIENCE, asking).await.ok().flatten() else { continue };
            let is_right = match answer.status {
                200 => answer.json()["closed"] == json!([]),
                status => matches!(status, 409 | 503),
            };
            if !is_right {
                self.history.was_refused(&answer).await;
            }
        }
    }
}

/// A partner's name.
pub fn name_of(partner: usize) -> String {
    format!("partner{partner}")
}
