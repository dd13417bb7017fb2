//! `/portal/referrals`: who was referred, how far each is, and why it was credited. Nothing personal is shown.

use super::words;
use crate::app::{ReferralState, ReferralSummary};
use crate::domain::id::AccountId;
use crate::domain::statement::Change;
use crate::http::pages::payout::{earned_for, stated, tier};
use crate::http::pages::session::{Portal, Visit};
use crate::http::pages::table::{self, Cell, List};
use crate::http::pages::view::{money, show_day};
use crate::http::pages::{CSV, PageError, PageState, download};
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;

/// What is sorted by, and then by the account.
fn then_account<K>(by: K, one: &ReferralSummary) -> (K, AccountId) {
    (by, one.account_id.clone())
}

fn day_cell(day: Option<NaiveDate>) -> Cell {
    day.map_or_else(|| Cell::text(""), |day| Cell::text(show_day(day)).export(day.to_string()))
}

fn referrals(state: &PageState) -> List<'_, ReferralSummary> {
    type Column<'a> = table::Column<'a, ReferralSummary>;
    let columns = vec![
        Column::text("account", "Account", |one| {
            Cell::link(one.account_id.as_str(), format!("/portal/referrals/{}", one.account_id))
        })
        .sort_by(|one| one.account_id.clone()),
        Column::text("plan", "Plan now", |one| Cell::text(one.plan.as_str()))
            .sort_by(|one| then_account(one.plan.clone(), one)),
        Column::text("state", "State", |one| {
            let (word, tone, _) = words::state(one.state);
            Cell::mark(word, tone)
        }),
        Column::text("progress", "Progress", |one| Cell::text(words::progress(one)).export(counted(one)))
            .sort_by(|one| then_account(one.active_days, one)),
        Column::text("reaches_mark", "Qualifies", |one| {
            let reaches = day_cell(one.crossed_on.or(one.expected_on));
            let is_expected = one.crossed_on.is_none() && one.expected_on.is_some();
            if is_expected { reaches.note("expected") } else { reaches }
        })
        .sort_by(|one| {
            // Those that will not cross come last.
            let day = one.crossed_on.or(one.expected_on);
            then_account((day.is_none(), day), one)
        }),
        Column::text("signed_up", "Signed up", |one| day_cell(Some(one.signed_up_on)))
            .sort_first_down_by(|one| then_account(one.signed_up_at, one)),
        Column::text("via", "Credited by", |one| Cell::text(words::via(one))),
        Column::text("earned_for", "Earned for", |one| {
            one.earned_for.as_ref().map_or_else(
                || Cell::text(""),
                |one| Cell::text(one.plan.as_str()).note(tier(one.tier_from)).export(earned_for(one)),
            )
        }),
        Column::number("earned", "Earned", |one| {
            one.earned.map_or_else(
                || Cell::text(""),
                |amount| {
                    let amount = amount.to_string();
                    Cell::text(money(&amount, &state.app.config().program.currency)).export(amount)
                },
            )
        })
        .sort_by(|one| then_account(one.earned, one)),
    ];
    let states = [
        ("active", "Active"),
        ("crossed", "Qualified"),
        ("waiting", "On the way"),
        ("paused", "Paused or canceled"),
        ("review", "In review"),
    ];
    List::new("/portal/referrals", "Your referrals", "Your referrals will stand here.", columns)
        .search("Account or plan", |one| format!("{}\n{}", one.account_id, one.plan))
        .filter("state", "Show", states, is_shown)
}

/// Lists them, or exports them.
pub async fn list(visit: Visit<Portal>) -> Result<Response, PageError> {
    let list = referrals(&visit);
    let query = list.read(visit.raw.as_deref())?;
    let statements = visit.app.statements_of(visit.who.affiliate.id).await?;
    let referrals = visit.app.referrals_of(visit.who.affiliate.id, &statements).await?;
    let has_any = !referrals.is_empty();
    let list = list.show(referrals, &query);
    if query.csv {
        return Ok(download(CSV, "referrals.csv", list.to_csv()));
    }
    let content = context! { list => Value::from(Serde(list)), has_any };
    Ok(visit.page("portal/referrals.html", "referrals", content))
}

fn is_shown(referral: &ReferralSummary, filter: &str) -> bool {
    use crate::app::ReferralState::{Active, Canceled, InReview, NotYetActive, Suspended};
    match filter {
        "active" => referral.state == Active,
        "crossed" => referral.crossed_on.is_some(),
        "waiting" => {
            referral.crossed_on.is_none() && matches!(referral.state, Active | NotYetActive | InReview)
        }
        "paused" => matches!(referral.state, Suspended | Canceled),
        "review" => referral.state == InReview,
        _ => true,
    }
}

/// The days that count toward qualifying; of one that was rejected, none do.
fn counted(referral: &ReferralSummary) -> String {
    if referral.state == ReferralState::Rejected {
        return String::new();
    }
    referral.active_days.min(referral.mark_days).to_string()
}

/// Something that happened to a referral.
#[derive(Debug, Serialize)]
struct Moment {
    at: DateTime<Utc>,
    words: String,
}

/// Shows one.
pub async fn show(visit: Visit<Portal, AccountId>) -> Result<Response, PageError> {
    let statements = visit.app.statements_of(visit.who.affiliate.id).await?;
    let found = visit.app.referral_of(visit.who.affiliate.id, &visit.at, &statements).await?;
    let (account, referral) = found.ok_or(PageError::NotFound)?;
    let directory = visit.app.directory();
    let link = referral.link_id.and_then(|id| directory.link(id).cloned());
    let link = link.filter(|link| link.affiliate == visit.who.affiliate.id);
    let clicked_on = referral.clicked_at.map(|at| visit.app.zone().date_of(at));
    let (state_word, tone, meaning) = words::state(referral.state);
    let mut moments = Vec::new();
    if let Some(claim) = &account.signup {
        let words = format!("Signed up, on the plan {}", claim.signup.plan);
        moments.push(Moment { at: referral.signed_up_at, words });
    }
    moments.extend(account.events.iter().filter_map(|kept| {
        let words = match &kept.event.change {
            Change::Activated => "Active".to_owned(),
            Change::Suspended => "Paused".to_owned(),
            Change::Canceled => "Canceled".to_owned(),
            Change::PlanChanged { plan } => format!("Moved to the plan {plan}"),
            Change::Unknown { .. } => return None,
        };
        Some(Moment { at: kept.event.occurred_at, words })
    }));
    let content = context! {
        progress => words::progress(&referral),
        why => words::why(&referral, link.as_deref(), clicked_on),
        referral => Value::from(Serde(&referral)),
        state_word, meaning,
        rejected => referral.state == ReferralState::Rejected,
        tone => Value::from(Serde(tone)),
        moments => Value::from(Serde(moments)),
        stated => Value::from(Serde(stated(&statements, &visit.at))),
        earned_for => referral.earned_for.as_ref().map(earned_for),
        email => visit.who.affiliate.profile.email.clone(),
    };
    Ok(visit.page("portal/referral.html", "referrals", content))
}
