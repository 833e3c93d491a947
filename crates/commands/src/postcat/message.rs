//! Our messages and letters as the records that Postfix would have of them.

use super::record::{Record, kind, size_in_file};
use mail::{
    Address, Encoding, Envelope, Fate, Notify, Origin, Outcome, QueueId, Recipient, Ret, Time, xtext,
};
use params::service::Common;
use spool::Stored;
use spool::maildrop::{MaildropError, Picked, Requeued, Submission};
use spool::showq::Queue;
use std::io;

/// Where Postfix would keep a message.
pub(super) fn path(common: &Common, queue: Queue, id: QueueId) -> String {
    let mut path = format!("{}/", queue.name());
    let is_hashed = common.hash_queue_names.iter().any(|name| name == queue.name());
    let digits = id.micros_in_hex().unwrap_or_else(|| id.to_string());
    if is_hashed {
        digits.chars().take(common.hash_queue_depth as usize).for_each(|c| path.extend([c, '/']));
    }
    path + id.as_str()
}

/// Takes records; false if it wants no more.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&Record) -> io::Result<bool>;

/// Why a message is not shown to its end.
pub(super) enum Broken {
    Output(io::Error),
    Input(io::Error),
}

/// A message of the spool. `line_length_limit`: longer lines come in pieces.
pub(super) fn show(stored: &Stored, line_length_limit: usize, sink: Sink<'_>) -> Result<(), Broken> {
    let mut file = File::new(line_length_limit, true, sink);
    for (kind, data) in envelope_records(stored.id, &stored.envelope, &stored.outcomes) {
        if !file.put(kind, &data)? {
            return Ok(());
        }
    }
    let mut reader = stored.content.reader();
    while let Some(chunk) = reader.next_chunk().map_err(Broken::Input)? {
        if !file.put_content(&chunk)? {
            return Ok(());
        }
    }
    file.end(encoding(stored.envelope.encoding))
}

/// A letter in the maildrop.
pub(super) fn show_letter(
    id: QueueId,
    picked: &mut Picked,
    line_length_limit: usize,
    sink: Sink<'_>,
) -> Result<(), Broken> {
    let mut file = File::new(line_length_limit, false, sink);
    let submission = picked.reader.submission();
    let records = match &submission.requeued {
        Some(requeued) => requeued_records(id, submission, requeued, picked.arrival),
        None => letter_records(submission, picked.arrival),
    };
    for (kind, data) in records {
        if !file.put(kind, &data)? {
            return Ok(());
        }
    }
    let unreadable = |e| match e {
        MaildropError::Io(e) => Broken::Input(e),
        other => Broken::Input(io::Error::other(other)),
    };
    while let Some(piece) = picked.reader.next_piece().map_err(unreadable)? {
        if !file.put_content(piece)? {
            return Ok(());
        }
    }
    file.end(None)
}

/// A file that is made up while it is read.
struct File<'a> {
    sink: Sink<'a>,
    offset: u64,
    line_length_limit: usize,
    /// Lines end with CRLF.
    has_crs: bool,
    line: Vec<u8>,
    has_open_cr: bool,
}

impl<'a> File<'a> {
    fn new(line_length_limit: usize, has_crs: bool, sink: Sink<'a>) -> File<'a> {
        File { sink, offset: 0, line_length_limit, has_crs, line: Vec::new(), has_open_cr: false }
    }

    fn put(&mut self, kind: u8, data: &[u8]) -> Result<bool, Broken> {
        let record = Record { offset: self.offset, kind, data: data.to_vec() };
        self.offset += size_in_file(data);
        (self.sink)(&record).map_err(Broken::Output)
    }

    fn put_line(&mut self, kind: u8) -> Result<bool, Broken> {
        let line = std::mem::take(&mut self.line);
        self.put(kind, &line)
    }

    fn put_content(&mut self, octets: &[u8]) -> Result<bool, Broken> {
        for &b in octets {
            if std::mem::take(&mut self.has_open_cr) && b != b'\n' && !self.put_octet(b'\r')? {
                return Ok(false);
            }
            let goes_on = match b {
                b'\n' => self.put_line(kind::LINE)?,
                b'\r' if self.has_crs => {
                    self.has_open_cr = true;
                    true
                }
                _ => self.put_octet(b)?,
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn put_octet(&mut self, octet: u8) -> Result<bool, Broken> {
        self.line.push(octet);
        if self.line.len() < self.line_length_limit { Ok(true) } else { self.put_line(kind::PIECE) }
    }

    /// Ends the content and the file; `extracted` comes after the content.
    fn end(&mut self, extracted: Option<Part>) -> Result<(), Broken> {
        if !self.line.is_empty() && !self.put_line(kind::PIECE)? {
            return Ok(());
        }
        for (kind, data) in [(kind::EXTRACTED, Vec::new())].into_iter().chain(extracted) {
            if !self.put(kind, &data)? {
                return Ok(());
            }
        }
        self.put(kind::END, b"").map(drop)
    }
}

type Part = (u8, Vec<u8>);

fn attribute(name: &str, value: impl AsRef<[u8]>) -> Part {
    (kind::ATTRIBUTE, [name.as_bytes(), b"=", value.as_ref()].concat())
}

fn time(at: Time) -> Part {
    (kind::TIME, format!("{} {:6}", at.secs(), at.subsec_micros()).into_bytes())
}

fn encoding(encoding: Encoding) -> Option<Part> {
    match encoding {
        Encoding::Unspecified => None,
        Encoding::SevenBit => Some(attribute("encoding", "7bit")),
        Encoding::EightBitMime => Some(attribute("encoding", "8bit")),
    }
}

fn rewrite_context(is_local: bool) -> Part {
    attribute("rewrite_context", if is_local { "local" } else { "remote" })
}

/// Everything before the content. The size record comes first and says how long the others are.
fn envelope_records(id: QueueId, envelope: &Envelope, outcomes: &[Option<Outcome>]) -> Vec<Part> {
    let mut records = vec![time(envelope.arrival)];
    records.extend(envelope.content_filter.iter().map(|filter| (kind::FILTER, filter.clone().into_bytes())));
    records.push(attribute("create_time", envelope.arrival.secs().to_string()));
    if envelope.origin == Origin::Smtp {
        records.push(attribute("log_ident", id.as_str()));
    }
    records.push(rewrite_context(envelope.rewrite_local));
    records.extend(sasl(envelope));
    records.extend(dsn(envelope.envid.as_deref(), envelope.ret));
    let (full_name, others): (Vec<_>, Vec<_>) =
        envelope.extra.iter().partition(|(name, _)| name == "sender_fullname");
    records.extend(full_name.into_iter().map(|(_, name)| (kind::FULL_NAME, name.to_vec())));
    records.push((kind::SENDER, envelope.sender.as_bytes().to_vec()));
    records.extend(encoding(envelope.encoding));
    if envelope.origin == Origin::Smtp {
        records.extend(client(envelope));
    }
    records.extend(others.into_iter().map(|(name, value)| extra(name, value)));
    for (recipient, outcome) in envelope.recipients.iter().zip(outcomes) {
        let is_done = outcome.as_ref().is_some_and(|o| o.fate != Fate::Deferred);
        records.extend(recipient_records(recipient, is_done));
    }
    records.push((kind::CONTENT, Vec::new()));
    let rest: u64 = records.iter().map(|(_, data)| size_in_file(data)).sum();
    records.insert(0, size(envelope, rest));
    records
}

fn size(envelope: &Envelope, rest: u64) -> Part {
    let (own_size, recipients) = (97, envelope.recipients.len());
    let (size, offset) = (envelope.size, own_size + rest);
    let smtputf8 = u8::from(envelope.smtputf8);
    let text = format!("{size:15} {offset:15} {recipients:15} {:15} {size:15} {smtputf8:15}", 0);
    debug_assert_eq!(size_in_file(text.as_bytes()), own_size);
    (kind::SIZE, text.into_bytes())
}

fn sasl(envelope: &Envelope) -> impl Iterator<Item = Part> {
    let client = &envelope.client;
    [
        ("sasl_method", &client.sasl_method),
        ("sasl_username", &client.sasl_username),
        ("sasl_sender", &client.sasl_sender),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| attribute(name, value))
}

fn dsn(envid: Option<&[u8]>, ret: Option<Ret>) -> impl Iterator<Item = Part> {
    let envid = envid.map(|id| attribute("envelope_id", xtext::decode(id).unwrap_or_else(|| id.to_vec())));
    let ret = ret.map(|ret| attribute("ret_flags", if ret == Ret::Full { "1" } else { "2" }));
    envid.into_iter().chain(ret)
}

fn client(envelope: &Envelope) -> Vec<Part> {
    let client = &envelope.client;
    let port = client.port.to_string();
    let origin = format!("{}[{}]", client.name, client.address);
    let family = if client.address.contains(':') { "10" } else { "2" };
    [
        ("log_client_name", client.name.as_str()),
        ("log_client_address", &client.address),
        ("log_client_port", &port),
        ("log_message_origin", &origin),
        ("log_helo_name", &client.helo),
        ("log_protocol_name", &client.protocol),
        ("client_name", &client.name),
        ("client_address", &client.address),
        ("client_port", &port),
        ("helo_name", &client.helo),
        ("protocol_name", &client.protocol),
        ("client_address_type", family),
    ]
    .map(|(name, value)| attribute(name, value))
    .to_vec()
}

/// What only some rooms know. Postfix has records of their own for some of it.
fn extra(name: &str, value: &[u8]) -> Part {
    match name {
        "verp_delims" => (kind::VERP, value.to_vec()),
        "redirect_to" => (b'>', value.to_vec()),
        _ => attribute(name, value),
    }
}

fn recipient_records(recipient: &Recipient, is_done: bool) -> Vec<Part> {
    let original = recipient.original.as_ref().unwrap_or(&recipient.address);
    let mut records = Vec::new();
    records.extend(notify(recipient.notify));
    records.push(attribute("dsn_orig_rcpt", original_recipient(recipient.orcpt.as_deref(), original)));
    records.push((kind::ORIGINAL, original.as_bytes().to_vec()));
    let kind = if is_done { kind::DONE } else { kind::RECIPIENT };
    records.push((kind, recipient.address.as_bytes().to_vec()));
    records
}

fn notify(notify: Notify) -> Option<Part> {
    (!notify.is_unset()).then(|| attribute("notify_flags", notify.bits().to_string()))
}

/// `rfc822;address`, out of xtext. Postfix makes one up where none was given.
fn original_recipient(orcpt: Option<&[u8]>, original: &Address) -> Vec<u8> {
    let Some(orcpt) = orcpt else {
        return [b"rfc822;", &original.external()[..]].concat();
    };
    let start = orcpt.iter().position(|b| *b == b';').map_or(0, |at| at + 1);
    let (kind, address) = orcpt.split_at(start);
    [kind, &xtext::decode(address).unwrap_or_else(|| address.to_vec())].concat()
}

/// As in the queue, where the letter was before.
fn requeued_records(id: QueueId, submission: &Submission, requeued: &Requeued, arrival: Time) -> Vec<Part> {
    let (contexts, mut extra): (Vec<_>, Vec<_>) =
        submission.extra.iter().cloned().partition(|(name, _)| name == "rewrite_context");
    extra.extend(submission.full_name.iter().map(|name| ("sender_fullname".to_owned(), name.clone())));
    let came_by_smtp = !requeued.client.name.is_empty();
    let envelope = Envelope {
        sender: submission.sender.clone().unwrap_or_default(),
        recipients: submission.recipients.clone(),
        arrival,
        origin: if came_by_smtp { Origin::Smtp } else { Origin::Internal },
        client: requeued.client.clone(),
        encoding: submission.encoding,
        ret: submission.ret,
        envid: submission.envid.clone(),
        rewrite_local: contexts.is_empty(),
        size: requeued.size,
        extra,
        ..Envelope::default()
    };
    envelope_records(id, &envelope, &vec![None; envelope.recipients.len()])
}

fn letter_records(submission: &Submission, arrival: Time) -> Vec<Part> {
    let mut records = vec![time(arrival)];
    records.extend(dsn(submission.envid.as_deref(), submission.ret));
    let mut contexts = submission.extra.iter().filter(|(name, _)| name == "rewrite_context");
    records.push(rewrite_context(!contexts.any(|(_, value)| &value[..] == b"remote")));
    records.extend(submission.full_name.iter().map(|name| (kind::FULL_NAME, name.to_vec())));
    records.extend(submission.sender.iter().map(|sender| (kind::SENDER, sender.as_bytes().to_vec())));
    records.extend(encoding(submission.encoding));
    let others = submission.extra.iter().filter(|(name, _)| name != "rewrite_context");
    records.extend(others.map(|(name, value)| extra(name, value)));
    for recipient in &submission.recipients {
        records.extend(notify(recipient.notify));
        records.push((kind::RECIPIENT, recipient.address.as_bytes().to_vec()));
    }
    records.push((kind::CONTENT, Vec::new()));
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Client, DsnStatus};
    use spool::Content;

    fn outcome(recipient: u32, fate: Fate) -> Option<Outcome> {
        Some(Outcome {
            recipient,
            fate,
            status: DsnStatus::new(4, 0, 0),
            reason: String::new(),
            remote_mta: None,
            diagnostic: None,
            at: Time::from_secs(0),
        })
    }

    fn shown(stored: &Stored, line_length_limit: usize) -> Vec<Record> {
        let mut records = Vec::new();
        let mut sink = |record: &Record| {
            records.push(record.clone());
            Ok(true)
        };
        assert!(show(stored, line_length_limit, &mut sink).is_ok());
        records
    }

    fn text(records: &[Record]) -> String {
        let line = |r: &Record| format!("{}{}\n", char::from(r.kind), String::from_utf8_lossy(&r.data));
        records.iter().map(line).collect()
    }

    fn message(content: &'static str) -> Stored {
        let recipient = |address: &str| Recipient { address: address.into(), ..Recipient::default() };
        let envelope = Envelope {
            sender: "a@b.example".into(),
            recipients: vec![
                Recipient {
                    notify: Notify::from_bits(10),
                    orcpt: Some("rfc822;orig+2B@x".into()),
                    ..recipient("x@remote.example")
                },
                Recipient { original: Some("v@example.com".into()), ..recipient("w@remote.example") },
                recipient("q r@remote.example"),
            ],
            arrival: Time::from_micros(1_795_573_375_819_805),
            client: Client {
                name: "localhost".into(),
                address: "127.0.0.1".into(),
                port: 37468,
                helo: "cli.example".into(),
                protocol: "ESMTP".into(),
                ..Client::default()
            },
            encoding: Encoding::EightBitMime,
            ret: Some(Ret::Headers),
            envid: Some("ab+2Bcd".into()),
            rewrite_local: true,
            size: 3398,
            extra: vec![("verp_delims".into(), "+=".into()), ("sender_fullname".into(), "A. B.".into())],
            ..Envelope::default()
        };
        let id = QueueId::parse(b"C2123B3").expect("an id");
        let mut stored = Stored::new(id, envelope, Content::new("", content));
        stored.outcomes[1] = outcome(1, Fate::Sent);
        stored.outcomes[2] = outcome(2, Fate::Deferred);
        stored
    }

    #[test]
    fn as_postfix_has_it() {
        let records = shown(&message("Subject: t\r\n\r\nhi\r\n"), 2048);
        let expect = "\
C           3398             798               3               0            3398               0
T1795573375 819805
Acreate_time=1795573375
Alog_ident=C2123B3
Arewrite_context=local
Aenvelope_id=ab+cd
Aret_flags=2
FA. B.
Sa@b.example
Aencoding=8bit
Alog_client_name=localhost
Alog_client_address=127.0.0.1
Alog_client_port=37468
Alog_message_origin=localhost[127.0.0.1]
Alog_helo_name=cli.example
Alog_protocol_name=ESMTP
Aclient_name=localhost
Aclient_address=127.0.0.1
Aclient_port=37468
Ahelo_name=cli.example
Aprotocol_name=ESMTP
Aclient_address_type=2
V+=
Anotify_flags=10
Adsn_orig_rcpt=rfc822;orig+@x
Ox@remote.example
Rx@remote.example
Adsn_orig_rcpt=rfc822;v@example.com
Ov@example.com
Dw@remote.example
Adsn_orig_rcpt=rfc822;\"q r\"@remote.example
Oq r@remote.example
Rq r@remote.example
M
NSubject: t
N
Nhi
X
Aencoding=8bit
E
";
        assert_eq!(text(&records), expect);
        let first_line = records.iter().find(|r| r.kind == b'N').expect("a line");
        assert_eq!(first_line.offset, 798);
    }

    #[test]
    fn content() {
        for (content, expect) in [
            ("", ""),
            ("a\r\nb\r\n", "Na\nNb\n"),
            ("a\rb\r\n", "La\rb\nN\n"),
            ("abc\r\nd\r\n", "Labc\nN\nNd\n"),
            ("abcd\r\n", "Labc\nNd\n"),
            ("ab\r\r\n", "Lab\r\nN\n"),
        ] {
            let records = text(&shown(&message(content), 3));
            let lines = records.split_once("\nM\n").and_then(|(_, rest)| rest.split_once("X\n"));
            assert_eq!(lines.map(|(lines, _)| lines), Some(expect), "{content:?}");
        }
    }

    #[test]
    fn a_reader_that_has_enough() {
        let mut count = 0;
        let mut sink = |record: &Record| {
            count += 1;
            Ok(record.kind != b'N')
        };
        assert!(show(&message("a\r\nb\r\n"), 2048, &mut sink).is_ok());
        assert_eq!(count, 35);
    }

    #[test]
    fn letters() {
        let submission = Submission {
            sender: Some("root".into()),
            recipients: vec![Recipient { address: "alice".into(), ..Recipient::default() }],
            full_name: Some("root".into()),
            extra: vec![("trace_flags".into(), "1024".into()), ("rewrite_context".into(), "remote".into())],
            ..Submission::default()
        };
        let shown: Vec<String> = letter_records(&submission, Time::from_micros(1_000_005))
            .into_iter()
            .map(|(kind, data)| format!("{}{}", char::from(kind), String::from_utf8_lossy(&data)))
            .collect();
        assert_eq!(
            shown,
            ["T1      5", "Arewrite_context=remote", "Froot", "Sroot", "Atrace_flags=1024", "Ralice", "M"]
        );
    }

    #[test]
    fn paths() {
        let common = Common {
            hash_queue_names: vec!["deferred".into(), "defer".into()],
            hash_queue_depth: 2,
            ..Common::default()
        };
        let at = Time::from_micros(1_700_000_000_789_255);
        for (queue, id, expect) in [
            (Queue::Deferred, QueueId::short(at, 0xB3), "deferred/C/0/C0B07B3"),
            (Queue::Hold, QueueId::short(at, 0xB3), "hold/C0B07B3"),
        ] {
            assert_eq!(path(&common, queue, id), expect);
        }
        let long = QueueId::long(at, 7);
        assert_eq!(path(&common, Queue::Deferred, long), format!("deferred/C/0/{long}"));
    }
}
