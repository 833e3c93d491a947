//! From parameters to an smtpd service's TLS.

use super::build::Build;
use intake::smtpd::Tls;
use net::tls::{
    CertificateFiles, CertificatePair, ChainsByName, CipherLists, CommonOptions, Protocols, ServerSettings,
    ServerTls,
};
use params::service::SmtpdTls;
use smtp::server::TlsLevel;
use std::path::PathBuf;
use std::sync::Arc;

/// TLS of the service that is being built, and what its clients are held to.
pub(super) fn tls(build: &mut Build) -> (Tls, TlsLevel) {
    let t: SmtpdTls = build.load();
    let level = level(build, &t);
    let is_required = level == TlsLevel::Encrypt;
    let req_ccert = is_required && t.smtpd_tls_req_ccert;
    let tls = Tls {
        engine: if level == TlsLevel::None { None } else { engine(build, &t, is_required) },
        wrappermode: t.smtpd_tls_wrappermode,
        loglevel: loglevel(build, &t.smtpd_tls_loglevel),
        timeout: t.smtpd_starttls_timeout,
        ask_ccert: t.smtpd_tls_ask_ccert,
        req_ccert,
        received_header: t.smtpd_tls_received_header,
    };
    (tls, level)
}

/// `smtpd_tls_security_level`, or what older parameters say.
fn level(build: &mut Build, t: &SmtpdTls) -> TlsLevel {
    let text = t.smtpd_tls_security_level.to_ascii_lowercase();
    match text.as_str() {
        _ if t.smtpd_tls_wrappermode => TlsLevel::Encrypt,
        "" if t.smtpd_enforce_tls => TlsLevel::Encrypt,
        "" if t.smtpd_use_tls => TlsLevel::May,
        "" | "none" => TlsLevel::None,
        "may" => TlsLevel::May,
        "encrypt" => TlsLevel::Encrypt,
        "fingerprint" | "verify" | "secure" => {
            say(
                build,
                &format!("smtpd_tls_security_level: unsupported TLS level \"{text}\", using \"encrypt\""),
            );
            TlsLevel::Encrypt
        }
        _ => {
            build.fail(format!("Invalid TLS level \"{}\"", t.smtpd_tls_security_level));
            TlsLevel::None
        }
    }
}

/// Reads the files. What is wrong with them is told now; STARTTLS is then answered 454.
fn engine(build: &mut Build, t: &SmtpdTls, is_required: bool) -> Option<ServerTls> {
    let asks = t.smtpd_tls_ask_ccert || is_required && t.smtpd_tls_req_ccert;
    if !has_certificate(build, t, asks, is_required) {
        say(build, "No server certs available. TLS won't be enabled");
        return None;
    }
    let settings = ServerSettings {
        files: files(build, t),
        common: CommonOptions {
            disable_workarounds: t.tls_disable_workarounds.clone(),
            ssl_options: t.tls_ssl_options.join(" "),
            eecdh_auto_curves: t.tls_eecdh_auto_curves.join(" "),
        },
        protocols: protocols(build, t, is_required)?,
        ciphers: ciphers(build, t, is_required, asks)?,
        preempt_cipherlist: t.tls_preempt_cipherlist,
        dh_param_file: path(&t.smtpd_tls_dh1024_param_file),
        ask_ccert: asks,
        req_ccert: is_required && t.smtpd_tls_req_ccert,
        ccert_verifydepth: u32::try_from(t.smtpd_tls_ccert_verifydepth).unwrap_or(0),
        session_cache: !t.smtpd_tls_session_cache_database.is_empty(),
        session_tickets: !t.tls_session_ticket_cipher.is_empty()
            && !t.smtpd_tls_session_cache_timeout.is_zero(),
        fingerprint_digest: t.smtpd_tls_fingerprint_digest.clone(),
    };
    let by_name = by_name(build, t);
    let log = build.service_log("smtpd");
    let warn = |text: String| log.warning(format_args!("{text}"));
    ServerTls::new(settings, by_name, warn)
        .inspect_err(|error| {
            error.lines.iter().for_each(|(level, line)| log.line(*level, format_args!("{line}")))
        })
        .ok()
}

/// Whether there is a certificate, or need not be one (`smtpd_tls_cert_file = none`).
fn has_certificate(build: &mut Build, t: &SmtpdTls, asks: bool, is_required: bool) -> bool {
    let may_lack = t.smtpd_tls_cert_file.eq_ignore_ascii_case("none");
    let has_pair = !may_lack && !t.smtpd_tls_cert_file.is_empty()
        || !t.smtpd_tls_eccert_file.is_empty()
        || !t.smtpd_tls_dcert_file.is_empty();
    let has_chains = !t.smtpd_tls_chain_files.is_empty();
    if has_chains && has_pair {
        say(
            build,
            "Both smtpd_tls_chain_files and one or more of the legacy  smtpd_tls_cert_file, smtpd_tls_eccert_file or \
             smtpd_tls_dcert_file are non-empty; the legacy  parameters will be ignored",
        );
    }
    if asks && !has_pair && !has_chains {
        say(build, "Need a server cert to request client certs");
    }
    if !is_required && t.smtpd_tls_req_ccert {
        say(build, "Can't require client certs unless TLS is required");
    }
    has_pair || has_chains || may_lack && !asks
}

fn files(build: &Build, t: &SmtpdTls) -> CertificateFiles {
    let opener = build.opener.clone();
    let pairs = [
        ("RSA", &t.smtpd_tls_cert_file, &t.smtpd_tls_key_file),
        ("DSA", &t.smtpd_tls_dcert_file, &t.smtpd_tls_dkey_file),
        ("ECDSA", &t.smtpd_tls_eccert_file, &t.smtpd_tls_eckey_file),
    ];
    let named = pairs
        .into_iter()
        .filter(|(_, certificate, _)| !certificate.is_empty() && !certificate.eq_ignore_ascii_case("none"));
    CertificateFiles {
        chain_files: t.smtpd_tls_chain_files.iter().map(PathBuf::from).collect(),
        pairs: named
            .map(|(kind, certificate, key)| CertificatePair {
                kind,
                certificate: PathBuf::from(certificate),
                key: PathBuf::from(key),
            })
            .collect(),
        ca_file: path(&t.smtpd_tls_CAfile),
        ca_path: path(&t.smtpd_tls_CApath),
        append_default_ca: t.tls_append_default_CA,
        open_file: Arc::new(move |path| opener.open(path)),
    }
}

fn protocols(build: &mut Build, t: &SmtpdTls, is_required: bool) -> Option<Protocols> {
    let list = match is_required {
        true => t.smtpd_tls_mandatory_protocols.join(" "),
        false => t.smtpd_tls_protocols.join(" "),
    };
    let parsed = list.parse().inspect_err(|_| {
        say(build, &format!("Invalid TLS protocol list \"{list}\": disabling TLS support"));
    });
    parsed.ok()
}

fn ciphers(build: &mut Build, t: &SmtpdTls, is_required: bool, asks: bool) -> Option<String> {
    let grade = if is_required { &t.smtpd_tls_mandatory_ciphers } else { &t.smtpd_tls_ciphers };
    let mut exclusions: Vec<&str> = t.smtpd_tls_exclude_ciphers.iter().map(String::as_str).collect();
    if is_required {
        exclusions.extend(t.smtpd_tls_mandatory_exclude_ciphers.iter().map(String::as_str));
    }
    if asks {
        // A server without a certificate may not ask for one.
        exclusions.push("aNULL");
    }
    let lists = CipherLists {
        high: t.tls_high_cipherlist.clone(),
        medium: t.tls_medium_cipherlist.clone(),
        low: t.tls_low_cipherlist.clone(),
        export: t.tls_export_cipherlist.clone(),
        null: t.tls_null_cipherlist.clone(),
    };
    lists.with(grade, &exclusions).inspect_err(|error| say(build, &error.to_string())).ok()
}

/// `tls_server_sni_maps`. OpenSSL asks in the midst of a handshake and cannot wait: tables that are files answer at once,
/// others count as out of order.
fn by_name(build: &mut Build, t: &SmtpdTls) -> Option<ChainsByName> {
    if t.tls_server_sni_maps.is_empty() {
        return None;
    }
    let maps = build.file_maps("tls_server_sni_maps", &t.tls_server_sni_maps);
    Some(Arc::new(move |name| match maps.get_now(name.as_bytes()) {
        Ok(found) => Ok(found.map(|pem| pem.to_vec())),
        Err(_) => Err("tls_server_sni_maps: map lookup problem".into()),
    }))
}

fn path(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text)).filter(|_| !text.is_empty())
}

/// 0 to 4.
fn loglevel(build: &mut Build, text: &str) -> u32 {
    text.trim().parse().unwrap_or_else(|_| {
        build.warn(format!("invalid smtpd_tls_loglevel \"{text}\": must be 0 to 4"));
        0
    })
}

/// A warning under the service's own name, as its smtpd would give it.
fn say(build: &mut Build, text: &str) {
    build.service_log("smtpd").warning(format_args!("{text}"));
}
