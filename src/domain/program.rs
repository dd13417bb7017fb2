//! The program's rules, as configured: what a month is closed with, and what a signup is judged by.

use super::calendar::Month;
use super::id::Plan;
use super::money::Money;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Whether active days add up over interruptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ActiveDays {
    /// All active days count.
    #[default]
    Cumulative,
    /// The count starts again after an interruption.
    Consecutive,
}

/// Which of a signup's eligible clicks is credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// The latest eligible click.
    #[default]
    LastClick,
    /// The earliest eligible click.
    FirstClick,
}

/// The rates of a month in which an affiliate has at least this many active accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The least number of active accounts at the month's end.
    pub from: u32,
    /// The one-time commission by plan.
    #[serde(deserialize_with = "each_plan_once")]
    pub rates: BTreeMap<Plan, Money>,
}

/// The highest commission that may be configured, in hundredths: far above any real one, and low enough that
/// every total fits into [`Money`].
pub const HIGHEST_RATE_CENTS: i64 = 100_000_000;

/// Reads rates by plan. Plans compare in lower case, so a plan with two spellings is refused.
fn each_plan_once<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Plan, Money>, D::Error> {
    struct EachOnce;
    impl<'de> Visitor<'de> for EachOnce {
        type Value = BTreeMap<Plan, Money>;
        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("rates by plan, like { growth = \"99.00\" }")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut rates = BTreeMap::new();
            while let Some((plan, rate)) = map.next_entry::<Plan, Money>()? {
                if let Some(former) = rates.insert(plan.clone(), rate) {
                    let text = format!("the plan {plan} is listed twice, with {former} and {rate}; keep one");
                    return Err(A::Error::custom(text));
                }
            }
            Ok(rates)
        }
    }
    from.deserialize_map(EachOnce)
}

/// The rules that a month's statements are computed by. A closed month keeps the rules that it was closed
/// with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// IANA name of the zone of days and months.
    pub timezone: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Active days after which an account earns its affiliate a commission; at least 1.
    pub mark_days: u32,
    /// Whether active days add up over interruptions.
    pub active_days: ActiveDays,
    /// Ascending by `from`; the first is from 0.
    pub tiers: Vec<Tier>,
    /// Qualifications before it were settled elsewhere; `None`: all are settled here.
    pub first_month: Option<Month>,
}

impl Rules {
    /// SHA-256 of the rules' canonical JSON, in lower-case hex.
    pub fn hash(&self) -> String {
        // Plain data without maps of non-string keys always serializes.
        let json = serde_json::to_vec(self).expect("rules are plain data");
        hex(&Sha256::digest(json))
    }
    /// The tier of a month that ended with this many active accounts.
    pub fn tier(&self, active_accounts: u32) -> &Tier {
        // `config` refuses a program whose first tier is not from 0.
        self.tiers.iter().rfind(|tier| tier.from <= active_accounts).unwrap_or(&self.tiers[0])
    }
    /// Whether an account on a plan earns anything in the lowest tier; if not, no future day is shown for it.
    pub fn has_rate(&self, plan: &Plan) -> bool {
        self.tier(0).rates.contains_key(plan)
    }
}

/// The rules that a signup is judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributionRules {
    /// How long a click can be credited, in milliseconds.
    pub window_ms: i64,
    /// Which of several eligible clicks is credited.
    pub model: Model,
    /// A signup that follows its click in fewer seconds is held; 0: off.
    pub min_seconds_to_signup: u32,
    /// Signups of an affiliate beyond this number within an hour are held; 0: off.
    pub burst_per_hour: u32,
    /// A signup whose credited click came from a paid ad is held.
    pub paid_ads: bool,
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
