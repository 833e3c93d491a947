//! A message's content as a server gets it: headers and lines checked, addresses as the world is to see them, 8 bits
//! converted for servers that take but 7. Content that nothing is done to passes untouched.

use crate::content::Chunks;
use bytes::Bytes;
use logger::Logger;
use mail::QueueId;
use mail::header::Field;
use mail::mime::{Conversion, Event, Limits, Line, Mistake, Reader};
use route::checks::{Action, Checks, Spot, Verb};
use route::generic::Generic;
use smtp::client::{Content, Unsendable};
use tables::Maps;

/// What a transport does to content.
pub struct Rewriting {
    /// `smtp_generic_maps`
    pub generic: Generic,
    /// `smtp_header_checks` and its like.
    pub checks: Checks,
    pub limits: Limits,
    pub disable_mime_output_conversion: bool,
}

/// Content on its way to a server.
pub(super) struct Outbound<'a> {
    rewriting: &'a Rewriting,
    log: &'a Logger,
    id: QueueId,
    chunks: Chunks,
    /// None: the content passes untouched, or all of it was read.
    reader: Option<Reader>,
    conversion: Option<Conversion>,
    out: Vec<u8>,
}

impl<'a> Outbound<'a> {
    /// `converts`: the server takes but 7 bits.
    pub(super) fn new(
        rewriting: &'a Rewriting,
        log: &'a Logger,
        id: QueueId,
        chunks: Chunks,
        converts: bool,
    ) -> Outbound<'a> {
        let has_checks = !rewriting.checks.is_empty();
        let reader = match converts {
            true => Some(Reader::new(rewriting.limits).converting()),
            false if has_checks => Some(Reader::new(rewriting.limits)),
            // Postfix: addresses in parts are nobody's business.
            false if !rewriting.generic.is_empty() => Some(Reader::new(rewriting.limits).without_mime()),
            false => None,
        };
        let conversion = converts.then(Conversion::default);
        Outbound { rewriting, log, id, chunks, reader, conversion, out: Vec::new() }
    }

    async fn take(&mut self, reader: &mut Reader, event: Event<'_>) -> Result<(), Unsendable> {
        if reader.take_too_deep().is_some() && self.conversion.is_some() {
            return Err(Unsendable::Malformed(Mistake::STATUS, Mistake::Nesting.text()));
        }
        let entity = reader.entity();
        match event {
            Event::Field(field) if self.conversion.is_some() && Conversion::drops(&field, entity) => Ok(()),
            Event::Field(field) => self.take_field(reader, field).await,
            Event::HeaderEnd => match Conversion::header(entity).filter(|_| self.conversion.is_some()) {
                Some(field) => self.take_field(reader, field).await,
                None => Ok(()),
            },
            Event::Line(line) => match &mut self.conversion {
                Some(conversion) if Conversion::converts(entity) => {
                    for line in conversion.line(&line) {
                        self.take_line(&line, true).await?;
                    }
                    Ok(())
                }
                _ => {
                    let Line { text, is_ended, .. } = line;
                    self.take_line(&text, is_ended).await
                }
            },
        }
    }

    async fn take_field(&mut self, reader: &Reader, mut field: Field) -> Result<(), Unsendable> {
        let rewriting = self.rewriting;
        let maps = rewriting.checks.for_header(reader.class(), &field);
        match self.check(maps, Spot::Header, field.text()).await? {
            Checked::Kept => {}
            Checked::Dropped => return Ok(()),
            Checked::Replaced(text) => match Field::parse(&text) {
                Some(other) => field = other,
                None => return Ok(()),
            },
        }
        if reader.class() == mail::mime::Class::Primary {
            let mut problems = Vec::new();
            let rewritten = rewriting.generic.header(&mut field, &mut problems).await;
            problems.iter().for_each(|problem| self.log.warning(format_args!("{problem}")));
            if let Err(failed) = rewritten {
                self.log.warning(format_args!("{}: {failed}", self.id));
                return Err(Unsendable::LocalData);
            }
        }
        field.write_to(&mut self.out, usize::MAX);
        Ok(())
    }

    async fn take_line(&mut self, text: &[u8], is_ended: bool) -> Result<(), Unsendable> {
        let maps = &self.rewriting.checks.body_checks;
        let other;
        let text = match self.check(maps, Spot::Body, text).await? {
            Checked::Kept => text,
            Checked::Dropped => return Ok(()),
            Checked::Replaced(replacement) => {
                other = replacement;
                &other[..]
            }
        };
        self.out.extend_from_slice(text);
        if is_ended {
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Asks the tables about a header or line, logs what they have it, and puts before it what they want there.
    async fn check(&mut self, maps: &Maps, spot: Spot, text: &[u8]) -> Result<Checked, Unsendable> {
        let what = if spot == Spot::Header { "header" } else { "body" };
        let answer = match Checks::ask(maps, text).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(Checked::Kept),
            Err(why) => {
                self.log.warning(format_args!("{why}"));
                self.log.warning(format_args!("{}: smtp {what} checks lookup error", self.id));
                return Err(Unsendable::LocalData);
            }
        };
        let (verb, argument) = match Action::parse_outgoing(&answer, spot, maps.parameter()) {
            Ok(Action::Nothing) => return Ok(Checked::Kept),
            Ok(Action::Drop) => return Ok(Checked::Dropped),
            Ok(Action::Do(verb, argument)) => (verb, argument),
            Err(mistake) => {
                self.log.warning(format_args!("{mistake}"));
                return Ok(Checked::Kept);
            }
        };
        self.log_action(verb, what, text, &argument);
        match verb {
            Verb::Strip => Ok(Checked::Dropped),
            Verb::Replace => Ok(Checked::Replaced(argument)),
            Verb::Prepend => {
                self.out.extend_from_slice(&argument);
                self.out.extend_from_slice(b"\r\n");
                Ok(Checked::Kept)
            }
            _ => Ok(Checked::Kept),
        }
    }

    fn log_action(&self, verb: Verb, what: &str, text: &[u8], argument: &[u8]) {
        let shown = String::from_utf8_lossy(&text[..text.len().min(SHOWN_LIMIT)]);
        let (id, verb, argument) = (self.id, verb.logged(), String::from_utf8_lossy(argument));
        let colon = if argument.is_empty() { "" } else { ": " };
        self.log.info(format_args!("{id}: {verb}: {what} {shown}{colon}{argument}"));
    }
}

/// Octets of a header or line that the log shows.
const SHOWN_LIMIT: usize = 200;

/// What becomes of a header or line.
enum Checked {
    Kept,
    Dropped,
    Replaced(Vec<u8>),
}

impl Content for Outbound<'_> {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Unsendable> {
        let Some(mut reader) = self.reader.take() else {
            return Ok(self.chunks.next().await?);
        };
        while self.out.is_empty() {
            match self.chunks.next().await? {
                Some(chunk) => {
                    let mut rest = &chunk[..];
                    while let Some(event) = reader.next(&mut rest) {
                        self.take(&mut reader, event).await?;
                    }
                }
                None => {
                    while let Some(event) = reader.finish() {
                        self.take(&mut reader, event).await?;
                    }
                    // Without it the next call finds the end of the content.
                    return Ok(Some(Bytes::from(std::mem::take(&mut self.out))));
                }
            }
        }
        self.reader = Some(reader);
        Ok(Some(Bytes::from(std::mem::take(&mut self.out))))
    }
}
