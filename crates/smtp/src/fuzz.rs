//! Entries for fuzzing, and the naive readings that they hold the real code against. Not an interface.
//!
//! `/fuzz/fuzz_targets` calls these with arbitrary octets; ordinary tests call them with a small corpus.

use crate::address;
use crate::client::{self, Client, Lost, Protocol, Rcpt, ReplyReader, Stage, Wire};
use crate::framing::{Decoder, ForbidBareNewline, Step};
use crate::sasl::{Credentials, Exchange, Mechanism, SecurityOptions};
use crate::server::{Config, Event, Peer, Sasl, Session};
use bytes::{Bytes, BytesMut};
use mail::{Address, Notify};
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

/// Content after DATA, cut anywhere, against the naive reading.
pub fn fuzz_data_framing(data: &[u8]) {
    let Some((&[mode, first, second], wire)) = data.split_first_chunk::<3>() else { return };
    let mode = mode_of(mode);
    let cuts = [usize::from(first), usize::from(second)];
    assert_eq!(decode_split(Decoder::dots(mode), wire, &cuts), decode_naively(mode, wire));
}

/// Content in chunks, cut anywhere, against the naive reading.
pub fn fuzz_chunk_framing(data: &[u8]) {
    let Some((&[mode, first, second], wire)) = data.split_first_chunk::<3>() else { return };
    let mode = mode_of(mode);
    let cuts = [usize::from(first), usize::from(second)];
    assert_eq!(decode_chunks(mode, wire, &cuts), decode_chunks_naively(mode, wire));
}

/// An address: whatever is taken strictly is taken leniently, and means the same.
pub fn fuzz_address(data: &[u8]) {
    let strict = address::parse(data, true);
    assert!(strict.is_none() || strict == address::parse(data, false));
}

/// A server session in which everything is welcome: however the octets are cut, the replies and the content are the same.
pub fn fuzz_server_session(data: &[u8]) {
    let Some((&[mode, first, second], wire)) = data.split_first_chunk::<3>() else { return };
    let mode = mode_of(mode);
    let cuts = [usize::from(first), usize::from(second)];
    let (replies, content) = play(mode, wire, &cuts);
    assert_eq!((&replies, &content), (&play_octets(mode, wire).0, &play_octets(mode, wire).1));
    if mode != ForbidBareNewline::No {
        assert!(
            content.iter().enumerate().all(|(at, b)| *b != b'\n' || (at > 0 && content[at - 1] == b'\r'))
        );
    }
}

/// Replies: cut anywhere they are the same, and nothing in them is a control character.
pub fn fuzz_reply(data: &[u8]) {
    let Some((&[first, second], wire)) = data.split_first_chunk::<2>() else { return };
    let read = |cuts: &[usize]| {
        let (mut reader, mut replies) = (ReplyReader::new(20), Vec::new());
        for mut input in pieces(wire, cuts) {
            while let Ok(Some(reply)) = reader.read(&mut input) {
                assert!(!reply.text.contains(char::is_control));
                replies.push(reply);
            }
        }
        replies
    };
    assert_eq!(read(&[usize::from(first), usize::from(second)]), read(&[]));
}

/// A login at a server that says anything.
pub fn fuzz_sasl(data: &[u8]) {
    let Some((&[mechanism], challenges)) = data.split_first_chunk::<1>() else { return };
    let mechanism = ["SCRAM-SHA-1", "CRAM-MD5", "LOGIN", "PLAIN"][usize::from(mechanism & 3)];
    let credentials = Credentials::Password { user: "user".into(), password: "password".into() };
    let mechanism = Mechanism::parse(mechanism).expect("it is in the table");
    let exchange = Exchange::new(mechanism, credentials, Default::default(), "abc");
    let mut exchange = exchange.expect("passwords suit these");
    for challenge in challenges.split(|b| *b == b'\n') {
        // a server may make us work; here it may not
        if !challenge.windows(6).any(|w| w.starts_with(b"i=") && w.iter().all(|b| *b != b',')) {
            let response = exchange.respond(challenge).unwrap_or_default();
            assert!(!response.expose().contains(&b'\n'));
        }
    }
}

/// A client at a server that says anything: it comes to an end, and says no more lines than it means to.
pub fn fuzz_client(data: &[u8]) {
    let server = Anything { said: data.to_vec(), heard: Vec::new() };
    let protocol = if data.first().is_some_and(|b| b % 2 == 0) { Protocol::Smtp } else { Protocol::Lmtp };
    let mut client = Client::new(server, protocol, Default::default(), Default::default());
    let end = std::pin::pin!(converse(&mut client)).poll(&mut Context::from_waker(Waker::noop())).is_ready();
    assert!(end, "nothing here waits");
    assert!(client.wire().heard.split_inclusive(|b| *b == b'\n').all(|line| line.ends_with(b"\r\n")));
}

async fn converse(client: &mut Client<Anything>) -> Result<(), client::Failure> {
    client.greet().await?;
    client.hello().await?;
    let login = client::Login {
        credentials: Credentials::Password { user: "user".into(), password: "password".into() },
        security_options: SecurityOptions::default(),
        is_allowed: &|name| name != "SCRAM-SHA-1",
        nonce: "abc".into(),
    };
    client.login(login).await?;
    let recipients =
        ["a@b", "c@d"].map(|a| Rcpt { address: Address::from(a), orcpt: None, notify: Notify::NEVER });
    let sender = Address::from("x@y");
    let message = client::Message::new(&sender, &recipients, 9);
    let mut content = std::iter::once(Ok(Bytes::from_static(b".\r\nx\r\n")));
    let mut reported = [false; 2];
    let mut report = |at: usize, _| assert!(!std::mem::replace(&mut reported[at], true));
    client.deliver(&message, &mut content, &mut report).await
}

/// A server that has said all it will say.
struct Anything {
    said: Vec<u8>,
    heard: Vec<u8>,
}

impl Wire for Anything {
    async fn send(&mut self, octets: &[u8], _: Stage) -> Result<(), Lost> {
        self.heard.extend_from_slice(octets);
        Ok(())
    }

    async fn flush(&mut self, _: Stage) -> Result<(), Lost> {
        Ok(())
    }

    async fn pause(&mut self) {}

    async fn receive(&mut self, input: &mut BytesMut, _: Stage) -> Result<(), Lost> {
        let count = self.said.len().min(10);
        input.extend(self.said.drain(..count));
        if count > 0 { Ok(()) } else { Err(Lost::Closed) }
    }
}

fn play_octets(mode: ForbidBareNewline, wire: &[u8]) -> (String, Vec<u8>) {
    let every: Vec<usize> = (1..wire.len()).collect();
    play(mode, wire, &every)
}

/// The replies, and the content of whole messages.
fn play(mode: ForbidBareNewline, wire: &[u8], cuts: &[usize]) -> (String, Vec<u8>) {
    let peer = Peer { smtpd_forbid_bare_newline: mode, may_xclient: true, may_verp: true, ..Peer::default() };
    let config = Config {
        message_size_limit: 100,
        line_length_limit: 60,
        smtpd_hard_error_limit: 1000,
        ..Config::default()
    };
    let mut session = Session::new(Arc::new(config), peer.clone(), false);
    session.set_sasl(Sasl::Active { mechanisms: "PLAIN".into(), is_announced: true });
    let (mut replies, mut content, mut body) = (String::new(), Vec::new(), Vec::new());
    for mut input in pieces(wire, cuts) {
        loop {
            match session.poll_event(&mut input) {
                Event::Input | Event::Handshake | Event::Close => break,
                Event::Body(piece) => body.extend_from_slice(piece),
                Event::BodyEnd => {
                    content.append(&mut body);
                    session.queued("ID");
                }
                Event::Reset | Event::BodyFailed(_) => body.clear(),
                Event::Auth(auth) if auth.initial_response.is_none() => session.challenge(""),
                Event::Xclient(_) => session.become_client(peer.clone()),
                Event::Pause(_) | Event::Notice(_) => {}
                _ => session.accept(),
            }
        }
        while let Some(reply) = session.poll_output() {
            replies.push_str(&reply.to_wire());
        }
    }
    (replies, content)
}

fn mode_of(byte: u8) -> ForbidBareNewline {
    use ForbidBareNewline::{No, Normalize, Note, Reject};
    [No, Note, Normalize, Reject][usize::from(byte & 3)]
}

/// Feeds `wire` in pieces that end at the cuts. The content and how much is left behind its end, if it ends.
pub fn decode_split(mut decoder: Decoder, wire: &[u8], cuts: &[usize]) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut ahead) = (Vec::new(), wire.len());
    for mut input in pieces(wire, cuts) {
        ahead -= input.len();
        loop {
            match decoder.next(&mut input) {
                Step::Content(piece) => content.extend_from_slice(piece),
                Step::End => return Some((content, ahead + input.len())),
                Step::Starved => break,
            }
        }
    }
    None
}

fn pieces<'a>(wire: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
    ends.push(wire.len());
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter().map(|end| &wire[std::mem::replace(&mut start, end)..end]).collect()
}

/// The rules of `smtpd_forbid_bare_newline`, a whole line at a time.
pub fn decode_naively(mode: ForbidBareNewline, wire: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut rest, mut was_bare) = (Vec::new(), wire, false);
    while let Some((line, is_bare, behind)) = naive_line(mode, rest) {
        rest = behind;
        let is_unsafe = mode != ForbidBareNewline::No && (is_bare || was_bare);
        was_bare = is_bare;
        match line {
            b"." if is_unsafe => continue,
            b"." => return Some((content, rest.len())),
            [b'.', text @ ..] => content.extend_from_slice(text),
            text => content.extend_from_slice(text),
        }
        content.extend_from_slice(b"\r\n");
    }
    None
}

pub fn decode_chunks(mode: ForbidBareNewline, wire: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (mut decoder, mut content) = (Decoder::chunks(mode), Vec::new());
    for mut input in pieces(wire, cuts) {
        while let Step::Content(piece) = decoder.next(&mut input) {
            content.extend_from_slice(piece);
        }
    }
    while let Some(piece) = decoder.finish() {
        content.extend_from_slice(piece);
    }
    content
}

/// The same for chunks: no dots, and the last line is ended.
pub fn decode_chunks_naively(mode: ForbidBareNewline, wire: &[u8]) -> Vec<u8> {
    let (mut content, mut rest) = (Vec::new(), wire);
    while let Some((line, _, behind)) = naive_line(mode, rest) {
        rest = behind;
        content.extend_from_slice(line);
        content.extend_from_slice(b"\r\n");
    }
    if !rest.is_empty() {
        content.extend_from_slice(rest);
        content.extend_from_slice(b"\r\n");
    }
    content
}

/// The first line without its end, whether that was bare, and the rest.
fn naive_line(mode: ForbidBareNewline, wire: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let newline = wire.iter().position(|b| *b == b'\n')?;
    let mut line = &wire[..newline];
    let is_bare = !line.ends_with(b"\r");
    while let [text @ .., b'\r'] = line {
        line = text;
        if mode != ForbidBareNewline::No {
            break;
        }
    }
    Some((line, is_bare, &wire[newline + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: [fn(&[u8]); 7] = [
        fuzz_data_framing,
        fuzz_chunk_framing,
        fuzz_address,
        fuzz_server_session,
        fuzz_reply,
        fuzz_sasl,
        fuzz_client,
    ];

    /// What the fuzz targets begin with.
    const CORPUS: &[&[u8]] = &[
        b"",
        b"\0\x05\x09MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\n.\n..\r\n.\r\nQUIT\r\n",
        b"\x01\x20\x30EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 5\r\nx\n.\r\nBDAT 2 LAST\r\nab",
        b"\x02\x01\x01XCLIENT NAME=a ADDR=1.2.3.4\r\nEHLO a\r\nAUTH PLAIN\r\nAGE=\r\nBDAT x\r\n",
        b"\x03\x07\x11MAIL FROM:<a@b> RET=HDRS ENVID=a+2B\n",
        b"\x01\x02\x03\r\n.\r\r\n\r.\n.\r\n",
        b"220 a\r\n250-b\r\n250-PIPELINING\r\n250 DSN\r\n250 x\r\n250 y\r\n550 z\r\n354 go\r\n250 done\r\n",
        b"221 a\r\n250-b\r\n250 AUTH LOGIN CRAM-MD5\r\n334 VXNlcm5hbWU6\r\n535-5.7.8 no\r\n535 5.7.8 no\r\n",
        b"\x00r=abcd,s=QSXCR+Q6sek8bf92\nv=\n",
        b"<@a,@b:\"x y\"@c (d (e)) >",
    ];

    #[test]
    fn corpus() {
        for data in CORPUS {
            for entry in ENTRIES {
                entry(data);
            }
        }
    }

    const REPLIES: &str =
        "((250|354|550|220|334|garbage|421)[- ](5.1.1 |PIPELINING|AUTH LOGIN|VXNl)?\r?\n){0,12}";

    /// Words and octets that mean something to a session.
    fn dialogue() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
        use proptest::prelude::*;
        let words: &[&[u8]] = &[
            b"\r\n",
            b"\n",
            b"\r",
            b".",
            b"\r\n.\r\n",
            b"MAIL FROM:<a@b>\r\n",
            b"RCPT TO:<c@d>\r\n",
            b"DATA\r\n",
            b"BDAT 3",
            b" LAST",
            b"\r\n",
            b"abc",
            b"RSET\r\n",
            b"NOOP",
            b"EHLO x\r\n",
            b"AUTH PLAIN\r\n",
            b"XCLIENT NAME=a\r\n",
            b"*\r\n",
            b"STARTTLS\r\n",
            b"VRFY x\r\n",
            b"<",
            b"\"",
            b" ",
            b"\0",
            b"\xff",
            b"Subject: x\r\n",
            b"01234567890123456789012345678901234567890123456789",
        ];
        let word = proptest::sample::select(words.to_vec());
        proptest::collection::vec(word, 0..30).prop_map(|words| words.concat())
    }

    proptest::proptest! {
        #[test]
        fn sessions(mode: u8, cuts: [u8; 2], dialogue in dialogue()) {
            fuzz_server_session(&[&[mode][..], &cuts, &dialogue].concat());
        }

        #[test]
        fn conversations(wire in REPLIES) {
            fuzz_client(wire.as_bytes());
            fuzz_reply(wire.as_bytes());
        }

        #[test]
        fn chunks(mode: u8, cuts: [u8; 2], wire in "[\r\n.x]{0,40}") {
            fuzz_chunk_framing(&[&[mode][..], &cuts, wire.as_bytes()].concat());
        }
    }
}
