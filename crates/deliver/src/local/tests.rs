//! Rows of what local(8) of Postfix 3.7 logged for such aliases, files and users. The processes are scripted; what they do
//! is tested where they are.

use super::course::Account;
use super::*;
use crate::failure::Failure;
use crate::process::client::Starter;
use crate::process::{ForwardFile, Prepared, Ready, Reply, Request, Rights, Servant, Task};
use logger::Target;
use mail::{Address, DsnStatus, Envelope, Fate, Notify, Outcome, QueueId, Recipient};
use params::{Config, MainCf, MasterCf, View};
use qmgr::{Expanded, JobRecipient, Member, Purpose, Report, Reporter, Reuse};
use route::NameList;
use spool::{Content, Stored};
use std::collections::HashMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use tables::{Maps, OpenContext};

const SERVICE: &str = "local unix - n n - - local\n";

/// A mail system: what its files say, and what has become of the mail.
struct World {
    agent: Arc<LocalAgent>,
    shared: Arc<Shared>,
    log: tempfile::NamedTempFile,
    job: Plan,
}

#[derive(Default)]
struct Shared {
    /// Texts of `.forward` files by path, and of lists.
    files: HashMap<String, String>,
    /// What was asked of processes.
    asked: Mutex<Vec<String>>,
    reported: Mutex<Vec<String>>,
    forwarded: Mutex<Vec<Forwarded>>,
}

/// What is sent.
#[derive(Clone, Default)]
struct Plan {
    purpose: Purpose,
    notify: Notify,
    header: &'static str,
    trace_flags: Option<&'static str>,
}

impl World {
    /// `files`: `/home/USER/.forward` and lists.
    fn new(main_cf: &str, files: &[(&str, &str)]) -> World {
        let main_cf =
            format!("alias_maps =\nrecipient_delimiter = +\nmyhostname = mail.example.com\n{main_cf}");
        let (main, _) = MainCf::parse("main.cf", main_cf.as_bytes());
        let master = MasterCf::parse("master.cf", SERVICE.as_bytes());
        let service = master.services[0].clone();
        let view = View::new(Config { main, master, ..Config::default() });
        let mut mistakes = Vec::new();
        let settings = Settings::read(&view, &service, &mut mistakes);
        assert_eq!(mistakes, []);
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let shared = Arc::new(Shared { files, ..Shared::default() });
        let log_file = tempfile::NamedTempFile::new().expect("a file");
        let target = Target::File(std::fs::File::create(log_file.path()).expect("a file"));
        let log = Logger::direct(target, "postfix").service("postfix", "local");
        let tables = tables(&settings.local);
        let agent = LocalAgent {
            tables,
            router: router(),
            processes: Arc::new(Processes::new(Arc::new(Scripted(shared.clone())))),
            forward: Arc::new(Outgoing(shared.clone())),
            transports: Arc::new(Transports::default()),
            find_account: known_users,
            log,
            now: Time::default,
            settings,
        };
        World { agent: Arc::new(agent), shared, log: log_file, job: Plan::default() }
    }

    /// Delivers to an address, and tells what was reported and sent on.
    async fn deliver(&self, address: &str) -> String {
        let recipient = Recipient {
            address: address.into(),
            original: Some(address.split('@').next().unwrap_or_default().into()),
            notify: self.job.notify,
            ..Recipient::default()
        };
        let extra = self.job.trace_flags.map(|flags| ("trace_flags".to_owned(), flags.into()));
        let envelope = Envelope {
            sender: "s@remote.example".into(),
            recipients: vec![recipient],
            extra: extra.into_iter().collect(),
            ..Envelope::default()
        };
        let content = Content::new(self.job.header, "\r\nHello\r\n");
        let message = Stored::new(QueueId::short(Time::default(), 0xABC), envelope, content);
        let reports = Arc::new(Reported(self.shared.clone()));
        let job = Job {
            message: Arc::new(message),
            purpose: self.job.purpose,
            sender: "s@remote.example".into(),
            nexthop: "mail.example.com".into(),
            recipients: vec![JobRecipient { index: 0, address: address.into() }],
            reuse: Reuse::default(),
            reports,
        };
        let agent: Arc<dyn Agent> = self.agent.clone();
        assert_eq!(agent.deliver(job).await, Verdict::Alive);
        let mut said = std::mem::take(&mut *self.shared.reported.lock().expect("no panic"));
        for message in self.shared.forwarded.lock().expect("no panic").drain(..) {
            let to: Vec<String> = message
                .recipients
                .iter()
                .map(|r| match &r.original {
                    Some(original) => format!("{} ({original})", r.address),
                    None => r.address.to_string(),
                })
                .collect();
            let by =
                message.delivered_to.map_or("-".to_owned(), |d| String::from_utf8_lossy(&d).into_owned());
            said.push(format!("> from {} by {by}: {}", message.sender, to.join(" ")));
        }
        said.join("\n")
    }

    async fn check(&self, address: &str, expect: &str) {
        let address =
            if address.contains('@') { address.to_owned() } else { format!("{address}@example.com") };
        assert_eq!(self.deliver(&address).await, expect.trim().replace("\n            ", "\n"), "{address}");
    }

    fn asked(&self) -> String {
        std::mem::take(&mut *self.shared.asked.lock().expect("no panic")).join("\n")
    }

    fn logged(&self) -> String {
        let text = std::fs::read_to_string(self.log.path()).expect("readable");
        let payload = |line: &str| line.split_once("]: ").map_or("", |(_, payload)| payload).to_owned();
        text.lines().map(payload).collect::<Vec<_>>().join("\n")
    }
}

fn tables(local: &params::service::Local) -> Tables {
    let context = OpenContext::plain(Arc::new(|_, _: &str| {}));
    let open = |spec: &String| tables::open_or_defer(spec, &context);
    let maps = |name, specs: &Vec<String>| Maps::new(name, specs.iter().map(open).collect());
    Tables {
        alias_maps: local.alias_maps.iter().map(|spec| (spec.clone(), open(spec))).collect(),
        mailbox_command_maps: maps("mailbox_command_maps", &local.mailbox_command_maps),
        mailbox_transport_maps: maps("mailbox_transport_maps", &local.mailbox_transport_maps),
        fallback_transport_maps: maps("fallback_transport_maps", &local.fallback_transport_maps),
    }
}

fn router() -> Router {
    let mut settings = route::Settings::new("mail.example.com");
    settings.myorigin = "example.com".into();
    settings.mydestination = NameList::of_names(&["example.com", "other.example"]);
    settings.routes.default_transport = "smtp".into();
    Router::new(Arc::new(settings), Arc::new(|_: &str| {}))
}

fn known_users(name: &str) -> Result<Option<Account>, String> {
    match name {
        "broken" => Err("Connection refused".into()),
        "alice" | "bob" | "carol" | "root" => Ok(Some(Account {
            name: name.into(),
            uid: 1000,
            gid: 1000,
            home: format!("/home/{name}"),
            shell: "/bin/sh".into(),
        })),
        _ => Ok(None),
    }
}

/// Processes that do nothing but say so.
struct Scripted(Arc<Shared>);

struct Script {
    task: Task,
    shared: Arc<Shared>,
}

impl Starter for Scripted {
    fn start(&self, task: &Task) -> Result<OwnedFd, Failure> {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let list = match task {
            Task::Alias { includes, .. } => includes.last().map(|path| self.0.files[&text(path)].clone()),
            _ => None,
        };
        let greeting = Reply::Ready { uid: 0, gid: 0, list: list.map(String::into_bytes), notes: Vec::new() };
        let servant = Box::new(Script { task: task.clone(), shared: self.0.clone() });
        std::thread::spawn(move || {
            let uid = nix::unistd::geteuid();
            let rights = Rights { uid, gid: nix::unistd::getegid(), spool_gid: None };
            let ready = Ready { rights, servant, greeting, file_size_limit: 0 };
            crate::process::serve_as_is(Prepared { notes: Vec::new(), result: Ok(ready) }, theirs)
        });
        Ok(ours.into())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Servant for Script {
    fn serve(&mut self, request: Request, _: &mut dyn Read) -> Reply {
        let (said, prelude) = match request {
            Request::Forward { facts, .. } => {
                return self.forward(&text(&facts.user), facts.extension.as_deref());
            }
            Request::Include { path } => {
                return Reply::List {
                    text: self.shared.files[&text(&path)].clone().into(),
                    notes: Vec::new(),
                };
            }
            Request::Mailbox { prelude } => ("delivered to mailbox".to_owned(), prelude),
            Request::File { path, prelude } => (format!("delivered to file: {}", text(&path)), prelude),
            Request::Command { command, prelude, .. } | Request::MailboxCommand { command, prelude, .. } => {
                (format!("delivered to command: {}", text(&command)), prelude)
            }
            Request::Home => return Reply::Delivered { said: String::new(), notes: Vec::new() },
            other => return Reply::Refused { why: format!("{other:?}") },
        };
        let shown = |a: &Option<Address>| a.as_ref().map_or("-".to_owned(), Address::to_string);
        self.shared.asked.lock().expect("no panic").push(format!(
            "{}: {said}; from {} for {} by {}",
            self.task,
            prelude.sender,
            shown(&prelude.original_to),
            shown(&prelude.delivered_to)
        ));
        for (marker, status) in [("fail", DsnStatus::new(5, 3, 0)), ("wait", DsnStatus::new(4, 3, 0))] {
            if said.ends_with(marker) {
                return Reply::Failed { failure: Failure::new(status, marker), notes: Vec::new() };
            }
        }
        Reply::Delivered { said, notes: Vec::new() }
    }
}

impl Script {
    fn forward(&self, user: &str, extension: Option<&[u8]>) -> Reply {
        let plain = format!("/home/{user}/.forward");
        let special = extension.map(|extension| format!("{plain}+{}", text(extension)));
        let found = special.into_iter().chain([plain]).find_map(|path| {
            let text = self.shared.files.get(&path)?.clone().into_bytes();
            Some(ForwardFile { has_extension: path.contains('+'), path, text: Some(text) })
        });
        Reply::Forward { file: found, notes: Vec::new() }
    }
}

struct Outgoing(Arc<Shared>);

impl Forward for Outgoing {
    fn forward(
        &self,
        message: Forwarded,
    ) -> Pin<Box<dyn Future<Output = Result<QueueId, ForwardError>> + Send>> {
        self.0.forwarded.lock().expect("no panic").push(message);
        Box::pin(async { Ok(QueueId::short(Time::default(), 0xF)) })
    }
}

struct Reported(Arc<Shared>);

impl Reported {
    fn say(&self, line: String) {
        self.0.reported.lock().expect("no panic").push(line);
    }
}

fn shown(outcome: &Outcome) -> String {
    let word = match outcome.fate {
        Fate::Sent => "sent",
        Fate::Deferred => "deferred",
        Fate::Bounced => "bounced",
    };
    format!("{} {word} {}", outcome.status, outcome.reason)
}

impl Reporter for Reported {
    fn report(&self, report: Report) {
        self.say(format!("= {}", shown(&report.outcome)));
    }

    fn report_member(&self, member: Member, report: Report) -> Fate {
        let list = if member.is_of_list { " (list)" } else { "" };
        let owner = member.return_to.map_or(String::new(), |owner| format!(" [{owner}]"));
        self.say(format!("{}{list}{owner}: {}", member.address, shown(&report.outcome)));
        report.outcome.fate
    }

    fn settle(&self, outcome: Outcome, expanded: Option<Expanded>) {
        if outcome.fate != Fate::Sent {
            self.say(format!("= {}", shown(&outcome)));
        }
        if let Some(Expanded { address, success }) = expanded {
            self.say(format!("expanded {address} {success:?}"));
        }
    }
}

#[tokio::test]
async fn aliases() {
    let world = World::new(
        "alias_maps = inline:{ {friends=alice, bob@example.com, Carol <carol>}, {all=friends, alice}, \
         {chain1=chain2}, {chain2=carol}, {remote=x@remote.example}, {mixed=bob, y@remote.example, z@remote.example}, \
         {loop1=loop2}, {loop2=loop1}, {self=self, bob}, {a+b=carol}, {plus=alice+inbox}, \
         {nobodyknows=nosuch}, {half=nosuch, bob}, {toothers=bob@other.example}, {empty=(nothing)} }\n",
        &[],
    );
    for (address, expect) in [
        ("bob", "= 2.0.0 sent delivered to mailbox"),
        ("bob+ext", "= 2.0.0 sent delivered to mailbox"),
        ("BOB@example.com", "= 2.0.0 sent delivered to mailbox"),
        ("nosuch+ext", "= 5.1.1 bounced unknown user: \"nosuch\""),
        ("broken", "= 4.0.0 deferred user lookup error"),
        ("@example.com", "= 5.1.3 bounced null username in \"@example.com\""),
        (
            "friends",
            "alice@example.com: 2.0.0 sent delivered to mailbox
            bob@example.com: 2.0.0 sent delivered to mailbox
            carol@example.com: 2.0.0 sent delivered to mailbox",
        ),
        (
            "all",
            "alice@example.com: 2.0.0 sent delivered to mailbox
            bob@example.com: 2.0.0 sent delivered to mailbox
            carol@example.com: 2.0.0 sent delivered to mailbox",
        ),
        ("chain1+ext", "carol@example.com: 2.0.0 sent delivered to mailbox"),
        (
            "remote+ext",
            "remote+ext@example.com: 2.0.0 sent forwarded as 00000F
            > from s@remote.example by remote+ext@example.com: x@remote.example (remote+ext)",
        ),
        (
            "mixed",
            "bob@example.com: 2.0.0 sent delivered to mailbox
            mixed@example.com: 2.0.0 sent forwarded as 00000F
            > from s@remote.example by mixed@example.com: y@remote.example (mixed) z@remote.example (mixed)",
        ),
        (
            "loop1",
            "loop2@example.com: 5.4.6 bounced alias database loop for loop2
            = 5.4.6 bounced alias database loop for loop2",
        ),
        (
            "self",
            "self@example.com: 5.1.1 bounced unknown user: \"self\"
            bob@example.com: 2.0.0 sent delivered to mailbox
            = 5.1.1 bounced unknown user: \"self\"",
        ),
        ("a+b", "carol@example.com: 2.0.0 sent delivered to mailbox"),
        ("plus", "alice+inbox@example.com: 2.0.0 sent delivered to mailbox"),
        (
            "nobodyknows",
            "nosuch@example.com: 5.1.1 bounced unknown user: \"nosuch\"
            = 5.1.1 bounced unknown user: \"nosuch\"",
        ),
        (
            "half",
            "nosuch@example.com: 5.1.1 bounced unknown user: \"nosuch\"
            bob@example.com: 2.0.0 sent delivered to mailbox
            = 5.1.1 bounced unknown user: \"nosuch\"",
        ),
        ("toothers", "bob@other.example: 2.0.0 sent delivered to mailbox"),
        ("postmaster", "= 2.0.0 sent discarded"),
        (
            "empty",
            "empty@example.com: 4.3.0 deferred alias database unavailable
            = 4.3.0 deferred alias database unavailable",
        ),
    ] {
        world.check(address, expect).await;
    }
    let logged = world.logged();
    assert!(logged.contains("warning: alias database loop for loop2"), "{logged}");
    assert!(logged.contains("warning: required alias not found: postmaster"), "{logged}");
    assert!(logged.contains("warning: no recipient in alias lookup result for empty"), "{logged}");
}

#[tokio::test]
async fn lists_with_owners() {
    let world = World::new(
        "alias_maps = inline:{ {list=alice, x@remote.example}, {owner-list=boss}, {boss=bob}, \
         {badlist=carol, |fail}, {owner-badlist=bob}, {inclist=:include:/list}, {owner-inclist=bob}, \
         {plaininc=:include:/list}, {incfile=:include:/files}, {user=:include:/user}, {outer=list, carol} }\n",
        &[
            ("/list", "alice, carol\n# not: bob\nx@remote.example\n"),
            ("/files", "/file\n|cmd\n"),
            ("/user", "alice\n"),
        ],
    );
    for (address, expect) in [
        (
            "list+ext",
            "list+ext@example.com: 2.0.0 sent forwarded as 00000F
            > from owner-list@example.com by list+ext@example.com: alice@example.com x@remote.example",
        ),
        (
            "badlist",
            "badlist@example.com (list) [owner-badlist@example.com]: 5.3.0 bounced fail
            badlist@example.com: 2.0.0 sent forwarded as 00000F
            = 5.3.0 bounced fail
            > from owner-badlist@example.com by badlist@example.com: carol@example.com",
        ),
        (
            "inclist",
            "inclist@example.com: 2.0.0 sent forwarded as 00000F
            > from owner-inclist@example.com by inclist@example.com: alice@example.com carol@example.com x@remote.example",
        ),
        (
            "plaininc",
            "plaininc@example.com: 2.0.0 sent forwarded as 00000F
            > from s@remote.example by plaininc@example.com: alice@example.com (plaininc) carol@example.com (plaininc) \
             x@remote.example (plaininc)",
        ),
        (
            "incfile",
            "incfile@example.com: 5.7.1 bounced mail to file is restricted
            incfile@example.com: 5.7.1 bounced mail to command is restricted
            = 5.7.1 bounced mail to command is restricted",
        ),
    ] {
        world.check(address, expect).await;
    }
    assert_eq!(
        world.asked(),
        "local/unix: badlist of inline:{ {list=alice, x@remote.example}, {owner-list=boss}, {boss=bob}, \
         {badlist=carol, |fail}, {owner-badlist=bob}, {inclist=:include:/list}, {owner-inclist=bob}, \
         {plaininc=:include:/list}, {incfile=:include:/files}, {user=:include:/user}, {outer=list, carol} }: \
         delivered to command: fail; from owner-badlist@example.com for - by badlist@example.com"
    );
}

#[tokio::test]
async fn forward_files() {
    let world = World::new(
        "alias_maps = inline:{ {team=alice, bob}, {tosarah=sarah}, {box=\\\\alice}, {nobox=\\\\nosuch} }\n",
        &[
            (
                "/home/alice/.forward",
                "\\alice, bob\nx@remote.example\n\"|cmd\", ~/own, alice@other.example\n",
            ),
            ("/home/alice/.forward+copy", "carol\n"),
            ("/home/carol/.forward", "# nothing\n\n"),
        ],
    );
    for (address, expect) in [
        (
            "alice",
            "alice@example.com: 2.0.0 sent delivered to mailbox
            alice@example.com: 2.0.0 sent delivered to command: cmd
            alice@example.com: 2.0.0 sent delivered to file: /home/alice/own
            alice@example.com: 2.0.0 sent forwarded as 00000F
            > from s@remote.example by alice@example.com: bob@example.com (alice) x@remote.example (alice)",
        ),
        (
            "alice+copy",
            "alice+copy@example.com: 2.0.0 sent forwarded as 00000F
            > from s@remote.example by alice+copy@example.com: carol@example.com (alice+copy)",
        ),
        ("carol", "= 2.0.0 sent delivered to mailbox"),
        // Of two backslashes one is left: no alias, no file.
        ("box", "alice@example.com: 2.0.0 sent delivered to mailbox"),
        ("\\alice", "alice@example.com: 2.0.0 sent delivered to mailbox"),
        (
            "nobox",
            "nosuch@example.com: 5.1.1 bounced unknown user: \"nosuch\"\n= 5.1.1 bounced unknown user: \"nosuch\"",
        ),
        (
            "team",
            "alice@example.com: 2.0.0 sent delivered to mailbox
            alice@example.com: 2.0.0 sent delivered to command: cmd
            alice@example.com: 2.0.0 sent delivered to file: /home/alice/own
            bob@example.com: 2.0.0 sent delivered to mailbox
            team@example.com: 2.0.0 sent forwarded as 00000F
            > from s@remote.example by team@example.com: bob@example.com (team) x@remote.example (team)",
        ),
    ] {
        world.check(address, expect).await;
    }
    assert!(world.asked().contains(
        "local/unix: user alice: delivered to mailbox; from s@remote.example for alice by alice@example.com"
    ));
}

#[tokio::test]
async fn what_waits_keeps_everything_waiting() {
    let world = World::new("alias_maps = inline:{ {mix=bob, \"|wait\", x@remote.example} }\n", &[]);
    let expect = "bob@example.com: 2.0.0 sent delivered to mailbox
            mix@example.com: 4.3.0 deferred wait
            = 4.3.0 deferred wait";
    world.check("mix", expect).await;
}

#[tokio::test]
async fn loops() {
    let mut world = World::new(
        "alias_maps = inline:{ {list=x@remote.example}, {owner-list=bob} }\n",
        &[("/home/alice/.forward", "bob\n")],
    );
    world.job.header = "Delivered-To: ALICE@example.com\r\nDelivered-To: list+x@example.com\r\n";
    world.check("alice", "= 5.4.6 bounced mail forwarding loop for alice@example.com").await;
    let expect = "list+x@example.com [owner-list@example.com]: 5.4.6 bounced mail forwarding loop for list+x@example.com
            = 5.4.6 bounced mail forwarding loop for list+x@example.com";
    world.check("list+x", expect).await;
}

#[tokio::test]
async fn unknown_users() {
    for (main_cf, address, expect) in [
        ("luser_relay = alice", "nosuch+ext", "alice@example.com: 2.0.0 sent delivered to mailbox"),
        (
            "luser_relay = alice+$local",
            "nosuch+ext",
            "alice+nosuch+ext@example.com: 2.0.0 sent delivered to mailbox",
        ),
        (
            "luser_relay = $user@remote.example",
            "nosuch+ext",
            "nosuch+ext@example.com: 2.0.0 sent forwarded as 00000F
            > from s@remote.example by nosuch+ext@example.com: nosuch@remote.example (nosuch+ext)",
        ),
        (
            "luser_relay = bob+${extension?{$extension}:{none}}${recipient_delimiter}$domain",
            "nosuch",
            "bob+none+example.com@example.com: 2.0.0 sent delivered to mailbox",
        ),
        (
            "luser_relay = other",
            "nosuch",
            "other@example.com: 5.1.1 bounced unknown user: \"other\"
            = 5.1.1 bounced unknown user: \"other\"",
        ),
        ("luser_relay = other", "other", "= 5.1.1 bounced unknown user: \"other\""),
        (
            "luser_relay = |/bin/cat",
            "nosuch",
            "|/bin/cat@example.com: 5.1.1 bounced unknown user: \"|/bin/cat\"
            = 5.1.1 bounced unknown user: \"|/bin/cat\"",
        ),
        ("fallback_transport = nosuch:x", "nosuch", "= 4.3.0 deferred mail transport unavailable"),
        ("fallback_transport_maps = fail:x", "nosuch", "= 4.3.0 deferred table lookup failure"),
        ("mailbox_transport_maps = fail:x", "alice", "= 4.3.0 deferred table lookup failure"),
        ("mailbox_command_maps = fail:x", "alice", "= 4.3.0 deferred table lookup failure"),
        (
            "mailbox_command_maps = inline:{bob=c}\nmailbox_command = d",
            "bob",
            "= 2.0.0 sent delivered to command: c",
        ),
        (
            "mailbox_command_maps = inline:{bob=c}\nmailbox_command = d",
            "alice",
            "= 2.0.0 sent delivered to command: d",
        ),
        ("alias_maps = fail:x", "alice", "= 4.3.0 deferred alias database unavailable"),
    ] {
        let world = World::new(&format!("{main_cf}\n"), &[]);
        let expect = expect.replace("\n            ", "\n");
        let said = world.deliver(&format!("{address}@example.com")).await;
        assert_eq!(said, expect, "{main_cf} {address}");
    }
}

#[tokio::test]
async fn probes_deliver_nothing() {
    let mut world = World::new(
        "alias_maps = inline:{ {list=bob, \"|cmd\", /file, x@remote.example} }\nhome_mailbox = Maildir/\n",
        &[("/home/alice/.forward", "bob\n")],
    );
    world.job.purpose = Purpose::Probe;
    let expect = "bob@example.com: 2.0.0 sent delivers to maildir
            list@example.com: 2.0.0 sent delivers to command: cmd
            list@example.com: 2.0.0 sent delivers to file: /file
            x@remote.example: 2.0.0 sent forwards to x@remote.example";
    world.check("list", expect).await;
    world.job.trace_flags = Some("256");
    world.check("list", "= 2.0.0 sent aliased to bob, \"|cmd\", /file, x@remote.example").await;
    world.check("bob", "= 2.0.0 sent delivers to maildir").await;
    assert_eq!(world.asked(), "");
}

#[tokio::test]
async fn success_is_reported_of_what_was_asked_for() {
    let mut world = World::new(
        "alias_maps = inline:{ {list=bob}, {listx=bob, x@remote.example}, {owner-listx=bob} }\n",
        &[("/home/alice/.forward", "bob\n")],
    );
    world.job.notify = Notify::SUCCESS;
    for (address, expect) in [
        ("list", "expanded list@example.com Expanded"),
        ("listx", "expanded listx@example.com Delivered"),
        ("alice", "expanded alice@example.com Expanded"),
    ] {
        let said = world.deliver(&format!("{address}@example.com")).await;
        assert!(said.contains(expect), "{said}");
    }
}

#[test]
fn mistakes_in_the_settings() {
    let (main, _) =
        MainCf::parse("main.cf", b"allow_mail_to_files = alias, foo\nmailbox_size_limit = 1000\n");
    let master = MasterCf::parse("master.cf", SERVICE.as_bytes());
    let service = master.services[0].clone();
    let view = View::new(Config { main, master, ..Config::default() });
    let mut mistakes = Vec::new();
    let settings = Settings::read(&view, &service, &mut mistakes);
    assert_eq!(mistakes[0].message, "unknown allow_mail_to_files value \"foo\" in \"alias, foo\"");
    let defect = |limit| settings.defect(limit).unwrap_or_default();
    assert_eq!(
        defect(0),
        "configuration error: mailbox_size_limit is limited but message_size_limit is unlimited"
    );
    assert_eq!(defect(1001), "configuration error: mailbox_size_limit is smaller than message_size_limit");
    assert_eq!(defect(1000), "");
}
