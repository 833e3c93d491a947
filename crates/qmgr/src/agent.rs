//! The delivery agents as the queue manager sees them.

use mail::{DsnStatus, Outcome};
use spool::Stored;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Delivers messages by one transport: a line of master.cf such as `smtp unix … smtp`.
pub trait Agent: Send + Sync {
    /// Tries the job once. Each recipient is reported as soon as its fate is known; one that is never reported counts as
    /// deferred. The returned value says how the destination as a whole behaved.
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;
}

/// One message to some of its recipients, by one transport to one nexthop.
pub struct Job {
    pub message: Arc<Stored>,
    /// Where to: a domain, `[host]:port`, a mailbox name: whatever the transport takes.
    pub nexthop: String,
    pub recipients: Vec<JobRecipient>,
    /// Whether the agent may take a connection from its cache, and leave it there.
    pub reuse: Reuse,
    pub reports: Reports,
}

/// A recipient as routed.
#[derive(Clone, Debug)]
pub struct JobRecipient {
    /// Index into the envelope's recipients.
    pub index: u32,
    /// The address to deliver to; not always the envelope's (`relayhost` never, `virtual` with extensions).
    pub address: mail::Address,
}

/// Connection caching (`smtp_connection_cache_on_demand`), as the destination's traffic suggests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reuse {
    pub load: bool,
    pub store: bool,
}

/// How the destination behaved: what the concurrency window is fed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took or refused recipients on their own merits.
    Alive,
    /// It could not be reached or would not talk: nothing else goes there for a while.
    Dead { status: DsnStatus, reason: String },
}

/// Takes the outcomes of a job: records them in the spool, then logs them.
pub trait Reporter: Send + Sync {
    fn report(&self, report: Report);
}

pub type Reports = Arc<dyn Reporter>;

/// A recipient's outcome, with what only the log line says.
#[derive(Clone, Debug)]
pub struct Report {
    pub outcome: Outcome,
    /// `relay=`: `host[address]:port`, `local`, `none`.
    pub relay: String,
    /// `conn_use=` if above 1.
    pub connection_use: u32,
    /// The last two of `delays=a/b/c/d`: setting up the connection, and the transfer.
    pub setup: Duration,
    pub transfer: Duration,
}
