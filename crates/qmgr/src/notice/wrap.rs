//! Long lines of a report, folded as Postfix folds them.

/// Octets in a line.
const LENGTH: usize = 79;
/// Blanks in front of the second and later lines, which are as much shorter.
const INDENT: usize = 4;

/// Appends `text`, broken at blanks, each line ended with CRLF. A word that is too long stands alone.
pub(super) fn push_wrapped(out: &mut Vec<u8>, text: &[u8]) {
    let is_blank = |b: u8| b == b' ' || b == b'\t';
    let (mut start, mut word) = (0, 0);
    let (mut length, mut indent) = (LENGTH, 0);
    loop {
        let word_end = text[word..].iter().position(|b| is_blank(*b)).map_or(text.len(), |n| word + n);
        if word > start && word_end - start > length {
            push_line(out, indent, &text[start..word]);
            word += text[word..].iter().take_while(|b| b.is_ascii_whitespace()).count();
            if start == 0 {
                (length, indent) = (LENGTH - INDENT, INDENT);
            }
            start = word;
        }
        if word_end == text.len() {
            break;
        }
        word = word_end + 1;
    }
    push_line(out, indent, &text[start..]);
}

fn push_line(out: &mut Vec<u8>, indent: usize, line: &[u8]) {
    out.resize(out.len() + indent, b' ');
    out.extend_from_slice(line.trim_ascii_end());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str) -> String {
        let mut out = Vec::new();
        push_wrapped(&mut out, text.as_bytes());
        String::from_utf8(out).expect("broken at blanks only")
    }

    /// Seen in reports of Postfix 3.7.11.
    #[test]
    fn rows() {
        let long = "x".repeat(100);
        for (text, expect) in [
            ("", "\r\n".to_owned()),
            ("short", "short\r\n".into()),
            (
                "<bad@remote.example>: host 192.0.2.10[192.0.2.10] said: 550 5.1.1 no such user here (in reply to RCPT TO command)",
                "<bad@remote.example>: host 192.0.2.10[192.0.2.10] said: 550 5.1.1 no such user\r\n    here (in reply to RCPT TO command)\r\n".into(),
            ),
            (
                "<tmp@remote.example>: host 192.0.2.10[192.0.2.10] said: 450 4.2.0 try later (in reply to RCPT TO command)",
                "<tmp@remote.example>: host 192.0.2.10[192.0.2.10] said: 450 4.2.0 try later (in\r\n    reply to RCPT TO command)\r\n".into(),
            ),
            (
                "<\"bad x\"@remote.example>: host 192.0.2.10[192.0.2.10] said: 550 5.1.1 no such user here with a rather long text that must be folded somewhere I believe (in reply to RCPT TO command)",
                "<\"bad x\"@remote.example>: host 192.0.2.10[192.0.2.10] said: 550 5.1.1 no such\r\n    user here with a rather long text that must be folded somewhere I believe\r\n    (in reply to RCPT TO command)\r\n".into(),
            ),
            (&format!("a {long} b   c  "), format!("a\r\n    {long}\r\n    b   c\r\n")),
        ] {
            assert_eq!(wrapped(text), expect, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_blanks_is_lost(text in "[a-z \t]{0,300}") {
            let squeeze = |t: &str| t.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let out = wrapped(&text);
            proptest::prop_assert_eq!(squeeze(&out), squeeze(&text));
            for line in out.lines() {
                proptest::prop_assert!(line.len() <= LENGTH || !line.trim_ascii_start().contains([' ', '\t']));
            }
        }
    }
}
