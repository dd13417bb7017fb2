//! The affiliate's door and the staff's desk in a real browser, told as stories: with a mail server, a landing page
//! of the company, and nights. Each page that a story passes is looked at by axe-core, at a phone's and a desk's width.

use crate::payout_pages::{is_paid_to, payment};
use crate::support::app::{BEGINNING, TestApp};
use crate::support::browser::{Browser, PHONE};
use crate::support::company::{Company, LANDING_HOST};
use crate::support::http;
use crate::support::inbox::Inbox;
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const ANN: &str = "ann@partners.example";
const PASSWORD: &str = "a quiet walk by the river";
const STAFF: &str = "sam@program.example";
const STAFF_PASSWORD: &str = "seven grey geese in a row";
const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";
const SPACE: &str = " ";

/// A server with its mail, as the stories see it.
struct Door {
    app: TestApp,
    inbox: Inbox,
}

impl Door {
    async fn start(store: &str) -> Self {
        let inbox = Inbox::start().await;
        let app = TestApp::start_with(store, &inbox.config()).await;
        Self { app, inbox }
    }
    fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.public)
    }
    fn desk(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.internal)
    }

    /// A member of staff, who chooses a password and is signed in.
    async fn staff(&self, browser: &Browser, role: &str) {
        let member = json!({"name": "Sam Staff", "email": STAFF, "role": role});
        let made = self.app.post("/v1/staff", &member).await.expect_status(201).json();
        browser.goto(made["one_time_url"].as_str().expect("a one-time link")).await;
        browser.fill("#new_password", STAFF_PASSWORD).await;
        browser.press("Save and sign in").await;
        browser.sees("What waits").await;
    }
    async fn staff_signs_in(&self, browser: &Browser) {
        browser.goto(&self.desk("/admin/login")).await;
        browser.fill("#email", STAFF).await;
        browser.fill("#password", STAFF_PASSWORD).await;
        browser.press("Sign in").await;
        browser.sees("What waits").await;
    }

    /// An affiliate who was approved, chooses a password, signs, and is signed in. Answers its id.
    async fn affiliate(&self, browser: &Browser, name: &str, email: &str) -> String {
        let application = json!({"name": name, "email": email});
        let made = self.app.post("/v1/affiliates", &application).await.expect_status(201).json();
        let id = made["id"].as_str().expect("an id").to_owned();
        self.app.post(&format!("/v1/affiliates/{id}/approve"), &json!({})).await.expect_status(200);
        let link = self.inbox.wait_for_subject(email, "Welcome").await.link();
        browser.goto(&link).await;
        self.activates(browser, name).await;
        id
    }
    /// Chooses a password on the page that is open, and signs.
    async fn activates(&self, browser: &Browser, name: &str) {
        browser.fill("#new_password", PASSWORD).await;
        browser.press("Activate my account").await;
        browser.sees("One last step: the agreement").await;
        browser.fill("#signature", name).await;
        browser.click("#agree").await;
        browser.press("Sign the agreement").await;
        browser.sees("Your link").await;
    }
    async fn signs_in(&self, browser: &Browser, email: &str, password: &str) {
        browser.goto(&self.page("/login")).await;
        browser.fill("#email", email).await;
        browser.fill("#password", password).await;
        browser.press("Sign in").await;
    }
    async fn ann_signs_in(&self, browser: &Browser) {
        self.signs_in(browser, ANN, PASSWORD).await;
        browser.sees("Hello, Ann").await;
    }
}

/// From the application to the statement.
async fn an_affiliates_life(store: &str, look: bool) {
    let mut door = Door::start(store).await;
    let mut ann = Browser::start().await;
    let look = async |browser: &mut Browser, name: &str| {
        if look {
            browser.inspect(name).await;
        }
    };

    // Ann applies; the page shows what she left out.
    ann.goto(&door.page("/")).await;
    look(&mut ann, "home-of-strangers").await;
    ann.goto(&door.page("/apply")).await;
    look(&mut ann, "apply").await;
    ann.press("Send application").await;
    ann.sees("another look").await;
    assert!(ann.title().await.starts_with("Error: "), "{}", ann.title().await);
    look(&mut ann, "apply-errors").await;
    ann.fill("#name", "Ann Lee").await;
    ann.fill("#email", ANN).await;
    ann.fill("#website", "annlee.example").await;
    ann.fill("#promotion", "I write about call tracking <b>every</b> week.").await;
    assert_eq!(ann.value_of("#partner_type option:checked", "value").await, "", "nobody chose for her");
    ann.fill("#company", "Lee Media").await;
    ann.click("#partner_type option[value=affiliate]").await;
    ann.press("Send application").await;
    ann.sees("Your application is with us").await;
    look(&mut ann, "apply-thanks").await;
    let received = door.inbox.wait_for_subject(ANN, "We have your application").await;
    assert!(received.text.starts_with("Hello Ann Lee,"), "{}", received.text);

    // Staff approve.
    let mut sam = Browser::start().await;
    door.staff(&sam, "reviewer").await;
    look(&mut sam, "staff-home").await;
    sam.goto(&door.desk("/admin/review")).await;
    look(&mut sam, "staff-review").await;
    sam.press("Ann Lee").await;
    sam.sees("<b>every</b>").await;
    look(&mut sam, "staff-application").await;
    sam.press("Approve").await;

    // The mail's link is opened by a scanner first, twice; it still works, and then never again.
    let link = door.inbox.wait_for_subject(ANN, "Welcome").await.link();
    for _ in 0..2 {
        let path = link.strip_prefix(&door.page("")).expect("an address of ours");
        http::get(door.app.public, path, &[]).await.expect_status(200);
    }
    ann.goto(&link).await;
    look(&mut ann, "activate").await;
    ann.fill("#new_password", "too short").await;
    ann.press("Activate my account").await;
    ann.sees("another look").await;
    ann.fill("#new_password", PASSWORD).await;
    ann.press("Activate my account").await;
    ann.sees("One last step: the agreement").await;
    look(&mut ann, "agreement").await;
    // Nothing else is open before it is signed.
    ann.goto(&door.page("/portal/links")).await;
    assert_eq!(ann.path().await, "/agreement");
    ann.press("Sign the agreement").await;
    ann.sees("need another look").await;
    ann.fill("#signature", "Ann Lee").await;
    ann.click("#agree").await;
    ann.press("Sign the agreement").await;
    ann.sees("Your link").await;
    look(&mut ann, "portal-new").await;
    let signed = door.inbox.wait_for_subject(ANN, "You signed the agreement").await;
    assert!(signed.text.contains("Signed by: Ann Lee"), "{}", signed.text);
    let other = Browser::start().await;
    other.goto(&link).await;
    assert!(!other.has("#new_password").await, "the link works twice");

    // She copies her link; somebody elsewhere follows it, and signs up.
    ann.press("Copy").await;
    ann.sees("Copied").await;
    let shared = ann.value_of("#link", "value").await;
    assert!(shared.starts_with(&door.page("/r/")), "{shared}");
    let day = "2026-01-01T10:00:00-05:00";
    door.app.set_now(day).await;
    let site = Company::opens(&door.app, day, "acct_81").await;
    let bob = other.another(LANDING_HOST, site).await;
    bob.goto(&shared).await;
    assert!(bob.address().await.contains("cfoil="), "{}", bob.address().await);
    bob.press("Join").await;
    bob.sees("Welcome aboard: 201").await;
    door.app.settles().await;

    // The referral is there, with its day.
    ann.goto(&door.page("/portal/referrals")).await;
    ann.sees("acct_81").await;
    look(&mut ann, "portal-referrals").await;
    ann.press("acct_81").await;
    ann.sees("of 90").await;
    look(&mut ann, "portal-referral").await;

    // Nights go by; the month is closed.
    door.app.night_of("2026-03-31T04:15:00-04:00").await;
    door.app.night_of("2026-05-04T04:15:00-04:00").await;
    // The session has ended meanwhile.
    ann.goto(&door.page("/portal/statements")).await;
    assert_eq!(ann.path().await, "/login");
    look(&mut ann, "login").await;
    door.ann_signs_in(&ann).await;
    ann.sees("$99.00").await;
    look(&mut ann, "portal-home").await;
    ann.goto(&door.page("/portal/referrals")).await;
    look(&mut ann, "portal-referrals-earned").await;
    ann.goto(&door.page("/portal/statements")).await;
    look(&mut ann, "portal-statements").await;
    let statements = door.app.statements("").await;
    let earned = statements.iter().find(|statement| statement["lines"] != json!([]));
    let month = earned.expect("a statement")["month"].as_str().expect("a month").to_owned();
    ann.goto(&door.page(&format!("/portal/statements/{month}"))).await;
    ann.sees("acct_81").await;
    ann.sees("$99.00").await;
    look(&mut ann, "portal-statement").await;
    ann.goto(&door.page(&format!("/portal/statements/{month}/print"))).await;
    ann.sees("$99.00").await;
    look(&mut ann, "portal-statement-print").await;
    for (path, name) in [
        ("/portal/payouts", "portal-payouts"),
        ("/portal/links", "portal-links"),
        ("/portal/claims", "portal-claims"),
        ("/portal/profile", "portal-profile"),
    ] {
        ann.goto(&door.page(path)).await;
        look(&mut ann, name).await;
    }
    let log = door.app.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked") && !log.contains(ANN), "{log}");
}

#[tokio::test]
async fn an_affiliates_life_with_the_embedded_store() {
    an_affiliates_life("sqlite", true).await;
}

#[tokio::test]
async fn an_affiliates_life_with_redis() {
    let redis = Server::start(Program::Redis, &[]);
    an_affiliates_life(&redis.url(), false).await;
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_mail_and_ends_other_sessions() {
    let door = Door::start("sqlite").await;
    let mut ann = Browser::start().await;
    door.affiliate(&ann, "Ann Lee", ANN).await;
    door.inbox.wait_for_subject(ANN, "You signed").await;
    let mut phone = Browser::start().await;
    phone.goto(&door.page("/login")).await;
    phone.press("Forgot your password?").await;
    phone.inspect("forgot").await;
    phone.fill("#email", "nobody@partners.example").await;
    phone.press("Send the link").await;
    phone.sees("Look into your mailbox").await;
    phone.inspect("forgot-sent").await;
    phone.goto(&door.page("/forgot")).await;
    phone.fill("#email", ANN).await;
    phone.press("Send the link").await;
    phone.sees("Look into your mailbox").await;
    let link = door.inbox.wait_for_subject(ANN, "Set a new password").await.link();
    phone.goto(&link).await;
    phone.fill("#new_password", "another walk by the river").await;
    phone.press("Save the password").await;
    phone.sees("Hello, Ann").await;
    door.inbox.wait_for_subject(ANN, "Your password was changed").await;
    // The other browser is signed out; the old password is none any more; the link is spent.
    ann.goto(&door.page("/portal")).await;
    assert_eq!(ann.path().await, "/login");
    door.signs_in(&ann, ANN, PASSWORD).await;
    assert_eq!(ann.path().await, "/login");
    ann.inspect("login-refused").await;
    door.signs_in(&ann, ANN, "another walk by the river").await;
    ann.sees("Hello, Ann").await;
    phone.goto(&link).await;
    assert!(!phone.has("#new_password").await, "the link works twice");
    phone.inspect("link-is-spent").await;
    phone.goto(&door.page("/portal/statements/1999-01")).await;
    phone.inspect("not-found").await;
    assert!(door.inbox.mails().iter().all(|mail| mail.recipients != ["nobody@partners.example"]));
}

#[tokio::test]
async fn another_paypal_address_is_confirmed_by_mail_and_holds_payouts() {
    let door = Door::start("sqlite").await;
    let mut ann = Browser::start().await;
    door.affiliate(&ann, "Ann Lee", ANN).await;
    let steps = [
        ("first@pay.example", "Set PayPal e-mail", "Confirm your PayPal", "Confirm the address", "is set"),
        (
            "second@pay.example",
            "Change PayPal e-mail",
            "Confirm your new PayPal",
            "Confirm the change",
            "is changed",
        ),
    ];
    for (address, button, subject, confirm, done) in steps {
        ann.goto(&door.page("/portal/profile")).await;
        ann.fill("#new_paypal", address).await;
        ann.fill("#paypal_password", PASSWORD).await;
        ann.press(button).await;
        let link = door.inbox.wait_for_subject(ANN, subject).await.link();
        ann.goto(&link).await;
        ann.sees(address).await;
        ann.inspect("confirm-paypal").await;
        ann.press(confirm).await;
        ann.sees(done).await;
        ann.goto(&link).await;
        assert!(!ann.text_of_page().await.contains(confirm), "the link works twice");
    }
    let told = door.inbox.wait_for_subject(ANN, "Your PayPal address was changed").await;
    assert!(told.text.contains("January 8, 2026") && !told.text.contains("second@"), "{}", told.text);
    ann.goto(&door.page("/portal/payouts")).await;
    ann.inspect("portal-payouts-held").await;
}

#[tokio::test]
async fn another_email_is_confirmed_where_it_is() {
    let door = Door::start("sqlite").await;
    let ann = Browser::start().await;
    door.affiliate(&ann, "Ann Lee", ANN).await;
    ann.goto(&door.page("/portal/profile")).await;
    ann.fill("#new_email", "ann@new.example").await;
    ann.fill("#email_password", PASSWORD).await;
    ann.press("Change e-mail").await;
    let link = door.inbox.wait_for_subject("ann@new.example", "Confirm your new e-mail").await.link();
    ann.goto(&link).await;
    ann.press("Confirm the change").await;
    ann.sees("is changed").await;
    let told = door.inbox.wait_for_subject(ANN, "Your e-mail address was changed").await;
    assert!(!told.text.contains("ann@new.example"), "{}", told.text);
    let elsewhere = Browser::start().await;
    door.signs_in(&elsewhere, ANN, PASSWORD).await;
    assert_eq!(elsewhere.path().await, "/login");
    door.signs_in(&elsewhere, "ann@new.example", PASSWORD).await;
    elsewhere.sees("Hello, Ann").await;
}

#[tokio::test]
async fn a_missing_referral_is_claimed_and_granted() {
    let door = Door::start("sqlite").await;
    let mut ann = Browser::start().await;
    door.affiliate(&ann, "Ann Lee", ANN).await;
    // A signup that no link explains.
    door.app.signs_up(&crate::support::app::Visitor::default(), "acct_7", "connect").await.expect_status(201);
    ann.goto(&door.page("/portal/claims")).await;
    ann.fill("#company", "Example <i>Dental</i>").await;
    ann.fill("#account_hint", "acct_7").await;
    ann.fill("#evidence", "I told them on the phone.").await;
    ann.press("Send").await;
    ann.sees("Example <i>Dental</i>").await;
    ann.inspect("portal-claims-open").await;

    let mut sam = Browser::start().await;
    door.staff(&sam, "admin").await;
    sam.goto(&door.desk("/admin/claims")).await;
    sam.inspect("staff-claims").await;
    sam.press("Example <i>Dental</i>").await;
    sam.sees("I told them on the phone.").await;
    sam.inspect("staff-claim").await;
    sam.fill("#reason", "They named you when we asked.").await;
    sam.press("Grant").await;
    let told = door.inbox.wait_for_subject(ANN, "Your missing referral was found").await;
    assert!(told.text.contains("They named you when we asked."), "{}", told.text);
    ann.goto(&door.page("/portal/referrals")).await;
    ann.sees("acct_7").await;
}

#[tokio::test]
async fn a_link_is_switched_off_and_its_affiliate_reads_why_and_whom_to_write_to() {
    let inbox = Inbox::start().await;
    let config = format!("{}\n[portal]\nsupport_email = \"help@program.example\"\n", inbox.config());
    let app = TestApp::start_with("sqlite", &config).await;
    let mut door = Door { app, inbox };
    let mut ann = Browser::start().await;
    let id = door.affiliate(&ann, "Ann Lee", ANN).await;
    ann.goto(&door.page("/portal/links")).await;
    ann.fill("#label", "Spring mail").await;
    ann.press("Make the link").await;
    ann.sees("Your new link is ready").await;

    let mut sam = Browser::start().await;
    door.staff(&sam, "reviewer").await;
    sam.goto(&door.desk(&format!("/admin/affiliates/{id}"))).await;
    sam.press("Switch off…").await;
    sam.sees("new clicks on it earn nothing").await;
    sam.press("Switch the link off").await;
    sam.sees("another look").await;
    sam.inspect("staff-link-off-errors").await;
    sam.fill("#reason", "The page that it stands on was hacked").await;
    sam.press("Switch the link off").await;
    sam.sees("1 of their 2 links is off").await;
    let mail = door.inbox.wait_for_subject(ANN, "A link of yours was switched off").await;
    ann.goto(&door.inbox.page_of(&mail)).await;
    ann.inspect("mail-a-link-of-yours-was-switched-off").await;
    ann.goto(&door.page("/portal/links")).await;
    ann.sees("The reason: The page that it stands on was hacked.").await;
    ann.inspect("portal-link-off").await;
    sam.press("Switch on").await;
    sam.sees("Signed; their links earn.").await;
    door.inbox.wait_for_subject(ANN, "A link of yours is on again").await;

    let links = door.app.get(&format!("/v1/affiliates/{id}/links")).await.json();
    let default = links["data"].as_array().expect("a list").iter().find(|link| link["label"].is_null());
    door.app.is_switched_off_by_an_older_version(default.expect("the default link")).await;
    ann.goto(&door.page("/portal")).await;
    ann.sees("Your link is switched off").await;
    ann.inspect("portal-home-off").await;

    let reason = json!({"reason": "Clicks from places that nobody lives in"});
    door.app.post(&format!("/v1/affiliates/{id}/suspend"), &reason).await.expect_status(200);
    ann.goto(&door.page("/portal/payouts")).await;
    ann.sees("To talk about it, write to help@program.example").await;
    ann.inspect("portal-suspended").await;
}

#[tokio::test]
async fn mail_is_good_to_look_at() {
    let door = Door::start("sqlite").await;
    let mut ann = Browser::start().await;
    let id = door.affiliate(&ann, "Ann Lee", ANN).await;
    let reason = json!({"reason": "Your link was in mail that nobody had asked for. Please write to us."});
    door.app.post(&format!("/v1/affiliates/{id}/suspend"), &reason).await.expect_status(200);
    for subject in ["Welcome", "You signed the agreement", "Your account was suspended"] {
        let mail = door.inbox.wait_for_subject(ANN, subject).await;
        ann.goto(&door.inbox.page_of(&mail)).await;
        ann.inspect(&format!("mail-{}", subject.replace(' ', "-").to_lowercase())).await;
    }
}

/// A month is paid by the staff's pages, which are looked at on the way.
async fn pays_a_month(door: &Door, sam: &mut Browser, payment: &str) {
    sam.goto(&door.desk("/admin/payouts")).await;
    sam.inspect("staff-payouts").await;
    sam.press("Make the payout for April 2026").await;
    sam.sees("Before you approve").await;
    sam.inspect("staff-payout-draft").await;
    sam.press("Approve").await;
    sam.sees("another look").await;
    sam.inspect("staff-payout-error").await;
    let batch = payment.split("/items/").next().expect("a path");
    for (name, path) in [("carried", "/carried"), ("look-twice", "/look-twice")] {
        sam.goto(&door.desk(&format!("{batch}{path}"))).await;
        sam.inspect(&format!("staff-payout-{name}")).await;
    }
    sam.goto(&door.desk(batch)).await;
    sam.click("#looked").await;
    sam.press("Approve").await;
    sam.sees("Export PayPal’s file").await;
    sam.press("All of it was paid by other means").await;
    sam.press("Discard this payout").await;
    sam.inspect("staff-payout-approved").await;
    sam.goto(&door.desk(payment)).await;
    sam.inspect("staff-payment").await;
}

/// Finance pays April by PayPal's file, and the affiliate without a PayPal address with the next payout.
#[tokio::test]
async fn a_payout_is_exported_and_reported_and_who_adds_an_address_is_paid_with_the_next() {
    let mut door = Door::start("sqlite").await;
    let (mut ann, mut sam) = (Browser::start().await, Browser::start().await);
    let id = door.affiliate(&ann, "Ann Lee", ANN).await;
    let bea = door.app.partner("bea").await;
    is_paid_to(&door.app, &bea, "bea@paypal.example").await;
    // After Ann has signed.
    door.app.set_now("2026-01-01T10:00:00-05:00").await;
    let anns = door.app.get(&format!("/v1/affiliates/{id}/links")).await.expect_status(200).json();
    for (link, account) in
        [(anns["data"][0]["url"].as_str().expect("a link"), "acct_1"), (&*bea.link, "acct_2")]
    {
        let mut visitor = crate::support::app::Visitor::default();
        visitor.clicks(link).await;
        door.app.signs_up(&visitor, account, "growth").await.expect_status(201);
    }
    door.app.night_of("2026-05-04T04:15:00-04:00").await;
    door.app.set_now("2026-05-31T10:00:00-04:00").await;

    door.staff(&sam, "finance").await;
    let files = tempfile::tempdir().expect("a directory");
    sam.saves_to(files.path()).await;
    sam.goto(&door.desk("/admin/payouts")).await;
    sam.press("Make the payout for April 2026").await;
    sam.click("#looked").await;
    sam.press("Approve").await;
    sam.press("Export").await;
    let file = files.path().join("paypal-pay_2026-04-1-1.csv");
    let rows = downloaded(&file).await;
    let [to, amount, currency, item] = rows.split(',').take(4).collect::<Vec<_>>()[..] else {
        panic!("{rows}")
    };
    assert_eq!((to, amount), ("bea@paypal.example", "99.00"), "{rows}");
    let report = files.path().join("report.csv");
    let lines = format!(
        "Transaction ID,Recipient,Amount,Currency,Customer ID,Status\nT1,{to},{amount},{currency},{item},Completed\n\
         T2,other@paypal.example,5.00,{currency},,Completed\n"
    );
    std::fs::write(&report, lines).expect("a file");
    sam.goto(&door.desk("/admin/payouts/pay_2026-04-1")).await;
    sam.press("Look at the report").await;
    sam.sees("Please choose the file.").await;
    sam.choose("#report", &report).await;
    sam.inspect("staff-payout-exported").await;
    sam.press("Look at the report").await;
    sam.sees("Nothing is changed yet.").await;
    sam.inspect("staff-payout-report").await;
    sam.press("Apply 1 change").await;
    sam.sees("What PayPal’s report says is kept.").await;
    sam.sees("It is known how each payment ended.").await;

    // Ann reads why she was left out, and adds an address.
    door.ann_signs_in(&ann).await;
    ann.goto(&door.page("/portal/payouts")).await;
    ann.sees("No PayPal e-mail is known yet.").await;
    ann.inspect("portal-payouts-carried").await;
    ann.goto(&door.page("/portal/profile")).await;
    ann.fill("#new_paypal", "ann@paypal.example").await;
    ann.fill("#paypal_password", PASSWORD).await;
    ann.press("Set PayPal e-mail").await;
    ann.goto(&door.inbox.wait_for_subject(ANN, "Confirm your PayPal").await.link()).await;
    ann.press("Confirm the address").await;
    ann.sees("is set").await;

    door.app.night_of("2026-06-04T04:15:00-04:00").await;
    door.app.set_now("2026-06-30T10:00:00-04:00").await;
    door.staff_signs_in(&sam).await;
    sam.goto(&door.desk("/admin/payouts")).await;
    sam.press("Make the payout for May 2026").await;
    sam.sees("ann@paypal.example").await;
    sam.click("#looked").await;
    sam.press("Approve").await;
    sam.press("All of it was paid by other means").await;
    sam.run("document.querySelector('#paid_on').value = '2026-06-30';").await;
    sam.fill("#paid_reference", "SEPA-77").await;
    sam.fill("#paid_reason", "by the bank").await;
    sam.press("Mark all as paid").await;
    sam.sees("All payments that were left are marked as paid.").await;
    door.ann_signs_in(&ann).await;
    ann.goto(&door.page("/portal/payouts")).await;
    ann.sees("Reference SEPA-77").await;
    ann.sees("Jun 30, 2026").await;
    ann.inspect("portal-payouts-paid").await;
}

/// What a file holds, once the browser has saved it.
async fn downloaded(file: &std::path::Path) -> String {
    let begun = Instant::now();
    loop {
        match std::fs::read_to_string(file) {
            Ok(content) if content.ends_with('\n') => return content,
            _ => assert!(begun.elapsed() < Duration::from_secs(30), "no {}", file.display()),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every page of the staff's, with something on it.
#[tokio::test]
async fn the_staffs_pages_are_good_to_look_at() {
    let mut door = Door::start("sqlite").await;
    let partner = door.app.partner("bea").await;
    let mut visitor = crate::support::app::Visitor::default();
    visitor.clicks(&partner.link).await;
    for (account, plan) in [("acct_1", "growth"), ("acct_2", "connect"), ("acct_3", "performance")] {
        door.app.signs_up(&visitor, account, plan).await.expect_status(201);
    }
    door.app.post("/v1/accounts/acct_2/hold", &json!({"reason": "looks odd"})).await.expect_status(200);
    is_paid_to(&door.app, &partner, "bea@paypal.example").await;
    let dan = door.app.partner("dan").await;
    let mut other = crate::support::app::Visitor::default();
    other.clicks(&dan.link).await;
    door.app.signs_up(&other, "acct_4", "growth").await.expect_status(201);
    door.app
        .post("/v1/affiliates", &json!({"name": "Cy", "email": "cy@partners.example"}))
        .await
        .expect_status(201);
    let links = format!("/v1/affiliates/{}/links", partner.id);
    let [spring, autumn] = ["Spring mail", "Autumn talk"].map(|label| json!({"label": label}));
    let spring = door.app.post(&links, &spring).await.expect_status(201).json()["id"].clone();
    let autumn = door.app.post(&links, &autumn).await.expect_status(201).json()["id"].clone();
    let off = format!("/v1/links/{}/disable", autumn.as_str().expect("an id"));
    let reason = json!({"reason": "The page that it stands on was hacked"});
    door.app.post(&off, &reason).await.expect_status(200);
    let spring = spring.as_str().expect("an id").to_owned();
    door.app.night_of("2026-05-04T04:15:00-04:00").await;
    let mut sam = Browser::start().await;
    sam.goto(&door.desk("/admin/login")).await;
    sam.inspect("staff-login").await;
    door.staff(&sam, "admin").await;
    sam.inspect("staff-home-full").await;
    let month = door.app.statements("").await[0]["month"].as_str().expect("a month").to_owned();
    for (path, name) in [
        ("/admin/review".to_owned(), "staff-review-late"),
        ("/admin/affiliates".to_owned(), "staff-affiliates"),
        (format!("/admin/affiliates/{}", partner.id), "staff-affiliate"),
        (format!("/admin/affiliates/{}/edit", partner.id), "staff-affiliate-edit"),
        (format!("/admin/affiliates/{}/links/{spring}/off", partner.id), "staff-link-off"),
        (format!("/admin/affiliates/{}/referrals", partner.id), "staff-affiliate-referrals"),
        ("/admin/accounts".to_owned(), "staff-accounts"),
        ("/admin/accounts/acct_1".to_owned(), "staff-account"),
        ("/admin/held".to_owned(), "staff-held"),
        ("/admin/months".to_owned(), "staff-months"),
        (format!("/admin/months/{month}"), "staff-month"),
        (format!("/admin/months/{month}/{}", partner.id), "staff-statement"),
        ("/admin/runs".to_owned(), "staff-runs"),
        ("/admin/figures".to_owned(), "staff-figures"),
        ("/admin/audit".to_owned(), "staff-audit"),
        ("/admin/members".to_owned(), "staff-members"),
        ("/admin/me".to_owned(), "staff-me"),
    ] {
        sam.goto(&door.desk(&path)).await;
        assert_eq!(sam.path().await, path);
        sam.inspect(name).await;
    }
    pays_a_month(&door, &mut sam, &payment("pay_2026-04-1", &partner)).await;
    // On a phone, the navigation shows where one is.
    sam.resize(PHONE).await;
    sam.goto(&door.desk("/admin/members")).await;
    let shown = "const here = document.querySelector('.side nav [aria-current]').getBoundingClientRect(); return here.right < window.innerWidth + 1;";
    assert_eq!(sam.run(shown).await, json!(true));
    sam.press("Sign out").await;
    sam.goto(&door.desk("/admin/forgot")).await;
    sam.inspect("staff-forgot").await;
    sam.goto(&door.desk("/admin")).await;
    assert_eq!(sam.path().await, "/admin/login");
    door.staff_signs_in(&sam).await;
}

#[tokio::test]
async fn a_module_keeps_the_click_and_asks_for_the_cookie_once_the_visitor_agreed() {
    let company = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = company.local_addr().expect("it is bound");
    let config = format!(
        "[program]\nlanding = \"http://{host}/plans\"\ndestinations = [\"{host}\"]\n[cookie]\nmode = \"on_consent\"\n"
    );
    let app = TestApp::start_with("sqlite", &config).await;
    let partner = app.partner("mo").await;
    Company::opens_plainly(&app, company, BEGINNING, "acct_module", false);
    let visitor = Browser::start().await;
    visitor.goto(&partner.link).await;
    let names = async || -> Vec<String> {
        let cookies = visitor.cookies().await;
        cookies.iter().filter_map(|cookie| cookie["name"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(names().await, Vec::<String>::new());
    // The cookie belongs to the tracking host, which here has the same address.
    visitor.run("counterfoil.consent();").await;
    let begun = Instant::now();
    while !names().await.contains(&"counterfoil".to_owned()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", names().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    visitor.press("Join").await;
    visitor.sees("Welcome aboard: 201").await;
    let account = app.get("/v1/accounts/acct_module").await.expect_status(200).json();
    assert_eq!(account["attribution"]["affiliate_id"], json!(partner.id), "{account}");
}

#[tokio::test]
async fn an_application_is_sent_by_the_keyboard_alone() {
    let door = Door::start("sqlite").await;
    let ann = Browser::start().await;
    ann.goto(&door.page("/apply")).await;
    // The first tab stop leads past what every page has in common.
    ann.types(TAB).await;
    assert_eq!(ann.focus().await, "a Skip to the content");
    ann.types(ENTER).await;
    let texts = [
        ("name", "Ann Lee"),
        ("email", ANN),
        ("company", "Lee Media"),
        ("website", "annlee.example"),
        ("partner_type", "Aff"),
        ("promotion", "To my readers."),
        ("paypal_email", ""),
    ];
    for (field, text) in texts {
        ann.types(TAB).await;
        let focus = ann.focus().await;
        assert!(focus.ends_with(&format!(" {field}")), "{field} is not next, but {focus}");
        let ring = ann.run(
            "const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.outlineWidth;",
        );
        assert_ne!(ring.await, json!("none0px"), "the focus on {field} is not seen");
        if !text.is_empty() {
            ann.types(text).await;
        }
    }
    ann.types(TAB).await;
    assert_eq!(ann.focus().await, "button Send application");
    ann.types(SPACE).await;
    ann.sees("Your application is with us").await;
}

#[tokio::test]
async fn all_of_it_works_without_scripts() {
    let door = Door::start("sqlite").await;
    let mut ann = Browser::start().await;
    ann.resize(PHONE).await;
    ann.switch_scripts_off().await;
    ann.goto(&door.page("/apply")).await;
    ann.fill("#name", "Ann Lee").await;
    ann.fill("#email", ANN).await;
    ann.fill("#company", "Lee Media").await;
    ann.fill("#website", "annlee.example").await;
    ann.click("#partner_type option[value=affiliate]").await;
    ann.fill("#promotion", "To my readers.").await;
    ann.press("Send application").await;
    ann.sees("Your application is with us").await;
    door.inbox.wait_for_subject(ANN, "We have your application").await;

    let sam = Browser::start().await;
    sam.switch_scripts_off().await;
    door.staff(&sam, "reviewer").await;
    sam.goto(&door.desk("/admin/review")).await;
    sam.press("Ann Lee").await;
    sam.press("Approve").await;

    ann.goto(&door.inbox.wait_for_subject(ANN, "Welcome").await.link()).await;
    door.activates(&ann, "Ann Lee").await;
    let link = ann.value_of("#link", "value").await;
    assert!(link.starts_with(&door.page("/r/")), "{link}");
    for path in
        ["/portal/referrals", "/portal/statements", "/portal/payouts", "/portal/links", "/portal/profile"]
    {
        ann.goto(&door.page(path)).await;
        assert_eq!(ann.path().await, path);
    }
    ann.press("Sign out").await;
    ann.goto(&door.page("/portal")).await;
    assert_eq!(ann.path().await, "/login");
    let cookies: Vec<Value> = ann.cookies().await;
    assert!(cookies.iter().all(|cookie| cookie["httpOnly"] == json!(true)), "{cookies:?}");
}
