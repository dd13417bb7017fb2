//! Changes that several kinds of facts make.

use crate::app::layout::{CHANGES, affiliate_key, credentials_key};
use crate::app::outbox::enqueue_in;
use crate::app::work::Work;
use crate::domain::affiliate::{Affiliate, Link};
use crate::domain::id::LinkId;
use crate::domain::mail::{Letter, Message};
use crate::domain::password::Credentials;
use crate::domain::person::Person;
use crate::store::Result;
use serde_json::json;

pub(super) fn put_affiliate(work: &mut Work, affiliate: &Affiliate) -> Result<()> {
    work.index("affiliates".to_owned(), affiliate.id.to_string(), true);
    work.append(CHANGES, &json!({"kind": "affiliate", "id": affiliate.id}));
    work.put(&affiliate_key(affiliate.id), affiliate)
}

pub(super) fn put_link(work: &mut Work, link: &Link) -> Result<()> {
    work.index("links".to_owned(), link.id.to_string(), true);
    work.append(CHANGES, &json!({"kind": "link", "id": link.id}));
    work.put(&link_key(link.id), link)
}

pub(super) fn link_key(link: LinkId) -> String {
    format!("link:{link}")
}
pub(super) fn code_key(code: &str) -> String {
    format!("code:{code}")
}

/// Puts a letter to an affiliate into the outbox.
pub(super) fn write_to(work: &mut Work, affiliate: &Affiliate, message: Message) -> Result<()> {
    let profile = &affiliate.profile;
    let (to, name) = (profile.email.clone(), profile.name.clone());
    enqueue_in(work, Letter { to, name, person: Some(Person::Affiliate(affiliate.id)), message })
}

/// Ends all sessions and open links of a person; the password stays. A person without credentials has no sessions.
pub(super) fn end_sessions(work: &mut Work, person: Person) -> Result<()> {
    let key = credentials_key(person);
    let Some(mut known) = work.get::<Credentials>(&key)? else { return Ok(()) };
    known.ended = known.ended.saturating_add(1);
    work.put(&key, &known)
}
