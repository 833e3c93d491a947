//! The environment of commands: what the configuration exports, and what is known of the delivery, censored.

use params::{Diagnostic, View, p};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Where commands are looked for: PATH is never exported.
const DEFAULT_PATH: &str = "/usr/bin:/bin";

/// Names and values for every command (`export_environment`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exported(pub(crate) Vec<(String, OsString)>);

impl Exported {
    /// What of this process's environment goes on: what was let in (`import_environment`) and may go out.
    pub(crate) fn read(view: &View, mistakes: &mut Vec<Diagnostic>) -> Exported {
        let imports = view.get(p::import_environment, mistakes);
        let exports = view.get(p::export_environment, mistakes);
        let directory = &view.config().host.config_directory;
        Exported::new(&imports, &exports, directory, |name| std::env::var_os(name))
    }

    fn new(
        imports: &[String],
        exports: &[String],
        config_directory: &str,
        own: impl Fn(&str) -> Option<OsString>,
    ) -> Exported {
        let import = |name: &str| {
            imports.iter().find_map(|import| match import.split_once('=') {
                Some((imported, value)) if imported == name => Some(OsString::from(value)),
                None if import == name => own(name),
                _ => None,
            })
        };
        let export = |export: &String| match export.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.into())),
            None if export == "MAIL_CONFIG" => Some((export.clone(), config_directory.into())),
            None => Some((export.clone(), import(export)?)),
        };
        let mut all: Vec<_> =
            exports.iter().filter_map(export).filter(|(name, _)| !name.is_empty()).collect();
        all.retain(|(name, _)| name != "PATH");
        all.push(("PATH".into(), DEFAULT_PATH.into()));
        Exported(all)
    }
}

/// A value from outside: what `filter` has not becomes `_`, octet by octet.
pub(crate) fn censored(value: &[u8], filter: &str) -> OsString {
    let allowed = filter.as_bytes();
    OsString::from_vec(value.iter().map(|b| if allowed.contains(b) { *b } else { b'_' }).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// For tests of others.
    pub(crate) fn exported() -> Exported {
        Exported::new(&[], &[], "/etc/postfix", |_| None)
    }

    #[test]
    fn what_is_exported() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let own = |name: &str| match name {
            "TZ" => Some("UTC".into()),
            "SECRET" | "LANG" | "PATH" => Some("x".into()),
            _ => None,
        };
        let imports = words("MAIL_CONFIG TZ LANG=C PATH");
        let read = |exports: &str| {
            let Exported(all) = Exported::new(&imports, &words(exports), "/etc/postfix", own);
            all.iter().map(|(n, v)| format!("{n}={}", v.display())).collect::<Vec<_>>().join(" ")
        };
        for (exports, expect) in [
            ("TZ MAIL_CONFIG LANG", "TZ=UTC MAIL_CONFIG=/etc/postfix LANG=C PATH=/usr/bin:/bin"),
            ("TZ FOO=bar SECRET PATH=/evil", "TZ=UTC FOO=bar PATH=/usr/bin:/bin"),
            ("", "PATH=/usr/bin:/bin"),
        ] {
            assert_eq!(read(exports), expect);
        }
    }

    #[test]
    fn values_are_censored() {
        assert_eq!(censored(b"a+b$(id)`x`\n\xc3\xa9@c", "abcdix@+"), "a+b__id__x____@c");
    }
}
