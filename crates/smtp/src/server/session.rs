//! The session itself: what its driver calls, how replies and errors are counted, and the loop that takes input.

use super::body::Body;
use super::line::LineReader;
use super::parameters::{self, Refusal};
use super::{BodyFault, Config, Event, Mail, Notice, Peer, Sasl, Statistics, Verb, notice};
use mail::{DsnStatus, Reply};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// One SMTP session, from the greeting to the end. It has no socket and no clock.
///
/// A driver calls methods of four kinds:
/// - [`poll_event`](Session::poll_event) takes input and says what happens. Call it again and again; when it says
///   [`Event::Input`], write the output, read, and go on.
/// - Answers: [`accept`](Session::accept), [`reply`](Session::reply) and those for particular events. An event that asks
///   gets one before the next poll.
/// - `handle_…`: what happened outside: TLS is up, the client is gone or silent.
/// - [`poll_output`](Session::poll_output): the replies to write. There may be some after every other call.
///
/// ```
/// use smtp::server::{Config, Event, Peer, Session};
/// let mut session = Session::new(Config::default().into(), Peer::default(), false);
/// assert_eq!(session.poll_event(&mut &b""[..]), Event::Connect);
/// session.accept();
/// let mut input: &[u8] = b"NOOP\r\n";
/// assert_eq!(session.poll_event(&mut input), Event::Input);
/// assert_eq!(session.poll_output().unwrap().to_wire(), "220 localhost ESMTP\r\n");
/// assert_eq!(session.poll_output().unwrap().to_wire(), "250 2.0.0 Ok\r\n");
/// ```
#[derive(Debug)]
pub struct Session {
    pub(super) config: Arc<Config>,
    pub(super) peer: Peer,
    pub(super) sasl: Sasl,
    pub(super) is_tls: bool,
    pub(super) is_authenticated: bool,
    pub(super) state: State,
    pub(super) reader: LineReader,
    /// The command line at hand.
    pub(super) command: Vec<u8>,
    /// The command at hand; None for the greeting and for unknown ones.
    pub(super) verb: Option<Verb>,
    /// How far the client came, for the log.
    pub(super) stage: &'static str,
    pub(super) helo: Option<String>,
    pub(super) is_esmtp: bool,
    pub(super) transaction: Option<Transaction>,
    /// The parameters of a MAIL that was refused.
    pub(super) lingering: Mail,
    pub(super) body: Option<Body>,
    pub(super) chunks: Chunks,
    /// The reply that refused the connection and, in effect, everything after it.
    pub(super) denied: Option<Reply>,
    pub(super) has_improper_pipelining: bool,
    pub(super) errors: u32,
    pub(super) junk_commands: u32,
    pub(super) statistics: Statistics,
    /// The question that is still to be put to the driver, behind all that comes before it.
    pub(super) asks: Option<Event<'static>>,
    output: VecDeque<Reply>,
    pub(super) notices: VecDeque<Notice>,
    pause: Duration,
    pub(super) failed_body: Option<BodyFault>,
    must_reset: bool,
    hangs_up: bool,
    ending: Option<Ending>,
}

/// What the session is at.
#[derive(Debug)]
pub(super) enum State {
    /// The client is to be greeted.
    Greeting,
    /// A command line is being read.
    Command,
    /// The driver has been asked.
    Asked(Question),
    /// The command line at hand has been through the filter.
    Run,
    /// A line of an AUTH exchange with this mechanism is being read.
    SaslLine {
        mechanism: String,
    },
    /// The driver is to shake hands, or is doing so.
    Handshake,
    /// Content after DATA is being read.
    Data,
    /// A chunk is being read.
    Chunk(Chunk),
    /// A refused chunk is being read; the reply comes behind it.
    Skip(Chunk, Reply),
    Closed,
}

/// What the driver was asked, with what the answer needs.
#[derive(Debug)]
pub(super) enum Question {
    Connect,
    Helo { name: String, is_ehlo: bool },
    Filter,
    Unknown,
    StartTls,
    Auth { mechanism: String },
    Mail { begins: Transaction, path: Vec<u8> },
    Rcpt { path: Vec<u8> },
    Data,
    FirstChunk(Chunk),
    BodyEnd,
    Vrfy { text: Vec<u8> },
    Etrn,
    Xclient { keeps_helo: Option<String>, is_esmtp: bool, has_login: bool },
    Xforward,
}

/// What MAIL began.
#[derive(Clone, Debug, Default)]
pub(super) struct Transaction {
    pub(super) smtputf8: bool,
    pub(super) recipients: u32,
    /// Recipients beyond `smtpd_recipient_limit`.
    pub(super) overshoot: u32,
}

impl From<&Mail> for Transaction {
    fn from(mail: &Mail) -> Transaction {
        Transaction { smtputf8: mail.smtputf8, ..Transaction::default() }
    }
}

/// How BDAT stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Chunks {
    #[default]
    None,
    Open,
    /// An earlier chunk was refused: the rest is read and thrown away.
    Failed,
}

/// A chunk of which so much is still to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) size: u64,
    pub(super) remaining: u64,
    pub(super) is_last: bool,
}

/// Why a session ended other than by QUIT or a reply that says all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// `lost connection`, `timeout`, `too many errors`.
    pub what: &'static str,
    /// The command or stage: `CONNECT`, `DATA (12 bytes)`, `END-OF-MESSAGE`.
    pub after: String,
}

impl Session {
    /// A session of which nothing was said yet. `is_tls`: TLS is up already (`smtpd_tls_wrappermode`).
    pub fn new(config: Arc<Config>, peer: Peer, is_tls: bool) -> Session {
        Session {
            config,
            peer,
            sasl: Sasl::Inactive,
            is_tls,
            is_authenticated: false,
            state: State::Greeting,
            reader: LineReader::default(),
            command: Vec::new(),
            verb: None,
            stage: "CONNECT",
            helo: None,
            is_esmtp: false,
            transaction: None,
            lingering: Mail::default(),
            body: None,
            chunks: Chunks::None,
            denied: None,
            has_improper_pipelining: false,
            errors: 0,
            junk_commands: 0,
            statistics: Statistics::default(),
            asks: None,
            output: VecDeque::new(),
            notices: VecDeque::new(),
            pause: Duration::ZERO,
            failed_body: None,
            must_reset: false,
            hangs_up: false,
            ending: None,
        }
    }

    /// Takes input and says what happens next. What it takes is cut off the front of `input`; all of it is taken before
    /// [`Event::Input`].
    ///
    /// # Panics
    /// In debug builds, if the last event asked and was not answered.
    pub fn poll_event<'a>(&mut self, input: &mut &'a [u8]) -> Event<'a> {
        loop {
            if let Some(event) = self.poll_aside() {
                return event;
            }
            if let Some(event) = self.advance(input) {
                return event;
            }
        }
    }

    /// The next reply to write. After [`Event::Pause`], not before the pause is over.
    pub fn poll_output(&mut self) -> Option<Reply> {
        self.output.pop_front()
    }

    /// What is to be said before the session goes on.
    fn poll_aside<'a>(&mut self) -> Option<Event<'a>> {
        if let Some(notice) = self.notices.pop_front() {
            return Some(Event::Notice(notice));
        }
        if let Some(fault) = self.failed_body.take() {
            return Some(Event::BodyFailed(fault));
        }
        if std::mem::take(&mut self.must_reset) {
            return Some(Event::Reset);
        }
        let pause = std::mem::take(&mut self.pause);
        if !pause.is_zero() {
            return Some(Event::Pause(pause));
        }
        self.asks.take()
    }

    /// One step. None if something else comes first now.
    fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        match &mut self.state {
            State::Greeting => {
                self.greet(input);
                None
            }
            State::Command => self.read_command(input),
            State::Asked(_) => {
                debug_assert!(false, "the last event was not answered: {:?}", self.state);
                self.reply(Reply::new(451, DsnStatus::new(4, 3, 0), "Error: internal error"));
                None
            }
            State::Run => {
                self.state = State::Command;
                self.dispatch(input);
                None
            }
            State::SaslLine { .. } => self.read_sasl_line(input),
            State::Handshake => {
                // RFC 3207 4: what came in the clear behind STARTTLS is not to be used.
                *input = &[];
                Some(Event::Handshake)
            }
            State::Data => self.read_data(input),
            State::Chunk(_) => self.read_chunk(input),
            State::Skip(..) => self.skip_chunk(input),
            State::Closed => {
                *input = &[];
                Some(Event::Close)
            }
        }
    }

    fn greet(&mut self, input: &[u8]) {
        if self.is_tls || !self.is_improper_pipelining(input) {
            self.ask(Question::Connect, Event::Connect);
        }
    }

    fn read_command<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        if self.hangs_up {
            self.close();
            return None;
        }
        if self.errors >= self.config.smtpd_hard_error_limit {
            self.end("too many errors");
            self.say_plainly(421, DsnStatus::new(4, 7, 0), "Error: too many errors");
            return None;
        }
        let mode = self.peer.smtpd_forbid_bare_newline;
        let Some(line) = self.reader.read(input, self.config.line_length_limit, mode) else {
            return Some(Event::Input);
        };
        self.take_line(line, input);
        None
    }

    /// Answers an event with the usual reply.
    pub fn accept(&mut self) {
        let reply = match self.question() {
            None => return,
            Some(Question::Filter) => {
                self.state = State::Run;
                return;
            }
            Some(question) => self.usual_reply(question),
        };
        self.reply(reply);
    }

    /// Answers an event. A code below 400 accepts what was asked; 421 and 521 end the session.
    pub fn reply(&mut self, reply: Reply) {
        if let Some(question) = self.take_question() {
            self.settle(question, reply);
        }
    }

    /// Answers [`Event::Connect`]: the client is told so, and again at every command but QUIT.
    pub fn deny(&mut self, reply: Reply) {
        self.denied = Some(reply.clone());
        self.reply(reply);
    }

    /// Answers [`Event::Mail`], [`Event::Rcpt`] and [`Event::Vrfy`]: the address makes no sense to whoever resolves it.
    pub fn refuse_address(&mut self) {
        let (verb, address) = match self.question() {
            Some(Question::Mail { path, .. }) => (Verb::Mail, path.clone()),
            Some(Question::Rcpt { path }) => (Verb::Rcpt, path.clone()),
            Some(Question::Vrfy { text }) => (Verb::Vrfy, text.clone()),
            _ => return debug_assert!(false, "no address was asked about"),
        };
        let Refusal { reply, notice } = parameters::illegal_address(verb, &address);
        self.notices.extend(notice);
        self.reply(reply);
    }

    /// Answers [`Event::Auth`] and [`Event::AuthResponse`]: the exchange goes on. `challenge` is in base64.
    pub fn challenge(&mut self, challenge: &str) {
        if let State::Asked(Question::Auth { mechanism }) = std::mem::replace(&mut self.state, State::Command)
        {
            self.state = State::SaslLine { mechanism };
            self.say(Reply::plain(334, challenge));
        }
    }

    /// Answers [`Event::Filter`]: the command is another one.
    pub fn replace_command(&mut self, command: &[u8]) {
        let replaced = std::mem::replace(&mut self.command, command.to_vec());
        let (command, by) = (notice::shown(&replaced), notice::shown(command));
        self.notices.push_back(Notice::ReplacedCommand { command, by });
        self.accept();
    }

    /// Answers [`Event::Unknown`]: what the client speaks is not SMTP.
    pub fn break_rules(&mut self) {
        let command = notice::shown(&self.command);
        self.notices.push_back(Notice::NonSmtpCommand { command });
        self.say(Reply::new(221, DsnStatus::new(2, 7, 0), "Error: I can break rules, too. Goodbye."));
        self.close();
    }

    /// Answers [`Event::BodyEnd`]: the message is in the queue.
    pub fn queued(&mut self, id: &str) {
        let text = match self.chunks {
            Chunks::None => format!("Ok: queued as {id}"),
            _ => format!("Ok: {} bytes queued as {id}", self.body_size()),
        };
        self.reply(Reply::new(250, DsnStatus::new(2, 0, 0), text));
    }

    /// Answers [`Event::Xclient`]: the client is another one now, and is greeted.
    pub fn become_client(&mut self, peer: Peer) {
        let Some(Question::Xclient { keeps_helo, is_esmtp, has_login }) = self.take_question() else {
            return debug_assert!(false, "XCLIENT was not asked");
        };
        self.state = State::Greeting;
        // Postfix: XCLIENT never counts as a success, golden: xclient.smtp.
        (self.peer, self.helo, self.is_esmtp) = (peer, keeps_helo, is_esmtp);
        self.verb = None;
        self.is_authenticated = has_login;
    }

    /// Says whether the client can log in from now on.
    pub fn set_sasl(&mut self, sasl: Sasl) {
        self.sasl = sasl;
    }

    /// TLS is up. Everything that was said before is forgotten (RFC 3207 4.2). A `refusal` is what the client gets to hear
    /// at its next command.
    pub fn handle_tls(&mut self, refusal: Option<Reply>) {
        debug_assert!(matches!(self.state, State::Handshake), "no handshake was due");
        self.is_tls = true;
        self.denied = refusal;
        self.state = State::Command;
        self.finish(true);
    }

    /// The client is gone. Poll until [`Event::Close`].
    pub fn handle_eof(&mut self) {
        self.end_abruptly("lost connection", None);
    }

    /// The client said nothing for `smtpd_timeout`. Poll until [`Event::Close`].
    pub fn handle_timeout(&mut self) {
        let text = format!("{} Error: timeout exceeded", self.config.myhostname);
        self.end_abruptly("timeout", Some(Reply::new(421, DsnStatus::new(4, 4, 2), text)));
    }

    /// The session cannot go on, for a reason of ours that the reply says. Poll until [`Event::Close`].
    pub fn handle_failure(&mut self, reply: Reply) {
        if !matches!(self.state, State::Closed) {
            self.say(reply);
            self.drop_transaction();
            self.close();
        }
    }

    fn end_abruptly(&mut self, what: &'static str, reply: Option<Reply>) {
        if matches!(self.state, State::Closed) {
            return;
        }
        if what != "lost connection" || self.stage != END_OF_MESSAGE {
            self.end(what);
        }
        if let Some(reply) = reply {
            self.say(reply);
        }
        self.drop_transaction();
        self.close();
    }

    /// The command line that the last event is about, without its end. Never one of AUTH.
    pub fn command(&self) -> &[u8] {
        &self.command
    }

    /// The name that the client gave with HELO or EHLO, printable and without characters that mean something in
    /// headers. While that event asks, it is the one before.
    pub fn helo(&self) -> Option<&str> {
        self.helo.as_deref()
    }

    /// `SMTP` or `ESMTP`.
    pub fn protocol(&self) -> &'static str {
        if self.is_esmtp { "ESMTP" } else { "SMTP" }
    }

    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// How far the client came, as reject lines in the log name it: `RCPT`, `END-OF-MESSAGE`.
    pub fn stage(&self) -> &'static str {
        self.stage
    }

    /// Octets of content so far.
    pub fn body_size(&self) -> u64 {
        self.body.as_ref().map_or(0, Body::size)
    }

    /// Whether the content comes in chunks.
    pub fn is_bdat(&self) -> bool {
        self.chunks != Chunks::None
    }

    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// After [`Event::Close`]: why, if the log is to say so.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }
}

pub(super) const END_OF_MESSAGE: &str = "END-OF-MESSAGE";

/// Counting, and going from state to state.
impl Session {
    pub(super) fn ask(&mut self, question: Question, event: Event<'static>) {
        self.state = State::Asked(question);
        self.asks = Some(event);
    }

    fn question(&self) -> Option<&Question> {
        match &self.state {
            State::Asked(question) => Some(question),
            _ => {
                debug_assert!(false, "nothing was asked");
                None
            }
        }
    }

    fn take_question(&mut self) -> Option<Question> {
        if !matches!(self.state, State::Asked(_)) {
            debug_assert!(false, "nothing was asked");
            return None;
        }
        match std::mem::replace(&mut self.state, State::Command) {
            State::Asked(question) => Some(question),
            _ => None,
        }
    }

    /// Gives a reply to the client. Those who err wait for it.
    pub(super) fn say(&mut self, mut reply: Reply) {
        if self.config.soft_bounce && (500..600).contains(&reply.code) {
            reply.code -= 100;
            reply.status = reply.status.map(|status| status.with_class(4));
        }
        if self.errors >= self.config.smtpd_soft_error_limit {
            self.pause = self.config.smtpd_error_sleep_time;
        }
        self.hangs_up |= matches!(reply.code, 421 | 521);
        self.output.push_back(reply);
    }

    /// As `say`, with our name before the text.
    pub(super) fn say_plainly(&mut self, code: u16, status: DsnStatus, text: &str) {
        let text = format!("{} {text}", self.config.myhostname);
        self.say(Reply::new(code, status, text));
    }

    /// Counts the command at hand.
    pub(super) fn finish(&mut self, succeeded: bool) {
        match self.verb {
            Some(verb) if succeeded => self.statistics.succeeded(verb),
            _ if succeeded => {}
            _ => self.errors = self.errors.saturating_add(1),
        }
        if self.verb.is_some_and(Verb::is_junk) {
            self.count_junk();
        }
        if self.verb == Some(Verb::Quit) {
            self.close();
        }
    }

    pub(super) fn count_junk(&mut self) {
        if self.junk_commands > self.config.smtpd_junk_command_limit {
            self.errors = self.errors.saturating_add(1);
        }
        self.junk_commands = self.junk_commands.saturating_add(1);
    }

    /// Ends the transaction, if there is one, without a message.
    pub(super) fn drop_transaction(&mut self) {
        self.must_reset |= self.transaction.is_some();
        self.end_transaction();
    }

    pub(super) fn end_transaction(&mut self) {
        self.transaction = None;
        self.lingering = Mail::default();
        self.body = None;
        self.chunks = Chunks::None;
    }

    /// Records why the session ends.
    fn end(&mut self, what: &'static str) {
        let bytes = |count: Option<u64>| format!("({} bytes)", count.unwrap_or(0));
        let after = match self.stage {
            DATA_CONTENT => format!("DATA {}", bytes(self.body.as_ref().map(Body::whole_lines))),
            BDAT_CONTENT => format!("BDAT {}", bytes(self.body.as_ref().map(Body::size))),
            stage => stage.to_owned(),
        };
        self.ending = Some(Ending { what, after });
    }

    pub(super) fn close(&mut self) {
        self.drop_transaction();
        self.asks = None;
        self.state = State::Closed;
    }

    /// Whether the client spoke out of turn and is shown the door for it.
    pub(super) fn is_improper_pipelining(&mut self, input: &[u8]) -> bool {
        if input.is_empty() || self.has_improper_pipelining {
            return false;
        }
        self.has_improper_pipelining = true;
        let input = notice::shown(input);
        self.notices.push_back(Notice::ImproperPipelining { after: self.stage, input });
        if self.config.smtpd_forbid_unauth_pipelining {
            let text = "Error: SMTP protocol synchronization";
            self.say(Reply::new(554, DsnStatus::new(5, 5, 0), text));
            self.close();
        }
        self.config.smtpd_forbid_unauth_pipelining
    }
}

pub(super) const DATA_CONTENT: &str = "DATA content";
pub(super) const BDAT_CONTENT: &str = "BDAT content";
