//! virtual(8): mail for mailboxes whose owners are no users of this machine.

pub(crate) mod maps;

use crate::copy::Prelude;
use crate::failure::Failure;
use crate::process::client::{Conversation, Processes};
use crate::process::{Reply, Request, Task};
use crate::reports::{log_notes, report};
use logger::Logger;
use mail::Time;
use maps::{Maps, Place};
use params::service::Virtual;
use params::{Diagnostic, Service, View, p};
use qmgr::{Agent, Job, JobRecipient, Purpose, Verdict};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tables::Table;

/// What delivery to virtual mailboxes works with.
pub struct VirtualAgent {
    pub settings: Settings,
    pub processes: Arc<Processes>,
    /// The service's.
    pub log: Logger,
    pub now: fn() -> Time,
}

/// virtual(8)'s parameters and tables, for one service of master.cf.
pub struct Settings {
    /// The transport's name: master.cf's first field.
    transport: String,
    /// `name/type`, by which delivery processes know the service.
    service: String,
    maps: Maps<Arc<dyn Table>>,
    enable_original_recipient: bool,
    defect: Option<String>,
}

impl Settings {
    /// Those of a service of master.cf; `view` is the service's own. `open` opens a table of `type:name`, in which `$1` is not
    /// allowed.
    pub fn read(
        view: &View,
        service: &Service,
        open: impl FnMut(&String) -> Arc<dyn Table>,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Settings {
        let mut own_mistakes = Vec::new();
        let settings: Virtual = view.load(&mut own_mistakes);
        // The default is none: a system without virtual mailboxes has nothing wrong with it.
        own_mistakes.retain(|mistake| !settings.virtual_mailbox_base.is_empty() || !is_of_base(mistake));
        mistakes.append(&mut own_mistakes);
        let message_size_limit = view.get(p::message_size_limit, mistakes);
        Settings {
            transport: service.name().to_owned(),
            service: service.name_space(),
            maps: Maps::read(view, &settings, open, mistakes),
            enable_original_recipient: view.get(p::enable_original_recipient, mistakes),
            defect: defect(&settings, message_size_limit),
        }
    }

    /// Why the service cannot work, in the words in which Postfix's gives up.
    pub fn defect(&self) -> Option<&str> {
        self.defect.as_deref()
    }
}

fn is_of_base(mistake: &Diagnostic) -> bool {
    mistake.message.contains("virtual_mailbox_base")
}

fn defect(settings: &Virtual, message_size_limit: i64) -> Option<String> {
    let limit = settings.virtual_mailbox_limit;
    let base = &settings.virtual_mailbox_base;
    if base.is_empty() {
        Some("bad string length 0 < 1: virtual_mailbox_base =".into())
    } else if limit > 0 && message_size_limit <= 0 {
        Some(
            "configuration error: virtual_mailbox_limit is limited but message_size_limit is unlimited"
                .into(),
        )
    } else if limit > 0 && limit < message_size_limit {
        Some("configuration error: virtual_mailbox_limit is smaller than message_size_limit".into())
    } else if !base.starts_with('/') {
        Some(format!("do not specify relative pathname: virtual_mailbox_base = {base}"))
    } else {
        None
    }
}

impl Agent for VirtualAgent {
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        Box::pin(async move {
            let mut conversation = Conversation::new(self.processes.clone());
            for recipient in &job.recipients {
                let started = Instant::now();
                let result = self.deliver_to(&job, recipient, &mut conversation).await;
                job.reports.report(report(
                    &self.settings.transport,
                    recipient,
                    result,
                    started,
                    (self.now)(),
                ));
            }
            Verdict::Alive
        })
    }
}

impl VirtualAgent {
    async fn deliver_to(
        &self,
        job: &Job,
        recipient: &JobRecipient,
        conversation: &mut Conversation,
    ) -> Result<String, Failure> {
        let place = self.settings.maps.find(&recipient.address).await.map_err(|trouble| {
            self.log.warning(format_args!("{}", trouble.warning));
            trouble.failure
        })?;
        let Some(place) = place else {
            let user = String::from_utf8_lossy(recipient.address.as_bytes()).to_lowercase();
            let why = format!("unknown user: \"{user}\"");
            return Err(Failure::new(mail::DsnStatus::new(5, 1, 1), why));
        };
        if job.purpose == Purpose::Probe {
            let kind = if place.path.ends_with('/') { "maildir" } else { "mailbox" };
            return Ok(format!("delivers to {kind}"));
        }
        self.append(job, recipient, &place, conversation).await
    }

    async fn append(
        &self,
        job: &Job,
        recipient: &JobRecipient,
        place: &Place,
        conversation: &mut Conversation,
    ) -> Result<String, Failure> {
        let envelope = &job.message.envelope;
        let of_envelope = &envelope.recipients[recipient.index as usize];
        let original = of_envelope.original.as_ref().unwrap_or(&of_envelope.address);
        let prelude = Prelude {
            sender: job.sender.clone(),
            original_to: Some(original.clone()).filter(|_| self.settings.enable_original_recipient),
            delivered_to: Some(recipient.address.clone()),
            now: (self.now)(),
        };
        let address = recipient.address.clone();
        let task = Task::Virtual { service: self.settings.service.clone(), recipient: address.clone() };
        let request = Request::Virtual { recipient: address, prelude };
        let ids = (place.uid, place.gid);
        let answer = conversation.ask_virtual(&task, ids, &request, Some(&job.message.content)).await;
        log_notes(&self.log, "virtual", answer.notes);
        let (result, notes) = match answer.reply? {
            Reply::Delivered { said, notes } => (Ok(said), notes),
            Reply::Failed { failure, notes } => (Err(failure), notes),
            _ => (Err(Failure::of_system("not an answer to a delivery")), Vec::new()),
        };
        log_notes(&self.log, "virtual", notes);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::client::tests::Threads;
    use crate::reports::tests::{Recorded, job};
    use tables::OpenContext;

    const SERVICE: &str = "virtual unix - n n - - virtual\n";

    fn agent(main_cf: &str) -> (Arc<VirtualAgent>, Arc<Threads>) {
        let threads = Threads::new(main_cf, SERVICE);
        let view = threads.view.clone();
        let service = view.config().master.services[0].clone();
        let context = OpenContext::plain(Arc::new(|_, _: &str| {}));
        let open = |spec: &String| tables::open_or_defer(spec, &context);
        let settings = Settings::read(&view, &service, open, &mut Vec::new());
        let log = crate::reports::tests::quiet();
        let processes = Arc::new(Processes::new(threads.clone()));
        (Arc::new(VirtualAgent { settings, processes, log, now: Time::default }), threads)
    }

    /// Mailboxes of this user: no other can be written as.
    fn main_cf(base: &std::path::Path) -> String {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        // Root's id is no mailbox owner's; then the processes, which here are threads, keep what they have.
        let (uid, gid) = (uid.as_raw().max(1), gid.as_raw().max(1));
        format!(
            "virtual_mailbox_base = {}\nvirtual_mailbox_maps = inline:{{ {{mbox@v.example=mbox}}, {{dir@v.example=d/}}, \
             {{deep@v.example=a/b/c}}, {{low@v.example=low}} }}\nvirtual_uid_maps = inline:{{ {{low@v.example=0}}, \
             {{@v.example={uid}}} }}\nvirtual_gid_maps = static:{gid}\nvirtual_minimum_uid = 1\n\
             strict_mailbox_ownership = no\n",
            base.display()
        )
    }

    #[tokio::test]
    async fn mailboxes_of_one_owner_share_a_process() {
        let base = tempfile::tempdir().expect("a folder");
        let (agent, threads) = agent(&main_cf(base.path()));
        let recorded = Arc::new(Recorded::default());
        let job = job(
            &["mbox@v.example", "DIR@v.example", "deep@v.example", "low@v.example", "nosuch@v.example"],
            &recorded,
        );
        let verdict = agent.deliver(job).await;
        assert_eq!(verdict, Verdict::Alive);
        let said = recorded.said().replace(&base.path().display().to_string(), "");
        let expect = [
            "0 2.0.0 Sent delivered to mailbox",
            "1 2.0.0 Sent delivered to maildir",
            "2 4.2.0 Deferred delivery failed to mailbox /a/b/c: unable to create lock file /a/b/c.lock: No such file or directory",
            "3 4.3.5 Deferred mail system configuration error",
            "4 5.1.1 Bounced unknown user: \"nosuch@v.example\"",
        ];
        assert_eq!(said, expect.join("\n"));
        assert_eq!(threads.started.load(std::sync::atomic::Ordering::Relaxed), 1);
        let text = std::fs::read_to_string(base.path().join("mbox")).expect("written");
        assert!(text.contains("\nX-Original-To: mbox@v.example\nDelivered-To: mbox@v.example\n"), "{text}");
    }

    #[tokio::test]
    async fn probes_write_nothing() {
        let base = tempfile::tempdir().expect("a folder");
        let (agent, threads) = agent(&main_cf(base.path()));
        let recorded = Arc::new(Recorded::default());
        let probe = Job { purpose: Purpose::Probe, ..job(&["mbox@v.example", "dir@v.example"], &recorded) };
        assert_eq!(agent.deliver(probe).await, Verdict::Alive);
        assert_eq!(recorded.said(), "0 2.0.0 Sent delivers to mailbox\n1 2.0.0 Sent delivers to maildir");
        assert_eq!(threads.started.load(std::sync::atomic::Ordering::Relaxed), 0);
    }

    #[test]
    fn defects() {
        for (main_cf, expect) in [
            ("virtual_mailbox_base = /v", None),
            ("", Some("bad string length 0 < 1: virtual_mailbox_base =")),
            ("virtual_mailbox_base = v", Some("do not specify relative pathname: virtual_mailbox_base = v")),
            (
                "virtual_mailbox_base = /v\nvirtual_mailbox_limit = 100",
                Some("configuration error: virtual_mailbox_limit is smaller than message_size_limit"),
            ),
            ("virtual_mailbox_base = /v\nvirtual_mailbox_limit = 0\nmessage_size_limit = 0", None),
        ] {
            let (agent, _) = agent(&format!("{main_cf}\n"));
            assert_eq!(agent.settings.defect(), expect, "{main_cf}");
        }
    }
}
