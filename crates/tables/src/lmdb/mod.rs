//! `lmdb:` files: Lightning Memory-Mapped Databases of format 1, read and built without the library and without mapping
//! them. One database without a name, no duplicates: what Postfix makes.
//!
//! Here a file is always replaced whole; Postfix changes one in place. A file that changes while it is looked into is
//! seen by its transaction number.

mod read;
mod write;

pub(crate) use write::LmdbEditor;

use crate::nul::AtomicTerminators;
use crate::open::OpenError;
use crate::source::before_nul;
use crate::watched::{Content, FindError, Load, LoadError, Loaded, Stamp, Watched};
use crate::{OpenContext, Owner, Table, db_table, error_text, texthash};
use bytes::Bytes;
use read::Lmdb;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: u32 = 0xbeef_c0de;
const VERSION: u32 = 1;
/// Octets before a page's index of nodes.
const HEADER: usize = 16;
/// Octets of a node before its key.
const NODE: usize = 8;
/// No page.
const NO_PAGE: u64 = u64::MAX;
/// The longest key there can be.
pub(crate) const KEY_LIMIT: usize = 511;

/// Kinds of page.
mod kind {
    pub(super) const BRANCH: u16 = 1;
    pub(super) const LEAF: u16 = 2;
    pub(super) const OVERFLOW: u16 = 4;
    pub(super) const META: u16 = 8;
}

/// The data of the node is on pages of its own.
const BIG_DATA: u16 = 1;

/// Why a file cannot be read.
#[derive(Debug)]
pub(crate) enum LmdbError {
    Io(io::Error),
    /// It is no such file.
    NotLmdb,
    /// It contradicts itself.
    Damaged(&'static str),
    /// It was changed while it was looked into.
    Changed,
}

impl From<io::Error> for LmdbError {
    fn from(error: io::Error) -> LmdbError {
        LmdbError::Io(error)
    }
}

/// In the library's words where it has some.
impl std::fmt::Display for LmdbError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LmdbError::Io(error) => f.write_str(&error_text(error)),
            LmdbError::NotLmdb => f.write_str("MDB_INVALID: File is not an LMDB file"),
            LmdbError::Damaged(what) => {
                write!(f, "MDB_CORRUPTED: Located page was wrong type ({what})")
            }
            LmdbError::Changed => f.write_str("the file is being changed"),
        }
    }
}

/// What the library says of a key that is empty or, where it is to be stored, too long.
pub(crate) const BAD_KEY_SIZE: &str =
    "MDB_BAD_VALSIZE: Unsupported size of key/DB name/data, or wrong DUPFIXED size";

pub(crate) fn open(path: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let (source, database) = (PathBuf::from(path), PathBuf::from(format!("{path}.lmdb")));
    let mut paths = vec![database.clone()];
    if context.read_source_without_database {
        paths.push(source.clone());
    }
    let load_context = context.clone();
    let load: Load = Box::new(move |_| load_file(&source, &database, &load_context));
    Watched::open(format!("lmdb:{path}"), false, paths, load, context).map_err(OpenError::Unusable)
}

fn load_file(source: &Path, database: &Path, context: &OpenContext) -> Result<Loaded, LoadError> {
    let unusable = |why: &dyn std::fmt::Display| {
        LoadError::Unusable(format!("open database {}: {why}", database.display()))
    };
    let file = match (context.open_file)(database) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && context.read_source_without_database => {
            return texthash::load_source(source, 1, context).map_err(|_| unusable(&error_text(&error)));
        }
        Err(error) => return Err(unusable(&error_text(&error))),
    };
    let metadata = file.metadata().map_err(|error| unusable(&error_text(&error)))?;
    let lmdb = match Lmdb::open(file, context.memory_limit_bytes) {
        Ok(lmdb) => lmdb,
        Err(LmdbError::Changed) => return Err(LoadError::Busy),
        Err(error) => return Err(unusable(&error)),
    };
    db_table::warn_if_older(database, source, &metadata, context);
    let content = LmdbContent {
        lmdb,
        name: format!("lmdb:{}", source.display()),
        terminators: AtomicTerminators::new(context.terminators),
    };
    Ok(Loaded {
        content: Box::new(content),
        stamp: Some(Stamp::new(0, &metadata)),
        owner: Owner::of(metadata.uid()),
    })
}

struct LmdbContent {
    lmdb: Lmdb,
    /// With its type, as messages have it.
    name: String,
    terminators: AtomicTerminators,
}

impl LmdbContent {
    fn error_reading(&self, error: impl std::fmt::Display) -> String {
        format!("error reading {}: {error}", self.name)
    }
}

impl Content for LmdbContent {
    fn find(&self, key: &[u8]) -> Result<Option<Bytes>, FindError> {
        let find = |key: &[u8]| match key {
            b"" => Err(self.error_reading(BAD_KEY_SIZE)),
            key => self.lmdb.find(key).map_err(|error| self.error_reading(error)),
        };
        let found = self.terminators.find(key, find).map_err(FindError::Unreadable)?;
        Ok(found.map(|mut value| {
            value.truncate(before_nul(&value).len());
            value.into()
        }))
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), String>> {
        let mut visit_pair = |key: &[u8], value: &[u8]| visit(before_nul(key), before_nul(value));
        Some(self.lmdb.visit(&mut visit_pair).map_err(|error| self.error_reading(error)))
    }
}

/// Reads a file that may be anything, as a fuzz target does.
pub(crate) fn fuzz(file: File) {
    if let Ok(lmdb) = Lmdb::open(file, u64::MAX) {
        let mut keys = vec![b"postmaster\0".to_vec()];
        let _any = lmdb.visit(&mut |key, _| {
            if keys.len() < 1000 {
                keys.push(key.to_vec());
            }
        });
        for key in &keys {
            let _any = lmdb.find(key);
        }
    }
}
