//! smtpd(8): the driver of SMTP server sessions. The protocol is `smtp::server`'s, the judgement `policy`'s; this ties them to a
//! connection, to cleanup and to the spool.

mod auth;
mod client;
mod conversation;
mod facts;
mod networks;
mod policy_servers;
pub mod stand_alone;
mod tls;
mod transaction;

pub use auth::{Dovecot, Logins};
pub use networks::{Hosts, NetworkList, Pattern};
pub use policy_servers::PolicyServers;
pub use tls::Tls;

use crate::enqueue;
use conversation::Conversation;
use logger::Logger;
use mail::{Address, Time};
use net::listen::Accepted;
use net::{InetProtocols, Resolver};
use policy::{Restrictions, Verified};
use smtp::framing::ForbidBareNewline;
use smtp::server::{Config, Keywords};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tables::{Maps, Table};
use tokio::sync::mpsc::UnboundedSender;

/// One smtpd line of master.cf, with everything that its sessions need.
pub struct Service {
    /// Its first field.
    pub name: String,
    pub config: Arc<Config>,
    pub restrictions: Restrictions,
    /// The tables that restrictions name, in the order of [`Restrictions::tables`].
    pub tables: Vec<Arc<dyn Table>>,
    pub lists: Lists,
    pub policy_servers: PolicyServers,
    pub smtpd_sender_login_maps: Maps,
    pub rbl_reply_maps: Maps,
    pub relay_clientcerts: Maps,
    /// `reject_unverified_sender`, `reject_unverified_recipient`.
    pub verify: Arc<dyn Verify>,
    pub resolver: Resolver,
    pub inet_protocols: InetProtocols,
    /// `smtpd_peername_lookup`.
    pub smtpd_peername_lookup: bool,
    pub smtpd_client_port_logging: bool,
    /// `smtpd_timeout`.
    pub smtpd_timeout: Duration,
    pub smtpd_forbid_bare_newline: ForbidBareNewline,
    pub smtpd_discard_ehlo_keywords: Keywords,
    /// Words of `smtpd_forbidden_commands`, and its tables.
    pub smtpd_forbidden_commands: Vec<String>,
    pub smtpd_forbidden_tables: Vec<Arc<dyn Table>>,
    pub tls: Tls,
    /// None: `smtpd_sasl_auth_enable` is not set.
    pub logins: Option<Logins>,
    pub smtpd_sasl_authenticated_header: bool,
    /// `content_filter`; empty: none.
    pub content_filter: String,
    /// `receive_override_options` has `no_header_body_checks`.
    pub no_header_body_checks: bool,
    /// `receive_override_options` has `no_address_mappings`.
    pub no_address_mappings: bool,
    pub fast_flush_domains: route::NameList,
    /// Takes the domains that ETRN asks for, which are in lower case.
    pub flush: UnboundedSender<String>,
    pub enqueue: enqueue::Context,
    /// `postfix/smtpd`, or what `-o syslog_name=` makes of it.
    pub log: Logger,
    pub clock: Clock,
}

/// Address verification, as restrictions ask for it.
pub trait Verify: Send + Sync {
    /// What is known of an address. If it is time for it a probe is sent, whose result comes later.
    fn verify(&self, address: &Address) -> Verified;
}

/// The match lists that restrictions and sessions ask.
pub struct Lists {
    pub mynetworks: NetworkList,
    /// What `mynetworks_style = host` gives.
    pub mynetworks_host: NetworkList,
    pub permit_mx_backup_networks: NetworkList,
    pub relay_domains: route::NameList,
    pub inet_interfaces: NetworkList,
    pub own_addresses: NetworkList,
    pub smtpd_log_access_permit_actions: Vec<String>,
    pub smtpd_authorized_verp_clients: NetworkList,
    /// Clients for which `smtpd_forbid_bare_newline` is `no`.
    pub smtpd_forbid_bare_newline_exclusions: NetworkList,
}

/// The time of day, and how mail and logs write it.
#[derive(Clone, Copy)]
pub struct Clock {
    pub now: fn() -> Time,
    /// Postfix's Date:.
    pub date: fn(Time) -> String,
    /// `Nov 25 01:02:03`.
    pub stamp: fn(Time) -> String,
}

/// Counts messages, for the `instance` of policy requests.
static MESSAGES: AtomicU64 = AtomicU64::new(0);

/// Serves one client until it leaves. `number` stands for a process id in the log: each session at a time has its own.
pub async fn serve(service: Arc<Service>, accepted: Accepted, local: Option<SocketAddr>, number: u32) {
    let log = service.log.with_pid(number);
    let Accepted { stream, peer, permit } = accepted;
    let mut conversation = Conversation::begin(service, stream, peer, local, log).await;
    conversation.run().await;
    drop(permit);
}
