//! What progress costs: syncs, time, memory and disk.

use crate::model::{Mark, begin, commit, options, outcome};
use crate::sim_disk::{Fault, Operation, SimDisk, Step};
use mail::{Fate, Time};
use spool::{ReadonlySpool, SegmentSpool, Spool};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

fn open(disk: &SimDisk<Mark>) -> SegmentSpool {
    SegmentSpool::open_on(Arc::new(disk.clone()), options()).unwrap()
}

/// Batches that were synced: writes to segments behind their first two pages.
fn batches(disk: &SimDisk<Mark>) -> usize {
    let is_batch = |step: &Step<Mark>| matches!(step, Step::Write { offset, .. } if *offset >= 2 * 4096);
    disk.steps().into_iter().filter(is_batch).count()
}

#[test]
fn is_durable_by_itself() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    let id = commit(&spool, 1, b"", false).unwrap();
    let start = Instant::now();
    spool.record(id, &[outcome(0, 1, Fate::Deferred)], None);
    // Nobody asks the spool for anything.
    loop {
        let tool = ReadonlySpool::open_on(Arc::new(disk.clone())).unwrap();
        if tool.load(id).unwrap().outcomes[0].is_some() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "it waits for something");
        std::thread::yield_now();
    }
    assert!(start.elapsed() >= options().ride_along, "it did not wait for company");
}

#[test]
fn a_lone_message_pays_one_sync() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    commit(&spool, 1, b"", false).unwrap();
    let before = batches(&disk);
    for _ in 0..5 {
        commit(&spool, 1, &[1; 500], false).unwrap();
    }
    assert_eq!(batches(&disk) - before, 5);
}

#[test]
fn those_who_wait_share_a_sync() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    commit(&spool, 1, b"", false).unwrap();
    // The device syncs until it is told to be done.
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let gate_too = gate.clone();
    disk.set_slow_sync(move |name| {
        if name.starts_with("segments/") {
            let open = gate_too.0.lock().unwrap();
            drop(gate_too.1.wait_while(open, |open| !*open).unwrap());
        }
    });
    let before = batches(&disk);
    let first = begin(&spool, 1, &[1; 200], false, |_| {}).unwrap().1;
    while batches(&disk) == before {
        std::thread::yield_now();
    }
    let others: Vec<_> = (0..20).map(|_| begin(&spool, 1, &[1; 200], false, |_| {}).unwrap().1).collect();
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    first.wait().unwrap();
    others.into_iter().for_each(|durable| durable.wait().unwrap());
    assert_eq!(batches(&disk) - before, 2);
}

#[test]
fn a_draft_that_does_not_end_holds_nobody_up() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    disk.set_slow_sync(|_| std::thread::sleep(Duration::from_millis(2)));
    let endless = spool.draft(Time::from_secs(1), 0).unwrap();
    let before = batches(&disk);
    for _ in 0..3 {
        commit(&spool, 1, b"", false).unwrap();
    }
    assert_eq!(batches(&disk) - before, 3);
    drop(endless);
}

#[test]
fn attempts_do_not_add_up() {
    let disk = SimDisk::new();
    disk.forget();
    let spool = open(&disk);
    let single = commit(&spool, 1, b"", false).unwrap();
    let several = commit(&spool, 5, b"", false).unwrap();
    let added: Vec<_> = (5..7).map(crate::model::recipient).collect();
    spool.append_recipients(several, &added, &[]).unwrap();
    for version in 1..2000 {
        let due = Some(Time::from_secs(version.into()));
        spool.record(single, &[outcome(0, version, Fate::Deferred)], due);
        spool.record(several, &[outcome(version % 7, version, Fate::Deferred)], due);
        if version % 10 == 0 {
            spool.flush().wait().unwrap();
        }
    }
    let stored = spool.load(several).unwrap();
    let versions: Vec<u32> =
        stored.outcomes.iter().map(|o| o.as_ref().unwrap().reason.parse().unwrap()).collect();
    assert_eq!(versions, [1995, 1996, 1997, 1998, 1999, 1993, 1994]);
    drop(spool);
    // What is read for the message is bounded too.
    let reads = Arc::new(Mutex::new(0));
    let reads_too = reads.clone();
    let spool = open(&disk);
    spool.wait_until_indexed();
    disk.set_fault(move |operation| {
        *reads_too.lock().unwrap() += usize::from(matches!(operation, Operation::Read(_)));
        Fault::None
    });
    assert_eq!(spool.load(several).unwrap().outcomes, stored.outcomes);
    assert!(*reads.lock().unwrap() < 60, "{} reads", reads.lock().unwrap());
    assert!(disk.size() < 1 << 20, "{} octets on the disk", disk.size());
}

#[test]
fn a_long_life_takes_no_more_room() {
    let disk = SimDisk::new();
    disk.forget();
    let spool = open(&disk);
    // One in fifty stays.
    let mut kept = Vec::new();
    for n in 0..4000u32 {
        let id = commit(&spool, 1, &[n as u8; 1000], false).unwrap();
        spool.record(id, &[outcome(0, 1, Fate::Deferred)], None);
        if n % 50 == 0 { kept.push(id) } else { spool.finish(id) }
    }
    spool.flush().wait().unwrap();
    let start = Instant::now();
    while disk.size() > 1 << 20 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{} octets for {} messages",
            disk.size(),
            kept.len()
        );
        std::thread::yield_now();
    }
    assert!(kept.iter().all(|id| spool.load(*id).is_ok()));
}
