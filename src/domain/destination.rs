//! Where a link may lead: the list of allowed hosts, a link's destination, and the address of a redirect.
//!
//! A destination is checked when a link is made and again whenever it is read, so that a host that is removed
//! from the list is no longer used. The redirect only appends to it, after its path: whatever a request
//! carries, scheme, host and port stay those of the destination.

use super::query::{self, Query};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

#[cfg(test)]
mod tests;

/// The longest destination, and the longest `to`, in bytes.
const MAX_BYTES: usize = 1024;
/// The landing page's parameter for the click token.
pub const CLICK_PARAMETER: &str = "cfoil";

/// Why a link can't lead there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// Not an absolute URL without blanks, backslashes or control characters, of at most 1,024 bytes.
    #[error("read the destination as an absolute URL")]
    NotAUrl,
    /// Neither https nor http on this machine itself.
    #[error("lead to a destination without https")]
    Scheme,
    /// It names a user or a password.
    #[error("lead to a destination with a user name")]
    UserInfo,
    /// Its host, with its port if it has one, is not in the list.
    #[error("lead to a host that is not in the list of destinations")]
    Host,
    /// It has a parameter that is reserved for us.
    #[error("lead to a destination with the parameter cfoil")]
    Reserved,
}

/// An entry of the allow-list is not `host` or `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {0:?} as host or host:port")]
pub struct BadHost(pub String);

/// The hosts that links may lead to. A host without a port means the scheme's default port only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList {
    hosts: Vec<(Host, Option<u16>)>,
}

impl fmt::Display for AllowList {
    /// The hosts as they are shown to people.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (host, port)) in self.hosts.iter().enumerate() {
            out.write_str(if index == 0 { "" } else { ", " })?;
            host.fmt(out)?;
            port.map_or(Ok(()), |port| write!(out, ":{port}"))?;
        }
        Ok(())
    }
}

impl AllowList {
    /// A list of hosts (`www.example.com`, `127.0.0.1:8080`).
    pub fn new(hosts: &[String]) -> Result<Self, BadHost> {
        let hosts = hosts.iter().map(|entry| read_host(entry).ok_or_else(|| BadHost(entry.clone())));
        Ok(Self { hosts: hosts.collect::<Result<_, _>>()? })
    }

    /// Reads a destination, if links may lead there.
    pub fn destination(&self, text: &str) -> Result<Destination, DestinationError> {
        // `Url` would drop tabs and line breaks and change backslashes, so text with any of them is refused.
        let odd = |byte: u8| byte <= b' ' || byte == 0x7f || byte == b'\\';
        if text.len() > MAX_BYTES || text.bytes().any(odd) {
            return Err(DestinationError::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| DestinationError::NotAUrl)?;
        // `https:host` and `javascript:…` have no `//`; browsers guess what is meant, we do not.
        if !text[url.scheme().len()..].starts_with("://") {
            return Err(DestinationError::NotAUrl);
        }
        self.check(&url)?;
        if carries_click(&url) { Err(DestinationError::Reserved) } else { Ok(Destination::from_url(url)) }
    }

    fn check(&self, url: &Url) -> Result<(), DestinationError> {
        let host = url.host().ok_or(DestinationError::NotAUrl)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&host) => {}
            _ => return Err(DestinationError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(DestinationError::UserInfo);
        }
        let host = host.to_owned();
        let right_port = |listed: Option<u16>| {
            listed.map_or(url.port().is_none(), |port| url.port_or_known_default() == Some(port))
        };
        let listed = self.hosts.iter().any(|(name, port)| *name == host && right_port(*port));
        if listed { Ok(()) } else { Err(DestinationError::Host) }
    }
}

fn read_host(entry: &str) -> Option<(Host, Option<u16>)> {
    let plain = |letter: char| letter.is_alphanumeric() || ".-_:[]".contains(letter);
    if !entry.chars().all(plain) {
        return None;
    }
    let url = Url::parse(&format!("https://{entry}/")).ok()?;
    // `Url` leaves out a port that is the scheme's default; in an entry it was named on purpose.
    let named = entry.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = named.map(|(_, port)| port.parse()).transpose().ok()?;
    Some((url.host()?.to_owned(), port))
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => Ipv4Addr::is_loopback(address),
        Host::Ipv6(address) => Ipv6Addr::is_loopback(address),
    }
}

/// A page that a link may lead to, ready to be appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    url: Url,
    /// The length of everything before the fragment.
    base: usize,
    has_query: bool,
}

impl Destination {
    fn from_url(url: Url) -> Self {
        let base = url.as_str().len() - url.fragment().map_or(0, |fragment| fragment.len() + 1);
        let has_query = url.query().is_some();
        Self { url, base, has_query }
    }

    /// Its address.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Its scheme, host and port, as browsers write an origin.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Appends the address of a redirect: this page, or the one on its host that the query's `to` names, with
    /// all parameters that are not ours, and the click token that `token` appends.
    ///
    /// Everything after the path is printable ASCII without quotes or blanks, whatever the query holds.
    pub fn write(&self, query: &Query<'_>, token: Option<impl FnOnce(&mut Vec<u8>)>, out: &mut Vec<u8>) {
        let deeper = query.to.as_deref().and_then(|to| self.deeper(to));
        let page = deeper.as_ref().unwrap_or(self);
        let (base, fragment) = page.as_str().split_at(page.base);
        out.extend_from_slice(base.as_bytes());
        let mut separator = if page.has_query { b'&' } else { b'?' };
        for parameter in query.passed_through() {
            out.push(separator);
            parameter.write(out);
            separator = b'&';
        }
        if let Some(token) = token {
            out.push(separator);
            out.extend_from_slice(CLICK_PARAMETER.as_bytes());
            out.push(b'=');
            token(out);
        }
        out.extend_from_slice(fragment.as_bytes());
    }

    /// The page on this host that `to` names; `None` for anything that might lead to another host.
    fn deeper(&self, to: &str) -> Option<Self> {
        if !is_plain_path(to) {
            return None;
        }
        let url = self.url.join(to).ok()?;
        let stays =
            url.origin() == self.url.origin() && url.username().is_empty() && url.password().is_none();
        // Dots are resolved by now: `/.//` has become `//`, which some servers would read as a host.
        let plain = !url.path().starts_with("//") && !carries_click(&url);
        (stays && plain).then(|| Self::from_url(url))
    }
}

/// Whether it is a path from the root that no browser or server can read as anything else.
fn is_plain_path(to: &str) -> bool {
    let path = to.split(['?', '#']).next().unwrap_or_default();
    to.len() <= MAX_BYTES
        && to.starts_with('/')
        && !to.starts_with("//")
        && !to.chars().any(|letter| letter.is_control() || letter == '\\')
        && !escaped(to).any(|byte| byte.is_ascii_control())
        && !escaped(path).any(|byte| byte == b'/' || byte == b'\\')
}

/// The bytes that are escaped in a text.
fn escaped(text: &str) -> impl Iterator<Item = u8> {
    text.as_bytes().windows(3).filter(|part| part[0] == b'%').filter_map(|part| {
        let digits = std::str::from_utf8(&part[1..]).ok()?;
        u8::from_str_radix(digits, 16).ok()
    })
}

fn carries_click(url: &Url) -> bool {
    query::parameters(url.query().unwrap_or_default()).any(|part| part.is_named(CLICK_PARAMETER))
}
