//! `default_delivery_status_filter` and its like: another status and text for what an agent reports.

use logger::Logger;
use mail::{DsnStatus, Fate, Outcome};
use qmgr::{Agent, Expanded, Job, Member, Report, Reporter, Reports, Verdict};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tables::Maps;

/// An agent whose reports are filtered.
pub struct StatusFilter {
    pub agent: Arc<dyn Agent>,
    /// Asked about `4.7.1 text`.
    pub maps: Maps,
    pub log: Logger,
}

impl Agent for StatusFilter {
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        let reports = Arc::new(Filtered { filter: self.clone(), reports: job.reports.clone() });
        self.agent.clone().deliver(Job { reports, ..job })
    }
}

struct Filtered {
    filter: Arc<StatusFilter>,
    reports: Reports,
}

impl Reporter for Filtered {
    fn report(&self, mut report: Report) {
        self.filter.apply(&mut report.outcome);
        self.reports.report(report);
    }

    fn report_member(&self, member: Member, mut report: Report) -> Fate {
        self.filter.apply(&mut report.outcome);
        self.reports.report_member(member, report)
    }

    fn settle(&self, outcome: Outcome, expanded: Option<Expanded>) {
        self.reports.settle(outcome, expanded);
    }
}

impl StatusFilter {
    /// Success stays success, and failure failure, for now or for good. A table that cannot be asked changes nothing.
    fn apply(&self, outcome: &mut Outcome) {
        let key = format!("{} {}", outcome.status, outcome.reason);
        let Ok(Some(by)) = self.maps.get_now(key.as_bytes()) else { return };
        let by = String::from_utf8_lossy(&by);
        let is_sent = outcome.status.class() == 2;
        let (status, text) = DsnStatus::split_from(&by);
        let Some(status) = status.filter(|status| (status.class() == 2) == is_sent) else {
            let parameter = self.maps.parameter();
            return self.log.warning(format_args!("{parameter}: bad status code: {by}"));
        };
        outcome.fate = match status.class() {
            4 => Fate::Deferred,
            5 => Fate::Bounced,
            _ => outcome.fate,
        };
        outcome.status = status;
        if !text.is_empty() {
            outcome.reason = text.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::tests::quiet;
    use crate::verdicts::DiscardAgent;
    use mail::Time;
    use tables::OpenContext;

    #[test]
    fn what_becomes_of_outcomes() {
        let open = |path: &std::path::Path| std::fs::File::open(path);
        let context = OpenContext::new(Arc::new(open), Arc::new(|_, _: &str| {}));
        let spec = "regexp:{ {/^5.1.1 gone/ 4.1.1 perhaps} {/^4.2.2 full/ 5.2.2 full for good} \
                    {/^2.0.0 ok/ 5.0.0 no} {/^5.0.0 x/ 2.0.0 ok} {/^2.0.0 y/ 2.1.5 fine} {/^4.0.0 z/ nonsense} \
                    {/^4.3.2/ 5.3.2} }";
        let table = tables::open(spec, &context).expect("a table");
        let now = || Time::from_secs(0);
        let filter = StatusFilter {
            agent: Arc::new(DiscardAgent { now, log: quiet() }),
            maps: Maps::new("smtp_delivery_status_filter", vec![table]),
            log: quiet(),
        };
        for (before, after) in [
            ("5.1.1 gone", "4.1.1 perhaps Deferred"),
            ("4.2.2 full", "5.2.2 full for good Bounced"),
            ("2.0.0 ok", "2.0.0 ok Sent"),
            ("2.0.0 y", "2.1.5 fine Sent"),
            ("5.0.0 x", "5.0.0 x Bounced"),
            ("4.0.0 z", "4.0.0 z Deferred"),
            ("4.3.2 no text", "5.3.2 no text Bounced"),
            ("4.4.4 unknown", "4.4.4 unknown Deferred"),
        ] {
            let (status, reason) = DsnStatus::split_from(before);
            let status = status.expect("it has one");
            let fate = match status.class() {
                2 => Fate::Sent,
                4 => Fate::Deferred,
                _ => Fate::Bounced,
            };
            let reason = reason.to_owned();
            let mut outcome =
                Outcome { recipient: 0, fate, status, reason, remote_mta: None, diagnostic: None, at: now() };
            filter.apply(&mut outcome);
            assert_eq!(format!("{} {} {:?}", outcome.status, outcome.reason, outcome.fate), after);
        }
    }
}
