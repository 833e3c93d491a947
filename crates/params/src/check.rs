//! What is wrong or doubtful in a configuration beyond the form of single values: what every program stops at, and what a person
//! wants to know before the start.

use crate::diagnostic::{Diagnostic, Place};
use crate::hint::{explain_value, no_own_addresses, trailing_comment};
use crate::level::Level;
use crate::names::Names;
use crate::registry::{self, Spec, transport};
use crate::support::{self, Support};
use crate::value::{Kind, Patterns, Raw, Str};
use crate::view::View;
use crate::word::{COMMA_SPACE, plain_words, words};
use crate::{Service, ServiceKind, master_cf};

/// Facilities that syslog has a name for.
const FACILITIES: [&str; 20] = [
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Programs of services that nothing here stands in for.
const NOT_SERVED: [&str; 2] = ["spawn", "postscreen"];

/// What each program checks before it does anything: values that do not go together, names that are none, addresses that are not ours.
///
/// The messages are Postfix's, in its order. Users and groups are the caller's to check.
pub fn common(view: &View) -> Vec<Diagnostic> {
    let checks: [fn(&View) -> Vec<Diagnostic>; 6] =
        [level, facility, host_names, interfaces, relay_to_self, verp];
    checks.iter().flat_map(|check| check(view)).collect()
}

/// All that can be found in both files, `common` included. What is wrong with main.cf's form, `MainCf::parse` has told.
pub fn whole(view: &View) -> Vec<Diagnostic> {
    let config = view.config();
    let mut said = config.master.diagnostics();
    let daemon_directory = text(view, "daemon_directory");
    said.extend(config.master.unknown_programs(&daemon_directory, master_cf::PROGRAMS));
    said.extend(not_served(view));
    let mut names = Names::new(&config.master);
    said.extend(names.add_user_defined(view).into_iter().filter(|d| !d.is_fatal()));
    said.extend(names.unused_in_main(view));
    said.extend(names.unused_in_master(view));
    said.extend(common(view));
    said.extend(values(view));
    said.extend(without_effect(view));
    said.extend(advice(view));
    let mut unique: Vec<Diagnostic> = Vec::new();
    said.into_iter().for_each(|d| {
        if !unique.contains(&d) {
            unique.push(d);
        }
    });
    unique
}

/// A warning for each service that is not there yet.
fn not_served(view: &View) -> Vec<Diagnostic> {
    let master = &view.config().master;
    let mut said = Vec::new();
    for service in &master.services {
        let (name, program) = (service.name_space(), service.program());
        let is_inet = service.kind == ServiceKind::Inet;
        let missing = match program {
            "smtpd" => continue,
            _ if !master_cf::PROGRAMS.contains(&program) => continue,
            _ if is_inet || NOT_SERVED.contains(&program) => program,
            _ => continue,
        };
        let effect = if is_inet { ": connections are closed at once" } else { "" };
        let place = Place { file: master.path.clone(), line: service.line, span: 0..service.name().len() };
        said.push(
            Diagnostic::warning(format!("service {name}: {missing} is not supported yet{effect}"))
                .at(place)
                .mend("take the service out of master.cf, or keep Postfix for it"),
        );
    }
    said
}

/// A warning for each parameter that is set and not acted on, and a note where that does not matter.
pub fn without_effect(view: &View) -> Vec<Diagnostic> {
    let entries = settings(view).into_iter();
    entries
        .filter_map(|setting| match support::of(setting.general_name()?) {
            Support::Full | Support::Partial(_) => None,
            Support::Ignored(reason) => Some(setting.without_effect(reason)),
        })
        .collect()
}

/// Checks each value that is set by its type.
fn values(view: &View) -> Vec<Diagnostic> {
    let mut said = Vec::new();
    for setting in settings(view) {
        if let Some(spec) = setting.spec() {
            setting.view.check(&setting.name, spec, &mut said);
        }
    }
    said
}

/// What Postfix takes in silence.
fn advice(view: &View) -> Vec<Diagnostic> {
    let mut said = Vec::new();
    for setting in settings(view) {
        said.extend(setting.comment_in_text());
        said.extend(setting.ipv6_without_brackets());
    }
    said
}

/// One `name = value` of main.cf or of a service.
struct Setting {
    view: View,
    name: String,
    value: String,
    place: Option<Place>,
}

fn settings(view: &View) -> Vec<Setting> {
    let config = view.config();
    let of = |view: &View, name: &str, value: &str, place| Setting {
        view: view.clone(),
        name: name.to_string(),
        value: value.to_string(),
        place,
    };
    let main = config.main.entries().map(|e| of(view, &e.name, &e.value, config.main.name_place(e)));
    let service = |service: &Service| -> Vec<Setting> {
        let scoped = view.for_service(service);
        let pairs = service.overrides.iter();
        pairs.map(|(name, value)| of(&scoped, name, value, scoped.place(name))).collect()
    };
    main.chain(config.master.services.iter().flat_map(service)).collect()
}

impl Setting {
    fn spec(&self) -> Option<&'static Spec> {
        registry::find(&self.name).or_else(|| transport::find(&self.name).map(|(_, spec)| spec))
    }

    /// The name under which support is listed.
    fn general_name(&self) -> Option<&str> {
        match registry::find(&self.name) {
            Some(spec) => Some(spec.name).filter(|_| !spec.is_former && !spec.is_read_only),
            None => transport::find(&self.name).map(|(transport, _)| &self.name[transport.len()..]),
        }
    }

    fn without_effect(&self, reason: &str) -> Diagnostic {
        let file = self.place.as_ref().map_or("the command line".to_string(), |p| p.file.clone());
        let text = format!("{file}: without effect: {}={}: {reason}", self.name, self.value);
        let diagnostic =
            if reason == support::NOT_YET { Diagnostic::warning(text) } else { Diagnostic::advice(text) };
        diagnostic.at(self.place.clone())
    }

    /// A comment behind a text is part of it, and nothing says so.
    fn comment_in_text(&self) -> Option<Diagnostic> {
        let spec = self.spec().filter(|s| matches!(s.kind, <Str as Kind>::NAME | <Raw as Kind>::NAME))?;
        let at = trailing_comment(&self.value)?;
        let main = &self.view.config().main;
        let entry = main.entry(&self.name).filter(|e| e.value == self.value);
        let place = entry.and_then(|e| main.place(e, Some(at..e.value.len()))).or_else(|| self.place.clone());
        let text = format!("{}: the comment is part of the value: {}", spec.name, &self.value[at..]);
        Some(
            Diagnostic::advice(text)
                .at(place)
                .effect("comments have lines of their own; this one is taken for what it stands behind")
                .mend("move the comment to a line of its own, with # as its first character"),
        )
    }

    fn ipv6_without_brackets(&self) -> Option<Diagnostic> {
        self.spec().filter(|s| s.kind == <Patterns as Kind>::NAME)?;
        let mut patterns = words(&self.value, COMMA_SPACE).map(|(_, word)| word.trim_start_matches('!'));
        let is_bare = |word: &&str| word.matches(':').count() > 1 && crate::Network::parse(word).is_ok();
        let bare = patterns.find(|word| !word.starts_with('[') && is_bare(word))?;
        let text = format!("{}: IPv6 without brackets is taken for a table: {bare}", self.name);
        let (address, prefix) = bare.split_once('/').unwrap_or((bare, "128"));
        Some(
            Diagnostic::advice(text)
                .at(self.place.clone())
                .effect("lookups that come to it fail, and mail is put off")
                .mend(format!("write [{address}]/{prefix}")),
        )
    }
}

fn text(view: &View, name: &str) -> String {
    view.lookup(name).and_then(|text| view.expand(&text).ok()).unwrap_or_default()
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, HostFacts, Interface, MainCf, MasterCf};

    fn view(main: &str, master: &str) -> View {
        let (main, _) = MainCf::parse("/etc/postfix/main.cf", main.as_bytes());
        let master = MasterCf::parse("/etc/postfix/master.cf", master.as_bytes());
        let loopback = Interface { address: "127.0.0.1".parse().unwrap(), prefix: 8 };
        let host = HostFacts {
            hostname: "a.example".into(),
            interfaces: vec![loopback],
            config_directory: "/etc/postfix".into(),
            ..HostFacts::default()
        };
        View::new(Config { main, master, host })
    }

    #[test]
    fn services_that_nothing_stands_in_for() {
        let master = "smtp inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n10025 inet n - n - - smtpd\n\
                      policy unix - n n - 0 spawn user=nobody argv=/bin/true\n";
        let said: Vec<String> = not_served(&view("", master)).iter().map(|d| d.to_string()).collect();
        assert_eq!(
            said,
            [
                "warning: service smtp/inet: postscreen is not supported yet: connections are closed at once",
                "warning: service policy/unix: spawn is not supported yet"
            ]
        );
    }

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

    #[test]
    fn what_a_person_wants_to_know() {
        let main = "home_mailbox = Maildir/ # x\nmynetworks = 127.0.0.0/8 ::1/128\nsmtpd_timeout = x\nsmtp_tls_level = may\nipc_ttl = 5\n";
        let master = "smtp inet n - n - - smtpb -o smtpd_helo_required=maybe\n";
        let said = whole(&view(main, master));
        let said: Vec<String> =
            said.iter().map(|d| d.to_string()).filter(|text| !text.contains(support::NOT_YET)).collect();
        assert_eq!(
            said,
            [
                "fatal: /etc/postfix/master.cf: line 1: unknown program: /usr/lib/postfix/sbin/smtpb",
                "warning: /etc/postfix/main.cf: unused parameter: smtp_tls_level=may",
                "fatal: parameter smtpd_timeout: bad time value or unit: x",
                "fatal: bad boolean configuration: smtpd_helo_required = maybe",
                "note: /etc/postfix/main.cf: without effect: ipc_ttl=5: there are no processes to talk to, to wait for or to start anew: one program does it all",
                "note: home_mailbox: the comment is part of the value: # x",
                "note: mynetworks: IPv6 without brackets is taken for a table: ::1/128",
            ]
        );
    }

    #[test]
    fn without_effect_is_said_once_for_each() {
        let said = without_effect(&view(
            "smtpd_milters = x\nmine = 1\nvirtual_maps = y\nfoo_recipient_limit = 1",
            "",
        ));
        let said: Vec<String> = said.iter().map(|d| d.to_string()).collect();
        assert_eq!(
            said,
            [
                "warning: /etc/postfix/main.cf: without effect: smtpd_milters=x: not acted on yet",
                "note: /etc/postfix/main.cf: without effect: foo_recipient_limit=1: a message's recipients are in memory as long as it is being delivered: none are left on the disk and read later"
            ]
        );
    }
}
