//! The header of a message: fields dropped and rewritten as they come, those that are missing added at its end.
//!
//! RFC 5322 3.6 is completed only for those whose headers are rewritten: local clients, or all if
//! `always_add_missing_headers`. A message of others stays as it was signed.

use super::{Context, Facts, FromFormat, Incoming, Note, Trouble, checks};
use mail::header::addresses::{Spaces, Token, print_external, scan};
use mail::header::{AddressList, Field, Name, is_header, quote};
use mail::mime::Class;

/// What the header has had so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// A bit for each [`Name`].
    seen: u64,
    is_resent: bool,
    hops: usize,
}

impl Fields {
    /// Takes a field; `out` gets what becomes of it.
    pub(super) async fn take(
        &mut self,
        context: &Context,
        message: &Incoming,
        field: Field,
        facts: &mut Facts,
        out: &mut Vec<u8>,
    ) {
        let settings = &*context.settings;
        self.hops += usize::from(field.known() == Some(Name::Received));
        let checked = checks::check_header(context, message, facts, Class::Primary, field, out).await;
        let Some(mut field) = checked else { return };
        let name = field.known();
        if let Some(name) = name {
            self.note(name, &field, context, facts);
        }
        if facts.trouble == Some(Trouble::TooManyHops) && !message.options.bounces {
            return;
        }
        let is_mime = name.is_some_and(Name::is_mime);
        if let Some(name) = name.filter(|_| !is_mime)
            && let Some(rewriting) = rewriting_context(context, message)
        {
            self.rewrite(context, message, &mut field, name, rewriting, facts).await;
        }
        // Postfix: headers that describe content cannot be dropped.
        let is_dropped =
            settings.message_drop_headers.iter().any(|d| field.name().eq_ignore_ascii_case(d.as_bytes()));
        if is_mime || !is_dropped {
            facts.has_8bit_header |= !field.text().is_ascii();
            field.write_to(out, settings.header_size_limit);
        }
    }

    /// Adds what is missing.
    pub(super) fn complete(
        &self,
        context: &Context,
        message: &Incoming,
        facts: &mut Facts,
        out: &mut Vec<u8>,
    ) {
        let settings = &*context.settings;
        let completes = settings.always_add_missing_headers || rewriting_context(context, message).is_some();
        let resent = if self.is_resent { "Resent-" } else { "" };
        let lacks = |plain, resent| completes && !self.has(if self.is_resent { resent } else { plain });
        let mut add = |name: &str, value: &[u8]| {
            let name = format!("{resent}{name}");
            let field = Field::new(name.as_bytes(), value);
            facts.has_8bit_header |= !value.is_ascii();
            field.write_to(out, usize::MAX);
        };
        let mut has_message_id = self.has(Name::MessageId);
        let mut notes = Vec::new();
        if lacks(Name::MessageId, Name::ResentMessageId) {
            let value = message_id(context, message);
            add("Message-Id", value.as_bytes());
            notes.push(Note::MessageId { resent: self.is_resent, value: value.into_bytes() });
            has_message_id |= !self.is_resent;
        }
        if !has_message_id {
            notes.push(Note::MessageId { resent: false, value: b"<>".to_vec() });
        }
        if lacks(Name::Date, Name::ResentDate) {
            add("Date", message.date.as_bytes());
        }
        if lacks(Name::From, Name::ResentFrom) {
            add("From", &from(context, message));
        }
        let visible = [Name::To, Name::ResentTo, Name::Cc, Name::ResentCc];
        if completes && !visible.iter().any(|name| self.has(*name)) {
            add_undisclosed(&settings.undisclosed_recipients_header, facts, out);
        }
        facts.notes.append(&mut notes);
    }

    fn note(&mut self, name: Name, field: &Field, context: &Context, facts: &mut Facts) {
        self.seen |= 1 << name as u32;
        self.is_resent |= name.is_resent();
        let log_id = |resent| Note::MessageId { resent, value: field.value().to_vec() };
        match name {
            Name::MessageId => facts.notes.push(log_id(false)),
            Name::ResentMessageId => facts.notes.push(log_id(true)),
            Name::Received if self.hops >= context.settings.hopcount_limit => {
                facts.warn("message rejected: hopcount exceeded".to_string());
                facts.fail(Trouble::TooManyHops);
            }
            Name::ContentTransferEncoding => {
                facts.is_8bit |= context.settings.detect_8bit_encoding_header && says_8bit(field);
            }
            _ => {}
        }
    }

    async fn rewrite(
        &self,
        context: &Context,
        message: &Incoming,
        field: &mut Field,
        name: Name,
        rewriting: route::Context,
        facts: &mut Facts,
    ) {
        let mut problems = Vec::new();
        let maps = message.options.map_addresses;
        let rewritten =
            context.router.rewrite_header(field, name.role(), rewriting, maps, &mut problems).await;
        problems.iter().for_each(|problem| facts.warn(problem.to_string()));
        if let Err(failed) = rewritten {
            facts.warn(failed.to_string());
            facts.fail(Trouble::Lookup);
        }
    }

    fn has(&self, name: Name) -> bool {
        self.seen & 1 << name as u32 != 0
    }
}

/// Whether this is a Content-Transfer-Encoding: of 8 bits (RFC 2045 6.1).
pub(super) fn says_8bit(field: &Field) -> bool {
    let is = |encoding: &[u8]| field.value().eq_ignore_ascii_case(encoding);
    field.known() == Some(Name::ContentTransferEncoding) && (is(b"8bit") || is(b"binary"))
}

/// Whose names complete addresses in this message's headers; None: nobody's, they stay as they are.
fn rewriting_context(context: &Context, message: &Incoming) -> Option<route::Context> {
    if message.envelope.rewrite_local {
        return Some(route::Context::Local);
    }
    let domain = &context.router.settings.remote_header_rewrite_domain;
    (!domain.is_empty()).then_some(route::Context::Remote)
}

fn message_id(context: &Context, message: &Incoming) -> String {
    let (id, host) = (message.id, &context.settings.myhostname);
    if context.settings.enable_long_queue_ids {
        return format!("<{id}@{host}>");
    }
    let at = message.now.civil(0);
    format!(
        "<{:04}{:02}{:02}{:02}{:02}{:02}.{id}@{host}>",
        at.year, at.month, at.day, at.hour, at.minute, at.second
    )
}

/// The value of a From: for the envelope's sender.
fn from(context: &Context, message: &Incoming) -> Vec<u8> {
    let sender = &message.envelope.sender;
    let address = if sender.is_null() { b"MAILER-DAEMON".to_vec() } else { quote(sender.as_bytes()) };
    let full_name = message.full_name.as_deref().filter(|name| !name.is_empty() && !sender.is_null());
    let Some(full_name) = full_name else { return address };
    let full_name: Vec<u8> =
        full_name.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }).collect();
    match context.settings.header_from_format {
        FromFormat::Standard => [&display_name(&full_name), &b"<"[..], &address, b">"].concat(),
        FromFormat::Obsolete => {
            let comment = AddressList::parse(&[b"(", &full_name[..], b")"].concat(), usize::MAX);
            [&address, &b" "[..], &comment.print()].concat()
        }
    }
}

/// A full name as a phrase, with a blank behind it; quoted if it has characters that mean something.
fn display_name(full_name: &[u8]) -> Vec<u8> {
    let has_specials = full_name.iter().any(|b| b"%!()<>@,;:\\\".[]".contains(b));
    let words =
        if has_specials { vec![Token::Quoted(full_name.to_vec())] } else { scan(full_name, usize::MAX) };
    let mut phrase = print_external(&words, Spaces::BetweenWords);
    if !phrase.is_empty() {
        phrase.push(b' ');
    }
    phrase
}

/// `undisclosed_recipients_header`
fn add_undisclosed(header: &str, facts: &mut Facts, out: &mut Vec<u8>) {
    if header.is_empty() {
        return;
    }
    if !is_header(header.as_bytes()) {
        let why = "need \"headername: headervalue\"";
        let text = format!("bad undisclosed_recipients_header header text \"{header}\" -- {why}");
        facts.notes.push(Note::Misconfigured(text));
        return;
    }
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(b"\r\n");
}
