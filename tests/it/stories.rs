//! The life of a click and of a commission, through the real server's interfaces, on each store.

use crate::support::app::{BEGINNING, TestApp, Visitor, bearer};
use crate::support::http;
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};

/// A story on the embedded store and on Redis.
macro_rules! on_both_stores {
    ($($name:ident)+) => {
        mod embedded {
            $(#[tokio::test] async fn $name() { super::$name(super::TestApp::start().await).await; })+
        }
        mod redis {
            $(#[tokio::test] async fn $name() {
                let redis = super::Server::start(super::Program::Redis, &[]);
                super::$name(super::TestApp::start_with(&redis.url(), "").await).await;
            })+
        }
    };
}

on_both_stores! {
    a_click_becomes_a_signup_becomes_a_commission
    each_kind_of_evidence_names_its_click
    a_repeated_signup_gets_the_same_answer_and_other_facts_a_conflict
    a_sender_is_warned_and_the_first_answer_is_kept_after_a_restart
    an_event_may_come_before_its_signup
    the_tier_changes_at_25_and_late_facts_become_adjustments
    a_hold_keeps_a_referral_out_until_it_is_released
    an_affiliate_is_known_by_each_spelling_of_its_own_address
    a_credit_by_hand_moves_a_closed_commission
    a_night_computes_what_became_known_and_says_what_all_facts_say
    bots_are_redirected_and_credited_to_nobody
    a_suspended_affiliate_is_not_credited
    clicks_made_while_a_link_was_off_stay_without_credit
    the_feed_and_the_audit_log_tell_what_happened
}

async fn a_click_becomes_a_signup_becomes_a_commission(mut app: TestApp) {
    let partner = app.partner("ann").await;
    let mut visitor = Visitor::default();
    let landed = visitor.clicks(&partner.link).await.expect_status(302);
    let location = landed.header("location").expect("a landing page");
    assert!(location.starts_with("https://www.calltrackingmetrics.com/plans?cfoil="), "{location}");
    assert_eq!(landed.header("cache-control"), Some("no-store"));
    assert!(visitor.cookie.is_some());

    app.set_now("2026-01-01T10:00:00-05:00").await;
    let answer = app.signs_up(&visitor, "acct_81", "Growth").await.expect_status(201).json();
    assert_eq!(answer["attributed"], true);
    assert_eq!(answer["affiliate_id"], json!(partner.id));
    assert_eq!((&answer["via"], &answer["reason"]), (&json!("click"), &json!("attributed")));
    assert_eq!((&answer["model"], &answer["held"]), (&json!("last_click"), &json!(false)));

    let run = app.night_of("2026-03-31T04:15:00-04:00").await;
    assert_eq!(run["through"], "2026-03-30");
    let account = app.get("/v1/accounts/acct_81").await.expect_status(200).json();
    assert_eq!(account["active_days"], 88, "{account}");
    assert_eq!(account["expected_on"], "2026-04-01");

    let run = app.night_of("2026-05-04T04:15:00-04:00").await;
    assert_eq!(run["closed"], json!(["2026-03", "2026-04"]));
    let statements = app.statements("&month=2026-04").await;
    let [statement] = statements.as_slice() else { panic!("{statements:?}") };
    assert_eq!((&statement["status"], &statement["total"]), (&json!("closed"), &json!("99.00")));
    assert_eq!(statement["active_accounts"], 1);
    assert_eq!(statement["lines"][0]["crossed_on"], "2026-04-01");
    assert_eq!(statement["lines"][0]["plan"], "growth");

    let before = app.statements("").await;
    app.night_of("2026-05-04T04:15:00-04:00").await;
    assert_eq!(app.statements("").await, before, "a run made again says the same");
}

async fn each_kind_of_evidence_names_its_click(mut app: TestApp) {
    let partner = app.partner("eve").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    app.settles().await;
    let cookie_only = Visitor { cfoil: None, ..visitor.clone() };
    let click_only = Visitor { cookie: None, ..visitor.clone() };
    let via = |answer: Value| answer["via"].as_str().map(str::to_owned);
    let first = app.signs_up(&click_only, "by-click", "growth").await.expect_status(201).json();
    assert_eq!(via(first).as_deref(), Some("click"));
    let second = app.signs_up(&cookie_only, "by-cookie", "growth").await.expect_status(201).json();
    assert_eq!(via(second).as_deref(), Some("cookie"));

    // The middle one of three clicks is in no cookie: only the recorded visits have it.
    let other = app.partner("otto").await;
    let mut busy = Visitor::default();
    for link in [&partner.link, &other.link, &partner.link] {
        busy.clicks(link).await;
    }
    app.settles().await;
    app.post(&format!("/v1/affiliates/{}/suspend", partner.id), &json!({"reason": "test"})).await;
    app.set_now("2026-01-01T10:00:00-05:00").await;
    let third = Visitor { cfoil: None, ..busy };
    let third = app.signs_up(&third, "by-visits", "growth").await.expect_status(201).json();
    assert_eq!(
        (third["affiliate_id"].as_str(), via(third.clone()).as_deref()),
        (Some(&*other.id), Some("visits"))
    );

    let body = json!({"account_id": "by-code", "plan": "growth", "signed_up_at": BEGINNING,
        "code": format!(" {} ", other.code.to_uppercase())});
    let fourth = app.post("/v1/signups", &body).await.expect_status(201).json();
    assert_eq!(via(fourth).as_deref(), Some("code"));
    let nothing = app.signs_up(&Visitor::default(), "by-nothing", "growth").await.expect_status(201).json();
    assert_eq!((&nothing["attributed"], &nothing["reason"]), (&json!(false), &json!("no_evidence")));
    let forged = Visitor { cfoil: Some("forged".into()), cookie: None };
    let forged = app.signs_up(&forged, "by-forgery", "growth").await.expect_status(201).json();
    assert_eq!(forged["reason"], "bad_signature");
}

async fn a_repeated_signup_gets_the_same_answer_and_other_facts_a_conflict(app: TestApp) {
    let partner = app.partner("rae").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    let first = app.signs_up(&visitor, "acct", "growth").await.expect_status(201);
    let again = app.signs_up(&Visitor::default(), "acct", "GROWTH").await.expect_status(200);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = app.signs_up(&visitor, "acct", "connect").await.expect_status(409);
    assert!(other.json()["code"].is_string(), "{}", other.text());
    let account = app.get("/v1/accounts/acct").await.expect_status(200).json();
    assert_eq!(account["signup"]["plan"], "growth", "{account}");
    app.settles().await;
    let conflicts = app.get("/v1/accounts?conflict=true").await.expect_status(200).json();
    assert_eq!(conflicts["data"][0]["account_id"], "acct", "{conflicts}");
}

async fn a_sender_is_warned_and_the_first_answer_is_kept_after_a_restart(mut app: TestApp) {
    let body = json!({"account_id": "acct", "plan": "gold", "signed_up_at": BEGINNING, "clik": "token"});
    let first = app.post("/v1/signups", &body).await.expect_status(201);
    assert_eq!(first.json()["warnings"], json!(["plan_without_rate", "unknown_field:clik"]));
    assert_eq!(app.stop().await, Some(0));
    app.run().await;
    let mended = json!({"account_id": "acct", "plan": "gold", "signed_up_at": BEGINNING, "click": "token"});
    for body in [body, mended] {
        let again = app.post("/v1/signups", &body).await.expect_status(200);
        assert_eq!(again.text(), first.text());
    }
}

async fn an_event_may_come_before_its_signup(app: TestApp) {
    let partner = app.partner("pat").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    let early = app.happens("late", "evt_1", "suspended", BEGINNING).await.expect_status(201).json();
    assert_eq!(early["referred"], Value::Null);
    let waiting = app.get("/v1/accounts?waiting=true").await.expect_status(200).json();
    assert_eq!(waiting["data"][0]["account_id"], "late", "{waiting}");
    app.signs_up(&visitor, "late", "growth").await.expect_status(201);
    let again = app.happens("late", "evt_1", "suspended", BEGINNING).await.expect_status(200);
    assert_eq!(again.json()["referred"], true);
    app.happens("late", "evt_1", "activated", BEGINNING).await.expect_status(409);
    let unknown = app.happens("late", "evt_2", "upgraded", BEGINNING).await.expect_status(200).json();
    assert_eq!(unknown["ignored"], true);
    let refused = app.happens("late", "evt_3", "downgraded", BEGINNING).await.expect_status(422).json();
    assert!(refused["title"].as_str().is_some_and(|title| title.contains("plan_changed")), "{refused}");
    // What was accepted without effect, as by a version that did not know the spelling, is corrected by its
    // sender.
    app.happens("late", "evt_2", "cancelled", BEGINNING).await.expect_status(201);
    app.happens("late", "evt_2", "canceled", BEGINNING).await.expect_status(200);
    let account = app.get("/v1/accounts/late").await.expect_status(200).json();
    assert_eq!(account["history"][1]["type"], "canceled", "{account}");
}

async fn the_tier_changes_at_25_and_late_facts_become_adjustments(mut app: TestApp) {
    let partner = app.partner("tia").await;
    app.set_now("2026-01-10T10:00:00-05:00").await;
    for number in 0..25 {
        let mut visitor = Visitor::default();
        visitor.clicks(&partner.link).await;
        // Three cross in April, the others (trials until then) only count.
        if number < 3 {
            app.signs_up(&visitor, &format!("acct-{number}"), "growth").await.expect_status(201);
        } else {
            let body = json!({"account_id": format!("acct-{number}"), "plan": "growth", "active": false,
                "signed_up_at": "2026-01-10T10:00:00-05:00", "click": visitor.cfoil});
            app.post("/v1/signups", &body).await.expect_status(201);
        }
    }
    app.set_now("2026-04-02T00:00:00-04:00").await;
    for number in 3..25 {
        let at = "2026-04-01T12:00:00-04:00";
        app.happens(&format!("acct-{number}"), "evt_a", "activated", at).await.expect_status(201);
    }
    app.night_of("2026-05-04T04:15:00-04:00").await;
    let april = app.statements("&month=2026-04").await;
    assert_eq!((&april[0]["active_accounts"], &april[0]["tier_from"]), (&json!(25), &json!(25)));
    assert_eq!(april[0]["total"], "447.00");

    app.set_now("2026-05-10T10:00:00-04:00").await;
    app.happens("acct-20", "evt_c", "canceled", "2026-04-29T10:00:00-04:00").await.expect_status(201);
    app.night_of("2026-05-11T04:15:00-04:00").await;
    assert_eq!(app.statements("&month=2026-04").await, april, "a closed month never changes");
    let may = app.statements("&month=2026-05").await;
    let adjustments = may[0]["adjustments"].as_array().expect("a list");
    assert_eq!(adjustments.len(), 3);
    for adjustment in adjustments {
        assert_eq!((&adjustment["for_month"], &adjustment["amount"]), (&json!("2026-04"), &json!("-50.00")));
        assert_eq!((&adjustment["stated"], &adjustment["now"]), (&json!("149.00"), &json!("99.00")));
    }
    assert_eq!((&may[0]["status"], &may[0]["total"]), (&json!("open"), &json!("-150.00")));
    app.night_of("2026-06-04T04:15:00-04:00").await;
    let june = app.statements("&month=2026-06").await;
    assert_eq!(june[0]["adjustments"], json!([]), "an adjustment is made once");
}

async fn a_hold_keeps_a_referral_out_until_it_is_released(mut app: TestApp) {
    let partner = app.partner("hal").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    let body = json!({"account_id": "own", "plan": "growth", "signed_up_at": BEGINNING,
        "click": visitor.cfoil, "email": " HAL@partners.example "});
    let held = app.post("/v1/signups", &body).await.expect_status(201).json();
    assert_eq!((&held["attributed"], &held["held"]), (&json!(true), &json!(true)));
    app.night_of("2026-05-04T04:15:00-04:00").await;
    assert_eq!(app.statements("&month=2026-04").await[0]["lines"], json!([]));
    let listed = app.get("/v1/accounts?held=true").await.expect_status(200).json();
    assert_eq!(listed["data"][0]["account_id"], "own");
    app.post("/v1/accounts/own/release", &json!({"reason": "known"})).await.expect_status(200);
    app.night_of("2026-05-05T04:15:00-04:00").await;
    let may = app.statements("&month=2026-05").await;
    assert_eq!(may[0]["total"], "99.00", "the months missed are added: {may:?}");
    app.post("/v1/accounts/own/reject", &json!({"reason": "own account"})).await.expect_status(200);
    app.night_of("2026-05-06T04:15:00-04:00").await;
    assert_eq!(app.statements("&month=2026-05").await[0]["total"], "0.00");
}

async fn an_affiliate_is_known_by_each_spelling_of_its_own_address(app: TestApp) {
    let partner = app.partner("flo").await;
    let (path, change) =
        (format!("/v1/affiliates/{}", partner.id), json!({"paypal_email": "f.l.o@gmail.com"}));
    let headers = [bearer(), vec![("content-type".into(), "application/json".into())]].concat();
    let changed = http::send("PATCH", app.internal, &path, &headers, change.to_string()).await;
    changed.expect("an answer").expect_status(200);
    let table: [(&str, &[&str]); 5] = [
        ("Flo+acct@partners.example", &["self_referral", "same_domain"]),
        ("f.lo@partners.example", &["same_domain"]),
        ("FLO+pay@googlemail.com", &["self_referral"]),
        ("f.l.o@gmail.com", &["self_referral"]),
        ("florence@gmail.com", &[]),
    ];
    for (number, (email, holds)) in table.into_iter().enumerate() {
        let mut visitor = Visitor::default();
        visitor.clicks(&partner.link).await.expect_status(302);
        let body = json!({"account_id": format!("flo-{number}"), "plan": "growth", "signed_up_at": BEGINNING,
            "click": visitor.cfoil, "email": email});
        app.post("/v1/signups", &body).await.expect_status(201);
        let account = app.get(&format!("/v1/accounts/flo-{number}")).await.expect_status(200).json();
        assert_eq!(account["hold_reasons"], json!(holds), "{email}");
        assert_eq!(account["affiliate_id"], json!(partner.id), "{email}");
    }
}

async fn a_credit_by_hand_moves_a_closed_commission(mut app: TestApp) {
    let (first, second) = (app.partner("uma").await, app.partner("vic").await);
    let mut visitor = Visitor::default();
    visitor.clicks(&first.link).await;
    app.signs_up(&visitor, "moved", "connect").await.expect_status(201);
    app.night_of("2026-05-04T04:15:00-04:00").await;
    let body = json!({"affiliate_id": second.id, "reason": "it was a call"});
    app.post("/v1/accounts/moved/attribution", &body).await.expect_status(200);
    app.night_of("2026-05-05T04:15:00-04:00").await;
    let total = async |partner: &str| {
        let statements = app.statements(&format!("&month=2026-05&affiliate_id={partner}")).await;
        statements[0]["total"].as_str().expect("an amount").to_owned()
    };
    assert_eq!(total(&first.id).await, "-299.00");
    assert_eq!(total(&second.id).await, "299.00");
}

/// `night_of` compares each night with a dry run, which computes everything from all facts.
async fn a_night_computes_what_became_known_and_says_what_all_facts_say(mut app: TestApp) {
    let mut partners = Vec::new();
    for name in ["ana", "ben", "cho", "dee"] {
        app.set_now(BEGINNING).await;
        let partner = app.partner(name).await;
        let mut visitor = Visitor::default();
        visitor.clicks(&partner.link).await;
        for account in 0..3 {
            app.set_now(&format!("2026-01-0{}T10:00:00-05:00", 1 + 2 * account)).await;
            let answer = app.signs_up(&visitor, &format!("{name}-{account}"), "growth").await;
            assert_eq!(answer.expect_status(201).json()["attributed"], true);
        }
        partners.push(partner);
    }
    let night = async |app: &mut TestApp, day: &str| {
        let run = app.night_of(&format!("{day}T04:15:00-05:00")).await;
        run["computed"].as_u64().expect("a count")
    };
    assert_eq!(night(&mut app, "2026-02-10").await, 4, "the first computes all");
    assert_eq!(night(&mut app, "2026-02-11").await, 0, "nothing became known");
    app.happens("ana-0", "e1", "canceled", "2026-02-09T12:00:00Z").await.expect_status(201);
    assert_eq!(night(&mut app, "2026-02-12").await, 1);
    app.happens("ben-0", "e1", "suspended", "2026-02-12T03:00:00-05:00").await.expect_status(201);
    assert_eq!(night(&mut app, "2026-02-12").await, 1, "it is dated after the last full day");
    app.happens("cho-2", "e1", "merged.twice", "2026-02-11T03:00:00-05:00").await.expect_status(200);
    assert_eq!(night(&mut app, "2026-02-12").await, 1, "what we don't understand is a fact all the same");
    assert_eq!(night(&mut app, "2026-02-13").await, 1, "its day has come");
    assert_eq!(night(&mut app, "2026-02-14").await, 0);
    let reason = json!({"reason": "a look"});
    app.post("/v1/accounts/cho-0/hold", &reason).await.expect_status(200);
    assert_eq!(night(&mut app, "2026-02-15").await, 1);
    let moved = json!({"affiliate_id": partners[3].id, "reason": "it was a call"});
    app.post("/v1/accounts/cho-1/attribution", &moved).await.expect_status(200);
    assert_eq!(night(&mut app, "2026-02-16").await, 2, "the former and the new one");
    assert_eq!(app.stop().await, Some(0));
    app.run().await;
    assert_eq!(night(&mut app, "2026-02-17").await, 0, "what a run leaves outlives the process");
    assert_eq!(night(&mut app, "2026-03-02").await, 4, "a month has turned");
    assert_eq!(night(&mut app, "2026-03-04").await, 4, "February closes");
    assert_eq!(night(&mut app, "2026-03-31").await, 0);
    assert_eq!(night(&mut app, "2026-04-02").await, 4, "a month has turned");
    assert_eq!(night(&mut app, "2026-04-03").await, 0);
    assert_eq!(night(&mut app, "2026-04-04").await, 4, "March closes");
    assert_eq!(night(&mut app, "2026-04-05").await, 0);
    assert_eq!(night(&mut app, "2026-04-06").await, 4, "accounts crossed, and nobody told of it");
    app.post("/v1/accounts/cho-0/release", &reason).await.expect_status(200);
    app.post(&format!("/v1/affiliates/{}/close", partners[1].id), &reason).await.expect_status(200);
    assert_eq!(night(&mut app, "2026-04-07").await, 2);
    assert_eq!(night(&mut app, "2026-05-05").await, 4, "April closes");
    app.happens("ana-1", "e1", "canceled", "2026-03-20T12:00:00Z").await.expect_status(201);
    let run = app.night_of("2026-05-06T04:15:00-05:00").await;
    assert_eq!(
        (&run["computed"], &run["adjustments"]),
        (&json!(1), &json!(1)),
        "a closed month is corrected"
    );
    assert_eq!(night(&mut app, "2026-05-07").await, 0);
}

async fn bots_are_redirected_and_credited_to_nobody(app: TestApp) {
    let partner = app.partner("bob").await;
    let bot = Visitor::default();
    let answer = bot.follows(&partner.link, "Googlebot/2.1 (+http://www.google.com/bot.html)").await;
    assert_eq!(
        answer.expect_status(302).header("location"),
        Some("https://www.calltrackingmetrics.com/plans")
    );
    let mut person = Visitor::default();
    person.clicks(&partner.link).await;
    let cut_short = &partner.link[..partner.link.len() - 1];
    let lost = Visitor::default().follows(cut_short, crate::support::app::CHROME).await.expect_status(302);
    assert_eq!(lost.header("location"), Some("https://www.calltrackingmetrics.com/plans"));
    assert!(lost.header("set-cookie").is_none());
    app.settles().await;
    let path = format!("/v1/stats?affiliate_id={}&from=2026-01-01&to=2026-01-01&by=day", partner.id);
    let stats = app.get(&path).await.expect_status(200).json();
    let text = stats.to_string();
    assert!(text.contains(r#""bot":1"#) && text.contains(r#""human":1"#), "{text}");
    assert_eq!(app.metric("counterfoil_clicks_received_total").await, 3);
    assert_eq!(app.metric(r#"counterfoil_clicks_dropped_total{reason="bad_link"}"#).await, 1);
}

async fn a_suspended_affiliate_is_not_credited(mut app: TestApp) {
    let partner = app.partner("sue").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    app.signs_up(&visitor, "before", "growth").await.expect_status(201);
    app.set_now("2026-01-02T09:00:00-05:00").await;
    app.post(&format!("/v1/affiliates/{}/suspend", partner.id), &json!({"reason": "spam"}))
        .await
        .expect_status(200);
    let mut late = Visitor::default();
    let answer = late.clicks(&partner.link).await.expect_status(302);
    assert!(answer.header("set-cookie").is_none(), "no cookie from a link that does not earn");
    app.set_now("2026-01-02T10:00:00-05:00").await;
    let signup = app.signs_up(&visitor, "after", "growth").await.expect_status(201).json();
    assert_eq!((&signup["attributed"], &signup["reason"]), (&json!(false), &json!("affiliate_not_active")));
    app.night_of("2026-05-04T04:15:00-04:00").await;
    assert_eq!(
        app.statements("&month=2026-04").await[0]["total"],
        "99.00",
        "earlier referrals go on earning"
    );
}

async fn clicks_made_while_a_link_was_off_stay_without_credit(app: TestApp) {
    let partner = app.partner("ann").await;
    let links = format!("/v1/affiliates/{}/links", partner.id);
    let link = app.post(&links, &json!({"label": "Spring"})).await.expect_status(201).json();
    let (id, url) = (link["id"].as_str().expect("an id"), link["url"].as_str().expect("an address"));
    let [mut before, mut between, mut after] = [(); 3].map(|()| Visitor::default());
    before.clicks(url).await;
    let reason = json!({"reason": "The page that it stands on was hacked"});
    app.post(&format!("/v1/links/{id}/disable"), &reason).await.expect_status(200);
    let landed = between.clicks(url).await.expect_status(302);
    assert_eq!(landed.header("location"), Some("https://www.calltrackingmetrics.com/plans"));
    app.post(&format!("/v1/links/{id}/enable"), &json!({})).await.expect_status(200);
    after.clicks(url).await;
    for (visitor, account, credited) in
        [(&before, "acct_before", true), (&between, "acct_between", false), (&after, "acct_after", true)]
    {
        let answer = app.signs_up(visitor, account, "growth").await.expect_status(201).json();
        assert_eq!(answer["attributed"], credited, "{account}: {answer}");
    }
}

async fn the_feed_and_the_audit_log_tell_what_happened(mut app: TestApp) {
    let partner = app.partner("fay").await;
    app.refers(&partner, "fed").await.expect_status(201);
    app.happens("fed", "e1", "plan_changed", BEGINNING).await.expect_status(422);
    app.happens("fed", "e1", "suspended", BEGINNING).await.expect_status(201);
    app.happens("fed", "e2", "activated", BEGINNING).await.expect_status(201);
    app.night_of("2026-05-04T04:15:00-04:00").await;
    let feed = app.get("/v1/feed").await.expect_status(200).json();
    let kinds: Vec<&str> =
        feed["data"].as_array().expect("a list").iter().filter_map(|entry| entry["kind"].as_str()).collect();
    assert_eq!(kinds, ["attributed", "event", "event", "crossed"], "{feed}");
    let audit = app.get("/v1/audit").await.expect_status(200).json();
    let newest = audit["data"][0]["fact"].as_str();
    assert_eq!(newest, Some("run_finished"), "{audit}");
    assert!(audit.to_string().contains("affiliate_created"));
}
