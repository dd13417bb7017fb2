//! One of two nodes dies. The other one waits: facts that only the dead node's journal has could be payments. It goes on
//! when the dead node is back, or when a person forgets it; a forgotten one that comes back late changes nothing.

use super::{CRASH_AT, PAID, ROUND, ROUNDS, Story, THREE, TimeDelta, Way, config, json};
use crate::support::app::TestApp;
use crate::support::servers::{Program, Server};

/// What becomes of the dead node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Returns,
    IsForgotten,
}

/// Rounds in which the other node is alone.
const ALONE: u32 = 5;

async fn dies(at: &str, then: Then) {
    let redis = Server::start(Program::Redis, &[]);
    let mut story = Story::begins(&redis.url(), Way::Api, THREE, &[(CRASH_AT, at)]).await;
    let mut other = TestApp::start_beside(&story.world.app, &redis.url(), &config(&story.world.paypal)).await;
    other.set_now(&story.world.now.to_rfc3339()).await;
    story.dies(Some(&mut other)).await;
    // People go on at the other node.
    std::mem::swap(&mut story.world.app, &mut other);
    let payments = story.world.paypal.payments().len();
    let node = stops_for_a_node(&mut story).await;
    for _ in 0..ALONE {
        assert_ne!(story.goes_on().await, Some(true), "it was settled without a node's facts");
        tokio::time::sleep(ROUND).await;
    }
    assert_eq!(story.world.paypal.payments().len(), payments, "it paid without a node's facts");
    if then == Then::Returns {
        other.begins_at(&story.world.now.to_rfc3339());
        other.run().await;
    } else {
        // Until then it counts as alive.
        story.passes(TimeDelta::minutes(2)).await.expect("it runs");
        let path = format!("/v1/nodes/{node}");
        story.asks("DELETE", &path, &json!(null)).await.expect("it runs").expect_status(204);
    }
    for _ in 0..ROUNDS {
        if story.goes_on().await == Some(true) {
            break;
        }
        if then == Then::Returns {
            // Both clocks go on alike.
            story.passes(TimeDelta::seconds(1)).await.expect("it runs");
            other.set_now(&story.world.now.to_rfc3339()).await;
        }
        // The pause between two calls goes by the store's clock, which is the real one.
        tokio::time::sleep(ROUND * 3).await;
    }
    story.is_right(PAID).await;
    if then == Then::IsForgotten {
        other.begins_at(&story.world.now.to_rfc3339());
        other.run().await;
        other.settles().await;
        story.is_right(PAID).await;
    }
}

/// Waits until the other node has noticed; returns which node it waits for.
async fn stops_for_a_node(story: &mut Story) -> String {
    for _ in 0..ROUNDS {
        // A silent node is noticed after ten seconds.
        story.passes(TimeDelta::seconds(1)).await.expect("it runs");
        let status = story.reads("/v1/payouts/status").await.expect("it runs");
        let stops: Vec<&str> =
            status["stops"].as_array().expect("a list").iter().filter_map(|one| one.as_str()).collect();
        let node = stops.iter().find_map(|one| one.strip_prefix("facts of ")?.split(' ').next());
        if let Some(node) = node {
            return node.to_owned();
        }
        tokio::time::sleep(ROUND).await;
    }
    panic!("it does not wait for the dead node");
}

macro_rules! a_node_dies {
    ($($name:ident: $at:literal, $then:ident;)+) => { $(
        #[tokio::test]
        async fn $name() {
            dies($at, Then::$then).await;
        }
    )+ };
}

a_node_dies! {
    in_the_middle_of_making_and_returns: "payout_items_added.journaled:2", Returns;
    in_the_middle_of_making_and_is_forgotten: "payout_items_added.applied:2", IsForgotten;
    with_an_approval_that_nobody_has_and_is_forgotten: "payout_approved.journaled", IsForgotten;
    with_an_intent_that_nobody_has_and_is_forgotten: "payout_calling.journaled", IsForgotten;
    in_the_middle_of_a_call_and_returns: "payout_sent", Returns;
    in_the_middle_of_a_call_and_is_forgotten: "payout_sent", IsForgotten;
    with_an_answer_that_nobody_has_and_is_forgotten: "payout_answered.journaled", IsForgotten;
    in_the_middle_of_a_look_and_is_forgotten: "payout_items_changed.applied:5", IsForgotten;
}
