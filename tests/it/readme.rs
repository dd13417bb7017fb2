//! The README as a newcomer walks through it: its commands in their order, the people that it names, its request, and
//! its way to a payment.

use crate::support::app::{TestApp, Visitor};
use crate::support::person::{PASSWORD, Person, newest_link};
use serde_json::Value;
use std::process::Command;

const README: &str = include_str!("../../README.md");

/// What is written between two texts, the first time.
fn between(start: &str, end: &str) -> &'static str {
    let (_, rest) = README.split_once(start).unwrap_or_else(|| panic!("{start} in the README"));
    rest.split_once(end).unwrap_or_else(|| panic!("{end} in the README")).0
}

/// Types a command as the README has it; answers what it says.
fn types(app: &TestApp, line: &str) -> String {
    let (program, config) = (env!("CARGO_BIN_EXE_counterfoil"), app.config().display().to_string());
    let script = format!("counterfoil() {{ {program} --config {config} \"$@\"; }}\n{line}");
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text")
}

fn first_id(said: &str) -> String {
    let id = said.split_whitespace().find(|word| word.starts_with("aff_"));
    id.unwrap_or_else(|| panic!("an id in {said}")).to_owned()
}

#[tokio::test]
async fn the_readme_leads_a_newcomer_from_the_first_command_to_a_credited_signup() {
    let mut app = TestApp::start().await;
    // The server, a minute ahead, takes none for the future.
    #[expect(clippy::disallowed_methods, reason = "the commands of the README name the time of this machine")]
    let now = || (chrono::Utc::now() + chrono::TimeDelta::minutes(1)).to_rfc3339();
    app.set_now(&now()).await;

    // Run it.
    let mut listed = String::new();
    let first_steps = between("## Run it", "## How a partner joins");
    for line in first_steps.lines().filter(|line| line.starts_with("counterfoil ")) {
        let line = line.split(" #").next().unwrap_or(line);
        let line = if line.contains("AFFILIATE_ID") {
            line.replace("AFFILIATE_ID", &first_id(&listed))
        } else {
            line.into()
        };
        let said = types(&app, &line);
        if line.contains("affiliate list") {
            listed = said;
        }
    }
    assert!(!listed.is_empty(), "the README lists its affiliates");

    // An application of a new partner, so that something waits.
    let email = between("as Ann with ", ". The application");
    let application = [
        ("name", "Ann Lee"),
        ("company", "Lee Media"),
        ("email", email),
        ("website", "partners.example"),
        ("partner_type", "affiliate"),
        ("promotion", "A newsletter for shops"),
    ];
    let mut ann = Person::at(app.public);
    ann.sends("/apply", &application).await.expect_status(303);
    app.settles().await;
    let id = first_id(&types(&app, "counterfoil affiliate list --status applied"));
    types(&app, &format!("{}{id}", between("or with `", "AFFILIATE_ID`")));
    let link = newest_link(&app, email, "approved").await;
    let token = link.split_once("token=").expect("a token").1;
    ann.sends("/activate", &[("token", token), ("new_password", PASSWORD)]).await.expect_status(303);
    let page = ann.sees("/agreement").await;
    let version = page.split_once("name=\"version\" value=\"").expect("a version").1.split('"').next();
    let signature = [("version", version.unwrap_or_default()), ("signature", "Ann Lee"), ("agree", "yes")];
    ann.sends_signed("/agreement", "/agreement", &signature).await.expect_status(303);
    let home = ann.sees("/portal").await;
    let shared = home.split_once("id=\"link\" value=\"").expect("the link").1.split('"').next();
    let shared = shared.unwrap_or_default().replace("&#x2f;", "/");

    // A program gets no token; the user agent that the README names passes as a person.
    let mut visitor = Visitor::default();
    assert!(
        visitor
            .follows(&shared, "curl/8.14.1")
            .await
            .header("location")
            .is_some_and(|to| !to.contains("cfoil"))
    );
    let agent = between("`curl -A \"", "\"`");
    let landed = visitor.follows(&shared, agent).await;
    assert!(
        landed.header("location").is_some_and(|to| to.contains("?cfoil=")),
        "{:?}",
        landed.header("location")
    );

    // The request of *The life of a click*.
    visitor.clicks(&shared).await;
    let body = between("-d '", "}'").replace("'$(date -u +%FT%TZ)'", &now());
    let body = body.replace("<cfoil>", visitor.cfoil.as_deref().expect("a token")) + "}";
    let body = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    app.post("/v1/signups", &body).await.expect_status(201);
    let said = types(&app, &format!("counterfoil {}", between("id; `counterfoil ", "` names Ann")));
    assert!(said.contains("Ann Lee"), "{said}");
    assert!(ann.sees("/portal/referrals").await.contains("acct_81"));
}

#[tokio::test]
async fn the_readme_leads_from_a_closed_statement_to_its_payment() {
    let mut app = TestApp::start().await;
    let said = types(
        &app,
        "counterfoil affiliate bring-over --name Zoe --email zoe@partners.example --paypal-email zoe@pay.example \
         --agreement-accepted-at 2025-12-01T00:00:00Z --json",
    );
    let zoe: Value = serde_json::from_str(&said).expect("JSON");
    let (id, link) =
        (zoe["id"].as_str().expect("an id"), zoe["default_link"]["url"].as_str().expect("a link"));
    let mut visitor = Visitor::default();
    visitor.clicks(link).await;
    app.signs_up(&visitor, "acct-1", "growth").await.expect_status(201);
    app.night_of("2026-05-05T04:15:00-04:00").await;
    app.set_now("2026-05-31T10:00:00-04:00").await;

    let files = tempfile::tempdir().expect("a directory");
    let path = |name: &str| files.path().join(name).display().to_string();
    let (mut payout, mut hash, mut said) = (String::new(), String::new(), Vec::new());
    let section = between("## The life of a commission", "## The staff's pages");
    for line in section.lines().filter(|line| line.starts_with("counterfoil payout ")) {
        let line = line.split(" #").next().unwrap_or(line);
        let typed = line.replace("PAYOUT", &payout).replace("HASH", &hash).replace("AFFILIATE_ID", id);
        let typed =
            typed.replace("paypal.csv", &path("paypal.csv")).replace("report.csv", &path("report.csv"));
        let answer = types(&app, &typed);
        if line.contains("payout make") {
            let word = |wanted: fn(&&str) -> bool| {
                answer.split_whitespace().find(wanted).expect("a word").to_owned()
            };
            payout = word(|word| word.starts_with("pay_"));
            hash = word(|word| word.len() == 64);
        }
        if line.contains("payout export") {
            let file = std::fs::read_to_string(path("paypal.csv")).expect("PayPal's file");
            let cells: Vec<&str> = file.split(',').collect();
            assert_eq!(cells[..3], ["zoe@pay.example", "99.00", "USD"]);
            let report = format!(
                "Recipient,Customer ID,Amount,Currency,Status\n{},{},99.00,USD,Completed\n",
                cells[0], cells[3]
            );
            std::fs::write(path("report.csv"), report).expect("a file");
        }
        said.push((line, answer));
    }
    let answer = |command: &str| {
        let answers =
            said.iter().filter(|(line, _)| line.contains(command)).map(|(_, answer)| answer.as_str());
        answers.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(answer("payout items").matches("zoe@pay.example").count(), 1);
    assert_eq!(answer("payout results").matches("1 changes, 0 rows for a person").count(), 2, "{said:?}");
    assert!(answer("payout status").contains("nothing is in the way"), "{said:?}");
    let balance = answer("payout balance");
    assert!(balance.lines().any(|line| line.split_whitespace().eq(["paid", "99.00"])), "{balance}");
    assert!(answer("payout year").contains(",2026,99.00,0.00,99.00,USD"), "{said:?}");
}
