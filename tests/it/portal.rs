//! The affiliate's door, as a browser without scripts walks through it: from the application to the statement, and
//! what strangers and forgers get.

use crate::support::app::{BEGINNING, Partner, TestApp, Visitor, bearer};
use crate::support::http::{self, Answer};
use crate::support::person::{PASSWORD, Person, newest_link};
use counterfoil::for_tests::Door;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const APPLICATION: [(&str, &str); 6] = [
    ("name", "Ann Lee"),
    ("company", "Lee Media"),
    ("email", "ann@partners.example"),
    ("website", "partners.example"),
    ("partner_type", "affiliate"),
    ("promotion", "A newsletter for shops"),
];

/// Headers, or a form's fields.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A partner who was brought over, signed in with a password of its own.
pub async fn signed_in(app: &TestApp, name: &str) -> (Partner, Person) {
    let partner = app.partner(name).await;
    let mut person = Person::at(app.public);
    let email = format!("{name}@partners.example");
    person.sends("/forgot", &[("email", &email)]).await.expect_status(200);
    person.opens_mail(app, &email, "password_reset").await;
    (partner, person)
}

/// A signup of a visitor who followed the partner's link just now.
pub async fn refers(app: &TestApp, partner: &Partner, account: &str, plan: &str) {
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    app.signs_up(&visitor, account, plan).await.expect_status(201);
}

fn leads_to(answer: Answer, path: &str) {
    let answer = answer.expect_status(303);
    assert_eq!(answer.header("location"), Some(path));
}

#[tokio::test]
async fn an_affiliate_walks_from_the_application_to_its_first_statement() {
    let mut app = TestApp::start().await;
    let mut ann = Person::at(app.public);
    assert!(ann.sees("/").await.contains("Apply to join"));
    let form = ann.sees("/apply").await;
    let kinds: Vec<&str> =
        form.split("<option value=\"").skip(1).filter_map(|text| text.split('"').next()).collect();
    assert_eq!(kinds.get(..2), Some(&["", "affiliate"][..]), "{kinds:?}");
    leads_to(ann.sends("/apply", &APPLICATION).await, "/apply/thanks");
    app.settles().await;

    let applied = app.get("/v1/affiliates?status=applied").await.json();
    let id = applied["data"][0]["id"].as_str().expect("an application").to_owned();
    assert_eq!(applied["data"][0]["website"], "https://partners.example/");
    app.post(&format!("/v1/affiliates/{id}/approve"), &json!({})).await.expect_status(200);

    // A mail scanner opens the link before the person does.
    let link = newest_link(&app, "ann@partners.example", "approved").await;
    let path = link.split_once(&app.public.to_string()).expect("our address").1.to_owned();
    for _ in 0..3 {
        assert!(ann.sees(&path).await.contains("Welcome, Ann Lee"));
    }
    let token = path.split_once("token=").expect("a token").1;
    let short = ann.sends("/activate", &[("token", token), ("new_password", "short")]).await;
    assert!(short.expect_status(422).text().contains("at least 12 characters"));
    leads_to(ann.sends("/activate", &[("token", token), ("new_password", PASSWORD)]).await, "/portal");
    let again =
        Person::at(app.public).sends("/activate", &[("token", token), ("new_password", PASSWORD)]).await;
    assert!(again.expect_status(410).text().contains("used already"));

    // The agreement comes first.
    leads_to(ann.gets("/portal").await, "/agreement");
    leads_to(ann.gets("/portal/links").await, "/agreement");
    let page = ann.sees("/agreement").await;
    let version = page.split_once("name=\"version\" value=\"").expect("a version").1.split('"').next();
    let version = version.unwrap_or_default();
    let unsigned =
        ann.sends_signed("/agreement", "/agreement", &[("version", version), ("signature", "")]).await;
    let unsigned = unsigned.expect_status(422).text();
    assert!(unsigned.contains("as your signature") && unsigned.contains("tick the box"));
    // A page that showed another text signs nothing.
    let stale = [("version", version), ("sha256", "00"), ("signature", "Ann Lee"), ("agree", "yes")];
    let stale = ann.sends_signed("/agreement", "/agreement", &stale).await.expect_status(422).text();
    assert!(stale.contains("has changed since"), "{stale}");
    assert!(page.contains("Payouts go to this PayPal e-mail"), "{page}");
    let signature = [("version", version), ("paypal_email", ""), ("signature", "Ann Lee"), ("agree", "yes")];
    leads_to(ann.sends_signed("/agreement", "/agreement", &signature).await, "/portal?done=signed");

    let home = ann.sees("/portal").await;
    assert!(home.contains("Hello, Ann") && home.contains("Share your link: here is how"));
    assert!(home.contains("No clicks in these 30 days yet") && !home.contains("chart-clicks"), "{home}");
    let shown = home.split_once("id=\"link\" value=\"").expect("the link").1.split('"').next();
    let shown = shown.unwrap_or_default().replace("&#x2f;", "/");
    let partner = Partner { id, link: shown, code: String::new() };
    app.set_now("2026-01-01T10:00:00-05:00").await;
    refers(&app, &partner, "acct_1", "growth").await;

    let list = ann.sees("/portal/referrals").await;
    assert!(
        list.contains("acct_1") && list.contains("day 0 of 90") && list.contains("Apr 1, 2026"),
        "{list}"
    );
    let one = ann.sees("/portal/referrals/acct_1").await;
    assert!(one.contains("followed your link on Jan 1, 2026"), "{one}");

    app.night_of("2026-03-05T09:00:00Z").await;
    // The session is over long since.
    leads_to(ann.gets("/portal").await, "/login");
    leads_to(ann.gets("/portal/referrals?q=x").await, "/login?next=%2Fportal%2Freferrals%3Fq%3Dx");
    let login =
        [("email", "ANN@partners.example"), ("password", PASSWORD), ("next", "/portal/referrals?q=x")];
    leads_to(ann.sends("/login", &login).await, "/portal/referrals?q=x");
    assert!(ann.sees("/portal/referrals").await.contains("day 62 of 90"));

    app.night_of("2026-05-05T09:00:00Z").await;
    leads_to(ann.sends("/login", &login).await, "/portal/referrals?q=x");
    let statement = ann.sees("/portal/statements/2026-04").await;
    assert!(statement.contains("$99.00") && statement.contains("Final") && statement.contains("Carried"));
    let csv = ann.gets("/portal/statements/2026-04?format=csv").await.expect_status(200);
    assert!(csv.header("content-disposition").is_some_and(|name| name.contains("statement-2026-04.csv")));
    assert!(csv.text().contains("commission,acct_1,growth,2026-04-01,2026-04,99.00,USD,"), "{}", csv.text());
    assert!(ann.sees("/portal/statements/2026-04/print").await.contains("Ann Lee"));
    let payouts = ann.sees("/portal/payouts").await;
    assert!(payouts.contains("Next payout: May 31, 2026") && payouts.contains("No PayPal e-mail is known"));
}

#[tokio::test]
async fn a_form_says_what_is_wrong_and_keeps_what_was_typed() {
    let app = TestApp::start().await;
    let mut stranger = Person::at(app.public);
    let typed = [
        ("name", "<b>Ann</b> \"x\""),
        ("email", "ann at partners"),
        ("website", "javascript:alert(1)"),
        ("partner_type", "pirate"),
        ("promotion", ""),
        ("paypal_email", "x"),
    ];
    let page = stranger.sends("/apply", &typed).await.expect_status(422).text();
    assert!(page.contains("value=\"&lt;b&gt;Ann&lt;&#x2f;b&gt; &quot;x&quot;\""), "{page}");
    for id in [
        "company-error",
        "email-error",
        "website-error",
        "partner_type-error",
        "promotion-error",
        "paypal_email-error",
    ] {
        assert!(page.contains(&format!("id=\"{id}\"")) && page.contains(&format!(" {id}\"")), "{id}");
    }
    assert!(page.contains("6 things need another look") && !page.contains("<b>Ann"));
    // A program that fills in everything is thanked, and its application forgotten.
    let filled: Vec<_> = APPLICATION.into_iter().chain([("fax", "1")]).collect();
    leads_to(stranger.sends("/apply", &filled).await, "/apply/thanks");
    app.settles().await;
    assert_eq!(app.get("/v1/affiliates").await.json()["data"], json!([]));
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let app = TestApp::start().await;
    app.partner("ann").await;
    let mut stranger = Person::at(app.public);
    let mut told = BTreeSet::new();
    for email in ["ann@partners.example", "nobody@partners.example"] {
        let form: Vec<_> = APPLICATION
            .iter()
            .map(|(key, value)| (*key, if *key == "email" { email } else { value }))
            .collect();
        let applied = stranger.sends("/apply", &form).await;
        let forgot = stranger.sends("/forgot", &[("email", email)]).await;
        let refused = stranger.sends("/login", &[("email", email), ("password", "not the password")]).await;
        assert_eq!((applied.status, forgot.status, refused.status), (303, 200, 422));
        let said = [applied, forgot, refused].map(|answer| answer.text().replace(email, "E-MAIL"));
        told.insert(said);
    }
    assert_eq!(told.len(), 1, "{told:#?}");
    // Guessing ends in the same way for both.
    for email in ["ann@partners.example", "nobody@partners.example"] {
        let mut statuses = Vec::new();
        for _ in 0..10 {
            statuses.push(
                stranger.sends("/login", &[("email", email), ("password", "a guess at it")]).await.status,
            );
        }
        assert_eq!(statuses, [[422; 9].as_slice(), &[429]].concat(), "{email}");
        assert!(stranger.cookie.is_none());
    }
}

#[tokio::test]
async fn a_form_that_is_not_ours_changes_nothing() {
    let app = TestApp::start().await;
    let (_, mut ann) = signed_in(&app, "ann").await;
    let (_, ben) = signed_in(&app, "ben").await;
    let (token, other) = (ann.csrf("/portal/links").await, ben.csrf("/portal/links").await);
    let own = format!("http://{}", app.public);
    let cross = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    let same = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    let table: [(&str, Pairs, &str); 6] = [
        ("no token", &same, ""),
        ("another's token", &same, &other),
        ("half a token", &same, &token[..20]),
        ("from elsewhere", &cross, &token),
        ("from a frame without an origin", &[("origin", "null")], &token),
        ("from a neighbouring host", &[("origin", own.as_str()), ("sec-fetch-site", "same-site")], &token),
    ];
    for (what, headers, token) in table {
        let form = [("label", "Forged"), ("csrf", token)];
        let answer = ann.sends_with("/portal/links", &form, headers).await;
        assert!(answer.expect_status(403).text().contains("Nothing was changed"), "{what}");
    }
    for path in ["/login", "/activate", "/apply", "/forgot", "/confirm", "/sign-out"] {
        ann.sends_with(path, &[("csrf", &token)], &cross).await.expect_status(403);
    }
    assert!(!ann.sees("/portal/links").await.contains("Forged"));
    let form = [("label", "Ours")];
    leads_to(ann.sends_signed("/portal/links", "/portal/links", &form).await, "/portal/links?done=link");
    assert!(ann.sees("/portal/links").await.contains("Ours"));
}

#[tokio::test]
async fn a_session_is_new_at_each_sign_in_and_ends_when_it_should() {
    let app = TestApp::start().await;
    let (_, mut ann) = signed_in(&app, "ann").await;
    let login = [("email", "ann@partners.example"), ("password", PASSWORD)];
    // A cookie that somebody else put there is not taken on.
    let planted = "counterfoil-portal=aff_0000000000001.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut victim = Person { at: app.public, cookie: Some(planted.to_owned()) };
    leads_to(victim.gets("/portal").await, "/login");
    leads_to(victim.sends("/login", &login).await, "/agreement");
    assert_ne!(victim.cookie.as_deref(), Some(planted));
    let cookies: BTreeSet<_> = [&ann.cookie, &victim.cookie].into_iter().flatten().cloned().collect();
    assert_eq!(cookies.len(), 2, "each sign-in has its own");

    let mut third = Person::at(app.public);
    third.sends("/login", &login).await.expect_status(303);
    let cookie = third.cookie.clone();
    leads_to(third.sends_signed("/portal", "/sign-out", &[]).await, "/login");
    assert_eq!(third.cookie, None);
    third.cookie = cookie;
    leads_to(third.gets("/portal").await, "/login");

    let wrong = [("old_password", "not the password"), ("new_password", "another fine long one")];
    let refused = ann.sends_signed("/portal/profile", "/portal/profile/password", &wrong).await;
    assert!(refused.expect_status(422).text().contains("not your present password"));
    let right = [("old_password", PASSWORD), ("new_password", "another fine long one")];
    let changed = ann.sends_signed("/portal/profile", "/portal/profile/password", &right).await;
    leads_to(changed, "/portal/profile?done=password");
    ann.sees("/portal").await;
    leads_to(victim.gets("/portal").await, "/login");
    victim.sends("/login", &login).await.expect_status(422);

    let out = ann.sends_signed("/portal/profile", "/portal/profile/sign-out-everywhere", &[]).await;
    leads_to(out, "/login");
    leads_to(ann.gets("/portal").await, "/login");
}

#[tokio::test]
async fn what_is_anothers_is_not_there() {
    let mut app = TestApp::start().await;
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let (_, ann) = signed_in(&app, "ann").await;
    let (partner, mut ben) = signed_in(&app, "ben").await;
    refers(&app, &partner, "acct_ben", "growth").await;
    app.night_of("2026-01-02T01:00:00-05:00").await;
    let link = app.get(&format!("/v1/affiliates/{}", partner.id)).await.json()["default_link"]["id"].clone();
    let link = link.as_str().expect("a link");
    ben.sees("/portal/referrals/acct_ben").await;
    ben.sees("/portal/statements/2026-01").await;
    ben.gets(&format!("/portal/links/{link}/qr.svg")).await.expect_status(200);
    let mut pages = BTreeSet::new();
    for path in [
        "/portal/referrals/acct_ben",
        "/portal/referrals/acct_unknown",
        "/portal/referrals/%22%3E",
        "/portal/statements/2026-01",
        "/portal/statements/2019-01",
        "/portal/statements/x",
        &format!("/portal/links/{link}/qr.svg"),
        "/portal/links/lnk_0000000000001/qr.svg",
        "/portal/nothing",
    ] {
        pages.insert(ann.gets(path).await.expect_status(404).text());
    }
    assert_eq!(pages.len(), 1, "{pages:#?}");
    let mut ann = ann;
    let token = ann.csrf("/portal/links").await;
    ann.sends(&format!("/portal/links/{link}/disable"), &[("csrf", &token)]).await.expect_status(404);
    // One's own main link stays.
    let token = ben.csrf("/portal/links").await;
    ben.sends(&format!("/portal/links/{link}/disable"), &[("csrf", &token)]).await.expect_status(409);
    for list in ["/portal", "/portal/referrals", "/portal/statements", "/portal/referrals?format=csv"] {
        assert!(!ann.sees(list).await.contains("acct_ben"), "{list}");
    }
}

#[tokio::test]
async fn nothing_is_expected_of_a_plan_that_earns_nothing() {
    let mut app = TestApp::start().await;
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let (partner, ann) = signed_in(&app, "ann").await;
    refers(&app, &partner, "acct_gold", "gold").await;
    refers(&app, &partner, "acct_growth", "growth").await;
    let gold = ann.sees("/portal/referrals/acct_gold").await;
    assert!(
        gold.contains("The plan gold earns no commission") && !gold.contains("If nothing interrupts it"),
        "{gold}"
    );
    let growth = ann.sees("/portal/referrals/acct_growth").await;
    assert!(
        growth.contains("If nothing interrupts it") && !growth.contains("earns no commission"),
        "{growth}"
    );
    let list = ann.sees("/portal/referrals?q=gold").await;
    assert!(list.contains("acct_gold") && !list.contains("expected"), "{list}");
    // Once it moves to a plan that earns, its days so far count.
    let changed = json!({"event_id": "e1", "type": "plan_changed", "plan": "growth", "occurred_at": "2026-01-01T18:00:00-05:00"});
    app.post("/v1/accounts/acct_gold/events", &changed).await.expect_status(201);
    let moved = ann.sees("/portal/referrals/acct_gold").await;
    assert!(moved.contains("If nothing interrupts it"), "{moved}");
}

#[tokio::test]
async fn text_is_text_on_pages_and_in_spreadsheets() {
    let mut app = TestApp::start().await;
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let (partner, mut ann) = signed_in(&app, "ann").await;
    refers(&app, &partner, "acct_1", "=HYPERLINK(1)").await;
    refers(&app, &partner, "acct_2", "<i>growth</i>").await;
    app.night_of("2026-01-02T01:00:00-05:00").await;
    let csv = ann.sees("/portal/referrals?format=csv").await;
    assert!(csv.contains(",'=hyperlink(1),") || csv.contains(",'=HYPERLINK(1),"), "{csv}");
    let hostile = "</textarea><script>alert(1)</script>{{ 7*7 }}";
    let claim = [("company", hostile), ("evidence", hostile)];
    leads_to(ann.sends_signed("/portal/claims", "/portal/claims", &claim).await, "/portal/claims?done=claim");
    let label = [("label", hostile)];
    ann.sends_signed("/portal/links", "/portal/links", &label).await.expect_status(303);
    let name = [("name", "<img src=x onerror=alert(1)>"), ("company", "\"><b>"), ("website", "")];
    ann.sends_signed("/portal/profile", "/portal/profile", &name).await.expect_status(303);
    for path in [
        "/portal",
        "/portal/referrals",
        "/portal/referrals?q=%22%3E%3Cscript%3E",
        "/portal/referrals/acct_2",
        "/portal/statements",
        "/portal/payouts",
        "/portal/payouts?sort=-amount",
        "/portal/links",
        "/portal/claims?done=%3Cscript%3E",
        "/portal/profile",
        "/portal?to=%22%3E%3Cscript%3E&sub1=%3Ci%3E",
        "/login?next=%22%3E%3Cscript%3E",
        "/agreement",
    ] {
        let answer = ann.gets(path).await;
        let page = answer.text();
        for markup in ["<i>", "<script>", "<img", "<b>", "49", "style=\"", "http://evil"] {
            let allowed = markup == "49" && !page.contains("}49") && !page.contains(">49");
            assert!(allowed || !page.contains(markup), "{markup} in {path}");
        }
    }
}

#[tokio::test]
async fn every_page_is_guarded_small_and_whole() {
    let mut app = TestApp::start().await;
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let (partner, ann) = signed_in(&app, "ann").await;
    for number in 0..60 {
        let body = json!({"account_id": format!("account-with-a-long-name-{number}"), "plan": "performance",
            "signed_up_at": BEGINNING, "code": partner.code});
        app.post("/v1/signups", &body).await.expect_status(201);
    }
    app.night_of("2026-01-02T01:00:00-05:00").await;
    for path in [
        "/",
        "/apply",
        "/apply/thanks",
        "/forgot",
        "/portal",
        "/portal/referrals",
        "/portal/referrals?page=2",
        "/portal/statements",
        "/portal/statements/2026-01",
        "/portal/statements/2026-01/print",
        "/portal/payouts",
        "/portal/links",
        "/portal/claims",
        "/portal/profile",
        "/agreement",
    ] {
        let answer = ann.gets(path).await.expect_status(200);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self';") && !policy.contains("unsafe"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        assert!(answer.body.len() < 100_000, "{path} has {} bytes", answer.body.len());
        let page = answer.text();
        assert!(page.trim_end().ends_with("</html>") && page.matches("<h1").count() == 1, "{path}");
        assert!(!page.contains(" onclick=") && !page.contains("<style"), "{path}");
        for asset in page.split('"').filter(|text| text.starts_with("/assets/")) {
            let asset = ann.gets(asset).await.expect_status(200);
            assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
        }
    }
    for (method, path, status) in
        [("GET", "/sign-out", 405), ("GET", "/nothing", 404), ("GET", "/assets/x", 404)]
    {
        let answer = crate::support::http::send(method, app.public, path, &[], "").await.expect("an answer");
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().contains("<h1>"), "{path} is a page");
    }
    // What no page of ours sends is refused, and never our failure.
    for query in ["sort=secret", "page=0", "q=a&q=b", "state=x", "unknown=1", "q=%ff"] {
        ann.gets(&format!("/portal/referrals?{query}")).await.expect_status(400);
    }
}

#[tokio::test]
async fn a_suspended_affiliate_reads_what_still_counts() {
    let app = TestApp::start().await;
    let (partner, mut ann) = signed_in(&app, "ann").await;
    let step = |step: &str| format!("/v1/affiliates/{}/{step}", partner.id);
    app.post(&step("suspend"), &json!({"reason": "Brand bidding"})).await.expect_status(200);
    let home = ann.sees("/portal").await;
    assert!(home.contains("Your account is suspended") && home.contains("The reason: Brand bidding. "));
    assert!(!home.contains("is your referral"), "{home}");
    assert!(!ann.sees("/portal/links").await.contains("Make a link"));
    let token = ann.csrf("/portal").await;
    ann.sends("/portal/links", &[("label", "x"), ("csrf", &token)]).await.expect_status(422);
    app.post(&step("reinstate"), &json!({"reason": "Settled"})).await.expect_status(200);
    assert!(!ann.sees("/portal").await.contains("suspended."));
}

#[tokio::test]
async fn addresses_change_once_a_mail_confirmed_them() {
    let app = TestApp::start().await;
    let (partner, mut ann) = signed_in(&app, "ann").await;
    let profile = async || app.get(&format!("/v1/affiliates/{}", partner.id)).await.json();
    let guess = [("new_paypal", "money@partners.example"), ("paypal_password", "a guess at it")];
    let refused = ann.sends_signed("/portal/profile", "/portal/profile/paypal", &guess).await;
    let refused = refused.expect_status(422).text();
    assert!(refused.contains("paypal_password-error") && refused.contains("not your present password"));
    assert!(!refused.contains("a guess at it") && refused.contains("value=\"money@partners.example\""));
    let without = [("new_email", "money@partners.example")];
    let refused = ann.sends_signed("/portal/profile", "/portal/profile/email", &without).await;
    assert!(refused.expect_status(422).text().contains("email_password-error"));
    let paypal = [("new_paypal", "money@partners.example"), ("paypal_password", PASSWORD)];
    let asked = ann.sends_signed("/portal/profile", "/portal/profile/paypal", &paypal).await;
    leads_to(asked, "/portal/profile?done=paypal");
    assert_eq!(profile().await["paypal_email"], Value::Null);
    let link = newest_link(&app, "ann@partners.example", "confirm_paypal").await;
    let path = link.split_once(&app.public.to_string()).expect("our address").1.to_owned();
    let shown = ann.sees(&path).await;
    assert!(shown.contains("money@partners.example") && shown.contains("held for 7 days"), "{shown}");
    assert_eq!(profile().await["paypal_email"], Value::Null, "looking changes nothing");
    let token = path.split_once("token=").expect("a token").1;
    let done = Person::at(app.public).sends("/confirm", &[("token", token)]).await.expect_status(200);
    assert!(done.text().contains("PayPal e-mail is set"));
    assert_eq!(profile().await["paypal_email"], "money@partners.example");
    Person::at(app.public).sends("/confirm", &[("token", token)]).await.expect_status(410);
    // A link for one thing does nothing else.
    Person::at(app.public)
        .sends("/activate", &[("token", token), ("new_password", PASSWORD)])
        .await
        .expect_status(410);
    ann.gets("/confirm?token=nonsense").await.expect_status(410);
    ann.gets("/activate").await.expect_status(410);
    let email = [("new_email", "ann@new.example"), ("email_password", PASSWORD)];
    let asked = ann.sends_signed("/portal/profile", "/portal/profile/email", &email).await;
    leads_to(asked, "/portal/profile?done=email");
    let link = newest_link(&app, "ann@new.example", "confirm_email").await;
    let token = link.split_once("token=").expect("a token").1;
    let done = ann.sends("/confirm", &[("token", token)]).await.expect_status(200).text();
    assert!(done.contains("Sign in with the new address") && done.contains("hold payouts"), "{done}");
    leads_to(ann.gets("/portal").await, "/login");
    let login = [("email", "ann@new.example"), ("password", PASSWORD)];
    leads_to(ann.sends("/login", &login).await, "/agreement");
    // Staff can sign it out as well.
    app.post(&format!("/v1/affiliates/{}/sign-out", partner.id), &json!({})).await.expect_status(204);
    leads_to(ann.gets("/portal").await, "/login");
    leads_to(ann.sends("/login", &login).await, "/agreement");
}

#[tokio::test]
async fn a_closed_affiliate_reads_what_is_left_and_changes_nothing() {
    let mut app = TestApp::start().await;
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let (partner, mut ann) = signed_in(&app, "ann").await;
    refers(&app, &partner, "acct_1", "growth").await;
    app.night_of("2026-01-02T01:00:00-05:00").await;
    let tokens = ann.csrf("/portal/profile").await;
    let reason = json!({"reason": "You asked us to!"});
    app.post(&format!("/v1/affiliates/{}/close", partner.id), &reason).await.expect_status(200);
    let home = ann.sees("/portal").await;
    assert!(home.contains("Your account is closed. The reason: You asked us to! You can read"), "{home}");
    assert!(!home.contains("Your link</h2>") && !home.contains("is your referral"), "{home}");
    for path in ["/portal/statements", "/portal/statements/2026-01", "/portal/payouts", "/portal/referrals"] {
        ann.sees(path).await;
    }
    for path in ["/portal/claims", "/portal/profile", "/portal/links"] {
        assert!(!ann.sees(path).await.contains("<form method=\"post\" action=\"/portal/c"), "{path}");
    }
    for path in ["/portal/claims", "/portal/profile", "/portal/profile/paypal", "/portal/links"] {
        let refused = ann.sends(path, &[("csrf", &tokens)]).await.expect_status(403).text();
        assert!(refused.contains("Your account is closed"), "{path}: {refused}");
    }
    let login = [("email", "ann@partners.example"), ("password", PASSWORD)];
    leads_to(Person::at(app.public).sends("/login", &login).await, "/portal");
    ann.sends("/sign-out", &[("csrf", &tokens)]).await.expect_status(303);
}

#[tokio::test]
async fn a_link_that_is_off_is_not_called_one_that_earns() {
    let mut app = TestApp::start_with("sqlite", "[portal]\nsupport_email = \"help@program.example\"").await;
    let (partner, mut ann) = signed_in(&app, "ann").await;
    let links = format!("/v1/affiliates/{}/links", partner.id);
    let made = app.post(&links, &json!({"label": "Spring"})).await.expect_status(201).json();
    let (id, url) = (made["id"].as_str().expect("an id"), made["url"].as_str().expect("an address"));
    let code = format!("/portal/links/{id}/qr.svg");
    assert!(ann.sees("/portal/links").await.contains(&code));
    let reason = json!({"reason": "The page that it stands on was hacked"});
    app.post(&format!("/v1/links/{id}/disable"), &reason).await.expect_status(200);
    let page = ann.sees("/portal/links").await;
    let said = "Our staff switched it off on Jan 1, 2026. The reason: The page that it stands on was hacked.";
    let token = url.rsplit('/').next().expect("an address");
    for part in [said, "new clicks earn nothing", "mailto:help@program.example", token] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains(&code), "nobody is to share it: {page}");
    assert!(ann.sees("/portal").await.contains("is your referral"), "the other link earns");
    app.post(&format!("/v1/links/{id}/enable"), &json!({})).await.expect_status(200);
    assert!(ann.sees("/portal/links").await.contains(&code));
    leads_to(
        ann.sends_signed("/portal/links", &format!("/portal/links/{id}/disable"), &[]).await,
        "/portal/links?done=disabled",
    );
    assert!(ann.sees("/portal/links").await.contains("You switched it off on Jan 1, 2026."));

    let default = app.get(&links).await.json()["data"][0].clone();
    app.is_switched_off_by_an_older_version(&default).await;
    let home = ann.sees("/portal").await;
    for part in ["Your link is switched off", "It was switched off on Jan 1, 2026.", "help@program.example"] {
        assert!(home.contains(part), "{part} in {home}");
    }
    for untrue in ["is your referral", "data-copy", "qr.svg", "Share your link", "your link</a>"] {
        assert!(!home.contains(untrue), "{untrue} in {home}");
    }
    let path = format!("/v1/links/{}/enable", default["id"].as_str().expect("an id"));
    app.post(&path, &json!({})).await.expect_status(200);
    assert!(ann.sees("/portal").await.contains("is your referral"));
}

#[tokio::test]
async fn what_nobody_paid_is_unpaid_or_carried_with_its_reason_and_never_paid() {
    let mut app = TestApp::start().await;
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let (partner, mut ann) = signed_in(&app, "ann").await;
    refers(&app, &partner, "acct_1", "growth").await;
    app.night_of("2026-05-04T04:15:00-04:00").await;
    // Months later April is still not paid.
    app.night_of("2026-11-20T04:15:00-05:00").await;
    let login = [("email", "ann@partners.example"), ("password", PASSWORD)];
    ann.sends("/login", &login).await.expect_status(303);
    let pages = ["/portal", "/portal/payouts", "/portal/statements", "/portal/statements/2026-04"];
    for path in pages {
        let page = ann.sees(path).await;
        assert!(page.contains("No PayPal e-mail is known yet."), "{path}: {page}");
        assert!(!page.contains("to be paid on") && !page.contains("To be paid on"), "{path}: {page}");
    }
    let paypal = json!({"paypal_email": "pay@partners.example"});
    let path = format!("/v1/affiliates/{}", partner.id);
    http::send("PATCH", app.internal, &path, &bearer(), paypal.to_string()).await.expect("an answer");
    // The address was given just now: payouts are held for seven days, which end before the next one.
    for path in pages {
        let page = ann.sees(path).await;
        assert!(page.contains("to be paid on Nov 30, 2026"), "{path}: {page}");
        for untrue in ["Paid", " paid so far", "is paid", "Carried"] {
            assert!(!page.contains(untrue), "{untrue} on {path}: {page}");
        }
    }
    let csv = ann.gets("/portal/statements?format=csv").await.expect_status(200).text();
    assert!(csv.contains("2026-04,Final,Unpaid,"), "{csv}");
}

#[tokio::test]
async fn a_commission_is_shown_with_the_plan_and_tier_that_it_is_for() {
    let mut app = TestApp::start().await;
    app.set_now("2026-01-01T18:00:00-05:00").await;
    let (partner, mut ann) = signed_in(&app, "ann").await;
    refers(&app, &partner, "acct_1", "performance").await;
    // It moves to a dearer plan once it has crossed.
    let moves = json!({"event_id": "e1", "type": "plan_changed", "plan": "connect",
        "occurred_at": "2026-04-10T12:00:00-04:00"});
    app.set_now("2026-04-20T12:00:00-04:00").await;
    app.post("/v1/accounts/acct_1/events", &moves).await.expect_status(201);
    app.night_of("2026-05-04T04:15:00-04:00").await;
    let login = [("email", "ann@partners.example"), ("password", PASSWORD)];
    ann.sends("/login", &login).await.expect_status(303);
    let list = ann.sees("/portal/referrals").await;
    for part in ["Plan now", ">connect<", ">performance<", ">first tier<", "$39.00"] {
        assert!(list.contains(part), "{part} in {list}");
    }
    let csv = ann.gets("/portal/referrals?format=csv").await.expect_status(200).text();
    assert!(csv.contains(",\"performance, first tier\",39.00"), "{csv}");
    let page = ann.sees("/portal/referrals/acct_1").await;
    for part in [
        "for performance, first tier",
        "<td>performance, first tier</td>",
        "Signed up, on the plan performance",
        "Moved to the plan connect",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    for path in ["/portal/statements/2026-04", "/portal/statements/2026-04/print"] {
        let statement = ann.sees(path).await;
        assert!(statement.contains("first tier") && statement.contains("performance"), "{statement}");
        assert!(!statement.contains("connect"), "{statement}");
    }
    let csv = ann.gets("/portal/statements/2026-04?format=csv").await.expect_status(200).text();
    assert!(csv.contains("acct_1,performance,2026-04-01,2026-04,39.00,USD,,0"), "{csv}");
}

#[tokio::test]
async fn every_page_says_whom_to_write_to_and_bad_news_says_it_beside_the_reason() {
    let support = "mailto:help@program.example";
    let app = TestApp::start_with("sqlite", "[portal]\nsupport_email = \"help@program.example\"").await;
    let (partner, ann) = signed_in(&app, "ann").await;
    let pages = [
        "/portal",
        "/portal/referrals",
        "/portal/statements",
        "/portal/payouts",
        "/portal/links",
        "/portal/claims",
        "/portal/profile",
    ];
    for path in pages.into_iter().chain(["/agreement"]) {
        assert_eq!(ann.sees(path).await.matches(support).count(), 1, "{path}");
    }
    for (step, reason) in [("suspend", "odd clicks"), ("close", "You asked us to!")] {
        let path = format!("/v1/affiliates/{}/{step}", partner.id);
        app.post(&path, &json!({"reason": reason})).await.expect_status(200);
        for path in pages {
            let page = ann.sees(path).await;
            assert_eq!(page.matches(support).count(), 2, "{step} {path}: {page}");
            assert!(page.contains("To talk about it, write to <a href"), "{page}");
        }
    }
    // Without an address nobody is sent anywhere.
    let app = TestApp::start().await;
    let (_, ben) = signed_in(&app, "ben").await;
    for path in pages {
        assert!(!ben.sees(path).await.contains("mailto:"), "{path}");
    }
}

/// What is typed into a form is held to the rules of the API, and the other way round.
#[tokio::test]
async fn every_entrance_takes_the_same_links_web_sites_and_kinds_of_partner() {
    let app = TestApp::start().await;
    let (partner, mut person) = signed_in(&app, "ann").await;
    let (at, links) =
        (format!("/v1/affiliates/{}", partner.id), format!("/v1/affiliates/{}/links", partner.id));

    // A web site may be typed without its scheme.
    let mut json = crate::support::app::bearer();
    json.push(("content-type".into(), "application/json".into()));
    let patch = |body: Value| http::send("PATCH", app.internal, &at, &json, body.to_string());
    let changed = patch(json!({"website": "example.com"})).await.expect("an answer").expect_status(200);
    assert_eq!(changed.json()["website"], "https://example.com/");
    let form = [("name", "Ann"), ("website", "example.com/x")];
    person.sends_signed("/portal/profile", "/portal/profile", &form).await.expect_status(303);
    assert_eq!(app.get(&at).await.json()["website"], "https://example.com/x");

    // A kind of partner is one of the list, from wherever it comes.
    let refused = patch(json!({"partner_type": "pirate"})).await.expect("an answer").expect_status(422);
    assert_eq!(refused.json()["code"], "invalid_partner_type");
    let applies = [
        ("name", "Bob"),
        ("email", "bob@partners.example"),
        ("company", "Bob"),
        ("website", "bob.example"),
        ("promotion", "By mail"),
        ("partner_type", "pirate"),
    ];
    person.sends("/apply", &applies).await.expect_status(422);

    // A destination may be typed without its scheme, is of at most 1,024 characters, and on the program's hosts.
    let whole = "https://www.calltrackingmetrics.com/plans";
    let made = app.post(&links, &json!({"destination": "www.calltrackingmetrics.com/plans"})).await;
    assert_eq!(made.expect_status(201).json()["destination"], whole);
    let form = [("label", "One"), ("destination", "www.calltrackingmetrics.com/plans")];
    person.sends_signed("/portal/links", "/portal/links", &form).await.expect_status(303);
    let long = format!("{whole}?{}", "x".repeat(1_024));
    for destination in [long.as_str(), "https://evil.example/"] {
        let refused = app.post(&links, &json!({"destination": destination})).await.expect_status(422);
        assert_eq!(refused.json()["code"], "invalid_destination");
        let form = [("label", "Two"), ("destination", destination)];
        person.sends_signed("/portal/links", "/portal/links", &form).await.expect_status(422);
    }

    // People name their links.
    person.sends_signed("/portal/links", "/portal/links", &[("label", " ")]).await.expect_status(422);

    // Nobody switches a default link off.
    let default = app.get(&links).await.json()["data"][0]["id"].as_str().expect("an id").to_owned();
    let off = format!("/portal/links/{default}/disable");
    person.sends_signed("/portal/links", &off, &[]).await.expect_status(409);
    app.post(&format!("/v1/links/{default}/disable"), &json!({})).await.expect_status(409);

    // The limit is 200 links, for affiliates and for staff.
    for _ in 3..200 {
        app.post(&links, &json!({})).await.expect_status(201);
    }
    let refused = app.post(&links, &json!({})).await.expect_status(409).json();
    assert_eq!(refused["code"], "too_many_links");
    let refused = person.sends_signed("/portal/links", "/portal/links", &[("label", "One more")]).await;
    assert!(refused.expect_status(422).text().contains("You have 200 links"));
}

#[tokio::test]
async fn every_row_of_the_table_lets_in_whom_it_says() {
    let app = TestApp::start().await;
    let (_, person) = signed_in(&app, "ann").await;
    let [table, _] = counterfoil::for_tests::tables();
    assert!(table.len() > 30, "{table:?}");
    let named = |path: &str| {
        path.replace("{account_id}", "acct")
            .replace("{month}", "2026-01")
            .replace("{link_id}", "lnk_0000000000001")
    };
    for row in &table {
        let path = named(row.path);
        let mut nobody = Person::at(app.public);
        let answer = match row.method {
            "GET" => nobody.gets(&path).await,
            _ => nobody.sends(&path, &[]).await,
        };
        let asks = answer.header("location").is_some_and(|to| to.starts_with("/login"));
        assert_eq!(asks, row.door == Door::SignedIn, "{} {path} is asked for by nobody", row.method);
        assert!(answer.status < 500, "{} {path}: {}", row.method, answer.status);
        if row.method == "GET" {
            let answer = person.gets(&path).await;
            assert!([200, 303, 404, 410].contains(&answer.status), "{path}: {}", answer.status);
        } else if row.door == Door::SignedIn {
            // Without the token of a page of ours, nothing is done.
            let answer = person.clone().sends(&path, &[]).await;
            assert_eq!(answer.status, 403, "{path}");
        }
    }
}
