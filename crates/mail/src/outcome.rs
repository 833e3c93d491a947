//! What became of one recipient in one delivery attempt.

use crate::{DsnStatus, Time};

/// How an attempt ended for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Handed over for good: the next hop or the mailbox has it.
    Sent,
    /// To be tried again.
    Deferred,
    /// Given up: the sender is to be told.
    Bounced,
}

/// The result for one recipient, with what reports and listings need of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Index into the envelope's recipients.
    pub recipient: u32,
    pub fate: Fate,
    pub status: DsnStatus,
    /// The text in the parentheses of the log line, in `mailq` and in reports.
    pub reason: String,
    /// The server that said so, as a report's Remote-MTA names it: `mx.example.com`.
    pub remote_mta: Option<String>,
    /// What it said, as a report's Diagnostic-Code gives it, with its type: `smtp; 550 5.1.1 …`, `x-unix; …`.
    pub diagnostic: Option<String>,
    pub at: Time,
}
