//! Members of staff: who may sign in to the staff's pages, and as what.

use super::paging::{Paging, page_of};
use super::{Act, Nothing, answer};
use crate::app::actor::Actor;
use crate::app::people::NewStaff;
use crate::domain::id::StaffId;
use crate::domain::person::{Role, StaffMember};
use crate::http::answer::{List, json, ok};
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::PageParams;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};

/// Creates a member of staff.
///
/// The answer holds a one-time link that sets its first password: it is shown here and nowhere else.
#[utoipa::path(
    post, path = "/v1/staff", tag = "staff",
    request_body(content = NewStaff, description = "Who"),
    responses(
        (status = 201, body = Invitation, description = "Made"),
        (status = 202, body = super::Deferred, description = "Kept; made when the store is back: invite it then"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`email_taken`"),
    )
)]
pub async fn create(act: Act<(), NewStaff>) -> Result<Response, Problem> {
    let email = act.asked.email.clone();
    answer(act.state.app.create_staff(&act.actor, act.asked).await, &email, async |(member, url)| {
        Ok(json(StatusCode::CREATED, &Invitation::of(&member, url)))
    })
    .await
}

/// Lists members of staff, oldest first.
#[utoipa::path(
    get, path = "/v1/staff", tag = "staff",
    params(Paging),
    responses((status = 200, body = List<StaffView>, description = "A page"))
)]
pub async fn list(State(state): State<ApiState>, page: PageParams) -> Result<Response, Problem> {
    let page = page_of(state.app.staff(), &page, |one| one.id)?;
    Ok(ok(&List::of(page, |one| StaffView::of(&one))))
}

/// Gives a member of staff another role.
#[utoipa::path(
    patch, path = "/v1/staff/{staff_id}", tag = "staff",
    request_body(content = ChangedStaff, description = "What changes"),
    responses((status = 200, body = StaffView, description = "The member as it is now"), super::Later)
)]
pub async fn change(act: Act<StaffId, ChangedStaff>) -> Result<Response, Problem> {
    changed(&act.state, &act.actor, act.at, Some(act.asked.role), None).await
}

/// Creates a one-time link that sets a member's password; earlier ones stay valid until one is used.
///
/// It is on record, and a member that has a password already is told by mail.
#[utoipa::path(
    post, path = "/v1/staff/{staff_id}/invite", tag = "staff",
    request_body(content = super::Nothing, description = "Nothing"),
    responses((status = 200, body = Invitation, description = "Its link"))
)]
pub async fn invite(act: Act<StaffId, Nothing>) -> Result<Response, Problem> {
    let member = act.state.app.directory().staff_member(act.at).cloned().ok_or(Problem::UnknownStaff)?;
    let url = act.state.app.invite_staff(&act.actor, act.at).await?;
    Ok(ok(&Invitation::of(&member, url)))
}

/// Disables a member of staff: no more sign-in; sessions and unused links end.
#[utoipa::path(
    post, path = "/v1/staff/{staff_id}/disable", tag = "staff",
    request_body(content = super::Nothing, description = "Nothing"),
    responses((status = 200, body = StaffView, description = "The member as it is now"), super::Later)
)]
pub async fn disable(act: Act<StaffId, Nothing>) -> Result<Response, Problem> {
    changed(&act.state, &act.actor, act.at, None, Some(true)).await
}

/// Enables a disabled member of staff.
#[utoipa::path(
    post, path = "/v1/staff/{staff_id}/enable", tag = "staff",
    request_body(content = super::Nothing, description = "Nothing"),
    responses((status = 200, body = StaffView, description = "The member as it is now"), super::Later)
)]
pub async fn enable(act: Act<StaffId, Nothing>) -> Result<Response, Problem> {
    changed(&act.state, &act.actor, act.at, None, Some(false)).await
}

async fn changed(
    state: &ApiState,
    actor: &Actor,
    id: StaffId,
    role: Option<Role>,
    disabled: Option<bool>,
) -> Result<Response, Problem> {
    answer(state.app.change_staff(actor, id, role, disabled).await, &id, async |()| {
        let member = state.app.directory().staff_member(id).cloned().ok_or(Problem::UnknownStaff)?;
        Ok(ok(&StaffView::of(&member)))
    })
    .await
}

/// What changes of a member of staff.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedStaff {
    /// What it may do.
    pub role: Role,
}

/// A member of staff, as shown.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StaffView {
    /// Its id.
    #[schema(value_type = String, example = "stf_0a1b2c3d4e5f6")]
    pub id: StaffId,
    /// The person's name.
    pub name: String,
    /// What the person signs in with.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was disabled; null: it can sign in.
    pub disabled_at: Option<DateTime<Utc>>,
}

impl StaffView {
    fn of(member: &StaffMember) -> Self {
        Self {
            id: member.id,
            name: member.name.clone(),
            email: member.email.clone(),
            role: member.role,
            created_at: member.created_at,
            disabled_at: member.disabled_at,
        }
    }
}

/// A member of staff with the link that sets its password.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Invitation {
    /// Who.
    #[serde(flatten)]
    pub member: StaffView,
    /// The link: whoever has it sets the password, once, within a day.
    pub one_time_url: String,
}

impl Invitation {
    fn of(member: &StaffMember, one_time_url: String) -> Self {
        Self { member: StaffView::of(member), one_time_url }
    }
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Invitation").field("member", &self.member.id).finish_non_exhaustive()
    }
}
