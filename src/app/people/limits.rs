//! How often somebody may try, counted in the store under keyed hashes for a window of time.

use super::App;
use crate::domain::id::LinkId;
use crate::domain::pepper::Hashed;
use crate::store::StoreError;
use std::net::{IpAddr, Ipv6Addr};

/// A limit: this many within this time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) most: u64,
    pub(super) window_ms: u64,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// Failed sign-ins for an account, and from an address.
pub(super) const FAILURES_ON_ACCOUNT: Limit = Limit { most: 10, window_ms: 15 * MINUTE };
pub(super) const FAILURES_FROM: Limit = Limit { most: 100, window_ms: 15 * MINUTE };
/// The same for a browser with which the person has signed in before, and for all browsers of a person.
pub(super) const FAILURES_OF_BROWSER: Limit = Limit { most: 10, window_ms: 15 * MINUTE };
pub(super) const FAILURES_OF_BROWSERS: Limit = Limit { most: 50, window_ms: 15 * MINUTE };
/// Applications from an address.
pub(super) const APPLICATIONS_FROM: Limit = Limit { most: 20, window_ms: HOUR };
/// Mails for a forgotten password: to an address, within less than half of a link's lifetime; requested by
/// browsers with which the person has signed in before; requested from an address.
pub(super) const FORGOTTEN_BY: Limit = Limit { most: 1, window_ms: 15 * MINUTE };
pub(super) const FORGOTTEN_BY_BROWSER: Limit = Limit { most: 3, window_ms: HOUR };
pub(super) const FORGOTTEN_FROM: Limit = Limit { most: 30, window_ms: HOUR };
/// Changes of addresses that an affiliate requests.
pub(super) const CHANGES_OF: Limit = Limit { most: 5, window_ms: 24 * HOUR };
/// Claims that an affiliate files.
pub(super) const CLAIMS_OF: Limit = Limit { most: 20, window_ms: 24 * HOUR };

/// What is counted; its name in the store shows neither e-mail nor address.
#[derive(Debug, Clone)]
pub(super) struct Counted(String, Limit);

impl App {
    /// Counts by e-mail, in the same way whether the account exists or not.
    pub(super) fn by_email(&self, what: &str, email: &str, limit: Limit) -> Counted {
        Counted(format!("{what}:{}", self.settings.pepper.email(email)), limit)
    }
    /// Counts by address; for IPv6, by network.
    pub(super) fn by_ip(&self, what: &str, ip: IpAddr, limit: Limit) -> Counted {
        let network = network_of(ip).to_string();
        let hash = self.settings.pepper.keyed_hash(Hashed::Ip, network.as_bytes());
        Counted(format!("{what}:{hash}"), limit)
    }
    /// Counts by a person who is signed in.
    pub(super) fn by_id(what: &str, id: &impl ToString, limit: Limit) -> Counted {
        Counted(format!("{what}:{}", id.to_string()), limit)
    }

    /// Whether the limit is reached. Checking counts once, but never pushes the count over the limit for another.
    pub(super) async fn is_used_up(&self, counted: &Counted) -> Result<bool, StoreError> {
        let Counted(key, limit) = counted;
        let count = self.store.count_in_window(key, "look", self.clock.millis(), limit.window_ms).await?;
        Ok(count > limit.most)
    }
    /// Counts one; returns whether it is one too many.
    pub(super) async fn count_one(&self, counted: &Counted) -> Result<bool, StoreError> {
        Ok(self.count_another(counted).await? > counted.1.most)
    }
    /// Whether one more is allowed; then it is counted. A refused request is not counted, so it does not delay the
    /// next one.
    pub(super) async fn take_one(&self, counted: &Counted) -> Result<bool, StoreError> {
        if self.is_used_up(counted).await? {
            return Ok(false);
        }
        // Of many requests that saw the same count, only as many as allowed pass, since checking counts too.
        Ok(self.count_another(counted).await? <= counted.1.most + 1)
    }
    async fn count_another(&self, Counted(key, limit): &Counted) -> Result<u64, StoreError> {
        let one = LinkId::random().to_string();
        self.store.count_in_window(key, &one, self.clock.millis(), limit.window_ms).await
    }
}

/// A customer of a provider has at least a /64 of IPv6.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_customer_count_together() {
        let table = [
            ("203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ];
        for (ip, network) in table {
            let ip: IpAddr = ip.parse().expect("a literal");
            assert_eq!(network_of(ip).to_string(), network, "{ip}");
        }
    }
}
