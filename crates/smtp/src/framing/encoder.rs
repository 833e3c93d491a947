//! Content on its way out (RFC 5321 4.5.2): dots stuffed, long lines folded, the end marked.

use memchr::memchr;

/// Turns content, as the queue keeps it, into what follows DATA.
///
/// ```
/// use smtp::framing::Encoder;
/// let mut encoder = Encoder::new(998);
/// let mut wire = Vec::new();
/// encoder.encode(b"a\r\n.b", &mut wire);
/// encoder.finish(&mut wire);
/// assert_eq!(wire, b"a\r\n..b\r\n.\r\n");
/// ```
#[derive(Debug)]
pub struct Encoder {
    /// `smtp_line_length_limit`: octets of a line without its end; 0 is no limit.
    limit: usize,
    /// Octets of the line at hand that were given out; 0 at its start.
    column: usize,
    /// The last octet was a CR, which is given out once it is known whether it belongs to a line end.
    holds_cr: bool,
    has_folded: bool,
}

impl Encoder {
    pub fn new(smtp_line_length_limit: usize) -> Encoder {
        Encoder { limit: smtp_line_length_limit, column: 0, holds_cr: false, has_folded: false }
    }

    /// Appends some content to `wire`.
    pub fn encode(&mut self, mut content: &[u8], wire: &mut Vec<u8>) {
        wire.reserve(content.len() + content.len() / 64 + 4);
        while !content.is_empty() {
            let newline = memchr(b'\n', content);
            let mut text = &content[..newline.unwrap_or(content.len())];
            if self.holds_cr && !(text.is_empty() && newline.is_some()) {
                self.put(b"\r", wire);
            }
            self.holds_cr = text.ends_with(b"\r");
            text = text.strip_suffix(b"\r").unwrap_or(text);
            self.put(text, wire);
            let Some(newline) = newline else { return };
            self.end_line(wire);
            content = &content[newline + 1..];
        }
    }

    /// Appends what is missing of the last line, and the dot.
    pub fn finish(&mut self, wire: &mut Vec<u8>) {
        self.end_last_line(wire);
        wire.extend_from_slice(b".\r\n");
    }

    /// Appends what is missing of the last line: nothing but the dot may follow.
    pub fn end_last_line(&mut self, wire: &mut Vec<u8>) {
        if std::mem::take(&mut self.holds_cr) {
            self.put(b"\r", wire);
        }
        if self.column > 0 {
            self.end_line(wire);
        }
    }

    /// Whether a line was longer than allowed.
    pub fn has_folded(&self) -> bool {
        self.has_folded
    }

    fn end_line(&mut self, wire: &mut Vec<u8>) {
        wire.extend_from_slice(b"\r\n");
        self.holds_cr = false;
        self.column = 0;
    }

    /// Some octets of a line.
    ///
    /// Postfix: a line of just the limit stays whole; a longer one is broken there, and goes on behind a blank.
    fn put(&mut self, mut text: &[u8], wire: &mut Vec<u8>) {
        if self.column == 0 && text.starts_with(b".") {
            wire.push(b'.');
        }
        while self.limit > 0 && self.column + text.len() > self.limit {
            let (fits, rest) = text.split_at(self.limit - self.column);
            wire.extend_from_slice(fits);
            wire.extend_from_slice(b"\r\n ");
            self.column = 1;
            self.has_folded = true;
            text = rest;
        }
        wire.extend_from_slice(text);
        self.column += text.len();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, ForbidBareNewline};
    use super::*;
    use crate::fuzz::decode_split;

    fn encoded(limit: usize, content: &[u8], cut: usize) -> String {
        let (mut encoder, mut wire) = (Encoder::new(limit), Vec::new());
        let (start, end) = content.split_at(cut.min(content.len()));
        encoder.encode(start, &mut wire);
        encoder.encode(end, &mut wire);
        encoder.finish(&mut wire);
        String::from_utf8(wire).expect("ASCII content")
    }

    #[test]
    fn rows() {
        for (limit, content, expect) in [
            (998, "", ".\r\n"),
            (998, "a\r\n", "a\r\n.\r\n"),
            (998, "a", "a\r\n.\r\n"),
            (998, ".\r\n..\r\nx.\r\n", "..\r\n...\r\nx.\r\n.\r\n"),
            (998, "\r\n.\r\n", "\r\n..\r\n.\r\n"),
            (998, "a\nb\r", "a\r\nb\r\r\n.\r\n"),
            (998, "\r.\r\n", "\r.\r\n.\r\n"),
            (5, "12345\r\n", "12345\r\n.\r\n"),
            (5, "123456\r\n", "12345\r\n 6\r\n.\r\n"),
            (5, "1234567890123\r\n", "12345\r\n 6789\r\n 0123\r\n.\r\n"),
            (5, ".1234.\r\n", "..1234\r\n .\r\n.\r\n"),
            (5, "12345.", "12345\r\n .\r\n.\r\n"),
            (0, "1234567890\r\n", "1234567890\r\n.\r\n"),
        ] {
            for cut in 0..=content.len() {
                assert_eq!(encoded(limit, content.as_bytes(), cut), expect, "{content:?} cut at {cut}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn decoding_undoes_encoding(lines in proptest::collection::vec("[.a-c\r]{0,12}", 0..8), cut in 0usize..80) {
            let content: String = lines.iter().map(|line| format!("{}\r\n", line.trim_end_matches('\r'))).collect();
            let wire = encoded(0, content.as_bytes(), cut);
            let decoded = decode_split(Decoder::dots(ForbidBareNewline::Normalize), wire.as_bytes(), &[cut]);
            proptest::prop_assert_eq!(decoded, Some((content.into_bytes(), 0)));
        }

        #[test]
        fn no_line_is_too_long(content in "[.a\r\n]{0,60}", cut in 0usize..60) {
            let wire = encoded(7, content.as_bytes(), cut);
            proptest::prop_assert!(wire.split("\r\n").all(|line| line.len() <= 8), "{:?}", wire);
            proptest::prop_assert_eq!(wire.matches("\r\n.\r\n").count() + usize::from(wire == ".\r\n"), 1);
        }
    }
}
