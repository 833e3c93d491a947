//! The thread that keeps house: reads the index at the start, seals full segments, frees dead ones, provides spares, removes
//! body files. Nobody waits for it, and it never touches what the writer writes.

use super::bodies;
use super::catalog::{Role, SegmentState};
use super::collect::Collector;
use super::core::{Chores, Core, State};
use super::recover::{self, Recovered, Survey};
use super::segment::{self, Segment, Unsealed, file_name};
use super::{Event, SEGMENT_SIZE_MIN, segment_capacity};
use crate::Health;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// When something could not be done, it is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// Whether a segment is worth collecting is not looked at more often.
const COLLECT_WAIT_MIN: Duration = Duration::from_millis(10);

pub(crate) struct Keeper {
    core: Arc<Core>,
    collector: Collector,
    /// The first serial number that this process gave out.
    first_serial: u64,
    /// Something is to be tried again.
    has_failed: bool,
    /// A segment may be worth collecting later.
    is_waiting: bool,
}

impl Keeper {
    pub(crate) fn new(core: Arc<Core>) -> Keeper {
        let collector = Collector::new(core.clone());
        Keeper { core, collector, first_serial: 0, has_failed: false, is_waiting: false }
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
                self.is_waiting.then_some(core.options.collect_after.max(COLLECT_WAIT_MIN))
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
        self.first_serial = survey.next.serial;
        let recovered = recover::index(&survey.segments);
        let Recovered { catalog, damage, unreadable, unsealed, empty, .. } = recovered;
        for (segment, range) in damage {
            self.save_damage(&segment, range);
        }
        for (number, error) in unreadable {
            self.core.tell(Event::Unreadable { segment: number, error: error.to_string() });
        }
        for (number, error) in survey.strange {
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
        for segment in empty {
            // As it is: to prepare it again would put what it held before at risk of being taken for alive.
            let is_spare = segment.capacity >= SEGMENT_SIZE_MIN;
            state.catalog.add_segment(segment, if is_spare { Role::Spare } else { Role::Full });
        }
        for (number, file, capacity) in survey.leftovers {
            let segment = Segment { number, epoch: 0, capacity, file };
            state.catalog.add_segment(segment, Role::Full);
        }
        self.note_spares(&state);
        state.chores.unsealed.extend(unsealed);
        state.is_indexed = true;
        self.core.indexed.notify_all();
        self.core.wake_keeper(&mut state);
        drop(state);
        self.remove_orphans();
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
    fn remove_orphans(&self) {
        let names = match self.core.disk.names(bodies::FOLDER) {
            Ok(names) => names,
            Err(error) => return self.note_error("list bodies", error),
        };
        for serial in names.iter().filter_map(|name| bodies::serial_of(name)) {
            let is_orphan =
                serial < self.first_serial && self.core.lock().catalog.messages.get(serial).is_none();
            if is_orphan {
                self.remove_bodies(vec![serial]);
            }
        }
    }

    fn seal(&self, unsealed: Vec<Unsealed>) {
        for unsealed in unsealed {
            let number = unsealed.segment.number;
            if let Err(error) = unsealed.seal() {
                self.note_error("seal a segment", error);
                self.core.lock().set_role(number, Role::Failed);
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
        // The last START record knows which serial numbers were given out, so there must be a newer one first.
        let has_begun = self.core.serial_limit.load(Relaxed) > self.first_serial;
        while has_begun && self.collector.is_sure() {
            let mut state = self.core.lock();
            let Some(number) = state.catalog.dead_segments().first().copied() else { return };
            let Some(dead) = state.catalog.segments.get_mut(&number) else { return };
            let is_failed = dead.role == Role::Failed;
            dead.set_role(Role::Freeing);
            let segment = dead.segment.clone();
            let spares = state.catalog.count_spares();
            drop(state);
            let usual = segment_capacity(&*self.core.disk, &self.core.options);
            // A small one is still better than none.
            let is_good =
                segment.capacity >= usual || segment.capacity >= SEGMENT_SIZE_MIN && spares.are_short(usual);
            let is_wanted = !is_failed && is_good && !spares.are_ample(usual);
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
        match self.core.disk.remove(&file_name(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // Or it went at an earlier attempt, whose sync failed.
            _ => self.core.disk.sync_folder(segment::FOLDER)?,
        }
        let mut state = self.core.lock();
        state.catalog.freed(number);
        state.catalog.segments.remove(&number);
        Ok(())
    }

    fn provide_spares(&mut self) {
        loop {
            let capacity = segment_capacity(&*self.core.disk, &self.core.options);
            let mut state = self.core.lock();
            if state.is_closing || !state.catalog.count_spares().are_short(capacity) {
                return;
            }
            let number = state.catalog.take_number();
            drop(state);
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
        let room = state.catalog.count_spares().room();
        self.core.space.set_spare_room(room);
        if room > 0 {
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
        let usual = segment_capacity(&*self.core.disk, &self.core.options);
        let state = self.core.lock();
        if state.is_closing {
            return;
        }
        let is_short = state.catalog.count_spares().are_short(usual);
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
        let Some(victim) = victim else { return };
        if self.collector.collect(&victim) {
            let mut state = self.core.lock();
            let is_dead = state.catalog.segments.get(&victim.number).is_none_or(|state| state.kept() == 0);
            if is_dead {
                // It can be freed, and there may be another.
                self.core.wake_keeper(&mut state);
            }
        }
    }

    fn note_error(&self, chore: &'static str, error: io::Error) {
        self.core.tell(Event::ChoreFailed { chore, error: error.to_string() });
    }
}
