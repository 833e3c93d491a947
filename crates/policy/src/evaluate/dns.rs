//! What the DNS says of a name, in the few ways that restrictions tell apart.

use super::client::without_dot;
use super::{Evaluation, Flow, ReplyClass, Step, Target};
use crate::facts::Facts;
use mail::DsnStatus;
use mail::dns::{Answer, Failure, Kind, Record};
use mail::hostname::{is_address, is_hostname, to_ascii};

/// How a query ended; what is further down outweighs what is further up when several were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DnsError {
    /// No such name, or nothing of the kind.
    NotFound,
    /// `MX 0 .` (RFC 7505).
    NullMx,
    /// The servers will not answer.
    Failed,
    /// The answer makes no sense.
    Malformed,
    TryLater,
}

impl DnsError {
    /// What the resolver library calls it.
    pub(super) fn text(self, failure: Option<&Failure>) -> &'static str {
        match (self, failure) {
            (_, Some(Failure::NoData)) | (DnsError::NullMx, _) => {
                "Host found but no data record of requested type"
            }
            (DnsError::NotFound, _) => "Host not found",
            (DnsError::Failed, _) => "Non-recoverable error",
            (DnsError::Malformed | DnsError::TryLater, _) => "Host not found, try again",
        }
    }
}

impl From<&Failure> for DnsError {
    fn from(failure: &Failure) -> DnsError {
        match failure {
            Failure::NoSuchDomain | Failure::NoData | Failure::InvalidName | Failure::AliasLoop => {
                DnsError::NotFound
            }
            // FORMERR
            Failure::ServerFailure { rcode: 1 } => DnsError::Failed,
            Failure::ServerFailure { .. } | Failure::Timeout | Failure::Malformed | Failure::BadFilter => {
                DnsError::TryLater
            }
            Failure::InvalidData | Failure::Filtered => DnsError::Malformed,
        }
    }
}

impl<'a, F: Facts> Evaluation<'a, F> {
    /// Looks up records of one kind. A name that cannot be one is not asked for.
    pub(super) async fn query(&self, name: &str, kind: Kind) -> Result<Answer, (DnsError, Failure)> {
        if !is_hostname(name.as_bytes()) || is_address(name.as_bytes()) {
            return Err((DnsError::NotFound, Failure::InvalidName));
        }
        let answer =
            self.facts.dns().query(name, kind).await.map_err(|failure| ((&failure).into(), failure))?;
        let is_null_mx = |record: &Record| matches!(record, Record::Mx { host, .. } if host.is_empty());
        match answer.records.iter().any(is_null_mx) {
            true => Err((DnsError::NullMx, Failure::NoData)),
            false => Ok(answer),
        }
    }

    /// Whether the name has records of one of these kinds. The first kind whose error is in `ends` ends the search.
    async fn exists(&self, name: &[u8], kinds: &[Kind], ends: &[DnsError]) -> Result<(), DnsError> {
        let name = String::from_utf8_lossy(name);
        let mut worst = DnsError::NotFound;
        for kind in kinds {
            match self.query(&name, *kind).await {
                Ok(_) => return Ok(()),
                Err((error, _)) => {
                    worst = worst.max(error);
                    if ends.contains(&error) {
                        break;
                    }
                }
            }
        }
        Err(worst)
    }

    /// `reject_unknown_helo_hostname`: no address and no MX.
    pub(super) async fn reject_unknown_helo_hostname(&mut self) -> Step<'a> {
        let Some(helo) = self.helo_name()? else {
            return Ok(Flow::Dunno);
        };
        let target = Target::new(helo, ReplyClass::Helo, None);
        let settings = self.settings();
        let status = DsnStatus::new(4, 7, 1);
        match self.exists(helo, &[Kind::A, Kind::Aaaa, Kind::Mx], &[]).await {
            // a host that takes no mail may well send some
            Ok(()) | Err(DnsError::NullMx) => Ok(Flow::Dunno),
            Err(DnsError::TryLater) => {
                let action = settings.unknown_helo_hostname_tempfail_action;
                self.tempfail(action, 450, status, target.rejected("Host not found"))
            }
            Err(error) => {
                let text = target.rejected(not_found(error, "Host not found"));
                self.reject(settings.unknown_hostname_reject_code, status, text)
            }
        }
    }

    /// `reject_unknown_sender_domain` and its twin for recipients: no MX and no address, or a null MX.
    pub(super) async fn reject_unknown_domain(&mut self, domain: &[u8], target: &Target<'a>) -> Step<'a> {
        let domain = to_ascii(domain);
        let is_sender = target.class == ReplyClass::Sender;
        let settings = self.settings();
        let status = DsnStatus::new(4, 1, if is_sender { 8 } else { 2 });
        let ends = [DnsError::Malformed, DnsError::NullMx];
        match self.exists(&domain, &[Kind::Mx, Kind::A, Kind::Aaaa], &ends).await {
            Ok(()) => Ok(Flow::Dunno),
            Err(DnsError::NullMx) => {
                let text = [b"Domain ", &*domain, b" does not accept mail (nullMX)"].concat();
                // RFC 7505 4.2
                let (code, status) = match is_sender {
                    true => (550, DsnStatus::new(4, 7, 27)),
                    false => (556, DsnStatus::new(4, 1, 10)),
                };
                self.reject(code, status, target.rejected(text))
            }
            Err(DnsError::TryLater) => {
                let action = settings.unknown_address_tempfail_action;
                self.tempfail(action, 450, status, target.rejected("Domain not found"))
            }
            Err(error) => {
                let text = target.rejected(not_found(error, "Domain not found"));
                self.reject(settings.unknown_address_reject_code, status, text)
            }
        }
    }
}

fn not_found(error: DnsError, usual: &'static str) -> &'static str {
    if error == DnsError::Malformed { "Malformed DNS server reply" } else { usual }
}

/// The domain of an address, fit for the DNS; None for an address literal.
pub(super) fn dns_domain(domain: &[u8]) -> Option<String> {
    let domain = to_ascii(without_dot(domain));
    (!domain.starts_with(b"[")).then(|| String::from_utf8_lossy(&domain).into_owned())
}
