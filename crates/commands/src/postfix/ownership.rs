//! Files and folders of a mail system that belong to the wrong user, or that others may write to: found, warned of, and left as they are.

use super::Site;
use nix::unistd::{Group, User};
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Folders below another are looked into no deeper: a symbolic link that is followed may lead back.
const DEPTH_LIMIT: u32 = 32;

/// Folders of the queue whose files are `mail_owner`'s.
const OWNED: [&str; 12] = [
    "saved", "incoming", "active", "defer", "deferred", "bounce", "hold", "trace", "corrupt", "public",
    "private", "flush",
];

/// Copies of the system's folders that programs see which are confined to the queue directory.
const COPIES: [&str; 5] = ["bin", "etc", "lib", "sbin", "usr"];

/// A file that was found.
struct Found {
    /// The path as messages show it.
    path: PathBuf,
    /// Of the file itself, not of what a link leads to.
    meta: Metadata,
}

impl Site<'_> {
    /// Warns of what others own or may change.
    pub(super) fn warn_of_owners(&self) {
        let queue = [self.queue_directory.join("."), self.queue_directory.join("pid")];
        let queue: Vec<Found> = queue.into_iter().filter_map(Found::at).collect();
        self.warn_not_owned(&queue, "root");
        self.warn_writable(&queue);
        let fixed: Vec<Found> = self.fixed_folders().iter().flat_map(|folder| tree(folder)).collect();
        self.warn_not_owned(&fixed, "root");
        self.warn_writable(&fixed);
        self.warn_of_links(&fixed);
        let data = tree(&self.data_directory.join("."));
        self.warn_not_owned(&data, &self.mail_owner);
        self.warn_writable(&data);
        self.warn_of_queue();
        self.warn_of_copies();
    }

    /// Folders in which nobody but root has anything to change.
    fn fixed_folders(&self) -> Vec<PathBuf> {
        let config = Path::new(&self.config_directory).join(".");
        let mut all = vec![self.daemon_directory.join("."), config];
        all.sort();
        all.dedup();
        all
    }

    fn warn_of_queue(&self) {
        let folders = OWNED.iter().map(|name| self.queue_directory.join(name));
        let mut owned: Vec<Found> = folders.flat_map(|folder| tree(&folder)).collect();
        // Anybody who submits mail owns a file in there.
        owned.extend(Found::at(self.queue_directory.join("maildrop")));
        let is_endpoint =
            |found: &Found| found.meta.file_type().is_fifo() || found.meta.file_type().is_socket();
        owned.retain(|found| !is_endpoint(found));
        self.warn_not_owned(&owned, &self.mail_owner);
        let group = Group::from_name(&self.setgid_group).ok().flatten().map(|group| group.gid.as_raw());
        let programs = ["postqueue", "postdrop"].map(|name| self.command_directory.join(name));
        let shared = ["public", "maildrop"].map(|name| self.queue_directory.join(name));
        for found in programs.iter().chain(&shared).cloned().filter_map(Found::at) {
            if Some(found.meta.gid()) != group {
                self.warn(&format!("not owned by group {}: ", self.setgid_group), &found);
            }
        }
        for found in programs.into_iter().filter_map(Found::at) {
            if found.meta.permissions().mode() & 0o2111 != 0o2111 {
                self.warn("not set-gid or not owner+group+world executable: ", &found);
            }
        }
        for found in tree(&self.queue_directory.join("corrupt")).iter().filter(|f| f.meta.is_file()) {
            let path = found.path.strip_prefix(&self.queue_directory).unwrap_or(&found.path);
            self.script.warning(&format!("damaged message: {}", path.display()));
        }
    }

    fn warn_of_copies(&self) {
        for name in COPIES {
            let copies = tree(&self.queue_directory.join(name));
            self.warn_not_owned(&copies, "root");
            for found in copies.iter().filter(|f| f.meta.is_file()) {
                let Ok(below) = found.path.strip_prefix(&self.queue_directory) else {
                    continue;
                };
                let original = Path::new("/").join(below);
                if original.is_file() && std::fs::read(&original).ok() != std::fs::read(&found.path).ok() {
                    let (copy, original) = (found.path.display(), original.display());
                    self.script.warning(&format!("{copy} and {original} differ"));
                }
            }
        }
    }

    fn warn_not_owned(&self, all: &[Found], user: &str) {
        let uid = User::from_name(user).ok().flatten().map(|user| user.uid.as_raw());
        for found in all.iter().filter(|found| Some(found.meta.uid()) != uid) {
            self.warn(&format!("not owned by {user}: "), found);
        }
    }

    fn warn_writable(&self, all: &[Found]) {
        for found in all {
            // A link's own mode means nothing.
            if std::fs::metadata(&found.path).is_ok_and(|meta| meta.mode() & 0o022 != 0) {
                self.warn("group or other writable: ", found);
            }
        }
    }

    fn warn_of_links(&self, all: &[Found]) {
        for found in all.iter().filter(|found| found.meta.is_symlink()) {
            let leaves = std::fs::read_link(&found.path).is_ok_and(|to| to.components().count() > 1);
            if leaves && !found.path.ends_with("makedefs.out") {
                self.warn("symlink leaves directory: ", found);
            }
        }
    }

    fn warn(&self, what: &str, found: &Found) {
        self.script.warning(&format!("{what}{}", found.path.display()));
    }
}

impl Found {
    fn at(path: PathBuf) -> Option<Found> {
        let meta = std::fs::symlink_metadata(&path).ok()?;
        Some(Found { path, meta })
    }
}

/// A folder and all that is in it, in the file system's order.
fn tree(folder: &Path) -> Vec<Found> {
    let mut all = Vec::new();
    descend(folder.to_owned(), 0, &mut all);
    all
}

fn descend(path: PathBuf, depth: u32, all: &mut Vec<Found>) {
    let Some(found) = Found::at(path.clone()) else {
        return;
    };
    let is_folder = found.meta.is_dir() && depth < DEPTH_LIMIT;
    all.push(found);
    if is_folder && let Ok(entries) = std::fs::read_dir(&path) {
        entries.flatten().for_each(|entry| descend(path.join(entry.file_name()), depth + 1, all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_in_a_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(dir.path().join("a/b")).expect("folders");
        std::os::unix::fs::symlink("/", dir.path().join("a/link")).expect("a link");
        let root = dir.path().join(".");
        let mut paths: Vec<String> = tree(&root)
            .iter()
            .map(|f| f.path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        paths.sort();
        assert_eq!(paths, ["", "a", "a/b", "a/link"]);
        assert!(tree(Path::new("/nonexistent")).is_empty());
    }
}
