//! One destination of one transport: its window, its death and revival, its rate.

use super::jobs::Entry;
use super::slab::{Key, List, NONE};
use super::window::Window;
use super::{Dropped, Feeling, Group, Scheduler, Suspension, Timer, TransportKey};
use crate::agent::Reuse;
use mail::Time;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Destination {
    pub(super) transport: TransportKey,
    name: Box<str>,
    pub(super) nexthop: Arc<str>,
    pub(super) window: Window,
    pub(super) state: State,
    /// Deliveries under way.
    pub(super) busy: u32,
    /// Entries that wait.
    pub(super) waiting: List<Entry>,
    /// Equal to its transport's tag: some job was passed over because this window was full.
    pub(super) blocker_tag: u32,
    pub(super) last_done: Option<Time>,
    pub(super) reuse: Reuse,
    /// When it was last said to be crowded.
    crowded_at: Option<Time>,
}

pub(super) enum State {
    Ready,
    /// Nothing goes there before `until`, and new mail for it is deferred at once.
    Dead {
        until: Time,
        why: Arc<Suspension>,
    },
    /// Between two deliveries, by `destination_rate_delay`.
    Resting,
}

impl Destination {
    pub(super) fn has_room(&self) -> bool {
        matches!(self.state, State::Ready) && self.window.size() > self.busy
    }

    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead { .. })
    }

    /// Connections are worth keeping when deliveries follow each other within a second: from then on agents store them, and
    /// take stored ones, until the destination runs out of steam; then they only take what is left.
    pub(super) fn decide_reuse(&mut self, now: Time) {
        let is_back_to_back = self.last_done.is_some_and(|done| now.since(done) <= Duration::from_secs(1));
        if !self.reuse.store && is_back_to_back {
            self.reuse = Reuse { load: true, store: true };
        } else if self.reuse.store && !is_back_to_back && self.busy <= 1 {
            self.reuse.store = false;
        }
    }
}

/// A destination with many entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowd {
    pub nexthop: Arc<str>,
    /// Waiting and under way.
    pub entries: usize,
    pub busy: u32,
    pub window: u32,
    /// Its transport has no other destination.
    pub is_alone: bool,
}

impl Scheduler {
    /// A destination that has more than `threshold` entries, unless that was said within `interval`.
    pub fn crowd(
        &mut self,
        transport: TransportKey,
        destination: &str,
        threshold: usize,
        now: Time,
        interval: Duration,
    ) -> Option<Crowd> {
        let is_alone = self.transports[transport].destinations.len() == 1;
        let key = *self.transports[transport].destinations.get(destination)?;
        let destination = &mut self.destinations[key];
        let entries = destination.waiting.len() + destination.busy as usize;
        if entries <= threshold || destination.crowded_at.is_some_and(|at| now < at + interval) {
            return None;
        }
        destination.crowded_at = Some(now);
        let Destination { busy, ref nexthop, ref window, .. } = *destination;
        Some(Crowd { nexthop: nexthop.clone(), entries, busy, window: window.size(), is_alone })
    }

    pub(super) fn obtain_destination(&mut self, transport: TransportKey, group: &Group) -> Key {
        if let Some(&key) = self.transports[transport].destinations.get(group.destination.as_str()) {
            return key;
        }
        let key = self.destinations.insert(Destination {
            transport,
            name: group.destination.as_str().into(),
            nexthop: group.nexthop.clone(),
            window: Window::new(&self.transports[transport].limits.window),
            state: State::Ready,
            busy: 0,
            waiting: List::new(|entry| &mut entry.destination_links),
            blocker_tag: 0,
            last_done: None,
            reuse: Reuse::default(),
            crowded_at: None,
        });
        self.transports[transport].destinations.insert(group.destination.as_str().into(), key);
        key
    }

    pub(super) fn feed_back(&mut self, key: Key, feeling: Feeling, now: Time) -> Vec<Dropped> {
        let destination = &mut self.destinations[key];
        let limits = &self.transports[destination.transport].limits.window;
        match feeling {
            Feeling::Neutral => {}
            // A delivery that began before the others failed: it is alive after all.
            Feeling::Good if destination.is_dead() => self.revive(key, self.destinations[key].busy + 1),
            Feeling::Good => destination.window.open(destination.busy + 1, limits),
            Feeling::Bad(why) if !destination.is_dead() && destination.window.close(limits) => {
                return self.die(key, Arc::new(why), now);
            }
            Feeling::Bad(_) => {}
        }
        Vec::new()
    }

    fn die(&mut self, key: Key, why: Arc<Suspension>, now: Time) -> Vec<Dropped> {
        let until = now + self.minimal_backoff_time;
        self.timers.insert((until, Timer::Destination(key)));
        let destination = &mut self.destinations[key];
        destination.state = State::Dead { until, why: why.clone() };
        destination.reuse = Reuse::default();
        let mut dropped = Vec::new();
        self.drop_waiting(key, &why, &mut dropped);
        dropped
    }

    pub(super) fn drop_waiting(&mut self, key: Key, why: &Arc<Suspension>, dropped: &mut Vec<Dropped>) {
        loop {
            let entry = self.destinations[key].waiting.head;
            if entry == NONE {
                return;
            }
            let Entry { message, recipients, .. } = self.take_waiting(entry);
            dropped.push(Dropped { message, recipients, why: why.clone() });
        }
    }

    /// Back to life, with a window as wide as the deliveries that are under way.
    pub(super) fn revive(&mut self, key: Key, busy: u32) {
        let destination = &mut self.destinations[key];
        if let State::Dead { until, .. } = destination.state {
            self.timers.remove(&(until, Timer::Destination(key)));
        }
        destination.state = State::Ready;
        let limits = &self.transports[destination.transport].limits.window;
        destination.window.revive(busy, limits);
    }

    /// `destination_rate_delay`: a pause after each delivery. A dead destination comes back by it, as with Postfix.
    pub(super) fn slow_down(&mut self, key: Key, now: Time) {
        let delay = self.transports[self.destinations[key].transport].limits.destination_rate_delay;
        if delay == Duration::ZERO {
            return;
        }
        if self.destinations[key].is_dead() {
            self.revive(key, self.destinations[key].busy);
        }
        if matches!(self.destinations[key].state, State::Ready) {
            self.destinations[key].state = State::Resting;
            self.timers.insert((now + delay, Timer::Destination(key)));
        }
    }

    pub(super) fn wake_destination(&mut self, key: Key) {
        match self.destinations[key].state {
            State::Ready => {}
            State::Dead { .. } => self.revive(key, self.destinations[key].busy),
            State::Resting => self.destinations[key].state = State::Ready,
        }
        self.unblock(key);
        self.forget_if_idle(key);
    }

    /// If jobs were passed over for this destination, and it has room again, all of the transport's are looked at anew.
    pub(super) fn unblock(&mut self, key: Key) {
        let destination = &mut self.destinations[key];
        let transport = &mut self.transports[destination.transport];
        if destination.blocker_tag != transport.queue.blocker_tag {
            return;
        }
        if destination.has_room() {
            if !destination.waiting.is_empty() {
                transport.queue.restart();
            }
            destination.blocker_tag = 0;
        } else if destination.is_dead() {
            destination.blocker_tag = 0;
        }
    }

    /// A destination lives while something goes there, or while it is dead; but not too many dead ones are kept.
    pub(super) fn forget_if_idle(&mut self, key: Key) {
        let destination = &self.destinations[key];
        if destination.busy > 0 || !destination.waiting.is_empty() {
            return;
        }
        if destination.is_dead() && self.destinations.len() > self.dead_limit {
            self.revive(key, self.destinations[key].busy);
        }
        if matches!(self.destinations[key].state, State::Ready) {
            let gone = self.destinations.remove(key);
            self.transports[gone.transport].destinations.remove(&gone.name);
        }
    }
}
