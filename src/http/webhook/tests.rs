use super::*;
use http::{HeaderName, HeaderValue};

const NOW: i64 = 1_767_225_600;
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BODY: &str = r#"{"account_id":"acct_81","plan":"growth","signed_up_at":"2026-01-01T10:00:00-05:00"}"#;
const SIGNED: &str = "v1,ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g=";

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
    headers(&[(ID, b"evt.1"), (TIMESTAMP, b"1767225600"), (SIGNATURE, SIGNED.as_bytes())])
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
        (SECRET, "evt.1", NOW, BODY, SIGNED),
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
        let headers = headers(&[(ID, b"evt.1"), (TIMESTAMP, b"1767225600"), (SIGNATURE, list.as_bytes())]);
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
        assert_eq!(secrets.verify(headers, body.as_bytes(), NOW), Err(NotSigned), "{what}");
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
        (ID, b"evt.2"),
        (ID, b"evt.1 "),
        (ID, b"EVT.1"),
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
        (SIGNATURE, b"V1,ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g="),
        (SIGNATURE, b"v2,ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g="),
        (SIGNATURE, b"v1a,ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g="),
        (SIGNATURE, b"v1=ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g="),
        // Without its padding; padded more; in the other alphabet; with trailing bits set.
        (SIGNATURE, b"v1,ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g"),
        (SIGNATURE, b"v1,ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g=="),
        (SIGNATURE, b"v1,ELAb7mNpevdQd9_XbknkhPLR0FRPjO4I_YoTQqkVj9g="),
        (SIGNATURE, b"v1,ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9h="),
        (SIGNATURE, b"v1,ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g=x"),
        (SIGNATURE, b"v1,ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g=,"),
        (SIGNATURE, b"v1,ELAb7mNpevdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g=\t"),
        (SIGNATURE, b"v1,ELAb7mNp evdQd9/XbknkhPLR0FRPjO4I/YoTQqkVj9g="),
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
        assert_eq!(secrets.verify(&good(), &body, NOW), Err(NotSigned), "byte {place} of the body");
    }
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
