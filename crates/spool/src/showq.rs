//! What the `public/showq` socket says: one attribute stream for `mailq`, exporters and web pages.
//!
//! The form is Postfix's (3.4 and later): names and values ended by NUL, a list ended by an empty name. A stream is the
//! protocol's name, then a list for each message, then an empty list.

use mail::QueueId;
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
    const ALL: [Queue; 5] = [Queue::Maildrop, Queue::Incoming, Queue::Active, Queue::Deferred, Queue::Hold];

    pub const fn name(self) -> &'static str {
        match self {
            Queue::Maildrop => "maildrop",
            Queue::Incoming => "incoming",
            Queue::Active => "active",
            Queue::Deferred => "deferred",
            Queue::Hold => "hold",
        }
    }

    pub fn parse(name: &[u8]) -> Option<Queue> {
        Queue::ALL.into_iter().find(|q| q.name().as_bytes() == name)
    }
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
}
