//! Maildir: write to `tmp`, sync, move to `new`, sync the folder. No lock, and no reader sees half a message.

use super::convert::LineConverter;
use super::{Failure, MAILBOX, Mailbox, Prelude, SYSTEM};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// What is read of the content at once.
const CHUNK_SIZE: usize = 64 * 1024;

pub(super) fn deliver(mailbox: &Mailbox, prelude: &Prelude, content: &mut dyn Read) -> Result<(), Failure> {
    place(mailbox, prelude, content)
        .map_err(|f| f.with_reason(|reason| format!("maildir delivery failed: {reason}")))
}

fn place(mailbox: &Mailbox, prelude: &Prelude, content: &mut dyn Read) -> Result<(), Failure> {
    let temporary = mailbox.path.join("tmp").join(temporary_name(mailbox, prelude));
    let mut file = create(&temporary).map_err(|e| Failure::new(&e, MAILBOX, &create_text(&temporary)))?;
    let placed = write(mailbox, prelude, content, &mut file).and_then(|()| {
        let name = final_name(mailbox, prelude, &file)?;
        publish(&temporary, &mailbox.path.join("new").join(name))
    });
    if placed.is_err() {
        // A leftover in tmp is allowed, and readers clear it away after some days; the failure is what must be told.
        let _ = std::fs::remove_file(&temporary);
    }
    placed
}

/// Seconds, process, a counter within the process, host: no other delivery has the same.
fn temporary_name(mailbox: &Mailbox, prelude: &Prelude) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{}.P{}Q{count}.{}", prelude.now.secs(), std::process::id(), mailbox.host)
}

/// Postfix's name: seconds, device and inode in hex, microseconds, host.
fn final_name(mailbox: &Mailbox, prelude: &Prelude, file: &File) -> Result<String, Failure> {
    let meta = file.metadata().map_err(|e| Failure::new(&e, SYSTEM, "error writing message"))?;
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

fn create_text(path: &Path) -> String {
    format!("create maildir file {}", path.display())
}

fn write(
    mailbox: &Mailbox,
    prelude: &Prelude,
    content: &mut dyn Read,
    file: &mut File,
) -> Result<(), Failure> {
    let writing = |e: io::Error| Failure::new(&e, SYSTEM, "error writing message");
    let mut converter = LineConverter::new(false);
    let mut out = prelude.header();
    let mut chunk = vec![0; CHUNK_SIZE];
    let mut written = 0u64;
    loop {
        let n = content.read(&mut chunk).map_err(|e| Failure::new(&e, SYSTEM, "error reading message"))?;
        if n == 0 {
            converter.finish(&mut out);
        } else {
            converter.convert(&chunk[..n], &mut out);
        }
        written += out.len() as u64;
        if mailbox.size_limit > 0 && written > mailbox.size_limit {
            return Err(writing(nix::errno::Errno::EFBIG.into()));
        }
        file.write_all(&out).map_err(writing)?;
        out.clear();
        if n == 0 {
            return file.sync_all().map_err(writing);
        }
    }
}

/// Moves the finished file where readers look. `link` rather than `rename`, so that nothing is ever overwritten.
fn publish(temporary: &Path, path: &Path) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::new(&e, MAILBOX, &create_text(path));
    match std::fs::hard_link(temporary, path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_folder(path).map_err(failed)?;
            let maildir: PathBuf = temporary.ancestors().nth(2).unwrap_or(temporary).into();
            make_folder(&maildir.join("cur/x")).map_err(failed)?;
            std::fs::hard_link(temporary, path).map_err(failed)?;
            sync_folder(&maildir).map_err(failed)?;
        }
        result => result.map_err(failed)?,
    }
    // The message is in `new`: a name left in `tmp` is only untidy.
    let _ = std::fs::remove_file(temporary);
    sync_folder(path.parent().unwrap_or(path)).map_err(failed)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::{Locking, Style, deliver};
    use super::*;

    fn mailbox(path: &Path) -> Mailbox {
        Mailbox {
            style: Style::Maildir,
            path: path.join("Maildir"),
            user: "alice".into(),
            host: "mail.example.com".into(),
            size_limit: 0,
            locking: Locking::default(),
        }
    }

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
        let said = deliver(&mailbox(home.path()), &prelude, &mut &b"Subject: x\r\n\r\nFrom me\r\n"[..]);
        assert_eq!(said, Ok("delivered to maildir"));
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
        let small = Mailbox { size_limit: 30, ..mailbox(home.path()) };
        let failure = deliver(&small, &Prelude::default(), &mut &[b'x'; 100][..]).expect_err("too large");
        assert_eq!(failure.reason, "maildir delivery failed: error writing message: File too large");
        assert_eq!(failure.status.to_string(), "5.2.2");
        assert!(files(&home.path().join("Maildir/tmp")).is_empty());
    }

    #[test]
    fn a_path_that_cannot_be_made_says_so() {
        let mailbox = Mailbox { path: "/dev/null/Maildir".into(), ..mailbox(Path::new("/")) };
        let failure = deliver(&mailbox, &Prelude::default(), &mut &b""[..]).expect_err("no folder");
        assert!(
            failure.reason.starts_with("maildir delivery failed: create maildir file /dev/null/Maildir/tmp/")
        );
        assert!(failure.reason.ends_with(": Not a directory"), "{}", failure.reason);
        assert_eq!(failure.status.to_string(), "5.2.0");
    }
}
