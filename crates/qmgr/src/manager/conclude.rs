//! The end of a pass: what is told to whom, and whether the message is done, waits, or goes back.
//!
//! The order is the crash safety: a notice is on stable storage before the recipients it is about are struck off. What was
//! given up but not told yet stays `Bounced` in the spool, and is told at the next pass.

use super::Event;
use super::active::{Active, Pass, Trace};
use super::routing::{extra, verp_sender};
use crate::notice::{Entry, Plan, Prepared};
use crate::scheduler::MessageKey;
use crate::{Context, Setup};
use mail::{Address, DsnStatus, Fate, Outcome, QueueId, Time};
use maillog::{Expired, Notification};
use spool::Stored;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing is left to do.
    Done,
    /// It is tried again later.
    Later,
}

/// Whether there is anything to tell, or to decide by telling.
pub(super) fn needs_telling(active: &Active, setup: &Setup, now: Time) -> bool {
    let Active { stored, pass, .. } = active;
    let envelope = &stored.envelope;
    let settings = &setup.settings;
    let is_late = !pass.deferred.is_empty()
        && (active.is_force_expired
            || settings.is_expired(envelope.arrival, envelope.sender.is_null(), now)
            || !active.is_warned && settings.is_warning_due(envelope.arrival, now));
    !pass.bounced.is_empty() || !pass.succeeded.is_empty() || !pass.traced.is_empty() || is_late
}

/// Tells, and decides. Sends the decision even if it is dropped half-way.
pub(super) async fn run(telling: Telling, announcement: Announcement) {
    let mut announcement = announcement;
    announcement.end = telling.tell().await;
}

/// Sends the end when it is dropped.
pub(super) struct Announcement {
    pub(super) message: MessageKey,
    pub(super) end: End,
    pub(super) events: UnboundedSender<Event>,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // The manager is gone only when the whole server is.
        let _ = self.events.send(Event::Concluded { message: self.message, end: self.end });
    }
}

/// What is known of a message at the end of its pass.
pub(super) struct Telling {
    pub(super) context: Context,
    pub(super) setup: Arc<Setup>,
    pub(super) stored: Arc<Stored>,
    pub(super) pass: Pass,
    pub(super) is_force_expired: bool,
    pub(super) is_warned: bool,
    pub(super) trace: Trace,
    pub(super) now: Time,
}

/// A notice could not be queued.
struct Untold;

impl Telling {
    async fn tell(mut self) -> End {
        let Pass { deferred, bounced, succeeded, traced } = std::mem::take(&mut self.pass);
        let told = self.tell_failure(&bounced).await;
        // A report of success that is lost is no reason to keep the message.
        let _ = self.tell_success(succeeded, traced).await;
        let is_done = match deferred.is_empty() {
            true => true,
            false => self.tell_lateness(deferred).await,
        };
        match told {
            Ok(_) if is_done => End::Done,
            Ok(notice) => {
                self.strike_off(&bounced, notice);
                End::Later
            }
            Err(Untold) => End::Later,
        }
    }

    /// Gives the last notice's id.
    async fn tell_failure(&self, entries: &[Entry]) -> Result<Option<QueueId>, Untold> {
        let mut notice = None;
        for (return_to, entries) in self.returns(entries) {
            let plan =
                move |s: &Setup, stored: &Stored, now| s.notices.failure(stored, &return_to, &entries, now);
            notice = self.send(plan).await?.or(notice);
        }
        Ok(notice)
    }

    /// Of a traced message the report is about everything; what NOTIFY=SUCCESS asks for is in it.
    async fn tell_success(&self, entries: Vec<Entry>, traced: Vec<Entry>) -> Result<Option<QueueId>, Untold> {
        let (entries, is_trace) = if traced.is_empty() { (entries, false) } else { (traced, true) };
        if entries.is_empty() {
            return Ok(None);
        }
        let is_probe = self.trace.is_probe();
        self.send(move |s: &Setup, stored: &Stored, now| match is_trace {
            false => s.notices.success(stored, &entries, now),
            true => s.notices.trace(stored, &entries, is_probe, now),
        })
        .await
    }

    /// Returns what has been tried for too long, or warns of the delay. True: nothing is left to try.
    async fn tell_lateness(&self, entries: Vec<Entry>) -> bool {
        let envelope = &self.stored.envelope;
        let settings = &self.setup.settings;
        let is_expired = settings.is_expired(envelope.arrival, envelope.sender.is_null(), self.now);
        if self.is_force_expired || is_expired {
            let (id, sender, forced) = (self.stored.id, &envelope.sender, self.is_force_expired);
            self.context.qmgr_log.event(&Expired { id, sender, forced });
            return self.tell_failure(&entries).await.is_ok();
        }
        if !self.is_warned && settings.is_warning_due(envelope.arrival, self.now) {
            let plan = move |s: &Setup, stored: &Stored, now| s.notices.delay(stored, &entries, now);
            if self.send(plan).await.is_ok() {
                self.context.spool.mark_warned(self.stored.id);
            }
        }
        false
    }

    /// To whom failures go: the sender, or for VERP a sender for each recipient; each of a list's to its owner.
    fn returns(&self, entries: &[Entry]) -> Vec<(Address, Vec<Entry>)> {
        let (of_lists, others): (Vec<_>, Vec<_>) = entries.iter().partition(|e| e.return_to.is_some());
        let owners = of_lists.into_iter().filter_map(|e| Some((e.return_to.clone()?, vec![e.clone()])));
        owners.chain(self.returns_to_sender(others)).collect()
    }

    fn returns_to_sender(&self, entries: Vec<&Entry>) -> Vec<(Address, Vec<Entry>)> {
        let sender = &self.stored.envelope.sender;
        let delimiters =
            extra(&self.stored, "verp_delims").filter(|_| !self.setup.notices.disable_verp_bounces);
        match delimiters {
            _ if entries.is_empty() => Vec::new(),
            Some(delimiters) if !sender.is_null() => entries
                .iter()
                .map(|entry| {
                    let recipient = &self.stored.envelope.recipients[entry.outcome.recipient as usize];
                    let original = recipient.original.as_ref().unwrap_or(&recipient.address);
                    (verp_sender(sender, delimiters, original), vec![(*entry).clone()])
                })
                .collect(),
            _ => vec![(sender.clone(), entries.into_iter().cloned().collect())],
        }
    }

    /// Puts the notices of a plan into the queue; the first critical one that fails ends it.
    async fn send<P>(&self, plan: P) -> Result<Option<QueueId>, Untold>
    where
        P: FnOnce(&Setup, &Stored, Time) -> io::Result<Plan> + Send + 'static,
    {
        let id = self.stored.id;
        let mut last = None;
        let prepared = match self.compose(plan).await {
            Ok(Plan::Send(prepared)) => prepared,
            Ok(Plan::Discard) => {
                let text = "undeliverable postmaster notification discarded";
                self.context.bounce_log.warning(format_args!("{id}: {text}"));
                return Ok(None);
            }
            Err(error) => {
                self.context.bounce_log.warning(format_args!("{id}: cannot read message: {error}"));
                return Err(Untold);
            }
        };
        for Prepared { kind, notice, is_critical, warnings } in prepared {
            for warning in warnings {
                self.context.bounce_log.warning(format_args!("{warning}"));
            }
            let recipient = notice.recipient.clone();
            match self.context.inject.inject(notice).await {
                Ok(notice) => {
                    self.context.bounce_log.event(&Notification { id, kind, notice });
                    last = last.or(Some(notice));
                }
                Err(error) => {
                    let log = &self.context.bounce_log;
                    log.warning(format_args!("{id}: notification failed to {recipient}: {error}"));
                    if is_critical {
                        return Err(Untold);
                    }
                }
            }
        }
        Ok(last)
    }

    /// Writes the notices; where blocking is allowed if the original is on the disk.
    async fn compose<P>(&self, plan: P) -> io::Result<Plan>
    where
        P: FnOnce(&Setup, &Stored, Time) -> io::Result<Plan> + Send + 'static,
    {
        if self.stored.content.in_memory().is_some() {
            return plan(&self.setup, &self.stored, self.now);
        }
        let (setup, stored, now) = (self.setup.clone(), self.stored.clone(), self.now);
        tokio::task::spawn_blocking(move || plan(&setup, &stored, now)).await.map_err(io::Error::other)?
    }

    /// The sender was told of these recipients, and others stay: they are not to be told of again.
    fn strike_off(&self, told: &[Entry], notice: Option<QueueId>) {
        let reason = match notice {
            Some(notice) => format!("sender non-delivery notification: {notice}"),
            None => "nobody to be told".to_owned(),
        };
        let outcomes: Vec<Outcome> = told
            .iter()
            .filter(|entry| entry.outcome.fate == Fate::Bounced)
            .map(|entry| Outcome {
                fate: Fate::Sent,
                status: DsnStatus::new(2, 0, 0),
                reason: reason.clone(),
                ..entry.outcome.clone()
            })
            .collect();
        if !outcomes.is_empty() {
            self.context.spool.record(self.stored.id, &outcomes, None);
        }
    }
}
