//! Lists of names: `mydestination`, `virtual_mailbox_domains`, `relay_domains`, `masquerade_exceptions`.
//!
//! Lists of networks are not here: no address is rewritten or resolved by them.

use mail::keys::{Parents, domain_keys};
use std::sync::Arc;
use tables::{Table, TryLater};

/// Patterns in order; the first that matches decides.
#[derive(Clone, Default)]
pub struct NameList {
    items: Vec<Item>,
    parents: Option<Parents>,
}

/// A pattern, and what it means for the list: no if there was a `!` before it.
#[derive(Clone)]
pub struct Item {
    pub matches: bool,
    pub pattern: Pattern,
}

/// What a name is compared with.
#[derive(Clone)]
pub enum Pattern {
    /// In lower case.
    Name(String),
    /// A table that has the name as a key, whatever its right side.
    Table(Arc<dyn Table>),
    /// A file that could not be read: whoever gets so far has to try later.
    Broken(String),
}

impl NameList {
    /// A list whose patterns stand for themselves only.
    pub fn exact(items: Vec<Item>) -> NameList {
        NameList { items, parents: None }
    }

    /// A list of domains that may stand for their subdomains (`parent_domain_matches_subdomains`).
    pub fn domains(items: Vec<Item>, parents: Parents) -> NameList {
        NameList { items, parents: Some(parents) }
    }

    /// A list of plain names that stand for themselves only.
    pub fn of_names(names: &[&str]) -> NameList {
        let item = |name: &&str| Item { matches: true, pattern: Pattern::Name(name.to_ascii_lowercase()) };
        NameList::exact(names.iter().map(item).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the name is in the list. An error says what of the list cannot be asked.
    pub async fn has(&self, name: &[u8]) -> Result<bool, TryLater> {
        for item in &self.items {
            let is_match = match &item.pattern {
                Pattern::Name(pattern) => self.name_matches(pattern.as_bytes(), name),
                Pattern::Table(table) => self.table_has(&**table, name).await?,
                Pattern::Broken(why) => return Err(TryLater(why.clone())),
            };
            if is_match {
                return Ok(item.matches);
            }
        }
        Ok(false)
    }

    fn name_matches(&self, pattern: &[u8], name: &[u8]) -> bool {
        if pattern.eq_ignore_ascii_case(name) {
            return true;
        }
        let Some(parents) = self.parents else { return false };
        let Some(head_len) = name.len().checked_sub(pattern.len()).filter(|len| *len > 0) else {
            return false;
        };
        let (head, tail) = name.split_at(head_len);
        tail.eq_ignore_ascii_case(pattern)
            && match parents {
                Parents::Plain => head.ends_with(b"."),
                Parents::Dotted => pattern.starts_with(b"."),
            }
    }

    async fn table_has(&self, table: &dyn Table, name: &[u8]) -> Result<bool, TryLater> {
        let Some(parents) = self.parents else { return has_key(table, name).await };
        for key in domain_keys(name, parents) {
            if (key.is_whole || !table.is_pattern()) && has_key(table, &key.text).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

async fn has_key(table: &dyn Table, key: &[u8]) -> Result<bool, TryLater> {
    // The table has said why.
    let failed = |_| TryLater(format!("{}: table lookup problem", table.name()));
    Ok(table.get(key).await.map_err(failed)?.is_some())
}
