//! From parameters to an smtpd service's logins.

use super::build::Build;
use super::smtp_sasl::sasl_options;
use super::smtpd::networks;
use intake::smtpd::{Dovecot, Logins};
use params::{p, service};
use smtp::server::TlsLevel;

/// None: clients cannot log in at the service that is being built.
pub(super) fn logins(build: &mut Build, s: &service::Smtpd, level: TlsLevel) -> Option<Logins> {
    if !s.smtpd_sasl_auth_enable {
        return None;
    }
    let auth_only = build.view.get(p::smtpd_tls_auth_only, &mut build.mistakes);
    let queue_directory = build.view.get(p::queue_directory, &mut build.mistakes);
    let server = match s.smtpd_sasl_type.as_str() {
        "dovecot" => Dovecot::new(&s.smtpd_sasl_path, queue_directory.as_ref()),
        "cyrus" => {
            build.warn("smtpd_sasl_type = cyrus is not supported yet: AUTH is not offered".into());
            return None;
        }
        other => {
            build.warn(format!("unsupported SASL server implementation: {other}"));
            build.fail("SASL per-process initialization failed".into());
            return None;
        }
    };
    Some(Logins {
        server,
        tls_only: auth_only || level == TlsLevel::Encrypt,
        in_the_clear: sasl_options(build, "smtpd_sasl_security_options", &s.smtpd_sasl_security_options),
        under_tls: sasl_options(build, "smtpd_sasl_tls_security_options", &s.smtpd_sasl_tls_security_options),
        mechanisms: build.names(&s.smtpd_sasl_mechanism_filter, None),
        exceptions: networks(build, &s.smtpd_sasl_exceptions_networks),
        service: s.smtpd_sasl_service.clone(),
    })
}
