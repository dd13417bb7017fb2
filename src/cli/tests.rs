//! Commands against a server that only remembers what it was asked.

use super::*;
use crate::clock::Clock;
use crate::config::Secrets;
use crate::server::{Gauges, bind, serve};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

const AFFILIATE: &str = "aff_0000000000001";

/// What a stub was asked: method, path, body.
type Asked = (String, String, Value);

/// A server with canned answers by method and path.
#[derive(Default)]
struct Stub {
    answers: HashMap<&'static str, (u16, String)>,
    asked: Arc<Mutex<Vec<Asked>>>,
    starts: Mutex<u32>,
    stops: Arc<Mutex<u32>>,
}

impl Stub {
    fn with(answers: &[(&'static str, u16, Value)]) -> Self {
        let answers = answers.iter().map(|(what, status, body)| (*what, (*status, body.to_string())));
        Self { answers: answers.collect(), ..Self::default() }
    }
    fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock().expect("no panic");
        asked.iter().filter(|(_, path, _)| path != "/healthz").cloned().collect()
    }
    fn listen(&self) -> (SocketAddr, oneshot::Sender<()>) {
        let listener = bind(([127, 0, 0, 1], 0).into(), false).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (answers, asked) = (self.answers.clone(), Arc::clone(&self.asked));
        let handler =
            move |request: Request<Incoming>, _| answer(request, answers.clone(), Arc::clone(&asked));
        let (stop, stopped) = oneshot::channel::<()>();
        let limits = Config::from_layers(None, []).expect("the defaults").limits.for_listener(10);
        let shutdown = async { drop(stopped.await) };
        tokio::spawn(serve(listener, handler, limits, Arc::<Gauges>::default(), shutdown));
        (address, stop)
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: HashMap<&'static str, (u16, String)>,
    asked: Arc<Mutex<Vec<Asked>>>,
) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().to_string(), request.uri().to_string());
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    asked.lock().expect("no panic").push((method.clone(), path.clone(), body));
    let missing = (404, json!({ "title": "There is nothing here", "code": "not_found" }).to_string());
    let (status, text) = match answers.get(format!("{method} {path}").as_str()) {
        Some(answer) => answer.clone(),
        None if path == "/healthz" => (200, "{}".into()),
        None => missing,
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::from(text)).expect("a good answer")
}

#[async_trait]
impl Launcher for Stub {
    async fn serve(&self, _: Config, _: Clock, _: bool, _: Stop) -> Result<(), Failure> {
        Ok(())
    }
    async fn start_for_command(&self, config: Config) -> Result<Started, Failure> {
        Secrets::open(&config)?;
        *self.starts.lock().expect("no panic") += 1;
        let ((internal, stop), stops) = (self.listen(), Arc::clone(&self.stops));
        let stop = move || -> Stop {
            Box::pin(async move {
                drop(stop);
                *stops.lock().expect("no panic") += 1;
            })
        };
        Ok(Started { internal, stop: Box::new(stop) })
    }
    async fn rebuild(&self, _: &Config, _: &[PathBuf]) -> Result<Rebuilt, Failure> {
        Ok(Rebuilt { facts: 1, clicks: 2, nodes: vec!["node_1".into()] })
    }
}

fn parse(line: &str) -> Result<Args, String> {
    let words = std::iter::once("counterfoil").chain(line.split_whitespace());
    Args::try_parse_from(words).map_err(|error| match Failure::of_usage(&error) {
        Err(Failure::Usage(text)) => text,
        other => format!("{other:?}"),
    })
}

async fn command(stub: &Stub, data_dir: &Path, line: &str) -> Result<(), Failure> {
    let file = data_dir.join("counterfoil.toml");
    std::fs::write(&file, format!("data_dir = {:?}", data_dir.join("data"))).expect("a file");
    let mut args = parse(line).map_err(Failure::Usage)?;
    args.config = Some(file);
    execute(args, stub).await
}

#[test]
fn every_command_of_the_contract_can_be_typed() {
    for line in [
        "serve --config a.toml",
        "serve --settable-clock 2026-01-01T00:00:00-05:00",
        "demo",
        "aggregate",
        "aggregate --as-of 2026-05-04T04:15:00-04:00 --dry-run --json",
        "affiliate apply --name Ada --email a@b.example --partner-type agency",
        "affiliate bring-over --name Ada --email a@b.example --agreement-accepted-at 2026-01-01T00:00:00Z",
        "affiliate list --status applied",
        "affiliate show aff_0000000000001 --json",
        "affiliate approve aff_0000000000001",
        "affiliate reject aff_0000000000001 --reason no",
        "affiliate suspend aff_0000000000001 --reason no",
        "affiliate reinstate aff_0000000000001",
        "affiliate close aff_0000000000001 --reason no",
        "affiliate set aff_0000000000001 --paypal-email a@b.example --exempt-from-holds true",
        "affiliate invite aff_0000000000001",
        "staff create --name Ann --email a@b.example --role read-only",
        "staff list",
        "staff invite stf_0000000000001 --json",
        "staff disable stf_0000000000001",
        "staff enable stf_0000000000001",
        "staff role stf_0000000000001 admin",
        "link create aff_0000000000001 --destination https://a.example/x --label x",
        "link list aff_0000000000001",
        "link disable lnk_0000000000001 --reason spam",
        "link enable lnk_0000000000001",
        "account list --held",
        "account show acct_81",
        "account hold acct_81 --reason why",
        "account release acct_81 --reason why",
        "account reject acct_81 --reason why",
        "account credit acct_81 --affiliate aff_0000000000001 --reason why",
        "account credit acct_81 --nobody --reason why",
        "statement list --month 2026-04",
        "statement list --affiliate aff_0000000000001",
        "statement show aff_0000000000001 2026-04",
        "import a.ndjson --dry-run",
        "doctor --json",
        "rebuild --journal a b --journal c",
        "verify",
        "store confirm",
        "node list",
        "node forget node_0000000000001",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
    }
}

#[test]
fn what_is_typed_wrongly_is_said_in_one_line() {
    for (line, part) in [
        ("affiliate list --statsu x", "--statsu"),
        ("affiliate show nobody", "nobody"),
        ("affiliate reject aff_0000000000001", "--reason"),
        ("account credit acct_81 --reason x", "--affiliate"),
        ("account credit acct_81 --nobody --affiliate aff_0000000000001 --reason x", "cannot be used with"),
        ("account list --held --waiting", "cannot be used with"),
        ("account show a/b", "a/b"),
        ("statement list", "--month"),
        ("statement show aff_0000000000001 2026-13", "2026-13"),
        ("aggregate --as-of yesterday", "yesterday"),
        ("rebuild", "--journal"),
        ("fly", "fly"),
    ] {
        let said = parse(line).expect_err(line);
        assert!(said.contains(part) && said.contains("--help"), "{line}: {said}");
    }
}

#[test]
fn failures_have_the_exit_codes_of_the_contract() {
    let table = [
        (Failure::Usage("x".into()), 64),
        (Failure::Unavailable("x".into()), 69),
        (Failure::Config("x".into()), 78),
        (Failure::other("x"), 1),
        (Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)), 0),
    ];
    for (failure, code) in table {
        assert_eq!(format!("{:?}", failure.report()), format!("{:?}", ExitCode::from(code)));
    }
}

#[test]
fn a_wrong_configuration_ends_with_78_and_a_wrong_word_with_64() {
    let stub = Stub::default();
    let ends = |line: &[&str]| run(line.iter().map(OsString::from), &stub);
    let code = |code| format!("{:?}", ExitCode::from(code));
    assert_eq!(format!("{:?}", ends(&["counterfoil", "verify", "--config", "/nowhere.toml"])), code(78));
    assert_eq!(format!("{:?}", ends(&["counterfoil", "verfy"])), code(64));
}

#[tokio::test]
async fn with_no_server_running_one_is_started_for_the_command_and_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let stub = Stub::with(&[("POST /v1/store/confirm", 200, json!({ "confirmed": true }))]);
    command(&stub, dir.path(), "store confirm").await.expect("confirmed");
    assert_eq!((*stub.starts.lock().expect("no panic"), *stub.stops.lock().expect("no panic")), (1, 1));
    assert_eq!(stub.asked(), [("POST".into(), "/v1/store/confirm".into(), json!({}))]);
}

#[tokio::test]
async fn a_running_server_is_asked_and_one_that_is_gone_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let stub = Stub::with(&[("POST /v1/store/confirm", 200, json!({ "confirmed": true }))]);
    let (internal, _stop) = stub.listen();
    std::fs::create_dir_all(data.join("keys")).expect("a directory");
    std::fs::write(data.join("keys/admin"), "0123456789abcdef0123456789abcdef").expect("a key");
    let file = ServeFile { pid: 1, internal, public: internal };
    file.write(&data).expect("written");
    assert_eq!(ServeFile::read(&data), Some(file));
    command(&stub, dir.path(), "store confirm").await.expect("confirmed");
    assert_eq!(*stub.starts.lock().expect("no panic"), 0);

    // The port of a listener that was closed: nobody answers there any more.
    let gone = bind(([127, 0, 0, 1], 0).into(), false).expect("a port").local_addr().expect("bound");
    ServeFile { internal: gone, ..file }.write(&data).expect("written");
    command(&stub, dir.path(), "store confirm").await.expect("confirmed");
    assert_eq!(*stub.starts.lock().expect("no panic"), 1);
}

#[tokio::test]
async fn commands_ask_what_the_contract_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let affiliate =
        json!({ "id": AFFILIATE, "status": "active", "history": [{ "at": "x", "status": "active" }] });
    let page = |data: Value, next: Value| json!({ "data": data, "next_cursor": next });
    let stub = Stub::with(&[
        ("POST /v1/affiliates", 201, affiliate.clone()),
        ("PATCH /v1/affiliates/aff_0000000000001", 200, affiliate.clone()),
        ("POST /v1/affiliates/aff_0000000000001/suspend", 200, affiliate.clone()),
        ("GET /v1/affiliates?limit=500", 200, page(json!([affiliate.clone()]), json!("a b"))),
        ("GET /v1/affiliates?limit=500&cursor=a+b", 200, page(json!([affiliate]), json!(null))),
        ("POST /v1/accounts/acct_81/attribution", 200, json!({ "account_id": "acct_81" })),
        ("POST /v1/accounts/acct_81/hold", 200, json!({ "account_id": "acct_81" })),
        ("GET /v1/nodes", 200, page(json!([]), json!(null))),
        ("DELETE /v1/nodes/node_0000000000001", 204, json!(null)),
        (
            "POST /v1/affiliates/aff_0000000000001/activation",
            202,
            json!({ "id": AFFILIATE, "accepted": true }),
        ),
        ("POST /v1/staff", 201, json!({ "id": "stf_0000000000001", "one_time_url": "http://x/y" })),
        ("GET /v1/staff?limit=500", 200, page(json!([]), json!(null))),
        ("POST /v1/staff/stf_0000000000001/invite", 200, json!({ "id": "stf_0000000000001" })),
        ("POST /v1/staff/stf_0000000000001/disable", 200, json!({ "id": "stf_0000000000001" })),
        ("PATCH /v1/staff/stf_0000000000001", 200, json!({ "id": "stf_0000000000001" })),
        ("POST /v1/aggregate", 200, json!({ "as_of": "x", "closed": [] })),
        ("GET /v1/aggregate", 200, json!({ "running": false, "done": 0, "total": 0 })),
        (
            "GET /v1/statements?month=2026-04&affiliate_id=aff_0000000000001&limit=500",
            200,
            page(
                json!([{ "total": "1.00", "currency": "USD", "lines": [], "adjustments": [] }]),
                json!(null),
            ),
        ),
    ]);
    for (line, method, path, body) in [
        (
            "affiliate bring-over --name Ada --email a@b.example --agreement-accepted-at 2026-01-01T00:00:00Z",
            "POST",
            "/v1/affiliates",
            json!({
                "name": "Ada", "email": "a@b.example", "active": true,
                "agreement_accepted_at": "2026-01-01T00:00:00+00:00",
            }),
        ),
        (
            "affiliate set aff_0000000000001 --company= --exempt-from-holds true",
            "PATCH",
            "/v1/affiliates/aff_0000000000001",
            json!({ "company": null, "exempt_from_holds": true }),
        ),
        (
            "affiliate suspend aff_0000000000001 --reason why",
            "POST",
            "/v1/affiliates/aff_0000000000001/suspend",
            json!({ "reason": "why" }),
        ),
        ("affiliate list", "GET", "/v1/affiliates?limit=500&cursor=a+b", json!(null)),
        (
            "account credit acct_81 --nobody --reason why",
            "POST",
            "/v1/accounts/acct_81/attribution",
            json!({ "affiliate_id": null, "reason": "why" }),
        ),
        (
            "account hold acct_81 --reason why",
            "POST",
            "/v1/accounts/acct_81/hold",
            json!({ "reason": "why" }),
        ),
        (
            "affiliate invite aff_0000000000001",
            "POST",
            "/v1/affiliates/aff_0000000000001/activation",
            json!({}),
        ),
        (
            "staff create --name Ann --email a@b.example --role read-only",
            "POST",
            "/v1/staff",
            json!({ "name": "Ann", "email": "a@b.example", "role": "read_only" }),
        ),
        ("staff list", "GET", "/v1/staff?limit=500", json!(null)),
        ("staff invite stf_0000000000001", "POST", "/v1/staff/stf_0000000000001/invite", json!({})),
        ("staff disable stf_0000000000001", "POST", "/v1/staff/stf_0000000000001/disable", json!({})),
        (
            "staff role stf_0000000000001 admin",
            "PATCH",
            "/v1/staff/stf_0000000000001",
            json!({ "role": "admin" }),
        ),
        ("node list", "GET", "/v1/nodes", json!(null)),
        ("node forget node_0000000000001", "DELETE", "/v1/nodes/node_0000000000001", json!(null)),
        (
            "statement show aff_0000000000001 2026-04",
            "GET",
            "/v1/statements?month=2026-04&affiliate_id=aff_0000000000001&limit=500",
            json!(null),
        ),
    ] {
        command(&stub, dir.path(), line).await.expect(line);
        let last = stub.asked().pop().expect("it asked");
        assert_eq!(last, (method.to_owned(), path.to_owned(), body), "{line}");
    }
    command(&stub, dir.path(), "aggregate --as-of 2026-05-04T04:15:00-04:00 --dry-run").await.expect("run");
    let run = stub.asked().into_iter().rfind(|(method, path, _)| method == "POST" && path == "/v1/aggregate");
    let body = json!({ "as_of": "2026-05-04T04:15:00-04:00", "dry_run": true });
    assert_eq!(run.map(|(_, _, body)| body), Some(body));
}

#[tokio::test]
async fn refusals_become_failures_with_their_words_and_codes() {
    let dir = tempfile::tempdir().expect("a directory");
    let stub = Stub::with(&[
        (
            "POST /v1/store/confirm",
            503,
            json!({ "title": "The store can't be reached", "code": "store_unavailable" }),
        ),
        (
            "POST /v1/affiliates/aff_0000000000001/approve",
            409,
            json!({ "title": "Not now", "code": "wrong_status" }),
        ),
        ("GET /v1/accounts/acct_81", 401, json!({})),
    ]);
    let failure = command(&stub, dir.path(), "store confirm").await.expect_err("refused");
    assert!(
        matches!(&failure, Failure::Unavailable(text) if text.contains("store_unavailable")),
        "{failure:?}"
    );
    let failure =
        command(&stub, dir.path(), "affiliate approve aff_0000000000001").await.expect_err("refused");
    assert_eq!(failure, Failure::Other("Not now (wrong_status)".into()));
    let failure = command(&stub, dir.path(), "account show acct_81").await.expect_err("refused");
    assert!(matches!(&failure, Failure::Other(text) if text.contains("keys/admin")), "{failure:?}");
    assert_eq!(*stub.stops.lock().expect("no panic"), 3, "a failed command stops its server too");
}

#[tokio::test]
async fn an_import_sends_the_file_and_fails_when_lines_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a.ndjson");
    std::fs::write(&file, "{\"kind\":\"signup\"}\n".repeat(10_000)).expect("a file");
    let mut stub = Stub::default();
    let good = json!({ "line": 1, "status": "created" });
    stub.answers.insert("POST /v1/import", (200, format!("{good}\n{good}\n")));
    let line = format!("import {}", file.display());
    command(&stub, dir.path(), &line).await.expect("all accepted");
    let bad = json!({ "line": 2, "status": "invalid", "code": "invalid_plan" });
    stub.answers.insert("POST /v1/import?dry_run=true", (200, format!("{good}\n{bad}\n")));
    let failure = command(&stub, dir.path(), &format!("{line} --dry-run")).await.expect_err("one is bad");
    assert!(matches!(&failure, Failure::Other(text) if text.starts_with("1 of the lines")), "{failure:?}");
    let missing = command(&stub, dir.path(), "import /nowhere.ndjson").await.expect_err("no file");
    assert!(matches!(missing, Failure::Usage(_)), "{missing:?}");
    std::fs::write(&file, b"\xff\xfe{\0}\0").expect("a file");
    let utf16 = command(&stub, dir.path(), &line).await.expect_err("another encoding");
    assert!(matches!(&utf16, Failure::Usage(text) if text.contains("save it as UTF-8")), "{utf16:?}");
}

#[tokio::test]
async fn a_doctor_that_finds_something_ends_with_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let finding = |ok: bool| json!({ "ok": ok, "findings": [{ "check": "store", "ok": ok, "text": "so" }] });
    let proof = json!({ "untouched": false, "damage": ["a bit flipped"] });
    let ill = Stub::with(&[("GET /v1/doctor", 200, finding(false)), ("GET /v1/verify", 200, proof)]);
    assert_eq!(command(&ill, dir.path(), "doctor --json").await, Err(Failure::Silent(1)));
    assert_eq!(command(&ill, dir.path(), "verify").await, Err(Failure::Silent(1)));
    let rebuild = format!("rebuild --journal {}", dir.path().display());
    assert_eq!(command(&ill, dir.path(), &rebuild).await, Ok(()));
}
