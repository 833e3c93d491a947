//! Command lines gathered from input of any granularity, within `line_length_limit`.

use crate::framing::ForbidBareNewline;
use memchr::memchr;

/// Gathers one line at a time.
#[derive(Debug, Default)]
pub(super) struct LineReader {
    /// The line so far, with its LF once complete; at most the limit and one octet more.
    line: Vec<u8>,
    is_complete: bool,
    /// Octets that had no room.
    has_excess: bool,
}

/// A complete line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: Vec<u8>,
    /// It was longer than allowed and is cut.
    pub(super) is_cut: bool,
    /// It ended with LF without CR.
    pub(super) is_bare: bool,
}

/// Capacity that a reader keeps between lines.
const KEPT_CAPACITY: usize = 4096;

impl LineReader {
    /// Takes input up to the end of a line. None if there is no end yet.
    ///
    /// `limit` counts the line end. Postfix: a CR as the last octet within the limit may still be followed by its LF.
    pub(super) fn read(&mut self, input: &mut &[u8], limit: usize, mode: ForbidBareNewline) -> Option<Line> {
        let end = memchr(b'\n', input);
        let (piece, rest) = input.split_at(end.map_or(input.len(), |at| at + 1));
        *input = rest;
        let room = (limit + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        self.has_excess |= piece.len() > room;
        self.is_complete = end.is_some();
        self.is_complete.then(|| self.take(limit, mode))
    }

    fn take(&mut self, limit: usize, mode: ForbidBareNewline) -> Line {
        let mut text = std::mem::take(&mut self.line);
        let fits = text.len() <= limit || (text.len() == limit + 1 && text.ends_with(b"\r\n"));
        let is_cut = std::mem::take(&mut self.has_excess) || !fits;
        if is_cut {
            text.truncate(limit);
            return Line { text, is_cut, is_bare: false };
        }
        text.pop();
        let is_bare = !text.ends_with(b"\r");
        while text.ends_with(b"\r") {
            text.pop();
            if mode.is_strict() {
                break;
            }
        }
        Line { text, is_cut, is_bare }
    }

    /// Takes a line's buffer back, to be used again.
    pub(super) fn reuse(&mut self, mut text: Vec<u8>) {
        if self.line.capacity() == 0 && text.capacity() <= KEPT_CAPACITY {
            text.clear();
            self.line = text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ForbidBareNewline::{No, Normalize};

    fn lines(wire: &[u8], piece: usize, limit: usize, mode: ForbidBareNewline) -> Vec<(String, bool, bool)> {
        let mut reader = LineReader::default();
        let mut found = Vec::new();
        for mut input in wire.chunks(piece.max(1)) {
            while !input.is_empty() {
                found.extend(reader.read(&mut input, limit, mode));
            }
        }
        found
            .into_iter()
            .map(|l| (String::from_utf8_lossy(&l.text).into_owned(), l.is_cut, l.is_bare))
            .collect()
    }

    #[test]
    fn limits_and_ends() {
        for (wire, mode, expect) in [
            ("1234567\r\n", No, ("1234567", false, false)),
            ("12345678\r\n", No, ("12345678", false, false)),
            ("123456789\r\n", No, ("123456789", false, false)),
            ("1234567890\r\n", No, ("1234567890", true, false)),
            ("123456789\n", No, ("123456789", false, true)),
            ("1234567890\n", No, ("1234567890", true, false)),
            ("12345678901234567890\r\n", No, ("1234567890", true, false)),
            ("12345678\r\r\n", No, ("12345678", false, false)),
            ("a\r\r\n", No, ("a", false, false)),
            ("a\r\r\n", Normalize, ("a\r", false, false)),
            ("a\rb\n", Normalize, ("a\rb", false, true)),
            ("\r\n", Normalize, ("", false, false)),
        ] {
            for piece in 1..=wire.len() {
                let found = lines(wire.as_bytes(), piece, 10, mode);
                let expect = (expect.0.to_owned(), expect.1, expect.2);
                assert_eq!(found, [expect], "{wire:?} in pieces of {piece}");
            }
        }
    }
}
