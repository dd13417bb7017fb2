use super::*;
use crate::domain::account::{Origin, Reservation};
use crate::domain::fact::{Evidence, Signup};
use crate::domain::id::NodeId;
use serde_json::{Value, json};

fn now() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().expect("a literal")
}

fn origin() -> Origin {
    Origin { at: now(), node: NodeId::from_bits(1), position: 1 }
}

fn account() -> Account {
    Account::new("acct_81".parse().expect("a literal"))
}

fn signed_up() -> Account {
    let mut account = account();
    let signup = Signup {
        account_id: account.id.clone(),
        plan: "growth".parse().expect("a literal"),
        signed_up_at: now(),
        active: true,
        evidence: Evidence { email_hash: Some("secret-hash".into()), ..Evidence::default() },
        delivery: None,
        warnings: Vec::new(),
    };
    account.signup = Some(Reservation { origin: origin(), claimed_at: origin().at, signup });
    account
}

#[test]
fn an_account_is_shown_with_its_history() {
    let mut account = signed_up();
    let event = AccountEvent {
        event_id: "e1".parse().expect("a literal"),
        occurred_at: now(),
        change: Change::PlanChanged { plan: "connect".parse().expect("a literal") },
    };
    account.report_event(&event, None, &mut crate::domain::account::Apart::default());
    account.credit(Some(AffiliateId::from_bits(2)), true, ("asked", "staff"), origin()).expect("signed up");
    let status = AccountStatus {
        state: AccountState::Active,
        active_days: 31,
        mark_days: 90,
        crossed_on: None,
        expected_on: None,
    };
    let view = AccountView::of(&account, Some("Ann".to_owned()), &status);
    let view = serde_json::to_value(view).expect("plain data");
    assert_eq!(
        view["history"],
        json!([
            {"kind": "event", "at": "2026-06-01T12:00:00Z", "event_id": "e1", "type": "plan_changed",
                "plan": "connect", "known": true},
            {"kind": "action", "at": "2026-06-01T12:00:00Z", "by": "staff", "action": "credit", "reason": "asked",
                "credited_before": null, "credited_since": "aff_0000000000002"},
        ])
    );
    assert_eq!(view["affiliate_id"], "aff_0000000000002");
    assert_eq!((&view["active_days"], &view["mark_days"]), (&json!(31), &json!(90)));
    assert_eq!(view["crossed_on"], Value::Null);
    assert!(!view.to_string().contains("secret-hash"), "evidence is not shown");
}

#[test]
fn at_most_one_list_is_asked_for() {
    let list = |query: &str| Params::read(Some(query)).and_then(|mut params| which_list(&mut params));
    assert_eq!(list(""), Ok(AccountList::All));
    assert_eq!(list("held=true"), Ok(AccountList::Held));
    assert_eq!(list("held=false&conflict=true"), Ok(AccountList::Conflict));
    assert_eq!(list("waiting=true"), Ok(AccountList::Waiting));
    for query in ["held=true&waiting=true", "held=1", "held=", "held=TRUE"] {
        assert_eq!(list(query), Err(Problem::InvalidList), "{query}");
    }
}
