//! Address verification (verify(8)): probes on demand, and a memory of what they found that outlives the process.
//!
//! What counts and for how long is `qmgr::verify`'s. Here the probes are put into the queue, and the memory is written to
//! `address_verify_map`: whole, a moment after something has changed, and at the end.

use super::build::{Build, Opener};
use super::clock;
use intake::cleanup::{Incoming, Options, Received};
use intake::enqueue::{self, Entry};
use intake::smtpd::Verify;
use logger::Logger;
use mail::{Address, Envelope, Fate, Origin, Recipient, Time};
use params::service;
use policy::Verified;
use qmgr::Probed;
use qmgr::verify::{Cache, Lifetimes, Status, probe_sender};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tables::OpenContext;
use tables::edit::{Editor, Mode};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// The queue manager's attribute of a probe: Postfix's DEL_REQ_FLAG_MTA_VRFY.
const TRACE_FLAGS: &[u8] = b"256";
/// How long changes are gathered before they are written. A large memory is written more seldom: the device is to be busy
/// with it a tenth of the time at most.
const SAVE_DELAY: Duration = Duration::from_secs(1);
const SAVE_SHARE: u32 = 10;

/// Answers sessions, and hears of probes' ends.
pub(super) struct Verifier {
    cache: Mutex<Cache>,
    current: RwLock<Option<Arc<Current>>>,
    probes: UnboundedSender<Address>,
    changed: Notify,
}

/// Addresses that are to be probed.
pub(super) struct Probes(UnboundedReceiver<Address>);

/// What a reload replaces.
pub(super) struct Current {
    lifetimes: Lifetimes,
    address_verify_sender: String,
    address_verify_sender_ttl: Duration,
    address_verify_cache_cleanup_interval: Duration,
    store: Option<Store>,
    enqueue: enqueue::Context,
    log: Logger,
}

/// The database file of `address_verify_map`.
#[derive(Clone)]
struct Store {
    kind: String,
    path: String,
    context: OpenContext,
}

impl Current {
    pub(super) fn read(build: &mut Build, enqueue: &enqueue::Context) -> Current {
        let v: service::Verify = build.load();
        let sender = &v.address_verify_sender;
        for (place, is_bad) in [("start", sender.starts_with('@')), ("end", sender.ends_with('@'))] {
            if is_bad {
                build.fail(format!(
                    "parameter address_verify_sender: value \"{sender}\" must not {place} with '@'"
                ));
            }
        }
        Current {
            lifetimes: Lifetimes {
                positive_expire_time: v.address_verify_positive_expire_time,
                positive_refresh_time: v.address_verify_positive_refresh_time,
                negative_expire_time: v.address_verify_negative_expire_time,
                negative_refresh_time: v.address_verify_negative_refresh_time,
                negative_cache: v.address_verify_negative_cache,
            },
            address_verify_sender: v.address_verify_sender,
            address_verify_sender_ttl: v.address_verify_sender_ttl,
            address_verify_cache_cleanup_interval: v.address_verify_cache_cleanup_interval,
            store: Store::named(build, &v.address_verify_map),
            enqueue: enqueue.clone(),
            log: build.service_log("verify"),
        }
    }
}

impl Verifier {
    /// Knows nothing until it is told what is in force.
    pub(super) fn new() -> (Arc<Verifier>, Probes) {
        let (probes, asked) = mpsc::unbounded_channel();
        let (cache, current) = (Mutex::default(), RwLock::default());
        let verifier = Verifier { cache, current, probes, changed: Notify::new() };
        (Arc::new(verifier), Probes(asked))
    }

    /// Sends probes, and keeps what they find.
    pub(super) async fn run(self: Arc<Verifier>, probes: Probes) {
        tokio::join!(self.send_probes(probes), self.keep());
    }

    /// From now on. What was found in earlier runs is read where the map is another one.
    pub(super) fn replace(&self, next: Arc<Current>) {
        let old = self.current();
        if old.and_then(|old| old.store_name()) != next.store_name() {
            *self.cache() = next.restored();
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }

    /// Writes what has changed. May block on the disk.
    pub(super) fn save(&self) {
        let Some(current) = self.current() else { return };
        let Some(entries) = self.cache().changed() else { return };
        let Some(store) = &current.store else { return };
        if let Err(why) = store.write(&entries) {
            current.log.warning(format_args!("{why}"));
        }
    }

    /// Puts probes into the queue, one after the other.
    async fn send_probes(&self, Probes(mut asked): Probes) {
        while let Some(address) = asked.recv().await {
            let Some(current) = self.current() else { continue };
            if let Err(why) = probe(&current, address).await {
                current.log.warning(format_args!("cannot queue an address verification probe: {why}"));
            }
        }
    }

    /// Writes changes down, and clears up from time to time.
    async fn keep(self: &Arc<Verifier>) {
        loop {
            let interval =
                self.current().map(|c| c.address_verify_cache_cleanup_interval).unwrap_or_default();
            tokio::select! {
                () = self.changed.notified() => tokio::time::sleep(SAVE_DELAY).await,
                () = tokio::time::sleep(interval), if !interval.is_zero() => self.clean_up(),
            }
            let saver = self.clone();
            let begun = std::time::Instant::now();
            // It may have panicked: the next change is written again.
            let _ = tokio::task::spawn_blocking(move || saver.save()).await;
            tokio::time::sleep(begun.elapsed() * SAVE_SHARE).await;
        }
    }

    fn clean_up(&self) {
        if let Some(current) = self.current() {
            self.cache().clean_up(&current.lifetimes, clock::now());
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Arc<Current>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Verify for Verifier {
    fn verify(&self, address: &Address) -> Verified {
        let Some(current) = self.current() else { return Verified::Pending(String::new()) };
        let answer = self.cache().query(address.as_bytes(), &current.lifetimes, clock::now());
        if answer.needs_probe {
            self.changed.notify_one();
            // The task ends with the system.
            let _ = self.probes.send(address.clone());
        }
        match answer.status {
            Status::Deliverable => Verified::Deliverable,
            Status::Deferred => Verified::Deferred(answer.text),
            Status::Undeliverable => Verified::Undeliverable(answer.text),
            Status::Pending => Verified::Pending(answer.text),
        }
    }
}

impl Probed for Verifier {
    fn probed(&self, address: &Address, fate: Fate, reason: &str) {
        self.cache().update(address.as_bytes(), fate, reason, clock::now());
        self.changed.notify_one();
    }
}

/// A message without content: it is never delivered.
async fn probe(current: &Current, address: Address) -> Result<(), String> {
    let arrival = clock::now();
    let draft = current.enqueue.spool.draft(arrival, 0).map_err(|e| e.to_string())?;
    let incoming = incoming(current, draft.id(), arrival, address);
    let entry = Entry::begin(&current.enqueue, draft, incoming).await;
    entry.finish().await.map(drop).map_err(|e| e.to_string())
}

fn incoming(current: &Current, id: mail::QueueId, arrival: Time, address: Address) -> Incoming {
    let sender = probe_sender(&current.address_verify_sender, current.address_verify_sender_ttl, arrival);
    let envelope = Envelope {
        sender: sender.as_str().into(),
        recipients: vec![Recipient { address, ..Recipient::default() }],
        arrival,
        origin: Origin::Internal,
        rewrite_local: true,
        extra: vec![("trace_flags".to_owned(), bytes::Bytes::from_static(TRACE_FLAGS))],
        ..Envelope::default()
    };
    Incoming {
        id,
        now: arrival,
        prepend: Vec::new(),
        received: Received::Internal,
        date: clock::date(arrival),
        full_name: None,
        envelope,
        options: Options::INTERNAL,
    }
}

impl Current {
    fn store_name(&self) -> Option<(String, String)> {
        self.store.as_ref().map(|store| (store.kind.clone(), store.path.clone()))
    }

    fn restored(&self) -> Cache {
        let mut cache = Cache::default();
        if let Some(store) = &self.store {
            store.read(&mut |key, value| {
                // Postfix's own note of when it cleared up last.
                if !cache.restore(key, value) && !key.starts_with(b"_LAST_CACHE_CLEANUP") {
                    let value = String::from_utf8_lossy(value);
                    self.log.warning(format_args!("bad address verify table entry: {value:.100}"));
                }
            });
        }
        cache
    }
}

impl Store {
    /// None: nothing is kept (`address_verify_map` is empty), or cannot be.
    fn named(build: &mut Build, address_verify_map: &str) -> Option<Store> {
        let spec = address_verify_map.trim();
        let (kind, path) = spec.strip_prefix("proxy:").unwrap_or(spec).split_once(':')?;
        if !matches!(kind, "btree" | "hash" | "lmdb") {
            build.warn(format!(
                "address_verify_map: a table of type {kind} cannot keep results: they are kept in memory"
            ));
            return None;
        }
        let context =
            OpenContext::new(open_file(build.opener.clone()), Arc::new(|_: tables::Severity, _: &str| {}));
        Some(Store { kind: kind.to_owned(), path: path.to_owned(), context })
    }

    /// A file that is not there, or no table, holds nothing.
    fn read(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        if let Ok(table) = tables::open(&format!("{}:{}", self.kind, self.path), &self.context) {
            // What cannot be read is probed again.
            let _ = table.visit(visit);
        }
    }

    fn write(&self, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), String> {
        let mut editor =
            Editor::open(&self.kind, &self.path, Mode::Create, &self.context).map_err(|e| e.to_string())?;
        for (key, value) in entries {
            editor.put_raw(key, value).map_err(|e| e.to_string())?;
        }
        editor.commit().map_err(|e| e.to_string())?;
        // As Postfix's: `postmap -s` may be anybody's.
        let file = format!("{}.{}", self.path, if self.kind == "lmdb" { "lmdb" } else { "db" });
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).map_err(|e| format!("{file}: {e}"))
    }
}

fn open_file(opener: Opener) -> tables::OpenFile {
    Arc::new(move |path: &Path| opener.open(path))
}
