//! The commands that exist, and how often each came.

use std::fmt;

/// A command. The order is that of the counters in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Helo,
    Ehlo,
    Xclient,
    Xforward,
    Starttls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Vrfy,
    Etrn,
    Quit,
}

const VERBS: [(Verb, &str); 15] = [
    (Verb::Helo, "HELO"),
    (Verb::Ehlo, "EHLO"),
    (Verb::Xclient, "XCLIENT"),
    (Verb::Xforward, "XFORWARD"),
    (Verb::Starttls, "STARTTLS"),
    (Verb::Auth, "AUTH"),
    (Verb::Mail, "MAIL"),
    (Verb::Rcpt, "RCPT"),
    (Verb::Data, "DATA"),
    (Verb::Bdat, "BDAT"),
    (Verb::Rset, "RSET"),
    (Verb::Noop, "NOOP"),
    (Verb::Vrfy, "VRFY"),
    (Verb::Etrn, "ETRN"),
    (Verb::Quit, "QUIT"),
];

impl Verb {
    pub(super) fn parse(word: &[u8]) -> Option<Verb> {
        VERBS.iter().find(|(_, name)| word.eq_ignore_ascii_case(name.as_bytes())).map(|(verb, _)| *verb)
    }

    /// In capitals, as in replies and logs.
    pub fn name(self) -> &'static str {
        VERBS[self as usize].1
    }

    /// Whether repeating it without end costs the client nothing else (`smtpd_junk_command_limit`).
    pub(super) fn is_junk(self) -> bool {
        use Verb::{Ehlo, Etrn, Helo, Noop, Rset, Vrfy};
        matches!(self, Helo | Ehlo | Rset | Noop | Vrfy | Etrn)
    }

    /// Whether it is allowed before STARTTLS where TLS is required.
    pub(super) fn is_allowed_in_clear(self) -> bool {
        use Verb::{Ehlo, Helo, Noop, Quit, Starttls, Xclient};
        matches!(self, Helo | Ehlo | Xclient | Starttls | Noop | Quit)
    }

    /// Whether it must be the last of a group of commands (RFC 2920 3.1).
    pub(super) fn ends_group(self) -> bool {
        use Verb::{Data, Ehlo, Helo, Noop, Vrfy};
        matches!(self, Helo | Ehlo | Data | Noop | Vrfy)
    }
}

/// How often each command came and succeeded.
///
/// ```
/// use smtp::server::Statistics;
/// assert_eq!(Statistics::default().to_string(), "commands=0/0");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    counts: [Count; VERBS.len() + 1],
    /// Bare newlines came, with `smtpd_forbid_bare_newline = note`.
    pub(super) has_bare_newline: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    succeeded: u32,
    total: u32,
}

impl Statistics {
    /// None is an unknown command.
    pub(super) fn came(&mut self, verb: Option<Verb>) {
        let count = &mut self.counts[verb.map_or(VERBS.len(), |verb| verb as usize)];
        count.total = count.total.saturating_add(1);
    }

    pub(super) fn succeeded(&mut self, verb: Verb) {
        let count = &mut self.counts[verb as usize];
        count.succeeded = count.succeeded.saturating_add(1);
    }
}

/// As in the log's `disconnect from` line: `ehlo=1 mail=1 rcpt=1/2 unknown=0/1 commands=3/5`.
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Count::default();
        let names = VERBS.iter().map(|(_, name)| name.to_ascii_lowercase()).chain(["unknown".to_owned()]);
        for (name, count) in names.zip(&self.counts).filter(|(_, count)| count.total > 0) {
            write!(f, "{name}={} ", Ratio(*count))?;
            all.succeeded = all.succeeded.saturating_add(count.succeeded);
            all.total = all.total.saturating_add(count.total);
        }
        match all.total {
            0 => f.write_str("commands=0/0")?,
            _ => write!(f, "commands={}", Ratio(all))?,
        }
        f.write_str(if self.has_bare_newline { " notes=bare_lf" } else { "" })
    }
}

/// `2`, or `1/2` where some failed.
struct Ratio(Count);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { succeeded, total } = self.0;
        if succeeded == total { write!(f, "{total}") } else { write!(f, "{succeeded}/{total}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        for (at, (verb, name)) in VERBS.iter().enumerate() {
            assert_eq!(*verb as usize, at);
            assert_eq!(Verb::parse(name.to_lowercase().as_bytes()), Some(*verb));
            assert_eq!(verb.name(), *name);
        }
        assert_eq!(Verb::parse(b"HELP"), None);
    }

    #[test]
    fn statistics() {
        let mut statistics = Statistics::default();
        for (verb, succeeded) in [
            (Some(Verb::Rcpt), true),
            (Some(Verb::Rcpt), false),
            (Some(Verb::Ehlo), true),
            (None, false),
            (Some(Verb::Noop), false),
        ] {
            statistics.came(verb);
            if let Some(verb) = verb.filter(|_| succeeded) {
                statistics.succeeded(verb);
            }
        }
        assert_eq!(statistics.to_string(), "ehlo=1 rcpt=1/2 noop=0/1 unknown=0/1 commands=2/5");
        statistics.has_bare_newline = true;
        assert!(statistics.to_string().ends_with(" commands=2/5 notes=bare_lf"));
    }
}
