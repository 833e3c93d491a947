//! The processes: a root parent, an unprivileged worker, children that deliver with their owners' rights. The only place that wires the rooms.

mod command_line;
pub mod delivery;
pub mod ipc;
pub mod parent;
pub mod roles;
mod stand_alone;
mod worker;

use command_line::{Mode, Options};
use instance::Instance;
use logger::{Logger, Target};
use params::{View, p};
use parent::{Parent, detach};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// The program: the parent, unless the first argument names another role.
pub fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    if is_called("smtpd") {
        return stand_alone::run(&args);
    }
    let role = args.first().and_then(|arg| arg.to_str()).unwrap_or_default().to_owned();
    match role.as_str() {
        roles::DELIVERY => ExitCode::from(delivery::run(config_directory(&args[1..]))),
        roles::WORKER => run_worker(&args[1..]),
        roles::DETACHED => {
            args.remove(0);
            run_parent(&args, true)
        }
        _ => run_parent(&args, false),
    }
}

/// Whether the program goes by that name: some of Postfix's daemons are called by other programs.
fn is_called(name: &str) -> bool {
    let called = std::env::args_os().next().unwrap_or_default();
    Path::new(&called).file_name().is_some_and(|file_name| file_name == name)
}

fn run_worker(args: &[OsString]) -> ExitCode {
    let folders: Vec<&Path> = args.iter().skip(1).map(Path::new).collect();
    match worker::run(config_directory(args), &folders) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&format!("worker: {why}")),
    }
}

fn config_directory(args: &[OsString]) -> &str {
    args.first().and_then(|arg| arg.to_str()).unwrap_or(instance::DEFAULT_DIRECTORY)
}

fn run_parent(args: &[OsString], is_detached: bool) -> ExitCode {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(why) => return fail(&why),
    };
    let directory = instance::directory(options.config_directory.as_deref());
    let instance = match Instance::read(&directory, "master") {
        Ok(instance) => instance,
        Err(why) => return fail(&why.to_string()),
    };
    match options.mode {
        Mode::Test => test_lock(&instance),
        Mode::Background if !is_detached => match detach::start(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => fail(&why),
        },
        _ => serve(instance, is_detached),
    }
}

/// Exit status 0 if no mail system runs (master(8), `-t`).
fn test_lock(instance: &Instance) -> ExitCode {
    let queue_directory = instance.view.get(p::queue_directory, &mut Vec::new());
    match spool::master_lock::holder(queue_directory.as_ref()) {
        Ok(None) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn serve(instance: Instance, is_detached: bool) -> ExitCode {
    let reporter = if is_detached { detach::Reporter::take().ok() } else { None };
    let report = |result: Result<(), String>| match (reporter, result) {
        (Some(reporter), result) => reporter.report(result),
        (None, Err(why)) => eprintln!("master: fatal: {why}"),
        (None, Ok(())) => {}
    };
    let held = parent::hold_signals().map_err(|e| format!("signals: {e}"));
    let log = match held.and_then(|()| logging(&instance)) {
        Ok(log) => log,
        Err(why) => {
            report(Err(why));
            return ExitCode::FAILURE;
        }
    };
    match Parent::start(instance, log.clone()) {
        Ok(parent) => ExitCode::from(parent.run(report) as u8),
        Err(parent::StartError(why)) => {
            for line in why.lines() {
                log.fatal(format_args!("{line}"));
            }
            log.end();
            report(Err(why));
            ExitCode::FAILURE
        }
    }
}

/// Where the configuration says log lines go, for the service `master`.
fn logging(instance: &Instance) -> Result<Logger, String> {
    let target = log_target(&instance.view)?;
    let syslog_name = instance.view.get(p::syslog_name, &mut Vec::new());
    Ok(Logger::start(target, &syslog_name).service(&syslog_name, "master"))
}

/// What is wrong with the parameters is told where the configuration is checked.
pub(crate) fn log_target(view: &View) -> Result<Target, String> {
    let mut told = Vec::new();
    let file = view.get(p::maillog_file, &mut told);
    if file.is_empty() {
        let facility = view.get(p::syslog_facility, &mut told);
        return Target::syslog(&facility).ok_or_else(|| format!("unknown syslog facility name: {facility}"));
    }
    Target::maillog_file(&file, &view.get(p::maillog_file_prefixes, &mut told))
}

fn fail(why: &str) -> ExitCode {
    for line in why.lines() {
        eprintln!("master: fatal: {line}");
    }
    ExitCode::FAILURE
}
