//! The folders of a mail system: which there are, whom they belong to, and how they are made where they are missing.

use super::Site;
use crate::program::{Fatal, reason};
use nix::unistd::{Gid, Group, Uid, User, chown, geteuid};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder below the queue directory, as it should be.
struct Folder {
    name: &'static str,
    mode: u32,
    group: Owning,
}

/// Whom a folder belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owning {
    Root,
    /// `mail_owner`.
    Owner,
    /// `mail_owner`, and group `setgid_group`.
    Setgid,
}

const FOLDERS: [Folder; 7] = [
    Folder { name: "", mode: 0o755, group: Owning::Root },
    Folder { name: "pid", mode: 0o755, group: Owning::Root },
    Folder { name: "queue", mode: 0o700, group: Owning::Owner },
    Folder { name: "corrupt", mode: 0o700, group: Owning::Owner },
    Folder { name: "private", mode: 0o700, group: Owning::Owner },
    Folder { name: "public", mode: 0o710, group: Owning::Setgid },
    Folder { name: "maildrop", mode: 0o730, group: Owning::Setgid },
];

#[derive(Clone, Copy)]
struct Owners {
    uid: Uid,
    gid: Gid,
    setgid: Gid,
}

impl Site<'_> {
    /// Makes what is missing of the queue and data directories.
    pub(super) fn make_folders(&self) -> Result<(), Fatal> {
        let owner = self.owner()?;
        for folder in FOLDERS {
            folder.make(&self.queue_directory, owner).map_err(|(path, e)| make_error(&path, &e))?;
        }
        let data = Folder { name: "", mode: 0o700, group: Owning::Owner };
        data.make(&self.data_directory, owner).map_err(|(path, e)| make_error(&path, &e))
    }

    /// The same, and folders that are there get the owners and modes that they should have.
    pub(super) fn set_permissions(&self) -> Result<(), Fatal> {
        self.make_folders()?;
        let owner = self.owner()?;
        for folder in FOLDERS {
            let path = self.queue_directory.join(folder.name);
            folder.settle(&path, owner).map_err(|error| make_error(&path, &error))?;
        }
        let data = Folder { name: "", mode: 0o700, group: Owning::Owner };
        data.settle(&self.data_directory, owner).map_err(|error| make_error(&self.data_directory, &error))
    }

    /// Whom folders are given to; None without root, when all belongs to this user.
    fn owner(&self) -> Result<Option<Owners>, Fatal> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let unknown = |parameter: &str, kind: &str, name: &str| {
            Fatal::new(format!(
                "file {}/main.cf: parameter {parameter}: unknown {kind} name value: {name}",
                self.config_directory
            ))
        };
        let user = User::from_name(&self.mail_owner).ok().flatten();
        let user = user.ok_or_else(|| unknown("mail_owner", "user", &self.mail_owner))?;
        let group = Group::from_name(&self.setgid_group).ok().flatten();
        let group = group.ok_or_else(|| unknown("setgid_group", "group", &self.setgid_group))?;
        Ok(Some(Owners { uid: user.uid, gid: user.gid, setgid: group.gid }))
    }
}

impl Folder {
    /// Makes it if it is not there. One that is there is left as somebody wanted it.
    fn make(&self, parent: &Path, owners: Option<Owners>) -> Result<(), (PathBuf, io::Error)> {
        let path = if self.name.is_empty() { parent.to_owned() } else { parent.join(self.name) };
        let result = match path.is_dir() {
            true => Ok(()),
            false => std::fs::create_dir_all(&path).and_then(|()| self.settle(&path, owners)),
        };
        result.map_err(|e| (path, e))
    }

    fn settle(&self, path: &Path, owners: Option<Owners>) -> io::Result<()> {
        match (owners, self.group) {
            (Some(o), Owning::Owner) => chown(path, Some(o.uid), Some(o.gid))?,
            (Some(o), Owning::Setgid) => chown(path, Some(o.uid), Some(o.setgid))?,
            _ => {}
        }
        std::fs::set_permissions(path, PermissionsExt::from_mode(self.mode))
    }
}

fn make_error(path: &Path, error: &io::Error) -> Fatal {
    Fatal::new(format!("unable to create missing queue directory {}: {}", path.display(), reason(error)))
}
