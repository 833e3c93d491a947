//! Building btree files: the pairs are collected in order and written leaf by leaf, then level by level.

use super::hash_edit::write_overflow_page;
use super::page::{HEADER, NO_PAGE, kind};
use super::store::Store;
use super::{Database, DbError, btree};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Write};

const PAGE_SIZE: usize = 4096;
/// Keys that a page must be able to hold, from which follows how long an item may be.
const MIN_KEYS: usize = 2;
/// Longer items get pages of their own.
const ITEM_LIMIT: usize = (PAGE_SIZE - HEADER) / (2 * MIN_KEYS) - 10;
const ROOT: u32 = 1;

/// The content of a btree file in memory.
pub(crate) struct BtreeEditor {
    pairs: BTreeMap<Box<[u8]>, Box<[u8]>>,
    file_id: [u8; 20],
}

impl BtreeEditor {
    /// An empty table. `file_id` tells the file from all others.
    pub(crate) fn new(file_id: [u8; 20]) -> BtreeEditor {
        BtreeEditor { pairs: BTreeMap::new(), file_id }
    }

    pub(crate) fn from_database(database: Database, file_id: [u8; 20]) -> Result<BtreeEditor, DbError> {
        let mut editor = BtreeEditor::new(file_id);
        for pair in database.pairs() {
            let (key, value) = pair?;
            editor.insert(&key, &value);
        }
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
        let store = self.lay_out().map_err(|error| io::Error::other(error.to_string()))?;
        out.write_all(store.memory())
    }

    fn lay_out(&self) -> Result<Store, DbError> {
        let mut layout = Layout { store: Store::new(PAGE_SIZE, 2) };
        let mut level = 1;
        let mut nodes = layout.leaves(&self.pairs)?;
        while nodes.len() > 1 {
            level += 1;
            nodes = layout.internal_pages(&nodes, level)?;
        }
        layout.move_to_root(nodes[0].page)?;
        layout.write_meta(&self.file_id)?;
        Ok(layout.store)
    }
}

/// A page with the key that separates it from the one before it.
struct Node {
    page: u32,
    separator: Vec<u8>,
}

struct Layout {
    store: Store,
}

/// A page that is being filled.
struct Filling {
    page: u32,
    entries: usize,
    high: usize,
}

impl Filling {
    /// Whether items of these sizes (already rounded up) fit.
    fn has_room(&self, sizes: &[usize]) -> bool {
        let wanted: usize = sizes.iter().map(|size| size + 2).sum();
        self.high - (HEADER + 2 * self.entries) >= wanted
    }
}

impl Layout {
    /// All leaves; one if there are no pairs.
    fn leaves(&mut self, pairs: &BTreeMap<Box<[u8]>, Box<[u8]>>) -> Result<Vec<Node>, DbError> {
        let mut filling = self.start(1, kind::BTREE_LEAF)?;
        let mut nodes = vec![Node { page: filling.page, separator: Vec::new() }];
        let mut last_key: &[u8] = b"";
        for (key, value) in pairs {
            let sizes = [leaf_size(key), leaf_size(value)];
            if !filling.has_room(&sizes) {
                let next = self.start(1, kind::BTREE_LEAF)?;
                self.store.page_mut(filling.page)?.set_next(next.page);
                self.store.page_mut(next.page)?.set_previous(filling.page);
                nodes.push(Node { page: next.page, separator: separator(last_key, key) });
                filling = next;
            }
            self.put_leaf_item(&mut filling, key)?;
            self.put_leaf_item(&mut filling, value)?;
            last_key = key;
        }
        Ok(nodes)
    }

    fn internal_pages(&mut self, children: &[Node], level: u8) -> Result<Vec<Node>, DbError> {
        let mut filling = self.start(level, kind::BTREE_INTERNAL)?;
        let mut nodes = vec![Node { page: filling.page, separator: Vec::new() }];
        for child in children {
            let item = self.internal_item(child)?;
            if !filling.has_room(&[align(item.len())]) {
                filling = self.start(level, kind::BTREE_INTERNAL)?;
                nodes.push(Node { page: filling.page, separator: child.separator.clone() });
            }
            self.put(&mut filling, &item)?;
        }
        Ok(nodes)
    }

    fn start(&mut self, level: u8, kind: u8) -> Result<Filling, DbError> {
        let page = self.allocate()?;
        self.store.page_mut(page)?.format(page, NO_PAGE, NO_PAGE, level, kind);
        Ok(Filling { page, entries: 0, high: PAGE_SIZE })
    }

    fn allocate(&mut self) -> Result<u32, DbError> {
        self.store.grow(1)?;
        Ok(self.store.count - 1)
    }

    fn put_leaf_item(&mut self, filling: &mut Filling, data: &[u8]) -> Result<(), DbError> {
        let item = if data.len() > ITEM_LIMIT {
            self.overflow_item(data)?
        } else {
            let mut item = Vec::with_capacity(3 + data.len());
            item.extend_from_slice(&(data.len() as u16).to_ne_bytes());
            item.push(btree::KEYDATA);
            item.extend_from_slice(data);
            item
        };
        self.put(filling, &item)
    }

    /// The separator and the child it leads to.
    fn internal_item(&mut self, child: &Node) -> Result<Vec<u8>, DbError> {
        let (item_kind, data) = if child.separator.len() > ITEM_LIMIT {
            (btree::OVERFLOW, self.overflow_item(&child.separator)?)
        } else {
            (btree::KEYDATA, child.separator.clone())
        };
        let mut item = Vec::with_capacity(12 + data.len());
        item.extend_from_slice(&(data.len() as u16).to_ne_bytes());
        item.extend_from_slice(&[item_kind, 0]);
        item.extend_from_slice(&child.page.to_ne_bytes());
        // The count of records below, which only trees with record numbers have.
        item.extend_from_slice(&[0; 4]);
        item.extend_from_slice(&data);
        Ok(item)
    }

    fn overflow_item(&mut self, data: &[u8]) -> Result<Vec<u8>, DbError> {
        let (mut first, mut previous) = (NO_PAGE, NO_PAGE);
        for chunk in data.chunks(PAGE_SIZE - HEADER) {
            let number = self.allocate()?;
            write_overflow_page(&mut self.store.page_mut(number)?, number, previous, chunk);
            match previous {
                NO_PAGE => first = number,
                previous => self.store.page_mut(previous)?.set_next(number),
            }
            previous = number;
        }
        let mut item = vec![0, 0, btree::OVERFLOW, 0];
        item.extend_from_slice(&first.to_ne_bytes());
        item.extend_from_slice(&(data.len() as u32).to_ne_bytes());
        Ok(item)
    }

    fn put(&mut self, filling: &mut Filling, item: &[u8]) -> Result<(), DbError> {
        let mut page = self.store.page_mut(filling.page)?;
        filling.high -= align(item.len());
        page.0[filling.high..filling.high + item.len()].copy_from_slice(item);
        page.set_u16(HEADER + 2 * filling.entries, filling.high);
        filling.entries += 1;
        page.set_u16(20, filling.entries);
        page.set_u16(22, filling.high);
        Ok(())
    }

    /// The root of a new tree is page 1; the page it was built on becomes a free one.
    fn move_to_root(&mut self, page: u32) -> Result<(), DbError> {
        let bytes = self.store.bytes(page)?.into_owned();
        let mut root = self.store.page_mut(ROOT)?;
        root.0.copy_from_slice(&bytes);
        root.set_u32(8, ROOT);
        self.store.page_mut(page)?.format(page, NO_PAGE, NO_PAGE, 0, kind::FREE);
        self.store.page_mut(0)?.set_u32(28, page);
        Ok(())
    }

    fn write_meta(&mut self, file_id: &[u8; 20]) -> Result<(), DbError> {
        let last = self.store.count - 1;
        let mut meta = self.store.page_mut(0)?;
        meta.set_u32(12, btree::MAGIC);
        meta.set_u32(16, btree::VERSION);
        meta.set_u32(20, PAGE_SIZE as u32);
        meta.0[25] = kind::BTREE_META;
        meta.set_u32(32, last);
        meta.0[52..72].copy_from_slice(file_id);
        meta.set_u32(76, MIN_KEYS as u32);
        // The padding of fixed-length records, which there are none of: a blank, as the library writes.
        meta.set_u32(84, 0x20);
        meta.set_u32(88, ROOT);
        Ok(())
    }
}

/// Octets of an item on a leaf.
fn leaf_size(data: &[u8]) -> usize {
    if data.len() > ITEM_LIMIT { 12 } else { align(3 + data.len()) }
}

/// Items begin at multiples of four.
fn align(size: usize) -> usize {
    size.next_multiple_of(4)
}

/// The shortest text above `left` that is not above `right`.
fn separator(left: &[u8], right: &[u8]) -> Vec<u8> {
    let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    right[..(common + 1).min(right.len())].to_vec()
}
