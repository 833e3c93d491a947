//! The pages of a Berkeley DB file, as bytes: where their fields are, read and written with every offset checked.
//!
//! What the items on a page mean is `hash`'s and `btree`'s business.

use super::DbError;

/// Octets before a page's index of items.
pub(super) const HEADER: usize = 26;
/// No page: also the metadata page's number, which nothing links to.
pub(super) const NO_PAGE: u32 = 0;

/// Kinds of page that are read or written here.
pub(super) mod kind {
    pub(crate) const FREE: u8 = 0;
    pub(crate) const HASH_UNSORTED: u8 = 2;
    pub(crate) const BTREE_INTERNAL: u8 = 3;
    pub(crate) const BTREE_LEAF: u8 = 5;
    pub(crate) const OVERFLOW: u8 = 7;
    pub(crate) const HASH_META: u8 = 8;
    pub(crate) const BTREE_META: u8 = 9;
    pub(crate) const HASH: u8 = 13;
}

/// A page that is read. `swapped`: the file's integers have the other octet order.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) swapped: bool,
}

impl<'a> Page<'a> {
    pub(super) fn u16(self, at: usize) -> Result<u16, DbError> {
        let octets = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        let value = u16::from_ne_bytes(*octets.ok_or(DbError::Damaged("an offset outside its page"))?);
        Ok(if self.swapped { value.swap_bytes() } else { value })
    }

    pub(super) fn u32(self, at: usize) -> Result<u32, DbError> {
        let octets = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        let value = u32::from_ne_bytes(*octets.ok_or(DbError::Damaged("an offset outside its page"))?);
        Ok(if self.swapped { value.swap_bytes() } else { value })
    }

    pub(super) fn next(self) -> Result<u32, DbError> {
        self.u32(16)
    }

    pub(super) fn entries(self) -> Result<usize, DbError> {
        Ok(usize::from(self.u16(20)?))
    }

    /// Where the lowest item begins; on an overflow page, the octets it holds.
    pub(super) fn high_offset(self) -> Result<usize, DbError> {
        Ok(usize::from(self.u16(22)?))
    }

    pub(super) fn level(self) -> u8 {
        self.bytes.get(24).copied().unwrap_or(0)
    }

    pub(super) fn kind(self) -> u8 {
        self.bytes.get(25).copied().unwrap_or(0)
    }

    /// Where item `index` begins.
    pub(super) fn offset(self, index: usize) -> Result<usize, DbError> {
        Ok(usize::from(self.u16(HEADER + 2 * index)?))
    }

    pub(super) fn slice(self, from: usize, to: usize) -> Result<&'a [u8], DbError> {
        self.bytes.get(from..to).ok_or(DbError::Damaged("an item outside its page"))
    }
}

/// A page in this machine's octet order that is written. Only pages that were made or checked here are: offsets are
/// right by construction, and a wrong one panics rather than spoil a file.
pub(super) struct PageMut<'a>(pub(super) &'a mut [u8]);

impl PageMut<'_> {
    pub(super) fn format(&mut self, number: u32, previous: u32, next: u32, level: u8, kind: u8) {
        let size = self.0.len();
        self.0.fill(0);
        // What the library writes for "this change was not logged".
        self.set_u32(4, 1);
        self.set_u32(8, number);
        self.set_u32(12, previous);
        self.set_u32(16, next);
        self.set_u16(22, size % 65536);
        self.0[24] = level;
        self.0[25] = kind;
    }

    pub(super) fn set_u16(&mut self, at: usize, value: usize) {
        self.0[at..at + 2].copy_from_slice(&(value as u16).to_ne_bytes());
    }

    pub(super) fn set_u32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    pub(super) fn set_previous(&mut self, number: u32) {
        self.set_u32(12, number);
    }

    pub(super) fn set_next(&mut self, number: u32) {
        self.set_u32(16, number);
    }
}
