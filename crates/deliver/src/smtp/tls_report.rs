//! Tells TLSRPT how TLS with a server went (RFC 8460). Only domains that ask for reports are counted.

use super::session::Target;
use crate::tlsrpt::{FailureKind, Sender, Session, Tlsrpt};
use mail::dns::{Kind, Record};
use net::Resolver;
use net::tls::{Certificate, TlsSummary};
use std::sync::Arc;
use std::time::SystemTime;

/// Where counts go.
pub struct Reporting {
    pub tlsrpt: Arc<Tlsrpt>,
    pub sender: Sender,
    pub resolver: Resolver,
}

impl Reporting {
    /// Counts an attempt. The error is to be logged.
    pub(super) async fn count(
        &self,
        target: &Target<'_>,
        failure: Option<FailureKind>,
    ) -> Result<(), String> {
        let Some(wanted) = &target.wish.tls else { return Ok(()) };
        let domain = target.domain.to_ascii_lowercase();
        if target.address.is_none() || !self.is_wanted(&domain).await {
            return Ok(());
        }
        let session = Session {
            domain,
            policy: wanted.source.clone(),
            host: target.server.host.clone(),
            address: target.server.address.clone(),
            failure,
        };
        let counted = self.tlsrpt.count(session, &self.sender, SystemTime::now());
        counted.map_err(|error| format!("TLSRPT report in {}: {error}", self.sender.folder.display()))
    }

    /// RFC 8460 3: the domain says where reports go.
    async fn is_wanted(&self, domain: &str) -> bool {
        if !mail::hostname::is_hostname(domain.as_bytes()) {
            return false;
        }
        let lookup = self.resolver.lookup(&format!("_smtp._tls.{domain}"), Kind::Txt).await;
        let is_record =
            |record: &Record| matches!(record, Record::Txt(text) if text.starts_with(b"v=TLSRPTv1;"));
        lookup.outcome.is_ok_and(|answer| answer.records.iter().any(is_record))
    }
}

/// What is wrong with a server's certificate; None if nothing is, as far as it matters.
pub(super) fn certificate_failure(summary: &TlsSummary, must_match: bool) -> Option<FailureKind> {
    let is_good = if must_match { summary.is_matched } else { summary.certificate >= Certificate::Trusted };
    if is_good {
        return None;
    }
    let why = summary.verify_failure.as_deref().unwrap_or_default();
    let words = [
        ("has expired", FailureKind::CertificateExpired),
        ("hostname mismatch", FailureKind::CertificateHostMismatch),
        ("untrusted issuer", FailureKind::CertificateNotTrusted),
        ("self-signed", FailureKind::CertificateNotTrusted),
        ("not trusted", FailureKind::CertificateNotTrusted),
    ];
    let found = words.into_iter().find(|(words, _)| why.contains(words));
    Some(found.map_or(FailureKind::ValidationFailure, |(_, kind)| kind))
}
