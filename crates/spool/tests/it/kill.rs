//! A process that uses a spool on the real disk is killed (-9) under load, again and again: what it was told is durable is
//! there.

use crate::model::{commit, options, outcome};
use crate::sim_disk::Random;
use mail::{Fate, QueueId};
use spool::{Options, SegmentSpool, Spool};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Names the folder for the process that is to be killed.
const FOLDER: &str = "SPOOL_KILL_FOLDER";
const ROUNDS: u64 = 10;

/// Told apart from an ordinary test by its environment: this is the process that is killed.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let spool = SegmentSpool::open(folder, Options { segment_size: 256 << 10, ..options() }).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let spool = &spool;
            scope.spawn(move || work(spool, &mut Random(thread)));
        }
    });
}

/// Tells on standard output, one line each: `+ID` when a message is durable, `-ID` before it is finished.
fn work(spool: &SegmentSpool, random: &mut Random) {
    let tell = |line: String| {
        // One write, so that lines are whole.
        std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes()).unwrap();
    };
    loop {
        let size = if random.is(10) { 20_000 } else { random.below(4000) };
        let id = commit(spool, 1, &vec![size as u8; size as usize], false).unwrap();
        tell(format!("+{id}"));
        spool.record(id, &[outcome(0, 1, Fate::Deferred)], None);
        if random.is(70) {
            tell(format!("-{id}"));
            spool.finish(id);
        }
    }
}

#[test]
fn nothing_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(std::process::id().into());
    let mut living: BTreeSet<QueueId> = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut child = start(folder.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kill_after = 100 + random.below(600);
        for (n, line) in lines.map_while(Result::ok).enumerate() {
            if n as u64 == kill_after {
                child.kill().unwrap();
            }
            match line.split_at_checked(1) {
                Some(("+", id)) => living.extend(QueueId::parse(id.as_bytes())),
                Some(("-", id)) => {
                    let id = QueueId::parse(id.as_bytes()).unwrap();
                    living.remove(&id);
                }
                _ => {}
            }
        }
        child.wait().unwrap();
        let spool = SegmentSpool::open(folder.path(), options()).unwrap();
        spool.wait_until_indexed();
        let found: BTreeSet<QueueId> = spool.summaries().map(|summary| summary.id).collect();
        assert!(found.iter().all(|id| spool.load(*id).is_ok()), "round {round}");
        let lost: Vec<_> = living.difference(&found).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        // What was being handed over, or was finished in the last moments, may be there too: go on with that.
        living = found;
        if round % 2 == 1 {
            living.iter().for_each(|id| spool.finish(*id));
            living.clear();
        }
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::victim", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
