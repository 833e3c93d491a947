//! The envelope: sender and recipients rewritten, copies added, aliases expanded, duplicates left out.

use super::{Context, Facts, Incoming, Options, Received, Trouble};
use mail::header::quote;
use mail::{Address, Notify, Recipient, SMTPUTF8_HEADER, xtext};
use route::Router;
use route::canonical::{MapFailed, Place};
use route::virtual_alias::ExpandError;
use std::collections::HashSet;

/// Brings the sender to its final form, and finds out who gets a copy of what it sends.
pub(super) async fn rewrite_sender(router: &Router, message: &mut Incoming, facts: &mut Facts) {
    let given = router.standard(&message.envelope.sender, route::Context::Local);
    let sender = if is_own_mailer_daemon(router, &given) { Address::null() } else { given };
    let options = message.options;
    let sender = canonical(router, sender, Place::EnvelopeSender, options, facts).await;
    if options.add_bcc && !sender.is_null() {
        facts.sender_bcc = checked(router.sender_bcc(&sender).await, facts).flatten();
    }
    message.envelope.smtputf8 |= router.settings.smtputf8_enable && needs_smtputf8(&sender, options);
    message.envelope.sender = sender;
}

/// Postfix: our own MAILER-DAEMON is the null sender.
fn is_own_mailer_daemon(router: &Router, sender: &Address) -> bool {
    const MAILER_DAEMON: &str = "MAILER-DAEMON";
    sender.local().eq_ignore_ascii_case(MAILER_DAEMON.as_bytes())
        && sender.folded() == router.standard(&Address::from(MAILER_DAEMON), route::Context::Local).folded()
}

/// Completes the recipients: in place, with copies. Gives those that asked to be told of success and were expanded.
pub(super) async fn complete_recipients(
    context: &Context,
    message: &mut Incoming,
    facts: &mut Facts,
) -> Vec<Recipient> {
    let given = std::mem::take(&mut message.envelope.recipients);
    let mut recipients = Recipients::new(context, message, facts);
    recipients.add_copy(recipients.facts.sender_bcc.clone()).await;
    let has_any = !given.is_empty();
    for recipient in given {
        recipients.add(recipient).await;
    }
    if has_any && message.options.add_bcc {
        recipients.add_copy(context.router.always_bcc()).await;
    }
    let Recipients { done, expanded, smtputf8, .. } = recipients;
    message.envelope.recipients = done;
    message.envelope.smtputf8 = smtputf8;
    if !has_any {
        facts.fail(Trouble::NoRecipients);
    }
    expanded
}

/// Adds recipients that headers or lines have brought in (BCC).
pub(super) async fn add_copies(
    context: &Context,
    message: &mut Incoming,
    facts: &mut Facts,
    copies: Vec<Address>,
) {
    if copies.is_empty() {
        return;
    }
    let given = std::mem::take(&mut message.envelope.recipients);
    let mut recipients = Recipients::new(context, message, facts);
    given.into_iter().for_each(|recipient| recipients.push(recipient));
    for copy in copies {
        recipients.add_copy(Some(copy)).await;
    }
    let Recipients { done, smtputf8, .. } = recipients;
    message.envelope.recipients = done;
    message.envelope.smtputf8 = smtputf8;
}

/// RFC 6531: whether the header needs SMTPUTF8. A message that asks for it and does not need it may go without.
pub(super) fn note_utf8_header(context: &Context, message: &mut Incoming, facts: &Facts) {
    if !context.settings.smtputf8_enable || !facts.has_8bit_header {
        return;
    }
    message.envelope.smtputf8 |= message.options.autodetect_smtputf8;
    if message.envelope.smtputf8 {
        message.envelope.extra.push((SMTPUTF8_HEADER.to_string(), "yes".into()));
    }
}

/// The recipients of one message on their way through.
struct Recipients<'c> {
    context: &'c Context,
    options: Options,
    smtputf8: bool,
    by_smtp: bool,
    done: Vec<Recipient>,
    /// Of those that are there already.
    seen: HashSet<Vec<u8>>,
    expanded: Vec<Recipient>,
    facts: &'c mut Facts,
}

impl<'c> Recipients<'c> {
    fn new(context: &'c Context, message: &Incoming, facts: &'c mut Facts) -> Recipients<'c> {
        Recipients {
            context,
            options: message.options,
            smtputf8: message.envelope.smtputf8,
            by_smtp: matches!(message.received, Received::Smtp(_)),
            done: Vec::new(),
            seen: HashSet::new(),
            expanded: Vec::new(),
            facts,
        }
    }

    async fn add(&mut self, given: Recipient) {
        let router = &self.context.router;
        let original = given.original.clone().unwrap_or_else(|| given.address.clone());
        let address = self.rewrite(&given.address).await;
        self.facts.last_recipient = Some(address.clone());
        // Over SMTP it is what RCPT TO said, otherwise what cleanup made of it.
        let orcpt = given.orcpt.clone().or_else(|| match self.by_smtp {
            // Postfix: smtpd makes it, and knows but this kind.
            true => default_orcpt(b"rfc822;", &quote(given.address.as_bytes())),
            false if self.smtputf8 && !address.as_bytes().is_ascii() => {
                default_orcpt(b"utf-8;", address.as_bytes())
            }
            false => default_orcpt(b"rfc822;", address.as_bytes()),
        });
        let recipient = Recipient { address, original: Some(original), orcpt, notify: given.notify };
        let copy = if self.options.add_bcc {
            checked(router.recipient_bcc(&recipient.address).await, self.facts).flatten()
        } else {
            None
        };
        self.expand(recipient).await;
        self.add_copy(copy).await;
    }

    /// Adds a recipient that nobody is to hear of.
    async fn add_copy(&mut self, copy: Option<Address>) {
        let Some(copy) = copy else { return };
        let address = self.rewrite(&copy).await;
        let original = Some(address.clone());
        self.expand(Recipient { address, original, orcpt: None, notify: Notify::NEVER }).await;
    }

    async fn rewrite(&mut self, given: &Address) -> Address {
        let router = &self.context.router;
        let standard = if given.is_null() {
            let empty = Address::from(router.settings.empty_address_recipient.as_str());
            router.standard(&empty, route::Context::Local)
        } else {
            router.standard(given, route::Context::Local)
        };
        let address = canonical(router, standard, Place::EnvelopeRecipient, self.options, self.facts).await;
        self.smtputf8 |= router.settings.smtputf8_enable && needs_smtputf8(&address, self.options);
        address
    }

    /// Expands virtual aliases.
    async fn expand(&mut self, recipient: Recipient) {
        if !self.options.map_addresses || self.context.router.settings.virtual_alias_maps.is_empty() {
            return self.push(recipient);
        }
        let addresses = match self.context.router.expand(&recipient.address).await {
            Ok(addresses) => addresses,
            Err(error) => {
                self.facts.warn(error.to_string());
                let is_lookup = matches!(error, ExpandError::TryLater { .. });
                self.facts.fail(if is_lookup { Trouble::Lookup } else { Trouble::AliasExpansion });
                return;
            }
        };
        let is_changed = addresses != [recipient.address.clone()];
        let mut notify = recipient.notify;
        if is_changed && notify.has(Notify::SUCCESS) {
            // RFC 3461 5.2.7.3: success is reported once, as "expanded".
            self.expanded.push(recipient.clone());
            let rest = Notify::from_bits(notify.bits() & !Notify::SUCCESS.bits());
            notify = if rest.is_unset() { Notify::NEVER } else { rest };
        }
        for address in addresses {
            self.push(Recipient { address, notify, ..recipient.clone() });
        }
    }

    /// Adds a recipient unless it is there already.
    fn push(&mut self, mut recipient: Recipient) {
        let settings = &self.context.settings;
        let key = duplicate_key(&recipient, settings.enable_original_recipient);
        if self.seen.contains(&key) {
            return;
        }
        // duplicate_filter_limit: beyond it, duplicates are found only of those before it.
        if settings.duplicate_filter_limit == 0 || self.seen.len() < settings.duplicate_filter_limit {
            self.seen.insert(key);
        }
        if recipient.original.as_ref() == Some(&recipient.address) {
            recipient.original = None;
        }
        self.done.push(recipient);
    }
}

/// Recipients with the same key are the same.
fn duplicate_key(recipient: &Recipient, with_original: bool) -> Vec<u8> {
    let mut key = recipient.address.as_bytes().to_ascii_lowercase();
    if with_original {
        let original = recipient.original.as_ref().map_or(&b""[..], Address::as_bytes);
        let orcpt = recipient.orcpt.as_deref().unwrap_or_default();
        let rest = [b"\n", original, b"\n", orcpt, b"\n", &[recipient.notify.bits()][..]].concat();
        key.extend(rest.to_ascii_lowercase());
    }
    key
}

async fn canonical(
    router: &Router,
    address: Address,
    place: Place,
    options: Options,
    facts: &mut Facts,
) -> Address {
    if !options.map_addresses || !router.has_canonical(place) {
        return address;
    }
    let mut problems = Vec::new();
    let mapped = router.canonical(address.clone(), place, &mut problems).await;
    problems.iter().for_each(|problem| facts.warn(problem.to_string()));
    checked(mapped, facts).unwrap_or(address)
}

/// A table that could not be asked stops the message.
fn checked<T>(result: Result<T, MapFailed>, facts: &mut Facts) -> Option<T> {
    result
        .inspect_err(|failed| {
            facts.warn(failed.to_string());
            facts.fail(Trouble::Lookup);
        })
        .ok()
}

/// RFC 3461 5.2.1: an original recipient for those who have none.
fn default_orcpt(kind: &[u8], address: &[u8]) -> Option<bytes::Bytes> {
    (!address.is_empty()).then(|| [kind, &xtext::encode(address)].concat().into())
}

fn needs_smtputf8(address: &Address, options: Options) -> bool {
    let bytes = address.as_bytes();
    options.autodetect_smtputf8 && !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok()
}
