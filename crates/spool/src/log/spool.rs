//! The segment log as a [`Spool`].

use super::bodies::Waiting;
use super::commit::{Committed, encode};
use super::core::{Core, Op, State, Task};
use super::digest::{Change, NextAttempt, StateDigest};
use super::read::{self, Places, Unreadable, Windows, state_record};
use super::record::Kind;
use super::segment::ReadError;
use super::{SegmentSpool, space};
use crate::{Admin, Arrival, Draft, Durable, Health, Listed, Promise, Spool, SpoolError, Stored, Summary};
use mail::{Envelope, Outcome, QueueId, Recipient, Time};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use tokio::sync::{mpsc, watch};

/// What a draft of unknown size reserves.
const RESERVED_MIN: u64 = 16 * 1024;
/// A STATE record tells of no more outcomes; more are several records.
const OUTCOMES_MAX: usize = 4096;
/// How often a message is looked for anew when it is not where it was a moment ago.
const TRIES_MAX: usize = 5;

impl Spool for SegmentSpool {
    fn draft(&self, arrival: Time, size_hint: u64) -> Result<Draft, SpoolError> {
        let reserved = size_hint.max(RESERVED_MIN);
        self.core.space.reserve(&*self.core.disk, reserved)?;
        let serial = self.core.next_serial.fetch_add(1, Relaxed);
        let is_long = self.core.is_long_id.load(Relaxed);
        let id = if is_long { QueueId::long(arrival, serial) } else { QueueId::short(arrival, serial) };
        let backing = Arc::new(space::DraftRoom::new(self.core.clone()));
        Ok(Draft::new(backing, id, serial, arrival, reserved))
    }

    fn commit(&self, draft: Draft, envelope: Envelope) -> Durable {
        let Committed { new, body } = match encode(&self.core, draft, envelope) {
            Ok(committed) => committed,
            Err(error) => return Durable::ready(Err(error)),
        };
        let (promise, durable) = Durable::pair();
        let serial = new.digest.serial;
        let op = Op { serial, task: Task::Message(Box::new(new)), promise: Some(promise) };
        match body {
            None => self.core.push(&mut self.core.lock(), op),
            Some(body) => {
                let mut bodies = self.core.bodies.lock().unwrap_or_else(PoisonError::into_inner);
                bodies.queue.push(Waiting { body, op });
                self.core.bodies_wake.notify_one();
            }
        }
        durable
    }

    fn arrivals(&self) -> mpsc::UnboundedReceiver<Arrival> {
        let mut state = self.core.lock();
        state.unclaimed.take().unwrap_or_else(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            state.arrivals = sender;
            receiver
        })
    }

    fn summaries(&self) -> Box<dyn Iterator<Item = Summary> + Send> {
        self.wait_until_indexed();
        Box::new(Blocks::new(self.core.clone(), |entry| (!entry.is_announced()).then(|| entry.summary())))
    }

    fn summary(&self, id: QueueId) -> Option<Summary> {
        self.core.with_state(id, |state| state.catalog.find(id).map(|entry| entry.summary()))
    }

    fn load(&self, id: QueueId) -> Result<Arc<Stored>, SpoolError> {
        for _ in 0..TRIES_MAX {
            let places =
                self.core.with_state(id, |state| places(state, id)).ok_or(SpoolError::Unknown(id))?;
            match read::load(&*self.core.disk, places) {
                Ok(stored) => return Ok(Arc::new(stored)),
                Err(unreadable) => self.core.deal_with(id, unreadable)?,
            }
        }
        Err(SpoolError::Damaged(id))
    }

    fn record(&self, id: QueueId, outcomes: &[Outcome], next_attempt: Option<Time>) {
        let next_attempt = next_attempt.map_or(NextAttempt::Unchanged, NextAttempt::At);
        let change = Change { next_attempt, ..Change::default() };
        let rest = outcomes.len() - outcomes.len() % OUTCOMES_MAX;
        for chunk in outcomes[..rest].chunks(OUTCOMES_MAX) {
            self.core.push_state(id, Change::default(), chunk);
        }
        self.core.push_state(id, change, &outcomes[rest..]);
    }

    fn append_recipients(
        &self,
        id: QueueId,
        recipients: &[Recipient],
        outcomes: &[Outcome],
    ) -> Result<Range<u32>, SpoolError> {
        let count = u32::try_from(recipients.len()).map_err(|_| too_many())?;
        let fields = read::state_fields(outcomes, recipients);
        self.core.with_state(id, |state| {
            let entry = state.catalog.find_mut(id).ok_or(SpoolError::Unknown(id))?;
            let first = entry.recipients();
            let end = first.checked_add(count).ok_or_else(too_many)?;
            let digest = StateDigest::new(entry.serial, Change::default(), count, outcomes);
            let record = state_record(Kind::State, &digest, &fields).ok_or_else(too_many)?;
            entry.apply(&digest);
            let task = Task::State { record, is_snapshot: false };
            self.core.push(state, Op { serial: digest.serial, task, promise: None });
            Ok(first..end)
        })
    }

    fn mark_warned(&self, id: QueueId) {
        self.core.push_state(id, Change { is_warned: true, ..Change::default() }, &[]);
    }

    fn finish(&self, id: QueueId) {
        self.core.finish(id, None);
    }

    fn set_aside(&self, id: QueueId) -> Result<(), SpoolError> {
        let known = self.core.with_state(id, |state| state.catalog.find(id).map(|e| (e.serial, e.message())));
        let (serial, place) = known.ok_or(SpoolError::Unknown(id))?;
        self.core.drop_damaged_message(serial, place)
    }

    fn administer(&self, id: QueueId, action: Admin) -> Durable {
        let (promise, durable) = Durable::pair();
        let change = match action {
            Admin::Delete => {
                self.core.finish(id, Some(promise));
                return durable;
            }
            Admin::Hold => Change { is_held: Some(true), ..Change::default() },
            Admin::Release => Change { is_held: Some(false), ..Change::default() },
            Admin::Requeue => {
                Change { is_held: Some(false), next_attempt: NextAttempt::Cleared, ..Change::default() }
            }
            Admin::Expire => Change { is_expired: true, ..Change::default() },
        };
        self.core.push_admin(id, change, promise);
        durable
    }

    fn flush(&self) -> Durable {
        let (promise, durable) = Durable::pair();
        let op = Op { serial: 0, task: Task::Flush, promise: Some(promise) };
        self.core.push(&mut self.core.lock(), op);
        durable
    }

    fn list(&self) -> Box<dyn Iterator<Item = Result<Listed, SpoolError>> + Send> {
        self.wait_until_indexed();
        let place = |entry: &super::catalog::Entry| {
            let place = entry.message();
            (!entry.is_finished()).then_some((place.segment, place.spot.offset, entry.serial))
        };
        let mut order: Vec<(u32, u32, u64)> = Blocks::new(self.core.clone(), place).collect();
        order.sort_unstable();
        let (core, mut windows) = (self.core.clone(), Windows::default());
        Box::new(order.into_iter().filter_map(move |(_, _, serial)| list_one(&core, serial, &mut windows)))
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.core.health.subscribe()
    }

    fn set_long_queue_ids(&self, is_long: bool) {
        self.core.is_long_id.store(is_long, Relaxed);
    }
}

fn too_many() -> SpoolError {
    SpoolError::Format("too many recipients for a record".into())
}

/// Where a message is, written or not.
fn places(state: &State, id: QueueId) -> Option<Places> {
    let entry = state.catalog.find(id)?;
    Places::of(&state.catalog, entry, state.unwritten_states(entry.serial))
}

fn list_one(core: &Core, serial: u64, windows: &mut Windows) -> Option<Result<Listed, SpoolError>> {
    for _ in 0..TRIES_MAX {
        let (id, places) = {
            let state = core.lock();
            let entry = state.catalog.messages.get(serial).filter(|entry| !entry.is_finished())?;
            (entry.id(), Places::of(&state.catalog, entry, state.unwritten_states(serial))?)
        };
        match read::list(&places, windows) {
            Ok(listed) => return Some(Ok(listed)),
            Err(unreadable) => match core.deal_with(id, unreadable) {
                Ok(()) => *windows = Windows::default(),
                Err(SpoolError::Unknown(_)) => return None,
                Err(error) => return Some(Err(error)),
            },
        }
    }
    None
}

impl Core {
    /// For a message that is known, or may be known once the index was read.
    fn with_state<T>(&self, id: QueueId, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        if !state.is_indexed && state.catalog.find(id).is_none() {
            state = self.wait_until_indexed(state);
        }
        act(&mut state)
    }

    /// Hands over a STATE record.
    fn push_state(&self, id: QueueId, change: Change, outcomes: &[Outcome]) {
        let fields = read::state_fields(outcomes, &[]);
        self.with_state(id, |state| {
            let Some(entry) = state.catalog.find_mut(id) else { return };
            let mut digest = StateDigest::new(entry.serial, change, 0, outcomes);
            entry.apply(&digest);
            // Usually one attempt replaces all that was known of earlier ones, whose records can go.
            let is_snapshot = entry.is_told_by(outcomes);
            if is_snapshot {
                digest.change = entry.changes();
            }
            let Some(record) = state_record(Kind::State, &digest, &fields) else { return };
            let task = Task::State { record, is_snapshot };
            self.push(state, Op { serial: digest.serial, task, promise: None });
        });
    }

    /// Hands over an ADMIN record.
    fn push_admin(&self, id: QueueId, change: Change, promise: Promise) {
        let unknown = self.with_state(id, |state| {
            let Some(entry) = state.catalog.find_mut(id) else { return Some(promise) };
            let digest = StateDigest::new(entry.serial, change, 0, &[]);
            let Some(record) = state_record(Kind::Admin, &digest, &[]) else { return Some(promise) };
            entry.apply(&digest);
            let task = Task::State { record, is_snapshot: false };
            self.push(state, Op { serial: digest.serial, task, promise: Some(promise) });
            None
        });
        if let Some(promise) = unknown {
            promise.resolve(Err(SpoolError::Unknown(id)));
        }
    }

    pub(crate) fn finish(&self, id: QueueId, mut promise: Option<Promise>) {
        self.with_state(id, |state| {
            let Some(serial) = state.catalog.finish(id) else { return };
            state.unpush_state(serial);
            self.push(state, Op { serial, task: Task::Done, promise: promise.take() });
        });
        if let Some(promise) = promise {
            promise.resolve(Err(SpoolError::Unknown(id)));
        }
    }

    /// A record could not be read. `Ok`: look again, it has moved or no longer counts.
    fn deal_with(&self, id: QueueId, unreadable: Unreadable) -> Result<(), SpoolError> {
        let (is_message, is_state, serial) = {
            let state = self.lock();
            let entry = state.catalog.find(id).ok_or(SpoolError::Unknown(id))?;
            let place = unreadable.place;
            (entry.message() == place, entry.states().contains(&place), entry.serial)
        };
        match unreadable.error {
            ReadError::Io(error) => Err(SpoolError::from_io(error)),
            ReadError::Damaged if is_message => {
                self.drop_damaged_message(serial, unreadable.place)?;
                Err(SpoolError::Damaged(id))
            }
            ReadError::Damaged if is_state => self.drop_damaged_state(serial, unreadable.place),
            ReadError::Damaged => Ok(()),
        }
    }
}

/// Walks over all messages, giving others a turn after every block of them.
struct Blocks<T, F> {
    core: Arc<Core>,
    number: usize,
    ready: std::vec::IntoIter<T>,
    take: F,
}

impl<T, F: FnMut(&super::catalog::Entry) -> Option<T>> Blocks<T, F> {
    fn new(core: Arc<Core>, take: F) -> Blocks<T, F> {
        Blocks { core, number: 0, ready: Vec::new().into_iter(), take }
    }
}

impl<T, F: FnMut(&super::catalog::Entry) -> Option<T>> Iterator for Blocks<T, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.ready.next() {
                return Some(item);
            }
            let state = self.core.lock();
            let block = state.catalog.messages.block(self.number)?;
            let living = block.filter(|entry| !entry.is_finished());
            self.ready = living.filter_map(&mut self.take).collect::<Vec<T>>().into_iter();
            self.number += 1;
        }
    }
}
