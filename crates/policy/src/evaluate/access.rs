//! Access tables: what is looked up for whom, and what a result does.

use super::{After, DEPTH_LIMIT, Evaluation, Flow, ListRef, ReplyClass, Step, Target};
use crate::action::{AccessAction, is_header};
use crate::event::{Action, Warning};
use crate::facts::{Facts, Table};
use crate::list::{CertificateKey, List, Vocabulary};
use crate::names::Access;
use crate::session::Command;
use crate::text::{printable, split_status};
use bytes::Bytes;
use mail::keys::{Key, Search, address_keys, domain_keys, network_keys};
use mail::{Address, DsnStatus};
use std::borrow::Cow;
use std::sync::Arc;

/// A result and what it was found for.
pub(super) struct Hit<'t> {
    pub(super) table: &'t str,
    pub(super) value: Bytes,
    /// What warnings about the entry name.
    pub(super) datum: Vec<u8>,
}

/// What stands for the result of a table that fails.
const TABLE_FAILED: &[u8] = b"451 4.3.5 Server configuration error";

impl<'a, F: Facts> Evaluation<'a, F> {
    /// check_client_access and its kin. `name` is empty for a bare table.
    pub(super) async fn check_access(
        &mut self,
        access: Access,
        table: &Table,
        name: &str,
        target: &Target<'a>,
    ) -> Step<'a> {
        match access {
            Access::Client => {
                let client = self.session.client;
                let inner = Target::new(self.session.namaddr.as_bytes(), ReplyClass::Client, target.bare);
                self.check_host_access(table, &client.name, inner).await
            }
            Access::ReverseClient => {
                let reverse_name = self.session.reverse_name;
                let inner = Target::new(reverse_name.as_bytes(), ReplyClass::ReverseClient, target.bare);
                let flow = self.check_host_access(table, reverse_name, inner).await?;
                self.forbidding_permit(flow, name, reverse_name.as_bytes())
            }
            Access::Helo => {
                self.check_domain_access(table, self.session.helo(), ReplyClass::Helo, target).await
            }
            Access::Etrn => {
                self.check_domain_access(table, self.session.etrn_domain, ReplyClass::Etrn, target).await
            }
            Access::Sasl => self.check_sasl_access(table, name, target).await,
            Access::Sender => self.check_sender_access(table, target).await,
            Access::Recipient => self.check_recipient_access(table, target).await,
            // the parser makes Restriction::Certificate of it
            Access::Certificate => Ok(Flow::Dunno),
        }
    }

    async fn check_host_access(&mut self, table: &Table, host: &'a str, target: Target<'a>) -> Step<'a> {
        let address = self.session.client.address.as_bytes();
        let mut hit = self.look_up_host(table, host.as_bytes()).await;
        if hit.is_none() {
            hit = self.look_up_network(table, address).await;
        }
        self.act_on(hit, target).await
    }

    async fn check_domain_access(
        &mut self,
        table: &Table,
        domain: Option<&'a str>,
        class: ReplyClass,
        target: &Target<'a>,
    ) -> Step<'a> {
        let Some(domain) = domain.map(str::as_bytes) else {
            return Ok(Flow::Dunno);
        };
        let hit = self.look_up_host(table, domain).await;
        self.act_on(hit, Target::new(domain, class, target.bare)).await
    }

    async fn check_sasl_access(&mut self, table: &Table, name: &str, target: &Target<'a>) -> Step<'a> {
        if !self.settings().smtpd_sasl_auth_enable {
            self.warn(Warning::NoSasl(name));
            return Ok(Flow::Dunno);
        }
        let Some(login) = self.session.login() else {
            return Ok(Flow::Dunno);
        };
        let shown = printable(login.as_bytes(), b'_', self.settings().smtputf8_enable);
        let hit = self.look_up(table, &[whole(login.as_bytes())], login.as_bytes()).await;
        let name = Cow::Owned(shown.into_bytes());
        self.act_on(hit, Target { name, class: ReplyClass::Sasl, bare: target.bare }).await
    }

    async fn check_sender_access(&mut self, table: &Table, target: &Target<'a>) -> Step<'a> {
        let Some(sender) = self.session.sender else {
            return Ok(Flow::Dunno);
        };
        let inner = Target::new(sender.as_bytes(), ReplyClass::Sender, target.bare);
        if sender.is_null() {
            let key = self.settings().smtpd_null_access_lookup_key.as_bytes();
            let hit = self.look_up(table, &[whole(key)], key).await;
            return self.act_on(hit, inner).await;
        }
        let resolved = self.resolve(self.session.recipient, sender).await?;
        let hit = self.look_up_address(table, &resolved.recipient).await;
        self.act_on(hit, inner).await
    }

    async fn check_recipient_access(&mut self, table: &Table, target: &Target<'a>) -> Step<'a> {
        let Some(recipient) = self.session.recipient else {
            return Ok(Flow::Dunno);
        };
        let resolved = self.resolve_recipient(recipient).await?;
        let hit = self.look_up_address(table, &resolved.recipient).await;
        let inner = Target::new(recipient.as_bytes(), ReplyClass::Recipient, target.bare);
        let flow = self.act_on(hit, inner).await?;
        // where a source-routed recipient ends up no table can tell
        if self.settings().allow_untrusted_routing || !resolved.is_routed {
            return Ok(flow);
        }
        Ok(match flow {
            Flow::Permit => Flow::Dunno,
            flow => flow.then(After::DistrustPermit),
        })
    }

    /// check_ccert_access: the fingerprints, one after the other, until one decides.
    pub(super) async fn check_certificate(
        &mut self,
        table: &Table,
        keys: &[CertificateKey],
        target: &Target<'a>,
    ) -> Step<'a> {
        let Some(certificate) = self.session.tls.and_then(|tls| tls.certificate.as_ref()) else {
            if !self.settings().smtpd_tls_ask_ccert {
                self.warn(Warning::NoClientCertificate("check_ccert_access"));
            }
            return Ok(Flow::Dunno);
        };
        self.say_fingerprint_digest();
        for (n, key) in keys.iter().enumerate() {
            let print = match key {
                CertificateKey::Fingerprint => &certificate.fingerprint,
                CertificateKey::PublicKeyFingerprint => &certificate.public_key_fingerprint,
            };
            let name = certificate.subject_common_name.as_bytes();
            let hit = self.look_up(table, &[whole(print.as_bytes())], print.as_bytes()).await;
            match self.act_on(hit, Target::new(name, ReplyClass::Certificate, target.bare)).await? {
                Flow::Dunno => {}
                flow => {
                    let keys = keys[n + 1..].to_vec();
                    return Ok(flow.then(After::NextCertificateKey { table: table.clone(), keys }));
                }
            }
        }
        Ok(Flow::Dunno)
    }

    /// Turns a permit into a configuration error: `name` looks at what anybody can choose.
    pub(super) fn forbidding_permit(&mut self, flow: Flow<'a>, name: &str, what: &[u8]) -> Step<'a> {
        let target = self.printable(what);
        match flow {
            Flow::Dunno => Ok(Flow::Dunno),
            Flow::Permit => self.forbid_permit(name, target),
            flow => Ok(flow.then(After::ForbidPermit { restriction: name.to_owned(), target })),
        }
    }

    /// A host name and its parent domains.
    pub(super) async fn look_up_host<'t>(&self, table: &'t Table, host: &[u8]) -> Option<Hit<'t>> {
        self.look_up(table, &domain_keys(host, self.rules.parents), host).await
    }

    /// A network address and the networks it is in.
    pub(super) async fn look_up_network<'t>(&self, table: &'t Table, address: &[u8]) -> Option<Hit<'t>> {
        self.look_up(table, &network_keys(address), address).await
    }

    async fn look_up_address<'t>(&self, table: &'t Table, address: &Address) -> Option<Hit<'t>> {
        if address.domain().is_none() {
            self.warn(Warning::NoDomainInAddress(self.printable(address.as_bytes())));
            return None;
        }
        let keys = address_keys(address, Search::access(self.rules.parents), &self.rules.extensions, false);
        self.look_up(table, &keys, address.as_bytes()).await
    }

    /// The first key that is there. A table that fails is an answer too.
    async fn look_up<'t>(&self, table: &'t Table, keys: &[Key<'_>], datum: &[u8]) -> Option<Hit<'t>> {
        for key in keys {
            let value = match self.facts.table(table, key).await {
                Ok(None) => continue,
                Ok(Some(value)) => value,
                Err(_) => Bytes::from_static(TABLE_FAILED),
            };
            return Some(Hit { table: &table.name, value, datum: datum.to_vec() });
        }
        None
    }

    pub(super) async fn act_on(&mut self, hit: Option<Hit<'_>>, target: Target<'a>) -> Step<'a> {
        match hit {
            Some(hit) => self.act(hit, target).await,
            None => Ok(Flow::Dunno),
        }
    }

    /// Does what a table, or a policy server, says.
    pub(super) async fn act(&mut self, hit: Hit<'_>, target: Target<'a>) -> Step<'a> {
        let settings = self.settings();
        match AccessAction::parse(&hit.value) {
            AccessAction::Dunno => Ok(Flow::Dunno),
            AccessAction::Ok(word) => {
                let word = self.printable(word);
                self.permit(&word, &target, Some(hit.table)).await
            }
            AccessAction::Reject(text) => {
                let (status, text) = self.status_and_text(DsnStatus::new(5, 7, 1), text, &target);
                let text = target.rejected(or(text, "Access denied"));
                self.reject(settings.access_map_reject_code, status, text)
            }
            AccessAction::Defer(text) => {
                let (status, text) = self.status_and_text(DsnStatus::new(4, 7, 1), text, &target);
                self.reject(
                    settings.access_map_defer_code,
                    status,
                    target.rejected(or(text, "Access denied")),
                )
            }
            AccessAction::Reply { code, text } => {
                let default = DsnStatus::new((code / 100) as u8, 7, 1);
                let (status, text) = self.status_and_text(default, text, &target);
                self.reject(code, status, target.rejected(or(text, "Access denied")))
            }
            AccessAction::DeferIfPermit(text) => {
                let (status, text) = self.status_and_text(DsnStatus::new(4, 7, 1), text, &target);
                let text = target.rejected(or(text, "Service unavailable"));
                self.defer_or_reject(settings.access_map_defer_code, status, text)
            }
            AccessAction::DeferIfReject(text) => {
                let (status, text) = self.status_and_text(DsnStatus::new(4, 7, 1), text, &target);
                let text = target.rejected(or(text, "Service unavailable"));
                self.defer_if_reject(settings.access_map_defer_code, status, text);
                Ok(Flow::Dunno)
            }
            AccessAction::Info(text) => Ok(self.note(Action::Info, text)),
            AccessAction::Warn(text) => Ok(self.note(Action::Warn, text)),
            AccessAction::Discard { word, text } => self.discard(&hit, word, text, &target).await,
            AccessAction::Restrictions(value) => self.enter(&hit, value, target),
            action => Ok(self.change_message(action, &hit, &target)),
        }
    }

    fn status_and_text<'t>(
        &self,
        default: DsnStatus,
        text: &'t [u8],
        target: &Target<'_>,
    ) -> (DsnStatus, &'t [u8]) {
        let (status, text) = split_status(default, text);
        (self.status_for(status, target.class), text)
    }

    fn note(&self, action: Action, text: &[u8]) -> Flow<'a> {
        self.log_action(action, &self.printable(text));
        Flow::Dunno
    }

    async fn discard(&mut self, hit: &Hit<'_>, word: &[u8], text: &[u8], target: &Target<'a>) -> Step<'a> {
        if !self.can_change_message(hit.table, "DISCARD") {
            return Ok(Flow::Dunno);
        }
        self.note(Action::Discard, &target.with(or(text, "triggers DISCARD action")));
        self.state.effects.discard = true;
        let word = self.printable(word);
        self.permit(&word, target, Some(hit.table)).await
    }

    /// The actions that change where a message goes, or what is in it, and decide nothing.
    fn change_message(&mut self, action: AccessAction<'_>, hit: &Hit<'_>, target: &Target<'_>) -> Flow<'a> {
        match action {
            AccessAction::Hold(text) => self.hold(hit, text, target),
            AccessAction::Filter(destination) => self.filter(hit, destination, target),
            AccessAction::Redirect(address) if self.takes_address(hit, "REDIRECT", address) => {
                self.trigger(Action::Redirect, "REDIRECT", address, target);
                self.state.effects.redirect = Some(Bytes::copy_from_slice(address));
            }
            AccessAction::Bcc(address) if self.takes_address(hit, "BCC", address) => {
                self.trigger(Action::Bcc, "BCC", address, target);
                self.state.effects.bcc.push(Bytes::copy_from_slice(address));
            }
            AccessAction::Prepend(header) => self.prepend(hit, header),
            _ => {}
        }
        Flow::Dunno
    }

    fn hold(&mut self, hit: &Hit<'_>, text: &[u8], target: &Target<'_>) {
        if self.can_change_message(hit.table, "HOLD") && !self.state.effects.hold {
            self.note(Action::Hold, &target.with(or(text, "triggers HOLD action")));
            self.state.effects.hold = true;
        }
    }

    fn filter(&mut self, hit: &Hit<'_>, destination: &[u8], target: &Target<'_>) {
        if !self.can_change_message(hit.table, "FILTER") {
            return;
        }
        let datum = || self.printable(&hit.datum);
        match destination {
            b"" => self.warn(Warning::NoFilter { table: hit.table, datum: datum() }),
            _ if !destination.contains(&b':') => {
                self.warn(Warning::NeedsTransport { table: hit.table, datum: datum() });
            }
            _ => {
                self.trigger(Action::Filter, "FILTER", destination, target);
                self.state.effects.filter = Some(self.printable(destination));
            }
        }
    }

    fn prepend(&mut self, hit: &Hit<'_>, header: &[u8]) {
        if !self.is_in_message(hit.table, "PREPEND") {
            return;
        }
        if self.session.command == Command::EndOfMessage {
            self.warn(Warning::PrependTooLate { table: hit.table });
        } else if !is_header(header) {
            self.warn(Warning::NeedsHeader { table: hit.table, datum: self.printable(&hit.datum) });
        } else {
            self.state.effects.prepend.push(Bytes::copy_from_slice(header));
        }
    }

    fn takes_address(&self, hit: &Hit<'_>, action: &'static str, address: &[u8]) -> bool {
        if !self.can_change_message(hit.table, action) {
            return false;
        }
        if !address.contains(&b'@') {
            self.warn(Warning::NeedsUserAtDomain { table: hit.table, datum: self.printable(&hit.datum) });
            return false;
        }
        true
    }

    /// `<name>: class triggers FILTER smtp:x`
    fn trigger(&self, action: Action, word: &str, value: &[u8], target: &Target<'_>) {
        let what = [b"triggers ", word.as_bytes(), b" ", value].concat();
        self.note(action, &target.with(&what));
    }

    /// Whether there is a message on its way to cleanup that an action could change.
    fn can_change_message(&self, table: &str, action: &'static str) -> bool {
        if self.settings().smtpd_proxy_filter {
            self.warn(Warning::ProxyFilter { table, action });
            return false;
        }
        if self.session.command == Command::Etrn {
            self.warn(Warning::NotInEtrn { table, action });
            return false;
        }
        self.is_in_message(table, action)
    }

    fn is_in_message(&self, table: &str, action: &'static str) -> bool {
        if self.session.sender.is_none() {
            self.warn(Warning::BeforeMail { table, action });
        }
        self.session.sender.is_some()
    }

    /// A result that is a list of restrictions.
    fn enter(&mut self, hit: &Hit<'_>, value: &[u8], target: Target<'a>) -> Step<'a> {
        let shown = self.printable(value);
        if value.contains(&b':') {
            self.warn(Warning::TableInTable { table: hit.table, value: shown });
            self.warn(Warning::DoNotSpecifyTables);
            self.warn(Warning::DefineClass);
            return Err(self.server_error());
        }
        if self.level > DEPTH_LIMIT {
            self.warn(Warning::Recursion { table: hit.table, value: shown });
            return Err(self.server_error());
        }
        let classes = self.rules.vocabulary.classes.clone();
        let mut vocabulary = Vocabulary { classes, ..Vocabulary::default() };
        let (list, _) = List::parse(&String::from_utf8_lossy(value), hit.table, &mut vocabulary);
        if list.is_empty() {
            self.warn(Warning::EmptyValue { table: hit.table });
            return Ok(Flow::Permit);
        }
        Ok(Flow::enter(ListRef::Found(Arc::new(list)), target, After::Nothing))
    }
}

fn whole(text: &[u8]) -> Key<'_> {
    Key { text: Cow::Borrowed(text), is_whole: true, extension: None }
}

fn or<'t>(text: &'t [u8], default: &'static str) -> &'t [u8] {
    if text.is_empty() { default.as_bytes() } else { text }
}
