//! Replacing a file whole: readers see the old content or the new, never half of it.
//!
//! The new file takes over the old one's mode and owner, and stands where a symbolic link points to. Where a new file
//! cannot be put (a directory that is not ours, a file that is mounted by itself), the old one is rewritten in its
//! place, under the lock that Postfix's own programs respect.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Writes the new content.
pub(crate) type WriteContent<'a> = dyn FnMut(&mut dyn Write) -> io::Result<()> + 'a;

/// A file that is to be replaced, locked against others who would.
pub(crate) struct Replacing {
    target: PathBuf,
    /// The file as it is; None: there is none yet.
    old: Option<File>,
}

impl Replacing {
    /// Waits for the lock.
    pub(crate) fn begin(path: &Path) -> io::Result<Replacing> {
        loop {
            let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let old = match OpenOptions::new().read(true).write(true).open(&target) {
                Ok(old) => old,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Replacing { target, old: None });
                }
                Err(error) => return Err(error),
            };
            old.lock()?;
            // While this one waited, another may have put a new file there.
            let is_there = std::fs::metadata(&target).ok().map(|now| (now.dev(), now.ino()));
            let opened = old.metadata()?;
            if is_there == Some((opened.dev(), opened.ino())) {
                return Ok(Replacing { target, old: Some(old) });
            }
        }
    }

    pub(crate) fn old(&self) -> Option<&File> {
        self.old.as_ref()
    }

    /// Removes the old file.
    pub(crate) fn remove_old(&mut self) -> io::Result<()> {
        self.old = None;
        std::fs::remove_file(&self.target)
    }

    /// Puts the new content in place of the old. It is on the disk when this returns.
    pub(crate) fn commit(self, write: &mut WriteContent) -> io::Result<()> {
        let temporary = self.temporary();
        match self.write_temporary(&temporary, write) {
            Ok(()) => Ok(()),
            Err(error) => {
                let _none_may_be_left = std::fs::remove_file(&temporary);
                match &self.old {
                    Some(old) => rewrite(old, write),
                    None => Err(error),
                }
            }
        }
    }

    fn temporary(&self) -> PathBuf {
        let mut name = self.target.clone().into_os_string();
        name.push(format!(".new.{}", std::process::id()));
        name.into()
    }

    fn write_temporary(&self, temporary: &Path, write: &mut WriteContent) -> io::Result<()> {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o644).open(temporary)?;
        if let Some(old) = &self.old {
            take_over(&new, old)?;
        }
        write(&mut new)?;
        new.sync_all()?;
        std::fs::rename(temporary, &self.target)
    }
}

/// Gives the new file the old one's owner and mode.
fn take_over(new: &File, old: &File) -> io::Result<()> {
    let (is, want) = (new.metadata()?, old.metadata()?);
    if (is.uid(), is.gid()) != (want.uid(), want.gid()) {
        fchown(new, Some(want.uid()), Some(want.gid()))?;
    }
    new.set_permissions(Permissions::from_mode(want.mode() & 0o7777))
}

fn rewrite(mut old: &File, write: &mut WriteContent) -> io::Result<()> {
    old.set_len(0)?;
    io::Seek::rewind(&mut old)?;
    write(&mut old)?;
    old.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(path: &Path, content: &str) {
        let replacing = Replacing::begin(path).unwrap();
        replacing.commit(&mut |out| out.write_all(content.as_bytes())).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), content);
    }

    #[test]
    fn mode_and_links_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace(&file, "one");
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let reader = File::open(&file).unwrap();
        replace(&link, "two");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        // Whoever had it open still has the old one.
        assert_eq!(io::read_to_string(reader).unwrap(), "one");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn in_place_if_it_must_be() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        replace(&file, "a longer content");
        let replacing = Replacing::begin(&file).unwrap();
        std::fs::create_dir(replacing.temporary()).unwrap();
        replacing.commit(&mut |out| out.write_all(b"short")).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "short");
    }

    #[test]
    fn a_second_writer_gets_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        replace(&file, "one");
        let first = Replacing::begin(&file).unwrap();
        let second = std::thread::spawn({
            let file = file.clone();
            move || io::read_to_string(Replacing::begin(&file).unwrap().old().unwrap()).unwrap()
        });
        first.commit(&mut |out| out.write_all(b"two")).unwrap();
        assert_eq!(second.join().unwrap(), "two");
    }
}
