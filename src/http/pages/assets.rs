//! The style sheet and the script: named by what they say, so that browsers may keep them permanently.

use super::{PageError, answer};
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const CSS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/assets/app.css"));
const JS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/assets/app.js"));

static CSS_NAME: LazyLock<String> = LazyLock::new(|| name("css", CSS));
static JS_NAME: LazyLock<String> = LazyLock::new(|| name("js", JS));

fn name(extension: &str, text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    format!("app-{}.{extension}", crate::domain::program::hex(&digest[..6]))
}

/// The name of the style sheet.
pub fn css() -> &'static str {
    &CSS_NAME
}
/// The name of the script.
pub fn js() -> &'static str {
    &JS_NAME
}

/// One of the two.
pub async fn file(Path(name): Path<String>) -> Result<Response, PageError> {
    let (media_type, text) = match name.as_str() {
        name if name == css() => ("text/css; charset=utf-8", CSS),
        name if name == js() => ("text/javascript; charset=utf-8", JS),
        _ => return Err(PageError::NotFound),
    };
    let long = [(CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((long, answer(StatusCode::OK, media_type, text)).into_response())
}
