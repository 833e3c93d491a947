//! `socketmap:inet:host:port:name` and `socketmap:unix:/path:name`: socketmap_table(5). Requests and answers are
//! netstrings: `name key`, and `OK value`, `NOTFOUND` or the kind of a failure.

use crate::client::{Connection, Endpoint, Lease, Pool, TIMEOUT};
use crate::open::OpenError;
use crate::source::{show, trim_start};
use crate::{Found, Lookup, OpenContext, Owner, Report, Severity, Table, TryLater, error_text};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Octets of an answer.
const REPLY_LIMIT: usize = 100_000;
/// Digits of a netstring's length.
const LENGTH_DIGITS: usize = 9;

struct Socketmap {
    name: String,
    /// What the server calls the table.
    map: String,
    server: String,
    pool: Pool,
    report: Report,
}

pub(crate) fn open(text: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let name = format!("socketmap:{text}");
    if !context.allow_unauthenticated {
        return Err(OpenError::Unusable(format!("{name} map is not allowed for security-sensitive data")));
    }
    let Some((server, map)) = text.rsplit_once(':') else {
        return Err(OpenError::Unusable("socketmap requires server:socketmap argument".to_owned()));
    };
    let endpoint = match server.split_once(':') {
        Some(("inet", address)) => Endpoint::inet(address),
        Some(("unix", path)) => Endpoint::Unix(path.to_owned()),
        Some((transport, _)) if !transport.is_empty() => {
            return Err(OpenError::Unusable(format!(
                "invalid transport name: {transport} in service: {server}"
            )));
        }
        _ => {
            let text = format!("need service transport:endpoint instead of \"{server}\"");
            return Err(OpenError::Unusable(text));
        }
    };
    // Messages name the server without its kind.
    let server = server.split_once(':').map_or(server, |(_, address)| address).to_owned();
    let (map, pool, report) = (map.to_owned(), Pool::new(endpoint), context.report.clone());
    Ok(Arc::new(Socketmap { name, map, server, pool, report }))
}

/// Why there is no answer.
enum Failure {
    Connect(io::Error),
    /// The connection ended.
    Disconnect,
    TimeLimit,
    /// What came is no netstring.
    Format,
    Size,
}

impl Failure {
    fn text(&self) -> String {
        match self {
            Failure::Connect(error) => error_text(error),
            Failure::Disconnect => "unexpected disconnect".to_owned(),
            Failure::TimeLimit => "time limit exceeded".to_owned(),
            Failure::Format => "input format error".to_owned(),
            Failure::Size => "input exceeds size limit".to_owned(),
        }
    }
}

impl Socketmap {
    async fn find(&self, key: &[u8]) -> Found {
        let request = netstring(&[self.map.as_bytes(), b" ", key].concat());
        let answer = match self.ask(&request).await {
            // A server that was restarted is not worth a word.
            Err((Failure::Disconnect, true)) => self.ask(&request).await,
            answer => answer,
        };
        match answer {
            Ok((lease, reply)) => {
                self.pool.keep(lease);
                self.read_reply(&reply)
            }
            Err((failure, _)) => {
                let why = failure.text();
                if let Failure::Connect(_) = failure {
                    self.warn(&format!("connect to {}: {why}", self.server));
                }
                self.warn(&format!("table {} lookup error: {why}", self.name));
                Err(TryLater(format!("{}: {why}", self.name)))
            }
        }
    }

    /// The answer; or why there is none, and whether the connection was an old one.
    async fn ask(&self, request: &[u8]) -> Result<(Lease, Vec<u8>), (Failure, bool)> {
        let mut lease = self.pool.connection().await.map_err(|error| (Failure::Connect(error), false))?;
        let exchange = timeout(TIMEOUT, exchange(&mut lease.connection, request)).await;
        match exchange.unwrap_or(Err(Failure::TimeLimit)) {
            Ok(reply) => Ok((lease, reply)),
            Err(failure) => Err((failure, lease.is_reused)),
        }
    }

    fn read_reply(&self, reply: &[u8]) -> Found {
        let mut parts = reply.splitn(2, |&octet| octet == b' ');
        let (word, rest) = (parts.next().unwrap_or_default(), parts.next());
        let class = match word {
            b"OK" => return Ok(rest.map(Bytes::copy_from_slice)),
            b"NOTFOUND" => return Ok(None),
            b"TEMP" => "temporary",
            b"TIMEOUT" => "timeout",
            b"PERM" => "permanent",
            _ => "unknown",
        };
        let text = trim_start(rest.unwrap_or_default());
        let colon = if text.is_empty() { "" } else { ": " };
        self.warn(&format!("{} socketmap server {class} error{colon}{:.200}", self.name, show(text)));
        Err(TryLater(format!("{}: socketmap server {class} error{colon}{}", self.name, show(text))))
    }

    fn warn(&self, text: &str) {
        (self.report)(Severity::Warning, text);
    }
}

fn netstring(content: &[u8]) -> Vec<u8> {
    [format!("{}:", content.len()).as_bytes(), content, b","].concat()
}

async fn exchange(connection: &mut Connection, request: &[u8]) -> Result<Vec<u8>, Failure> {
    let write = async {
        connection.write_all(request).await?;
        connection.flush().await
    };
    write.await.map_err(|_: io::Error| Failure::Disconnect)?;
    let length = read_length(connection).await?;
    if length > REPLY_LIMIT {
        return Err(Failure::Size);
    }
    let mut content = vec![0; length];
    connection.read_exact(&mut content).await.map_err(|_| Failure::Disconnect)?;
    match connection.read_u8().await {
        Ok(b',') => Ok(content),
        Ok(_) => Err(Failure::Format),
        Err(_) => Err(Failure::Disconnect),
    }
}

async fn read_length(connection: &mut Connection) -> Result<usize, Failure> {
    let mut length = 0;
    for digits in 0..=LENGTH_DIGITS {
        match connection.read_u8().await.map_err(|_| Failure::Disconnect)? {
            b':' if digits > 0 => return Ok(length),
            digit @ b'0'..=b'9' => length = length * 10 + usize::from(digit - b'0'),
            _ => return Err(Failure::Format),
        }
    }
    Err(Failure::Size)
}

impl Table for Socketmap {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        Lookup::Pending(Box::pin(self.find(key)))
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// Neither parent domains nor networks are looked up here.
    fn is_pattern(&self) -> bool {
        true
    }

    fn owner(&self) -> Owner {
        Owner::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::net::UnixListener;

    fn table(spec: &str) -> (Arc<dyn Table>, Arc<Mutex<Vec<String>>>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&said);
        let context =
            OpenContext::plain(Arc::new(move |_, text: &str| log.lock().unwrap().push(text.to_owned())));
        (open(spec, &context).unwrap(), said)
    }

    /// Answers each request with the next of these; an empty one hangs up.
    async fn serve(listener: UnixListener, replies: &'static [&'static str]) {
        let mut replies = replies.iter();
        while replies.len() > 0 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 12];
            while stream.read_exact(&mut request).await.is_ok() {
                assert_eq!(&request, b"9:name key0,");
                match replies.next() {
                    None | Some(&"") => break,
                    Some(reply) => stream.write_all(reply.as_bytes()).await.unwrap(),
                }
            }
        }
    }

    #[tokio::test]
    async fn lookups() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let name = format!("socketmap:unix:{}:name", path.display());
        let (table, said) = table(name.strip_prefix("socketmap:").unwrap());
        let replies = &[
            "5:OK va,",
            "6:OK a b,",
            "3:OK ,",
            "2:OK,",
            "9:NOTFOUND ,",
            "",
            "5:OK x1,",
            "9:TEMP  why,",
            "4:PERM,",
            "7:what no,",
            "x",
            "6:OK abc;",
            "200000:",
        ];
        let serving = tokio::spawn(serve(listener, replies));
        let mut found = Vec::new();
        for _ in 0..12 {
            found.push(table.get(b"key0").await.map_err(|_| ()));
        }
        serving.abort();
        let value = |text: &'static str| Ok(Some(Bytes::from_static(text.as_bytes())));
        let none: Result<Option<Bytes>, ()> = Ok(None);
        let answers = [value("va"), value("a b"), value(""), none.clone(), none, value("x1")];
        assert_eq!(found[..6], answers);
        assert!(found[6..].iter().all(Result::is_err));
        let lines = [
            format!("{name} socketmap server temporary error: why"),
            format!("{name} socketmap server permanent error"),
            format!("{name} socketmap server unknown error: no"),
            format!("table {name} lookup error: input format error"),
            format!("table {name} lookup error: input format error"),
            format!("table {name} lookup error: input exceeds size limit"),
        ];
        assert_eq!(*said.lock().unwrap(), lines);
    }

    #[tokio::test]
    async fn nobody_listens() {
        let (table, said) = table("inet:127.0.0.1:1:x");
        assert!(table.get(b"k").await.is_err());
        let lines = [
            "connect to 127.0.0.1:1: Connection refused",
            "table socketmap:inet:127.0.0.1:1:x lookup error: Connection refused",
        ];
        assert_eq!(*said.lock().unwrap(), lines);
    }
}
