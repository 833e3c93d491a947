//! Whose mail is whose: address classes, rewriting and routing.

params! {
    /// Let recipient addresses begin with "-".
    allow_min_user: Bool = "no";

    /// Take user%domain for user@domain.
    allow_percent_hack: Bool = "yes";

    /// Forward addresses with a route in them (user@elsewhere@here) for anybody.
    allow_untrusted_routing: Bool = "no";

    /// An address that gets a copy of everything.
    always_bcc: Str = "";

    /// Put $myorigin behind addresses without a domain.
    append_at_myorigin: Bool = "yes";

    /// Put $mydomain behind domains without a dot.
    append_dot_mydomain: Bool = "${{$compatibility_level} <level {1} ? {yes} : {no}}";

    /// The transport for mail to domains whose best server we are by DNS but not by configuration.
    best_mx_transport: Str = "";

    /// Which addresses canonical_maps rewrites.
    canonical_classes: Words = "envelope_sender, envelope_recipient, header_sender, header_recipient", min(1);

    /// Tables that rewrite addresses in envelopes and headers.
    canonical_maps: Items = "";

    /// The transport for everything that is not ours.
    default_transport: Str = "smtp", min(1);

    /// What stands for the null sender in sender_dependent_default_transport_maps.
    empty_address_default_transport_maps_lookup_key: Str = "<>", min(1);

    /// What stands for the null sender in local_login_sender_maps.
    empty_address_local_login_sender_maps_lookup_key: Str = "<>";

    /// Who gets mail for the null address.
    empty_address_recipient: Str = "MAILER-DAEMON", min(1);

    /// What stands for the null sender in sender_dependent_relayhost_maps.
    empty_address_relayhost_maps_lookup_key: Str = "<>", min(1);

    /// The former name of smtp_fallback_relay.
    fallback_relay: Str = "", former();

    /// Tables with all local recipients; empty accepts any.
    local_recipient_maps: Items = "proxy:unix:passwd.byname $alias_maps";

    /// The transport for mydestination.
    local_transport: Str = "local:$myhostname", min(1);

    /// Which addresses masquerade_domains applies to.
    masquerade_classes: Words = "envelope_sender, header_sender, header_recipient";

    /// Domains whose subdomains are taken off addresses.
    masquerade_domains: Words = "";

    /// User names that are not masqueraded.
    masquerade_exceptions: Patterns = "";

    /// Domains whose mail is delivered here to local users.
    mydestination: Patterns = "$myhostname, localhost.$mydomain, localhost";

    /// The domain of this host.
    mydomain: Str = "", computed(), min(1);

    /// The full name of this host.
    myhostname: Str = "", computed(), min(1);

    /// Clients that are trusted more than strangers.
    mynetworks: Patterns = "", computed();

    /// Which networks mynetworks has if it is not set: host, subnet or class.
    mynetworks_style: Str = "${{$compatibility_level} <level {2} ? {subnet} : {host}}", min(1);

    /// The domain that local mail comes from; may be the name of a file that has it.
    myorigin: Str = "$myhostname", min(1);

    /// Treat owner-list and list-request names as special.
    owner_request_special: Bool = "yes";

    /// Lists in which example.com matches its subdomains, too.
    parent_domain_matches_subdomains: Words = "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps";

    /// Rewritings that put the extension of an address behind the result.
    propagate_unmatched_extensions: Words = "canonical, virtual";

    /// Tables with addresses that get a copy, by recipient.
    recipient_bcc_maps: Items = "";

    /// Which addresses recipient_canonical_maps rewrites.
    recipient_canonical_classes: Words = "envelope_recipient, header_recipient", min(1);

    /// Tables that rewrite recipients in envelopes and headers.
    recipient_canonical_maps: Items = "";

    /// Characters that part the extension from the user name.
    recipient_delimiter: Str = "";

    /// Domains that we relay mail to for anybody.
    relay_domains: Patterns = "${{$compatibility_level} <level {2} ? {$mydestination} : {}}";

    /// Tables with all recipients in relay_domains; empty accepts any.
    relay_recipient_maps: Items = "";

    /// The transport for relay_domains.
    relay_transport: Str = "relay", min(1);

    /// Where mail goes that is not ours; empty sends it straight to its domain.
    relayhost: Str = "";

    /// Tables with new addresses of people who moved, for the notice.
    relocated_maps: Items = "";

    /// Say "5.1.6 User has moved to" before what relocated_maps has.
    relocated_prefix_enable: Bool = "yes", since("3.11");

    /// The domain put behind incomplete addresses in headers from strangers; empty leaves them.
    remote_header_rewrite_domain: Str = "";

    /// Look for routes (@, %, !) inside quotes, too.
    resolve_dequoted_address: Bool = "yes";

    /// Take user@ for a local address.
    resolve_null_domain: Bool = "no";

    /// Take user@1.2.3.4 for user@[1.2.3.4].
    resolve_numeric_domain: Bool = "no";

    /// The name of the rewrite service.
    rewrite_service_name: Str = "rewrite", min(1);

    /// Tables with addresses that get a copy, by sender.
    sender_bcc_maps: Items = "";

    /// Which addresses sender_canonical_maps rewrites.
    sender_canonical_classes: Words = "envelope_sender, header_sender", min(1);

    /// Tables that rewrite senders in envelopes and headers.
    sender_canonical_maps: Items = "";

    /// Tables with a default_transport by sender.
    sender_dependent_default_transport_maps: Items = "";

    /// Tables with a relayhost by sender.
    sender_dependent_relayhost_maps: Items = "";

    /// Take site!user for user@site.
    swap_bangpath: Bool = "yes";

    /// Tables with the transport and next hop by recipient.
    transport_maps: Items = "";

    /// How long an address may be that comes out of virtual_alias_maps.
    virtual_alias_address_length_limit: Int = "1000", min(1);

    /// Domains all of whose addresses are aliases.
    virtual_alias_domains: Patterns = "$virtual_alias_maps";

    /// How many addresses an alias may become.
    virtual_alias_expansion_limit: Int = "1000", min(1);

    /// Tables that replace recipients by others.
    virtual_alias_maps: Items = "$virtual_maps";

    /// How deep aliases may lie in one another.
    virtual_alias_recursion_limit: Int = "1000", min(1);

    /// Domains delivered by virtual_transport.
    virtual_mailbox_domains: Patterns = "$virtual_mailbox_maps";

    /// The former name of virtual_alias_maps.
    virtual_maps: Str = "", former();

    /// The transport for virtual_mailbox_domains.
    virtual_transport: Str = "virtual", min(1);
}
