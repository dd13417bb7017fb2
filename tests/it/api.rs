//! The API from outside: who may ask, what is refused and how, and that nothing refused has an effect.

use crate::support::app::{BEGINNING, KEY, TestApp, bearer};
use crate::support::http::{self, Answer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use counterfoil::for_tests::sign;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::SocketAddr;

/// Keys that may do less than the tests' own.
const SMALL_KEYS: &str = r#"
[[api.keys]]
name = "flow"
key = "a-key-of-the-flow-0123456789"
scopes = ["callback"]
[[api.keys]]
name = "report"
key = "a-key-of-the-report-0123456789"
scopes = ["read"]
"#;

async fn app() -> TestApp {
    TestApp::start_with("sqlite", SMALL_KEYS).await
}

fn key(name: &str) -> Vec<(String, String)> {
    vec![("authorization".to_owned(), format!("Bearer a-key-of-the-{name}-0123456789"))]
}

/// Every documented operation: method, path with its parts filled in, whether it is a callback.
async fn operations(app: &TestApp) -> Vec<(String, String, bool)> {
    let document = http::get(app.internal, "/openapi.json", &[]).await.expect_status(200).json();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let filled = path
            .replace("{affiliate_id}", "aff_0000000000001")
            .replace("{account_id}", "acct_1")
            .replace("{link_id}", "lnk_0000000000001")
            .replace("{line_key}", "line-1")
            .replace("{payout_id}", "pay_2026-04-1")
            .replace("{item_id}", "pay_2026-04-1_0000000000001")
            .replace("{node_id}", "node_0000000000001")
            .replace("{claim_id}", "clm_0000000000001")
            .replace("{staff_id}", "stf_0000000000001")
            .replace("{fact_id}", "node_0000000000001:1")
            .replace("{step}", "approve")
            .replace("{review}", "hold");
        assert!(!filled.contains('{'), "{filled}");
        for (method, operation) in methods.as_object().expect("methods") {
            let callback = operation["tags"][0] == "callbacks";
            found.push((method.to_uppercase(), filled.clone(), callback));
        }
    }
    found
}

async fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(String, String)]) -> Answer {
    http::send(method, to, path, headers, "").await.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

#[tokio::test]
async fn strangers_get_nothing_and_small_keys_little() {
    let app = app().await;
    let mut refusals = std::collections::BTreeSet::new();
    for (method, path, callback) in operations(&app).await {
        let what = format!("{method} {path}");
        if !path.starts_with("/v1/") {
            assert_eq!(ask(app.internal, &method, &path, &[]).await.status, 200, "{what}");
            continue;
        }
        let mut wrong = key("flow");
        wrong[0].1.push('x');
        for headers in [vec![], wrong] {
            let answer = ask(app.internal, &method, &path, &headers).await;
            assert_eq!(answer.status, 401, "{what}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
            refusals.insert(answer.text());
        }
        let flow = ask(app.internal, &method, &path, &key("flow")).await.status;
        assert_eq!(flow == 403, !callback, "{what} with a key for callbacks: {flow}");
        let report = ask(app.internal, &method, &path, &key("report")).await.status;
        assert_eq!(report == 403, method != "GET", "{what} with a key for reading: {report}");
    }
    assert_eq!(refusals.len(), 1, "one identical answer: {refusals:?}");
}

#[tokio::test]
async fn the_public_listener_hides_the_internal_one() {
    let app = app().await;
    for (method, path, _) in operations(&app).await {
        let answer = ask(app.public, &method, &path, &bearer()).await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    assert_eq!(ask(app.public, "POST", "/v1/clock", &bearer()).await.status, 404);
}

/// A delivery as a sender of Standard Webhooks makes it.
struct Delivery {
    id: String,
    timestamp: String,
    signature: String,
    body: String,
}

impl Delivery {
    fn of(app: &TestApp, id: &str, body: &str) -> Self {
        let timestamp = BEGINNING.parse::<chrono::DateTime<chrono::Utc>>().expect("a literal").timestamp();
        Self::at(app, id, &timestamp.to_string(), body)
    }
    fn at(app: &TestApp, id: &str, timestamp: &str, body: &str) -> Self {
        let secret = std::fs::read_to_string(app.data_dir().join("keys/webhook")).expect("a secret");
        let base64 = secret.trim().strip_prefix("whsec_").expect("a webhook secret");
        let secret = STANDARD.decode(base64).expect("base64");
        let signature = format!("v1,{}", sign(&secret, id.as_bytes(), timestamp.as_bytes(), body.as_bytes()));
        Self { id: id.into(), timestamp: timestamp.into(), signature, body: body.into() }
    }
    fn headers(&self) -> Vec<(String, String)> {
        let pairs = [
            ("webhook-id", &self.id),
            ("webhook-timestamp", &self.timestamp),
            ("webhook-signature", &self.signature),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.clone())).to_vec()
    }
    async fn sent(&self, app: &TestApp) -> Answer {
        http::post(app.internal, "/v1/signups", &self.headers(), self.body.clone()).await
    }
}

fn signup_of(account: &str, plan: &str) -> String {
    json!({"account_id": account, "plan": plan, "signed_up_at": BEGINNING}).to_string()
}

#[tokio::test]
async fn a_signed_delivery_counts_once_however_often_it_comes() {
    let app = app().await;
    let delivery = Delivery::of(&app, "msg_1", &signup_of("acct_1", "growth"));
    let first = delivery.sent(&app).await.expect_status(201);
    let again = delivery.sent(&app).await.expect_status(200);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.body, again.body);
    let other_id =
        Delivery::of(&app, "msg_2", &signup_of("acct_1", "growth")).sent(&app).await.expect_status(200);
    assert_eq!(first.body, other_id.body);
    // The same id with other bytes for the account is a conflict, though the facts are the same.
    let body = signup_of("acct_1", "growth").replace("\":", "\": ");
    Delivery::of(&app, "msg_1", &body).sent(&app).await.expect_status(409);
    Delivery::of(&app, "msg_3", &signup_of("acct_1", "connect")).sent(&app).await.expect_status(409);
}

#[tokio::test]
async fn a_forged_delivery_gets_one_identical_401_and_has_no_effect() {
    let app = app().await;
    let good = || Delivery::of(&app, "msg_1", &signup_of("acct_1", "growth"));
    let seconds: i64 = good().timestamp.parse().expect("seconds");
    let body = signup_of("acct_1", "growth");
    let mut forged = vec![
        Delivery { id: "msg_2".into(), ..good() },
        Delivery { timestamp: (seconds + 1).to_string(), ..good() },
        Delivery { timestamp: format!("0{seconds}"), ..good() },
        Delivery { timestamp: format!("+{seconds}"), ..good() },
        Delivery { timestamp: format!("{seconds}.0"), ..good() },
        Delivery { body: format!("{body} "), ..good() },
        Delivery { body: body.replace("growth", "connect"), ..good() },
        Delivery { signature: good().signature.replacen("v1,", "v2,", 1), ..good() },
        Delivery { signature: good().signature.trim_end_matches('=').to_owned(), ..good() },
        Delivery { signature: format!("{}=", good().signature), ..good() },
        Delivery { signature: "v1,".into(), ..good() },
        Delivery { signature: format!("{}{}", "v1,AAAA ".repeat(8), good().signature), ..good() },
        Delivery::at(&app, "msg_1", &(seconds - 400).to_string(), &body),
        Delivery::at(&app, "msg_1", &(seconds + 400).to_string(), &body),
        Delivery::at(&app, "msg_1", "9999999999999", &body),
        Delivery::at(&app, "msg_1", "18446744073709551616", &body),
        Delivery::at(&app, "msg_1", "-1", &body),
        Delivery::at(&app, "msg_1", "", &body),
        Delivery::at(&app, "", &seconds.to_string(), &body),
    ];
    // Bytes that are no JSON are refused for their signature: they are never parsed.
    forged.push(Delivery { body: "{".into(), ..good() });
    let mut refusals = std::collections::BTreeSet::new();
    for delivery in &forged {
        refusals.insert(delivery.sent(&app).await.expect_status(401).text());
    }
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let (mut missing, mut double) = (good().headers(), good().headers());
        missing.retain(|(header, _)| header != name);
        double.extend(good().headers().into_iter().filter(|(header, _)| header == name));
        for headers in [missing, double] {
            let answer = http::post(app.internal, "/v1/signups", &headers, body.clone()).await;
            refusals.insert(answer.expect_status(401).text());
        }
    }
    // A good key does not make up for a bad signature, nor a good signature for a bad key.
    let mut both = forged[0].headers();
    both.extend(bearer());
    refusals
        .insert(http::post(app.internal, "/v1/signups", &both, body.clone()).await.expect_status(401).text());
    let mut both = good().headers();
    both.push(("authorization".into(), "Bearer nobody".into()));
    refusals.insert(http::post(app.internal, "/v1/signups", &both, body).await.expect_status(401).text());
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    app.get("/v1/accounts/acct_1").await.expect_status(404);
    good().sent(&app).await.expect_status(201);
}

#[tokio::test]
async fn the_log_and_a_metric_say_why_a_request_was_refused_and_the_answer_does_not() {
    let app = app().await;
    let body = signup_of("acct_1", "growth");
    let good = || Delivery::of(&app, "msg_1", &body);
    let seconds: i64 = good().timestamp.parse().expect("seconds");
    let refused = [
        (Delivery::at(&app, "msg_1", &(seconds - 7_200).to_string(), &body), "too_old", "s behind"),
        (Delivery::at(&app, "msg_1", &(seconds + 400).to_string(), &body), "too_new", "s ahead"),
        (Delivery::at(&app, "msg_1", &(seconds * 1_000).to_string(), &body), "not_seconds", "milliseconds"),
        (Delivery::at(&app, "msg.1", &seconds.to_string(), &body), "malformed_id", "without a dot"),
        (Delivery { body: body.replace("growth", "connect"), ..good() }, "no_match", "another secret"),
    ];
    for (delivery, reason, said) in refused {
        for _ in 0..2 {
            let answer = delivery.sent(&app).await.expect_status(401);
            assert_eq!(answer.json()["code"], "unauthorized", "{reason}");
        }
        let metric = format!("counterfoil_http_unauthorized_total{{reason=\"{reason}\"}}");
        assert_eq!(app.metric(&metric).await, 2, "{reason}");
        let log = app.logs(said).await;
        assert_eq!(log.matches(said).count(), 1, "one line a minute: {log}");
    }
    http::get(app.internal, "/v1/accounts", &key("flow")).await.expect_status(403);
    http::post(app.internal, "/v1/signups", &key("flow0"), body.clone()).await.expect_status(401);
    app.logs("the key `flow` lacks the scope").await;
    let log = app.logs("not one of the configured ones").await;
    assert!(!log.contains("flow0"), "{log}");
    for secret in ["a-key-of-the", "whsec_", "msg_1", "acct_1"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test]
async fn a_signed_event_counts_for_the_account_that_it_names_only() {
    let app = app().await;
    let event =
        json!({"account_id": "acct_1", "event_id": "e1", "type": "canceled", "occurred_at": BEGINNING});
    let delivery = Delivery::of(&app, "msg_1", &event.to_string());
    let post = async |account: &str| {
        let path = format!("/v1/accounts/{account}/events");
        http::post(app.internal, &path, &delivery.headers(), delivery.body.clone()).await
    };
    let refused = post("acct_2").await.expect_status(422).json();
    assert_eq!(refused["code"], "account_mismatch");
    app.get("/v1/accounts/acct_2").await.expect_status(404);
    post("acct_1").await.expect_status(201);
}

#[tokio::test]
async fn an_import_may_begin_with_a_byte_order_mark_and_end_its_lines_as_others_do() {
    let app = app().await;
    let signup = |account: &str| json!({"kind": "signup", "account_id": account, "plan": "growth", "signed_up_at": BEGINNING});
    let file = format!("\u{feff}{}\r\n\r\n{}\r\n", signup("old_1"), signup("old_2"));
    let import = async |file: Vec<u8>| {
        let answer = http::send("POST", app.internal, "/v1/import", &bearer(), file).await;
        let text = answer.expect("an answer").expect_status(200).text();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>()
    };
    let created =
        |line: u64, account: &str| json!({"line": line, "status": "created", "account_id": account});
    assert_eq!(import(file.into_bytes()).await, [created(1, "old_1"), created(3, "old_2")]);
    // Half an emoji in a field that is evidence, and in one that nobody knows.
    let half = signup("old_4").to_string().replace('}', r#","email":"\ud83d","note":["\ud83d"]}"#);
    let warned =
        json!({"line": 1, "status": "created", "account_id": "old_4", "warnings": ["unknown_field:note"]});
    assert_eq!(import(half.into_bytes()).await, [warned]);
    let event = format!(r#"{{"event_id":"e1","type":"paused","occurred_at":"{BEGINNING}","why":"\ud83d"}}"#);
    let taken = http::post(app.internal, "/v1/accounts/old_1/events", &bearer(), event).await;
    assert_eq!(taken.expect_status(201).json()["warnings"], json!(["unknown_field:why"]));
    let utf16: Vec<u8> =
        format!("\u{feff}{}", signup("old_3")).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let refused = import(utf16).await;
    assert_eq!((&refused[0]["status"], &refused[0]["code"]), (&json!("invalid"), &json!("not_utf8")));
}

#[tokio::test]
async fn malformed_bodies_are_refused_everywhere_and_echo_nothing() {
    let app = app().await;
    let marker = "zebra";
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let bodies: Vec<Vec<u8>> = [
        "",
        "{",
        "[]",
        "null",
        "\"zebra\"",
        "{\"zebra\":",
        "{\"a\":1,\"a\":2}",
        "{\"zebra\":1e999}",
        "{\"zebra\":\"\\ud800\"}",
        "{\"account_id\":\"zebra zebra\"}",
        "{\"name\":\"zebra\\u0000\"}",
        "{\"as_of\":\"zebra\"}",
        "{\"reason\":[\"zebra\"]}",
        "{\"dry_run\":\"zebra\"}",
        "{\"destination\":\"https://zebra.example\"}",
        "{\"event_id\":{\"zebra\":1}}",
        "\u{feff}{}",
        deep.as_str(),
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([b"\xff\xfezebra".to_vec(), b"{\"zebra\":\"\xc3\x28\"}".to_vec(), vec![b'z'; 70_000]])
    .collect();
    let mut asked = 0;
    for (method, path, callback) in operations(&app).await {
        // A request about nothing is a 404 with any body; an import answers by lines.
        if method == "GET" || method == "DELETE" || path == "/v1/import" {
            continue;
        }
        for body in &bodies {
            let mut headers = bearer();
            headers.push(("content-type".into(), "application/json".into()));
            let answer =
                http::send(&method, app.internal, &path, &headers, body.clone()).await.expect("an answer");
            // Some of these do nothing with an empty object, and an empty body is one.
            let harmless = body.is_empty() && !callback;
            let what = format!("{method} {path} {:.80}", String::from_utf8_lossy(body));
            assert!(
                (400..500).contains(&answer.status) || harmless && answer.status < 500,
                "{}: {what}",
                answer.status
            );
            assert!(!answer.text().contains(marker), "{what}: {}", answer.text());
            if answer.status >= 400 {
                assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
                assert_eq!(answer.json()["status"], answer.status, "{what}");
            }
            asked += 1;
        }
    }
    assert!(asked > 200, "{asked}");
    assert_eq!(app.get("/v1/accounts").await.expect_status(200).json()["data"], json!([]));
    assert_eq!(app.get("/v1/affiliates").await.expect_status(200).json()["data"], json!([]));
    assert!(!app.log().contains(marker), "nothing of the input is logged");
}

#[tokio::test]
async fn limits_and_wrong_turns_are_problems() {
    let app = app().await;
    let table = [
        ("GET", "/nowhere".to_owned(), 404, "not_found"),
        ("GET", "/v1/accounts/%ff".to_owned(), 404, "not_found"),
        ("GET", "/v1/accounts/a%2fb".to_owned(), 404, "not_found"),
        ("GET", "/v1/accounts/nobody".to_owned(), 404, "unknown_account"),
        ("GET", "/v1/affiliates/aff_x".to_owned(), 404, "not_found"),
        ("GET", "/v1/affiliates/aff_0000000000001".to_owned(), 404, "unknown_affiliate"),
        ("POST", "/v1/affiliates/aff_0000000000001/promote".to_owned(), 404, "not_found"),
        ("DELETE", "/v1/nodes/node_0000000000001".to_owned(), 404, "not_found"),
        ("PUT", "/v1/accounts".to_owned(), 405, "method_not_allowed"),
        ("GET", "/v1/signups".to_owned(), 405, "method_not_allowed"),
        ("GET", format!("/v1/accounts?cursor={}", "x".repeat(8_200)), 414, "uri_too_long"),
        ("GET", "/v1/accounts?limit=0".to_owned(), 422, "invalid_limit"),
        ("GET", "/v1/accounts?limit=1&limit=2".to_owned(), 400, "invalid_query"),
        ("GET", "/v1/accounts?hold=true".to_owned(), 422, "unknown_parameter"),
        ("GET", "/v1/accounts?cursor=zebra".to_owned(), 422, "invalid_cursor"),
        ("GET", "/v1/feed?cursor=zebra".to_owned(), 422, "invalid_cursor"),
        ("GET", "/v1/audit?cursor=zebra".to_owned(), 422, "invalid_cursor"),
        ("GET", "/v1/affiliates?cursor=zebra".to_owned(), 422, "invalid_cursor"),
        ("GET", "/v1/affiliates?status=zebra".to_owned(), 422, "invalid_status"),
        ("GET", "/v1/statements?month=2026-13".to_owned(), 422, "invalid_month"),
        ("GET", "/v1/statements?month=2026-04&cursor=zebra".to_owned(), 422, "invalid_cursor"),
        ("GET", "/v1/stats?by=zebra".to_owned(), 422, "invalid_by"),
    ];
    for (method, path, status, code) in table {
        let answer = ask(app.internal, method, &path, &bearer()).await.expect_status(status);
        assert_eq!(answer.json()["code"], code, "{method} {path}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
        // The connection itself refuses what is too long, before any handler.
        assert!(status == 414 || answer.header("cache-control") == Some("no-store"), "{method} {path}");
    }
    let form = vec![bearer().remove(0), ("content-type".into(), "application/x-www-form-urlencoded".into())];
    let answer =
        http::send("POST", app.internal, "/v1/aggregate", &form, "dry_run=true").await.expect("an answer");
    answer.expect_status(415);
}

/// Sends bytes as they are; what comes back until the other side closes or falls silent.
fn raw(to: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = std::net::TcpStream::connect(to).expect("a connection");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(15))).expect("a socket");
    // A server that has heard enough may close before all is written.
    drop(socket.write_all(bytes));
    drop(socket.shutdown(std::net::Shutdown::Write));
    let mut answer = Vec::new();
    drop(socket.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn malformed_requests_are_4xx_or_a_closed_connection() {
    let app = app().await;
    let auth = format!("Authorization: Bearer {KEY}");
    let body = signup_of("acct_9", "growth");
    let post = |headers: &str, body: &str| {
        format!("POST /v1/signups HTTP/1.1\r\nHost: x\r\n{auth}\r\n{headers}\r\n\r\n{body}").into_bytes()
    };
    let many = "X-Header: 1\r\n".repeat(200);
    let requests: Vec<Vec<u8>> = vec![
        b"\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        post("Content-Length: 999999999999", ""),
        post("Content-Length: -1", ""),
        post("Content-Length: 1e3", &body),
        post("Content-Length: 5\r\nContent-Length: 6", &body),
        post("Content-Length: 5\r\nTransfer-Encoding: chunked", &body),
        post("Transfer-Encoding: chunked", "zz\r\n"),
        post("Transfer-Encoding: chunked", "ffffffffffffffffff\r\n"),
        post("Transfer-Encoding: gzip", &body),
        post("Transfer-Encoding: chunked", &format!("11170\r\n{}\r\n0\r\n\r\n", "x".repeat(0x11170))),
        post("Content-Length: 5000", &body),
        post(&format!("X-Large: {}\r\nContent-Length: 0", "x".repeat(20_000)), ""),
        post(&format!("{many}Content-Length: 0"), ""),
        post("Bad Header: 1\r\nContent-Length: 0", ""),
        post("X-Null: \0\r\nContent-Length: 0", ""),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n{auth}\r\n\r\n", "x".repeat(70_000)).into_bytes(),
    ];
    for request in requests {
        let to = app.internal;
        let shown = String::from_utf8_lossy(&request[..request.len().min(150)]).into_owned();
        let answer = tokio::task::spawn_blocking(move || raw(to, &request)).await.expect("no panic");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(answer.is_empty() || status.starts_with('4'), "{shown:?}: {answer}");
    }
    app.get("/v1/accounts/acct_9").await.expect_status(404);
}

#[tokio::test]
async fn an_import_answers_a_line_a_line_and_again_changes_nothing() {
    let app = app().await;
    let mut lines = vec![String::new()];
    for number in 0..600 {
        let account = format!("old_{}", number / 3);
        lines.push(match number % 3 {
            0 => json!({"kind": "signup", "account_id": account, "plan": "growth", "signed_up_at": "2025-06-01T00:00:00Z"}),
            1 => json!({"kind": "event", "account_id": account, "event_id": "e1", "type": "suspended", "occurred_at": "2025-07-01T00:00:00Z"}),
            _ => json!({"kind": "event", "account_id": account, "event_id": "e2", "type": "upgraded", "occurred_at": "2025-07-02T00:00:00Z"}),
        }
        .to_string());
    }
    lines.extend(
        ["nonsense", r#"{"kind":"refund"}"#, r#"{"kind":"event","account_id":"a b"}"#].map(str::to_owned),
    );
    lines.push("x".repeat(70_000));
    lines.push(json!({"kind": "signup", "account_id": "old_1", "plan": "connect", "signed_up_at": "2025-06-01T00:00:00Z"}).to_string());
    let file = lines.join("\n");
    let import = async |query: &str| {
        let answer =
            http::send("POST", app.internal, &format!("/v1/import{query}"), &bearer(), file.clone()).await;
        let text = answer.expect("an answer").expect_status(200).text();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>()
    };
    let count =
        |results: &[Value], status: &str| results.iter().filter(|one| one["status"] == status).count();

    let dry = import("?dry_run=true").await;
    assert_eq!((count(&dry, "created"), count(&dry, "ignored")), (401, 200));
    assert_eq!(app.get("/v1/accounts").await.json()["data"], json!([]), "a dry run keeps nothing");

    let first = import("").await;
    assert_eq!(first.len(), 605);
    assert!(first.windows(2).all(|pair| pair[0]["line"].as_u64() < pair[1]["line"].as_u64()), "in order");
    assert_eq!((count(&first, "created"), count(&first, "ignored")), (400, 200));
    let codes: Vec<_> = first[600..].iter().map(|one| one["code"].as_str().expect("a code")).collect();
    assert_eq!(codes, ["invalid_json", "invalid_kind", "invalid_account_id", "line_too_long", "conflict"]);
    assert_eq!(first[0], json!({"line": 2, "status": "created", "account_id": "old_0"}));

    let again = import("").await;
    assert_eq!((count(&again, "replayed"), count(&again, "created")), (600, 0));
}

#[tokio::test]
async fn an_affiliate_lives_and_is_changed() {
    let app = app().await;
    let applied = json!({"name": "Jane", "email": "jane@example.org", "company": "Acme"});
    let made = app.post("/v1/affiliates", &applied).await.expect_status(201).json();
    assert_eq!((&made["status"], &made["default_link"]), (&json!("applied"), &Value::Null));
    let path = format!("/v1/affiliates/{}", made["id"].as_str().expect("an id"));
    let step = async |step: &str, body: Value| app.post(&format!("{path}/{step}"), &body).await;
    step("reject", json!({})).await.expect_status(422);
    step("suspend", json!({})).await.expect_status(409);
    let approved = step("approve", json!({"reason": "known to us"})).await.expect_status(200).json();
    assert_eq!(approved["status"], "approved");
    assert_eq!(approved["history"][1]["reason"], "known to us");
    step("approve", json!({})).await.expect_status(409);
    app.post(&format!("{path}/links"), &json!({})).await.expect_status(409);

    let change = async |body: Value| {
        let mut headers = bearer();
        headers.push(("content-type".into(), "application/json".into()));
        http::send("PATCH", app.internal, &path, &headers, body.to_string()).await.expect("an answer")
    };
    let changed =
        change(json!({"company": null, "paypal_email": "pay@example.org"})).await.expect_status(200).json();
    assert_eq!((&changed["company"], &changed["paypal_email"]), (&Value::Null, &json!("pay@example.org")));
    assert_eq!(changed["name"], "Jane", "what is absent stays");
    let partner = app.partner("joe").await;
    change(json!({"email": "JOE@partners.example"})).await.expect_status(409);
    change(json!({"code": partner.code})).await.expect_status(409);
    change(json!({"satus": "active"})).await.expect_status(422);
    assert_eq!(step("close", json!({})).await.expect_status(200).json()["status"], "closed");

    let page = app.get("/v1/affiliates?limit=1").await.expect_status(200).json();
    let next = page["next_cursor"].as_str().expect("there is another");
    let rest = app.get(&format!("/v1/affiliates?limit=1&cursor={next}")).await.expect_status(200).json();
    assert_ne!(page["data"][0]["id"], rest["data"][0]["id"]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let active = app.get("/v1/affiliates?status=active").await.expect_status(200).json();
    assert_eq!(active["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(active["data"][0]["id"], json!(partner.id));
}

#[tokio::test]
async fn a_link_leads_only_where_the_program_allows_and_is_switched_off_and_on() {
    let app = app().await;
    let partner = app.partner("jane").await;
    let links = format!("/v1/affiliates/{}/links", partner.id);
    for destination in [
        "https://evil.example/",
        "//evil.example",
        "javascript:alert(1)",
        "https://www.calltrackingmetrics.com@evil.example",
    ] {
        let answer = app.post(&links, &json!({"destination": destination})).await.expect_status(422);
        assert_eq!(answer.json()["code"], "invalid_destination", "{destination}");
    }
    let body = json!({"destination": "https://www.calltrackingmetrics.com/plans?x=1", "label": "Spring"});
    let made = app.post(&links, &body).await.expect_status(201).json();
    let listed = app.get(&links).await.expect_status(200).json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed["data"][1], made);
    let path = format!("/v1/links/{}/disable", made["id"].as_str().expect("an id"));
    // Programs from before the reason was asked for give none.
    let off = app.post(&path, &json!({})).await.expect_status(200).json();
    assert!(off["disabled_at"].is_string() && off["disabled_reason"].is_null(), "{off}");
    app.post(&path, &json!({})).await.expect_status(200);
    let on = app.post(&path.replace("disable", "enable"), &json!({})).await.expect_status(200).json();
    assert_eq!(on, made);
    let off = app.post(&path, &json!({"reason": "spam"})).await.expect_status(200).json();
    assert_eq!(off["disabled_reason"], "spam");
    app.post(&path, &json!({"reason": ""})).await.expect_status(422);
    let default = listed["data"][0]["id"].as_str().expect("an id");
    let refused = app.post(&format!("/v1/links/{default}/disable"), &json!({"reason": "spam"})).await;
    assert_eq!(refused.expect_status(409).json()["code"], "default_link");
    for deed in ["disable", "enable"] {
        app.post(&format!("/v1/links/lnk_0000000000001/{deed}"), &json!({})).await.expect_status(404);
    }
}

#[tokio::test]
async fn no_personal_data_is_shown_or_logged() {
    let app = app().await;
    let body = json!({"account_id": "acct_1", "plan": "growth", "signed_up_at": BEGINNING,
        "email": "zebra@giraffe.example", "ip": "203.0.113.77", "click": "zebraclick", "cookie": "zebracookie"});
    app.post("/v1/signups", &body).await.expect_status(201);
    let shown = [
        app.get("/v1/accounts/acct_1").await.text(),
        app.get("/v1/feed").await.text(),
        app.get("/v1/audit").await.text(),
        app.get("/metrics").await.text(),
        app.log(),
    ];
    for text in shown {
        for secret in ["zebra@", "203.0.113.77", "zebraclick", "zebracookie", KEY] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}
