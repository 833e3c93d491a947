//! The worker's side: mailbox processes, kept for a while, a few for each user.

use super::frame::{FrameError, LENGTH_SIZE, decode_reply, encode_request, frame_length};
use super::{Failure, Prelude};
use mail::DsnStatus;
use spool::Content;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Starts mailbox processes: the daemon asks the parent for them.
pub trait Starter: Send + Sync {
    /// The stream socket of a new process with this user's rights. May take as long as a fork.
    fn start(&self, user: &str) -> Result<OwnedFd, Failure>;
}

/// How long an idle process is kept (`max_idle`).
pub const MAX_IDLE: Duration = Duration::from_secs(100);

/// Idle processes, at most, of all users. The oldest goes when there are more.
pub const IDLE_LIMIT: usize = 100;

/// Delivers to users' mailboxes through processes that have their rights.
pub struct MailboxProcesses {
    starter: Arc<dyn Starter>,
    idle: Mutex<HashMap<String, Vec<(Instant, UnixStream)>>>,
}

impl MailboxProcesses {
    pub fn new(starter: Arc<dyn Starter>) -> MailboxProcesses {
        MailboxProcesses { starter, idle: Mutex::default() }
    }

    /// Delivers one message. A process that has gone away is replaced once; what it may have written already is then
    /// written twice rather than never.
    pub async fn deliver(&self, user: &str, prelude: &Prelude, content: &Content) -> Result<String, Failure> {
        while let Some(stream) = self.take_idle(user) {
            if let Ok(result) = self.converse(stream, user, prelude, content).await {
                return result;
            }
        }
        let stream = self.start(user).await?;
        match self.converse(stream, user, prelude, content).await {
            Ok(result) => result,
            Err(e) => Err(trouble(user, &e)),
        }
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

    async fn start(&self, user: &str) -> Result<UnixStream, Failure> {
        let (starter, name) = (self.starter.clone(), user.to_owned());
        let started = tokio::task::spawn_blocking(move || starter.start(&name)).await;
        let socket = started.unwrap_or_else(|e| Err(trouble(user, &FrameError::Io(io::Error::other(e)))))?;
        to_stream(socket).map_err(|e| trouble(user, &FrameError::Io(e)))
    }

    async fn converse(
        &self,
        mut stream: UnixStream,
        user: &str,
        prelude: &Prelude,
        content: &Content,
    ) -> Result<Result<String, Failure>, FrameError> {
        let reply = exchange(&mut stream, prelude, content).await?;
        self.keep(user, stream);
        Ok(reply)
    }

    fn take_idle(&self, user: &str) -> Option<UnixStream> {
        self.lock().get_mut(user)?.pop().map(|(_, stream)| stream)
    }

    fn keep(&self, user: &str, stream: UnixStream) {
        let mut idle = self.lock();
        idle.entry(user.to_owned()).or_default().push((Instant::now(), stream));
        if idle.values().map(Vec::len).sum::<usize>() > IDLE_LIMIT {
            let oldest = idle.iter().min_by_key(|(_, p)| p.first().map(|(since, _)| *since));
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                idle.remove(&name);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<(Instant, UnixStream)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_stream(socket: OwnedFd) -> io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

async fn exchange(
    stream: &mut UnixStream,
    prelude: &Prelude,
    content: &Content,
) -> Result<Result<String, Failure>, FrameError> {
    let mut request = encode_request(prelude, content.len());
    let mut reader = content.reader();
    while let Some(chunk) = reader.next_chunk().map_err(FrameError::Io)? {
        // What is small goes in one system call with the frame.
        if request.len() + chunk.len() <= 64 << 10 {
            request.extend_from_slice(&chunk);
        } else {
            stream.write_all(&request).await.map_err(FrameError::Io)?;
            request.clear();
            stream.write_all(&chunk).await.map_err(FrameError::Io)?;
        }
    }
    stream.write_all(&request).await.map_err(FrameError::Io)?;
    let mut length = [0; LENGTH_SIZE];
    stream.read_exact(&mut length).await.map_err(FrameError::Io)?;
    let mut frame = vec![0; frame_length(length)?];
    stream.read_exact(&mut frame).await.map_err(FrameError::Io)?;
    Ok(decode_reply(&frame)?)
}

fn trouble(user: &str, error: &FrameError) -> Failure {
    let why = match error {
        FrameError::Io(e) => e.to_string(),
        FrameError::Bad(bad) => bad.to_string(),
    };
    Failure { status: DsnStatus::new(4, 3, 0), reason: format!("mailbox process for user {user}: {why}") }
}

#[cfg(test)]
mod tests {
    use super::super::{Locking, Mailbox, Style, serve::serve};
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// "Processes" that are threads of this one.
    struct Threads {
        mailbox: Mailbox,
        started: AtomicU32,
    }

    impl Starter for Threads {
        fn start(&self, user: &str) -> Result<OwnedFd, Failure> {
            if user != self.mailbox.user {
                return Err(Failure {
                    status: DsnStatus::new(5, 1, 1),
                    reason: format!("unknown user: \"{user}\""),
                });
            }
            self.started.fetch_add(1, Ordering::Relaxed);
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
            let mailbox = self.mailbox.clone();
            std::thread::spawn(move || serve(theirs, &mailbox));
            Ok(ours.into())
        }
    }

    fn setup(size_limit: u64) -> (tempfile::TempDir, Arc<Threads>, MailboxProcesses) {
        let home = tempfile::tempdir().expect("a folder");
        let mailbox = Mailbox {
            style: Style::Maildir,
            path: home.path().join("Maildir"),
            user: "alice".into(),
            host: "host".into(),
            size_limit,
            locking: Locking::default(),
        };
        let threads = Arc::new(Threads { mailbox, started: AtomicU32::new(0) });
        (home, threads.clone(), MailboxProcesses::new(threads))
    }

    #[tokio::test]
    async fn one_process_serves_many_deliveries() {
        let (home, threads, processes) = setup(1 << 20);
        for _ in 0..5 {
            let said = processes
                .deliver("alice", &Prelude::default(), &Content::new("Subject: x\r\n", "\r\nhi\r\n"))
                .await;
            assert_eq!(said, Ok("delivered to maildir".into()));
        }
        let large = Content::new("", vec![b'x'; 2 << 20]);
        let failure = processes.deliver("alice", &Prelude::default(), &large).await.expect_err("too large");
        assert_eq!(failure.status.to_string(), "5.2.2");
        processes
            .deliver("alice", &Prelude::default(), &Content::new("", "after\r\n"))
            .await
            .expect("still served");
        assert_eq!(threads.started.load(Ordering::Relaxed), 1);
        let new = std::fs::read_dir(home.path().join("Maildir/new")).expect("a folder").count();
        assert_eq!(new, 6);
    }

    #[tokio::test]
    async fn unknown_users_and_ended_processes() {
        let (_home, threads, processes) = setup(0);
        let failure =
            processes.deliver("eve", &Prelude::default(), &Content::default()).await.expect_err("unknown");
        assert_eq!(failure.reason, "unknown user: \"eve\"");
        processes.deliver("alice", &Prelude::default(), &Content::default()).await.expect("delivered");
        // The process ends by itself; the worker notices when it needs it.
        let (dead, _) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
        processes.keep("alice", to_stream(dead.into()).expect("a stream"));
        processes.deliver("alice", &Prelude::default(), &Content::default()).await.expect("delivered");
        assert_eq!(threads.started.load(Ordering::Relaxed), 1);
        processes.forget();
        processes.deliver("alice", &Prelude::default(), &Content::default()).await.expect("delivered");
        assert_eq!(threads.started.load(Ordering::Relaxed), 2);
    }
}
