//! Payouts as finance and affiliates see them: made, looked at, approved, exported, paid, and read in the portal.

use crate::portal::{refers, signed_in};
use crate::staff::{Browser, member};
use crate::support::app::{Partner, TestApp, bearer};
use crate::support::http;
use crate::support::inbox::mail_files;
use crate::support::person::{PASSWORD, Person};
use counterfoil::for_tests::fake_paypal::{CLIENT_ID, CLIENT_SECRET, Fake, Lie, Says};
use serde_json::json;
use std::time::{Duration, Instant};

/// Staff give an affiliate a PayPal e-mail.
pub async fn is_paid_to(app: &TestApp, partner: &Partner, email: &str) {
    let path = format!("/v1/affiliates/{}", partner.id);
    let body = json!({"paypal_email": email}).to_string();
    http::send("PATCH", app.internal, &path, &bearer(), body).await.expect("an answer").expect_status(200);
}

/// Signs in again: months have passed.
async fn comes_back(person: &mut Person, name: &str) {
    let email = format!("{name}@partners.example");
    person.sends("/login", &[("email", &email), ("password", PASSWORD)]).await.expect_status(303);
}

/// The payment of an affiliate in a batch.
pub fn payment(payout: &str, partner: &Partner) -> String {
    format!("/admin/payouts/{payout}/items/{payout}_{}", partner.id.trim_start_matches("aff_"))
}

async fn page(browser: &Browser, path: &str) -> String {
    browser.get(path).await.expect_status(200).text()
}

/// The hash that a form names.
fn hash_in(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"hash\" value=\"").unwrap_or_else(|| panic!("no form in {page}"));
    rest.split('"').next().expect("a value").to_owned()
}

async fn makes(browser: &Browser, month: &str, payout: &str) {
    let made = browser.send("/admin/payouts", &[("month", month)]).await.expect_status(303);
    assert_eq!(made.header("location"), Some(format!("/admin/payouts/{payout}?done=made").as_str()));
}

/// Approves a payout as it is shown.
async fn approves(browser: &Browser, payout: &str) {
    let path = format!("/admin/payouts/{payout}");
    let hash = hash_in(&page(browser, &path).await);
    let fields = [("hash", hash.as_str()), ("looked", "yes")];
    browser.send(&format!("{path}/approve"), &fields).await.expect_status(303);
}

#[track_caller]
fn says(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[tokio::test]
async fn finance_pays_one_month_and_the_affiliate_without_an_address_with_the_next() {
    let mut app = TestApp::start().await;
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let (ann, mut ann_herself) = signed_in(&app, "ann").await;
    let (bob, mut bob_himself) = signed_in(&app, "bob").await;
    is_paid_to(&app, &ann, "ann@paypal.example").await;
    refers(&app, &ann, "acct_ann", "growth").await;
    refers(&app, &bob, "acct_bob", "growth").await;
    app.night_of("2026-05-04T04:15:00-04:00").await;
    app.set_now("2026-05-31T10:00:00-04:00").await;
    let finance = member(&app, "finance").await;
    let overview = page(&finance, "/admin/payouts").await;
    says(&overview, &["April 2026 is closed. Its payout is due on May 31, 2026.", "No payout was made yet."]);

    makes(&finance, "2026-04", "pay_2026-04-1").await;
    let again = finance.send("/admin/payouts", &[("month", "2026-04")]).await.expect_status(303);
    assert_eq!(again.header("location"), Some("/admin/payouts/pay_2026-04-1?done=made-before"));
    let at = "/admin/payouts/pay_2026-04-1";
    let draft = page(&finance, at).await;
    says(&draft, &["Payout for April 2026", ">Draft<", "$99.00", ">ann<", "ann@paypal.example"]);
    says(&draft, &["1 of 1 payments</a> stands out:", "It is the first payment to this PayPal e-mail."]);
    assert!(!draft.contains("bob") && !draft.contains("Export PayPal"), "{draft}");
    says(&page(&finance, &format!("{at}/carried")).await, &[">bob<", "The PayPal e-mail is not known."]);
    says(&page(&finance, &format!("{at}/look-twice")).await, &[">ann<", "It is the first payment"]);
    says(&page(&finance, "/admin").await, &["payout to approve"]);
    let reader = member(&app, "read_only").await;
    let seen = page(&reader, at).await;
    assert!(
        seen.contains(">Draft<") && !seen.contains("<form method=\"post\" action=\"/admin/payouts"),
        "{seen}"
    );

    let approve = format!("{at}/approve");
    let hash = hash_in(&draft);
    for (hash, looked, why) in [
        (hash.as_str(), "", "Please confirm that you looked"),
        ("0000", "yes", "not what you looked at any more"),
    ] {
        let mut fields = vec![("hash", hash)];
        fields.extend((!looked.is_empty()).then_some(("looked", looked)));
        says(&finance.send(&approve, &fields).await.expect_status(422).text(), &[why, ">Draft<"]);
    }
    approves(&finance, "pay_2026-04-1").await;
    says(&page(&finance, at).await, &[">Approved<", "Part 1 of 1: not exported yet"]);

    let export = format!("{at}/export");
    let file = finance.send(&export, &[("part", "1")]).await.expect_status(200);
    says(file.header("content-disposition").expect("a file"), &["paypal-pay_2026-04-1-1.csv"]);
    says(&file.text(), &["ann@paypal.example,99.00,USD,pay_2026-04-1_"]);
    let again = finance.send(&export, &[("part", "1")]).await.expect_status(422).text();
    says(&again, &["This part was exported before.", "pays its affiliates twice", "exported before"]);
    finance.send(&export, &[("part", "1"), ("again", "yes")]).await.expect_status(200);
    finance.send(&export, &[("part", "2")]).await.expect_status(400);
    finance.send(&format!("{at}/discard"), &[("discard_reason", "x")]).await.expect_status(422);
    says(&page(&finance, at).await, &[">Submitted<", "exported 2 times before"]);

    comes_back(&mut ann_herself, "ann").await;
    says(
        &ann_herself.sees("/portal/payouts").await,
        &["On its way", "It was sent to PayPal for ann@paypal.example."],
    );
    says(&ann_herself.sees("/portal").await, &["$99.00 more is on its way to you."]);

    // PayPal's site shows that it was paid.
    let item = payment("pay_2026-04-1", &ann);
    says(&page(&finance, &item).await, &["$99.00 to ann", "Statement for April 2026", "Say how it ended"]);
    let resolve = format!("{item}/resolve");
    for (fields, why) in [
        (vec![("outcome", "paid"), ("resolve_on", ""), ("resolve_reason", "seen")], "Please give a day"),
        (vec![("outcome", ""), ("resolve_reason", "seen")], "Please choose how it ended"),
        (vec![("outcome", "paid"), ("resolve_on", "2026-06-01"), ("resolve_reason", "seen")], "after today"),
    ] {
        says(&finance.send(&resolve, &fields).await.expect_status(422).text(), &[why]);
    }
    let paid = [("outcome", "paid"), ("resolve_on", "2026-05-31"), ("resolve_reason", "seen at PayPal")];
    finance.send(&resolve, &paid).await.expect_status(303);
    says(&page(&finance, &item).await, &[">Paid<", "Paid on May 31, 2026", "seen at PayPal", "The finance"]);
    says(&page(&finance, at).await, &[">Settled<"]);
    let statement = page(&finance, &format!("/admin/months/2026-04/{}", ann.id)).await;
    says(&statement, &["on May 31, 2026, in payout pay_2026-04-1", &item]);
    let affiliate = page(&finance, &format!("/admin/affiliates/{}", ann.id)).await;
    says(&affiliate, &["<dt>Owed</dt><dd>$0.00", "<dt>Paid</dt><dd>$99.00", &item]);

    let payouts = ann_herself.sees("/portal/payouts").await;
    says(&payouts, &["<dt>Paid so far</dt><dd>$99.00", "<dt>Paid in 2026</dt><dd>$99.00", "May 31, 2026"]);
    assert!(!payouts.contains("seen at PayPal"), "what staff wrote is theirs: {payouts}");
    let csv = ann_herself.gets("/portal/payouts?format=csv").await.expect_status(200).text();
    says(&csv, &["date,pays,state,payout,amount", "2026-05-31,April 2026,Paid,pay_2026-04-1,99.00"]);
    says(&ann_herself.sees("/portal/statements/2026-04").await, &["Paid", "on May 31, 2026"]);
    says(&ann_herself.sees("/portal").await, &["Everything that is final is paid or on its way."]);

    // The other one gives an address, and is paid with the next month.
    comes_back(&mut bob_himself, "bob").await;
    says(&bob_himself.sees("/portal/payouts").await, &["No PayPal e-mail is known yet."]);
    is_paid_to(&app, &bob, "bob@paypal.example").await;
    app.night_of("2026-06-04T04:15:00-04:00").await;
    app.set_now("2026-06-30T10:00:00-04:00").await;
    let finance = member_again(&app).await;
    makes(&finance, "2026-05", "pay_2026-05-1").await;
    let draft = page(&finance, "/admin/payouts/pay_2026-05-1").await;
    assert!(draft.contains(">bob<") && !draft.contains(">ann<"), "{draft}");
    approves(&finance, "pay_2026-05-1").await;
    let pay = "/admin/payouts/pay_2026-05-1/paid";
    let fields = [("paid_on", "2026-06-30"), ("paid_reference", "SEPA-77"), ("paid_reason", "by the bank")];
    finance.send(pay, &fields[1..]).await.expect_status(422);
    finance.send(pay, &fields).await.expect_status(303);
    let twice = finance.send(pay, &fields).await.expect_status(422).text();
    says(&twice, &["No payment was left to be marked", ">Settled<"]);
    comes_back(&mut bob_himself, "bob").await;
    let payouts = bob_himself.sees("/portal/payouts").await;
    says(&payouts, &["Reference SEPA-77", "April 2026", "Jun 30, 2026", "<dt>Paid so far</dt><dd>$99.00"]);
    assert!(!payouts.contains("by the bank"), "{payouts}");

    // Who leaves is told what is due: nothing that was paid.
    for (partner, name) in [(&ann, "ann"), (&bob, "bob")] {
        let close = format!("/v1/affiliates/{}/close", partner.id);
        app.post(&close, &json!({"reason": "moved on"})).await.expect_status(200);
        let mail = mail(&app, "closed", name).await;
        assert!(!mail.contains("99.00"), "{mail}");
    }
}

/// The mail of a kind that an affiliate gets.
async fn mail(app: &TestApp, kind: &str, partner: &str) -> String {
    let begun = Instant::now();
    loop {
        let files = mail_files(&app.data_dir());
        let files = files.iter().filter(|file| file.to_string_lossy().contains(kind));
        let mut mails = files.map(|file| std::fs::read_to_string(file).expect("a mail"));
        if let Some(mail) = mails.find(|mail| mail.contains(&format!("<{partner}@partners.example>"))) {
            return mail;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no mail {kind} came:\n{}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Another member of finance, since the first one's session is over.
async fn member_again(app: &TestApp) -> Browser {
    member(app, "admin").await
}

#[tokio::test]
async fn what_was_paid_elsewhere_is_said_before_the_first_payout_which_can_be_discarded() {
    let mut app = TestApp::start().await;
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let ann = app.partner("ann").await;
    is_paid_to(&app, &ann, "ann@paypal.example").await;
    refers(&app, &ann, "acct_1", "growth").await;
    app.set_now("2026-02-10T18:00:00-05:00").await;
    refers(&app, &ann, "acct_2", "growth").await;
    app.night_of("2026-06-04T04:15:00-04:00").await;
    let finance = member(&app, "finance").await;
    let asked = finance.send("/admin/payouts", &[("month", "2026-05")]).await.expect_status(422).text();
    says(&asked, &["Please say first whether they were paid elsewhere", "All through April 2026"]);
    let opening = "/admin/payouts/opening";
    for (typed, status) in [("", 422), ("April", 422), ("none", 303), ("2026-04", 303)] {
        finance.send(opening, &[("through", typed)]).await.expect_status(status);
    }
    says(&page(&finance, "/admin/payouts").await, &["statements through April 2026 were paid elsewhere"]);
    makes(&finance, "2026-05", "pay_2026-05-1").await;
    let draft = page(&finance, "/admin/payouts/pay_2026-05-1").await;
    says(&draft, &["May 2026", "<dt>Total</dt><dd>$99.00"]);
    let late = finance.send(opening, &[("through", "none")]).await.expect_status(422).text();
    says(&late, &["can only be said before the first one"]);
    let statement = page(&finance, &format!("/admin/months/2026-04/{}", ann.id)).await;
    says(&statement, &["before payouts were made here"]);

    // A payment is taken out, and then the whole payout is discarded.
    let item = payment("pay_2026-05-1", &ann);
    let withdraw = format!("{item}/withdraw");
    finance.send(&withdraw, &[("withdraw_reason", "")]).await.expect_status(422);
    finance.send(&withdraw, &[("withdraw_reason", "a doubt")]).await.expect_status(303);
    says(&page(&finance, &item).await, &[">Withdrawn<", "a doubt", "Owed again: it was not paid"]);
    let discard = "/admin/payouts/pay_2026-05-1/discard";
    finance.send(discard, &[("discard_reason", " ")]).await.expect_status(422);
    finance.send(discard, &[("discard_reason", "too early")]).await.expect_status(303);
    says(&page(&finance, "/admin/payouts/pay_2026-05-1").await, &[">Discarded<", "too early"]);
    makes(&finance, "2026-05", "pay_2026-05-2").await;
    says(&page(&finance, "/admin/payouts?state=discarded").await, &["pay_2026-05-1"]);
}

#[tokio::test]
async fn who_shares_an_address_is_paid_once_staff_confirm_it() {
    let mut app = TestApp::start().await;
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let (ann, bob) = (app.partner("ann").await, app.partner("bob").await);
    for one in [&ann, &bob] {
        is_paid_to(&app, one, "both@paypal.example").await;
    }
    refers(&app, &ann, "acct_1", "growth").await;
    app.night_of("2026-05-04T04:15:00-04:00").await;
    let finance = member(&app, "finance").await;
    let at = format!("/admin/affiliates/{}", ann.id);
    says(
        &page(&finance, &at).await,
        &["Several affiliates may be paid to both@paypal.example", "Release payouts"],
    );
    let clear = format!("{at}/payouts");
    for clearance in ["", "released", "shared:other@paypal.example"] {
        let fields = [("clearance", clearance), ("clear_reason", "a couple")];
        finance.send(&clear, &fields).await.expect_status(422);
    }
    let shared = [("clearance", "shared:both@paypal.example"), ("clear_reason", "a couple")];
    finance.send(&clear, &shared[..1]).await.expect_status(422);
    finance.send(&clear, &shared).await.expect_status(303);
    assert!(!page(&finance, &at).await.contains("Release payouts"));
    makes(&finance, "2026-04", "pay_2026-04-1").await;
    says(&page(&finance, "/admin/payouts/pay_2026-04-1").await, &[">ann<", "both@paypal.example"]);
}

/// Partners with PayPal e-mails, each with an account that qualifies in April, which is closed.
async fn earn(app: &mut TestApp, names: &[&str]) -> Vec<Partner> {
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let mut partners = Vec::new();
    for name in names {
        let partner = app.partner(name).await;
        is_paid_to(app, &partner, &format!("{name}@paypal.example")).await;
        refers(app, &partner, &format!("acct_{name}"), "growth").await;
        partners.push(partner);
    }
    app.night_of("2026-05-04T04:15:00-04:00").await;
    app.set_now("2026-05-31T10:00:00-04:00").await;
    partners
}

/// What PayPal's site would report: a receiver, an amount, our id and a status a row.
fn report(rows: &[(&str, &str, &str, &str)]) -> String {
    let head = "Transaction ID,Recipient,Amount,Currency,Customer ID,Status\n".to_owned();
    let row = |(number, (to, amount, id, status)): (usize, &(&str, &str, &str, &str))| {
        format!("T{number},{to}@paypal.example,{amount},USD,{id},{status}\n")
    };
    head + &rows.iter().enumerate().map(row).collect::<String>()
}

fn id_of(payout: &str, partner: &Partner) -> String {
    format!("{payout}_{}", partner.id.trim_start_matches("aff_"))
}

#[tokio::test]
async fn paypals_report_is_looked_at_before_it_changes_anything() {
    let mut app = TestApp::start().await;
    let partners = earn(&mut app, &["ann", "bob", "cy"]).await;
    let finance = member(&app, "finance").await;
    let at = "/admin/payouts/pay_2026-04-1";
    makes(&finance, "2026-04", "pay_2026-04-1").await;
    approves(&finance, "pay_2026-04-1").await;
    assert!(!page(&finance, at).await.contains("Read PayPal"), "nothing was exported yet");
    finance.send(&format!("{at}/export"), &[("part", "1")]).await.expect_status(200);
    let [ann, bob, cy] = [0, 1, 2].map(|place: usize| id_of("pay_2026-04-1", &partners[place]));
    let mut rows = vec![
        ("ann", "99.00", ann.as_str(), "Completed"),
        ("bob", "99.00", bob.as_str(), "Unclaimed"),
        ("cy", "98.00", cy.as_str(), "Completed"),
        ("stranger", "5.00", "", "Completed"),
    ];
    let csv = report(&rows);
    let (look, apply) = (format!("{at}/report"), format!("{at}/report/apply"));
    let none = finance.upload(&look, &[], "").await.expect_status(422).text();
    says(&none, &["Please choose the file."]);
    let other = finance.upload(&look, &[], "a,b\n1,2\n").await.expect_status(422).text();
    says(&other, &["No row of headings was found", "Read PayPal"]);
    finance.upload("/admin/payouts/pay_2026-03-1/report", &[], &csv).await.expect_status(404);
    member(&app, "reviewer").await.upload(&look, &[], &csv).await.expect_status(403);
    let huge = "x".repeat(9 << 20);
    finance.upload(&look, &[], &huge).await.expect_status(413);

    let shown = finance.upload(&look, &[], &csv).await.expect_status(200).text();
    says(&shown, &["Nothing is changed yet.", "1 × Submitted → <span class=\"state good\">Paid</span>"]);
    says(&shown, &["1 × Submitted → <span class=\"state warn\">Unclaimed</span>", "Apply 2 changes"]);
    says(&shown, &["The amount is not that of the item.", "For a person</span>", ">ann</a>"]);
    says(&shown, &["<dt>About other payments</dt><dd>1 ", "<dt>For a person</dt><dd>1 "]);
    assert!(!shown.contains("stranger"), "{shown}");
    says(&page(&finance, at).await, &["3 Submitted"]);

    // Only what was shown is applied.
    let kept = field(&shown, "kept");
    let hash = hash_in(&shown);
    let wrong = [("hash", "0000"), ("kept", kept.as_str())];
    let refused = finance.upload(&apply, &wrong, "").await.expect_status(422).text();
    says(&refused, &["Nothing was applied: the payout changed since the preview", "Apply 2 changes"]);
    let sent = [("hash", hash.as_str()), ("kept", kept.as_str())];
    let resolve = format!("{}/resolve", payment("pay_2026-04-1", &partners[1]));
    let failed = [("outcome", "not_paid"), ("resolve_reason", "PayPal's site says so")];
    finance.send(&resolve, &failed).await.expect_status(303);
    let refused = finance.upload(&apply, &sent, "").await.expect_status(422).text();
    says(&refused, &["the payout changed since the preview", "1 × Not paid → "]);
    let sent = [("hash", &*hash_in(&refused)), ("kept", kept.as_str())]
        .map(|(name, value)| (name, value.to_owned()));
    let sent: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
    finance.upload(&apply, &[sent[0]], "").await.expect_status(422);
    finance.upload(&apply, &[sent[0], ("kept", "no base 64")], "").await.expect_status(400);
    let done = finance.upload(&apply, &sent, "").await.expect_status(303);
    assert_eq!(done.header("location"), Some(&*format!("{at}?done=reported")));
    says(&page(&finance, at).await, &["1 Paid", "1 Unclaimed", "1 Submitted"]);
    says(&page(&finance, &payment("pay_2026-04-1", &partners[0])).await, &[">Paid<", ">T0<"]);
    let again = finance.upload(&look, &[], &csv).await.expect_status(200).text();
    says(&again, &["The report changes nothing.", "<dt>Known already</dt><dd>2"]);

    // A report of the whole account: the page stays small, and the file is chosen again.
    rows[2].1 = "99.00";
    rows.extend(std::iter::repeat_n(("stranger", "5.00", "", "Completed"), 2_000));
    let csv = report(&rows);
    let answer = finance.upload(&look, &[], &csv).await.expect_status(200);
    let shown = answer.text();
    assert!(answer.body.len() < 100_000 && !shown.contains("name=\"kept\""), "{} bytes", answer.body.len());
    says(&shown, &["Apply 1 change<", "The same file again", "2,001"]);
    let hash = hash_in(&shown);
    let other =
        finance.upload(&apply, &[("hash", &hash)], &report(&rows[..2])).await.expect_status(422).text();
    says(&other, &["or the file is another one", "The report changes nothing."]);
    finance.upload(&apply, &[("hash", &hash)], &csv).await.expect_status(303);
    says(&page(&finance, at).await, &["2 Paid", "1 Unclaimed"]);
}

/// The value of a hidden field.
fn field(page: &str, name: &str) -> String {
    let (_, rest) = page
        .split_once(&format!("name=\"{name}\" value=\""))
        .unwrap_or_else(|| panic!("no {name} in {page}"));
    // The template escapes slashes.
    rest.split('"').next().expect("a value").replace("&#x2f;", "/")
}

#[tokio::test]
async fn a_payment_that_was_made_after_all_is_looked_at_by_a_person() {
    let mut app = TestApp::start().await;
    let partners = earn(&mut app, &["ann"]).await;
    let finance = member(&app, "finance").await;
    let at = "/admin/payouts/pay_2026-04-1";
    makes(&finance, "2026-04", "pay_2026-04-1").await;
    approves(&finance, "pay_2026-04-1").await;
    finance.send(&format!("{at}/export"), &[("part", "1")]).await.expect_status(200);
    let item = payment("pay_2026-04-1", &partners[0]);
    let unpaid = [("outcome", "not_paid"), ("resolve_reason", "PayPal's site says so")];
    finance.send(&format!("{item}/resolve"), &unpaid).await.expect_status(303);
    assert!(!page(&finance, &item).await.contains("A person has looked"));
    app.night_of("2026-06-04T04:15:00-04:00").await;
    app.set_now("2026-06-30T10:00:00-04:00").await;
    let finance = member_again(&app).await;
    makes(&finance, "2026-05", "pay_2026-05-1").await;
    let csv = report(&[("ann", "99.00", &id_of("pay_2026-04-1", &partners[0]), "Completed")]);
    let shown = finance.upload(&format!("{at}/report"), &[], &csv).await.expect_status(200).text();
    let sent = [("hash", hash_in(&shown)), ("kept", field(&shown, "kept"))];
    let sent: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
    finance.upload(&format!("{at}/report/apply"), &sent, "").await.expect_status(303);
    let why = "The money moved although another payout has its statements";
    says(&page(&finance, &item).await, &[">Paid<", why, "A person has looked"]);
    says(&page(&finance, "/admin/payouts").await, &["To be looked at", why]);
    let seen = format!("{item}/seen");
    finance.send(&seen, &[("seen_reason", "")]).await.expect_status(422);
    finance.send(&seen, &[("seen_reason", "ann knows of it")]).await.expect_status(303);
    let looked_at = page(&finance, &item).await;
    assert!(looked_at.contains(">Paid<") && !looked_at.contains("A person has looked"), "{looked_at}");
    assert!(!page(&finance, "/admin/payouts").await.contains("To be looked at"));
}

#[tokio::test]
async fn what_was_paid_elsewhere_is_said_of_one_affiliate_until_its_first_payment() {
    let mut app = TestApp::start().await;
    let partners = earn(&mut app, &["ann", "bob"]).await;
    let finance = member(&app, "finance").await;
    let ann = format!("/admin/affiliates/{}", partners[0].id);
    let month = "/admin/months/2026-04";
    says(&page(&finance, month).await, &["It is to be paid on May 31, 2026."]);
    says(&page(&finance, &ann).await, &["None counts as paid elsewhere.", "<dt>Owed</dt><dd>$99.00"]);
    let elsewhere = format!("{ann}/paid-elsewhere");
    for (typed, status) in [("", 422), ("2026-04", 303), ("as_for_all", 303), ("2026-04", 303)] {
        finance.send(&elsewhere, &[("elsewhere", typed)]).await.expect_status(status);
    }
    says(&page(&finance, &ann).await, &["Those through April 2026 count as paid elsewhere."]);
    says(&page(&finance, &format!("{month}/{}", partners[0].id)).await, &["before payouts were made here"]);
    makes(&finance, "2026-04", "pay_2026-04-1").await;
    let draft = page(&finance, "/admin/payouts/pay_2026-04-1").await;
    assert!(draft.contains(">bob<") && !draft.contains(">ann<"), "{draft}");
    let shown = page(&finance, month).await;
    says(&shown, &["pay_2026-04-1\">Its payout</a>", ">Draft<"]);
    assert!(!shown.contains("It is to be paid on"), "{shown}");
    let bob = format!("/admin/affiliates/{}", partners[1].id);
    assert!(!page(&finance, &bob).await.contains("paid elsewhere"));
    let late = finance.send(&format!("{bob}/paid-elsewhere"), &[("elsewhere", "2026-04")]).await;
    says(&late.expect_status(422).text(), &["can only be said before the first one"]);
}

#[tokio::test]
async fn finance_sends_a_payout_by_the_api_and_again_once_there_is_money() {
    let paypal = Fake::start("2026-05-31T14:00:00Z".parse().expect("a time")).await.expect("a free port");
    paypal.next_create(Lie::only(Says::Unfunded));
    let config = format!(
        "[payouts]\nmethod = \"api\"\nat = \"\"\n[payouts.paypal]\nurl = \"{}\"\nclient_id = \"{CLIENT_ID}\"\n\
         client_secret = \"{CLIENT_SECRET}\"\npoll_seconds = 5\n",
        paypal.url()
    );
    let mut app = TestApp::start_with("sqlite", &config).await;
    earn(&mut app, &["ann"]).await;
    let finance = member(&app, "finance").await;
    let at = "/admin/payouts/pay_2026-04-1";
    makes(&finance, "2026-04", "pay_2026-04-1").await;
    approves(&finance, "pay_2026-04-1").await;
    let approved = page(&finance, at).await;
    says(&approved, &["PayPal’s API", "<button>Send to PayPal</button>"]);
    assert!(!approved.contains("Export PayPal") && !approved.contains("Calls to PayPal"), "{approved}");
    let submit = format!("{at}/submit");
    finance.send(&submit, &[]).await.expect_status(303);
    let refused = until(&finance, at, "Refused").await;
    says(&refused, &["The PayPal account does not have enough money.", "Send again", "pay_2026-04-1"]);
    assert!(!refused.contains("Discard this payout"), "{refused}");
    finance.send(&submit, &[]).await.expect_status(303);
    // The pause between two calls goes by.
    app.set_now("2026-05-31T10:20:00-04:00").await;
    let taken = until(&finance, at, "Taken by PayPal").await;
    assert!(!taken.contains("Send again"), "{taken}");
    let payments = paypal.payments();
    assert_eq!(payments.len(), 1, "{payments:?}");
}

/// Loads a page until it says something.
async fn until(browser: &Browser, path: &str, words: &str) -> String {
    let begun = Instant::now();
    loop {
        let shown = page(browser, path).await;
        if shown.contains(words) {
            return shown;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no {words} in {shown}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
