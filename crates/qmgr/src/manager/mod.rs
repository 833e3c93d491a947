//! The queue manager's task: it owns the scheduler and every message that is being worked on.
//!
//! All that happens comes in as an event: new messages, what the spool had, routes, ended deliveries, ended notices, commands.
//! Nothing here waits for a disk, a table or a peer; that is done by tasks that send an event when they are through, and that
//! send it even when they panic.

mod active;
mod administer;
mod clog;
mod conclude;
mod delivery;
mod feed;
mod handle;
mod pass;
mod routing;
#[cfg(test)]
mod tests;

pub use handle::{Counts, Handle};

use crate::backlog::{Backlog, Flush};
use crate::scheduler::slab::Slab;
use crate::scheduler::{EntryKey, Feeling, MessageKey, Scheduler};
use crate::{Context, Setup};
use active::{Active, Pass};
use conclude::End;
use feed::Loaded;
use handle::Command;
use mail::{QueueId, Time};
use routing::Routed;
use spool::{Admin, Arrival, Health, Summary};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Arrivals and events that are taken before deliveries are started, at most.
const EVENTS_AT_ONCE: usize = 128;

pub struct Manager {
    context: Context,
    setup: Arc<Setup>,
    scheduler: Scheduler,
    backlog: Backlog,
    active: Slab<Active>,
    active_of: HashMap<QueueId, MessageKey>,
    /// Active messages for which something may be left to do: the next recipients, or the end of the pass.
    touched: VecDeque<MessageKey>,
    /// Messages that are being read, and what was asked for them meanwhile.
    loading: HashMap<QueueId, Option<Admin>>,
    /// Which message and how many recipients a delivery has.
    deliveries: HashMap<EntryKey, (MessageKey, usize)>,
    /// Recipients of active messages that are routed, wait, or are under way (`qmgr_message_recipient_limit`).
    recipients: usize,
    /// Active probes of address verification.
    probes: usize,
    /// Notices that are being queued.
    tellings: usize,
    was_full: bool,
    /// Outcomes cannot be recorded: nothing is started.
    is_paused: bool,
    stopping: Vec<oneshot::Sender<()>>,
    incoming: Arc<AtomicUsize>,
    events: UnboundedSender<Event>,
}

/// What happens to the manager.
enum Event {
    /// Messages that were in the spool.
    Indexed(Vec<Summary>),
    Loaded(Vec<Loaded>),
    /// The routes of `asked` recipients; fewer if one stands for all.
    Routed {
        message: MessageKey,
        asked: usize,
        routed: Vec<Routed>,
    },
    Ended {
        entry: EntryKey,
        feeling: Feeling,
        pass: Pass,
    },
    Concluded {
        message: MessageKey,
        end: End,
    },
    Command(Command),
}

/// Where events come from.
struct Sources {
    arrivals: UnboundedReceiver<Arrival>,
    events: UnboundedReceiver<Event>,
    health: watch::Receiver<Health>,
}

impl Manager {
    /// Starts the queue manager as a task of the current runtime. It takes the spool's arrivals, and what the spool had.
    ///
    /// The task ends after [`Handle::shutdown`]; its owner waits for it.
    pub fn start(context: Context, setup: Setup) -> (Handle, JoinHandle<()>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let incoming = Arc::new(AtomicUsize::new(0));
        let handle = Handle { events: events.clone(), incoming: incoming.clone() };
        let sources =
            Sources { arrivals: context.spool.arrivals(), events: receiver, health: context.spool.health() };
        let manager = Manager::new(context, Arc::new(setup), events, incoming);
        let index = manager.read_index();
        (handle, tokio::spawn(manager.run(sources, index)))
    }

    fn new(
        context: Context,
        setup: Arc<Setup>,
        events: UnboundedSender<Event>,
        incoming: Arc<AtomicUsize>,
    ) -> Manager {
        let settings = &setup.settings;
        let scheduler = Scheduler::new(
            settings.minimal_backoff_time,
            settings.transport_retry_time,
            settings.qmgr_message_recipient_limit * 2,
        );
        let backlog = Backlog::new(context.clock.now(), settings.queue_run_delay);
        let mut manager = Manager {
            context,
            setup: setup.clone(),
            scheduler,
            backlog,
            active: Slab::new(),
            active_of: HashMap::new(),
            touched: VecDeque::new(),
            loading: HashMap::new(),
            deliveries: HashMap::new(),
            recipients: 0,
            probes: 0,
            tellings: 0,
            was_full: false,
            is_paused: false,
            stopping: Vec::new(),
            incoming,
            events,
        };
        manager.take_transports();
        manager
    }

    async fn run(mut self, mut sources: Sources, index: JoinHandle<()>) {
        let mut arrivals = Vec::with_capacity(EVENTS_AT_ONCE);
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        // The spool announces nothing any more once it is closed.
        let mut is_open = true;
        self.take_health(&sources.health.borrow_and_update().clone());
        loop {
            self.drive();
            if self.has_stopped() {
                break;
            }
            let wait = self.next_timer().map(|time| time.since(self.context.clock.now()));
            tokio::select! {
                _ = sources.events.recv_many(&mut events, EVENTS_AT_ONCE) => {}
                n = sources.arrivals.recv_many(&mut arrivals, EVENTS_AT_ONCE), if is_open => is_open = n > 0,
                Ok(()) = sources.health.changed() => {}
                () = sleep(wait), if wait.is_some() => {}
            }
            self.take_health(&sources.health.borrow_and_update().clone());
            events.drain(..).for_each(|event| self.take_event(event));
            arrivals.drain(..).for_each(|arrival| self.take_arrival(arrival));
        }
        // Nobody listens any more: the reading of the index ends, if it has not.
        drop(sources);
        if index.await.is_err() {
            self.context.qmgr_log.warning(format_args!("the spool's index could not be read"));
        }
        for done in self.stopping {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }

    /// Runs timers, reads what is due and starts what may start.
    fn drive(&mut self) {
        let now = self.context.clock.now();
        self.scheduler.tick(now);
        self.backlog.run_scans(now);
        self.go_on();
        while self.may_start() {
            self.feed();
            while let Some(selected) = self.scheduler.next(now) {
                self.deliver(selected, now);
            }
            // A delivery may have found its transport gone.
            if self.touched.is_empty() {
                break;
            }
            self.go_on();
        }
        self.incoming.store(self.backlog.incoming(), Ordering::Relaxed);
    }

    fn has_stopped(&self) -> bool {
        !self.stopping.is_empty()
            && self.deliveries.is_empty()
            && self.loading.is_empty()
            && self.tellings == 0
    }

    fn may_start(&self) -> bool {
        !self.is_paused && self.stopping.is_empty()
    }

    fn next_timer(&self) -> Option<Time> {
        [self.scheduler.next_timer(), self.backlog.next_scan()].into_iter().flatten().min()
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Indexed(summaries) => self.take_summaries(summaries),
            Event::Loaded(loaded) => loaded.into_iter().for_each(|one| self.take_loaded(one)),
            Event::Routed { message, asked, routed } => {
                self.place(message, asked, routed);
                self.touched.push_back(message);
            }
            Event::Ended { entry, feeling, pass } => self.take_end(entry, feeling, pass),
            Event::Concluded { message, end } => self.take_conclusion(message, end),
            Event::Command(command) => self.take_command(command),
        }
    }

    fn take_health(&mut self, health: &Health) {
        let is_failing = matches!(health, Health::Failing(_));
        if let Health::Failing(text) = health
            && !self.is_paused
        {
            self.context
                .qmgr_log
                .warning(format_args!("deliveries pause while the spool is failing: {text}"));
        } else if !is_failing && self.is_paused {
            self.context.qmgr_log.info(format_args!("the spool works again: deliveries go on"));
        }
        self.is_paused = is_failing;
    }

    /// Tells the scheduler the limits of the transports there are.
    fn take_transports(&mut self) {
        let mut named: Vec<_> = self.setup.transports.iter().collect();
        named.sort_by_key(|(name, _)| *name);
        for (name, transport) in named {
            self.scheduler.transport(name, transport.limits.clone());
        }
    }

    fn limits(&self, transport: &str) -> Option<&crate::scheduler::Limits> {
        self.setup.transports.get(transport).map(|t| &t.limits)
    }
}

async fn sleep(wait: Option<Duration>) {
    if let Some(wait) = wait {
        tokio::time::sleep(wait).await;
    }
}
