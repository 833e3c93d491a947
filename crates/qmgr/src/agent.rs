//! The delivery agents as the queue manager sees them.

use logger::Logger;
use mail::{Address, DsnStatus, Fate, Outcome};
use spool::Stored;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Delivers messages by one transport: a line of master.cf such as `smtp unix … smtp`.
pub trait Agent: Send + Sync {
    /// Tries the job once. Each recipient is reported as soon as its fate is known; one that is never reported, because the
    /// agent ended or panicked, counts as deferred. The returned value says how the destination as a whole behaved.
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;
}

/// One message to some of its recipients, by one transport to one nexthop.
pub struct Job {
    pub message: Arc<Stored>,
    pub purpose: Purpose,
    /// The envelope sender to use: the message's, unless a VERP address was made of it.
    pub sender: Address,
    /// Where to: a domain, `[host]:port`, a mailbox name: whatever the transport takes.
    pub nexthop: Arc<str>,
    /// Sorted by domain, then by address. At least one.
    pub recipients: Vec<JobRecipient>,
    /// Whether the agent may take a connection from its cache, and leave it there.
    pub reuse: Reuse,
    pub reports: Reports,
}

/// What a job is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    #[default]
    Deliver,
    /// To find out whether it could be delivered (`sendmail -bv`, address verification): all is done but the delivery itself;
    /// a client stops before DATA. Reports say what would become of it: `delivers to maildir`.
    Probe,
}

/// A recipient as routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecipient {
    /// Index into the envelope's recipients.
    pub index: u32,
    /// The address to deliver to; not always the envelope's (`relayhost` never, `virtual` with extensions).
    pub address: Address,
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
    /// It could not be reached or would not talk: with some more of this nothing else goes there for a while. The recipients
    /// that are then not even tried get the reason with `delivery temporarily suspended: ` in front.
    Dead { status: DsnStatus, reason: String },
}

/// Takes the outcomes of a job: records them in the spool, then logs them.
pub trait Reporter: Send + Sync {
    /// What became of a recipient. Only its first report counts.
    fn report(&self, report: Report);

    /// What became of one address that a recipient was expanded to (local aliases, `.forward`): logged, and told to the
    /// sender if it bounced. The recipient itself stays open until it is settled. Gives the fate it was filed under, which
    /// may be another (`soft_bounce`, probes).
    fn report_member(&self, member: Member, report: Report) -> Fate;

    /// Ends a recipient whose members were reported, without a log line: `Sent` when each has met its fate, `Bounced` if that
    /// was a bounce for one of them (so that a crash does not forget to tell), `Deferred` when one is to be tried again (as
    /// Postfix's local does, all of them are then). `expanded` is what a sender is told who wants reports of success.
    fn settle(&self, outcome: Outcome, expanded: Option<Expanded>);
}

pub type Reports = Arc<dyn Reporter>;

/// One of the addresses that a recipient was expanded to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub address: Address,
    /// It has the message from a list that sends it in its own name (an alias with an owner): what came with the recipient, its
    /// original address and ORCPT=, is not the member's (RFC 3461 5.2.7.3).
    pub is_of_list: bool,
    /// Who is told of a failure, if that is not the sender.
    pub return_to: Option<Address>,
}

/// An address that stood for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    pub address: Address,
    /// `Delivered` if a list took it, `Expanded` if an alias did.
    pub success: Success,
}

/// A recipient's outcome, with what only the log line and a report of success say.
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
    pub success: Success,
    /// The log of another transport's agent, to which this one had passed the message on.
    pub log: Option<Logger>,
}

impl Report {
    /// A report by an agent without a relay, in no time.
    pub fn new(outcome: Outcome) -> Report {
        Report {
            outcome,
            relay: "none".into(),
            connection_use: 1,
            setup: Duration::ZERO,
            transfer: Duration::ZERO,
            success: Success::Delivered,
            log: None,
        }
    }
}

/// What a report of success (NOTIFY=SUCCESS) says of a sent recipient: its Action (RFC 3464 2.3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Success {
    /// To a mailbox, a file, a command.
    #[default]
    Delivered,
    /// To a server that does not report (no DSN in its EHLO reply).
    Relayed,
    /// To the members of an alias or list.
    Expanded,
    /// To a server that has taken over NOTIFY=: the report is its affair.
    Delegated,
}
