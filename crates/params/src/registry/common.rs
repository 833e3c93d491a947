//! The mail system as a whole: names, folders, users, processes, logs, instances.

params! {
    /// Other configuration folders that unprivileged users may name.
    alternate_config_directories: Words = "";

    /// The folder with the commands.
    command_directory: Str = "/usr/sbin", min(1);

    /// The version whose defaults are wanted.
    compatibility_level: Str = "0";

    /// The folder with main.cf and master.cf.
    config_directory: Str = "", computed();

    /// Folders with Cyrus SASL's configuration.
    cyrus_sasl_config_path: Str = "";

    /// The folder with the daemons.
    daemon_directory: Str = "/usr/lib/postfix/sbin", min(1);

    /// How long a daemon may take for one request before it is restarted.
    daemon_timeout: Time = "18000s", min(1);

    /// The folder with files that only the mail system writes: caches, random state.
    data_directory: Str = "/var/lib/postfix", min(1);

    /// How much more is logged for debug_peer_list.
    debug_peer_level: Int = "2", min(1);

    /// Clients and servers whose sessions are logged in detail.
    debug_peer_list: Patterns = "";

    /// A command that is run on a daemon started with -D.
    debugger_command: Str = "";

    /// How many processes a service may have.
    default_process_limit: Int = "100", min(1);

    /// For tests: keep mail in the saved queue in place of removing it.
    dont_remove: Int = "0";

    /// Convert domain names as IDNA2003 did.
    enable_idna2003_compatibility: Bool = "no";

    /// Environment variables that commands get.
    export_environment: Items = "TZ MAIL_CONFIG LANG";

    /// For tests: which fault to make.
    fault_injection_code: Int = "0";

    /// How often to try to start a process.
    fork_attempts: Int = "5", min(1);

    /// How long to wait between these attempts.
    fork_delay: Time = "1s", min(1);

    /// Warn of likely mistakes.
    helpful_warnings: Bool = "yes";

    /// The folder with documentation as HTML.
    html_directory: Str = "/usr/share/doc/postfix/html", min(1);

    /// Environment variables that daemons keep.
    import_environment: Items = "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME";

    /// The addresses at which mail is received: all, loopback-only or a list.
    inet_interfaces: Words = "all";

    /// The protocols that are used: all, ipv4, ipv6.
    inet_protocols: Words = "all";

    /// How addresses are logged: external (quoted) or internal.
    info_log_address_format: Str = "external", min(1);

    /// How long an idle connection between daemons is kept.
    ipc_idle: Time = "5s", min(1);

    /// How long daemons wait for one another.
    ipc_timeout: Time = "3600s", min(1);

    /// How long a connection between daemons is used.
    ipc_ttl: Time = "1000s", min(1);

    /// Names of ports that are known without /etc/services.
    known_tcp_ports: Str = "lmtp=24, smtp=25, smtps=submissions=465, submission=587";

    /// The name of the mail system in banners and headers.
    mail_name: Str = "Oxipost", min(1);

    /// The user that the mail system runs as and that owns the queue.
    mail_owner: Str = "postfix", min(1);

    /// The date of the release whose behaviour is offered.
    mail_release_date: Str = "20240304", min(1);

    /// The version of Postfix whose behaviour is offered.
    mail_version: Str = "3.7.11", min(1);

    /// A file, or /dev/stdout, that is logged to in place of syslog.
    maillog_file: Str = "";

    /// The program that compresses an old log.
    maillog_file_compressor: Str = "gzip", min(1);

    /// The access mode of maillog_file.
    maillog_file_permissions: Str = "0600", min(1), since("3.9");

    /// Where maillog_file may be.
    maillog_file_prefixes: Words = "/var, /dev/stdout", min(1);

    /// What is put behind the name of an old log, as for strftime.
    maillog_file_rotate_suffix: Str = "%Y%m%d-%H%M%S", min(1);

    /// Where mailq is.
    mailq_path: Str = "/usr/bin/mailq", min(1);

    /// The folder with manual pages.
    manpage_directory: Str = "/usr/share/man", min(1);

    /// Services of master.cf that are switched off: name/type.
    master_service_disable: Patterns = "";

    /// How long a process waits for the next request before it ends.
    max_idle: Time = "100s", min(1);

    /// How many requests a process serves before it ends.
    max_use: Int = "100", min(1);

    /// The folder with files about the installation.
    meta_directory: Str = "/etc/postfix", min(1);

    /// Configuration folders of other instances.
    multi_instance_directories: Words = "";

    /// Let this instance be started by the instance manager.
    multi_instance_enable: Bool = "no";

    /// The group that this instance belongs to.
    multi_instance_group: Str = "";

    /// The name of this instance.
    multi_instance_name: Str = "";

    /// A command that is run for all instances by postfix.
    multi_instance_wrapper: Str = "";

    /// Where newaliases is.
    newaliases_path: Str = "/usr/bin/newaliases", min(1);

    /// The name of the postlog service.
    postlog_service_name: Str = "postlog", min(1);

    /// How long postlogd may take for one step before it is restarted.
    postlogd_watchdog_timeout: Time = "10s", min(10);

    /// Commands that postmulti gives to running instances.
    postmulti_control_commands: Words = "reload flush";

    /// Commands that postmulti gives in order.
    postmulti_start_commands: Words = "start";

    /// Commands that postmulti gives in reverse order.
    postmulti_stop_commands: Words = "stop abort drain quick-stop";

    /// The process's id; cannot be set.
    process_id: Int = "", computed(), read_only();

    /// The folder with process id files, in the queue directory.
    process_id_directory: Str = "pid", min(1);

    /// The program's name; cannot be set.
    process_name: Str = "", computed(), read_only();

    /// Addresses at which we are reached through others.
    proxy_interfaces: Words = "";

    /// The folder with the queue.
    queue_directory: Str = "/var/spool/postfix", min(1);

    /// How many octets must be free in the queue's file system to accept mail; 0 asks for 1.5 times message_size_limit.
    queue_minfree: Long = "0";

    /// The folder with README files.
    readme_directory: Str = "/usr/share/doc/postfix", min(1);

    /// Log allowlist and denylist for the former words.
    respectful_logging: Bool = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}";

    /// Formerly: the folder with sample files.
    sample_directory: Str = "/etc/postfix", min(1);

    /// Send an authorization id with logins as Cyrus SASL does.
    send_cyrus_sasl_authzid: Bool = "no";

    /// Where sendmail is.
    sendmail_path: Str = "/usr/sbin/sendmail", min(1);

    /// The service's name in master.cf; cannot be set.
    service_name: Str = "", computed(), read_only();

    /// How long to wait before a daemon that failed at once is started again.
    service_throttle_time: Time = "60s", min(1);

    /// The group of postdrop and postqueue.
    setgid_group: Str = "postdrop", min(1);

    /// The folder with loadable table types.
    shlib_directory: Str = "/usr/lib/postfix", min(1);

    /// Mail that is looked through for addresses that need SMTPUTF8.
    smtputf8_autodetect_classes: Words = "sendmail, verify", min(1);

    /// Support addresses beyond ASCII (SMTPUTF8).
    smtputf8_enable: Bool = "${{$compatibility_level} <level {1} ? {no} : {yes}}";

    /// Accept UTF-8 in addresses only where SMTPUTF8 was asked for.
    strict_smtputf8: Bool = "no";

    /// The syslog facility that is logged to.
    syslog_facility: Str = "mail", min(1);

    /// What is put before the program's name in the log.
    syslog_name: Str = "${multi_instance_name?{$multi_instance_name}:{postfix}}", min(1);

    /// The TCP window; 0 leaves it to the system.
    tcp_windowsize: Int = "0";

    /// How long to try to wake a service.
    trigger_timeout: Time = "10s", min(1);
}
