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
    /// The service's.
    pub log: Logger,
    /// The service is called `retry`.
    pub defers: bool,
}

/// discard(8): the mail counts as delivered.
pub struct DiscardAgent {
    pub now: fn() -> Time,
    /// The service's.
    pub log: Logger,
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
        let fate = if self.defers { Fate::Deferred } else { Fate::Bounced };
        report_all(&job, fate, &self.log, (self.now)());
        Box::pin(async { Verdict::Alive })
    }
}

impl Agent for DiscardAgent {
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        report_all(&job, Fate::Sent, &self.log, (self.now)());
        Box::pin(async { Verdict::Alive })
    }
}

/// The text, and a status before it. One of another class than the fate's counts for nothing.
struct Text<'a> {
    status: DsnStatus,
    ignored: Option<DsnStatus>,
    text: &'a str,
}

impl Text<'_> {
    fn of(nexthop: &str, default: DsnStatus) -> Text<'_> {
        let (found, text) = DsnStatus::split_from(nexthop);
        let (status, ignored) = match found {
            Some(status) if status.class() == default.class() => (status, None),
            ignored => (default, ignored),
        };
        Text { status, ignored, text: text.trim_start() }
    }
}

fn report_all(job: &Job, fate: Fate, log: &Logger, at: Time) {
    let (default, reporter) = match fate {
        Fate::Sent => (DsnStatus::new(2, 0, 0), "sent"),
        Fate::Deferred => (DsnStatus::new(4, 0, 0), "defer_append"),
        Fate::Bounced => (DsnStatus::new(5, 0, 0), "bounce_append"),
    };
    let Text { status, ignored, text } = Text::of(&job.nexthop, default);
    for recipient in &job.recipients {
        if let Some(ignored) = ignored {
            log.warning(format_args!("{reporter}: ignoring dsn code \"{ignored}\""));
        }
        let outcome = Outcome {
            recipient: recipient.index,
            fate,
            status,
            reason: text.to_owned(),
            remote_mta: None,
            diagnostic: None,
            at,
        };
        job.reports.report(Report::new(outcome));
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
            (" spaced", "5.0.0", "spaced"),
            ("", "5.0.0", ""),
        ] {
            let found = Text::of(nexthop, bounce);
            assert_eq!((found.status.to_string().as_str(), found.text), (status, text), "{nexthop}");
            assert_eq!(found.ignored.is_some(), nexthop.starts_with('4'), "{nexthop}");
        }
    }
}
