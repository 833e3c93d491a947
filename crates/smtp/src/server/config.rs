//! What a session must know: parameters of main.cf, and what holds for this client.

use super::Keywords;
use crate::framing::ForbidBareNewline;
use std::time::Duration;

/// Parameters of a service, by their names in main.cf. `Default` has Postfix 3.7's defaults, but for the names.
#[derive(Clone, Debug)]
pub struct Config {
    pub myhostname: String,
    /// The greeting's text, expanded.
    pub smtpd_banner: String,
    /// Octets of a command line with its end.
    pub line_length_limit: usize,
    /// Octets; 0 is no limit.
    pub message_size_limit: u64,
    /// 0 is no limit.
    pub smtpd_recipient_limit: u32,
    pub smtpd_recipient_overshoot_limit: u32,
    pub smtpd_soft_error_limit: u32,
    pub smtpd_hard_error_limit: u32,
    pub smtpd_error_sleep_time: Duration,
    pub smtpd_junk_command_limit: u32,
    pub smtpd_helo_required: bool,
    pub disable_vrfy_command: bool,
    pub strict_rfc821_envelopes: bool,
    pub smtputf8_enable: bool,
    pub strict_smtputf8: bool,
    /// 500 to 599.
    pub smtpd_forbid_bare_newline_reject_code: u16,
    pub smtpd_forbid_unauth_pipelining: bool,
    /// Commands that are answered as NOOP is. Words only; tables in the list are not consulted.
    pub smtpd_noop_commands: Vec<String>,
    /// Whether commands go through [`Event::Filter`](super::Event::Filter) first.
    pub smtpd_command_filter: bool,
    /// Octets of a line in an AUTH exchange.
    pub smtpd_sasl_response_limit: usize,
    pub broken_sasl_auth_clients: bool,
    pub smtpd_tls_security_level: TlsLevel,
    pub default_verp_delimiters: String,
    pub verp_delimiter_filter: String,
    pub soft_bounce: bool,
}

/// `smtpd_tls_security_level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsLevel {
    #[default]
    None,
    May,
    Encrypt,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            myhostname: "localhost".into(),
            smtpd_banner: "localhost ESMTP".into(),
            line_length_limit: 2048,
            message_size_limit: 10_240_000,
            smtpd_recipient_limit: 1000,
            smtpd_recipient_overshoot_limit: 1000,
            smtpd_soft_error_limit: 10,
            smtpd_hard_error_limit: 20,
            smtpd_error_sleep_time: Duration::from_secs(1),
            smtpd_junk_command_limit: 100,
            smtpd_helo_required: false,
            disable_vrfy_command: false,
            strict_rfc821_envelopes: false,
            smtputf8_enable: true,
            strict_smtputf8: false,
            smtpd_forbid_bare_newline_reject_code: 550,
            smtpd_forbid_unauth_pipelining: false,
            smtpd_noop_commands: Vec::new(),
            smtpd_command_filter: false,
            smtpd_sasl_response_limit: 12288,
            broken_sasl_auth_clients: false,
            smtpd_tls_security_level: TlsLevel::None,
            default_verp_delimiters: "+=".into(),
            verp_delimiter_filter: "-=+".into(),
            soft_bounce: false,
        }
    }
}

/// What depends on who the client is. The driver decides it when the connection comes, and again after XCLIENT.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// `name[address]`, as replies give it.
    pub name_and_address: String,
    /// `smtpd_forbid_bare_newline`; `No` for clients in `smtpd_forbid_bare_newline_exclusions`.
    pub smtpd_forbid_bare_newline: ForbidBareNewline,
    /// `smtpd_discard_ehlo_keywords`, or what `smtpd_discard_ehlo_keyword_address_maps` has for the client.
    pub smtpd_discard_ehlo_keywords: Keywords,
    /// In `smtpd_authorized_xclient_hosts`.
    pub may_xclient: bool,
    /// In `smtpd_authorized_xforward_hosts`.
    pub may_xforward: bool,
    /// In `smtpd_authorized_verp_clients`.
    pub may_verp: bool,
}

/// Whether the client can log in just now. It depends on TLS, so the driver may say it anew with
/// [`Session::set_sasl`](super::Session::set_sasl).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sasl {
    /// No: `smtpd_sasl_auth_enable = no`, or `smtpd_tls_auth_only` without TLS.
    #[default]
    Inactive,
    Active {
        /// As EHLO lists them: `PLAIN LOGIN`.
        mechanisms: String,
        /// Not so for clients in `smtpd_sasl_exceptions_networks`.
        is_announced: bool,
    },
}
