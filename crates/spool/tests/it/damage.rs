//! Octets rot, files are cut off or replaced: one message suffers at most, nothing panics or hangs, and what is damaged is set
//! aside.

use crate::crash::Driver;
use crate::model::{Mark, arrival, commit, content, options, options_with_events, outcome};
use crate::sim_disk::{SimDisk, Unsynced, crashed};
use mail::{Fate, QueueId};
use spool::{Listed, ReadonlySpool, SegmentSpool, Spool, SpoolError};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// What a message looks like when it is whole.
#[derive(Clone, Debug, PartialEq)]
struct Whole {
    listed: Listed,
    content: Vec<u8>,
}

/// Some messages, with and without history and body file; sealed by a clean stop, or not.
fn disk(is_sealed: bool) -> SimDisk<Mark> {
    let mut driver = Driver::new(SimDisk::new());
    for n in 0..6u8 {
        let size = if n == 4 { 20_000 } else { 100 + 700 * usize::from(n) };
        let id = driver.commit(2, vec![n; size], n == 2);
        if n % 2 == 0 {
            driver.record(id, 0, Fate::Deferred);
            driver.record(id, 1, Fate::Sent);
        }
        if n == 3 {
            driver.append(id, 3);
        }
        if n == 5 {
            driver.finish(id);
        }
        driver.flush();
    }
    let steps = driver.disk.steps();
    let disk = driver.disk.clone();
    drop(driver);
    if is_sealed { disk.copy() } else { crashed(&steps, Unsynced::Lost) }
}

fn whole(disk: &SimDisk<Mark>) -> BTreeMap<QueueId, Whole> {
    let spool = ReadonlySpool::open_on(Arc::new(disk.clone())).unwrap();
    let all = spool.list().map(|listed| {
        let listed = listed.unwrap();
        let content = spool.load(listed.summary.id).unwrap().content.to_bytes(1 << 20).unwrap().to_vec();
        (listed.summary.id, Whole { listed, content })
    });
    all.collect()
}

/// The messages that can be read, however the spool looks.
fn readable(spool: &SegmentSpool) -> BTreeMap<QueueId, Whole> {
    spool.wait_until_indexed();
    let mut found = BTreeMap::new();
    for listed in spool.list().flatten() {
        let mut content = Vec::new();
        let Ok(stored) = spool.load(listed.summary.id) else { continue };
        if stored.content.reader().read_to_end(&mut content).is_ok() {
            found.insert(listed.summary.id, Whole { listed, content });
        }
    }
    found
}

fn readable_by_tools(disk: &SimDisk<Mark>) -> BTreeMap<QueueId, Whole> {
    let spool = ReadonlySpool::open_on(Arc::new(disk.clone())).unwrap();
    let mut found = BTreeMap::new();
    for listed in spool.list().flatten() {
        let mut content = Vec::new();
        let Ok(stored) = spool.load(listed.summary.id) else { continue };
        if stored.content.reader().read_to_end(&mut content).is_ok() {
            found.insert(listed.summary.id, Whole { listed, content });
        }
    }
    found
}

/// How many messages differ. One that is back from the dead counts.
fn suffering(expect: &BTreeMap<QueueId, Whole>, found: &BTreeMap<QueueId, Whole>) -> usize {
    let lost = expect.iter().filter(|(id, message)| found.get(id) != Some(message)).count();
    lost + found.keys().filter(|id| !expect.contains_key(id)).count()
}

/// Files with records, and how much of them is used.
fn used_files(disk: &SimDisk<Mark>) -> Vec<(String, usize)> {
    let names = disk.file_names().into_iter().filter(|name| !name.starts_with("lock"));
    let used = |octets: Vec<u8>| octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    names.map(|name| (name.clone(), used(disk.read_file(&name).unwrap()))).collect()
}

#[test]
fn a_damaged_octet_costs_one_message_at_most() {
    for is_sealed in [true, false] {
        let disk = disk(is_sealed);
        let expect = whole(&disk);
        assert_eq!(expect.len(), 5);
        for (name, used) in used_files(&disk) {
            for at in (0..used).step_by(61) {
                let damaged = disk.copy();
                damaged.change_file(&name, |octets| octets[at] ^= 0x55);
                let found = readable_by_tools(&damaged);
                let cost = suffering(&expect, &found);
                assert!(cost <= 1, "octet {at} of {name} (sealed: {is_sealed}) costs {cost} messages");
            }
        }
    }
}

#[test]
fn a_server_sets_damage_aside_and_goes_on() {
    for is_sealed in [true, false] {
        let disk = disk(is_sealed);
        let expect = whole(&disk);
        for (name, used) in used_files(&disk) {
            for at in (0..used).step_by(997) {
                let damaged = disk.copy();
                damaged.change_file(&name, |octets| octets[at] ^= 0x55);
                let moment = format!("octet {at} of {name} (sealed: {is_sealed})");
                let (options, events) = options_with_events(options());
                let spool = SegmentSpool::open_on(Arc::new(damaged.clone()), options).unwrap();
                let found = readable(&spool);
                assert!(suffering(&expect, &found) <= 1, "{moment}");
                let new = commit(&spool, 1, b"new", false).unwrap();
                let lost = expect.keys().find(|id| !found.contains_key(id));
                drop(spool);
                if let Some(lost) = lost {
                    let aside = damaged.file_names().iter().any(|name| name.starts_with("corrupt/"));
                    let is_torn = !is_sealed && events.lock().unwrap().is_empty();
                    assert!(
                        aside || is_torn || name.starts_with("bodies/"),
                        "{moment}: {lost} is lost without a trace"
                    );
                }
                let spool = SegmentSpool::open_on(Arc::new(damaged), crate::model::options()).unwrap();
                let again = readable(&spool);
                assert!(again.contains_key(&new), "{moment}");
                assert!(suffering(&found, &again) <= 2, "{moment}: it gets worse");
            }
        }
    }
}

#[test]
fn damage_in_the_middle_is_told_and_its_octets_are_kept() {
    let disk = disk(false);
    let expect = whole(&disk);
    // The first message's record, in the middle of the segment.
    let (name, at) = find(&disk, &content(&[0; 100]));
    disk.change_file(&name, |octets| octets[at + 20] ^= 1);
    let (options, events) = options_with_events(options());
    let spool = SegmentSpool::open_on(Arc::new(disk.clone()), options).unwrap();
    assert_eq!(readable(&spool).len(), expect.len() - 1);
    drop(spool);
    let events = events.lock().unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    let saved = disk.file_names().into_iter().find(|name| name.starts_with("corrupt/")).unwrap();
    assert!(events[0].contains(&saved), "{events:?}");
    let octets = disk.read_file(&saved).unwrap();
    assert!(octets.windows(50).any(|window| window == [0; 50]));
    // It is told once.
    let (options, events) = options_with_events(crate::model::options());
    drop(SegmentSpool::open_on(Arc::new(disk), options).unwrap());
    assert_eq!(*events.lock().unwrap(), [""; 0]);
}

#[test]
fn a_message_found_damaged_when_it_is_read_is_set_aside() {
    let disk = disk(true);
    let (name, at) = find(&disk, &content(&[1; 800]));
    disk.change_file(&name, |octets| octets[at + 500] ^= 1);
    let (options, events) = options_with_events(options());
    let spool = SegmentSpool::open_on(Arc::new(disk.clone()), options).unwrap();
    // Its digest and envelope are whole, so it is still listed.
    let ids: Vec<QueueId> = spool.list().map(|listed| listed.unwrap().summary.id).collect();
    let damaged: Vec<&QueueId> = ids.iter().filter(|id| spool.load(**id).is_err()).collect();
    let [id] = damaged[..] else { panic!("{damaged:?}") };
    assert!(matches!(spool.load(*id), Err(SpoolError::Unknown(_))), "it is in the queue no more");
    let octets = disk.read_file(&format!("corrupt/{id}")).unwrap();
    assert!(octets.windows(100).any(|window| window == [1; 100]));
    assert!(events.lock().unwrap()[0].contains(id.as_str()));
    drop(spool);
    let spool = SegmentSpool::open_on(Arc::new(disk), crate::model::options()).unwrap();
    assert!(spool.summary(*id).is_none());
}

#[test]
fn a_damaged_body_file_is_noticed_before_its_end_and_can_be_set_aside() {
    let disk = disk(true);
    let name = disk.file_names().into_iter().find(|name| name.starts_with("bodies/")).unwrap();
    disk.change_file(&name, |octets| octets[100] ^= 1);
    let (options, events) = options_with_events(options());
    let spool = SegmentSpool::open_on(Arc::new(disk.clone()), options).unwrap();
    let ids: Vec<QueueId> = spool.list().map(|listed| listed.unwrap().summary.id).collect();
    let is_large = |id: &&QueueId| spool.load(**id).unwrap().content.len() > 10_000;
    let id = *ids.iter().find(is_large).unwrap();
    let content = spool.load(id).unwrap().content.clone();
    let mut octets = Vec::new();
    let error = content.reader().read_to_end(&mut octets).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert!((octets.len() as u64) < content.len());
    spool.set_aside(id).unwrap();
    assert_eq!(disk.read_file(&format!("corrupt/{id}.body")).unwrap().len(), 20_000);
    assert_eq!(events.lock().unwrap().len(), 1);
}

#[test]
fn a_damaged_history_is_forgotten_and_the_message_kept() {
    let disk = SimDisk::new();
    let spool = SegmentSpool::open_on(Arc::new(disk.clone()), options()).unwrap();
    let id = commit(&spool, 2, b"x", false).unwrap();
    let reason = outcome(0, 123_456_789, Fate::Deferred);
    spool.record(id, std::slice::from_ref(&reason), None);
    spool.flush().wait().unwrap();
    drop(spool);
    let (name, at) = find(&disk, b"123456789");
    disk.change_file(&name, |octets| octets[at] ^= 1);
    let (options, events) = options_with_events(options());
    let spool = SegmentSpool::open_on(Arc::new(disk.clone()), options).unwrap();
    assert_eq!(spool.load(id).unwrap().outcomes, [None, None]);
    assert_eq!(spool.list().map(Result::unwrap).count(), 1);
    assert!(events.lock().unwrap()[0].contains("delivery record"), "{events:?}");
    assert!(disk.file_names().iter().any(|name| name.starts_with("corrupt/")));
}

#[test]
fn cut_files_keep_what_is_before_the_cut() {
    let disk = disk(false);
    let expect = whole(&disk);
    for (name, used) in used_files(&disk) {
        for part in 0..=10 {
            let cut = disk.copy();
            cut.change_file(&name, |octets| octets.truncate(used * part / 10));
            let spool = SegmentSpool::open_on(Arc::new(cut), options()).unwrap();
            let found = readable(&spool);
            for (id, message) in &found {
                let original = expect.get(id);
                assert!(
                    original.is_none_or(|m| m.content == message.content),
                    "{name} {part}: {id} is not whole"
                );
            }
            commit(&spool, 1, b"new", false).unwrap();
        }
    }
}

#[test]
fn strange_things_in_the_place_of_segments_are_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let spool = SegmentSpool::open(folder.path(), options()).unwrap();
    let id = commit(&spool, 1, b"x", false).unwrap();
    drop(spool);
    let segments = folder.path().join("segments");
    std::fs::create_dir(segments.join("00000101")).unwrap();
    std::os::unix::fs::symlink("/dev/null", segments.join("00000102")).unwrap();
    nix::unistd::mkfifo(&segments.join("00000103"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::write(segments.join("notes.txt"), b"?").unwrap();
    std::fs::write(folder.path().join("bodies/0"), b"?").unwrap();
    let (options, events) = options_with_events(options());
    let spool = SegmentSpool::open(folder.path(), options).unwrap();
    assert!(spool.load(id).is_ok());
    commit(&spool, 1, b"y", false).unwrap();
    drop(spool);
    let events = events.lock().unwrap();
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(segments.join("00000101").is_dir() && segments.join("notes.txt").exists());
}

#[test]
fn another_version_is_not_touched() {
    let disk = disk(true);
    let name = disk.file_names().into_iter().find(|name| name.starts_with("segments/")).unwrap();
    disk.change_file(&name, |octets| {
        octets[8] = 99;
        let crc = crc32c::crc32c(&octets[..24]);
        octets[24..28].copy_from_slice(&crc.to_le_bytes());
    });
    let before = disk.read_file(&name);
    let opened = SegmentSpool::open_on(Arc::new(disk.clone()), options());
    assert!(matches!(opened.err(), Some(SpoolError::Format(text)) if text.contains("99")));
    assert_eq!(disk.read_file(&name), before);
}

/// Where octets stand on the disk.
fn find(disk: &SimDisk<Mark>, octets: &[u8]) -> (String, usize) {
    for name in disk.file_names() {
        let file = disk.read_file(&name).unwrap();
        if let Some(at) = file.windows(octets.len()).position(|window| window == octets) {
            return (name, at);
        }
    }
    panic!("nowhere at {:?}", arrival());
}
