//! What is wrong with the access restrictions of main.cf and of smtpd services, told before a client comes upon it.

use params::diagnostic::Place;
use params::{Diagnostic, Severity, View, p, service};
use policy::{Compatibility, Restrictions, Settings, Sources};

/// All that can be found, each mistake once.
pub(super) fn findings(view: &View) -> Vec<Diagnostic> {
    let services = view.config().master.services.iter().filter(|service| service.program() == "smtpd");
    let mut said: Vec<Diagnostic> = Vec::new();
    for scoped in services.map(|service| view.for_service(service)) {
        for diagnostic in of_service(&scoped) {
            if !said.iter().any(|known| known.message == diagnostic.message) {
                said.push(diagnostic);
            }
        }
    }
    said
}

fn of_service(view: &View) -> Vec<Diagnostic> {
    // What is wrong with single values is told elsewhere.
    let s: service::Smtpd = view.load(&mut Vec::new());
    let classes: Vec<(&str, Option<String>)> = s
        .smtpd_restriction_classes
        .iter()
        .map(|name| (name.as_str(), view.lookup(name).and_then(|raw| view.expand(&raw).ok())))
        .collect();
    let sources = Sources {
        smtpd_client_restrictions: &s.smtpd_client_restrictions.join(", "),
        smtpd_helo_restrictions: &s.smtpd_helo_restrictions.join(", "),
        smtpd_sender_restrictions: &s.smtpd_sender_restrictions.join(", "),
        smtpd_relay_restrictions: &s.smtpd_relay_restrictions.join(", "),
        smtpd_recipient_restrictions: &s.smtpd_recipient_restrictions.join(", "),
        smtpd_data_restrictions: &s.smtpd_data_restrictions.join(", "),
        smtpd_end_of_data_restrictions: &s.smtpd_end_of_data_restrictions.join(", "),
        smtpd_etrn_restrictions: &s.smtpd_etrn_restrictions.join(", "),
        local_header_rewrite_clients: &s.local_header_rewrite_clients.join(", "),
        smtpd_restriction_classes: classes.iter().map(|(name, value)| (*name, value.as_deref())).collect(),
    };
    let settings = Settings {
        // Postfix: an old compatibility_level puts another list in the place of one that is not set.
        compatibility: Compatibility {
            relay_restrictions: view.level() < params::Level::new(1, 0)
                && !view.is_set("smtpd_relay_restrictions"),
            ..Compatibility::default()
        },
        smtpd_delay_reject: view.get(p::smtpd_delay_reject, &mut Vec::new()),
        ..Settings::default()
    };
    let (_, found) = Restrictions::parse(&sources, settings);
    found.iter().map(|diagnostic| shown(view, diagnostic)).collect()
}

/// In Postfix's words, with the word underlined.
fn shown(view: &View, found: &policy::Diagnostic) -> Diagnostic {
    let (severity, effect) = match found.severity {
        policy::Severity::Fatal => (Severity::Fatal, "smtpd does not start: it would relay mail for anybody"),
        policy::Severity::Error => (
            Severity::Warning,
            "clients for whom the list comes this far are told: 451 4.3.5 Server configuration error",
        ),
        policy::Severity::Warning => (Severity::Warning, "the rest of the list is as if it were not there"),
    };
    let (text, near) = match found.text.split_once(" (did you mean ") {
        Some((text, near)) => (text, Some(near.trim_end_matches([')', '?']))),
        None => (&*found.text, None),
    };
    let mend = match near {
        Some(near) => format!("did you mean {near}?"),
        None if severity == Severity::Fatal => {
            "smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination".to_owned()
        }
        None => String::new(),
    };
    Diagnostic::new(severity, text).at(place(view, found)).effect(effect).mend(mend)
}

fn place(view: &View, found: &policy::Diagnostic) -> Option<Place> {
    let whole = view.place(&found.parameter);
    let word = text_of(found);
    let main = &view.config().main;
    let entry = main.entry(&found.parameter).filter(|e| view.lookup_set(&found.parameter) == Some(&e.value));
    let in_entry = entry.and_then(|entry| {
        let at = entry.value.find(word).filter(|_| !word.is_empty())?;
        main.place(entry, Some(at..at + word.len()))
    });
    in_entry.or(whole)
}

/// The word that the text quotes: `unknown smtpd restriction: "rejekt"`.
fn text_of(found: &policy::Diagnostic) -> &str {
    found.text.split(['"', '\'', '`']).nth(1).unwrap_or_default()
}
