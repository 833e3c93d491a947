//! Text from peers, made fit for replies and logs.

/// Control characters and what is not UTF-8 become `?`, as Postfix prints them.
pub fn printable(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        out.extend(chunk.valid().chars().map(|c| if c.is_control() { '?' } else { c }));
        out.extend(chunk.invalid().iter().map(|_| '?'));
    }
    out
}

/// As [`printable`], and characters that mean something in a header or an address become `?` too: for HELO names and the
/// like.
pub(crate) fn neutered(raw: &[u8]) -> String {
    printable(raw).replace(|c| " <>()\\\";@".contains(c), "?")
}

/// Escapes as C does, so that what is logged can be told apart: `\r\n`, `\001`, `\\`.
pub(crate) fn escaped(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len());
    for &byte in raw {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(byte)),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            0x0b => out.push_str("\\v"),
            0x0c => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        for (raw, print, neuter, escape) in [
            (&b"plain"[..], "plain", "plain", "plain"),
            (b"a\r\n\x1b\0", "a????", "a????", "a\\r\\n\\033\\000"),
            (b"\xff\xc3\xa9", "?\u{e9}", "?\u{e9}", "\\377\\303\\251"),
            (b"<a b@c>;\\", "<a b@c>;\\", "?a?b?c???", "<a b@c>;\\\\"),
        ] {
            assert_eq!((&*printable(raw), &*neutered(raw), &*escaped(raw)), (print, neuter, escape));
        }
    }
}
