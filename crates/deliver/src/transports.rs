//! Other transports, as `mailbox_transport` and `fallback_transport` name them: one delivery is passed on to their agents.

use crate::failure::Failure;
use logger::Logger;
use mail::{DsnStatus, Fate, Outcome};
use qmgr::{Agent, Expanded, Job, Member, Report, Reporter, Reports, Verdict};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// The agents of all transports, by name. They are known only once all are built, and some of them know this list.
#[derive(Default)]
pub struct Transports(OnceLock<HashMap<String, Transport>>);

struct Transport {
    /// Not held: some agents hold this list.
    agent: Weak<dyn Agent>,
    log: Logger,
}

impl Transports {
    /// Tells the agents there are, each with its service's log. A second call changes nothing.
    pub fn set(&self, agents: impl IntoIterator<Item = (String, Arc<dyn Agent>, Logger)>) {
        let transport = |agent: Arc<dyn Agent>, log| Transport { agent: Arc::downgrade(&agent), log };
        let agents = agents.into_iter().map(|(name, agent, log)| (name, transport(agent, log)));
        // Whoever was first has told them.
        let _ = self.0.set(agents.collect());
    }

    pub(crate) fn find(&self, name: &str) -> Option<(Arc<dyn Agent>, Logger)> {
        let Transport { agent, log } = self.0.get()?.get(name)?;
        Some((agent.upgrade()?, log.clone()))
    }
}

/// Has another transport's agent do a job of one recipient. `member`: the address is one that the recipient was expanded to.
/// Gives what became of it.
pub(crate) async fn pass(agent: Arc<dyn Agent>, log: Logger, mut job: Job, member: Option<Member>) -> Fate {
    let relay = Arc::new(Relay { reports: job.reports.clone(), member, log, fate: Mutex::new(None) });
    job.reports = relay.clone();
    let recipient = job.recipients[0].index;
    let verdict = agent.deliver(job).await;
    if relay.fate().is_none() {
        let failure = match verdict {
            Verdict::Dead { status, reason } => Failure::new(status.with_class(4), reason),
            Verdict::Alive => Failure::of_system("unknown mail transport error"),
        };
        relay.report(Report::new(outcome_of(recipient, failure)));
    }
    relay.fate().unwrap_or(Fate::Deferred)
}

fn outcome_of(recipient: u32, failure: Failure) -> Outcome {
    Outcome {
        recipient,
        fate: Fate::Deferred,
        status: DsnStatus::with_class(failure.status, 4),
        reason: failure.reason,
        remote_mta: None,
        diagnostic: failure.diagnostic,
        at: mail::Time::default(),
    }
}

/// Reports of an agent that works for another one: they appear in its own log.
struct Relay {
    reports: Reports,
    member: Option<Member>,
    log: Logger,
    fate: Mutex<Option<Fate>>,
}

impl Relay {
    fn fate(&self) -> Option<Fate> {
        *self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, fate: Fate) {
        let mut known = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(fate);
    }
}

impl Reporter for Relay {
    fn report(&self, report: Report) {
        if self.fate().is_some() {
            return;
        }
        let report = Report { log: report.log.or_else(|| Some(self.log.clone())), ..report };
        let fate = report.outcome.fate;
        match &self.member {
            None => {
                self.reports.report(report);
                self.note(fate);
            }
            Some(member) => self.note(self.reports.report_member(member.clone(), report)),
        }
    }

    fn report_member(&self, member: Member, report: Report) -> Fate {
        let report = Report { log: report.log.or_else(|| Some(self.log.clone())), ..report };
        self.reports.report_member(member, report)
    }

    fn settle(&self, outcome: Outcome, expanded: Option<Expanded>) {
        self.note(outcome.fate);
        if self.member.is_none() {
            self.reports.settle(outcome, expanded);
        }
    }
}
