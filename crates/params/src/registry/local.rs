//! Delivery on this machine: local, virtual, pipe, and submission by programs.

params! {
    /// Tables that newaliases builds.
    alias_database: Items = "hash:/etc/aliases";

    /// Tables with aliases for local delivery.
    alias_maps: Items = "hash:/etc/aliases, nis:mail.aliases";

    /// Where |command may stand: alias, forward, include.
    allow_mail_to_commands: Words = "alias, forward";

    /// Where /file may stand: alias, forward, include.
    allow_mail_to_files: Words = "alias, forward";

    /// Users that may flush the queue.
    authorized_flush_users: Patterns = "static:anyone";

    /// Users that may see the queue.
    authorized_mailq_users: Patterns = "static:anyone";

    /// Users that may submit mail with sendmail.
    authorized_submit_users: Patterns = "static:anyone";

    /// Tell users at terminals of new mail.
    biff: Bool = "yes";

    /// The folder in which commands run.
    command_execution_directory: Raw = "";

    /// Characters that may come out of $names in mailbox_command.
    command_expansion_filter: Str = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min(1);

    /// How long a command may run.
    command_time_limit: Time = "1000s", min(1);

    /// The user that runs commands and writes files named in aliases of root.
    default_privs: Str = "nobody", min(1);

    /// How often a mailbox is tried to be locked.
    deliver_lock_attempts: Int = "20", min(1);

    /// How long to wait between these attempts.
    deliver_lock_delay: Time = "1s", min(1);

    /// Characters that may come out of $names in command_execution_directory.
    execution_directory_expansion_filter: Str = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min(1);

    /// Put the expansion of owner-list into the envelope, not its name.
    expand_owner_alias: Bool = "no";

    /// The transport for users that are not found.
    fallback_transport: Str = "";

    /// Tables with a fallback_transport by user.
    fallback_transport_maps: Items = "";

    /// Characters that may come out of $names in forward_path.
    forward_expansion_filter: Str = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min(1);

    /// Files with a user's forwarding, the first that exists.
    forward_path: Raw = "$home/.forward${recipient_delimiter}${extension}, $home/.forward";

    /// Settle the Delivered-To: address at the start of a delivery.
    frozen_delivered_to: Bool = "yes";

    /// A mailbox in the home folder; a name that ends in / is a Maildir.
    home_mailbox: Str = "";

    /// The shell for commands; empty uses one only where needed.
    local_command_shell: Str = "";

    /// Tables that change the status code or the text of local deliveries.
    local_delivery_status_filter: Items = "$default_delivery_status_filter";

    /// How many local deliveries to one address run at a time.
    local_destination_concurrency_limit: Int = "2";

    /// How many recipients one local delivery has.
    local_destination_recipient_limit: Int = "1";

    /// Tables with the senders that a user may submit mail as.
    local_login_sender_maps: Items = "static:*";

    /// Where mail for unknown users goes.
    luser_relay: Raw = "";

    /// The folder with users' mailboxes.
    mail_spool_directory: Str = "/var/mail";

    /// A command that mail is delivered to.
    mailbox_command: Raw = "";

    /// Tables with a mailbox_command by user.
    mailbox_command_maps: Items = "";

    /// How mailboxes are locked: fcntl, flock, dotlock.
    mailbox_delivery_lock: Words = "fcntl, dotlock", min(1);

    /// How large a mailbox may become, in octets; 0 sets no limit.
    mailbox_size_limit: Long = "51200000";

    /// A transport that delivers to mailboxes.
    mailbox_transport: Str = "";

    /// Tables with a mailbox_transport by user.
    mailbox_transport_maps: Items = "";

    /// The name of the pickup service.
    pickup_service_name: Str = "pickup", min(1);

    /// Tables that change the status code or the text of deliveries to commands.
    pipe_delivery_status_filter: Items = "$default_delivery_status_filter";

    /// Deliveries that get a Delivered-To: header: command, file, forward.
    prepend_delivered_header: Words = "command, file, forward";

    /// Put mail off if the user's home folder is not there.
    require_home_directory: Bool = "no";

    /// Let owner- of an outer alias count no more within an alias without one.
    reset_owner_alias: Bool = "no";

    /// Which line ends sendmail makes its own: always, strict or never.
    sendmail_fix_line_endings: Str = "always", min(1);

    /// After how long a lock file is taken for left over.
    stale_lock_time: Time = "500s", min(1);

    /// Put mail off if a mailbox is not its user's.
    strict_mailbox_ownership: Bool = "yes";

    /// Formerly: lock as Sun's mailtool did.
    sun_mailtool_compatibility: Bool = "no";

    /// Tables that change the status code or the text of virtual deliveries.
    virtual_delivery_status_filter: Items = "$default_delivery_status_filter";

    /// Tables with the group id by recipient.
    virtual_gid_maps: Items = "";

    /// The folder that all virtual mailboxes are in.
    virtual_mailbox_base: Str = "", min(1);

    /// How large a virtual mailbox may become, in octets; 0 sets no limit.
    virtual_mailbox_limit: Long = "51200000";

    /// How virtual mailboxes are locked.
    virtual_mailbox_lock: Words = "fcntl, dotlock", min(1);

    /// Tables with the mailbox by recipient.
    virtual_mailbox_maps: Items = "";

    /// The smallest user id that virtual delivery may take.
    virtual_minimum_uid: Int = "100", min(1);

    /// Tables with the user id by recipient.
    virtual_uid_maps: Items = "";
}
