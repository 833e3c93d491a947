//! How much TLS a destination wants (`smtp_tls_security_level`).

use net::tls::{ClientLevel, ClientPolicy, ClientTls};
use std::time::Duration;

/// `smtp_tls_security_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    None,
    Tls(ClientLevel),
}

/// TLS of one transport.
pub struct Tls {
    /// None: its own files or settings are broken, as the log said when it was built.
    pub engine: Option<ClientTls>,
    /// What is wanted of every destination; None is no TLS.
    pub policy: Option<ClientPolicy>,
    /// `smtp_tls_wrappermode`: the handshake comes first (port 465).
    pub wrappermode: bool,
    /// `smtp_tls_loglevel`.
    pub loglevel: u32,
    /// `smtp_tls_note_starttls_offer`.
    pub note_starttls_offer: bool,
    /// `smtp_starttls_timeout`.
    pub timeout: Duration,
}

/// TLS as one connection is to have it.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) policy: Option<&'a ClientPolicy>,
}

impl Tls {
    pub(super) fn wish(&self) -> Wish<'_> {
        Wish { policy: self.policy.as_ref() }
    }
}

impl Wish<'_> {
    /// After an optional handshake failed: without.
    pub(super) const IN_THE_CLEAR: Wish<'static> = Wish { policy: None };

    pub(super) fn level(self) -> Level {
        self.policy.map_or(Level::None, |policy| Level::Tls(policy.level))
    }

    pub(super) fn is_required(self) -> bool {
        matches!(self.level(), Level::Tls(level) if level > ClientLevel::May)
    }

    pub(super) fn is_optional(self) -> bool {
        self.level() == Level::Tls(ClientLevel::May)
    }
}
