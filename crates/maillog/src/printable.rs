//! Text from outside, made safe for one line of a log.

use std::borrow::Cow;

/// Control characters and what is not UTF-8 become `?`, as Postfix prints them.
pub fn printable(raw: &[u8]) -> Cow<'_, str> {
    if raw.iter().all(|b| (32..127).contains(b)) {
        return Cow::Borrowed(std::str::from_utf8(raw).expect("checked to be ASCII"));
    }
    let mut out = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        out.extend(chunk.valid().chars().map(|c| if c.is_control() { '?' } else { c }));
        out.extend(chunk.invalid().iter().map(|_| '?'));
    }
    Cow::Owned(out)
}

/// The same for text that is UTF-8 already.
pub fn printable_str(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) { printable(text.as_bytes()) } else { Cow::Borrowed(text) }
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
        ] {
            assert_eq!(printable(raw), expect);
        }
    }
}
