//! How the SMTP server uses TLS.

params! {
    /// Tables with fingerprints of certificates whose owners may relay.
    relay_clientcerts: Items = "";

    /// Formerly: TLS is needed.
    smtpd_enforce_tls: Bool = "no";

    /// How long the TLS handshake may take.
    smtpd_starttls_timeout: Time = "${stress?{10}:{300}}s", min(1);

    /// A file with the certificates of authorities to trust for clients.
    smtpd_tls_CAfile: Str = "";

    /// A folder with the certificates of authorities to trust for clients.
    smtpd_tls_CApath: Str = "";

    /// Give TLS sessions an id even if none are kept.
    smtpd_tls_always_issue_session_ids: Bool = "yes";

    /// Ask clients for a certificate.
    smtpd_tls_ask_ccert: Bool = "no";

    /// Offer AUTH under TLS only.
    smtpd_tls_auth_only: Bool = "no";

    /// How long a client's certificate chain may be.
    smtpd_tls_ccert_verifydepth: Int = "9";

    /// Our certificate (RSA) and its chain.
    smtpd_tls_cert_file: Str = "";

    /// Files with keys and certificate chains, in place of the others.
    smtpd_tls_chain_files: Words = "";

    /// The cipher grade where TLS is optional.
    smtpd_tls_ciphers: Str = "medium", min(1);

    /// Our certificate (DSA).
    smtpd_tls_dcert_file: Str = "";

    /// A file with Diffie-Hellman parameters.
    smtpd_tls_dh1024_param_file: Str = "";

    /// A file with Diffie-Hellman parameters for export ciphers; obsolete.
    smtpd_tls_dh512_param_file: Str = "";

    /// The key of smtpd_tls_dcert_file.
    smtpd_tls_dkey_file: Str = "$smtpd_tls_dcert_file";

    /// Our certificate (ECDSA).
    smtpd_tls_eccert_file: Str = "";

    /// The key of smtpd_tls_eccert_file.
    smtpd_tls_eckey_file: Str = "$smtpd_tls_eccert_file";

    /// How strong elliptic curves have to be: none, auto, strong, ultra.
    smtpd_tls_eecdh_grade: Str = "auto", min(1);

    /// Ask clients for raw public keys in place of certificates.
    smtpd_tls_enable_rpk: Bool = "no", since("3.9");

    /// Ciphers that are never used.
    smtpd_tls_exclude_ciphers: Words = "";

    /// The digest of which fingerprints are made.
    smtpd_tls_fingerprint_digest: Str = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}", min(1);

    /// The key of smtpd_tls_cert_file.
    smtpd_tls_key_file: Str = "$smtpd_tls_cert_file";

    /// How much of TLS is logged, 0 to 4.
    smtpd_tls_loglevel: Str = "0";

    /// The cipher grade where TLS is needed.
    smtpd_tls_mandatory_ciphers: Str = "medium", min(1);

    /// More ciphers that are not used where TLS is needed.
    smtpd_tls_mandatory_exclude_ciphers: Words = "";

    /// TLS versions that are used where TLS is needed.
    smtpd_tls_mandatory_protocols: Words = ">=TLSv1";

    /// TLS versions that are used where TLS is optional.
    smtpd_tls_protocols: Words = ">=TLSv1";

    /// Tell the TLS version, cipher and client certificate in the Received: header.
    smtpd_tls_received_header: Bool = "no";

    /// Demand a certificate from clients where TLS is needed.
    smtpd_tls_req_ccert: Bool = "no";

    /// Whether TLS is offered or needed: none, may, encrypt.
    smtpd_tls_security_level: Str = "";

    /// The table that keeps TLS sessions.
    smtpd_tls_session_cache_database: Str = "";

    /// How long TLS sessions are kept.
    smtpd_tls_session_cache_timeout: Time = "3600s", max(8640000);

    /// Begin with the TLS handshake, without STARTTLS (port 465).
    smtpd_tls_wrappermode: Bool = "no";

    /// Formerly: offer TLS.
    smtpd_use_tls: Bool = "no";
}
