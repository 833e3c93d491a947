//! The queue on stable storage.
//!
//! `trait Spool` is what the rest of the system knows; the segment log is the real one, memory the one for tests.

use bytes::Bytes;
use mail::{Envelope, Outcome, QueueId, Time};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Resolves when what was handed over is on stable storage, or cannot be put there.
pub type Durable = Pin<Box<dyn Future<Output = Result<(), SpoolError>> + Send>>;

/// A store of messages that outlives crashes and power cuts.
///
/// Order of things: [`Spool::commit`] resolves before `250` is said; [`Spool::record`] is called before a delivery is
/// logged; a message is gone when [`Spool::finish`] was recorded. Recipients are delivered at least once.
pub trait Spool: Send + Sync {
    /// Starts a message: gives it a queue id and reserves room for `size_hint` octets (0: unknown).
    fn draft(&self, arrival: Time, size_hint: u64) -> Result<Draft, SpoolError>;

    /// Queues the message. The future resolves when it is durable. Dropping the future does not take the message back.
    fn commit(&self, draft: Draft, envelope: Envelope) -> Durable;

    /// Where committed messages are announced. Called once, by the queue manager, before messages are taken.
    fn arrivals(&self) -> tokio::sync::mpsc::UnboundedReceiver<Arrival>;

    /// Every message in the spool, without reading one.
    fn summaries(&self) -> Vec<Summary>;

    /// Reads a message. May block on the disk, unless the message is fresh.
    fn load(&self, id: QueueId) -> Result<Arc<Stored>, SpoolError>;

    /// Notes what became of recipients, and when the message is due again. Rides along with the next sync (at most 100 ms on).
    fn record(&self, id: QueueId, outcomes: &[Outcome], next_attempt: Option<Time>);

    /// Removes the message. Rides along like `record`.
    fn finish(&self, id: QueueId);

    /// Holds, releases, requeues or expires a message. The future resolves when that is durable.
    fn administer(&self, id: QueueId, action: Admin) -> Durable;

    /// Resolves when everything recorded so far is durable.
    fn flush(&self) -> Durable;
}

/// A message being received. Dropping it forgets it.
pub struct Draft {
    pub id: QueueId,
}

/// A message that has just been committed.
pub struct Arrival {
    pub id: QueueId,
    /// The message itself, while the cache of fresh messages has it.
    pub fresh: Option<Arc<Stored>>,
}

/// What memory holds of every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub id: QueueId,
    pub arrival: Time,
    /// None: never tried.
    pub next_attempt: Option<Time>,
    pub held: bool,
    pub expired: bool,
    pub size: u64,
    /// Recipients without a final fate.
    pub pending: u32,
}

/// A message as read from the spool.
#[derive(Debug)]
pub struct Stored {
    pub id: QueueId,
    pub envelope: Envelope,
    /// One for each recipient, in the envelope's order: its last outcome.
    pub outcomes: Vec<Option<Outcome>>,
    pub content: Content,
}

/// A message's header and body: lines end with CRLF, dots are not stuffed, the last line is ended.
#[derive(Clone, Debug)]
pub enum Content {
    Memory(Bytes),
}

/// What `postsuper` may do to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    Hold,
    Release,
    /// Route anew, as if it had just come.
    Requeue,
    /// Return to the sender at the next attempt.
    Expire,
    Delete,
}

/// Why the spool could not do it.
#[derive(Debug)]
pub enum SpoolError {
    /// No room now: 452.
    NoSpace,
    /// There is no such message.
    Unknown(QueueId),
    /// The record is damaged and was set aside.
    Damaged(QueueId),
    /// The device failed; the state of what was being written is unknown: 451.
    Device(std::io::Error),
}
