//! Builds the catalog from what is on the disk.
//!
//! In two steps, so that a server can listen at once: [`survey`] reads the first pages of the segments, which is enough to
//! go on writing; [`index`] reads the digests of all records. Neither changes anything on the disk.

use super::catalog::{Catalog, Entry, Place, Role};
use super::core::Next;
use super::digest::{MessageDigest, StartDigest, StateDigest, decode_done};
use super::read::in_order;
use super::record::{HEADER_SIZE, Header, Kind, PAGE_SIZE};
use super::scan::{Scan, scan};
use super::segment::{self, Index, IndexEntry, Opened, Segment, Spot, Unsealed};
use crate::SpoolError;
use crate::disk::{Access, Disk, DiskFile, read_full_at};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// A start goes on so far behind the last START record: more batches and records than any segment can have.
const BATCH_STEP: u64 = 1 << 24;
const SEQ_STEP: u64 = 1 << 32;

/// What the first pages tell.
pub(crate) struct Survey {
    pub(crate) segments: Vec<Surveyed>,
    /// Segments whose first page was damaged.
    pub(crate) rescued: Vec<u32>,
    /// Files that were being made segments: number, file, size.
    pub(crate) leftovers: Vec<(u32, Arc<dyn DiskFile>, u64)>,
    /// Folders, links and the like in the place of segments.
    pub(crate) strange: Vec<(u32, std::io::Error)>,
    /// Of all names that are segments'.
    pub(crate) last_number: u32,
    pub(crate) next: Next,
}

pub(crate) struct Surveyed {
    pub(crate) segment: Segment,
    start: Option<Start>,
}

#[derive(Clone, Copy)]
struct Start {
    digest: StartDigest,
    batch: u64,
    seq: u64,
}

pub(crate) fn survey(disk: &dyn Disk, access: Access) -> Result<Survey, SpoolError> {
    let names = disk.names(segment::FOLDER).map_err(SpoolError::from_io)?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment::number_of(name)).collect();
    numbers.sort_unstable();
    let mut survey = Survey {
        segments: Vec::new(),
        rescued: Vec::new(),
        leftovers: Vec::new(),
        strange: Vec::new(),
        last_number: numbers.last().copied().unwrap_or(0),
        next: Next::FIRST,
    };
    for number in numbers {
        match Segment::open(disk, number, access) {
            Ok(opened) => survey.add(number, opened)?,
            // A server that is running has removed it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) if is_strange(&error) => survey.strange.push((number, error)),
            Err(error) => return Err(SpoolError::from_io(error)),
        }
    }
    survey.segments.sort_by_key(|surveyed| surveyed.start.map(|start| start.batch));
    survey.next = next(&survey.segments).map_err(SpoolError::from_io)?;
    Ok(survey)
}

impl Survey {
    fn add(&mut self, number: u32, opened: Opened) -> Result<(), SpoolError> {
        let segment = match opened {
            Opened::Segment(segment) => segment,
            Opened::Rescued(segment) => {
                self.rescued.push(number);
                segment
            }
            Opened::Nothing { file, capacity } => {
                self.leftovers.push((number, file, capacity));
                return Ok(());
            }
            Opened::Foreign(version) => {
                return Err(SpoolError::Format(format!("segment {number} has version {version}")));
            }
        };
        let start = read_start(&segment).map_err(SpoolError::from_io)?;
        self.segments.push(Surveyed { segment, start });
        Ok(())
    }
}

/// Whether there is something that is no regular file.
fn is_strange(error: &std::io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    error.kind() == std::io::ErrorKind::InvalidInput
        || matches!(errno, Some(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR))
}

fn read_start(segment: &Segment) -> std::io::Result<Option<Start>> {
    let mut octets = [0; 128];
    let filled = read_full_at(&*segment.file, &mut octets, PAGE_SIZE)?;
    let Some(header) = Header::parse(&octets[..filled], segment.epoch) else { return Ok(None) };
    let digest =
        &octets[HEADER_SIZE..HEADER_SIZE + usize::from(header.digest_size).min(octets.len() - HEADER_SIZE)];
    let is_whole = header.kind == Kind::Start && header.crc == crc32c::crc32c(digest);
    let digest = StartDigest::decode(digest).ok().filter(|_| is_whole);
    Ok(digest.map(|digest| Start { digest, batch: header.batch, seq: header.seq }))
}

/// Where to go on. After a clean stop the last segment's seal knows the next serial number.
fn next(segments: &[Surveyed]) -> std::io::Result<Next> {
    let starts = || segments.iter().filter_map(|surveyed| surveyed.start);
    let batch = starts().map(|start| start.batch).max().map_or(Next::FIRST.batch, |batch| batch + BATCH_STEP);
    let seq = starts().map(|start| start.seq).max().map_or(Next::FIRST.seq, |seq| seq + SEQ_STEP);
    let is_hot = |surveyed: &&Surveyed| surveyed.start.is_some_and(|start| !start.digest.is_cold);
    let serial = match segments.iter().rfind(is_hot) {
        None => Next::FIRST.serial,
        Some(last) => {
            let limit = last.start.map_or(Next::FIRST.serial, |start| start.digest.serial_limit);
            last.segment.read_seal()?.map_or(limit, |seal| seal.next_serial)
        }
    };
    Ok(Next { serial, batch, seq })
}

/// What is in the segments.
pub(crate) struct Recovered {
    pub(crate) catalog: Catalog,
    /// Octets that should be records and are none.
    pub(crate) damage: Vec<(Segment, Range<u64>)>,
    /// Segments that the device failed to read in part.
    pub(crate) unreadable: Vec<(u32, std::io::Error)>,
    /// Segments with records but without a seal. Sealed, they need not be scanned again, nor their damage reported.
    pub(crate) unsealed: Vec<Unsealed>,
    /// Segments without any record.
    pub(crate) empty: Vec<Segment>,
    /// Of each message's last STATE record so far: its sequence number, and whether it is a snapshot.
    last_states: HashMap<u64, (u64, bool)>,
}

/// A segment with a way to its digests.
struct Source {
    segment: Segment,
    is_cold: bool,
    /// What a scan found; None if there is a seal to read.
    scanned: Option<Index>,
}

pub(crate) fn index(surveyed: &[Surveyed]) -> Recovered {
    let mut recovered = Recovered {
        catalog: Catalog::new(),
        damage: Vec::new(),
        unreadable: Vec::new(),
        unsealed: Vec::new(),
        empty: Vec::new(),
        last_states: HashMap::new(),
    };
    let sources: Vec<Source> =
        surveyed.iter().filter_map(|one| recovered.source(one, is_followed(one, surveyed))).collect();
    // What garbage collection copied counts, not the original, so that the original's segment can be freed.
    let (cold, hot): (Vec<&Source>, Vec<&Source>) = sources.iter().partition(|source| source.is_cold);
    let copies_first: Vec<&Source> = cold.into_iter().rev().chain(hot).collect();
    let done = finished(&copies_first);
    let mut proofs = Vec::new();
    for source in &copies_first {
        source.each(|entry| recovered.add_message(source, entry, &done, &mut proofs));
    }
    for (serial, of, proof) in proofs {
        recovered.catalog.add_proof(serial, of, proof);
    }
    let mut disordered = HashSet::new();
    for source in &sources {
        source.each(|entry| recovered.add_state(source, entry, &mut disordered));
    }
    recovered.last_states = HashMap::new();
    recovered.put_in_order(&copies_first, &disordered);
    recovered
}

/// Shows every record that an index tells of: segment, whether that is cold, and the record.
pub(crate) fn each_record(surveyed: &[Surveyed], mut show: impl FnMut(&Segment, bool, IndexEntry<'_>)) {
    for one in surveyed {
        let is_cold = one.start.is_some_and(|start| start.digest.is_cold);
        let source = Source { segment: one.segment.clone(), is_cold, scanned: None };
        source.each(|entry| show(&one.segment, is_cold, entry));
    }
}

/// Whether another segment was begun after this one was full: then its last batch is complete.
fn is_followed(one: &Surveyed, all: &[Surveyed]) -> bool {
    let Some(start) = one.start else { return false };
    all.iter()
        .filter_map(|other| other.start)
        .any(|other| other.digest.is_cold == start.digest.is_cold && other.batch > start.batch)
}

/// The messages that are no more, and the first of the segments that tell so, by serial number.
fn finished(sources: &[&Source]) -> Vec<(u64, u32)> {
    let mut done = Vec::new();
    for source in sources {
        source.each(|entry| {
            if entry.kind == Kind::Done {
                done.extend(decode_done(entry.digest).map(|serial| (serial, source.segment.number)));
            }
        });
    }
    done.sort_by_key(|(serial, _)| *serial);
    done.dedup_by_key(|(serial, _)| *serial);
    done
}

impl Source {
    fn each(&self, mut tell: impl FnMut(IndexEntry<'_>)) {
        let index = match &self.scanned {
            Some(index) => index.clone(),
            // It was there a moment ago; if it cannot be read any more, the records can.
            None => match self.segment.read_seal() {
                Ok(Some(seal)) => seal.index,
                _ => scan(&self.segment).index,
            },
        };
        index.entries().for_each(&mut tell);
    }

    fn place(&self, spot: Spot) -> Place {
        Place { segment: self.segment.number, spot }
    }
}

impl Recovered {
    fn source(&mut self, surveyed: &Surveyed, is_followed: bool) -> Option<Source> {
        let segment = surveyed.segment.clone();
        let is_cold = surveyed.start.is_some_and(|start| start.digest.is_cold);
        let seal = segment.read_seal().unwrap_or_else(|error| {
            self.unreadable.push((segment.number, error));
            None
        });
        let (end, scanned) = match seal {
            Some(seal) => (seal.end, None),
            None => {
                let scan = scan(&segment);
                if scan.last_batch == 0 && scan.read_error.is_none() {
                    self.empty.push(segment);
                    return None;
                }
                let limit = surveyed.start.map_or(Next::FIRST.serial, |start| start.digest.serial_limit);
                (scan.end, Some(self.note_scan(&segment, scan, is_followed, limit)))
            }
        };
        let is_unreadable = self.unreadable.iter().any(|(number, _)| *number == segment.number);
        self.catalog.add_segment(segment.clone(), if is_unreadable { Role::Unread } else { Role::Full });
        if let Some(state) = self.catalog.segments.get_mut(&segment.number) {
            state.end = end;
        }
        Some(Source { segment, is_cold, scanned })
    }

    fn note_scan(&mut self, segment: &Segment, scan: Scan, is_followed: bool, serial_limit: u64) -> Index {
        let torn = scan.torn.filter(|_| is_followed);
        let damage = scan.damage.into_iter().chain(torn);
        self.damage.extend(damage.map(|range| (segment.clone(), range)));
        match scan.read_error {
            Some(error) => self.unreadable.push((segment.number, error)),
            None => self.unsealed.push(Unsealed {
                segment: segment.clone(),
                end: scan.end,
                index: scan.index.0.to_vec(),
                last_batch: scan.last_batch,
                next_serial: serial_limit,
            }),
        }
        scan.index
    }

    fn add_message(
        &mut self,
        source: &Source,
        entry: IndexEntry<'_>,
        done: &[(u64, u32)],
        proofs: &mut Vec<(u64, u32, u32)>,
    ) {
        if !matches!(entry.kind, Kind::Message | Kind::BodyRef) {
            return;
        }
        let Ok(digest) = MessageDigest::decode(entry.digest) else { return };
        if let Ok(n) = done.binary_search_by_key(&digest.serial, |(serial, _)| *serial) {
            proofs.push((digest.serial, source.segment.number, done[n].1));
            return;
        }
        let place = source.place(entry.spot);
        if self.catalog.messages.get(digest.serial).is_some() {
            self.catalog.add_original(digest.serial, place.segment);
        } else {
            self.catalog.insert(Entry::new(&digest, place, false));
        }
    }

    fn add_state(&mut self, source: &Source, entry: IndexEntry<'_>, disordered: &mut HashSet<u64>) {
        if !matches!(entry.kind, Kind::State | Kind::Admin) {
            return;
        }
        let Ok(digest) = StateDigest::decode(entry.digest) else { return };
        let Some(message) = self.catalog.messages.get_mut(digest.serial) else { return };
        // Segments are read in the order in which they were begun, so records of one message come in order. But what garbage
        // collection copied is older than its segment, and what could not be written is in two places.
        let is_snapshot = digest.change.is_snapshot;
        let last = self.last_states.get(&digest.serial).copied();
        // Of two copies of a snapshot the one in the cold segment counts, as for messages.
        let is_copy = source.is_cold && is_snapshot && last == Some((entry.seq, true));
        let is_later = is_copy || last.is_none_or(|(seq, _)| entry.seq > seq);
        if !is_later && last.is_some_and(|(_, is_snapshot)| is_snapshot) {
            // The snapshot tells it.
            return;
        }
        if !is_later || is_snapshot && digest.added > 0 {
            disordered.insert(digest.serial);
        }
        if is_later {
            self.last_states.insert(digest.serial, (entry.seq, is_snapshot));
        }
        message.apply(&digest);
        self.catalog.add_state(digest.serial, source.place(entry.spot), is_snapshot);
    }

    /// Applies the STATE records of some messages again, in the right order.
    fn put_in_order(&mut self, sources: &[&Source], disordered: &HashSet<u64>) {
        if disordered.is_empty() {
            return;
        }
        let mut messages = Vec::new();
        let mut states: Vec<(u64, u64, bool, Place, StateDigest)> = Vec::new();
        for source in sources {
            source.each(|entry| match entry.kind {
                Kind::Message | Kind::BodyRef => {
                    messages.extend(
                        MessageDigest::decode(entry.digest).ok().filter(|m| disordered.contains(&m.serial)),
                    );
                }
                Kind::State | Kind::Admin => {
                    if let Ok(digest) = StateDigest::decode(entry.digest)
                        && disordered.contains(&digest.serial)
                    {
                        let place = source.place(entry.spot);
                        states.push((digest.serial, entry.seq, digest.change.is_snapshot, place, digest));
                    }
                }
                _ => {}
            });
        }
        states.sort_by_key(|state| state.0);
        for message in messages {
            let from = states.partition_point(|state| state.0 < message.serial);
            let to = states.partition_point(|state| state.0 <= message.serial);
            let mut own = states[from..to].to_vec();
            in_order(&mut own, |state| (state.1, state.2));
            self.catalog.reset(&message);
            self.catalog.set_states(message.serial, own.iter().map(|state| state.3).collect());
            if let Some(entry) = self.catalog.messages.get_mut(message.serial) {
                own.iter().for_each(|state| entry.apply(&state.4));
            }
        }
    }
}
