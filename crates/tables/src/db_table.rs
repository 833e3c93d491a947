//! `hash:` and `btree:`: Berkeley DB files that postmap(1) makes, as tables.
//!
//! Where there is no database file, the source file is read instead.

use crate::bdb::{Database, DbError, Method};
use crate::nul::AtomicTerminators;
use crate::open::OpenError;
use crate::source::before_nul;
use crate::texthash;
use crate::watched::{Content, FindError, Load, LoadError, Loaded, Stamp, Wait, Watched};
use crate::{OpenContext, Owner, Table, error_text};
use bytes::Bytes;
use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A source file that is newer than its database is not complained of while it is this young: postmap is about to run.
const PATIENCE: Duration = Duration::from_secs(100);

pub(crate) fn open(method: Method, path: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let files = Files { method, source: path.into(), database: format!("{path}.db").into() };
    let mut paths = vec![files.database.clone()];
    if context.read_source_without_database {
        paths.push(files.source.clone());
    }
    let load_context = context.clone();
    let load: Load = Box::new(move |wait| files.load(&load_context, wait));
    let name = format!("{}:{path}", method_name(method));
    Watched::open(name, false, paths, load, context).map_err(OpenError::Unusable)
}

pub(crate) fn method_name(method: Method) -> &'static str {
    match method {
        Method::Hash => "hash",
        Method::Btree => "btree",
    }
}

struct Files {
    method: Method,
    source: PathBuf,
    database: PathBuf,
}

impl Files {
    fn load(&self, context: &OpenContext, wait: Wait) -> Result<Loaded, LoadError> {
        let unusable = |error: &io::Error| {
            LoadError::Unusable(format!("open database {}: {}", self.database.display(), error_text(error)))
        };
        match (context.open_file)(&self.database) {
            Ok(file) => self.read_database(file, context, wait),
            Err(error) if error.kind() == io::ErrorKind::NotFound && context.read_source_without_database => {
                texthash::load_source(&self.source, 1, context).map_err(|_| unusable(&error))
            }
            Err(error) => Err(unusable(&error)),
        }
    }

    fn read_database(&self, file: File, context: &OpenContext, wait: Wait) -> Result<Loaded, LoadError> {
        let unusable =
            |why: String| LoadError::Unusable(format!("open database {}: {why}", self.database.display()));
        lock(&file, wait).map_err(|error| match error {
            TryLockError::WouldBlock => LoadError::Busy,
            TryLockError::Error(error) => unusable(error_text(&error)),
        })?;
        let metadata = file.metadata().map_err(|error| unusable(error_text(&error)))?;
        let keeper = file.try_clone().map_err(|error| unusable(error_text(&error)))?;
        // The library has one errno for all of these.
        let invalid = |why: &str| {
            context.hint(&format!("{}: {why}", self.database.display()));
            unusable("Invalid argument".to_owned())
        };
        let database = Database::open(file, context.memory_limit_bytes).map_err(|error| match error {
            DbError::Io(error) => unusable(error_text(&error)),
            DbError::Damaged(_) | DbError::Unsupported(_) => invalid(&error.to_string()),
        })?;
        keeper.unlock().map_err(|error| unusable(error_text(&error)))?;
        if database.method() != self.method {
            return Err(invalid(&format!("this is a {} file", method_name(database.method()))));
        }
        warn_if_older(&self.database, &self.source, &metadata, context);
        let (database_path, terminators) =
            (self.database.clone(), AtomicTerminators::new(context.terminators));
        Ok(Loaded {
            content: Box::new(DbContent { database, path: database_path, terminators }),
            stamp: Some(Stamp::new(0, &metadata)),
            owner: Owner::of(metadata.uid()),
        })
    }
}

/// Postfix: a source file that was changed after its database was built is worth a warning at each opening.
pub(crate) fn warn_if_older(database: &Path, source: &Path, metadata: &Metadata, context: &OpenContext) {
    let Ok(of_source) = std::fs::metadata(source) else {
        return;
    };
    let is_old_enough = of_source
        .modified()
        .is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > PATIENCE));
    if of_source.mtime() > metadata.mtime() && is_old_enough {
        let (database, source) = (database.display(), source.display());
        context.warn(&format!("database {database} is older than source file {source}"));
    }
}

/// The lock that Postfix's postmap holds against readers while it rewrites a file in its place.
fn lock(file: &File, wait: Wait) -> Result<(), TryLockError> {
    match wait {
        Wait::Yes => file.lock_shared().map_err(TryLockError::Error),
        Wait::No => file.try_lock_shared(),
    }
}

struct DbContent {
    database: Database,
    path: PathBuf,
    terminators: AtomicTerminators,
}

impl DbContent {
    fn find_raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.database.find(key).map_err(|why| error_reading(&self.path, &why.to_string()))
    }
}

fn error_reading(path: &Path, why: &str) -> String {
    format!("error reading {}: {why}", path.display())
}

impl Content for DbContent {
    fn find(&self, key: &[u8]) -> Result<Option<Bytes>, FindError> {
        let found = self.terminators.find(key, |key| self.find_raw(key)).map_err(FindError::Unreadable)?;
        Ok(found.map(|mut value| {
            value.truncate(before_nul(&value).len());
            value.into()
        }))
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), String>> {
        for pair in self.database.pairs() {
            match pair {
                Ok((key, value)) => visit(before_nul(&key), before_nul(&value)),
                Err(why) => return Some(Err(error_reading(&self.path, &why.to_string()))),
            }
        }
        Some(Ok(()))
    }
}
