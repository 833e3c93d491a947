//! The device fails, interrupts, or is full: what is promised then, and that it goes on afterwards without a restart.

use crate::crash::Driver;
use crate::model::{
    Found, Mark, Model, begin, commit, envelope, options, options_with_events, outcome, wait_for_health,
};
use crate::sim_disk::{EINTR, EIO, Fault, Operation, SimDisk, Step, Unsynced, crashed};
use mail::{Fate, QueueId, Time};
use spool::{Admin, Health, SegmentSpool, Spool, SpoolError};
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

fn open(disk: &SimDisk<Mark>) -> SegmentSpool {
    SegmentSpool::open_on(Arc::new(disk.clone()), options()).unwrap()
}

/// A file of the log.
fn is_segment(name: &str) -> bool {
    name.starts_with("segments/")
}

/// Fails the next operation that `is_it` tells, once.
fn fail_once(
    disk: &SimDisk<Mark>,
    is_it: impl Fn(&Operation<'_>) -> bool + Send + 'static,
) -> Arc<AtomicBool> {
    let has_failed = Arc::new(AtomicBool::new(false));
    let failed = has_failed.clone();
    disk.set_fault(move |operation| {
        let fails = is_it(operation) && !failed.swap(true, SeqCst);
        if fails { Fault::Error(EIO) } else { Fault::None }
    });
    has_failed
}

#[test]
fn one_failure_refuses_one_message_for_good() {
    type IsIt = fn(&Operation<'_>) -> bool;
    let sync: IsIt = |o| matches!(o, Operation::Sync(name) if is_segment(name));
    let write: IsIt = |o| matches!(o, Operation::Write(name) if is_segment(name));
    for is_it in [sync, write] {
        let disk = SimDisk::new();
        let mut driver = Driver::new(disk.clone());
        driver.commit(1, vec![1; 500], false);
        // The keeper's own writes are not what is to fail.
        driver.spool.wait_until_indexed();
        wait_for_spares(&disk);
        let has_failed = fail_once(&disk, is_it);
        let refused = driver.try_commit(1, vec![2; 500], false);
        assert!(has_failed.load(SeqCst) && refused.is_none());
        disk.mark(Mark::Flushed);
        let moment = disk.steps().len();
        driver.commit(1, vec![3; 500], false);
        wait_for_health(&driver.spool, |health| *health == Health::Good);
        let steps = disk.steps();
        drop(driver);
        // Whoever was told that it is not taken can rely on that, whenever the power goes.
        let mut model = Model::default();
        for (n, step) in steps.iter().enumerate() {
            if let Step::Mark(mark) = step {
                model.take(mark);
            }
            for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Random(n as u64)] {
                if n >= moment {
                    let found = Found::on_disk(Arc::new(crashed(&steps[..=n], unsynced))).unwrap();
                    model.check(&found).unwrap_or_else(|what| panic!("step {n} {unsynced:?}: {what}"));
                }
            }
        }
    }
}

/// Two spares are there, so that nothing but the writer writes.
fn wait_for_spares(disk: &SimDisk<Mark>) {
    let start = std::time::Instant::now();
    loop {
        let is_sync = |step: &Step<Mark>| matches!(step, Step::SyncFolder { name } if name == "segments");
        if disk.steps().into_iter().filter(is_sync).count() >= 3 {
            return;
        }
        assert!(start.elapsed().as_secs() < 20, "there are no spares");
        std::thread::yield_now();
    }
}

#[test]
fn a_failed_file_is_not_written_or_synced_again() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    wait_for_spares(&disk);
    let failed: Arc<Mutex<HashSet<String>>> = Arc::default();
    let again: Arc<Mutex<Vec<String>>> = Arc::default();
    let (failed_too, again_too) = (failed.clone(), again.clone());
    let mut count = 0;
    disk.set_fault(move |operation| {
        let (Operation::Write(name) | Operation::Sync(name)) = operation else { return Fault::None };
        if failed_too.lock().unwrap().contains(*name) {
            again_too.lock().unwrap().push(format!("{operation:?}"));
        }
        count += 1;
        if count % 7 == 0 && is_segment(name) {
            failed_too.lock().unwrap().insert((*name).to_owned());
            return Fault::Error(EIO);
        }
        Fault::None
    });
    let results: Vec<_> = (0..60).map(|n| commit(&spool, 1, &[n; 2000], false)).collect();
    let refused = results.iter().filter(|result| result.is_err()).count();
    assert!(refused > 0 && refused < 30, "{refused} refused");
    assert!(!failed.lock().unwrap().is_empty());
    drop(spool);
    assert_eq!(*again.lock().unwrap(), [""; 0]);
    disk.set_fault(|_| Fault::None);
    let kept: BTreeSet<QueueId> = results.into_iter().flatten().collect();
    assert_eq!(Found::in_spool(&open(&disk)).unwrap().0.into_keys().collect::<BTreeSet<_>>(), kept);
}

#[test]
fn while_the_device_fails_nothing_is_taken_and_nothing_forgotten() {
    let disk = SimDisk::new();
    let (options, events) = options_with_events(options());
    let spool = SegmentSpool::open_on(Arc::new(disk.clone()), options).unwrap();
    let id = commit(&spool, 2, b"before", false).unwrap();
    disk.set_fault(|operation| match operation {
        Operation::Write(_) | Operation::Sync(_) | Operation::Create(_) => Fault::Error(EIO),
        _ => Fault::None,
    });
    for _ in 0..3 {
        assert!(matches!(commit(&spool, 1, b"meanwhile", false), Err(SpoolError::Device(_))));
    }
    assert!(matches!(*spool.health().borrow(), Health::Failing(_)));
    spool.record(id, &[outcome(0, 1, Fate::Sent)], None);
    assert_eq!(spool.load(id).unwrap().outcomes, [Some(outcome(0, 1, Fate::Sent)), None]);
    assert_eq!(spool.summary(id).unwrap().pending, 1);
    // It works again: so does the spool, without anybody asking.
    disk.set_fault(|_| Fault::None);
    wait_for_health(&spool, |health| *health == Health::Good);
    spool.flush().wait().unwrap();
    let after = commit(&spool, 1, b"after", false).unwrap();
    drop(spool);
    let spool = open(&disk);
    let found = Found::in_spool(&spool).unwrap();
    assert_eq!(found.0.into_keys().collect::<Vec<_>>(), [id, after]);
    assert_eq!(spool.load(id).unwrap().outcomes, [Some(outcome(0, 1, Fate::Sent)), None]);
    let events = events.lock().unwrap();
    let told = |text: &str| events.iter().filter(|event| event.contains(text)).count();
    assert_eq!((told("new mail is refused"), told("works again")), (1, 1), "{events:?}");
}

#[test]
fn closing_a_spool_whose_device_fails_ends() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    let id = commit(&spool, 1, b"before", false).unwrap();
    disk.set_fault(|operation| match operation {
        Operation::Write(_) | Operation::Sync(_) => Fault::Error(EIO),
        _ => Fault::None,
    });
    spool.record(id, &[outcome(0, 1, Fate::Sent)], None);
    let flushed = spool.flush();
    drop(spool);
    assert!(flushed.wait().is_err());
    disk.set_fault(|_| Fault::None);
    assert_eq!(open(&disk).load(id).unwrap().outcomes, [None]);
}

#[test]
fn administrators_wait_for_a_device_that_comes_back() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    let id = commit(&spool, 1, b"", false).unwrap();
    wait_for_spares(&disk);
    fail_once(&disk, |operation| matches!(operation, Operation::Sync(_)));
    spool.administer(id, Admin::Hold).wait().unwrap();
    drop(spool);
    assert!(open(&disk).summary(id).unwrap().held);
}

#[test]
fn short_writes_and_interruptions_are_no_failures() {
    let disk = SimDisk::new();
    // Creating, removing and syncing names are not interrupted.
    let mut count = 0;
    disk.set_fault(move |operation| {
        count += 1;
        match (count % 3, operation) {
            (0, Operation::Write(_) | Operation::Read(_)) => Fault::Short,
            (1, Operation::Write(_) | Operation::Read(_) | Operation::Sync(_)) => Fault::Error(EINTR),
            _ => Fault::None,
        }
    });
    let (options, events) = options_with_events(options());
    let spool = SegmentSpool::open_on(Arc::new(disk.clone()), options).unwrap();
    let ids: Vec<QueueId> =
        (0..30).map(|n| commit(&spool, 1, &vec![n; 700 * n as usize], false).unwrap()).collect();
    drop(spool);
    assert_eq!(Found::in_spool(&open(&disk)).unwrap().0.into_keys().collect::<Vec<_>>(), ids);
    assert_eq!(*events.lock().unwrap(), [""; 0]);
}

#[test]
fn a_body_that_cannot_be_synced_is_refused_and_removed() {
    type IsIt = fn(&Operation<'_>) -> bool;
    let sync: IsIt = |o| matches!(o, Operation::Sync(name) if name.starts_with("bodies/"));
    let folder: IsIt = |o| matches!(o, Operation::SyncFolder("bodies"));
    let write: IsIt = |o| matches!(o, Operation::Write(name) if name.starts_with("bodies/"));
    let create: IsIt = |o| matches!(o, Operation::Create(name) if name.starts_with("bodies/"));
    for is_it in [sync, folder, write, create] {
        let disk = SimDisk::new();
        let spool = open(&disk);
        let has_failed = fail_once(&disk, is_it);
        assert!(matches!(commit(&spool, 1, &[1; 50_000], false), Err(SpoolError::Device(_))));
        assert!(has_failed.load(SeqCst));
        let id = commit(&spool, 1, &[2; 50_000], false).unwrap();
        drop(spool);
        assert_eq!(Found::in_spool(&open(&disk)).unwrap().0.into_keys().collect::<Vec<_>>(), [id]);
        assert_eq!(disk.file_names().iter().filter(|name| name.starts_with("bodies/")).count(), 1);
    }
}

#[test]
fn a_full_disk_refuses_early_and_has_room_again() {
    let disk = SimDisk::new();
    disk.set_capacity(600 << 10);
    disk.forget();
    let spool = open(&disk);
    let mut taken = Vec::new();
    let mut refused = 0;
    for n in 0..16u8 {
        match begin(&spool, 1, &[n; 50_000], false, |_| {}) {
            Ok((id, durable)) => {
                durable.wait().unwrap();
                taken.push((id, n));
            }
            Err(error) => {
                assert!(matches!(error, SpoolError::NoSpace));
                refused += 1;
            }
        }
    }
    assert!(taken.len() >= 4 && refused >= 4, "{} taken, {refused} refused", taken.len());
    for (id, n) in &taken {
        let content = spool.load(*id).unwrap().content.to_bytes(100_000).unwrap();
        assert!(content.ends_with(&[*n; 50_000]));
    }
    // What is queued can be delivered, and then there is room.
    for (id, _) in &taken {
        spool.record(*id, &[outcome(0, 1, Fate::Sent)], None);
        spool.finish(*id);
    }
    spool.flush().wait().unwrap();
    let start = std::time::Instant::now();
    while commit(&spool, 1, &[1; 50_000], false).is_err() {
        assert!(start.elapsed().as_secs() < 20, "there is no room again");
    }
}

#[test]
fn a_queue_that_fills_the_disk_can_be_recorded_and_drained() {
    let disk = SimDisk::new();
    disk.set_capacity(2 << 20);
    disk.forget();
    let spool = open(&disk);
    let mut ids = Vec::new();
    loop {
        match commit(&spool, 1, &[1; 3000], false) {
            Ok(id) => ids.push(id),
            Err(SpoolError::NoSpace) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(ids.len() > 100);
    // Many more attempts than the disk could hold the records of.
    for round in 1..60 {
        for id in &ids {
            spool.record(*id, &[outcome(0, round, Fate::Deferred)], Some(Time::from_secs(round.into())));
        }
        spool.flush().wait().unwrap();
        assert!(!matches!(*spool.health().borrow(), Health::Failing(_)));
    }
    for id in &ids {
        assert_eq!(spool.load(*id).unwrap().outcomes, [Some(outcome(0, 59, Fate::Deferred))]);
        spool.finish(*id);
    }
    spool.flush().wait().unwrap();
    let start = std::time::Instant::now();
    while commit(&spool, 1, &[1; 3000], false).is_err() {
        assert!(start.elapsed().as_secs() < 20, "there is no room again");
    }
}

#[test]
fn without_inodes_small_messages_are_taken() {
    const ENOSPC: i32 = 28;
    let disk = SimDisk::new();
    let spool = open(&disk);
    wait_for_spares(&disk);
    disk.set_fault(|operation| match operation {
        Operation::Create(_) => Fault::Error(ENOSPC),
        _ => Fault::None,
    });
    assert!(matches!(commit(&spool, 1, &[1; 50_000], false), Err(SpoolError::NoSpace)));
    commit(&spool, 1, &[1; 500], false).unwrap();
}

#[test]
fn a_draft_gives_its_reservation_back() {
    let disk: SimDisk<Mark> = SimDisk::new();
    disk.set_capacity(4 << 20);
    let spool = open(&disk);
    wait_for_spares(&disk);
    for _ in 0..10 {
        let draft = spool.draft(crate::model::arrival(), 2 << 20).unwrap();
        assert!(matches!(spool.draft(crate::model::arrival(), 2 << 20), Err(SpoolError::NoSpace)));
        spool.commit(draft, envelope(1)).wait().unwrap();
    }
    for _ in 0..10 {
        drop(spool.draft(crate::model::arrival(), 2 << 20).unwrap());
    }
    let mut draft = spool.draft(crate::model::arrival(), 0).unwrap();
    let mut refused = false;
    for _ in 0..100 {
        refused |= draft.write(&[0; 100_000]).is_err();
    }
    assert!(refused, "a draft outgrew the disk");
}

#[test]
fn one_server_has_the_spool() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    let second = SegmentSpool::open_on(Arc::new(disk.clone()), options());
    assert!(matches!(second, Err(SpoolError::Locked)));
    let id = commit(&spool, 1, b"", false).unwrap();
    // Looking is allowed.
    assert_eq!(Found::on_disk(Arc::new(disk.clone())).unwrap().0.into_keys().collect::<Vec<_>>(), [id]);
    drop(spool);
    open(&disk);
}
