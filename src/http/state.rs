//! What the handlers know beside the request.

use super::auth::ApiKeys;
use super::guard::Measured;
use super::refused::Refusals;
use super::webhook::WebhookSecrets;
use crate::app::App;
use crate::clock::Clock;
use std::sync::Arc;

/// What the handlers know beside the request; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The server's inside, and its configuration.
    pub app: Arc<App>,
    /// The API keys.
    pub keys: Arc<ApiKeys>,
    /// The secrets that callbacks are signed with.
    pub webhooks: Arc<WebhookSecrets>,
    /// Says in the log why a request was refused as not authorized.
    pub refusals: Arc<Refusals>,
    /// Counts what each route answers.
    pub measured: Arc<Measured>,
    /// The clock, where tests and the demo may set it; `None` in production.
    pub settable_clock: Option<Clock>,
}
