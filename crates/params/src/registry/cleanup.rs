//! What happens to a message on its way into the queue: headers, MIME, content checks, filters and milters.

params! {
    /// Add From:, To:, Date: and Message-ID: to mail from strangers, too.
    always_add_missing_headers: Bool = "no";

    /// Tables that are asked about each line of a body.
    body_checks: Items = "";

    /// How much of each part of a body is checked.
    body_checks_size_limit: Int = "51200";

    /// Make CR and LF that are not the end of a line blanks.
    cleanup_replace_stray_cr_lf: Bool = "yes";

    /// The name of the cleanup service.
    cleanup_service_name: Str = "cleanup", min(1);

    /// Where all mail goes first: transport:nexthop.
    content_filter: Str = "";

    /// Label a message 8bit if a Content-Transfer-Encoding: header says so.
    detect_8bit_encoding_header: Bool = "yes";

    /// Do not look into MIME when mail comes in.
    disable_mime_input_processing: Bool = "no";

    /// Do not convert 8bit to quoted-printable when mail goes out.
    disable_mime_output_conversion: Bool = "no";

    /// How many addresses are remembered to drop duplicates.
    duplicate_filter_limit: Int = "1000";

    /// Keep the recipient as it came (X-Original-To:).
    enable_original_recipient: Bool = "yes";

    /// Convert 8bit to quoted-printable when mail comes in.
    force_mime_input_conversion: Bool = "no", since("3.9");

    /// The character set of full names that are put into From:.
    full_name_encoding_charset: Str = "utf-8", min(1), since("3.10");

    /// How many parts of addresses in a header are kept in memory.
    header_address_token_limit: Int = "10240", min(1);

    /// Tables that are asked about each header.
    header_checks: Items = "";

    /// How an added From: header looks: standard or obsolete.
    header_from_format: Str = "standard", min(1);

    /// How long a header may be.
    header_size_limit: Int = "102400", min(1);

    /// How many Received: headers make a loop.
    hopcount_limit: Int = "50", min(1);

    /// Mail of the system's own that is checked: notify, bounce.
    internal_mail_filter_classes: Words = "";

    /// Longer lines are handled in pieces.
    line_length_limit: Int = "2048", min(512);

    /// Headers that are taken out.
    message_drop_headers: Words = "bcc, content-length, resent-bcc, return-path";

    /// Characters that a message must not have.
    message_reject_characters: Str = "";

    /// The largest message, with its envelope, in octets.
    message_size_limit: Long = "10240000";

    /// Characters that are taken out of messages.
    message_strip_characters: Str = "";

    /// How long to wait for a milter's reply to a command.
    milter_command_timeout: Time = "30s", min(1);

    /// Macros that milters get at connect.
    milter_connect_macros: Words = "j {daemon_name} {daemon_addr} v _";

    /// How long to wait for a connection to a milter.
    milter_connect_timeout: Time = "30s", min(1);

    /// How long to wait for a milter's reply to a message's content.
    milter_content_timeout: Time = "300s", min(1);

    /// Macros that milters get at DATA.
    milter_data_macros: Words = "i";

    /// What is done when a milter is down: accept, reject, tempfail, quarantine, shutdown.
    milter_default_action: Str = "tempfail", min(1);

    /// Macros that milters get at the end of a message.
    milter_end_of_data_macros: Words = "i";

    /// Macros that milters get at the end of the headers.
    milter_end_of_header_macros: Words = "i";

    /// Tables that are asked about headers that milters add.
    milter_header_checks: Items = "";

    /// Macros that milters get at HELO.
    milter_helo_macros: Words = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}";

    /// The macro {daemon_name}.
    milter_macro_daemon_name: Str = "$myhostname", min(1);

    /// Values of macros that have none.
    milter_macro_defaults: Items = "";

    /// The macro v.
    milter_macro_v: Str = "$mail_name $mail_version", min(1);

    /// Macros that milters get at MAIL FROM.
    milter_mail_macros: Words = "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}";

    /// The version of the milter protocol.
    milter_protocol: Str = "6", min(1);

    /// Macros that milters get at RCPT TO.
    milter_rcpt_macros: Words = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}";

    /// Macros that milters get at a command that does not exist.
    milter_unknown_command_macros: Words = "";

    /// How much of a MIME boundary counts.
    mime_boundary_length_limit: Int = "2048", min(1);

    /// Tables that are asked about MIME headers.
    mime_header_checks: Items = "$header_checks";

    /// How deep MIME parts may lie in one another.
    mime_nesting_limit: Int = "100", min(1);

    /// Tables that are asked about headers of messages inside a message.
    nested_header_checks: Items = "$header_checks";

    /// What is done with headers that end without an empty line: fix_quietly, add_header, reject.
    non_empty_end_of_header_action: Str = "fix_quietly", min(1), since("3.11");

    /// Milters for mail that does not come over SMTP.
    non_smtpd_milters: Items = "";

    /// What is left out: no_unknown_recipient_checks, no_address_mappings, no_header_body_checks, no_milters.
    receive_override_options: Words = "";

    /// Tables with milters by client address.
    smtpd_milter_maps: Items = "";

    /// Milters for mail that comes over SMTP.
    smtpd_milters: Items = "";

    /// Reject 8bit in headers.
    strict_7bit_headers: Bool = "no";

    /// Both strict_7bit_headers and strict_8bitmime_body.
    strict_8bitmime: Bool = "no";

    /// Reject 8bit bodies that are not declared.
    strict_8bitmime_body: Bool = "no";

    /// Reject MIME encodings that the standard forbids.
    strict_mime_encoding_domain: Bool = "no";

    /// A header for messages without any recipient header.
    undisclosed_recipients_header: Str = "";
}
