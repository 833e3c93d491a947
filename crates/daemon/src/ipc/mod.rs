//! What parent and worker say to each other. The list is closed: nothing else can be asked.
//!
//! Two SOCK_SEQPACKET pairs: *orders* go from the parent to the worker and are answered, *requests* from the worker to the
//! parent and are answered. A message is a tag and fields; descriptors travel beside it.

pub mod orders;
pub mod requests;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::os::fd::{AsFd, OwnedFd};
use sys::fields::BadMessage;

/// Octets of a message, at most. Configuration travels in memory files, not in messages.
pub const MESSAGE_LIMIT: usize = 64 << 10;

/// A pair of connected sockets that keep messages apart.
pub fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

/// Why there is no message.
#[derive(Debug)]
pub enum IpcError {
    /// The other side is gone.
    Gone,
    Socket(nix::Error),
    Bad(BadMessage),
}

impl std::fmt::Display for IpcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            IpcError::Gone => f.write_str("the other process is gone"),
            IpcError::Socket(e) => write!(f, "socket: {e}"),
            IpcError::Bad(bad) => write!(f, "{bad}"),
        }
    }
}

impl std::error::Error for IpcError {}

impl From<BadMessage> for IpcError {
    fn from(bad: BadMessage) -> IpcError {
        IpcError::Bad(bad)
    }
}

/// A memory file's text, wherever somebody has read to.
pub fn read_memory_file(file: OwnedFd) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(file);
    let mut text = vec![0; file.metadata()?.len() as usize];
    file.read_exact_at(&mut text, 0)?;
    Ok(text)
}

/// Receives one message and the descriptors beside it.
pub fn receive(socket: impl AsFd) -> Result<(Vec<u8>, Vec<OwnedFd>), IpcError> {
    let mut buffer = vec![0; MESSAGE_LIMIT];
    let (n, descriptors) = sys::descriptors::receive(socket, &mut buffer).map_err(IpcError::Socket)?;
    if n == 0 {
        return Err(IpcError::Gone);
    }
    buffer.truncate(n);
    Ok((buffer, descriptors))
}
