//! A call to PayPal that pays a part of a batch: what was asked, what was answered, and what may be asked next.
//!
//! PayPal keeps an id for 30 days: asked again under the same id, it answers that the payments exist. So while the
//! outcome of a call is not certain, the same bytes are sent again under the same id and never under another one, and
//! never later than 25 days after the first try. Other bytes go under the same id only if every call so far is proved
//! to have made nothing.

use super::id::PayoutId;
use crate::domain::id::AffiliateId;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Items in one call: PayPal takes no more.
pub const ITEMS_PER_CALL: usize = 15_000;
/// PayPal forgets an id after 30 days; then the same id would pay again.
const ASKED_AGAIN_FOR: TimeDelta = TimeDelta::days(25);
/// How long an accepted call is looked at after it was accepted: what nobody claims comes back after 30 days.
const WATCHED_FOR: TimeDelta = TimeDelta::days(45);
/// The longest wait between two calls.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(10);
/// A person may decide about what may still be asked after this time at the earliest.
const DECIDED_AFTER: TimeDelta = TimeDelta::hours(1);
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(5);

/// A call to PayPal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its number in the batch, from 1.
    pub number: u32,
    /// What the receivers read; fixed, since the bytes of each call are the same.
    pub note: String,
    /// SHA-256 of the bytes, hex.
    pub body_hash: String,
    /// When the first call was about to be made.
    pub first_at: DateTime<Utc>,
    /// When the latest one was.
    pub last_at: DateTime<Utc>,
    /// How many there were.
    pub attempts: u32,
    /// Whether the latest one has no answer yet.
    pub open: bool,
    /// Whether every call so far is proved to have made nothing.
    pub made_nothing: bool,
    /// Items that PayPal refused by name before anything was made; they are left out.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<AffiliateId>,
    /// Where it is.
    pub state: ChunkState,
}

/// Where a call is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ChunkState {
    /// It is sent until its outcome is certain.
    Sending,
    /// PayPal refused it, and nothing was made: staff send it again when the cause is gone.
    Refused {
        /// PayPal's name of the cause.
        why: String,
    },
    /// PayPal has it: the items say what became of them.
    Accepted {
        /// PayPal's id.
        payout_batch_id: String,
        /// When that was known.
        at: DateTime<Utc>,
    },
    /// It is not sent any more: a person finds out what became of its items.
    Stopped {
        /// Why.
        why: String,
    },
}

/// What a call to PayPal brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Answer {
    /// PayPal has it, or had it from an earlier call and holds the same items.
    Accepted {
        /// PayPal's id.
        payout_batch_id: String,
    },
    /// PayPal says that the id exists, and what it holds is not certainly the same.
    Differs {
        /// What differs.
        why: String,
    },
    /// PayPal refused the whole call because of one item.
    RefusedItem {
        /// The item's affiliate.
        affiliate_id: AffiliateId,
        /// PayPal's name of the cause.
        why: String,
    },
    /// PayPal refused the call: money is missing, or the account may not pay.
    Refused {
        /// PayPal's name of the cause.
        why: String,
    },
    /// It surely never left.
    NotSent {
        /// Why.
        why: String,
    },
    /// Nobody knows whether it was taken.
    Unclear {
        /// What came instead of an answer.
        why: String,
    },
}

impl Answer {
    /// The stable names of what a call can bring, in the order of the cases.
    pub const CODES: [&'static str; 6] =
        ["accepted", "differs", "refused_item", "refused", "not_sent", "unclear"];

    /// Its stable name.
    pub const fn code(&self) -> &'static str {
        Self::CODES[match self {
            Self::Accepted { .. } => 0,
            Self::Differs { .. } => 1,
            Self::RefusedItem { .. } => 2,
            Self::Refused { .. } => 3,
            Self::NotSent { .. } => 4,
            Self::Unclear { .. } => 5,
        }]
    }
}

/// What is to be done about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send it (again).
    Send,
    /// Wait until then, and look again.
    Wait(DateTime<Utc>),
    /// No call is allowed any more: stop it.
    GiveUp,
    /// Look at what PayPal says about its items.
    Look,
    /// Nothing.
    Nothing,
}

/// Why a call must not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotNow;

impl Chunk {
    /// PayPal's `sender_batch_id` of a part of a batch: at most 30 characters, without blanks.
    pub fn sender_batch_id(payout: PayoutId, number: u32) -> String {
        format!("{payout}.{number}")
    }

    /// The first call is about to be made.
    pub fn begin(number: u32, note: String, body_hash: String, at: DateTime<Utc>) -> Self {
        Self {
            number,
            note,
            body_hash,
            first_at: at,
            last_at: at,
            attempts: 1,
            open: true,
            made_nothing: true,
            left_out: BTreeSet::new(),
            state: ChunkState::Sending,
        }
    }

    /// Another call is about to be made, with these bytes.
    pub fn again(&mut self, body_hash: &str, at: DateTime<Utc>) -> Result<(), NotNow> {
        // A call without an answer may have been taken: its process may have ended meanwhile.
        self.made_nothing &= !self.open;
        let other_bytes = self.body_hash != body_hash;
        let too_late = at - self.first_at > ASKED_AGAIN_FOR;
        if self.state != ChunkState::Sending || (other_bytes && !self.made_nothing) || too_late {
            return Err(NotNow);
        }
        body_hash.clone_into(&mut self.body_hash);
        self.last_at = self.last_at.max(at);
        self.attempts += 1;
        self.open = true;
        Ok(())
    }

    /// The latest call was answered. An answer to an earlier one only counts where PayPal has taken it.
    pub fn answered(&mut self, attempt: u32, answer: &Answer, at: DateTime<Utc>) {
        let is_latest = attempt == self.attempts;
        if is_latest {
            self.open = false;
        }
        if matches!(self.state, ChunkState::Accepted { .. }) {
            return;
        }
        match answer {
            Answer::Accepted { payout_batch_id } => {
                let payout_batch_id = payout_batch_id.clone();
                self.state = ChunkState::Accepted { payout_batch_id, at };
            }
            Answer::Differs { why } => self.state = ChunkState::Stopped { why: why.clone() },
            _ if !is_latest || self.state != ChunkState::Sending => {}
            Answer::NotSent { .. } => {}
            Answer::Unclear { .. } => self.made_nothing = false,
            // After a call that may have been taken, a refusal says nothing about that one.
            Answer::Refused { .. } if !self.made_nothing => {}
            Answer::RefusedItem { why, .. } if !self.made_nothing => {
                self.state =
                    ChunkState::Stopped { why: format!("an item was refused ({why}) after an unclear call") };
            }
            Answer::Refused { why } => self.state = ChunkState::Refused { why: why.clone() },
            Answer::RefusedItem { affiliate_id, .. } => {
                self.left_out.insert(*affiliate_id);
            }
        }
    }

    /// Staff want it sent again after it was refused. Whether it was.
    pub fn resume(&mut self) -> bool {
        let was_refused = matches!(self.state, ChunkState::Refused { .. });
        if was_refused {
            self.state = ChunkState::Sending;
        }
        was_refused
    }
    /// It is not sent any more, unless PayPal has it.
    pub fn stop(&mut self, why: &str) {
        if !matches!(self.state, ChunkState::Accepted { .. }) {
            self.state = ChunkState::Stopped { why: why.to_owned() };
        }
    }

    /// What is to be done about it. `is_ours`: no other process may be in the middle of a call.
    pub fn next(&self, now: DateTime<Utc>) -> Next {
        match &self.state {
            ChunkState::Sending if now - self.first_at > ASKED_AGAIN_FOR => Next::GiveUp,
            ChunkState::Sending => {
                let due = self.last_at + self.pause();
                if now < due { Next::Wait(due) } else { Next::Send }
            }
            ChunkState::Accepted { at, .. } if now - *at <= WATCHED_FOR => Next::Look,
            ChunkState::Accepted { .. } | ChunkState::Refused { .. } | ChunkState::Stopped { .. } => {
                Next::Nothing
            }
        }
    }
    /// The pause before the next call: an item that was left out needs none.
    fn pause(&self) -> TimeDelta {
        if !self.open && self.made_nothing && !self.left_out.is_empty() {
            return TimeDelta::zero();
        }
        (1..self.attempts.min(10)).fold(FIRST_WAIT, |wait, _| (wait + wait).min(LONGEST_WAIT))
    }

    /// Whether a person may decide about its items: no call is in the middle, and the same id was asked again, or none
    /// is allowed any more, or PayPal has it.
    pub fn may_be_resolved(&self, now: DateTime<Utc>) -> bool {
        match &self.state {
            ChunkState::Sending => {
                let was_asked_again = self.attempts > 1 && now - self.first_at >= DECIDED_AFTER;
                !self.open && (was_asked_again || self.next(now) == Next::GiveUp)
            }
            ChunkState::Accepted { .. } | ChunkState::Stopped { .. } | ChunkState::Refused { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        let begin: DateTime<Utc> = "2026-10-31T10:00:00Z".parse().expect("a time");
        begin + TimeDelta::minutes(minutes)
    }
    fn chunk() -> Chunk {
        Chunk::begin(1, "a note".into(), "bytes".into(), at(0))
    }
    fn why() -> String {
        "why".into()
    }
    fn accepted() -> Answer {
        Answer::Accepted { payout_batch_id: "P1".into() }
    }
    fn refused_item() -> Answer {
        Answer::RefusedItem { affiliate_id: AffiliateId::from_bits(7), why: why() }
    }

    #[test]
    fn what_follows_on_a_sequence_of_answers() {
        let unclear = || Answer::Unclear { why: why() };
        let refused = || Answer::Refused { why: why() };
        let not_sent = || Answer::NotSent { why: why() };
        // The answers of calls one after the other; the state then, whether other bytes may follow.
        let table: [(&str, Vec<Answer>, &str, bool); 11] = [
            ("accepted", vec![accepted()], "accepted", false),
            ("not sent", vec![not_sent()], "sending", true),
            ("unclear", vec![unclear()], "sending", false),
            ("unclear, then not sent", vec![unclear(), not_sent()], "sending", false),
            ("unclear, then accepted", vec![unclear(), accepted()], "accepted", false),
            ("refused", vec![refused()], "refused", false),
            ("not sent, then refused", vec![not_sent(), refused()], "refused", false),
            (
                "unclear, then refused: nobody knows of the first",
                vec![unclear(), refused()],
                "sending",
                false,
            ),
            ("an item refused", vec![refused_item()], "sending", true),
            ("an item refused after an unclear call", vec![unclear(), refused_item()], "stopped", false),
            ("other items there", vec![unclear(), Answer::Differs { why: why() }], "stopped", false),
        ];
        for (name, answers, state, other_bytes) in table {
            let mut chunk = chunk();
            for (number, answer) in (1..).zip(&answers) {
                if number > 1 {
                    chunk.again("bytes", at(20)).expect(name);
                }
                chunk.answered(number, answer, at(20));
            }
            let kept = serde_json::to_value(&chunk).expect("plain data");
            assert_eq!(kept["state"]["state"], state, "{name}");
            assert_eq!(chunk.again("other bytes", at(40)).is_ok(), other_bytes, "{name}");
        }
    }

    #[test]
    fn a_call_without_an_answer_may_have_been_taken() {
        let mut chunk = chunk();
        assert_eq!(chunk.again("other bytes", at(20)), Err(NotNow));
        chunk.again("bytes", at(20)).expect("the same bytes");
        chunk.answered(2, &refused_item(), at(20));
        assert!(matches!(chunk.state, ChunkState::Stopped { .. }));
        chunk.answered(1, &accepted(), at(21));
        assert!(matches!(chunk.state, ChunkState::Accepted { .. }), "the first call was taken after all");
    }

    #[test]
    fn calls_end_before_paypal_forgets_the_id() {
        let mut chunk = chunk();
        assert_eq!(chunk.next(at(0)), Next::Wait(at(0) + TimeDelta::seconds(5)));
        assert_eq!(chunk.next(at(1)), Next::Send);
        let day = 24 * 60;
        assert_eq!(chunk.next(at(25 * day)), Next::Send);
        assert_eq!(chunk.next(at(25 * day + 1)), Next::GiveUp);
        assert_eq!(chunk.again("bytes", at(25 * day + 1)), Err(NotNow));
        for attempt in 2..30 {
            chunk.again("bytes", at(attempt)).expect("in time");
        }
        assert_eq!(chunk.next(at(29)), Next::Wait(at(39)), "the pause has a limit");
    }

    #[test]
    fn what_was_accepted_is_looked_at_until_nothing_can_come_back() {
        let mut chunk = chunk();
        chunk.answered(1, &accepted(), at(0));
        let day = 24 * 60;
        assert_eq!((chunk.next(at(45 * day)), chunk.next(at(45 * day + 1))), (Next::Look, Next::Nothing));
        chunk.stop("a person decided");
        assert!(matches!(chunk.state, ChunkState::Accepted { .. }));
    }

    #[test]
    fn a_person_decides_once_the_same_id_was_asked_again() {
        let mut chunk = chunk();
        assert!(!chunk.may_be_resolved(at(1)), "a call is in the middle");
        chunk.answered(1, &Answer::Unclear { why: why() }, at(1));
        assert!(!chunk.may_be_resolved(at(1)), "it was asked once");
        chunk.again("bytes", at(20)).expect("the same bytes");
        chunk.answered(2, &Answer::Unclear { why: why() }, at(20));
        assert!(!chunk.may_be_resolved(at(20)), "seconds prove nothing");
        assert!(chunk.may_be_resolved(at(60)));
    }

    #[test]
    fn a_refused_call_is_sent_again_only_when_staff_say_so() {
        let mut chunk = chunk();
        chunk.answered(1, &Answer::Refused { why: "INSUFFICIENT_FUNDS".into() }, at(1));
        assert_eq!((chunk.next(at(60)), chunk.again("bytes", at(60))), (Next::Nothing, Err(NotNow)));
        assert!(chunk.resume() && !chunk.resume());
        assert_eq!(chunk.next(at(60)), Next::Send);
    }

    #[test]
    fn ids_are_short() {
        let payout = PayoutId { month: "2026-09".parse().expect("a month"), number: 999 };
        assert!(Chunk::sender_batch_id(payout, 99_999).len() <= 30);
    }
}
