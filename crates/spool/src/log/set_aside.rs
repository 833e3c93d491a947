//! What cannot be read is set aside: its octets go to `corrupt`, for a human to look at. Nothing that somebody might want is
//! deleted.

use super::catalog::Place;
use super::core::Core;
use super::record::HEADER_SIZE;
use super::{Event, bodies};
use crate::SpoolError;
use crate::disk::{Access, Disk, DiskFile, read_full_at, sync, write_all_at};
use std::io::{self, IoSlice};
use std::ops::Range;

pub(crate) const FOLDER: &str = "corrupt";
/// More octets of one piece are not kept: damage of that size has other causes, and needs a copy of the whole disk.
const SAVED_MAX: u64 = 64 << 20;
const CHUNK_SIZE: usize = 64 * 1024;

/// Copies a range of a file. What is there under that name already is the same octets from an earlier start.
pub(crate) fn save(disk: &dyn Disk, name: &str, from: &dyn DiskFile, range: Range<u64>) -> io::Result<()> {
    let to = match disk.create(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        created => created?,
    };
    let end = range.end.min(range.start + SAVED_MAX);
    let mut chunk = vec![0; CHUNK_SIZE];
    let mut at = range.start;
    while at < end {
        let size = chunk.len().min((end - at) as usize);
        let filled = read_full_at(from, &mut chunk[..size], at)?;
        if filled == 0 {
            break;
        }
        write_all_at(&*to, &mut [IoSlice::new(&chunk[..filled])], at - range.start)?;
        at += filled as u64;
    }
    sync(&*to)?;
    disk.sync_folder(FOLDER)
}

impl Core {
    /// Sets a message aside whose MESSAGE record or body is damaged. It is in the queue no more, unless that failed.
    pub(crate) fn drop_damaged_message(&self, serial: u64, place: Place) -> Result<(), SpoolError> {
        let (id, has_body) = {
            let state = self.lock();
            let entry = state.catalog.messages.get(serial).filter(|entry| entry.message() == place);
            let Some(entry) = entry else { return Ok(()) };
            (entry.id(), entry.has_body())
        };
        let name = format!("{FOLDER}/{id}");
        self.save_record(&name, place).map_err(SpoolError::from_io)?;
        if has_body {
            self.save_body(serial, &format!("{name}.body")).map_err(SpoolError::from_io)?;
        }
        self.tell(Event::Damaged { what: format!("message {id}"), saved: Some(name) });
        self.finish(id, None);
        Ok(())
    }

    /// Sets aside a STATE or ADMIN record. What it told is forgotten: recipients may get the message twice.
    pub(crate) fn drop_damaged_state(&self, serial: u64, place: Place) -> Result<(), SpoolError> {
        let id = self.lock().catalog.messages.get(serial).map(|entry| entry.id());
        let Some(id) = id else { return Ok(()) };
        let name = format!("{FOLDER}/{id}-{:08}-{:X}", place.segment, place.spot.position());
        self.save_record(&name, place).map_err(SpoolError::from_io)?;
        self.tell(Event::Damaged { what: format!("delivery record of message {id}"), saved: Some(name) });
        self.lock().catalog.forget_state(serial, place);
        Ok(())
    }

    fn save_record(&self, name: &str, place: Place) -> io::Result<()> {
        let segment = self.lock().catalog.segments.get(&place.segment).map(|state| state.segment.clone());
        let Some(segment) = segment else { return Ok(()) };
        let start = place.spot.position();
        let end = start + HEADER_SIZE as u64 + u64::from(place.spot.size);
        save(&*self.disk, name, &*segment.file, start..end)
    }

    fn save_body(&self, serial: u64, name: &str) -> io::Result<()> {
        match self.disk.open(&bodies::file_name(serial), Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(body) => save(&*self.disk, name, &*body, 0..body.size()?),
        }
    }
}
