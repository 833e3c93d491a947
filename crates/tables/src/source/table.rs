//! `key value`: what postmap(1) reads, and texthash.

use super::{Entry, Item, Line, Lines, before_nul, show, trim};
use crate::braces::end_of_key;
use std::borrow::Cow;

/// Who reads: the words of a warning differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    Postmap,
    Texthash,
}

/// The entries of a text and what is wrong with it.
pub struct Entries<'a> {
    path: &'a str,
    lines: Lines<'a>,
    /// The text must be UTF-8 where it is not ASCII.
    utf8: bool,
    reader: For,
    waiting: Option<Entry<'a>>,
}

impl<'a> Entries<'a> {
    /// `path` is what warnings call the text.
    pub fn new(path: &'a str, text: &'a [u8], utf8: bool, reader: For) -> Entries<'a> {
        Entries { path, lines: Lines::new(path, text), utf8, reader, waiting: None }
    }

    fn parse(&mut self, line: Line<'a>) -> Result<Entry<'a>, String> {
        let Line { number, text } = line;
        let (path, shown) = (self.path, show(&text));
        if self.utf8 && !text.is_ascii() && std::str::from_utf8(&text).is_err() {
            return Err(format!("{path}, line {number}: non-UTF-8 input \"{shown}\" -- ignoring this line"));
        }
        let Some(end) = end_of_key(before_nul(&text), |_| false) else {
            return Err(format!("{path}, line {number}: unbalanced '\"' in '{shown}' -- ignoring this line"));
        };
        let (key, value) = split(text, end);
        if key.is_empty() || value.is_empty() {
            let end = if self.reader == For::Texthash { " -- ignoring this line" } else { "" };
            return Err(format!("{path}, line {number}: expected format: key whitespace value{end}"));
        }
        Ok(Entry { line: number, key, value })
    }
}

/// The key, and what is behind it without the blanks round it.
fn split(text: Cow<'_, [u8]>, end: usize) -> (Cow<'_, [u8]>, Cow<'_, [u8]>) {
    match text {
        Cow::Borrowed(text) => (Cow::Borrowed(&text[..end]), Cow::Borrowed(trim(before_nul(&text[end..])))),
        Cow::Owned(text) => {
            (Cow::Owned(text[..end].to_vec()), Cow::Owned(trim(before_nul(&text[end..])).to_vec()))
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        if let Some(entry) = self.waiting.take() {
            return Some(Item::Entry(entry));
        }
        let entry = match self.lines.next()?.and_then(|line| self.parse(line)) {
            Ok(entry) => entry,
            Err(warning) => return Some(Item::Warning(warning)),
        };
        if entry.key.ends_with(b":") {
            let warning = format!(
                "{}, line {}: record is in \"key: value\" format; is this an alias file?",
                self.path, entry.line
            );
            self.waiting = Some(entry);
            return Some(Item::Warning(warning));
        }
        Some(Item::Entry(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show_items(text: &[u8]) -> String {
        let items = Entries::new("f", text, true, For::Postmap).map(|item| match item {
            Item::Entry(entry) => format!("{}:[{}][{}]", entry.line, show(&entry.key), show(&entry.value)),
            Item::Warning(warning) => format!("!{warning}"),
        });
        items.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn entries() {
        for (text, expect) in [
            ("a b", "1:[a][b]"),
            ("a\tb c \n", "1:[a][b c]"),
            ("\"a b\" c", "1:[\"a b\"][c]"),
            ("\"a b\"@x c", "1:[\"a b\"@x][c]"),
            ("a\\ b c", "1:[a\\ b][c]"),
            ("a\\\"b c d", "1:[a\\\"b][c d]"),
            ("a\n  b\n  c", "1:[a][b  c]"),
            ("a b\0c", "1:[a][b]"),
            ("a: b", "!f, line 1: record is in \"key: value\" format; is this an alias file?|1:[a:][b]"),
            ("a", "!f, line 1: expected format: key whitespace value"),
            ("a  ", "!f, line 1: expected format: key whitespace value"),
            ("x y\n\"a b", "1:[x][y]|!f, line 2: unbalanced '\"' in '\"a b' -- ignoring this line"),
            ("a\\", "!f, line 1: expected format: key whitespace value"),
        ] {
            assert_eq!(show_items(text.as_bytes()), expect, "{text:?}");
        }
        assert_eq!(show_items(b"a \xff"), "!f, line 1: non-UTF-8 input \"a ?\" -- ignoring this line");
    }

    proptest::proptest! {
        /// Whatever is read can be written and read again.
        #[test]
        fn round_trip(text in proptest::collection::vec(proptest::sample::select(&b"ab\\\"# \t\n:\0\xc3\xa9"[..]), 0..60)) {
            for item in Entries::new("f", &text, false, For::Postmap) {
                if let Item::Entry(entry) = item {
                    let again = [&entry.key[..], b" ", &entry.value[..]].concat();
                    let mut entries = Entries::new("f", &again, false, For::Postmap)
                        .filter(|item| matches!(item, Item::Entry(_)));
                    proptest::prop_assert_eq!(
                        entries.next(),
                        Some(Item::Entry(Entry { line: 1, ..entry.clone() }))
                    );
                }
            }
        }
    }
}
