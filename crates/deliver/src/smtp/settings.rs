//! What a line of master.cf for smtp(8) or lmtp(8) is set to.

use super::login::Logins;
use super::tls::Tls;
use super::wire::Timeouts;
use logger::Logger;
use mail::Time;
use net::idle::IdleLimits;
use net::{Nexthop, Protocol, Services};
use route::NameList;
use smtp::Keywords;
use smtp::client::VerifyTarget;
use std::sync::Arc;
use std::time::Duration;
use tables::Maps;

/// Parameters of the agent; those of lmtp(8) begin with `lmtp_` in place of `smtp_`.
pub struct Settings {
    pub protocol: Protocol,
    /// `smtp_tcp_port`: the port for destinations that name none.
    pub smtp_tcp_port: String,
    pub services: Services,
    /// A relayhost that cannot be found is taken for a mistake that will be mended.
    pub relayhost: String,
    /// `smtp_fallback_relay`.
    pub fallback_relay: Vec<Nexthop>,
    /// Servers to connect to for one job; 0 is no limit.
    pub mx_address_limit: usize,
    /// Of those, with how many to speak beyond the greeting; 0 is no limit.
    pub mx_session_limit: usize,
    /// Mail that has waited so long may go in the clear when an optional TLS handshake fails.
    pub minimal_backoff_time: Duration,
    pub helpful_warnings: bool,
    /// What is refused for good is tried at the next server, as what is refused for now always is.
    pub soft_bounce: bool,
    pub lmtp_assume_final: bool,
    pub conversation: Arc<smtp::client::Settings>,
    pub timeouts: Arc<Timeouts>,
    pub address_verify_target: VerifyTarget,
    pub discard_ehlo_keywords: EhloKeywords,
    /// `smtp_pix_workarounds` has `disable_esmtp`.
    pub disables_esmtp_behind_pix: bool,
    /// None: `smtp_sasl_auth_enable` is not set.
    pub logins: Option<Logins>,
    pub tls: Tls,
    pub caching: Caching,
    pub log: Logger,
    pub now: fn() -> Time,
}

/// What of a server's EHLO reply is to be overlooked.
#[derive(Clone, Default)]
pub struct EhloKeywords {
    pub keywords: Keywords,
    /// `smtp_discard_ehlo_keyword_address_maps`: they count in place of the others.
    pub by_address: Maps,
}

/// When connections are used again.
pub struct Caching {
    /// `smtp_connection_cache_on_demand`: when the queue manager says so.
    pub on_demand: bool,
    /// `smtp_connection_cache_destinations`: always.
    pub destinations: NameList,
    pub limits: IdleLimits,
}
