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
    /// The file as it is; None: there is none yet, or nothing of it is kept.
    old: Option<File>,
    /// What is written, if it was opened already.
    new: Option<(PathBuf, File)>,
}

/// Why a file could not be replaced.
#[derive(Debug)]
pub(crate) struct ReplaceError {
    pub(crate) step: Step,
    pub(crate) error: io::Error,
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Write,
    Rename,
}

impl Replacing {
    /// Waits for the lock.
    pub(crate) fn begin(path: &Path) -> io::Result<Replacing> {
        loop {
            let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let old = match OpenOptions::new().read(true).write(true).open(&target) {
                Ok(old) => old,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Replacing { target, old: None, new: None });
                }
                Err(error) => return Err(error),
            };
            if lock_in_place(&old, &target)? {
                return Ok(Replacing { target, old: Some(old), new: None });
            }
        }
    }

    /// As cdb files are made: under the name with `.tmp`, with the mode and owner of any new file.
    pub(crate) fn anew(path: &Path) -> io::Result<Replacing> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        loop {
            let mut options = OpenOptions::new();
            let new =
                options.read(true).write(true).create(true).truncate(false).mode(0o644).open(&temporary)?;
            if lock_in_place(&new, &temporary)? {
                new.set_len(0)?;
                return Ok(Replacing { target: path.to_owned(), old: None, new: Some((temporary, new)) });
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
    pub(crate) fn commit(mut self, write: &mut WriteContent) -> Result<(), ReplaceError> {
        let failed = |step| move |error| ReplaceError { step, error };
        if let Some((temporary, mut new)) = self.new.take() {
            write(&mut new).and_then(|()| new.sync_all()).map_err(failed(Step::Write))?;
            return std::fs::rename(temporary, &self.target).map_err(failed(Step::Rename));
        }
        let temporary = self.temporary();
        match self.write_temporary(&temporary, write) {
            Ok(()) => Ok(()),
            Err(error) => {
                let _none_may_be_left = std::fs::remove_file(&temporary);
                let rewritten = match &self.old {
                    Some(old) => rewrite(old, write),
                    None => Err(error),
                };
                rewritten.map_err(failed(Step::Write))
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

/// Waits for the lock. False: while this one waited, another has put a new file there.
fn lock_in_place(file: &File, path: &Path) -> io::Result<bool> {
    file.lock()?;
    let is_there = std::fs::metadata(path).ok().map(|now| (now.dev(), now.ino()));
    let opened = file.metadata()?;
    Ok(is_there == Some((opened.dev(), opened.ino())))
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
