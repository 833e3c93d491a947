//! Where mail for a next hop goes: the addresses to try, in order (RFC 5321 5.1), or why there are none.

use crate::resolver::{Lookup, NativeError, Options, kind_name};
use crate::{InetProtocols, Nexthop, Protocol, Resolver};
use mail::DsnStatus;
use mail::dns::{Failure, Kind, Record};
use mail::hostname;
use openssl::rand::rand_bytes;
use std::net::IpAddr;

/// Finds the servers of one transport. Cheap to use at once from many tasks.
pub struct Locator {
    resolver: Resolver,
    settings: Settings,
}

/// Parameters of the transport; those of lmtp begin with `lmtp_` in place of `smtp_`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub protocol: Protocol,
    pub inet_protocols: InetProtocols,
    /// `smtp_dns_support_level`, `disable_dns_lookups`.
    pub dns_support: DnsSupport,
    /// `smtp_host_lookup`.
    pub host_lookup: HostLookup,
    /// `res_defnames` and `res_dnsrch` of `smtp_dns_resolver_options`; they count for addresses, not for MX records.
    pub defnames: bool,
    pub dnsrch: bool,
    /// `smtp_address_preference`.
    pub address_preference: AddressPreference,
    /// `smtp_randomize_addresses`.
    pub randomize_addresses: bool,
    /// `smtp_mx_address_limit`; 0 is none. The caller stops there; here it only matters to the next.
    pub mx_address_limit: usize,
    /// `smtp_balance_inet_protocols`.
    pub balance_inet_protocols: bool,
    pub ignore_mx_lookup_error: bool,
    /// `smtp_tls_dane_insecure_mx_policy` is more than `may`: it matters whether addresses are signed, even if the MX records
    /// that lead to them are not.
    pub dnssec_behind_insecure_mx: bool,
    /// `smtp_defer_if_no_mx_address_found`.
    pub defer_if_no_mx_address_found: bool,
    /// Addresses on which this system receives mail: `inet_interfaces` and `proxy_interfaces`, spelled out.
    pub own_addresses: Vec<IpAddr>,
}

/// `smtp_dns_support_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsSupport {
    Disabled,
    Enabled,
    Dnssec,
}

/// `smtp_host_lookup`: where host names are looked up. With both, the system is asked when the DNS knows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLookup {
    pub dns: bool,
    pub native: bool,
}

/// `smtp_address_preference`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPreference {
    Any,
    Ipv4,
    Ipv6,
}

/// The servers for a next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// In the order to try. Not empty.
    pub list: Vec<Server>,
    /// We are among the mail exchangers: no fallback relay is to be tried.
    pub is_mx_host: bool,
    /// Whose MX records they were found by; None without such records.
    pub exchanged: Option<MxOwner>,
    pub warnings: Vec<String>,
}

/// The domain that MX records stand at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MxOwner {
    pub domain: String,
    /// The end of the domain's alias, where it has one.
    pub canonical_domain: String,
    /// The records are signed. With `dnssec` only.
    pub is_authentic: bool,
}

/// One address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The host as its MX record names it, or the next hop's host; the address itself for literals.
    pub host: String,
    /// The end of the host's alias, where it has one. For DANE (RFC 7672 2.2.2).
    pub canonical_host: String,
    pub address: IpAddr,
    pub port: u16,
    /// Of the MX record; those with the first one's are primary servers.
    pub preference: u32,
    /// The address records are signed. With `dnssec` only.
    pub is_authentic: bool,
}

/// Why there are no servers, as it is logged and reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoServers {
    pub status: DsnStatus,
    pub reason: String,
    /// It is ourselves: no fallback relay is to be tried, and `best_mx_transport` counts.
    pub is_loop: bool,
    pub is_mx_host: bool,
    pub warnings: Vec<String>,
}

/// What goes wrong on the way. A temporary failure stands against all permanent ones; the text is always the last.
#[derive(Default)]
struct Why {
    status: Option<DsnStatus>,
    reason: String,
    warnings: Vec<String>,
}

/// How Postfix ranks outcomes of lookups; of several, the greatest counts, of equals the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    NotFound,
    Fail,
    Invalid,
    Retry,
    Found,
}

impl Locator {
    pub fn new(resolver: Resolver, mut settings: Settings) -> Locator {
        if settings.dns_support == DnsSupport::Disabled {
            settings.host_lookup = HostLookup { dns: false, native: true };
        }
        Locator { resolver, settings }
    }

    /// The servers for a next hop: its mail exchangers, or if it has none or is in brackets the host itself.
    pub async fn locate(&self, nexthop: &Nexthop) -> Result<Servers, NoServers> {
        let is_smtp = self.settings.protocol == Protocol::Smtp;
        let task = Task {
            locator: self,
            name: &nexthop.host,
            host: nexthop.ascii_host().into_owned(),
            port: nexthop.port,
            // Postfix: somebody else may answer at another port of ours
            detects_loops: is_smtp && nexthop.port == 25,
            why: Why::default(),
        };
        if is_smtp && !nexthop.is_bracketed && self.settings.dns_support != DnsSupport::Disabled {
            task.by_domain().await
        } else {
            task.by_host().await
        }
    }
}

struct Task<'a> {
    locator: &'a Locator,
    /// For texts.
    name: &'a str,
    /// For the DNS.
    host: String,
    port: u16,
    detects_loops: bool,
    why: Why,
}

impl Task<'_> {
    async fn by_domain(mut self) -> Result<Servers, NoServers> {
        let dnssec = self.settings().dns_support == DnsSupport::Dnssec;
        let options = Options { dnssec, ..Options::default() };
        let lookup = lookup(&self.locator.resolver.with(options), &self.host, Kind::Mx).await;
        self.why.warnings.extend_from_slice(&lookup.notes);
        let class = class_of(&lookup);
        match lookup.outcome {
            Ok(answer) => {
                let exchangers = exchangers(&answer.records);
                if exchangers.iter().any(|exchanger| exchanger.host.is_empty()) {
                    // RFC 7505
                    self.why.reason = format!("Domain {} does not accept mail (nullMX)", lookup.name);
                    self.why.status = Some(DsnStatus::new(5, 1, 0));
                    return Err(self.why.give_up(false, false));
                }
                let domain = MxOwner {
                    domain: self.host.clone(),
                    canonical_domain: answer.name,
                    is_authentic: answer.authentic,
                };
                self.by_exchangers(exchangers, domain).await
            }
            Err(failure) => {
                self.why.set_dns_failure(&self.host, &lookup.name, Kind::Mx, &failure);
                match class {
                    Class::NotFound => return self.by_host().await,
                    _ if self.settings().ignore_mx_lookup_error => return self.by_host().await,
                    Class::Invalid => self.why.status = Some(DsnStatus::new(5, 4, 4)),
                    Class::Fail => self.why.status = Some(DsnStatus::new(5, 4, 3)),
                    Class::Retry | Class::Found => self.why.status = Some(DsnStatus::new(4, 4, 3)),
                }
                Err(self.why.give_up(false, false))
            }
        }
    }

    async fn by_exchangers(
        mut self,
        exchangers: Vec<Exchanger>,
        domain: MxOwner,
    ) -> Result<Servers, NoServers> {
        let settings = self.settings();
        let is_dnssec = settings.dns_support == DnsSupport::Dnssec;
        let dnssec = domain.is_authentic || is_dnssec && settings.dnssec_behind_insecure_mx;
        let best_preference = exchangers.first().map(|exchanger| exchanger.preference);
        let mut list = Vec::new();
        for Exchanger { host, preference } in exchangers {
            self.add_addresses(&mut list, &host, preference, dnssec).await;
        }
        if list.is_empty() {
            if self.settings().defer_if_no_mx_address_found {
                self.why.soften();
            }
            self.why.warnings.push(format!("no MX host for {} has a valid address record", self.name));
            return Err(self.why.give_up(false, false));
        }
        let best_found = list.first().map(|server| server.preference);
        let own_preference = list.iter().find(|server| self.is_own(server)).map(|server| server.preference);
        if let Some(own_preference) = own_preference {
            // we are a backup: only better exchangers may get it, or it goes round and round (RFC 5321 5.1)
            let better = list.iter().take_while(|server| server.preference != own_preference).count();
            list.truncate(better);
            if list.is_empty() && best_preference != best_found {
                self.why.reason = format!("unable to find primary relay for {}", self.name);
                self.why.status = Some(DsnStatus::new(4, 4, 4));
                return Err(self.why.give_up(false, true));
            }
            if list.is_empty() {
                return Err(self.loops_back(true));
            }
        }
        self.arrange(&mut list);
        Ok(Servers {
            list,
            is_mx_host: own_preference.is_some(),
            exchanged: Some(domain),
            warnings: self.why.warnings,
        })
    }

    async fn by_host(mut self) -> Result<Servers, NoServers> {
        let dnssec = self.settings().dns_support == DnsSupport::Dnssec;
        self.why.status = None;
        let mut list = Vec::new();
        let host = self.host.clone();
        self.add_addresses(&mut list, &host, 0, dnssec).await;
        if list.is_empty() {
            return Err(self.why.give_up(false, false));
        }
        if list.iter().any(|server| self.is_own(server)) {
            return Err(self.loops_back(false));
        }
        self.arrange(&mut list);
        Ok(Servers { list, is_mx_host: false, exchanged: None, warnings: self.why.warnings })
    }

    /// Appends the addresses of a host; what fails is noted in `why`.
    async fn add_addresses(&mut self, list: &mut Vec<Server>, host: &str, preference: u32, dnssec: bool) {
        let port = self.port;
        let server = |canonical_host: &str, address, is_authentic| Server {
            host: host.to_string(),
            canonical_host: canonical_host.to_string(),
            address,
            port,
            preference,
            is_authentic,
        };
        if hostname::is_address(host.as_bytes())
            && let Ok(address) = host.parse()
            && self.settings().inet_protocols.allows(address)
        {
            return list.push(server(host, address, false));
        }
        if self.settings().host_lookup.dns {
            let (found, class) = self.dns_addresses(host, dnssec).await;
            list.extend(found.iter().map(|(name, address, authentic)| server(name, *address, *authentic)));
            if class != Class::NotFound {
                return;
            }
        }
        if self.settings().host_lookup.native {
            match self.locator.resolver.native_addresses(host, self.settings().inet_protocols).await {
                Ok(found) => list.extend(found.into_iter().map(|address| server(host, address, false))),
                Err(error) => self.why.set_native_failure(host, error),
            }
        }
    }

    /// The addresses of a host of all families, and how that went: with the family that went best, or last.
    async fn dns_addresses(&mut self, host: &str, dnssec: bool) -> (Vec<(String, IpAddr, bool)>, Class) {
        let Settings { inet_protocols, defnames, dnsrch, .. } = *self.settings();
        let resolver = self.locator.resolver.with(Options { dnssec, defnames, dnsrch });
        let of_kind = |kind, is_wanted| {
            let resolver = &resolver;
            async move { if is_wanted { Some((kind, lookup(resolver, host, kind).await)) } else { None } }
        };
        let (ipv4, ipv6) =
            tokio::join!(of_kind(Kind::A, inet_protocols.ipv4), of_kind(Kind::Aaaa, inet_protocols.ipv6));
        let mut found = Vec::new();
        let mut class = None;
        for (kind, lookup) in [ipv4, ipv6].into_iter().flatten() {
            self.why.warnings.extend_from_slice(&lookup.notes);
            let this = class_of(&lookup);
            if class.is_some_and(|best| this < best) {
                continue;
            }
            class = Some(this);
            match &lookup.outcome {
                Ok(answer) => {
                    let addresses = crate::resolver::addresses(&answer.records).into_iter();
                    found.extend(addresses.map(|address| (answer.name.clone(), address, answer.authentic)));
                }
                Err(failure) => self.why.set_dns_failure(host, &lookup.name, kind, failure),
            }
        }
        let class = class.unwrap_or(Class::NotFound);
        self.why.set_address_status(class);
        (found, class)
    }

    /// Shuffles what is equally good, keeps better exchangers in front, and leaves room for both families.
    fn arrange(&self, list: &mut Vec<Server>) {
        if self.settings().randomize_addresses {
            shuffle(list);
        }
        let preference = self.settings().address_preference;
        list.sort_by_key(|server| {
            let family = match preference {
                AddressPreference::Any => false,
                AddressPreference::Ipv4 => server.address.is_ipv6(),
                AddressPreference::Ipv6 => server.address.is_ipv4(),
            };
            (server.preference, family)
        });
        if self.settings().balance_inet_protocols && self.settings().mx_address_limit > 0 {
            balance(list, self.settings().mx_address_limit);
        }
    }

    fn is_own(&self, server: &Server) -> bool {
        self.detects_loops && self.settings().own_addresses.contains(&server.address)
    }

    fn loops_back(mut self, is_mx_host: bool) -> NoServers {
        self.why.reason = format!("mail for {} loops back to myself", self.name);
        self.why.status = Some(DsnStatus::new(5, 4, 6));
        self.why.give_up(true, is_mx_host)
    }

    fn settings(&self) -> &Settings {
        &self.locator.settings
    }
}

impl Why {
    fn set_dns_failure(&mut self, asked: &str, name: &str, kind: Kind, failure: &Failure) {
        self.reason = dns_failure_text(name, kind, failure);
        if *failure == Failure::AliasLoop {
            self.warnings.push(format!("dns_lookup: Name server loop for {asked}"));
        }
    }

    fn set_address_status(&mut self, class: Class) {
        let soft = |hard: DsnStatus| if self.is_soft() { hard.with_class(4) } else { hard };
        self.status = match class {
            Class::Found => return,
            Class::NotFound | Class::Invalid => Some(soft(DsnStatus::new(5, 4, 4))),
            Class::Fail => Some(soft(DsnStatus::new(5, 4, 3))),
            Class::Retry => Some(DsnStatus::new(4, 4, 3)),
        };
    }

    fn set_native_failure(&mut self, host: &str, error: NativeError) {
        let detail = if error == NativeError::Failed { (3, 0) } else { (4, 4) };
        let class = if self.is_soft() || error.is_temporary() { 4 } else { 5 };
        self.status = Some(DsnStatus::new(class, detail.0, detail.1));
        self.reason = format!("unable to look up host {host}: {error}");
    }

    fn is_soft(&self) -> bool {
        self.status.is_some_and(|status| status.class() == 4)
    }

    fn soften(&mut self) {
        self.status = self.status.map(|status| status.with_class(4));
    }

    fn give_up(self, is_loop: bool, is_mx_host: bool) -> NoServers {
        let status = self.status.unwrap_or(DsnStatus::new(4, 3, 0));
        NoServers { status, reason: self.reason, is_loop, is_mx_host, warnings: self.warnings }
    }
}

struct Exchanger {
    host: String,
    preference: u32,
}

fn exchangers(records: &[Record]) -> Vec<Exchanger> {
    let exchanger = |record: &Record| match record {
        Record::Mx { preference, host } => {
            Some(Exchanger { host: host.clone(), preference: u32::from(*preference) })
        }
        _ => None,
    };
    let mut list: Vec<Exchanger> = records.iter().filter_map(exchanger).collect();
    list.sort_by_key(|exchanger| exchanger.preference);
    list
}

/// Postfix asks the DNS only for what can be a host name.
async fn lookup(resolver: &Resolver, name: &str, kind: Kind) -> Lookup {
    if hostname::is_hostname(name.as_bytes()) {
        return resolver.lookup(name, kind).await;
    }
    Lookup { outcome: Err(Failure::InvalidName), name: name.to_string(), notes: Vec::new() }
}

fn class_of(lookup: &Lookup) -> Class {
    match &lookup.outcome {
        Ok(_) => Class::Found,
        Err(Failure::NoSuchDomain | Failure::NoData | Failure::InvalidName | Failure::AliasLoop) => {
            Class::NotFound
        }
        Err(Failure::ServerFailure { rcode: 2 | 4 | 5 } | Failure::Timeout | Failure::Malformed) => {
            Class::Retry
        }
        Err(Failure::ServerFailure { .. }) => Class::Fail,
        Err(Failure::InvalidData) => Class::Invalid,
    }
}

/// A failed lookup in Postfix's words.
pub fn dns_failure_text(name: &str, kind: Kind, failure: &Failure) -> String {
    let what = match failure {
        Failure::NoSuchDomain => "Host not found",
        Failure::NoData => "Host found but no data record of requested type",
        Failure::ServerFailure { rcode: 2 | 4 | 5 } | Failure::Timeout => "Host not found, try again",
        Failure::ServerFailure { .. } => "Non-recoverable error",
        Failure::AliasLoop => return format!("Name server loop for {name}"),
        Failure::InvalidName => return format!("Name service error for {name}: invalid host or domain name"),
        Failure::Malformed | Failure::InvalidData => {
            let kind = kind_name(kind);
            return format!(
                "Name service error for name={name} type={kind}: Malformed or unexpected name server reply"
            );
        }
    };
    let kind = kind_name(kind);
    format!("Host or domain name not found. Name service error for name={name} type={kind}: {what}")
}

/// Every order is equally likely. Without random octets the order stays.
fn shuffle(list: &mut [Server]) {
    let mut random = vec![0; list.len() * 4];
    if rand_bytes(&mut random).is_err() {
        return;
    }
    for (at, random) in random.chunks_exact(4).enumerate().skip(1) {
        let random = u32::from_ne_bytes([random[0], random[1], random[2], random[3]]) as usize;
        list.swap(at, random % (at + 1));
    }
}

/// Takes addresses off the end of the more numerous family, so that neither takes all of the `limit` attempts.
fn balance(list: &mut Vec<Server>, limit: usize) {
    let ipv4_count = list.iter().filter(|server| server.address.is_ipv4()).count();
    let ipv6_count = list.len() - ipv4_count;
    if ipv4_count == 0 || ipv6_count == 0 || list.len() <= limit {
        return;
    }
    let half = limit / 2;
    let mut ipv4_left = if ipv6_count <= half {
        limit - ipv6_count
    } else if ipv4_count <= half {
        ipv4_count
    } else {
        (limit + usize::from(list[0].address.is_ipv4())) / 2
    };
    let mut ipv6_left = limit - ipv4_left;
    list.retain(|server| {
        let left = if server.address.is_ipv4() { &mut ipv4_left } else { &mut ipv6_left };
        let is_kept = *left > 0;
        *left = left.saturating_sub(1);
        is_kept
    });
}

#[cfg(test)]
#[path = "mx_tests.rs"]
mod tests;
