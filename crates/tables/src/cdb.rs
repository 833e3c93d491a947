//! `cdb:` files: Daniel Bernstein's constant database, read and built. Everything in it is little-endian.

use crate::nul::AtomicTerminators;
use crate::open::OpenError;
use crate::source::before_nul;
use crate::watched::{Content, FindError, Load, LoadError, Loaded, Stamp, Watched};
use crate::{OpenContext, Owner, Table, db_table, error_text, texthash};
use bytes::Bytes;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Hash tables in a file; a key is in the one that its hash's last octet names.
const TABLES: usize = 256;
/// The pointers to the tables: position and slots, two words each.
const HEADER: u64 = 8 * TABLES as u64;

pub(crate) fn open(path: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let (source, database) = (PathBuf::from(path), PathBuf::from(format!("{path}.cdb")));
    let mut paths = vec![database.clone()];
    if context.read_source_without_database {
        paths.push(source.clone());
    }
    let load_context = context.clone();
    let load: Load = Box::new(move |_| load_file(&source, &database, &load_context));
    Watched::open(format!("cdb:{path}"), false, paths, load, context).map_err(OpenError::Unusable)
}

fn load_file(source: &Path, database: &Path, context: &OpenContext) -> Result<Loaded, LoadError> {
    let unusable = |error: &io::Error| {
        LoadError::Unusable(format!("open database {}: {}", database.display(), error_text(error)))
    };
    let file = match (context.open_file)(database) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && context.read_source_without_database => {
            return texthash::load_source(source, 1, context).map_err(|_| unusable(&error));
        }
        Err(error) => return Err(unusable(&error)),
    };
    let metadata = file.metadata().map_err(|error| unusable(&error))?;
    let store = Store::read(file, context.memory_limit_bytes).map_err(|error| {
        // A directory, too, is no database to the library.
        let why = if error.kind() == io::ErrorKind::IsADirectory { damaged() } else { error };
        LoadError::Unusable(format!(
            "dict_cdbq_open: unable to init {}: {}",
            database.display(),
            error_text(&why)
        ))
    })?;
    db_table::warn_if_older(database, source, &metadata, context);
    let content = CdbContent {
        store,
        path: database.to_owned(),
        terminators: AtomicTerminators::new(context.terminators),
    };
    Ok(Loaded {
        content: Box::new(content),
        stamp: Some(Stamp::new(0, &metadata)),
        owner: Owner::of(metadata.uid()),
    })
}

struct CdbContent {
    store: Store,
    path: PathBuf,
    terminators: AtomicTerminators,
}

impl Content for CdbContent {
    fn find(&self, key: &[u8]) -> Result<Option<Bytes>, FindError> {
        let find = |key: &[u8]| {
            let path = self.path.display();
            self.store.find(key).map_err(|error| format!("error reading {path}: {}", error_text(&error)))
        };
        let found = self.terminators.find(key, find).map_err(FindError::Unreadable)?;
        Ok(found.map(|mut value| {
            value.truncate(before_nul(&value).len());
            value.into()
        }))
    }
}

enum Store {
    Memory(Vec<u8>),
    /// The pointers to the tables are in memory nevertheless.
    Disk {
        file: File,
        pointers: Vec<u8>,
    },
}

impl Store {
    fn read(file: File, memory_limit_bytes: u64) -> io::Result<Store> {
        let length = file.metadata()?.len();
        if length < HEADER {
            return Err(damaged());
        }
        if length > memory_limit_bytes {
            let mut pointers = vec![0; HEADER as usize];
            file.read_exact_at(&mut pointers, 0)?;
            return Ok(Store::Disk { file, pointers });
        }
        let mut bytes = sys::memory::large_buffer(length as usize);
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Store::Memory(bytes))
    }

    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        match self {
            Store::Memory(bytes) => {
                let from = usize::try_from(at).ok().and_then(|at| bytes.get(at..)?.get(..to.len()));
                to.copy_from_slice(from.ok_or_else(damaged)?);
                Ok(())
            }
            Store::Disk { file, pointers } => {
                match usize::try_from(at).ok().and_then(|at| pointers.get(at..)?.get(..to.len())) {
                    Some(from) => {
                        to.copy_from_slice(from);
                        Ok(())
                    }
                    None => file.read_exact_at(to, at).map_err(|error| match error.kind() {
                        io::ErrorKind::UnexpectedEof => damaged(),
                        _ => error,
                    }),
                }
            }
        }
    }

    /// As much as there is.
    fn read_up_to(&self, at: u64, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Store::Memory(bytes) => {
                let from = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let length = from.len().min(to.len());
                to[..length].copy_from_slice(&from[..length]);
                Ok(length)
            }
            Store::Disk { file, .. } => {
                let mut length = 0;
                while length < to.len() {
                    match file.read_at(&mut to[length..], at + length as u64)? {
                        0 => break,
                        more => length += more,
                    }
                }
                Ok(length)
            }
        }
    }

    /// Two words.
    fn pair(&self, at: u64) -> io::Result<(u32, u32)> {
        let mut words = [0; 8];
        self.read_at(at, &mut words)?;
        pair_at(&words, 0)
    }

    fn find(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let hash = hash(key);
        let (table, slots) = self.pair(u64::from(hash % TABLES as u32) * 8)?;
        let mut window = Window { first: 0, count: 0, bytes: [0; 8 * WINDOW_SLOTS as usize] };
        for n in 0..slots {
            // A probe past the last slot goes on with the first.
            let slot = (u64::from(hash >> 8) + u64::from(n)) % u64::from(slots);
            let (found, record) = window.pair(self, u64::from(table), slot, u64::from(slots))?;
            if record == 0 {
                return Ok(None);
            }
            if found == hash
                && let Some(value) = self.value(u64::from(record), key)?
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The value of the record, if it has this key.
    fn value(&self, record: u64, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        if let Store::Memory(bytes) = self {
            let record = usize::try_from(record).ok().and_then(|at| bytes.get(at..)).ok_or_else(damaged)?;
            return value_in_memory(record, key);
        }
        // One reading is enough for most records.
        let mut bytes = [0; RECORD_BYTES];
        let length = self.read_up_to(record, &mut bytes)?;
        let (key_length, value_length) = pair_at(&bytes[..length], 0)?;
        if key_length as usize != key.len() {
            return Ok(None);
        }
        let value_at = 8 + key.len();
        let end = value_at + value_length as usize;
        if let Some(whole) = bytes[..length].get(8..end) {
            let (stored, value) = whole.split_at(key.len());
            return Ok((stored == key).then(|| value.to_vec()));
        }
        self.check_length(record + end as u64)?;
        let mut whole = vec![0; end - 8];
        self.read_at(record + 8, &mut whole)?;
        Ok(whole.starts_with(key).then(|| whole.split_off(key.len())))
    }

    fn check_length(&self, end: u64) -> io::Result<()> {
        let length = match self {
            Store::Memory(bytes) => bytes.len() as u64,
            Store::Disk { file, .. } => file.metadata()?.len(),
        };
        if end > length { Err(damaged()) } else { Ok(()) }
    }
}

/// As [`Store::value`], without a copy of what is not asked for.
fn value_in_memory(record: &[u8], key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let (key_length, value_length) = pair_at(record, 0)?;
    if key_length as usize != key.len() {
        return Ok(None);
    }
    let end = 8 + key.len() + value_length as usize;
    let (stored, value) = record.get(8..end).ok_or_else(damaged)?.split_at(key.len());
    Ok((stored == key).then(|| value.to_vec()))
}

/// Slots that are read at a time.
const WINDOW_SLOTS: u64 = 16;
/// What is read of a record at a time.
const RECORD_BYTES: usize = 512;

/// Slots that were read together: probes are neighbours.
struct Window {
    first: u64,
    count: u64,
    bytes: [u8; 8 * WINDOW_SLOTS as usize],
}

impl Window {
    /// What is in a slot of the table.
    fn pair(&mut self, store: &Store, table: u64, slot: u64, slots: u64) -> io::Result<(u32, u32)> {
        if let Store::Memory(_) = store {
            return store.pair(table + 8 * slot);
        }
        if !(self.first..self.first + self.count).contains(&slot) {
            self.first = slot;
            self.count = WINDOW_SLOTS.min(slots - slot);
            store.read_at(table + 8 * slot, &mut self.bytes[..8 * self.count as usize])?;
        }
        pair_at(&self.bytes, 8 * (slot - self.first) as usize)
    }
}

fn pair_at(bytes: &[u8], at: usize) -> io::Result<(u32, u32)> {
    let words: &[u8; 8] = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(damaged)?;
    let [a, b, c, d, e, f, g, h] = *words;
    Ok((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
}

fn damaged() -> io::Error {
    io::Error::from_raw_os_error(nix::libc::EPROTO)
}

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381, |hash: u32, &octet| (hash << 5).wrapping_add(hash) ^ u32::from(octet))
}

/// A key and its value.
type Record = (Box<[u8]>, Box<[u8]>);

/// The content of a cdb file in memory.
#[derive(Default)]
pub(crate) struct CdbEditor {
    records: Vec<Record>,
    /// Where a key is among the records.
    places: HashMap<Box<[u8]>, usize>,
}

impl CdbEditor {
    /// Adds a pair; false, and nothing done, if the key is there already.
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) -> bool {
        if self.places.contains_key(key) {
            return false;
        }
        self.places.insert(key.into(), self.records.len());
        self.records.push((key.into(), value.into()));
        true
    }

    pub(crate) fn replace(&mut self, key: &[u8], value: &[u8]) {
        match self.places.get(key) {
            Some(&at) => self.records[at].1 = value.into(),
            None => {
                self.insert(key, value);
            }
        }
    }

    /// The file as it is to be stored.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        let mut body = Vec::new();
        let mut tables: Vec<Vec<(u32, u32)>> = vec![Vec::new(); TABLES];
        for (key, value) in &self.records {
            let at = u32::try_from(HEADER + body.len() as u64).map_err(|_| too_large())?;
            let hash = hash(key);
            tables[hash as usize % TABLES].push((hash, at));
            push_pair(&mut body, key.len() as u32, value.len() as u32);
            body.extend_from_slice(key);
            body.extend_from_slice(value);
        }
        let mut header = Vec::with_capacity(HEADER as usize);
        for table in &tables {
            let at = u32::try_from(HEADER + body.len() as u64).map_err(|_| too_large())?;
            push_pair(&mut header, at, 2 * table.len() as u32);
            lay_out(table).iter().for_each(|&(hash, at)| push_pair(&mut body, hash, at));
        }
        u32::try_from(HEADER + body.len() as u64).map_err(|_| too_large())?;
        out.write_all(&header)?;
        out.write_all(&body)
    }
}

/// A hash table with twice as many slots as entries.
fn lay_out(entries: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut slots = vec![(0, 0); 2 * entries.len()];
    for &(hash, at) in entries {
        let mut slot = (hash >> 8) as usize % slots.len();
        while slots[slot].1 != 0 {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = (hash, at);
    }
    slots
}

fn push_pair(out: &mut Vec<u8>, first: u32, second: u32) {
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&second.to_le_bytes());
}

/// Looks into a file that may be anything; for the fuzz target of that name.
pub(crate) fn fuzz(data: &[u8]) {
    let store = Store::Memory(data.to_vec());
    for key in [&b""[..], b"a", b"postmaster\0", &data[..data.len().min(9)]] {
        let _any = store.find(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(count: usize) -> Vec<u8> {
        let mut editor = CdbEditor::default();
        for n in 0..count {
            assert!(editor.insert(format!("key{n}").as_bytes(), format!("value{n}").as_bytes()));
        }
        assert!(count == 0 || !editor.insert(b"key0", b"other"));
        let mut out = Vec::new();
        editor.write(&mut out).unwrap();
        out
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 1000] {
            let bytes = build(count);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            for store in [Store::Memory(bytes), Store::read(file, 0).unwrap()] {
                for n in 0..count {
                    let value = store.find(format!("key{n}").as_bytes()).unwrap();
                    assert_eq!(value, Some(format!("value{n}").into_bytes()));
                }
                assert_eq!(store.find(b"nokey").unwrap(), None);
            }
        }
    }

    #[test]
    fn long_records() {
        let mut editor = CdbEditor::default();
        for length in [500, 504, 505, 512, 5000] {
            editor.insert(&vec![b'k'; length], &vec![b'v'; length]);
        }
        let mut out = Vec::new();
        editor.write(&mut out).unwrap();
        let store = Store::Memory(out);
        for length in [500, 504, 505, 512, 5000] {
            assert_eq!(store.find(&vec![b'k'; length]).unwrap(), Some(vec![b'v'; length]));
            assert_eq!(store.find(&vec![b'x'; length]).unwrap(), None);
        }
    }

    #[test]
    fn replacing() {
        let mut editor = CdbEditor::default();
        editor.insert(b"a", b"1");
        editor.replace(b"a", b"2");
        editor.replace(b"b", b"3");
        let mut out = Vec::new();
        editor.write(&mut out).unwrap();
        let store = Store::Memory(out);
        assert_eq!(store.find(b"a").unwrap(), Some(b"2".to_vec()));
        assert_eq!(store.find(b"b").unwrap(), Some(b"3".to_vec()));
    }

    proptest::proptest! {
        /// A damaged file is an error or a wrong answer, never a panic or a loop.
        #[test]
        fn damage(flips in proptest::collection::vec((0usize..4000, 0u8..=255), 0..20), cut in 0usize..6000) {
            let mut bytes = build(50);
            for (at, octet) in flips {
                let at = at % bytes.len();
                bytes[at] = octet;
            }
            bytes.truncate(cut);
            let store = Store::Memory(bytes.clone());
            for n in 0..50 {
                let _any = store.find(format!("key{n}").as_bytes());
            }
            fuzz(&bytes);
        }
    }
}
