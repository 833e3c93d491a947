//! A message's content on its way to a server.

use bytes::Bytes;
use smtp::client::Content;
use std::io;

/// Reads the queue's content; what is on the disk, where waiting for it holds nobody up.
pub(super) enum Source {
    Memory(spool::ContentReader),
    Disk(Option<spool::ContentReader>),
}

impl Source {
    pub(super) fn new(content: &spool::Content) -> Source {
        match content.in_memory() {
            Some(_) => Source::Memory(content.reader()),
            None => Source::Disk(Some(content.reader())),
        }
    }
}

impl Content for Source {
    async fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let reader = match self {
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
