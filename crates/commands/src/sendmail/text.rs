//! What of standard input is the message: up to its end or a lone dot, without mailbox lines at its front, with line ends
//! as local programs have them.

use mail::header::is_mailbox_line;
use std::io::{self, BufRead};

/// `sendmail_fix_line_endings`: whether CRs before a line's end go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEndings {
    Always,
    /// If the first line has one.
    Strict,
    Never,
}

impl LineEndings {
    pub(super) fn parse(text: &str) -> Option<LineEndings> {
        match text {
            "always" => Some(LineEndings::Always),
            "strict" => Some(LineEndings::Strict),
            "never" => Some(LineEndings::Never),
            _ => None,
        }
    }
}

/// How a message is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) line_endings: LineEndings,
    /// A line with nothing but a dot ends the message.
    pub(super) dot_ends: bool,
    /// `line_length_limit`: longer lines are looked at in pieces of so many octets.
    pub(super) line_length_limit: usize,
}

/// A message as it is read.
pub(super) struct Text<R> {
    input: R,
    rules: Rules,
    /// The piece given out last.
    piece: Vec<u8>,
    /// No line was given out yet: mailbox lines are left out.
    is_at_front: bool,
    /// The piece before did not end its line.
    is_within_line: bool,
    is_done: bool,
}

impl<R: BufRead> Text<R> {
    pub(super) fn new(input: R, rules: Rules) -> Text<R> {
        Text { input, rules, piece: Vec::new(), is_at_front: true, is_within_line: false, is_done: false }
    }

    /// The next line with its end, or the next piece of a long one; a last line may have no end. None: that was all.
    pub(super) fn next_piece(&mut self) -> io::Result<Option<&[u8]>> {
        while !self.is_done {
            let was_within_line = self.is_within_line;
            self.is_done = !self.read_piece()?;
            let is_line = !self.is_within_line;
            if is_line {
                self.settle_line_endings();
            }
            if self.is_at_front && is_line && is_mailbox_line(&self.piece) {
                continue;
            }
            self.is_at_front = false;
            if is_line && self.rules.line_endings == LineEndings::Always {
                strip_crs(&mut self.piece);
            }
            if self.rules.dot_ends && !was_within_line && matches!(&self.piece[..], b".\n" | b".") {
                self.is_done = true;
            } else if !self.piece.is_empty() {
                return Ok(Some(&self.piece));
            }
        }
        Ok(None)
    }

    /// Reads all that is left, for who wrote it.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        while self.next_piece()?.is_some() {}
        Ok(())
    }

    /// Reads a line up to its end or the limit. False: there was nothing.
    fn read_piece(&mut self) -> io::Result<bool> {
        self.piece.clear();
        let limit = self.rules.line_length_limit;
        while self.piece.len() < limit {
            let available = match self.input.fill_buf() {
                Ok(octets) => octets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let window = &available[..available.len().min(limit - self.piece.len())];
            if window.is_empty() {
                break;
            }
            let newline = window.iter().position(|b| *b == b'\n');
            let length = newline.map_or(window.len(), |at| at + 1);
            self.piece.extend_from_slice(&window[..length]);
            self.input.consume(length);
            if newline.is_some() {
                self.is_within_line = false;
                return Ok(true);
            }
        }
        self.is_within_line = true;
        Ok(!self.piece.is_empty())
    }

    /// The first line decides for all.
    fn settle_line_endings(&mut self) {
        if self.rules.line_endings == LineEndings::Strict {
            let has_cr = self.piece.ends_with(b"\r\n");
            self.rules.line_endings = if has_cr { LineEndings::Always } else { LineEndings::Never };
        }
    }
}

fn strip_crs(line: &mut Vec<u8>) {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let length = text.iter().rposition(|b| *b != b'\r').map_or(0, |at| at + 1);
    line.truncate(length);
    line.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn read(input: &[u8], rules: Rules, buffer_size: usize) -> Vec<u8> {
        let mut text = Text::new(BufReader::with_capacity(buffer_size, input), rules);
        let mut out = Vec::new();
        while let Some(piece) = text.next_piece().expect("memory can be read") {
            assert!(!piece.is_empty() && piece.len() <= rules.line_length_limit);
            out.extend_from_slice(piece);
        }
        out
    }

    fn rules(line_endings: LineEndings, dot_ends: bool) -> Rules {
        Rules { line_endings, dot_ends, line_length_limit: 16 }
    }

    #[test]
    fn rows() {
        use LineEndings::*;
        for (input, line_endings, dot_ends, expect) in [
            ("", Always, true, ""),
            ("\n", Always, true, "\n"),
            ("hi\n", Always, true, "hi\n"),
            ("hi", Always, true, "hi"),
            ("hi\n.\nmore\n", Always, true, "hi\n"),
            ("hi\n.\nmore\n", Always, false, "hi\n.\nmore\n"),
            ("hi\n.", Always, true, "hi\n"),
            ("hi\n.\r\nmore\n", Always, true, "hi\n"),
            ("hi\n.\r\nmore\n", Never, true, "hi\n.\r\nmore\n"),
            ("hi\n..\nmore\n", Always, true, "hi\n..\nmore\n"),
            (".\nmore\n", Always, true, ""),
            ("0123456789012345.\nmore\n", Always, true, "0123456789012345.\nmore\n"),
            ("From me\n>From x\n>>From y\nhi\nFrom q\n", Always, true, "hi\nFrom q\n"),
            ("From me", Always, true, "From me"),
            ("From 01234567890123456789\nhi\n", Always, true, "From 01234567890123456789\nhi\n"),
            ("From: me\nhi\n", Always, true, "From: me\nhi\n"),
            ("a\r\nb\r\r\nc\nd\r", Always, true, "a\nb\nc\nd\r"),
            ("a\r\nb\r\r\nc\n", Strict, true, "a\nb\nc\n"),
            ("a\nb\r\n", Strict, true, "a\nb\r\n"),
            ("a\r\nb\n", Never, true, "a\r\nb\n"),
            ("\r\n\r\r\n", Always, true, "\n\n"),
            ("a\rb\r\n", Always, true, "a\rb\n"),
            ("0123456789012345\r\nx\n", Always, true, "0123456789012345\nx\n"),
            ("a\0b\n", Always, true, "a\0b\n"),
        ] {
            for buffer_size in [1, 3, 1000] {
                let out = read(input.as_bytes(), rules(line_endings, dot_ends), buffer_size);
                assert_eq!(String::from_utf8_lossy(&out), expect, "{input:?} by {buffer_size}");
            }
        }
    }

    #[test]
    fn all_is_read_for_the_writer() {
        let mut text = Text::new(&b"a\nb\n.\nc\n"[..], rules(LineEndings::Always, true));
        text.drain().expect("memory can be read");
        assert_eq!(text.next_piece().expect("memory can be read"), None);
        assert_eq!(text.input, b"c\n");
    }
}
