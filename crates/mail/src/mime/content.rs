//! What Content-Type: and Content-Transfer-Encoding: say of what follows (RFC 2045 5.1, 6.1), as Postfix reads them.

/// `()<>@,;:\"/[]?=`: characters that are words of their own (RFC 2045 5.1).
const MIME_SPECIALS: &[u8] = b"()<>@,;:\\\"/[]?=";

/// The same of other headers (RFC 5322 3.2.3).
const SPECIALS: &[u8] = b"()<>@,;:\\\".[]";

/// What an entity is: what its Content-Type: says, or what it is without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No parts: text, images and so on.
    Leaf,
    Message(Subtype),
    Multipart,
}

/// Of message/…
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subtype {
    Rfc822,
    Global,
    Partial,
    ExternalBody,
    Other,
}

/// How an entity's body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferEncoding {
    SevenBit,
    EightBit,
    Binary,
    Base64,
    QuotedPrintable,
}

/// What octets a body may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    SevenBit,
    EightBit,
    Binary,
}

/// A multipart's boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    pub text: Vec<u8>,
    /// Parts are messages unless they say otherwise: multipart/digest.
    pub is_digest: bool,
}

/// What the value of a Content-Type: says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// None: nothing that matters here. Postfix: what was known before still holds.
    pub kind: Option<Kind>,
    /// More than one is a mistake, or a trick: any of them counts.
    pub boundaries: Vec<Boundary>,
}

impl ContentType {
    /// ```
    /// use mail::mime::{ContentType, Kind};
    /// let content_type = ContentType::parse(b"multipart/mixed; boundary=\"a b\"");
    /// assert_eq!(content_type.kind, Some(Kind::Multipart));
    /// assert_eq!(content_type.boundaries[0].text, b"a b");
    /// ```
    pub fn parse(value: &[u8]) -> ContentType {
        let mut parameters = Parameters { rest: value, specials: MIME_SPECIALS };
        let kind = parameters.next().unwrap_or_default();
        let subtype = match &kind[..] {
            [_, slash, subtype, ..] if slash.is_special(b'/') => Some(subtype),
            _ => None,
        };
        let mut boundaries = Vec::new();
        let kind = match kind.first() {
            Some(name) if is(name, "text") => Some(Kind::Leaf),
            Some(name) if is(name, "message") => Some(Kind::Message(Subtype::of(subtype))),
            Some(name) if is(name, "multipart") => {
                let is_digest = subtype.is_some_and(|subtype| is(subtype, "digest"));
                boundaries.extend(parameters.filter_map(boundary).map(|text| Boundary { text, is_digest }));
                Some(Kind::Multipart)
            }
            Some(_) => None,
            None => Some(Kind::Leaf),
        };
        ContentType { kind, boundaries }
    }
}

fn boundary(parameter: Vec<Word>) -> Option<Vec<u8>> {
    match &parameter[..] {
        [name, equals, value, ..] if is(name, "boundary") && equals.is_special(b'=') => {
            Some(value.text.clone())
        }
        _ => None,
    }
}

impl Subtype {
    fn of(word: Option<&Word>) -> Subtype {
        let known = [
            ("rfc822", Subtype::Rfc822),
            ("partial", Subtype::Partial),
            ("external-body", Subtype::ExternalBody),
            ("global", Subtype::Global),
        ];
        let Some(word) = word else { return Subtype::Other };
        known.iter().find(|(name, _)| is(word, name)).map_or(Subtype::Other, |(_, subtype)| *subtype)
    }
}

impl TransferEncoding {
    /// Reads the value of a Content-Transfer-Encoding: None if it is not known.
    pub fn parse(value: &[u8]) -> Option<TransferEncoding> {
        let words = Parameters { rest: value, specials: SPECIALS }.next()?;
        let word = words.first().filter(|word| word.is_token)?;
        Self::ALL.into_iter().find(|encoding| word.text.eq_ignore_ascii_case(encoding.name().as_bytes()))
    }

    const ALL: [TransferEncoding; 5] = [
        TransferEncoding::SevenBit,
        TransferEncoding::EightBit,
        TransferEncoding::Binary,
        TransferEncoding::Base64,
        TransferEncoding::QuotedPrintable,
    ];

    pub fn name(self) -> &'static str {
        match self {
            TransferEncoding::SevenBit => "7bit",
            TransferEncoding::EightBit => "8bit",
            TransferEncoding::Binary => "binary",
            TransferEncoding::Base64 => "base64",
            TransferEncoding::QuotedPrintable => "quoted-printable",
        }
    }

    pub fn domain(self) -> Domain {
        match self {
            TransferEncoding::EightBit => Domain::EightBit,
            TransferEncoding::Binary => Domain::Binary,
            _ => Domain::SevenBit,
        }
    }

    /// Whether the octets stand for themselves.
    pub fn is_identity(self) -> bool {
        !matches!(self, TransferEncoding::Base64 | TransferEncoding::QuotedPrintable)
    }
}

/// A word of a structured header.
#[derive(Debug)]
struct Word {
    text: Vec<u8>,
    is_token: bool,
}

impl Word {
    fn is_special(&self, special: u8) -> bool {
        self.is_token && self.text == [special]
    }
}

fn is(word: &Word, text: &str) -> bool {
    word.is_token && word.text.eq_ignore_ascii_case(text.as_bytes())
}

/// The parameters of a header value, parted by semicolons: the first three words of each.
struct Parameters<'a> {
    rest: &'a [u8],
    specials: &'static [u8],
}

impl Iterator for Parameters<'_> {
    type Item = Vec<Word>;

    fn next(&mut self) -> Option<Vec<Word>> {
        let mut words = Vec::new();
        if self.rest.is_empty() {
            return None;
        }
        while let Some((&first, tail)) = self.rest.split_first() {
            let word = match first {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.rest = tail;
                    continue;
                }
                b';' => {
                    self.rest = tail;
                    break;
                }
                b'(' => {
                    skip_comment(&mut self.rest);
                    continue;
                }
                b'"' => Word { text: take_quoted(&mut self.rest), is_token: false },
                _ if self.specials.contains(&first) || first.is_ascii_control() => {
                    self.rest = tail;
                    Word { text: vec![first], is_token: true }
                }
                _ => {
                    let specials = self.specials;
                    let ends = |b: &u8| *b == b' ' || b.is_ascii_control() || specials.contains(b);
                    let len = self.rest.iter().position(ends).unwrap_or(self.rest.len());
                    let (text, rest) = self.rest.split_at(len);
                    self.rest = rest;
                    Word { text: text.to_vec(), is_token: true }
                }
            };
            if words.len() < 3 {
                words.push(word);
            }
        }
        Some(words)
    }
}

fn skip_comment(rest: &mut &[u8]) {
    let (mut depth, mut escaped) = (0usize, false);
    while let Some((&b, tail)) = rest.split_first() {
        *rest = tail;
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return,
            b')' => depth -= 1,
            _ => {}
        }
    }
}

/// A quoted string without quotes and backslashes; folding goes, with the blanks before it.
fn take_quoted(rest: &mut &[u8]) -> Vec<u8> {
    let (mut text, mut escaped) = (Vec::new(), false);
    *rest = &rest[1..];
    while let Some((&b, tail)) = rest.split_first() {
        *rest = tail;
        match b {
            _ if escaped => {
                escaped = false;
                text.push(b);
            }
            b'"' => break,
            b'\\' => escaped = true,
            b'\n' => text.truncate(text.trim_ascii_end().len()),
            _ => text.push(b),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let leaf = || (Some(Kind::Leaf), vec![]);
        let message = |subtype| (Some(Kind::Message(subtype)), vec![]);
        let multipart = |boundaries: &[&'static str]| (Some(Kind::Multipart), boundaries.to_vec());
        for (content_type, (kind, boundaries)) in [
            ("", leaf()),
            ("text/plain; boundary=x", leaf()),
            ("image/png", (None, vec![])),
            ("message/rfc822", message(Subtype::Rfc822)),
            ("Message/GLOBAL (x)", message(Subtype::Global)),
            ("message/partial", message(Subtype::Partial)),
            ("message/external-body", message(Subtype::ExternalBody)),
            ("message", message(Subtype::Other)),
            ("multipart/mixed", multipart(&[])),
            ("multipart/digest; a=b ; Boundary = \"x \\\" y\"", multipart(&["x \" y"])),
            ("multipart/mixed; boundary=\"a\n b\"", multipart(&["a b"])),
            ("multipart/mixed; boundary=x; boundary=y", multipart(&["x", "y"])),
            ("(c) multipart (c)/(c) mixed;(c) boundary (c)=(c) x/y", multipart(&["x"])),
            ("multipart; boundary", multipart(&[])),
            ("multipart/mixed; boundary=\"unclosed", multipart(&["unclosed"])),
        ] {
            let parsed = ContentType::parse(content_type.as_bytes());
            assert_eq!(parsed.kind, kind, "{content_type}");
            let texts: Vec<_> = parsed.boundaries.iter().map(|b| String::from_utf8_lossy(&b.text)).collect();
            assert_eq!(texts, boundaries, "{content_type}");
            let is_digest = content_type.contains("digest");
            assert!(parsed.boundaries.iter().all(|boundary| boundary.is_digest == is_digest));
        }
    }

    #[test]
    fn transfer_encodings() {
        for (value, expect) in [
            (" 7bit", Some("7bit")),
            ("8BIT (x)", Some("8bit")),
            ("binary", Some("binary")),
            ("(c) Base64", Some("base64")),
            ("quoted-printable; x", Some("quoted-printable")),
            ("\"8bit\"", None),
            ("x-uuencode", None),
            ("", None),
        ] {
            let encoding = TransferEncoding::parse(value.as_bytes());
            assert_eq!(encoding.map(TransferEncoding::name), expect, "{value}");
        }
        assert_eq!(TransferEncoding::Base64.domain(), Domain::SevenBit);
    }
}
