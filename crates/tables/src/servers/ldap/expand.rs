//! From entries to a result: the values of the wanted attributes, and, for special ones, those of the entries that they
//! name (`special_result_attribute`, `leaf_result_attribute`, `terminal_result_attribute`).

use super::client::{Client, Entry, Failure, Search};
use super::code::{self, Code};
use super::url::{Scope, Url};
use super::{Ldap, MAX_HOPS, NOTHING, Said};
use crate::source::show;
use crate::template::{Results, TooMany};
use bytes::Bytes;
use std::cmp::Ordering;

/// A result in the making.
pub(super) struct Expansion<'a> {
    ldap: &'a Ldap,
    key: &'a [u8],
    client: Client,
    results: Results<'a>,
}

/// What becomes of an attribute's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Result,
    /// They name other entries.
    Special,
    Nothing,
}

/// What an entry has, beside ordinary attributes.
#[derive(Clone, Copy, Debug)]
struct Nature {
    is_terminal: bool,
    is_leaf: bool,
}

impl<'a> Expansion<'a> {
    pub(super) fn new(ldap: &'a Ldap, key: &'a [u8], client: Client) -> Expansion<'a> {
        Expansion { ldap, key, client, results: ldap.form.results(key) }
    }

    pub(super) fn finish(self) -> (Client, Option<Bytes>) {
        (self.client, self.results.finish())
    }

    /// Adds what these entries say, at a depth of so many searches.
    pub(super) async fn add(&mut self, entries: Vec<Entry>, depth: i32) -> Result<(), Said> {
        let size_limit = self.ldap.settings.size_limit;
        for (n, entry) in entries.into_iter().enumerate() {
            if size_limit > 0 && n >= size_limit.unsigned_abs() as usize {
                return Err(
                    self.fail(depth, &format!("{}: Query size limit ({size_limit}) exceeded", self.name()))
                );
            }
            let nature = self.nature(&entry);
            for (name, values) in &entry.attributes {
                match self.use_of(name, nature) {
                    _ if values.is_empty() => {}
                    Use::Nothing => {}
                    Use::Result => self.add_values(values, depth)?,
                    Use::Special if depth < self.ldap.settings.recursion_limit => {
                        for value in values {
                            Box::pin(self.follow(value, depth)).await?;
                        }
                    }
                    Use::Special => {
                        let (table, value) = (self.name(), show(&values[0]));
                        let text =
                            format!("{table}: Recursion limit exceeded for special attribute {name}={value}");
                        return Err(self.fail(depth, &text));
                    }
                }
            }
        }
        Ok(())
    }

    fn name(&self) -> &'a str {
        &self.ldap.settings.name
    }

    fn nature(&self, entry: &Entry) -> Nature {
        let wanted = &self.ldap.settings.attributes;
        let has = |name: &String| {
            entry
                .attributes
                .iter()
                .any(|(seen, values)| seen.eq_ignore_ascii_case(name) && !values.is_empty())
        };
        let is_terminal = wanted.names[..wanted.terminal].iter().any(has);
        let is_group = wanted.leaf > 0 && !is_terminal && wanted.names[wanted.ordinary..].iter().any(has);
        Nature { is_terminal, is_leaf: !is_group }
    }

    fn use_of(&self, name: &str, nature: Nature) -> Use {
        let wanted = &self.ldap.settings.attributes;
        let at = wanted.names.iter().position(|one| compare(one, name).is_some_and(Ordering::is_ge));
        let Some(at) = at else { return Use::Nothing };
        if at >= wanted.ordinary {
            return if nature.is_terminal { Use::Nothing } else { Use::Special };
        }
        let is_passed_over = (nature.is_terminal && at >= wanted.terminal)
            || (!nature.is_leaf && at < wanted.terminal + wanted.leaf);
        if is_passed_over { Use::Nothing } else { Use::Result }
    }

    fn add_values(&mut self, values: &[Bytes], depth: i32) -> Result<(), Said> {
        for value in values {
            if let Err(TooMany) = self.results.add(value) {
                let (table, key) = (self.name(), show(self.key));
                return Err(self.fail(depth, &format!("{table}: Expansion limit exceeded for key: '{key}'")));
            }
        }
        Ok(())
    }

    /// What the entry, or the search, says that a value of a special attribute names.
    async fn follow(&mut self, value: &[u8], depth: i32) -> Result<(), Said> {
        let wanted = &self.ldap.settings.attributes.names;
        let text = show(value).into_owned();
        let search = match Url::is_url(&text) {
            true => match Url::parse(&text) {
                Ok(url) => match pertinent(&url.attributes, wanted) {
                    Some(attributes) => self.search_of(url, attributes),
                    None => return Ok(()),
                },
                Err(error) => {
                    let why = Code(error.0);
                    return Err(self.fail(depth, &format!("malformed URL {text}: {why}({})", error.0)));
                }
            },
            false => {
                Search { scope: Scope::Base, ..self.ldap.search(value.to_vec(), b"(objectclass=*)".to_vec()) }
            }
        };
        let found = self.ldap.search_all(&mut self.client, &search, MAX_HOPS).await;
        match found {
            Ok(entries) => self.add(entries, depth + 1).await,
            Err(Failure { code: code::NO_SUCH_OBJECT, .. }) => {
                self.ldap.warn(&format!("dict_ldap_get_values[{depth}]: DN {text} not found, skipping "));
                Ok(())
            }
            Err(failure) => {
                let Code(number) = failure.code;
                let _said = self.fail(depth, &format!("search error {number}: {} ", failure.code));
                Err(Said(failure.errno))
            }
        }
    }

    /// The search that a URL describes. Its server is the table's, as in Postfix.
    fn search_of(&self, url: Url, attributes: Vec<String>) -> Search {
        let filter = url.filter.unwrap_or_else(|| "(objectClass=*)".to_owned());
        Search {
            scope: url.scope.unwrap_or(Scope::Base),
            attributes,
            ..self.ldap.search(url.dn.into_bytes(), filter.into_bytes())
        }
    }

    fn fail(&self, depth: i32, text: &str) -> Said {
        self.ldap.warn(&format!("dict_ldap_get_values[{depth}]: {text}"));
        Said(NOTHING)
    }
}

/// The attributes that both a URL (empty: all) and the table name; None: there are none.
fn pertinent(named: &[String], wanted: &[String]) -> Option<Vec<String>> {
    if named.is_empty() {
        return Some(wanted.to_vec());
    }
    let mut both = Vec::new();
    for one in named {
        for other in wanted {
            match compare(one, other) {
                Some(Ordering::Less) => both.push(one.clone()),
                Some(_) => both.push(other.clone()),
                None => {}
            }
        }
    }
    (!both.is_empty()).then_some(both)
}

/// Whether a description is the other one (`mail`), or a more special one (Less: `mail;lang-en` of `mail`), or a more
/// general one (Greater). None: neither.
fn compare(one: &str, other: &str) -> Option<Ordering> {
    let is_general = |general: &str, special: &str| {
        let (head, rest) = match special.split_at_checked(general.len()) {
            Some(parts) => parts,
            None => return false,
        };
        head.eq_ignore_ascii_case(general) && rest.starts_with(';')
    };
    if one.eq_ignore_ascii_case(other) {
        Some(Ordering::Equal)
    } else if is_general(one, other) {
        Some(Ordering::Greater)
    } else if is_general(other, one) {
        Some(Ordering::Less)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions() {
        for (one, other, expect) in [
            ("mail", "MAIL", Some(Ordering::Equal)),
            ("mail", "mail;lang-en", Some(Ordering::Greater)),
            ("mail;lang-en", "mail", Some(Ordering::Less)),
            ("mail", "maildrop", None),
            ("mail;a", "mail;b", None),
        ] {
            assert_eq!(compare(one, other), expect, "{one} {other}");
        }
    }

    #[test]
    fn attributes_of_urls() {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (named, wanted, expect) in [
            ("", "mail member", Some("mail member")),
            ("cn mail", "mail member", Some("mail")),
            ("mail;x", "mail", Some("mail;x")),
            ("mail", "mail;x", Some("mail;x")),
            ("cn", "mail", None),
        ] {
            assert_eq!(pertinent(&list(named), &list(wanted)), expect.map(list), "{named}");
        }
    }
}
