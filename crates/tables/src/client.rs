//! Connections to table servers, for `tcp` and `socketmap`: opened when needed, kept for the next lookups, closed when
//! they were idle or in use for long.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Handle, Id};
use tokio::time::timeout;

/// For connecting, and for each request: Postfix's own limits, which no parameter changes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(100);
/// A connection that was not used for this long is not used again.
const MAX_IDLE: Duration = Duration::from_secs(10);
/// Nor one that is older than this.
const MAX_AGE: Duration = Duration::from_secs(100);
/// Idle connections that are kept; more are used at once if there are more lookups.
const MAX_KEPT: usize = 16;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `host:port`, `[::1]:port`, `:port` or `port`: the local host.
    Inet(String),
    Unix(String),
}

impl Endpoint {
    pub(crate) fn inet(text: &str) -> Endpoint {
        // A colon within brackets belongs to the address.
        let behind_brackets = text.rfind(']').map_or(0, |at| at + 1);
        match text[behind_brackets..].rfind(':') {
            None => Endpoint::Inet(format!("localhost:{text}")),
            Some(0) if behind_brackets == 0 => Endpoint::Inet(format!("localhost{text}")),
            Some(_) => Endpoint::Inet(text.to_owned()),
        }
    }
}

/// A connection, read through a buffer.
pub(crate) type Connection = BufReader<Pin<Box<dyn Stream>>>;

/// A socket of either family.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// The connections to one server.
pub(crate) struct Pool {
    endpoint: Endpoint,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    /// A socket answers only on the runtime that it was opened on.
    runtime: Id,
    opened: Instant,
    used: Instant,
}

/// A connection for one lookup.
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    opened: Instant,
    /// It was used before: the server may have closed it meanwhile.
    pub(crate) is_reused: bool,
}

impl Pool {
    pub(crate) fn new(endpoint: Endpoint) -> Pool {
        Pool { endpoint, idle: Mutex::new(Vec::new()) }
    }

    /// An idle connection, or a new one.
    pub(crate) async fn connection(&self) -> io::Result<Lease> {
        if let Some(lease) = self.take_idle() {
            return Ok(lease);
        }
        let stream = timeout(TIMEOUT, self.connect()).await.map_err(|_| timed_out())??;
        Ok(Lease { connection: BufReader::new(stream), opened: Instant::now(), is_reused: false })
    }

    fn take_idle(&self) -> Option<Lease> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|one| one.used.elapsed() < MAX_IDLE && one.opened.elapsed() < MAX_AGE);
        let here = Handle::current().id();
        let at = idle.iter().rposition(|one| one.runtime == here)?;
        let Idle { connection, opened, .. } = idle.remove(at);
        Some(Lease { connection, opened, is_reused: true })
    }

    async fn connect(&self) -> io::Result<Pin<Box<dyn Stream>>> {
        match &self.endpoint {
            Endpoint::Inet(address) => {
                let stream = TcpStream::connect(address.as_str()).await?;
                stream.set_nodelay(true)?;
                Ok(Box::pin(stream))
            }
            Endpoint::Unix(path) => Ok(Box::pin(UnixStream::connect(path).await?)),
        }
    }

    /// Takes back a connection whose last answer was read whole.
    pub(crate) fn keep(&self, lease: Lease) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_KEPT {
            let (runtime, used) = (Handle::current().id(), Instant::now());
            idle.push(Idle { connection: lease.connection, runtime, opened: lease.opened, used });
        }
    }
}

pub(crate) fn timed_out() -> io::Error {
    io::Error::from_raw_os_error(nix::libc::ETIMEDOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (text, expect) in [
            ("127.0.0.1:25", "127.0.0.1:25"),
            ("host:25", "host:25"),
            ("[::1]:25", "[::1]:25"),
            (":25", "localhost:25"),
            ("25", "localhost:25"),
        ] {
            assert_eq!(Endpoint::inet(text), Endpoint::Inet(expect.to_owned()));
        }
    }
}
