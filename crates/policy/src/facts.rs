//! What restrictions ask of the world: tables, the DNS, routing, policy servers.
//!
//! A trait, so that this room has no files and no sockets. Everything answers found, not found, or try later.

use crate::delegation::Request;
use crate::event::Event;
use crate::service::PolicyService;
use bytes::Bytes;
use mail::Address;
use mail::dns::Dns;
use mail::keys::Key;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

/// The world as restrictions see it. Futures that are ready at once cost no allocation.
pub trait Facts: Sync {
    /// One exact lookup in an access table. The table has said why in the log if it fails.
    fn table(&self, table: &Table, key: &Key<'_>) -> impl Future<Output = Found> + Send;

    /// A lookup in one of main.cf's maps.
    fn find(&self, map: Map, key: Asked<'_>) -> impl Future<Output = Found> + Send;

    /// Whether one of main.cf's match lists has the host (name and address) or the word.
    fn matches(&self, list: MatchList, subject: Subject<'_>) -> impl Future<Output = Is> + Send;

    fn dns(&self) -> &dyn Dns;

    /// The host's addresses as the system gives them, `/etc/hosts` included, those of `inet_protocols` only.
    fn host_addresses(&self, host: &str) -> impl Future<Output = Result<Vec<IpAddr>, HostFailure>> + Send;

    /// Where the address leads, when mail for it comes from this sender.
    fn resolve(
        &self,
        sender: Option<&Address>,
        address: &Address,
    ) -> impl Future<Output = Result<Resolved, Failed>> + Send;

    /// Whether the address is known to the tables of its class (`local_recipient_maps` and its kin), to the virtual
    /// alias maps or the canonical maps.
    fn listed(&self, query: ListedQuery<'_>) -> impl Future<Output = Result<Listed, Failed>> + Send;

    /// What address verification knows of the address by now.
    fn verify(&self, address: &Address) -> impl Future<Output = Result<Verified, Failed>> + Send;

    /// Asks a policy server, over an open connection if there is one, trying again as the service's settings say.
    /// Answers with the action, not yet checked; logs what went wrong.
    fn ask(
        &self,
        service: &PolicyService,
        request: &Request<'_>,
    ) -> impl Future<Output = Result<Bytes, Failed>> + Send;

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// `Nov 25 01:02:03`, local time: `$localtime` in replies.
    fn localtime(&self) -> String;

    /// Takes a line for the log.
    fn log(&self, event: &Event<'_>);
}

/// Found, not found, or try later.
pub type Found = Result<Option<Bytes>, Failed>;

/// Yes, no, or try later.
pub type Is = Result<bool, Failed>;

/// There is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// For now: 451 4.3.0.
    TryLater,
    /// Because of the configuration: 451 4.3.5.
    Misconfigured,
}

/// An access table that a restriction names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `type:name`, as main.cf has it.
    pub name: String,
    /// Its place in [`Restrictions::tables`](crate::Restrictions::tables).
    pub index: usize,
}

/// A map of main.cf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// `smtpd_sender_login_maps`, searched for an address.
    SenderLogin,
    /// `rbl_reply_maps`.
    RblReply,
    /// `relay_clientcerts`.
    RelayClientcerts,
}

/// What a map is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// This key and no other.
    Key(&'a [u8]),
    /// All the keys that stand for an address (`mail::keys::Search::ADDRESS`).
    Address(&'a Address),
}

/// A match list of main.cf, or of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchList {
    /// `mynetworks`.
    Mynetworks,
    /// What `mynetworks_style = host` would give: only asked where [`Compatibility::mynetworks_style`] is set.
    ///
    /// [`Compatibility::mynetworks_style`]: crate::Compatibility::mynetworks_style
    MynetworksHost,
    /// `permit_mx_backup_networks`.
    PermitMxBackupNetworks,
    /// `relay_domains`.
    RelayDomains,
    /// `inet_interfaces`: the machine's own addresses.
    InetInterfaces,
    /// `inet_interfaces` and `proxy_interfaces`.
    OwnAddresses,
    /// `mydestination` and own addresses in brackets.
    Mydestination,
    /// `smtpd_log_access_permit_actions`.
    LogAccessPermitActions,
}

/// What a match list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    Host { name: &'a str, address: &'a str },
    Address(IpAddr),
    Name(&'a str),
}

/// An address, rewritten and resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Complete, and in lower case. Only what never gets a domain has none.
    pub recipient: Address,
    pub class: Class,
    /// Its local part has routing of its own (`user%elsewhere@here`).
    pub is_routed: bool,
}

/// The class of an address: why we take mail for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Local,
    VirtualAlias,
    VirtualMailbox,
    Relay,
    /// Somebody else's.
    Default,
}

impl Class {
    /// Mail stays here.
    pub fn is_final(self) -> bool {
        matches!(self, Class::Local | Class::VirtualAlias | Class::VirtualMailbox)
    }
}

/// Which address is to be looked for in the tables of its class.
#[derive(Clone, Copy, Debug)]
pub struct ListedQuery<'a> {
    pub address: &'a Address,
    /// The other address of the envelope, whose routing may depend on it.
    pub other: Option<&'a Address>,
    /// The address is a sender: `sender_canonical_maps` count too.
    pub is_sender: bool,
}

/// What the tables of its class say of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// It is there, or its class has no table.
    Yes,
    /// Not in the table of this class, which is Local, VirtualMailbox or Relay.
    No(Class),
    /// It resolves to the error transport: an unknown address of a virtual alias domain, or an entry of
    /// transport_maps. With the nexthop as it stands there, status code and all.
    Error { text: String, class: Class },
    /// It resolves to the retry transport.
    Retry { text: String },
}

/// What address verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// A probe is under way.
    Pending(String),
    Deliverable,
    Deferred(String),
    Undeliverable(String),
}

/// Why a host has no addresses. Prints what the C library says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFailure {
    NotFound,
    NoAddress,
    TryLater,
    Failed,
}

impl fmt::Display for HostFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HostFailure::NotFound => "Name or service not known",
            HostFailure::NoAddress => "No address associated with hostname",
            HostFailure::TryLater => "Temporary failure in name resolution",
            HostFailure::Failed => "Non-recoverable failure in name resolution",
        })
    }
}
