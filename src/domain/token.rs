//! Signed tokens: link, click and visitor, one format.
//!
//! | bytes | meaning |
//! | ---: | --- |
//! | 1 | the version (high four bits: 1) and the kind (low four bits) |
//! | 2 | the tag of the key: the first bytes of the SHA-256 of its name |
//! | 16, 48 or 80 | the claim: ids, big-endian |
//! | 16 | HMAC-SHA-256 of all the bytes before, cut to 16 |
//!
//! | kind | claim | characters |
//! | --- | --- | ---: |
//! | 1 link | affiliate, link | 47 |
//! | 2 click | click, affiliate, link, visitor | 90 |
//! | 3 visitor with only one click | visitor, click, affiliate, link | 90 |
//! | 4 visitor | visitor, first click, affiliate, link, last click, affiliate, link | 132 |
//!
//! Written in URL-safe base64 without padding; any other spelling is refused. Each purpose has a signing key
//! of its own, derived from the named key, so that a token of one purpose is not valid for another. The
//! claims of kinds 1 to 3 fit one block of the hash: signing costs two compressions.
//!
//! Links and cookies live longer than any process. A change of this format takes a new version; a reader that
//! meets an unknown version refuses the token, and its prospect is sent to the landing page.

use super::id::{AffiliateId, ClickId, LinkId, VisitorId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// The content of a link's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkClaim {
    /// The affiliate that owns the link.
    pub affiliate: AffiliateId,
    /// The link.
    pub link: LinkId,
}

/// A click, as its token names it; its time is in its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Click {
    /// The click.
    pub id: ClickId,
    /// The affiliate that owns the link.
    pub affiliate: AffiliateId,
    /// The link.
    pub link: LinkId,
}

/// The content of a click token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClickClaim {
    /// The click.
    pub click: Click,
    /// Who made it.
    pub visitor: VisitorId,
}

/// The content of a visitor's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitorClaim {
    /// The browser.
    pub visitor: VisitorId,
    /// Its first click.
    pub first: Click,
    /// Its last click.
    pub last: Click,
}

/// Characters of a link's token.
pub const LINK_LETTERS: usize = 47;
/// Characters of a click token.
pub const CLICK_LETTERS: usize = 90;
/// Characters of the longest visitor token.
pub const VISITOR_LETTERS: usize = 132;

const VERSION: u8 = 1 << 4;
const HEADER: usize = 3;
const MAC: usize = 16;
const CLICK: usize = 32;
const MAX_RAW: usize = HEADER + 80 + MAC;
/// A key shorter than the hash's output would be the weakest part of the signature.
const MIN_KEY: usize = 32;

/// Why keys can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key that signs is not among the keys.
    #[error("find the current key {0:?} among the keys")]
    NoCurrent(String),
    /// The key that signs is retired.
    #[error("sign by the retired key {0:?}")]
    CurrentRetired(String),
    /// A key is shorter than 32 bytes.
    #[error("use the key {0:?}: it has fewer than 32 bytes")]
    Short(String),
    /// Two keys have one name, or names with the same tag.
    #[error("tell the keys {0:?} and {1:?} apart: rename one of them")]
    SameTag(String, String),
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not have the length of a token, or is not base64 as we write it.
    #[error("read the token")]
    Malformed,
    /// The version is not known.
    #[error("read a token of an unknown version")]
    UnknownVersion,
    /// A token for another purpose.
    #[error("take a token of another purpose")]
    OtherPurpose,
    /// The key was never one of ours.
    #[error("find the token's key")]
    UnknownKey,
    /// The key was revoked on purpose.
    #[error("take a token of a retired key")]
    RetiredKey,
    /// It was altered or forged.
    #[error("verify the token's signature")]
    BadSignature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Link = 1,
    Click = 2,
    NewVisitor = 3,
    Visitor = 4,
}

impl Kind {
    const fn claim_bytes(self) -> usize {
        match self {
            Self::Link => 16,
            Self::Click | Self::NewVisitor => 16 + CLICK,
            Self::Visitor => 16 + 2 * CLICK,
        }
    }
    const fn header(self) -> u8 {
        VERSION | self as u8
    }
}

type Tag = [u8; 2];

/// A named key, as the keys derived from it; the key itself is not kept.
struct Key {
    tag: Tag,
    link: Hmac<Sha256>,
    click: Hmac<Sha256>,
    visitor: Hmac<Sha256>,
    one_time: Hmac<Sha256>,
    known_browser: Hmac<Sha256>,
}

/// Purposes of tokens whose format is defined in another module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A one-time link.
    OneTime,
    /// A browser that has signed in before.
    KnownBrowser,
}

impl Key {
    fn derive(name: &str, secret: &[u8]) -> Self {
        Self {
            tag: tag(name),
            link: subkey(secret, b"counterfoil token link"),
            click: subkey(secret, b"counterfoil token click"),
            visitor: subkey(secret, b"counterfoil token visitor"),
            one_time: subkey(secret, b"counterfoil token one-time"),
            known_browser: subkey(secret, b"counterfoil token known browser"),
        }
    }
    const fn for_use(&self, purpose: Use) -> &Hmac<Sha256> {
        match purpose {
            Use::OneTime => &self.one_time,
            Use::KnownBrowser => &self.known_browser,
        }
    }
    const fn of(&self, kind: Kind) -> &Hmac<Sha256> {
        match kind {
            Kind::Link => &self.link,
            Kind::Click => &self.click,
            Kind::NewVisitor | Kind::Visitor => &self.visitor,
        }
    }
}

/// The keys that sign and verify tokens. The current one signs; all verify, except retired ones.
///
/// It holds derived keys only, which are wiped from memory when it is dropped; the code that reads the
/// secrets wipes those.
pub struct Keyring {
    current: Key,
    others: Vec<Key>,
    retired: Vec<Tag>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Keyring").field("keys", &(self.others.len() + 1)).finish_non_exhaustive()
    }
}

impl Keyring {
    /// Keys by name. `current` signs; tokens of the names in `retired` are refused, whether their key is
    /// still given or not.
    pub fn new(current: &str, keys: &[(String, Vec<u8>)], retired: &[String]) -> Result<Self, KeyError> {
        if let Some((name, _)) = keys.iter().find(|(_, secret)| secret.len() < MIN_KEY) {
            return Err(KeyError::Short(name.clone()));
        }
        if retired.iter().any(|name| name == current) {
            return Err(KeyError::CurrentRetired(current.to_owned()));
        }
        refuse_equal_tags(keys, retired)?;
        let (_, secret) = keys
            .iter()
            .find(|(name, _)| name == current)
            .ok_or_else(|| KeyError::NoCurrent(current.to_owned()))?;
        let others = keys.iter().filter(|(name, _)| name != current && !retired.contains(name));
        Ok(Self {
            current: Key::derive(current, secret),
            others: others.map(|(name, secret)| Key::derive(name, secret)).collect(),
            retired: retired.iter().map(|name| tag(name)).collect(),
        })
    }

    /// A link's token.
    pub fn sign_link(&self, claim: &LinkClaim) -> String {
        self.seal_link(claim).text()
    }
    /// A click's token.
    #[cfg(test)]
    pub fn sign_click(&self, claim: &ClickClaim) -> String {
        self.seal_click(claim).text()
    }
    /// A visitor's token.
    #[cfg(test)]
    pub fn sign_visitor(&self, claim: &VisitorClaim) -> String {
        self.seal_visitor(claim).text()
    }

    /// Appends a click's token; allocates nothing if `out` has room.
    pub fn write_click(&self, claim: &ClickClaim, out: &mut Vec<u8>) {
        self.seal_click(claim).write(out);
    }
    /// Appends a visitor's token; allocates nothing if `out` has room.
    pub fn write_visitor(&self, claim: &VisitorClaim, out: &mut Vec<u8>) {
        self.seal_visitor(claim).write(out);
    }

    /// Reads a link's token.
    pub fn verify_link(&self, text: &str) -> Result<LinkClaim, TokenError> {
        let opened = self.open(text, |kind| kind == Kind::Link)?;
        let mut claim = opened.claim();
        Ok(LinkClaim { affiliate: claim.affiliate(), link: claim.link() })
    }
    /// Reads a click token.
    pub fn verify_click(&self, text: &str) -> Result<ClickClaim, TokenError> {
        let opened = self.open(text, |kind| kind == Kind::Click)?;
        let mut claim = opened.claim();
        Ok(ClickClaim { click: claim.click(), visitor: claim.visitor() })
    }
    /// Reads a visitor's token.
    pub fn verify_visitor(&self, text: &str) -> Result<VisitorClaim, TokenError> {
        let opened = self.open(text, |kind| matches!(kind, Kind::NewVisitor | Kind::Visitor))?;
        let mut claim = opened.claim();
        let (visitor, first) = (claim.visitor(), claim.click());
        let last = if opened.kind == Kind::NewVisitor { first } else { claim.click() };
        Ok(VisitorClaim { visitor, first, last })
    }

    /// The tag of the key that signs.
    pub(super) const fn current_tag(&self) -> Tag {
        self.current.tag
    }
    /// The full MAC of a claim by the current key.
    pub(super) fn mac(&self, purpose: Use, claim: &[u8]) -> [u8; 32] {
        self.current.for_use(purpose).clone().chain_update(claim).finalize().into_bytes().into()
    }
    /// Whether a claim has the MAC of the key with this tag.
    pub(super) fn verify_mac(
        &self,
        purpose: Use,
        tag: Tag,
        claim: &[u8],
        given: &[u8],
    ) -> Result<(), TokenError> {
        let key = self.key(tag)?.for_use(purpose);
        let expected = key.clone().chain_update(claim).finalize().into_bytes();
        if bool::from(expected.ct_eq(given)) { Ok(()) } else { Err(TokenError::BadSignature) }
    }

    fn seal_link(&self, claim: &LinkClaim) -> Sealed {
        let mut sealed = Sealed::begin(Kind::Link, self.current.tag);
        sealed.put(&claim.affiliate.bits().to_be_bytes());
        sealed.put(&claim.link.bits().to_be_bytes());
        sealed.finish(&self.current.link)
    }
    fn seal_click(&self, claim: &ClickClaim) -> Sealed {
        let mut sealed = Sealed::begin(Kind::Click, self.current.tag);
        sealed.put_click(&claim.click);
        sealed.put(claim.visitor.0.as_bytes());
        sealed.finish(&self.current.click)
    }
    fn seal_visitor(&self, claim: &VisitorClaim) -> Sealed {
        let kind = if claim.first == claim.last { Kind::NewVisitor } else { Kind::Visitor };
        let mut sealed = Sealed::begin(kind, self.current.tag);
        sealed.put(claim.visitor.0.as_bytes());
        sealed.put_click(&claim.first);
        if kind == Kind::Visitor {
            sealed.put_click(&claim.last);
        }
        sealed.finish(&self.current.visitor)
    }

    /// Checks, in this order: characters, version, purpose, length, key, signature.
    fn open(&self, text: &str, wanted: impl Fn(Kind) -> bool) -> Result<Opened, TokenError> {
        let mut raw = [0u8; MAX_RAW];
        // A longer text does not fit, and is refused like any text that is not a token.
        let len = URL_SAFE_NO_PAD.decode_slice(text, &mut raw).map_err(|_| TokenError::Malformed)?;
        if len < HEADER + MAC {
            return Err(TokenError::Malformed);
        }
        if raw[0] & 0xf0 != VERSION {
            return Err(TokenError::UnknownVersion);
        }
        let kinds = [Kind::Link, Kind::Click, Kind::NewVisitor, Kind::Visitor];
        let kind = kinds.into_iter().find(|kind| kind.header() == raw[0] && wanted(*kind));
        let kind = kind.ok_or(TokenError::OtherPurpose)?;
        let signed = HEADER + kind.claim_bytes();
        if len != signed + MAC {
            return Err(TokenError::Malformed);
        }
        let expected = mac(self.key([raw[1], raw[2]])?.of(kind), &raw[..signed]);
        if bool::from(expected.ct_eq(&raw[signed..len])) {
            Ok(Opened { kind, raw })
        } else {
            Err(TokenError::BadSignature)
        }
    }

    fn key(&self, tag: Tag) -> Result<&Key, TokenError> {
        if self.current.tag == tag {
            return Ok(&self.current);
        }
        let missing =
            if self.retired.contains(&tag) { TokenError::RetiredKey } else { TokenError::UnknownKey };
        self.others.iter().find(|key| key.tag == tag).ok_or(missing)
    }
}

/// A token that is being written.
struct Sealed {
    raw: [u8; MAX_RAW],
    len: usize,
}

impl Sealed {
    fn begin(kind: Kind, tag: Tag) -> Self {
        let mut sealed = Self { raw: [0; MAX_RAW], len: 0 };
        sealed.put(&[kind.header(), tag[0], tag[1]]);
        sealed
    }
    fn put(&mut self, bytes: &[u8]) {
        self.raw[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
    fn put_click(&mut self, click: &Click) {
        self.put(click.id.0.as_bytes());
        self.put(&click.affiliate.bits().to_be_bytes());
        self.put(&click.link.bits().to_be_bytes());
    }
    fn finish(mut self, key: &Hmac<Sha256>) -> Self {
        let mac = mac(key, &self.raw[..self.len]);
        self.put(&mac);
        self
    }
    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.raw[..self.len])
    }
    fn write(&self, out: &mut Vec<u8>) {
        let mut text = [0u8; VISITOR_LETTERS];
        // The longest token has exactly this length.
        let len = URL_SAFE_NO_PAD.encode_slice(&self.raw[..self.len], &mut text).expect("there is room");
        out.extend_from_slice(&text[..len]);
    }
}

/// A token whose signature is valid.
struct Opened {
    kind: Kind,
    raw: [u8; MAX_RAW],
}

impl Opened {
    fn claim(&self) -> Claim<'_> {
        Claim(&self.raw[HEADER..])
    }
}

/// Reads a claim's ids in the order in which they were written; `open` has checked that they are there.
struct Claim<'a>(&'a [u8]);

impl Claim<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (bytes, rest) = self.0.split_at(N);
        self.0 = rest;
        let mut taken = [0; N];
        taken.copy_from_slice(bytes);
        taken
    }
    fn affiliate(&mut self) -> AffiliateId {
        AffiliateId::from_bits(u64::from_be_bytes(self.take()))
    }
    fn link(&mut self) -> LinkId {
        LinkId::from_bits(u64::from_be_bytes(self.take()))
    }
    fn visitor(&mut self) -> VisitorId {
        VisitorId(Uuid::from_bytes(self.take()))
    }
    fn click(&mut self) -> Click {
        let id = ClickId(Uuid::from_bytes(self.take()));
        Click { id, affiliate: self.affiliate(), link: self.link() }
    }
}

fn tag(name: &str) -> Tag {
    let hash = Sha256::digest(name);
    [hash[0], hash[1]]
}

fn refuse_equal_tags(keys: &[(String, Vec<u8>)], retired: &[String]) -> Result<(), KeyError> {
    let given: Vec<&String> = keys.iter().map(|(name, _)| name).collect();
    // A retired key may still be given; then it is the same key.
    let gone = retired.iter().filter(|name| !given.contains(name));
    let names: Vec<&String> = given.iter().copied().chain(gone).collect();
    for (place, name) in names.iter().enumerate() {
        if let Some(other) = names[..place].iter().find(|other| tag(other) == tag(name)) {
            return Err(KeyError::SameTag((*other).clone(), (*name).clone()));
        }
    }
    Ok(())
}

fn mac(key: &Hmac<Sha256>, message: &[u8]) -> [u8; MAC] {
    let whole = key.clone().chain_update(message).finalize().into_bytes();
    let mut cut = [0; MAC];
    cut.copy_from_slice(&whole[..MAC]);
    cut
}

pub(super) fn subkey(secret: &[u8], purpose: &[u8]) -> Hmac<Sha256> {
    hmac(&hmac(secret).chain_update(purpose).finalize().into_bytes())
}

fn hmac(secret: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    Hmac::new_from_slice(secret).expect("HMAC takes keys of any length")
}
