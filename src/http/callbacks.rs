//! What the company's signup flow tells us: new accounts, and what happens to them.
//!
//! A signup is never refused for bad or missing evidence: an answer other than 2xx would make the flow
//! try again with the same evidence, or lose the signup.

use super::answer::{json, ok, replayed};
use super::body;
use super::error::{Problem, ProblemDoc};
use super::fields::{Fields, parsed, recent_instant};
use super::guard::PathId;
use super::refused::Cause;
use super::state::ApiState;
use super::webhook;
use crate::app::Submitted;
use crate::app::actor::Actor;
use crate::config::Scope;
use crate::domain::account::Account;
use crate::domain::attribution::domain_of;
use crate::domain::event_types::{EventType, EventTypes};
use crate::domain::fact::{self, Delivery, Evidence, Signup};
use crate::domain::id::{AccountId, AffiliateId, ClickId, LinkId, Plan, ReferralCode};
use crate::domain::outcome::{FactOutcome, Reason, Via};
use crate::domain::pepper::Pepper;
use crate::domain::program::{Model, Rules, hex};
use crate::domain::statement::{AccountEvent, Change};
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Bytes kept of a click token or a cookie; ours are far shorter.
const MAX_TOKEN_BYTES: usize = 512;
/// Bytes kept of a typed code, or of an ignored type's name.
const MAX_WORD_BYTES: usize = 64;
/// Fields that are not known and that a sender is warned of, at most.
const MAX_UNKNOWN_FIELDS: usize = 8;
/// Who reports what is signed and not sent with a key.
const WEBHOOK: &str = "webhook";

/// Reports a signup.
///
/// Signed by Standard Webhooks, or with a bearer key of scope `callback`. The first report of an account is
/// decided at once and stands; the same facts again get the same answer, whatever the evidence and the
/// `webhook-id`. Bad or missing evidence never refuses a signup.
#[utoipa::path(
    post, path = "/v1/signups", tag = "callbacks",
    params(DeliveryId),
    request_body(content = SignupRequest, description = "The new account, and the evidence it came with"),
    responses(
        (status = 201, body = SignupAnswer, description = "Decided"),
        (status = 200, body = SignupAnswer, description = "The same was reported before: the first answer again",
            headers(("Idempotency-Replayed" = String, description = "`true`"))),
        (status = 202, body = Accepted, description = "Kept; decided when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json",
            description = "Other facts were reported for the account earlier, or the `webhook-id` was used with other bytes: `conflict`"),
    ),
    security(("webhook" = []), ("bearer" = []))
)]
pub async fn signup(State(state): State<ApiState>, report: Callback) -> Result<Response, Problem> {
    let fields = Fields::read_report(&report.body)?;
    let signup = read_signup(fields, report.delivery, &Reading::of(&state))?;
    let (id, warnings) = (signup.account_id.clone(), signup.warnings.clone());
    let submitted = state.app.submit(&report.from, signup.into()).await?;
    signup_answer(&id, warnings, &submitted)
}

/// Reports an event of an account.
///
/// Keyed by (account, event): the same again changes nothing. Events may come late, twice, in any order, and
/// before their signup. Send `account_id` in the body too: a signature covers the body, and not the path. A `type` that
/// the configuration lists to be ignored is kept without effect, and sent again under a known type it is replaced.
#[utoipa::path(
    post, path = "/v1/accounts/{account_id}/events", tag = "callbacks",
    params(DeliveryId),
    request_body(content = EventRequest, description = "What happened"),
    responses(
        (status = 201, body = EventAnswer, description = "Taken in"),
        (status = 200, body = EventAnswer, description = "Known already, or of a type that is ignored (`ignored`)",
            headers(("Idempotency-Replayed" = String, description = "`true`, where it was known"))),
        (status = 202, body = Accepted, description = "Kept; applied when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json",
            description = "Another event was reported under this id, or the `webhook-id` was used with other bytes: `conflict`"),
    ),
    security(("webhook" = []), ("bearer" = []))
)]
pub async fn event(State(state): State<ApiState>, report: Callback) -> Result<Response, Problem> {
    let account_id: AccountId =
        report.account_id.as_deref().and_then(|id| id.parse().ok()).ok_or(Problem::InvalidAccountId)?;
    let mut fields = Fields::read_report(&report.body)?;
    // A signature covers the body and not the path: only what the body names is proved.
    let named: Option<AccountId> = fields.optional("account_id", parsed)?;
    if named.is_some_and(|named| named != account_id) {
        return Err(Problem::AccountMismatch);
    }
    let (event, warnings) = read_event(fields, &Reading::of(&state))?;
    let unknown = matches!(event.change, Change::Unknown { .. });
    let fact = fact::Event { account_id: account_id.clone(), event, delivery: report.delivery };
    let submitted = state.app.submit(&report.from, fact.into()).await?;
    event_answer(&account_id, unknown, warnings, &submitted)
}

/// What a report is read by, beside itself.
pub struct Reading<'a> {
    /// Now.
    pub now: DateTime<Utc>,
    /// Keys the hashes that evidence is kept as.
    pub pepper: &'a Pepper,
    /// What types of events are called.
    pub event_types: &'a EventTypes,
    /// Which plans earn.
    pub rules: &'a Rules,
}

impl<'a> Reading<'a> {
    /// As the server is configured, now.
    pub fn of(state: &'a ApiState) -> Self {
        let settings = state.app.settings();
        Self {
            now: state.app.now(),
            pepper: &settings.pepper,
            event_types: &settings.event_types,
            rules: &settings.rules,
        }
    }
}

/// A callback that came from whom it says: its bytes, not yet parsed.
#[derive(Debug)]
pub struct Callback {
    /// Who sent it.
    pub from: Actor,
    /// The account in the path, if the path has one.
    pub account_id: Option<String>,
    /// The raw body.
    pub body: Bytes,
    /// The delivery, where it has an id.
    pub delivery: Option<Delivery>,
}

impl FromRequest<ApiState> for Callback {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        // The path of a signup has no part to read: an error there is no fault.
        let path = PathId::from_request_parts(&mut parts, state).await;
        let account_id = path.ok().map(|PathId(id)| id);
        let bytes = body::read(&parts.headers, body).await?;
        let from = sender(state, &parts.headers, &bytes).map_err(|cause| state.refusals.refuse(&cause))?;
        let delivery = webhook::only(&parts.headers, webhook::ID)
            .ok()
            .filter(|id| webhook::is_delivery_id(id))
            .map(|id| Delivery { id: short_hash(id), body: short_hash(&bytes) });
        Ok(Self { from: Actor::SignupFlow(from.into()), account_id, body: bytes, delivery })
    }
}

/// Who sent a callback. Whatever a request shows to prove that must hold: a key, a signature, or both.
fn sender(state: &ApiState, headers: &HeaderMap, body: &[u8]) -> Result<String, Cause> {
    let shows_key = headers.contains_key(AUTHORIZATION);
    let shows_signature =
        headers.contains_key(webhook::SIGNATURE) || headers.contains_key(webhook::TIMESTAMP) || !shows_key;
    if shows_signature {
        state.webhooks.verify(headers, body, state.app.now().timestamp())?;
    }
    if !shows_key {
        return Ok(WEBHOOK.to_owned());
    }
    let caller = state.keys.caller_for(headers, &[Scope::Callback, Scope::Admin])?;
    Ok(caller.name.to_string())
}

/// The first 16 hex digits of the SHA-256.
fn short_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}

/// Reads a signup. Fields that are not known are left alone, with a warning: senders may tell more than we ask.
pub fn read_signup(
    mut fields: Fields,
    delivery: Option<Delivery>,
    reading: &Reading<'_>,
) -> Result<Signup, Problem> {
    let is_recent = recent_instant(reading.now);
    let mut signup = Signup {
        account_id: fields.required("account_id", parsed)?,
        plan: fields.required("plan", parsed)?,
        signed_up_at: fields.required("signed_up_at", is_recent)?,
        active: fields.optional("active", Value::as_bool)?.unwrap_or(true),
        evidence: read_evidence(&mut fields, reading.pepper),
        delivery,
        warnings: Vec::new(),
    };
    signup.warnings = warnings(Some(&signup.plan), &fields, reading.rules);
    Ok(signup)
}

/// Reads an event, and what its sender is warned of.
pub fn read_event(mut fields: Fields, reading: &Reading<'_>) -> Result<(AccountEvent, Vec<String>), Problem> {
    let types = reading.event_types;
    let event_id = fields.required("event_id", parsed)?;
    let name = fields.required("type", |name| name.as_str().map(str::to_owned))?;
    let occurred_at = fields.required("occurred_at", recent_instant(reading.now))?;
    let change = match types.meaning(&name) {
        Some(EventType::Activated) => Change::Activated,
        Some(EventType::Suspended) => Change::Suspended,
        Some(EventType::Canceled) => Change::Canceled,
        Some(EventType::PlanChanged) => Change::PlanChanged { plan: fields.required("plan", parsed)? },
        None if types.is_ignored(&name) => Change::Unknown { name: cut(&name, MAX_WORD_BYTES).to_owned() },
        None => return Err(Problem::InvalidType),
    };
    // A plan beside another type has no meaning, but is no misspelt name.
    fields.take("plan");
    let warnings = match &change {
        // Whoever sends what is ignored sends whatever it has.
        Change::Unknown { .. } => Vec::new(),
        Change::PlanChanged { plan } => warnings(Some(plan), &fields, reading.rules),
        _ => warnings(None, &fields, reading.rules),
    };
    Ok((AccountEvent { event_id, occurred_at, change }, warnings))
}

/// What the sender of a report is warned of: a plan that earns nothing, and fields that nobody took, in the order of their
/// names. Stable texts, as they are kept with a signup.
fn warnings(plan: Option<&Plan>, left: &Fields, rules: &Rules) -> Vec<String> {
    let plan = plan.filter(|plan| !rules.has_rate(plan)).map(|_| "plan_without_rate".to_owned());
    let may_show = |name: &&str| {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        (1..=MAX_WORD_BYTES).contains(&name.len()) && name.bytes().all(is_safe)
    };
    let fields = left.left().filter(may_show).take(MAX_UNKNOWN_FIELDS);
    plan.into_iter().chain(fields.map(|name| format!("unknown_field:{name}"))).collect()
}

/// Reads evidence as it comes: what is of a wrong type is as if absent, what is too long is cut, and so
/// proves nothing.
fn read_evidence(fields: &mut Fields, pepper: &Pepper) -> Evidence {
    let mut text = |name| match fields.take(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
        // A code may be all digits, and its sender may take it for a number.
        Some(Value::Number(number)) if name == "code" => Some(number.to_string()),
        _ => None,
    };
    let kept = |text: String, most| cut(&text, most).to_owned();
    let click = text("click").map(|text| kept(text, MAX_TOKEN_BYTES));
    let cookie = text("cookie").map(|text| kept(text, MAX_TOKEN_BYTES));
    let code = text("code").map(|text| kept(ReferralCode::fold(&text), MAX_WORD_BYTES));
    let email = text("email").map(|email| email.trim().to_lowercase());
    let ip = text("ip").and_then(|ip| ip.trim().parse::<IpAddr>().ok()).map(|ip| ip.to_canonical());
    Evidence {
        click,
        cookie,
        code: code.filter(|code| !code.is_empty()),
        email_hash: email.as_deref().map(|email| pepper.mailbox(email)),
        email_domain: email.as_deref().and_then(mail_domain),
        ip_hash: ip.map(|ip| pepper.ip(ip)),
    }
}

/// The domain of a lower-case address, where it can be one.
fn mail_domain(email: &str) -> Option<String> {
    let domain = domain_of(email)?;
    let fits = (1..=253).contains(&domain.len()) && !domain.contains(|c: char| c.is_control() || c == ' ');
    fits.then_some(domain)
}

/// The text's first bytes, at most so many, without half a character.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

fn signup_answer(id: &AccountId, warnings: Vec<String>, submitted: &Submitted) -> Result<Response, Problem> {
    let answer = submitted.account.as_deref().and_then(SignupAnswer::of);
    match (submitted.outcome, answer) {
        (FactOutcome::New, Some(answer)) => Ok(json(StatusCode::CREATED, &answer)),
        (FactOutcome::Replayed, Some(answer)) => Ok(replayed(ok(&answer))),
        (FactOutcome::Conflict, _) => Err(Problem::Conflict),
        (FactOutcome::Refused, _) => Err(submitted.refusal.map_or(Problem::Conflict, Problem::from)),
        // On disk, and not decided yet; an answer without its decision is the same to the sender.
        (FactOutcome::Deferred | FactOutcome::New | FactOutcome::Replayed | FactOutcome::Ignored, _) => {
            Ok(accepted(id, warnings))
        }
    }
}

fn event_answer(
    id: &AccountId,
    unknown: bool,
    warnings: Vec<String>,
    submitted: &Submitted,
) -> Result<Response, Problem> {
    if submitted.outcome == FactOutcome::Deferred {
        return Ok(accepted(id, warnings));
    }
    let answer = if unknown {
        EventAnswer::Ignored { ignored: true }
    } else {
        let referred = submitted.account.as_deref().and_then(Account::referred);
        EventAnswer::Taken { referred, warnings }
    };
    match submitted.outcome {
        FactOutcome::New if !unknown => Ok(json(StatusCode::CREATED, &answer)),
        FactOutcome::New | FactOutcome::Ignored | FactOutcome::Deferred => Ok(ok(&answer)),
        FactOutcome::Replayed => Ok(replayed(ok(&answer))),
        FactOutcome::Conflict => Err(Problem::Conflict),
        FactOutcome::Refused => Err(submitted.refusal.map_or(Problem::Conflict, Problem::from)),
    }
}

fn accepted(id: &AccountId, warnings: Vec<String>) -> Response {
    json(StatusCode::ACCEPTED, &Accepted { account_id: id.to_string(), accepted: true, warnings })
}

/// The id of a delivery, which senders by Standard Webhooks give.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the API document reads it")]
pub struct DeliveryId {
    /// The delivery's id, 1 to 256 printable characters; the same one with other bytes for the account is a conflict.
    /// Beside a signature it is required and has no dot, or the answer is 401.
    #[param(rename = "webhook-id", example = "msg_2a9f", required = false)]
    webhook_id: Option<String>,
}

/// A new account at the company.
#[derive(Debug, utoipa::ToSchema)]
#[schema(example = json!({"account_id": "acct_81", "plan": "growth", "signed_up_at": "2026-01-01T10:00:00-05:00",
    "click": "<cfoil>", "cookie": "<counterfoil cookie>", "code": "jane-10", "active": true,
    "email": "x@y.com", "ip": "203.0.113.9"}))]
#[expect(dead_code, reason = "only the API document reads it")]
pub struct SignupRequest {
    /// The company's name for the account: 1 to 128 of `A-Za-z0-9_.:-`.
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,128}$")]
    pub account_id: String,
    /// The plan, compared in lower case.
    #[schema(min_length = 1, max_length = 64)]
    pub plan: String,
    /// When it signed up: from 2015 to five minutes from now.
    pub signed_up_at: DateTime<Utc>,
    /// The click token that the landing page was given as `cfoil`.
    pub click: Option<String>,
    /// The value of the visitor's cookie.
    pub cookie: Option<String>,
    /// The referral code that the prospect typed.
    pub code: Option<String>,
    /// Whether the signup activates the account; `false`: a trial.
    #[schema(default = true)]
    pub active: Option<bool>,
    /// The prospect's e-mail; only a keyed hash and the domain are kept.
    pub email: Option<String>,
    /// The prospect's address; only a keyed hash is kept.
    pub ip: Option<String>,
}

/// Something that happened to an account.
#[derive(Debug, utoipa::ToSchema)]
#[schema(example = json!({"account_id": "acct_81", "event_id": "evt_9", "type": "plan_changed", "plan": "connect",
    "occurred_at": "2026-04-01T18:00:00-04:00"}))]
#[expect(dead_code, reason = "only the API document reads it")]
pub struct EventRequest {
    /// The account again, as in the path; to be sent wherever a callback is signed.
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,128}$")]
    pub account_id: Option<String>,
    /// Unique for the account: 1 to 128 of `A-Za-z0-9_.:-`.
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,128}$")]
    pub event_id: String,
    /// `activated`, `suspended`, `canceled` or `plan_changed`. Also taken: `reactivated` and `resumed` (as `activated`),
    /// `paused` (`suspended`), `cancelled` (`canceled`), and names that the configuration adds. Any other is refused, unless
    /// the configuration lists it to be kept without effect.
    #[schema(min_length = 1)]
    pub r#type: String,
    /// The new plan, for `plan_changed`.
    #[schema(min_length = 1, max_length = 64)]
    pub plan: Option<String>,
    /// When it happened: from 2015 to five minutes from now.
    pub occurred_at: DateTime<Utc>,
}

/// What was decided about a signup; stays as it was first, whatever staff do later.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SignupAnswer {
    /// The account.
    pub account_id: String,
    /// Whether an affiliate is credited.
    pub attributed: bool,
    /// Which.
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
    /// Why it is credited, or is not.
    pub reason: Reason,
    /// Whether it waits for review.
    pub held: bool,
    /// What the sender may want to correct; absent: nothing. `plan_without_rate`: the plan earns nothing.
    /// `unknown_field:<name>`: an unknown field was ignored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["unknown_field:clik"]))]
    pub warnings: Vec<String>,
}

impl SignupAnswer {
    /// The decision about an account's signup, if there is one.
    pub fn of(account: &Account) -> Option<Self> {
        let decided = account.attribution.as_ref()?;
        Some(Self {
            account_id: account.id.to_string(),
            attributed: decided.affiliate_id.is_some(),
            affiliate_id: decided.affiliate_id,
            link_id: decided.link_id,
            click_id: decided.click_id,
            clicked_at: decided.clicked_at,
            via: decided.via,
            model: decided.model,
            reason: decided.reason,
            held: !decided.holds.is_empty(),
            warnings: account.signup.as_ref().map(|claim| claim.signup.warnings.clone()).unwrap_or_default(),
        })
    }
}

/// Kept on disk; decided when the store is back.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Accepted {
    /// The account.
    pub account_id: String,
    /// Always true.
    pub accepted: bool,
    /// What the sender may want to correct, as in the answer that is decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What became of an event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum EventAnswer {
    /// It counts.
    Taken {
        /// Whether the account is credited to an affiliate; null: its signup has not come yet.
        referred: Option<bool>,
        /// What the sender of this report may want to correct, as for a signup; absent: nothing.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// Its type is one to be ignored: kept, without effect.
    Ignored {
        /// Always true.
        ignored: bool,
    },
}

#[cfg(test)]
mod tests;
