//! Reading btree files.

use super::page::{HEADER, NO_PAGE, Page, kind};
use super::store::Store;
use super::{DbError, Pair};
use std::borrow::Cow;
use std::cmp::Ordering;

pub(super) const MAGIC: u32 = 0x053162;
pub(super) const VERSION: u32 = 9;

/// Item types; the high bit marks a deleted item.
pub(super) const KEYDATA: u8 = 1;
pub(super) const OVERFLOW: u8 = 3;
const DELETED: u8 = 0x80;

/// A step on the way from the root to a leaf. The root may have any level.
#[derive(Clone, Copy)]
struct Step {
    page: u32,
    level: Option<u8>,
}

pub(super) struct Btree {
    store: Store,
    root: u32,
}

impl Btree {
    pub(super) fn open(store: Store) -> Result<Btree, DbError> {
        let bytes = store.bytes(0)?;
        let meta = store.page(&bytes);
        if !(8..=VERSION).contains(&meta.u32(16)?) {
            return Err(DbError::Unsupported("this version of btree file"));
        }
        let root = meta.u32(88)?;
        drop(bytes);
        Ok(Btree { store, root })
    }

    pub(super) fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        let mut step = Step { page: self.root, level: None };
        loop {
            let bytes = self.store.bytes(step.page)?;
            let page = TreePage::new(&self.store, &bytes)?.at_level(step.level)?;
            if page.is_leaf() {
                return page.find(key);
            }
            step = page.child(page.descend(key)?)?;
        }
    }

    /// The pairs on the next leaf.
    pub(super) fn pairs(&self, cursor: &mut Cursor) -> Result<Option<Vec<Pair>>, DbError> {
        let number = match cursor.next {
            None => self.first_leaf()?,
            Some(NO_PAGE) => return Ok(None),
            Some(number) => number,
        };
        cursor.steps += 1;
        if cursor.steps > u64::from(self.store.count) {
            return Err(DbError::Damaged("leaves without end"));
        }
        let bytes = self.store.bytes(number)?;
        let page = TreePage::new(&self.store, &bytes)?;
        if !page.is_leaf() {
            return Err(DbError::Damaged("a page that is no leaf"));
        }
        cursor.next = Some(page.page.next()?);
        let mut pairs = Vec::with_capacity(page.entries / 2);
        for index in (0..page.entries / 2).map(|n| 2 * n) {
            if !page.is_deleted(index + 1)? {
                pairs.push((page.content(index)?.into_owned(), page.content(index + 1)?.into_owned()));
            }
        }
        Ok(Some(pairs))
    }

    fn first_leaf(&self) -> Result<u32, DbError> {
        let mut step = Step { page: self.root, level: None };
        loop {
            let bytes = self.store.bytes(step.page)?;
            let page = TreePage::new(&self.store, &bytes)?.at_level(step.level)?;
            if page.is_leaf() {
                return Ok(step.page);
            }
            step = page.child(0)?;
        }
    }
}

/// A place in the order of keys; the default is the beginning.
#[derive(Default)]
pub(super) struct Cursor {
    next: Option<u32>,
    steps: u64,
}

struct TreePage<'a> {
    store: &'a Store,
    page: Page<'a>,
    entries: usize,
}

impl<'a> TreePage<'a> {
    fn new(store: &'a Store, bytes: &'a [u8]) -> Result<TreePage<'a>, DbError> {
        let page = store.page(bytes);
        let entries = page.entries()?;
        let fits = HEADER + 2 * entries <= bytes.len();
        match page.kind() {
            kind::BTREE_LEAF if fits && entries % 2 == 0 => {}
            kind::BTREE_INTERNAL if fits && entries > 0 => {}
            kind::BTREE_LEAF | kind::BTREE_INTERNAL => {
                return Err(DbError::Damaged("a wrong number of items"));
            }
            _ => return Err(DbError::Damaged("a page that belongs to no tree")),
        }
        Ok(TreePage { store, page, entries })
    }

    fn is_leaf(&self) -> bool {
        self.page.kind() == kind::BTREE_LEAF
    }

    /// On a leaf: the value of exactly this key. Of several the first that is not deleted.
    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        let mut pair = self.partition(self.entries / 2, |n| Ok(self.content(2 * n)?.as_ref() < key))?;
        while pair < self.entries / 2 && *self.content(2 * pair)? == *key {
            if !self.is_deleted(2 * pair + 1)? {
                return self.content(2 * pair + 1).map(|value| Some(value.into_owned()));
            }
            pair += 1;
        }
        Ok(None)
    }

    /// On an internal page: the last child whose first key is not above this key. The first child has no lower bound.
    fn descend(&self, key: &[u8]) -> Result<usize, DbError> {
        let above = self.partition(self.entries - 1, |n| {
            Ok(self.separator(n + 1)?.as_ref().cmp(key) != Ordering::Greater)
        })?;
        Ok(above)
    }

    /// The first index below `count` for which the answer is no.
    fn partition(
        &self,
        count: usize,
        mut is_before: impl FnMut(usize) -> Result<bool, DbError>,
    ) -> Result<usize, DbError> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = (low + high) / 2;
            if is_before(middle)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn child(&self, index: usize) -> Result<Step, DbError> {
        let page = self.page.u32(self.page.offset(index)? + 4)?;
        let level = self.page.level().checked_sub(1).ok_or(DbError::Damaged("a tree with a wrong level"))?;
        Ok(Step { page, level: Some(level) })
    }

    /// Levels fall by one on the way down, which also excludes circles.
    fn at_level(self, level: Option<u8>) -> Result<TreePage<'a>, DbError> {
        match level {
            Some(level) if level != self.page.level() => Err(DbError::Damaged("a tree with a wrong level")),
            _ => Ok(self),
        }
    }

    fn separator(&self, index: usize) -> Result<Cow<'a, [u8]>, DbError> {
        let at = self.page.offset(index)?;
        let length = usize::from(self.page.u16(at)?);
        let data = self.page.slice(at + 12, at + 12 + length)?;
        match self.kind(at)? {
            KEYDATA => Ok(Cow::Borrowed(data)),
            OVERFLOW => self.off_page(at + 12),
            _ => Err(DbError::Damaged("an item of unknown type")),
        }
    }

    fn content(&self, index: usize) -> Result<Cow<'a, [u8]>, DbError> {
        let at = self.page.offset(index)?;
        match self.kind(at)? {
            KEYDATA => {
                let length = usize::from(self.page.u16(at)?);
                self.page.slice(at + 3, at + 3 + length).map(Cow::Borrowed)
            }
            OVERFLOW => self.off_page(at),
            _ => Err(DbError::Unsupported("values with duplicates on pages of their own")),
        }
    }

    fn off_page(&self, at: usize) -> Result<Cow<'a, [u8]>, DbError> {
        self.store.overflow(self.page.u32(at + 4)?, self.page.u32(at + 8)?).map(Cow::Owned)
    }

    fn kind(&self, at: usize) -> Result<u8, DbError> {
        Ok(self.page.slice(at + 2, at + 3)?[0] & !DELETED)
    }

    fn is_deleted(&self, index: usize) -> Result<bool, DbError> {
        Ok(self.page.slice(self.page.offset(index)? + 2, self.page.offset(index)? + 3)?[0] & DELETED != 0)
    }
}
