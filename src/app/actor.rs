//! Who acts. The kinds of facts say what each actor may do.

use crate::domain::id::{AffiliateId, StaffId};
use crate::domain::person::{Permission, Person, Role};
use std::sync::Arc;

/// Who submits a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A program of the company with an API key of scope `admin`, by the key's name: it may do what an administrator may.
    Key(Arc<str>),
    /// A program of the company with an API key that only reads, by the key's name: it may hand in nothing.
    Reader(Arc<str>),
    /// The company's signup flow, by the name of its key: it reports signups and events.
    SignupFlow(Arc<str>),
    /// A member of staff.
    Staff(StaffId, Role),
    /// An affiliate.
    Affiliate(AffiliateId),
    /// A person who has no account yet.
    Applicant,
    /// The server itself. The name is recorded: its own, or that of the person whose act it completes.
    Server(Arc<str>),
}

/// The name under which the server's own acts are recorded.
pub(crate) const SERVER: &str = "counterfoil";
/// The name under which the acts of people who have no account yet are recorded.
pub(crate) const APPLICANT: &str = "applicant";

impl Actor {
    /// The server itself.
    pub fn server() -> Self {
        Self::Server(SERVER.into())
    }
    /// The name that is recorded with what it does.
    pub fn name(&self) -> String {
        match self {
            Self::Key(name) | Self::Reader(name) | Self::SignupFlow(name) | Self::Server(name) => {
                name.to_string()
            }
            Self::Staff(id, _) => id.to_string(),
            Self::Affiliate(id) => id.to_string(),
            Self::Applicant => APPLICANT.to_owned(),
        }
    }
    /// Whether it may do what takes a permission of staff.
    pub const fn may(&self, permission: Permission) -> bool {
        match self {
            Self::Key(_) | Self::Server(_) => true,
            Self::Staff(_, role) => role.may(permission),
            Self::Reader(_) | Self::SignupFlow(_) | Self::Affiliate(_) | Self::Applicant => false,
        }
    }
    /// Whether it is this person, or the server on this person's behalf.
    pub fn is(&self, person: impl Into<Person>) -> bool {
        match (self, person.into()) {
            (Self::Server(_), _) => true,
            (Self::Affiliate(id), Person::Affiliate(one)) => *id == one,
            (Self::Staff(id, _), Person::Staff(one)) => *id == one,
            _ => false,
        }
    }
    /// Whether it may report what happens to accounts.
    pub const fn reports(&self) -> bool {
        matches!(self, Self::Key(_) | Self::SignupFlow(_))
    }
    /// Whether it is the server itself.
    pub const fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}
