use super::*;
use crate::domain::input::Label;
use crate::domain::person::Role;
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

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    active: bool,
    label: Option<Label>,
    role: Option<Role>,
    as_of: Option<Instant>,
}

#[test]
fn what_is_wrong_with_a_request_names_its_field() {
    let read = |text: &str| Fields::read(text.as_bytes()).and_then(Fields::read_into::<Asked>);
    let least = Asked { active: true, label: None, role: None, as_of: None };
    assert_eq!(read(r#"{"active":true,"label":null}"#), Ok(least));
    let all = read(r#"{"active":false,"label":" a ","role":"admin","as_of":"2026-01-01T00:00:00Z"}"#);
    assert!(all.is_ok_and(|all| all.label.is_some_and(|label| label.as_str() == "a")));
    let table = [
        ("{}", Problem::InvalidActive),
        (r#"{"active":null}"#, Problem::InvalidActive),
        (r#"{"active":"true"}"#, Problem::InvalidActive),
        (r#"{"active":{}}"#, Problem::InvalidActive),
        (r#"{"active":true,"label":""}"#, Problem::InvalidLabel),
        (r#"{"active":true,"label":1}"#, Problem::InvalidLabel),
        (r#"{"active":true,"label":["a"]}"#, Problem::InvalidLabel),
        (r#"{"active":true,"role":"Admin"}"#, Problem::InvalidRole),
        (r#"{"active":true,"role":{"admin":null}}"#, Problem::InvalidRole),
        (r#"{"active":true,"role":["admin"]}"#, Problem::InvalidRole),
        (r#"{"active":true,"as_of":"now"}"#, Problem::InvalidAsOf),
        (r#"{"active":true,"agrement_accepted_at":1}"#, Problem::UnknownField),
    ];
    for (text, problem) in table {
        assert_eq!(read(text), Err(problem), "{text}");
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
