//! Makes a record of a draft: in the caller's thread, so that the writer only writes.

use super::bodies::Body;
use super::core::{Core, NewMessage, Reserved};
use super::digest::MessageDigest;
use super::record::{Kind, Record};
use crate::codec::put_envelope;
use crate::{Arrival, Content, Draft, SpoolError, Stored};
use bytes::Bytes;
use mail::{Envelope, QueueId};
use std::sync::Arc;

/// A fresh message costs so much memory beside its content and addresses, roughly.
const FRESH_OVERHEAD: usize = 1024;
/// A fresh message with a file counts as so many octets: its descriptor is scarcer than memory.
const FRESH_FILE_COST: usize = 512 << 10;

/// A message that is ready to be written, and its body if that has a file.
pub(crate) struct Committed {
    pub(crate) new: NewMessage,
    pub(crate) body: Option<Body>,
}

pub(crate) fn encode(core: &Core, draft: Draft, envelope: Envelope) -> Result<Committed, SpoolError> {
    let parts = draft.into_parts()?;
    let reserved = Reserved { space: core.space.clone(), octets: parts.reserved };
    let body = match parts.file {
        None => None,
        Some(file) => Some(*file.into_any().downcast::<Body>().map_err(|_| foreign_draft())?),
    };
    let mut envelope_octets = Vec::with_capacity(256);
    put_envelope(&mut envelope_octets, &envelope);
    let digest = MessageDigest {
        serial: parts.serial,
        arrival: parts.arrival,
        size: envelope.size,
        recipients: envelope.recipients.len() as u32,
        envelope_size: envelope_octets.len() as u32,
        envelope_crc: crc32c::crc32c(&envelope_octets),
        is_held: parts.held,
        is_long_id: parts.id == QueueId::long(parts.arrival, parts.serial),
        body: body.as_ref().map(|body| (body.size(), body.crc())),
    };
    let (head, inline) = (fitted(parts.head), fitted(parts.body));
    let fresh_size = head.len() + inline.len() + 2 * envelope_octets.len() + FRESH_OVERHEAD;
    let kind = if body.is_some() { Kind::BodyRef } else { Kind::Message };
    let record = record_of(kind, &digest, &envelope_octets, head.clone(), inline.clone())
        .ok_or_else(|| SpoolError::Format("envelope or header too large for a record".into()))?;
    let content = match &body {
        None => Content::new(head, inline),
        Some(body) => Content::with_file(head, body.content(), body.size()),
    };
    let cost = fresh_size + if body.is_some() { FRESH_FILE_COST } else { 0 };
    let fresh = core
        .fresh
        .take(cost)
        .map(|share| Arc::new(Stored::new(parts.id, envelope, content).with_room(Box::new(share))));
    let arrival = Arrival { id: parts.id, fresh };
    Ok(Committed { new: NewMessage { record, digest, arrival, _reserved: reserved }, body })
}

fn foreign_draft() -> SpoolError {
    SpoolError::Format("a draft of another spool".into())
}

/// Octets that may stay in memory for a while, without what a growing buffer had to spare.
fn fitted(mut octets: Vec<u8>) -> Bytes {
    if octets.capacity() > 2 * octets.len() {
        octets.shrink_to_fit();
    }
    octets.into()
}

fn record_of(
    kind: Kind,
    digest: &MessageDigest,
    envelope: &[u8],
    head: Bytes,
    body: Bytes,
) -> Option<Record> {
    let mut front = Vec::with_capacity(64 + envelope.len());
    digest.encode(&mut front);
    let digest_size = front.len();
    front.extend_from_slice(envelope);
    Record::new(kind, digest_size, [front.into(), head, body])
}
