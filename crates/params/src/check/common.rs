//! What every program checks before it does anything, and stops at.

use super::text;
use crate::diagnostic::Diagnostic;
use crate::hint::{explain_value, no_own_addresses};
use crate::level::Level;
use crate::view::View;
use crate::word::plain_words;

/// Facilities that syslog has a name for.
const FACILITIES: [&str; 20] = [
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// What each program checks before it does anything: values that do not go together, names that are none, addresses that are not ours.
///
/// The messages are Postfix's, in its order. Users and groups are the caller's to check.
pub fn common(view: &View) -> Vec<Diagnostic> {
    let checks: [fn(&View) -> Vec<Diagnostic>; 7] =
        [level, facility, host_names, interfaces, relay_to_self, verp, log_file];
    checks.iter().flat_map(|check| check(view)).collect()
}

/// `compatibility_level`, which defaults are made of: it comes before everything else.
pub fn level(view: &View) -> Vec<Diagnostic> {
    let parsed = Level::parse(&text(view, "compatibility_level"));
    parsed.err().map(|why| Diagnostic::fatal(why).at(view.place("compatibility_level"))).into_iter().collect()
}

fn bad_value(view: &View, name: &str, what: &str, value: &str) -> Diagnostic {
    let directory = &view.config().host.config_directory;
    Diagnostic::fatal(format!("file {directory}/main.cf: parameter {name}: {what}: {value}"))
        .at(view.place(name))
}

fn facility(view: &View) -> Vec<Diagnostic> {
    let value = text(view, "syslog_facility");
    if FACILITIES.contains(&value.as_str()) {
        return Vec::new();
    }
    vec![
        bad_value(view, "syslog_facility", "unrecognized value", &value)
            .mend("write mail, or local0 to local7"),
    ]
}

fn host_names(view: &View) -> Vec<Diagnostic> {
    let mut said = Vec::new();
    for name in ["myhostname", "mydomain"] {
        let value = text(view, name);
        // An empty one is told where its length is checked.
        if let Some(flaw) = mail::hostname::check(value.as_bytes(), false).err().filter(|_| !value.is_empty())
        {
            said.push(Diagnostic::warning(format!("valid_hostname: {flaw}: {value}")));
            said.push(bad_value(view, name, "bad parameter value", &value));
        }
    }
    said
}

fn interfaces(view: &View) -> Vec<Diagnostic> {
    let troubles = view.own_interfaces().err().into_iter().chain(view.proxy_addresses().err());
    troubles.map(|why| no_own_addresses(view, why)).collect()
}

fn relay_to_self(view: &View) -> Vec<Diagnostic> {
    let (myhostname, relayhost, myorigin) =
        (text(view, "myhostname"), text(view, "relayhost"), text(view, "myorigin"));
    let mut said = Vec::new();
    if myhostname.to_lowercase() == relayhost.to_lowercase() {
        said.push(
            Diagnostic::fatal(format!(
                "myhostname and relayhost parameter settings must not be identical: {myhostname}"
            ))
            .at(view.place("relayhost"))
            .mend("relayhost names the server that takes our mail, not this one"),
        );
    }
    if !myorigin.starts_with('/') && plain_words(&myorigin).next().is_some_and(|word| word != myorigin) {
        let text = format!("myorigin parameter setting must not contain multiple values: {myorigin}");
        said.push(explain_value(view, "myorigin", Diagnostic::fatal(text).at(view.place("myorigin"))));
    }
    said
}

fn verp(view: &View) -> Vec<Diagnostic> {
    let delimiters = text(view, "default_verp_delimiters");
    let filter = text(view, "verp_delimiter_filter");
    let [first, second] = delimiters.as_bytes()[..] else {
        return Vec::new();
    };
    let is_good = |c: u8| filter.as_bytes().contains(&c);
    let why = match (is_good(first), is_good(second)) {
        (false, _) => "bad first VERP delimiter character",
        (_, false) => "bad second VERP delimiter character",
        _ => return Vec::new(),
    };
    let directory = &view.config().host.config_directory;
    let text = format!(
        "file {directory}/main.cf: parameters default_verp_delimiters and verp_delimiter_filter: {why}"
    );
    vec![Diagnostic::fatal(text).at(view.place("default_verp_delimiters"))]
}

fn log_file(view: &View) -> Vec<Diagnostic> {
    let (file, prefixes) = (text(view, "maillog_file"), text(view, "maillog_file_prefixes"));
    let is_allowed = file.is_empty() || plain_words(&prefixes).any(|prefix| file.starts_with(prefix));
    let said = (!is_allowed).then(|| {
        let text = format!("maillog_file value '{file}' does not match any prefix in maillog_file_prefixes");
        let mend = format!("write a file below one of {prefixes}, or add to maillog_file_prefixes");
        Diagnostic::fatal(text).at(view.place("maillog_file")).effect("no program starts").mend(mend)
    });
    said.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::view;
    use super::*;

    #[test]
    fn what_every_program_stops_at() {
        for (main, expect) in [
            ("", &[][..]),
            ("compatibility_level = x", &["fatal: malformed compatibility level syntax: \"x\""]),
            (
                "syslog_facility = post",
                &["fatal: file /etc/postfix/main.cf: parameter syslog_facility: unrecognized value: post"],
            ),
            (
                "myhostname = a..b",
                &[
                    "warning: valid_hostname: misplaced delimiter: a..b",
                    "fatal: file /etc/postfix/main.cf: parameter myhostname: bad parameter value: a..b",
                    "warning: valid_hostname: misplaced delimiter: .b",
                    "fatal: file /etc/postfix/main.cf: parameter mydomain: bad parameter value: .b",
                ],
            ),
            ("inet_interfaces = all # x", &["fatal: config variable inet_interfaces: host not found: all"]),
            (
                "inet_interfaces = 192.0.2.1",
                &["fatal: parameter inet_interfaces: no local interface found for 192.0.2.1"],
            ),
            ("maillog_file = /var/log/mail", &[]),
            (
                "maillog_file = /tmp/mail",
                &["fatal: maillog_file value '/tmp/mail' does not match any prefix in maillog_file_prefixes"],
            ),
            (
                "relayhost = A.example",
                &["fatal: myhostname and relayhost parameter settings must not be identical: a.example"],
            ),
            (
                "myorigin = a, b",
                &["fatal: myorigin parameter setting must not contain multiple values: a, b"],
            ),
            (
                "default_verp_delimiters = +x",
                &[
                    "fatal: file /etc/postfix/main.cf: parameters default_verp_delimiters and verp_delimiter_filter: bad second VERP delimiter character",
                ],
            ),
        ] {
            let said: Vec<String> = common(&view(main, "")).iter().map(|d| d.to_string()).collect();
            let expect: Vec<String> = expect.iter().map(|e| e.to_string()).collect();
            assert_eq!(said[..], expect[..], "{main}");
        }
    }
}
