//! Kills at any moment, under load: what was acknowledged is never lost.
//!
//! Clients send numbered messages and note which were answered 250. After each kill the server is started again; at the end
//! the mailbox is compared with the ledger. Messages may arrive twice only if their delivery was under way at a kill.

use crate::client::Client;
use crate::{instance, mailbox};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::Instance;

/// Clients at a time.
const CLIENTS: usize = 4;
/// Kills: some of the whole system, some of the worker alone. `OXIPOST_KILLS` asks for more.
const KILLS: u32 = 8;

#[test]
fn nothing_acknowledged_is_lost() {
    let kills = std::env::var("OXIPOST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let instance = Arc::new(instance("local_destination_concurrency_limit = 2\n"));
    let mut server = instance.start().expect("started");
    let load = Load::start(&instance);
    for round in 0..kills {
        load.wait_for_progress(40);
        std::thread::sleep(Duration::from_millis(u64::from(7 * round % 40)));
        if round % 2 == 0 {
            server.kill_all().expect("killed");
            server = instance.start().expect("started again");
        } else {
            kill_worker(&server);
        }
    }
    load.wait_for_progress(40);
    let acknowledged = load.stop();

    let all_there = || acknowledged.iter().all(|n| arrived(&instance).contains_key(n));
    let complete = instance.wait_until(all_there);
    let arrived = arrived(&instance);
    let lost: Vec<&u32> = acknowledged.iter().filter(|n| !arrived.contains_key(n)).collect();
    let doubled: u32 = arrived.values().map(|count| count - 1).sum();
    println!("{} acknowledged, {} lost, {doubled} doubled, {kills} kills", acknowledged.len(), lost.len());
    assert!(complete && lost.is_empty(), "lost: {lost:?}\n{}", instance.log_text());
    // Two deliveries at a time, and what was recorded within the last 100 ms before a kill.
    let allowance = kills * 100;
    assert!(doubled <= allowance, "{doubled} doubled");
    server.stop().expect("stopped");
}

/// Clients that send until they are stopped.
struct Load {
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<u32>>>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(instance: &Arc<Instance>) -> Load {
        let (is_over, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let next = Arc::new(AtomicU32::new(0));
        let clients = (0..CLIENTS).map(|_| {
            let (instance, is_over, next) = (instance.clone(), is_over.clone(), next.clone());
            let acknowledged = acknowledged.clone();
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    if send_some(&instance, &next, &acknowledged, &is_over).is_err() {
                        // It was killed: it will be back.
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            })
        });
        Load { clients: clients.collect(), is_over, acknowledged }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("no panic").len()
    }

    fn wait_for_progress(&self, messages: usize) {
        let wanted = self.count() + messages;
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while self.count() < wanted {
            assert!(std::time::Instant::now() < deadline, "no progress");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(self) -> Vec<u32> {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no panic");
        }
        self.acknowledged.lock().expect("no panic").clone()
    }
}

fn send_some(
    instance: &Instance,
    next: &AtomicU32,
    acknowledged: &Mutex<Vec<u32>>,
    is_over: &AtomicBool,
) -> std::io::Result<()> {
    let mut client = Client::connect(instance.listens)?;
    client.say("EHLO client.example")?;
    let to = format!("{}@example.test", instance.user);
    while !is_over.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let body = "x".repeat(number as usize % 3000);
        let reply = client.send("a@client.example", &to, &format!("X-Number: {number}\r\n\r\n{body}"))?;
        if reply.starts_with("250 ") {
            acknowledged.lock().expect("no panic").push(number);
        }
    }
    Ok(())
}

/// Messages in the mailbox by their number, each whole.
fn arrived(instance: &Instance) -> BTreeMap<u32, u32> {
    let mut arrived = BTreeMap::new();
    for mail in mailbox(instance) {
        let line = mail.lines().find_map(|line| line.strip_prefix("X-Number: ")).expect("a number");
        let number: u32 = line.parse().expect("a number");
        let body = mail.split_once("\n\n").map_or("", |(_, body)| body);
        assert_eq!(body.trim_end().len(), number as usize % 3000, "message {number} is not whole");
        *arrived.entry(number).or_default() += 1;
    }
    arrived
}

/// Kills the worker alone: the parent starts another one.
fn kill_worker(server: &testkit::Server) {
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).expect("readable");
    for child in children.split_whitespace() {
        let pid: i32 = child.parse().expect("a number");
        let name = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if name.starts_with("oxipost-worker") {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
                .expect("killed");
        }
    }
}
