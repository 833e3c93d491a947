//! What a server must show, as TLSA records (RFC 6698): those of the DNS, and ours that stand for fingerprints and for
//! trust anchors, so that OpenSSL checks all of them alike.

use super::SetupError;
use super::library_lines;
use openssl::hash::MessageDigest;
use openssl::ssl::{SslContextBuilder, SslRef};
use std::fmt::Write;
use sys::dane;

/// Usages: a certificate on the way to the server's (DANE-TA), the server's own (DANE-EE).
pub const DANE_TA: u8 = 2;
pub const DANE_EE: u8 = 3;
/// What a record is about: the certificate, or its public key.
const CERTIFICATE: u8 = 0;
const PUBLIC_KEY: u8 = 1;
/// Matching types: as it is, and the one for private use that stands for `smtp_tls_fingerprint_digest`.
const WHOLE: u8 = 0;
pub const FINGERPRINT: u8 = 255;
/// Octets of the longest digest; a fingerprint has at most two digits and a colon for each.
const DIGEST_LIMIT: usize = 64;
/// Octets of a record's data that logs show, from each end.
const SHOWN: usize = 32;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tlsa {
    pub usage: u8,
    pub selector: u8,
    pub matching: u8,
    pub data: Vec<u8>,
}

/// `tls_dane_digests`: what matching types stand for, the best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaneDigests {
    /// Matching type and digest; None switches the type off.
    listed: Vec<(u8, Option<String>)>,
}

impl Tlsa {
    /// A fingerprint may be that of the certificate or of its key.
    pub fn of_fingerprint(digest: &[u8]) -> [Tlsa; 2] {
        [CERTIFICATE, PUBLIC_KEY].map(|selector| Tlsa {
            usage: DANE_EE,
            selector,
            matching: FINGERPRINT,
            data: digest.to_vec(),
        })
    }

    /// An authority's certificate, which may be the server's own, too.
    pub(super) fn of_certificate(der: Vec<u8>) -> [Tlsa; 2] {
        Tlsa::of_anchor(CERTIFICATE, der)
    }

    pub(super) fn of_public_key(der: Vec<u8>) -> [Tlsa; 2] {
        Tlsa::of_anchor(PUBLIC_KEY, der)
    }

    fn of_anchor(selector: u8, data: Vec<u8>) -> [Tlsa; 2] {
        [DANE_TA, DANE_EE].map(|usage| Tlsa { usage, selector, matching: WHOLE, data: data.clone() })
    }
}

/// `3 1 1 abcd…`, with the midst of long data left out.
impl std::fmt::Display for Tlsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.usage, self.selector, self.matching, shown(&self.data))
    }
}

fn shown(data: &[u8]) -> String {
    if data.is_empty() {
        return "...".into();
    }
    match data.len() > 2 * SHOWN {
        true => format!("{}...{}", hex(&data[..SHOWN]), hex(&data[data.len() - SHOWN..])),
        false => hex(data),
    }
}

fn hex(data: &[u8]) -> String {
    data.iter().fold(String::new(), |mut text, octet| {
        // writing to a String cannot fail
        let _ = write!(text, "{octet:02X}");
        text
    })
}

/// A fingerprint as it is written in main.cf: hex digits, with or without colons between the octets.
///
/// # Errors
/// What is to be logged.
pub fn parse_fingerprint(text: &str) -> Result<Vec<u8>, String> {
    if text.len() > 3 * DIGEST_LIMIT {
        return Err(format!("malformed fingerprint value: {text:.100}..."));
    }
    let malformed = || format!("malformed fingerprint value: {text}");
    let mut octets = Vec::new();
    for part in text.split(':') {
        let digits: Option<Vec<u8>> =
            part.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        let digits =
            digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0).ok_or_else(malformed)?;
        octets.extend(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
    }
    Ok(octets)
}

impl DaneDigests {
    /// Reads `tls_dane_digests`; `warn` gets what is wrong and passed over.
    pub fn parse(words: &[String], mut warn: impl FnMut(String)) -> DaneDigests {
        let mut digests = DaneDigests::default();
        for word in words {
            match parse_digest(word) {
                Ok((matching, _)) if digests.listed.iter().any(|(listed, _)| *listed == matching) => {
                    warn(format!("tls_dane_digests: matching type {matching} specified more than once"));
                }
                Ok(digest) => digests.listed.push(digest),
                Err(warning) => warn(warning),
            }
        }
        digests
    }

    /// Types that are not listed are off, but for that of fingerprints.
    pub(super) fn apply(
        &self,
        context: &mut SslContextBuilder,
        fingerprint_digest: &str,
    ) -> Result<(), SetupError> {
        dane::enable_in_context(context)?;
        for matching in [1, 2] {
            dane::set_digest(context, matching, None, 0)?;
        }
        let count = self.listed.len();
        for (at, (matching, name)) in self.listed.iter().enumerate() {
            let digest = name.as_deref().and_then(MessageDigest::from_name);
            let order = u8::try_from(count - at).unwrap_or(u8::MAX - 1);
            dane::set_digest(context, *matching, digest, order)?;
        }
        dane::set_digest(context, FINGERPRINT, MessageDigest::from_name(fingerprint_digest), u8::MAX)?;
        Ok(())
    }
}

/// `sha512`, `sha256`, or `name=number` for others; `=number` switches one off.
fn parse_digest(word: &str) -> Result<(u8, Option<String>), String> {
    let parameter = "tls_dane_digests";
    let (name, number) = word.split_once('=').map_or((word, None), |(name, number)| (name, Some(number)));
    let number = number.filter(|number| !number.is_empty());
    let matching = match number.map(str::parse::<u8>) {
        Some(Ok(0 | FINGERPRINT)) => {
            return Err(format!("Reserved matching type number in {parameter}: {word}"));
        }
        Some(Err(_)) => return Err(format!("Invalid matching type number in {parameter}: {word}")),
        Some(Ok(number)) => number,
        None if name.eq_ignore_ascii_case("sha256") => 1,
        None if name.eq_ignore_ascii_case("sha512") => 2,
        None => return Err(format!("{parameter}: digest algorithm {name} needs an explicit number")),
    };
    if name.is_empty() {
        return Ok((matching, None));
    }
    for (standard, digest) in [(1, "sha256"), (2, "sha512")] {
        if matching == standard && !name.eq_ignore_ascii_case(digest) {
            return Err(format!("{parameter}: matching type {matching} can only be {digest}"));
        }
    }
    match MessageDigest::from_name(name) {
        Some(_) => Ok((matching, Some(name.to_owned()))),
        None => Err(format!("{parameter}: digest algorithm \"{name}\"({matching}) unknown")),
    }
}

/// What came of giving records to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    Some,
    /// OpenSSL can use none of them.
    None,
    Failed,
}

/// Gives the records to a connection that is to be judged by them.
pub(super) fn load(ssl: &mut SslRef, records: &[Tlsa], peer: &str, warn: &impl Fn(String)) -> Loaded {
    let mut loaded = Loaded::None;
    // Postfix: the last comes first
    for record in records.iter().rev() {
        match dane::add_record(ssl, record.usage, record.selector, record.matching, &record.data) {
            Ok(true) => loaded = Loaded::Some,
            Ok(false) => warn(format!("{peer}: unusable TLSA RR: {record}")),
            Err(stack) => {
                warn(format!("{peer}: error loading trust settings: {record}"));
                library_lines(&stack).into_iter().for_each(warn);
                return Loaded::Failed;
            }
        }
    }
    loaded
}

/// By what a server was known, for detailed logs: `Matched DANE EE certificate at depth 0: 3 1 1 AB…`.
pub(super) fn match_text(ssl: &SslRef, level: super::ClientLevel) -> Option<String> {
    use super::ClientLevel::{Fingerprint, Secure, Verify};
    let dane::Match { depth, is_key, usage, selector, matching, data } = dane::matched(ssl)?;
    Some(match level {
        Secure | Verify => format!("Matched trust anchor at depth {depth}"),
        Fingerprint => format!("Matched fingerprint: {}", shown(&data)),
        _ => {
            let what = match (is_key, depth) {
                (true, _) => "TA public key verified certificate",
                (false, 0) => "EE certificate",
                (false, _) => "TA certificate",
            };
            let record = Tlsa { usage, selector, matching, data };
            format!("Matched DANE {what} at depth {depth}: {record}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints() {
        for (text, expect) in [
            ("00:11:aB", Some(&[0, 0x11, 0xab][..])),
            ("0011AB", Some(&[0, 0x11, 0xab])),
            ("0011:ab", Some(&[0, 0x11, 0xab])),
            ("zz", None),
            ("001", None),
            ("00:", None),
            (":00", None),
            ("", None),
        ] {
            assert_eq!(parse_fingerprint(text).ok().as_deref(), expect, "{text}");
        }
        assert_eq!(parse_fingerprint("zz").unwrap_err(), "malformed fingerprint value: zz");
        let long = "a".repeat(200);
        assert_eq!(
            parse_fingerprint(&long).unwrap_err().len(),
            "malformed fingerprint value: ...".len() + 100
        );
    }

    #[test]
    fn digests() {
        let listed = |name: &str| Some(name.to_owned());
        for (words, expect, warning) in [
            ("sha512 sha256", vec![(2, listed("sha512")), (1, listed("sha256"))], ""),
            ("sha256 sha256", vec![(1, listed("sha256"))], "matching type 1 specified more than once"),
            ("sha384=3 =1", vec![(3, listed("sha384")), (1, None)], ""),
            ("sha384", vec![], "digest algorithm sha384 needs an explicit number"),
            ("sha384=1", vec![], "matching type 1 can only be sha256"),
            ("sha256=255", vec![], "Reserved matching type number"),
            ("sha256=x", vec![], "Invalid matching type number"),
            ("nosuch=7", vec![], "unknown"),
        ] {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            let mut warnings = String::new();
            let digests = DaneDigests::parse(&words, |text| warnings += &text);
            assert_eq!(digests.listed, expect, "{words:?}");
            assert!(warnings.contains(warning) && warnings.is_empty() == warning.is_empty(), "{warnings}");
        }
    }

    #[test]
    fn long_records_are_shortened() {
        let record = |length| Tlsa { usage: 3, selector: 1, matching: 0, data: vec![0xab; length] };
        assert_eq!(record(2).to_string(), "3 1 0 ABAB");
        assert_eq!(record(0).to_string(), "3 1 0 ...");
        assert_eq!(record(65).to_string(), format!("3 1 0 {0}...{0}", "AB".repeat(32)));
    }
}
