//! A spool that is only looked at: for `postcat`, `mailq` and export while the server is down, or beside it.

use super::digest::{MessageDigest, StartDigest, StateDigest, decode_done};
use super::read::{self, Places, Windows};
use super::record::Kind;
use super::recover::{self, Recovered, Survey};
use super::segment::ReadError;
use crate::disk::{Access, Disk, RealDisk};
use crate::{Listed, SpoolError, Stored, Summary};
use mail::QueueId;
use std::path::PathBuf;
use std::sync::Arc;

/// What was in a spool when it was opened. Nothing is locked, repaired or changed.
///
/// If a server is writing meanwhile, messages that come or go may or may not be seen, and one that moves while it is read
/// shows as damaged.
pub struct ReadonlySpool {
    disk: Arc<dyn Disk>,
    survey: Survey,
    recovered: Recovered,
}

impl ReadonlySpool {
    pub fn open(folder: impl Into<PathBuf>) -> Result<ReadonlySpool, SpoolError> {
        ReadonlySpool::open_on(Arc::new(RealDisk::new(folder)))
    }

    pub fn open_on(disk: Arc<dyn Disk>) -> Result<ReadonlySpool, SpoolError> {
        let survey = recover::survey(&*disk, Access::Read)?;
        let recovered = recover::index(&survey.segments);
        Ok(ReadonlySpool { disk, survey, recovered })
    }

    /// In no particular order.
    pub fn summaries(&self) -> impl Iterator<Item = Summary> {
        self.recovered.catalog.messages.iter().map(|entry| entry.summary())
    }

    pub fn summary(&self, id: QueueId) -> Option<Summary> {
        self.recovered.catalog.find(id).map(|entry| entry.summary())
    }

    pub fn load(&self, id: QueueId) -> Result<Stored, SpoolError> {
        let entry = self.recovered.catalog.find(id).ok_or(SpoolError::Unknown(id))?;
        let places = Places::of(&self.recovered.catalog, entry, Vec::new()).ok_or(SpoolError::Damaged(id))?;
        read::load(&*self.disk, places).map_err(|unreadable| explain(id, unreadable.error))
    }

    /// In the order in which they lie on the disk.
    pub fn list(&self) -> impl Iterator<Item = Result<Listed, SpoolError>> {
        let mut entries: Vec<_> = self.recovered.catalog.messages.iter().collect();
        entries.sort_by_key(|entry| (entry.message().segment, entry.message().spot.offset));
        let mut windows = Windows::default();
        entries.into_iter().map(move |entry| {
            let places = Places::of(&self.recovered.catalog, entry, Vec::new())
                .ok_or(SpoolError::Damaged(entry.id()))?;
            read::list(&places, &mut windows).map_err(|unreadable| explain(entry.id(), unreadable.error))
        })
    }

    /// Every record, alive or dead, a line each: for a human who looks into a damaged spool.
    pub fn dump(&self, mut line: impl FnMut(String)) {
        recover::each_record(&self.survey.segments, |segment, is_cold, entry| {
            let what = match entry.kind {
                Kind::Message | Kind::BodyRef => format!("{:?}", MessageDigest::decode(entry.digest)),
                Kind::State | Kind::Admin => format!("{:?}", StateDigest::decode(entry.digest)),
                Kind::Done => format!("{:?}", decode_done(entry.digest).collect::<Vec<_>>()),
                Kind::Start | Kind::Seal => format!("{:?}", StartDigest::decode(entry.digest)),
            };
            let (place, heat) = (entry.spot.position(), if is_cold { "cold" } else { "hot" });
            let state = if segment.read(entry.spot).is_ok() { "" } else { " DAMAGED" };
            let number = segment.number;
            line(format!("{number:08} {heat} {place:8X} {:8} {:?}{state} {what}", entry.seq, entry.kind));
        });
    }

    /// How many pieces of the spool are damaged, as far as opening it showed. The next server to open it sets them aside.
    pub fn damaged(&self) -> usize {
        self.recovered.damage.len() + self.recovered.unreadable.len()
    }
}

fn explain(id: QueueId, error: ReadError) -> SpoolError {
    match error {
        ReadError::Damaged => SpoolError::Damaged(id),
        ReadError::Io(error) => SpoolError::from_io(error),
    }
}
