//! postmap(1) and postalias(1): build, change, query and list tables. They differ in the format they read and in few
//! options.

mod build;
mod message;
mod query;

use crate::getopt;
use crate::instance::Instance;
use crate::program::{Fatal, Program, Run};
use nix::sys::stat::{Mode, umask};
use params::{View, p};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use tables::{Duplicates, OpenContext, Severity, SourceFormat, Terminators};

pub(crate) fn postmap(program: &Program) -> Run {
    run(program, SourceFormat::Table)
}

pub(crate) fn postalias(program: &Program) -> Run {
    run(program, SourceFormat::Aliases)
}

fn run(program: &Program, format: SourceFormat) -> Run {
    let options = Options::parse(program, format)?;
    let instance = Instance::open(program, options.config_directory.as_deref())?;
    program.open_log(&instance.view);
    let mut mistakes = Vec::new();
    let settings = Settings {
        default_type: instance.view.get(p::default_database_type, &mut mistakes),
        smtputf8_enable: instance.view.get(p::smtputf8_enable, &mut mistakes),
        myhostname: instance.view.get(p::myhostname, &mut mistakes),
        view: instance.view.clone(),
    };
    instance.say(program, &mistakes)?;
    execute(program, &options, &settings)
}

/// postalias(1) without options, for newaliases(1).
pub(crate) fn rebuild_aliases(program: &Program, instance: &Instance, databases: &[String]) -> Run {
    let mut mistakes = Vec::new();
    let settings = Settings {
        default_type: instance.view.get(p::default_database_type, &mut mistakes),
        smtputf8_enable: instance.view.get(p::smtputf8_enable, &mut mistakes),
        myhostname: instance.view.get(p::myhostname, &mut mistakes),
        view: instance.view.clone(),
    };
    instance.say(program, &mistakes)?;
    let options = Options { tables: databases.to_vec(), ..Options::new(SourceFormat::Aliases) };
    execute(program, &options, &settings)
}

fn execute(program: &Program, options: &Options, settings: &Settings) -> Run {
    if options.keys != Keys::Lines {
        if !options.action.is_many() {
            return Err(Fatal::new("specify -b -h or -m only with \"-q -\""));
        }
        if options.keys == (Keys::Message { headers: false, body: false, mime: true }) {
            program.warning("ignoring -m option without -b or -h");
        }
    }
    if options.tables.is_empty() && !matches!(options.action, Action::List) {
        return Err(usage(program, options.format));
    }
    // Postfix: what the files are open to does not depend on who runs the command.
    umask(Mode::from_bits_truncate(0o022));
    let command = Command { program, options, settings, said: Arc::default() };
    let result = match &options.action {
        Action::Build => build::build(&command),
        Action::Delete(key) => build::delete(&command, key),
        Action::Query(key) => query::query(&command, key),
        Action::List => query::list(&command),
    };
    command.say_all();
    result
}

/// What main.cf decides.
struct Settings {
    default_type: String,
    smtputf8_enable: bool,
    myhostname: String,
    /// For tables whose parameters are in main.cf.
    view: View,
}

/// The command line.
struct Options {
    format: SourceFormat,
    config_directory: Option<String>,
    action: Action,
    keys: Keys,
    /// -i: entries are added.
    incremental: bool,
    /// Not -f.
    fold: bool,
    /// -F.
    values_are_files: bool,
    /// Not -o: as root, files are made as the source's owner.
    as_owner: bool,
    /// Not -p: files are no more open than the source is.
    save_mode: bool,
    duplicates: Duplicates,
    terminators: Terminators,
    /// Not -u.
    utf8: bool,
    /// -U: also with -b and -h.
    force_utf8: bool,
    tables: Vec<String>,
}

#[derive(Clone, PartialEq, Eq)]
enum Action {
    Build,
    Delete(Vec<u8>),
    Query(Vec<u8>),
    List,
}

impl Action {
    /// `-q -`: standard input has the keys.
    fn is_many(&self) -> bool {
        matches!(self, Action::Query(key) if key == b"-")
    }
}

/// What `-q -` reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// A key a line.
    Lines,
    /// A message, whose headers (-h) and lines (-b) are keys; -m looks into its parts.
    Message { headers: bool, body: bool, mime: bool },
}

impl Options {
    fn new(format: SourceFormat) -> Options {
        Options {
            format,
            config_directory: None,
            action: Action::Build,
            keys: Keys::Lines,
            incremental: false,
            fold: true,
            values_are_files: false,
            as_owner: true,
            save_mode: true,
            duplicates: Duplicates::Warn,
            terminators: Terminators::Either,
            utf8: true,
            force_utf8: false,
            tables: Vec::new(),
        }
    }

    fn parse(program: &Program, format: SourceFormat) -> Result<Options, Fatal> {
        let spec = match format {
            SourceFormat::Table => "bc:d:fFhimnNopq:rsuUvw",
            SourceFormat::Aliases => "Nc:d:finopq:rsuvw",
        };
        // Keys may be any octets: getopt sees each as a character, and afterwards they are octets again.
        let args: Vec<String> =
            program.args.iter().map(|arg| arg.as_bytes().iter().copied().map(char::from).collect()).collect();
        let parsed = getopt::parse(&args, spec);
        let mut options = Options::new(format);
        for (letter, value) in parsed.options {
            options.set(letter, octets(&value.unwrap_or_default()))?;
        }
        if let Some(complaint) = parsed.complaint {
            program.complain(&complaint);
            return Err(usage(program, format));
        }
        options.tables = parsed.operands.iter().map(|operand| text(octets(operand))).collect();
        Ok(options)
    }

    fn set(&mut self, letter: char, value: Vec<u8>) -> Result<(), Fatal> {
        match letter {
            'c' => self.config_directory = Some(text(value)),
            'd' => self.set_action(Action::Delete(value), "specify only one of -s -q or -d")?,
            'q' => self.set_action(Action::Query(value), "specify only one of -s -q or -d")?,
            's' if self.action == Action::List => {}
            's' => self.set_action(Action::List, "specify only one of -s or -q or -d")?,
            'b' | 'h' | 'm' => self.add_keys(letter),
            'f' => self.fold = false,
            'F' => self.values_are_files = true,
            'i' => self.incremental = true,
            'n' => self.terminators = Terminators::Without,
            'N' => self.terminators = Terminators::With,
            'o' => self.as_owner = false,
            'p' => self.save_mode = false,
            'r' => self.duplicates = Duplicates::Replace,
            'w' => self.duplicates = Duplicates::Ignore,
            'u' => self.utf8 = false,
            'U' => self.force_utf8 = true,
            // -v: there is nothing to be verbose about.
            _ => {}
        }
        Ok(())
    }

    fn set_action(&mut self, action: Action, complaint: &str) -> Result<(), Fatal> {
        if self.action != Action::Build {
            return Err(Fatal::new(complaint));
        }
        self.action = action;
        Ok(())
    }

    fn add_keys(&mut self, letter: char) {
        let (mut headers, mut body, mut mime) = match self.keys {
            Keys::Lines => (false, false, false),
            Keys::Message { headers, body, mime } => (headers, body, mime),
        };
        match letter {
            'h' => headers = true,
            'b' => body = true,
            _ => mime = true,
        }
        self.keys = Keys::Message { headers, body, mime };
    }
}

/// What characters below 256 stand for.
fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u8).collect()
}

fn text(octets: Vec<u8>) -> String {
    String::from_utf8_lossy(&octets).into_owned()
}

fn usage(program: &Program, format: SourceFormat) -> Fatal {
    let options = match format {
        SourceFormat::Table => "bfFhimnNoprsuUvw",
        SourceFormat::Aliases => "Nfinoprsuvw",
    };
    Fatal::new(format!(
        "usage: {} [-{options}] [-c config_dir] [-d key] [-q key] [map_type:]file...",
        program.name
    ))
}

fn main_cf(view: &View) -> tables::MainCf {
    let view = view.clone();
    Arc::new(move |name| view.lookup_set(name).and_then(|value| view.expand(value).ok()))
}

/// What the parts of the command work with.
struct Command<'a> {
    program: &'a Program,
    options: &'a Options,
    settings: &'a Settings,
    /// What tables reported and was not said yet.
    said: Arc<Mutex<Vec<(Severity, String)>>>,
}

impl Command<'_> {
    /// `type:name`, or a name of the default type.
    fn type_and_name<'t>(&'t self, table: &'t str) -> (&'t str, &'t str) {
        table.split_once(':').unwrap_or((&self.settings.default_type, table))
    }

    fn context(&self) -> OpenContext {
        let said = Arc::clone(&self.said);
        let report = move |severity, text: &str| {
            said.lock().unwrap_or_else(PoisonError::into_inner).push((severity, text.to_owned()));
        };
        let options = self.options;
        let reads_message = matches!(options.keys, Keys::Message { headers, body, .. } if headers || body);
        OpenContext {
            smtputf8_enable: self.settings.smtputf8_enable
                && options.utf8
                && (options.force_utf8 || !reads_message),
            fold_keys: options.fold,
            values_are_files: options.values_are_files,
            duplicates: options.duplicates,
            terminators: options.terminators,
            source_format: options.format,
            // Postfix: a table without its database is an error here, whatever the server makes of it.
            read_source_without_database: false,
            watch_files: false,
            // Most runs ask one thing.
            memory_limit_bytes: 0,
            servers: tables::servers::ALL,
            main_cf: main_cf(&self.settings.view),
            ..OpenContext::plain(Arc::new(report))
        }
    }

    /// Says what tables reported.
    fn say_all(&self) {
        for (severity, text) in self.said.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            match severity {
                Severity::Warning => self.program.warning(&text),
                Severity::Error => self.program.error(&text),
                // It ends the command, which says so.
                Severity::Fatal => {}
                Severity::Hint => self.program.hint(&text),
            }
        }
    }

    /// A fatal error, after all that was reported before it.
    fn fatal(&self, error: impl std::fmt::Display) -> Fatal {
        self.say_all();
        Fatal::new(error.to_string())
    }
}
