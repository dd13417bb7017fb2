//! Decides about signups: verifies the evidence's signatures, reads the visitors' visits, applies the rule.

use super::App;
use super::actor::SERVER;
use super::directory::Directory;
use crate::domain::account::Reservation;
use crate::domain::affiliate::{Affiliate, Link};
use crate::domain::attribution::{self, Given, Input, Visit, decide, hold_burst};
use crate::domain::fact::{self, Fact, Record};
use crate::domain::id::{AffiliateId, LinkId, ReferralCode, VisitorId};
use crate::domain::token::{ClickClaim, TokenError, VisitorClaim};
use crate::store::{Log, Partition, Result, StoreError};
use std::collections::BTreeMap;

const HOUR_MS: u64 = 3_600_000;

impl attribution::AffiliateLookup for Directory {
    fn affiliate(&self, id: AffiliateId) -> Option<&Affiliate> {
        Self::affiliate(self, id).map(AsRef::as_ref)
    }
    fn link(&self, id: LinkId) -> Option<&Link> {
        Self::link(self, id).map(AsRef::as_ref)
    }
    fn by_code(&self, code: &ReferralCode) -> Option<&Affiliate> {
        Self::by_code(self, code).map(AsRef::as_ref)
    }
}

/// A signup's evidence after its signatures were checked.
struct CheckedEvidence {
    click: Given<ClickClaim>,
    cookie: Given<VisitorClaim>,
}

impl CheckedEvidence {
    fn visitors(&self) -> impl Iterator<Item = VisitorId> {
        let by_click = match self.click {
            Given::Good(claim) => Some(claim.visitor),
            _ => None,
        };
        let by_cookie = match self.cookie {
            Given::Good(claim) => Some(claim.visitor),
            _ => None,
        };
        by_click.into_iter().chain(by_cookie)
    }
}

impl App {
    /// Decides about reserved signups. The caller journals the decisions.
    pub(super) async fn decide(&self, claims: &[Reservation]) -> Result<Vec<Record>> {
        let evidence: Vec<CheckedEvidence> = claims.iter().map(|claim| self.check_evidence(claim)).collect();
        let mut visitors: Vec<VisitorId> = evidence.iter().flat_map(CheckedEvidence::visitors).collect();
        visitors.sort_unstable();
        visitors.dedup();
        let visits = self.all_visits(&visitors).await?;
        let visits: BTreeMap<VisitorId, Vec<Visit>> = visitors.into_iter().zip(visits).collect();
        // The evidence may name an affiliate that another node has just added.
        self.follow_directory().await?;
        let mut decisions = Vec::with_capacity(claims.len());
        for (claim, evidence) in claims.iter().zip(&evidence) {
            decisions.push(self.decide_one(claim, evidence, &visits).await?);
        }
        Ok(decisions)
    }

    /// The visits of visitors, including all that this node brought to the store. It is an error if the store has
    /// just lost some of them.
    async fn all_visits(&self, visitors: &[VisitorId]) -> Result<Vec<Vec<Visit>>> {
        if visitors.is_empty() {
            return Ok(Vec::new());
        }
        let (doubts, (_, applied)) = (self.doubts_about_clicks(), self.positions(Log::Clicks));
        let visits = self.store.visits(visitors).await?;
        let cursors = self.store.cursors(self.node, Log::Clicks).await?;
        let mut hashed = cursors.iter().filter(|(partition, _)| *partition != Partition::Directory);
        let has_all = hashed.all(|(_, cursor)| cursor.position >= applied);
        if has_all && self.clicks_are_in() && doubts == self.doubts_about_clicks() {
            return Ok(visits);
        }
        self.doubt_clicks();
        Err(StoreError::Unavailable(
            "the store lost clicks; signups are decided when the clicks are back".to_owned(),
        ))
    }

    async fn decide_one(
        &self,
        claim: &Reservation,
        evidence: &CheckedEvidence,
        visits: &BTreeMap<VisitorId, Vec<Visit>>,
    ) -> Result<Record> {
        let directory = self.directory();
        let rules = self.attribution_rules();
        let known = evidence.visitors().filter_map(|visitor| visits.get(&visitor)).flatten();
        let visits: Vec<Visit> = known.copied().collect();
        let mut attribution = decide(&Input {
            signup: &claim.signup,
            click: evidence.click,
            cookie: evidence.cookie,
            visits: &visits,
            rules,
            directory: &*directory,
            pepper: &self.settings().pepper,
        });
        if let Some(affiliate) = attribution.affiliate_id.filter(|_| rules.burst_per_hour > 0) {
            let at = claim.signup.signed_up_at.timestamp_millis();
            let key = format!("burst:{affiliate}");
            let account = claim.signup.account_id.as_str();
            let within_hour = self.store.count_in_window(&key, account, at, HOUR_MS).await?;
            let exempt = directory.affiliate(affiliate).is_some_and(|affiliate| affiliate.exempt_from_holds);
            hold_burst(&mut attribution, within_hour, rules, exempt);
        }
        let fact = Fact::Decision(fact::Decision {
            signup: claim.signup.clone(),
            received_at: claim.origin.at,
            signup_position: claim.origin.position,
            attribution,
        });
        Ok(Record { at: self.now(), by: SERVER.to_owned(), fact })
    }

    fn check_evidence(&self, claim: &Reservation) -> CheckedEvidence {
        let evidence = &claim.signup.evidence;
        CheckedEvidence {
            click: given(evidence.click.as_deref(), |text| self.keyring.verify_click(text)),
            cookie: given(evidence.cookie.as_deref(), |text| self.keyring.verify_visitor(text)),
        }
    }
}

fn given<T>(text: Option<&str>, verify: impl FnOnce(&str) -> std::result::Result<T, TokenError>) -> Given<T> {
    match text.map(str::trim).filter(|text| !text.is_empty()) {
        None => Given::Nothing,
        Some(text) => verify(text).map_or(Given::Bad, Given::Good),
    }
}
