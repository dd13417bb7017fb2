//! Mail, from what brings it about to a real mail server: delivered, refused, late, cut off, secured.

use crate::support::app::TestApp;
use crate::support::inbox::{Inbox, Mode, PASSWORD, USER, mail_files};
use crate::support::person::{PASSWORD as PERSON, Person};
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ANN: &str = "ann@partners.example";
const BOB: &str = "bob@partners.example";

/// Somebody's application is approved: that brings a mail. Answers the affiliate's id.
async fn approved(app: &TestApp, name: &str, email: &str) -> String {
    let application = json!({"name": name, "email": email});
    let made = app.post("/v1/affiliates", &application).await.expect_status(201).json();
    let id = made["id"].as_str().expect("an id").to_owned();
    takes_step(app, &id, "approve").await;
    id
}
async fn ann_is_approved(app: &TestApp) -> String {
    approved(app, "Ann Lee", ANN).await
}
async fn bob_is_approved(app: &TestApp) -> String {
    approved(app, "Bob", BOB).await
}
async fn takes_step(app: &TestApp, id: &str, step: &str) {
    app.post(&format!("/v1/affiliates/{id}/{step}"), &json!({"reason": "a test"})).await.expect_status(200);
}

/// Waits until a metric has a value.
async fn wait_for_metric(app: &TestApp, line: &str, value: u64) {
    let begun = Instant::now();
    while app.metric(line).await != value {
        assert!(begun.elapsed() < Duration::from_secs(30), "{line} is not {value}:\n{}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
const SENT: &str = "counterfoil_mails_total{outcome=\"sent\"}";
const FAILED: &str = "counterfoil_mails_total{outcome=\"failed\"}";
const GIVEN_UP: &str = "counterfoil_mails_total{outcome=\"given_up\"}";
const BACKLOG: &str = "counterfoil_outbox_backlog";

async fn a_mail_is_delivered_once(store: &str) {
    let inbox = Inbox::start().await;
    let mut app = TestApp::start_with(store, &inbox.config()).await;
    ann_is_approved(&app).await;
    let welcome = inbox.wait_for(ANN, 1).await.remove(0);
    assert!(welcome.subject().starts_with("Welcome"), "{welcome:?}");
    assert!(welcome.text.starts_with("Hello Ann Lee,\n"), "{}", welcome.text);
    assert_eq!(welcome.sender, "affiliates@program.example");
    assert_eq!(welcome.header("auto-submitted"), "auto-generated");
    assert!(welcome.header("message-id").ends_with("@program.example>"), "{welcome:?}");
    let link = welcome.link();
    assert!(link.starts_with(&format!("http://{}/activate?", app.public)), "{link}");

    // Neither the log nor anything on disk has the link.
    wait_for_metric(&app, SENT, 1).await;
    wait_for_metric(&app, BACKLOG, 0).await;
    let token = link.split("token=").nth(1).expect("a token").to_owned();
    assert!(!app.log().contains(&token) && !app.log().contains(ANN), "{}", app.log());

    // A new start sends nothing again.
    assert_eq!(app.stop().await, Some(0));
    app.run().await;
    bob_is_approved(&app).await;
    inbox.wait_for(BOB, 1).await;
    assert_eq!(inbox.mails().len(), 2);
    for file in files_below(&app.data_dir()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let found = bytes.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!found, "{} holds a one-time link", file.display());
    }
}

fn files_below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let (mut files, mut left) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                std::fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("one").path()),
            );
        } else {
            files.push(path);
        }
    }
    files
}

#[tokio::test]
async fn a_mail_is_delivered_once_with_the_embedded_store() {
    a_mail_is_delivered_once("sqlite").await;
}

#[tokio::test]
async fn a_mail_is_delivered_once_with_redis() {
    let redis = Server::start(Program::Redis, &[]);
    a_mail_is_delivered_once(&redis.url()).await;
}

#[tokio::test]
async fn a_mail_that_is_refused_for_now_is_tried_again_ever_more_rarely() {
    let inbox = Inbox::start().await;
    let mut app = TestApp::start_with("sqlite", &inbox.config()).await;
    inbox.set(Mode::Later);
    ann_is_approved(&app).await;
    wait_for_metric(&app, FAILED, 1).await;
    // Another's mail does not wait for it.
    app.set_now("2026-01-01T09:00:30-05:00").await;
    inbox.set(Mode::Take);
    bob_is_approved(&app).await;
    inbox.wait_for(BOB, 1).await;
    assert_eq!(inbox.asked(ANN), 1);
    inbox.set(Mode::Later);
    app.set_now("2026-01-01T09:01:00-05:00").await;
    wait_for_metric(&app, FAILED, 2).await;
    app.set_now("2026-01-01T09:17:00-05:00").await;
    wait_for_metric(&app, FAILED, 3).await;
    let finding = mail_finding(&app).await;
    assert_eq!(finding["ok"], json!(false), "{finding}");
    let text = finding["text"].as_str().expect("a text");
    assert!(text.contains("1 wait") && text.contains("451"), "{text}");
    // The next wait is of half an hour.
    inbox.set(Mode::Take);
    app.set_now("2026-01-01T09:49:00-05:00").await;
    inbox.wait_for(ANN, 1).await;
    wait_for_metric(&app, BACKLOG, 0).await;
    assert_eq!((inbox.asked(ANN), app.metric(FAILED).await), (4, 3));
    assert_eq!(mail_finding(&app).await["ok"], json!(true));
    assert!(!app.log().contains(ANN), "{}", app.log());
}

async fn mail_finding(app: &TestApp) -> Value {
    let findings = app.get("/v1/doctor").await.json()["findings"].clone();
    let mail = findings.as_array().and_then(|list| list.iter().find(|finding| finding["check"] == "mail"));
    mail.expect("a finding on mail").clone()
}

#[tokio::test]
async fn a_mail_that_is_refused_for_good_or_for_three_days_is_given_up() {
    let inbox = Inbox::start().await;
    let mut app = TestApp::start_with("sqlite", &inbox.config()).await;
    inbox.set(Mode::Never);
    let id = app.partner("ann").await.id;
    takes_step(&app, &id, "suspend").await;
    wait_for_metric(&app, GIVEN_UP, 1).await;
    wait_for_metric(&app, BACKLOG, 0).await;
    assert_eq!(inbox.asked(ANN), 1);

    inbox.set(Mode::Later);
    takes_step(&app, &id, "reinstate").await;
    wait_for_metric(&app, FAILED, 1).await;
    app.set_now("2026-01-04T08:59:00-05:00").await;
    wait_for_metric(&app, GIVEN_UP, 2).await;
    wait_for_metric(&app, BACKLOG, 0).await;
    // What was given up is not sent later.
    inbox.set(Mode::Take);
    bob_is_approved(&app).await;
    inbox.wait_for(BOB, 1).await;
    assert_eq!(inbox.mails().len(), 1);
}

/// If a mail server fails for one mail, the others are sent at once, and that one is tried again.
#[tokio::test]
async fn a_mail_that_fails_alone_delays_no_other() {
    let inbox = Inbox::start().await;
    let mut app = TestApp::start_with("sqlite", &inbox.config()).await;
    let odd = ["cut", "cut-text", "bye", "login"];
    for name in odd {
        approved(&app, name, &format!("{name}@partners.example")).await;
    }
    ann_is_approved(&app).await;
    // No clock moves: a server that is left alone for a minute would keep it.
    inbox.wait_for(ANN, 1).await;
    wait_for_metric(&app, FAILED, odd.len() as u64).await;
    wait_for_metric(&app, BACKLOG, odd.len() as u64).await;
    assert_eq!(app.metric(GIVEN_UP).await, 0, "nor is any of them given up by what a server says of us");
    app.set_now("2026-01-01T09:01:00-05:00").await;
    wait_for_metric(&app, FAILED, 2 * odd.len() as u64).await;
    bob_is_approved(&app).await;
    inbox.wait_for(BOB, 1).await;
    assert_eq!(inbox.mails().len(), 2);
}

/// Ten applications with such addresses, and somebody's mail behind them.
#[tokio::test]
async fn an_address_that_the_server_cant_take_is_given_up_at_once_and_staff_see_why() {
    let mut inbox = Inbox::start().await;
    let app = TestApp::start_with("sqlite", &inbox.config()).await;
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(approved(&app, "Ånn", &format!("ånn{number}@partners.example")).await);
    }
    ann_is_approved(&app).await;
    inbox.wait_for(ANN, 1).await;
    wait_for_metric(&app, GIVEN_UP, 10).await;
    wait_for_metric(&app, BACKLOG, 0).await;
    assert_eq!((app.metric(FAILED).await, inbox.mails().len()), (0, 1));
    let audit = app.get("/v1/audit?limit=500").await.expect_status(200).json();
    let entries = audit["data"].as_array().expect("a list");
    let lost: Vec<&Value> = entries.iter().filter(|entry| !entry["lost"].is_null()).collect();
    assert_eq!(lost.len(), 10, "{audit}");
    for entry in lost {
        assert_eq!(
            (&entry["lost"]["kind"], &entry["lost"]["why"]),
            (&json!("approved"), &json!("needs_smtputf8"))
        );
        assert!(ids.iter().any(|id| entry["lost"]["person"] == json!(id)), "{entry}");
    }

    let member = json!({"name": "Bob", "email": "bob@company.example", "role": "read_only"});
    let made = app.post("/v1/staff", &member).await.expect_status(201).json();
    let (_, token) =
        made["one_time_url"].as_str().and_then(|link| link.split_once("token=")).expect("a link");
    let mut bob = Person::at(app.internal);
    bob.sends("/admin/activate", &[("token", token), ("new_password", PERSON)]).await.expect_status(303);
    for path in [format!("/admin/affiliates/{}", ids[0]), "/admin/audit".to_owned()] {
        assert!(bob.sees(&path).await.contains("it lacks SMTPUTF8"), "{path}");
    }

    // A server that takes them gets them.
    inbox.kill();
    inbox.offer_smtputf8();
    inbox.serve().await;
    app.post(&format!("/v1/affiliates/{}/activation", ids[0]), &json!({})).await.expect_status(202);
    inbox.wait_for("ånn0@partners.example", 1).await;
}

#[tokio::test]
async fn mail_for_an_international_domain_arrives_at_its_ascii_form() {
    let inbox = Inbox::start().await;
    let app = TestApp::start_with("sqlite", &inbox.config()).await;
    approved(&app, "Ann", "ann@bücher.example").await;
    let mail = inbox.wait_for("ann@xn--bcher-kva.example", 1).await.remove(0);
    assert!(mail.header("to").contains("ann@xn--bcher-kva.example"), "{mail:?}");
    assert!(mail.link().contains("/activate?token="), "{mail:?}");
}

#[tokio::test]
async fn mail_waits_for_a_mail_server_that_is_away() {
    let mut inbox = Inbox::start().await;
    inbox.kill();
    let mut app = TestApp::start_with("sqlite", &inbox.config()).await;
    ann_is_approved(&app).await;
    bob_is_approved(&app).await;
    wait_for_metric(&app, FAILED, 1).await;
    wait_for_metric(&app, BACKLOG, 2).await;
    // A long outage: each minute somebody is asked whether it is over, and nobody's mail is the worse for it.
    for minute in 1..6 {
        app.set_now(&format!("2026-01-01T09:{minute:02}:00-05:00")).await;
        wait_for_metric(&app, FAILED, 1 + minute).await;
    }
    inbox.serve().await;
    app.set_now("2026-01-01T09:06:00-05:00").await;
    inbox.wait_for(ANN, 1).await;
    inbox.wait_for(BOB, 1).await;
    wait_for_metric(&app, BACKLOG, 0).await;
    assert_eq!(inbox.mails().len(), 2);
}

/// The mail server has taken the mail; its yes has not come, or was not recorded: the mail goes once more, and says
/// itself that it is the same.
#[tokio::test]
async fn a_crash_before_the_record_sends_the_same_mail_again() {
    let inbox = Inbox::start().await;
    let mut app = TestApp::start_with("sqlite", &inbox.config()).await;
    inbox.set(Mode::Hang);
    ann_is_approved(&app).await;
    inbox.wait_for(ANN, 1).await;
    app.kill();
    inbox.set(Mode::Take);
    // The lease of the process that died must end first.
    app.run().await;
    let mails = inbox.wait_for(ANN, 2).await;
    assert_eq!(mails[0].header("message-id"), mails[1].header("message-id"));
    assert_eq!(mails[0].subject(), mails[1].subject());
    wait_for_metric(&app, BACKLOG, 0).await;
    assert_eq!(inbox.mails().len(), 2);
}

/// A store that was emptied does not know yet what was sent.
#[tokio::test]
async fn nothing_is_sent_while_the_store_is_being_rebuilt_and_nothing_twice() {
    let inbox = Inbox::start().await;
    let mut redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), &inbox.config()).await;
    let id = app.partner("ann").await.id;
    takes_step(&app, &id, "suspend").await;
    inbox.wait_for(ANN, 1).await;
    wait_for_metric(&app, BACKLOG, 0).await;
    assert_eq!(app.stop().await, Some(0));
    redis.operate::<String>(&["FLUSHALL"]);
    redis.kill();
    redis.start_again();
    app.spawn();
    let begun = Instant::now();
    while app.log().matches("the store is empty").count() == 0
        || app_answer(&app, "/healthz").await != Some(200)
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.settles().await;
    takes_step(&app, &id, "reinstate").await;
    wait_for_metric(&app, BACKLOG, 1).await;
    assert_eq!(inbox.mails().len(), 1);
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    inbox.wait_for(ANN, 2).await;
    wait_for_metric(&app, BACKLOG, 0).await;
    assert_eq!(inbox.mails().len(), 2);
}

async fn app_answer(app: &TestApp, path: &str) -> Option<u16> {
    crate::support::http::try_get(app.internal, path, &[]).await.map(|answer| answer.status)
}

/// Two nodes, one outbox.
#[tokio::test]
async fn two_nodes_send_each_mail_once() {
    let inbox = Inbox::start().await;
    let redis = Server::start(Program::Redis, &[]);
    let first = TestApp::start_with(&redis.url(), &inbox.config()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let second = second_node(&first, &redis, &inbox, dir.path()).await;
    for number in 0..20 {
        let app = if number % 2 == 0 { &first } else { &second };
        approved(app, "Partner", &format!("p{number}@partners.example")).await;
    }
    for number in 0..20 {
        inbox.wait_for(&format!("p{number}@partners.example"), 1).await;
    }
    wait_for_metric(&first, BACKLOG, 0).await;
    assert_eq!(inbox.mails().len(), 20);
    assert_eq!(first.metric(SENT).await + second.metric(SENT).await, 20);
}

/// A node that dies while it sends keeps the others from sending for some seconds only.
#[tokio::test]
async fn a_sending_node_that_dies_delays_mail_by_less_than_ten_seconds() {
    let inbox = Inbox::start().await;
    let redis = Server::start(Program::Redis, &[]);
    let mut first = TestApp::start_with(&redis.url(), &inbox.config()).await;
    inbox.set(Mode::Hang);
    ann_is_approved(&first).await;
    inbox.wait_for(ANN, 1).await;
    let dir = tempfile::tempdir().expect("a directory");
    let second = second_node(&first, &redis, &inbox, dir.path()).await;
    bob_is_approved(&second).await;
    wait_for_metric(&second, BACKLOG, 2).await;
    let died = Instant::now();
    first.kill();
    inbox.set(Mode::Take);
    inbox.wait_for(BOB, 1).await;
    assert!(died.elapsed() < Duration::from_secs(10), "{:?}", died.elapsed());
}

/// Another node on the same store, with the same keys.
async fn second_node(first: &TestApp, redis: &Server, inbox: &Inbox, dir: &std::path::Path) -> TestApp {
    let keys = first.data_dir().join("keys");
    let mut second = TestApp::prepare(dir, &redis.url(), &inbox.config());
    std::fs::create_dir_all(second.data_dir().join("keys")).expect("a directory");
    for key in ["k1", "pepper", "webhook"] {
        std::fs::copy(keys.join(key), second.data_dir().join("keys").join(key)).expect("a key");
    }
    second.run().await;
    second
}

#[tokio::test]
async fn mail_is_sent_under_tls_and_a_login() {
    let inbox = Inbox::start_secured().await;
    let files = tempfile::tempdir().expect("a directory");
    let password = files.path().join("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).expect("a file");
    let config = |ca_file: &std::path::Path| {
        format!(
            "[mail]\nurl = \"smtp://{}@localhost:{}?tls=required\"\npassword_file = \"{}\"\nca_file = \"{}\"\n",
            USER.replace('@', "%40"),
            inbox.port,
            password.display(),
            ca_file.display()
        )
    };
    let app = TestApp::start_with("sqlite", &config(&inbox.certificate())).await;
    ann_is_approved(&app).await;
    let mail = inbox.wait_for(ANN, 1).await.remove(0);
    assert!(mail.encrypted, "{mail:?}");
    assert_eq!(mail.login.as_deref(), Some(USER));

    // A server whose certificate nobody vouches for gets neither the mail nor the password.
    let stranger = files.path().join("stranger");
    crate::support::tls::make_certificate("localhost", &files.path().join("key"), &stranger);
    let app = TestApp::start_with("sqlite", &config(&stranger)).await;
    bob_is_approved(&app).await;
    wait_for_metric(&app, FAILED, 1).await;
    assert_eq!(inbox.mails().len(), 1);
    let finding = mail_finding(&app).await;
    assert!(finding["text"].as_str().is_some_and(|text| text.contains("certificate")), "{finding}");
}

#[tokio::test]
async fn without_a_mail_server_each_mail_is_a_file_and_its_link_is_shown() {
    let app = TestApp::start().await;
    ann_is_approved(&app).await;
    wait_for_metric(&app, SENT, 1).await;
    let files = mail_files(&app.data_dir());
    assert_eq!(files.len(), 1, "{files:?}");
    let text = std::fs::read_to_string(&files[0]).expect("a mail");
    assert!(
        text.contains("To: \"Ann Lee\" <ann@partners.example>") || text.contains("To: Ann Lee <"),
        "{text}"
    );
    let log = app.logs("mail         approved: ").await;
    assert!(log.contains("/activate?token="), "{log}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&files[0]).expect("a file").permissions());
    assert_eq!(mode & 0o077, 0, "only for its owner");
    let finding = mail_finding(&app).await;
    assert!(finding["text"].as_str().is_some_and(|text| text.contains("files in ")), "{finding}");
}
