//! The tables as their users see them: one suite for every type, changes of files, lists of tables.

#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

mod conformance;
mod files;
mod lists;
mod live;
mod patterns;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tables::edit::{Editor, Mode};
use tables::source::Item;
use tables::source::table::{Entries, For};
use tables::{Found, OpenContext, Severity, Table};

/// A folder for tables, and what was reported.
struct Place {
    folder: tempfile::TempDir,
    log: Arc<Mutex<Vec<String>>>,
    context: OpenContext,
}

impl Place {
    fn new() -> Place {
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let context = OpenContext::plain(Arc::new(move |severity, text| {
            let prefix = match severity {
                Severity::Warning => "warning",
                Severity::Error | Severity::Fatal => "error",
                Severity::Hint => return,
            };
            lines.lock().unwrap().push(format!("{prefix}: {text}"));
        }));
        Place { folder: tempfile::tempdir().unwrap(), log, context }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Builds a database of `text`, as postmap would.
    fn build(&self, kind: &str, name: &str, text: &str) -> String {
        let path = self.write(name, text);
        let mut editor = Editor::open(kind, &path, Mode::Create, &self.context).unwrap();
        for item in Entries::new(&path, text.as_bytes(), true, For::Postmap) {
            match item {
                Item::Entry(entry) => editor.put(&entry.key, &entry.value).unwrap(),
                Item::Warning(warning) => panic!("{warning}"),
            }
        }
        editor.commit().unwrap();
        format!("{kind}:{path}")
    }

    fn open(&self, spec: &str) -> Arc<dyn Table> {
        tables::open(spec, &self.context).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What was reported since the last time, with the folder's name left out.
    fn take_log(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        std::mem::take(&mut *self.log.lock().unwrap()).iter().map(|line| line.replace(&folder, "")).collect()
    }
}

/// Waits for a lookup with a runtime of its own.
fn get(table: &dyn Table, key: &str) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(table.get(key.as_bytes()))
}

/// The result as text: `-` is not found, `!` try later.
fn show(found: Found) -> String {
    match found {
        Ok(Some(value)) => String::from_utf8_lossy(&value).into_owned(),
        Ok(None) => "-".to_owned(),
        Err(_) => "!".to_owned(),
    }
}

fn check(table: &dyn Table, key: &str, expect: &str) {
    assert_eq!(show(get(table, key)), expect, "{} of {key:?}", table.name());
}

fn remove(path: impl AsRef<Path>) {
    std::fs::remove_file(path).unwrap();
}
