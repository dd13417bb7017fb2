//! Who is signed in: one document per person, kept only in the store. If the store is lost, everybody is signed
//! out.
//!
//! A cookie holds the person and a secret of 32 random bytes; only a digest of the secret is kept. A session also
//! has the generation of the credentials with which it began: when the password or the e-mail changes, in any way,
//! the session ends.

use super::App;
use super::layout::{person_partition, sessions_key};
use super::work::{Work, load_one};
use crate::domain::known_browser::KnownBrowser;
use crate::domain::person::{Person, Realm};
use crate::store::{Committed, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The most sessions of one person at once; the oldest end first.
const MOST: usize = 20;
/// The precision of the time of last use.
const SEEN_EVERY: TimeDelta = TimeDelta::minutes(5);
/// How many characters of the browser's user agent are kept.
const AGENT_LETTERS: usize = 200;
/// How often a write is tried when others write at the same time.
const TRIES: usize = 8;

/// A session as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The secret's SHA-256.
    digest: String,
    created_at: DateTime<Utc>,
    seen_at: DateTime<Utc>,
    agent: String,
    /// The generation of the credentials.
    version: u32,
}

/// A person who is signed in.
#[derive(Clone)]
pub struct Session {
    /// The person.
    pub person: Person,
    /// The token that forms must send back.
    pub csrf: String,
    digest: String,
    /// The generation of the credentials with which it began.
    pub(crate) version: u32,
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Session").field("person", &self.person).finish_non_exhaustive()
    }
}

impl Session {
    /// Whether a form sent back the token of this session, compared in constant time.
    pub fn csrf_matches(&self, given: &str) -> bool {
        self.csrf.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// A session that was just begun.
#[derive(Clone)]
pub struct NewSession {
    /// The person.
    pub person: Person,
    /// The cookie's value; not stored anywhere.
    pub cookie_value: String,
    /// By which the browser is recognized the next time.
    pub known_browser: String,
}

impl fmt::Debug for NewSession {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("NewSession").field("person", &self.person).finish_non_exhaustive()
    }
}

/// A session, as its own person may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownSession {
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to within some minutes.
    pub seen_at: DateTime<Utc>,
    /// The browser's user agent.
    pub agent: String,
    /// Whether it is the session of this request.
    pub is_this: bool,
}

/// How long a session lasts: without use, and in total.
const fn lifetimes(realm: Realm) -> (TimeDelta, TimeDelta) {
    match realm {
        Realm::Portal => (TimeDelta::hours(12), TimeDelta::days(7)),
        Realm::Staff => (TimeDelta::hours(2), TimeDelta::hours(12)),
    }
}

impl Kept {
    fn is_alive(&self, realm: Realm, now: DateTime<Utc>) -> bool {
        let (idle, absolute) = lifetimes(realm);
        now < self.seen_at + idle && now < self.created_at + absolute
    }
}

impl App {
    /// Begins a session of a person who has proved who they are. The secret is new, so nothing that was known
    /// before gives access to it. `version` and `ended` are those of the credentials.
    pub(crate) async fn begin_session(
        &self,
        person: Person,
        (version, ended): (u32, u32),
        agent: &str,
    ) -> Result<NewSession, StoreError> {
        // The operating system's generator fails only where nothing else would work either.
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let id = getrandom::u64().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let (now, version) = (self.now(), version.saturating_add(ended));
        let kept = Kept {
            digest: digest(&secret),
            created_at: now,
            seen_at: now,
            agent: agent.chars().filter(|letter| !letter.is_control()).take(AGENT_LETTERS).collect(),
            version,
        };
        self.change_sessions(person, |sessions| {
            sessions.retain(|one| one.version == version && one.is_alive(person.realm(), now));
            sessions.push(kept.clone());
            let surplus = sessions.len().saturating_sub(MOST);
            sessions.drain(..surplus);
        })
        .await?;
        let cookie_value = format!("{person}.{}", URL_SAFE_NO_PAD.encode(secret));
        let known_browser = KnownBrowser::new(person, id, ended, now).sign(&self.keyring);
        Ok(NewSession { person, cookie_value, known_browser })
    }

    /// The session of a cookie, if the cookie is valid, the session has not ended, and its person may still sign
    /// in.
    pub async fn session(&self, realm: Realm, cookie_value: &str) -> Result<Option<Session>, StoreError> {
        let Some((person, secret)) = read_cookie(cookie_value).filter(|(person, _)| person.realm() == realm)
        else {
            return Ok(None);
        };
        if !self.contact(person).is_some_and(|contact| contact.may_sign_in) {
            return Ok(None);
        }
        let (sessions, credentials) =
            futures_util::try_join!(self.load_sessions(person), self.credentials(person))?;
        let (now, digest) = (self.now(), digest(&secret));
        // All sessions are compared, each in constant time.
        let found = sessions.into_iter().fold(None, |found, one| {
            if bool::from(one.digest.as_bytes().ct_eq(digest.as_bytes())) { Some(one) } else { found }
        });
        let lasts = |one: &Kept| {
            one.is_alive(realm, now)
                && credentials.as_ref().is_some_and(|known| known.generation() == one.version)
        };
        let Some(kept) = found.filter(lasts) else { return Ok(None) };
        if now - kept.seen_at >= SEEN_EVERY {
            self.change_sessions(person, |sessions| {
                sessions.iter_mut().filter(|one| one.digest == digest).for_each(|one| one.seen_at = now);
            })
            .await?;
        }
        let csrf = csrf(&secret);
        Ok(Some(Session { person, csrf, digest, version: kept.version }))
    }

    /// Ends a session.
    pub async fn sign_out(&self, session: &Session) -> Result<(), StoreError> {
        self.change_sessions(session.person, |sessions| sessions.retain(|one| one.digest != session.digest))
            .await
    }

    /// The sessions of the person who asks, the most recently used first.
    pub async fn sessions_of(&self, session: &Session) -> Result<Vec<ShownSession>, StoreError> {
        let mut sessions = self.load_sessions(session.person).await?;
        let now = self.now();
        sessions.retain(|one| one.version == session.version && one.is_alive(session.person.realm(), now));
        sessions.sort_by_key(|one| std::cmp::Reverse((one.seen_at, one.created_at)));
        let show = |one: Kept| ShownSession {
            created_at: one.created_at,
            seen_at: one.seen_at,
            is_this: one.digest == session.digest,
            agent: one.agent,
        };
        Ok(sessions.into_iter().map(show).collect())
    }

    async fn load_sessions(&self, person: Person) -> Result<Vec<Kept>, StoreError> {
        let key = sessions_key(person);
        let partition = person_partition(person, self.store.partitions());
        Ok(load_one(self.store.as_ref(), partition, &key).await?.unwrap_or_default())
    }

    async fn change_sessions(
        &self,
        person: Person,
        change: impl Fn(&mut Vec<Kept>),
    ) -> Result<(), StoreError> {
        let key = sessions_key(person);
        let partition = person_partition(person, self.store.partitions());
        for _ in 0..TRIES {
            let mut work = Work::load(&*self.store, partition, vec![key.clone()]).await?;
            let before: Vec<Kept> = work.get(&key)?.unwrap_or_default();
            let mut sessions = before.clone();
            change(&mut sessions);
            if sessions == before {
                return Ok(());
            }
            work.put(&key, &sessions)?;
            if self.store.commit(&work.into_commit()).await? == Committed::Done {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable("too many sign-ins of the same person at once".to_owned()))
    }
}

fn read_cookie(value: &str) -> Option<(Person, [u8; 32])> {
    let (person, secret) = value.split_once('.').filter(|_| value.len() <= 100)?;
    let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
    Some((person.parse().ok()?, secret.try_into().ok()?))
}

fn digest(secret: &[u8; 32]) -> String {
    let hash = Sha256::new().chain_update(b"counterfoil session").chain_update(secret).finalize();
    URL_SAFE_NO_PAD.encode(hash)
}

fn csrf(secret: &[u8; 32]) -> String {
    // HMAC takes keys of any length.
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    URL_SAFE_NO_PAD.encode(mac.chain_update(b"counterfoil csrf").finalize().into_bytes())
}
