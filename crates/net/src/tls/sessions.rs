//! TLS sessions of earlier connections, in memory, for those who come back to the same server.

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslContextBuilder, SslRef, SslSessionCacheMode};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use sys::tls::Session;

/// Sessions kept in all; a session has some 2 KiB.
const SESSION_LIMIT: usize = 2000;

/// Where a connection's key is kept for the callback that gets its session. OpenSSL numbers such places for the whole
/// process and never takes a number back, hence one for all.
static KEY: LazyLock<Result<Index<Ssl, String>, ErrorStack>> = LazyLock::new(Ssl::new_ex_index);

/// The sessions of one context.
pub(super) struct SessionCache(Mutex<Shelf<Arc<Session>>>);

/// Things by key that grow old.
struct Shelf<T> {
    /// `smtp_tls_session_cache_timeout`.
    timeout: Duration,
    things: HashMap<String, (T, Instant)>,
}

impl SessionCache {
    /// Lets a context put its sessions here.
    pub(super) fn attach(
        context: &mut SslContextBuilder,
        timeout: Duration,
    ) -> Result<Arc<SessionCache>, ErrorStack> {
        let index = (*KEY).clone()?;
        let cache = Arc::new(SessionCache(Mutex::new(Shelf { timeout, things: HashMap::new() })));
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let keeping = cache.clone();
        context.set_new_session_callback(move |ssl, session| {
            if let (Some(key), Some(session)) = (ssl.ex_data(index), Session::copy_of(&session)) {
                keeping.shelf().put(key.clone(), Arc::new(session), Instant::now());
            }
        });
        Ok(cache)
    }

    /// Offers the server its last session, and will keep the one that comes.
    pub(super) fn offer(&self, ssl: &mut SslRef, key: String) {
        let known = self.shelf().get(&key, Instant::now());
        if let Some(session) = known {
            // one that OpenSSL will not have is replaced by the next
            session.offer(ssl);
        }
        if let Ok(index) = &*KEY {
            ssl.set_ex_data(*index, key);
        }
    }

    /// The server did not like it.
    pub(super) fn forget(&self, key: &str) {
        self.shelf().things.remove(key);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Shelf<T> {
    fn get(&self, key: &str, now: Instant) -> Option<T> {
        self.things.get(key).filter(|(_, since)| now - *since < self.timeout).map(|(thing, _)| thing.clone())
    }

    /// When it is full and nothing is old, all go: they are only worth a handshake each.
    fn put(&mut self, key: String, thing: T, now: Instant) {
        if self.things.len() >= SESSION_LIMIT && !self.things.contains_key(&key) {
            self.things.retain(|_, (_, since)| now - *since < self.timeout);
            if self.things.len() >= SESSION_LIMIT {
                self.things.clear();
            }
        }
        self.things.insert(key, (thing, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_grow_old() {
        let mut shelf = Shelf { timeout: Duration::from_secs(10), things: HashMap::new() };
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        shelf.put("a".into(), 1, at(0));
        assert_eq!(
            (shelf.get("a", at(9)), shelf.get("a", at(10)), shelf.get("b", at(0))),
            (Some(1), None, None)
        );
    }

    #[test]
    fn it_is_bounded_and_old_ones_go_first() {
        let mut shelf = Shelf { timeout: Duration::from_secs(10), things: HashMap::new() };
        let now = Instant::now();
        for n in 0..SESSION_LIMIT - 1 {
            shelf.put(n.to_string(), n, now);
        }
        let later = now + Duration::from_secs(9);
        shelf.put("young".into(), 1, later);
        shelf.put("younger".into(), 2, now + Duration::from_secs(10));
        assert_eq!((shelf.things.len(), shelf.get("young", later)), (2, Some(1)));
        for n in 0..3 * SESSION_LIMIT {
            shelf.put(n.to_string(), n, later);
            assert!(shelf.things.len() <= SESSION_LIMIT);
        }
    }
}
