//! Queue ids: what names a message in logs, replies and commands.
//!
//! They look like Postfix's, because log readers and scripts know the two shapes:
//! short, `4E5F03A1C2` (five hex digits of microseconds, then a number in hex), and long
//! (`enable_long_queue_ids = yes`), `3Pt2mN2VXxznjll` (seconds and microseconds in base 52, `z`, a number in base 51).
//! Where Postfix uses the queue file's inode number, we use a serial number that no two messages of a spool share.

use crate::Time;
use std::fmt;

/// A queue id of at most 25 characters, all ASCII alphanumeric.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId {
    len: u8,
    text: [u8; Self::MAX],
}

/// Digits without vowels, so that no id spells a word.
const BASE52: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

impl QueueId {
    pub const MAX: usize = 25;

    /// The short form.
    pub fn short(at: Time, serial: u64) -> QueueId {
        let mut id = QueueId { len: 0, text: [0; Self::MAX] };
        let micros = at.subsec_micros();
        for shift in [16, 12, 8, 4, 0] {
            id.push(b"0123456789ABCDEF"[(micros >> shift & 15) as usize]);
        }
        id.push_number(serial, 16, 1);
        id
    }

    /// The long form, which sorts by time and is never used twice.
    pub fn long(at: Time, serial: u64) -> QueueId {
        let mut id = QueueId { len: 0, text: [0; Self::MAX] };
        id.push_number(at.secs().max(0) as u64, 52, 6);
        id.push_number(u64::from(at.subsec_micros()), 52, 4);
        id.push(b'z');
        id.push_number(serial, 51, 1);
        id
    }

    /// Takes what a person typed or a file holds. None if it cannot be a queue id.
    pub fn parse(text: &[u8]) -> Option<QueueId> {
        if text.is_empty() || text.len() > Self::MAX || !text.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let mut id = QueueId { len: text.len() as u8, text: [0; Self::MAX] };
        id.text[..text.len()].copy_from_slice(text);
        Some(id)
    }

    /// The serial number it was made with. None if it was not made by [`QueueId::short`] or [`QueueId::long`].
    pub fn serial(&self) -> Option<u64> {
        let text = self.as_str().as_bytes();
        let (digits, base) = match text.iter().rposition(|b| *b == b'z') {
            Some(z) if z >= 10 => (&text[z + 1..], 51),
            Some(_) => return None,
            None => (text.get(5..)?, 16),
        };
        let digit = |b: u8| match base {
            16 => b"0123456789ABCDEF".iter().position(|d| *d == b),
            _ => BASE52.iter().position(|d| *d == b),
        };
        let number = |n: u64, b: &u8| n.checked_mul(base)?.checked_add(digit(*b)? as u64);
        if digits.is_empty() { None } else { digits.iter().try_fold(0, number) }
    }

    /// The microseconds within the second that it was made with, in five hex digits: what Postfix's queue folders have
    /// subfolders by (`hash_queue_depth`). None if it was not made by [`QueueId::short`] or [`QueueId::long`].
    pub fn micros_in_hex(&self) -> Option<String> {
        self.serial()?;
        let text = self.as_str().as_bytes();
        if !text.contains(&b'z') {
            return Some(self.as_str()[..5].to_owned());
        }
        let digits = text.get(6..10)?;
        let number = |n: usize, b: &u8| Some(n * 52 + BASE52.iter().position(|d| d == b)?);
        digits.iter().try_fold(0, number).map(|micros| format!("{micros:05X}"))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).expect("all ASCII by construction")
    }

    fn push(&mut self, byte: u8) {
        self.text[usize::from(self.len)] = byte;
        self.len += 1;
    }

    fn push_number(&mut self, mut n: u64, base: u64, width: usize) {
        let mut digits = [0u8; 16];
        let mut at = digits.len();
        while n > 0 || digits.len() - at < width {
            at -= 1;
            // base 16 uses A-F, which base 52's digits are not
            let digit = (n % base) as usize;
            digits[at] = if base == 16 { b"0123456789ABCDEF"[digit] } else { BASE52[digit] };
            n /= base;
        }
        digits[at..].iter().for_each(|d| self.push(*d));
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let at = Time::from_micros(1_700_000_000_000_255);
        assert_eq!(QueueId::short(at, 0x9B2012).as_str(), "000FF9B2012");
        assert_eq!(QueueId::short(at, 0).as_str(), "000FF0");
        let long = QueueId::long(at, 51);
        assert_eq!(long.as_str().len(), 6 + 4 + 1 + 2);
        assert_eq!(&long.as_str()[10..], "z10");
        let longest = QueueId::long(Time::from_micros(i64::MAX), u64::MAX);
        assert_eq!(QueueId::parse(longest.as_str().as_bytes()), Some(longest));
    }

    #[test]
    fn serials_come_back() {
        for serial in [0, 1, 15, 16, 50, 51, 52, 0x9B2012, 1 << 40, u64::MAX] {
            for micros in [0, 1, 999_999, 1_700_000_000_000_255] {
                let at = Time::from_micros(micros);
                assert_eq!(QueueId::short(at, serial).serial(), Some(serial));
                assert_eq!(QueueId::long(at, serial).serial(), Some(serial));
            }
        }
    }

    #[test]
    fn micros_come_back() {
        let at = Time::from_micros(1_700_000_000_789_255);
        let hex = format!("{:05X}", 789_255);
        for id in [QueueId::short(at, 77), QueueId::long(at, 77), QueueId::long(at, 1 << 60)] {
            assert_eq!(id.micros_in_hex().as_ref(), Some(&hex), "{id}");
        }
        assert_eq!(QueueId::parse(b"x").unwrap().micros_in_hex(), None);
    }

    #[test]
    fn what_has_no_serial() {
        for text in ["0", "00000", "00000g", "00000a", "zz", "000000000z", "0000000000z", "0000000000zA"] {
            let id = QueueId::parse(text.as_bytes()).unwrap();
            assert_eq!(id.serial(), None, "{text}");
        }
        let overflow = format!("00000{}", "F".repeat(17));
        assert_eq!(QueueId::parse(overflow.as_bytes()).unwrap().serial(), None);
    }

    #[test]
    fn what_is_no_id() {
        for text in ["", "A-B", "../x", "01234567890123456789012345"] {
            assert_eq!(QueueId::parse(text.as_bytes()), None, "{text}");
        }
    }
}
