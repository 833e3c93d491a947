//! How the queue manager makes mail of its own. `daemon` fulfils it with intake's cleanup.

use bytes::Bytes;
use mail::{Address, QueueId};
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// Puts a notice into the queue.
pub trait Inject: Send + Sync {
    /// Resolves when the notice is on stable storage; only then is the original struck off.
    ///
    /// Cleanup puts `Received: by myhostname (mail_name)` with the new queue id, and `Date:`, in front of the content's
    /// header, adds `Message-Id:` behind it, and makes its addresses complete, as for local mail.
    fn inject(&self, notice: Notice) -> Pin<Box<dyn Future<Output = Result<QueueId, InjectError>> + Send>>;
}

/// A message of the mail system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Null for what goes to a sender, `double_bounce_sender@myhostname` for what goes to the postmaster.
    pub sender: Address,
    /// May be a bare name (`postmaster`).
    pub recipient: Address,
    /// Header and body; lines end with CRLF.
    pub content: Bytes,
    /// The original was sent with SMTPUTF8 (RFC 6531 3.1).
    pub smtputf8: bool,
    /// The body may have octets above 127.
    pub is_8bit: bool,
}

/// The notice could not be queued; the text says why. It will be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectError(pub String);

impl fmt::Display for InjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InjectError {}
