//! What states and movements of payouts are called on the staff's pages.

use crate::domain::money::Money;
use crate::domain::payout::{BatchStatus, Chunk, ChunkState, Entry, Item, ItemStatus, Method};
use crate::http::pages::table::Tone;
use crate::http::pages::view::show_day;

/// Where a batch is: a word, how it is to be seen, and what is to be done.
pub const fn batch_state(status: BatchStatus) -> (&'static str, Tone, &'static str) {
    match status {
        BatchStatus::Making => (
            "Being made",
            Tone::Warn,
            "Its payments are being written. If this lasts, make the payout of the month again: it goes on where it stopped.",
        ),
        BatchStatus::Draft => {
            ("Draft", Tone::Warn, "It waits for approval. Nothing has been paid, and it can be discarded.")
        }
        BatchStatus::Approved => {
            ("Approved", Tone::Info, "Receivers and amounts are fixed. Nothing has been sent yet.")
        }
        BatchStatus::Submitted => (
            "Submitted",
            Tone::Info,
            "Some of it was exported or sent. It is settled once it is known how each payment ended.",
        ),
        BatchStatus::Settled => ("Settled", Tone::Good, "It is known how each payment ended."),
        BatchStatus::Discarded => {
            ("Discarded", Tone::Info, "It pays nothing; its statements are free for another payout.")
        }
    }
}

/// How a batch is paid.
pub const fn method(method: Method) -> &'static str {
    match method {
        Method::File => "PayPal’s file",
        Method::Api => "PayPal’s API",
    }
}

/// Where a payment is: a word, how it is to be seen, and what it means.
pub const fn item_state(status: ItemStatus) -> (&'static str, Tone, &'static str) {
    match status {
        ItemStatus::Ready => ("Ready", Tone::Info, "It was not exported or sent yet."),
        ItemStatus::Submitted => {
            ("Submitted", Tone::Info, "It was exported or sent; PayPal has not said how it ended.")
        }
        ItemStatus::Unknown => (
            "Unknown",
            Tone::Bad,
            "Nobody knows whether it was paid. It is in no other payout before that is known: look it up on PayPal’s site.",
        ),
        ItemStatus::OnHold => ("On hold", Tone::Warn, "PayPal reviews it."),
        ItemStatus::Unclaimed => (
            "Unclaimed",
            Tone::Warn,
            "PayPal holds the money for 30 days: the affiliate has no confirmed PayPal account with this e-mail.",
        ),
        ItemStatus::Paid => ("Paid", Tone::Good, "The affiliate has the money."),
        ItemStatus::Failed => (
            "Failed",
            Tone::Bad,
            "PayPal did not pay it. The sum is owed again, and the next payout takes it.",
        ),
        ItemStatus::Returned => {
            ("Returned", Tone::Warn, "Nobody claimed it: the money is back, and the sum is owed again.")
        }
        ItemStatus::Blocked => (
            "Blocked",
            Tone::Bad,
            "PayPal refuses to pay it. The sum is owed again; the affiliate’s payouts wait until staff release them.",
        ),
        ItemStatus::Refunded => (
            "Refunded",
            Tone::Bad,
            "The affiliate sent the money back. The sum is owed again; payouts wait until staff release them.",
        ),
        ItemStatus::Reversed => (
            "Reversed",
            Tone::Bad,
            "PayPal took the payment back. The sum is owed again; payouts wait until staff release them.",
        ),
        ItemStatus::Canceled => {
            ("Not paid", Tone::Info, "A person decided that it was not paid. The sum is owed again.")
        }
        ItemStatus::Withdrawn => (
            "Withdrawn",
            Tone::Info,
            "It was taken out before it was exported or sent. The sum is owed again.",
        ),
    }
}

/// Why a person has to look at a payment; empty: nobody has to.
pub fn to_look_at(item: &Item) -> Vec<String> {
    let doubt = item.doubt.map(|event| {
        format!(
            "PayPal has said “{}” since, which can’t be: compare it with PayPal’s site.",
            event.code().replace('_', " ")
        )
    });
    let overtaken = (item.overtaken && !item.seen).then(|| {
        "The money moved although another payout has its statements: what was paid twice is set off against the next months."
            .to_owned()
    });
    let unknown = (item.status == ItemStatus::Unknown)
        .then(|| "Nobody knows whether it was paid: look it up on PayPal’s site.".to_owned());
    unknown.into_iter().chain(overtaken).chain(doubt).collect()
}

/// Where a call to PayPal is: a word, and how it is to be seen.
pub const fn call_state(chunk: &Chunk) -> (&'static str, Tone) {
    match &chunk.state {
        ChunkState::Sending if chunk.made_nothing => ("Being sent", Tone::Info),
        ChunkState::Sending => ("Not certain", Tone::Warn),
        ChunkState::Refused { .. } => ("Refused", Tone::Bad),
        ChunkState::Accepted { .. } => ("Taken by PayPal", Tone::Good),
        ChunkState::Stopped { .. } => ("Stopped", Tone::Bad),
    }
}

/// Why PayPal refused a call, and what can be done, by its name of the cause (developer.paypal.com, Payouts API, error
/// messages).
pub fn why_refused(name: &str) -> String {
    let said = match name {
        "INSUFFICIENT_FUNDS" => {
            "The PayPal account does not have enough money. Add money, then send it again."
        }
        "NON_HOLDING_CURRENCY" => {
            "The PayPal account holds no money in this currency. Add the currency there, then send it again."
        }
        "SENDER_RESTRICTED" => {
            "PayPal has restricted the account. See on PayPal’s site what it asks for, then send it again."
        }
        "SENDER_EMAIL_UNCONFIRMED" => {
            "The e-mail of the PayPal account is not confirmed. Confirm it at PayPal, then send it again."
        }
        "AUTHORIZATION_ERROR" | "REQUIRED_SCOPE_MISSING" => {
            "PayPal does not let this account make payouts. Have payouts switched on for it, then send it again."
        }
        other => {
            return format!(
                "PayPal refused it as {other}. Nothing was paid by it. Send it again when the cause is gone."
            );
        }
    };
    format!("{said} Nothing was paid by it. ({name})")
}

/// What a movement of money was.
pub fn movement(entry: &Entry) -> String {
    let on = entry.on.map(|on| format!(" on {}", show_day(on))).unwrap_or_default();
    let moved = |amount: Money| amount.cmp(&Money::ZERO) as i8;
    match (moved(entry.under_way), moved(entry.paid)) {
        (1, _) => "Under way".to_owned(),
        (_, 1) => format!("Paid{on}"),
        (_, -1) => format!("Owed again: it came back{on}"),
        _ => "Owed again: it was not paid".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payout::Answer;
    use chrono::DateTime;

    #[test]
    fn a_movement_is_said_by_where_the_money_went() {
        // Under way, paid, in hundredths.
        let table = [
            (9_900, 0, None, "Under way"),
            (-9_900, 9_900, Some("2026-10-31"), "Paid on Oct 31, 2026"),
            (0, 9_900, Some("2026-10-31"), "Paid on Oct 31, 2026"),
            (-9_900, 0, None, "Owed again: it was not paid"),
            (0, -9_900, Some("2026-11-02"), "Owed again: it came back on Nov 2, 2026"),
        ];
        for (under_way, paid, on, said) in table {
            let entry = Entry {
                at: DateTime::UNIX_EPOCH,
                payout_id: "pay_2026-09-1".parse().expect("an id"),
                under_way: Money::from_cents(under_way),
                paid: Money::from_cents(paid),
                on: on.map(|on: &str| on.parse().expect("a day")),
            };
            assert_eq!(movement(&entry), said);
        }
    }

    #[test]
    fn a_refused_call_says_what_can_be_done_and_that_nothing_was_paid() {
        for name in [
            "INSUFFICIENT_FUNDS",
            "NON_HOLDING_CURRENCY",
            "SENDER_RESTRICTED",
            "SENDER_EMAIL_UNCONFIRMED",
            "AUTHORIZATION_ERROR",
            "SOMETHING_NEW",
        ] {
            let said = why_refused(name);
            assert!(said.contains(name) && said.contains("Nothing was paid by it."), "{said}");
            assert!(said.to_lowercase().contains("send it again"), "{said}");
        }
    }

    #[test]
    fn a_call_is_certain_only_once_paypal_has_it_or_all_tries_made_nothing() {
        let at = DateTime::UNIX_EPOCH;
        let mut chunk = Chunk::begin(1, "a note".into(), "hash".into(), at);
        assert_eq!(call_state(&chunk).0, "Being sent");
        chunk.answered(1, &Answer::Unclear { why: "a timeout".into() }, at);
        assert_eq!(call_state(&chunk), ("Not certain", Tone::Warn));
        chunk.answered(1, &Answer::Accepted { payout_batch_id: "P1".into() }, at);
        assert_eq!(call_state(&chunk), ("Taken by PayPal", Tone::Good));
    }
}
