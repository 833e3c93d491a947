//! `pid/master.pid`: one server to a queue directory, and where scripts read its process id.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock, held as long as this value lives. The file stays, as Postfix's does.
pub struct MasterLock {
    file: Flock<File>,
}

/// Why the lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Another server has it.
    Held,
    Io(PathBuf, io::Error),
}

/// Where the file is.
pub fn path(queue_directory: &Path) -> PathBuf {
    queue_directory.join("pid/master.pid")
}

impl MasterLock {
    /// Takes the lock and writes this process's id: right-aligned in 32 columns, as scripts that read it expect.
    pub fn take(queue_directory: &Path) -> Result<MasterLock, LockError> {
        let path = path(queue_directory);
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(|e| LockError::Io(path.clone(), e))?;
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, Errno::EWOULDBLOCK)) => return Err(LockError::Held),
            Err((_, e)) => return Err(LockError::Io(path, e.into())),
        };
        let mut lock = MasterLock { file };
        lock.write_pid().map_err(|e| LockError::Io(path, e))?;
        Ok(lock)
    }

    fn write_pid(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{:32}", std::process::id())
    }
}

/// The process id of the server that holds the lock; None if none does.
pub fn holder(queue_directory: &Path) -> io::Result<Option<u32>> {
    let file = match File::open(path(queue_directory)) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_free) => Ok(None),
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            // A server that has just taken the lock may not have written its number yet.
            Ok(Some(text.trim().parse().unwrap_or(0)))
        }
        Err((_, e)) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("pid")).expect("a folder");
        assert_eq!(holder(dir.path()).expect("readable"), None);
        let lock = MasterLock::take(dir.path()).expect("free");
        assert!(matches!(MasterLock::take(dir.path()), Err(LockError::Held)));
        assert_eq!(holder(dir.path()).expect("readable"), Some(std::process::id()));
        let text = std::fs::read_to_string(path(dir.path())).expect("readable");
        assert_eq!(text, format!("{:>32}\n", std::process::id()));
        drop(lock);
        assert_eq!(holder(dir.path()).expect("readable"), None);
        MasterLock::take(dir.path()).expect("free again");
    }

    #[test]
    fn no_folder_is_an_error_with_its_path() {
        let Err(LockError::Io(path, _)) = MasterLock::take(Path::new("/nonexistent")) else {
            panic!("no error")
        };
        assert_eq!(path, Path::new("/nonexistent/pid/master.pid"));
    }
}
