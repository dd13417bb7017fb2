//! The table of routes of a part of the pages: each row says who may come in.

use super::PageState;
use crate::domain::person::{Permission, Role};
use axum::handler::Handler;
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};

/// Who may come in by a route. What somebody wants to do there is permitted, or not, by the fact that it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Everyone.
    Open,
    /// Everyone who is signed in to this part of the pages.
    SignedIn,
    /// Members of staff with one of these permissions.
    Permitted(&'static [Permission]),
}

impl Door {
    /// Whether a member of staff with this role may come in.
    pub fn lets_in(self, role: Role) -> bool {
        match self {
            Self::Open | Self::SignedIn => true,
            Self::Permitted(any) => any.iter().any(|permission| role.may(*permission)),
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, with the names of its variable parts in braces.
    pub path: &'static str,
    /// Who may come in.
    pub door: Door,
}

/// The routes of a part of the pages.
#[derive(Debug, Default)]
pub struct Routes {
    router: Router<PageState>,
    rows: Vec<Route>,
}

impl Routes {
    /// A page that is looked at.
    #[must_use]
    pub fn get<H: Handler<T, PageState>, T: 'static>(self, path: &'static str, door: Door, page: H) -> Self {
        self.add(Route { method: "GET", path, door }, get(page))
    }
    /// A form that is sent.
    #[must_use]
    pub fn post<H: Handler<T, PageState>, T: 'static>(self, path: &'static str, door: Door, act: H) -> Self {
        self.add(Route { method: "POST", path, door }, post(act))
    }
    fn add(mut self, route: Route, handler: MethodRouter<PageState>) -> Self {
        self.rows.push(route);
        // What it extracts of the person who asks looks at the door.
        Self { router: self.router.route(route.path, handler.layer(Extension(route.door))), rows: self.rows }
    }
    /// The rows of the table.
    pub fn rows(&self) -> &[Route] {
        &self.rows
    }
    /// The router that the table makes.
    pub fn into_router(self) -> Router<PageState> {
        self.router
    }
}
