//! Which texts are host names and which are addresses, by Postfix's rules: what it screens names with before it asks the
//! DNS, and the answers after.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// Octets of a name (RFC 1035 2.3.4).
pub const NAME_LIMIT: usize = 255;
/// Octets of a label (RFC 1035 2.3.4).
pub const LABEL_LIMIT: usize = 63;

/// Why a text is no host name; prints what Postfix logs, without the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    Empty,
    LabelTooLong,
    MisplacedWildcard,
    MisplacedDelimiter,
    MisplacedHyphen,
    InvalidCharacter(u8),
    Numeric,
    TooLong(usize),
}

/// Whether `name` may be a host's: letters, digits, underscores, hyphens inside labels, not digits alone; no dot at the end.
///
/// ```
/// use mail::hostname::{is_hostname, is_address};
/// assert!(is_hostname(b"mx_1.example.com") && !is_hostname(b"192.0.2.1") && !is_hostname(b"a..b"));
/// assert!(is_address(b"192.0.2.1") && is_address(b"2001:db8::1") && !is_address(b"[192.0.2.1]"));
/// ```
pub fn is_hostname(name: &[u8]) -> bool {
    check(name, false).is_ok()
}

/// The first flaw of a name; `wildcard` allows `*` as its first label.
pub fn check(name: &[u8], wildcard: bool) -> Result<(), Flaw> {
    if name.is_empty() {
        return Err(Flaw::Empty);
    }
    let mut label_len = 0;
    let mut is_numeric = true;
    for (at, &b) in name.iter().enumerate() {
        let next = name.get(at + 1);
        label_len += 1;
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'0'..=b'9' if label_len > LABEL_LIMIT => {
                return Err(Flaw::LabelTooLong);
            }
            b'0'..=b'9' => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => is_numeric = false,
            b'*' if wildcard && (at > 0 || next.is_some_and(|n| *n != b'.')) => {
                return Err(Flaw::MisplacedWildcard);
            }
            b'*' if wildcard => is_numeric = false,
            b'.' if label_len == 1 || next.is_none() => return Err(Flaw::MisplacedDelimiter),
            b'.' => label_len = 0,
            b'-' if label_len == 1 || next.is_none_or(|n| *n == b'.') => return Err(Flaw::MisplacedHyphen),
            b'-' => is_numeric = false,
            other => return Err(Flaw::InvalidCharacter(other)),
        }
    }
    match name.len() {
        _ if is_numeric => Err(Flaw::Numeric),
        len if len > NAME_LIMIT => Err(Flaw::TooLong(len)),
        _ => Ok(()),
    }
}

/// Whether the text is an IPv4 or IPv6 address, without brackets.
pub fn is_address(text: &[u8]) -> bool {
    is_ipv4(text) || is_ipv6(text)
}

/// Postfix: four numbers to 255, leading zeros allowed; the first is zero only if all are.
pub fn is_ipv4(text: &[u8]) -> bool {
    let octets: Vec<Option<u32>> = text
        .split(|b| *b == b'.')
        .map(|part| {
            (!part.is_empty() && part.len() <= 16 && part.iter().all(u8::is_ascii_digit)).then(|| {
                part.iter()
                    .fold(0u32, |n, digit| n.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
            })
        })
        .collect();
    let is_octet = |octet: &Option<u32>| octet.is_some_and(|n| n <= 255);
    octets.len() == 4
        && octets.iter().all(is_octet)
        && (octets[0] != Some(0) || octets.iter().all(|octet| *octet == Some(0)))
}

pub fn is_ipv6(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// The address in what stands between the brackets of an address literal (RFC 5321 4.1.3): `192.0.2.1` or
/// `IPv6:2001:db8::1`.
pub fn literal_address(text: &[u8]) -> Option<&[u8]> {
    match text.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case(b"IPv6:") => is_ipv6(address).then_some(address),
        _ => is_ipv4(text).then_some(text),
    }
}

/// Whether this is a host name once its non-ASCII labels are encoded (RFC 5890). Those are taken only where SMTPUTF8
/// was asked for.
pub fn is_utf8_hostname(name: &[u8], smtputf8: bool) -> bool {
    if smtputf8 { is_hostname(&to_ascii(name)) } else { is_hostname(name) }
}

/// The name with its non-ASCII labels encoded (RFC 5890); as it is if that cannot be done.
pub fn to_ascii(name: &[u8]) -> Cow<'_, [u8]> {
    if name.is_ascii() {
        return Cow::Borrowed(name);
    }
    match std::str::from_utf8(name).ok().and_then(|name| idna::domain_to_ascii(name).ok()) {
        Some(ascii) if !ascii.is_empty() => Cow::Owned(ascii.into_bytes()),
        _ => Cow::Borrowed(name),
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Empty => f.write_str("empty hostname"),
            Flaw::LabelTooLong => f.write_str("hostname label too long"),
            Flaw::MisplacedWildcard => f.write_str("'*' can be the first label only"),
            Flaw::MisplacedDelimiter => f.write_str("misplaced delimiter"),
            Flaw::MisplacedHyphen => f.write_str("misplaced hyphen"),
            Flaw::InvalidCharacter(b) => write!(f, "invalid character {b}(decimal)"),
            Flaw::Numeric => f.write_str("numeric hostname"),
            Flaw::TooLong(len) => write!(f, "bad length {len}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long_label = "a".repeat(64);
        let long_name = vec!["abcdefghi"; 26].join(".");
        for (name, wildcard, expect) in [
            ("example.com", false, Ok(())),
            ("a", false, Ok(())),
            ("_dmarc.3com.com", false, Ok(())),
            ("1-2", false, Ok(())),
            ("*.example", true, Ok(())),
            ("*", true, Ok(())),
            ("", false, Err(Flaw::Empty)),
            (".", false, Err(Flaw::MisplacedDelimiter)),
            ("a.", false, Err(Flaw::MisplacedDelimiter)),
            ("a..b", false, Err(Flaw::MisplacedDelimiter)),
            ("-a", false, Err(Flaw::MisplacedHyphen)),
            ("a-.b", false, Err(Flaw::MisplacedHyphen)),
            ("a.b-", false, Err(Flaw::MisplacedHyphen)),
            ("12.34", false, Err(Flaw::Numeric)),
            ("a b", false, Err(Flaw::InvalidCharacter(32))),
            ("*.example", false, Err(Flaw::InvalidCharacter(42))),
            ("a.*", true, Err(Flaw::MisplacedWildcard)),
            ("*a", true, Err(Flaw::MisplacedWildcard)),
            ("\u{e9}.example", false, Err(Flaw::InvalidCharacter(0xc3))),
            (&long_label, false, Err(Flaw::LabelTooLong)),
            (&long_name, false, Err(Flaw::TooLong(259))),
        ] {
            assert_eq!(check(name.as_bytes(), wildcard), expect, "{name}");
        }
    }

    #[test]
    fn addresses() {
        for (text, expect) in [
            ("192.0.2.1", true),
            ("0.0.0.0", true),
            ("010.2.3.4", true),
            ("::", true),
            ("::ffff:192.0.2.1", true),
            ("0.1.2.3", false),
            ("1.2.3", false),
            ("1.2.3.256", false),
            ("1.2.3.4.", false),
            ("1.2.3.99999999999999999", false),
            ("1::2::3", false),
            ("", false),
            ("fe80::1%eth0", false),
        ] {
            assert_eq!(is_address(text.as_bytes()), expect, "{text}");
        }
    }

    #[test]
    fn names_in_utf8() {
        assert!(is_utf8_hostname("jos\u{e9}.example".as_bytes(), true));
        assert!(!is_utf8_hostname("jos\u{e9}.example".as_bytes(), false));
        assert_eq!(&*to_ascii("jos\u{e9}.example".as_bytes()), b"xn--jos-dma.example");
        assert_eq!(&*to_ascii(b"\xff.example"), b"\xff.example");
    }

    #[test]
    fn literals() {
        for (text, expect) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("IPv6:2001:db8::1", Some("2001:db8::1")),
            ("ipv6:::1", Some("::1")),
            ("2001:db8::1", None),
            ("IPv6:192.0.2.1", None),
            ("", None),
        ] {
            assert_eq!(literal_address(text.as_bytes()), expect.map(str::as_bytes), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_both(text: Vec<u8>) {
            literal_address(&text);
            to_ascii(&text);
            proptest::prop_assert!(!(is_hostname(&text) && is_address(&text)));
        }
    }
}
