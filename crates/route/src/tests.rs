//! What Postfix 3.7's trivial-rewrite answered (recorded_routes.txt), and how its cleanup printed header addresses
//! (recorded_headers.txt).

use super::*;
use crate::lists::{Item, Pattern};
use mail::Address;
use mail::header::{Field, Role};
use mail::keys::{Extensions, Parents};
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Poll, Waker};
use tables::{OpenContext, Table};

fn table(spec: &str) -> Arc<dyn Table> {
    let open_file = |path: &std::path::Path| std::fs::File::open(path);
    tables::open(spec, &OpenContext::new(Arc::new(open_file), Arc::new(|_, _: &str| {}))).expect(spec)
}

fn maps(parameter: &'static str, spec: &str) -> Maps {
    Maps::new(parameter, vec![table(spec)])
}

fn items(text: &str) -> Vec<Item> {
    let text = text.replace("$myhostname", "mail.example.com");
    let item = |word: &str| {
        let pattern = word.trim_start_matches('!');
        let pattern = match pattern.contains(':') {
            true => Pattern::Table(table(pattern)),
            false => Pattern::Name(pattern.to_string()),
        };
        Item { matches: !word.starts_with('!'), pattern }
    };
    tables::split_list(&text).map(item).collect()
}

/// The settings of the host on which the rows were recorded, changed by `name = value`.
fn set(settings: &mut Settings, name: &str, value: &str) {
    let (yes, text) = (value == "yes", value.to_string());
    let routes = &mut settings.routes;
    match name {
        "append_dot_mydomain" => settings.append_dot_mydomain = yes,
        "append_at_myorigin" => settings.append_at_myorigin = yes,
        "swap_bangpath" => settings.swap_bangpath = yes,
        "allow_percent_hack" => settings.allow_percent_hack = yes,
        "myorigin" => settings.myorigin = text,
        "remote_header_rewrite_domain" => settings.remote_header_rewrite_domain = text,
        "resolve_null_domain" => settings.resolve_null_domain = yes,
        "resolve_numeric_domain" => settings.resolve_numeric_domain = yes,
        "resolve_dequoted_address" => settings.resolve_dequoted_address = yes,
        "allow_min_user" => settings.allow_min_user = yes,
        "smtputf8_enable" => settings.smtputf8_enable = yes,
        "show_user_unknown_table_name" => settings.show_user_unknown_table_name = yes,
        "virtual_alias_domains" => settings.virtual_alias_domains = NameList::exact(items(value)),
        "virtual_mailbox_domains" => settings.virtual_mailbox_domains = NameList::exact(items(value)),
        "mydestination" => settings.mydestination = NameList::exact(items(value)),
        "relay_domains" => settings.relay_domains = NameList::domains(items(value), Parents::Plain),
        "parent_domain_matches_subdomains" => {
            let is_plain = value.contains("transport_maps");
            settings.transport_parents = if is_plain { Parents::Plain } else { Parents::Dotted };
        }
        "relayhost" => routes.relayhost = text,
        "default_transport" => routes.default_transport = text,
        "relay_transport" => routes.relay_transport = text,
        "virtual_transport" => routes.virtual_transport = text,
        "local_transport" => routes.local_transport = text,
        "transport_maps" => routes.transport_maps = maps("transport_maps", value),
        "sender_dependent_relayhost_maps" => {
            routes.sender_dependent_relayhost_maps = maps("sender_dependent_relayhost_maps", value);
        }
        "sender_dependent_default_transport_maps" => {
            routes.sender_dependent_default_transport_maps =
                maps("sender_dependent_default_transport_maps", value);
        }
        "empty_address_relayhost_maps_lookup_key" => settings.empty_address_relayhost_maps_lookup_key = text,
        "empty_address_recipient" => settings.empty_address_recipient = text,
        "relocated_maps" => settings.relocated_maps = maps("relocated_maps", value),
        "recipient_delimiter" => settings.recipient_delimiter = Extensions::new(text),
        "inet_interfaces" => settings.own_addresses = vec![value.parse().expect("an address")],
        "proxy_interfaces" => settings.own_addresses.push(value.parse().expect("an address")),
        _ => panic!("{name} is not known here"),
    }
}

fn settings() -> Settings {
    let mut settings = Settings::new("mail.example.com");
    settings.mydestination = NameList::of_names(&["mail.example.com", "localhost.example.com", "localhost"]);
    settings.own_addresses = ["127.0.0.1", "::1", "192.0.2.1"].iter().map(|a| a.parse().expect(a)).collect();
    settings
}

/// A router whose warnings are kept.
fn router(settings: Settings) -> (Router, Arc<Mutex<Vec<String>>>) {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let log = warnings.clone();
    let warn = move |text: &str| log.lock().expect("nobody panicked").push(text.to_string());
    (Router::new(Arc::new(settings), Arc::new(warn)), warnings)
}

/// Runs what has nothing to wait for.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `\xff` stands for that octet.
fn address(text: &str) -> Address {
    match text.split_once("\\xff") {
        Some((before, behind)) => Address::new([before.as_bytes(), b"\xff", behind.as_bytes()].concat()),
        None => Address::from(text),
    }
}

fn shown(resolved: Result<Route, Unresolved>) -> String {
    match resolved {
        Err(Unresolved::TryLater(_)) => "fail".to_string(),
        Err(Unresolved::BadAddress { recipient }) => {
            format!("error | {}", text(recipient.as_bytes()).replace('\u{fffd}', "\\xff"))
        }
        Ok(route) => {
            let class = match route.class {
                Class::Local => "local",
                Class::VirtualAlias => "alias",
                Class::VirtualMailbox => "virtual",
                Class::Relay => "relay",
                Class::Default => "default",
            };
            let routed = if route.is_routed { " routed" } else { "" };
            let recipient = text(route.recipient.as_bytes()).replace('\u{fffd}', "\\xff");
            format!("{class}{routed} | {} | {} | {recipient}", route.transport, route.nexthop)
        }
    }
}

#[test]
fn as_trivial_rewrite_answers() {
    let mut rows = 0;
    for group in include_str!("recorded_routes.txt").split("=== ").skip(1) {
        let mut settings = settings();
        let lines: Vec<&str> = group.lines().collect();
        let name = lines[0];
        let of_set = |line: &&&str| line.starts_with("set: ");
        for line in lines[1..].iter().take_while(of_set) {
            let (parameter, value) = line["set: ".len()..].split_once(" =").expect("=");
            set(&mut settings, parameter, value.trim());
            if group.contains("parent_domain_matches_subdomains") && parameter == "relay_domains" {
                settings.relay_domains = NameList::domains(items(value), Parents::Dotted);
            }
        }
        let (router, warnings) = router(settings);
        let mut rest = lines[1..].iter().skip_while(of_set).peekable();
        while let Some(line) = rest.next() {
            rows += 1;
            let (question, expect) = line.split_once(" => ").expect("=>");
            if let Some((rule, external)) =
                question.split_once(": ").filter(|(rule, _)| matches!(*rule, "local" | "remote"))
            {
                let context = if rule == "local" { Context::Local } else { Context::Remote };
                let result = router.standard_external(external.as_bytes(), context);
                assert_eq!(text(&result), expect, "{name}: {external}");
                continue;
            }
            let (sender, recipient) = question.split_once(" -> ").unwrap_or(("", &question[" ->".len()..]));
            let route = shown(now(router.resolve(&address(sender), &address(recipient))));
            assert_eq!(route, expect, "{name}: {question}");
            let mut expected = Vec::new();
            while let Some(warning) = rest.next_if(|line| line.starts_with("warning: ")) {
                expected.push(warning["warning: ".len()..].trim_start_matches("file /etc/postfix/main.cf: "));
            }
            assert_eq!(*warnings.lock().expect("nobody panicked"), expected, "{name}: {question}");
            warnings.lock().expect("nobody panicked").clear();
        }
    }
    assert!(rows > 400);
}

#[test]
fn headers_as_cleanup_prints_them() {
    let (router, _) = router(settings());
    let mut given = Vec::new();
    let mut lines = include_str!("recorded_headers.txt").lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(first) = line.strip_prefix("< ") {
            given = format!("To: {first}").into_bytes();
        } else if let Some(more) = line.strip_prefix("| ") {
            given.extend(format!("\n{more}").bytes());
        } else {
            let mut expect = line["> ".len()..].to_string() + "\r\n";
            while let Some(more) = lines.next_if(|line| line.starts_with("> ")) {
                expect.push_str(&more["> ".len()..]);
                expect.push_str("\r\n");
            }
            let mut field = Field::parse(&given).expect("a header");
            let mut problems = Vec::new();
            now(router.rewrite_header(&mut field, Role::Recipient, Context::Local, true, &mut problems))
                .expect("no table");
            let mut out = Vec::new();
            field.write_to(&mut out, 102_400);
            assert_eq!(text(&out), expect, "{}", text(&given));
        }
    }
}
