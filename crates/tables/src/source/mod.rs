//! Source files of tables, as people write them: logical lines, then `key value` ([`table`]) or `name: value`
//! ([`aliases`]).
//!
//! One parser for postmap(1), postalias(1), texthash and tables that are read from their source because their database
//! is missing. Nothing here touches a file; a mistake is a warning in Postfix's words, and the line is left out.

pub mod aliases;
pub mod table;

use std::borrow::Cow;

/// A logical line: comments and empty lines left out, continuation lines (they begin with white space) joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it begins; the first line is 1.
    pub number: usize,
    pub text: Cow<'a, [u8]>,
}

/// What a parser finds, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    Entry(Entry<'a>),
    /// A complaint, for the log.
    Warning(String),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub line: usize,
    pub key: Cow<'a, [u8]>,
    pub value: Cow<'a, [u8]>,
}

/// The logical lines of a text; an error is a warning about a line that is left out.
pub struct Lines<'a> {
    path: &'a str,
    rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    /// `path` is what warnings call the text.
    pub fn new(path: &'a str, text: &'a [u8]) -> Lines<'a> {
        Lines { path, rest: text, number: 0 }
    }

    fn physical_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = memchr::memchr(b'\n', self.rest);
        let line = &self.rest[..end.unwrap_or(self.rest.len())];
        self.rest = &self.rest[end.map_or(self.rest.len(), |end| end + 1)..];
        Some(line)
    }

    fn is_continued(&self) -> bool {
        self.rest.first().is_some_and(|&octet| octet == b'#' || is_space(octet))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line: Option<Line> = None;
        while let Some(text) = self.physical_line() {
            let is_comment = trim_start(text).first().is_none_or(|&octet| octet == b'#');
            match (&mut line, is_comment) {
                (_, true) => {}
                (None, false) => line = Some(Line { number: self.number, text: Cow::Borrowed(text) }),
                (Some(line), false) => line.text.to_mut().extend_from_slice(text),
            }
            if line.is_some() && !self.is_continued() {
                break;
            }
        }
        let line = line?;
        if is_space(line.text[0]) {
            let shown = show(&line.text[..line.text.len().min(30)]);
            let more = if line.text.len() > 30 { "..." } else { "" };
            let path = self.path;
            return Some(Err(format!(
                "{path}: logical line must not start with whitespace: \"{shown}{more}\""
            )));
        }
        Some(Ok(line))
    }
}

/// A text in a warning: up to its first NUL; octets that are no UTF-8, and control characters, as `?`.
pub(crate) fn show(text: &[u8]) -> Cow<'_, str> {
    let text = before_nul(text);
    if let Ok(text) = std::str::from_utf8(text)
        && !text.contains(|c: char| c.is_ascii_control())
    {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        shown.extend(chunk.valid().chars().map(|c| if c.is_ascii_control() { '?' } else { c }));
        shown.extend(chunk.invalid().iter().map(|_| '?'));
    }
    Cow::Owned(shown)
}

pub(crate) fn before_nul(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

pub(crate) fn is_space(octet: u8) -> bool {
    crate::braces::is_space(char::from(octet))
}

pub(crate) fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&octet| !is_space(octet));
    &text[start.unwrap_or(text.len())..]
}

pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let text = trim_start(text);
    let end = text.iter().rposition(|&octet| !is_space(octet));
    &text[..end.map_or(0, |end| end + 1)]
}

/// Reads a source that may be anything, in every format; for the fuzz target of that name.
pub fn fuzz(data: &[u8]) {
    table::Entries::new("fuzz", data, true, table::For::Postmap).for_each(drop);
    aliases::Entries::new("fuzz", data, true).for_each(drop);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show_lines(text: &str) -> String {
        let lines = Lines::new("file", text.as_bytes()).map(|line| match line {
            Ok(line) => format!("{}={}", line.number, String::from_utf8_lossy(&line.text)),
            Err(warning) => format!("!{warning}"),
        });
        lines.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn logical_lines() {
        for (text, expect) in [
            ("", ""),
            ("\n\n", ""),
            ("a b", "1=a b"),
            ("a b\nc d\n", "1=a b|2=c d"),
            ("# x\n\na b\n", "3=a b"),
            ("a\n b\n\tc\nd", "1=a b\tc|4=d"),
            ("a\n#b\n c\n", "1=a c"),
            ("a\n\n  # b\n\n c\n", "1=a c"),
            ("a\n# b\nc", "1=a|3=c"),
            (" a\nb", "!file: logical line must not start with whitespace: \" a\"|2=b"),
            ("  # x\nb", "2=b"),
            ("a \r\n b\r\n", "1=a \r b\r"),
            (
                " 0123456789012345678901234567890\n",
                "!file: logical line must not start with whitespace: \" 01234567890123456789012345678...\"",
            ),
        ] {
            assert_eq!(show_lines(text), expect, "{text:?}");
        }
    }
}
