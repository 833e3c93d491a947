//! What opening a table depends on beside its name: how files are opened, what is done with keys and values, and where
//! complaints go. It is a value that is cloned and adjusted for each use of a table.

use crate::servers::ServerType;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Opens a file for reading. The worker asks its parent for those that only root may read.
pub type OpenFile = Arc<dyn Fn(&Path) -> io::Result<File> + Send + Sync>;

/// Takes a line for the log.
pub type Report = Arc<dyn Fn(Severity, &str) + Send + Sync>;

/// What main.cf says of a parameter, expanded; None: nothing.
pub type MainCf = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What Postfix puts before a line's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `warning: `
    Warning,
    /// `error: `
    Error,
    /// Postfix ends its process with this. A server logs it as an error; a command ends with it, too.
    Fatal,
    /// What Postfix would not say: more about the line that follows. For a person at a terminal, or a log of our own.
    Hint,
}

/// What opening a table depends on.
#[derive(Clone)]
pub struct OpenContext {
    pub open_file: OpenFile,
    pub report: Report,
    /// Names and keys may be UTF-8, and must be if they are not ASCII (smtputf8_enable).
    pub smtputf8_enable: bool,
    /// Keys are folded to lower case, except for pattern tables.
    pub fold_keys: bool,
    /// Keys are folded for pattern tables too.
    pub fold_pattern_keys: bool,
    /// `$1` may be used in the results of pattern tables. Where a result says where mail or a delivery goes, it may not.
    pub allow_substitution: bool,
    /// `proxy:` may be used.
    pub allow_proxy: bool,
    /// Tables that anybody could answer for (tcp) may be used.
    pub allow_unauthenticated: bool,
    /// Values are names of files, whose content is the result.
    pub values_are_files: bool,
    /// A key that is there twice.
    pub duplicates: Duplicates,
    /// Whether Berkeley DB files have a NUL behind each key and value.
    pub terminators: Terminators,
    /// The format of source files.
    pub source_format: SourceFormat,
    /// Where a database file is missing but its source file is there, that is read instead.
    pub read_source_without_database: bool,
    /// A file that changes is noticed. Not for a command that is over in a moment.
    pub watch_files: bool,
    /// Database files up to this size are kept in memory; larger ones are read page by page.
    pub memory_limit_bytes: u64,
    /// The types that ask servers, [`servers::ALL`](crate::servers::ALL) or none: set-gid programs, which wait for no
    /// server, are built without them.
    pub servers: &'static [ServerType],
    /// For tables whose parameters are in main.cf: `mysql:name` has `name_query` and so on.
    pub main_cf: MainCf,
}

impl OpenContext {
    /// As Postfix's daemons open most of their tables.
    pub fn new(open_file: OpenFile, report: Report) -> OpenContext {
        OpenContext {
            open_file,
            report,
            smtputf8_enable: true,
            fold_keys: true,
            fold_pattern_keys: false,
            allow_substitution: true,
            allow_proxy: true,
            allow_unauthenticated: true,
            values_are_files: false,
            duplicates: Duplicates::Refuse,
            terminators: Terminators::Either,
            source_format: SourceFormat::Table,
            read_source_without_database: true,
            watch_files: true,
            memory_limit_bytes: 8 << 20,
            servers: &[],
            main_cf: Arc::new(|_| None),
        }
    }

    /// Files are opened as this process may; complaints go to `report`.
    pub fn plain(report: Report) -> OpenContext {
        OpenContext::new(Arc::new(|path: &Path| File::open(path)), report)
    }

    pub(crate) fn warn(&self, text: &str) {
        (self.report)(Severity::Warning, text);
    }

    pub(crate) fn error(&self, text: &str) {
        (self.report)(Severity::Error, text);
    }

    pub(crate) fn hint(&self, text: &str) {
        (self.report)(Severity::Hint, text);
    }
}

/// What is done with a key that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// The table is unusable.
    Refuse,
    /// A warning; the first value stays.
    Warn,
    /// The first value stays.
    Ignore,
    /// The last value stays.
    Replace,
}

/// Whether keys and values end with a NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminators {
    /// Both are tried until one is found to be right; files are written with it.
    Either,
    With,
    Without,
}

/// How a source file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceFormat {
    /// `key value`, for postmap(1).
    Table,
    /// `name: value`, aliases(5), for postalias(1).
    Aliases,
}
