//! What the agents read that deliver on this machine.

use super::group;

group! {
    /// local(8).
    Local {
        alias_maps,
        allow_mail_to_commands,
        allow_mail_to_files,
        biff,
        command_execution_directory,
        command_expansion_filter,
        command_time_limit,
        default_privs,
        deliver_lock_attempts,
        deliver_lock_delay,
        duplicate_filter_limit,
        execution_directory_expansion_filter,
        expand_owner_alias,
        export_environment,
        fallback_transport,
        fallback_transport_maps,
        forward_expansion_filter,
        forward_path,
        frozen_delivered_to,
        home_mailbox,
        local_command_shell,
        local_delivery_status_filter,
        luser_relay,
        mail_spool_directory,
        mailbox_command,
        mailbox_command_maps,
        mailbox_delivery_lock,
        mailbox_size_limit,
        mailbox_transport,
        mailbox_transport_maps,
        owner_request_special,
        prepend_delivered_header,
        propagate_unmatched_extensions,
        recipient_delimiter,
        require_home_directory,
        reset_owner_alias,
        stale_lock_time,
        strict_mailbox_ownership,
    }
}

group! {
    /// virtual(8).
    Virtual {
        deliver_lock_attempts,
        deliver_lock_delay,
        stale_lock_time,
        strict_mailbox_ownership,
        virtual_delivery_status_filter,
        virtual_gid_maps,
        virtual_mailbox_base,
        virtual_mailbox_limit,
        virtual_mailbox_lock,
        virtual_mailbox_maps,
        virtual_minimum_uid,
        virtual_uid_maps,
    }
}

group! {
    /// pipe(8).
    Pipe {
        export_environment,
        pipe_delivery_status_filter,
        recipient_delimiter,
    }
}
