//! `postfix logrotate`: the log file is set aside, a new one is begun, and the old one is compressed.

use super::Site;
use crate::program::{Fatal, Run, reason};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use params::{View, p};
use std::process::Command;
use std::time::Duration;

/// What it needs of main.cf.
pub(super) struct Logfile {
    maillog_file: String,
    compressor: String,
    rotate_suffix: String,
}

impl Logfile {
    pub(super) fn of(view: &View) -> Logfile {
        let mut mistakes = Vec::new();
        Logfile {
            maillog_file: view.get(p::maillog_file, &mut mistakes),
            compressor: view.get(p::maillog_file_compressor, &mut mistakes),
            rotate_suffix: view.get(p::maillog_file_rotate_suffix, &mut mistakes),
        }
    }
}

pub(super) fn logrotate(site: &Site, arguments: &[String]) -> Run {
    if !arguments.is_empty() {
        return Err(Fatal::new("usage postfix logrotate (no arguments)"));
    }
    let file = &site.logfile;
    for (name, value) in [
        ("maillog_file", &file.maillog_file),
        ("maillog_file_compressor", &file.compressor),
        ("maillog_file_rotate_suffix", &file.rotate_suffix),
    ] {
        if value.is_empty() {
            return Err(Fatal::new(format!("empty '{name}' parameter value - logfile rotation failed")));
        }
    }
    if file.maillog_file.starts_with("/dev/") {
        return Err(Fatal::new(format!("not rotating '{}'", file.maillog_file)));
    }
    rotate(site, file)
        .map(|()| 0)
        .map_err(|why| Fatal::new(format!("logfile '{}' rotation failed: {why}", file.maillog_file)))
}

fn rotate(site: &Site, file: &Logfile) -> Result<(), String> {
    let aside = format!("{}.{}", file.maillog_file, suffix(&file.rotate_suffix)?);
    std::fs::rename(&file.maillog_file, &aside)
        .map_err(|error| format!("mv: cannot stat '{}': {}", file.maillog_file, reason(&error)))?;
    if let Some(pid) = site.running().map_err(|fatal| fatal.message)? {
        site.signal(Pid::from_raw(pid as i32), Signal::SIGHUP).map_err(|fatal| fatal.message)?;
    }
    // Until nobody writes to the old file any more.
    std::thread::sleep(Duration::from_secs(1));
    let ended = Command::new(&file.compressor).arg(&aside).output();
    let ended = ended.map_err(|error| format!("{}: {}", file.compressor, reason(&error)))?;
    match ended.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ended.stderr).trim_end().to_owned()),
    }
}

/// The time, in the form that date(1) takes.
fn suffix(form: &str) -> Result<String, String> {
    let printed = Command::new("date").arg(format!("+{form}")).output();
    let printed = printed.map_err(|error| format!("date: {}", reason(&error)))?;
    match printed.status.success() {
        true => Ok(String::from_utf8_lossy(&printed.stdout).trim_end().to_owned()),
        false => Err(String::from_utf8_lossy(&printed.stderr).trim_end().to_owned()),
    }
}
