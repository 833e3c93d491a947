//! What pure rooms ask of the DNS. `net` has the resolver, tests have a zone in memory.

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

/// A DNS resolver, as mail uses one.
pub trait Dns: Send + Sync {
    /// Looks up the records of one kind, following CNAMEs. `name` is in presentation form, with or without its last dot.
    fn query<'a>(
        &'a self,
        name: &'a str,
        kind: Kind,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>;
}

/// A record type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    A,
    Aaaa,
    Mx,
    Ns,
    Ptr,
    Txt,
    Srv,
    Tlsa,
    Cname,
    Soa,
}

/// At least one record of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub records: Vec<Record>,
    /// The name that CNAMEs led to, without its last dot.
    pub name: String,
    /// Every record on the way was validated by a resolver that is trusted to say so (the AD bit).
    pub authentic: bool,
    /// Seconds for which the answer may be kept.
    pub ttl: u32,
}

/// One record. Host names are in presentation form without the last dot; a lone dot (null MX) is the empty string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Mx {
        preference: u16,
        host: String,
    },
    Ns(String),
    Ptr(String),
    /// The strings of one TXT record, joined.
    Txt(Vec<u8>),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: String,
    },
    Tlsa {
        usage: u8,
        selector: u8,
        matching: u8,
        data: Vec<u8>,
    },
    Cname(String),
    Soa(String),
}

/// Why there is no answer. Some of these are answers too, the others mean "try later": see `is_temporary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// NXDOMAIN.
    NoSuchDomain,
    /// The name exists, without records of this kind.
    NoData,
    /// The name cannot be one of the DNS: a label over 63 octets, an empty one.
    InvalidName,
    /// SERVFAIL, REFUSED or another error code.
    ServerFailure { rcode: u8 },
    /// No server answered in time.
    Timeout,
    /// An answer that makes no sense.
    Malformed,
    /// There are records of the kind, and what they name are no host names.
    InvalidData,
    /// A CNAME chain without end.
    AliasLoop,
    /// There are records, and a filter left none of them (`smtp_dns_reply_filter`).
    Filtered,
    /// A filter could not be asked, or answered something that makes no sense.
    BadFilter,
}

impl Failure {
    /// Whether the same question may get an answer later.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Failure::ServerFailure { .. } | Failure::Timeout | Failure::Malformed | Failure::BadFilter
        )
    }
}
