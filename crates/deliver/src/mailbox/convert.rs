//! From the queue's lines (CRLF) to a mailbox file's (LF), by chunks.

/// Turns CRLF into LF and, for mbox, quotes lines that begin with `From `. A CR that ends no line stays.
pub(super) struct LineConverter {
    quotes_from: bool,
    /// A CR that may belong to a CRLF.
    held_cr: bool,
    /// How many octets of `From ` the line has matched so far; None once it can't any more.
    matched: Option<usize>,
}

const FROM: &[u8] = b"From ";

impl LineConverter {
    pub(super) fn new(quotes_from: bool) -> LineConverter {
        LineConverter { quotes_from, held_cr: false, matched: Some(0) }
    }

    /// Converts a chunk; whatever way the content is cut, the result is the same.
    pub(super) fn convert(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let line_end = memchr::memchr(b'\n', rest);
            let (line, is_ended) = match line_end {
                Some(at) => (&rest[..at], true),
                None => (rest, false),
            };
            self.line_part(line, is_ended, out);
            rest = &rest[line.len() + usize::from(is_ended)..];
        }
    }

    /// What a last unended line holds back. The queue's content ends its lines, so this is rarely anything.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.release_cr(out);
        self.release_match(out);
    }

    fn line_part(&mut self, part: &[u8], is_ended: bool, out: &mut Vec<u8>) {
        if !part.is_empty() {
            self.release_cr(out);
        }
        let text = part.strip_suffix(b"\r").unwrap_or(part);
        self.text(text, out);
        if is_ended {
            self.held_cr = false;
            self.release_match(out);
            out.push(b'\n');
            self.matched = Some(0);
        } else {
            self.held_cr |= text.len() < part.len();
        }
    }

    /// A line's octets, `From ` at its beginning quoted.
    fn text(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        while let (Some(n), true, Some(&octet)) = (self.matched, self.quotes_from, text.first()) {
            if octet != FROM[n] {
                self.release_match(out);
                break;
            }
            text = &text[1..];
            self.matched = Some(n + 1);
            if n + 1 == FROM.len() {
                out.push(b'>');
                self.release_match(out);
            }
        }
        if !text.is_empty() {
            self.matched = None;
            out.extend_from_slice(text);
        }
    }

    fn release_cr(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) {
            self.text(b"\r", out);
        }
    }

    fn release_match(&mut self, out: &mut Vec<u8>) {
        if let Some(n) = self.matched.take() {
            out.extend_from_slice(&FROM[..n]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(quotes_from: bool, chunks: &[&[u8]]) -> String {
        let (mut converter, mut out) = (LineConverter::new(quotes_from), Vec::new());
        chunks.iter().for_each(|chunk| converter.convert(chunk, &mut out));
        converter.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn rows_at_every_split() {
        for (content, maildir, mbox) in [
            ("", "", ""),
            ("a\r\nb\r\n", "a\nb\n", "a\nb\n"),
            (
                "From me\r\n>From you\r\nFrom\r\nFro\r\n",
                "From me\n>From you\nFrom\nFro\n",
                ">From me\n>From you\nFrom\nFro\n",
            ),
            ("x\rFrom y\r\r\n\r\nFrom z\r\n", "x\rFrom y\r\n\nFrom z\n", "x\rFrom y\r\n\n>From z\n"),
            ("\rFrom\r\n\r\r\r\n", "\rFrom\n\r\r\n", "\rFrom\n\r\r\n"),
            ("unended From", "unended From", "unended From"),
            ("From", "From", "From"),
            ("a\r", "a\r", "a\r"),
        ] {
            let raw = content.as_bytes();
            for at in 0..=raw.len() {
                let chunks = [&raw[..at], &raw[at..]];
                assert_eq!(convert(false, &chunks), maildir, "{content:?} cut at {at}");
                assert_eq!(convert(true, &chunks), mbox, "{content:?} cut at {at}");
            }
            let single: Vec<&[u8]> = raw.chunks(1).collect();
            assert_eq!(convert(true, &single), mbox, "{content:?} by octets");
        }
    }
}
