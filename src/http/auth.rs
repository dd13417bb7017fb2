//! Who is asking: bearer API keys, and what each may do.

use super::error::Problem;
use super::refused::Cause;
use super::state::ApiState;
use super::webhook::only;
use crate::app::actor::Actor;
use crate::config::{ApiKey, Scope};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Method};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name that facts are recorded under.
    pub name: Arc<str>,
    /// What it may do.
    pub scopes: Arc<[Scope]>,
}

impl Caller {
    /// Whether it may act in one of these roles.
    pub fn may(&self, scopes: &[Scope]) -> bool {
        self.scopes.iter().any(|scope| scopes.contains(scope))
    }
}

/// All API keys; of each only its digest is kept.
#[derive(Debug, Default)]
pub struct ApiKeys {
    keys: Vec<([u8; 32], Caller)>,
}

impl ApiKeys {
    /// Takes the configured keys.
    pub fn new(keys: impl IntoIterator<Item = ApiKey>) -> Self {
        let keyed = |key: ApiKey| {
            let caller = Caller { name: key.name.into(), scopes: key.scopes.into() };
            (Sha256::digest(key.key.expose().as_bytes()).into(), caller)
        };
        Self { keys: keys.into_iter().map(keyed).collect() }
    }

    /// The caller with the bearer key of these headers: exactly one `Authorization`, and a key of ours.
    ///
    /// The digests of all keys are compared, each in constant time: how long it takes tells nothing.
    pub fn caller(&self, headers: &HeaderMap) -> Result<&Caller, Cause> {
        let value = only(headers, "authorization")?;
        let (scheme, key) = value.split_at_checked(b"Bearer ".len()).ok_or(Cause::NotBearer)?;
        if !scheme.eq_ignore_ascii_case(b"Bearer ") || key.is_empty() {
            return Err(Cause::NotBearer);
        }
        let digest: [u8; 32] = Sha256::digest(key).into();
        let found = self.keys.iter().fold(None, |found, (known, caller)| {
            bool::from(known.ct_eq(&digest)).then_some(caller).or(found)
        });
        found.ok_or(Cause::UnknownKey)
    }

    /// The same, of a caller who may act in one of these roles.
    pub fn caller_for(&self, headers: &HeaderMap, scopes: &[Scope]) -> Result<&Caller, Cause> {
        let caller = self.caller(headers)?;
        if caller.may(scopes) { Ok(caller) } else { Err(Cause::MissingScope(Arc::clone(&caller.name))) }
    }
}

/// Lets staff's programs in: `admin` everywhere, `read` where nothing changes.
pub async fn staff_only(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let allowed: &[Scope] = if reads { &[Scope::Admin, Scope::Read] } else { &[Scope::Admin] };
    let caller = state.keys.caller_for(request.headers(), allowed);
    let caller = caller.map_err(|cause| state.refusals.refuse(&cause))?.clone();
    let actor = if caller.may(&[Scope::Admin]) { Actor::Key } else { Actor::Reader };
    request.extensions_mut().insert(actor(caller.name));
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use http::HeaderValue;
    use http::header::AUTHORIZATION;

    fn keys() -> ApiKeys {
        let key = |name: &str, key: &str, scope| ApiKey {
            name: name.into(),
            key: Secret::new(key),
            scopes: vec![scope],
        };
        ApiKeys::new([
            key("staff", "secret-staff-key", Scope::Admin),
            key("flow", "secret-flow-key", Scope::Callback),
            key("report", "secret-report-key", Scope::Read),
        ])
    }

    fn name_for(values: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).expect("a header's value"));
        }
        keys().caller(&headers).ok().map(|caller| caller.name.to_string())
    }

    #[test]
    fn a_bearer_key_names_its_caller() {
        assert_eq!(name_for(&[b"Bearer secret-staff-key"]).as_deref(), Some("staff"));
        assert_eq!(name_for(&[b"bearer secret-flow-key"]).as_deref(), Some("flow"));
        assert_eq!(name_for(&[b"BEARER secret-report-key"]).as_deref(), Some("report"));
    }

    #[test]
    fn anything_else_names_nobody() {
        let values: &[&[u8]] = &[
            b"",
            b"Bearer",
            b"Bearer ",
            b"Bearer  secret-staff-key",
            b"Bearer secret-staff-key ",
            b"Bearer secret-staff-ke",
            b"Bearer secret-staff-keyy",
            b"Bearer SECRET-STAFF-KEY",
            b"Bearer staff",
            b"Bearer secret-staff-key,secret-flow-key",
            b"Basic c3RhZmY6c2VjcmV0LXN0YWZmLWtleQ==",
            b"secret-staff-key",
            b"Bearer\tsecret-staff-key",
            b"Bearer \xff\xfe",
        ];
        for value in values {
            assert_eq!(name_for(&[value]), None, "{}", String::from_utf8_lossy(value));
        }
        assert_eq!(name_for(&[]), None);
        assert_eq!(name_for(&[b"Bearer secret-staff-key", b"Bearer secret-staff-key"]), None, "twice");
    }

    #[test]
    fn a_scope_is_no_other() {
        let caller = |scopes: &[Scope]| Caller { name: "x".into(), scopes: scopes.into() };
        assert!(caller(&[Scope::Read, Scope::Callback]).may(&[Scope::Admin, Scope::Callback]));
        assert!(!caller(&[Scope::Callback]).may(&[Scope::Admin, Scope::Read]));
        assert!(!caller(&[]).may(&[Scope::Admin, Scope::Callback, Scope::Read]));
    }

    #[test]
    fn a_key_that_is_refused_has_its_cause() {
        let keys = keys();
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            keys.caller_for(&headers, &[Scope::Admin]).map(|caller| caller.name.to_string())
        };
        let table: [(&[&'static str], Cause); 5] = [
            (&[], Cause::MissingHeader("authorization")),
            (&["Bearer secret-staff-key", "Bearer x"], Cause::DoubleHeader("authorization")),
            (&["Basic x"], Cause::NotBearer),
            (&["Bearer x"], Cause::UnknownKey),
            (&["Bearer secret-flow-key"], Cause::MissingScope("flow".into())),
        ];
        for (values, cause) in table {
            assert!(!cause.to_string().contains("secret"), "{cause}");
            assert_eq!(with(values), Err(cause));
        }
        assert_eq!(with(&["Bearer secret-staff-key"]), Ok("staff".to_owned()));
    }

    #[test]
    fn keys_are_never_printed() {
        assert!(!format!("{:?}", keys()).contains("secret"));
    }
}
