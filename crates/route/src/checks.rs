//! header_checks and body_checks: tables that are asked about each header and each line of a message, and what their
//! right sides say. cleanup(8) has all actions, the SMTP client but those that make sense when mail is on its way.

use mail::header::{Field, is_header};
use mail::mime::Class;
use std::fmt;
use tables::{Maps, TryLater};

/// The four lists of tables.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    pub header_checks: Maps,
    pub mime_header_checks: Maps,
    pub nested_header_checks: Maps,
    pub body_checks: Maps,
}

/// What a table was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    Header,
    Body,
}

/// A table's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// DUNNO, OK.
    Nothing,
    /// IGNORE: the header or line goes, without a word in the log.
    Drop,
    /// Something that is logged, with what stands behind it.
    Do(Verb, Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Bcc,
    Discard,
    Filter,
    Hold,
    Info,
    Pass,
    Prepend,
    Redirect,
    Reject,
    Replace,
    Strip,
    Warn,
}

/// A right side that makes no sense; the mail goes on. Prints the warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    kind: MistakeKind,
    parameter: &'static str,
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MistakeKind {
    Unknown,
    Unsupported,
    NoText(&'static str),
    NoHeader(&'static str),
    NoFilter,
    BadFilter,
    NoAddress(&'static str),
}

impl Checks {
    /// Whether any table is asked about headers.
    pub fn has_header_checks(&self) -> bool {
        let all = [&self.header_checks, &self.mime_header_checks, &self.nested_header_checks];
        all.iter().any(|maps| !maps.is_empty())
    }

    pub fn is_empty(&self) -> bool {
        !self.has_header_checks() && self.body_checks.is_empty()
    }

    /// The tables for a header. Those that describe content count as a part's, wherever they stand.
    pub fn for_header(&self, class: Class, field: &Field) -> &Maps {
        let is_mime = field.known().is_some_and(mail::header::Name::is_mime);
        match class {
            Class::Primary if !is_mime => &self.header_checks,
            Class::Nested if !is_mime => &self.nested_header_checks,
            _ => &self.mime_header_checks,
        }
    }

    /// Asks about a header or line. None: there is nothing to be said of it.
    pub async fn ask(maps: &Maps, text: &[u8]) -> Result<Option<bytes::Bytes>, TryLater> {
        // Postfix: nothing is seen of a line from a NUL on.
        let seen = memchr::memchr(0, text).unwrap_or(text.len());
        maps.get(&text[..seen], true).await
    }
}

impl Action {
    /// Reads a right side as cleanup(8) does.
    pub fn parse(value: &[u8], spot: Spot, parameter: &'static str) -> Result<Action, Mistake> {
        let (word, text) = split(value);
        let mistake = |kind, text: &[u8]| Mistake { kind, parameter, text: text.to_vec() };
        let Some(action) = known(word) else { return Err(mistake(MistakeKind::Unknown, value)) };
        let Known::Verb(verb) = action else { return Ok(action.without_text()) };
        match verb.needs(spot, text) {
            Some(kind) => Err(mistake(kind, text)),
            None => Ok(Action::Do(verb, text.to_vec())),
        }
    }

    /// Reads a right side as the SMTP client does.
    pub fn parse_outgoing(value: &[u8], spot: Spot, parameter: &'static str) -> Result<Action, Mistake> {
        let is_supported = match known(split(value).0) {
            Some(Known::Verb(verb)) => {
                matches!(verb, Verb::Warn | Verb::Info | Verb::Replace | Verb::Prepend | Verb::Strip)
            }
            known => known.is_some(),
        };
        if !is_supported {
            return Err(Mistake { kind: MistakeKind::Unsupported, parameter, text: value.to_vec() });
        }
        Action::parse(value, spot, parameter)
    }
}

/// What a word means.
enum Known {
    Nothing,
    Drop,
    Verb(Verb),
}

impl Known {
    fn without_text(&self) -> Action {
        if matches!(self, Known::Drop) { Action::Drop } else { Action::Nothing }
    }
}

fn known(word: &[u8]) -> Option<Known> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("DUNNO") || is("OK") {
        return Some(Known::Nothing);
    }
    if is("IGNORE") {
        return Some(Known::Drop);
    }
    Verb::ALL.into_iter().find(|verb| is(verb.word())).map(Known::Verb)
}

/// The first word and what is behind the blanks after it.
fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let end = value.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(value.len());
    (&value[..end], value[end..].trim_ascii_start())
}

impl Verb {
    const ALL: [Verb; 12] = [
        Verb::Bcc,
        Verb::Discard,
        Verb::Filter,
        Verb::Hold,
        Verb::Info,
        Verb::Pass,
        Verb::Prepend,
        Verb::Redirect,
        Verb::Reject,
        Verb::Replace,
        Verb::Strip,
        Verb::Warn,
    ];

    fn word(self) -> &'static str {
        match self {
            Verb::Warn => "warn",
            _ => self.logged(),
        }
    }

    /// The word in the log line.
    pub fn logged(self) -> &'static str {
        match self {
            Verb::Bcc => "bcc",
            Verb::Discard => "discard",
            Verb::Filter => "filter",
            Verb::Hold => "hold",
            Verb::Info => "info",
            Verb::Pass => "pass",
            Verb::Prepend => "prepend",
            Verb::Redirect => "redirect",
            Verb::Reject => "reject",
            Verb::Replace => "replace",
            Verb::Strip => "strip",
            Verb::Warn => "warning",
        }
    }

    /// What is missing of the text, if anything.
    fn needs(self, spot: Spot, text: &[u8]) -> Option<MistakeKind> {
        match self {
            Verb::Prepend | Verb::Replace => {
                let word = if self == Verb::Prepend { "PREPEND" } else { "REPLACE" };
                if text.is_empty() {
                    Some(MistakeKind::NoText(word))
                } else {
                    (spot == Spot::Header && !is_header(text)).then_some(MistakeKind::NoHeader(word))
                }
            }
            Verb::Filter if text.is_empty() => Some(MistakeKind::NoFilter),
            Verb::Filter => (!text.contains(&b':')).then_some(MistakeKind::BadFilter),
            Verb::Redirect => (!text.contains(&b'@')).then_some(MistakeKind::NoAddress("REDIRECT target")),
            Verb::Bcc => (!text.contains(&b'@')).then_some(MistakeKind::NoAddress("BCC address")),
            _ => None,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parameter, text) = (self.parameter, String::from_utf8_lossy(&self.text));
        match self.kind {
            MistakeKind::Unknown => write!(f, "unknown command in {parameter} map: {text}"),
            MistakeKind::Unsupported => write!(f, "unsupported command in {parameter} map: {text}"),
            MistakeKind::NoText(word) => write!(f, "{word} action without text in {parameter} map"),
            MistakeKind::NoHeader(word) => write!(
                f,
                "bad {word} header text \"{text}\" in {parameter} map -- need \"headername: headervalue\""
            ),
            MistakeKind::NoFilter => write!(f, "missing FILTER command argument in {parameter} map"),
            MistakeKind::BadFilter => {
                write!(f, "bad FILTER command {text} in {parameter} -- need transport:destination")
            }
            MistakeKind::NoAddress(what) => {
                write!(f, "bad {what} \"{text}\" in {parameter} map -- need user@domain")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parsed: Result<Action, Mistake>) -> String {
        match parsed {
            Ok(Action::Nothing) => "nothing".into(),
            Ok(Action::Drop) => "drop".into(),
            Ok(Action::Do(verb, text)) => format!("{}: {}", verb.logged(), String::from_utf8_lossy(&text)),
            Err(mistake) => mistake.to_string(),
        }
    }

    #[test]
    fn what_cleanup_reads() {
        for (value, expect) in [
            ("DUNNO", "nothing"),
            ("ok whatever", "nothing"),
            ("Ignore it", "drop"),
            ("WARN", "warning: "),
            ("warn  two  words", "warning: two  words"),
            ("REJECT\tno", "reject: no"),
            ("STRIP why", "strip: why"),
            ("REPLACE X: y", "replace: X: y"),
            ("REPLACE", "REPLACE action without text in header_checks map"),
            ("FILTER", "missing FILTER command argument in header_checks map"),
            ("FILTER x", "bad FILTER command x in header_checks -- need transport:destination"),
            ("FILTER x:", "filter: x:"),
            ("REDIRECT x", "bad REDIRECT target \"x\" in header_checks map -- need user@domain"),
            ("BCC", "bad BCC address \"\" in header_checks map -- need user@domain"),
            ("BCC a@b", "bcc: a@b"),
            ("ACCEPT", "unknown command in header_checks map: ACCEPT"),
            ("REJECTED x", "unknown command in header_checks map: REJECTED x"),
            (
                "PREPEND x",
                "bad PREPEND header text \"x\" in header_checks map -- need \"headername: headervalue\"",
            ),
        ] {
            assert_eq!(
                shown(Action::parse(value.as_bytes(), Spot::Header, "header_checks")),
                expect,
                "{value}"
            );
        }
        assert_eq!(shown(Action::parse(b"PREPEND x", Spot::Body, "body_checks")), "prepend: x");
    }

    #[test]
    fn what_the_client_reads() {
        for (value, expect) in [
            ("dunno", "nothing"),
            ("IGNORE", "drop"),
            ("INFO x", "info: x"),
            ("REPLACE", "REPLACE action without text in smtp_header_checks map"),
            ("REJECT x", "unsupported command in smtp_header_checks map: REJECT x"),
            ("FILTER", "unsupported command in smtp_header_checks map: FILTER"),
            ("HOLD", "unsupported command in smtp_header_checks map: HOLD"),
            ("what", "unsupported command in smtp_header_checks map: what"),
        ] {
            let parsed = Action::parse_outgoing(value.as_bytes(), Spot::Header, "smtp_header_checks");
            assert_eq!(shown(parsed), expect, "{value}");
        }
    }

    #[test]
    fn which_tables() {
        let maps = |parameter| Maps::new(parameter, Vec::new());
        let checks = Checks {
            header_checks: maps("header_checks"),
            mime_header_checks: maps("mime_header_checks"),
            nested_header_checks: maps("nested_header_checks"),
            body_checks: maps("body_checks"),
        };
        for (class, name, expect) in [
            (Class::Primary, "Subject", "header_checks"),
            (Class::Primary, "Content-Type", "mime_header_checks"),
            (Class::Part, "Subject", "mime_header_checks"),
            (Class::Nested, "X", "nested_header_checks"),
            (Class::Nested, "MIME-Version", "mime_header_checks"),
        ] {
            let field = Field::new(name.as_bytes(), b"x");
            assert_eq!(checks.for_header(class, &field).parameter(), expect, "{class:?} {name}");
        }
        assert!(checks.is_empty());
    }
}
