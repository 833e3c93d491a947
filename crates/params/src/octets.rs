//! Octets that are no UTF-8, as text. A configuration is text here, yet what an old one has in Latin-1 comes out as it went in.

use std::borrow::Cow;

/// The character that stands for the octet 0x80; those for the others follow. They end the last private plane, where no text is.
const FIRST: u32 = 0x10_FF80;

/// Octets as text. Each one that belongs to no character becomes a private one.
///
/// ```
/// assert_eq!(params::octets::to_octets(&params::octets::to_text(b"Gr\xfc\xdfe")).as_ref(), b"Gr\xfc\xdfe");
/// ```
pub fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|&b| char::from_u32(FIRST + u32::from(b & 0x7f))));
    }
    Cow::Owned(text)
}

/// Text as the octets that it was made of.
pub fn to_octets(text: &str) -> Cow<'_, [u8]> {
    if !text.chars().any(|c| u32::from(c) >= FIRST) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c).checked_sub(FIRST) {
            Some(low) => bytes.push(0x80 | low as u8),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        for text in ["", "plain", "Gr\u{fc}\u{df}e", "\u{10fffd}"] {
            assert_eq!(to_text(text.as_bytes()), text);
        }
        assert_eq!(to_text(b"\xfc").chars().count(), 1);
    }

    proptest::proptest! {
        #[test]
        fn octets_come_back(text in "\\PC{0,9}", broken: Vec<u8>) {
            let octets = [text.as_bytes(), &broken].concat();
            let text = to_text(&octets);
            proptest::prop_assert_eq!(to_octets(&text).into_owned(), octets);
        }
    }
}
