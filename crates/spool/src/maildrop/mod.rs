//! The maildrop: where `postdrop` leaves a local user's mail, one file a message, for `pickup` to find.
//!
//! It works while the server is down, and it trusts nobody: a file's owner may be any user of the machine and may have
//! changed it. So pickup reads strictly and takes nothing from a file that is not whole. It is not the queue: a message
//! here has no queue id yet in the log's sense, and is removed only once the spool has it durably.

mod folder;
mod format;
mod lines;
mod receipt;
mod requeue;

pub use folder::{Blank, Letter, Maildrop, Picked};
pub use format::{Reader, Writer, fuzz_reader};
pub use lines::LineFeeds;
pub use receipt::{RECEIPT_LIMIT, Receipt};

use bytes::Bytes;
use mail::{Address, Client, Encoding, Recipient, Ret};
use std::fmt;
use std::io;

/// What a local user submits, but for the content. Addresses are as given: cleanup completes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submission {
    /// None: the file's owner.
    pub sender: Option<Address>,
    pub recipients: Vec<Recipient>,
    /// `sendmail -F`.
    pub full_name: Option<Bytes>,
    pub encoding: Encoding,
    /// `sendmail -R`.
    pub ret: Option<Ret>,
    /// `sendmail -V`, in xtext.
    pub envid: Option<Bytes>,
    /// What only some rooms know (`verp_delims`, `trace_flags`), by name.
    pub extra: Vec<(String, Bytes)>,
    /// Only of a letter that `mail_owner` wrote, who is believed: `postsuper -r`.
    pub requeued: Option<Requeued>,
}

/// What a message brings with it that was in the queue before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requeued {
    pub client: Client,
    /// As listings show it, in octets.
    pub size: u64,
    /// Why recipients were deferred, in their order; empty where nothing is known.
    pub reasons: Vec<Bytes>,
}

/// What a reader takes at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of content: `message_size_limit`. 0: no limit.
    pub content_size_max: u64,
    /// Octets of everything else, recipients above all.
    pub fields_size_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { content_size_max: 10_240_000, fields_size_max: 16 << 20 }
    }
}

/// Why a submission is not taken.
#[derive(Debug)]
pub enum MaildropError {
    /// Environment.
    Io(io::Error),
    /// The user's: not what [`Writer`] writes, or cut off.
    Malformed,
    /// The user's: larger than [`Limits`] allow.
    TooLarge,
    /// Somebody put something into the maildrop that `postdrop` does not make; the text says what is wrong with it.
    Strange(&'static str),
}

impl fmt::Display for MaildropError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaildropError::Io(error) => write!(f, "{error}"),
            MaildropError::Malformed => f.write_str("malformed submission"),
            MaildropError::TooLarge => f.write_str("submission too large"),
            MaildropError::Strange(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for MaildropError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MaildropError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for MaildropError {
    /// A stream that ends too early is malformed.
    fn from(error: io::Error) -> MaildropError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => MaildropError::Malformed,
            _ => MaildropError::Io(error),
        }
    }
}
