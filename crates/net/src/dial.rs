//! Connecting to a server.

use crate::mx::Server;
use crate::stream::Stream;
use mail::DsnStatus;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpSocket, UnixStream};
use tokio::time::timeout;

/// Octets of a UNIX-domain socket's path: `sun_path`, less the NUL.
const PATH_LIMIT: usize = 107;

/// How to connect: parameters of the transport.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// `smtp_connect_timeout`; zero waits as long as the kernel does.
    pub connect_timeout: Duration,
    /// `smtp_bind_address`, or without it the [`sole_address`] of the system.
    pub bind_address: Option<IpAddr>,
    /// `smtp_bind_address6`, likewise.
    pub bind_address6: Option<IpAddr>,
    /// `smtp_bind_address_enforce`.
    pub bind_address_enforce: bool,
}

/// A new connection.
#[derive(Debug)]
pub struct Dialed {
    pub stream: Stream,
    /// The address it leaves from could not be had, and another one is used. To be logged as a warning.
    pub warning: Option<String>,
}

/// No connection; prints what Postfix logs and reports.
#[derive(Debug)]
pub enum DialError {
    Connect {
        /// `host[address]:port`, or `host[path]`.
        peer: String,
        source: io::Error,
    },
    /// The address to leave from could not be had, and another one is not wanted.
    Bind { warning: String },
    /// The path cannot be one of a socket.
    PathTooLong { path: String },
}

impl Dialer {
    /// Connects to one address of a host.
    pub async fn connect(&self, server: &Server) -> Result<Dialed, DialError> {
        let address = SocketAddr::new(server.address, server.port);
        let failed = |source| DialError::Connect { peer: peer(server), source };
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.map_err(failed)?;
        let warning = self.bind(&socket, address.ip())?;
        let stream = self.in_time(socket.connect(address)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Dialed { stream: Stream::from(stream), warning })
    }

    /// Connects to a socket in the file system. `host` is for texts: the system's own name.
    pub async fn connect_unix(&self, host: &str, path: &Path) -> Result<Dialed, DialError> {
        if path.as_os_str().as_bytes().len() > PATH_LIMIT {
            return Err(DialError::PathTooLong { path: path.display().to_string() });
        }
        let stream = self.in_time(UnixStream::connect(path)).await;
        let failed = |source| DialError::Connect { peer: format!("{host}[{}]", path.display()), source };
        Ok(Dialed { stream: Stream::from(stream.map_err(failed)?), warning: None })
    }

    async fn in_time<T>(&self, connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        if self.connect_timeout.is_zero() {
            return connecting.await;
        }
        let timed_out = |_| io::Error::from_raw_os_error(nix::libc::ETIMEDOUT);
        timeout(self.connect_timeout, connecting).await.map_err(timed_out)?
    }

    fn bind(&self, socket: &TcpSocket, to: IpAddr) -> Result<Option<String>, DialError> {
        let from = if to.is_ipv4() { self.bind_address } else { self.bind_address6 };
        let Some(from) = from else { return Ok(None) };
        let Err(error) = socket.bind(SocketAddr::new(from, 0)) else { return Ok(None) };
        let warning = format!("smtp_connect_addr: bind {from}: {}", error_text(&error));
        if self.bind_address_enforce { Err(DialError::Bind { warning }) } else { Ok(Some(warning)) }
    }
}

impl DialError {
    /// The status that goes with the text.
    pub fn status(&self) -> DsnStatus {
        match self {
            DialError::Connect { .. } => DsnStatus::new(4, 4, 1),
            DialError::Bind { .. } => DsnStatus::new(4, 4, 0),
            DialError::PathTooLong { .. } => DsnStatus::new(4, 3, 5),
        }
    }

    /// What is to be logged as a warning beside the text.
    pub fn warning(&self) -> Option<String> {
        match self {
            DialError::Connect { .. } => None,
            DialError::Bind { warning } => Some(warning.clone()),
            DialError::PathTooLong { path } => Some(format!("unix-domain name too long: {path}")),
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Connect { peer, source } => write!(f, "connect to {peer}: {}", error_text(source)),
            DialError::Bind { .. } => f.write_str("server configuration error"),
            DialError::PathTooLong { .. } => f.write_str("Server configuration error"),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DialError::Connect { source, .. } => Some(source),
            DialError::Bind { .. } | DialError::PathTooLong { .. } => None,
        }
    }
}

/// The address that mail leaves from where `inet_interfaces` has just one of a family and it is no loopback address.
/// Postfix: a virtual mail host is to be known by its own address.
pub fn sole_address(own_addresses: &[IpAddr], is_ipv6: bool) -> Option<IpAddr> {
    let mut of_family = own_addresses.iter().filter(|address| address.is_ipv6() == is_ipv6);
    let first = *of_family.next()?;
    (of_family.next().is_none() && !first.is_loopback()).then_some(first)
}

fn peer(server: &Server) -> String {
    let Server { host, address, port, .. } = server;
    if *port == 0 { format!("{host}[{address}]") } else { format!("{host}[{address}]:{port}") }
}

/// The system's words for an error, without the number that std appends; also for a time limit of our own.
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.rfind(" (os error ")) {
        (Some(_), Some(at)) => text[..at].to_string(),
        (None, _) if error.kind() == io::ErrorKind::TimedOut => "Connection timed out".into(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn dialer() -> Dialer {
        Dialer {
            connect_timeout: Duration::from_secs(5),
            bind_address: None,
            bind_address6: None,
            bind_address_enforce: false,
        }
    }

    fn server(address: SocketAddr) -> Server {
        Server {
            host: "mx.example".into(),
            canonical_host: "mx.example".into(),
            address: address.ip(),
            port: address.port(),
            preference: 0,
            is_authentic: false,
        }
    }

    #[tokio::test]
    async fn a_refusal_in_postfix_words() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = dialer().connect(&server(address)).await.unwrap_err();
        let expect = format!("connect to mx.example[127.0.0.1]:{}: Connection refused", address.port());
        assert_eq!((error.to_string(), error.status().to_string()), (expect, "4.4.1".into()));
        assert_eq!(error.warning(), None);
    }

    #[tokio::test]
    async fn a_timeout_in_postfix_words() {
        // a listener that accepts nothing, with its backlog full
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let _filler: Vec<_> = (0..8)
            .map(|_| {
                let socket =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                let _ = socket.connect(&address.into());
                socket
            })
            .collect();
        let hasty = Dialer { connect_timeout: Duration::from_millis(50), ..dialer() };
        let error = hasty.connect(&server(address)).await.unwrap_err();
        let expect = format!("connect to mx.example[127.0.0.1]:{}: Connection timed out", address.port());
        assert_eq!(error.to_string(), expect);
    }

    #[tokio::test]
    async fn an_address_that_is_not_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = server(listener.local_addr().unwrap());
        let warning = "smtp_connect_addr: bind 203.0.113.1: Cannot assign requested address";
        let lax = Dialer { bind_address: Some("203.0.113.1".parse().unwrap()), ..dialer() };
        assert_eq!(lax.connect(&server).await.unwrap().warning.as_deref(), Some(warning));

        let strict = Dialer { bind_address_enforce: true, ..lax };
        let error = strict.connect(&server).await.unwrap_err();
        assert_eq!(
            (error.to_string(), error.status().to_string()),
            ("server configuration error".into(), "4.4.0".into())
        );
        assert_eq!(error.warning().as_deref(), Some(warning));

        let from = Dialer { bind_address: Some("127.0.0.2".parse().unwrap()), ..dialer() };
        let dialed = from.connect(&server).await.unwrap();
        assert_eq!(dialed.stream.local_address().unwrap().ip().to_string(), "127.0.0.2");
    }

    #[test]
    fn the_sole_address_of_a_family() {
        for (own, is_ipv6, expect) in [
            (&["192.0.2.1"][..], false, Some("192.0.2.1")),
            (&["192.0.2.1", "2001:db8::1"], true, Some("2001:db8::1")),
            (&["192.0.2.1", "127.0.0.1"], false, None),
            (&["127.0.0.1"], false, None),
            (&["192.0.2.1"], true, None),
        ] {
            let own: Vec<IpAddr> = own.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(
                sole_address(&own, is_ipv6),
                expect.map(|address| address.parse().unwrap()),
                "{own:?}"
            );
        }
    }

    #[tokio::test]
    async fn sockets_in_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lmtp");
        let error = dialer().connect_unix("mail.example", &path).await.unwrap_err();
        let expect = format!("connect to mail.example[{}]: No such file or directory", path.display());
        assert_eq!(error.to_string(), expect);

        let _listener = tokio::net::UnixListener::bind(&path).unwrap();
        assert!(dialer().connect_unix("mail.example", &path).await.is_ok());

        let long = "x".repeat(108);
        let error = dialer().connect_unix("mail.example", Path::new(&long)).await.unwrap_err();
        assert_eq!(
            (error.to_string(), error.status().to_string()),
            ("Server configuration error".into(), "4.3.5".into())
        );
    }
}
