//! A mail system's configuration on this host: both files read, and what the host looks like. `params` gives it meaning.

pub mod check;
mod host;

pub use host::{complete, host_facts};

use params::{Config, Diagnostic, MainCf, MasterCf, View};
use std::fmt;
use std::path::Path;

/// Where the configuration is if nobody says otherwise.
pub const DEFAULT_DIRECTORY: &str = "/etc/postfix";

/// The folder that `-c` names, or MAIL_CONFIG, or the default.
pub fn directory(option: Option<&str>) -> String {
    let from_environment = || std::env::var("MAIL_CONFIG").ok();
    option.map(str::to_owned).or_else(from_environment).unwrap_or_else(|| DEFAULT_DIRECTORY.to_owned())
}

/// A configuration that was read.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Without a `/` at its end.
    pub directory: String,
    pub view: View,
    mistakes: Vec<Diagnostic>,
    main_cf: Vec<u8>,
    master_cf: Vec<u8>,
}

/// A file of the configuration that cannot be read, in Postfix's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl Instance {
    /// Reads main.cf, and master.cf if there is one. `program` is `$process_name`.
    pub fn read(directory: &str, program: &str) -> Result<Instance, Unreadable> {
        let directory = directory.strip_suffix('/').filter(|d| !d.is_empty()).unwrap_or(directory);
        let main_cf = read_file(&format!("{directory}/main.cf"))?;
        let master_cf = match std::fs::read(Path::new(directory).join("master.cf")) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(unreadable(&format!("{directory}/master.cf"), &e)),
            Ok(text) => text,
        };
        Ok(Instance::from_text(directory, program, main_cf, master_cf))
    }

    /// From text that somebody else has read.
    pub fn from_text(directory: &str, program: &str, main_cf: Vec<u8>, master_cf: Vec<u8>) -> Instance {
        let (main, mistakes) = MainCf::parse(&format!("{directory}/main.cf"), &main_cf);
        let master = MasterCf::parse(&format!("{directory}/master.cf"), &master_cf);
        let host = host_facts(program, directory);
        let view = complete(View::new(Config { main, master, host }));
        Instance { directory: directory.to_owned(), view, mistakes, main_cf, master_cf }
    }

    /// What is wrong with main.cf's form.
    pub fn mistakes(&self) -> &[Diagnostic] {
        &self.mistakes
    }

    /// The file's text.
    pub fn main_cf(&self) -> &[u8] {
        &self.main_cf
    }

    /// The file's text; empty if there is no file.
    pub fn master_cf(&self) -> &[u8] {
        &self.master_cf
    }

    /// The line that a message is about.
    pub fn source(&self, diagnostic: &Diagnostic) -> Option<String> {
        let place = diagnostic.place.as_ref()?;
        let text = if place.file.ends_with("/master.cf") { &self.master_cf } else { &self.main_cf };
        let line = text.split(|b| *b == b'\n').nth(place.line.checked_sub(1)?)?;
        Some(String::from_utf8_lossy(line).into_owned())
    }
}

/// Reads a configuration file; the error is Postfix's text.
pub fn read_file(path: &str) -> Result<Vec<u8>, Unreadable> {
    std::fs::read(path).map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &str, error: &std::io::Error) -> Unreadable {
    let what = if error.kind() == std::io::ErrorKind::IsADirectory { "read" } else { "open" };
    Unreadable(format!("{what} {path}: {}", host::reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use params::p;

    #[test]
    fn both_files_and_their_lines() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().display().to_string();
        let missing = Instance::read(&path, "test").expect_err("no main.cf");
        assert_eq!(missing.to_string(), format!("open {path}/main.cf: No such file or directory"));
        std::fs::write(dir.path().join("main.cf"), "# x\nsmtpd_timeout = 5x\n").expect("written");
        let instance = Instance::read(&format!("{path}/"), "test").expect("readable");
        assert!(instance.mistakes().is_empty() && instance.master_cf().is_empty());
        let mut mistakes = Vec::new();
        instance.view.get(p::smtpd_timeout, &mut mistakes);
        assert_eq!(instance.source(&mistakes[0]).as_deref(), Some("smtpd_timeout = 5x"));
        assert_eq!(instance.view.get(p::config_directory, &mut mistakes), path);
    }

    #[test]
    fn an_origin_in_a_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let mailname = dir.path().join("mailname");
        std::fs::write(&mailname, "example.org\nmore\n").expect("written");
        let main_cf = format!("myorigin = {}\n", mailname.display()).into_bytes();
        let instance = Instance::from_text("/x", "test", main_cf, Vec::new());
        assert_eq!(instance.view.get(p::myorigin, &mut Vec::new()), "example.org");
    }
}
