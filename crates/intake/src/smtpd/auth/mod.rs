//! AUTH: who a client says it is, judged by an authentication server (`smtpd_sasl_type`).

mod dovecot;

pub use dovecot::Dovecot;

use super::networks::{Hosts, NetworkList};
use dovecot::Exchange;
use logger::Logger;
use mail::{DsnStatus, Reply};
use maillog::printable;
use route::NameList;
use smtp::Secret;
use smtp::sasl::SecurityOptions;
use smtp::sasl::dovecot::is_base64;
use smtp::server::Sasl;

/// Logins at one service (`smtpd_sasl_auth_enable`).
pub struct Logins {
    pub server: Dovecot,
    /// `smtpd_tls_auth_only`, or clients must use TLS anyway.
    pub tls_only: bool,
    /// `smtpd_sasl_security_options`.
    pub in_the_clear: SecurityOptions,
    /// `smtpd_sasl_tls_security_options`.
    pub under_tls: SecurityOptions,
    /// `smtpd_sasl_mechanism_filter`; empty: all.
    pub mechanisms: NameList,
    /// `smtpd_sasl_exceptions_networks`: who is not told of AUTH.
    pub exceptions: NetworkList,
    /// `smtpd_sasl_service`.
    pub service: String,
}

/// Who asks.
pub(super) struct Who<'a> {
    pub(super) service: &'a str,
    pub(super) server_address: &'a str,
    pub(super) client_address: &'a str,
    pub(super) is_tls: bool,
}

/// How an exchange goes on.
enum Step {
    /// In base64.
    Challenge(String),
    Done {
        user: String,
    },
    Failed {
        reason: String,
        user: Option<String>,
    },
    /// The server does not keep to its protocol.
    Broken {
        warning: String,
    },
}

/// One session's login.
#[derive(Default)]
pub(super) struct Login {
    /// Those that it may use now.
    mechanisms: Vec<String>,
    /// The one in use, as the client wrote it.
    mechanism: String,
    exchange: Option<Exchange>,
    /// The last name that the server told of.
    user: Option<String>,
}

/// What to say to the client.
pub(super) enum Said {
    Challenge(String),
    Welcome { method: String, user: String },
    Refused(Reply),
}

impl Logins {
    /// What EHLO offers to a client. The error is fatal for its session.
    pub(super) async fn offer(
        &self,
        login: &mut Login,
        host: Hosts<'_>,
        is_tls: bool,
        log: &Logger,
    ) -> Result<Sasl, String> {
        *login = Login::default();
        if self.tls_only && !is_tls {
            return Ok(Sasl::Inactive);
        }
        let options = if is_tls { &self.under_tls } else { &self.in_the_clear };
        let offered = self.server.mechanisms(options).await.unwrap_or_else(|warning| {
            log.warning(format_args!("{warning}"));
            Vec::new()
        });
        if offered.is_empty() {
            return Err("no SASL authentication mechanisms".into());
        }
        for mechanism in &offered {
            // A filter that cannot be asked lets nothing pass.
            if self.mechanisms.is_empty()
                || self.mechanisms.has(mechanism.as_bytes()).await.unwrap_or_default()
            {
                login.mechanisms.push(mechanism.clone());
            }
        }
        if login.mechanisms.is_empty() {
            let offered = offered.join(" ");
            return Err(format!("smtpd_sasl_mechanism_filter discards all mechanisms in '{offered}'"));
        }
        let is_announced = !self.exceptions.has(host).await.unwrap_or_default();
        Ok(Sasl::Active { mechanisms: login.mechanisms.join(" "), is_announced })
    }

    /// AUTH.
    pub(super) async fn begin(
        &self,
        login: &mut Login,
        who: &Who<'_>,
        mechanism: &str,
        initial_response: Option<&Secret>,
        log: &SessionLog<'_>,
    ) -> Said {
        login.exchange = None;
        login.mechanism = mechanism.to_owned();
        if !login.mechanisms.iter().any(|offered| offered.eq_ignore_ascii_case(mechanism)) {
            return login.refuse("Invalid authentication mechanism", log);
        }
        if initial_response.is_some_and(|response| !is_base64(response.expose())) {
            return login.refuse("Invalid base64 data in initial response", log);
        }
        match self.server.begin(who, mechanism, initial_response).await {
            Ok((exchange, step)) => self.take(login, exchange, step, log),
            Err(reason) => login.put_off(&reason, log),
        }
    }

    /// The client's answer to a challenge.
    pub(super) async fn go_on(&self, login: &mut Login, response: &Secret, log: &SessionLog<'_>) -> Said {
        let Some(mut exchange) = login.exchange.take() else {
            return login.put_off("", log);
        };
        if !is_base64(response.expose()) {
            return login.refuse("Invalid base64 data in continued response", log);
        }
        match self.server.go_on(&mut exchange, response).await {
            Ok(step) => self.take(login, exchange, step, log),
            Err(reason) => login.put_off(&reason, log),
        }
    }

    fn take(&self, login: &mut Login, exchange: Exchange, step: Step, log: &SessionLog<'_>) -> Said {
        match step {
            Step::Challenge(challenge) => {
                login.exchange = Some(exchange);
                Said::Challenge(challenge)
            }
            Step::Done { user } => {
                self.server.end(exchange);
                Said::Welcome { method: printable(login.mechanism.as_bytes()).into_owned(), user }
            }
            Step::Failed { reason, user } => {
                self.server.end(exchange);
                login.user = user;
                login.refuse(&reason, log)
            }
            Step::Broken { warning } => {
                log.log.warning(format_args!("{warning}"));
                login.refuse("Authentication backend error", log)
            }
        }
    }
}

/// The log of a session whose client is `name[address]`.
pub(super) struct SessionLog<'a> {
    pub(super) log: &'a Logger,
    pub(super) client: &'a str,
}

impl Login {
    fn refuse(&self, reason: &str, log: &SessionLog<'_>) -> Said {
        let reason = self.note(reason, log);
        Said::Refused(Reply::new(
            535,
            DsnStatus::new(5, 7, 8),
            format!("Error: authentication failed: {reason}"),
        ))
    }

    fn put_off(&self, reason: &str, log: &SessionLog<'_>) -> Said {
        let reason = self.note(reason, log);
        Said::Refused(Reply::new(
            454,
            DsnStatus::new(4, 7, 0),
            format!("Temporary authentication failure: {reason}"),
        ))
    }

    /// The line that fail2ban counts.
    fn note<'a>(&self, reason: &'a str, log: &SessionLog<'_>) -> &'a str {
        const SHOWN: usize = 100;
        let reason = if reason.is_empty() { "(reason unavailable)" } else { reason };
        let short = |text: &str| text.chars().take(SHOWN).collect::<String>();
        let user = self.user.as_deref().map_or_else(|| "(unavailable)".into(), short);
        let (client, mechanism) = (log.client, short(&printable(self.mechanism.as_bytes())));
        log.log.warning(format_args!(
            "{client}: SASL {mechanism} authentication failed: {reason}, sasl_username={user}"
        ));
        reason
    }
}
