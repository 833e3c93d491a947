//! What memory knows: every message's summary and where its records are, and how much of each segment is alive.
//!
//! It reads and writes nothing. What it is told of changes what it shows at once; where records are it is told when they are
//! durable.

use super::digest::{Change, MessageDigest, NextAttempt, StateDigest};
use super::record::extent;
use super::segment::{Segment, Spot};
use super::slots::{Keyed, Slots};
use crate::Summary;
use mail::{Outcome, QueueId, Time};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) spot: Spot,
}

/// What is known of a message.
pub(crate) struct Entry {
    pub(crate) serial: u64,
    arrival: Time,
    next_attempt: Time,
    size: u64,
    /// What few messages need.
    extra: Option<Box<Extra>>,
    /// Its MESSAGE record.
    message: Place,
    /// Its only STATE record, if it has one; NOWHERE else.
    state: Place,
    recipients: u32,
    pending: u32,
    flags: u16,
}

/// For messages with several recipients or several STATE records.
#[derive(Default)]
struct Extra {
    /// A bit for each recipient: its outcome is final.
    settled: Vec<u64>,
    /// In the order of their sequence numbers, if there is more than one.
    states: Vec<Place>,
}

const NOWHERE: Place = Place { segment: u32::MAX, spot: Spot { offset: 0, size: 0 } };
/// Before all times: the message is due at once.
const NEVER_TRIED: Time = Time::from_micros(i64::MIN);

const HELD: u16 = 1;
const EXPIRED: u16 = 2;
const WARNED: u16 = 4;
const LONG_ID: u16 = 8;
const HAS_BODY: u16 = 16;
/// It was announced as an arrival, so it is not among the summaries.
const ANNOUNCED: u16 = 32;
/// It is gone for everybody; its DONE record is not durable yet.
const FINISHED: u16 = 64;
/// The outcome of its only recipient is final.
const SETTLED: u16 = 128;
/// Recipients were added to those of the MESSAGE record.
const APPENDED: u16 = 256;

impl Entry {
    pub(crate) fn new(digest: &MessageDigest, message: Place, is_announced: bool) -> Entry {
        let flag = |is_set: bool, flag: u16| if is_set { flag } else { 0 };
        Entry {
            serial: digest.serial,
            arrival: digest.arrival,
            next_attempt: NEVER_TRIED,
            size: digest.size,
            extra: None,
            message,
            state: NOWHERE,
            recipients: digest.recipients,
            pending: digest.recipients,
            flags: flag(digest.is_held, HELD)
                | flag(digest.is_long_id, LONG_ID)
                | flag(digest.body.is_some(), HAS_BODY)
                | flag(is_announced, ANNOUNCED),
        }
    }

    /// Makes a change visible.
    pub(crate) fn apply(&mut self, digest: &StateDigest) {
        let change = &digest.change;
        match change.next_attempt {
            NextAttempt::Unchanged => {}
            NextAttempt::Cleared => self.next_attempt = NEVER_TRIED,
            NextAttempt::At(time) => self.next_attempt = time,
        }
        if let Some(is_held) = change.is_held {
            self.flags = if is_held { self.flags | HELD } else { self.flags & !HELD };
        }
        self.flags |= if change.is_expired { EXPIRED } else { 0 } | if change.is_warned { WARNED } else { 0 };
        self.flags |= if digest.added > 0 { APPENDED } else { 0 };
        self.recipients = self.recipients.saturating_add(digest.added);
        self.pending = self.pending.saturating_add(digest.added);
        for (recipient, is_final) in &digest.fates {
            self.settle(*recipient, *is_final);
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            id: self.id(),
            arrival: self.arrival,
            next_attempt: (self.next_attempt != NEVER_TRIED).then_some(self.next_attempt),
            held: self.has(HELD),
            expired: self.has(EXPIRED),
            warned: self.has(WARNED),
            size: self.size,
            recipients: self.recipients,
            pending: self.pending,
        }
    }

    pub(crate) fn id(&self) -> QueueId {
        if self.has(LONG_ID) {
            QueueId::long(self.arrival, self.serial)
        } else {
            QueueId::short(self.arrival, self.serial)
        }
    }

    pub(crate) fn message(&self) -> Place {
        self.message
    }

    /// Its STATE and ADMIN records, in the order of their sequence numbers.
    pub(crate) fn states(&self) -> &[Place] {
        match &self.extra {
            Some(extra) if !extra.states.is_empty() => &extra.states,
            _ if self.state == NOWHERE => &[],
            _ => std::slice::from_ref(&self.state),
        }
    }

    pub(crate) fn recipients(&self) -> u32 {
        self.recipients
    }

    pub(crate) fn has_body(&self) -> bool {
        self.has(HAS_BODY)
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.has(ANNOUNCED)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.has(FINISHED)
    }

    /// Whether these outcomes are all that is to be told of the message's recipients: then a record of them can replace all
    /// earlier ones.
    pub(crate) fn is_told_by(&self, outcomes: &[Outcome]) -> bool {
        if self.has(APPENDED) || outcomes.len() != self.recipients as usize {
            return false;
        }
        let mut recipients: Vec<u32> = outcomes.iter().map(|outcome| outcome.recipient).collect();
        recipients.sort_unstable();
        recipients.iter().copied().eq(0..self.recipients)
    }

    /// Everything that records have changed of the message as a whole.
    pub(crate) fn changes(&self) -> Change {
        Change {
            next_attempt: match self.next_attempt {
                NEVER_TRIED => NextAttempt::Cleared,
                time => NextAttempt::At(time),
            },
            is_held: Some(self.has(HELD)),
            is_expired: self.has(EXPIRED),
            is_warned: self.has(WARNED),
            is_snapshot: true,
        }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    fn set_states(&mut self, states: Vec<Place>) {
        self.state = NOWHERE;
        if let [only] = states[..] {
            self.state = only;
        }
        let several = if states.len() > 1 { states } else { Vec::new() };
        if !several.is_empty() || self.extra.is_some() {
            self.extra.get_or_insert_default().states = several;
        }
    }

    fn settle(&mut self, recipient: u32, is_final: bool) {
        if recipient >= self.recipients {
            return;
        }
        let was_final = self.is_settled(recipient);
        if was_final == is_final {
            return;
        }
        self.pending = if is_final { self.pending - 1 } else { self.pending + 1 };
        if recipient == 0 {
            self.flags = if is_final { self.flags | SETTLED } else { self.flags & !SETTLED };
            return;
        }
        let settled = &mut self.extra.get_or_insert_default().settled;
        let (word, bit) = (recipient as usize / 64, recipient % 64);
        if settled.len() <= word {
            settled.resize(word + 1, 0);
        }
        settled[word] = settled[word] & !(1 << bit) | u64::from(is_final) << bit;
    }

    fn is_settled(&self, recipient: u32) -> bool {
        if recipient == 0 {
            return self.has(SETTLED);
        }
        let word = self.extra.as_ref().and_then(|extra| extra.settled.get(recipient as usize / 64));
        word.is_some_and(|word| word >> (recipient % 64) & 1 == 1)
    }
}

impl Keyed for Entry {
    fn key(&self) -> u64 {
        self.serial
    }
}

/// How a segment is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// There at the start, and not read yet.
    Unread,
    /// Prepared, without records.
    Spare,
    /// Records are being added.
    Filling,
    /// No records are added any more.
    Full,
    /// As `Full`, but the device failed to write it: it is not used again.
    Failed,
    /// Everything in it is dead: it is being made a spare, or removed.
    Freeing,
}

/// A segment and what in it is alive.
pub(crate) struct SegmentState {
    pub(crate) segment: Segment,
    pub(crate) role: Role,
    /// Octets up to here are records.
    pub(crate) end: u64,
    /// Octets of records that count.
    pub(crate) live: u64,
    /// Messages for whose end this segment has the only proof, by the segment that still has their MESSAGE record: until
    /// that one is freed, the proof must be kept.
    proofs: HashMap<u32, Vec<u64>>,
    /// When it got its role.
    pub(crate) since: Instant,
}

impl SegmentState {
    fn new(segment: Segment, role: Role) -> SegmentState {
        SegmentState { segment, role, end: 0, live: 0, proofs: HashMap::new(), since: Instant::now() }
    }

    pub(crate) fn set_role(&mut self, role: Role) {
        self.role = role;
        self.since = Instant::now();
    }

    /// Its proofs are elsewhere now.
    pub(crate) fn take_proofs(&mut self) -> Vec<(u32, Vec<u64>)> {
        self.proofs.drain().collect()
    }

    /// Octets that freeing the segment would have to keep.
    pub(crate) fn kept(&self) -> u64 {
        self.live + self.proofs.values().map(|serials| 8 * serials.len() as u64).sum::<u64>()
    }

    pub(crate) fn proofs(&self) -> Vec<(u32, Vec<u64>)> {
        self.proofs.iter().map(|(segment, serials)| (*segment, serials.clone())).collect()
    }
}

/// A message's records may need so many octets before they can replace each other.
const STATE_SIZE: u64 = 256;

/// How many octets the spares can take.
pub(crate) struct Spares {
    octets: u64,
    /// What is kept so that everything that is queued can be recorded, and segments be emptied.
    reserve: u64,
}

impl Spares {
    /// What new messages may take.
    pub(crate) fn room(&self) -> u64 {
        self.octets.saturating_sub(self.reserve)
    }

    /// There should be another, of this size.
    pub(crate) fn are_short(&self, capacity: u64) -> bool {
        self.room() < capacity
    }

    /// There is no need for another, of this size.
    pub(crate) fn are_ample(&self, capacity: u64) -> bool {
        self.room() >= 3 * capacity
    }
}

/// All messages and segments.
pub(crate) struct Catalog {
    pub(crate) messages: Slots<Entry>,
    pub(crate) segments: BTreeMap<u32, SegmentState>,
    /// Messages whose MESSAGE record was copied, by the segments that still have the original: if such a message goes, that
    /// must be provable for as long as they do.
    originals: HashMap<u64, Vec<u32>>,
    next_number: u32,
}

impl Catalog {
    pub(crate) fn new() -> Catalog {
        Catalog {
            messages: Slots::new(),
            segments: BTreeMap::new(),
            originals: HashMap::new(),
            next_number: 1,
        }
    }

    /// A number that no segment has or had.
    pub(crate) fn take_number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// A file of this number exists.
    pub(crate) fn note_number(&mut self, number: u32) {
        self.next_number = self.next_number.max(number.saturating_add(1));
    }

    pub(crate) fn add_segment(&mut self, segment: Segment, role: Role) {
        self.note_number(segment.number);
        self.segments.insert(segment.number, SegmentState::new(segment, role));
    }

    /// Adds what came while the messages that were there at the start were read into `self`.
    pub(crate) fn absorb(&mut self, newer: Catalog) {
        self.next_number = self.next_number.max(newer.next_number);
        newer.messages.into_entries().for_each(|entry| self.messages.insert(entry));
        let known = newer.segments.into_iter().filter(|(_, state)| state.role != Role::Unread);
        self.segments.extend(known);
    }

    /// The message, unless it is unknown or finished.
    pub(crate) fn find(&self, id: QueueId) -> Option<&Entry> {
        self.messages.get(id.serial()?).filter(|entry| !entry.is_finished() && entry.id() == id)
    }

    pub(crate) fn find_mut(&mut self, id: QueueId) -> Option<&mut Entry> {
        self.messages.get_mut(id.serial()?).filter(|entry| !entry.is_finished() && entry.id() == id)
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        self.add_live(entry.message);
        self.messages.insert(entry);
    }

    /// A STATE record of the message is durable: the newest. A snapshot replaces the others.
    pub(crate) fn add_state(&mut self, serial: u64, place: Place, is_snapshot: bool) {
        let Some(entry) = self.messages.get_mut(serial) else { return };
        let mut states = entry.states().to_vec();
        let replaced = if is_snapshot { std::mem::take(&mut states) } else { Vec::new() };
        states.push(place);
        entry.set_states(states);
        replaced.iter().for_each(|place| self.remove_live(*place));
        self.add_live(place);
    }

    /// The message is gone for everybody from now on.
    pub(crate) fn finish(&mut self, id: QueueId) -> Option<u64> {
        let entry = self.find_mut(id)?;
        entry.flags |= FINISHED;
        Some(entry.serial)
    }

    /// The message's DONE record is durable, in the segment `proof`. Gives the message's entry, which is no more.
    pub(crate) fn remove(&mut self, serial: u64, proof: u32) -> Option<Entry> {
        let entry = self.messages.remove(serial)?;
        self.remove_live(entry.message);
        entry.states().iter().for_each(|place| self.remove_live(*place));
        self.add_proof(serial, entry.message.segment, proof);
        for original in self.originals.remove(&serial).unwrap_or_default() {
            self.add_proof(serial, original, proof);
        }
        Some(entry)
    }

    /// A record of the segment `proof` tells that the message in the segment `of` is no more.
    pub(crate) fn add_proof(&mut self, serial: u64, of: u32, proof: u32) {
        if of == proof || !self.segments.contains_key(&of) {
            return;
        }
        if let Some(state) = self.segments.get_mut(&proof) {
            state.proofs.entry(of).or_default().push(serial);
        }
    }

    /// Garbage collection has copied a MESSAGE record. False if the message is no more: then the copy needs a proof of that.
    pub(crate) fn move_message(&mut self, serial: u64, from: Place, to: Place) -> bool {
        let Some(entry) = self.messages.get_mut(serial) else { return false };
        debug_assert_eq!(entry.message, from, "nobody else moves messages");
        entry.message = to;
        self.remove_live(from);
        self.add_live(to);
        self.add_original(serial, from.segment);
        true
    }

    /// A segment has a copy of the message's MESSAGE record that does not count.
    pub(crate) fn add_original(&mut self, serial: u64, segment: u32) {
        self.originals.entry(serial).or_default().push(segment);
    }

    /// One record now stands for all of these STATE records, which follow each other. If they are not the message's, that
    /// record is dead.
    pub(crate) fn replace_states(&mut self, serial: u64, from: &[Place], to: Place) {
        let Some(entry) = self.messages.get_mut(serial) else { return };
        let states = entry.states();
        let Some(first) = states.windows(from.len()).position(|window| window == from) else { return };
        let mut replaced = states[..first].to_vec();
        replaced.push(to);
        replaced.extend_from_slice(&states[first + from.len()..]);
        entry.set_states(replaced);
        from.iter().for_each(|place| self.remove_live(*place));
        self.add_live(to);
    }

    /// The record at this place no longer counts.
    pub(crate) fn forget_state(&mut self, serial: u64, place: Place) {
        let Some(entry) = self.messages.get_mut(serial) else { return };
        let mut states = entry.states().to_vec();
        let Some(n) = states.iter().position(|other| *other == place) else { return };
        states.remove(n);
        entry.set_states(states);
        self.remove_live(place);
    }

    /// For recovery, which finds records in any order: all of a message's STATE records, in order.
    pub(crate) fn set_states(&mut self, serial: u64, states: Vec<Place>) {
        let Some(entry) = self.messages.get_mut(serial) else { return };
        let old = entry.states().to_vec();
        entry.set_states(states.clone());
        old.iter().for_each(|place| self.remove_live(*place));
        states.iter().for_each(|place| self.add_live(*place));
    }

    /// For recovery: forgets what STATE records said.
    pub(crate) fn reset(&mut self, digest: &MessageDigest) {
        let Some(entry) = self.messages.get_mut(digest.serial) else { return };
        let mut fresh = Entry::new(digest, entry.message, entry.is_announced());
        fresh.set_states(entry.states().to_vec());
        *entry = fresh;
    }

    /// The segment's content is durably gone.
    pub(crate) fn freed(&mut self, number: u32) {
        for state in self.segments.values_mut() {
            state.proofs.remove(&number);
        }
        self.originals.retain(|_, segments| {
            segments.retain(|segment| *segment != number);
            !segments.is_empty()
        });
    }

    /// Segments of which nothing is needed any more.
    pub(crate) fn dead_segments(&self) -> Vec<u32> {
        let is_dead = |state: &SegmentState| {
            matches!(state.role, Role::Full | Role::Failed) && state.live == 0 && state.proofs.is_empty()
        };
        self.segments.iter().filter(|(_, state)| is_dead(state)).map(|(number, _)| *number).collect()
    }

    pub(crate) fn count_spares(&self) -> Spares {
        let capacities = || self.spares().map(|spare| spare.segment.capacity);
        let records = self.messages.len() as u64 * STATE_SIZE;
        Spares { octets: capacities().sum(), reserve: capacities().max().unwrap_or(0) + records }
    }

    pub(crate) fn spares(&self) -> impl Iterator<Item = &SegmentState> {
        self.segments.values().filter(|state| state.role == Role::Spare)
    }

    fn add_live(&mut self, place: Place) {
        if let Some(state) = self.segments.get_mut(&place.segment) {
            state.live += extent(place.spot.size);
        }
    }

    fn remove_live(&mut self, place: Place) {
        if let Some(state) = self.segments.get_mut(&place.segment) {
            debug_assert!(state.live >= extent(place.spot.size), "more dies than lived");
            state.live = state.live.saturating_sub(extent(place.spot.size));
        }
    }
}
