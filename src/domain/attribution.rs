//! Who is credited with a signup, and why: pure, with its whole trace.
//!
//! Every click that the evidence names is considered once. A click is eligible if it passes all rules of
//! [`RULES`], in their order; the model picks one of the eligible; without one, a typed code is tried. What was
//! considered, and which rule dropped it, is kept with the decision for ever.

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

/// A click so much after its signup is taken as made at it: the company's clock and ours may differ.
const CLOCK_DIFFERENCE_MS: i64 = 5 * 60 * 1000;

/// The rules that drop a click, in the order in which they are asked.
pub const RULES: [Reason; 5] = [
    Reason::BadSignature,
    Reason::UnknownLink,
    Reason::NotHuman,
    Reason::AffiliateNotActive,
    Reason::OutsideWindow,
];

/// A visit as the store remembers it: a click and what it was judged to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The click.
    pub click: Click,
    /// What it was judged to be.
    pub verdict: Verdict,
}

/// A click that was considered, and the rule that kept or dropped it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// Which evidence named it, in the order click, cookie, visits.
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
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clicked_at: Option<DateTime<Utc>>,
    /// `None`: eligible; else the first rule that dropped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Reason>,
}

/// A decision about a signup, with its whole trace. Once journaled it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution {
    /// Who is credited; `None`: nobody.
    pub affiliate_id: Option<AffiliateId>,
    /// Through which link.
    pub link_id: Option<LinkId>,
    /// Through which click.
    pub click_id: Option<ClickId>,
    /// When that was made.
    pub clicked_at: Option<DateTime<Utc>>,
    /// Which evidence named it.
    pub via: Option<Via>,
    /// The model that chose.
    pub model: Model,
    /// Why it was credited, or was not.
    pub reason: Reason,
    /// Why it waits for review; empty: it does not.
    pub holds: Vec<HoldReason>,
    /// All clicks considered, in the order of their ids; those without one first.
    pub considered: Vec<Considered>,
    /// What became of the typed code, if one was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Reason>,
    /// The tie-break that was needed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_break: Option<String>,
}

/// A piece of evidence after its signature was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<T> {
    /// None was given.
    Nothing,
    /// It is not ours, or was altered.
    Bad,
    /// It is ours.
    Good(T),
}

/// Affiliates and links, as far as attribution asks for them.
pub trait Directory {
    /// An affiliate.
    fn affiliate(&self, id: AffiliateId) -> Option<&Affiliate>;
    /// A link.
    fn link(&self, id: LinkId) -> Option<&Link>;
    /// The affiliate with a referral code.
    fn by_code(&self, code: &ReferralCode) -> Option<&Affiliate>;
}

/// All that a decision is made from.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The signup.
    pub signup: &'a Signup,
    /// Its click token.
    pub click: Given<ClickClaim>,
    /// Its cookie.
    pub cookie: Given<VisitorClaim>,
    /// The recorded visits of the visitors that those name, in any order.
    pub visits: &'a [Visit],
    /// The program's rules.
    pub rules: &'a AttributionRules,
    /// Who is who.
    pub directory: &'a dyn Directory,
    /// Compares e-mails that are kept as hashes.
    pub pepper: &'a Pepper,
}

/// Decides whom a signup is credited to.
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

/// Holds a credited signup when its affiliate brought more than `burst_per_hour` within the hour, this one
/// included.
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
    /// As recorded. A click known by a token only was judged human: others are given none.
    verdict: Option<Verdict>,
}

impl Named {
    /// The first rule that drops the click.
    ///
    /// A recorded verdict about the link fails the rule that it is about, and not the one that asks for a
    /// person: a link switched off is not known, an affiliate that was not active is not active.
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
    /// When it counts as made: shortly after the signup is at the signup.
    fn made_at(&self, input: &Input) -> Option<DateTime<Utc>> {
        let signed_up_at = input.signup.signed_up_at;
        let after_ms = self.click.id.millis() - signed_up_at.timestamp_millis();
        if (0..=CLOCK_DIFFERENCE_MS).contains(&after_ms) {
            Some(signed_up_at)
        } else {
            instant(self.click.id.millis())
        }
    }
    /// The same, in Unix milliseconds.
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

/// Every click that the evidence names, once, by id.
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

/// Evidence whose signature failed counts as a click that got nowhere.
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

/// Without an eligible click: the typed code, else the reason why nobody is credited.
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

/// Why a credited signup waits for review. Suspicion never rejects by itself.
fn holds(attribution: &Attribution, input: &Input) -> Vec<HoldReason> {
    let affiliate = attribution.affiliate_id.and_then(|id| input.directory.affiliate(id));
    let Some(affiliate) = affiliate.filter(|affiliate| !affiliate.exempt_from_holds) else {
        return Vec::new();
    };
    let evidence = &input.signup.evidence;
    let own =
        || [Some(&affiliate.profile.email), affiliate.profile.paypal_email.as_ref()].into_iter().flatten();
    let is_own = |hash: &String| own().any(|email| input.pepper.email(email) == *hash);
    let is_own_domain =
        |domain: &String| !is_generic(domain) && own().any(|email| domain_of(email).as_ref() == Some(domain));
    let too_fast = attribution.clicked_at.is_some_and(|clicked_at| {
        let took = input.signup.signed_up_at.timestamp_millis() - clicked_at.timestamp_millis();
        took < i64::from(input.rules.min_seconds_to_signup) * 1000
    });
    [
        (HoldReason::SelfReferral, evidence.email_hash.as_ref().is_some_and(is_own)),
        (HoldReason::SameDomain, evidence.email_domain.as_ref().is_some_and(is_own_domain)),
        (HoldReason::TooFast, input.rules.min_seconds_to_signup > 0 && too_fast),
    ]
    .into_iter()
    .filter(|(_, found)| *found)
    .map(|(hold, _)| hold)
    .collect()
}

/// The domain of an e-mail address in the form that is kept, in lower case.
pub fn domain_of(email: &str) -> Option<String> {
    let email = canonical_email(email);
    let (_, domain) = email.rsplit_once('@')?;
    (!domain.is_empty()).then(|| domain.to_lowercase())
}

fn instant(millis: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis)
}
