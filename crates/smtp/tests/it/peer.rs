//! A server for clients to talk to: a copy of the `sink` that `tests/record_client.py` uses, or a script of replies.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use smtp::client::{Lost, Stage, Wire};
use smtp::framing::{Decoder, ForbidBareNewline, Step};
use std::collections::VecDeque;

pub(crate) struct Peer {
    behaviour: Behaviour,
    /// What the client sent and nobody read yet.
    received: Vec<u8>,
    said: VecDeque<u8>,
    /// Octets that the client gets at once.
    piece: usize,
    is_closed: bool,
    /// Says nothing any more.
    hangs: bool,
    /// Octets after which sending fails.
    pub(crate) send_limit: usize,
    content: Option<Decoder>,
    /// The client's commands, and `[message]` for content.
    pub(crate) commands: Vec<String>,
    /// The content of the last message.
    pub(crate) message: Vec<u8>,
}

enum Behaviour {
    Sink(Sink),
    Raw(VecDeque<Vec<u8>>),
}

#[derive(Default)]
pub(crate) struct Sink {
    pub(crate) features: Vec<String>,
    pub(crate) no_ehlo: bool,
    pub(crate) lmtp: bool,
    pub(crate) auth: Option<(String, String)>,
    pub(crate) mechanisms: String,
    pub(crate) auth_equals: bool,
    /// To a command that begins so, and has this in it, this reply.
    pub(crate) rules: Vec<(String, String, String)>,
    pub(crate) recipients: usize,
    pub(crate) login: Option<(String, Vec<Vec<u8>>)>,
}

impl Sink {
    pub(crate) fn new() -> Sink {
        let features = ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"];
        let features = features.map(str::to_owned).to_vec();
        Sink { features, mechanisms: "PLAIN LOGIN".into(), ..Sink::default() }
    }

    fn rule(&self, word: &str, rest: &str) -> Option<String> {
        let rule = self.rules.iter().find(|(rule, part, _)| rule == word && rest.contains(part.as_str()));
        rule.map(|(_, _, reply)| reply.clone())
    }

    fn ehlo(&self) -> String {
        let mut lines = vec!["mx.remote.example".to_owned()];
        lines.extend(self.features.iter().cloned());
        if self.auth.is_some() {
            lines.push(format!("AUTH {}", self.mechanisms));
            if self.auth_equals {
                lines.push(format!("AUTH={}", self.mechanisms));
            }
        }
        let last = lines.len() - 1;
        lines
            .iter()
            .enumerate()
            .map(|(at, l)| format!("250{}{l}\r\n", if at < last { '-' } else { ' ' }))
            .collect()
    }
}

impl Peer {
    pub(crate) fn sink(sink: Sink, piece: usize) -> Peer {
        let greeting = format!("220 mx.remote.example {}", if sink.lmtp { "LMTP" } else { "ESMTP" });
        let greeting = sink.rule("CONNECT", "").unwrap_or(greeting);
        let mut peer = Peer::new(Behaviour::Sink(sink), piece);
        peer.say(&greeting);
        peer
    }

    pub(crate) fn raw(mut script: VecDeque<Vec<u8>>, piece: usize) -> Peer {
        let greeting = script.pop_front().unwrap();
        let mut peer = Peer::new(Behaviour::Raw(script), piece);
        peer.say_raw(greeting);
        peer
    }

    fn new(behaviour: Behaviour, piece: usize) -> Peer {
        Peer {
            behaviour,
            received: Vec::new(),
            said: VecDeque::new(),
            piece,
            is_closed: false,
            hangs: false,
            send_limit: usize::MAX,
            content: None,
            commands: Vec::new(),
            message: Vec::new(),
        }
    }

    fn say(&mut self, reply: &str) {
        if reply == "DROP" {
            self.is_closed = true;
            return;
        }
        self.said.extend(reply.as_bytes());
        self.said.extend(b"\r\n");
    }

    fn run(&mut self) {
        while !self.is_closed && !self.hangs {
            if self.content.is_some() {
                if !self.take_content() {
                    return;
                }
                self.commands.push("[message]".into());
                self.answer_content();
                continue;
            }
            let Some(end) = self.received.iter().position(|b| *b == b'\n') else { return };
            let line: Vec<u8> = self.received.drain(..=end).collect();
            let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            self.answer(&line);
        }
    }

    fn take_content(&mut self) -> bool {
        let received = std::mem::take(&mut self.received);
        let mut input = &received[..];
        let decoder = self.content.as_mut().unwrap();
        loop {
            match decoder.next(&mut input) {
                Step::Content(piece) => self.message.extend_from_slice(piece),
                Step::Starved => return false,
                Step::End => break,
            }
        }
        self.received = input.to_vec();
        self.content = None;
        true
    }

    fn begin_content(&mut self) {
        self.message.clear();
        self.content = Some(Decoder::dots(ForbidBareNewline::Reject));
    }

    fn answer_content(&mut self) {
        match &mut self.behaviour {
            Behaviour::Raw(script) => {
                let reply = script.pop_front().unwrap();
                self.say_raw(reply);
            }
            Behaviour::Sink(sink) => {
                let rule = sink.rule("DOT", "");
                let count = if sink.lmtp && rule.is_none() { sink.recipients } else { 1 };
                for _ in 0..count {
                    self.say(rule.as_deref().unwrap_or("250 2.0.0 taken as 2.1"));
                }
            }
        }
    }

    fn say_raw(&mut self, reply: Vec<u8>) {
        self.hangs |= reply == b"HANG";
        if self.hangs {
            return;
        }
        if reply == b"DROP" {
            self.is_closed = true;
            return;
        }
        if reply.starts_with(b"354") {
            self.begin_content();
        }
        self.said.extend(reply);
    }

    fn answer(&mut self, line: &str) {
        let Behaviour::Sink(sink) = &mut self.behaviour else {
            self.commands.push(line.to_owned());
            let Behaviour::Raw(script) = &mut self.behaviour else { unreachable!("checked above") };
            match script.pop_front() {
                Some(reply) => self.say_raw(reply),
                None => self.is_closed = true,
            }
            return;
        };
        if sink.login.is_some() {
            return self.go_on_with_login(line);
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let shown = if word == "AUTH" {
            format!("AUTH {}", rest.split(' ').next().unwrap())
        } else {
            line.to_owned()
        };
        self.commands.push(shown);
        let reply = match (sink.rule(word, rest), word) {
            (Some(reply), word) if word != "AUTH" => reply,
            (_, "EHLO" | "LHLO") if sink.no_ehlo => "502 5.5.1 no".into(),
            (_, "EHLO" | "LHLO") => {
                let reply = sink.ehlo();
                self.said.extend(reply.as_bytes());
                return;
            }
            (_, "HELO") => "250 mx.remote.example".into(),
            (_, "AUTH") => return self.begin_login(rest),
            (_, "MAIL") => {
                sink.recipients = 0;
                "250 2.1.0 ok".into()
            }
            (_, "RCPT") => {
                sink.recipients += 1;
                "250 2.1.5 ok".into()
            }
            (_, "DATA") if sink.recipients == 0 => "503 5.5.1 no recipients".into(),
            (_, "DATA") => {
                self.begin_content();
                "354 go".into()
            }
            (_, "RSET") => "250 2.0.0 ok".into(),
            (_, "QUIT") => "221 2.0.0 bye".into(),
            _ => "502 5.5.2 what?".into(),
        };
        self.say(&reply);
        self.is_closed |= word == "QUIT";
    }

    fn begin_login(&mut self, rest: &str) {
        let Behaviour::Sink(sink) = &mut self.behaviour else { return };
        let (mechanism, initial) =
            rest.split_once(' ').map_or((rest, None), |(m, i)| (m, Some(i.to_owned())));
        sink.login = Some((mechanism.to_owned(), Vec::new()));
        match (initial, mechanism) {
            (Some(response), _) => self.go_on_with_login(&response),
            (None, "LOGIN") => self.say(&format!("334 {}", BASE64.encode("Username:"))),
            (None, "CRAM-MD5") => self.say(&format!("334 {}", BASE64.encode("<1.2@sink>"))),
            (None, _) => self.say("334 "),
        }
    }

    fn go_on_with_login(&mut self, response: &str) {
        let Behaviour::Sink(sink) = &mut self.behaviour else { return };
        let (mechanism, responses) = sink.login.as_mut().unwrap();
        responses.push(BASE64.decode(response).unwrap());
        if mechanism == "LOGIN" && responses.len() == 1 {
            return self.say(&format!("334 {}", BASE64.encode("Password:")));
        }
        let (user, password) = sink.auth.clone().unwrap();
        let right: Vec<u8> = match mechanism.as_str() {
            "PLAIN" => format!("\0{user}\0{password}").into_bytes(),
            "LOGIN" => format!("{user}\0{password}").into_bytes(),
            // of user:pass and <1.2@sink>
            _ => b"user 2c0f0f68da760dbe55dfdcbbe879b021".to_vec(),
        };
        let is_right = responses.join(&0) == right;
        self.commands.push(format!("[auth {mechanism} {user} {}]", if is_right { "ok" } else { "failed" }));
        sink.login = None;
        self.say(if is_right { "235 2.7.0 ok" } else { "535 5.7.8 authentication failed" });
    }
}

impl Wire for Peer {
    async fn send(&mut self, octets: &[u8], _: Stage) -> Result<(), Lost> {
        self.received.extend_from_slice(octets);
        self.run();
        self.send_limit = self.send_limit.saturating_sub(octets.len());
        self.is_closed |= self.send_limit == 0;
        if self.send_limit == 0 { Err(Lost::Closed) } else { Ok(()) }
    }

    async fn flush(&mut self, _: Stage) -> Result<(), Lost> {
        Ok(())
    }

    async fn pause(&mut self) {}

    async fn receive(&mut self, input: &mut BytesMut, stage: Stage) -> Result<(), Lost> {
        if self.said.is_empty() && self.hangs {
            return Err(Lost::TimedOut);
        }
        if self.said.is_empty() {
            assert!(self.is_closed, "{stage:?}: the client waits for a reply that will not come");
            return Err(Lost::Closed);
        }
        let count = self.piece.min(self.said.len());
        input.extend(self.said.drain(..count));
        Ok(())
    }
}
