//! Who we are to a server: `smtp_sasl_password_maps`.

use mail::Address;
use mail::keys::{Extensions, Search};
use net::tls::{Certificate, TlsSummary};
use route::NameList;
use smtp::sasl::{Credentials, SecurityOptions};
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
    pub options: SaslOptions,
    /// `smtp_sasl_mechanism_filter`; empty: any mechanism.
    pub mechanisms: NameList,
}

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
            let hit = self.passwords.find(sender, Search::ADDRESS, &self.recipient_delimiter, false).await?;
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

impl SaslOptions {
    pub(super) fn of(&self, tls: Option<&TlsSummary>) -> SecurityOptions {
        match tls {
            None => self.in_the_clear,
            Some(tls) if tls.certificate == Certificate::Verified => self.under_verified_tls,
            Some(_) => self.under_tls,
        }
    }
}
