//! cleanup(8): what a message goes through between its source and the spool.
//!
//! Content comes in pieces and goes out in pieces: a Received: header is put before it, headers are completed, dropped
//! and rewritten, and the body passes as it is. Then the envelope is rewritten and expanded. Where the content comes
//! from and where it goes is the driver's business (smtpd, pickup, the makers of notices), and so is the log: what is to
//! be logged comes out as [`Note`]s.
//!
//! The order of Postfix: a header is looked at as it came, then rewritten. header_checks belong before the rewriting, in
//! [`fields`]; body_checks in [`body`].

mod addresses;
mod body;
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

use body::Body;
use fields::Fields;
use front::Front;
use mail::header::{End, Event, Scanner};
use mail::mime::Parts;
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
    /// Non-ASCII headers and addresses ask for SMTPUTF8 (`smtputf8_autodetect_classes`).
    pub autodetect_smtputf8: bool,
}

impl Options {
    /// For mail that comes by SMTP.
    pub const SMTP: Options =
        Options { map_addresses: true, add_bcc: true, bounces: false, autodetect_smtputf8: false };
    /// For mail that comes through `sendmail`.
    pub const LOCAL: Options =
        Options { map_addresses: true, add_bcc: true, bounces: true, autodetect_smtputf8: true };
    /// For notices.
    pub const INTERNAL: Options =
        Options { map_addresses: true, add_bcc: false, bounces: false, autodetect_smtputf8: false };
    /// For mail that local delivery passes on.
    pub const FORWARDED: Options =
        Options { map_addresses: true, add_bcc: false, bounces: true, autodetect_smtputf8: false };
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
    scanner: Scanner,
    /// None: the header section is over.
    fields: Option<Fields>,
    /// The beginning of the body, if it was read with the header.
    early: Vec<u8>,
    body: Body,
    /// The parts of the body, while they may still tell something (`detect_8bit_encoding_header`).
    parts: Option<Parts>,
    facts: Facts,
    expanded: Vec<Recipient>,
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
}

impl Facts {
    fn fail(&mut self, trouble: Trouble) {
        if self.trouble.is_none_or(|known| trouble < known) {
            self.trouble = Some(trouble);
        }
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
            scanner: Scanner::new(settings.header_size_limit)
                .replace_stray_cr_lf(settings.cleanup_replace_stray_cr_lf),
            fields: Some(Fields::default()),
            early: Vec::new(),
            body: Body::new(settings.line_length_limit, settings.cleanup_replace_stray_cr_lf),
            parts: None,
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
            self.watch_parts(rest);
            output.passed = self.body.pass(rest, &mut output.made);
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
            self.body.finish(&mut output.made);
            self.enforce_size_limit(&mut output);
        }
        addresses::note_utf8_header(&self.context, &mut self.message, &self.facts);
        let mut envelope = self.message.envelope;
        envelope.size = self.body.size();
        if self.facts.is_8bit {
            envelope.encoding = Encoding::EightBitMime;
        }
        let (Facts { trouble, notes, .. }, expanded) = (self.facts, self.expanded);
        Finished { made: output.made, envelope, expanded, trouble, notes }
    }

    /// What is to be logged so far. The rest comes with [`Finished`].
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.facts.notes)
    }

    /// The message must not go on: what else is written comes to nothing.
    pub fn is_hopeless(&self) -> bool {
        let bounces = self.message.options.bounces;
        self.facts.trouble.is_some_and(|trouble| !bounces || trouble.is_incomplete())
    }

    /// Reads header fields off the input until they end.
    async fn write_header(&mut self, input: &mut &[u8], made: &mut Vec<u8>) {
        let mut first = std::mem::take(&mut self.trace);
        self.front.read(input, &mut first);
        self.scan_made(&first, made).await;
        self.scan(input, made).await;
        self.end_piece_of_header(made);
    }

    async fn finish_header(&mut self, made: &mut Vec<u8>) {
        let mut first = std::mem::take(&mut self.trace);
        self.front.finish(&mut first);
        self.scan_made(&first, made).await;
        while let Some(event) = self.scanner.finish() {
            self.take_event(event, made).await;
        }
        self.end_piece_of_header(made);
    }

    async fn scan_made(&mut self, mut first: &[u8], made: &mut Vec<u8>) {
        self.scan(&mut first, made).await;
        self.early.extend_from_slice(first);
    }

    async fn scan(&mut self, input: &mut &[u8], made: &mut Vec<u8>) {
        while let Some(event) = self.scanner.next(input) {
            self.take_event(event, made).await;
        }
    }

    async fn take_event(&mut self, event: Event, made: &mut Vec<u8>) {
        if self.is_hopeless() {
            return;
        }
        let Cleanup { context, message, fields, facts, .. } = self;
        let Some(fields) = fields else { return };
        match event {
            Event::Field(field) => fields.take(context, message, field, facts, made).await,
            Event::End(end) => {
                fields.complete(context, message, facts, made);
                self.parts = fields.parts(context, facts);
                self.fields = None;
                if end != End::Message {
                    made.extend_from_slice(b"\r\n");
                }
                if let End::NoHeader { read } = end {
                    self.early = read;
                }
            }
        }
    }

    fn end_piece_of_header(&mut self, made: &mut Vec<u8>) {
        self.body.count(made);
        let early = std::mem::take(&mut self.early);
        self.watch_parts(&early);
        let passed = self.body.pass(&early, made);
        made.extend_from_slice(passed);
    }

    /// Looks at the headers of the body's parts until one says that there are 8 bits.
    fn watch_parts(&mut self, mut piece: &[u8]) {
        while let Some(parts) = &mut self.parts
            && let Some(field) = parts.next(&mut piece)
        {
            if fields::says_8bit(&field) {
                self.facts.is_8bit = true;
                self.parts = None;
            }
        }
    }

    /// `message_size_limit`: nothing goes out beyond it.
    fn enforce_size_limit(&mut self, output: &mut Output<'_>) {
        let limit = self.context.settings.message_size_limit;
        if limit > 0 && self.body.size() > limit && !self.is_hopeless() {
            self.facts.warn("queue file size limit exceeded".to_string());
            self.facts.fail(Trouble::TooBig);
        }
        if self.is_hopeless() {
            *output = Output::default();
        }
    }
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
