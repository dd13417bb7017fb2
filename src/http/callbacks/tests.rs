use super::*;
use crate::domain::account::{Origin, Standing};
use crate::domain::attribution::Attribution;
use crate::domain::id::NodeId;
use crate::domain::money::Money;
use crate::domain::naive::credited;
use crate::domain::outcome::HoldReason;
use crate::domain::program::{ActiveDays, Tier};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

fn now() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().expect("a literal")
}

fn pepper() -> Pepper {
    Pepper::new(&[7; 32]).expect("long enough")
}

fn read(body: &[u8]) -> Result<Signup, Problem> {
    let (pepper, event_types) = (pepper(), EventTypes::default());
    let reading = Reading { now: now(), pepper: &pepper, event_types: &event_types, rules: &rules() };
    read_signup(Fields::read_report(body)?, None, &reading)
}

/// Rules that know three plans.
fn rules() -> Rules {
    let rate = |name: &str| (name.parse().expect("a plan"), Money::from_cents(9_900));
    let tier = Tier { from: 0, rates: ["performance", "growth", "connect"].map(rate).into() };
    Rules {
        timezone: "UTC".into(),
        currency: "USD".into(),
        mark_days: 90,
        active_days: ActiveDays::Cumulative,
        tiers: vec![tier],
        first_month: None,
    }
}

fn signup_with(name: &str, value: &Value) -> Result<Signup, Problem> {
    let mut body =
        json!({"account_id": "acct_81", "plan": "growth", "signed_up_at": "2026-01-01T10:00:00-05:00"});
    body[name] = value.clone();
    read(body.to_string().as_bytes())
}

fn event_with(name: &str, value: &Value) -> Result<AccountEvent, Problem> {
    warned_event_with(name, value).map(|(event, _)| event)
}

fn warned_event_with(name: &str, value: &Value) -> Result<(AccountEvent, Vec<String>), Problem> {
    let mut body = json!({"event_id": "evt_9", "type": "plan_changed", "plan": "connect",
        "occurred_at": "2026-04-01T18:00:00-04:00"});
    body[name] = value.clone();
    let ignored = ["upgraded".to_owned(), "é*".to_owned()];
    let (pepper, event_types) = (pepper(), EventTypes::new(&BTreeMap::new(), &ignored));
    let reading = Reading { now: now(), pepper: &pepper, event_types: &event_types, rules: &rules() };
    read_event(Fields::read_report(body.to_string().as_bytes())?, &reading)
}

/// Values that no text, time or flag can be.
fn wrong_values() -> Vec<Value> {
    vec![
        json!(0),
        json!(-1),
        json!(1.5),
        json!(18_446_744_073_709_551_615_u64),
        json!([]),
        json!(["growth"]),
        json!({}),
        json!({"a": {"b": []}}),
        json!(""),
        json!(" "),
        json!("\0"),
        json!("a\nb"),
    ]
}

#[test]
fn a_signup_is_read() {
    let body = br#"{"account_id": "acct_81", "plan": " Growth ", "signed_up_at": "2026-01-01T10:00:00-05:00",
        "click": "c", "cookie": "k", "code": " Jane-10 ", "active": false, "email": " X+news@Y.com ",
        "ip": "::ffff:203.0.113.9", "something": {"else": [1]}}"#;
    let signup = read(body).expect("a good signup");
    assert_eq!(signup.account_id.as_str(), "acct_81");
    assert_eq!(signup.plan.as_str(), "growth");
    assert_eq!(signup.signed_up_at.to_rfc3339(), "2026-01-01T15:00:00+00:00");
    assert!(!signup.active);
    let expected = Evidence {
        click: Some("c".into()),
        cookie: Some("k".into()),
        code: Some("jane-10".into()),
        email_hash: Some(pepper().mailbox("x@y.com")),
        email_domain: Some("y.com".into()),
        ip_hash: Some(pepper().ip("203.0.113.9".parse().expect("an address"))),
    };
    assert_eq!(signup.evidence, expected);
}

#[test]
fn a_signup_may_come_without_evidence_and_is_active() {
    let signup = signup_with("click", &Value::Null).expect("a good signup");
    assert_eq!(signup.evidence, Evidence::default());
    assert!(signup.active);
    assert!(signup_with("active", &Value::Null).expect("a good signup").active);
}

#[test]
fn no_evidence_refuses_a_signup() {
    let long = "é".repeat(1_000);
    let mut values = wrong_values();
    values.extend([
        json!(true),
        json!(long),
        json!("=cmd()"),
        json!("<script>"),
        json!("@"),
        json!("a@"),
        json!("1.2.3"),
    ]);
    for name in ["click", "cookie", "code", "email", "ip"] {
        for value in &values {
            let signup = signup_with(name, value).unwrap_or_else(|problem| {
                panic!("{name}: {value}: {}", problem.code());
            });
            let kept = signup.evidence;
            assert!(kept.click.is_none_or(|text| text.len() <= MAX_TOKEN_BYTES));
            assert!(kept.cookie.is_none_or(|text| text.len() <= MAX_TOKEN_BYTES));
            assert!(kept.code.is_none_or(|text| text.len() <= MAX_WORD_BYTES));
            assert!(kept.email_domain.is_none_or(|text| text.len() <= 253));
            assert_eq!(kept.ip_hash, None, "{name}: {value}");
        }
    }
}

#[test]
fn evidence_that_is_too_long_is_cut_and_so_proves_nothing() {
    let signup = signup_with("click", &json!("x".repeat(513))).expect("a good signup");
    assert_eq!(signup.evidence.click.map(|text| text.len()), Some(512));
    let signup = signup_with("code", &json!("é".repeat(40))).expect("a good signup");
    assert_eq!(signup.evidence.code, Some("é".repeat(32)));
    // What stands around a code and can't be seen is not what is cut.
    let signup = signup_with("code", &json!(format!("{}\"Jane-10.\"", "\u{200b} ".repeat(100))));
    assert_eq!(signup.expect("a good signup").evidence.code.as_deref(), Some("jane-10"));
    assert_eq!(signup_with("code", &json!("\u{200b}...")).expect("a good signup").evidence.code, None);
}

#[test]
fn bytes_that_are_not_one_json_document_are_unparsable() {
    let mut bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "\n",
        "\0",
        "nul",
        "tru",
        "{",
        "}",
        "{]",
        "[}",
        "\"",
        "{\"",
        "{\"a",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{\"a\"=1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":'b'}",
        "{1:1}",
        "{null:1}",
        "{\"a\":1}}",
        "{}{}",
        "{} x",
        "{}\0",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":0x10}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-Infinity}",
        "{\"a\":undefined}",
        "{\"a\":True}",
        "{\"a\":NULL}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\0\"}",
        "{\"a\":\"b}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1 2]}",
        "{\"a\":[1}",
        "{\"a\":{\"b\":}}",
        "{/**/}",
        "{} // x",
        "# {}",
        "account_id=acct_81&plan=growth",
        "<xml/>",
        "--boundary\r\n",
        "{\"a\":1;\"b\":2}",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    bodies.extend([b"{\"a\":[".repeat(500), b"\xff".to_vec(), b"\x1f\x8b\x08".to_vec()]);
    assert!(bodies.len() >= 55);
    for body in &bodies {
        assert_eq!(read(body), Err(Problem::InvalidJson), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_document_that_is_no_object_is_refused() {
    let documents =
        ["null", "true", "0", "-1.5e3", "1e9", "1e999", "\"\"", "\"{}\"", "[]", "[{}]", " [1, 2] "];
    for body in documents {
        assert_eq!(read(body.as_bytes()), Err(Problem::NotAnObject), "{body}");
    }
    for body in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}"] {
        assert_eq!(read(body), Err(Problem::NotUtf8));
    }
}

/// What senders send as a field's value and no text, flag or time can be read from: JSON all the same.
fn hostile_values() -> Vec<Vec<u8>> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(1_000), close.repeat(1_000));
    let mut values: Vec<Vec<u8>> = [
        r#""\ud83d""#,
        r#""a\uDC00b""#,
        r#""\uD800\u0041""#,
        r#""\udE00\uD83d""#,
        r#""a\u0000b""#,
        "1e999",
        "-1e999",
        "123456789012345678901234567890",
        "[]",
        r#"["\ud83d"]"#,
        r#"{"a": 1, "a": 2, "\ud83d": "\ud83d"}"#,
        &deep("[", "]"),
        &deep("{\"b\":", "}").replace(":}", ":1}"),
        &"9".repeat(400),
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    values.extend(
        [
            &b"\"\xff\""[..],
            b"\"a\xc3\"",
            b"\"\xc0\xaf\"",
            b"\"\xed\xa0\x80\"",
            b"\"\xf5\x80\x80\x80\"",
            b"\"Zo\xeb\"",
        ]
        .map(<[u8]>::to_vec),
    );
    values
}

/// A good signup with one more field, written as it comes.
fn signup_body(name: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = br#"{"account_id": "acct_81", "plan": "growth", "signed_up_at": "2026-01-01T15:00:00Z", "#;
    [&rest[..], name, b":", value, b"}"].concat()
}

#[test]
fn no_value_that_json_can_say_refuses_a_signup_in_a_field_that_need_not_be_right() {
    let names = ["click", "cookie", "code", "email", "ip", "note", "\\ud83d", "a\\u0000", ""];
    let mut names: Vec<Vec<u8>> = names.map(|name| format!("\"{name}\"").into_bytes()).to_vec();
    names.push(b"\"Zo\xeb\"".to_vec());
    for name in &names {
        for value in hostile_values() {
            let body = signup_body(name, &value);
            let what = String::from_utf8_lossy(&body).into_owned();
            let signup = read(&body).unwrap_or_else(|problem| panic!("{}: {what}", problem.code()));
            assert_eq!((signup.account_id.as_str(), signup.plan.as_str()), ("acct_81", "growth"), "{what}");
        }
    }
}

#[test]
fn no_value_with_a_lost_letter_is_taken_where_it_must_be_right() {
    let required = [
        ("account_id", Problem::InvalidAccountId),
        ("plan", Problem::InvalidPlan),
        ("signed_up_at", Problem::InvalidSignedUpAt),
        ("active", Problem::InvalidActive),
    ];
    for (name, problem) in required {
        for value in hostile_values() {
            let others =
                [("account_id", "acct_81"), ("plan", "growth"), ("signed_up_at", "2026-01-01T15:00:00Z")];
            let others = others.iter().filter(|(other, _)| *other != name);
            let others: Vec<String> =
                others.map(|(name, value)| format!("\"{name}\":\"{value}\",")).collect();
            let body = [format!("{{{}\"{name}\":", others.concat()).as_bytes(), &value, b"}"].concat();
            assert_eq!(read(&body), Err(problem), "{}", String::from_utf8_lossy(&body));
        }
    }
}

#[test]
fn evidence_is_kept_as_far_as_it_can_be_read() {
    let evidence = |name: &str, value: &[u8]| {
        read(&signup_body(format!("\"{name}\"").as_bytes(), value)).expect("a good signup").evidence
    };
    let half = evidence("email", br#""zo\ud83d@x.com""#);
    assert_eq!(half.email_domain.as_deref(), Some("x.com"));
    assert_eq!(evidence("email", b"\"zo\xeb@x.com\"").email_domain.as_deref(), Some("x.com"));
    assert_eq!(evidence("code", b"12345").code.as_deref(), Some("12345"));
    assert_eq!(evidence("code", b"1e999").code, None);
    assert_eq!(evidence("click", b"12345").click, None);
}

#[test]
fn of_a_name_that_comes_twice_the_last_counts_unless_it_must_be_right() {
    let body = signup_body(b"\"code\": \"jane\", \"note\": 1, \"note\": 2, \"code\"", b"\"zoe\"");
    assert_eq!(read(&body).expect("a good signup").evidence.code.as_deref(), Some("zoe"));
    for (name, same, other) in [
        ("account_id", "\"acct_81\"", "\"acct_82\""),
        ("plan", "\"growth\"", "\"connect\""),
        ("signed_up_at", "\"2026-01-01T15:00:00Z\"", "\"2026-01-02T15:00:00Z\""),
        ("active\": true, \"active", "true", "false"),
    ] {
        let name = format!("\"{name}\"");
        assert!(read(&signup_body(name.as_bytes(), same.as_bytes())).is_ok(), "{name} twice the same");
        let twice = read(&signup_body(name.as_bytes(), other.as_bytes()));
        assert_eq!(twice, Err(Problem::DuplicateKey), "{name}");
    }
}

#[test]
fn a_byte_order_mark_and_blanks_around_a_report_say_nothing() {
    let body = signup_body(b"\"note\"", b"1");
    let mark = "\u{feff}".as_bytes();
    for (before, after) in [(mark, &b""[..]), (b"", b"\n"), (b"\r\n ", b"\r\n\t "), (mark, b"\r\n")] {
        assert_eq!(read(&[before, &body, after].concat()), read(&body));
    }
}

#[test]
fn each_field_has_its_problem() {
    let text = |text: &str| json!(text);
    let mut table: Vec<(&str, Value, Problem)> = Vec::new();
    let mut add = |name: &'static str, problem, values: Vec<Value>| {
        table.extend(values.into_iter().map(|value| (name, value, problem)));
    };
    add("account_id", Problem::InvalidAccountId, wrong_values());
    add(
        "account_id",
        Problem::InvalidAccountId,
        vec![
            Value::Null,
            json!(true),
            text("a b"),
            text("a/b"),
            text("../a"),
            text("é"),
            text("a\u{200b}"),
            text("a%20b"),
            text("a;b"),
            text("a'b"),
            text("<a>"),
            text("=1+1"),
            text(&"a".repeat(129)),
            text("acct_81 "),
            text("acct\u{0}81"),
        ],
    );
    add("plan", Problem::InvalidPlan, wrong_values());
    add(
        "plan",
        Problem::InvalidPlan,
        vec![
            Value::Null,
            json!(false),
            text(&"p".repeat(65)),
            text(&"é".repeat(33)),
            text("a\tb"),
            text("a\u{7f}b"),
            text("x\u{85}x"),
        ],
    );
    add("signed_up_at", Problem::InvalidSignedUpAt, wrong_values());
    add(
        "signed_up_at",
        Problem::InvalidSignedUpAt,
        vec![
            Value::Null,
            json!(true),
            json!(1_767_225_600),
            text("2014-12-31T23:59:59Z"),
            text("2026-06-01T12:05:01Z"),
            text("2026-01-01"),
            text("2026-01-01T10:00:00"),
            text("2026-02-29T10:00:00Z"),
            text("9999-12-31T23:59:59Z"),
            text("99999-01-01T00:00:00Z"),
            text("-0001-01-01T00:00:00Z"),
            text("2026-01-01T10:00:00+99:99"),
            text("yesterday"),
            text("0000-00-00T00:00:00Z"),
            text("2026-01-01T25:00:00Z"),
            text("2026-01-01T10:00:00Z\n"),
        ],
    );
    add(
        "active",
        Problem::InvalidActive,
        vec![
            json!(0),
            json!(1),
            json!("true"),
            json!("false"),
            json!(""),
            json!("yes"),
            json!([]),
            json!({}),
            json!([true]),
        ],
    );
    assert!(table.len() >= 80);
    for (name, value, problem) in &table {
        assert_eq!(signup_with(name, value), Err(*problem), "{name}: {value}");
    }
}

#[test]
fn each_field_of_an_event_has_its_problem() {
    let text = |text: &str| json!(text);
    let mut table: Vec<(&str, Value, Problem)> = Vec::new();
    let mut add = |name: &'static str, problem, values: Vec<Value>| {
        table.extend(values.into_iter().map(|value| (name, value, problem)));
    };
    add("event_id", Problem::InvalidEventId, wrong_values());
    add(
        "event_id",
        Problem::InvalidEventId,
        vec![Value::Null, text("a b"), text("é"), text(&"e".repeat(129))],
    );
    add("occurred_at", Problem::InvalidOccurredAt, wrong_values());
    add(
        "occurred_at",
        Problem::InvalidOccurredAt,
        vec![
            Value::Null,
            text("2014-12-31T23:59:59Z"),
            text("2026-06-01T12:05:01Z"),
            text("2026-04-31T00:00:00Z"),
        ],
    );
    add("plan", Problem::InvalidPlan, wrong_values());
    add("plan", Problem::InvalidPlan, vec![Value::Null, text(&"p".repeat(65))]);
    add(
        "type",
        Problem::InvalidType,
        vec![
            Value::Null,
            json!(0),
            json!(1.5),
            json!(true),
            json!([]),
            json!({}),
            json!(["activated"]),
            text(""),
            text("downgraded"),
            text("=1+1"),
            text("\0"),
            text("cancel"),
        ],
    );
    assert!(table.len() >= 50);
    for (name, value, problem) in &table {
        assert_eq!(event_with(name, value), Err(*problem), "{name}: {value}");
    }
}

#[test]
fn a_sender_is_warned_of_a_plan_that_earns_nothing_and_of_fields_that_nobody_knows() {
    let long = "x".repeat(65);
    let table: [(&str, Value, &[&str]); 9] = [
        ("plan", json!(" Growth "), &[]),
        ("plan", json!("gold"), &["plan_without_rate"]),
        ("clik", json!("token"), &["unknown_field:clik"]),
        ("Click", json!(null), &["unknown_field:Click"]),
        ("email", json!(1), &[]),
        ("kind", json!("signup"), &["unknown_field:kind"]),
        // No name is shown that may be more than a name.
        ("jane@example.com", json!(1), &[]),
        ("", json!(1), &[]),
        (&long, json!(1), &[]),
    ];
    for (name, value, warnings) in table {
        assert_eq!(signup_with(name, &value).expect(name).warnings, warnings, "{name}");
    }
    let many: serde_json::Map<String, Value> =
        (0..20).map(|number| (format!("field_{number:02}"), json!(number))).collect();
    let mut body = json!({"account_id": "a", "plan": "gold", "signed_up_at": "2026-01-01T10:00:00-05:00"});
    body.as_object_mut().expect("an object").extend(many);
    let warnings = read(body.to_string().as_bytes()).expect("a good signup").warnings;
    assert_eq!((warnings.len(), warnings[1].as_str()), (9, "unknown_field:field_00"));

    let table: [(&str, Value, &[&str]); 5] = [
        ("plan", json!("connect"), &[]),
        ("plan", json!("gold"), &["plan_without_rate"]),
        ("occured_at", json!("2026-04-01T18:00:00-04:00"), &["unknown_field:occured_at"]),
        ("type", json!("canceled"), &[]),
        ("type", json!("upgraded"), &[]),
    ];
    for (name, value, warnings) in table {
        assert_eq!(warned_event_with(name, &value).expect(name).1, warnings, "{name}");
    }
}

#[test]
fn an_event_to_be_ignored_is_kept_by_a_bounded_name_and_spellings_of_the_four_have_an_effect() {
    let change = |name: &str| event_with("type", &json!(name)).expect(name).change;
    assert_eq!(change("upgraded"), Change::Unknown { name: "upgraded".into() });
    assert_eq!(change(&"é".repeat(100)), Change::Unknown { name: "é".repeat(32) });
    for (name, known) in [
        ("canceled", Change::Canceled),
        ("cancelled", Change::Canceled),
        ("paused", Change::Suspended),
        ("Resumed ", Change::Activated),
        ("reactivated", Change::Activated),
    ] {
        assert_eq!(change(name), known, "{name}: a plan beside it has no meaning");
    }
}

fn decided() -> Account {
    let signup = signup_with("active", &json!(true)).expect("a good signup");
    let mut account = Account::new(signup.account_id.clone());
    let attribution = Attribution { via: Some(Via::Code), ..credited(Some(7), &[HoldReason::SameDomain]) };
    account.decide(&signup, Origin { at: now(), node: NodeId::from_bits(1), position: 1 }, &attribution);
    account
}

fn submitted(outcome: FactOutcome, account: Option<Account>) -> Submitted {
    Submitted { outcome, account: account.map(Arc::new), refusal: None }
}

async fn shown(answer: Result<Response, Problem>) -> (u16, bool, String) {
    use axum::response::IntoResponse;
    let response = answer.into_response();
    let replayed = response.headers().contains_key(crate::http::answer::REPLAYED);
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body in memory");
    (status, replayed, String::from_utf8(bytes.to_vec()).expect("text"))
}

#[tokio::test]
async fn the_same_signup_gets_the_first_answer_for_ever() {
    let mut account = decided();
    let id = account.id.clone();
    let first =
        shown(signup_answer(&id, Vec::new(), &submitted(FactOutcome::New, Some(account.clone())))).await;
    let body = r#"{"account_id":"acct_81","attributed":true,"affiliate_id":"aff_0000000000007","link_id":null,"click_id":null,"clicked_at":null,"via":"code","model":"last_click","reason":"attributed","held":true}"#;
    assert_eq!(first, (201, false, body.to_owned()));
    // Staff release it, and credit another; the answer stays.
    account.standing = Standing::default();
    account.credited_to = Some(AffiliateId::from_bits(8));
    let again = shown(signup_answer(&id, Vec::new(), &submitted(FactOutcome::Replayed, Some(account)))).await;
    assert_eq!(again, (200, true, body.to_owned()));
}

#[tokio::test]
async fn a_signup_ends_as_its_outcome_says() {
    let id: AccountId = "acct_81".parse().expect("a literal");
    let accepted = r#"{"account_id":"acct_81","accepted":true}"#.to_owned();
    let answer = |outcome| shown(signup_answer(&id, Vec::new(), &submitted(outcome, None)));
    assert_eq!(answer(FactOutcome::Deferred).await, (202, false, accepted.clone()));
    assert_eq!(answer(FactOutcome::New).await, (202, false, accepted), "no decision yet");
    assert_eq!(answer(FactOutcome::Conflict).await.0, 409);
}

#[tokio::test]
async fn an_event_ends_as_its_outcome_says() {
    let id: AccountId = "acct_81".parse().expect("a literal");
    let answer = |unknown, outcome, account| {
        shown(event_answer(&id, unknown, Vec::new(), &submitted(outcome, account)))
    };
    let (referred, waiting) = (r#"{"referred":true}"#.to_owned(), r#"{"referred":null}"#.to_owned());
    let ignored = r#"{"ignored":true}"#.to_owned();
    assert_eq!(answer(false, FactOutcome::New, Some(decided())).await, (201, false, referred.clone()));
    assert_eq!(answer(false, FactOutcome::New, Some(Account::new(id.clone()))).await, (201, false, waiting));
    assert_eq!(answer(false, FactOutcome::Replayed, Some(decided())).await, (200, true, referred));
    assert_eq!(answer(true, FactOutcome::Ignored, Some(decided())).await, (200, false, ignored.clone()));
    assert_eq!(answer(true, FactOutcome::Replayed, Some(decided())).await, (200, true, ignored));
    assert_eq!(answer(false, FactOutcome::Conflict, Some(decided())).await.0, 409);
    assert_eq!(answer(true, FactOutcome::Deferred, None).await.0, 202);
}

#[test]
fn a_delivery_is_known_by_its_id_and_its_bytes() {
    assert_eq!(short_hash(b""), "e3b0c44298fc1c14");
    assert_ne!(short_hash(b"a"), short_hash(b"b"));
}
