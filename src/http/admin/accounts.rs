//! Accounts: who is credited and why, what happened, and staff's judgement.

use super::paging::Paging;
use super::{Act, ReviewRequest, answer};
use crate::app::{AccountList, AccountState, AccountStatus};
use crate::domain::account::{Account, Conflict, StaffAction};
use crate::domain::attribution::{Attribution, Considered};
use crate::domain::fact::{Credit, Review, ReviewAction};
use crate::domain::id::{AccountId, AffiliateId, ClickId, EventId, LinkId, Plan};
use crate::domain::input;
use crate::domain::outcome::{HoldReason, Reason, Via};
use crate::domain::program::Model;
use crate::domain::statement::{AccountEvent, Change};
use crate::http::answer::{List, ok};
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::guard::PathId;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Lists accounts, by name.
#[utoipa::path(
    get, path = "/v1/accounts", tag = "accounts",
    params(
        ("held" = Option<bool>, Query, description = "Only those held for review"),
        ("conflict" = Option<bool>, Query, description = "Only those with reports that contradicted an earlier one"),
        ("waiting" = Option<bool>, Query, description = "Only those with events and no signup yet"),
        Paging,
    ),
    responses((status = 200, body = List<AccountRow>, description = "A page; at most one of the three may be true"))
)]
pub async fn list(State(state): State<ApiState>, mut params: Params) -> Result<Response, Problem> {
    let list = which_list(&mut params)?;
    let page = params.page()?;
    params.done()?;
    let page = state.app.accounts(list, page.cursor.as_deref(), page.limit).await?;
    let mut statuses = state.app.statuses_of(&page.data).into_iter();
    // One for each account of the page, in their order.
    let rows = |account| AccountRow::of(&account, &statuses.next().expect("as many as accounts"));
    Ok(ok(&List::of(page, rows)))
}

/// Shows an account: its attribution with the whole trace, its history, its way to qualifying.
#[utoipa::path(
    get, path = "/v1/accounts/{account_id}", tag = "accounts",
    responses((status = 200, body = AccountView, description = "The account"))
)]
pub async fn show(State(state): State<ApiState>, PathId(id): PathId<AccountId>) -> Result<Response, Problem> {
    show_now(&state, &id).await
}

/// Credits an account by hand, as of its signup.
///
/// The referral starts afresh, neither held nor rejected, also with the affiliate that it was credited to before.
/// Closed months get adjustments. An affiliate that has never been active can't be credited.
#[utoipa::path(
    post, path = "/v1/accounts/{account_id}/attribution", tag = "accounts",
    request_body(content = CreditRequest, description = "To whom, and why"),
    responses(
        (status = 200, body = AccountView, description = "The account as it is now"), super::Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`affiliate_never_active`"),
    )
)]
pub async fn credit(act: Act<AccountId, CreditRequest>) -> Result<Response, Problem> {
    let CreditRequest { affiliate_id, reason } = act.asked;
    let (account_id, reason) = (act.at.clone(), reason.into());
    let credit = Credit { account_id, affiliate_id, reason, claim_id: None, ends_judgement: true };
    let ended = act.state.app.act(&act.actor, credit).await;
    answer(ended, &act.at, async |_| show_now(&act.state, &act.at).await).await
}

/// Holds, releases or rejects a referral.
///
/// `hold` keeps it out of months not yet closed, `release` lets it count with the months missed, `reject` lets it
/// never count.
#[utoipa::path(
    post, path = "/v1/accounts/{account_id}/{review}", tag = "accounts",
    params(("review" = ReviewAction, Path, description = "Which")),
    request_body(content = ReviewRequest, description = "Why"),
    responses(
        (status = 200, body = AccountView, description = "The account as it is now"), super::Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`not_referred`"),
    )
)]
pub async fn review(act: Act<(AccountId, ReviewAction), ReviewRequest>) -> Result<Response, Problem> {
    let (id, action) = act.at;
    let review = Review { account_id: id.clone(), action, reason: act.asked.reason.into() };
    answer(act.state.app.act(&act.actor, review).await, &id, async |_| show_now(&act.state, &id).await).await
}

async fn show_now(state: &ApiState, id: &AccountId) -> Result<Response, Problem> {
    let account = state.app.account(id).await?.ok_or(Problem::UnknownAccount)?;
    let status = state.app.status_of(&account);
    let directory = state.app.directory();
    let affiliate = account.credited_to.and_then(|id| directory.affiliate(id));
    let name = affiliate.map(|affiliate| affiliate.profile.name.clone());
    Ok(ok(&AccountView::of(&account, name, &status)))
}

fn which_list(params: &mut Params) -> Result<AccountList, Problem> {
    let lists =
        [("held", AccountList::Held), ("conflict", AccountList::Conflict), ("waiting", AccountList::Waiting)];
    let mut chosen = AccountList::All;
    for (name, list) in lists {
        if params.optional(name).map_err(|_| Problem::InvalidList)?.unwrap_or(false) {
            if chosen != AccountList::All {
                return Err(Problem::InvalidList);
            }
            chosen = list;
        }
    }
    Ok(chosen)
}

/// An account, in a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AccountRow {
    /// The company's name for it.
    #[schema(value_type = String, example = "acct_81")]
    pub account_id: AccountId,
    /// Its state.
    pub state: AccountState,
    /// Who is credited now.
    #[schema(value_type = Option<String>)]
    pub affiliate_id: Option<AffiliateId>,
    /// The plan at signup.
    #[schema(value_type = Option<String>)]
    pub plan: Option<Plan>,
    /// When it signed up.
    pub signed_up_at: Option<DateTime<Utc>>,
    /// Whether it is held for review.
    pub held: bool,
    /// Why it is held.
    pub hold_reasons: Vec<HoldReason>,
    /// Reports that contradicted an earlier one.
    pub conflicts: usize,
    /// The day on which it qualified.
    #[schema(value_type = Option<String>, format = Date)]
    pub crossed_on: Option<NaiveDate>,
}

impl AccountRow {
    fn of(account: &Account, status: &AccountStatus) -> Self {
        let signup = account.signup.as_ref().map(|claim| &claim.signup);
        Self {
            account_id: account.id.clone(),
            state: status.state,
            affiliate_id: account.credited_to,
            plan: signup.map(|signup| signup.plan.clone()),
            signed_up_at: signup.map(|signup| signup.signed_up_at),
            held: account.is_held(),
            hold_reasons: account.standing.hold_reasons.clone(),
            conflicts: account.conflicts.len(),
            crossed_on: status.crossed_on,
        }
    }
}

/// An account, with all that is known of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AccountView {
    /// The company's name for it.
    #[schema(value_type = String, example = "acct_81")]
    pub account_id: AccountId,
    /// Its state.
    pub state: AccountState,
    /// What the company reported; null: not yet.
    pub signup: Option<SignupView>,
    /// Who is credited now: as decided, or as staff corrected it.
    #[schema(value_type = Option<String>)]
    pub affiliate_id: Option<AffiliateId>,
    /// The name of who is credited now.
    pub affiliate_name: Option<String>,
    /// What was decided, with its trace; null: not yet.
    pub attribution: Option<AttributionView>,
    /// Events by when they happened, then what staff did.
    pub history: Vec<HistoryEntry>,
    /// Reports that contradicted an earlier one.
    pub conflicts: Vec<ConflictView>,
    /// Whether it is held for review.
    pub held: bool,
    /// Since when.
    pub held_since: Option<DateTime<Utc>>,
    /// Why it is held.
    pub hold_reasons: Vec<HoldReason>,
    /// Since when it is rejected.
    pub rejected_since: Option<DateTime<Utc>>,
    /// Active days so far; 0 for an account credited to nobody.
    pub active_days: u32,
    /// Active days that an account needs to qualify.
    pub mark_days: u32,
    /// The day on which it qualified.
    #[schema(value_type = Option<String>, format = Date)]
    pub crossed_on: Option<NaiveDate>,
    /// The day that will, if nothing interrupts it.
    #[schema(value_type = Option<String>, format = Date)]
    pub expected_on: Option<NaiveDate>,
}

/// What the company reported of a signup.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SignupView {
    /// The plan.
    #[schema(value_type = String)]
    pub plan: Plan,
    /// When it signed up.
    pub signed_up_at: DateTime<Utc>,
    /// Whether the signup itself activated it.
    pub active: bool,
}

/// A decision with its trace.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AttributionView {
    /// Who was credited; null: nobody.
    #[schema(value_type = Option<String>)]
    pub affiliate_id: Option<AffiliateId>,
    /// Through which link.
    #[schema(value_type = Option<String>)]
    pub link_id: Option<LinkId>,
    /// Through which click.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub click_id: Option<ClickId>,
    /// When that was made.
    pub clicked_at: Option<DateTime<Utc>>,
    /// Which evidence named it.
    pub via: Option<Via>,
    /// How one of several clicks is chosen.
    pub model: Model,
    /// Why it was credited, or was not.
    pub reason: Reason,
    /// The same, in words.
    pub sentence: &'static str,
    /// Why it had to wait for review.
    pub holds: Vec<HoldReason>,
    /// What became of the typed code; null: none was given.
    pub code: Option<Reason>,
    /// The tie-break that was needed, in words.
    pub tie_break: Option<String>,
    /// All clicks considered, each with the rule that kept or dropped it.
    pub considered: Vec<ConsideredView>,
}

/// A click that was considered.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ConsideredView {
    /// Which evidence named it.
    pub via: Vec<Via>,
    /// The click; null for evidence whose signature failed.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub click_id: Option<ClickId>,
    /// Its affiliate.
    #[schema(value_type = Option<String>)]
    pub affiliate_id: Option<AffiliateId>,
    /// Its link.
    #[schema(value_type = Option<String>)]
    pub link_id: Option<LinkId>,
    /// When it was made.
    pub clicked_at: Option<DateTime<Utc>>,
    /// The first rule that dropped it; null: it was eligible.
    pub dropped: Option<Reason>,
}

/// Something that happened to an account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HistoryEntry {
    /// The company reported it.
    Event {
        /// When it happened.
        at: DateTime<Utc>,
        /// The company's name for it.
        #[schema(value_type = String)]
        event_id: EventId,
        /// What happened.
        r#type: String,
        /// The new plan, where it changed.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, value_type = Option<String>)]
        plan: Option<Plan>,
        /// Whether its type is known here.
        known: bool,
    },
    /// Staff did it.
    Action {
        /// When.
        at: DateTime<Utc>,
        /// Who.
        by: String,
        /// What: `hold`, `release`, `reject` or `credit`.
        action: String,
        /// Why.
        reason: String,
        /// Who was credited before, for a credit.
        #[schema(value_type = Option<String>)]
        credited_before: Option<AffiliateId>,
        /// Who is credited since, for a credit.
        #[schema(value_type = Option<String>)]
        credited_since: Option<AffiliateId>,
    },
}

/// A report that contradicted an earlier one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ConflictView {
    /// When it came.
    pub at: DateTime<Utc>,
    /// What it was: `signup` or `event:<id>`.
    pub what: String,
}

impl AccountView {
    fn of(account: &Account, affiliate_name: Option<String>, status: &AccountStatus) -> Self {
        let signup = account.signup.as_ref().map(|claim| SignupView {
            plan: claim.signup.plan.clone(),
            signed_up_at: claim.signup.signed_up_at,
            active: claim.signup.active,
        });
        let events = account.events.iter().map(|kept| event_entry(&kept.event));
        Self {
            account_id: account.id.clone(),
            state: status.state,
            signup,
            affiliate_id: account.credited_to,
            affiliate_name,
            attribution: account.attribution.as_ref().map(AttributionView::of),
            history: events.chain(account.effective_actions().map(action_entry)).collect(),
            conflicts: account.conflicts.iter().map(ConflictView::of).collect(),
            held: account.is_held(),
            held_since: account.standing.held_since,
            hold_reasons: account.standing.hold_reasons.clone(),
            rejected_since: account.standing.rejected_since,
            active_days: status.active_days,
            mark_days: status.mark_days,
            crossed_on: status.crossed_on,
            expected_on: status.expected_on,
        }
    }
}

impl AttributionView {
    fn of(decided: &Attribution) -> Self {
        Self {
            affiliate_id: decided.affiliate_id,
            link_id: decided.link_id,
            click_id: decided.click_id,
            clicked_at: decided.clicked_at,
            via: decided.via,
            model: decided.model,
            reason: decided.reason,
            sentence: decided.reason.sentence(),
            holds: decided.holds.clone(),
            code: decided.code,
            tie_break: decided.tie_break.clone(),
            considered: decided.considered.iter().map(ConsideredView::of).collect(),
        }
    }
}

impl ConsideredView {
    fn of(click: &Considered) -> Self {
        Self {
            via: click.via.clone(),
            click_id: click.click_id,
            affiliate_id: click.affiliate_id,
            link_id: click.link_id,
            clicked_at: click.clicked_at,
            dropped: click.dropped,
        }
    }
}

impl ConflictView {
    fn of(conflict: &Conflict) -> Self {
        Self { at: conflict.origin.at, what: conflict.what.clone() }
    }
}

fn event_entry(event: &AccountEvent) -> HistoryEntry {
    let (name, plan, known) = match &event.change {
        Change::Activated => ("activated", None, true),
        Change::Suspended => ("suspended", None, true),
        Change::Canceled => ("canceled", None, true),
        Change::PlanChanged { plan } => ("plan_changed", Some(plan.clone()), true),
        Change::Unknown { name } => (name.as_str(), None, false),
    };
    let event_id = event.event_id.clone();
    HistoryEntry::Event { at: event.occurred_at, event_id, r#type: name.to_owned(), plan, known }
}

fn action_entry(action: &StaffAction) -> HistoryEntry {
    HistoryEntry::Action {
        at: action.origin.at,
        by: action.by.clone(),
        action: action.action.clone(),
        reason: action.reason.clone(),
        credited_before: action.credited_before,
        credited_since: action.credited_since,
    }
}

/// To whom an account is credited.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"affiliate_id": "aff_0a1b2c3d4e5f6", "reason": "The customer told us who sent them"}))]
pub struct CreditRequest {
    /// The affiliate; null: nobody. Crediting nobody must be said: a forgotten field must not take a credit away.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required, value_type = Option<String>)]
    pub affiliate_id: Option<AffiliateId>,
    /// Why.
    #[schema(inline)]
    pub reason: input::Reason,
}

#[cfg(test)]
mod tests;
