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
pub(super) struct SessionCache {
    /// `smtp_tls_session_cache_timeout`.
    timeout: Duration,
    sessions: Mutex<HashMap<String, (Arc<Session>, Instant)>>,
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
        // sessions hold the context, and the context holds this callback
        let weak = Arc::downgrade(&cache);
        context.set_new_session_callback(move |ssl, session| {
            if let (Some(cache), Some(key)) = (weak.upgrade(), ssl.ex_data(index)) {
                cache.put(key.clone(), Session::new(ssl, session));
            }
        });
        Ok(cache)
    }

    /// Offers the server its last session, and will keep the one that comes.
    pub(super) fn offer(&self, ssl: &mut SslRef, key: String) {
        let known = self.sessions().get(&key).filter(|(_, at)| at.elapsed() < self.timeout).cloned();
        if let Some((session, _)) = known {
            // one that OpenSSL will not have is replaced by the next
            session.offer(ssl);
        }
        if let Ok(index) = &*KEY {
            ssl.set_ex_data(*index, key);
        }
    }

    /// The server did not like it.
    pub(super) fn forget(&self, key: &str) {
        self.sessions().remove(key);
    }

    fn put(&self, key: String, session: Session) {
        let mut sessions = self.sessions();
        if sessions.len() >= SESSION_LIMIT && !sessions.contains_key(&key) {
            sessions.retain(|_, (_, at)| at.elapsed() < self.timeout);
            if sessions.len() >= SESSION_LIMIT {
                sessions.clear();
            }
        }
        sessions.insert(key, (Arc::new(session), Instant::now()));
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, (Arc<Session>, Instant)>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
