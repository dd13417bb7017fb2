//! Who sent a notification: with certificates of an authority that only these tests believe.

use super::{BATCH, accepted, body_of};
use crate::support::paypal::{Authority, Paypal, SIGNING_HOST, WEBHOOK_ID, make_rsa_key};
use chrono::TimeDelta;
use counterfoil::for_tests::fake_paypal::{Notice, Target};
use counterfoil::for_tests::paypal::webhook::{
    Doubt, Forgery, Judgment, Transmission, WebhookSettings, Webhooks,
};
use http::{HeaderMap, HeaderName, HeaderValue};

fn headers_of(notice: &Notice) -> HeaderMap {
    let pair = |(name, value): &(&'static str, String)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    };
    notice.headers.iter().map(pair).collect()
}

/// A PayPal with something to tell.
async fn with_news() -> (Paypal, Vec<Notice>) {
    let paypal = Paypal::start().await;
    paypal.tells("http://127.0.0.1:9/nobody");
    accepted(&paypal.client(), BATCH, body_of(BATCH, "USD", &[("ann@example.com", 19_000)])).await;
    let news = paypal.notices();
    assert!(!news.is_empty());
    (paypal, news)
}

async fn judged(paypal: &Paypal, settings: &WebhookSettings, notice: &Notice) -> Judgment {
    let webhooks = Webhooks::new(settings).expect("good settings");
    webhooks.judge(&headers_of(notice), &notice.body, paypal.now()).await
}

#[tokio::test]
async fn what_paypal_signed_is_verified_offline() {
    let (paypal, news) = with_news().await;
    let types: Vec<&str> = news.iter().map(|notice| notice.event_type.as_str()).collect();
    assert_eq!(types, ["PAYMENT.PAYOUTSBATCH.SUCCESS", "PAYMENT.PAYOUTS-ITEM.SUCCEEDED"]);
    let webhooks = Webhooks::new(&paypal.webhook_settings()).expect("good settings");
    let judge = async |notice: &Notice| webhooks.judge(&headers_of(notice), &notice.body, paypal.now()).await;
    for notice in [&news[0], &news[1], &news[0]] {
        assert_eq!(judge(notice).await, Judgment::Verified);
    }
    let fetched = || paypal.requests().iter().filter(|call| call.contains("/certs/")).count();
    assert_eq!(fetched(), 1, "the certificate is kept");
    paypal.passes(TimeDelta::days(8));
    assert_eq!(judge(&news[0]).await, Judgment::Verified);
    assert_eq!(fetched(), 2, "not for ever");
    paypal.conforms().await;
}

#[tokio::test]
async fn what_was_altered_or_is_for_another_is_forged() {
    let (paypal, news) = with_news().await;
    let genuine = &news[1];
    let with = |name: &str, value: String| {
        let mut notice = genuine.clone();
        for header in notice.headers.iter_mut().filter(|header| header.0 == name) {
            header.1.clone_from(&value);
        }
        notice
    };
    let value = |name: &str| genuine.headers.iter().find(|header| header.0 == name).expect(name).1.clone();
    let mut flipped = value("paypal-transmission-sig").into_bytes();
    flipped[100] = if flipped[100] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).expect("text");
    let body = |body: Vec<u8>| Notice { body, ..genuine.clone() };
    let text = String::from_utf8(genuine.body.clone()).expect("text");
    let table = [
        ("another amount", body(text.replace("190.0", "990.0").into_bytes()), Forgery::Signature),
        ("the same, written otherwise", body(format!("{text} ").into_bytes()), Forgery::Signature),
        (
            "another time",
            with("paypal-transmission-time", "2026-11-01T00:00:00Z".to_owned()),
            Forgery::Signature,
        ),
        ("another sending", with("paypal-transmission-id", "tr0".to_owned()), Forgery::Signature),
        ("another signature", with("paypal-transmission-sig", flipped), Forgery::Signature),
        ("no base64", with("paypal-transmission-sig", "?".to_owned()), Forgery::Signature),
        ("no signature", with("paypal-transmission-sig", String::new()), Forgery::Headers),
        (
            "a certificate elsewhere",
            with("paypal-cert-url", value("paypal-cert-url").replace("127.0.0.1", "127.0.0.2")),
            Forgery::CertificateUrl,
        ),
        (
            "a certificate of nobody",
            with("paypal-cert-url", "https://evilpaypal.com/v1/notifications/certs/C".to_owned()),
            Forgery::CertificateUrl,
        ),
    ];
    for (name, notice, forgery) in table {
        let judgment = judged(&paypal, &paypal.webhook_settings(), &notice).await;
        assert_eq!(judgment, Judgment::Forged(forgery), "{name}");
    }
    let for_another =
        WebhookSettings { webhook_id: "1JE4291016473214C".to_owned(), ..paypal.webhook_settings() };
    assert_eq!(judged(&paypal, &for_another, genuine).await, Judgment::Forged(Forgery::Signature));
}

#[tokio::test]
async fn the_simulators_events_are_told_apart() {
    let paypal = Paypal::start().await;
    let signer = paypal.authority.signer(SIGNING_HOST);
    let target = Target { url: "http://127.0.0.1:9".to_owned(), webhook_id: "WEBHOOK_ID".to_owned(), signer };
    paypal.notifies(target);
    accepted(&paypal.client(), BATCH, body_of(BATCH, "USD", &[("ann@example.com", 19_000)])).await;
    let news = paypal.notices();
    let judgment = judged(&paypal, &paypal.webhook_settings(), &news[0]).await;
    assert_eq!(judgment, Judgment::Forged(Forgery::Simulator));
}

#[tokio::test]
async fn what_its_certificate_can_not_prove_is_left_to_paypal() {
    let (paypal, news) = with_news().await;
    let genuine = &news[0];
    // A certificate of the same key, with something wrong.
    let served = async |pem: &str| {
        paypal.serves_certificate(pem);
        judged(&paypal, &paypal.webhook_settings(), genuine).await
    };
    let of = |host: &str| paypal.authority.signer(host).certificate_pem().to_owned();
    let year = |year: i32| rcgen::date_time_ymd(year, 1, 1);
    let expired = paypal.authority.signer_with(SIGNING_HOST, |params| params.not_after = year(2025));
    let future = paypal.authority.signer_with(SIGNING_HOST, |params| params.not_before = year(2027));
    let purpose = rcgen::ExtendedKeyUsagePurpose::ClientAuth;
    let client =
        paypal.authority.signer_with(SIGNING_HOST, |params| params.extended_key_usages = vec![purpose]);
    let stranger = Authority::new("Another authority").signer(SIGNING_HOST);
    let table = [
        ("its own", of(SIGNING_HOST), Ok(())),
        ("the live one's", of("messageverificationcerts.paypal.com"), Ok(())),
        ("with another after it", format!("{}{}", of(SIGNING_HOST), of("other.example")), Ok(())),
        ("of another name", of("www.paypal.com"), Err(Doubt::OtherName)),
        ("of an evil name", of("messageverificationcerts.evilpaypal.com"), Err(Doubt::OtherName)),
        ("over", expired.certificate_pem().to_owned(), Err(Doubt::NotValidNow)),
        ("not yet valid", future.certificate_pem().to_owned(), Err(Doubt::NotValidNow)),
        ("of another authority", stranger.certificate_pem().to_owned(), Err(Doubt::UnknownAuthority)),
        ("for clients", client.certificate_pem().to_owned(), Err(Doubt::Unusable)),
        ("no PEM", "<html>Not now</html>".to_owned(), Err(Doubt::NotACertificate)),
        ("a key", make_rsa_key(), Err(Doubt::NotACertificate)),
        ("without end", "x".repeat(65 * 1024), Err(Doubt::NoCertificate)),
    ];
    for (name, pem, outcome) in table {
        let expected = outcome.map_or_else(Judgment::CantDecide, |()| Judgment::Verified);
        assert_eq!(served(&pem).await, expected, "{name}");
    }
    let elsewhere = WebhookSettings { authorities_pem: None, ..paypal.webhook_settings() };
    paypal.serves_certificate(&of(SIGNING_HOST));
    let judgment = judged(&paypal, &elsewhere, genuine).await;
    assert_eq!(judgment, Judgment::CantDecide(Doubt::UnknownAuthority), "only the public ones are known");

    let mut otherwise = genuine.clone();
    otherwise.headers.iter_mut().filter(|header| header.0 == "paypal-auth-algo").for_each(|header| {
        "SHA512withRSA".clone_into(&mut header.1);
    });
    let judgment = judged(&paypal, &paypal.webhook_settings(), &otherwise).await;
    assert_eq!(judgment, Judgment::CantDecide(Doubt::Algorithm));
}

#[tokio::test]
async fn a_failure_to_fetch_a_certificate_is_not_kept() {
    let (paypal, news) = with_news().await;
    let webhooks = Webhooks::new(&paypal.webhook_settings()).expect("good settings");
    let headers = headers_of(&news[0]);
    let judge = async || webhooks.judge(&headers, &news[0].body, paypal.now()).await;
    paypal.serves_certificate("later");
    assert_eq!(judge().await, Judgment::CantDecide(Doubt::NotACertificate));
    paypal.serves_certificate(paypal.authority.signer(SIGNING_HOST).certificate_pem());
    assert_eq!(judge().await, Judgment::Verified);
}

#[tokio::test]
async fn paypal_itself_confirms_the_bytes_that_it_sent_and_no_others() {
    let (paypal, news) = with_news().await;
    let client = paypal.client();
    let genuine = &news[1];
    let sent = Transmission::of(&headers_of(genuine)).expect("all headers");
    let value: serde_json::Value = serde_json::from_slice(&genuine.body).expect("JSON");
    let written_again = serde_json::to_vec_pretty(&value).expect("JSON");
    let table: [(&str, &str, &[u8], bool); 5] = [
        ("as it came", WEBHOOK_ID, &genuine.body, true),
        ("for another webhook", "1JE4291016473214C", &genuine.body, false),
        ("written again", WEBHOOK_ID, &written_again, false),
        ("another event", WEBHOOK_ID, &news[0].body, false),
        ("no JSON", WEBHOOK_ID, b"{", false),
    ];
    for (name, webhook_id, event, is_paypals) in table {
        assert_eq!(client.verify_postback(&sent, webhook_id, event).await, Ok(is_paypals), "{name}");
    }
    paypal.conforms().await;
}

#[tokio::test]
async fn notices_arrive_and_can_be_lost_doubled_and_reordered() {
    use axum::routing::post;
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel::<String>();
    let listen = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listen.local_addr().expect("an address");
    let hear = post(async move |body: String| {
        let event: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        heard.send(event["event_type"].as_str().expect("a type").to_owned()).expect("somebody listens");
    });
    tokio::spawn(axum::serve(listen, axum::Router::new().route("/hook", hear)).into_future());

    let paypal = Paypal::start().await;
    paypal.tells(&format!("http://{at}/hook"));
    paypal.next_create(counterfoil::for_tests::fake_paypal::Lie::tells_first());
    accepted(&paypal.client(), BATCH, body_of(BATCH, "USD", &[("unclaimed@example.com", 100)])).await;
    let mut said = || hears.try_recv().ok();
    assert_eq!(said().as_deref(), Some("PAYMENT.PAYOUTSBATCH.SUCCESS"), "before the answer");
    assert_eq!(said().as_deref(), Some("PAYMENT.PAYOUTS-ITEM.UNCLAIMED"));
    assert_eq!(said(), None);

    paypal.passes(TimeDelta::days(30));
    let returned = paypal.notices();
    assert_eq!(paypal.send(&returned[0]).await, Some(200));
    assert_eq!(paypal.send(&returned[0]).await, Some(200));
    assert_eq!(said().as_deref(), Some("PAYMENT.PAYOUTS-ITEM.RETURNED"));
    assert_eq!(said().as_deref(), Some("PAYMENT.PAYOUTS-ITEM.RETURNED"));
    assert!(paypal.notices().is_empty(), "it is told once");
}
