//! A mail system's configuration on this host: the folder, both files, and what the host looks like.

use crate::program::{Fatal, Program, reason};
use nix::unistd::{getegid, geteuid, getgid, getuid};
use params::diagnostic::Severity;
use params::line::logical_lines;
use params::service::Common;
use params::word::{name_value, plain_words};
use params::{Config, Diagnostic, MainCf, MasterCf, View};
use std::collections::HashMap;
use std::io::ErrorKind;

pub use instance::{DEFAULT_DIRECTORY, complete, host_facts};

/// A configuration that was read.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Without a `/` at its end.
    pub directory: String,
    pub view: View,
    /// What was read, for messages that show a line.
    sources: HashMap<String, Vec<u8>>,
}

/// The folder that `-c` names, or MAIL_CONFIG, or the default.
pub fn directory(option: Option<&str>) -> String {
    named_directory(option).unwrap_or_else(|| DEFAULT_DIRECTORY.to_string())
}

/// The folder that `-c` or MAIL_CONFIG names.
pub fn named_directory(option: Option<&str>) -> Option<String> {
    let from_environment = || std::env::var("MAIL_CONFIG").ok();
    option.map(str::to_string).or_else(from_environment)
}

impl Instance {
    /// Reads main.cf, and master.cf if there is one, and says what is wrong with main.cf's form.
    pub fn open(program: &Program, option: Option<&str>) -> Result<Instance, Fatal> {
        let directory = directory(option);
        check_directory(program, &directory)?;
        let main_path = format!("{directory}/main.cf");
        let bytes = read_file(&main_path)?;
        let (main, mistakes) = MainCf::parse_over(&[("config_directory", &directory)], &main_path, &bytes);
        let mut sources = HashMap::from([(main_path, bytes)]);
        say_all(program, &mistakes, &sources)?;
        let master_path = format!("{directory}/master.cf");
        let master = match std::fs::read(&master_path) {
            Ok(bytes) => {
                let master = MasterCf::parse(&master_path, &bytes);
                sources.insert(master_path, bytes);
                master
            }
            Err(_) => MasterCf { path: master_path, ..MasterCf::default() },
        };
        let host = host_facts(&program.name, &directory);
        let view = complete(View::new(Config { main, master, host }));
        Ok(Instance { directory, view, sources })
    }

    /// What every program reads; what is wrong with it is said, and the first fatal mistake ends the program.
    pub fn common(&self, program: &Program) -> Result<Common, Fatal> {
        // Defaults depend on the level: it comes first.
        let mut mistakes = params::check::level(&self.view);
        let common = self.view.load(&mut mistakes);
        mistakes.extend(params::check::common(&self.view));
        self.say(program, &mistakes)?;
        Ok(common)
    }

    /// Says mistakes; the first fatal one ends the program.
    pub fn say(&self, program: &Program, mistakes: &[Diagnostic]) -> Result<(), Fatal> {
        say_all(program, mistakes, &self.sources)
    }

    /// The line that a message is about.
    pub fn source(&self, diagnostic: &Diagnostic) -> Option<String> {
        source_line(&self.sources, diagnostic)
    }
}

/// Reads a configuration file.
pub(crate) fn read_file(path: &str) -> Result<Vec<u8>, Fatal> {
    std::fs::read(path).map_err(|error| {
        // A folder can be opened.
        let doing = if error.kind() == ErrorKind::IsADirectory { "read" } else { "open" };
        Fatal::new(format!("{doing} {path}: {}", reason(&error)))
    })
}

/// Says what stands before the first fatal mistake, and gives that one.
pub(crate) fn say_all(
    program: &Program,
    mistakes: &[Diagnostic],
    sources: &HashMap<String, Vec<u8>>,
) -> Result<(), Fatal> {
    for diagnostic in mistakes.iter().filter(|d| d.severity > Severity::Advice) {
        let source = source_line(sources, diagnostic);
        if diagnostic.is_fatal() {
            return Err(Fatal::from_diagnostic(diagnostic, source.as_deref()));
        }
        program.report(diagnostic, source.as_deref());
    }
    Ok(())
}

fn source_line(sources: &HashMap<String, Vec<u8>>, diagnostic: &Diagnostic) -> Option<String> {
    let place = diagnostic.place.as_ref()?;
    let line = sources.get(&place.file)?.split(|b| *b == b'\n').nth(place.line.checked_sub(1)?)?;
    Some(String::from_utf8_lossy(line).into_owned())
}

/// A program that runs with more rights than its caller takes a foreign folder only if the default main.cf names it.
fn check_directory(program: &Program, directory: &str) -> Result<(), Fatal> {
    // The superuser is trusted, also by what runs set-gid.
    let is_superuser = getuid().is_root() && geteuid().is_root();
    let is_privileged = !is_superuser && (getuid() != geteuid() || getgid() != getegid());
    if is_privileged { require_listed(program, directory) } else { Ok(()) }
}

/// Refuses a foreign folder that the default main.cf does not name.
pub(crate) fn require_listed(program: &Program, directory: &str) -> Result<(), Fatal> {
    if directory == DEFAULT_DIRECTORY {
        return Ok(());
    }
    let path = format!("{DEFAULT_DIRECTORY}/main.cf");
    let bytes = std::fs::read(&path).map_err(|e| Fatal::new(format!("open file {path}: {}", reason(&e))))?;
    if names_directory(&bytes, directory) {
        return Ok(());
    }
    program.error(&format!("unauthorized configuration directory name: {directory}"));
    Err(Fatal::new(format!(
        "specify \"alternate_config_directories = {directory}\" or \"multi_instance_directories = {directory}\" in {path}"
    )))
}

fn names_directory(main_cf: &[u8], directory: &str) -> bool {
    logical_lines(main_cf).iter().filter_map(|line| name_value(&line.text).ok()).any(|(name, value)| {
        matches!(name, "alternate_config_directories" | "multi_instance_directories")
            && plain_words(value).any(|word| word == directory)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories() {
        let main =
            b"# x\nalternate_config_directories = /a, /b\n  /c\nmulti_instance_directories=/d\nother = /e\n";
        for (name, expect) in [("/a", true), ("/c", true), ("/d", true), ("/e", false), ("/", false)] {
            assert_eq!(names_directory(main, name), expect, "{name}");
        }
        assert_eq!(directory(Some("/x")), "/x");
    }
}
