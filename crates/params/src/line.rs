//! Physical lines to logical lines, as main.cf, master.cf and tables have them: a line that begins with a blank continues the one
//! before, and comments and empty lines may stand in between.

/// A logical line: what its physical lines hold, joined without their ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalLine {
    pub text: String,
    /// The number of its first physical line, from 1.
    pub number: usize,
    /// Where each physical line begins in `text`.
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    offset: usize,
    number: usize,
}

impl LogicalLine {
    /// The physical line that holds `text[offset]`, and the character's column in it, from 0.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let piece = self.pieces.iter().rev().find(|p| p.offset <= offset).unwrap_or(&self.pieces[0]);
        let column = self.text.get(piece.offset..offset).map_or(0, |s| s.chars().count());
        (piece.number, column)
    }

    /// Begins with a blank: it continues nothing, which Postfix warns of and skips.
    pub fn is_stray(&self) -> bool {
        self.text.starts_with(is_space)
    }

    /// Postfix: what stands behind a NUL is not there.
    fn end_at_nul(&mut self) {
        if let Some(nul) = self.text.find('\0') {
            self.text.truncate(nul);
            self.pieces.retain(|p| p.offset <= nul);
        }
    }

    fn push(&mut self, line: &str, number: usize) {
        self.pieces.push(Piece { offset: self.text.len(), number });
        self.text.push_str(line);
    }
}

/// The logical lines of a file, octets that are no UTF-8 as [`crate::octets`] has them.
pub fn logical_lines(bytes: &[u8]) -> Vec<LogicalLine> {
    let text = crate::octets::to_text(bytes);
    let mut lines: Vec<LogicalLine> = Vec::new();
    let mut open = false;
    for (index, line) in text.split('\n').enumerate() {
        let continues = open && (line.is_empty() || line.starts_with(is_space) || line.starts_with('#'));
        open = continues;
        if is_comment_or_blank(line) {
            continue;
        }
        open = true;
        match lines.last_mut().filter(|_| continues) {
            Some(last) => last.push(line, index + 1),
            None => {
                let mut fresh = LogicalLine { text: String::new(), number: index + 1, pieces: Vec::new() };
                fresh.push(line, index + 1);
                lines.push(fresh);
            }
        }
    }
    lines.iter_mut().for_each(LogicalLine::end_at_nul);
    lines
}

/// Nothing but blanks, or a `#` as the first thing behind them.
pub fn is_comment_or_blank(line: &str) -> bool {
    let rest = line.trim_start_matches(is_space);
    rest.is_empty() || rest.starts_with('#')
}

/// What C's isspace() takes for a blank.
pub fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(input: &str) -> Vec<(usize, String)> {
        logical_lines(input.as_bytes()).into_iter().map(|l| (l.number, l.text)).collect()
    }

    #[test]
    fn continuation() {
        for (input, expect) in [
            ("", vec![]),
            ("a", vec![(1, "a")]),
            ("a\n", vec![(1, "a")]),
            ("a\n b\n", vec![(1, "a b")]),
            ("a\n# c\n\tb\nd", vec![(1, "a\tb"), (4, "d")]),
            ("a\n\n \n b", vec![(1, "a b")]),
            ("a\n   # c\n b", vec![(1, "a b")]),
            ("# c\n b\nd", vec![(2, " b"), (3, "d")]),
            ("\n\na\nb", vec![(3, "a"), (4, "b")]),
            ("a #b\n#\nc", vec![(1, "a #b"), (3, "c")]),
            ("a\0b\n c\n\0\nd", vec![(1, "a"), (3, ""), (4, "d")]),
        ] {
            let expect: Vec<_> = expect.into_iter().map(|(n, t): (_, &str)| (n, t.to_string())).collect();
            assert_eq!(texts(input), expect, "{input:?}");
        }
    }

    #[test]
    fn positions() {
        let lines = logical_lines("ab = c,\n# x\n  d\u{e9}f".as_bytes());
        assert_eq!(lines[0].text, "ab = c,  d\u{e9}f");
        assert_eq!(lines[0].position(5), (1, 5));
        assert_eq!(lines[0].position(9), (3, 2));
        assert_eq!(lines[0].position(12), (3, 4));
    }
}
