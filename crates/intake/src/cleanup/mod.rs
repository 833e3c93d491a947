//! cleanup(8): what a message goes through between its source and the spool.
//!
//! Content comes in pieces and goes out in pieces: a Received: header is put before it, headers are completed, dropped
//! and rewritten, and the body passes as it is. Then the envelope is rewritten and expanded. Where the content comes
//! from and where it goes is the driver's business (smtpd, pickup, the makers of notices), and so is the log: what is to
//! be logged comes out as [`Note`]s.
//!
//! The order of Postfix: a header is looked at as it came ([`checks`]), then rewritten ([`fields`]). Where nothing is
//! asked about them, lines of the body are not even told apart.

mod addresses;
mod body;
mod checks;
mod fields;
mod front;
mod note;
mod received;
mod settings;
mod trouble;

#[cfg(test)]
mod tests;

pub use note::Note;
pub(crate) use received::received_lines;
pub use received::{Received, Shown};
pub use settings::{FromFormat, Settings};
pub use trouble::Trouble;

use body::{Body, Lines};
use checks::Verdicts;
use fields::Fields;
use front::Front;
use mail::mime::{Event, Reader};

use mail::header::Field;
use mail::{Address, Encoding, Envelope, QueueId, Recipient, Time};
use route::Router;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

/// What every message is cleaned up by.
#[derive(Clone)]
pub struct Context {
    pub settings: Arc<Settings>,
    pub router: Router,
}

/// A message as it comes in.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub id: QueueId,
    /// When it got its queue id: in a Message-Id of ours.
    pub now: Time,
    /// Its time of arrival as headers write it, in local time.
    pub date: String,
    pub received: Received,
    /// Header lines that go before everything else (PREPEND in access tables), without line ends.
    pub prepend: Vec<Vec<u8>>,
    /// The sender's full name, for a From: of ours (sendmail's `-F`).
    pub full_name: Option<Vec<u8>>,
    /// Sender and recipients as given, internal but not yet in standard form; what else is known of them.
    pub envelope: Envelope,
    pub options: Options,
}

/// What is done to a message besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Canonical maps, masquerading, virtual aliases (not with `receive_override_options = no_address_mappings`).
    pub map_addresses: bool,
    /// Automatic BCC: for mail from outside, not with `no_address_mappings`.
    pub add_bcc: bool,
    /// A message that must not go on is returned to its sender, so all of it is kept: for mail that has no client to
    /// be refused to.
    pub bounces: bool,
    /// Tables are asked about headers and lines, and malformed MIME may be refused (not with `no_header_body_checks`).
    pub checks: bool,
    /// Non-ASCII headers and addresses ask for SMTPUTF8 (`smtputf8_autodetect_classes`).
    pub autodetect_smtputf8: bool,
}

impl Options {
    /// For mail that comes by SMTP.
    pub const SMTP: Options = Options {
        map_addresses: true,
        add_bcc: true,
        bounces: false,
        checks: true,
        autodetect_smtputf8: false,
    };
    /// For mail that comes through `sendmail`.
    pub const LOCAL: Options = Options { bounces: true, autodetect_smtputf8: true, ..Options::SMTP };
    /// For notices.
    pub const INTERNAL: Options = Options { add_bcc: false, checks: false, ..Options::SMTP };
    /// For mail that local delivery passes on.
    pub const FORWARDED: Options = Options { bounces: true, ..Options::INTERNAL };
}

/// Content on its way out: `made`, then `passed`.
#[derive(Debug, Default)]
pub struct Output<'a> {
    pub made: Vec<u8>,
    /// A part of what came in.
    pub passed: &'a [u8],
}

/// A message that has come to its end.
#[derive(Debug)]
pub struct Finished {
    /// The last of the content.
    pub made: Vec<u8>,
    /// Complete: rewritten, expanded, with size and encoding.
    pub envelope: Envelope,
    /// Recipients that asked for success reports and were expanded: what there is to report is that.
    pub expanded: Vec<Recipient>,
    /// The message is to vanish (DISCARD).
    pub discard: bool,
    /// The message is to wait for a human (HOLD).
    pub hold: bool,
    /// Why the message must not go on. With [`Options::bounces`] some of it may go back to the sender.
    pub trouble: Option<Trouble>,
    pub notes: Vec<Note>,
}

/// A message being cleaned up.
pub struct Cleanup {
    context: Context,
    message: Incoming,
    /// What goes before the content; taken with its first piece.
    trace: Vec<u8>,
    front: Front,
    reader: Reader,
    /// None: the header section is over.
    fields: Option<Fields>,
    /// The beginning of the body, if it was read with the header.
    early: Vec<u8>,
    body: Body,
    look: Look,
    facts: Facts,
    expanded: Vec<Recipient>,
}

/// What of the body is looked at.
#[derive(Debug)]
enum Look {
    Nothing,
    /// Headers of parts: they may tell that there are 8 bits (`detect_8bit_encoding_header`), or have them.
    PartHeaders,
    /// All of it; what goes out is counted here.
    Everything(Lines),
}

/// What is found out on the way.
#[derive(Debug, Default)]
struct Facts {
    notes: Vec<Note>,
    /// The worst so far.
    trouble: Option<Trouble>,
    /// Content-Transfer-Encoding: 8bit or binary.
    is_8bit: bool,
    /// A header has octets above 127.
    has_8bit_header: bool,
    sender_bcc: Option<Address>,
    /// The last that was given, rewritten.
    last_recipient: Option<Address>,
    verdicts: Verdicts,
}

impl Facts {
    fn fail(&mut self, trouble: Trouble) {
        if self.trouble.as_ref().is_none_or(|known| trouble < *known) {
            self.trouble = Some(trouble);
        }
    }

    fn note_part_field(&mut self, context: &Context, field: &Field) {
        self.is_8bit |= context.settings.detect_8bit_encoding_header && fields::says_8bit(field);
        self.has_8bit_header |= !field.text().is_ascii();
    }

    fn warn(&mut self, text: String) {
        self.notes.push(Note::Warning(text));
    }
}

impl Cleanup {
    /// Begins a message: its sender and recipients are rewritten, the recipients expanded.
    pub async fn begin(context: Context, mut message: Incoming) -> Cleanup {
        let settings = &context.settings;
        let mut facts = Facts::default();
        let trace = received_lines(settings, &message);
        addresses::rewrite_sender(&context.router, &mut message, &mut facts).await;
        let expanded = match facts.trouble {
            None => addresses::complete_recipients(&context, &mut message, &mut facts).await,
            Some(_) => Vec::new(),
        };
        Cleanup {
            trace,
            front: Front::new(&message.received),
            reader: reader(settings),
            fields: Some(Fields::default()),
            early: Vec::new(),
            body: Body::new(settings.line_length_limit, settings.cleanup_replace_stray_cr_lf),
            look: Look::Nothing,
            facts,
            expanded,
            context,
            message,
        }
    }

    /// Takes a piece of content: lines ended with CRLF, no dots stuffed, in any split.
    pub async fn write<'a>(&mut self, piece: &'a [u8]) -> Output<'a> {
        let mut output = Output::default();
        if self.is_hopeless() {
            return output;
        }
        let mut rest = piece;
        if self.fields.is_some() {
            self.write_header(&mut rest, &mut output.made).await;
        }
        if self.fields.is_none() {
            output.passed = self.write_body(rest, &mut output.made).await;
        }
        self.enforce_size_limit(&mut output);
        output
    }

    /// Ends the message: what is missing of its content is made.
    pub async fn finish(mut self) -> Finished {
        let mut output = Output::default();
        if !self.is_hopeless() {
            if self.fields.is_some() {
                self.finish_header(&mut output.made).await;
            }
            self.finish_body(&mut output.made).await;
            self.enforce_size_limit(&mut output);
        }
        checks::conclude(&mut self.facts);
        let copies = std::mem::take(&mut self.facts.verdicts.bcc);
        addresses::add_copies(&self.context, &mut self.message, &mut self.facts, copies).await;
        addresses::note_utf8_header(&self.context, &mut self.message, &self.facts);
        let size = self.size();
        let mut envelope = self.message.envelope;
        envelope.size = size;
        if self.facts.is_8bit {
            envelope.encoding = Encoding::EightBitMime;
        }
        let (Facts { trouble, notes, verdicts, .. }, expanded) = (self.facts, self.expanded);
        let Verdicts { discard, hold, filter, redirect, .. } = verdicts;
        envelope.content_filter = filter.or(envelope.content_filter);
        envelope.extra.extend(redirect.map(|to| ("redirect_to".to_owned(), to.into())));
        Finished { made: output.made, envelope, expanded, discard, hold, trouble, notes }
    }

    /// What is to be logged so far. The rest comes with [`Finished`].
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.facts.notes)
    }

    /// The message must not go on: what else is written comes to nothing.
    pub fn is_hopeless(&self) -> bool {
        let bounces = self.message.options.bounces;
        let is_lost = self.facts.trouble.as_ref().is_some_and(|trouble| !bounces || trouble.is_incomplete());
        is_lost || self.facts.verdicts.discard
    }

    /// Reads header fields off the input until they end.
    async fn write_header(&mut self, input: &mut &[u8], made: &mut Vec<u8>) {
        let mut first = std::mem::take(&mut self.trace);
        self.front.read(input, &mut first);
        self.scan_made(&first, made).await;
        self.scan(input, made).await;
        self.end_piece_of_header(made).await;
    }

    async fn finish_header(&mut self, made: &mut Vec<u8>) {
        let mut first = std::mem::take(&mut self.trace);
        self.front.finish(&mut first);
        self.scan_made(&first, made).await;
        while self.fields.is_some()
            && let Some(event) = self.reader.finish()
        {
            self.take_event(event, made).await;
        }
        self.end_piece_of_header(made).await;
    }

    async fn scan_made(&mut self, mut first: &[u8], made: &mut Vec<u8>) {
        self.scan(&mut first, made).await;
        self.early.extend_from_slice(first);
    }

    async fn scan(&mut self, input: &mut &[u8], made: &mut Vec<u8>) {
        while self.fields.is_some()
            && let Some(event) = self.reader.next(input)
        {
            self.take_event(event, made).await;
        }
    }

    async fn take_event(&mut self, event: Event<'_>, made: &mut Vec<u8>) {
        if self.is_hopeless() {
            return;
        }
        let Cleanup { context, message, fields, facts, reader, .. } = self;
        checks::judge(context, message, facts, reader, &event);
        match (event, fields) {
            (Event::Field(field), Some(fields)) => fields.take(context, message, field, facts, made).await,
            (Event::HeaderEnd, Some(fields)) => {
                fields.complete(context, message, facts, made);
                self.begin_body(made);
            }
            (Event::Field(field), None) => self.take_part_field(field, made).await,
            (Event::HeaderEnd, None) => {}
            (Event::Line(line), _) => checks::check_line(context, message, facts, &line, made).await,
        }
    }

    /// Decides what of the body is looked at.
    fn begin_body(&mut self, made: &mut Vec<u8>) {
        self.fields = None;
        let settings = &self.context.settings;
        let has_lines_to_check = !settings.checks.body_checks.is_empty() || settings.strictness.is_any();
        let is_plain = self.reader.is_plain();
        self.look =
            if checks::looks_into_bodies(&self.context, &self.message) && (has_lines_to_check || !is_plain) {
                Look::Everything(self.body.counted())
            } else if !is_plain {
                Look::PartHeaders
            } else {
                Look::Nothing
            };
        let Some(early) = self.reader.take_ahead() else { return };
        self.early = early;
        // Otherwise the reader gives it out.
        if !matches!(self.look, Look::Everything(_)) {
            made.extend_from_slice(b"\r\n");
        }
    }

    async fn take_part_field(&mut self, field: Field, made: &mut Vec<u8>) {
        let Cleanup { context, message, facts, reader, .. } = self;
        let Some(field) = checks::check_header(context, message, facts, reader.class(), field, made).await
        else {
            return;
        };
        facts.note_part_field(context, &field);
        field.write_to(made, context.settings.header_size_limit);
    }

    async fn end_piece_of_header(&mut self, made: &mut Vec<u8>) {
        match &mut self.look {
            Look::Everything(lines) => lines.count(made),
            _ => self.body.count(made),
        }
        let early = std::mem::take(&mut self.early);
        if self.fields.is_none() {
            let passed = self.write_body(&early, made).await;
            made.extend_from_slice(passed);
        }
    }

    /// Passes a piece of the body on.
    async fn write_body<'a>(&mut self, piece: &'a [u8], made: &mut Vec<u8>) -> &'a [u8] {
        match self.look {
            Look::Nothing => {}
            Look::PartHeaders => self.watch_part_headers(piece),
            Look::Everything(_) => {
                let mut clean = Vec::new();
                let passed = self.body.pass(piece, &mut clean);
                self.look_at(&clean, made).await;
                self.look_at(passed, made).await;
                return &[];
            }
        }
        self.body.pass(piece, made)
    }

    async fn finish_body(&mut self, made: &mut Vec<u8>) {
        if !matches!(self.look, Look::Everything(_)) {
            return self.body.finish(made);
        }
        let mut end = Vec::new();
        self.body.finish(&mut end);
        self.look_at(&end, made).await;
        let start = made.len();
        while let Some(event) = self.reader.finish() {
            self.take_event(event, made).await;
        }
        self.count_made(&made[start..]);
    }

    /// Looks at all of a piece; what becomes of it goes behind `made`.
    async fn look_at(&mut self, mut piece: &[u8], made: &mut Vec<u8>) {
        let start = made.len();
        while let Some(event) = self.reader.next(&mut piece) {
            self.take_event(event, made).await;
        }
        self.count_made(&made[start..]);
    }

    fn count_made(&mut self, made: &[u8]) {
        if let Look::Everything(lines) = &mut self.look {
            lines.count(made);
        }
    }

    fn watch_part_headers(&mut self, mut piece: &[u8]) {
        while let Some(event) = self.reader.next(&mut piece) {
            if let Event::Field(field) = &event {
                self.facts.note_part_field(&self.context, field);
            }
        }
    }

    /// Octets that went out, as Postfix counts them.
    fn size(&self) -> u64 {
        match &self.look {
            Look::Everything(lines) => lines.size(),
            _ => self.body.size(),
        }
    }

    /// `message_size_limit`: nothing goes out beyond it.
    fn enforce_size_limit(&mut self, output: &mut Output<'_>) {
        let limit = self.context.settings.message_size_limit;
        if limit > 0 && self.size() > limit && !self.is_hopeless() {
            self.facts.warn("queue file size limit exceeded".to_string());
            self.facts.fail(Trouble::TooBig);
        }
        if self.is_hopeless() {
            *output = Output::default();
        }
    }
}

fn reader(settings: &Settings) -> Reader {
    let reader = Reader::new(settings.limits()).replace_stray_cr_lf(settings.cleanup_replace_stray_cr_lf);
    if settings.disable_mime_input_processing { reader.without_mime() } else { reader }
}

/// Takes `data` as a message of a local client, whole and byte by byte; the same must come out, in whole lines.
#[doc(hidden)]
pub fn fuzz_cleanup(data: &[u8]) {
    let whole = fuzz_clean(data, data.len().max(1));
    assert_eq!(whole, fuzz_clean(data, 1));
    assert!(whole.0.is_empty() || whole.0.ends_with(b"\r\n"));
    assert!(whole.0.windows(2).all(|pair| (pair[0] == b'\r') == (pair[1] == b'\n')), "a stray line end");
}

/// What becomes of a message that comes in pieces of `size`.
fn fuzz_clean(data: &[u8], size: usize) -> (Vec<u8>, Envelope) {
    let settings = Arc::new(Settings::new("mail.example.com", "Oxipost"));
    let route = Arc::new(route::Settings::new("mail.example.com"));
    let context = Context { settings, router: Router::new(route, Arc::new(|_: &str| {})) };
    let recipient = Recipient { address: Address::from("bob"), ..Recipient::default() };
    let envelope = Envelope { recipients: vec![recipient], rewrite_local: true, ..Envelope::default() };
    let message = Incoming {
        id: QueueId::short(Time::from_secs(0), 1),
        now: Time::from_secs(0),
        date: Time::from_secs(0).rfc5322(0, "UTC"),
        received: Received::Smtp(Shown::default()),
        prepend: Vec::new(),
        full_name: None,
        envelope,
        options: Options::SMTP,
    };
    let clean = async {
        let mut cleanup = Cleanup::begin(context, message).await;
        let mut out = Vec::new();
        for piece in data.chunks(size) {
            let Output { made, passed } = cleanup.write(piece).await;
            out.extend(made);
            out.extend_from_slice(passed);
        }
        let Finished { made, envelope, .. } = cleanup.finish().await;
        out.extend(made);
        (out, envelope)
    };
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(clean).poll(&mut task) {
        Poll::Ready(cleaned) => cleaned,
        Poll::Pending => panic!("there are no tables to wait for"),
    }
}
