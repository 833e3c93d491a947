//! AUTH (RFC 4954), as the client says it.

use super::{Client, ClientNotice, Failure, Scope, ServerReply, Stage, Wire};
use crate::sasl::{Credentials, Exchange, Mechanism, Peer, SaslError, SecurityOptions, choose};
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mail::DsnStatus;
use zeroize::Zeroizing;

/// How to log in.
pub struct Login<'a> {
    pub credentials: Credentials,
    /// `smtp_sasl_security_options` or `smtp_sasl_tls_security_options`.
    pub security_options: SecurityOptions,
    /// `smtp_sasl_mechanism_filter`: whether a mechanism that the server offers may be used at all.
    pub is_allowed: &'a (dyn Fn(&str) -> bool + Sync),
    /// Printable ASCII without commas, never used before.
    pub nonce: String,
}

/// Octets of an AUTH command with its initial response; with more, the response waits to be asked for (RFC 4954 4).
const COMMAND_LIMIT: usize = 512;
/// Challenges that a server may send.
const CHALLENGE_LIMIT: usize = 100;

impl<W: Wire> Client<W> {
    /// Logs in, if the server offers that. What it said on failure is what [`Failure::diagnostic`] has.
    pub async fn login(&mut self, login: Login<'_>) -> Result<(), Failure> {
        let Some(offered) = self.features.auth.clone() else { return Ok(()) };
        let allowed: Vec<&str> =
            offered.iter().map(String::as_str).filter(|name| (login.is_allowed)(name)).collect();
        if allowed.is_empty() {
            self.note(ClientNotice::NoMechanism { offered: offered.join(" ") });
            return Err(self.no_compatible_mechanism());
        }
        let options = login.security_options;
        let has_external = allowed.iter().any(|name| options.allow_external(name));
        let Some(mechanism) = choose(allowed, login.security_options, &login.credentials) else {
            // Postfix: it would be worthy, only there is no identity for it
            if !has_external {
                self.note(ClientNotice::NoWorthyMechanism);
            }
            return Err(self.cannot_authenticate("no mechanism available"));
        };
        let peer = Peer { host: self.server.host.clone(), port: self.server.port };
        let sends_authzid = self.settings.send_cyrus_sasl_authzid;
        let exchange =
            Exchange::with_authorization(mechanism, login.credentials, peer, &login.nonce, sends_authzid)
                .map_err(|error| self.cannot_authenticate(error.text()))?;
        self.authenticate(mechanism, exchange).await
    }

    async fn authenticate(&mut self, mechanism: Mechanism, mut exchange: Exchange) -> Result<(), Failure> {
        // Postfix: AUTH is part of the handshake, in its time limit and in what the log says.
        let stage = Stage::Ehlo;
        let mut deferred = self.begin_auth(mechanism, &exchange, stage).await?;
        for _ in 0..CHALLENGE_LIMIT {
            let reply = self.receive(stage).await.map_err(|lost| self.lost(lost, stage))?;
            if reply.class() != 3 {
                return self.end_auth(&reply);
            }
            let challenge = challenge(&reply);
            let response = match deferred.take() {
                Some(response) if challenge.is_empty() => response,
                Some(_) => return Err(self.spoke_first(mechanism)),
                None => self.respond(&mut exchange, challenge)?,
            };
            self.send_secret("", &response, stage).await?;
        }
        let name = &self.server.name_and_address;
        let text = format!("SASL authentication failed; authentication protocol loop with server {name}");
        self.is_reusable = false;
        Err(Failure::ours(Scope::Site, DsnStatus::new(4, 3, 0), text))
    }

    /// Says AUTH. Gives back the initial response if it is too long to be said with it.
    async fn begin_auth(
        &mut self,
        mechanism: Mechanism,
        exchange: &Exchange,
        stage: Stage,
    ) -> Result<Option<Secret>, Failure> {
        let command = format!("AUTH {}", mechanism.name());
        let Some(initial) = exchange.initial_response() else {
            self.send(&command, stage).await.map_err(|lost| self.lost(lost, stage))?;
            return Ok(None);
        };
        let size = command.len() + 1 + initial.expose().len().div_ceil(3) * 4 + 2;
        if size > COMMAND_LIMIT {
            self.send(&command, stage).await.map_err(|lost| self.lost(lost, stage))?;
            return Ok(Some(initial));
        }
        self.send_secret(&format!("{command} "), &initial, stage).await?;
        Ok(None)
    }

    /// Sends octets in base64. An empty initial response is `=` (RFC 4954 4).
    async fn send_secret(&mut self, before: &str, secret: &Secret, stage: Stage) -> Result<(), Failure> {
        let mut line = Zeroizing::new(before.to_owned());
        if secret.expose().is_empty() && !before.is_empty() {
            line.push('=');
        }
        line.push_str(&Zeroizing::new(BASE64.encode(secret.expose())));
        line.push_str("\r\n");
        let sent = self.wire.send(line.as_bytes(), stage).await;
        self.is_broken |= sent.is_err();
        sent.map_err(|lost| self.lost(lost, stage))
    }

    fn respond(&mut self, exchange: &mut Exchange, challenge: &str) -> Result<Secret, Failure> {
        if exchange.has_blank_user() {
            self.note(ClientNotice::BlankUser);
            return Err(self.cannot_authenticate(SaslError::Generic.text()));
        }
        let decoded = BASE64.decode(challenge).map_err(|_| SaslError::Protocol);
        decoded
            .and_then(|challenge| exchange.respond(&challenge))
            .map_err(|error| self.cannot_authenticate(error.text()))
    }

    fn end_auth(&mut self, reply: &ServerReply) -> Result<(), Failure> {
        if reply.is_success() {
            return Ok(());
        }
        let name = &self.server.name_and_address;
        let failure = Failure {
            scope: Scope::Site,
            status: reply.status,
            reason: format!("SASL authentication failed; server {name} said: {}", reply.text),
            remote_mta: Some(self.server.host.clone()),
            diagnostic: Some(format!("smtp; {}", reply.text)),
        };
        self.is_reusable = false;
        Err(if self.settings.smtp_sasl_auth_soft_bounce { failure.softened() } else { failure })
    }

    fn no_compatible_mechanism(&mut self) -> Failure {
        let name = &self.server.name_and_address;
        let text = format!(
            "SASL authentication failed: server {name} offered no compatible authentication mechanisms for this type of \
             connection security"
        );
        self.is_reusable = false;
        Failure::ours(Scope::Site, DsnStatus::new(4, 7, 0), text)
    }

    fn spoke_first(&mut self, mechanism: Mechanism) -> Failure {
        let name = &self.server.name_and_address;
        let text = format!(
            "SASL authentication failed; non-empty initial {} challenge from server {name}: ",
            mechanism.name()
        );
        self.local_failure(text, "protocol error")
    }

    /// The failure where we cannot even begin.
    pub fn cannot_authenticate(&mut self, why: &str) -> Failure {
        let name = &self.server.name_and_address;
        let text = format!("SASL authentication failed; cannot authenticate to server {name}: {why}");
        self.local_failure(text, why)
    }

    fn local_failure(&mut self, text: String, why: &str) -> Failure {
        self.is_reusable = false;
        let failure = Failure::ours(Scope::Site, DsnStatus::new(4, 7, 0), text);
        Failure { diagnostic: Some(format!("x-sasl; {why}")), ..failure }
    }
}

/// What stands behind the code, in base64.
fn challenge(reply: &ServerReply) -> &str {
    let line = reply.lines.last().map_or("", String::as_str);
    line.get(4..).unwrap_or("").trim()
}
