//! The parameters that restrictions obey, typed. Whoever reads main.cf fills them in; the defaults are Postfix 3.7's.

use std::time::Duration;

/// Parameters of the SMTP server's access control. A field has its parameter's name.
#[derive(Clone, Debug)]
pub struct Settings {
    // reply codes, 400 to 599: anything else is answered as 450 with a warning
    pub access_map_defer_code: u16,
    pub access_map_reject_code: u16,
    pub defer_code: u16,
    pub invalid_hostname_reject_code: u16,
    pub maps_rbl_reject_code: u16,
    pub multi_recipient_bounce_reject_code: u16,
    pub non_fqdn_reject_code: u16,
    pub plaintext_reject_code: u16,
    pub reject_code: u16,
    pub relay_domains_reject_code: u16,
    pub unknown_address_reject_code: u16,
    pub unknown_client_reject_code: u16,
    pub unknown_hostname_reject_code: u16,
    pub unknown_local_recipient_reject_code: u16,
    pub unknown_relay_recipient_reject_code: u16,
    pub unknown_virtual_alias_reject_code: u16,
    pub unknown_virtual_mailbox_reject_code: u16,
    pub unverified_recipient_defer_code: u16,
    pub unverified_recipient_reject_code: u16,
    pub unverified_sender_defer_code: u16,
    pub unverified_sender_reject_code: u16,

    // what a lookup that fails for now does
    pub unknown_address_tempfail_action: TempfailAction,
    pub unknown_helo_hostname_tempfail_action: TempfailAction,
    pub unverified_recipient_tempfail_action: TempfailAction,
    pub unverified_sender_tempfail_action: TempfailAction,

    // when and how
    pub smtpd_delay_reject: bool,
    pub smtpd_relay_before_recipient_restrictions: bool,
    pub smtpd_reject_unlisted_sender: bool,
    pub smtpd_reject_unlisted_recipient: bool,
    pub soft_bounce: bool,
    pub show_user_unknown_table_name: bool,
    pub allow_untrusted_routing: bool,
    pub smtpd_sasl_auth_enable: bool,
    pub smtpd_tls_ask_ccert: bool,
    /// Replies and log lines keep UTF-8.
    pub smtputf8_enable: bool,
    /// `info_log_address_format = internal`.
    pub info_log_address_internal: bool,
    /// `smtpd_proxy_filter` is not empty: actions that are cleanup's cannot be had.
    pub smtpd_proxy_filter: bool,
    /// `receive_override_options` has `no_unknown_recipient_checks`.
    pub no_unknown_recipient_checks: bool,
    /// `parent_domain_matches_subdomains` has `smtpd_access_maps`.
    pub parent_domain_matches_subdomains: bool,

    // texts
    pub smtpd_null_access_lookup_key: String,
    pub unverified_recipient_reject_reason: String,
    pub unverified_sender_reject_reason: String,
    /// May use the names of [`expand`](crate::expand), and those of RBL replies.
    pub default_rbl_reply: String,
    pub maps_rbl_domains: String,
    /// The characters that may be expanded into replies; C escapes are already resolved.
    pub smtpd_expansion_filter: Vec<u8>,
    pub myhostname: String,
    pub mail_name: String,
    pub double_bounce_sender: String,
    /// How addresses are split: `recipient_delimiter`.
    pub recipient_delimiter: String,

    // is it worth asking?
    /// `smtpd_log_access_permit_actions` is not empty.
    pub smtpd_log_access_permit_actions: bool,
    /// `rbl_reply_maps` is not empty.
    pub rbl_reply_maps: bool,
    /// `permit_mx_backup_networks` is not empty.
    pub permit_mx_backup_networks: bool,
    /// `smtpd_sender_login_maps` is not empty.
    pub smtpd_sender_login_maps: bool,

    // limits
    /// How many times, 3 s apart, an address verification is waited for.
    pub address_verify_poll_count: u32,
    pub address_verify_poll_delay: Duration,
    /// Postfix 3.7.11's limit on the addresses that one check_*_mx_access looks at (`dns_rr_list_limit` of 3.8).
    pub dns_rr_list_limit: usize,

    pub policy_service: PolicySettings,
    pub compatibility: Compatibility,
}

/// What `check_policy_service` has unless its own settings say otherwise. A field has its parameter's name without
/// `smtpd_policy_service_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySettings {
    pub default_action: String,
    pub max_idle: Duration,
    pub max_ttl: Duration,
    pub policy_context: String,
    /// Requests over one connection; 0: no limit.
    pub request_limit: u32,
    pub retry_delay: Duration,
    pub timeout: Duration,
    /// At least 1.
    pub try_limit: u32,
    /// The `stress` parameter, which requests carry.
    pub stress: String,
}

/// Defaults of old that are in force because main.cf leaves `compatibility_level` low: what they change is logged.
#[derive(Clone, Debug, Default)]
pub struct Compatibility {
    /// `smtpd_relay_restrictions` is left at its default and `compatibility_level` is below 1.
    pub relay_restrictions: bool,
    /// `smtpd_relay_before_recipient_restrictions` is left at its default below 3.6.
    pub relay_before_recipient_restrictions: bool,
    /// `relay_domains` is left at its default below 2.
    pub relay_domains: bool,
    /// `mynetworks_style` is left at its default below 2, and this is it.
    pub mynetworks_style: Option<String>,
    /// `smtpd_tls_fingerprint_digest` is left at its default below 3.6.
    pub smtpd_tls_fingerprint_digest: bool,
}

/// What happens when it cannot be told now whether something is to be rejected (`reject_tempfail_action` and its kin).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempfailAction {
    /// Answer 4xx at once.
    Defer,
    /// Answer 4xx where mail would be permitted, else reject it for the other reason.
    DeferIfPermit,
}

impl TempfailAction {
    /// `defer` or `defer_if_permit`; anything else is fatal in Postfix (`bad configuration: NAME = VALUE`).
    pub fn parse(value: &str) -> Option<TempfailAction> {
        match value {
            v if v.eq_ignore_ascii_case("defer") => Some(TempfailAction::Defer),
            v if v.eq_ignore_ascii_case("defer_if_permit") => Some(TempfailAction::DeferIfPermit),
            _ => None,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            access_map_defer_code: 450,
            access_map_reject_code: 554,
            defer_code: 450,
            invalid_hostname_reject_code: 501,
            maps_rbl_reject_code: 554,
            multi_recipient_bounce_reject_code: 550,
            non_fqdn_reject_code: 504,
            plaintext_reject_code: 450,
            reject_code: 554,
            relay_domains_reject_code: 554,
            unknown_address_reject_code: 450,
            unknown_client_reject_code: 450,
            unknown_hostname_reject_code: 450,
            unknown_local_recipient_reject_code: 550,
            unknown_relay_recipient_reject_code: 550,
            unknown_virtual_alias_reject_code: 550,
            unknown_virtual_mailbox_reject_code: 550,
            unverified_recipient_defer_code: 450,
            unverified_recipient_reject_code: 450,
            unverified_sender_defer_code: 450,
            unverified_sender_reject_code: 450,
            unknown_address_tempfail_action: TempfailAction::DeferIfPermit,
            unknown_helo_hostname_tempfail_action: TempfailAction::DeferIfPermit,
            unverified_recipient_tempfail_action: TempfailAction::DeferIfPermit,
            unverified_sender_tempfail_action: TempfailAction::DeferIfPermit,
            smtpd_delay_reject: true,
            smtpd_relay_before_recipient_restrictions: true,
            smtpd_reject_unlisted_sender: false,
            smtpd_reject_unlisted_recipient: true,
            soft_bounce: false,
            show_user_unknown_table_name: true,
            allow_untrusted_routing: false,
            smtpd_sasl_auth_enable: false,
            smtpd_tls_ask_ccert: false,
            smtputf8_enable: true,
            info_log_address_internal: false,
            smtpd_proxy_filter: false,
            no_unknown_recipient_checks: false,
            parent_domain_matches_subdomains: true,
            smtpd_null_access_lookup_key: "<>".into(),
            unverified_recipient_reject_reason: String::new(),
            unverified_sender_reject_reason: String::new(),
            default_rbl_reply: concat!(
                "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using ",
                "$rbl_domain${rbl_reason?; $rbl_reason}"
            )
            .into(),
            maps_rbl_domains: String::new(),
            smtpd_expansion_filter: std::iter::once(b'\t').chain(b' '..=b'~').collect(),
            myhostname: "localhost".into(),
            mail_name: "Postfix".into(),
            double_bounce_sender: "double-bounce".into(),
            recipient_delimiter: String::new(),
            smtpd_log_access_permit_actions: false,
            rbl_reply_maps: false,
            permit_mx_backup_networks: false,
            smtpd_sender_login_maps: false,
            address_verify_poll_count: 3,
            address_verify_poll_delay: Duration::from_secs(3),
            dns_rr_list_limit: 100,
            policy_service: PolicySettings::default(),
            compatibility: Compatibility::default(),
        }
    }
}

impl Default for PolicySettings {
    fn default() -> PolicySettings {
        PolicySettings {
            default_action: DEFAULT_POLICY_ACTION.into(),
            max_idle: Duration::from_secs(300),
            max_ttl: Duration::from_secs(1000),
            policy_context: String::new(),
            request_limit: 0,
            retry_delay: Duration::from_secs(1),
            timeout: Duration::from_secs(100),
            try_limit: 2,
            stress: String::new(),
        }
    }
}

/// The default of `smtpd_policy_service_default_action`.
pub(crate) const DEFAULT_POLICY_ACTION: &str = "451 4.3.5 Server configuration problem";
