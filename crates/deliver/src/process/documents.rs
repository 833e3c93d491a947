//! What a process has read of where mail may go: it does nothing that does not stand there.

use crate::destinations::{Destination, destinations, lines};
use std::collections::HashSet;

/// The commands, files and lists that aliases, `.forward` files and lists name.
#[derive(Debug, Default)]
pub(super) struct Documents {
    commands: HashSet<Vec<u8>>,
    files: HashSet<Vec<u8>>,
    lists: HashSet<Vec<u8>>,
}

impl Documents {
    /// Adds what an alias's right side names. `home` is what `~` stands for.
    pub(super) fn add(&mut self, right_side: &[u8], home: Option<&str>) {
        for destination in destinations(right_side) {
            match destination {
                Destination::Command(command) => drop(self.commands.insert(command)),
                Destination::File(path) => drop(self.files.insert(path)),
                Destination::HomeFile(path) => self.files.extend(in_home(&path, home)),
                Destination::Include(path) => drop(self.lists.insert(path)),
                Destination::Address(_) => {}
            }
        }
    }

    /// Adds what the lines of a file name.
    pub(super) fn add_lines(&mut self, text: &[u8], line_length_limit: usize, home: Option<&str>) {
        lines(text, line_length_limit).for_each(|line| self.add(line, home));
    }

    pub(super) fn has_command(&self, command: &[u8]) -> bool {
        self.commands.contains(command)
    }

    pub(super) fn has_file(&self, path: &[u8]) -> bool {
        self.files.contains(path)
    }

    pub(super) fn has_list(&self, path: &[u8]) -> bool {
        self.lists.contains(path)
    }
}

/// `~/file` below the home. None: there is no home, or it is `~somebody`.
pub(crate) fn in_home(path: &[u8], home: Option<&str>) -> Option<Vec<u8>> {
    let rest = path.strip_prefix(b"~").filter(|rest| rest.starts_with(b"/"))?;
    match home? {
        "/" => Some(rest.to_vec()),
        home => Some([home.as_bytes(), rest].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_and_nothing_else() {
        let mut documents = Documents::default();
        documents.add(b"alice, \"|/bin/x -y\", /var/file", None);
        documents.add_lines(b"# |/bin/no\n~/own, :include:/list\n~bob/x\n", 2048, Some("/home/alice"));
        assert!(documents.has_command(b"/bin/x -y") && documents.has_list(b"/list"));
        assert!(documents.has_file(b"/var/file") && documents.has_file(b"/home/alice/own"));
        for other in [&b"/bin/x"[..], b"/bin/no", b"/bin/x -y ", b"alice", b"~bob/x", b""] {
            assert!(
                !documents.has_command(other) && !documents.has_file(other) && !documents.has_list(other)
            );
        }
    }

    #[test]
    fn homes() {
        for (path, home, expect) in [
            ("~/x", Some("/home/a"), Some("/home/a/x")),
            ("~/x", Some("/"), Some("/x")),
            ("~/x", None, None),
            ("~b/x", Some("/home/a"), None),
            ("~", Some("/home/a"), None),
        ] {
            assert_eq!(in_home(path.as_bytes(), home).as_deref(), expect.map(str::as_bytes));
        }
    }
}
