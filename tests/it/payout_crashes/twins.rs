//! Twins of our code that do what it must never do: the judge has to catch them.

use super::{CRASH_AT, LOST, Lie, Says, Story, THREE, Way};
use chrono::TimeDelta;

/// It dies when a call was sent, and nobody starts it for a month: by then PayPal has forgotten the id.
async fn a_call_and_a_month(environment: &[(&'static str, &str)]) -> Result<(), String> {
    let mut story = Story::begins("sqlite", Way::Api, THREE, environment).await;
    story.world.paypal.next_create(Lie::performs_then(Says::Truth));
    story.dies(None).await;
    story.world.now += TimeDelta::days(31);
    story.world.paypal.at(story.world.now);
    story.world.app.begins_at(&story.world.now.to_rfc3339());
    story.world.app.run().await;
    story.is_settled().await;
    story.world.judge().await
}

#[tokio::test]
async fn a_call_that_was_sent_a_month_ago_is_not_sent_again() {
    assert_eq!(a_call_and_a_month(&[(CRASH_AT, "payout_sent")]).await, Ok(()));
}

#[tokio::test]
async fn sending_before_the_intent_is_on_disk_is_caught() {
    let twin = [(CRASH_AT, "payout_sent"), ("COUNTERFOIL_TWIN", "sends_before_its_intent")];
    let caught = a_call_and_a_month(&twin).await;
    assert!(caught.as_ref().is_err_and(|what| what == "paid 2 times"), "{caught:?}");
}

#[tokio::test]
async fn a_new_id_after_a_lost_answer_is_caught() {
    let twin = [("COUNTERFOIL_TWIN", "new_id_for_each_attempt")];
    let mut story = Story::begins("sqlite", Way::Api, THREE, &twin).await;
    story.world.paypal.next_create(LOST[0]);
    story.is_settled().await;
    let caught = story.world.judge().await;
    assert!(caught.as_ref().is_err_and(|what| what == "paid 2 times"), "{caught:?}");
}
