//! What the worker may ask for: derived from the configuration, never from what the worker says.

use crate::ipc::requests::Refusal;
use deliver::mailbox::{Locking, Mailbox, Style};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, User, geteuid};
use params::service::Local;
use params::{Diagnostic, View, p};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The files that the configuration names, and how mailboxes are found.
pub(crate) struct Rights {
    files: HashSet<PathBuf>,
    local: Local,
    host: String,
}

/// A mailbox, and whose rights its process has.
pub(crate) struct MailboxGrant {
    pub mailbox: Mailbox,
    pub uid: Uid,
    pub gid: Gid,
}

/// What a table's file may be called besides its name in the configuration.
const SUFFIXES: [&str; 4] = ["", ".db", ".lmdb", ".cdb"];

impl Rights {
    pub(crate) fn read(view: &View, mistakes: &mut Vec<Diagnostic>) -> Rights {
        let files = named_paths(view)
            .flat_map(|path| SUFFIXES.map(|suffix| PathBuf::from(format!("{path}{suffix}"))));
        Rights { files: files.collect(), local: view.load(mistakes), host: view.get(p::myhostname, mistakes) }
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

    /// The mailbox of a user. The error says why there is none to be had.
    pub(crate) fn mailbox(&self, user: &str) -> Result<MailboxGrant, String> {
        let entry = User::from_name(user).map_err(|e| format!("password file: {e}"))?;
        let entry = entry.ok_or_else(|| format!("unknown user: \"{user}\""))?;
        if !geteuid().is_root() && entry.uid != geteuid() {
            return Err(format!("a mailbox of {user} needs root: this server runs as another user"));
        }
        let (path, gid) = self.place(&entry);
        let style = if path.ends_with('/') { Style::Maildir } else { Style::Mbox };
        let mailbox = Mailbox {
            style,
            path: path.into(),
            user: entry.name.clone(),
            host: self.host.clone(),
            size_limit: self.local.mailbox_size_limit.max(0) as u64,
            locking: self.locking(),
        };
        Ok(MailboxGrant { mailbox, uid: entry.uid, gid })
    }

    /// `home_mailbox` below the user's home, or a file (or, with a `/` at its end, folders) in `mail_spool_directory`.
    fn place(&self, user: &User) -> (String, Gid) {
        if !self.local.home_mailbox.is_empty() {
            return (format!("{}/{}", user.dir.display(), self.local.home_mailbox), user.gid);
        }
        let spool = self.local.mail_spool_directory.trim_end_matches('/');
        let slash = if self.local.mail_spool_directory.ends_with('/') { "/" } else { "" };
        let group = std::fs::metadata(spool).ok().filter(|meta| meta.mode() & 0o022 == 0o020);
        let gid = group.map_or(user.gid, |meta| Gid::from_raw(meta.gid()));
        (format!("{spool}/{}{slash}", user.name), gid)
    }

    fn locking(&self) -> Locking {
        let kinds = &self.local.mailbox_delivery_lock;
        let has = |kind: &str| kinds.iter().any(|k| k == kind);
        Locking {
            dotlock: has("dotlock"),
            fcntl: has("fcntl"),
            flock: has("flock"),
            attempts: self.local.deliver_lock_attempts.max(1) as u32,
            delay: self.local.deliver_lock_delay,
            stale: self.local.stale_lock_time,
        }
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
        Rights::read(&View::new(Config { main, master, ..Config::default() }), &mut Vec::new())
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

    #[test]
    fn mailboxes() {
        let own = User::from_uid(geteuid()).expect("readable").expect("this user");
        let home = rights("home_mailbox = Maildir/\nmailbox_size_limit = 77\n", "");
        let grant = home.mailbox(&own.name).expect("granted");
        assert_eq!(grant.mailbox.path, own.dir.join("Maildir/"));
        assert_eq!((grant.mailbox.style, grant.mailbox.size_limit, grant.uid), (Style::Maildir, 77, own.uid));

        let spool = rights("mail_spool_directory = /nonexistent\n", "").mailbox(&own.name).expect("granted");
        assert_eq!(spool.mailbox.path, Path::new("/nonexistent").join(&own.name));
        assert_eq!(spool.mailbox.style, Style::Mbox);

        assert_eq!(home.mailbox("no such user").err().as_deref(), Some("unknown user: \"no such user\""));
    }
}
