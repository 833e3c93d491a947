//! What this program can be: the first argument says which. Only the parent's role is for people.

/// The unprivileged worker.
pub const WORKER: &str = "worker";
/// A process that delivers with one owner's rights; [`crate::delivery`].
pub const DELIVERY: &str = "delivery";
/// The parent after it has left its terminal; [`crate::parent::detach`].
pub const DETACHED: &str = "detached";

/// The first message to a worker; the descriptor beside it is the socket for its requests.
pub const HELLO: &[u8] = b"requests";
