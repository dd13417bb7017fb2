//! What clients know: what they sent, what was acknowledged, and what is unknown.

use super::app::{TestApp, Visitor, bearer};
use super::http::{self, Answer};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// What the clients know of clicks and of callbacks that were not taken.
#[derive(Debug, Default)]
pub struct History {
    pub clicks_sent: AtomicU64,
    pub clicks_redirected: AtomicU64,
    /// Clicks without any answer: only a killed server may do that.
    pub clicks_unknown: AtomicU64,
    /// Clicks answered by anything but a redirect, prefetches by anything but a refusal.
    pub clicks_refused: AtomicU64,
    /// Callbacks answered by anything but a 2xx.
    pub refused: Mutex<Vec<String>>,
    pub slowest_callback_ms: AtomicU64,
}

impl History {
    /// Follows a link; whether it was redirected. `patience`: for how long a person waits.
    pub async fn clicks(&self, visitor: &mut Visitor, link: &str, patience: Duration) -> bool {
        self.clicks_sent.fetch_add(1, Ordering::Relaxed);
        let answer = tokio::time::timeout(patience, visitor.try_clicks(link)).await.ok().flatten();
        let count = match answer.map(|answer| answer.status) {
            Some(302) => &self.clicks_redirected,
            Some(_) => &self.clicks_refused,
            None => &self.clicks_unknown,
        };
        count.fetch_add(1, Ordering::Relaxed);
        std::ptr::eq(count, &raw const self.clicks_redirected)
    }
    /// Some browsers are ahead of their users; that they are refused is right.
    pub async fn prefetches(&self, visitor: &Visitor, link: &str) {
        if !matches!(visitor.prefetches(link).await, Some(403) | None) {
            self.clicks_refused.fetch_add(1, Ordering::Relaxed);
        }
    }
    /// Sends a callback; `None`: there was no answer.
    pub async fn callback(&self, to: SocketAddr, path: &str, body: &Value) -> Option<Answer> {
        let begun = Instant::now();
        let mut headers = bearer();
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        let answer = http::send("POST", to, path, &headers, body.to_string()).await?;
        let took = u64::try_from(begun.elapsed().as_millis()).expect("not for ages");
        self.slowest_callback_ms.fetch_max(took, Ordering::Relaxed);
        Some(answer)
    }
    /// Notes an answer that should not have come.
    pub async fn was_refused(&self, answer: &Answer) {
        self.refused.lock().await.push(format!("{} {}", answer.status, answer.text()));
    }
}

/// With no click in flight, those received are those journaled and those dropped by reason.
pub async fn sums_hold(app: &TestApp) {
    let text = app.get("/metrics").await.expect_status(200).text();
    let received = sum_of(&text, "counterfoil_clicks_received_total");
    let ended = sum_of(&text, "counterfoil_clicks_journaled_total")
        + sum_of(&text, "counterfoil_clicks_dropped_total");
    assert_eq!(received, ended, "{text}");
}

/// The sum of a counter's values in the text of `/metrics`.
pub fn sum_of(text: &str, name: &str) -> u64 {
    let values = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' '));
    values.map(|(_, value)| value.parse::<u64>().expect("a count")).sum()
}
