//! What people do with batches and their items.

use super::ITEMS_A_FACT;
use super::read::LEDGERS_AT_ONCE;
use crate::app::actor::Actor;
use crate::app::people::ActError;
use crate::app::{App, ReadError};
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Status};
use crate::domain::calendar::Month;
use crate::domain::fact::{
    PayoutApproved, PayoutCleared, PayoutDiscarded, PayoutExported, PayoutItemsChanged, PayoutOpening,
};
use crate::domain::id::AffiliateId;
use crate::domain::payout::file::{self, ROWS_PER_FILE, Row};
use crate::domain::payout::report::ReportError;
use crate::domain::payout::{
    Batch, BatchStatus, Change, Clearance, Event, Item, ItemId, ItemStatus, Ledger, Means, Method, PayoutId,
    Provider,
};
use crate::paypal::Unsendable;
use crate::store::StoreError;
use chrono::NaiveDate;
use std::sync::Arc;

/// Why a step was not made.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It was refused or not taken in.
    #[error(transparent)]
    Act(#[from] ActError),
    /// Something is in the way, with what to do about each.
    #[error("go on with a payout while something is in the way: {}", .0.join("; "))]
    Stopped(Vec<String>),
    /// The part was exported before: it needs a confirmation to export it again.
    #[error("export again what was exported before")]
    ExportedBefore,
    /// The batch has no such part.
    #[error("export a part that the batch does not have")]
    NoSuchPart,
    /// The day of a payment is after today.
    #[error("take a payment of a day that has not come")]
    NotYet,
    /// The configuration has no such way of paying.
    #[error("pay in a way that is not configured")]
    MethodUnavailable,
    /// A row can't be written as PayPal reads it.
    #[error("write the file: {0}")]
    File(#[from] file::FileError),
    /// A payment can't be sent as PayPal takes it.
    #[error("send to PayPal: {0}")]
    Unsendable(#[from] Unsendable),
    /// A file is not a report of PayPal's.
    #[error("read PayPal's report: {0}")]
    Report(#[from] ReportError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Refusal> for StepError {
    fn from(refusal: Refusal) -> Self {
        Self::Act(ActError::Refused(refusal))
    }
}
impl From<ReadError> for StepError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => Self::Store(error),
            ReadError::BadCursor => Self::Store(StoreError::Corrupt("a cursor of our own".to_owned())),
        }
    }
}

/// A part of a batch as PayPal's file.
#[derive(Debug)]
pub struct Exported {
    /// The file's name; it has the batch's id in it.
    pub name: String,
    /// Its content.
    pub csv: String,
}

impl App {
    pub(super) async fn need_payout(&self, id: PayoutId) -> Result<Batch, StepError> {
        Ok(self.payout(id).await?.ok_or(Refusal::UnknownPayout)?)
    }
    pub(super) async fn check_stops(&self) -> Result<(), StepError> {
        let stops = self.last_payout_stops().await?;
        if stops.is_empty() { Ok(()) } else { Err(StepError::Stopped(stops)) }
    }

    /// Approves a draft whose hash is that of what was looked at. Items that could not be paid any more as they were
    /// looked at (suspended, another PayPal e-mail) are withdrawn first.
    pub async fn approve_payout(
        self: &Arc<Self>,
        actor: &Actor,
        payout_id: PayoutId,
        method: Method,
        hash: &str,
    ) -> Result<Batch, StepError> {
        if method.calls_paypal() && !self.config().payouts.method.calls_paypal() {
            return Err(StepError::MethodUnavailable);
        }
        self.check_stops().await?;
        self.follow_directory().await?;
        let batch = self.need_payout(payout_id).await?;
        if batch.status == BatchStatus::Draft && batch.hash != hash {
            return Err(Refusal::PayoutChanged.into());
        }
        let two_persons = self.config().payouts.two_persons;
        if batch.status != BatchStatus::Draft {
            // A repeated approval is done; any other one is refused by the fact.
            let fact = PayoutApproved { payout_id, method, hash: batch.hash.clone(), two_persons };
            self.act(actor, fact).await?;
            return self.need_payout(payout_id).await;
        }
        let stale = self.items_that_must_not_be_paid(&batch).await?;
        let ids: Vec<String> = stale.iter().map(|(id, _)| id.to_string()).collect();
        let expected = batch.hash_after_withdrawals(&ids);
        self.withdraw_all(actor, payout_id, stale).await?;
        self.act(actor, PayoutApproved { payout_id, method, hash: expected, two_persons }).await?;
        self.need_payout(payout_id).await
    }

    /// The ready items of a batch whose affiliates can't be paid as planned any more, each with the reason.
    async fn items_that_must_not_be_paid(&self, batch: &Batch) -> Result<Vec<(ItemId, String)>, StepError> {
        let mut stale = Vec::new();
        let directory = self.directory();
        let items = self.items_with(batch.id, ItemStatus::Ready).await?;
        let affiliates: Vec<AffiliateId> = items.iter().map(|(affiliate, _)| *affiliate).collect();
        let ledgers = self.ledgers(&affiliates).await?;
        for ((affiliate, item), ledger) in items.iter().zip(ledgers) {
            let known = directory.affiliate(*affiliate).map(|known| self.why_not_payable(known, item));
            let known = known.unwrap_or(Some("the affiliate is not known"));
            if let Some(reason) = known.or_else(|| ledger.why_not_any_more(batch.id)) {
                stale.push((item.id(*affiliate), reason.to_owned()));
            }
        }
        Ok(stale)
    }
    fn why_not_payable(&self, affiliate: &Affiliate, item: &Item) -> Option<&'static str> {
        let now = affiliate.profile.paypal_email.as_ref();
        let held = affiliate.payouts_held_until().is_some_and(|until| self.now() < until);
        let table = [
            (affiliate.status() == Status::Suspended, "the affiliate is suspended"),
            (now != Some(&item.receiver), "the PayPal e-mail is another one now"),
            (held, "the e-mail or PayPal e-mail was changed within seven days"),
        ];
        table.into_iter().find(|(applies, _)| *applies).map(|(_, why)| why)
    }

    /// All items of a batch that have a status.
    async fn items_with(
        &self,
        payout_id: PayoutId,
        status: ItemStatus,
    ) -> Result<Vec<(AffiliateId, Item)>, StepError> {
        let (mut items, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.payout_items(payout_id, Some(status), cursor.as_deref(), LEDGERS_AT_ONCE).await?;
            items.extend(page.data);
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(items),
            }
        }
    }

    /// Discards a batch of which nothing was exported or sent. Discarding it again finishes what was interrupted.
    pub async fn discard_payout(
        self: &Arc<Self>,
        actor: &Actor,
        payout_id: PayoutId,
        reason: String,
    ) -> Result<Batch, StepError> {
        self.act(actor, PayoutDiscarded { payout_id, reason: reason.clone() }).await?;
        let items = self.items_with(payout_id, ItemStatus::Ready).await?;
        let ids = items.iter().map(|(affiliate, item)| (item.id(*affiliate), reason.clone()));
        self.withdraw_all(actor, payout_id, ids.collect()).await?;
        self.need_payout(payout_id).await
    }

    async fn withdraw_all(
        self: &Arc<Self>,
        actor: &Actor,
        payout_id: PayoutId,
        items: Vec<(ItemId, String)>,
    ) -> Result<(), StepError> {
        let by = actor.name();
        let changes = items.into_iter().map(|(id, reason)| {
            let means = Means { by: by.clone(), reason, reference: None };
            self.item_change(id.affiliate, Event::Withdraw, Some(means))
        });
        self.change_items(actor, payout_id, changes.collect()).await
    }

    /// What happened to an item today.
    pub(super) fn item_change(
        &self,
        affiliate_id: AffiliateId,
        event: Event,
        means: Option<Means>,
    ) -> Change {
        let on = self.zone().date_of(self.now());
        Change { affiliate_id, event, on, chunk: None, provider: Provider::default(), means }
    }

    /// Hands in what happened to items of a batch, some at a time.
    pub(super) async fn change_items(
        self: &Arc<Self>,
        actor: &Actor,
        payout_id: PayoutId,
        changes: Vec<Change>,
    ) -> Result<(), StepError> {
        for some in changes.chunks(ITEMS_A_FACT) {
            self.act(actor, PayoutItemsChanged { payout_id, changes: some.to_vec() }).await?;
        }
        Ok(())
    }

    /// Exports a part of an approved batch (from 1) as PayPal's file. Its items count as submitted from then on, also
    /// if the file is never uploaded. A part that was exported before is exported again only if that is confirmed.
    pub async fn export_payout(
        self: &Arc<Self>,
        actor: &Actor,
        payout_id: PayoutId,
        part: u32,
        again: bool,
    ) -> Result<Exported, StepError> {
        self.check_stops().await?;
        self.follow_directory().await?;
        let batch = self.need_payout(payout_id).await?;
        let affiliates = self.affiliates_of_part(payout_id, part).await?;
        if batch.exports.contains_key(&part) && !again {
            return Err(StepError::ExportedBefore);
        }
        // A row that can't be written is found before anything counts as exported.
        self.write_file(&batch, &affiliates, ItemStatus::Ready).await?;
        let before = batch.exports.get(&part).copied().unwrap_or(0);
        self.act(actor, PayoutExported { payout_id, part, before }).await?;
        self.submit_part(actor, payout_id, part, &affiliates).await?;
        let csv = self.write_file(&batch, &affiliates, ItemStatus::Submitted).await?;
        Ok(Exported { name: format!("paypal-{payout_id}-{part}.csv"), csv })
    }

    /// PayPal's file with the items of some affiliates that have a status.
    async fn write_file(
        &self,
        batch: &Batch,
        affiliates: &[AffiliateId],
        status: ItemStatus,
    ) -> Result<String, StepError> {
        let items = self.items_of(batch.id, affiliates).await?;
        let items = items.iter().filter(|(_, item)| item.status == status);
        let items: Vec<(String, &Item)> =
            items.map(|(affiliate, item)| (item.id(*affiliate).to_string(), item)).collect();
        let note = file::note(&format!("{} {}", self.config().portal.program_name, batch.id));
        let rows = items.iter().map(|(id, item)| Row {
            receiver: &item.receiver,
            amount: item.amount,
            currency: &batch.currency,
            item_id: id,
            note: &note,
        });
        Ok(file::write(rows)?)
    }

    /// The affiliates in a part of a batch's file. The parts are the same whenever they are asked for.
    async fn affiliates_of_part(
        &self,
        payout_id: PayoutId,
        part: u32,
    ) -> Result<Vec<AffiliateId>, StepError> {
        let index = crate::app::layout::payout_index(payout_id, None);
        let names = self.all_members(&index).await?;
        let place = usize::try_from(part).ok().and_then(|part| part.checked_sub(1));
        let part = place.and_then(|place| names.chunks(ROWS_PER_FILE).nth(place));
        let part = part.ok_or(StepError::NoSuchPart)?;
        let parsed = part
            .iter()
            .map(|name| name.parse().map_err(|_| StoreError::Corrupt(format!("`{index}` names {name}"))));
        Ok(parsed.collect::<Result<_, _>>()?)
    }
    /// Into how many parts a batch's file is cut.
    pub async fn parts_of(&self, payout_id: PayoutId) -> Result<u32, StoreError> {
        let index = crate::app::layout::payout_index(payout_id, None);
        let parts = self.all_members(&index).await?.len().div_ceil(ROWS_PER_FILE);
        Ok(u32::try_from(parts).unwrap_or(u32::MAX))
    }

    pub(super) async fn items_of(
        &self,
        payout_id: PayoutId,
        affiliates: &[AffiliateId],
    ) -> Result<Vec<(AffiliateId, Item)>, StepError> {
        let ledgers = self.ledgers(affiliates).await?;
        let items = affiliates.iter().zip(ledgers);
        Ok(items
            .filter_map(|(affiliate, ledger)| ledger.item(payout_id).map(|item| (*affiliate, item.clone())))
            .collect())
    }

    /// Makes the ready items of some affiliates submitted; a suspended affiliate's is withdrawn.
    pub(super) async fn submit_part(
        self: &Arc<Self>,
        actor: &Actor,
        payout_id: PayoutId,
        chunk: u32,
        affiliates: &[AffiliateId],
    ) -> Result<(), StepError> {
        let directory = self.directory();
        let ledgers = self.ledgers(affiliates).await?;
        let is_ready =
            |ledger: &Ledger| ledger.item(payout_id).is_some_and(|item| item.status == ItemStatus::Ready);
        let ready = affiliates.iter().zip(&ledgers).filter(|(_, ledger)| is_ready(ledger));
        let changes = ready.map(|(affiliate, ledger)| {
            let is_active =
                directory.affiliate(*affiliate).is_some_and(|one| one.status() != Status::Suspended);
            let why_not = ledger.why_not_any_more(payout_id);
            if is_active && why_not.is_none() {
                return Change { chunk: Some(chunk), ..self.item_change(*affiliate, Event::Submit, None) };
            }
            let reason = why_not.unwrap_or("the affiliate is suspended").to_owned();
            let means = Means { by: actor.name(), reason, reference: None };
            self.item_change(*affiliate, Event::Withdraw, Some(means))
        });
        let changes = changes.collect();
        self.change_items(actor, payout_id, changes).await
    }

    /// Takes an item out of a batch before it was exported or sent.
    pub async fn withdraw_item(
        self: &Arc<Self>,
        actor: &Actor,
        id: ItemId,
        reason: String,
    ) -> Result<Item, StepError> {
        self.withdraw_all(actor, id.payout, vec![(id, reason)]).await?;
        self.need_item(id).await
    }
    pub(super) async fn need_item(&self, id: ItemId) -> Result<Item, StepError> {
        Ok(self.payout_item(id).await?.ok_or(Refusal::UnknownPayoutItem)?)
    }

    /// Notes that an item was paid by other means, on a day. It is withdrawn from its batch in the same step, if it was
    /// not exported or sent.
    pub async fn pay_item_otherwise(
        self: &Arc<Self>,
        actor: &Actor,
        id: ItemId,
        on: NaiveDate,
        reference: Option<String>,
        reason: String,
    ) -> Result<Item, StepError> {
        if on > self.zone().date_of(self.now()) {
            return Err(StepError::NotYet);
        }
        let known = self.need_item(id).await?;
        let means = Means { by: actor.name(), reason, reference };
        // Sent twice, it is done once.
        let is_repeated = known.status == ItemStatus::Paid
            && known.paid_on == Some(on)
            && known.means.as_ref().is_some_and(|known| known.reference == means.reference);
        if is_repeated {
            return Ok(known);
        }
        let change = Change { on, ..self.item_change(id.affiliate, Event::PaidOtherwise, Some(means)) };
        self.change_items(actor, id.payout, vec![change]).await?;
        self.need_item(id).await
    }

    /// Notes that all items of a batch that are owed or not exported yet were paid by other means, on a day. Returns how
    /// many.
    pub async fn pay_batch_otherwise(
        self: &Arc<Self>,
        actor: &Actor,
        payout_id: PayoutId,
        on: NaiveDate,
        reference: Option<&str>,
        reason: &str,
    ) -> Result<usize, StepError> {
        if on > self.zone().date_of(self.now()) {
            return Err(StepError::NotYet);
        }
        self.need_payout(payout_id).await?;
        let items = self.items_with(payout_id, ItemStatus::Ready).await?;
        let changes = items.iter().map(|(affiliate, _)| {
            let reference = reference.map(str::to_owned);
            let means = Means { by: actor.name(), reason: reason.to_owned(), reference };
            Change { on, ..self.item_change(*affiliate, Event::PaidOtherwise, Some(means)) }
        });
        let changes: Vec<Change> = changes.collect();
        let count = changes.len();
        self.change_items(actor, payout_id, changes).await?;
        Ok(count)
    }

    /// A person decides what became of an item whose outcome nobody knows: paid on a day, or not paid.
    pub async fn resolve_item(
        self: &Arc<Self>,
        actor: &Actor,
        id: ItemId,
        paid_on: Option<NaiveDate>,
        reason: String,
    ) -> Result<Item, StepError> {
        if paid_on.is_some_and(|on| on > self.zone().date_of(self.now())) {
            return Err(StepError::NotYet);
        }
        let event = if paid_on.is_some() { Event::FoundPaid } else { Event::FoundUnpaid };
        let means = Means { by: actor.name(), reason, reference: None };
        let change = self.item_change(id.affiliate, event, Some(means));
        let change = Change { on: paid_on.unwrap_or(change.on), ..change };
        self.change_items(actor, id.payout, vec![change]).await?;
        self.need_item(id).await
    }

    /// A person has looked at an item about which something was doubtful.
    pub async fn saw_item(
        self: &Arc<Self>,
        actor: &Actor,
        id: ItemId,
        reason: String,
    ) -> Result<Item, StepError> {
        let means = Means { by: actor.name(), reason, reference: None };
        let change = self.item_change(id.affiliate, Event::Seen, Some(means));
        self.change_items(actor, id.payout, vec![change]).await?;
        self.need_item(id).await
    }

    /// Says that statements up to a month were paid elsewhere, for all affiliates or for one; `None`: none was.
    pub async fn open_payouts(
        self: &Arc<Self>,
        actor: &Actor,
        through: Option<Month>,
        affiliate_id: Option<AffiliateId>,
    ) -> Result<(), ActError> {
        self.act(actor, PayoutOpening { through, affiliate_id }).await?;
        Ok(())
    }

    /// Confirms something because of which an affiliate is carried.
    pub async fn clear_payouts(
        self: &Arc<Self>,
        actor: &Actor,
        affiliate_id: AffiliateId,
        clearance: Clearance,
        reason: String,
    ) -> Result<(), ActError> {
        self.act(actor, PayoutCleared { affiliate_id, clearance, reason }).await?;
        Ok(())
    }
}
