//! Lines of master.

use crate::Event;
use std::fmt;

/// `daemon started -- version 3.7.11, configuration /etc/postfix`.
#[derive(Clone, Copy, Debug)]
pub struct DaemonStarted<'a> {
    /// `mail_version`.
    pub version: &'a str,
    pub config_directory: &'a str,
}

impl Event for DaemonStarted<'_> {}

impl fmt::Display for DaemonStarted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "daemon started -- version {}, configuration {}", self.version, self.config_directory)
    }
}

/// `reload -- version 3.7.11, configuration /etc/postfix`.
#[derive(Clone, Copy, Debug)]
pub struct Reloaded<'a> {
    pub version: &'a str,
    pub config_directory: &'a str,
}

impl Event for Reloaded<'_> {}

impl fmt::Display for Reloaded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reload -- version {}, configuration {}", self.version, self.config_directory)
    }
}

/// `terminating on signal 15`.
#[derive(Clone, Copy, Debug)]
pub struct Terminating {
    pub signal: i32,
}

impl Event for Terminating {}

impl fmt::Display for Terminating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "terminating on signal {}", self.signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let (version, config_directory) = ("3.7.11", "/etc/postfix");
        for (line, expect) in [
            (
                DaemonStarted { version, config_directory }.to_string(),
                "daemon started -- version 3.7.11, configuration /etc/postfix",
            ),
            (
                Reloaded { version, config_directory }.to_string(),
                "reload -- version 3.7.11, configuration /etc/postfix",
            ),
            (Terminating { signal: 15 }.to_string(), "terminating on signal 15"),
        ] {
            assert_eq!(line, expect);
        }
    }
}
