//! One connection: reads, has the machine say what happens, answers, writes.

mod security;

use super::Service;
use super::auth::Login;
use super::client::ClientFacts;
use super::facts::World;
use super::networks::Hosts;
use super::tls::{self, TlsFacts};
use super::transaction::Transaction;
use crate::cleanup::Shown;
use crate::enqueue::{Entry, NotQueued};
use bytes::BytesMut;
use logger::Logger;
use mail::{DsnStatus, Reply};
use maillog::{ClientLine, Connect, Disconnect, LostConnection, Peer as LogPeer};
use net::Stream;
use policy::{Command, Session as PolicySession, State};
use smtp::Secret;
use smtp::framing::ForbidBareNewline;
use smtp::server::{Auth, Event, Helo, Mail, Notice, Peer, Rcpt, Session, Vrfy, Who};
use std::net::SocketAddr;
use std::sync::Arc;

/// A session with its client.
pub(super) struct Conversation {
    service: Arc<Service>,
    log: Logger,
    /// None: it was lost, or closed.
    stream: Option<Stream>,
    machine: Session,
    who: ClientFacts,
    peer: Option<SocketAddr>,
    /// Our end of the connection.
    server_address: String,
    server_port: u16,
    state: State,
    transaction: Option<Transaction>,
    tls: Option<TlsFacts>,
    login: Login,
    /// It ended as a Postfix process ends that cannot go on: with no more words.
    is_aborted: bool,
    improper_pipelining: bool,
}

/// What the loop does next.
enum Turn {
    Read,
    Handshake,
    Close,
}

impl Conversation {
    pub(super) async fn begin(
        service: Arc<Service>,
        stream: Stream,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
        log: Logger,
    ) -> Conversation {
        let who = ClientFacts::find(&service, peer, &log).await;
        let machine = Session::new(service.config.clone(), Peer::default(), service.tls.wrappermode);
        let server_address = local.map_or_else(String::new, |local| local.ip().to_string());
        let server_port = local.map_or(0, |local| local.port());
        let mut conversation = Conversation {
            service,
            log,
            stream: Some(stream),
            machine,
            who,
            peer,
            server_address,
            server_port,
            state: State::default(),
            transaction: None,
            tls: None,
            login: Login::default(),
            is_aborted: false,
            improper_pipelining: false,
        };
        let peer = conversation.machine_peer().await;
        let is_tls = conversation.service.tls.wrappermode;
        conversation.machine = Session::new(conversation.service.config.clone(), peer, is_tls);
        conversation
    }

    /// Serves the client until one side ends it.
    pub(super) async fn run(&mut self) {
        self.log.event(&Connect(self.log_peer()));
        if self.service.tls.wrappermode && !self.wrap().await {
            return self.end().await;
        }
        let mut input = BytesMut::new();
        loop {
            match self.take(&input).await {
                Turn::Close => break,
                Turn::Read => input = self.read().await,
                Turn::Handshake => {
                    input = BytesMut::new();
                    match self.write().await && self.shake_hands().await {
                        true => {
                            self.machine.handle_tls(self.refuse_certificate());
                            self.offer_logins().await;
                        }
                        false => self.machine.handle_eof(),
                    }
                }
            }
        }
        self.end().await;
    }

    /// Has the machine take the input, and answers what it asks.
    async fn take(&mut self, input: &[u8]) -> Turn {
        let mut rest = input;
        loop {
            match self.machine.poll_event(&mut rest) {
                Event::Input => return Turn::Read,
                Event::Handshake => return Turn::Handshake,
                Event::Close => return Turn::Close,
                Event::Body(piece) => {
                    if let Some(entry) = self.transaction.as_mut().and_then(|t| t.entry.as_mut()) {
                        entry.write(piece).await;
                    }
                }
                Event::Pause(time) => {
                    self.write().await;
                    tokio::time::sleep(time).await;
                }
                event => {
                    // It borrows nothing of the input: only content does.
                    let event = Question::from(event);
                    self.answer(event).await;
                }
            }
        }
    }

    /// Writes what was said, and waits for more input. The end of it, or too long a wait, is told to the machine.
    async fn read(&mut self) -> BytesMut {
        self.write().await;
        let Some(stream) = &mut self.stream else {
            self.machine.handle_eof();
            return BytesMut::new();
        };
        match stream.fill_within(self.service.smtpd_timeout).await {
            Ok(0) => self.machine.handle_eof(),
            Ok(_) => return stream.input().split(),
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut => self.machine.handle_timeout(),
            Err(_) => self.machine.handle_eof(),
        }
        BytesMut::new()
    }

    /// Writes all replies in one go; false if the client is not to be reached.
    async fn write(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        while let Some(reply) = self.machine.poll_output() {
            stream.output().extend_from_slice(reply.to_wire().as_bytes());
        }
        let is_written = stream.flush_within(self.service.smtpd_timeout).await.is_ok();
        if !is_written {
            self.stream = None;
        }
        is_written
    }

    async fn end(&mut self) {
        if self.is_aborted {
            return;
        }
        self.write().await;
        let peer = self.log_peer();
        if let Some(ending) = self.machine.ending() {
            self.log.event(&LostConnection { what: ending.what, after: &ending.after, peer });
        }
        let commands = self.machine.statistics().to_string();
        self.log.event(&Disconnect { peer, commands: &commands });
        if let Some(stream) = self.stream.take() {
            // Who does not listen any more need not be told of the end.
            let _ = stream.close().await;
        }
    }

    async fn answer(&mut self, question: Question) {
        match question {
            Question::Notice(notice) => self.note(&notice),
            Question::Connect => self.connect().await,
            Question::Helo(helo) => self.helo(helo).await,
            Question::Mail(mail) => self.mail(mail).await,
            Question::Rcpt(rcpt) => self.rcpt(rcpt).await,
            Question::Data => self.data().await,
            Question::BodyEnd => self.end_of_data().await,
            Question::Unknown(verb) => self.unknown(&verb).await,
            Question::Vrfy(vrfy) => self.vrfy(vrfy).await,
            Question::Etrn(domain) => self.etrn(&domain).await,
            Question::Forget => self.forget(),
            Question::StartTls => match self.service.tls.engine {
                Some(_) => self.machine.accept(),
                None => self.machine.reply(tls::not_available()),
            },
            Question::Auth(auth) => self.auth(auth).await,
            Question::AuthResponse(response) => self.auth_response(response).await,
            Question::Plain => self.machine.accept(),
            Question::Refused => {
                let text = "Error: not available in this version";
                self.machine.reply(Reply::new(502, DsnStatus::new(5, 5, 1), text));
            }
        }
    }

    async fn connect(&mut self) {
        if let Some(reply) = self.refuse_certificate() {
            return self.machine.deny(reply);
        }
        match self.ask(Command::Connect, None, Stage::Connect).await {
            Ok(()) => self.machine.accept(),
            Err(reply) => self.machine.deny(reply),
        }
        self.offer_logins().await;
    }

    async fn helo(&mut self, helo: Helo) {
        let before =
            std::mem::replace(&mut self.who.client.helo, String::from_utf8_lossy(&helo.name).into_owned());
        let command = if helo.is_ehlo { Command::Ehlo } else { Command::Helo };
        match self.ask(command, None, Stage::Helo).await {
            Ok(()) => {
                self.forget();
                self.machine.accept();
                self.who.client.helo = self.machine.helo().unwrap_or_default().to_owned();
                self.who.client.protocol = self.machine.protocol().to_owned();
            }
            Err(reply) => {
                self.machine.reply(reply);
                self.who.client.helo = before;
            }
        }
    }

    async fn mail(&mut self, mail: Mail) {
        self.who.client.protocol = self.machine.protocol().to_owned();
        let spool = self.service.enqueue.spool.clone();
        let draft = match spool.draft((self.service.clock.now)(), mail.size) {
            Ok(draft) => draft,
            Err(error) => return self.machine.reply(NotQueued::Spool(error).reply()),
        };
        if let Some(login) = &mail.sasl_sender {
            self.who.client.sasl_sender = login.clone();
        }
        self.transaction = Some(Transaction::new(mail, draft));
        match self.ask_about_sender().await {
            Ok(()) => self.machine.accept(),
            Err(refusal) => {
                self.transaction = None;
                self.state.forget_message();
                match refusal {
                    Some(reply) => self.machine.reply(reply),
                    None => self.machine.refuse_address(),
                }
            }
        }
    }

    /// `Err(None)`: the address makes no sense.
    async fn ask_about_sender(&mut self) -> Result<(), Option<Reply>> {
        let sender = self.transaction.as_ref().map(|t| t.mail.sender.clone()).unwrap_or_default();
        if !sender.is_null() && !self.makes_sense(&sender).await {
            return Err(None);
        }
        self.ask(Command::Mail, None, Stage::Mail).await?;
        let (session, state, world, restrictions) = self.policy(Command::Mail, None);
        let rewrite_local = restrictions.rewrites_headers(&session, state, &world).await?;
        if let Some(transaction) = &mut self.transaction {
            transaction.rewrite_local = rewrite_local;
        }
        Ok(())
    }

    /// Whether the address can be resolved at all.
    async fn makes_sense(&self, address: &mail::Address) -> bool {
        let resolved = self.service.enqueue.cleanup.router.resolve_given(None, address).await;
        !matches!(resolved, Err(route::Unresolved::BadAddress { .. }))
    }

    async fn rcpt(&mut self, rcpt: Rcpt) {
        if !self.makes_sense(&rcpt.recipient).await {
            return self.machine.refuse_address();
        }
        let recipient = rcpt.recipient.clone();
        if let Err(reply) = self.ask(Command::Rcpt, Some(&recipient), Stage::Rcpt).await {
            return self.machine.reply(reply);
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.add(rcpt);
            if !std::mem::replace(&mut transaction.is_announced, true)
                && let Some(id) = transaction.id()
            {
                self.log.event(&ClientLine { id, client: &self.who.client });
            }
        }
        self.machine.accept();
    }

    async fn data(&mut self) {
        let only = self.only_recipient();
        if let Err(reply) = self.ask(Command::Data, only.as_ref(), Stage::Data).await {
            return self.machine.reply(reply);
        }
        let shown = Shown {
            is_tls: self.tls.is_some(),
            tls: self.tls.as_ref().and_then(|tls| tls.header.clone()),
            login: self.service.smtpd_sasl_authenticated_header,
        };
        let begun = self
            .transaction
            .as_mut()
            .and_then(|t| t.incoming(&self.service, &self.who.client, &self.state.effects, shown));
        if let Some((draft, incoming)) = begun {
            let entry = Entry::begin(&self.service.enqueue, draft, incoming).await;
            if let Some(transaction) = &mut self.transaction {
                transaction.entry = Some(entry);
            }
        }
        self.machine.accept();
    }

    async fn end_of_data(&mut self) {
        let only = self.only_recipient();
        let asked = self.ask(Command::EndOfMessage, only.as_ref(), Stage::EndOfData).await;
        let is_discarded = self.state.effects.discard;
        let entry = self.transaction.take().and_then(|t| t.entry);
        self.state.forget_message();
        let Some(entry) = entry else {
            return self.machine.reply(Reply::new(
                451,
                DsnStatus::new(4, 3, 0),
                "Error: queue file write error",
            ));
        };
        if let Err(reply) = asked {
            return self.machine.reply(reply);
        }
        let id = entry.id();
        if is_discarded {
            return self.machine.queued(id.as_str());
        }
        match entry.finish().await {
            Ok(id) => self.machine.queued(id.as_str()),
            Err(why) => {
                if let NotQueued::Spool(error) = &why {
                    self.log.warning(format_args!("{id}: {error}"));
                }
                self.machine.reply(why.reply());
            }
        }
    }

    async fn unknown(&mut self, verb: &[u8]) {
        let word = String::from_utf8_lossy(verb);
        let service = self.service.clone();
        let is_listed =
            service.smtpd_forbidden_commands.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(&word));
        if is_listed || self.is_in_forbidden_table(verb).await {
            self.machine.break_rules();
        } else {
            self.machine.accept();
        }
    }

    async fn is_in_forbidden_table(&self, verb: &[u8]) -> bool {
        for table in &self.service.smtpd_forbidden_tables {
            // A table that cannot be asked forbids nothing.
            if matches!(table.get(verb).await, Ok(Some(_))) {
                return true;
            }
        }
        false
    }

    async fn vrfy(&mut self, vrfy: Vrfy) {
        if !self.makes_sense(&vrfy.recipient).await {
            return self.machine.refuse_address();
        }
        match self.ask(Command::Vrfy, Some(&vrfy.recipient), Stage::Rcpt).await {
            Ok(()) => self.machine.accept(),
            Err(reply) => self.machine.reply(reply),
        }
    }

    /// `fast_flush_domains` have the service. What waits for a domain is found in the spool: there are no logs of it.
    async fn etrn(&mut self, domain: &str) {
        let (mut session, state, world, restrictions) = self.policy(Command::Etrn, None);
        session.etrn_domain = Some(domain);
        if let Err(reply) = restrictions.etrn(&session, state, &world).await {
            return self.machine.reply(reply);
        }
        let site = domain.to_ascii_lowercase();
        match self.service.fast_flush_domains.has(site.as_bytes()).await {
            Ok(true) if self.service.flush.send(site).is_ok() => self.machine.accept(),
            Ok(false) => {
                let shown: String = domain.chars().take(ETRN_SHOWN).collect();
                self.log.warning(format_args!("reject: ETRN {shown}... from {}", self.who.namaddr));
                self.machine.reply(Reply::plain(459, format!("<{domain}>: service unavailable")));
            }
            _ => self.machine.reply(Reply::plain(458, "Unable to queue messages")),
        }
    }

    fn forget(&mut self) {
        self.transaction = None;
        self.state.forget_message();
    }

    fn only_recipient(&self) -> Option<mail::Address> {
        self.transaction.as_ref()?.only_recipient().cloned()
    }

    /// Asks the restrictions of a stage. The error refuses.
    async fn ask(
        &mut self,
        command: Command,
        recipient: Option<&mail::Address>,
        stage: Stage,
    ) -> Result<(), Reply> {
        let (session, state, world, restrictions) = self.policy(command, recipient);
        match stage {
            Stage::Connect => restrictions.connect(&session, state, &world).await,
            Stage::Helo => restrictions.helo(&session, state, &world).await,
            Stage::Mail => restrictions.mail(&session, state, &world).await,
            Stage::Rcpt => restrictions.rcpt(&session, state, &world).await,
            Stage::Data => restrictions.data(&session, state, &world).await,
            Stage::EndOfData => restrictions.end_of_data(&session, state, &world).await,
        }
    }

    /// What restrictions are asked with at this moment.
    fn policy<'a>(
        &'a mut self,
        command: Command,
        recipient: Option<&'a mail::Address>,
    ) -> (PolicySession<'a>, &'a mut State, World<'a>, &'a policy::Restrictions) {
        let transaction = self.transaction.as_ref();
        let session = PolicySession {
            command,
            client: &self.who.client,
            namaddr: &self.who.namaddr,
            name_status: self.who.name_status,
            reverse_name: &self.who.reverse_name,
            reverse_name_status: self.who.reverse_name_status,
            peer: self.peer.map(|peer| peer.ip()),
            server_address: &self.server_address,
            server_port: self.server_port,
            tls: self.tls.as_ref().map(|tls| &tls.policy),
            sender: transaction.map(|t| &t.mail.sender),
            recipient,
            recipient_count: transaction.map_or(0, Transaction::recipient_count),
            etrn_domain: None,
            queue_id: transaction.and_then(Transaction::id),
            instance: transaction.map_or("", |t| &t.instance),
            size: transaction.map_or(0, |t| t.mail.size).max(self.machine.body_size()),
            smtputf8: transaction.is_some_and(|t| t.mail.smtputf8),
            improper_pipelining: self.improper_pipelining,
        };
        let world = World { service: &self.service, log: &self.log };
        (session, &mut self.state, world, &self.service.restrictions)
    }

    fn note(&mut self, notice: &Notice) {
        self.improper_pipelining |= matches!(notice, Notice::ImproperPipelining { .. });
        let id = self.transaction.as_ref().and_then(Transaction::id);
        let id = id.map_or_else(|| "NOQUEUE".to_owned(), |id| id.to_string());
        let context = self.reject_context(notice);
        let who = Who { client: &self.who.namaddr, queue_id: &id, context: &context };
        match notice.is_warning() {
            true => self.log.warning(format_args!("{}", notice.line(who))),
            false => self.log.info(format_args!("{}", notice.line(who))),
        }
    }

    /// ` from=<…> to=<…> proto=ESMTP helo=<…>`, as far as that is known.
    fn reject_context(&self, notice: &Notice) -> String {
        let refused = match notice {
            Notice::SizeRefused { sender, .. } => Some(sender),
            _ => self.transaction.as_ref().map(|t| &t.mail.sender),
        };
        let from = refused.map_or_else(String::new, |sender| format!(" from=<{sender}>"));
        let to = self.only_recipient().map_or_else(String::new, |to| format!(" to=<{to}>"));
        let helo = &self.who.client.helo;
        let helo = if helo.is_empty() { String::new() } else { format!(" helo=<{helo}>") };
        format!("{from}{to} proto={}{helo}", self.machine.protocol())
    }

    async fn machine_peer(&self) -> Peer {
        let service = &self.service;
        let host = Hosts { name: &self.who.client.name, address: self.who.address };
        // A list that cannot be asked excludes nobody.
        let is_excluded =
            service.lists.smtpd_forbid_bare_newline_exclusions.has(host).await.unwrap_or_default();
        // One that cannot be asked authorizes nobody.
        let may_verp = service.lists.smtpd_authorized_verp_clients.has(host).await.unwrap_or_default();
        Peer {
            may_verp,
            name_and_address: self.who.namaddr.clone(),
            smtpd_forbid_bare_newline: match is_excluded {
                true => ForbidBareNewline::No,
                false => service.smtpd_forbid_bare_newline,
            },
            smtpd_discard_ehlo_keywords: service.smtpd_discard_ehlo_keywords,
            ..Peer::default()
        }
    }

    fn log_peer(&self) -> LogPeer<'_> {
        LogPeer { name: &self.who.client.name, address: &self.who.client.address }
    }
}

/// Characters of a domain that the log gets.
const ETRN_SHOWN: usize = 100;

/// Which restrictions are asked.
enum Stage {
    Connect,
    Helo,
    Mail,
    Rcpt,
    Data,
    EndOfData,
}

/// The machine's events that ask something, without what they borrow.
enum Question {
    Notice(Notice),
    Connect,
    Helo(Helo),
    Mail(Mail),
    Rcpt(Rcpt),
    Data,
    BodyEnd,
    Unknown(Vec<u8>),
    Vrfy(Vrfy),
    Etrn(String),
    StartTls,
    Auth(Auth),
    AuthResponse(Secret),
    /// The transaction is over without a message.
    Forget,
    /// The usual answer is right.
    Plain,
    /// What this version does not do: it is never announced.
    Refused,
}

impl From<Event<'_>> for Question {
    fn from(event: Event<'_>) -> Question {
        match event {
            Event::Notice(notice) => Question::Notice(notice),
            Event::Connect => Question::Connect,
            Event::Helo(helo) => Question::Helo(helo),
            Event::Mail(mail) => Question::Mail(mail),
            Event::Rcpt(rcpt) => Question::Rcpt(rcpt),
            Event::Data => Question::Data,
            Event::BodyEnd => Question::BodyEnd,
            Event::Unknown { verb } => Question::Unknown(verb),
            Event::Vrfy(vrfy) => Question::Vrfy(vrfy),
            Event::Etrn(domain) => Question::Etrn(domain),
            Event::Reset | Event::BodyFailed(_) => Question::Forget,
            Event::StartTls => Question::StartTls,
            Event::Filter => Question::Plain,
            Event::Auth(auth) => Question::Auth(auth),
            Event::AuthResponse(response) => Question::AuthResponse(response),
            Event::Xclient(_) | Event::Xforward(_) => Question::Refused,
            Event::Input | Event::Handshake | Event::Close | Event::Pause(_) | Event::Body(_) => {
                unreachable!("the loop sees to these")
            }
        }
    }
}
