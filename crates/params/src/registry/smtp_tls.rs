//! How the SMTP and LMTP clients use TLS: `smtp_tls_` with its `lmtp_` twin.

twins! {
    /// Formerly: TLS is needed.
    smtp_enforce_tls | lmtp_enforce_tls: Bool = "no" | "no";

    /// A file with the certificates of authorities to trust.
    smtp_tls_CAfile | lmtp_tls_CAfile: Str = "" | "";

    /// A folder with the certificates of authorities to trust.
    smtp_tls_CApath | lmtp_tls_CApath: Str = "" | "";

    /// Look out for a reply that came before the TLS handshake was done.
    smtp_tls_block_early_mail_reply | lmtp_tls_block_early_mail_reply: Bool = "no" | "no";

    /// Our certificate (RSA) for servers that ask for one.
    smtp_tls_cert_file | lmtp_tls_cert_file: Str = "" | "";

    /// Files with keys and certificate chains for servers that ask for them.
    smtp_tls_chain_files | lmtp_tls_chain_files: Words = "" | "";

    /// The cipher grade where TLS is optional.
    smtp_tls_ciphers | lmtp_tls_ciphers: Str = "medium" | "medium", min(1);

    /// Keep connections under TLS for more mail.
    smtp_tls_connection_reuse | lmtp_tls_connection_reuse: Bool = "no" | "no";

    /// Our certificate (DSA).
    smtp_tls_dcert_file | lmtp_tls_dcert_file: Str = "" | "";

    /// The key of smtp_tls_dcert_file.
    smtp_tls_dkey_file | lmtp_tls_dkey_file: Str = "$smtp_tls_dcert_file" | "$lmtp_tls_dcert_file";

    /// Our certificate (ECDSA).
    smtp_tls_eccert_file | lmtp_tls_eccert_file: Str = "" | "";

    /// The key of smtp_tls_eccert_file.
    smtp_tls_eckey_file | lmtp_tls_eckey_file: Str = "$smtp_tls_eccert_file" | "$lmtp_tls_eccert_file";

    /// Ask servers for raw public keys in place of certificates.
    smtp_tls_enable_rpk | lmtp_tls_enable_rpk: Bool = "no" | "no", since("3.9");

    /// Formerly: with smtp_enforce_tls, the name in the certificate must be right.
    smtp_tls_enforce_peername | lmtp_tls_enforce_peername: Bool = "yes" | "yes";

    /// Hold MTA-STS policies' server patterns against certificates.
    smtp_tls_enforce_sts_mx_patterns | lmtp_tls_enforce_sts_mx_patterns: Bool = "yes" | "yes", since("3.11");

    /// Ciphers that are never used.
    smtp_tls_exclude_ciphers | lmtp_tls_exclude_ciphers: Words = "" | "";

    /// Fingerprints that are accepted at level fingerprint.
    smtp_tls_fingerprint_cert_match | lmtp_tls_fingerprint_cert_match: Words = "" | "";

    /// The digest of which fingerprints are made.
    smtp_tls_fingerprint_digest | lmtp_tls_fingerprint_digest: Str = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}" | "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}", min(1);

    /// Look TLSA records up even if the host's addresses are not signed.
    smtp_tls_force_insecure_host_tlsa_lookup | lmtp_tls_force_insecure_host_tlsa_lookup: Bool = "no" | "no";

    /// The key of smtp_tls_cert_file.
    smtp_tls_key_file | lmtp_tls_key_file: Str = "$smtp_tls_cert_file" | "$lmtp_tls_cert_file";

    /// How much of TLS is logged, 0 to 4.
    smtp_tls_loglevel | lmtp_tls_loglevel: Str = "0" | "0";

    /// The cipher grade where TLS is needed.
    smtp_tls_mandatory_ciphers | lmtp_tls_mandatory_ciphers: Str = "medium" | "medium", min(1);

    /// More ciphers that are not used where TLS is needed.
    smtp_tls_mandatory_exclude_ciphers | lmtp_tls_mandatory_exclude_ciphers: Words = "" | "";

    /// TLS versions that are used where TLS is needed.
    smtp_tls_mandatory_protocols | lmtp_tls_mandatory_protocols: Words = ">=TLSv1" | ">=TLSv1";

    /// Log servers that offer STARTTLS where we do not use it.
    smtp_tls_note_starttls_offer | lmtp_tls_note_starttls_offer: Bool = "no" | "no";

    /// Formerly: tables with the TLS level by server.
    smtp_tls_per_site | lmtp_tls_per_site: Items = "" | "";

    /// Tables with the TLS level and its attributes by next hop.
    smtp_tls_policy_maps | lmtp_tls_policy_maps: Items = "" | "";

    /// TLS versions that are used where TLS is optional.
    smtp_tls_protocols | lmtp_tls_protocols: Words = ">=TLSv1" | ">=TLSv1";

    /// How long a server's certificate chain may be.
    smtp_tls_scert_verifydepth | lmtp_tls_scert_verifydepth: Int = "9" | "9";

    /// The names that a certificate must bear at level secure.
    smtp_tls_secure_cert_match | lmtp_tls_secure_cert_match: Str = "nexthop, dot-nexthop" | "nexthop", min(1);

    /// Whether and how TLS is used: none, may, encrypt, fingerprint, verify, secure, dane, dane-only.
    smtp_tls_security_level | lmtp_tls_security_level: Str = "" | "";

    /// The server name sent in the handshake (SNI).
    smtp_tls_servername | lmtp_tls_servername: Str = "" | "";

    /// The table that keeps TLS sessions.
    smtp_tls_session_cache_database | lmtp_tls_session_cache_database: Str = "" | "";

    /// How long TLS sessions are kept.
    smtp_tls_session_cache_timeout | lmtp_tls_session_cache_timeout: Time = "3600s" | "3600s", max(8640000);

    /// Files with the only authorities to trust.
    smtp_tls_trust_anchor_file | lmtp_tls_trust_anchor_file: Words = "" | "";

    /// The names that a certificate must bear at level verify.
    smtp_tls_verify_cert_match | lmtp_tls_verify_cert_match: Str = "hostname" | "hostname", min(1);

    /// Begin with the TLS handshake, without STARTTLS (port 465).
    smtp_tls_wrappermode | lmtp_tls_wrappermode: Bool = "no" | "no";

    /// Collect what TLSRPT reports are made of.
    smtp_tlsrpt_enable | lmtp_tlsrpt_enable: Bool = "no" | "no", since("3.10");

    /// Do not count resumed TLS sessions in TLSRPT.
    smtp_tlsrpt_skip_reused_handshakes | lmtp_tlsrpt_skip_reused_handshakes: Bool = "no" | "no", since("3.10");

    /// The socket of the program that makes TLSRPT reports.
    smtp_tlsrpt_socket_name | lmtp_tlsrpt_socket_name: Str = "" | "", since("3.10");

    /// Formerly: use TLS if the server has it.
    smtp_use_tls | lmtp_use_tls: Bool = "no" | "no";
}

params! {
    /// The TLS level for servers named by an MX record that is not signed.
    smtp_tls_dane_insecure_mx_policy: Str = "${{$smtp_tls_security_level} == {dane} ? {dane} : {may}}";

    /// Look MTA-STS policies of domains up and obey them, where neither smtp_tls_policy_maps nor DANE says more.
    oxi_smtp_mta_sts: Bool = "no", since("Oxipost");

    /// Count how TLS with servers goes, for domains that ask for TLSRPT reports, in files below data_directory.
    oxi_smtp_tlsrpt: Bool = "no", since("Oxipost");
}
