//! Measures the spool alone: messages committed per second, syncs and CPU per message.
//!
//!     cargo run --release -p spool --example spool_bench -- [FOLDER [SECONDS [COMMITTERS]]]
//!
//! Tasks of a two-thread runtime draft, commit and wait; one more task takes each arrival, records it as sent and finishes it,
//! as a queue manager whose deliveries cost nothing would. FOLDER (default: a folder below /var/tmp) must be on the disk that
//! matters.
#![allow(clippy::unwrap_used, reason = "a measurement that fails may panic")]

use mail::{Address, DsnStatus, Envelope, Fate, Outcome, Recipient, Time};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use spool::disk::{Access, Disk, DiskFile, RealDisk};
use spool::{Options, SegmentSpool, Spool};
use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| format!("/var/tmp/spool_bench.{}", std::process::id()));
    let seconds = arguments.next().map_or(3.0, |text| text.parse().unwrap());
    let only: Option<usize> = arguments.next().map(|text| text.parse().unwrap());
    println!("committers  size/KiB  messages/s  syncs/message  CPU us/message  median ms  99% ms");
    for size in [1024, 10 * 1024] {
        for committers in [1, 20, 100].into_iter().filter(|n| only.is_none_or(|only| only == *n)) {
            let row = run(&folder, Duration::from_secs_f64(seconds), committers, size);
            println!(
                "{committers:10}  {:8}  {:10.0}  {:13.3}  {:14.1}  {:9.2}  {:6.2}",
                size / 1024,
                row.rate,
                row.syncs,
                row.cpu_micros,
                row.median_ms,
                row.worst_ms
            );
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

struct Row {
    rate: f64,
    syncs: f64,
    cpu_micros: f64,
    median_ms: f64,
    worst_ms: f64,
}

fn run(folder: &str, time: Duration, committers: usize, size: usize) -> Row {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    let disk = Arc::new(Counting { disk: RealDisk::new(folder), syncs: Arc::default() });
    let spool = Arc::new(SegmentSpool::open_on(disk.clone(), Options::default()).unwrap());
    // The spares are being made.
    std::thread::sleep(Duration::from_secs(1));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let consumer = runtime.spawn(consume(spool.clone()));
    let is_over = Arc::new(AtomicBool::new(false));
    let (syncs, cpu, start) = (disk.syncs.load(Relaxed), cpu_micros(), Instant::now());
    let tasks: Vec<_> =
        (0..committers).map(|_| runtime.spawn(produce(spool.clone(), size, is_over.clone()))).collect();
    std::thread::sleep(time);
    is_over.store(true, Relaxed);
    let mut latencies: Vec<Duration> = Vec::new();
    tasks.into_iter().for_each(|task| latencies.extend(runtime.block_on(task).unwrap()));
    let elapsed = start.elapsed();
    let (syncs, cpu) = (disk.syncs.load(Relaxed) - syncs, cpu_micros() - cpu);
    consumer.abort();
    latencies.sort_unstable();
    let count = latencies.len() as f64;
    let at = |share: f64| latencies[(count * share) as usize].as_secs_f64() * 1000.0;
    Row {
        rate: count / elapsed.as_secs_f64(),
        syncs: syncs as f64 / count,
        cpu_micros: cpu / count,
        median_ms: at(0.5),
        worst_ms: at(0.99),
    }
}

async fn produce(spool: Arc<SegmentSpool>, size: usize, is_over: Arc<AtomicBool>) -> Vec<Duration> {
    let line = [&[b'x'; 62][..], b"\r\n"].concat();
    let body = line.repeat(size / line.len());
    let mut latencies = Vec::new();
    while !is_over.load(Relaxed) {
        let start = Instant::now();
        let mut draft = spool.draft(now(), size as u64).unwrap();
        draft.head_mut().extend_from_slice(b"Received: from example.com\r\nSubject: test\r\n\r\n");
        draft.write(&body).unwrap();
        spool.commit(draft, envelope(size)).await.unwrap();
        latencies.push(start.elapsed());
    }
    latencies
}

async fn consume(spool: Arc<SegmentSpool>) {
    let mut arrivals = spool.arrivals();
    while let Some(arrival) = arrivals.recv().await {
        let outcome = Outcome {
            recipient: 0,
            fate: Fate::Sent,
            status: DsnStatus::new(2, 0, 0),
            reason: "250 2.0.0 Ok: queued as 12345".into(),
            remote_mta: Some("mx.example.com".into()),
            diagnostic: None,
            at: now(),
        };
        spool.record(arrival.id, &[outcome], None);
        spool.finish(arrival.id);
    }
}

fn envelope(size: usize) -> Envelope {
    let mut envelope = Envelope {
        sender: Address::from("sender@example.com"),
        recipients: vec![Recipient {
            address: Address::from("recipient@example.net"),
            ..Recipient::default()
        }],
        arrival: now(),
        size: size as u64,
        ..Envelope::default()
    };
    envelope.client.name = "client.example.com".into();
    envelope.client.address = "192.0.2.1".into();
    envelope.client.helo = "client.example.com".into();
    envelope.client.protocol = "ESMTP".into();
    envelope
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Time::from_micros(since.as_micros() as i64)
}

fn cpu_micros() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64
}

/// A disk that counts syncs.
struct Counting {
    disk: RealDisk,
    syncs: Arc<AtomicU64>,
}

struct CountingFile {
    file: Arc<dyn DiskFile>,
    syncs: Arc<AtomicU64>,
}

impl Counting {
    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(CountingFile { file, syncs: self.syncs.clone() })
    }
}

impl Disk for Counting {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.disk.create(name)?))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.disk.open(name, access)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        self.disk.create_folder(name)
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.names(folder)
    }

    fn sync_folder(&self, name: &str) -> io::Result<()> {
        self.syncs.fetch_add(1, Relaxed);
        self.disk.sync_folder(name)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock(name)
    }
}

impl DiskFile for CountingFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.file.write_at(parts, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Relaxed);
        self.file.sync()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}
