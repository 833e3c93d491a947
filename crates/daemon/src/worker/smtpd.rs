//! From parameters to smtpd services, and to what cleanup obeys.

use super::build::Build;
use super::snapshot::Parts;
use super::{clock, smtpd_sasl, smtpd_tls};
use intake::cleanup::{FromFormat, Settings as CleanupSettings};
use intake::smtpd::{Clock, Lists, NetworkList, Pattern, PolicyServers, Service};
use intake::{cleanup, enqueue};
use mail::keys::Parents;
use mail::mime::Strictness;
use net::InetProtocols;
use params::{Diagnostic, Service as Line, View, p, service};
use policy::{Compatibility, PolicySettings, Restrictions, Settings as PolicyRules, Sources, TempfailAction};
use route::Router;
use route::checks::Checks;
use smtp::framing::ForbidBareNewline;
use smtp::server::{Config, Keywords, TlsLevel};
use spool::Spool;
use std::sync::Arc;

/// What all ways into the queue share.
pub(super) fn enqueue_context(
    build: &mut Build,
    router: &Router,
    spool: &Arc<dyn Spool>,
) -> enqueue::Context {
    let log = build.service_log("cleanup");
    let settings = Arc::new(cleanup_settings(build));
    enqueue::Context {
        cleanup: cleanup::Context { settings, router: router.clone() },
        spool: spool.clone(),
        log,
    }
}

fn cleanup_settings(build: &mut Build) -> CleanupSettings {
    let c: service::Cleanup = build.load();
    let mail_name = build.view.get(p::mail_name, &mut build.mistakes);
    let obsolete = c.header_from_format == "obsolete";
    CleanupSettings {
        header_size_limit: c.header_size_limit.max(1) as usize,
        hopcount_limit: c.hopcount_limit.max(1) as usize,
        message_size_limit: c.message_size_limit.max(0) as u64,
        line_length_limit: c.line_length_limit.max(1) as usize,
        message_drop_headers: c.message_drop_headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
        always_add_missing_headers: c.always_add_missing_headers,
        undisclosed_recipients_header: c.undisclosed_recipients_header.clone(),
        header_from_format: if obsolete { FromFormat::Obsolete } else { FromFormat::Standard },
        enable_long_queue_ids: build.view.get(p::enable_long_queue_ids, &mut build.mistakes),
        detect_8bit_encoding_header: c.detect_8bit_encoding_header,
        cleanup_replace_stray_cr_lf: c.cleanup_replace_stray_cr_lf,
        duplicate_filter_limit: c.duplicate_filter_limit.max(0) as usize,
        enable_original_recipient: c.enable_original_recipient,
        smtputf8_enable: c.smtputf8_enable,
        disable_mime_input_processing: c.disable_mime_input_processing,
        mime_nesting_limit: c.mime_nesting_limit.max(0) as usize,
        mime_boundary_length_limit: c.mime_boundary_length_limit.max(0) as usize,
        strictness: Strictness {
            nesting: false,
            strict_7bit_headers: c.strict_8bitmime || c.strict_7bit_headers,
            strict_8bitmime_body: c.strict_8bitmime || c.strict_8bitmime_body,
            strict_mime_encoding_domain: c.strict_mime_encoding_domain,
        },
        checks: Checks {
            header_checks: build.maps("header_checks", &c.header_checks),
            mime_header_checks: build.maps("mime_header_checks", &c.mime_header_checks),
            nested_header_checks: build.maps("nested_header_checks", &c.nested_header_checks),
            body_checks: build.maps("body_checks", &c.body_checks),
        },
        body_checks_size_limit: c.body_checks_size_limit.max(0) as u64,
        ..CleanupSettings::new(&c.myhostname, &mail_name)
    }
}

/// One smtpd line of master.cf.
pub(super) fn service(
    build: &mut Build,
    line: &Line,
    parts: &Parts,
    enqueue: &enqueue::Context,
) -> Arc<Service> {
    build.for_service(line, |build| {
        let s: service::Smtpd = build.load();
        let relay_clientcerts = build.view.get(p::relay_clientcerts, &mut build.mistakes);
        let queue_directory = build.view.get(p::queue_directory, &mut build.mistakes);
        let (tls, tls_level) = smtpd_tls::tls(build);
        let fast_flush_domains = build.view.get(p::fast_flush_domains, &mut build.mistakes);
        let flush_parents = build.parents_of("fast_flush_domains");
        let logins = smtpd_sasl::logins(build, &s, tls_level);
        let (restrictions, tables) = restrictions(build, &s);
        let (forbidden_words, forbidden_tables) = words_and_tables(build, &s.smtpd_forbidden_commands);
        let (noop_words, _) = words_and_tables(build, &s.smtpd_noop_commands);
        let discarded = s.smtpd_discard_ehlo_keywords.join(" ");
        let (keywords, unknown) = Keywords::parse(&discarded);
        for word in unknown {
            build.warn(format!("unknown EHLO keyword \"{word}\" in smtpd_discard_ehlo_keywords"));
        }
        Arc::new(Service {
            name: line.name().to_owned(),
            config: Arc::new(config(&build.view, &mut build.mistakes, &s, tls_level, noop_words)),
            restrictions,
            tables,
            lists: lists(build, &s),
            policy_servers: PolicyServers::new(queue_directory.into()),
            smtpd_sender_login_maps: build.maps("smtpd_sender_login_maps", &s.smtpd_sender_login_maps),
            rbl_reply_maps: build.maps("rbl_reply_maps", &s.rbl_reply_maps),
            relay_clientcerts: build.maps("relay_clientcerts", &relay_clientcerts),
            verify: parts.verifier.clone(),
            resolver: parts.resolver.clone(),
            inet_protocols: inet_protocols(build),
            smtpd_peername_lookup: s.smtpd_peername_lookup,
            smtpd_client_port_logging: s.smtpd_client_port_logging,
            smtpd_timeout: s.smtpd_timeout,
            smtpd_forbid_bare_newline: forbid_bare_newline(build, &s.smtpd_forbid_bare_newline),
            smtpd_discard_ehlo_keywords: keywords,
            smtpd_forbidden_commands: forbidden_words,
            smtpd_forbidden_tables: forbidden_tables,
            tls,
            logins,
            smtpd_sasl_authenticated_header: s.smtpd_sasl_authenticated_header,
            content_filter: s.content_filter.clone(),
            no_address_mappings: s.receive_override_options.iter().any(|o| o == "no_address_mappings"),
            no_header_body_checks: s.receive_override_options.iter().any(|o| o == "no_header_body_checks"),
            fast_flush_domains: build.names(&fast_flush_domains, Some(flush_parents)),
            flush: parts.flush.clone(),
            enqueue: enqueue.clone(),
            log: build.service_log("smtpd"),
            clock: Clock { now: clock::now, date: clock::date, stamp: clock::stamp },
        })
    })
}

/// What sessions must know. `smtpd_noop_commands`: the words in that list.
pub(crate) fn config(
    view: &View,
    mistakes: &mut Vec<Diagnostic>,
    s: &service::Smtpd,
    smtpd_tls_security_level: TlsLevel,
    smtpd_noop_commands: Vec<String>,
) -> Config {
    let number = |n: i32| n.max(0) as u32;
    Config {
        myhostname: s.myhostname.clone(),
        smtpd_banner: s.smtpd_banner.clone(),
        line_length_limit: s.line_length_limit.max(1) as usize,
        message_size_limit: s.message_size_limit.max(0) as u64,
        smtpd_recipient_limit: number(s.smtpd_recipient_limit),
        smtpd_recipient_overshoot_limit: number(s.smtpd_recipient_overshoot_limit),
        smtpd_soft_error_limit: number(s.smtpd_soft_error_limit),
        smtpd_hard_error_limit: number(s.smtpd_hard_error_limit),
        smtpd_error_sleep_time: s.smtpd_error_sleep_time,
        smtpd_junk_command_limit: number(s.smtpd_junk_command_limit),
        smtpd_helo_required: s.smtpd_helo_required,
        disable_vrfy_command: s.disable_vrfy_command,
        strict_rfc821_envelopes: s.strict_rfc821_envelopes,
        smtputf8_enable: s.smtputf8_enable,
        strict_smtputf8: s.strict_smtputf8,
        smtpd_forbid_bare_newline_reject_code: code(mistakes, s.smtpd_forbid_bare_newline_reject_code),
        smtpd_forbid_unauth_pipelining: s.smtpd_forbid_unauth_pipelining,
        smtpd_noop_commands,
        smtpd_command_filter: false,
        smtpd_sasl_response_limit: s.smtpd_sasl_response_limit.max(1) as usize,
        broken_sasl_auth_clients: s.broken_sasl_auth_clients,
        smtpd_tls_security_level,
        default_verp_delimiters: view.get(p::default_verp_delimiters, mistakes),
        verp_delimiter_filter: view.get(p::verp_delimiter_filter, mistakes),
        soft_bounce: s.soft_bounce,
    }
}

/// 3.9's default, also where main.cf says nothing: only CRLF ends a line.
fn forbid_bare_newline(build: &mut Build, value: &str) -> ForbidBareNewline {
    if !build.view.is_set("smtpd_forbid_bare_newline") {
        return ForbidBareNewline::Normalize;
    }
    value.parse().unwrap_or_else(|()| {
        build.fail(format!("bad configuration: smtpd_forbid_bare_newline = {value}"));
        ForbidBareNewline::Normalize
    })
}

fn lists(build: &mut Build, s: &service::Smtpd) -> Lists {
    let own = build.view.own_interfaces().unwrap_or_default();
    let proxies = build.view.proxy_addresses().unwrap_or_default();
    let own: Vec<_> = own.into_iter().map(|i| i.address).collect();
    let relay_parents: Parents = build.parents_of("relay_domains");
    Lists {
        mynetworks: networks(build, &s.mynetworks),
        mynetworks_host: NetworkList::of_addresses(own.clone()),
        permit_mx_backup_networks: networks(build, &s.permit_mx_backup_networks),
        relay_domains: build.names(&s.relay_domains, Some(relay_parents)),
        inet_interfaces: NetworkList::of_addresses(own.clone()),
        own_addresses: NetworkList::of_addresses(own.into_iter().chain(proxies)),
        smtpd_log_access_permit_actions: words_and_tables(build, &s.smtpd_log_access_permit_actions).0,
        smtpd_authorized_verp_clients: networks(build, &s.smtpd_authorized_verp_clients),
        smtpd_forbid_bare_newline_exclusions: networks(build, &s.smtpd_forbid_bare_newline_exclusions),
    }
}

pub(super) fn networks(build: &mut Build, list: &params::MatchList) -> NetworkList {
    use params::list::Pattern as Parsed;
    let list = build.with_files(list);
    let mut items = Vec::new();
    for item in &list.items {
        let pattern = match &item.pattern {
            Parsed::Network(network) => Pattern::Network(*network),
            Parsed::Name(name) => Pattern::Name(name.clone()),
            Parsed::Table(spec) => Pattern::Table(build.table(spec)),
            Parsed::Broken(why) | Parsed::File(why) => Pattern::Broken(why.clone()),
        };
        items.push((item.matches, pattern));
    }
    NetworkList::new(items)
}

fn restrictions(build: &mut Build, s: &service::Smtpd) -> (Restrictions, Vec<Arc<dyn tables::Table>>) {
    let texts: Vec<String> = [
        &s.smtpd_client_restrictions,
        &s.smtpd_helo_restrictions,
        &s.smtpd_sender_restrictions,
        &s.smtpd_relay_restrictions,
        &s.smtpd_recipient_restrictions,
        &s.smtpd_data_restrictions,
        &s.smtpd_end_of_data_restrictions,
        &s.smtpd_etrn_restrictions,
        &s.local_header_rewrite_clients,
    ]
    .map(|items| items.join(", "))
    .to_vec();
    let classes: Vec<(String, Option<String>)> = s
        .smtpd_restriction_classes
        .iter()
        .map(|name| (name.clone(), build.view.lookup(name).and_then(|raw| build.view.expand(&raw).ok())))
        .collect();
    let sources = Sources {
        smtpd_client_restrictions: &texts[0],
        smtpd_helo_restrictions: &texts[1],
        smtpd_sender_restrictions: &texts[2],
        smtpd_relay_restrictions: &texts[3],
        smtpd_recipient_restrictions: &texts[4],
        smtpd_data_restrictions: &texts[5],
        smtpd_end_of_data_restrictions: &texts[6],
        smtpd_etrn_restrictions: &texts[7],
        local_header_rewrite_clients: &texts[8],
        smtpd_restriction_classes: classes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect(),
    };
    let rules = rules(build, s);
    let (restrictions, found) = Restrictions::parse(&sources, rules);
    for diagnostic in found {
        match diagnostic.severity {
            policy::Severity::Fatal => build.fail(diagnostic.text),
            policy::Severity::Error | policy::Severity::Warning => build.warn(diagnostic.text),
        }
    }
    let tables = restrictions.tables().to_vec();
    let tables = tables.iter().map(|spec| build.table(spec)).collect();
    (restrictions, tables)
}

fn rules(build: &mut Build, s: &service::Smtpd) -> PolicyRules {
    let tempfail = |build: &mut Build, name: &str, value: &str| {
        TempfailAction::parse(value).unwrap_or_else(|| {
            build.fail(format!("bad configuration: {name} = {value}"));
            TempfailAction::DeferIfPermit
        })
    };
    PolicyRules {
        access_map_defer_code: code(&mut build.mistakes, s.access_map_defer_code),
        access_map_reject_code: code(&mut build.mistakes, s.access_map_reject_code),
        defer_code: code(&mut build.mistakes, s.defer_code),
        invalid_hostname_reject_code: code(&mut build.mistakes, s.invalid_hostname_reject_code),
        maps_rbl_reject_code: code(&mut build.mistakes, s.maps_rbl_reject_code),
        multi_recipient_bounce_reject_code: code(&mut build.mistakes, s.multi_recipient_bounce_reject_code),
        non_fqdn_reject_code: code(&mut build.mistakes, s.non_fqdn_reject_code),
        plaintext_reject_code: code(&mut build.mistakes, s.plaintext_reject_code),
        reject_code: code(&mut build.mistakes, s.reject_code),
        relay_domains_reject_code: code(&mut build.mistakes, s.relay_domains_reject_code),
        unknown_address_reject_code: code(&mut build.mistakes, s.unknown_address_reject_code),
        unknown_client_reject_code: code(&mut build.mistakes, s.unknown_client_reject_code),
        unknown_hostname_reject_code: code(&mut build.mistakes, s.unknown_hostname_reject_code),
        unknown_local_recipient_reject_code: code(&mut build.mistakes, s.unknown_local_recipient_reject_code),
        unknown_relay_recipient_reject_code: code(&mut build.mistakes, s.unknown_relay_recipient_reject_code),
        unknown_virtual_alias_reject_code: code(&mut build.mistakes, s.unknown_virtual_alias_reject_code),
        unknown_virtual_mailbox_reject_code: code(&mut build.mistakes, s.unknown_virtual_mailbox_reject_code),
        unverified_recipient_defer_code: code(&mut build.mistakes, s.unverified_recipient_defer_code),
        unverified_recipient_reject_code: code(&mut build.mistakes, s.unverified_recipient_reject_code),
        unverified_sender_defer_code: code(&mut build.mistakes, s.unverified_sender_defer_code),
        unverified_sender_reject_code: code(&mut build.mistakes, s.unverified_sender_reject_code),
        unknown_address_tempfail_action: tempfail(
            build,
            "unknown_address_tempfail_action",
            &s.unknown_address_tempfail_action,
        ),
        unknown_helo_hostname_tempfail_action: tempfail(
            build,
            "unknown_helo_hostname_tempfail_action",
            &s.unknown_helo_hostname_tempfail_action,
        ),
        unverified_recipient_tempfail_action: tempfail(
            build,
            "unverified_recipient_tempfail_action",
            &s.unverified_recipient_tempfail_action,
        ),
        unverified_sender_tempfail_action: tempfail(
            build,
            "unverified_sender_tempfail_action",
            &s.unverified_sender_tempfail_action,
        ),
        smtpd_delay_reject: s.smtpd_delay_reject,
        smtpd_relay_before_recipient_restrictions: s.smtpd_relay_before_recipient_restrictions,
        smtpd_reject_unlisted_sender: s.smtpd_reject_unlisted_sender,
        smtpd_reject_unlisted_recipient: s.smtpd_reject_unlisted_recipient,
        soft_bounce: s.soft_bounce,
        show_user_unknown_table_name: s.show_user_unknown_table_name,
        allow_untrusted_routing: build.view.get(p::allow_untrusted_routing, &mut build.mistakes),
        smtpd_sasl_auth_enable: s.smtpd_sasl_auth_enable,
        smtpd_tls_ask_ccert: build.view.get(p::smtpd_tls_ask_ccert, &mut build.mistakes),
        smtputf8_enable: s.smtputf8_enable,
        info_log_address_internal: build.view.get(p::info_log_address_format, &mut build.mistakes)
            == "internal",
        smtpd_proxy_filter: !s.smtpd_proxy_filter.is_empty(),
        no_unknown_recipient_checks: has(&s.receive_override_options, "no_unknown_recipient_checks"),
        parent_domain_matches_subdomains: has(&s.parent_domain_matches_subdomains, "smtpd_access_maps"),
        smtpd_null_access_lookup_key: s.smtpd_null_access_lookup_key.clone(),
        unverified_recipient_reject_reason: s.unverified_recipient_reject_reason.clone(),
        unverified_sender_reject_reason: s.unverified_sender_reject_reason.clone(),
        default_rbl_reply: s.default_rbl_reply.clone(),
        maps_rbl_domains: s.maps_rbl_domains.join(" "),
        myhostname: s.myhostname.clone(),
        mail_name: build.view.get(p::mail_name, &mut build.mistakes),
        double_bounce_sender: s.double_bounce_sender.clone(),
        recipient_delimiter: s.recipient_delimiter.clone(),
        smtpd_log_access_permit_actions: !s.smtpd_log_access_permit_actions.is_empty(),
        rbl_reply_maps: !s.rbl_reply_maps.is_empty(),
        permit_mx_backup_networks: !s.permit_mx_backup_networks.is_empty(),
        smtpd_sender_login_maps: !s.smtpd_sender_login_maps.is_empty(),
        address_verify_poll_count: s.address_verify_poll_count.max(0) as u32,
        address_verify_poll_delay: s.address_verify_poll_delay,
        policy_service: policy_service(s),
        compatibility: compatibility(build),
        ..PolicyRules::default()
    }
}

fn policy_service(s: &service::Smtpd) -> PolicySettings {
    PolicySettings {
        default_action: s.smtpd_policy_service_default_action.clone(),
        max_idle: s.smtpd_policy_service_max_idle,
        max_ttl: s.smtpd_policy_service_max_ttl,
        policy_context: s.smtpd_policy_service_policy_context.clone(),
        request_limit: s.smtpd_policy_service_request_limit.max(0) as u32,
        retry_delay: s.smtpd_policy_service_retry_delay,
        timeout: s.smtpd_policy_service_timeout,
        try_limit: s.smtpd_policy_service_try_limit.max(0) as u32,
        stress: s.stress.clone(),
    }
}

fn compatibility(build: &mut Build) -> Compatibility {
    let view = &build.view;
    let level = view.level();
    let is_old = |name: &str, since: &str| {
        !view.is_set(name) && params::Level::parse(since).is_ok_and(|since| level < since)
    };
    Compatibility {
        relay_restrictions: is_old("smtpd_relay_restrictions", "1"),
        relay_before_recipient_restrictions: is_old("smtpd_relay_before_recipient_restrictions", "3.6"),
        relay_domains: is_old("relay_domains", "2"),
        mynetworks_style: (!view.is_set("mynetworks") && is_old("mynetworks_style", "2"))
            .then(|| view.expand("$mynetworks_style").unwrap_or_default()),
        smtpd_tls_fingerprint_digest: is_old("smtpd_tls_fingerprint_digest", "3.6"),
    }
}

pub(super) fn inet_protocols(build: &mut Build) -> InetProtocols {
    match build.view.protocols() {
        Ok(protocols) => InetProtocols { ipv4: protocols.ipv4, ipv6: protocols.ipv6 },
        Err(why) => {
            build.fail(why);
            InetProtocols { ipv4: true, ipv6: true }
        }
    }
}

/// A list of words, some of which may be in tables.
fn words_and_tables(
    build: &mut Build,
    list: &params::MatchList,
) -> (Vec<String>, Vec<Arc<dyn tables::Table>>) {
    use params::list::Pattern as Parsed;
    let list = build.with_files(list);
    let (mut words, mut tables) = (Vec::new(), Vec::new());
    for item in list.items.iter().filter(|item| item.matches) {
        match &item.pattern {
            Parsed::Name(name) => words.push(name.clone()),
            Parsed::Table(spec) => tables.push(build.table(spec)),
            Parsed::Network(_) | Parsed::File(_) | Parsed::Broken(_) => {}
        }
    }
    (words, tables)
}

fn code(mistakes: &mut Vec<Diagnostic>, number: impl TryInto<u16> + Copy + std::fmt::Display) -> u16 {
    number.try_into().unwrap_or_else(|_| {
        mistakes.push(Diagnostic::fatal(format!("bad reply code: {number}")));
        450
    })
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|w| w == word)
}
