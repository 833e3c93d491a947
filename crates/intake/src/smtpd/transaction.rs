//! A mail transaction: from MAIL to the end of its message.

use super::{MESSAGES, Service};
use crate::cleanup::{Incoming, Options, Received, Shown};
use crate::enqueue::Entry;
use bytes::Bytes;
use mail::{Address, Client, Envelope, Origin, Recipient, Time, xtext};
use policy::Effects;
use smtp::server::{Mail, Rcpt};
use spool::Draft;
use std::sync::atomic::Ordering;

/// What one message has gathered so far.
pub(super) struct Transaction {
    pub(super) mail: Mail,
    pub(super) arrival: Time,
    /// Until content comes.
    recipients: Vec<Recipient>,
    recipient_count: u32,
    first_recipient: Option<Address>,
    /// The same for all recipients of this message, and for no other message.
    pub(super) instance: String,
    pub(super) rewrite_local: bool,
    /// Until content comes.
    pub(super) draft: Option<Draft>,
    /// While it comes.
    pub(super) entry: Option<Entry>,
    /// Whether its queue id was logged: from the first recipient on.
    pub(super) is_announced: bool,
}

impl Transaction {
    pub(super) fn new(mail: Mail, draft: Draft) -> Transaction {
        let arrival = draft.arrival();
        let number = MESSAGES.fetch_add(1, Ordering::Relaxed);
        let instance =
            format!("{:x}.{:x}.{:x}.{number}", std::process::id(), arrival.secs(), arrival.subsec_micros());
        Transaction {
            mail,
            arrival,
            recipients: Vec::new(),
            recipient_count: 0,
            first_recipient: None,
            instance,
            rewrite_local: false,
            draft: Some(draft),
            entry: None,
            is_announced: false,
        }
    }

    pub(super) fn add(&mut self, rcpt: Rcpt) {
        // Postfix: of this kind even if it is not ASCII.
        let given = || Bytes::from([b"rfc822;", &xtext::encode(&rcpt.written)[..]].concat());
        let orcpt = Some(rcpt.orcpt.clone().unwrap_or_else(given));
        self.recipient_count = self.recipient_count.saturating_add(1);
        self.first_recipient.get_or_insert_with(|| rcpt.recipient.clone());
        self.recipients.push(Recipient {
            address: rcpt.recipient,
            original: None,
            orcpt,
            notify: rcpt.notify,
        });
    }

    pub(super) fn recipient_count(&self) -> u32 {
        self.recipient_count
    }

    pub(super) fn only_recipient(&self) -> Option<&Address> {
        self.first_recipient.as_ref().filter(|_| self.recipient_count == 1)
    }

    /// The queue id, once there is a recipient: before that the log says NOQUEUE.
    pub(super) fn id(&self) -> Option<mail::QueueId> {
        let id = self.entry.as_ref().map(Entry::id).or_else(|| self.draft.as_ref().map(Draft::id));
        id.filter(|_| self.is_announced)
    }

    /// The message for cleanup. Takes the draft; None if content came already.
    pub(super) fn incoming(
        &mut self,
        service: &Service,
        client: &Client,
        effects: &Effects,
        shown: Shown,
    ) -> Option<(Draft, Incoming)> {
        let mut draft = self.draft.take()?;
        if effects.hold {
            draft.hold();
        }
        let mut recipients = std::mem::take(&mut self.recipients);
        let never = |address: &Bytes| Recipient {
            address: Address::new(address.clone()),
            notify: mail::Notify::NEVER,
            ..Recipient::default()
        };
        recipients.extend(effects.bcc.iter().map(never));
        let mut extra = Vec::new();
        if let Some(to) = &effects.redirect {
            extra.push(("redirect_to".to_owned(), to.clone()));
        }
        if let Some(delimiters) = &self.mail.verp_delimiters {
            extra.push(("verp_delims".to_owned(), Bytes::from(delimiters.clone())));
        }
        let filter =
            effects.filter.clone().or_else(|| Some(service.content_filter.clone())).filter(|f| !f.is_empty());
        let envelope = Envelope {
            sender: self.mail.sender.clone(),
            recipients,
            arrival: self.arrival,
            origin: Origin::Smtp,
            client: client.clone(),
            encoding: self.mail.encoding,
            smtputf8: self.mail.smtputf8,
            ret: self.mail.ret,
            envid: self.mail.envid.clone(),
            rewrite_local: self.rewrite_local,
            size: 0,
            content_filter: filter,
            extra,
        };
        let map = !service.no_address_mappings;
        let incoming = Incoming {
            id: draft.id(),
            now: self.arrival,
            date: (service.clock.date)(self.arrival),
            received: Received::Smtp(shown),
            prepend: effects.prepend.iter().map(|line| line.to_vec()).collect(),
            full_name: None,
            envelope,
            options: Options {
                map_addresses: map,
                add_bcc: map,
                checks: !service.no_header_body_checks,
                ..Options::SMTP
            },
        };
        Some((draft, incoming))
    }
}
