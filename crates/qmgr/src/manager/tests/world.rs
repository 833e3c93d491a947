//! A queue manager with a spool in memory, agents that do as told, and a clock that waits for nobody.

use crate::notice::Notices;
use crate::scheduler::Limits;
use crate::*;
use logger::{Logger, Target};
use mail::{Address, DsnStatus, Envelope, Fate, Notify, Outcome, QueueId, Recipient, Time};
use spool::{MemorySpool, Spool};
use std::collections::HashMap;
use std::future::Future;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(super) const T0: i64 = 1_800_000_000;

/// What an agent does with a recipient.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Send,
    Defer,
    Bounce,
    /// Says nothing of it, and of those behind it.
    Forget,
    Panic,
    /// The destination is out of order.
    Dead,
    /// As `Send`, after so many seconds.
    Slow(u64),
    /// As `Send`, by a server that reports itself.
    Delegate,
    /// Two members: one takes it, the other bounces.
    Expand,
}

/// One attempt at one recipient, as the agent saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) secs: u64,
    pub(super) id: QueueId,
    pub(super) sender: String,
    pub(super) nexthop: String,
    pub(super) recipients: Vec<String>,
    pub(super) is_probe: bool,
}

type Script = dyn Fn(&str, u64) -> Act + Send + Sync;

pub(super) struct FakeAgent {
    script: Arc<Script>,
    clock: TestClock,
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl Agent for FakeAgent {
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        Box::pin(async move {
            self.attempts.lock().unwrap().push(Attempt {
                secs: self.clock.secs(),
                id: job.message.id,
                sender: job.sender.to_string(),
                nexthop: job.nexthop.to_string(),
                recipients: job.recipients.iter().map(|r| r.address.to_string()).collect(),
                is_probe: job.purpose == Purpose::Probe,
            });
            for recipient in &job.recipients {
                let address = recipient.address.to_string();
                let act = (self.script)(&address, self.clock.secs());
                if let Act::Slow(secs) = act {
                    tokio::time::sleep(Duration::from_secs(secs)).await;
                }
                match self.report(recipient, &act, &job) {
                    Some(verdict) => return verdict,
                    None => continue,
                }
            }
            Verdict::Alive
        })
    }
}

impl FakeAgent {
    fn report(&self, recipient: &JobRecipient, act: &Act, job: &Job) -> Option<Verdict> {
        let (fate, status, reason, success) = match act {
            Act::Send | Act::Slow(_) => (Fate::Sent, (2, 0, 0), "250 2.0.0 Ok", Success::Relayed),
            Act::Delegate => (Fate::Sent, (2, 0, 0), "250 2.0.0 Ok", Success::Delegated),
            Act::Defer => (Fate::Deferred, (4, 2, 0), "try later", Success::Relayed),
            Act::Bounce => (Fate::Bounced, (5, 1, 1), "no such user", Success::Relayed),
            Act::Forget => return Some(Verdict::Alive),
            Act::Panic => panic!("the agent has a bug (this is a test)"),
            Act::Dead => {
                let reason = "connect to mx: Connection refused".into();
                return Some(Verdict::Dead { status: DsnStatus::new(4, 4, 1), reason });
            }
            Act::Expand => {
                self.expand(recipient, job);
                return None;
            }
        };
        job.reports.report(self.said(recipient, fate, status, reason, success));
        None
    }

    fn expand(&self, recipient: &JobRecipient, job: &Job) {
        let sent = self.said(recipient, Fate::Sent, (2, 0, 0), "delivered", Success::Delivered);
        let bounced = self.said(recipient, Fate::Bounced, (5, 1, 1), "no such member", Success::Delivered);
        let outcome = sent.outcome.clone();
        let member = |address: &str| Member { address: address.into(), ..Member::default() };
        assert_eq!(job.reports.report_member(member("m1@example.com"), sent), Fate::Sent);
        let of_list = Member {
            is_of_list: true,
            return_to: Some("owner@example.com".into()),
            ..member("m3@example.com")
        };
        job.reports.report_member(of_list, bounced.clone());
        job.reports.report_member(member("m2@example.com"), bounced);
        let expanded = Expanded { address: recipient.address.clone(), success: Success::Expanded };
        job.reports.settle(outcome, Some(expanded));
    }

    fn said(
        &self,
        recipient: &JobRecipient,
        fate: Fate,
        (class, subject, detail): (u8, u16, u16),
        reason: &str,
        success: Success,
    ) -> Report {
        let outcome = Outcome {
            recipient: recipient.index,
            fate,
            status: DsnStatus::new(class, subject, detail),
            reason: reason.into(),
            remote_mta: None,
            diagnostic: None,
            at: self.clock.now(),
        };
        Report { relay: "mx[192.0.2.9]:25".into(), success, ..Report::new(outcome) }
    }
}

/// tokio's, which tests pause.
#[derive(Clone)]
pub(super) struct TestClock(Instant);

impl TestClock {
    pub(super) fn secs(&self) -> u64 {
        self.0.elapsed().as_secs()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Time {
        Time::from_secs(T0) + self.0.elapsed()
    }
}

/// `example.com` is local; `later.`, `syntax.`, `panic.` fail; the answer for `slow.` takes a second; `TRANSPORT.t` goes to
/// that transport; everything else goes to smtp.
pub(super) struct TestResolve;

impl Resolve for TestResolve {
    fn resolve<'a>(
        &'a self,
        _: &'a Address,
        recipient: &'a Address,
    ) -> Pin<Box<dyn Future<Output = Result<Route, Unroutable>> + Send + 'a>> {
        Box::pin(async move {
            let domain = String::from_utf8_lossy(recipient.domain().unwrap_or_default()).into_owned();
            let transport = match domain.as_str() {
                "later.example" => return Err(Unroutable::TryLater),
                "syntax.example" => return Err(Unroutable::BadSyntax),
                "panic.example" => panic!("the resolver has a bug (this is a test)"),
                "slow.example" => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    "smtp"
                }
                "example.com" | "mail.example.com" => "local",
                domain => domain.strip_suffix(".t").unwrap_or("smtp"),
            };
            let is_local = transport == "local";
            Ok(Route { transport: transport.into(), nexthop: domain, recipient: recipient.clone(), is_local })
        })
    }
}

/// Puts notices into the same spool, as cleanup would.
pub(super) struct TestInject {
    spool: Arc<MemorySpool>,
    clock: TestClock,
    pub(super) is_broken: std::sync::atomic::AtomicBool,
    pub(super) notices: Mutex<Vec<Notice>>,
}

impl Inject for TestInject {
    fn inject(&self, notice: Notice) -> Pin<Box<dyn Future<Output = Result<QueueId, InjectError>> + Send>> {
        if self.is_broken.load(std::sync::atomic::Ordering::SeqCst) {
            return Box::pin(async { Err(InjectError("queue file write error".into())) });
        }
        self.notices.lock().unwrap().push(notice.clone());
        let id = put(&self.spool, &self.clock, notice.sender, &[&notice.recipient.to_string()], |_| ());
        Box::pin(async move { Ok(id) })
    }
}

fn put(
    spool: &MemorySpool,
    clock: &TestClock,
    sender: Address,
    recipients: &[&str],
    change: impl FnOnce(&mut Envelope),
) -> QueueId {
    let arrival = clock.now();
    let mut draft = spool.draft(arrival, 0).expect("room");
    draft.write(b"Subject: x\r\n\r\nHello.\r\n").expect("room");
    let id = draft.id();
    let recipient = |r: &&str| Recipient { address: (*r).into(), ..Recipient::default() };
    let recipients = recipients.iter().map(recipient).collect();
    let mut envelope = Envelope { sender, recipients, arrival, size: 22, ..Envelope::default() };
    change(&mut envelope);
    spool.commit(draft, envelope).wait().expect("memory works");
    id
}

/// What probes found.
#[derive(Default)]
pub(super) struct TestProbed(pub(super) Mutex<Vec<(String, Fate, String)>>);

impl Probed for TestProbed {
    fn probed(&self, address: &Address, fate: Fate, reason: &str) {
        self.0.lock().unwrap().push((address.to_string(), fate, reason.to_owned()));
    }
}

pub(super) struct World {
    pub(super) spool: Arc<MemorySpool>,
    pub(super) clock: TestClock,
    pub(super) inject: Arc<TestInject>,
    pub(super) probed: Arc<TestProbed>,
    pub(super) handle: Handle,
    pub(super) task: JoinHandle<()>,
    pub(super) settings: Settings,
    script: Arc<Script>,
    limits: Limits,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    logger: Logger,
    log: tempfile::NamedTempFile,
}

/// How a world begins.
pub(super) struct Plan {
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) clock: TestClock,
    pub(super) spool: Arc<MemorySpool>,
}

impl Plan {
    pub(super) fn new() -> Plan {
        let settings = Settings { myhostname: "mail.example.com".into(), ..Settings::default() };
        Plan {
            settings,
            limits: Limits::default(),
            clock: TestClock(Instant::now()),
            spool: Arc::new(MemorySpool::new()),
        }
    }

    pub(super) fn start(self, script: impl Fn(&str, u64) -> Act + Send + Sync + 'static) -> World {
        let Plan { settings, limits, clock, spool } = self;
        let log = tempfile::NamedTempFile::new().expect("a file");
        let logger = Logger::direct(Target::File(log.reopen().expect("the file")), "postfix");
        let inject = Arc::new(TestInject {
            spool: spool.clone(),
            clock: clock.clone(),
            is_broken: false.into(),
            notices: Mutex::new(Vec::new()),
        });
        let probed = Arc::new(TestProbed::default());
        let (script, attempts): (Arc<Script>, _) = (Arc::new(script), Arc::default());
        let context = Context {
            spool: spool.clone(),
            inject: inject.clone(),
            clock: Arc::new(clock.clone()),
            probed: Some(probed.clone()),
            qmgr_log: logger.service("postfix", "qmgr"),
            bounce_log: logger.service("postfix", "bounce"),
            error_log: logger.service("postfix", "error"),
        };
        let setup = setup(&settings, &limits, &script, &attempts, &clock, &logger);
        let (handle, task) = Manager::start(context, setup);
        World { spool, clock, inject, probed, handle, task, settings, script, limits, attempts, logger, log }
    }
}

fn setup(
    settings: &Settings,
    limits: &Limits,
    script: &Arc<Script>,
    attempts: &Arc<Mutex<Vec<Attempt>>>,
    clock: &TestClock,
    logger: &Logger,
) -> Setup {
    let agent =
        Arc::new(FakeAgent { script: script.clone(), clock: clock.clone(), attempts: attempts.clone() });
    let transport = |name: &str, limits: Limits, soft_bounce| {
        let log = logger.service("postfix", if name == "soft" { "smtp" } else { name });
        (name.to_owned(), Transport { agent: agent.clone(), limits, log, soft_bounce })
    };
    let local = Limits { destination_recipient_limit: 1, ..Limits::default() };
    let mut notices: Notices = notice::tests::notices();
    notices.notify_classes = NotifyClasses::default();
    notices.delay_warning_time = settings.delay_warning_time;
    Setup {
        settings: settings.clone(),
        notices,
        resolve: Arc::new(TestResolve),
        transports: HashMap::from([
            transport("smtp", limits.clone(), false),
            transport("soft", limits.clone(), true),
            transport("local", local, false),
        ]),
    }
}

impl World {
    pub(super) fn send(&self, sender: &str, recipients: &[&str]) -> QueueId {
        self.send_with(sender, recipients, |_| ())
    }

    pub(super) fn send_with(
        &self,
        sender: &str,
        recipients: &[&str],
        change: impl FnOnce(&mut Envelope),
    ) -> QueueId {
        put(&self.spool, &self.clock, sender.into(), recipients, change)
    }

    pub(super) fn send_notify(&self, recipients: &[(&str, Notify)]) -> QueueId {
        let addresses: Vec<&str> = recipients.iter().map(|(address, _)| *address).collect();
        self.send_with("a@remote.example", &addresses, |envelope| {
            for (recipient, (_, notify)) in envelope.recipients.iter_mut().zip(recipients) {
                recipient.notify = *notify;
            }
        })
    }

    /// Lets time pass; everything that is due happens.
    pub(super) async fn pass(&self, secs: u64) {
        tokio::time::sleep(Duration::from_secs(secs)).await;
        self.settle().await;
    }

    /// Lets what can happen now happen.
    pub(super) async fn settle(&self) {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) fn reload(&self) {
        let World { settings, limits, script, attempts, clock, logger, .. } = self;
        self.handle.reload(setup(settings, limits, script, attempts, clock, logger));
    }

    /// The same without some transport.
    pub(super) fn reload_without(&self, transport: &str) {
        let World { settings, limits, script, attempts, clock, logger, .. } = self;
        let mut setup = setup(settings, limits, script, attempts, clock, logger);
        setup.transports.remove(transport);
        self.handle.reload(setup);
    }

    pub(super) fn is_queued(&self, id: QueueId) -> bool {
        self.spool.summary(id).is_some()
    }

    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap().clone()
    }

    /// The seconds at which a recipient was tried.
    pub(super) fn tried_at(&self, recipient: &str) -> Vec<u64> {
        let attempts = self.attempts();
        let tried = attempts.iter().filter(|a| a.recipients.iter().any(|r| r == recipient));
        tried.map(|a| a.secs).collect()
    }

    /// Notices so far: recipient and subject.
    pub(super) fn notices(&self) -> Vec<(String, String)> {
        let notices = self.inject.notices.lock().unwrap();
        let subject = |n: &Notice| {
            let text = String::from_utf8_lossy(&n.content).into_owned();
            text.lines().find_map(|l| l.strip_prefix("Subject: ").map(str::to_owned)).unwrap_or_default()
        };
        notices.iter().map(|n| (n.recipient.to_string(), subject(n))).collect()
    }

    pub(super) fn notice_text(&self, n: usize) -> String {
        String::from_utf8_lossy(&self.inject.notices.lock().unwrap()[n].content).into_owned()
    }

    /// The log without time, host and process.
    pub(super) fn log(&self) -> Vec<String> {
        let mut text = String::new();
        self.log.reopen().expect("the file").read_to_string(&mut text).expect("text");
        let payload = |line: &str| {
            let at = line.find(" postfix/").expect("a line of ours") + " postfix/".len();
            let (service, rest) = line[at..].split_once('[').expect("a process number");
            format!("{service}{}", rest.split_once(']').expect("its end").1)
        };
        text.lines().map(payload).collect()
    }

    /// Log lines with `part` in them.
    pub(super) fn logged(&self, part: &str) -> usize {
        self.log().iter().filter(|line| line.contains(part)).count()
    }

    /// Ends the manager and starts another on what is in the spool.
    pub(super) async fn restart(self) -> World {
        self.handle.shutdown().await;
        self.task.await.expect("ended well");
        drop(self.inject);
        // A blocking thread may be about to let go of its reading.
        while Arc::strong_count(&self.spool) > 1 {
            std::thread::yield_now();
        }
        let spool = Arc::try_unwrap(self.spool).ok().expect("nobody else has it").reopen();
        let script = self.script.clone();
        let plan =
            Plan { settings: self.settings, limits: self.limits, clock: self.clock, spool: Arc::new(spool) };
        plan.start(move |recipient, secs| script(recipient, secs))
    }
}
