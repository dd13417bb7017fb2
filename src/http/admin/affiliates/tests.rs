use super::*;
use crate::app::people::ActError;
use crate::domain::affiliate::Profile;
use crate::domain::fact::{AffiliateChange, AffiliateCreated};
use crate::http::fields::Fields;
use serde_json::{Value, json};

fn now() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().expect("a literal")
}

fn fields(body: &Value) -> Fields {
    Fields::read(body.to_string().as_bytes()).expect("an object")
}

fn types() -> Vec<String> {
    vec!["agency".into(), "publisher".into()]
}

fn new_with(changes: &[(&str, Value)]) -> Result<AffiliateCreated, Problem> {
    let mut body = json!({"name": "Jane Doe", "email": "jane@example.org"});
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    let new: NewAffiliate = fields(&body).read_into()?;
    Ok(new.made(now(), ReferralCode::random(), &types()).map_err(ActError::Invalid)?)
}

#[test]
fn a_new_affiliate_has_applied_and_has_a_code_and_a_link() {
    let AffiliateCreated { affiliate, link } = new_with(&[]).expect("a good affiliate");
    assert_eq!(affiliate.status(), Status::Applied);
    assert_eq!(affiliate.history[0].at, now());
    assert_eq!((affiliate.default_link, affiliate.id), (link.id, link.affiliate));
    assert_eq!(affiliate.code.as_str().len(), 8);
    assert!(!affiliate.exempt_from_holds);
}

#[test]
fn one_brought_over_is_active_from_its_agreement_on() {
    let agreed = "2020-02-29T12:00:00Z";
    let AffiliateCreated { affiliate, .. } = new_with(&[
        ("active", json!(true)),
        ("agreement_accepted_at", json!(agreed)),
        ("code", json!(" JANE-10 ")),
    ])
    .expect("a good affiliate");
    let at: DateTime<Utc> = agreed.parse().expect("a literal");
    assert_eq!(affiliate.status(), Status::Active);
    assert!(affiliate.was_active_at(at));
    assert_eq!(affiliate.status_at(at - chrono::TimeDelta::seconds(1)), None);
    assert_eq!(affiliate.history.len(), 4);
    assert_eq!(affiliate.code.as_str(), "jane-10");
}

#[test]
fn an_agreement_and_being_active_belong_together() {
    let agreed = json!("2026-01-01T00:00:00Z");
    let future = json!("2026-06-01T12:00:01Z");
    let table = [
        vec![("active", json!(true))],
        vec![("agreement_accepted_at", agreed.clone())],
        vec![("active", json!(false)), ("agreement_accepted_at", agreed)],
        vec![("active", json!(true)), ("agreement_accepted_at", future)],
        vec![("active", json!(true)), ("agreement_accepted_at", json!("yesterday"))],
    ];
    for changes in table {
        assert_eq!(new_with(&changes).err(), Some(Problem::InvalidAgreementAcceptedAt), "{changes:?}");
    }
}

#[test]
fn each_field_has_its_problem() {
    let long = |length: usize| json!("x".repeat(length));
    let table = [
        (
            "name",
            Problem::InvalidName,
            vec![json!(null), json!(1), json!(""), json!("  "), json!("\u{3164}"), json!("a\nb"), long(201)],
        ),
        (
            "email",
            Problem::InvalidEmail,
            vec![
                json!(null),
                json!(1),
                json!(""),
                json!("jane"),
                json!("@example.org"),
                json!("jane@"),
                json!("jane@org"),
                json!("jane@example..org"),
                json!("jane@.org"),
                json!("jane@-a.org"),
                json!("jane.@example.org"),
                json!("j..a@example.org"),
                json!("ja\u{200b}ne@example.org"),
                json!("a b@example.org"),
                json!("jane@exa mple.org"),
                json!("jane@example.org\nBcc: x@y.z"),
                json!("<jane@example.org>"),
                json!("jane,joe@example.org"),
                json!("jane@joe@example.org"),
                json!("jane@[127.0.0.1]"),
                json!(format!("{}@example.org", "x".repeat(65))),
                json!(format!("jane@{}.org", "x".repeat(250))),
            ],
        ),
        ("company", Problem::InvalidCompany, vec![json!(1), json!(""), long(201)]),
        (
            "website",
            Problem::InvalidWebsite,
            vec![
                json!(1),
                json!(""),
                json!("javascript:alert(1)"),
                json!("ftp://example.org"),
                json!("data:text/html,x"),
                json!("https://"),
                json!("https://user:pw@example.org"),
                json!("https://user@example.org"),
                json!("https://exa mple.org"),
                json!("http://[::1"),
                json!("file:///etc/passwd"),
                json!(format!("https://example.org/{}", "x".repeat(2_048))),
            ],
        ),
        ("promotion", Problem::InvalidPromotion, vec![json!(1), json!("a\u{0}b"), long(2_001)]),
        (
            "partner_type",
            Problem::InvalidPartnerType,
            vec![json!(1), json!(""), json!("Agency"), json!("other")],
        ),
        (
            "paypal_email",
            Problem::InvalidPaypalEmail,
            vec![json!(1), json!("jane"), json!(format!("j@{}.org", ["x"; 62].join(".")))],
        ),
        ("code", Problem::InvalidCode, vec![json!(1), json!("ab"), json!("a_b_c"), json!("c=md"), long(33)]),
        ("exempt_from_holds", Problem::InvalidExemptFromHolds, vec![json!(1), json!("true")]),
        ("active", Problem::InvalidActive, vec![json!(1), json!("true")]),
        ("agreement_accepted_at", Problem::InvalidAgreementAcceptedAt, vec![json!(1), json!("2026-01-01")]),
        ("payout_email", Problem::UnknownField, vec![json!("x"), json!(null)]),
    ];
    for (name, problem, values) in table {
        for value in values {
            assert_eq!(new_with(&[(name, value.clone())]).err(), Some(problem), "{name}: {value}");
        }
    }
}

#[test]
fn fields_are_kept_as_they_are_but_for_space_around() {
    let AffiliateCreated { affiliate, .. } = new_with(&[
        ("name", json!(" Zoë O'Hara-Smith ")),
        ("email", json!(" Zoe.O'Hara+a@Exämple.co.uk ")),
        ("website", json!("HTTPS://Example.org")),
        ("partner_type", json!("agency")),
        ("company", json!("=HYPERLINK(1)")),
    ])
    .expect("a good affiliate");
    let profile = affiliate.profile;
    assert_eq!(profile.name, "Zoë O'Hara-Smith");
    assert_eq!(profile.email, "Zoe.O'Hara+a@xn--exmple-cua.co.uk");
    assert_eq!(profile.website.as_deref(), Some("https://example.org/"));
    assert_eq!(profile.company.as_deref(), Some("=HYPERLINK(1)"), "made harmless where it is exported");
}

fn change_of(body: &Value, before: &Profile) -> Result<AffiliateChange, Problem> {
    let changed: ChangedAffiliate = fields(body).read_into()?;
    Ok(changed.made_to(before, &types()).map_err(ActError::Invalid)?)
}

#[test]
fn a_patch_tells_absent_from_null() {
    let before = Profile {
        name: "Jane".into(),
        email: "jane@example.org".into(),
        company: Some("Acme".into()),
        paypal_email: Some("pay@example.org".into()),
        ..Profile::default()
    };
    let change = |body: Value| change_of(&body, &before);
    assert_eq!(change(json!({})), Ok(AffiliateChange::default()));
    assert_eq!(change(json!({"company": "Acme"})), Ok(AffiliateChange::default()), "as it was");
    let cleared = change(json!({"company": null})).expect("a good change").profile.expect("a change");
    assert_eq!(cleared, Profile { company: None, ..before.clone() });
    let set =
        change(json!({"paypal_email": "new@example.org", "exempt_from_holds": true})).expect("a good change");
    assert_eq!(set.exempt_from_holds, Some(true));
    assert_eq!(set.profile, Some(Profile { paypal_email: Some("new@example.org".into()), ..before.clone() }));
    // Taken before such addresses were refused: all else can still be changed.
    let old = Profile { email: "j..a@example.org".into(), ..before.clone() };
    let body = json!({"email": "j..a@example.org", "company": "Ltd"});
    let kept = change_of(&body, &old).expect("a good change").profile.expect("a change");
    assert_eq!((kept.email.as_str(), kept.company.as_deref()), ("j..a@example.org", Some("Ltd")));
    for (body, problem) in [
        (json!({"name": null}), Problem::InvalidName),
        (json!({"email": null}), Problem::InvalidEmail),
        (json!({"status": "active"}), Problem::UnknownField),
        (json!({"website": "x"}), Problem::InvalidWebsite),
        (json!({"partner_type": "pirate"}), Problem::InvalidPartnerType),
    ] {
        assert_eq!(change(body).err(), Some(problem));
    }
}
