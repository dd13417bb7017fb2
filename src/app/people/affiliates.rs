//! Adding affiliates: by an application, by import from another system, by a link; and changes of their data.

use super::limits::APPLICATIONS_FROM;
use super::{ActError, App};
use crate::app::actor::Actor;
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Addresses, Affiliate, Link, Profile, Status, StatusChange, Switch};
use crate::domain::fact::{ActivationSent, AffiliateChange, AffiliateChanged, AffiliateCreated};
use crate::domain::id::{AffiliateId, LinkId, ReferralCode};
use crate::domain::input::{BadInput, Email, Instant, Line, Name, PaypalEmail, Text, WebSite};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;
use std::sync::Arc;

/// Invalid fields, each with the reason.
type Faults = Vec<(&'static str, BadInput)>;

/// A new affiliate.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Jane Doe", "email": "jane@example.org", "paypal_email": "pay@example.org"}))]
pub struct NewAffiliate {
    /// The person's or company's name.
    #[schema(inline)]
    pub name: Name,
    /// Where mail goes; no other affiliate has it.
    #[schema(inline)]
    pub email: Email,
    /// Company.
    #[schema(inline)]
    pub company: Option<Name>,
    /// Web site, http or https; without a scheme it is https.
    #[schema(inline)]
    pub website: Option<WebSite>,
    /// How it will promote.
    #[schema(inline)]
    pub promotion: Option<Text>,
    /// One of the program's kinds of partner.
    pub partner_type: Option<String>,
    /// Where payouts go; may come later.
    #[schema(inline)]
    pub paypal_email: Option<PaypalEmail>,
    /// The referral code; made up when absent.
    #[schema(value_type = Option<String>, min_length = 3, max_length = 32)]
    pub code: Option<ReferralCode>,
    /// Never hold its referrals for review.
    pub exempt_from_holds: Option<bool>,
    /// Brought over from another system: active at once. Needs `agreement_accepted_at`.
    pub active: Option<bool>,
    /// When it accepted the agreement: it is active from then on.
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub agreement_accepted_at: Option<Instant>,
}

/// What changes of an affiliate. What is absent stays; null clears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"paypal_email": "pay@example.org", "website": null}))]
pub struct ChangedAffiliate {
    /// The name; can't be cleared.
    #[serde(default, deserialize_with = "given")]
    #[schema(inline)]
    pub name: Option<Name>,
    /// Where mail goes; can't be cleared.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Email>, inline)]
    pub email: Option<Line<254>>,
    /// Company.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Name>, inline)]
    pub company: Option<Option<Name>>,
    /// Web site, http or https; without a scheme it is https.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<WebSite>, inline)]
    pub website: Option<Option<WebSite>>,
    /// How it will promote.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Text>, inline)]
    pub promotion: Option<Option<Text>>,
    /// One of the program's kinds of partner.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub partner_type: Option<Option<String>>,
    /// Where payouts go.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<PaypalEmail>, inline)]
    pub paypal_email: Option<Option<Line<254>>>,
    /// Another referral code; the old one stays its own.
    #[schema(value_type = Option<String>, min_length = 3, max_length = 32)]
    pub code: Option<ReferralCode>,
    /// Never hold its referrals for review.
    pub exempt_from_holds: Option<bool>,
}

/// Reads a field that is there: an absent one is `None`, and `null` is a value.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl NewAffiliate {
    /// The affiliate that this creates. `code`: for one that names none.
    pub fn made(
        self,
        now: DateTime<Utc>,
        code: ReferralCode,
        partner_types: &[String],
    ) -> Result<AffiliateCreated, Faults> {
        let is_active = self.active.unwrap_or(false);
        let since = match (is_active, self.agreement_accepted_at) {
            (true, Some(Instant(agreed))) if agreed <= now => agreed,
            (false, None) => now,
            _ => return Err(vec![("agreement_accepted_at", BadInput::NotAgreed)]),
        };
        let partner_type = listed(self.partner_type, None, partner_types);
        let (id, link) = (AffiliateId::random(), LinkId::random());
        let life: &[Status] = if is_active { &LIFE } else { &LIFE[..1] };
        let affiliate = Affiliate {
            id,
            profile: Profile {
                name: self.name.into(),
                email: self.email.into(),
                company: self.company.map(String::from),
                website: self.website.map(String::from),
                promotion: self.promotion.map(String::from),
                partner_type: partner_type.map_err(|fault| vec![("partner_type", fault)])?,
                paypal_email: self.paypal_email.map(String::from),
            },
            code: self.code.unwrap_or(code),
            default_link: link,
            history: life.iter().map(|&status| StatusChange { at: since, status, reason: None }).collect(),
            exempt_from_holds: self.exempt_from_holds.unwrap_or(false),
            signatures: Vec::new(),
            addresses: Addresses::default(),
        };
        let switch = Switch::default();
        let link = Link { id: link, affiliate: id, destination: None, label: None, created_at: now, switch };
        Ok(AffiliateCreated { affiliate, link })
    }
}

/// The steps of an affiliate that is imported.
const LIFE: [Status; 4] = [Status::Applied, Status::Approved, Status::Activated, Status::Active];

impl ChangedAffiliate {
    /// The change of a profile. Values from before are accepted as they are: they may be older than a rule.
    pub fn made_to(self, before: &Profile, partner_types: &[String]) -> Result<AffiliateChange, Faults> {
        let mut faults = Faults::new();
        let mut after = before.clone();
        set(&mut after.name, self.name.map(String::from));
        let email = self.email.map(|typed| changed_email::<254>(&typed, Some(&before.email)));
        set(&mut after.email, email.and_then(|read| or_fault(&mut faults, "email", read)));
        set(&mut after.company, self.company.map(|one| one.map(String::from)));
        set(&mut after.website, self.website.map(|one| one.map(String::from)));
        set(&mut after.promotion, self.promotion.map(|one| one.map(String::from)));
        let kept = before.partner_type.as_deref();
        let partner_type = self.partner_type.map(|one| listed(one, kept, partner_types));
        set(
            &mut after.partner_type,
            partner_type.and_then(|read| or_fault(&mut faults, "partner_type", read)),
        );
        let kept = before.paypal_email.as_deref();
        let paypal =
            self.paypal_email.map(|one| one.map(|typed| changed_email::<127>(&typed, kept)).transpose());
        set(&mut after.paypal_email, paypal.and_then(|read| or_fault(&mut faults, "paypal_email", read)));
        if !faults.is_empty() {
            return Err(faults);
        }
        let profile = (after != *before).then_some(after);
        let before = profile.as_ref().map(|_| before.clone());
        Ok(AffiliateChange { before, profile, code: self.code, exempt_from_holds: self.exempt_from_holds })
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn or_fault<T>(faults: &mut Faults, field: &'static str, read: Result<T, BadInput>) -> Option<T> {
    read.map_err(|fault| faults.push((field, fault))).ok()
}

fn changed_email<const MOST: usize>(typed: &Line<254>, kept: Option<&str>) -> Result<String, BadInput> {
    match typed.as_str() {
        typed if Some(typed) == kept => Ok(typed.to_owned()),
        typed => typed.parse::<crate::domain::input::Address<MOST>>().map(String::from),
    }
}

/// A partner type: one of the program's, or the affiliate's present one.
fn listed(
    typed: Option<String>,
    kept: Option<&str>,
    partner_types: &[String],
) -> Result<Option<String>, BadInput> {
    match typed {
        Some(one) if kept != Some(&one) && !partner_types.contains(&one) => Err(BadInput::NotListed),
        typed => Ok(typed),
    }
}

impl App {
    /// Accepts an application. The answer is given once it is on disk and before the address is looked up, so that
    /// neither the answer nor its duration shows whether the address is known; the address itself gets a mail
    /// about it.
    pub async fn apply_as_affiliate(&self, new: NewAffiliate, ip: IpAddr) -> Result<(), ActError> {
        let fact = self.new_affiliate(new)?;
        if self.count_one(&self.by_ip("apply_from", ip, APPLICATIONS_FROM)).await? {
            return Err(ActError::TooMany);
        }
        self.take_in(&Actor::Applicant, fact.into()).await?;
        Ok(())
    }

    /// A new affiliate, with its default link.
    pub fn new_affiliate(&self, new: NewAffiliate) -> Result<AffiliateCreated, ActError> {
        let made = new.made(self.now(), self.free_code(), &self.config().program.partner_types);
        made.map_err(ActError::Invalid)
    }

    /// A code that no other affiliate has; with a code in use, the application would be refused after it was
    /// accepted.
    fn free_code(&self) -> ReferralCode {
        let directory = self.directory();
        let mut codes = std::iter::repeat_with(ReferralCode::random);
        codes.find(|code| directory.by_code(code).is_none()).unwrap_or_else(ReferralCode::random)
    }

    /// Changes an affiliate. A change without any difference is not recorded: `false`.
    pub async fn change_affiliate(
        self: &Arc<Self>,
        actor: &Actor,
        affiliate_id: AffiliateId,
        changed: ChangedAffiliate,
    ) -> Result<bool, ActError> {
        let directory = self.directory();
        let affiliate =
            directory.affiliate(affiliate_id).ok_or(ActError::Refused(Refusal::UnknownAffiliate))?;
        let change = changed.made_to(&affiliate.profile, &self.config().program.partner_types);
        self.change(actor, affiliate_id, change.map_err(ActError::Invalid)?).await
    }

    /// Accepts a change of an affiliate, if it changes anything.
    pub async fn change(
        self: &Arc<Self>,
        actor: &Actor,
        affiliate_id: AffiliateId,
        change: AffiliateChange,
    ) -> Result<bool, ActError> {
        if change == AffiliateChange::default() {
            return Ok(false);
        }
        self.act(actor, AffiliateChanged { affiliate_id, change }).await.map(|_| true)
    }

    /// Sends an affiliate that may sign in a link that sets its password: again after its approval, or for the
    /// first time to one that was imported from another system.
    pub async fn send_activation(self: &Arc<Self>, actor: &Actor, id: AffiliateId) -> Result<(), ActError> {
        self.act(actor, ActivationSent { affiliate_id: id }).await?;
        Ok(())
    }
}
