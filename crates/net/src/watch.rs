//! Files that are read once and read again when they change: `resolv.conf`, `hosts`, `services`.
//!
//! A look at the file's stamp is a system call on a local file and happens at most once in [`LOOK_EVERY`]; nothing here
//! waits for the network.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a file may have changed before it is noticed.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The parsed content of a file, as fresh as [`LOOK_EVERY`].
pub(crate) struct Watched<T> {
    path: PathBuf,
    parse: fn(&str) -> T,
    state: Mutex<State<T>>,
}

struct State<T> {
    looked: Option<Instant>,
    stamp: Option<Stamp>,
    value: Arc<T>,
}

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl<T> Watched<T> {
    /// `parse` is given the empty text if there is no such file.
    pub(crate) fn new(path: impl Into<PathBuf>, parse: fn(&str) -> T) -> Watched<T> {
        let state = State { looked: None, stamp: None, value: Arc::new(parse("")) };
        Watched { path: path.into(), parse, state: Mutex::new(state) }
    }

    /// The content now. A file that cannot be read leaves the last content standing.
    pub(crate) fn get(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            state.looked = Some(Instant::now());
            self.look(&mut state);
        }
        state.value.clone()
    }

    fn look(&self, state: &mut State<T>) {
        let stamp = Stamp::of_path(&self.path);
        if stamp == state.stamp {
            return;
        }
        if let Ok(text) = fs::read(&self.path) {
            state.value = Arc::new((self.parse)(&String::from_utf8_lossy(&text)));
            state.stamp = stamp;
        }
    }
}

impl Stamp {
    pub(crate) fn of_path(path: &Path) -> Option<Stamp> {
        fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))
    }

    pub(crate) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again_and_a_lost_one_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let watched = Watched::new(&path, |text| text.len());
        let look = |watched: &Watched<usize>| {
            watched.state.lock().unwrap().looked = None;
            *watched.get()
        };
        assert_eq!(look(&watched), 0);
        fs::write(&path, "abc").unwrap();
        assert_eq!(look(&watched), 3);
        fs::write(&path, "abcd").unwrap();
        assert_eq!(*watched.get(), 3, "not before its time");
        assert_eq!(look(&watched), 4);
        fs::remove_file(&path).unwrap();
        assert_eq!(look(&watched), 4);
    }
}
