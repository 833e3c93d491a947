//! Names and addresses as programs of the system see them: `/etc/hosts` first, then the DNS with its search domains.
//! This is what getaddrinfo(3) and getnameinfo(3) do where nsswitch.conf says `files dns`, without blocking.

use super::{Options, Resolver};
use crate::InetProtocols;
use mail::dns::{Failure, Kind, Record};
use mail::hostname;
use std::fmt;
use std::net::IpAddr;

/// The name of a client, as far as it can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName {
    /// Verified: it leads back to the address. Else `unknown`.
    pub name: String,
    pub name_status: NameStatus,
    /// What the address says its name is, or `unknown`.
    pub reverse_name: String,
    pub reverse_name_status: NameStatus,
    /// What is to be logged, as warnings.
    pub warnings: Vec<String>,
}

/// How a name was found, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameStatus {
    Ok,
    /// The lookup failed and may succeed later.
    Temporary,
    /// There is no name.
    Permanent,
    /// There is a name, and it does not lead back to the address.
    Forged,
}

/// Why the system knows no address of a name; prints the C library's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeError {
    /// EAI_NONAME.
    Unknown,
    /// EAI_NODATA.
    NoAddress,
    /// EAI_AGAIN.
    TryAgain,
    /// EAI_FAIL.
    Failed,
}

const UNKNOWN: &str = "unknown";

impl Resolver {
    /// All addresses of a name or of a numeric address: getaddrinfo(3). Not empty.
    pub async fn native_addresses(
        &self,
        name: &str,
        protocols: InetProtocols,
    ) -> Result<Vec<IpAddr>, NativeError> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return if protocols.allows(address) { Ok(vec![address]) } else { Err(NativeError::Unknown) };
        }
        let hosts = self.shared.hosts.get();
        let listed = hosts.addresses_of(name).iter().copied().filter(|address| protocols.allows(*address));
        let listed: Vec<IpAddr> = listed.collect();
        if !listed.is_empty() {
            return Ok(listed);
        }
        let searching = self.with(Options { dnssec: false, defnames: true, dnsrch: true });
        let (ipv4, ipv6) = tokio::join!(
            searching.addresses_of_kind(name, Kind::A, protocols.ipv4),
            searching.addresses_of_kind(name, Kind::Aaaa, protocols.ipv6)
        );
        merge(ipv4, ipv6)
    }

    async fn addresses_of_kind(
        &self,
        name: &str,
        kind: Kind,
        is_wanted: bool,
    ) -> Option<Result<Vec<IpAddr>, NativeError>> {
        if !is_wanted {
            return None;
        }
        let outcome = self.lookup(name, kind).await.outcome;
        Some(outcome.map(|answer| addresses(&answer.records)).map_err(|failure| NativeError::of(&failure)))
    }

    /// The name of a client by its address, checked against the addresses of that name:
    /// `smtpd_peername_lookup = yes`.
    pub async fn client_name(&self, address: IpAddr) -> ClientName {
        let mut client = ClientName::unknown(NameStatus::Permanent);
        let name = match self.reverse_name(address).await {
            Ok(name) => name,
            Err(NativeError::TryAgain) => return ClientName::unknown(NameStatus::Temporary),
            Err(_) => return client,
        };
        if hostname::is_address(name.as_bytes()) {
            client.warnings.push(format!("numeric hostname: {name}"));
            return client;
        }
        if let Err(flaw) = hostname::check(name.as_bytes(), false) {
            client.warnings.push(format!("valid_hostname: {flaw}: {name:.100}"));
            return client;
        }
        client.reverse_name.clone_from(&name);
        client.reverse_name_status = NameStatus::Ok;
        self.verify(&mut client, name, address).await;
        client
    }

    /// The first name that the address has: getnameinfo(3).
    async fn reverse_name(&self, address: IpAddr) -> Result<String, NativeError> {
        if let Some(name) = self.shared.hosts.get().name_of(address) {
            return Ok(name.to_string());
        }
        let plain = self.with(Options::default());
        let answer = plain.lookup(&reverse_domain(address), Kind::Ptr).await.outcome;
        let records = answer.map_err(|failure| NativeError::of(&failure))?.records;
        let first = records.into_iter().find_map(|record| match record {
            Record::Ptr(name) => Some(name),
            _ => None,
        });
        first.ok_or(NativeError::Unknown)
    }

    async fn verify(&self, client: &mut ClientName, name: String, address: IpAddr) {
        let family = InetProtocols { ipv4: address.is_ipv4(), ipv6: address.is_ipv6() };
        let gripe = format!("hostname {name} does not resolve to address {address}");
        match self.native_addresses(&name, family).await {
            Ok(addresses) if addresses.contains(&address) => {
                client.name = name;
                client.name_status = NameStatus::Ok;
            }
            Ok(_) => {
                client.warnings.push(gripe);
                client.name_status = NameStatus::Forged;
            }
            Err(error) => {
                client.warnings.push(format!("{gripe}: {error}"));
                client.name_status =
                    if error.is_temporary() { NameStatus::Temporary } else { NameStatus::Forged };
            }
        }
    }
}

impl ClientName {
    /// Nothing is known, or was asked (`smtpd_peername_lookup = no`).
    pub fn unknown(status: NameStatus) -> ClientName {
        ClientName {
            name: UNKNOWN.into(),
            name_status: status,
            reverse_name: UNKNOWN.into(),
            reverse_name_status: status,
            warnings: Vec::new(),
        }
    }
}

impl NativeError {
    pub fn is_temporary(self) -> bool {
        self == NativeError::TryAgain
    }

    fn of(failure: &Failure) -> NativeError {
        match failure {
            Failure::NoSuchDomain | Failure::InvalidName | Failure::AliasLoop => NativeError::Unknown,
            Failure::NoData => NativeError::NoAddress,
            Failure::ServerFailure { rcode: 2 | 4 | 5 } | Failure::Timeout => NativeError::TryAgain,
            Failure::BadFilter => NativeError::TryAgain,
            Failure::ServerFailure { .. } | Failure::Malformed | Failure::InvalidData | Failure::Filtered => {
                NativeError::Failed
            }
        }
    }
}

impl fmt::Display for NativeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NativeError::Unknown => "Name or service not known",
            NativeError::NoAddress => "No address associated with hostname",
            NativeError::TryAgain => "Temporary failure in name resolution",
            NativeError::Failed => "Non-recoverable failure in name resolution",
        })
    }
}

/// The addresses among records.
pub(crate) fn addresses(records: &[Record]) -> Vec<IpAddr> {
    let address = |record: &Record| match record {
        Record::A(address) => Some(IpAddr::V4(*address)),
        Record::Aaaa(address) => Some(IpAddr::V6(*address)),
        _ => None,
    };
    records.iter().filter_map(address).collect()
}

/// Addresses of one family are enough; if there are none, the more hopeful of two errors counts.
fn merge(
    ipv4: Option<Result<Vec<IpAddr>, NativeError>>,
    ipv6: Option<Result<Vec<IpAddr>, NativeError>>,
) -> Result<Vec<IpAddr>, NativeError> {
    let mut found = Vec::new();
    let mut error = NativeError::Unknown;
    for result in [ipv4, ipv6].into_iter().flatten() {
        match result {
            Ok(addresses) => found.extend(addresses),
            Err(other) if error == NativeError::Unknown || other.is_temporary() => error = other,
            Err(_) => {}
        }
    }
    if found.is_empty() { Err(error) } else { Ok(found) }
}

/// `1.2.0.192.in-addr.arpa`, or its like under `ip6.arpa` (RFC 1035 3.5, RFC 3596 2.5).
pub(crate) fn reverse_domain(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_domains() {
        for (address, expect) in [
            ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
            ("2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
        ] {
            assert_eq!(reverse_domain(address.parse().unwrap()), expect);
        }
    }

    #[test]
    fn two_families_make_one_answer() {
        let yes = |text: &str| Some(Ok(vec![text.parse::<IpAddr>().unwrap()]));
        let no = |error| Some(Err(error));
        use NativeError::{NoAddress, TryAgain, Unknown};
        for (ipv4, ipv6, expect) in [
            (yes("192.0.2.1"), yes("::1"), Ok(2)),
            (yes("192.0.2.1"), no(TryAgain), Ok(1)),
            (no(NoAddress), None, Err(NoAddress)),
            (no(NoAddress), no(TryAgain), Err(TryAgain)),
            (no(TryAgain), no(NoAddress), Err(TryAgain)),
            (no(Unknown), no(NoAddress), Err(NoAddress)),
            (None, None, Err(Unknown)),
        ] {
            assert_eq!(merge(ipv4, ipv6).map(|found| found.len()), expect);
        }
    }
}
