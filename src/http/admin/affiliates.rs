//! Affiliates: applying for them, their life, their profile.

use super::links::LinkView;
use super::paging::{Paging, first_of, read_cursor};
use super::{Act, ReasonRequest, ReviewRequest, answer};
use crate::app::actor::Actor;
use crate::app::people::{ChangedAffiliate, NewAffiliate};
use crate::domain::affiliate::{Affiliate, Link, Status, StatusChange, Step};
use crate::domain::fact::AffiliateStep;
use crate::domain::id::{AffiliateId, ReferralCode};
use crate::domain::input::Reason;
use crate::domain::named::named;
use crate::domain::person::Signature;
use crate::http::answer::{List, json, ok};
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::guard::PathId;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;

/// Adds an affiliate.
///
/// It starts as `applied`. With `active` and `agreement_accepted_at` one is brought over from another system: it
/// is active from that time on, and its links earn.
#[utoipa::path(
    post, path = "/v1/affiliates", tag = "affiliates",
    request_body(content = NewAffiliate, description = "Its profile"),
    responses(
        (status = 201, body = AffiliateView, description = "Added"),
        (status = 202, body = super::Deferred, description = "Kept; added when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`email_taken`, `code_taken`"),
    )
)]
pub async fn create(act: Act<(), NewAffiliate>) -> Result<Response, Problem> {
    let fact = act.state.app.new_affiliate(act.asked)?;
    let (affiliate, link) = (fact.affiliate.clone(), fact.link.clone());
    answer(act.state.app.act(&act.actor, fact).await, &affiliate.id, async |_| {
        let mut view = AffiliateView::of(&affiliate, Some(&link), &act.state);
        view.counts = Some(Counts { links: 1, referrals: 0 });
        Ok(json(StatusCode::CREATED, &view))
    })
    .await
}

/// Lists affiliates, by id.
#[utoipa::path(
    get, path = "/v1/affiliates", tag = "affiliates",
    params(("status" = Option<Status>, Query, description = "Only those who stand there"), Paging),
    responses((status = 200, body = List<AffiliateView>, description = "A page; without `counts`"))
)]
pub async fn list(State(state): State<ApiState>, mut params: Params) -> Result<Response, Problem> {
    let status: Option<Status> = params.optional("status")?;
    let page = params.page()?;
    params.done()?;
    let after: Option<AffiliateId> = read_cursor(&page)?;
    let directory = state.app.directory();
    let mut found = directory.affiliates();
    found.retain(|one| status.is_none_or(|status| one.status() == status) && Some(one.id) > after);
    found.sort_unstable_by_key(|one| one.id);
    let page = first_of(found, page.limit, |one| one.id.to_string());
    let show = |one: std::sync::Arc<Affiliate>| {
        AffiliateView::of(&one, directory.link(one.default_link).map(AsRef::as_ref), &state)
    };
    Ok(ok(&List::of(page, show)))
}

/// Shows an affiliate.
#[utoipa::path(
    get, path = "/v1/affiliates/{affiliate_id}", tag = "affiliates",
    responses((status = 200, body = AffiliateView, description = "The affiliate, with `counts`"))
)]
pub async fn show(
    State(state): State<ApiState>,
    PathId(id): PathId<AffiliateId>,
) -> Result<Response, Problem> {
    show_now(&state, id).await
}

/// Changes an affiliate's profile.
///
/// A field that is absent stays as it is; one that is `null` is cleared.
#[utoipa::path(
    patch, path = "/v1/affiliates/{affiliate_id}", tag = "affiliates",
    request_body(content = ChangedAffiliate, description = "What changes"),
    responses(
        (status = 200, body = AffiliateView, description = "The affiliate as it is now"), super::Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`email_taken`, `code_taken`"),
    )
)]
pub async fn change(act: Act<AffiliateId, ChangedAffiliate>) -> Result<Response, Problem> {
    let ended = act.state.app.change_affiliate(&act.actor, act.at, act.asked).await;
    answer(ended, &act.at, async |_| show_now(&act.state, act.at).await).await
}

/// Changes the status of an affiliate.
///
/// An `applied` one can be approved, an `active` one suspended, a `suspended` one reinstated, any one closed.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/{step}", tag = "affiliates",
    params(("step" = StepName, Path, description = "Which")),
    request_body(content = super::ReasonRequest, description = "Why"),
    responses(
        (status = 200, body = AffiliateView, description = "The affiliate as it is now"), super::Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_status`"),
    )
)]
pub async fn step(act: Act<(AffiliateId, StepName), ReasonRequest>) -> Result<Response, Problem> {
    let (id, name) = act.at;
    let step = match name {
        StepName::Approve => Step::Approve,
        StepName::Suspend => Step::Suspend,
        StepName::Reinstate => Step::Reinstate,
        StepName::Close => Step::Close,
    };
    take_step(&act.state, &act.actor, id, step, act.asked.reason).await
}

/// Rejects an application, with a reason.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/reject", tag = "affiliates",
    request_body(content = ReviewRequest, description = "Why"),
    responses(
        (status = 200, body = AffiliateView, description = "The affiliate as it is now"), super::Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_status`"),
    )
)]
pub async fn reject(act: Act<AffiliateId, ReviewRequest>) -> Result<Response, Problem> {
    take_step(&act.state, &act.actor, act.at, Step::Reject, Some(act.asked.reason)).await
}

async fn take_step(
    state: &ApiState,
    actor: &Actor,
    affiliate_id: AffiliateId,
    step: Step,
    reason: Option<Reason>,
) -> Result<Response, Problem> {
    let step = AffiliateStep { affiliate_id, step, reason: reason.map(String::from) };
    answer(state.app.act(actor, step).await, &affiliate_id, async |_| show_now(state, affiliate_id).await)
        .await
}

async fn show_now(state: &ApiState, id: AffiliateId) -> Result<Response, Problem> {
    let directory = state.app.directory();
    let affiliate = directory.affiliate(id).ok_or(Problem::UnknownAffiliate)?;
    let link = directory.link(affiliate.default_link).map(AsRef::as_ref);
    let mut view = AffiliateView::of(affiliate, link, state);
    let referrals = state.app.referral_count(id).await?;
    view.counts = Some(Counts { links: directory.links_of(id).len() as u64, referrals });
    Ok(ok(&view))
}

named! {
    /// A step that staff may take.
    pub enum StepName {
        /// Accept the application.
        Approve = "approve",
        /// Stop its links from earning.
        Suspend = "suspend",
        /// Let them earn again.
        Reinstate = "reinstate",
        /// It leaves permanently.
        Close = "close",
    }
}

/// An affiliate, as shown to staff.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AffiliateView {
    /// Its id.
    #[schema(value_type = String, example = "aff_0a1b2c3d4e5f6")]
    pub id: AffiliateId,
    /// Its state.
    pub status: Status,
    /// The person's or company's name.
    pub name: String,
    /// Where mail goes.
    pub email: String,
    /// Company.
    pub company: Option<String>,
    /// Web site.
    pub website: Option<String>,
    /// How it will promote.
    pub promotion: Option<String>,
    /// What kind of partner it is.
    pub partner_type: Option<String>,
    /// Where payouts go.
    pub paypal_email: Option<String>,
    /// What prospects may type instead of following a link.
    #[schema(value_type = String)]
    pub code: ReferralCode,
    /// Whether its referrals are never held for review.
    pub exempt_from_holds: bool,
    /// The link of its home page; null unless it is active.
    pub default_link: Option<LinkView>,
    /// All changes of status, oldest first.
    pub history: Vec<StatusView>,
    /// Its signatures under agreements, oldest first; none of one that signed in another system.
    pub signatures: Vec<SignatureView>,
    /// Payouts wait until then, because their address was changed; null: they do not.
    pub payouts_held_until: Option<DateTime<Utc>>,
    /// How much there is of it; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub counts: Option<Counts>,
}

/// A change of status.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StatusView {
    /// When.
    pub at: DateTime<Utc>,
    /// To what.
    pub status: Status,
    /// Why, where staff said so.
    pub reason: Option<String>,
}

/// A signature under an agreement.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SignatureView {
    /// When.
    pub at: DateTime<Utc>,
    /// The agreement's version.
    pub version: String,
    /// The SHA-256 of its text, hex.
    pub sha256: String,
}

/// How much there is of an affiliate.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Counts {
    /// Links, disabled ones too.
    pub links: u64,
    /// Accounts credited to it.
    pub referrals: u64,
}

impl AffiliateView {
    fn of(affiliate: &Affiliate, default_link: Option<&Link>, state: &ApiState) -> Self {
        let profile = affiliate.profile.clone();
        let status = affiliate.status();
        let link = default_link.filter(|_| status == Status::Active);
        let change = |change: &StatusChange| StatusView {
            at: change.at,
            status: change.status,
            reason: change.reason.clone(),
        };
        let sign = |signature: &Signature| SignatureView {
            at: signature.at,
            version: signature.version.clone(),
            sha256: signature.sha256.clone(),
        };
        Self {
            id: affiliate.id,
            status,
            name: profile.name,
            email: profile.email,
            company: profile.company,
            website: profile.website,
            promotion: profile.promotion,
            partner_type: profile.partner_type,
            paypal_email: profile.paypal_email,
            code: affiliate.code.clone(),
            exempt_from_holds: affiliate.exempt_from_holds,
            default_link: link.map(|link| LinkView::of(link, state.app.link_url(link))),
            history: affiliate.history.iter().map(change).collect(),
            signatures: affiliate.signatures.iter().map(sign).collect(),
            payouts_held_until: affiliate.payouts_held_until().filter(|until| *until > state.app.now()),
            counts: None,
        }
    }
}

#[cfg(test)]
mod tests;
