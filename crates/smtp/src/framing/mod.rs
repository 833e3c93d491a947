//! Message content on the wire, turned into content as the queue keeps it: what follows DATA (RFC 5321 4.5.2) and
//! BDAT (RFC 3030).
//!
//! What comes out has lines that end with CRLF, no bare LF, no stuffed dots, and an end to its last line. Bare CRs stay
//! (`cleanup_replace_stray_cr_lf` is cleanup's). Chunk sizes, limits and replies are the session's business.

mod encoder;

pub use encoder::Encoder;

use memchr::memchr;
use std::str::FromStr;

/// `smtpd_forbid_bare_newline`: what becomes of lines that end with LF without CR.
///
/// Postfix 3.9 documents it; 3.7.11 has all but `note`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForbidBareNewline {
    /// Such lines are lines, and `<LF>.<LF>` and its relatives end a message.
    No,
    /// Such lines are mended, and only `<CR><LF>.<CR><LF>` ends a message; other lines of a lone dot next to a bare LF
    /// are left out.
    #[default]
    Normalize,
    /// As `Normalize`, and the log says so.
    Note,
    /// As `Normalize`, and the command or message is refused.
    Reject,
}

impl ForbidBareNewline {
    /// Whether a bare LF is told from a line end.
    pub(crate) fn is_strict(self) -> bool {
        self != ForbidBareNewline::No
    }
}

impl FromStr for ForbidBareNewline {
    type Err = ();

    /// The parameter's values. Postfix: `yes` is `normalize`.
    fn from_str(value: &str) -> Result<ForbidBareNewline, ()> {
        match value {
            "no" => Ok(ForbidBareNewline::No),
            "note" => Ok(ForbidBareNewline::Note),
            "normalize" | "yes" => Ok(ForbidBareNewline::Normalize),
            "reject" => Ok(ForbidBareNewline::Reject),
            _ => Err(()),
        }
    }
}

/// What [`Decoder::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Some content, never empty: part of the input, or a mended line end.
    Content(&'a [u8]),
    /// The line with the dot. Never with chunks.
    End,
    /// The input is used up.
    Starved,
}

/// Takes content off the wire, whatever pieces it comes in.
///
/// ```
/// use smtp::framing::{Decoder, ForbidBareNewline, Step};
/// let mut decoder = Decoder::dots(ForbidBareNewline::Normalize);
/// let mut input: &[u8] = b"a\r\n..b\r\n.\r\nQUIT\r\n";
/// assert_eq!(decoder.next(&mut input), Step::Content(b"a\r\n"));
/// assert_eq!(decoder.next(&mut input), Step::Content(b".b\r\n"));
/// assert_eq!(decoder.next(&mut input), Step::End);
/// assert_eq!(input, b"QUIT\r\n");
/// ```
#[derive(Debug)]
pub struct Decoder {
    mode: ForbidBareNewline,
    /// Dots are stuffed and one of them ends the content.
    dotted: bool,
    at: At,
    /// CRs read but not yet given out, because what they are depends on the next octet.
    held_crs: usize,
    /// To be given out before anything else: so many CRs, then a line end.
    due_crs: usize,
    due_line_end: bool,
    /// The line before ended with a bare LF.
    after_bare_newline: bool,
    saw_bare_newline: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    /// Behind a dot at the start of a line, and perhaps CRs.
    Dot,
    InLine,
}

const LINE_END: &[u8] = b"\r\n";
const CRS: &[u8] = &[b'\r'; 64];

impl Decoder {
    /// For what follows DATA.
    pub fn dots(mode: ForbidBareNewline) -> Decoder {
        Decoder {
            mode,
            dotted: true,
            at: At::LineStart,
            held_crs: 0,
            due_crs: 0,
            due_line_end: false,
            after_bare_newline: false,
            saw_bare_newline: false,
        }
    }

    /// For what follows BDAT: all chunks of a message go through one decoder.
    pub fn chunks(mode: ForbidBareNewline) -> Decoder {
        Decoder { dotted: false, ..Decoder::dots(mode) }
    }

    /// Takes the next piece off the front of `input`.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Step<'a> {
        loop {
            if let Some(due) = self.take_due() {
                return Step::Content(due);
            }
            let Some(&first) = input.first() else { return Step::Starved };
            match self.at {
                At::LineStart if self.dotted && first == b'.' => {
                    *input = &input[1..];
                    self.at = At::Dot;
                }
                At::Dot => {
                    if self.ends_at(first, input) {
                        return Step::End;
                    }
                }
                At::InLine if self.held_crs > 0 => self.resolve_held(first, input),
                At::LineStart | At::InLine => {
                    if let Some(content) = self.scan(input) {
                        return Step::Content(content);
                    }
                }
            }
        }
    }

    /// Ends content that came in chunks: what is still missing of its last line. Call until None.
    pub fn finish(&mut self) -> Option<&'static [u8]> {
        if self.at == At::InLine {
            self.end_line(self.held_crs);
            self.held_crs = 0;
        }
        self.take_due()
    }

    /// Whether a line ended with a bare LF so far.
    pub fn saw_bare_newline(&self) -> bool {
        self.saw_bare_newline
    }

    fn take_due(&mut self) -> Option<&'static [u8]> {
        if self.due_crs > 0 {
            let crs = self.due_crs.min(CRS.len());
            self.due_crs -= crs;
            return Some(&CRS[..crs]);
        }
        std::mem::take(&mut self.due_line_end).then_some(LINE_END)
    }

    fn end_line(&mut self, crs: usize) {
        self.due_crs = crs;
        self.due_line_end = true;
        self.at = At::LineStart;
    }

    /// One octet behind a dot at the start of a line. The dot itself is never content.
    fn ends_at(&mut self, first: u8, input: &mut &[u8]) -> bool {
        match first {
            b'\r' => {
                *input = &input[1..];
                self.held_crs += 1;
                false
            }
            b'\n' => {
                *input = &input[1..];
                self.dot_line_ended()
            }
            _ => {
                self.due_crs = std::mem::take(&mut self.held_crs);
                self.at = At::InLine;
                false
            }
        }
    }

    /// Whether a line of a dot and the held CRs is the end.
    fn dot_line_ended(&mut self) -> bool {
        let crs = std::mem::take(&mut self.held_crs);
        let after_bare_newline = std::mem::replace(&mut self.after_bare_newline, crs == 0);
        self.saw_bare_newline |= crs == 0;
        if !self.mode.is_strict() {
            return true;
        }
        match crs {
            1 if !after_bare_newline => return true,
            // Postfix: such a line is left out, golden: end_of_data.smtp.
            0 | 1 => self.at = At::LineStart,
            _ => self.end_line(crs - 1),
        }
        false
    }

    /// Decides about CRs at the end of the last input, now that the octet behind them is known.
    fn resolve_held(&mut self, first: u8, input: &mut &[u8]) {
        let crs = std::mem::take(&mut self.held_crs);
        match first {
            b'\r' => {
                let more = input.iter().take_while(|b| **b == b'\r').count();
                *input = &input[more..];
                self.held_crs = crs + more;
            }
            b'\n' => {
                *input = &input[1..];
                self.after_bare_newline = false;
                self.end_line(if self.mode.is_strict() { crs - 1 } else { 0 });
            }
            _ => self.due_crs = crs,
        }
    }

    /// Finds the longest piece that is content as it stands: up to a line that must be mended or that begins with a
    /// dot. None if that is nothing.
    fn scan<'a>(&mut self, input: &mut &'a [u8]) -> Option<&'a [u8]> {
        let bytes = *input;
        let mut line_start = 0;
        while let Some(offset) = memchr(b'\n', &bytes[line_start..]) {
            let newline = line_start + offset;
            if !self.is_sound(&bytes[line_start..newline]) {
                return self.mend(input, line_start, newline);
            }
            line_start = newline + 1;
            if bytes.get(line_start).is_none_or(|next| self.dotted && *next == b'.') {
                *input = &bytes[line_start..];
                self.at = At::LineStart;
                self.after_bare_newline = false;
                return Some(&bytes[..line_start]);
            }
        }
        self.held_crs = trailing_crs(bytes);
        self.at = At::InLine;
        *input = &[];
        Some(&bytes[..bytes.len() - self.held_crs]).filter(|content| !content.is_empty())
    }

    /// Whether a line, given without its LF, needs no mending.
    fn is_sound(&self, line: &[u8]) -> bool {
        match line {
            // Postfix: all CRs before LF are dropped unless bare newlines matter.
            [.., b'\r', b'\r'] => self.mode.is_strict(),
            [.., b'\r'] => true,
            _ => false,
        }
    }

    fn mend<'a>(&mut self, input: &mut &'a [u8], line_start: usize, newline: usize) -> Option<&'a [u8]> {
        let bytes = *input;
        let crs = trailing_crs(&bytes[line_start..newline]);
        *input = &bytes[newline + 1..];
        self.after_bare_newline = crs == 0;
        self.saw_bare_newline |= crs == 0;
        self.end_line(0);
        Some(&bytes[..newline - crs]).filter(|content| !content.is_empty())
    }
}

fn trailing_crs(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|b| **b == b'\r').count()
}

#[cfg(test)]
mod tests;
