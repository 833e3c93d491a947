//! master.cf: one service a line. Edits and the printed form are in `master_edit`.

use crate::diagnostic::{Diagnostic, Place};
use crate::line::{LogicalLine, logical_lines};
use crate::word::{BLANKS, name_value, strip_braces, words};
use std::collections::VecDeque;
use std::fmt;

/// The programs that a service may name: Postfix's. Another one is an error with its line, never skipped.
pub const PROGRAMS: &[&str] = &[
    "anvil",
    "bounce",
    "cleanup",
    "discard",
    "dnsblog",
    "error",
    "flush",
    "lmtp",
    "local",
    "oqmgr",
    "pickup",
    "pipe",
    "postlogd",
    "postscreen",
    "proxymap",
    "qmgr",
    "qmqpd",
    "scache",
    "showq",
    "smtp",
    "smtpd",
    "spawn",
    "tlsmgr",
    "tlsproxy",
    "trivial-rewrite",
    "verify",
    "virtual",
];

/// The number of fields before a command's arguments.
pub const FIELDS: usize = 8;
/// What `postconf -F` calls the fields.
pub const FIELD_NAMES: [&str; FIELDS] =
    ["service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command"];
/// What postconf(1) says of an entry with fewer.
pub(crate) const BAD_COUNT: &str = "bad field count";
/// What master(8) calls them in messages.
const MASTER_NAMES: [&str; FIELDS] =
    ["service", "transport type", "private", "unprivileged", "chroot", "wakeup_time", "max_proc", "command"];

/// A master.cf as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterCf {
    pub path: String,
    pub services: Vec<Service>,
    pub mistakes: Vec<Mistake>,
}

/// One service, in fields and in types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The eight fields and the command's arguments as they stand, options cut apart (`-o`, `name=value`) and braces taken off.
    pub words: Vec<String>,
    /// The line on which it begins, from 1.
    pub line: usize,
    pub kind: ServiceKind,
    pub private: bool,
    pub unprivileged: bool,
    /// None: the field is `-`, and `compatibility_level` decides.
    pub chroot: Option<bool>,
    pub wakeup: Wakeup,
    /// None: the field is `-`, and `default_process_limit` decides. Zero: no limit.
    pub process_limit: Option<u32>,
    /// `-o name=value`, in their order.
    pub overrides: Vec<(String, String)>,
    /// How often `-v` is given.
    pub verbose: u32,
    /// What follows the options: `flags=…`, `user=…`, `argv=…`.
    pub args: Vec<String>,
}

/// How a service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    Inet,
    Unix,
    Fifo,
    Pass,
    UnixDgram,
}

/// How often a service is woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wakeup {
    /// Zero: never.
    pub seconds: u32,
    /// Only once it has been used (`?`).
    pub if_used: bool,
}

/// What is wrong with an entry, and which: postconf(1) and master(8) say it in different words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub line: usize,
    /// The logical line, blanks and all.
    pub text: String,
    pub kind: MistakeKind,
}

/// Kinds of mistakes in an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MistakeKind {
    /// There are fewer than eight fields: the first one missing.
    Missing {
        field: usize,
    },
    Bad {
        field: usize,
        value: String,
    },
    /// `private` is `y` or `-` for an `inet` service.
    PrivateInet,
    /// Braces that do not match, or something right behind them: the text of `strip_braces`.
    Braces(String),
    /// `-o { … }` without a name or `=`.
    Override {
        why: &'static str,
        text: String,
    },
    /// The line continues nothing.
    Stray,
}

impl MasterCf {
    /// Reads a whole file. Entries whose fields have no meaning are in `mistakes` and nowhere else.
    pub fn parse(path: &str, bytes: &[u8]) -> MasterCf {
        let mut master = MasterCf { path: path.to_string(), ..MasterCf::default() };
        for line in logical_lines(bytes) {
            if line.is_stray() {
                master.mistakes.push(Mistake::of(&line, MistakeKind::Stray));
                continue;
            }
            let (service, kinds) = Service::parse(&line.text, line.number);
            master.mistakes.extend(kinds.into_iter().map(|kind| Mistake::of(&line, kind)));
            master.services.extend(service);
        }
        master
    }

    /// The service with that name and kind.
    pub fn service(&self, name: &str, kind: ServiceKind) -> Option<&Service> {
        self.services.iter().find(|s| s.name() == name && s.kind == kind)
    }

    /// What master(8) says of the mistakes.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.mistakes.iter().map(|m| m.diagnostic(&self.path)).collect()
    }

    /// An error for each service whose command is none of `programs`.
    pub fn unknown_programs(&self, daemon_directory: &str, programs: &[&str]) -> Vec<Diagnostic> {
        let unknown = self.services.iter().filter(|s| !programs.contains(&s.program()));
        unknown.map(|s| s.unknown_program(&self.path, daemon_directory, programs)).collect()
    }
}

impl Service {
    /// Reads one logical line. A service comes out only if its fields have meaning.
    pub fn parse(text: &str, line: usize) -> (Option<Service>, Vec<MistakeKind>) {
        let mut mistakes = Vec::new();
        let raw: Vec<&str> = words(text, BLANKS).map(|(_, word)| word).collect();
        if raw.len() < FIELDS {
            return (None, vec![MistakeKind::Missing { field: raw.len() }]);
        }
        let mut all: Vec<String> = raw[..FIELDS].iter().map(|w| w.to_string()).collect();
        let options = normalize(&raw[FIELDS..], &mut all, &mut mistakes);
        let service = Service::from_words(all, options, line, &mut mistakes);
        (service, mistakes)
    }

    pub fn name(&self) -> &str {
        &self.words[0]
    }

    /// The command as it stands; usually a name in `daemon_directory`.
    pub fn command(&self) -> &str {
        &self.words[FIELDS - 1]
    }

    /// The last part of the command's path: `smtpd`.
    pub fn program(&self) -> &str {
        self.command().rsplit('/').next().unwrap_or_default()
    }

    /// `$service_name` in its parameters.
    pub fn service_name(&self) -> &str {
        self.name()
    }

    /// `name/type`, as `postconf -P` and `-F` say it.
    pub fn name_space(&self) -> String {
        format!("{}/{}", self.words[0], self.words[1])
    }

    fn from_words(
        words: Vec<String>,
        options_end: usize,
        line: usize,
        mistakes: &mut Vec<MistakeKind>,
    ) -> Option<Service> {
        let before = mistakes.len();
        let mut bad = |field: usize| mistakes.push(MistakeKind::Bad { field, value: words[field].clone() });
        let kind = ServiceKind::parse(&words[1]).or_else(|| {
            bad(1);
            None
        });
        let mut yes_no = |field: usize| match words[field].as_str() {
            "y" => Some(Some(true)),
            "n" => Some(Some(false)),
            "-" => Some(None),
            _ => {
                bad(field);
                None
            }
        };
        let (private, unprivileged, chroot) = (yes_no(2), yes_no(3), yes_no(4));
        let wakeup = Wakeup::parse(&words[5]).or_else(|| {
            bad(5);
            None
        });
        let process_limit = match words[6].as_str() {
            "-" => Some(None),
            text => number(text).map(Some).or_else(|| {
                bad(6);
                None
            }),
        };
        if mistakes.len() > before {
            return None;
        }
        // With these an entry still has a meaning, and postconf(1) shows it.
        if matches!(words[5].as_str(), "?" | "-?") {
            mistakes.push(MistakeKind::Bad { field: 5, value: words[5].clone() });
        }
        if words[7] == "-" {
            mistakes.push(MistakeKind::Bad { field: 7, value: words[7].clone() });
        }
        if kind == Some(ServiceKind::Inet) && private != Some(Some(false)) {
            mistakes.push(MistakeKind::PrivateInet);
        }
        let (overrides, verbose) = read_options(&words[FIELDS..options_end]);
        Some(Service {
            kind: kind?,
            private: private?.unwrap_or(true),
            unprivileged: unprivileged?.unwrap_or(true),
            chroot: chroot?,
            wakeup: wakeup?,
            process_limit: process_limit?,
            overrides,
            verbose,
            args: words[options_end..].to_vec(),
            words,
            line,
        })
    }

    fn unknown_program(&self, path: &str, daemon_directory: &str, programs: &[&str]) -> Diagnostic {
        let near = crate::suggest::nearest(self.program(), programs.iter().copied());
        let mend = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "comment the entry out, or name a program that the mail system has".to_string(),
        };
        let command = self.command();
        Diagnostic::fatal(format!(
            "{path}: line {}: unknown program: {daemon_directory}/{command}",
            self.line
        ))
        .at(Place { file: path.to_string(), line: self.line, span: 0..0 })
        .effect(format!("the service {} cannot be started", self.name()))
        .mend(mend)
    }
}

/// Cuts options apart and takes braces off. Gives the index in `out` at which options end.
fn normalize(raw: &[&str], out: &mut Vec<String>, mistakes: &mut Vec<MistakeKind>) -> usize {
    let mut rest: VecDeque<String> = raw.iter().map(|w| w.to_string()).collect();
    while let Some(word) = rest.pop_front_if(|w| w.starts_with('-') && w != "--") {
        match word[1..].find('o') {
            Some(0) => {
                let value = if word.len() > 2 { Some(word[2..].to_string()) } else { rest.pop_front() };
                out.push("-o".to_string());
                out.extend(value.map(|v| override_text(&v, mistakes)));
            }
            // `-vo name=value` is `-v -o name=value`.
            Some(at) => {
                out.push(word[..=at].to_string());
                rest.push_front(format!("-{}", &word[at + 1..]));
            }
            None => out.push(word),
        }
    }
    let end = out.len();
    out.extend(rest.iter().map(|word| argument(word, mistakes)));
    end
}

fn override_text(value: &str, mistakes: &mut Vec<MistakeKind>) -> String {
    if !value.starts_with('{') {
        return value.to_string();
    }
    let inside = argument(value, mistakes);
    match name_value(&inside) {
        Ok((name, value)) => format!("{name}={value}"),
        Err(why) => {
            mistakes.push(MistakeKind::Override { why, text: inside.clone() });
            inside
        }
    }
}

fn argument(word: &str, mistakes: &mut Vec<MistakeKind>) -> String {
    if !word.starts_with('{') {
        return word.to_string();
    }
    let inside = strip_braces(word).unwrap_or_else(|(why, rest)| {
        mistakes.push(MistakeKind::Braces(why));
        rest
    });
    inside.trim_matches(crate::line::is_space).to_string()
}

fn read_options(words: &[String]) -> (Vec<(String, String)>, u32) {
    let (mut overrides, mut verbose) = (Vec::new(), 0);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "-o" {
            let pair = rest.next().and_then(|text| name_value(text).ok());
            overrides.extend(pair.map(|(name, value)| (name.to_string(), value.to_string())));
        } else {
            verbose += word.matches('v').count() as u32;
        }
    }
    (overrides, verbose)
}

/// Digits and nothing else; a number that is too large is the largest.
fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

impl MistakeKind {
    /// What postconf(1) ends with for an entry of this text. None: it goes on.
    pub fn postconf_text(&self, text: &str) -> Option<String> {
        match self {
            MistakeKind::Missing { .. } => Some(BAD_COUNT.to_string()),
            MistakeKind::Bad { field: 7, .. } => None,
            MistakeKind::Bad { field: 5, value } if value == "?" || value == "-?" => None,
            MistakeKind::Bad { field, value } => {
                let text = text.replace('\n', " ");
                Some(format!("invalid {} field \"{value}\" in \"{text}\"", FIELD_NAMES[*field]))
            }
            _ => None,
        }
    }
}

impl ServiceKind {
    pub fn parse(text: &str) -> Option<ServiceKind> {
        Some(match text {
            "inet" => ServiceKind::Inet,
            "unix" => ServiceKind::Unix,
            "fifo" => ServiceKind::Fifo,
            "pass" => ServiceKind::Pass,
            "unix-dgram" => ServiceKind::UnixDgram,
            _ => return None,
        })
    }
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ServiceKind::Inet => "inet",
            ServiceKind::Unix => "unix",
            ServiceKind::Fifo => "fifo",
            ServiceKind::Pass => "pass",
            ServiceKind::UnixDgram => "unix-dgram",
        })
    }
}

impl Wakeup {
    fn parse(text: &str) -> Option<Wakeup> {
        let (digits, if_used) = match text.strip_suffix('?') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let seconds = if matches!(digits, "" | "-") { 0 } else { number(digits)? };
        Some(Wakeup { seconds, if_used })
    }
}

impl Mistake {
    fn of(line: &LogicalLine, kind: MistakeKind) -> Mistake {
        Mistake { line: line.number, text: line.text.clone(), kind }
    }

    /// As master(8) says it.
    pub fn diagnostic(&self, path: &str) -> Diagnostic {
        let text = match &self.kind {
            MistakeKind::Stray => return self.stray(path),
            MistakeKind::Missing { field } => format!("missing \"{}\" field", MASTER_NAMES[*field]),
            MistakeKind::Bad { field: 1, value } if value != "-" => format!("bad transport type: {value}"),
            MistakeKind::Bad { field, value } if value == "-" => {
                format!("field \"{}\" has no default value", MASTER_NAMES[*field])
            }
            MistakeKind::Bad { field, value } => {
                format!("field \"{}\": bad value: \"{value}\"", MASTER_NAMES[*field])
            }
            MistakeKind::PrivateInet => "inet service cannot be private".to_string(),
            MistakeKind::Braces(why) => why.clone(),
            MistakeKind::Override { why, text } => format!("invalid \"-o {text}\" option value: {why}"),
        };
        self.explain(path, Diagnostic::fatal(format!("{path}: line {}: {text}", self.line)))
    }

    /// As postconf(1) says it. None: postconf says nothing.
    pub fn postconf_diagnostic(&self, path: &str) -> Option<Diagnostic> {
        let diagnostic = match &self.kind {
            MistakeKind::Stray => return Some(self.stray(path)),
            MistakeKind::Missing { .. } => {
                Diagnostic::fatal(format!("file {path}: line {}: {BAD_COUNT}", self.line))
            }
            MistakeKind::Braces(why) => Diagnostic::warning(format!("master.cf: {why}")),
            MistakeKind::Override { why, text } => {
                Diagnostic::warning(format!("master.cf: {why}: \"{text}\""))
            }
            kind => Diagnostic::fatal(kind.postconf_text(&self.text)?),
        };
        Some(self.explain(path, diagnostic))
    }

    fn stray(&self, path: &str) -> Diagnostic {
        let shown: String = self.text.chars().take(30).collect();
        let more = if self.text.chars().count() > 30 { "..." } else { "" };
        let text = format!("{path}: logical line must not start with whitespace: \"{shown}{more}\"");
        self.explain(path, Diagnostic::warning(text))
    }

    fn explain(&self, path: &str, diagnostic: Diagnostic) -> Diagnostic {
        let mend = match &self.kind {
            MistakeKind::Missing { .. } if self.text.contains('=') => {
                "did you mean to indent this line? Options and arguments that continue an entry begin with a blank"
            }
            MistakeKind::Missing { .. } => {
                "an entry has eight fields: service type private unprivileged chroot wakeup process_limit command"
            }
            MistakeKind::Bad { field: 1, .. } => "the type is one of inet, unix, unix-dgram, fifo, pass",
            MistakeKind::Bad { field: 2..=4, .. } => "write y, n or -",
            MistakeKind::Bad { field: 5, .. } => {
                "write seconds, 0 or - for never, with ? behind if only once it was used"
            }
            MistakeKind::Bad { field: 6, .. } => {
                "write a number, 0 for no limit, or - for default_process_limit"
            }
            MistakeKind::Bad { .. } => "name the program",
            MistakeKind::PrivateInet => "write n in the third field: anybody can connect to an inet service",
            MistakeKind::Braces(_) => "close the braces, and put a blank behind them",
            MistakeKind::Override { .. } => "an override has the form: -o { name = value }",
            MistakeKind::Stray => "remove the blanks at the start of the line",
        };
        let effect = match self.kind {
            MistakeKind::Stray => "there is nothing before it that it could continue, so the line is skipped",
            _ => "the mail system does not start with this file",
        };
        diagnostic.at(Place { file: path.to_string(), line: self.line, span: 0..0 }).effect(effect).mend(mend)
    }
}

#[cfg(test)]
mod tests;
