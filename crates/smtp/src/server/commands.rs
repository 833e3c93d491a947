//! Commands: which come when, what they ask of the driver, and the usual replies.

use super::line::Line;
use super::parameters::{self, Refusal};
use super::session::{Chunks, Question, Session, State, Transaction};
use super::token::{Token, tokens};
use super::{Auth, Config, Event, Helo, Keywords, Mail, Notice, Sasl, TlsLevel, Verb, Vrfy, xclient};
use crate::framing::ForbidBareNewline;
use crate::secret::Secret;
use crate::text::{neutered, printable};
use mail::hostname::{is_hostname, literal_address};
use mail::{DsnStatus, Reply};
use zeroize::Zeroize;

/// How a command goes on.
pub(super) enum Next {
    /// It succeeded and was answered.
    Done,
    /// The driver is asked.
    Ask(Question, Event<'static>),
    /// It is counted later.
    Later,
}

type Handled = Result<Next, Refusal>;

pub(super) fn refuse(
    code: u16,
    (class, subject, detail): (u8, u16, u16),
    text: impl Into<String>,
) -> Refusal {
    Refusal::from(Reply::new(code, DsnStatus::new(class, subject, detail), text))
}

fn ok(detail: (u16, u16), text: &str) -> Reply {
    Reply::new(250, DsnStatus::new(2, detail.0, detail.1), text)
}

/// Reading.
impl Session {
    pub(super) fn take_line(&mut self, line: Line, input: &[u8]) {
        self.note_cut(&line, self.config.line_length_limit);
        if line.is_bare && !self.takes_bare_newline() {
            return;
        }
        let used = std::mem::replace(&mut self.command, line.text);
        self.reader.reuse(used);
        self.verb = None;
        if self.config.smtputf8_enable && std::str::from_utf8(&self.command).is_err() {
            return self.refuse_line("Error: bad UTF-8 syntax");
        }
        if self.config.smtpd_command_filter {
            return self.ask(Question::Filter, Event::Filter);
        }
        self.dispatch(input);
    }

    /// Postfix shows what an AUTH command or a SASL response begins with; here no part of a secret is logged.
    fn note_cut(&mut self, line: &Line, limit: usize) {
        if line.is_cut {
            let is_secret = matches!(self.state, State::SaslLine { .. });
            let shown = if is_secret { 0 } else { 30.min(line.text.len()) };
            let shown =
                if tokens(&line.text).first().is_some_and(|word| word.is("AUTH")) { 4 } else { shown };
            let request = line.text[..shown].to_vec();
            self.notices.push_back(Notice::LongRequest { limit, request });
        }
    }

    fn takes_bare_newline(&mut self) -> bool {
        match self.peer.smtpd_forbid_bare_newline {
            ForbidBareNewline::Reject => {
                self.notices.push_back(Notice::BareNewlineRefused { stage: self.stage });
                let code = self.config.smtpd_forbid_bare_newline_reject_code;
                self.say_plainly(code, DsnStatus::new(5, 5, 2), "Error: bare <LF> received");
                self.close();
                false
            }
            ForbidBareNewline::Note => {
                self.statistics.has_bare_newline = true;
                true
            }
            ForbidBareNewline::Normalize | ForbidBareNewline::No => true,
        }
    }

    fn refuse_line(&mut self, text: &str) {
        self.say(Reply::new(500, DsnStatus::new(5, 5, 2), text));
        self.finish(false);
    }

    pub(super) fn read_sasl_line<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        let limit = self.config.smtpd_sasl_response_limit;
        let Some(mut line) = self.reader.read(input, limit, self.peer.smtpd_forbid_bare_newline) else {
            return Some(Event::Input);
        };
        self.note_cut(&line, limit);
        let State::SaslLine { mechanism } = std::mem::replace(&mut self.state, State::Command) else {
            return None;
        };
        let refusal = if line.is_cut {
            Reply::new(500, DsnStatus::new(5, 5, 6), "SASL response limit exceeded")
        } else if line.text == b"*" {
            self.notices.push_back(Notice::AuthAborted { mechanism });
            Reply::new(501, DsnStatus::new(5, 7, 0), "Authentication aborted")
        } else {
            self.ask(Question::Auth { mechanism }, Event::AuthResponse(Secret::new(line.text)));
            return None;
        };
        line.text.zeroize();
        self.say(refusal);
        self.finish(false);
        None
    }
}

/// Dispatching.
impl Session {
    /// Runs the command line at hand. `input` is what came behind it.
    pub(super) fn dispatch(&mut self, input: &[u8]) {
        let mut line = std::mem::take(&mut self.command);
        self.dispatch_words(&line, &tokens(&line), input);
        if self.verb == Some(Verb::Auth) {
            line.zeroize();
            line.clear();
        }
        self.command = line;
        if matches!(&self.asks, Some(Event::Unknown { verb }) if is_header(verb)) {
            self.asks = None;
            self.break_rules();
        }
    }

    fn dispatch_words(&mut self, line: &[u8], words: &[Token<'_>], input: &[u8]) {
        let Some(first) = words.first() else {
            return self.refuse_line("Error: bad syntax");
        };
        if self.config.smtpd_noop_commands.iter().any(|word| first.is(word)) {
            self.say(ok((0, 0), "Ok"));
            return self.count_junk();
        }
        self.verb = Verb::parse(first.text);
        self.statistics.came(self.verb);
        let Some(verb) = self.verb else {
            self.stage = "UNKNOWN";
            return self.ask(Question::Unknown, Event::Unknown { verb: first.text.to_vec() });
        };
        if line.contains(&0) {
            // Postfix cuts a command at a NUL. Two programs that see different commands are one too many.
            return self.refuse_line("Error: bad syntax");
        }
        match self.admit(verb, input) {
            Ok(true) => {}
            Ok(false) => return,
            Err(refusal) => return self.conclude(Err(refusal)),
        }
        let handled = self.run(verb, words, line);
        self.conclude(handled);
    }

    /// What holds for all commands. Not so if the session is over.
    fn admit(&mut self, verb: Verb, input: &[u8]) -> Result<bool, Refusal> {
        if self.denied.is_some() && verb != Verb::Quit {
            return Err(Refusal::from(self.denial()));
        }
        let must_encrypt = self.config.smtpd_tls_security_level == TlsLevel::Encrypt && !self.is_tls;
        if must_encrypt && !verb.is_allowed_in_clear() {
            return Err(refuse(530, (5, 7, 0), "Must issue a STARTTLS command first"));
        }
        self.stage = verb.name();
        Ok(!((!self.is_esmtp || verb.ends_group()) && self.is_improper_pipelining(input)))
    }

    /// What a client hears that was refused when it connected.
    fn denial(&self) -> Reply {
        match &self.denied {
            Some(reply) if matches!(reply.code, 421 | 521) => reply.clone(),
            _ => {
                let text = format!("Error: access denied for {}", self.peer.name_and_address);
                Reply::new(503, DsnStatus::new(5, 7, 0), text)
            }
        }
    }

    fn conclude(&mut self, handled: Handled) {
        match handled {
            Ok(Next::Done) => self.finish(true),
            Ok(Next::Later) => {}
            Ok(Next::Ask(question, event)) => self.ask(question, event),
            Err(Refusal { reply, notice }) => {
                self.notices.extend(notice);
                self.say(reply);
                self.finish(false);
            }
        }
    }

    fn run(&mut self, verb: Verb, words: &[Token<'_>], line: &[u8]) -> Handled {
        match verb {
            Verb::Helo | Verb::Ehlo => self.helo_command(verb, words),
            Verb::Xclient => self.xclient_command(words),
            Verb::Xforward => self.xforward_command(words),
            Verb::Starttls => self.starttls_command(words),
            Verb::Auth => self.auth_command(words),
            Verb::Mail => self.mail_command(words),
            Verb::Rcpt => self.rcpt_command(words),
            Verb::Data => self.data_command(words),
            Verb::Bdat => self.bdat_command(words, line),
            Verb::Rset => self.rset_command(words),
            Verb::Noop => Ok(self.done(ok((0, 0), "Ok"))),
            Verb::Vrfy => self.vrfy_command(words),
            Verb::Etrn => self.etrn_command(words),
            Verb::Quit => Ok(self.done(Reply::new(221, DsnStatus::new(2, 0, 0), "Bye"))),
        }
    }

    fn done(&mut self, reply: Reply) -> Next {
        self.say(reply);
        Next::Done
    }
}

/// One by one.
impl Session {
    fn helo_command(&mut self, verb: Verb, words: &[Token<'_>]) -> Handled {
        let name = words[1..].iter().map(|word| word.text).collect::<Vec<_>>().join(&b' ');
        if words.len() < 2 {
            return Err(Reply::plain(501, format!("Syntax: {} hostname", verb.name())).into());
        }
        let is_ehlo = verb == Verb::Ehlo;
        let question = Question::Helo { name: neutered(&name), is_ehlo };
        Ok(Next::Ask(question, Event::Helo(Helo { name, is_ehlo })))
    }

    fn xclient_command(&mut self, words: &[Token<'_>]) -> Handled {
        self.check_attribute_command("XCLIENT", words, self.peer.may_xclient)?;
        let client = xclient::parse_xclient(words)?;
        let question = Question::Xclient {
            keeps_helo: client.helo.clone().and_then(|helo| helo.value()),
            is_esmtp: client.protocol == Some(xclient::Protocol::Esmtp),
            has_login: client.login.is_some(),
        };
        Ok(Next::Ask(question, Event::Xclient(Box::new(client))))
    }

    fn xforward_command(&mut self, words: &[Token<'_>]) -> Handled {
        self.check_attribute_command("XFORWARD", words, self.peer.may_xforward)?;
        let forwarded = xclient::parse_xforward(words)?;
        Ok(Next::Ask(Question::Xforward, Event::Xforward(Box::new(forwarded))))
    }

    fn check_attribute_command(&self, name: &str, words: &[Token<'_>], allowed: bool) -> Result<(), Refusal> {
        self.check_no_transaction()?;
        if words.len() < 2 {
            return Err(refuse(501, (5, 5, 4), format!("Syntax: {name} attribute=value...")));
        }
        if allowed { Ok(()) } else { Err(refuse(550, (5, 7, 0), "Error: insufficient authorization")) }
    }

    fn check_no_transaction(&self) -> Result<(), Refusal> {
        match self.transaction {
            None => Ok(()),
            Some(_) => Err(refuse(503, (5, 5, 1), "Error: MAIL transaction in progress")),
        }
    }

    fn check_helo(&self) -> Result<(), Refusal> {
        if self.config.smtpd_helo_required && self.helo.is_none() {
            return Err(refuse(503, (5, 5, 1), "Error: send HELO/EHLO first"));
        }
        Ok(())
    }

    fn starttls_command(&mut self, words: &[Token<'_>]) -> Handled {
        if words.len() > 1 {
            return Err(refuse(501, (5, 5, 4), "Syntax: STARTTLS"));
        }
        if self.is_tls {
            return Err(refuse(554, (5, 5, 1), "Error: TLS already active"));
        }
        if !self.offers_tls() {
            return Err(refuse(502, (5, 5, 1), "Error: command not implemented"));
        }
        Ok(Next::Ask(Question::StartTls, Event::StartTls))
    }

    fn offers_tls(&self) -> bool {
        self.config.smtpd_tls_security_level != TlsLevel::None && !self.discards(Keywords::STARTTLS)
    }

    fn auth_command(&mut self, words: &[Token<'_>]) -> Handled {
        self.check_helo()?;
        if self.sasl == Sasl::Inactive || self.discards(Keywords::AUTH) {
            return Err(refuse(503, (5, 5, 1), "Error: authentication not enabled"));
        }
        self.check_no_transaction()?;
        if self.is_authenticated {
            return Err(refuse(503, (5, 5, 1), "Error: already authenticated"));
        }
        let (mechanism, initial) = match words {
            [_, mechanism] => (mechanism, None),
            [_, mechanism, initial] => (mechanism, Some(Secret::from(initial.text))),
            _ => return Err(refuse(501, (5, 5, 4), "Syntax: AUTH mechanism")),
        };
        let mechanism = printable(mechanism.text);
        let auth = Auth { mechanism: mechanism.clone(), initial_response: initial };
        Ok(Next::Ask(Question::Auth { mechanism }, Event::Auth(auth)))
    }

    fn mail_command(&mut self, words: &[Token<'_>]) -> Handled {
        self.check_helo()?;
        if self.transaction.is_some() {
            return Err(refuse(503, (5, 5, 1), "Error: nested MAIL command"));
        }
        if self.chunks != Chunks::None {
            return Err(refuse(503, (5, 5, 1), "Error: MAIL after BDAT"));
        }
        let path = match words {
            [_, keyword, path, ..] if keyword.is("from:") => path,
            _ => return Err(refuse(501, (5, 5, 4), "Syntax: MAIL FROM:<address>")),
        };
        let mail = parameters::mail(&self.config, &self.peer, path, &words[3..], &mut self.lingering)?;
        self.lingering = Mail::default();
        let question = Question::Mail { begins: Transaction::from(&mail), path: path.text.to_vec() };
        Ok(Next::Ask(question, Event::Mail(mail)))
    }

    fn rcpt_command(&mut self, words: &[Token<'_>]) -> Handled {
        let Some(transaction) = &self.transaction else {
            return Err(refuse(503, (5, 5, 1), "Error: need MAIL command"));
        };
        if self.chunks != Chunks::None {
            return Err(refuse(503, (5, 5, 1), "Error: RCPT after BDAT"));
        }
        let path = match words {
            [_, keyword, path, ..] if keyword.is("to:") => path,
            _ => return Err(refuse(501, (5, 5, 4), "Syntax: RCPT TO:<address>")),
        };
        let rcpt = parameters::rcpt(&self.config, &self.peer, path, &words[3..])?;
        let limit = self.config.smtpd_recipient_limit;
        if limit > 0 && transaction.recipients >= limit {
            return self.refuse_excess_recipient();
        }
        let is_ascii = transaction.smtputf8 || rcpt.recipient.as_bytes().is_ascii();
        parameters::check_smtputf8(&self.config, is_ascii)?;
        Ok(Next::Ask(Question::Rcpt { path: path.text.to_vec() }, Event::Rcpt(rcpt)))
    }

    /// Postfix: up to `smtpd_recipient_overshoot_limit` this is no error, golden: recipient_limit.smtp.
    fn refuse_excess_recipient(&mut self) -> Handled {
        let Refusal { reply, .. } = refuse(452, (4, 5, 3), "Error: too many recipients");
        let overshoot = self.transaction.as_mut().map_or(0, |transaction| {
            transaction.overshoot = transaction.overshoot.saturating_add(1);
            transaction.overshoot
        });
        if overshoot > self.config.smtpd_recipient_overshoot_limit {
            Err(reply.into())
        } else {
            Ok(self.done(reply))
        }
    }

    fn rset_command(&mut self, words: &[Token<'_>]) -> Handled {
        if words.len() > 1 {
            return Err(refuse(501, (5, 5, 4), "Syntax: RSET"));
        }
        self.drop_transaction();
        Ok(self.done(ok((0, 0), "Ok")))
    }

    fn vrfy_command(&mut self, words: &[Token<'_>]) -> Handled {
        if self.config.disable_vrfy_command {
            return Err(refuse(502, (5, 5, 1), "VRFY command is disabled"));
        }
        let takes_utf8 = self.config.smtputf8_enable && !self.discards(Keywords::SMTPUTF8);
        let (smtputf8, words) = match words {
            [words @ .., last] if takes_utf8 && !words.is_empty() && last.is("SMTPUTF8") => (true, words),
            words => (false, words),
        };
        if words.len() < 2 {
            let more = if self.config.smtputf8_enable { " [SMTPUTF8]" } else { "" };
            return Err(refuse(501, (5, 5, 4), format!("Syntax: VRFY address{more}")));
        }
        let text = words[1..].iter().map(|word| word.text).collect::<Vec<_>>().join(&b' ');
        let recipient = parameters::recipient(&text, false, Verb::Vrfy)?;
        parameters::check_smtputf8(&self.config, smtputf8 || recipient.as_bytes().is_ascii())?;
        Ok(Next::Ask(Question::Vrfy { text }, Event::Vrfy(Vrfy { recipient, smtputf8 })))
    }

    fn etrn_command(&mut self, words: &[Token<'_>]) -> Handled {
        let plain = |code, text: &str| Err(Reply::plain(code, text).into());
        if self.check_helo().is_err() {
            return plain(503, "Error: send HELO/EHLO first");
        }
        if self.transaction.is_some() {
            return plain(503, "Error: MAIL transaction in progress");
        }
        let [_, domain] = words else {
            return plain(500, "Syntax: ETRN domain");
        };
        let domain = domain.text.strip_prefix(b"@").or(domain.text.strip_prefix(b"#")).unwrap_or(domain.text);
        let literal = domain.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
        if !is_hostname(domain) && literal.and_then(literal_address).is_none() {
            return plain(501, "Error: invalid parameter syntax");
        }
        Ok(Next::Ask(Question::Etrn, Event::Etrn(printable(domain))))
    }

    pub(super) fn discards(&self, keyword: Keywords) -> bool {
        self.peer.smtpd_discard_ehlo_keywords.has(keyword)
    }
}

/// Answers.
impl Session {
    pub(super) fn usual_reply(&self, question: &Question) -> Reply {
        match question {
            Question::Connect => Reply::plain(220, &self.config.smtpd_banner),
            Question::Helo { is_ehlo: false, .. } => Reply::plain(250, &self.config.myhostname),
            Question::Helo { is_ehlo: true, .. } => Reply::plain(250, self.ehlo_lines().join("\n")),
            Question::Unknown if self.denied.is_some() => self.denial(),
            Question::Unknown => Reply::new(500, DsnStatus::new(5, 5, 2), "Error: command not recognized"),
            Question::StartTls => Reply::new(220, DsnStatus::new(2, 0, 0), "Ready to start TLS"),
            Question::Auth { .. } => Reply::new(235, DsnStatus::new(2, 7, 0), "Authentication successful"),
            Question::Mail { .. } => ok((1, 0), "Ok"),
            Question::Rcpt { .. } => ok((1, 5), "Ok"),
            Question::Data | Question::FirstChunk(_) => Reply::plain(354, "End data with <CR><LF>.<CR><LF>"),
            Question::Vrfy { text } => Reply::new(252, DsnStatus::new(2, 0, 0), printable(text)),
            Question::Etrn => Reply::plain(250, "Queuing started"),
            Question::BodyEnd | Question::Xforward | Question::Filter | Question::Xclient { .. } => {
                ok((0, 0), "Ok")
            }
        }
    }

    /// The lines of the reply to EHLO, in Postfix's order.
    fn ehlo_lines(&self) -> Vec<String> {
        let Config { message_size_limit, .. } = *self.config;
        let size = if message_size_limit > 0 { format!("SIZE {message_size_limit}") } else { "SIZE".into() };
        let (mechanisms, announces_auth) = match &self.sasl {
            Sasl::Active { mechanisms, is_announced } => (mechanisms.as_str(), *is_announced),
            Sasl::Inactive => ("", false),
        };
        let tls = self.offers_tls() && !self.is_tls;
        let broken = announces_auth && self.config.broken_sasl_auth_clients;
        let lines = [
            (Keywords::PIPELINING, true, "PIPELINING".to_owned()),
            (Keywords::SIZE, true, size),
            (Keywords::VRFY, !self.config.disable_vrfy_command, "VRFY".into()),
            (Keywords::ETRN, true, "ETRN".into()),
            (Keywords::STARTTLS, tls, "STARTTLS".into()),
            (Keywords::AUTH, announces_auth, format!("AUTH {mechanisms}")),
            (Keywords::AUTH, broken, format!("AUTH={mechanisms}")),
            (Keywords::VERP, self.peer.may_verp, "XVERP".into()),
            (Keywords::XCLIENT, self.peer.may_xclient, xclient::XCLIENT_KEYWORD.into()),
            (Keywords::XFORWARD, self.peer.may_xforward, xclient::XFORWARD_KEYWORD.into()),
            (Keywords::ENHANCEDSTATUSCODES, true, "ENHANCEDSTATUSCODES".into()),
            (Keywords::EIGHTBITMIME, true, "8BITMIME".into()),
            (Keywords::DSN, true, "DSN".into()),
            (Keywords::SMTPUTF8, self.config.smtputf8_enable, "SMTPUTF8".into()),
            (Keywords::CHUNKING, true, "CHUNKING".into()),
        ];
        let announced = lines.into_iter().filter(|(keyword, on, _)| *on && !self.discards(*keyword));
        std::iter::once(self.config.myhostname.clone()).chain(announced.map(|(_, _, line)| line)).collect()
    }

    /// Gives the driver's reply to the client, with what follows from it.
    pub(super) fn settle(&mut self, question: Question, reply: Reply) {
        let accepted = reply.code < 400;
        let is_unknown = matches!(question, Question::Unknown);
        match question {
            Question::Data if accepted => return self.begin_data(reply),
            Question::FirstChunk(chunk) if accepted => return self.begin_chunks(chunk),
            Question::FirstChunk(chunk) => return self.skip(chunk, reply),
            Question::BodyEnd => {
                self.end_transaction();
                if accepted {
                    (self.errors, self.junk_commands) = (0, 0);
                }
            }
            Question::StartTls if accepted => {
                self.say(reply);
                self.helo = None;
                self.drop_transaction();
                self.state = State::Handshake;
                return;
            }
            Question::Helo { name, is_ehlo } if accepted => self.greeted_by(name, is_ehlo),
            Question::Mail { begins, .. } if accepted => self.transaction = Some(begins),
            Question::Rcpt { .. } if accepted => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.recipients = transaction.recipients.saturating_add(1);
                }
            }
            Question::Auth { .. } => self.is_authenticated = accepted,
            _ => {}
        }
        self.say(reply);
        self.finish(accepted && !is_unknown);
    }

    fn greeted_by(&mut self, name: String, is_ehlo: bool) {
        self.drop_transaction();
        self.helo = Some(name);
        // Postfix: HELO does not take back what EHLO promised.
        self.is_esmtp |= is_ehlo;
        if is_ehlo {
            // Postfix: nothing is said if ENHANCEDSTATUSCODES is among them.
            let discarded = self.peer.smtpd_discard_ehlo_keywords;
            let line = discarded.to_log().filter(|_| !discarded.has(Keywords::ENHANCEDSTATUSCODES));
            self.notices.extend(line.map(Notice::DiscardedKeywords));
        }
    }
}

/// Whether a word begins like a message header: a name and a colon.
fn is_header(word: &[u8]) -> bool {
    let name = word.split(|b| *b == b':').next().unwrap_or_default();
    let label = name.trim_ascii_end();
    name.len() < word.len() && !label.is_empty() && label.iter().all(u8::is_ascii_graphic)
}
