//! `domain`, of tables that ask servers: keys that are no address in one of these domains are not asked for.

use crate::{Lookup, OpenContext, Table, TryLater};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Names of domains, tables of them, and the same with `!`; the first that matches counts.
pub(crate) struct Domains(Vec<(bool, Pattern)>);

enum Pattern {
    Name(String),
    Table(Arc<dyn Table>),
}

/// Files within files.
const MAX_DEPTH: usize = 10;

impl Domains {
    /// Files in the list are read, and tables opened. What cannot be is an error, in Postfix's words.
    pub(crate) fn parse(list: &str, context: &OpenContext) -> Result<Domains, String> {
        let mut patterns = Vec::new();
        add(&mut patterns, list, true, context, MAX_DEPTH)?;
        Ok(Domains(patterns))
    }

    /// Whether the key is asked for.
    pub(crate) async fn admit(&self, key: &[u8]) -> Result<bool, TryLater> {
        let Some(domain) = self.domain(key) else {
            return Ok(self.0.is_empty());
        };
        for (matches, pattern) in &self.0 {
            let is_it = match pattern {
                Pattern::Name(name) => name.as_bytes().eq_ignore_ascii_case(domain),
                Pattern::Table(table) => table.get(domain).await?.is_some(),
            };
            if is_it {
                return Ok(*matches);
            }
        }
        Ok(false)
    }

    /// As [`Domains::admit`], for tables that answer at once; a server in the list is "try later".
    pub(crate) fn admit_now(&self, key: &[u8]) -> Result<bool, TryLater> {
        let Some(domain) = self.domain(key) else {
            return Ok(self.0.is_empty());
        };
        for (matches, pattern) in &self.0 {
            let is_it = match pattern {
                Pattern::Name(name) => name.as_bytes().eq_ignore_ascii_case(domain),
                Pattern::Table(table) => match table.get(domain) {
                    Lookup::Ready(Some(found)) => found?.is_some(),
                    _ => return Err(TryLater(format!("{}: this table cannot be used here", table.name()))),
                },
            };
            if is_it {
                return Ok(*matches);
            }
        }
        Ok(false)
    }

    /// The domain that the list is to have. None: the key has none, or nobody in it, or there is no list.
    fn domain<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let at = memchr::memrchr(b'@', key).filter(|&at| at > 0 && !self.0.is_empty())?;
        Some(&key[at + 1..])
    }
}

fn add(
    patterns: &mut Vec<(bool, Pattern)>,
    list: &str,
    matches: bool,
    context: &OpenContext,
    depth: usize,
) -> Result<(), String> {
    for item in crate::split_list(list) {
        let bare = item.trim_start_matches('!');
        let matches = matches == ((item.len() - bare.len()) % 2 == 0);
        if bare.starts_with('/') {
            let text = read(bare, context).filter(|_| depth > 0);
            let text = text.ok_or_else(|| format!("open file {bare}: No such file or directory"))?;
            add(patterns, &text, matches, context, depth - 1)?;
        } else if bare.contains(':') && !bare.starts_with('[') {
            let table = crate::open(bare, context).map_err(|error| error.to_string())?;
            patterns.push((matches, Pattern::Table(table)));
        } else {
            patterns.push((matches, Pattern::Name(bare.to_owned())));
        }
    }
    Ok(())
}

/// The items of a file, without its comments.
fn read(path: &str, context: &OpenContext) -> Option<String> {
    let mut text = String::new();
    (context.open_file)(Path::new(path)).ok()?.read_to_string(&mut text).ok()?;
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d");
        std::fs::write(&file, "# more\nf.example\n").unwrap();
        let list = format!("a.example, !no.example B.example, inline:{{t.example=x}} {}", file.display());
        let context = OpenContext::plain(Arc::new(|_, _: &str| {}));
        let domains = Domains::parse(&list, &context).unwrap();
        for (key, expect) in [
            ("x@a.example", true),
            ("x@b.example", true),
            ("x@no.example", false),
            ("x@c.example", false),
            ("x@t.example", true),
            ("x@f.example", true),
            ("x", false),
            ("", false),
            ("@a.example", false),
        ] {
            assert_eq!(domains.admit_now(key.as_bytes()), Ok(expect), "{key}");
        }
        assert_eq!(Domains::parse("", &context).unwrap().admit_now(b"x"), Ok(true));
        for (list, expect) in [
            ("/nowhere", "open file /nowhere: No such file or directory"),
            ("hash:/nowhere", "open database /nowhere.db: No such file or directory"),
        ] {
            assert_eq!(Domains::parse(list, &context).err().as_deref(), Some(expect));
        }
        let later = Domains::parse("fail:x", &context).unwrap();
        assert!(later.admit_now(b"x@y").is_err());
    }
}
