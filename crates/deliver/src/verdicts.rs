//! The agents that need no network and no mailbox: `error` and `retry` give back the text they are given, `discard` takes all,
//! and a service that cannot work has nothing to do.

use logger::Logger;
use mail::{DsnStatus, Fate, Outcome, Time};
use qmgr::{Agent, Job, Report, Verdict};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// error(8): the nexthop is the text, perhaps with a status before it. As `error` it returns mail, as `retry` it defers it.
pub struct ErrorAgent {
    pub now: fn() -> Time,
    /// The service is called `retry`.
    pub defers: bool,
}

/// discard(8): the mail counts as delivered.
pub struct DiscardAgent {
    pub now: fn() -> Time,
}

/// A service whose line in master.cf or parameters do not work: it says so, and the mail waits for the administrator.
pub struct BrokenAgent {
    /// The service's.
    pub log: Logger,
    /// In the words in which Postfix's program gives up.
    pub why: String,
}

impl Agent for BrokenAgent {
    fn deliver(self: Arc<Self>, _: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        self.log.fatal(format_args!("{}", self.why));
        let reason = "unknown mail transport error".to_owned();
        Box::pin(async { Verdict::Dead { status: DsnStatus::new(4, 3, 0), reason } })
    }
}

impl Agent for ErrorAgent {
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        let (fate, default) = match self.defers {
            true => (Fate::Deferred, DsnStatus::new(4, 0, 0)),
            false => (Fate::Bounced, DsnStatus::new(5, 0, 0)),
        };
        let (status, text) = split_text(&job.nexthop, default);
        report_all(&job, "none", fate, status, text, (self.now)());
        Box::pin(async { Verdict::Alive })
    }
}

impl Agent for DiscardAgent {
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        let text = if job.nexthop.is_empty() { "discarded" } else { &job.nexthop };
        report_all(&job, "none", Fate::Sent, DsnStatus::new(2, 0, 0), text, (self.now)());
        Box::pin(async { Verdict::Alive })
    }
}

/// A status before the text counts if its class fits; otherwise Postfix makes it x.0.0 and drops it all the same.
fn split_text(nexthop: &str, default: DsnStatus) -> (DsnStatus, &str) {
    match DsnStatus::split_from(nexthop) {
        (Some(status), text) if status.class() == default.class() => (status, text),
        (Some(_), text) => (default, text),
        (None, text) => (default, text),
    }
}

fn report_all(job: &Job, relay: &str, fate: Fate, status: DsnStatus, text: &str, at: Time) {
    for recipient in &job.recipients {
        let outcome = Outcome {
            recipient: recipient.index,
            fate,
            status,
            reason: text.to_owned(),
            remote_mta: None,
            diagnostic: None,
            at,
        };
        job.reports.report(Report { relay: relay.to_owned(), ..Report::new(outcome) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let bounce = DsnStatus::new(5, 0, 0);
        for (nexthop, status, text) in [
            ("5.1.6 gone to nowhere", "5.1.6", "gone to nowhere"),
            ("no service", "5.0.0", "no service"),
            ("4.2.1 text", "5.0.0", "text"),
            ("", "5.0.0", ""),
        ] {
            let (found, rest) = split_text(nexthop, bounce);
            assert_eq!((found.to_string().as_str(), rest), (status, text), "{nexthop}");
        }
    }
}
