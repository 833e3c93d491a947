//! The header section of a message: its fields, their names, and the addresses in them (RFC 5322 2.2, 3.6).
//!
//! Scanning is here; what is added, dropped or rewritten is `intake::cleanup`'s business.

pub mod addresses;
mod name;
mod quoting;
mod scan;

pub use addresses::{AddressList, Token};
pub use name::{Name, Role};
pub use quoting::{quote, unquote};
pub use scan::{End, Event, Scanner, fuzz_header_scanner};

/// One header field, unfolded: its lines without their ends, parted by `\n`, as a table of header_checks sees them.
///
/// ```
/// use mail::header::{Field, Name};
/// let field = Field::parse(b"Subject : hi\n there").unwrap();
/// assert_eq!(field.text(), b"Subject: hi\n there");
/// assert_eq!(field.name(), b"Subject");
/// assert_eq!(field.known(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    text: Vec<u8>,
    name_len: usize,
}

impl Field {
    /// Takes a field that is all there. None if it does not begin with a name and a colon. Blanks before the colon go.
    pub fn parse(text: &[u8]) -> Option<Field> {
        let (name_len, colon) = split_name(text)?;
        let text = [&text[..name_len], until_nul(&text[colon..])].concat();
        Some(Field { text, name_len })
    }

    /// A field of our own making. `name` is a header name, `value` comes after the blank.
    pub fn new(name: &[u8], value: &[u8]) -> Field {
        Field { text: [name, b": ", value].concat(), name_len: name.len() }
    }

    /// Name, colon and all that follows.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    pub fn name(&self) -> &[u8] {
        &self.text[..self.name_len]
    }

    /// What stands behind the colon, as it came.
    pub fn raw_value(&self) -> &[u8] {
        &self.text[self.name_len + 1..]
    }

    /// What stands behind the colon and the blanks after it.
    pub fn value(&self) -> &[u8] {
        self.raw_value().trim_ascii_start()
    }

    /// Which of the headers that mean something to a mail system this is.
    pub fn known(&self) -> Option<Name> {
        Name::of(self.name())
    }

    /// Puts addresses in the place of the value, folded.
    pub fn set_addresses(&mut self, list: &AddressList) {
        self.text.truncate(self.name_len);
        self.text.extend_from_slice(b": ");
        self.text.append(&mut list.print());
        fold(&mut self.text);
    }

    /// Writes the field with CRLF line ends. What is beyond `header_size_limit` octets is cut off.
    pub fn write_to(&self, out: &mut Vec<u8>, header_size_limit: usize) {
        let mut start = 0;
        for line in self.text.split(|b| *b == b'\n') {
            let room = header_size_limit.saturating_sub(start);
            // Postfix: a line that would be cut near its beginning is left out.
            if line.len() > room && start > header_size_limit / 10 * 9 {
                break;
            }
            if start > 0 && !line.starts_with(b" ") && !line.starts_with(b"\t") {
                out.push(b'\t');
            }
            out.extend_from_slice(&line[..line.len().min(room)]);
            out.extend_from_slice(b"\r\n");
            if line.len() > room {
                break;
            }
            start += line.len() + 1;
        }
    }

    /// Appends to the last line, or begins another.
    fn continue_with(&mut self, text: &[u8], on_new_line: bool) {
        if on_new_line {
            self.text.push(b'\n');
        }
        self.text.extend_from_slice(until_nul(text));
    }
}

/// Joins lines as long as what comes out is shorter than 70 octets.
fn fold(text: &mut [u8]) {
    let mut start = 0;
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', text).collect();
    for (index, &newline) in ends.iter().enumerate() {
        let end = ends.get(index + 1).copied().unwrap_or(text.len());
        if end - start < 70 {
            text[newline] = b' ';
        } else {
            start = newline + 1;
        }
    }
}

/// Postfix: nothing of a header line is kept from a NUL on.
fn until_nul(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

/// Whether a line begins a header field: printable ASCII without a blank or colon, blanks perhaps, a colon.
pub fn is_header(line: &[u8]) -> bool {
    split_name(line).is_some()
}

/// Whether this is a line that mailbox files have between messages, quoted or not: `From `, `>From `.
pub fn is_mailbox_line(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|b| **b == b'>').count();
    line[quotes..].starts_with(b"From ")
}

/// The length of the name, and where the colon is.
fn split_name(line: &[u8]) -> Option<(usize, usize)> {
    let name_len = line.iter().take_while(|b| b.is_ascii_graphic() && **b != b':').count();
    let blanks = line[name_len..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let colon = name_len + blanks;
    (name_len > 0 && line.get(colon) == Some(&b':')).then_some((name_len, colon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_a_header() {
        for (line, expect) in [
            (&b"Subject: x"[..], true),
            (b"Subject \t : x", true),
            (b"a:b:c", true),
            (b":x", false),
            (b"", false),
            (b" a: b", false),
            (b"a b: c", false),
            (b"a", false),
            (b"caf\xe9: x", false),
            (b"a\0b: x", false),
            (b"From me", false),
        ] {
            assert_eq!(is_header(line), expect, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn what_a_mailbox_puts_between() {
        for (line, expect) in
            [(&b"From a"[..], true), (b">>From a", true), (b"From: a", false), (b"> From", false)]
        {
            assert_eq!(is_mailbox_line(line), expect);
        }
    }

    #[test]
    fn cut_at_header_size_limit() {
        let wire = |text: &[u8], limit| {
            let mut out = Vec::new();
            Field::parse(text).unwrap().write_to(&mut out, limit);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(wire(b"A: b\n c\nd", 100), "A: b\r\n c\r\n\td\r\n");
        assert_eq!(wire(b"A: bcdefghijklm", 10), "A: bcdefgh\r\n");
        assert_eq!(wire(b"A: bc\n efghijklm", 10), "A: bc\r\n efg\r\n");
        assert_eq!(wire(b"A: bcdefgh\n i", 10), "A: bcdefgh\r\n");
    }

    #[test]
    fn values() {
        let field = Field::parse(b"To:  a\0b").unwrap();
        assert_eq!(field.raw_value(), b"  a");
        assert_eq!(field.value(), b"a");
        assert_eq!(Field::new(b"To", b"x").text(), b"To: x");
    }
}
