//! Where a daemon beside us listens: `unix:private/policy`, `inet:127.0.0.1:10023`.

use crate::{Services, Stream};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// An address of a policy server, an authentication server, a milter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Unix(PathBuf),
    Inet { host: String, port: String },
}

impl Endpoint {
    /// `unix:PATH` or `local:PATH`, below `directory` unless absolute; `inet:HOST:PORT` or `inet:PORT`. Without a transport it
    /// is a path.
    ///
    /// ```
    /// use net::Endpoint;
    /// let inet = |host: &str, port: &str| Endpoint::Inet { host: host.into(), port: port.into() };
    /// for (text, endpoint) in [
    ///     ("unix:private/x", Endpoint::Unix("/queue/private/x".into())),
    ///     ("/run/x", Endpoint::Unix("/run/x".into())),
    ///     ("inet:[::1]:10023", inet("::1", "10023")),
    ///     ("inet:policy.example:smtp", inet("policy.example", "smtp")),
    ///     ("inet:10023", inet("localhost", "10023")),
    /// ] {
    ///     assert_eq!(Endpoint::parse(text, "/queue".as_ref()), endpoint, "{text}");
    /// }
    /// ```
    pub fn parse(text: &str, directory: &Path) -> Endpoint {
        match text.split_once(':') {
            Some(("inet", address)) => {
                let (host, port) = address.rsplit_once(':').unwrap_or(("", address));
                let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                let host = if host.is_empty() { "localhost" } else { host };
                Endpoint::Inet { host: host.to_owned(), port: port.to_owned() }
            }
            Some(("unix" | "local", path)) => Endpoint::Unix(directory.join(path)),
            _ => Endpoint::Unix(directory.join(text)),
        }
    }

    /// Connects, within a time limit.
    pub async fn connect(&self, limit: Duration) -> io::Result<Stream> {
        let connecting = async {
            Ok(match self {
                Endpoint::Unix(path) => UnixStream::connect(path).await?.into(),
                Endpoint::Inet { host, port } => {
                    let port = Services::system().port(port).ok_or(io::ErrorKind::AddrNotAvailable)?;
                    let stream = TcpStream::connect((host.as_str(), port)).await?;
                    stream.set_nodelay(true)?;
                    stream.into()
                }
            })
        };
        timeout(limit, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}
