//! The content of one message on its way in: its size, its limit, and what is wrong with it.

use super::BodyFault;
use crate::framing::{Decoder, ForbidBareNewline, Step};
use memchr::memrchr;

/// Content that is being received.
#[derive(Debug)]
pub(super) struct Body {
    decoder: Decoder,
    /// `message_size_limit`; 0 is no limit.
    limit: u64,
    /// Octets given out, and how many of them are of whole lines.
    size: u64,
    whole_lines: u64,
    is_too_big: bool,
}

impl Body {
    pub(super) fn new(decoder: Decoder, message_size_limit: u64) -> Body {
        Body { decoder, limit: message_size_limit, size: 0, whole_lines: 0, is_too_big: false }
    }

    /// As [`Decoder::next`], but what is over the limit is swallowed.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Step<'a> {
        loop {
            match self.decoder.next(input) {
                Step::Content(piece) if !self.takes(piece) => {}
                step => return step,
            }
        }
    }

    /// As [`Decoder::finish`], but what is over the limit is swallowed.
    pub(super) fn finish(&mut self) -> Option<&'static [u8]> {
        while let Some(piece) = self.decoder.finish() {
            if self.takes(piece) {
                return Some(piece);
            }
        }
        None
    }

    fn takes(&mut self, piece: &[u8]) -> bool {
        self.is_too_big |= !self.fits(piece.len() as u64);
        if self.is_too_big {
            return false;
        }
        self.size += piece.len() as u64;
        if let Some(newline) = memrchr(b'\n', piece) {
            self.whole_lines = self.size - (piece.len() - newline - 1) as u64;
        }
        true
    }

    /// Whether so many more octets would be within the limit.
    pub(super) fn fits(&self, more: u64) -> bool {
        self.limit == 0 || self.size.saturating_add(more) <= self.limit
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn whole_lines(&self) -> u64 {
        self.whole_lines
    }

    pub(super) fn is_too_big(&self) -> bool {
        self.is_too_big
    }

    pub(super) fn saw_bare_newline(&self) -> bool {
        self.decoder.saw_bare_newline()
    }

    /// Why the content cannot be had. Postfix complains about bare newlines first.
    pub(super) fn fault(&self, mode: ForbidBareNewline) -> Option<BodyFault> {
        if mode == ForbidBareNewline::Reject && self.saw_bare_newline() {
            return Some(BodyFault::BareNewline);
        }
        self.is_too_big.then_some(BodyFault::TooBig)
    }
}
