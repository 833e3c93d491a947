//! Maildir: write to `tmp`, sync, move to `new`, sync the folder. No lock, and no reader sees half a message.

use super::Mailbox;
use crate::copy::{CopyError, Form, Prelude, copy};
use crate::failure::{Failure, SYSTEM, strerror};
use nix::errno::Errno;
use nix::unistd::{getegid, geteuid};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) fn deliver(
    mailbox: &Mailbox,
    prelude: &Prelude,
    content: &mut dyn Read,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    place(mailbox, prelude, content, warnings)
        .map_err(|f| f.with_reason(|reason| format!("maildir delivery failed: {reason}")))
}

fn place(
    mailbox: &Mailbox,
    prelude: &Prelude,
    content: &mut dyn Read,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    let temporary = mailbox.path.join("tmp").join(temporary_name(mailbox, prelude));
    let mut file = create(&temporary).map_err(|e| not_created(mailbox, &temporary, &e, warnings))?;
    let placed = write(mailbox, prelude, content, &mut file).and_then(|()| {
        let path = mailbox.path.join("new").join(final_name(mailbox, prelude, &file)?);
        publish(&temporary, &path).map_err(|e| not_created(mailbox, &path, &e, warnings))
    });
    if placed.is_err() {
        // A leftover in tmp is allowed, and readers clear it away after some days; the failure is what must be told.
        let _ = std::fs::remove_file(&temporary);
    }
    placed
}

fn not_created(mailbox: &Mailbox, path: &Path, error: &io::Error, warnings: &mut Vec<String>) -> Failure {
    let what = format!("create maildir file {}", path.display());
    if error.raw_os_error() == Some(Errno::EACCES as i32) {
        let why = strerror(error);
        warnings.push(format!(
            "maildir access problem for UID/GID={}/{}: {what}: {why}",
            geteuid(),
            getegid()
        ));
        warnings.push("perhaps you need to create the maildirs in advance".into());
    }
    Failure::of_error(error, mailbox.own_status(), &what)
}

/// Seconds, process, a counter within the process, host: no other delivery has the same.
fn temporary_name(mailbox: &Mailbox, prelude: &Prelude) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{}.P{}Q{count}.{}", prelude.now.secs(), std::process::id(), mailbox.host)
}

/// Postfix's name: seconds, device and inode in hex, microseconds, host.
fn final_name(mailbox: &Mailbox, prelude: &Prelude, file: &File) -> Result<String, Failure> {
    let meta = file.metadata().map_err(|e| Failure::of_error(&e, SYSTEM, "error writing message"))?;
    let (secs, micros) = (prelude.now.secs(), prelude.now.subsec_micros());
    Ok(format!("{secs}.V{:x}I{:x}M{micros}.{}", meta.dev(), meta.ino(), mailbox.host))
}

/// Creates the file, and the folders above it where they are missing.
fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match open() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_folder(path)?;
            open()
        }
        result => result,
    }
}

fn make_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().unwrap_or(file);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn write(
    mailbox: &Mailbox,
    prelude: &Prelude,
    content: &mut dyn Read,
    file: &mut File,
) -> Result<(), Failure> {
    let form = Form { delivered_to: mailbox.has_delivered_to, ..Form::maildir() };
    let mut written = 0;
    let copied = copy(&form, prelude, content, |piece| {
        written += piece.len() as u64;
        if mailbox.size_limit > 0 && written > mailbox.size_limit {
            return Err(Errno::EFBIG.into());
        }
        file.write_all(piece)
    });
    copied.map_err(|e| match e {
        CopyError::Read(e) => Failure::of_copying(&e, "error reading message"),
        CopyError::Write(e) => Failure::of_copying(&e, "error writing message"),
    })?;
    file.sync_all().map_err(|e| Failure::of_copying(&e, "error writing message"))
}

/// Moves the finished file where readers look. `link` rather than `rename`, so that nothing is ever overwritten.
fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(temporary, path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let maildir: PathBuf = temporary.ancestors().nth(2).unwrap_or(temporary).into();
            make_folder(&maildir.join("cur/x"))?;
            make_folder(path)?;
            std::fs::hard_link(temporary, path)?;
            sync_folder(&maildir)?;
        }
        result => result?,
    }
    // The message is in `new`: a name left in `tmp` is only untidy.
    let _ = std::fs::remove_file(temporary);
    sync_folder(path.parent().unwrap_or(path))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::{Owner, Style, test_mailbox};
    use super::*;

    fn files(folder: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect()
    }

    #[test]
    fn a_message_appears_whole_and_the_folders_are_made() {
        let home = tempfile::tempdir().expect("a folder");
        let prelude = Prelude {
            sender: "a@b".into(),
            now: mail::Time::from_micros(1_795_569_621_405_683),
            ..Prelude::default()
        };
        let mailbox = test_mailbox(Style::Maildir, home.path().join("Maildir"));
        let mut content = &b"Subject: x\r\n\r\nFrom me\r\n"[..];
        let said = mailbox.deliver(&prelude, &mut content, &mut Vec::new());
        assert_eq!(said.as_deref(), Ok("delivered to maildir"));
        let maildir = home.path().join("Maildir");
        assert!(files(&maildir.join("tmp")).is_empty() && files(&maildir.join("cur")).is_empty());
        let new = files(&maildir.join("new"));
        let name = new[0].file_name().expect("a name").to_string_lossy().into_owned();
        assert!(name.starts_with("1795569621.V") && name.ends_with("M405683.mail.example.com"), "{name}");
        assert_eq!(std::fs::read(&new[0]).expect("readable"), b"Return-Path: <a@b>\nSubject: x\n\nFrom me\n");
        assert_eq!(new[0].metadata().expect("there").mode() & 0o777, 0o600);
    }

    #[test]
    fn too_large_leaves_nothing() {
        let home = tempfile::tempdir().expect("a folder");
        let small = Mailbox { size_limit: 30, ..test_mailbox(Style::Maildir, home.path().join("Maildir")) };
        let failure = small
            .deliver(&Prelude::default(), &mut &[b'x'; 100][..], &mut Vec::new())
            .expect_err("too large");
        assert_eq!(failure.reason, "maildir delivery failed: error writing message: File too large");
        assert_eq!(failure.status.to_string(), "5.2.2");
        assert!(files(&home.path().join("Maildir/tmp")).is_empty());
    }

    #[test]
    fn a_path_that_cannot_be_made_says_so() {
        for (owner, status) in
            [(Owner::User("alice".into()), "5.2.0"), (Owner::Virtual("a@b".into()), "4.2.0")]
        {
            let mailbox = Mailbox { owner, ..test_mailbox(Style::Maildir, "/dev/null/Maildir".into()) };
            let failure =
                mailbox.deliver(&Prelude::default(), &mut &b""[..], &mut Vec::new()).expect_err("no folder");
            let reason = failure.reason;
            assert!(
                reason.starts_with("maildir delivery failed: create maildir file /dev/null/Maildir/tmp/")
            );
            assert!(reason.ends_with(": Not a directory"), "{reason}");
            assert_eq!(failure.status.to_string(), status);
        }
    }

    #[test]
    fn a_folder_of_somebody_elses_is_warned_of() {
        let mailbox = test_mailbox(Style::Maildir, "/x".into());
        let mut warnings = Vec::new();
        let failure = not_created(&mailbox, Path::new("/x/tmp/y"), &Errno::EACCES.into(), &mut warnings);
        assert_eq!(failure.reason, "create maildir file /x/tmp/y: Permission denied");
        let (uid, gid) = (geteuid(), getegid());
        let problem = "create maildir file /x/tmp/y: Permission denied";
        assert_eq!(
            warnings,
            [
                format!("maildir access problem for UID/GID={uid}/{gid}: {problem}"),
                "perhaps you need to create the maildirs in advance".into()
            ]
        );
    }
}
