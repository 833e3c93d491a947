//! The queue's listing, as a stream: maildrop first, then what is in the spool.

use super::Desk;
use mail::QueueId;
use spool::showq::{END, Entry, PREAMBLE, encode};
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
        // A maildrop that cannot be read has been complained of by pickup.
        let dropped = Entry::of_letters(&maildrop).unwrap_or_default();
        // Damaged messages are set aside and logged where they are found.
        let queued = spool.list().flatten().map(|listed| {
            let is_active = active.contains(&listed.summary.id);
            Entry::of_message(&listed, is_active)
        });
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
