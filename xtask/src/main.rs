//! `cargo xtask TASK`: the project's own chores.

mod arrows;
mod run;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask TASK
  arrows      hold the rooms' imports against ARCHITECTURE.md
  run [--once]  a private instance, and a message through it";

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let result = match task.as_str() {
        "arrows" => arrows::check(),
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
