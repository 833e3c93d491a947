//! TLS sessions of earlier connections, in memory, for those who come back to the same server.

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslContextBuilder, SslRef, SslSessionCacheMode};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sessions kept in all; a session has some 2 KiB.
const SESSION_LIMIT: usize = 2000;

/// Where a connection's key is kept for the callback that gets its session. OpenSSL numbers such places for the whole
/// process and never takes a number back, hence one for all.
static KEY: LazyLock<Result<Index<Ssl, String>, ErrorStack>> = LazyLock::new(Ssl::new_ex_index);

/// The sessions of one context.
pub(super) struct SessionCache {
    /// `smtp_tls_session_cache_timeout`.
    timeout: Duration,
    sessions: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    /// As OpenSSL serialises it.
    der: Arc<[u8]>,
    since: Instant,
}

impl SessionCache {
    /// Lets a context put its sessions here.
    pub(super) fn attach(
        context: &mut SslContextBuilder,
        timeout: Duration,
    ) -> Result<Arc<SessionCache>, ErrorStack> {
        let index = (*KEY).clone()?;
        let cache = Arc::new(SessionCache { timeout, sessions: Mutex::default() });
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let keeping = cache.clone();
        context.set_new_session_callback(move |ssl, session| {
            if let (Some(key), Ok(der)) = (ssl.ex_data(index), session.to_der()) {
                keeping.put(key.clone(), der.into());
            }
        });
        Ok(cache)
    }

    /// Offers the server its last session, and will keep the one that comes.
    pub(super) fn offer(&self, ssl: &mut SslRef, key: String) {
        if let Some(der) = self.get(&key) {
            // one that OpenSSL will not have is replaced by the next
            sys::tls::offer_session(ssl, &der);
        }
        if let Ok(index) = &*KEY {
            ssl.set_ex_data(*index, key);
        }
    }

    /// The server did not like it.
    pub(super) fn forget(&self, key: &str) {
        self.sessions().remove(key);
    }

    fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.sessions()
            .get(key)
            .filter(|kept| kept.since.elapsed() < self.timeout)
            .map(|kept| kept.der.clone())
    }

    fn put(&self, key: String, der: Arc<[u8]>) {
        let mut sessions = self.sessions();
        if sessions.len() >= SESSION_LIMIT && !sessions.contains_key(&key) {
            sessions.retain(|_, kept| kept.since.elapsed() < self.timeout);
            if sessions.len() >= SESSION_LIMIT {
                sessions.clear();
            }
        }
        sessions.insert(key, Kept { der, since: Instant::now() });
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_forgets() {
        let cache = SessionCache { timeout: Duration::from_millis(20), sessions: Mutex::default() };
        for n in 0..3 * SESSION_LIMIT {
            cache.put(n.to_string(), Arc::from(*b"x"));
            assert!(cache.sessions().len() <= SESSION_LIMIT);
        }
        cache.put("last".into(), Arc::from(*b"x"));
        assert!(cache.get("last").is_some());
        std::thread::sleep(Duration::from_millis(20));
        assert!(cache.get("last").is_none());
    }
}
