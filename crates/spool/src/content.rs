//! A message's header and body as one run of octets, in memory or partly in a file.
//!
//! Lines end with CRLF, dots are not stuffed, the last line is ended.

use bytes::Bytes;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How much [`ContentReader`] reads from a file at once.
const CHUNK_SIZE: usize = 64 * 1024;

/// What a message says. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Content {
    head: Bytes,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Memory(Bytes),
    File { file: Arc<dyn ContentFile>, len: u64, is_damaged: Arc<AtomicBool> },
}

/// A large body, wherever a spool keeps it.
pub trait ContentFile: Send + Sync {
    /// Reads octets from `offset` on, at least one unless that is the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The crc32c of all octets, if it is known: a reader that comes to the end compares.
    fn checksum(&self) -> Option<u32> {
        None
    }
}

impl Content {
    /// Content that is in memory: `head` and `body` are read one after the other. Where one ends and the other begins has
    /// no meaning.
    pub fn new(head: impl Into<Bytes>, body: impl Into<Bytes>) -> Content {
        Content { head: head.into(), body: Body::Memory(body.into()) }
    }

    /// Content of which everything after `head` is in a file of `len` octets.
    pub fn with_file(head: Bytes, file: Arc<dyn ContentFile>, len: u64) -> Content {
        Content { head, body: Body::File { file, len, is_damaged: Arc::default() } }
    }

    /// Its size in octets.
    pub fn len(&self) -> u64 {
        let body = match &self.body {
            Body::Memory(bytes) => bytes.len() as u64,
            Body::File { len, .. } => *len,
        };
        self.head.len() as u64 + body
    }

    /// Whether a reader of this content, or of a clone, found it damaged. It is then to be set aside: it will not get better.
    pub fn is_damaged(&self) -> bool {
        matches!(&self.body, Body::File { is_damaged, .. } if is_damaged.load(Ordering::Relaxed))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The octets, if none has to be read from a file.
    pub fn in_memory(&self) -> Option<[&[u8]; 2]> {
        match &self.body {
            Body::Memory(body) => Some([&self.head, body]),
            Body::File { .. } => None,
        }
    }

    /// Reads it from the start, any number of times.
    pub fn reader(&self) -> ContentReader {
        ContentReader { content: self.clone(), at: 0, crc: 0, chunk: Bytes::new() }
    }

    /// All of it in one piece; `limit` octets at most are held in memory.
    pub fn to_bytes(&self, limit: usize) -> io::Result<Bytes> {
        if self.len() > limit as u64 {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "content is larger than asked for"));
        }
        let mut all = Vec::with_capacity(self.len() as usize);
        self.reader().read_to_end(&mut all)?;
        Ok(all.into())
    }
}

impl Default for Body {
    fn default() -> Body {
        Body::Memory(Bytes::new())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Memory(bytes) => write!(f, "{} octets in memory", bytes.len()),
            Body::File { len, .. } => write!(f, "{len} octets in a file"),
        }
    }
}

/// Reads a [`Content`]: by chunks, without copying what is in memory, or through [`Read`]. May block on the disk unless
/// all is in memory.
#[derive(Debug)]
pub struct ContentReader {
    content: Content,
    /// What was given out as chunks so far.
    at: u64,
    /// Of what was read from the file so far.
    crc: u32,
    /// What [`Read`] has taken but not given out yet.
    chunk: Bytes,
}

impl ContentReader {
    /// The next octets; None at the end. Chunks are never empty; from a file they have 64 KiB at most. A body file that is
    /// found to be damaged is an error (`InvalidData`) in place of its last chunk.
    pub fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        if !self.chunk.is_empty() {
            return Ok(Some(std::mem::take(&mut self.chunk)));
        }
        let chunk = self.chunk_at(self.at)?;
        self.check(&chunk)?;
        self.at += chunk.len() as u64;
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    /// Compares the checksum of a file that `chunk` ends.
    fn check(&mut self, chunk: &Bytes) -> io::Result<()> {
        let Body::File { file, len, is_damaged } = &self.content.body else { return Ok(()) };
        let head = self.content.head.len() as u64;
        if self.at < head || chunk.is_empty() {
            return Ok(());
        }
        self.crc = crc32c::crc32c_append(self.crc, chunk);
        let is_end = self.at + chunk.len() as u64 == head + len;
        if is_end && file.checksum().is_some_and(|crc| crc != self.crc) {
            is_damaged.store(true, Ordering::Relaxed);
            return Err(io::Error::new(io::ErrorKind::InvalidData, "body file is damaged"));
        }
        Ok(())
    }

    fn chunk_at(&self, at: u64) -> io::Result<Bytes> {
        let head = &self.content.head;
        if at < head.len() as u64 {
            return Ok(head.slice(at as usize..));
        }
        let at = at - head.len() as u64;
        match &self.content.body {
            Body::Memory(bytes) => Ok(bytes.slice((at as usize).min(bytes.len())..)),
            Body::File { file, len, .. } => read_chunk(&**file, at, *len),
        }
    }
}

fn read_chunk(file: &dyn ContentFile, at: u64, len: u64) -> io::Result<Bytes> {
    let mut buffer = vec![0; (len - at).min(CHUNK_SIZE as u64) as usize];
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "body file is too short")),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer.into())
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.chunk = self.next_chunk()?.unwrap_or_default();
        }
        let taken = self.chunk.split_to(buffer.len().min(self.chunk.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives three octets at a time.
    struct Slow(Vec<u8>);

    impl ContentFile for Slow {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = self.0.get(offset as usize..).unwrap_or_default();
            let n = rest.len().min(buffer.len()).min(3);
            buffer[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }
    }

    #[test]
    fn memory_and_file_read_the_same() {
        let body: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        for (head, body) in [("", &body[..0]), ("a: b\r\n", &[]), ("", &body[..]), ("a: b\r\n", &body)] {
            let whole = [head.as_bytes(), body].concat();
            let head = Bytes::copy_from_slice(head.as_bytes());
            let memory = Content::new(head.clone(), body.to_vec());
            let file = Content::with_file(head, Arc::new(Slow(body.to_vec())), body.len() as u64);
            for content in [memory, file] {
                assert_eq!(content.len(), whole.len() as u64);
                assert_eq!(content.to_bytes(whole.len()).unwrap(), whole);
                let mut reader = content.reader();
                let mut first = [0; 4];
                let n = reader.read(&mut first).unwrap();
                let mut all = first[..n].to_vec();
                while let Some(chunk) = reader.next_chunk().unwrap() {
                    assert!(!chunk.is_empty());
                    all.extend_from_slice(&chunk);
                }
                assert_eq!(all, whole);
            }
        }
    }

    #[test]
    fn a_short_file_is_an_error() {
        let content = Content::with_file(Bytes::new(), Arc::new(Slow(vec![1, 2])), 3);
        assert_eq!(content.to_bytes(3).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_limit_holds() {
        let content = Content::new("12", "34");
        assert!(content.to_bytes(4).is_ok());
        assert!(content.to_bytes(3).is_err());
    }
}
