//! The client of PayPal's API against a PayPal that pays nobody, keeps a book, and lies.

use crate::support::paypal::{Paypal, conform, settings};
use crate::support::tls;
use bytes::Bytes;
use chrono::TimeDelta;
use counterfoil::for_tests::fake_paypal::{Does, Lie, Payment, ReadLie, Says, TokenLie};
use counterfoil::for_tests::paypal::{
    Amount, Cancellation, Client, Created, Head, Order, ReadFailure, Reported, ReportedBatch, ReportedItem,
    WholeBatch, event, request_body,
};
use std::net::TcpListener;

mod webhooks;

const BATCH: &str = "pay_2026-09-1.1";

/// A batch's body: receivers, and the amount of each in cents.
fn body_of(batch_id: &str, currency: &str, items: &[(&str, i64)]) -> Bytes {
    let ids: Vec<String> = (0..items.len()).map(|at| format!("{batch_id}_{at}")).collect();
    let orders = items.iter().zip(&ids).map(|((receiver, cents), item_id)| {
        let amount = format!("{}.{:02}", cents / 100, cents % 100).parse().expect("an amount");
        Order { item_id, receiver, amount, note: "Referrals of September 2026" }
    });
    let orders: Vec<Order<'_>> = orders.collect();
    let head = Head { batch_id, currency, email_subject: "Your payout", email_message: "Thank you" };
    request_body(&head, &orders).expect("a batch")
}

fn one() -> Bytes {
    body_of(BATCH, "USD", &[("ann@example.com", 12_050)])
}

async fn accepted(client: &Client, batch_id: &str, body: Bytes) -> String {
    match client.create(batch_id, body).await {
        Created::Accepted { payout_batch_id } => payout_batch_id,
        other => panic!("{other:?}"),
    }
}

/// An answer in a word.
fn word(created: &Created) -> String {
    match created {
        Created::Accepted { .. } => "accepted".to_owned(),
        Created::Exists { payout_batch_id: Some(_) } => "exists".to_owned(),
        Created::Exists { payout_batch_id: None } => "exists somewhere".to_owned(),
        Created::Refused { name, field, .. } => format!("refused {name} {}", field.as_deref().unwrap_or("-")),
        Created::Restricted { name } => format!("restricted {name}"),
        Created::Unfunded => "unfunded".to_owned(),
        Created::Throttled => "throttled".to_owned(),
        Created::NotSent(_) => "not sent".to_owned(),
        Created::Unclear(_) => "unclear".to_owned(),
    }
}

#[tokio::test]
async fn whatever_paypal_answers_the_same_batch_again_pays_once() {
    let performs = Lie::performs_then;
    let only = Lie::only;
    // The lie; what the client makes of it; what it makes of the truth, when it sends the same bytes again.
    let table: Vec<(Lie, &str, &str)> = vec![
        (performs(Says::Truth), "accepted", "exists"),
        (Lie::tells_first(), "accepted", "exists"),
        (performs(Says::Reset), "unclear", "exists"),
        (only(Says::Reset), "unclear", "accepted"),
        (performs(Says::Silence), "unclear", "exists"),
        (only(Says::Silence), "unclear", "accepted"),
        (performs(Says::Fault), "unclear", "exists"),
        (only(Says::Fault), "unclear", "accepted"),
        (performs(Says::Gateway), "unclear", "exists"),
        (performs(Says::ProxyRefuses), "unclear", "exists"),
        (performs(Says::Truncated), "unclear", "exists"),
        (performs(Says::Empty), "unclear", "exists"),
        (only(Says::Empty), "unclear", "accepted"),
        (performs(Says::Page), "unclear", "exists"),
        (performs(Says::AnotherSender), "unclear", "exists"),
        (performs(Says::Foreign), "accepted", "exists"),
        (only(Says::Made), "accepted", "accepted"),
        (performs(Says::Elsewhere), "unclear", "exists"),
        (performs(Says::Throttled), "throttled", "exists"),
        (only(Says::Throttled), "throttled", "accepted"),
        (only(Says::Restricted("SENDER_RESTRICTED")), "restricted SENDER_RESTRICTED", "accepted"),
        (only(Says::Restricted("AUTHORIZATION_ERROR")), "restricted AUTHORIZATION_ERROR", "accepted"),
        (only(Says::Unfunded), "unfunded", "accepted"),
        (performs(Says::InProgress), "unclear", "exists"),
        (performs(Says::DuplicateWithoutLink), "exists somewhere", "exists"),
        (performs(Says::DuplicateInOldWords), "exists somewhere", "exists"),
        (performs(Says::DuplicateWithForeignLink), "exists", "exists"),
    ];
    let mut exchanges = Vec::new();
    for (lie, first, then) in table {
        let paypal = Paypal::start().await;
        paypal.tells("http://127.0.0.1:9/nobody");
        paypal.next_create(lie);
        let client = if lie.says == Says::Silence { paypal.impatient_client() } else { paypal.client() };
        let answered = client.create(BATCH, one()).await;
        assert_eq!(word(&answered), first, "{lie:?}: {answered:?}");
        let before = paypal.payments().len();
        assert_eq!(before, usize::from(lie.does == Does::AsAsked), "{lie:?}");
        assert_eq!(word(&client.create(BATCH, one()).await), then, "{lie:?}");
        let paid = paypal.payments();
        assert_eq!(paid.len(), 1, "{lie:?}: {paid:?}");
        assert_eq!(paid[0].amount.to_string(), "120.50");
        assert!(paid[0].is_paid());
        // Nothing was sent that nobody asked for.
        let created = paypal.exchanges().into_iter().filter(|call| call.path == "/v1/payments/payouts");
        let ids: Vec<_> = created.map(|call| call.request_id).collect();
        assert_eq!(ids, vec![Some(BATCH.to_owned()); 2], "{lie:?}");
        exchanges.extend(paypal.exchanges());
    }
    conform(&exchanges).await;
}

#[tokio::test]
async fn a_call_is_refused_as_a_whole_and_the_rest_can_go_under_the_same_id() {
    let bad = &[("ann@example.com", 100), ("invalid@example.com", 200), ("bob@example.com", 300)];
    let table: Vec<(&str, Bytes, &str)> = vec![
        ("a bad address", body_of(BATCH, "USD", bad), "refused VALIDATION_ERROR items[1].receiver"),
        ("no balance", body_of(BATCH, "BRL", &[("ann@example.com", 100)]), "refused NON_HOLDING_CURRENCY -"),
        ("no JSON", Bytes::from_static(b"{"), "refused MALFORMED_REQUEST_JSON -"),
        ("no items", Bytes::from_static(br#"{"sender_batch_header":{}}"#), "refused VALIDATION_ERROR items"),
    ];
    for (name, body, says) in table {
        let paypal = Paypal::start().await;
        let client = paypal.client();
        let refused = client.create(BATCH, body).await;
        assert_eq!(word(&refused), says, "{name}: {refused:?}");
        assert_eq!(paypal.payments(), [], "{name}");
        accepted(&client, BATCH, one()).await;
        assert_eq!(paypal.payments().len(), 1, "{name}");
    }
    let paypal = Paypal::start().await;
    paypal.has(Some(rust_decimal::Decimal::from(120)));
    assert_eq!(paypal.client().create(BATCH, one()).await, Created::Unfunded);
    assert_eq!(paypal.payments(), []);
    paypal.conforms().await;
}

#[tokio::test]
async fn a_connection_that_is_refused_was_never_made() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let client = Client::new(&settings(&format!("http://{port}"))).expect("good settings");
    assert_eq!(word(&client.create(BATCH, one()).await), "not sent");
    let unread = client.batch("BAT1", 1).await;
    assert!(matches!(unread, Err(ReadFailure::Unavailable(_))), "{unread:?}");
}

#[tokio::test]
async fn who_can_not_prove_to_be_paypal_gets_nothing() {
    let mut listener = tls::Listener::bind("api-m.paypal.com").await;
    let client = Client::new(&settings(&format!("https://{}", listener.address()))).expect("good settings");
    let listening = tokio::spawn(async move { axum::serve::Listener::accept(&mut listener).await.1 });
    let made = client.create(BATCH, one()).await;
    assert_eq!(word(&made), "not sent", "{made:?}");
    assert!(!listening.is_finished(), "no handshake was completed");
    listening.abort();
}

#[tokio::test]
async fn one_token_serves_many_calls_until_paypal_forgets_it() {
    let paypal = Paypal::start().await;
    let client = paypal.client();
    let tokens = || paypal.requests().iter().filter(|call| call.ends_with("/token")).count();
    let ids: Vec<String> = (0..10).map(|number| format!("{BATCH}{number}")).collect();
    let calls = ids.iter().map(|id| client.create(id, body_of(id, "USD", &[("ann@example.com", 100)])));
    for made in futures_util::future::join_all(calls).await {
        assert_eq!(word(&made), "accepted");
    }
    assert_eq!(tokens(), 1, "they wait for one");

    paypal.forgets_tokens();
    let ids: Vec<String> = (10..20).map(|number| format!("{BATCH}{number}")).collect();
    let calls = ids.iter().map(|id| client.create(id, body_of(id, "USD", &[("ann@example.com", 100)])));
    for made in futures_util::future::join_all(calls).await {
        assert_eq!(word(&made), "accepted");
    }
    assert_eq!(tokens(), 2, "one asks for all");
    assert_eq!(paypal.payments().len(), 20);
    let refused: Vec<_> = paypal.exchanges().into_iter().filter(|call| call.status == Some(401)).collect();
    for call in &refused {
        let same = paypal.exchanges().iter().filter(|other| other.body == call.body).count();
        assert_eq!(same, 2, "the same bytes once more");
    }
    assert!(!refused.is_empty());

    paypal.conforms().await;
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    for lie in [TokenLie::Throttled, TokenLie::Refused, TokenLie::Page, TokenLie::Silence] {
        let paypal = Paypal::start().await;
        let client = if lie == TokenLie::Silence { paypal.impatient_client() } else { paypal.client() };
        paypal.next_token(lie);
        let made = client.create(BATCH, one()).await;
        assert_eq!(word(&made), "not sent", "{lie:?}");
        assert!(!format!("{made:?}").contains("A21AA"));
        assert_eq!(paypal.requests(), ["POST /v1/oauth2/token"], "{lie:?}");
        accepted(&client, BATCH, one()).await;
        // And when one is forgotten in between: the first call was refused, nothing was made.
        paypal.forgets_tokens();
        paypal.next_token(lie);
        let made = client.create("other", body_of("other", "USD", &[("ann@example.com", 100)])).await;
        assert_eq!(word(&made), "not sent", "{lie:?}");
        assert_eq!(paypal.payments().len(), 1);
    }
}

#[tokio::test]
async fn an_id_is_free_again_when_its_batch_is_denied_or_a_month_old() {
    let paypal = Paypal::start().await;
    let client = paypal.client();
    paypal.takes(TimeDelta::hours(1));
    paypal.next_create(Lie::denies());
    let denied = accepted(&client, BATCH, one()).await;
    assert_eq!(word(&client.create(BATCH, one()).await), "exists", "not denied yet");
    paypal.passes(TimeDelta::hours(1));
    let batch = client.all_items(&denied).await.expect("a batch");
    assert_eq!(batch.status, ReportedBatch::Denied);
    assert_eq!(paypal.payments(), []);

    accepted(&client, BATCH, one()).await;
    paypal.passes(TimeDelta::days(30) - TimeDelta::hours(1));
    assert_eq!(word(&client.create(BATCH, one()).await), "exists");
    assert_eq!(paypal.payments().len(), 1);
    paypal.passes(TimeDelta::hours(2));
    accepted(&client, BATCH, one()).await;
    paypal.passes(TimeDelta::hours(1));
    assert_eq!(paypal.payments().len(), 2, "the same id pays again: it must not be sent so late");
    paypal.conforms().await;
}

#[tokio::test]
async fn each_item_says_itself_what_became_of_it() {
    let paypal = Paypal::start().await;
    let client = paypal.client();
    paypal.takes(TimeDelta::hours(1));
    // What the receiver begins with; PayPal's words at once, when the batch is done, two days and 31 days later; the error.
    let table = [
        ("ann", ["PENDING", "SUCCESS", "SUCCESS", "SUCCESS"], None),
        ("unclaimed", ["PENDING", "UNCLAIMED", "UNCLAIMED", "RETURNED"], Some("RECEIVER_UNREGISTERED")),
        ("failed", ["PENDING", "FAILED", "FAILED", "FAILED"], Some("RECEIVER_ACCOUNT_LOCKED")),
        ("onhold", ["PENDING", "ONHOLD", "ONHOLD", "ONHOLD"], Some("REGULATORY_PENDING")),
        ("reviewed", ["PENDING", "ONHOLD", "SUCCESS", "SUCCESS"], None),
        ("blocked", ["PENDING", "BLOCKED", "BLOCKED", "BLOCKED"], Some("REGULATORY_BLOCKED")),
        ("refunded", ["PENDING", "SUCCESS", "REFUNDED", "REFUNDED"], None),
        ("reversed", ["PENDING", "SUCCESS", "REVERSED", "REVERSED"], None),
        ("returned", ["PENDING", "RETURNED", "RETURNED", "RETURNED"], Some("RECEIVER_UNREGISTERED")),
        ("pending", ["PENDING", "PENDING", "PENDING", "PENDING"], None),
        ("strange", ["PENDING", "SHIPPED", "SHIPPED", "SHIPPED"], None),
    ];
    let receivers: Vec<String> = table.iter().map(|(name, ..)| format!("{name}@example.com")).collect();
    let items: Vec<(&str, i64)> = receivers.iter().map(|receiver| (receiver.as_str(), 19_000)).collect();
    let id = accepted(&client, BATCH, body_of(BATCH, "USD", &items)).await;
    let later = [TimeDelta::zero(), TimeDelta::hours(1), TimeDelta::days(2), TimeDelta::days(29)];
    for (step, time) in later.into_iter().enumerate() {
        paypal.passes(time);
        let batch = client.all_items(&id).await.expect("a batch");
        assert!(batch.is_whole);
        assert_eq!(batch.sender_batch_id.as_deref(), Some(BATCH));
        assert_eq!(batch.status, if step == 0 { ReportedBatch::Pending } else { ReportedBatch::Success });
        for ((name, words, error), item) in table.iter().zip(&batch.items) {
            let word = words[step];
            let status = event(word).map_or(Reported::Unknown(word.to_owned()), Reported::Known);
            assert_eq!(item.status, status, "{name} after {time}");
            assert!(item.amount.as_ref().is_some_and(is_190), "{name}: {:?}", item.amount);
            assert!(
                item.receiver.as_ref().is_some_and(|receiver| receiver.is(&format!("{name}@example.com")))
            );
            if step == 3 {
                assert_eq!(item.error.as_deref(), *error, "{name}");
            }
            let alone = client.item(item.payout_item_id.as_deref().expect("an id")).await.expect("an item");
            assert_eq!(&alone, item, "{name}");
        }
    }
    let paid: Vec<Payment> = paypal.payments().into_iter().filter(Payment::is_paid).collect();
    assert_eq!(
        paid.iter().map(|one| one.receiver.as_str()).collect::<Vec<_>>(),
        ["ann@example.com", "reviewed@example.com"]
    );
    paypal.conforms().await;
}

fn is_190(amount: &Amount) -> bool {
    amount.value == rust_decimal::Decimal::from(190) && amount.currency == "USD"
}

async fn read_with(lies: &[ReadLie]) -> (Paypal, Result<WholeBatch, ReadFailure>) {
    let paypal = Paypal::start().await;
    let is_silent = lies.contains(&ReadLie::Silence);
    let client = if is_silent { paypal.impatient_client() } else { paypal.client() };
    paypal.shows(2);
    let items = ["a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com"];
    let id = accepted(&client, BATCH, body_of(BATCH, "USD", &items.map(|receiver| (receiver, 19_000)))).await;
    for lie in lies {
        paypal.next_read(*lie);
    }
    let read = client.all_items(&id).await;
    (paypal, read)
}

/// How many items were found, whether these are all, how many are paid, and how many are of 190.00.
type Counted = (usize, bool, usize, usize);

fn counted(batch: &WholeBatch) -> Counted {
    let known =
        |item: &&ReportedItem| item.status.event().is_some_and(|event| Some(event) == self::event("SUCCESS"));
    let right = |item: &&ReportedItem| item.amount.as_ref().is_some_and(is_190);
    let items = &batch.items;
    (items.len(), batch.is_whole, items.iter().filter(known).count(), items.iter().filter(right).count())
}

#[tokio::test]
async fn a_page_that_lies_releases_nothing() {
    use ReadLie as L;
    let table: &[(&[L], Counted)] = &[
        (&[], (5, true, 5, 5)),
        (&[L::Stale], (5, true, 3, 5)),
        (&[L::OtherAmounts], (5, true, 5, 3)),
        (&[L::UnknownWords], (5, true, 3, 5)),
        (&[L::DoneButPending], (5, true, 3, 5)),
        // What does not fit together is read once more.
        (&[L::EmptyPage], (5, true, 5, 5)),
        (&[L::Truth, L::EmptyPage], (5, true, 5, 5)),
        (&[L::Truth, L::FirstPage], (5, true, 5, 5)),
        (&[L::ItemMissing], (5, true, 5, 5)),
        // As many as it counts: the caller sees that one of its own is not there.
        (&[L::Truth, L::Truth, L::ItemMissing], (4, true, 4, 4)),
        (&[L::ItemTwice], (5, true, 5, 5)),
        (&[L::MoreItems(1)], (5, true, 5, 5)),
        (&[L::Truth, L::Truth, L::MoreItems(1)], (5, true, 5, 5)),
        (&[L::Truth, L::Truth, L::MoreItems(1), L::Truth, L::Truth, L::MoreItems(1)], (5, false, 5, 5)),
        (&[L::Truth, L::EmptyPage, L::Truth, L::Truth, L::EmptyPage], (3, false, 3, 3)),
    ];
    let mut exchanges = Vec::new();
    for (lies, expected) in table {
        let (paypal, read) = read_with(lies).await;
        let batch = read.unwrap_or_else(|failure| panic!("{lies:?}: {failure}"));
        assert_eq!(counted(&batch), *expected, "{lies:?}");
        exchanges.extend(paypal.exchanges());
    }
    conform(&exchanges).await;
}

#[tokio::test]
async fn a_page_that_can_not_be_read_is_a_failure_with_a_name() {
    type Is = fn(&ReadFailure) -> bool;
    use ReadLie as L;
    let unavailable = |failure: &ReadFailure| matches!(failure, ReadFailure::Unavailable(_));
    let unreadable = |failure: &ReadFailure| matches!(failure, ReadFailure::Unreadable(_));
    let table: [(L, Is); 8] = [
        (L::NotFound, |failure| *failure == ReadFailure::NotFound),
        (L::Throttled, |failure| *failure == ReadFailure::Throttled),
        (L::Fault, unavailable),
        (L::Gateway, unavailable),
        (L::Page, unreadable),
        (L::Truncated, unavailable),
        (L::Endless, unavailable),
        (L::Reset, unavailable),
    ];
    for (lie, is_expected) in table {
        for before in 0..3 {
            let lies = [vec![L::Truth; before], vec![lie]].concat();
            let (_, read) = read_with(&lies).await;
            let failure = read.expect_err("a failure");
            assert!(is_expected(&failure), "{lie:?}: {failure:?}");
        }
    }
    let (_, read) = read_with(&[L::Silence]).await;
    assert!(unavailable(&read.expect_err("a failure")));
}

#[tokio::test]
async fn the_item_after_the_thousandth_is_found_too() {
    let paypal = Paypal::start().await;
    let client = paypal.client();
    let receivers: Vec<String> = (0..2_500).map(|number| format!("p{number}@example.com")).collect();
    let items: Vec<(&str, i64)> = receivers.iter().map(|receiver| (receiver.as_str(), 100)).collect();
    let id = accepted(&client, BATCH, body_of(BATCH, "USD", &items)).await;
    let batch = client.all_items(&id).await.expect("a batch");
    assert_eq!((batch.items.len(), batch.is_whole), (2_500, true));
    let pages: Vec<String> =
        paypal.exchanges().into_iter().map(|call| call.query).filter(|query| !query.is_empty()).collect();
    assert_eq!(pages, [1, 2, 3].map(|page| format!("page={page}&page_size=1000&total_required=true")));
    let page = client.batch(&id, 3).await.expect("a page");
    assert_eq!((page.items.len(), page.total_pages, page.total_items), (500, Some(3), Some(2_500)));
    paypal.conforms().await;
}

#[tokio::test]
async fn only_an_unclaimed_item_is_taken_back() {
    let paypal = Paypal::start().await;
    let client = paypal.client();
    paypal.takes(TimeDelta::hours(1));
    let items = [("unclaimed@example.com", 100), ("ann@example.com", 200)];
    let id = accepted(&client, BATCH, body_of(BATCH, "USD", &items)).await;
    let batch = client.all_items(&id).await.expect("a batch");
    let ids: Vec<&str> = batch.items.iter().filter_map(|item| item.payout_item_id.as_deref()).collect();
    let [unclaimed, paid] = ids[..] else { panic!("two items: {ids:?}") };
    let refused = |name: &str| Cancellation::Refused { name: name.to_owned() };
    assert_eq!(client.cancel(unclaimed).await, refused("BATCH_NOT_COMPLETED"));
    paypal.passes(TimeDelta::hours(1));
    assert_eq!(client.cancel(paid).await, refused("ITEM_INCORRECT_STATUS"));
    let Cancellation::Returned(item) = client.cancel(unclaimed).await else { panic!("it is taken back") };
    assert_eq!(item.status.event(), event("RETURNED"));
    assert_eq!(client.cancel(unclaimed).await, refused("ITEM_ALREADY_CANCELLED"));
    assert!(matches!(client.cancel("ITM0").await, Cancellation::Unclear(_)));
    assert_eq!(paypal.payments().iter().filter(|payment| payment.is_paid()).count(), 1);
    paypal.conforms().await;
}

#[tokio::test]
async fn a_batch_can_be_claimed_and_sent_back_by_its_payees() {
    let paypal = Paypal::start().await;
    let client = paypal.client();
    let items = [("unclaimed@example.com", 100), ("ann@example.com", 200)];
    let id = accepted(&client, BATCH, body_of(BATCH, "USD", &items)).await;
    paypal.is_claimed(&format!("{BATCH}_0"));
    paypal.is_refunded(&format!("{BATCH}_1"));
    paypal.passes(TimeDelta::days(40));
    let batch = client.all_items(&id).await.expect("a batch");
    let words: Vec<_> = batch.items.iter().map(|item| item.status.event()).collect();
    assert_eq!(words, [event("SUCCESS"), event("REFUNDED")]);
    assert!(client.batch("BAT0000000000", 1).await == Err(ReadFailure::NotFound));
    assert!(client.item("ITM0000000000").await == Err(ReadFailure::NotFound));
    paypal.conforms().await;
}
