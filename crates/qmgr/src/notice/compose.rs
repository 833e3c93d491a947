//! A report's octets: multipart/report with text, message/delivery-status and the original (RFC 3464), as Postfix writes it.

use super::wrap::push_wrapped;
use super::{Entry, Notices};
use crate::agent::Success;
use mail::{Address, Fate, Time, xtext};
use maillog::printable;
use params::bounce_template::{Template, Values};
use spool::Stored;
use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

/// What a report is made of.
pub(super) struct Report<'a> {
    pub(super) notices: &'a Notices,
    pub(super) stored: &'a Stored,
    pub(super) kind: Kind,
    pub(super) entries: Vec<&'a Entry>,
    /// For `To:`.
    pub(super) recipient: &'a Address,
    /// The short form without boilerplate.
    pub(super) is_postmaster_copy: bool,
    pub(super) wants_headers_only: bool,
    pub(super) now: Time,
}

/// Which template, and what `Action:` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Failure,
    Delay,
    Success,
    /// What `sendmail -v` asked for.
    Trace,
    /// What `sendmail -bv` asked for.
    ProbeTrace,
}

impl Kind {
    /// The recipients may well have got it.
    fn is_report_of_delivery(self) -> bool {
        matches!(self, Kind::Success | Kind::Trace | Kind::ProbeTrace)
    }
}

/// A report, and what its template's expansion warns about.
pub(super) struct Composed {
    pub(super) content: Vec<u8>,
    pub(super) warnings: Vec<String>,
}

impl Report<'_> {
    /// May read the original from the disk.
    pub(super) fn compose(&self) -> io::Result<Composed> {
        let mut out = Vec::with_capacity(4096);
        let header = OriginalHeader::read(self.stored)?;
        let boundary = format!("{}.{}/{}", self.stored.id, self.now.secs().max(0), self.notices.myhostname);
        self.push_header(&mut out, &boundary, &header);
        let warnings = self.push_notification(&mut out, &boundary);
        self.push_delivery_status(&mut out, &boundary);
        self.push_original(&mut out, &boundary, &header)?;
        push(&mut out, format_args!("\r\n--{boundary}--"));
        Ok(Composed { content: out, warnings })
    }

    fn template(&self) -> &Template {
        match self.kind {
            Kind::Failure => &self.notices.templates.failure,
            Kind::Delay => &self.notices.templates.delay,
            Kind::Success => &self.notices.templates.success,
            Kind::Trace | Kind::ProbeTrace => &self.notices.templates.verify,
        }
    }

    /// `8bit` or `7bit`: the parts' encoding. Addresses and host names may be UTF-8 whatever the original was.
    fn encoding(&self) -> &'static str {
        let is_8bit = self.stored.envelope.encoding == mail::Encoding::EightBitMime;
        if self.notices.smtputf8_enable || is_8bit { "8bit" } else { "7bit" }
    }

    fn push_header(&self, out: &mut Vec<u8>, boundary: &str, original: &OriginalHeader) {
        let template = self.template();
        let from = match (&template.from, self.notices.is_header_from_obsolete) {
            (Some(from), _) => from,
            (None, false) => "Mail Delivery System <MAILER-DAEMON>",
            (None, true) => "MAILER-DAEMON (Mail Delivery System)",
        };
        let copy_subject = template.postmaster_subject.as_ref().filter(|_| self.is_postmaster_copy);
        push(out, format_args!("From: {from}"));
        push(out, format_args!("Subject: {}", copy_subject.unwrap_or(&template.subject)));
        push(out, format_args!("To: {}", self.recipient));
        if let Some(id) = original.message_id.as_ref().filter(|_| self.notices.enable_threaded_bounces) {
            push(out, format_args!("References: {id}"));
            push(out, format_args!("In-Reply-To: {id}"));
        }
        // RFC 3834 5.1.
        let submitted = if self.is_postmaster_copy { "auto-generated" } else { "auto-replied" };
        push(out, format_args!("Auto-Submitted: {submitted}"));
        push(out, format_args!("MIME-Version: 1.0"));
        push(out, format_args!("Content-Type: multipart/report; report-type=delivery-status;"));
        push(out, format_args!("\tboundary=\"{boundary}\""));
        let encoding = if template.is_8bit { "8bit" } else { self.encoding() };
        push(out, format_args!("Content-Transfer-Encoding: {encoding}"));
        push(out, format_args!("\r\nThis is a MIME-encapsulated message."));
    }

    /// The part for people.
    fn push_notification(&self, out: &mut Vec<u8>, boundary: &str) -> Vec<String> {
        let template = self.template();
        let charset = match template.charset.as_str() {
            charset if !charset.eq_ignore_ascii_case("us-ascii") => charset,
            _ if self.encoding() == "8bit" => "utf-8",
            _ => "us-ascii",
        };
        push(out, format_args!("\r\n--{boundary}"));
        push(out, format_args!("Content-Description: Notification"));
        push(out, format_args!("Content-Type: text/plain; charset={charset}"));
        self.push_part_encoding(out);
        push(out, format_args!(""));
        let warnings = if self.is_postmaster_copy { Vec::new() } else { self.push_boilerplate(out) };
        for entry in &self.entries {
            push(out, format_args!(""));
            let expanded = match self.original_of(entry) {
                Some(original) => format!(" (expanded from <{original}>)"),
                None => String::new(),
            };
            let text = format!("<{}>{expanded}: {}", entry.address, self.reason(entry));
            push_wrapped(out, printable(text.as_bytes()).as_bytes());
        }
        warnings
    }

    fn push_boilerplate(&self, out: &mut Vec<u8>) -> Vec<String> {
        let values = Values {
            delay_warning_time: self.notices.delay_warning_time,
            maximal_queue_lifetime: self.notices.maximal_queue_lifetime,
            parameter: &|name| (self.notices.parameter)(name),
        };
        // Templates were expanded once when they were read; a parameter may have gone since only by a mistake of ours.
        let (lines, warnings) = self.template().expand(&values).unwrap_or_default();
        for line in lines {
            out.extend_from_slice(&line);
            out.extend_from_slice(b"\r\n");
        }
        warnings
    }

    /// The part for programs (RFC 3464 2).
    fn push_delivery_status(&self, out: &mut Vec<u8>, boundary: &str) {
        let Notices { myhostname, mail_name, .. } = self.notices;
        let envelope = &self.stored.envelope;
        let name = atom(mail_name);
        push(out, format_args!("\r\n--{boundary}"));
        push(out, format_args!("Content-Description: Delivery report"));
        if envelope.smtputf8 {
            push(out, format_args!("Content-Type: message/global-delivery-status"));
            self.push_part_encoding(out);
        } else {
            push(out, format_args!("Content-Type: message/delivery-status"));
        }
        push(out, format_args!("\r\nReporting-MTA: dns; {myhostname}"));
        if let Some(envid) = envelope.envid.as_ref().filter(|envid| !envid.is_empty()) {
            push(out, format_args!("Original-Envelope-Id: {}", printable(&decoded(envid))));
        }
        push(out, format_args!("X-{name}-Queue-ID: {}", self.stored.id));
        let sender = self.sender();
        push(out, format_args!("X-{name}-Sender: {}; {sender}", self.address_type(&sender)));
        push(out, format_args!("Arrival-Date: {}", self.notices.date(envelope.arrival)));
        for entry in &self.entries {
            self.push_recipient_status(out, entry, &name);
        }
    }

    fn push_recipient_status(&self, out: &mut Vec<u8>, entry: &Entry, name: &str) {
        let outcome = &entry.outcome;
        push(
            out,
            format_args!("\r\nFinal-Recipient: {}; {}", self.address_type(&entry.address), entry.address),
        );
        if !entry.is_of_list {
            push(out, format_args!("Original-Recipient: {}", self.original_recipient(entry)));
        }
        push(out, format_args!("Action: {}", self.action(entry)));
        push(out, format_args!("Status: {}", outcome.status));
        if let Some(mta) = outcome.remote_mta.as_ref().filter(|mta| !mta.is_empty()) {
            push_wrapped(out, printable(format!("Remote-MTA: dns; {mta}").as_bytes()).as_bytes());
        }
        let diagnostic = match &outcome.diagnostic {
            Some(diagnostic) if !diagnostic.is_empty() => format!("Diagnostic-Code: {diagnostic}"),
            _ => format!("Diagnostic-Code: X-{name}; {}", self.reason(entry)),
        };
        push_wrapped(out, printable(diagnostic.as_bytes()).as_bytes());
        if self.kind == Kind::Delay {
            let until = self.stored.envelope.arrival + self.notices.maximal_queue_lifetime;
            push(out, format_args!("Will-Retry-Until: {}", self.notices.date(until)));
        }
    }

    /// What is said of the original: all of it, or its header if the sender or `bounce_size_limit` want it so.
    fn push_original(&self, out: &mut Vec<u8>, boundary: &str, header: &OriginalHeader) -> io::Result<()> {
        let limit = self.notices.bounce_size_limit;
        let content = &self.stored.content;
        // A part of a message would be a broken one: rather the header only.
        let is_header = self.wants_headers_only || limit > 0 && content.len() > limit;
        let undelivered = if self.kind.is_report_of_delivery() { "" } else { "Undelivered " };
        let (what, media_type) = match (is_header, self.stored.envelope.smtputf8) {
            (true, false) => ("Message Headers", "text/rfc822-headers"),
            (true, true) => ("Message Headers", "message/global-headers"),
            (false, false) => ("Message", "message/rfc822"),
            (false, true) => ("Message", "message/global"),
        };
        push(out, format_args!("\r\n--{boundary}"));
        push(out, format_args!("Content-Description: {undelivered}{what}"));
        push(out, format_args!("Content-Type: {media_type}"));
        self.push_part_encoding(out);
        push(out, format_args!("\r\nReturn-Path: <{}>", self.sender()));
        if is_header {
            out.extend_from_slice(&header.lines);
        } else {
            content.reader().read_to_end(out)?;
        }
        Ok(())
    }

    fn push_part_encoding(&self, out: &mut Vec<u8>) {
        if self.encoding() == "8bit" {
            push(out, format_args!("Content-Transfer-Encoding: 8bit"));
        }
    }

    /// The original's sender, as reports name the null one.
    fn sender(&self) -> Cow<'_, Address> {
        let sender = &self.stored.envelope.sender;
        if sender.is_null() {
            return Cow::Owned(Address::from_parts(b"MAILER-DAEMON", self.notices.myhostname.as_bytes()));
        }
        Cow::Borrowed(sender)
    }

    fn reason<'a>(&self, entry: &'a Entry) -> Cow<'a, str> {
        let reason = &entry.outcome.reason;
        if self.kind.is_report_of_delivery() && entry.relay != "none" {
            return Cow::Owned(format!("delivery via {}: {reason}", entry.relay));
        }
        Cow::Borrowed(reason)
    }

    fn action(&self, entry: &Entry) -> &'static str {
        match (self.kind, entry.outcome.fate) {
            (Kind::Failure, _) | (Kind::Trace, Fate::Bounced) => "failed",
            (Kind::Delay, _) | (Kind::Trace, Fate::Deferred) => "delayed",
            (Kind::ProbeTrace, Fate::Sent) => "deliverable",
            (Kind::ProbeTrace, _) => "undeliverable",
            (Kind::Success, _) | (Kind::Trace, Fate::Sent) => match entry.success {
                Success::Delivered => "delivered",
                Success::Expanded => "expanded",
                Success::Relayed | Success::Delegated => "relayed",
            },
        }
    }

    /// The recipient as it came, if it is not the one of the report.
    fn original_of(&self, entry: &Entry) -> Option<&Address> {
        if entry.is_of_list {
            return None;
        }
        let recipient = self.stored.envelope.recipients.get(entry.outcome.recipient as usize)?;
        let original = recipient.original.as_ref().unwrap_or(&recipient.address);
        (original.folded() != entry.address.folded() && !original.is_null()).then_some(original)
    }

    /// Postfix has this field even if the client said nothing (RFC 3464 2.3.1 would have it left out).
    fn original_recipient(&self, entry: &Entry) -> String {
        let recipient = self.stored.envelope.recipients.get(entry.outcome.recipient as usize);
        let orcpt = recipient.and_then(|r| r.orcpt.as_deref()).unwrap_or_default();
        if let Some(semicolon) = orcpt.iter().position(|b| *b == b';') {
            let (address_type, address) = orcpt.split_at(semicolon);
            return format!("{};{}", printable(address_type), printable(&decoded(&address[1..])));
        }
        let original =
            recipient.map_or(&entry.address, |r| r.original.as_ref().unwrap_or(&r.address)).as_bytes();
        let address_type = if original.is_ascii() { "rfc822" } else { "utf-8" };
        format!("{address_type};{}", printable(original))
    }

    fn address_type(&self, address: &Address) -> &'static str {
        let bytes = address.as_bytes();
        let is_utf8 = !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok();
        if self.stored.envelope.smtputf8 && is_utf8 { "utf-8" } else { "rfc822" }
    }
}

/// The original's header, without the empty line behind it.
struct OriginalHeader {
    lines: Vec<u8>,
    message_id: Option<String>,
}

impl OriginalHeader {
    /// No header is longer in a report; cleanup's `header_size_limit` keeps real ones far below.
    const LIMIT: u64 = 1 << 20;

    fn read(stored: &Stored) -> io::Result<OriginalHeader> {
        let mut reader = BufReader::new(stored.content.reader().take(Self::LIMIT));
        let mut header = OriginalHeader { lines: Vec::new(), message_id: None };
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if !is_header_line(&line) {
                break;
            }
            if header.message_id.is_none() {
                header.message_id = message_id(&line);
            }
            header.lines.append(&mut line);
        }
        Ok(header)
    }
}

fn is_header_line(line: &[u8]) -> bool {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return true;
    }
    let name_len = line.iter().take_while(|b| (33..127).contains(*b) && **b != b':').count();
    name_len > 0 && line[name_len..].trim_ascii_start().starts_with(b":")
}

fn message_id(line: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"message-id:";
    let is_it = line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
    let value = line.get(NAME.len()..).filter(|_| is_it)?.trim_ascii();
    let is_whole = value.starts_with(b"<") && value.ends_with(b">");
    is_whole.then(|| printable(value).into_owned())
}

/// What the sender wrote before it was made xtext (RFC 3461 4); as it stands if it is none.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    xtext::decode(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// `mail_name` made fit for a field name: RFC 3464's atoms have no blanks or specials.
fn atom(mail_name: &str) -> String {
    mail_name.replace(|c: char| c.is_ascii_whitespace() || "()<>@,;:\\\".[]".contains(c), "-")
}

fn push(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    write!(out, "{line}\r\n").expect("memory takes it");
}
