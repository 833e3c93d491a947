//! The maildrop folder: `postdrop` leaves letters in it, `pickup` takes them out.
//!
//! A letter is written under a temporary name, synced, then renamed to a name that pickup looks for. Its name has the shape
//! of a queue id, made from the time and the file's inode number, which no other file in the folder has: so a rename never
//! replaces another letter.

use super::{Limits, MaildropError, Reader, Submission, Writer};
use mail::{QueueId, Time};
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A letter's mode: others may read it because pickup does not run as its owner. Nobody but pickup's user and the set-gid
/// `postdrop` gets into the folder (mode 730).
const LETTER_MODE: u32 = 0o644;
/// A letter's mode that pickup's user wrote itself, and nobody else can have written.
const REQUEUED_MODE: u32 = 0o700;
const TEMPORARY: &str = "tmp.";
/// How many names [`Maildrop::names`] gives at once: pickup comes back for the rest.
const NAMES_MAX: usize = 10_000;

/// The folder.
#[derive(Clone, Debug)]
pub struct Maildrop {
    folder: PathBuf,
}

/// A letter of which nothing is written yet. Dropped, it is removed.
#[derive(Debug)]
pub struct Blank {
    file: File,
    folder: PathBuf,
    temporary: Temporary,
    name: QueueId,
}

/// A letter that is being written. Dropped before [`Letter::commit`], it is removed.
#[derive(Debug)]
pub struct Letter {
    writer: Writer<File>,
    folder: PathBuf,
    temporary: Temporary,
    name: QueueId,
}

/// A file's name until it gets its own.
#[derive(Debug)]
struct Temporary(PathBuf);

/// A letter that pickup has opened: it is what `postdrop` makes, as far as its inode tells.
#[derive(Debug)]
pub struct Picked {
    /// The user who submitted it.
    pub uid: u32,
    /// When it was completed.
    pub arrival: Time,
    /// Of the file, in octets: a little more than the content.
    pub file_size: u64,
    pub reader: Reader<BufReader<File>>,
}

impl Maildrop {
    pub fn new(folder: impl Into<PathBuf>) -> Maildrop {
        Maildrop { folder: folder.into() }
    }

    /// Begins a letter. The content is written through [`Write`].
    pub fn begin(&self, submission: &Submission, now: Time) -> io::Result<Letter> {
        self.create(now)?.begin(submission)
    }

    /// Makes a letter's file, so that its name is known before there is anything to write.
    pub fn create(&self, now: Time) -> io::Result<Blank> {
        let (temporary, file) = self.create_temporary(now)?;
        let name = QueueId::short(now, file.metadata()?.ino());
        Ok(Blank { file, folder: self.folder.clone(), temporary, name })
    }

    /// The complete letters, in no order, at most 10,000.
    pub fn names(&self) -> io::Result<Vec<QueueId>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            names.extend(QueueId::parse(name.as_encoded_bytes()));
            if names.len() == NAMES_MAX {
                break;
            }
        }
        Ok(names)
    }

    /// Opens a letter, whatever somebody has put there: follows no link, waits for no FIFO, takes nothing that others than
    /// its owner could have written.
    pub fn open(&self, name: QueueId, limits: Limits) -> Result<Picked, MaildropError> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let path = self.folder.join(name.as_str());
        let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
            Ok(file) => file,
            Err(error) => return Err(refused_open(error)),
        };
        let metadata = file.metadata()?;
        if let Some(what) = strangeness(&metadata) {
            return Err(MaildropError::Strange(what));
        }
        let mut reader = Reader::new(BufReader::new(file), limits)?;
        if !self.is_requeued(&metadata)? {
            reader.forget_requeued();
        }
        Ok(Picked {
            uid: metadata.uid(),
            arrival: Time::from_micros(metadata.mtime() * 1_000_000 + metadata.mtime_nsec() / 1000),
            file_size: metadata.size(),
            reader,
        })
    }

    /// Whether the folder's owner wrote the letter itself: what users submit can be read by others.
    fn is_requeued(&self, letter: &fs::Metadata) -> io::Result<bool> {
        Ok(letter.mode() & 0o004 == 0 && letter.uid() == fs::metadata(&self.folder)?.uid())
    }

    /// Removes a letter: after the spool has it durably, or because it is refused for good.
    pub fn remove(&self, name: QueueId) -> io::Result<()> {
        fs::remove_file(self.folder.join(name.as_str()))
    }

    /// Moves a letter that cannot be read to `corrupt`, for a human to look at.
    pub fn set_aside(&self, name: QueueId, corrupt: &Path) -> io::Result<()> {
        fs::rename(self.folder.join(name.as_str()), corrupt.join(name.as_str()))
    }

    /// Removes what is left of letters that were never completed, if it is older than `age`.
    pub fn purge(&self, age: Duration, now: SystemTime) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_temporary = entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|old| old > age));
            if is_temporary && is_old {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn create_temporary(&self, now: Time) -> io::Result<(Temporary, File)> {
        let pid = std::process::id();
        // Another process cannot have the same pid now, but one before may have left its file.
        for attempt in 0..100 {
            let path = self.folder.join(format!("{TEMPORARY}{}.{pid}.{attempt}", now.micros()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(file) => return Ok((Temporary(path), file)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Blank {
    /// The name that the letter will have.
    pub fn name(&self) -> QueueId {
        self.name
    }

    /// Writes what is not content.
    pub fn begin(self, submission: &Submission) -> io::Result<Letter> {
        let Blank { file, folder, temporary, name } = self;
        Ok(Letter { writer: Writer::new(file, submission)?, folder, temporary, name })
    }
}

impl Letter {
    /// Completes the letter: when this returns it is on stable storage and pickup will find it.
    pub fn commit(self) -> io::Result<QueueId> {
        self.complete(LETTER_MODE, None)
    }

    /// The same of a letter that was in the queue before, under the id that it had there. `arrival`: when it came first.
    pub(super) fn commit_as(mut self, id: QueueId, arrival: Time) -> io::Result<()> {
        self.name = id;
        let arrival = SystemTime::UNIX_EPOCH + Duration::from_micros(arrival.micros().max(0) as u64);
        self.complete(REQUEUED_MODE, Some(arrival)).map(drop)
    }

    fn complete(self, mode: u32, modified: Option<SystemTime>) -> io::Result<QueueId> {
        let file = self.writer.finish()?;
        file.set_permissions(Permissions::from_mode(mode))?;
        if let Some(modified) = modified {
            file.set_modified(modified)?;
        }
        file.sync_all()?;
        self.temporary.rename_to(&self.folder.join(self.name.as_str()))?;
        sync_name(&self.folder, &file)?;
        Ok(self.name)
    }
}

impl Temporary {
    fn rename_to(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.0, path)?;
        self.0 = PathBuf::new();
        Ok(())
    }
}

/// Makes the file's new name durable. The set-gid `postdrop` may not read the folder, so it cannot sync it; then syncing the
/// file once more has to do, which commits the rename on ext4, XFS and btrfs.
fn sync_name(folder: &Path, file: &File) -> io::Result<()> {
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => file.sync_all(),
        Err(error) => Err(error),
    }
}

impl Write for Letter {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.writer.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // Purged later if this fails.
            let _ = fs::remove_file(&self.0);
        }
    }
}

fn refused_open(error: io::Error) -> MaildropError {
    match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::ELOOP) => MaildropError::Strange("symbolic link"),
        Some(nix::errno::Errno::ENXIO) => MaildropError::Strange("not a regular file"),
        _ => MaildropError::Io(error),
    }
}

fn strangeness(metadata: &fs::Metadata) -> Option<&'static str> {
    if !metadata.is_file() {
        Some("not a regular file")
    } else if metadata.nlink() != 1 {
        Some("more than one link")
    } else if metadata.mode() & 0o7022 != 0 {
        Some("strange mode")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Address, Recipient};
    use std::os::unix::fs::symlink;

    fn now() -> Time {
        Time::from_secs(1_700_000_000)
    }

    fn submission() -> Submission {
        let recipients = vec![Recipient { address: Address::from("bob"), ..Recipient::default() }];
        Submission { recipients, full_name: Some("A. L.".into()), ..Submission::default() }
    }

    fn leave(maildrop: &Maildrop, content: &[u8]) -> QueueId {
        let mut letter = maildrop.begin(&submission(), now()).unwrap();
        letter.write_all(content).unwrap();
        letter.commit().unwrap()
    }

    fn names_in(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_letter_is_found_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let maildrop = Maildrop::new(folder.path());
        let name = leave(&maildrop, b"hello\n");
        assert_eq!(maildrop.names().unwrap(), [name]);
        let mut picked = maildrop.open(name, Limits::default()).unwrap();
        assert_eq!(picked.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(picked.reader.submission(), &submission());
        assert_eq!(picked.reader.next_piece().unwrap(), Some(&b"hello\n"[..]));
        assert_eq!(picked.reader.next_piece().unwrap(), None);
        maildrop.remove(name).unwrap();
        assert_eq!(maildrop.names().unwrap(), []);
    }

    #[test]
    fn an_unfinished_letter_is_not_seen_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let maildrop = Maildrop::new(folder.path());
        let letter = maildrop.begin(&submission(), now()).unwrap();
        assert_eq!((maildrop.names().unwrap().len(), names_in(folder.path())), (0, 1));
        drop(letter);
        assert_eq!(names_in(folder.path()), 0);
    }

    #[test]
    fn leftovers_are_purged_when_old() {
        let folder = tempfile::tempdir().unwrap();
        let maildrop = Maildrop::new(folder.path());
        std::mem::forget(maildrop.begin(&submission(), now()).unwrap());
        let letter = leave(&maildrop, b"");
        let (day, now) = (Duration::from_secs(86_400), SystemTime::now());
        maildrop.purge(day, now).unwrap();
        assert_eq!(names_in(folder.path()), 2);
        maildrop.purge(day, now + 2 * day).unwrap();
        assert_eq!((names_in(folder.path()), maildrop.names().unwrap()), (1, vec![letter]));
    }

    #[test]
    fn strange_things_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let maildrop = Maildrop::new(folder.path());
        let id = |text: &str| QueueId::parse(text.as_bytes()).unwrap();
        let path = |text: &str| folder.path().join(text);
        let letter = leave(&maildrop, b"");
        symlink(path(letter.as_str()), path("LINK")).unwrap();
        fs::create_dir(path("DIR")).unwrap();
        nix::unistd::mkfifo(&path("FIFO"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["LINK", "DIR", "FIFO"] {
            let refusal = maildrop.open(id(name), Limits::default()).unwrap_err();
            assert!(matches!(refusal, MaildropError::Strange(_)), "{name}: {refusal}");
        }
        fs::hard_link(path(letter.as_str()), path("HARD")).unwrap();
        assert!(matches!(maildrop.open(letter, Limits::default()), Err(MaildropError::Strange(_))));
        fs::remove_file(path("HARD")).unwrap();
        for (mode, is_fine) in [(0o666, false), (0o664, false), (0o4644, false), (0o600, true)] {
            fs::set_permissions(path(letter.as_str()), Permissions::from_mode(mode)).unwrap();
            assert_eq!(maildrop.open(letter, Limits::default()).is_ok(), is_fine, "{mode:o}");
        }
    }

    #[test]
    fn a_cut_letter_is_refused_and_can_be_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let corrupt = tempfile::tempdir().unwrap();
        let maildrop = Maildrop::new(folder.path());
        let name = leave(&maildrop, b"hello\n");
        let path = folder.path().join(name.as_str());
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let is_refused = match maildrop.open(name, Limits::default()) {
                Err(error) => matches!(error, MaildropError::Malformed),
                Ok(mut picked) => loop {
                    match picked.reader.next_piece() {
                        Ok(Some(_)) => {}
                        end => break matches!(end, Err(MaildropError::Malformed)),
                    }
                },
            };
            assert!(is_refused, "cut at {length}");
        }
        maildrop.set_aside(name, corrupt.path()).unwrap();
        assert_eq!((names_in(folder.path()), names_in(corrupt.path())), (0, 1));
    }
}
