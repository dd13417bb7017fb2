use super::*;
use crate::domain::fact::{self, Evidence, Signup};
use crate::domain::statement::{AccountEvent, Change};
use std::sync::{Arc, Mutex};

fn now() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().expect("a literal")
}

fn signup(plan: &str) -> Fact {
    Fact::Signup(Signup {
        account_id: "acct_81".parse().expect("a literal"),
        plan: plan.parse().expect("a literal"),
        signed_up_at: now(),
        active: true,
        evidence: Evidence::default(),
        delivery: None,
        warnings: Vec::new(),
    })
}

fn event(id: &str, change: Change) -> Fact {
    let event_id = id.parse().expect("a literal");
    Fact::Event(fact::Event {
        account_id: "acct_81".parse().expect("a literal"),
        event: AccountEvent { event_id, occurred_at: now(), change },
        delivery: None,
    })
}

#[test]
fn a_dry_run_foresees_what_would_become_of_a_line() {
    let fresh = Account::new("acct_81".parse().expect("a literal"));
    let mut known = fresh.clone();
    let (Fact::Signup(growth), Fact::Event(fact::Event { event: canceled, .. })) =
        (signup("growth"), event("e1", Change::Canceled))
    else {
        unreachable!("made just so");
    };
    known.report_signup(&growth, None, Origin { at: now(), node: NodeId::from_bits(1), position: 1 }, now());
    known.report_event(&canceled, None, &mut crate::domain::account::Apart::default());
    let unknown = Change::Unknown { name: "upgraded".into() };
    let table = [
        (&fresh, signup("growth"), Ok(LineStatus::Created)),
        (&known, signup("growth"), Ok(LineStatus::Replayed)),
        (&known, signup("connect"), Err(Problem::Conflict)),
        (&fresh, event("e1", Change::Canceled), Ok(LineStatus::Created)),
        (&known, event("e1", Change::Canceled), Ok(LineStatus::Replayed)),
        (&known, event("e1", Change::Suspended), Err(Problem::Conflict)),
        (&known, event("e2", unknown), Ok(LineStatus::Ignored)),
    ];
    for (account, fact, expected) in table {
        assert_eq!(foresee(account.clone(), &fact, now()), expected, "{fact:?}");
    }
}

#[test]
fn a_line_tells_how_it_ended() {
    let id: AccountId = "acct_81".parse().expect("a literal");
    let table = [
        (Ok(LineStatus::Created), r#"{"line":7,"status":"created","account_id":"acct_81"}"#),
        (Ok(LineStatus::Deferred), r#"{"line":7,"status":"deferred","account_id":"acct_81"}"#),
        (
            Err(Problem::Conflict),
            r#"{"line":7,"status":"conflict","code":"conflict","account_id":"acct_81"}"#,
        ),
        (
            Err(Problem::InvalidPlan),
            r#"{"line":7,"status":"invalid","code":"invalid_plan","account_id":"acct_81"}"#,
        ),
        (
            Err(Problem::JournalUnavailable),
            r#"{"line":7,"status":"failed","code":"journal_unavailable","account_id":"acct_81"}"#,
        ),
    ];
    for (ending, expected) in table {
        let text = text_of(&result_of(7, Some(id.clone()), ending, Vec::new()));
        assert_eq!(text, format!("{expected}\n"));
    }
    let text = text_of(&result_of(1, None, Err(Problem::InvalidJson), Vec::new()));
    assert_eq!(text, "{\"line\":1,\"status\":\"invalid\",\"code\":\"invalid_json\"}\n");
}

#[tokio::test]
async fn lines_of_one_account_act_in_their_order_and_others_do_not_wait() {
    let id = |text: &str| text.parse::<AccountId>().expect("a literal");
    let mut turns = Turns::default();
    let order = Arc::new(Mutex::new(Vec::new()));
    let gate = Arc::new(tokio::sync::Notify::new());
    // The first line of `a` waits for the gate, which the line of `b` opens.
    let step = |name: &'static str, waits: bool, opens: bool| {
        let (order, gate) = (order.clone(), gate.clone());
        async move {
            if waits {
                gate.notified().await;
            }
            order.lock().expect("no panic holds it").push(name);
            if opens {
                gate.notify_one();
            }
            Ok(LineStatus::Created)
        }
    };
    let lines = [
        (turns.take(&id("a")), step("a1", true, false)),
        (turns.take(&id("a")), step("a2", false, false)),
        (turns.take(&id("a")), step("a3", false, false)),
        (turns.take(&id("b")), step("b1", false, true)),
    ];
    let work = stream::iter(lines.map(|(turn, step)| turn_of(Some(turn), step)));
    let endings: Vec<Ending> = work.buffered(8).collect().await;
    assert_eq!(endings.len(), 4);
    assert_eq!(*order.lock().expect("no panic holds it"), ["b1", "a1", "a2", "a3"]);
}

#[test]
fn turns_that_are_over_are_forgotten() {
    let mut turns = Turns::default();
    let mut waiting = Vec::new();
    for number in 0..10_000 {
        let id = format!("acct_{number}").parse().expect("an id");
        waiting.push(turns.take(&id));
        if waiting.len() > IN_FLIGHT {
            waiting.remove(0);
        }
    }
    assert!(turns.last.len() <= 2 * IN_FLIGHT);
}
