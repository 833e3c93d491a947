//! The commands: postconf, postmap, postqueue, sendmail and the others, one file each.
//!
//! One program has them all; the last part of argv[0] says which one it is. A command of its own is a line in `COMMANDS`.

mod clock;
mod getopt;
mod ids;
pub mod instance;
mod lists;
mod log;
mod newaliases;
pub mod postcat;
mod postconf;
mod postdrop;
mod postfix;
mod postkick;
mod postlock;
mod postlog;
mod postmap;
mod postmulti;
mod postqueue;
mod postsuper;
pub mod program;
mod receipt;
mod sendmail;
mod server;
mod sibling;

use program::{Program, Run, Voice};
use std::ffi::OsString;
use std::process::ExitCode;

/// A command: its name, the exit status of `fatal: …`, where its messages go, and what runs it.
type Command = (&'static str, u8, Voice, fn(&Program) -> Run);

const COMMANDS: &[Command] = &[
    ("mailq", 75, Voice::StderrAndLog, sendmail::main),
    ("newaliases", 75, Voice::StderrAndLog, sendmail::main),
    ("postalias", 1, Voice::StderrAndLog, postmap::postalias),
    ("postcat", 1, Voice::Stderr, postcat::main),
    ("postconf", 1, Voice::Stderr, postconf::main),
    ("postfix", 1, Voice::TerminalAndLog, postfix::main),
    ("postkick", 1, Voice::Stderr, postkick::main),
    ("postlock", 75, Voice::Stderr, postlock::main),
    ("postlog", 1, Voice::TerminalAndLog, postlog::main),
    ("postmap", 1, Voice::StderrAndLog, postmap::postmap),
    ("postmulti", 1, Voice::TerminalAndLog, postmulti::main),
    ("postsuper", 1, Voice::StderrAndLog, postsuper::main),
    ("sendmail", 75, Voice::StderrAndLog, sendmail::main),
];

/// Runs the command that argv[0] names; under another name the first argument names it: `oxipost postconf -n`.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os().collect()))
}

/// postdrop(1), whatever it was called by: its caller chose that name.
pub fn postdrop() -> ExitCode {
    let args = std::env::args_os().skip(1).collect();
    ExitCode::from(Program::new("postdrop".to_owned(), args, 1, Voice::StderrAndLog).run(postdrop::main))
}

/// postqueue(1), whatever it was called by. Postfix: whatever goes wrong, its exit status is EX_UNAVAILABLE.
pub fn postqueue() -> ExitCode {
    let args = std::env::args_os().skip(1).collect();
    ExitCode::from(Program::new("postqueue".to_owned(), args, 69, Voice::StderrAndLog).run(postqueue::main))
}

fn run(mut argv: Vec<OsString>) -> u8 {
    if argv.is_empty() || find(&program::base_name(&argv[0])).is_none() {
        argv.drain(..argv.len().min(1));
    }
    let Some(first) = argv.first() else {
        return usage();
    };
    if first == "--names" {
        COMMANDS.iter().for_each(|(name, ..)| println!("{name}"));
        return 0;
    }
    let name = program::base_name(first);
    match find(&name) {
        Some((_, failure, voice, command)) => {
            // Postfix: these two call themselves what they were called, with its path.
            let called = first.to_string_lossy().into_owned();
            let title = if matches!(&*name, "postcat" | "postlock") { called } else { name };
            Program::new(title, argv.split_off(1), *failure, *voice).run(*command)
        }
        None => usage(),
    }
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|(known, ..)| *known == name)
}

fn usage() -> u8 {
    let names: Vec<&str> = COMMANDS.iter().map(|(name, ..)| *name).collect();
    eprintln!("usage: oxipost command [argument ...]\ncommands: {}", names.join(" "));
    64
}
