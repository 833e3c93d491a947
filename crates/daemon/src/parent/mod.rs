//! The parent: keeps the sockets, starts the others, answers their requests. No runtime, no network input, no mail.

mod children;
pub mod detach;
mod listeners;
mod notify;
mod rights;
mod settings;

use crate::delivery;
use crate::ipc::{IpcError, orders, requests};
use children::Worker;
use deliver::process::Task;
use instance::Instance;
use listeners::Listeners;
use logger::Logger;
use maillog::{DaemonStarted, Reloaded, Terminating};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use params::Diagnostic;
use requests::{Refusal, Request};
use settings::Settings;
use spool::master_lock::{LockError, MasterLock};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a worker may take to finish what it is doing when the system stops. `postfix stop` waits longer than that.
const STOP_PATIENCE: Duration = Duration::from_secs(4);

/// A worker that lived shorter than this is not started again at once.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// The first pause before a restart; it doubles with each short life.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest (`service_throttle_time`).
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A running mail system, as root sees it.
pub struct Parent {
    config_directory: String,
    settings: Settings,
    files: Files,
    listeners: Listeners,
    log: Logger,
    signals: SignalFd,
    worker: Option<Worker>,
    /// Delivery processes, by process id.
    deliveries: HashMap<i32, Task>,
    started: Instant,
    restart_at: Option<Instant>,
    pause: Duration,
    generation: u64,
    state: State,
    /// A reload was asked for while an earlier configuration is still being answered.
    reload_again: bool,
    _lock: MasterLock,
}

/// Both files' text, in memory files that are passed on.
struct Files {
    main_cf: OwnedFd,
    master_cf: OwnedFd,
}

/// All that a reload replaces.
struct Configuration {
    settings: Settings,
    files: Files,
    listeners: Listeners,
}

/// What the parent waits for.
enum State {
    /// The worker's answer to a configuration: the first one, or that of a reload (what was in force before it is kept).
    Configuring {
        previous: Option<Box<Configuration>>,
    },
    Running,
    /// Until when the worker may finish.
    Stopping {
        until: Instant,
    },
}

/// Why the system did not start.
#[derive(Debug)]
pub struct StartError(pub String);

impl Parent {
    /// Takes the lock, binds the sockets, starts the worker. Mail is served once [`Parent::run`] says so.
    pub fn start(instance: Instance, log: Logger) -> Result<Parent, StartError> {
        let (settings, files) = prepare(&instance, &log).map_err(StartError)?;
        let lock = MasterLock::take(&settings.queue_directory).map_err(|e| StartError(lock_text(&e)))?;
        let listeners = Listeners::default().prepare(&settings.inet).map_err(StartError)?;
        let signals = SignalFd::with_flags(&watched(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(|e| StartError(format!("signals: {e}")))?;
        std::env::set_current_dir(&settings.queue_directory)
            .map_err(|e| StartError(format!("chdir {}: {e}", settings.queue_directory.display())))?;
        let mut parent = Parent {
            config_directory: instance.directory.clone(),
            settings,
            files,
            listeners,
            log,
            signals,
            worker: None,
            deliveries: HashMap::new(),
            started: Instant::now(),
            restart_at: None,
            pause: FIRST_PAUSE,
            generation: 0,
            state: State::Running,
            reload_again: false,
            _lock: lock,
        };
        parent.start_worker().map_err(|e| StartError(format!("starting the worker: {e}")))?;
        Ok(parent)
    }

    /// Serves until a signal says stop. `ready` is told once, when mail is served or why it will not be.
    pub fn run(mut self, ready: impl FnOnce(Result<(), String>)) -> i32 {
        let mut ready = Some(ready);
        loop {
            match self.step() {
                Step::Ready => {
                    let directory = &self.config_directory;
                    let version = &self.settings.mail_version;
                    self.log.event(&DaemonStarted { version, config_directory: directory });
                    // Whoever waits for it may log next.
                    self.log.flush();
                    notify::ready();
                    if let Some(ready) = ready.take() {
                        ready(Ok(()));
                    }
                }
                Step::Rejected(why) => {
                    if let Some(ready) = ready.take() {
                        ready(Err(why));
                        return 1;
                    }
                }
                Step::Ended => {
                    self.log.end();
                    return 0;
                }
                Step::On => {}
            }
        }
    }

    /// Waits for something to happen and sees to it.
    fn step(&mut self) -> Step {
        if self.reload_again && matches!(self.state, State::Running) {
            self.reload_again = false;
            self.reload();
        }
        let (signalled, ordered, requested) = match self.wait() {
            Ok(events) => events,
            Err(e) => {
                self.log.error(format_args!("poll: {e}"));
                (false, false, false)
            }
        };
        if signalled && let Some(step) = self.take_signals() {
            return step;
        }
        if requested {
            self.serve_request();
        }
        if ordered && let Some(step) = self.take_answer() {
            return step;
        }
        self.check_times()
    }

    fn wait(&self) -> nix::Result<(bool, bool, bool)> {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(worker) = &self.worker {
            fds.push(PollFd::new(worker.orders.as_fd(), PollFlags::POLLIN));
            fds.push(PollFd::new(worker.requests.as_fd(), PollFlags::POLLIN));
        }
        let deadline = match self.state {
            State::Stopping { until } => Some(until),
            _ => self.restart_at,
        };
        let timeout = deadline.map_or(PollTimeout::NONE, |at| {
            let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
        let happened = |n: usize| fds.get(n).is_some_and(|fd| fd.any().unwrap_or(false));
        Ok((happened(0), happened(1), happened(2)))
    }

    fn take_signals(&mut self) -> Option<Step> {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGHUP) => self.reload(),
                Ok(Signal::SIGTERM | Signal::SIGINT) => {
                    self.log.event(&Terminating { signal: info.ssi_signo as i32 });
                    return self.stop();
                }
                Ok(Signal::SIGCHLD) => {
                    if let Some(step) = self.reap() {
                        return Some(step);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Takes the exit statuses of ended children. Delivery processes end by themselves; a worker is started again.
    fn reap(&mut self) -> Option<Step> {
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => return None,
                Ok(status) => status,
            };
            let pid = status.pid().map_or(0, |pid| pid.as_raw());
            if self.worker.as_ref().is_none_or(|w| w.child.id() as i32 != pid) {
                self.note_ended_delivery(pid, &status);
                continue;
            }
            self.worker = None;
            if matches!(self.state, State::Stopping { .. }) {
                return Some(Step::Ended);
            }
            self.note_lost_worker(&status);
        }
    }

    fn note_ended_delivery(&mut self, pid: i32, status: &WaitStatus) {
        let Some(task) = self.deliveries.remove(&pid) else { return };
        match status {
            WaitStatus::Exited(_, 0) => {}
            WaitStatus::Exited(_, code) if *code == i32::from(delivery::REFUSED) => {
                self.log.warning(format_args!("refused to the worker: delivery process for {task}"));
            }
            WaitStatus::Exited(_, code) => {
                self.log.warning(format_args!("delivery process for {task}: exit status {code}"));
            }
            WaitStatus::Signaled(_, signal, _) => {
                let signal = *signal as i32;
                self.log.warning(format_args!("delivery process for {task}: killed by signal {signal}"));
            }
            _ => {}
        }
    }

    fn note_lost_worker(&mut self, status: &WaitStatus) {
        match status {
            WaitStatus::Signaled(pid, signal, _) => {
                self.log
                    .warning(format_args!("process worker pid {pid} killed by signal {}", *signal as i32));
            }
            WaitStatus::Exited(pid, code) => {
                self.log.warning(format_args!("process worker pid {pid} exit status {code}"));
            }
            _ => {}
        }
        if self.started.elapsed() > SHORT_LIFE {
            self.pause = FIRST_PAUSE;
        } else {
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        self.restart_at = Some(Instant::now() + self.pause);
    }

    fn check_times(&mut self) -> Step {
        match self.state {
            State::Stopping { until } if until <= Instant::now() => {
                if let Some(worker) = &mut self.worker {
                    self.log.warning(format_args!("the worker did not end in time and is killed"));
                    // It may have ended this very moment; the next SIGCHLD tells.
                    let _ = worker.child.kill();
                }
                self.state = State::Stopping { until: Instant::now() + STOP_PATIENCE };
            }
            State::Stopping { .. } => {}
            _ if self.restart_at.is_some_and(|at| at <= Instant::now()) => {
                self.restart_at = None;
                if let Err(e) = self.start_worker() {
                    self.log.error(format_args!("starting the worker: {e}"));
                    self.restart_at = Some(Instant::now() + self.pause);
                }
            }
            _ => {}
        }
        Step::On
    }

    fn start_worker(&mut self) -> std::io::Result<()> {
        let folders = [&*self.settings.queue_directory, &*self.settings.data_directory];
        self.worker = Some(Worker::start(self.settings.owner, &self.config_directory, folders)?);
        self.started = Instant::now();
        self.send_configuration()?;
        self.state = State::Configuring { previous: None };
        Ok(())
    }

    fn send_configuration(&mut self) -> nix::Result<()> {
        self.generation += 1;
        let Some(worker) = &self.worker else { return Ok(()) };
        let (main_cf, master_cf) = (self.files.main_cf.as_fd(), self.files.master_cf.as_fd());
        orders::configure(&worker.orders, self.generation, main_cf, master_cf, &self.listeners.borrowed())
    }

    fn stop(&mut self) -> Option<Step> {
        let Some(worker) = &self.worker else { return Some(Step::Ended) };
        // A worker that cannot be told is killed when its time is over.
        let _ = orders::stop(&worker.orders);
        self.state = State::Stopping { until: Instant::now() + STOP_PATIENCE };
        None
    }

    /// Builds the new configuration beside the old one. Whatever is wrong with it, the old one goes on.
    fn reload(&mut self) {
        match self.state {
            State::Running => {}
            State::Configuring { .. } => {
                self.reload_again = true;
                return;
            }
            State::Stopping { .. } => return,
        }
        let prepared = Instance::read(&self.config_directory, "master")
            .map_err(|why| why.to_string())
            .and_then(|instance| prepare(&instance, &self.log))
            .and_then(|(settings, files)| Ok((self.listeners.prepare(&settings.inet)?, settings, files)));
        match prepared {
            Ok((listeners, settings, files)) => {
                let settings = std::mem::replace(&mut self.settings, settings);
                let files = std::mem::replace(&mut self.files, files);
                let listeners = std::mem::replace(&mut self.listeners, listeners);
                let previous = Configuration { settings, files, listeners };
                self.state = State::Configuring { previous: Some(Box::new(previous)) };
                if let Err(e) = self.send_configuration() {
                    self.log.error(format_args!("telling the worker: {e}"));
                }
            }
            Err(why) => self.refuse_reload(&why),
        }
    }

    fn refuse_reload(&self, why: &str) {
        for line in why.lines() {
            self.log.error(format_args!("{line}"));
        }
        self.log.error(format_args!("reload refused: the configuration in force stays in force"));
    }

    fn take_answer(&mut self) -> Option<Step> {
        let worker = self.worker.as_ref()?;
        let answer = match orders::next_answer(&worker.orders) {
            Ok(answer) => answer,
            // It has ended or is about to: SIGCHLD says more.
            Err(IpcError::Gone) => {
                self.drop_worker_if_gone();
                return None;
            }
            Err(e) => {
                self.log.error(format_args!("the worker's answer: {e}"));
                return None;
            }
        };
        match (std::mem::replace(&mut self.state, State::Running), answer) {
            (State::Configuring { previous: None }, orders::Answer::Ready { .. }) => Some(Step::Ready),
            (State::Configuring { previous: Some(_) }, orders::Answer::Ready { .. }) => {
                let (version, directory) = (&self.settings.mail_version, &self.config_directory);
                self.log.event(&Reloaded { version, config_directory: directory });
                None
            }
            (State::Configuring { previous }, orders::Answer::Rejected { why, .. }) => {
                let Some(previous) = previous else { return Some(Step::Rejected(why)) };
                let Configuration { settings, files, listeners } = *previous;
                (self.settings, self.files, self.listeners) = (settings, files, listeners);
                self.refuse_reload(&why);
                None
            }
            (state, _) => {
                self.state = state;
                None
            }
        }
    }

    /// Blocks until a worker whose sockets are closed has ended, so that its end is not polled for over and over.
    fn drop_worker_if_gone(&mut self) {
        if let Some(worker) = &mut self.worker {
            // It may have closed its sockets without ending: then it is of no use either.
            let _ = worker.child.kill();
        }
        std::thread::sleep(Duration::from_millis(1));
    }

    fn serve_request(&mut self) {
        let Some(worker) = &self.worker else { return };
        let granted = match requests::next(&worker.requests) {
            Ok(request) => self.grant(request),
            Err(IpcError::Gone) => return,
            Err(e) => Err(Refusal { errno: 0, why: format!("a request: {e}") }),
        };
        let Some(worker) = &self.worker else { return };
        if let Err(refusal) = &granted
            && refusal.errno == 0
        {
            self.log.warning(format_args!("refused to the worker: {}", refusal.why));
        }
        let answer = granted.as_ref().map(AsFd::as_fd);
        if let Err(e) = requests::reply(&worker.requests, answer) {
            self.log.error(format_args!("answering the worker: {e}"));
        }
    }

    fn grant(&mut self, request: Request) -> Result<OwnedFd, Refusal> {
        match request {
            Request::OpenFile(path) => self.settings.rights.open(&path).map(OwnedFd::from),
            Request::OpenLog => self.settings.open_log().map_err(|why| Refusal { errno: 0, why }),
            Request::DeliveryProcess(task) => self.start_delivery(task).map_err(|e| {
                let errno = e.raw_os_error().unwrap_or(nix::errno::Errno::EIO as i32);
                Refusal { errno, why: format!("starting a delivery process: {e}") }
            }),
        }
    }

    /// Whether the task is one that the configuration has is for the process to find out.
    fn start_delivery(&mut self, task: Task) -> std::io::Result<OwnedFd> {
        let files = [self.files.main_cf.as_fd(), self.files.master_cf.as_fd()];
        let (child, socket) = children::start_delivery_process(&task, &self.config_directory, files)?;
        self.deliveries.insert(child.id() as i32, task);
        Ok(socket)
    }
}

/// What a step led to.
enum Step {
    On,
    Ready,
    Rejected(String),
    Ended,
}

/// Reads the parent's part, logs warnings, and makes the files to pass on. The error has a line for each mistake.
fn prepare(instance: &Instance, log: &Logger) -> Result<(Settings, Files), String> {
    let mut mistakes = instance.mistakes().to_vec();
    mistakes.extend(params::check::whole(&instance.view));
    mistakes.extend(::instance::check::findings(&instance.view));
    let settings = Settings::read(&instance.view, &mut mistakes);
    let (fatal, other): (Vec<&Diagnostic>, Vec<&Diagnostic>) = mistakes.iter().partition(|d| d.is_fatal());
    for diagnostic in other.iter().filter(|d| d.severity >= params::Severity::Warning) {
        diagnostic.with_place().lines().for_each(|line| log.warning(format_args!("{line}")));
    }
    if !fatal.is_empty() {
        return Err(fatal.iter().map(|d| d.with_place()).collect::<Vec<_>>().join("\n"));
    }
    let files = Files {
        main_cf: memory_file(c"main.cf", instance.main_cf()).map_err(|e| format!("memory file: {e}"))?,
        master_cf: memory_file(c"master.cf", instance.master_cf())
            .map_err(|e| format!("memory file: {e}"))?,
    };
    Ok((settings, files))
}

/// Sealed: the worker has it too, and what it wrote there would be read by processes with more rights.
fn memory_file(name: &std::ffi::CStr, text: &[u8]) -> std::io::Result<OwnedFd> {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::io::Write;
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = std::fs::File::from(memfd_create(name, flags)?);
    file.write_all(text)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::all()))?;
    Ok(file.into())
}

/// The signals that the parent reads as events.
fn watched() -> SigSet {
    [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD].into_iter().collect()
}

/// Keeps those signals for the parent. Called before any thread starts: one that did not block them would take them away.
pub fn hold_signals() -> nix::Result<()> {
    watched().thread_block()
}

fn lock_text(error: &LockError) -> String {
    match error {
        LockError::Held => "the mail system is already running".into(),
        LockError::Io(path, e) => format!("open lock file {}: {e}", path.display()),
    }
}
