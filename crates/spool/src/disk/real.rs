//! The real disk.

use super::{Access, Disk, DiskFile};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::any::Any;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of the file system. What it creates is for its owner alone.
#[derive(Clone, Debug)]
pub struct RealDisk {
    folder: PathBuf,
}

impl RealDisk {
    pub fn new(folder: impl Into<PathBuf>) -> RealDisk {
        RealDisk { folder: folder.into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Arc::new(options.open(self.path(name))?))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::ReadWrite);
        // Whatever somebody put there: no link is followed, no FIFO waited for.
        options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
        let file = options.open(self.path(name))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Arc::new(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // Names that are no UTF-8 are none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_folder(&self, name: &str) -> io::Result<()> {
        File::open(self.path(name))?.sync_all()
    }

    fn free_space(&self) -> io::Result<u64> {
        let space = nix::sys::statvfs::statvfs(&self.folder)?;
        // A file system without inodes left takes no new file either.
        let has_inodes = space.files() == 0 || space.files_available() > 0;
        Ok(if has_inodes { space.blocks_available() * space.fragment_size() } else { 0 })
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.path(name))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Box::new(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Err(io::ErrorKind::WouldBlock.into()),
            Err((_, errno)) => Err(errno.into()),
        }
    }
}

impl DiskFile for File {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let offset = offset.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(nix::sys::uio::pwritev(self, parts, offset)?)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl AsRef<Path> for RealDisk {
    fn as_ref(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{read_full_at, write_all_at};

    #[test]
    fn does_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(folder.path());
        assert!(disk.names("a").unwrap().is_empty());
        disk.create_folder("a").unwrap();
        disk.create_folder("a").unwrap();
        let file = disk.create("a/b").unwrap();
        assert_eq!(disk.create("a/b").err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        let mut parts = [IoSlice::new(b""), IoSlice::new(b"12"), IoSlice::new(b""), IoSlice::new(b"345")];
        write_all_at(&*file, &mut parts, 2).unwrap();
        file.sync().unwrap();
        disk.sync_folder("a").unwrap();
        assert_eq!(file.size().unwrap(), 7);
        let mut read = [9; 9];
        assert_eq!(read_full_at(&*file, &mut read, 0).unwrap(), 7);
        assert_eq!(read, *b"\0\x0012345\x09\x09");
        assert_eq!(disk.names("a").unwrap(), ["b"]);
        assert!(disk.free_space().unwrap() > 0);
        disk.remove("a/b").unwrap();
        assert_eq!(read_full_at(&*file, &mut read, 2).unwrap(), 5);
        assert!(disk.open("a/b", Access::Read).is_err());
    }

    #[test]
    fn strange_files_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(folder.path());
        disk.create("file").unwrap();
        disk.create_folder("folder").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (name, is_fine) in [("file", true), ("folder", false), ("link", false), ("fifo", false)] {
            assert_eq!(disk.open(name, Access::Read).is_ok(), is_fine, "{name}");
        }
    }

    #[test]
    fn one_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(folder.path());
        let lock = disk.lock("lock").unwrap();
        assert_eq!(disk.lock("lock").err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        disk.lock("lock").unwrap();
    }
}
