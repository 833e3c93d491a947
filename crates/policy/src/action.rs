//! The right side of an access table (access(5)), and what a policy server answers.

use crate::text::is_all_digits;

/// An action, borrowed from what the table holds: reading one costs no allocation, so there is nothing to cache.
///
/// ```
/// use policy::AccessAction;
/// assert_eq!(AccessAction::parse(b"REJECT go away"), AccessAction::Reject(b"go away"));
/// assert_eq!(AccessAction::parse(b"550 5.1.1 no"), AccessAction::Reply { code: 550, text: b"5.1.1 no" });
/// assert_eq!(AccessAction::parse(b"permit_mynetworks, reject"), AccessAction::Restrictions(b"permit_mynetworks, reject"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessAction<'a> {
    /// OK, RELAY, or digits alone. With the word as it is written.
    Ok(&'a [u8]),
    Dunno,
    /// These have a text that may be empty, and that may begin with a status code.
    Reject(&'a [u8]),
    Defer(&'a [u8]),
    DeferIfPermit(&'a [u8]),
    DeferIfReject(&'a [u8]),
    Reply {
        /// 400 to 599.
        code: u16,
        text: &'a [u8],
    },
    /// These have a text that may be empty.
    Info(&'a [u8]),
    Warn(&'a [u8]),
    Hold(&'a [u8]),
    Discard {
        word: &'a [u8],
        text: &'a [u8],
    },
    /// `transport:destination`, not yet checked.
    Filter(&'a [u8]),
    /// An address, not yet checked.
    Redirect(&'a [u8]),
    Bcc(&'a [u8]),
    /// A header, not yet checked.
    Prepend(&'a [u8]),
    /// Anything else: names of restrictions and classes.
    Restrictions(&'a [u8]),
}

impl<'a> AccessAction<'a> {
    pub fn parse(value: &'a [u8]) -> AccessAction<'a> {
        use AccessAction::*;
        let word_len = value.iter().take_while(|b| !matches!(b, b' ' | b'\t')).count();
        let (word, rest) = value.split_at(word_len);
        let text = rest.trim_ascii_start();
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        match word {
            _ if is("DUNNO") => Dunno,
            _ if is("REJECT") => Reject(text),
            _ if is("DEFER") => Defer(text),
            _ if is("INFO") => Info(text),
            _ if is("WARN") => Warn(text),
            _ if is("FILTER") => Filter(text),
            _ if is("HOLD") => Hold(text),
            _ if is("DISCARD") => Discard { word, text },
            _ if is("REDIRECT") => Redirect(text),
            _ if is("BCC") => Bcc(text),
            _ if is("DEFER_IF_PERMIT") => DeferIfPermit(text),
            _ if is("DEFER_IF_REJECT") => DeferIfReject(text),
            _ if is("PREPEND") => Prepend(text),
            _ if is_all_digits(value) => Ok(word),
            &[c @ (b'4' | b'5'), d, u] if d.is_ascii_digit() && u.is_ascii_digit() && !text.is_empty() => {
                let digit = |b: u8| u16::from(b - b'0');
                Reply { code: digit(c) * 100 + digit(d) * 10 + digit(u), text }
            }
            _ if is("OK") || is("RELAY") => Ok(word),
            _ => Restrictions(value),
        }
    }
}

/// Whether the text begins as a header does: a name of printing characters, perhaps blanks, a colon (RFC 5322 4.5.3).
pub(crate) fn is_header(text: &[u8]) -> bool {
    let name = text.iter().take_while(|b| b.is_ascii_graphic() && **b != b':').count();
    let behind = text[name..].iter().find(|b| !matches!(b, b' ' | b'\t'));
    name > 0 && behind == Some(&b':')
}

/// The body of the fuzz target `access_action`: every text is a part of the value.
pub fn fuzz_action(data: &[u8]) {
    use AccessAction::*;
    let text = match AccessAction::parse(data) {
        Dunno => return,
        Ok(text) | Reject(text) | Defer(text) | DeferIfPermit(text) | DeferIfReject(text) | Info(text) => {
            text
        }
        Warn(text) | Hold(text) | Filter(text) | Redirect(text) | Bcc(text) | Prepend(text) => text,
        Discard { text, .. } | Restrictions(text) => text,
        Reply { code, text } => {
            assert!((400..600).contains(&code));
            text
        }
    };
    assert!(data.starts_with(text) || data.ends_with(text));
    is_header(text);
}

#[cfg(test)]
mod tests {
    use super::AccessAction::*;
    use super::*;

    #[test]
    fn actions() {
        for (value, expect) in [
            ("OK", Ok(b"OK")),
            ("ok whatever", Ok(b"ok")),
            ("Relay", Ok(b"Relay")),
            ("1234567", Ok(b"1234567")),
            ("550", Ok(b"550")),
            ("dunno x", Dunno),
            ("REJECT", Reject(b"")),
            ("reject\t 5.1.1 x ", Reject(b"5.1.1 x ")),
            ("450 later", Reply { code: 450, text: b"later" }),
            ("599 x", Reply { code: 599, text: b"x" }),
            ("350 x", Restrictions(b"350 x")),
            ("5500 x", Restrictions(b"5500 x")),
            ("55a x", Restrictions(b"55a x")),
            ("550 ", Restrictions(b"550 ")),
            ("DISCARD", Discard { word: b"DISCARD", text: b"" }),
            ("Hold  it", Hold(b"it")),
            ("REJECTED", Restrictions(b"REJECTED")),
            ("OK,DUNNO", Restrictions(b"OK,DUNNO")),
            ("", Restrictions(b"")),
        ] {
            assert_eq!(AccessAction::parse(value.as_bytes()), expect, "{value}");
            fuzz_action(value.as_bytes());
        }
    }

    #[test]
    fn headers() {
        for (text, expect) in [
            ("X: y", true),
            ("X-Y \t: y", true),
            ("X:", true),
            ("", false),
            (": y", false),
            (" X: y", false),
            ("X y: z", false),
            ("X", false),
            ("X\u{e9}: y", false),
        ] {
            assert_eq!(is_header(text.as_bytes()), expect, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_value(data: Vec<u8>) {
            fuzz_action(&data);
        }
    }
}
