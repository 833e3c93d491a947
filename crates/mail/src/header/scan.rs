//! Takes the header section off the front of a message as it arrives, field by field.
//!
//! Where the header ends is Postfix's idea: at an empty line, or before the first line that is neither a field nor the
//! continuation of one.

use super::Field;
use std::mem;

/// The longest piece of a line that is looked at in one go (`line_length_limit`). A longer name is no name.
const PIECE_LIMIT: usize = 2048;

/// The state of reading a header section.
///
/// ```
/// use mail::header::{End, Event, Scanner};
/// let mut scanner = Scanner::new(102_400);
/// let mut input = &b"To: a\r\nCc: b\r\n c\r\n\r\nbody"[..];
/// let mut names = Vec::new();
/// while let Some(event) = scanner.next(&mut input) {
///     match event {
///         Event::Field(field) => names.push(field.name().to_vec()),
///         Event::End(end) => assert_eq!(end, End::Blank),
///     }
/// }
/// assert_eq!(names, [b"To", b"Cc"]);
/// assert_eq!(input, b"body");
/// ```
#[derive(Debug)]
pub struct Scanner {
    header_size_limit: usize,
    replace_stray_cr_lf: bool,
    /// The field whose lines are being read.
    field: Option<Field>,
    /// The piece of a line that is being read, or that waits because it ended a field.
    piece: Vec<u8>,
    /// Where `piece` ends, once all of it is there.
    stop: Option<Stop>,
    /// The piece before did not end its line.
    in_line: bool,
    ended: bool,
}

/// Where a piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Line,
    /// Within a line, at [`PIECE_LIMIT`].
    Limit,
    Message,
}

/// What [`Scanner::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole field.
    Field(Field),
    /// The end of the header section; nothing comes after it.
    End(End),
}

/// How the header section ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// At an empty line, which was read.
    Blank,
    /// Before a line that is no header. This much of it was read already; it belongs to the body.
    NoHeader { read: Vec<u8> },
    /// With the message.
    Message,
}

impl Scanner {
    /// `header_size_limit`: how many octets of a field are kept, to within a line.
    pub fn new(header_size_limit: usize) -> Scanner {
        Scanner {
            header_size_limit,
            replace_stray_cr_lf: false,
            field: None,
            piece: Vec::new(),
            stop: None,
            in_line: false,
            ended: false,
        }
    }

    /// Makes a CR that ends no line a blank (`cleanup_replace_stray_cr_lf`).
    pub fn replace_stray_cr_lf(self, yes: bool) -> Scanner {
        Scanner { replace_stray_cr_lf: yes, ..self }
    }

    /// Reads on in `input`, leaving there what was not read. None: it wants more, or has ended.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Event> {
        while !self.ended && self.read_piece(input) {
            if let Some(event) = self.take_piece() {
                return Some(event);
            }
        }
        None
    }

    /// There is no more input: gives out what was begun, then the end. To be called until it answers None.
    pub fn finish(&mut self) -> Option<Event> {
        while !self.ended {
            self.stop.get_or_insert(Stop::Message);
            if let Some(event) = self.take_piece() {
                return Some(event);
            }
        }
        None
    }

    /// Whether `piece` is complete now.
    fn read_piece(&mut self, input: &mut &[u8]) -> bool {
        while self.stop.is_none() && !input.is_empty() {
            // A CR at the limit may belong to the line's end: one octet more tells.
            let room = PIECE_LIMIT.saturating_sub(self.piece.len()).max(1);
            let window = &input[..input.len().min(room)];
            let newline = memchr::memchr(b'\n', window);
            let (read, rest) = input.split_at(newline.map_or(window.len(), |at| at + 1));
            self.piece.extend_from_slice(read);
            *input = rest;
            if newline.is_some() {
                self.stop = Some(Stop::Line);
            } else if self.piece.len() >= PIECE_LIMIT && !self.piece.ends_with(b"\r") {
                self.stop = Some(Stop::Limit);
            }
        }
        self.stop.is_some()
    }

    /// Puts the piece where it belongs, or answers what it brings to an end.
    fn take_piece(&mut self) -> Option<Event> {
        let stop = self.stop?;
        let mut text_len = self.piece.len();
        if stop == Stop::Line {
            text_len -= if self.piece.ends_with(b"\r\n") { 2 } else { 1 };
        }
        if self.replace_stray_cr_lf {
            self.piece[..text_len].iter_mut().filter(|b| **b == b'\r').for_each(|b| *b = b' ');
        }
        let text = &self.piece[..text_len];
        let is_over = stop == Stop::Message && text.is_empty();
        match &mut self.field {
            Some(field)
                if !is_over && (self.in_line || text.starts_with(b" ") || text.starts_with(b"\t")) =>
            {
                if field.text.len() < self.header_size_limit {
                    field.continue_with(text, !self.in_line);
                }
            }
            Some(_) => return self.field.take().map(Event::Field),
            None => match Field::parse(text) {
                Some(field) => self.field = Some(field),
                None => return Some(Event::End(self.end(is_over, text_len))),
            },
        }
        self.in_line = stop == Stop::Limit;
        self.piece.clear();
        self.stop = None;
        None
    }

    fn end(&mut self, is_over: bool, text_len: usize) -> End {
        self.ended = true;
        match text_len {
            0 if is_over => End::Message,
            0 => End::Blank,
            _ => End::NoHeader { read: mem::take(&mut self.piece) },
        }
    }
}

/// Feeds `data` whole and byte by byte; both must find the same, and keep within bounds.
#[doc(hidden)]
pub fn fuzz_header_scanner(data: &[u8]) {
    const LIMIT: usize = 300;
    let whole = scan(data, data.len().max(1), LIMIT);
    assert_eq!(whole, scan(data, 1, LIMIT));
    for event in &whole.0 {
        if let Event::Field(field) = event {
            assert!(field.text().len() <= LIMIT + PIECE_LIMIT + 1);
            assert_eq!(Field::parse(field.text()).as_ref(), Some(field));
        }
    }
}

/// The events of a message that comes in chunks of `size`, and the rest of it.
fn scan(message: &[u8], size: usize, header_size_limit: usize) -> (Vec<Event>, Vec<u8>) {
    let mut scanner = Scanner::new(header_size_limit).replace_stray_cr_lf(true);
    let (mut events, mut rest) = (Vec::new(), Vec::new());
    for mut chunk in message.chunks(size) {
        events.extend(std::iter::from_fn(|| scanner.next(&mut chunk)));
        rest.extend_from_slice(chunk);
    }
    events.extend(std::iter::from_fn(|| scanner.finish()));
    if let Some(Event::End(End::NoHeader { read })) = events.last_mut() {
        let mut body = mem::take(read);
        body.append(&mut rest);
        rest = body;
    }
    (events, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Fields parted by `|`, then how the header ended, then the rest.
    fn shown(message: &[u8], size: usize, limit: usize) -> String {
        let (events, rest) = scan(message, size, limit);
        let mut out = String::new();
        for event in events {
            match event {
                Event::Field(field) => out.push_str(&String::from_utf8_lossy(field.text())),
                Event::End(End::Blank) => out.push_str("blank"),
                Event::End(End::NoHeader { .. }) => out.push_str("no header"),
                Event::End(End::Message) => out.push_str("message"),
            }
            out.push('|');
        }
        out + &String::from_utf8_lossy(&rest)
    }

    #[test]
    fn rows() {
        for (message, expect) in [
            ("", "message|"),
            ("\r\n", "blank|"),
            ("\r\nbody\r\n", "blank|body\r\n"),
            ("a: b\r\n\r\nbody", "a: b|blank|body"),
            ("a: b\r\n", "a: b|message|"),
            ("a: b", "a: b|message|"),
            ("a: b\r\n c\r\n\td\r\n\r\n", "a: b\n c\n\td|blank|"),
            ("a: b\r\n \r\n\r\n", "a: b\n |blank|"),
            (" a: b\r\n\r\n", "no header| a: b\r\n\r\n"),
            ("a: b\r\nno\r\nc: d\r\n", "a: b|no header|no\r\nc: d\r\n"),
            ("a: b\r\nno", "a: b|no header|no"),
            ("a : b\r\nA\t:c\r\n", "a: b|A:c|message|"),
            ("a:\r\nb:\r\n", "a:|b:|message|"),
            ("a: x\0y\r\n z\0\r\n", "a: x\n z|message|"),
            ("a\0: x\r\n", "no header|a\0: x\r\n"),
            ("a: b\nc: d\n\nbody\n", "a: b|c: d|blank|body\n"),
            ("a: b\rc\r\n", "a: b c|message|"),
            ("From x\r\na: b\r\n", "no header|From x\r\na: b\r\n"),
        ] {
            for size in 1..=message.len().max(1) {
                assert_eq!(shown(message.as_bytes(), size, 1000), expect, "{message:?} by {size}");
            }
        }
    }

    #[test]
    fn long_lines() {
        let long = "x".repeat(5000);
        for size in [1, 7, 2047, 2048, 2049, 2050, 9000] {
            let message = format!("a: {long}\r\nb: c\r\n\r\n");
            assert_eq!(shown(message.as_bytes(), size, 100_000), format!("a: {long}|b: c|blank|"));
            // To within a piece of the limit.
            assert_eq!(shown(message.as_bytes(), size, 2048), format!("a: {}|b: c|blank|", &long[..2045]));
            let message = format!("{long}: x\r\n");
            assert_eq!(shown(message.as_bytes(), size, 100_000), format!("no header|{message}"));
            // The line's end is just beyond the piece.
            let message = format!("a: {}\r\nb: c\r\n", "x".repeat(2044));
            assert_eq!(
                shown(message.as_bytes(), size, 100_000),
                format!("a: {}|b: c|message|", "x".repeat(2044))
            );
        }
    }

    #[test]
    fn a_field_stays_within_header_size_limit() {
        let message = format!("a: b\r\n{}\r\nbody", " 89012345\r\n".repeat(1000));
        let text = shown(message.as_bytes(), 100, 50);
        assert_eq!(text, format!("a: b{}|blank|body", "\n 89012345".repeat(5)));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(
            message in "([a-c]{0,3}|:| |\t|\r|\r\n|\n|\u{0}|\u{e9}){0,40}", size in 1..20usize,
        ) {
            let message = message.as_bytes();
            prop_assert_eq!(scan(message, size, 20), scan(message, message.len().max(1), 20));
            fuzz_header_scanner(message);
        }
    }
}
