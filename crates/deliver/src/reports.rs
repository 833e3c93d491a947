//! What agents have in common when they tell what became of mail.

use crate::command::Note;
use crate::failure::Failure;
use logger::Logger;
use mail::{DsnStatus, Fate, Outcome, Time};
use qmgr::{JobRecipient, Report};
use std::time::Instant;

/// The report of a recipient that was delivered, or not.
pub(crate) fn report(
    relay: &str,
    recipient: &JobRecipient,
    result: Result<String, Failure>,
    started: Instant,
    at: Time,
) -> Report {
    let (fate, Failure { status, reason, diagnostic }) = match result {
        Ok(said) => (Fate::Sent, Failure::new(DsnStatus::new(2, 0, 0), said)),
        Err(failure) if failure.is_temporary() => (Fate::Deferred, failure),
        Err(failure) => (Fate::Bounced, failure),
    };
    let diagnostic = diagnostic.or_else(|| (fate != Fate::Sent).then(|| format!("X-Postfix; {reason}")));
    let outcome =
        Outcome { recipient: recipient.index, fate, status, reason, remote_mta: None, diagnostic, at };
    Report { relay: relay.to_owned(), transfer: started.elapsed(), ..Report::new(outcome) }
}

/// Logs what a delivery process had to say besides. `program`: all that is left of its name in some lines.
pub(crate) fn log_notes(log: &Logger, program: &str, notes: Vec<Note>) {
    for note in notes {
        match note {
            Note::Warning(text) => log.warning(format_args!("{text}")),
            Note::Fatal(text) => log.fatal(format_args!("{text}")),
            Note::BareFatal(text) => log.tagged(program).fatal(format_args!("{text}")),
        }
    }
}

/// Bounced, though the status says otherwise: a command said so.
pub(crate) fn warn_of_status(log: &Logger, failure: &Failure) {
    if failure.status.class() == 2 {
        log.warning(format_args!("bounce_append: ignoring dsn code \"{}\"", failure.status));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use logger::Target;
    use mail::{Envelope, QueueId, Recipient};
    use qmgr::{Expanded, Job, Member, Purpose, Reporter, Reuse};
    use spool::{Content, Stored};
    use std::sync::{Arc, Mutex};

    /// A log that nobody reads.
    pub(crate) fn quiet() -> Logger {
        let null = std::fs::OpenOptions::new().write(true).open("/dev/null").expect("there");
        Logger::direct(Target::File(null), "postfix")
    }

    /// What was reported.
    #[derive(Default)]
    pub(crate) struct Recorded(Mutex<Vec<Report>>);

    impl Recorded {
        pub(crate) fn said(&self) -> String {
            let reports = self.0.lock().expect("no panic");
            let line = |r: &Report| {
                let o = &r.outcome;
                format!("{} {} {:?} {}", o.recipient, o.status, o.fate, o.reason)
            };
            reports.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    }

    impl Reporter for Recorded {
        fn report(&self, report: Report) {
            self.0.lock().expect("no panic").push(report);
        }

        fn report_member(&self, _: Member, report: Report) -> Fate {
            let fate = report.outcome.fate;
            self.report(report);
            fate
        }

        fn settle(&self, _: Outcome, _: Option<Expanded>) {}
    }

    /// A small message to these.
    pub(crate) fn job(recipients: &[&str], recorded: &Arc<Recorded>) -> Job {
        let recipient = |address: &&str| Recipient { address: (*address).into(), ..Recipient::default() };
        let envelope = Envelope {
            sender: "s@remote.example".into(),
            recipients: recipients.iter().map(recipient).collect(),
            size: 99,
            ..Envelope::default()
        };
        let content = Content::new("Subject: x\r\n", "\r\nHello\r\n");
        let id = QueueId::short(Time::default(), 0xABC);
        let to = |(n, address): (usize, &&str)| JobRecipient { index: n as u32, address: (*address).into() };
        Job {
            message: Arc::new(Stored::new(id, envelope, content)),
            purpose: Purpose::Deliver,
            sender: "s@remote.example".into(),
            nexthop: "next.hop".into(),
            recipients: recipients.iter().enumerate().map(to).collect(),
            reuse: Reuse::default(),
            reports: recorded.clone(),
        }
    }
}
