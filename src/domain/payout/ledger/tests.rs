//! The ledger always adds up, whatever happens to the items.

use super::super::plan::{Planned, Terms, plan};
use super::*;
use crate::domain::affiliate::{Addresses, Affiliate, Profile, Status, StatusChange};
use crate::domain::id::LinkId;
use proptest::prelude::*;

fn month(number: u32) -> Month {
    format!("2026-{number:02}").parse().expect("a month")
}
fn payout(number: u32) -> PayoutId {
    PayoutId { month: month(number), number: 1 }
}
fn at() -> DateTime<Utc> {
    "2026-10-31T10:00:00Z".parse().expect("a time")
}
fn closed(cents: &[i64]) -> Vec<ClosedStatement> {
    let statement = |(number, cents): (u32, &i64)| ClosedStatement {
        month: month(number),
        total: Money::from_cents(*cents),
        hash: format!("hash {number}"),
    };
    (1..).zip(cents).map(statement).collect()
}
fn ann() -> Affiliate {
    Affiliate {
        id: AffiliateId::from_bits(7),
        profile: Profile { paypal_email: Some("pay@b.example".into()), ..Profile::default() },
        code: "some-code".parse().expect("a code"),
        default_link: LinkId::from_bits(7),
        history: vec![StatusChange { at: DateTime::UNIX_EPOCH, status: Status::Active, reason: None }],
        exempt_from_holds: false,
        signatures: Vec::new(),
        addresses: Addresses::default(),
    }
}
fn terms() -> Terms {
    Terms { minimum: Money::ZERO, item_limit: Money::from_cents(10_000_000), at: at() }
}
fn planned(ledger: &Ledger, closed: &[ClosedStatement]) -> NewItem {
    match plan(&ann(), ledger, closed, false, terms()) {
        Planned::Pay(item) => item,
        other => panic!("{other:?}"),
    }
}
fn change(event: Event) -> Change {
    let is_persons = matches!(event, Event::FoundPaid | Event::FoundUnpaid | Event::PaidOtherwise);
    let means = Means { by: "ann".into(), reason: "a transfer".into(), reference: None };
    Change {
        affiliate_id: ann().id,
        event,
        on: "2026-10-31".parse().expect("a day"),
        chunk: None,
        provider: Provider::default(),
        means: is_persons.then_some(means),
    }
}
fn failed(error: &str) -> Change {
    let provider = Provider { error: Some(error.into()), ..Provider::default() };
    Change { provider, ..change(Event::Failed) }
}
/// Owed, under way, paid, in cents.
fn balance(ledger: &Ledger, closed: &[ClosedStatement]) -> [String; 3] {
    let Balance { owed, under_way, paid } = ledger.check(closed).expect("it adds up");
    [owed, under_way, paid].map(|amount| amount.to_string())
}

#[test]
fn money_is_in_one_of_three_places() {
    use Event as E;
    let closed = closed(&[9_900, 0, -900]);
    // The events after the item was added, and where the money is then.
    let table: [(&[E], [&str; 3]); 14] = [
        (&[], ["0.00", "90.00", "0.00"]),
        (&[E::Withdraw], ["90.00", "0.00", "0.00"]),
        (&[E::Submit], ["0.00", "90.00", "0.00"]),
        (&[E::Submit, E::Succeeded], ["0.00", "0.00", "90.00"]),
        (&[E::Submit, E::Lost, E::Succeeded, E::Succeeded], ["0.00", "0.00", "90.00"]),
        (&[E::Submit, E::Failed], ["90.00", "0.00", "0.00"]),
        (&[E::Submit, E::Unclaimed], ["0.00", "90.00", "0.00"]),
        (&[E::Submit, E::Unclaimed, E::Returned], ["90.00", "0.00", "0.00"]),
        (&[E::Submit, E::Returned], ["90.00", "0.00", "0.00"]),
        (&[E::Submit, E::Succeeded, E::Refunded, E::Refunded], ["90.00", "0.00", "0.00"]),
        (&[E::Submit, E::Lost, E::FoundUnpaid], ["90.00", "0.00", "0.00"]),
        (&[E::Submit, E::Lost, E::FoundUnpaid, E::Succeeded], ["0.00", "0.00", "90.00"]),
        (&[E::Withdraw, E::PaidOtherwise], ["0.00", "0.00", "90.00"]),
        (&[E::Submit, E::Succeeded, E::Failed, E::Unclaimed, E::Pending], ["0.00", "0.00", "90.00"]),
    ];
    for (events, expected) in table {
        let mut ledger = Ledger::default();
        ledger.add(payout(3), &planned(&ledger, &closed), at()).expect("free parts");
        for event in events {
            ledger.change(payout(3), &change(*event), at()).expect("an allowed step");
        }
        assert_eq!(balance(&ledger, &closed), expected, "{events:?}");
    }
}

#[test]
fn a_year_counts_payments_by_their_days_and_takes_off_what_came_back_in_it() {
    let closed = closed(&[9_900, 4_000]);
    let mut ledger = Ledger::default();
    let on = |event, day: &str| Change { on: day.parse().expect("a day"), ..change(event) };
    let item = planned(&ledger, &closed[..1]);
    ledger.add(payout(1), &item, at()).expect("a new item");
    for change in [change(Event::Submit), on(Event::Succeeded, "2026-12-31")] {
        ledger.change(payout(1), &change, at()).expect("a step that may follow");
    }
    assert_eq!([2025, 2026, 2027].map(|year| ledger.paid_in(year).to_string()), ["0.00", "99.00", "0.00"]);
    ledger.change(payout(1), &on(Event::Refunded, "2027-01-02"), at()).expect("a step that may follow");
    assert_eq!([2026, 2027].map(|year| ledger.paid_in(year).to_string()), ["99.00", "-99.00"]);
}

#[test]
fn a_statement_is_in_one_item() {
    let closed = closed(&[9_900]);
    let mut ledger = Ledger::default();
    let item = planned(&ledger, &closed);
    ledger.add(payout(1), &item, at()).expect("free parts");
    assert_eq!(ledger.add(payout(1), &item, at()), Err(NotAllowed::Twice));
    assert_eq!(ledger.add(payout(2), &item, at()), Err(NotAllowed::PartsTaken));
    let other_bytes =
        Part { of: PartOf::Statement { month: month(1), hash: "other".into() }, ..item.parts[0].clone() };
    let other = NewItem { parts: vec![other_bytes], ..item.clone() };
    assert_eq!(ledger.add(payout(2), &other, at()), Err(NotAllowed::PartsTaken));
    ledger.change(payout(1), &change(Event::Submit), at()).expect("a step");
    ledger.change(payout(1), &change(Event::Failed), at()).expect("a step");
    ledger.add(payout(2), &item, at()).expect("the parts are free again");
    let twice = NewItem {
        parts: [&item.parts[..], &item.parts[..]].concat(),
        amount: item.amount + item.amount,
        ..item
    };
    assert_eq!(Ledger::default().add(payout(2), &twice, at()), Err(NotAllowed::PartsTaken));
}

#[test]
fn an_amount_is_the_sum_of_its_parts_and_above_zero() {
    let item = planned(&Ledger::default(), &closed(&[9_900]));
    for amount in ["98.99", "0.00", "-99.00"] {
        let amount = amount.parse().expect("an amount");
        let wrong = NewItem { amount, ..item.clone() };
        assert_eq!(Ledger::default().add(payout(1), &wrong, at()), Err(NotAllowed::Sum));
    }
}

#[test]
fn a_late_payment_is_set_off() {
    let closed = closed(&[9_900, 5_000]);
    let mut ledger = Ledger::default();
    ledger.add(payout(1), &planned(&ledger, &closed[..1]), at()).expect("free parts");
    for event in [Event::Submit, Event::Lost, Event::FoundUnpaid] {
        ledger.change(payout(1), &change(event), at()).expect("a step");
    }
    ledger.add(payout(2), &planned(&ledger, &closed), at()).expect("free parts");
    for event in [Event::Submit, Event::Succeeded] {
        ledger.change(payout(2), &change(event), at()).expect("a step");
    }
    ledger.change(payout(1), &change(Event::Succeeded), at()).expect("a late payment");
    assert_eq!(balance(&ledger, &closed), ["-99.00", "0.00", "248.00"]);
    let Planned::Carry(carried) = plan(&ann(), &ledger, &closed, false, terms()) else { panic!("a debt") };
    assert_eq!(carried.reasons, [super::super::plan::Carried::NotAboveZero]);
    // The next statement pays the debt, and only the rest is paid.
    let more = self::closed(&[9_900, 5_000, 20_000]);
    let next = planned(&ledger, &more);
    assert_eq!(next.amount.to_string(), "101.00");
    ledger.add(payout(3), &next, at()).expect("free parts");
    assert_eq!(balance(&ledger, &more), ["0.00", "101.00", "248.00"]);
    // The affiliate sends the late payment back: it is owed once more.
    ledger.change(payout(1), &change(Event::Refunded), at()).expect("a step");
    assert_eq!(balance(&ledger, &more), ["99.00", "101.00", "149.00"]);
}

#[test]
fn other_means_pay_what_is_owed_and_nothing_else() {
    let closed = closed(&[9_900]);
    let mut ledger = Ledger::default();
    ledger.add(payout(1), &planned(&ledger, &closed), at()).expect("free parts");
    ledger.change(payout(1), &change(Event::Submit), at()).expect("a step");
    assert_eq!(ledger.change(payout(1), &change(Event::PaidOtherwise), at()), Err(NotAllowed::Step));
    ledger.change(payout(1), &change(Event::Failed), at()).expect("a step");
    ledger.add(payout(2), &planned(&ledger, &closed), at()).expect("free parts");
    assert_eq!(ledger.change(payout(1), &change(Event::PaidOtherwise), at()), Err(NotAllowed::PartsTaken));
    assert_eq!(ledger.change(payout(9), &change(Event::Submit), at()), Err(NotAllowed::NoItem));
}

fn why(ledger: &Ledger, closed: &[ClosedStatement]) -> Vec<super::super::plan::Carried> {
    match plan(&ann(), ledger, closed, false, terms()) {
        Planned::Carry(carried) => carried.reasons,
        _ => Vec::new(),
    }
}
/// What would be paid if nothing carried it.
fn planned_anyhow(ledger: &Ledger, closed: &[ClosedStatement]) -> NewItem {
    let parts = ledger.free_parts(closed);
    let amount = parts.iter().map(|part| part.amount).sum();
    NewItem { affiliate_id: ann().id, receiver: "pay@b.example".into(), amount, parts }
}

#[test]
fn the_end_of_an_item_decides_about_the_next_ones() {
    use super::super::plan::Carried;
    let closed = closed(&[9_900]);
    let after = |changes: &[Change]| {
        let mut ledger = Ledger::default();
        for (number, last) in (1..).zip(changes) {
            ledger.add(payout(number), &planned_anyhow(&ledger, &closed), at()).expect("free parts");
            ledger.change(payout(number), &change(Event::Submit), at()).expect("a step");
            ledger.change(payout(number), last, at()).expect("a step");
        }
        ledger
    };
    let table: [(&str, &[Change], &[Carried]); 7] = [
        ("refused once", &[failed("RISK_DECLINE")], &[]),
        ("the payee must act", &[failed("RECEIVER_ACCOUNT_LOCKED")], &[Carried::NeedsChange]),
        ("nobody claimed it", &[change(Event::Returned)], &[Carried::NeedsChange]),
        ("blocked", &[change(Event::Blocked)], &[Carried::Blocked]),
        ("two other errors", &[failed("A"), failed("B"), failed("A")], &[]),
        ("three equal errors", &[failed("A"), failed("A"), failed("A")], &[Carried::TooManyFailures]),
        ("paid in between", &[failed("A"), failed("A"), change(Event::Refunded)], &[Carried::Blocked]),
    ];
    for (name, changes, expected) in table {
        let mut ledger = after(changes);
        let reasons = why(&ledger, &closed);
        assert_eq!(reasons, expected, "{name}");
        ledger.clear(&Clearance::Released);
        assert_eq!(why(&ledger, &closed), [], "{name}, released");
    }
}

#[test]
fn what_was_paid_elsewhere_is_not_paid_here() {
    let closed = closed(&[9_900, 5_000, 7_000]);
    let ledger = Ledger { paid_elsewhere: Some(month(2)), ..Ledger::default() };
    assert_eq!(planned(&ledger, &closed).amount.to_string(), "70.00");
    assert_eq!(balance(&ledger, &closed), ["70.00", "0.00", "149.00"]);
}

#[test]
fn what_does_not_add_up_is_named() {
    type Spoil = fn(&mut Ledger);
    let closed = closed(&[9_900]);
    let good = || {
        let mut ledger = Ledger::default();
        ledger.add(payout(1), &planned(&ledger, &closed), at()).expect("free parts");
        ledger
    };
    let spoil: [(&str, Spoil); 4] = [
        ("items under way add up", |ledger| ledger.items[0].amount = Money::from_cents(1)),
        ("paid items add up", |ledger| {
            ledger.entries[0].paid = Money::from_cents(1);
        }),
        ("not the closed one", |ledger| {
            ledger.items[0].parts[0].of = PartOf::Statement { month: month(1), hash: "other".into() };
        }),
        ("another payout pays", |ledger| {
            let twin = Item { payout_id: payout(2), ..ledger.items[0].clone() };
            ledger.entries.push(Entry { payout_id: payout(2), ..ledger.entries[0].clone() });
            ledger.items.push(twin);
        }),
    ];
    for (words, spoil) in spoil {
        let mut ledger = good();
        spoil(&mut ledger);
        let Imbalance(text) = ledger.check(&closed).expect_err(words);
        assert!(text.contains(words), "{text}");
        let planned = plan(&ann(), &ledger, &self::closed(&[9_900, 5_000]), false, terms());
        assert!(!matches!(planned, Planned::Pay(_)), "{words}");
    }
}

proptest! {
    /// Whatever happens in whatever order, also what PayPal would never say: the sum of the closed statements is what
    /// is owed, under way and paid, and no part is in two items.
    #[test]
    fn a_ledger_always_adds_up(
        totals in prop::collection::vec(-5_000_i64..20_000, 1..6),
        steps in prop::collection::vec((0_u32..8, prop::sample::select(&Event::ALL[..]), any::<bool>()), 0..60),
    ) {
        let closed = closed(&totals);
        let mut ledger = Ledger::default();
        let mut made = 0;
        for (which, event, new) in steps {
            if new && made < 9 {
                made += 1;
                let parts = ledger.free_parts(&closed);
                let amount = parts.iter().map(|part| part.amount).sum();
                let item = NewItem { affiliate_id: ann().id, receiver: "a@b.example".into(), amount, parts };
                let _refused = ledger.add(payout(made), &item, at());
            }
            let _refused = ledger.change(payout(1 + which % 9), &change(event), at());
            ledger.check(&closed).map_err(|error| TestCaseError::fail(error.0))?;
        }
        let kept = serde_json::to_vec(&ledger).expect("plain data");
        prop_assert_eq!(serde_json::from_slice::<Ledger>(&kept).expect("it reads back"), ledger);
    }
}
