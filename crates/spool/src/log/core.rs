//! What the spool's threads and its callers share: the catalog, the queue of what is to be written, and chores.

use super::bodies::Waiting;
use super::catalog::{Catalog, Entry, Role};
use super::digest::MessageDigest;
use super::record::{Kind, Record};
use super::segment::Unsealed;
use super::space::{FreshRoom, Space};
use super::{Event, Options};
use crate::disk::Disk;
use crate::{Arrival, Health, Promise, SpoolError};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// How many serial numbers a segment's START record covers.
pub(crate) const SERIAL_BLOCK: u64 = 1 << 18;
/// After so many messages have gone the keeper looks for segments to collect.
const COLLECT_AFTER: usize = 4096;

pub(crate) struct Core {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) space: Arc<Space>,
    pub(crate) fresh: Arc<FreshRoom>,
    /// What all drafts hold in memory.
    pub(crate) draft_memory: AtomicUsize,
    /// Messages that are being written and will be committed soon, or dropped.
    pub(crate) open_drafts: AtomicUsize,
    pub(crate) next_serial: AtomicU64,
    /// Serial numbers from here on need a new START record.
    pub(crate) serial_limit: AtomicU64,
    pub(crate) is_long_id: AtomicBool,
    next_batch: AtomicU64,
    pub(crate) health: watch::Sender<Health>,
    state: Mutex<State>,
    pub(crate) writer_wake: Condvar,
    pub(crate) keeper_wake: Condvar,
    /// Told when the index has been read.
    pub(crate) indexed: Condvar,
    pub(crate) bodies: Mutex<Bodies>,
    pub(crate) bodies_wake: Condvar,
}

#[derive(Default)]
pub(crate) struct Bodies {
    pub(crate) queue: Vec<Waiting>,
    pub(crate) is_closing: bool,
}

pub(crate) struct State {
    pub(crate) catalog: Catalog,
    /// To be written, in this order.
    pub(crate) queue: VecDeque<Op>,
    /// Being written.
    pub(crate) in_flight: Arc<Vec<Op>>,
    next_seq: u64,
    /// How many in the queue somebody waits for.
    pub(crate) urgent: usize,
    /// When the oldest in the queue that nobody waits for came.
    pub(crate) riding_since: Option<Instant>,
    pub(crate) writer: WriterState,
    pub(crate) arrivals: mpsc::UnboundedSender<Arrival>,
    /// The other end of `arrivals`, until somebody asks for it.
    pub(crate) unclaimed: Option<mpsc::UnboundedReceiver<Arrival>>,
    pub(crate) chores: Chores,
    /// The messages that were there at the start are in the catalog.
    pub(crate) is_indexed: bool,
    pub(crate) is_closing: bool,
    pub(crate) is_keeper_closing: bool,
}

/// Whom a new entry of the queue has to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriterState {
    /// Nobody: it will look at the queue when it is done.
    Busy,
    /// It waits for anything.
    Idle,
    /// It waits for something urgent, or until what rides along has waited long enough.
    Dozing,
    /// It waits a moment until so many wait for it.
    Gathering { wanted: usize },
    /// The spool is closed: nothing is written any more.
    Gone,
}

/// What the keeper is to do.
#[derive(Default)]
pub(crate) struct Chores {
    pub(crate) unsealed: Vec<Unsealed>,
    /// Serial numbers of messages whose body files are no longer needed.
    pub(crate) bodies: Vec<u64>,
    /// Messages with too many STATE records.
    pub(crate) long_chains: Vec<u64>,
    pub(crate) gone: usize,
    pub(crate) is_due: bool,
}

/// Something to be written.
pub(crate) struct Op {
    pub(crate) serial: u64,
    pub(crate) task: Task,
    /// Who waits for it.
    pub(crate) promise: Option<Promise>,
}

pub(crate) enum Task {
    Message(Box<NewMessage>),
    /// A STATE or ADMIN record.
    State {
        record: Record,
        is_snapshot: bool,
    },
    Done,
    /// A message that could not be written: wherever its octets may be on the device, it does not count.
    Void {
        segment: u32,
        has_body: bool,
        /// Who is told why, once it is certain that the message will not come back.
        refused: Option<(Promise, SpoolError)>,
    },
    Flush,
}

pub(crate) struct NewMessage {
    pub(crate) record: Record,
    pub(crate) digest: MessageDigest,
    pub(crate) arrival: Arrival,
    /// The draft's room on the disk, until the message is durable.
    pub(crate) _reserved: Reserved,
}

/// Room on the disk that is given back when this is dropped.
pub(crate) struct Reserved {
    pub(crate) space: Arc<Space>,
    pub(crate) octets: u64,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.space.release(self.octets);
    }
}

impl Op {
    /// Whether it is written without waiting for something to ride along with.
    pub(crate) fn is_urgent(&self) -> bool {
        self.promise.is_some() || matches!(self.task, Task::Void { .. })
    }

    /// Tells whoever waits that it failed.
    pub(crate) fn fail(self, error: SpoolError) {
        if let Some(promise) = self.promise {
            promise.resolve(Err(error));
        }
        if let Task::Void { refused: Some((promise, error)), .. } = self.task {
            promise.resolve(Err(error));
        }
    }
}

impl Core {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: Options, next: Next) -> Core {
        let (arrivals, unclaimed) = mpsc::unbounded_channel();
        let state = State {
            catalog: Catalog::new(),
            queue: VecDeque::new(),
            in_flight: Arc::default(),
            next_seq: next.seq,
            urgent: 0,
            riding_since: None,
            writer: WriterState::Busy,
            arrivals,
            unclaimed: Some(unclaimed),
            chores: Chores::default(),
            is_indexed: false,
            is_closing: false,
            is_keeper_closing: false,
        };
        Core {
            disk,
            space: Arc::new(Space::new()),
            fresh: FreshRoom::new(options.fresh_max),
            draft_memory: AtomicUsize::new(0),
            open_drafts: AtomicUsize::new(0),
            next_serial: AtomicU64::new(next.serial),
            serial_limit: AtomicU64::new(next.serial),
            is_long_id: AtomicBool::new(options.long_queue_ids),
            next_batch: AtomicU64::new(next.batch),
            health: watch::Sender::new(Health::Good),
            state: Mutex::new(state),
            writer_wake: Condvar::new(),
            keeper_wake: Condvar::new(),
            indexed: Condvar::new(),
            bodies: Mutex::default(),
            bodies_wake: Condvar::new(),
            options,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held is a bug of ours; the catalog may be wrong, the log is not.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next_batch(&self) -> u64 {
        self.next_batch.fetch_add(1, Relaxed)
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.options.on_event)(event);
    }

    /// Puts something at the end of the queue, and wakes the writer if it has to know.
    pub(crate) fn push(&self, state: &mut State, mut op: Op) {
        if state.writer == WriterState::Gone {
            return op.fail(SpoolError::Closed);
        }
        if let Task::Message(new) = &mut op.task {
            new.record.seq = state.take_seq();
        } else if let Task::State { record, .. } = &mut op.task {
            record.seq = state.take_seq();
        }
        let is_urgent = op.is_urgent();
        if is_urgent {
            state.urgent += 1;
        } else if state.riding_since.is_none() {
            state.riding_since = Some(Instant::now());
        }
        state.queue.push_back(op);
        let must_wake = match state.writer {
            WriterState::Busy | WriterState::Gone => false,
            WriterState::Idle => true,
            WriterState::Dozing => is_urgent,
            WriterState::Gathering { wanted } => state.urgent >= wanted,
        };
        if must_wake {
            state.writer = WriterState::Busy;
            self.writer_wake.notify_one();
        }
    }

    /// Wakes the keeper if there is something for it.
    pub(crate) fn wake_keeper(&self, state: &mut State) {
        state.chores.is_due = true;
        self.keeper_wake.notify_one();
    }

    /// Waits until the messages that were there at the start are in the catalog.
    pub(crate) fn wait_until_indexed<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while !state.is_indexed && !state.is_closing {
            state = self.indexed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}

/// Where a log continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) serial: u64,
    pub(crate) batch: u64,
    pub(crate) seq: u64,
}

impl Next {
    /// Of an empty log.
    /// Serial numbers begin high: queue ids are then as long as Postfix's usually are, and have a letter in them, so that no
    /// reader of logs takes one for a number.
    pub(crate) const FIRST: Next = Next { serial: 0xA0_0000, batch: 1, seq: 1 };
}

impl State {
    pub(crate) fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// A message's STATE and ADMIN records that have no place yet, in order.
    pub(crate) fn unwritten_states(&self, serial: u64) -> Vec<Record> {
        let ops = self.in_flight.iter().chain(&self.queue);
        ops.filter(|op| op.serial == serial)
            .filter_map(|op| match &op.task {
                Task::State { record, .. } => Some(record.clone()),
                _ => None,
            })
            .collect()
    }

    /// Takes back a STATE record that has not been written, when what follows makes it needless. Only the newest entries of
    /// the queue are looked at.
    pub(crate) fn unpush_state(&mut self, serial: u64) {
        const LOOK_BACK: usize = 8;
        let first = self.queue.len().saturating_sub(LOOK_BACK);
        let is_needless = |op: &Op| {
            let Task::State { record, .. } = &op.task else { return false };
            op.serial == serial && record.kind == Kind::State && op.promise.is_none()
        };
        if let Some(n) = (first..self.queue.len()).rev().find(|n| is_needless(&self.queue[*n])) {
            self.queue.remove(n);
        }
    }

    /// Takes the promises of refused messages, although it is not certain that they will not come back.
    pub(crate) fn take_refused(&mut self) -> Vec<(Promise, SpoolError)> {
        let refused = |op: &mut Op| match &mut op.task {
            Task::Void { refused, .. } => refused.take(),
            _ => None,
        };
        self.queue.iter_mut().filter_map(refused).collect()
    }

    /// Whether the keeper should be woken because much has gone.
    pub(crate) fn note_gone(&mut self, count: usize) -> bool {
        self.chores.gone += count;
        let is_much = self.chores.gone >= COLLECT_AFTER;
        if is_much {
            self.chores.gone = 0;
        }
        is_much
    }

    pub(crate) fn set_role(&mut self, segment: u32, role: Role) {
        if let Some(state) = self.catalog.segments.get_mut(&segment) {
            state.set_role(role);
        }
    }
}

/// For an entry whose MESSAGE record is durable.
pub(crate) fn entry_of(new: &NewMessage, place: super::catalog::Place) -> Entry {
    Entry::new(&new.digest, place, true)
}
