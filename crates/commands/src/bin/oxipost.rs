//! All commands in one program: what it does is decided by the name it is called with.

fn main() -> std::process::ExitCode {
    commands::main()
}
