//! Taking back an unclaimed item.

use super::create::{Problem, shown};
use super::item::ReportedItem;
use super::plain;
use super::wire::Answer;
use crate::domain::payout::Event;
use http::StatusCode;

/// How taking back an item ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancellation {
    /// The money is back.
    Returned(Box<ReportedItem>),
    /// PayPal does not take it back: it was claimed, is back already, or its batch is not done.
    Refused {
        /// PayPal's stable name of the reason.
        name: String,
    },
    /// We may not do it at all.
    Restricted {
        /// PayPal's stable name of the reason.
        name: String,
    },
    /// PayPal wants fewer calls.
    Throttled,
    /// The call surely did not reach PayPal.
    NotSent(String),
    /// Nobody knows: the item itself says how it stands.
    Unclear(String),
}

/// PayPal's names of why an item stays. A name that is not here proves nothing.
const REFUSALS: [&str; 3] = ["BATCH_NOT_COMPLETED", "ITEM_INCORRECT_STATUS", "ITEM_ALREADY_CANCELLED"];

/// Reads the answer to the call that takes back the item `payout_item_id`.
pub(super) fn judge(payout_item_id: &str, answer: &Answer) -> Cancellation {
    if answer.status.is_success() {
        return returned(payout_item_id, answer);
    }
    match (answer.status, Problem::of(answer)) {
        (StatusCode::TOO_MANY_REQUESTS, _) => Cancellation::Throttled,
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(problem)) => {
            Cancellation::Restricted { name: plain::text(&problem.name) }
        }
        (status, Some(problem)) if status.is_client_error() && REFUSALS.contains(&problem.name.as_str()) => {
            Cancellation::Refused { name: problem.name }
        }
        _ => Cancellation::Unclear(shown(answer)),
    }
}

fn returned(payout_item_id: &str, answer: &Answer) -> Cancellation {
    let item = serde_json::from_slice::<ReportedItem>(&answer.body).ok().filter(|item| {
        item.payout_item_id.as_deref() == Some(payout_item_id) && item.status.event() == Some(Event::Returned)
    });
    item.map_or_else(|| Cancellation::Unclear(shown(answer)), |item| Cancellation::Returned(Box::new(item)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn only_a_returned_item_is_back() {
        let judged = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).expect("a status");
            judge("I1", &Answer { status, body: Bytes::copy_from_slice(body.as_bytes()), debug_id: None })
        };
        let back = judged(200, r#"{"payout_item_id":"I1","transaction_status":"RETURNED"}"#);
        assert!(matches!(back, Cancellation::Returned(_)), "{back:?}");
        for (status, name) in
            [(400, "BATCH_NOT_COMPLETED"), (400, "ITEM_ALREADY_CANCELLED"), (422, "ITEM_INCORRECT_STATUS")]
        {
            let refused = Cancellation::Refused { name: name.to_owned() };
            assert_eq!(judged(status, &format!(r#"{{"name":"{name}"}}"#)), refused);
        }
        let restricted = Cancellation::Restricted { name: "AUTHORIZATION_ERROR".to_owned() };
        assert_eq!(judged(403, r#"{"name":"AUTHORIZATION_ERROR"}"#), restricted);
        assert_eq!(judged(429, ""), Cancellation::Throttled);
        for (status, body) in [
            (200, ""),
            (200, r#"{"payout_item_id":"I1","transaction_status":"UNCLAIMED"}"#),
            (200, r#"{"payout_item_id":"I2","transaction_status":"RETURNED"}"#),
            (400, "<html>"),
            (400, r#"{"name":"PREVIOUS_REQUEST_IN_PROGRESS"}"#),
            (500, r#"{"name":"ITEM_ALREADY_CANCELLED"}"#),
            (404, r#"{"name":"INVALID_RESOURCE_ID"}"#),
            (500, r#"{"name":"INTERNAL_SERVER_ERROR"}"#),
        ] {
            assert!(matches!(judged(status, body), Cancellation::Unclear(_)), "{status} {body}");
        }
    }
}
