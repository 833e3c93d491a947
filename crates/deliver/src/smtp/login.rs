//! Who we are to a server: `smtp_sasl_password_maps`.

use crate::oauth2::Tokens;
use mail::Address;
use mail::keys::{Extensions, Search};
use net::tls::TlsSummary;
use route::NameList;
use smtp::Secret;
use smtp::client::{Failure, Scope};
use smtp::sasl::{Credentials, SecurityOptions};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tables::{Maps, TryLater};

/// How to log in (`smtp_sasl_auth_enable`).
pub struct Logins {
    /// `smtp_sasl_password_maps`: `user:password` by sender, host or destination.
    pub passwords: Maps,
    /// `smtp_sender_dependent_authentication`: the sender is looked for first.
    pub by_sender: bool,
    /// `smtp_sasl_password_result_delimiter`.
    pub delimiter: char,
    pub recipient_delimiter: Extensions,
    /// Senders of these are looked for by their local part, too: `myorigin` and `mydestination`.
    pub myorigin: String,
    pub mydestination: NameList,
    pub options: SaslOptions,
    /// `smtp_sasl_mechanism_filter`; empty: any mechanism.
    pub mechanisms: NameList,
    /// What servers refused lately; None: `smtp_sasl_auth_cache_name` is not set.
    pub failed: Option<FailedMemory>,
    /// Passwords that name token files.
    pub tokens: Tokens,
}

/// How one transport remembers failed logins.
pub struct FailedMemory {
    pub logins: Arc<FailedLogins>,
    /// `smtp_sasl_auth_cache_time`.
    pub time: Duration,
    /// `smtp_sasl_auth_soft_bounce`.
    pub is_soft: bool,
}

/// Logins that a server refused with 535, and what it said: they are not tried again at once. In memory, whatever
/// `smtp_sasl_auth_cache_name` names.
#[derive(Default)]
pub struct FailedLogins(Mutex<HashMap<(String, String), FailedLogin>>);

struct FailedLogin {
    since: Instant,
    password: Secret,
    failure: Failure,
}

/// Logins that are remembered; with more, all are forgotten.
const FAILED_LIMIT: usize = 10_000;

/// `smtp_sasl_security_options` in the clear, under TLS, and under TLS with a verified server.
#[derive(Clone, Copy, Debug, Default)]
pub struct SaslOptions {
    pub in_the_clear: SecurityOptions,
    pub under_tls: SecurityOptions,
    pub under_verified_tls: SecurityOptions,
}

impl Logins {
    /// The first that is there of: the sender's, the host's, the destination's as it is written.
    pub(super) async fn find(
        &self,
        sender: &Address,
        host: &str,
        destination: &str,
    ) -> Result<Option<Credentials>, TryLater> {
        if self.by_sender && !sender.is_null() {
            let is_local = self.is_local(sender).await?;
            let hit =
                self.passwords.find(sender, Search::ADDRESS, &self.recipient_delimiter, is_local).await?;
            if let Some(hit) = hit {
                return Ok(Some(self.read(&hit.value)));
            }
        }
        for key in [host, destination] {
            if let Some(value) = self.passwords.get(key.as_bytes(), true).await? {
                return Ok(Some(self.read(&value)));
            }
        }
        Ok(None)
    }

    async fn is_local(&self, sender: &Address) -> Result<bool, TryLater> {
        let Some(domain) = sender.domain() else { return Ok(false) };
        if domain.eq_ignore_ascii_case(self.myorigin.as_bytes()) {
            return Ok(true);
        }
        self.mydestination.has(domain).await
    }

    fn read(&self, value: &[u8]) -> Credentials {
        let text = String::from_utf8_lossy(value);
        let (user, password) = text.split_once(self.delimiter).unwrap_or((&text, ""));
        Credentials::Password { user: user.to_owned(), password: password.into() }
    }

    /// Of the mechanisms that a server offers, those that may be used at all.
    pub(super) async fn allowed(&self, offered: &[String]) -> Result<Vec<String>, TryLater> {
        if self.mechanisms.is_empty() {
            return Ok(offered.to_vec());
        }
        let mut allowed = Vec::new();
        for name in offered {
            if self.mechanisms.has(name.as_bytes()).await? {
                allowed.push(name.clone());
            }
        }
        Ok(allowed)
    }
}

impl FailedMemory {
    /// What the server said when the same was tried before.
    pub(super) fn find(&self, host: &str, credentials: &Credentials, now: Instant) -> Option<Failure> {
        let Credentials::Password { user, password } = credentials else { return None };
        let by_login = self.logins.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = by_login.get(&(host.to_owned(), user.clone()))?;
        let is_it = failed.password == *password && now.duration_since(failed.since) < self.time;
        let class = if self.is_soft { 4 } else { 5 };
        is_it.then(|| Failure { status: failed.failure.status.with_class(class), ..failed.failure.clone() })
    }

    /// Remembers a refusal, if it is one of the login itself.
    pub(super) fn put(&self, host: &str, credentials: &Credentials, failure: &Failure, now: Instant) {
        let Credentials::Password { user, password } = credentials else { return };
        let Some(said) = failure.diagnostic.as_ref().and_then(|said| said.strip_prefix("smtp; ")) else {
            return;
        };
        if !is_refused(failure) {
            return;
        }
        let reason = format!("SASL [CACHED] authentication failed; server {host} said: {said}");
        let failure = Failure { scope: Scope::Site, reason, ..failure.clone() };
        let mut by_login = self.logins.0.lock().unwrap_or_else(PoisonError::into_inner);
        if by_login.len() >= FAILED_LIMIT {
            by_login.clear();
        }
        let failed = FailedLogin { since: now, password: password.clone(), failure };
        by_login.insert((host.to_owned(), user.clone()), failed);
    }
}

/// Whether a server said 535: it is the login that it does not like.
pub(super) fn is_refused(failure: &Failure) -> bool {
    failure.diagnostic.as_ref().is_some_and(|said| said.starts_with("smtp; 535"))
}

impl SaslOptions {
    pub(super) fn of(&self, tls: Option<&TlsSummary>) -> SecurityOptions {
        match tls {
            None => self.in_the_clear,
            Some(tls) if tls.is_matched => self.under_verified_tls,
            Some(_) => self.under_tls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::DsnStatus;

    #[test]
    fn refusals_are_remembered_for_a_while() {
        let time = Duration::from_secs(10);
        let mut failed = FailedMemory { logins: Arc::default(), time, is_soft: true };
        let login = |user: &str, password: &str| Credentials::Password {
            user: user.into(),
            password: password.into(),
        };
        let said = |text: &str| Failure {
            diagnostic: Some(format!("smtp; {text}")),
            ..Failure::ours(Scope::Site, DsnStatus::new(4, 7, 8), "SASL authentication failed; …")
        };
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        failed.put("mx", &login("a", "x"), &said("535 5.7.8 no"), at(0));
        failed.put("mx", &login("b", "x"), &said("454 4.7.0 later"), at(0));
        for (host, credentials, secs, expect) in [
            ("mx", login("a", "x"), 9, true),
            ("mx", login("a", "x"), 10, false),
            ("mx", login("a", "other"), 9, false),
            ("mx2", login("a", "x"), 9, false),
            ("mx", login("b", "x"), 9, false),
        ] {
            let found = failed.find(host, &credentials, at(secs));
            assert_eq!(found.is_some(), expect, "{host} {credentials:?} {secs}");
            let text = "SASL [CACHED] authentication failed; server mx said: 535 5.7.8 no";
            assert!(found.is_none_or(|failure| failure.reason == text));
        }
        failed.is_soft = false;
        let status = failed.find("mx", &login("a", "x"), at(0)).map(|failure| failure.status);
        assert_eq!(status, Some(DsnStatus::new(5, 7, 8)));
    }
}
