use super::*;
use bytes::Bytes;
use serde_json::{Value, json};
use std::cell::Cell;

fn answer(status: u16, body: &str) -> Answer {
    let status = StatusCode::from_u16(status).expect("a status");
    Answer { status, body: Bytes::copy_from_slice(body.as_bytes()), debug_id: None }
}

fn item_of(number: u32, word: &str) -> Value {
    json!({"payout_item_id": format!("I{number}"), "payout_batch_id": "B", "transaction_status": word,
        "payout_item": {"receiver": format!("{number}@example.com"), "sender_item_id": format!("pay_{number}"),
            "amount": {"currency": "USD", "value": "1.0"}}})
}

fn page_of(items: &[Value], pages: u32, total: usize) -> BatchPage {
    let body = json!({"batch_header": {"payout_batch_id": "B", "batch_status": "SUCCESS"}, "items": items,
        "total_pages": pages, "total_items": total, "links": [{"href": "javascript:", "rel": "next"}]});
    page("B", &answer(200, &body.to_string())).expect("a page")
}

fn items(numbers: std::ops::Range<u32>) -> Vec<Value> {
    numbers.map(|number| item_of(number, "SUCCESS")).collect()
}

/// The pages as they are asked for, one after the other; answers the batch, and how many pages were asked for.
async fn read(script: &[(u32, BatchPage)]) -> (WholeBatch, usize) {
    let asked = Cell::new(0);
    let whole = all(|number| {
        let (expected, page) = &script[asked.get()];
        assert_eq!(*expected, number, "request {}", asked.get());
        asked.set(asked.get() + 1);
        std::future::ready(Ok(page.clone()))
    });
    (whole.await.expect("a batch"), asked.get())
}

#[tokio::test]
async fn every_item_is_found_and_none_twice() {
    type Script = Vec<(u32, BatchPage)>;
    let first = || page_of(&items(0..2), 3, 5);
    let second = || page_of(&items(2..4), 3, 5);
    let third = || page_of(&items(4..5), 3, 5);
    let empty = || page_of(&[], 3, 5);
    let table: Vec<(&str, Script, usize, bool)> = vec![
        ("in order", vec![(1, first()), (2, second()), (3, third())], 5, true),
        (
            "a page repeated, then right",
            vec![(1, first()), (2, first()), (3, third()), (1, first()), (2, second()), (3, third())],
            5,
            true,
        ),
        (
            "a page repeated, and again",
            vec![(1, first()), (2, first()), (3, third()), (1, first()), (2, first()), (3, third())],
            3,
            false,
        ),
        (
            "a page empty, then right",
            vec![(1, first()), (2, empty()), (3, third()), (1, first()), (2, second()), (3, third())],
            5,
            true,
        ),
        ("one page", vec![(1, page_of(&items(0..2), 1, 2))], 2, true),
        (
            "pages that grow between two",
            vec![(1, page_of(&items(0..2), 2, 4)), (2, second()), (3, third())],
            5,
            true,
        ),
        (
            "a total that is too large",
            vec![(1, page_of(&items(0..2), 1, 9)), (1, page_of(&items(0..2), 1, 9))],
            2,
            false,
        ),
        (
            "a total that is too small",
            vec![(1, page_of(&items(0..2), 1, 1)), (1, page_of(&items(0..2), 1, 1))],
            2,
            false,
        ),
        ("no item at all", vec![(1, page_of(&[], 0, 0))], 0, true),
    ];
    for (name, script, count, is_whole) in table {
        let (whole, asked) = read(&script).await;
        assert_eq!((whole.items.len(), whole.is_whole), (count, is_whole), "{name}");
        assert_eq!(asked, script.len(), "{name}");
    }
}

#[tokio::test]
async fn a_batch_without_end_is_left() {
    let endless = |number| std::future::ready(Ok(page_of(&[item_of(number, "SUCCESS")], 1_000, 7)));
    let whole = all(endless).await.expect("a batch");
    assert_eq!((whole.items.len(), whole.is_whole), (MOST_PAGES as usize, false));
    let without_totals = |number| {
        let mut page = page_of(&if number < 3 { items(number..number + 1) } else { Vec::new() }, 0, 0);
        (page.total_pages, page.total_items) = (None, None);
        std::future::ready(Ok(page))
    };
    let whole = all(without_totals).await.expect("a batch");
    assert_eq!((whole.items.len(), whole.is_whole), (2, false));
}

#[tokio::test]
async fn an_item_that_is_there_twice_is_what_it_says_it_is() {
    use crate::domain::payout::Event::{Pending, Succeeded};
    let one = |word| item_of(1, word);
    let mut dearer = one("SUCCESS");
    dearer["payout_item"]["amount"]["value"] = "2.00".into();
    let mut again = one("SUCCESS");
    again["payout_item_id"] = "I2".into();
    let status = |whole: &WholeBatch| whole.items.iter().map(|item| item.status.event()).collect::<Vec<_>>();

    let (later, _) =
        read(&[(1, page_of(&[one("PENDING")], 2, 1)), (2, page_of(&[one("SUCCESS")], 2, 1))]).await;
    assert_eq!(status(&later), [Some(Succeeded)], "on another page it is later");
    let (same, _) = read(&[(1, page_of(&[one("PENDING"), one("PENDING")], 1, 1))]).await;
    assert_eq!(status(&same), [Some(Pending)], "the same twice");
    for words in [["SUCCESS", "FAILED"], ["FAILED", "SUCCESS"]] {
        let (torn, _) = read(&[(1, page_of(&words.map(one), 1, 1))]).await;
        assert_eq!(status(&torn), [None], "{words:?}");
        let (torn, _) = read(&[(1, page_of(&[words[0], words[1], words[0]].map(one), 1, 1))]).await;
        assert_eq!(status(&torn), [None], "{words:?} and the first again");
    }
    for other in [dearer, again] {
        let (both, _) = read(&[(1, page_of(&[one("SUCCESS"), other], 1, 2))]).await;
        assert_eq!(both.items.len(), 2, "two payments");
    }
}

#[test]
fn an_answer_about_something_else_is_not_read() {
    let unreadable = |body: &str| matches!(page("B", &answer(200, body)), Err(ReadFailure::Unreadable(_)));
    for body in [
        "",
        "{}",
        "<html>",
        r#"{"batch_header":{"batch_status":"SUCCESS"}}"#,
        r#"{"batch_header":{"payout_batch_id":"OTHER","batch_status":"SUCCESS"}}"#,
        r#"{"batch_header":{"payout_batch_id":"B"},"items":[{"payout_batch_id":"OTHER"}]}"#,
        r#"{"batch_header":{"payout_batch_id":"B"},"items":7}"#,
    ] {
        assert!(unreadable(body), "{body}");
    }
    let bare = page("B", &answer(200, r#"{"batch_header":{"payout_batch_id":"B"}}"#)).expect("a page");
    assert_eq!(bare.status, ReportedBatch::Unknown(String::new()));
    assert!(item("I1", &answer(200, &item_of(2, "SUCCESS").to_string())).is_err());
    assert!(item("I2", &answer(200, &item_of(2, "SUCCESS").to_string())).is_ok());
}

#[test]
fn a_failure_says_what_to_do_next() {
    let named = r#"{"name":"INVALID_RESOURCE_ID","message":"m"}"#;
    for (status, body, failure) in [
        (404, named, ReadFailure::NotFound),
        (404, "<html>", ReadFailure::Unavailable("PayPal answered 404".to_owned())),
        (429, "", ReadFailure::Throttled),
        (403, named, ReadFailure::Restricted { name: "INVALID_RESOURCE_ID".to_owned() }),
        (403, "<html>", ReadFailure::Unavailable("PayPal answered 403".to_owned())),
        (500, named, ReadFailure::Unavailable("PayPal answered 500 INVALID_RESOURCE_ID".to_owned())),
        (302, "", ReadFailure::Unavailable("PayPal answered 302".to_owned())),
    ] {
        assert_eq!(good(Ok(answer(status, body))).expect_err("a failure"), failure);
    }
}

#[test]
fn only_paypals_word_verifies() {
    let read = |body: &str| verification(&answer(200, body));
    assert_eq!(read(r#"{"verification_status":"SUCCESS"}"#), Ok(true));
    assert_eq!(read(r#"{"verification_status":"FAILURE"}"#), Ok(false));
    for body in ["{}", "", r#"{"verification_status":"success"}"#, r#"{"verification_status":true}"#] {
        assert!(read(body).is_err(), "{body}");
    }
}
