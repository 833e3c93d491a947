//! Going into the background: the program starts itself anew in a session of its own and waits for its report.

use super::super::roles;
use nix::unistd::{dup2_stdin, setsid};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

/// Starts the parent in the background and waits until it serves mail. The error is why it does not.
pub fn start(args: &[OsString]) -> Result<(), String> {
    let failed = |e: io::Error| format!("starting in the background: {e}");
    let (mut report, theirs) = io::pipe().map_err(failed)?;
    let exe = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(exe);
    command.arg(roles::DETACHED).args(args).stdin(Stdio::from(OwnedFd::from(theirs)));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // Not waited for: it outlives this process.
    let _child = command.spawn().map_err(failed)?;
    drop(command);
    let mut text = String::new();
    report.read_to_string(&mut text).map_err(failed)?;
    match text.as_str() {
        READY => Ok(()),
        "" => Err("it ended without a word".into()),
        why => Err(why.to_owned()),
    }
}

const READY: &str = "ready\n";

/// The background's side of [`start`]: where to report to.
pub struct Reporter(io::PipeWriter);

impl Reporter {
    /// Leaves the terminal's session, and takes the report's pipe, which is standard input.
    pub fn take() -> io::Result<Reporter> {
        let pipe = io::stdin().as_fd().try_clone_to_owned()?;
        let null = std::fs::File::open("/dev/null")?;
        dup2_stdin(&null)?;
        setsid()?;
        Ok(Reporter(pipe.into()))
    }

    pub fn report(mut self, result: Result<(), String>) {
        let text = result.err().unwrap_or_else(|| READY.to_owned());
        // Who started this may be gone: then nobody waits for the report.
        let _ = self.0.write_all(text.as_bytes());
    }
}
