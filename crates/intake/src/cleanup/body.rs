//! The body: passed on as it is, but for stray line ends; and the size of what went out.

use memchr::{memchr_iter, memchr2_iter};

/// Lines on their way out.
#[derive(Debug)]
pub(super) struct Body {
    lines: Lines,
    replace_stray_cr_lf: bool,
    /// A CR ended the last piece: what follows tells whether it ends a line.
    held_cr: bool,
}

impl Body {
    pub(super) fn new(line_length_limit: usize, replace_stray_cr_lf: bool) -> Body {
        Body {
            lines: Lines { limit: line_length_limit, len: 0, size: 0 },
            replace_stray_cr_lf,
            held_cr: false,
        }
    }

    /// Passes a piece on: `made` gets what had to be made anew, and goes before what is returned.
    pub(super) fn pass<'a>(&mut self, piece: &'a [u8], made: &mut Vec<u8>) -> &'a [u8] {
        let mut rest = piece;
        if self.held_cr && !rest.is_empty() {
            self.held_cr = false;
            if rest[0] == b'\n' {
                made.extend_from_slice(b"\r\n");
                rest = &rest[1..];
                self.lines.end(0);
            } else {
                self.replace(b'\r', made);
            }
        }
        while let Some(at) = self.find_stray(rest) {
            if at + 1 == rest.len() && rest[at] == b'\r' {
                self.held_cr = true;
                return &rest[..at];
            }
            made.extend_from_slice(&rest[..at]);
            self.replace(rest[at], made);
            rest = &rest[at + 1..];
        }
        rest
    }

    /// Counts lines up to the first CR or LF that is not one of CRLF.
    fn find_stray(&mut self, piece: &[u8]) -> Option<usize> {
        let mut start = 0;
        let mut found = memchr2_iter(b'\r', b'\n', piece);
        while let Some(at) = found.next() {
            if piece[at] == b'\n' || piece.get(at + 1) != Some(&b'\n') {
                self.lines.len += at - start;
                return Some(at);
            }
            found.next();
            self.lines.end(at - start);
            start = at + 2;
        }
        self.lines.len += piece.len() - start;
        None
    }

    /// Counts what others made: whole lines, or their beginnings.
    pub(super) fn count(&mut self, made: &[u8]) {
        self.lines.count(made);
    }

    /// What was counted so far, to be counted on by others.
    pub(super) fn counted(&self) -> Lines {
        self.lines.clone()
    }

    /// Ends the last line if it was not.
    pub(super) fn finish(&mut self, made: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) || self.lines.len > 0 {
            made.extend_from_slice(b"\r\n");
            self.lines.end(0);
        }
    }

    /// The octets of the message as Postfix counts them.
    pub(super) fn size(&self) -> u64 {
        self.lines.size()
    }

    /// A CR without LF, or a LF without CR, is never passed on as the end of a line.
    fn replace(&mut self, octet: u8, made: &mut Vec<u8>) {
        made.push(if self.replace_stray_cr_lf || octet == b'\n' { b' ' } else { octet });
        self.lines.len += 1;
    }
}

/// Counts the size of lines in the queue files of Postfix, since that is what `size=` shows: each piece of a line of at
/// most `line_length_limit` octets has its type and its length, of one octet per seven bits, before it.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    limit: usize,
    /// Of the line that is not ended yet.
    len: usize,
    size: u64,
}

impl Lines {
    pub(super) fn count(&mut self, made: &[u8]) {
        let mut start = 0;
        for newline in memchr_iter(b'\n', made) {
            self.end((newline - start).saturating_sub(1));
            start = newline + 1;
        }
        self.len += made.len() - start;
    }

    pub(super) fn size(&self) -> u64 {
        self.size + self.len as u64
    }

    fn end(&mut self, more: usize) {
        let len = std::mem::take(&mut self.len) + more;
        let limit = self.limit.max(1);
        let pieces = len / limit;
        self.size += (pieces * (overhead(limit)) + overhead(len % limit) + len) as u64;
    }
}

fn overhead(len: usize) -> usize {
    match len {
        0..0x80 => 2,
        0x80..0x4000 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn passed(message: &[u8], split: usize, replace: bool) -> (Vec<u8>, u64) {
        let mut body = Body::new(2048, replace);
        let mut out = Vec::new();
        for piece in message.chunks(split.max(1)) {
            let rest = body.pass(piece, &mut out).to_vec();
            out.extend(rest);
        }
        body.finish(&mut out);
        (out, body.size())
    }

    #[test]
    fn rows() {
        for (message, expect, size) in [
            (&b""[..], &b""[..], 0),
            (b"\r\n", b"\r\n", 2),
            (b"a\r\nb", b"a\r\nb\r\n", 6),
            (b"a\r", b"a\r\n", 3),
            (b"a\rb\r\n", b"a b\r\n", 5),
            (b"a\nb\r\n", b"a b\r\n", 5),
            (b"a\r\r\n", b"a \r\n", 4),
            (b"\n.\n\r\n", b" . \r\n", 5),
            (b"a\r\n\nb", b"a\r\n b\r\n", 7),
        ] {
            for split in 1..=message.len() {
                assert_eq!(passed(message, split, true), (expect.to_vec(), size), "{message:?} by {split}");
            }
        }
        assert_eq!(passed(b"a\rb\nc\r\n", 9, false).0, b"a\rb c\r\n");
    }

    /// `size=` of messages with such a line, less the rest.
    #[test]
    fn size_as_postfix_counts() {
        for (len, size) in [(127, 129), (128, 131), (2047, 2050), (2048, 2053), (3000, 3006)] {
            let message = [&vec![b'x'; len][..], b"\r\n"].concat();
            assert_eq!(passed(&message, 1000, true).1, size, "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(message in "([a-b]|\r|\n|\r\n){0,30}", split in 1..31usize, replace: bool) {
            let message = message.as_bytes();
            let whole = passed(message, message.len(), replace);
            prop_assert_eq!(&passed(message, split, replace), &whole);
            let text = String::from_utf8(whole.0).unwrap();
            prop_assert!(!text.replace("\r\n", "").contains('\n'));
            prop_assert!(text.is_empty() || text.ends_with("\r\n"));
        }
    }
}
