//! Lines on the standard output. A reader that goes away ends the program.

use nix::sys::signal::Signal;
use params::octets::to_octets;
use std::io::{ErrorKind, Write};

#[derive(Debug, Default)]
pub(crate) struct Output {
    is_gone: bool,
}

impl Output {
    pub(crate) fn line(&mut self, text: &str) {
        let mut octets = to_octets(text).into_owned();
        octets.push(b'\n');
        self.octets(&octets);
    }

    pub(crate) fn octets(&mut self, octets: &[u8]) {
        if self.is_gone {
            return;
        }
        let written = std::io::stdout().lock().write_all(octets);
        if written.as_ref().is_err_and(|e| e.kind() == ErrorKind::BrokenPipe) {
            // Postfix is ended by the signal, and says none of its warnings.
            std::process::exit(128 + Signal::SIGPIPE as i32);
        }
        self.is_gone = written.is_err();
    }

    /// A block of lines, written at once.
    pub(crate) fn lines(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.line(&lines.join("\n"));
        }
    }
}

/// `{"name": "value"}`, as Postfix 3.11 prints it.
pub(crate) fn json(name: &str, value: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!("{{{}: {}}}", quoted(name), quoted(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        assert_eq!(json("a/unix", "x \"y\"\\"), r#"{"a/unix": "x \"y\"\\"}"#);
    }
}
