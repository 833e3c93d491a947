//! sendmail(1), mailq(1) and newaliases(1): what programs that send mail have always called. It does little itself: it reads
//! a command line and runs who can do it.

mod options;
mod recipients;
mod submit;
mod text;
mod user;

use crate::instance::Instance;
use crate::lists;
use crate::newaliases;
use crate::program::{Fatal, Program, Run, reason};
use crate::sibling;
use nix::unistd::{geteuid, getgid, getuid, setgid, setuid};
use options::{Mode, Options, Settings};
use params::p;
use std::ffi::{OsStr, OsString};
use std::path::Path;

pub(crate) fn main(program: &Program) -> Run {
    drop_stray_rights(program)?;
    let directory = options::config_directory(program)?;
    let instance = Instance::open(program, directory.as_deref())?;
    program.open_log(&instance.view);
    let common = instance.common(program)?;
    std::env::set_current_dir(&common.queue_directory)
        .map_err(|e| Fatal::new(format!("chdir {}: {}", common.queue_directory, reason(&e))))?;
    let mut mistakes = Vec::new();
    let settings = Settings {
        default_verp_delimiters: instance.view.get(p::default_verp_delimiters, &mut mistakes),
        verp_delimiter_filter: instance.view.get(p::verp_delimiter_filter, &mut mistakes),
    };
    instance.say(program, &mistakes)?;
    let options = Options::read(program, &settings)?;
    // A daemon looks as often as queue_run_delay says, and nobody else has an interval.
    if options.has_interval && options.mode != Mode::Daemon {
        return Ok(0);
    }
    match options.mode {
        Mode::Enqueue => enqueue(program, &instance, &options),
        Mode::Mailq => {
            refuse_recipients(&options, "display queue mode")?;
            postqueue(&instance, &[OsStr::new("-p")])
        }
        Mode::Flush => {
            refuse_recipients(&options, "flush queue mode")?;
            postqueue(&instance, &[OsStr::new("-f")])
        }
        Mode::Daemon => {
            refuse_recipients(&options, "daemon mode")?;
            start_daemon(&instance)
        }
        Mode::Newaliases => {
            refuse_recipients(&options, "alias initialization mode")?;
            let database = options.alias_database.map(|name| name.to_string_lossy().into_owned());
            newaliases::rebuild(program, &instance, database)
        }
        Mode::StandAlone => {
            refuse_recipients(&options, "stand-alone mode")?;
            check_user(program, &instance)?;
            let smtpd = Path::new(&common.daemon_directory).join("smtpd");
            sibling::become_program(&instance, &smtpd, ["-S"])
        }
        Mode::Nothing => Ok(0),
    }
}

fn enqueue(program: &Program, instance: &Instance, options: &Options) -> Run {
    for (what, flag, argument) in
        [("flush site", "-s", &options.flush_site), ("flush queue_id", "-i", &options.flush_id)]
    {
        if let Some(argument) = argument {
            refuse_recipients(options, what)?;
            return postqueue(instance, &[OsStr::new(flag), argument]);
        }
    }
    check_user(program, instance)?;
    submit::submit(program, instance, options)
}

fn refuse_recipients(options: &Options, what: &str) -> Result<(), Fatal> {
    if options.recipients.is_empty() {
        return Ok(());
    }
    Err(Fatal::new(format!("{what} requires no recipient")))
}

/// `authorized_submit_users`. postdrop asks again; this only says it sooner.
fn check_user(program: &Program, instance: &Instance) -> Result<(), Fatal> {
    let mut mistakes = Vec::new();
    let list = instance.view.get(p::authorized_submit_users, &mut mistakes);
    instance.say(program, &mistakes)?;
    match lists::refused_user(program, &list, getuid()) {
        Some(name) => Err(Fatal::new(format!("User {name}({}) is not allowed to submit mail", getuid()))),
        None => Ok(()),
    }
}

fn postqueue(instance: &Instance, args: &[&OsStr]) -> Run {
    sibling::become_program(instance, &sibling::path(instance, "postqueue"), args)
}

/// Runs `postfix start` and does not wait for it.
fn start_daemon(instance: &Instance) -> Run {
    let path = sibling::path(instance, "postfix");
    let started = sibling::command(instance, &path).arg(OsString::from("start")).spawn();
    match started {
        Ok(_) => Ok(0),
        Err(e) => Err(Fatal::new(format!("execv {}: {}", path.display(), reason(&e)))),
    }
}

/// Some sites install sendmail set-uid root. It must not be.
fn drop_stray_rights(program: &Program) -> Result<(), Fatal> {
    if !geteuid().is_root() || getuid().is_root() {
        return Ok(());
    }
    program.warning("the Postfix sendmail command has set-uid root file permissions");
    program.warning("or the command is run from a set-uid root process");
    program.warning("the Postfix sendmail command must be installed without set-uid root file permissions");
    let dropped = setgid(getgid()).and_then(|()| setuid(getuid()));
    dropped.map_err(|e| Fatal::new(format!("setuid({}): {}", getuid(), reason(&e.into()))))
}
