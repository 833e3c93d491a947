//! How much TLS a destination wants: `smtp_tls_security_level`, what tables say of it, and what the DNS says.

use super::dane::{Dane, Found};
use super::tls_policy::{self, Invalid, SitePolicy, Sites};
use super::tls_report::Reporting;
use crate::mta_sts::{Mode, Policies};
use crate::tlsrpt::PolicySource;
use mail::DsnStatus;
use net::mx::{MxOwner, Server};
use net::tls::{CertificateFiles, CipherLists, ClientLevel, ClientPolicy, ClientTls, Tlsa};
use smtp::client::{Failure, Scope};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// `smtp_tls_security_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    None,
    Tls(ClientLevel),
}

/// TLS of one transport.
pub struct Tls {
    /// None: its own files or settings are broken, as the log said when it was built.
    pub engine: Option<ClientTls>,
    /// What is wanted of destinations of which nothing else is said.
    pub level: Level,
    pub sites: Sites,
    pub defaults: Defaults,
    pub dane: Dane,
    /// `smtp_tls_wrappermode`: the handshake comes first (port 465).
    pub wrappermode: bool,
    /// `smtp_tls_loglevel`.
    pub loglevel: u32,
    /// `smtp_tls_note_starttls_offer`.
    pub note_starttls_offer: bool,
    /// `smtp_starttls_timeout`.
    pub timeout: Duration,
    /// `smtp_tls_connection_reuse`: connections are kept under TLS, too.
    pub connection_reuse: bool,
    /// `oxi_smtp_mta_sts`: policies that domains publish count where main.cf does not ask for more.
    pub mta_sts: Option<Policies>,
    /// `oxi_smtp_tlsrpt`: how it went is counted.
    pub reporting: Option<Reporting>,
}

/// What main.cf says where a destination's policy says nothing. Postfix looks at most of it only when it is needed.
pub struct Defaults {
    pub smtp_tls_protocols: String,
    pub smtp_tls_mandatory_protocols: String,
    pub smtp_tls_ciphers: String,
    pub smtp_tls_mandatory_ciphers: String,
    pub smtp_tls_exclude_ciphers: String,
    pub smtp_tls_mandatory_exclude_ciphers: String,
    pub cipher_lists: CipherLists,
    pub smtp_tls_servername: String,
    pub smtp_tls_verify_cert_match: Vec<String>,
    pub smtp_tls_secure_cert_match: Vec<String>,
    pub smtp_tls_fingerprint_cert_match: Vec<String>,
    pub smtp_tls_trust_anchor_file: Vec<PathBuf>,
    /// Opens trust anchors.
    pub files: CertificateFiles,
}

/// Whom the wish is about.
pub(super) struct Site<'a> {
    /// The destination as it is written, or a socket's path.
    pub(super) destination: &'a str,
    pub(super) host: &'a str,
    /// None for sockets.
    pub(super) server: Option<&'a Server>,
    pub(super) exchanged: Option<&'a MxOwner>,
    /// The domain whose MTA-STS policy counts; None for hosts in brackets and sockets.
    pub(super) domain: Option<&'a str>,
}

/// TLS as one connection is to have it.
#[derive(Clone)]
pub(super) struct Wish {
    /// None is no TLS.
    pub(super) tls: Option<Arc<Wanted>>,
    /// The connection may be kept for more mail.
    pub(super) may_keep: bool,
}

pub(super) struct Wanted {
    pub(super) level: ClientLevel,
    /// Or what is wrong with it, to be logged behind the server's name: there is no handshake then.
    pub(super) policy: Result<ClientPolicy, String>,
    /// The servers that the domain's MTA-STS policy allows; empty: all.
    pub(super) mx_host_patterns: Vec<String>,
    /// What the domain publishes about TLS with it, for reports.
    pub(super) source: PolicySource,
}

impl Tls {
    /// What is wanted of a server.
    ///
    /// # Errors
    /// It is not to be talked to: something is wrong with our side, or DANE wants what there is not.
    pub(super) async fn wish(
        &self,
        site: &Site<'_>,
        warn: &(impl Fn(String) + Sync),
    ) -> Result<Wish, Failure> {
        let known = self.known(site, warn).await.map_err(failure)?;
        let is_known = known.is_some();
        let mut policy = known.unwrap_or_else(|| SitePolicy::new(self.level));
        let may_keep = policy.connection_reuse.unwrap_or(self.connection_reuse);
        let mut records = Vec::new();
        if let Some(level) = policy.level.dane() {
            records = self.resolve_dane(level, site, &mut policy, warn).await?;
        }
        let mut source = match records.is_empty() {
            true => PolicySource::NotFound,
            false => PolicySource::Tlsa(records.iter().map(ToString::to_string).collect()),
        };
        // RFC 8461 2: DANE goes first
        if !is_known && policy.level <= Level::Tls(ClientLevel::May) {
            source = self.apply_mta_sts(site, &mut policy, warn).await.unwrap_or(source);
        }
        let Level::Tls(level) = policy.level else { return Ok(Wish { tls: None, may_keep: true }) };
        let mx_host_patterns = std::mem::take(&mut policy.mx_host_patterns);
        let policy = self.client_policy(level, policy, records, site, warn).map_err(failure)?;
        Ok(Wish { tls: Some(Arc::new(Wanted { level, policy, mx_host_patterns, source })), may_keep })
    }

    /// What tables say; None if they say nothing.
    async fn known(
        &self,
        site: &Site<'_>,
        warn: &(impl Fn(String) + Sync),
    ) -> Result<Option<SitePolicy>, Invalid> {
        match &self.sites {
            Sites::Nowhere => Ok(None),
            Sites::Policies(maps) => tls_policy::find_policy(maps, site.destination, warn).await,
            Sites::PerSite(maps) => {
                let found = tls_policy::find_per_site(maps, site.destination, site.host, warn).await?;
                let may = Level::Tls(ClientLevel::May);
                // Postfix: a table of old may ask for TLS, but not take any away that main.cf asks for
                let level = found.map(|level| if level == may { level.max(self.level) } else { level });
                Ok(level.map(SitePolicy::new))
            }
        }
    }

    /// Puts a level in place of `dane`, and gives the records if there are any.
    async fn resolve_dane(
        &self,
        level: ClientLevel,
        site: &Site<'_>,
        policy: &mut SitePolicy,
        warn: &(impl Fn(String) + Sync),
    ) -> Result<Vec<Tlsa>, Failure> {
        let Some(server) = site.server else {
            let destination = site.destination;
            warn(format!(
                "{destination}: the \"dane\" security level is invalid for delivery via unix-domain sockets"
            ));
            return Err(failure(Invalid::Configuration));
        };
        match self.dane.find(level, site.destination, server, site.exchanged, warn).await? {
            Found::Instead(level) => {
                policy.level = Level::Tls(level);
                Ok(Vec::new())
            }
            Found::Records { level, records, base_domain, names } => {
                policy.level = Level::Tls(level);
                policy.matches = Some([vec![base_domain.clone()], names].concat());
                policy.servername = Some(base_domain);
                Ok(records)
            }
        }
    }

    /// Puts what the domain's MTA-STS policy wants in place of the level, and gives the policy if there is one.
    async fn apply_mta_sts(
        &self,
        site: &Site<'_>,
        policy: &mut SitePolicy,
        warn: &(impl Fn(String) + Sync),
    ) -> Option<PolicySource> {
        let (policies, domain) = (self.mta_sts.as_ref()?, site.domain?);
        let found = policies.find(domain, SystemTime::now(), warn).await?;
        match found.mode {
            Mode::None => return None,
            Mode::Testing => {}
            Mode::Enforce => {
                policy.level = Level::Tls(ClientLevel::Secure);
                policy.matches = Some(vec!["hostname".into()]);
                policy.servername = Some("hostname".into());
                policy.mx_host_patterns = found.mx.clone();
            }
        }
        Some(PolicySource::Sts { lines: found.lines, mx: found.mx })
    }

    /// Fills in what main.cf says.
    fn client_policy(
        &self,
        level: ClientLevel,
        policy: SitePolicy,
        mut tlsa: Vec<Tlsa>,
        site: &Site<'_>,
        warn: &impl Fn(String),
    ) -> Result<Result<ClientPolicy, String>, Invalid> {
        let defaults = &self.defaults;
        let is_mandatory = level > ClientLevel::May;
        let servername = policy.servername.unwrap_or_else(|| defaults.smtp_tls_servername.clone());
        if !servername.is_empty() && !tls_policy::is_hostname(&servername) {
            warn(format!("\"smtp_tls_servername = {servername}\" specifies an invalid hostname"));
            return Err(Invalid::Configuration);
        }
        let mut cert_match = Vec::new();
        match level {
            ClientLevel::May | ClientLevel::Encrypt => {}
            ClientLevel::Fingerprint => {
                let listed = policy.matches.as_ref().unwrap_or(&defaults.smtp_tls_fingerprint_cert_match);
                tlsa = tls_policy::fingerprints(listed, warn);
                if tlsa.is_empty() {
                    let destination = site.destination;
                    warn(format!(
                        "nexthop domain {destination}: configured at fingerprint security level, but with no \
                         fingerprints to match."
                    ));
                    return Err(Invalid::Configuration);
                }
            }
            ClientLevel::HalfDane | ClientLevel::Dane | ClientLevel::DaneOnly => {
                cert_match = policy.matches.unwrap_or_default();
            }
            ClientLevel::Verify | ClientLevel::Secure => {
                let names = match level {
                    ClientLevel::Verify => &defaults.smtp_tls_verify_cert_match,
                    _ => &defaults.smtp_tls_secure_cert_match,
                };
                cert_match = policy.matches.unwrap_or_else(|| names.clone());
                let own = [&policy.tafiles, &defaults.smtp_tls_trust_anchor_file];
                let files = own.into_iter().find(|files| !files.is_empty());
                for file in files.into_iter().flatten() {
                    tlsa.extend(self.trust_anchors(file, warn)?);
                }
            }
        }
        let protocols = policy.protocols.unwrap_or_else(|| match is_mandatory {
            true => defaults.smtp_tls_mandatory_protocols.clone(),
            false => defaults.smtp_tls_protocols.clone(),
        });
        let grade = policy.ciphers.unwrap_or_else(|| match is_mandatory {
            true => defaults.smtp_tls_mandatory_ciphers.clone(),
            false => defaults.smtp_tls_ciphers.clone(),
        });
        let exclusions = policy.exclude.unwrap_or_else(|| match is_mandatory {
            true => {
                [&*defaults.smtp_tls_exclude_ciphers, &*defaults.smtp_tls_mandatory_exclude_ciphers].join(" ")
            }
            false => defaults.smtp_tls_exclude_ciphers.clone(),
        });
        let parsed = protocols.parse().map_err(|flaw| format!("{flaw}: aborting TLS session"));
        let ciphers = ClientPolicy::ciphers(&defaults.cipher_lists, level, &grade, &[&exclusions]);
        let finished = parsed.and_then(|protocols| {
            Ok(ClientPolicy {
                level,
                protocols,
                ciphers: ciphers.map_err(|flaw| flaw.to_string())?,
                grade,
                servername: Some(servername).filter(|name| !name.is_empty()),
                cert_match,
                tlsa,
            })
        });
        Ok(finished)
    }

    fn trust_anchors(&self, file: &std::path::Path, warn: &impl Fn(String)) -> Result<Vec<Tlsa>, Invalid> {
        self.defaults.files.load_trust_anchors(file).map_err(|error| {
            error.lines.into_iter().for_each(|(_, line)| warn(line));
            Invalid::Configuration
        })
    }
}

impl Level {
    /// As it stands in main.cf.
    pub fn parse(name: &str) -> Option<Level> {
        match name.eq_ignore_ascii_case("none") {
            true => Some(Level::None),
            false => ClientLevel::parse(name).map(Level::Tls),
        }
    }
}

impl Wish {
    /// After an optional handshake failed, and where nobody listens in: without.
    pub(super) const IN_THE_CLEAR: Wish = Wish { tls: None, may_keep: true };

    pub(super) fn level(&self) -> Level {
        self.tls.as_ref().map_or(Level::None, |wanted| Level::Tls(wanted.level))
    }

    pub(super) fn is_required(&self) -> bool {
        self.level() > Level::Tls(ClientLevel::May)
    }

    /// Whether the domain's MTA-STS policy allows a server (RFC 8461 4.1); without one, all are.
    pub(super) fn allows(&self, host: &str) -> bool {
        let Some(wanted) = &self.tls else { return true };
        let patterns = &wanted.mx_host_patterns;
        patterns.is_empty() || patterns.iter().any(|pattern| is_mx_match(pattern, host))
    }

    pub(super) fn is_optional(&self) -> bool {
        self.level() == Level::Tls(ClientLevel::May)
    }
}

/// `*.example.com` is for names with one label more.
fn is_mx_match(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

fn failure(invalid: Invalid) -> Failure {
    let (status, text) = match invalid {
        Invalid::Configuration => (DsnStatus::new(4, 7, 5), "client TLS configuration problem"),
        Invalid::Lookup => (DsnStatus::new(4, 3, 0), "Temporary lookup error"),
    };
    Failure::ours(Scope::Site, status, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mx_patterns() {
        for (pattern, host, expect) in [
            ("mx.example", "MX.example", true),
            ("*.example", "mx.example", true),
            ("*.example", "a.mx.example", false),
            ("*.example", "example", false),
            ("mx.example", "mx2.example", false),
        ] {
            assert_eq!(is_mx_match(pattern, host), expect, "{pattern} {host}");
        }
    }
}
