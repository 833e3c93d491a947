//! Connections to Dovecot's authentication server. One serves one exchange at a time, and the next one after it.

use super::{Step, Who};
use net::dial::error_text;
use net::{Endpoint, Stream};
use smtp::Secret;
use smtp::sasl::SecurityOptions;
use smtp::sasl::dovecot::{Answer, Greeted, Greeting, Offer, Request, answer, continuation, hello};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer may take: as in Postfix.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Octets of a line from the server.
const LINE_LIMIT: usize = 64 << 10;
/// Connections kept between exchanges.
const IDLE_LIMIT: usize = 20;

/// The server at one address.
pub struct Dovecot {
    endpoint: Endpoint,
    /// `smtpd_sasl_path`, as warnings name it.
    path: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// What the server offered when it was last asked.
    offers: Vec<Offer>,
    client_number: u32,
}

struct Connection {
    stream: Stream,
    requests: u32,
}

/// One exchange under way.
pub(super) struct Exchange(Connection);

impl Dovecot {
    /// `smtpd_sasl_path`: `inet:HOST:PORT`, or a socket, `unix:` or not, below the queue directory unless absolute.
    pub fn new(path: &str, queue_directory: &Path) -> Dovecot {
        let endpoint = Endpoint::parse(path, queue_directory);
        Dovecot { endpoint, path: path.to_owned(), state: Mutex::default() }
    }

    /// The mechanisms that suit the options. A server that is down now offers what it did when it was up.
    pub(super) async fn mechanisms(&self, options: &SecurityOptions) -> Result<Vec<String>, String> {
        let is_known = !self.with(|state| state.offers.is_empty());
        match self.connection().await {
            Ok(connection) => self.keep(connection),
            Err(_) if is_known => {}
            Err(warning) => return Err(warning),
        }
        let suits = |offer: &&Offer| offer.suits(options);
        Ok(self.with(|state| state.offers.iter().filter(suits).map(|offer| offer.name.clone()).collect()))
    }

    /// Begins an exchange.
    pub(super) async fn begin(
        &self,
        who: &Who<'_>,
        mechanism: &str,
        initial_response: Option<&Secret>,
    ) -> Result<(Exchange, Step), String> {
        // One that was idle may be dead without our knowing.
        let mut last = String::new();
        for _ in 0..2 {
            let mut connection = self.connection().await?;
            connection.requests += 1;
            let request = Request {
                id: connection.requests,
                mechanism,
                service: who.service,
                server_address: who.server_address,
                client_address: who.client_address,
                is_tls: who.is_tls,
                initial_response,
            };
            match connection.ask(&request.line()).await {
                Ok(step) => return Ok((Exchange(connection), step)),
                Err(error) => last = error,
            }
            self.with(|state| state.idle.clear());
        }
        Err(last)
    }

    /// What the client answered to a challenge.
    pub(super) async fn go_on(&self, exchange: &mut Exchange, response: &Secret) -> Result<Step, String> {
        let line = continuation(exchange.0.requests, response);
        exchange.0.ask(&line).await
    }

    /// The exchange came to an end, and its connection serves others. One that was broken off is not ended: the server
    /// would go on waiting.
    pub(super) fn end(&self, exchange: Exchange) {
        self.keep(exchange.0);
    }

    fn keep(&self, connection: Connection) {
        self.with(|state| {
            if state.idle.len() < IDLE_LIMIT {
                state.idle.push(connection);
            }
        });
    }

    async fn connection(&self) -> Result<Connection, String> {
        while let Some(mut connection) = self.with(|state| state.idle.pop()) {
            if connection.stream.is_quiet() {
                return Ok(connection);
            }
        }
        let connecting = timeout(TIMEOUT, self.connect()).await;
        connecting.unwrap_or_else(|_| Err(self.failed("Connection timed out")))
    }

    async fn connect(&self) -> Result<Connection, String> {
        let failed = |error: io::Error| self.failed(&error_text(&error));
        let stream = self.endpoint.connect(TIMEOUT).await.map_err(failed)?;
        let mut connection = Connection { stream, requests: 0 };
        let number = self.with(|state| {
            state.client_number = state.client_number.wrapping_add(1);
            state.client_number
        });
        // Clients are told apart by this number; each connection is one.
        let number = std::process::id().wrapping_mul(1024).wrapping_add(number);
        connection.send(hello(number).as_bytes()).await.map_err(failed)?;
        let mut greeting = Greeting::default();
        loop {
            let line = connection.line().await.map_err(failed)?;
            match greeting.line(&line) {
                Greeted::More => {}
                Greeted::Failed(why) => return Err(why),
                Greeted::Done(offers) => {
                    self.with(|state| state.offers = offers);
                    return Ok(connection);
                }
            }
        }
    }

    fn failed(&self, why: &str) -> String {
        format!("SASL: Connect to Dovecot auth socket '{}' failed: {why}", self.path)
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const LOST: &str = "Connection lost to authentication server";

impl Connection {
    /// Sends a request and waits for what is said to it.
    async fn ask(&mut self, request: &[u8]) -> Result<Step, String> {
        let asked = timeout(TIMEOUT, async {
            self.send(request).await?;
            loop {
                if let Some(answer) = answer(&self.line().await?, self.requests) {
                    return io::Result::Ok(answer);
                }
            }
        });
        Ok(match asked.await.map_err(|_| LOST.to_owned())?.map_err(|_| LOST.to_owned())? {
            Answer::Ok { user } => Step::Done { user },
            Answer::Continue(challenge) => Step::Challenge(challenge),
            Answer::Fail { reason, user } => Step::Failed { reason, user },
            Answer::Broken(warning) => Step::Broken { warning },
        })
    }

    async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.output().extend_from_slice(octets);
        self.stream.flush().await
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            let input = self.stream.input();
            if let Some(end) = memchr::memchr(b'\n', input) {
                let line = input.split_to(end + 1);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if input.len() > LINE_LIMIT || self.stream.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
