//! How others talk to the queue manager.

use super::Event;
use crate::Setup;
use mail::QueueId;
use spool::{Admin, Durable, SpoolError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// A handle on the running queue manager. Cheap to clone; after the manager's end its requests do nothing.
#[derive(Clone)]
pub struct Handle {
    pub(super) events: UnboundedSender<Event>,
    pub(super) incoming: Arc<AtomicUsize>,
}

/// What is asked of the manager.
pub(super) enum Command {
    Flush,
    FlushMessages(Vec<QueueId>),
    FlushSite(String),
    Administer { id: QueueId, action: Admin, reply: oneshot::Sender<Durable> },
    Reload(Arc<Setup>),
    ActiveIds(oneshot::Sender<Vec<QueueId>>),
    Counts(oneshot::Sender<Counts>),
    Shutdown(oneshot::Sender<()>),
}

/// How many messages are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Being worked on.
    pub active: usize,
    /// New ones that find no room, and deferred ones.
    pub waiting: usize,
    pub held: usize,
    /// Deliveries under way.
    pub deliveries: usize,
}

impl Handle {
    /// Tries everything that is deferred, at once (`postqueue -f`).
    pub fn flush(&self) {
        self.send(Command::Flush);
    }

    /// Tries one deferred message at once (`postqueue -i`). An unknown id is ignored.
    pub fn flush_message(&self, id: QueueId) {
        self.send(Command::FlushMessages(vec![id]));
    }

    /// Tries the messages that wait for a domain (`postqueue -s`, ETRN). Which these are is read from the spool.
    pub fn flush_site(&self, domain: &str) {
        self.send(Command::FlushSite(domain.to_owned()));
    }

    /// Does what `postsuper` asks, in the spool and here. Deliveries under way are waited for; none begins after it.
    /// Resolves when the spool has it.
    pub async fn administer(&self, id: QueueId, action: Admin) -> Result<(), SpoolError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Administer { id, action, reply });
        answer.await.map_err(|_| SpoolError::Closed)?.await
    }

    /// Replaces parameters, routing and transports. Deliveries under way end as they began.
    pub fn reload(&self, setup: Setup) {
        self.send(Command::Reload(Arc::new(setup)));
    }

    /// The messages that are being worked on: `mailq` marks them with `*`.
    pub async fn active_ids(&self) -> Vec<QueueId> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::ActiveIds(reply));
        answer.await.unwrap_or_default()
    }

    pub async fn counts(&self) -> Counts {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Counts(reply));
        answer.await.unwrap_or_default()
    }

    /// New messages that wait for room in the active queue: those who receive mail may slow down (`in_flow_delay`).
    pub fn incoming(&self) -> usize {
        self.incoming.load(Ordering::Relaxed)
    }

    /// Starts no more deliveries, waits for those under way and their notices, and ends the manager. Who cannot wait drops
    /// the future and the runtime: what is under way then counts as deferred.
    pub async fn shutdown(&self) {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Shutdown(reply));
        // An error means that it has ended already.
        let _ = answer.await;
    }

    fn send(&self, command: Command) {
        let _ = self.events.send(Event::Command(command));
    }
}
