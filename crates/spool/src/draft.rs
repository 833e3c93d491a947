//! A message being received: head and body in memory, a large body in a file of its own.
//!
//! The head is what the receiver wants to write last (it knows the headers only after it saw them all); head and body
//! follow each other when the message is read.

use crate::SpoolError;
use mail::{QueueId, Time};
use std::io::{self, Read};
use std::sync::Arc;

/// What a draft reserves at once when it outgrows its reservation.
const RESERVE_STEP: u64 = 1 << 20;
/// What a draft hands to its file at once.
const FILE_CHUNK_SIZE: usize = 64 * 1024;
/// What a size hint may make us allocate ahead. Clients can say anything.
const PREALLOCATE_MAX: u64 = 64 * 1024;

/// A message being received. Dropping it forgets it and gives its reservation back.
pub struct Draft {
    id: QueueId,
    serial: u64,
    arrival: Time,
    held: bool,
    head: Vec<u8>,
    /// The body, or what of it is not in the file yet.
    buffer: Vec<u8>,
    file: Option<Box<dyn Overflow>>,
    /// How much of the body is in the file.
    file_len: u64,
    reserved: u64,
    backing: Arc<dyn Backing>,
}

/// What a spool does for its drafts.
pub trait Backing: Send + Sync {
    /// Sets aside room for so many more octets.
    fn reserve(&self, octets: u64) -> Result<(), SpoolError>;

    /// Gives room back.
    fn release(&self, octets: u64);

    /// How many octets of body the draft may hold in memory, before it asks for a file. It holds `buffered` now.
    fn memory_max(&self, buffered: usize) -> usize;

    /// A file for the body. Nothing of it is visible in the queue before the commit, and what a crash leaves of it is removed.
    fn overflow(&self, id: QueueId) -> Result<Box<dyn Overflow>, SpoolError>;
}

/// A body that outgrew memory. Dropped before the commit, it is removed.
pub trait Overflow: Send + Sync {
    fn append(&mut self, piece: &[u8]) -> Result<(), SpoolError>;

    /// Reads octets from `offset` on, at least one unless that is the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The spool takes its file back.
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send>;
}

/// A draft taken apart by the spool that commits it.
pub struct DraftParts {
    pub id: QueueId,
    pub serial: u64,
    pub arrival: Time,
    pub held: bool,
    pub head: Vec<u8>,
    /// The body if `file` is None, else empty.
    pub body: Vec<u8>,
    pub file: Option<Box<dyn Overflow>>,
    pub file_len: u64,
    /// Room that is still to be released.
    pub reserved: u64,
}

impl Draft {
    /// For spools: a draft with `reserved` octets of room, reserved already.
    pub fn new(backing: Arc<dyn Backing>, id: QueueId, serial: u64, arrival: Time, reserved: u64) -> Draft {
        let buffer = Vec::with_capacity(reserved.min(PREALLOCATE_MAX) as usize);
        let head = Vec::new();
        Draft { id, serial, arrival, held: false, head, buffer, file: None, file_len: 0, reserved, backing }
    }

    /// Appends to the body. May block on the disk once the body has a file.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        self.reserve(self.len() + piece.len() as u64)?;
        self.buffer.extend_from_slice(piece);
        let limit =
            if self.file.is_some() { FILE_CHUNK_SIZE } else { self.backing.memory_max(self.buffer.len()) };
        if self.buffer.len() > limit { self.spill() } else { Ok(()) }
    }

    /// What comes before the body, for the caller to change as it likes. It stays in memory: `header_size_limit` and its
    /// like bound it.
    pub fn head_mut(&mut self) -> &mut Vec<u8> {
        &mut self.head
    }

    /// Forgets the body, for one that a filter replaces.
    pub fn clear_body(&mut self) {
        self.buffer.clear();
        self.file = None;
        self.file_len = 0;
    }

    /// Queues the message on hold.
    pub fn hold(&mut self) {
        self.held = true;
    }

    pub fn id(&self) -> QueueId {
        self.id
    }

    pub fn arrival(&self) -> Time {
        self.arrival
    }

    pub fn head(&self) -> &[u8] {
        &self.head
    }

    pub fn body_len(&self) -> u64 {
        self.file_len + self.buffer.len() as u64
    }

    /// Octets of head and body so far.
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.body_len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the body from its start.
    pub fn body(&self) -> DraftReader<'_> {
        DraftReader { draft: self, at: 0 }
    }

    /// For spools: ends the draft. An error here means that the body could not be written out; the draft is forgotten.
    pub fn into_parts(mut self) -> Result<DraftParts, SpoolError> {
        self.reserve(self.len())?;
        if self.file.is_some() {
            self.spill()?;
        }
        Ok(DraftParts {
            id: self.id,
            serial: self.serial,
            arrival: self.arrival,
            held: self.held,
            head: std::mem::take(&mut self.head),
            body: std::mem::take(&mut self.buffer),
            file: self.file.take(),
            file_len: self.file_len,
            reserved: std::mem::take(&mut self.reserved),
        })
    }

    fn reserve(&mut self, octets: u64) -> Result<(), SpoolError> {
        if octets <= self.reserved {
            return Ok(());
        }
        let more = (octets - self.reserved).max(RESERVE_STEP.min(self.reserved));
        self.backing.reserve(more)?;
        self.reserved += more;
        Ok(())
    }

    fn spill(&mut self) -> Result<(), SpoolError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.backing.overflow(self.id)?),
        };
        file.append(&self.buffer)?;
        self.file_len += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(FILE_CHUNK_SIZE);
        Ok(())
    }

    fn read_body_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(file) = self.file.as_ref().filter(|_| offset < self.file_len) {
            let n = buffer.len().min((self.file_len - offset) as usize);
            return file.read_at(&mut buffer[..n], offset);
        }
        let rest = self.buffer.get((offset - self.file_len) as usize..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.reserved > 0 {
            self.backing.release(self.reserved);
        }
    }
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({}, {} octets)", self.id, self.len())
    }
}

/// Reads a draft's body.
#[derive(Debug)]
pub struct DraftReader<'a> {
    draft: &'a Draft,
    at: u64,
}

impl Read for DraftReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.draft.read_body_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
