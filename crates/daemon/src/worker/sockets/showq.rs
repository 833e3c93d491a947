//! The queue's listing, as a stream: maildrop first, then what is in the spool.

use super::Desk;
use mail::{Fate, QueueId};
use spool::Listed;
use spool::showq::{END, Entry, PREAMBLE, Queue, Waiting, encode};
use std::collections::HashSet;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Octets that are written at once.
const CHUNK_SIZE: usize = 64 << 10;

/// Writes the whole listing. The spool is read on a thread that may block, a chunk or two ahead of the reader.
pub(super) async fn show(desk: &Desk, mut stream: UnixStream) -> io::Result<()> {
    let active: HashSet<QueueId> = desk.qmgr.active_ids().await.into_iter().collect();
    let (chunks, mut ready) = mpsc::channel::<Vec<u8>>(2);
    let (spool, maildrop) = (desk.spool.clone(), desk.maildrop.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let dropped = letters(&maildrop);
        // Damaged messages are set aside and logged where they are found.
        let queued = spool.list().flatten().map(|listed| entry(&listed, &active));
        let mut chunk = PREAMBLE.to_vec();
        for entry in dropped.into_iter().chain(queued) {
            encode(&entry, &mut chunk);
            if chunk.len() >= CHUNK_SIZE && chunks.blocking_send(std::mem::take(&mut chunk)).is_err() {
                return;
            }
        }
        chunk.extend_from_slice(END);
        // Nobody reads on: then nobody misses the rest.
        let _ = chunks.blocking_send(chunk);
    });
    while let Some(chunk) = ready.recv().await {
        stream.write_all(&chunk).await?;
    }
    reading.await.map_err(io::Error::other)
}

fn entry(listed: &Listed, active: &HashSet<QueueId>) -> Entry {
    let summary = &listed.summary;
    let queue = match summary {
        s if s.held => Queue::Hold,
        s if active.contains(&s.id) => Queue::Active,
        s if s.next_attempt.is_none() => Queue::Incoming,
        _ => Queue::Deferred,
    };
    let recipients = listed.envelope.recipients.iter().zip(&listed.outcomes);
    let waiting = recipients.filter_map(|(recipient, outcome)| match outcome {
        Some(outcome) if outcome.fate != Fate::Deferred => None,
        outcome => Some(Waiting {
            address: recipient.address.external(),
            reason: outcome.as_ref().map_or_else(Vec::new, |o| o.reason.clone().into_bytes()),
        }),
    });
    let sender = &listed.envelope.sender;
    Entry {
        queue,
        id: summary.id,
        arrival: summary.arrival.secs(),
        size: summary.size,
        forced_expire: summary.expired,
        sender: if sender.is_null() { b"MAILER-DAEMON".to_vec() } else { sender.external() },
        recipients: waiting.collect(),
    }
}

/// What waits in the maildrop.
fn letters(maildrop: &spool::maildrop::Maildrop) -> Vec<Entry> {
    let names = maildrop.names().unwrap_or_default();
    let letter = |name: QueueId| {
        let picked = maildrop.open(name, spool::maildrop::Limits::default()).ok()?;
        let submission = picked.reader.submission();
        let address = |a: &mail::Address| Waiting { address: a.external(), reason: Vec::new() };
        Some(Entry {
            queue: Queue::Maildrop,
            id: name,
            arrival: picked.arrival.secs(),
            size: picked.file_size,
            forced_expire: false,
            sender: submission.sender.as_ref().map_or_else(|| b"MAILER-DAEMON".to_vec(), |s| s.external()),
            recipients: submission.recipients.iter().map(|r| address(&r.address)).collect(),
        })
    };
    names.into_iter().filter_map(letter).collect()
}
