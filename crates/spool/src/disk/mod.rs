//! The file operations that the spool's promises rest on, behind a small trait: tests put a disk there that forgets what was
//! not synced, tears writes, fails and fills up.
//!
//! Names are relative to the spool's folder: `segments/00000001`.

mod real;

pub use real::RealDisk;

use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// A folder of a file system, for one spool.
///
/// What an operation does is durable only after a sync: a file's octets and size after [`DiskFile::sync`], a name that was
/// created or removed after [`Disk::sync_folder`].
pub trait Disk: Send + Sync {
    /// Creates a file that is not there yet.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a file. Whoever has it open keeps it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes sure that a folder is there.
    fn create_folder(&self, name: &str) -> io::Result<()>;

    /// The names in a folder, without the folder's; empty if there is no such folder.
    fn names(&self, folder: &str) -> io::Result<Vec<String>>;

    fn sync_folder(&self, name: &str) -> io::Result<()>;

    /// Octets that the file system would let us write now.
    fn free_space(&self) -> io::Result<u64>;

    /// Locks a file, creating it, against every other process until the value is dropped. `WouldBlock` if one has it.
    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Writes the parts one after the other; gives how many octets were written, which may be fewer than all.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Reads octets, at least one unless that is the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes the file's octets and its size durable. After an error nobody knows what of it is: never try again on the
    /// same file and believe it.
    fn sync(&self) -> io::Result<()>;

    fn size(&self) -> io::Result<u64>;
}

/// The system takes no more parts than this in one write (`IOV_MAX`).
const PARTS_MAX: usize = 1024;

/// Writes all parts, however many writes that takes.
pub(crate) fn write_all_at(
    file: &dyn DiskFile,
    mut parts: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    // Drops empty parts in front, which would look like the end.
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match file.write_at(&parts[..parts.len().min(PARTS_MAX)], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                offset += n as u64;
                IoSlice::advance_slices(&mut parts, n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills the buffer, or as much of it as there is before the end of the file.
pub(crate) fn read_full_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Syncs, trying again when a signal came in between: only then is nothing lost by that.
pub(crate) fn sync(file: &dyn DiskFile) -> io::Result<()> {
    loop {
        match file.sync() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
