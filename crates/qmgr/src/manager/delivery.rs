//! One delivery: the agent's task, what it reports, and what is made of it when it ends, however it ends.

use super::Event;
use super::active::{Curiosity, Pass, Trace};
use crate::notice::Entry;
use crate::scheduler::{EntryKey, Feeling, Suspension};
use crate::{
    Agent, Clock, Context, Expanded, Job, JobRecipient, Member, Probed, Report, Reporter, Success, Verdict,
};
use logger::Logger;
use mail::{Address, DsnStatus, Fate, Notify, Outcome, Time};
use maillog::{Delays, Delivery as Line};
use spool::{Spool, Stored};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// In front of the reason when mail is not even tried.
const SUSPENDED: &str = "delivery temporarily suspended: ";
const UNKNOWN_ERROR: &str = "unknown mail transport error";

/// Runs the agent. Whether it returns, panics, hangs or is dropped, the manager hears of the end, and no recipient is left out.
pub(super) async fn run(agent: Arc<dyn Agent>, job: Job, daemon_timeout: Duration, ending: Ending) {
    let mut ending = ending;
    match tokio::time::timeout(daemon_timeout, agent.deliver(job)).await {
        Ok(verdict) => ending.verdict = Some(verdict),
        Err(_) => {
            let Filing { log, stored, .. } = &ending.delivery.filing;
            log.warning(format_args!("{}: delivery ended after daemon_timeout", stored.id));
        }
    }
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
    filing: Filing,
    clock: Arc<dyn Clock>,
    /// For what a dead agent leaves: `retry` would defer it.
    error_log: Logger,
    state: Mutex<State>,
}

struct State {
    /// Recipients without a fate.
    open: Vec<JobRecipient>,
    pass: Pass,
}

impl Delivery {
    pub(super) fn new(filing: Filing, context: &Context, recipients: Vec<JobRecipient>) -> Delivery {
        let state = Mutex::new(State { open: recipients, pass: Pass::default() });
        Delivery { filing, clock: context.clock.clone(), error_log: context.error_log.clone(), state }
    }

    /// Defers what the agent left open, and gives what was filed.
    fn close(&self, verdict: &Verdict) -> Pass {
        let mut state = self.lock();
        let (status, reason, log) = match verdict {
            Verdict::Alive => (DsnStatus::new(4, 3, 0), UNKNOWN_ERROR, None),
            Verdict::Dead { status, reason } => (*status, reason.as_str(), Some(&self.error_log)),
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
            let transfer = now.since(self.filing.started);
            let report = Report { transfer, log: log.cloned(), ..Report::new(outcome) };
            self.filing.file(&mut state.pass, Subject::Recipient(recipient.address), report);
        }
        std::mem::take(&mut state.pass)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // An agent that panicked while it reported leaves whole entries behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, recipient: u32) -> Option<JobRecipient> {
        let at = self.open.iter().position(|r| r.index == recipient)?;
        Some(self.open.remove(at))
    }
}

impl Reporter for Delivery {
    fn report(&self, report: Report) {
        let mut state = self.lock();
        if let Some(recipient) = state.take(report.outcome.recipient) {
            self.filing.file(&mut state.pass, Subject::Recipient(recipient.address), report);
        }
    }

    fn report_member(&self, member: Member, report: Report) -> Fate {
        let mut state = self.lock();
        match state.open.iter().any(|r| r.index == report.outcome.recipient) {
            true => self.filing.file(&mut state.pass, Subject::Member(member), report),
            false => report.outcome.fate,
        }
    }

    fn settle(&self, outcome: Outcome, expanded: Option<Expanded>) {
        let mut state = self.lock();
        let Some(recipient) = state.take(outcome.recipient) else { return };
        self.filing.record(&outcome);
        // Members that bounced or succeeded are filed already; a deferral is the recipient's own.
        let is_filed = state.pass.deferred.iter().any(|e| e.outcome.recipient == recipient.index);
        if outcome.fate == Fate::Deferred && !is_filed {
            state.pass.deferred.push(Entry::new(recipient.address, outcome, "local", Success::Delivered));
        } else if let Some(Expanded { address, success }) = expanded {
            let outcome = Outcome {
                fate: Fate::Sent,
                status: DsnStatus::new(2, 0, 0),
                reason: "alias expanded".into(),
                diagnostic: None,
                ..outcome
            };
            // Postfix: the report does not say what the alias stood in place of.
            let entry = Entry { is_expansion: true, ..Entry::new(address, outcome, "local", success) };
            self.filing.file_success(&mut state.pass, entry);
        }
    }
}

/// How what became of a message's recipients is put down: in the spool, in the log, and for the end of the pass.
pub(super) struct Filing {
    pub(super) spool: Arc<dyn Spool>,
    pub(super) log: Logger,
    pub(super) probed: Option<Arc<dyn Probed>>,
    pub(super) soft_bounce: bool,
    pub(super) stored: Arc<Stored>,
    /// When the message became active, and when this delivery began.
    pub(super) since: Time,
    pub(super) started: Time,
    pub(super) curiosity: Curiosity,
}

/// What a report is about: a recipient of the message, or one of the addresses that one was expanded to.
pub(super) enum Subject {
    Recipient(Address),
    Member(Member),
}

impl Subject {
    fn address(&self) -> &Address {
        match self {
            Subject::Recipient(address) => address,
            Subject::Member(member) => &member.address,
        }
    }

    fn is_member(&self) -> bool {
        matches!(self, Subject::Member(_))
    }

    fn is_of_list(&self) -> bool {
        matches!(self, Subject::Member(member) if member.is_of_list)
    }

    fn into_entry(self, outcome: Outcome, relay: &str, success: Success) -> Entry {
        match self {
            Subject::Recipient(address) => Entry::new(address, outcome, relay, success),
            Subject::Member(Member { address, is_of_list, return_to }) => {
                Entry { is_of_list, return_to, ..Entry::new(address, outcome, relay, success) }
            }
        }
    }
}

impl Filing {
    /// Records, logs and files; in this order. Gives the fate under which it is filed.
    pub(super) fn file(&self, pass: &mut Pass, subject: Subject, report: Report) -> Fate {
        let Report { mut outcome, relay, connection_use, setup, transfer, success, log } = report;
        let trace = self.curiosity.trace;
        let is_softened = self.soft_bounce && outcome.fate == Fate::Bounced && !trace.is_probe();
        if is_softened {
            outcome.fate = Fate::Deferred;
            outcome.status = outcome.status.with_class(4);
        }
        outcome.status = fitting(outcome.status, outcome.fate);
        if !subject.is_member() {
            self.record(&outcome);
        }
        let recipient = &self.stored.envelope.recipients[outcome.recipient as usize];
        let original = recipient.original.as_ref().unwrap_or(&recipient.address);
        if let Some(probed) = self.probed.as_ref().filter(|_| trace == Trace::ServerProbe) {
            tell_probed(&**probed, subject.address(), original, &outcome);
        }
        log.as_ref().unwrap_or(&self.log).event(&Line {
            id: self.stored.id,
            to: subject.address(),
            original: Some(original).filter(|_| !subject.is_of_list()),
            relay: &relay,
            connection_use,
            delays: Delays {
                before_queue: self.since.since(self.stored.envelope.arrival),
                in_queue: self.started.since(self.since),
                setup,
                transfer,
            },
            dsn: outcome.status,
            status: if is_softened { "SOFTBOUNCE" } else { status_word(outcome.fate, trace) },
            text: &outcome.reason,
        });
        let fate = if trace.is_probe() { Fate::Sent } else { outcome.fate };
        let is_member = subject.is_member();
        pass.file(subject.into_entry(outcome, &relay, success), recipient, is_member, self.curiosity);
        fate
    }

    /// Files what a sender is told who wants reports of success.
    fn file_success(&self, pass: &mut Pass, entry: Entry) {
        let recipient = &self.stored.envelope.recipients[entry.outcome.recipient as usize];
        if recipient.notify.has(Notify::SUCCESS) && !self.curiosity.trace.is_probe() {
            pass.succeeded.push(entry);
        }
    }

    /// A probe is over when it was made: it is not repeated.
    fn record(&self, outcome: &Outcome) {
        let mut outcome = std::borrow::Cow::Borrowed(outcome);
        if self.curiosity.trace.is_probe() {
            outcome.to_mut().fate = Fate::Sent;
        }
        self.spool.record(self.stored.id, std::slice::from_ref(&*outcome), None);
    }
}

/// Both the address that was asked for and what it became are known now.
fn tell_probed(probed: &dyn Probed, address: &Address, original: &Address, outcome: &Outcome) {
    probed.probed(original, outcome.fate, &outcome.reason);
    if address != original {
        probed.probed(address, outcome.fate, &outcome.reason);
    }
}

const fn status_word(fate: Fate, trace: Trace) -> &'static str {
    match (trace, fate) {
        (Trace::UserProbe | Trace::ServerProbe, Fate::Sent) => "deliverable",
        (Trace::UserProbe | Trace::ServerProbe, _) => "undeliverable",
        (_, Fate::Sent) => "sent",
        (_, Fate::Deferred) => "deferred",
        (_, Fate::Bounced) => "bounced",
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
