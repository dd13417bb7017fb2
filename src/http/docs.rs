//! `/docs`: the API document as one page for people; it loads nothing else.

use super::openapi::DOCUMENT;
use axum::response::{Html, IntoResponse, Response};
use http::header::CONTENT_SECURITY_POLICY;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, HtmlEscape, UndefinedBehavior};
use std::sync::LazyLock;

static PAGE: LazyLock<String> = LazyLock::new(|| render(&DOCUMENT));

/// `GET /docs`.
pub async fn page() -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(PAGE.as_str())).into_response()
}

fn render(document: &serde_json::Value) -> String {
    let mut environment = Environment::new();
    // What an operation or a shape does not have is left out.
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.add_filter("prose", prose);
    environment.add_filter("pretty", |value: Value| format!("{:#}", serde_json::json!(value)));
    let template = include_str!("../../templates/api/docs.html");
    // A test renders the one document that there is.
    environment.render_named_str("docs.html", template, Value::from(Serde(document))).unwrap_or_default()
}

/// Text with code between backticks.
fn prose(text: Option<&str>) -> Value {
    let parts = text.unwrap_or_default().split('`').enumerate();
    let html = parts.map(|(place, part)| match (place % 2, HtmlEscape(part)) {
        (1, code) => format!("<code>{code}</code>"),
        (_, words) => words.to_string(),
    });
    Value::from_safe_string(html.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_operation_and_loads_nothing() {
        let page = render(&DOCUMENT);
        for path in DOCUMENT["paths"].as_object().expect("paths").keys() {
            let escaped = minijinja::HtmlEscape(path).to_string();
            assert!(page.contains(&escaped), "{path}");
        }
        for outside in ["http://", "https://", "<script", "<img", "<link", "@import"] {
            let shown = page.replace("https://www.calltrackingmetrics.com", "");
            assert!(!shown.contains(outside), "{outside}");
        }
    }

    #[test]
    fn what_a_document_says_is_never_markup() {
        let hostile =
            serde_json::json!({"info": {"title": "<b>\"&", "version": "1", "description": "`<i>` <u>"}});
        let page = render(&hostile);
        assert!(page.contains("&lt;b&gt;&quot;&amp;"));
        assert!(page.contains("<code>&lt;i&gt;</code> &lt;u&gt;"));
    }
}
