//! Half a letter is removed when a signal ends postdrop.

use mail::QueueId;
use nix::sys::signal::{SigSet, Signal};
use spool::maildrop::{Blank, Letter, Submission};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What users and their shells send, and timers that were running before.
const SIGNALS: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGALRM, Signal::SIGXCPU];

/// A letter that goes if a signal comes before it is committed.
pub(super) struct Guarded(Arc<Mutex<Page>>);

/// How far the letter is.
enum Page {
    Blank(Blank),
    Begun(Letter),
    /// It is in the maildrop, or it is gone.
    None,
}

impl Guarded {
    pub(super) fn new(blank: Blank) -> io::Result<Guarded> {
        let letter = Arc::new(Mutex::new(Page::Blank(blank)));
        let mut awaited = SigSet::empty();
        SIGNALS.into_iter().filter(|s| !sys::signals::is_ignored(*s)).for_each(|s| awaited.add(s));
        awaited.thread_block()?;
        // A file larger than the user's limit is then an error of write(2).
        SigSet::from(Signal::SIGXFSZ).thread_block()?;
        let watched = letter.clone();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || end_at_signal(&awaited, &watched))?;
        Ok(Guarded(letter))
    }

    pub(super) fn begin(&self, submission: &Submission) -> io::Result<()> {
        let mut page = lock(&self.0);
        if let Page::Blank(blank) = page.take() {
            *page = Page::Begun(blank.begin(submission)?);
        }
        Ok(())
    }

    pub(super) fn write(&self, octets: &[u8]) -> io::Result<()> {
        match &mut *lock(&self.0) {
            Page::Begun(letter) => letter.write_all(octets),
            _ => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// Completes the letter. A signal that comes meanwhile waits.
    pub(super) fn commit(self) -> io::Result<QueueId> {
        match lock(&self.0).take() {
            Page::Begun(letter) => letter.commit(),
            _ => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

impl Page {
    fn take(&mut self) -> Page {
        std::mem::replace(self, Page::None)
    }
}

impl Drop for Guarded {
    /// The thread that waits for signals would keep the letter.
    fn drop(&mut self) {
        drop(lock(&self.0).take());
    }
}

fn end_at_signal(awaited: &SigSet, letter: &Mutex<Page>) {
    // It fails only for a set that makes no sense.
    let Ok(signal) = awaited.wait() else { return };
    // Held to the end: the other thread must not get so far as to end the program its way.
    let mut page = lock(letter);
    drop(page.take());
    std::process::exit(signal as i32);
}

fn lock(letter: &Mutex<Page>) -> MutexGuard<'_, Page> {
    letter.lock().unwrap_or_else(PoisonError::into_inner)
}
