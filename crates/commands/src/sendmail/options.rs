//! The command line of sendmail(1): forty years of options. Most mean nothing any more and are taken all the same.

use crate::getopt::{Getopt, Step};
use crate::instance;
use crate::program::{Fatal, Program};
use mail::{Encoding, Notify, Ret};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

const SPEC: &str = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx";

/// Octets that `-V` takes at most (RFC 3461 4.4).
const ENVID_LIMIT: usize = 100;

/// What sendmail is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// `-bm`: submit a message.
    Enqueue,
    /// `-bi`, `-I`, `newaliases`
    Newaliases,
    /// `-bp`, `mailq`
    Mailq,
    /// `-bd`, `-bl`
    Daemon,
    /// `-bs`: SMTP on standard input.
    StandAlone,
    /// `-q`
    Flush,
    /// `-bh`, `-bH`: what Postfix has no equivalent of.
    Nothing,
}

/// What the sender is to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    /// `-bv`: what would be done.
    Verify,
    /// `-v`: what was done.
    Record,
}

/// The options that were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) mode: Mode,
    /// `-f`, `-r`
    pub(super) sender: Option<Vec<u8>>,
    /// `-F`
    pub(super) full_name: Option<Vec<u8>>,
    /// `-B`
    pub(super) encoding: Encoding,
    /// `-G`
    pub(super) is_from_gateway: bool,
    /// `-N`
    pub(super) notify: Notify,
    /// `-R`
    pub(super) ret: Option<Ret>,
    /// `-V`, as it was given.
    pub(super) envid: Option<Vec<u8>>,
    /// `-XV`
    pub(super) verp_delims: Option<Vec<u8>>,
    pub(super) trace: Option<Trace>,
    /// Not with `-i`: a line with nothing but a dot ends the message.
    pub(super) dot_ends: bool,
    /// `-t`
    pub(super) takes_header_recipients: bool,
    /// `-qR`
    pub(super) flush_site: Option<OsString>,
    /// `-qI`
    pub(super) flush_id: Option<OsString>,
    /// `-oA`
    pub(super) alias_database: Option<OsString>,
    /// `-q1h`: how often a daemon is to look.
    pub(super) has_interval: bool,
    pub(super) recipients: Vec<Vec<u8>>,
    /// `-v`, times.
    verbosity: usize,
}

/// What the configuration says about options.
pub(super) struct Settings {
    /// `default_verp_delimiters`
    pub(super) default_verp_delimiters: String,
    /// `verp_delimiter_filter`
    pub(super) verp_delimiter_filter: String,
}

/// The folder that `-C` names, which has to be known before the configuration is read. What getopt() complains of is said
/// here, and again when the options are read.
pub(super) fn config_directory(program: &Program) -> Result<Option<String>, Fatal> {
    let mut getopt = Getopt::new(&program.args, SPEC);
    let mut directory = None;
    loop {
        while is(getopt.upcoming().first(), "-q") {
            getopt.skip();
        }
        match getopt.next() {
            None => return Ok(directory),
            Some(Step::Complaint(complaint)) => program.complain(&complaint),
            Some(Step::Option('C', Some(path))) => {
                let named = directory_of(&path.to_string_lossy());
                if !nix::unistd::geteuid().is_root() {
                    instance::require_listed(program, &named)?;
                }
                directory = Some(named);
            }
            Some(Step::Option(..)) => {}
        }
    }
}

/// `-C` may name main.cf itself.
fn directory_of(path: &str) -> String {
    match path.strip_suffix("main.cf") {
        Some("") => ".".to_owned(),
        Some("/") => "/".to_owned(),
        Some(folder) if folder.ends_with('/') => folder.trim_end_matches('/').to_owned(),
        _ => path.to_owned(),
    }
}

impl Options {
    /// Reads the command line. Warnings are said at once.
    pub(super) fn read(program: &Program, settings: &Settings) -> Result<Options, Fatal> {
        let mut options = Options::called_as(&program.name);
        let mut getopt = Getopt::new(&program.args, SPEC);
        loop {
            if options.take_special(program, settings, &mut getopt)? {
                continue;
            }
            match getopt.next() {
                None => break,
                Some(Step::Option(letter, value)) => {
                    options.take(program, settings, letter, value.unwrap_or_default())?;
                }
                Some(Step::Complaint(complaint)) => {
                    program.complain(&complaint);
                    return Err(Fatal::new(format!("usage: {} [options]", program.name)));
                }
            }
        }
        options.recipients = getopt.operands().iter().map(|arg| arg.clone().into_vec()).collect();
        options.check()?;
        Ok(options)
    }

    fn called_as(name: &str) -> Options {
        let mode = match name {
            "mailq" => Mode::Mailq,
            "newaliases" => Mode::Newaliases,
            "smtpd" => Mode::Daemon,
            _ => Mode::Enqueue,
        };
        Options {
            mode,
            sender: None,
            full_name: None,
            encoding: Encoding::default(),
            is_from_gateway: false,
            notify: Notify::default(),
            ret: None,
            envid: None,
            verp_delims: None,
            trace: None,
            dot_ends: true,
            takes_header_recipients: false,
            flush_site: None,
            flush_id: None,
            alias_database: None,
            has_interval: false,
            recipients: Vec::new(),
            verbosity: 0,
        }
    }

    /// Takes what getopt() would misread: a lone `-q`, a lone `-XV`, and `-V` as it was before Postfix 2.3.
    fn take_special(
        &mut self,
        program: &Program,
        settings: &Settings,
        getopt: &mut Getopt<'_>,
    ) -> Result<bool, Fatal> {
        let upcoming = getopt.upcoming();
        let Some(arg) = upcoming.first() else { return Ok(false) };
        let is_old_verp = arg == "-V" && upcoming.get(1).is_some_and(|next| next.len() == 2);
        if arg == "-q" {
            self.take_flush(program);
        } else if is_old_verp || arg == "-XV" {
            if is_old_verp {
                program.warning("option -V is deprecated with Postfix 2.3; specify -XV instead");
            }
            self.verp_delims = Some(settings.default_verp_delimiters.clone().into_bytes());
        } else if arg.len() == 4 && arg.as_bytes().starts_with(b"-V") {
            let (old, delims) = (arg.to_string_lossy(), &arg.as_bytes()[2..]);
            let new = &old[1..];
            program.warning(&format!("option {old} is deprecated with Postfix 2.3; specify -X{new} instead"));
            self.take_verp(settings, delims)?;
        } else {
            return Ok(false);
        }
        getopt.skip();
        Ok(true)
    }

    fn take(
        &mut self,
        program: &Program,
        settings: &Settings,
        letter: char,
        value: &OsStr,
    ) -> Result<(), Fatal> {
        let bytes = value.as_bytes();
        match letter {
            'n' => return Err(Fatal::new("-n option not supported")),
            'B' => self.encoding = encoding(bytes)?,
            'F' => self.full_name = Some(bytes.to_vec()),
            'G' => self.is_from_gateway = true,
            'I' => self.mode = Mode::Newaliases,
            'N' => self.take_notify(program, &value.to_string_lossy()),
            'R' => self.take_ret(program, bytes),
            'V' => self.take_envid(program, bytes),
            'X' if bytes.first() == Some(&b'V') => self.take_verp(settings, &bytes[1..])?,
            'X' => return Err(unsupported(letter, value)),
            'b' => self.take_mode(program, value)?,
            'f' | 'r' => self.sender = Some(bytes.to_vec()),
            'i' => self.dot_ends = false,
            'o' => self.take_old_option(bytes)?,
            'q' => self.take_queue_option(value)?,
            't' => self.takes_header_recipients = true,
            'v' => self.verbosity += 1,
            // Postfix: the other options, -O among them, are for other sendmails.
            _ => {}
        }
        Ok(())
    }

    fn take_flush(&mut self, program: &Program) {
        if self.mode == Mode::Daemon {
            program.warning("ignoring -q option in daemon mode");
        } else {
            self.mode = Mode::Flush;
        }
    }

    fn take_notify(&mut self, program: &Program, value: &str) {
        match notify(value) {
            Ok(notify) => self.notify = notify,
            Err(unknown) => {
                if let Some(word) = unknown {
                    program.warning(&format!("unknown DSN NOTIFY command value \"{word}\" in \"{value}\""));
                }
                program.warning("bad -N option value -- ignored");
            }
        }
    }

    fn take_ret(&mut self, program: &Program, value: &[u8]) {
        self.ret = match value.to_ascii_lowercase().as_slice() {
            b"full" => Some(Ret::Full),
            b"hdrs" => Some(Ret::Headers),
            _ => {
                program.warning("bad -R option value -- ignored");
                None
            }
        };
    }

    fn take_envid(&mut self, program: &Program, value: &[u8]) {
        let is_text = value.iter().all(|b| (32..127).contains(b));
        if value.len() > ENVID_LIMIT {
            program.warning("too long -V option value -- ignored");
        } else if !is_text {
            program.warning("bad syntax in -V option value -- ignored");
        } else {
            self.envid = Some(value.to_vec());
        }
    }

    fn take_verp(&mut self, settings: &Settings, delims: &[u8]) -> Result<(), Fatal> {
        let filter = &settings.verp_delimiter_filter;
        if delims.len() != 2 || !delims.iter().all(|d| filter.as_bytes().contains(d)) {
            return Err(Fatal::new(format!("-V requires two characters from {filter}")));
        }
        self.verp_delims = Some(delims.to_vec());
        Ok(())
    }

    fn take_mode(&mut self, program: &Program, value: &OsStr) -> Result<(), Fatal> {
        self.mode = match value.as_bytes().first() {
            Some(b'd' | b'l') => {
                if self.mode == Mode::Flush {
                    program.warning("ignoring -q option in daemon mode");
                }
                Mode::Daemon
            }
            Some(b'h' | b'H') => Mode::Nothing,
            Some(b'i') => Mode::Newaliases,
            Some(b'm') => Mode::Enqueue,
            Some(b'p') => Mode::Mailq,
            Some(b's') => Mode::StandAlone,
            Some(b'v') => {
                self.trace = Some(Trace::Verify);
                self.mode
            }
            _ => return Err(unsupported('b', value)),
        };
        Ok(())
    }

    fn take_old_option(&mut self, value: &[u8]) -> Result<(), Fatal> {
        match value {
            b"A" => return Err(Fatal::new("-oA requires pathname")),
            [b'A', path @ ..] => self.alias_database = Some(OsString::from_vec(path.to_vec())),
            [b'i', ..] => self.dot_ends = false,
            _ => {}
        }
        Ok(())
    }

    fn take_queue_option(&mut self, value: &OsStr) -> Result<(), Fatal> {
        let rest = || OsStr::from_bytes(&value.as_bytes()[1..]).to_owned();
        match value.as_bytes() {
            [b'0'..=b'9', ..] => self.has_interval = true,
            b"R" => return Err(Fatal::new("specify: -qRsitename")),
            b"I" => return Err(Fatal::new("specify: -qIqueueid")),
            [b'R', ..] => self.flush_site = Some(rest()),
            [b'I', ..] => self.flush_id = Some(rest()),
            _ => return Err(Fatal::new(format!("-q{} is not implemented", first_char(value)))),
        }
        Ok(())
    }

    /// Refuses what does not go together, and settles what `-v` means.
    fn check(&mut self) -> Result<(), Fatal> {
        let is_delivery = self.mode == Mode::Enqueue;
        let verifies = self.trace == Some(Trace::Verify);
        for (is_wrong, why) in [
            (self.takes_header_recipients && !is_delivery, "-t can be used only in delivery mode"),
            (self.flush_site.is_some() && !is_delivery, "-qR can be used only in delivery mode"),
            (self.flush_id.is_some() && !is_delivery, "-qI can be used only in delivery mode"),
            (verifies && self.takes_header_recipients, "-t option cannot be used with -bv"),
            (verifies && !self.notify.is_unset(), "-N option cannot be used with -bv"),
            (verifies && self.ret.is_some(), "-R option cannot be used with -bv"),
            (verifies && self.verbosity == 1, "-v option cannot be used with -bv"),
        ] {
            if is_wrong {
                return Err(Fatal::new(why));
            }
        }
        // Postfix: one -v asks for a report, more ask for debug output, of which there is none here.
        if self.verbosity == 1 && is_delivery {
            self.trace = Some(Trace::Record);
        }
        Ok(())
    }
}

fn encoding(value: &[u8]) -> Result<Encoding, Fatal> {
    match value {
        b"8BITMIME" => Ok(Encoding::EightBitMime),
        b"7BIT" => Ok(Encoding::SevenBit),
        _ => Err(Fatal::new("-B option needs 8BITMIME or 7BIT")),
    }
}

/// NOTIFY's value (RFC 3461 4.1). The error is a word that is unknown, or none if known words contradict each other.
fn notify(value: &str) -> Result<Notify, Option<String>> {
    let mut mask = Notify::default();
    for word in value.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        mask = mask.with(match word.to_ascii_uppercase().as_str() {
            "NEVER" => Notify::NEVER,
            "SUCCESS" => Notify::SUCCESS,
            "FAILURE" => Notify::FAILURE,
            "DELAY" => Notify::DELAY,
            _ => return Err(Some(word.to_owned())),
        });
    }
    let contradicts = mask.has(Notify::NEVER) && mask != Notify::NEVER;
    if mask.is_unset() || contradicts { Err(None) } else { Ok(mask) }
}

fn is(arg: Option<&OsString>, text: &str) -> bool {
    arg.is_some_and(|arg| arg == text)
}

fn unsupported(letter: char, value: &OsStr) -> Fatal {
    Fatal::new(format!("unsupported: -{letter}{}", first_char(value)))
}

fn first_char(value: &OsStr) -> String {
    value.to_string_lossy().chars().take(1).collect()
}

#[cfg(test)]
mod tests;
