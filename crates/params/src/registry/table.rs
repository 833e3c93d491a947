//! Tables, caches, the proxymap, and DNS.

params! {
    /// Go on with MX or address when there is no SRV record.
    allow_srv_lookup_fallback: Bool = "no", since("3.8");

    /// The memory for building a Berkeley DB table, in octets.
    berkeley_db_create_buffer_size: Int = "16777216", min(1);

    /// The memory for reading a Berkeley DB table, in octets.
    berkeley_db_read_buffer_size: Int = "131072", min(1);

    /// How long to wait for the connection cache.
    connection_cache_protocol_timeout: Time = "5s", min(1);

    /// The name of the connection cache's service.
    connection_cache_service_name: Str = "scache", min(1);

    /// How often the connection cache logs its numbers.
    connection_cache_status_update_time: Time = "600s", min(1);

    /// How long a connection is cached at most.
    connection_cache_ttl_limit: Time = "2s", min(1);

    /// End a daemon that cannot open a table, in place of failing its lookups.
    daemon_table_open_error_is_fatal: Bool = "no";

    /// The table type of caches.
    default_cache_db_type: Str = "btree", min(1), since("3.11");

    /// The table type that postmap and newaliases build if none is named.
    default_database_type: Str = "hash", min(1);

    /// Use no DNS for mail.
    disable_dns_lookups: Bool = "no";

    /// Heed the time-to-live of negative answers.
    dns_ncache_ttl_fix_enable: Bool = "no";

    /// A lookup that shows whether the resolver validates; empty does not try.
    dnssec_probe: Str = "ns:.";

    /// Go on with a host's address when its MX lookup fails.
    ignore_mx_lookup_error: Bool = "no";

    /// Go on with MX or address when an SRV lookup fails.
    ignore_srv_lookup_error: Bool = "no", since("3.8");

    /// The first size of an LMDB table, in octets.
    lmdb_map_size: Long = "16777216", min(1);

    /// Table types that take the place of Berkeley DB's.
    non_bdb_custom_mapping: Str = "", since("3.11");

    /// Folders of root's in which Berkeley DB tables may be converted.
    non_bdb_migration_allow_root_prefixes: Words = "/etc /usr/local/etc", since("3.11");

    /// Folders of users in which Berkeley DB tables may be converted.
    non_bdb_migration_allow_user_prefixes: Words = "$data_directory /var/lib/mailman /var/lib/mailman3", since("3.11");

    /// How far Berkeley DB tables are converted: disable, enable-redirect, enable-reindex.
    non_bdb_migration_level: Str = "disable", min(1), since("3.11");

    /// Log when another table is used in place of a Berkeley DB one.
    non_bdb_migration_log_redirect: Bool = "yes", since("3.11");

    /// The name of the service that converts tables.
    non_bdb_migration_service_name: Str = "nbdb_reindex", since("3.11");

    /// Tables that proxymap may read for others.
    proxy_read_maps: Items = "$local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains $virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains $canonical_maps $sender_canonical_maps $recipient_canonical_maps $relocated_maps $transport_maps $mynetworks $smtpd_sender_login_maps $sender_bcc_maps $recipient_bcc_maps $smtp_generic_maps $lmtp_generic_maps $alias_maps $smtpd_client_restrictions $smtpd_helo_restrictions $smtpd_sender_restrictions $smtpd_relay_restrictions $smtpd_recipient_restrictions $address_verify_sender_dependent_default_transport_maps $address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps $fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps $lmtp_pix_workaround_maps $lmtp_sasl_password_maps $lmtp_tls_policy_maps $mailbox_command_maps $mailbox_transport_maps $postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps $sender_dependent_default_transport_maps $sender_dependent_relayhost_maps $smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps $smtp_sasl_password_maps $smtp_tls_policy_maps $smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps $virtual_gid_maps $virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps $smtpd_reject_footer_maps $tls_server_sni_maps $tlsproxy_client_policy_maps $default_delivery_status_filter $lmtp_delivery_status_filter $lmtp_dns_reply_filter $lmtp_reply_filter $local_delivery_status_filter $pipe_delivery_status_filter $postscreen_command_filter $smtp_delivery_status_filter $smtp_dns_reply_filter $smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter $virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks $lmtp_header_checks $lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks $mime_header_checks $nested_header_checks $smtp_body_checks $smtp_header_checks $smtp_mime_header_checks $smtp_nested_header_checks";

    /// Tables that proxywrite may write for others.
    proxy_write_maps: Items = "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map";

    /// The name of the proxymap service.
    proxymap_service_name: Str = "proxymap", min(1);

    /// The name of the proxywrite service.
    proxywrite_service_name: Str = "proxywrite", min(1);

    /// How long a socketmap server's reply may be.
    socketmap_max_reply_size: Int = "100000", min(1), since("3.10");

    /// Services that are looked up by SRV records.
    use_srv_lookup: Words = "", since("3.8");
}
