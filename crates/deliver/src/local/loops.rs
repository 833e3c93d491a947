//! What keeps mail from going round: the Delivered-To: headers it bears, and a memory of where one delivery has been.

use mail::Address;
use qmgr::Job;
use spool::Content;
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};

/// The addresses that a message was delivered to on its way.
#[derive(Debug, Default)]
pub(crate) struct DeliveredTo(HashSet<Vec<u8>>);

/// Delivered-To: headers that count, at most.
const HEADER_LIMIT: usize = 1000;
/// Octets of the header section that are looked at; `header_size_limit` keeps real ones far below.
const LENGTH_LIMIT: u64 = 16 << 20;

impl DeliveredTo {
    pub(crate) async fn of_job(job: &Job) -> io::Result<DeliveredTo> {
        let content = job.message.content.clone();
        if content.in_memory().is_some() {
            return DeliveredTo::read(&content);
        }
        let read = tokio::task::spawn_blocking(move || DeliveredTo::read(&content)).await;
        read.map_err(io::Error::other)?
    }

    /// May read from the disk.
    fn read(content: &Content) -> io::Result<DeliveredTo> {
        let mut reader = BufReader::new(content.reader().take(LENGTH_LIMIT));
        let (mut found, mut line) = (HashSet::new(), Vec::new());
        while found.len() < HEADER_LIMIT && reader.read_until(b'\n', &mut line)? > 0 {
            let is_continued = line.starts_with(b" ") || line.starts_with(b"\t");
            if !is_continued {
                let Some((name, value)) = header(&line) else { break };
                if name.eq_ignore_ascii_case(b"delivered-to") {
                    found.insert(fold(value.trim_ascii()));
                }
            }
            line.clear();
        }
        Ok(DeliveredTo(found))
    }

    /// Case does not count.
    pub(crate) fn has(&self, address: &Address) -> bool {
        self.0.contains(&fold(&address.external()))
    }
}

/// A header line's name and value.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(|b| (33..127).contains(b));
    is_name.then(|| (name, &line[colon + 1..]))
}

/// Lower case, of letters beyond ASCII too where they are UTF-8.
pub(super) fn fold(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) if !text.is_ascii() => text.to_lowercase().into_bytes(),
        _ => text.to_ascii_lowercase(),
    }
}

/// Where the delivery to one recipient has been.
#[derive(Debug)]
pub(super) struct Duplicates {
    been: HashSet<Vec<u8>>,
    /// `duplicate_filter_limit`: so much is remembered; 0: all.
    limit: usize,
}

impl Duplicates {
    pub(super) fn new(duplicate_filter_limit: usize) -> Duplicates {
        Duplicates { been: HashSet::new(), limit: duplicate_filter_limit }
    }

    /// Whether it was there before. Case does not count.
    pub(super) fn been_here(&mut self, kind: &str, what: &[u8]) -> bool {
        let place = place(kind, what);
        if self.been.contains(&place) {
            return true;
        }
        if self.limit == 0 || self.been.len() < self.limit {
            self.been.insert(place);
        }
        false
    }

    pub(super) fn was_here(&self, kind: &str, what: &[u8]) -> bool {
        self.been.contains(&place(kind, what))
    }
}

fn place(kind: &str, what: &[u8]) -> Vec<u8> {
    [kind.as_bytes(), b" ", &fold(what)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_on_the_way() {
        let text = "Received: x\r\n\ty\r\nDelivered-To: Alice@Example.com\r\n Delivered-To: folded@x\r\n\
                    delivered-to : \"john doe\"@b\r\n\r\nDelivered-To: body@x\r\n";
        for cut in [0, 20, text.len()] {
            let content = Content::new(text.as_bytes()[..cut].to_vec(), text.as_bytes()[cut..].to_vec());
            let found = DeliveredTo::read(&content).expect("in memory");
            for (address, expect) in [
                ("alice@example.COM", true),
                ("john doe@b", true),
                ("folded@x", false),
                ("body@x", false),
                ("bob@example.com", false),
            ] {
                assert_eq!(found.has(&address.into()), expect, "{address}");
            }
        }
        let none =
            DeliveredTo::read(&Content::new("no header\r\nDelivered-To: a@b\r\n", "")).expect("in memory");
        assert!(!none.has(&"a@b".into()));
    }

    #[test]
    fn memory_has_its_limit() {
        let mut duplicates = Duplicates::new(2);
        assert!(!duplicates.been_here("mailbox", b"a") && duplicates.been_here("mailbox", b"A"));
        assert!(!duplicates.been_here("file", b"a") && duplicates.was_here("file", b"a"));
        assert!(!duplicates.been_here("mailbox", b"c") && !duplicates.was_here("mailbox", b"c"));
        let mut unlimited = Duplicates::new(0);
        assert!((0..5000u32).all(|n| !unlimited.been_here("x", n.to_string().as_bytes())));
    }
}
