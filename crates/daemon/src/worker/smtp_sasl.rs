//! From parameters to the SMTP and LMTP clients' logins.

use super::build::Build;
use super::snapshot::Parts;
use deliver::oauth2::{self, Tokens};
use deliver::smtp::{FailedMemory, Logins, SaslOptions};
use mail::keys::Extensions;
use net::Resolver;
use net::https::HttpsClient;
use params::p;
use params::service::Smtp;
use smtp::sasl::SecurityOptions;
use std::path::Path;

pub(super) fn logins(build: &mut Build, s: &Smtp, parts: &Parts) -> Option<Logins> {
    if s.smtp_sasl_password_maps.is_empty() {
        build.fail(
            "specify a password table via the `smtp_sasl_password_maps' configuration parameter".to_owned(),
        );
        return None;
    }
    if s.smtp_sasl_type != "cyrus" {
        build.fail(format!("unsupported SASL client implementation: {}", s.smtp_sasl_type));
        return None;
    }
    let recipient_delimiter = build.view.get(p::recipient_delimiter, &mut build.mistakes);
    let mydestination = build.view.get(p::mydestination, &mut build.mistakes);
    let mydestination = build.names(&mydestination, None);
    Some(Logins {
        passwords: build.maps("smtp_sasl_password_maps", &s.smtp_sasl_password_maps),
        by_sender: s.smtp_sender_dependent_authentication,
        delimiter: s.smtp_sasl_password_result_delimiter.chars().next().unwrap_or(':'),
        recipient_delimiter: Extensions::new(recipient_delimiter),
        myorigin: build.view.get(p::myorigin, &mut build.mistakes),
        mydestination,
        options: SaslOptions {
            in_the_clear: sasl_options(build, "smtp_sasl_security_options", &s.smtp_sasl_security_options),
            under_tls: sasl_options(
                build,
                "smtp_sasl_tls_security_options",
                &s.smtp_sasl_tls_security_options,
            ),
            under_verified_tls: sasl_options(
                build,
                "smtp_sasl_tls_verified_security_options",
                &s.smtp_sasl_tls_verified_security_options,
            ),
        },
        mechanisms: build.names(&s.smtp_sasl_mechanism_filter, None),
        failed: (!s.smtp_sasl_auth_cache_name.is_empty()).then(|| FailedMemory {
            logins: parts.memory.failed_logins.clone(),
            time: s.smtp_sasl_auth_cache_time,
            is_soft: s.smtp_sasl_auth_soft_bounce,
        }),
        tokens: tokens(build, &parts.resolver),
    })
}

pub(super) fn sasl_options(build: &mut Build, parameter: &str, words: &[String]) -> SecurityOptions {
    SecurityOptions::parse(&words.join(" ")).unwrap_or_else(|word| {
        build.fail(format!("unknown {parameter} value \"{word}\" in \"{}\"", words.join(" ")));
        SecurityOptions::default()
    })
}

/// Token files are those of the sasl-xoauth2 plug-in, and so is its configuration file.
fn tokens(build: &mut Build, resolver: &Resolver) -> Tokens {
    let settings = oauth2::Settings::load(Path::new(oauth2::DEFAULT_CONFIG)).unwrap_or_else(|flaw| {
        build.warn(flaw);
        oauth2::Settings::default()
    });
    let data_directory = build.view.get(p::data_directory, &mut build.mistakes);
    let queue_directory = build.view.get(p::queue_directory, &mut build.mistakes);
    let https = https(build, resolver);
    Tokens::new(settings, https, Path::new(&data_directory).join("oauth2"), queue_directory.into())
}

/// Asks web servers, with the authorities that the system trusts.
pub(super) fn https(build: &mut Build, resolver: &Resolver) -> HttpsClient {
    let inet_protocols = super::smtp::inet_protocols(build);
    HttpsClient { resolver: resolver.clone(), inet_protocols, ca_file: None }
}
