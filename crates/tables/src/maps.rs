//! A list of tables, as a parameter like `virtual_alias_maps` names them, asked one after the other.

use crate::{Found, OpenContext, Report, Severity, Table, TryLater, braces, open_or_defer};
use bytes::Bytes;
use mail::keys::Key;
use std::sync::Arc;

/// The tables of one parameter.
#[derive(Clone)]
pub struct Maps {
    /// The parameter's name.
    title: String,
    tables: Vec<Arc<dyn Table>>,
    report: Report,
}

/// The elements of a list of tables or the like; separators within braces do not count.
pub fn split_list(text: &str) -> impl Iterator<Item = &str> {
    braces::elements(text)
}

impl Maps {
    /// Opens each table of the list; those that cannot be used now answer "try later".
    pub fn open(title: &str, list: &str, context: &OpenContext) -> Maps {
        let tables = split_list(list).map(|spec| open_or_defer(spec, context)).collect();
        Maps { title: title.to_owned(), tables, report: context.report.clone() }
    }

    pub fn new(title: &str, tables: Vec<Arc<dyn Table>>, report: Report) -> Maps {
        Maps { title: title.to_owned(), tables, report }
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The first table's answer. Parts of a name (not `is_whole`) are not looked up in pattern tables.
    pub async fn find(&self, key: &[u8], is_whole: bool) -> Found {
        Ok(self.find_in(key, is_whole).await?.map(|(value, _)| value))
    }

    /// The first answer for any of the keys, and which one it was for.
    pub async fn find_keys<'k, 'a>(
        &self,
        keys: &'k [Key<'a>],
    ) -> Result<Option<(Bytes, &'k Key<'a>)>, TryLater> {
        for key in keys {
            if let Some(value) = self.find(&key.text, key.is_whole).await? {
                return Ok(Some((value, key)));
            }
        }
        Ok(None)
    }

    /// As [`Maps::find`], with the table that answered.
    pub async fn find_in(&self, key: &[u8], is_whole: bool) -> Result<Option<(Bytes, &dyn Table)>, TryLater> {
        if key.is_empty() {
            return Ok(None);
        }
        for table in &self.tables {
            if !is_whole && table.is_pattern() {
                continue;
            }
            match table.get(key).await {
                Ok(None) => {}
                Ok(Some(value)) if value.is_empty() => return Err(self.refuse_empty(key)),
                Ok(Some(value)) => return Ok(Some((value, table.as_ref()))),
                Err(later) => {
                    let key = String::from_utf8_lossy(key);
                    self.warn(&format!("{} lookup error for \"{key}\"", table.name()));
                    return Err(later);
                }
            }
        }
        Ok(None)
    }

    fn refuse_empty(&self, key: &[u8]) -> TryLater {
        let (title, key) = (&self.title, String::from_utf8_lossy(key));
        let text = format!("{title} lookup of {key} returns an empty string result");
        self.warn(&text);
        self.warn(&format!("{title} should return NO RESULT in case of NOT FOUND"));
        TryLater(text)
    }

    fn warn(&self, text: &str) {
        (self.report)(Severity::Warning, text);
    }
}
