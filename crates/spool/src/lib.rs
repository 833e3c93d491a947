//! The queue on stable storage: nothing acknowledged is ever lost.
//!
//! [`Spool`] is what the rest of the system knows. [`MemorySpool`] is the one for tests; one suite
//! (`tests/it/conformance.rs`) holds every implementation to the same contract. The maildrop is here too, but is no part
//! of the queue: it is the letter box that `pickup` empties into it. How it lies on the disk, what is synced when, and
//! the numbered invariants: docs/queue.md.

mod codec;
mod content;
pub mod control;
pub mod disk;
mod draft;
mod durable;
mod error;
mod log;
pub mod maildrop;
pub mod master_lock;
mod memory;
mod message;
pub mod showq;
mod wire;

pub use content::{Content, ContentFile, ContentReader};
pub use draft::{Backing, Draft, DraftParts, DraftReader, Overflow};
pub use durable::{Durable, Promise};
pub use error::{Health, SpoolError};
pub use log::{Event, Options, ReadonlySpool, SegmentSpool, fuzz_segment};
pub use memory::MemorySpool;
pub use message::{Admin, Arrival, Listed, Stored, Summary};

use mail::{Envelope, Outcome, QueueId, Recipient, Time};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long recorded progress may stay undurable while the device works.
pub const RIDE_ALONG: Duration = Duration::from_millis(100);

/// A store of messages that outlives crashes and power cuts.
///
/// # The order of things
///
/// 1. `250` is said after the [`Durable`] of [`Spool::commit`] resolved with `Ok`. After `Err` the message is not in the
///    queue, now or after a restart.
/// 2. A committed message is announced once: on [`Spool::arrivals`], or, if it was there when the spool was opened, in
///    [`Spool::summaries`].
/// 3. A delivery is recorded ([`Spool::record`]) before it is logged; a message is gone once [`Spool::finish`] is durable.
/// 4. What is recorded is visible to [`Spool::load`] and [`Spool::list`] at once, and durable with the next sync, which is
///    at most [`RIDE_ALONG`] away while the device works. A crash before that forgets it: recipients are
///    delivered at least once.
/// 5. What is recorded of one message becomes durable in that order, and a finish never before anything that was handed over
///    earlier.
///
/// # Blocking
///
/// `commit`, `record`, `append_recipients`, `mark_warned`, `finish`, `administer` and `flush` never wait for the device.
/// `load`, `list` and `summaries` may read from it: call them where blocking is allowed. In the first moments after a start,
/// while the index is still being read, every call about a message that is not known yet waits for that.
/// The returned [`Durable`]s work on any async runtime and on none ([`Durable::wait`]).
///
/// # Several nodes
///
/// A spool shows only the messages this node owns. Nothing here tells where they are kept.
pub trait Spool: Send + Sync {
    /// Starts a message: gives it a queue id, which no other message of this spool has or had, and reserves room for
    /// `size_hint` octets (0: unknown). Writes nothing. [`SpoolError::NoSpace`] (452) comes early: room is kept so that
    /// what is queued can always be recorded and drained.
    fn draft(&self, arrival: Time, size_hint: u64) -> Result<Draft, SpoolError>;

    /// Queues the message. Dropping the future does not take the message back.
    fn commit(&self, draft: Draft, envelope: Envelope) -> Durable;

    /// Where committed messages are announced, in the order in which they became durable. For the queue manager, before
    /// messages are taken; a second call takes the announcements away from the first caller.
    fn arrivals(&self) -> mpsc::UnboundedReceiver<Arrival>;

    /// The messages that were in the spool when it was opened and still are. Reads no message. Blocks while the spool's
    /// index is still being read; messages can be taken meanwhile.
    fn summaries(&self) -> Box<dyn Iterator<Item = Summary> + Send>;

    /// What is known of one message.
    fn summary(&self, id: QueueId) -> Option<Summary>;

    /// Reads a message. A damaged one is set aside (rule: never the store, never in silence) and is no longer in the
    /// queue after [`SpoolError::Damaged`].
    fn load(&self, id: QueueId) -> Result<Arc<Stored>, SpoolError>;

    /// Notes what became of recipients, and when the message is due again (None: as before). A later outcome of the same
    /// recipient replaces an earlier one. Of an unknown message: ignored, it was deleted meanwhile.
    fn record(&self, id: QueueId, outcomes: &[Outcome], next_attempt: Option<Time>);

    /// Adds recipients (an alias was expanded while delivering) and notes, in the same atomic step, what became of the
    /// recipients they come from. Gives the new recipients' indexes.
    fn append_recipients(
        &self,
        id: QueueId,
        recipients: &[Recipient],
        outcomes: &[Outcome],
    ) -> Result<Range<u32>, SpoolError>;

    /// Notes that the sender was told of the delay (`delay_warning_time`).
    fn mark_warned(&self, id: QueueId);

    /// Removes the message.
    fn finish(&self, id: QueueId);

    /// Puts a message aside whose content a reader found damaged (`InvalidData`): it is in the queue no more.
    fn set_aside(&self, id: QueueId) -> Result<(), SpoolError>;

    /// Does what `postsuper` asks. The future resolves when that is durable. An open [`Content`] stays readable.
    fn administer(&self, id: QueueId, action: Admin) -> Durable;

    /// Resolves when everything recorded so far is durable. (A commit has a future of its own.)
    fn flush(&self) -> Durable;

    /// All messages with envelope and outcomes, without content, oldest first as far as that is cheap: what `mailq`
    /// shows. A snapshot: messages that come or go meanwhile may or may not be in it.
    fn list(&self) -> Box<dyn Iterator<Item = Result<Listed, SpoolError>> + Send>;

    /// Gives out long queue ids from now on, or short ones (`enable_long_queue_ids`).
    fn set_long_queue_ids(&self, is_long: bool);

    /// How the spool is. While it is [`Health::Failing`] outcomes cannot be made durable: start no delivery.
    fn health(&self) -> watch::Receiver<Health>;
}
