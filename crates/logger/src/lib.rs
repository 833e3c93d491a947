//! Where log lines go: syslog, `maillog_file`, or standard output.
//!
//! A server has one writer thread; whoever logs appends a finished line to its buffer and goes on. The thread writes what
//! has gathered, at most [`GATHER`] later, so that a busy server pays one system call for many lines. It can never block who
//! logs: if the system logger stalls, lines beyond [`BUFFER_LIMIT`] are dropped and their number is logged. Commands write
//! each line at once, without a thread.

mod format;
mod target;

pub use target::{Target, open_maillog_file};

use format::Stamper;
use maillog::{Event, Level};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// How long lines may wait for others. Short enough that a person who tails the log sees no delay.
pub const GATHER: Duration = Duration::from_millis(2);

/// Octets that may wait for a stalled system logger.
pub const BUFFER_LIMIT: usize = 4 << 20;

/// Octets of a payload; the rest is cut off.
pub const PAYLOAD_LIMIT: usize = 8 << 10;

/// A handle by which one service logs. Cheap to clone.
#[derive(Clone)]
pub struct Logger {
    shared: Arc<Shared>,
    /// `postfix/smtpd`.
    tag: Arc<str>,
    pid: u32,
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Logger({}[{}])", self.tag, self.pid)
    }
}

struct Shared {
    state: Mutex<State>,
    /// The writer waits here for lines, `flush` for the writer.
    changed: Condvar,
    has_thread: bool,
}

struct State {
    lines: Lines,
    stamper: Stamper,
    target: Target,
    dropped: u64,
    /// The writer has taken lines that are not written yet.
    is_writing: bool,
    must_end: bool,
}

/// Finished lines, back to back, and where each ends.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Logger {
    /// Starts a writer thread. [`Logger::end`] ends it.
    pub fn start(target: Target, syslog_name: &str) -> Logger {
        let logger = Logger::new(target, syslog_name, true);
        let writer = logger.shared.clone();
        std::thread::Builder::new()
            .name("logger".into())
            .spawn(move || write_lines(&writer))
            .expect("a thread at start");
        logger
    }

    /// Writes each line at once: for commands.
    pub fn direct(target: Target, syslog_name: &str) -> Logger {
        Logger::new(target, syslog_name, false)
    }

    fn new(target: Target, syslog_name: &str, has_thread: bool) -> Logger {
        let state = State {
            lines: Lines::default(),
            stamper: Stamper::default(),
            target,
            dropped: 0,
            is_writing: false,
            must_end: false,
        };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), has_thread };
        Logger { shared: Arc::new(shared), tag: syslog_name.into(), pid: std::process::id() }
    }

    /// A handle for `syslog_name/service`.
    pub fn service(&self, syslog_name: &str, service: &str) -> Logger {
        Logger { tag: format!("{syslog_name}/{service}").into(), ..self.clone() }
    }

    /// A handle for lines of another program name altogether.
    pub fn tagged(&self, tag: &str) -> Logger {
        Logger { tag: tag.into(), ..self.clone() }
    }

    /// The same service under another process number. Log readers pair lines by it, so each concurrent session has its own.
    pub fn with_pid(&self, pid: u32) -> Logger {
        Logger { pid, ..self.clone() }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn event(&self, event: &impl Event) {
        self.line(event.level(), format_args!("{event}"));
    }

    pub fn info(&self, text: fmt::Arguments<'_>) {
        self.line(Level::Info, text);
    }

    pub fn warning(&self, text: fmt::Arguments<'_>) {
        self.line(Level::Warning, text);
    }

    pub fn error(&self, text: fmt::Arguments<'_>) {
        self.line(Level::Error, text);
    }

    pub fn fatal(&self, text: fmt::Arguments<'_>) {
        self.line(Level::Fatal, text);
    }

    /// Logs one line. Whatever would break it, such as a line end in `text`, shows as `?`.
    pub fn line(&self, level: Level, text: fmt::Arguments<'_>) {
        let mut state = self.shared.lock();
        if state.lines.text.len() > BUFFER_LIMIT {
            state.dropped += 1;
            return;
        }
        let was_empty = state.lines.ends.is_empty();
        self.append(&mut state, level, text);
        if !self.shared.has_thread {
            let lines = std::mem::take(&mut state.lines);
            state.target.write(&lines.text, &lines.ends);
        } else if was_empty {
            drop(state);
            self.shared.changed.notify_all();
        }
    }

    /// Writes a line that another process has made, with its own head and without its end: what came over the log socket. Only
    /// for files; a system logger has its own socket.
    pub fn foreign_line(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        if !matches!(state.target, Target::File(_)) || state.lines.text.len() > BUFFER_LIMIT {
            return;
        }
        let was_empty = state.lines.ends.is_empty();
        let printable = line.iter().map(|b| if *b < 32 || *b == 127 { b'?' } else { *b });
        state.lines.text.extend(printable.take(PAYLOAD_LIMIT));
        state.lines.text.push(b'\n');
        let end = state.lines.text.len();
        state.lines.ends.push(end);
        drop(state);
        if was_empty {
            self.shared.changed.notify_all();
        }
    }

    fn append(&self, state: &mut State, level: Level, text: fmt::Arguments<'_>) {
        let State { lines, stamper, target, .. } = state;
        let start = lines.text.len();
        let head = stamper.head(target.kind(), level, SystemTime::now());
        lines.text.extend_from_slice(head.as_bytes());
        let mut payload = format::Payload::new(&mut lines.text, PAYLOAD_LIMIT);
        // Writing to memory cannot fail.
        let _ = write!(payload, "{}[{}]: {}{}", self.tag, self.pid, level.prefix(), text);
        target.end_line(&mut lines.text);
        debug_assert!(lines.text.len() > start);
        lines.ends.push(lines.text.len());
    }

    /// Writes to somewhere else from now on (reload, log rotation).
    pub fn set_target(&self, target: Target) {
        self.flush();
        self.shared.lock().target = target;
    }

    /// Waits until everything logged so far is written.
    pub fn flush(&self) {
        let mut state = self.shared.lock();
        while self.shared.has_thread && (!state.lines.ends.is_empty() || state.is_writing) {
            state = self.shared.wait(state);
        }
    }

    /// Writes what is left and ends the writer thread: the last act of a server.
    pub fn end(&self) {
        self.shared.lock().must_end = true;
        self.shared.changed.notify_all();
        self.flush();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves at worst half a line.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer thread: takes what has gathered, writes it outside the lock.
fn write_lines(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        while state.lines.ends.is_empty() {
            if state.must_end {
                return;
            }
            state = shared.wait(state);
        }
        state.is_writing = true;
        if !state.must_end {
            drop(state);
            std::thread::sleep(GATHER);
            state = shared.lock();
        }
        let mut lines = std::mem::take(&mut state.lines);
        let mut target = std::mem::replace(&mut state.target, Target::Nowhere);
        let dropped = std::mem::take(&mut state.dropped);
        drop(state);
        target.write(&lines.text, &lines.ends);
        lines.text.clear();
        lines.ends.clear();
        state = shared.lock();
        state.put_back(target, lines);
        state.is_writing = false;
        if dropped > 0 {
            state.note_dropped(dropped);
        }
        shared.changed.notify_all();
    }
}

impl State {
    /// Gives the target back, unless it was replaced meanwhile, and the emptied buffer, unless lines came meanwhile.
    fn put_back(&mut self, target: Target, emptied: Lines) {
        if matches!(self.target, Target::Nowhere) {
            self.target = target;
        }
        if self.lines.ends.is_empty() {
            self.lines = emptied;
        }
    }

    fn note_dropped(&mut self, dropped: u64) {
        let head = self.stamper.head(self.target.kind(), Level::Warning, SystemTime::now()).to_owned();
        let text =
            format!("{head}postfix/postlogd[{}]: warning: {dropped} log lines lost", std::process::id());
        self.lines.text.extend_from_slice(text.as_bytes());
        self.target.end_line(&mut self.lines.text);
        self.lines.ends.push(self.lines.text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn file() -> (Target, std::fs::File) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let to_file = |end: std::os::fd::OwnedFd| std::fs::File::from(end);
        (Target::File(to_file(writer.into())), to_file(reader.into()))
    }

    #[test]
    fn lines_are_written_in_order_and_whole() {
        let (target, mut reader) = file();
        let logger = Logger::start(target, "postfix");
        let smtpd = logger.service("postfix", "smtpd").with_pid(7);
        for n in 0..100 {
            smtpd.info(format_args!("line {n}"));
        }
        smtpd.warning(format_args!("two\nlines"));
        logger.end();
        drop((logger, smtpd));
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("the writer's end is closed");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 101);
        assert!(lines[42].ends_with(" postfix/smtpd[7]: line 42"), "{}", lines[42]);
        assert!(lines[100].ends_with(" postfix/smtpd[7]: warning: two?lines"), "{}", lines[100]);
    }

    #[test]
    fn a_command_writes_at_once() {
        let (target, mut reader) = file();
        let logger = Logger::direct(target, "postfix/sendmail");
        logger.fatal(format_args!("no"));
        let mut text = [0u8; 200];
        let n = reader.read(&mut text).expect("a line");
        assert!(text[..n].ends_with(format!(" postfix/sendmail[{}]: fatal: no\n", logger.pid()).as_bytes()));
    }
}
