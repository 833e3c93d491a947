//! postfix(1): starts, stops and reloads the mail system. What is looked at before a start is in the files beside this one.

mod folders;
mod logrotate;
mod ownership;
mod restrictions;
mod script;

use crate::getopt;
use crate::instance::Instance;
use crate::program::{Fatal, Program, Run, reason};
use crate::sibling;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, getegid, getuid};
use params::{Severity, p};
use script::Stage;
use spool::master_lock;
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
    let tag = format!("{}/postfix-script", common.syslog_name);
    let script = Program::new(tag, Vec::new(), 1, program.voice());
    script.set_log(crate::log::open(&instance.view, "postfix-script"));
    let site = Site {
        program,
        instance: &instance,
        script,
        config_directory: instance.directory.clone(),
        queue_directory: common.queue_directory.into(),
        data_directory: common.data_directory.into(),
        master: Path::new(&common.daemon_directory).join("master"),
        daemon_directory: common.daemon_directory.into(),
        command_directory: common.command_directory.into(),
        mail_owner: common.mail_owner,
        setgid_group: common.setgid_group,
        logfile: logrotate::Logfile::of(&instance.view),
    };
    let arguments = parsed.operands.get(1..).unwrap_or_default();
    let status = site.script.run_with(|_| {
        site.hear(Stage::Beginning)?;
        site.execute(command, arguments)
    });
    Ok(status)
}

/// The mail system that the command is about.
struct Site<'a> {
    program: &'a Program,
    instance: &'a Instance,
    /// What speaks from here on; with Postfix it is a script.
    script: Program,
    config_directory: String,
    queue_directory: PathBuf,
    data_directory: PathBuf,
    master: PathBuf,
    daemon_directory: PathBuf,
    command_directory: PathBuf,
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

impl Site<'_> {
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
            self.check_before_start()?;
        }
        self.script.info("starting the Postfix mail system");
        Ok(())
    }

    fn check_before_start(&self) -> Result<(), Fatal> {
        if let Err(fatal) = self.check_fatal() {
            self.script.say(maillog::Level::Fatal, &fatal.message);
            return Err(Fatal::new("Postfix integrity check failed!"));
        }
        self.check_warn()?;
        self.tell(Severity::Error)
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
        self.tell(Severity::Error)?;
        self.script.info("refreshing the Postfix mail system");
        // Postfix: before and after the signal.
        (0..2).try_for_each(|_| self.call_postsuper())?;
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
        let postqueue = self.command_directory.join("postqueue");
        let status = Command::new(&postqueue).arg("-c").arg(&self.config_directory).arg("-f").status();
        let status = status.map_err(|e| Fatal::new(format!("{}: {}", postqueue.display(), reason(&e))))?;
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
