//! From a connection to a conversation that mail can be sent in: greeting, TLS, login.

use super::SmtpAgent;
use super::login::{Logins, is_refused};
use super::tls::Wish;
use super::tls_report::certificate_failure;
use super::wire::Line;
use crate::tlsrpt::{FailureKind, PolicySource};
use mail::{DsnStatus, QueueId};
use net::tls::{ClientLevel, ServerIdentity, SetupError, TlsError};
use qmgr::Job;
use smtp::client::{Client, Failure, Login, Scope, Server};
use smtp::sasl::Credentials;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};
use tables::TryLater;

/// A server to talk to for a job.
pub(super) struct Target<'a> {
    /// The destination as it is written, with brackets and port: what passwords are looked up by.
    pub(super) destination: &'a str,
    /// Without them.
    pub(super) domain: &'a str,
    pub(super) address: Option<IpAddr>,
    pub(super) server: Server,
    pub(super) wish: Wish,
    /// An optional handshake that fails may be given up for a connection in the clear.
    pub(super) may_fall_back: bool,
}

/// A server that cannot be used.
pub(super) struct Refused {
    pub(super) failure: Failure,
    /// It is worth another try without TLS.
    pub(super) falls_back: bool,
    /// An optional handshake failed: no reason to think ill of the destination.
    pub(super) is_lenient: bool,
}

/// One server's conversation being set up.
pub(super) struct Approach<'a> {
    pub(super) agent: &'a SmtpAgent,
    pub(super) job: &'a Job,
    pub(super) target: &'a Target<'a>,
}

type Conversation = Client<Line>;

impl Approach<'_> {
    /// Leads a new connection to where MAIL can be said. One that fails is closed.
    pub(super) async fn prepare(&self, line: Line) -> Result<Conversation, Refused> {
        let settings = &self.agent.settings;
        let protocol = match settings.protocol {
            net::Protocol::Smtp => smtp::client::Protocol::Smtp,
            net::Protocol::Lmtp => smtp::client::Protocol::Lmtp,
        };
        let server = self.target.server.clone();
        let mut client = Client::new(line, protocol, server, settings.conversation.clone());
        if settings.tls.wrappermode {
            client = self.encrypt(client).await?;
        }
        let greeted = client.greet().await;
        client = self.settle(client, greeted).await?;
        client = self.hello(client).await?;
        if !settings.tls.wrappermode {
            client = self.start_tls(client).await?;
        }
        if client.features().auth.is_some() && settings.logins.is_some() {
            let logged_in = self.login(&mut client).await;
            client = self.settle(client, logged_in).await?;
        }
        Ok(client)
    }

    async fn hello(&self, mut client: Conversation) -> Result<Conversation, Refused> {
        let greeted = client.hello().await;
        self.settle(client, greeted).await
    }

    async fn start_tls(&self, mut client: Conversation) -> Result<Conversation, Refused> {
        let (tls, wish) = (&self.agent.settings.tls, &self.target.wish);
        let name = client.server().name_and_address.clone();
        let is_offered = client.features().starttls;
        if wish.tls.is_none() {
            if is_offered && tls.note_starttls_offer {
                self.info(format_args!("Host offered STARTTLS: [{}]", client.server().host));
            }
            return Ok(client);
        }
        let lacking = |status: DsnStatus, what: String| Err(Failure::ours(Scope::Site, status, what));
        if !is_offered {
            self.report(Some(FailureKind::StarttlsNotSupported)).await;
        }
        let outcome = if !is_offered && wish.is_required() {
            lacking(DsnStatus::new(4, 7, 4), format!("TLS is required, but was not offered by host {name}"))
        } else if !is_offered {
            return Ok(client);
        } else if tls.engine.is_none() && wish.is_required() {
            lacking(DsnStatus::new(4, 7, 5), "TLS is required, but our TLS engine is unavailable".into())
        } else if tls.engine.is_none() {
            return Ok(client);
        } else {
            client.start_tls().await
        };
        match outcome {
            Ok(reply) if reply.is_success() => self.hello(self.encrypt(client).await?).await,
            Ok(reply) if wish.is_required() => {
                self.report(Some(FailureKind::StarttlsNotSupported)).await;
                let refused = Err(client.tls_refused(&reply));
                self.settle(client, refused).await
            }
            Ok(_) => {
                self.report(Some(FailureKind::StarttlsNotSupported)).await;
                Ok(client)
            }
            Err(failure) => self.settle(client, Err(failure)).await,
        }
    }

    /// Counts how TLS went, where somebody wants to know.
    async fn report(&self, failure: Option<FailureKind>) {
        let Some(reporting) = &self.agent.settings.tls.reporting else { return };
        if let Err(why) = reporting.count(self.target, failure).await {
            self.warn(why);
        }
    }

    /// Puts TLS over the connection and looks at the certificate, if that matters.
    async fn encrypt(&self, client: Conversation) -> Result<Conversation, Refused> {
        let Target { domain, address, server, wish, .. } = self.target;
        let identity =
            ServerIdentity { nexthop: domain, host: &server.host, address: *address, port: server.port };
        let tls = &self.agent.settings.tls;
        let (Some(engine), Some(wanted)) = (&tls.engine, &wish.tls) else {
            let text = "TLS is required, but our TLS engine is unavailable";
            return Err(Refused::by(Failure::ours(Scope::Site, DsnStatus::new(4, 7, 5), text)));
        };
        let warn = |text: String| self.agent.settings.log.warning(format_args!("{text}"));
        let policy = match &wanted.policy {
            Ok(policy) => policy,
            Err(flaw) => {
                warn(format!("{identity}: {flaw}"));
                return Err(self.handshake_failed(&TlsError::Setup(SetupError::default())));
            }
        };
        let upgraded = client
            .upgrade(async |line: Line| {
                let Line { stream, timeouts, .. } = line;
                let (stream, summary) = engine.connect(stream, identity, policy, tls.timeout, warn).await?;
                Ok::<Line, TlsError>(Line { stream, timeouts, tls: Some(Box::new(summary)) })
            })
            .await;
        match upgraded {
            Ok(mut client) => {
                let must_match = policy.level.must_match();
                let flaw = client.wire().tls.as_ref().and_then(|tls| match wanted.source {
                    // nobody said what the certificate must be
                    PolicySource::NotFound => None,
                    _ => certificate_failure(tls, must_match),
                });
                self.report(flaw).await;
                let judged = self.judge(&mut client, must_match);
                self.settle(client, judged).await
            }
            Err(error) => {
                if matches!(error, TlsError::Handshake { .. }) {
                    self.report(Some(FailureKind::ValidationFailure)).await;
                }
                Err(self.handshake_failed(&error))
            }
        }
    }

    /// `cares`: the certificate was to matter, even if it no longer does.
    fn judge(&self, client: &mut Conversation, cares: bool) -> Result<(), Failure> {
        let loglevel = self.agent.settings.tls.loglevel;
        let Some(summary) = &client.wire().tls else { return Ok(()) };
        let must_match = summary.level.is_some_and(ClientLevel::must_match);
        if let Some(why) = summary.verify_failure.as_ref().filter(|_| cares || loglevel >= 2) {
            self.info(format_args!("{why}"));
        }
        if let Some(how) = summary.match_text.as_ref().filter(|_| loglevel >= 2) {
            self.info(format_args!("{}: {how}", summary.peer));
        }
        if loglevel >= 1 {
            self.info(format_args!("{summary}"));
        }
        if !must_match || summary.is_matched {
            return Ok(());
        }
        let text = "Server certificate not verified";
        Err(Failure::ours(Scope::Site, DsnStatus::new(4, 7, 5), text))
    }

    fn handshake_failed(&self, error: &TlsError) -> Refused {
        for (level, line) in error.log_lines() {
            self.agent.settings.log.line(level, format_args!("{line}"));
        }
        let failure = Failure::ours(Scope::Site, DsnStatus::new(4, 7, 5), error.to_string());
        let is_optional = self.target.wish.is_optional();
        Refused { failure, falls_back: is_optional && self.target.may_fall_back, is_lenient: is_optional }
    }

    async fn login(&self, client: &mut Conversation) -> Result<(), Failure> {
        let Some(logins) = &self.agent.settings.logins else { return Ok(()) };
        let Target { destination, server, .. } = self.target;
        let name = &server.name_and_address;
        let broken = |TryLater(why)| {
            let (id, parameter) = (self.id(), logins.passwords.parameter());
            self.warn(why);
            self.warn(format!("{id}: {parameter} lookup error"));
            let text = format!("local data error while talking to {name}");
            Failure::ours(Scope::Site, DsnStatus::new(4, 3, 0), text)
        };
        let found = logins.find(&self.job.sender, &server.host, destination).await.map_err(broken)?;
        let Some(credentials) = found else { return Ok(()) };
        let offered = client.features().auth.clone().unwrap_or_default();
        let allowed = logins.allowed(&offered).await.map_err(broken)?;
        if let Some(path) = token_path(logins, &credentials, &allowed) {
            return self.login_with_token(client, logins, &credentials, &path, &allowed).await;
        }
        let cached =
            logins.failed.as_ref().and_then(|failed| failed.find(&server.host, &credentials, Instant::now()));
        if let Some(failure) = cached {
            return Err(failure);
        }
        let outcome = self.authenticate(client, logins, credentials.clone(), &allowed).await;
        if let (Some(failed), Err(failure)) = (&logins.failed, &outcome) {
            failed.put(&server.host, &credentials, failure, Instant::now());
        }
        outcome
    }

    /// A token that is refused though it should be good is renewed once.
    async fn login_with_token(
        &self,
        client: &mut Conversation,
        logins: &Logins,
        credentials: &Credentials,
        path: &Path,
        allowed: &[String],
    ) -> Result<(), Failure> {
        let Credentials::Password { user, .. } = credentials else { return Ok(()) };
        let mut refused = false;
        loop {
            let access = logins.tokens.access(path, refused, SystemTime::now()).await.map_err(|error| {
                self.warn(format!("{}: {error}", self.id()));
                client.cannot_authenticate(&error.to_string())
            })?;
            let user = access.user.unwrap_or_else(|| user.clone());
            let credentials = Credentials::Token { user, token: access.token };
            let outcome = self.authenticate(client, logins, credentials, allowed).await;
            match &outcome {
                Err(failure) if is_refused(failure) && !access.is_new && !refused => refused = true,
                _ => return outcome,
            }
        }
    }

    async fn authenticate(
        &self,
        client: &mut Conversation,
        logins: &Logins,
        credentials: Credentials,
        allowed: &[String],
    ) -> Result<(), Failure> {
        let security_options = logins.options.of(client.wire().tls.as_deref());
        let is_allowed = |name: &str| allowed.iter().any(|allowed| allowed == name);
        let nonce = net::random_token();
        client.login(Login { credentials, security_options, is_allowed: &is_allowed, nonce }).await
    }

    /// Logs what there is to log, and takes leave of a server that failed.
    async fn settle(
        &self,
        mut client: Conversation,
        outcome: Result<(), Failure>,
    ) -> Result<Conversation, Refused> {
        self.agent.log_notices(&mut client, self.id());
        let Err(failure) = outcome else { return Ok(client) };
        let falls_back = client.wire().tls.is_some() && self.target.falls_back_from(&failure);
        SmtpAgent::close(client).await;
        Err(Refused { failure, falls_back, is_lenient: false })
    }

    fn warn(&self, text: String) {
        self.agent.settings.log.warning(format_args!("{text}"));
    }

    fn info(&self, text: std::fmt::Arguments<'_>) {
        self.agent.settings.log.info(text);
    }

    fn id(&self) -> QueueId {
        self.job.message.id
    }
}

/// The token file that a password names, where a server takes tokens.
fn token_path(logins: &Logins, credentials: &Credentials, allowed: &[String]) -> Option<PathBuf> {
    let Credentials::Password { password, .. } = credentials else { return None };
    let takes_tokens =
        |name: &String| ["XOAUTH2", "OAUTHBEARER"].iter().any(|m| name.eq_ignore_ascii_case(m));
    let password = std::str::from_utf8(password.expose()).ok()?;
    if allowed.iter().any(takes_tokens) { logins.tokens.find(password) } else { None }
}

impl Refused {
    pub(super) fn by(failure: Failure) -> Refused {
        Refused { failure, falls_back: false, is_lenient: false }
    }
}

impl Target<'_> {
    /// Whether a connection that was lost under optional TLS is tried again in the clear.
    fn falls_back_from(&self, failure: &Failure) -> bool {
        is_lost(failure) && self.may_fall_back && self.wish.is_optional()
    }
}

impl SmtpAgent {
    pub(super) fn log_notices(&self, client: &mut Conversation, id: QueueId) {
        let id = id.to_string();
        for notice in client.take_notices() {
            let server = client.server();
            let line = notice.line(server, &id);
            match notice.is_warning() {
                true => self.settings.log.warning(format_args!("{line}")),
                false => self.settings.log.info(format_args!("{line}")),
            }
            if let Some(advice) = notice.advice(server) {
                self.settings.log.warning(format_args!("{advice}"));
            }
        }
    }

    /// Says QUIT where that makes sense, and closes the connection.
    pub(super) async fn close(client: Conversation) {
        let line = client.quit().await;
        // Whatever happens now concerns no mail.
        let _ = line.stream.close().await;
    }
}

/// Whether the connection is gone, in whatever way.
pub(super) fn is_lost(failure: &Failure) -> bool {
    failure.status == DsnStatus::new(4, 4, 2) && failure.remote_mta.is_none()
}
