//! The client against servers that misbehave, held against `tests/client.golden`: what Postfix said, logged and made of
//! it.
//!
//! ```text
//! === name
//! config: smtp_never_send_ehlo = yes         settings
//! sink: --reply 'MAIL = 550 no'              how the server is: the sink's options
//! raw: 220 mx\r\n                            or its words: greeting, then a reply to each command and to content
//! send: -N never a@remote.example            what sendmail was called with
//! body: text\n
//! R: a@remote.example 5.7.1 bounced (…)      what became of recipients, as logged
//! L: warning: …                              what else was logged
//! C: EHLO mail.example.com                   what the server heard
//! ```

use super::dialogue::unescape;
use super::peer::{Peer, Sink};
use bytes::Bytes;
use mail::{Address, Encoding, Notify, Ret, xtext};
use smtp::Keywords;
use smtp::client::{
    CannotTell, Client, ClientAttributes, Failure, Login, Message, PixWorkarounds, Protocol, Rcpt,
    ReplyFilter, Scope, Server, ServerReply, Settings,
};
use smtp::sasl::{Credentials, SecurityOptions};
use std::future::Future;
use std::task::{Context, Poll, Waker};

#[test]
fn golden() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client.golden")).unwrap();
    for section in text.split("=== ").skip(1) {
        for piece in [1, 7, usize::MAX] {
            check(section, piece);
        }
    }
}

fn check(section: &str, piece: usize) {
    let values =
        |key: &str| section.lines().filter_map(move |line| line.strip_prefix(key)).collect::<Vec<_>>();
    let name = section.lines().next().unwrap();
    let mut scenario = Scenario::new(&values("config: "));
    scenario.read_sending(values("send: ").first().unwrap_or(&"a@remote.example"));
    let body: Vec<u8> = values("body: ").iter().flat_map(|text| unescape(text)).collect();
    let body = String::from_utf8(body).unwrap().replace('\n', "\r\n");
    scenario.content = format!("Subject: t\r\n\r\n{body}");
    // Postfix adds a header: the message must exceed what the scenario "size" allows.
    scenario.content.insert_str(0, &format!("Received: {}\r\n", "x".repeat(100)));
    let raw: Vec<Vec<u8>> = values("raw: ").iter().map(|text| unescape(text)).collect();
    let peer = match raw.is_empty() {
        true => Peer::sink(sink(&values("sink: ").join(" ")), piece),
        false => Peer::raw(raw.into(), piece),
    };
    let size = scenario.content.len();
    let (results, log, peer) = block_on(scenario.run(peer));
    let is_long = |line: &&str| line.len() > 1000;
    for (what, expect, found) in [
        ("results", values("R: "), results),
        ("log", values("L: "), log),
        ("commands", values("C: ").into_iter().map(hide_response).collect(), peer.commands),
    ] {
        let found: Vec<_> = found.iter().map(|line| hide_size(hide_response(line), size)).collect();
        let is_same = expect.len() == found.len()
            && expect.iter().zip(&found).all(|(e, f)| e == f || (is_long(e) && f.starts_with(e)));
        assert!(is_same, "{name}: {what}: {found:#?} instead of {expect:#?}");
    }
}

/// A SASL response that stands in a command is not to be compared.
fn hide_response(line: &str) -> &str {
    match line.strip_prefix("AUTH ").and_then(|rest| rest.find(' ')) {
        Some(at) => &line[..5 + at],
        None => line,
    }
}

/// Nor is the size, which depends on headers that Postfix adds.
fn hide_size(line: &str, size: usize) -> String {
    line.replace(&format!("SIZE={size}"), "SIZE=N").replace(&format!("message size {size}"), "message size N")
}

struct Scenario {
    settings: Settings,
    server: Server,
    protocol: Protocol,
    client: Option<ClientAttributes>,
    password: Option<String>,
    security_options: String,
    filter: String,
    recipients: Vec<Rcpt>,
    body: Encoding,
    ret: Option<Ret>,
    envid: Option<Bytes>,
    content: String,
}

impl Scenario {
    fn new(config: &[&str]) -> Scenario {
        let mut scenario = Scenario {
            settings: Settings {
                myhostname: "mail.example.com".into(),
                smtp_helo_name: "mail.example.com".into(),
                ..Settings::default()
            },
            server: Server {
                host: "192.0.2.20".into(),
                address: "192.0.2.20".into(),
                name_and_address: "192.0.2.20[192.0.2.20]".into(),
                relay: "192.0.2.20[192.0.2.20]:2525".into(),
                port: 2525,
                smtp_pix_workarounds: PixWorkarounds { disable_esmtp: true, delay_dotcrlf: false },
                ..Server::default()
            },
            protocol: Protocol::Smtp,
            client: None,
            password: None,
            security_options: "noplaintext, noanonymous".into(),
            filter: String::new(),
            recipients: Vec::new(),
            body: Encoding::Unspecified,
            ret: None,
            envid: None,
            content: String::new(),
        };
        config.iter().for_each(|setting| scenario.set(setting));
        scenario
    }

    fn set(&mut self, setting: &str) {
        let (name, value) = setting.split_once('=').map(|(name, value)| (name.trim(), value.trim())).unwrap();
        let settings = &mut self.settings;
        match name {
            "smtp_sasl_auth_enable" | "relayhost" => {}
            "default_transport" => self.protocol = Protocol::Lmtp,
            // the peer says when it is silent for too long
            "smtp_rcpt_timeout" | "smtp_data_done_timeout" | "smtp_helo_timeout" => {}
            "smtp_send_xforward_command" => {
                settings.smtp_send_xforward_command = true;
                self.client = Some(ClientAttributes { is_local: true, ..ClientAttributes::default() });
            }
            "smtp_sasl_password_maps" => self.password = value.strip_prefix("static:").map(str::to_owned),
            "smtp_sasl_security_options" => self.security_options = value.into(),
            "smtp_sasl_mechanism_filter" => self.filter = value.into(),
            "smtp_sasl_auth_soft_bounce" => settings.smtp_sasl_auth_soft_bounce = value == "yes",
            "smtp_send_dummy_mail_auth" => settings.smtp_send_dummy_mail_auth = value == "yes",
            "smtp_discard_ehlo_keywords" => self.server.smtp_discard_ehlo_keywords = Keywords::parse(value).0,
            "smtp_reply_filter" => settings.smtp_reply_filter = Some(ReplyFilter::new(filtered)),
            "smtp_never_send_ehlo" => settings.smtp_never_send_ehlo = value == "yes",
            "smtp_always_send_ehlo" => settings.smtp_always_send_ehlo = value == "yes",
            "smtp_line_length_limit" => settings.smtp_line_length_limit = value.parse().unwrap(),
            _ => panic!("no scenario may use {name} before this test knows it"),
        }
    }

    fn read_sending(&mut self, arguments: &str) {
        let mut notify = Notify::default();
        let mut words = words(arguments).into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-N" => {
                    for kind in words.next().unwrap().split(',') {
                        notify = notify.with(match kind {
                            "never" => Notify::NEVER,
                            "success" => Notify::SUCCESS,
                            "delay" => Notify::DELAY,
                            _ => Notify::FAILURE,
                        });
                    }
                }
                "-R" => {
                    self.ret = Some(if words.next().unwrap() == "full" { Ret::Full } else { Ret::Headers })
                }
                "-V" => self.envid = Some(xtext::encode(words.next().unwrap().as_bytes()).into()),
                "-B" => {
                    words.next();
                    self.body = Encoding::EightBitMime;
                }
                address => {
                    let address = smtp::address::parse(address.as_bytes(), false).unwrap();
                    // Postfix: sendmail's ORCPT has the address without quotes.
                    let orcpt = [&b"rfc822;"[..], &xtext::encode(address.as_bytes())].concat();
                    self.recipients.push(Rcpt { address, orcpt: Some(orcpt.into()), notify });
                }
            }
        }
    }

    async fn run(mut self, peer: Peer) -> (Vec<String>, Vec<String>, Peer) {
        let settings = std::mem::take(&mut self.settings);
        let mut client = Client::new(peer, self.protocol, self.server.clone(), settings.into());
        let mut results = Vec::new();
        let mut reported = vec![false; self.recipients.len()];
        let failure = self.converse(&mut client, &mut results, &mut reported).await.err();
        let is_unsaid = failure.as_ref().is_some_and(|failure| failure.scope == Scope::Message)
            && client.wire().commands.len() == 1;
        if let Some(failure) = failure {
            for (recipient, _) in self.recipients.iter().zip(&reported).filter(|(_, is_done)| !**is_done) {
                results.push(result(recipient, Err(failure.clone())));
            }
        }
        let log = self.log(&mut client);
        // Postfix: a message that is too big for the server is given up without a farewell.
        let peer = if is_unsaid {
            std::mem::replace(client.wire(), Peer::sink(Sink::new(), 1))
        } else {
            client.quit().await
        };
        (results, log, peer)
    }

    async fn converse(
        &self,
        client: &mut Client<Peer>,
        results: &mut Vec<String>,
        reported: &mut [bool],
    ) -> Result<(), Failure> {
        client.greet().await?;
        client.hello().await?;
        if let Some((user, password)) = self.password.as_ref().and_then(|login| login.split_once(':')) {
            let credentials = Credentials::Password { user: user.into(), password: password.into() };
            let is_allowed = |name: &str| self.filter.is_empty() || self.filter.eq_ignore_ascii_case(name);
            let security_options = SecurityOptions::parse(&self.security_options).unwrap();
            let nonce = "fyko+d2lbbFgONRv9qkxdawL".to_owned();
            client.login(Login { credentials, security_options, is_allowed: &is_allowed, nonce }).await?;
        }
        let sender = Address::from("sender@example.com");
        let message = Message {
            body: self.body,
            ret: self.ret,
            envid: self.envid.as_ref(),
            client: self.client.as_ref(),
            ..Message::new(&sender, &self.recipients, self.content.len() as u64)
        };
        let mut content = self.content.as_bytes().chunks(50).map(|chunk| Ok(Bytes::copy_from_slice(chunk)));
        let mut report = |at: usize, outcome: Result<ServerReply, Failure>| {
            assert!(!std::mem::replace(&mut reported[at], true), "once is enough");
            results.push(result(&self.recipients[at], outcome));
        };
        client.deliver(&message, &mut content, &mut report).await?;
        let is_whole = client.wire().message.is_empty()
            || self.content.as_bytes() == client.wire().message
            || self.content.lines().any(|line| line.len() > 20);
        assert!(is_whole, "{:?}", String::from_utf8_lossy(&client.wire().message));
        Ok(())
    }

    fn log(&self, client: &mut Client<Peer>) -> Vec<String> {
        let mut log = Vec::new();
        for notice in client.take_notices() {
            let warning = if notice.is_warning() { "warning: " } else { "" };
            log.push(format!("{warning}{}", notice.line(&self.server, "*")));
            log.extend(notice.advice(&self.server).map(|advice| format!("warning: {advice}")));
        }
        log
    }
}

/// The rules of the scenario "reply filter".
fn filtered(line: &str) -> Result<Option<String>, CannotTell> {
    if line.starts_with("250-PIPELINING") {
        return Ok(Some("250-X".into()));
    }
    Ok(line.strip_prefix("550 5").map(|rest| format!("450 4{rest}")))
}

/// As logged.
fn result(recipient: &Rcpt, outcome: Result<ServerReply, Failure>) -> String {
    let (status, fate, text) = match outcome {
        Ok(reply) => (reply.status, "sent", reply.text),
        Err(failure) if failure.status.class() == 4 => (failure.status, "deferred", failure.reason),
        Err(failure) => (failure.status, "bounced", failure.reason),
    };
    format!("{} {status} {fate} ({text})", recipient.address)
}

fn sink(options: &str) -> Sink {
    let mut sink = Sink::new();
    let mut words = words(options).into_iter();
    while let Some(option) = words.next() {
        let mut value = || words.next().unwrap();
        match option.as_str() {
            "--no-ehlo" => sink.no_ehlo = true,
            "--lmtp" => sink.lmtp = true,
            "--auth-equals" => sink.auth_equals = true,
            "--mechs" => sink.mechanisms = value(),
            "--features" => {
                sink.features = value().split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect();
            }
            "--auth" => sink.auth = value().split_once(':').map(|(user, pass)| (user.into(), pass.into())),
            "--reply" => {
                let rule = value();
                let (command, reply) = rule.split_once(" = ").unwrap();
                let (word, part) = command.split_once(' ').unwrap_or((command, ""));
                sink.rules.push((word.into(), part.into(), reply.into()));
            }
            _ => panic!("no sink has {option}"),
        }
    }
    sink
}

/// Words as a shell parts them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Runs a future that never waits.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing here waits"),
    }
}
