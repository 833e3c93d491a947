//! Looks at the peer's certificate without breaking off: whether a failure matters is the level's business.

use openssl::ssl::{SslRef, SslVerifyMode};
use openssl::x509::{X509NameRef, X509StoreContextRef, X509VerifyResult};
use std::sync::{Arc, Mutex, PoisonError};

/// The worst that was found: the failure nearest to the peer's own certificate, of several there the first.
#[derive(Clone, Default)]
pub(super) struct Verification(Arc<Mutex<Option<Failure>>>);

struct Failure {
    depth: u32,
    result: X509VerifyResult,
    issuer: String,
}

/// `openssl/x509_vfy.h`.
mod code {
    pub(super) const CERT_NOT_YET_VALID: i32 = 9;
    pub(super) const CERT_HAS_EXPIRED: i32 = 10;
    pub(super) const ERROR_IN_CERT_NOT_BEFORE_FIELD: i32 = 13;
    pub(super) const ERROR_IN_CERT_NOT_AFTER_FIELD: i32 = 14;
    pub(super) const DEPTH_ZERO_SELF_SIGNED_CERT: i32 = 18;
    pub(super) const SELF_SIGNED_CERT_IN_CHAIN: i32 = 19;
    pub(super) const UNABLE_TO_GET_ISSUER_CERT_LOCALLY: i32 = 20;
    pub(super) const CERT_CHAIN_TOO_LONG: i32 = 22;
    pub(super) const INVALID_PURPOSE: i32 = 26;
    pub(super) const CERT_UNTRUSTED: i32 = 27;
}

impl Verification {
    /// Watches a handshake.
    pub(super) fn watch(ssl: &mut SslRef, mode: SslVerifyMode) -> Verification {
        let verification = Verification::default();
        let noting = verification.clone();
        ssl.set_verify_callback(mode, move |is_ok, context| {
            if !is_ok {
                noting.note(context);
            }
            true
        });
        verification
    }

    /// The same, where what the certificate is to be judged by is not in order: whatever it is, it is not trusted.
    pub(super) fn refuse(ssl: &mut SslRef) -> Verification {
        let verification = Verification::default();
        let noting = verification.clone();
        ssl.set_verify_callback(SslVerifyMode::NONE, move |_, context| {
            if context.error_depth() == 0 {
                context.set_error(sys::tls::unspecified_failure());
                noting.note(context);
            }
            true
        });
        verification
    }

    fn note(&self, context: &X509StoreContextRef) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let depth = context.error_depth();
        if noted.as_ref().is_none_or(|known| depth < known.depth) {
            let issuer = context.current_cert().map(|certificate| one_line(certificate.issuer_name()));
            *noted = Some(Failure {
                depth,
                result: context.error(),
                issuer: issuer.unwrap_or_else(|| "<unknown>".into()),
            });
        }
    }

    /// The failure in Postfix's words.
    pub(super) fn failure_text(&self, peer: &str, peer_is: &str) -> Option<String> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Failure { depth, result, issuer } = noted.as_ref()?;
        let purpose = if *depth > 0 { "CA" } else { peer_is };
        let failed = format!("certificate verification failed for {peer}");
        Some(match result.as_raw() {
            code::CERT_UNTRUSTED => format!("{failed}: not trusted by local or TLSA policy"),
            code::DEPTH_ZERO_SELF_SIGNED_CERT => format!("{failed}: self-signed certificate"),
            code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY | code::SELF_SIGNED_CERT_IN_CHAIN => {
                format!("{failed}: untrusted issuer {issuer}")
            }
            code::CERT_NOT_YET_VALID | code::ERROR_IN_CERT_NOT_BEFORE_FIELD => {
                format!("{purpose} {failed}: certificate not yet valid")
            }
            code::CERT_HAS_EXPIRED | code::ERROR_IN_CERT_NOT_AFTER_FIELD => {
                format!("{purpose} {failed}: certificate has expired")
            }
            code::INVALID_PURPOSE => format!("{failed}: not designated for use as a {purpose} certificate"),
            code::CERT_CHAIN_TOO_LONG => {
                format!("{failed}: certificate chain longer than limit({})", depth.saturating_sub(1))
            }
            other => format!("{purpose} {failed}: num={other}:{}", result.error_string()),
        })
    }
}

/// `/C=DE/CN=Test CA`, as OpenSSL's X509_NAME_oneline prints it.
fn one_line(name: &X509NameRef) -> String {
    const LENGTH_LIMIT: usize = 255;
    let mut line = String::new();
    for entry in name.entries() {
        let key = entry.object().nid().short_name().unwrap_or("UNDEF");
        let value = entry.data().to_string().unwrap_or_default();
        line += &format!("/{key}={}", maillog::printable(value.as_bytes()));
    }
    line.chars().take(LENGTH_LIMIT).collect()
}
