//! main.cf: `name = value` in logical lines, the last one wins. Edits that keep comments and order are in `edit`.

use crate::diagnostic::{Diagnostic, Place};
use crate::line::{LogicalLine, logical_lines};
use crate::word::{name_value, offset_in};
use std::collections::HashMap;

/// A main.cf as read: the settings that hold, and where they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MainCf {
    path: String,
    entries: Vec<Entry>,
    /// Name to the entry that won.
    winners: HashMap<String, usize>,
}

/// One `name = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// Continuation lines joined, blanks at both ends taken off, nothing expanded.
    pub value: String,
    /// None if it was set on a command line.
    source: Option<Source>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    line: LogicalLine,
    value_offset: usize,
}

impl MainCf {
    /// Reads a whole file. `path` is what messages call it. All that is wrong is told, in the order in which it stands; the first
    /// fatal one is where Postfix would have stopped.
    pub fn parse(path: &str, bytes: &[u8]) -> (MainCf, Vec<Diagnostic>) {
        MainCf::parse_over(&[], path, bytes)
    }

    /// As `parse`, over values that were set before.
    pub fn parse_over(before: &[(&str, &str)], path: &str, bytes: &[u8]) -> (MainCf, Vec<Diagnostic>) {
        let mut main = MainCf { path: path.to_string(), ..MainCf::default() };
        before.iter().for_each(|(name, value)| main.set(name, value));
        let mut mistakes = Vec::new();
        for line in logical_lines(bytes) {
            if line.is_stray() {
                mistakes.push(stray_line(path, &line));
            } else {
                main.read(line, &mut mistakes);
            }
        }
        (main, mistakes)
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value that holds, if the file has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entry(name).map(|e| e.value.as_str())
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.winners.get(name).map(|&index| &self.entries[index])
    }

    /// The entries that hold, in the order in which they stand.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .enumerate()
            .filter(|(index, e)| self.winners.get(&e.name) == Some(index))
            .map(|(_, e)| e)
    }

    /// Sets a value in memory, as `-o name=value` does.
    pub fn set(&mut self, name: &str, value: &str) {
        self.insert(Entry { name: name.to_string(), value: value.to_string(), source: None });
    }

    /// Forgets a name in memory.
    pub fn remove(&mut self, name: &str) {
        self.winners.remove(name);
    }

    /// Where an entry's value stands, or the part of it at `span` (octets of the value).
    pub fn place(&self, entry: &Entry, span: Option<std::ops::Range<usize>>) -> Option<Place> {
        let source = entry.source.as_ref()?;
        let span = span.unwrap_or(0..entry.value.len());
        let (line, start) = source.line.position(source.value_offset + span.start);
        let (last, end) = source.line.position(source.value_offset + span.end);
        let end = if last == line { end } else { start };
        Some(Place { file: self.path.clone(), line, span: start..end.max(start) })
    }

    /// Where an entry's name stands.
    pub fn name_place(&self, entry: &Entry) -> Option<Place> {
        let source = entry.source.as_ref()?;
        Some(Place { file: self.path.clone(), line: source.line.number, span: 0..entry.name.chars().count() })
    }

    fn read(&mut self, line: LogicalLine, mistakes: &mut Vec<Diagnostic>) {
        match name_value(&line.text) {
            Err(why) => mistakes.push(no_assignment(&self.path, &line, why)),
            Ok((name, value)) => {
                let (name, value_offset) = (name.to_string(), offset_in(&line.text, value));
                let value = value.to_string();
                let entry = Entry { name, value, source: Some(Source { line, value_offset }) };
                if let Some(old) = self.entry(&entry.name).filter(|old| old.value != entry.value) {
                    mistakes.push(self.overriding(old, &entry));
                }
                self.insert(entry);
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        self.winners.insert(entry.name.clone(), self.entries.len());
        self.entries.push(entry);
    }

    fn overriding(&self, old: &Entry, new: &Entry) -> Diagnostic {
        let (path, name) = (&self.path, &new.name);
        let number = new.source.as_ref().map_or(0, |s| s.line.number);
        let effect = match &old.source {
            Some(source) => {
                format!("the setting in line {} does nothing: the last one wins", source.line.number)
            }
            None => "the setting made elsewhere does nothing: the last one wins".to_string(),
        };
        Diagnostic::warning(format!("{path}, line {number}: overriding earlier entry: {name}={}", old.value))
            .at(self.name_place(new))
            .effect(effect)
            .mend(format!("keep one {name} and remove the other"))
    }
}

fn stray_line(path: &str, line: &LogicalLine) -> Diagnostic {
    let shown: String = line.text.chars().take(30).collect();
    let more = if line.text.chars().count() > 30 { "..." } else { "" };
    Diagnostic::warning(format!("{path}: logical line must not start with whitespace: \"{shown}{more}\""))
        .at(Place { file: path.to_string(), line: line.number, span: 0..line.text.chars().count() })
        .effect("there is nothing before it that it could continue, so the line is skipped")
        .mend("remove the blanks at the start of the line, or the comment before it that hides what it belongs to")
}

fn no_assignment(path: &str, line: &LogicalLine, why: &str) -> Diagnostic {
    let mend = if line.text.starts_with(|c: char| c.is_ascii_alphanumeric()) && line.number > 1 {
        "did you mean to indent this line? A line that continues the one before begins with a blank"
    } else {
        "a line has the form: name = value"
    };
    Diagnostic::fatal(format!("{path}, line {}: {why}: \"{}\"", line.number, line.text))
        .at(Place { file: path.to_string(), line: line.number, span: 0..line.text.chars().count() })
        .effect("no program of the mail system starts with this file")
        .mend(mend)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Severity;

    #[test]
    fn last_one_wins() {
        let (main, mistakes) =
            MainCf::parse("main.cf", b"relayhost = a\nx = 1\nrelayhost = b\n x\nx = 1\nrelayhost=c");
        assert_eq!(main.get("relayhost"), Some("c"));
        assert_eq!(main.get("x"), Some("1"));
        assert_eq!(main.get("y"), None);
        let texts: Vec<_> = mistakes.iter().map(|d| d.to_string()).collect();
        assert_eq!(
            texts,
            [
                "warning: main.cf, line 3: overriding earlier entry: relayhost=a",
                "warning: main.cf, line 6: overriding earlier entry: relayhost=b x"
            ]
        );
        assert_eq!(main.entries().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["x", "relayhost"]);
    }

    #[test]
    fn mistakes_of_form() {
        for (text, expect) in [
            (
                "a = b\npermit_mynetworks",
                "fatal: m, line 2: missing '=' after attribute name: \"permit_mynetworks\"",
            ),
            ("= b", "fatal: m, line 1: missing attribute name: \"= b\""),
            (
                " permit_mynetworks, reject_unauth_destination\na = b",
                "warning: m: logical line must not start with whitespace: \" permit_mynetworks, reject_una...\"",
            ),
        ] {
            let (_, mistakes) = MainCf::parse("m", text.as_bytes());
            assert_eq!(mistakes.iter().map(|d| d.to_string()).collect::<Vec<_>>(), [expect], "{text:?}");
        }
    }

    #[test]
    fn places() {
        let (main, _) = MainCf::parse("m", b"a = b,\n   c # d\n");
        let entry = main.entry("a").unwrap();
        let at = entry.value.find('#').unwrap();
        let place = main.place(entry, Some(at..entry.value.len())).unwrap();
        assert_eq!((place.line, place.span), (2, 5..8));
        assert_eq!(main.name_place(entry).unwrap().span, 0..1);
    }

    #[test]
    fn in_memory() {
        let (mut main, _) = MainCf::parse("m", b"a = b\n");
        main.set("a", "c");
        assert_eq!(main.get("a"), Some("c"));
        assert_eq!(main.place(main.entry("a").unwrap(), None), None);
        main.remove("a");
        assert_eq!(main.get("a"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let (main, mistakes) = MainCf::parse("m", &bytes);
            for entry in main.entries() {
                proptest::prop_assert!(main.place(entry, None).is_some());
            }
            proptest::prop_assert!(mistakes.iter().all(|m| m.severity >= Severity::Warning));
        }
    }
}
