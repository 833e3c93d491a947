//! From parameters to the SMTP and LMTP clients' settings.

use super::build::Build;
use super::snapshot::Parts;
use super::{clock, smtp_content};
use deliver::smtp::{
    Caching, EhloKeywords, Logins, Rewriting, SaslOptions, Settings, SmtpAgent, Timeouts, Tls,
};
use mail::keys::Extensions;
use net::dial::{Dialer, sole_address};
use net::idle::IdleLimits;
use net::mx::{AddressPreference, DnsSupport, HostLookup, Locator};
use net::tls::{
    CertificateFiles, CertificatePair, CipherLists, ClientLevel, ClientPolicy, ClientSettings, ClientTls,
    CommonOptions, Protocols,
};
use net::{InetProtocols, Nexthop, Protocol, Services, parse_known_tcp_ports};
use params::p;
use params::service::{Smtp, SmtpTls};
use route::Router;
use smtp::Keywords;
use smtp::client::VerifyTarget;
use smtp::sasl::SecurityOptions;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Idle connections that a transport keeps.
const IDLE_CONNECTIONS: usize = 500;

/// The agent of a line of master.cf; the build has its parameters.
pub(super) fn agent(build: &mut Build, line: &params::Service, router: &Router, parts: &Parts) -> SmtpAgent {
    let protocol = if line.program() == "lmtp" { Protocol::Lmtp } else { Protocol::Smtp };
    let s: Smtp = build.load();
    let own_addresses = super::routing::own_addresses(build);
    let locator = Locator::new(parts.resolver.clone(), locator_settings(build, &s, protocol, &own_addresses));
    let dialer = dialer(build, &s, &own_addresses);
    let rewriting = smtp_content::rewriting(build, &s, protocol, router);
    SmtpAgent::new(settings(build, s, protocol, line, rewriting), locator, dialer)
}

fn settings(
    build: &mut Build,
    s: Smtp,
    protocol: Protocol,
    line: &params::Service,
    rewriting: Rewriting,
) -> Settings {
    let services = services(build);
    let fallback_relay = s
        .smtp_fallback_relay
        .iter()
        .filter_map(|text| {
            Nexthop::parse(text, &s.smtp_tcp_port, &services)
                .inspect_err(|e| build.fail(format!("smtp_fallback_relay: {e}")))
                .ok()
        })
        .collect();
    let (keywords, unknown) = keywords(&s.smtp_discard_ehlo_keywords);
    for word in unknown {
        build.warn(format!("unknown EHLO keyword \"{word}\" in smtp_discard_ehlo_keywords"));
    }
    let tls = tls(build);
    Settings {
        protocol,
        services,
        relayhost: build.view.get(p::relayhost, &mut build.mistakes),
        fallback_relay,
        mx_address_limit: limit(s.smtp_mx_address_limit),
        mx_session_limit: limit(s.smtp_mx_session_limit),
        minimal_backoff_time: build.view.get(p::minimal_backoff_time, &mut build.mistakes),
        helpful_warnings: build.view.get(p::helpful_warnings, &mut build.mistakes),
        soft_bounce: build.view.get(p::soft_bounce, &mut build.mistakes),
        lmtp_assume_final: s.lmtp_assume_final,
        conversation: Arc::new(conversation(build, &s, protocol)),
        timeouts: Arc::new(timeouts(&s)),
        address_verify_target: verify_target(build, &s.smtp_address_verify_target),
        rewriting,
        discard_ehlo_keywords: EhloKeywords {
            keywords,
            by_address: build
                .maps("smtp_discard_ehlo_keyword_address_maps", &s.smtp_discard_ehlo_keyword_address_maps),
        },
        pix: smtp_content::pix(build, &s, protocol),
        logins: s.smtp_sasl_auth_enable.then(|| logins(build, &s)).flatten(),
        caching: Caching {
            on_demand: s.smtp_connection_cache_on_demand,
            destinations: build.names(&s.smtp_connection_cache_destinations, None),
            with_tls: tls.1,
            limits: IdleLimits {
                idle_time: s.smtp_connection_cache_time_limit,
                reuse_time: s.smtp_connection_reuse_time_limit,
                reuse_count: u32::try_from(s.smtp_connection_reuse_count_limit).unwrap_or(0),
                connections: IDLE_CONNECTIONS,
            },
        },
        tls: tls.0,
        smtp_tcp_port: s.smtp_tcp_port,
        log: build.service_log(line.program()),
        now: clock::now,
    }
}

fn services(build: &mut Build) -> Services {
    let known = build.view.get(p::known_tcp_ports, &mut build.mistakes);
    Services::system().with_known_tcp_ports(parse_known_tcp_ports(&known))
}

fn limit(parameter: i32) -> usize {
    usize::try_from(parameter).unwrap_or(0)
}

fn keywords(words: &[String]) -> (Keywords, Vec<String>) {
    let list = words.join(" ");
    let (set, unknown) = Keywords::parse(&list);
    (set, unknown.into_iter().map(str::to_owned).collect())
}

fn conversation(build: &mut Build, s: &Smtp, protocol: Protocol) -> smtp::client::Settings {
    smtp::client::Settings {
        myhostname: s.myhostname.clone(),
        smtp_helo_name: s.smtp_helo_name.clone(),
        line_length_limit: limit(s.line_length_limit),
        smtp_line_length_limit: limit(s.smtp_line_length_limit),
        smtp_always_send_ehlo: s.smtp_always_send_ehlo,
        smtp_never_send_ehlo: s.smtp_never_send_ehlo,
        smtp_skip_5xx_greeting: s.smtp_skip_5xx_greeting,
        smtp_skip_quit_response: s.smtp_skip_quit_response,
        smtp_quote_rfc821_envelope: s.smtp_quote_rfc821_envelope,
        smtp_send_xforward_command: s.smtp_send_xforward_command,
        smtp_send_dummy_mail_auth: s.smtp_send_dummy_mail_auth,
        smtp_sasl_auth_soft_bounce: s.smtp_sasl_auth_soft_bounce,
        send_cyrus_sasl_authzid: s.send_cyrus_sasl_authzid,
        smtp_reply_filter: smtp_content::reply_filter(build, s, protocol),
    }
}

fn timeouts(s: &Smtp) -> Timeouts {
    Timeouts {
        helo: s.smtp_helo_timeout,
        starttls: s.smtp_starttls_timeout,
        xforward: s.smtp_xforward_timeout,
        mail: s.smtp_mail_timeout,
        rcpt: s.smtp_rcpt_timeout,
        data_init: s.smtp_data_init_timeout,
        data_xfer: s.smtp_data_xfer_timeout,
        data_done: s.smtp_data_done_timeout,
        rset: s.smtp_rset_timeout,
        quit: s.smtp_quit_timeout,
        per_request_deadline: s.smtp_per_request_deadline,
        min_data_rate: u32::try_from(s.smtp_min_data_rate).unwrap_or(0),
        pix_workaround_delay: s.smtp_pix_workaround_delay_time,
    }
}

fn verify_target(build: &mut Build, text: &str) -> VerifyTarget {
    match text {
        "rcpt" => VerifyTarget::Rcpt,
        "data" => VerifyTarget::Data,
        _ => {
            build.fail(format!("unknown smtp_address_verify_target \"{text}\": must be rcpt or data"));
            VerifyTarget::Rcpt
        }
    }
}

fn logins(build: &mut Build, s: &Smtp) -> Option<Logins> {
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
    Some(Logins {
        passwords: build.maps("smtp_sasl_password_maps", &s.smtp_sasl_password_maps),
        by_sender: s.smtp_sender_dependent_authentication,
        delimiter: s.smtp_sasl_password_result_delimiter.chars().next().unwrap_or(':'),
        recipient_delimiter: Extensions::new(recipient_delimiter),
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
    })
}

pub(super) fn sasl_options(build: &mut Build, parameter: &str, words: &[String]) -> SecurityOptions {
    SecurityOptions::parse(&words.join(" ")).unwrap_or_else(|word| {
        build.fail(format!("unknown {parameter} value \"{word}\" in \"{}\"", words.join(" ")));
        SecurityOptions::default()
    })
}

fn locator_settings(
    build: &mut Build,
    s: &Smtp,
    protocol: Protocol,
    own_addresses: &[IpAddr],
) -> net::mx::Settings {
    let has = |words: &[String], word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word));
    let host_lookup =
        HostLookup { dns: has(&s.smtp_host_lookup, "dns"), native: has(&s.smtp_host_lookup, "native") };
    for word in s.smtp_host_lookup.iter().filter(|w| !["dns", "native"].contains(&w.as_str())) {
        build.fail(format!("unknown smtp_host_lookup value \"{word}\""));
    }
    let address_preference = match s.smtp_address_preference.as_str() {
        "any" => AddressPreference::Any,
        "ipv4" => AddressPreference::Ipv4,
        "ipv6" => AddressPreference::Ipv6,
        other => {
            build.fail(format!("invalid smtp_address_preference: \"{other}\""));
            AddressPreference::Any
        }
    };
    net::mx::Settings {
        protocol,
        inet_protocols: inet_protocols(build),
        dns_support: dns_support(build, s),
        host_lookup,
        defnames: has(&s.smtp_dns_resolver_options, "res_defnames"),
        dnsrch: has(&s.smtp_dns_resolver_options, "res_dnsrch"),
        address_preference,
        randomize_addresses: s.smtp_randomize_addresses,
        mx_address_limit: limit(s.smtp_mx_address_limit),
        balance_inet_protocols: s.smtp_balance_inet_protocols,
        ignore_mx_lookup_error: s.ignore_mx_lookup_error,
        defer_if_no_mx_address_found: s.smtp_defer_if_no_mx_address_found,
        cname_overrides_servername: s.smtp_cname_overrides_servername,
        reply_filter: smtp_content::dns_reply_filter(build, s, protocol),
        own_addresses: own_addresses.to_vec(),
    }
}

fn inet_protocols(build: &mut Build) -> InetProtocols {
    let words = build.view.get(p::inet_protocols, &mut build.mistakes);
    let has = |word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word));
    InetProtocols { ipv4: has("all") || has("ipv4"), ipv6: has("all") || has("ipv6") }
}

fn dns_support(build: &mut Build, s: &Smtp) -> DnsSupport {
    match s.smtp_dns_support_level.as_str() {
        "" if s.disable_dns_lookups => DnsSupport::Disabled,
        "" | "enabled" => DnsSupport::Enabled,
        "disabled" => DnsSupport::Disabled,
        "dnssec" => DnsSupport::Dnssec,
        other => {
            build.fail(format!("invalid smtp_dns_support_level: \"{other}\""));
            DnsSupport::Enabled
        }
    }
}

fn dialer(build: &mut Build, s: &Smtp, own_addresses: &[IpAddr]) -> Dialer {
    let mut address = |parameter: &str, text: &str, is_ipv6: bool| {
        if text.is_empty() {
            return sole_address(own_addresses, is_ipv6);
        }
        let parsed = text.parse::<IpAddr>().ok().filter(|address| address.is_ipv6() == is_ipv6);
        if parsed.is_none() {
            build.fail(format!("bad {parameter} parameter: {text}"));
        }
        parsed
    };
    Dialer {
        connect_timeout: s.smtp_connect_timeout,
        bind_address: address("smtp_bind_address", &s.smtp_bind_address, false),
        bind_address6: address("smtp_bind_address6", &s.smtp_bind_address6, true),
        bind_address_enforce: s.smtp_bind_address_enforce,
    }
}

/// TLS, and whether connections under it are kept.
fn tls(build: &mut Build) -> (Tls, bool) {
    let t: SmtpTls = build.load();
    let policy = level(build, &t).map(|level| policy(build, &t, level));
    let engine = policy.is_some().then(|| engine(build, &t)).flatten();
    let tls = Tls {
        engine,
        policy,
        wrappermode: t.smtp_tls_wrappermode,
        loglevel: loglevel(build, &t.smtp_tls_loglevel),
        note_starttls_offer: t.smtp_tls_note_starttls_offer,
        timeout: t.smtp_starttls_timeout,
    };
    (tls, t.smtp_tls_connection_reuse)
}

/// `smtp_tls_security_level`, or what older parameters say. None is no TLS.
fn level(build: &mut Build, t: &SmtpTls) -> Option<ClientLevel> {
    match t.smtp_tls_security_level.to_ascii_lowercase().as_str() {
        "" if t.smtp_enforce_tls && t.smtp_tls_enforce_peername => Some(ClientLevel::Verify),
        "" if t.smtp_enforce_tls => Some(ClientLevel::Encrypt),
        "" if t.smtp_use_tls => Some(ClientLevel::May),
        "" | "none" => None,
        "may" => Some(ClientLevel::May),
        "encrypt" => Some(ClientLevel::Encrypt),
        "fingerprint" => Some(ClientLevel::Fingerprint),
        "verify" => Some(ClientLevel::Verify),
        "secure" => Some(ClientLevel::Secure),
        other @ ("dane" | "dane-only") => {
            build.fail(format!("smtp_tls_security_level = {other} is not supported yet"));
            None
        }
        other => {
            build.fail(format!("invalid tls security level \"{other}\""));
            None
        }
    }
}

fn policy(build: &mut Build, t: &SmtpTls, level: ClientLevel) -> ClientPolicy {
    let is_mandatory = level > ClientLevel::May;
    let (parameter, protocols) = match is_mandatory {
        true => ("smtp_tls_mandatory_protocols", t.smtp_tls_mandatory_protocols.join(" ")),
        false => ("smtp_tls_protocols", t.smtp_tls_protocols.join(" ")),
    };
    let protocols = protocols.parse().unwrap_or_else(|e| {
        build.fail(format!("{parameter}: {e}"));
        Protocols::default()
    });
    let (parameter, grade) = match is_mandatory {
        true => ("smtp_tls_mandatory_ciphers", &t.smtp_tls_mandatory_ciphers),
        false => ("smtp_tls_ciphers", &t.smtp_tls_ciphers),
    };
    let mut exclusions: Vec<&str> = t.smtp_tls_exclude_ciphers.iter().map(String::as_str).collect();
    if is_mandatory {
        exclusions.extend(t.smtp_tls_mandatory_exclude_ciphers.iter().map(String::as_str));
    }
    let lists = CipherLists {
        high: t.tls_high_cipherlist.clone(),
        medium: t.tls_medium_cipherlist.clone(),
        low: t.tls_low_cipherlist.clone(),
        export: t.tls_export_cipherlist.clone(),
        null: t.tls_null_cipherlist.clone(),
    };
    let ciphers = ClientPolicy::ciphers(&lists, level, grade, &exclusions).unwrap_or_else(|e| {
        build.fail(format!("{parameter}: {e}"));
        String::new()
    });
    let cert_match = match level {
        ClientLevel::Secure => &t.smtp_tls_secure_cert_match,
        _ => &t.smtp_tls_verify_cert_match,
    };
    let is_separator = |c: char| c == ',' || c == ':' || c.is_ascii_whitespace();
    ClientPolicy {
        level,
        protocols,
        ciphers,
        servername: Some(t.smtp_tls_servername.clone()).filter(|name| !name.is_empty()),
        cert_match: cert_match
            .split(is_separator)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        fingerprint_cert_match: t.smtp_tls_fingerprint_cert_match.clone(),
    }
}

/// Reads the files. What is wrong with them is told now, and mail that needs TLS waits.
fn engine(build: &mut Build, t: &SmtpTls) -> Option<ClientTls> {
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
    let settings = ClientSettings {
        files: CertificateFiles {
            chain_files: t.smtp_tls_chain_files.iter().map(PathBuf::from).collect(),
            pairs: pairs.into_iter().filter(|pair| !pair.certificate.as_os_str().is_empty()).collect(),
            ca_file: path(&t.smtp_tls_CAfile),
            ca_path: path(&t.smtp_tls_CApath),
            append_default_ca: t.tls_append_default_CA,
            open_file: Arc::new(move |path| opener.open(path)),
        },
        common: CommonOptions {
            disable_workarounds: t.tls_disable_workarounds.clone(),
            ssl_options: t.tls_ssl_options.join(" "),
            eecdh_auto_curves: t.tls_eecdh_auto_curves.join(" "),
        },
        scert_verifydepth: u32::try_from(t.smtp_tls_scert_verifydepth).unwrap_or(0),
        session_cache: session_cache(t),
        fingerprint_digest: t.smtp_tls_fingerprint_digest.clone(),
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
