//! One connection to a MySQL server: from the socket to the answers of a query.

use super::super::sql::{Host, MAX_ROWS_BYTES, Place, Rows};
use super::super::tls::{Tls, TlsError};
use super::Mysql;
use super::auth::{self, Plugin};
use super::protocol::{
    self, AuthReply, Greeting, MORE_RESULTS, Malformed, NO_BACKSLASH_ESCAPES, ResultHead, RowReply, can,
};
use crate::client::{Stream, TIMEOUT};
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

/// A session that is logged in.
pub(super) struct Connection {
    stream: BufReader<Pin<Box<dyn Stream>>>,
    /// Of the next packet.
    sequence: u8,
    status: u16,
}

/// Why there is no session, or no answer, in the client library's words.
#[derive(Debug)]
pub(super) enum Error {
    Connect {
        text: String,
        errno: &'static str,
    },
    /// The server says so.
    Server(String),
    Charset(String),
    Tls(String),
    /// It hung up, or says what no server would.
    Lost(&'static str),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Connect { text, .. } | Error::Server(text) | Error::Charset(text) => f.write_str(text),
            Error::Tls(why) => write!(f, "TLS/SSL error: {why}"),
            Error::Lost(text) => f.write_str(text),
        }
    }
}

impl Error {
    pub(super) fn errno(&self) -> &'static str {
        match self {
            Error::Connect { errno, .. } => errno,
            _ => super::AGAIN,
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Error::Lost(_))
    }
}

const GONE: Error = Error::Lost("Server has gone away");
const LOST: Error = Error::Lost("Lost connection to server during query");
const LOST_EARLY: Error = Error::Lost(
    "Lost connection to server at 'handshake: reading initial communication packet', system error: 104",
);
const MALFORMED: Error = Error::Lost("Malformed packet");

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Error {
        MALFORMED
    }
}

/// Where the server of this host listens if nothing says otherwise.
const SOCKET: &str = "/run/mysqld/mysqld.sock";
const PORT: &str = "3306";
/// Octets of one packet.
const PACKET_LIMIT: usize = 0xff_ffff;
/// Results of one query.
const MAX_RESULTS: usize = 64;
/// Turns of logging in.
const MAX_TURNS: usize = 8;

impl Connection {
    pub(super) async fn open(settings: &Mysql, host: &Host) -> Result<Connection, Error> {
        let limit = settings.options.connect_timeout.map_or(TIMEOUT, Duration::from_secs);
        let opened = timeout(limit, Self::log_in(settings, host)).await;
        opened.unwrap_or(Err(LOST_EARLY))
    }

    async fn log_in(settings: &Mysql, host: &Host) -> Result<Connection, Error> {
        let stream = connect(settings, host).await?;
        let mut connection = Connection { stream: BufReader::new(stream), sequence: 0, status: 0 };
        let packet = connection.read().await.map_err(|_| LOST_EARLY)?;
        if let Some(text) = protocol::parse_error(&packet) {
            return Err(Error::Server(text));
        }
        let greeting = Greeting::parse(&packet)?;
        let wanted = can::LONG_PASSWORD
            | can::LONG_FLAG
            | can::CONNECT_WITH_DB
            | can::PROTOCOL_41
            | can::TRANSACTIONS
            | can::SECURE_CONNECTION
            | can::MULTI_RESULTS
            | can::PLUGIN_AUTH;
        let mut is_private = matches!(host.place, Place::Unix(_));
        let mut capabilities = wanted;
        if let Some(tls) = &settings.tls {
            if greeting.capabilities & can::TLS != 0 {
                capabilities |= can::TLS;
                connection = connection.start_tls(tls, capabilities, host).await?;
                is_private = true;
            } else if tls.verify == super::Verify::Name {
                return Err(Error::Tls("SSL is required, but the server does not support it".to_owned()));
            }
        }
        connection.authenticate(settings, greeting, capabilities, is_private).await?;
        connection.set_charset(&settings.charset).await?;
        Ok(connection)
    }

    async fn start_tls(mut self, tls: &Tls, capabilities: u32, host: &Host) -> Result<Connection, Error> {
        self.write(&protocol::answer_head(capabilities)).await?;
        let name = match &host.place {
            Place::Inet { name, .. } => name.as_str(),
            _ => "localhost",
        };
        let stream = tls.start(self.stream.into_inner(), name).await.map_err(|error| match error {
            TlsError::Settings(why) | TlsError::Untrusted(why) | TlsError::Handshake(why) => Error::Tls(why),
        })?;
        Ok(Connection { stream: BufReader::new(stream), ..self })
    }

    async fn authenticate(
        &mut self,
        settings: &Mysql,
        greeting: Greeting,
        capabilities: u32,
        is_private: bool,
    ) -> Result<(), Error> {
        let password = settings.options.password.as_deref().unwrap_or_default();
        let user = settings.options.user.clone().unwrap_or_else(own_name);
        // A server whose plugin is not known may know one that is.
        let mut plugin = Plugin::parse(&greeting.plugin).unwrap_or(Plugin::NativePassword);
        let mut nonce = greeting.nonce;
        let proof = plugin.proof(password, &nonce, is_private).unwrap_or_default();
        let answer = protocol::answer(capabilities, &user, &proof, &settings.dbname, plugin.name());
        self.write(&answer).await?;
        for _ in 0..MAX_TURNS {
            match AuthReply::parse(&self.read().await.map_err(|_| LOST_EARLY)?)? {
                AuthReply::Done { status } => {
                    self.status = status;
                    return Ok(());
                }
                AuthReply::Error(text) => return Err(Error::Server(text)),
                AuthReply::Switch { plugin: name, nonce: new } => {
                    let unknown =
                        || Error::Server(format!("Authentication plugin '{name}' cannot be loaded"));
                    plugin = Plugin::parse(&name).ok_or_else(unknown)?;
                    nonce = new;
                    let proof = plugin.proof(password, &nonce, is_private).ok_or_else(unknown)?;
                    self.write(&proof).await?;
                }
                // The server has the password's digest at hand.
                AuthReply::More(more) if plugin == Plugin::CachingSha2 && more == [3] => {}
                AuthReply::More(more) if plugin == Plugin::CachingSha2 && more == [4] => {
                    let secret = if is_private { Some([password.as_bytes(), b"\0"].concat()) } else { None };
                    match secret {
                        Some(secret) => self.write(&secret).await?,
                        // The server's public key, please.
                        None => self.write(&[2]).await?,
                    }
                }
                AuthReply::More(key) if plugin == Plugin::CachingSha2 => {
                    let secret = auth::encrypt(password, &nonce, &key).ok_or(MALFORMED)?;
                    self.write(&secret).await?;
                }
                AuthReply::More(_) => return Err(MALFORMED),
            }
        }
        Err(MALFORMED)
    }

    async fn set_charset(&mut self, charset: &str) -> Result<(), Error> {
        if charset.eq_ignore_ascii_case("utf8mb4") {
            return Ok(());
        }
        if !charset.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_') {
            return Err(Error::Charset(format!("Can't initialize character set {charset}")));
        }
        let set = self.query(format!("SET NAMES {charset}").as_bytes()).await;
        set.map(drop).map_err(|error| Error::Charset(error.to_string()))
    }

    pub(super) fn has_no_backslash_escapes(&self) -> bool {
        self.status & NO_BACKSLASH_ESCAPES != 0
    }

    /// The result sets of a query that have rows or could have them.
    pub(super) async fn query(&mut self, query: &[u8]) -> Result<Vec<Rows>, Error> {
        timeout(TIMEOUT, self.exchange(query)).await.unwrap_or(Err(LOST))
    }

    async fn exchange(&mut self, query: &[u8]) -> Result<Vec<Rows>, Error> {
        self.sequence = 0;
        self.write(&[b"\x03", query].concat()).await?;
        let mut sets = Vec::new();
        let mut room = MAX_ROWS_BYTES;
        for _ in 0..MAX_RESULTS {
            match ResultHead::parse(&self.read().await?)? {
                ResultHead::Error(text) => return Err(Error::Server(text)),
                ResultHead::Ok { status } => self.status = status,
                ResultHead::Columns(count) => sets.push(self.read_rows(count, &mut room).await?),
            }
            if self.status & MORE_RESULTS == 0 {
                return Ok(sets);
            }
        }
        Err(MALFORMED)
    }

    async fn read_rows(&mut self, columns: usize, room: &mut usize) -> Result<Rows, Error> {
        // Their descriptions, and what ends them.
        for _ in 0..=columns {
            self.read().await?;
        }
        let mut rows = Rows::new();
        loop {
            let packet = self.read().await?;
            *room = room.checked_sub(packet.len() + 32).ok_or(MALFORMED)?;
            match RowReply::parse(&packet, columns)? {
                RowReply::Row(row) => rows.push(row),
                RowReply::Error(text) => return Err(Error::Server(text)),
                RowReply::End { status } => {
                    self.status = status;
                    return Ok(rows);
                }
            }
        }
    }

    async fn read(&mut self) -> Result<Vec<u8>, Error> {
        let head = self.stream.read_u32_le().await.map_err(|_| LOST)?;
        let length = (head & 0xff_ffff) as usize;
        // Longer ones come in parts; no answer to a lookup is that long.
        if length >= PACKET_LIMIT {
            return Err(MALFORMED);
        }
        self.sequence = ((head >> 24) as u8).wrapping_add(1);
        let mut packet = Vec::new();
        let read = (&mut self.stream).take(length as u64).read_to_end(&mut packet).await;
        if read.is_ok_and(|read| read == length) { Ok(packet) } else { Err(LOST) }
    }

    async fn write(&mut self, packet: &[u8]) -> Result<(), Error> {
        if packet.len() >= PACKET_LIMIT {
            return Err(MALFORMED);
        }
        let head = packet.len() as u32 | u32::from(self.sequence) << 24;
        self.sequence = self.sequence.wrapping_add(1);
        let octets = [&head.to_le_bytes()[..], packet].concat();
        let mut write = async || {
            self.stream.write_all(&octets).await?;
            self.stream.flush().await
        };
        write().await.map_err(|_: io::Error| GONE)
    }
}

async fn connect(settings: &Mysql, host: &Host) -> Result<Pin<Box<dyn Stream>>, Error> {
    let options = &settings.options;
    let path = match &host.place {
        Place::Inet { name, port } => {
            let port = port.as_ref().or(options.port.as_ref()).map_or(PORT, String::as_str);
            return Ok(Box::pin(connect_inet(name, port.parse().unwrap_or_default()).await?));
        }
        Place::Unix(path) if !path.is_empty() => path,
        Place::Unix(_) | Place::Uri => options.socket.as_deref().unwrap_or(SOCKET),
    };
    let stream = UnixStream::connect(path).await.map_err(|error| {
        let code = error.raw_os_error().unwrap_or_default();
        let text = format!("Can't connect to local server through socket '{path}' ({code})");
        Error::Connect { text, errno: nix::errno::Errno::from_raw(code).desc() }
    })?;
    Ok(Box::pin(stream))
}

async fn connect_inet(name: &str, port: u16) -> Result<TcpStream, Error> {
    let unknown = || Error::Connect {
        text: format!("Unknown server host '{name}' (-2)"),
        errno: "No such file or directory",
    };
    let addresses = lookup_host((name, port)).await.map_err(|_| unknown())?;
    let mut last = unknown();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _slower = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => {
                // The library looks at errno as its non-blocking connect(2) left it.
                let code = match error.raw_os_error() {
                    Some(code @ (nix::libc::ENETUNREACH | nix::libc::EHOSTUNREACH)) => code,
                    _ => nix::libc::EINPROGRESS,
                };
                let text = format!("Can't connect to server on '{name}' ({code})");
                last = Error::Connect { text, errno: nix::errno::Errno::from_raw(code).desc() };
            }
        }
    }
    Err(last)
}

/// Who this process is.
fn own_name() -> String {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return "root".to_owned();
    }
    nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(String::new, |user| user.name)
}
