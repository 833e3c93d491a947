//! From parameters to the SMTP and LMTP clients' TLS.

use super::build::Build;
use super::smtp::dns_support;
use super::snapshot::Parts;
use deliver::mta_sts::Policies;
use deliver::smtp::{Dane, Defaults, Level, Reporting, Sites, Tls};
use deliver::tlsrpt::Sender;
use net::mx::DnsSupport;
use net::tls::{
    CertificateFiles, CertificatePair, CipherLists, ClientLevel, ClientSettings, ClientTls, CommonOptions,
    DaneDigests,
};
use net::{Protocol, Resolver};
use params::p;
use params::service::{Smtp, SmtpTls};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn tls(build: &mut Build, s: &Smtp, protocol: Protocol, parts: &Parts) -> Tls {
    let t: SmtpTls = build.load();
    let level = level(build, &t);
    let sites = sites(build, &t, protocol);
    let files = files(build, &t);
    let mta_sts = (protocol == Protocol::Smtp).then(|| mta_sts(build, parts)).flatten();
    let is_used = level != Level::None || !matches!(sites, Sites::Nowhere) || mta_sts.is_some();
    let engine = is_used.then(|| engine(build, &t, files.clone())).flatten();
    Tls {
        engine,
        level,
        sites,
        defaults: defaults(&t, files),
        dane: dane(build, s, &t, protocol, &parts.resolver),
        wrappermode: t.smtp_tls_wrappermode,
        loglevel: loglevel(build, &t.smtp_tls_loglevel),
        note_starttls_offer: t.smtp_tls_note_starttls_offer,
        timeout: t.smtp_starttls_timeout,
        connection_reuse: t.smtp_tls_connection_reuse,
        mta_sts,
        reporting: (protocol == Protocol::Smtp).then(|| reporting(build, parts)).flatten(),
    }
}

fn mta_sts(build: &mut Build, parts: &Parts) -> Option<Policies> {
    if !build.view.get(p::oxi_smtp_mta_sts, &mut build.mistakes) {
        return None;
    }
    let https = super::smtp_sasl::https(build, &parts.resolver);
    Some(Policies::new(parts.resolver.clone(), https, data_directory(build).join("mta-sts")))
}

fn reporting(build: &mut Build, parts: &Parts) -> Option<Reporting> {
    if !build.view.get(p::oxi_smtp_tlsrpt, &mut build.mistakes) {
        return None;
    }
    let mydomain = build.view.get(p::mydomain, &mut build.mistakes);
    let sender = Sender {
        folder: data_directory(build).join("tlsrpt"),
        contact: format!("postmaster@{mydomain}"),
        organization: mydomain,
    };
    Some(Reporting { tlsrpt: parts.memory.tlsrpt.clone(), sender, resolver: parts.resolver.clone() })
}

fn data_directory(build: &mut Build) -> PathBuf {
    PathBuf::from(build.view.get(p::data_directory, &mut build.mistakes))
}

/// `smtp_tls_security_level`, or what older parameters say.
fn level(build: &mut Build, t: &SmtpTls) -> Level {
    match t.smtp_tls_security_level.as_str() {
        "" if t.smtp_enforce_tls && t.smtp_tls_enforce_peername => Level::Tls(ClientLevel::Verify),
        "" if t.smtp_enforce_tls => Level::Tls(ClientLevel::Encrypt),
        "" if t.smtp_use_tls => Level::Tls(ClientLevel::May),
        "" => Level::None,
        name => Level::parse(name).unwrap_or_else(|| {
            build.fail(format!("Invalid TLS level \"{name}\""));
            Level::None
        }),
    }
}

fn sites(build: &mut Build, t: &SmtpTls, protocol: Protocol) -> Sites {
    let (policy_maps, per_site) = match protocol {
        Protocol::Smtp => ("smtp_tls_policy_maps", "smtp_tls_per_site"),
        Protocol::Lmtp => ("lmtp_tls_policy_maps", "lmtp_tls_per_site"),
    };
    if !t.smtp_tls_policy_maps.is_empty() {
        if !t.smtp_tls_per_site.is_empty() {
            build.warn(format!("{per_site} ignored when {policy_maps} is not empty."));
        }
        return Sites::Policies(build.maps(policy_maps, &t.smtp_tls_policy_maps));
    }
    match t.smtp_tls_per_site.is_empty() {
        true => Sites::Nowhere,
        false => Sites::PerSite(build.maps(per_site, &t.smtp_tls_per_site)),
    }
}

fn defaults(t: &SmtpTls, files: CertificateFiles) -> Defaults {
    let is_separator = |c: char| c == ',' || c == ':' || c.is_ascii_whitespace();
    let names = |list: &str| -> Vec<String> {
        list.split(is_separator).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    Defaults {
        smtp_tls_protocols: t.smtp_tls_protocols.join(" "),
        smtp_tls_mandatory_protocols: t.smtp_tls_mandatory_protocols.join(" "),
        smtp_tls_ciphers: t.smtp_tls_ciphers.clone(),
        smtp_tls_mandatory_ciphers: t.smtp_tls_mandatory_ciphers.clone(),
        smtp_tls_exclude_ciphers: t.smtp_tls_exclude_ciphers.join(" "),
        smtp_tls_mandatory_exclude_ciphers: t.smtp_tls_mandatory_exclude_ciphers.join(" "),
        cipher_lists: CipherLists {
            high: t.tls_high_cipherlist.clone(),
            medium: t.tls_medium_cipherlist.clone(),
            low: t.tls_low_cipherlist.clone(),
            export: t.tls_export_cipherlist.clone(),
            null: t.tls_null_cipherlist.clone(),
        },
        smtp_tls_servername: t.smtp_tls_servername.clone(),
        smtp_tls_verify_cert_match: names(&t.smtp_tls_verify_cert_match),
        smtp_tls_secure_cert_match: names(&t.smtp_tls_secure_cert_match),
        smtp_tls_fingerprint_cert_match: t.smtp_tls_fingerprint_cert_match.clone(),
        smtp_tls_trust_anchor_file: t.smtp_tls_trust_anchor_file.iter().map(PathBuf::from).collect(),
        files,
    }
}

fn dane(build: &mut Build, s: &Smtp, t: &SmtpTls, protocol: Protocol, resolver: &Resolver) -> Dane {
    let is_set = |words: &[String], word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word));
    let is_dnssec = dns_support(build, s) == DnsSupport::Dnssec && is_set(&s.smtp_host_lookup, "dns");
    let options = &s.smtp_dns_resolver_options;
    let obstacle = if !is_dnssec {
        Some("{level} configured with dnssec lookups disabled")
    } else if protocol == Protocol::Smtp && s.ignore_mx_lookup_error {
        Some("{level} configured with MX lookup errors ignored")
    } else if is_set(options, "res_defnames") || is_set(options, "res_dnsrch") {
        Some("dns resolver options incompatible with {level} TLS")
    } else {
        None
    };
    Dane {
        resolver: resolver.clone(),
        obstacle,
        insecure_mx_policy: insecure_mx_policy(build),
        force_insecure_host_tlsa_lookup: t.smtp_tls_force_insecure_host_tlsa_lookup,
    }
}

/// `smtp_tls_dane_insecure_mx_policy`: may, encrypt or dane.
pub(super) fn insecure_mx_policy(build: &mut Build) -> ClientLevel {
    let name = build.view.get(p::smtp_tls_dane_insecure_mx_policy, &mut build.mistakes);
    match ClientLevel::parse(&name) {
        Some(level @ (ClientLevel::May | ClientLevel::Encrypt | ClientLevel::Dane)) => level,
        _ => {
            build.fail(format!("invalid smtp_tls_dane_insecure_mx_policy: \"{name}\""));
            ClientLevel::Dane
        }
    }
}

fn files(build: &mut Build, t: &SmtpTls) -> CertificateFiles {
    let opener = build.opener.clone();
    let pair = |kind, certificate: &String, key: &String| CertificatePair {
        kind,
        certificate: PathBuf::from(certificate),
        key: PathBuf::from(key),
    };
    let pairs = [
        pair("RSA", &t.smtp_tls_cert_file, &t.smtp_tls_key_file),
        pair("DSA", &t.smtp_tls_dcert_file, &t.smtp_tls_dkey_file),
        pair("ECDSA", &t.smtp_tls_eccert_file, &t.smtp_tls_eckey_file),
    ];
    let path = |text: &String| Some(PathBuf::from(text)).filter(|_| !text.is_empty());
    CertificateFiles {
        chain_files: t.smtp_tls_chain_files.iter().map(PathBuf::from).collect(),
        pairs: pairs.into_iter().filter(|pair| !pair.certificate.as_os_str().is_empty()).collect(),
        ca_file: path(&t.smtp_tls_CAfile),
        ca_path: path(&t.smtp_tls_CApath),
        append_default_ca: t.tls_append_default_CA,
        open_file: Arc::new(move |path| opener.open(path)),
    }
}

/// Reads the files. What is wrong with them is told now, and mail that needs TLS waits.
fn engine(build: &mut Build, t: &SmtpTls, files: CertificateFiles) -> Option<ClientTls> {
    let settings = ClientSettings {
        files,
        common: CommonOptions {
            disable_workarounds: t.tls_disable_workarounds.clone(),
            ssl_options: t.tls_ssl_options.join(" "),
            eecdh_auto_curves: t.tls_eecdh_auto_curves.join(" "),
        },
        scert_verifydepth: u32::try_from(t.smtp_tls_scert_verifydepth).unwrap_or(0),
        session_cache: session_cache(t),
        fingerprint_digest: t.smtp_tls_fingerprint_digest.clone(),
        dane_digests: DaneDigests::parse(&t.tls_dane_digests, |warning| build.warn(warning)),
    };
    ClientTls::new(settings)
        .inspect_err(|error| error.lines.iter().for_each(|(_, line)| build.warn(line.clone())))
        .ok()
}

/// Sessions are kept in memory whatever the database is; without one, none are.
fn session_cache(t: &SmtpTls) -> Option<Duration> {
    (!t.smtp_tls_session_cache_database.is_empty()).then_some(t.smtp_tls_session_cache_timeout)
}

/// 0 to 4, or the words that Postfix has for what is logged.
fn loglevel(build: &mut Build, text: &str) -> u32 {
    text.trim().parse().unwrap_or_else(|_| {
        build.warn(format!("invalid smtp_tls_loglevel \"{text}\": must be 0 to 4"));
        0
    })
}
