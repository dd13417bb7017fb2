//! PayPal's report about a file that was uploaded: what it would change is shown before anything changes.

use super::steps::StepError;
use crate::app::App;
use crate::app::actor::Actor;
use crate::domain::account::Refusal;
use crate::domain::id::AffiliateId;
use crate::domain::named::named;
use crate::domain::payout::report::{self, Known, Matched, Outcome, Reason, ReportRow, Reported};
use crate::domain::payout::{Change, Event, Item, ItemId, ItemStatus, Method, PayoutId, Provider, Step};
use crate::domain::program::hex;
use chrono::NaiveDate;
use sha2::{Digest, Sha256};
use std::sync::Arc;

named! {
    /// What a row of a report does.
    pub enum RowOutcome {
        Changes = "changes": "It changes the item's status.",
        Known = "known": "It says what is known.",
        Repeated = "repeated": "It repeats another row.",
        OtherPayment = "other_payment": "PayPal shows another payment for this item: it may have been paid twice.",
        NotSubmitted = "not_submitted": "The item was never exported, so PayPal can't know it.",
        CannotFollow = "cannot_follow": "It can't follow on the item's status.",
        NotOurs = "not_ours": "No item of this payout has this id, or this receiver, amount and currency.",
        Ambiguous = "ambiguous": "It may be about more than one item, or about one that another row names by its id.",
        NoAmount = "no_amount": "It has no amount that can be read.",
        AmountDiffers = "amount_differs": "The amount is not that of the item.",
        CurrencyDiffers = "currency_differs": "The currency is not that of the item.",
        ReceiverDiffers = "receiver_differs": "The receiver is not that of the item.",
        UnknownStatus = "unknown_status": "The status is none that is known.",
        TwoRows = "two_rows": "Another row about the same item says something else.",
    }
}

impl RowOutcome {
    /// Whether a person has to look at the row.
    pub const fn needs_a_person(self) -> bool {
        !matches!(self, Self::Changes | Self::Known | Self::Repeated)
    }
}

/// A row of a report, and what it does.
#[derive(Debug, Clone)]
pub struct PreviewRow {
    /// The line of the report, from 1.
    pub line: u64,
    /// What it does.
    pub outcome: RowOutcome,
    /// The item that it is about.
    pub item: Option<ItemId>,
    /// The item's status before.
    pub before: Option<ItemStatus>,
    /// The item's status afterwards.
    pub after: Option<ItemStatus>,
}

/// What a report does.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Row by row.
    pub rows: Vec<PreviewRow>,
    /// What would be handed in.
    changes: Vec<Change>,
}

impl Preview {
    /// SHA-256 of all that is shown and handed in, hex: with another one, something changed since.
    pub fn hash(&self) -> String {
        let row = |row: &PreviewRow| (row.line, row.outcome, row.item, row.before, row.after);
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        // Ids, codes and texts, without maps.
        hex(&Sha256::digest(serde_json::to_vec(&(rows, &self.changes)).expect("plain data")))
    }
}

impl App {
    /// What a report of PayPal's would change of a batch that is paid by a file. Nothing is changed.
    pub async fn preview_payout_report(
        &self,
        payout_id: PayoutId,
        bytes: &[u8],
    ) -> Result<Preview, StepError> {
        let rows = report::read(bytes)?;
        let batch = self.need_payout(payout_id).await?;
        if !batch.method().is_some_and(Method::is_by_file) {
            return Err(Refusal::WrongPayoutStatus.into());
        }
        let items = self.all_items(payout_id).await?;
        let ids: Vec<String> =
            items.iter().map(|(affiliate, item)| item.id(*affiliate).to_string()).collect();
        let known: Vec<Known<'_>> = items
            .iter()
            .zip(&ids)
            .map(|((_, item), id)| Known {
                item_id: id,
                receiver: &item.receiver,
                amount: item.amount,
                currency: &batch.currency,
            })
            .collect();
        let matched = report::match_rows(&rows, &known);
        let today = self.zone().date_of(self.now());
        let approved_on = batch.approved.as_ref().map(|approval| self.zone().date_of(approval.at));
        let mut preview = Preview { rows: Vec::new(), changes: Vec::new() };
        for (row, matched) in rows.iter().zip(matched) {
            let (shown, change) = judge(row, matched, &items, approved_on, today);
            preview.rows.push(shown);
            preview.changes.extend(change);
        }
        Ok(preview)
    }

    /// Takes what a report of PayPal's says: rows that a person has to look at change nothing. `previewed`: the hash of
    /// the preview that a person looked at, which must still be true.
    pub async fn take_payout_report(
        self: &Arc<Self>,
        actor: &Actor,
        payout_id: PayoutId,
        bytes: &[u8],
        previewed: Option<&str>,
    ) -> Result<Preview, StepError> {
        let preview = self.preview_payout_report(payout_id, bytes).await?;
        if previewed.is_some_and(|hash| hash != preview.hash()) {
            return Err(Refusal::PayoutChanged.into());
        }
        self.change_items(actor, payout_id, preview.changes.clone()).await?;
        Ok(preview)
    }

    /// All items of a batch, by affiliate.
    async fn all_items(&self, payout_id: PayoutId) -> Result<Vec<(AffiliateId, Item)>, StepError> {
        let index = crate::app::layout::payout_index(payout_id, None);
        let names = self.all_members(&index).await?;
        let parsed = names.iter().map(|name| {
            name.parse().map_err(|_| crate::store::StoreError::Corrupt(format!("`{index}` names {name}")))
        });
        let affiliates = parsed.collect::<Result<Vec<AffiliateId>, _>>()?;
        self.items_of(payout_id, &affiliates).await
    }
}

/// What a row does, and what is to be handed in because of it.
fn judge(
    row: &ReportRow,
    matched: Matched,
    items: &[(AffiliateId, Item)],
    approved_on: Option<NaiveDate>,
    today: NaiveDate,
) -> (PreviewRow, Option<Change>) {
    let line = matched.line;
    let bare = |outcome| PreviewRow { line, outcome, item: None, before: None, after: None };
    let place = match matched.outcome {
        Outcome::Item(place) => place,
        Outcome::Repeated => return (bare(RowOutcome::Repeated), None),
        Outcome::Person(reason) => return (bare(of_reason(reason)), None),
    };
    let (affiliate, item) = &items[place];
    let about = |outcome, after| PreviewRow {
        line,
        outcome,
        item: Some(item.id(*affiliate)),
        before: Some(item.status),
        after,
    };
    // A report of the whole account may have an equal payment of an earlier month.
    let is_later = report::read_day(row.at.as_deref()).is_some_and(|day| Some(day) >= approved_on);
    if row.item_id.is_none() && !is_later {
        return (bare(RowOutcome::Ambiguous), None);
    }
    let Some(event) = event_of(&row.result) else {
        return (about(RowOutcome::UnknownStatus, None), None);
    };
    if matches!(item.status, ItemStatus::Ready | ItemStatus::Withdrawn) {
        return (about(RowOutcome::NotSubmitted, None), None);
    }
    let change = Change {
        affiliate_id: *affiliate,
        event,
        on: report::day_of(row.at.as_deref(), today),
        chunk: None,
        provider: Provider {
            item_id: row.provider_item_id.clone(),
            transaction_id: row.transaction_id.clone(),
            error: row.error.clone(),
        },
        means: None,
    };
    match item.status.after(event) {
        Step::To(after) => (about(RowOutcome::Changes, Some(after)), Some(change)),
        Step::Same if item.is_another_payment(&change) => {
            (about(RowOutcome::OtherPayment, None), Some(change))
        }
        Step::Same => (about(RowOutcome::Known, None), Some(change)),
        Step::Refused => (about(RowOutcome::CannotFollow, None), None),
    }
}

/// What PayPal's word in a report means for an item.
const fn event_of(reported: &Reported) -> Option<Event> {
    Some(match reported {
        Reported::Paid => Event::Succeeded,
        Reported::Failed => Event::Failed,
        Reported::Unclaimed => Event::Unclaimed,
        // A payment that was canceled while unclaimed comes back.
        Reported::Returned | Reported::Canceled => Event::Returned,
        Reported::Refunded => Event::Refunded,
        Reported::Reversed => Event::Reversed,
        Reported::OnHold => Event::OnHold,
        Reported::Blocked => Event::Blocked,
        Reported::Pending => Event::Pending,
        Reported::Unknown(_) => return None,
    })
}

const fn of_reason(reason: Reason) -> RowOutcome {
    match reason {
        Reason::NotOurs => RowOutcome::NotOurs,
        Reason::Ambiguous => RowOutcome::Ambiguous,
        Reason::NoAmount => RowOutcome::NoAmount,
        Reason::AmountDiffers => RowOutcome::AmountDiffers,
        Reason::CurrencyDiffers => RowOutcome::CurrencyDiffers,
        Reason::ReceiverDiffers => RowOutcome::ReceiverDiffers,
        Reason::UnknownStatus => RowOutcome::UnknownStatus,
        Reason::TwoRows => RowOutcome::TwoRows,
    }
}
