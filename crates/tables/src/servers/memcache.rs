//! `memcache:/file`: memcache_table(5), with another table behind it if there is to be one.

use super::{Find, later};
use crate::client::{Connection, Endpoint, Lease, Pool, timed_out};
use crate::parameters::Parameters;
use crate::source::{is_space, show};
use crate::template::{Form, Template};
use crate::{Found, Lookup, OpenContext, Report, Severity, Table, TryLater, error_text};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

struct Memcache {
    /// The path, or the name in main.cf.
    name: String,
    form: Form,
    has_format: bool,
    server: String,
    pool: Pool,
    backup: Option<Arc<dyn Table>>,
    limits: Limits,
    report: Report,
}

struct Limits {
    ttl: i32,
    flags: i32,
    max_try: i32,
    retry_pause: Duration,
    /// Octets of a line.
    line_size: usize,
    /// Octets of a value.
    data_size: usize,
    timeout: Duration,
}

pub(super) fn open(parameters: Parameters, context: &OpenContext) -> Result<Arc<dyn Find>, String> {
    let name = parameters.name.clone();
    if !context.allow_unauthenticated {
        return Err(format!("memcache:{name} map is not allowed for security-sensitive data"));
    }
    let key_format = parameters.get("key_format").unwrap_or_else(|| "%s".to_owned());
    let limits = read_limits(&parameters)?;
    let server = parameters.get("memcache").unwrap_or_else(|| "inet:localhost:11211".to_owned());
    let (endpoint, server) = parse_server(&server)?;
    let backup = parameters.text("backup").map(|spec| crate::open(&spec, context)).transpose();
    let form = Form::new("memcache", &parameters, &key_format, "%s", context)?;
    Ok(Arc::new(Memcache {
        name,
        has_format: Template::parse("", "query", "%s").as_ref() != Ok(&form.query),
        form,
        server,
        pool: Pool::new(endpoint),
        backup: backup.map_err(|error| error.to_string())?,
        limits,
        report: context.report.clone(),
    }))
}

fn read_limits(parameters: &Parameters) -> Result<Limits, String> {
    let size =
        |name: &str, default| parameters.number(name, default, 1).map(|size| size.unsigned_abs() as usize);
    let seconds = |number: i32| Duration::from_secs(number.unsigned_abs().into());
    Ok(Limits {
        // Postfix: 0 is no limit; here there is always one.
        timeout: match parameters.number("timeout", 2, 0)? {
            1.. => seconds(parameters.number("timeout", 2, 0)?),
            _ => crate::client::TIMEOUT,
        },
        ttl: parameters.number("ttl", 3600, 0)?,
        flags: parameters.number("flags", 0, 0)?,
        retry_pause: seconds(parameters.number("retry_pause", 1, 1)?),
        max_try: parameters.number("max_try", 2, 1)?,
        line_size: size("line_size_limit", 1024)?,
        data_size: size("data_size_limit", 10240)?,
    })
}

/// `inet:host:port` or `unix:path`, and what warnings call it.
fn parse_server(text: &str) -> Result<(Endpoint, String), String> {
    match text.split_once(':') {
        None => Err(format!("need service transport:endpoint instead of \"{text}\"")),
        Some(("inet", place)) => Ok((Endpoint::inet(place), place.to_owned())),
        Some(("unix" | "local", path)) => Ok((Endpoint::Unix(path.to_owned()), path.to_owned())),
        Some((transport, _)) => Err(format!("invalid transport name: {transport} in service: {text}")),
    }
}

/// What a server says to a command.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Value(Bytes),
    NotFound,
    Stored,
    /// Not an answer to that.
    Unexpected(String),
    /// Less than it promised.
    Cut,
}

/// Why there is none.
enum Trouble {
    /// No connection; that was said.
    Connect(io::Error),
    Said(String),
}

impl Memcache {
    async fn look_up(&self, key: &[u8]) -> Found {
        let Some(name) = self.key(key).await? else {
            return Ok(None);
        };
        let cached = self.get(&name).await;
        let Some(backup) = &self.backup else {
            return cached;
        };
        if let Ok(Some(value)) = cached {
            return Ok(Some(value));
        }
        let found = backup.get(key).await?;
        if let Some(value) = &found {
            self.set(&name, value).await;
        }
        Ok(found)
    }

    /// The key as the server has it; None: it has no such key.
    async fn key(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TryLater> {
        if key.is_empty() || !self.form.admit(key).await? {
            return Ok(None);
        }
        let mut plain = |text: &[u8], out: &mut Vec<u8>| out.extend_from_slice(text);
        let key = if self.has_format { self.form.query.fill(key, &mut plain) } else { key.to_vec() };
        let is_word =
            !key.is_empty() && !key.iter().any(|&octet| is_space(octet) || octet.is_ascii_control());
        Ok(is_word.then_some(key))
    }

    async fn get(&self, key: &[u8]) -> Found {
        let request = [b"get ", key, b"\r\n"].concat();
        let mut why = String::new();
        for attempt in 0..self.limits.max_try {
            if attempt > 0 {
                sleep(self.limits.retry_pause).await;
            }
            match self.exchange(&request).await {
                Ok(Reply::Value(value)) => return Ok(Some(value)),
                Ok(Reply::NotFound) => return Ok(None),
                Ok(Reply::Unexpected(line)) if attempt > 0 => {
                    self.warn(&format!("{}: unexpected memcache server reply: {line:.30}", self.name));
                }
                Ok(Reply::Cut) if attempt > 0 => {
                    self.warn(&format!("{}: EOF receiving memcache server reply", self.name));
                }
                Ok(_) => {}
                Err(Trouble::Connect(error)) => {
                    return Err(later(&self.form.table, &error_text(&error)));
                }
                Err(Trouble::Said(text)) if attempt > 0 => self.warn(&text),
                Err(Trouble::Said(_)) => {}
            }
            why = "Operation now in progress".to_owned();
        }
        Err(later(&self.form.table, &why))
    }

    /// Keeps what the table behind has said. That it could not be kept is said, and no more.
    async fn set(&self, key: &[u8], value: &[u8]) {
        let limits = &self.limits;
        if value.len() > limits.data_size {
            let (table, key, size) = (&self.form.table, show(key), limits.data_size);
            self.warn(&format!(
                "database {table}: data for key {key} is too long (data_size_limit={size}) -- not stored"
            ));
            return;
        }
        let head = format!(" {} {} {}\r\n", limits.flags, limits.ttl, value.len());
        let request = [b"set ", key, head.as_bytes(), value, b"\r\n"].concat();
        for attempt in 0..limits.max_try {
            if attempt > 0 {
                sleep(limits.retry_pause).await;
            }
            match self.exchange(&request).await {
                Ok(Reply::Stored) => return,
                Ok(Reply::Unexpected(line)) if attempt > 0 => {
                    let table = &self.form.table;
                    self.warn(&format!("database {table}: update failed: {line:.30}"));
                }
                Err(Trouble::Said(text)) if attempt > 0 => self.warn(&text),
                Err(Trouble::Connect(_)) => return,
                Ok(_) | Err(Trouble::Said(_)) => {}
            }
        }
    }

    async fn exchange(&self, request: &[u8]) -> Result<Reply, Trouble> {
        let mut lease = self.connect().await?;
        let both = async {
            lease.connection.write_all(request).await?;
            lease.connection.flush().await?;
            read_reply(&mut lease.connection, &self.limits).await
        };
        match timeout(self.limits.timeout, both).await.unwrap_or_else(|_| Err(timed_out())) {
            Ok((reply, is_whole)) => {
                if is_whole {
                    self.pool.keep(lease);
                }
                Ok(reply)
            }
            Err(_) => {
                let table = &self.form.table;
                Err(Trouble::Said(format!("database {table}: I/O error: Operation now in progress")))
            }
        }
    }

    async fn connect(&self) -> Result<Lease, Trouble> {
        let connected = timeout(self.limits.timeout, self.pool.connection()).await;
        connected.unwrap_or_else(|_| Err(timed_out())).map_err(|error| {
            self.warn(&format!("connect to {}: {}", self.server, error_text(&error)));
            Trouble::Connect(error)
        })
    }

    fn warn(&self, text: &str) {
        (self.report)(Severity::Warning, text);
    }
}

/// A reply, and whether the connection is where it should be.
async fn read_reply(connection: &mut Connection, limits: &Limits) -> io::Result<(Reply, bool)> {
    let line = read_line(connection, limits).await?;
    match line.as_slice() {
        b"END" => return Ok((Reply::NotFound, true)),
        b"STORED" => return Ok((Reply::Stored, true)),
        _ => {}
    }
    let Some(size) = value_size(&line).filter(|size| *size <= limits.data_size) else {
        return Ok((Reply::Unexpected(show(&line).into_owned()), false));
    };
    let mut value = vec![0; size + 2];
    if connection.read_exact(&mut value).await.is_err() || !value.ends_with(b"\r\n") {
        return Ok((Reply::Cut, false));
    }
    value.truncate(size);
    let is_whole = read_line(connection, limits).await.is_ok_and(|line| line == b"END");
    let text = crate::source::before_nul(&value).to_vec();
    Ok((Reply::Value(text.into()), is_whole))
}

/// `VALUE key flags size`
fn value_size(line: &[u8]) -> Option<usize> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    (words.next()? == "VALUE").then_some(())?;
    words.nth(2)?.parse().ok()
}

async fn read_line(connection: &mut Connection, limits: &Limits) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    connection.take(limits.line_size as u64).read_until(b'\n', &mut line).await?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

impl Find for Memcache {
    fn find<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        Lookup::Pending(Box::pin(self.look_up(key)))
    }

    /// What is in the table behind it.
    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        let Some(backup) = &self.backup else {
            let table = &self.form.table;
            self.warn(&format!("database {table}: first/next support requires backup database"));
            return Some(Ok(()));
        };
        backup.visit(visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::io::BufReader;
    use tokio::net::TcpListener;

    #[test]
    fn servers() {
        let inet = |place: &str| Ok((Endpoint::Inet(place.to_owned()), place.to_owned()));
        for (text, expect) in [
            ("inet:h:1", inet("h:1")),
            ("unix:/x", Ok((Endpoint::Unix("/x".to_owned()), "/x".to_owned()))),
            ("h:1", Err("invalid transport name: h in service: h:1".to_owned())),
            ("x", Err("need service transport:endpoint instead of \"x\"".to_owned())),
        ] {
            assert_eq!(parse_server(text), expect, "{text}");
        }
    }

    /// Answers each request with the next of these.
    async fn serve(listener: TcpListener, replies: &'static [&'static str], asked: Arc<Mutex<Vec<String>>>) {
        let mut replies = replies.iter();
        while replies.len() > 0 {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap() > 0 {
                if line.starts_with("set ") {
                    stream.read_line(&mut line).await.unwrap();
                }
                asked.lock().unwrap().push(std::mem::take(&mut line));
                let Some(reply) = replies.next() else { return };
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn lookups() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let replies = &[
            "VALUE a 0 5\r\nvalue\r\nEND\r\n",
            "END\r\n",
            "END\r\n",
            "STORED\r\n",
            "ERROR\r\n",
            "VALUE b 0 99999\r\n",
            "VALUE b 0 2\r\nokEND\r\n",
            "VALUE b 0 2\r\nok\r\nEND\r\n",
        ];
        let asked = Arc::default();
        let serving = tokio::spawn(serve(listener, replies, Arc::clone(&asked)));
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&said);
        let context =
            OpenContext::plain(Arc::new(move |_, text: &str| log.lock().unwrap().push(text.to_owned())));
        let text = format!(
            "memcache = inet:{server}\nkey_format = x:%s\nbackup = inline:{{c=stored}}\ndomain =\nmax_try = 2\n"
        );
        let parameters = Parameters::parse("t", text.as_bytes(), &mut |_| {}).unwrap();
        let mut table = Memcache {
            limits: Limits { retry_pause: Duration::ZERO, ..read_limits(&parameters).unwrap() },
            ..build(&parameters, &context)
        };
        let mut found = Vec::new();
        for key in ["a", "b", "c", "a b", ""] {
            found.push(table.look_up(key.as_bytes()).await.unwrap());
        }
        table.backup = None;
        let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        assert_eq!(found, [value("value"), None, value("stored"), None, None]);
        assert!(table.look_up(b"d").await.is_err());
        assert_eq!(table.look_up(b"d").await, Ok(value("ok")));
        serving.abort();
        assert_eq!(*said.lock().unwrap(), ["t: unexpected memcache server reply: VALUE b 0 99999"]);
        let asked = asked.lock().unwrap().concat();
        assert!(
            asked.starts_with("get x:a\r\nget x:b\r\nget x:c\r\nset x:c 0 3600 6\r\nstored\r\n"),
            "{asked}"
        );
    }

    fn build(parameters: &Parameters, context: &OpenContext) -> Memcache {
        let (endpoint, server) = parse_server(&parameters.get("memcache").unwrap()).unwrap();
        Memcache {
            name: "t".to_owned(),
            form: Form::new("memcache", parameters, "x:%s", "%s", context).unwrap(),
            has_format: true,
            server,
            pool: Pool::new(endpoint),
            backup: Some(crate::open("inline:{c=stored}", context).unwrap()),
            limits: read_limits(parameters).unwrap(),
            report: context.report.clone(),
        }
    }
}
