//! Tokens: who may call.

use super::answers::Reply;
use super::lies::TokenLie;
use super::{CLIENT_ID, CLIENT_SECRET};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

/// The tokens that were given.
pub(super) struct Tokens {
    good: Vec<(String, DateTime<Utc>)>,
    given: u64,
    pub good_for: TimeDelta,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { good: Vec::new(), given: 0, good_for: TimeDelta::seconds(32_400) }
    }
}

impl Tokens {
    pub fn forget(&mut self) {
        self.good.clear();
    }

    /// Gives a token to who has the app's secret.
    pub fn give(
        &mut self,
        authorization: Option<&str>,
        body: &[u8],
        lie: Option<TokenLie>,
        now: DateTime<Utc>,
    ) -> Reply {
        let refused = json!({"error": "invalid_client", "error_description": "Client Authentication failed"});
        match lie {
            Some(TokenLie::Throttled) => return super::answers::throttled(),
            Some(TokenLie::Refused) => return Reply::Json(401, refused),
            Some(TokenLie::Page) => return Reply::page(200),
            Some(TokenLie::Silence) => return Reply::Silence,
            None => {}
        }
        let expected = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
        if authorization != Some(expected.as_str()) {
            return Reply::Json(401, refused);
        }
        if body != b"grant_type=client_credentials" {
            return Reply::Json(400, json!({"error": "unsupported_grant_type"}));
        }
        self.given += 1;
        let token = format!("A21AA{:020}", self.given);
        self.good.push((token.clone(), now + self.good_for));
        Reply::Json(
            200,
            json!({"scope": "https://uri.paypal.com/payments/payouts", "access_token": token,
                "token_type": "Bearer", "app_id": "APP-1", "expires_in": self.good_for.num_seconds()}),
        )
    }

    pub fn is_good(&self, authorization: Option<&str>, now: DateTime<Utc>) -> bool {
        let token = authorization.and_then(|text| text.strip_prefix("Bearer "));
        token.is_some_and(|token| self.good.iter().any(|(good, until)| good == token && now < *until))
    }
}
