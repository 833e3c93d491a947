//! postlock(1): runs a command while a mailbox is locked as local(8) locks it.

mod lock;

use crate::getopt;
use crate::instance::Instance;
use crate::program::{Fatal, Program, Run, reason};
use crate::sibling;
use lock::{Patience, Styles};
use params::p;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// The exit status of a command that could not be run, or was ended by a signal.
const NO_STATUS: u8 = 1;

pub(crate) fn main(program: &Program) -> Run {
    let parsed = getopt::parse(&program.text_args(), "c:l:v");
    let usage = || {
        let options = "[-c config_dir] [-l lock_style] [-v] folder command...";
        Fatal::new(format!("usage: {} {options}", program.name))
    };
    if let Some(complaint) = &parsed.complaint {
        program.complain(complaint);
        return Err(usage());
    }
    let operands = &program.args[program.args.len() - parsed.operands.len()..];
    let [folder, command, args @ ..] = operands else { return Err(usage()) };
    let (mut styles, mut directory) = (None, None);
    for (letter, value) in parsed.options {
        match letter {
            'l' => styles = value,
            'c' => directory = value,
            _ => {}
        }
    }
    let instance = Instance::open(program, directory.as_deref())?;
    instance.common(program)?;
    let mut mistakes = Vec::new();
    let view = &instance.view;
    let styles = styles.unwrap_or_else(|| view.get(p::mailbox_delivery_lock, &mut mistakes).join(", "));
    let patience = Patience {
        deliver_lock_attempts: view.get(p::deliver_lock_attempts, &mut mistakes).max(1) as u32,
        deliver_lock_delay: view.get(p::deliver_lock_delay, &mut mistakes),
        stale_lock_time: view.get(p::stale_lock_time, &mut mistakes),
    };
    instance.say(program, &mistakes)?;
    let styles = Styles::parse(&styles).map_err(|word| {
        Fatal::new(format!("unknown mailbox_delivery_lock value \"{word}\" in \"{styles}\""))
    })?;
    let folder = Path::new(folder);
    let locked = lock::lock(folder, styles, patience)
        .map_err(|why| Fatal::new(format!("open file {}: {why}", folder.display())))?;
    let status = run(&instance, command, args);
    drop(locked);
    status
}

fn run(instance: &Instance, command: &OsStr, args: &[std::ffi::OsString]) -> Run {
    let mut child = Command::new(command);
    sibling::set_environment(instance, &mut child);
    match child.args(args).status() {
        Ok(status) => Ok(status.code().map_or(NO_STATUS, |code| code as u8)),
        Err(e) => {
            let name = command.to_string_lossy();
            let failed = format!("execvp {name}: {}", reason(&e));
            Err(Fatal::new(failed).with_status(NO_STATUS))
        }
    }
}
