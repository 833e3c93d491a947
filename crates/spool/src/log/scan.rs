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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fuzz::OneFile;
    use crate::log::record::{Kind, Record};
    use crate::log::segment::Appender;
    use bytes::Bytes;

    const CAPACITY: u64 = 16 * PAGE_SIZE;

    fn record(seq: u64, size: usize) -> Record {
        let payload = Bytes::from(vec![seq as u8; size]);
        let record = Record::new(Kind::Message, 4, [payload, Bytes::new(), Bytes::new()]).unwrap();
        Record { seq, ..record }
    }

    /// Records 1 | 2 3 4 | 5 6 in three batches, and where they are.
    fn segment() -> (Segment, OneFile, Vec<u64>) {
        let file = OneFile::default();
        file.0.lock().unwrap().resize(CAPACITY as usize, 0xEE);
        let segment = Segment::prepare(Arc::new(file.clone()), 1, CAPACITY).unwrap();
        let mut appender = Appender::new(segment.clone());
        let batches = [
            vec![record(1, 20)],
            vec![record(2, 100), record(3, 5000), record(4, 100)],
            vec![record(5, 10), record(6, 9000)],
        ];
        let mut places = vec![0];
        for (n, batch) in batches.iter().enumerate() {
            let spots = appender.append(n as u64 + 1, batch).unwrap();
            places.extend(spots.iter().map(|spot| spot.position()));
        }
        (segment, file, places)
    }

    fn seqs(scan: &Scan) -> Vec<u64> {
        scan.index.entries().map(|entry| entry.seq).collect()
    }

    #[test]
    fn whole_segments_are_read_to_their_end() {
        let (segment, _, places) = segment();
        let scan = scan(&segment);
        assert_eq!(seqs(&scan), [1, 2, 3, 4, 5, 6]);
        assert_eq!((scan.last_batch, scan.torn, scan.damage.len()), (3, None, 0));
        assert_eq!(scan.end, (places[6] + 9040).next_multiple_of(PAGE_SIZE));
    }

    #[test]
    fn an_empty_segment_has_no_batch() {
        let file = OneFile::default();
        file.0.lock().unwrap().resize(CAPACITY as usize, 0xEE);
        let segment = Segment::prepare(Arc::new(file), 1, CAPACITY).unwrap();
        assert_eq!(scan(&segment).last_batch, 0);
    }

    #[test]
    fn torn_or_damaged() {
        const HEADER: u64 = 3;
        const PAYLOAD: u64 = 45;
        // The record that is hit, where; the records that are left; whether it is torn, or damaged, or both.
        for (hit, at, left, is_torn, is_damaged) in [
            (1, HEADER, &[2, 3, 4, 5, 6][..], false, true),
            (1, PAYLOAD, &[2, 3, 4, 5, 6], false, true),
            (2, HEADER, &[1, 3, 4, 5, 6], false, true),
            (3, PAYLOAD, &[1, 2, 4, 5, 6], false, true),
            (4, HEADER, &[1, 2, 3, 5, 6], false, true),
            (5, HEADER, &[1, 2, 3, 4], true, false),
            (5, PAYLOAD, &[1, 2, 3, 4], true, false),
            (6, HEADER, &[1, 2, 3, 4, 5], true, false),
            (6, PAYLOAD, &[1, 2, 3, 4, 5], true, false),
            (6, 8000, &[1, 2, 3, 4, 5], true, false),
        ] {
            let (segment, file, places) = segment();
            file.0.lock().unwrap()[(places[hit] + at) as usize] ^= 1;
            let scan = scan(&segment);
            assert_eq!(seqs(&scan), left, "record {hit} at {at}");
            assert_eq!(
                (scan.torn.is_some(), !scan.damage.is_empty()),
                (is_torn, is_damaged),
                "record {hit} at {at}"
            );
        }
    }

    #[test]
    fn a_batch_without_its_beginning_is_torn() {
        let (segment, file, places) = segment();
        let page = places[5] as usize..places[5] as usize + PAGE_SIZE as usize;
        file.0.lock().unwrap()[page].fill(0);
        let scan = scan(&segment);
        assert_eq!(seqs(&scan), [1, 2, 3, 4]);
        assert!(scan.damage.is_empty());
    }
}
