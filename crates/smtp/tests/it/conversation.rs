//! The client: what no recording shows.

use super::client::block_on;
use super::peer::{Peer, Sink};
use bytes::Bytes;
use mail::{Address, Notify, Recipient};
use smtp::client::{
    Client, ClientAttributes, ClientNotice, Failure, Features, LoopDetection, Message, Protocol, Rcpt, Scope,
    Server, ServerReply, Settings, Stage, VerifyTarget, original_recipient,
};
use std::io;

type Results = Vec<(usize, Result<ServerReply, Failure>)>;

fn server() -> Server {
    Server {
        host: "mx.example".into(),
        address: "192.0.2.20".into(),
        name_and_address: "mx.example[192.0.2.20]".into(),
        relay: "mx.example[192.0.2.20]:25".into(),
        port: 25,
        ..Server::default()
    }
}

fn client(peer: Peer) -> Client<Peer> {
    Client::new(peer, Protocol::Smtp, server(), Settings::default().into())
}

/// A client that said hello.
fn greeted(peer: Peer) -> Client<Peer> {
    let mut client = client(peer);
    block_on(client.greet()).unwrap();
    block_on(client.hello()).unwrap();
    client
}

fn raw(script: &[&str]) -> Peer {
    Peer::raw(script.iter().map(|reply| reply.as_bytes().to_vec()).collect(), usize::MAX)
}

fn rcpts(addresses: &[&str]) -> Vec<Rcpt> {
    addresses
        .iter()
        .map(|a| Rcpt { address: Address::from(*a), orcpt: None, notify: Notify::default() })
        .collect()
}

fn message<'a>(sender: &'a Address, recipients: &'a [Rcpt]) -> Message<'a> {
    Message::new(sender, recipients, 3)
}

fn deliver(
    client: &mut Client<Peer>,
    message: &Message<'_>,
    content: Vec<io::Result<Bytes>>,
) -> (Results, Option<Failure>) {
    let mut results = Vec::new();
    let mut report = |at, result| results.push((at, result));
    let end = block_on(client.deliver(message, &mut content.into_iter(), &mut report));
    (results, end.err())
}

fn text(content: &str) -> Vec<io::Result<Bytes>> {
    vec![Ok(Bytes::copy_from_slice(content.as_bytes()))]
}

#[test]
fn a_message_that_the_server_cannot_take_is_not_begun() {
    let (sender, bad_sender, recipients) =
        (Address::from("s@a"), Address::from("s\r\nDATA@a"), rcpts(&["r@b"]));
    let plain = message(&sender, &recipients);
    for (features, message, status, reason) in [
        (
            "SIZE 100",
            Message { size: 101, ..plain.clone() },
            "5.3.4",
            "message size 101 exceeds size limit 100 of server mx.example[192.0.2.20]",
        ),
        (
            "8BITMIME",
            Message { requires_smtputf8: true, smtputf8: true, ..plain.clone() },
            "5.6.7",
            "SMTPUTF8 is required, but was not offered by host mx.example[192.0.2.20]",
        ),
        (
            "DSN",
            Message { sender: &bad_sender, ..plain.clone() },
            "5.1.7",
            "bad address syntax: it has a control character in it",
        ),
    ] {
        let mut client =
            greeted(Peer::sink(Sink { features: vec![features.into()], ..Sink::new() }, usize::MAX));
        let (results, failure) = deliver(&mut client, &message, text("a\r\n"));
        let failure = failure.unwrap();
        assert_eq!((failure.status.to_string().as_str(), failure.reason.as_str()), (status, reason));
        assert_eq!((failure.scope, results.len(), client.wire().commands.len()), (Scope::Message, 0, 1));
        assert!(client.is_reusable());
    }
}

#[test]
fn no_address_becomes_a_command() {
    let recipients = rcpts(&["a\r\nRCPT TO:<x@b>@b", "good@b", "c\0@b", "d\n@b"]);
    let sender = Address::null();
    let mut client = greeted(Peer::sink(Sink::new(), usize::MAX));
    let (results, failure) = deliver(&mut client, &message(&sender, &recipients), text("a\r\n"));
    assert!(failure.is_none());
    let fates: Vec<_> =
        results.iter().map(|(at, r)| (*at, r.as_ref().map_err(|f| f.status.to_string()).is_ok())).collect();
    assert_eq!(fates, [(0, false), (2, false), (3, false), (1, true)]);
    let commands = client.wire().commands.join("|");
    assert_eq!(commands, "EHLO localhost|MAIL FROM:<> SIZE=3|RCPT TO:<good@b>|DATA|[message]");
}

#[test]
fn what_is_injected_behind_starttls_is_not_used() {
    let peer = raw(&[
        "220 mx\r\n",
        "250-mx\r\n250 STARTTLS\r\n",
        "220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n",
        "250 mx\r\n",
    ]);
    let mut client = greeted(peer);
    assert!(client.features().starttls);
    assert!(block_on(client.start_tls()).unwrap().is_success());
    let shake_hands = async |wire: Peer| Ok::<Peer, ()>(wire);
    let mut client = block_on(client.upgrade(shake_hands)).unwrap();
    assert_eq!(client.features(), &Features::default());
    block_on(client.hello()).unwrap();
    assert_eq!(client.features().auth, None);
    assert_eq!(client.wire().commands, ["EHLO localhost", "STARTTLS", "EHLO localhost"]);
}

#[test]
fn starttls_refused() {
    let mut client = greeted(raw(&["220 mx\r\n", "250 mx\r\n", "454 4.7.0 no\r\n"]));
    let reply = block_on(client.start_tls()).unwrap();
    let failure = client.tls_refused(&reply);
    assert_eq!(failure.status.to_string(), "4.7.0");
    let expect = "TLS is required, but host mx.example[192.0.2.20] refused to start TLS: 454 4.7.0 no";
    assert_eq!(failure.reason, expect);
}

#[test]
fn a_server_that_closes_in_the_content_may_have_said_why() {
    let (sender, recipients) = (Address::from("s@a"), rcpts(&["r@b"]));
    for (reply, status, reason) in [
        (
            "354 go\r\n552 5.3.4 too big\r\n",
            "5.3.4",
            "host mx.example[192.0.2.20] said: 552 5.3.4 too big (in reply to end of DATA command)",
        ),
        (
            "354 go\r\n250 what\r\n",
            "4.4.2",
            "lost connection with mx.example[192.0.2.20] while sending message body",
        ),
        ("354 go\r\n55", "4.4.2", "lost connection with mx.example[192.0.2.20] while sending message body"),
    ] {
        let script = ["220 mx\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n", reply];
        let mut client = greeted(raw(&script));
        client.wire().send_limit = 60;
        let content = "x".repeat(100);
        let (_, failure) = deliver(&mut client, &message(&sender, &recipients), text(&content));
        let failure = failure.unwrap();
        assert_eq!((failure.status.to_string().as_str(), failure.reason.as_str()), (status, reason));
        assert!(!client.is_reusable());
    }
}

#[test]
fn content_that_cannot_be_read_is_not_ended() {
    let (sender, recipients) = (Address::from("s@a"), rcpts(&["r@b"]));
    let mut client = greeted(Peer::sink(Sink::new(), usize::MAX));
    let content = vec![Ok(Bytes::from("half\r\n")), Err(io::ErrorKind::InvalidData.into())];
    let (results, failure) = deliver(&mut client, &message(&sender, &recipients), content);
    let failure = failure.unwrap();
    assert_eq!((failure.status.to_string().as_str(), failure.scope), ("4.3.0", Scope::Message));
    assert!(failure.reason.starts_with("local data error while talking to mx.example[192.0.2.20]: "));
    assert!(results.is_empty() && !client.is_reusable());
    let peer = block_on(client.quit());
    assert_eq!(peer.commands.last().unwrap(), "DATA");
}

#[test]
fn probes() {
    let (sender, recipients) = (Address::from("s@a"), rcpts(&["a@b", "no@b"]));
    for (verify, is_reusable, commands) in [
        (VerifyTarget::Rcpt, true, "EHLO localhost|MAIL FROM:<s@a> SIZE=3|RCPT TO:<a@b>|RCPT TO:<no@b>|RSET"),
        (
            VerifyTarget::Data,
            false,
            "EHLO localhost|MAIL FROM:<s@a> SIZE=3|RCPT TO:<a@b>|RCPT TO:<no@b>|DATA",
        ),
    ] {
        let rules = vec![("RCPT".into(), "no@".into(), "550 5.1.1 no".into())];
        let mut client = greeted(Peer::sink(Sink { rules, ..Sink::new() }, usize::MAX));
        let message = Message { verify: Some(verify), ..message(&sender, &recipients) };
        let (results, failure) = deliver(&mut client, &message, Vec::new());
        assert!(failure.is_none());
        let fates: Vec<_> = results.iter().map(|(at, result)| (*at, result.is_ok())).collect();
        assert_eq!(fates, [(1, false), (0, true)]);
        assert_eq!(client.is_reusable(), is_reusable);
        assert_eq!(client.wire().commands.join("|"), commands);
    }
}

#[test]
fn a_connection_is_used_again() {
    let (sender, recipients) = (Address::from("s@a"), rcpts(&["r@b"]));
    let mut client = greeted(Peer::sink(Sink::new(), usize::MAX));
    for _ in 0..3 {
        let (results, failure) = deliver(&mut client, &message(&sender, &recipients), text("a\r\n"));
        assert!(failure.is_none() && results[0].1.is_ok() && client.is_reusable());
        assert!(block_on(client.probe()));
    }
    let peer = block_on(client.quit());
    assert_eq!(peer.commands.iter().filter(|c| *c == "RSET").count(), 3);
    assert_eq!(peer.commands.last().unwrap(), "QUIT");
}

#[test]
fn a_connection_that_is_gone_is_not_used_again() {
    let mut client = greeted(Peer::sink(
        Sink { rules: vec![("RSET".into(), "".into(), "421 4.4.2 bye".into())], ..Sink::new() },
        usize::MAX,
    ));
    assert!(!block_on(client.probe()));
    assert!(!client.is_reusable());
}

#[test]
fn our_own_server_is_known_by_its_name() {
    for (is_best_mx, name, status) in [(true, "LocalHost", "5.4.6"), (false, "localhost", "4.4.6")] {
        let loop_detection = Some(LoopDetection { nexthop: "b.example".into(), is_best_mx });
        let peer = raw(&[&format!("220 {name} ESMTP\r\n"), &format!("250 {name}\r\n")]);
        let server = Server { loop_detection, ..server() };
        let mut client = Client::new(peer, Protocol::Smtp, server, Settings::default().into());
        block_on(client.greet()).unwrap();
        let failure = block_on(client.hello()).unwrap_err();
        assert_eq!(failure.status.to_string(), status);
        assert_eq!(failure.reason, "mail for b.example loops back to myself");
        let notices = client.take_notices();
        let lines: Vec<_> = notices.iter().map(|n| n.line(client.server(), "*").to_string()).collect();
        let expect = [
            "host mx.example[192.0.2.20]:25 greeted me with my own hostname localhost",
            "host mx.example[192.0.2.20]:25 replied to HELO/EHLO with my own hostname localhost",
        ];
        assert_eq!(lines, expect);
    }
}

#[test]
fn an_endless_reply_ends_the_conversation() {
    let endless = "250-x\r\n".repeat(100_000);
    let mut client = client(raw(&["220 mx\r\n", &endless]));
    block_on(client.greet()).unwrap();
    let failure = block_on(client.hello()).unwrap_err();
    assert_eq!(
        failure.reason,
        "lost connection with mx.example[192.0.2.20] while performing the EHLO handshake"
    );
    assert!(!client.is_reusable());
    assert!(client.take_notices().len() < 10);
}

#[test]
fn pipelining_stops_for_breath() {
    let addresses: Vec<String> = (0..300).map(|n| format!("recipient-{n}@example.com")).collect();
    let recipients = rcpts(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
    let sender = Address::from("s@a");
    let rules = vec![("MAIL".into(), "".into(), "550 5.7.1 no".into())];
    let mut client = greeted(Peer::sink(Sink { rules, ..Sink::new() }, usize::MAX));
    let (results, failure) = deliver(&mut client, &message(&sender, &recipients), text("a\r\n"));
    assert_eq!((results.len(), failure.unwrap().status.to_string().as_str()), (0, "5.7.1"));
    let sent: usize = client.wire().commands[1..].iter().map(|line| line.len() + 2).sum();
    assert!((3900..4200).contains(&sent), "{sent}");
    assert_eq!(client.wire().commands.last().unwrap(), "RSET");
}

#[test]
fn xforward() {
    let origin = mail::Client {
        name: "client.example".into(),
        address: "2001:db8::1".into(),
        port: 1234,
        helo: "h=x".into(),
        protocol: "ESMTP".into(),
        ..mail::Client::default()
    };
    let known = ClientAttributes::new(&origin, "4Xyz", false);
    let unknown =
        ClientAttributes::new(&mail::Client { name: "unknown".into(), ..mail::Client::default() }, "", true);
    let all = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE";
    for (features, attributes, expect) in [
        (
            all,
            &known,
            "XFORWARD NAME=client.example ADDR=IPv6:2001:db8::1 PORT=1234|XFORWARD PROTO=ESMTP HELO=h+3Dx IDENT=4Xyz SOURCE=REMOTE|",
        ),
        (all, &unknown, "XFORWARD SOURCE=LOCAL|"),
        ("XFORWARD NAME", &known, "XFORWARD NAME=client.example|"),
        ("XFORWARD NAME", &unknown, ""),
        ("DSN", &known, ""),
    ] {
        let peer = Peer::sink(Sink { features: vec![features.into()], ..Sink::new() }, usize::MAX);
        let settings = Settings { smtp_send_xforward_command: true, ..Settings::default() };
        let mut client = Client::new(peer, Protocol::Smtp, server(), settings.into());
        block_on(client.greet()).unwrap();
        block_on(client.hello()).unwrap();
        let (sender, recipients) = (Address::from("s@a"), rcpts(&["r@b"]));
        let message = Message { client: Some(attributes), ..message(&sender, &recipients) };
        assert!(deliver(&mut client, &message, text("a\r\n")).1.is_none());
        let commands = client.wire().commands.join("|");
        assert_eq!(commands, format!("EHLO localhost|{expect}MAIL FROM:<s@a>|RCPT TO:<r@b>|DATA|[message]"));
        let refused = client
            .take_notices()
            .iter()
            .filter(|n| matches!(n, ClientNotice::XforwardRefused { .. }))
            .count();
        assert_eq!(refused, expect.matches('|').count());
    }
}

#[test]
fn original_recipients() {
    let orcpt = |address: &str, original: Option<&str>, orcpt: Option<&str>, smtputf8| {
        let recipient = Recipient {
            address: Address::from(address),
            original: original.map(Address::from),
            orcpt: orcpt.map(|text| Bytes::copy_from_slice(text.as_bytes())),
            ..Recipient::default()
        };
        original_recipient(&recipient, smtputf8).map(|orcpt| String::from_utf8(orcpt.to_vec()).unwrap())
    };
    for (address, original, given, smtputf8, expect) in [
        ("a@b", None, None, false, Some("rfc822;a@b")),
        ("a@b", Some("x+y@b"), None, false, Some("rfc822;x+2By@b")),
        ("a@b", Some("x y@b"), None, false, Some("rfc822;\"x+20y\"@b")),
        ("a@b", Some("x@b"), Some("rfc822;z@c"), false, Some("rfc822;z@c")),
        ("jos\u{e9}@b", None, None, true, Some("utf-8;jos\\x{E9}@b")),
        ("jos\u{e9}+@b", None, None, false, Some("rfc822;jos+C3+A9+2B@b")),
        ("", None, None, false, None),
    ] {
        assert_eq!(orcpt(address, original, given, smtputf8).as_deref(), expect);
    }
}

#[test]
fn stages_have_words() {
    assert_eq!(Stage::Content.doing(), "sending message body");
    assert_eq!(Stage::EndOfData.command(), "end of DATA command");
}
