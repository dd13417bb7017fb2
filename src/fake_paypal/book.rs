//! The book: which batches there are, and what became of each item.

use super::outcomes::{self, Step};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;

/// How long the id of a batch is known.
const ID_KNOWN_FOR: TimeDelta = TimeDelta::days(30);

/// A payment that money was taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Who gets it.
    pub receiver: String,
    /// How much.
    pub amount: Decimal,
    /// In which currency.
    pub currency: String,
    /// The sender's id of the item.
    pub sender_item_id: Option<String>,
    /// The sender's id of the batch.
    pub sender_batch_id: Option<String>,
    /// Our id of the batch.
    pub payout_batch_id: String,
    /// Our id of the item.
    pub payout_item_id: String,
    /// When its batch was made.
    pub created_at: DateTime<Utc>,
    /// How it stands now, in PayPal's word.
    pub status: &'static str,
}

impl Payment {
    /// Whether the receiver has the money now.
    pub fn is_paid(&self) -> bool {
        self.status == "SUCCESS"
    }
}

/// An item as it was asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub receiver: String,
    pub amount: Decimal,
    pub currency: String,
    pub sender_item_id: Option<String>,
    pub note: Option<String>,
}

pub(super) struct Item {
    pub id: String,
    pub transaction_id: String,
    pub asked: Asked,
    steps: Vec<Step>,
}

pub(super) struct Batch {
    pub id: String,
    pub sender_batch_id: Option<String>,
    pub email_subject: Option<String>,
    pub created: DateTime<Utc>,
    pub processed: DateTime<Utc>,
    pub items: Vec<Item>,
    /// It is somebody else's: a liar names it for ours.
    is_foreign: bool,
}

/// What is to be made.
pub(super) struct Order {
    pub sender_batch_id: Option<String>,
    pub email_subject: Option<String>,
    pub items: Vec<Asked>,
    pub is_denied: bool,
    pub is_foreign: bool,
}

/// All batches.
#[derive(Default)]
pub(super) struct Book {
    batches: Vec<Batch>,
    /// How many ids were given.
    ids: u64,
}

impl Item {
    pub fn step(&self, now: DateTime<Utc>) -> Step {
        let so_far = self.steps.iter().rev().find(|step| step.at <= now);
        // The first step is that of its creation; a clock that was put back finds it too.
        so_far.copied().unwrap_or(self.steps[0])
    }
    pub fn took_money(&self, now: DateTime<Utc>) -> bool {
        let takes = |step: &&Step| step.at <= now && !matches!(step.word, "PENDING" | "FAILED" | "BLOCKED");
        self.steps.iter().any(|step| takes(&step))
    }
    fn goes_on(&mut self, word: &'static str, now: DateTime<Utc>) {
        self.steps.retain(|step| step.at <= now);
        self.steps.push(Step { at: now, word, error: None });
    }
}

impl Batch {
    pub fn word(&self, now: DateTime<Utc>) -> &'static str {
        if now < self.processed {
            "PENDING"
        } else if self.items.iter().all(|item| item.step(self.processed).word == "FAILED") {
            "DENIED"
        } else {
            "SUCCESS"
        }
    }
    pub fn total(&self) -> Decimal {
        self.items.iter().map(|item| item.asked.amount).sum()
    }
    pub fn currency(&self) -> &str {
        self.items.first().map_or("USD", |item| &item.asked.currency)
    }
}

impl Book {
    fn id(&mut self, letters: &str) -> String {
        self.ids += 1;
        format!("{letters}{:010}", self.ids)
    }

    pub fn make(&mut self, order: Order, now: DateTime<Utc>, takes: TimeDelta) -> &Batch {
        let processed = now + takes;
        let items = order.items.into_iter().map(|asked| {
            let steps = if order.is_denied {
                outcomes::denied(now, processed)
            } else {
                outcomes::of(&asked.receiver, now, processed)
            };
            Item { id: self.id("ITM"), transaction_id: self.id("TXN"), asked, steps }
        });
        let items = items.collect();
        let batch = Batch {
            id: self.id("BAT"),
            sender_batch_id: order.sender_batch_id,
            email_subject: order.email_subject,
            created: now,
            processed,
            items,
            is_foreign: order.is_foreign,
        };
        self.batches.push(batch);
        // It was just put there.
        &self.batches[self.batches.len() - 1]
    }

    /// The batch that holds an id: a denied one does not, and after 30 days none does.
    pub fn holder(&self, sender_batch_id: &str, now: DateTime<Utc>) -> Option<&Batch> {
        self.batches.iter().rev().find(|batch| {
            batch.sender_batch_id.as_deref() == Some(sender_batch_id)
                && !batch.is_foreign
                && batch.word(now) != "DENIED"
                && now - batch.created < ID_KNOWN_FOR
        })
    }

    pub fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.batches.iter()
    }
    pub fn batch(&self, id: &str) -> Option<&Batch> {
        self.batches.iter().find(|batch| batch.id == id)
    }
    pub fn item(&self, id: &str) -> Option<(&Batch, &Item)> {
        let mut all = self.batches.iter().flat_map(|batch| batch.items.iter().map(move |item| (batch, item)));
        all.find(|(_, item)| item.id == id)
    }
    pub fn returns(&mut self, id: &str, now: DateTime<Utc>) {
        let mut all = self.batches.iter_mut().flat_map(|batch| &mut batch.items);
        if let Some(item) = all.find(|item| item.id == id) {
            item.goes_on("RETURNED", now);
        }
    }
    pub fn goes_on(&mut self, sender_item_id: &str, word: &'static str, now: DateTime<Utc>) {
        let all = self.batches.iter_mut().flat_map(|batch| &mut batch.items);
        for item in all.filter(|item| item.asked.sender_item_id.as_deref() == Some(sender_item_id)) {
            item.goes_on(word, now);
        }
    }

    pub fn payments(&self, now: DateTime<Utc>) -> Vec<Payment> {
        let ours = self.batches.iter().filter(|batch| !batch.is_foreign);
        let items = ours.flat_map(|batch| batch.items.iter().map(move |item| (batch, item)));
        let taken = items.filter(|(_, item)| item.took_money(now));
        taken.map(|(batch, item)| payment(batch, item, now)).collect()
    }
}

fn payment(batch: &Batch, item: &Item, now: DateTime<Utc>) -> Payment {
    let asked = item.asked.clone();
    Payment {
        receiver: asked.receiver,
        amount: asked.amount,
        currency: asked.currency,
        sender_item_id: asked.sender_item_id,
        sender_batch_id: batch.sender_batch_id.clone(),
        payout_batch_id: batch.id.clone(),
        payout_item_id: item.id.clone(),
        created_at: batch.created,
        status: item.step(now).word,
    }
}
