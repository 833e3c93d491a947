//! mbox: one file, locked, appended to, cut back to its old length if the message cannot be written whole.

use super::convert::LineConverter;
use super::{Failure, Locking, MAILBOX, Mailbox, Prelude, SYSTEM, strerror};
use mail::DsnStatus;
use mail::time::{MONTHS, WEEKDAYS};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const CHUNK_SIZE: usize = 64 * 1024;

pub(super) fn deliver(mailbox: &Mailbox, prelude: &Prelude, content: &mut dyn Read) -> Result<(), Failure> {
    append(mailbox, prelude, content).map_err(|f| {
        f.with_reason(|reason| {
            format!("cannot update mailbox {} for user {}. {reason}", mailbox.path.display(), mailbox.user)
        })
    })
}

fn append(mailbox: &Mailbox, prelude: &Prelude, content: &mut dyn Read) -> Result<(), Failure> {
    let locking = &mailbox.locking;
    let _dotlock = match locking.dotlock && is_file_or_absent(&mailbox.path) {
        true => Some(Dotlock::take(&mailbox.path, locking)?),
        false => None,
    };
    let mut file = open(&mailbox.path)?;
    lock(&file, locking)?;
    check(&file, &mailbox.path)?;
    let old_len =
        file.seek(SeekFrom::End(0)).map_err(|e| Failure::new(&e, SYSTEM, "error writing message"))?;
    let written = write(mailbox, prelude, content, &mut file, old_len).and_then(|()| match old_len {
        0 => sync_name(&mailbox.path),
        _ => Ok(()),
    });
    if written.is_err() {
        // Half a message would be read as one: undo, even if undoing may fail too.
        let _ = file.set_len(old_len).and_then(|()| file.sync_all());
    }
    written
}

fn is_file_or_absent(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |meta| meta.is_file())
}

/// Opens for appending, or creates. Never through a symbolic link, never waiting on a pipe.
fn open(path: &Path) -> Result<File, Failure> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits();
    let open = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path);
    match open {
        Ok(file) => Ok(file),
        Err(e) if e.raw_os_error() == Some(Errno::ELOOP as i32) => {
            Err(Failure { status: MAILBOX, reason: "file is a symbolic link".into() })
        }
        Err(e) => Err(Failure::new(&e, MAILBOX, "cannot open file")),
    }
}

/// A regular file with one name that belongs to this process's user. A second name could be somebody else's file.
fn check(file: &File, path: &Path) -> Result<(), Failure> {
    let failed = |status, reason: String| Err(Failure { status, reason });
    let meta = file.metadata().map_err(|e| Failure::new(&e, MAILBOX, "cannot open file"))?;
    if !meta.is_file() {
        failed(MAILBOX, format!("destination {} is not a regular file", path.display()))
    } else if meta.nlink() != 1 {
        failed(MAILBOX, format!("file has {} hard links", meta.nlink()))
    } else if meta.uid() != nix::unistd::geteuid().as_raw() {
        failed(DsnStatus::new(4, 2, 0), format!("destination {} is not owned by recipient", path.display()))
    } else {
        Ok(())
    }
}

fn lock(file: &File, locking: &Locking) -> Result<(), Failure> {
    let failed = |e: Errno| Failure::new(&e.into(), MAILBOX, "unable to lock for exclusive access");
    if locking.flock {
        patiently(locking, || file.try_lock().map_err(|_| Errno::EAGAIN)).map_err(failed)?;
    }
    if locking.fcntl {
        let whole_file = libc_flock();
        let lock = || match fcntl(file, FcntlArg::F_SETLK(&whole_file)) {
            Err(Errno::EACCES) => Err(Errno::EAGAIN),
            other => other.map(drop),
        };
        patiently(locking, lock).map_err(failed)?;
    }
    Ok(())
}

fn libc_flock() -> nix::libc::flock {
    nix::libc::flock {
        l_type: nix::libc::F_WRLCK as i16,
        l_whence: nix::libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Tries again while the lock is somebody else's: `deliver_lock_attempts` times, `deliver_lock_delay` apart.
fn patiently(locking: &Locking, mut attempt: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    for left in (0..locking.attempts.max(1)).rev() {
        match attempt() {
            Err(Errno::EAGAIN | Errno::EEXIST) if left > 0 => std::thread::sleep(locking.delay),
            result => return result,
        }
    }
    Err(Errno::EAGAIN)
}

/// `mailbox.lock` beside the mailbox, as long as this value lives.
struct Dotlock(PathBuf);

impl Dotlock {
    fn take(mailbox: &Path, locking: &Locking) -> Result<Dotlock, Failure> {
        let mut name = mailbox.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let attempt = || match OpenOptions::new().write(true).create_new(true).mode(0o444).open(&path) {
            Ok(_) => Ok(()),
            Err(e) => {
                let errno = Errno::from_raw(e.raw_os_error().unwrap_or(0));
                if errno == Errno::EEXIST && is_stale(&path, locking) {
                    // Its maker is gone; if removing fails the next attempt says why.
                    let _ = std::fs::remove_file(&path);
                }
                Err(errno)
            }
        };
        match patiently(locking, attempt) {
            Ok(()) => Ok(Dotlock(path)),
            Err(errno) => {
                let error = io::Error::from(errno);
                let status = match errno {
                    Errno::EEXIST | Errno::EAGAIN => DsnStatus::new(4, 2, 0),
                    _ => super::status_of(&error, MAILBOX),
                };
                Err(Failure {
                    status,
                    reason: format!("unable to create lock file {}: {}", path.display(), strerror(&error)),
                })
            }
        }
    }
}

impl Drop for Dotlock {
    fn drop(&mut self) {
        // A lock that stays is stale after a while and then removed by the next one.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn is_stale(lock: &Path, locking: &Locking) -> bool {
    let modified = std::fs::metadata(lock).and_then(|meta| meta.modified());
    modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > locking.stale))
}

fn write(
    mailbox: &Mailbox,
    prelude: &Prelude,
    content: &mut dyn Read,
    file: &mut File,
    old_len: u64,
) -> Result<(), Failure> {
    let writing = |e: io::Error| Failure::new(&e, SYSTEM, "error writing message");
    let mut converter = LineConverter::new(true);
    let mut out = from_line(prelude);
    out.extend_from_slice(&prelude.header());
    let mut chunk = vec![0; CHUNK_SIZE];
    let mut len = old_len;
    loop {
        let n = content.read(&mut chunk).map_err(|e| Failure::new(&e, SYSTEM, "error reading message"))?;
        if n == 0 {
            converter.finish(&mut out);
            out.push(b'\n');
        } else {
            converter.convert(&chunk[..n], &mut out);
        }
        len += out.len() as u64;
        if mailbox.size_limit > 0 && len > mailbox.size_limit {
            return Err(writing(Errno::EFBIG.into()));
        }
        file.write_all(&out).map_err(writing)?;
        out.clear();
        if n == 0 {
            return file.sync_all().map_err(writing);
        }
    }
}

/// Makes the name of a file that may be new durable too.
fn sync_name(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    let synced = match File::open(folder) {
        // A folder that its users may write to but not list: nothing can be done about its durability.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        folder => folder.and_then(|folder| folder.sync_all()),
    };
    synced.map_err(|e| Failure::new(&e, SYSTEM, "error writing message"))
}

/// `From sender  Wed Nov 25 01:20:14 2026`, in local time.
fn from_line(prelude: &Prelude) -> Vec<u8> {
    let (offset, _) = sys::local_time::zone_at(prelude.now.secs());
    let c = prelude.now.civil(offset);
    let sender = match prelude.sender.is_null() {
        true => b"MAILER-DAEMON".to_vec(),
        false => prelude.sender.external(),
    };
    let (weekday, month) = (WEEKDAYS[usize::from(c.weekday)], MONTHS[usize::from(c.month - 1)]);
    let date =
        format!("  {weekday} {month} {:2} {:02}:{:02}:{:02} {}\n", c.day, c.hour, c.minute, c.second, c.year);
    [b"From ", &*sender, date.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::{Style, deliver};
    use super::*;
    use std::time::Duration;

    fn mailbox(path: &Path) -> Mailbox {
        let locking = Locking { attempts: 2, delay: Duration::from_millis(1), ..Locking::default() };
        Mailbox {
            style: Style::Mbox,
            path: path.join("alice"),
            user: "alice".into(),
            host: "mail.example.com".into(),
            size_limit: 0,
            locking,
        }
    }

    #[test]
    fn messages_are_appended_with_their_from_lines() {
        let spool = tempfile::tempdir().expect("a folder");
        let mailbox = mailbox(spool.path());
        let prelude = Prelude { sender: "a@b".into(), ..Prelude::default() };
        for content in ["Subject: 1\r\n\r\nFrom me\r\n", "Subject: 2\r\n\r\n"] {
            assert_eq!(deliver(&mailbox, &prelude, &mut content.as_bytes()), Ok("delivered to mailbox"));
        }
        let text = std::fs::read_to_string(&mailbox.path).expect("readable");
        let from = String::from_utf8(from_line(&prelude)).expect("text");
        let expect = format!(
            "{from}Return-Path: <a@b>\nSubject: 1\n\n>From me\n\n{from}Return-Path: <a@b>\nSubject: 2\n\n\n"
        );
        assert_eq!(text, expect);
        assert!(from.starts_with("From a@b  ") && from.len() == "From a@b  Thu Jan  1 00:00:00 1970\n".len());
        assert!(!spool.path().join("alice.lock").exists());
    }

    #[test]
    fn a_failed_append_is_undone() {
        let spool = tempfile::tempdir().expect("a folder");
        let mailbox = Mailbox { size_limit: 100, ..mailbox(spool.path()) };
        std::fs::write(&mailbox.path, "old mail\n").expect("written");
        let failure = deliver(&mailbox, &Prelude::default(), &mut &[b'x'; 200][..]).expect_err("too large");
        assert_eq!(
            failure.reason,
            format!(
                "cannot update mailbox {} for user alice. error writing message: File too large",
                mailbox.path.display()
            )
        );
        assert_eq!(std::fs::read_to_string(&mailbox.path).expect("readable"), "old mail\n");
    }

    #[test]
    fn locked_or_strange_files_are_left_alone() {
        let spool = tempfile::tempdir().expect("a folder");
        let mailbox = mailbox(spool.path());
        let attempt = || deliver(&mailbox, &Prelude::default(), &mut &b"x\r\n"[..]).expect_err("refused");

        std::fs::write(spool.path().join("alice.lock"), "").expect("written");
        let failure = attempt();
        assert!(failure.reason.ends_with("alice.lock: File exists"), "{}", failure.reason);
        assert_eq!(failure.status.to_string(), "4.2.0");
        std::fs::remove_file(spool.path().join("alice.lock")).expect("there");

        std::fs::write(spool.path().join("other"), "").expect("written");
        std::os::unix::fs::symlink(spool.path().join("other"), &mailbox.path).expect("made");
        assert!(attempt().reason.ends_with("file is a symbolic link"));
        std::fs::remove_file(&mailbox.path).expect("there");

        std::fs::hard_link(spool.path().join("other"), &mailbox.path).expect("made");
        assert!(attempt().reason.ends_with("file has 2 hard links"));
        assert_eq!(std::fs::metadata(spool.path().join("other")).expect("there").len(), 0);
    }
}
