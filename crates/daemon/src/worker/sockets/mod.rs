//! The sockets that commands use: triggers, the queue's listing, orders of postqueue and postsuper, foreign log lines.

mod showq;

use super::snapshot::PickupService;
use logger::Logger;
use mail::QueueId;
use qmgr::Handle;
use spool::control::{self, Answer, Order};
use spool::{Admin, Spool, SpoolError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixDatagram, UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

/// What the sockets reach.
pub(super) struct Desk {
    pub(super) spool: Arc<dyn Spool>,
    pub(super) qmgr: Handle,
    pub(super) pickup: Arc<Notify>,
    pub(super) maildrop: spool::maildrop::Maildrop,
    pub(super) log: Logger,
}

/// Connections that are served at a time; more have to wait.
const CONNECTION_LIMIT: usize = 50;

/// Octets that a trigger connection is listened to for.
const TRIGGER_LIMIT: usize = 64;

impl Desk {
    /// Listens, below the queue directory. The tasks end when the set is dropped.
    pub(super) fn open(self: Arc<Self>, queue_directory: &Path) -> io::Result<JoinSet<()>> {
        let mut tasks = JoinSet::new();
        let listen = |name: &str| listen(&queue_directory.join(name)).map_err(|e| with_name(name, e));
        tasks.spawn(serve(listen(control::PICKUP_SOCKET)?, self.clone(), Desk::trigger_pickup));
        tasks.spawn(serve(listen(control::QMGR_SOCKET)?, self.clone(), Desk::trigger_qmgr));
        tasks.spawn(serve(listen(control::SHOWQ_SOCKET)?, self.clone(), Desk::show_queue));
        tasks.spawn(serve(listen(control::FLUSH_SOCKET)?, self.clone(), Desk::take_flush_orders));
        tasks.spawn(serve(listen(control::ADMIN_SOCKET)?, self.clone(), Desk::take_admin_orders));
        let postlog = bind_datagram(&queue_directory.join(control::POSTLOG_SOCKET));
        let postlog = postlog.map_err(|e| with_name(control::POSTLOG_SOCKET, e))?;
        tasks.spawn(take_log_lines(postlog, self.log.clone()));
        Ok(tasks)
    }

    async fn trigger_pickup(self: Arc<Self>, mut stream: UnixStream) -> io::Result<()> {
        let mut octets = [0; TRIGGER_LIMIT];
        if stream.read(&mut octets).await? > 0 {
            self.pickup.notify_one();
        }
        Ok(())
    }

    async fn trigger_qmgr(self: Arc<Self>, mut stream: UnixStream) -> io::Result<()> {
        let mut octets = [0; TRIGGER_LIMIT];
        let n = stream.read(&mut octets).await?;
        // D: look at what is deferred; F: forget that destinations were dead; A: look at all. New mail announces itself.
        if octets[..n].iter().any(|octet| matches!(octet, b'D' | b'F' | b'A')) {
            self.qmgr.flush();
        }
        Ok(())
    }

    async fn show_queue(self: Arc<Self>, stream: UnixStream) -> io::Result<()> {
        showq::show(&self, stream).await
    }

    async fn take_flush_orders(self: Arc<Self>, stream: UnixStream) -> io::Result<()> {
        self.take_orders(stream, |order| !matches!(order, Order::Administer(..))).await
    }

    async fn take_admin_orders(self: Arc<Self>, stream: UnixStream) -> io::Result<()> {
        self.take_orders(stream, |_| true).await
    }

    async fn take_orders(&self, stream: UnixStream, is_allowed: fn(&Order) -> bool) -> io::Result<()> {
        let (input, mut output) = stream.into_split();
        let mut input = BufReader::new(input).take(control::LINE_LIMIT as u64);
        let mut line = String::new();
        while input.read_line(&mut line).await? > 0 {
            let order = Order::parse(line.trim_end_matches('\n')).filter(is_allowed);
            let answer = match order {
                Some(order) => self.obey(order).await,
                None => Answer::Failed("no such order".into()),
            };
            output.write_all(format!("{answer}\n").as_bytes()).await?;
            line.clear();
            input.set_limit(control::LINE_LIMIT as u64);
        }
        Ok(())
    }

    async fn obey(&self, order: Order) -> Answer {
        match order {
            Order::FlushMessage(id) => {
                self.qmgr.flush_message(id);
                Answer::Done
            }
            Order::FlushSite(site) => {
                self.qmgr.flush_site(&site);
                Answer::Done
            }
            Order::Administer(id, Admin::Requeue) => answer(self.requeue(id).await),
            Order::Administer(id, action)
                if self.spool.summary(id).is_some_and(|summary| !action.applies_to(&summary)) =>
            {
                Answer::Unknown
            }
            Order::Administer(id, action) => answer(self.qmgr.administer(id, action).await),
        }
    }

    /// The message goes through cleanup again: it becomes a letter, which pickup finds when it looks the next time.
    async fn requeue(&self, id: QueueId) -> Result<(), SpoolError> {
        let (spool, maildrop) = (self.spool.clone(), self.maildrop.clone());
        let put_back = move || maildrop.put_back(&*spool.load(id)?).map_err(|e| SpoolError::Device(e.into()));
        let is_back = tokio::task::spawn_blocking(put_back).await.map_err(|_| SpoolError::Closed)??;
        match is_back {
            true => self.qmgr.administer(id, Admin::Delete).await,
            // It is about to end.
            false => Err(SpoolError::Unknown(id)),
        }
    }
}

fn answer(result: Result<(), SpoolError>) -> Answer {
    match result {
        Ok(()) => Answer::Done,
        Err(SpoolError::Unknown(_)) => Answer::Unknown,
        Err(e) => Answer::Failed(e.to_string()),
    }
}

/// Runs pickup: when it is triggered, and as often as master.cf's `wakeup` says in case a trigger was lost.
pub(super) async fn run_pickup(current: impl Fn() -> Option<Arc<PickupService>>, trigger: Arc<Notify>) {
    loop {
        let service = current();
        if let Some(service) = &service {
            service.pickup.purge();
            service.pickup.scan(&service.enqueue).await;
        }
        match service.and_then(|service| service.wakeup) {
            // An elapsed time is a wake-up as good as a trigger.
            Some(wakeup) => drop(tokio::time::timeout(wakeup, trigger.notified()).await),
            None => trigger.notified().await,
        }
    }
}

/// Passes on what ETRN asks for.
pub(super) async fn flush_sites(mut sites: UnboundedReceiver<String>, qmgr: Handle) {
    while let Some(site) = sites.recv().await {
        qmgr.flush_site(&site);
    }
}

async fn serve<F>(listener: UnixListener, desk: Arc<Desk>, handle: fn(Arc<Desk>, UnixStream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(CONNECTION_LIMIT));
    let mut tasks = JoinSet::new();
    loop {
        let permit = permits.clone().acquire_owned().await;
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let handling = handle(desk.clone(), stream);
                tasks.spawn(async move {
                    let _permit = permit;
                    // A command that went away needs no answer.
                    let _ = handling.await;
                });
            }
            Err(e) => {
                desk.log.warning(format_args!("accept: {e}"));
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn take_log_lines(socket: UnixDatagram, log: Logger) {
    let mut line = vec![0; logger::PAYLOAD_LIMIT];
    while let Ok(n) = socket.recv(&mut line).await {
        log.foreign_line(&line[..n]);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    remove_old(path)?;
    let listener = UnixListener::bind(path)?;
    open_to_folder(path)?;
    Ok(listener)
}

fn bind_datagram(path: &Path) -> io::Result<UnixDatagram> {
    remove_old(path)?;
    let socket = UnixDatagram::bind(path)?;
    open_to_folder(path)?;
    Ok(socket)
}

/// The name that a worker before this one has left. The master lock says that there is no other server.
fn remove_old(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Whoever may enter the folder may use the socket.
fn open_to_folder(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666))
}

fn with_name(name: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}
