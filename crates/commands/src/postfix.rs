//! postfix(1): starts, stops and reloads the mail system.

mod logrotate;

use crate::getopt;
use crate::instance::Instance;
use crate::program::{Fatal, Program, Run, reason};
use crate::sibling;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Group, Pid, Uid, User, chown, getegid, geteuid, getuid};
use params::diagnostic::Severity;
use params::{Diagnostic, View, p};
use spool::master_lock;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Seconds that `stop` waits for the system to end before it uses force.
const STOP_PATIENCE: u32 = 5;

pub(crate) fn main(program: &Program) -> Run {
    let parsed = getopt::parse(&program.text_args(), "c:Dv");
    if let Some(complaint) = parsed.complaint {
        program.complain(&complaint);
        return Err(Fatal::new(format!("usage: {} [-c config_dir] [-Dv] command", program.name)));
    }
    let directory =
        parsed.options.iter().rev().find(|(letter, _)| *letter == 'c').and_then(|(_, value)| value.clone());
    let instance = Instance::open(program, directory.as_deref())?;
    let common = instance.common(program)?;
    check_user(program, &common.mail_owner)?;
    if directory.is_none() {
        become_wrapper(&instance, &parsed.operands)?;
    }
    let command = parsed.operands.first().map_or("", |word| word.as_str());
    // A check tells all that can be found; the server itself does so when it starts and reloads.
    let mistakes =
        if command == "check" { params::check::whole(&instance.view) } else { checked(&instance.view) };
    instance.say(program, &mistakes)?;

    let script =
        Program::new(format!("{}/postfix-script", common.syslog_name), Vec::new(), 1, program.voice());
    script.set_log(crate::log::open(&instance.view, "postfix-script"));
    let site = Site {
        script,
        config_directory: instance.directory.clone(),
        queue_directory: common.queue_directory.into(),
        data_directory: common.data_directory.into(),
        master: Path::new(&common.daemon_directory).join("master"),
        postqueue: Path::new(&common.command_directory).join("postqueue"),
        mail_owner: common.mail_owner,
        setgid_group: common.setgid_group,
        logfile: logrotate::Logfile::of(&instance.view),
    };
    let arguments = parsed.operands.get(1..).unwrap_or_default();
    let status = site.script.run_with(|_| site.execute(command, arguments));
    Ok(status)
}

/// The mail system that the command is about.
struct Site {
    /// What speaks from here on; with Postfix it is a script.
    script: Program,
    config_directory: String,
    queue_directory: PathBuf,
    data_directory: PathBuf,
    master: PathBuf,
    postqueue: PathBuf,
    mail_owner: String,
    setgid_group: String,
    logfile: logrotate::Logfile,
}

/// Where there are several instances, the command is for all of them (`multi_instance_wrapper`). Comes back if there is one.
fn become_wrapper(instance: &Instance, operands: &[String]) -> Result<(), Fatal> {
    let mut mistakes = Vec::new();
    let others = instance.view.get(p::multi_instance_directories, &mut mistakes);
    let wrapper = instance.view.get(p::multi_instance_wrapper, &mut mistakes);
    let mut words = wrapper.split_ascii_whitespace();
    let Some(path) = words.next().filter(|_| !others.is_empty() && std::env::var_os("MAIL_CONFIG").is_none())
    else {
        return Ok(());
    };
    let mut command = Command::new(path);
    sibling::set_environment(instance, &mut command);
    let error = command.args(words).args(operands).exec();
    Err(Fatal::new(format!("execvp {path}: {}", reason(&error))))
}

impl Site {
    fn execute(&self, command: &str, arguments: &[String]) -> Run {
        match command {
            "start" => self.start(),
            "start-fg" => self.start_in_foreground(),
            "stop" | "drain" => self.stop(),
            "quick-stop" => self.quick_stop(),
            "abort" => self.abort(),
            "reload" => self.reload(),
            "status" => self.status(),
            "flush" => self.flush(),
            "logrotate" => logrotate::logrotate(self, arguments),
            "check" => self.check().map(|()| 0),
            "set-permissions" => self.set_permissions().map(|()| 0),
            // Nothing of ours needs the upgrade that Postfix's master.cf does.
            "upgrade-configuration" => Ok(0),
            _ => Err(Fatal::new(format!(
                "unknown command: '{command}'. Usage: postfix start (or stop, reload, abort, flush, check, status, \
                 set-permissions, upgrade-configuration, logrotate)"
            ))),
        }
    }

    fn start(&self) -> Run {
        self.prepare_start()?;
        let failed = || Fatal::new("mail system startup failed");
        let status = self.master_command().arg("-w").status().map_err(|_| failed())?;
        if status.success() { Ok(0) } else { Err(failed()) }
    }

    fn start_in_foreground(&self) -> Run {
        self.prepare_start()?;
        let flag = if std::process::id() == 1 { "-i" } else { "-s" };
        let error = self.master_command().arg(flag).exec();
        Err(Fatal::new(format!("{}: {}", self.master.display(), reason(&error))))
    }

    fn prepare_start(&self) -> Result<(), Fatal> {
        if self.running()?.is_some() {
            return Err(Fatal::new("the Postfix mail system is already running"));
        }
        // A quick stop promised a start without a check.
        if std::fs::remove_file(self.quick_start()).is_err() {
            self.check()?;
        }
        self.script.info("starting the Postfix mail system");
        Ok(())
    }

    fn master_command(&self) -> Command {
        let mut command = Command::new(&self.master);
        command.arg("-c").arg(&self.config_directory);
        command
    }

    fn stop(&self) -> Run {
        let pid = self.require_running()?;
        self.script.info("stopping the Postfix mail system");
        self.signal(pid, Signal::SIGTERM)?;
        for _ in 0..STOP_PATIENCE {
            if self.ends_within(Duration::from_secs(1))? {
                return Ok(0);
            }
            self.script.info("waiting for the Postfix mail system to terminate");
        }
        if self.ends_within(Duration::from_secs(1))? {
            return Ok(0);
        }
        self.script.warning("stopping the Postfix mail system with force");
        self.signal(pid, Signal::SIGKILL)?;
        Ok(0)
    }

    fn quick_stop(&self) -> Run {
        let status = self.stop()?;
        let path = self.quick_start();
        let made = std::fs::write(&path, "");
        made.map_err(|error| {
            Fatal::new(format!("touch: cannot touch '{}': {}", path.display(), reason(&error)))
        })?;
        Ok(status)
    }

    fn quick_start(&self) -> PathBuf {
        self.queue_directory.join("quick-start")
    }

    /// Whether the system ends soon enough.
    fn ends_within(&self, limit: Duration) -> Result<bool, Fatal> {
        let step = Duration::from_millis(20);
        for _ in 0..limit.as_millis() / step.as_millis() {
            if self.running()?.is_none() {
                return Ok(true);
            }
            std::thread::sleep(step);
        }
        Ok(false)
    }

    fn abort(&self) -> Run {
        let pid = self.require_running()?;
        self.script.info("aborting the Postfix mail system");
        self.signal(pid, Signal::SIGTERM)?;
        self.ends_within(Duration::from_secs(1))?;
        Ok(0)
    }

    fn reload(&self) -> Run {
        let pid = self.require_running()?;
        self.script.info("refreshing the Postfix mail system");
        self.signal(pid, Signal::SIGHUP)?;
        Ok(0)
    }

    fn status(&self) -> Run {
        match self.running()? {
            Some(pid) => {
                self.script.info(&format!("the Postfix mail system is running: PID: {pid}"));
                Ok(0)
            }
            None => {
                self.script.info("the Postfix mail system is not running");
                Ok(1)
            }
        }
    }

    fn flush(&self) -> Run {
        let status = Command::new(&self.postqueue).arg("-c").arg(&self.config_directory).arg("-f").status();
        let status =
            status.map_err(|e| Fatal::new(format!("{}: {}", self.postqueue.display(), reason(&e))))?;
        Ok(status.code().map_or(1, |code| code as u8))
    }

    fn running(&self) -> Result<Option<u32>, Fatal> {
        let path = master_lock::path(&self.queue_directory);
        master_lock::holder(&self.queue_directory)
            .map_err(|e| Fatal::new(format!("open lock file {}: {}", path.display(), reason(&e))))
    }

    fn require_running(&self) -> Result<Pid, Fatal> {
        match self.running()? {
            Some(pid) => Ok(Pid::from_raw(pid as i32)),
            None => Err(Fatal::new("the Postfix mail system is not running")),
        }
    }

    fn signal(&self, pid: Pid, signal: Signal) -> Result<(), Fatal> {
        kill(pid, signal).map_err(|e| Fatal::new(format!("signal {signal} to process {pid}: {}", e.desc())))
    }

    /// Makes what is missing of the queue and data directories, and warns of what others may write to.
    fn check(&self) -> Result<(), Fatal> {
        let owner = self.owner()?;
        for folder in FOLDERS {
            folder.make(&self.queue_directory, owner).map_err(|(path, e)| make_error(&path, &e))?;
        }
        let data = Folder { name: "", mode: 0o700, group: Owning::Owner };
        data.make(&self.data_directory, owner).map_err(|(path, e)| make_error(&path, &e))?;
        for name in ["", "main.cf", "master.cf"] {
            let path = Path::new(&self.config_directory).join(name);
            let is_open = std::fs::metadata(&path).is_ok_and(|meta| meta.mode() & 0o022 != 0);
            if is_open {
                let shown = if name.is_empty() { String::new() } else { format!("/./{name}") };
                self.script.warning(&format!("group or other writable: {}{shown}", self.config_directory));
            }
        }
        Ok(())
    }

    /// The same, and folders that are there get the owners and modes that they should have.
    fn set_permissions(&self) -> Result<(), Fatal> {
        self.check()?;
        let owner = self.owner()?;
        for folder in FOLDERS {
            let path = self.queue_directory.join(folder.name);
            folder.settle(&path, owner).map_err(|error| make_error(&path, &error))?;
        }
        let data = Folder { name: "", mode: 0o700, group: Owning::Owner };
        data.settle(&self.data_directory, owner).map_err(|error| make_error(&self.data_directory, &error))
    }

    /// Whom folders are given to; None without root, when all belongs to this user.
    fn owner(&self) -> Result<Option<Owners>, Fatal> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let unknown = |parameter: &str, kind: &str, name: &str| {
            Fatal::new(format!(
                "file {}/main.cf: parameter {parameter}: unknown {kind} name value: {name}",
                self.config_directory
            ))
        };
        let user = User::from_name(&self.mail_owner).ok().flatten();
        let user = user.ok_or_else(|| unknown("mail_owner", "user", &self.mail_owner))?;
        let group = Group::from_name(&self.setgid_group).ok().flatten();
        let group = group.ok_or_else(|| unknown("setgid_group", "group", &self.setgid_group))?;
        Ok(Some(Owners { uid: user.uid, gid: user.gid, setgid: group.gid }))
    }
}

#[derive(Clone, Copy)]
struct Owners {
    uid: Uid,
    gid: Gid,
    setgid: Gid,
}

/// A folder below the queue directory, as it should be.
struct Folder {
    name: &'static str,
    mode: u32,
    group: Owning,
}

/// Whom a folder belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owning {
    Root,
    /// `mail_owner`.
    Owner,
    /// `mail_owner`, and group `setgid_group`.
    Setgid,
}

const FOLDERS: [Folder; 7] = [
    Folder { name: "", mode: 0o755, group: Owning::Root },
    Folder { name: "pid", mode: 0o755, group: Owning::Root },
    Folder { name: "queue", mode: 0o700, group: Owning::Owner },
    Folder { name: "corrupt", mode: 0o700, group: Owning::Owner },
    Folder { name: "private", mode: 0o700, group: Owning::Owner },
    Folder { name: "public", mode: 0o710, group: Owning::Setgid },
    Folder { name: "maildrop", mode: 0o730, group: Owning::Setgid },
];

impl Folder {
    /// Makes it if it is not there. One that is there is left as somebody wanted it.
    fn make(&self, parent: &Path, owners: Option<Owners>) -> Result<(), (PathBuf, io::Error)> {
        let path = if self.name.is_empty() { parent.to_owned() } else { parent.join(self.name) };
        let result = match path.is_dir() {
            true => Ok(()),
            false => std::fs::create_dir_all(&path).and_then(|()| self.settle(&path, owners)),
        };
        result.map_err(|e| (path, e))
    }

    fn settle(&self, path: &Path, owners: Option<Owners>) -> io::Result<()> {
        match (owners, self.group) {
            (Some(o), Owning::Owner) => chown(path, Some(o.uid), Some(o.gid))?,
            (Some(o), Owning::Setgid) => chown(path, Some(o.uid), Some(o.setgid))?,
            _ => {}
        }
        std::fs::set_permissions(path, PermissionsExt::from_mode(self.mode))
    }
}

fn make_error(path: &Path, error: &io::Error) -> Fatal {
    Fatal::new(format!("unable to create missing queue directory {}: {}", path.display(), reason(error)))
}

/// Root, or the user that all of this mail system belongs to.
fn check_user(program: &Program, mail_owner: &str) -> Result<(), Fatal> {
    let is_own = || User::from_uid(getuid()).ok().flatten().is_some_and(|user| user.name == mail_owner);
    if getuid().is_root() || is_own() && getegid() == nix::unistd::getgid() {
        return Ok(());
    }
    program.error("to submit mail, use the Postfix sendmail command");
    Err(Fatal::new("the postfix command is reserved for the superuser"))
}

/// What is wrong with the values that are set, of every service.
fn checked(view: &View) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    for entry in view.config().main.entries() {
        if let Some(spec) = params::registry::find(&entry.name) {
            view.check(&entry.name, spec, &mut mistakes);
        }
    }
    let master = &view.config().master;
    mistakes.extend(master.diagnostics());
    let daemon_directory = view.get(p::daemon_directory, &mut Vec::new());
    mistakes.extend(master.unknown_programs(&daemon_directory, params::master_cf::PROGRAMS));
    mistakes.retain(|d| d.severity >= Severity::Error);
    mistakes
}
