//! postcat(1): shows what a message in the queue is made of, in the form of Postfix's queue files.
//!
//! It only reads, whether a server runs or not.

mod message;
mod print;
mod record;

pub use record::fuzz_queue_file;

use crate::getopt;
use crate::ids::{self, Word};
use crate::instance::Instance;
use crate::program::{Fatal, Program, Run, reason};
use crate::server::{MAILDROP, SPOOL};
use mail::QueueId;
use message::Broken;
use params::service::Common;
use print::{Look, Printer};
use record::{FileRecords, Manner, Record};
use spool::maildrop::{Limits, Maildrop, MaildropError};
use spool::showq::Queue;
use spool::{ReadonlySpool, SpoolError};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, StdoutLock, Write};
use std::os::fd::AsFd;

pub(crate) fn main(program: &Program) -> Run {
    let options = Options::read(program)?;
    let instance = Instance::open(program, options.config_directory.as_deref())?;
    let common = instance.common(program)?;
    let out = BufWriter::new(io::stdout().lock());
    let mut command = Command { program, options: &options, common: &common, out };
    match command.run().and_then(|()| command.out.flush().map_err(Stop::Output)) {
        Ok(()) => Ok(0),
        // Whoever has read enough.
        Err(Stop::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(Stop::Output(e)) => Err(Fatal::new(format!("output write error: {}", reason(&e)))),
        Err(Stop::Fatal(fatal)) => {
            // What was found before that is shown.
            let _ = command.out.flush();
            Err(fatal)
        }
    }
}

/// The command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    look: Look,
    /// `-q`: operands are queue ids.
    searches_queue: bool,
    /// `-s`
    start: u64,
    config_directory: Option<String>,
    operands: Vec<String>,
}

impl Options {
    fn read(program: &Program) -> Result<Options, Fatal> {
        let parsed = getopt::parse(&program.text_args(), "bc:dehoqrs:v");
        let mut options = Options { operands: parsed.operands, ..Options::default() };
        let look = &mut options.look;
        for (letter, value) in parsed.options {
            match letter {
                'b' => look.body = true,
                'c' => options.config_directory = value,
                'd' => look.kinds = true,
                'e' => look.envelope = true,
                'h' => look.header = true,
                'o' => look.offsets = true,
                'q' => options.searches_queue = true,
                'r' => look.raw = true,
                's' => options.start = read_offset(&value.unwrap_or_default())?,
                _ => look.verbose = true,
            }
        }
        if let Some(complaint) = parsed.complaint {
            program.complain(&complaint);
            return Err(usage(program));
        }
        if !look.envelope && !look.header && !look.body {
            (look.envelope, look.header, look.body) = (true, true, true);
        }
        look.titled = options.start == 0;
        Ok(options)
    }
}

fn usage(program: &Program) -> Fatal {
    Fatal::new(format!(
        "usage: {} [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)] \
         [-h (header text)] [-q (access queue)] [-v] [file(s)...]",
        program.name
    ))
}

fn read_offset(text: &str) -> Result<u64, Fatal> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let offset = if is_number { text.parse().ok() } else { None };
    offset.ok_or_else(|| Fatal::new(format!("bad offset: {text}")))
}

/// Why nothing more is shown.
enum Stop {
    Fatal(Fatal),
    Output(io::Error),
}

impl From<Fatal> for Stop {
    fn from(fatal: Fatal) -> Stop {
        Stop::Fatal(fatal)
    }
}

struct Command<'a> {
    program: &'a Program,
    options: &'a Options,
    common: &'a Common,
    out: BufWriter<StdoutLock<'static>>,
}

impl Command<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        let operands = &self.options.operands;
        if operands.is_empty() {
            return self.show_stdin();
        }
        if !self.options.searches_queue {
            return operands.iter().try_for_each(|path| self.show_path(path));
        }
        std::env::set_current_dir(&self.common.queue_directory)
            .map_err(|e| Fatal::new(format!("chdir {}: {}", self.common.queue_directory, reason(&e))))?;
        let mut spool = None;
        for word in operands {
            match ids::read(word.as_bytes()) {
                Word::Id(id) => self.show_message(id, &mut spool)?,
                Word::Foreign => return Err(no_queue_file(word, "No such file or directory").into()),
                Word::Invalid => return Err(Fatal::new(format!("bad mail queue ID: {word}")).into()),
            }
        }
        Ok(())
    }

    /// A letter of the maildrop, or a message of the spool, which is opened when it is needed.
    fn show_message(&mut self, id: QueueId, spool: &mut Option<ReadonlySpool>) -> Result<(), Stop> {
        let limit = self.common.line_length_limit as usize;
        let maildrop = Maildrop::new(MAILDROP);
        match maildrop.open(id, Limits { content_size_max: 0, ..Limits::default() }) {
            Ok(mut picked) => {
                let path = message::path(self.common, Queue::Maildrop, id);
                return self.show(&path, |sink| message::show_letter(id, &mut picked, limit, sink));
            }
            // It is not there, or not for this user; then the spool is neither.
            Err(MaildropError::Io(_)) => {}
            Err(why) => return Err(no_queue_file(id, why).into()),
        }
        let spool = match spool {
            Some(spool) => spool,
            None => spool.insert(ReadonlySpool::open(SPOOL).map_err(|e| no_queue_file(id, why(&e)))?),
        };
        let stored = spool.load(id).map_err(|e| no_queue_file(id, why(&e)))?;
        let queue = spool.summary(id).map_or(Queue::Incoming, |summary| Queue::of_message(&summary, false));
        let path = message::path(self.common, queue, id);
        self.show(&path, |sink| message::show(&stored, limit, sink))
    }

    fn show_stdin(&mut self) -> Result<(), Stop> {
        let stdin = io::stdin().as_fd().try_clone_to_owned();
        let file = stdin.map(File::from).map_err(|e| Fatal::new(format!("stdin: {}", reason(&e))))?;
        self.show_file("stdin", BufReader::new(file))
    }

    fn show_path(&mut self, path: &str) -> Result<(), Stop> {
        let file = File::open(path).map_err(|e| Fatal::new(format!("open {path}: {}", reason(&e))))?;
        self.show_file(path, BufReader::new(file))
    }

    /// A queue file of Postfix's.
    fn show_file(&mut self, path: &str, input: impl BufRead + Seek) -> Result<(), Stop> {
        let look = self.options.look;
        let manner = Manner { start: self.options.start, hides: !look.verbose, follows: !look.raw };
        let opened = FileRecords::open(input, manner).map_err(|e| unreadable(path, &e))?;
        let Some(mut records) = opened else {
            self.program.warning(&format!("{path}: input is not a valid queue file"));
            return Ok(());
        };
        self.show(path, |sink| {
            while let Some(record) = records.next().map_err(Broken::Input)? {
                if !sink(&record).map_err(Broken::Output)? {
                    break;
                }
            }
            Ok(())
        })
    }

    fn show(
        &mut self,
        path: &str,
        feed: impl FnOnce(message::Sink<'_>) -> Result<(), Broken>,
    ) -> Result<(), Stop> {
        let program = self.program;
        let mut printer = Printer::new(path, self.options.look, &mut self.out);
        let fed = feed(&mut |record: &Record| {
            let goes_on = printer.print(record)?;
            printer.take_complaints().iter().for_each(|complaint| program.warning(complaint));
            Ok(goes_on)
        });
        match fed {
            Ok(()) => Ok(()),
            Err(Broken::Output(e)) => Err(Stop::Output(e)),
            Err(Broken::Input(e)) => Err(unreadable(path, &e).into()),
        }
    }
}

fn unreadable(path: &str, error: &io::Error) -> Fatal {
    Fatal::new(format!("{path}: record read error: {}", reason(error)))
}

fn no_queue_file(name: impl std::fmt::Display, why: impl std::fmt::Display) -> Fatal {
    Fatal::new(format!("open queue file {name}: {why}"))
}

/// As open(2) would say it of a queue file.
fn why(error: &SpoolError) -> String {
    match error {
        SpoolError::Unknown(_) => "No such file or directory".to_owned(),
        SpoolError::Device(error) => reason(error),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Voice;
    use std::ffi::OsString;

    fn read(args: &[&str]) -> Result<Options, String> {
        let args = args.iter().map(OsString::from).collect();
        let program = Program::new("/usr/sbin/postcat".into(), args, 1, Voice::Stderr);
        Options::read(&program).map_err(|fatal| fatal.message)
    }

    #[test]
    fn options() {
        let all = Look { envelope: true, header: true, body: true, titled: true, ..Look::default() };
        let plain = |look| Options { look, ..Options::default() };
        assert_eq!(read(&[]), Ok(plain(all)));
        let detailed = Look { verbose: true, kinds: true, offsets: true, ..all };
        assert_eq!(read(&["-v", "-d", "-o"]), Ok(plain(detailed)));
        let queued = Options {
            searches_queue: true,
            operands: vec!["AB".into(), "-e".into()],
            ..plain(Look { envelope: false, ..all })
        };
        assert_eq!(read(&["-bhq", "AB", "-e"]), Ok(queued));
        let from = Options { start: 10, ..plain(Look { titled: false, ..all }) };
        assert_eq!(read(&["-s", "10"]), Ok(from));
        assert_eq!(read(&["-s", "x"]), Err("bad offset: x".into()));
        assert!(read(&["-Z"]).is_err_and(|why| why.starts_with("usage: /usr/sbin/postcat [-b (body text)]")));
    }
}
