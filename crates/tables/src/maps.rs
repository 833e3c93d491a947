//! A parameter's list of lookup tables, asked in order (`canonical_maps = hash:a, regexp:b`).

use crate::{Found, Lookup, Table, TryLater, braces};
use bytes::Bytes;
use mail::Address;
use mail::keys::{Extensions, Key, Search, address_keys};
use std::sync::Arc;

/// The elements of a list of tables or the like; separators within braces do not count.
pub fn split_list(text: &str) -> impl Iterator<Item = &str> {
    braces::elements(text)
}

/// Open tables under the name of their parameter.
#[derive(Clone, Default)]
pub struct Maps {
    parameter: &'static str,
    tables: Vec<Arc<dyn Table>>,
}

/// What a search for an address found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The right side, as it stands in the table; never empty.
    pub value: Bytes,
    /// What had been taken off the local part, with its delimiter; empty if nothing.
    pub extension: Vec<u8>,
}

impl Maps {
    /// `parameter` names the list in the log.
    pub fn new(parameter: &'static str, tables: Vec<Arc<dyn Table>>) -> Maps {
        Maps { parameter, tables }
    }

    /// These tables, then those; under the name of these.
    pub fn followed_by(mut self, others: Maps) -> Maps {
        self.tables.extend(others.tables);
        self
    }

    pub fn parameter(&self) -> &'static str {
        self.parameter
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The first table's answer that has one. Pattern tables are passed over unless `is_whole`. The error has a line or two
    /// for the log.
    ///
    /// An empty right side is a mistake of the table's: it counts as "try later", so that no mail is lost by it.
    pub async fn get(&self, key: &[u8], is_whole: bool) -> Found {
        if key.is_empty() {
            return Ok(None);
        }
        for table in self.tables.iter().filter(|table| is_whole || !table.is_pattern()) {
            match table.get(key).await {
                Ok(None) => {}
                Ok(Some(value)) if value.is_empty() => return Err(self.empty_result(key)),
                Ok(Some(value)) => return Ok(Some(value)),
                // The table has said why.
                Err(_) => return Err(lookup_error(&**table, key)),
            }
        }
        Ok(None)
    }

    /// [`Maps::get`] where nobody can wait: a table that does not answer at once counts as one that cannot be asked.
    pub fn get_now(&self, key: &[u8]) -> Found {
        for table in &self.tables {
            match table.get(key) {
                Lookup::Ready(Some(Ok(None)) | None) => {}
                Lookup::Ready(Some(Ok(Some(value)))) if !value.is_empty() => return Ok(Some(value)),
                Lookup::Ready(Some(Ok(Some(_)))) => return Err(self.empty_result(key)),
                Lookup::Ready(Some(Err(_))) | Lookup::Pending(_) => return Err(lookup_error(&**table, key)),
            }
        }
        Ok(None)
    }

    /// Looks for an address in all its forms. `domain_is_local` says whether the bare local part is one of them.
    pub async fn find(
        &self,
        address: &Address,
        search: Search,
        extensions: &Extensions,
        domain_is_local: bool,
    ) -> Result<Option<Hit>, TryLater> {
        if self.is_empty() {
            return Ok(None);
        }
        for Key { text, is_whole, extension } in address_keys(address, search, extensions, domain_is_local) {
            if let Some(value) = self.get(&text, is_whole).await? {
                return Ok(Some(Hit { value, extension: extension.unwrap_or_default().to_vec() }));
            }
        }
        Ok(None)
    }

    fn empty_result(&self, key: &[u8]) -> TryLater {
        let (parameter, key) = (self.parameter, String::from_utf8_lossy(key));
        TryLater(format!(
            "{parameter} lookup of {key} returns an empty string result\n\
             {parameter} should return NO RESULT in case of NOT FOUND"
        ))
    }
}

fn lookup_error(table: &dyn Table, key: &[u8]) -> TryLater {
    TryLater(format!("{} lookup error for \"{}\"", table.name(), String::from_utf8_lossy(key)))
}

impl std::fmt::Debug for Maps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.tables.iter().map(|table| table.name());
        f.debug_struct(self.parameter).field("tables", &names.collect::<Vec<_>>()).finish()
    }
}
