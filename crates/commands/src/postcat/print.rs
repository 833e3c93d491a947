//! Prints records as Postfix's postcat does.

use super::record::{Record, kind, name};
use crate::clock;
use mail::header::is_header;
use std::io::{self, Write};

/// What is printed of a file, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// `-e`
    pub(super) envelope: bool,
    /// `-h`
    pub(super) header: bool,
    /// `-b`
    pub(super) body: bool,
    /// `-o`: where each record begins.
    pub(super) offsets: bool,
    /// `-d`: each record's type as a number.
    pub(super) kinds: bool,
    /// `-v`
    pub(super) verbose: bool,
    /// `-r`: what is behind the end, too.
    pub(super) raw: bool,
    /// Not with `-s`: begin with the file's name.
    pub(super) titled: bool,
}

/// Which part of a file is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Before the content, and what was extracted from it.
    Envelope,
    Header,
    Body,
}

/// Prints a file record by record.
pub(super) struct Printer<'a, W> {
    path: &'a str,
    look: Look,
    out: W,
    part: Part,
    /// The record printed last was the piece of a line.
    in_line: bool,
    /// What is out of place, for a warning.
    complaints: Vec<String>,
}

impl<'a, W: Write> Printer<'a, W> {
    pub(super) fn begin(path: &'a str, look: Look, mut out: W) -> io::Result<Printer<'a, W>> {
        if look.titled && look.envelope {
            writeln!(out, "*** ENVELOPE RECORDS {path} ***")?;
        }
        Ok(Printer { path, look, out, part: Part::Envelope, in_line: false, complaints: Vec::new() })
    }

    /// What was out of place since the last call.
    pub(super) fn take_complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// Prints a record. False: nothing more is wanted.
    pub(super) fn print(&mut self, record: &Record) -> io::Result<bool> {
        match record.kind {
            kind::PIECE | kind::LINE if self.part != Part::Envelope => return self.print_text(record),
            kind::CONTENT => {
                self.expect(self.part == Part::Envelope, "out-of-order message content marker");
                self.print_marker(record, "MESSAGE CONTENTS")?;
                self.part = Part::Header;
                return Ok(true);
            }
            kind::EXTRACTED => {
                self.expect(self.part != Part::Envelope, "out-of-order extracted segment marker");
                self.end_line()?;
                self.print_marker(record, "HEADER EXTRACTED")?;
                self.part = Part::Envelope;
                return Ok(self.look.envelope);
            }
            kind::END => {
                self.expect(self.part == Part::Envelope, "out-of-order message end marker");
                self.print_marker(record, "MESSAGE FILE END")?;
                return Ok(self.look.raw);
            }
            _ => {}
        }
        if self.prints() {
            self.print_columns(record)?;
            self.print_value(record)?;
            self.in_line = false;
        }
        Ok(true)
    }

    fn prints(&self) -> bool {
        match self.part {
            Part::Envelope => self.look.envelope,
            Part::Header => self.look.header,
            Part::Body => self.look.body,
        }
    }

    fn print_text(&mut self, record: &Record) -> io::Result<bool> {
        let is_of_header =
            is_header(&record.data) || record.data.starts_with(b" ") || record.data.starts_with(b"\t");
        if self.part == Part::Header && !self.in_line && !is_of_header {
            self.part = Part::Body;
            if !self.look.body && !self.look.envelope {
                return Ok(false);
            }
        }
        let is_piece = record.kind == kind::PIECE;
        if self.prints() {
            self.print_columns(record)?;
            if self.look.verbose {
                let what = if is_piece { "unterminated_text" } else { name(record.kind) };
                write!(self.out, "{what}: ")?;
            }
            self.out.write_all(&record.data)?;
            if !is_piece || self.look.verbose || self.look.offsets {
                self.out.write_all(b"\n")?;
            }
        }
        self.in_line = is_piece;
        Ok(true)
    }

    fn print_value(&mut self, record: &Record) -> io::Result<()> {
        let text = &record.data;
        let attribute = text.iter().position(|b| *b == b'=').map(|at| (&text[..at], &text[at + 1..]));
        match record.kind {
            kind::TIME | kind::WARN => writeln!(self.out, "{}: {}", name(record.kind), date(text)),
            kind::ATTRIBUTE => match attribute {
                Some((b"create_time", seconds)) => writeln!(self.out, "create_time: {}", date(seconds)),
                Some(_) => self.print_line(record),
                None => {
                    let shown = maillog::printable(text);
                    self.expect(
                        false,
                        &format!("malformed attribute: missing '=' after attribute name: {shown}"),
                    );
                    Ok(())
                }
            },
            _ => self.print_line(record),
        }
    }

    fn print_line(&mut self, record: &Record) -> io::Result<()> {
        write!(self.out, "{}: ", name(record.kind))?;
        self.out.write_all(&record.data)?;
        self.out.write_all(b"\n")
    }

    fn print_marker(&mut self, record: &Record, text: &str) -> io::Result<()> {
        if !self.look.envelope {
            return Ok(());
        }
        self.print_columns(record)?;
        writeln!(self.out, "*** {text} {} ***", self.path)
    }

    fn print_columns(&mut self, record: &Record) -> io::Result<()> {
        if self.look.offsets {
            write!(self.out, "{:9} ", record.offset)?;
        }
        if self.look.kinds {
            write!(self.out, "{:3} ", record.kind)?;
        }
        Ok(())
    }

    /// Ends a line whose last piece was printed without an end.
    fn end_line(&mut self) -> io::Result<()> {
        let is_open = self.in_line && !self.look.verbose && !self.look.offsets;
        self.in_line = false;
        if is_open && self.prints() { self.out.write_all(b"\n") } else { Ok(()) }
    }

    fn expect(&mut self, is_so: bool, complaint: &str) {
        if !is_so {
            self.complaints.push(format!("{}: {complaint}", self.path));
        }
    }
}

/// The date that a number at the front of a text stands for.
fn date(text: &[u8]) -> String {
    let digits = text.iter().position(|b| !b.is_ascii_digit()).map_or(text, |at| &text[..at]);
    clock::date(std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postcat::record::size_in_file;

    fn records() -> Vec<Record> {
        let mut offset = 0;
        let long = "x".repeat(10);
        [
            (b'T', "1795573375 819805"),
            (b'A', "create_time=1795573375"),
            (b'A', "rewrite_context=local"),
            (b'S', "a@b"),
            (b'R', "c@d"),
            (b'M', ""),
            (b'N', "Subject: x"),
            (b'N', "\tfolded"),
            (b'N', ""),
            (b'N', "X: hi"),
            (b'L', &long),
            (b'N', "end"),
            (b'X', ""),
            (b'E', ""),
        ]
        .map(|(kind, text)| {
            let record = Record { offset, kind, data: text.as_bytes().to_vec() };
            offset += size_in_file(&record.data);
            record
        })
        .to_vec()
    }

    fn printed(records: &[Record], look: Look) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::begin("deferred/C/C1", look, &mut out).expect("memory takes all");
        for record in records {
            if !printer.print(record).expect("memory takes all") {
                break;
            }
        }
        let date = clock::date(1_795_573_375);
        String::from_utf8(out).expect("text").replace(&date, "DATE")
    }

    const ENVELOPE: Look = Look {
        envelope: true,
        titled: true,
        header: false,
        body: false,
        offsets: false,
        kinds: false,
        verbose: false,
        raw: false,
    };
    const ALL: Look = Look { header: true, body: true, ..ENVELOPE };

    #[test]
    fn whole() {
        let expect = "\
*** ENVELOPE RECORDS deferred/C/C1 ***
message_arrival_time: DATE
create_time: DATE
named_attribute: rewrite_context=local
sender: a@b
recipient: c@d
*** MESSAGE CONTENTS deferred/C/C1 ***
Subject: x
\tfolded

X: hi
xxxxxxxxxxend
*** HEADER EXTRACTED deferred/C/C1 ***
*** MESSAGE FILE END deferred/C/C1 ***
";
        assert_eq!(printed(&records(), ALL), expect);
    }

    #[test]
    fn parts() {
        let none = Look { envelope: false, ..ENVELOPE };
        let header = Look { header: true, ..none };
        assert_eq!(printed(&records(), header), "Subject: x\n\tfolded\n");
        let body = Look { body: true, ..none };
        assert_eq!(printed(&records(), body), "\nX: hi\nxxxxxxxxxxend\n");
        let both = Look { body: true, ..header };
        assert_eq!(printed(&records(), both), "Subject: x\n\tfolded\n\nX: hi\nxxxxxxxxxxend\n");
        let envelope = printed(&records(), ENVELOPE);
        assert!(envelope.ends_with(
            "recipient: c@d\n*** MESSAGE CONTENTS deferred/C/C1 ***\n*** HEADER EXTRACTED deferred/C/C1 ***\n\
             *** MESSAGE FILE END deferred/C/C1 ***\n"
        ));
    }

    #[test]
    fn details() {
        let look = Look { offsets: true, kinds: true, verbose: true, ..ALL };
        let text = printed(&records(), look);
        let lines: Vec<&str> = text.lines().collect();
        for (index, expect) in [
            (1, "        0  84 message_arrival_time: DATE"),
            (3, "       43  65 named_attribute: rewrite_context=local"),
            (6, "       76  77 *** MESSAGE CONTENTS deferred/C/C1 ***"),
            (7, "       78  78 regular_text: Subject: x"),
            (11, "      108  76 unterminated_text: xxxxxxxxxx"),
            (12, "      120  78 regular_text: end"),
        ] {
            assert_eq!(lines[index], expect);
        }
    }

    #[test]
    fn a_last_line_without_an_end() {
        let mut records = records();
        records.remove(11);
        assert!(printed(&records, ALL).contains("\nxxxxxxxxxx\n*** HEADER EXTRACTED"));
    }

    #[test]
    fn complaints() {
        let mut printer = Printer::begin("x", ALL, Vec::new()).expect("memory takes all");
        for kind in [b'X', b'M', b'E', b'A'] {
            let record = Record { offset: 0, kind, data: b"a\x01".to_vec() };
            printer.print(&record).expect("memory takes all");
        }
        assert_eq!(
            printer.take_complaints(),
            [
                "x: out-of-order extracted segment marker",
                "x: out-of-order message end marker",
                "x: malformed attribute: missing '=' after attribute name: a?",
            ]
        );
    }
}
