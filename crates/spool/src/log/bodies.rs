//! Large bodies: a file each, written while the message is received, synced once, referred to by a BODYREF record.
//!
//! A thread of its own syncs them, so that no other commit waits for megabytes.

use super::core::{Core, Op};
use crate::disk::{Access, Disk, DiskFile, sync, write_all_at};
use crate::{ContentFile, Overflow, SpoolError};
use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::{Arc, PoisonError};

pub(crate) const FOLDER: &str = "bodies";

pub(crate) fn file_name(serial: u64) -> String {
    format!("{FOLDER}/{serial:016X}")
}

/// The serial number of the message whose body a file is; None if the name is no body's.
pub(crate) fn serial_of(name: &str) -> Option<u64> {
    if name.len() == 16 { u64::from_str_radix(name, 16).ok() } else { None }
}

/// A body that is being written. Dropped before [`Body::keep`], it is removed.
pub(crate) struct Body {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    serial: u64,
    size: u64,
    crc: u32,
    is_kept: bool,
}

impl Body {
    pub(crate) fn create(disk: Arc<dyn Disk>, serial: u64) -> Result<Body, SpoolError> {
        let file = disk.create(&file_name(serial)).map_err(SpoolError::from_io)?;
        Ok(Body { disk, file, serial, size: 0, crc: 0, is_kept: false })
    }

    /// The file is now somebody else's to remove.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }

    /// For readers.
    pub(crate) fn content(&self) -> Arc<dyn ContentFile> {
        Arc::new(BodyContent { file: self.file.clone(), crc: self.crc })
    }
}

impl Overflow for Body {
    fn append(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        write_all_at(&*self.file, &mut [IoSlice::new(piece)], self.size).map_err(SpoolError::from_io)?;
        self.size += piece.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, piece);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if !self.is_kept {
            // If this fails the next start removes it.
            let _ = self.disk.remove(&file_name(self.serial));
        }
    }
}

/// A body in the queue.
struct BodyContent {
    file: Arc<dyn DiskFile>,
    crc: u32,
}

impl ContentFile for BodyContent {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn checksum(&self) -> Option<u32> {
        Some(self.crc)
    }
}

/// Opens the body of a message in the queue.
pub(crate) fn open(disk: &dyn Disk, serial: u64, size: u64, crc: u32) -> io::Result<Arc<dyn ContentFile>> {
    let file = disk.open(&file_name(serial), Access::Read)?;
    if file.size()? != size {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "body file has another size"));
    }
    Ok(Arc::new(BodyContent { file, crc }))
}

/// A committed message whose body is not synced yet.
pub(crate) struct Waiting {
    pub(crate) body: Body,
    pub(crate) op: Op,
}

/// The thread that syncs bodies. It ends when the spool closes and nothing waits.
pub(crate) fn run(core: &Core) {
    loop {
        let mut waiting = core.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.queue.is_empty() && !waiting.is_closing {
            waiting = core.bodies_wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.queue.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut waiting.queue);
        drop(waiting);
        sync_batch(core, batch);
    }
}

/// Bodies first, then their names, then the records that refer to them.
fn sync_batch(core: &Core, batch: Vec<Waiting>) {
    let mut synced = Vec::with_capacity(batch.len());
    for waiting in batch {
        match sync(&*waiting.body.file) {
            Ok(()) => synced.push(waiting),
            Err(error) => waiting.op.fail(SpoolError::from_io(error)),
        }
    }
    if synced.is_empty() {
        return;
    }
    if let Err(error) = core.disk.sync_folder(FOLDER) {
        let error = SpoolError::from_io(error);
        synced.into_iter().for_each(|waiting| waiting.op.fail(error.clone()));
        return;
    }
    let mut state = core.lock();
    for Waiting { body, op } in synced {
        body.keep();
        core.push(&mut state, op);
    }
}
