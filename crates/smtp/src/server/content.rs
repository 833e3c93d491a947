//! DATA and BDAT: their order, and the content that follows them.

use super::body::Body;
use super::commands::{Next, refuse};
use super::parameters::{self, Refusal};
use super::session::{BDAT_CONTENT, Chunk, Chunks, DATA_CONTENT, END_OF_MESSAGE, Question, Session, State};
use super::token::Token;
use super::{BodyFault, Event, Keywords, Notice, notice};
use crate::framing::{Decoder, ForbidBareNewline, Step};
use mail::{DsnStatus, Reply};

/// DATA (RFC 5321 4.1.1.4).
impl Session {
    pub(super) fn data_command(&mut self, words: &[Token<'_>]) -> Result<Next, Refusal> {
        if self.chunks != Chunks::None {
            return Err(refuse(503, (5, 5, 1), "Error: DATA after BDAT"));
        }
        self.check_recipients()?;
        if words.len() > 1 {
            return Err(refuse(501, (5, 5, 4), "Syntax: DATA"));
        }
        Ok(Next::Ask(Question::Data, Event::Data))
    }

    /// A client that pipelines cannot know that all recipients were refused.
    fn check_recipients(&self) -> Result<(), Refusal> {
        match &self.transaction {
            None => Err(refuse(503, (5, 5, 1), "Error: need RCPT command")),
            Some(transaction) if transaction.recipients == 0 => {
                Err(refuse(554, (5, 5, 1), "Error: no valid recipients"))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn begin_data(&mut self, reply: Reply) {
        let decoder = Decoder::dots(self.peer.smtpd_forbid_bare_newline);
        self.body = Some(Body::new(decoder, self.config.message_size_limit));
        self.stage = DATA_CONTENT;
        self.state = State::Data;
        self.say(reply);
    }

    pub(super) fn read_data<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        let body = self.body.as_mut()?;
        let was_too_big = body.is_too_big();
        let step = body.next(input);
        if body.is_too_big() && !was_too_big {
            self.notices.push_back(Notice::MessageTooBig);
        }
        match step {
            Step::Content(piece) => Some(Event::Body(piece)),
            Step::Starved => Some(Event::Input).filter(|_| self.notices.is_empty()),
            Step::End => {
                self.end_content();
                None
            }
        }
    }

    /// The content is whole: it is good, or the client is told otherwise.
    fn end_content(&mut self) {
        self.stage = END_OF_MESSAGE;
        match self.content_fault() {
            Some(fault) => self.refuse_content(fault),
            None => self.ask(Question::BodyEnd, Event::BodyEnd),
        }
    }

    fn content_fault(&mut self) -> Option<BodyFault> {
        let body = self.body.as_ref()?;
        let mode = self.peer.smtpd_forbid_bare_newline;
        self.statistics.has_bare_newline |= mode == ForbidBareNewline::Note && body.saw_bare_newline();
        body.fault(mode)
    }

    fn refuse_content(&mut self, fault: BodyFault) {
        match fault {
            BodyFault::TooBig => {
                self.say(Reply::new(552, DsnStatus::new(5, 3, 4), "Error: message file too big"));
            }
            BodyFault::BareNewline => {
                self.notices.push_back(Notice::BareNewlineRefused { stage: self.stage });
                let code = self.config.smtpd_forbid_bare_newline_reject_code;
                self.say_plainly(code, DsnStatus::new(5, 5, 2), "Error: bare <LF> received");
            }
        }
        self.end_transaction();
        self.state = State::Command;
        self.failed_body = Some(fault);
        self.finish(false);
    }
}

/// BDAT (RFC 3030 2). Octets of a refused chunk are read and thrown away, and so are all chunks up to the last, unless
/// RSET comes.
impl Session {
    pub(super) fn bdat_command(&mut self, words: &[Token<'_>], line: &[u8]) -> Result<Next, Refusal> {
        if self.discards(Keywords::CHUNKING) {
            return Err(refuse(521, (5, 5, 1), "Error: command not implemented"));
        }
        // What follows is content, which must not be taken for commands: both replies end the session.
        let Some(chunk) = parse_chunk(words) else {
            let notice = Notice::MalformedBdat { command: notice::shown(line) };
            return Err(refuse(521, (5, 5, 4), "Syntax: BDAT count [LAST]").with(notice));
        };
        Ok(self.bdat_chunk(chunk).unwrap_or_else(|Refusal { reply, notice }| {
            self.notices.extend(notice);
            self.skip(chunk, reply);
            Next::Later
        }))
    }

    fn bdat_chunk(&mut self, chunk: Chunk) -> Result<Next, Refusal> {
        if chunk.size == 0 && !chunk.is_last {
            return Err(refuse(551, (5, 7, 1), "Null BDAT request").with(Notice::NullBdat));
        }
        match self.chunks {
            Chunks::Failed => {
                let text = format!("Discarded {} bytes after earlier error", chunk.size);
                Err(refuse(551, (5, 0, 0), text))
            }
            Chunks::Open => {
                self.begin_chunk(chunk);
                Ok(Next::Later)
            }
            Chunks::None => {
                self.check_recipients()?;
                Ok(Next::Ask(Question::FirstChunk(chunk), Event::Data))
            }
        }
    }

    pub(super) fn begin_chunks(&mut self, chunk: Chunk) {
        let decoder = Decoder::chunks(self.peer.smtpd_forbid_bare_newline);
        self.body = Some(Body::new(decoder, self.config.message_size_limit));
        self.begin_chunk(chunk);
    }

    fn begin_chunk(&mut self, chunk: Chunk) {
        if self.body.as_ref().is_some_and(|body| !body.fits(chunk.size)) {
            self.notices.push_back(Notice::ChunkTooBig);
            return self
                .skip(chunk, Reply::new(552, DsnStatus::new(5, 3, 4), "Chunk exceeds message size limit"));
        }
        self.chunks = Chunks::Open;
        self.stage = BDAT_CONTENT;
        self.state = State::Chunk(chunk);
    }

    pub(super) fn read_chunk<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        let (State::Chunk(chunk), Some(body)) = (&mut self.state, &mut self.body) else { return None };
        let was_too_big = body.is_too_big();
        let available = chunk.remaining.min(input.len() as u64) as usize;
        let mut piece = &input[..available];
        let step = body.next(&mut piece);
        let taken = available - piece.len();
        *input = &input[taken..];
        chunk.remaining -= taken as u64;
        let chunk = *chunk;
        let step = match step {
            Step::Starved if chunk.remaining == 0 && chunk.is_last => {
                body.finish().map_or(Step::End, Step::Content)
            }
            Step::Starved if chunk.remaining == 0 => Step::End,
            step => step,
        };
        if body.is_too_big() && !was_too_big {
            self.notices.push_back(Notice::MessageTooBig);
        }
        match step {
            Step::Content(piece) => Some(Event::Body(piece)),
            Step::Starved => Some(Event::Input).filter(|_| self.notices.is_empty()),
            Step::End => {
                self.end_chunk(chunk);
                None
            }
        }
    }

    fn end_chunk(&mut self, chunk: Chunk) {
        if chunk.is_last {
            return self.end_content();
        }
        if let Some(fault) = self.content_fault() {
            self.refuse_content(fault);
            self.chunks = Chunks::Failed;
            return;
        }
        self.state = State::Command;
        self.say(Reply::new(250, DsnStatus::new(2, 0, 0), format!("Ok: {} bytes", chunk.size)));
        self.finish(true);
    }

    pub(super) fn skip(&mut self, chunk: Chunk, reply: Reply) {
        self.state = State::Skip(chunk, reply);
    }

    pub(super) fn skip_chunk<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        let State::Skip(chunk, _) = &mut self.state else { return None };
        let taken = chunk.remaining.min(input.len() as u64);
        *input = &input[taken as usize..];
        chunk.remaining -= taken;
        if chunk.remaining > 0 {
            return Some(Event::Input);
        }
        let State::Skip(chunk, reply) = std::mem::replace(&mut self.state, State::Command) else {
            return None;
        };
        self.say(reply);
        if chunk.is_last {
            self.drop_transaction();
        } else {
            self.chunks = Chunks::Failed;
        }
        self.finish(false);
        None
    }
}

/// `BDAT count [LAST]`. Postfix: counts end at 2^63 - 1.
fn parse_chunk(words: &[Token<'_>]) -> Option<Chunk> {
    let (count, is_last) = match words {
        [_, count] => (count, false),
        [_, count, last] if last.is("LAST") => (count, true),
        _ => return None,
    };
    let size = parameters::number(count.text)?;
    Some(Chunk { size, remaining: size, is_last })
}
