//! As much of ASN.1's basic encoding rules (X.690) as LDAP uses (RFC 4511, 5.1): definite lengths, tags of one octet.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;

/// An element with its tag and length.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..0x80 => out.push(short as u8),
        long => {
            let octets = (long as u32).to_be_bytes();
            out.push(0x84);
            out.extend_from_slice(&octets);
        }
    }
    out.extend_from_slice(content);
    out
}

pub(super) fn octets(text: &[u8]) -> Vec<u8> {
    element(OCTETS, text)
}

/// An INTEGER or an ENUMERATED.
pub(super) fn number(tag: u8, number: i32) -> Vec<u8> {
    let octets = number.to_be_bytes();
    // A leading octet that only repeats the sign is left out.
    let is_idle = |at: usize| match octets[at] {
        0 => octets[at + 1] < 0x80,
        0xff => octets[at + 1] >= 0x80,
        _ => false,
    };
    let start = (0..3).find(|&at| !is_idle(at)).unwrap_or(3);
    element(tag, &octets[start..])
}

pub(super) fn boolean(value: bool) -> Vec<u8> {
    element(0x01, &[if value { 0xff } else { 0 }])
}

/// Reads elements one after the other.
#[derive(Clone)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element's tag and content; None: there is none, or it is cut off.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..0x80 => (usize::from(first), rest),
            _ => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length(octets)?, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    pub(super) fn octets(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(seen, _)| *seen == tag).map(|(_, content)| content)
    }

    pub(super) fn number(&mut self, tag: u8) -> Option<i32> {
        let content = self.octets(tag).filter(|content| (1..=4).contains(&content.len()))?;
        let sign = if content[0] >= 0x80 { -1 } else { 0 };
        Some(content.iter().fold(sign, |number, octet| number << 8 | i32::from(*octet)))
    }
}

/// A length of several octets; None: no message is that long.
pub(super) fn length(octets: &[u8]) -> Option<usize> {
    if octets.is_empty() || octets.len() > 4 {
        return None;
    }
    Some(octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (value, expect) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 127]),
            (128, &[2, 2, 0, 128]),
            (-1, &[2, 1, 255]),
            (i32::MAX, &[2, 4, 127, 255, 255, 255]),
        ] {
            assert_eq!(number(INTEGER, value), expect);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(value: i32, text: Vec<u8>) {
            let all = [number(INTEGER, value), octets(&text), element(SEQUENCE, &octets(&text))].concat();
            let mut reader = Reader(&all);
            proptest::prop_assert_eq!(reader.number(INTEGER), Some(value));
            proptest::prop_assert_eq!(reader.octets(OCTETS), Some(&text[..]));
            let mut inner = Reader(reader.octets(SEQUENCE).unwrap());
            proptest::prop_assert_eq!(inner.octets(OCTETS), Some(&text[..]));
            proptest::prop_assert!(reader.next().is_none());
        }
    }
}
