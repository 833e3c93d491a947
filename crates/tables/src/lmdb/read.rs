//! Reading: a B-tree whose root the newer of two metadata pages names.

use super::{BIG_DATA, HEADER, LmdbError, MAGIC, NO_PAGE, NODE, VERSION, kind};
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

/// A tree is not deeper than this.
const DEPTH_LIMIT: u16 = 32;
/// Where the fields of the metadata are, behind the page's header.
const META_LENGTH: usize = HEADER + 136;

pub(crate) struct Lmdb {
    source: Source,
    page_size: usize,
    /// Octets in the file.
    length: u64,
    meta: Meta,
}

enum Source {
    Memory(Vec<u8>),
    Disk(File),
}

/// One of the two metadata pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meta {
    page_size: u32,
    depth: u16,
    root: u64,
    last_page: u64,
    transaction: u64,
}

impl Lmdb {
    /// Reads the metadata; a file up to the limit is read whole.
    pub(crate) fn open(file: File, memory_limit_bytes: u64) -> Result<Lmdb, LmdbError> {
        let length = file.metadata()?.len();
        if length == 0 {
            // What the library makes of an empty file that it may not fill.
            return Err(LmdbError::Io(std::io::Error::from_raw_os_error(nix::libc::EBADF)));
        }
        let meta = newest_meta(&file)?;
        let source = if length <= memory_limit_bytes {
            let mut bytes = sys::memory::large_buffer(length as usize);
            (&file).take(length).read_to_end(&mut bytes)?;
            if newest_meta(&file)? != meta {
                return Err(LmdbError::Changed);
            }
            Source::Memory(bytes)
        } else {
            Source::Disk(file)
        };
        Ok(Lmdb { source, page_size: meta.page_size as usize, length, meta })
    }

    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LmdbError> {
        let found = self.search(key);
        self.check_unchanged()?;
        found
    }

    /// Calls `visit` with each pair, in the order of keys.
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), LmdbError> {
        if self.meta.root == NO_PAGE {
            return Ok(());
        }
        let mut budget = self.length / self.page_size as u64 + 1;
        self.visit_page(self.meta.root, self.meta.depth.min(DEPTH_LIMIT), &mut budget, visit)?;
        self.check_unchanged()
    }

    fn search(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LmdbError> {
        if self.meta.root == NO_PAGE {
            return Ok(None);
        }
        let mut number = self.meta.root;
        for _ in 0..self.meta.depth.min(DEPTH_LIMIT) {
            let bytes = self.bytes(number)?;
            let page = Page::new(&bytes)?;
            if page.is_leaf {
                return page.find(key)?.map(|node| self.value(&node)).transpose();
            }
            number = page.descend(key)?;
        }
        Err(LmdbError::Damaged("a tree without leaves"))
    }

    /// `budget`: pages that may still be visited, all there are at most.
    fn visit_page(
        &self,
        number: u64,
        depth: u16,
        budget: &mut u64,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), LmdbError> {
        *budget = budget.checked_sub(1).ok_or(LmdbError::Damaged("a tree with circles"))?;
        let depth = depth.checked_sub(1).ok_or(LmdbError::Damaged("a tree without leaves"))?;
        let bytes = self.bytes(number)?;
        let page = Page::new(&bytes)?;
        for index in 0..page.count {
            let node = page.node(index)?;
            if page.is_leaf {
                visit(node.key, &self.value(&node)?);
            } else {
                self.visit_page(node.child(), depth, budget, visit)?;
            }
        }
        Ok(())
    }

    fn value(&self, node: &Node) -> Result<Vec<u8>, LmdbError> {
        if node.flags & BIG_DATA == 0 {
            let data = node.rest.get(..node.data_length());
            return data.map(<[u8]>::to_vec).ok_or(LmdbError::Damaged("a node outside its page"));
        }
        let number = node.rest.first_chunk().map(|octets| u64::from_ne_bytes(*octets));
        let number = number.ok_or(LmdbError::Damaged("a node outside its page"))?;
        let at = number.checked_mul(self.page_size as u64).and_then(|at| at.checked_add(HEADER as u64));
        self.read(at.ok_or(LmdbError::Damaged("a page behind the end"))?, node.data_length())
            .map(Cow::into_owned)
    }

    fn bytes(&self, number: u64) -> Result<Cow<'_, [u8]>, LmdbError> {
        if number > self.meta.last_page {
            return Err(LmdbError::Damaged("a page behind the end"));
        }
        let at =
            number.checked_mul(self.page_size as u64).ok_or(LmdbError::Damaged("a page behind the end"))?;
        self.read(at, self.page_size)
    }

    fn read(&self, at: u64, length: usize) -> Result<Cow<'_, [u8]>, LmdbError> {
        if at.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(LmdbError::Damaged("a page behind the end"));
        }
        match &self.source {
            Source::Memory(bytes) => bytes
                .get(at as usize..at as usize + length)
                .map(Cow::Borrowed)
                .ok_or(LmdbError::Damaged("a page behind the end")),
            Source::Disk(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, at)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// What was read is of one transaction if none has ended meanwhile.
    fn check_unchanged(&self) -> Result<(), LmdbError> {
        match &self.source {
            Source::Disk(file) if newest_meta(file)? != self.meta => Err(LmdbError::Changed),
            _ => Ok(()),
        }
    }
}

/// The second metadata page is where the first one says that pages have that size.
fn newest_meta(file: &File) -> Result<Meta, LmdbError> {
    let first = read_meta(file, 0)?;
    let second = read_meta(file, u64::from(first.page_size))?;
    Ok(if second.transaction > first.transaction { second } else { first })
}

fn read_meta(file: &File, at: u64) -> Result<Meta, LmdbError> {
    let mut bytes = [0; META_LENGTH];
    file.read_exact_at(&mut bytes, at).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => LmdbError::NotLmdb,
        _ => LmdbError::Io(error),
    })?;
    let flags = u16_at(&bytes, 10)?;
    let meta = Meta {
        page_size: u32_at(&bytes, HEADER + 24)?,
        depth: u16_at(&bytes, HEADER + 24 + 48 + 6)?,
        root: u64_at(&bytes, HEADER + 24 + 48 + 40)?,
        last_page: u64_at(&bytes, HEADER + 24 + 96)?,
        transaction: u64_at(&bytes, HEADER + 24 + 104)?,
    };
    let is_meta = flags & kind::META != 0
        && u32_at(&bytes, HEADER)? == MAGIC
        && u32_at(&bytes, HEADER + 4)? == VERSION
        && meta.page_size.is_power_of_two()
        && (512..=65536).contains(&meta.page_size);
    if is_meta { Ok(meta) } else { Err(LmdbError::NotLmdb) }
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, LmdbError> {
    let octets = bytes.get(at..).and_then(|rest| rest.first_chunk());
    Ok(u16::from_ne_bytes(*octets.ok_or(LmdbError::Damaged("an offset outside its page"))?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, LmdbError> {
    let octets = bytes.get(at..).and_then(|rest| rest.first_chunk());
    Ok(u32::from_ne_bytes(*octets.ok_or(LmdbError::Damaged("an offset outside its page"))?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, LmdbError> {
    let octets = bytes.get(at..).and_then(|rest| rest.first_chunk());
    Ok(u64::from_ne_bytes(*octets.ok_or(LmdbError::Damaged("an offset outside its page"))?))
}

struct Page<'a> {
    bytes: &'a [u8],
    is_leaf: bool,
    count: usize,
}

/// A key with its value, or with the child it leads to.
struct Node<'a> {
    low: u16,
    high: u16,
    flags: u16,
    key: &'a [u8],
    /// What is behind the key.
    rest: &'a [u8],
}

impl Node<'_> {
    fn data_length(&self) -> usize {
        usize::from(self.low) | usize::from(self.high) << 16
    }

    fn child(&self) -> u64 {
        u64::from(self.low) | u64::from(self.high) << 16 | u64::from(self.flags) << 32
    }
}

impl<'a> Page<'a> {
    fn new(bytes: &'a [u8]) -> Result<Page<'a>, LmdbError> {
        let is_leaf = match u16_at(bytes, 10)? & (kind::BRANCH | kind::LEAF | kind::OVERFLOW | kind::META) {
            kind::LEAF => true,
            kind::BRANCH => false,
            _ => return Err(LmdbError::Damaged("a page that belongs to no tree")),
        };
        let lower = usize::from(u16_at(bytes, 12)?);
        let count = lower.saturating_sub(HEADER) / 2;
        if lower > bytes.len() || (!is_leaf && count == 0) {
            return Err(LmdbError::Damaged("a wrong number of nodes"));
        }
        Ok(Page { bytes, is_leaf, count })
    }

    fn node(&self, index: usize) -> Result<Node<'a>, LmdbError> {
        let at = usize::from(u16_at(self.bytes, HEADER + 2 * index)?);
        let (low, high) = (u16_at(self.bytes, at)?, u16_at(self.bytes, at + 2)?);
        let (flags, length) = (u16_at(self.bytes, at + 4)?, usize::from(u16_at(self.bytes, at + 6)?));
        let behind = self.bytes.get(at + NODE..).and_then(|rest| rest.split_at_checked(length));
        let (key, rest) = behind.ok_or(LmdbError::Damaged("a node outside its page"))?;
        Ok(Node { low, high, flags, key, rest })
    }

    /// On a leaf: the node with exactly this key.
    fn find(&self, key: &[u8]) -> Result<Option<Node<'a>>, LmdbError> {
        let at = self.partition(0, |node| node.key < key)?;
        if at == self.count {
            return Ok(None);
        }
        let node = self.node(at)?;
        Ok((node.key == key).then_some(node))
    }

    /// On a branch: the last child whose key is not above this one. The first child has no lower bound.
    fn descend(&self, key: &[u8]) -> Result<u64, LmdbError> {
        let above = self.partition(1, |node| node.key <= key)?;
        Ok(self.node(above - 1)?.child())
    }

    /// The first node from `low` on for which the answer is no.
    fn partition(&self, mut low: usize, is_before: impl Fn(&Node<'a>) -> bool) -> Result<usize, LmdbError> {
        let mut high = self.count;
        while low < high {
            let middle = (low + high) / 2;
            if is_before(&self.node(middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}
