//! The thread that writes: it alone fills segments and decides what is durable.
//!
//! Whatever waits is written with one vectored write and one sync, then all who wait are told; while the device syncs, the
//! next batch forms. A lone message pays exactly one sync and waits for nobody. While others are in the middle of a message, a
//! small batch waits for them, for as long as the last write took and [`GATHER_TIME_MAX`] at most: a device so fast that it
//! would be done before the second one comes is asked less often. What nobody waits for rides along, or goes after `ride_along`.
//!
//! A write or sync that failed leaves an unknown state. The segment is given up, never written or synced again. Who
//! waits for a message is told that it is not taken, and a DONE record for it goes to the next segment, because its octets
//! may be on the device after all. Everything else is written again there.

use super::catalog::{Place, Role, SegmentState};
use super::core::{Core, Op, SERIAL_BLOCK, State, Task, WriterState, entry_of};
use super::digest::{StartDigest, encode_done};
use super::record::{Kind, Record};
use super::segment::{Appender, Load, Segment, Spot};
use super::{Event, segment_capacity};
use crate::{Arrival, Health, Promise, SpoolError};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A batch ends when it has so many octets.
const BATCH_SIZE_MAX: u64 = 8 << 20;
/// A batch does not wait for more when so many wait for it …
const GATHER_ENOUGH: usize = 5;
/// … or for so long.
const GATHER_TIME_MAX: Duration = Duration::from_millis(1);
/// A DONE record lists no more messages than this.
const DONE_MAX: usize = 4096;
/// After a failure the second attempt waits so long, the next twice as long, up to the maximum.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Sizes of a segment that is needed now while there is no spare: the first that the disk has room for.
const EMERGENCY_SIZES: [u64; 3] = [1 << 20, 256 << 10, 64 << 10];

/// A spool that is being closed gives up after so many failures.
const CLOSING_ATTEMPTS: u32 = 3;

pub(crate) struct Writer {
    core: Arc<Core>,
    appender: Option<Appender>,
    failure: Option<Failure>,
    /// What the last write and its sync took.
    write_time: Duration,
}

/// The device has failed and not yet worked since.
struct Failure {
    attempts: u32,
    backoff: Duration,
    next_attempt: Instant,
}

/// What to do next.
enum Next {
    Write(Arc<Vec<Op>>),
    /// The segment is full, or there is none; what comes next needs so much.
    Rotate(Load),
    Close,
}

impl Writer {
    pub(crate) fn new(core: Arc<Core>) -> Writer {
        Writer { core, appender: None, failure: None, write_time: Duration::ZERO }
    }

    pub(crate) fn run(mut self) {
        // So that the first message finds a segment.
        self.rotate(Load::default());
        loop {
            match self.next() {
                Next::Write(batch) => self.write(batch),
                Next::Rotate(load) => self.rotate(load),
                Next::Close => break,
            }
        }
        self.close();
    }

    fn next(&mut self) -> Next {
        let core = self.core.clone();
        let mut state = core.lock();
        loop {
            if state.queue.is_empty() && state.is_closing {
                state.writer = WriterState::Gone;
                return Next::Close;
            }
            let wait = self.wait_time(&state);
            if wait == Some(Duration::ZERO) {
                state = self.gather(state);
                return self.take(&mut state);
            }
            state = self.sleep(state, wait);
        }
    }

    /// How long to wait before writing: zero, or None as long as nothing comes.
    fn wait_time(&self, state: &State) -> Option<Duration> {
        let now = Instant::now();
        if let Some(failure) = self.failure.as_ref().filter(|_| !state.is_closing) {
            return Some(failure.next_attempt.saturating_duration_since(now));
        }
        if state.urgent > 0 || state.is_closing {
            return Some(Duration::ZERO);
        }
        let due = state.riding_since? + self.core.options.ride_along;
        Some(due.saturating_duration_since(now))
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, State>, wait: Option<Duration>) -> MutexGuard<'a, State> {
        let wake = &self.core.writer_wake;
        state.writer = match wait {
            None => WriterState::Idle,
            // Nothing is urgent enough to try a failed device earlier.
            Some(_) if self.failure.is_some() => WriterState::Busy,
            Some(_) => WriterState::Dozing,
        };
        let mut state = match wait {
            None => wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(wait) => wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.writer = WriterState::Busy;
        state
    }

    /// Lets those catch up who are in the middle of a message.
    fn gather<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let deadline = Instant::now() + self.write_time.min(GATHER_TIME_MAX);
        while self.failure.is_none() && !state.is_closing {
            let wanted = (state.urgent + self.core.open_drafts.load(Relaxed)).min(GATHER_ENOUGH);
            let wait = deadline.saturating_duration_since(Instant::now());
            if state.urgent >= wanted || wait.is_zero() {
                break;
            }
            state.writer = WriterState::Gathering { wanted };
            state = self.core.writer_wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            state.writer = WriterState::Busy;
        }
        state
    }

    /// Takes from the queue what fits into the segment.
    fn take(&self, state: &mut State) -> Next {
        let count = self.fitting(state);
        if count == 0 {
            let first = state.queue.front();
            return Next::Rotate(first.map_or(Load::default(), |op| load_of(Load::default(), op)));
        }
        let batch: Vec<Op> = state.queue.drain(..count).collect();
        state.urgent -= batch.iter().filter(|op| op.is_urgent()).count();
        if state.queue.len() == state.urgent {
            state.riding_since = None;
        }
        let batch = Arc::new(batch);
        state.in_flight = batch.clone();
        Next::Write(batch)
    }

    /// How many of the queue go into the segment with one write.
    fn fitting(&self, state: &State) -> usize {
        let serials_run_out =
            self.core.next_serial.load(Relaxed) + SERIAL_BLOCK / 4 > self.core.serial_limit.load(Relaxed);
        let Some(appender) = &self.appender else { return 0 };
        let mut load = Load::default();
        let mut count = 0;
        for op in &state.queue {
            let is_barred = serials_run_out && matches!(op.task, Task::Message(_));
            load = load_of(load, op);
            if is_barred || count > 0 && load.extent() > BATCH_SIZE_MAX || !appender.has_room(load) {
                break;
            }
            count += 1;
        }
        count
    }

    fn write(&mut self, batch: Arc<Vec<Op>>) {
        let Some(mut appender) = self.appender.take() else { return };
        let records = records_of(&batch);
        let result = if records.is_empty() {
            // Only flushes: what they wait for is durable already.
            Ok(Vec::new())
        } else {
            let begun = Instant::now();
            let written = appender.append(self.core.next_batch(), &records);
            self.write_time = begun.elapsed();
            written
        };
        match result {
            Ok(spots) => {
                self.settle(batch, &spots, &appender);
                self.appender = Some(appender);
            }
            Err(error) => self.fail(batch, error, appender.segment().number),
        }
    }

    /// The batch is durable: everybody is told.
    fn settle(&mut self, batch: Arc<Vec<Op>>, spots: &[Spot], appender: &Appender) {
        let segment = appender.segment().number;
        let (end, room) = (appender.end(), appender.room());
        let core = self.core.clone();
        let mut state = core.lock();
        state.in_flight = Arc::default();
        let batch = Arc::into_inner(batch).expect("readers copy what they need while they hold the lock");
        let mut settled = Settled::default();
        let mut spots = spots.iter().map(|spot| Place { segment, spot: *spot });
        for op in batch {
            settled.add(&mut state, op, segment, &mut spots);
        }
        if let Some(segment) = state.catalog.segments.get_mut(&segment) {
            segment.end = end;
        }
        if settled.gone > 0 && (state.note_gone(settled.gone) || settled.has_chores) {
            core.wake_keeper(&mut state);
        }
        core.space.set_segment_room(room);
        core.space.set_spare_room(state.catalog.count_spares().room());
        let arrivals = state.arrivals.clone();
        drop(state);
        self.recover();
        for arrival in settled.arrivals {
            // Nobody may listen, as in a tool that only changes the queue.
            let _ = arrivals.send(arrival);
        }
        settled.promises.into_iter().for_each(|promise| promise.resolve(Ok(())));
        settled.refused.into_iter().for_each(|(promise, error)| promise.resolve(Err(error)));
    }

    /// The device works again.
    fn recover(&mut self) {
        if self.failure.take().is_some() {
            self.core.health.send_replace(Health::Good);
            self.core.tell(Event::DeviceRecovered);
        }
    }

    /// Nobody knows what of the batch is on the device.
    fn fail(&mut self, batch: Arc<Vec<Op>>, error: io::Error, segment: u32) {
        let error = SpoolError::from_io(error);
        let core = self.core.clone();
        let mut state = core.lock();
        state.in_flight = Arc::default();
        state.set_role(segment, Role::Failed);
        let batch = Arc::into_inner(batch).expect("readers copy what they need while they hold the lock");
        requeue(&mut state, batch, segment, &error);
        core.wake_keeper(&mut state);
        drop(state);
        self.note_failure(&error);
    }

    fn note_failure(&mut self, error: &SpoolError) {
        let now = Instant::now();
        self.failure = Some(match self.failure.take() {
            None => {
                self.core.health.send_replace(Health::Failing(error.to_string()));
                self.core.tell(Event::DeviceFailed(error.to_string()));
                // The next attempt is made at once, on another segment.
                Failure { attempts: 1, backoff: BACKOFF_MIN, next_attempt: now }
            }
            Some(Failure { attempts, backoff, .. }) => Failure {
                attempts: attempts + 1,
                backoff: (backoff * 2).min(BACKOFF_MAX),
                next_attempt: now + backoff,
            },
        });
        self.give_up(error);
    }

    /// Tells those who have waited long enough for a device that does not work.
    fn give_up(&self, error: &SpoolError) {
        let attempts = self.failure.as_ref().map_or(0, |failure| failure.attempts);
        let core = self.core.clone();
        let mut state = core.lock();
        let refused = if attempts > 1 { state.take_refused() } else { Vec::new() };
        let is_over = state.is_closing && attempts >= CLOSING_ATTEMPTS;
        let queue = if is_over { std::mem::take(&mut state.queue) } else { VecDeque::new() };
        if is_over {
            state.urgent = 0;
        }
        drop(state);
        refused.into_iter().for_each(|(promise, error)| promise.resolve(Err(error)));
        queue.into_iter().for_each(|op| op.fail(error.clone()));
    }

    /// Goes on in another segment.
    fn rotate(&mut self, load: Load) {
        match self.begin_segment(load) {
            Ok(appender) => {
                let mut state = self.core.lock();
                self.core.space.set_segment_room(appender.room());
                self.core.space.set_spare_room(state.catalog.count_spares().room());
                // There should be another spare soon.
                self.core.wake_keeper(&mut state);
                drop(state);
                self.recover();
                if let Some(full) = self.appender.replace(appender) {
                    self.retire(full);
                }
            }
            Err((error, segment)) => self.fail_front(error, segment),
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

    /// A segment with its START record durable.
    fn begin_segment(&self, load: Load) -> Result<Appender, (io::Error, Option<u32>)> {
        let segment = self.next_segment(load).map_err(|error| (error, None))?;
        let number = segment.number;
        let serial_limit = self.core.next_serial.load(Relaxed) + SERIAL_BLOCK;
        let start = start_record(StartDigest { serial_limit, is_cold: false }, self.core.lock().take_seq());
        let mut appender = Appender::new(segment);
        match appender.append(self.core.next_batch(), &[start]) {
            Ok(_) => {
                self.core.serial_limit.store(serial_limit, Relaxed);
                Ok(appender)
            }
            Err(error) => Err((error, Some(number))),
        }
    }

    /// A spare that takes so much, or a new segment if there is none. Some spares are not for new messages, so that what is
    /// queued can always be recorded.
    fn next_segment(&self, load: Load) -> io::Result<Segment> {
        let start = start_record(StartDigest { serial_limit: 0, is_cold: false }, 0);
        let needed = load.add(&start).capacity();
        let mut state = self.core.lock();
        let is_message = state.queue.front().is_some_and(|op| matches!(op.task, Task::Message(_)));
        let fitting = |spare: &&SegmentState| spare.segment.capacity >= needed;
        let spare = state.catalog.spares().find(fitting).map(|spare| spare.segment.clone());
        let room = state.catalog.count_spares().room();
        if let Some(spare) = spare.filter(|spare| !is_message || room >= spare.capacity) {
            state.set_role(spare.number, Role::Filling);
            return Ok(spare);
        }
        let number = state.catalog.take_number();
        drop(state);
        let created = create_at_once(&self.core, number, needed);
        let mut state = self.core.lock();
        match created {
            Ok(segment) => {
                state.catalog.add_segment(segment.clone(), Role::Filling);
                Ok(segment)
            }
            Err(error) => Err(error),
        }
    }

    /// What is first in the queue cannot be written, because there is no segment for it.
    fn fail_front(&mut self, error: io::Error, segment: Option<u32>) {
        let core = self.core.clone();
        let mut state = core.lock();
        if let Some(segment) = segment {
            state.set_role(segment, Role::Failed);
        }
        core.wake_keeper(&mut state);
        let is_full = matches!(SpoolError::from_io(io::Error::from(error.kind())), SpoolError::NoSpace);
        if is_full && state.catalog.spares().next().is_some() {
            // Only new messages are refused: there is a spare for everything else.
            let refused = take_messages(&mut state);
            drop(state);
            if core.health.send_replace(Health::Full) != Health::Full {
                core.tell(Event::Full);
            }
            refused.into_iter().for_each(|op| op.fail(SpoolError::NoSpace));
            return;
        }
        let refused = take_messages(&mut state);
        drop(state);
        let error = SpoolError::from_io(error);
        self.note_failure(&error);
        refused.into_iter().for_each(|op| op.fail(error.clone()));
    }

    /// Everything is durable; the index of the last segment makes the next start quick.
    fn close(&mut self) {
        let Some(last) = self.appender.take() else { return };
        // It stays as it is for the rest of this process: the next one learns from it which serial numbers are free.
        let unsealed = last.into_unsealed(self.core.next_serial.load(Relaxed));
        if let Err(error) = unsealed.seal() {
            self.core.tell(Event::ChoreFailed { chore: "seal a segment", error: error.to_string() });
        }
    }
}

/// What a durable batch leads to, once the lock is released.
#[derive(Default)]
struct Settled {
    promises: Vec<Promise>,
    refused: Vec<(Promise, SpoolError)>,
    arrivals: Vec<Arrival>,
    /// Messages that are no more.
    gone: usize,
    has_chores: bool,
}

impl Settled {
    fn add(&mut self, state: &mut State, op: Op, segment: u32, places: &mut impl Iterator<Item = Place>) {
        match op.task {
            Task::Message(new) => {
                let place = places.next().expect("a place for each record");
                state.catalog.insert(entry_of(&new, place));
                self.arrivals.push(new.arrival);
            }
            Task::State { is_snapshot, .. } => {
                let place = places.next().expect("a place for each record");
                state.catalog.add_state(op.serial, place, is_snapshot);
                self.note_chain(state, op.serial);
            }
            Task::Done => {
                self.gone += 1;
                if let Some(entry) = state.catalog.remove(op.serial, segment) {
                    self.note_dead(state, &entry.message(), entry.has_body().then_some(op.serial));
                }
            }
            Task::Void { segment: failed, has_body, refused } => {
                self.refused.extend(refused);
                self.gone += 1;
                state.catalog.add_proof(op.serial, failed, segment);
                if has_body {
                    state.chores.bodies.push(op.serial);
                }
                self.has_chores = true;
            }
            Task::Flush => {}
        }
        self.promises.extend(op.promise);
    }

    fn note_dead(&mut self, state: &mut State, place: &Place, body: Option<u64>) {
        if let Some(serial) = body {
            state.chores.bodies.push(serial);
            self.has_chores = true;
        }
        let segment = state.catalog.segments.get(&place.segment);
        self.has_chores |= segment.is_some_and(|s| s.live == 0 && s.role != Role::Filling);
    }

    fn note_chain(&mut self, state: &mut State, serial: u64) {
        let states = state.catalog.messages.get(serial).map_or(0, |entry| entry.states().len());
        // Each time it gets that much longer, in case the keeper could not shorten it.
        if states > 0 && states.is_multiple_of(super::CHAIN_MAX) {
            state.chores.long_chains.push(serial);
            self.has_chores = true;
            self.gone += 1;
        }
    }
}

/// Puts back into the queue, in front, what must persist. Messages are refused, but whoever waits is told only when it is
/// certain that they will not come back after a crash.
fn requeue(state: &mut State, batch: Vec<Op>, segment: u32, error: &SpoolError) {
    for mut op in batch.into_iter().rev() {
        if let Task::Message(new) = &op.task {
            let has_body = new.digest.body.is_some();
            let refused = op.promise.take().map(|promise| (promise, error.clone()));
            op.task = Task::Void { segment, has_body, refused };
        }
        if op.is_urgent() {
            state.urgent += 1;
        } else {
            state.riding_since.get_or_insert_with(Instant::now);
        }
        state.queue.push_front(op);
    }
}

/// Takes all messages out of the queue. They were never written.
fn take_messages(state: &mut State) -> Vec<Op> {
    let (messages, others): (Vec<Op>, Vec<Op>) =
        state.queue.drain(..).partition(|op| matches!(op.task, Task::Message(_)));
    state.queue.extend(others);
    state.urgent = state.queue.iter().filter(|op| op.is_urgent()).count();
    for op in &messages {
        if let Task::Message(new) = &op.task
            && new.digest.body.is_some()
        {
            state.chores.bodies.push(op.serial);
        }
    }
    messages
}

/// Creates a segment while somebody waits for it: a small one, as far as what is needed allows.
fn create_at_once(core: &Core, number: u32, needed: u64) -> io::Result<Segment> {
    let usual = segment_capacity(&*core.disk, &core.options);
    let mut result = Err(io::ErrorKind::StorageFull.into());
    for size in EMERGENCY_SIZES {
        result = Segment::create(&*core.disk, number, size.min(usual).max(needed));
        match &result {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            _ => break,
        }
    }
    result
}

/// What writing the operation takes, at most.
fn load_of(load: Load, op: &Op) -> Load {
    match &op.task {
        Task::Message(new) => load.add(&new.record),
        Task::State { record, .. } => load.add(record),
        Task::Done | Task::Void { .. } => load.add_small(8),
        Task::Flush => load,
    }
}

/// The records of a batch, in order. DONE records have no place anybody needs, so they come last but for what follows them:
/// consecutive ones are one record.
fn records_of(batch: &[Op]) -> Vec<Record> {
    let mut records = Vec::with_capacity(batch.len());
    let mut done = Vec::new();
    for op in batch {
        match &op.task {
            Task::Message(new) => records.push(new.record.clone()),
            Task::State { record, .. } => records.push(record.clone()),
            Task::Done | Task::Void { .. } => done.push(op.serial),
            Task::Flush => {}
        }
    }
    records.extend(done.chunks(DONE_MAX).map(done_record));
    records
}

pub(crate) fn done_record(serials: &[u64]) -> Record {
    let digest = encode_done(serials);
    let size = digest.len();
    Record::new(Kind::Done, size, [digest.into(), Bytes::new(), Bytes::new()]).expect("4096 serials are few")
}

pub(crate) fn start_record(start: StartDigest, seq: u64) -> Record {
    let digest = start.encode();
    let size = digest.len();
    let record =
        Record::new(Kind::Start, size, [digest.into(), Bytes::new(), Bytes::new()]).expect("it is small");
    Record { seq, ..record }
}
