//! The power goes at every moment: whatever was recorded of the disk's operations is replayed up to each of them, what was
//! not synced by then is lost, kept, torn or made garbage, and the promises are checked on what is left.

use crate::model::{Found, Mark, Model, begin, options, options_with_events, outcome, recipient};
use crate::sim_disk::{EINTR, EIO, Fault, Operation, Random, SimDisk, Step, Unsynced, crashed};
use mail::{Fate, QueueId};
use spool::{Admin, SegmentSpool, Spool};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Drives a spool on a simulated disk and marks what it does.
pub(crate) struct Driver {
    pub(crate) disk: SimDisk<Mark>,
    pub(crate) spool: SegmentSpool,
    /// Recipients and last version by message.
    living: BTreeMap<QueueId, (u32, u32)>,
}

impl Driver {
    pub(crate) fn new(disk: SimDisk<Mark>) -> Driver {
        let spool = SegmentSpool::open_on(Arc::new(disk.clone()), options()).unwrap();
        Driver { disk, spool, living: BTreeMap::new() }
    }

    /// Goes on with the messages that a model knows.
    /// Versions of outcomes begin behind `version`.
    pub(crate) fn resume(disk: SimDisk<Mark>, model: &Model, version: u32) -> Driver {
        let mut driver = Driver::new(disk);
        driver.spool.wait_until_indexed();
        let summaries = model.messages.keys().map(|id| (*id, driver.spool.summary(*id).unwrap()));
        driver.living = summaries.map(|(id, s)| (id, (s.recipients, version))).collect();
        driver
    }

    pub(crate) fn commit(&mut self, recipients: u32, body: Vec<u8>, held: bool) -> QueueId {
        self.try_commit(recipients, body, held).unwrap()
    }

    /// None if the spool refused it.
    pub(crate) fn try_commit(&mut self, recipients: u32, body: Vec<u8>, held: bool) -> Option<QueueId> {
        let mark = |id| self.disk.mark(Mark::Commit { id, recipients, body: body.clone(), held });
        let (id, durable) = begin(&self.spool, recipients, &body, held, mark).ok()?;
        if durable.wait().is_err() {
            self.disk.mark(Mark::Refused(id));
            return None;
        }
        self.disk.mark(Mark::Committed(id));
        self.living.insert(id, (recipients, 0));
        Some(id)
    }

    pub(crate) fn record(&mut self, id: QueueId, recipient: u32, fate: Fate) {
        let (_, version) = self.living.get_mut(&id).unwrap();
        *version += 1;
        self.disk.mark(Mark::Record { id, recipient, version: *version, fate });
        self.spool.record(id, &[outcome(recipient, *version, fate)], None);
    }

    pub(crate) fn append(&mut self, id: QueueId, count: u32) {
        let (recipients, _) = self.living.get_mut(&id).unwrap();
        self.disk.mark(Mark::Append { id, first: *recipients, count });
        let added: Vec<_> = (*recipients..*recipients + count).map(recipient).collect();
        assert_eq!(self.spool.append_recipients(id, &added, &[]).unwrap().start, *recipients);
        *recipients += count;
    }

    pub(crate) fn hold(&mut self, id: QueueId, held: bool) {
        self.disk.mark(Mark::Hold { id, held });
        self.spool.administer(id, if held { Admin::Hold } else { Admin::Release }).wait().unwrap();
        // An administrator's change is durable, and so is everything before it.
        self.disk.mark(Mark::Flushed);
    }

    pub(crate) fn finish(&mut self, id: QueueId) {
        self.disk.mark(Mark::Finish(id));
        self.spool.finish(id);
        self.living.remove(&id);
    }

    pub(crate) fn flush(&mut self) {
        self.spool.flush().wait().unwrap();
        self.disk.mark(Mark::Flushed);
    }

    /// One step of a random life.
    pub(crate) fn step(&mut self, random: &mut Random) {
        let ids: Vec<QueueId> = self.living.keys().copied().collect();
        if ids.is_empty() || random.is(35) {
            let size = if random.is(15) { 20_000 } else { random.below(3000) } as usize;
            let fill = random.next() as u8;
            self.try_commit(1 + random.below(3) as u32, vec![fill; size], random.is(10));
            return;
        }
        let id = ids[random.below(ids.len() as u64) as usize];
        let recipient = random.below(self.living[&id].0.into()) as u32;
        match random.below(10) {
            0..=3 => self.record(id, recipient, if random.is(70) { Fate::Deferred } else { Fate::Sent }),
            4..=6 => self.finish(id),
            7 => self.append(id, 1 + random.below(3) as u32),
            8 => self.hold(id, random.is(50)),
            _ => self.flush(),
        }
    }
}

/// Checks every moment from the `first`th operation on.
fn check_every_prefix(steps: &[Step<Mark>], first: usize) {
    let mut model = Model::default();
    for (n, step) in steps.iter().enumerate() {
        if let Step::Mark(mark) = step {
            model.take(mark);
        }
        if n < first || matches!(step, Step::Mark(Mark::Commit { .. } | Mark::Record { .. })) {
            continue;
        }
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Random(n as u64)] {
            check_prefix(&steps[..=n], unsynced, &model);
        }
    }
}

fn check_prefix(steps: &[Step<Mark>], unsynced: Unsynced, model: &Model) {
    let disk = crashed(steps, unsynced);
    let moment = format!("after step {} ({:?})", steps.len(), unsynced);
    let found = Found::on_disk(Arc::new(disk.clone())).unwrap_or_else(|e| panic!("{moment}: {e}"));
    model.check(&found).unwrap_or_else(|what| panic!("{moment}: {what}"));
    // A server finds the same, needs no repair, and sees no damage where there is none.
    let (options, events) = options_with_events(options());
    let spool = SegmentSpool::open_on(Arc::new(disk.clone()), options).unwrap();
    let found = Found::in_spool(&spool).unwrap_or_else(|e| panic!("{moment}: {e}"));
    model.check(&found).unwrap_or_else(|what| panic!("{moment}, reopened: {what}"));
    drop(spool);
    assert_eq!(*events.lock().unwrap(), [""; 0], "{moment}");
    // And once more: opening it has lost nothing.
    let found = Found::on_disk(Arc::new(disk)).unwrap();
    model.check(&found).unwrap_or_else(|what| panic!("{moment}, reopened twice: {what}"));
}

#[test]
fn every_prefix_of_a_life() {
    let mut driver = Driver::new(SimDisk::new());
    let first = driver.commit(1, vec![1; 1000], false);
    let second = driver.commit(3, vec![2; 5000], true);
    let large = driver.commit(1, vec![3; 20_000], false);
    driver.record(first, 0, Fate::Deferred);
    driver.record(second, 2, Fate::Sent);
    driver.flush();
    driver.append(second, 2);
    driver.record(second, 4, Fate::Bounced);
    driver.hold(second, false);
    driver.finish(first);
    driver.commit(1, Vec::new(), false);
    driver.finish(large);
    driver.flush();
    let steps = driver.disk.steps();
    drop(driver);
    check_every_prefix(&steps, 0);
}

#[test]
fn every_prefix_while_segments_fill_and_are_collected() {
    let mut driver = Driver::new(SimDisk::new());
    let mut random = Random(7);
    // Enough to go round all segments twice.
    for n in 0..120 {
        let id = driver.commit(1, vec![n as u8; 1500], false);
        driver.record(id, 0, Fate::Deferred);
        if random.is(90) {
            driver.finish(id);
        }
        if random.is(20) {
            driver.flush();
        }
    }
    let steps = driver.disk.steps();
    drop(driver);
    let names =
        |step: &Step<Mark>| matches!(step, Step::Create { name, .. } if name.starts_with("segments/"));
    assert!(steps.iter().filter(|step| names(step)).count() > 3, "segments were filled");
    let first = steps.len() - 300;
    check_every_prefix(&steps, first);
}

#[test]
fn random_lives_with_crashes() {
    live(|_| Box::new(|_| Fault::None));
}

#[test]
fn random_lives_with_crashes_and_faults() {
    // A few of the operations fail, or do half of what they should.
    live(|seed| {
        let mut random = Random(!seed);
        Box::new(move |operation| match (random.below(300), operation) {
            (0, Operation::Write(_) | Operation::Sync(_) | Operation::Create(_)) => Fault::Error(EIO),
            (1, Operation::SyncFolder(_) | Operation::Remove(_)) => Fault::Error(EIO),
            (2..20, Operation::Write(_) | Operation::Read(_)) => Fault::Short,
            (20..30, Operation::Write(_) | Operation::Read(_) | Operation::Sync(_)) => Fault::Error(EINTR),
            _ => Fault::None,
        })
    });
}

type Faults = Box<dyn FnMut(&Operation<'_>) -> Fault + Send>;

/// Lives through several crashes for each seed.
fn live(faults: impl Fn(u64) -> Faults) {
    // More with SPOOL_SEEDS=FROM..TO.
    let seeds = std::env::var("SPOOL_SEEDS").unwrap_or_else(|_| "0..12".into());
    let (from, to) = seeds.split_once("..").unwrap();
    for seed in from.parse().unwrap()..to.parse().unwrap() {
        let mut random = Random(seed);
        let mut model = Model::default();
        let mut disk = SimDisk::new();
        // Some live long enough for segments to be filled and collected.
        let length = if seed % 4 == 0 { 400 } else { 60 };
        for generation in 0..4 {
            let mut driver = Driver::resume(disk.clone(), &model, generation * 1000);
            disk.set_fault(faults(seed));
            for _ in 0..length {
                driver.step(&mut random);
            }
            let steps = disk.steps();
            drop(driver);
            let cut = steps.len() - random.below(steps.len() as u64 / 2) as usize;
            for step in &steps[..cut] {
                if let Step::Mark(mark) = step {
                    model.take(mark);
                }
            }
            disk = crashed(&steps[..cut], Unsynced::Random(random.next()));
            let moment = format!("seed {seed}, generation {generation}, cut at {cut} of {}", steps.len());
            let found = Found::on_disk(Arc::new(disk.clone()))
                .unwrap_or_else(|e| panic!("{moment}: {e}\n{}", dump(&disk)));
            model.check(&found).unwrap_or_else(|what| panic!("{moment}: {what}\n{}", dump(&disk)));
            model.settle(&found);
        }
    }
}

/// All records of a spool, for the one who has to find out.
fn dump(disk: &SimDisk<Mark>) -> String {
    let mut text = String::new();
    let spool = spool::ReadonlySpool::open_on(Arc::new(disk.clone())).unwrap();
    spool.dump(|line| text.push_str(&format!("{line}\n")));
    text
}
