//! postscreen and dnsblog: what a client has to pass before it may talk to the SMTP server.

params! {
    /// How long dnsblog holds its answer back; for tests.
    dnsblog_reply_delay: Time = "0s";

    /// The name of the dnsblog service.
    dnsblog_service_name: Str = "dnsblog", min(1);

    /// Clients that are let by or turned away for good.
    postscreen_access_list: Items = "permit_mynetworks";

    /// Our addresses at which clients can get onto the list of those let by.
    postscreen_allowlist_interfaces: Patterns = "${postscreen_whitelist_interfaces?{$postscreen_whitelist_interfaces}:{static:all}}";

    /// What is done with a client that sends lines without CR: ignore, enforce, drop.
    postscreen_bare_newline_action: Str = "ignore", min(1);

    /// Test for lines without CR.
    postscreen_bare_newline_enable: Bool = "no";

    /// How long a passed test for lines without CR holds.
    postscreen_bare_newline_ttl: Time = "30d", min(1);

    /// The former name of postscreen_denylist_action.
    postscreen_blacklist_action: Str = "", former();

    /// How often the cache is cleaned up.
    postscreen_cache_cleanup_interval: Time = "12h";

    /// The table that remembers which client passed which test.
    postscreen_cache_map: Str = "btree:$data_directory/postscreen_cache";

    /// How long an entry is kept after its tests ran out.
    postscreen_cache_retention_time: Time = "7d", min(1);

    /// How many connections a client may have at a time.
    postscreen_client_connection_count_limit: Int = "$smtpd_client_connection_count_limit";

    /// How many commands a client may send in a session with postscreen.
    postscreen_command_count_limit: Int = "20", min(1);

    /// Tables that change what clients send as a command.
    postscreen_command_filter: Items = "";

    /// How long to wait for a command.
    postscreen_command_time_limit: Time = "${stress?{10}:{300}}s", min(1);

    /// What is done with a client that postscreen_access_list turns away: ignore, enforce, drop.
    postscreen_denylist_action: Str = "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}", min(1);

    /// Refuse VRFY.
    postscreen_disable_vrfy_command: Bool = "$disable_vrfy_command";

    /// Tables with words left out of the EHLO reply, by client address.
    postscreen_discard_ehlo_keyword_address_maps: Items = "$smtpd_discard_ehlo_keyword_address_maps";

    /// Words left out of the EHLO reply.
    postscreen_discard_ehlo_keywords: Words = "$smtpd_discard_ehlo_keywords";

    /// What is done with a client whose DNS list score is too high: ignore, enforce, drop.
    postscreen_dnsbl_action: Str = "ignore", min(1);

    /// The DNS list score, zero or below, that spares a client the other tests.
    postscreen_dnsbl_allowlist_threshold: Int = "${postscreen_dnsbl_whitelist_threshold?{$postscreen_dnsbl_whitelist_threshold}:{0}}";

    /// How long a passed DNS list test holds at most.
    postscreen_dnsbl_max_ttl: Time = "${postscreen_dnsbl_ttl?{$postscreen_dnsbl_ttl}:{1}}h", min(1);

    /// How long a passed DNS list test holds at least.
    postscreen_dnsbl_min_ttl: Time = "60s", min(1);

    /// The table that gives a DNS list the name that clients are told.
    postscreen_dnsbl_reply_map: Str = "";

    /// DNS lists with their filters and weights.
    postscreen_dnsbl_sites: Items = "";

    /// The DNS list score from which a client is turned away.
    postscreen_dnsbl_threshold: Int = "1", min(1);

    /// How long to wait for DNS lists.
    postscreen_dnsbl_timeout: Time = "10s", min(1);

    /// The former name of postscreen_dnsbl_max_ttl.
    postscreen_dnsbl_ttl: Str = "", former();

    /// The former name of postscreen_dnsbl_allowlist_threshold.
    postscreen_dnsbl_whitelist_threshold: Str = "", former();

    /// Formerly: TLS is needed.
    postscreen_enforce_tls: Bool = "$smtpd_enforce_tls";

    /// Characters that may come out of $names in replies.
    postscreen_expansion_filter: Raw = "$smtpd_expansion_filter", min(1);

    /// Commands that end the session at once.
    postscreen_forbidden_commands: Patterns = "$smtpd_forbidden_commands";

    /// What is done with a client that speaks before its turn: ignore, enforce, drop.
    postscreen_greet_action: Str = "ignore", min(1);

    /// The first part of the greeting, which clients have to wait out.
    postscreen_greet_banner: Str = "$smtpd_banner";

    /// How long a passed greeting test holds.
    postscreen_greet_ttl: Time = "1d", min(1);

    /// How long a client has to be silent.
    postscreen_greet_wait: Time = "${stress?{2}:{6}}s", min(1);

    /// Demand HELO or EHLO before MAIL FROM.
    postscreen_helo_required: Bool = "$smtpd_helo_required";

    /// What is done with a client that speaks something else than SMTP: ignore, enforce, drop.
    postscreen_non_smtp_command_action: Str = "drop", min(1);

    /// Test for commands that are not SMTP.
    postscreen_non_smtp_command_enable: Bool = "no";

    /// How long a passed test for commands that are not SMTP holds.
    postscreen_non_smtp_command_ttl: Time = "30d", min(1);

    /// What is done with a client that sends commands ahead: ignore, enforce, drop.
    postscreen_pipelining_action: Str = "enforce", min(1);

    /// Test for commands sent ahead.
    postscreen_pipelining_enable: Bool = "no";

    /// How long a passed test for commands sent ahead holds.
    postscreen_pipelining_ttl: Time = "30d", min(1);

    /// How many clients may wait for an SMTP server.
    postscreen_post_queue_limit: Int = "$default_process_limit", min(5);

    /// How many clients may be under test.
    postscreen_pre_queue_limit: Int = "$default_process_limit", min(10);

    /// A text put behind replies that reject.
    postscreen_reject_footer: Raw = "$smtpd_reject_footer";

    /// Tables with texts put behind replies that reject, by reply.
    postscreen_reject_footer_maps: Items = "$smtpd_reject_footer_maps";

    /// Whether TLS is offered or needed: none, may, encrypt.
    postscreen_tls_security_level: Str = "$smtpd_tls_security_level";

    /// The protocol of a proxy before us: haproxy.
    postscreen_upstream_proxy_protocol: Str = "";

    /// How long to wait for the proxy before us.
    postscreen_upstream_proxy_timeout: Time = "5s", min(1);

    /// Formerly: offer TLS.
    postscreen_use_tls: Bool = "$smtpd_use_tls";

    /// How long postscreen may take for one step before it is restarted.
    postscreen_watchdog_timeout: Time = "10s", min(10);

    /// The former name of postscreen_allowlist_interfaces.
    postscreen_whitelist_interfaces: Str = "", former();
}
