//! One delivery: the agent's task, what it reports, and what is made of it when it ends, however it ends.

use super::Event;
use super::active::{Curiosity, Pass};
use crate::notice::Entry;
use crate::scheduler::{EntryKey, Feeling, Suspension};
use crate::{Agent, Clock, Job, JobRecipient, Report, Reporter, Success, Verdict};
use logger::Logger;
use mail::{Address, DsnStatus, Fate, Outcome, Recipient, Time};
use maillog::{Delays, Delivery as Line};
use spool::{Spool, Stored};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// In front of the reason when mail is not even tried.
const SUSPENDED: &str = "delivery temporarily suspended: ";
const UNKNOWN_ERROR: &str = "unknown mail transport error";

/// Runs the agent. Whether it returns, panics or is dropped, the manager hears of the end, and no recipient is left out.
pub(super) async fn run(agent: Arc<dyn Agent>, job: Job, ending: Ending) {
    let mut ending = ending;
    ending.verdict = Some(agent.deliver(job).await);
}

/// Sends the result when it is dropped.
pub(super) struct Ending {
    pub(super) entry: EntryKey,
    pub(super) delivery: Arc<Delivery>,
    pub(super) events: UnboundedSender<Event>,
    pub(super) verdict: Option<Verdict>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let verdict = self.verdict.take().unwrap_or_else(|| Verdict::Dead {
            status: DsnStatus::new(4, 3, 0),
            reason: UNKNOWN_ERROR.into(),
        });
        let pass = self.delivery.close(&verdict);
        let feeling = match verdict {
            Verdict::Alive => Feeling::Good,
            Verdict::Dead { status, reason } => Feeling::Bad(Suspension {
                status: status.with_class(4),
                reason: format!("{SUSPENDED}{reason}"),
            }),
        };
        // The manager is gone only when the whole server is.
        let _ = self.events.send(Event::Ended { entry: self.entry, feeling, pass });
    }
}

/// The reporter of one delivery.
pub(super) struct Delivery {
    pub(super) spool: Arc<dyn Spool>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) log: Logger,
    pub(super) soft_bounce: bool,
    pub(super) stored: Arc<Stored>,
    /// When the message became active, and when this delivery began.
    pub(super) since: Time,
    pub(super) started: Time,
    pub(super) curiosity: Curiosity,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    /// Recipients without a fate.
    open: Vec<JobRecipient>,
    pass: Pass,
}

impl State {
    pub(super) fn new(recipients: Vec<JobRecipient>) -> Mutex<State> {
        Mutex::new(State { open: recipients, pass: Pass::default() })
    }

    fn take(&mut self, recipient: u32) -> Option<JobRecipient> {
        let at = self.open.iter().position(|r| r.index == recipient)?;
        Some(self.open.remove(at))
    }
}

impl Reporter for Delivery {
    fn report(&self, report: Report) {
        let mut state = self.lock();
        if let Some(recipient) = state.take(report.outcome.recipient) {
            self.conclude(&mut state, recipient.address, report, true);
        }
    }

    fn report_member(&self, member: Address, report: Report) {
        let mut state = self.lock();
        if state.open.iter().any(|r| r.index == report.outcome.recipient) {
            self.conclude(&mut state, member, report, false);
        }
    }

    fn settle(&self, outcome: Outcome) {
        let mut state = self.lock();
        let Some(recipient) = state.take(outcome.recipient) else { return };
        self.spool.record(self.stored.id, std::slice::from_ref(&outcome), None);
        // Members that bounced or succeeded are filed already; a deferral is the recipient's own.
        if outcome.fate == Fate::Deferred
            && !state.pass.deferred.iter().any(|e| e.outcome.recipient == recipient.index)
        {
            let (relay, success) = ("local".into(), Success::Delivered);
            state.pass.deferred.push(Entry { address: recipient.address, outcome, relay, success });
        }
    }
}

impl Delivery {
    /// Records, logs and files; in this order.
    fn conclude(&self, state: &mut State, address: Address, report: Report, is_recorded: bool) {
        let Report { mut outcome, relay, connection_use, setup, transfer, success } = report;
        let is_softened = self.soft_bounce && outcome.fate == Fate::Bounced;
        if is_softened {
            outcome.fate = Fate::Deferred;
            outcome.status = outcome.status.with_class(4);
        }
        outcome.status = fitting(outcome.status, outcome.fate);
        if is_recorded {
            self.spool.record(self.stored.id, std::slice::from_ref(&outcome), None);
        }
        let recipient = &self.stored.envelope.recipients[outcome.recipient as usize];
        let envelope = &self.stored.envelope;
        self.log.event(&Line {
            id: self.stored.id,
            to: &address,
            original: Some(original(recipient)),
            relay: &relay,
            connection_use,
            delays: Delays {
                before_queue: self.since.since(envelope.arrival),
                in_queue: self.started.since(self.since),
                setup,
                transfer,
            },
            dsn: outcome.status,
            status: if is_softened { "SOFTBOUNCE" } else { status_word(outcome.fate) },
            text: &outcome.reason,
        });
        state.pass.file(Entry { address, outcome, relay, success }, recipient, self.curiosity);
    }

    /// Defers what the agent left open, and gives what was filed.
    fn close(&self, verdict: &Verdict) -> Pass {
        let mut state = self.lock();
        let (status, reason) = match verdict {
            Verdict::Alive => (DsnStatus::new(4, 3, 0), UNKNOWN_ERROR),
            Verdict::Dead { status, reason } => (*status, reason.as_str()),
        };
        for recipient in std::mem::take(&mut state.open) {
            let now = self.clock.now();
            let outcome = Outcome {
                recipient: recipient.index,
                fate: Fate::Deferred,
                status,
                reason: reason.to_owned(),
                remote_mta: None,
                diagnostic: None,
                at: now,
            };
            let report = Report { transfer: now.since(self.started), ..Report::new(outcome) };
            self.conclude(&mut state, recipient.address, report, true);
        }
        std::mem::take(&mut state.pass)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // An agent that panicked while it reported leaves whole entries behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records and logs what becomes of a recipient without an agent, as Postfix's error(8) and retry(8) do.
pub(super) fn settle_without_agent(
    spool: &dyn Spool,
    log: &Logger,
    stored: &Stored,
    address: Address,
    outcome: Outcome,
    since: Time,
) -> Entry {
    spool.record(stored.id, std::slice::from_ref(&outcome), None);
    let recipient = &stored.envelope.recipients[outcome.recipient as usize];
    log.event(&Line {
        id: stored.id,
        to: &address,
        original: Some(original(recipient)),
        relay: "none",
        connection_use: 1,
        delays: Delays {
            before_queue: since.since(stored.envelope.arrival),
            in_queue: outcome.at.since(since),
            setup: Duration::ZERO,
            transfer: Duration::ZERO,
        },
        dsn: outcome.status,
        status: status_word(outcome.fate),
        text: &outcome.reason,
    });
    Entry { address, outcome, relay: "none".into(), success: Success::Delivered }
}

fn original(recipient: &Recipient) -> &Address {
    recipient.original.as_ref().unwrap_or(&recipient.address)
}

const fn status_word(fate: Fate) -> &'static str {
    match fate {
        Fate::Sent => "sent",
        Fate::Deferred => "deferred",
        Fate::Bounced => "bounced",
    }
}

/// A status of another class than the fate's says nothing; Postfix puts `2.0.0` and its like in its place.
fn fitting(status: DsnStatus, fate: Fate) -> DsnStatus {
    let class = match fate {
        Fate::Sent => 2,
        Fate::Deferred => 4,
        Fate::Bounced => 5,
    };
    if status.class() == class { status } else { DsnStatus::new(class, 0, 0) }
}
