//! From parameters to the SMTP and LMTP clients' settings.

use super::build::Build;
use super::clock;
use super::snapshot::Parts;
use deliver::smtp::{Caching, EhloKeywords, Settings, SmtpAgent, Timeouts};
use net::dial::{Dialer, sole_address};
use net::idle::IdleLimits;
use net::mx::{AddressPreference, DnsSupport, HostLookup, Locator};
use net::tls::ClientLevel;
use net::{InetProtocols, Nexthop, Protocol, Services, parse_known_tcp_ports};
use params::p;
use params::service::Smtp;
use smtp::Keywords;
use smtp::client::VerifyTarget;
use std::net::IpAddr;
use std::sync::Arc;

/// Idle connections that a transport keeps.
const IDLE_CONNECTIONS: usize = 500;

/// The agent of a line of master.cf; the build has its parameters.
pub(super) fn agent(build: &mut Build, line: &params::Service, parts: &Parts) -> SmtpAgent {
    let protocol = if line.program() == "lmtp" { Protocol::Lmtp } else { Protocol::Smtp };
    let s: Smtp = build.load();
    let own_addresses = super::routing::own_addresses(build);
    let locator = Locator::new(parts.resolver.clone(), locator_settings(build, &s, protocol, &own_addresses));
    let dialer = dialer(build, &s, &own_addresses);
    let settings = settings(build, s, protocol, line, parts);
    SmtpAgent::new(settings, locator, dialer)
}

fn settings(
    build: &mut Build,
    s: Smtp,
    protocol: Protocol,
    line: &params::Service,
    parts: &Parts,
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
    let workarounds = &s.smtp_pix_workarounds;
    let tls = super::smtp_tls::tls(build, &s, protocol, parts);
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
        conversation: Arc::new(conversation(&s)),
        timeouts: Arc::new(timeouts(&s)),
        address_verify_target: verify_target(build, &s.smtp_address_verify_target),
        discard_ehlo_keywords: EhloKeywords {
            keywords,
            by_address: build
                .maps("smtp_discard_ehlo_keyword_address_maps", &s.smtp_discard_ehlo_keyword_address_maps),
        },
        disables_esmtp_behind_pix: workarounds.iter().any(|w| w.eq_ignore_ascii_case("disable_esmtp")),
        logins: s.smtp_sasl_auth_enable.then(|| super::smtp_sasl::logins(build, &s, parts)).flatten(),
        caching: Caching {
            on_demand: s.smtp_connection_cache_on_demand,
            destinations: build.names(&s.smtp_connection_cache_destinations, None),
            limits: IdleLimits {
                idle_time: s.smtp_connection_cache_time_limit,
                reuse_time: s.smtp_connection_reuse_time_limit,
                reuse_count: u32::try_from(s.smtp_connection_reuse_count_limit).unwrap_or(0),
                connections: IDLE_CONNECTIONS,
            },
        },
        tls,
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

fn conversation(s: &Smtp) -> smtp::client::Settings {
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
        smtp_reply_filter: None,
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
        dnssec_behind_insecure_mx: super::smtp_tls::insecure_mx_policy(build) > ClientLevel::May,
        defer_if_no_mx_address_found: s.smtp_defer_if_no_mx_address_found,
        own_addresses: own_addresses.to_vec(),
    }
}

pub(super) fn inet_protocols(build: &mut Build) -> InetProtocols {
    let words = build.view.get(p::inet_protocols, &mut build.mistakes);
    let has = |word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word));
    InetProtocols { ipv4: has("all") || has("ipv4"), ipv6: has("all") || has("ipv6") }
}

pub(super) fn dns_support(build: &mut Build, s: &Smtp) -> DnsSupport {
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
