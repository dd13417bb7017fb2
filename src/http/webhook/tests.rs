use super::*;
use http::{HeaderName, HeaderValue};

const NOW: i64 = 1_767_225_600;
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BODY: &str = r#"{"account_id":"acct_81","plan":"growth","signed_up_at":"2026-01-01T10:00:00-05:00"}"#;
const SIGNED: &str = "v1,FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU=";

fn secrets(texts: &[&str]) -> WebhookSecrets {
    WebhookSecrets::parse(texts.iter().copied()).expect("good secrets")
}

fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
    let pair = |&(name, value): &(&'static str, &[u8])| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value).expect("a header's value"))
    };
    // `collect` would keep the last of several.
    let mut headers = HeaderMap::new();
    pairs.iter().map(pair).for_each(|(name, value)| {
        headers.append(name, value);
    });
    headers
}

fn good() -> HeaderMap {
    headers(&[(ID, b"evt_1"), (TIMESTAMP, b"1767225600"), (SIGNATURE, SIGNED.as_bytes())])
}

/// Made with the Python package `standardwebhooks` 1.1.0.
#[test]
fn deliveries_signed_by_another_implementation_are_known() {
    let long =
        "whsec_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoOEhYaHiImKi4yNjo+QkZKTlJWWl5iZmpucnZ6foKGiow==";
    let table = [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (SECRET, "evt_1", NOW, BODY, SIGNED),
        (SECRET, "m-2", NOW, "", "v1,Q+QW4UxjktqIK306ptY/QWxLMfwYHkjQvOkgxvsIua0="),
        (long, "x", 0, r#"{"name":"Zoë ☃"}"#, "v1,Urm5ggm92YkU1UJN2Hbfwm0ruvvwRM3DMNBrlgYF/yM="),
    ];
    for (secret, id, timestamp, body, signature) in table {
        let headers = headers(&[
            (ID, id.as_bytes()),
            (TIMESTAMP, timestamp.to_string().as_bytes()),
            (SIGNATURE, signature.as_bytes()),
        ]);
        assert_eq!(secrets(&[secret]).verify(&headers, body.as_bytes(), timestamp), Ok(id.as_bytes()));
    }
}

#[test]
fn the_time_may_lie_five_minutes_from_now_either_way() {
    let secrets = secrets(&[SECRET]);
    for (seconds, good_then) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
        assert_eq!(
            secrets.verify(&good(), BODY.as_bytes(), NOW + seconds).is_ok(),
            good_then,
            "{seconds} s from now"
        );
    }
}

#[test]
fn any_of_several_secrets_and_signatures_will_do() {
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    assert!(secrets(&[other, SECRET]).verify(&good(), BODY.as_bytes(), NOW).is_ok());
    assert!(secrets(&[SECRET, other]).verify(&good(), BODY.as_bytes(), NOW).is_ok());
    assert!(secrets(&[other]).verify(&good(), BODY.as_bytes(), NOW).is_err());
    assert!(secrets(&[]).verify(&good(), BODY.as_bytes(), NOW).is_err());
    let with = |list: &str| {
        let headers = headers(&[(ID, b"evt_1"), (TIMESTAMP, b"1767225600"), (SIGNATURE, list.as_bytes())]);
        secrets(&[SECRET]).verify(&headers, BODY.as_bytes(), NOW).is_ok()
    };
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert!(with(&format!("{wrong} {SIGNED}")));
    assert!(with(&format!("v1a,abc {SIGNED} v2,{}", &SIGNED[3..])));
    let seven = format!("{wrong} ").repeat(7);
    assert!(with(&format!("{seven}{SIGNED}")), "the eighth is looked at");
    assert!(!with(&format!("{seven}{wrong} {SIGNED}")), "nine are too many");
    assert!(!with(&format!("{SIGNED} {seven}{wrong}")), "nine are too many, even if the first is good");
}

#[test]
fn a_delivery_with_any_part_missing_double_or_changed_is_not_signed() {
    let secrets = secrets(&[SECRET]);
    let refused = |headers: &HeaderMap, body: &str, what: &str| {
        assert!(secrets.verify(headers, body.as_bytes(), NOW).is_err(), "{what}");
    };
    for name in [ID, TIMESTAMP, SIGNATURE] {
        let mut missing = good();
        missing.remove(name);
        refused(&missing, BODY, &format!("{name} missing"));
        let mut double = good();
        let value = double[name].clone();
        double.append(name, value);
        refused(&double, BODY, &format!("{name} twice"));
    }
    let replaced: &[(&'static str, &[u8])] = &[
        (ID, b""),
        (ID, b"evt_2"),
        (ID, b"evt_1 "),
        (ID, b"EVT_1"),
        (ID, b"evt\xc3\xa9"),
        (ID, &[b'a'; 257]),
        (TIMESTAMP, b""),
        (TIMESTAMP, b"1767225601"),
        (TIMESTAMP, b"01767225600"),
        (TIMESTAMP, b"+1767225600"),
        (TIMESTAMP, b"-1767225600"),
        (TIMESTAMP, b"1767225600.0"),
        (TIMESTAMP, b"1767225600 "),
        (TIMESTAMP, b"1.7e9"),
        (TIMESTAMP, b"0x69540000"),
        (TIMESTAMP, b"999999999999"),
        (TIMESTAMP, b"1000000000000"),
        (TIMESTAMP, b"9223372036854775808"),
        (TIMESTAMP, b"18446744073709551616"),
        (TIMESTAMP, b"2026-01-01T00:00:00Z"),
        (TIMESTAMP, b"1767225299"),
        (TIMESTAMP, b"1767225901"),
        (SIGNATURE, b""),
        (SIGNATURE, b"v1"),
        (SIGNATURE, b"v1,"),
        (SIGNATURE, b" "),
        (SIGNATURE, &SIGNED.as_bytes()[3..]),
        (SIGNATURE, b"V1,FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU="),
        (SIGNATURE, b"v2,FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU="),
        (SIGNATURE, b"v1a,FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU="),
        (SIGNATURE, b"v1=FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU="),
        // Without its padding; padded more; in the other alphabet; with trailing bits set.
        (SIGNATURE, b"v1,FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU"),
        (SIGNATURE, b"v1,FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU=="),
        (SIGNATURE, b"v1,FcP_rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU="),
        (SIGNATURE, b"v1,FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKV="),
        (SIGNATURE, b"v1,FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU=x"),
        (SIGNATURE, b"v1,FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU=,"),
        (SIGNATURE, b"v1,FcP/rKOUWflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU=\t"),
        (SIGNATURE, b"v1,FcP/rKOU Wflx7NQ4Fe8Dg54yf3RYLg5HrCvz2k4kjKU="),
    ];
    for &(name, value) in replaced {
        let mut headers = good();
        headers.insert(name, HeaderValue::from_bytes(value).expect("a header's value"));
        refused(&headers, BODY, &format!("{name}: {}", String::from_utf8_lossy(value)));
    }
    for body in ["", "{}", &BODY[1..], &format!("{BODY} "), &format!("{BODY}\n"), &BODY.replace(':', ": ")] {
        refused(&good(), body, "another body");
    }
    for place in 0..BODY.len() {
        let mut body = BODY.as_bytes().to_vec();
        body[place] ^= 1;
        assert_eq!(secrets.verify(&good(), &body, NOW), Err(Cause::NoMatch), "byte {place} of the body");
    }
}

#[test]
fn each_fault_of_a_delivery_has_its_cause() {
    let with = |name: &'static str, value: &[u8]| {
        let mut headers = good();
        headers.insert(name, HeaderValue::from_bytes(value).expect("a header's value"));
        secrets(&[SECRET]).verify(&headers, BODY.as_bytes(), NOW).map(drop)
    };
    let eight = "v1,AAAA ".repeat(8);
    let table: &[(&'static str, &[u8], Cause)] = &[
        (ID, b"", Cause::MalformedId),
        (ID, b"evt_2", Cause::NoMatch),
        (ID, b"evt.1", Cause::MalformedId),
        (ID, b".", Cause::MalformedId),
        (TIMESTAMP, b"", Cause::MalformedTimestamp),
        (TIMESTAMP, b"2026-01-01T00:00:00Z", Cause::MalformedTimestamp),
        (TIMESTAMP, b"1767225600000", Cause::NotSeconds),
        (TIMESTAMP, b"1767225600000000", Cause::NotSeconds),
        (TIMESTAMP, b"1767225600000000000", Cause::NotSeconds),
        (TIMESTAMP, b"1667225600000", Cause::MalformedTimestamp),
        (TIMESTAMP, b"9999999999999999999", Cause::MalformedTimestamp),
        (TIMESTAMP, b"99999999999999999999", Cause::MalformedTimestamp),
        (TIMESTAMP, b"1767225299", Cause::TooOld(301)),
        (TIMESTAMP, b"0", Cause::TooOld(NOW)),
        (TIMESTAMP, b"1767225901", Cause::TooNew(301)),
        (TIMESTAMP, b"1767225601", Cause::NoMatch),
        (SIGNATURE, b"", Cause::NoMatch),
        (SIGNATURE, eight.as_bytes(), Cause::TooManySignatures),
    ];
    for (name, value, cause) in table {
        assert_eq!(with(name, value), Err(cause.clone()), "{name}: {}", String::from_utf8_lossy(value));
        assert!(Cause::CODES.contains(&cause.code()));
    }
    for name in [ID, TIMESTAMP, SIGNATURE] {
        let (mut missing, mut double) = (good(), good());
        missing.remove(name);
        double.append(name, HeaderValue::from_static("x"));
        let verify = |headers: &HeaderMap| secrets(&[SECRET]).verify(headers, BODY.as_bytes(), NOW).map(drop);
        assert_eq!(verify(&missing), Err(Cause::MissingHeader(name)));
        assert_eq!(verify(&double), Err(Cause::DoubleHeader(name)));
    }
    assert!(
        Cause::TooOld(301).to_string().starts_with("webhook-timestamp is 301 s behind this server's clock")
    );
}

#[test]
fn what_is_signed_can_be_read_in_one_way_only() {
    // The same bytes are signed for the id `a` at one time, and for the id `a.1767225600` at another.
    let (body, rest) = ("1767225601.{}", "{}");
    let key = parse_secret(SECRET).expect("a literal");
    let signature = format!("v1,{}", sign(&key, b"a", b"1767225600", body.as_bytes()));
    let read = |id: &[u8], timestamp: &[u8], body: &str| {
        let headers = headers(&[(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature.as_bytes())]);
        secrets(&[SECRET]).verify(&headers, body.as_bytes(), NOW).map(drop)
    };
    assert_eq!(read(b"a", b"1767225600", body), Ok(()));
    assert_eq!(read(b"a.1767225600", b"1767225601", rest), Err(Cause::MalformedId));
}

#[test]
fn each_bit_of_the_signature_counts() {
    let secrets = secrets(&[SECRET]);
    let raw = STANDARD.decode(&SIGNED[3..]).expect("our own literal");
    for bit in 0..raw.len() * 8 {
        let mut flipped = raw.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut headers = good();
        let value = format!("v1,{}", STANDARD.encode(flipped));
        headers.insert(SIGNATURE, HeaderValue::from_str(&value).expect("base64"));
        assert!(secrets.verify(&headers, BODY.as_bytes(), NOW).is_err(), "bit {bit}");
    }
}

#[test]
fn secrets_have_one_form() {
    let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7u8; bytes]));
    assert!(WebhookSecrets::parse([of(24).as_str(), of(64).as_str()]).is_ok());
    let bad = [
        String::new(),
        "whsec_".into(),
        of(23),
        of(65),
        SECRET[6..].into(),
        format!("{SECRET}="),
        "whsec_*".into(),
    ];
    for text in bad {
        assert!(WebhookSecrets::parse([text.as_str()]).is_err(), "{text}");
    }
    let shown = format!("{:?}", secrets(&[SECRET]));
    assert_eq!(shown, "WebhookSecrets(1)", "a secret is never printed");
}
