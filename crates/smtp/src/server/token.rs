//! Command lines cut into words, as Postfix cuts them: quotes and brackets hold words together, and `FROM:` and `TO:` are
//! words of their own.

/// A word of a command, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a [u8],
    /// A quote or bracket was not closed.
    pub(super) is_unclosed: bool,
}

impl Token<'_> {
    pub(super) fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word.as_bytes())
    }
}

/// The words of a line; at most as many as `line_length_limit` has room for.
pub(super) fn tokens(line: &[u8]) -> Vec<Token<'_>> {
    let mut rest = line;
    std::iter::from_fn(|| {
        let (token, behind) = next(behind_blanks(rest))?;
        rest = behind;
        Some(token)
    })
    .collect()
}

/// The first word and what is behind it. `line` does not begin with a blank.
fn next(line: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let (mut at, mut is_unclosed) = (0, false);
    while let Some(&byte) = line.get(at) {
        at += 1;
        match byte {
            _ if is_blank(byte) => {
                at -= 1;
                break;
            }
            b'<' | b'"' => {
                let closer = if byte == b'<' { b'>' } else { b'"' };
                let is_closed;
                (at, is_closed) = behind_quoted(line, at, closer);
                is_unclosed |= !is_closed;
            }
            b':' if is_path_keyword(&line[..at]) => break,
            b'\\' => at = (at + 1).min(line.len()),
            _ => {}
        }
    }
    (at > 0).then(|| (Token { text: &line[..at], is_unclosed }, &line[at..]))
}

fn is_path_keyword(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"to:") || word.eq_ignore_ascii_case(b"from:")
}

/// Where quoted text ends that began before `at`, and whether it was closed. Quotes nest in brackets, and brackets in
/// brackets.
fn behind_quoted(line: &[u8], mut at: usize, closer: u8) -> (usize, bool) {
    let mut open = vec![closer];
    while let (Some(&byte), Some(&wanted)) = (line.get(at), open.last()) {
        at += 1;
        match byte {
            b'\\' => at = (at + 1).min(line.len()),
            _ if byte == wanted => {
                open.pop();
            }
            b'"' => open.push(b'"'),
            b'<' if wanted == b'>' => open.push(b'>'),
            _ => {}
        }
    }
    (at, open.is_empty())
}

/// What C calls a space.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn behind_blanks(line: &[u8]) -> &[u8] {
    &line[line.iter().take_while(|b| is_blank(**b)).count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        for (line, expect) in [
            ("", &[][..]),
            (" \t\r", &[]),
            ("MAIL FROM:<a@b>", &["MAIL", "FROM:", "<a@b>"]),
            ("mail from: <a@b> SIZE=1", &["mail", "from:", "<a@b>", "SIZE=1"]),
            ("MAIL FROM:a@b", &["MAIL", "FROM:", "a@b"]),
            ("MAIL FROM :<a>", &["MAIL", "FROM", ":<a>"]),
            ("MAILFROM:<a>", &["MAILFROM:<a>"]),
            ("from:to:from:", &["from:", "to:", "from:"]),
            ("MAIL FROM:<a b> c", &["MAIL", "FROM:", "<a b>", "c"]),
            ("MAIL FROM:<\"a> b\"@c>", &["MAIL", "FROM:", "<\"a> b\"@c>"]),
            ("RCPT TO:<a <b c> d> e", &["RCPT", "TO:", "<a <b c> d>", "e"]),
            ("RCPT TO:a\\ b c", &["RCPT", "TO:", "a\\ b", "c"]),
            ("RCPT TO:<a>b c", &["RCPT", "TO:", "<a>b", "c"]),
            ("RCPT TO:x\"y z\"@b", &["RCPT", "TO:", "x\"y z\"@b"]),
            ("a \\", &["a", "\\"]),
            ("a\x0bb", &["a", "b"]),
        ] {
            let words: Vec<_> =
                tokens(line.as_bytes()).iter().map(|t| String::from_utf8_lossy(t.text)).collect();
            assert_eq!(words, expect, "{line}");
        }
    }

    #[test]
    fn unclosed() {
        for (line, expect) in [
            ("<a", true),
            ("\"a", true),
            ("<a>", false),
            ("<a\\>", true),
            ("<\"a>", true),
            ("<<a>", true),
            ("\"<\"", false),
            ("<a>\"", true),
        ] {
            assert_eq!(tokens(line.as_bytes())[0].is_unclosed, expect, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn words_are_of_the_line_and_in_order(line: Vec<u8>) {
            let joined: Vec<u8> = tokens(&line).iter().flat_map(|t| t.text).copied().collect();
            let mut rest = line.iter();
            proptest::prop_assert!(joined.iter().all(|b| rest.any(|c| c == b)));
        }
    }
}
