//! Records: what a segment is filled with. A header of 40 octets, then the payload, whose front is the digest: what memory
//! must know of the record.
//!
//! ```text
//!  0  crc32c of octets 4 to 39     16  epoch of the segment
//!  4  kind (1)                     24  number of the batch
//!  5  flags (1): 1 begins a batch, 2 ends it
//!                                  32  sequence number
//!  6  digest size (2)
//!  8  payload size (4)
//! 12  crc32c of the payload (4)
//! ```
//! Numbers are little-endian, records begin at multiples of 8. The epoch is drawn at random each time a segment is used
//! again: what was there before is no record, and nobody who sends us mail can write octets that look like one. The batch
//! counts writes; the sequence number orders what records say and stays when garbage collection copies one.

use crate::wire::{Malformed, take};
use bytes::Bytes;

pub(crate) const HEADER_SIZE: usize = 40;
/// Batches begin at multiples of this, so that no write touches a page with octets that were acknowledged before.
pub(crate) const PAGE_SIZE: u64 = 4096;
/// No payload is larger: heads and envelopes are bounded by their own limits far below, bodies by `INLINE_MAX`.
pub(crate) const PAYLOAD_SIZE_MAX: usize = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first record of a segment.
    Start = 1,
    /// A message with its content.
    Message = 2,
    /// A message whose body is in a file of its own.
    BodyRef = 3,
    /// Outcomes, added recipients, the time of the next attempt.
    State = 4,
    /// What an administrator changed.
    Admin = 5,
    /// Messages that are no more.
    Done = 6,
    /// The index of a full segment.
    Seal = 7,
}

impl Kind {
    pub(crate) fn from_code(code: u8) -> Option<Kind> {
        use Kind::{Admin, BodyRef, Done, Message, Seal, Start, State};
        [Start, Message, BodyRef, State, Admin, Done, Seal].into_iter().find(|kind| *kind as u8 == code)
    }
}

const FIRST: u8 = 1;
const LAST: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// It is the first record of its batch.
    pub(crate) is_first: bool,
    /// It is the last record of its batch.
    pub(crate) is_last: bool,
    pub(crate) digest_size: u16,
    pub(crate) size: u32,
    pub(crate) crc: u32,
    pub(crate) epoch: u64,
    pub(crate) batch: u64,
    pub(crate) seq: u64,
}

impl Header {
    pub(crate) fn to_octets(self) -> [u8; HEADER_SIZE] {
        let mut octets = [0; HEADER_SIZE];
        octets[4] = self.kind as u8;
        octets[5] = (u8::from(self.is_first) * FIRST) | (u8::from(self.is_last) * LAST);
        octets[6..8].copy_from_slice(&self.digest_size.to_le_bytes());
        octets[8..12].copy_from_slice(&self.size.to_le_bytes());
        octets[12..16].copy_from_slice(&self.crc.to_le_bytes());
        octets[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        octets[24..32].copy_from_slice(&self.batch.to_le_bytes());
        octets[32..40].copy_from_slice(&self.seq.to_le_bytes());
        let crc = crc32c::crc32c(&octets[4..]);
        octets[..4].copy_from_slice(&crc.to_le_bytes());
        octets
    }

    /// A header of this epoch at the front of `octets`, if there is a whole one.
    pub(crate) fn parse(octets: &[u8], epoch: u64) -> Option<Header> {
        let octets: &[u8; HEADER_SIZE] = octets.first_chunk()?;
        // First what fails most when a segment is searched for headers.
        if octets[16..24] != epoch.to_le_bytes() {
            return None;
        }
        Header::parse_any_epoch(octets)
    }

    pub(crate) fn parse_any_epoch(octets: &[u8; HEADER_SIZE]) -> Option<Header> {
        Header::fields(octets).ok().flatten()
    }

    fn fields(octets: &[u8; HEADER_SIZE]) -> Result<Option<Header>, Malformed> {
        let mut rest = &octets[..];
        let header_crc = u32::from_le_bytes(take(&mut rest)?);
        if crc32c::crc32c(rest) != header_crc {
            return Ok(None);
        }
        let [code, flags] = take(&mut rest)?;
        let digest_size = u16::from_le_bytes(take(&mut rest)?);
        let size = u32::from_le_bytes(take(&mut rest)?);
        let crc = u32::from_le_bytes(take(&mut rest)?);
        let epoch = u64::from_le_bytes(take(&mut rest)?);
        let batch = u64::from_le_bytes(take(&mut rest)?);
        let seq = u64::from_le_bytes(take(&mut rest)?);
        let is_possible = u32::from(digest_size) <= size && size as usize <= PAYLOAD_SIZE_MAX;
        let kind = Kind::from_code(code).filter(|_| is_possible);
        let (is_first, is_last) = (flags & FIRST != 0, flags & LAST != 0);
        Ok(kind.map(|kind| Header { kind, is_first, is_last, digest_size, size, crc, epoch, batch, seq }))
    }

    /// What the record takes in its segment.
    pub(crate) fn extent(&self) -> u64 {
        extent(self.size)
    }
}

/// What a record with so large a payload takes in a segment.
pub(crate) fn extent(size: u32) -> u64 {
    (HEADER_SIZE as u64 + u64::from(size)).next_multiple_of(8)
}

/// A record that has no place yet.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) seq: u64,
    pub(crate) digest_size: u16,
    pub(crate) size: u32,
    pub(crate) crc: u32,
    /// The payload: digest and envelope or the like, head, body.
    pub(crate) parts: [Bytes; 3],
}

impl Record {
    /// A record whose digest is the first `digest_size` octets of the first part. None if it would be too large.
    pub(crate) fn new(kind: Kind, digest_size: usize, parts: [Bytes; 3]) -> Option<Record> {
        let size: usize = parts.iter().map(Bytes::len).sum();
        let digest_size = u16::try_from(digest_size).ok()?;
        if size > PAYLOAD_SIZE_MAX {
            return None;
        }
        let crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        Some(Record { kind, seq: 0, digest_size, size: size as u32, crc, parts })
    }

    pub(crate) fn digest(&self) -> &[u8] {
        &self.parts[0][..usize::from(self.digest_size)]
    }

    pub(crate) fn extent(&self) -> u64 {
        extent(self.size)
    }

    /// Its header as the `n`th of `count` records of a batch.
    pub(crate) fn header(&self, epoch: u64, batch: u64, n: usize, count: usize) -> Header {
        Header {
            kind: self.kind,
            is_first: n == 0,
            is_last: n + 1 == count,
            digest_size: self.digest_size,
            size: self.size,
            crc: self.crc,
            epoch,
            batch,
            seq: self.seq,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::State,
            is_first: false,
            is_last: true,
            digest_size: 7,
            size: 1000,
            crc: 0xDEAD_BEEF,
            epoch: 0x0123_4567_89AB_CDEF,
            batch: 42,
            seq: 43,
        }
    }

    #[test]
    fn headers_come_back() {
        let octets = header().to_octets();
        assert_eq!(Header::parse(&octets, header().epoch), Some(header()));
        assert_eq!(Header::parse(&octets, 1), None);
        assert_eq!(Header::parse(&octets[..39], header().epoch), None);
    }

    #[test]
    fn damage_is_noticed() {
        for bit in 0..HEADER_SIZE * 8 {
            let mut octets = header().to_octets();
            octets[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse_any_epoch(&octets), None, "bit {bit}");
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for (digest_size, size, is_possible) in [
            (8, 7, false),
            (8, 8, true),
            (0, PAYLOAD_SIZE_MAX as u32, true),
            (0, PAYLOAD_SIZE_MAX as u32 + 1, false),
        ] {
            let octets = Header { digest_size, size, ..header() }.to_octets();
            assert_eq!(Header::parse_any_epoch(&octets).is_some(), is_possible);
        }
    }
}
