//! An affiliate's way in: applying, being sent a link, signing.

use super::limits::APPLICATIONS_FROM;
use super::{APPLICANT, ActError, App};
use crate::domain::affiliate::{Addresses, Affiliate, Link, Profile, Status, StatusChange, Switch};
use crate::domain::fact::{self, Fact, Record};
use crate::domain::id::{AffiliateId, LinkId, ReferralCode};
use std::net::IpAddr;
use std::sync::Arc;

impl App {
    /// Takes an application in. The answer is given once it is on disk and before anybody looks whether its address
    /// is known, so that neither the answer nor its time tells; the address itself is told by mail.
    pub async fn apply_as_affiliate(&self, profile: Profile, ip: IpAddr) -> Result<(), ActError> {
        if self.ending.stop.is_set() {
            return Err(ActError::Unavailable);
        }
        if self.count_one(&self.by_ip("apply_from", ip, APPLICATIONS_FROM)).await? {
            return Err(ActError::TooMany);
        }
        let (affiliate, link) = self.new_affiliate(profile);
        let fact = Fact::AffiliateCreated(fact::AffiliateCreated { affiliate, link });
        let record = Record { at: self.now(), by: APPLICANT.to_owned(), fact };
        let written = self.append_records(std::slice::from_ref(&record)).await;
        written.map_err(|error| {
            tracing::warn!(%error, "an application was not kept");
            ActError::Unavailable
        })?;
        Ok(())
    }

    fn new_affiliate(&self, profile: Profile) -> (Affiliate, Link) {
        let (id, link, now) = (AffiliateId::random(), LinkId::random(), self.now());
        let directory = self.directory();
        // Another applicant's code would refuse the application after it was taken in.
        let mut codes = std::iter::repeat_with(ReferralCode::random);
        let code = codes.find(|code| directory.by_code(code).is_none()).unwrap_or_else(ReferralCode::random);
        let affiliate = Affiliate {
            id,
            profile,
            code,
            default_link: link,
            history: vec![StatusChange { at: now, status: Status::Applied, reason: None }],
            exempt_from_holds: false,
            signatures: Vec::new(),
            addresses: Addresses::default(),
        };
        let link = Link {
            id: link,
            affiliate: id,
            destination: None,
            label: None,
            created_at: now,
            switch: Switch::default(),
        };
        (affiliate, link)
    }

    /// Sends an affiliate that may sign in a link that sets its password: again after its approval, or for the first
    /// time to one that was brought over from another system.
    pub async fn send_activation(self: &Arc<Self>, by: &str, id: AffiliateId) -> Result<(), ActError> {
        self.act(by, Fact::ActivationSent(fact::ActivationSent { affiliate_id: id })).await?;
        Ok(())
    }
}
