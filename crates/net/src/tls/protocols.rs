//! `smtp_tls_protocols` and its like: `>=TLSv1.2`, `!SSLv2, !SSLv3`, `TLSv1.2 TLSv1.3`.

use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslOptions, SslVersion};
use std::fmt;
use std::str::FromStr;

/// The TLS versions that may be spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Protocols {
    /// A bit per row of [`VERSIONS`].
    excluded: u8,
    /// Rows of [`VERSIONS`].
    lowest: Option<usize>,
    highest: Option<usize>,
}

/// A list that makes no sense: the parameter's value. Prints Postfix's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProtocols(pub String);

impl fmt::Display for InvalidProtocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invalid TLS protocol list \"{}\"", self.0)
    }
}

/// Name, number on the wire, version (SSLv2 is gone from OpenSSL), and what switches it off.
const VERSIONS: [(&str, u16, Option<SslVersion>, SslOptions); 6] = [
    ("SSLv2", 0x0002, None, SslOptions::NO_SSLV2),
    ("SSLv3", 0x0300, Some(SslVersion::SSL3), SslOptions::NO_SSLV3),
    ("TLSv1", 0x0301, Some(SslVersion::TLS1), SslOptions::NO_TLSV1),
    ("TLSv1.1", 0x0302, Some(SslVersion::TLS1_1), SslOptions::NO_TLSV1_1),
    ("TLSv1.2", 0x0303, Some(SslVersion::TLS1_2), SslOptions::NO_TLSV1_2),
    ("TLSv1.3", 0x0304, Some(SslVersion::TLS1_3), SslOptions::NO_TLSV1_3),
];

impl FromStr for Protocols {
    type Err = InvalidProtocols;

    /// Postfix: names without `!` exclude all others that it knows.
    fn from_str(text: &str) -> Result<Protocols, InvalidProtocols> {
        let invalid = || InvalidProtocols(text.to_string());
        let mut protocols = Protocols::default();
        let mut included = 0;
        let is_separator = |c: char| c == ',' || c == ':' || c.is_ascii_whitespace();
        for word in text.split(is_separator).filter(|word| !word.is_empty()) {
            if let Some(version) = word.strip_prefix(">=") {
                protocols.lowest = parse_limit(version).ok_or_else(invalid)?;
            } else if let Some(version) = word.strip_prefix("<=") {
                protocols.highest = parse_limit(version).ok_or_else(invalid)?;
            } else if let Some(name) = word.strip_prefix('!') {
                protocols.excluded |= 1 << row_of(name).ok_or_else(invalid)?;
            } else {
                included |= 1 << row_of(word).ok_or_else(invalid)?;
            }
        }
        if included != 0 {
            protocols.excluded |= !included & ((1 << VERSIONS.len()) - 1);
        }
        Ok(protocols)
    }
}

impl Protocols {
    /// Overrides what the system's openssl.cnf says, as Postfix does.
    pub(super) fn apply(self, context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        for (row, (.., option)) in VERSIONS.iter().enumerate() {
            if self.excluded & 1 << row != 0 {
                context.set_options(*option);
            }
        }
        let version = |row: Option<usize>| row.and_then(|row| VERSIONS[row].2);
        context.set_min_proto_version(version(self.lowest))?;
        context.set_max_proto_version(version(self.highest))
    }
}

fn row_of(name: &str) -> Option<usize> {
    VERSIONS.iter().position(|(known, ..)| known.eq_ignore_ascii_case(name))
}

/// A name, a number in hex, or `None` for no limit. The outer None: neither.
fn parse_limit(text: &str) -> Option<Option<usize>> {
    if text.eq_ignore_ascii_case("None") {
        return Some(None);
    }
    let number = u16::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    if number == Some(0) {
        return Some(None);
    }
    let row = row_of(text).or_else(|| VERSIONS.iter().position(|(_, known, ..)| Some(*known) == number))?;
    VERSIONS[row].2.map(|_| Some(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let only = |excluded| Protocols { excluded, ..Protocols::default() };
        let limits = |lowest, highest| Protocols { lowest, highest, ..Protocols::default() };
        for (text, expect) in [
            ("", Some(Protocols::default())),
            (">=TLSv1", Some(limits(Some(2), None))),
            (">=tlsv1.2, <=TLSv1.3", Some(limits(Some(4), Some(5)))),
            (">=0303", Some(limits(Some(4), None))),
            (">=0x0304", Some(limits(Some(5), None))),
            (">=None <=0", Some(limits(None, None))),
            ("!SSLv2, !SSLv3", Some(only(0b11))),
            ("!SSLv2:!TLSv1.1", Some(only(0b1001))),
            ("TLSv1.2 TLSv1.3", Some(only(0b1111))),
            ("TLSv1.2 TLSv1.3 !TLSv1.3", Some(only(0b101111))),
            ("TLSv1.4", None),
            (">=TLSv9", None),
            (">=SSLv2", None),
            ("!", None),
            (">=0x0399", None),
        ] {
            assert_eq!(text.parse().ok(), expect, "{text}");
        }
    }
}
