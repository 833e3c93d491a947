//! `smtpd -S`: an SMTP session on standard input and output, for `sendmail -bs`.
//!
//! It runs as whoever called it and asks no restriction: what it takes it hands to postdrop(1), as sendmail(1) does. The
//! server need not run.

mod dropping;

use super::Clock;
use crate::cleanup::{Incoming, Options, Received, Settings as CleanupSettings, Shown, received_lines};
use dropping::Dropping;
use logger::Logger;
use mail::{Client, DsnStatus, Envelope, Origin, QueueId, Recipient, Reply, Time, xtext};
use maillog::{ClientLine, Connect, Disconnect, LostConnection, Peer as LogPeer};
use smtp::server::{Config, Event, Mail, Notice, Peer, Rcpt, Session, Who};
use spool::maildrop::{Receipt, Submission};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use tables::Table;

/// What such a session needs.
pub struct StandAlone {
    pub config: Arc<Config>,
    /// Words of `smtpd_forbidden_commands`, and its tables.
    pub smtpd_forbidden_commands: Vec<String>,
    pub smtpd_forbidden_tables: Vec<Arc<dyn Table>>,
    pub mail_name: String,
    /// postdrop(1), and what its environment has besides.
    pub postdrop: PathBuf,
    pub environment: Vec<(OsString, OsString)>,
    /// `postfix/smtpd`.
    pub log: Logger,
    pub clock: Clock,
}

/// postdrop cannot be run, or does not take mail from this user.
#[derive(Debug)]
pub struct NoPostdrop;

const CLIENT_NAME: &str = "localhost";
const CLIENT_ADDRESS: &str = "127.0.0.1";

impl StandAlone {
    /// Serves the client until it leaves. `read` gives more input: none at its end, `TimedOut` after `smtpd_timeout`. This
    /// blocks: it has a thread to itself.
    pub async fn serve(
        self,
        mut read: impl FnMut() -> io::Result<Vec<u8>>,
        output: impl Write,
    ) -> Result<(), NoPostdrop> {
        let peer = Peer { name_and_address: format!("{CLIENT_NAME}[{CLIENT_ADDRESS}]"), ..Peer::default() };
        let client = Client { name: CLIENT_NAME.into(), address: CLIENT_ADDRESS.into(), ..Client::default() };
        let machine = Session::new(self.config.clone(), peer, false);
        let mut talk = Talk { service: self, machine, client, output, mail: None };
        talk.service.log.event(&Connect(LOG_PEER));
        let mut input = Vec::new();
        while talk.take(&input).await? {
            talk.write();
            match read() {
                Ok(more) if !more.is_empty() => input = more,
                Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                    input.clear();
                    talk.machine.handle_timeout();
                }
                _ => {
                    input.clear();
                    talk.machine.handle_eof();
                }
            }
        }
        talk.end();
        Ok(())
    }
}

const LOG_PEER: LogPeer<'static> = LogPeer { name: CLIENT_NAME, address: CLIENT_ADDRESS };

/// A session under way.
struct Talk<W> {
    service: StandAlone,
    machine: Session,
    client: Client,
    output: W,
    mail: Option<Transaction>,
}

/// What MAIL began.
struct Transaction {
    mail: Mail,
    arrival: Time,
    recipients: Vec<Recipient>,
    /// From the first recipient on.
    dropping: Option<Dropping>,
}

impl<W: Write> Talk<W> {
    /// Has the machine take the input, and answers what it asks. False: the session is over.
    async fn take(&mut self, mut input: &[u8]) -> Result<bool, NoPostdrop> {
        loop {
            match self.machine.poll_event(&mut input) {
                Event::Input => return Ok(true),
                Event::Close => return Ok(false),
                Event::Pause(time) => {
                    self.write();
                    std::thread::sleep(time);
                }
                Event::Body(piece) => self.mail.iter_mut().for_each(|mail| mail.write(piece)),
                // Nobody waits for a program's answers line by line.
                Event::Notice(Notice::ImproperPipelining { .. }) => {}
                Event::Notice(notice) => self.note(&notice),
                Event::Helo(_) => {
                    self.mail = None;
                    self.machine.accept();
                }
                Event::Mail(mail) => {
                    let arrival = (self.service.clock.now)();
                    self.mail = Some(Transaction { mail, arrival, recipients: Vec::new(), dropping: None });
                    self.machine.accept();
                }
                Event::Rcpt(rcpt) => self.rcpt(rcpt)?,
                Event::Data => self.data(),
                Event::BodyEnd => self.end_of_data(),
                Event::Unknown { verb } => self.unknown(&verb).await,
                Event::Reset | Event::BodyFailed(_) => self.mail = None,
                // The server would have to be asked, which users may not.
                Event::Etrn(_) => {
                    self.service.log.warning(format_args!("do not use ETRN in \"sendmail -bs\" mode"));
                    self.machine.reply(Reply::plain(458, "Unable to queue messages"));
                }
                Event::Connect | Event::Vrfy(_) | Event::Filter => self.machine.accept(),
                Event::StartTls
                | Event::Handshake
                | Event::Auth(_)
                | Event::AuthResponse(_)
                | Event::Xclient(_)
                | Event::Xforward(_) => {
                    let text = "Error: command not implemented";
                    self.machine.reply(Reply::new(502, DsnStatus::new(5, 5, 1), text));
                }
            }
        }
    }

    fn rcpt(&mut self, rcpt: Rcpt) -> Result<(), NoPostdrop> {
        self.client.helo = self.machine.helo().unwrap_or_default().to_owned();
        self.client.protocol = self.machine.protocol().to_owned();
        let Some(mail) = &mut self.mail else {
            self.machine.accept();
            return Ok(());
        };
        if mail.dropping.is_none() {
            let dropping = Dropping::start(&self.service)?;
            self.service.log.event(&ClientLine { id: dropping.id(), client: &self.client });
            mail.dropping = Some(dropping);
        }
        mail.add(rcpt);
        self.machine.accept();
        Ok(())
    }

    fn data(&mut self) {
        if let Some(mail) = &mut self.mail {
            mail.begin(&self.service, &self.client);
        }
        self.machine.accept();
    }

    fn end_of_data(&mut self) {
        let receipt = self.mail.take().and_then(|mail| mail.dropping).and_then(Dropping::finish);
        match receipt {
            Some(Receipt::Queued(id)) => self.machine.queued(id.as_str()),
            Some(Receipt::Refused(why)) if why == "message file too big" => {
                self.machine.reply(Reply::new(552, DsnStatus::new(5, 3, 4), "Error: message file too big"));
            }
            _ => {
                self.machine.reply(Reply::new(451, DsnStatus::new(4, 3, 0), "Error: queue file write error"));
            }
        }
    }

    async fn unknown(&mut self, verb: &[u8]) {
        let word = String::from_utf8_lossy(verb);
        let words = &self.service.smtpd_forbidden_commands;
        let mut is_forbidden = words.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(&word));
        for table in &self.service.smtpd_forbidden_tables {
            // A table that cannot be asked forbids nothing.
            is_forbidden |= matches!(table.get(verb).await, Ok(Some(_)));
        }
        match is_forbidden {
            true => self.machine.break_rules(),
            false => self.machine.accept(),
        }
    }

    fn note(&self, notice: &Notice) {
        let id = self.mail.as_ref().and_then(Transaction::id);
        let id = id.map_or_else(|| "NOQUEUE".to_owned(), |id| id.to_string());
        let client = format!("{CLIENT_NAME}[{CLIENT_ADDRESS}]");
        let helo = self.machine.helo().map_or_else(String::new, |helo| format!(" helo=<{helo}>"));
        let context = format!(" proto={}{helo}", self.machine.protocol());
        let line = notice.line(Who { client: &client, queue_id: &id, context: &context }).to_string();
        match notice.is_warning() {
            true => self.service.log.warning(format_args!("{line}")),
            false => self.service.log.info(format_args!("{line}")),
        }
    }

    /// What cannot be written is read by nobody: the session ends when the input does.
    fn write(&mut self) {
        while let Some(reply) = self.machine.poll_output() {
            let _ = self.output.write_all(reply.to_wire().as_bytes());
        }
        let _ = self.output.flush();
    }

    fn end(&mut self) {
        self.write();
        let log = &self.service.log;
        if let Some(ending) = self.machine.ending() {
            log.event(&LostConnection { what: ending.what, after: &ending.after, peer: LOG_PEER });
        }
        log.event(&Disconnect { peer: LOG_PEER, commands: &self.machine.statistics().to_string() });
    }
}

impl Transaction {
    fn id(&self) -> Option<QueueId> {
        self.dropping.as_ref().map(Dropping::id)
    }

    fn add(&mut self, rcpt: Rcpt) {
        let given = [b"rfc822;", &xtext::encode(&rcpt.written)[..]].concat();
        self.recipients.push(Recipient {
            address: rcpt.recipient,
            original: None,
            orcpt: Some(rcpt.orcpt.unwrap_or_else(|| given.into())),
            notify: rcpt.notify,
        });
    }

    fn write(&mut self, piece: &[u8]) {
        if let Some(dropping) = &mut self.dropping {
            dropping.write(piece);
        }
    }

    /// Tells postdrop what is not content, and writes the trace of this hop.
    fn begin(&mut self, service: &StandAlone, client: &Client) {
        let Some(id) = self.id() else { return };
        let verp = self.mail.verp_delimiters.clone();
        let submission = Submission {
            sender: Some(self.mail.sender.clone()),
            recipients: self.recipients.clone(),
            encoding: self.mail.encoding,
            ret: self.mail.ret,
            envid: self.mail.envid.clone(),
            extra: verp.into_iter().map(|delimiters| ("verp_delims".to_owned(), delimiters.into())).collect(),
            ..Submission::default()
        };
        let received = received(service, client, id, self);
        if let Some(dropping) = &mut self.dropping {
            dropping.begin(&submission);
            dropping.write(&received);
        }
    }
}

fn received(service: &StandAlone, client: &Client, id: QueueId, transaction: &Transaction) -> Vec<u8> {
    let settings = CleanupSettings::new(&service.config.myhostname, &service.mail_name);
    let envelope = Envelope {
        recipients: transaction.recipients.clone(),
        origin: Origin::Smtp,
        client: client.clone(),
        smtputf8: transaction.mail.smtputf8,
        ..Envelope::default()
    };
    received_lines(
        &settings,
        &Incoming {
            id,
            now: transaction.arrival,
            date: (service.clock.date)(transaction.arrival),
            received: Received::Smtp(Shown::default()),
            prepend: Vec::new(),
            full_name: None,
            envelope,
            options: Options::SMTP,
        },
    )
}
