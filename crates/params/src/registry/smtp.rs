//! What the SMTP and LMTP clients do besides TLS: `smtp_` with its `lmtp_` twin.

twins! {
    /// Which address family is tried first when a host has several: any, ipv4 or ipv6.
    smtp_address_preference | lmtp_address_preference: Str = "any" | "any", min(1);

    /// The command at which a probe of an address ends: rcpt or data.
    smtp_address_verify_target | lmtp_address_verify_target: Str = "rcpt" | "rcpt", min(1);

    /// Let both address families take part when the number of addresses to try is limited.
    smtp_balance_inet_protocols | lmtp_balance_inet_protocols: Bool = "yes" | "yes";

    /// The IPv4 address from which connections are made.
    smtp_bind_address | lmtp_bind_address: Str = "" | "";

    /// The IPv6 address from which connections are made.
    smtp_bind_address6 | lmtp_bind_address6: Str = "" | "";

    /// Put off delivery if the address of smtp_bind_address cannot be used.
    smtp_bind_address_enforce | lmtp_bind_address_enforce: Bool = "no" | "no";

    /// Tables that are asked about each line of an outgoing body.
    smtp_body_checks | lmtp_body_checks: Items = "" | "";

    /// Use the name that a CNAME leads to for logs, logins and TLS in place of the one that was configured.
    smtp_cname_overrides_servername | lmtp_cname_overrides_servername: Bool = "no" | "no";

    /// How long to wait for a connection to come about.
    smtp_connect_timeout | lmtp_connect_timeout: Time = "30s" | "0s";

    /// Destinations whose connections are always kept for more mail.
    smtp_connection_cache_destinations | lmtp_connection_cache_destinations: Patterns = "" | "";

    /// Keep connections to a destination for a while when much mail goes there.
    smtp_connection_cache_on_demand | lmtp_connection_cache_on_demand: Bool = "yes" | "yes";

    /// How long an idle connection is kept.
    smtp_connection_cache_time_limit | lmtp_connection_cache_time_limit: Time = "2s" | "2s", min(1);

    /// How often one connection is used; 0 is without limit.
    smtp_connection_reuse_count_limit | lmtp_connection_reuse_count_limit: Int = "0" | "0";

    /// How long a connection is used, idle or not.
    smtp_connection_reuse_time_limit | lmtp_connection_reuse_time_limit: Time = "300s" | "300s", min(1);

    /// How long to wait for the reply to the end of a message.
    smtp_data_done_timeout | lmtp_data_done_timeout: Time = "600s" | "600s", min(1);

    /// How long to wait for the reply to DATA.
    smtp_data_init_timeout | lmtp_data_init_timeout: Time = "120s" | "120s", min(1);

    /// How long sending a piece of the message may take.
    smtp_data_xfer_timeout | lmtp_data_xfer_timeout: Time = "180s" | "180s", min(1);

    /// Put mail off when none of a domain's mail servers has an address, in place of returning it.
    smtp_defer_if_no_mx_address_found | lmtp_defer_if_no_mx_address_found: Bool = "no" | "no";

    /// Tables that change the status code or the text of a delivery's outcome.
    smtp_delivery_status_filter | lmtp_delivery_status_filter: Items = "$default_delivery_status_filter" | "$default_delivery_status_filter";

    /// Tables with words of the EHLO reply to overlook, by the server's address.
    smtp_discard_ehlo_keyword_address_maps | lmtp_discard_lhlo_keyword_address_maps: Items = "" | "";

    /// Words of the EHLO reply to overlook.
    smtp_discard_ehlo_keywords | lmtp_discard_lhlo_keywords: Words = "" | "";

    /// Tables that change or drop DNS records that were looked up.
    smtp_dns_reply_filter | lmtp_dns_reply_filter: Items = "" | "";

    /// Options for the resolver: res_defnames, res_dnsrch.
    smtp_dns_resolver_options | lmtp_dns_resolver_options: Words = "" | "";

    /// How DNS is used: disabled, enabled or dnssec.
    smtp_dns_support_level | lmtp_dns_support_level: Str = "" | "";

    /// Hosts that get the mail when a destination is not found or not reached.
    smtp_fallback_relay | lmtp_fallback_relay: Words = "$fallback_relay" | "";

    /// Tables that rewrite addresses of mail that leaves.
    smtp_generic_maps | lmtp_generic_maps: Items = "" | "";

    /// Tables that are asked about each header of an outgoing message.
    smtp_header_checks | lmtp_header_checks: Items = "" | "";

    /// The name given in the greeting.
    smtp_helo_name | lmtp_lhlo_name: Str = "$myhostname" | "$myhostname", min(1);

    /// How long to wait for the banner and for the reply to the greeting.
    smtp_helo_timeout | lmtp_lhlo_timeout: Time = "300s" | "300s", min(1);

    /// How hosts' addresses are found: dns, native.
    smtp_host_lookup | lmtp_host_lookup: Words = "dns" | "dns", min(1);

    /// Longer lines are folded when sent; 0 folds none.
    smtp_line_length_limit | lmtp_line_length_limit: Int = "998" | "998";

    /// Log how TLS and REQUIRETLS were used in a delivery.
    smtp_log_tls_feature_status | lmtp_log_tls_feature_status: Bool = "yes" | "yes", since("3.11");

    /// How long to wait for the reply to MAIL FROM.
    smtp_mail_timeout | lmtp_mail_timeout: Time = "300s" | "300s", min(1);

    /// Tables that are asked about MIME headers of an outgoing message.
    smtp_mime_header_checks | lmtp_mime_header_checks: Items = "" | "";

    /// The octets a second that a server has to take when deadlines are per request.
    smtp_min_data_rate | lmtp_min_data_rate: Int = "500" | "500", min(1);

    /// How many addresses of a destination are tried in a delivery; 0 tries all.
    smtp_mx_address_limit | lmtp_mx_address_limit: Int = "5" | "5";

    /// How many sessions, from the greeting on, are tried in a delivery; 0 sets no limit.
    smtp_mx_session_limit | lmtp_mx_session_limit: Int = "2" | "2";

    /// Tables that are asked about headers of messages inside an outgoing message.
    smtp_nested_header_checks | lmtp_nested_header_checks: Items = "" | "";

    /// The former name of smtp_per_request_deadline.
    smtp_per_record_deadline | lmtp_per_record_deadline: Str = "" | "", former();

    /// Let time limits count for a whole request or reply in place of each read and write.
    smtp_per_request_deadline | lmtp_per_request_deadline: Bool = "${smtp_per_record_deadline?{$smtp_per_record_deadline}:{no}}" | "${lmtp_per_record_deadline?{$lmtp_per_record_deadline}:{no}}";

    /// How long to wait before the final dot to a server behind a Cisco PIX with its bug.
    smtp_pix_workaround_delay_time | lmtp_pix_workaround_delay_time: Time = "10s" | "10s", min(1);

    /// Tables with workarounds for PIX bugs, by the server's address.
    smtp_pix_workaround_maps | lmtp_pix_workaround_maps: Items = "" | "";

    /// How long mail must have been queued before the delay for PIX bugs is used.
    smtp_pix_workaround_threshold_time | lmtp_pix_workaround_threshold_time: Time = "500s" | "500s";

    /// Workarounds for PIX bugs: delay_dotcrlf, disable_esmtp.
    smtp_pix_workarounds | lmtp_pix_workarounds: Words = "disable_esmtp,delay_dotcrlf" | "disable_esmtp,delay_dotcrlf";

    /// How long to wait for the reply to QUIT.
    smtp_quit_timeout | lmtp_quit_timeout: Time = "300s" | "300s", min(1);

    /// Quote addresses in MAIL FROM and RCPT TO as the standard demands.
    smtp_quote_rfc821_envelope | lmtp_quote_rfc821_envelope: Bool = "yes" | "yes";

    /// Mix up servers of the same preference.
    smtp_randomize_addresses | lmtp_randomize_addresses: Bool = "yes" | "yes";

    /// How long to wait for the reply to RCPT TO.
    smtp_rcpt_timeout | lmtp_rcpt_timeout: Time = "300s" | "300s", min(1);

    /// Tables that change each line of a server's reply.
    smtp_reply_filter | lmtp_reply_filter: Items = "" | "";

    /// How far REQUIRETLS is insisted on, by destination.
    smtp_requiretls_policy | lmtp_requiretls_policy: Str = "inline:{{$mydomain=opportunistic}, {.$mydomain=opportunistic}, {localhost=opportunistic}}, cidr:{{0.0.0.0/0 opportunistic}, {::/0 opportunistic}}, enforce" | "opportunistic", since("3.11");

    /// How long to wait for the reply to RSET.
    smtp_rset_timeout | lmtp_rset_timeout: Time = "20s" | "20s", min(1);

    /// The table that remembers failed logins.
    smtp_sasl_auth_cache_name | lmtp_sasl_auth_cache_name: Str = "" | "";

    /// How long a failed login is remembered.
    smtp_sasl_auth_cache_time | lmtp_sasl_auth_cache_time: Time = "90d" | "90d";

    /// Log in to servers.
    smtp_sasl_auth_enable | lmtp_sasl_auth_enable: Bool = "no" | "no";

    /// Put mail off when a login is refused, in place of returning it.
    smtp_sasl_auth_soft_bounce | lmtp_sasl_auth_soft_bounce: Bool = "yes" | "yes";

    /// The login mechanisms that may be used.
    smtp_sasl_mechanism_filter | lmtp_sasl_mechanism_filter: Patterns = "" | "";

    /// Tables with user:password, by next hop, host or sender.
    smtp_sasl_password_maps | lmtp_sasl_password_maps: Items = "" | "";

    /// What parts the user from the password in a table's result.
    smtp_sasl_password_result_delimiter | lmtp_sasl_password_result_delimiter: Str = ":" | ":", min(1), max(1), since("3.9");

    /// What the login implementation takes for its own: a file or socket.
    smtp_sasl_path | lmtp_sasl_path: Str = "" | "";

    /// What a mechanism must or must not be: noplaintext, noanonymous, nodictionary, noactive, mutual_auth.
    smtp_sasl_security_options | lmtp_sasl_security_options: Words = "noplaintext, noanonymous" | "noplaintext, noanonymous";

    /// sasl_security_options for sessions under TLS.
    smtp_sasl_tls_security_options | lmtp_sasl_tls_security_options: Words = "$smtp_sasl_security_options" | "$lmtp_sasl_security_options";

    /// sasl_security_options for sessions under TLS with a verified server.
    smtp_sasl_tls_verified_security_options | lmtp_sasl_tls_verified_security_options: Words = "$smtp_sasl_tls_security_options" | "$lmtp_sasl_tls_security_options";

    /// Which login implementation is used.
    smtp_sasl_type | lmtp_sasl_type: Str = "cyrus" | "cyrus", min(1);

    /// Send AUTH=<> with MAIL FROM when logged in.
    smtp_send_dummy_mail_auth | lmtp_send_dummy_mail_auth: Bool = "no" | "no";

    /// Tell a server that offers XFORWARD who the client was.
    smtp_send_xforward_command | lmtp_send_xforward_command: Bool = "no" | "no";

    /// Look for the login by the sender first, and do not share connections between senders.
    smtp_sender_dependent_authentication | lmtp_sender_dependent_authentication: Bool = "no" | "no";

    /// Go on to the next server when one greets with 5xx.
    smtp_skip_5xx_greeting | lmtp_skip_5xx_greeting: Bool = "yes" | "yes";

    /// Do not wait for the reply to QUIT.
    smtp_skip_quit_response | lmtp_skip_quit_response: Bool = "yes" | "no";

    /// How long the TLS handshake may take.
    smtp_starttls_timeout | lmtp_starttls_timeout: Time = "300s" | "300s", min(1);

    /// The port that is used when none is named.
    smtp_tcp_port | lmtp_tcp_port: Str = "smtp" | "24";

    /// How long to wait for the reply to XFORWARD.
    smtp_xforward_timeout | lmtp_xforward_timeout: Time = "300s" | "300s", min(1);
}

params! {
    /// Take the server for the mail's last station in success reports.
    lmtp_assume_final: Bool = "no";

    /// Greet with EHLO even if the server's banner does not say ESMTP.
    smtp_always_send_ehlo: Bool = "yes";

    /// Greet with HELO only.
    smtp_never_send_ehlo: Bool = "no";
}
