//! Messages as Postfix 3.7 left them (recorded.txt), and in any split.

use super::*;
use mail::keys::Extensions;
use mail::{Client, Notify, Origin};
use route::settings::MasqueradeDomain;
use route::{Classes, NameList};
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Poll, Waker};
use tables::{Maps, OpenContext};

/// One message: what was sent, under which parameters, and what lay in Postfix's queue then.
#[derive(Default, Debug)]
struct Case {
    name: String,
    set: Vec<(String, String)>,
    client: Option<Vec<String>>,
    full_name: String,
    fields: HashMap<String, String>,
    to: Vec<String>,
    log: Vec<String>,
    recipients: Vec<String>,
    input: Vec<u8>,
    output: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("recorded.txt").lines() {
        if let Some(name) = line.strip_prefix("=== ") {
            cases.push(Case { name: name.to_string(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a case begins with its name");
        if let Some(text) = line.strip_prefix("< ") {
            case.input.extend(unescape(text));
            case.input.extend(b"\r\n");
        } else if let Some(text) = line.strip_prefix("> ") {
            case.output.extend(unescape(text));
            case.output.extend(b"\r\n");
        } else {
            let (key, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            match key {
                "set" => {
                    let (name, value) = value.split_once(" = ").unwrap_or((value.trim_end_matches(" ="), ""));
                    case.set.push((name.to_string(), value.to_string()));
                }
                "client" => case.client = Some(value.split(' ').map(String::from).collect()),
                "full name" => case.full_name = value.to_string(),
                "to" => case.to.push(value.to_string()),
                "log" => case.log.push(value.to_string()),
                "recipient" => case.recipients.push(value.to_string()),
                _ => {
                    case.fields.insert(key.to_string(), value.to_string());
                }
            }
        }
    }
    cases
}

/// `\\` and `\xHH`.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        match (b, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let hex = String::from_utf8(vec![*high, *low]).expect("hex");
                out.push(u8::from_str_radix(&hex, 16).expect("hex"));
                rest = tail;
            }
            (b'\\', [b'\\', tail @ ..]) => {
                out.push(b'\\');
                rest = tail;
            }
            _ => out.push(b),
        }
    }
    out
}

fn maps(parameter: &'static str, spec: &str) -> Maps {
    let open_file = |path: &std::path::Path| std::fs::File::open(path);
    let context = OpenContext::new(Arc::new(open_file), Arc::new(|_, _: &str| {}));
    Maps::new(parameter, vec![tables::open(spec, &context).expect(spec)])
}

fn classes(text: &str) -> Classes {
    Classes {
        envelope_sender: text.contains("envelope_sender"),
        envelope_recipient: text.contains("envelope_recipient"),
        header_sender: text.contains("header_sender"),
        header_recipient: text.contains("header_recipient"),
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split([',', ' ']).filter(|word| !word.is_empty()).collect()
}

struct World {
    context: Context,
    options: Options,
    is_local: bool,
}

impl World {
    fn of(case: &Case) -> World {
        let mut cleanup = Settings::new("mail.example.com", "Postfix");
        let mut route = route::Settings::new("mail.example.com");
        route.mydestination = NameList::of_names(&["mail.example.com", "localhost.example.com", "localhost"]);
        let mut options = if case.client.is_some() { Options::SMTP } else { Options::LOCAL };
        let mut is_local = true;
        for (name, value) in &case.set {
            let yes = value == "yes";
            let number = || value.parse().expect("a number");
            match name.as_str() {
                "local_header_rewrite_clients" => is_local = false,
                "undisclosed_recipients_header" => cleanup.undisclosed_recipients_header = value.clone(),
                "enable_long_queue_ids" => cleanup.enable_long_queue_ids = yes,
                "always_add_missing_headers" => cleanup.always_add_missing_headers = yes,
                "remote_header_rewrite_domain" => route.remote_header_rewrite_domain = value.clone(),
                "append_dot_mydomain" => route.append_dot_mydomain = yes,
                "append_at_myorigin" => route.append_at_myorigin = yes,
                "swap_bangpath" => route.swap_bangpath = yes,
                "allow_percent_hack" => route.allow_percent_hack = yes,
                "message_drop_headers" => {
                    cleanup.message_drop_headers = words(value).iter().map(|w| w.to_lowercase()).collect();
                }
                "detect_8bit_encoding_header" => cleanup.detect_8bit_encoding_header = yes,
                "header_from_format" => cleanup.header_from_format = FromFormat::Obsolete,
                "smtputf8_enable" => (cleanup.smtputf8_enable, route.smtputf8_enable) = (yes, yes),
                "hopcount_limit" => cleanup.hopcount_limit = number(),
                "enable_original_recipient" => cleanup.enable_original_recipient = yes,
                "canonical_maps" => route.canonical_maps = maps("canonical_maps", value),
                "canonical_classes" => route.canonical_classes = classes(value),
                "sender_canonical_maps" => route.sender_canonical_maps = maps("sender_canonical_maps", value),
                "recipient_canonical_maps" => {
                    route.recipient_canonical_maps = maps("recipient_canonical_maps", value);
                }
                "recipient_delimiter" => route.recipient_delimiter = Extensions::new(value.clone()),
                "propagate_unmatched_extensions" => {
                    route.propagate_canonical = value.contains("canonical");
                    route.propagate_virtual = value.contains("virtual");
                }
                "masquerade_domains" => {
                    let domain = |word: &&str| MasqueradeDomain {
                        domain: word.trim_start_matches('!').to_string(),
                        strips: !word.starts_with('!'),
                    };
                    route.masquerade_domains = words(value).iter().map(domain).collect();
                }
                "masquerade_exceptions" => route.masquerade_exceptions = NameList::of_names(&words(value)),
                "masquerade_classes" => route.masquerade_classes = classes(value),
                "always_bcc" => route.always_bcc = value.clone(),
                "sender_bcc_maps" => route.sender_bcc_maps = maps("sender_bcc_maps", value),
                "recipient_bcc_maps" => route.recipient_bcc_maps = maps("recipient_bcc_maps", value),
                "virtual_alias_maps" => route.virtual_alias_maps = maps("virtual_alias_maps", value),
                "virtual_alias_domains" => route.virtual_alias_domains = NameList::of_names(&words(value)),
                "virtual_alias_recursion_limit" => route.virtual_alias_recursion_limit = number(),
                "virtual_alias_expansion_limit" => route.virtual_alias_expansion_limit = number(),
                "virtual_alias_address_length_limit" => {
                    route.virtual_alias_address_length_limit = number();
                }
                "receive_override_options" => {
                    (options.map_addresses, options.add_bcc) = (false, false);
                }
                _ => panic!("{}: {name} is not known here", case.name),
            }
        }
        let router = Router::new(Arc::new(route), Arc::new(|_: &str| {}));
        World { context: Context { settings: Arc::new(cleanup), router }, options, is_local }
    }

    fn incoming(&self, case: &Case) -> Incoming {
        let field = |name: &str| case.fields.get(name).cloned().unwrap_or_default();
        let recipient = |line: &String| {
            let mut words = line.split(' ');
            let address = words.next().unwrap_or_default();
            let address = if line.starts_with('"') { line.as_str() } else { address };
            let mut recipient = Recipient {
                address: Address::new(mail::header::unquote(address.as_bytes())),
                ..Recipient::default()
            };
            for word in words {
                if let Some(orcpt) = word.strip_prefix("ORCPT=") {
                    recipient.orcpt = Some(orcpt.to_string().into());
                }
                for (name, notify) in [
                    ("SUCCESS", Notify::SUCCESS),
                    ("FAILURE", Notify::FAILURE),
                    ("DELAY", Notify::DELAY),
                    ("NEVER", Notify::NEVER),
                ] {
                    if word.starts_with("NOTIFY=") && word.contains(name) {
                        recipient.notify = recipient.notify.with(notify);
                    }
                }
            }
            recipient
        };
        let client = case.client.as_ref().map_or_else(Client::default, |client| Client {
            name: client[0].clone(),
            address: client[1].clone(),
            protocol: client[2].clone(),
            helo: "client.example".to_string(),
            ..Client::default()
        });
        Incoming {
            id: QueueId::parse(field("id").as_bytes()).unwrap_or(QueueId::short(Time::from_secs(0), 1)),
            now: Time::from_secs(field("now").parse().unwrap_or(0)),
            date: field("date"),
            received: match case.client {
                Some(_) => Received::Smtp(Shown::default()),
                None => Received::Local { uid: 0 },
            },
            prepend: Vec::new(),
            full_name: Some(case.full_name.clone().into_bytes()),
            envelope: Envelope {
                sender: Address::new(field("from").into_bytes()),
                recipients: case.to.iter().map(recipient).collect(),
                origin: if case.client.is_some() { Origin::Smtp } else { Origin::Local { uid: 0 } },
                client,
                rewrite_local: self.is_local,
                ..Envelope::default()
            },
            options: self.options,
        }
    }
}

/// Runs what has nothing to wait for.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// Cleans a message up that comes in pieces of `size`.
fn clean(world: &World, incoming: Incoming, content: &[u8], size: usize) -> (Vec<u8>, Finished) {
    let mut cleanup = now(Cleanup::begin(world.context.clone(), incoming));
    let mut content_out = Vec::new();
    for piece in content.chunks(size) {
        let output = now(cleanup.write(piece));
        content_out.extend(output.made);
        content_out.extend(output.passed);
    }
    let finished = now(cleanup.finish());
    content_out.extend(&finished.made);
    (content_out, finished)
}

fn shown(recipient: &Recipient) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let original = recipient.original.as_ref().unwrap_or(&recipient.address);
    let orcpt = mail::xtext::decode(recipient.orcpt.as_deref().unwrap_or_default()).expect("xtext");
    let notify = recipient.notify.bits();
    let notify = if notify == 0 { String::new() } else { notify.to_string() };
    let address = text(recipient.address.as_bytes());
    format!("{address} | {} | {} | {notify}", text(original.as_bytes()), text(&orcpt))
}

#[test]
fn as_postfix_leaves_them() {
    for case in cases() {
        let world = World::of(&case);
        let name = &case.name;
        let field = |name: &str| case.fields.get(name).cloned();
        let (content, finished) = clean(&world, world.incoming(&case), &case.input, usize::MAX);
        let mut log: Vec<String> = Vec::new();
        for note in &finished.notes {
            match note {
                Note::MessageId { .. } | Note::Info(_) => log.push(note.to_string()),
                Note::Warning(_) => log.push(format!("warning: {note}")),
                // The rows have only what bears the queue id.
                Note::Misconfigured(_) => {}
            }
        }
        if let Some(reply) = field("reply") {
            if !reply.starts_with("RCPT") {
                assert_eq!(finished.trouble.map(|t| t.reply().to_string()), Some(reply), "{name}");
                assert_eq!(log, case.log, "{name}");
            }
            continue;
        }
        assert_eq!(finished.trouble, None, "{name}");
        assert_eq!(String::from_utf8_lossy(&content), String::from_utf8_lossy(&case.output), "{name}");
        assert_eq!(Some(finished.envelope.size.to_string()), field("size"), "{name}");
        // Postfix rewrites the envelope first; so the order is the same only by kind.
        log.sort();
        let mut expected = case.log.clone();
        expected.sort();
        assert_eq!(log, expected, "{name}");
        let sender = String::from_utf8_lossy(finished.envelope.sender.as_bytes()).into_owned();
        assert_eq!(Some(sender), field("sender"), "{name}");
        let recipients: Vec<String> = finished.envelope.recipients.iter().map(shown).collect();
        assert_eq!(recipients, case.recipients, "{name}");
        let is_8bit = finished.envelope.encoding == Encoding::EightBitMime;
        assert_eq!(is_8bit, field("encoding").is_some(), "{name}");
        let needs_utf8 = finished.envelope.smtputf8;
        assert_eq!(
            needs_utf8,
            field("smtputf8").is_some_and(|f| f.parse::<u8>().expect("a mask") & 1 == 1),
            "{name}"
        );
    }
}

#[test]
fn any_split_gives_the_same() {
    for case in cases() {
        let world = World::of(&case);
        let (content, finished) = clean(&world, world.incoming(&case), &case.input, usize::MAX);
        for size in [1, 2, 3, 7, 100] {
            let (split_content, split) = clean(&world, world.incoming(&case), &case.input, size);
            // What went out before the message turned out to be hopeless depends on the split.
            if split.trouble.is_none() {
                assert_eq!(split_content, content, "{} by {size}", case.name);
            }
            assert_eq!(split.trouble, finished.trouble, "{} by {size}", case.name);
            assert_eq!(split.envelope, finished.envelope, "{} by {size}", case.name);
            assert_eq!(split.notes, finished.notes, "{} by {size}", case.name);
        }
    }
}

proptest::proptest! {
    #[test]
    fn anything_comes_through(message in "(To: |From |Received: x|Bcc:|[a-c]|[:,<>@ (]|\r|\n|\r\n|\u{0}|\u{e9}){0,40}") {
        fuzz_cleanup(message.as_bytes());
    }
}
