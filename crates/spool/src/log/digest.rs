//! Digests: the part of each record that the index in memory is built from. A full segment keeps them all in one place, so
//! that starting reads no messages.
//!
//! Octets behind what a digest is known to have are left alone: later versions may add some.

use crate::wire::{Malformed, put_varint, take, take_varint};
use mail::{Fate, Outcome, Time};

/// Of `Start`: what was decided when the segment was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StartDigest {
    /// No message in or before this segment has a serial number as large as this, and nor does any later one before the
    /// next `Start`.
    pub(crate) serial_limit: u64,
    /// The segment is filled by garbage collection: its records are older than their place tells.
    pub(crate) is_cold: bool,
}

/// Of `Message` and `BodyRef`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageDigest {
    pub(crate) serial: u64,
    pub(crate) arrival: Time,
    /// [`mail::Envelope::size`].
    pub(crate) size: u64,
    pub(crate) recipients: u32,
    /// The envelope follows the digest; it has a checksum of its own, so that listings need not read the content.
    pub(crate) envelope_size: u32,
    pub(crate) envelope_crc: u32,
    pub(crate) is_held: bool,
    pub(crate) is_long_id: bool,
    /// Of `BodyRef`: the body's size and checksum.
    pub(crate) body: Option<(u64, u32)>,
}

/// Of `State` and `Admin`: what changes. Fates tell whether a recipient's outcome is final.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateDigest {
    pub(crate) serial: u64,
    pub(crate) change: Change,
    /// How many recipients the record adds.
    pub(crate) added: u32,
    pub(crate) fates: Vec<(u32, bool)>,
}

/// What a `State` or `Admin` record changes of the message as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) next_attempt: NextAttempt,
    pub(crate) is_held: Option<bool>,
    pub(crate) is_expired: bool,
    pub(crate) is_warned: bool,
    /// The record tells everything that this and all earlier records of the message tell: they count no more.
    pub(crate) is_snapshot: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NextAttempt {
    #[default]
    Unchanged,
    /// As soon as possible.
    Cleared,
    At(Time),
}

impl StartDigest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.serial_limit.to_le_bytes().to_vec();
        out.push(u8::from(self.is_cold));
        out
    }

    pub(crate) fn decode(mut octets: &[u8]) -> Result<StartDigest, Malformed> {
        let serial_limit = u64::from_le_bytes(take(&mut octets)?);
        let [is_cold] = take(&mut octets)?;
        Ok(StartDigest { serial_limit, is_cold: is_cold != 0 })
    }
}

const HELD: u8 = 1;
const LONG_ID: u8 = 2;
const BODY: u8 = 4;

impl MessageDigest {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.extend_from_slice(&self.serial.to_le_bytes());
        out.extend_from_slice(&self.arrival.micros().to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.recipients.to_le_bytes());
        out.extend_from_slice(&self.envelope_size.to_le_bytes());
        out.extend_from_slice(&self.envelope_crc.to_le_bytes());
        out.push(flag(self.is_held, HELD) | flag(self.is_long_id, LONG_ID) | flag(self.body.is_some(), BODY));
        if let Some((size, crc)) = self.body {
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(&crc.to_le_bytes());
        }
    }

    pub(crate) fn decode(mut octets: &[u8]) -> Result<MessageDigest, Malformed> {
        let input = &mut octets;
        let serial = u64::from_le_bytes(take(input)?);
        let arrival = Time::from_micros(i64::from_le_bytes(take(input)?));
        let size = u64::from_le_bytes(take(input)?);
        let recipients = u32::from_le_bytes(take(input)?);
        let envelope_size = u32::from_le_bytes(take(input)?);
        let envelope_crc = u32::from_le_bytes(take(input)?);
        let [flags] = take(input)?;
        let body = if flags & BODY == 0 {
            None
        } else {
            Some((u64::from_le_bytes(take(input)?), u32::from_le_bytes(take(input)?)))
        };
        let (is_held, is_long_id) = (flags & HELD != 0, flags & LONG_ID != 0);
        Ok(MessageDigest {
            serial,
            arrival,
            size,
            recipients,
            envelope_size,
            envelope_crc,
            is_held,
            is_long_id,
            body,
        })
    }
}

const NEXT_AT: u16 = 1;
const NEXT_CLEARED: u16 = 2;
const HOLD: u16 = 4;
const RELEASE: u16 = 8;
const EXPIRED: u16 = 16;
const WARNED: u16 = 32;
const SNAPSHOT: u16 = 64;

impl StateDigest {
    pub(crate) fn new(serial: u64, change: Change, added: u32, outcomes: &[Outcome]) -> StateDigest {
        let fates = outcomes.iter().map(|o| (o.recipient, o.fate != Fate::Deferred)).collect();
        StateDigest { serial, change, added, fates }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flag = |is_set: bool, flag: u16| if is_set { flag } else { 0 };
        let change = &self.change;
        let next = match change.next_attempt {
            NextAttempt::Unchanged => 0,
            NextAttempt::Cleared => NEXT_CLEARED,
            NextAttempt::At(_) => NEXT_AT,
        };
        let flags = next
            | flag(change.is_held == Some(true), HOLD)
            | flag(change.is_held == Some(false), RELEASE)
            | flag(change.is_expired, EXPIRED)
            | flag(change.is_warned, WARNED)
            | flag(change.is_snapshot, SNAPSHOT);
        out.extend_from_slice(&self.serial.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        if let NextAttempt::At(time) = change.next_attempt {
            out.extend_from_slice(&time.micros().to_le_bytes());
        }
        put_varint(out, u64::from(self.added));
        put_varint(out, self.fates.len() as u64);
        for (recipient, is_final) in &self.fates {
            put_varint(out, u64::from(*recipient) << 1 | u64::from(*is_final));
        }
    }

    pub(crate) fn decode(mut octets: &[u8]) -> Result<StateDigest, Malformed> {
        let input = &mut octets;
        let serial = u64::from_le_bytes(take(input)?);
        let flags = u16::from_le_bytes(take(input)?);
        let next_attempt = if flags & NEXT_AT != 0 {
            NextAttempt::At(Time::from_micros(i64::from_le_bytes(take(input)?)))
        } else if flags & NEXT_CLEARED != 0 {
            NextAttempt::Cleared
        } else {
            NextAttempt::Unchanged
        };
        let held = (flags & HOLD != 0, flags & RELEASE != 0);
        let change = Change {
            next_attempt,
            is_held: if held.0 != held.1 { Some(held.0) } else { None },
            is_expired: flags & EXPIRED != 0,
            is_warned: flags & WARNED != 0,
            is_snapshot: flags & SNAPSHOT != 0,
        };
        let added = u32::try_from(take_varint(input)?).map_err(|_| Malformed)?;
        let count = take_varint(input)?;
        // Each takes an octet at least.
        if count > input.len() as u64 {
            return Err(Malformed);
        }
        let mut fates = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let n = take_varint(input)?;
            fates.push((u32::try_from(n >> 1).map_err(|_| Malformed)?, n & 1 == 1));
        }
        Ok(StateDigest { serial, change, added, fates })
    }
}

/// Of `Done`: the messages' serial numbers.
pub(crate) fn encode_done(serials: &[u64]) -> Vec<u8> {
    serials.iter().flat_map(|serial| serial.to_le_bytes()).collect()
}

pub(crate) fn decode_done(octets: &[u8]) -> impl Iterator<Item = u64> + '_ {
    octets.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().expect("chunks of 8")))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_come_back(
            numbers: (u64, i64, u64, u32, u32, u32),
            flags: (bool, bool),
            body: Option<(u64, u32)>,
        ) {
            let (serial, arrival, size, recipients, envelope_size, envelope_crc) = numbers;
            let arrival = Time::from_micros(arrival);
            let (is_held, is_long_id) = flags;
            let digest = MessageDigest {
                serial, arrival, size, recipients, envelope_size, envelope_crc, is_held, is_long_id, body,
            };
            let mut out = Vec::new();
            digest.encode(&mut out);
            prop_assert_eq!(MessageDigest::decode(&out), Ok(digest));
            out.pop();
            prop_assert_eq!(MessageDigest::decode(&out), Err(Malformed));
        }

        #[test]
        fn states_come_back(
            serial: u64,
            next in 0..3u8,
            at: i64,
            is_held: Option<bool>,
            flags: [bool; 3],
            added: u32,
            fates: Vec<(u32, bool)>,
        ) {
            let next_attempt = match next {
                0 => NextAttempt::Unchanged,
                1 => NextAttempt::Cleared,
                _ => NextAttempt::At(Time::from_micros(at)),
            };
            let [is_expired, is_warned, is_snapshot] = flags;
            let change = Change { next_attempt, is_held, is_expired, is_warned, is_snapshot };
            let digest = StateDigest { serial, change, added, fates };
            let mut out = Vec::new();
            digest.encode(&mut out);
            prop_assert_eq!(StateDigest::decode(&out), Ok(digest));
            for length in 0..out.len() {
                prop_assert_eq!(StateDigest::decode(&out[..length]), Err(Malformed));
            }
        }

        #[test]
        fn garbage_is_no_panic(octets: Vec<u8>) {
            let _ = (MessageDigest::decode(&octets), StateDigest::decode(&octets), StartDigest::decode(&octets));
            decode_done(&octets).for_each(drop);
        }
    }

    #[test]
    fn starts_and_dones_come_back() {
        let start = StartDigest { serial_limit: 77, is_cold: true };
        assert_eq!(StartDigest::decode(&start.encode()), Ok(start));
        let serials = [1, u64::MAX, 3];
        assert_eq!(decode_done(&encode_done(&serials)).collect::<Vec<_>>(), serials);
    }
}
