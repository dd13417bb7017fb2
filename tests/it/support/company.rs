//! The company's site: a plans page with a signup form, and the back end that reports the signup.

use super::app::{TestApp, bearer};
use super::{http, tls};
use axum::Router;
use axum::extract::{Form, State};
use axum::response::Html;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Where links lead, by default.
pub const LANDING_HOST: &str = "www.calltrackingmetrics.com";

#[derive(Debug, Clone)]
pub struct Company {
    tracking: SocketAddr,
    internal: SocketAddr,
    signed_up_at: String,
    account: String,
    /// How the plans page loads `counterfoil.js`.
    module: &'static str,
    /// What it does besides.
    script: &'static str,
}

#[derive(Deserialize)]
struct SignupForm {
    account: String,
    cfoil: Option<String>,
}

/// The form knows nothing of `cfoil`: `counterfoil.js` adds it.
async fn plans_page(State(company): State<Arc<Company>>) -> Html<String> {
    let Company { tracking, account, module, script, .. } = &*company;
    Html(format!(
        r#"<!doctype html><title>Plans</title><script {module} src="http://{tracking}/counterfoil.js"></script>
        <form data-counterfoil method="post" action="/signup">
        <input name="account" value="{account}"><button>Join</button></form><script>{script}</script>"#
    ))
}

async fn signup(State(company): State<Arc<Company>>, Form(form): Form<SignupForm>) -> Html<String> {
    let body = json!({"account_id": form.account, "plan": "growth", "signed_up_at": company.signed_up_at,
        "click": form.cfoil});
    let answer = http::post(company.internal, "/v1/signups", &bearer(), body.to_string()).await;
    Html(format!("<!doctype html><title>Welcome</title><p>Welcome aboard: {}", answer.status))
}

impl Company {
    fn of(app: &TestApp, signed_up_at: &str, account: &str) -> Self {
        let (signed_up_at, account) = (signed_up_at.to_owned(), account.to_owned());
        Self { tracking: app.public, internal: app.internal, signed_up_at, account, module: "", script: "" }
    }
    fn router(self) -> Router {
        let router = Router::new().route("/plans", get(plans_page)).route("/signup", post(signup));
        router.with_state(Arc::new(self))
    }
    /// Opens the site as [`LANDING_HOST`]; answers where it is. Who joins gets this account.
    pub async fn opens(app: &TestApp, signed_up_at: &str, account: &str) -> SocketAddr {
        let listener = tls::Listener::bind(LANDING_HOST).await;
        let site = listener.address();
        let router = Self::of(app, signed_up_at, account).router();
        tokio::spawn(axum::serve(listener, router).into_future());
        site
    }
    /// Opens the site without TLS; it loads `counterfoil.js` as a module. `joins`: its plans page presses its own button.
    pub fn opens_plainly(app: &TestApp, at: TcpListener, signed_up_at: &str, account: &str, joins: bool) {
        let script = "addEventListener('load', () => document.querySelector('button').click());";
        let script = if joins { script } else { "" };
        let company = Self { module: "type=\"module\"", script, ..Self::of(app, signed_up_at, account) };
        tokio::spawn(axum::serve(at, company.router()).into_future());
    }
}
