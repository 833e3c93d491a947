//! Building and changing database files.

use super::Command;
use crate::program::{Fatal, Run, reason};
use nix::sys::stat::{Mode as FileMode, umask};
use nix::unistd::{Gid, Uid, getegid, geteuid, getuid, setegid, seteuid, setgroups};
use std::fs::{File, Metadata};
use std::io::{self, BufRead, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};
use tables::SourceFormat;
use tables::edit::{Editor, Mode};
use tables::source::table::For;
use tables::source::{Entry, Item, aliases, table};

pub(super) fn build(command: &Command) -> Run {
    for spec in &command.options.tables {
        let (kind, path) = command.type_and_name(spec);
        Building { command, kind, path }.build()?;
    }
    Ok(0)
}

struct Building<'a> {
    command: &'a Command<'a>,
    kind: &'a str,
    path: &'a str,
}

impl Building<'_> {
    fn build(&self) -> Result<(), Fatal> {
        let mode = if self.command.options.incremental { Mode::Update } else { Mode::Create };
        if mode == Mode::Create && self.kind == "proxy" {
            return Err(Fatal::new("can't create maps via the proxy service"));
        }
        let mut source = self.open_source(mode)?;
        let umask_before = self.narrow_mode(&source.metadata);
        self.become_owner(&source)?;
        let context = self.command.context();
        let utf8 = context.smtputf8_enable;
        if source.metadata.is_dir() {
            self.command.program.hint(&format!("{} is a directory", self.path));
        }
        let mut editor =
            Editor::open(self.kind, self.path, mode, &context).map_err(|error| self.command.fatal(error))?;
        let text = source.read()?;
        let name = source.name.clone();
        match self.command.options.format {
            SourceFormat::Table => {
                self.add_all(&mut editor, table::Entries::new(&name, &text, utf8, For::Postmap), &name)?;
            }
            SourceFormat::Aliases => {
                self.add_all(&mut editor, aliases::Entries::new(&name, &text, utf8), &name)?;
                self.sign(&mut editor, mode)?;
            }
        }
        editor.commit().map_err(|error| self.command.fatal(error))?;
        if let Some(before) = umask_before {
            umask(before);
        }
        self.command.say_all();
        Ok(())
    }

    fn open_source(&self, mode: Mode) -> Result<Source, Fatal> {
        let failed = |error: &io::Error| Fatal::new(format!("open {}: {}", self.path, reason(error)));
        let (name, file) = if mode == Mode::Update {
            let stdin = io::stdin().as_fd().try_clone_to_owned();
            ("stdin".to_owned(), stdin.map(File::from).map_err(|error| failed(&error))?)
        } else {
            (self.path.to_owned(), File::open(self.path).map_err(|error| failed(&error))?)
        };
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        Ok(Source { name, file, metadata })
    }

    /// New files are not open to those whom the source is closed to.
    fn narrow_mode(&self, source: &Metadata) -> Option<FileMode> {
        let applies = self.command.options.save_mode && source.is_file();
        applies.then(|| umask(FileMode::from_bits_truncate(0o022 | (!source.mode() & 0o077))))
    }

    /// Root makes files as the source's owner, who may thus not make root write what they could not.
    fn become_owner(&self, source: &Source) -> Result<(), Fatal> {
        let (uid, gid) = (Uid::from_raw(source.metadata.uid()), Gid::from_raw(source.metadata.gid()));
        let is_other = (uid, gid) != (geteuid(), getegid());
        if !self.command.options.as_owner || !getuid().is_root() || !is_other {
            return Ok(());
        }
        become_user(uid, gid).map_err(|error| Fatal::new(format!("set effective uid/gid: {}", error.desc())))
    }

    fn add_all<'a>(
        &self,
        editor: &mut Editor,
        items: impl Iterator<Item = Item<'a>>,
        source: &str,
    ) -> Result<(), Fatal> {
        for item in items {
            match item {
                Item::Warning(text) => {
                    self.command.say_all();
                    self.command.program.warning(&text);
                }
                Item::Entry(entry) => self.add(editor, &entry, source)?,
            }
        }
        Ok(())
    }

    fn add(&self, editor: &mut Editor, entry: &Entry, source: &str) -> Result<(), Fatal> {
        if !self.command.options.values_are_files {
            return editor.put(&entry.key, &entry.value).map_err(|error| self.command.fatal(error));
        }
        match tables::file_to_value(&entry.value) {
            Ok(value) => editor.put(&entry.key, &value).map_err(|error| self.command.fatal(error)),
            Err(why) => {
                self.command.say_all();
                let text = format!("{source}, line {}: {why}: skipping this entry", entry.line);
                self.command.program.warning(&text);
                Ok(())
            }
        }
    }

    /// What sendmail looks for to see that the file is whole, and what NIS wants to know; the latter without NULs.
    fn sign(&self, editor: &mut Editor, mode: Mode) -> Result<(), Fatal> {
        if mode == Mode::Update {
            editor.replace_duplicates();
        }
        let fatal = |error| self.command.fatal(error);
        editor.put(b"@", b"@").map_err(fatal)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        editor.put_raw(b"YP_LAST_MODIFIED", format!("{now:010}").as_bytes()).map_err(fatal)?;
        editor.put_raw(b"YP_MASTER_NAME", self.command.settings.myhostname.as_bytes()).map_err(fatal)
    }
}

fn become_user(uid: Uid, gid: Gid) -> nix::Result<()> {
    if !geteuid().is_root() {
        seteuid(Uid::from_raw(0))?;
    }
    setegid(gid)?;
    setgroups(&[gid])?;
    seteuid(uid)
}

/// Where entries come from.
struct Source {
    /// As warnings call it.
    name: String,
    file: File,
    metadata: Metadata,
}

impl Source {
    fn read(&mut self) -> Result<Vec<u8>, Fatal> {
        let mut text = Vec::new();
        match self.file.read_to_end(&mut text) {
            // Postfix: a directory is an empty source.
            Err(error) if error.kind() != io::ErrorKind::IsADirectory => {
                Err(Fatal::new(format!("read {}: {}", self.name, reason(&error))))
            }
            _ => Ok(text),
        }
    }
}

/// Removes a key, or all that standard input names, from each table; the exit status is 1 if none was there.
pub(super) fn delete(command: &Command, key: &[u8]) -> Run {
    if key == b"-" {
        return delete_many(command);
    }
    let mut is_found = false;
    for spec in &command.options.tables {
        let mut editor = open_for_deletion(command, spec)?;
        is_found |= delete_one(command, &mut editor, key)?;
        editor.commit().map_err(|error| command.fatal(error))?;
    }
    Ok(u8::from(!is_found))
}

fn delete_many(command: &Command) -> Run {
    let mut editors = Vec::new();
    for (n, spec) in command.options.tables.iter().enumerate() {
        // One that is named twice is locked once.
        if !command.options.tables[..n].contains(spec) {
            editors.push(open_for_deletion(command, spec)?);
        }
    }
    let mut is_found = false;
    for key in io::stdin().lock().split(b'\n') {
        let key = key.map_err(|error| Fatal::new(format!("read stdin: {}", reason(&error))))?;
        for editor in &mut editors {
            is_found |= delete_one(command, editor, &key)?;
        }
    }
    for editor in editors {
        editor.commit().map_err(|error| command.fatal(error))?;
    }
    Ok(u8::from(!is_found))
}

fn open_for_deletion(command: &Command, spec: &str) -> Result<Editor, Fatal> {
    let (kind, path) = command.type_and_name(spec);
    Editor::open(kind, path, Mode::Delete, &command.context()).map_err(|error| command.fatal(error))
}

fn delete_one(command: &Command, editor: &mut Editor, key: &[u8]) -> Result<bool, Fatal> {
    editor.delete(key).map_err(|error| command.fatal(error))
}
