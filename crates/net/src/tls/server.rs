//! TLS towards clients: `smtpd_tls_*`.

use super::certificates::Certificates;
use super::handshake::handshake;
use super::keeper::Keeper;
use super::names::{self, ChainsByName};
use super::verify::Verification;
use super::{CertificateFiles, CommonOptions, Protocols, Role, SetupError, TlsError, TlsSummary};
use crate::Stream;
use maillog::Level;
use openssl::dh::Dh;
use openssl::pkey::Params;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode,
};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keys that encrypt session tickets are as old as their context: as in Postfix, an hour.
const TICKET_KEY_LIFETIME: Duration = Duration::from_secs(3600);
/// Sessions kept for clients that have no tickets.
const SESSION_CACHE_SIZE: i32 = 2000;
/// Sessions of other servers on this machine are not ours (what Postfix uses).
const SESSION_ID_CONTEXT: &[u8] = b"Postfix/TLS";
/// Octets of a file with Diffie-Hellman parameters.
const DH_FILE_LIMIT: u64 = 64 << 10;

/// The server side of one service. Built once; serves all its clients.
pub struct ServerTls {
    keeper: Arc<Keeper>,
    settings: ServerSettings,
    /// `tls_server_sni_maps`.
    by_name: Option<ChainsByName>,
    current: Mutex<Option<Current>>,
}

/// Parameters of the service.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub files: CertificateFiles,
    pub common: CommonOptions,
    /// `smtpd_tls_protocols` or `smtpd_tls_mandatory_protocols`.
    pub protocols: Protocols,
    /// In OpenSSL's language; `aNULL` must be excluded if certificates are asked for.
    pub ciphers: String,
    /// `tls_preempt_cipherlist`.
    pub preempt_cipherlist: bool,
    /// `smtpd_tls_dh1024_param_file`; without it groups are chosen to fit the certificate.
    pub dh_param_file: Option<PathBuf>,
    /// `smtpd_tls_ask_ccert`, or `smtpd_tls_req_ccert` where TLS is mandatory.
    pub ask_ccert: bool,
    /// `smtpd_tls_req_ccert` where TLS is mandatory. The caller refuses who has none that is trusted.
    pub req_ccert: bool,
    /// `smtpd_tls_ccert_verifydepth`.
    pub ccert_verifydepth: u32,
    /// `smtpd_tls_session_cache_database` is set: sessions are kept in memory for clients without tickets.
    pub session_cache: bool,
    /// `tls_session_ticket_cipher` is not empty and `smtpd_tls_session_cache_timeout` is not zero.
    pub session_tickets: bool,
    /// `smtpd_tls_fingerprint_digest`.
    pub fingerprint_digest: String,
}

struct Current {
    certificates: Arc<Certificates>,
    context: SslContext,
    built: Instant,
}

impl ServerTls {
    /// Reads the files. Without a certificate only anonymous ciphers are left (`smtpd_tls_cert_file = none`).
    /// `warn` gets what is wrong and not fatal.
    pub fn new(
        settings: ServerSettings,
        by_name: Option<ChainsByName>,
        warn: impl Fn(String),
    ) -> Result<ServerTls, SetupError> {
        let keeper = Arc::new(Keeper::new(settings.files.clone())?);
        let tls = ServerTls { keeper, settings, by_name, current: Mutex::new(None) };
        tls.context(&tls.keeper.kept(), warn)?;
        Ok(tls)
    }

    /// Puts TLS over a connection, after `220` to STARTTLS was sent, or at once in wrapper mode. `client` is
    /// `name[address]`. If it fails the connection is gone. `log` gets what is to be said beside the error.
    pub async fn accept(
        &self,
        stream: Stream,
        client: &str,
        limit: Duration,
        log: impl Fn(Level, String),
    ) -> Result<(Stream, TlsSummary), TlsError> {
        let twice = || SetupError::new("TLS is active already".into());
        let warn = |text| log(Level::Warning, text);
        let socket = stream.into_plain_socket().map_err(|_| twice())?;
        let certificates = self.keeper.latest(&warn).await;
        let context = self.context(&certificates, warn)?;
        let mut ssl = Ssl::new(&context).map_err(SetupError::from)?;
        let mode = if self.settings.ask_ccert { SslVerifyMode::PEER } else { SslVerifyMode::NONE };
        let verification = Verification::watch(&mut ssl, mode);
        let asked = names::watch(&mut ssl, client);
        let shaken = handshake(ssl, socket, Role::Server, client, limit).await;
        let names::Outcome { server_name, notes, warnings } = asked.outcome();
        notes.into_iter().for_each(|note| log(Level::Info, note));
        warnings.into_iter().for_each(warn);
        let stream = shaken?;
        let mut summary = TlsSummary::of(stream.ssl(), client, &self.settings.fingerprint_digest, false);
        summary.verify_failure = verification.failure_text(&summary.peer, "client");
        summary.server_name = server_name;
        Ok((Stream::tls(stream), summary))
    }

    #[cfg(test)]
    pub(super) fn look_at_files(&self) {
        self.keeper.look_at_once();
    }

    fn context(
        &self,
        certificates: &Arc<Certificates>,
        warn: impl Fn(String),
    ) -> Result<SslContext, SetupError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = &*current
            && Arc::ptr_eq(&current.certificates, certificates)
            && current.built.elapsed() < TICKET_KEY_LIFETIME
        {
            return Ok(current.context.clone());
        }
        let context = self.build(certificates, warn)?;
        *current = Some(Current {
            certificates: certificates.clone(),
            context: context.clone(),
            built: Instant::now(),
        });
        Ok(context)
    }

    fn build(&self, certificates: &Certificates, warn: impl Fn(String)) -> Result<SslContext, SetupError> {
        let settings = &self.settings;
        let mut builder = SslContext::builder(SslMethod::tls_server())?;
        settings.common.apply(&mut builder, settings.protocols)?;
        builder.set_cipher_list(&settings.ciphers)?;
        builder.set_verify_depth(settings.ccert_verifydepth + 1);
        if settings.req_ccert {
            builder.set_security_level(1);
        }
        if settings.preempt_cipherlist {
            builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
        }
        certificates.apply(self.keeper.files(), &mut builder)?;
        if settings.ask_ccert {
            for authority in certificates.authorities() {
                builder.add_client_ca(authority)?;
            }
        }
        if let Some(by_name) = &self.by_name {
            names::attach(&mut builder, by_name.clone());
        }
        self.set_dh(&mut builder, warn)?;
        self.set_sessions(&mut builder)?;
        Ok(builder.build())
    }

    fn set_dh(&self, builder: &mut SslContextBuilder, warn: impl Fn(String)) -> Result<(), SetupError> {
        if let Some(path) = &self.settings.dh_param_file {
            match self.read_dh(path) {
                Ok(parameters) => return Ok(builder.set_tmp_dh(&parameters)?),
                Err(error) => {
                    let path = path.display();
                    for (_, text) in error.lines {
                        warn(format!("DH parameter file \"{path}\": {text} -- using compiled-in defaults"));
                    }
                }
            }
        }
        Ok(sys::tls::use_automatic_dh(builder)?)
    }

    fn read_dh(&self, path: &Path) -> Result<Dh<Params>, SetupError> {
        let mut pem = Vec::new();
        (self.settings.files.open_file)(path)?.take(DH_FILE_LIMIT).read_to_end(&mut pem)?;
        Ok(Dh::params_from_pem(&pem)?)
    }

    fn set_sessions(&self, builder: &mut SslContextBuilder) -> Result<(), SetupError> {
        let ServerSettings { session_cache, session_tickets, .. } = self.settings;
        builder.set_session_id_context(SESSION_ID_CONTEXT)?;
        builder.set_session_cache_mode(match (session_cache, session_tickets) {
            (true, _) => SslSessionCacheMode::SERVER,
            (false, true) => SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL,
            (false, false) => SslSessionCacheMode::OFF,
        });
        if session_cache {
            builder.set_session_cache_size(SESSION_CACHE_SIZE);
        }
        if session_tickets {
            // mail servers use one at most
            builder.set_num_tickets(1)?;
        } else {
            builder.set_options(SslOptions::NO_TICKET);
            builder.set_num_tickets(usize::from(session_cache))?;
        }
        Ok(())
    }
}
