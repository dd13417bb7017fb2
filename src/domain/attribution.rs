//! Who is credited with a signup, and why. Pure; the result has the whole trace.
//!
//! Every click that the evidence names is considered once. A click is eligible if it passes all rules of
//! [`RULES`], in this order. The model picks one of the eligible clicks; if there is none, a typed code is
//! tried. The clicks that were considered, and the rule that dropped each, are kept permanently with the
//! decision.

use super::affiliate::{Affiliate, Link};
use super::email::canonical_email;
use super::fact::Signup;
use super::id::{AffiliateId, ClickId, LinkId, ReferralCode};
use super::mail_domains::is_generic;
use super::outcome::{HoldReason, Reason, Verdict, Via};
use super::pepper::Pepper;
use super::program::{AttributionRules, Model};
use super::token::{Click, ClickClaim, VisitorClaim};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// A click up to this long after its signup counts as made at the signup, since the company's clock and ours
/// may differ.
const CLOCK_DIFFERENCE_MS: i64 = 5 * 60 * 1000;

/// The rules that drop a click, in the order in which they are checked.
pub const RULES: [Reason; 5] = [
    Reason::BadSignature,
    Reason::UnknownLink,
    Reason::NotHuman,
    Reason::AffiliateNotActive,
    Reason::OutsideWindow,
];

/// A visit as the store keeps it: a click and its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The click.
    pub click: Click,
    /// Its verdict.
    pub verdict: Verdict,
    /// The link was followed from a paid ad.
    pub paid_ad: bool,
}

/// A click that was considered, and the rule that kept or dropped it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// The evidence that named it, in the order click, cookie, visits.
    pub via: Vec<Via>,
    /// The click; `None` for evidence whose signature failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click_id: Option<ClickId>,
    /// Its affiliate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affiliate_id: Option<AffiliateId>,
    /// Its link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_id: Option<LinkId>,
    /// The time of the click.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clicked_at: Option<DateTime<Utc>>,
    /// The first rule that dropped it; `None`: eligible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Reason>,
}

/// A decision about a signup, with its whole trace. Once journaled, it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution {
    /// Who is credited; `None`: nobody.
    pub affiliate_id: Option<AffiliateId>,
    /// The link of the credited click.
    pub link_id: Option<LinkId>,
    /// The credited click.
    pub click_id: Option<ClickId>,
    /// The time of the credited click.
    pub clicked_at: Option<DateTime<Utc>>,
    /// The evidence that named the credited click.
    pub via: Option<Via>,
    /// The attribution model that was used.
    pub model: Model,
    /// Why it was credited, or was not.
    pub reason: Reason,
    /// Why it waits for review; empty if it does not.
    pub holds: Vec<HoldReason>,
    /// All clicks that were considered, by id; those without an id first.
    pub considered: Vec<Considered>,
    /// The result of the typed code, if one was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Reason>,
    /// The tie-break that was needed, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_break: Option<String>,
}

/// A piece of evidence after its signature was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<T> {
    /// There is none.
    Nothing,
    /// Its signature is not valid.
    Bad,
    /// Its signature is valid.
    Good(T),
}

/// What attribution needs to know about affiliates and links.
pub trait AffiliateLookup {
    /// An affiliate.
    fn affiliate(&self, id: AffiliateId) -> Option<&Affiliate>;
    /// A link.
    fn link(&self, id: LinkId) -> Option<&Link>;
    /// The affiliate with a referral code.
    fn by_code(&self, code: &ReferralCode) -> Option<&Affiliate>;
}

/// Everything that a decision is made from.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The signup.
    pub signup: &'a Signup,
    /// Its click token.
    pub click: Given<ClickClaim>,
    /// Its cookie.
    pub cookie: Given<VisitorClaim>,
    /// The recorded visits of the visitors that click and cookie name, in any order.
    pub visits: &'a [Visit],
    /// The program's rules.
    pub rules: &'a AttributionRules,
    /// Affiliates and links.
    pub directory: &'a dyn AffiliateLookup,
    /// Compares e-mails, which are kept as hashes.
    pub pepper: &'a Pepper,
}

/// Decides who is credited with a signup.
pub fn decide(input: &Input) -> Attribution {
    let clicks = gather(input);
    let mut considered: Vec<Considered> = bad_evidence(input);
    considered.extend(clicks.iter().map(|named| named.considered(input)));
    let eligible: Vec<&Named> = clicks.iter().filter(|named| named.failure(input).is_none()).collect();

    let mut attribution = Attribution {
        affiliate_id: None,
        link_id: None,
        click_id: None,
        clicked_at: None,
        via: None,
        model: input.rules.model,
        reason: Reason::NoEvidence,
        holds: Vec::new(),
        considered,
        code: None,
        tie_break: None,
    };
    if let Some(winner) = pick(&eligible, input) {
        attribution.affiliate_id = Some(winner.click.affiliate);
        attribution.link_id = Some(winner.click.link);
        attribution.click_id = Some(winner.click.id);
        attribution.clicked_at = instant(winner.click.id.millis());
        attribution.via = winner.via.first().copied();
        attribution.reason = Reason::Attributed;
        attribution.tie_break = tie_break(winner, &eligible, input);
    } else {
        credit_by_code(&mut attribution, input);
    }
    attribution.holds = holds(&attribution, input);
    attribution
}

/// Holds a credited signup if its affiliate brought more than `burst_per_hour` signups within the hour, this
/// one included.
pub fn hold_burst(attribution: &mut Attribution, within_hour: u64, rules: &AttributionRules, exempt: bool) {
    let too_many = rules.burst_per_hour > 0 && within_hour > u64::from(rules.burst_per_hour);
    if too_many && !exempt && attribution.affiliate_id.is_some() {
        attribution.holds.push(HoldReason::Burst);
    }
}

/// A click with the evidence that names it.
struct Named {
    click: Click,
    via: Vec<Via>,
    /// The recorded verdict. A click that is known by its token only was a person's: no other click gets a
    /// token.
    verdict: Option<Verdict>,
}

impl Named {
    /// The first rule that drops the click.
    ///
    /// A recorded verdict about the link counts under the link's rule and not under "a person clicked": a
    /// disabled link is not known, an affiliate that was not active is not active.
    fn failure(&self, input: &Input) -> Option<Reason> {
        let link = input.directory.link(self.click.link);
        let switched_off = self.verdict == Some(Verdict::LinkDisabled);
        if switched_off || link.is_none_or(|link| link.affiliate != self.click.affiliate) {
            return Some(Reason::UnknownLink);
        }
        let not_active = self.verdict == Some(Verdict::AffiliateNotActive);
        if !not_active && self.verdict.is_some_and(|verdict| !verdict.is_human()) {
            return Some(Reason::NotHuman);
        }
        let affiliate = input.directory.affiliate(self.click.affiliate);
        let was_active = affiliate.is_some_and(|affiliate| {
            self.made_at(input).is_some_and(|made_at| affiliate.was_active_at(made_at))
                && affiliate.was_active_at(input.signup.signed_up_at)
        });
        if not_active || !was_active {
            return Some(Reason::AffiliateNotActive);
        }
        let age_ms = input.signup.signed_up_at.timestamp_millis() - self.made_ms(input);
        (!(0..=input.rules.window_ms).contains(&age_ms)).then_some(Reason::OutsideWindow)
    }
    /// The time that counts: a click shortly after the signup counts as made at the signup.
    fn made_at(&self, input: &Input) -> Option<DateTime<Utc>> {
        let signed_up_at = input.signup.signed_up_at;
        let after_ms = self.click.id.millis() - signed_up_at.timestamp_millis();
        if (0..=CLOCK_DIFFERENCE_MS).contains(&after_ms) {
            Some(signed_up_at)
        } else {
            instant(self.click.id.millis())
        }
    }
    /// The time that counts, in Unix milliseconds.
    fn made_ms(&self, input: &Input) -> i64 {
        self.made_at(input).map_or(i64::MAX, |made_at| made_at.timestamp_millis())
    }
    fn considered(&self, input: &Input) -> Considered {
        Considered {
            via: self.via.clone(),
            click_id: Some(self.click.id),
            affiliate_id: Some(self.click.affiliate),
            link_id: Some(self.click.link),
            clicked_at: instant(self.click.id.millis()),
            dropped: self.failure(input),
        }
    }
}

/// Every click that the evidence names, once each, by id.
fn gather(input: &Input) -> Vec<Named> {
    let mut named: BTreeMap<ClickId, Named> = BTreeMap::new();
    let mut add = |click: Click, via, verdict: Option<Verdict>| {
        let known = named.entry(click.id).or_insert(Named { click, via: Vec::new(), verdict: None });
        if !known.via.contains(&via) {
            known.via.push(via);
        }
        known.verdict = known.verdict.or(verdict);
    };
    if let Given::Good(claim) = input.click {
        add(claim.click, Via::Click, None);
    }
    if let Given::Good(claim) = input.cookie {
        add(claim.first, Via::Cookie, None);
        add(claim.last, Via::Cookie, None);
    }
    for visit in input.visits {
        add(visit.click, Via::Visits, Some(visit.verdict));
    }
    named.into_values().collect()
}

/// Evidence with a bad signature is listed as a click that was dropped.
fn bad_evidence(input: &Input) -> Vec<Considered> {
    let bad = [(Via::Click, input.click == Given::Bad), (Via::Cookie, input.cookie == Given::Bad)];
    let considered = |via| Considered {
        via: vec![via],
        click_id: None,
        affiliate_id: None,
        link_id: None,
        clicked_at: None,
        dropped: Some(Reason::BadSignature),
    };
    bad.into_iter().filter(|(_, is_bad)| *is_bad).map(|(via, _)| considered(via)).collect()
}

/// The eligible click that the model credits; of clicks made at the same instant, the one with the greater id.
fn pick<'a>(eligible: &[&'a Named], input: &Input) -> Option<&'a Named> {
    let chosen = eligible.iter().copied();
    match input.rules.model {
        Model::LastClick => chosen.max_by_key(|named| (named.made_ms(input), named.click.id)),
        Model::FirstClick => {
            chosen.min_by_key(|named| (named.made_ms(input), std::cmp::Reverse(named.click.id)))
        }
    }
}

fn tie_break(winner: &Named, eligible: &[&Named], input: &Input) -> Option<String> {
    let at_once = eligible.iter().filter(|named| named.made_ms(input) == winner.made_ms(input)).count();
    (at_once > 1).then(|| format!("{at_once} clicks at the same instant: the greatest id"))
}

/// Without an eligible click: tries the typed code, otherwise sets the reason why nobody is credited.
fn credit_by_code(attribution: &mut Attribution, input: &Input) {
    let furthest = attribution.considered.iter().filter_map(|considered| considered.dropped);
    let by_clicks = furthest.max_by_key(|reason| RULES.iter().position(|rule| rule == reason));
    if let Some(typed) = input.signup.evidence.code.as_deref().filter(|typed| !typed.trim().is_empty()) {
        let affiliate = typed.parse().ok().and_then(|code: ReferralCode| input.directory.by_code(&code));
        attribution.code = Some(match affiliate {
            None => Reason::UnknownCode,
            Some(affiliate) if !affiliate.was_active_at(input.signup.signed_up_at) => {
                Reason::AffiliateNotActive
            }
            Some(affiliate) => {
                attribution.affiliate_id = Some(affiliate.id);
                attribution.via = Some(Via::Code);
                Reason::Attributed
            }
        });
    }
    attribution.reason = match (attribution.affiliate_id, by_clicks, attribution.code) {
        (Some(_), ..) => Reason::Attributed,
        (None, Some(reason), _) | (None, None, Some(reason)) => reason,
        (None, None, None) => Reason::NoEvidence,
    };
}

/// Why a credited signup waits for review. Suspicion alone never rejects a signup.
fn holds(attribution: &Attribution, input: &Input) -> Vec<HoldReason> {
    let affiliate = attribution.affiliate_id.and_then(|id| input.directory.affiliate(id));
    let Some(affiliate) = affiliate.filter(|affiliate| !affiliate.exempt_from_holds) else {
        return Vec::new();
    };
    let evidence = &input.signup.evidence;
    let own =
        || [Some(&affiliate.profile.email), affiliate.profile.paypal_email.as_ref()].into_iter().flatten();
    // Signups that were reported to an older version have the hash of the address as it was typed.
    let is_own = |hash: &String| {
        own().any(|email| [input.pepper.mailbox(email), input.pepper.email(email)].contains(hash))
    };
    let is_own_domain =
        |domain: &String| !is_generic(domain) && own().any(|email| domain_of(email).as_ref() == Some(domain));
    let too_fast = attribution.clicked_at.is_some_and(|clicked_at| {
        let took = input.signup.signed_up_at.timestamp_millis() - clicked_at.timestamp_millis();
        took < i64::from(input.rules.min_seconds_to_signup) * 1000
    });
    let by_ad =
        input.visits.iter().any(|visit| visit.paid_ad && Some(visit.click.id) == attribution.click_id);
    [
        (HoldReason::SelfReferral, evidence.email_hash.as_ref().is_some_and(is_own)),
        (HoldReason::SameDomain, evidence.email_domain.as_ref().is_some_and(is_own_domain)),
        (HoldReason::TooFast, input.rules.min_seconds_to_signup > 0 && too_fast),
        (HoldReason::PaidAd, input.rules.paid_ads && by_ad),
    ]
    .into_iter()
    .filter(|(_, found)| *found)
    .map(|(hold, _)| hold)
    .collect()
}

/// The domain of an e-mail address in the form that is kept: lower case.
pub fn domain_of(email: &str) -> Option<String> {
    let email = canonical_email(email);
    let (_, domain) = email.rsplit_once('@')?;
    (!domain.is_empty()).then(|| domain.to_lowercase())
}

fn instant(millis: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis)
}
