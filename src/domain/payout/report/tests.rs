use super::*;
use proptest::prelude::*;

/// The payment log of a batch, after the lines that PayPal puts before it.
const LOG: &str = "Mass Payment Details\r\n\
    Batch,\"October, first\"\r\n\
    \r\n\
    Transaction ID,Recipient,Customer ID,Amount,Currency,Status,Reason\r\n\
    9PE35473MC416994Y,ann@b.example,pay_1,\"1,234.50\",USD,Completed,\r\n\
    ,Bob@B.example,pay_2,39.00,USD,Denied,Account is locked\r\n\
    \r\n\
    02T193108E923625A,eve@b.example,,99.00,USD,Unclaimed,\r\n";
/// The report of a large batch.
const LARGE: &str = "Reference ID,Payout item ID,Transaction ID,Recipient name,Recipient identifier,Currency code,Payout amount,Fee,Total,Transaction status,Error enum,Error message,Processed time,Claimed time\n\
    pay_1,H7AHG9KTR6RW2,9PE35473MC416994Y,Ann,ann@b.example,USD,1234.5,0.25,1234.75,SUCCESS,,,2026-10-31T12:00:00Z,2026-10-31T12:00:00Z\n\
    pay_2,9RCUA6TD95SE4,,Bob,bob@b.example,USD,39.00,0.00,39.00,FAILED,RECEIVER_ACCOUNT_LOCKED,\"The receiver's account, it is locked.\",2026-10-31T12:00:01Z,\n";
/// The activity of the account: money out is below zero, and there is more than payouts.
const ACTIVITY: &str = "\"Date\",\"Time\",\"TimeZone\",\"Name\",\"Type\",\"Status\",\"Currency\",\"Gross\",\"Fee\",\"Net\",\"From Email Address\",\"To Email Address\",\"Transaction ID\",\"Counterparty Status\",\"Custom Number\"\n\
    \"10/31/2026\",\"05:00:00\",\"PDT\",\"Ann\",\"Mass Pay Payment\",\"Completed\",\"USD\",\"-1,234.50\",\"-0.25\",\"-1,234.75\",\"us@c.example\",\"ann@b.example\",\"9PE35473MC416994Y\",\"Verified\",\"pay_1\"\n\
    \"10/31/2026\",\"05:00:01\",\"PDT\",\"Zed\",\"Website Payment\",\"Completed\",\"USD\",\"99.00\",\"-3.17\",\"95.83\",\"zed@d.example\",\"us@c.example\",\"2AB\",\"Verified\",\"\"\n";

fn money(text: &str) -> Money {
    text.parse().expect(text)
}
fn rows(text: &str) -> Vec<ReportRow> {
    read(text.as_bytes()).expect("a report")
}
fn empty() -> ReportRow {
    ReportRow {
        line: 0,
        item_id: None,
        receiver: None,
        amount: None,
        currency: None,
        result: Reported::Unknown(String::new()),
        transaction_id: None,
        provider_item_id: None,
        error: None,
        at: None,
    }
}
fn row(line: u64, id: &str, receiver: &str, amount: &str, result: Reported) -> ReportRow {
    ReportRow {
        line,
        item_id: Some(id.to_owned()).filter(|id| !id.is_empty()),
        receiver: Some(receiver.to_owned()),
        amount: Some(money(amount)),
        currency: Some("USD".to_owned()),
        result,
        ..empty()
    }
}

#[test]
fn the_payment_log_of_a_batch_is_read() {
    let read = rows(LOG);
    let ann = row(5, "pay_1", "ann@b.example", "1234.50", Reported::Paid);
    assert_eq!(read[0], ReportRow { transaction_id: Some("9PE35473MC416994Y".into()), ..ann });
    let bob = row(6, "pay_2", "Bob@B.example", "39.00", Reported::Failed);
    assert_eq!(read[1], ReportRow { error: Some("Account is locked".into()), ..bob });
    let eve = row(8, "", "eve@b.example", "99.00", Reported::Unclaimed);
    assert_eq!(read[2], ReportRow { transaction_id: Some("02T193108E923625A".into()), ..eve });
    assert_eq!(read.len(), 3);
}

#[test]
fn the_report_of_a_large_batch_is_read() {
    let read = rows(LARGE);
    let ann = ReportRow {
        transaction_id: Some("9PE35473MC416994Y".into()),
        provider_item_id: Some("H7AHG9KTR6RW2".into()),
        at: Some("2026-10-31T12:00:00Z".into()),
        ..row(2, "pay_1", "ann@b.example", "1234.50", Reported::Paid)
    };
    let bob = ReportRow {
        provider_item_id: Some("9RCUA6TD95SE4".into()),
        error: Some("RECEIVER_ACCOUNT_LOCKED".into()),
        at: Some("2026-10-31T12:00:01Z".into()),
        ..row(3, "pay_2", "bob@b.example", "39.00", Reported::Failed)
    };
    assert_eq!(read, [ann, bob]);
}

#[test]
fn the_activity_of_the_account_is_read_and_money_out_is_above_zero() {
    let read = rows(ACTIVITY);
    let ann = ReportRow {
        transaction_id: Some("9PE35473MC416994Y".into()),
        at: Some("10/31/2026 05:00:00 PDT".into()),
        ..row(2, "pay_1", "ann@b.example", "1234.50", Reported::Paid)
    };
    let zed = ReportRow {
        transaction_id: Some("2AB".into()),
        at: Some("10/31/2026 05:00:01 PDT".into()),
        ..row(3, "", "us@c.example", "-99.00", Reported::Paid)
    };
    assert_eq!(read, [ann, zed]);
}

/// One row in many forms of the same file.
#[test]
fn headings_decide_and_not_the_form_of_the_file() {
    let expected = row(2, "pay_1", "zoë@b.example", "1234.50", Reported::Paid);
    let table: [(&str, &[u8]); 12] = [
        ("plain", "Customer ID,Recipient,Amount,Currency,Status\npay_1,zoë@b.example,1234.50,USD,Completed\n".as_bytes()),
        ("no last end of line", "Customer ID,Recipient,Amount,Currency,Status\npay_1,zoë@b.example,1234.50,USD,Completed".as_bytes()),
        ("CRLF", "Customer ID,Recipient,Amount,Currency,Status\r\npay_1,zoë@b.example,1234.50,USD,Completed\r\n".as_bytes()),
        ("CR", "Customer ID,Recipient,Amount,Currency,Status\rpay_1,zoë@b.example,1234.50,USD,Completed\r".as_bytes()),
        ("BOM, quotes", "\u{feff}\"Customer ID\",\"Recipient\",\"Amount\",\"Currency\",\"Status\"\n\"pay_1\",\"zoë@b.example\",\"1,234.50\",\"USD\",\"Completed\"\n".as_bytes()),
        ("windows-1252, semicolons", b"Customer ID;Recipient;Amount;Currency;Status\npay_1;zo\xeb@b.example;1.234,50;USD;Completed\n"),
        ("tabs", "Customer ID\tRecipient\tAmount\tCurrency\tStatus\npay_1\tzoë@b.example\t1234,50\tUSD\tCompleted\n".as_bytes()),
        ("case, blanks", " customer_id ,RECIPIENT, Amount,currency code,Transaction  Status\n pay_1 , zoë@b.example ,1 234.50, USD ,SUCCESS\n".as_bytes()),
        ("order, more columns", "Note,Status,Fee,Currency,Amount,Net,Recipient,Recipient name,Customer ID\nx,Paid,0.25,USD,1234.50,9,zoë@b.example,Zoë,pay_1\n".as_bytes()),
        ("empty headings and cells at the end", "Customer ID,Recipient,Amount,Currency,Status,,\npay_1,zoë@b.example,1234.50,USD,Completed,,,,\n".as_bytes()),
        ("invisible letters", "\u{200b}Customer ID,Recipient,Amount,Currency,Status\n\u{200b}pay_1,zoë@b.\u{ad}example,1234.50,USD,Completed\u{200f}\n".as_bytes()),
        ("a column twice that agrees", "Customer ID,Recipient,Amount,Currency,Fee,Currency,Status\npay_1,zoë@b.example,1234.50,USD,1.00,USD,Completed\n".as_bytes()),
    ];
    for (name, bytes) in table {
        assert_eq!(read(bytes).as_deref(), Ok(std::slice::from_ref(&expected)), "{name}");
    }
}

#[test]
fn what_a_row_does_not_say_for_certain_is_not_guessed() {
    let log = |cells: &str| {
        rows(&format!("Customer ID,Recipient,Amount,Currency,Status,Currency\n{cells}\n")).remove(0)
    };
    let good = row(2, "pay_1", "ann@b.example", "99.00", Reported::Paid);
    let table = [
        ("pay_1,ann@b.example,99.00,USD,Completed,", good.clone()),
        (
            "pay_1,ann@b.example,99.00,USD,Completed,EUR",
            ReportRow { currency: Some("USD / EUR".into()), ..good.clone() },
        ),
        // A decimal comma without quotes.
        (
            "pay_1,ann@b.example,99,00,USD,Completed,USD",
            ReportRow {
                amount: None,
                currency: Some("00 / Completed".into()),
                result: Reported::Unknown("USD".into()),
                ..good.clone()
            },
        ),
        ("pay_1,ann@b.example,$99.00,USD,Completed", ReportRow { amount: None, ..good.clone() }),
        (
            "pay_1,ann@b.example",
            ReportRow {
                amount: None,
                currency: None,
                result: Reported::Unknown(String::new()),
                ..good.clone()
            },
        ),
        (
            "pay_1,\"ann@b.example\n\",99.00,USD,\"On\nHold\"",
            ReportRow { result: Reported::OnHold, ..good.clone() },
        ),
        (
            "pay_1,ann@b.example,99.00,USD,Partially  Refunded",
            ReportRow { result: Reported::Unknown("Partially Refunded".into()), ..good },
        ),
    ];
    for (cells, expected) in table {
        assert_eq!(log(cells), expected, "{cells:?}");
    }
}

#[test]
fn the_words_of_the_site_and_those_of_the_api_mean_the_same() {
    let table: [(Reported, &[&str]); 11] = [
        (Reported::Paid, &["Completed", "SUCCESS", "Succeeded", "paid"]),
        (Reported::Failed, &["Denied", "FAILED"]),
        (Reported::Unclaimed, &["Unclaimed", "UNCLAIMED"]),
        (Reported::Returned, &["Returned"]),
        (Reported::Refunded, &["Refunded"]),
        (Reported::Reversed, &["REVERSED"]),
        (Reported::OnHold, &["On hold", "ONHOLD", "ON_HOLD", "Held"]),
        (Reported::Blocked, &["Blocked"]),
        (Reported::Pending, &["Pending", "PROCESSING"]),
        (Reported::Canceled, &["Canceled", "Cancelled"]),
        (Reported::Unknown("Processed".into()), &["Processed"]),
    ];
    for (result, words) in table {
        for word in words {
            assert_eq!(Reported::of(word), result, "{word}");
        }
    }
}

#[test]
fn a_file_that_is_no_report_is_refused_with_what_to_do() {
    let headings = "Customer ID,Recipient,Amount,Currency,Status\n";
    let many = |count: usize| format!("{headings}{}", "pay_1,a,1.00,USD,Paid\n".repeat(count));
    let long = |bytes: usize| format!("{headings}\npay_1,\"{}\n", "a".repeat(bytes));
    let late = |lines: usize| format!("{}{headings}", "x\n".repeat(lines));
    let refused = |fault| Err(ReportError { fault, line: None });
    let table = [
        ("empty", Vec::new(), refused(ReportFault::NoHeadings)),
        (
            "no headings",
            b"ann@b.example,39.00,USD,pay_1,x,PAYPAL\n".to_vec(),
            refused(ReportFault::NoHeadings),
        ),
        ("another language", b"Datum,Status,Brutto\n".to_vec(), refused(ReportFault::NoHeadings)),
        ("no status", b"Customer ID,Recipient,Amount\n".to_vec(), refused(ReportFault::NoHeadings)),
        ("headings late", late(199).into_bytes(), Ok(0)),
        ("headings too late", late(200).into_bytes(), refused(ReportFault::NoHeadings)),
        ("UTF-16", b"\xff\xfeS\0t\0".to_vec(), refused(ReportFault::NotText)),
        ("as many rows as may be", many(ROWS_MAX).into_bytes(), Ok(ROWS_MAX)),
        ("too many rows", many(ROWS_MAX + 1).into_bytes(), refused(ReportFault::TooManyRows)),
        ("a long cell", long(CELL_BYTES_MAX - 1).into_bytes(), Ok(1)),
        (
            "an open quote",
            long(CELL_BYTES_MAX).into_bytes(),
            Err(ReportError { fault: ReportFault::CellTooLong, line: Some(3) }),
        ),
        ("large", vec![b'\n'; BYTES_MAX + 1], refused(ReportFault::TooLarge)),
        ("headings only", headings.as_bytes().to_vec(), Ok(0)),
    ];
    for (name, bytes, expected) in table {
        assert_eq!(read(&bytes).map(|rows| rows.len()), expected, "{name}");
    }
    assert_eq!((BYTES_MAX, ROWS_MAX, CELL_BYTES_MAX), (8 << 20, 20_000, 4_096), "the sentences say these");
    let error = ReportError { fault: ReportFault::CellTooLong, line: Some(3) }.to_string();
    assert!(
        error.starts_with("Line 3: A cell is longer than 4,096 bytes") && !error.contains('\n'),
        "{error}"
    );
}

const ITEMS: [Known<'static>; 5] = [
    Known { item_id: "pay_1", receiver: "ann@b.example", amount: Money::ZERO, currency: "USD" },
    Known { item_id: "pay_2", receiver: "bob@b.example", amount: Money::ZERO, currency: "USD" },
    Known { item_id: "pay_3", receiver: "eve@b.example", amount: Money::ZERO, currency: "USD" },
    Known { item_id: "pay_4", receiver: "Eve@b.example", amount: Money::ZERO, currency: "USD" },
    Known { item_id: "pay_5", receiver: "eve@b.example", amount: Money::ZERO, currency: "USD" },
];

fn items() -> [Known<'static>; 5] {
    let amounts = ["1234.50", "39.00", "99.00", "99.00", "49.00"];
    std::array::from_fn(|place| Known { amount: money(amounts[place]), ..ITEMS[place] })
}

#[test]
fn a_row_is_about_an_item_only_if_that_is_certain() {
    use Outcome::{Item, Person, Repeated};
    use Reason::{
        Ambiguous, AmountDiffers, CurrencyDiffers, NoAmount, NotOurs, ReceiverDiffers, TwoRows, UnknownStatus,
    };
    use Reported::{Failed, Paid, Pending, Refunded, Unclaimed};
    let ann = |result| row(0, "pay_1", "ann@b.example", "1234.50", result);
    let bob = |id, amount, result| row(0, id, "bob@b.example", amount, result);
    let eve = |id, amount| row(0, id, "eve@b.example", amount, Paid);
    let with_transaction = |id: &str, row| ReportRow { transaction_id: Some(id.to_owned()), ..row };
    let table = [
        ("by id", vec![ann(Paid), bob("pay_2", "39.00", Failed)], vec![Item(0), Item(1)]),
        (
            "by id, in other letters",
            vec![ReportRow {
                receiver: Some("ANN@b.example".into()),
                currency: Some("usd".into()),
                ..ann(Paid)
            }],
            vec![Item(0)],
        ),
        (
            "by id, without receiver and currency",
            vec![ReportRow { receiver: None, currency: None, ..ann(Paid) }],
            vec![Item(0)],
        ),
        ("by receiver, amount, currency", vec![bob("", "39.00", Unclaimed)], vec![Item(1)]),
        (
            "the same, in other letters",
            vec![ReportRow {
                receiver: Some("BOB@b.example".into()),
                currency: Some("usd".into()),
                ..bob("", "39.00", Paid)
            }],
            vec![Item(1)],
        ),
        ("the id of another batch", vec![bob("pay_9", "39.00", Paid)], vec![Person(NotOurs)]),
        ("the id in other letters", vec![bob("PAY_2", "39.00", Paid)], vec![Person(NotOurs)]),
        ("without id, another amount", vec![bob("", "39.01", Paid)], vec![Person(NotOurs)]),
        (
            "without id, another currency",
            vec![ReportRow { currency: Some("EUR".into()), ..bob("", "39.00", Paid) }],
            vec![Person(NotOurs)],
        ),
        (
            "without id and currency",
            vec![ReportRow { currency: None, ..bob("", "39.00", Paid) }],
            vec![Person(NotOurs)],
        ),
        (
            "without id and receiver",
            vec![ReportRow { receiver: None, ..bob("", "39.00", Paid) }],
            vec![Person(NotOurs)],
        ),
        (
            "without id and amount",
            vec![ReportRow { amount: None, ..bob("", "39.00", Paid) }],
            vec![Person(NoAmount)],
        ),
        ("nothing at all", vec![empty()], vec![Person(NotOurs)]),
        ("two items alike", vec![eve("", "99.00")], vec![Person(Ambiguous)]),
        (
            "one of two alike, by id",
            vec![eve("pay_4", "99.00"), eve("pay_3", "99.00")],
            vec![Item(3), Item(2)],
        ),
        ("one receiver, another amount", vec![eve("", "49.00")], vec![Item(4)]),
        ("no amount", vec![ReportRow { amount: None, ..ann(Paid) }], vec![Person(NoAmount)]),
        ("the amount differs", vec![bob("pay_2", "39.01", Paid)], vec![Person(AmountDiffers)]),
        ("money back, by id", vec![bob("pay_2", "-39.00", Paid)], vec![Person(AmountDiffers)]),
        ("money back, without id", vec![bob("", "-39.00", Paid)], vec![Person(AmountDiffers)]),
        (
            "the currency differs",
            vec![ReportRow { currency: Some("EUR".into()), ..ann(Paid) }],
            vec![Person(CurrencyDiffers)],
        ),
        (
            "the receiver differs",
            vec![ReportRow { receiver: Some("x@b.example".into()), ..ann(Paid) }],
            vec![Person(ReceiverDiffers)],
        ),
        ("an unknown word", vec![ann(Reported::of("Processed"))], vec![Person(UnknownStatus)]),
        (
            "an unknown word, without id",
            vec![bob("", "39.00", Reported::of("?"))],
            vec![Person(UnknownStatus)],
        ),
        (
            "twice the same",
            vec![ann(Paid), bob("pay_2", "39.00", Paid), ann(Paid), ann(Paid)],
            vec![Item(0), Item(1), Repeated, Repeated],
        ),
        (
            "twice the same, without id",
            vec![bob("", "39.00", Paid), bob("", "39.00", Paid)],
            vec![Item(1), Repeated],
        ),
        (
            "two results",
            vec![ann(Pending), bob("pay_2", "39.00", Paid), ann(Paid)],
            vec![Person(TwoRows), Item(1), Person(TwoRows)],
        ),
        ("two results and a repetition", vec![ann(Paid), ann(Paid), ann(Refunded)], vec![Person(TwoRows); 3]),
        (
            "two results, without id",
            vec![bob("", "39.00", Failed), bob("", "39.00", Paid)],
            vec![Person(TwoRows); 2],
        ),
        (
            "paid twice",
            vec![with_transaction("A", ann(Paid)), with_transaction("B", ann(Paid))],
            vec![Person(TwoRows); 2],
        ),
        (
            "paid and came back",
            vec![ann(Paid), row(0, "pay_1", "ann@b.example", "-1234.50", Paid)],
            vec![Person(TwoRows), Person(AmountDiffers)],
        ),
        (
            "paid and came back, without id",
            vec![bob("", "39.00", Paid), bob("", "-39.00", Paid)],
            vec![Person(TwoRows), Person(AmountDiffers)],
        ),
        (
            "an unknown word beside a known one",
            vec![ann(Paid), ann(Reported::of("?"))],
            vec![Person(TwoRows), Person(UnknownStatus)],
        ),
        (
            "by id, and again without",
            vec![bob("", "39.00", Paid), bob("pay_2", "39.00", Paid)],
            vec![Person(Ambiguous), Item(1)],
        ),
        (
            "by id, and something else without",
            vec![bob("pay_2", "39.00", Paid), bob("", "39.00", Failed)],
            vec![Person(TwoRows), Person(Ambiguous)],
        ),
        (
            "by id, and two things without",
            vec![bob("pay_2", "39.00", Paid), bob("", "39.00", Paid), bob("", "39.00", Failed)],
            vec![Person(TwoRows), Person(Ambiguous), Person(Ambiguous)],
        ),
        (
            "by id, and back without",
            vec![bob("pay_2", "39.00", Paid), bob("", "-39.00", Paid)],
            vec![Person(TwoRows), Person(AmountDiffers)],
        ),
        ("no rows", vec![], vec![]),
    ];
    for (name, mut rows, outcomes) in table {
        for (row, line) in rows.iter_mut().zip(2..) {
            row.line = line;
        }
        let expected: Vec<_> =
            outcomes.into_iter().zip(2..).map(|(outcome, line)| Matched { line, outcome }).collect();
        assert_eq!(match_rows(&rows, &items()), expected, "{name}");
    }
}

#[test]
fn the_reports_of_paypal_match_the_items_of_their_batch() {
    let outcomes =
        |text| -> Vec<_> { match_rows(&rows(text), &items()).iter().map(|one| one.outcome).collect() };
    let eve = Outcome::Person(Reason::Ambiguous);
    assert_eq!(outcomes(LOG), [Outcome::Item(0), Outcome::Item(1), eve]);
    assert_eq!(outcomes(LARGE), [Outcome::Item(0), Outcome::Item(1)]);
    assert_eq!(outcomes(ACTIVITY), [Outcome::Item(0), Outcome::Person(Reason::NotOurs)]);
}

/// Whatever a file says, each row has one outcome, and each item is named at most once.
fn check_any(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(rows) = read(bytes) else { return Ok(()) };
    let matched = match_rows(&rows, &items());
    prop_assert_eq!(matched.len(), rows.len());
    for item in 0..ITEMS.len() {
        prop_assert!(matched.iter().filter(|one| one.outcome == Outcome::Item(item)).count() <= 1);
    }
    prop_assert!(rows.windows(2).all(|pair| pair[0].line < pair[1].line));
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64 + 1;
    prop_assert!(rows.iter().all(|row| (2..=lines).contains(&row.line)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check_any(&bytes)?;
    }

    #[test]
    fn no_rows_below_good_headings_make_it_panic(cells in "[-,;\t\n\r\"'.0-9a-e@ ()\u{a0}€]{0,300}") {
        check_any(format!("Customer ID,Recipient,Amount,Currency,Status\n{cells}").as_bytes())?;
    }

    #[test]
    fn no_damage_to_a_good_report_makes_it_panic(
        which in 0..3_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<Option<u8>>()), 1..8),
    ) {
        let mut bytes = [LOG, LARGE, ACTIVITY][which].as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            match byte {
                Some(byte) => bytes[place] = byte,
                None => drop(bytes.remove(place)),
            }
        }
        check_any(&bytes)?;
    }
}

#[test]
fn the_day_of_a_payment_is_read_or_today() {
    let day = |text: &str| text.parse::<NaiveDate>().expect(text);
    for (at, expected) in [
        (Some("2026-10-30T12:00:00Z"), "2026-10-30"),
        (Some("10/30/2026 05:00:00 PDT"), "2026-10-30"),
        (Some("2026-11-01"), "2026-10-31"),
        (Some("2020-01-01"), "2026-10-31"),
        (Some("yesterday"), "2026-10-31"),
        (None, "2026-10-31"),
    ] {
        assert_eq!(day_of(at, day("2026-10-31")), day(expected), "{at:?}");
    }
}
