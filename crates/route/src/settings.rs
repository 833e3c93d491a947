//! The parameters that rewriting and resolving obey, typed, with their tables open. The daemon fills them in; the
//! defaults are Postfix 3.7's.

use crate::NameList;
use mail::keys::{Extensions, Parents};
use std::net::IpAddr;
use tables::Maps;

/// All of them. Fields bear their parameters' names.
#[derive(Clone)]
pub struct Settings {
    pub myhostname: String,
    pub mydomain: String,
    pub myorigin: String,
    /// `inet_interfaces` and `proxy_interfaces`: addresses that are us when a domain is a literal.
    pub own_addresses: Vec<IpAddr>,
    pub mydestination: NameList,

    // Standard form.
    pub append_at_myorigin: bool,
    pub append_dot_mydomain: bool,
    pub swap_bangpath: bool,
    pub allow_percent_hack: bool,
    /// Empty: headers of remote clients are not rewritten.
    pub remote_header_rewrite_domain: String,
    /// Of a header, no more tokens than this are kept when it is rewritten.
    pub header_address_token_limit: usize,

    // What cleanup does to addresses.
    pub canonical_maps: Maps,
    pub canonical_classes: Classes,
    pub sender_canonical_maps: Maps,
    pub sender_canonical_classes: Classes,
    pub recipient_canonical_maps: Maps,
    pub recipient_canonical_classes: Classes,
    pub masquerade_domains: Vec<MasqueradeDomain>,
    pub masquerade_exceptions: NameList,
    pub masquerade_classes: Classes,
    pub always_bcc: String,
    pub sender_bcc_maps: Maps,
    pub recipient_bcc_maps: Maps,
    pub virtual_alias_maps: Maps,
    pub virtual_alias_recursion_limit: usize,
    pub virtual_alias_expansion_limit: usize,
    pub virtual_alias_address_length_limit: usize,
    pub recipient_delimiter: Extensions,
    /// `propagate_unmatched_extensions` has `canonical`, and so on.
    pub propagate_canonical: bool,
    pub propagate_virtual: bool,

    // Resolving.
    pub virtual_alias_domains: NameList,
    pub virtual_mailbox_domains: NameList,
    pub relay_domains: NameList,
    /// By what ordinary mail is routed.
    pub routes: Routes,
    /// By what address verification's probes are routed (`address_verify_transport_maps` and so on).
    pub verify_routes: Routes,
    pub empty_address_recipient: String,
    pub empty_address_relayhost_maps_lookup_key: String,
    pub empty_address_default_transport_maps_lookup_key: String,
    /// Whether `transport_maps` is in `parent_domain_matches_subdomains`.
    pub transport_parents: Parents,
    pub relocated_maps: Maps,
    pub resolve_dequoted_address: bool,
    pub resolve_null_domain: bool,
    pub resolve_numeric_domain: bool,
    pub allow_min_user: bool,
    pub smtputf8_enable: bool,
    pub helpful_warnings: bool,
    pub show_user_unknown_table_name: bool,

    // Who is known.
    pub local_recipient_maps: Maps,
    pub virtual_mailbox_maps: Maps,
    pub relay_recipient_maps: Maps,
}

/// The parameters that address verification has twins of.
#[derive(Clone, Default)]
pub struct Routes {
    pub local_transport: String,
    pub virtual_transport: String,
    pub relay_transport: String,
    pub default_transport: String,
    pub relayhost: String,
    pub sender_dependent_relayhost_maps: Maps,
    pub sender_dependent_default_transport_maps: Maps,
    pub transport_maps: Maps,
}

/// An item of `masquerade_domains`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasqueradeDomain {
    /// In lower case.
    pub domain: String,
    /// False with a `!` before it: its subdomains stay as they are.
    pub strips: bool,
}

/// Where addresses are rewritten (`canonical_classes`, `masquerade_classes`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    pub envelope_sender: bool,
    pub envelope_recipient: bool,
    pub header_sender: bool,
    pub header_recipient: bool,
}

impl Classes {
    pub const ALL: Classes = Classes {
        envelope_sender: true,
        envelope_recipient: true,
        header_sender: true,
        header_recipient: true,
    };
}

impl Settings {
    /// Postfix's defaults for a host, at the current compatibility level, with mail for itself only.
    pub fn new(myhostname: &str) -> Settings {
        let mydomain = match myhostname.split_once('.') {
            Some((_, domain)) if domain.contains('.') => domain,
            _ => myhostname,
        };
        let local = ["localhost".to_string(), format!("localhost.{mydomain}"), myhostname.to_string()];
        let routes = Routes {
            local_transport: format!("local:{myhostname}"),
            virtual_transport: "virtual".to_string(),
            relay_transport: "relay".to_string(),
            default_transport: "smtp".to_string(),
            ..Routes::default()
        };
        Settings {
            myhostname: myhostname.to_string(),
            mydomain: mydomain.to_string(),
            myorigin: myhostname.to_string(),
            own_addresses: Vec::new(),
            mydestination: NameList::of_names(&local.each_ref().map(String::as_str)),
            append_at_myorigin: true,
            append_dot_mydomain: false,
            swap_bangpath: true,
            allow_percent_hack: true,
            remote_header_rewrite_domain: String::new(),
            header_address_token_limit: 10_240,
            canonical_maps: Maps::default(),
            canonical_classes: Classes::ALL,
            sender_canonical_maps: Maps::default(),
            sender_canonical_classes: Classes {
                envelope_sender: true,
                header_sender: true,
                ..Classes::default()
            },
            recipient_canonical_maps: Maps::default(),
            recipient_canonical_classes: Classes {
                envelope_recipient: true,
                header_recipient: true,
                ..Classes::default()
            },
            masquerade_domains: Vec::new(),
            masquerade_exceptions: NameList::default(),
            masquerade_classes: Classes { envelope_recipient: false, ..Classes::ALL },
            always_bcc: String::new(),
            sender_bcc_maps: Maps::default(),
            recipient_bcc_maps: Maps::default(),
            virtual_alias_maps: Maps::default(),
            virtual_alias_recursion_limit: 1000,
            virtual_alias_expansion_limit: 1000,
            virtual_alias_address_length_limit: 1000,
            recipient_delimiter: Extensions::none(),
            propagate_canonical: true,
            propagate_virtual: true,
            virtual_alias_domains: NameList::default(),
            virtual_mailbox_domains: NameList::default(),
            relay_domains: NameList::default(),
            verify_routes: routes.clone(),
            routes,
            empty_address_recipient: "MAILER-DAEMON".to_string(),
            empty_address_relayhost_maps_lookup_key: "<>".to_string(),
            empty_address_default_transport_maps_lookup_key: "<>".to_string(),
            transport_parents: Parents::Dotted,
            relocated_maps: Maps::default(),
            resolve_dequoted_address: true,
            resolve_null_domain: false,
            resolve_numeric_domain: false,
            allow_min_user: false,
            smtputf8_enable: true,
            helpful_warnings: true,
            show_user_unknown_table_name: true,
            local_recipient_maps: Maps::default(),
            virtual_mailbox_maps: Maps::default(),
            relay_recipient_maps: Maps::default(),
        }
    }
}
