//! Tables as delivery processes ask them: carefully, since what they say decides about rights.

use crate::command::Note;
use nix::fcntl::OFlag;
use params::{View, p};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tables::{Found, OpenContext, Owner, Severity, SourceFormat, Table};

/// A table whose answers decide about rights, and whose word they are.
pub(super) struct CarefulTable {
    table: Arc<dyn Table>,
    /// The uids of the files that were read.
    owners: Arc<Mutex<Vec<u32>>>,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl CarefulTable {
    pub(super) fn open(view: &View, spec: &str, source_format: SourceFormat) -> CarefulTable {
        let owners: Arc<Mutex<Vec<u32>>> = Arc::default();
        let complaints: Arc<Mutex<Vec<String>>> = Arc::default();
        let (of_files, said) = (owners.clone(), complaints.clone());
        let open_file = move |path: &Path| {
            let file = open_regular(path)?;
            let uid = file.metadata()?.uid();
            of_files.lock().unwrap_or_else(PoisonError::into_inner).push(uid);
            Ok(file)
        };
        let report = move |severity: Severity, text: &str| {
            if severity != Severity::Hint {
                said.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
            }
        };
        let own = view.clone();
        let main_cf = move |name: &str| own.lookup_set(name).and_then(|value| own.expand(value).ok());
        let context = OpenContext {
            smtputf8_enable: view.get(p::smtputf8_enable, &mut Vec::new()),
            allow_substitution: false,
            allow_proxy: false,
            allow_unauthenticated: false,
            source_format,
            servers: tables::servers::ALL,
            main_cf: Arc::new(main_cf),
            ..OpenContext::new(Arc::new(open_file), Arc::new(report))
        };
        let spec = match spec.starts_with('/') && !spec.contains(':') {
            true => format!("{}:{spec}", view.get(p::default_database_type, &mut Vec::new())),
            false => spec.to_owned(),
        };
        CarefulTable { table: tables::open_or_defer(&spec, &context), owners, complaints }
    }

    /// Files answer at once; a server is waited for.
    pub(super) fn get(&self, key: &[u8]) -> Found {
        tables::get_now(self.table.as_ref(), key)
    }

    /// Says what is wrong if there is no answer. What there is to say otherwise the worker has said, whose table it is too.
    pub(super) fn get_or_say(&self, key: &[u8], notes: &mut Vec<Note>) -> Found {
        let found = self.get(key);
        let complaints = self.complaints();
        if found.is_err() {
            notes.extend(complaints.into_iter().map(Note::Warning));
        }
        found
    }

    pub(super) fn is_pattern(&self) -> bool {
        self.table.is_pattern()
    }

    /// Who may have written what the table has answered so far. Files count as they were when they were opened: a name that
    /// leads to another file a moment later gives nobody more rights.
    pub(super) fn owner(&self) -> Owner {
        let declared = self.table.owner();
        let mut uids = self.owners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if declared == Owner::Unknown || uids.is_empty() {
            return declared;
        }
        uids.retain(|uid| *uid != 0);
        uids.sort_unstable();
        uids.dedup();
        match uids[..] {
            [] => Owner::Trusted,
            [uid] => Owner::User(uid),
            _ => Owner::Unknown,
        }
    }

    /// What there was to complain of since this was last asked.
    pub(super) fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut *self.complaints.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Anything but a regular file may block, or have effects by being opened.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use params::Config;

    fn open(spec: &str) -> CarefulTable {
        CarefulTable::open(&View::new(Config::default()), spec, SourceFormat::Aliases)
    }

    #[test]
    fn whose_word_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("aliases");
        std::fs::write(&path, "list: \"|/bin/x\"\n").expect("written");
        let table = open(&format!("hash:{}", path.display()));
        assert_eq!(table.get(b"List").map(|v| v.map(|v| v.to_vec())), Ok(Some(b"\"|/bin/x\"".to_vec())));
        let own = nix::unistd::Uid::current().as_raw();
        let expect = if own == 0 { Owner::Trusted } else { Owner::User(own) };
        assert_eq!(table.owner(), expect);
        // Whatever else it has come from by now.
        table.owners.lock().expect("no panic").push(4242);
        let expect = if own == 0 { Owner::User(4242) } else { Owner::Unknown };
        assert_eq!(table.owner(), expect);
        assert_eq!(open("inline:{{a=b}}").owner(), Owner::Trusted);
    }

    #[test]
    fn what_is_not_for_such_tables() {
        let pattern = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(pattern.path(), "/^(x)$/ |$1\n/^y$/ z\n").expect("written");
        let table = open(&format!("regexp:{}", pattern.path().display()));
        assert_eq!(table.get(b"x"), Ok(None));
        assert_eq!(table.get(b"y").expect("found").as_deref(), Some(&b"z"[..]));
        assert!(
            table.complaints()[0]
                .ends_with("regular expression substitution is not allowed: skipping this rule")
        );
        assert!(open("proxy:inline:{{a=b}}").get(b"a").is_err());
        assert!(open("texthash:/dev/null").get(b"a").is_err());
    }
}
