//! What can be a host name, a network address or an address literal, as Postfix judges.
//!
//! Looking one up is `net`'s job.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Whether this can be a host name: labels of 1 to 63 letters, digits, `-` and `_`, no `-` at their ends, 255 octets
/// in all, and not digits and dots alone. A dot at the end is not taken.
///
/// ```
/// use mail::hostname::is_hostname;
/// assert!(is_hostname(b"mx_1.example.com"));
/// assert!(!is_hostname(b"192.0.2.1") && !is_hostname(b"-x.example") && !is_hostname(b"x..example"));
/// ```
pub fn is_hostname(name: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
    };
    name.len() <= 255
        && name.split(|b| *b == b'.').all(is_label)
        && !name.iter().all(|b| b.is_ascii_digit() || *b == b'.')
}

/// Whether this can be a host name once its non-ASCII labels are encoded (RFC 5890). Those are taken only where
/// SMTPUTF8 was asked for.
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

/// Whether this is an IPv4 or IPv6 address in text form, without brackets.
pub fn is_host_address(text: &[u8]) -> bool {
    if text.contains(&b':') { is_ipv6(text) } else { is_ipv4(text) }
}

/// Whether this is four numbers of 0 to 255. Postfix: leading zeros are allowed, a first number of 0 only in 0.0.0.0.
pub fn is_ipv4(text: &[u8]) -> bool {
    let number = |part: &[u8]| -> Option<u32> {
        let is_number = !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        let value = part.iter().fold(0u32, |n, b| n.saturating_mul(10).saturating_add(u32::from(b - b'0')));
        (is_number && value <= 255).then_some(value)
    };
    let numbers: Option<Vec<u32>> = text.split(|b| *b == b'.').take(5).map(number).collect();
    numbers.is_some_and(|n| n.len() == 4 && (n[0] != 0 || n.iter().all(|n| *n == 0)))
}

/// Whether this is an IPv6 address (RFC 4291 2.2) without a zone.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, expect) in [
            ("a.b", true),
            ("a", true),
            ("a_b", true),
            ("_.b", true),
            ("1a.2", true),
            ("xn--jos-dma.example", true),
            ("", false),
            (".", false),
            ("a.", false),
            (".a", false),
            ("a..b", false),
            ("-a", false),
            ("a-.b", false),
            ("12345", false),
            ("1.2.3.4", false),
            ("a b", false),
            ("jos\u{e9}.example", false),
        ] {
            assert_eq!(is_hostname(name.as_bytes()), expect, "{name}");
        }
        let label = "a".repeat(63);
        assert!(is_hostname(label.as_bytes()) && !is_hostname(format!("{label}a").as_bytes()));
        let longest = format!("{label}.{label}.{label}.{label}");
        assert!(is_hostname(longest.as_bytes()) && !is_hostname(format!("{longest}.a").as_bytes()));
    }

    #[test]
    fn names_in_utf8() {
        assert!(is_utf8_hostname("jos\u{e9}.example".as_bytes(), true));
        assert!(!is_utf8_hostname("jos\u{e9}.example".as_bytes(), false));
        assert_eq!(&*to_ascii("jos\u{e9}.example".as_bytes()), b"xn--jos-dma.example");
        assert_eq!(&*to_ascii(b"\xff.example"), b"\xff.example");
    }

    #[test]
    fn addresses() {
        for (text, expect) in [
            ("192.0.2.1", true),
            ("192.000.2.01", true),
            ("0.0.0.0", true),
            ("0.1.2.3", false),
            ("192.0.2.256", false),
            ("192.0.2", false),
            ("192.0.2.1.", false),
            ("1.2.3.4.5", false),
            ("2001:db8::1", true),
            ("::", true),
            ("::ffff:192.0.2.1", true),
            ("1:2:3", false),
            ("1::2::3", false),
            ("", false),
        ] {
            assert_eq!(is_host_address(text.as_bytes()), expect, "{text}");
        }
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
}
