//! Replies as servers give them, whatever they give (RFC 5321 4.2).

use crate::text::printable;
use mail::DsnStatus;
use memchr::memchr;
use std::fmt;
use std::sync::Arc;

/// A server's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReply {
    /// 0 to 999.
    pub code: u16,
    /// The last line's enhanced code, if its class is that of the reply code; else `X.0.0`, or 5.5.0 for codes that are
    /// neither 2xx, 4xx nor 5xx.
    pub status: DsnStatus,
    /// All lines with their codes, printable, parted by blanks: as the log shows them.
    pub text: String,
    /// The lines as they came, printable.
    pub lines: Vec<String>,
}

impl ServerReply {
    /// 2 for 2xx.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    pub fn is_success(&self) -> bool {
        self.class() == 2
    }
}

/// `smtp_reply_filter`: another line for a line of a reply, if it has one.
#[derive(Clone)]
pub struct ReplyFilter(Arc<Replace>);

/// This table cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotTell(pub String);

type Replace = dyn Fn(&str) -> Result<Option<String>, CannotTell> + Send + Sync;

impl ReplyFilter {
    pub fn new(
        filter: impl Fn(&str) -> Result<Option<String>, CannotTell> + Send + Sync + 'static,
    ) -> ReplyFilter {
        ReplyFilter(Arc::new(filter))
    }
}

impl fmt::Debug for ReplyFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyFilter")
    }
}

/// Gathers replies from input of any granularity.
///
/// ```
/// use smtp::client::ReplyReader;
/// let mut reader = ReplyReader::new(2048);
/// let mut input: &[u8] = b"250-mx.example\r\n250 PIPELINING\r\n220 next";
/// let reply = reader.read(&mut input).unwrap().unwrap();
/// assert_eq!((reply.code, &*reply.text), (250, "250-mx.example 250 PIPELINING"));
/// assert_eq!(reader.read(&mut input), Ok(None));
/// ```
#[derive(Debug)]
pub struct ReplyReader {
    /// `line_length_limit`: of a line, and of all that is kept of a reply.
    limit: usize,
    filter: Option<ReplyFilter>,
    /// The line at hand, as much of it as is kept, and whether there was more.
    line: Vec<u8>,
    is_long: bool,
    lines: Vec<String>,
    kept: usize,
    /// Octets of the whole reply.
    size: usize,
    oddities: Vec<Oddity>,
}

/// What is wrong with a reply, though it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// A line was longer than `line_length_limit`; this is how it begins.
    LongLine(String),
    /// The lines together were; this is how the first begins.
    LongReply(String),
    /// A line that is none of a reply.
    Garbage(String),
    /// A line was replaced by another (`smtp_reply_filter`).
    Replaced { line: String, by: String },
    /// What would replace this line could not be found out.
    Unfiltered { line: String, table: String },
}

/// Why a reply cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It has no end.
    Endless,
    /// `smtp_reply_filter` could not be asked.
    Unfiltered,
}

/// A reply may be so many times as long as what is kept of it.
const ENDLESS_FACTOR: usize = 100;

impl ReplyReader {
    /// `line_length_limit` in octets.
    pub fn new(line_length_limit: usize) -> ReplyReader {
        ReplyReader {
            limit: line_length_limit,
            filter: None,
            line: Vec::new(),
            is_long: false,
            lines: Vec::new(),
            kept: 0,
            size: 0,
            oddities: Vec::new(),
        }
    }

    /// The same, with lines replaced (`smtp_reply_filter`).
    pub fn with_filter(self, filter: Option<ReplyFilter>) -> ReplyReader {
        ReplyReader { filter, ..self }
    }

    /// Takes a reply off the front of `input`; None if its end has not come. Lines may end with a bare LF.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<ServerReply>, Unreadable> {
        while !input.is_empty() {
            let newline = memchr(b'\n', input);
            let (piece, rest) = input.split_at(newline.map_or(input.len(), |at| at + 1));
            *input = rest;
            self.take(piece)?;
            if newline.is_some()
                && let Some(reply) = self.end_line()?
            {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// What was wrong with replies since the last call.
    pub fn take_oddities(&mut self) -> Vec<Oddity> {
        std::mem::take(&mut self.oddities)
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        self.size += piece.len();
        if self.size > self.limit.saturating_mul(ENDLESS_FACTOR) {
            return Err(Unreadable::Endless);
        }
        let room = (self.limit + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        self.is_long |= piece.len() > room;
        Ok(())
    }

    /// A line is whole. The reply, if that was its last.
    fn end_line(&mut self) -> Result<Option<ServerReply>, Unreadable> {
        let line = self.take_line();
        let line = self.filtered(line)?;
        let end = Line::parse(&line);
        if self.kept < self.limit {
            self.kept += line.len() + 1;
            self.lines.push(line.clone());
        } else if !self.oddities.iter().any(|oddity| matches!(oddity, Oddity::LongReply(_))) {
            self.add(Oddity::LongReply(beginning(&self.lines.join(" "))));
        }
        Ok(match end {
            Line::Middle => None,
            Line::Garbage => {
                self.add(Oddity::Garbage(line.chars().take(100).collect()));
                None
            }
            Line::Last { code, status } => {
                (self.kept, self.size) = (0, 0);
                let lines = std::mem::take(&mut self.lines);
                Some(ServerReply { code, status, text: lines.join(" "), lines })
            }
        })
    }

    fn filtered(&mut self, line: String) -> Result<String, Unreadable> {
        let Some(filter) = &self.filter else { return Ok(line) };
        match filter.0(&line) {
            Ok(None) => Ok(line),
            Ok(Some(by)) => {
                let by = printable(by.as_bytes());
                self.add(Oddity::Replaced { line, by: by.clone() });
                Ok(by)
            }
            Err(CannotTell(table)) => {
                self.add(Oddity::Unfiltered { line, table });
                Err(Unreadable::Unfiltered)
            }
        }
    }

    fn add(&mut self, oddity: Oddity) {
        // as many as there can be short lines in a reply that is kept whole
        if self.oddities.len() < self.limit {
            self.oddities.push(oddity);
        }
    }

    fn take_line(&mut self) -> String {
        let mut octets = std::mem::take(&mut self.line);
        let fits =
            octets.len() <= self.limit || (octets.len() == self.limit + 1 && octets.ends_with(b"\r\n"));
        if std::mem::take(&mut self.is_long) || !fits {
            octets.truncate(self.limit);
            let line = printable(&octets);
            self.add(Oddity::LongLine(beginning(&line)));
            return line;
        }
        let text = octets.strip_suffix(b"\n").unwrap_or(&octets);
        let end = text.iter().rposition(|b| *b != b'\r').map_or(0, |last| last + 1);
        printable(&text[..end])
    }
}

fn beginning(line: &str) -> String {
    line.chars().take(30).collect()
}

/// What a line means for the reply.
enum Line {
    Middle,
    Garbage,
    Last { code: u16, status: DsnStatus },
}

impl Line {
    fn parse(line: &str) -> Line {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let code = line.get(..digits).filter(|_| digits == 3).and_then(|code| code.parse().ok());
        match (code, line.as_bytes().get(3)) {
            (Some(_), Some(b'-')) => Line::Middle,
            (Some(code), None | Some(b' ')) => {
                Line::Last { code, status: status(code, line.get(4..).unwrap_or("")) }
            }
            _ => Line::Garbage,
        }
    }
}

fn status(code: u16, text: &str) -> DsnStatus {
    let class = match code / 100 {
        class @ (2 | 4 | 5) => class as u8,
        _ => return DsnStatus::new(5, 5, 0),
    };
    let (status, _) = DsnStatus::split_from(text.trim_start_matches(' '));
    status.filter(|status| status.class() == class).unwrap_or(DsnStatus::new(class, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All replies with their codes and statuses, and the oddities' number; fed in pieces.
    fn read(wire: &[u8], piece: usize, limit: usize) -> (Vec<String>, usize) {
        let mut reader = ReplyReader::new(limit);
        let mut found = Vec::new();
        for mut input in wire.chunks(piece.max(1)) {
            while let Ok(Some(reply)) = reader.read(&mut input) {
                found.push(format!("{}/{}/{}", reply.code, reply.status, reply.text));
            }
        }
        (found, reader.take_oddities().len())
    }

    #[test]
    fn rows() {
        for (wire, expect, oddities) in [
            ("250 ok\r\n", &["250/2.0.0/250 ok"][..], 0),
            ("250\r\n", &["250/2.0.0/250"], 0),
            ("250\n354\n", &["250/2.0.0/250", "354/5.5.0/354"], 0),
            ("550-5.1.1 a\r\n550 5.1.2 b\r\n", &["550/5.1.2/550-5.1.1 a 550 5.1.2 b"], 0),
            ("450-4.1.1 a\r\n450 b\r\n", &["450/4.0.0/450-4.1.1 a 450 b"], 0),
            ("550 4.1.1 x\r\n", &["550/5.0.0/550 4.1.1 x"], 0),
            ("550 5.7.1\r\n", &["550/5.7.1/550 5.7.1"], 0),
            ("550   5.1.2   x\r\n", &["550/5.1.2/550   5.1.2   x"], 0),
            ("550 5.1.1.1 x\r\n", &["550/5.0.0/550 5.1.1.1 x"], 0),
            ("350 2.0.0 x\r\n", &["350/5.5.0/350 2.0.0 x"], 0),
            ("000 x\r\n", &["0/5.5.0/000 x"], 0),
            ("hello\r\n220 x\r\n", &["220/2.0.0/hello 220 x"], 1),
            ("2500 x\r\n25 x\r\n250x\r\n\r\n250 y\r\n", &["250/2.0.0/2500 x 25 x 250x  250 y"], 4),
            ("250 a\x1b[1m\tb\r\r\n", &["250/2.0.0/250 a?[1m?b"], 0),
            ("250 \u{e9}\r\n", &["250/2.0.0/250 \u{e9}"], 0),
            ("250-x", &[], 0),
        ] {
            for piece in 1..=wire.len() {
                assert_eq!(
                    read(wire.as_bytes(), piece, 2048),
                    (expect.iter().map(|r| r.to_string()).collect(), oddities)
                );
            }
        }
        assert_eq!(read(b"250 \xff\xfe\r\n", 9, 2048).0, ["250/2.0.0/250 ??"]);
    }

    #[test]
    fn long_lines_and_replies_are_cut() {
        let (replies, oddities) = read(&[b"550 5.1.1 ", &[b'x'; 50][..], b"\r\n250 a\r\n"].concat(), 7, 20);
        assert_eq!(replies, ["550/5.1.1/550 5.1.1 xxxxxxxxxx", "250/2.0.0/250 a"]);
        assert_eq!(oddities, 1);
        let (replies, oddities) =
            read(&[&b"550-12345\r\n".repeat(9)[..], b"550 5.7.1 end\r\n"].concat(), 7, 20);
        assert_eq!(replies, ["550/5.7.1/550-12345 550-12345"]);
        assert_eq!(oddities, 1);
    }

    #[test]
    fn an_endless_reply_has_an_end() {
        for wire in [&b"250-x\r\n".repeat(400), &b"x".repeat(3000)] {
            let mut reader = ReplyReader::new(20);
            assert_eq!(reader.read(&mut &wire[..]), Err(Unreadable::Endless));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_split_reads_the_same(wire in "([0-9]{2,4}[- x]?[a-z.0-9\u{1b}]{0,9}\r?\n){0,6}", piece in 1usize..9) {
            proptest::prop_assert_eq!(read(wire.as_bytes(), piece, 12), read(wire.as_bytes(), usize::MAX, 12));
        }

        #[test]
        fn no_control_character_gets_through(wire: Vec<u8>) {
            let (replies, _) = read(&[&wire[..], b"\n250 x\n"].concat(), 5, 30);
            proptest::prop_assert!(replies.iter().all(|reply| !reply.contains(char::is_control)));
        }
    }
}
