//! Claims: referrals that affiliates say are missing, and what staff decide.

use super::paging::{Paging, first_of};
use super::{Act, answer};
use crate::domain::id::{AccountId, AffiliateId, ClaimId};
use crate::domain::input::Reason;
use crate::domain::person::{ClaimState, MissingReferral};
use crate::http::answer::{List, ok};
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Lists claims, the oldest first.
#[utoipa::path(
    get, path = "/v1/claims", tag = "claims",
    params(("state" = Option<ClaimState>, Query, description = "Only those that stand there"), Paging),
    responses((status = 200, body = List<ClaimView>, description = "A page"))
)]
pub async fn list(State(state): State<ApiState>, mut params: Params) -> Result<Response, Problem> {
    let wanted = params.optional::<ClaimState>("state")?;
    let page = params.page()?;
    params.done()?;
    let open_only = wanted == Some(ClaimState::Open);
    let mut claims = state.app.claims(open_only).await?;
    claims.retain(|claim| wanted.is_none_or(|wanted| claim.state == wanted));
    if let Some(cursor) = &page.cursor {
        let (at, id) = cursor.split_once('~').ok_or(Problem::InvalidCursor)?;
        let at: DateTime<Utc> = at.parse().map_err(|_| Problem::InvalidCursor)?;
        let id: ClaimId = id.parse().map_err(|_| Problem::InvalidCursor)?;
        claims.retain(|claim| (claim.filed_at, claim.id) > (at, id));
    }
    let cursor_of = |claim: &MissingReferral| {
        format!("{}~{}", claim.filed_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true), claim.id)
    };
    Ok(ok(&List::of(first_of(claims, page.limit, cursor_of), ClaimView::of)))
}

/// Decides about a claim.
///
/// With `account_id`, a granted claim credits that account to the affiliate. The affiliate is told by mail.
#[utoipa::path(
    post, path = "/v1/claims/{claim_id}/decision", tag = "claims",
    request_body(content = NewDecision, description = "How, and why"),
    responses(
        (status = 200, body = ClaimView, description = "The claim as it is now"), super::Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`already_decided`"),
    )
)]
pub async fn decide(act: Act<ClaimId, NewDecision>) -> Result<Response, Problem> {
    let NewDecision { granted, reason, account_id } = act.asked;
    let decided = act.state.app.decide_claim(&act.actor, act.at, granted, &reason, account_id.as_ref()).await;
    answer(decided, &act.at, async |()| {
        let claim = act.state.app.claim(act.at).await?.ok_or(Problem::UnknownClaim)?;
        Ok(ok(&ClaimView::of(claim)))
    })
    .await
}

/// What staff decide about a claim.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDecision {
    /// Whether the referral is the affiliate's.
    pub granted: bool,
    /// In words: the affiliate reads it.
    #[schema(inline)]
    pub reason: Reason,
    /// The account to be credited, if the claim is granted.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    pub account_id: Option<AccountId>,
}

/// A claim, as shown to staff.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ClaimView {
    /// Its id.
    #[schema(value_type = String, example = "clm_0a1b2c3d4e5f6")]
    pub id: ClaimId,
    /// Whose claim.
    #[schema(value_type = String, example = "aff_0a1b2c3d4e5f6")]
    pub affiliate_id: AffiliateId,
    /// The account's id, if the affiliate knows it.
    pub account_hint: Option<String>,
    /// The customer's company.
    pub company: String,
    /// Why the affiliate should be credited.
    pub evidence: String,
    /// When it was filed.
    pub filed_at: DateTime<Utc>,
    /// Its state.
    pub state: ClaimState,
    /// What staff wrote.
    pub reason: Option<String>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
}

impl ClaimView {
    fn of(claim: MissingReferral) -> Self {
        Self {
            id: claim.id,
            affiliate_id: claim.affiliate_id,
            account_hint: claim.account_hint,
            company: claim.company,
            evidence: claim.evidence,
            filed_at: claim.filed_at,
            state: claim.state,
            reason: claim.reason,
            decided_by: claim.decided_by,
            decided_at: claim.decided_at,
        }
    }
}
