//! What is read on the way into the queue, in it, and for the reports that come of it.

use super::group;
use crate::diagnostic::Diagnostic;
use crate::registry::transport::{self, TransportParam};
use crate::value::Kind;
use crate::view::View;

group! {
    /// cleanup(8), with what pickup(8) needs.
    Cleanup {
        always_add_missing_headers,
        always_bcc,
        body_checks,
        body_checks_size_limit,
        cleanup_replace_stray_cr_lf,
        content_filter,
        detect_8bit_encoding_header,
        disable_mime_input_processing,
        duplicate_filter_limit,
        enable_original_recipient,
        force_mime_input_conversion,
        full_name_encoding_charset,
        header_address_token_limit,
        header_checks,
        header_from_format,
        header_size_limit,
        hopcount_limit,
        internal_mail_filter_classes,
        line_length_limit,
        message_drop_headers,
        message_reject_characters,
        message_size_limit,
        message_strip_characters,
        mime_boundary_length_limit,
        mime_header_checks,
        mime_nesting_limit,
        mydomain,
        myhostname,
        myorigin,
        nested_header_checks,
        non_smtpd_milters,
        queue_file_attribute_count_limit,
        queue_minfree,
        receive_override_options,
        recipient_bcc_maps,
        recipient_delimiter,
        sender_bcc_maps,
        smtputf8_autodetect_classes,
        smtputf8_enable,
        soft_bounce,
        strict_7bit_headers,
        strict_8bitmime,
        strict_8bitmime_body,
        strict_mime_encoding_domain,
        strict_smtputf8,
        undisclosed_recipients_header,
    }
}

group! {
    /// verify(8). Where probes go is in `Routing`.
    Verify {
        address_verify_cache_cleanup_interval,
        address_verify_map,
        address_verify_negative_cache,
        address_verify_negative_expire_time,
        address_verify_negative_refresh_time,
        address_verify_positive_expire_time,
        address_verify_positive_refresh_time,
        address_verify_sender,
        address_verify_sender_ttl,
    }
}

group! {
    /// qmgr(8). What each transport has of its own is in `Transport`.
    Qmgr {
        bounce_queue_lifetime,
        confirm_delay_cleared,
        default_filter_nexthop,
        defer_transports,
        delay_logging_resolution_limit,
        delay_warning_time,
        destination_concurrency_feedback_debug,
        double_bounce_sender,
        fast_flush_domains,
        hash_queue_depth,
        hash_queue_names,
        helpful_warnings,
        in_flow_delay,
        maximal_backoff_time,
        maximal_queue_lifetime,
        minimal_backoff_time,
        notify_classes,
        qmgr_clog_warn_time,
        qmgr_daemon_timeout,
        qmgr_fudge_factor,
        qmgr_ipc_timeout,
        qmgr_message_active_limit,
        qmgr_message_recipient_limit,
        qmgr_message_recipient_minimum,
        queue_run_delay,
        soft_bounce,
        transport_retry_time,
    }
}

group! {
    /// bounce(8), for the defer and trace services, too.
    Bounce {
        _2bounce_notice_recipient,
        bounce_notice_recipient,
        bounce_queue_lifetime,
        bounce_size_limit,
        bounce_template_file,
        confirm_delay_cleared,
        delay_notice_recipient,
        delay_warning_time,
        double_bounce_sender,
        enable_threaded_bounces,
        error_notice_recipient,
        internal_mail_filter_classes,
        mail_name,
        maximal_queue_lifetime,
        myhostname,
        myorigin,
        notify_classes,
        requiretls_redact_dsn,
        smtputf8_enable,
        soft_bounce,
    }
}

macro_rules! transport_group {
    ($($name:ident),* $(,)?) => {
        /// What the queue manager reads for one transport: `NAME_destination_concurrency_limit` and so on.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Transport {
            $(
                #[doc = concat!("`TRANSPORT_", stringify!($name), "`")]
                pub $name: <<transport::$name as TransportParam>::Kind as Kind>::Value,
            )*
        }

        impl Transport {
            /// Reads them for the transport of that name.
            pub fn read(view: &View, name: &str, mistakes: &mut Vec<Diagnostic>) -> Transport {
                Transport { $($name: view.get_of_transport(name, transport::$name, mistakes),)* }
            }
        }
    };
}

transport_group! {
    delivery_slot_cost,
    delivery_slot_discount,
    delivery_slot_loan,
    destination_concurrency_failed_cohort_limit,
    destination_concurrency_limit,
    destination_concurrency_negative_feedback,
    destination_concurrency_positive_feedback,
    destination_rate_delay,
    destination_recipient_limit,
    extra_recipient_limit,
    initial_destination_concurrency,
    minimum_delivery_slots,
    recipient_limit,
    recipient_refill_delay,
    recipient_refill_limit,
    time_limit,
    transport_rate_delay,
}
