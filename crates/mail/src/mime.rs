//! Content types and where the parts of a message begin (RFC 2045, RFC 2046), as far as a mail system must know.
//!
//! [`Parts`] follows the structure of a message's body; what is done to a part's header is its user's business.

use crate::header::{End, Event, Field, Name, Scanner};

/// A boundary is compared up to this length (`mime_boundary_length_limit`).
const BOUNDARY_LIMIT: usize = 2048;

/// Parts within parts, so deep and no deeper (`mime_nesting_limit`).
const NESTING_LIMIT: usize = 100;

/// What a Content-Type: says of the structure of what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Structure {
    /// No parts: text, images and so on.
    Plain,
    /// message/rfc822 or message/global: a message with a header of its own.
    Message,
    /// multipart: parts between these boundaries (one, if it is as it should be).
    Multipart { boundaries: Vec<Vec<u8>>, is_digest: bool },
}

impl Structure {
    /// Reads the value of a Content-Type: header (RFC 2045 5.1).
    ///
    /// ```
    /// use mail::mime::Structure;
    /// let Structure::Multipart { boundaries, .. } = Structure::of(b"multipart/mixed; boundary=\"a b\"") else { panic!() };
    /// assert_eq!(boundaries, [b"a b"]);
    /// ```
    pub fn of(content_type: &[u8]) -> Structure {
        let mut parameters = Parameters { rest: content_type };
        let kind = parameters.next().unwrap_or_default();
        match &kind[..] {
            [name, slash, subtype, ..] if is(name, "message") && slash.is_special(b'/') => {
                if is(subtype, "rfc822") || is(subtype, "global") {
                    Structure::Message
                } else {
                    Structure::Plain
                }
            }
            [name, rest @ ..] if is(name, "multipart") => {
                let is_digest =
                    matches!(rest, [slash, subtype, ..] if slash.is_special(b'/') && is(subtype, "digest"));
                let boundary = |parameter: Vec<Word>| match &parameter[..] {
                    [name, equals, value, ..] if is(name, "boundary") && equals.is_special(b'=') => {
                        Some(value.text.clone())
                    }
                    _ => None,
                };
                Structure::Multipart { boundaries: parameters.filter_map(boundary).collect(), is_digest }
            }
            _ => Structure::Plain,
        }
    }
}

/// Follows the parts of a body, and gives out the header fields of each.
#[derive(Debug)]
pub struct Parts {
    header_size_limit: usize,
    /// The boundaries of the multiparts we are in, the innermost last.
    boundaries: Vec<Boundary>,
    /// Of the section whose header is being read, or was read last.
    structure: Structure,
    state: State,
}

#[derive(Debug)]
struct Boundary {
    text: Vec<u8>,
    is_digest: bool,
}

#[derive(Debug)]
enum State {
    /// In the header of a part, or of a message within.
    Header(Box<Scanner>),
    /// At the beginning of a line, of which so much was read: all of it looks like a boundary so far.
    AtLine(Vec<u8>),
    /// In a line that is no boundary.
    InLine,
}

impl Parts {
    /// Begins behind a header that had this Content-Type: and ended with an empty line. None: there are no parts.
    pub fn begin(content_type: &[u8], header_size_limit: usize) -> Option<Parts> {
        let mut parts = Parts {
            header_size_limit,
            boundaries: Vec::new(),
            structure: Structure::Plain,
            state: State::AtLine(Vec::new()),
        };
        parts.take_content_type(content_type);
        match parts.structure {
            Structure::Plain => None,
            Structure::Message => {
                parts.begin_header(Structure::Plain);
                Some(parts)
            }
            Structure::Multipart { .. } => Some(parts),
        }
    }

    /// Reads on until the next header field of a part. None: `input` is used up.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Field> {
        while !input.is_empty() {
            match &mut self.state {
                State::Header(scanner) => match scanner.next(input)? {
                    Event::Field(field) => {
                        if field.known() == Some(Name::ContentType) {
                            self.take_content_type(field.raw_value());
                        }
                        return Some(field);
                    }
                    Event::End(end) => self.end_header(end),
                },
                State::AtLine(_) => self.read_line_start(input),
                State::InLine => {
                    let end = memchr::memchr(b'\n', input);
                    *input = &input[end.map_or(input.len(), |end| end + 1)..];
                    if end.is_some() {
                        self.state = State::AtLine(Vec::new());
                    }
                }
            }
        }
        None
    }

    fn take_content_type(&mut self, value: &[u8]) {
        self.structure = Structure::of(value);
        if let Structure::Multipart { boundaries, is_digest } = &self.structure {
            for boundary in boundaries {
                if self.boundaries.len() <= NESTING_LIMIT {
                    let text = boundary[..boundary.len().min(BOUNDARY_LIMIT)].to_vec();
                    self.boundaries.push(Boundary { text, is_digest: *is_digest });
                }
            }
        }
    }

    fn begin_header(&mut self, default: Structure) {
        self.structure = default;
        self.state = State::Header(Box::new(Scanner::new(self.header_size_limit)));
    }

    fn end_header(&mut self, end: End) {
        match end {
            End::Blank if self.structure == Structure::Message => self.begin_header(Structure::Plain),
            End::NoHeader { read } => {
                self.state = State::AtLine(Vec::new());
                let mut rest = &read[..];
                while !rest.is_empty() && matches!(self.state, State::AtLine(_)) {
                    self.read_line_start(&mut rest);
                }
                if rest.ends_with(b"\n") {
                    self.state = State::AtLine(Vec::new());
                }
            }
            End::Blank | End::Message => self.state = State::AtLine(Vec::new()),
        }
    }

    /// Reads a line as long as it may be a boundary.
    fn read_line_start(&mut self, input: &mut &[u8]) {
        let State::AtLine(line) = &mut self.state else { return };
        let Some((&next, rest)) = input.split_first() else { return };
        let is_dashes = if line.len() < 2 { next == b'-' } else { true };
        if next != b'\n' && is_dashes && line.len() < BOUNDARY_LIMIT + 6 {
            line.push(next);
            *input = rest;
            return;
        }
        let line = std::mem::take(line);
        self.state = State::InLine;
        if let Some(text) = line.strip_prefix(b"--") {
            self.take_boundary(text);
        }
        // The rest of the line, and its end, belong to nothing.
        if next == b'\n' && matches!(self.state, State::Header(_)) {
            *input = rest;
        }
    }

    /// Whether a line is the boundary of one of the multiparts we are in: it begins a part, or ends the multipart.
    fn take_boundary(&mut self, text: &[u8]) {
        let found = self.boundaries.iter().rposition(|boundary| text.starts_with(&boundary.text));
        let Some(found) = found else { return };
        self.boundaries.truncate(found + 1);
        let boundary = &self.boundaries[found];
        if text[boundary.text.len()..].starts_with(b"--") {
            self.boundaries.pop();
            self.structure = Structure::Plain;
        } else {
            let default = if boundary.is_digest { Structure::Message } else { Structure::Plain };
            self.begin_header(default);
        }
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
}

impl Iterator for Parameters<'_> {
    type Item = Vec<Word>;

    fn next(&mut self) -> Option<Vec<Word>> {
        const SPECIALS: &[u8] = b"()<>@,;:\\\"/[]?=";
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
                _ if SPECIALS.contains(&first) || first.is_ascii_control() => {
                    self.rest = tail;
                    Word { text: vec![first], is_token: true }
                }
                _ => {
                    let ends = |b: &u8| *b == b' ' || b.is_ascii_control() || SPECIALS.contains(b);
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

/// Follows `data` whole and byte by byte; both must find the same.
#[doc(hidden)]
pub fn fuzz_mime_parts(data: &[u8]) {
    assert_eq!(fields_of(data, data.len().max(1)), fields_of(data, 1));
}

/// The header fields of the parts of a multipart with the boundary `b`.
fn fields_of(body: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut parts = Parts::begin(b"multipart/mixed; boundary=b", 1000).expect("it is a multipart");
    let mut fields = Vec::new();
    for mut piece in body.chunks(size) {
        while let Some(field) = parts.next(&mut piece) {
            fields.push(field.text().to_vec());
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures() {
        let multipart = |boundaries: &[&str], is_digest| Structure::Multipart {
            boundaries: boundaries.iter().map(|b| b.as_bytes().to_vec()).collect(),
            is_digest,
        };
        for (content_type, expect) in [
            ("", Structure::Plain),
            ("text/plain; boundary=x", Structure::Plain),
            ("message/rfc822", Structure::Message),
            ("Message/GLOBAL (x)", Structure::Message),
            ("message/partial", Structure::Plain),
            ("multipart/mixed", multipart(&[], false)),
            ("multipart/mixed; boundary=x", multipart(&["x"], false)),
            ("multipart/digest; a=b ; Boundary = \"x \\\" y\"", multipart(&["x \" y"], true)),
            ("multipart/mixed; boundary=\"a\n b\"", multipart(&["a b"], false)),
            ("multipart/mixed; boundary=x; boundary=y", multipart(&["x", "y"], false)),
            ("(c) multipart (c)/(c) mixed;(c) boundary (c)=(c) x/y", multipart(&["x"], false)),
            ("multipart; boundary", multipart(&[], false)),
            ("multipart/mixed; boundary=\"unclosed", multipart(&["unclosed"], false)),
        ] {
            assert_eq!(Structure::of(content_type.as_bytes()), expect, "{content_type}");
        }
    }

    #[test]
    fn fields_of_parts() {
        for (body, expect) in [
            (
                "preamble: x\r\n--b\r\nA: 1\r\n\r\nB: 2\r\n--b\r\nC: 3\r\n D\r\n\r\nx\r\n--b--\r\n--b\r\nE: 5\r\n\r\n",
                vec!["A: 1", "C: 3\n D"],
            ),
            // A boundary is one by its beginning, and only at the beginning of a line.
            ("--bxy\r\nA: 1\r\n\r\n x--b\r\nB: 2\r\n\r\n", vec!["A: 1"]),
            ("--c\r\nA: 1\r\n\r\n-b\r\nB: 2\r\n\r\n", vec![]),
            // A part without a header.
            ("--b\r\n\r\nA: 1\r\n--b\r\nno header\r\nB: 2\r\n", vec![]),
            // What ends a header may be a boundary.
            ("--b\r\nA: 1\r\n--b\r\nB: 2\r\n\r\n", vec!["A: 1", "B: 2"]),
            (
                "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nnot: this\r\n--b\r\nA: 1\r\n\r\n",
                vec!["Content-Type: message/rfc822", "Subject: in", "A: 1"],
            ),
            (
                "--b\r\nContent-Type: multipart/digest; boundary=c\r\n\r\n--c\r\n\r\nSubject: in\r\n\r\n--c--\r\nx: y\r\n--b\r\nA: 1\r\n\r\n",
                vec!["Content-Type: multipart/digest; boundary=c", "Subject: in", "A: 1"],
            ),
            // An outer boundary ends what is within.
            (
                "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nA: 1\r\n\r\n--b\r\nB: 2\r\n\r\n--c\r\nC: 3\r\n\r\n",
                vec!["Content-Type: multipart/mixed; boundary=c", "A: 1", "B: 2"],
            ),
        ] {
            for size in 1..=body.len() {
                let fields = fields_of(body.as_bytes(), size);
                let fields: Vec<_> = fields.iter().map(|f| std::str::from_utf8(f).expect("ASCII")).collect();
                assert_eq!(fields, expect, "{body:?} by {size}");
            }
        }
    }

    #[test]
    fn without_parts() {
        assert!(Parts::begin(b"text/plain", 1000).is_none());
        let mut parts = Parts::begin(b"message/rfc822", 1000).expect("a message within");
        assert_eq!(
            parts.next(&mut &b"A: 1\r\nB: 2\r\n"[..]).map(|f| f.text().to_vec()),
            Some(b"A: 1".to_vec())
        );
    }

    proptest::proptest! {
        #[test]
        fn any_split_gives_the_same(
            body in "(--b|--|b|Content-Type: message/rfc822|Content-Type: multipart/digest; boundary=c|--c|A: x| |\r|\r\n|\n){0,30}",
        ) {
            fuzz_mime_parts(body.as_bytes());
        }
    }
}
