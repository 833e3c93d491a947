//! Reads any octets as a segment, and as records with right checksums.

use super::record::{Kind, PAGE_SIZE, Record};
use super::segment::{Appender, Load, Segment, file_name};
use super::writer::start_record;
use super::{ReadonlySpool, digest::StartDigest};
use crate::disk::{Access, Disk, DiskFile};
use bytes::Bytes;
use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

const CAPACITY: usize = 16 * PAGE_SIZE as usize;

/// Whatever is on the disk, a spool opens, lists and loads without a panic.
pub fn fuzz_segment(data: &[u8]) {
    let raw = OneFile::default();
    raw.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(data);
    read(&raw);
    if let Some(disk) = with_records(data) {
        read(&disk);
    }
}

fn read(disk: &OneFile) {
    let Ok(spool) = ReadonlySpool::open_on(Arc::new(disk.clone())) else { return };
    for listed in spool.list().flatten() {
        // Damaged or whole, as long as it says so.
        let _ = spool.load(listed.summary.id).map(|stored| stored.content.to_bytes(CAPACITY));
    }
    spool.dump(drop);
}

/// A segment whose records are made of the data: kind, digest size, payload size, payload, and again.
fn with_records(mut data: &[u8]) -> Option<OneFile> {
    let disk = OneFile::default();
    let file = Arc::new(disk.clone());
    file.write_at(&[IoSlice::new(&[0; CAPACITY])], 0).ok()?;
    let mut appender = Appender::new(Segment::prepare(file, 1, CAPACITY as u64).ok()?);
    let mut records = vec![start_record(StartDigest { serial_limit: 1, is_cold: false }, 0)];
    while let Some((&[kind, digest_size, size], rest)) = data.split_first_chunk() {
        let (payload, rest) = rest.split_at(rest.len().min(size.into()));
        data = rest;
        let digest_size = usize::from(digest_size).min(payload.len());
        let parts = [Bytes::copy_from_slice(payload), Bytes::new(), Bytes::new()];
        let record = Record::new(Kind::from_code(kind % 8)?, digest_size, parts)?;
        records.push(Record { seq: u64::from(kind), ..record });
        if !appender.has_room(records.iter().fold(Load::default(), Load::add)) {
            records.pop();
            break;
        }
    }
    appender.append(1, &records).ok()?;
    Some(disk)
}

/// A disk that has nothing but one segment. Tests of single parts use it too.
#[derive(Clone, Default)]
pub(crate) struct OneFile(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Disk for OneFile {
    fn create(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, name: &str, _: Access) -> io::Result<Arc<dyn DiskFile>> {
        if name == file_name(1) { Ok(Arc::new(self.clone())) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn create_folder(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn names(&self, _: &str) -> io::Result<Vec<String>> {
        Ok(vec!["00000001".into()])
    }

    fn sync_folder(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn lock(&self, _: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl DiskFile for OneFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let octets: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let end = offset as usize + octets.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset as usize..end].copy_from_slice(&octets);
        Ok(octets.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = file.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::digest::{Change, MessageDigest, StateDigest};
    use mail::Time;
    use proptest::prelude::*;

    /// Data that [`with_records`] makes one record of.
    fn data(kind: Kind, digest: &[u8], rest: &[u8]) -> Vec<u8> {
        let size = digest.len() + rest.len();
        [&[kind as u8, digest.len() as u8, size as u8], digest, rest].concat()
    }

    fn message(serial: u64, envelope_size: u32) -> Vec<u8> {
        let digest = MessageDigest {
            serial,
            arrival: Time::default(),
            size: 0,
            recipients: 3,
            envelope_size,
            envelope_crc: 0,
            is_held: false,
            is_long_id: false,
            body: None,
        };
        let mut octets = Vec::new();
        digest.encode(&mut octets);
        data(Kind::Message, &octets, b"\x01\x01a")
    }

    fn state(serial: u64, added: u32, fates: Vec<(u32, bool)>) -> Vec<u8> {
        let mut octets = Vec::new();
        let change = Change { is_snapshot: added == 7, ..Change::default() };
        StateDigest { serial, change, added, fates }.encode(&mut octets);
        data(Kind::State, &octets, b"\x02\x00")
    }

    #[test]
    fn a_corpus() {
        for data in [
            vec![],
            vec![0; 100_000],
            message(1, 3),
            message(1, 1_000_000),
            [message(1, 0), message(1, 0), state(1, u32::MAX, vec![(u32::MAX, true)])].concat(),
            [message(1, 0), state(1, 7, vec![(2, true), (2, true), (0, false)]), state(2, 0, vec![])]
                .concat(),
            [message(u64::MAX, 0), data(Kind::Done, &[255; 8], &[]), data(Kind::Seal, &[], &[])].concat(),
            [data(Kind::Start, &[], &[]), data(Kind::State, &[1, 2], &[3])].concat(),
        ] {
            fuzz_segment(&data);
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_panic(octets: Vec<u8>, records: Vec<(u8, Vec<u8>)>) {
            fuzz_segment(&octets);
            let known = Kind::from_code(3).expect("a kind");
            let records = records.iter().flat_map(|(n, payload)| data(Kind::from_code(n % 8).unwrap_or(known), payload, &[]));
            fuzz_segment(&records.collect::<Vec<u8>>());
        }
    }
}
