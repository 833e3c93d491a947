//! Locks on a mailbox: a file beside it, flock(2), fcntl(2). Together they are what `mailbox_delivery_lock` names.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, OFlag, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::program::reason;

/// Ways to lock, which hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Styles {
    pub(super) dotlock: bool,
    pub(super) flock: bool,
    pub(super) fcntl: bool,
}

impl Styles {
    /// Reads a list of names. The error is the one that is none.
    pub(super) fn parse(text: &str) -> Result<Styles, String> {
        let mut styles = Styles::default();
        for word in text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "dotlock" => styles.dotlock = true,
                "flock" => styles.flock = true,
                "fcntl" => styles.fcntl = true,
                _ => return Err(word.to_owned()),
            }
        }
        Ok(styles)
    }
}

/// How long a lock is tried for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) deliver_lock_attempts: u32,
    pub(super) deliver_lock_delay: Duration,
    /// A lock file that is older belongs to nobody.
    pub(super) stale_lock_time: Duration,
}

/// A mailbox that is locked as long as this lives.
#[derive(Debug)]
pub(super) struct Locked {
    _file: Flocked,
    _dotlock: Option<Dotlock>,
}

#[derive(Debug)]
enum Flocked {
    No(#[expect(dead_code, reason = "it holds the fcntl lock, if there is one")] File),
    Yes(#[expect(dead_code, reason = "it holds the lock")] Flock<File>),
}

/// Locks a mailbox, which is made if it is not there. The error is Postfix's text.
pub(super) fn lock(path: &Path, styles: Styles, patience: Patience) -> Result<Locked, String> {
    let is_file = std::fs::metadata(path).map_or(true, |metadata| metadata.is_file());
    let dotlock = if styles.dotlock && is_file { Some(Dotlock::create(path, patience)?) } else { None };
    let file = open(path).map_err(|e| format!("cannot open file: {}", reason(&e)))?;
    let metadata = file.metadata().map_err(|e| format!("cannot open file: {}", reason(&e)))?;
    if !metadata.is_file() {
        return Ok(Locked { _file: Flocked::No(file), _dotlock: dotlock });
    }
    let unlockable = |e: Errno| format!("unable to lock for exclusive access: {}", reason(&e.into()));
    if styles.fcntl {
        patience.try_for(|| take_fcntl(&file)).map_err(unlockable)?;
    }
    let file = if styles.flock {
        Flocked::Yes(take_flock(file, patience).map_err(unlockable)?)
    } else {
        Flocked::No(file)
    };
    if std::fs::symlink_metadata(path).map_or(true, |now| now.ino() != metadata.ino() || now.nlink() != 1) {
        return Err("target file status changed unexpectedly".to_owned());
    }
    Ok(Locked { _file: file, _dotlock: dotlock })
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags.bits()).open(path)
}

fn take_fcntl(file: &File) -> nix::Result<()> {
    // All of the file, also what is not there yet.
    let whole = nix::libc::flock {
        l_type: nix::libc::F_WRLCK as i16,
        l_whence: nix::libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_SETLK(&whole)).map(drop)
}

fn take_flock(file: File, patience: Patience) -> nix::Result<Flock<File>> {
    let mut file = Some(file);
    let mut locked = None;
    patience.try_for(|| {
        let unlocked = file.take().ok_or(Errno::EBADF)?;
        match Flock::lock(unlocked, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                locked = Some(lock);
                Ok(())
            }
            Err((unlocked, e)) => {
                file = Some(unlocked);
                Err(e)
            }
        }
    })?;
    locked.ok_or(Errno::EBADF)
}

impl Patience {
    /// Tries again while somebody else has the lock.
    fn try_for(&self, mut attempt: impl FnMut() -> nix::Result<()>) -> nix::Result<()> {
        for _ in 1..self.deliver_lock_attempts {
            match attempt() {
                Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => {
                    std::thread::sleep(self.deliver_lock_delay)
                }
                settled => return settled,
            }
        }
        attempt()
    }
}

/// `mailbox.lock`, removed when this is dropped.
#[derive(Debug)]
struct Dotlock(PathBuf);

impl Dotlock {
    fn create(mailbox: &Path, patience: Patience) -> Result<Dotlock, String> {
        let mut name = mailbox.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        for attempt in 1.. {
            match OpenOptions::new().write(true).create_new(true).mode(0o000).open(&path) {
                Ok(_) => return Ok(Dotlock(path)),
                Err(e)
                    if e.kind() != ErrorKind::AlreadyExists || attempt >= patience.deliver_lock_attempts =>
                {
                    return Err(format!("unable to create lock file {}: {}", path.display(), reason(&e)));
                }
                Err(_) => {}
            }
            if is_stale(&path, patience.stale_lock_time) {
                // Whoever made it is gone; if it cannot be removed, the next attempt fails as this one did.
                let _ = std::fs::remove_file(&path);
            }
            std::thread::sleep(patience.deliver_lock_delay);
        }
        unreachable!("the attempts have a limit")
    }
}

impl Drop for Dotlock {
    fn drop(&mut self) {
        // It goes stale if this fails.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Postfix: by the time at which the file was last changed in any way.
fn is_stale(path: &Path, stale_lock_time: Duration) -> bool {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return false };
    let changed = UNIX_EPOCH + Duration::from_secs(metadata.ctime().max(0) as u64);
    SystemTime::now().duration_since(changed).is_ok_and(|age| age > stale_lock_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        deliver_lock_attempts: 2,
        deliver_lock_delay: Duration::from_millis(1),
        stale_lock_time: Duration::from_secs(500),
    };

    #[test]
    fn styles() {
        let all = Styles { dotlock: true, flock: true, fcntl: true };
        for (text, expect) in [
            ("fcntl, dotlock", Ok(Styles { flock: false, ..all })),
            ("flock", Ok(Styles { flock: true, ..Styles::default() })),
            ("fcntl dotlock,FLOCK", Ok(all)),
            ("foo", Err("foo".to_owned())),
        ] {
            assert_eq!(Styles::parse(text), expect, "{text}");
        }
    }

    #[test]
    fn a_lock_file_is_held_and_goes() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mailbox, file) = (dir.path().join("mb"), dir.path().join("mb.lock"));
        let styles = Styles { dotlock: true, flock: true, fcntl: true };
        let locked = lock(&mailbox, styles, PATIENCE).expect("free");
        assert_eq!(std::fs::metadata(&file).expect("there").mode() & 0o777, 0);
        assert_eq!(std::fs::metadata(&mailbox).expect("there").mode() & 0o777, 0o600);
        let why = lock(&mailbox, styles, PATIENCE).expect_err("taken");
        assert_eq!(why, format!("unable to create lock file {}: File exists", file.display()));
        drop(locked);
        assert!(!file.exists());
    }

    #[test]
    fn kernel_locks_are_held() {
        let dir = tempfile::tempdir().expect("a folder");
        let mailbox = dir.path().join("mb");
        let flock = Styles { flock: true, ..Styles::default() };
        let locked = lock(&mailbox, flock, PATIENCE).expect("free");
        let why = lock(&mailbox, flock, PATIENCE).expect_err("taken");
        assert_eq!(why, "unable to lock for exclusive access: Resource temporarily unavailable");
        drop(locked);
        lock(&mailbox, flock, PATIENCE).expect("free again");
    }

    #[test]
    fn a_stale_lock_file_goes() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mailbox, file) = (dir.path().join("mb"), dir.path().join("mb.lock"));
        std::fs::write(&file, "").expect("written");
        assert!(!is_stale(&file, Duration::from_secs(500)) && !is_stale(&mailbox, Duration::ZERO));
        let dotlock = Styles { dotlock: true, ..Styles::default() };
        lock(&mailbox, dotlock, PATIENCE).expect_err("taken");
        // Whole seconds count.
        let wait_until = SystemTime::now() + Duration::from_secs(5);
        while !is_stale(&file, Duration::ZERO) && SystemTime::now() < wait_until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let hasty = Patience { stale_lock_time: Duration::ZERO, ..PATIENCE };
        lock(&mailbox, dotlock, hasty).expect("nobody's");
    }

    #[test]
    fn errors() {
        let dotlock = Styles { dotlock: true, ..Styles::default() };
        let missing = Path::new("/nonexistent/mb");
        assert_eq!(
            lock(missing, dotlock, PATIENCE).expect_err("no folder"),
            "unable to create lock file /nonexistent/mb.lock: No such file or directory"
        );
        let dir = tempfile::tempdir().expect("a folder");
        let why = lock(dir.path(), dotlock, PATIENCE).expect_err("a folder");
        assert_eq!(why, "cannot open file: Is a directory");
    }
}
