//! Building and changing hash files, in memory, as the library itself would: the table grows by one bucket whenever a
//! bucket needs another page, and the buckets are split in turn.

use super::hash::{self, Buckets, GROUPS, Hash, HashPage, KEYDATA, OFF_PAGE};
use super::page::{HEADER, NO_PAGE, PageMut, kind};
use super::store::Store;
use super::{Database, DbError, HashDatabase};
use std::io::{self, Write};

const PAGE_SIZE: usize = 4096;
/// What Postfix says a table will hold, which the library keeps as the count of an empty one.
const ELEMENTS_EXPECTED: u32 = 4096;
/// Octets of an item that points to a chain of pages.
const OFF_PAGE_ITEM: usize = 12;

/// A hash file in memory.
pub(crate) struct HashEditor {
    store: Store,
    buckets: Buckets,
    /// The first page of the list of free pages.
    free: u32,
    elements: u32,
    file_id: [u8; 20],
}

/// Where a key is, or where it would go.
enum Place {
    Found { page: u32, index: usize },
    Missing { page: u32 },
}

impl HashEditor {
    /// An empty table. `file_id` tells the file from all others.
    pub(crate) fn new(file_id: [u8; 20]) -> HashEditor {
        let mut spares = [0; GROUPS];
        spares[..2].fill(1);
        let mut editor = HashEditor {
            store: Store::new(PAGE_SIZE, 3),
            buckets: Buckets { max: 1, high_mask: 1, low_mask: 0, spares },
            free: NO_PAGE,
            elements: ELEMENTS_EXPECTED,
            file_id,
        };
        for number in 1..3 {
            if let Ok(mut page) = editor.store.page_mut(number) {
                page.format(number, NO_PAGE, NO_PAGE, 0, kind::HASH);
            }
        }
        editor
    }

    /// A table with the content of this one. The layout is kept if it is what the library would write today.
    pub(crate) fn from_database(database: Database, file_id: [u8; 20]) -> Result<HashEditor, DbError> {
        let database = match database {
            Database::Hash(HashDatabase(hash)) if is_current(&hash)? => return HashEditor::adopt(hash),
            other => other,
        };
        let mut editor = HashEditor::new(file_id);
        for pair in database.pairs() {
            let (key, value) = pair?;
            editor.insert(&key, &value)?;
        }
        Ok(editor)
    }

    fn adopt(hash: Hash) -> Result<HashEditor, DbError> {
        for number in 1..hash.store.count {
            check_page(&hash.store, number)?;
        }
        let bytes = hash.store.bytes(0)?;
        let meta = hash.store.page(&bytes);
        let (free, elements) = (meta.u32(28)?, meta.u32(88)?);
        let file_id = *meta.slice(52, 72)?.first_chunk().expect("the slice is 20 long");
        drop(bytes);
        Ok(HashEditor { buckets: hash.buckets, store: hash.store, free, elements, file_id })
    }

    /// Adds a pair; false, and nothing done, if the key is there already.
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<bool, DbError> {
        let size = self.size_on_page(key) + self.size_on_page(value);
        match self.locate(key, size)? {
            Place::Found { .. } => Ok(false),
            Place::Missing { page } => self.add(page, key, value, size).map(|()| true),
        }
    }

    /// Adds a pair, or gives the key another value.
    pub(crate) fn replace(&mut self, key: &[u8], value: &[u8]) -> Result<(), DbError> {
        if !self.insert(key, value)? {
            self.delete(key)?;
            self.insert(key, value)?;
        }
        Ok(())
    }

    /// Removes a key; whether it was there.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<bool, DbError> {
        let Place::Found { page, index } = self.locate(key, 0)? else {
            return Ok(false);
        };
        self.free_overflow(page, index)?;
        self.free_overflow(page, index + 1)?;
        remove_pair(&mut self.store.page_mut(page)?, index);
        self.elements = self.elements.saturating_sub(1);
        self.unlink_if_empty(page)?;
        Ok(true)
    }

    /// The file as it is to be stored.
    pub(crate) fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.write_meta().map_err(|error| io::Error::other(error.to_string()))?;
        out.write_all(self.store.memory())
    }

    fn write_meta(&mut self) -> Result<(), DbError> {
        let (buckets, last) = (self.buckets, self.store.count - 1);
        let page_size = self.store.page_size;
        let mut meta = self.store.page_mut(0)?;
        meta.0[..page_size.min(512)].fill(0);
        meta.set_u32(4, 1);
        meta.set_u32(12, hash::MAGIC);
        meta.set_u32(16, hash::VERSION);
        meta.set_u32(20, page_size as u32);
        meta.0[25] = kind::HASH_META;
        meta.set_u32(28, self.free);
        meta.set_u32(32, last);
        meta.0[52..72].copy_from_slice(&self.file_id);
        meta.set_u32(72, buckets.max);
        meta.set_u32(76, buckets.high_mask);
        meta.set_u32(80, buckets.low_mask);
        meta.set_u32(88, self.elements);
        meta.set_u32(92, hash::hash(hash::CHARKEY));
        for (n, spare) in buckets.spares.iter().enumerate() {
            meta.set_u32(96 + 4 * n, *spare);
        }
        Ok(())
    }

    fn is_big(&self, data: &[u8]) -> bool {
        data.len() > self.store.page_size / 4
    }

    /// Octets on a page, with the index entry.
    fn size_on_page(&self, data: &[u8]) -> usize {
        if self.is_big(data) { OFF_PAGE_ITEM + 2 } else { data.len() + 3 }
    }

    /// Looks for a key and, on the way, for the first page of its bucket with more than `size` octets free; failing
    /// that the bucket's last page.
    fn locate(&self, key: &[u8], size: usize) -> Result<Place, DbError> {
        let mut number = self.buckets.page(self.buckets.bucket(hash::hash(key)));
        let mut roomy = None;
        for _ in 0..self.store.count {
            let bytes = self.store.bytes(number)?;
            let page = HashPage::new(&self.store, &bytes)?;
            if roomy.is_none() && free_space(&page)? > size {
                roomy = Some(number);
            }
            if let Ok(index) = page.search(key)? {
                return Ok(Place::Found { page: number, index });
            }
            match page.page.next()? {
                NO_PAGE => return Ok(Place::Missing { page: roomy.unwrap_or(number) }),
                next => number = next,
            }
        }
        Err(DbError::Damaged("a bucket without end"))
    }

    fn add(&mut self, mut number: u32, key: &[u8], value: &[u8], size: usize) -> Result<(), DbError> {
        let is_full = self.free_space(number)? < size;
        if is_full {
            number = self.chain_page(number)?;
        }
        let key_item = self.make_item(key)?;
        let value_item = self.make_item(value)?;
        let index = self.index_for(number, key)?;
        insert_pair(&mut self.store.page_mut(number)?, index, &key_item, &value_item);
        self.elements = self.elements.saturating_add(1);
        if is_full {
            self.expand()?;
        }
        Ok(())
    }

    fn free_space(&self, number: u32) -> Result<usize, DbError> {
        let bytes = self.store.bytes(number)?;
        free_space(&HashPage::new(&self.store, &bytes)?)
    }

    /// Where the key belongs on a page that does not have it.
    fn index_for(&self, number: u32, key: &[u8]) -> Result<usize, DbError> {
        let bytes = self.store.bytes(number)?;
        match HashPage::new(&self.store, &bytes)?.search(key)? {
            Ok(index) | Err(index) => Ok(index),
        }
    }

    fn make_item(&mut self, data: &[u8]) -> Result<Vec<u8>, DbError> {
        if !self.is_big(data) {
            return Ok([&[KEYDATA], data].concat());
        }
        let first = self.write_overflow(data)?;
        let mut item = vec![OFF_PAGE, 0, 0, 0];
        item.extend_from_slice(&first.to_ne_bytes());
        item.extend_from_slice(&(data.len() as u32).to_ne_bytes());
        Ok(item)
    }

    /// Puts a large item onto pages of its own; the number of the first.
    fn write_overflow(&mut self, data: &[u8]) -> Result<u32, DbError> {
        let (mut first, mut previous) = (NO_PAGE, NO_PAGE);
        for chunk in data.chunks(self.store.page_size - HEADER) {
            let number = self.allocate()?;
            write_overflow_page(&mut self.store.page_mut(number)?, number, previous, chunk);
            match previous {
                NO_PAGE => first = number,
                previous => self.store.page_mut(previous)?.set_next(number),
            }
            previous = number;
        }
        Ok(first)
    }

    /// Hangs an empty page behind `number`, the last one of its bucket.
    fn chain_page(&mut self, number: u32) -> Result<u32, DbError> {
        let new = self.allocate()?;
        self.store.page_mut(new)?.format(new, number, NO_PAGE, 0, kind::HASH);
        self.store.page_mut(number)?.set_next(new);
        Ok(new)
    }

    fn allocate(&mut self) -> Result<u32, DbError> {
        if self.free == NO_PAGE {
            self.store.grow(1)?;
            return Ok(self.store.count - 1);
        }
        let number = self.free;
        let bytes = self.store.bytes(number)?;
        let page = self.store.page(&bytes);
        if page.kind() != kind::FREE {
            return Err(DbError::Damaged("a used page in the list of free ones"));
        }
        self.free = page.next()?;
        Ok(number)
    }

    fn release(&mut self, number: u32) -> Result<(), DbError> {
        let next = self.free;
        self.store.page_mut(number)?.format(number, NO_PAGE, next, 0, kind::FREE);
        self.free = number;
        Ok(())
    }

    /// Makes the table one bucket larger and moves to it what belongs there.
    fn expand(&mut self) -> Result<(), DbError> {
        let Buckets { max, high_mask, low_mask, .. } = self.buckets;
        let (new, old) = (max + 1, (max + 1) & low_mask);
        if max == high_mask {
            let group = new.next_power_of_two().trailing_zeros() as usize + 1;
            let spare =
                self.buckets.spares.get_mut(group).ok_or(DbError::Unsupported("more than 2^31 buckets"))?;
            if *spare == 0 {
                *spare = self.store.count.wrapping_sub(new);
                self.store.grow(new)?;
            }
            self.buckets.low_mask = high_mask;
            self.buckets.high_mask = new | high_mask;
        }
        self.buckets.max = new;
        self.split(old, new)
    }

    fn split(&mut self, old: u32, new: u32) -> Result<(), DbError> {
        let (old_page, new_page) = (self.buckets.page(old), self.buckets.page(new));
        let chain = self.take_chain(old_page)?;
        self.store.page_mut(old_page)?.format(old_page, NO_PAGE, NO_PAGE, 0, kind::HASH);
        self.store.page_mut(new_page)?.format(new_page, NO_PAGE, NO_PAGE, 0, kind::HASH);
        let mut tails = [old_page, new_page];
        for bytes in &chain {
            let pairs = HashPage::new(&self.store, bytes)?.pairs;
            for index in (0..pairs).map(|n| 2 * n) {
                let page = HashPage::new(&self.store, bytes)?;
                let (key_item, value_item) = (page.item(index)?, page.item(index + 1)?);
                let key = page.key(index)?;
                let stays = self.buckets.bucket(hash::hash(&key)) == old;
                let mut tail = tails[usize::from(!stays)];
                if self.free_space(tail)? < key_item.len() + value_item.len() + 4 {
                    tail = self.chain_page(tail)?;
                    tails[usize::from(!stays)] = tail;
                }
                let at = self.index_for(tail, &key)?;
                insert_pair(&mut self.store.page_mut(tail)?, at, key_item, value_item);
            }
        }
        Ok(())
    }

    /// Copies of a bucket's pages; all but the first are free afterwards.
    fn take_chain(&mut self, first: u32) -> Result<Vec<Vec<u8>>, DbError> {
        let mut chain = Vec::new();
        let mut number = first;
        while number != NO_PAGE {
            if chain.len() > self.store.count as usize {
                return Err(DbError::Damaged("a bucket without end"));
            }
            let bytes = self.store.bytes(number)?.into_owned();
            let next = self.store.page(&bytes).next()?;
            if number != first {
                self.release(number)?;
            }
            chain.push(bytes);
            number = next;
        }
        Ok(chain)
    }

    fn free_overflow(&mut self, page: u32, index: usize) -> Result<(), DbError> {
        let bytes = self.store.bytes(page)?;
        let item = HashPage::new(&self.store, &bytes)?.item(index)?;
        let mut number = match item.first() {
            Some(&OFF_PAGE) => self.store.page(item).u32(4)?,
            _ => NO_PAGE,
        };
        drop(bytes);
        while number != NO_PAGE {
            let bytes = self.store.bytes(number)?;
            let page = self.store.page(&bytes);
            if page.kind() != kind::OVERFLOW {
                return Err(DbError::Damaged("a page that is no overflow page"));
            }
            let next = page.next()?;
            drop(bytes);
            self.release(number)?;
            number = next;
        }
        Ok(())
    }

    /// An empty page leaves its bucket, but the bucket's first page stays and takes over the second's content.
    fn unlink_if_empty(&mut self, number: u32) -> Result<(), DbError> {
        let bytes = self.store.bytes(number)?;
        let page = self.store.page(&bytes);
        let (entries, previous, next) = (page.entries()?, page.u32(12)?, page.next()?);
        drop(bytes);
        if entries > 0 || (previous == NO_PAGE && next == NO_PAGE) {
            return Ok(());
        }
        if previous != NO_PAGE {
            self.store.page_mut(previous)?.set_next(next);
            if next != NO_PAGE {
                self.store.page_mut(next)?.set_previous(previous);
            }
            return self.release(number);
        }
        let second = self.store.bytes(next)?.into_owned();
        let third = self.store.page(&second).next()?;
        let mut first = self.store.page_mut(number)?;
        first.0.copy_from_slice(&second);
        first.set_u32(8, number);
        first.set_previous(NO_PAGE);
        if third != NO_PAGE {
            self.store.page_mut(third)?.set_previous(number);
        }
        self.release(next)
    }
}

/// Whether a file can be changed as it is: in memory, this machine's octet order, sorted pages of a usual size.
fn is_current(hash: &Hash) -> Result<bool, DbError> {
    let bytes = hash.store.bytes(0)?;
    let is_version = hash.store.page(&bytes).u32(16)? == hash::VERSION;
    Ok(is_version
        && !hash.store.swapped
        && hash.store.page_size == PAGE_SIZE
        && hash.store.memory().len() == hash.store.count as usize * PAGE_SIZE)
}

/// Whether a bucket's page can be changed: its items fill it from the end to its high offset without a gap, as
/// [`insert_pair`] and [`remove_pair`] take for granted.
fn check_page(store: &Store, number: u32) -> Result<(), DbError> {
    let bytes = store.bytes(number)?;
    let page = store.page(&bytes);
    if page.kind() != kind::HASH {
        return Ok(());
    }
    let entries = HashPage::new(store, &bytes)?.pairs * 2;
    let mut end = bytes.len();
    for index in 0..entries {
        let start = page.offset(index)?;
        if start >= end {
            return Err(DbError::Damaged("items that overlap"));
        }
        end = start;
    }
    if end != page.high_offset()? || end < HEADER + 2 * entries {
        return Err(DbError::Damaged("items that overlap"));
    }
    Ok(())
}

fn free_space(page: &HashPage) -> Result<usize, DbError> {
    match page.page.kind() {
        // Never formatted: Postfix's library leaves buckets of a new group so until they are split into.
        kind::FREE => Ok(0),
        kind::HASH => Ok(page.page.high_offset()?.saturating_sub(HEADER + 4 * page.pairs)),
        _ => Err(DbError::Damaged("an unsorted page in a file that has sorted ones")),
    }
}

pub(super) fn write_overflow_page(page: &mut PageMut, number: u32, previous: u32, chunk: &[u8]) {
    page.format(number, previous, NO_PAGE, 0, kind::OVERFLOW);
    // One reference, and the octets held.
    page.set_u16(20, 1);
    page.set_u16(22, chunk.len());
    page.0[HEADER..HEADER + chunk.len()].copy_from_slice(chunk);
}

fn read_u16(page: &PageMut, at: usize) -> usize {
    usize::from(u16::from_ne_bytes([page.0[at], page.0[at + 1]]))
}

/// The end of the item before `index`, which is where item `index` ends.
fn end_of(page: &PageMut, index: usize) -> usize {
    if index == 0 { page.0.len() } else { read_u16(page, HEADER + 2 * (index - 1)) }
}

/// Puts a pair at `index`; there is room.
fn insert_pair(page: &mut PageMut, index: usize, key: &[u8], value: &[u8]) {
    let (entries, high) = (read_u16(page, 20), read_u16(page, 22));
    let (end, size) = (end_of(page, index), key.len() + value.len());
    page.0.copy_within(high..end, high - size);
    for n in (index..entries).rev() {
        let offset = read_u16(page, HEADER + 2 * n);
        page.set_u16(HEADER + 2 * (n + 2), offset - size);
    }
    page.0[end - key.len()..end].copy_from_slice(key);
    page.0[end - size..end - key.len()].copy_from_slice(value);
    page.set_u16(HEADER + 2 * index, end - key.len());
    page.set_u16(HEADER + 2 * (index + 1), end - size);
    page.set_u16(20, entries + 2);
    page.set_u16(22, high - size);
}

/// Takes the pair at `index` off.
fn remove_pair(page: &mut PageMut, index: usize) {
    let (entries, high) = (read_u16(page, 20), read_u16(page, 22));
    let start = read_u16(page, HEADER + 2 * (index + 1));
    let size = end_of(page, index) - start;
    page.0.copy_within(high..start, high + size);
    for n in index + 2..entries {
        let offset = read_u16(page, HEADER + 2 * n);
        page.set_u16(HEADER + 2 * (n - 2), offset + size);
    }
    page.set_u16(20, entries - 2);
    page.set_u16(22, high + size);
}
