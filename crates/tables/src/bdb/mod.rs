//! Berkeley DB files of version 5.3, which `hash:` and `btree:` tables are: read, built and edited without the library.
//!
//! What is here is what postmap(1) needs: single databases, no duplicates, no transactions. Checksummed and encrypted
//! files are refused. The layout that building a hash file gives is the library's own, bucket by bucket, so that
//! `postmap -s` lists it in the same order.

mod btree;
mod btree_write;
mod hash;
mod hash_edit;
mod page;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use btree_write::BtreeEditor;
pub(crate) use hash_edit::HashEditor;

use page::kind;
use std::fs::File;
use std::io;
use store::Store;

/// A key and its value, as stored.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// Why a database could not be read.
#[derive(Debug)]
pub(crate) enum DbError {
    Io(io::Error),
    /// It contradicts itself, or is cut short.
    Damaged(&'static str),
    /// It may be whole, but nothing Postfix makes.
    Unsupported(&'static str),
}

impl From<io::Error> for DbError {
    fn from(error: io::Error) -> DbError {
        DbError::Io(error)
    }
}

impl std::fmt::Display for DbError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DbError::Io(error) => f.write_str(&crate::error_text(error)),
            DbError::Damaged(what) => write!(f, "damaged database: {what}"),
            DbError::Unsupported(what) => write!(f, "unsupported database: {what}"),
        }
    }
}

/// An open database.
pub(crate) enum Database {
    Hash(HashDatabase),
    Btree(BtreeDatabase),
}

pub(crate) struct HashDatabase(hash::Hash);
pub(crate) struct BtreeDatabase(btree::Btree);

/// Which of the two a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Hash,
    Btree,
}

impl Database {
    /// Reads the file's metadata; a file up to the limit is read whole.
    pub(crate) fn open(file: File, memory_limit_bytes: u64) -> Result<Database, DbError> {
        let mut store = Store::read(file, memory_limit_bytes)?;
        let (method, page_size, swapped) = parse_meta(&store)?;
        store.set_layout(page_size, swapped)?;
        Ok(match method {
            Method::Hash => Database::Hash(HashDatabase(hash::Hash::open(store)?)),
            Method::Btree => Database::Btree(BtreeDatabase(btree::Btree::open(store)?)),
        })
    }

    pub(crate) fn method(&self) -> Method {
        match self {
            Database::Hash(_) => Method::Hash,
            Database::Btree(_) => Method::Btree,
        }
    }

    /// The value of exactly this key.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        match self {
            Database::Hash(hash) => hash.0.find(key),
            Database::Btree(btree) => btree.0.find(key),
        }
    }

    /// All pairs, in the order of the library's own cursor.
    pub(crate) fn pairs(&self) -> Pairs<'_> {
        Pairs {
            database: self,
            hash: hash::Cursor::default(),
            btree: btree::Cursor::default(),
            page: Vec::new().into_iter(),
            is_over: false,
        }
    }
}

/// See [`Database::pairs`]. Ends after the first error.
pub(crate) struct Pairs<'a> {
    database: &'a Database,
    hash: hash::Cursor,
    btree: btree::Cursor,
    page: std::vec::IntoIter<Pair>,
    is_over: bool,
}

impl Iterator for Pairs<'_> {
    type Item = Result<Pair, DbError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            if let Some(pair) = self.page.next() {
                return Some(Ok(pair));
            }
            let page = match self.database {
                Database::Hash(hash) => hash.0.pairs(&mut self.hash),
                Database::Btree(btree) => btree.0.pairs(&mut self.btree),
            };
            match page {
                Ok(Some(pairs)) => self.page = pairs.into_iter(),
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Method, page size and octet order, from the metadata page.
fn parse_meta(store: &Store) -> Result<(Method, u32, bool), DbError> {
    let bytes = store.bytes(0)?;
    let mut meta = store.page(&bytes);
    let magics =
        [(hash::MAGIC, Method::Hash, kind::HASH_META), (btree::MAGIC, Method::Btree, kind::BTREE_META)];
    for swapped in [false, true] {
        meta.swapped = swapped;
        let magic = meta.u32(12)?;
        let Some((_, method, page_kind)) = magics.iter().find(|(value, ..)| *value == magic) else {
            continue;
        };
        if meta.kind() != *page_kind {
            return Err(DbError::Damaged("a metadata page of the wrong type"));
        }
        // Encryption and checksums change where things are.
        if meta.bytes[24] != 0 || meta.bytes[26] & 1 != 0 {
            return Err(DbError::Unsupported("encryption or checksums"));
        }
        return Ok((*method, meta.u32(20)?, swapped));
    }
    Err(DbError::Unsupported("this is neither a hash nor a btree file"))
}

/// Reads all of a file that may be anything, as a fuzz target does.
pub(crate) fn fuzz(file: File) {
    let Ok(database) = Database::open(file, u64::MAX) else {
        return;
    };
    // As many as the file can hold; a damaged one may name pages twice.
    let mut keys: Vec<_> =
        database.pairs().take(100_000).filter_map(Result::ok).map(|(key, _)| key).collect();
    keys.push(b"postmaster\0".to_vec());
    for key in &keys {
        let _any = database.find(key);
    }
    if let Ok(mut editor) = HashEditor::from_database(database, [0; 20]) {
        let _any = editor.insert(b"new", b"value");
        let _any = keys.first().map(|key| editor.delete(key));
    }
}
