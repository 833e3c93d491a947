//! Addresses between their external form (as in headers and SMTP commands) and the internal one (as in tables and logs).

use crate::address::quote_local;
use memchr::{memchr, memrchr};

/// The external form of an internal address: what stands before the last `@` is quoted if it must be. A source route in
/// front (`@a,@b:`, RFC 5321 F.2) is left alone.
///
/// ```
/// use mail::header::quote;
/// assert_eq!(quote(b"john doe@example.com"), b"\"john doe\"@example.com");
/// assert_eq!(quote(b"@relay.example:a b@c"), b"@relay.example:\"a b\"@c");
/// ```
pub fn quote(internal: &[u8]) -> Vec<u8> {
    let (route, mailbox) = internal.split_at(route_len(internal));
    let local_len = memrchr(b'@', mailbox).unwrap_or(mailbox.len());
    let (local, domain) = mailbox.split_at(local_len);
    [route, &quote_local(local), domain].concat()
}

/// The internal form of an external address. Quotes and backslashes go from the local part; the domain stays as it is.
///
/// ```
/// use mail::header::unquote;
/// assert_eq!(unquote(b"\"john doe\"@example.com"), b"john doe@example.com");
/// assert_eq!(unquote(b"\"a@b\"@c"), b"a@b@c");
/// ```
pub fn unquote(external: &[u8]) -> Vec<u8> {
    let (route, mailbox) = external.split_at(route_len(external));
    let mut out = route.to_vec();
    // The last unquoted `@`: where it is in the mailbox, and in what is put out.
    let mut last_at = None;
    let (mut in_quotes, mut bytes) = (false, mailbox.iter().copied().enumerate());
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b'\\' => out.extend(bytes.next().map(|(_, escaped)| escaped)),
            _ => {
                if byte == b'@' && !in_quotes {
                    last_at = Some((index, out.len()));
                }
                out.push(byte);
            }
        }
    }
    if let Some((index, at)) = last_at {
        out.truncate(at);
        out.extend_from_slice(&mailbox[index..]);
    }
    out
}

/// The length of a source route with its colon.
fn route_len(address: &[u8]) -> usize {
    if !address.starts_with(b"@") {
        return 0;
    }
    memchr(b':', address).map_or(0, |colon| colon + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows() {
        for (internal, external) in [
            ("", "\"\""),
            ("a@b", "a@b"),
            ("a", "a"),
            ("@c", "\"\"@c"),
            ("a@b@c", "\"a@b\"@c"),
            ("a b", "\"a b\""),
            ("a\"\\b@c", "\"a\\\"\\\\b\"@c"),
            ("@r:a@b", "@r:a@b"),
            ("a%b!c@d", "a%b!c@d"),
            ("caf\u{e9}@d", "caf\u{e9}@d"),
        ] {
            assert_eq!(quote(internal.as_bytes()), external.as_bytes(), "{internal}");
            assert_eq!(unquote(external.as_bytes()), internal.as_bytes(), "{external}");
        }
        // Not as we would write it, but read all the same.
        for (external, internal) in
            [("a\\", "a"), ("\"a", "a"), ("a\"b\"c@d", "abc@d"), ("a\\@b", "a@b"), ("a@\"b\"", "a@\"b\"")]
        {
            assert_eq!(unquote(external.as_bytes()), internal.as_bytes(), "{external}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(local in "[ -~]{0,12}", domain in "[a-z.]{1,8}") {
            let internal = format!("{local}@{domain}");
            prop_assume!(!internal.starts_with('@') || !internal.contains(':'));
            prop_assert_eq!(unquote(&quote(internal.as_bytes())), internal.into_bytes());
        }
    }
}
