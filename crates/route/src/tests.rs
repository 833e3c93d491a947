//! What Postfix 3.7's trivial-rewrite answered (recorded_routes.txt), and how its cleanup printed header addresses
//! (recorded_headers.txt).

use super::*;
use crate::generic::Generic;
use crate::lists::{Item, Pattern};
use mail::Address;
use mail::header::{Field, Role};
use mail::keys::{Extensions, Parents};
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Poll, Waker};
use tables::{Maps, OpenContext, Table};

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
        "virtual_alias_maps" => settings.virtual_alias_maps = maps("virtual_alias_maps", value),
        "virtual_mailbox_maps" => settings.virtual_mailbox_maps = maps("virtual_mailbox_maps", value),
        "relay_recipient_maps" => settings.relay_recipient_maps = maps("relay_recipient_maps", value),
        "local_recipient_maps" => settings.local_recipient_maps = maps("local_recipient_maps", value),
        "canonical_maps" => settings.canonical_maps = maps("canonical_maps", value),
        "sender_canonical_maps" => settings.sender_canonical_maps = maps("sender_canonical_maps", value),
        "recipient_canonical_maps" => {
            settings.recipient_canonical_maps = maps("recipient_canonical_maps", value);
        }
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

/// As smtpd of Postfix 3.7 answers MAIL FROM and RCPT TO under these parameters.
#[test]
fn listed() {
    let mut settings = settings();
    for (name, value) in [
        ("virtual_alias_domains", "va.example"),
        ("virtual_alias_maps", "inline:{ {a@va.example=x@o.example} {alias@vm.example=x@o.example} }"),
        ("virtual_mailbox_domains", "vm.example"),
        ("virtual_mailbox_maps", "inline:{ {a@vm.example=x} }"),
        ("relay_domains", "relay.example open.example"),
        ("relay_recipient_maps", "inline:{ {a@relay.example=x} {@open.example=x} }"),
        (
            "transport_maps",
            "inline:{ {err@o.example=error:5.7.9 no way} {err2@o.example=error:} {ret@o.example=retry:4.2.9 wait} }",
        ),
        ("canonical_maps", "inline:{ {can@relay.example=x@o.example} }"),
        ("sender_canonical_maps", "inline:{ {scan@relay.example=x@o.example} }"),
        ("recipient_canonical_maps", "inline:{ {rcan@relay.example=x@o.example} }"),
        ("relocated_maps", "inline:{ {gone@mail.example.com=here@new.example} }"),
        ("local_recipient_maps", "inline:{ {alice=x} {root=x} {team=alice} }"),
        ("recipient_delimiter", "+"),
    ] {
        set(&mut settings, name, value);
    }
    let (router, _) = router(settings);
    for (address, as_recipient, as_sender) in [
        ("alice", "yes", "yes"),
        ("ALICE@mail.example.com", "yes", "yes"),
        ("alice+x@mail.example.com", "yes", "yes"),
        ("nosuch", "no Local", "no Local"),
        ("nosuch@mail.example.com", "no Local", "no Local"),
        ("team@mail.example.com", "yes", "yes"),
        ("root@localhost", "yes", "yes"),
        ("postmaster@mail.example.com", "yes", "yes"),
        ("Postmaster+x@mail.example.com", "no Local", "no Local"),
        ("MAILER-DAEMON@mail.example.com", "yes", "yes"),
        ("double-bounce@mail.example.com", "yes", "yes"),
        ("alice@[192.0.2.1]", "yes", "yes"),
        ("nosuch@[192.0.2.1]", "no Local", "no Local"),
        ("a@va.example", "yes", "yes"),
        ("b@va.example", "error 5.1.1 User unknown in virtual alias table", "same"),
        ("a@vm.example", "yes", "yes"),
        ("b@vm.example", "no VirtualMailbox", "same"),
        ("alias@vm.example", "yes", "yes"),
        ("a+x@vm.example", "yes", "yes"),
        ("a@relay.example", "yes", "yes"),
        ("b@relay.example", "no Relay", "no Relay"),
        ("a@open.example", "yes", "yes"),
        ("can@relay.example", "yes", "yes"),
        ("scan@relay.example", "no Relay", "yes"),
        ("rcan@relay.example", "yes", "yes"),
        ("a@o.example", "yes", "yes"),
        ("err@o.example", "error 5.7.9 no way", "same"),
        ("err2@o.example", "error Address is undeliverable", "same"),
        ("ret@o.example", "retry 4.2.9 wait", "same"),
        ("gone@mail.example.com", "error 5.1.6 User has moved to here@new.example", "same"),
        ("x%o.example@mail.example.com", "yes", "yes"),
    ] {
        for (is_sender, expect) in [(false, as_recipient), (true, as_sender)] {
            let expect = if expect == "same" { as_recipient } else { expect };
            let address = Address::from(address);
            let query = listed::Query { address: &address, other: None, is_sender };
            let answer = match now(router.listed(query)).expect("no table fails") {
                listed::Listed::Yes => "yes".to_string(),
                listed::Listed::No(class) => format!("no {class:?}"),
                listed::Listed::Error { text, .. } => format!("error {text}"),
                listed::Listed::Retry { text } => format!("retry {text}"),
            };
            assert_eq!(answer, expect, "{address:?}");
        }
    }
}

/// As the SMTP client of Postfix 3.7 sends them.
#[test]
fn generic() {
    let mut settings = settings();
    set(&mut settings, "recipient_delimiter", "+");
    let maps = maps(
        "smtp_generic_maps",
        "inline:{ {alice@mail.example.com=al@isp.example} {@mail.example.com=@isp.example} \
         {multi@mail.example.com=a@x.example, b@x.example} {bob=robert@isp.example} }",
    );
    let (router, _) = router(settings);
    let generic = Generic::new(router.clone(), maps.clone(), false);
    let propagating = Generic::new(router, maps, true);
    for (address, expect, propagated) in [
        ("alice+q@mail.example.com", "al@isp.example", "al+q@isp.example"),
        ("carol+x@mail.example.com", "carol+x@isp.example", "carol+x@isp.example"),
        ("bob@mail.example.com", "robert@isp.example", "robert@isp.example"),
        ("d@other.example", "d@other.example", "d@other.example"),
        ("", "", ""),
    ] {
        let mut problems = Vec::new();
        let address = Address::from(address);
        assert_eq!(now(generic.address(&address, &mut problems)), Ok(Address::from(expect)));
        assert_eq!(now(propagating.address(&address, &mut problems)), Ok(Address::from(propagated)));
        assert_eq!(problems, []);
    }
    for (field, expect, problem) in [
        ("From: Alice (A) <alice@mail.example.com>", "From: Alice (A) <al@isp.example>", ""),
        (
            "To: \"Carol C\" <carol+x@mail.example.com>,\n bob@mail.example.com, multi@mail.example.com (M), d@other.example",
            "To: \"Carol C\" <carol+x@isp.example>, robert@isp.example,\r\n\ta@x.example (M), d@other.example",
            "multi-valued smtp_generic_maps result for multi@mail.example.com",
        ),
        ("X-To: alice@mail.example.com", "X-To: alice@mail.example.com", ""),
        ("Cc: undisclosed-recipients:;", "Cc: undisclosed-recipients:;", ""),
        ("Cc: A  <a@other.example>", "Cc: A  <a@other.example>", ""),
    ] {
        let mut field = Field::parse(field.as_bytes()).expect("a header");
        let (mut problems, mut out) = (Vec::new(), Vec::new());
        now(generic.header(&mut field, &mut problems)).expect("no table fails");
        field.write_to(&mut out, 102_400);
        assert_eq!(text(&out), format!("{expect}\r\n"));
        assert_eq!(problems.iter().map(ToString::to_string).collect::<String>(), problem);
    }
}

#[test]
fn reminders_of_append_dot_mydomain() {
    let (router, _) = router(Settings { append_dot_mydomain: true, ..settings() });
    let reminders = Arc::new(Mutex::new(Vec::new()));
    let log = reminders.clone();
    let router = router
        .reminding(Arc::new(move |text: &str| log.lock().expect("nobody panicked").push(text.to_string())));
    for address in ["a@sub", "a@sub.example", "a@localhost", "a"] {
        router.standard(&Address::from(address), Context::Local);
    }
    let expect = "using backwards-compatible default setting append_dot_mydomain=yes to rewrite \"sub\" to \
                  \"sub.example.com\"";
    assert_eq!(*reminders.lock().expect("nobody panicked"), [expect]);
}

proptest::proptest! {
    /// Whatever the local part is, an address with a whole domain is in standard form.
    #[test]
    fn a_whole_address_stays(local in "[ -~]{0,12}") {
        let address = Address::from(format!("{local}@d.example").as_str());
        let has_route = local.starts_with('@') && local.contains(':');
        let (router, _) = router(settings());
        proptest::prop_assume!(!has_route);
        proptest::prop_assert_eq!(router.standard(&address, Context::Local), address);
    }

    /// Any octets come to an end.
    #[test]
    fn resolving_ends(data in "([a-c]{1,2}|[ \"(),.:;<>@!%|]|\\\\|\\[|\\]){0,12}", octets: Vec<u8>) {
        fuzz_resolve(data.as_bytes());
        fuzz_resolve(&octets);
    }
}
