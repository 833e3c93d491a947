//! What the worker may ask for: derived from the configuration, never from what the worker says.

use crate::ipc::requests::Refusal;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use params::View;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The files that the configuration names.
pub(crate) struct Rights {
    files: HashSet<PathBuf>,
}

/// What a table's file may be called besides its name in the configuration.
const SUFFIXES: [&str; 4] = ["", ".db", ".lmdb", ".cdb"];

impl Rights {
    pub(crate) fn read(view: &View) -> Rights {
        let files = named_paths(view)
            .flat_map(|path| SUFFIXES.map(|suffix| PathBuf::from(format!("{path}{suffix}"))));
        Rights { files: files.collect() }
    }

    /// Opens a file for reading, if the configuration names it and it is a regular one: anything else may block or have
    /// effects by being opened.
    pub(crate) fn open(&self, path: &Path) -> Result<File, Refusal> {
        if !self.may_open(path) {
            let why = format!("{}: the configuration does not name this file", path.display());
            return Err(Refusal { errno: 0, why });
        }
        let failed = |e: io::Error| Refusal {
            errno: e.raw_os_error().unwrap_or(Errno::EIO as i32),
            why: e.to_string(),
        };
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
        match file.metadata().map_err(failed)?.is_file() {
            true => Ok(file),
            false => Err(Refusal { errno: 0, why: format!("{}: not a regular file", path.display()) }),
        }
    }

    fn may_open(&self, path: &Path) -> bool {
        self.files.contains(path)
    }
}

/// Every absolute path that a value of main.cf or of a `-o` names, bare or behind `type:`.
fn named_paths(view: &View) -> impl Iterator<Item = String> {
    let main = view.config().main.entries().map(|entry| (view.clone(), entry.name.clone()));
    let services = view.config().master.services.iter().flat_map(|service| {
        let own = view.for_service(service);
        service.overrides.iter().map(move |(name, _)| (own.clone(), name.clone()))
    });
    let defaults =
        ["alias_maps", "alias_database", "local_recipient_maps"].map(|name| (view.clone(), name.to_owned()));
    let values = main.chain(services).chain(defaults).filter_map(|(view, name)| {
        let raw = view.lookup(&name)?.into_owned();
        view.expand(&raw).ok()
    });
    let paths: Vec<String> = values.flat_map(|value| paths_in(&value)).collect();
    paths.into_iter()
}

fn paths_in(value: &str) -> Vec<String> {
    let is_separator = |c: char| c.is_ascii_whitespace() || matches!(c, ',' | '{' | '}' | '!');
    let words = value.split(is_separator);
    let paths = words.filter_map(|word| {
        let at = word.find('/').filter(|at| *at == 0 || word[..*at].ends_with([':', '=']))?;
        Some(word[at..].to_owned())
    });
    paths.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use params::{Config, MainCf, MasterCf};

    fn rights(main_cf: &str, master_cf: &str) -> Rights {
        let (main, _) = MainCf::parse("main.cf", main_cf.as_bytes());
        let master = MasterCf::parse("master.cf", master_cf.as_bytes());
        Rights::read(&View::new(Config { main, master, ..Config::default() }))
    }

    #[test]
    fn only_named_files() {
        let rights = rights(
            "conf = /srv/tables\n\
             smtp_sasl_password_maps = hash:$conf/login, proxy:hash:/etc/second\n\
             smtp_tls_CAfile = /etc/ssl/ca.pem\n\
             mydestination = example.com, !/etc/not-ours\n",
            "smtp inet n - n - - smtpd\n  -o smtpd_tls_key_file=/etc/ssl/own.key\n",
        );
        for path in [
            "/srv/tables/login.db",
            "/srv/tables/login",
            "/etc/second.db",
            "/etc/ssl/ca.pem",
            "/etc/ssl/own.key",
            "/etc/not-ours",
            "/etc/aliases.db",
        ] {
            assert!(rights.may_open(Path::new(path)), "{path}");
        }
        for path in ["/etc/shadow", "/srv/tables/other", "/srv/tables/../../etc/shadow", "/etc/ssl", "/", ""]
        {
            assert!(!rights.may_open(Path::new(path)), "{path}");
        }
    }
}
