//! A disk in memory that remembers every operation, so that it can be shown as a crash at any moment would have left it; and
//! that fails, fills up, and writes short when told to.
//!
//! Nothing is durable before its sync: octets and sizes of files before the file's, names before the folder's. A sync that
//! fails loses what was not synced before, for good, while readers still see it: so does Linux.

use spool::disk::{Access, Disk, DiskFile};
use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

/// The unit in which a device loses or tears what was not synced.
const PAGE: usize = 4096;
/// The only file operation that takes longer if it fails: nobody waits for it.
const DEFAULT_CAPACITY: u64 = 1 << 30;

/// What happened, in order. Marks are the test's own.
#[derive(Clone, Debug)]
pub(crate) enum Step<M> {
    Create { file: usize, name: String },
    Write { file: usize, offset: u64, octets: Vec<u8> },
    Sync { file: usize },
    FailedSync { file: usize },
    Remove { name: String },
    SyncFolder { name: String },
    Mark(M),
}

/// A disk. Clones are the same disk.
pub(crate) struct SimDisk<M>(Arc<Mutex<Inner<M>>>);

impl<M> Clone for SimDisk<M> {
    fn clone(&self) -> SimDisk<M> {
        SimDisk(self.0.clone())
    }
}

struct Inner<M> {
    files: Vec<Vec<u8>>,
    names: BTreeMap<String, usize>,
    steps: Vec<Step<M>>,
    is_recording: bool,
    is_locked: Arc<AtomicBool>,
    capacity: u64,
    /// Asked before every operation.
    fault: Box<dyn FnMut(&Operation<'_>) -> Fault + Send>,
    /// Called before every sync of a file, while others may go on.
    slow_sync: Arc<dyn Fn(&str) + Send + Sync>,
}

/// An operation that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    Create(&'a str),
    Write(&'a str),
    Read(&'a str),
    Sync(&'a str),
    SyncFolder(&'a str),
    Remove(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// An errno.
    Error(i32),
    /// Writes or reads fewer octets than asked for.
    Short,
}

pub(crate) const EIO: i32 = 5;
pub(crate) const EINTR: i32 = 4;

impl<M: Clone + Send + 'static> SimDisk<M> {
    pub(crate) fn new() -> SimDisk<M> {
        SimDisk::with_files(BTreeMap::new())
    }

    fn with_files(files: BTreeMap<String, Vec<u8>>) -> SimDisk<M> {
        let names = files.keys().cloned().enumerate().map(|(n, name)| (name, n)).collect();
        let mut steps = Vec::new();
        // A disk begins with everything durable.
        for (file, (name, octets)) in files.iter().enumerate() {
            let folder = folder_of(name).to_owned();
            steps.push(Step::Create { file, name: name.clone() });
            steps.push(Step::Write { file, offset: 0, octets: octets.clone() });
            steps.push(Step::Sync { file });
            steps.push(Step::SyncFolder { name: folder });
        }
        SimDisk(Arc::new(Mutex::new(Inner {
            files: files.into_values().collect(),
            names,
            steps,
            is_recording: true,
            is_locked: Arc::default(),
            capacity: DEFAULT_CAPACITY,
            fault: Box::new(|_| Fault::None),
            slow_sync: Arc::new(|_| {}),
        })))
    }

    pub(crate) fn set_capacity(&self, octets: u64) {
        self.lock().capacity = octets;
    }

    /// Stops remembering, for tests that show no crash.
    pub(crate) fn forget(&self) {
        let mut inner = self.lock();
        inner.is_recording = false;
        inner.steps = Vec::new();
    }

    pub(crate) fn set_fault(&self, fault: impl FnMut(&Operation<'_>) -> Fault + Send + 'static) {
        self.lock().fault = Box::new(fault);
    }

    pub(crate) fn set_slow_sync(&self, slow_sync: impl Fn(&str) + Send + Sync + 'static) {
        self.lock().slow_sync = Arc::new(slow_sync);
    }

    /// Octets that files take.
    pub(crate) fn size(&self) -> u64 {
        self.lock().used()
    }

    pub(crate) fn mark(&self, mark: M) {
        self.lock().push(Step::Mark(mark));
    }

    pub(crate) fn steps(&self) -> Vec<Step<M>> {
        self.lock().steps.clone()
    }

    pub(crate) fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.lock();
        inner.names.get(name).map(|file| inner.files[*file].clone())
    }

    /// Changes a file behind the spool's back.
    pub(crate) fn change_file(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.lock();
        let file = inner.names[name];
        change(&mut inner.files[file]);
    }

    pub(crate) fn file_names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    /// The same files on a disk of their own.
    pub(crate) fn copy(&self) -> SimDisk<M> {
        let inner = self.lock();
        let files = inner.names.iter().map(|(name, file)| (name.clone(), inner.files[*file].clone()));
        SimDisk::with_files(files.collect())
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        self.0.lock().unwrap()
    }
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl<M> Inner<M> {
    fn push(&mut self, step: Step<M>) {
        if self.is_recording {
            self.steps.push(step);
        }
    }

    fn check(&mut self, operation: &Operation<'_>) -> io::Result<bool> {
        match (self.fault)(operation) {
            Fault::None => Ok(false),
            Fault::Short => Ok(true),
            Fault::Error(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| (self.files[*file].len() as u64).next_multiple_of(PAGE as u64)).sum()
    }
}

impl<M: Clone + Send + 'static> Disk for SimDisk<M> {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.lock();
        inner.check(&Operation::Create(name))?;
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = inner.files.len();
        inner.files.push(Vec::new());
        inner.names.insert(name.to_owned(), file);
        inner.push(Step::Create { file, name: name.to_owned() });
        Ok(Arc::new(SimFile { disk: self.clone(), file, name: name.to_owned() }))
    }

    fn open(&self, name: &str, _: Access) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.lock();
        let file = *inner.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), file, name: name.to_owned() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.check(&Operation::Remove(name))?;
        inner.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        inner.push(Step::Remove { name: name.to_owned() });
        Ok(())
    }

    fn create_folder(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let inner = self.lock();
        let names = inner.names.keys().filter(|name| folder_of(name) == folder);
        Ok(names.map(|name| name.rsplit('/').next().unwrap().to_owned()).collect())
    }

    fn sync_folder(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.check(&Operation::SyncFolder(name))?;
        inner.push(Step::SyncFolder { name: name.to_owned() });
        Ok(())
    }

    fn free_space(&self) -> io::Result<u64> {
        let inner = self.lock();
        Ok(inner.capacity.saturating_sub(inner.used()))
    }

    fn lock(&self, _: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        struct Unlock(Arc<AtomicBool>);
        impl Drop for Unlock {
            fn drop(&mut self) {
                self.0.store(false, SeqCst);
            }
        }
        let is_locked = SimDisk::lock(self).is_locked.clone();
        if is_locked.swap(true, SeqCst) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Unlock(is_locked)))
    }
}

struct SimFile<M> {
    disk: SimDisk<M>,
    file: usize,
    name: String,
}

impl<M: Clone + Send + 'static> DiskFile for SimFile<M> {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.lock();
        let is_short = inner.check(&Operation::Write(&self.name))?;
        let mut octets: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if is_short {
            octets.truncate(octets.len().div_ceil(2));
        }
        let end = offset as usize + octets.len();
        let grown = end.saturating_sub(inner.files[self.file].len().next_multiple_of(PAGE)) as u64;
        if grown > 0 && inner.used() + grown.next_multiple_of(PAGE as u64) > inner.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        write(&mut inner.files[self.file], offset as usize, &octets);
        let count = octets.len();
        inner.push(Step::Write { file: self.file, offset, octets });
        Ok(count)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.lock();
        let is_short = inner.check(&Operation::Read(&self.name))?;
        let rest = inner.files[self.file].get(offset as usize..).unwrap_or_default();
        let mut n = rest.len().min(buffer.len());
        if is_short {
            n = n.div_ceil(2);
        }
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn sync(&self) -> io::Result<()> {
        let slow_sync = self.disk.lock().slow_sync.clone();
        slow_sync(&self.name);
        let mut inner = self.disk.lock();
        match inner.check(&Operation::Sync(&self.name)) {
            Ok(_) => {
                inner.push(Step::Sync { file: self.file });
                Ok(())
            }
            // Nothing was tried yet, so nothing is lost.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                inner.push(Step::FailedSync { file: self.file });
                Err(error)
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.file].len() as u64)
    }
}

fn write(file: &mut Vec<u8>, offset: usize, octets: &[u8]) {
    if file.len() < offset + octets.len() {
        file.resize(offset + octets.len(), 0);
    }
    file[offset..offset + octets.len()].copy_from_slice(octets);
}

/// What becomes of what was not synced when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsynced {
    Lost,
    Kept,
    /// By a seed: names are kept up to a moment; of each write, pages are kept, lost or garbage.
    Random(u64),
}

/// A disk as it would be found after a crash behind the last of `steps`.
pub(crate) fn crashed<M: Clone + Send + 'static>(steps: &[Step<M>], unsynced: Unsynced) -> SimDisk<M> {
    let mut image = Image {
        unsynced,
        random: Random(if let Unsynced::Random(seed) = unsynced { seed } else { 0 }),
        files: Vec::new(),
        names: BTreeMap::new(),
        pending_names: Vec::new(),
    };
    steps.iter().for_each(|step| image.take(step));
    SimDisk::with_files(image.after())
}

struct Image {
    unsynced: Unsynced,
    random: Random,
    files: Vec<ImageFile>,
    names: BTreeMap<String, usize>,
    /// Names created (with their file) or removed since their folder was synced.
    pending_names: Vec<(String, Option<usize>)>,
}

#[derive(Default)]
struct ImageFile {
    durable: Vec<u8>,
    pending: Vec<(u64, Vec<u8>)>,
}

impl Image {
    fn take<M>(&mut self, step: &Step<M>) {
        match step {
            Step::Create { file, name } => {
                assert_eq!(*file, self.files.len());
                self.files.push(ImageFile::default());
                self.pending_names.push((name.clone(), Some(*file)));
            }
            Step::Write { file, offset, octets } => self.files[*file].pending.push((*offset, octets.clone())),
            Step::Sync { file } => {
                let file = &mut self.files[*file];
                for (offset, octets) in file.pending.drain(..) {
                    write(&mut file.durable, offset as usize, &octets);
                }
            }
            // What was written may be durable or not, whatever is synced later.
            Step::FailedSync { file } => self.decide(*file),
            Step::Remove { name } => self.pending_names.push((name.clone(), None)),
            Step::SyncFolder { name: folder } => {
                let pending = std::mem::take(&mut self.pending_names);
                for (name, file) in pending {
                    if folder_of(&name) == folder {
                        self.set_name(name, file);
                    } else {
                        self.pending_names.push((name, file));
                    }
                }
            }
            Step::Mark(_) => {}
        }
    }

    fn set_name(&mut self, name: String, file: Option<usize>) {
        match file {
            Some(file) => self.names.insert(name, file),
            None => self.names.remove(&name),
        };
    }

    /// What becomes of a file's octets that were not synced.
    fn decide(&mut self, file: usize) {
        let file = &mut self.files[file];
        for (offset, octets) in std::mem::take(&mut file.pending) {
            match self.unsynced {
                Unsynced::Lost => {}
                Unsynced::Kept => write(&mut file.durable, offset as usize, &octets),
                Unsynced::Random(_) => self.random.write_some(&mut file.durable, offset as usize, &octets),
            }
        }
    }

    fn after(mut self) -> BTreeMap<String, Vec<u8>> {
        let pending = std::mem::take(&mut self.pending_names);
        let kept = match self.unsynced {
            Unsynced::Lost => 0,
            Unsynced::Kept => pending.len(),
            Unsynced::Random(_) => self.random.below(pending.len() as u64 + 1) as usize,
        };
        for (name, file) in pending.into_iter().take(kept) {
            self.set_name(name, file);
        }
        (0..self.files.len()).for_each(|file| self.decide(file));
        self.names.into_iter().map(|(name, file)| (name, self.files[file].durable.clone())).collect()
    }
}

/// A small generator of numbers that look random.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn write_some(&mut self, file: &mut Vec<u8>, offset: usize, octets: &[u8]) {
        let mut at = 0;
        while at < octets.len() {
            let size = (PAGE - (offset + at) % PAGE).min(octets.len() - at);
            let page = &octets[at..at + size];
            match self.below(4) {
                0 => {}
                1 => {
                    let garbage: Vec<u8> = page.iter().map(|_| self.next() as u8).collect();
                    write(file, offset + at, &garbage);
                }
                _ => write(file, offset + at, page),
            }
            at += size;
        }
    }
}
