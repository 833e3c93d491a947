//! A message that is being worked on, from reading it to the end of the pass over its recipients.

use super::routing::extra;
use crate::agent::Success;
use crate::backlog::Flush;
use crate::notice::Entry;
use mail::{Fate, QueueId, Recipient, Time};
use spool::{Admin, Stored};
use std::sync::Arc;

pub(super) struct Active {
    pub(super) stored: Arc<Stored>,
    /// When it became active.
    pub(super) since: Time,
    pub(super) flush: Flush,
    /// To be returned now, whatever its age (`postsuper -e`).
    pub(super) is_force_expired: bool,
    /// The sender was told of the delay.
    pub(super) is_warned: bool,
    pub(super) trace: Trace,
    /// The first recipient that was not looked at yet, and how many pending ones follow it.
    next: usize,
    pub(super) unread: usize,
    /// Recipients that are being routed, wait, or are under way.
    pub(super) outstanding: usize,
    pub(super) is_concluding: bool,
    pub(super) pass: Pass,
    /// What is to be done with it once nothing is under way.
    pub(super) doom: Option<Admin>,
}

/// What became of the recipients in this pass, as far as it matters at its end.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) deferred: Vec<Entry>,
    /// Given up, and not told to the sender yet.
    pub(super) bounced: Vec<Entry>,
    /// Delivered, and to be told.
    pub(super) succeeded: Vec<Entry>,
    /// Whatever became of it, for the report that `sendmail -v` or `-bv` asked for.
    pub(super) traced: Vec<Entry>,
}

/// What sort of message it is (Postfix's attribute `trace_flags`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    Mail,
    /// Mail whose sender wants a report of every recipient's first attempt (`sendmail -v`).
    Recorded,
    /// A probe whose sender wants the same (`sendmail -bv`).
    UserProbe,
    /// A probe of address verification.
    ServerProbe,
}

/// Which deliveries the sender wants to be told of.
#[derive(Clone, Copy)]
pub(super) struct Curiosity {
    /// `confirm_delay_cleared`, and there was a delay.
    pub(super) is_delay_cleared: bool,
    pub(super) trace: Trace,
}

impl Trace {
    const SERVER_PROBE: u32 = 1 << 8;
    const USER_PROBE: u32 = 1 << 9;
    const RECORD: u32 = 1 << 10;

    fn of(stored: &Stored) -> Trace {
        let text = extra(stored, "trace_flags").and_then(|value| std::str::from_utf8(value).ok());
        let flags: u32 = text.and_then(|text| text.parse().ok()).unwrap_or_default();
        let is_first_pass = stored.outcomes.iter().all(Option::is_none);
        match flags {
            flags if flags & Trace::SERVER_PROBE != 0 => Trace::ServerProbe,
            flags if flags & Trace::USER_PROBE != 0 => Trace::UserProbe,
            flags if flags & Trace::RECORD != 0 && is_first_pass => Trace::Recorded,
            _ => Trace::Mail,
        }
    }

    pub(super) fn is_probe(self) -> bool {
        matches!(self, Trace::UserProbe | Trace::ServerProbe)
    }
}

impl Active {
    pub(super) fn new(stored: Arc<Stored>, since: Time, flush: Flush, is_warned: bool) -> Active {
        let unread = (0..stored.outcomes.len()).filter(|r| is_pending(&stored, *r)).count();
        let pass = Pass { bounced: untold(&stored), ..Pass::default() };
        let trace = Trace::of(&stored);
        Active {
            stored,
            since,
            flush,
            trace,
            is_force_expired: false,
            is_warned,
            next: 0,
            unread,
            outstanding: 0,
            is_concluding: false,
            pass,
            doom: None,
        }
    }

    pub(super) fn id(&self) -> QueueId {
        self.stored.id
    }

    /// The next pending recipients, `limit` at most. They count as outstanding from now on.
    pub(super) fn take_slice(&mut self, limit: usize) -> Vec<u32> {
        let stored = &self.stored;
        let mut taken = Vec::with_capacity(self.unread.min(limit));
        while taken.len() < limit && self.next < stored.outcomes.len() {
            if is_pending(stored, self.next) {
                taken.push(self.next as u32);
            }
            self.next += 1;
        }
        self.unread -= taken.len();
        self.outstanding += taken.len();
        taken
    }

    /// Forgets the recipients that were not looked at. They stay pending in the spool.
    pub(super) fn skip_unread(&mut self) {
        self.next = self.stored.outcomes.len();
        self.unread = 0;
    }

    /// The pass is over.
    pub(super) fn is_through(&self) -> bool {
        self.outstanding == 0 && self.unread == 0 && !self.is_concluding
    }
}

impl Pass {
    pub(super) fn append(&mut self, mut other: Pass) {
        self.deferred.append(&mut other.deferred);
        self.bounced.append(&mut other.bounced);
        self.succeeded.append(&mut other.succeeded);
        self.traced.append(&mut other.traced);
    }

    /// Files what became of a recipient, or of a member of one.
    pub(super) fn file(
        &mut self,
        entry: Entry,
        recipient: &Recipient,
        is_member: bool,
        curiosity: Curiosity,
    ) {
        match curiosity.trace {
            Trace::ServerProbe => return,
            Trace::UserProbe => return self.traced.push(entry),
            Trace::Recorded => self.traced.push(entry.clone()),
            Trace::Mail => {}
        }
        match entry.outcome.fate {
            Fate::Deferred => self.deferred.push(entry),
            Fate::Bounced => self.bounced.push(entry),
            Fate::Sent if curiosity.wants(&entry, recipient, is_member) => self.succeeded.push(entry),
            Fate::Sent => {}
        }
    }
}

impl Curiosity {
    /// RFC 3461 5.2.7: of a recipient that was expanded its expansion is reported, not what became of members.
    fn wants(self, entry: &Entry, recipient: &Recipient, is_member: bool) -> bool {
        let notify = recipient.notify;
        notify.has(mail::Notify::SUCCESS) && entry.success != Success::Delegated && !is_member
            || self.is_delay_cleared && notify.wants_delay()
    }
}

fn is_pending(stored: &Stored, recipient: usize) -> bool {
    stored.outcomes[recipient].as_ref().is_none_or(|outcome| outcome.fate == Fate::Deferred)
}

/// Recipients that were given up before a crash, or whose report could not be queued.
fn untold(stored: &Stored) -> Vec<Entry> {
    let outcomes = stored.outcomes.iter().flatten().filter(|outcome| outcome.fate == Fate::Bounced);
    let recipients = &stored.envelope.recipients;
    outcomes
        .filter_map(|outcome| {
            let address = recipients.get(outcome.recipient as usize)?.address.clone();
            Some(Entry::new(address, outcome.clone(), "none", Success::Delivered))
        })
        .collect()
}
