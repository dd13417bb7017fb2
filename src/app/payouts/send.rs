//! Batches that PayPal's Payouts API pays: calls are made, and PayPal is asked what became of the items.
//!
//! Before each call its intent is journaled **and applied to the store** under the fencing token of the lease, so that
//! every node knows of it; what a call may do next is decided by [`Chunk`]. A crash at any point leaves an intent
//! without an answer: the same bytes are then sent again under the same id, and PayPal says that it has them.

use super::hints::Hints;
use super::read::LEDGERS_AT_ONCE;
use super::steps::StepError;
use crate::app::App;
use crate::app::actor::Actor;
use crate::app::layout::{payout_chunk_index, payout_index};
use crate::app::people::ActError;
use crate::app::run::{AggregateError, LeaseHeld};
use crate::domain::fact::{PayoutAnswered, PayoutCalling, PayoutSubmitted};
use crate::domain::id::AffiliateId;
use crate::domain::payout::{
    Answer, Batch, BatchStatus, Change, Chunk, ChunkState, Event, ITEMS_PER_CALL, Item, ItemStatus, Next,
    PayoutId, Provider, Step, file,
};
use crate::domain::program::hex;
use crate::metrics::PayoutPoll;
use crate::paypal::{Client, Created, Head, Order, ReadFailure, ReportedItem, WholeBatch, request_body};
use crate::store::{Lease, Partition, StoreError};
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How often PayPal is asked about a batch whose items are all final.
const FINAL_ONES: TimeDelta = TimeDelta::hours(12);

/// How long another node waits before it takes over. Two at once do no harm: what they send is the same.
const PAYS: Duration = Duration::from_secs(if cfg!(feature = "sabotage") { 4 } else { 120 });

/// How long PayPal is left alone between two questions about a call of which it tells something: of a large batch it
/// tells thousands of things within minutes.
const HINTS_APART: TimeDelta = TimeDelta::seconds(5);
/// How often hints that nobody asked for are looked through.
const OLD_HINTS: TimeDelta = TimeDelta::minutes(10);

/// When PayPal was last asked about each call, in this process.
#[derive(Debug, Default)]
pub struct Looks {
    calls: HashMap<(PayoutId, u32), DateTime<Utc>>,
    /// When old hints were last ended.
    old_hints: Option<DateTime<Utc>>,
}

/// A call that is about to be made.
struct Prepared {
    id: String,
    note: String,
    body: Bytes,
    hash: String,
    affiliates: Vec<AffiliateId>,
}

impl App {
    /// Says that PayPal is to be called about an approved batch, or again after it refused.
    pub async fn submit_payout(
        self: &Arc<Self>,
        actor: &Actor,
        payout_id: PayoutId,
    ) -> Result<Batch, StepError> {
        if !self.config().payouts.method.calls_paypal() {
            return Err(StepError::MethodUnavailable);
        }
        self.check_stops().await?;
        self.act(actor, PayoutSubmitted { payout_id }).await?;
        self.need_payout(payout_id).await
    }

    /// Whether this node is the one that calls PayPal now.
    pub(crate) async fn pays_by_api(&self) -> bool {
        let ttl = u64::try_from(PAYS.as_millis()).unwrap_or(u64::MAX);
        let lease = self.store.lease("payouts", &self.node.to_string(), ttl).await;
        matches!(lease, Ok(Lease::Granted { .. }))
    }

    /// One pass over all batches that PayPal's API pays: makes the calls that are due, and asks about those that were
    /// taken.
    pub(crate) async fn pay(self: &Arc<Self>, paypal: &Client, looks: &mut Looks) -> Result<(), StepError> {
        let batches = self.payouts().await?;
        let is_sent = |batch: &&Batch| batch.to_send && batch.status != BatchStatus::Discarded;
        let hints = self.hints_about(&batches).await?;
        for batch in batches.iter().filter(is_sent) {
            self.lose_what_is_not_asked_about(batch).await?;
            self.look_at(paypal, batch, looks, &hints).await?;
        }
        let now = self.now();
        if looks.old_hints.is_none_or(|last| now >= last + OLD_HINTS) {
            self.end_old_hints().await?;
            looks.old_hints = Some(now);
        }
        // A refusal is about the account: nothing else is sent before staff say so.
        let is_refused = |chunk: &Chunk| matches!(chunk.state, ChunkState::Refused { .. });
        if batches.iter().any(|batch| batch.chunks.iter().any(is_refused)) {
            return Ok(());
        }
        // The oldest first. Nothing is left to send of one whose items are all over.
        let is_open = |batch: &&Batch| is_sent(batch) && batch.status != BatchStatus::Settled;
        for batch in batches.iter().rev().filter(is_open) {
            if self.send_batch(paypal, batch).await? {
                break;
            }
        }
        Ok(())
    }

    /// Makes the calls of a batch that are due. Returns whether PayPal refused.
    async fn send_batch(self: &Arc<Self>, paypal: &Client, known: &Batch) -> Result<bool, StepError> {
        // Every second: what is not due must cost nothing, however many items there are.
        let now = self.latest_time().await;
        for number in (1..).take(known.calls()).filter(|number| known.may_be_called(*number, now)) {
            let batch = self.need_payout(known.id).await?;
            let now = self.latest_time().await;
            match batch.chunk(number).map(|chunk| chunk.next(now)) {
                None | Some(Next::Send) => {}
                Some(Next::GiveUp) => {
                    let why = "PayPal was asked for 25 days, and did not say what became of it".to_owned();
                    self.take_answer(&batch, number, Answer::Differs { why }).await?;
                    continue;
                }
                Some(_) => continue,
            }
            if let Some(chunk) = self.send(paypal, &batch, number).await?
                && matches!(chunk.state, ChunkState::Refused { .. })
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The later one of our time and the store's: ids are kept for 30 days, whatever a clock says.
    async fn latest_time(&self) -> DateTime<Utc> {
        let store = self.store.clock_ms().await.ok().flatten().and_then(DateTime::from_timestamp_millis);
        store.map_or(self.now(), |store| store.max(self.now()))
    }

    /// Makes one call, if nothing is in the way. Returns the call as it stands then; `None`: there is nothing to send,
    /// or another node is at work.
    async fn send(
        self: &Arc<Self>,
        paypal: &Client,
        batch: &Batch,
        number: u32,
    ) -> Result<Option<Chunk>, StepError> {
        let has = |status| batch.counts.contains_key(&status);
        let is_begun = batch.chunk(number).is_some();
        // Nothing is left to be sent: all items were withdrawn, or left out.
        let is_empty = if is_begun {
            self.prepare(batch, number).await?.is_none()
        } else {
            !has(ItemStatus::Ready) && !has(ItemStatus::Submitted)
        };
        if is_empty {
            return Ok(None);
        }
        self.check_stops().await?;
        let held = match LeaseHeld::take(self).await {
            Ok(held) => held,
            Err(AggregateError::Busy) => return Ok(None),
            Err(error) => return Err(interrupted(error)),
        };
        let sent = self.send_with_lease(paypal, batch.id, number, held.token()).await;
        held.release().await;
        sent
    }

    async fn send_with_lease(
        self: &Arc<Self>,
        paypal: &Client,
        payout_id: PayoutId,
        number: u32,
        fence: u64,
    ) -> Result<Option<Chunk>, StepError> {
        if !self.store.raise_fence(Partition::Directory, fence).await? {
            return Ok(None);
        }
        self.wait_until_drained().await.map_err(interrupted)?;
        // With the lease, another node may have been faster.
        let batch = self.need_payout(payout_id).await?;
        let now = self.latest_time().await;
        if batch.chunk(number).is_some_and(|chunk| chunk.next(now) != Next::Send) {
            return Ok(None);
        }
        if batch.chunk(number).is_none() {
            self.submit_chunk(payout_id, number).await?;
        }
        let Some(call) = self.prepare(&batch, number).await? else { return Ok(None) };
        let (note, body_hash) = (call.note.clone(), call.hash.clone());
        let intent = PayoutCalling { payout_id, chunk: number, note, body_hash, called_at: now, fence };
        #[cfg(feature = "sabotage")]
        if crate::crash::is_twin("sends_before_its_intent") {
            paypal.create(&call.id, call.body.clone()).await;
            crate::crash::point("payout_sent");
        }
        self.close(crate::app::actor::SERVER, vec![intent.into()]).await.map_err(interrupted)?;
        crate::crash::point("payout_intent");
        let batch = self.need_payout(payout_id).await?;
        let created = paypal.create(&call.id, call.body).await;
        crate::crash::point("payout_sent");
        let answer = self.answer_of(paypal, created, &batch, &call.affiliates).await?;
        self.metrics.payout_call(&answer);
        self.take_answer(&batch, number, answer).await?;
        Ok(self.need_payout(payout_id).await?.chunk(number).cloned())
    }

    /// Makes the ready items of a call submitted: from then on nobody takes them out of the batch.
    async fn submit_chunk(self: &Arc<Self>, payout_id: PayoutId, number: u32) -> Result<(), StepError> {
        self.follow_directory().await?;
        let index = payout_index(payout_id, None);
        let names = self.all_members(&index).await?;
        let place = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        let names = names.chunks(ITEMS_PER_CALL).nth(place).unwrap_or_default();
        let affiliates = parsed(&index, names)?;
        self.submit_part(&Actor::server(), payout_id, number, &affiliates).await
    }

    /// The bytes of a call: the same whenever they are asked for, until an item is left out.
    async fn prepare(&self, batch: &Batch, number: u32) -> Result<Option<Prepared>, StepError> {
        let known = batch.chunk(number);
        let left_out = known.map(|chunk| &chunk.left_out);
        let mut items = self.items_of_chunk(batch.id, number).await?;
        items.retain(|(affiliate, item)| match left_out {
            Some(left_out) => !left_out.contains(affiliate),
            // What a person ended before the first call is not sent.
            None => item.status == ItemStatus::Submitted,
        });
        if items.is_empty() {
            return Ok(None);
        }
        let program = &self.config().portal.program_name;
        let note = known.map_or_else(
            || file::note(&format!("{program}: payout {}", batch.id)),
            |chunk| chunk.note.clone(),
        );
        let id = Chunk::sender_batch_id(batch.id, number);
        let ids: Vec<String> =
            items.iter().map(|(affiliate, item)| item.id(*affiliate).to_string()).collect();
        let orders = items.iter().zip(&ids).map(|((_, item), id)| Order {
            item_id: id,
            receiver: &item.receiver,
            amount: item.amount,
            note: &note,
        });
        let head = Head { batch_id: &id, currency: &batch.currency, email_subject: &note, email_message: "" };
        let body = request_body(&head, &orders.collect::<Vec<_>>())?;
        let hash = hex(&Sha256::digest(&body));
        #[cfg(feature = "sabotage")]
        let (id, body) = crate::crash::with_id_of_attempt(id, body, known.map_or(0, |chunk| chunk.attempts));
        let affiliates = items.into_iter().map(|(affiliate, _)| affiliate).collect();
        Ok(Some(Prepared { id, note, body, hash, affiliates }))
    }

    /// The items in a call, by affiliate.
    async fn items_of_chunk(
        &self,
        payout_id: PayoutId,
        number: u32,
    ) -> Result<Vec<(AffiliateId, Item)>, StepError> {
        let index = payout_chunk_index(payout_id, number);
        let names = self.all_members(&index).await?;
        let affiliates = parsed(&index, &names)?;
        let mut items = Vec::with_capacity(affiliates.len());
        for some in affiliates.chunks(LEDGERS_AT_ONCE) {
            items.extend(self.items_of(payout_id, some).await?);
        }
        Ok(items)
    }

    /// What PayPal's answer proves.
    async fn answer_of(
        &self,
        paypal: &Client,
        created: Created,
        batch: &Batch,
        sent: &[AffiliateId],
    ) -> Result<Answer, StepError> {
        Ok(match created {
            Created::Accepted { payout_batch_id } => Answer::Accepted { payout_batch_id },
            Created::Exists { payout_batch_id: Some(payout_batch_id) } => {
                match paypal.all_items(&payout_batch_id).await {
                    Ok(whole) => {
                        let ours = self.items_of(batch.id, sent).await?;
                        match compared(&whole, &batch.currency, &ours) {
                            Ok(()) => Answer::Accepted { payout_batch_id },
                            Err(Difference::NotYet(why)) => Answer::Unclear { why },
                            Err(Difference::Other(why)) => Answer::Differs { why },
                        }
                    }
                    Err(error) => Answer::Unclear { why: error.to_string() },
                }
            }
            Created::Exists { payout_batch_id: None } => Answer::Differs {
                why: "PayPal has a batch of this id, and does not say which one".to_owned(),
            },
            Created::Refused { name, field, .. } => match field.as_deref().and_then(place_of) {
                Some(place) if place < sent.len() => {
                    Answer::RefusedItem { affiliate_id: sent[place], why: name }
                }
                _ => Answer::Refused { why: name },
            },
            Created::Restricted { name } => Answer::Refused { why: name },
            Created::Unfunded => Answer::Refused { why: "INSUFFICIENT_FUNDS".to_owned() },
            Created::Throttled => Answer::Unclear { why: "PayPal wants fewer calls".to_owned() },
            Created::NotSent(why) => Answer::NotSent { why },
            Created::Unclear(why) => Answer::Unclear { why },
        })
    }

    /// Journals what a call brought. If nobody knows what became of its items, they say so.
    async fn take_answer(
        self: &Arc<Self>,
        batch: &Batch,
        number: u32,
        answer: Answer,
    ) -> Result<(), StepError> {
        let payout_id = batch.id;
        let attempt = batch.chunk(number).map_or(0, |chunk| chunk.attempts);
        let on = self.zone().date_of(self.now());
        match &answer {
            Answer::Accepted { payout_batch_id } => {
                tracing::info!(payout = %payout_id, call = number, %payout_batch_id, "PayPal has a payout");
            }
            other => {
                tracing::warn!(payout = %payout_id, call = number, answer = ?other, "a payout was not taken");
            }
        }
        let is_lost = matches!(answer, Answer::Unclear { .. } | Answer::Differs { .. });
        self.act(&Actor::server(), PayoutAnswered { payout_id, chunk: number, attempt, answer, on }).await?;
        if is_lost { self.lose(payout_id, number).await } else { Ok(()) }
    }

    /// A crash may come between an answer and what it means for the items, a refusal may end a call whose first answer
    /// was lost in a crash, and PayPal may never say what became of a call that it has: when nobody asks about items any
    /// more, a person has to.
    async fn lose_what_is_not_asked_about(self: &Arc<Self>, batch: &Batch) -> Result<(), StepError> {
        if !batch.counts.contains_key(&ItemStatus::Submitted) {
            return Ok(());
        }
        let now = self.now();
        let is_over = |chunk: &&Chunk| {
            let waits_for_staff = matches!(chunk.state, ChunkState::Refused { .. });
            !waits_for_staff && chunk.next(now) == Next::Nothing
        };
        for chunk in batch.chunks.iter().filter(is_over) {
            self.lose(batch.id, chunk.number).await?;
        }
        Ok(())
    }

    /// Nobody knows what became of the items of a call that are not over.
    async fn lose(self: &Arc<Self>, payout_id: PayoutId, number: u32) -> Result<(), StepError> {
        let items = self.items_of_chunk(payout_id, number).await?;
        let lost = items.iter().filter(|(_, item)| item.status == ItemStatus::Submitted);
        let lost = lost.map(|(affiliate, _)| self.item_change(*affiliate, Event::Lost, None)).collect();
        self.change_items(&Actor::server(), payout_id, lost).await
    }

    /// Asks PayPal about the calls of a batch that it has taken.
    async fn look_at(
        self: &Arc<Self>,
        paypal: &Client,
        batch: &Batch,
        looks: &mut Looks,
        hints: &Hints,
    ) -> Result<(), StepError> {
        let now = self.now();
        let often = TimeDelta::seconds(i64::from(self.config().payouts.paypal.poll_seconds));
        let every = if batch.status == BatchStatus::Settled { FINAL_ONES } else { often };
        for chunk in &batch.chunks {
            let ChunkState::Accepted { payout_batch_id, .. } = &chunk.state else { continue };
            let key = (batch.id, chunk.number);
            let hint = payout_batch_id.parse().ok().and_then(|id| hints.get_key_value(&id));
            let every = if hint.is_some() { HINTS_APART } else { every };
            let is_fresh = looks.calls.get(&key).is_some_and(|last| now < *last + every);
            // What is not final is looked at for as long as it takes, and what PayPal tells also afterwards.
            let is_open = batch.status != BatchStatus::Settled;
            if (chunk.next(now) != Next::Look && !is_open && hint.is_none()) || is_fresh {
                continue;
            }
            looks.calls.insert(key, now);
            let found = paypal.all_items(payout_batch_id).await;
            self.metrics.payout_poll(if found.is_ok() { PayoutPoll::Ok } else { PayoutPoll::Failed });
            match found {
                Ok(whole) => {
                    self.take_look(batch, chunk.number, &whole).await?;
                    if let Some((id, hint)) = hint.filter(|_| whole.is_whole) {
                        self.end_hint(id, hint).await?;
                    }
                }
                Err(ReadFailure::Throttled) => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, payout = %batch.id, call = chunk.number, "PayPal could not be asked about a payout");
                }
            }
        }
        Ok(())
    }

    /// Takes what PayPal says about the items of a call.
    async fn take_look(
        self: &Arc<Self>,
        batch: &Batch,
        number: u32,
        whole: &WholeBatch,
    ) -> Result<(), StepError> {
        let today = self.zone().date_of(self.now());
        let left_out = batch.chunk(number).map(|chunk| chunk.left_out.clone()).unwrap_or_default();
        let items = self.items_of_chunk(batch.id, number).await?;
        let reported = by_our_id(whole);
        let asked = items.iter().filter(|(affiliate, _)| !left_out.contains(affiliate));
        let changes = asked.filter_map(|(affiliate, item)| {
            let found = reported.get(&item.id(*affiliate).to_string()).map(Vec::as_slice);
            change_by(*affiliate, item, found.unwrap_or_default(), whole.is_whole, &batch.currency, today)
        });
        self.change_items(&Actor::server(), batch.id, changes.collect()).await
    }
}

fn interrupted(error: AggregateError) -> StepError {
    match error {
        AggregateError::Store(error) => StepError::Store(error),
        AggregateError::Journal(error) => StepError::Act(ActError::NotTaken(error)),
        _ => StepError::Act(ActError::Unavailable),
    }
}

fn parsed(index: &str, names: &[String]) -> Result<Vec<AffiliateId>, StepError> {
    let ids = names.iter().map(|name| {
        name.parse().map_err(|_| StepError::Store(StoreError::Corrupt(format!("`{index}` names {name}"))))
    });
    ids.collect()
}

/// The place in `items[6].receiver`.
fn place_of(field: &str) -> Option<usize> {
    field.split_once("items[")?.1.split_once(']')?.0.parse().ok()
}

fn by_our_id(whole: &WholeBatch) -> HashMap<String, Vec<&ReportedItem>> {
    let mut items: HashMap<String, Vec<&ReportedItem>> = HashMap::new();
    for item in &whole.items {
        items.entry(item.sender_item_id.clone().unwrap_or_default()).or_default().push(item);
    }
    items
}

/// How a batch that PayPal has under our id differs from what we sent.
enum Difference {
    /// It may only not be shown yet: the same id is asked again.
    NotYet(String),
    /// It holds something else: a person looks.
    Other(String),
}

/// Compares a batch that PayPal has under our id with what we sent, item by item.
fn compared(whole: &WholeBatch, currency: &str, ours: &[(AffiliateId, Item)]) -> Result<(), Difference> {
    let reported = by_our_id(whole);
    let wanted: BTreeSet<String> =
        ours.iter().map(|(affiliate, item)| item.id(*affiliate).to_string()).collect();
    if let Some(strange) = reported.keys().find(|id| !wanted.contains(*id)) {
        return Err(Difference::Other(format!(
            "PayPal has an item {strange:?} under this id that was not sent"
        )));
    }
    for (affiliate, item) in ours {
        let id = item.id(*affiliate).to_string();
        match reported.get(&id).map(Vec::as_slice) {
            Some([one]) if is_ours(one, item, currency) => {}
            Some([one]) if one.amount.is_none() => {
                return Err(Difference::NotYet(format!("PayPal does not say the amount of {id} yet")));
            }
            Some([_]) => {
                return Err(Difference::Other(format!("PayPal has {id} with another receiver or amount")));
            }
            Some(_) => return Err(Difference::Other(format!("PayPal has {id} twice"))),
            None => return Err(Difference::NotYet(format!("PayPal does not show {id} yet"))),
        }
    }
    let is_whole = whole.is_whole;
    if is_whole { Ok(()) } else { Err(Difference::NotYet("PayPal does not show all items yet".to_owned())) }
}

/// Whether PayPal's item has our receiver and amount, as far as it says them.
fn is_ours(theirs: &ReportedItem, item: &Item, currency: &str) -> bool {
    theirs.receiver.as_ref().is_none_or(|receiver| receiver.is(&item.receiver))
        && theirs.amount.as_ref().is_some_and(|amount| amount.is(item.amount, currency))
}

/// What PayPal's word about an item changes; `None`: nothing. What is missing, twice, of another amount or unknown is
/// never taken for paid or not paid.
fn change_by(
    affiliate_id: AffiliateId,
    item: &Item,
    found: &[&ReportedItem],
    is_whole: bool,
    currency: &str,
    on: NaiveDate,
) -> Option<Change> {
    let change = |event, provider| Change { affiliate_id, event, on, chunk: None, provider, means: None };
    let lost = || {
        let is_open = item.status == ItemStatus::Submitted;
        is_open.then(|| change(Event::Lost, Provider::default()))
    };
    let one = match found {
        [one] if is_ours(one, item, currency) => one,
        [] if !is_whole => return None,
        _ => return lost(),
    };
    let Some(event) = one.status.event() else { return lost() };
    let provider = Provider {
        item_id: one.payout_item_id.clone(),
        transaction_id: one.transaction_id.clone(),
        error: one.error.clone(),
    };
    let is_known = match item.status.after(event) {
        Step::To(_) => false,
        Step::Same => item.doubt.is_none() && item.provider == item.provider.with(&provider),
        Step::Refused => item.doubt == Some(event),
    };
    (!is_known).then(|| change(event, provider))
}
