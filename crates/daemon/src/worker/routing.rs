//! From parameters to `route`'s settings: rewriting and resolving.

use super::build::Build;
use mail::keys::Extensions;
use params::p;
use params::service::{Common, Rewrite, Routing};
use route::settings::MasqueradeDomain;
use route::{Classes, Router, Routes, Settings};
use std::sync::Arc;

/// Makes the router; it warns through `trivial-rewrite`'s log.
pub(super) fn router(build: &mut Build) -> Router {
    let settings = build.logging_as("trivial-rewrite", settings);
    let log = build.service_log("trivial-rewrite");
    Router::new(Arc::new(settings), Arc::new(move |text: &str| log.warning(format_args!("{text}"))))
}

fn settings(build: &mut Build) -> Settings {
    let common: Common = build.load();
    let rewrite: Rewrite = build.load();
    let routing: Routing = build.load();
    let virtual_mailbox_maps = build.maps("virtual_mailbox_maps", &routing.virtual_mailbox_maps);
    Settings {
        own_addresses: own_addresses(build),
        mydestination: build.names(&routing.mydestination, None),
        append_at_myorigin: rewrite.append_at_myorigin,
        append_dot_mydomain: rewrite.append_dot_mydomain,
        swap_bangpath: rewrite.swap_bangpath,
        allow_percent_hack: rewrite.allow_percent_hack,
        remote_header_rewrite_domain: rewrite.remote_header_rewrite_domain.clone(),
        header_address_token_limit: {
            let limit = build.view.get(p::header_address_token_limit, &mut build.mistakes);
            limit.max(1) as usize
        },
        canonical_maps: build.maps("canonical_maps", &rewrite.canonical_maps),
        canonical_classes: classes(build, "canonical_classes", &rewrite.canonical_classes),
        sender_canonical_maps: build.maps("sender_canonical_maps", &rewrite.sender_canonical_maps),
        sender_canonical_classes: classes(
            build,
            "sender_canonical_classes",
            &rewrite.sender_canonical_classes,
        ),
        recipient_canonical_maps: build.maps("recipient_canonical_maps", &rewrite.recipient_canonical_maps),
        recipient_canonical_classes: classes(
            build,
            "recipient_canonical_classes",
            &rewrite.recipient_canonical_classes,
        ),
        masquerade_domains: rewrite.masquerade_domains.iter().map(|word| masquerade_domain(word)).collect(),
        masquerade_exceptions: build.names(&rewrite.masquerade_exceptions, None),
        masquerade_classes: classes(build, "masquerade_classes", &rewrite.masquerade_classes),
        always_bcc: build.view.get(p::always_bcc, &mut build.mistakes),
        sender_bcc_maps: maps_of(build, p::sender_bcc_maps, "sender_bcc_maps"),
        recipient_bcc_maps: maps_of(build, p::recipient_bcc_maps, "recipient_bcc_maps"),
        virtual_alias_maps: build.maps("virtual_alias_maps", &rewrite.virtual_alias_maps),
        virtual_alias_recursion_limit: rewrite.virtual_alias_recursion_limit.max(1) as usize,
        virtual_alias_expansion_limit: rewrite.virtual_alias_expansion_limit.max(1) as usize,
        virtual_alias_address_length_limit: rewrite.virtual_alias_address_length_limit.max(0) as usize,
        recipient_delimiter: extensions(build, &common),
        propagate_canonical: has(&rewrite.propagate_unmatched_extensions, "canonical"),
        propagate_virtual: has(&rewrite.propagate_unmatched_extensions, "virtual"),
        virtual_alias_domains: build.names(&routing.virtual_alias_domains, None),
        virtual_mailbox_domains: build.names(&routing.virtual_mailbox_domains, None),
        relay_domains: {
            let parents = build.parents_of("relay_domains");
            build.names(&routing.relay_domains, Some(parents))
        },
        routes: routes(build, &routing),
        verify_routes: verify_routes(build, &routing),
        empty_address_recipient: routing.empty_address_recipient.clone(),
        empty_address_relayhost_maps_lookup_key: routing.empty_address_relayhost_maps_lookup_key.clone(),
        empty_address_default_transport_maps_lookup_key: routing
            .empty_address_default_transport_maps_lookup_key
            .clone(),
        transport_parents: build.parents_of("transport_maps"),
        relocated_maps: build.maps("relocated_maps", &routing.relocated_maps),
        resolve_dequoted_address: routing.resolve_dequoted_address,
        resolve_null_domain: routing.resolve_null_domain,
        resolve_numeric_domain: routing.resolve_numeric_domain,
        allow_min_user: routing.allow_min_user,
        smtputf8_enable: common.smtputf8_enable,
        helpful_warnings: build.view.get(p::helpful_warnings, &mut build.mistakes),
        show_user_unknown_table_name: routing.show_user_unknown_table_name,
        local_recipient_maps: local_recipient_maps(build, &routing),
        virtual_mailbox_maps,
        relay_recipient_maps: build.maps("relay_recipient_maps", &routing.relay_recipient_maps),
        myhostname: common.myhostname,
        mydomain: common.mydomain,
        myorigin: common.myorigin,
    }
}

pub(super) fn own_addresses(build: &mut Build) -> Vec<std::net::IpAddr> {
    let mut addresses = Vec::new();
    match build.view.own_interfaces() {
        Ok(interfaces) => addresses.extend(interfaces.into_iter().map(|i| i.address)),
        Err(why) => build.fail(why),
    }
    match build.view.proxy_addresses() {
        Ok(proxies) => addresses.extend(proxies),
        Err(why) => build.fail(why),
    }
    addresses
}

fn routes(build: &mut Build, routing: &Routing) -> Routes {
    Routes {
        local_transport: routing.local_transport.clone(),
        virtual_transport: routing.virtual_transport.clone(),
        relay_transport: routing.relay_transport.clone(),
        default_transport: routing.default_transport.clone(),
        relayhost: routing.relayhost.clone(),
        sender_dependent_relayhost_maps: build
            .literal_maps("sender_dependent_relayhost_maps", &routing.sender_dependent_relayhost_maps),
        sender_dependent_default_transport_maps: build.literal_maps(
            "sender_dependent_default_transport_maps",
            &routing.sender_dependent_default_transport_maps,
        ),
        transport_maps: build.literal_maps("transport_maps", &routing.transport_maps),
    }
}

fn verify_routes(build: &mut Build, routing: &Routing) -> Routes {
    Routes {
        local_transport: routing.address_verify_local_transport.clone(),
        virtual_transport: routing.address_verify_virtual_transport.clone(),
        relay_transport: routing.address_verify_relay_transport.clone(),
        default_transport: routing.address_verify_default_transport.clone(),
        relayhost: routing.address_verify_relayhost.clone(),
        sender_dependent_relayhost_maps: build.literal_maps(
            "address_verify_sender_dependent_relayhost_maps",
            &routing.address_verify_sender_dependent_relayhost_maps,
        ),
        sender_dependent_default_transport_maps: build.literal_maps(
            "address_verify_sender_dependent_default_transport_maps",
            &routing.address_verify_sender_dependent_default_transport_maps,
        ),
        transport_maps: build
            .literal_maps("address_verify_transport_maps", &routing.address_verify_transport_maps),
    }
}

/// `local_recipient_maps`, in which `$alias_maps` usually are: those are read as aliases where only their source is there.
fn local_recipient_maps(build: &mut Build, routing: &Routing) -> tables::Maps {
    let is_alias = |spec: &String| routing.alias_maps.contains(spec);
    let (aliases, others): (Vec<String>, Vec<String>) =
        routing.local_recipient_maps.iter().cloned().partition(is_alias);
    let others = build.maps("local_recipient_maps", &others);
    others.followed_by(build.alias_maps(&aliases))
}

fn maps_of<P>(build: &mut Build, parameter: P, name: &'static str) -> tables::Maps
where
    P: params::Param,
    P::Kind: params::value::Kind<Value = Vec<String>>,
{
    let specs = build.view.get(parameter, &mut build.mistakes);
    build.maps(name, &specs)
}

fn extensions(build: &mut Build, common: &Common) -> Extensions {
    Extensions {
        owner_request_special: build.view.get(p::owner_request_special, &mut build.mistakes),
        double_bounce_sender: common.double_bounce_sender.clone().into(),
        ..Extensions::new(common.recipient_delimiter.clone())
    }
}

fn classes(build: &mut Build, parameter: &str, words: &[String]) -> Classes {
    let mut classes = Classes::default();
    for word in words {
        match word.as_str() {
            "envelope_sender" => classes.envelope_sender = true,
            "envelope_recipient" => classes.envelope_recipient = true,
            "header_sender" => classes.header_sender = true,
            "header_recipient" => classes.header_recipient = true,
            _ => build.fail(format!("unknown {parameter} value \"{word}\" in \"{}\"", words.join(" "))),
        }
    }
    classes
}

fn masquerade_domain(word: &str) -> MasqueradeDomain {
    let domain = word.trim_start_matches('!');
    let strips = (word.len() - domain.len()).is_multiple_of(2);
    MasqueradeDomain { domain: domain.to_ascii_lowercase(), strips }
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|w| w == word)
}
