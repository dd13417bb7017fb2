//! Answers as PayPal gave them, and as nobody should.

use super::*;
use bytes::Bytes;

const BATCH: &str = "pay_2026-09-1.1";

fn judged(status: u16, body: &str) -> Created {
    let status = StatusCode::from_u16(status).expect("a status");
    judge(BATCH, &Answer { status, body: Bytes::copy_from_slice(body.as_bytes()), debug_id: None })
}

fn accepted() -> Created {
    Created::Accepted { payout_batch_id: "5UXD2E8A7EBQJ".to_owned() }
}
fn exists(id: Option<&str>) -> Created {
    Created::Exists { payout_batch_id: id.map(str::to_owned) }
}
fn refusal(name: &str, field: Option<&str>, message: &str) -> Created {
    let (field, message) = (field.map(str::to_owned), message.to_owned());
    Created::Refused { name: name.to_owned(), field, message }
}
fn restricted(name: &str) -> Created {
    Created::Restricted { name: name.to_owned() }
}

const DUPLICATE: &str = r#"{"name":"USER_BUSINESS_ERROR","message":"User business error.","debug_id":"1",
    "information_link":"https://developer.paypal.com/docs/api/payments.payouts-batch/v1/#errors","details":[
    {"field":"SENDER_BATCH_ID","location":"body","issue":"Batch with given sender_batch_id already exists",
    "link":[{"href":"https://api-m.paypal.com/v1/payments/payouts/5UXD2E8A7EBQJ","rel":"self","method":"GET"}]}]}"#;

#[test]
fn what_paypal_said_plainly_is_believed() {
    let header = r#"{"batch_header":{"payout_batch_id":"5UXD2E8A7EBQJ","batch_status":"PENDING","#;
    let table: Vec<(&str, u16, String, Created)> = vec![
        (
            "made",
            201,
            format!(r#"{header}"sender_batch_header":{{"sender_batch_id":"{BATCH}"}}}},"links":[]}}"#),
            accepted(),
        ),
        ("made, without our id", 201, format!(r#"{header}"sender_batch_header":{{}}}}}}"#), accepted()),
        ("made, and nothing more", 200, format!(r#"{header}"x":1}}}}"#), accepted()),
        ("already there", 400, DUPLICATE.to_owned(), exists(Some("5UXD2E8A7EBQJ"))),
        ("already there, no link", 400, DUPLICATE.replace("\"link\"", "\"lost\""), exists(None)),
        ("already there, `links`", 400, DUPLICATE.replace("\"link\"", "\"links\""), exists(Some("5UXD2E8A7EBQJ"))),
        ("already there, odd link", 400, DUPLICATE.replace("5UXD2E8A7EBQJ", "a%2Fb"), exists(None)),
        (
            "already there, older words",
            400,
            r#"{"name":"USER_BUSINESS_ERROR","message":"Duplicate batch request","details":[]}"#.to_owned(),
            exists(None),
        ),
        (
            "one bad address",
            400,
            r#"{"name":"VALIDATION_ERROR","message":"Invalid request - see details","debug_id":"1","details":[
            {"field":"items[6].receiver","location":"body","issue":"ann@x is invalid"}]}"#
                .to_owned(),
            refusal("VALIDATION_ERROR", Some("items[6].receiver"), "(address) is invalid"),
        ),
        (
            "no such currency",
            400,
            r#"{"name":"NON_HOLDING_CURRENCY","message":"No balance in it","debug_id":"1"}"#.to_owned(),
            refusal("NON_HOLDING_CURRENCY", None, "No balance in it"),
        ),
        (
            "no JSON",
            415,
            r#"{"name":"UNSUPPORTED_MEDIA_TYPE","message":"m","debug_id":"1"}"#.to_owned(),
            refusal("UNSUPPORTED_MEDIA_TYPE", None, "m"),
        ),
        ("no token", 401, r#"{"name":"AUTHENTICATION_FAILURE"}"#.to_owned(), restricted("AUTHENTICATION_FAILURE")),
        ("not allowed", 403, r#"{"name":"AUTHORIZATION_ERROR"}"#.to_owned(), restricted("AUTHORIZATION_ERROR")),
        ("restricted", 403, r#"{"name":"SENDER_RESTRICTED"}"#.to_owned(), restricted("SENDER_RESTRICTED")),
        ("no money", 422, r#"{"name":"INSUFFICIENT_FUNDS","message":"m"}"#.to_owned(), Created::Unfunded),
        (
            "no money, as a detail",
            422,
            r#"{"name":"UNPROCESSABLE_ENTITY","details":[{"issue":"INSUFFICIENT_FUNDS"}]}"#.to_owned(),
            Created::Unfunded,
        ),
        ("too many calls", 429, r#"{"name":"RATE_LIMIT_REACHED"}"#.to_owned(), Created::Throttled),
        ("too many calls, by a proxy", 429, "<html>".to_owned(), Created::Throttled),
    ];
    for (name, status, body, created) in table {
        assert_eq!(judged(status, &body), created, "{name}");
    }
}

#[test]
fn nothing_else_proves_anything() {
    let long = "x".repeat(65);
    let table = [
        ("no body", 201, ""),
        ("an empty object", 201, "{}"),
        ("cut off", 201, r#"{"batch_header":{"payout_batch_id":"5UXD2E8A"#),
        ("a page", 201, "<html>Thank you</html>"),
        ("no id", 201, r#"{"batch_header":{"batch_status":"PENDING"}}"#),
        ("an empty id", 201, r#"{"batch_header":{"payout_batch_id":""}}"#),
        ("an id that is a number", 201, r#"{"batch_header":{"payout_batch_id":7}}"#),
        ("an id that is a path", 201, r#"{"batch_header":{"payout_batch_id":"../oauth2"}}"#),
        ("an id without end", 201, &format!(r#"{{"batch_header":{{"payout_batch_id":"{long}"}}}}"#)),
        (
            "another's batch",
            201,
            r#"{"batch_header":{"payout_batch_id":"A","sender_batch_header":{"sender_batch_id":"pay_1"}}}"#,
        ),
        ("no content", 204, ""),
        ("sent elsewhere", 307, ""),
        ("a bare 400", 400, ""),
        ("a page of a proxy", 400, "<html>Bad request</html>"),
        ("a 400 without a name", 400, r#"{"message":"Bad request"}"#),
        ("a name that nobody knows", 400, r#"{"name":"TRY_LATER","message":"m"}"#),
        ("still at it", 400, r#"{"name":"PREVIOUS_REQUEST_IN_PROGRESS","message":"m"}"#),
        ("took too long", 400, r#"{"name":"REQUEST_TIMEOUT_EXCEEDED","message":"m"}"#),
        (
            "a business error of another kind",
            400,
            r#"{"name":"USER_BUSINESS_ERROR","message":"User business error."}"#,
        ),
        ("a firewall", 403, "<html>Forbidden</html>"),
        ("a gateway's 401", 401, "<html>Sign in</html>"),
        ("not there", 404, r#"{"name":"INVALID_RESOURCE_ID"}"#),
        ("a timeout", 408, ""),
        ("a conflict", 409, r#"{"name":"PREVIOUS_REQUEST_IN_PROGRESS"}"#),
        ("not processed", 422, r#"{"name":"UNPROCESSABLE_ENTITY","message":"m"}"#),
        ("a fault", 500, r#"{"name":"INTERNAL_SERVER_ERROR","message":"m","debug_id":"1"}"#),
        ("a fault that calls itself a refusal", 500, r#"{"name":"VALIDATION_ERROR","message":"m"}"#),
        ("a gateway", 502, "<html>Bad gateway</html>"),
        ("unavailable", 503, r#"{"name":"SERVICE_UNAVAILABLE"}"#),
        ("a gateway's patience", 504, ""),
    ];
    for (name, status, body) in table {
        assert!(matches!(judged(status, body), Created::Unclear(_)), "{name}: {:?}", judged(status, body));
    }
}

#[test]
fn the_text_of_an_unclear_answer_helps_and_tells_nothing_secret() {
    let answer = Answer {
        status: StatusCode::BAD_GATEWAY,
        body: Bytes::from_static(b"<html>ann@example.com</html>"),
        debug_id: Some("f00d".to_owned()),
    };
    let text = "PayPal answered 502 (debug id f00d)".to_owned();
    assert_eq!(judge(BATCH, &answer), Created::Unclear(text));
    let named = judged(500, r#"{"name":"INTERNAL_SERVER_ERROR"}"#);
    assert_eq!(named, Created::Unclear("PayPal answered 500 INTERNAL_SERVER_ERROR".to_owned()));
}
