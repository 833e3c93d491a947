//! mbox: one file, locked, appended to, cut back to its old length if the message cannot be written whole.
//!
//! The file may lie where others may write, and its name may come from a user: it is opened without waiting for anybody, and
//! looked at before and after, so that no link leads to another file (CVE-2008-2936, CVE-2008-2937).

use super::{Locking, Mailbox, Owner};
use crate::copy::{CopyError, Form, Prelude, copy};
use crate::failure::{Failure, SYSTEM, status_of, strerror};
use mail::DsnStatus;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) fn deliver(
    mailbox: &Mailbox,
    prelude: &Prelude,
    content: &mut dyn Read,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    append(mailbox, prelude, content, warnings).map_err(|f| {
        let path = mailbox.path.display();
        f.with_reason(|reason| match &mailbox.owner {
            Owner::User(user) => format!("cannot update mailbox {path} for user {user}. {reason}"),
            Owner::Virtual(_) => format!("delivery failed to mailbox {path}: {reason}"),
            Owner::File => format!("cannot append message to file {path}: {reason}"),
        })
    })
}

fn append(
    mailbox: &Mailbox,
    prelude: &Prelude,
    content: &mut dyn Read,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    let _dotlock = take_dotlock(mailbox, warnings)?;
    let (mut file, meta) = open(mailbox)?;
    if meta.is_file() {
        lock(&file, &mailbox.locking, mailbox.own_status())?;
        check_unchanged(&file, mailbox, warnings)?;
    }
    check(mailbox, &meta, warnings)?;
    match meta.is_file() {
        true => append_to_file(mailbox, prelude, content, &mut file),
        false => write(mailbox, prelude, content, &mut file, 0),
    }
}

fn append_to_file(
    mailbox: &Mailbox,
    prelude: &Prelude,
    content: &mut dyn Read,
    file: &mut File,
) -> Result<(), Failure> {
    let old_len =
        file.seek(SeekFrom::End(0)).map_err(|e| Failure::of_copying(&e, "error writing message"))?;
    let written = write(mailbox, prelude, content, file, old_len)
        .and_then(|()| file.sync_all().map_err(|e| Failure::of_copying(&e, "error writing message")))
        .and_then(|()| if old_len == 0 { sync_name(&mailbox.path) } else { Ok(()) });
    if written.is_err() {
        // Half a message would be read as one: undo, even if undoing may fail too.
        let _ = file.set_len(old_len).and_then(|()| file.sync_all());
    }
    written
}

/// Opens for appending what is there, or creates a file. Never waits for a reader of a pipe.
fn open(mailbox: &Mailbox) -> Result<(File, Metadata), Failure> {
    match open_existing(mailbox) {
        Ok(None) => {}
        Ok(Some(opened)) => return Ok(opened),
        Err(failure) => return Err(failure),
    }
    let create = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&mailbox.path);
    match create {
        Ok(file) => {
            let meta = file.metadata().map_err(|e| not_opened(mailbox, &e))?;
            Ok((file, meta))
        }
        // Somebody else was faster, or it is a symbolic link to nowhere.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match open_existing(mailbox)? {
            Some(opened) => Ok(opened),
            None => Err(not_opened(mailbox, &Errno::ENOENT.into())),
        },
        Err(e) => Err(Failure::of_error(&e, mailbox.own_status(), "cannot create file exclusively")),
    }
}

/// None: there is none.
fn open_existing(mailbox: &Mailbox) -> Result<Option<(File, Metadata)>, Failure> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = match OpenOptions::new().append(true).custom_flags(flags).open(&mailbox.path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(not_opened(mailbox, &e)),
    };
    let meta = file.metadata().map_err(|e| not_opened(mailbox, &e))?;
    match what_is_odd(&mailbox.path, &meta) {
        Some(odd) => Err(Failure::new(mailbox.own_status(), odd)),
        None => Ok(Some((file, meta))),
    }
}

/// Whether the name leads to more or to something else than one file in this place.
fn what_is_odd(path: &Path, opened: &Metadata) -> Option<String> {
    if opened.nlink() != 1 {
        return Some(format!("file has {} hard links", opened.nlink()));
    }
    let named = match std::fs::symlink_metadata(path) {
        Ok(named) => named,
        Err(e) => return Some(format!("file status changed unexpectedly: {}", strerror(&e))),
    };
    if named.is_symlink() {
        let is_fine = named.uid() == 0 && is_roots_own(path.parent().unwrap_or(path));
        return (!is_fine).then(|| "file is a symbolic link".into());
    }
    let id = |meta: &Metadata| (meta.dev(), meta.ino(), meta.nlink(), meta.mode());
    (id(opened) != id(&named)).then(|| "file status changed unexpectedly".into())
}

/// A folder in which only root makes links.
fn is_roots_own(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|meta| meta.uid() == 0 && meta.mode() & 0o022 == 0)
}

fn not_opened(mailbox: &Mailbox, error: &io::Error) -> Failure {
    Failure::of_error(error, mailbox.own_status(), "cannot open file")
}

/// A program that removes a mailbox and makes a new one may have done so while the lock was waited for.
fn check_unchanged(file: &File, mailbox: &Mailbox, warnings: &mut Vec<String>) -> Result<(), Failure> {
    if file.metadata().is_ok_and(|meta| meta.nlink() == 1) {
        return Ok(());
    }
    warnings.push(format!("{}: file status changed unexpectedly", mailbox.path.display()));
    Err(Failure::new(DsnStatus::new(4, 2, 0), "target file status changed unexpectedly"))
}

/// Whether this kind of file, of this owner, is one to write mail to.
fn check(mailbox: &Mailbox, meta: &Metadata, warnings: &mut Vec<String>) -> Result<(), Failure> {
    let path = mailbox.path.display();
    let is_executable = meta.is_file() && meta.mode() & 0o111 != 0;
    match &mailbox.owner {
        Owner::File if is_executable => Err(Failure::new(DsnStatus::new(5, 7, 1), "file is executable")),
        Owner::File => Ok(()),
        Owner::User(_) if !meta.is_file() => {
            let why = format!("destination {path} is not a regular file");
            Err(Failure::new(mailbox.own_status(), why))
        }
        Owner::Virtual(recipient) if !meta.is_file() => {
            let what = format!("recipient {recipient}: destination {path} is not a regular file");
            warnings.push(what);
            Err(Failure::of_configuration(5))
        }
        _ if mailbox.is_ownership_strict && meta.uid() != nix::unistd::geteuid().as_raw() => {
            warnings.push(
                "specify \"strict_mailbox_ownership = no\" to ignore mailbox ownership mismatch".into(),
            );
            let why = format!("destination {path} is not owned by recipient");
            Err(Failure::new(DsnStatus::new(4, 2, 0), why))
        }
        _ => Ok(()),
    }
}

fn write(
    mailbox: &Mailbox,
    prelude: &Prelude,
    content: &mut dyn Read,
    file: &mut File,
    old_len: u64,
) -> Result<(), Failure> {
    let form = Form { delivered_to: mailbox.has_delivered_to, ..Form::mbox() };
    let mut len = old_len;
    let copied = copy(&form, prelude, content, |piece| {
        len += piece.len() as u64;
        if mailbox.size_limit > 0 && len > mailbox.size_limit {
            return Err(Errno::EFBIG.into());
        }
        file.write_all(piece)
    });
    copied.map_err(|e| match e {
        CopyError::Read(e) => Failure::of_copying(&e, "error reading message"),
        CopyError::Write(e) => Failure::of_copying(&e, "error writing message"),
    })
}

/// Makes the name of a file that may be new durable too.
fn sync_name(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    let synced = match File::open(folder) {
        // A folder that its users may write to but not list: nothing can be done about its durability.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        folder => folder.and_then(|folder| folder.sync_all()),
    };
    synced.map_err(|e| Failure::of_error(&e, SYSTEM, "error writing message"))
}

fn lock(file: &File, locking: &Locking, otherwise: DsnStatus) -> Result<(), Failure> {
    let failed = |e: Errno| Failure::of_error(&e.into(), otherwise, "unable to lock for exclusive access");
    if locking.flock {
        patiently(locking, || file.try_lock().map_err(|_| Errno::EAGAIN)).map_err(failed)?;
    }
    if locking.fcntl {
        let whole_file = whole_file();
        let lock = || match fcntl(file, FcntlArg::F_SETLK(&whole_file)) {
            Err(Errno::EACCES) => Err(Errno::EAGAIN),
            other => other.map(drop),
        };
        patiently(locking, lock).map_err(failed)?;
    }
    Ok(())
}

fn whole_file() -> nix::libc::flock {
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

fn take_dotlock(mailbox: &Mailbox, warnings: &mut Vec<String>) -> Result<Option<Dotlock>, Failure> {
    if !mailbox.locking.dotlock || !is_file_or_absent(&mailbox.path) {
        return Ok(None);
    }
    let mut name = mailbox.path.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let Err(errno) = patiently(&mailbox.locking, || make_dotlock(&path, &mailbox.locking)) else {
        return Ok(Some(Dotlock(path)));
    };
    let error = io::Error::from(errno);
    let why = format!("unable to create lock file {}: {}", path.display(), strerror(&error));
    match (errno, &mailbox.owner) {
        (Errno::EEXIST | Errno::EAGAIN, _) => Err(Failure::new(DsnStatus::new(4, 2, 0), why)),
        // A file in a folder that is not to be written to: other locks must do.
        (_, Owner::File) => {
            warnings.push(why);
            Ok(None)
        }
        _ => Err(Failure::new(status_of(&error, mailbox.own_status()), why)),
    }
}

/// What is there to be locked. Devices and the like have no lock file beside them.
fn is_file_or_absent(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |meta| meta.is_file() && !meta.file_type().is_fifo())
}

fn make_dotlock(path: &Path, locking: &Locking) -> Result<(), Errno> {
    match OpenOptions::new().write(true).create_new(true).mode(0o000).open(path) {
        Ok(_) => Ok(()),
        Err(e) => {
            let errno = Errno::from_raw(e.raw_os_error().unwrap_or(0));
            if errno == Errno::EEXIST && is_stale(path, locking) {
                // Its maker is gone; if removing fails the next attempt says why.
                let _ = std::fs::remove_file(path);
            }
            Err(errno)
        }
    }
}

/// A lock file that nobody has touched for long. The time of its last change: whoever holds it for long renews it.
fn is_stale(lock: &Path, locking: &Locking) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
    std::fs::metadata(lock).is_ok_and(|meta| is_older(meta.ctime(), now, locking.stale))
}

fn is_older(changed: i64, now: i64, stale: Duration) -> bool {
    now > changed.saturating_add(stale.as_secs() as i64)
}

impl Drop for Dotlock {
    fn drop(&mut self) {
        // A lock that stays is stale after a while and then removed by the next one.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Style, test_mailbox};
    use super::*;

    fn deliver_to(mailbox: &Mailbox, content: &[u8]) -> Result<String, Failure> {
        mailbox.deliver(&Prelude::default(), &mut &content[..], &mut Vec::new())
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).expect("readable")
    }

    #[test]
    fn messages_are_appended_with_their_from_lines() {
        let spool = tempfile::tempdir().expect("a folder");
        let mailbox = test_mailbox(Style::Mbox, spool.path().join("alice"));
        let prelude = Prelude { sender: "a@b".into(), ..Prelude::default() };
        for content in ["Subject: 1\r\n\r\nFrom me\r\n", "Subject: 2\r\n\r\n"] {
            let said = mailbox.deliver(&prelude, &mut content.as_bytes(), &mut Vec::new());
            assert_eq!(said.as_deref(), Ok("delivered to mailbox"));
        }
        let all = text(&mailbox.path);
        let from = all.lines().next().expect("a line");
        let expect = format!(
            "{from}\nReturn-Path: <a@b>\nSubject: 1\n\n>From me\n\n{from}\nReturn-Path: <a@b>\nSubject: 2\n\n\n"
        );
        assert_eq!(all, expect);
        assert!(from.starts_with("From a@b  ") && from.len() == "From a@b  Thu Jan  1 00:00:00 1970".len());
        assert!(!spool.path().join("alice.lock").exists());
    }

    #[test]
    fn a_failed_append_is_undone() {
        let spool = tempfile::tempdir().expect("a folder");
        let mailbox = Mailbox { size_limit: 100, ..test_mailbox(Style::Mbox, spool.path().join("alice")) };
        std::fs::write(&mailbox.path, "old mail\n").expect("written");
        let failure = deliver_to(&mailbox, &[b'x'; 200]).expect_err("too large");
        assert_eq!(
            failure.reason,
            format!(
                "cannot update mailbox {} for user alice. error writing message: File too large",
                mailbox.path.display()
            )
        );
        assert_eq!(text(&mailbox.path), "old mail\n");
    }

    #[test]
    fn locked_files_are_left_alone() {
        let spool = tempfile::tempdir().expect("a folder");
        let mailbox = test_mailbox(Style::Mbox, spool.path().join("alice"));
        let lock = spool.path().join("alice.lock");
        std::fs::write(&lock, "").expect("written");
        let failure = deliver_to(&mailbox, b"x\r\n").expect_err("locked");
        assert!(failure.reason.ends_with("alice.lock: File exists"), "{}", failure.reason);
        assert_eq!(failure.status.to_string(), "4.2.0");
        std::fs::remove_file(&lock).expect("still there");
        deliver_to(&mailbox, b"x\r\n").expect("free");
        let stale = Duration::from_secs(500);
        assert!(!is_older(1000, 1500, stale) && is_older(1000, 1501, stale));
    }

    /// Rows: how the mailbox comes to be, and what is said of it, as Postfix says it.
    #[test]
    fn strange_files_are_left_alone() {
        let spool = tempfile::tempdir().expect("a folder");
        // Root's own links in a folder of root's would be followed.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(spool.path(), everybody).expect("set");
        let mailbox = test_mailbox(Style::Mbox, spool.path().join("alice"));
        let other = spool.path().join("other");
        std::fs::write(&other, "").expect("written");
        let refused = |expect: &str| {
            let failure = deliver_to(&mailbox, b"x\r\n").expect_err("refused");
            assert!(failure.reason.ends_with(expect), "{}", failure.reason);
            assert_eq!(failure.status.to_string(), "5.2.0");
        };
        std::os::unix::fs::symlink(&other, &mailbox.path).expect("made");
        refused("file is a symbolic link");
        std::fs::remove_file(&mailbox.path).expect("there");
        std::os::unix::fs::symlink("/nowhere/at/all", &mailbox.path).expect("made");
        refused("cannot open file: No such file or directory");
        std::fs::remove_file(&mailbox.path).expect("there");
        std::fs::hard_link(&other, &mailbox.path).expect("made");
        refused("file has 2 hard links");
        assert_eq!(text(&other), "");
        std::fs::remove_file(&mailbox.path).expect("there");
        nix::unistd::mkfifo(&mailbox.path, nix::sys::stat::Mode::S_IRWXU).expect("made");
        refused("cannot open file: No such device or address");
        std::fs::remove_file(&mailbox.path).expect("there");
        std::fs::create_dir(&mailbox.path).expect("made");
        refused("cannot open file: Is a directory");
    }

    #[test]
    fn files_of_aliases() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mailbox = test_mailbox(Style::Mbox, folder.path().join("archive"));
        mailbox.owner = Owner::File;
        let path = mailbox.path.display().to_string();
        assert_eq!(deliver_to(&mailbox, b"x\r\n"), Ok(format!("delivered to file: {path}")));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&mailbox.path, mode).expect("set");
        let failure = deliver_to(&mailbox, b"x\r\n").expect_err("executable");
        assert_eq!(failure.reason, format!("cannot append message to file {path}: file is executable"));
        assert_eq!(failure.status.to_string(), "5.7.1");
        let null = Mailbox { path: "/dev/null".into(), ..mailbox };
        assert_eq!(deliver_to(&null, b"x\r\n").as_deref(), Ok("delivered to file: /dev/null"));
    }
}
