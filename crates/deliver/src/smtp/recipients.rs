//! A job's recipients: who is left, and what became of the others.

use super::settings::Settings;
use mail::{Fate, Outcome};
use qmgr::{Job, Report, Success};
use smtp::client::{Failure, ServerReply};
use std::time::{Duration, Instant};

/// What reports say of the connection.
#[derive(Clone, Debug)]
pub(super) struct Via {
    /// `host[address]:port`, or `none`.
    pub(super) relay: String,
    pub(super) host: String,
    pub(super) uses: u32,
    pub(super) success: Success,
    /// When the conversation was ready for mail; None while it is not.
    pub(super) ready: Option<Instant>,
}

/// The recipients of a job whose fate is open.
pub(super) struct Recipients<'a> {
    job: &'a Job,
    settings: &'a Settings,
    begun: Instant,
    /// Indexes into the job's.
    left: Vec<usize>,
    /// What kept those who are left from being served.
    trouble: Option<Failure>,
}

impl Via {
    /// No connection at all.
    pub(super) fn none() -> Via {
        Via { relay: "none".into(), host: String::new(), uses: 1, success: Success::Relayed, ready: None }
    }
}

impl<'a> Recipients<'a> {
    pub(super) fn new(job: &'a Job, settings: &'a Settings, begun: Instant) -> Recipients<'a> {
        Recipients { job, settings, begun, left: (0..job.recipients.len()).collect(), trouble: None }
    }

    pub(super) fn left(&self) -> &[usize] {
        &self.left
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn set_trouble(&mut self, failure: Failure) {
        self.trouble = Some(failure);
    }

    pub(super) fn take_trouble(&mut self) -> Option<Failure> {
        self.trouble.take()
    }

    /// A recipient's fate at a server. What another server may think better of stays open, unless this is the last.
    pub(super) fn decide(
        &mut self,
        recipient: usize,
        result: Result<ServerReply, Failure>,
        via: &Via,
        is_last: bool,
    ) {
        match result {
            Ok(reply) => {
                let outcome = self.outcome(recipient, Fate::Sent, Conclusion::of(&reply, via));
                self.report(recipient, outcome, via);
            }
            Err(failure) if self.is_worth_another(&failure) && !is_last => self.pass(failure),
            Err(failure) => self.fail(recipient, &failure, via),
        }
    }

    /// The same fate for all who are left. Whether any of them is deferred now.
    pub(super) fn fail_all(&mut self, failure: &Failure, via: &Via, is_last: bool) -> bool {
        if self.is_worth_another(failure) && !is_last {
            self.pass(failure.clone());
            return false;
        }
        let is_deferred = !self.left.is_empty() && failure.status.class() == 4;
        for recipient in std::mem::take(&mut self.left) {
            self.fail(recipient, failure, via);
        }
        is_deferred
    }

    fn fail(&mut self, recipient: usize, failure: &Failure, via: &Via) {
        let fate = if failure.status.class() == 4 { Fate::Deferred } else { Fate::Bounced };
        let outcome = self.outcome(recipient, fate, Conclusion::of_failure(failure));
        self.report(recipient, outcome, via);
    }

    fn is_worth_another(&self, failure: &Failure) -> bool {
        failure.status.class() == 4 || self.settings.soft_bounce
    }

    fn pass(&mut self, failure: Failure) {
        self.settings.log.info(format_args!("{}: {}", self.job.message.id, failure.reason));
        self.trouble = Some(failure);
    }

    fn outcome(&self, recipient: usize, fate: Fate, conclusion: Conclusion) -> Outcome {
        let Conclusion { status, reason, remote_mta, diagnostic } = conclusion;
        let recipient = self.job.recipients[recipient].index;
        Outcome { recipient, fate, status, reason, remote_mta, diagnostic, at: (self.settings.now)() }
    }

    fn report(&mut self, recipient: usize, outcome: Outcome, via: &Via) {
        self.left.retain(|left| *left != recipient);
        let (setup, transfer) = match via.ready {
            Some(ready) => (ready.saturating_duration_since(self.begun), ready.elapsed()),
            None => (self.begun.elapsed(), Duration::ZERO),
        };
        self.job.reports.report(Report {
            relay: via.relay.clone(),
            connection_use: via.uses,
            setup,
            transfer,
            success: via.success,
            ..Report::new(outcome)
        });
    }
}

/// What an outcome says besides who and when.
struct Conclusion {
    status: mail::DsnStatus,
    reason: String,
    remote_mta: Option<String>,
    diagnostic: Option<String>,
}

impl Conclusion {
    fn of(reply: &ServerReply, via: &Via) -> Conclusion {
        Conclusion {
            status: reply.status,
            reason: reply.text.clone(),
            remote_mta: Some(via.host.clone()),
            diagnostic: Some(format!("smtp; {}", reply.text)),
        }
    }

    fn of_failure(failure: &Failure) -> Conclusion {
        Conclusion {
            status: failure.status,
            reason: failure.reason.clone(),
            remote_mta: failure.remote_mta.clone(),
            diagnostic: failure.diagnostic.clone(),
        }
    }
}
