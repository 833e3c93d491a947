//! What makes a session safe: TLS over it, and a login.

use super::Conversation;
use crate::smtpd::auth::{Said, SessionLog, Who};
use crate::smtpd::networks::Hosts;
use mail::Reply;
use smtp::Secret;
use smtp::server::Auth;

impl Conversation {
    /// TLS before all else (`smtpd_tls_wrappermode`); false if the session is over.
    pub(super) async fn wrap(&mut self) -> bool {
        if self.service.tls.engine.is_none() {
            let (client, service) = (&self.who.namaddr, &self.service.name);
            self.log.warning(format_args!(
                "Wrapper-mode request dropped from {client} for service {service}. TLS context initialization \
                 failed. For details see earlier warnings in your logs."
            ));
            return false;
        }
        let is_up = self.shake_hands().await;
        if !is_up {
            self.machine.handle_eof();
        }
        is_up
    }

    /// Puts TLS over the connection; false if that failed, and the connection is gone.
    pub(super) async fn shake_hands(&mut self) -> bool {
        let Some(stream) = self.stream.take() else { return false };
        let Some((stream, tls)) = self.service.tls.accept(stream, &self.who.namaddr, &self.log).await else {
            return false;
        };
        self.stream = Some(stream);
        self.tls = Some(tls);
        // Everything said before is forgotten (RFC 3207 4.2).
        self.who.client.helo.clear();
        self.who.client.sasl_username.clear();
        self.who.client.sasl_method.clear();
        self.forget();
        true
    }

    pub(super) fn refuse_certificate(&self) -> Option<Reply> {
        self.tls.as_ref()?.refusal(&self.who.namaddr, &self.service.config.myhostname, &self.log)
    }

    /// Finds out what logins the client may use from now on. Where there is no way to log in the session ends, as with
    /// Postfix: nothing that a client then does would be what the administrator wants.
    pub(super) async fn offer_logins(&mut self) {
        let service = self.service.clone();
        let Some(logins) = &service.logins else { return };
        let host = Hosts { name: &self.who.client.name, address: self.who.address };
        match logins.offer(&mut self.login, host, self.tls.is_some(), &self.log).await {
            Ok(sasl) => self.machine.set_sasl(sasl),
            Err(why) => {
                self.log.fatal(format_args!("{why}"));
                self.stream = None;
                self.is_aborted = true;
                self.machine.handle_eof();
            }
        }
    }

    pub(super) async fn auth(&mut self, auth: Auth) {
        let service = self.service.clone();
        let Some(logins) = &service.logins else { return self.machine.accept() };
        let who = Who {
            service: &logins.service,
            server_address: &self.server_address,
            client_address: &self.who.client.address,
            is_tls: self.tls.is_some(),
        };
        let log = SessionLog { log: &self.log, client: &self.who.namaddr };
        let Auth { mechanism, initial_response } = auth;
        let said = logins.begin(&mut self.login, &who, &mechanism, initial_response.as_ref(), &log).await;
        self.say(said);
    }

    pub(super) async fn auth_response(&mut self, response: Secret) {
        let service = self.service.clone();
        let Some(logins) = &service.logins else { return self.machine.accept() };
        let log = SessionLog { log: &self.log, client: &self.who.namaddr };
        let said = logins.go_on(&mut self.login, &response, &log).await;
        self.say(said);
    }

    fn say(&mut self, said: Said) {
        match said {
            Said::Challenge(challenge) => self.machine.challenge(&challenge),
            Said::Refused(reply) => self.machine.reply(reply),
            Said::Welcome { method, user } => {
                self.who.client.sasl_method = method;
                self.who.client.sasl_username = user;
                self.machine.accept();
            }
        }
    }
}
