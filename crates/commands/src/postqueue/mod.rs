//! postqueue(1): shows the queue and asks for deliveries, for those who are not root.
//!
//! It runs set-gid, so that users reach the server's sockets. It takes from its caller options, which it checks, `-c`, which
//! must name a folder that the default main.cf allows, and of the environment MAIL_CONFIG, for which the same holds, and TZ.
//! It runs no other program.

mod direct;
mod json;
mod text;

use crate::getopt;
use crate::ids::{self, Word};
use crate::instance::Instance;
use crate::lists;
use crate::program::{Fatal, Program, Run, reason};
use crate::server::{Connection, trigger};
use mail::hostname::{is_hostname, literal_address};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{User, geteuid, getuid};
use params::service::Common;
use params::{MatchList, p};
use spool::control::{Answer, FLUSH_SOCKET, FLUSH_TRIGGER, Order, PICKUP_SOCKET, QMGR_SOCKET, SHOWQ_SOCKET};
use spool::showq::{Entry, decode, decode_preamble};
use std::borrow::Cow;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

const USAGE: &str =
    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";

pub(crate) fn main(program: &Program) -> Run {
    umask(Mode::from_bits_truncate(0o022));
    let (action, directory) = read_options(program)?;
    let instance = Instance::open(program, directory.as_deref())?;
    program.open_log(&instance.view);
    let common = instance.common(program)?;
    std::env::set_current_dir(&common.queue_directory)
        .map_err(|e| Fatal::new(format!("chdir {}: {}", common.queue_directory, reason(&e))))?;
    let command = Command { program, instance: &instance, common: &common };
    match action {
        Action::Flush => command.flush(),
        Action::FlushMessage(id) => command.flush_message(&id),
        Action::FlushSite(site) => command.flush_site(&site),
        Action::List(form) => command.list(form),
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    /// `-f`
    Flush,
    /// `-i`
    FlushMessage(String),
    /// `-s`
    FlushSite(String),
    /// `-p` and `-j`
    List(Form),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// The action, and what `-c` names.
fn read_options(program: &Program) -> Result<(Action, Option<String>), Fatal> {
    let parsed = getopt::parse(&program.text_args(), "c:fi:jps:v");
    let (mut action, mut directory) = (None, None);
    for (letter, value) in parsed.options {
        let chosen = match (letter, value) {
            ('f', _) => Action::Flush,
            ('i', Some(id)) => Action::FlushMessage(id),
            ('s', Some(site)) => Action::FlushSite(site),
            ('j', _) => Action::List(Form::Json),
            ('p', _) => Action::List(Form::Text),
            ('c', value) => {
                directory = value;
                continue;
            }
            _ => continue,
        };
        if action.replace(chosen).is_some() {
            return Err(Fatal::new(USAGE));
        }
    }
    if let Some(complaint) = parsed.complaint {
        program.complain(&complaint);
        return Err(Fatal::new(USAGE));
    }
    match action {
        Some(action) if parsed.operands.is_empty() => Ok((action, directory)),
        _ => Err(Fatal::new(USAGE)),
    }
}

/// What the actions work with.
struct Command<'a> {
    program: &'a Program,
    instance: &'a Instance,
    common: &'a Common,
}

impl Command<'_> {
    fn flush(&self) -> Run {
        self.check_flush_user()?;
        for (socket, request) in [(QMGR_SOCKET, FLUSH_TRIGGER), (PICKUP_SOCKET, b"W")] {
            trigger(self.program, Path::new(socket), request).ok_or_else(is_down)?;
        }
        Ok(0)
    }

    fn flush_message(&self, id: &str) -> Run {
        let word = ids::read(id.as_bytes());
        if word == Word::Invalid {
            return Err(Fatal::new(format!("Cannot flush queue ID - invalid name: \"{}\"", shortened(id))));
        }
        self.check_flush_user()?;
        let mut connection = self.connect_to_flush()?;
        match word {
            Word::Id(id) => self.order(&mut connection, &Order::FlushMessage(id)),
            // No message of this spool has that name.
            _ => Ok(0),
        }
    }

    fn flush_site(&self, site: &str) -> Run {
        if !is_site(site) {
            return Err(Fatal::new(format!(
                "Cannot flush mail queue - invalid destination: \"{}\"",
                shortened(site)
            )));
        }
        self.check_flush_user()?;
        let parents = &self.common.parent_domain_matches_subdomains;
        let has_parents = parents.iter().any(|name| name == "fast_flush_domains");
        if !lists::has_name(self.program, &self.common.fast_flush_domains, site, has_parents) {
            return Err(Fatal::new(format!("Flush service is not configured for destination \"{site}\"")));
        }
        let mut connection = self.connect_to_flush()?;
        self.order(&mut connection, &Order::FlushSite(site.to_owned()))
    }

    fn connect_to_flush(&self) -> Result<Connection, Fatal> {
        Connection::open(Path::new(FLUSH_SOCKET), self.common.ipc_timeout).map_err(|e| {
            self.program.warning(&format!("connect to {FLUSH_SOCKET}: {}", reason(&e)));
            is_down()
        })
    }

    fn order(&self, connection: &mut Connection, order: &Order) -> Run {
        match connection.ask(order) {
            // Postfix: that there is no such message is no error.
            Ok(Answer::Done | Answer::Unknown) => Ok(0),
            Ok(Answer::Failed(why)) => Err(Fatal::new(format!("Cannot flush mail queue - {why}"))),
            Err(_) => Err(is_down()),
        }
    }

    fn list(&self, form: Form) -> Run {
        let mut mistakes = Vec::new();
        let users = self.instance.view.get(p::authorized_mailq_users, &mut mistakes);
        self.instance.say(self.program, &mistakes)?;
        self.check_user(&users, "view")?;
        let service = format!("Connect to the {} showq service", self.common.mail_name);
        match UnixStream::connect(SHOWQ_SOCKET) {
            Ok(stream) => {
                let mut stream = BufReader::with_capacity(64 << 10, stream);
                decode_preamble(&mut stream).map_err(|_| malformed())?;
                self.print(form, std::iter::from_fn(|| decode(&mut stream).transpose()))
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                Err(Fatal::new(format!("{service}: {}", reason(&e))))
            }
            Err(e) if geteuid().is_root() || self.is_owner() => {
                let why = format!("({service}: {})", reason(&e));
                self.program.warning(&format!("Mail system is down -- accessing queue directly {why}"));
                direct::show_entries(self.program, |entries| self.print(form, entries))
            }
            Err(e) => Err(Fatal::new(format!(
                "Queue report unavailable - mail system is down ({service}: {})",
                reason(&e)
            ))),
        }
    }

    fn print(&self, form: Form, entries: impl Iterator<Item = io::Result<Entry>>) -> Run {
        let mut output = BufWriter::with_capacity(64 << 10, io::stdout().lock());
        let utf8 = self.instance.view.get(p::smtputf8_enable, &mut Vec::new());
        let printed = match form {
            Form::Text => text::print(entries, self.common.enable_long_queue_ids, utf8, &mut output),
            Form::Json => json::print(entries, utf8, &mut output),
        };
        match printed.and_then(|()| output.flush()) {
            Ok(()) => Ok(0),
            // Whoever has read enough.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                // What came before that is shown.
                let _ = output.flush();
                Err(malformed())
            }
            Err(e) => Err(Fatal::new(format!("output write error: {}", reason(&e)))),
        }
    }

    fn check_flush_user(&self) -> Result<(), Fatal> {
        let mut mistakes = Vec::new();
        let users = self.instance.view.get(p::authorized_flush_users, &mut mistakes);
        self.instance.say(self.program, &mistakes)?;
        self.check_user(&users, "flush")
    }

    fn check_user(&self, users: &MatchList, what: &str) -> Result<(), Fatal> {
        if getuid().is_root() || self.is_owner() {
            return Ok(());
        }
        match lists::refused_user(self.program, users, getuid()) {
            Some(name) => {
                Err(Fatal::new(format!("User {name}({}) is not allowed to {what} the mail queue", getuid())))
            }
            None => Ok(()),
        }
    }

    /// Whether `mail_owner` runs this.
    fn is_owner(&self) -> bool {
        User::from_uid(getuid()).ok().flatten().is_some_and(|user| user.name == self.common.mail_owner)
    }
}

fn is_site(site: &str) -> bool {
    match site.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|text| literal_address(text.as_bytes()).is_some()),
        None => is_hostname(site.as_bytes()),
    }
}

/// Postfix: a hundred characters are enough.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// Text from outside: what is not printable shows as `?`, and so does what is not ASCII without `smtputf8_enable`.
fn printable(raw: &[u8], smtputf8_enable: bool) -> Cow<'_, str> {
    if smtputf8_enable || raw.is_ascii() {
        return maillog::printable(raw);
    }
    let ascii: Vec<u8> = raw.iter().map(|b| if b.is_ascii() { *b } else { b'?' }).collect();
    Cow::Owned(maillog::printable(&ascii).into_owned())
}

fn is_down() -> Fatal {
    Fatal::new("Cannot flush mail queue - mail system is down")
}

fn malformed() -> Fatal {
    Fatal::new("malformed showq server response")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Voice;
    use mail::QueueId;
    use spool::showq::{Queue, Waiting};
    use std::ffi::OsString;

    /// What Debian's Postfix 3.7.11 sent for three messages.
    pub(super) fn recorded() -> Vec<Entry> {
        let mut stream = &include_bytes!("recorded.showq")[..];
        decode_preamble(&mut stream).expect("a listing");
        std::iter::from_fn(|| decode(&mut stream).transpose()).collect::<io::Result<_>>().expect("whole")
    }

    /// A message with a recipient for each reason.
    pub(super) fn entries(reasons: &[&[u8]]) -> Vec<Entry> {
        let waiting = |(n, reason): (usize, &&[u8])| Waiting {
            address: format!("r{n}@x").into_bytes(),
            reason: reason.to_vec(),
        };
        vec![Entry {
            queue: Queue::Active,
            id: QueueId::parse(b"2FF9FB5").expect("an id"),
            arrival: 1_795_572_725,
            size: 250,
            forced_expire: false,
            sender: b"MAILER-DAEMON".to_vec(),
            recipients: reasons.iter().enumerate().map(waiting).collect(),
        }]
    }

    #[test]
    fn options() {
        let read = |args: &[&str]| {
            let args = args.iter().map(OsString::from).collect();
            let program = Program::new("postqueue".into(), args, 69, Voice::Stderr);
            read_options(&program).map_err(|fatal| fatal.message)
        };
        assert_eq!(read(&["-p"]), Ok((Action::List(Form::Text), None)));
        assert_eq!(read(&["-v", "-j", "-c", "/x"]), Ok((Action::List(Form::Json), Some("/x".into()))));
        assert_eq!(read(&["-iAB"]), Ok((Action::FlushMessage("AB".into()), None)));
        assert_eq!(read(&["-s", "x.y"]), Ok((Action::FlushSite("x.y".into()), None)));
        assert_eq!(read(&["-f"]), Ok((Action::Flush, None)));
        for args in [&[][..], &["-x"], &["-pp"], &["-p", "x"], &["-i"], &["-v"], &["-f", "-j"]] {
            assert_eq!(read(args), Err(USAGE.to_owned()), "{args:?}");
        }
    }

    #[test]
    fn sites() {
        for (site, expect) in [
            ("example.com", true),
            ("localhost", true),
            ("[192.0.2.1]", true),
            ("[IPv6:2001:db8::1]", true),
            ("[1.2.3]", false),
            ("[1.2.3.4", false),
            ("foo..bar", false),
            ("", false),
        ] {
            assert_eq!(is_site(site), expect, "{site}");
        }
        assert_eq!(shortened(&"x".repeat(101)), format!("{}...", "x".repeat(100)));
    }
}
