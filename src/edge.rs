//! Everything that a node needs to answer a click without calling anything else: where links lead, where
//! records are kept, and the counts of clicks.

pub mod kept;

use crate::domain::affiliate::{Affiliate, Link};
use crate::domain::click::LinkState;
use crate::domain::destination::{AllowList, Destination};
use crate::domain::id::{AffiliateId, LinkId};
use crate::domain::outcome::{ClickDrop, SubDrop, Verdict};
use crate::domain::token::LinkClaim;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Records clicks; in production it is the clicks journal.
pub trait ClickSink: Send + Sync {
    /// Records a click (see `domain::click_record`) before its redirect is sent. It never waits: a click that
    /// can't be recorded at once is dropped with a reason, and its prospect is redirected anyway.
    fn append(&self, record: &[u8]) -> Result<(), ClickDrop>;
}

/// Where a link leads, and whether it earns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The affiliate that owns the link.
    pub affiliate: AffiliateId,
    /// Whether it earns now.
    pub state: LinkState,
    /// Where it leads; `None`: the program's landing page.
    pub destination: Option<Destination>,
}

/// All links that this node knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    links: HashMap<LinkId, Route>,
}

impl Routes {
    /// The routes of a directory. A destination that is no longer allowed is replaced by the landing page; a link
    /// whose affiliate is not known is left out.
    pub fn build<'a>(
        affiliates: impl IntoIterator<Item = &'a Affiliate>,
        links: impl IntoIterator<Item = &'a Link>,
        allowed: &AllowList,
    ) -> Self {
        let affiliates: HashMap<AffiliateId, &Affiliate> =
            affiliates.into_iter().map(|affiliate| (affiliate.id, affiliate)).collect();
        let route = |link: &Link| {
            let affiliate = affiliates.get(&link.affiliate)?;
            Some((link.id, Route::of(link, affiliate, allowed)))
        };
        links.into_iter().filter_map(route).collect()
    }

    /// Adds the links of `earlier` that are missing here. Links are never removed, so the store must have
    /// lost a missing one: until the journal is replayed it leads where it did before.
    #[must_use]
    pub fn with_those_of(mut self, earlier: &Self) -> Self {
        for (link, route) in &earlier.links {
            self.links.entry(*link).or_insert_with(|| route.clone());
        }
        self
    }

    /// The route of a signed link; `None`: not known (yet).
    pub fn find(&self, claim: &LinkClaim) -> Option<&Route> {
        self.links.get(&claim.link).filter(|route| route.affiliate == claim.affiliate)
    }
}

impl FromIterator<(LinkId, Route)> for Routes {
    fn from_iter<T: IntoIterator<Item = (LinkId, Route)>>(routes: T) -> Self {
        Self { links: routes.into_iter().collect() }
    }
}

impl Route {
    fn of(link: &Link, affiliate: &Affiliate, allowed: &AllowList) -> Self {
        use crate::domain::affiliate::Status;
        let state = if affiliate.status() != Status::Active {
            LinkState::AffiliateNotActive
        } else if link.switch.is_off() {
            LinkState::Disabled
        } else {
            LinkState::Known
        };
        let destination = link.destination.as_deref().and_then(|url| allowed.destination(url).ok());
        Self { affiliate: affiliate.id, state, destination }
    }
}

/// Counts of clicks since the process started. With no request in flight, `received` = all `journaled` + all
/// `dropped`.
#[derive(Debug, Default)]
pub struct ClickCounts {
    received: AtomicU64,
    journaled: [AtomicU64; Verdict::ALL.len()],
    dropped: [AtomicU64; ClickDrop::ALL.len()],
    subs_dropped: [AtomicU64; SubDrop::ALL.len()],
}

impl ClickCounts {
    /// A click arrived.
    pub fn receive(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }
    /// A click was kept.
    pub fn journal(&self, verdict: Verdict) {
        self.journaled[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }
    /// A click was not kept.
    pub fn drop_for(&self, reason: ClickDrop) {
        self.dropped[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
    /// Sub ids were not kept; counted by reason.
    pub fn drop_subs(&self, by_reason: &[u32; SubDrop::ALL.len()]) {
        for (counter, count) in self.subs_dropped.iter().zip(by_reason).filter(|(_, count)| **count > 0) {
            counter.fetch_add(u64::from(*count), Ordering::Relaxed);
        }
    }
    /// Clicks that arrived.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
    /// Clicks kept with this verdict.
    pub fn journaled(&self, verdict: Verdict) -> u64 {
        self.journaled[verdict as usize].load(Ordering::Relaxed)
    }
    /// Clicks not kept for this reason.
    pub fn dropped(&self, reason: ClickDrop) -> u64 {
        self.dropped[reason as usize].load(Ordering::Relaxed)
    }
    /// Sub ids not kept for this reason.
    pub fn subs_dropped(&self, reason: SubDrop) -> u64 {
        self.subs_dropped[reason as usize].load(Ordering::Relaxed)
    }
    /// Clicks that were either kept or dropped.
    #[cfg(test)]
    pub fn settled(&self) -> u64 {
        let journaled: u64 = Verdict::ALL.iter().map(|verdict| self.journaled(*verdict)).sum();
        let dropped: u64 = ClickDrop::ALL.iter().map(|reason| self.dropped(*reason)).sum();
        journaled + dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::affiliate::{Profile, Status, StatusChange, Switch};
    use chrono::DateTime;

    fn affiliate(bits: u64, status: Status) -> Affiliate {
        Affiliate {
            id: AffiliateId::from_bits(bits),
            profile: Profile::default(),
            code: "some-code".parse().expect("a code"),
            default_link: LinkId::from_bits(bits),
            history: vec![StatusChange { at: DateTime::UNIX_EPOCH, status, reason: None }],
            exempt_from_holds: false,
            signatures: Vec::new(),
            addresses: crate::domain::affiliate::Addresses::default(),
        }
    }

    fn link(bits: u64, affiliate: u64) -> Link {
        Link {
            id: LinkId::from_bits(bits),
            affiliate: AffiliateId::from_bits(affiliate),
            destination: None,
            label: None,
            created_at: DateTime::UNIX_EPOCH,
            switch: Switch::default(),
        }
    }

    #[test]
    fn routes_say_where_links_lead_and_whether_they_earn() {
        let allowed = AllowList::new(&["www.example.com".to_owned()]).expect("a host");
        let affiliates = [affiliate(1, Status::Active), affiliate(2, Status::Suspended)];
        let mut links = [link(1, 1), link(2, 2), link(3, 1), link(4, 9), link(5, 1)];
        links[2].switch.disabled_at = Some(DateTime::UNIX_EPOCH);
        links[0].destination = Some("https://www.example.com/a".into());
        links[4].destination = Some("https://struck-off.example/".into());
        let routes = Routes::build(&affiliates, &links, &allowed);
        let find = |link, affiliate| {
            let claim =
                LinkClaim { link: LinkId::from_bits(link), affiliate: AffiliateId::from_bits(affiliate) };
            routes
                .find(&claim)
                .map(|route| (route.state, route.destination.as_ref().map(Destination::as_str)))
        };
        assert_eq!(find(1, 1), Some((LinkState::Known, Some("https://www.example.com/a"))));
        assert_eq!(find(2, 2), Some((LinkState::AffiliateNotActive, None)));
        assert_eq!(find(3, 1), Some((LinkState::Disabled, None)));
        assert_eq!(find(5, 1), Some((LinkState::Known, None)));
        assert_eq!((find(4, 9), find(1, 2), find(6, 1)), (None, None, None));
        assert_eq!(routes.links.len(), 4);
    }

    #[test]
    fn a_link_that_the_store_forgot_leads_where_it_did() {
        let allowed = AllowList::new(&["www.example.com".to_owned()]).expect("a host");
        let affiliates = [affiliate(1, Status::Active)];
        let mut links = [link(1, 1), link(2, 1)];
        let before = Routes::build(&affiliates, &links, &allowed);
        assert_eq!(Routes::default().with_those_of(&before), before);
        // The store's data is newer.
        links[0].switch.disabled_at = Some(DateTime::UNIX_EPOCH);
        let after = Routes::build(&affiliates, &links[..1], &allowed).with_those_of(&before);
        let state = |link| after.links.get(&LinkId::from_bits(link)).map(|route| route.state);
        assert_eq!([state(1), state(2)], [Some(LinkState::Disabled), Some(LinkState::Known)]);
    }

    #[test]
    fn counts_are_kept_by_name() {
        let counts = ClickCounts::default();
        for (place, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, place);
            counts.receive();
            counts.journal(*verdict);
        }
        for (place, reason) in ClickDrop::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
            counts.receive();
            counts.drop_for(*reason);
        }
        counts.drop_subs(&[1, 0, 2, 0, 0]);
        let subs: Vec<_> = SubDrop::ALL.iter().map(|reason| counts.subs_dropped(*reason)).collect();
        assert_eq!(subs, [1, 0, 2, 0, 0]);
        assert!(Verdict::ALL.iter().all(|verdict| counts.journaled(*verdict) == 1));
        assert_eq!(counts.received(), counts.settled());
    }
}
