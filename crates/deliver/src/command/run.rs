//! Running one command: it is started, fed the message, listened to, and ended if it takes too long.

use super::end::End;
use crate::copy::{Copier, Form, Prelude};
use crate::failure::{Failure, SYSTEM, strerror};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, Gid, Pid, Uid, faccessat};
use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Octets of output that are kept; Postfix keeps as many.
const OUTPUT_LIMIT: usize = 4096;

const SHELL: &str = "/bin/sh";

/// A command and what it runs in.
pub(crate) struct Command<'a> {
    pub(crate) program: Program<'a>,
    /// `local` or `pipe`, for texts.
    pub(crate) service: &'static str,
    pub(crate) environment: Vec<(String, OsString)>,
    /// Where it runs; None: where this process is.
    pub(crate) directory: Option<&'a str>,
    /// How long it may make no progress (`command_time_limit`).
    pub(crate) time_limit: Duration,
    /// Other rights than this process's, which then is root's.
    pub(crate) rights: Option<(Uid, Gid)>,
}

/// What is run.
pub(crate) enum Program<'a> {
    /// `|command`: by a shell if it needs one, or by `shell` if that is set (`local_command_shell`).
    Text { command: &'a [u8], shell: &'a str },
    /// pipe(8)'s arguments.
    Argv(&'a [OsString]),
}

/// What is to be logged beside the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    Warning(String),
    /// Of what would have become the command.
    Fatal(String),
    /// The same, when Postfix has given up its name in the log already: only `local` or `pipe` is left of it.
    BareFatal(String),
}

impl Command<'_> {
    /// Runs it to its end. `Ok`: it took the message; what it printed.
    pub(crate) fn run(
        &self,
        form: &Form,
        prelude: &Prelude,
        content: &mut dyn Read,
        notes: &mut Vec<Note>,
    ) -> Result<String, Failure> {
        let name = self.program.name();
        let (child, output) = match self.start() {
            Ok(started) => started,
            Err(NotStarted::Fork(e)) => {
                notes.push(Note::Warning(format!("fork: {}", strerror(&e))));
                return Err(Failure {
                    diagnostic: Some("x-unix; system resource problem".into()),
                    ..Failure::of_system(format!("Delivery failed: {}", strerror(&e)))
                });
            }
            Err(NotStarted::Directory(text)) => {
                notes.push(Note::Fatal(text));
                return self.temporary_failure(&name, b"");
            }
            Err(NotStarted::Program(text)) => {
                notes.push(Note::BareFatal(text.clone()));
                return self
                    .temporary_failure(&name, format!("{}: fatal: {text}\n", self.service).as_bytes());
            }
        };
        let mut session = Session::new(child, output, self.time_limit)?;
        let mut copier = Copier::new(form, prelude);
        session.converse(&mut copier, content);
        session.end(&name, notes)
    }

    fn temporary_failure(&self, name: &str, output: &[u8]) -> Result<String, Failure> {
        use std::os::unix::process::ExitStatusExt;
        const EX_TEMPFAIL: i32 = 75;
        let status = Some(ExitStatus::from_raw(EX_TEMPFAIL << 8));
        End { command: name, status, output }.judge()
    }

    fn start(&self) -> Result<(Child, PipeReader), NotStarted> {
        if let Some(directory) = self.directory {
            check_directory(directory).map_err(|e| {
                let (uid, gid) = self.rights.unwrap_or((nix::unistd::geteuid(), nix::unistd::getegid()));
                let why = e.desc();
                NotStarted::Directory(format!(
                    "cannot change directory to \"{directory}\" for uid={uid} gid={gid}: {why}"
                ))
            })?;
        }
        match &self.program {
            Program::Argv(argv) => self.start_argv(&argv[0], &argv[1..], "pipe_command: "),
            Program::Text { command, shell } => self.start_text(command, shell),
        }
    }

    /// Without a shell where there is nothing for one to do.
    fn start_text(&self, command: &[u8], shell: &str) -> Result<(Child, PipeReader), NotStarted> {
        let word = |word: &[u8]| OsString::from_vec(word.to_vec());
        let mut shell = shell.split_ascii_whitespace().map(OsString::from);
        if let Some(program) = shell.next() {
            let arguments: Vec<OsString> = shell.chain([word(command)]).collect();
            return self.start_argv(&program, &arguments, "pipe_command: ");
        }
        let words: Vec<OsString> =
            command.split(|b| is_blank(*b)).filter(|w| !w.is_empty()).map(word).collect();
        if let [program, arguments @ ..] = &words[..]
            && command.iter().all(is_plain)
        {
            match self.start_argv(program, arguments, "") {
                // Perhaps it is one of the shell's own.
                Err(NotStarted::Program(_)) if !program.as_bytes().contains(&b'/') => {}
                started => return started,
            }
        }
        self.start_argv(OsStr::new(SHELL), &["-c".into(), word(command)], "")
    }

    /// `place` is what Postfix puts before the text of an error here.
    fn start_argv(
        &self,
        program: &OsStr,
        arguments: &[OsString],
        place: &str,
    ) -> Result<(Child, PipeReader), NotStarted> {
        let (reader, writer) = io::pipe().map_err(NotStarted::Fork)?;
        let both = writer.try_clone().map_err(NotStarted::Fork)?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).env_clear().envs(self.environment.iter().map(|(n, v)| (n, v)));
        if place.is_empty() && program == SHELL {
            command.arg0("sh");
        }
        command.stdin(Stdio::piped()).stdout(writer).stderr(both);
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        if let Some((uid, gid)) = self.rights {
            // The uid makes the standard library drop all supplementary groups as well.
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        sys::process::in_new_session(&mut command);
        match command.spawn() {
            Ok(child) => Ok((child, reader)),
            Err(e) if is_about_program(&e) => {
                let text = format!("{place}execvp {}: {}", program.display(), strerror(&e));
                Err(NotStarted::Program(text))
            }
            Err(e) => Err(NotStarted::Fork(e)),
        }
    }
}

/// Whether a command can run there. Told apart from what is wrong with the command itself.
fn check_directory(directory: &str) -> nix::Result<()> {
    let place = open(directory, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    faccessat(&place, ".", AccessFlags::X_OK, AtFlags::AT_EACCESS)
}

/// Why nothing was run.
enum NotStarted {
    /// The system has no room for a process.
    Fork(io::Error),
    /// Its folder cannot be entered: in the words of the log.
    Directory(String),
    /// It cannot be executed: in the words of the log.
    Program(String),
}

impl Program<'_> {
    /// As logs name it.
    fn name(&self) -> String {
        match self {
            Program::Text { command, .. } => String::from_utf8_lossy(command).into_owned(),
            Program::Argv(argv) => argv[0].display().to_string(),
        }
    }
}

/// Nothing that only a shell understands.
fn is_plain(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || b"!@%-_=+:,./ \t".contains(b)
}

fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// Of the errors of fork(2) and exec(3) those that say something of the program.
fn is_about_program(error: &io::Error) -> bool {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    !matches!(errno, Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE)
}

/// A running command.
struct Session {
    child: Child,
    /// None: it has all of the message, or wants no more of it.
    input: Option<ChildStdin>,
    /// None: it has closed its outputs.
    output: Option<PipeReader>,
    said: Vec<u8>,
    time_limit: Duration,
    /// In which of Postfix's functions it ran out of time.
    stuck_in: Option<&'static str>,
    write_error: Option<io::Error>,
    read_error: Option<io::Error>,
}

impl Session {
    fn new(mut child: Child, output: PipeReader, time_limit: Duration) -> Result<Session, Failure> {
        let input = child.stdin.take();
        if let Some(input) = &input {
            let unblocked = fcntl(input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
            unblocked.map_err(|e| Failure::of_error(&e.into(), SYSTEM, "fcntl"))?;
        }
        Ok(Session {
            child,
            input,
            output: Some(output),
            said: Vec::new(),
            time_limit,
            stuck_in: None,
            write_error: None,
            read_error: None,
        })
    }

    /// Feeds and listens until both ends are closed or the time is up.
    fn converse(&mut self, copier: &mut Copier<'_>, content: &mut dyn Read) {
        let mut chunk = vec![0; 64 << 10];
        let mut pending: &[u8] = &[];
        let mut is_all_read = false;
        loop {
            if pending.is_empty() && self.input.is_some() {
                if is_all_read {
                    self.input = None;
                } else {
                    let n = match content.read(&mut chunk) {
                        Ok(n) => n,
                        Err(e) => {
                            self.read_error = Some(e);
                            self.kill();
                            return;
                        }
                    };
                    is_all_read = n == 0;
                    pending = copier.take(&chunk[..n]);
                    continue;
                }
            }
            if self.input.is_none() && self.output.is_none() {
                return;
            }
            let (can_write, can_read) = self.wait();
            if self.stuck_in.is_some() {
                self.kill();
                return;
            }
            if can_read {
                self.listen();
            }
            if can_write {
                let n = self.feed(pending);
                pending = &pending[n..];
            }
        }
    }

    /// Which end is ready; after the time limit none is, and it is said which was waited for.
    fn wait(&mut self) -> (bool, bool) {
        let mut fds = Vec::with_capacity(2);
        if let Some(input) = &self.input {
            fds.push(PollFd::new(input.as_fd(), PollFlags::POLLOUT));
        }
        if let Some(output) = &self.output {
            fds.push(PollFd::new(output.as_fd(), PollFlags::POLLIN));
        }
        let timeout = PollTimeout::try_from(self.time_limit).unwrap_or(PollTimeout::MAX);
        let polled = poll(&mut fds, timeout);
        let ready = |n: usize| fds.get(n).is_some_and(|fd| fd.any().unwrap_or(false));
        let (can_write, can_read) = match self.input {
            Some(_) => (ready(0), ready(1)),
            None => (false, ready(0)),
        };
        if polled == Ok(0) {
            self.stuck_in = Some(if self.input.is_some() { "write" } else { "read" });
        }
        (can_write, can_read)
    }

    fn listen(&mut self) {
        let Some(output) = &mut self.output else { return };
        let mut buffer = [0; 4096];
        match output.read(&mut buffer) {
            Ok(0) => self.output = None,
            Ok(n) => {
                let room = OUTPUT_LIMIT - self.said.len();
                self.said.extend_from_slice(&buffer[..n.min(room)]);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.output = None,
        }
    }

    fn feed(&mut self, pending: &[u8]) -> usize {
        let Some(input) = &mut self.input else { return pending.len() };
        match input.write(pending) {
            Ok(n) => n,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(e) => {
                // A command that ends without reading everything may know why: its end tells.
                if e.kind() != io::ErrorKind::BrokenPipe {
                    self.write_error = Some(e);
                }
                self.input = None;
                pending.len()
            }
        }
    }

    /// Ends the command and what it has started.
    fn kill(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        let group = Pid::from_raw(-pid.as_raw());
        if kill(group, Signal::SIGKILL).is_err() {
            // It may have ended this moment.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }

    fn end(mut self, name: &str, notes: &mut Vec<Note>) -> Result<String, Failure> {
        drop(self.input.take());
        drop(self.output.take());
        let status = self.wait_for_end();
        if let Some(function) = self.stuck_in {
            let what = if function == "wait_or_kill" { "child wait" } else { function };
            notes.push(Note::Warning(format!("pipe_command_{function}: {what} time limit exceeded")));
        }
        let status = status.map_err(|e| Failure::of_error(&e, SYSTEM, "wait"))?;
        if let Some(e) = &self.read_error {
            return Err(Failure::of_copying(e, "error reading message"));
        }
        let status = Some(status).filter(|_| self.stuck_in.is_none());
        let judged = End { command: name, status, output: &self.said }.judge();
        match self.write_error {
            Some(e) if judged.is_ok() => {
                let failure = Failure::of_copying(&e, "error writing message");
                Err(failure.with_reason(|reason| format!("Command failed: {reason}: \"{name}\"")))
            }
            _ => judged,
        }
    }

    /// It has closed its outputs; that it goes on all the same is not expected to last.
    fn wait_for_end(&mut self) -> io::Result<ExitStatus> {
        let until = Instant::now() + self.time_limit;
        let mut pause = Duration::from_micros(200);
        while self.stuck_in.is_none() {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= until {
                self.stuck_in = Some("wait_or_kill");
                self.kill();
                break;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        self.child.wait()
    }
}

#[cfg(test)]
mod tests {
    use super::super::exported;
    use super::*;

    fn run_with(shell: &str, command: &str, content: &[u8], time_limit: Duration) -> (String, Vec<Note>) {
        let mut notes = Vec::new();
        let command = Command {
            program: Program::Text { command: command.as_bytes(), shell },
            service: "local",
            environment: exported().0,
            directory: None,
            time_limit,
            rights: None,
        };
        let said = match command.run(&Form::plain(), &Prelude::default(), &mut &content[..], &mut notes) {
            Ok(output) => format!("ok [{output}]"),
            Err(f) => format!("{} {}", f.status, f.reason),
        };
        (said, notes)
    }

    fn run(command: &str, content: &[u8]) -> String {
        run_with("", command, content, Duration::from_secs(60)).0
    }

    #[test]
    fn commands_and_their_ends() {
        for (command, expect) in [
            ("cat", "ok [Hello ]"),
            ("/bin/cat -", "ok [Hello ]"),
            ("  cat ", "ok [Hello ]"),
            ("true hello", "ok []"),
            ("exit 3", "5.3.0 Command died with status 3: \"exit 3\""),
            ("cat >/dev/null; echo out; echo err >&2", "ok [out err ]"),
            ("echo \"$PATH\"", "ok [/usr/bin:/bin ]"),
            ("", "ok []"),
            (" ", "ok []"),
            ("kill -9 $$", "4.3.0 Command died with signal 9: \"kill -9 $$\""),
            ("sleep 60 >/dev/null 2>&1 & exit 0", "ok []"),
        ] {
            assert_eq!(run(command, b"Hello\r\n"), expect, "{command}");
        }
    }

    #[test]
    fn what_cannot_be_executed_waits() {
        let (said, notes) = run_with("", "/nonexistent/prog x", b"", Duration::from_secs(60));
        let text = "execvp /nonexistent/prog: No such file or directory";
        assert_eq!(said, format!("4.3.0 temporary failure. Command output: local: fatal: {text} "));
        assert_eq!(notes, [Note::BareFatal(text.into())]);
        let (said, _) = run_with("", "/etc/passwd", b"", Duration::from_secs(60));
        assert!(said.ends_with("execvp /etc/passwd: Permission denied "), "{said}");
        let (said, _) = run_with("/bin/nosuchshell -c", "x", b"", Duration::from_secs(60));
        assert!(said.contains("local: fatal: pipe_command: execvp /bin/nosuchshell: "), "{said}");
    }

    #[test]
    fn much_in_and_much_out() {
        let large = vec![b'x'; 1 << 20];
        assert!(run("wc -c", &large).starts_with("ok [1048576"));
        assert_eq!(run("true", &large), "ok []", "it need not read");
        let said = run("cat >/dev/null; head -c 300000 /dev/zero | tr '\\0' y", &large);
        assert_eq!(said.len(), "ok []".len() + OUTPUT_LIMIT);
        // Input and output at a time, more of both than pipes hold.
        assert_eq!(run("cat", &large).len(), "ok []".len() + OUTPUT_LIMIT);
    }

    #[test]
    fn a_command_that_takes_too_long_is_ended_with_all_it_started() {
        let marker = tempfile::tempdir().expect("a folder");
        let alive = marker.path().join("alive");
        let command = format!("(sleep 2; touch {}) & echo wait; sleep 60", alive.display());
        let (said, notes) = run_with("", &command, b"", Duration::from_millis(300));
        assert_eq!(said, format!("5.3.0 Command time limit exceeded: \"{command}\". Command output: wait "));
        assert_eq!(notes, [Note::Warning("pipe_command_read: read time limit exceeded".into())]);
        let (said, notes) = run_with("", "exec sleep 60", &vec![b'x'; 1 << 20], Duration::from_millis(100));
        assert_eq!(said, "5.3.0 Command time limit exceeded: \"exec sleep 60\"");
        assert_eq!(notes, [Note::Warning("pipe_command_write: write time limit exceeded".into())]);
        let (_, notes) = run_with("", "exec sleep 60 <&- >&- 2>&-", b"", Duration::from_millis(100));
        assert_eq!(
            notes,
            [Note::Warning("pipe_command_wait_or_kill: child wait time limit exceeded".into())]
        );
    }

    #[test]
    fn the_shell_and_the_folder_of_choice() {
        let (said, _) = run_with("/bin/sh -c", "echo $0", b"", Duration::from_secs(60));
        assert_eq!(said, "ok [/bin/sh ]");
        let mut notes = Vec::new();
        let argv = [OsString::from("pwd")];
        let mut command = Command {
            program: Program::Argv(&argv),
            service: "pipe",
            environment: exported().0,
            directory: Some("/usr"),
            time_limit: Duration::from_secs(60),
            rights: None,
        };
        let mut run = |command: &Command<'_>| {
            command.run(&Form::plain(), &Prelude::default(), &mut &b""[..], &mut notes)
        };
        assert_eq!(run(&command).as_deref(), Ok("/usr "));
        command.directory = Some("/nonexistent");
        assert_eq!(run(&command).expect_err("no folder").reason, "temporary failure");
        assert!(matches!(&notes[..], [Note::Fatal(text)] if text.starts_with("cannot change directory to")));
    }
}
