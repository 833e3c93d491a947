//! TLS towards servers: `smtp_tls_*`.

use super::certificates::Certificates;
use super::dane::{self, DaneDigests, Loaded, Tlsa};
use super::handshake::handshake;
use super::keeper::Keeper;
use super::sessions::SessionCache;
use super::verify::Verification;
use super::{
    CertificateFiles, CipherLists, CommonOptions, InvalidCiphers, Protocols, Role, SetupError, SslStream,
    TlsError, TlsSummary,
};
use crate::Stream;
use openssl::hash::MessageDigest;
use openssl::sha::Sha256;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslRef, SslVerifyMode};
use openssl::x509::verify::X509CheckFlags;
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Contexts kept for different policies; with more, all are built anew.
const CONTEXT_LIMIT: usize = 64;
/// Octets of a server name (RFC 6066 3).
const SERVER_NAME_LIMIT: usize = 255;

/// The client side of one transport. Built once; serves all its connections.
pub struct ClientTls {
    keeper: Arc<Keeper>,
    settings: ClientSettings,
    contexts: Mutex<Contexts>,
}

/// Parameters of the transport.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// `smtp_tls_CAfile`, `smtp_tls_CApath`, and the client's own certificates.
    pub files: CertificateFiles,
    pub common: CommonOptions,
    /// `smtp_tls_scert_verifydepth`.
    pub scert_verifydepth: u32,
    /// `smtp_tls_session_cache_timeout`, if `smtp_tls_session_cache_database` is set. Sessions are kept in memory.
    pub session_cache: Option<Duration>,
    /// `smtp_tls_fingerprint_digest`.
    pub fingerprint_digest: String,
    /// `tls_dane_digests`.
    pub dane_digests: DaneDigests,
}

/// How much is wanted: `smtp_tls_security_level`. None is the caller's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientLevel {
    May,
    Encrypt,
    /// The certificate, or its key, is one of those listed.
    Fingerprint,
    /// As Dane, where who the server is was learnt from MX records that are not signed: what matches is not Verified.
    HalfDane,
    /// The certificate is one that the DNS names (RFC 7672).
    Dane,
    DaneOnly,
    Verify,
    Secure,
}

/// What is wanted of one destination: `main.cf` and `smtp_tls_policy_maps`.
#[derive(Clone, Debug)]
pub struct ClientPolicy {
    pub level: ClientLevel,
    /// `smtp_tls_protocols` or `smtp_tls_mandatory_protocols`.
    pub protocols: Protocols,
    /// In OpenSSL's language: see [`ClientPolicy::ciphers`].
    pub ciphers: String,
    /// The grade that they are of, for texts.
    pub grade: String,
    /// `smtp_tls_servername`: a name, `hostname` or `nexthop`. With DANE, the name that has the TLSA records.
    pub servername: Option<String>,
    /// `smtp_tls_verify_cert_match` or `smtp_tls_secure_cert_match`: names, `.names`, `hostname`, `nexthop`,
    /// `dot-nexthop`. For the levels Verify, Secure and those of DANE.
    pub cert_match: Vec<String>,
    /// What the certificate must be or come from: of the DNS, `smtp_tls_fingerprint_cert_match`,
    /// `smtp_tls_trust_anchor_file`. Not empty at the levels Fingerprint and Dane; at Verify and Secure, without them, the
    /// authorities of [`CertificateFiles`] are trusted.
    pub tlsa: Vec<Tlsa>,
}

/// The server as the next hop's lookup names it.
#[derive(Clone, Copy, Debug)]
pub struct ServerIdentity<'a> {
    /// The domain, or the host in brackets, without brackets and port.
    pub nexthop: &'a str,
    pub host: &'a str,
    /// As logged; None for UNIX-domain sockets.
    pub address: Option<IpAddr>,
    pub port: u16,
}

/// The contexts for the certificates that they were built with.
struct Contexts {
    certificates: Arc<Certificates>,
    by_policy: HashMap<ContextKey, Arc<Context>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct ContextKey {
    protocols: Protocols,
    ciphers: String,
}

struct Context {
    ssl: SslContext,
    sessions: Option<Arc<SessionCache>>,
}

impl ClientLevel {
    /// Whether the certificate must be the right one.
    pub fn must_match(self) -> bool {
        self > ClientLevel::Encrypt
    }

    /// The one that it is known by in main.cf.
    pub fn parse(name: &str) -> Option<ClientLevel> {
        Some(match name.to_ascii_lowercase().as_str() {
            "may" => ClientLevel::May,
            "encrypt" => ClientLevel::Encrypt,
            "fingerprint" => ClientLevel::Fingerprint,
            "dane" => ClientLevel::Dane,
            "dane-only" => ClientLevel::DaneOnly,
            "verify" => ClientLevel::Verify,
            "secure" => ClientLevel::Secure,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            ClientLevel::May => "may",
            ClientLevel::Encrypt => "encrypt",
            ClientLevel::Fingerprint => "fingerprint",
            ClientLevel::HalfDane => "half-dane",
            ClientLevel::Dane => "dane",
            ClientLevel::DaneOnly => "dane-only",
            ClientLevel::Verify => "verify",
            ClientLevel::Secure => "secure",
        }
    }

    pub fn is_dane(self) -> bool {
        matches!(self, ClientLevel::HalfDane | ClientLevel::Dane | ClientLevel::DaneOnly)
    }
}

impl ClientPolicy {
    /// The cipher list of a grade: `smtp_tls_ciphers` and `smtp_tls_exclude_ciphers`, with
    /// `smtp_tls_mandatory_exclude_ciphers` at the levels above May. Where the certificate counts there must be one.
    pub fn ciphers(
        lists: &CipherLists,
        level: ClientLevel,
        grade: &str,
        exclusions: &[&str],
    ) -> Result<String, InvalidCiphers> {
        let useless = match level {
            ClientLevel::May => "",
            ClientLevel::Encrypt => "eNULL",
            _ => "aNULL",
        };
        lists.with(grade, &[exclusions, &[useless]].concat())
    }
}

impl ClientTls {
    /// Reads the files.
    pub fn new(settings: ClientSettings) -> Result<ClientTls, SetupError> {
        if MessageDigest::from_name(&settings.fingerprint_digest).is_none() {
            let unknown = format!("Digest algorithm \"{}\" not found", settings.fingerprint_digest);
            return Err(SetupError::new(unknown).then("disabling TLS support".into()));
        }
        let keeper = Arc::new(Keeper::new(settings.files.clone())?);
        let contexts = Mutex::new(Contexts { certificates: keeper.kept(), by_policy: HashMap::new() });
        Ok(ClientTls { keeper, settings, contexts })
    }

    /// Puts TLS over a connection, after the server said `220` to STARTTLS, or at once in wrapper mode. If it fails the
    /// connection is gone: the peer is in an unknown state.
    pub async fn connect(
        &self,
        stream: Stream,
        server: ServerIdentity<'_>,
        policy: &ClientPolicy,
        limit: Duration,
        warn: impl Fn(String),
    ) -> Result<(Stream, TlsSummary), TlsError> {
        let twice = || SetupError::new("TLS is active already".into());
        let socket = stream.into_plain_socket().map_err(|_| twice())?;
        let (stream, summary) = self.handshake(socket, server, policy, limit, warn).await?;
        Ok((Stream::tls(stream), summary))
    }

    /// The same over any stream.
    pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        server: ServerIdentity<'_>,
        policy: &ClientPolicy,
        limit: Duration,
        warn: impl Fn(String),
    ) -> Result<(SslStream<S>, TlsSummary), TlsError> {
        let certificates = self.keeper.latest(&warn).await;
        let peer = server.to_string();
        let context = self.context(&certificates, policy, &peer)?;
        let mut ssl = Ssl::new(&context.ssl).map_err(SetupError::from)?;
        let name = policy.server_name(&server)?;
        if let Some(name) = &name {
            ssl.set_hostname(name).map_err(SetupError::from)?;
        }
        let trust = policy.trust(&mut ssl, &server, &peer, &warn)?;
        let session_key = policy.session_key(&server, name.as_deref());
        if let Some(sessions) = &context.sessions {
            sessions.offer(&mut ssl, session_key.clone());
        }
        let stream = handshake(ssl, stream, Role::Client, &peer, limit).await.inspect_err(|_| {
            if let Some(sessions) = &context.sessions {
                sessions.forget(&session_key);
            }
        })?;
        let mut summary =
            TlsSummary::of(stream.ssl(), &peer, &self.settings.fingerprint_digest, trust.level.is_secured());
        trust.judge(&mut summary, stream.ssl());
        Ok((stream, summary))
    }

    fn context(
        &self,
        certificates: &Arc<Certificates>,
        policy: &ClientPolicy,
        peer: &str,
    ) -> Result<Arc<Context>, SetupError> {
        let key = ContextKey { protocols: policy.protocols, ciphers: policy.ciphers.clone() };
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&contexts.certificates, certificates) || contexts.by_policy.len() >= CONTEXT_LIMIT {
            *contexts = Contexts { certificates: certificates.clone(), by_policy: HashMap::new() };
        }
        if let Some(context) = contexts.by_policy.get(&key) {
            return Ok(context.clone());
        }
        let context = Arc::new(self.build(certificates, &key, &policy.grade, peer)?);
        contexts.by_policy.insert(key, context.clone());
        Ok(context)
    }

    fn build(
        &self,
        certificates: &Certificates,
        key: &ContextKey,
        grade: &str,
        peer: &str,
    ) -> Result<Context, SetupError> {
        let mut builder = SslContext::builder(SslMethod::tls_client())?;
        self.settings.common.apply(&mut builder, key.protocols)?;
        builder.set_cipher_list(&key.ciphers).map_err(|stack| {
            SetupError::from(stack).under(format!("{peer}: error setting cipher grade: \"{grade}\""))
        })?;
        builder.set_verify_depth(self.settings.scert_verifydepth + 1);
        self.settings.dane_digests.apply(&mut builder, &self.settings.fingerprint_digest)?;
        certificates.apply(self.keeper.files(), &mut builder)?;
        let attach = |timeout| SessionCache::attach(&mut builder, timeout);
        let sessions = self.settings.session_cache.map(attach).transpose()?;
        Ok(Context { ssl: builder.build(), sessions })
    }
}

impl ClientPolicy {
    /// What is sent as SNI.
    fn server_name<'a>(&'a self, server: &ServerIdentity<'a>) -> Result<Option<Cow<'a, str>>, SetupError> {
        let name = match self.servername.as_deref() {
            None | Some("") => return Ok(None),
            Some("hostname") => server.host,
            Some("nexthop") => server.nexthop,
            Some(name) => name,
        };
        let ascii = to_ascii(name);
        if ascii.len() > SERVER_NAME_LIMIT {
            return Err(SetupError::new(format!("{server}: ignoring too long SNI hostname: {ascii:.100}")));
        }
        Ok(Some(ascii))
    }

    /// Tells OpenSSL what the certificate must be. What cannot be checked is not trusted.
    fn trust(
        &self,
        ssl: &mut SslRef,
        server: &ServerIdentity<'_>,
        peer: &str,
        warn: &impl Fn(String),
    ) -> Result<Trust, SetupError> {
        let mut level = self.level;
        if !self.tlsa.is_empty() {
            // before the names: it takes them away
            sys::dane::enable(ssl)?;
        }
        let mut is_hopeless = level >= ClientLevel::HalfDane && !self.set_names(ssl, server, peer, warn)?;
        if !self.tlsa.is_empty() {
            match dane::load(ssl, &self.tlsa, peer, warn) {
                Loaded::Some => {}
                Loaded::Failed => is_hopeless = true,
                Loaded::None => match level {
                    ClientLevel::Dane | ClientLevel::HalfDane => {
                        warn(format!("{peer}: all TLSA records unusable, fallback to unauthenticated TLS"));
                        level = ClientLevel::Encrypt;
                    }
                    _ => {
                        warn(format!("{peer}: all {} unusable", level.records_name()));
                        is_hopeless = true;
                    }
                },
            }
        }
        if level.must_match() {
            ssl.set_security_level(1);
        }
        let verification = match is_hopeless {
            true => Verification::refuse(ssl),
            false => Verification::watch(ssl, SslVerifyMode::NONE),
        };
        Ok(Trust { level, verification })
    }

    /// Tells OpenSSL which names may match; whether there are any.
    fn set_names(
        &self,
        ssl: &mut SslRef,
        server: &ServerIdentity<'_>,
        peer: &str,
        warn: &impl Fn(String),
    ) -> Result<bool, SetupError> {
        let param = ssl.param_mut();
        // RFC 6125 6.4.3: `foo*.example.com` is nothing for mail
        param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
        let mut has_names = false;
        for pattern in &self.cert_match {
            let (name, is_parent) = match pattern.to_ascii_lowercase().as_str() {
                "nexthop" => (server.nexthop, false),
                "dot-nexthop" => (server.nexthop, true),
                "hostname" => (server.host, false),
                _ => pattern.strip_prefix('.').map_or((pattern.as_str(), false), |name| (name, true)),
            };
            if name.is_empty() {
                warn(format!("{peer}: ignoring invalid match name: \".\""));
                continue;
            }
            has_names = true;
            match name.parse::<IpAddr>() {
                Ok(address) if !is_parent => param.set_ip(address)?,
                _ => sys::tls::add_host(
                    param,
                    &format!("{}{}", if is_parent { "." } else { "" }, to_ascii(name)),
                )?,
            }
        }
        if !has_names {
            warn(format!("{peer}: could not configure peer name checks"));
        }
        Ok(has_names)
    }

    /// A session is resumed only where a handshake would have come to the same.
    fn session_key(&self, server: &ServerIdentity<'_>, name: Option<&str>) -> String {
        let names = if self.level.must_match() { self.cert_match.join(",") } else { String::new() };
        let mut records = Sha256::new();
        for Tlsa { usage, selector, matching, data } in &self.tlsa {
            records.update(&[*usage, *selector, *matching]);
            records.update(&data.len().to_be_bytes());
            records.update(data);
        }
        let records = records.finish();
        let level = self.level;
        format!("{server}&{}&{}&{level:?}&{names}&{records:?}", server.nexthop, name.unwrap_or_default())
    }
}

/// What a connection's certificate is judged by.
struct Trust {
    /// The policy's, or a lower one where the records of the DNS are of no use.
    level: ClientLevel,
    verification: Verification,
}

impl Trust {
    fn judge(&self, summary: &mut TlsSummary, ssl: &SslRef) {
        summary.level = Some(self.level);
        summary.is_matched = self.level.must_match() && summary.is_trusted();
        summary.match_text = if summary.is_matched { dane::match_text(ssl, self.level) } else { None };
        summary.verify_failure = self.verification.failure_text(&summary.peer, "server");
        if summary.is_resumed && !summary.is_matched && self.level.must_match() {
            let peer = &summary.peer;
            summary.verify_failure = Some(format!(
                "{peer}: re-using session with untrusted certificate, look for details earlier in the log"
            ));
        }
    }
}

impl ClientLevel {
    /// Whether what matches is certain: not where MX records might have been forged.
    fn is_secured(self) -> bool {
        self.must_match() && self != ClientLevel::HalfDane
    }

    /// What the records of [`ClientPolicy::tlsa`] are, for texts.
    fn records_name(self) -> &'static str {
        match self {
            ClientLevel::Fingerprint => "fingerprints",
            ClientLevel::Verify | ClientLevel::Secure => "trust anchors",
            _ => "TLSA records",
        }
    }
}

impl std::fmt::Display for ServerIdentity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            Some(address) => write!(f, "{}[{address}]:{}", self.host, self.port),
            None => f.write_str(self.host),
        }
    }
}

fn to_ascii(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return Cow::Borrowed(name);
    }
    idna::domain_to_ascii(name).map_or(Cow::Borrowed(name), Cow::Owned)
}
