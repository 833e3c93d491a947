//! Reading hash files: linear hashing, buckets of chained pages.

use super::page::{HEADER, NO_PAGE, Page, kind};
use super::store::Store;
use super::{DbError, Pair};
use std::borrow::Cow;
use std::cmp::Ordering;

pub(super) const MAGIC: u32 = 0x061561;
/// The version written. 8 differs only in that its pages are not sorted.
pub(super) const VERSION: u32 = 9;
/// Bucket groups that fit the metadata page.
pub(super) const GROUPS: usize = 32;
/// What is hashed into the metadata page, so that a reader knows the function.
pub(super) const CHARKEY: &[u8] = b"%$sniglet^&\0";

/// Item types.
pub(super) const KEYDATA: u8 = 1;
const DUPLICATES: u8 = 2;
pub(super) const OFF_PAGE: u8 = 3;

/// The shape of the table: which bucket a hash is in, and on which page a bucket begins.
#[derive(Clone, Copy)]
pub(super) struct Buckets {
    pub(super) max: u32,
    pub(super) high_mask: u32,
    pub(super) low_mask: u32,
    /// For each doubling of the table: its first page less its first bucket.
    pub(super) spares: [u32; GROUPS],
}

impl Buckets {
    pub(super) fn bucket(&self, hash: u32) -> u32 {
        let bucket = hash & self.high_mask;
        if bucket > self.max { bucket & self.low_mask } else { bucket }
    }

    pub(super) fn page(&self, bucket: u32) -> u32 {
        let group = (u64::from(bucket) + 1).next_power_of_two().trailing_zeros();
        bucket.wrapping_add(self.spares[group as usize % GROUPS])
    }

    pub(super) fn parse(meta: Page) -> Result<Buckets, DbError> {
        let mut spares = [0; GROUPS];
        for (n, spare) in spares.iter_mut().enumerate() {
            *spare = meta.u32(96 + 4 * n)?;
        }
        Ok(Buckets { max: meta.u32(72)?, high_mask: meta.u32(76)?, low_mask: meta.u32(80)?, spares })
    }
}

/// The order of keys on a page: the library's, in which a longer key comes before one that it begins with.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    let shared = one.len().min(other.len());
    one[..shared].cmp(&other[..shared]).then(other.len().cmp(&one.len()))
}

/// Berkeley DB's default hash since version 5: Fowler, Noll and Vo's, begun at 0.
pub(super) fn hash(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, &octet| hash.wrapping_mul(16_777_619) ^ u32::from(octet))
}

pub(super) struct Hash {
    pub(super) store: Store,
    pub(super) buckets: Buckets,
}

impl Hash {
    pub(super) fn open(store: Store) -> Result<Hash, DbError> {
        let bytes = store.bytes(0)?;
        let meta = store.page(&bytes);
        if !(7..=VERSION).contains(&meta.u32(16)?) {
            return Err(DbError::Unsupported("this version of hash file"));
        }
        if meta.u32(92)? != hash(CHARKEY) {
            return Err(DbError::Unsupported("a hash function of its own"));
        }
        let buckets = Buckets::parse(meta)?;
        if buckets.max >= store.count {
            return Err(DbError::Damaged("more buckets than pages"));
        }
        drop(bytes);
        Ok(Hash { store, buckets })
    }

    pub(super) fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        let mut number = self.buckets.page(self.buckets.bucket(hash(key)));
        // A chain has no more pages than the file.
        for _ in 0..self.store.count {
            let bytes = self.store.bytes(number)?;
            let page = HashPage::new(&self.store, &bytes)?;
            if let Ok(index) = page.search(key)? {
                return page.value(index).map(|value| Some(value.into_owned()));
            }
            number = page.page.next()?;
            if number == NO_PAGE {
                return Ok(None);
            }
        }
        Err(DbError::Damaged("a bucket without end"))
    }

    /// The pairs on the page, and the number of the page that comes after it in the order of buckets.
    pub(super) fn pairs(&self, cursor: &mut Cursor) -> Result<Option<Vec<Pair>>, DbError> {
        if cursor.page == NO_PAGE {
            if cursor.bucket > self.buckets.max {
                return Ok(None);
            }
            cursor.page = self.buckets.page(cursor.bucket);
            cursor.bucket += 1;
        }
        cursor.steps += 1;
        if cursor.steps > u64::from(self.store.count) {
            return Err(DbError::Damaged("a bucket without end"));
        }
        let bytes = self.store.bytes(cursor.page)?;
        let page = HashPage::new(&self.store, &bytes)?;
        cursor.page = page.page.next()?;
        let pairs =
            (0..page.pairs).map(|n| Ok((page.key(2 * n)?.into_owned(), page.value(2 * n)?.into_owned())));
        pairs.collect::<Result<Vec<_>, DbError>>().map(Some)
    }
}

/// A place in the order of buckets; the default is the beginning.
#[derive(Default)]
pub(super) struct Cursor {
    bucket: u32,
    page: u32,
    steps: u64,
}

/// A page of a bucket. Keys have even indexes, each value follows its key.
pub(super) struct HashPage<'s, 'a> {
    store: &'s Store,
    pub(super) page: Page<'a>,
    pub(super) pairs: usize,
    is_sorted: bool,
}

impl<'s, 'a> HashPage<'s, 'a> {
    pub(super) fn new(store: &'s Store, bytes: &'a [u8]) -> Result<HashPage<'s, 'a>, DbError> {
        let page = store.page(bytes);
        let is_sorted = match page.kind() {
            kind::HASH => true,
            kind::HASH_UNSORTED => false,
            // A bucket that nothing was ever put into.
            kind::FREE if page.entries()? == 0 => true,
            _ => return Err(DbError::Damaged("a page that belongs to no bucket")),
        };
        let entries = page.entries()?;
        if entries % 2 != 0 || HEADER + 2 * entries > bytes.len() {
            return Err(DbError::Damaged("a wrong number of items"));
        }
        Ok(HashPage { store, page, pairs: entries / 2, is_sorted })
    }

    /// The index of the key, or the one it would have.
    pub(super) fn search(&self, key: &[u8]) -> Result<Result<usize, usize>, DbError> {
        if !self.is_sorted {
            for n in 0..self.pairs {
                if *self.key(2 * n)? == *key {
                    return Ok(Ok(2 * n));
                }
            }
            return Ok(Err(2 * self.pairs));
        }
        let (mut low, mut high) = (0, self.pairs);
        while low < high {
            let middle = (low + high) / 2;
            match order(key, &self.key(2 * middle)?) {
                Ordering::Equal => return Ok(Ok(2 * middle)),
                Ordering::Less => high = middle,
                Ordering::Greater => low = middle + 1,
            }
        }
        Ok(Err(2 * low))
    }

    pub(super) fn key(&self, index: usize) -> Result<Cow<'a, [u8]>, DbError> {
        self.content(self.item(index)?)
    }

    pub(super) fn value(&self, index: usize) -> Result<Cow<'a, [u8]>, DbError> {
        self.content(self.item(index + 1)?)
    }

    /// An item with its type: items lie one below the other in the order of their indexes.
    pub(super) fn item(&self, index: usize) -> Result<&'a [u8], DbError> {
        let end = if index == 0 { self.page.bytes.len() } else { self.page.offset(index - 1)? };
        self.page.slice(self.page.offset(index)?, end)
    }

    fn content(&self, item: &'a [u8]) -> Result<Cow<'a, [u8]>, DbError> {
        match item.split_first() {
            Some((&KEYDATA, data)) => Ok(Cow::Borrowed(data)),
            Some((&OFF_PAGE, _)) => {
                let page = self.store.page(item);
                Ok(Cow::Owned(self.store.overflow(page.u32(4)?, page.u32(8)?)?))
            }
            // Each value stands between two copies of its length; the first one is what a lookup returns.
            Some((&DUPLICATES, data)) => {
                let length = usize::from(self.store.page(data).u16(0)?);
                self.store.page(data).slice(2, 2 + length).map(Cow::Borrowed)
            }
            Some(_) => Err(DbError::Unsupported("values with duplicates on pages of their own")),
            None => Err(DbError::Damaged("an item without a type")),
        }
    }
}
