//! `tcp:host:port`: tcp_table(5). A line with the key, `get %6Bey`, is answered by a line with a code and a value.

use crate::client::{Connection, Endpoint, Lease, Pool, TIMEOUT, timed_out};
use crate::open::OpenError;
use crate::source::show;
use crate::{Found, Lookup, OpenContext, Owner, Report, Severity, Table, TryLater, error_text};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// Attempts before a lookup is given up, and what is between them.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// Octets of an answer.
const REPLY_LIMIT: usize = 4096;

struct Tcp {
    name: String,
    /// Without the type.
    server: String,
    pool: Pool,
    report: Report,
    pause: Duration,
}

pub(crate) fn open(server: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let name = format!("tcp:{server}");
    if !context.allow_unauthenticated {
        return Err(OpenError::Unusable(format!("{name} map is not allowed for security sensitive data")));
    }
    Ok(Arc::new(Tcp {
        name,
        server: server.to_owned(),
        pool: Pool::new(Endpoint::inet(server)),
        report: context.report.clone(),
        pause: PAUSE,
    }))
}

impl Tcp {
    async fn find(&self, key: &[u8]) -> Found {
        let mut last = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                sleep(self.pause).await;
            }
            match self.ask(key).await {
                Ok((lease, line)) => return self.read_reply(lease, &line),
                Err((text, why)) => {
                    (self.report)(Severity::Warning, &text);
                    last = why;
                }
            }
        }
        Err(TryLater(format!("{}: {last}", self.name)))
    }

    /// The line that answers, or a warning and why.
    async fn ask(&self, key: &[u8]) -> Result<(Lease, Vec<u8>), (String, String)> {
        let server = &self.server;
        let mut lease = self.pool.connection().await.map_err(|error| {
            let why = error_text(&error);
            (format!("connect to TCP map {server}: {why}"), why)
        })?;
        let exchange = timeout(TIMEOUT, exchange(&mut lease.connection, key));
        match exchange.await.unwrap_or_else(|_| Err(timed_out())) {
            Ok(Some(line)) => Ok((lease, line)),
            Ok(None) => {
                let text = format!("read TCP map reply from {server}: text longer than {REPLY_LIMIT}");
                Err((text, "text too long".to_owned()))
            }
            Err(error) => {
                let why = error_text(&error);
                Err((format!("read TCP map reply from {server}: unexpected EOF ({why})"), why))
            }
        }
    }

    fn read_reply(&self, lease: Lease, line: &[u8]) -> Found {
        let refuse = |what: &str| {
            let (server, shown) = (&self.server, show(line));
            let text = format!("read TCP map reply from {server}: {what}: {shown:.100}");
            (self.report)(Severity::Warning, &text);
            Err(TryLater(format!("{}: {what}", self.name)))
        };
        let found = match parse_reply(line) {
            None => return refuse("malformed reply"),
            Some((b'2', value)) => Ok(Some(value.into())),
            Some((b'5', _)) => Ok(None),
            // The server is in trouble; the connection is not kept.
            Some((b'4', text)) => return Err(TryLater(format!("{}: {}", self.name, show(&text)))),
            Some(_) => return refuse("bad status code"),
        };
        self.pool.keep(lease);
        found
    }
}

/// None: the answer is too long.
async fn exchange(connection: &mut Connection, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let request = [b"get ", &quote(key)[..], b"\n"].concat();
    connection.write_all(&request).await?;
    connection.flush().await?;
    let mut line = Vec::new();
    loop {
        match connection.read_u8().await? {
            b'\n' => return Ok(Some(line)),
            _ if line.len() >= REPLY_LIMIT => return Ok(None),
            octet => line.push(octet),
        }
    }
}

/// The first digit of the code, and the value.
fn parse_reply(line: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (code, rest) = line.split_at_checked(3)?;
    let (&blank, text) = rest.split_first()?;
    let is_code = code.iter().all(u8::is_ascii_digit) && crate::source::is_space(blank);
    is_code.then(|| unquote(text)).flatten().map(|text| (code[0], text))
}

/// Everything but printable ASCII, and `%`, as `%XX`.
fn quote(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    for &octet in raw {
        if octet.is_ascii_graphic() && octet != b'%' {
            out.push(octet);
        } else {
            out.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
    out
}

fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let (&[high, low], tail) = rest.split_first_chunk()?;
        out.push((digit(high)? << 4 | digit(low)?) as u8);
        rest = tail;
    }
    Some(out)
}

impl Table for Tcp {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        Lookup::Pending(Box::pin(self.find(key)))
    }

    fn name(&self) -> &str {
        &self.name
    }

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
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::net::TcpListener;

    #[test]
    fn replies() {
        for (line, expect) in [
            ("200 a%20b%25", Some((b'2', "a b%"))),
            ("200 ", Some((b'2', ""))),
            ("500 not%20found", Some((b'5', "not found"))),
            ("400 later", Some((b'4', "later"))),
            ("200", None),
            ("20 x", None),
            ("200x", None),
            ("200 %4", None),
            ("200 %zz", None),
            ("", None),
        ] {
            let expect = expect.map(|(code, text)| (code, text.as_bytes().to_vec()));
            assert_eq!(parse_reply(line.as_bytes()), expect, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn unquote_undoes_quote(raw: Vec<u8>) {
            proptest::prop_assert_eq!(unquote(&quote(&raw)), Some(raw));
        }
    }

    /// Answers each line it gets with the next of these; `close` hangs up.
    async fn serve(listener: TcpListener, replies: &'static [&'static str]) {
        let mut replies = replies.iter();
        'connection: while replies.len() > 0 {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap() > 0 {
                assert!(line.starts_with("get "));
                match replies.next() {
                    None => return,
                    Some(&"close") => continue 'connection,
                    Some(reply) => stream.write_all(format!("{reply}\n").as_bytes()).await.unwrap(),
                }
                line.clear();
            }
        }
    }

    #[tokio::test]
    async fn lookups() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let replies =
            &["200 va%6Cue", "500 no", "400 trouble", "garbage", "600 what", "close", "200 after%20all"];
        let serving = tokio::spawn(serve(listener, replies));
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&said);
        let report: Report = Arc::new(move |_, text: &str| log.lock().unwrap().push(text.to_owned()));
        let (name, pool) = (format!("tcp:{server}"), Pool::new(Endpoint::inet(&server)));
        let table = Tcp { name, server: server.clone(), pool, report, pause: Duration::from_millis(1) };
        let mut found = Vec::new();
        for _ in 0..6 {
            found.push(table.get(b"k\xffy").await.map_err(|_| ()));
        }
        serving.abort();
        let value = |text: &'static str| Ok(Some(text.as_bytes().into()));
        assert_eq!(found, [value("value"), Ok(None), Err(()), Err(()), Err(()), value("after all")]);
        let lines = [
            format!("read TCP map reply from {server}: malformed reply: garbage"),
            format!("read TCP map reply from {server}: bad status code: 600 what"),
        ];
        let said = said.lock().unwrap();
        assert_eq!(said[..2], lines);
        assert!(said[2].starts_with(&format!("read TCP map reply from {server}: unexpected EOF (")));
    }

    #[tokio::test]
    async fn nobody_listens() {
        let said = Arc::new(Mutex::new(0));
        let log = Arc::clone(&said);
        let report: Report = Arc::new(move |_, text: &str| {
            assert_eq!(text, "connect to TCP map 127.0.0.1:1: Connection refused");
            *log.lock().unwrap() += 1;
        });
        let pool = Pool::new(Endpoint::inet("127.0.0.1:1"));
        let table = Tcp {
            name: "tcp:127.0.0.1:1".to_owned(),
            server: "127.0.0.1:1".to_owned(),
            pool,
            report,
            pause: Duration::ZERO,
        };
        assert_eq!(table.get(b"x").await, Err(TryLater("tcp:127.0.0.1:1: Connection refused".to_owned())));
        assert_eq!(*said.lock().unwrap(), TRIES);
    }
}
