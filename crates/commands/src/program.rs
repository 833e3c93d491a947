//! A running command: its name, its arguments, and how it says what goes wrong.

use crate::log;
use logger::Logger;
use maillog::{Level, printable};
use params::octets::{to_octets, to_text};
use params::{Diagnostic, Severity, View};
use std::cell::{Cell, OnceCell};
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;

/// How a command ends: with its exit status, or with `fatal: …`.
pub type Run = Result<u8, Fatal>;

/// A command that is running.
pub struct Program {
    /// The last part of argv[0]: what messages begin with.
    pub name: String,
    pub args: Vec<OsString>,
    failure: u8,
    voice: Voice,
    log: OnceCell<Logger>,
    /// Messages are ASCII.
    is_ascii: Cell<bool>,
}

/// Where a command's messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    Stderr,
    /// To the mail log as well.
    StderrAndLog,
    /// To the mail log, and to standard error if a person sits there.
    TerminalAndLog,
}

/// Why a command cannot go on. What is behind it for people follows on terminals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    pub message: String,
    pub explanation: String,
    /// The exit status, where it is not the command's usual one.
    pub status: Option<u8>,
}

impl Program {
    /// `failure` is the exit status of `fatal: …`.
    pub fn new(name: String, args: Vec<OsString>, failure: u8, voice: Voice) -> Program {
        Program { name, args, failure, voice, log: OnceCell::new(), is_ascii: Cell::new(false) }
    }

    /// Logs as the configuration says from now on. Messages before that went to syslog.
    pub fn open_log(&self, view: &View) {
        if self.voice != Voice::Stderr {
            // A second configuration does not move the log.
            let _ = self.log.set(log::open(view, &self.name));
        }
    }

    /// The arguments as text, octets that are no UTF-8 as [`params::octets`] has them.
    pub fn text_args(&self) -> Vec<String> {
        self.args.iter().map(|a| to_text(a.as_bytes()).into_owned()).collect()
    }

    /// Says what is not ASCII as `?` from now on: whoever has not read `smtputf8_enable` must.
    pub(crate) fn speak_ascii(&self) {
        self.is_ascii.set(true);
    }

    pub fn info(&self, text: &str) {
        self.say(Level::Info, text);
    }

    pub fn warning(&self, text: &str) {
        self.say(Level::Warning, text);
    }

    pub fn error(&self, text: &str) {
        self.say(Level::Error, text);
    }

    /// Says a diagnostic: its classic line, then on a terminal what is there for people. What Postfix passes over in silence is
    /// for terminals altogether.
    pub fn report(&self, diagnostic: &Diagnostic, source: Option<&str>) {
        match level(diagnostic.severity) {
            Some(level) => self.say(level, &diagnostic.message),
            None => self.hint(&diagnostic.to_string()),
        }
        self.explain(&diagnostic.explanation(source));
    }

    /// Says on a terminal what Postfix would not say.
    pub fn hint(&self, text: &str) {
        self.explain(&format!("{}: {text}\n", self.name));
    }

    /// Logs there from now on.
    pub(crate) fn set_log(&self, log: Logger) {
        // Set once: a command has one log.
        let _ = self.log.set(log);
    }

    pub(crate) fn voice(&self) -> Voice {
        self.voice
    }

    /// What getopt(3) has to say of an option; it goes to standard error and nowhere else.
    pub(crate) fn complain(&self, complaint: &str) {
        let _ = writeln!(std::io::stderr(), "{}: {complaint}", self.name);
    }

    pub(crate) fn run(&self, command: fn(&Program) -> Run) -> u8 {
        self.run_with(command)
    }

    /// Runs a command, says why it failed if it did, and gives its exit status.
    pub(crate) fn run_with(&self, command: impl FnOnce(&Program) -> Run) -> u8 {
        command(self).unwrap_or_else(|fatal| {
            self.say(Level::Fatal, &fatal.message);
            self.explain(&fatal.explanation);
            fatal.status.unwrap_or(self.failure)
        })
    }

    /// Says something, with the word for its level before it.
    pub(crate) fn say(&self, level: Level, text: &str) {
        if self.voice != Voice::TerminalAndLog || std::io::stderr().is_terminal() {
            // Nobody is left to tell if this fails.
            let text = self.shown(text);
            let _ = writeln!(std::io::stderr(), "{}: {}{text}", self.name, level.prefix());
        }
        if self.voice != Voice::Stderr {
            self.log
                .get_or_init(|| log::before_configuration(&self.name))
                .line(level, format_args!("{text}"));
        }
    }

    fn shown(&self, text: &str) -> String {
        let mut octets = to_octets(text).into_owned();
        if self.is_ascii.get() {
            octets.iter_mut().filter(|b| !b.is_ascii()).for_each(|b| *b = b'?');
        }
        printable(&octets).into_owned()
    }

    fn explain(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            let _ = write!(std::io::stderr(), "{text}");
        }
    }
}

impl Fatal {
    pub fn new(message: impl Into<String>) -> Fatal {
        Fatal { message: message.into(), explanation: String::new(), status: None }
    }

    pub fn with_status(self, status: u8) -> Fatal {
        Fatal { status: Some(status), ..self }
    }

    /// From a diagnostic that is fatal.
    pub fn from_diagnostic(diagnostic: &Diagnostic, source: Option<&str>) -> Fatal {
        Fatal { explanation: diagnostic.explanation(source), ..Fatal::new(&*diagnostic.message) }
    }
}

fn level(severity: Severity) -> Option<Level> {
    match severity {
        Severity::Advice => None,
        Severity::Warning => Some(Level::Warning),
        Severity::Error => Some(Level::Error),
        Severity::Fatal => Some(Level::Fatal),
    }
}

/// The last part of a path.
pub fn base_name(path: &OsStr) -> String {
    path.to_string_lossy().rsplit('/').next().unwrap_or_default().to_string()
}

/// An error as C's strerror() has it, which is how Postfix's messages end.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(reason(&error), "No such file or directory");
        assert_eq!(base_name(OsStr::new("/usr/sbin/postconf")), "postconf");
    }
}
