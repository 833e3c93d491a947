//! `cargo xtask TASK`: the project's own chores.

mod arrows;
mod run;
mod support;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask TASK
  arrows      hold the rooms' imports against ARCHITECTURE.md
  support     hold the parameters that are said to work against the code that reads them
  run [--once]  a private instance, and a message through it";

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let result = match task.as_str() {
        "arrows" => arrows::check(),
        "support" => support::check(),
        "run" => run::run(std::env::args().any(|arg| arg == "--once")),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
