//! postqueue(1): a program of its own because it runs set-gid.

fn main() -> std::process::ExitCode {
    commands::postqueue()
}
