//! DNS lists (RFC 5782): the name that is looked up, and which answers mean a listing.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// Which answers of a DNS list are meant: `127.0.0.[2;4..6]`.
///
/// ```
/// use policy::AddressPattern;
/// let pattern = AddressPattern::parse("127.0.[0;2].[2..11]").unwrap();
/// assert!(pattern.matches("127.0.2.7".parse().unwrap()));
/// assert!(!pattern.matches("127.0.1.7".parse().unwrap()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPattern([Vec<(u8, u8)>; 4]);

impl AddressPattern {
    /// Four fields with dots between; each is a number, or numbers and ranges in brackets. The whole may stand in
    /// brackets too. The error has Postfix's words.
    pub fn parse(pattern: &str) -> Result<AddressPattern, String> {
        let pattern = without_outer_brackets(pattern)?;
        if pattern.is_empty() {
            return Err("empty address pattern".into());
        }
        let mut scanner = Scanner { pattern, at: 0, last: 0 };
        let mut fields: [Vec<(u8, u8)>; 4] = Default::default();
        for (n, field) in fields.iter_mut().enumerate() {
            if n > 0 && scanner.next() != Token::Char('.') {
                return Err(scanner.error("need \".\""));
            }
            *field = scanner.field()?;
        }
        if scanner.at < pattern.len() {
            scanner.next();
            return Err(scanner.error("garbage after pattern"));
        }
        Ok(AddressPattern(fields))
    }

    pub fn matches(&self, address: Ipv4Addr) -> bool {
        let mut pairs = self.0.iter().zip(address.octets());
        pairs.all(|(ranges, octet)| ranges.iter().any(|(low, high)| (*low..=*high).contains(&octet)))
    }
}

fn without_outer_brackets(pattern: &str) -> Result<&str, String> {
    if !pattern.starts_with('[') {
        return Ok(pattern);
    }
    let mut depth = 0;
    for (at, c) in pattern.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return Ok(if at + 1 == pattern.len() { &pattern[1..at] } else { pattern });
        }
    }
    Err("missing \"]\" character".into())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Number(u8),
    Char(char),
    /// A number above 255.
    Bad,
    End,
}

struct Scanner<'a> {
    pattern: &'a str,
    /// Behind the last token.
    at: usize,
    /// Where the last token begins.
    last: usize,
}

impl Scanner<'_> {
    fn next(&mut self) -> Token {
        self.last = self.at;
        let rest = &self.pattern[self.at..];
        let Some(first) = rest.chars().next() else {
            return Token::End;
        };
        if !first.is_ascii_digit() {
            self.at += first.len_utf8();
            return Token::Char(first);
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits;
        rest[..digits].parse().map_or(Token::Bad, Token::Number)
    }

    fn field(&mut self) -> Result<Vec<(u8, u8)>, String> {
        match self.next() {
            Token::Number(n) => Ok(vec![(n, n)]),
            Token::Char('[') => self.ranges(),
            _ => Err(self.error("need decimal number 0..255 or \"[\"")),
        }
    }

    fn ranges(&mut self) -> Result<Vec<(u8, u8)>, String> {
        let mut ranges = Vec::new();
        loop {
            let Token::Number(low) = self.next() else {
                return Err(self.error("need decimal number 0..255"));
            };
            let mut behind = self.next();
            let mut high = low;
            if behind == Token::Char('.') {
                high = self.upper_end(low)?;
                behind = self.next();
            }
            ranges.push((low, high));
            match behind {
                Token::Char(';') => {}
                Token::Char(']') => return Ok(ranges),
                _ => return Err(self.error("need \";\" or \"]\"")),
            }
        }
    }

    /// What follows the first dot of `2..6`.
    fn upper_end(&mut self, low: u8) -> Result<u8, String> {
        if self.next() == Token::Char('.')
            && let Token::Number(high) = self.next()
            && low <= high
        {
            return Ok(high);
        }
        Err(self.error("numeric range error"))
    }

    fn error(&self, what: &str) -> String {
        let (before, rest) = self.pattern.split_at(self.last);
        let (here, behind) = rest.split_at(self.at - self.last);
        format!("{what} at \"{before}>{here}<{behind}\"")
    }
}

/// The name under which a list has an address: the octets, or the nibbles, backwards (RFC 5782 2.1, 2.4).
pub(crate) fn address_query(address: IpAddr, zone: &str) -> String {
    let mut query = String::with_capacity(64 + zone.len());
    match address {
        IpAddr::V4(address) => {
            for octet in address.octets().iter().rev() {
                let _ = write!(query, "{octet}.");
            }
        }
        IpAddr::V6(address) => {
            for octet in address.octets().iter().rev() {
                let _ = write!(query, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
        }
    }
    query.push_str(zone);
    query
}

/// Answers that lists give to those whom they will not serve: taken for a listing, all mail would be refused (or let
/// in). Zone, or empty for any, and the answers.
const REFUSALS: &[(&str, [u8; 3], Option<u8>)] = &[
    // Spamhaus and those who follow it: wrong zone, public resolver, over quota
    ("", [127, 255, 255], None),
    ("dnswl.org", [127, 0, 0], Some(255)),
    ("uribl.com", [127, 0, 0], Some(1)),
    ("surbl.org", [127, 0, 0], Some(1)),
];

/// Whether the answer says "I will not answer you". A list whose pattern asks for just that answer gets it.
pub(crate) fn is_refusal(zone: &str, answer: Ipv4Addr) -> bool {
    let [a, b, c, d] = answer.octets();
    let zone = zone.to_ascii_lowercase();
    let of_zone = |suffix: &str| {
        suffix.is_empty()
            || zone.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    REFUSALS.iter().any(|(suffix, prefix, last)| {
        *prefix == [a, b, c] && last.is_none_or(|last| last == d) && of_zone(suffix)
    })
}

/// The body of the fuzz target `address_pattern`.
pub fn fuzz_pattern(data: &[u8]) {
    if let Ok(pattern) = AddressPattern::parse(&String::from_utf8_lossy(data)) {
        pattern.matches(Ipv4Addr::LOCALHOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, yes, no) in [
            ("127.0.0.2", "127.0.0.2", "127.0.0.3"),
            ("[127.0.0.2]", "127.0.0.2", "127.0.0.3"),
            ("127.0.0.[2]", "127.0.0.2", "127.0.0.3"),
            ("127.0.0.[2;4..6]", "127.0.0.5", "127.0.0.3"),
            ("[[127..128].0.0.2]", "128.0.0.2", "129.0.0.2"),
        ] {
            let parsed = AddressPattern::parse(pattern).unwrap();
            assert!(
                parsed.matches(yes.parse().unwrap()) && !parsed.matches(no.parse().unwrap()),
                "{pattern}"
            );
        }
    }

    /// Postfix's smtpd dies with these words.
    #[test]
    fn what_is_no_pattern() {
        for (pattern, expect) in [
            ("", "empty address pattern"),
            ("[]", "empty address pattern"),
            ("[1.2.3.4", "missing \"]\" character"),
            ("1.2.3", "need \".\" at \"1.2.3><\""),
            ("1.2.3.4.5", "garbage after pattern at \"1.2.3.4>.<5\""),
            ("1.2.3.256", "need decimal number 0..255 or \"[\" at \"1.2.3.>256<\""),
            ("1.2.3.[", "need decimal number 0..255 at \"1.2.3.[><\""),
            ("1.2.3.[a]", "need decimal number 0..255 at \"1.2.3.[>a<]\""),
            ("1.2.3.[6..4]", "numeric range error at \"1.2.3.[6..>4<]\""),
            ("1.2.3.[1,2]", "need \";\" or \"]\" at \"1.2.3.[1>,<2]\""),
            ("1.2.3.[1.2]", "numeric range error at \"1.2.3.[1.>2<]\""),
            ("1.2.3.[1;]", "need decimal number 0..255 at \"1.2.3.[1;>]<\""),
            ("1.2.3.[1", "need \";\" or \"]\" at \"1.2.3.[1><\""),
            ("[1.2].3.4.5", "numeric range error at \"[1.>2<].3.4.5\""),
            ("127.0.0.2;3", "garbage after pattern at \"127.0.0.2>;<3\""),
            ("1.2.3.\u{e9}", "need decimal number 0..255 or \"[\" at \"1.2.3.>\u{e9}<\""),
        ] {
            assert_eq!(AddressPattern::parse(pattern).unwrap_err(), expect, "{pattern}");
        }
    }

    #[test]
    fn queries() {
        for (address, expect) in [
            ("192.0.2.31", "31.2.0.192.bl.example"),
            ("2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example"),
        ] {
            assert_eq!(address_query(address.parse().unwrap(), "bl.example"), expect);
        }
    }

    #[test]
    fn refusals() {
        for (zone, answer, expect) in [
            ("zen.spamhaus.org", "127.255.255.254", true),
            ("bl.example", "127.255.255.254", true),
            ("zen.spamhaus.org", "127.0.0.2", false),
            ("list.dnswl.org", "127.0.0.255", true),
            ("bl.example", "127.0.0.255", false),
            ("multi.URIBL.com", "127.0.0.1", true),
            ("notsurbl.org", "127.0.0.1", false),
        ] {
            assert_eq!(is_refusal(zone, answer.parse().unwrap()), expect, "{zone} {answer}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_pattern(text: String) {
            fuzz_pattern(text.as_bytes());
        }
    }
}
