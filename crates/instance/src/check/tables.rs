//! Tables in files: whether they are there, and whether they are newer than what they are made from.

use super::text;
use params::word::{COMMA_SPACE, words};
use params::{Diagnostic, View, registry};
use std::fs::Metadata;
use std::path::PathBuf;

/// Types that `postmap` makes, and what it puts behind the name.
const MADE: [(&str, &str); 4] = [("hash", ".db"), ("btree", ".db"), ("lmdb", ".lmdb"), ("cdb", ".cdb")];
/// Types that are read as they are.
const PLAIN: [&str; 4] = ["texthash", "regexp", "pcre", "cidr"];
/// Types of Postfix that need a system which is not this one.
const FOREIGN: [&str; 3] = ["dbm", "sdbm", "netinfo"];

/// A table that a parameter names.
struct Table {
    parameter: String,
    kind: String,
    name: String,
}

pub(super) fn findings(view: &View) -> Vec<Diagnostic> {
    named(view).iter().filter_map(|table| table.mistake(view)).collect()
}

/// The tables that main.cf names, and those of defaults whose names are set to nothing else.
fn named(view: &View) -> Vec<Table> {
    let mut all: Vec<Table> = Vec::new();
    for entry in view.config().main.entries().filter(|e| registry::find(&e.name).is_some()) {
        let value = text(view, &entry.name);
        for (_, word) in words(&value, COMMA_SPACE) {
            let word = word.trim_start_matches('!');
            let Some((kind, name)) = word.strip_prefix("proxy:").unwrap_or(word).split_once(':') else {
                continue;
            };
            let is_new = !all.iter().any(|table| (&*table.kind, &*table.name) == (kind, name));
            if is_new && (name.starts_with('/') || FOREIGN.contains(&kind)) {
                let (kind, name) = (kind.to_owned(), name.to_owned());
                all.push(Table { parameter: entry.name.clone(), kind, name });
            }
        }
    }
    all
}

impl Table {
    fn mistake(&self, view: &View) -> Option<Diagnostic> {
        let Table { parameter, kind, name } = self;
        let place = view.place(parameter);
        let said = |text: String| Diagnostic::advice(format!("{parameter}: {text}")).at(place.clone());
        if FOREIGN.contains(&kind.as_str()) {
            let effect = "lookups that come to it fail, and mail is put off";
            return Some(
                said(format!("unsupported dictionary type: {kind}"))
                    .effect(effect)
                    .mend(format!("write hash:{name}, and run postmap hash:{name}")),
            );
        }
        let source = metadata(name);
        if PLAIN.contains(&kind.as_str()) {
            let missing = source.is_none().then(|| said(format!("{kind}:{name}: there is no file {name}")));
            return missing.map(|d| {
                d.effect("lookups that come to it fail, and mail is put off")
                    .mend("make the file, or take the table out")
            });
        }
        let (_, suffix) = MADE.iter().find(|(made, _)| made == kind)?;
        let made = metadata(&format!("{name}{suffix}"));
        let run = format!("run {} {kind}:{name}", self.maker());
        match (made, source) {
            (None, _) => Some(
                said(format!("open database {name}{suffix}: No such file or directory"))
                    .effect("lookups that come to it fail, and mail is put off")
                    .mend(run),
            ),
            (Some(made), Some(source)) if is_newer(&source, &made) => Some(
                said(format!("database {name}{suffix} is older than source file {name}"))
                    .effect("what was changed since is not seen")
                    .mend(run),
            ),
            _ => None,
        }
    }

    fn maker(&self) -> &'static str {
        if self.parameter.starts_with("alias_") { "postalias" } else { "postmap" }
    }
}

fn metadata(path: &str) -> Option<Metadata> {
    std::fs::metadata(PathBuf::from(path)).ok()
}

fn is_newer(source: &Metadata, made: &Metadata) -> bool {
    matches!((source.modified(), made.modified()), (Ok(source), Ok(made)) if source > made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instance;
    use std::time::{Duration, SystemTime};

    #[test]
    fn tables_on_disk() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = dir.path().display().to_string();
        let now = SystemTime::now();
        for (file, age) in [("old", 0), ("old.db", 9), ("new", 9), ("new.db", 0), ("rules", 0)] {
            let file = std::fs::File::create(dir.path().join(file)).expect("created");
            file.set_modified(now - Duration::from_secs(age)).expect("set");
        }
        for (main, expect) in [
            ("transport_maps = hash:@/new, regexp:@/rules", ""),
            (
                "transport_maps = hash:@/old",
                "transport_maps: database @/old.db is older than source file @/old -> run postmap hash:@/old",
            ),
            (
                "alias_maps = proxy:btree:@/none",
                "alias_maps: open database @/none.db: No such file or directory -> run postalias btree:@/none",
            ),
            (
                "mynetworks = !cidr:@/none",
                "mynetworks: cidr:@/none: there is no file @/none -> make the file, or take the table out",
            ),
            (
                "transport_maps = dbm:@/x",
                "transport_maps: unsupported dictionary type: dbm -> write hash:@/x, and run postmap hash:@/x",
            ),
            ("relayhost = [::1]:25", ""),
        ] {
            let main = main.replace('@', &at);
            let instance = Instance::from_text("/x", "test", main.clone().into_bytes(), Vec::new());
            let said = findings(&instance.view);
            let said: Vec<String> = said.iter().map(|d| format!("{} -> {}", d.message, d.mend)).collect();
            assert_eq!(said.concat(), expect.replace('@', &at), "{main}");
        }
    }
}
