//! The commands: postconf, postmap, postqueue, sendmail and the others, one file each.
//!
//! One program has them all; the last part of argv[0] says which one it is. A command of its own is a line in `COMMANDS`.

mod getopt;
pub mod instance;
mod log;
mod newaliases;
mod postconf;
mod postfix;
mod postmap;
pub mod program;

use program::{Program, Run, Voice};
use std::ffi::OsString;
use std::process::ExitCode;

/// A command: its name, the exit status of `fatal: …`, where its messages go, and what runs it.
type Command = (&'static str, u8, Voice, fn(&Program) -> Run);

const COMMANDS: &[Command] = &[
    ("newaliases", 75, Voice::StderrAndLog, newaliases::main),
    ("postalias", 1, Voice::StderrAndLog, postmap::postalias),
    ("postconf", 1, Voice::Stderr, postconf::main),
    ("postfix", 1, Voice::TerminalAndLog, postfix::main),
    ("postmap", 1, Voice::StderrAndLog, postmap::postmap),
];

/// Runs the command that argv[0] names; under another name the first argument names it: `oxipost postconf -n`.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os().collect()))
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
            Program::new(name, argv.split_off(1), *failure, *voice).run(*command)
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
