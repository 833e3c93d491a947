//! Line ends of letters.

/// Lines as the queue ends them (CRLF) become lines as letters end them (LF).
#[derive(Debug, Default)]
pub struct LineFeeds {
    /// A CR whose successor is not known yet.
    has_cr: bool,
}

impl LineFeeds {
    /// Takes a piece, in any split.
    pub fn convert(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for &octet in piece {
            if std::mem::take(&mut self.has_cr) && octet != b'\n' {
                out.push(b'\r');
            }
            match octet {
                b'\r' => self.has_cr = true,
                _ => out.push(octet),
            }
        }
    }

    /// What is left at the end.
    pub fn finish(self) -> &'static [u8] {
        if self.has_cr { b"\r" } else { b"" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_at_every_split() {
        for (content, expect) in
            [(&b"a\r\nb\r\n"[..], &b"a\nb\n"[..]), (b"a\r\r\n\rb\r", b"a\r\n\rb\r"), (b"", b"")]
        {
            for at in 0..=content.len() {
                let (mut lines, mut out) = (LineFeeds::default(), Vec::new());
                lines.convert(&content[..at], &mut out);
                lines.convert(&content[at..], &mut out);
                out.extend(lines.finish());
                assert_eq!(out, expect, "{content:?} at {at}");
            }
        }
    }
}
