//! The queue as it lies on the disk, for when no server runs.

use crate::program::{Fatal, Program, Run, reason};
use crate::server::{MAILDROP, SPOOL};
use spool::maildrop::Maildrop;
use spool::showq::Entry;
use spool::{Listed, ReadonlySpool, SpoolError};
use std::io;
use std::path::Path;

/// Gives `show` letters, then messages.
pub(super) fn show_entries(
    program: &Program,
    show: impl FnOnce(&mut dyn Iterator<Item = io::Result<Entry>>) -> Run,
) -> Run {
    let letters = match Entry::of_letters(&Maildrop::new(MAILDROP)) {
        Ok(letters) => letters,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Fatal::new(format!("open directory {MAILDROP}: {}", reason(&e)))),
    };
    let mut letters = letters.into_iter().map(Ok);
    // A system that never ran has no spool.
    if !Path::new(SPOOL).exists() {
        return show(&mut letters);
    }
    let spool = ReadonlySpool::open(SPOOL).map_err(|e| Fatal::new(e.to_string()))?;
    let message = |listed: Result<Listed, SpoolError>| match listed {
        Ok(listed) => Some(Ok(Entry::of_message(&listed, false))),
        // The next server sets it aside.
        Err(e) => {
            program.warning(&e.to_string());
            None
        }
    };
    show(&mut letters.chain(spool.list().filter_map(message)))
}
