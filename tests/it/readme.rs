//! The README as a newcomer walks through it: its commands in their order, the people that it names, its request.

use crate::support::app::{TestApp, Visitor};
use crate::support::person::{PASSWORD, Person, newest_link};
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
    for line in README.lines().filter(|line| line.starts_with("counterfoil ")) {
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
