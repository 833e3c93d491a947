//! What is wrong with a configuration, said so that every program can print Postfix's line and a terminal can show more.

use std::fmt;
use std::ops::Range;

/// One mistake, or something to know.
///
/// `message` is what Postfix prints behind `fatal: ` or `warning: `, byte for byte; the rest is ours and is shown to people only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    pub place: Option<Place>,
    /// What comes of it.
    pub effect: String,
    /// What to do.
    pub mend: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Postfix says nothing: only a check shows it.
    Advice,
    Warning,
    Error,
    /// The program that meets it ends.
    Fatal,
}

/// Where in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Characters of that line, from 0. Empty: the whole line.
    pub span: Range<usize>,
}

impl Diagnostic {
    pub fn new(severity: Severity, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity,
            message: message.into(),
            place: None,
            effect: String::new(),
            mend: String::new(),
        }
    }

    pub fn fatal(message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Fatal, message)
    }

    pub fn warning(message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, message)
    }

    pub fn advice(message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Advice, message)
    }

    pub fn at(self, place: impl Into<Option<Place>>) -> Diagnostic {
        Diagnostic { place: place.into(), ..self }
    }

    pub fn effect(self, effect: impl Into<String>) -> Diagnostic {
        Diagnostic { effect: effect.into(), ..self }
    }

    pub fn mend(self, mend: impl Into<String>) -> Diagnostic {
        Diagnostic { mend: mend.into(), ..self }
    }

    pub fn is_fatal(&self) -> bool {
        self.severity == Severity::Fatal
    }

    /// The message, and below it, indented, where it is and what to do: for a log, which has no room for more.
    pub fn with_place(&self) -> String {
        let place = self.place.as_ref().map(|place| format!("in {}, line {}", place.file, place.line));
        let parts: Vec<&str> = [place.as_deref().unwrap_or_default(), &self.effect, &self.mend]
            .into_iter()
            .filter(|p| !p.is_empty())
            .collect();
        match parts.is_empty() {
            true => self.message.clone(),
            false => format!("{}\n  {}", self.message, parts.join(": ")),
        }
    }

    /// The lines that follow the classic one on a terminal. `source` is the text of the line at `place`.
    ///
    /// Empty if there is nothing to add.
    pub fn explanation(&self, source: Option<&str>) -> String {
        if self.effect.is_empty() && self.mend.is_empty() {
            return String::new();
        }
        let mut out = String::new();
        let number = self.place.as_ref().map(|p| p.line.to_string()).unwrap_or_default();
        let margin = " ".repeat(number.len());
        if let Some(place) = &self.place {
            out += &place.frame(&number, &margin, source);
        }
        for (label, text) in [("effect", &self.effect), ("mend", &self.mend)] {
            if !text.is_empty() {
                out += &format!("{margin} = {label}: {text}\n");
            }
        }
        out
    }
}

impl Place {
    fn frame(&self, number: &str, margin: &str, source: Option<&str>) -> String {
        let mut out = format!("{margin}--> {}:{}:{}\n", self.file, self.line, self.span.start + 1);
        if let Some(source) = source {
            let pad: String =
                source.chars().take(self.span.start).map(|c| if c == '\t' { c } else { ' ' }).collect();
            let carets = "^".repeat(self.span.len().max(1));
            out += &format!("{margin} |\n{number} | {source}\n{margin} | {pad}{carets}\n");
        }
        out
    }
}

/// The classic line without the program's name: `fatal: …`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = match self.severity {
            Severity::Advice => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Fatal => "fatal",
        };
        write!(f, "{label}: {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_a_log() {
        let place = Place { file: "/etc/postfix/main.cf".into(), line: 3, span: 0..0 };
        let plain = Diagnostic::fatal("bad");
        assert_eq!(plain.with_place(), "bad");
        let placed = plain.at(place).mend("write good");
        assert_eq!(placed.with_place(), "bad\n  in /etc/postfix/main.cf, line 3: write good");
    }

    #[test]
    fn points_at_the_place() {
        let source = "inet_interfaces = all # all of them";
        let diagnostic = Diagnostic::fatal("config variable inet_interfaces: host not found: #")
            .at(Place { file: "/etc/postfix/main.cf".into(), line: 12, span: 22..35 })
            .effect("programs stop")
            .mend("move the comment");
        insta::assert_snapshot!(format!("{diagnostic}\n{}", diagnostic.explanation(Some(source))), @r"
        fatal: config variable inet_interfaces: host not found: #
          --> /etc/postfix/main.cf:12:23
           |
        12 | inet_interfaces = all # all of them
           |                       ^^^^^^^^^^^^^
           = effect: programs stop
           = mend: move the comment
        ");
    }
}
