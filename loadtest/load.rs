//! Clicks at a fixed rate, whatever the server does.
//!
//! Every click has a time at which it should be sent, given by the rate alone. Its latency counts from then,
//! even if its connection was still waiting for the answer before: so a server that stalls can't improve its
//! numbers by slowing the clicks down (no coordinated omission). The connections take the clicks in turn;
//! each connection is a thread that sleeps, writes and reads.

use crate::http::{Answer, Connection};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How many visitors a connection remembers, who may come back.
const REMEMBERED: usize = 64;
/// The longest latency that is recorded, with three digits; the shortest is 1 µs.
const LONGEST_MICROS: u64 = 120_000_000;
/// Time for all threads to start before the first click is due.
const HEAD_START: Duration = Duration::from_millis(100);

/// What to send.
pub struct Plan {
    pub address: SocketAddr,
    /// Paths with queries, used one after the other.
    pub paths: Vec<String>,
    /// Clicks a second, over all connections.
    pub rate: f64,
    pub duration: Duration,
    pub connections: usize,
    /// Clicks that a connection sends at once, without waiting for answers in between. Browsers send one;
    /// with more, most of the kernel's part is left out, which is the same for any server.
    pub pipeline: usize,
    /// The share of clicks by visitors who come back with their cookie.
    pub returning: f64,
}

/// The results.
pub struct Outcome {
    /// From when a click was due to its answer, in microseconds; of answers only.
    pub latency: Histogram<u64>,
    /// Clicks that were sent.
    pub sent: u64,
    /// Clicks that were redirected.
    pub redirected: u64,
    /// Of these, the ones sent without a cookie.
    pub new_visitors: u64,
    /// Everything else, by kind.
    pub errors: BTreeMap<String, u64>,
}

impl Outcome {
    fn new() -> Self {
        // The bounds are constants that the histogram accepts.
        let latency = Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("constant bounds are right");
        Self { latency, sent: 0, redirected: 0, new_visitors: 0, errors: BTreeMap::new() }
    }

    pub fn add(&mut self, other: &Self) {
        // Both histograms have the same bounds.
        self.latency.add(&other.latency).expect("equal bounds");
        self.sent += other.sent;
        self.redirected += other.redirected;
        self.new_visitors += other.new_visitors;
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_default() += count;
        }
    }

    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// `p50 0.21 ms  p99 …`
    pub fn latencies(&self) -> String {
        let millis = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1e3;
        let mut text = String::new();
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            // Writing to a String does not fail.
            let _ = write!(text, "{name} {:.2}  ", millis(self.latency.value_at_quantile(quantile)));
        }
        let _ = write!(text, "max {:.2} ms", millis(self.latency.max()));
        text
    }
}

/// Sends all clicks.
pub fn run(plan: &Plan) -> Outcome {
    let start = Instant::now() + HEAD_START;
    let mut total = Outcome::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.connections)
            .map(|index| scope.spawn(move || Visitors::new(plan, index).follow_links(start)))
            .collect();
        for thread in threads {
            // A thread that panicked has printed why, and its clicks are missing from the sums.
            if let Ok(outcome) = thread.join() {
                total.add(&outcome);
            }
        }
    });
    total
}

/// The visitors behind one connection.
struct Visitors<'a> {
    plan: &'a Plan,
    index: usize,
    connection: Option<Connection>,
    remembered: Vec<Visitor>,
    random: u64,
    requests: String,
    outcome: Outcome,
}

/// A visitor: an address and, from the second click on, a cookie.
#[derive(Clone)]
struct Visitor {
    address: Ipv4Addr,
    cookie: Option<String>,
}

impl<'a> Visitors<'a> {
    fn new(plan: &'a Plan, index: usize) -> Self {
        // Any odd number works; without a random one, visitors come back with the addresses of an earlier
        // run.
        let random = getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15) | 1;
        let (remembered, requests) = (Vec::new(), String::new());
        Self { plan, index, connection: None, remembered, random, requests, outcome: Outcome::new() }
    }

    fn follow_links(mut self, start: Instant) -> Outcome {
        let gap = Duration::from_secs_f64(self.plan.pipeline as f64 / self.plan.rate);
        for turn in (self.index..).step_by(self.plan.connections) {
            let offset = gap.mul_f64(turn as f64);
            if offset >= self.plan.duration {
                break;
            }
            let due = start + offset;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.click(turn / self.plan.connections, due);
        }
        self.outcome
    }

    /// Sends the clicks that are due now, and reads the answers.
    fn click(&mut self, turn: usize, due: Instant) {
        self.requests.clear();
        let visitors: Vec<Visitor> = (0..self.plan.pipeline).map(|_| self.visitor()).collect();
        for (number, visitor) in visitors.iter().enumerate() {
            self.write_request(turn * self.plan.pipeline + number, visitor);
        }
        self.outcome.sent += visitors.len() as u64;
        let mut answered = 0;
        if let Err(error) = self.exchange(&visitors, due, &mut answered) {
            self.connection = None;
            *self.outcome.errors.entry(error.kind().to_string()).or_default() +=
                visitors.len() as u64 - answered;
        }
    }

    fn exchange(&mut self, visitors: &[Visitor], due: Instant, answered: &mut u64) -> io::Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(self.plan.address)?),
        };
        connection.send(self.requests.as_bytes())?;
        for visitor in visitors {
            let answer = connection.receive()?;
            *answered += 1;
            if answer.status != 302 {
                *self.outcome.errors.entry(format!("status {}", answer.status)).or_default() += 1;
                continue;
            }
            self.outcome.redirected += 1;
            self.outcome.new_visitors += u64::from(visitor.cookie.is_none());
            let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(LONGEST_MICROS);
            self.outcome.latency.saturating_record(micros);
            if self.plan.returning > 0.0
                && let Some(cookie) = visitor_cookie(&answer)
            {
                let visitor = Visitor { address: visitor.address, cookie: Some(cookie.to_owned()) };
                if self.remembered.len() < REMEMBERED {
                    self.remembered.push(visitor);
                } else {
                    self.remembered[self.outcome.redirected as usize % REMEMBERED] = visitor;
                }
            }
        }
        Ok(())
    }

    /// A visitor who comes back, as often as the plan says; otherwise a new one.
    fn visitor(&mut self) -> Visitor {
        let share = (self.dice() >> 11) as f64 / (1u64 << 53) as f64;
        if self.remembered.is_empty() || share >= self.plan.returning {
            return Visitor { address: Ipv4Addr::from_bits(self.dice() as u32), cookie: None };
        }
        let index = self.dice() as usize % self.remembered.len();
        self.remembered[index].clone()
    }

    fn dice(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// What a browser sends when a person follows a link.
    fn write_request(&mut self, number: usize, visitor: &Visitor) {
        let path = &self.plan.paths[number % self.plan.paths.len()];
        let (host, address) = (self.plan.address, visitor.address);
        // Writing to a String does not fail.
        let _ = write!(
            self.requests,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {address}\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0\r\n\
             Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
             Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n\
             Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: cross-site\r\n"
        );
        if let Some(cookie) = &visitor.cookie {
            let _ = write!(self.requests, "Cookie: {cookie}\r\n");
        }
        self.requests.push_str("\r\n");
    }
}

/// `name=value` of the cookie that an answer sets.
fn visitor_cookie<'a>(answer: &'a Answer<'_>) -> Option<&'a str> {
    answer.header("set-cookie")?.split(';').next()
}
