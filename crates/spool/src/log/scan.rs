//! Reads a segment that has no seal: the one in use when the server stopped without warning, or one whose seal is damaged.
//!
//! What cannot be read is either the torn end (the last batch, which nobody was told is durable: forgotten) or damage
//! (set aside, and reading goes on behind it). Batches are complete up to the last one, because each was synced before
//! the next was written; so unreadable octets are torn only if they belong to the last.

use super::record::{HEADER_SIZE, Header, PAGE_SIZE};
use super::segment::{Index, IndexEntry, Segment, Spot, put_index_entry};
use crate::disk::{DiskFile, read_full_at};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// How much is read at once.
const WINDOW_SIZE: usize = 1 << 20;

/// What was found.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) index: Index,
    /// Behind the last octet of any record, readable or not: a multiple of the page size.
    pub(crate) end: u64,
    /// 0 if there is no record.
    pub(crate) last_batch: u64,
    /// Octets of batches before the last that are no record.
    pub(crate) damage: Vec<Range<u64>>,
    /// What of the last batch is no record. It is damage too if a later batch is elsewhere.
    pub(crate) torn: Option<Range<u64>>,
    /// The device failed to read something, which then counts as damage.
    pub(crate) read_error: Option<io::Error>,
}

/// Octets that are no record, and the batch they belong to as far as that can be told.
struct Gap {
    range: Range<u64>,
    batch: u64,
    /// How long the index was when it came.
    index_size: usize,
}

pub(crate) fn scan(segment: &Segment) -> Scan {
    let mut scanner = Scanner {
        segment,
        window: Window::new(segment.file.clone(), segment.capacity),
        index: Vec::new(),
        gaps: Vec::new(),
        is_in_batch: false,
        last_batch: 0,
        end: PAGE_SIZE,
    };
    scanner.run();
    scanner.result()
}

struct Scanner<'a> {
    segment: &'a Segment,
    window: Window,
    index: Vec<u8>,
    gaps: Vec<Gap>,
    /// The last record seen is not the last of its batch.
    is_in_batch: bool,
    last_batch: u64,
    end: u64,
}

impl Scanner<'_> {
    fn run(&mut self) {
        let mut at = PAGE_SIZE;
        while at < self.segment.capacity {
            if let Some((header, is_whole)) = self.record_at(at) {
                at = self.pass(at, header, is_whole);
            } else if let Some((next, header)) = self.next_record(at + 8) {
                let batch = if self.is_in_batch {
                    self.last_batch
                } else if header.is_first {
                    // What is missing is whole batches before this one.
                    header.batch - 1
                } else {
                    header.batch
                };
                self.gap(at..next, batch);
                at = next;
            } else {
                if self.is_in_batch {
                    let end = (at + 1).next_multiple_of(PAGE_SIZE);
                    self.gap(at..end.min(self.segment.capacity), self.last_batch);
                }
                break;
            }
        }
    }

    /// A record's header, and whether the payload is whole; None if there is no header.
    fn record_at(&mut self, at: u64) -> Option<(Header, bool)> {
        let header = Header::parse(self.window.get(at, HEADER_SIZE), self.segment.epoch)?;
        if at + header.extent() > self.segment.capacity {
            return None;
        }
        let payload = self.window.get(at + HEADER_SIZE as u64, header.size as usize);
        let is_whole = payload.len() == header.size as usize && crc32c::crc32c(payload) == header.crc;
        if is_whole {
            let spot = Spot { offset: (at / 8) as u32, size: header.size };
            let digest = &payload[..usize::from(header.digest_size)];
            let entry = IndexEntry { spot, kind: header.kind, seq: header.seq, digest };
            put_index_entry(&mut self.index, entry);
        }
        Some((header, is_whole))
    }

    /// Goes behind a record.
    fn pass(&mut self, at: u64, header: Header, is_whole: bool) -> u64 {
        let end = at + header.extent();
        if !is_whole {
            self.gap(at..end, header.batch);
        }
        self.is_in_batch = !header.is_last;
        self.last_batch = self.last_batch.max(header.batch);
        self.end = end;
        if header.is_last { end.next_multiple_of(PAGE_SIZE) } else { end }
    }

    /// The next place from `at` on where a record's header stands.
    fn next_record(&mut self, mut at: u64) -> Option<(u64, Header)> {
        let epoch = self.segment.epoch;
        while at + HEADER_SIZE as u64 <= self.segment.capacity {
            let octets = self.window.get_ahead(at);
            let mut places = octets.windows(HEADER_SIZE).step_by(8);
            let found = places.position(|place| Header::parse(place, epoch).is_some());
            if let Some(n) = found {
                let header = Header::parse(&octets[n * 8..], epoch)?;
                return Some((at + n as u64 * 8, header));
            }
            at += (octets.len().checked_sub(HEADER_SIZE)? / 8 + 1) as u64 * 8;
        }
        None
    }

    fn gap(&mut self, range: Range<u64>, batch: u64) {
        self.last_batch = self.last_batch.max(batch);
        self.end = range.end;
        self.gaps.push(Gap { range, batch, index_size: self.index.len() });
    }

    fn result(mut self) -> Scan {
        let end = self.end.next_multiple_of(PAGE_SIZE);
        let torn = self.gaps.iter().position(|gap| gap.batch == self.last_batch).map(|first| {
            // What is recorded in some order is never durable in another: of a torn batch, nothing behind the gap.
            self.index.truncate(self.gaps[first].index_size);
            let start = self.gaps[first].range.start;
            self.gaps.truncate(first);
            start..end
        });
        Scan {
            index: Index(self.index.into()),
            end,
            last_batch: self.last_batch,
            damage: self.gaps.into_iter().map(|gap| gap.range).collect(),
            torn,
            read_error: self.window.error,
        }
    }
}

/// Reads a file from front to back through one buffer. What the device fails to read is zeros.
pub(crate) struct Window {
    file: Arc<dyn DiskFile>,
    size: u64,
    start: u64,
    octets: Vec<u8>,
    pub(crate) error: Option<io::Error>,
}

impl Window {
    /// For a file of so many octets.
    pub(crate) fn new(file: Arc<dyn DiskFile>, size: u64) -> Window {
        Window { file, size, start: 0, octets: Vec::new(), error: None }
    }

    /// So many octets from `at` on, fewer at the end of the file.
    pub(crate) fn get(&mut self, at: u64, size: usize) -> &[u8] {
        let size = size.min(self.size.saturating_sub(at) as usize);
        if at < self.start || at + size as u64 > self.start + self.octets.len() as u64 {
            self.fill(at, size.max(WINDOW_SIZE));
        }
        let from = ((at - self.start) as usize).min(self.octets.len());
        &self.octets[from..(from + size).min(self.octets.len())]
    }

    /// What was read may have changed.
    pub(crate) fn forget(&mut self) {
        self.octets.clear();
    }

    /// What the buffer has from `at` on: enough for a header, unless the file ends.
    fn get_ahead(&mut self, at: u64) -> &[u8] {
        self.get(at, HEADER_SIZE);
        self.octets.get((at - self.start) as usize..).unwrap_or_default()
    }

    fn fill(&mut self, at: u64, size: usize) {
        self.octets.clear();
        self.octets.resize(size.min(self.size.saturating_sub(at) as usize), 0);
        self.start = at;
        match read_full_at(&*self.file, &mut self.octets, at) {
            Ok(filled) => self.octets.truncate(filled),
            Err(error) => {
                self.error = Some(error);
                self.fill_by_pages(at);
            }
        }
    }

    fn fill_by_pages(&mut self, at: u64) {
        for (n, page) in self.octets.chunks_mut(PAGE_SIZE as usize).enumerate() {
            page.fill(0);
            if read_full_at(&*self.file, page, at + n as u64 * PAGE_SIZE).is_err() {
                page.fill(0);
            }
        }
    }
}
