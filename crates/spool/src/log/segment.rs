//! Segments: files of a fixed size, filled from front to back with batches of records, then sealed with an index, and used
//! again when everything in them is dead.
//!
//! ```text
//! page 0        "OXISPOOL"  version (4)  number (4)  epoch (8)  crc32c of these 24 octets (4)
//! page 1 …      batches; each begins with a page of its own
//! at the end    the Seal record, then its trailer: epoch (8)  offset of the record (8)  "OXISEAL1"  crc32c of these 24 (4)
//! ```

use super::record::{HEADER_SIZE, Header, Kind, PAGE_SIZE, Record, extent};
use super::scan::Window;
use crate::disk::{Access, Disk, DiskFile, read_full_at, sync, write_all_at};
use crate::wire::take;
use bytes::Bytes;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

pub(crate) const FOLDER: &str = "segments";
const MAGIC: &[u8; 8] = b"OXISPOOL";
const SEAL_MAGIC: &[u8; 8] = b"OXISEAL1";
const VERSION: u32 = 1;
const TRAILER_SIZE: u64 = 32;
/// How much is zeroed at once.
const ZERO_SIZE: usize = 1 << 20;
const ZEROS_PER_SYNC: u64 = 4 << 20;
/// Parts of records that are smaller are copied together: that costs less than a part of a vectored write.
const COPY_MAX: usize = 16 * 1024;
/// An index entry before its digest: offset / 8 (4), payload size (4), kind (1), digest size (2), sequence number (8).
const ENTRY_SIZE: usize = 19;

/// A segment that can be read.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) epoch: u64,
    /// The file's size.
    pub(crate) capacity: u64,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// Where a record is in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// In units of 8 octets.
    pub(crate) offset: u32,
    /// Of the payload.
    pub(crate) size: u32,
}

impl Spot {
    pub(crate) fn position(self) -> u64 {
        u64::from(self.offset) * 8
    }
}

/// Why a record could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is something else, or it is damaged.
    Damaged,
    Io(io::Error),
}

pub(crate) fn file_name(number: u32) -> String {
    format!("{FOLDER}/{number:08}")
}

/// The number of a segment's file; None if the name is no segment's.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let is_ours = name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit());
    if is_ours { name.parse().ok() } else { None }
}

impl Segment {
    /// Creates a segment whose octets all have their place on the device, so that syncing it later changes no metadata.
    pub(crate) fn create(disk: &dyn Disk, number: u32, capacity: u64) -> io::Result<Segment> {
        let capacity = capacity.next_multiple_of(PAGE_SIZE);
        let name = file_name(number);
        let file = disk.create(&name)?;
        let made = fill_with_zeros(&*file, capacity)
            .and_then(|()| Segment::prepare(file, number, capacity))
            .and_then(|segment| disk.sync_folder(FOLDER).map(|()| segment));
        if made.is_err() {
            // Its room may be what others need; an unused file is found again at the next start anyway.
            let _ = disk.remove(&name);
        }
        made
    }

    /// Makes a segment of a file whose content is no longer needed: when this returns, that is durably gone.
    pub(crate) fn prepare(file: Arc<dyn DiskFile>, number: u32, capacity: u64) -> io::Result<Segment> {
        let epoch = random();
        // The page behind is wiped: if the first one rots, nothing must look like the segment's START record.
        let mut page = vec![0; 2 * PAGE_SIZE as usize];
        page[..8].copy_from_slice(MAGIC);
        page[8..12].copy_from_slice(&VERSION.to_le_bytes());
        page[12..16].copy_from_slice(&number.to_le_bytes());
        page[16..24].copy_from_slice(&epoch.to_le_bytes());
        let crc = crc32c::crc32c(&page[..24]);
        page[24..28].copy_from_slice(&crc.to_le_bytes());
        write_all_at(&*file, &mut [IoSlice::new(&page)], 0)?;
        sync(&*file)?;
        Ok(Segment { number, epoch, capacity, file })
    }

    pub(crate) fn open(disk: &dyn Disk, number: u32, access: Access) -> io::Result<Opened> {
        let file = disk.open(&file_name(number), access)?;
        let capacity = file.size()?;
        let mut page = [0; 28];
        let filled = read_full_at(&*file, &mut page, 0)?;
        Ok(match parse_first_page(&page[..filled], number) {
            FirstPage::Epoch(epoch) => Opened::Segment(Segment { number, epoch, capacity, file }),
            FirstPage::Foreign(version) => Opened::Foreign(version),
            FirstPage::Damaged => Segment::rescue(file, number, capacity),
        })
    }

    /// Opens a segment whose first page is damaged: the epoch of its latest batch is its epoch. Without batches it was being
    /// created, and with an empty second page it was a spare.
    fn rescue(file: Arc<dyn DiskFile>, number: u32, capacity: u64) -> Opened {
        let mut window = Window::new(file.clone(), capacity);
        if window.get(PAGE_SIZE, PAGE_SIZE as usize).iter().all(|octet| *octet == 0) {
            return Opened::Nothing { file, capacity };
        }
        let batches = (PAGE_SIZE..capacity).step_by(PAGE_SIZE as usize).filter_map(|at| {
            let octets = window.get(at, HEADER_SIZE).first_chunk()?;
            Header::parse_any_epoch(octets).map(|header| (header.batch, header.epoch))
        });
        match batches.max() {
            Some((_, epoch)) => Opened::Rescued(Segment { number, epoch, capacity, file }),
            None => Opened::Nothing { file, capacity },
        }
    }

    /// Reads a record's payload.
    pub(crate) fn read(&self, spot: Spot) -> Result<(Header, Bytes), ReadError> {
        let mut octets = vec![0; HEADER_SIZE + spot.size as usize];
        let filled = read_full_at(&*self.file, &mut octets, spot.position()).map_err(ReadError::Io)?;
        let header = Header::parse(&octets[..filled], self.epoch).ok_or(ReadError::Damaged)?;
        let payload = Bytes::from(octets).slice(HEADER_SIZE..);
        if filled < HEADER_SIZE + payload.len()
            || header.size != spot.size
            || header.crc != crc32c::crc32c(&payload)
        {
            return Err(ReadError::Damaged);
        }
        Ok((header, payload))
    }

    /// Reads the index that a sealed segment ends with. None if there is none, or it is damaged.
    pub(crate) fn read_seal(&self) -> io::Result<Option<Seal>> {
        let Some(offset) = self.read_trailer()? else { return Ok(None) };
        let size = (self.capacity - TRAILER_SIZE - offset) as usize;
        let mut octets = vec![0; size];
        let filled = read_full_at(&*self.file, &mut octets, offset)?;
        let header = Header::parse(&octets[..filled], self.epoch);
        let Some(header) = header.filter(|h| h.kind == Kind::Seal && HEADER_SIZE + h.size as usize <= size)
        else {
            return Ok(None);
        };
        let payload = Bytes::from(octets).slice(HEADER_SIZE..HEADER_SIZE + header.size as usize);
        if crc32c::crc32c(&payload) != header.crc {
            return Ok(None);
        }
        let mut digest = &payload[..];
        let (Ok(end), Ok(next_serial)) = (take(&mut digest), take(&mut digest)) else { return Ok(None) };
        Ok(Some(Seal {
            end: u64::from_le_bytes(end),
            next_serial: u64::from_le_bytes(next_serial),
            index: Index(payload.slice(16..)),
        }))
    }

    fn read_trailer(&self) -> io::Result<Option<u64>> {
        let mut octets = [0; TRAILER_SIZE as usize];
        let Some(at) = self.capacity.checked_sub(TRAILER_SIZE) else { return Ok(None) };
        read_full_at(&*self.file, &mut octets, at)?;
        let epoch = u64::from_le_bytes(octets[..8].try_into().expect("8 octets"));
        let offset = u64::from_le_bytes(octets[8..16].try_into().expect("8 octets"));
        let crc = u32::from_le_bytes(octets[24..28].try_into().expect("4 octets"));
        let is_ours =
            epoch == self.epoch && octets[16..24] == *SEAL_MAGIC && crc == crc32c::crc32c(&octets[..24]);
        Ok(if is_ours && (PAGE_SIZE..at).contains(&offset) { Some(offset) } else { None })
    }
}

/// What [`Segment::open`] found.
pub(crate) enum Opened {
    Segment(Segment),
    /// A segment of another version.
    Foreign(u32),
    /// A segment whose first page is damaged.
    Rescued(Segment),
    /// No segment: a file that was being made one.
    Nothing {
        file: Arc<dyn DiskFile>,
        capacity: u64,
    },
}

enum FirstPage {
    Epoch(u64),
    Foreign(u32),
    Damaged,
}

fn parse_first_page(page: &[u8], number: u32) -> FirstPage {
    let Some(page) = page.first_chunk::<28>() else { return FirstPage::Damaged };
    let crc = u32::from_le_bytes(page[24..28].try_into().expect("4 octets"));
    if page[..8] != *MAGIC || crc != crc32c::crc32c(&page[..24]) {
        return FirstPage::Damaged;
    }
    let version = u32::from_le_bytes(page[8..12].try_into().expect("4 octets"));
    if version != VERSION {
        return FirstPage::Foreign(version);
    }
    if page[12..16] != number.to_le_bytes() {
        return FirstPage::Damaged;
    }
    FirstPage::Epoch(u64::from_le_bytes(page[16..24].try_into().expect("8 octets")))
}

fn fill_with_zeros(file: &dyn DiskFile, capacity: u64) -> io::Result<()> {
    let zeros = vec![0; ZERO_SIZE.min(capacity as usize)];
    let mut at = 0;
    while at < capacity {
        let size = (capacity - at).min(zeros.len() as u64);
        write_all_at(file, &mut [IoSlice::new(&zeros[..size as usize])], at)?;
        at += size;
        if at.is_multiple_of(ZEROS_PER_SYNC) {
            // The commits that go on meanwhile must not wait for all of it.
            sync(file)?;
        }
    }
    Ok(())
}

/// A number that nobody can guess: the hash of nothing under a key that the system drew.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// What a sealed segment ends with.
pub(crate) struct Seal {
    pub(crate) end: u64,
    pub(crate) next_serial: u64,
    pub(crate) index: Index,
}

/// The digests of a segment's records, in their order.
#[derive(Clone, Default)]
pub(crate) struct Index(pub(crate) Bytes);

/// A record as an index knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexEntry<'a> {
    pub(crate) spot: Spot,
    pub(crate) kind: Kind,
    pub(crate) seq: u64,
    pub(crate) digest: &'a [u8],
}

impl Index {
    /// Ends early if it is malformed, which its checksum excludes.
    pub(crate) fn entries(&self) -> impl Iterator<Item = IndexEntry<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let input = &mut rest;
            let offset = u32::from_le_bytes(take(input).ok()?);
            let size = u32::from_le_bytes(take(input).ok()?);
            let [code] = take(input).ok()?;
            let digest_size = usize::from(u16::from_le_bytes(take(input).ok()?));
            let seq = u64::from_le_bytes(take(input).ok()?);
            let (digest, rest) = input.split_at_checked(digest_size)?;
            *input = rest;
            Some(IndexEntry { spot: Spot { offset, size }, kind: Kind::from_code(code)?, seq, digest })
        })
    }
}

pub(crate) fn put_index_entry(out: &mut Vec<u8>, entry: IndexEntry<'_>) {
    out.extend_from_slice(&entry.spot.offset.to_le_bytes());
    out.extend_from_slice(&entry.spot.size.to_le_bytes());
    out.push(entry.kind as u8);
    out.extend_from_slice(&(entry.digest.len() as u16).to_le_bytes());
    out.extend_from_slice(&entry.seq.to_le_bytes());
    out.extend_from_slice(entry.digest);
}

/// What some records need of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    extent: u64,
    index: u64,
}

impl Load {
    pub(crate) fn add(self, record: &Record) -> Load {
        self.add_sizes(record.extent(), record.digest_size)
    }

    /// A record that is nothing but a digest.
    pub(crate) fn add_small(self, digest_size: u16) -> Load {
        self.add_sizes(extent(digest_size.into()), digest_size)
    }

    pub(crate) fn extent(self) -> u64 {
        self.extent
    }

    fn add_sizes(self, extent: u64, digest_size: u16) -> Load {
        let index = self.index + (ENTRY_SIZE + usize::from(digest_size)) as u64;
        Load { extent: self.extent + extent, index }
    }

    /// The smallest segment that takes so much.
    pub(crate) fn capacity(self) -> u64 {
        let batch = self.extent.next_multiple_of(PAGE_SIZE);
        PAGE_SIZE + batch + seal_size(self.index).next_multiple_of(PAGE_SIZE)
    }
}

/// What the Seal record and its trailer take, for an index of so many octets.
fn seal_size(index: u64) -> u64 {
    (HEADER_SIZE as u64 + 16 + index).next_multiple_of(8) + TRAILER_SIZE
}

/// Fills a segment.
pub(crate) struct Appender {
    segment: Segment,
    /// Where the next batch begins: a multiple of the page size.
    end: u64,
    index: Vec<u8>,
    last_batch: u64,
    /// What is copied together for a write; kept for its memory.
    staging: Vec<u8>,
}

/// A piece of a vectored write.
enum Piece<'a> {
    Staged(Range<usize>),
    Shared(&'a [u8]),
}

impl Appender {
    /// For an empty segment.
    pub(crate) fn new(segment: Segment) -> Appender {
        Appender { segment, end: PAGE_SIZE, index: Vec::new(), last_batch: 0, staging: Vec::new() }
    }

    /// Writes the records with one write and makes them durable with one sync. After an error nobody knows what is on the
    /// device: the appender must not be used again.
    pub(crate) fn append(&mut self, batch: u64, records: &[Record]) -> io::Result<Vec<Spot>> {
        let (spots, end) = self.write(batch, records)?;
        sync(&*self.segment.file)?;
        for (record, spot) in records.iter().zip(&spots) {
            let entry =
                IndexEntry { spot: *spot, kind: record.kind, seq: record.seq, digest: record.digest() };
            put_index_entry(&mut self.index, entry);
        }
        self.end = end;
        self.last_batch = batch;
        Ok(spots)
    }

    /// Whether so much fits, with room for the seal.
    pub(crate) fn has_room(&self, load: Load) -> bool {
        let end = (self.end + load.extent).next_multiple_of(PAGE_SIZE);
        end + seal_size(self.index.len() as u64 + load.index) <= self.segment.capacity
    }

    /// Octets that can still be filled, roughly.
    pub(crate) fn room(&self) -> u64 {
        self.segment.capacity.saturating_sub(self.end + seal_size(self.index.len() as u64))
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Ends the segment: what is needed to seal it.
    pub(crate) fn into_unsealed(self, next_serial: u64) -> Unsealed {
        let Appender { segment, end, index, last_batch, .. } = self;
        Unsealed { segment, end, index, last_batch, next_serial }
    }

    fn write(&mut self, batch: u64, records: &[Record]) -> io::Result<(Vec<Spot>, u64)> {
        let mut spots = Vec::with_capacity(records.len());
        let mut pieces = Vec::new();
        let mut staging = std::mem::take(&mut self.staging);
        staging.clear();
        let (mut at, mut staged) = (self.end, 0);
        for (n, record) in records.iter().enumerate() {
            spots.push(Spot { offset: (at / 8) as u32, size: record.size });
            let header = record.header(self.segment.epoch, batch, n, records.len());
            staging.extend_from_slice(&header.to_octets());
            for part in &record.parts {
                if part.len() <= COPY_MAX {
                    staging.extend_from_slice(part);
                } else {
                    pieces.push(Piece::Staged(staged..staging.len()));
                    pieces.push(Piece::Shared(part));
                    staged = staging.len();
                }
            }
            let padding = record.extent() - HEADER_SIZE as u64 - u64::from(record.size);
            staging.resize(staging.len() + padding as usize, 0);
            at += record.extent();
        }
        let end = at.next_multiple_of(PAGE_SIZE);
        staging.resize(staging.len() + (end - at) as usize, 0);
        pieces.push(Piece::Staged(staged..staging.len()));
        let mut slices: Vec<IoSlice<'_>> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Staged(range) => IoSlice::new(&staging[range.clone()]),
                Piece::Shared(octets) => IoSlice::new(octets),
            })
            .collect();
        let written = write_all_at(&*self.segment.file, &mut slices, self.end);
        self.staging = staging;
        written.map(|()| (spots, end))
    }
}

/// A segment that takes no more records but has no seal yet. It is whole without; a start just has to read all of it.
pub(crate) struct Unsealed {
    pub(crate) segment: Segment,
    pub(crate) end: u64,
    pub(crate) index: Vec<u8>,
    pub(crate) last_batch: u64,
    /// No serial number from this on was given out, as far as this segment knows.
    pub(crate) next_serial: u64,
}

impl Unsealed {
    /// Writes the seal and makes it durable.
    pub(crate) fn seal(self) -> io::Result<()> {
        let mut payload = Vec::with_capacity(16 + self.index.len());
        payload.extend_from_slice(&self.end.to_le_bytes());
        payload.extend_from_slice(&self.next_serial.to_le_bytes());
        payload.extend_from_slice(&self.index);
        let at = (self.segment.capacity - TRAILER_SIZE - HEADER_SIZE as u64 - payload.len() as u64) / 8 * 8;
        if at < self.end {
            return Err(io::Error::other("no room for the seal"));
        }
        let record = Record::new(Kind::Seal, 16, [payload.into(), Bytes::new(), Bytes::new()])
            .ok_or_else(|| io::Error::other("the index is too large"))?;
        let header = record.header(self.segment.epoch, self.last_batch, 0, 1).to_octets();
        let padding = self.segment.capacity - TRAILER_SIZE - at - HEADER_SIZE as u64 - u64::from(record.size);
        let trailer = trailer(self.segment.epoch, at);
        let mut parts = [
            IoSlice::new(&header),
            IoSlice::new(&record.parts[0]),
            IoSlice::new(&[0; 8][..padding as usize]),
            IoSlice::new(&trailer),
        ];
        write_all_at(&*self.segment.file, &mut parts, at)?;
        sync(&*self.segment.file)
    }
}

fn trailer(epoch: u64, offset: u64) -> [u8; TRAILER_SIZE as usize] {
    let mut octets = [0; TRAILER_SIZE as usize];
    octets[..8].copy_from_slice(&epoch.to_le_bytes());
    octets[8..16].copy_from_slice(&offset.to_le_bytes());
    octets[16..24].copy_from_slice(SEAL_MAGIC);
    let crc = crc32c::crc32c(&octets[..24]);
    octets[24..28].copy_from_slice(&crc.to_le_bytes());
    octets
}
