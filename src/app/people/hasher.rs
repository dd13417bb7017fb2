//! Hashes passwords: argon2id with 19 MiB, two passes, one lane; two at once, and a short queue.

use crate::domain::password::{self, PasswordHash};
use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hashes made at once: each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
/// How long the queue may be: with some tens of hashes per second, a second or two.
const WAITING: usize = 64;

/// Makes and compares hashes at a limited rate.
#[derive(Debug)]
pub(crate) struct Hasher {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), waiting: AtomicUsize::new(0) }
    }
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// A turn to hash. The hashing thread holds it too, because a request that gave up must not free its place before
/// the work is done.
#[derive(Debug)]
pub(crate) struct Turn(Arc<OwnedSemaphorePermit>);

impl Hasher {
    /// Waits for a turn.
    pub(crate) async fn turn(&self) -> Result<Turn, Busy> {
        /// Counts a request in the queue, also if it gives up meanwhile.
        struct Waits<'a>(&'a AtomicUsize);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let waits = Waits(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            return Err(Busy);
        }
        let permit = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Busy)?;
        drop(waits);
        Ok(Turn(Arc::new(permit)))
    }
}

impl Turn {
    /// Hashes a password.
    pub(crate) async fn hash(&self, password: &str) -> Result<PasswordHash, Busy> {
        let (held, password) = (Arc::clone(&self.0), password::normal(password));
        let hashed = tokio::task::spawn_blocking(move || {
            let hashed = hash(&password);
            drop(held);
            hashed
        });
        let hashed = hashed.await;
        hashed.ok().flatten().ok_or(Busy)
    }

    /// Whether a password has this hash; without a hash, the answer is no after the same work.
    pub(crate) async fn verify(&self, password: &str, known: Option<&PasswordHash>) -> Result<bool, Busy> {
        let (held, spellings, known) = (Arc::clone(&self.0), password::spellings(password), known.cloned());
        let verified = tokio::task::spawn_blocking(move || {
            let hash = known.as_ref().unwrap_or(&DUMMY);
            let matches = spellings.iter().any(|spelling| verify(spelling, hash));
            drop(held);
            matches && known.is_some()
        });
        verified.await.map_err(|_| Busy)
    }
}

/// A hash of no password: verifying against it takes as long as against a real one.
static DUMMY: LazyLock<PasswordHash> =
    LazyLock::new(|| hash("nobody has this password").unwrap_or_else(|| PasswordHash::new("")));

fn argon2() -> Argon2<'static> {
    // The parameters are within the algorithm's limits.
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> Option<PasswordHash> {
    let hashed = argon2().hash_password(password.as_bytes());
    hashed.ok().map(|hash| PasswordHash::new(hash.to_string()))
}

fn verify(password: &str, known: &PasswordHash) -> bool {
    let parsed = Phc::new(known.expose());
    parsed.is_ok_and(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_with_our_costs_and_its_own_salt() {
        let [one, other] = [(); 2].map(|()| hash("tulip anvil rain").expect("a hash"));
        assert!(one.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.expose());
        assert_ne!(one, other);
        assert!(verify("tulip anvil rain", &one) && verify("tulip anvil rain", &other));
        assert!(!verify("tulip anvil raim", &one) && !verify("", &one));
        for broken in ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$"] {
            assert!(!verify("tulip anvil rain", &PasswordHash::new(broken)), "{broken}");
        }
    }

    #[tokio::test]
    async fn a_password_is_known_however_its_letters_were_typed() {
        let (composed, apart) = ("gr\u{fc}ne W\u{e4}lder", "gru\u{308}ne Wa\u{308}lder");
        let turn = Hasher::default().turn().await.expect("nobody is there");
        // Set today on either keyboard, and set on either before passwords were normalized.
        let today = [turn.hash(composed).await, turn.hash(apart).await].map(|hash| hash.expect("a hash"));
        let before = [hash(composed), hash(apart)].map(|hash| hash.expect("a hash"));
        for known in today.iter().chain(&before) {
            for typed in [composed, apart] {
                assert_eq!(turn.verify(typed, Some(known)).await, Ok(true), "{typed:?}");
            }
            assert_eq!(turn.verify("grune Walder", Some(known)).await, Ok(false));
        }
    }

    #[tokio::test]
    async fn nobody_matches_the_dummy_and_the_line_is_bounded() {
        let hasher = Hasher::default();
        let turn = hasher.turn().await.expect("nobody is there");
        assert_eq!(turn.verify("nobody has this password", None).await, Ok(false));
        let second = hasher.turn().await.expect("two at once");
        let waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(hasher.turn())).collect();
        let mut waiting = futures_util::future::join_all(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert!(hasher.turn().await.is_err(), "the line is full");
        drop(waiting);
        drop((turn, second));
        assert!(hasher.turn().await.is_ok(), "a request that gave up does not count");
    }
}
