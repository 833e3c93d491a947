//! Octets that came from outside, made fit for a reply or a log line, and small questions about them.

use mail::DsnStatus;
use std::ops::Range;

/// Keeps what prints and puts `replacement` for each other octet. With `utf8` whatever looks like a UTF-8 sequence
/// is kept.
pub(crate) fn printable(octets: &[u8], replacement: u8, utf8: bool) -> String {
    let mut out = octets.to_vec();
    let mut at = 0;
    while let Some(&b) = out.get(at) {
        let next_continues = |out: &[u8], at: usize| out.get(at + 1).is_some_and(|b| (128..192).contains(b));
        if b.is_ascii_graphic() || b == b' ' {
            // as it is
        } else if utf8 && (194..=254).contains(&b) && next_continues(&out, at) {
            while next_continues(&out, at) {
                at += 1;
            }
        } else {
            out[at] = replacement;
        }
        at += 1;
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Takes `4.7.1` off the front of a text, and the blanks before and behind it. The default if there is none.
pub(crate) fn split_status(default: DsnStatus, text: &[u8]) -> (DsnStatus, &[u8]) {
    let text = text.trim_ascii_start();
    let len = text.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let (code, rest) = text.split_at(len);
    let is_parted = rest.first().is_none_or(u8::is_ascii_whitespace);
    match std::str::from_utf8(code).ok().filter(|_| is_parted).and_then(DsnStatus::parse) {
        Some(status) => (status, rest.trim_ascii_start()),
        None => (default, text),
    }
}

/// At least one octet, and digits only.
pub(crate) fn is_all_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// What stands behind the last `@`, or all of it.
pub(crate) fn domain_part(text: &[u8]) -> &[u8] {
    match text.iter().rposition(|b| *b == b'@') {
        Some(at) => &text[at + 1..],
        None => text,
    }
}

/// The words of a list: parted by commas and blanks, except inside braces.
///
/// ```text
/// permit, check_policy_service { inet:x:1, timeout=2s } reject
/// ```
pub(crate) fn words(text: &str) -> Vec<Range<usize>> {
    let is_separator = |b: u8| matches!(b, b',' | b' ' | b'\t' | b'\r' | b'\n');
    let mut words = Vec::new();
    let (mut start, mut depth) = (None, 0usize);
    for (at, b) in text.bytes().enumerate() {
        if depth == 0 && is_separator(b) {
            words.extend(start.take().map(|start| start..at));
            continue;
        }
        start.get_or_insert(at);
        match b {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    words.extend(start.map(|start| start..text.len()));
    words
}

/// What stands between the braces of `{ … }`. Postfix's words if that is not what it is.
pub(crate) fn inside_braces(text: &str) -> Result<&str, String> {
    if !text.starts_with('{') {
        return Err(format!("no '{{' at start of text in \"{text}\""));
    }
    match closing_brace(text) {
        Some(at) if at + 1 == text.len() => Ok(&text[1..at]),
        Some(_) => Err(format!("syntax error after '}}' in \"{text}\"")),
        None => Err(format!("missing '}}' in \"{text}\"")),
    }
}

/// Where the brace ends that `text` begins with.
pub(crate) fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.bytes().position(|b| {
        depth += i32::from(b == b'{') - i32::from(b == b'}');
        depth == 0
    })
}

/// `name = value`. Postfix's words if it is not one.
pub(crate) fn split_name_value(text: &str) -> Result<(&str, &str), &'static str> {
    let text = text.trim_start();
    let name_len = text.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(text.len());
    let (name, rest) = text.split_at(name_len);
    if name.is_empty() {
        return Err("missing attribute name");
    }
    match rest.trim_start().strip_prefix('=') {
        Some(value) => Ok((name, value.trim())),
        None => Err("missing '=' after attribute name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prints() {
        for (octets, utf8, expect) in [
            (&b"a b~"[..], true, "a b~"),
            (b"a\tb\x07\x7f", true, "a?b??"),
            ("gr\u{fc}ezi".as_bytes(), true, "gr\u{fc}ezi"),
            ("gr\u{fc}".as_bytes(), false, "gr??"),
            (b"\xffx\xc3", true, "?x?"),
            (b"\xc3", true, "?"),
            (b"", true, ""),
        ] {
            assert_eq!(printable(octets, b'?', utf8), expect);
        }
    }

    #[test]
    fn statuses() {
        let default = DsnStatus::new(5, 7, 1);
        for (text, status, rest) in [
            ("go", "5.7.1", "go"),
            ("  4.1.1  go", "4.1.1", "go"),
            ("4.1.1", "4.1.1", ""),
            ("4.1.1x", "5.7.1", "4.1.1x"),
            ("", "5.7.1", ""),
        ] {
            let (got, left) = split_status(default, text.as_bytes());
            assert_eq!((got.to_string().as_str(), left), (status, rest.as_bytes()));
        }
    }

    #[test]
    fn words_of_lists() {
        for (text, expect) in [
            ("", vec![]),
            (" ,\n a,b\tc", vec!["a", "b", "c"]),
            ("a { b, c } d", vec!["a", "{ b, c }", "d"]),
            ("inline:{a=b c=d}x,y", vec!["inline:{a=b c=d}x", "y"]),
            ("a{ b", vec!["a{ b"]),
            ("} a", vec!["}", "a"]),
        ] {
            let got: Vec<&str> = words(text).into_iter().map(|w| &text[w]).collect();
            assert_eq!(got, expect, "{text}");
        }
    }

    #[test]
    fn braces() {
        for (text, expect) in [
            ("{ a { b } }", Ok(" a { b } ")),
            ("{}", Ok("")),
            ("a", Err("no '{' at start of text in \"a\"")),
            ("{ a", Err("missing '}' in \"{ a\"")),
            ("{a}b", Err("syntax error after '}' in \"{a}b\"")),
        ] {
            assert_eq!(inside_braces(text).map_err(|e| e.to_string()), expect.map_err(str::to_string));
        }
    }
}
