//! What the SMTP server does besides TLS: dialogue, restrictions, limits, logins, policy services.

params! {
    /// The reply code for access maps' "defer".
    access_map_defer_code: Int = "450";

    /// The reply code for access maps' "reject".
    access_map_reject_code: Int = "554";

    /// The span in which clients' rates are counted.
    anvil_rate_time_unit: Time = "60s", min(1);

    /// How often peaks of clients' rates are logged.
    anvil_status_update_time: Time = "600s", min(1);

    /// The former name of smtpd_authorized_verp_clients.
    authorized_verp_clients: Str = "", former();

    /// Say AUTH= in the EHLO reply, too, for clients that know only that.
    broken_sasl_auth_clients: Bool = "no";

    /// The reply to clients that are on a DNS list.
    default_rbl_reply: Raw = "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}", min(1);

    /// The reply code of "defer" restrictions.
    defer_code: Int = "450";

    /// Refuse VRFY.
    disable_vrfy_command: Bool = "no";

    /// The reply code to a HELO name with a bad form.
    invalid_hostname_reject_code: Int = "501";

    /// Clients whose messages have their headers rewritten as local mail.
    local_header_rewrite_clients: Items = "permit_inet_interfaces";

    /// Formerly: the DNS lists of reject_maps_rbl.
    maps_rbl_domains: Words = "";

    /// The reply code to clients on a DNS list.
    maps_rbl_reject_code: Int = "554";

    /// The reply code to a null sender with several recipients.
    multi_recipient_bounce_reject_code: Int = "550";

    /// The reply code to names without a domain.
    non_fqdn_reject_code: Int = "504";

    /// Networks whose hosts we may be the backup server of.
    permit_mx_backup_networks: Patterns = "";

    /// The reply code to sessions without TLS.
    plaintext_reject_code: Int = "450";

    /// Clients that may use QMQP.
    qmqpd_authorized_clients: Patterns = "";

    /// Log the client's port with QMQP.
    qmqpd_client_port_logging: Bool = "no";

    /// How long a QMQP client waits for bad news.
    qmqpd_error_delay: Time = "1s";

    /// How long the QMQP server waits for a client.
    qmqpd_timeout: Time = "300s", min(1);

    /// Tables with replies to clients on a DNS list, by list.
    rbl_reply_maps: Items = "";

    /// The reply code of "reject" restrictions.
    reject_code: Int = "554";

    /// What a lookup that has to be tried later makes of a rejecting restriction.
    reject_tempfail_action: Str = "defer_if_permit", min(1);

    /// The reply code to mail that is not for us to relay.
    relay_domains_reject_code: Int = "554";

    /// Say in which table an unknown recipient was not found.
    show_user_unknown_table_name: Bool = "yes";

    /// Clients that may use XVERP.
    smtpd_authorized_verp_clients: Patterns = "$authorized_verp_clients";

    /// Clients that may use XCLIENT.
    smtpd_authorized_xclient_hosts: Patterns = "";

    /// Clients that may use XFORWARD.
    smtpd_authorized_xforward_hosts: Patterns = "";

    /// The text of the greeting.
    smtpd_banner: Str = "$myhostname ESMTP $mail_name", min(1);

    /// How many AUTH commands a client may send in a time unit; 0 sets no limit.
    smtpd_client_auth_rate_limit: Int = "0";

    /// How many connections a client may have at a time; 0 sets no limit.
    smtpd_client_connection_count_limit: Int = "50";

    /// The former name of smtpd_client_event_limit_exceptions.
    smtpd_client_connection_limit_exceptions: Str = "", former();

    /// How many connections a client may make in a time unit; 0 sets no limit.
    smtpd_client_connection_rate_limit: Int = "0";

    /// Clients without limits of number and rate.
    smtpd_client_event_limit_exceptions: Patterns = "${smtpd_client_connection_limit_exceptions:$mynetworks}";

    /// The bits of an IPv4 address that make clients the same when counted.
    smtpd_client_ipv4_prefix_length: Int = "32", max(32), since("3.8");

    /// The bits of an IPv6 address that make clients the same when counted.
    smtpd_client_ipv6_prefix_length: Int = "84", max(128), since("3.8");

    /// How many messages a client may send in a time unit; 0 sets no limit.
    smtpd_client_message_rate_limit: Int = "0";

    /// How many new TLS sessions a client may make in a time unit; 0 sets no limit.
    smtpd_client_new_tls_session_rate_limit: Int = "0";

    /// Log the client's port.
    smtpd_client_port_logging: Bool = "no";

    /// How many recipients a client may name in a time unit; 0 sets no limit.
    smtpd_client_recipient_rate_limit: Int = "0";

    /// What is asked about a client when it connects.
    smtpd_client_restrictions: Items = "";

    /// Tables that change what clients send as a command.
    smtpd_command_filter: Items = "";

    /// What is asked at DATA.
    smtpd_data_restrictions: Items = "";

    /// Begin a transaction at the first recipient that is accepted.
    smtpd_delay_open_until_valid_rcpt: Bool = "yes";

    /// Answer rejects of client, HELO and sender at RCPT TO.
    smtpd_delay_reject: Bool = "yes";

    /// Tables with words left out of the EHLO reply, by client address.
    smtpd_discard_ehlo_keyword_address_maps: Items = "";

    /// Words left out of the EHLO reply.
    smtpd_discard_ehlo_keywords: Words = "";

    /// Tables that change or drop DNS records that were looked up.
    smtpd_dns_reply_filter: Items = "";

    /// What is asked when a message has come in whole.
    smtpd_end_of_data_restrictions: Items = "";

    /// How long replies wait once a client has made some errors.
    smtpd_error_sleep_time: Time = "1s";

    /// What is asked at ETRN.
    smtpd_etrn_restrictions: Items = "";

    /// Characters that may come out of $names in replies.
    smtpd_expansion_filter: Raw = r##"\t\40!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"##, min(1);

    /// What is done about lines that end without CR: normalize, reject, note, yes or no.
    smtpd_forbid_bare_newline: Str = "no", min(1);

    /// Clients that may send lines without CR.
    smtpd_forbid_bare_newline_exclusions: Patterns = "$mynetworks";

    /// The reply code to lines without CR.
    smtpd_forbid_bare_newline_reject_code: Int = "550", min(500), max(599);

    /// Hang up on clients that send ahead without being allowed to.
    smtpd_forbid_unauth_pipelining: Bool = "no";

    /// Commands that end the session at once.
    smtpd_forbidden_commands: Patterns = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}";

    /// How many errors end the session.
    smtpd_hard_error_limit: Int = "${stress?{1}:{20}}", min(1);

    /// Demand HELO or EHLO before MAIL FROM.
    smtpd_helo_required: Bool = "no";

    /// What is asked about the HELO name.
    smtpd_helo_restrictions: Items = "";

    /// Do not tell the client's name and address in Received: headers.
    smtpd_hide_client_session: Bool = "no", since("3.10");

    /// How many lines of a session's transcript are kept for notices.
    smtpd_history_flush_threshold: Int = "100", min(1);

    /// How many commands that do nothing are let by before they count as errors.
    smtpd_junk_command_limit: Int = "${stress?{1}:{100}}", min(1);

    /// Access map actions that permit and are logged.
    smtpd_log_access_permit_actions: Patterns = "";

    /// The octets a second that a client has to send when deadlines are per request.
    smtpd_min_data_rate: Int = "500", min(1);

    /// Commands that are taken for NOOP.
    smtpd_noop_commands: Patterns = "";

    /// What stands for the null sender in access maps.
    smtpd_null_access_lookup_key: Str = "<>";

    /// Look clients' names up.
    smtpd_peername_lookup: Bool = "yes";

    /// The former name of smtpd_per_request_deadline.
    smtpd_per_record_deadline: Str = "", former();

    /// Let time limits count for a whole command or reply in place of each read and write.
    smtpd_per_request_deadline: Bool = "${smtpd_per_record_deadline?{$smtpd_per_record_deadline}:{${stress?{yes}:{no}}}}";

    /// What is done when a policy service does not answer.
    smtpd_policy_service_default_action: Str = "451 4.3.5 Server configuration problem", min(1);

    /// How long an idle connection to a policy service is kept.
    smtpd_policy_service_max_idle: Time = "300s", min(1);

    /// How long a connection to a policy service is used.
    smtpd_policy_service_max_ttl: Time = "1000s", min(1);

    /// A text that policy services are told.
    smtpd_policy_service_policy_context: Str = "";

    /// How many requests a connection to a policy service is used for; 0 sets no limit.
    smtpd_policy_service_request_limit: Int = "0";

    /// How long to wait before asking a policy service again.
    smtpd_policy_service_retry_delay: Time = "1s", min(1);

    /// How long to wait for a policy service.
    smtpd_policy_service_timeout: Time = "100s", min(1);

    /// How often a policy service is asked.
    smtpd_policy_service_try_limit: Int = "2", min(1);

    /// The name given to the proxy filter.
    smtpd_proxy_ehlo: Str = "$myhostname";

    /// The server that messages pass through before they are accepted.
    smtpd_proxy_filter: Str = "";

    /// Options of the proxy filter: speed_adjust.
    smtpd_proxy_options: Words = "";

    /// How long to wait for the proxy filter.
    smtpd_proxy_timeout: Time = "100s", min(1);

    /// How many recipients a message may have.
    smtpd_recipient_limit: Int = "1000", min(1);

    /// How many recipients above smtpd_recipient_limit are put off before they count as errors.
    smtpd_recipient_overshoot_limit: Int = "1000", min(1);

    /// What is asked about a recipient, after smtpd_relay_restrictions.
    smtpd_recipient_restrictions: Items = "";

    /// Tables that change replies that reject.
    smtpd_reject_filter_maps: Items = "", since("3.11");

    /// A text put behind replies that reject.
    smtpd_reject_footer: Raw = "";

    /// Tables with texts put behind replies that reject, by reply.
    smtpd_reject_footer_maps: Items = "";

    /// Reject recipients that are in none of the lists for their domain.
    smtpd_reject_unlisted_recipient: Bool = "yes";

    /// Reject senders in our domains that are in none of the lists for them.
    smtpd_reject_unlisted_sender: Bool = "no";

    /// Ask smtpd_relay_restrictions before smtpd_recipient_restrictions.
    smtpd_relay_before_recipient_restrictions: Bool = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}";

    /// Who may relay through us, asked about each recipient.
    smtpd_relay_restrictions: Items = "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}";

    /// Names that stand for a list of restrictions, each of it a parameter of its own.
    smtpd_restriction_classes: Words = "";

    /// Let clients log in.
    smtpd_sasl_auth_enable: Bool = "no";

    /// Tell the user's name in the Received: header.
    smtpd_sasl_authenticated_header: Bool = "no";

    /// Clients that are not offered AUTH.
    smtpd_sasl_exceptions_networks: Patterns = "";

    /// The realm for logins.
    smtpd_sasl_local_domain: Str = "";

    /// The login mechanisms that are offered.
    smtpd_sasl_mechanism_filter: Patterns = "!external, static:rest";

    /// What the login implementation takes for its own: a socket or a name.
    smtpd_sasl_path: Str = "smtpd", min(1);

    /// How long a client's response in a login may be.
    smtpd_sasl_response_limit: Int = "12288", min(12288);

    /// What a mechanism must or must not be: noanonymous, noplaintext, noactive, nodictionary, forward_secrecy, mutual_auth.
    smtpd_sasl_security_options: Words = "noanonymous";

    /// The service name for logins.
    smtpd_sasl_service: Str = "smtp", min(1);

    /// smtpd_sasl_security_options for sessions under TLS.
    smtpd_sasl_tls_security_options: Words = "$smtpd_sasl_security_options";

    /// Which login implementation is used: cyrus or dovecot.
    smtpd_sasl_type: Str = "cyrus", min(1);

    /// Tables with the logins that own a sender address.
    smtpd_sender_login_maps: Items = "";

    /// What is asked about a sender.
    smtpd_sender_restrictions: Items = "";

    /// The service that postscreen hands connections to.
    smtpd_service_name: Str = "smtpd", min(1);

    /// How many errors a client may make before replies begin to wait.
    smtpd_soft_error_limit: Int = "10", min(1);

    /// How long to wait for a client's command and for it to take a reply.
    smtpd_timeout: Time = "${stress?{10}:{300}}s", min(1);

    /// The protocol of a proxy before us: haproxy.
    smtpd_upstream_proxy_protocol: Str = "";

    /// How long to wait for the proxy before us.
    smtpd_upstream_proxy_timeout: Time = "5s", min(1);

    /// Not empty while all server processes are busy; set by the mail system.
    stress: Str = "";

    /// Demand that addresses in MAIL FROM and RCPT TO are in angle brackets and without names.
    strict_rfc821_envelopes: Bool = "no";

    /// The reply code to addresses whose domain does not exist.
    unknown_address_reject_code: Int = "450";

    /// What reject_unknown_sender_domain does when a lookup has to be tried later.
    unknown_address_tempfail_action: Str = "$reject_tempfail_action", min(1);

    /// The reply code to clients without a proper name.
    unknown_client_reject_code: Int = "450";

    /// What reject_unknown_helo_hostname does when a lookup has to be tried later.
    unknown_helo_hostname_tempfail_action: Str = "$reject_tempfail_action", min(1);

    /// The reply code to HELO names that do not exist.
    unknown_hostname_reject_code: Int = "450";

    /// The reply code to unknown local recipients.
    unknown_local_recipient_reject_code: Int = "550";

    /// The reply code to unknown recipients in relay_domains.
    unknown_relay_recipient_reject_code: Int = "550";

    /// The reply code to unknown recipients in virtual_alias_domains.
    unknown_virtual_alias_reject_code: Int = "550";

    /// The reply code to unknown recipients in virtual_mailbox_domains.
    unknown_virtual_mailbox_reject_code: Int = "550";
}
