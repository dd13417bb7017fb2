//! The start page: what waits for somebody.

use super::accounts::path;
use super::words::{self, Words};
use super::{Staff, Visit, months, payouts};
use crate::app::{AccountList, Overlooked};
use crate::domain::affiliate::Status;
use crate::domain::person::Permission;
use crate::http::pages::{PageError, PageState};
use axum::response::Response;
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::time::Duration;

/// Held referrals are counted up to here.
const MANY: usize = 100;
/// A node that was not heard of for so long is worth a look.
const SILENT: TimeDelta = TimeDelta::minutes(2);
/// How long the page waits for reports that are looked at; what is not found by then is shown the next time.
const PATIENCE: Duration = Duration::from_millis(250);
/// Applications that are shown at once.
const SHOWN: usize = 5;

pub async fn page(visit: Visit<Staff>) -> Result<Response, PageError> {
    let (words, now, directory) = (Words::of(&visit), visit.app.now(), visit.app.directory());
    let all = directory.affiliates();
    let mut applied: Vec<_> = all.iter().filter(|one| one.status() == Status::Applied).collect();
    applied.sort_by_key(|one| words::applied_at(one));
    let late = applied.iter().filter(|one| now - words::applied_at(one) > words::PROMISED).count();
    let first: Vec<_> = applied
        .iter()
        .take(SHOWN)
        .map(|one| {
            let at = words::applied_at(one);
            json!({"id": one.id, "name": one.profile.name, "email": one.profile.email,
                "age": words.ago(at), "late": now - at > words::PROMISED})
        })
        .collect();
    let held = visit.app.accounts(AccountList::Held, None, MANY).await?;
    let claims = visit.app.claims(true).await?;
    let count = |status| all.iter().filter(|one| one.status() == status).count();
    let run = directory.last_run().map(|last| {
        json!({"through": words.day(last.run.through), "at": words.at(last.finished_at), "ago": words.ago(last.finished_at)})
    });
    let overlooked = visit.app.overlooked(PATIENCE).await;
    let content = json!({
        "overlooked": overlooked.map(|found| tiles(&visit, &words, &found)),
        "applications": {"count": applied.len(), "late": late, "first": first},
        "held": {"count": held.data.len(), "more": held.next_cursor.is_some()},
        "claims": {"count": claims.len(), "oldest": claims.first().map(|claim| words.ago(claim.filed_at))},
        "affiliates": {"active": count(Status::Active), "suspended": count(Status::Suspended),
            "waiting": count(Status::Approved) + count(Status::Activated)},
        "months": months::due(&visit).await?,
        "payouts": payouts::waiting(&visit).await?,
        "run": run,
        "running": visit.app.aggregate_progress(),
        "warnings": warnings(&visit).await?,
    });
    Ok(visit.page("staff/home.html", "home", content))
}

/// Reports that earn nothing or have no effect, each kind with its newest one.
fn tiles(state: &PageState, words: &Words<'_>, found: &Overlooked) -> Value {
    let plans = found.newest_without_rate.as_ref().map(|(_, account, plan)| {
        json!({"count": found.without_rate, "account": account, "path": path(account), "plan": plan})
    });
    let events = found.newest_ignored.as_ref().map(|(at, account, name)| {
        json!({"count": found.ignored, "account": account, "path": path(account), "name": name, "ago": words.ago(*at),
            "is_known": state.app.settings().event_types.meaning(name).is_some()})
    });
    json!({"plans": plans, "events": events})
}

/// What is wrong with the store and its nodes. Only those who can repair it see the details.
async fn warnings(visit: &Visit<Staff>) -> Result<Vec<String>, PageError> {
    let now = visit.app.now();
    let mut found = Vec::new();
    for node in visit.app.nodes().await? {
        let seen = chrono::DateTime::from_timestamp_millis(node.seen_ms).unwrap_or_default();
        if !node.stopped && now - seen > SILENT {
            let ago = Words::of(visit).ago(seen);
            found
                .push(format!("The node {} was last heard of {ago}: no month closes without it.", node.node));
        }
    }
    let findings = visit.app.inspect().await;
    let bad = findings.iter().filter(|finding| !finding.ok);
    if visit.who.may(Permission::ManageStaff) {
        found.extend(bad.map(|finding| format!("{}: {}", finding.check, finding.text)));
    } else if bad.count() > 0 {
        found.push("The server wants an operator's look: an administrator sees more here.".to_owned());
    }
    Ok(found)
}
