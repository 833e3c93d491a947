//! What a process does on its way to another program: no terminal, no death by a file size limit.
#![allow(unsafe_code)]

use nix::sys::signal::{SigHandler, Signal, signal};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the command lead a session and process group of its own: it has no terminal, and all that it starts can be ended
/// together with it.
pub fn in_new_session(command: &mut Command) {
    let lead = || match nix::unistd::setsid() {
        Ok(_) => Ok(()),
        Err(e) => Err(e.into()),
    };
    // SAFETY: between fork and exec only setsid(2) is called, which is safe in a signal handler and allocates nothing.
    unsafe { command.pre_exec(lead) };
}

/// From now on a write beyond the file size limit (RLIMIT_FSIZE) is an error and no signal; for programs that are started, too.
pub fn ignore_file_size_signal() -> nix::Result<()> {
    // SAFETY: ignoring a signal runs no code of ours in a handler.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::Stdio;

    #[test]
    fn a_session_of_its_own() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cut -d' ' -f1,5,6 /proc/$$/stat"]).stdout(Stdio::piped());
        in_new_session(&mut command);
        let mut child = command.spawn().expect("a shell");
        let mut text = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut text).expect("readable");
        let pid = child.id().to_string();
        child.wait().expect("ended");
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), [&pid, &pid, &pid]);
    }

    #[test]
    fn a_file_size_limit_is_an_error() {
        ignore_file_size_signal().expect("set");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -f 0; echo x >/proc/self/cwd/sys-test-$$; exit 7"]);
        let folder = std::env::temp_dir();
        let output = command.current_dir(&folder).output().expect("a shell");
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.file_name().to_string_lossy().starts_with("sys-test-") {
                std::fs::remove_file(entry.path()).expect("removed");
            }
        }
    }
}
