//! A spool in memory, for tests of the rooms that use one. It keeps the contract, but for stable storage.

use crate::{
    Admin, Arrival, Backing, Content, Draft, Durable, Health, Listed, Overflow, Spool, SpoolError, Stored,
    Summary,
};
use mail::{Envelope, Fate, Outcome, QueueId, Recipient, Time};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{mpsc, watch};

/// A spool whose messages live as long as the value and what [`MemorySpool::reopen`] makes of it.
pub struct MemorySpool {
    state: Arc<Mutex<State>>,
    health: watch::Sender<Health>,
}

struct State {
    entries: BTreeMap<u64, Entry>,
    ids: BTreeMap<QueueId, u64>,
    next_serial: u64,
    room: u64,
    is_long_id: bool,
    arrivals: mpsc::UnboundedSender<Arrival>,
    /// The other end of `arrivals`, until somebody asks for it.
    unclaimed: Option<mpsc::UnboundedReceiver<Arrival>>,
}

#[derive(Clone)]
struct Entry {
    summary: Summary,
    envelope: Envelope,
    outcomes: Vec<Option<Outcome>>,
    content: Content,
    /// It was announced as an arrival, so it is not among the summaries.
    is_announced: bool,
}

impl MemorySpool {
    pub fn new() -> MemorySpool {
        MemorySpool::with_capacity(u64::MAX / 2)
    }

    /// One that has no space for more than `octets` of drafts and messages.
    pub fn with_capacity(octets: u64) -> MemorySpool {
        let (arrivals, receiver) = mpsc::unbounded_channel();
        let state = State {
            entries: BTreeMap::new(),
            ids: BTreeMap::new(),
            next_serial: 1,
            room: octets,
            is_long_id: false,
            arrivals,
            unclaimed: Some(receiver),
        };
        MemorySpool { state: Arc::new(Mutex::new(state)), health: watch::Sender::new(Health::Good) }
    }

    /// As if the device had failed or recovered: while it is failing, commits are refused.
    pub fn set_health(&self, health: Health) {
        self.health.send_replace(health);
    }

    /// As if the server had been stopped and started: what was announced is now in the summaries.
    pub fn reopen(self) -> MemorySpool {
        let old = self.lock();
        let reopened = MemorySpool::with_capacity(old.room);
        {
            let mut new = reopened.lock();
            new.next_serial = old.next_serial;
            new.is_long_id = old.is_long_id;
            new.ids = old.ids.clone();
            new.entries = old.entries.clone();
            new.entries.values_mut().for_each(|entry| entry.is_announced = false);
        }
        drop(old);
        reopened
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    fn change(&self, id: QueueId, change: impl FnOnce(&mut Entry)) -> Result<(), SpoolError> {
        let mut state = self.lock();
        let serial = *state.ids.get(&id).ok_or(SpoolError::Unknown(id))?;
        change(state.entries.get_mut(&serial).expect("ids and entries agree"));
        Ok(())
    }

    fn failure(&self) -> Option<SpoolError> {
        match &*self.health.borrow() {
            Health::Good => None,
            Health::Full => Some(SpoolError::NoSpace),
            Health::Failing(text) => Some(SpoolError::Device(Arc::new(std::io::Error::other(text.clone())))),
        }
    }
}

impl Default for MemorySpool {
    fn default() -> MemorySpool {
        MemorySpool::new()
    }
}

impl Spool for MemorySpool {
    fn draft(&self, arrival: Time, size_hint: u64) -> Result<Draft, SpoolError> {
        if let Some(error) = self.failure().filter(|error| matches!(error, SpoolError::NoSpace)) {
            return Err(error);
        }
        let backing = Room(self.state.clone());
        backing.reserve(size_hint)?;
        let mut state = self.lock();
        let serial = state.next_serial;
        state.next_serial += 1;
        let id =
            if state.is_long_id { QueueId::long(arrival, serial) } else { QueueId::short(arrival, serial) };
        Ok(Draft::new(Arc::new(backing), id, serial, arrival, size_hint))
    }

    fn commit(&self, draft: Draft, envelope: Envelope) -> Durable {
        let parts = match draft.into_parts() {
            Ok(parts) => parts,
            Err(error) => return Durable::ready(Err(error)),
        };
        let mut state = self.lock();
        state.room += parts.reserved;
        if let Some(error) = self.failure() {
            return Durable::ready(Err(error));
        }
        let content = Content::new(parts.head, parts.body);
        state.room = state.room.saturating_sub(content.len());
        let summary = Summary {
            id: parts.id,
            arrival: parts.arrival,
            next_attempt: None,
            held: parts.held,
            expired: false,
            warned: false,
            size: envelope.size,
            recipients: envelope.recipients.len() as u32,
            pending: envelope.recipients.len() as u32,
        };
        let stored = Stored::new(parts.id, envelope.clone(), content.clone());
        let outcomes = stored.outcomes.clone();
        state.ids.insert(parts.id, parts.serial);
        state
            .entries
            .insert(parts.serial, Entry { summary, envelope, outcomes, content, is_announced: true });
        // Nobody may listen, as in a test of intake alone.
        let _ = state.arrivals.send(Arrival { id: parts.id, fresh: Some(Arc::new(stored)) });
        Durable::ready(Ok(()))
    }

    fn arrivals(&self) -> mpsc::UnboundedReceiver<Arrival> {
        let mut state = self.lock();
        state.unclaimed.take().unwrap_or_else(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            state.arrivals = sender;
            receiver
        })
    }

    fn summaries(&self) -> Box<dyn Iterator<Item = Summary> + Send> {
        let state = self.lock();
        let summaries: Vec<Summary> =
            state.entries.values().filter(|entry| !entry.is_announced).map(|entry| entry.summary).collect();
        Box::new(summaries.into_iter())
    }

    fn summary(&self, id: QueueId) -> Option<Summary> {
        let state = self.lock();
        state.ids.get(&id).map(|serial| state.entries[serial].summary)
    }

    fn load(&self, id: QueueId) -> Result<Arc<Stored>, SpoolError> {
        let state = self.lock();
        let entry = state.ids.get(&id).map(|serial| &state.entries[serial]).ok_or(SpoolError::Unknown(id))?;
        let mut stored = Stored::new(id, entry.envelope.clone(), entry.content.clone());
        stored.outcomes.clone_from(&entry.outcomes);
        Ok(Arc::new(stored))
    }

    fn record(&self, id: QueueId, outcomes: &[Outcome], next_attempt: Option<Time>) {
        // Unknown: it was deleted meanwhile.
        let _ = self.change(id, |entry| {
            entry.apply(outcomes);
            entry.summary.next_attempt = next_attempt.or(entry.summary.next_attempt);
        });
    }

    fn append_recipients(
        &self,
        id: QueueId,
        recipients: &[Recipient],
        outcomes: &[Outcome],
    ) -> Result<Range<u32>, SpoolError> {
        let mut added = 0..0;
        self.change(id, |entry| {
            entry.apply(outcomes);
            let first = entry.summary.recipients;
            added = first..first + recipients.len() as u32;
            entry.envelope.recipients.extend_from_slice(recipients);
            entry.outcomes.resize(entry.envelope.recipients.len(), None);
            entry.summary.recipients = added.end;
            entry.summary.pending += recipients.len() as u32;
        })?;
        Ok(added)
    }

    fn mark_warned(&self, id: QueueId) {
        let _ = self.change(id, |entry| entry.summary.warned = true);
    }

    fn finish(&self, id: QueueId) {
        let mut state = self.lock();
        if let Some(serial) = state.ids.remove(&id) {
            let entry = state.entries.remove(&serial).expect("ids and entries agree");
            state.room = state.room.saturating_add(entry.content.len());
        }
    }

    fn set_aside(&self, id: QueueId) -> Result<(), SpoolError> {
        self.summary(id).ok_or(SpoolError::Unknown(id))?;
        self.finish(id);
        Ok(())
    }

    fn administer(&self, id: QueueId, action: Admin) -> Durable {
        if action == Admin::Delete {
            let is_known = self.summary(id).is_some();
            self.finish(id);
            return Durable::ready(if is_known { Ok(()) } else { Err(SpoolError::Unknown(id)) });
        }
        Durable::ready(self.change(id, |entry| entry.summary.administer(action)))
    }

    fn flush(&self) -> Durable {
        Durable::ready(self.failure().map_or(Ok(()), Err))
    }

    fn list(&self) -> Box<dyn Iterator<Item = Result<Listed, SpoolError>> + Send> {
        let listed: Vec<_> = self.lock().entries.values().map(|entry| Ok(entry.listed())).collect();
        Box::new(listed.into_iter())
    }

    fn set_long_queue_ids(&self, is_long: bool) {
        self.lock().is_long_id = is_long;
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }
}

impl Entry {
    fn apply(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            if let Some(slot) = self.outcomes.get_mut(outcome.recipient as usize) {
                *slot = Some(outcome.clone());
            }
        }
        let is_settled =
            |slot: &Option<Outcome>| slot.as_ref().is_some_and(|last| last.fate != Fate::Deferred);
        self.summary.pending = self.outcomes.iter().filter(|slot| !is_settled(slot)).count() as u32;
    }

    fn listed(&self) -> Listed {
        Listed { summary: self.summary, envelope: self.envelope.clone(), outcomes: self.outcomes.clone() }
    }
}

/// The room that drafts and messages share.
struct Room(Arc<Mutex<State>>);

impl Backing for Room {
    fn reserve(&self, octets: u64) -> Result<(), SpoolError> {
        let mut state = self.0.lock().expect("no thread panics while it holds the lock");
        state.room = state.room.checked_sub(octets).ok_or(SpoolError::NoSpace)?;
        Ok(())
    }

    fn release(&self, octets: u64) {
        self.0.lock().expect("no thread panics while it holds the lock").room += octets;
    }

    fn memory_max(&self, _: usize) -> usize {
        usize::MAX
    }

    fn overflow(&self, _: QueueId) -> Result<Box<dyn Overflow>, SpoolError> {
        Err(SpoolError::NoSpace)
    }
}
