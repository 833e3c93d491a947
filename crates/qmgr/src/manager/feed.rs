//! How messages become active: new ones as they come, others by reading them from the spool, as far as there is room.

use super::active::{Active, Trace};
use super::{Event, Flush, Manager};
use mail::QueueId;
use spool::{Admin, Arrival, SpoolError, Stored, Summary};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Messages that are read in one go.
const LOADS_AT_ONCE: usize = 64;
/// Summaries in one event.
const SUMMARIES_AT_ONCE: usize = 1024;

/// What reading a message gave.
pub(super) struct Loaded {
    id: QueueId,
    flush: Flush,
    stored: Result<Arc<Stored>, SpoolError>,
    summary: Option<Summary>,
}

impl Manager {
    /// Asks the spool what it had at start. Indexing may take a while; new messages are delivered meanwhile.
    pub(super) fn read_index(&self) -> JoinHandle<()> {
        let (spool, events) = (self.context.spool.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let mut summaries = spool.summaries().peekable();
            while summaries.peek().is_some() {
                let batch = summaries.by_ref().take(SUMMARIES_AT_ONCE).collect();
                if events.send(Event::Indexed(batch)).is_err() {
                    return;
                }
            }
        })
    }

    pub(super) fn take_summaries(&mut self, summaries: Vec<Summary>) {
        let now = self.context.clock.now();
        for Summary { id, next_attempt, held, pending, .. } in summaries {
            if self.is_known(id) {
                continue;
            }
            match next_attempt {
                _ if held => self.backlog.hold(id),
                Some(due) if due > now && pending > 0 => self.backlog.defer(id, due, now),
                _ => self.backlog.add_incoming(id),
            }
        }
    }

    /// A new message goes on without touching the disk, unless older ones wait for room.
    pub(super) fn take_arrival(&mut self, arrival: Arrival) {
        let Arrival { id, fresh } = arrival;
        if self.is_known(id) {
            return;
        }
        let has_room = self.may_start() && self.has_room() && self.backlog.incoming() == 0;
        match fresh {
            _ if self.context.spool.summary(id).is_some_and(|summary| summary.held) => self.backlog.hold(id),
            Some(stored) if has_room => self.activate(stored, Flush::No, None),
            _ => self.backlog.add_incoming(id),
        }
    }

    /// Has the next messages read, as far as there is room. One batch at a time.
    pub(super) fn feed(&mut self) {
        if !self.loading.is_empty() {
            return;
        }
        let mut batch = Vec::new();
        while batch.len() < LOADS_AT_ONCE && self.has_room() {
            let Some((id, flush)) = self.backlog.take(self.was_full) else { break };
            self.was_full = false;
            self.loading.insert(id, None);
            batch.push((id, flush));
        }
        self.was_full |= self.backlog.has_ready() && !self.has_room();
        if !batch.is_empty() {
            self.load(batch);
        }
    }

    pub(super) fn take_loaded(&mut self, loaded: Loaded) {
        let Loaded { id, flush, stored, summary } = loaded;
        let asked = self.loading.remove(&id).flatten();
        match stored {
            _ if asked == Some(Admin::Delete) => {}
            _ if asked == Some(Admin::Hold) => self.backlog.hold(id),
            Ok(_) if asked.is_none() && summary.is_some_and(|summary| summary.held) => self.backlog.hold(id),
            Ok(_) if !self.stopping.is_empty() => {}
            Ok(stored) => self.activate(stored, flush, summary),
            // It was deleted meanwhile.
            Err(SpoolError::Unknown(_)) => {}
            Err(error @ SpoolError::Damaged(_)) => self.context.qmgr_log.warning(format_args!("{error}")),
            Err(error) => {
                self.context.qmgr_log.warning(format_args!("{id}: cannot read message: {error}"));
                let now = self.context.clock.now();
                self.backlog.defer(id, now + self.setup.settings.minimal_backoff_time, now);
            }
        }
    }

    /// Something was asked for it before we heard of it, or it is here already.
    fn is_known(&self, id: QueueId) -> bool {
        self.backlog.contains(id) || self.active_of.contains_key(&id) || self.loading.contains_key(&id)
    }

    /// `qmgr_message_active_limit`, `qmgr_message_recipient_limit`.
    fn has_room(&self) -> bool {
        let settings = &self.setup.settings;
        let messages = self.active.len() + self.loading.len();
        messages < settings.qmgr_message_active_limit.max(1)
            && self.recipients < settings.qmgr_message_recipient_limit.max(1)
    }

    fn load(&self, batch: Vec<(QueueId, Flush)>) {
        let (spool, events) = (self.context.spool.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let load = |(id, flush)| {
                let stored = spool.load(id);
                Loaded { id, flush, stored, summary: spool.summary(id) }
            };
            // The manager is gone only when the whole server is.
            let _ = events.send(Event::Loaded(batch.into_iter().map(load).collect()));
        });
    }

    fn activate(&mut self, stored: Arc<Stored>, flush: Flush, summary: Option<Summary>) {
        let now = self.context.clock.now();
        let (id, envelope) = (stored.id, &stored.envelope);
        self.context.qmgr_log.event(&maillog::Active {
            id,
            sender: &envelope.sender,
            size: envelope.size,
            recipients: envelope.recipients.len(),
        });
        let is_warned = summary.is_some_and(|summary| summary.warned);
        let mut active = Active::new(stored, now, flush, is_warned);
        active.is_force_expired = summary.is_some_and(|summary| summary.expired);
        let is_force_expired = active.is_force_expired;
        self.probes += usize::from(active.trace == Trace::ServerProbe);
        let key = self.active.insert(active);
        let old = self.active_of.insert(id, key);
        debug_assert_eq!(old, None, "{id} is active twice");
        if is_force_expired {
            self.give_up(key, now);
        }
        self.touched.push_back(key);
    }
}
