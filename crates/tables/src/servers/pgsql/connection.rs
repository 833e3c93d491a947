//! One connection to a PostgreSQL server: from the socket to the answer of a query.

use super::super::NOTHING;
use super::super::sql::{MAX_ROWS_BYTES, Rows};
use super::super::tls::TlsError;
use super::protocol::{self, Demand};
use super::scram::Scram;
use super::target::{Target, TlsMode};
use crate::client::{Stream, TIMEOUT};
use crate::error_text;
use openssl::hash::{MessageDigest, hash};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

/// A session that is logged in.
pub(super) struct Connection {
    stream: BufReader<Pin<Box<dyn Stream>>>,
    standard_strings: bool,
}

/// Why there is no session, in libpq's words.
pub(super) struct ConnectError {
    pub(super) text: String,
    pub(super) errno: &'static str,
}

impl ConnectError {
    fn new(text: String) -> ConnectError {
        ConnectError { text, errno: NOTHING }
    }
}

/// Why there is no answer.
pub(super) enum QueryError {
    /// There was no query.
    Empty,
    Protocol,
    Fatal {
        text: String,
        is_lost: bool,
    },
}

const CLOSED: &str = "server closed the connection unexpectedly\n\tThis probably means the server terminated \
                      abnormally\n\tbefore or while processing the request.\n";
/// Octets of one message.
const MESSAGE_LIMIT: usize = 16 << 20;
/// Messages of logging in.
const MAX_MESSAGES: usize = 256;
const SCRAM: &str = "SCRAM-SHA-256";

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Connection, ConnectError> {
        let limit = target.connect_timeout.map_or(TIMEOUT, Duration::from_secs);
        let opened = timeout(limit, Self::log_in(target)).await;
        opened.unwrap_or_else(|_| Err(ConnectError::new("timeout expired\n".to_owned())))
    }

    async fn log_in(target: &Target) -> Result<Connection, ConnectError> {
        if let Some(path) = target.socket() {
            let server = format!("connection to server on socket \"{path}\"");
            let stream = UnixStream::connect(&path).await.map_err(|error| {
                let why = error_text(&error);
                let text = format!(
                    "{server} failed: {why}\n\tIs the server running locally and accepting connections on that socket?\n"
                );
                ConnectError { text, errno: nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or_default()).desc() }
            })?;
            return authenticate(Box::pin(stream), target, &server).await;
        }
        let addresses = lookup_host((target.host.as_str(), target.port)).await.map_err(|_| {
            let host = &target.host;
            let why = "Name or service not known";
            ConnectError::new(format!("could not translate host name \"{host}\" to address: {why}\n"))
        })?;
        let mut said = String::new();
        let mut errno = NOTHING;
        for address in addresses {
            let server = server_name(&target.host, address);
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    let _slower = stream.set_nodelay(true);
                    let stream = start_tls(Box::pin(stream), target, &server).await?;
                    return authenticate(stream, target, &server).await;
                }
                Err(error) => {
                    let why = error_text(&error);
                    said += &format!(
                        "{server} failed: {why}\n\tIs the server running on that host and accepting TCP/IP connections?\n"
                    );
                    errno = "Operation now in progress";
                }
            }
        }
        Err(ConnectError { text: said, errno })
    }

    pub(super) fn has_standard_strings(&self) -> bool {
        self.standard_strings
    }

    pub(super) async fn set_encoding(&mut self, encoding: &str) -> Result<(), ()> {
        let mut quoted = Vec::new();
        protocol::quote(encoding.as_bytes(), true, &mut quoted);
        let set = [b"set client_encoding to '", &quoted[..], b"'"].concat();
        self.query(&set).await.map(drop).map_err(drop)
    }

    /// The rows of the last of the query's results.
    pub(super) async fn query(&mut self, query: &[u8]) -> Result<Rows, QueryError> {
        let lost = || QueryError::Fatal { text: CLOSED.to_owned(), is_lost: true };
        timeout(TIMEOUT, self.exchange(query)).await.unwrap_or_else(|_| Err(lost()))
    }

    async fn exchange(&mut self, query: &[u8]) -> Result<Rows, QueryError> {
        let lost = |_: io::Error| QueryError::Fatal { text: CLOSED.to_owned(), is_lost: true };
        self.send(&protocol::text_message(b'Q', query)).await.map_err(lost)?;
        let mut result = Err(QueryError::Empty);
        let mut room = MAX_ROWS_BYTES;
        loop {
            let (kind, body) = self.receive().await.map_err(lost)?;
            match kind {
                b'T' => result = Ok(Rows::new()),
                b'D' => {
                    let row = protocol::parse_row(&body).ok_or(QueryError::Protocol)?;
                    room = room.checked_sub(body.len() + 32).ok_or(QueryError::Protocol)?;
                    match &mut result {
                        Ok(rows) => rows.push(row),
                        Err(_) => return Err(QueryError::Protocol),
                    }
                }
                // A command without rows.
                b'C' if result.is_err() => result = Ok(Rows::new()),
                b'I' => result = Err(QueryError::Empty),
                b'E' => {
                    let text = protocol::parse_error(&body, &String::from_utf8_lossy(query));
                    let is_lost = body.starts_with(b"SFATAL\0");
                    result = Err(QueryError::Fatal { text, is_lost });
                    if is_lost {
                        return result;
                    }
                }
                b'S' => self.note_status(&body),
                b'Z' => return result,
                b'C' | b'N' | b'A' | b'K' => {}
                // Copying in or out, or what is no message.
                _ => return Err(QueryError::Protocol),
            }
        }
    }

    fn note_status(&mut self, body: &[u8]) {
        if let Some((b"standard_conforming_strings", value)) = protocol::parse_status(body) {
            self.standard_strings = value == b"on";
        }
    }

    async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream.write_all(message).await?;
        self.stream.flush().await
    }

    async fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await?;
        let length =
            (self.stream.read_u32().await? as usize).checked_sub(4).filter(|length| *length <= MESSAGE_LIMIT);
        let length = length.ok_or(io::ErrorKind::InvalidData)?;
        let mut body = Vec::new();
        let read = (&mut self.stream).take(length as u64).read_to_end(&mut body).await?;
        if read == length { Ok((kind, body)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// `connection to server at "name" (address), port n`
fn server_name(host: &str, address: SocketAddr) -> String {
    let shown = match host.parse::<std::net::IpAddr>() {
        Ok(_) => String::new(),
        Err(_) => format!(" ({})", address.ip()),
    };
    format!("connection to server at \"{host}\"{shown}, port {}", address.port())
}

async fn start_tls(
    mut stream: Pin<Box<dyn Stream>>,
    target: &Target,
    server: &str,
) -> Result<Pin<Box<dyn Stream>>, ConnectError> {
    if target.tls == TlsMode::Never {
        return Ok(stream);
    }
    let closed = |_: io::Error| ConnectError::new(format!("{server} failed: {CLOSED}"));
    stream.write_all(&protocol::TLS_REQUEST).await.map_err(closed)?;
    stream.flush().await.map_err(closed)?;
    match stream.read_u8().await.map_err(closed)? {
        b'S' => target.settings.start(stream, &target.host).await.map_err(|error| {
            let why = match error {
                TlsError::Untrusted(_) => "certificate verify failed".to_owned(),
                TlsError::Settings(why) | TlsError::Handshake(why) => why,
            };
            ConnectError::new(format!("{server} failed: SSL error: {why}\n"))
        }),
        _ if target.tls == TlsMode::Always => {
            let text = format!("{server} failed: server does not support SSL, but SSL was required\n");
            Err(ConnectError::new(text))
        }
        _ => Ok(stream),
    }
}

async fn authenticate(
    stream: Pin<Box<dyn Stream>>,
    target: &Target,
    server: &str,
) -> Result<Connection, ConnectError> {
    let mut connection = Connection { stream: BufReader::new(stream), standard_strings: false };
    let user = target.user.clone().unwrap_or_else(own_name);
    let dbname = target.dbname.as_deref().unwrap_or(&user);
    let failed = |text: &str| ConnectError::new(format!("{server} failed: {text}"));
    let closed = |_: io::Error| failed(CLOSED);
    connection.send(&protocol::startup(&user, dbname)).await.map_err(closed)?;
    let mut scram = None;
    for _ in 0..MAX_MESSAGES {
        let (kind, body) = connection.receive().await.map_err(closed)?;
        match kind {
            b'R' => {
                let demand = Demand::parse(&body).ok_or_else(|| failed(CLOSED))?;
                if let Some(answer) = answer(demand, &user, target.password.as_deref(), &mut scram)
                    .map_err(|text| failed(&text))?
                {
                    connection.send(&answer).await.map_err(closed)?;
                }
            }
            b'E' => return Err(failed(&protocol::parse_error(&body, ""))),
            b'S' => connection.note_status(&body),
            b'Z' => return Ok(connection),
            b'K' | b'N' => {}
            _ => break,
        }
    }
    Err(failed("received unexpected message\n"))
}

/// What is said to a demand; None: nothing.
fn answer(
    demand: Demand,
    user: &str,
    password: Option<&str>,
    scram: &mut Option<Scram>,
) -> Result<Option<Vec<u8>>, String> {
    let password = || password.ok_or_else(|| "fe_sendauth: no password supplied\n".to_owned());
    let broken = || "malformed SCRAM message\n".to_owned();
    match demand {
        Demand::Nothing => Ok(None),
        Demand::Password => Ok(Some(protocol::text_message(b'p', password()?.as_bytes()))),
        Demand::Md5 { salt } => {
            let inner = md5_hex(&[password()?.as_bytes(), user.as_bytes()]);
            let outer = inner.and_then(|inner| md5_hex(&[inner.as_bytes(), &salt]));
            let outer = outer.ok_or("could not encrypt password: unsupported\n")?;
            Ok(Some(protocol::text_message(b'p', format!("md5{outer}").as_bytes())))
        }
        Demand::Sasl { mechanisms } if mechanisms.iter().any(|name| name == SCRAM) => {
            password()?;
            let mut random = [0; 18];
            openssl::rand::rand_bytes(&mut random).map_err(|_| "could not generate nonce\n")?;
            let nonce = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, random);
            let scram = scram.insert(Scram::new(nonce));
            Ok(Some(protocol::sasl_first(SCRAM, &scram.first())))
        }
        Demand::Sasl { .. } => {
            Err("none of the server's SASL authentication mechanisms are supported\n".to_owned())
        }
        Demand::SaslContinue(message) => {
            let scram = scram.as_mut().ok_or_else(broken)?;
            let answer = scram.answer(password()?, &message).ok_or_else(broken)?;
            Ok(Some(protocol::message(b'p', &answer)))
        }
        Demand::SaslFinal(message) => match scram.as_ref().is_some_and(|scram| scram.is_right(&message)) {
            true => Ok(None),
            false => Err("incorrect server signature\n".to_owned()),
        },
        Demand::Unknown(code) => Err(format!("authentication method {code} not supported\n")),
    }
}

fn md5_hex(parts: &[&[u8]]) -> Option<String> {
    let digest = hash(MessageDigest::md5(), &parts.concat()).ok()?;
    Some(digest.iter().map(|octet| format!("{octet:02x}")).collect())
}

/// Who this process is.
fn own_name() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .map_or_else(String::new, |user| user.name)
}
