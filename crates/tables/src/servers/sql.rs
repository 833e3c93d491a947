//! What database servers have in common: a list of hosts, tried at random, unix sockets first; one that fails is left alone
//! for a while; a query with the key in it, and rows that come back.

use super::pool::Pool;
use super::{Find, later};
use crate::template::{Form, TooMany};
use crate::{Found, Lookup, TryLater};
use bytes::Bytes;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A kind of database server.
pub(super) trait Backend: Send + Sync + 'static {
    type Connection: Send + 'static;

    /// `dict_mysql_lookup` and the like: who speaks in warnings.
    const LOOKUP: &'static str;
    /// What errno says in Postfix where the server has answered.
    const ERRNO: &'static str;

    fn connect(&self, host: &Host) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Appends a text so that it stays one within the quotes of the query; an error is a warning's text.
    fn quote(
        &self,
        connection: &Self::Connection,
        host: &Host,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String>;

    fn ask(
        &self,
        connection: &mut Self::Connection,
        host: &Host,
        query: &[u8],
    ) -> impl Future<Output = Result<Rows, Failure>> + Send;
}

/// What a query found; None is NULL.
pub(super) type Rows = Vec<Vec<Option<Bytes>>>;

/// Octets of all rows of an answer; more are refused.
pub(super) const MAX_ROWS_BYTES: usize = 16 << 20;

/// A host could not be asked.
#[derive(Debug)]
pub(super) struct Failure {
    /// For the log, in Postfix's words.
    pub(super) warning: String,
    /// What errno says in Postfix, for who asked.
    pub(super) why: String,
    /// The server hung up.
    pub(super) is_lost: bool,
}

/// One of `hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// As it is written.
    pub(super) text: String,
    pub(super) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A path; empty: the usual one.
    Unix(String),
    Inet {
        name: String,
        port: Option<String>,
    },
    Uri,
}

impl Place {
    /// Unix sockets are tried before others.
    fn rank(&self) -> u8 {
        match self {
            Place::Unix(_) => 0,
            Place::Inet { .. } => 1,
            Place::Uri => 2,
        }
    }
}

/// A table of such a server.
pub(super) struct Sql<B: Backend> {
    pub(super) form: Form,
    backend: B,
    hosts: Vec<Server<B::Connection>>,
    retry_interval: Duration,
    /// Lookups at once.
    at_once: Semaphore,
}

/// Connections that one table has at most.
const MAX_AT_ONCE: usize = 16;

struct Server<C> {
    host: Host,
    pool: Arc<Pool<C>>,
    /// It failed, and is left alone until then.
    down_until: Mutex<Option<Instant>>,
}

impl<C> Server<C> {
    fn is_down(&self) -> bool {
        let until = *self.down_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn set_down(&self, until: Option<Instant>) {
        *self.down_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// `retry_interval` and `idle_interval`.
pub(super) struct Intervals {
    pub(super) retry: Duration,
    pub(super) idle: Duration,
}

impl Intervals {
    pub(super) fn read(parameters: &crate::parameters::Parameters) -> Result<Intervals, String> {
        let seconds = |name: &str| {
            parameters.number(name, 60, 1).map(|number| Duration::from_secs(number.unsigned_abs().into()))
        };
        Ok(Intervals { retry: seconds("retry_interval")?, idle: seconds("idle_interval")? })
    }
}

impl<B: Backend> Sql<B> {
    pub(super) fn new(form: Form, backend: B, hosts: Vec<Host>, intervals: Intervals) -> Sql<B> {
        let server =
            |host: Host| Server { host, pool: Pool::new(intervals.idle), down_until: Mutex::new(None) };
        Sql {
            form,
            backend,
            hosts: hosts.into_iter().map(server).collect(),
            retry_interval: intervals.retry,
            at_once: Semaphore::new(MAX_AT_ONCE),
        }
    }

    async fn look_up(&self, key: &[u8]) -> Found {
        if !self.form.admit(key).await? {
            return Ok(None);
        }
        let rows = self.query(key).await?;
        let mut results = self.form.results(key);
        // NULL is no result, and no reason for a warning.
        for value in rows.iter().flatten().flatten() {
            results.add(value).map_err(|TooMany| self.too_many(key))?;
        }
        Ok(results.finish())
    }

    fn too_many(&self, key: &[u8]) -> TryLater {
        let (lookup, key) = (B::LOOKUP, crate::source::show(key));
        let name = self.form.table.split_once(':').map_or("", |(_, name)| name);
        self.form.warn(&format!("{lookup}: {name}: Expansion limit exceeded for key: '{key}'"));
        later(&self.form.table, B::ERRNO)
    }

    /// Asks one host after the other.
    async fn query(&self, key: &[u8]) -> Result<Rows, TryLater> {
        let permit = self.at_once.acquire().await;
        let _permit = permit.map_err(|_| later(&self.form.table, super::NOTHING))?;
        let mut why = "Operation not supported".to_owned();
        // A connection that the server closed while it was idle says nothing about the server.
        let mut forgiven = 0;
        loop {
            let Some(server) = self.choose() else {
                return Err(later(&self.form.table, &why));
            };
            let kept = server.pool.take();
            let is_old = kept.is_some();
            let failure = match self.ask_one(server, kept, key).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => failure,
            };
            self.form.warn(&failure.warning);
            why = failure.why;
            server.pool.clear();
            if is_old && failure.is_lost && forgiven < self.hosts.len() {
                forgiven += 1;
            } else {
                server.set_down(Some(Instant::now() + self.retry_interval));
            }
        }
    }

    async fn ask_one(
        &self,
        server: &Server<B::Connection>,
        kept: Option<B::Connection>,
        key: &[u8],
    ) -> Result<Rows, Failure> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.backend.connect(&server.host).await?,
        };
        server.set_down(None);
        let mut refused = None;
        let query = self.form.query.fill(key, &mut |text, out| {
            if let Err(warning) = self.backend.quote(&connection, &server.host, text, out) {
                refused = Some(warning);
            }
        });
        if let Some(warning) = refused {
            return Err(Failure { warning, why: super::NOTHING.to_owned(), is_lost: false });
        }
        let rows = self.backend.ask(&mut connection, &server.host, &query).await?;
        server.pool.keep(connection);
        Ok(rows)
    }

    /// A host with a connection, or one that may be tried: unix sockets first, else any.
    fn choose(&self) -> Option<&Server<B::Connection>> {
        let up = || self.hosts.iter().filter(|server| !server.is_down());
        pick(up().filter(|server| !server.pool.is_empty())).or_else(|| pick(up()))
    }
}

/// Any of those of the lowest rank.
fn pick<'a, C>(servers: impl Iterator<Item = &'a Server<C>>) -> Option<&'a Server<C>> {
    let servers: Vec<&Server<C>> = servers.collect();
    let rank = servers.iter().map(|server| server.host.place.rank()).min()?;
    let mut best: Vec<&Server<C>> =
        servers.into_iter().filter(|server| server.host.place.rank() == rank).collect();
    let random = RandomState::new().build_hasher().finish() as usize;
    Some(best.swap_remove(random % best.len()))
}

impl<B: Backend> Find for Sql<B> {
    fn find<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        Lookup::Pending(Box::pin(self.look_up(key)))
    }
}

/// The elements of `hosts`, or the local host.
pub(super) fn split_hosts(hosts: &str) -> Vec<String> {
    let split = hosts.split(|c: char| c == ',' || c.is_ascii_whitespace());
    let hosts: Vec<String> = split.filter(|host| !host.is_empty()).map(str::to_owned).collect();
    if hosts.is_empty() { vec!["localhost".to_owned()] } else { hosts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenContext;
    use crate::parameters::Parameters;
    use std::collections::HashMap;

    /// Hosts that answer or fail as they are told.
    struct Fake {
        answers: Mutex<HashMap<String, Vec<Result<&'static str, bool>>>>,
        connected: Mutex<Vec<String>>,
    }

    impl Backend for Fake {
        type Connection = ();
        const LOOKUP: &'static str = "dict_fake_lookup";
        const ERRNO: &'static str = "Errno";

        async fn connect(&self, host: &Host) -> Result<(), Failure> {
            self.connected.lock().unwrap().push(host.text.clone());
            match self.answers.lock().unwrap().contains_key(&host.text) {
                true => Ok(()),
                false => Err(Failure {
                    warning: format!("{} is down", host.text),
                    why: "Down".into(),
                    is_lost: true,
                }),
            }
        }

        fn quote(&self, _: &(), _: &Host, text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
            out.extend_from_slice(text);
            if text == b"bad" { Err("bad text".to_owned()) } else { Ok(()) }
        }

        async fn ask(&self, _: &mut (), host: &Host, query: &[u8]) -> Result<Rows, Failure> {
            let next = self.answers.lock().unwrap().get_mut(&host.text).unwrap().pop();
            match next.unwrap() {
                Ok(value) => {
                    let value = [query, value.as_bytes()].concat();
                    Ok(vec![vec![Some(value.into()), None]])
                }
                Err(is_lost) => Err(Failure { warning: "failed".into(), why: "Broken".into(), is_lost }),
            }
        }
    }

    #[tokio::test]
    async fn one_host_after_the_other() {
        let unix = |text: &str| Host { text: text.to_owned(), place: Place::Unix(String::new()) };
        let inet = |text: &str| Host {
            text: text.to_owned(),
            place: Place::Inet { name: String::new(), port: None },
        };
        let ok = || Ok("=v");
        // What each host answers (the last is first); the key; the result, the connections and the warnings.
        for (name, hosts, answers, key, expect, connected, warnings) in [
            (
                "unix first",
                vec![inet("i"), unix("u")],
                vec![("u", vec![ok()]), ("i", vec![ok()])],
                "k",
                "k=v",
                "u",
                "",
            ),
            (
                "fail over",
                vec![unix("u"), inet("i")],
                vec![("i", vec![ok()])],
                "k",
                "k=v",
                "u i",
                "u is down",
            ),
            ("query fails", vec![unix("u")], vec![("u", vec![Err(false)])], "k", "!t: Broken", "u", "failed"),
            ("none is up", vec![inet("i")], vec![], "k", "!t: Down", "i", "i is down"),
            (
                "not quoted",
                vec![unix("u")],
                vec![("u", vec![ok()])],
                "bad",
                "!t: Application error",
                "u",
                "bad text",
            ),
        ] {
            let said = Arc::new(Mutex::new(Vec::new()));
            let sql = sql(hosts, answers, &said);
            assert_eq!(show(sql.look_up(key.as_bytes()).await), expect, "{name}");
            assert_eq!(sql.backend.connected.lock().unwrap().join(" "), connected, "{name}");
            assert_eq!(said.lock().unwrap().join("|"), warnings, "{name}");
        }
        // A kept connection is used again; one that was lost is opened anew; a host that is down is left alone.
        let said = Arc::new(Mutex::new(Vec::new()));
        let sql = sql(vec![unix("u")], vec![("u", vec![Err(false), ok(), Err(true), ok(), ok()])], &said);
        for expect in ["k=v", "k=v", "k=v", "!t: Broken", "!t: Operation not supported"] {
            assert_eq!(show(sql.look_up(b"k").await), expect);
        }
        assert_eq!(sql.backend.connected.lock().unwrap().join(" "), "u u");
        assert_eq!(said.lock().unwrap().join("|"), "failed|failed");
    }

    fn sql(
        hosts: Vec<Host>,
        answers: Vec<(&str, Vec<Result<&'static str, bool>>)>,
        said: &Arc<Mutex<Vec<String>>>,
    ) -> Sql<Fake> {
        let log = Arc::clone(said);
        let context =
            OpenContext::plain(Arc::new(move |_, text: &str| log.lock().unwrap().push(text.to_owned())));
        let parameters = Parameters::parse("t", b"query = %s\n", &mut |_| {}).unwrap();
        let mut form = Form::new("fake", &parameters, "%s", "%s", &context).unwrap();
        form.table = "t".to_owned();
        let answers = answers.into_iter().map(|(host, answers)| (host.to_owned(), answers)).collect();
        let fake = Fake { answers: Mutex::new(answers), connected: Mutex::default() };
        let interval = Duration::from_secs(60);
        Sql::new(form, fake, hosts, Intervals { retry: interval, idle: interval })
    }

    fn show(found: Found) -> String {
        match found {
            Ok(value) => value.map_or("-".to_owned(), |value| String::from_utf8_lossy(&value).into_owned()),
            Err(later) => format!("!{}", later.0),
        }
    }
}
