//! Takes a message apart as it arrives.
//!
//! A header begins a message, follows a boundary, or begins a message within; it ends at an empty line, or before the
//! first line that is no header. Everything else is body, boundaries included.

use super::content::{Boundary, ContentType, Domain, Kind, Subtype, TransferEncoding};
use crate::header::{self, End, Field, Name, Scanner};
use std::borrow::Cow;

/// The longest piece of a line that is looked at in one go (`line_length_limit`).
const PIECE_LIMIT: usize = 2048;

/// How far a message is looked into; the fields bear their parameters' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a header field that are kept.
    pub header_size_limit: usize,
    /// Multiparts within multiparts, so deep and no deeper.
    pub mime_nesting_limit: usize,
    /// Octets of a boundary that count.
    pub mime_boundary_length_limit: usize,
}

/// Where a header field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// In the header of the message.
    Primary,
    /// In the header of a part.
    Part,
    /// In the header of a message within.
    Nested,
}

/// What a header says of the body behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entity {
    pub kind: Kind,
    pub encoding: TransferEncoding,
}

impl Entity {
    const TEXT: Entity = Entity { kind: Kind::Leaf, encoding: TransferEncoding::SevenBit };
    const MESSAGE: Entity =
        Entity { kind: Kind::Message(Subtype::Rfc822), encoding: TransferEncoding::SevenBit };

    pub fn domain(&self) -> Domain {
        self.encoding.domain()
    }
}

/// What there is next in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Field(Field),
    /// A header is over; a line follows, if there is any.
    HeaderEnd,
    Line(Line<'a>),
}

/// A line of a body, or a piece of a very long one. The empty line behind a header is one, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Without its end.
    pub text: Cow<'a, [u8]>,
    /// More of the same line follows if not.
    pub is_ended: bool,
    /// Octets before it since the header was over.
    pub offset: u64,
}

/// A message being read. Lines end with CRLF.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    reads_mime: bool,
    converts: bool,
    class: Class,
    entity: Entity,
    /// The boundaries of the multiparts we are in, the innermost last.
    boundaries: Vec<Boundary>,
    too_deep: Option<Field>,
    state: State,
    /// Read already, and still to be taken as body.
    ahead: Vec<u8>,
    /// Of the line at hand, as long as it is not complete.
    held: Vec<u8>,
    /// A piece of the line at hand was given out.
    in_line: bool,
    offset: u64,
}

#[derive(Debug)]
enum State {
    Header(Box<Scanner>),
    /// The header's end was told, and what ended it was not dealt with.
    Ended(End),
    Body,
}

impl Reader {
    pub fn new(limits: Limits) -> Reader {
        Reader {
            limits,
            reads_mime: true,
            converts: false,
            class: Class::Primary,
            entity: Entity::TEXT,
            boundaries: Vec::new(),
            too_deep: None,
            state: State::Header(Box::new(Scanner::new(limits.header_size_limit))),
            ahead: Vec::new(),
            held: Vec::new(),
            in_line: false,
            offset: 0,
        }
    }

    /// What Content-Type: and Content-Transfer-Encoding: say does not count: all is body that follows the header
    /// (`disable_mime_input_processing`).
    pub fn without_mime(self) -> Reader {
        Reader { reads_mime: false, ..self }
    }

    /// Body lines will be converted to 7 bits: what is converted is not looked into.
    pub fn converting(self) -> Reader {
        Reader { converts: true, ..self }
    }

    /// Makes a CR that ends no line of the message's header a blank (`cleanup_replace_stray_cr_lf`).
    pub fn replace_stray_cr_lf(self, yes: bool) -> Reader {
        let scanner = Scanner::new(self.limits.header_size_limit).replace_stray_cr_lf(yes);
        Reader { state: State::Header(Box::new(scanner)), ..self }
    }

    /// Where the last field stood.
    pub fn class(&self) -> Class {
        self.class
    }

    /// At [`Event::HeaderEnd`]: what follows. At a line: what it belongs to.
    pub fn entity(&self) -> Entity {
        self.entity
    }

    /// Whether nothing but lines can follow.
    pub fn is_plain(&self) -> bool {
        let is_within = matches!(self.entity.kind, Kind::Message(Subtype::Rfc822 | Subtype::Global));
        !matches!(self.state, State::Header(_)) && self.boundaries.is_empty() && !is_within
    }

    /// The Content-Type: whose boundary was one too many (`mime_nesting_limit`), the first time it is asked for.
    pub fn take_too_deep(&mut self) -> Option<Field> {
        self.too_deep.take()
    }

    /// At [`Event::HeaderEnd`]: takes away what of the body was read already, and whether an empty line ended the header
    /// or a line that is none of it; None at the end of the message.
    pub fn take_ahead(&mut self) -> Option<Vec<u8>> {
        let State::Ended(end) = &mut self.state else { return None };
        match end {
            End::Blank => Some(Vec::new()),
            End::NoHeader { read } => Some(std::mem::take(read)),
            End::Message => None,
        }
    }

    /// Reads on in `input`, leaving there what was not read. None: it wants more.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        loop {
            match &mut self.state {
                State::Header(scanner) => match scanner.next(input)? {
                    header::Event::Field(field) => return Some(self.take_field(field)),
                    header::Event::End(end) => return Some(self.end_header(end)),
                },
                State::Ended(end) => {
                    let end = std::mem::replace(end, End::Message);
                    if let Some(event) = self.begin_body(end) {
                        return Some(event);
                    }
                }
                State::Body => return self.next_line(input),
            }
        }
    }

    /// There is no more input: gives out what was begun. To be called until it answers None.
    pub fn finish(&mut self) -> Option<Event<'static>> {
        if !self.ahead.is_empty() || matches!(self.state, State::Ended(_)) {
            let event = self.next(&mut &b""[..]);
            if event.is_some() {
                return event;
            }
        }
        match &mut self.state {
            State::Header(scanner) => match scanner.finish()? {
                header::Event::Field(field) => Some(self.take_field(field)),
                header::Event::End(end) => Some(self.end_header(end)),
            },
            State::Ended(_) => None,
            State::Body if self.held.is_empty() && !self.in_line => None,
            State::Body => {
                let text = std::mem::take(&mut self.held);
                Some(self.take_line(Cow::Owned(text), true))
            }
        }
    }

    fn take_field(&mut self, field: Field) -> Event<'static> {
        match field.known().filter(|_| self.reads_mime) {
            Some(Name::ContentType) => self.take_content_type(&field),
            Some(Name::ContentTransferEncoding) => {
                if let Some(encoding) = TransferEncoding::parse(field.raw_value()) {
                    self.entity.encoding = encoding;
                }
            }
            _ => {}
        }
        Event::Field(field)
    }

    fn take_content_type(&mut self, field: &Field) {
        let ContentType { kind, boundaries } = ContentType::parse(field.raw_value());
        self.entity.kind = kind.unwrap_or(self.entity.kind);
        for mut boundary in boundaries {
            // Postfix counts from one below nothing.
            if self.boundaries.len() <= self.limits.mime_nesting_limit + 1 {
                boundary.text.truncate(self.limits.mime_boundary_length_limit);
                self.boundaries.push(boundary);
            } else {
                self.too_deep.get_or_insert_with(|| field.clone());
            }
        }
    }

    fn begin_header(&mut self, class: Class, entity: Entity) {
        self.class = class;
        self.entity = entity;
        self.state = State::Header(Box::new(Scanner::new(self.limits.header_size_limit)));
    }

    fn end_header(&mut self, end: End) -> Event<'static> {
        self.state = State::Ended(end);
        Event::HeaderEnd
    }

    /// Deals with what ended a header. A line that is no header needs an empty one before it, but not in a part: it may
    /// be signed.
    fn begin_body(&mut self, end: End) -> Option<Event<'static>> {
        self.state = State::Body;
        self.offset = 0;
        match end {
            End::Message => None,
            End::Blank => {
                let event = self.line(Cow::Borrowed(b""), true);
                self.begin_content();
                Some(event)
            }
            End::NoHeader { read } => {
                self.ahead = read;
                (self.class == Class::Primary).then(|| {
                    let event = self.line(Cow::Borrowed(b""), true);
                    self.offset = 0;
                    event
                })
            }
        }
    }

    /// What an empty line leads to.
    fn begin_content(&mut self) {
        let is_converted = self.converts && self.entity.domain() != Domain::SevenBit;
        match self.entity.kind {
            Kind::Message(Subtype::Rfc822) => self.begin_header(Class::Nested, Entity::TEXT),
            Kind::Message(Subtype::Global) if !is_converted => {
                self.begin_header(Class::Nested, Entity::TEXT);
            }
            // What is before the first boundary.
            Kind::Multipart => self.entity = Entity::TEXT,
            _ => {}
        }
    }

    fn next_line<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        if !self.ahead.is_empty() {
            // One line or piece of one: a header reads no further ahead.
            let ahead = std::mem::take(&mut self.ahead);
            if let Some((text, is_ended)) = self.read_line(&mut &ahead[..]) {
                let text = text.into_owned();
                return Some(self.take_line(Cow::Owned(text), is_ended));
            }
        }
        let (text, is_ended) = self.read_line(input)?;
        Some(self.take_line(text, is_ended))
    }

    /// Takes a line, or a piece of one, off the input; what is not complete is held.
    fn read_line<'a>(&mut self, input: &mut &'a [u8]) -> Option<(Cow<'a, [u8]>, bool)> {
        while !input.is_empty() {
            // A CR at the limit may belong to the line's end: one octet more tells.
            let room = PIECE_LIMIT.saturating_sub(self.held.len()).max(1);
            let window = &input[..input.len().min(room)];
            let newline = memchr::memchr(b'\n', window);
            let (read, rest) = input.split_at(newline.map_or(window.len(), |at| at + 1));
            *input = rest;
            if newline.is_some() && self.held.is_empty() {
                return Some((Cow::Borrowed(without_end(read)), true));
            }
            self.held.extend_from_slice(read);
            let len = self.held.len();
            if newline.is_some() {
                let mut line = std::mem::take(&mut self.held);
                line.truncate(without_end(&line).len());
                return Some((Cow::Owned(line), true));
            }
            if len > PIECE_LIMIT || (len == PIECE_LIMIT && !self.held.ends_with(b"\r")) {
                return Some((Cow::Owned(std::mem::take(&mut self.held)), false));
            }
        }
        None
    }

    fn take_line<'a>(&mut self, text: Cow<'a, [u8]>, is_ended: bool) -> Event<'a> {
        let begins_header = !self.in_line && self.is_boundary(&text);
        let event = self.line(text, is_ended);
        self.in_line = !is_ended && !begins_header;
        if begins_header {
            self.begin_header(Class::Part, self.entity);
        }
        event
    }

    fn line<'a>(&mut self, text: Cow<'a, [u8]>, is_ended: bool) -> Event<'a> {
        let offset = self.offset;
        self.offset += text.len() as u64 + 1;
        Event::Line(Line { text, is_ended, offset })
    }

    /// Whether a line begins a part of one of the multiparts we are in. It may also end one.
    fn is_boundary(&mut self, text: &[u8]) -> bool {
        let Some(text) = text.strip_prefix(b"--").filter(|text| !text.is_empty()) else { return false };
        let found = self.boundaries.iter().rposition(|boundary| text.starts_with(&boundary.text));
        let Some(found) = found else { return false };
        self.boundaries.truncate(found + 1);
        let Boundary { text: boundary, is_digest } = &self.boundaries[found];
        if text[boundary.len()..].starts_with(b"--") {
            self.boundaries.pop();
            self.entity = Entity::TEXT;
            self.offset = 0;
            return false;
        }
        self.entity = if *is_digest { Entity::MESSAGE } else { Entity::TEXT };
        true
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(line)
}

/// Reads `data` whole and byte by byte; both must find the same.
#[doc(hidden)]
pub fn fuzz_mime_reader(data: &[u8]) {
    assert_eq!(shown(data, data.len().max(1)), shown(data, 1));
}

/// What is found in a message that comes in pieces of `size`: a line each, headers marked by their class.
fn shown(message: &[u8], size: usize) -> Vec<String> {
    let limits = Limits { header_size_limit: 1000, mime_nesting_limit: 3, mime_boundary_length_limit: 10 };
    let mut reader = Reader::new(limits);
    let mut found = Vec::new();
    let mut show = |reader: &Reader, event: Event<'_>| {
        found.push(match event {
            Event::Field(field) => format!("{:?} {}", reader.class(), String::from_utf8_lossy(field.text())),
            Event::HeaderEnd => format!("{:?} end", reader.class()),
            Event::Line(line) => {
                let more = if line.is_ended { "" } else { "+" };
                format!("{} {}{more}", line.offset, String::from_utf8_lossy(&line.text))
            }
        });
    };
    for mut piece in message.chunks(size) {
        while let Some(event) = reader.next(&mut piece) {
            show(&reader, event);
        }
    }
    while let Some(event) = reader.finish() {
        show(&reader, event);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        for (message, expect) in [
            ("", vec!["Primary end"]),
            ("a: b", vec!["Primary a: b", "Primary end"]),
            ("\r\nx\r\n", vec!["Primary end", "0 ", "1 x"]),
            ("a: b\r\n\r\nx\r\ny", vec!["Primary a: b", "Primary end", "0 ", "1 x", "3 y"]),
            // A line that is no header needs an empty line before it.
            ("a: b\r\nx\r\n", vec!["Primary a: b", "Primary end", "0 ", "0 x"]),
            (
                "content-type: multipart/mixed; boundary=b\r\n\r\npre: x\r\n--b\r\nA: 1\r\n c\r\n\r\nB: 2\r\n--b\r\nno\r\n--b--\r\n--b\r\n",
                vec![
                    "Primary content-type: multipart/mixed; boundary=b",
                    "Primary end",
                    "0 ",
                    "1 pre: x",
                    "8 --b",
                    "Part A: 1\n c",
                    "Part end",
                    "0 ",
                    "1 B: 2",
                    "6 --b",
                    "Part end",
                    "0 no",
                    "0 --b--",
                    "6 --b",
                ],
            ),
            // A boundary is one by its beginning, so far as it counts, and ends a header, too.
            (
                "content-type: multipart/x; boundary=0123456789abc\r\n\r\n--0123456789xyz\r\nA: 1\r\n--0123456789\r\nB: 2\r\n",
                vec![
                    "Primary content-type: multipart/x; boundary=0123456789abc",
                    "Primary end",
                    "0 ",
                    "1 --0123456789xyz",
                    "Part A: 1",
                    "Part end",
                    "0 --0123456789",
                    "Part B: 2",
                    "Part end",
                ],
            ),
            (
                "content-type: message/rfc822\r\n\r\nS: 1\r\ncontent-type: multipart/digest; boundary=c\r\n\r\n--c\r\n\r\nS: 2\r\n\r\nx\r\n",
                vec![
                    "Primary content-type: message/rfc822",
                    "Primary end",
                    "0 ",
                    "Nested S: 1",
                    "Nested content-type: multipart/digest; boundary=c",
                    "Nested end",
                    "0 ",
                    "1 --c",
                    "Part end",
                    "0 ",
                    "Nested S: 2",
                    "Nested end",
                    "0 ",
                    "1 x",
                ],
            ),
        ] {
            for size in 1..=message.len().max(1) {
                assert_eq!(shown(message.as_bytes(), size), expect, "{message:?} by {size}");
            }
        }
    }

    #[test]
    fn long_lines_come_in_pieces() {
        for len in [2046, 2047, 2048, 2049, 4096, 5000] {
            let body = "x".repeat(len);
            let message = format!("\r\n{body}\r\ny\r\n");
            let mut expect = vec!["Primary end".to_owned(), "0 ".to_owned()];
            let mut offset = 1;
            for piece in body.as_bytes().chunks(2048) {
                let more = if piece.len() < 2048 { "" } else { "+" };
                expect.push(format!("{offset} {}{more}", String::from_utf8_lossy(piece)));
                offset += piece.len() + 1;
            }
            if len % 2048 == 0 {
                expect.push(format!("{offset} "));
                offset += 1;
            }
            expect.push(format!("{offset} y"));
            for size in [1, 2, 2047, 2048, 2049, 2050, 9000] {
                assert_eq!(shown(message.as_bytes(), size), expect, "{len} by {size}");
            }
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let limits =
            Limits { header_size_limit: 1000, mime_nesting_limit: 0, mime_boundary_length_limit: 10 };
        let mut reader = Reader::new(limits);
        let message = "content-type: multipart/x; boundary=a\r\n".repeat(3) + "\r\n";
        let mut input = message.as_bytes();
        assert!(reader.next(&mut input).is_some() && reader.take_too_deep().is_none());
        assert!(reader.next(&mut input).is_some() && reader.take_too_deep().is_none());
        assert!(reader.next(&mut input).is_some() && reader.take_too_deep().is_some());
        assert!(reader.take_too_deep().is_none());
    }

    #[test]
    fn without_mime_all_is_body() {
        let limits =
            Limits { header_size_limit: 1000, mime_nesting_limit: 3, mime_boundary_length_limit: 10 };
        let mut reader = Reader::new(limits).without_mime();
        let mut input = &b"content-type: message/rfc822\r\n\r\nA: 1\r\n"[..];
        let events: Vec<_> = std::iter::from_fn(|| reader.next(&mut input)).collect();
        assert!(matches!(events.last(), Some(Event::Line(line)) if *line.text == *b"A: 1"));
        assert!(reader.is_plain());
    }

    proptest::proptest! {
        #[test]
        fn any_split_gives_the_same(
            body in "(--b|--|b|Content-Type: message/rfc822|Content-Type: multipart/digest; boundary=c|Content-Type: multipart/x; boundary=b|--c|A: x| |\r|\r\n|\n){0,30}",
        ) {
            fuzz_mime_reader(body.as_bytes());
        }
    }
}
