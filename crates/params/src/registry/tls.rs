//! TLS as such: ciphers, curves, random numbers, and tlsproxy.

params! {
    /// The openssl program that `postfix tls` calls.
    openssl_path: Str = "openssl", min(1);

    /// Offer and use REQUIRETLS (RFC 8689).
    requiretls_enable: Bool = "yes", since("3.11");

    /// Put a REQUIRETLS header into messages that were received with it.
    requiretls_esmtp_header: Bool = "yes", since("3.11");

    /// Return only the headers of a message that demands REQUIRETLS.
    requiretls_redact_dsn: Bool = "yes", since("3.11");

    /// Trust the authorities that the system trusts, too.
    tls_append_default_CA: Bool = "no";

    /// The OpenSSL configuration file: default, none or a name.
    tls_config_file: Str = "default";

    /// The section of the OpenSSL configuration file.
    tls_config_name: Str = "";

    /// How many random octets a process asks tlsmgr for.
    tls_daemon_random_bytes: Int = "32", min(1);

    /// Digests for DANE, the best one first.
    tls_dane_digests: Words = "sha512 sha256", min(1);

    /// OpenSSL workarounds for bugs that are switched off.
    tls_disable_workarounds: Str = "";

    /// Curves that are offered at grade auto.
    tls_eecdh_auto_curves: Words = "X25519 X448 prime256v1 secp521r1 secp384r1", min(1);

    /// The curve at grade strong.
    tls_eecdh_strong_curve: Str = "prime256v1", min(1);

    /// The curve at grade ultra.
    tls_eecdh_ultra_curve: Str = "secp384r1", min(1);

    /// What grade export means to OpenSSL.
    tls_export_cipherlist: Str = "aNULL:-aNULL:HIGH:MEDIUM:LOW:EXPORT:+RC4:@STRENGTH", min(1);

    /// Do not wait for the other side's answer when TLS ends.
    tls_fast_shutdown_enable: Bool = "yes";

    /// Finite-field groups that are offered in TLS 1.3.
    tls_ffdhe_auto_groups: Words = "", since("3.8");

    /// What grade high means to OpenSSL.
    tls_high_cipherlist: Str = "aNULL:-aNULL:HIGH:@STRENGTH", min(1);

    /// Make public key fingerprints as old versions did.
    tls_legacy_public_key_fingerprints: Bool = "no";

    /// What grade low means to OpenSSL.
    tls_low_cipherlist: Str = "aNULL:-aNULL:HIGH:MEDIUM:LOW:+RC4:@STRENGTH", min(1);

    /// What grade medium means to OpenSSL.
    tls_medium_cipherlist: Str = "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH", min(1);

    /// What grade null means to OpenSSL.
    tls_null_cipherlist: Str = "eNULL:!aNULL", min(1);

    /// Let the server's order of ciphers count.
    tls_preempt_cipherlist: Bool = "no";

    /// How many octets tlsmgr reads from its random source at a time.
    tls_random_bytes: Int = "32", min(1);

    /// The file that keeps random state over a restart.
    tls_random_exchange_name: Str = "${data_directory}/prng_exch";

    /// How often the random state is saved.
    tls_random_prng_update_period: Time = "3600s", min(1);

    /// How often random octets are read anew, at most.
    tls_random_reseed_period: Time = "3600s", min(1);

    /// Where random octets come from: dev:name, egd:name or a file.
    tls_random_source: Str = "dev:/dev/urandom";

    /// Heed the header "TLS-Required: no".
    tls_required_enable: Bool = "yes", since("3.10");

    /// Tables with keys and certificates by server name (SNI).
    tls_server_sni_maps: Items = "";

    /// The cipher of session tickets.
    tls_session_ticket_cipher: Str = "aes-256-cbc";

    /// More OpenSSL options.
    tls_ssl_options: Words = "";

    /// Let *.example.com in a certificate match a.b.example.com.
    tls_wildcard_matches_multiple_labels: Bool = "yes";

    /// The name of the tlsmgr service.
    tlsmgr_service_name: Str = "tlsmgr", min(1);

    /// smtp_tls_CAfile in tlsproxy.
    tlsproxy_client_CAfile: Str = "$smtp_tls_CAfile";

    /// smtp_tls_CApath in tlsproxy.
    tlsproxy_client_CApath: Str = "$smtp_tls_CApath";

    /// smtp_tls_cert_file in tlsproxy.
    tlsproxy_client_cert_file: Str = "$smtp_tls_cert_file";

    /// smtp_tls_chain_files in tlsproxy.
    tlsproxy_client_chain_files: Words = "$smtp_tls_chain_files";

    /// smtp_tls_dcert_file in tlsproxy.
    tlsproxy_client_dcert_file: Str = "$smtp_tls_dcert_file";

    /// smtp_tls_dkey_file in tlsproxy.
    tlsproxy_client_dkey_file: Str = "$smtp_tls_dkey_file";

    /// smtp_tls_eccert_file in tlsproxy.
    tlsproxy_client_eccert_file: Str = "$smtp_tls_eccert_file";

    /// smtp_tls_eckey_file in tlsproxy.
    tlsproxy_client_eckey_file: Str = "$smtp_tls_eckey_file";

    /// smtp_enforce_tls in tlsproxy.
    tlsproxy_client_enforce_tls: Bool = "$smtp_enforce_tls";

    /// smtp_tls_fingerprint_digest in tlsproxy.
    tlsproxy_client_fingerprint_digest: Str = "$smtp_tls_fingerprint_digest", min(1);

    /// smtp_tls_key_file in tlsproxy.
    tlsproxy_client_key_file: Str = "$smtp_tls_key_file";

    /// The former name of tlsproxy_client_security_level.
    tlsproxy_client_level: Str = "", former();

    /// smtp_tls_loglevel in tlsproxy.
    tlsproxy_client_loglevel: Str = "$smtp_tls_loglevel";

    /// The name of the parameter that set the log level, for messages.
    tlsproxy_client_loglevel_parameter: Str = "smtp_tls_loglevel";

    /// smtp_tls_per_site in tlsproxy.
    tlsproxy_client_per_site: Items = "$smtp_tls_per_site";

    /// The former name of tlsproxy_client_policy_maps.
    tlsproxy_client_policy: Str = "", former();

    /// smtp_tls_policy_maps in tlsproxy.
    tlsproxy_client_policy_maps: Items = "${tlsproxy_client_policy:$smtp_tls_policy_maps}";

    /// smtp_tls_scert_verifydepth in tlsproxy.
    tlsproxy_client_scert_verifydepth: Int = "$smtp_tls_scert_verifydepth";

    /// smtp_tls_security_level in tlsproxy.
    tlsproxy_client_security_level: Str = "${tlsproxy_client_level:$smtp_tls_security_level}";

    /// smtp_use_tls in tlsproxy.
    tlsproxy_client_use_tls: Bool = "$smtp_use_tls";

    /// smtpd_enforce_tls in tlsproxy.
    tlsproxy_enforce_tls: Bool = "$smtpd_enforce_tls";

    /// The name of the tlsproxy service.
    tlsproxy_service_name: Str = "tlsproxy", min(1);

    /// smtpd_tls_CAfile in tlsproxy.
    tlsproxy_tls_CAfile: Str = "$smtpd_tls_CAfile";

    /// smtpd_tls_CApath in tlsproxy.
    tlsproxy_tls_CApath: Str = "$smtpd_tls_CApath";

    /// smtpd_tls_always_issue_session_ids in tlsproxy.
    tlsproxy_tls_always_issue_session_ids: Bool = "$smtpd_tls_always_issue_session_ids";

    /// smtpd_tls_ask_ccert in tlsproxy.
    tlsproxy_tls_ask_ccert: Bool = "$smtpd_tls_ask_ccert";

    /// smtpd_tls_ccert_verifydepth in tlsproxy.
    tlsproxy_tls_ccert_verifydepth: Int = "$smtpd_tls_ccert_verifydepth";

    /// smtpd_tls_cert_file in tlsproxy.
    tlsproxy_tls_cert_file: Str = "$smtpd_tls_cert_file";

    /// smtpd_tls_chain_files in tlsproxy.
    tlsproxy_tls_chain_files: Words = "$smtpd_tls_chain_files";

    /// smtpd_tls_ciphers in tlsproxy.
    tlsproxy_tls_ciphers: Str = "$smtpd_tls_ciphers", min(1);

    /// smtpd_tls_dcert_file in tlsproxy.
    tlsproxy_tls_dcert_file: Str = "$smtpd_tls_dcert_file";

    /// smtpd_tls_dh1024_param_file in tlsproxy.
    tlsproxy_tls_dh1024_param_file: Str = "$smtpd_tls_dh1024_param_file";

    /// smtpd_tls_dh512_param_file in tlsproxy.
    tlsproxy_tls_dh512_param_file: Str = "$smtpd_tls_dh512_param_file";

    /// smtpd_tls_dkey_file in tlsproxy.
    tlsproxy_tls_dkey_file: Str = "$smtpd_tls_dkey_file";

    /// smtpd_tls_eccert_file in tlsproxy.
    tlsproxy_tls_eccert_file: Str = "$smtpd_tls_eccert_file";

    /// smtpd_tls_eckey_file in tlsproxy.
    tlsproxy_tls_eckey_file: Str = "$smtpd_tls_eckey_file";

    /// smtpd_tls_eecdh_grade in tlsproxy.
    tlsproxy_tls_eecdh_grade: Str = "$smtpd_tls_eecdh_grade", min(1);

    /// smtpd_tls_enable_rpk in tlsproxy.
    tlsproxy_tls_enable_rpk: Bool = "$smtpd_tls_enable_rpk", since("3.9");

    /// smtpd_tls_exclude_ciphers in tlsproxy.
    tlsproxy_tls_exclude_ciphers: Words = "$smtpd_tls_exclude_ciphers";

    /// smtpd_tls_fingerprint_digest in tlsproxy.
    tlsproxy_tls_fingerprint_digest: Str = "$smtpd_tls_fingerprint_digest", min(1);

    /// smtpd_tls_key_file in tlsproxy.
    tlsproxy_tls_key_file: Str = "$smtpd_tls_key_file";

    /// smtpd_tls_loglevel in tlsproxy.
    tlsproxy_tls_loglevel: Str = "$smtpd_tls_loglevel";

    /// smtpd_tls_mandatory_ciphers in tlsproxy.
    tlsproxy_tls_mandatory_ciphers: Str = "$smtpd_tls_mandatory_ciphers", min(1);

    /// smtpd_tls_mandatory_exclude_ciphers in tlsproxy.
    tlsproxy_tls_mandatory_exclude_ciphers: Words = "$smtpd_tls_mandatory_exclude_ciphers";

    /// smtpd_tls_mandatory_protocols in tlsproxy.
    tlsproxy_tls_mandatory_protocols: Words = "$smtpd_tls_mandatory_protocols";

    /// smtpd_tls_protocols in tlsproxy.
    tlsproxy_tls_protocols: Words = "$smtpd_tls_protocols";

    /// smtpd_tls_req_ccert in tlsproxy.
    tlsproxy_tls_req_ccert: Bool = "$smtpd_tls_req_ccert";

    /// smtpd_tls_security_level in tlsproxy.
    tlsproxy_tls_security_level: Str = "$smtpd_tls_security_level";

    /// smtpd_use_tls in tlsproxy.
    tlsproxy_use_tls: Bool = "$smtpd_use_tls";

    /// How long tlsproxy may take for one step before it is restarted.
    tlsproxy_watchdog_timeout: Time = "10s", min(10);
}
