//! `inline:{ key=value, { key = value with blanks } }`: a table in main.cf itself.

use crate::file_values::value_or_file;
use crate::fold::fold;
use crate::open::OpenError;
use crate::{Lookup, OpenContext, Owner, Table, TryLater, braces};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The keys are folded as they are when they are looked up.
type Memory = BTreeMap<Box<[u8]>, Bytes>;

struct Inline {
    name: String,
    entries: Memory,
}

pub(crate) fn open(text: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let name = format!("inline:{text}");
    let inside = match braces::inside(text) {
        Ok(inside) if !inside.is_empty() => inside,
        _ => return Err(bad(format!("bad syntax: \"{name}\"; need \"inline:{{name=value...}}\""))),
    };
    let value = if context.values_are_files { "filename" } else { "value" };
    let explain = |why: String| bad(format!("{why}: \"{name}\"; need \"inline:{{name={value}...}}\""));
    let entries = parse(inside, context).map_err(explain)?;
    if entries.is_empty() {
        return Err(explain("empty table".to_owned()));
    }
    Ok(Arc::new(Inline { name, entries }))
}

fn bad(text: String) -> OpenError {
    OpenError::Unusable(text)
}

fn parse(inside: &str, context: &OpenContext) -> Result<Memory, String> {
    let mut entries = Memory::new();
    for element in braces::elements(inside) {
        let pair = if element.starts_with('{') { braces::strip(element)? } else { element };
        let (key, value) = braces::name_value(pair)?;
        let value = value_or_file(value.as_bytes(), context)?;
        entries.insert(key_as_stored(key.as_bytes(), context).into(), value);
    }
    Ok(entries)
}

/// A key as it is stored in memory: folded if lookups are.
pub(crate) fn key_as_stored(key: &[u8], context: &OpenContext) -> Vec<u8> {
    match fold(key, context.fold_keys, context.smtputf8_enable) {
        Some(folded) => folded.into_owned(),
        None => key.to_vec(),
    }
}

impl Table for Inline {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        Lookup::ready(Ok(self.entries.get(key).cloned()))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        self.entries.iter().for_each(|(key, value)| visit(key, value));
        Some(Ok(()))
    }

    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}
