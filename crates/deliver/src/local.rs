//! local(8): mail for users of this machine goes into their mailboxes.

use crate::mailbox::client::MailboxProcesses;
use crate::mailbox::{Failure, Prelude};
use mail::keys::Extensions;
use mail::{Address, DsnStatus, Fate, Outcome, Time};
use qmgr::{Agent, Job, JobRecipient, Report, Verdict};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What local delivery works with.
pub struct LocalAgent {
    pub mailboxes: Arc<MailboxProcesses>,
    pub recipient_delimiter: Extensions,
    /// `prepend_delivered_header` has `file`.
    pub prepends_delivered_to: bool,
    pub now: fn() -> Time,
    /// Whether there is such a user. `Err`: the password file cannot be asked now.
    pub is_user: fn(&str) -> Result<bool, String>,
}

impl Agent for LocalAgent {
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        Box::pin(async move {
            for recipient in &job.recipients {
                let result = self.deliver_to(&job, recipient).await;
                job.reports.report(self.report(recipient, result));
            }
            Verdict::Alive
        })
    }
}

impl LocalAgent {
    async fn deliver_to(&self, job: &Job, recipient: &JobRecipient) -> Result<String, Failure> {
        let user = self.user(&recipient.address)?;
        let original = &job.message.envelope.recipients[recipient.index as usize].original;
        let prelude = Prelude {
            sender: job.sender.clone(),
            original_to: original.clone().or_else(|| Some(recipient.address.clone())),
            delivered_to: self.prepends_delivered_to.then(|| recipient.address.clone()),
            now: (self.now)(),
        };
        self.mailboxes.deliver(&user, &prelude, &job.message.content).await
    }

    /// The user whom the address means: its local part in lower case, without an extension if only that is a user.
    fn user(&self, address: &Address) -> Result<String, Failure> {
        let local = address.local().to_ascii_lowercase();
        let whole = String::from_utf8_lossy(&local).into_owned();
        if self.is_known(&whole)? {
            return Ok(whole);
        }
        if let Some((base, _)) = self.recipient_delimiter.split(&local) {
            let base = String::from_utf8_lossy(base).into_owned();
            if self.is_known(&base)? {
                return Ok(base);
            }
        }
        let shown = String::from_utf8_lossy(address.local());
        Err(Failure { status: DsnStatus::new(5, 1, 1), reason: format!("unknown user: \"{shown}\"") })
    }

    fn is_known(&self, user: &str) -> Result<bool, Failure> {
        (self.is_user)(user).map_err(|reason| Failure { status: DsnStatus::new(4, 3, 0), reason })
    }

    fn report(&self, recipient: &JobRecipient, result: Result<String, Failure>) -> Report {
        let (fate, status, reason) = match result {
            Ok(said) => (Fate::Sent, DsnStatus::new(2, 0, 0), said),
            Err(f) if f.status.class() == 4 => (Fate::Deferred, f.status, f.reason),
            Err(f) => (Fate::Bounced, f.status, f.reason),
        };
        let diagnostic = (fate != Fate::Sent).then(|| format!("X-Postfix; {reason}"));
        let at = (self.now)();
        let outcome =
            Outcome { recipient: recipient.index, fate, status, reason, remote_mta: None, diagnostic, at };
        Report { relay: "local".into(), ..Report::new(outcome) }
    }
}
