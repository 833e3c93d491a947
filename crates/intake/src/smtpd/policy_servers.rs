//! Connections to policy servers (SMTPD_POLICY_README). One is used again and again, for as long as its settings allow.

use bytes::Bytes;
use logger::Logger;
use net::dial::error_text;
use net::{Endpoint, Stream};
use policy::{PolicyService, PolicySettings, Response};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::time::{sleep, timeout};

/// The servers that one service's restrictions name.
pub struct PolicyServers {
    queue_directory: PathBuf,
    /// By the server's name in the restriction: the same address with other settings is another server.
    idle: Mutex<HashMap<String, Vec<Connection>>>,
}

struct Connection {
    stream: Stream,
    since: Instant,
    used: Instant,
    requests: u32,
}

/// Connections kept for each server between requests.
const IDLE_LIMIT: usize = 20;

impl PolicyServers {
    pub fn new(queue_directory: PathBuf) -> PolicyServers {
        PolicyServers { queue_directory, idle: Mutex::default() }
    }

    /// Asks a server, and tries again as its settings say. None: there is no answer, as the log says.
    pub(super) async fn ask(&self, service: &PolicyService, request: &[u8], log: &Logger) -> Option<Bytes> {
        let settings = &service.settings;
        let address = service.endpoint.split_once(':').map_or("", |(_, address)| address);
        let mut tries = 0;
        loop {
            let failure = match self.try_once(service, address, request, log).await {
                Ok(action) => return Some(action),
                Err(failure) => failure,
            };
            tries += 1;
            let is_last = settings.try_limit > 0 && tries >= settings.try_limit;
            if is_last || failure.is_worth_a_word() {
                log.warning(format_args!("problem talking to server {address}: {}", failure.text()));
            }
            if is_last {
                return None;
            }
            sleep(settings.retry_delay).await;
        }
    }

    async fn try_once(
        &self,
        service: &PolicyService,
        address: &str,
        request: &[u8],
        log: &Logger,
    ) -> Result<Bytes, Failure> {
        let settings = &service.settings;
        let mut connection = match self.kept(service) {
            Some(connection) => connection,
            None => {
                let endpoint = Endpoint::parse(&service.endpoint, &self.queue_directory);
                let stream = endpoint.connect(settings.timeout).await.inspect_err(|error| {
                    log.warning(format_args!("connect to {address}: {}", error_text(error)));
                })?;
                Connection { stream, since: Instant::now(), used: Instant::now(), requests: 0 }
            }
        };
        let asked = timeout(settings.timeout, connection.ask(request)).await;
        match asked.unwrap_or_else(|_| Err(Failure::Io(io::ErrorKind::TimedOut.into())))? {
            Ok(action) => {
                self.keep(service, connection);
                Ok(action)
            }
            Err(why) => {
                log.warning(format_args!("{why} from {address}"));
                Err(Failure::Answer)
            }
        }
    }

    fn kept(&self, service: &PolicyService) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(&service.name)?;
        connections.retain(|connection| connection.is_young(&service.settings));
        while let Some(mut connection) = connections.pop() {
            if connection.stream.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, service: &PolicyService, mut connection: Connection) {
        connection.used = Instant::now();
        connection.requests += 1;
        let limit = service.settings.request_limit;
        if limit > 0 && connection.requests >= limit {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(service.name.clone()).or_default();
        if connections.len() < IDLE_LIMIT {
            connections.push(connection);
        }
    }
}

impl Connection {
    fn is_young(&self, settings: &PolicySettings) -> bool {
        self.used.elapsed() < settings.max_idle && self.since.elapsed() < settings.max_ttl
    }

    async fn ask(&mut self, request: &[u8]) -> Result<Result<Bytes, policy::ResponseError>, Failure> {
        self.stream.output().extend_from_slice(request);
        self.stream.flush().await?;
        let mut response = Response::default();
        loop {
            if self.stream.fill().await? == 0 {
                return Err(Failure::HungUp);
            }
            let octets = self.stream.input().split();
            match response.receive(&octets) {
                Ok(None) => {}
                // What comes after an answer would be taken for the next one.
                Ok(Some(_)) if response.has_surplus() => return Err(Failure::Answer),
                Ok(Some(action)) => return Ok(Ok(action)),
                Err(why) => return Ok(Err(why)),
            }
        }
    }
}

/// Why there is no answer.
enum Failure {
    Io(io::Error),
    HungUp,
    /// It makes no sense, as the log said.
    Answer,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl Failure {
    /// Postfix's words: of what is no error of the system it knows no better.
    fn text(&self) -> String {
        match self {
            Failure::Io(error) => error_text(error),
            Failure::HungUp | Failure::Answer => "Application error".into(),
        }
    }

    /// Not so a server that is just being started anew, until that was tried for long enough.
    fn is_worth_a_word(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, NotFound};
        matches!(self, Failure::Io(error) if !matches!(error.kind(), BrokenPipe | ConnectionReset | NotFound))
    }
}
