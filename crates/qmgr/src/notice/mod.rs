//! What is said when a message fails, is late, or arrives: which notices, to whom (bounce(8)).
//!
//! Here it is decided and written; `manager::conclude` puts it into the queue. A notice to a sender has the null sender, one
//! to the postmaster `double_bounce_sender`; what cannot be delivered of the latter is dropped, so that nothing goes round.

mod compose;
#[cfg(test)]
pub(crate) mod tests;
mod wrap;

pub use params::bounce_template::{Templates, Values};

use crate::agent::Success;
use crate::inject::Notice;
use compose::{Kind, Report};
use mail::{Address, Notify, Outcome, Ret, Time};
use maillog::NotificationKind;
use spool::Stored;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// bounce(8)'s parameters, under Postfix's names.
#[derive(Clone)]
pub struct Notices {
    pub myhostname: String,
    /// `X-…-Queue-ID:` is named after it.
    pub mail_name: String,
    /// Without the domain.
    pub double_bounce_sender: String,
    pub notify_classes: NotifyClasses,
    pub bounce_notice_recipient: Address,
    /// `2bounce_notice_recipient`.
    pub double_bounce_notice_recipient: Address,
    pub delay_notice_recipient: Address,
    /// Octets of a message up to which it is returned whole; 0: always.
    pub bounce_size_limit: u64,
    pub smtputf8_enable: bool,
    pub enable_threaded_bounces: bool,
    /// Failures go to the sender, not to the VERP addresses made of it.
    pub disable_verp_bounces: bool,
    /// `header_from_format = obsolete`.
    pub is_header_from_obsolete: bool,
    pub delay_warning_time: Duration,
    pub maximal_queue_lifetime: Duration,
    pub templates: Arc<Templates>,
    /// main.cf's parameters, expanded, for `$name` in templates.
    pub parameter: Arc<Parameter>,
    /// Seconds east of Greenwich and the zone's name at a time in seconds (`sys::local_time::zone_at`).
    pub zone_at: fn(i64) -> (i32, String),
}

/// A main.cf parameter's value by its name.
pub type Parameter = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The classes of `notify_classes` that are about delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyClasses {
    pub bounce: bool,
    /// `2bounce`.
    pub double_bounce: bool,
    pub delay: bool,
}

/// What became of one recipient, for a report.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// As delivered.
    pub(crate) address: Address,
    pub(crate) outcome: Outcome,
    pub(crate) relay: String,
    pub(crate) success: Success,
    /// [`crate::Member::is_of_list`].
    pub(crate) is_of_list: bool,
    /// Who is told of a failure, if that is not the sender.
    pub(crate) return_to: Option<Address>,
}

impl Entry {
    pub(crate) fn new(address: Address, outcome: Outcome, relay: &str, success: Success) -> Entry {
        Entry { address, outcome, relay: relay.to_owned(), success, is_of_list: false, return_to: None }
    }
}

/// One notice, ready for the queue.
pub(crate) struct Prepared {
    pub(crate) kind: NotificationKind,
    pub(crate) notice: Notice,
    /// Without it the recipients stay in the queue.
    pub(crate) is_critical: bool,
    pub(crate) warnings: Vec<String>,
}

/// What is to be done for some recipients.
pub(crate) enum Plan {
    /// Perhaps nothing: nobody wants to know.
    Send(Vec<Prepared>),
    /// The message was itself a notice to the postmaster.
    Discard,
}

impl Notices {
    /// `double-bounce@myhostname`.
    pub fn double_bounce_address(&self) -> Address {
        Address::from_parts(self.double_bounce_sender.as_bytes(), self.myhostname.as_bytes())
    }

    /// Recipients were given up. `return_to` is the sender, or the VERP address made of it.
    pub(crate) fn failure(
        &self,
        stored: &Stored,
        return_to: &Address,
        entries: &[Entry],
        now: Time,
    ) -> io::Result<Plan> {
        let is_headers_only = stored.envelope.ret == Some(Ret::Headers);
        let classes = self.notify_classes;
        let all: Vec<&Entry> = entries.iter().collect();
        let draft = Draft { notices: self, stored, kind: Kind::Failure, now };
        let to_postmaster = NotificationKind::PostmasterNonDelivery;
        if self.is_double_bounce(return_to) {
            return Ok(Plan::Discard);
        }
        let mut prepared = Vec::new();
        if return_to.is_null() {
            if classes.bounce || classes.double_bounce {
                let postmaster = &self.double_bounce_notice_recipient;
                prepared.push(draft.to_postmaster(to_postmaster, postmaster, all, false)?);
                prepared.iter_mut().for_each(|p| p.is_critical = true);
            }
            return Ok(Plan::Send(prepared));
        }
        let wanted = self.wanted(stored, entries, Notify::wants_failure);
        if !wanted.is_empty() {
            let kind = NotificationKind::SenderNonDelivery;
            prepared.push(draft.to_sender(kind, return_to, wanted, is_headers_only)?);
        }
        if classes.bounce {
            let postmaster = &self.bounce_notice_recipient;
            prepared.push(draft.to_postmaster(to_postmaster, postmaster, all, true)?);
        }
        Ok(Plan::Send(prepared))
    }

    /// Recipients are late (`delay_warning_time`).
    pub(crate) fn delay(&self, stored: &Stored, entries: &[Entry], now: Time) -> io::Result<Plan> {
        let sender = &stored.envelope.sender;
        let all: Vec<&Entry> = entries.iter().collect();
        let draft = Draft { notices: self, stored, kind: Kind::Delay, now };
        if self.is_double_bounce(sender) {
            return Ok(Plan::Discard);
        }
        let mut prepared = Vec::new();
        if !sender.is_null() {
            let wanted = self.wanted(stored, entries, Notify::wants_delay);
            if !wanted.is_empty() {
                prepared.push(draft.to_sender(NotificationKind::SenderDelay, sender, wanted, true)?);
            }
        }
        if self.notify_classes.delay {
            let postmaster = &self.delay_notice_recipient;
            let is_headers_only = !sender.is_null();
            prepared.push(draft.to_postmaster(
                NotificationKind::PostmasterDelay,
                postmaster,
                all,
                is_headers_only,
            )?);
        }
        Ok(Plan::Send(prepared))
    }

    /// Recipients were delivered, and the sender asked to be told (NOTIFY=SUCCESS, `confirm_delay_cleared`).
    pub(crate) fn success(&self, stored: &Stored, entries: &[Entry], now: Time) -> io::Result<Plan> {
        self.report_of_delivery(Kind::Success, stored, entries, now)
    }

    /// Whatever became of recipients, for who sent the message with `sendmail -v`, or probed them with `-bv`.
    pub(crate) fn trace(
        &self,
        stored: &Stored,
        entries: &[Entry],
        is_probe: bool,
        now: Time,
    ) -> io::Result<Plan> {
        let kind = if is_probe { Kind::ProbeTrace } else { Kind::Trace };
        self.report_of_delivery(kind, stored, entries, now)
    }

    /// Of a bounce the postmaster is told, if of such at all; of a double bounce nobody.
    fn report_of_delivery(
        &self,
        kind: Kind,
        stored: &Stored,
        entries: &[Entry],
        now: Time,
    ) -> io::Result<Plan> {
        let sender = &stored.envelope.sender;
        let draft = Draft { notices: self, stored, kind, now };
        if self.is_double_bounce(sender) || sender.is_null() && !self.notify_classes.double_bounce {
            return Ok(Plan::Send(Vec::new()));
        }
        let (from, recipient) = if sender.is_null() {
            (self.double_bounce_address(), &self.double_bounce_notice_recipient)
        } else {
            (Address::null(), sender)
        };
        let entries = entries.iter().collect();
        let mut prepared = draft.to_sender(NotificationKind::SenderSuccess, recipient, entries, true)?;
        prepared.notice.sender = from;
        prepared.is_critical = false;
        Ok(Plan::Send(vec![prepared]))
    }

    fn is_double_bounce(&self, address: &Address) -> bool {
        address.as_bytes().eq_ignore_ascii_case(self.double_bounce_address().as_bytes())
    }

    fn wanted<'a>(&self, stored: &Stored, entries: &'a [Entry], wants: fn(Notify) -> bool) -> Vec<&'a Entry> {
        let recipients = &stored.envelope.recipients;
        let is_wanted =
            |e: &&Entry| recipients.get(e.outcome.recipient as usize).is_none_or(|r| wants(r.notify));
        entries.iter().filter(is_wanted).collect()
    }

    fn date(&self, time: Time) -> String {
        let (offset, zone) = (self.zone_at)(time.secs());
        time.rfc5322(offset, &zone)
    }
}

/// What the notices about one message have in common.
struct Draft<'a> {
    notices: &'a Notices,
    stored: &'a Stored,
    kind: Kind,
    now: Time,
}

impl Draft<'_> {
    fn to_sender(
        &self,
        kind: NotificationKind,
        recipient: &Address,
        entries: Vec<&Entry>,
        is_headers_only: bool,
    ) -> io::Result<Prepared> {
        self.prepare(kind, Address::null(), recipient, entries, is_headers_only, false)
    }

    fn to_postmaster(
        &self,
        kind: NotificationKind,
        recipient: &Address,
        entries: Vec<&Entry>,
        is_headers_only: bool,
    ) -> io::Result<Prepared> {
        let sender = self.notices.double_bounce_address();
        self.prepare(kind, sender, recipient, entries, is_headers_only, true)
    }

    fn prepare(
        &self,
        kind: NotificationKind,
        sender: Address,
        recipient: &Address,
        entries: Vec<&Entry>,
        wants_headers_only: bool,
        is_postmaster_copy: bool,
    ) -> io::Result<Prepared> {
        let Draft { notices, stored, now, .. } = *self;
        let report = Report {
            notices,
            stored,
            kind: self.kind,
            entries,
            recipient,
            is_postmaster_copy,
            wants_headers_only,
            now,
        };
        let composed = report.compose()?;
        let notice = Notice {
            sender,
            recipient: recipient.clone(),
            is_8bit: !composed.content.is_ascii(),
            content: composed.content.into(),
            smtputf8: stored.envelope.smtputf8,
        };
        Ok(Prepared { kind, notice, is_critical: !is_postmaster_copy, warnings: composed.warnings })
    }
}
