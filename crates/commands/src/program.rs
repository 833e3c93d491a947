//! A running command: its name, its arguments, and how it says what goes wrong.

use params::Diagnostic;
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Write};

/// How a command ends: with its exit status, or with `fatal: …`.
pub type Run = Result<u8, Fatal>;

/// A command that is running.
#[derive(Clone, Debug)]
pub struct Program {
    /// The last part of argv[0]: what messages begin with.
    pub name: String,
    pub args: Vec<OsString>,
    failure: u8,
}

/// Why a command cannot go on. What is behind it for people follows on terminals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    pub message: String,
    pub explanation: String,
}

impl Program {
    /// `failure` is the exit status of `fatal: …`.
    pub fn new(name: String, args: Vec<OsString>, failure: u8) -> Program {
        Program { name, args, failure }
    }

    /// The arguments as text; octets that are no UTF-8 become U+FFFD.
    pub fn text_args(&self) -> Vec<String> {
        self.args.iter().map(|a| a.to_string_lossy().into_owned()).collect()
    }

    pub fn warning(&self, text: &str) {
        self.say("warning: ", text);
    }

    pub fn error(&self, text: &str) {
        self.say("error: ", text);
    }

    /// Says a diagnostic: its classic line, then on a terminal what is there for people.
    pub fn report(&self, diagnostic: &Diagnostic, source: Option<&str>) {
        self.say("", &diagnostic.to_string());
        self.explain(&diagnostic.explanation(source));
    }

    pub(crate) fn run(&self, command: fn(&Program) -> Run) -> u8 {
        command(self).unwrap_or_else(|fatal| {
            self.say("fatal: ", &fatal.message);
            self.explain(&fatal.explanation);
            self.failure
        })
    }

    fn say(&self, label: &str, text: &str) {
        // Nobody is left to tell if this fails.
        let line = printable(&format!("{}: {label}{text}", self.name));
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    fn explain(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            let _ = write!(std::io::stderr(), "{text}");
        }
    }
}

impl Fatal {
    pub fn new(message: impl Into<String>) -> Fatal {
        Fatal { message: message.into(), explanation: String::new() }
    }

    /// From a diagnostic that is fatal.
    pub fn from_diagnostic(diagnostic: &Diagnostic, source: Option<&str>) -> Fatal {
        Fatal { message: diagnostic.message.clone(), explanation: diagnostic.explanation(source) }
    }
}

/// Postfix shows what is not printable in a message as `?`.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
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
