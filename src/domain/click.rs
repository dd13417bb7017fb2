//! The verdict on a click, from what its request says.

use super::agents::{self, Agent};
use super::outcome::Verdict;
use serde::{Deserialize, Serialize};

/// What this node knows of a validly signed link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// The link earns.
    Known,
    /// This node does not know it yet: it was made on another node a moment ago.
    Unknown,
    /// Its affiliate is not active.
    AffiliateNotActive,
    /// It was switched off.
    Disabled,
}

/// The headers by which browsers say that the user has not followed the link yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purposes<'a> {
    /// `Sec-Purpose`, sent by current browsers.
    pub sec_purpose: Option<&'a [u8]>,
    /// `Purpose`, sent by older versions of Chrome.
    pub purpose: Option<&'a [u8]>,
    /// `X-Purpose`, sent by Safari.
    pub x_purpose: Option<&'a [u8]>,
    /// `X-Moz`, sent by older versions of Firefox.
    pub x_moz: Option<&'a [u8]>,
}

impl Purposes<'_> {
    /// Whether a browser fetches or renders the page before its user follows the link.
    pub fn say_prefetch(&self) -> bool {
        let Self { sec_purpose, purpose, x_purpose, x_moz } = self;
        [sec_purpose, purpose, x_purpose, x_moz].into_iter().flatten().any(|value| {
            // Safari sends `preview`. Values are compared without case, and parameters may follow.
            ["prefetch", "prerender", "preview"].iter().any(|word| contains(value, word.as_bytes()))
        })
    }
}

/// The parts of a request that the verdict depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method is `HEAD`.
    pub head: bool,
    /// The [`Purposes`] say that the user has not followed the link yet.
    pub prefetch: bool,
    /// The `Sec-Fetch-Dest` header.
    pub fetch_dest: Option<&'a [u8]>,
    /// The `User-Agent` header.
    pub user_agent: Option<&'a [u8]>,
    /// Its IP address made more clicks in this minute than allowed.
    pub flood: bool,
    /// What this node knows about its link.
    pub link: LinkState,
}

/// Judges a click.
///
/// Who sent it is checked before the link, so that a disabled link counts human visitors, not bots. The first
/// of these that applies:
///
/// 1. `head`: a program checks whether the link exists;
/// 2. `prefetch`: a browser loads ahead of its user; the request is refused, since the browser would keep the
///    redirect and use it for the person's click;
/// 3. `subresource`: a page loads the link as an image, a frame or a script;
/// 4. `bot`, `assistant`: the user agent is a program's, or is missing; or an AI assistant's, which fetches
///    for a person who does not visit the page;
/// 5. `flood`: the IP address clicks faster than people do;
/// 6. `affiliate_not_active`, `link_disabled`, `unknown_link`: because of the link;
/// 7. `human`.
pub fn judge(request: &Request<'_>) -> Verdict {
    if request.head {
        Verdict::Head
    } else if request.prefetch {
        Verdict::Prefetch
    } else if request.fetch_dest.is_some_and(|dest| !dest.eq_ignore_ascii_case(b"document")) {
        Verdict::Subresource
    } else {
        match agents::who(request.user_agent.unwrap_or_default()) {
            Agent::Program => Verdict::Bot,
            Agent::Assistant => Verdict::Assistant,
            Agent::Person if request.flood => Verdict::Flood,
            Agent::Person => by_link(request.link),
        }
    }
}

const fn by_link(link: LinkState) -> Verdict {
    match link {
        LinkState::AffiliateNotActive => Verdict::AffiliateNotActive,
        LinkState::Disabled => Verdict::LinkDisabled,
        LinkState::Unknown => Verdict::UnknownLink,
        LinkState::Known => Verdict::Human,
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: Request<'static> = Request {
        head: false,
        prefetch: false,
        fetch_dest: None,
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"),
        flood: false,
        link: LinkState::Known,
    };

    #[test]
    fn a_click_is_what_its_request_says() {
        type Change = fn(&mut Request<'static>);
        let table: &[(&str, Change, Verdict)] = &[
            ("a person", |_| (), Verdict::Human),
            ("a person's navigation", |r| r.fetch_dest = Some(b"document"), Verdict::Human),
            ("headers only", |r| r.head = true, Verdict::Head),
            ("ahead of a person", |r| r.prefetch = true, Verdict::Prefetch),
            ("image", |r| r.fetch_dest = Some(b"image"), Verdict::Subresource),
            ("frame", |r| r.fetch_dest = Some(b"iframe"), Verdict::Subresource),
            ("script", |r| r.fetch_dest = Some(b"script"), Verdict::Subresource),
            ("fetch()", |r| r.fetch_dest = Some(b"empty"), Verdict::Subresource),
            ("a nonsense destination", |r| r.fetch_dest = Some(b""), Verdict::Subresource),
            ("no user agent", |r| r.user_agent = None, Verdict::Bot),
            ("an empty user agent", |r| r.user_agent = Some(b" "), Verdict::Bot),
            ("a bot", |r| r.user_agent = Some(b"Twitterbot/1.0"), Verdict::Bot),
            ("an assistant", |r| r.user_agent = Some(b"ChatGPT-User/1.0"), Verdict::Assistant),
            ("a flood", |r| r.flood = true, Verdict::Flood),
            ("a link not known", |r| r.link = LinkState::Unknown, Verdict::UnknownLink),
            ("no active affiliate", |r| r.link = LinkState::AffiliateNotActive, Verdict::AffiliateNotActive),
            ("switched off", |r| r.link = LinkState::Disabled, Verdict::LinkDisabled),
        ];
        for (name, change, expected) in table {
            let mut request = PERSON;
            change(&mut request);
            assert_eq!(judge(&request), *expected, "{name}");
        }
    }

    #[test]
    fn a_browser_says_when_it_is_ahead_of_its_user() {
        type Place = fn(&mut Purposes<'static>, &'static [u8]);
        let sec_purpose: Place = |purposes, value| purposes.sec_purpose = Some(value);
        let purpose: Place = |purposes, value| purposes.purpose = Some(value);
        let x_purpose: Place = |purposes, value| purposes.x_purpose = Some(value);
        let x_moz: Place = |purposes, value| purposes.x_moz = Some(value);
        let table: &[(&str, Place, &'static [u8], bool)] = &[
            ("prefetch", sec_purpose, b"prefetch", true),
            ("prerender", sec_purpose, b"prefetch;prerender", true),
            ("with a parameter", sec_purpose, b"Prefetch;anonymous-client-ip", true),
            ("only prerender", sec_purpose, b"prerender", true),
            ("old Chrome", purpose, b"prefetch", true),
            ("Safari", x_purpose, b"preview", true),
            ("old Firefox", x_moz, b"prefetch", true),
            ("another purpose", purpose, b"navigate", false),
            ("an empty purpose", purpose, b"", false),
        ];
        for (name, place, value, expected) in table {
            let mut purposes = Purposes::default();
            place(&mut purposes, value);
            assert_eq!(purposes.say_prefetch(), *expected, "{name}");
        }
        assert!(!Purposes::default().say_prefetch());
    }

    #[test]
    fn the_first_of_the_order_counts() {
        use Verdict::{Bot, Flood, Head, Human, LinkDisabled, Prefetch, Subresource};
        let mut request = Request {
            head: true,
            prefetch: true,
            fetch_dest: Some(b"image"),
            user_agent: None,
            flood: true,
            link: LinkState::Disabled,
        };
        let mut order = vec![judge(&request)];
        let changes: [fn(&mut Request<'static>); 6] = [
            |r| r.head = false,
            |r| r.prefetch = false,
            |r| r.fetch_dest = None,
            |r| r.user_agent = PERSON.user_agent,
            |r| r.flood = false,
            |r| r.link = LinkState::Known,
        ];
        for change in changes {
            change(&mut request);
            order.push(judge(&request));
        }
        assert_eq!(order, [Head, Prefetch, Subresource, Bot, Flood, LinkDisabled, Human]);
    }
}
