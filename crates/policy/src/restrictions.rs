//! The restrictions of one SMTP service, and when each of its lists is asked.

use crate::diagnostic::{Diagnostic, Severity};
use crate::evaluate::{Evaluation, ReplyClass, Target, Verdict};
use crate::event::Info;
use crate::facts::Facts;
use crate::list::{List, Restriction, Vocabulary};
use crate::names::{Access, Needs, Plain};
use crate::rewrite_clients::RewriteClients;
use crate::session::Session;
use crate::settings::Settings;
use crate::state::{Notice, Refusal, State};
use mail::keys::{Extensions, Parents};
use mail::{DsnStatus, Reply};
use std::sync::atomic::{AtomicBool, Ordering};

/// The values of the `smtpd_*_restrictions` parameters, in which nothing is left to expand.
#[derive(Clone, Debug, Default)]
pub struct Sources<'a> {
    pub smtpd_client_restrictions: &'a str,
    pub smtpd_helo_restrictions: &'a str,
    pub smtpd_sender_restrictions: &'a str,
    pub smtpd_relay_restrictions: &'a str,
    pub smtpd_recipient_restrictions: &'a str,
    pub smtpd_data_restrictions: &'a str,
    pub smtpd_end_of_data_restrictions: &'a str,
    pub smtpd_etrn_restrictions: &'a str,
    pub local_header_rewrite_clients: &'a str,
    /// `smtpd_restriction_classes`: each class and its value, None if there is no such parameter.
    pub smtpd_restriction_classes: Vec<(&'a str, Option<&'a str>)>,
}

/// Parsed restrictions and the parameters they obey.
///
/// [`connect`](Self::connect), [`helo`](Self::helo), [`mail`](Self::mail), [`rcpt`](Self::rcpt),
/// [`data`](Self::data), [`end_of_data`](Self::end_of_data) and [`etrn`](Self::etrn) are called as the client gets
/// there; an error is the reply that refuses it.
#[derive(Debug)]
pub struct Restrictions {
    pub(crate) settings: Settings,
    pub(crate) vocabulary: Vocabulary,
    /// In the order of the vocabulary's names.
    pub(crate) classes: Vec<List>,
    pub(crate) parents: Parents,
    pub(crate) extensions: Extensions,
    pub(crate) said_once: SaidOnce,
    pub(crate) rewrite_clients: RewriteClients,
    client: List,
    helo: List,
    sender: List,
    relay: List,
    recipient: List,
    data: List,
    end_of_data: List,
    etrn: List,
}

/// Warnings that are given once, not once a message.
#[derive(Debug, Default)]
pub(crate) struct SaidOnce {
    pub(crate) reject_maps_rbl: AtomicBool,
    pub(crate) check_relay_domains: AtomicBool,
    pub(crate) fingerprint_digest: AtomicBool,
}

impl SaidOnce {
    /// Whether this is the first time.
    pub(crate) fn first(flag: &AtomicBool) -> bool {
        !flag.swap(true, Ordering::Relaxed)
    }
}

impl Restrictions {
    /// Parses every list. All mistakes are reported; if one is fatal Postfix would not start.
    ///
    /// ```
    /// use policy::{Restrictions, Settings, Sources};
    /// let sources = Sources { smtpd_recipient_restrictions: "permit_mynetworks, permit", ..Sources::default() };
    /// let (_, wrong) = Restrictions::parse(&sources, Settings::default());
    /// assert!(wrong[0].text.starts_with("in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions,"));
    /// ```
    pub fn parse(sources: &Sources<'_>, settings: Settings) -> (Restrictions, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let mut vocabulary = Vocabulary {
            classes: sources.smtpd_restriction_classes.iter().map(|(name, _)| (*name).to_owned()).collect(),
            tables: Vec::new(),
            policy_service: settings.policy_service.clone(),
        };
        let mut parse = |parameter: &str, text: &str| {
            let (list, mut diagnostics) = List::parse(text, parameter, &mut vocabulary);
            found.append(&mut diagnostics);
            list
        };
        let relay_text = match settings.compatibility.relay_restrictions {
            true => "permit_mynetworks, permit_sasl_authenticated, permit_auth_destination",
            false => sources.smtpd_relay_restrictions,
        };
        let mut restrictions = Restrictions {
            client: parse("smtpd_client_restrictions", sources.smtpd_client_restrictions),
            helo: parse("smtpd_helo_restrictions", sources.smtpd_helo_restrictions),
            sender: parse("smtpd_sender_restrictions", sources.smtpd_sender_restrictions),
            relay: parse("smtpd_relay_restrictions", relay_text),
            recipient: parse("smtpd_recipient_restrictions", sources.smtpd_recipient_restrictions),
            data: parse("smtpd_data_restrictions", sources.smtpd_data_restrictions),
            end_of_data: parse("smtpd_end_of_data_restrictions", sources.smtpd_end_of_data_restrictions),
            etrn: parse("smtpd_etrn_restrictions", sources.smtpd_etrn_restrictions),
            classes: Vec::new(),
            rewrite_clients: RewriteClients::default(),
            parents: match settings.parent_domain_matches_subdomains {
                true => Parents::Plain,
                false => Parents::Dotted,
            },
            extensions: Extensions {
                double_bounce_sender: settings.double_bounce_sender.clone().into(),
                ..Extensions::new(settings.recipient_delimiter.clone())
            },
            said_once: SaidOnce::default(),
            vocabulary: Vocabulary::default(),
            settings,
        };
        for (name, value) in &sources.smtpd_restriction_classes {
            restrictions.classes.push(parse(name, value.unwrap_or_default()));
        }
        let (rewrite_clients, mut diagnostics) =
            RewriteClients::parse(sources.local_header_rewrite_clients, &mut vocabulary);
        restrictions.rewrite_clients = rewrite_clients;
        found.append(&mut diagnostics);
        restrictions.vocabulary = vocabulary;
        found.extend(restrictions.check(sources));
        (restrictions, found)
    }

    /// Every table that a list names, once: `type:name`. [`Table::index`](crate::Table::index) counts in this order.
    pub fn tables(&self) -> &[String] {
        &self.vocabulary.tables
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// When a client has connected: says something with `smtpd_delay_reject = no` only. After a refusal every
    /// command but QUIT is refused too.
    pub async fn connect<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        match self.settings.smtpd_delay_reject {
            true => Ok(()),
            false => self.check_client(session, state, facts).await,
        }
    }

    /// At HELO and EHLO: says something with `smtpd_delay_reject = no` only.
    pub async fn helo<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        match self.settings.smtpd_delay_reject {
            true => Ok(()),
            false => self.check_helo(session, state, facts).await,
        }
    }

    /// At MAIL, with the session's sender set: says something with `smtpd_delay_reject = no` only.
    pub async fn mail<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        match self.settings.smtpd_delay_reject {
            true => Ok(()),
            false => self.check_sender(session, state, facts).await,
        }
    }

    /// At RCPT and VRFY, with the session's recipient set.
    pub async fn rcpt<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        // RFC 5321 4.5.1: the bare postmaster is always taken.
        if session.recipient.is_none_or(|recipient| recipient.as_bytes().eq_ignore_ascii_case(b"postmaster"))
        {
            return Ok(());
        }
        state.recipient_is_checked = false;
        if self.settings.smtpd_delay_reject {
            self.check_client(session, state, facts).await?;
            self.check_helo(session, state, facts).await?;
            self.check_sender(session, state, facts).await?;
        }
        self.check_recipient(session, state, facts).await
    }

    /// At DATA and the first BDAT. The session's recipient is set if there is only one.
    pub async fn data<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        self.check_message(&self.data, "DATA", ReplyClass::Data, session, state, facts).await
    }

    /// When the message is here whole, before it is stored. The session's recipient is set if there is only one.
    pub async fn end_of_data<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        let list = &self.end_of_data;
        self.check_message(list, "END-OF-MESSAGE", ReplyClass::EndOfData, session, state, facts).await
    }

    /// At ETRN, with the session's etrn_domain set.
    pub async fn etrn<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        if self.settings.smtpd_delay_reject {
            self.check_client(session, state, facts).await?;
            self.check_helo(session, state, facts).await?;
        }
        let domain = session.etrn_domain.unwrap_or_default();
        let target = Target::new(domain.as_bytes(), ReplyClass::Etrn, Some(Access::Etrn));
        let earlier = state.after_helo.clone().or_else(|| state.after_client.clone());
        let mut evaluation = Evaluation::new(self, session, state, facts, earlier);
        evaluation.run(&self.etrn, target).await?;
        evaluation.refuse_if_deferred()
    }

    /// Whether headers of the message are rewritten as local mail's (`local_header_rewrite_clients`).
    pub async fn rewrites_headers<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<bool, Reply> {
        Evaluation::new(self, session, state, facts, None).rewrites_headers().await
    }

    /// Refuses for a reason that is not a restriction's (message size, queue space): the reply after `soft_bounce`,
    /// and the log line that goes with it.
    pub fn refuse<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
        notice: Notice,
        reply: Reply,
    ) -> Reply {
        let status = reply.status.unwrap_or(DsnStatus::new(4, 0, 0));
        let refusal = Refusal { notice, code: reply.code, status, text: reply.text.into_bytes() };
        Evaluation::new(self, session, state, facts, None).refuse(refusal)
    }

    async fn check_client<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        let target = Target::new(session.namaddr.as_bytes(), ReplyClass::Client, Some(Access::Client));
        let mut evaluation = Evaluation::new(self, session, state, facts, None);
        let verdict = evaluation.run(&self.client, target).await;
        state.after_client = evaluation.into_deferral();
        verdict.map(drop)
    }

    async fn check_helo<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        let Some(helo) = session.helo() else {
            return Ok(());
        };
        let target = Target::new(helo.as_bytes(), ReplyClass::Helo, Some(Access::Helo));
        let earlier = state.after_client.clone();
        let mut evaluation = Evaluation::new(self, session, state, facts, earlier);
        let verdict = evaluation.run(&self.helo, target).await;
        state.after_helo = evaluation.into_deferral();
        verdict.map(drop)
    }

    async fn check_sender<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        let Some(sender) = session.sender else {
            return Ok(());
        };
        state.sender_is_checked = false;
        let target = Target::new(sender.as_bytes(), ReplyClass::Sender, Some(Access::Sender));
        let earlier = state.after_client.clone().or_else(|| state.after_helo.clone());
        let mut evaluation = Evaluation::new(self, session, state, facts, earlier);
        let mut verdict = evaluation.run(&self.sender, target).await.map(drop);
        if verdict.is_ok() && self.settings.smtpd_reject_unlisted_sender && !sender.is_null() {
            verdict = evaluation.check_sender_is_listed(sender).await;
        }
        state.after_sender = evaluation.into_deferral();
        verdict
    }

    async fn check_recipient<F: Facts>(
        &self,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        let Some(recipient) = session.recipient else {
            return Ok(());
        };
        let earlier = state.after_sender.clone();
        let mut evaluation = Evaluation::new(self, session, state, facts, earlier);
        let verdict = self.relay_and_recipient(&mut evaluation).await;
        verdict?;
        evaluation.refuse_if_deferred()?;
        match self.settings.smtpd_reject_unlisted_recipient {
            true => evaluation.check_recipient_is_listed(recipient).await,
            false => Ok(()),
        }
    }

    /// Both lists are asked unless the first one rejects; `smtpd_relay_before_recipient_restrictions` says which is
    /// the first. What one permits the other may still reject.
    async fn relay_and_recipient<'a, F: Facts>(
        &'a self,
        evaluation: &mut Evaluation<'a, F>,
    ) -> Result<(), Reply> {
        let compatibility = &self.settings.compatibility;
        let relay_first =
            self.settings.smtpd_relay_before_recipient_restrictions && !compatibility.relay_restrictions;
        for relay in [relay_first, !relay_first] {
            let list = if relay { &self.relay } else { &self.recipient };
            let verdict = evaluation.run(list, evaluation.recipient_target()).await;
            if relay && compatibility.relay_restrictions && matches!(verdict, Ok(Verdict::Dunno)) {
                evaluation
                    .say_compat(|recipient, namaddr| Info::CompatRelayRestrictions { recipient, namaddr });
            }
            let is_first = relay == relay_first;
            if verdict.is_err() && is_first && compatibility.relay_before_recipient_restrictions {
                evaluation
                    .say_compat(|recipient, namaddr| Info::CompatRelayBeforeRecipient { recipient, namaddr });
            }
            verdict?;
        }
        Ok(())
    }

    async fn check_message<F: Facts>(
        &self,
        list: &List,
        name: &'static str,
        class: ReplyClass,
        session: &Session<'_>,
        state: &mut State,
        facts: &F,
    ) -> Result<(), Reply> {
        let mut evaluation = Evaluation::new(self, session, state, facts, None);
        evaluation.run(list, Target::new(name.as_bytes(), class, None)).await?;
        evaluation.refuse_if_deferred()
    }

    fn check(&self, sources: &Sources<'_>) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut report = |parameter: &str, span, severity, text| {
            found.push(Diagnostic { parameter: parameter.to_owned(), span, severity, text });
        };
        for (name, value) in &sources.smtpd_restriction_classes {
            if value.is_none_or(|value| value.trim().is_empty()) {
                let text = format!("restriction class `{name}' needs a definition");
                report("smtpd_restriction_classes", 0..0, Severity::Fatal, text);
            }
        }
        for (parameter, list, known) in self.lists() {
            for item in list.items() {
                let name = crate::names::Name::find(list.name(item));
                if name.is_some_and(|name| name.needs > known) && !self.settings.smtpd_delay_reject {
                    let text = format!("{} does nothing here while smtpd_delay_reject = no", list.name(item));
                    report(parameter, item.name.clone(), Severity::Warning, text);
                }
            }
            if let Some((after, item)) = list.unreachable() {
                let text = format!("restriction `{}' after `{after}' is ignored", list.name(item));
                report(parameter, item.name.clone(), Severity::Warning, text);
            }
        }
        if !self.can_refuse(&self.recipient, 0) && !self.can_refuse(&self.relay, 0) {
            report("smtpd_relay_restrictions", 0..0, Severity::Fatal, needs_refusal());
        }
        found
    }

    /// The lists, and what is known when each is asked with `smtpd_delay_reject = no`.
    fn lists(&self) -> [(&'static str, &List, Needs); 7] {
        [
            ("smtpd_client_restrictions", &self.client, Needs::Client),
            ("smtpd_helo_restrictions", &self.helo, Needs::Helo),
            ("smtpd_sender_restrictions", &self.sender, Needs::Sender),
            ("smtpd_relay_restrictions", &self.relay, Needs::Etrn),
            ("smtpd_recipient_restrictions", &self.recipient, Needs::Etrn),
            ("smtpd_data_restrictions", &self.data, Needs::Etrn),
            ("smtpd_end_of_data_restrictions", &self.end_of_data, Needs::Etrn),
        ]
    }

    /// Whether a list holds one of the restrictions that keep a host from relaying for everybody.
    fn can_refuse(&self, list: &List, depth: usize) -> bool {
        let of_class = |class: usize| {
            let list = self.classes.get(class).filter(|_| depth < self.classes.len());
            list.is_some_and(|list| self.can_refuse(list, depth + 1))
        };
        let mut items = list.items().iter();
        while let Some(item) = items.next() {
            match &item.restriction {
                Restriction::Plain(Plain::WarnIfReject) => drop(items.next()),
                Restriction::Plain(Plain::Permit) => return false,
                Restriction::Plain(plain) if KEEPS_FROM_RELAYING.contains(plain) => return true,
                Restriction::Class(class) if of_class(*class) => return true,
                _ => {}
            }
        }
        false
    }
}

const KEEPS_FROM_RELAYING: [Plain; 6] = [
    Plain::RejectUnauthDestination,
    Plain::DeferUnauthDestination,
    Plain::Reject,
    Plain::Defer,
    Plain::DeferIfPermit,
    Plain::CheckRelayDomains,
];

fn needs_refusal() -> String {
    "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance \
     of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains"
        .to_owned()
}
