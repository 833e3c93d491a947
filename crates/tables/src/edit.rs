//! Building and changing database files: what postmap(1) and postalias(1) do, without their command lines.
//!
//! A file is read, changed in memory, and replaced whole. Cdb files are only ever built anew.

use crate::bdb::{BtreeEditor, Database, DbError, HashEditor, Method};
use crate::cdb::CdbEditor;
use crate::db_table::method_name;
use crate::fold::fold;
use crate::lmdb::{BAD_KEY_SIZE, KEY_LIMIT, LmdbEditor};
use crate::open::known_types;
use crate::replace::{Replacing, Step};
use crate::source::show;
use crate::{Duplicates, OpenContext, Terminators, error_text};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::PathBuf;

/// What is to become of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Built anew; the old content goes.
    Create,
    /// Entries are added; the file is made if it is missing.
    Update,
    /// Entries are removed from a file that exists.
    Delete,
}

/// Why a file could not be built or changed, in Postfix's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// No such type here.
    UnsupportedType(String),
    /// A type without files that could be built.
    NotBuilt(String),
    /// A type from which nothing can be removed.
    NotDeleted(String),
    /// Anything else.
    Other(String),
}

impl std::fmt::Display for EditError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EditError::UnsupportedType(kind) => {
                write!(f, "unsupported dictionary type: {kind}. Is the postfix-{kind} package installed?")
            }
            EditError::NotBuilt(kind) => {
                write!(f, "unsupported dictionary type: {kind} does not support bulk-mode creation.")
            }
            EditError::NotDeleted(table) => write!(f, "table {table}: delete operation is not supported"),
            EditError::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for EditError {}

/// A database file under way. Nothing of it is on the disk before [`Editor::commit`].
pub struct Editor {
    content: Content,
    replacing: Replacing,
    /// What messages about the content name it.
    shown: String,
    /// `path.db`.
    file: String,
    context: OpenContext,
    /// Whether a NUL goes behind each key and value.
    with_nul: Terminators,
}

enum Content {
    Hash(HashEditor),
    Btree(BtreeEditor),
    Cdb(CdbEditor),
    Lmdb(LmdbEditor),
}

impl Editor {
    /// `path` is the source file's: the database has it with a suffix.
    pub fn open(kind: &str, path: &str, mode: Mode, context: &OpenContext) -> Result<Editor, EditError> {
        match kind {
            "hash" => Editor::open_db(Method::Hash, path, mode, context),
            "btree" => Editor::open_db(Method::Btree, path, mode, context),
            "cdb" => Editor::open_cdb(path, mode, context),
            "lmdb" => Editor::open_lmdb(path, mode, context),
            _ => Err(refuse(kind, path, mode)),
        }
    }

    fn open_cdb(path: &str, mode: Mode, context: &OpenContext) -> Result<Editor, EditError> {
        if mode != Mode::Create {
            return Err(EditError::Other(
                "dict_cdb_open: inappropriate open flags for cdb database - specify O_RDONLY or \
                 O_WRONLY|O_CREAT|O_TRUNC"
                    .to_owned(),
            ));
        }
        let file = format!("{path}.cdb");
        let failed =
            |error: io::Error| EditError::Other(format!("open database {file}.tmp: {}", error_text(&error)));
        let replacing = Replacing::anew(&PathBuf::from(&file)).map_err(failed)?;
        let with_nul = match context.terminators {
            // Postfix: keys and values of this type have no NUL unless it is asked for.
            Terminators::Either => Terminators::Without,
            terminators => terminators,
        };
        let content = Content::Cdb(CdbEditor::default());
        // Postfix: messages name the source.
        Ok(Editor { content, replacing, shown: path.to_owned(), file, with_nul, context: context.clone() })
    }

    fn open_lmdb(path: &str, mode: Mode, context: &OpenContext) -> Result<Editor, EditError> {
        let file = format!("{path}.lmdb");
        let failed = |why: &dyn std::fmt::Display| EditError::Other(format!("open database {file}: {why}"));
        let replacing =
            Replacing::begin(&PathBuf::from(&file)).map_err(|error| failed(&error_text(&error)))?;
        // Postfix: an empty file becomes a database; a missing one, too, even if a key is to be removed.
        let old = replacing.old().filter(|old| old.metadata().is_ok_and(|metadata| metadata.len() > 0));
        let content = match old.map(File::try_clone) {
            None => LmdbEditor::default(),
            Some(Err(error)) => return Err(failed(&error_text(&error))),
            Some(Ok(old)) => {
                let editor = LmdbEditor::from_file(old).map_err(|error| failed(&error))?;
                if mode == Mode::Create { LmdbEditor::default() } else { editor }
            }
        };
        // Postfix: messages name the type, and the source.
        let shown = format!("lmdb:{path}");
        let (content, with_nul) = (Content::Lmdb(content), context.terminators);
        Ok(Editor { content, replacing, shown, file, with_nul, context: context.clone() })
    }

    fn open_db(method: Method, path: &str, mode: Mode, context: &OpenContext) -> Result<Editor, EditError> {
        let shown = format!("{path}.db");
        let open = if mode == Mode::Delete { "open database" } else { "open" };
        let failed = |error: io::Error| EditError::Other(format!("{open} {shown}: {}", error_text(&error)));
        let mut replacing = Replacing::begin(&PathBuf::from(&shown)).map_err(failed)?;
        let invalid = |why: &str| {
            context.hint(&format!("{shown}: {why}"));
            EditError::Other(format!("open database {shown}: Invalid argument"))
        };
        let is_empty = |old: &File| old.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if mode != Mode::Delete && replacing.old().is_some_and(is_empty) {
            replacing.remove_old().map_err(|error| {
                EditError::Other(format!(
                    "cannot remove zero-length database file {shown}: {}",
                    error_text(&error)
                ))
            })?;
            context.warn(&format!("removing zero-length database file: {shown}"));
        }
        let old = match (replacing.old(), mode) {
            (None, Mode::Delete) => {
                let missing = nix::errno::Errno::ENOENT.desc();
                return Err(EditError::Other(format!("open database {shown}: {missing}")));
            }
            (None, _) | (_, Mode::Create) => None,
            (Some(old), _) => Some(old.try_clone().map_err(failed)?),
        };
        let database = match old.map(|old| Database::open(old, u64::MAX)) {
            Some(Err(DbError::Io(error))) => return Err(failed(error)),
            Some(Err(error)) => return Err(invalid(&error.to_string())),
            Some(Ok(database)) if database.method() != method => {
                return Err(invalid(&format!("this is a {} file", method_name(database.method()))));
            }
            Some(Ok(database)) => Some(database),
            None => None,
        };
        let content = make_content(method, database).map_err(|error| invalid(&error.to_string()))?;
        let (file, with_nul) = (shown.clone(), context.terminators);
        Ok(Editor { content, replacing, shown, file, with_nul, context: context.clone() })
    }

    /// Adds an entry; the key is folded. One that is there already is treated as the context's `duplicates` says.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EditError> {
        let Some(key) = fold(key, self.context.fold_keys, self.context.smtputf8_enable) else {
            self.refuse_key(key);
            return Ok(());
        };
        if self.with_nul == Terminators::Without {
            return self.store(&key, value, &key);
        }
        self.with_nul = Terminators::With;
        self.store(&[&key, &b"\0"[..]].concat(), &[value, b"\0"].concat(), &key)
    }

    fn refuse_key(&self, key: &[u8]) {
        let (kind, name, key) = (self.content.kind(), &self.shown, show(key));
        self.context
            .warn(&format!("{kind}:{name}: non-UTF-8 key \"{key}\": malformed UTF-8 or invalid codepoint"));
    }

    /// Adds an entry as it is: not folded, without NULs (postalias(1)'s notes for NIS).
    pub fn put_raw(&mut self, key: &[u8], value: &[u8]) -> Result<(), EditError> {
        self.store(key, value, key)
    }

    fn store(&mut self, key: &[u8], value: &[u8], shown: &[u8]) -> Result<(), EditError> {
        if matches!(self.content, Content::Lmdb(_)) && !(1..=KEY_LIMIT).contains(&key.len()) {
            return Err(EditError::Other(format!("error updating {}: {BAD_KEY_SIZE}", self.shown)));
        }
        if self.context.duplicates == Duplicates::Replace {
            return self.content.replace(key, value).map_err(|error| self.failed_to_write(&error));
        }
        if self.content.insert(key, value).map_err(|error| self.failed_to_write(&error))? {
            return Ok(());
        }
        let duplicate = format!("{}: duplicate entry: \"{}\"", self.shown, show(shown));
        match self.context.duplicates {
            Duplicates::Refuse => return Err(EditError::Other(duplicate)),
            Duplicates::Warn => self.context.warn(&duplicate),
            Duplicates::Ignore | Duplicates::Replace => {}
        }
        Ok(())
    }

    /// From now on a key that is there already gets the new value.
    pub fn replace_duplicates(&mut self) {
        self.context.duplicates = Duplicates::Replace;
    }

    /// Removes a key, which is folded; whether it was there.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, EditError> {
        let Some(key) = fold(key, self.context.fold_keys, self.context.smtputf8_enable) else {
            self.refuse_key(key);
            // Postfix: that counts as done.
            return Ok(true);
        };
        let forms: [(Terminators, Vec<u8>); 2] =
            [(Terminators::With, [&key, &b"\0"[..]].concat()), (Terminators::Without, key.to_vec())];
        for (form, key) in forms {
            let may_be = self.with_nul == Terminators::Either || self.with_nul == form;
            if may_be && key.is_empty() && matches!(self.content, Content::Lmdb(_)) {
                return Err(EditError::Other(format!("error deleting from {}: {BAD_KEY_SIZE}", self.shown)));
            }
            if may_be && self.content.delete(&key).map_err(|error| self.failed_to_write(&error))? {
                self.with_nul = form;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts the file in place.
    pub fn commit(mut self) -> Result<(), EditError> {
        let file = self.file;
        self.replacing.commit(&mut |out| self.content.write(out)).map_err(|error| {
            let why = error_text(&error.error);
            EditError::Other(match self.content {
                Content::Cdb(_) if error.step == Step::Rename => {
                    format!("rename database from {file}.tmp to {file}: {why}")
                }
                _ => format!("open database {file}: {why}"),
            })
        })
    }

    fn failed_to_write(&self, error: &DbError) -> EditError {
        self.context.hint(&format!("{}: {error}", self.shown));
        EditError::Other(format!("error writing {}: Invalid argument", self.shown))
    }
}

fn make_content(method: Method, old: Option<Database>) -> Result<Content, DbError> {
    let id = file_id();
    Ok(match (method, old) {
        (Method::Hash, None) => Content::Hash(HashEditor::new(id)),
        (Method::Hash, Some(old)) => Content::Hash(HashEditor::from_database(old, id)?),
        (Method::Btree, None) => Content::Btree(BtreeEditor::new(id)),
        (Method::Btree, Some(old)) => Content::Btree(BtreeEditor::from_database(old, id)?),
    })
}

/// Tells a database from all others: only the library's shared caches care.
fn file_id() -> [u8; 20] {
    let mut id = [0; 20];
    for chunk in id.chunks_mut(8) {
        let random = RandomState::new().build_hasher().finish().to_ne_bytes();
        chunk.copy_from_slice(&random[..chunk.len()]);
    }
    id
}

impl Content {
    fn kind(&self) -> &'static str {
        match self {
            Content::Hash(_) => "hash",
            Content::Btree(_) => "btree",
            Content::Cdb(_) => "cdb",
            Content::Lmdb(_) => "lmdb",
        }
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<bool, DbError> {
        match self {
            Content::Hash(hash) => hash.insert(key, value),
            Content::Btree(btree) => Ok(btree.insert(key, value)),
            Content::Cdb(cdb) => Ok(cdb.insert(key, value)),
            Content::Lmdb(lmdb) => Ok(lmdb.insert(key, value)),
        }
    }

    fn replace(&mut self, key: &[u8], value: &[u8]) -> Result<(), DbError> {
        match self {
            Content::Hash(hash) => hash.replace(key, value),
            Content::Btree(btree) => {
                btree.replace(key, value);
                Ok(())
            }
            Content::Cdb(cdb) => {
                cdb.replace(key, value);
                Ok(())
            }
            Content::Lmdb(lmdb) => {
                lmdb.replace(key, value);
                Ok(())
            }
        }
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool, DbError> {
        match self {
            Content::Hash(hash) => hash.delete(key),
            Content::Btree(btree) => Ok(btree.delete(key)),
            Content::Cdb(_) => Err(DbError::Unsupported("removing from a constant database")),
            Content::Lmdb(lmdb) => Ok(lmdb.delete(key)),
        }
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Content::Hash(hash) => hash.write(out),
            Content::Btree(btree) => btree.write(out),
            Content::Cdb(cdb) => cdb.write(out),
            Content::Lmdb(lmdb) => lmdb.write(out),
        }
    }
}

/// The answer for a type that has no files, or none that can be changed.
fn refuse(kind: &str, path: &str, mode: Mode) -> EditError {
    let is_known = known_types().contains(&kind);
    match (mode, kind) {
        (Mode::Create, "proxy") => EditError::Other("can't create maps via the proxy service".to_owned()),
        (Mode::Create | Mode::Update, "fail") => {
            EditError::Other(format!("table fail:{path}: write error: Application error"))
        }
        (Mode::Create | Mode::Update, _) if is_known => EditError::NotBuilt(kind.to_owned()),
        (Mode::Create | Mode::Update, _) => EditError::UnsupportedType(kind.to_owned()),
        (Mode::Delete, "static" | "environ") => EditError::NotDeleted(format!("{kind}:{path}")),
        (Mode::Delete, "fail") => {
            EditError::Other(format!("table fail:{path}: delete error: Application error"))
        }
        (Mode::Delete, _) if is_known => {
            EditError::Other(format!("{kind}:{path} map requires O_RDONLY access mode"))
        }
        (Mode::Delete, _) => EditError::Other(format!("unsupported dictionary type: {kind}")),
    }
}
