//! Who is delivered next: Postfix's preemptive scheduler (SCHEDULER_README) as a pure machine with the clock passed in.
//!
//! A transport is a line of master.cf. It has destinations, each with a window, and jobs: the recipients that one message has
//! for it. A job's recipients wait in entries, one delivery each, per destination. [`Scheduler::next`] picks the transport
//! round robin, then the first job that has an entry for a destination with room, where a small job may preempt a large one
//! (`jobs`), and within the job the destinations round robin.
//!
//! Not here: routing, the spool, when a deferred message is due. Messages are numbers of the caller's.

mod destination;
mod jobs;
pub(crate) mod slab;
mod window;

#[cfg(test)]
mod tests;

pub use destination::Crowd;
pub use window::{BadFeedback, Feedback, WindowLimits};

use crate::JobRecipient;
use crate::agent::Reuse;
use destination::{Destination, State};
use jobs::{Entry, Job, Peer, Queue};
use mail::{DsnStatus, Time};
use slab::{Key, Slab};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// A message, as the caller numbers it.
pub type MessageKey = u32;
/// A transport, numbered from 0 in the order of [`Scheduler::transport`].
pub type TransportKey = usize;
/// A delivery under way.
pub type EntryKey = u32;

/// The parameters of one transport, each under its name without the transport's.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The process limit of master.cf; 0: none.
    pub process_limit: u32,
    pub window: WindowLimits,
    /// `…_destination_recipient_limit`: recipients in one delivery; 0: no limit.
    pub destination_recipient_limit: usize,
    pub destination_rate_delay: Duration,
    pub transport_rate_delay: Duration,
    /// `…_delivery_slot_cost`; below 2 nothing preempts.
    pub delivery_slot_cost: u32,
    pub delivery_slot_loan: u32,
    /// Percent, 0 to 100.
    pub delivery_slot_discount: u32,
    pub minimum_delivery_slots: u32,
}

/// Postfix's defaults.
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            process_limit: 100,
            window: WindowLimits {
                initial_destination_concurrency: 5,
                destination_concurrency_limit: 20,
                positive_feedback: Feedback::ONE,
                negative_feedback: Feedback::ONE,
                failed_cohort_limit: 1,
            },
            destination_recipient_limit: 50,
            destination_rate_delay: Duration::ZERO,
            transport_rate_delay: Duration::ZERO,
            delivery_slot_cost: 5,
            delivery_slot_loan: 3,
            delivery_slot_discount: 50,
            minimum_delivery_slots: 3,
        }
    }
}

/// Why mail is not even tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    pub status: DsnStatus,
    pub reason: String,
}

/// Recipients of one message that go to one destination.
#[derive(Clone, Debug)]
pub struct Group {
    /// What the destination is called and limited by: the nexthop, or for transports that take one recipient at a time
    /// `localpart@nexthop`. In lower case.
    pub destination: String,
    pub nexthop: Arc<str>,
    pub recipients: Vec<JobRecipient>,
    /// One recipient a delivery, whatever the limit (VERP).
    pub is_single: bool,
}

/// A delivery to start now.
#[derive(Debug)]
pub struct Selected {
    pub entry: EntryKey,
    pub transport: TransportKey,
    pub message: MessageKey,
    pub nexthop: Arc<str>,
    pub recipients: Vec<JobRecipient>,
    pub reuse: Reuse,
}

/// How a delivery ended, for the window of its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feeling {
    /// The destination took or refused recipients on their own merits.
    Good,
    /// Neither: the agent did not get that far for reasons of its own.
    Neutral,
    /// The destination could not be reached, or would not talk.
    Bad(Suspension),
}

/// Recipients that waited for a destination, or a transport, that just died.
#[derive(Debug)]
pub struct Dropped {
    pub message: MessageKey,
    pub recipients: Vec<JobRecipient>,
    pub why: Arc<Suspension>,
}

pub struct Scheduler {
    /// `minimal_backoff_time`: how long a dead destination is left alone.
    minimal_backoff_time: Duration,
    /// `transport_retry_time`: the same for a transport.
    transport_retry_time: Duration,
    /// Destinations kept only because they are dead: beyond this (twice `qmgr_message_recipient_limit`) they are forgotten.
    dead_limit: usize,
    transports: Vec<Transport>,
    by_name: HashMap<Arc<str>, TransportKey>,
    /// Where the round robin over transports goes on.
    turn: TransportKey,
    destinations: Slab<Destination>,
    jobs: Slab<Job>,
    peers: Slab<Peer>,
    entries: Slab<Entry>,
    job_of: HashMap<(TransportKey, MessageKey), Key>,
    peer_of: HashMap<(Key, Key), Key>,
    timers: BTreeSet<(Time, Timer)>,
}

struct Transport {
    name: Arc<str>,
    limits: Limits,
    /// Deliveries under way.
    running: u32,
    destinations: HashMap<Box<str>, Key>,
    queue: Queue,
    /// Locked by `transport_rate_delay`: until the delivery under way has ended, and then until the timer.
    is_rate_locked: bool,
    dead: Option<(Time, Arc<Suspension>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Destination(Key),
    RateLock(TransportKey),
    Transport(TransportKey),
}

impl Scheduler {
    pub fn new(
        minimal_backoff_time: Duration,
        transport_retry_time: Duration,
        dead_limit: usize,
    ) -> Scheduler {
        Scheduler {
            minimal_backoff_time,
            transport_retry_time,
            dead_limit,
            transports: Vec::new(),
            by_name: HashMap::new(),
            turn: 0,
            destinations: Slab::new(),
            jobs: Slab::new(),
            peers: Slab::new(),
            entries: Slab::new(),
            job_of: HashMap::new(),
            peer_of: HashMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Takes new times (reload); dead destinations keep the time they were given.
    pub fn set_times(&mut self, minimal_backoff_time: Duration, transport_retry_time: Duration) {
        self.minimal_backoff_time = minimal_backoff_time;
        self.transport_retry_time = transport_retry_time;
    }

    /// Makes a transport known, or gives a known one new limits.
    pub fn transport(&mut self, name: &str, mut limits: Limits) -> TransportKey {
        if limits.destination_rate_delay > Duration::ZERO {
            limits.window.destination_concurrency_limit = 1;
        }
        if let Some(&key) = self.by_name.get(name) {
            self.transports[key].limits = limits;
            return key;
        }
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), self.transports.len());
        self.transports.push(Transport {
            name,
            limits,
            running: 0,
            destinations: HashMap::new(),
            queue: Queue::new(),
            is_rate_locked: false,
            dead: None,
        });
        self.transports.len() - 1
    }

    pub fn find(&self, transport: &str) -> Option<TransportKey> {
        self.by_name.get(transport).copied()
    }

    pub fn name(&self, transport: TransportKey) -> &Arc<str> {
        &self.transports[transport].name
    }

    pub fn limits(&self, transport: TransportKey) -> &Limits {
        &self.transports[transport].limits
    }

    /// Deliveries under way.
    pub fn running(&self) -> usize {
        self.transports.iter().map(|t| t.running as usize).sum()
    }

    /// Queues recipients of a message, unless their transport or destination is dead. `unread` recipients of the message are
    /// still to come (they may go anywhere); `since` is when the message became active.
    pub fn add(
        &mut self,
        message: MessageKey,
        transport: TransportKey,
        group: Group,
        unread: usize,
        since: Time,
    ) -> Result<(), Dropped> {
        if group.recipients.is_empty() {
            return Ok(());
        }
        let dropped = |recipients, why| Err(Dropped { message, recipients, why });
        if let Some((_, why)) = &self.transports[transport].dead {
            return dropped(group.recipients, why.clone());
        }
        let destination = self.obtain_destination(transport, &group);
        if let State::Dead { why, .. } = &self.destinations[destination].state {
            return dropped(group.recipients, why.clone());
        }
        let job = self.obtain_job(transport, message, unread, since);
        self.assign(job, destination, group);
        Ok(())
    }

    /// The next delivery to start, if any may. To be asked again until it says no: after [`Scheduler::add`],
    /// [`Scheduler::done`] and [`Scheduler::tick`].
    pub fn next(&mut self, now: Time) -> Option<Selected> {
        let count = self.transports.len();
        for step in 0..count {
            let key = (self.turn + step) % count;
            if let Some(entry) = self.may_run(key).then(|| self.select(key, now)).flatten() {
                self.turn = key + 1;
                return Some(self.start(key, entry, now));
            }
        }
        None
    }

    /// Ends a delivery. What waited for the same destination is dropped if this was one failure too many.
    pub fn done(&mut self, entry: EntryKey, feeling: Feeling, now: Time) -> Vec<Dropped> {
        let Entry { destination, job, .. } = self.entries.remove(entry);
        let transport = self.destinations[destination].transport;
        self.transports[transport].running -= 1;
        self.destinations[destination].busy -= 1;
        self.destinations[destination].last_done = Some(now);
        self.release_job(job, transport);
        self.start_rate_lock(transport, now);
        let dropped = self.feed_back(destination, feeling, now);
        self.slow_down(destination, now);
        self.unblock(destination);
        self.forget_if_idle(destination);
        dropped
    }

    /// A transport cannot be used at all: everything that waits for it is dropped, and nothing is tried for
    /// `transport_retry_time`.
    pub fn kill_transport(&mut self, transport: TransportKey, why: Suspension, now: Time) -> Vec<Dropped> {
        let why = Arc::new(why);
        self.revive_transport(transport);
        let until = now + self.transport_retry_time;
        self.timers.insert((until, Timer::Transport(transport)));
        self.transports[transport].dead = Some((until, why.clone()));
        let all: Vec<Key> = self.transports[transport].destinations.values().copied().collect();
        let mut dropped = Vec::new();
        for destination in all {
            self.drop_waiting(destination, &why, &mut dropped);
            self.forget_if_idle(destination);
        }
        dropped
    }

    pub fn is_dead_transport(&self, transport: TransportKey) -> bool {
        self.transports[transport].dead.is_some()
    }

    /// Gives every dead destination and transport another chance (`postqueue -f`).
    pub fn revive_all(&mut self) {
        let dead: Vec<Key> =
            self.destinations.iter().filter(|(_, d)| d.is_dead()).map(|(key, _)| key).collect();
        for destination in dead {
            self.revive(destination, self.destinations[destination].busy);
            self.forget_if_idle(destination);
        }
        (0..self.transports.len()).for_each(|transport| self.revive_transport(transport));
    }

    /// Gives one destination, and its transport, another chance (`postqueue -i`).
    pub fn revive_one(&mut self, transport: TransportKey, destination: &str) {
        self.revive_transport(transport);
        if let Some(&key) = self.transports[transport].destinations.get(destination)
            && self.destinations[key].is_dead()
        {
            self.revive(key, self.destinations[key].busy);
            self.forget_if_idle(key);
        }
    }

    /// Takes back the recipients of a message that wait. Those under way are not touched.
    pub fn withdraw(&mut self, message: MessageKey) -> Vec<JobRecipient> {
        let mut taken = Vec::new();
        for transport in 0..self.transports.len() {
            if let Some(&job) = self.job_of.get(&(transport, message)) {
                self.withdraw_job(job, &mut taken);
            }
        }
        taken
    }

    /// When [`Scheduler::tick`] is to be called next. Changes with every call that changes something.
    pub fn next_timer(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// Runs the timers that are due.
    pub fn tick(&mut self, now: Time) {
        while let Some(&(time, timer)) = self.timers.first().filter(|(time, _)| *time <= now) {
            self.timers.remove(&(time, timer));
            match timer {
                Timer::RateLock(transport) => self.transports[transport].is_rate_locked = false,
                Timer::Transport(transport) => self.transports[transport].dead = None,
                Timer::Destination(key) => self.wake_destination(key),
            }
        }
    }

    fn may_run(&self, key: TransportKey) -> bool {
        let transport = &self.transports[key];
        let limit = transport.limits.process_limit;
        transport.queue.has_work() && !transport.is_rate_locked && (limit == 0 || transport.running < limit)
    }

    fn start(&mut self, key: TransportKey, entry: EntryKey, now: Time) -> Selected {
        let transport = &mut self.transports[key];
        transport.running += 1;
        transport.is_rate_locked = transport.limits.transport_rate_delay > Duration::ZERO;
        let Entry { message, destination, ref mut recipients, .. } = self.entries[entry];
        let recipients = std::mem::take(recipients);
        let destination = &mut self.destinations[destination];
        destination.decide_reuse(now);
        let (nexthop, reuse) = (destination.nexthop.clone(), destination.reuse);
        Selected { entry, transport: key, message, nexthop, recipients, reuse }
    }

    /// `transport_rate_delay` counts from the end of a delivery to the start of the next.
    fn start_rate_lock(&mut self, transport: TransportKey, now: Time) {
        if self.transports[transport].is_rate_locked {
            let until = now + self.transports[transport].limits.transport_rate_delay;
            self.timers.insert((until, Timer::RateLock(transport)));
        }
    }

    fn revive_transport(&mut self, transport: TransportKey) {
        if let Some((until, _)) = self.transports[transport].dead.take() {
            self.timers.remove(&(until, Timer::Transport(transport)));
        }
    }
}
