//! What the DNS says that a server must show (RFC 7672): its TLSA records, if they can be believed.

use super::tls::Level;
use mail::DsnStatus;
use mail::dns::{Failure as DnsFailure, Kind, Record};
use net::Resolver;
use net::mx::{MxOwner, Server, dns_failure_text};
use net::resolver::Options;
use net::tls::{ClientLevel, DANE_EE, DANE_TA, FINGERPRINT, Tlsa};
use smtp::client::{Failure, Scope};

/// DANE of one transport.
pub struct Dane {
    pub resolver: Resolver,
    /// Why the levels `dane` and `dane-only` cannot be had, as it is logged behind them: the rest of main.cf will not let it.
    pub obstacle: Option<&'static str>,
    /// `smtp_tls_dane_insecure_mx_policy`.
    pub insecure_mx_policy: ClientLevel,
    /// `smtp_tls_force_insecure_host_tlsa_lookup`.
    pub force_insecure_host_tlsa_lookup: bool,
}

/// What the level comes to for one server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No records that count: this level in place of `dane`.
    Instead(ClientLevel),
    Records {
        level: ClientLevel,
        records: Vec<Tlsa>,
        /// Where they stand; the name to ask the server for, and one that its certificate may bear.
        base_domain: String,
        /// Others that it may bear.
        names: Vec<String>,
    },
}

/// TLSA records of one name.
enum Looked {
    None,
    /// There are some, of no use to mail.
    Unusable,
    Some(Vec<Tlsa>),
}

/// A lookup that must not be taken for "there are none".
struct Failed;

impl Dane {
    /// What a server is known by. The level is `dane` or `dane-only`.
    ///
    /// # Errors
    /// The mail is to be put off: no other level is good enough, or nobody knows.
    pub(super) async fn find(
        &self,
        level: ClientLevel,
        destination: &str,
        server: &Server,
        exchanged: Option<&MxOwner>,
        warn: &(impl Fn(String) + Sync),
    ) -> Result<Found, Failure> {
        let is_only = level == ClientLevel::DaneOnly;
        let instead = |other: ClientLevel, why: &str| match is_only {
            true => Err(refusal(why)),
            false => Ok(Found::Instead(other)),
        };
        if let Some(obstacle) = self.obstacle {
            warn(format!("{destination}: {}", obstacle.replace("{level}", level.name())));
            return instead(ClientLevel::May, "client TLS configuration problem");
        }
        let is_mx_insecure = exchanged.is_some_and(|owner| !owner.is_authentic);
        if is_mx_insecure && (is_only || self.insecure_mx_policy == ClientLevel::May) {
            return instead(ClientLevel::May, "non DNSSEC destination");
        }
        let lookup_error =
            |Failed| refusal(&format!("TLSA lookup error for {}:{}", server.host, server.port));
        let (looked, base_domain) = self.records(server, warn).await.map_err(lookup_error)?;
        match looked {
            Looked::None => instead(ClientLevel::May, "no TLSA records found"),
            Looked::Unusable => instead(ClientLevel::Encrypt, "TLSA records unusable"),
            Looked::Some(_) if is_mx_insecure && self.insecure_mx_policy == ClientLevel::Encrypt => {
                instead(ClientLevel::Encrypt, "Verification not possible, MX RRset is insecure")
            }
            Looked::Some(records) => Ok(Found::Records {
                level: if is_mx_insecure { ClientLevel::HalfDane } else { level },
                records,
                base_domain: base_domain.to_owned(),
                names: exchanged.map(names).unwrap_or_default(),
            }),
        }
    }

    /// The records of the host, or if it is an alias of what that leads to, with the name they stand at.
    async fn records<'a>(
        &self,
        server: &'a Server,
        warn: &(impl Fn(String) + Sync),
    ) -> Result<(Looked, &'a str), Failed> {
        let (host, canonical) = (server.host.as_str(), server.canonical_host.as_str());
        let is_alias = !host.eq_ignore_ascii_case(canonical);
        if !server.is_authentic && !self.force_insecure_host_tlsa_lookup {
            // an alias may be signed where what it leads to is not
            let is_signed = is_alias && self.is_alias_signed(host, warn).await?;
            if !is_signed {
                return Ok((Looked::None, host));
            }
        }
        if server.is_authentic {
            let looked = self.look_up(canonical, server.port, warn).await?;
            if !(is_alias && matches!(looked, Looked::None)) {
                return Ok((looked, canonical));
            }
        }
        Ok((self.look_up(host, server.port, warn).await?, host))
    }

    async fn look_up(
        &self,
        host: &str,
        port: u16,
        warn: &(impl Fn(String) + Sync),
    ) -> Result<Looked, Failed> {
        let name = format!("_{port}._tcp.{host}");
        // Postfix: a lookup that fails gets a second chance
        if let Ok(looked) = self.look_up_once(&name, warn).await {
            return Ok(looked);
        }
        self.look_up_once(&name, warn).await
    }

    async fn look_up_once(&self, name: &str, warn: &(impl Fn(String) + Sync)) -> Result<Looked, Failed> {
        let lookup = self.signed().lookup(name, Kind::Tlsa).await;
        match lookup.outcome {
            Ok(answer) if answer.authentic => {
                let place = if answer.name.eq_ignore_ascii_case(name) {
                    name.to_owned()
                } else {
                    format!("{name} -> {}", answer.name)
                };
                let usable: Vec<Tlsa> =
                    answer.records.into_iter().filter_map(|record| usable(record, &place, warn)).collect();
                Ok(if usable.is_empty() { Looked::Unusable } else { Looked::Some(usable) })
            }
            Ok(_) => Ok(Looked::None),
            Err(DnsFailure::NoSuchDomain | DnsFailure::NoData) => Ok(Looked::None),
            Err(failure) => {
                let why = dns_failure_text(&lookup.name, Kind::Tlsa, &failure);
                warn(format!("DANE TLSA lookup problem: {why}"));
                Err(Failed)
            }
        }
    }

    async fn is_alias_signed(&self, host: &str, warn: &(impl Fn(String) + Sync)) -> Result<bool, Failed> {
        let lookup = self.signed().lookup(host, Kind::Cname).await;
        let failure = match lookup.outcome {
            Ok(answer) => return Ok(answer.authentic),
            Err(failure) => failure,
        };
        let why = match failure {
            DnsFailure::NoSuchDomain | DnsFailure::NoData => "no longer a CNAME".to_owned(),
            other => dns_failure_text(&lookup.name, Kind::Cname, &other),
        };
        warn(format!("DNSSEC status lookup error for {host}: {why}"));
        Err(Failed)
    }

    fn signed(&self) -> Resolver {
        self.resolver.with(Options { dnssec: true, ..Options::default() })
    }
}

impl Level {
    pub(super) fn dane(self) -> Option<ClientLevel> {
        match self {
            Level::Tls(level) if level.is_dane() => Some(level),
            _ => None,
        }
    }
}

fn refusal(why: &str) -> Failure {
    Failure::ours(Scope::Site, DsnStatus::new(4, 7, 5), why)
}

fn names(owner: &MxOwner) -> Vec<String> {
    let MxOwner { domain, canonical_domain, .. } = owner;
    match domain == canonical_domain {
        true => vec![domain.clone()],
        false => vec![canonical_domain.clone(), domain.clone()],
    }
}

/// RFC 7672 3.1.3: usages 0 and 1 do not apply to mail.
fn usable(record: Record, place: &str, warn: &impl Fn(String)) -> Option<Tlsa> {
    let Record::Tlsa { usage, selector, matching, data } = record else { return None };
    let record = Tlsa { usage, selector, matching, data };
    let flaw = match (usage, matching) {
        _ if record.data.is_empty() => {
            warn(format!("{place}: truncated TLSA RR length == 3"));
            return None;
        }
        (DANE_TA | DANE_EE, FINGERPRINT) => "reserved private-use matching type",
        (DANE_TA | DANE_EE, _) => return Some(record),
        _ => "unsupported TLSA certificate usage",
    };
    warn(format!("{place} {flaw}: {record}"));
    None
}
