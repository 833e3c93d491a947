//! Measures a large queue: memory, listing, starting, draining.
//!
//!     cargo run --release -p spool --example spool_backlog -- [MESSAGES [FOLDER]]
#![allow(clippy::unwrap_used, reason = "a measurement that fails may panic")]

use mail::{Address, DsnStatus, Envelope, Fate, Outcome, QueueId, Recipient, Time};
use spool::{Durable, Options, ReadonlySpool, SegmentSpool, Spool};
use std::collections::VecDeque;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().map_or(100_000, |text| text.parse().unwrap());
    let folder = arguments.next().unwrap_or_else(|| format!("/var/tmp/spool_backlog.{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    println!("before: {} MiB resident", resident_mib());
    let start = Instant::now();
    let spool = SegmentSpool::open(&folder, Options::default()).unwrap();
    let ids = fill(&spool, count);
    report("queued and deferred once", count, start);
    let start = Instant::now();
    assert_eq!(spool.list().map(Result::unwrap).count() as u64, count);
    report("listed", count, start);
    let start = Instant::now();
    drop(spool);
    report("closed", count, start);
    let start = Instant::now();
    let spool = SegmentSpool::open(&folder, Options::default()).unwrap();
    report("opened", count, start);
    let mut draft = spool.draft(Time::from_secs(0), 0).unwrap();
    draft.write(b"x\r\n").unwrap();
    spool.commit(draft, envelope(0)).wait().unwrap();
    report("first message taken", count, start);
    assert!(spool.summaries().count() as u64 >= count);
    report("indexed", count, start);
    let start = Instant::now();
    assert!(ReadonlySpool::open(&folder).unwrap().list().count() as u64 >= count);
    report("opened by a tool and listed", count, start);
    let start = Instant::now();
    for id in ids {
        let stored = spool.load(id).unwrap();
        assert_eq!(stored.outcomes.len(), 1);
        spool.record(id, &[outcome(Fate::Sent, 2)], None);
        spool.finish(id);
    }
    spool.flush().wait().unwrap();
    report("loaded, recorded and finished", count, start);
    drop(spool);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Commits as a hundred sessions would, and defers every message.
fn fill(spool: &SegmentSpool, count: u64) -> Vec<QueueId> {
    let mut ids = Vec::new();
    let mut waiting: VecDeque<(QueueId, Durable)> = VecDeque::new();
    let body = [&[b'x'; 62][..], b"\r\n"].concat().repeat(15);
    let mut arrivals = spool.arrivals();
    for n in 0..count {
        let mut draft = spool.draft(Time::from_micros(n as i64 * 1000), 1024).unwrap();
        draft.write(&body).unwrap();
        let id = draft.id();
        waiting.push_back((id, spool.commit(draft, envelope(n))));
        ids.push(id);
        if waiting.len() == 100 {
            let (id, durable) = waiting.pop_front().unwrap();
            durable.wait().unwrap();
            spool.record(id, &[outcome(Fate::Deferred, n)], Some(Time::from_secs(2_000_000_000)));
        }
        while arrivals.try_recv().is_ok() {}
    }
    for (id, durable) in waiting {
        durable.wait().unwrap();
        spool.record(id, &[outcome(Fate::Deferred, 0)], Some(Time::from_secs(2_000_000_000)));
    }
    spool.flush().wait().unwrap();
    ids
}

fn envelope(n: u64) -> Envelope {
    let mut envelope = Envelope {
        sender: Address::from("sender@example.com"),
        recipients: vec![Recipient {
            address: Address::from(&*format!("recipient{n}@example{}.net", n % 1000)),
            ..Recipient::default()
        }],
        size: 1024,
        ..Envelope::default()
    };
    envelope.client.name = "client.example.com".into();
    envelope.client.address = "192.0.2.1".into();
    envelope
}

fn outcome(fate: Fate, n: u64) -> Outcome {
    Outcome {
        recipient: 0,
        fate,
        status: DsnStatus::new(if fate == Fate::Sent { 2 } else { 4 }, 4, 1),
        reason: format!("connect to mx{n}.example.net[192.0.2.25]:25: Connection refused"),
        remote_mta: None,
        diagnostic: None,
        at: Time::from_secs(1_700_000_000),
    }
}

fn report(what: &str, count: u64, start: Instant) {
    let elapsed = start.elapsed();
    let each = elapsed.as_secs_f64() * 1e6 / count as f64;
    println!("{what}: {:.3} s, {each:.2} us each, {} MiB resident", elapsed.as_secs_f64(), resident_mib());
}

/// Of this process.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() / 256
}
