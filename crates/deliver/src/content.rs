//! A message's content on its way out of the queue.

use bytes::Bytes;
use spool::{Content, ContentReader};
use std::io;

/// Reads content in chunks: what is on the disk, where waiting for it holds nobody up.
pub struct Chunks(Source);

enum Source {
    Memory(ContentReader),
    Disk(Option<ContentReader>),
}

impl Chunks {
    pub fn new(content: &Content) -> Chunks {
        Chunks(match content.in_memory() {
            Some(_) => Source::Memory(content.reader()),
            None => Source::Disk(Some(content.reader())),
        })
    }

    /// The next octets; None at the end.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let reader = match &mut self.0 {
            Source::Memory(reader) => return reader.next_chunk(),
            Source::Disk(reader) => reader,
        };
        // Not there: an earlier read was cancelled midway.
        let mut taken = reader.take().ok_or(io::ErrorKind::Interrupted)?;
        let (taken, chunk) = tokio::task::spawn_blocking(move || {
            let chunk = taken.next_chunk();
            (taken, chunk)
        })
        .await?;
        *reader = Some(taken);
        chunk
    }
}
