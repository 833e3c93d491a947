//! A table whose content comes from a file: the file is looked at before each lookup, and read again whole when it is
//! another one or was changed.
//!
//! What happens to the file decides what is answered: a changed file that cannot be used makes lookups fail until it is
//! mended (Postfix ends its process and starts with an unusable table); one that is being rewritten under a lock leaves
//! the old content in use until that is over.

use crate::{Found, Lookup, OpenContext, Owner, Severity, Table, TryLater};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

/// File times are no finer than a clock tick: a file that was changed less than this ago may change once more without
/// looking any different. It is read again once that long has passed.
const HOT: Duration = Duration::from_millis(50);
/// An unusable file that looks the same is tried again this often: its directory, say, may have been mended.
const RETRY: Duration = Duration::from_secs(1);

/// What a file says.
pub(crate) trait Content: Send + Sync {
    fn find(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, FindError>;

    /// None: cannot be listed.
    fn visit(&self, _visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), String>> {
        None
    }
}

/// Why a lookup failed.
pub(crate) enum FindError {
    /// The file cannot be read. Postfix ends the process with these words.
    Unreadable(String),
    /// The log knows already.
    Said(String),
}

/// Reads the file.
pub(crate) type Load = Box<dyn Fn(Wait) -> Result<Loaded, LoadError> + Send + Sync>;

/// Whether to wait for whoever is writing the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Yes,
    No,
}

pub(crate) struct Loaded {
    pub(crate) content: Box<dyn Content>,
    /// As fstat(2) told before the file was read. None: it cannot change.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) owner: Owner,
}

pub(crate) enum LoadError {
    /// Somebody is writing it.
    Busy,
    /// In Postfix's words.
    Unusable(String),
}

/// Which of the files was used, and how it looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: usize,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(crate) fn new(file: usize, metadata: &Metadata) -> Stamp {
        Stamp {
            file,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Whether the file was changed so lately that another change might not show.
    fn is_hot(&self) -> bool {
        let modified = SystemTime::UNIX_EPOCH
            + Duration::new(self.modified.0.max(0) as u64, self.modified.1.clamp(0, 999_999_999) as u32);
        // A time in the future stays hot; it costs a reading each HOT.
        modified.elapsed().is_ok_and(|age| age < HOT)
    }
}

pub(crate) struct Watched {
    name: String,
    is_pattern: bool,
    /// The files the content may come from; the first that exists counts.
    paths: Vec<PathBuf>,
    load: Load,
    report: crate::Report,
    state: RwLock<Arc<State>>,
    loading: Mutex<()>,
}

struct State {
    loaded: Result<(Box<dyn Content>, Owner), String>,
    /// What the files looked like. None: none was there.
    stamp: Option<Stamp>,
    /// The content is not from a file.
    is_fixed: bool,
    is_hot: bool,
    at: Instant,
}

impl Watched {
    /// Reads the file for the first time; unusable is an error.
    pub(crate) fn open(
        name: String,
        is_pattern: bool,
        paths: Vec<PathBuf>,
        load: Load,
        context: &OpenContext,
    ) -> Result<Arc<dyn Table>, String> {
        let state = match load(Wait::Yes) {
            Ok(loaded) => {
                let state = State::new(loaded);
                State { is_fixed: state.is_fixed || !context.watch_files, ..state }
            }
            Err(LoadError::Unusable(why)) => return Err(why),
            Err(LoadError::Busy) => return Err(format!("{name} is being rebuilt")),
        };
        let (report, state) = (context.report.clone(), RwLock::new(Arc::new(state)));
        Ok(Arc::new(Watched { name, is_pattern, paths, load, report, state, loading: Mutex::new(()) }))
    }

    /// What is valid now.
    fn current(&self) -> Arc<State> {
        let state = self.state();
        if state.is_fixed || !state.is_stale(&self.look()) {
            return state;
        }
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        // Another thread may have read it while this one waited.
        if !state.is_stale(&self.look()) {
            return state;
        }
        self.reload(state)
    }

    fn reload(&self, old: Arc<State>) -> Arc<State> {
        let new = match (self.load)(Wait::No) {
            Ok(loaded) => State::new(loaded),
            Err(LoadError::Busy) if old.loaded.is_ok() => return old,
            Err(LoadError::Busy) => State::unusable(format!("{} is being rebuilt", self.name), None),
            Err(LoadError::Unusable(why)) => {
                (self.report)(Severity::Fatal, &why);
                State::unusable(why, self.look().ok().flatten())
            }
        };
        let new = Arc::new(new);
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        new
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How the files look. An error: they cannot be looked at (a directory that this user may not search).
    fn look(&self) -> Result<Option<Stamp>, std::io::Error> {
        for (file, path) in self.paths.iter().enumerate() {
            match std::fs::metadata(path) {
                Ok(metadata) => return Ok(Some(Stamp::new(file, &metadata))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn refuse(&self, why: &str) -> TryLater {
        let text = format!("{} is unavailable. {why}", self.name);
        (self.report)(Severity::Warning, &text);
        TryLater(text)
    }

    fn find(&self, key: &[u8]) -> Found {
        match &self.current().loaded {
            Ok((content, _)) => content.find(key).map_err(|error| self.failed(error)),
            Err(why) => Err(self.refuse(why)),
        }
    }

    fn failed(&self, error: FindError) -> TryLater {
        let why = match error {
            FindError::Said(why) => why,
            FindError::Unreadable(why) => {
                (self.report)(Severity::Fatal, &why);
                why
            }
        };
        TryLater(format!("{} is unavailable. {why}", self.name))
    }
}

impl State {
    fn new(loaded: Loaded) -> State {
        State {
            is_fixed: loaded.stamp.is_none(),
            is_hot: loaded.stamp.as_ref().is_some_and(Stamp::is_hot),
            stamp: loaded.stamp,
            loaded: Ok((loaded.content, loaded.owner)),
            at: Instant::now(),
        }
    }

    fn unusable(why: String, stamp: Option<Stamp>) -> State {
        State { loaded: Err(why), stamp, is_fixed: false, is_hot: false, at: Instant::now() }
    }

    fn is_stale(&self, seen: &std::io::Result<Option<Stamp>>) -> bool {
        let age = self.at.elapsed();
        match seen {
            Ok(seen) if *seen != self.stamp => true,
            // What cannot be looked at is taken to be unchanged.
            _ if self.loaded.is_ok() => self.is_hot && age >= HOT,
            _ => age >= RETRY,
        }
    }
}

impl Table for Watched {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        Lookup::ready(self.find(key))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_pattern(&self) -> bool {
        self.is_pattern
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        match &self.current().loaded {
            Ok((content, _)) => {
                let listed = content.visit(visit)?;
                Some(listed.map_err(|why| self.failed(FindError::Unreadable(why))))
            }
            Err(why) => Some(Err(self.refuse(why))),
        }
    }

    fn owner(&self) -> Owner {
        match &self.current().loaded {
            Ok((_, owner)) => *owner,
            Err(_) => Owner::Unknown,
        }
    }
}
