//! Where mail is sent on: the forms of relayhost and of transports.

use super::text;
use crate::diagnostic::Diagnostic;
use crate::suggest::nearest;
use crate::view::View;
use crate::word::plain_words;
use crate::{Service, ServiceKind};

/// Parameters whose value is `transport:nexthop`.
const TRANSPORTS: [&str; 5] =
    ["default_transport", "relay_transport", "local_transport", "virtual_transport", "mailbox_transport"];

/// What Postfix finds out when it has mail to send.
pub(super) fn advice(view: &View) -> Vec<Diagnostic> {
    let mut said: Vec<Diagnostic> = relayhost(view).into_iter().collect();
    said.extend(TRANSPORTS.iter().filter_map(|name| unknown_transport(view, name)));
    said
}

fn relayhost(view: &View) -> Option<Diagnostic> {
    let value = text(view, "relayhost");
    let (what, effect, mend) = trouble(view, &value)?;
    let diagnostic = Diagnostic::advice(format!("relayhost: {what}: {value}"));
    Some(diagnostic.at(view.place("relayhost")).effect(effect).mend(mend))
}

/// What is wrong with a relayhost, what comes of it, and what to write.
fn trouble(view: &View, value: &str) -> Option<(&'static str, &'static str, String)> {
    let words: Vec<&str> = plain_words(value).collect();
    let [destination] = words[..] else {
        return words.first().map(|first| {
            let effect = "all of it is taken for one host name, and mail is put off";
            ("there is more than one word", effect, format!("write one destination: {first}"))
        });
    };
    let put_off = "mail is put off";
    if destination.starts_with('[') && !destination.contains(']') {
        let closed = format!("write {}", close(destination));
        return Some(("a bracket is not closed", "smtp(8) stops, and mail is put off", closed));
    }
    match destination.split_once(':') {
        Some((name, rest)) if is_service(view, name) => Some((
            "a transport has no place here",
            put_off,
            format!("write {rest}; {name} is for transport_maps"),
        )),
        Some((host, port)) if !host.starts_with('[') && !host.is_empty() && !port.contains(':') => {
            let effect = "the MX records of this name are asked for, and mail goes to the servers they name";
            Some((
                "a port, and no brackets",
                effect,
                format!("write [{host}]:{port} to reach that very host"),
            ))
        }
        _ => None,
    }
}

/// `[host:587` becomes `[host]:587`.
fn close(destination: &str) -> String {
    match destination.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_alphanumeric()) => format!("{host}]:{port}"),
        _ => format!("{destination}]"),
    }
}

fn is_service(view: &View, name: &str) -> bool {
    transports(view).any(|service| service.name() == name)
}

/// The services that mail can be given to.
fn transports(view: &View) -> impl Iterator<Item = &Service> {
    view.config().master.services.iter().filter(|service| service.kind == ServiceKind::Unix)
}

fn unknown_transport(view: &View, parameter: &str) -> Option<Diagnostic> {
    let value = text(view, parameter);
    let transport = value.split(':').next().unwrap_or_default().trim();
    // A master.cf without entries tells nothing.
    if transport.is_empty() || is_service(view, transport) || transports(view).next().is_none() {
        return None;
    }
    let mend = match nearest(transport, transports(view).map(Service::name)) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("add a service {transport} to master.cf, or name one that is there"),
    };
    Some(
        Diagnostic::advice(format!("{parameter}: master.cf has no service {transport}"))
            .at(view.place(parameter))
            .effect("mail for it is put off: mail transport unavailable")
            .mend(mend),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::view;
    use super::*;

    #[test]
    fn relayhosts() {
        let master = "smtp unix - - n - - smtp\n";
        for (value, expect) in [
            ("[relay.example]:587", ""),
            ("relay.example", ""),
            ("", ""),
            (
                "relay.example:587",
                "a port, and no brackets: relay.example:587 -> write [relay.example]:587 to reach that very host",
            ),
            ("[relay.example", "a bracket is not closed: [relay.example -> write [relay.example]"),
            (
                "[relay.example:587",
                "a bracket is not closed: [relay.example:587 -> write [relay.example]:587",
            ),
            (
                "smtp:[relay.example]",
                "a transport has no place here: smtp:[relay.example] -> write [relay.example]; smtp is for transport_maps",
            ),
            (
                "[a.example] # x",
                "there is more than one word: [a.example] # x -> write one destination: [a.example]",
            ),
        ] {
            let said = relayhost(&view(&format!("relayhost = {value}\n"), master));
            let said = said.map(|d| format!("{} -> {}", d.message, d.mend)).unwrap_or_default();
            let expect = if expect.is_empty() { String::new() } else { format!("relayhost: {expect}") };
            assert_eq!(said, expect, "{value}");
        }
    }

    #[test]
    fn services_that_are_not_there() {
        let master = "smtp unix - - n - - smtp\nlmtp unix - - n - - lmtp\n";
        for (main, expect) in [
            (
                "default_transport = smtpp",
                Some("default_transport: master.cf has no service smtpp -> did you mean smtp?"),
            ),
            ("default_transport = smtp:[x]", None),
            (
                "mailbox_transport = lmtpd:unix:x",
                Some("mailbox_transport: master.cf has no service lmtpd -> did you mean lmtp?"),
            ),
        ] {
            let said: Vec<_> =
                TRANSPORTS.iter().filter_map(|name| unknown_transport(&view(main, master), name)).collect();
            let said =
                said.iter().find(|d| main.starts_with(d.message.split(':').next().unwrap_or_default()));
            let said = said.map(|d| format!("{} -> {}", d.message, d.mend));
            assert_eq!(said.as_deref(), expect, "{main}");
        }
        assert_eq!(unknown_transport(&view("default_transport = x", ""), "default_transport"), None);
    }
}
