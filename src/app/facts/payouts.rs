//! Facts of payouts: batches, their items, and what staff confirm about affiliates.

use super::puts::write_to;
use super::{Applied, Audit, Context, Effect, Kind, NotApplied, Subject, sentence};
use crate::app::actor::Actor;
use crate::app::layout::{
    PAYOUT_ATTENTION, PAYOUT_HINTS, PAYOUT_OPENING, PAYOUTS, affiliate_key, carried_key, ledger_key,
    payout_chunk_index, payout_hint_key, payout_index, payout_key, told_key,
};
use crate::app::payouts::ITEMS_A_FACT;
use crate::app::work::Work;
use crate::domain::account::Refusal;
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::Month;
use crate::domain::fact::{
    PayoutAnswered, PayoutApproved, PayoutBegun, PayoutCalling, PayoutCleared, PayoutDiscarded,
    PayoutDrafted, PayoutExported, PayoutHinted, PayoutItemsAdded, PayoutItemsChanged, PayoutOpening,
    PayoutSubmitted,
};
use crate::domain::id::AffiliateId;
use crate::domain::mail::{Message, Need, Payment, Topic, news_of_item};
use crate::domain::money::Money;
use crate::domain::payout::{
    Answer, Approval, Batch, BatchStatus, Carried, CarriedSum, Change, Chunk, Event, Hint, ItemStatus,
    Ledger, Method, NewItem, NotAllowed, PayoutId, Provider,
};
use crate::domain::person::Permission;
use crate::metrics::FactKind;
use crate::store::Result;
use chrono::{DateTime, Utc};
use serde_json::Value;

impl Kind for PayoutBegun {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| about("Began the payout", entry));

    fn subject(&self) -> Subject<'_> {
        Subject::Run { fence: self.fence }
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![payout_key(self.payout_id), PAYOUT_OPENING.to_owned()]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        if let Some(known) = work.get::<Batch>(&payout_key(self.payout_id))? {
            // A later run goes on with it.
            return Effect::allowed(known.status == BatchStatus::Making, false);
        }
        work.put(PAYOUT_OPENING, &Opening { begun: true, ..opening_in(work)? })?;
        let batch = Batch::begin(self.payout_id, self.currency.clone(), context.by.to_owned(), context.at);
        work.index(PAYOUTS.to_owned(), self.payout_id.to_string(), true);
        put_batch(work, &batch)?;
        Ok(Effect::of(true))
    }
}

impl PayoutItemsAdded {
    /// Whose PayPal e-mail is not known.
    fn without_paypal(&self) -> impl Iterator<Item = &CarriedSum> {
        self.carried.iter().filter(|one| one.reasons.contains(&Carried::NoPaypalEmail))
    }
    /// The affiliate is told once a month, also if the batch is discarded and made again.
    fn told_key(&self, affiliate: AffiliateId) -> String {
        told_key(affiliate, Topic::PayoutNeedsYou, &self.payout_id.month.to_string())
    }
}

impl Kind for PayoutItemsAdded {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = ITEMS_A_FACT;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        Subject::Run { fence: self.fence }
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        let own =
            [payout_key(self.payout_id), carried_key(self.payout_id, self.part), PAYOUT_OPENING.to_owned()];
        let ledgers = self.items.iter().map(|item| ledger_key(item.affiliate_id));
        let ids = self.without_paypal().map(|one| one.affiliate_id);
        let told = ids.flat_map(|affiliate| [affiliate_key(affiliate), self.told_key(affiliate)]);
        own.into_iter().chain(ledgers).chain(told).collect()
    }
    fn mails(&self) -> usize {
        self.without_paypal().count()
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let mut batch = need_batch(work, self.payout_id)?;
        if batch.status != BatchStatus::Making {
            return Err(Refusal::WrongPayoutStatus.into());
        }
        for item in &self.items {
            add_item(work, &mut batch, item, context.at)?;
        }
        if !self.carried.is_empty() {
            work.put(&carried_key(self.payout_id, self.part), &self.carried)?;
        }
        for one in self.without_paypal() {
            let key = self.told_key(one.affiliate_id);
            if one.amount > Money::ZERO && work.get::<DateTime<Utc>>(&key)?.is_none() {
                work.put(&key, &context.at)?;
                let (amount, currency) = (one.amount, batch.currency.clone());
                let payment = Payment { amount, currency, months: Vec::new(), receiver: String::new() };
                let message = Message::PayoutNeedsYou { need: Need::NoPaypalEmail, payment };
                write_to_affiliate(work, one.affiliate_id, message)?;
            }
        }
        put_batch(work, &batch)?;
        Ok(Effect::of(true))
    }
}

/// Adds an item to its batch and to its affiliate's ledger. One that an interrupted run added before stays.
fn add_item(
    work: &mut Work,
    batch: &mut Batch,
    item: &NewItem,
    at: DateTime<Utc>,
) -> std::result::Result<(), NotApplied> {
    let mut ledger = ledger_in(work, item.affiliate_id)?.with_opening(opening_in(work)?.through);
    match ledger.add(batch.id, item, at) {
        Err(NotAllowed::Twice) => return Ok(()),
        added => added.map_err(refusal)?,
    }
    batch.add(item);
    for status in [None, Some(ItemStatus::Ready)] {
        work.index(payout_index(batch.id, status), item.affiliate_id.to_string(), true);
    }
    Ok(work.put(&ledger_key(item.affiliate_id), &ledger)?)
}

impl Kind for PayoutDrafted {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| about("Made the payout", entry));

    fn subject(&self) -> Subject<'_> {
        Subject::Run { fence: self.fence }
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![payout_key(self.payout_id)]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let mut batch = need_batch(work, self.payout_id)?;
        if batch.status != BatchStatus::Making {
            return Ok(Effect::of(false));
        }
        (batch.carried_parts, batch.carried) = (self.parts, self.carried);
        // Nothing is left to do about a batch that only carries.
        batch.status = if batch.counts.is_empty() { BatchStatus::Settled } else { BatchStatus::Draft };
        put_batch(work, &batch)?;
        Ok(Effect::of(true))
    }
}

impl Kind for PayoutApproved {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| about("Approved the payout", entry));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::Payouts)
    }
    fn documents(&self) -> Vec<String> {
        vec![payout_key(self.payout_id)]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let mut batch = need_batch(work, self.payout_id)?;
        if batch.status != BatchStatus::Draft {
            let same = batch.method() == Some(self.method) && batch.hash == self.hash;
            return Effect::allowed(same && batch.status == BatchStatus::Approved, false);
        }
        if batch.hash != self.hash {
            return Err(Refusal::PayoutChanged.into());
        }
        if self.two_persons && batch.by == context.by {
            return Err(Refusal::SecondPerson.into());
        }
        batch.approved = Some(Approval { by: context.by.to_owned(), at: context.at, method: self.method });
        batch.status = BatchStatus::Approved;
        put_batch(work, &batch)?;
        Ok(Effect::of(true))
    }
}

impl Kind for PayoutDiscarded {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| about("Discarded the payout", entry));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::Payouts)
    }
    fn documents(&self) -> Vec<String> {
        vec![payout_key(self.payout_id)]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let mut batch = need_batch(work, self.payout_id)?;
        match batch.status {
            BatchStatus::Discarded => return Ok(Effect::of(false)),
            BatchStatus::Draft | BatchStatus::Approved if !batch.was_submitted() => {}
            _ => return Err(Refusal::WrongPayoutStatus.into()),
        }
        batch.status = BatchStatus::Discarded;
        batch.discarded = Some(self.reason.clone());
        put_batch(work, &batch)?;
        Ok(Effect::of(true))
    }
}

impl Kind for PayoutExported {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| about("Exported PayPal's file of the payout", entry));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::Payouts)
    }
    fn documents(&self) -> Vec<String> {
        vec![payout_key(self.payout_id)]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let mut batch = need_batch(work, self.payout_id)?;
        let is_open = matches!(batch.status, BatchStatus::Approved | BatchStatus::Submitted);
        if !is_open || !batch.method().is_some_and(Method::is_by_file) {
            return Err(Refusal::WrongPayoutStatus.into());
        }
        let exports = batch.exports.entry(self.part).or_default();
        if *exports != self.before {
            return Err(Refusal::ExportedBefore.into());
        }
        *exports += 1;
        put_batch(work, &batch)?;
        Ok(Effect::of(true))
    }
}

impl Kind for PayoutItemsChanged {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = ITEMS_A_FACT;
    const AUDIT: Option<Audit> = Audit::saying(|entry| {
        // What PayPal reports, and the steps of an export, are shown with the items.
        let changes = entry["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let by_person =
            changes.iter().any(|change| change.get("means").is_some() || change["event"] == "withdraw");
        by_person.then(|| format!("Changed {} payments of {}", changes.len(), text(entry, "payout_id")))
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::Payouts)
    }
    fn documents(&self) -> Vec<String> {
        let ids = self.changes.iter().map(|change| change.affiliate_id);
        let of_affiliates = ids.flat_map(|affiliate| [ledger_key(affiliate), affiliate_key(affiliate)]);
        std::iter::once(payout_key(self.payout_id)).chain(of_affiliates).collect()
    }
    fn mails(&self) -> usize {
        self.changes.len()
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let mut batch = need_batch(work, self.payout_id)?;
        let mut changed = false;
        for change in &self.changes {
            changed |= change_item(work, &mut batch, change, context.at)?;
        }
        if changed {
            put_batch(work, &batch)?;
        }
        Ok(Effect::of(changed))
    }
}

/// Takes what happened to an item into its ledger and its batch. Whether anything changed.
fn change_item(
    work: &mut Work,
    batch: &mut Batch,
    change: &Change,
    at: DateTime<Utc>,
) -> std::result::Result<bool, NotApplied> {
    if !batch.takes(change.event) {
        return Err(Refusal::WrongPayoutStatus.into());
    }
    let affiliate = change.affiliate_id;
    let mut ledger = ledger_in(work, affiliate)?;
    if matches!(change.event, Event::FoundPaid | Event::FoundUnpaid)
        && batch.method().is_some_and(Method::calls_paypal)
        && let Some(item) = ledger.item(batch.id)
    {
        // A call that is about to be made, or whose answer can still come, is not overtaken by a person.
        let chunk = item.chunk.and_then(|chunk| batch.chunk_mut(chunk));
        let chunk = chunk.ok_or(NotApplied::Refused(Refusal::SendUnderWay))?;
        if !chunk.may_be_resolved(at) || item.status != ItemStatus::Unknown {
            return Err(Refusal::SendUnderWay.into());
        }
        // What a person decided about is not sent again.
        chunk.stop("a person decided about an item");
    }
    let Some((before, after)) = ledger.change(batch.id, change, at).map_err(refusal)? else {
        return Ok(false);
    };
    // It was found by `change`.
    let item = ledger.item(batch.id).ok_or(NotApplied::Refused(Refusal::UnknownPayoutItem))?;
    let id = item.id(affiliate).to_string();
    if let Some(chunk) = change.chunk.filter(|_| change.event == Event::Submit) {
        work.index(payout_chunk_index(batch.id, chunk), affiliate.to_string(), true);
    }
    batch.moved(before, after, item.amount, &id);
    if before != after {
        work.index(payout_index(batch.id, Some(before)), affiliate.to_string(), false);
        work.index(payout_index(batch.id, Some(after)), affiliate.to_string(), true);
    }
    work.index(PAYOUT_ATTENTION.to_owned(), id, item.needs_a_person());
    let news = news_of_item(item, before, change.event, &batch.currency);
    work.put(&ledger_key(affiliate), &ledger)?;
    if let Some(message) = news {
        write_to_affiliate(work, affiliate, message)?;
    }
    Ok(true)
}

/// Puts a letter into the outbox, unless the affiliate is not known.
fn write_to_affiliate(work: &mut Work, id: AffiliateId, message: Message) -> Result<()> {
    match work.get::<Affiliate>(&affiliate_key(id))? {
        Some(affiliate) => write_to(work, &affiliate, message),
        None => Ok(()),
    }
}

impl Kind for PayoutSubmitted {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| about("Submitted the payout", entry));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::Payouts)
    }
    fn documents(&self) -> Vec<String> {
        vec![payout_key(self.payout_id)]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let mut batch = need_batch(work, self.payout_id)?;
        let is_open = matches!(batch.status, BatchStatus::Approved | BatchStatus::Submitted);
        if !batch.method().is_some_and(Method::calls_paypal) || !is_open {
            return Effect::allowed(batch.to_send && batch.status == BatchStatus::Settled, false);
        }
        let resumed = batch.chunks.iter_mut().filter_map(|chunk| chunk.resume().then_some(())).count();
        let changed = !batch.to_send || resumed > 0;
        batch.to_send = true;
        put_batch(work, &batch)?;
        Ok(Effect::of(changed))
    }
}

impl Kind for PayoutCalling {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        Subject::Run { fence: self.fence }
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![payout_key(self.payout_id)]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let mut batch = need_batch(work, self.payout_id)?;
        if !batch.to_send || !batch.takes(Event::Succeeded) {
            return Err(Refusal::WrongPayoutStatus.into());
        }
        if let Some(known) = batch.chunk_mut(self.chunk) {
            known.again(&self.body_hash, self.called_at).map_err(|_| Refusal::SendUnderWay)?;
        } else {
            let (note, hash) = (self.note.clone(), self.body_hash.clone());
            batch.chunks.push(Chunk::begin(self.chunk, note, hash, self.called_at));
        }
        put_batch(work, &batch)?;
        Ok(Effect::of(true))
    }
}

impl Kind for PayoutAnswered {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        let item = match &self.answer {
            Answer::RefusedItem { affiliate_id, .. } => {
                vec![ledger_key(*affiliate_id), affiliate_key(*affiliate_id)]
            }
            _ => Vec::new(),
        };
        std::iter::once(payout_key(self.payout_id)).chain(item).collect()
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let mut batch = need_batch(work, self.payout_id)?;
        let chunk = batch.chunk_mut(self.chunk).ok_or(NotApplied::Refused(Refusal::WrongPayoutStatus))?;
        let before = chunk.clone();
        chunk.answered(self.attempt, &self.answer, context.at);
        let (changed, left_out) = (*chunk != before, chunk.left_out.len() > before.left_out.len());
        if let (Answer::RefusedItem { affiliate_id, why }, true) = (&self.answer, left_out) {
            let provider = Provider { error: Some(why.clone()), ..Provider::default() };
            let (affiliate_id, event) = (*affiliate_id, Event::Failed);
            let change = Change { affiliate_id, event, on: self.on, chunk: None, provider, means: None };
            change_item(work, &mut batch, &change, context.at)?;
        }
        put_batch(work, &batch)?;
        Ok(Effect::of(changed))
    }
}

impl Kind for PayoutHinted {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![payout_hint_key(&self.payout_batch_id)]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let key = payout_hint_key(&self.payout_batch_id);
        let news = Hint::with(work.get(&key)?, &self.event_id, context.at);
        if let Some(hint) = &news {
            work.put(&key, hint)?;
            work.index(PAYOUT_HINTS.to_owned(), self.payout_batch_id.to_string(), true);
        }
        Ok(Effect::of(news.is_some()))
    }
}

impl Kind for PayoutOpening {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| {
        Some(match entry["through"].as_str() {
            Some(month) => format!("Said that statements through {month} were paid elsewhere"),
            None => "Said that no statement was paid elsewhere".to_owned(),
        })
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::Payouts)
    }
    fn documents(&self) -> Vec<String> {
        match self.affiliate_id {
            Some(affiliate) => vec![affiliate_key(affiliate), ledger_key(affiliate)],
            None => vec![PAYOUT_OPENING.to_owned()],
        }
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let Some(affiliate) = self.affiliate_id else {
            let before = opening_in(work)?;
            let after = Opening { through: self.through, said: true, begun: before.begun };
            if before.begun && before != after {
                return Err(Refusal::PayoutsBegun.into());
            }
            work.put(PAYOUT_OPENING, &after)?;
            return Ok(Effect::of(before != after));
        };
        work.need::<Affiliate>(&affiliate_key(affiliate), Refusal::UnknownAffiliate)?;
        let mut ledger = ledger_in(work, affiliate)?;
        if !ledger.items.is_empty() {
            return Err(Refusal::PayoutsBegun.into());
        }
        let changed = ledger.paid_elsewhere != self.through;
        ledger.paid_elsewhere = self.through;
        work.put(&ledger_key(affiliate), &ledger)?;
        Ok(Effect::of(changed))
    }
}

impl Kind for PayoutCleared {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> =
        Some(Audit { hides: &["clearance"], says: |_| sentence("Released an affiliate's payouts") });

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::Payouts)
    }
    fn documents(&self) -> Vec<String> {
        let affiliate = self.affiliate_id;
        vec![affiliate_key(affiliate), ledger_key(affiliate)]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        work.need::<Affiliate>(&affiliate_key(self.affiliate_id), Refusal::UnknownAffiliate)?;
        let before = ledger_in(work, self.affiliate_id)?;
        let mut ledger = before.clone();
        ledger.clear(&self.clearance);
        work.put(&ledger_key(self.affiliate_id), &ledger)?;
        Ok(Effect::of(ledger != before))
    }
}

/// What was paid before payouts were made here, for all affiliates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Opening {
    /// The last month; `None`: nothing was.
    pub(crate) through: Option<Month>,
    /// Whether a person said so.
    pub(crate) said: bool,
    /// Whether a batch was begun: nothing can be said any more.
    pub(crate) begun: bool,
}

fn opening_in(work: &Work) -> Result<Opening> {
    Ok(work.get(PAYOUT_OPENING)?.unwrap_or_default())
}

fn need_batch(work: &Work, id: PayoutId) -> std::result::Result<Batch, NotApplied> {
    work.need(&payout_key(id), Refusal::UnknownPayout)
}
fn put_batch(work: &mut Work, batch: &Batch) -> Result<()> {
    work.put(&payout_key(batch.id), batch)
}
/// An affiliate's ledger; one that has none yet has an empty one.
fn ledger_in(work: &Work, affiliate: AffiliateId) -> Result<Ledger> {
    Ok(work.get(&ledger_key(affiliate))?.unwrap_or_default())
}

impl Effect {
    /// A step that repeats an earlier one is done; any other is refused.
    fn allowed(is_repeated: bool, changed: bool) -> Applied {
        if is_repeated { Ok(Self::of(changed)) } else { Err(Refusal::WrongPayoutStatus.into()) }
    }
}

const fn refusal(why: NotAllowed) -> NotApplied {
    NotApplied::Refused(match why {
        NotAllowed::NoItem => Refusal::UnknownPayoutItem,
        NotAllowed::Step => Refusal::WrongItemStatus,
        NotAllowed::PartsTaken | NotAllowed::Twice => Refusal::StatementInPayout,
        NotAllowed::Sum => Refusal::WrongPayoutSum,
    })
}

fn text<'e>(entry: &'e Value, field: &str) -> &'e str {
    entry[field].as_str().unwrap_or_default()
}
#[expect(clippy::unnecessary_wraps, reason = "the answer of every `says`")]
fn about(what: &str, entry: &Value) -> Option<String> {
    Some(format!("{what} {}", text(entry, "payout_id")))
}
