//! TLS towards clients: put over a connection, and what restrictions and Received: see of it.

use logger::Logger;
use mail::{DsnStatus, Reply};
use maillog::Level;
use net::Stream;
use net::tls::{Certificate, ServerTls, TlsSummary};
use std::sync::Arc;
use std::time::Duration;

/// `smtpd_tls_…` of a service.
pub struct Tls {
    /// None: there is no TLS here, or its certificates cannot be used, as the log said when it was built.
    pub engine: Option<ServerTls>,
    /// `smtpd_tls_wrappermode`: the handshake comes first (port 465).
    pub wrappermode: bool,
    /// `smtpd_tls_loglevel`.
    pub loglevel: u32,
    /// `smtpd_starttls_timeout`.
    pub timeout: Duration,
    /// `smtpd_tls_ask_ccert`.
    pub ask_ccert: bool,
    /// `smtpd_tls_req_ccert`, where clients must use TLS.
    pub req_ccert: bool,
    /// `smtpd_tls_received_header`.
    pub received_header: bool,
}

/// TLS of one session.
pub(super) struct TlsFacts {
    pub(super) policy: policy::Tls,
    /// The lines of it in Received:, where they are wanted.
    pub(super) header: Option<Arc<[String]>>,
    /// What is wrong with a certificate that must be good.
    fault: Option<&'static str>,
}

impl Tls {
    /// Puts TLS over a connection. None: that failed, and the connection is gone.
    pub(super) async fn accept(
        &self,
        stream: Stream,
        client: &str,
        log: &Logger,
    ) -> Option<(Stream, TlsFacts)> {
        let engine = self.engine.as_ref()?;
        if self.loglevel >= 2 {
            log.info(format_args!("setting up TLS connection from {client}"));
        }
        let say = |level: Level, line: String| log.line(level, format_args!("{line}"));
        match engine.accept(stream, client, self.timeout, say).await {
            Ok((stream, summary)) => {
                self.note(&summary, log);
                Some((stream, self.facts(&summary)))
            }
            Err(error) => {
                error.log_lines().into_iter().for_each(|(level, line)| say(level, line));
                None
            }
        }
    }

    fn note(&self, summary: &TlsSummary, log: &Logger) {
        let why = summary.verify_failure.as_ref().filter(|_| self.loglevel >= 2 || self.req_ccert);
        if let Some(why) = why {
            log.info(format_args!("{why}"));
        }
        if self.loglevel >= 1 {
            log.info(format_args!("{summary}"));
        }
    }

    fn facts(&self, summary: &TlsSummary) -> TlsFacts {
        let has_certificate = summary.certificate != Certificate::Anonymous;
        let certificate = has_certificate.then(|| policy::Certificate {
            is_trusted: summary.is_trusted(),
            subject_common_name: summary.peer_name.clone(),
            issuer_common_name: summary.issuer_name.clone(),
            fingerprint: summary.certificate_fingerprint.clone(),
            public_key_fingerprint: summary.public_key_fingerprint.clone(),
        });
        let fault = match (self.req_ccert, summary.is_trusted(), has_certificate) {
            (false, ..) | (_, true, _) => None,
            (_, _, true) => Some("Client certificate not trusted"),
            (_, _, false) => Some("No client certificate presented"),
        };
        TlsFacts {
            policy: policy::Tls {
                protocol: summary.protocol.clone(),
                cipher: summary.cipher.clone(),
                key_bits: summary.cipher_bits,
                certificate,
            },
            header: self.received_header.then(|| summary.received_comment(self.ask_ccert).into()),
            fault,
        }
    }
}

impl TlsFacts {
    /// The end of a session whose client had to show a certificate. `client` is `name[address]`.
    pub(super) fn refusal(&self, client: &str, myhostname: &str, log: &Logger) -> Option<Reply> {
        let fault = self.fault?;
        log.info(format_args!("NOQUEUE: abort: TLS from {client}: {fault}"));
        Some(Reply::new(421, DsnStatus::new(4, 7, 1), format!("{myhostname} Error: {fault}")))
    }
}

/// The reply to STARTTLS where certificates cannot be used.
pub(super) fn not_available() -> Reply {
    Reply::new(454, DsnStatus::new(4, 7, 0), "TLS not available due to local problem")
}
