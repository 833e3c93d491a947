//! The way of an active message: routed slice by slice, queued, delivered, concluded.

use super::active::{Active, Curiosity, Pass, Trace};
use super::conclude::{self, Announcement, End, Telling};
use super::delivery::{self, Delivery, Ending, Filing, Subject};
use super::routing::{self, Placed, Routed, shortcut, verp_sender};
use super::{Event, Flush, Manager};
use crate::scheduler::{Dropped, EntryKey, Feeling, MessageKey, Selected, Suspension};
use crate::{Job, JobRecipient, Purpose, Report, Route, Unroutable};
use logger::Logger;
use mail::{Address, DsnStatus, Fate, Outcome, QueueId, Time};
use maillog::Removed;
use spool::Admin;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use tokio::sync::mpsc::UnboundedSender;

/// Recipients that are routed in one go, at most: Postfix's bound on how long others wait meanwhile.
const SLICE_LIMIT: usize = 5000;

/// What a probe gets while there are too many (`address_verify_pending_request_limit`).
const TOO_MANY_PROBES: (DsnStatus, &str) =
    (DsnStatus::new(4, 3, 2), "Too many address verification requests");

/// What becomes of a probe whose address stands for several: it is not tried.
const ALIASED: (DsnStatus, &str) = (DsnStatus::new(2, 0, 0), "aliased to multiple recipients");

/// What a recipient without a route gets.
const RESOLVER_FAILURE: (DsnStatus, &str) = (DsnStatus::new(4, 3, 0), "address resolver failure");

impl Manager {
    /// Takes every touched message a step further.
    pub(super) fn go_on(&mut self) {
        while let Some(key) = self.touched.pop_front() {
            let settings = &self.setup.settings;
            let room = settings.qmgr_message_recipient_limit.saturating_sub(self.recipients);
            let limit = room.min(SLICE_LIMIT).max(settings.qmgr_message_recipient_minimum).max(1);
            let is_stopping = !self.stopping.is_empty();
            // Concluded meanwhile: it was touched twice.
            let Some(active) = self.active.get_mut(key) else { continue };
            if active.unread > 0 && active.outstanding <= limit / 2 && !is_stopping {
                let indexes = active.take_slice(limit);
                self.recipients += indexes.len();
                self.touched.push_back(key);
                self.route(key, indexes);
            } else if active.is_through() {
                self.conclude(key);
            }
        }
    }

    /// Asks for routes. Those that are known at once, which is usual, are taken at once.
    fn route(&mut self, message: MessageKey, indexes: Vec<u32>) {
        let asked = indexes.len();
        let Active { ref stored, trace, .. } = self.active[message];
        let stored = stored.clone();
        let failure = RouteFailure { message, indexes: indexes.clone(), events: self.events.clone() };
        let mut routes = Box::pin(routing::route(self.setup.clone(), stored, trace, indexes));
        let mut context = TaskContext::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| routes.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Ready(routed)) => {
                failure.disarm();
                self.place(message, asked, routed);
            }
            // The event is what is waited for.
            Ok(Poll::Pending) => drop(tokio::spawn(await_routes(routes, failure))),
            // Dropped, the failure is announced.
            Err(_) => drop(failure),
        }
    }

    /// Puts routed recipients into the scheduler, but for those whose fate is known without it.
    pub(super) fn place(&mut self, key: MessageKey, asked: usize, routed: Vec<Routed>) {
        let now = self.context.clock.now();
        if self.active[key].doom.is_some() {
            // It was asked to stop: the recipients stay pending.
            return self.release_recipients(key, asked);
        }
        if routed.len() < asked {
            self.drop_redirected(key, asked - routed.len());
        }
        let is_flushed = self.active[key].flush != Flush::No;
        let probes_limit = self.setup.settings.address_verify_pending_request_limit;
        let is_probe = self.active[key].trace == Trace::ServerProbe;
        let is_excess = is_probe && self.probes > probes_limit;
        let is_aliased = is_probe && self.active[key].stored.envelope.recipients.len() > 1;
        let mut placed = Vec::with_capacity(routed.len());
        for Routed { index, to } in routed {
            let verdict = is_aliased
                .then_some(ALIASED)
                .or_else(|| shortcut(&to, is_flushed, &self.setup))
                .or(is_excess.then_some(TOO_MANY_PROBES));
            match (verdict, to) {
                (None, Ok(route)) => {
                    let limits = self.limits(&route.transport);
                    let delimiter = &self.setup.settings.recipient_delimiter;
                    placed.push(Placed::new(index, route, limits, delimiter));
                }
                (verdict, to) => {
                    let (status, reason) = verdict.unwrap_or(RESOLVER_FAILURE);
                    let address = self.routed_address(key, index, to);
                    self.settle(key, index, address, status, reason.to_owned(), now);
                }
            }
        }
        self.queue(key, placed, now);
    }

    /// REDIRECT: the first recipient has gone for all.
    fn drop_redirected(&mut self, key: MessageKey, count: usize) {
        self.active[key].skip_unread();
        self.release_recipients(key, count);
    }

    fn queue(&mut self, key: MessageKey, placed: Vec<Placed>, now: Time) {
        let active = &self.active[key];
        let is_single = routing::extra(&active.stored, "verp_delims").is_some();
        let (batches, duplicates) = routing::batches(placed, &active.stored, is_single);
        for index in duplicates {
            self.drop_duplicate(key, index, now);
        }
        for batch in batches {
            let Active { since, unread, flush, .. } = self.active[key];
            let transport = self.obtain_transport(&batch.transport, now);
            if flush == Flush::Message {
                self.scheduler.revive_one(transport, &batch.group.destination);
            }
            let destination = batch.group.destination.clone();
            match self.scheduler.add(key, transport, batch.group, unread, since) {
                Ok(()) => self.warn_of_clog(transport, &destination, now),
                Err(dropped) => self.defer_dropped(dropped, now),
            }
        }
    }

    /// A transport that master.cf does not have is as one that cannot be reached: with Postfix, its socket is missing.
    fn obtain_transport(&mut self, name: &str, now: Time) -> usize {
        if let Some(key) = self.scheduler.find(name).filter(|_| self.setup.transports.contains_key(name)) {
            return key;
        }
        let key = self.scheduler.transport(name, crate::scheduler::Limits::default());
        self.lose_transport(key, now);
        key
    }

    fn lose_transport(&mut self, key: usize, now: Time) {
        if self.scheduler.is_dead_transport(key) {
            return;
        }
        let name = self.scheduler.name(key).clone();
        let what = "No such file or directory";
        self.context.qmgr_log.warning(format_args!("connect to transport private/{name}: {what}"));
        let why = Suspension { status: DsnStatus::new(4, 3, 0), reason: "mail transport unavailable".into() };
        for dropped in self.scheduler.kill_transport(key, why, now) {
            self.defer_dropped(dropped, now);
        }
    }

    /// Starts a delivery as a task.
    pub(super) fn deliver(&mut self, selected: Selected, now: Time) {
        let Selected { entry, transport, message, nexthop, recipients, reuse } = selected;
        self.deliveries.insert(entry, (message, recipients.len()));
        let Some(setup) = self.setup.transports.get(&**self.scheduler.name(transport)) else {
            return self.deliver_nowhere(entry, transport, message, recipients, now);
        };
        let active = &self.active[message];
        let filing = Filing { soft_bounce: setup.soft_bounce, ..self.filing(active, &setup.log, now) };
        let delivery = Arc::new(Delivery::new(filing, &self.context, recipients.clone()));
        let is_probe = active.trace.is_probe();
        let job = Job {
            purpose: if is_probe { Purpose::Probe } else { Purpose::Deliver },
            sender: job_sender(active, &recipients),
            message: active.stored.clone(),
            nexthop,
            recipients,
            reuse,
            reports: delivery.clone(),
        };
        let ending = Ending { entry, delivery, events: self.events.clone(), verdict: None };
        // The ending's event is what is waited for.
        let daemon_timeout = self.setup.settings.daemon_timeout;
        drop(tokio::spawn(delivery::run(setup.agent.clone(), job, daemon_timeout, ending)));
    }

    /// The transport went away by a reload while this waited.
    fn deliver_nowhere(
        &mut self,
        entry: EntryKey,
        transport: usize,
        message: MessageKey,
        recipients: Vec<JobRecipient>,
        now: Time,
    ) {
        self.deliveries.remove(&entry);
        self.scheduler.done(entry, Feeling::Neutral, now);
        self.lose_transport(transport, now);
        let why = Arc::new(Suspension {
            status: DsnStatus::new(4, 3, 0),
            reason: "mail transport unavailable".into(),
        });
        self.defer_dropped(Dropped { message, recipients, why }, now);
    }

    pub(super) fn take_end(&mut self, entry: EntryKey, feeling: Feeling, pass: Pass) {
        let now = self.context.clock.now();
        let Some((message, count)) = self.deliveries.remove(&entry) else { return };
        for dropped in self.scheduler.done(entry, feeling, now) {
            self.defer_dropped(dropped, now);
        }
        self.active[message].pass.append(pass);
        self.release_recipients(message, count);
    }

    fn defer_dropped(&mut self, dropped: Dropped, now: Time) {
        let Dropped { message, recipients, why } = dropped;
        for JobRecipient { index, address } in recipients {
            self.settle(message, index, address, why.status, why.reason.clone(), now);
        }
    }

    /// Ends one outstanding recipient without an agent.
    fn settle(
        &mut self,
        key: MessageKey,
        index: u32,
        address: Address,
        status: DsnStatus,
        reason: String,
        now: Time,
    ) {
        let fate = match status.class() {
            2 => Fate::Sent,
            5 => Fate::Bounced,
            _ => Fate::Deferred,
        };
        let outcome =
            Outcome { recipient: index, fate, status, reason, remote_mta: None, diagnostic: None, at: now };
        let log = if fate == Fate::Sent { &self.context.qmgr_log } else { &self.context.error_log };
        let filing = self.filing(&self.active[key], log, now);
        filing.file(&mut self.active[key].pass, Subject::Recipient(address), Report::new(outcome));
        self.release_recipients(key, 1);
    }

    fn filing(&self, active: &Active, log: &Logger, started: Time) -> Filing {
        let is_delay_cleared = self.setup.settings.confirm_delay_cleared && active.is_warned;
        Filing {
            spool: self.context.spool.clone(),
            log: log.clone(),
            probed: self.context.probed.clone(),
            soft_bounce: false,
            stored: active.stored.clone(),
            since: active.since,
            started,
            curiosity: Curiosity { is_delay_cleared, trace: active.trace },
        }
    }

    /// Postfix: the copy that is left out is not logged.
    fn drop_duplicate(&mut self, key: MessageKey, index: u32, now: Time) {
        let outcome = Outcome {
            recipient: index,
            fate: Fate::Sent,
            status: DsnStatus::new(2, 0, 0),
            reason: "duplicate recipient".into(),
            remote_mta: None,
            diagnostic: None,
            at: now,
        };
        self.context.spool.record(self.active[key].id(), &[outcome], None);
        self.release_recipients(key, 1);
    }

    pub(super) fn release_recipients(&mut self, key: MessageKey, count: usize) {
        self.active[key].outstanding -= count;
        self.recipients -= count;
        self.touched.push_back(key);
    }

    fn routed_address(&self, key: MessageKey, index: u32, to: Result<Route, Unroutable>) -> Address {
        match to {
            Ok(route) if !route.recipient.is_null() => route.recipient,
            _ => self.active[key].stored.envelope.recipients[index as usize].address.clone(),
        }
    }

    /// `postsuper -e`: what was deferred goes back with the reason it has; the rest gets one.
    pub(super) fn give_up(&mut self, key: MessageKey, now: Time) {
        let active = &mut self.active[key];
        let indexes = active.take_slice(usize::MAX);
        self.recipients += indexes.len();
        for index in indexes {
            let stored = self.active[key].stored.clone();
            let address = stored.envelope.recipients[index as usize].address.clone();
            match stored.outcomes[index as usize].clone() {
                Some(outcome) => {
                    let entry =
                        crate::notice::Entry::new(address, outcome, "none", crate::Success::Delivered);
                    self.active[key].pass.deferred.push(entry);
                    self.release_recipients(key, 1);
                }
                None => {
                    let reason = "message is administratively expired".to_owned();
                    self.settle(key, index, address, DsnStatus::new(4, 7, 0), reason, now);
                }
            }
        }
    }

    /// The end of a pass.
    fn conclude(&mut self, key: MessageKey) {
        let now = self.context.clock.now();
        let active = &mut self.active[key];
        if active.doom.is_some() {
            return self.finish_doomed(key);
        }
        if !conclude::needs_telling(active, &self.setup, now) {
            let end = if active.pass.deferred.is_empty() { End::Done } else { End::Later };
            return self.finish_pass(key, end, now);
        }
        active.is_concluding = true;
        self.tellings += 1;
        let telling = Telling {
            context: self.context.clone(),
            setup: self.setup.clone(),
            stored: active.stored.clone(),
            pass: std::mem::take(&mut active.pass),
            is_force_expired: active.is_force_expired,
            is_warned: active.is_warned,
            trace: active.trace,
            now,
        };
        let announcement = Announcement { message: key, end: End::Later, events: self.events.clone() };
        // The announcement's event is what is waited for.
        drop(tokio::spawn(conclude::run(telling, announcement)));
    }

    pub(super) fn take_conclusion(&mut self, key: MessageKey, end: End) {
        self.tellings -= 1;
        let now = self.context.clock.now();
        match (self.active[key].doom, end) {
            (None, end) | (Some(Admin::Hold | Admin::Requeue), end @ End::Done) => {
                self.finish_pass(key, end, now)
            }
            (Some(_), _) => self.finish_doomed(key),
        }
    }

    fn finish_pass(&mut self, key: MessageKey, end: End, now: Time) {
        let active = self.forget(key);
        let id = active.id();
        match end {
            End::Done => {
                self.context.spool.finish(id);
                self.context.qmgr_log.event(&Removed { id });
            }
            End::Later => {
                let due = self.setup.settings.next_attempt(active.stored.envelope.arrival, now);
                self.context.spool.record(id, &[], Some(due));
                self.backlog.defer(id, due, now);
                if active.stored.content.is_damaged() {
                    self.set_aside(id);
                }
            }
        }
    }

    /// Takes a message out of the queue whose content cannot be delivered. If that fails it stays where it is, and is tried again.
    fn set_aside(&self, id: QueueId) {
        let (spool, log) = (self.context.spool.clone(), self.context.qmgr_log.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = spool.set_aside(id) {
                log.warning(format_args!("{id}: cannot set the damaged message aside: {error}"));
            }
        });
    }

    /// Does what was asked while deliveries were under way. What they reported is in the spool.
    fn finish_doomed(&mut self, key: MessageKey) {
        let active = self.forget(key);
        let id = active.id();
        match active.doom {
            Some(Admin::Hold) => self.backlog.hold(id),
            Some(Admin::Delete) => {}
            _ => self.backlog.add_incoming(id),
        }
    }

    fn forget(&mut self, key: MessageKey) -> Active {
        let active = self.active.remove(key);
        self.active_of.remove(&active.id());
        self.probes -= usize::from(active.trace == Trace::ServerProbe);
        active
    }
}

/// The envelope sender, or for VERP the one made for the job's only recipient.
fn job_sender(active: &Active, recipients: &[JobRecipient]) -> Address {
    let envelope = &active.stored.envelope;
    let delimiters = routing::extra(&active.stored, "verp_delims");
    match (delimiters, recipients.first()) {
        (Some(delimiters), Some(first)) if !envelope.sender.is_null() => {
            let recipient = &envelope.recipients[first.index as usize];
            let original = recipient.original.as_ref().unwrap_or(&recipient.address);
            verp_sender(&envelope.sender, delimiters, original)
        }
        _ => envelope.sender.clone(),
    }
}

async fn await_routes(routes: Pin<Box<impl Future<Output = Vec<Routed>>>>, failure: RouteFailure) {
    let routed = routes.await;
    let (message, asked) = (failure.message, failure.indexes.len());
    // The manager is gone only when the whole server is.
    let _ = failure.events.send(Event::Routed { message, asked, routed });
    failure.disarm();
}

/// Announces, when it is dropped, that routing failed: a panic is as good as a table that cannot be asked.
struct RouteFailure {
    message: MessageKey,
    indexes: Vec<u32>,
    events: UnboundedSender<Event>,
}

impl RouteFailure {
    fn disarm(mut self) {
        self.indexes.clear();
    }
}

impl Drop for RouteFailure {
    fn drop(&mut self) {
        if self.indexes.is_empty() {
            return;
        }
        let asked = self.indexes.len();
        let fail = |index| Routed { index, to: Err(Unroutable::TryLater) };
        let routed = std::mem::take(&mut self.indexes).into_iter().map(fail).collect();
        // The manager is gone only when the whole server is.
        let _ = self.events.send(Event::Routed { message: self.message, asked, routed });
    }
}
