//! pipe(8)'s agent: one run of the command for all recipients of a job.

use super::{Attributes, MailSystem, unknown_name};
use crate::copy::Prelude;
use crate::failure::Failure;
use crate::local::DeliveredTo;
use crate::process::client::{Conversation, Processes};
use crate::process::{PipeFacts, PipeRecipient, Reply, Request, Task};
use crate::reports::{log_notes, report, warn_of_status};
use logger::Logger;
use mail::{DsnStatus, Time};
use params::{Diagnostic, Service, View, p};
use qmgr::{Agent, Job, Purpose, Report, Success, Verdict};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

/// What delivery to a command of master.cf works with.
pub struct PipeAgent {
    pub settings: Settings,
    pub processes: Arc<Processes>,
    /// The service's.
    pub log: Logger,
    pub now: fn() -> Time,
}

/// A pipe(8) service of master.cf.
pub struct Settings {
    /// The transport's name: master.cf's first field.
    transport: String,
    /// `name/type`, by which delivery processes know the service.
    service: String,
    attributes: Attributes,
    enable_original_recipient: bool,
    /// main.cf's folder, for texts.
    config_directory: String,
}

impl Settings {
    /// Those of a service of master.cf; `view` is the service's own. The error: why it cannot work, in the words in which
    /// Postfix's gives up when mail comes for it.
    pub fn read(view: &View, service: &Service, mistakes: &mut Vec<Diagnostic>) -> Result<Settings, String> {
        let attributes = Attributes::parse(&service.args)?;
        let mail_owner = view.get(p::mail_owner, mistakes);
        let setgid_group = view.get(p::setgid_group, mistakes);
        attributes.rights(&MailSystem { mail_owner: &mail_owner, setgid_group: &setgid_group })?;
        Ok(Settings {
            transport: service.name().to_owned(),
            service: service.name_space(),
            attributes,
            enable_original_recipient: view.get(p::enable_original_recipient, mistakes),
            config_directory: view.config().host.config_directory.clone(),
        })
    }
}

/// Octets of a successful command's output that are shown.
const SAID_LIMIT: usize = 100;

impl Agent for PipeAgent {
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        Box::pin(async move {
            let started = Instant::now();
            let result = self.run(&job).await;
            if let Err(failure) = &result {
                warn_of_status(&self.log, failure);
            }
            for recipient in &job.recipients {
                let report =
                    report(&self.settings.transport, recipient, result.clone(), started, (self.now)());
                let success = match self.settings.attributes.flags.is_final {
                    true => Success::Delivered,
                    false => Success::Relayed,
                };
                job.reports.report(Report { success, ..report });
            }
            Verdict::Alive
        })
    }
}

impl PipeAgent {
    async fn run(&self, job: &Job) -> Result<String, Failure> {
        let attributes = &self.settings.attributes;
        self.check_flags(job)?;
        if attributes.size > 0 && job.message.envelope.size > attributes.size {
            return Err(Failure::new(DsnStatus::new(5, 2, 3), "message too large"));
        }
        if job.purpose == Purpose::Probe {
            return Ok(format!("delivers to command: {}", attributes.argv[0]));
        }
        if attributes.flags.delivered_to {
            self.check_loop(job).await?;
        }
        if let Some(name) = unknown_name(attributes) {
            let Settings { config_directory, transport, .. } = &self.settings;
            self.log.warning(format_args!(
                "file {config_directory}/master.cf: service {transport}: unknown macro name: \"{name}\""
            ));
            return Err(Failure::of_configuration(4));
        }
        let said = self.ask(job).await?;
        let said = said.trim_end();
        let shown = &said[..said.floor_char_boundary(SAID_LIMIT)];
        let shown = if shown.is_empty() { String::new() } else { format!(" ({shown})") };
        Ok(format!("delivered via {} service{shown}", self.settings.transport))
    }

    /// What a header of its own is for cannot be several.
    fn check_flags(&self, job: &Job) -> Result<(), Failure> {
        let flags = self.settings.attributes.flags;
        let single = [(flags.delivered_to, 'D'), (flags.original_to, 'O')];
        match single.into_iter().find(|(is_set, _)| *is_set && job.recipients.len() > 1) {
            None => Ok(()),
            Some((_, flag)) => {
                let limit = format!("{}_destination_recipient_limit", self.settings.transport);
                self.log.warning(format_args!("pipe flag `{flag}' requires {limit} = 1"));
                Err(Failure::of_configuration(4))
            }
        }
    }

    async fn check_loop(&self, job: &Job) -> Result<(), Failure> {
        let recipient = &job.recipients[0].address;
        let delivered_to = DeliveredTo::of_job(job).await;
        let delivered_to =
            delivered_to.map_err(|e| Failure::of_system(format!("cannot read message: {e}")))?;
        if !delivered_to.has(recipient) {
            return Ok(());
        }
        let why = format!("mail forwarding loop for {}", String::from_utf8_lossy(recipient.as_bytes()));
        Err(Failure::new(DsnStatus::new(5, 4, 6), why))
    }

    /// Has the command run.
    async fn ask(&self, job: &Job) -> Result<String, Failure> {
        let envelope = &job.message.envelope;
        let recipients: Vec<PipeRecipient> = job
            .recipients
            .iter()
            .map(|r| {
                let of_envelope = &envelope.recipients[r.index as usize];
                let original = of_envelope.original.as_ref().unwrap_or(&of_envelope.address);
                PipeRecipient { address: r.address.clone(), original: original.clone() }
            })
            .collect();
        let first = &recipients[0];
        let prelude = Prelude {
            sender: job.sender.clone(),
            original_to: Some(first.original.clone()).filter(|_| self.settings.enable_original_recipient),
            delivered_to: Some(first.address.clone()),
            now: (self.now)(),
        };
        let facts = PipeFacts {
            sender: job.sender.clone(),
            nexthop: job.nexthop.to_string(),
            size: envelope.size,
            queue_id: job.message.id.to_string(),
            client: envelope.client.clone(),
            recipients,
        };
        let task = Task::Pipe { service: self.settings.service.clone() };
        let request = Request::Pipe { prelude, facts };
        let mut conversation = Conversation::new(self.processes.clone());
        let answer = conversation.ask(&task, &request, Some(&job.message.content)).await;
        log_notes(&self.log, "pipe", answer.notes);
        let (result, notes) = match answer.reply? {
            Reply::Delivered { said, notes } => (Ok(said), notes),
            Reply::Failed { failure, notes } => (Err(failure), notes),
            _ => (Err(Failure::of_system("not an answer to a delivery")), Vec::new()),
        };
        log_notes(&self.log, "pipe", notes);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::client::tests::{Threads, own_name};
    use crate::reports::tests::{Recorded, job, quiet};

    /// A service whose command is one of this user's; as root there is none, and nothing is tried.
    fn agent(attributes: &str) -> Option<Arc<PipeAgent>> {
        if nix::unistd::geteuid().is_root() {
            return None;
        }
        let master_cf = format!("cmd unix - n n - - pipe user={} {attributes}\n", own_name());
        let threads = Threads::new("mail_owner = nosuchowner\nrecipient_delimiter = +\n", &master_cf);
        let view = threads.view.clone();
        let service = view.config().master.services[0].clone();
        let settings = Settings::read(&view, &service, &mut Vec::new()).expect("a service that works");
        let processes = Arc::new(Processes::new(threads));
        Some(Arc::new(PipeAgent { settings, processes, log: quiet(), now: Time::default }))
    }

    async fn run(attributes: &str, recipients: &[&str]) -> Option<String> {
        let recorded = Arc::new(Recorded::default());
        let verdict = agent(attributes)?.deliver(job(recipients, &recorded)).await;
        assert_eq!(verdict, Verdict::Alive);
        Some(recorded.said())
    }

    /// What pipe(8) of Postfix 3.7 logs of such services.
    #[tokio::test]
    async fn commands() {
        for (attributes, recipients, expect) in [
            ("argv=/bin/true", &["a@b"][..], "0 2.0.0 Sent delivered via cmd service"),
            (
                "argv=/bin/echo done with $recipient",
                &["a@b", "c d@e"],
                "0 2.0.0 Sent delivered via cmd service (done with a@b c d@e)\n\
                 1 2.0.0 Sent delivered via cmd service (done with a@b c d@e)",
            ),
            ("argv=/bin/sh -c {exit 67}", &["a@b"], "0 5.1.1 Bounced user unknown"),
            ("argv=/bin/sh -c {echo 4.7.9 later; exit 1}", &["a@b"], "0 4.7.9 Deferred later "),
            ("argv=/bin/sh -c {echo 2.0.0 well; exit 1}", &["a@b"], "0 2.0.0 Bounced well "),
            ("size=98 argv=/bin/true", &["a@b"], "0 5.2.3 Bounced message too large"),
            (
                "flags=D argv=/bin/true",
                &["a@b", "c@b"],
                "0 4.3.5 Deferred mail system configuration error\n1 4.3.5 Deferred mail system configuration error",
            ),
            ("argv=/bin/true $nosuch", &["a@b"], "0 4.3.5 Deferred mail system configuration error"),
            (
                "flags=X argv=/bin/sh -c {cat; echo}",
                &["a@b"],
                "0 2.0.0 Sent delivered via cmd service (Subject: x  Hello)",
            ),
        ] {
            if let Some(said) = run(attributes, recipients).await {
                assert_eq!(said, expect, "{attributes}");
            }
        }
    }

    #[tokio::test]
    async fn a_probe_runs_nothing() {
        let Some(agent) = agent("argv=/bin/false") else { return };
        let recorded = Arc::new(Recorded::default());
        let probe = Job { purpose: Purpose::Probe, ..job(&["a@b"], &recorded) };
        assert_eq!(agent.deliver(probe).await, Verdict::Alive);
        assert_eq!(recorded.said(), "0 2.0.0 Sent delivers to command: /bin/false");
    }
}
