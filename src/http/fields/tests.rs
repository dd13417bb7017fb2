use super::*;
use serde_json::json;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a literal")
}

#[test]
fn a_key_stands_once_however_it_is_written() {
    assert!(Fields::read(br#"{"a":1,"b":1}"#).is_ok());
    for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"a":null}"#, r#"{"a":1,"\u0061":1}"#] {
        assert_eq!(Fields::read(text.as_bytes()).err(), Some(Problem::DuplicateKey), "{text}");
    }
}

#[test]
fn null_is_absent_but_for_a_patch() {
    let mut fields = Fields::read(br#"{"a":null,"b":null,"c":true}"#).expect("an object");
    assert_eq!(fields.optional("a", Problem::InvalidActive, Value::as_bool), Ok(None));
    assert_eq!(fields.patch("b", Problem::InvalidActive, Value::as_bool), Ok(Some(None)));
    assert_eq!(fields.patch("c", Problem::InvalidActive, Value::as_bool), Ok(Some(Some(true))));
    assert_eq!(fields.patch("d", Problem::InvalidActive, Value::as_bool), Ok(None));
    assert_eq!(fields.required("d", Problem::InvalidActive, Value::as_bool), Err(Problem::InvalidActive));
    assert_eq!(fields.done(), Ok(()));
}

#[test]
fn a_field_that_nobody_took_is_refused() {
    let fields = Fields::read(br#"{"agrement_accepted_at":"2026-01-01T00:00:00Z"}"#).expect("an object");
    assert_eq!(fields.done(), Err(Problem::UnknownField));
}

#[test]
fn instants_are_exact_whatever_their_offset() {
    let same = [
        "2026-01-01T10:00:00-05:00",
        "2026-01-01T15:00:00Z",
        "2026-01-01T15:00:00.000Z",
        "2026-01-01t15:00:00z",
        "2026-01-01T20:45:00+05:45",
        "2026-01-01T14:59:60Z",
    ];
    for text in same {
        assert_eq!(parse_instant(text), Some(at("2026-01-01T15:00:00Z")), "{text}");
    }
    assert_eq!(
        parse_instant("2026-01-01T15:00:00.123456789Z").map(|at| at.timestamp_subsec_nanos()),
        Some(123_456_789)
    );
}

#[test]
fn what_is_not_an_instant_is_none() {
    let bad = [
        "",
        "now",
        "2026-01-01",
        "2026-01-01T10:00:00",
        "2026-01-01 10:00",
        "2026-02-30T10:00:00Z",
        "2026-13-01T10:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T10:60:00Z",
        "2026-01-01T10:00:61Z",
        "2026-01-01T10:00:00+24:00",
        "2026-01-01T10:00:00 Z",
        " 2026-01-01T10:00:00Z",
        "2026-01-01T10:00:00Z ",
        "26-01-01T10:00:00Z",
        "12026-01-01T10:00:00Z",
        "+2026-01-01T10:00:00Z",
        "-2026-01-01T10:00:00Z",
        "1999-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "1767225600",
        "2026-01-01T10:00:00Zjunk",
        "２０２６-01-01T10:00:00Z",
    ];
    for text in bad {
        assert_eq!(parse_instant(text), None, "{text}");
    }
}

#[test]
fn a_senders_clock_may_run_five_minutes_ahead() {
    let read = recent_instant(at("2026-01-01T12:00:00Z"));
    let table = [
        ("2014-12-31T23:59:59Z", false),
        ("2015-01-01T00:00:00Z", true),
        ("2026-01-01T12:00:00Z", true),
        ("2026-01-01T12:05:00Z", true),
        ("2026-01-01T12:05:00.001Z", false),
        ("9999-12-31T23:59:59Z", false),
    ];
    for (text, good) in table {
        assert_eq!(read(&json!(text)).is_some(), good, "{text}");
    }
    assert_eq!(read(&json!(1_767_225_600)), None);
}

#[test]
fn a_line_is_one_line() {
    let read = line(5);
    assert_eq!(read(&json!("  Zoë ")), Some("Zoë".to_owned()));
    for text in ["", "   ", "123456", "a\nb", "a\rb", "a\tb", "a\0b", "a\u{2028}b", "a\u{85}b", "a\u{1b}b"] {
        assert_eq!(read(&json!(text)), None, "{text:?}");
    }
    assert_eq!(paragraph(5)(&json!("a\nb")), Some("a\nb".to_owned()));
    assert_eq!(paragraph(5)(&json!("a\0b")), None);
}

#[test]
fn a_query_names_a_parameter_once_and_only_known_ones() {
    let read = |query: &str| Params::read(Some(query));
    assert_eq!(read("a=1&a=2").err(), Some(Problem::InvalidQuery));
    assert_eq!(read("a=1&%61=2").err(), Some(Problem::InvalidQuery));
    assert_eq!(read("limt=5").and_then(Params::done), Err(Problem::UnknownParameter));
    assert_eq!(Params::read(None).and_then(Params::done), Ok(()));
    for (query, limit) in [("", Some(50)), ("limit=1", Some(1)), ("limit=500", Some(500))] {
        assert_eq!(read(query).and_then(|mut params| params.page()).ok().map(|page| page.limit), limit);
    }
    for query in
        ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "limit=1e2", "limit=99999999999999999999"]
    {
        let page = read(query).and_then(|mut params| params.page());
        assert_eq!(page.err(), Some(Problem::InvalidLimit), "{query}");
    }
}

#[test]
fn a_line_neither_breaks_nor_turns() {
    for good in ["Ann", "\u{5d0}\u{5d1} Cohen", "  Ann Lee  "] {
        assert_eq!(line(20)(&json!(good)).as_deref(), Some(good.trim()));
    }
    for bad in
        ["", "  ", "a\nb", "a\u{2028}b", "a\u{202e}b", "\u{2066}a\u{2069}b", "\u{202a}a", &"x".repeat(21)]
    {
        assert_eq!(line(20)(&json!(bad)), None, "{bad:?}");
    }
}
