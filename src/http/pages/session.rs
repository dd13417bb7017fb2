//! Who is signed in, and whether a form is theirs.
//!
//! A handler that takes a [`Visit`] is for people who are signed in; one that changes something takes [`Signed`], which
//! also checks that the form came from our own page of this very session.

use super::routes::Door;
use super::sign_in::{Entrance, PORTAL, STAFF};
use super::{Banner, Form, Frame, PageError, PageState, Part, form, portal, staff};
use crate::app::actor::Actor;
use crate::app::people::{Knock, NewSession, Session};
use crate::domain::affiliate::{Affiliate, Status};
use crate::domain::known_browser;
use crate::domain::person::{Permission, Person, Realm, StaffMember};
use crate::http::client_ip::{Peer, client_ip};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::Response;
use http::header::{COOKIE, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::sync::Arc;

/// An affiliate that is signed in. One that has yet to sign the agreement is led there first.
#[derive(Debug, Clone)]
pub struct Portal {
    /// The session.
    pub session: Session,
    /// Who it is.
    pub affiliate: Arc<Affiliate>,
    /// The agreement has a version that it did not sign.
    pub must_sign: bool,
}

/// A member of staff who is signed in.
#[derive(Debug, Clone)]
pub struct Staff {
    /// The session.
    pub session: Session,
    /// Who it is.
    pub member: Arc<StaffMember>,
}

/// A page that somebody who is signed in asks for; `At` is what its path names.
pub struct Visit<W, At = ()> {
    /// What pages know beside the request.
    pub state: PageState,
    /// Who asks.
    pub who: W,
    /// The ids in the path.
    pub at: At,
    /// The query of the address.
    pub raw: Option<String>,
}

/// A form of somebody who is signed in, sent by our own page.
pub struct Signed<W, At = ()> {
    /// Who sent it, and where to.
    pub visit: Visit<W, At>,
    /// What was typed.
    pub form: Form,
}

/// So that it is given where only the state is asked for.
impl<W, At> Deref for Visit<W, At> {
    type Target = PageState;
    fn deref(&self) -> &PageState {
        &self.state
    }
}

impl<W: Who, At> Visit<W, At> {
    /// Who acts, when it does something.
    pub fn actor(&self) -> Actor {
        self.who.actor()
    }
    /// Refuses a form that a page of this very session did not send.
    pub fn check(&self, form: &Form) -> Result<(), PageError> {
        if self.who.session().csrf_matches(form.text("csrf")) { Ok(()) } else { Err(PageError::Forged) }
    }
    /// A page of a section, `200`.
    pub fn page(&self, template: &str, section: &'static str, content: impl Serialize) -> Response {
        self.page_with(StatusCode::OK, template, section, content)
    }
    /// A page with another status: a form with errors is `422`.
    pub fn page_with(
        &self,
        status: StatusCode,
        template: &str,
        section: &'static str,
        content: impl Serialize,
    ) -> Response {
        let chrome = Frame { notice: notice::<W>(self.raw.as_deref()), ..self.who.chrome(section) };
        self.state.page_with(status, template, &chrome, content)
    }
}

/// What was just done, in words. The address chooses among known ones and can say nothing else.
fn notice<W: Who>(raw: Option<&str>) -> Option<&'static str> {
    let code = raw?.strip_prefix("done=")?;
    W::DONE.iter().find(|(name, _)| *name == code).map(|(_, words)| *words)
}

/// Where a request comes from.
#[derive(Debug, Clone)]
pub struct Client {
    /// The address, as far as proxies are believed.
    pub ip: IpAddr,
    /// What the browser calls itself.
    pub agent: String,
    /// What it was given when somebody signed in with it before.
    known_browser: Option<String>,
}

impl Client {
    /// Who asks to be let in.
    pub fn knock(&self) -> Knock<'_> {
        Knock { ip: self.ip, agent: &self.agent, known_browser: self.known_browser.as_deref() }
    }
}

/// Somebody who can be signed in.
pub trait Who: Sized + Send {
    /// Where it signs in.
    const ENTRANCE: &'static Entrance;
    /// Finds out who it is.
    fn find(parts: &Parts, state: &PageState) -> impl Future<Output = Result<Self, PageError>> + Send;
    /// Its session.
    fn session(&self) -> &Session;
    /// Whether it may do more than read and leave.
    fn may_act(&self) -> bool;
    /// Who acts, when it does something.
    fn actor(&self) -> Actor;
    /// What surrounds the content of one of its pages.
    fn chrome(&self, section: &'static str) -> Frame;
    /// What an address can say that was just done, by its code in the address.
    const DONE: &'static [(&'static str, &'static str)];
}

impl Who for Portal {
    const ENTRANCE: &'static Entrance = &PORTAL;
    async fn find(parts: &Parts, state: &PageState) -> Result<Self, PageError> {
        let session = session(parts, state, Part::Portal).await?;
        let directory = state.app.directory();
        let affiliate = session.person.affiliate().and_then(|id| directory.affiliate(id)).cloned();
        let Some(affiliate) = affiliate else { return Err(sign_in(parts, Part::Portal)) };
        let must_sign = state.app.must_sign(&affiliate);
        let path = parts.uri.path();
        if affiliate.status() == Status::Activated && path != "/agreement" && path != "/sign-out" {
            return Err(PageError::MustSign);
        }
        Ok(Self { session, affiliate, must_sign })
    }
    fn session(&self) -> &Session {
        &self.session
    }
    fn may_act(&self) -> bool {
        self.affiliate.may_act()
    }
    fn actor(&self) -> Actor {
        Actor::Affiliate(self.affiliate.id)
    }
    fn chrome(&self, section: &'static str) -> Frame {
        Frame {
            part: Part::Portal,
            section,
            name: Some(self.affiliate.profile.name.clone()),
            csrf: self.session.csrf.clone(),
            banner: self.banner(),
            ..Frame::default()
        }
    }
    const DONE: &'static [(&'static str, &'static str)] = portal::DONE;
}

impl Who for Staff {
    const ENTRANCE: &'static Entrance = &STAFF;
    async fn find(parts: &Parts, state: &PageState) -> Result<Self, PageError> {
        let session = session(parts, state, Part::Staff).await?;
        let directory = state.app.directory();
        let member = session.person.staff().and_then(|id| directory.staff_member(id).cloned());
        let Some(member) = member.filter(|member| member.disabled_at.is_none()) else {
            return Err(sign_in(parts, Part::Staff));
        };
        let door = parts.extensions.get::<Door>().ok_or(PageError::Forbidden)?;
        if door.lets_in(member.role) { Ok(Self { session, member }) } else { Err(PageError::Forbidden) }
    }
    fn session(&self) -> &Session {
        &self.session
    }
    fn may_act(&self) -> bool {
        true
    }
    fn actor(&self) -> Actor {
        Actor::Staff(self.member.id, self.member.role)
    }
    fn chrome(&self, section: &'static str) -> Frame {
        let may = Permission::ALL.iter().filter(|one| self.member.may(**one)).map(|one| one.code());
        Frame {
            part: Part::Staff,
            section,
            name: Some(self.member.name.clone()),
            csrf: self.session.csrf.clone(),
            may: may.collect(),
            ..Frame::default()
        }
    }
    const DONE: &'static [(&'static str, &'static str)] = staff::DONE;
}

impl Portal {
    fn banner(&self) -> Option<Banner> {
        let affiliate = &self.affiliate;
        let reason = affiliate.history.last().and_then(|change| change.reason.clone());
        let because = reason.map(|reason| format!(" The reason: {}", sentence(&reason))).unwrap_or_default();
        match affiliate.status() {
            Status::Suspended => Some(Banner {
                text: format!(
                    "Your account is suspended.{because} Your links still lead to our pages, but new clicks and signups \
                     are not credited. Earlier referrals go on earning, and payouts wait until this is settled."
                ),
                link: None,
                is_bad: true,
            }),
            Status::Closed => Some(Banner {
                text: format!("Your account is closed.{because} You can read your statements and payouts; nothing can be \
                     changed any more. What is due to you is to be paid with the next payout."),
                link: None,
                is_bad: true,
            }),
            _ if self.must_sign => Some(Banner {
                text: if affiliate.signatures.is_empty() {
                    "Your signature under the agreement is still missing. Please read and sign it; what you earn does not \
                     wait for it."
                } else {
                    "The agreement has a new version. Please read and sign it; what you earn does not wait for it."
                }
                .to_owned(),
                link: Some(("/agreement", "Read and sign")),
                is_bad: false,
            }),
            _ => None,
        }
    }
}

/// What somebody wrote, ended by a full stop unless it ends itself.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', '!', '?', '…']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

impl<W: Who, At: DeserializeOwned + Send> FromRequestParts<PageState> for Visit<W, At> {
    type Rejection = PageError;
    async fn from_request_parts(parts: &mut Parts, state: &PageState) -> Result<Self, PageError> {
        let who = W::find(parts, state).await?;
        let Path(at) = Path::from_request_parts(parts, state).await.map_err(|_| PageError::NotFound)?;
        Ok(Self { state: state.clone(), who, at, raw: parts.uri.query().map(str::to_owned) })
    }
}

impl<W: Who, At: DeserializeOwned + Send> FromRequest<PageState> for Signed<W, At> {
    type Rejection = PageError;
    async fn from_request(request: Request, state: &PageState) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::<W, At>::from_request_parts(&mut parts, state).await?;
        let leaves = parts.uri.path().contains("/sign-out");
        let form = form::read(state, Request::from_parts(parts, body)).await?;
        visit.check(&form)?;
        // Leaving is free.
        if !visit.who.may_act() && !leaves {
            return Err(PageError::Closed);
        }
        Ok(Self { visit, form })
    }
}

impl FromRequestParts<PageState> for Client {
    type Rejection = PageError;
    async fn from_request_parts(parts: &mut Parts, state: &PageState) -> Result<Self, PageError> {
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let part = if parts.uri.path().starts_with("/admin") { Part::Staff } else { Part::Portal };
        let known_browser = cookie(&parts.headers, &cookie_name(state, part, BROWSER)).map(str::to_owned);
        let ip = client_ip(peer, &parts.headers, &state.app.config().listen.trusted_proxies);
        Ok(Self { ip, agent: agent.to_owned(), known_browser })
    }
}

async fn session(parts: &Parts, state: &PageState, part: Part) -> Result<Session, PageError> {
    let Some(value) = cookie(&parts.headers, &cookie_name(state, part, SESSION)) else {
        return Err(sign_in(parts, part));
    };
    let realm = if part == Part::Staff { Realm::Staff } else { Realm::Portal };
    state.app.session(realm, value).await?.ok_or_else(|| sign_in(parts, part))
}

/// A person who was looking at a page is led back to it; one who sent a form starts again.
fn sign_in(parts: &Parts, part: Part) -> PageError {
    let looked = parts.method == Method::GET || parts.method == Method::HEAD;
    let path = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    PageError::SignIn(part, if looked { path.to_owned() } else { String::new() })
}

/// `__Host-` binds a cookie to https, this host and all its paths: it can't be set from a neighbouring host. Plain
/// http, which only loopback may use, has no such cookies.
fn cookie_name(state: &PageState, part: Part, purpose: &str) -> String {
    let host = if state.is_secure(part) { "__Host-" } else { "" };
    let who = if part == Part::Staff { "staff" } else { "portal" };
    format!("{host}counterfoil-{who}{purpose}")
}

/// The session's cookie.
const SESSION: &str = "";
/// The cookie of a browser that has signed in before, which outlives its sessions.
const BROWSER: &str = "-browser";

/// The value of a cookie; one that is sent twice is nobody's.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(given, _)| *given == name).map(|(_, value)| value);
    let value = values.next();
    if values.next().is_some() { None } else { value }
}

/// Gives a session to the browser that began it, which is known from then on.
pub fn with_session(state: &PageState, new: &NewSession, response: Response) -> Response {
    let part = if matches!(new.person, Person::Staff(_)) { Part::Staff } else { Part::Portal };
    let attributes = attributes(state, part);
    let session = format!("{}={}{attributes}", cookie_name(state, part, SESSION), new.cookie_value);
    let (name, lasts) = (cookie_name(state, part, BROWSER), known_browser::LIFETIME.num_seconds());
    let browser = format!("{name}={}; Max-Age={lasts}{attributes}", new.known_browser);
    set_cookie(set_cookie(response, &session), &browser)
}

/// Takes the session away from the browser.
pub fn without_session(state: &PageState, part: Part, response: Response) -> Response {
    set_cookie(
        response,
        &format!("{}=; Max-Age=0{}", cookie_name(state, part, SESSION), attributes(state, part)),
    )
}

fn set_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

fn attributes(state: &PageState, part: Part) -> &'static str {
    if state.is_secure(part) {
        "; Path=/; HttpOnly; SameSite=Lax; Secure"
    } else {
        "; Path=/; HttpOnly; SameSite=Lax"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_only_what_is_known_to_have_been_done() {
        assert!(notice::<Staff>(Some("done=approved")).is_some_and(|words| words.starts_with("Approved")));
        for other in ["done=<b>", "done=", "x=approved", "done=approved&x=1"] {
            assert_eq!(notice::<Staff>(Some(other)), None, "{other}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name_and_once() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1; counterfoil-portal=x.y; b=2".parse().expect("a header"));
        assert_eq!(cookie(&headers, "counterfoil-portal"), Some("x.y"));
        assert_eq!(cookie(&headers, "portal"), None);
        headers.append(COOKIE, "counterfoil-portal=other".parse().expect("a header"));
        assert_eq!(cookie(&headers, "counterfoil-portal"), None, "which of two is not guessed");
    }
}
