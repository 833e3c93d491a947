//! The beginning of a message, before it is known to be a header: mailbox lines, and blanks that belong to nothing.

use super::Received;
use mail::header::is_mailbox_line;

/// So much of a line tells whether it is a mailbox line (`line_length_limit`).
const HELD_LIMIT: usize = 2048;

/// What the beginning of a message becomes.
#[derive(Debug)]
pub(super) enum Front {
    /// At the beginning of a line, of which this was read.
    AtLine {
        held: Vec<u8>,
        keeps_mailbox_lines: bool,
    },
    InMailboxLine,
    /// The beginning is over.
    Done,
}

impl Front {
    /// Over SMTP, `From ` lines become headers. `sendmail` has left them out before.
    pub(super) fn new(received: &Received) -> Front {
        let keeps_mailbox_lines = matches!(received, Received::Smtp(_));
        Front::AtLine { held: Vec::new(), keeps_mailbox_lines }
    }

    /// Reads what is still the beginning, and puts what becomes of it behind `out`.
    pub(super) fn read(&mut self, input: &mut &[u8], out: &mut Vec<u8>) {
        while let Some((&first, rest)) = input.split_first() {
            match self {
                Front::Done => return,
                Front::InMailboxLine => {
                    out.push(first);
                    *input = rest;
                    if first == b'\n' {
                        *self = Front::AtLine { held: Vec::new(), keeps_mailbox_lines: true };
                    }
                }
                Front::AtLine { held, keeps_mailbox_lines } => {
                    if *keeps_mailbox_lines && may_be_mailbox_line(held, first) {
                        held.push(first);
                        *input = rest;
                        if is_mailbox_line(held) {
                            out.extend_from_slice(b"X-Mailbox-Line: ");
                            out.append(held);
                            *self = Front::InMailboxLine;
                        }
                    } else {
                        // Otherwise the line would continue our Received: header.
                        if held.is_empty() && matches!(first, b' ' | b'\t') {
                            out.extend_from_slice(b"\r\n");
                        }
                        out.append(held);
                        *self = Front::Done;
                    }
                }
            }
        }
    }

    /// There is no more input.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if let Front::AtLine { held, .. } = self {
            out.append(held);
        }
        *self = Front::Done;
    }
}

/// Whether `held` and `next` are still a part of `>From `.
fn may_be_mailbox_line(held: &[u8], next: u8) -> bool {
    let quotes = held.iter().take_while(|b| **b == b'>').count();
    match held.len() - quotes {
        0 => next == b'>' && held.len() < HELD_LIMIT || next == b'F',
        n => b"From ".get(n) == Some(&next),
    }
}
