//! What comes from outside as it really comes: callbacks signed by another's library, known programs and browsers,
//! a real browser on a landing page, and requests made up from the API document.

use crate::support::app::{BEGINNING, CHROME, KEY, TestApp, Visitor, bearer, cfoil_of};
use crate::support::{http, tls, tools};
use axum::Router;
use axum::extract::{Form, State};
use axum::response::Html;
use axum::routing::{get, post};
use counterfoil::for_tests::agents::{self, Agent};
use serde::Deserialize;
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// Where links lead, by default.
const LANDING_HOST: &str = "www.calltrackingmetrics.com";
/// Seconds for a small script.
const SCRIPT_SECONDS: u32 = 90;
/// Seconds for a browser to start and follow a link; it takes about three on an idle machine.
const BROWSER_SECONDS: u32 = 90;
/// Seconds for the requests made up from the document; they take about 20 on an idle machine.
const DOCUMENT_SECONDS: u32 = 180;

#[tokio::test]
async fn a_callback_signed_by_the_reference_library_is_taken_in() {
    let app = TestApp::start().await;
    let seconds =
        BEGINNING.parse::<chrono::DateTime<chrono::Utc>>().expect("a literal").timestamp().to_string();
    // Blanks, escapes and letters beyond ASCII: what is signed are the bytes as they are sent.
    let body = format!(
        "{{ \"account_id\": \"acct_1\",\n \"plan\": \"growth\", \"signed_up_at\": \"{BEGINNING}\", \
         \"email\": \"zo\\u00eb+é@example.com\" }}\n"
    );
    let secret = app.data_dir().join("keys/webhook");
    let script = tools::script("sign_callback.py");
    let arguments = [script.as_os_str(), secret.as_os_str(), "msg_1".as_ref(), seconds.as_ref()];
    let signed = tools::run_python(&arguments, SCRIPT_SECONDS, body.as_bytes()).await;
    assert!(signed.status.success(), "{}", tools::said(&signed));
    let signature = String::from_utf8(signed.stdout).expect("a text").trim().to_owned();

    let send = async |id: &str, seconds: &str, signature: &str, body: &str| {
        let headers = [("webhook-id", id), ("webhook-timestamp", seconds), ("webhook-signature", signature)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        http::post(app.internal, "/v1/signups", &headers, body.to_owned()).await
    };
    let later = (seconds.parse::<i64>().expect("seconds") + 1).to_string();
    let other_body = body.replace("growth", "connect");
    let other_signature =
        format!("v1,{}", signature.trim_start_matches("v1,").chars().rev().collect::<String>());
    send("msg_2", &seconds, &signature, &body).await.expect_status(401);
    send("msg_1", &later, &signature, &body).await.expect_status(401);
    send("msg_1", &seconds, &other_signature, &body).await.expect_status(401);
    send("msg_1", &seconds, &signature, &other_body).await.expect_status(401);
    app.get("/v1/accounts/acct_1").await.expect_status(404);
    send("msg_1", &seconds, &signature, &body).await.expect_status(201);
    send("msg_1", &seconds, &signature, &body).await.expect_status(200);
}

/// Patterns of the list of programs whose samples are browsers of people: a build of Android on many phones, an
/// editor that shows pages, Facebook's own browser, and a browser of Macs.
const PEOPLE_IN_THE_LIST: [&str; 4] = [r"AP3A\.240617\.008", r"Code\/1\.", "MetaIAB Facebook", "Fluid"];

/// A browser of people among so many may be taken for a program.
const ONE_IN: usize = 20_000;

#[tokio::test]
async fn agents_that_people_really_use_are_not_taken_for_programs() {
    let printed = tools::run_python(&[tools::script("agents_of_people.py")], SCRIPT_SECONDS, b"").await;
    assert!(printed.status.success(), "{}", tools::said(&printed));
    let printed = String::from_utf8(printed.stdout).expect("a text");
    let agents: Vec<&str> = printed.lines().filter(|agent| !agent.is_empty()).collect();
    assert!(agents.len() > 30_000, "{}", agents.len());
    let caught: Vec<&str> =
        agents.iter().copied().filter(|agent| agents::who(agent.as_bytes()) != Agent::Person).collect();
    println!("{} of {} agents of people are taken for programs: {caught:#?}", caught.len(), agents.len());
    assert!(caught.len() <= agents.len() / ONE_IN, "{} of {}: {caught:#?}", caught.len(), agents.len());
}

#[derive(Deserialize)]
struct Program {
    pattern: String,
    #[serde(default)]
    instances: Vec<String>,
}

/// What follows of clicks on a link by each of these agents, one after the other.
async fn all_follow(link: &str, agents: &[String], as_people: bool) {
    for agent in agents {
        let answer = Visitor::default().follows(link, agent).await.expect_status(302);
        let location = answer.header("location").unwrap_or_default();
        assert!(location.starts_with("https://www.calltrackingmetrics.com/plans"), "{agent}: {location}");
        assert_eq!(answer.header("set-cookie").is_some(), as_people, "the cookie of {agent}");
        assert_eq!(cfoil_of(&answer).is_some(), as_people, "the click token of {agent}");
    }
}

#[tokio::test]
async fn every_known_program_and_browser_arrives_and_only_people_count() {
    let app = TestApp::start().await;
    let (programs_partner, people_partner) = (app.partner("programs").await, app.partner("people").await);
    let list: Vec<Program> =
        serde_json::from_str(include_str!("../../src/domain/agents/crawler-user-agents.json"))
            .expect("the list");
    let (people, programs): (Vec<Program>, Vec<Program>) =
        list.into_iter().partition(|program| PEOPLE_IN_THE_LIST.contains(&&*program.pattern));
    let samples =
        |list: Vec<Program>| list.into_iter().flat_map(|program| program.instances).collect::<Vec<_>>();
    let (programs, mut people) = (samples(programs), samples(people));
    assert!(programs.len() > 2_000, "{}", programs.len());
    assert_eq!(people.len(), PEOPLE_IN_THE_LIST.len());
    people.extend(include_str!("../../src/domain/agents/browsers.txt").lines().map(str::to_owned));
    assert!(people.len() > 40, "{}", people.len());

    all_follow(&programs_partner.link, &programs, false).await;
    all_follow(&people_partner.link, &people, true).await;

    app.settles().await;
    let clicks = async |affiliate: &str| {
        let path = format!("/v1/stats?affiliate_id={affiliate}&from=2026-01-01&to=2026-01-01");
        app.get(&path).await.expect_status(200).json()["clicks"].clone()
    };
    let of_programs = clicks(&programs_partner.id).await;
    assert_eq!(of_programs["total"], json!(programs.len()), "{of_programs}");
    assert_eq!((&of_programs["human"], &of_programs["unique"]), (&json!(0), &json!(0)), "{of_programs}");
    let of = |reason: &str| of_programs["by_reason"][reason].as_u64().unwrap_or_default();
    assert_eq!(of("bot") + of("assistant"), programs.len() as u64, "{of_programs}");
    assert!(of("assistant") > 10, "{of_programs}");
    let of_people = clicks(&people_partner.id).await;
    for figure in ["total", "human", "unique"] {
        assert_eq!(of_people[figure], json!(people.len()), "{figure}: {of_people}");
    }
}

/// The company's site: a plans page with a signup form, and the back end that takes the form and reports it.
struct Company {
    tracking: SocketAddr,
    internal: SocketAddr,
    seen: Mutex<Vec<Signup>>,
}

/// A signup as the back end saw it.
#[derive(Debug, Clone)]
struct Signup {
    /// The form's hidden field.
    cfoil: Option<String>,
    /// The `Cookie` header.
    cookies: String,
    /// What Counterfoil answered.
    status: u16,
    answer: Value,
}

#[derive(Deserialize)]
struct SignupForm {
    account: String,
    cfoil: Option<String>,
}

/// The form knows nothing of `cfoil`: `counterfoil.js` adds it. The page presses its own button.
async fn plans_page(State(company): State<Arc<Company>>) -> Html<String> {
    Html(format!(
        r#"<!doctype html><title>Plans</title><script src="http://{}/counterfoil.js"></script>
        <form data-counterfoil method="post" action="/signup">
        <input name="account" value="acct_81"><button id="join">Join</button></form>
        <script>addEventListener("load", function () {{ document.getElementById("join").click(); }});</script>"#,
        company.tracking
    ))
}

async fn signup(
    State(company): State<Arc<Company>>,
    headers: ::http::HeaderMap,
    Form(form): Form<SignupForm>,
) -> Html<&'static str> {
    let body =
        json!({"account_id": form.account, "plan": "growth", "signed_up_at": BEGINNING, "click": form.cfoil});
    let answer = http::post(company.internal, "/v1/signups", &bearer(), body.to_string()).await;
    let cookies = headers.get("cookie").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let signup = Signup {
        cfoil: form.cfoil,
        cookies: cookies.unwrap_or_default(),
        status: answer.status,
        answer: serde_json::from_slice(&answer.body).unwrap_or_default(),
    };
    company.seen.lock().expect("nobody panics with it").push(signup);
    Html("<!doctype html><title>Welcome</title><p>Welcome aboard")
}

#[tokio::test]
async fn a_real_browser_carries_its_click_from_the_link_to_the_signup() {
    let chromium = tools::chromium();
    let app = TestApp::start().await;
    let company =
        Arc::new(Company { tracking: app.public, internal: app.internal, seen: Mutex::new(Vec::new()) });
    let router = Router::new().route("/plans", get(plans_page)).route("/signup", post(signup));
    let listener = tls::Listener::bind(LANDING_HOST).await;
    let site = listener.address();
    tokio::spawn(axum::serve(listener, router.with_state(company.clone())).into_future());

    let partner = app.partner("bea").await;
    let profile = tempfile::tempdir().expect("a directory");
    let mut profile_option = OsString::from("--user-data-dir=");
    profile_option.push(profile.path());
    let prepare = |command: &mut Command| {
        command.args(["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]);
        command.args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]);
        // Only pages of this test are shown; root has no sandbox.
        command.arg("--no-sandbox").arg(profile_option).env("HOME", profile.path());
        // The company's site is here, under a certificate that nobody vouches for; nothing else is reached.
        let hosts = format!("MAP {LANDING_HOST}:443 {site}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1");
        command.arg(format!("--host-resolver-rules={hosts}")).arg("--ignore-certificate-errors");
        // Without a head it would say so in its name, and be taken for the program that it is.
        command.arg(format!("--user-agent={CHROME}"));
        command.args(["--virtual-time-budget=10000", "--dump-dom"]).arg(&partner.link);
    };
    let shown = tools::run(chromium, BROWSER_SECONDS, prepare, b"").await;
    let said = tools::said(&shown);
    assert!(shown.status.success() && said.contains("Welcome aboard"), "{said}");

    let seen = company.seen.lock().expect("nobody panics with it").clone();
    let [signup] = seen.as_slice() else { panic!("one signup, not {seen:?}\n{said}") };
    assert_eq!(signup.status, 201, "{signup:?}");
    assert_eq!(signup.answer["affiliate_id"], json!(partner.id), "{signup:?}");
    assert_eq!((&signup.answer["via"], &signup.answer["reason"]), (&json!("click"), &json!("attributed")));
    // The site has counterfoil.js's cookie, and not the tracking host's own.
    let cfoil = signup.cfoil.as_deref().expect("the hidden field");
    assert_eq!(signup.cookies, format!("cfoil={cfoil}"));

    app.settles().await;
    let path = format!("/v1/stats?affiliate_id={}&from=2026-01-01&to=2026-01-01", partner.id);
    let clicks = app.get(&path).await.expect_status(200).json()["clicks"].clone();
    assert_eq!((&clicks["total"], &clicks["human"]), (&json!(1), &json!(1)), "{clicks}");
}

#[tokio::test]
async fn the_api_does_as_its_document_says() {
    let app = TestApp::start().await;
    let partner = app.partner("doc").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    // The example of the document: operations on an account find one.
    app.signs_up(&visitor, "acct_81", "growth").await.expect_status(201);
    let document = format!("http://{}/openapi.json", app.internal);
    let key = format!("Authorization: Bearer {KEY}");
    let config = tools::script("schemathesis.toml");
    let arguments = ["-m", "schemathesis.cli", "--no-color", "--config-file"].map(OsStr::new);
    let asked = ["run", &document, "--header", &key].map(OsStr::new);
    let arguments = [&arguments[..], &[config.as_os_str()], &asked[..]].concat();
    let tried = tools::run_python(&arguments, DOCUMENT_SECONDS, b"").await;
    let said = tools::said(&tried);
    assert!(tried.status.success(), "{said}");
    assert!(said.contains("Tested: "), "{said}");
    app.get("/readyz").await.expect_status(200);
    let log = app.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}
