//! Restrictions on the addresses of the envelope: where they lead, whether they can exist, whose they are.

use super::client::is_complete;
use super::{Evaluation, Flow, ReplyClass, Step, Target};
use crate::event::{Info, Warning};
use crate::facts::{Asked, Facts, Map, MatchList, Resolved, Subject, Verified};
use crate::names::Plain;
use crate::restrictions::SaidOnce;
use crate::text::domain_part;
use mail::{Address, DsnStatus, Reply};

impl<'a, F: Facts> Evaluation<'a, F> {
    pub(super) async fn resolve(
        &mut self,
        sender: Option<&Address>,
        address: &Address,
    ) -> Result<Resolved, Reply> {
        match self.facts.resolve(sender, address).await {
            Ok(resolved) => Ok(resolved),
            // Postfix: whatever the reason, the client is to come again.
            Err(_) => Err(self.lookup_failure(crate::facts::Failed::TryLater, address.as_bytes())),
        }
    }

    /// The recipient's routing; asked for once.
    pub(super) async fn resolve_recipient(&mut self, recipient: &Address) -> Result<Resolved, Reply> {
        if let Some(resolved) = &self.recipient {
            return Ok(resolved.clone());
        }
        let resolved = self.resolve(self.session.sender, recipient).await?;
        self.recipient = Some(resolved.clone());
        Ok(resolved)
    }

    /// The address that a restriction is about, unless it is the null sender.
    pub(super) fn address_of(&self, class: ReplyClass) -> Option<&'a Address> {
        let address = match class {
            ReplyClass::Sender => self.session.sender,
            _ => self.session.recipient,
        };
        address.filter(|address| !address.is_null())
    }

    pub(super) async fn permit_auth_destination(&mut self, name: &str) -> Step<'a> {
        let Some(recipient) = self.session.recipient else {
            return Ok(Flow::Dunno);
        };
        match self.is_auth_destination(recipient).await? {
            true => self.permit(name, &self.recipient_target(), None).await,
            false => Ok(Flow::Dunno),
        }
    }

    /// `reject_unauth_destination`, or `defer_unauth_destination`.
    pub(super) async fn reject_unauth_destination(&mut self, defer: bool) -> Step<'a> {
        let Some(recipient) = self.session.recipient else {
            return Ok(Flow::Dunno);
        };
        if self.is_auth_destination(recipient).await? {
            return Ok(Flow::Dunno);
        }
        let code = self.settings().relay_domains_reject_code;
        let text = [b"<", recipient.as_bytes(), b">: Relay access denied"].concat();
        match defer {
            true => self.reject(code.saturating_sub(100), DsnStatus::new(4, 7, 1), text),
            false => self.reject(code, DsnStatus::new(5, 7, 1), text),
        }
    }

    /// The old restriction for everything: clients and recipients in relay_domains are welcome, others are not.
    pub(super) async fn check_relay_domains(&mut self, name: &str) -> Step<'a> {
        let Some(recipient) = self.session.recipient else {
            return Ok(Flow::Dunno);
        };
        let settings = self.settings();
        if SaidOnce::first(&self.rules.said_once.check_relay_domains) {
            self.warn(Warning::WillBeRemoved {
                restriction: "check_relay_domains",
                mail_name: &settings.mail_name,
                instead: "reject_unauth_destination",
            });
        }
        let client = &self.session.client.name;
        if self.facts.matches(MatchList::RelayDomains, Subject::Name(client)).await == Ok(true) {
            if settings.compatibility.relay_domains {
                self.say(Info::CompatRelayDomainsForClient { name: client });
            }
            return self.permit(name, &self.recipient_target(), None).await;
        }
        if self.is_auth_destination(recipient).await? {
            return self.permit(name, &self.recipient_target(), None).await;
        }
        let text = self.recipient_target().rejected("Relay access denied");
        self.reject(settings.relay_domains_reject_code, DsnStatus::new(5, 7, 1), text)
    }

    /// Whether we are to take mail for this recipient from anybody.
    pub(super) async fn is_auth_destination(&mut self, recipient: &Address) -> Result<bool, Reply> {
        let resolved = self.resolve_recipient(recipient).await?;
        Ok(self.is_authorized(&resolved))
    }

    pub(super) fn is_authorized(&self, resolved: &Resolved) -> bool {
        let settings = self.settings();
        let Some(domain) = resolved.recipient.domain() else {
            return true;
        };
        if resolved.is_routed && !settings.allow_untrusted_routing {
            return false;
        }
        let is_relay = resolved.class == crate::facts::Class::Relay;
        if is_relay && settings.compatibility.relay_domains {
            self.say(Info::CompatRelayDomainsForDomain { domain: self.printable(domain) });
        }
        is_relay || resolved.class.is_final()
    }

    pub(super) fn reject_non_fqdn_address(&mut self, class: ReplyClass) -> Step<'a> {
        let address = match class {
            ReplyClass::Sender => self.address_of(class),
            _ => self.session.recipient,
        };
        let Some(address) = address else {
            return Ok(Flow::Dunno);
        };
        let domain = address.domain().unwrap_or_default();
        if is_literal(domain) || is_complete(domain, self.session.smtputf8) {
            return Ok(Flow::Dunno);
        }
        let text = Target::new(address.as_bytes(), class, None).rejected("need fully-qualified address");
        self.reject(self.settings().non_fqdn_reject_code, DsnStatus::new(4, 5, 2), text)
    }

    /// `reject_unknown_sender_domain` and `reject_unknown_recipient_domain`.
    pub(super) async fn reject_unknown_address(&mut self, class: ReplyClass) -> Step<'a> {
        let (address, other) = match class {
            ReplyClass::Sender => (self.address_of(class), self.session.recipient),
            _ => (self.session.recipient, self.session.sender),
        };
        let Some(address) = address else {
            return Ok(Flow::Dunno);
        };
        let resolved = self.resolve(other, address).await?;
        match resolved.recipient.domain() {
            Some(domain) if !resolved.class.is_final() && !is_literal(domain) => {
                self.reject_unknown_domain(domain, &Target::new(address.as_bytes(), class, None)).await
            }
            _ => Ok(Flow::Dunno),
        }
    }

    /// The four restrictions on who may use which sender address.
    pub(super) async fn reject_login_mismatch(&mut self, which: Plain, name: &str) -> Step<'a> {
        let settings = self.settings();
        if !settings.smtpd_sasl_auth_enable {
            self.warn(Warning::NoSasl(name));
            return Ok(Flow::Dunno);
        }
        let login = self.session.login();
        let Some(sender) = self.address_of(ReplyClass::Sender) else {
            return Ok(Flow::Dunno);
        };
        match (which, login) {
            (Plain::RejectAuthenticatedSenderLoginMismatch, None)
            | (Plain::RejectUnauthenticatedSenderLoginMismatch, Some(_)) => Ok(Flow::Dunno),
            (Plain::RejectKnownSenderLoginMismatch, Some(login)) => {
                self.reject_not_owned(sender, login, true).await
            }
            (_, Some(login)) => self.reject_not_owned(sender, login, false).await,
            (_, None) => self.reject_not_logged_in(sender).await,
        }
    }

    async fn reject_not_owned(&mut self, sender: &Address, login: &str, unless_unknown: bool) -> Step<'a> {
        let owners = self.owners(sender).await?;
        let owns = |owners: &[u8]| {
            let is_separator = |b: &u8| matches!(b, b',' | b' ' | b'\t' | b'\r' | b'\n');
            owners.split(is_separator).any(|owner| is_same_login(owner, login.as_bytes()))
        };
        match owners {
            None if unless_unknown => Ok(Flow::Dunno),
            Some(owners) if owns(&owners) => Ok(Flow::Dunno),
            _ => {
                let why = [b"not owned by user ", login.as_bytes()].concat();
                let text = Target::new(sender.as_bytes(), ReplyClass::Sender, None).rejected(why);
                self.reject(553, DsnStatus::new(5, 7, 1), text)
            }
        }
    }

    async fn reject_not_logged_in(&mut self, sender: &Address) -> Step<'a> {
        if self.owners(sender).await?.is_none() {
            return Ok(Flow::Dunno);
        }
        let text = Target::new(sender.as_bytes(), ReplyClass::Sender, None).rejected("not logged in");
        self.reject(553, DsnStatus::new(5, 7, 1), text)
    }

    async fn owners(&mut self, sender: &Address) -> Result<Option<bytes::Bytes>, Reply> {
        if !self.settings().smtpd_sender_login_maps {
            return Ok(None);
        }
        let resolved = self.resolve(self.session.recipient, sender).await?;
        match self.facts.find(Map::SenderLogin, Asked::Address(&resolved.recipient)).await {
            Ok(owners) => Ok(owners),
            Err(failed) => Err(self.lookup_failure(failed, sender.as_bytes())),
        }
    }

    /// `reject_unverified_sender` and `reject_unverified_recipient`: a probe says whether mail can be delivered.
    pub(super) async fn reject_unverified(&mut self, class: ReplyClass) -> Step<'a> {
        let Some(address) = self.address_of(class) else {
            return Ok(Flow::Dunno);
        };
        let settings = self.settings();
        let is_sender = class == ReplyClass::Sender;
        let (defer_code, reject_code, action, reason) = match is_sender {
            true => (
                settings.unverified_sender_defer_code,
                settings.unverified_sender_reject_code,
                settings.unverified_sender_tempfail_action,
                &settings.unverified_sender_reject_reason,
            ),
            false => (
                settings.unverified_recipient_defer_code,
                settings.unverified_recipient_reject_code,
                settings.unverified_recipient_tempfail_action,
                &settings.unverified_recipient_reject_reason,
            ),
        };
        let status = if is_sender { DsnStatus::new(4, 1, 7) } else { DsnStatus::new(4, 1, 1) };
        let target = Target::new(address.as_bytes(), class, None);
        let (code, why) = match self.verified(address).await {
            Ok(Verified::Deliverable) => return Ok(Flow::Dunno),
            Ok(Verified::Pending(why) | Verified::Deferred(why)) => (defer_code, why),
            Ok(Verified::Undeliverable(why)) => (reject_code, why),
            Err(_) => {
                self.warn(Warning::VerifyService);
                let text = target.rejected("address verification problem");
                return self.tempfail(action, 450, status, text);
            }
        };
        let why = if code >= 400 && !reason.is_empty() { reason.as_str() } else { &why };
        match code / 100 {
            2 => Ok(Flow::Dunno),
            4 => {
                let why = &why.as_bytes()[..why.len().min(250)];
                let text = target.rejected([b"unverified address: ", why].concat());
                self.tempfail(action, code, status, text)
            }
            _ => {
                let text = target.rejected([b"undeliverable address: ", why.as_bytes()].concat());
                self.reject(code, status, text)
            }
        }
    }

    /// Waits a little for a probe that is under way: `address_verify_poll_count` times at most.
    async fn verified(&self, address: &Address) -> Result<Verified, crate::facts::Failed> {
        let settings = self.settings();
        let mut polled = 1;
        loop {
            let verified = self.facts.verify(address).await?;
            if !matches!(verified, Verified::Pending(_)) || polled >= settings.address_verify_poll_count {
                return Ok(verified);
            }
            self.facts.sleep(settings.address_verify_poll_delay).await;
            polled += 1;
        }
    }
}

/// Logins are compared without regard to case.
fn is_same_login(a: &[u8], b: &[u8]) -> bool {
    match (std::str::from_utf8(a), std::str::from_utf8(b)) {
        (Ok(a), Ok(b)) => a.to_lowercase() == b.to_lowercase(),
        _ => a.eq_ignore_ascii_case(b),
    }
}

/// `[…]`
pub(super) fn is_literal(domain: &[u8]) -> bool {
    domain.starts_with(b"[") && domain.ends_with(b"]")
}

/// The domain of an address or a host name that is looked up in the DNS.
pub(super) fn domain_of(name: &[u8]) -> &[u8] {
    domain_part(name)
}
