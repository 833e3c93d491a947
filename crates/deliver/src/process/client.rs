//! The worker's side: delivery processes, kept for a while, a few for each owner.

use super::frame::{FrameError, LENGTH_SIZE, Reply, Request, decode_reply, encode_request, frame_length};
use super::task::Task;
use crate::command::Note;
use crate::content::Chunks;
use crate::failure::Failure;
use spool::Content;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Starts delivery processes: the daemon asks the parent for them.
pub trait Starter: Send + Sync {
    /// The stream socket of a new process. May take as long as a fork.
    fn start(&self, task: &Task) -> Result<OwnedFd, Failure>;
}

/// How long an idle process is kept (`max_idle`).
pub const MAX_IDLE: Duration = Duration::from_secs(100);

/// Idle processes, at most, of all owners. The oldest goes when there are more.
pub const IDLE_LIMIT: usize = 100;

/// Delivers through processes that have their owners' rights.
pub struct Processes {
    starter: Arc<dyn Starter>,
    idle: Mutex<HashMap<Key, Vec<(Instant, Process)>>>,
}

/// What processes of one kind have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Any of the same task.
    Task(Task),
    /// Any of the same service and owner.
    Virtual { service: String, uid: u32, gid: u32 },
}

/// A process that has greeted.
struct Process {
    stream: UnixStream,
    greeting: Greeting,
}

/// What a process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// 0: nobody in particular; the default user's rights.
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The list that its task leads to.
    pub(crate) list: Option<Vec<u8>>,
}

/// An answer, or why there is none that helps; and what is to be logged besides.
pub(crate) struct Answer {
    pub(crate) reply: Result<Reply, Failure>,
    pub(crate) notes: Vec<Note>,
}

impl Processes {
    pub fn new(starter: Arc<dyn Starter>) -> Processes {
        Processes { starter, idle: Mutex::default() }
    }

    /// Ends processes that have been idle for long. Called now and then.
    pub fn reap(&self) {
        let mut idle = self.lock();
        for processes in idle.values_mut() {
            processes.retain(|(since, _)| since.elapsed() < MAX_IDLE);
        }
        idle.retain(|_, processes| !processes.is_empty());
    }

    /// Ends all idle processes: the configuration they were started with is no longer in force.
    pub fn forget(&self) {
        self.lock().clear();
    }

    async fn start(&self, task: &Task, notes: &mut Vec<Note>) -> Result<Process, Failure> {
        let (starter, wanted) = (self.starter.clone(), task.clone());
        let started = tokio::task::spawn_blocking(move || starter.start(&wanted)).await;
        let socket = started.unwrap_or_else(|e| Err(trouble(task, &FrameError::Io(io::Error::other(e)))))?;
        let mut stream = to_stream(socket).map_err(|e| trouble(task, &FrameError::Io(e)))?;
        match read_reply(&mut stream).await.map_err(|e| trouble(task, &e))? {
            Reply::Ready { uid, gid, list, notes: said } => {
                notes.extend(said);
                Ok(Process { stream, greeting: Greeting { uid, gid, list } })
            }
            Reply::Failed { failure, notes: said } => {
                notes.extend(said);
                Err(failure)
            }
            Reply::Refused { why } => Err(refused(task, &why, notes)),
            _ => Err(trouble(task, &sys::fields::BadMessage("not a greeting").into())),
        }
    }

    fn take_idle(&self, key: &Key) -> Option<Process> {
        self.lock().get_mut(key)?.pop().map(|(_, process)| process)
    }

    fn keep(&self, key: Key, process: Process) {
        let mut idle = self.lock();
        idle.entry(key).or_default().push((Instant::now(), process));
        if idle.values().map(Vec::len).sum::<usize>() > IDLE_LIMIT {
            let oldest = idle.iter().min_by_key(|(_, p)| p.first().map(|(since, _)| *since));
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                idle.remove(&key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<(Instant, Process)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The processes of one delivery: each task's stays with it to the end, since a process knows what it has read for it.
pub(crate) struct Conversation {
    processes: Arc<Processes>,
    open: Vec<(Key, Process)>,
}

impl Conversation {
    pub(crate) fn new(processes: Arc<Processes>) -> Conversation {
        Conversation { processes, open: Vec::new() }
    }

    /// Whether the task's process has been asked before.
    pub(crate) fn has(&self, task: &Task) -> bool {
        self.find(&Key::Task(task.clone())).is_some()
    }

    /// Asks the task's process. `content` goes with requests that have a prelude.
    pub(crate) async fn ask(&mut self, task: &Task, request: &Request, content: Option<&Content>) -> Answer {
        self.ask_of(task, Key::Task(task.clone()), request, content).await
    }

    /// Asks a process that serves virtual mailboxes of this uid and gid; a new one is started for the task.
    pub(crate) async fn ask_virtual(
        &mut self,
        task: &Task,
        (uid, gid): (u32, u32),
        request: &Request,
        content: Option<&Content>,
    ) -> Answer {
        let key = Key::Virtual { service: task.service().to_owned(), uid, gid };
        self.ask_of(task, key, request, content).await
    }

    async fn ask_of(
        &mut self,
        task: &Task,
        key: Key,
        request: &Request,
        content: Option<&Content>,
    ) -> Answer {
        let mut notes = Vec::new();
        let reply = self.ask_open_idle_or_new(task, &key, request, content, &mut notes).await;
        Answer { reply, notes }
    }

    /// A process that has been idle may be gone, or know an older state of things: then another one is asked. What it may have
    /// written already is then written twice rather than never.
    async fn ask_open_idle_or_new(
        &mut self,
        task: &Task,
        key: &Key,
        request: &Request,
        content: Option<&Content>,
        notes: &mut Vec<Note>,
    ) -> Result<Reply, Failure> {
        if let Some(at) = self.find(key) {
            let (_, process) = self.open.swap_remove(at);
            match self.converse(process, key, request, content).await {
                Ok(Reply::Outdated) => {}
                reply => return settle(task, reply, notes),
            }
        }
        while let Some(process) = self.processes.take_idle(key) {
            match self.converse(process, key, request, content).await {
                Ok(Reply::Refused { .. } | Reply::Outdated) | Err(_) => {}
                reply => return settle(task, reply, notes),
            }
        }
        let process = self.processes.start(task, notes).await?;
        let reply = self.converse(process, key, request, content).await;
        settle(task, reply, notes)
    }

    /// What the task's process says of itself: a new one is started if none is open.
    pub(crate) async fn greet(&mut self, task: &Task) -> (Result<Greeting, Failure>, Vec<Note>) {
        let mut notes = Vec::new();
        let key = Key::Task(task.clone());
        if let Some(at) = self.find(&key) {
            return (Ok(self.open[at].1.greeting.clone()), notes);
        }
        let started = self.processes.start(task, &mut notes).await.map(|process| {
            let greeting = process.greeting.clone();
            self.open.push((key, process));
            greeting
        });
        (started, notes)
    }

    async fn converse(
        &mut self,
        mut process: Process,
        key: &Key,
        request: &Request,
        content: Option<&Content>,
    ) -> Result<Reply, FrameError> {
        let reply = exchange(&mut process.stream, request, content).await?;
        if !matches!(reply, Reply::Refused { .. } | Reply::Outdated) {
            self.open.push((key.clone(), process));
        }
        Ok(reply)
    }

    fn find(&self, key: &Key) -> Option<usize> {
        self.open.iter().position(|(open, _)| open == key)
    }
}

/// What serves anybody is kept. An alias's process is not: the next delivery is to see the entry and its lists anew.
impl Drop for Conversation {
    fn drop(&mut self) {
        for (key, process) in self.open.drain(..) {
            if !matches!(key, Key::Task(Task::Alias { .. })) {
                self.processes.keep(key, process);
            }
        }
    }
}

fn settle(task: &Task, reply: Result<Reply, FrameError>, notes: &mut Vec<Note>) -> Result<Reply, Failure> {
    match reply {
        Ok(Reply::Refused { why }) => Err(refused(task, &why, notes)),
        Ok(Reply::Outdated) => Err(trouble(task, &sys::fields::BadMessage("outdated when new").into())),
        Ok(reply) => Ok(reply),
        Err(e) => Err(trouble(task, &e)),
    }
}

/// What the worker has looked up and the process has not found is told to whoever can mend it; the mail waits.
fn refused(task: &Task, why: &str, notes: &mut Vec<Note>) -> Failure {
    notes.push(Note::Warning(format!("{task}: refused: {why}")));
    Failure::of_configuration(4)
}

fn trouble(task: &Task, error: &FrameError) -> Failure {
    Failure::of_system(format!("delivery process for {task}: {error}"))
}

fn to_stream(socket: OwnedFd) -> io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

async fn exchange(
    stream: &mut UnixStream,
    request: &Request,
    content: Option<&Content>,
) -> Result<Reply, FrameError> {
    let mut frame = encode_request(request, content.map_or(0, Content::len));
    let mut chunks = content.map(Chunks::new);
    while let Some(chunks) = &mut chunks
        && let Some(chunk) = chunks.next().await.map_err(FrameError::Io)?
    {
        // What is small goes in one system call with the frame.
        if frame.len() + chunk.len() <= 64 << 10 {
            frame.extend_from_slice(&chunk);
        } else {
            stream.write_all(&frame).await.map_err(FrameError::Io)?;
            frame.clear();
            stream.write_all(&chunk).await.map_err(FrameError::Io)?;
        }
    }
    stream.write_all(&frame).await.map_err(FrameError::Io)?;
    read_reply(stream).await
}

async fn read_reply(stream: &mut UnixStream) -> Result<Reply, FrameError> {
    let mut length = [0; LENGTH_SIZE];
    stream.read_exact(&mut length).await.map_err(FrameError::Io)?;
    let length = frame_length(length)?;
    let mut frame = Vec::new();
    let read = stream.take(length as u64).read_to_end(&mut frame).await.map_err(FrameError::Io)?;
    match read == length {
        true => Ok(decode_reply(&frame)?),
        false => Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into())),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::{Ending, prepare, serve::serve_as_is};
    use super::*;
    use crate::copy::Prelude;
    use params::{Config, MainCf, MasterCf, View};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// "Processes" that are threads of this one, with the rights it has.
    pub(crate) struct Threads {
        pub(crate) view: View,
        pub(crate) started: AtomicU32,
        pub(crate) endings: Arc<Mutex<Vec<Ending>>>,
    }

    impl Threads {
        pub(crate) fn new(main_cf: &str, master_cf: &str) -> Arc<Threads> {
            let (main, _) = MainCf::parse("main.cf", main_cf.as_bytes());
            let master = MasterCf::parse("master.cf", master_cf.as_bytes());
            let view = View::new(Config { main, master, ..Config::default() });
            Arc::new(Threads { view, started: AtomicU32::new(0), endings: Arc::default() })
        }
    }

    impl Starter for Threads {
        fn start(&self, task: &Task) -> Result<OwnedFd, Failure> {
            self.started.fetch_add(1, Ordering::Relaxed);
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
            let (view, task, endings) = (self.view.clone(), task.clone(), self.endings.clone());
            std::thread::spawn(move || {
                let ending = serve_as_is(prepare(&task, &view), theirs);
                endings.lock().expect("no panic").push(ending);
            });
            Ok(ours.into())
        }
    }

    pub(crate) const LOCAL: &str = "local unix - n n - - local\n";

    pub(crate) fn own_name() -> String {
        nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("readable").expect("this user").name
    }

    fn user(name: &str) -> Task {
        Task::User { service: "local/unix".into(), user: name.into() }
    }

    fn mailbox() -> Request {
        Request::Mailbox { prelude: Prelude::default() }
    }

    async fn say(processes: &Arc<Processes>, task: &Task, request: Request, content: &Content) -> String {
        let mut conversation = Conversation::new(processes.clone());
        let answer = conversation.ask(task, &request, Some(content)).await;
        match answer.reply {
            Ok(Reply::Delivered { said, .. }) => said,
            Ok(Reply::Failed { failure, .. }) => format!("{} {}", failure.status, failure.reason),
            Ok(other) => format!("{other:?}"),
            Err(failure) => format!("! {} {:?}", failure.reason, answer.notes),
        }
    }

    #[tokio::test]
    async fn one_process_serves_many_deliveries() {
        let spool = tempfile::tempdir().expect("a folder");
        let main_cf =
            format!("mail_spool_directory = {}/\nmailbox_size_limit = 1000000\n", spool.path().display());
        let threads = Threads::new(&main_cf, LOCAL);
        let processes = Arc::new(Processes::new(threads.clone()));
        let (name, small) = (own_name(), Content::new("Subject: x\r\n", "\r\nhi\r\n"));
        for _ in 0..5 {
            assert_eq!(say(&processes, &user(&name), mailbox(), &small).await, "delivered to maildir");
        }
        let large = Content::new("", vec![b'x'; 2 << 20]);
        let said = say(&processes, &user(&name), mailbox(), &large).await;
        assert_eq!(said, "5.2.2 maildir delivery failed: error writing message: File too large");
        assert_eq!(say(&processes, &user(&name), mailbox(), &small).await, "delivered to maildir");
        assert_eq!(threads.started.load(Ordering::Relaxed), 1);
        let new = std::fs::read_dir(spool.path().join(name).join("new")).expect("a folder").count();
        assert_eq!(new, 6);
    }

    #[tokio::test]
    async fn a_process_with_other_rights_than_the_spool_asks_for_ends() {
        use std::os::unix::fs::PermissionsExt;
        let spool = tempfile::tempdir().expect("a folder");
        let mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(spool.path(), mode).expect("changed");
        };
        let threads = Threads::new(&format!("mail_spool_directory = {}\n", spool.path().display()), LOCAL);
        let processes = Arc::new(Processes::new(threads.clone()));
        let (task, content) = (user(&own_name()), Content::new("Subject: x\r\n", "\r\nhi\r\n"));
        for (bits, started) in [(0o755, 1), (0o755, 1), (0o775, 2), (0o775, 2), (0o755, 3)] {
            mode(bits);
            assert_eq!(say(&processes, &task, mailbox(), &content).await, "delivered to mailbox");
            assert_eq!(threads.started.load(Ordering::Relaxed), started, "{bits:o}");
        }
        drop(processes);
        while threads.endings.lock().expect("no panic").len() < 3 {
            tokio::task::yield_now().await;
        }
        assert!(threads.endings.lock().expect("no panic").iter().all(|ending| *ending == Ending::Over));
    }

    #[tokio::test]
    async fn unknown_users_and_ended_processes() {
        let spool = tempfile::tempdir().expect("a folder");
        let main_cf = format!("mail_spool_directory = {}/\n", spool.path().display());
        let threads = Threads::new(&main_cf, LOCAL);
        let processes = Arc::new(Processes::new(threads.clone()));
        let (task, content) = (user(&own_name()), Content::default());
        let said = say(&processes, &user("no such user"), mailbox(), &content).await;
        assert!(said.starts_with("! mail system configuration error"), "{said}");
        assert!(said.contains("refused: unknown user"), "{said}");
        assert_eq!(say(&processes, &task, mailbox(), &content).await, "delivered to maildir");
        // The process ends by itself; the worker notices when it needs it.
        let (dead, _) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
        let dead =
            Process { stream: to_stream(dead.into()).expect("a stream"), greeting: Greeting::default() };
        processes.keep(Key::Task(task.clone()), dead);
        assert_eq!(say(&processes, &task, mailbox(), &content).await, "delivered to maildir");
        assert_eq!(threads.started.load(Ordering::Relaxed), 2);
        processes.forget();
        assert_eq!(say(&processes, &task, mailbox(), &content).await, "delivered to maildir");
        assert_eq!(threads.started.load(Ordering::Relaxed), 3);
    }

    /// A worker that has been taken over gets nothing of this.
    #[tokio::test]
    async fn what_nobody_has_named_is_refused_and_ends_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let aliases = folder.path().join("aliases");
        std::fs::write(&aliases, "cmd: |/bin/true\nlist: :include:/etc/hostname\n").expect("written");
        let table = format!("hash:{}", aliases.display());
        let main_cf = format!("alias_maps = {table}\nforward_path = {}/forward\n", folder.path().display());
        let pipe = "maildrop unix - n n - - pipe flags=R user=nosuchuser argv=/bin/true\n";
        let virtual_ = "virtual unix - n n - - virtual\n";
        let threads = Threads::new(&main_cf, &format!("{LOCAL}{pipe}{virtual_}"));
        let processes = Arc::new(Processes::new(threads.clone()));
        let (service, name, prelude) = ("local/unix".to_owned(), own_name(), Prelude::default());
        let alias = |table: &str, name: &str, includes: &[&str]| Task::Alias {
            service: service.clone(),
            table: table.into(),
            name: name.into(),
            includes: includes.iter().map(|path| path.as_bytes().to_vec()).collect(),
        };
        let file = |path: &str| Request::File { path: path.into(), prelude: prelude.clone() };
        let facts = super::super::Facts::default();
        let run = |command: &str| Request::Command {
            command: command.into(),
            prelude: prelude.clone(),
            facts: facts.clone(),
        };
        let run_mailbox_command = Request::MailboxCommand {
            command: b"/bin/true".to_vec(),
            prelude: prelude.clone(),
            facts: facts.clone(),
        };
        let include = Request::Include { path: b"/etc/passwd".to_vec() };
        let rows: Vec<(Task, Request)> = vec![
            (user(&name), run("/bin/true")),
            (user(&name), run_mailbox_command),
            (user(&name), file("/tmp/x")),
            (user(&name), include),
            (user(&name), Request::Virtual { recipient: "a@b".into(), prelude: prelude.clone() }),
            (alias(&table, "cmd", &[]), run("/bin/true -x")),
            (alias(&table, "cmd", &[]), file("/bin/true")),
            (alias(&table, "cmd", &[]), mailbox()),
            (alias(&table, "nosuch", &[]), run("/bin/true")),
            (alias(&table, "cmd", &["/etc/passwd"]), run("/bin/true")),
            (alias(&table, "list", &["/etc/hostname", "/etc/passwd"]), run("/bin/true")),
            (alias("hash:/etc/elsewhere", "cmd", &[]), run("/bin/true")),
            (Task::User { service: "virtual/unix".into(), user: name.clone() }, mailbox()),
            (Task::User { service: "smtp/inet".into(), user: name.clone() }, mailbox()),
            (Task::Virtual { service: "virtual/unix".into(), recipient: "a@b".into() }, mailbox()),
            (Task::Virtual { service: service.clone(), recipient: "a@b".into() }, mailbox()),
            (Task::Pipe { service: "maildrop/unix".into() }, mailbox()),
            (Task::Pipe { service }, mailbox()),
        ];
        let count = rows.len();
        for (task, request) in rows {
            let said = say(&processes, &task, request.clone(), &Content::default()).await;
            assert!(said.starts_with("! mail system configuration error"), "{task} {request:?}: {said}");
            assert!(said.contains(": refused: "), "{task}: {said}");
        }
        drop(processes);
        while threads.endings.lock().expect("no panic").len() < count {
            tokio::task::yield_now().await;
        }
        let endings = threads.endings.lock().expect("no panic");
        assert!(endings.iter().all(|e| matches!(e, Ending::Refused(_))), "{endings:?}");
    }
}
