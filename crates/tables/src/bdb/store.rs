//! Where pages come from: a small file is read into memory, a large one page by page with pread. Nothing is mapped, so
//! a file that shrinks while it is read is an error and not a signal.

use super::DbError;
use super::page::{HEADER, NO_PAGE, Page, PageMut, kind};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

pub(super) struct Store {
    source: Source,
    pub(super) page_size: usize,
    /// Pages in the file.
    pub(super) count: u32,
    pub(super) swapped: bool,
}

enum Source {
    Memory(Vec<u8>),
    Disk(File),
}

impl Store {
    /// Pages of a size that is not known yet: the metadata page is within the first 512 octets.
    pub(super) fn read(file: File, memory_limit_bytes: u64) -> Result<Store, DbError> {
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::from_raw_os_error(nix::libc::EISDIR).into());
        }
        let length = metadata.len();
        let source = if length <= memory_limit_bytes {
            let mut bytes = Vec::with_capacity(length as usize);
            (&file).take(length).read_to_end(&mut bytes)?;
            Source::Memory(bytes)
        } else {
            Source::Disk(file)
        };
        Ok(Store {
            source,
            page_size: 512,
            count: u32::try_from(length / 512).unwrap_or(u32::MAX),
            swapped: false,
        })
    }

    /// A new file of `count` pages, all zeros.
    pub(super) fn new(page_size: usize, count: u32) -> Store {
        let source = Source::Memory(vec![0; page_size * count as usize]);
        Store { source, page_size, count, swapped: false }
    }

    /// Adds pages of zeros at the end.
    pub(super) fn grow(&mut self, pages: u32) -> Result<(), DbError> {
        let count = self.count.checked_add(pages).ok_or(DbError::Unsupported("more than 2^32 pages"))?;
        if let Source::Memory(bytes) = &mut self.source {
            bytes.resize(count as usize * self.page_size, 0);
        }
        self.count = count;
        Ok(())
    }

    /// A page to be written.
    pub(super) fn page_mut(&mut self, number: u32) -> Result<PageMut<'_>, DbError> {
        let at = number as usize * self.page_size;
        match &mut self.source {
            Source::Memory(bytes) => bytes.get_mut(at..at + self.page_size).map(PageMut),
            Source::Disk(_) => None,
        }
        .ok_or(DbError::Damaged("a page behind the end"))
    }

    /// Everything, if it is in memory.
    pub(super) fn memory(&self) -> &[u8] {
        match &self.source {
            Source::Memory(bytes) => bytes,
            Source::Disk(_) => &[],
        }
    }

    /// Takes the page size and octet order from the metadata page.
    pub(super) fn set_layout(&mut self, page_size: u32, swapped: bool) -> Result<(), DbError> {
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return Err(DbError::Damaged("an impossible page size"));
        }
        self.count = (u64::from(self.count) * 512 / u64::from(page_size)) as u32;
        self.page_size = page_size as usize;
        self.swapped = swapped;
        Ok(())
    }

    pub(super) fn bytes(&self, number: u32) -> Result<Cow<'_, [u8]>, DbError> {
        if number >= self.count {
            return Err(DbError::Damaged("a page behind the end"));
        }
        let at = number as usize * self.page_size;
        match &self.source {
            Source::Memory(bytes) => bytes
                .get(at..at + self.page_size)
                .map(Cow::Borrowed)
                .ok_or(DbError::Damaged("a page behind the end")),
            Source::Disk(file) => {
                let mut page = vec![0; self.page_size];
                file.read_exact_at(&mut page, at as u64)?;
                Ok(Cow::Owned(page))
            }
        }
    }

    pub(super) fn page<'a>(&self, bytes: &'a [u8]) -> Page<'a> {
        Page { bytes, swapped: self.swapped }
    }

    /// An item that was too large for its page: `length` octets in a chain of pages.
    pub(super) fn overflow(&self, first: u32, length: u32) -> Result<Vec<u8>, DbError> {
        if u64::from(length) > u64::from(self.count) * self.page_size as u64 {
            return Err(DbError::Damaged("an item longer than its file"));
        }
        let mut item = Vec::with_capacity(length as usize);
        let mut number = first;
        while item.len() < length as usize {
            if number == NO_PAGE {
                return Err(DbError::Damaged("a chain of overflow pages that is too short"));
            }
            let bytes = self.bytes(number)?;
            let page = self.page(&bytes);
            let held = page.high_offset()?;
            if page.kind() != kind::OVERFLOW || held == 0 {
                return Err(DbError::Damaged("a page that is no overflow page"));
            }
            item.extend_from_slice(page.slice(HEADER, HEADER + held)?);
            number = page.next()?;
        }
        item.truncate(length as usize);
        Ok(item)
    }
}
