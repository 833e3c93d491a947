//! The queue: scheduling, retries, and the reports that come of it.

params! {
    /// Who is told of bounces that cannot be returned.
    _2bounce_notice_recipient: Str = "postmaster", min(1);

    /// How long commands wait for events of daemons to pass.
    application_event_drain_time: Time = "100s", min(1);

    /// Write bounce logs that older versions can read, too.
    backwards_bounce_logfile_compatibility: Bool = "yes";

    /// Who is told of bounced mail.
    bounce_notice_recipient: Str = "postmaster", min(1);

    /// How long a bounce is tried; 0 tries once.
    bounce_queue_lifetime: Time = "5d", max(8640000);

    /// The name of the bounce service.
    bounce_service_name: Str = "bounce", min(1);

    /// How much of a message is returned with a bounce.
    bounce_size_limit: Int = "50000", min(1);

    /// A file with texts for reports.
    bounce_template_file: Str = "";

    /// Tell senders when mail that was reported late has gone out.
    confirm_delay_cleared: Bool = "no";

    /// How much a message must have been served before it can be overtaken.
    default_delivery_slot_cost: Int = "5";

    /// How much nearer being overtaken is moved, in percent.
    default_delivery_slot_discount: Int = "50", max(100);

    /// How much nearer being overtaken is moved, in recipients.
    default_delivery_slot_loan: Int = "3";

    /// Tables that change the status code or the text of a delivery's outcome.
    default_delivery_status_filter: Items = "";

    /// How many failures in a row, each of a full set of deliveries, make a destination dead; 0 never does.
    default_destination_concurrency_failed_cohort_limit: Int = "1";

    /// How many deliveries to one destination run at a time; 0 sets no limit.
    default_destination_concurrency_limit: Int = "20";

    /// How much a failure lowers the concurrency.
    default_destination_concurrency_negative_feedback: Str = "1", min(1);

    /// How much a success raises the concurrency.
    default_destination_concurrency_positive_feedback: Str = "1", min(1);

    /// How long to wait between deliveries to one destination.
    default_destination_rate_delay: Time = "0s";

    /// How many recipients one delivery has.
    default_destination_recipient_limit: Int = "50";

    /// How many more recipients may be in memory for messages that overtake.
    default_extra_recipient_limit: Int = "1000";

    /// The next hop of a content filter that has none; empty takes the recipient's domain.
    default_filter_nexthop: Str = "";

    /// How small a message must not be to be overtaken.
    default_minimum_delivery_slots: Int = "3";

    /// How many recipients of a transport may be in memory.
    default_recipient_limit: Int = "20000";

    /// How long to wait before more recipients are read.
    default_recipient_refill_delay: Time = "5s", min(1);

    /// How many recipients are read at a time.
    default_recipient_refill_limit: Int = "100", min(1);

    /// How long to wait between deliveries of a transport.
    default_transport_rate_delay: Time = "0s";

    /// The two characters that VERP puts into the sender.
    default_verp_delimiters: Str = "+=", min(2), max(2);

    /// The name of the defer service.
    defer_service_name: Str = "defer", min(1);

    /// Transports that deliver only when the queue is flushed.
    defer_transports: Words = "";

    /// How many decimals delays have in the log.
    delay_logging_resolution_limit: Int = "2", max(6);

    /// Who is told of delayed mail.
    delay_notice_recipient: Str = "postmaster", min(1);

    /// After how long the sender is told that mail is late; 0 never.
    delay_warning_time: Time = "0h";

    /// Log how the concurrency is worked out.
    destination_concurrency_feedback_debug: Bool = "no";

    /// Send one bounce for all recipients of VERP mail.
    disable_verp_bounces: Bool = "no";

    /// The sender of reports that are never returned.
    double_bounce_sender: Str = "double-bounce", min(1);

    /// Give messages ids that are never used again.
    enable_long_queue_ids: Bool = "no";

    /// Name the original message in a report's References:.
    enable_threaded_bounces: Bool = "no";

    /// Who is told of errors of resources and software.
    error_notice_recipient: Str = "postmaster", min(1);

    /// The name of the error service.
    error_service_name: Str = "error", min(1);

    /// Domains whose mail can be flushed by ETRN and `postqueue -s`.
    fast_flush_domains: Patterns = "$relay_domains";

    /// After how long an empty list of a domain's mail is removed.
    fast_flush_purge_time: Time = "7d", min(1);

    /// After how long a list of a domain's mail is made anew.
    fast_flush_refresh_time: Time = "12h", min(1);

    /// The name of the flush service.
    flush_service_name: Str = "flush", min(1);

    /// How many levels of folders hashed queues have.
    hash_queue_depth: Int = "1", min(1);

    /// Queues that are kept in several levels of folders.
    hash_queue_names: Words = "deferred, defer", min(1);

    /// How long new mail waits when it comes in faster than it goes out.
    in_flow_delay: Time = "1s", max(10);

    /// How many deliveries a destination begins with.
    initial_destination_concurrency: Int = "5", min(1);

    /// How long to wait between attempts at most.
    maximal_backoff_time: Time = "4000s", min(1);

    /// How long mail is tried before it is returned; 0 tries once.
    maximal_queue_lifetime: Time = "5d", max(8640000);

    /// How long to wait between attempts at least; also how long a dead destination rests.
    minimal_backoff_time: Time = "300s", min(1);

    /// What postmaster is told of: bounce, 2bounce, data, delay, policy, protocol, resource, software.
    notify_classes: Words = "resource, software";

    /// How often to warn of a destination that fills the active queue.
    qmgr_clog_warn_time: Time = "300s";

    /// How long the queue manager may take for one step before it is restarted.
    qmgr_daemon_timeout: Time = "1000s", min(1);

    /// The part of the resources, in percent, that a large mailing may take; obsolete.
    qmgr_fudge_factor: Int = "100", min(10), max(100);

    /// How long the queue manager waits for other daemons.
    qmgr_ipc_timeout: Time = "60s", min(1);

    /// How many messages are active at a time.
    qmgr_message_active_limit: Int = "20000", min(1);

    /// How many recipients of active messages are in memory.
    qmgr_message_recipient_limit: Int = "20000", min(1);

    /// How many recipients of each message are in memory at least.
    qmgr_message_recipient_minimum: Int = "10", min(1);

    /// How many attributes a message may have in the queue.
    queue_file_attribute_count_limit: Int = "100", min(1);

    /// How often the deferred queue is looked through.
    queue_run_delay: Time = "300s", min(1);

    /// The name of the queue manager's service.
    queue_service_name: Str = "qmgr", min(1);

    /// The name of the showq service.
    showq_service_name: Str = "showq", min(1);

    /// Put off what would be returned, and answer 4xx for 5xx.
    soft_bounce: Bool = "no";

    /// The name of the trace service.
    trace_service_name: Str = "trace", min(1);

    /// How long to wait before a broken delivery agent is tried again.
    transport_retry_time: Time = "60s", min(1);

    /// Characters that may be VERP delimiters.
    verp_delimiter_filter: Str = "-=+", min(1);
}
