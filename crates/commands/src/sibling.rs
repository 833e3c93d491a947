//! Other programs of this mail system, run with its configuration and its environment.

use crate::instance::Instance;
use crate::program::{Fatal, Run, reason};
use params::p;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `command_directory` has a program.
pub(crate) fn path(instance: &Instance, name: &str) -> PathBuf {
    Path::new(&instance.view.get(p::command_directory, &mut Vec::new())).join(name)
}

/// A program, to be run with this configuration.
pub(crate) fn command(instance: &Instance, path: &Path) -> Command {
    let mut command = Command::new(path);
    set_environment(instance, &mut command);
    command.env("MAIL_CONFIG", &instance.directory);
    command
}

/// What `import_environment` sets (`name=value`). What it would take away is left to the programs that trust nobody.
pub(crate) fn set_environment(instance: &Instance, command: &mut Command) {
    for item in instance.view.get(p::import_environment, &mut Vec::new()) {
        let item = item.trim_start_matches('{').trim_end_matches('}').trim();
        if let Some((name, value)) = item.split_once('=') {
            command.env(name.trim_end(), value.trim_start());
        }
    }
}

/// Goes on as another program. This comes back only if that cannot be.
pub(crate) fn become_program<I>(instance: &Instance, path: &Path, args: I) -> Run
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let error = command(instance, path).args(args).exec();
    Err(Fatal::new(format!("execv {}: {}", path.display(), reason(&error))))
}
