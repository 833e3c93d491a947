//! Reads messages back: the MESSAGE record, then what its STATE records tell.

use super::bodies;
use super::catalog::{Catalog, Entry, Place};
use super::digest::{MessageDigest, StateDigest};
use super::record::{HEADER_SIZE, Header, Kind, Record};
use super::scan::Window;
use super::segment::{ReadError, Segment, Spot};
use crate::codec::{get_envelope, get_outcome, get_recipient, put_outcome, put_recipient};
use crate::disk::Disk;
use crate::wire::{Fields, Malformed, put_nested};
use crate::{Content, Listed, Stored, Summary};
use bytes::Bytes;
use mail::{Envelope, Outcome, Recipient};

/// Fields of a STATE record behind its digest.
mod tag {
    pub(crate) const OUTCOME: u8 = 1;
    pub(crate) const RECIPIENT: u8 = 2;
}

/// Where a message's records are, with the segments to read them from.
pub(crate) struct Places {
    pub(crate) summary: Summary,
    pub(crate) serial: u64,
    pub(crate) message: (Segment, Spot),
    pub(crate) states: Vec<(Segment, Spot)>,
    /// Records that have no place yet: sequence number and payload.
    pub(crate) unwritten: Vec<StateRecord>,
}

/// What a STATE or ADMIN record tells.
#[derive(Clone, Debug)]
pub(crate) struct StateRecord {
    pub(crate) seq: u64,
    pub(crate) digest: StateDigest,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) added: Vec<Recipient>,
}

/// Which record could not be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) place: Place,
    pub(crate) error: ReadError,
}

impl Places {
    /// None if the catalog has lost a segment, which it never does.
    pub(crate) fn of(catalog: &Catalog, entry: &Entry, unwritten: Vec<Record>) -> Option<Places> {
        let with_segment = |place: &Place| {
            let state = catalog.segments.get(&place.segment)?;
            Some((state.segment.clone(), place.spot))
        };
        let decode = |record: Record| {
            StateRecord::decode(record.seq, record.digest_size.into(), &record.parts[0]).ok()
        };
        Some(Places {
            summary: entry.summary(),
            serial: entry.serial,
            message: with_segment(&entry.message())?,
            states: entry.states().iter().map(with_segment).collect::<Option<_>>()?,
            unwritten: unwritten.into_iter().filter_map(decode).collect(),
        })
    }
}

impl StateRecord {
    pub(crate) fn decode(seq: u64, digest_size: usize, payload: &[u8]) -> Result<StateRecord, Malformed> {
        let (digest, fields) = payload.split_at_checked(digest_size).ok_or(Malformed)?;
        let digest = StateDigest::decode(digest)?;
        let (mut outcomes, mut added) = (Vec::new(), Vec::new());
        for field in Fields(fields) {
            match field? {
                (tag::OUTCOME, value) => outcomes.push(get_outcome(value)?),
                (tag::RECIPIENT, value) => added.push(get_recipient(value)?),
                _ => {}
            }
        }
        Ok(StateRecord { seq, digest, outcomes, added })
    }
}

/// The fields of a STATE or ADMIN record.
pub(crate) fn state_fields(outcomes: &[Outcome], added: &[Recipient]) -> Vec<u8> {
    let mut fields = Vec::new();
    for outcome in outcomes {
        put_nested(&mut fields, tag::OUTCOME, |out| put_outcome(out, outcome));
    }
    for recipient in added {
        put_nested(&mut fields, tag::RECIPIENT, |out| put_recipient(out, recipient));
    }
    fields
}

/// A STATE or ADMIN record, without a sequence number. None if it would be too large.
pub(crate) fn state_record(kind: Kind, digest: &StateDigest, fields: &[u8]) -> Option<Record> {
    let mut payload = Vec::with_capacity(32 + fields.len());
    digest.encode(&mut payload);
    let digest_size = payload.len();
    payload.extend_from_slice(fields);
    Record::new(kind, digest_size, [payload.into(), Bytes::new(), Bytes::new()])
}

/// Brings STATE records into the order in which they count: by sequence number, each once (garbage collection may have left
/// a copy), and a snapshot in place of everything up to it.
pub(crate) fn in_order<T>(records: &mut Vec<T>, digest: impl Fn(&T) -> (u64, bool)) {
    records.sort_by_key(|record| digest(record));
    records.dedup_by_key(|record| digest(record));
    if let Some(snapshot) = records.iter().rposition(|record| digest(record).1) {
        records.drain(..snapshot);
    }
}

/// The whole message.
pub(crate) fn load(disk: &dyn Disk, places: Places) -> Result<Stored, Unreadable> {
    let (segment, spot) = &places.message;
    let unreadable = |error| Unreadable { place: Place { segment: segment.number, spot: *spot }, error };
    let (header, payload) = segment.read(*spot).map_err(unreadable)?;
    let (digest, envelope, content) =
        parse_message(&header, payload, places.serial).map_err(|Malformed| unreadable(ReadError::Damaged))?;
    let content = match digest.body {
        None => Content::new(Bytes::new(), content),
        Some((size, crc)) => {
            let body = bodies::open(disk, places.serial, size, crc).map_err(|error| {
                let is_lost =
                    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidData);
                unreadable(if is_lost { ReadError::Damaged } else { ReadError::Io(error) })
            })?;
            Content::with_file(content, body, size)
        }
    };
    let mut stored = Stored::new(places.summary.id, envelope, content);
    let states = read_states(&places, None)?;
    tell(&mut stored.envelope, &mut stored.outcomes, states);
    Ok(stored)
}

fn parse_message(
    header: &Header,
    payload: Bytes,
    serial: u64,
) -> Result<(MessageDigest, Envelope, Bytes), Malformed> {
    if !matches!(header.kind, Kind::Message | Kind::BodyRef) {
        return Err(Malformed);
    }
    let digest_size = usize::from(header.digest_size);
    let digest = MessageDigest::decode(&payload[..digest_size])?;
    let envelope_end = digest_size + digest.envelope_size as usize;
    if digest.serial != serial || envelope_end > payload.len() {
        return Err(Malformed);
    }
    let envelope = get_envelope(&payload[digest_size..envelope_end])?;
    Ok((digest, envelope, payload.slice(envelope_end..)))
}

fn read_states(places: &Places, mut windows: Option<&mut Windows>) -> Result<Vec<StateRecord>, Unreadable> {
    let mut states = Vec::with_capacity(places.states.len() + places.unwritten.len());
    for (segment, spot) in &places.states {
        let read = match &mut windows {
            Some(windows) => windows.states.read(segment, *spot, HEADER_SIZE + spot.size as usize),
            None => segment.read(*spot),
        };
        let unreadable = |error| Unreadable { place: Place { segment: segment.number, spot: *spot }, error };
        let (header, payload) = read.map_err(unreadable)?;
        let record = StateRecord::decode(header.seq, header.digest_size.into(), &payload)
            .ok()
            .filter(|record| record.digest.serial == places.serial)
            .ok_or_else(|| unreadable(ReadError::Damaged))?;
        states.push(record);
    }
    states.extend(places.unwritten.iter().cloned());
    in_order(&mut states, |state| (state.seq, state.digest.change.is_snapshot));
    Ok(states)
}

/// Applies what STATE records tell.
pub(crate) fn tell(envelope: &mut Envelope, outcomes: &mut Vec<Option<Outcome>>, states: Vec<StateRecord>) {
    for state in states {
        envelope.recipients.extend(state.added);
        outcomes.resize(envelope.recipients.len(), None);
        for outcome in state.outcomes {
            if let Some(slot) = outcomes.get_mut(outcome.recipient as usize) {
                *slot = Some(outcome);
            }
        }
    }
}

/// The message as listings show it. Its content is not read.
pub(crate) fn list(places: &Places, windows: &mut Windows) -> Result<Listed, Unreadable> {
    let (segment, spot) = &places.message;
    let unreadable = |error| Unreadable { place: Place { segment: segment.number, spot: *spot }, error };
    let envelope = read_envelope(segment, *spot, places.serial, &mut windows.messages).map_err(unreadable)?;
    let mut listed =
        Listed { summary: places.summary, outcomes: vec![None; envelope.recipients.len()], envelope };
    let states = read_states(places, Some(windows))?;
    tell(&mut listed.envelope, &mut listed.outcomes, states);
    Ok(listed)
}

fn read_envelope(
    segment: &Segment,
    spot: Spot,
    serial: u64,
    cursor: &mut Cursor,
) -> Result<Envelope, ReadError> {
    // Usually enough for an envelope of one recipient.
    const FIRST_SIZE: usize = 1024;
    let mut size = FIRST_SIZE.min(HEADER_SIZE + spot.size as usize);
    loop {
        let octets = cursor.octets(segment, spot, size)?;
        let header = Header::parse(&octets, segment.epoch).ok_or(ReadError::Damaged)?;
        let digest_end = HEADER_SIZE + usize::from(header.digest_size);
        let digest =
            octets.get(HEADER_SIZE..digest_end).and_then(|octets| MessageDigest::decode(octets).ok());
        let digest = digest.filter(|digest| digest.serial == serial).ok_or(ReadError::Damaged)?;
        let end = digest_end + digest.envelope_size as usize;
        if let Some(envelope) = octets.get(digest_end..end) {
            let is_whole = crc32c::crc32c(envelope) == digest.envelope_crc;
            let envelope = get_envelope(envelope).ok().filter(|_| is_whole);
            return envelope.ok_or(ReadError::Damaged);
        }
        if end <= size || end > HEADER_SIZE + spot.size as usize {
            return Err(ReadError::Damaged);
        }
        size = end;
    }
}

/// For listings, which read records in the order in which they lie: large pieces of two segments.
#[derive(Default)]
pub(crate) struct Windows {
    messages: Cursor,
    states: Cursor,
}

#[derive(Default)]
struct Cursor(Option<(u32, u64, Window)>);

impl Cursor {
    /// So many octets from the beginning of a record's header on.
    fn octets(&mut self, segment: &Segment, spot: Spot, size: usize) -> Result<Bytes, ReadError> {
        let key = (segment.number, segment.epoch);
        if self.0.as_ref().is_none_or(|(number, epoch, _)| (*number, *epoch) != key) {
            let window = Window::new(segment.file.clone(), segment.capacity);
            self.0 = Some((key.0, key.1, window));
        }
        let Some((_, _, window)) = &mut self.0 else { return Err(ReadError::Damaged) };
        let octets = window.get(spot.position(), size);
        if Header::parse(octets, segment.epoch).is_some_and(|header| header.size == spot.size) {
            return Ok(Bytes::copy_from_slice(octets));
        }
        // It may have been written after the window was filled.
        window.forget();
        let octets = Bytes::copy_from_slice(window.get(spot.position(), size));
        window.error.take().map_or(Ok(octets), |error| Err(ReadError::Io(error)))
    }

    fn read(&mut self, segment: &Segment, spot: Spot, size: usize) -> Result<(Header, Bytes), ReadError> {
        let octets = self.octets(segment, spot, size)?;
        let header = Header::parse(&octets, segment.epoch).ok_or(ReadError::Damaged)?;
        let payload = octets.slice(HEADER_SIZE.min(octets.len())..);
        let is_whole = payload.len() == header.size as usize && crc32c::crc32c(&payload) == header.crc;
        if is_whole { Ok((header, payload)) } else { Err(ReadError::Damaged) }
    }
}
