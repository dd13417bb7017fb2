//! How every fact enters: it is refused, or journaled and then applied.

use super::actor::Actor;
use super::waiters::Waiters;
use super::{App, Directory, facts, lock};
use crate::domain::account::{Account, Refusal};
use crate::domain::fact::{self, Fact, Record};
use crate::domain::id::{AccountId, AffiliateId};
use crate::domain::outcome::FactOutcome;
use crate::journal::AppendError;
use crate::metrics::FactKind;
use std::sync::{Arc, Mutex};

/// Bytes given to the journal at once; well below its limit, so that others get a turn.
const APPEND_BYTES: usize = 1 << 20;

/// Facts that are being journaled, and the requests that wait for their results.
#[derive(Debug, Default)]
pub(super) struct Intake {
    pub(super) waiters: Waiters,
    /// Why the last fact was not journaled; `None`: it was.
    trouble: Mutex<Option<String>>,
}

/// The result of a submitted fact. The fact is on disk, unless it was refused before it was journaled.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The outcome.
    pub outcome: FactOutcome,
    /// The account afterwards, for facts about accounts that were applied.
    pub account: Option<Arc<Account>>,
    /// Why it was refused, when the outcome is `Refused`.
    pub refusal: Option<Refusal>,
}

/// Why a fact was not accepted: nothing was kept, and the sender should try again.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The journal can't be written.
    #[error("write the journal: {0}")]
    Journal(String),
    /// The server is stopping.
    #[error("accept facts while stopping")]
    Stopping,
    /// The actor may not submit it.
    #[error("accept a fact from an actor who may not submit it")]
    Forbidden,
    /// Its subject is not in the store, which is being refilled.
    #[error("find its subject while the store is being refilled")]
    Refilling,
}

impl App {
    /// Accepts a fact: journals it, waits until it is applied, and returns the result. `Deferred`: it is on disk,
    /// but the store did not answer in time.
    pub async fn submit(self: &Arc<Self>, actor: &Actor, fact: Fact) -> Result<Submitted, SubmitError> {
        self.check_permitted(actor, &fact)?;
        let kind = facts::metric(&fact);
        if let Some(refusal) = self.refuses(&fact).await {
            if self.is_refilling().await {
                return Err(SubmitError::Refilling);
            }
            self.count(kind, FactOutcome::Refused);
            return Ok(Submitted { outcome: FactOutcome::Refused, account: None, refusal: Some(refusal) });
        }
        let position = self.take_in(actor, fact).await?;
        if !self.store_is_up() {
            self.count(kind, FactOutcome::Deferred);
            return Ok(Submitted { outcome: FactOutcome::Deferred, account: None, refusal: None });
        }
        let applied = self.intake.waiters.wait_for(position);
        if let Ok(Ok(submitted)) = tokio::time::timeout(self.settings.apply_patience, applied).await {
            self.count(kind, submitted.outcome);
            let may_change = submitted.refusal.is_some_and(|refusal| !refusal.is_final());
            // What is missing may be there in a moment.
            if may_change && self.is_refilling().await {
                return Err(SubmitError::Refilling);
            }
            return Ok(submitted);
        }
        self.intake.waiters.forget(position);
        self.count(kind, FactOutcome::Deferred);
        Ok(Submitted { outcome: FactOutcome::Deferred, account: None, refusal: None })
    }

    /// Journals what an actor submits, if the actor may; returns its position once it is on disk.
    pub(crate) async fn take_in(&self, actor: &Actor, fact: Fact) -> Result<u64, SubmitError> {
        self.check_permitted(actor, &fact)?;
        let record = Record { at: self.by_all_clocks(), by: actor.name(), fact };
        Ok(self.take_in_own(&[record]).await?[0])
    }

    pub(super) fn check_permitted(&self, actor: &Actor, fact: &Fact) -> Result<(), SubmitError> {
        if self.ending.stop.is_set() {
            Err(SubmitError::Stopping)
        } else if facts::permits(fact, actor) {
            Ok(())
        } else {
            Err(SubmitError::Forbidden)
        }
    }

    /// Why a fact is refused before it is journaled.
    async fn refuses(&self, fact: &Fact) -> Option<Refusal> {
        match fact {
            Fact::Credit(fact::Credit { affiliate_id: Some(id), .. }) => self.refuses_credit_to(*id).await,
            Fact::LineAdded(line) => self.refuses_line(line).await,
            Fact::Review(review) => self.refuses_review_of(&review.account_id).await,
            _ => None,
        }
    }

    /// Why an account can't be credited to an affiliate by hand. It can be checked before the fact is journaled:
    /// an affiliate that was active once always was.
    pub(crate) async fn refuses_credit_to(&self, id: AffiliateId) -> Option<Refusal> {
        let refusal = |directory: &Directory| match directory.affiliate(id) {
            None => Some(Refusal::UnknownAffiliate),
            Some(affiliate) => (!affiliate.was_ever_active()).then_some(Refusal::NeverActive),
        };
        refusal(&self.directory())?;
        // Another node may have changed the affiliate.
        if let Err(error) = self.follow_directory().await {
            tracing::debug!(%error, "the directory could not be updated");
        }
        refusal(&self.directory())
    }

    /// Why staff can't hold, release or reject an account, as far as the store knows now. It is checked before the
    /// fact is journaled, since a journaled fact counts in whatever order it is replayed.
    async fn refuses_review_of(&self, id: &AccountId) -> Option<Refusal> {
        let account = self.load_account(id).await.ok()??;
        account.may_be_reviewed().err().filter(|refusal| *refusal == Refusal::NotReferred)
    }

    /// Journals what this server submits itself: nobody asked for it.
    pub(crate) async fn take_in_own(&self, records: &[Record]) -> Result<Vec<u64>, SubmitError> {
        self.append_records(records).await.map_err(|error| SubmitError::Journal(error.to_string()))
    }

    /// Writes records to the facts journal; returns their positions when they are on disk.
    pub(crate) async fn append_records(&self, records: &[Record]) -> Result<Vec<u64>, AppendError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        // A record is plain data with text keys: JSON can say all of it.
        let payloads =
            records.iter().map(|record| serde_json::to_vec(record).expect("records are plain data"));
        let payloads: Vec<Vec<u8>> = payloads.collect();
        for (record, payload) in records.iter().zip(&payloads) {
            check_reads_back(record, payload)?;
        }
        #[cfg(feature = "sabotage")]
        crate::crash::facts("journaling", records.iter().map(|record| &record.fact));
        let mut positions = Vec::with_capacity(records.len());
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for payload in payloads {
            if bytes + payload.len() > APPEND_BYTES && !batch.is_empty() {
                positions.extend(self.append_batch(std::mem::take(&mut batch)).await?);
                bytes = 0;
            }
            bytes += payload.len();
            batch.push(payload);
        }
        positions.extend(self.append_batch(batch).await?);
        Ok(positions)
    }

    async fn append_batch(&self, payloads: Vec<Vec<u8>>) -> Result<std::ops::Range<u64>, AppendError> {
        let appended = self.journal.facts().append_many(payloads).await;
        *lock(&self.intake.trouble) = appended.as_ref().err().map(ToString::to_string);
        appended
    }

    /// The disk accepts writes again.
    pub(crate) fn forget_trouble(&self) {
        *lock(&self.intake.trouble) = None;
    }

    /// Why the last fact was not journaled; `None`: it was.
    pub(crate) fn journal_trouble(&self) -> Option<String> {
        lock(&self.intake.trouble).clone()
    }

    pub(super) fn complete(&self, position: u64, submitted: Submitted) {
        self.intake.waiters.complete(position, submitted);
    }

    fn count(&self, kind: Option<FactKind>, outcome: FactOutcome) {
        if let Some(kind) = kind {
            self.metrics.fact(kind, outcome);
        }
    }
}

/// A record that would not be read as it was written is refused: in the journal it would block every reader.
fn check_reads_back(record: &Record, payload: &[u8]) -> Result<(), AppendError> {
    match serde_json::from_slice::<Record>(payload) {
        Ok(read) if read == *record => Ok(()),
        Ok(_) => Err(AppendError::Unreadable("it would read differently".to_owned())),
        Err(error) => Err(AppendError::Unreadable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Money;
    use chrono::DateTime;

    #[test]
    fn what_would_not_be_read_as_it_is_written_is_not_journaled() {
        let fact = |text: &str| {
            Fact::NoteAdded(fact::NoteAdded {
                affiliate_id: AffiliateId::from_bits(7),
                text: text.to_owned(),
            })
        };
        let record = Record { at: DateTime::UNIX_EPOCH, by: "ann".to_owned(), fact: fact("a note") };
        let payload = serde_json::to_vec(&record).expect("plain data");
        assert!(check_reads_back(&record, &payload).is_ok());
        let another = Record { fact: fact("another"), ..record.clone() };
        assert!(matches!(check_reads_back(&another, &payload), Err(AppendError::Unreadable(_))));
        assert!(matches!(check_reads_back(&record, &payload[1..]), Err(AppendError::Unreadable(_))));
        // More than any sum of rates that can be configured.
        let sum: Money = std::iter::repeat_n(Money::from_cents(i64::MAX), 20).sum();
        assert!(serde_json::from_str::<Money>(&format!("\"{sum}\"")).is_err());
    }
}
