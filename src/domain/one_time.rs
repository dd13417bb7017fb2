//! One-time links: signed, expiring permission to set a password or to confirm an address.
//!
//! Nothing about them is stored. A link names the version of the password that it may replace, and the
//! addresses at the time when it was made: a new password or a changed address is what spends it. Reading a
//! link spends nothing, so that mail scanners may open it.

use super::person::Person;
use super::token::{Keyring, TokenError, Use};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// An affiliate sets its first password.
    Activate,
    /// A person sets a new password.
    Reset,
    /// A member of staff sets its first password.
    InviteStaff,
    /// An affiliate confirms that a new e-mail is its own.
    ConfirmEmail,
    /// An affiliate confirms a new payout address.
    ConfirmPaypal,
}

impl LinkKind {
    /// All purposes.
    pub const ALL: [Self; 5] =
        [Self::Activate, Self::Reset, Self::InviteStaff, Self::ConfirmEmail, Self::ConfirmPaypal];

    /// How long a link is valid.
    pub const fn lifetime(self) -> TimeDelta {
        match self {
            Self::Activate => TimeDelta::days(7),
            Self::Reset => TimeDelta::hours(1),
            Self::InviteStaff | Self::ConfirmEmail | Self::ConfirmPaypal => TimeDelta::days(1),
        }
    }
    /// Whether it sets a password.
    pub const fn sets_password(self) -> bool {
        matches!(self, Self::Activate | Self::Reset | Self::InviteStaff)
    }
    /// The number in tokens; never reused. The first byte of other tokens is 0x11 to 0x14, or 0x31.
    const fn number(self) -> u8 {
        match self {
            Self::Activate => 0x21,
            Self::Reset => 0x22,
            Self::InviteStaff => 0x23,
            Self::ConfirmEmail => 0x24,
            Self::ConfirmPaypal => 0x25,
        }
    }
}

/// What a link allows.
#[derive(Clone, PartialEq, Eq)]
pub struct OneTime {
    /// What it is for.
    pub kind: LinkKind,
    /// The person that it is for.
    pub person: Person,
    /// It is valid before this instant; in whole seconds.
    pub expires_at: DateTime<Utc>,
    /// The generation of the credentials that it was made for; 0: no password was set yet.
    pub credential_version: u32,
    /// A digest of the addresses at that time.
    addresses: [u8; 16],
    /// The address that it confirms.
    pub new_address: Option<String>,
}

impl fmt::Debug for OneTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No address: this may end up in a log.
        out.debug_struct("OneTime")
            .field("purpose", &self.kind)
            .field("person", &self.person)
            .finish_non_exhaustive()
    }
}

/// Why a link is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OneTimeError {
    /// Not one of ours, altered, or signed by a retired key.
    #[error("read the link")]
    Bad,
    /// Too old.
    #[error("use a link that has expired")]
    Expired,
    /// Already used, or a later change made it invalid.
    #[error("use a link twice")]
    Spent,
}

/// The current state, which a link is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present<'a> {
    /// The generation of the person's credentials; 0: no password is set.
    pub credential_version: u32,
    /// The person's e-mail.
    pub email: &'a str,
    /// How often the e-mail was changed or the person was disabled: neither an old address nor a person who
    /// is enabled again makes a spent link valid.
    pub email_changes: u32,
    /// The payout address.
    pub paypal_email: Option<&'a str>,
    /// How often the payout address was changed.
    pub paypal_changes: u32,
}

impl OneTime {
    /// A link made now.
    pub fn new(
        kind: LinkKind,
        person: Person,
        present: Present<'_>,
        new_address: Option<String>,
        now: DateTime<Utc>,
    ) -> Self {
        let expires = (now + kind.lifetime()).timestamp();
        Self {
            kind,
            person,
            // No link lives long enough to reach the end of the calendar.
            expires_at: DateTime::from_timestamp(expires, 0).unwrap_or(now),
            credential_version: present.credential_version,
            addresses: digest(kind, present),
            new_address,
        }
    }

    /// Whether it is still valid.
    pub fn check(&self, present: Present<'_>, now: DateTime<Utc>) -> Result<(), OneTimeError> {
        if now >= self.expires_at {
            return Err(OneTimeError::Expired);
        }
        let same = self.addresses.ct_eq(&digest(self.kind, present));
        if self.credential_version != present.credential_version || !bool::from(same) {
            return Err(OneTimeError::Spent);
        }
        Ok(())
    }

    /// The signed token: safe in an address.
    pub fn sign(&self, keyring: &Keyring) -> String {
        let mut raw = vec![self.kind.number()];
        raw.extend_from_slice(&keyring.current_tag());
        raw.extend_from_slice(&self.person.to_bytes());
        raw.extend_from_slice(&self.expires_at.timestamp().to_be_bytes());
        raw.extend_from_slice(&self.credential_version.to_be_bytes());
        raw.extend_from_slice(&self.addresses);
        raw.extend_from_slice(self.new_address.as_deref().unwrap_or_default().as_bytes());
        let mac = keyring.mac(Use::OneTime, &raw);
        raw.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(raw)
    }

    /// Reads a link's token; whether it is still valid is another question ([`OneTime::check`]).
    pub fn verify(text: &str, keyring: &Keyring) -> Result<Self, OneTimeError> {
        if text.len() > MAX_LETTERS {
            return Err(OneTimeError::Bad);
        }
        let raw = URL_SAFE_NO_PAD.decode(text).map_err(|_| OneTimeError::Bad)?;
        let signed = raw.len().checked_sub(MAC).filter(|len| *len >= FIXED).ok_or(OneTimeError::Bad)?;
        let (claim, mac) = raw.split_at(signed);
        keyring
            .verify_mac(Use::OneTime, [claim[1], claim[2]], claim, mac)
            .map_err(|_: TokenError| OneTimeError::Bad)?;
        Self::read(claim).ok_or(OneTimeError::Bad)
    }

    /// Reads the signed bytes.
    fn read(claim: &[u8]) -> Option<Self> {
        let kind = LinkKind::ALL.into_iter().find(|kind| kind.number() == claim[0])?;
        let person = Person::from_bytes(claim[3..12].try_into().ok()?)?;
        let expires = i64::from_be_bytes(claim[12..20].try_into().ok()?);
        let address = std::str::from_utf8(&claim[FIXED..]).ok()?;
        if address.is_empty() != kind.sets_password() {
            return None;
        }
        Some(Self {
            kind,
            person,
            expires_at: DateTime::from_timestamp(expires, 0)?,
            credential_version: u32::from_be_bytes(claim[20..24].try_into().ok()?),
            addresses: claim[24..FIXED].try_into().ok()?,
            new_address: (!address.is_empty()).then(|| address.to_owned()),
        })
    }
}

/// Purpose, key, kind of person, id, expiry, version, addresses.
const FIXED: usize = 1 + 2 + 1 + 8 + 8 + 4 + 16;
const MAC: usize = 32;
/// The length of a link that confirms an address of 254 bytes.
const MAX_LETTERS: usize = (FIXED + 254 + MAC).div_ceil(3) * 4;

/// A link becomes invalid when its e-mail address changes; a link for the payout address also when that
/// changes.
fn digest(kind: LinkKind, present: Present<'_>) -> [u8; 16] {
    let (paypal, changes) = if kind == LinkKind::ConfirmPaypal {
        (present.paypal_email, present.paypal_changes)
    } else {
        (None, 0)
    };
    let hash = Sha256::new()
        .chain_update(b"counterfoil addresses\n")
        .chain_update(present.email.trim().to_lowercase())
        .chain_update(b"\n")
        .chain_update(paypal.unwrap_or_default().trim().to_lowercase())
        .chain_update(b"\n")
        .chain_update(present.email_changes.to_be_bytes())
        .chain_update(changes.to_be_bytes())
        .finalize();
    let mut cut = [0; 16];
    cut.copy_from_slice(&hash[..16]);
    cut
}

#[cfg(test)]
mod tests;
