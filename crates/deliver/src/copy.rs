//! A message as mailboxes, files and commands get it: header lines of ours before it, lines ended and marked as they want it.

use mail::time::{MONTHS, WEEKDAYS};
use mail::{Address, Time};
use std::io::{self, Read};

/// What is read of the content at once.
const CHUNK_SIZE: usize = 64 * 1024;

/// What a delivery says of itself before the content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prelude {
    pub sender: Address,
    /// X-Original-To:, unless empty (`enable_original_recipient`).
    pub original_to: Option<Address>,
    /// Delivered-To:, unless `prepend_delivered_header` says otherwise.
    pub delivered_to: Option<Address>,
    pub now: Time,
}

/// The form in which a message is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// `From sender  date` as the first line.
    pub(crate) from_line: bool,
    pub(crate) return_path: bool,
    /// X-Original-To:.
    pub(crate) original_to: bool,
    /// Delivered-To:.
    pub(crate) delivered_to: bool,
    /// `>` before lines that begin with `From `.
    pub(crate) quotes_from: bool,
    /// `.` before lines that begin with one.
    pub(crate) stuffs_dots: bool,
    /// An empty line at the end.
    pub(crate) ends_blank: bool,
    /// What ends a line.
    pub(crate) eol: Vec<u8>,
}

impl Form {
    /// For pipe(8) without flags: as it is.
    pub(crate) fn plain() -> Form {
        Form {
            from_line: false,
            return_path: false,
            original_to: false,
            delivered_to: false,
            quotes_from: false,
            stuffs_dots: false,
            ends_blank: false,
            eol: b"\n".to_vec(),
        }
    }

    pub(crate) fn maildir() -> Form {
        Form { return_path: true, original_to: true, delivered_to: true, ..Form::plain() }
    }

    pub(crate) fn mbox() -> Form {
        Form { from_line: true, quotes_from: true, ends_blank: true, ..Form::maildir() }
    }

    /// For a command of an alias, of a user, or `mailbox_command`.
    pub(crate) fn command() -> Form {
        Form { from_line: true, ..Form::maildir() }
    }
}

/// What went wrong while copying.
#[derive(Debug)]
pub(crate) enum CopyError<E> {
    /// The content could not be read.
    Read(io::Error),
    Write(E),
}

/// Writes the message piece by piece. `content` is as in the queue (CRLF).
pub(crate) fn copy<E>(
    form: &Form,
    prelude: &Prelude,
    content: &mut dyn Read,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), CopyError<E>> {
    let mut copier = Copier::new(form, prelude);
    let mut chunk = vec![0; CHUNK_SIZE];
    loop {
        let n = content.read(&mut chunk).map_err(CopyError::Read)?;
        write(copier.take(&chunk[..n])).map_err(CopyError::Write)?;
        if n == 0 {
            return Ok(());
        }
    }
}

/// Converts a message as it comes.
pub(crate) struct Copier<'a> {
    form: &'a Form,
    lines: LineConverter<'a>,
    out: Vec<u8>,
    has_begun: bool,
}

impl<'a> Copier<'a> {
    pub(crate) fn new(form: &'a Form, prelude: &Prelude) -> Copier<'a> {
        Copier { form, lines: LineConverter::new(form), out: header(form, prelude), has_begun: false }
    }

    /// What the next chunk gives; an empty chunk is the end.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> &[u8] {
        if std::mem::replace(&mut self.has_begun, true) {
            self.out.clear();
        }
        if chunk.is_empty() {
            self.lines.finish(&mut self.out);
            if self.form.ends_blank {
                self.out.extend_from_slice(&self.form.eol);
            }
        } else {
            self.lines.convert(chunk, &mut self.out);
        }
        &self.out
    }
}

fn header(form: &Form, prelude: &Prelude) -> Vec<u8> {
    let mut out = Vec::new();
    let mut line = |parts: &[&[u8]]| {
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(&form.eol);
    };
    if form.from_line {
        line(&[&from_line(prelude)]);
    }
    if form.return_path {
        line(&[b"Return-Path: <", &external(&prelude.sender), b">"]);
    }
    for (is_wanted, name, address) in [
        (form.original_to, &b"X-Original-To: "[..], &prelude.original_to),
        (form.delivered_to, b"Delivered-To: ", &prelude.delivered_to),
    ] {
        if let Some(address) = address.as_ref().filter(|a| is_wanted && !a.is_null()) {
            line(&[name, &address.external()]);
        }
    }
    out
}

/// `From sender  Wed Nov 25 01:20:14 2026`, in local time.
fn from_line(prelude: &Prelude) -> Vec<u8> {
    let (offset, _) = sys::local_time::zone_at(prelude.now.secs());
    let c = prelude.now.civil(offset);
    let sender = match prelude.sender.is_null() {
        true => b"MAILER-DAEMON".to_vec(),
        false => prelude.sender.external(),
    };
    let (weekday, month) = (WEEKDAYS[usize::from(c.weekday)], MONTHS[usize::from(c.month - 1)]);
    let date =
        format!("  {weekday} {month} {:2} {:02}:{:02}:{:02} {}", c.day, c.hour, c.minute, c.second, c.year);
    [b"From ", &*sender, date.as_bytes()].concat()
}

fn external(sender: &Address) -> Vec<u8> {
    if sender.is_null() { Vec::new() } else { sender.external() }
}

/// Turns CRLF into what the form ends lines with, and marks lines as it wants. A CR that ends no line stays.
struct LineConverter<'a> {
    form: &'a Form,
    /// A CR that may belong to a CRLF.
    held_cr: bool,
    /// How many octets of `From ` the line has matched so far; None once it can't any more.
    matched: Option<usize>,
}

const FROM: &[u8] = b"From ";

impl LineConverter<'_> {
    fn new(form: &Form) -> LineConverter<'_> {
        LineConverter { form, held_cr: false, matched: Some(0) }
    }

    /// Converts a chunk; whatever way the content is cut, the result is the same.
    fn convert(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let line_end = memchr::memchr(b'\n', rest);
            let (line, is_ended) = match line_end {
                Some(at) => (&rest[..at], true),
                None => (rest, false),
            };
            self.line_part(line, is_ended, out);
            rest = &rest[line.len() + usize::from(is_ended)..];
        }
    }

    /// What a last unended line holds back. The queue's content ends its lines, so this is rarely anything.
    fn finish(&mut self, out: &mut Vec<u8>) {
        self.release_cr(out);
        self.release_match(out);
    }

    fn line_part(&mut self, part: &[u8], is_ended: bool, out: &mut Vec<u8>) {
        if !part.is_empty() {
            self.release_cr(out);
        }
        let text = part.strip_suffix(b"\r").unwrap_or(part);
        self.text(text, out);
        if is_ended {
            self.held_cr = false;
            self.release_match(out);
            out.extend_from_slice(&self.form.eol);
            self.matched = Some(0);
        } else {
            self.held_cr |= text.len() < part.len();
        }
    }

    /// A line's octets, its beginning marked.
    fn text(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        if self.form.stuffs_dots && self.matched == Some(0) && text.first() == Some(&b'.') {
            out.push(b'.');
        }
        while let (Some(n), true, Some(&octet)) = (self.matched, self.form.quotes_from, text.first()) {
            if octet != FROM[n] {
                self.release_match(out);
                break;
            }
            text = &text[1..];
            self.matched = Some(n + 1);
            if n + 1 == FROM.len() {
                out.push(b'>');
                self.release_match(out);
            }
        }
        if !text.is_empty() {
            self.matched = None;
            out.extend_from_slice(text);
        }
    }

    fn release_cr(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) {
            self.text(b"\r", out);
        }
    }

    fn release_match(&mut self, out: &mut Vec<u8>) {
        if let Some(n) = self.matched.take() {
            out.extend_from_slice(&FROM[..n]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: &Form, prelude: &Prelude, chunks: &[&[u8]]) -> String {
        let mut copier = Copier::new(form, prelude);
        let mut out = Vec::new();
        chunks.iter().filter(|c| !c.is_empty()).for_each(|chunk| out.extend_from_slice(copier.take(chunk)));
        out.extend_from_slice(copier.take(b""));
        String::from_utf8_lossy(&out).into_owned()
    }

    fn bare(form: Form) -> Form {
        Form { from_line: false, return_path: false, ends_blank: false, ..form }
    }

    #[test]
    fn rows_at_every_split() {
        let (maildir, mbox) = (bare(Form::maildir()), bare(Form::mbox()));
        let bsmtp = Form { stuffs_dots: true, eol: b"\r\n".to_vec(), ..Form::plain() };
        for (content, as_maildir, as_mbox, as_bsmtp) in [
            ("", "", "", ""),
            ("a\r\nb\r\n", "a\nb\n", "a\nb\n", "a\r\nb\r\n"),
            (
                "From me\r\n>From you\r\nFrom\r\nFro\r\n",
                "From me\n>From you\nFrom\nFro\n",
                ">From me\n>From you\nFrom\nFro\n",
                "From me\r\n>From you\r\nFrom\r\nFro\r\n",
            ),
            (
                "x\rFrom y\r\r\n\r\nFrom z\r\n",
                "x\rFrom y\r\n\nFrom z\n",
                "x\rFrom y\r\n\n>From z\n",
                "x\rFrom y\r\r\n\r\nFrom z\r\n",
            ),
            ("\rFrom\r\n\r\r\r\n", "\rFrom\n\r\r\n", "\rFrom\n\r\r\n", "\rFrom\r\n\r\r\r\n"),
            (".\r\n..\r\na.\r\n.", ".\n..\na.\n.", ".\n..\na.\n.", "..\r\n...\r\na.\r\n.."),
            ("unended From", "unended From", "unended From", "unended From"),
            ("From", "From", "From", "From"),
            ("a\r", "a\r", "a\r", "a\r"),
        ] {
            let raw = content.as_bytes();
            for (form, expect) in [(&maildir, as_maildir), (&mbox, as_mbox), (&bsmtp, as_bsmtp)] {
                for at in 0..=raw.len() {
                    let chunks = [&raw[..at], &raw[at..]];
                    assert_eq!(
                        written(form, &Prelude::default(), &chunks),
                        expect,
                        "{content:?} cut at {at}"
                    );
                }
                let single: Vec<&[u8]> = raw.chunks(1).collect();
                assert_eq!(written(form, &Prelude::default(), &single), expect, "{content:?} by octets");
            }
        }
    }

    #[test]
    fn header_lines() {
        let prelude = Prelude {
            sender: "john doe@example.com".into(),
            original_to: Some("alice".into()),
            delivered_to: Some("alice@example.com".into()),
            now: Time::default(),
        };
        assert_eq!(
            written(&Form::maildir(), &prelude, &[]),
            "Return-Path: <\"john doe\"@example.com>\nX-Original-To: alice\nDelivered-To: alice@example.com\n"
        );
        assert_eq!(written(&Form::plain(), &prelude, &[]), "");
        let mbox = written(&Form::mbox(), &Prelude::default(), &[]);
        assert!(
            mbox.starts_with("From MAILER-DAEMON  ") && mbox.ends_with(" 1970\nReturn-Path: <>\n\n"),
            "{mbox}"
        );
        let prelude = Prelude { original_to: Some(Address::null()), ..Prelude::default() };
        assert_eq!(written(&Form::maildir(), &prelude, &[]), "Return-Path: <>\n");
    }
}
