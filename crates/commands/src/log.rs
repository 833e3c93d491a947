//! Where commands log: as the server does, as far as a command may.

use logger::{Logger, Target};
use params::{View, p};
use std::path::Path;

/// Before the configuration is read: syslog, under Postfix's names.
pub(crate) fn before_configuration(name: &str) -> Logger {
    // postfix(1) is the one command that has no part of its own in the tag.
    let tag = if name == "postfix" { "postfix".to_owned() } else { format!("postfix/{}", service(name)) };
    Logger::direct(syslog("mail"), &tag)
}

/// As the configuration says: syslog, or with `maillog_file` the server's log socket, or the file itself where this user may.
pub(crate) fn open(view: &View, name: &str) -> Logger {
    let syslog_name = view.get(p::syslog_name, &mut Vec::new());
    open_as(view, &format!("{syslog_name}/{}", service(name)))
}

/// The same, with a tag of somebody's own.
pub(crate) fn open_as(view: &View, tag: &str) -> Logger {
    // What is wrong with these is said by who checks the configuration.
    let mut ignored = Vec::new();
    let file = view.get(p::maillog_file, &mut ignored);
    let target = if file.is_empty() {
        syslog(&view.get(p::syslog_facility, &mut ignored))
    } else {
        let socket = Path::new(&view.get(p::queue_directory, &mut ignored)).join("public/postlog");
        let prefixes = view.get(p::maillog_file_prefixes, &mut ignored);
        let by_file = |_| Target::maillog_file(&file, &prefixes);
        Target::postlog(&socket).or_else(by_file).unwrap_or(Target::Nowhere)
    };
    Logger::direct(target, tag)
}

/// Postfix: sendmail(1) logs under one name, whatever it was called by.
fn service(name: &str) -> &str {
    if matches!(name, "mailq" | "newaliases") { "sendmail" } else { name }
}

fn syslog(facility: &str) -> Target {
    Target::syslog(facility).unwrap_or(Target::Nowhere)
}
