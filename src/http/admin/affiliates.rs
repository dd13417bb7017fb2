//! Affiliates: applying for them, their life, their profile.

use super::links::LinkView;
use super::{deferred, optional_reason, required_reason, submit};
use crate::app::Page;
use crate::domain::affiliate::{Addresses, Affiliate, Link, Profile, Status, StatusChange, Step, Switch};
use crate::domain::email::read_email;
use crate::domain::fact::{self, AffiliateChange, Fact};
use crate::domain::id::{AffiliateId, LinkId, ReferralCode};
use crate::domain::outcome::FactOutcome;
use crate::domain::person::Signature;
use crate::domain::website::read_website;
use crate::http::answer::{List, json, ok};
use crate::http::auth::Caller;
use crate::http::body::JsonBody;
use crate::http::error::Problem;
use crate::http::fields::{Fields, PageParams, Params, instant, line, paragraph, parsed};
use crate::http::guard::{PathId, path};
use crate::http::openapi::ProblemDoc;
use crate::http::state::ApiState;
use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde_json::Value;

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
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    JsonBody(fields): JsonBody,
) -> Result<Response, Problem> {
    let now = state.app.now();
    let (affiliate, link) = read_new(fields, now, &state.app.config().program.partner_types)?;
    let fact =
        Fact::AffiliateCreated(fact::AffiliateCreated { affiliate: affiliate.clone(), link: link.clone() });
    let submitted = submit(&state, &caller, fact).await?;
    if submitted.outcome == FactOutcome::Deferred {
        return Ok(deferred(&affiliate.id));
    }
    let mut view = AffiliateView::of(&affiliate, Some(&link), &state);
    view.counts = Some(Counts { links: 1, referrals: 0 });
    Ok(json(StatusCode::CREATED, &view))
}

/// Lists affiliates, by id.
#[utoipa::path(
    get, path = "/v1/affiliates", tag = "affiliates",
    params(("status" = Option<Status>, Query, description = "Only those who stand there"), Paging),
    responses((status = 200, body = List<AffiliateView>, description = "A page; without `counts`")),
    security(("bearer" = []))
)]
pub async fn list(State(state): State<ApiState>, mut params: Params) -> Result<Response, Problem> {
    let status = params.optional::<Word>("status", Problem::InvalidStatus)?;
    let status = status.map(|word| parse_status(&word.0).ok_or(Problem::InvalidStatus)).transpose()?;
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
    params(AffiliatePath),
    responses((status = 200, body = AffiliateView, description = "The affiliate, with `counts`")),
    security(("bearer" = []))
)]
pub async fn show(
    State(state): State<ApiState>,
    PathId(id): PathId<AffiliateId>,
) -> Result<Response, Problem> {
    Ok(ok(&view_of(&state, id).await?))
}

/// Changes an affiliate's profile.
///
/// A field that is absent stays as it is; one that is `null` is cleared.
#[utoipa::path(
    patch, path = "/v1/affiliates/{affiliate_id}", tag = "affiliates",
    params(AffiliatePath),
    request_body(content = ChangedAffiliate, description = "What changes"),
    responses(
        (status = 200, body = AffiliateView, description = "The affiliate as it is now"),
        (status = 202, body = super::Deferred, description = "Kept; done when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`email_taken`, `code_taken`"),
    ),
    security(("bearer" = []))
)]
pub async fn change(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    PathId(id): PathId<AffiliateId>,
    JsonBody(fields): JsonBody,
) -> Result<Response, Problem> {
    let directory = state.app.directory();
    let affiliate = directory.affiliate(id).ok_or(Problem::UnknownAffiliate)?;
    let change = read_change(fields, &affiliate.profile, &state.app.config().program.partner_types)?;
    if change != AffiliateChange::default() {
        let fact = Fact::AffiliateChanged(fact::AffiliateChanged { affiliate_id: id, change });
        if submit(&state, &caller, fact).await?.outcome == FactOutcome::Deferred {
            return Ok(deferred(&id));
        }
    }
    Ok(ok(&view_of(&state, id).await?))
}

/// Takes a step of an affiliate's life.
///
/// An `applied` one can be approved, an `active` one suspended, a `suspended` one reinstated, any one closed.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/{step}", tag = "affiliates",
    params(AffiliatePath, ("step" = StepName, Path, description = "Which")),
    request_body(content = super::ReasonRequest, description = "Why"),
    responses(
        (status = 200, body = AffiliateView, description = "The affiliate as it is now"),
        (status = 202, body = super::Deferred, description = "Kept; done when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_status`"),
    ),
    security(("bearer" = []))
)]
pub async fn step(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    PathStep(id, step): PathStep,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    let reason = optional_reason(&mut fields)?;
    fields.done()?;
    take_step(&state, &caller, id, step, reason).await
}

/// Turns an application down, with a reason.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/reject", tag = "affiliates",
    params(AffiliatePath),
    request_body(content = super::accounts::ReviewRequest, description = "Why"),
    responses(
        (status = 200, body = AffiliateView, description = "The affiliate as it is now"),
        (status = 202, body = super::Deferred, description = "Kept; done when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_status`"),
    ),
    security(("bearer" = []))
)]
pub async fn reject(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    PathId(id): PathId<AffiliateId>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    let reason = required_reason(&mut fields)?;
    fields.done()?;
    take_step(&state, &caller, id, Step::Reject, Some(reason)).await
}

async fn take_step(
    state: &ApiState,
    caller: &Caller,
    affiliate_id: AffiliateId,
    step: Step,
    reason: Option<String>,
) -> Result<Response, Problem> {
    let fact = Fact::AffiliateStep(fact::AffiliateStep { affiliate_id, step, reason });
    if submit(state, caller, fact).await?.outcome == FactOutcome::Deferred {
        return Ok(deferred(&affiliate_id));
    }
    Ok(ok(&view_of(state, affiliate_id).await?))
}

/// The affiliate and the step in a path.
#[derive(Debug)]
pub struct PathStep(AffiliateId, Step);

impl<S: Send + Sync> FromRequestParts<S> for PathStep {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (id, step): (String, String) = path(parts, state).await?;
        let step = match step.as_str() {
            "approve" => Step::Approve,
            "suspend" => Step::Suspend,
            "reinstate" => Step::Reinstate,
            "close" => Step::Close,
            _ => return Err(Problem::NotFound),
        };
        Ok(Self(id.parse().map_err(|_| Problem::NotFound)?, step))
    }
}

async fn view_of(state: &ApiState, id: AffiliateId) -> Result<AffiliateView, Problem> {
    let directory = state.app.directory();
    let affiliate = directory.affiliate(id).ok_or(Problem::UnknownAffiliate)?;
    let link = directory.link(affiliate.default_link).map(AsRef::as_ref);
    let mut view = AffiliateView::of(affiliate, link, state);
    let referrals = state.app.referral_count(id).await?;
    view.counts = Some(Counts { links: directory.links_of(id).len() as u64, referrals });
    Ok(view)
}

/// The first entries of what is left of a sorted list, as a page.
pub fn first_of<T>(mut left: Vec<T>, limit: usize, cursor_of: impl Fn(&T) -> String) -> Page<T> {
    let more = left.len() > limit;
    left.truncate(limit);
    let next_cursor = left.last().filter(|_| more).map(cursor_of);
    Page { data: left, next_cursor }
}

/// The entry after which a page starts.
pub fn read_cursor<T: std::str::FromStr>(page: &PageParams) -> Result<Option<T>, Problem> {
    let cursor = page.cursor.as_deref();
    cursor.map(|text| text.parse().map_err(|_| Problem::InvalidCursor)).transpose()
}

/// A parameter as it was given.
struct Word(String);
impl std::str::FromStr for Word {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

fn parse_status(text: &str) -> Option<Status> {
    use Status::{Activated, Active, Applied, Approved, Closed, Rejected, Suspended};
    [Applied, Approved, Activated, Active, Suspended, Rejected, Closed]
        .into_iter()
        .find(|status| status.code() == text)
}

/// Reads a new affiliate, with its default link.
fn read_new(
    mut fields: Fields,
    now: DateTime<Utc>,
    partner_types: &[String],
) -> Result<(Affiliate, Link), Problem> {
    let profile = Profile {
        name: fields.required("name", Problem::InvalidName, line(200))?,
        email: fields.required("email", Problem::InvalidEmail, email(254))?,
        company: fields.optional("company", Problem::InvalidCompany, line(200))?,
        website: fields.optional("website", Problem::InvalidWebsite, website)?,
        promotion: fields.optional("promotion", Problem::InvalidPromotion, paragraph(2_000))?,
        partner_type: fields.optional("partner_type", Problem::InvalidPartnerType, one_of(partner_types))?,
        paypal_email: fields.optional("paypal_email", Problem::InvalidPaypalEmail, email(127))?,
    };
    let code = fields.optional::<ReferralCode>("code", Problem::InvalidCode, parsed)?;
    let exempt = fields.optional("exempt_from_holds", Problem::InvalidExemptFromHolds, Value::as_bool)?;
    let active = fields.optional("active", Problem::InvalidActive, Value::as_bool)?.unwrap_or(false);
    let fault = Problem::InvalidAgreementAcceptedAt;
    let agreed = fields.optional("agreement_accepted_at", fault, instant)?;
    fields.done()?;
    // The time of an agreement and being active belong together.
    let since = match (active, agreed) {
        (true, Some(agreed)) if agreed <= now => agreed,
        (false, None) => now,
        _ => return Err(fault),
    };
    let link = LinkId::random();
    let mut affiliate = Affiliate {
        id: AffiliateId::random(),
        profile,
        code: code.unwrap_or_else(ReferralCode::random),
        default_link: link,
        history: vec![StatusChange { at: since, status: Status::Applied, reason: None }],
        exempt_from_holds: exempt.unwrap_or(false),
        signatures: Vec::new(),
        addresses: Addresses::default(),
    };
    if active {
        for step in [Step::Approve, Step::Activate, Step::Sign] {
            // The table of an affiliate's life leads from `applied` to `active` by these.
            affiliate.step(step, None, since).map_err(|_| Problem::WrongStatus)?;
        }
    }
    let affiliate_id = affiliate.id;
    let link = Link {
        id: link,
        affiliate: affiliate_id,
        destination: None,
        label: None,
        created_at: now,
        switch: Switch::default(),
    };
    Ok((affiliate, link))
}

/// Reads what changes of an affiliate; nothing given, or nothing else than what is: no change.
fn read_change(
    mut fields: Fields,
    before: &Profile,
    partner_types: &[String],
) -> Result<AffiliateChange, Problem> {
    let mut profile = before.clone();
    // A name and an e-mail can be changed, but not cleared.
    if let Some(name) = fields.patch("name", Problem::InvalidName, line(200))? {
        profile.name = name.ok_or(Problem::InvalidName)?;
    }
    if let Some(email) =
        fields.patch("email", Problem::InvalidEmail, changed_email(254, Some(&before.email)))?
    {
        profile.email = email.ok_or(Problem::InvalidEmail)?;
    }
    if let Some(company) = fields.patch("company", Problem::InvalidCompany, line(200))? {
        profile.company = company;
    }
    if let Some(website) = fields.patch("website", Problem::InvalidWebsite, website)? {
        profile.website = website;
    }
    if let Some(promotion) = fields.patch("promotion", Problem::InvalidPromotion, paragraph(2_000))? {
        profile.promotion = promotion;
    }
    let fault = Problem::InvalidPartnerType;
    if let Some(partner_type) = fields.patch("partner_type", fault, one_of(partner_types))? {
        profile.partner_type = partner_type;
    }
    let paypal_email = changed_email(127, before.paypal_email.as_deref());
    if let Some(paypal) = fields.patch("paypal_email", Problem::InvalidPaypalEmail, paypal_email)? {
        profile.paypal_email = paypal;
    }
    let code = fields.optional("code", Problem::InvalidCode, parsed)?;
    let exempt = fields.optional("exempt_from_holds", Problem::InvalidExemptFromHolds, Value::as_bool)?;
    fields.done()?;
    let profile = (profile != *before).then_some(profile);
    let before = profile.as_ref().map(|_| before.clone());
    Ok(AffiliateChange { before, profile, code, exempt_from_holds: exempt })
}

/// Reads an e-mail address that mail can be sent to.
pub(super) fn email(most: usize) -> impl Fn(&Value) -> Option<String> {
    move |value| read_email(value.as_str()?, most)
}

/// The same, but an address that was not changed is taken as it is: it may be older than the rule.
fn changed_email(most: usize, kept: Option<&str>) -> impl Fn(&Value) -> Option<String> {
    move |value| match value.as_str()? {
        text if Some(text) == kept => Some(text.to_owned()),
        text => read_email(text, most),
    }
}

/// Reads the address of a web site.
fn website(value: &Value) -> Option<String> {
    read_website(&line(2_048)(value)?)
}

fn one_of(allowed: &[String]) -> impl Fn(&Value) -> Option<String> {
    move |value| {
        let text = value.as_str()?;
        allowed.iter().find(|one| *one == text).cloned()
    }
}

/// A new affiliate.
#[derive(Debug, utoipa::ToSchema)]
#[schema(example = json!({"name": "Jane Doe", "email": "jane@example.org", "paypal_email": "pay@example.org"}))]
pub struct NewAffiliate {
    /// The person's or company's name.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// Where mail goes; no other affiliate has it.
    #[schema(max_length = 254, format = Email)]
    pub email: String,
    /// Company.
    #[schema(min_length = 1, max_length = 200)]
    pub company: Option<String>,
    /// Web site, http or https.
    #[schema(max_length = 2048)]
    pub website: Option<String>,
    /// How it will promote.
    #[schema(min_length = 1, max_length = 2000)]
    pub promotion: Option<String>,
    /// One of the program's kinds of partner.
    pub partner_type: Option<String>,
    /// Where payouts go; may come later.
    #[schema(max_length = 127)]
    pub paypal_email: Option<String>,
    /// The referral code; made up when absent.
    #[schema(min_length = 3, max_length = 32)]
    pub code: Option<String>,
    /// Never hold its referrals for review.
    pub exempt_from_holds: Option<bool>,
    /// Brought over: active at once. Needs `agreement_accepted_at`.
    pub active: Option<bool>,
    /// When it accepted the agreement: it is active from then on.
    pub agreement_accepted_at: Option<DateTime<Utc>>,
}

/// What changes of an affiliate; null clears.
#[derive(Debug, utoipa::ToSchema)]
#[schema(example = json!({"paypal_email": "pay@example.org", "website": null}))]
pub struct ChangedAffiliate {
    /// The name; can't be cleared.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// Where mail goes; can't be cleared.
    #[schema(max_length = 254)]
    pub email: Option<String>,
    /// Company.
    #[schema(min_length = 1, max_length = 200)]
    pub company: Option<String>,
    /// Web site, http or https.
    #[schema(max_length = 2048)]
    pub website: Option<String>,
    /// How it will promote.
    #[schema(min_length = 1, max_length = 2000)]
    pub promotion: Option<String>,
    /// One of the program's kinds of partner.
    pub partner_type: Option<String>,
    /// Where payouts go.
    #[schema(max_length = 127)]
    pub paypal_email: Option<String>,
    /// The referral code; can't be cleared.
    #[schema(min_length = 3, max_length = 32)]
    pub code: Option<String>,
    /// Never hold its referrals for review; can't be cleared.
    pub exempt_from_holds: Option<bool>,
}

/// A step that staff may take.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum StepName {
    /// Accept the application.
    Approve,
    /// Stop its links from earning.
    Suspend,
    /// Let them earn again.
    Reinstate,
    /// It leaves for good.
    Close,
}

/// Which affiliate.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only the API document reads it")]
pub struct AffiliatePath {
    /// The affiliate's id.
    #[param(example = "aff_0a1b2c3d4e5f6")]
    affiliate_id: String,
}

/// Which page.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the API document reads it")]
pub struct Paging {
    /// At most so many entries.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of an earlier page.
    cursor: Option<String>,
}

/// An affiliate, as shown to staff.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AffiliateView {
    /// Its id.
    #[schema(value_type = String, example = "aff_0a1b2c3d4e5f6")]
    pub id: AffiliateId,
    /// Where it stands.
    pub status: Status,
    /// The person's or company's name.
    pub name: String,
    /// Where mail goes.
    pub email: String,
    /// Company.
    #[schema(required)]
    pub company: Option<String>,
    /// Web site.
    #[schema(required)]
    pub website: Option<String>,
    /// How it will promote.
    #[schema(required)]
    pub promotion: Option<String>,
    /// What kind of partner it is.
    #[schema(required)]
    pub partner_type: Option<String>,
    /// Where payouts go.
    #[schema(required)]
    pub paypal_email: Option<String>,
    /// What prospects may type instead of following a link.
    #[schema(value_type = String)]
    pub code: ReferralCode,
    /// Whether its referrals are never held for review.
    pub exempt_from_holds: bool,
    /// The link of its home page; null unless it is active.
    #[schema(required)]
    pub default_link: Option<LinkView>,
    /// All changes of status, oldest first.
    pub history: Vec<StatusView>,
    /// Its signatures under agreements, oldest first; none of one that signed in another system.
    pub signatures: Vec<SignatureView>,
    /// Payouts wait until then, because their address was changed; null: they do not.
    #[schema(required)]
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
    #[schema(required)]
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
