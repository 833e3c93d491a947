//! The worker: unprivileged, serves mail. This is where the rooms are tied together.

mod build;
mod clock;
mod local;
mod queue;
mod routing;
mod sandbox;
mod smtp;
mod smtp_sasl;
mod smtp_tls;
mod smtpd;
mod smtpd_sasl;
mod smtpd_tls;
mod snapshot;
mod sockets;

use crate::ipc::orders::{self, Answer, Listener as Inherited, Order};
use crate::ipc::requests::{Asker, Request};
use crate::ipc::{self, IpcError};
use crate::roles;
use build::{Build, Opener};
use deliver::process::client::Processes;
use instance::Instance;
use local::ParentStarter;
use logger::{Logger, Target};
use net::Resolver;
use net::listen::Listener;
use params::{Severity, View, p};
use qmgr::{Context, Handle, Manager, SystemClock};
use queue::Injector;
use snapshot::Snapshot;
use sockets::Desk;
use spool::{SegmentSpool, Spool, SpoolError};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;

/// How long deliveries under way may take when the system stops. The parent waits a little longer.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// How long a predecessor whose parent was killed may take to let go of the spool.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(5);
const PREDECESSOR_PAUSE: Duration = Duration::from_millis(50);

/// Runs until the parent says stop, or is gone.
pub(crate) fn run(config_directory: &str, folders: &[&Path]) -> io::Result<()> {
    let is_confined = sandbox::confine(folders).map_err(io::Error::other)?;
    let orders = io::stdin().as_fd().try_clone_to_owned()?;
    let asker = Arc::new(Asker::new(take_request_socket(&orders).map_err(io::Error::other)?));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("worker").build()?;
    let config_directory = config_directory.to_owned();
    runtime.block_on(Worker { config_directory, orders, asker, is_confined }.serve())
}

fn take_request_socket(orders: &OwnedFd) -> Result<OwnedFd, IpcError> {
    let (hello, mut descriptors) = ipc::receive(orders)?;
    match (hello.as_slice(), descriptors.pop()) {
        (roles::HELLO, Some(requests)) => Ok(requests),
        _ => Err(sys::fields::BadMessage("not the parent's greeting").into()),
    }
}

/// Before there is a configuration.
struct Worker {
    config_directory: String,
    orders: OwnedFd,
    asker: Arc<Asker>,
    is_confined: bool,
}

/// A configuration as it came from the parent.
struct Configuration {
    generation: u64,
    view: View,
    listeners: Vec<Inherited>,
}

impl Worker {
    async fn serve(self) -> io::Result<()> {
        let mut orders = self.listen()?;
        let Some(first) = orders.recv().await else { return Ok(()) };
        let generation = first.generation;
        let mut system = match System::start(first, self.asker.clone()).await {
            Ok(system) => system,
            Err(why) => return Ok(orders::answer(&self.orders, &Answer::Rejected { generation, why })?),
        };
        if !self.is_confined {
            system.log.info(format_args!("this kernel has no landlock: the worker's user alone confines it"));
        }
        orders::answer(&self.orders, &Answer::Ready { generation })?;
        while let Some(next) = orders.recv().await {
            let generation = next.generation;
            let answer = match system.reload(next) {
                Ok(()) => Answer::Ready { generation },
                Err(why) => Answer::Rejected { generation, why },
            };
            orders::answer(&self.orders, &answer)?;
        }
        system.stop().await;
        Ok(())
    }

    /// Has a thread wait for orders. The channel ends when the system is to stop, or the parent is gone.
    fn listen(&self) -> io::Result<mpsc::UnboundedReceiver<Configuration>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (socket, directory) = (self.orders.try_clone()?, self.config_directory.clone());
        std::thread::Builder::new().name("orders".into()).spawn(move || {
            while let Ok(Some(configuration)) = next_configuration(&socket, &directory) {
                if sender.send(configuration).is_err() {
                    return;
                }
            }
        })?;
        Ok(receiver)
    }
}

/// None: the system is to stop.
fn next_configuration(orders: &OwnedFd, config_directory: &str) -> io::Result<Option<Configuration>> {
    match orders::next(orders).map_err(io::Error::other)? {
        Order::Stop => Ok(None),
        Order::Configure { generation, main_cf, master_cf, listeners } => {
            let (main_cf, master_cf) = (ipc::read_memory_file(main_cf)?, ipc::read_memory_file(master_cf)?);
            let instance = Instance::from_text(config_directory, "worker", main_cf, master_cf);
            Ok(Some(Configuration { generation, view: instance.view, listeners }))
        }
    }
}

/// The running mail system.
struct System {
    asker: Arc<Asker>,
    log: Logger,
    spool: Arc<dyn Spool>,
    resolver: Resolver,
    memory: Arc<deliver::smtp::Memory>,
    processes: Arc<Processes>,
    qmgr: Handle,
    manager: tokio::task::JoinHandle<()>,
    injector: Arc<Injector>,
    current: Arc<RwLock<Arc<Snapshot>>>,
    /// Accepting, by service and address.
    accepting: HashMap<(String, String), tokio::task::JoinHandle<()>>,
    /// Commands' sockets, pickup, clearing up.
    _tasks: JoinSet<()>,
}

impl System {
    async fn start(first: Configuration, asker: Arc<Asker>) -> Result<System, String> {
        let view = first.view;
        let log = open_log(&view, &asker)?;
        let queue_directory = PathBuf::from(view.get(p::queue_directory, &mut Vec::new()));
        let spool: Arc<dyn Spool> = Arc::new(open_spool(&view, &queue_directory, &log).await?);
        let resolver = Resolver::new(net::resolver::Sources::default());
        let processes = Arc::new(Processes::new(Arc::new(ParentStarter(asker.clone()))));
        let memory = Arc::new(deliver::smtp::Memory::default());
        let parts = snapshot::Parts {
            spool: spool.clone(),
            resolver: resolver.clone(),
            memory: memory.clone(),
            processes: processes.clone(),
            queue_directory: queue_directory.clone(),
        };
        let (snapshot, setup) = build_snapshot(&view, &log, &asker, &parts)?;
        let injector = Arc::new(Injector::new(snapshot.enqueue.clone()));
        let context = Context {
            spool: spool.clone(),
            inject: injector.clone(),
            clock: Arc::new(SystemClock),
            probed: None,
            qmgr_log: service_log(&view, &log, "qmgr"),
            bounce_log: service_log(&view, &log, "bounce"),
            error_log: service_log(&view, &log, "error"),
        };
        let (qmgr, manager) = Manager::start(context, setup);
        let trigger = Arc::new(Notify::new());
        let current = Arc::new(RwLock::new(Arc::new(snapshot)));
        let desk = Desk {
            spool: spool.clone(),
            qmgr: qmgr.clone(),
            pickup: trigger.clone(),
            maildrop: spool::maildrop::Maildrop::new(queue_directory.join("maildrop")),
            log: log.clone(),
        };
        let mut tasks = Arc::new(desk).open(&queue_directory).map_err(|e| e.to_string())?;
        let latest = current.clone();
        let pickup = move || read(&latest).pickup.clone();
        tasks.spawn(sockets::run_pickup(pickup, trigger, Duration::from_secs(60)));
        tasks.spawn(reap_delivery_processes(processes.clone()));
        let accepting = HashMap::new();
        let mut system = System {
            asker,
            log,
            spool,
            resolver,
            memory,
            processes,
            qmgr,
            manager,
            injector,
            current,
            accepting,
            _tasks: tasks,
        };
        system.accept_on(first.listeners)?;
        Ok(system)
    }

    /// Builds the new configuration beside the old one and changes over if it is whole.
    fn reload(&mut self, next: Configuration) -> Result<(), String> {
        let queue_directory = PathBuf::from(next.view.get(p::queue_directory, &mut Vec::new()));
        let parts = snapshot::Parts {
            spool: self.spool.clone(),
            resolver: self.resolver.clone(),
            memory: self.memory.clone(),
            processes: self.processes.clone(),
            queue_directory,
        };
        let (snapshot, setup) = build_snapshot(&next.view, &self.log, &self.asker, &parts)?;
        self.spool.set_long_queue_ids(next.view.get(p::enable_long_queue_ids, &mut Vec::new()));
        if let Ok(target) = log_target(&next.view, &self.asker) {
            self.log.set_target(target);
        }
        self.injector.replace(snapshot.enqueue.clone());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        self.qmgr.reload(setup);
        self.processes.forget();
        self.accept_on(next.listeners)
    }

    /// Accepts on these sockets and no others. Sessions that are open go on.
    fn accept_on(&mut self, inherited: Vec<Inherited>) -> Result<(), String> {
        let mut accepting = HashMap::new();
        let snapshot = read(&self.current);
        for Inherited { service, socket } in inherited {
            let sessions = Arc::new(Semaphore::new(snapshot.session_limit(&service)));
            let listener = Listener::from_fd(socket, sessions).map_err(|e| format!("{service}: {e}"))?;
            let address = listener.local_address().map(|a| a.to_string()).unwrap_or_default();
            let key = (service.clone(), address);
            // The socket is the same one: who accepts on it already goes on, with the new parameters.
            let task = match self.accepting.remove(&key) {
                Some(running) if !running.is_finished() => running,
                _ => tokio::spawn(accept(listener, service, self.current.clone(), self.log.clone())),
            };
            accepting.insert(key, task);
        }
        for (_, task) in self.accepting.drain() {
            task.abort();
        }
        self.accepting = accepting;
        Ok(())
    }

    /// Takes no more clients, finishes deliveries, makes everything durable.
    async fn stop(mut self) {
        for (_, task) in self.accepting.drain() {
            task.abort();
        }
        let ending = async {
            self.qmgr.shutdown().await;
            // It has ended, in whatever way.
            let _ = self.manager.await;
        };
        if tokio::time::timeout(STOP_PATIENCE, ending).await.is_err() {
            self.log.info(format_args!("some deliveries were under way when the system stopped"));
        }
        if let Err(e) = self.spool.flush().await {
            self.log.error(format_args!("spool: {e}"));
        }
        self.log.end();
    }
}

fn read(current: &RwLock<Arc<Snapshot>>) -> Arc<Snapshot> {
    current.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Serves clients of one socket. Each session takes the parameters that are in force when it begins.
async fn accept(listener: Listener, service: String, current: Arc<RwLock<Arc<Snapshot>>>, log: Logger) {
    let local = listener.local_address();
    let mut sessions = JoinSet::new();
    loop {
        let accepted = match listener.accept(|text| log.warning(format_args!("{text}"))).await {
            Ok(accepted) => accepted,
            Err(e) => {
                log.error(format_args!("accept on {service}: {e}"));
                return;
            }
        };
        while sessions.try_join_next().is_some() {}
        let Some(service) = read(&current).smtpd.get(&service).cloned() else { continue };
        let local = accepted.stream.local_address().or(local);
        sessions.spawn(intake::smtpd::serve(service, accepted, local, next_number()));
    }
}

/// A number for a session in the log, like a process id: no two sessions at a time share one.
fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // Like process ids on most systems, below 2^22.
    (std::process::id().wrapping_add(1 + NUMBER.fetch_add(1, Ordering::Relaxed))) % (1 << 22)
}

async fn reap_delivery_processes(processes: Arc<Processes>) {
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        processes.reap();
    }
}

fn build_snapshot(
    view: &View,
    log: &Logger,
    asker: &Arc<Asker>,
    parts: &snapshot::Parts,
) -> Result<(Snapshot, qmgr::Setup), String> {
    let mut build = Build::new(view.clone(), log.clone(), Opener::new(asker.clone()));
    let built = Snapshot::build(&mut build, parts);
    let (fatal, other): (Vec<_>, Vec<_>) = build.mistakes.iter().partition(|d| d.is_fatal());
    for diagnostic in other.iter().filter(|d| d.severity >= Severity::Warning) {
        diagnostic.with_place().lines().for_each(|line| log.warning(format_args!("{line}")));
    }
    match fatal.is_empty() {
        true => Ok(built),
        false => Err(fatal.iter().map(|d| d.with_place()).collect::<Vec<_>>().join("\n")),
    }
}

fn open_log(view: &View, asker: &Asker) -> Result<Logger, String> {
    let target = log_target(view, asker)?;
    let syslog_name = view.get(p::syslog_name, &mut Vec::new());
    Ok(Logger::start(target, &syslog_name).service(&syslog_name, "master"))
}

/// As the configuration says; a file that this process may not open comes from the parent.
fn log_target(view: &View, asker: &Asker) -> Result<Target, String> {
    crate::log_target(view).or_else(|_| match asker.ask(&Request::OpenLog) {
        Ok(Ok(file)) => Ok(Target::File(file.into())),
        Ok(Err(refusal)) => Err(refusal.why),
        Err(e) => Err(e.to_string()),
    })
}

fn service_log(view: &View, log: &Logger, service: &str) -> Logger {
    log.service(&view.get(p::syslog_name, &mut Vec::new()), service)
}

/// A worker whose parent was killed may still be ending: it is waited for.
async fn open_spool(view: &View, queue_directory: &Path, log: &Logger) -> Result<SegmentSpool, String> {
    let log = service_log(view, log, "qmgr");
    let options = spool::Options {
        long_queue_ids: view.get(p::enable_long_queue_ids, &mut Vec::new()),
        on_event: Arc::new(move |event| log.warning(format_args!("{event}"))),
        ..spool::Options::default()
    };
    let folder = queue_directory.join("queue");
    let patience_ends = Instant::now() + PREDECESSOR_PATIENCE;
    loop {
        match SegmentSpool::open(&folder, options.clone()) {
            Err(SpoolError::Locked) if Instant::now() < patience_ends => {
                tokio::time::sleep(PREDECESSOR_PAUSE).await;
            }
            opened => return opened.map_err(|e| format!("{}: {e}", folder.display())),
        }
    }
}
