//! The receiving end: listening sockets, mostly inherited from the parent, and accepting no more than can be served.

use crate::dial::error_text;
use crate::stream::{Stream, unmapped};
use nix::libc;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// How long to wait when the process or the system is out of descriptors or memory. Clients wait in the kernel's queue
/// meanwhile, and sessions that end give descriptors back.
const PAUSE: Duration = Duration::from_millis(500);
/// Connections that wait in the kernel's queue; the kernel has a limit of its own (net.core.somaxconn).
const BACKLOG: i32 = 1024;

/// A listening socket with a limit on the sessions that it serves at one time.
pub struct Listener {
    socket: ListenSocket,
    sessions: Arc<Semaphore>,
}

enum ListenSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A client.
#[derive(Debug)]
pub struct Accepted {
    pub stream: Stream,
    /// None for UNIX-domain sockets.
    pub peer: Option<SocketAddr>,
    /// To be held as long as the session goes on.
    pub permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Takes over a listening socket: TCP or UNIX-domain.
    pub fn from_fd(socket: OwnedFd, sessions: Arc<Semaphore>) -> io::Result<Listener> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        let socket = if socket.domain()? == Domain::UNIX {
            ListenSocket::Unix(UnixListener::from_std(socket.into())?)
        } else {
            ListenSocket::Tcp(TcpListener::from_std(socket.into())?)
        };
        Ok(Listener { socket, sessions })
    }

    /// The next client, as soon as one may be served (`maxproc` of master.cf). Errors that say nothing about the socket are
    /// waited out; `warn` gets those worth a line in the log.
    pub async fn accept(&self, warn: impl Fn(String)) -> io::Result<Accepted> {
        let permit = self.sessions.clone().acquire_owned().await.map_err(io::Error::other)?;
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => return Ok(Accepted { stream, peer, permit }),
                Err(error) => match error.raw_os_error() {
                    // accept(2): the client is gone, or the network had something to say about it
                    Some(
                        libc::ECONNABORTED
                        | libc::EINTR
                        | libc::ENETDOWN
                        | libc::EPROTO
                        | libc::ENOPROTOOPT
                        | libc::EHOSTDOWN
                        | libc::ENONET
                        | libc::EHOSTUNREACH
                        | libc::EOPNOTSUPP
                        | libc::ENETUNREACH
                        | libc::ETIMEDOUT
                        | libc::EPERM,
                    ) => {}
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        warn(format!("accept connection: {}", error_text(&error)));
                        sleep(PAUSE).await;
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    /// The address that clients connect to; None for UNIX-domain sockets.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            ListenSocket::Tcp(listener) => listener.local_addr().ok(),
            ListenSocket::Unix(_) => None,
        }
    }
}

impl ListenSocket {
    async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            ListenSocket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // a client that is gone already is found out by the first read
                let _ = stream.set_nodelay(true);
                Ok((stream.into(), Some(unmapped(peer))))
            }
            ListenSocket::Unix(listener) => Ok((listener.accept().await?.0.into(), None)),
        }
    }
}

/// Makes a listening TCP socket. IPv6 sockets take no IPv4, which has sockets of its own.
pub fn bind_tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Makes a listening socket in the file system, in place of one that was left there.
pub fn bind_unix(path: &Path) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::net::{TcpStream, UnixStream};
    use tokio::time::timeout;

    fn quiet(warning: String) {
        panic!("{warning}");
    }

    fn listener(address: &str, limit: usize) -> Listener {
        let socket = bind_tcp(address.parse().unwrap()).unwrap();
        Listener::from_fd(socket, Arc::new(Semaphore::new(limit))).unwrap()
    }

    #[tokio::test]
    async fn no_more_than_may_be_served() {
        let listener = listener("127.0.0.1:0", 1);
        let address = listener.local_address().unwrap();
        let clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let first = listener.accept(quiet).await.unwrap();
        assert_eq!(first.peer, clients[0].local_addr().ok());
        assert!(timeout(Duration::from_millis(20), listener.accept(quiet)).await.is_err());
        drop(first);
        let second = listener.accept(quiet).await.unwrap();
        assert_eq!(second.peer, clients[1].local_addr().ok());
    }

    #[tokio::test]
    async fn ipv4_in_ipv6_is_ipv4() {
        // a machine without IPv6 has nothing to unmap
        let Ok(socket) = Socket::new(Domain::IPV6, Type::STREAM, None) else { return };
        socket.set_only_v6(false).unwrap();
        socket.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(1).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        let listener = Listener::from_fd(socket.into(), Arc::new(Semaphore::new(9))).unwrap();
        let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let accepted = listener.accept(quiet).await.unwrap();
        assert_eq!(accepted.peer, client.local_addr().ok());
        assert_eq!(accepted.stream.peer_address(), client.local_addr().ok());
        assert_eq!(accepted.stream.local_address(), client.peer_addr().ok());
    }

    #[tokio::test]
    async fn sockets_in_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        for _ in 0..2 {
            let listener = Listener::from_fd(bind_unix(&path).unwrap(), Arc::new(Semaphore::new(9))).unwrap();
            let _client = UnixStream::connect(&path).await.unwrap();
            assert_eq!(listener.accept(quiet).await.unwrap().peer, None);
        }
    }

    /// Runs in a process of its own, as it takes all descriptors away from everybody.
    #[test]
    fn out_of_descriptors() {
        const CHILD: &str = "NET_TEST_OUT_OF_DESCRIPTORS";
        if std::env::var_os(CHILD).is_none() {
            let name = "listen::tests::out_of_descriptors";
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args([name, "--exact", "--nocapture"])
                .env(CHILD, "1")
                .output()
                .unwrap();
            assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = listener("127.0.0.1:0", 9);
            let _client = TcpStream::connect(listener.local_address().unwrap()).await.unwrap();
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 64, 64).unwrap();
            let mut hoard = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                hoard.push(file);
            }
            let hoard = Mutex::new(hoard);
            let warned = |warning: String| {
                assert_eq!(warning, "accept connection: Too many open files");
                hoard.lock().unwrap().clear();
            };
            listener.accept(warned).await.unwrap();
            assert!(hoard.lock().unwrap().is_empty());
        });
    }
}
