//! Mail addresses in Postfix's internal form: unquoted octets, `local@domain`, `local` or nothing.
//!
//! Parsing them out of SMTP commands is `smtp`'s job, out of headers `mail::header`'s.

use bytes::Bytes;
use std::fmt;

/// An address in internal (unquoted) form. The empty one is the null sender, `<>`.
///
/// ```
/// use mail::Address;
/// let address = Address::from("john doe@example.com");
/// assert_eq!(address.local(), b"john doe");
/// assert_eq!(address.domain(), Some(&b"example.com"[..]));
/// assert_eq!(address.to_string(), r#""john doe"@example.com"#);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Bytes);

impl Address {
    pub fn new(internal: impl Into<Bytes>) -> Address {
        Address(internal.into())
    }

    pub fn from_parts(local: &[u8], domain: &[u8]) -> Address {
        Address([local, b"@", domain].concat().into())
    }

    pub fn null() -> Address {
        Address::default()
    }

    pub fn is_null(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What stands before the last `@`; all of it if there is none.
    pub fn local(&self) -> &[u8] {
        self.at().map_or(&self.0, |at| &self.0[..at])
    }

    /// What stands behind the last `@`.
    pub fn domain(&self) -> Option<&[u8]> {
        self.at().map(|at| &self.0[at + 1..])
    }

    /// The external form: the local part quoted where RFC 5322 demands it.
    pub fn external(&self) -> Vec<u8> {
        let mut out = quote_local(self.local());
        if let Some(domain) = self.domain() {
            out.push(b'@');
            out.extend_from_slice(domain);
        }
        out
    }

    /// ASCII letters made lower case: the form in which tables are searched.
    pub fn folded(&self) -> Address {
        Address(self.0.to_ascii_lowercase().into())
    }

    fn at(&self) -> Option<usize> {
        memchr::memrchr(b'@', &self.0)
    }
}

/// Quotes a local part unless it is a dot-string (RFC 5322 3.4.1) or has octets above 127, which RFC 6531 allows in one.
///
/// Postfix: an empty local part is `""`.
pub fn quote_local(local: &[u8]) -> Vec<u8> {
    let special = |b: u8| b <= 32 || b == 127 || b"()<>[]:;@\\,\"".contains(&b);
    let is_dot_string = !local.is_empty()
        && !local.starts_with(b".")
        && !local.ends_with(b".")
        && !local.windows(2).any(|w| w == b"..")
        && !local.iter().copied().any(special);
    if is_dot_string {
        return local.to_vec();
    }
    let mut out = Vec::with_capacity(local.len() + 2);
    out.push(b'"');
    for &b in local {
        if matches!(b, b'"' | b'\\' | b'\r') {
            out.push(b'\\');
        }
        out.push(b);
    }
    out.push(b'"');
    out
}

/// The external form, for logs and replies; octets that are no UTF-8 show as U+FFFD.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() {
            return Ok(());
        }
        f.write_str(&String::from_utf8_lossy(&self.external()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

impl From<&str> for Address {
    fn from(internal: &str) -> Address {
        Address(Bytes::copy_from_slice(internal.as_bytes()))
    }
}

impl From<&[u8]> for Address {
    fn from(internal: &[u8]) -> Address {
        Address(Bytes::copy_from_slice(internal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        for (internal, local, domain, external) in [
            ("", "", None, ""),
            ("root", "root", None, "root"),
            ("a@b", "a", Some("b"), "a@b"),
            ("a@b@c", "a@b", Some("c"), "\"a@b\"@c"),
            ("@c", "", Some("c"), "\"\"@c"),
            ("a..b@c", "a..b", Some("c"), "\"a..b\"@c"),
            ("a.@c", "a.", Some("c"), "\"a.\"@c"),
            ("a\"b\\@c", "a\"b\\", Some("c"), "\"a\\\"b\\\\\"@c"),
            ("jos\u{e9}@c", "jos\u{e9}", Some("c"), "jos\u{e9}@c"),
        ] {
            let address = Address::from(internal);
            assert_eq!(address.local(), local.as_bytes());
            assert_eq!(address.domain(), domain.map(str::as_bytes));
            assert_eq!(address.to_string(), external);
        }
    }
}
