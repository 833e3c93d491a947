//! The thread that keeps house: reads the index at the start, seals full segments, frees dead ones, provides spares, removes
//! body files. Nobody waits for it, and it never touches what the writer writes.

use super::bodies;
use super::catalog::{Role, SegmentState};
use super::collect::Collector;
use super::core::{Chores, Core, State};
use super::recover::{self, Recovered, Survey};
use super::segment::{self, Segment, Unsealed, file_name};
use super::{Event, segment_capacity};
use crate::Health;
use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The writer finds at least so many spares, if the disk has room: one to go on with, one so that the queue can drain.
const SPARES_MIN: usize = 2;
/// More are removed.
const SPARES_MAX: usize = 4;
/// When something could not be done, it is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Keeper {
    core: Arc<Core>,
    collector: Collector,
    /// Something is to be tried again.
    has_failed: bool,
    /// A segment may be worth collecting later.
    is_waiting: bool,
}

impl Keeper {
    pub(crate) fn new(core: Arc<Core>) -> Keeper {
        let collector = Collector::new(core.clone());
        Keeper { core, collector, has_failed: false, is_waiting: false }
    }

    pub(crate) fn run(mut self, survey: Survey) {
        self.index(survey);
        while let Some(chores) = self.next() {
            self.has_failed = false;
            self.seal(chores.unsealed);
            self.remove_bodies(chores.bodies);
            self.free_dead();
            self.provide_spares();
            for serial in chores.long_chains {
                self.collector.shorten(serial);
            }
            self.collect();
        }
        self.collector.close();
    }

    fn next(&self) -> Option<Chores> {
        let core = &self.core;
        let mut state = core.lock();
        loop {
            if state.chores.is_due {
                state.chores.is_due = false;
                return Some(std::mem::take(&mut state.chores));
            }
            if state.is_keeper_closing {
                return None;
            }
            let wait = if self.has_failed {
                Some(RETRY)
            } else {
                self.is_waiting.then_some(core.options.collect_after)
            };
            let Some(wait) = wait else {
                state = core.keeper_wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let timed = core.keeper_wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = timed.0;
            state.chores.is_due |= timed.1.timed_out() && !state.is_keeper_closing;
        }
    }

    /// Brings the messages that were there at the start into the catalog.
    fn index(&mut self, survey: Survey) {
        let first_serial = survey.next.serial;
        let recovered = recover::index(&survey.segments);
        let Recovered { catalog, damage, unreadable, unsealed, empty, .. } = recovered;
        for (segment, range) in damage {
            self.save_damage(&segment, range);
        }
        for (number, error) in unreadable {
            self.core.tell(Event::Unreadable { segment: number, error: error.to_string() });
        }
        for number in survey.rescued {
            // A dead one was being made a spare when the server stopped: that is no damage.
            if catalog.segments.get(&number).is_some_and(|state| state.kept() > 0) {
                self.core
                    .tell(Event::Damaged { what: format!("first page of segment {number}"), saved: None });
            }
        }
        let mut state = self.core.lock();
        let newer = std::mem::replace(&mut state.catalog, catalog);
        state.catalog.absorb(newer);
        let empty = empty.into_iter().map(|segment| (segment.number, segment.file, segment.capacity));
        for (number, file, capacity) in empty.chain(survey.leftovers) {
            let segment = Segment { number, epoch: 0, capacity, file };
            state.catalog.add_segment(segment, Role::Full);
        }
        state.chores.unsealed.extend(unsealed);
        state.is_indexed = true;
        self.core.indexed.notify_all();
        self.core.wake_keeper(&mut state);
        drop(state);
        self.remove_orphans(first_serial);
    }

    /// Keeps octets that should be records, for a human to look at.
    fn save_damage(&self, segment: &Segment, range: Range<u64>) {
        let name = format!("corrupt/segment-{:08}-{:X}", segment.number, range.start);
        let what =
            format!("{} octets at {} of segment {}", range.end - range.start, range.start, segment.number);
        let saved = super::set_aside::save(&*self.core.disk, &name, &*segment.file, range);
        self.core.tell(Event::Damaged { what, saved: saved.is_ok().then_some(name) });
    }

    /// Removes bodies of messages that were never committed, or are gone.
    fn remove_orphans(&self, first_serial: u64) {
        let names = match self.core.disk.names(bodies::FOLDER) {
            Ok(names) => names,
            Err(error) => return self.note_error("list bodies", error),
        };
        for serial in names.iter().filter_map(|name| bodies::serial_of(name)) {
            let is_orphan = serial < first_serial && self.core.lock().catalog.messages.get(serial).is_none();
            if is_orphan {
                self.remove_bodies(vec![serial]);
            }
        }
    }

    fn seal(&self, unsealed: Vec<Unsealed>) {
        for unsealed in unsealed {
            if let Err(error) = unsealed.seal() {
                self.note_error("seal a segment", error);
            }
        }
    }

    fn remove_bodies(&self, serials: Vec<u64>) {
        for serial in serials {
            match self.core.disk.remove(&bodies::file_name(serial)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.note_error("remove a body", error)
                }
                _ => {}
            }
        }
    }

    fn free_dead(&mut self) {
        loop {
            let mut state = self.core.lock();
            let Some(number) = state.catalog.dead_segments().first().copied() else { return };
            let Some(dead) = state.catalog.segments.get_mut(&number) else { return };
            let is_failed = dead.role == Role::Failed;
            dead.set_role(Role::Freeing);
            let segment = dead.segment.clone();
            let spares = state.catalog.spares().count();
            drop(state);
            let is_small = segment.capacity < segment_capacity(&*self.core.disk, &self.core.options);
            // A small one is still better than none.
            let is_wanted = !is_failed && spares < SPARES_MAX && (!is_small || spares < SPARES_MIN);
            let freed = if is_wanted { self.recycle(segment) } else { self.remove(number) };
            if let Err(error) = freed {
                self.note_error("free a segment", error);
                self.has_failed = true;
                // To be removed then: who knows what of it is on the device.
                self.core.lock().set_role(number, Role::Failed);
                return;
            }
        }
    }

    fn recycle(&self, segment: Segment) -> io::Result<()> {
        let spare = Segment::prepare(segment.file, segment.number, segment.capacity)?;
        let mut state = self.core.lock();
        state.catalog.freed(spare.number);
        state.catalog.add_segment(spare, Role::Spare);
        self.note_spares(&state);
        Ok(())
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        self.core.disk.remove(&file_name(number))?;
        self.core.disk.sync_folder(segment::FOLDER)?;
        let mut state = self.core.lock();
        state.catalog.freed(number);
        state.catalog.segments.remove(&number);
        Ok(())
    }

    fn provide_spares(&mut self) {
        loop {
            let mut state = self.core.lock();
            if state.is_closing || state.catalog.spares().count() >= SPARES_MIN {
                return;
            }
            let number = state.catalog.take_number();
            drop(state);
            let capacity = segment_capacity(&*self.core.disk, &self.core.options);
            // Why there is no room, the writer tells those who are concerned. To try without room would take it from others.
            let has_room = self.core.disk.free_space().is_ok_and(|free| free >= 2 * capacity);
            let created =
                if has_room { Segment::create(&*self.core.disk, number, capacity).ok() } else { None };
            let Some(segment) = created else {
                self.has_failed = true;
                return;
            };
            let mut state = self.core.lock();
            state.catalog.add_segment(segment, Role::Spare);
            self.note_spares(&state);
        }
    }

    /// There is another spare.
    fn note_spares(&self, state: &State) {
        self.core.space.set_margin(state.catalog.spares().map(|s| s.segment.capacity).max().unwrap_or(0));
        if state.catalog.spares().count() >= SPARES_MIN {
            self.core.health.send_if_modified(|health| {
                let is_over = *health == Health::Full;
                if is_over {
                    *health = Health::Good;
                }
                is_over
            });
        }
    }

    fn collect(&mut self) {
        let state = self.core.lock();
        let is_short = state.catalog.spares().count() < SPARES_MIN;
        let wait = if is_short { Duration::ZERO } else { self.core.options.collect_after };
        let share = if is_short { 75 } else { self.core.options.collect_below };
        let is_worth = |state: &&SegmentState| {
            state.role == Role::Full && state.kept() * 100 < state.end * share && state.kept() > 0
        };
        let candidates = || state.catalog.segments.values().filter(is_worth);
        let victim = candidates()
            .filter(|s| s.since.elapsed() >= wait)
            .min_by_key(|s| s.kept())
            .map(|s| s.segment.clone());
        self.is_waiting = candidates().count() > 0;
        drop(state);
        if let Some(victim) = victim
            && self.collector.collect(&victim)
        {
            // It is dead now, and there may be another.
            let mut state = self.core.lock();
            self.core.wake_keeper(&mut state);
        }
    }

    fn note_error(&self, chore: &'static str, error: io::Error) {
        self.core.tell(Event::ChoreFailed { chore, error: error.to_string() });
    }
}
