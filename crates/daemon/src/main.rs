//! `master`: starts the mail system. See master(8).

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main()
}
