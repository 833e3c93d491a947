//! Keys out of a message: each header whole (with its line feeds), each line of the body, and with -m also the headers of
//! its parts and of messages within it. As header_checks(5) and body_checks(5) see a message.

use crate::program::Fatal;

/// Parts within parts, at most (mime_nesting_limit).
const NESTING_LIMIT: usize = 100;
/// Octets of a boundary that count (mime_boundary_length_limit).
const BOUNDARY_LIMIT: usize = 2048;
/// A header is cut there (header_size_limit).
const HEADER_SIZE_LIMIT: usize = 102_400;

/// Takes a key.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Fatal> + 'a;

/// Reads a message line by line.
pub(super) struct Reader {
    headers: bool,
    body: bool,
    mime: bool,
    place: Place,
    /// No header block has ended yet.
    is_primary: bool,
    /// The header so far.
    header: Vec<u8>,
    /// What the headers of this part said.
    content: Content,
    /// The boundaries of the multiparts that the line is in, the innermost last.
    boundaries: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Headers,
    Body,
}

/// The type of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Content {
    #[default]
    Other,
    Multipart(Vec<u8>),
    /// A message within the message.
    Message,
}

impl Reader {
    pub(super) fn new(headers: bool, body: bool, mime: bool) -> Reader {
        Reader {
            headers,
            body,
            mime,
            place: Place::Headers,
            is_primary: true,
            header: Vec::new(),
            content: Content::Other,
            boundaries: Vec::new(),
        }
    }

    /// Takes a line without its end; true: nothing more is wanted.
    pub(super) fn line(&mut self, line: &[u8], sink: &mut Sink) -> Result<bool, Fatal> {
        if self.boundary(line, sink)? {
            return Ok(false);
        }
        match self.place {
            Place::Body => {
                self.body_line(line, sink)?;
                Ok(false)
            }
            Place::Headers => self.header_line(line, sink),
        }
    }

    /// The message is over.
    pub(super) fn end(&mut self, sink: &mut Sink) -> Result<(), Fatal> {
        self.end_header(sink)
    }

    fn header_line(&mut self, line: &[u8], sink: &mut Sink) -> Result<bool, Fatal> {
        let is_continued = line.first().is_some_and(|octet| b" \t".contains(octet));
        if is_continued && !self.header.is_empty() {
            if self.header.len() < HEADER_SIZE_LIMIT {
                self.header.push(b'\n');
                self.header.extend_from_slice(line);
            }
            return Ok(false);
        }
        self.end_header(sink)?;
        if let Some((name, value)) = split_header(line) {
            self.header = [name, b":", value].concat();
            return Ok(false);
        }
        let is_primary = std::mem::replace(&mut self.is_primary, false);
        self.end_headers(line.is_empty());
        // Neither body nor parts are wanted.
        if !self.body && !self.mime {
            return Ok(true);
        }
        // Postfix: the empty line between them counts as the body's, and stands there even if it is missing.
        if is_primary && !line.is_empty() {
            self.body_line(b"", sink)?;
        }
        self.body_line(line, sink)?;
        Ok(false)
    }

    fn body_line(&mut self, line: &[u8], sink: &mut Sink) -> Result<(), Fatal> {
        if self.body { sink(line) } else { Ok(()) }
    }

    fn end_header(&mut self, sink: &mut Sink) -> Result<(), Fatal> {
        if self.header.is_empty() {
            return Ok(());
        }
        let header = std::mem::take(&mut self.header);
        if self.mime
            && let Some(value) = strip_name(&header, "content-type")
        {
            self.content = content_type(value);
        }
        if self.headers { sink(&header) } else { Ok(()) }
    }

    /// The headers of a message within the message come only behind an empty line.
    fn end_headers(&mut self, is_empty_line: bool) {
        self.place = Place::Body;
        match std::mem::take(&mut self.content) {
            Content::Multipart(boundary) if self.boundaries.len() < NESTING_LIMIT => {
                self.boundaries.push(boundary);
            }
            Content::Message if is_empty_line => self.place = Place::Headers,
            _ => {}
        }
    }

    /// Whether the line is a boundary of a multipart that it is in; what comes next is a part's headers or body.
    fn boundary(&mut self, line: &[u8], sink: &mut Sink) -> Result<bool, Fatal> {
        let Some(name) = line.strip_prefix(b"--") else {
            return Ok(false);
        };
        let Some(at) = self.boundaries.iter().rposition(|boundary| name.starts_with(boundary)) else {
            return Ok(false);
        };
        self.end_header(sink)?;
        self.content = Content::Other;
        let is_last = name[self.boundaries[at].len()..].starts_with(b"--");
        self.boundaries.truncate(if is_last { at } else { at + 1 });
        self.place = if is_last { Place::Body } else { Place::Headers };
        self.body_line(line, sink)?;
        Ok(true)
    }
}

/// What is on either side of the colon, if a header begins here: a name of printable characters, and a colon. Blanks before
/// the colon go.
fn split_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&octet| octet == b':')?;
    let name = line[..colon].trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then(|| (name, &line[colon + 1..]))
}

fn strip_name<'a>(header: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let colon = header.iter().position(|&octet| octet == b':')?;
    header[..colon].trim_ascii().eq_ignore_ascii_case(name.as_bytes()).then_some(&header[colon + 1..])
}

/// What a Content-Type: says of the structure.
fn content_type(value: &[u8]) -> Content {
    let mut fields = value.split(|&octet| octet == b';');
    let kind = fields.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    if kind == b"message/rfc822" || kind == b"message/global" {
        return Content::Message;
    }
    if !kind.starts_with(b"multipart/") {
        return Content::Other;
    }
    let boundary = fields.find_map(|field| {
        let equals = field.iter().position(|&octet| octet == b'=')?;
        let is_boundary = field[..equals].trim_ascii().eq_ignore_ascii_case(b"boundary");
        is_boundary.then(|| unquote(field[equals + 1..].trim_ascii()))
    });
    boundary.filter(|boundary| !boundary.is_empty()).map_or(Content::Other, Content::Multipart)
}

fn unquote(text: &[u8]) -> Vec<u8> {
    let inside =
        text.strip_prefix(b"\"").map(|rest| rest.split(|&octet| octet == b'"').next().unwrap_or_default());
    let word = inside.unwrap_or(text);
    word[..word.len().min(BOUNDARY_LIMIT)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "\
Subject: one
 two
Content-Type: multipart/mixed;
 boundary=\"b\"

preamble
--b
Content-Type: text/plain

text: x
--b
Content-Type: message/rfc822

Subject: inner

inner body
--b--
end";

    fn keys(headers: bool, body: bool, mime: bool) -> Vec<String> {
        let mut keys = Vec::new();
        let mut sink = |key: &[u8]| {
            keys.push(String::from_utf8_lossy(key).replace('\n', "|"));
            Ok(())
        };
        let mut reader = Reader::new(headers, body, mime);
        for line in MESSAGE.split('\n') {
            if reader.line(line.as_bytes(), &mut sink).unwrap() {
                break;
            }
        }
        reader.end(&mut sink).unwrap();
        keys
    }

    #[test]
    fn headers_and_lines() {
        let head = ["Subject: one| two", "Content-Type: multipart/mixed;| boundary=\"b\""];
        assert_eq!(keys(true, false, false), head);
        let parts = ["Content-Type: text/plain", "Content-Type: message/rfc822", "Subject: inner"];
        assert_eq!(keys(true, false, true), [&head[..], &parts].concat());
        let lines = ["", "preamble", "--b", "", "text: x", "--b", "", "", "inner body", "--b--", "end"];
        assert_eq!(keys(false, true, true), lines);
        assert!(keys(false, true, false).contains(&"Subject: inner".to_owned()));
    }

    #[test]
    fn a_body_without_an_empty_line() {
        for (message, expect) in [
            ("a : b\nno header\nc: d", ["a: b", "", "no header", "c: d"].as_slice()),
            (" folded\na: b", &["", " folded", "a: b"]),
        ] {
            let mut keys = Vec::new();
            let mut reader = Reader::new(true, true, false);
            let mut sink = |key: &[u8]| {
                keys.push(String::from_utf8_lossy(key).into_owned());
                Ok(())
            };
            for line in message.split('\n') {
                reader.line(line.as_bytes(), &mut sink).unwrap();
            }
            reader.end(&mut sink).unwrap();
            assert_eq!(keys, expect, "{message:?}");
        }
    }
}
