//! Members of staff: created by staff who may do so, signed in for the first time by a one-time link.

use super::{ActError, App};
use crate::app::actor::Actor;
use crate::domain::account::Refusal;
use crate::domain::fact::{StaffChanged, StaffCreated, StaffInvited};
use crate::domain::id::StaffId;
use crate::domain::input::{Email, Name};
use crate::domain::one_time::LinkKind;
use crate::domain::person::{Permission, Person, Role, StaffMember};
use serde::Deserialize;
use std::sync::Arc;

/// A new member of staff.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Ann Smith", "email": "ann@example.com", "role": "reviewer"}))]
pub struct NewStaff {
    /// The person's name.
    #[schema(inline)]
    pub name: Name,
    /// What the person signs in with.
    #[schema(inline)]
    pub email: Email,
    /// The role, which says what the person may do.
    pub role: Role,
}

impl App {
    /// All members of staff, oldest first.
    pub fn staff(&self) -> Vec<Arc<StaffMember>> {
        self.directory().staff()
    }

    /// Creates a member of staff; returns it with the link that sets its first password. The link is shown to
    /// nobody else.
    pub async fn create_staff(
        self: &Arc<Self>,
        actor: &Actor,
        new: NewStaff,
    ) -> Result<(StaffMember, String), ActError> {
        let member = StaffMember {
            id: StaffId::random(),
            name: new.name.into(),
            email: new.email.into(),
            role: new.role,
            created_at: self.now(),
            disabled_at: None,
            disablings: 0,
        };
        self.act(actor, StaffCreated { member: member.clone() }).await?;
        let url = self.staff_link(member.id).await?;
        Ok((member, url))
    }

    /// A new link that sets a member's password. The audit log records it, and a member who has a password is
    /// informed.
    pub async fn invite_staff(self: &Arc<Self>, actor: &Actor, id: StaffId) -> Result<String, ActError> {
        self.act(actor, StaffInvited { staff_id: id }).await?;
        self.staff_link(id).await
    }

    async fn staff_link(&self, id: StaffId) -> Result<String, ActError> {
        let url = self.one_time_url(LinkKind::InviteStaff, Person::Staff(id), None).await?;
        url.ok_or(ActError::Refused(Refusal::UnknownStaff))
    }

    /// Gives a member another role, or disables or enables it. Staff can't leave the program without an
    /// administrator; the owner of an API key can, because the key can create another one.
    pub async fn change_staff(
        self: &Arc<Self>,
        actor: &Actor,
        staff_id: StaffId,
        role: Option<Role>,
        disabled: Option<bool>,
    ) -> Result<(), ActError> {
        let is_member = matches!(actor, Actor::Staff(..));
        let all = is_member.then(|| self.staff());
        let admins = all
            .map(|all| all.iter().filter(|one| one.may(Permission::ManageStaff)).map(|one| one.id).collect());
        self.act(actor, StaffChanged { staff_id, role, disabled, admins }).await?;
        Ok(())
    }
}
