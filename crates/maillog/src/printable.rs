//! Text from outside, made safe for one line of a log.

use std::borrow::Cow;

/// Control characters and what is not UTF-8 become `?`, as Postfix prints them; so do the characters that stand for such octets in
/// a configuration (`params::octets`).
pub fn printable(raw: &[u8]) -> Cow<'_, str> {
    if raw.iter().all(|b| (32..127).contains(b)) {
        return Cow::Borrowed(std::str::from_utf8(raw).expect("checked to be ASCII"));
    }
    let mut out = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        out.extend(chunk.valid().chars().map(|c| if is_printable(c) { c } else { '?' }));
        out.extend(chunk.invalid().iter().map(|_| '?'));
    }
    Cow::Owned(out)
}

/// The same for text that is UTF-8 already.
pub fn printable_str(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) { Cow::Borrowed(text) } else { printable(text.as_bytes()) }
}

fn is_printable(c: char) -> bool {
    !c.is_control() && c < '\u{10ff80}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        for (raw, expect) in [
            (&b"plain text"[..], "plain text"),
            (b"a\r\nb\x1b[1m\0", "a??b?[1m?"),
            ("Gr\u{fc}\u{df}e".as_bytes(), "Gr\u{fc}\u{df}e"),
            (b"\xff\xfe x\xc3", "?? x?"),
            ("c1 \u{85}".as_bytes(), "c1 ?"),
            ("Gr\u{10fffc}n".as_bytes(), "Gr?n"),
        ] {
            assert_eq!(printable(raw), expect);
        }
    }
}
