//! What is wrong or doubtful in a configuration beyond the form of single values: what every program stops at, and what a person
//! wants to know before the start. A check is a function in the file of its subject. What is wrong with files and tables that a
//! configuration names is not looked at here.

mod classes;
mod common;
mod login;
mod options;
mod relay;
mod served;

pub use common::{common, level};

use crate::diagnostic::{Diagnostic, Place};
use crate::hint::trailing_comment;
use crate::names::Names;
use crate::registry::{self, Spec, transport};
use crate::support::{self, Support};
use crate::value::{Kind, Patterns, Raw, Str};
use crate::view::View;
use crate::word::{COMMA_SPACE, words};
use crate::{Service, master_cf};

/// All that can be found in both files, `common` included. What is wrong with main.cf's form, `MainCf::parse` has told.
pub fn whole(view: &View) -> Vec<Diagnostic> {
    let mut said = names(view);
    said.extend(findings(view));
    unique(said)
}

/// The part of `whole` that postconf(1) does not tell.
pub fn findings(view: &View) -> Vec<Diagnostic> {
    let master = &view.config().master;
    let mut said = master.diagnostics();
    said.retain(Diagnostic::is_fatal);
    said.extend(master.unknown_programs(&text(view, "daemon_directory"), master_cf::PROGRAMS));
    said.extend(served::not_served(view));
    said.extend(common(view));
    said.extend(values(view));
    said.extend(login::warnings(view));
    said.extend(without_effect(view));
    said.extend(advice(view));
    unique(said)
}

/// Lines of master.cf that are skipped, and names that are set or used and mean nothing.
fn names(view: &View) -> Vec<Diagnostic> {
    let mut names = Names::new(&view.config().master);
    let mut said = view.config().master.diagnostics();
    said.extend(names.add_user_defined(view));
    said.retain(|d| !d.is_fatal());
    said.extend(names.unused_in_main(view));
    said.extend(names.unused_in_master(view));
    said
}

fn unique(said: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut unique: Vec<Diagnostic> = Vec::new();
    said.into_iter().for_each(|d| {
        if !unique.contains(&d) {
            unique.push(d);
        }
    });
    unique
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
    said.extend(relay::advice(view));
    said.extend(classes::advice(view));
    said.extend(login::advice(view));
    said.extend(options::advice(view));
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Config, HostFacts, Interface, MainCf, MasterCf};

    pub(super) fn view(main: &str, master: &str) -> View {
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
    fn what_a_person_wants_to_know() {
        let main = "home_mailbox = Maildir/ # x\nmynetworks = 127.0.0.0/8 ::1/128\nsmtpd_timeout = x\nsmtp_tls_level = may\nipc_ttl = 5\n";
        let master = "smtp inet n - n - - smtpb -o smtpd_helo_required=maybe\n";
        let said = whole(&view(main, master));
        let said: Vec<String> =
            said.iter().map(|d| d.to_string()).filter(|text| !text.contains(support::NOT_YET)).collect();
        assert_eq!(
            said,
            [
                "warning: /etc/postfix/main.cf: unused parameter: smtp_tls_level=may",
                "fatal: /etc/postfix/master.cf: line 1: unknown program: /usr/lib/postfix/sbin/smtpb",
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
