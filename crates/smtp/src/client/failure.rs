//! How a conversation fails, with what logs and reports say of it.

use super::{Server, ServerReply, Stage};
use mail::DsnStatus;

/// Why recipients could not be handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub scope: Scope,
    /// Class 4: another server or a later time may do. Class 5: it is final.
    pub status: DsnStatus,
    /// The text in the log line's parentheses, and of the report.
    pub reason: String,
    /// The server, if it said so itself (Remote-MTA).
    pub remote_mta: Option<String>,
    /// What it said, with its type: `smtp; 550 5.1.1 …` (Diagnostic-Code).
    pub diagnostic: Option<String>,
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The server, or the way to it: it counts against the destination.
    Site,
    /// This message.
    Message,
    /// One recipient.
    Recipient,
}

/// What became of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    Closed,
    TimedOut,
    /// It is there, but a table of ours cannot be asked what its reply is to mean.
    LocalData,
}

impl Failure {
    /// One of our own, which no server had a part in.
    pub fn ours(scope: Scope, status: DsnStatus, reason: impl Into<String>) -> Failure {
        Failure { scope, status, reason: reason.into(), remote_mta: None, diagnostic: None }
    }

    /// The connection is gone.
    pub(super) fn lost(server: &Server, lost: Lost, stage: Stage) -> Failure {
        let (name, doing) = (&server.name_and_address, stage.doing());
        let reason = match lost {
            Lost::Closed => format!("lost connection with {name} while {doing}"),
            Lost::TimedOut => format!("conversation with {name} timed out while {doing}"),
            Lost::LocalData => {
                let text = format!("local data error while talking to {name}");
                return Failure::ours(Scope::Site, DsnStatus::new(4, 3, 0), text);
            }
        };
        Failure::ours(Scope::Site, DsnStatus::new(4, 4, 2), reason)
    }

    /// The server will not go on: `text` and what it said.
    pub(super) fn refused(server: &Server, reply: &ServerReply, text: &str) -> Failure {
        Failure::by(Scope::Site, server, reply, format!("{text}: {}", reply.text))
    }

    /// The server refused something of the transaction.
    pub(super) fn said(scope: Scope, server: &Server, reply: &ServerReply, stage: Stage) -> Failure {
        let (name, text) = (&server.name_and_address, &reply.text);
        Failure::by(
            scope,
            server,
            reply,
            format!("host {name} said: {text} (in reply to {})", stage.command()),
        )
    }

    fn by(scope: Scope, server: &Server, reply: &ServerReply, reason: String) -> Failure {
        // Postfix: success where none was due is an error too, golden: data-250
        let (status, reason) = match reply.status.class() {
            4 | 5 => (reply.status, reason),
            _ => (DsnStatus::new(5, 5, 0), format!("Protocol error: {reason}")),
        };
        Failure {
            scope,
            status,
            reason,
            remote_mta: Some(server.host.clone()),
            diagnostic: Some(format!("smtp; {}", reply.text)),
        }
    }

    /// The same, to be tried again later.
    pub(super) fn softened(mut self) -> Failure {
        if self.status.class() == 5 {
            self.status = self.status.with_class(4);
        }
        self
    }
}
