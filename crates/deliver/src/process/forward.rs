//! Finding a user's `.forward`: along `forward_path`, as the user, and only a file that nobody else can have written.

use super::files::{open_same, read_all};
use super::frame::Facts;
use crate::command::Note;
use crate::failure::strerror;
use nix::unistd::User;
use params::expand::{Expansion, Options, expand};
use std::borrow::Cow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A `.forward` that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardFile {
    pub path: String,
    /// Its name has the address extension in it: the extension has served its purpose.
    pub has_extension: bool,
    /// None: it is not to be trusted, or cannot be read; the mail goes to the mailbox.
    pub text: Option<Vec<u8>>,
}

/// How the file is found.
pub(super) struct ForwardPath<'a> {
    /// `forward_path`, not expanded.
    pub(super) patterns: &'a str,
    /// `forward_expansion_filter`.
    pub(super) filter: &'a str,
    pub(super) user: &'a User,
}

impl ForwardPath<'_> {
    /// The first that exists. What is wrong with it goes to `notes`. The error: the facts are none of a mail address.
    pub(super) fn find(&self, facts: &Facts, notes: &mut Vec<Note>) -> Result<Option<ForwardFile>, String> {
        for pattern in self.patterns.split([',', ' ', '\t', '\r', '\n']).filter(|p| !p.is_empty()) {
            let Some((path, has_extension)) = self.expand(pattern, facts)? else { continue };
            if let Ok(meta) = std::fs::symlink_metadata(&path) {
                let text = match self.read(Path::new(&path), &meta) {
                    Ok(text) => Some(text),
                    Err(why) => {
                        notes.push(Note::Warning(why));
                        None
                    }
                };
                return Ok(Some(ForwardFile { path, has_extension, text }));
            }
        }
        Ok(None)
    }

    /// None: the pattern names something that this address has not, or makes no sense.
    fn expand(&self, pattern: &str, facts: &Facts) -> Result<Option<(String, bool)>, String> {
        let names = Names::new(Some(self.user), facts)?;
        let once = |extension: &Option<String>| {
            let lookup = |name: &str| match name {
                "extension" => extension.as_deref().map(Cow::Borrowed),
                name => names.get(name),
            };
            expand(pattern, Options { recursive: false, filter: Some(self.filter) }, &lookup)
        };
        let Ok(Expansion { text, undefined: false }) = once(&names.extension) else { return Ok(None) };
        // Whether the extension's own text is in it, or only made a difference (`${extension?…}`).
        let another = names.extension.as_ref().map(|extension| format!("{extension}x"));
        let has_extension = another.is_some() && once(&another).is_ok_and(|e| e.text != text);
        Ok(Some((text, has_extension)))
    }

    fn read(&self, path: &Path, meta: &std::fs::Metadata) -> Result<Vec<u8>, String> {
        let shown = path.display();
        if !meta.is_file() {
            return Err(format!("file {shown} is not a regular file"));
        }
        if meta.uid() != 0 && meta.uid() != self.user.uid.as_raw() {
            return Err(format!("file {shown} has bad owner uid {}", meta.uid()));
        }
        if meta.mode() & 0o002 != 0 {
            return Err(format!("file {shown} is world writable"));
        }
        let file = open_same(path, meta);
        let text = file.and_then(|(file, _)| read_all(file));
        text.map_err(|e| format!("cannot open file {shown}: {}", strerror(&e)))
    }
}

/// What `$name` stands for in `forward_path` and `command_execution_directory`.
pub(super) struct Names<'a> {
    /// Whose files and rights; None: nobody is known.
    person: Option<&'a User>,
    facts: &'a Facts,
    extension: Option<String>,
}

impl<'a> Names<'a> {
    /// The error: with these facts a path could lead elsewhere.
    pub(super) fn new(person: Option<&'a User>, facts: &'a Facts) -> Result<Names<'a>, String> {
        let values = [Some(&facts.local), Some(&facts.user), facts.domain.as_ref(), facts.extension.as_ref()];
        if values.into_iter().flatten().any(|value| value.contains(&b'/') || value.contains(&0)) {
            return Err(format!("a file name of the parts of <{}>", facts.recipient));
        }
        let extension = facts.extension.as_deref().map(lossy);
        Ok(Names { person, facts, extension })
    }

    pub(super) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let facts = self.facts;
        let text = match name {
            "user" => lossy(&facts.user),
            "home" => self.person?.dir.display().to_string(),
            "shell" => self.person?.shell.display().to_string(),
            "domain" => lossy(facts.domain.as_deref()?),
            "local" | "mailbox" => lossy(&facts.local),
            "recipient" => lossy(facts.recipient.as_bytes()),
            "extension" => self.extension.clone()?,
            "recipient_delimiter" => char::from(facts.recipient_delimiter?).to_string(),
            _ => return None,
        };
        Some(Cow::Owned(text))
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::Uid;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    const DEFAULT: &str = "$home/.forward${recipient_delimiter}${extension}, $home/.forward";
    const FILTER: &str = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    fn user(home: &Path) -> User {
        let mut user = User::from_uid(Uid::current()).expect("readable").expect("this user");
        user.dir = home.into();
        user
    }

    fn facts(extension: Option<&str>) -> Facts {
        let local = extension.map_or("alice".to_owned(), |e| format!("alice+{e}"));
        Facts {
            recipient: format!("{local}@example.com").as_str().into(),
            local: local.into_bytes(),
            domain: Some(b"example.com".to_vec()),
            extension: extension.map(|e| e.as_bytes().to_vec()),
            recipient_delimiter: Some(b'+'),
            ..Facts::default()
        }
    }

    #[test]
    fn the_first_that_exists() {
        let home = tempfile::tempdir().expect("a folder");
        for name in [".forward", ".forward+list", ".forward+a_b"] {
            std::fs::write(home.path().join(name), name).expect("written");
        }
        let user = user(home.path());
        for (patterns, extension, expect) in [
            (DEFAULT, None, ".forward"),
            (DEFAULT, Some("list"), "!.forward+list"),
            (DEFAULT, Some("other"), ".forward"),
            (DEFAULT, Some("a;b"), "!.forward+a_b"),
            ("$home/.forward${extension?+list}", Some("x"), ".forward+list"),
            ("$home/.forward${extension?+$extension}", Some("list"), "!.forward+list"),
            ("$nothing/.forward $home/.forward", None, ".forward"),
            ("${home, $home/.forward", None, ".forward"),
            ("$home/none", None, "-"),
            ("", None, "-"),
        ] {
            let path = ForwardPath { patterns, filter: FILTER, user: &user };
            let found = path.find(&facts(extension), &mut Vec::new()).expect("facts of an address");
            let said = found.map_or("-".to_owned(), |file| {
                let text = String::from_utf8(file.text.expect("readable")).expect("text");
                format!("{}{text}", if file.has_extension { "!" } else { "" })
            });
            assert_eq!(said, expect, "{patterns} {extension:?}");
        }
    }

    #[test]
    fn what_is_not_to_be_trusted() {
        let home = tempfile::tempdir().expect("a folder");
        let (user, path) = (user(home.path()), home.path().join(".forward"));
        let said = || {
            let (mut notes, patterns) =
                (Vec::new(), ForwardPath { patterns: DEFAULT, filter: FILTER, user: &user });
            let file = patterns.find(&facts(None), &mut notes).expect("facts").expect("a file");
            assert_eq!(file.text, None);
            let [Note::Warning(text)] = &notes[..] else { panic!("{notes:?}") };
            text.replace(&path.display().to_string(), "F")
        };
        std::fs::create_dir(&path).expect("made");
        assert_eq!(said(), "file F is not a regular file");
        std::fs::remove_dir(&path).expect("there");
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("made");
        assert_eq!(said(), "file F is not a regular file");
        std::fs::remove_file(&path).expect("there");
        std::fs::write(&path, "bob\n").expect("written");
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("set");
        assert_eq!(said(), "file F is world writable");
        let other = User { uid: Uid::from_raw(99_999), ..user.clone() };
        let meta = std::fs::metadata("/proc/self/cmdline").expect("there");
        let path = ForwardPath { patterns: DEFAULT, filter: FILTER, user: &other };
        if !Uid::current().is_root() {
            assert!(
                path.read(Path::new("/x"), &meta).expect_err("not hers").starts_with("file /x has bad owner")
            );
        }
    }

    #[test]
    fn facts_that_would_lead_elsewhere() {
        let user = user(Path::new("/home/alice"));
        let path = ForwardPath { patterns: DEFAULT, filter: FILTER, user: &user };
        for extension in ["../../etc/passwd", "a/b", "a\0b"] {
            assert!(path.find(&facts(Some(extension)), &mut Vec::new()).is_err(), "{extension}");
        }
        for elsewhere in [
            Facts { domain: Some(b"x/y".to_vec()), ..facts(None) },
            Facts { user: b"../bob".to_vec(), ..facts(None) },
        ] {
            assert!(path.find(&elsewhere, &mut Vec::new()).is_err());
        }
    }
}
