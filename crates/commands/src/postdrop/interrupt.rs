//! Half a letter is removed when a signal ends postdrop.

use mail::QueueId;
use nix::sys::signal::{SigSet, Signal};
use spool::maildrop::Letter;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What users and their shells send, and timers that were running before.
const SIGNALS: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGALRM, Signal::SIGXCPU];

/// A letter that goes if a signal comes before it is committed.
pub(super) struct Guarded(Arc<Mutex<Option<Letter>>>);

impl Guarded {
    pub(super) fn new(letter: Letter) -> io::Result<Guarded> {
        let letter = Arc::new(Mutex::new(Some(letter)));
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

    pub(super) fn write(&self, octets: &[u8]) -> io::Result<()> {
        match lock(&self.0).as_mut() {
            Some(letter) => letter.write_all(octets),
            None => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// Completes the letter. A signal that comes meanwhile waits.
    pub(super) fn commit(self) -> io::Result<QueueId> {
        let mut letter = lock(&self.0);
        letter.take().ok_or(io::ErrorKind::Interrupted)?.commit()
    }
}

impl Drop for Guarded {
    /// The thread that waits for signals would keep the letter.
    fn drop(&mut self) {
        drop(lock(&self.0).take());
    }
}

fn end_at_signal(awaited: &SigSet, letter: &Mutex<Option<Letter>>) {
    // It fails only for a set that makes no sense.
    let Ok(signal) = awaited.wait() else { return };
    drop(lock(letter).take());
    std::process::exit(signal as i32);
}

fn lock(letter: &Mutex<Option<Letter>>) -> MutexGuard<'_, Option<Letter>> {
    letter.lock().unwrap_or_else(PoisonError::into_inner)
}
