//! Address verification: probes and what is remembered of them.

params! {
    /// How often old results are removed.
    address_verify_cache_cleanup_interval: Time = "12h";

    /// default_transport for probes.
    address_verify_default_transport: Str = "$default_transport", min(1);

    /// local_transport for probes.
    address_verify_local_transport: Str = "$local_transport", min(1);

    /// The table that keeps results.
    address_verify_map: Str = "btree:$data_directory/verify_cache";

    /// Keep failures, too.
    address_verify_negative_cache: Bool = "yes";

    /// How long a failure holds.
    address_verify_negative_expire_time: Time = "3d", min(1);

    /// After how long a failure is probed again.
    address_verify_negative_refresh_time: Time = "3h", min(1);

    /// How many probes may be under way.
    address_verify_pending_request_limit: Int = "5000", min(1);

    /// How often to ask for the result before a client is put off.
    address_verify_poll_count: Int = "${stress?{1}:{3}}", min(1);

    /// How long to wait between asking.
    address_verify_poll_delay: Time = "3s", min(1);

    /// How long a success holds.
    address_verify_positive_expire_time: Time = "31d", min(1);

    /// After how long a success is probed again.
    address_verify_positive_refresh_time: Time = "7d", min(1);

    /// relay_transport for probes.
    address_verify_relay_transport: Str = "$relay_transport", min(1);

    /// relayhost for probes.
    address_verify_relayhost: Str = "$relayhost";

    /// The sender of probes.
    address_verify_sender: Str = "$double_bounce_sender";

    /// sender_dependent_default_transport_maps for probes.
    address_verify_sender_dependent_default_transport_maps: Items = "$sender_dependent_default_transport_maps";

    /// sender_dependent_relayhost_maps for probes.
    address_verify_sender_dependent_relayhost_maps: Items = "$sender_dependent_relayhost_maps";

    /// How often the sender of probes changes; 0 never.
    address_verify_sender_ttl: Time = "0s";

    /// The name of the verify service.
    address_verify_service_name: Str = "verify", min(1);

    /// transport_maps for probes.
    address_verify_transport_maps: Items = "$transport_maps";

    /// virtual_transport for probes.
    address_verify_virtual_transport: Str = "$virtual_transport", min(1);

    /// The reply code while a recipient's probe is under way or has to be tried later.
    unverified_recipient_defer_code: Int = "450", min(200), max(499);

    /// The reply code to recipients whose probe failed.
    unverified_recipient_reject_code: Int = "450", min(200), max(599);

    /// The text to recipients whose probe failed; empty says what the probe said.
    unverified_recipient_reject_reason: Str = "";

    /// What reject_unverified_recipient does while there is no result.
    unverified_recipient_tempfail_action: Str = "$reject_tempfail_action", min(1);

    /// The reply code while a sender's probe is under way or has to be tried later.
    unverified_sender_defer_code: Int = "450", min(200), max(499);

    /// The reply code to senders whose probe failed.
    unverified_sender_reject_code: Int = "450", min(200), max(599);

    /// The text to senders whose probe failed; empty says what the probe said.
    unverified_sender_reject_reason: Str = "";

    /// What reject_unverified_sender does while there is no result.
    unverified_sender_tempfail_action: Str = "$reject_tempfail_action", min(1);
}
