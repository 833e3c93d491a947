//! What the `public/showq` socket says: one attribute stream for `mailq`, exporters and web pages.
//!
//! The form is Postfix's (3.4 and later): names and values ended by NUL, a list ended by an empty name. A stream is the
//! protocol's name, then a list for each message, then an empty list.

use crate::maildrop::{Limits, Maildrop};
use crate::{Listed, Summary};
use mail::{Address, Fate, Outcome, QueueId, Recipient};
use std::io::{self, BufRead};

/// A message as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub queue: Queue,
    pub id: QueueId,
    /// Seconds since 1970.
    pub arrival: i64,
    /// Octets.
    pub size: u64,
    pub forced_expire: bool,
    /// In external form; `MAILER-DAEMON` for the null sender.
    pub sender: Vec<u8>,
    pub recipients: Vec<Waiting>,
}

/// A recipient that has no final fate yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// In external form.
    pub address: Vec<u8>,
    /// Why the last attempt failed; empty if there was none.
    pub reason: Vec<u8>,
}

/// Postfix's queues, as far as listings tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Queue {
    Maildrop,
    Incoming,
    Active,
    Deferred,
    Hold,
}

impl Queue {
    pub const ALL: [Queue; 5] =
        [Queue::Maildrop, Queue::Incoming, Queue::Active, Queue::Deferred, Queue::Hold];

    pub const fn name(self) -> &'static str {
        match self {
            Queue::Maildrop => "maildrop",
            Queue::Incoming => "incoming",
            Queue::Active => "active",
            Queue::Deferred => "deferred",
            Queue::Hold => "hold",
        }
    }

    /// Where Postfix would have a message of the spool. `is_active`: it is being delivered now.
    pub const fn of_message(summary: &Summary, is_active: bool) -> Queue {
        if summary.held {
            Queue::Hold
        } else if is_active {
            Queue::Active
        } else if summary.next_attempt.is_none() {
            Queue::Incoming
        } else {
            Queue::Deferred
        }
    }

    pub fn parse(name: &[u8]) -> Option<Queue> {
        Queue::ALL.into_iter().find(|q| q.name().as_bytes() == name)
    }
}

impl Entry {
    /// A message of the spool. `is_active`: it is being delivered now.
    pub fn of_message(listed: &Listed, is_active: bool) -> Entry {
        let summary = &listed.summary;
        let recipients = listed.envelope.recipients.iter().zip(&listed.outcomes);
        let is_open =
            |outcome: &Option<Outcome>| outcome.as_ref().is_none_or(|outcome| outcome.fate == Fate::Deferred);
        let mut open: Vec<_> = recipients.filter(|(_, outcome)| is_open(outcome)).collect();
        // Postfix: those with a reason come first, in the order in which they were deferred.
        open.sort_by_key(|(_, outcome)| outcome.as_ref().map_or((true, 0), |o| (false, o.at.micros())));
        let waiting = open.into_iter().map(|(recipient, outcome)| Waiting {
            address: recipient.address.external(),
            reason: outcome.as_ref().map_or_else(Vec::new, |o| o.reason.clone().into_bytes()),
        });
        Entry {
            queue: Queue::of_message(summary, is_active),
            id: summary.id,
            arrival: summary.arrival.secs(),
            size: summary.size,
            forced_expire: summary.expired,
            sender: sender(&listed.envelope.sender),
            recipients: waiting.collect(),
        }
    }

    /// The letters in a maildrop. One that cannot be read is pickup's business and left out.
    pub fn of_letters(maildrop: &Maildrop) -> io::Result<Vec<Entry>> {
        Ok(maildrop.names()?.into_iter().filter_map(|name| Entry::of_letter(maildrop, name)).collect())
    }

    fn of_letter(maildrop: &Maildrop, name: QueueId) -> Option<Entry> {
        let picked = maildrop.open(name, Limits::default()).ok()?;
        let submission = picked.reader.submission();
        let requeued = submission.requeued.as_ref();
        let reason = |n: usize| requeued.and_then(|r| r.reasons.get(n)).map_or(Vec::new(), |r| r.to_vec());
        let waiting = |(n, recipient): (usize, &Recipient)| Waiting {
            address: recipient.address.external(),
            reason: reason(n),
        };
        Some(Entry {
            queue: Queue::Maildrop,
            id: name,
            arrival: picked.arrival.secs(),
            size: requeued.map_or(picked.file_size, |requeued| requeued.size),
            forced_expire: false,
            sender: submission.sender.as_ref().map(sender).unwrap_or_default(),
            recipients: submission.recipients.iter().enumerate().map(waiting).collect(),
        })
    }
}

fn sender(address: &Address) -> Vec<u8> {
    if address.is_null() { b"MAILER-DAEMON".to_vec() } else { address.external() }
}

/// Octets of one value, at most: what a reader must be ready to hold.
const VALUE_LIMIT: u64 = 64 << 10;

/// The stream's first octets.
pub const PREAMBLE: &[u8] = b"protocol\0mail_queue_list_protocol\0\0";

/// The stream's last octet.
pub const END: &[u8] = b"\0";

/// Appends an entry to the stream.
pub fn encode(entry: &Entry, out: &mut Vec<u8>) {
    attribute(out, "queue_name", entry.queue.name().as_bytes());
    attribute(out, "queue_id", entry.id.as_str().as_bytes());
    attribute(out, "time", entry.arrival.to_string().as_bytes());
    attribute(out, "size", entry.size.to_string().as_bytes());
    attribute(out, "forced_expire", if entry.forced_expire { b"1" } else { b"0" });
    attribute(out, "sender", &entry.sender);
    for recipient in &entry.recipients {
        attribute(out, "recipient", &recipient.address);
        attribute(out, "reason", &recipient.reason);
    }
    out.push(0);
}

fn attribute(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.extend(value.iter().filter(|b| **b != 0));
    out.push(0);
}

/// Reads the stream's beginning.
pub fn decode_preamble(stream: &mut impl BufRead) -> io::Result<()> {
    let protocol = expect(stream, "protocol")?;
    if protocol != b"mail_queue_list_protocol" || !value(stream)?.is_empty() {
        return Err(malformed());
    }
    Ok(())
}

/// Reads the next entry; None at the stream's end.
pub fn decode(stream: &mut impl BufRead) -> io::Result<Option<Entry>> {
    let first = value(stream)?;
    if first.is_empty() {
        return Ok(None);
    }
    if first != b"queue_name" {
        return Err(malformed());
    }
    let queue = Queue::parse(&value(stream)?).ok_or_else(malformed)?;
    let id = QueueId::parse(&expect(stream, "queue_id")?).ok_or_else(malformed)?;
    let arrival = number(&expect(stream, "time")?)?;
    let size = number(&expect(stream, "size")?)?;
    let forced_expire = expect(stream, "forced_expire")? != b"0";
    let sender = expect(stream, "sender")?;
    let mut recipients = Vec::new();
    loop {
        let name = value(stream)?;
        match name.as_slice() {
            b"" => break,
            b"recipient" => {
                let address = value(stream)?;
                recipients.push(Waiting { address, reason: expect(stream, "reason")? });
            }
            _ => return Err(malformed()),
        }
    }
    Ok(Some(Entry { queue, id, arrival, size, forced_expire, sender, recipients }))
}

fn expect(stream: &mut impl BufRead, name: &str) -> io::Result<Vec<u8>> {
    if value(stream)? == name.as_bytes() { value(stream) } else { Err(malformed()) }
}

fn value(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    io::Read::take(&mut *stream, VALUE_LIMIT).read_until(0, &mut value)?;
    if value.pop() == Some(0) { Ok(value) } else { Err(malformed()) }
}

fn number<N: std::str::FromStr>(text: &[u8]) -> io::Result<N> {
    std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed showq server response")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maildrop::Submission;
    use mail::{DsnStatus, Envelope, Outcome, Time};

    fn entry() -> Entry {
        Entry {
            queue: Queue::Deferred,
            id: QueueId::parse(b"D6B17B6").expect("an id"),
            arrival: 1_795_569_913,
            size: 250,
            forced_expire: false,
            sender: b"MAILER-DAEMON".to_vec(),
            recipients: vec![Waiting { address: b"c@remote.example".to_vec(), reason: b"refused".to_vec() }],
        }
    }

    /// As captured from Debian's Postfix 3.7.11.
    #[test]
    fn the_stream_is_postfixs() {
        let mut out = PREAMBLE.to_vec();
        encode(&entry(), &mut out);
        out.extend_from_slice(END);
        let expect = b"protocol\0mail_queue_list_protocol\0\0queue_name\0deferred\0queue_id\0D6B17B6\0time\x001795569913\0\
            size\x00250\0forced_expire\x000\0sender\0MAILER-DAEMON\0recipient\0c@remote.example\0reason\0refused\0\0\0";
        assert_eq!(out, expect);
    }

    #[test]
    fn it_reads_back_and_cut_streams_are_errors() {
        let mut out = PREAMBLE.to_vec();
        encode(&entry(), &mut out);
        encode(&Entry { queue: Queue::Hold, recipients: vec![], ..entry() }, &mut out);
        out.extend_from_slice(END);
        let read = |mut stream: &[u8]| -> io::Result<Vec<Entry>> {
            decode_preamble(&mut stream)?;
            std::iter::from_fn(|| decode(&mut stream).transpose()).collect()
        };
        assert_eq!(read(&out).expect("whole").len(), 2);
        assert!((0..out.len()).all(|cut| read(&out[..cut]).is_err()));
    }

    #[test]
    fn messages() {
        let envelope = Envelope {
            recipients: ["a@x", "b c@x", "d@x"]
                .map(|a| Recipient { address: a.into(), ..Recipient::default() })
                .to_vec(),
            ..Envelope::default()
        };
        let outcome = |recipient, fate| Outcome {
            recipient,
            fate,
            status: DsnStatus::new(4, 0, 0),
            reason: "busy".into(),
            remote_mta: None,
            diagnostic: None,
            at: Time::from_secs(0),
        };
        let summary = Summary {
            id: QueueId::parse(b"AB1234").expect("an id"),
            arrival: Time::from_secs(7),
            next_attempt: None,
            held: false,
            expired: true,
            warned: false,
            size: 99,
            recipients: 3,
            pending: 2,
        };
        let outcomes = vec![Some(outcome(0, Fate::Sent)), Some(outcome(1, Fate::Deferred)), None];
        let listed = Listed { summary, envelope, outcomes };
        let waiting = |a: &str, r: &str| Waiting { address: a.into(), reason: r.into() };
        let expect = Entry {
            queue: Queue::Incoming,
            id: summary.id,
            arrival: 7,
            size: 99,
            forced_expire: true,
            sender: b"MAILER-DAEMON".to_vec(),
            recipients: vec![waiting("\"b c\"@x", "busy"), waiting("d@x", "")],
        };
        assert_eq!(Entry::of_message(&listed, false), expect);
        assert_eq!(Queue::of_message(&summary, true), Queue::Active);
        let tried = Summary { next_attempt: Some(Time::from_secs(9)), ..summary };
        assert_eq!(Queue::of_message(&tried, false), Queue::Deferred);
        assert_eq!(Queue::of_message(&Summary { held: true, ..tried }, false), Queue::Hold);
    }

    #[test]
    fn letters() {
        let folder = tempfile::tempdir().expect("a folder");
        let maildrop = Maildrop::new(folder.path());
        let recipients = vec![Recipient { address: "bob".into(), ..Recipient::default() }];
        let submission = Submission { sender: Some("me@x".into()), recipients, ..Submission::default() };
        let id = maildrop.begin(&submission, Time::from_secs(1)).and_then(|letter| letter.commit());
        std::fs::write(folder.path().join("BAD"), "x").expect("written");
        let entries = Entry::of_letters(&maildrop).expect("readable");
        let [entry] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((entry.queue, Ok(entry.id)), (Queue::Maildrop, id.map_err(|_| ())));
        assert_eq!(
            (entry.sender.as_slice(), entry.recipients[0].address.as_slice()),
            (&b"me@x"[..], &b"bob"[..])
        );
    }
}
