//! Building: the pairs are collected in order and written leaf by leaf, then level by level, as the first transaction
//! of a new file.

use super::read::Lmdb;
use super::{BIG_DATA, HEADER, LmdbError, MAGIC, NO_PAGE, NODE, VERSION, kind};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Write};

const PAGE_SIZE: usize = 4096;
/// Larger nodes have their data on pages of its own: a page must be able to hold two.
const NODE_LIMIT: usize = (PAGE_SIZE - HEADER) / 2 - 2;
/// lmdb_map_size, which is kept in the file: what it may grow to.
const MAP_SIZE: u64 = 16 << 20;
/// Flags that the library keeps in the file: numbers as keys of the database of free pages, and no folder of its own.
const FREE_FLAGS: u16 = 0x4008;

/// The content of an LMDB file in memory.
#[derive(Default)]
pub(crate) struct LmdbEditor {
    pairs: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl LmdbEditor {
    pub(crate) fn from_file(file: File) -> Result<LmdbEditor, LmdbError> {
        let mut editor = LmdbEditor::default();
        Lmdb::open(file, u64::MAX)?.visit(&mut |key, value| {
            editor.insert(key, value);
        })?;
        Ok(editor)
    }

    /// Adds a pair; false, and nothing done, if the key is there already.
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) -> bool {
        match self.pairs.entry(key.into()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(value.into());
                true
            }
        }
    }

    pub(crate) fn replace(&mut self, key: &[u8], value: &[u8]) {
        self.pairs.insert(key.into(), value.into());
    }

    /// Removes a key; whether it was there.
    pub(crate) fn delete(&mut self, key: &[u8]) -> bool {
        self.pairs.remove(key).is_some()
    }

    /// The file as it is to be stored.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut layout = Layout { bytes: vec![0; 2 * PAGE_SIZE], counts: Counts::default() };
        let mut nodes = layout.leaves(&self.pairs);
        while nodes.len() > 1 {
            nodes = layout.branches(&nodes);
        }
        let root = nodes.first().map_or(NO_PAGE, |node| node.page);
        layout.counts.entries = self.pairs.len() as u64;
        layout.write_metas(root);
        out.write_all(&layout.bytes)
    }
}

/// A page with the key that separates it from the one before it.
struct Child {
    page: u64,
    separator: Box<[u8]>,
}

/// What the metadata says of the tree.
#[derive(Default)]
struct Counts {
    depth: u16,
    branches: u64,
    leaves: u64,
    overflow: u64,
    entries: u64,
}

struct Layout {
    bytes: Vec<u8>,
    counts: Counts,
}

/// A page that is being filled.
struct Filling {
    page: u64,
    lower: usize,
    upper: usize,
}

impl Filling {
    fn has_room(&self, node: usize) -> bool {
        self.upper - self.lower >= node + 2
    }
}

/// Nodes begin at even offsets.
fn even(size: usize) -> usize {
    size.next_multiple_of(2)
}

impl Layout {
    fn leaves(&mut self, pairs: &BTreeMap<Box<[u8]>, Box<[u8]>>) -> Vec<Child> {
        let mut children: Vec<Child> = Vec::new();
        let mut filling: Option<Filling> = None;
        for (key, value) in pairs {
            let is_big = NODE + key.len() + value.len() > NODE_LIMIT;
            let size = even(NODE + key.len() + if is_big { 8 } else { value.len() });
            if filling.as_ref().is_none_or(|page| !page.has_room(size)) {
                let page = self.start(kind::LEAF);
                self.counts.leaves += 1;
                children.push(Child { page: page.page, separator: key.clone() });
                filling = Some(page);
            }
            let overflow = is_big.then(|| self.write_overflow(value));
            if let Some(page) = &mut filling {
                let length = value.len();
                let head =
                    [(length & 0xffff) as u16, (length >> 16) as u16, if is_big { BIG_DATA } else { 0 }];
                match overflow {
                    Some(number) => self.put(page, head, key, &number.to_ne_bytes()),
                    None => self.put(page, head, key, value),
                }
            }
        }
        self.counts.depth = u16::from(!children.is_empty());
        children
    }

    fn branches(&mut self, below: &[Child]) -> Vec<Child> {
        self.counts.depth += 1;
        let mut children: Vec<Child> = Vec::new();
        let mut filling: Option<Filling> = None;
        for child in below {
            let is_first =
                filling.as_ref().is_none_or(|page| !page.has_room(even(NODE + child.separator.len())));
            if is_first {
                let page = self.start(kind::BRANCH);
                self.counts.branches += 1;
                children.push(Child { page: page.page, separator: child.separator.clone() });
                filling = Some(page);
            }
            // The first key of a branch is not looked at and left out.
            let key: &[u8] = if is_first { b"" } else { &child.separator };
            let head = [child.page as u16, (child.page >> 16) as u16, (child.page >> 32) as u16];
            if let Some(page) = &mut filling {
                self.put(page, head, key, b"");
            }
        }
        children
    }

    fn start(&mut self, flags: u16) -> Filling {
        let page = self.allocate(1, flags);
        Filling { page, lower: HEADER, upper: PAGE_SIZE }
    }

    /// New pages at the end, the first one with a header.
    fn allocate(&mut self, pages: usize, flags: u16) -> u64 {
        let number = (self.bytes.len() / PAGE_SIZE) as u64;
        let at = self.bytes.len();
        self.bytes.resize(at + pages * PAGE_SIZE, 0);
        self.set(at, &number.to_ne_bytes());
        self.set(at + 10, &flags.to_ne_bytes());
        number
    }

    fn write_overflow(&mut self, data: &[u8]) -> u64 {
        let pages = (HEADER + data.len()).div_ceil(PAGE_SIZE);
        let number = self.allocate(pages, kind::OVERFLOW);
        let at = number as usize * PAGE_SIZE;
        self.set(at + 12, &(pages as u32).to_ne_bytes());
        self.set(at + HEADER, data);
        self.counts.overflow += pages as u64;
        number
    }

    fn put(&mut self, filling: &mut Filling, head: [u16; 3], key: &[u8], data: &[u8]) {
        let at = filling.page as usize * PAGE_SIZE;
        filling.upper -= even(NODE + key.len() + data.len());
        let node = at + filling.upper;
        for (n, field) in head.iter().enumerate() {
            self.set(node + 2 * n, &field.to_ne_bytes());
        }
        self.set(node + 6, &(key.len() as u16).to_ne_bytes());
        self.set(node + NODE, key);
        self.set(node + NODE + key.len(), data);
        self.set(at + filling.lower, &(filling.upper as u16).to_ne_bytes());
        filling.lower += 2;
        self.set(at + 12, &(filling.lower as u16).to_ne_bytes());
        self.set(at + 14, &(filling.upper as u16).to_ne_bytes());
    }

    /// The first metadata page is of an empty file; the second, newer one of this.
    fn write_metas(&mut self, root: u64) {
        let last_page = (self.bytes.len() / PAGE_SIZE - 1) as u64;
        let counts = std::mem::take(&mut self.counts);
        self.write_meta(0, &Counts::default(), NO_PAGE, 1);
        self.write_meta(1, &counts, root, last_page);
    }

    fn write_meta(&mut self, number: usize, counts: &Counts, root: u64, last_page: u64) {
        let at = number * PAGE_SIZE;
        self.set(at, &(number as u64).to_ne_bytes());
        self.set(at + 10, &kind::META.to_ne_bytes());
        let at = at + HEADER;
        self.set(at, &MAGIC.to_ne_bytes());
        self.set(at + 4, &VERSION.to_ne_bytes());
        let map_size = MAP_SIZE.max((last_page + 1) * PAGE_SIZE as u64);
        self.set(at + 16, &map_size.to_ne_bytes());
        // The database of free pages, which is empty.
        let free = at + 24;
        self.set(free, &(PAGE_SIZE as u32).to_ne_bytes());
        self.set(free + 4, &FREE_FLAGS.to_ne_bytes());
        self.set(free + 40, &NO_PAGE.to_ne_bytes());
        let main = free + 48;
        self.set(main + 6, &counts.depth.to_ne_bytes());
        let totals = [counts.branches, counts.leaves, counts.overflow, counts.entries, root, last_page];
        for (n, total) in totals.iter().enumerate() {
            self.set(main + 8 + 8 * n, &total.to_ne_bytes());
        }
        self.set(at + 24 + 104, &(number as u64).to_ne_bytes());
    }

    fn set(&mut self, at: usize, octets: &[u8]) {
        self.bytes[at..at + octets.len()].copy_from_slice(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn build(count: usize) -> (Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>) {
        let mut editor = LmdbEditor::default();
        let mut expect = BTreeMap::new();
        for n in 0..count {
            let mut key = format!("user{}", n * 7919 % (count + 1)).into_bytes();
            key.resize(key.len() + if n % 19 == 3 { 480 } else { n % 11 }, b'k');
            let length = if n % 50 == 13 { 1500 + 97 * (n % 90) } else { n % 23 };
            let value = vec![b'v'; length];
            editor.insert(&key, &value);
            expect.entry(key).or_insert(value);
        }
        let mut out = Vec::new();
        editor.write(&mut out).unwrap();
        (out, expect)
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 2, 100, 20_000] {
            let (bytes, expect) = build(count);
            for memory_limit_bytes in [0, u64::MAX] {
                let lmdb = Lmdb::open(file_of(&bytes), memory_limit_bytes).unwrap();
                for (key, value) in &expect {
                    assert_eq!(lmdb.find(key).unwrap().as_ref(), Some(value));
                    assert_eq!(lmdb.find(&[key, &b"?"[..]].concat()).unwrap(), None);
                }
                assert_eq!(lmdb.find(b"").unwrap(), None);
                let mut listed = BTreeMap::new();
                lmdb.visit(&mut |key, value| {
                    listed.insert(key.to_vec(), value.to_vec());
                })
                .unwrap();
                assert_eq!(listed, expect);
            }
        }
    }

    #[test]
    fn a_file_that_is_none() {
        for bytes in [&b"garbage"[..], &[0; 8192]] {
            let error = Lmdb::open(file_of(bytes), 0).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some("MDB_INVALID: File is not an LMDB file"));
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile() {
        let (bytes, expect) = build(100);
        let file = file_of(&bytes);
        let lmdb = Lmdb::open(file.try_clone().unwrap(), 0).unwrap();
        let key = expect.keys().next().unwrap();
        assert!(lmdb.find(key).is_ok());
        // The number of the first page's transaction, raised above the other's.
        std::os::unix::fs::FileExt::write_at(&file, &[9], (HEADER + 24 + 104) as u64).unwrap();
        assert!(matches!(lmdb.find(key), Err(LmdbError::Changed)));
    }

    proptest::proptest! {
        /// A damaged file is an error or a wrong answer, never a panic or a loop.
        #[test]
        fn damage(
            count in 1usize..600, flips in proptest::collection::vec((0usize..200_000, 0u8..=255), 0..12),
            head_flips in proptest::collection::vec((4096usize..4300, 0u8..=255), 0..3), cut in 0usize..200_000,
        ) {
            let (mut bytes, _) = build(count);
            for (at, octet) in flips.into_iter().chain(head_flips) {
                let at = at % bytes.len();
                bytes[at] = octet;
            }
            if cut % 3 == 0 {
                bytes.truncate(cut % bytes.len());
            }
            super::super::fuzz(file_of(&bytes));
        }
    }
}
