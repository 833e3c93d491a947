//! Garbage collection: copies what is alive out of segments that are mostly dead, into a cold segment of its own.
//!
//! Records are copied octet for octet, with their sequence numbers, so that order survives. The catalog learns of a copy when
//! it is durable; if the message changed meanwhile, the copy is dead and nothing is lost.

use super::catalog::{Place, Role};
use super::core::{Core, Op, Task};
use super::digest::{Change, MessageDigest, NextAttempt, StartDigest, StateDigest};
use super::read::{StateRecord, in_order, state_fields, state_record};
use super::record::{Header, Kind, Record};
use super::scan::scan;
use super::segment::{Appender, Load, ReadError, Segment, Spot};
use super::writer::{done_record, start_record};
use super::{Event, segment_capacity};
use crate::Durable;
use bytes::Bytes;
use mail::Outcome;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// So much is copied with one sync.
const BATCH_SIZE_MAX: u64 = 1 << 20;
const PROOFS_MAX: usize = 4096;

pub(crate) struct Collector {
    core: Arc<Core>,
    cold: Option<Appender>,
    /// There may be copies of messages somewhere that nothing proves to be gone.
    is_unsure: bool,
}

/// A record that is alive, and where it was.
struct Survivor {
    record: Record,
    serial: u64,
    from: Vec<Place>,
}

/// Records could not be written; if they were tried, it is unknown what of them is in the segment.
struct Failed {
    error: io::Error,
    segment: Option<u32>,
}

impl Survivor {
    fn is_message(&self) -> bool {
        matches!(self.record.kind, Kind::Message | Kind::BodyRef)
    }
}

impl Collector {
    pub(crate) fn new(core: Arc<Core>) -> Collector {
        Collector { core, cold: None, is_unsure: false }
    }

    /// Whether segments may be freed.
    pub(crate) fn is_sure(&self) -> bool {
        !self.is_unsure
    }

    /// Empties a segment. False if that did not succeed: then it stays as it is, and may be tried again.
    pub(crate) fn collect(&mut self, victim: &Segment) -> bool {
        let done = self.copy_records(victim).and_then(|()| self.copy_proofs(victim.number));
        if let Err(error) = &done {
            self.core.tell(Event::ChoreFailed { chore: "collect a segment", error: error.to_string() });
        }
        done.is_ok()
    }

    /// Makes one STATE record of many, so that neither memory nor reading the message grows with its attempts.
    pub(crate) fn shorten(&mut self, serial: u64) {
        let places = {
            let state = self.core.lock();
            let Some(entry) = state.catalog.messages.get(serial) else { return };
            entry.states().to_vec()
        };
        let Some(snapshot) = self.snapshot(serial, &places) else { return };
        let survivor = Survivor { record: snapshot, serial, from: places };
        if let Err(error) = self.write(vec![survivor]) {
            self.core
                .tell(Event::ChoreFailed { chore: "shorten a message's history", error: error.to_string() });
        }
    }

    /// Ends the cold segment.
    pub(crate) fn close(&mut self) {
        if let Some(cold) = self.cold.take() {
            self.core.lock().set_role(cold.segment().number, Role::Full);
            if let Err(error) = cold.into_unsealed(self.core.serial_limit.load(Relaxed)).seal() {
                self.core.tell(Event::ChoreFailed { chore: "seal a segment", error: error.to_string() });
            }
        }
    }

    fn copy_records(&mut self, victim: &Segment) -> io::Result<()> {
        let index = match victim.read_seal()? {
            Some(seal) => seal.index,
            None => scan(victim).index,
        };
        let (mut batch, mut size) = (Vec::new(), 0);
        for entry in index.entries() {
            let place = Place { segment: victim.number, spot: entry.spot };
            let Some(serial) = self.living(entry.kind, entry.digest, place) else { continue };
            let Some(record) = self.read(victim, entry.spot, entry.kind, serial)? else { continue };
            size += record.extent();
            batch.push(Survivor { record, serial, from: vec![place] });
            if size >= BATCH_SIZE_MAX {
                self.write(std::mem::take(&mut batch))?;
                size = 0;
            }
        }
        self.write(batch)
    }

    /// The message that needs the record at this place, if any does.
    fn living(&self, kind: Kind, digest: &[u8], place: Place) -> Option<u64> {
        let serial = match kind {
            Kind::Message | Kind::BodyRef => MessageDigest::decode(digest).ok()?.serial,
            Kind::State | Kind::Admin => StateDigest::decode(digest).ok()?.serial,
            Kind::Start | Kind::Done | Kind::Seal => return None,
        };
        let state = self.core.lock();
        let entry = state.catalog.messages.get(serial)?;
        let is_needed = entry.message() == place || entry.states().contains(&place);
        is_needed.then_some(serial)
    }

    /// The record; None if it is damaged, and was dealt with.
    fn read(&self, victim: &Segment, spot: Spot, kind: Kind, serial: u64) -> io::Result<Option<Record>> {
        match victim.read(spot) {
            Ok((header, payload)) => Ok(Some(verbatim(&header, payload))),
            Err(ReadError::Io(error)) => Err(error),
            Err(ReadError::Damaged) => {
                let place = Place { segment: victim.number, spot };
                let dealt_with = match kind {
                    Kind::Message | Kind::BodyRef => self.core.drop_damaged_message(serial, place),
                    _ => self.core.drop_damaged_state(serial, place),
                };
                dealt_with.map(|()| None).map_err(|error| io::Error::other(error.to_string()))
            }
        }
    }

    /// Copies what tells that messages of other segments are no more.
    fn copy_proofs(&mut self, victim: u32) -> io::Result<()> {
        let proofs =
            self.core.lock().catalog.segments.get(&victim).map(|state| state.proofs()).unwrap_or_default();
        let serials: Vec<u64> = proofs.iter().flat_map(|(_, serials)| serials.iter().copied()).collect();
        for serials in serials.chunks(PROOFS_MAX) {
            self.append(&[done_record(serials)]).map_err(|failed| failed.error)?;
        }
        let Some(cold) = self.cold.as_ref().map(|cold| cold.segment().number) else { return Ok(()) };
        let mut state = self.core.lock();
        let moved =
            state.catalog.segments.get_mut(&victim).map(|state| state.take_proofs()).unwrap_or_default();
        for (of, serials) in moved {
            serials.into_iter().for_each(|serial| state.catalog.add_proof(serial, of, cold));
        }
        Ok(())
    }

    fn write(&mut self, batch: Vec<Survivor>) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let records: Vec<Record> = batch.iter().map(|survivor| survivor.record.clone()).collect();
        let (number, spots) = match self.append(&records) {
            Ok(written) => written,
            Err(failed) => {
                self.disown_copies(failed.segment, &batch);
                return Err(failed.error);
            }
        };
        let mut gone = Vec::new();
        let mut state = self.core.lock();
        for (survivor, spot) in batch.into_iter().zip(spots) {
            let to = Place { segment: number, spot };
            match survivor.from[..] {
                [from] if survivor.is_message() => {
                    if !state.catalog.move_message(survivor.serial, from, to) {
                        gone.push(survivor.serial);
                    }
                }
                _ => state.catalog.replace_states(survivor.serial, &survivor.from, to),
            }
        }
        drop(state);
        self.void_copies(number, gone);
        Ok(())
    }

    /// Copies that could not be written may be on the device after all. They must not bring back a message that is gone, or
    /// goes before they do.
    fn disown_copies(&mut self, segment: Option<u32>, batch: &[Survivor]) {
        let Some(segment) = segment else { return };
        let mut gone = Vec::new();
        let mut state = self.core.lock();
        for survivor in batch.iter().filter(|survivor| survivor.is_message()) {
            if state.catalog.messages.get(survivor.serial).is_some() {
                state.catalog.add_original(survivor.serial, segment);
            } else {
                gone.push(survivor.serial);
            }
        }
        drop(state);
        self.void_copies(segment, gone);
    }

    /// Messages that went while they were copied must not come back because of the copies. What proves now that they are gone
    /// may be freed next, so this waits for another proof.
    fn void_copies(&mut self, segment: u32, gone: Vec<u64>) {
        let mut state = self.core.lock();
        let void = |serial: u64| {
            let (promise, durable) = Durable::pair();
            let task = Task::Void { segment, has_body: false, refused: None };
            self.core.push(&mut state, Op { serial, task, promise: Some(promise) });
            durable
        };
        let waiting: Vec<Durable> = gone.into_iter().map(void).collect();
        drop(state);
        self.is_unsure |= waiting.into_iter().any(|durable| durable.wait().is_err());
    }

    /// Appends to the cold segment; a new one is begun if it is full.
    fn append(&mut self, records: &[Record]) -> Result<(u32, Vec<Spot>), Failed> {
        let load = records.iter().fold(Load::default(), Load::add);
        let mut cold = match self.cold.take() {
            Some(cold) if cold.has_room(load) => cold,
            full => {
                if let Some(full) = full {
                    self.retire(full);
                }
                self.begin(load).map_err(|error| Failed { error, segment: None })?
            }
        };
        let number = cold.segment().number;
        let appended = cold.append(self.core.next_batch(), records);
        let mut state = self.core.lock();
        match appended {
            Ok(spots) => {
                if let Some(segment) = state.catalog.segments.get_mut(&number) {
                    segment.end = cold.end();
                }
                drop(state);
                self.cold = Some(cold);
                Ok((number, spots))
            }
            Err(error) => {
                state.set_role(number, Role::Failed);
                Err(Failed { error, segment: Some(number) })
            }
        }
    }

    fn retire(&self, full: Appender) {
        let number = full.segment().number;
        let unsealed = full.into_unsealed(self.core.serial_limit.load(Relaxed));
        let mut state = self.core.lock();
        state.set_role(number, Role::Full);
        state.chores.unsealed.push(unsealed);
        self.core.wake_keeper(&mut state);
    }

    fn begin(&mut self, load: Load) -> io::Result<Appender> {
        let start = StartDigest { serial_limit: self.core.serial_limit.load(Relaxed), is_cold: true };
        let start = start_record(start, self.core.lock().take_seq());
        let segment = self.segment(load.add(&start).capacity())?;
        let number = segment.number;
        let mut appender = Appender::new(segment);
        match appender.append(self.core.next_batch(), &[start]) {
            Ok(_) => Ok(appender),
            Err(error) => {
                self.core.lock().set_role(number, Role::Failed);
                Err(error)
            }
        }
    }

    /// A spare, or a new segment. Collecting gives back more than it takes, so it may take the last spare.
    fn segment(&self, needed: u64) -> io::Result<Segment> {
        let mut state = self.core.lock();
        let spare =
            state.catalog.spares().find(|spare| spare.segment.capacity >= needed).map(|s| s.segment.clone());
        if let Some(spare) = spare {
            state.set_role(spare.number, Role::Filling);
            return Ok(spare);
        }
        let number = state.catalog.take_number();
        drop(state);
        let capacity = segment_capacity(&*self.core.disk, &self.core.options).max(needed);
        let segment = Segment::create(&*self.core.disk, number, capacity)?;
        self.core.lock().catalog.add_segment(segment.clone(), Role::Filling);
        Ok(segment)
    }

    fn snapshot(&self, serial: u64, places: &[Place]) -> Option<Record> {
        let mut states = Vec::with_capacity(places.len());
        for place in places {
            let segment = self.core.lock().catalog.segments.get(&place.segment)?.segment.clone();
            let (header, payload) = segment.read(place.spot).ok()?;
            states.push(StateRecord::decode(header.seq, header.digest_size.into(), &payload).ok()?);
        }
        in_order(&mut states, |state| (state.seq, state.digest.change.is_snapshot));
        let seq = states.last()?.seq;
        let merged = merge(serial, states);
        let fields = state_fields(&merged.outcomes, &merged.added);
        state_record(Kind::State, &merged.digest, &fields).map(|record| Record { seq, ..record })
    }
}

fn verbatim(header: &Header, payload: Bytes) -> Record {
    Record {
        kind: header.kind,
        seq: header.seq,
        digest_size: header.digest_size,
        size: header.size,
        crc: header.crc,
        parts: [payload, Bytes::new(), Bytes::new()],
    }
}

/// One record that tells what all of these tell.
fn merge(serial: u64, states: Vec<StateRecord>) -> StateRecord {
    let mut change = Change { is_snapshot: true, ..Change::default() };
    let mut added = Vec::new();
    let mut outcomes: BTreeMap<u32, Outcome> = BTreeMap::new();
    for state in states {
        let newer = state.digest.change;
        if newer.next_attempt != NextAttempt::Unchanged {
            change.next_attempt = newer.next_attempt;
        }
        change.is_held = newer.is_held.or(change.is_held);
        change.is_expired |= newer.is_expired;
        change.is_warned |= newer.is_warned;
        added.extend(state.added);
        outcomes.extend(state.outcomes.into_iter().map(|outcome| (outcome.recipient, outcome)));
    }
    let outcomes: Vec<Outcome> = outcomes.into_values().collect();
    let digest = StateDigest::new(serial, change, added.len() as u32, &outcomes);
    StateRecord { seq: 0, digest, outcomes, added }
}
