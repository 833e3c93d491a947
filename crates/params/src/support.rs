//! Which parameters are acted on. A name that stands in no list here is not acted on yet: a site that sets it is told so.
//!
//! To say that a parameter now works, move its name; nothing else has to change. A name that begins with `_` is that of a parameter
//! which each transport has.

/// How far a parameter is acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Full,
    /// Acted on, but for this.
    Partial(&'static str),
    /// Read, checked and shown, but without effect, for this reason.
    Ignored(&'static str),
}

/// These do all that they do in Postfix.
const FULL: &[&str] = &[
    "alternate_config_directories",
    "authorized_flush_users",
    "authorized_mailq_users",
    "authorized_submit_users",
    "compatibility_level",
    "config_directory",
    "inet_protocols",
    "mail_name",
    "mail_release_date",
    "mail_version",
    "mydomain",
    "myhostname",
    "mynetworks_style",
    "myorigin",
    "process_id",
    "process_name",
    "proxy_interfaces",
    "sendmail_fix_line_endings",
    "service_name",
];

/// These do something less; the reason says what.
const PARTIAL: &[(&str, &str)] = &[];

/// These will never do anything, and need not.
const NEEDLESS: &[(&str, &[&str])] = &[
    (
        "there are no processes to talk to, to wait for or to start anew: one program does it all",
        &[
            "anvil_status_update_time",
            "application_event_drain_time",
            "bounce_service_name",
            "cleanup_service_name",
            "connection_cache_protocol_timeout",
            "connection_cache_service_name",
            "connection_cache_status_update_time",
            "daemon_timeout",
            "debugger_command",
            "defer_service_name",
            "error_service_name",
            "flush_service_name",
            "fork_attempts",
            "fork_delay",
            "ipc_idle",
            "ipc_timeout",
            "ipc_ttl",
            "max_idle",
            "max_use",
            "pickup_service_name",
            "postlog_service_name",
            "postlogd_watchdog_timeout",
            "postscreen_watchdog_timeout",
            "proxymap_service_name",
            "proxywrite_service_name",
            "qmgr_daemon_timeout",
            "qmgr_ipc_timeout",
            "queue_service_name",
            "rewrite_service_name",
            "showq_service_name",
            "tlsmgr_service_name",
            "tlsproxy_service_name",
            "tlsproxy_watchdog_timeout",
            "trace_service_name",
            "trigger_timeout",
            "address_verify_service_name",
        ],
    ),
    (
        "the tables' memory takes care of itself",
        &["berkeley_db_create_buffer_size", "berkeley_db_read_buffer_size", "lmdb_map_size"],
    ),
    (
        "the queue has no files to hash, count attributes in or keep compatible",
        &["backwards_bounce_logfile_compatibility", "hash_queue_depth", "hash_queue_names"],
    ),
    (
        "random numbers come from the system",
        &[
            "tls_daemon_random_bytes",
            "tls_random_bytes",
            "tls_random_exchange_name",
            "tls_random_prng_update_period",
            "tls_random_reseed_period",
            "tls_random_source",
        ],
    ),
    (
        "nothing in it reads the folder",
        &["html_directory", "manpage_directory", "readme_directory", "sample_directory", "shlib_directory"],
    ),
    (
        "Berkeley DB files are read and written without the library that went away",
        &[
            "non_bdb_custom_mapping",
            "non_bdb_migration_allow_root_prefixes",
            "non_bdb_migration_allow_user_prefixes",
            "non_bdb_migration_level",
            "non_bdb_migration_log_redirect",
            "non_bdb_migration_service_name",
        ],
    ),
    (
        "obsolete: newer versions of Postfix do without it, too",
        &[
            "qmgr_fudge_factor",
            "smtpd_tls_dh512_param_file",
            "sun_mailtool_compatibility",
            "tls_export_cipherlist",
            "tls_low_cipherlist",
        ],
    ),
];

/// How far the parameter of that name is acted on.
pub fn of(name: &str) -> Support {
    if FULL.contains(&name) {
        return Support::Full;
    }
    if let Some((_, reason)) = PARTIAL.iter().find(|(known, _)| *known == name) {
        return Support::Partial(reason);
    }
    match NEEDLESS.iter().find(|(_, names)| names.contains(&name)) {
        Some((reason, _)) => Support::Ignored(reason),
        None => Support::Ignored(NOT_YET),
    }
}

/// Why most of what is ignored is.
pub const NOT_YET: &str = "not acted on yet";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{find, transport};

    #[test]
    fn names_exist_and_stand_once() {
        let needless = NEEDLESS.iter().flat_map(|(_, names)| names.iter());
        let all: Vec<&str> =
            FULL.iter().chain(PARTIAL.iter().map(|(name, _)| name)).chain(needless).copied().collect();
        let mut seen = std::collections::HashSet::new();
        for name in all {
            assert!(seen.insert(name), "{name} stands twice");
            let exists = match name.strip_prefix('_') {
                Some(suffix) => transport::SPECS.iter().any(|s| s.name == suffix),
                None => find(name).is_some(),
            };
            assert!(exists, "there is no {name}");
        }
    }

    #[test]
    fn kinds() {
        assert_eq!(of("myhostname"), Support::Full);
        assert!(matches!(of("ipc_timeout"), Support::Ignored(reason) if reason != NOT_YET));
        assert_eq!(of("smtpd_noop_commands"), Support::Ignored(NOT_YET));
    }
}
