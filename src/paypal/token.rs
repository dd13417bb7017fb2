//! The token that PayPal wants with each call: kept until shortly before its end, renewed by one caller at a time.

use super::BadSettings;
use super::wire::{Call, Wire, WireError};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::HeaderValue;
use serde::Deserialize;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// A token is renewed so long before its end, or when nine tenths of its time are over.
const SPARE: Duration = Duration::from_mins(5);
/// How long a token is kept that does not say how long it is good for.
const UNSAID: Duration = Duration::from_mins(1);
/// No token is good for longer.
const LONGEST: Duration = Duration::from_hours(24);

/// A token, as PayPal gave it.
#[derive(Clone)]
pub(super) struct Token {
    bearer: HeaderValue,
    /// Which of our tokens it is.
    number: u64,
}

impl Token {
    pub(super) fn authorization(&self) -> HeaderValue {
        self.bearer.clone()
    }
}

struct Held {
    token: Token,
    until: Instant,
}

/// Our tokens: the present one is kept.
pub(super) struct Tokens {
    credentials: HeaderValue,
    held: Mutex<Option<Held>>,
}

#[derive(Deserialize)]
struct Grant {
    access_token: Secret,
    expires_in: Option<u64>,
}

impl Tokens {
    pub(super) fn new(client_id: &str, client_secret: &Secret) -> Result<Self, BadSettings> {
        if client_id.is_empty() || client_id.contains(':') || client_secret.expose().is_empty() {
            return Err(BadSettings::Credentials);
        }
        let pair = STANDARD.encode(format!("{client_id}:{}", client_secret.expose()));
        let credentials = sensitive(&format!("Basic {pair}")).ok_or(BadSettings::Credentials)?;
        Ok(Self { credentials, held: Mutex::new(None) })
    }

    /// A token; `but_not`: one that PayPal does not know any longer. Who comes while another asks waits for that answer.
    pub(super) async fn get(&self, wire: &Wire, but_not: Option<&Token>) -> Result<Token, String> {
        let mut held = self.held.lock().await;
        let refused = but_not.map(|token| token.number);
        if let Some(held) = &*held
            && held.until > Instant::now()
            && Some(held.token.number) != refused
        {
            return Ok(held.token.clone());
        }
        let number = held.as_ref().map_or(0, |held| held.token.number) + 1;
        let new = self.ask(wire, number).await?;
        let token = new.token.clone();
        *held = Some(new);
        Ok(token)
    }

    async fn ask(&self, wire: &Wire, number: u64) -> Result<Held, String> {
        let call = Call::form(wire.url(&["v1", "oauth2", "token"]), "grant_type=client_credentials");
        let asked = Instant::now();
        let sent = wire.send(&call, Some(self.credentials.clone())).await;
        let answer = sent.map_err(|error| match error {
            WireError::NotSent(text) | WireError::Lost(text) => format!("no token: {text}"),
        })?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err("no token: PayPal does not know the client id and secret".to_owned());
            }
            StatusCode::TOO_MANY_REQUESTS => {
                return Err("no token: PayPal wants fewer requests".to_owned());
            }
            status => return Err(format!("no token: PayPal answered {}", status.as_u16())),
        }
        let unreadable = || "no token: PayPal's answer can't be read".to_owned();
        let grant: Grant = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
        let bearer = sensitive(&format!("Bearer {}", grant.access_token.expose())).ok_or_else(unreadable)?;
        Ok(Held { token: Token { bearer, number }, until: asked + kept_for(grant.expires_in) })
    }
}

/// How long a token is used.
fn kept_for(seconds: Option<u64>) -> Duration {
    let whole = seconds.map_or(UNSAID, Duration::from_secs).min(LONGEST);
    whole.saturating_sub(SPARE.min(whole / 10))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_its_end() {
        for (said, kept) in
            [(Some(32_400), 32_100), (Some(100), 90), (Some(0), 0), (None, 54), (Some(u64::MAX), 86_100)]
        {
            assert_eq!(kept_for(said).as_secs(), kept, "{said:?}");
        }
    }

    #[test]
    fn the_secret_is_in_no_debug() {
        let tokens = Tokens::new("app", &Secret::new("word")).expect("credentials");
        assert!(!format!("{:?}", tokens.credentials).contains("YXBw"));
        for (id, secret) in [("", "word"), ("app", ""), ("a:b", "word")] {
            assert_eq!(Tokens::new(id, &Secret::new(secret)).err(), Some(BadSettings::Credentials));
        }
    }
}
