//! Tables made of tables: `unionmap:{ … }` joins all answers, `pipemap:{ … }` looks up each answer in the next one;
//! and `randmap:{ … }`, which gives one of its values.

use crate::file_values::value_or_file;
use crate::open::{OpenError, open};
use crate::{Found, Lookup, OpenContext, Owner, Table, TryLater, braces};
use bytes::Bytes;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tables within tables, at most.
const DEPTH_LIMIT: u32 = 16;

struct Compound {
    name: String,
    tables: Vec<Arc<dyn Table>>,
    combine: Combine,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Combine {
    Union,
    Pipe,
}

pub(crate) fn open_union(text: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    open_compound("unionmap", text, Combine::Union, context)
}

pub(crate) fn open_pipe(text: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    open_compound("pipemap", text, Combine::Pipe, context)
}

fn open_compound(
    kind: &str,
    text: &str,
    combine: Combine,
    context: &OpenContext,
) -> Result<Arc<dyn Table>, OpenError> {
    let name = format!("{kind}:{text}");
    let bad = || OpenError::Unusable(format!("bad syntax: \"{name}\"; need \"{kind}:{{type:name...}}\""));
    let specs: Vec<&str> = braces::elements(braces::inside(text).map_err(|_| bad())?).collect();
    if specs.is_empty() || specs.iter().any(|spec| !spec.contains(':')) || depth(text) > DEPTH_LIMIT {
        return Err(bad());
    }
    let tables = specs.iter().map(|spec| open(spec, context)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Compound { name, tables, combine }))
}

/// How deep braces are nested.
fn depth(text: &str) -> u32 {
    let (mut level, mut deepest) = (0_u32, 0);
    for octet in text.bytes() {
        match octet {
            b'{' => level += 1,
            b'}' => level = level.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

impl Compound {
    /// What one of the tables says; its trouble is this table's.
    async fn ask(&self, table: &dyn Table, key: &[u8]) -> Found {
        table.get(key).await.map_err(|TryLater(text)| {
            let why = text.strip_prefix(table.name()).and_then(|rest| rest.strip_prefix(": "));
            TryLater(why.map_or(text.clone(), |why| format!("{}: {why}", self.name)))
        })
    }

    async fn join(&self, key: &[u8]) -> Found {
        let mut joined = Vec::new();
        for table in &self.tables {
            if let Some(value) = self.ask(&**table, key).await? {
                if !joined.is_empty() {
                    joined.push(b',');
                }
                joined.extend_from_slice(&value);
            }
        }
        Ok((!joined.is_empty()).then(|| joined.into()))
    }

    async fn chain(&self, key: &[u8]) -> Found {
        let mut value = Bytes::copy_from_slice(key);
        for table in &self.tables {
            let query = value;
            match self.ask(&**table, &query).await? {
                Some(found) => value = found,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }
}

impl Table for Compound {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        Lookup::Pending(match self.combine {
            Combine::Union => Box::pin(self.join(key)),
            Combine::Pipe => Box::pin(self.chain(key)),
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// As the first table.
    fn is_pattern(&self) -> bool {
        self.tables.first().is_some_and(|table| table.is_pattern())
    }

    /// As the table that is trusted least.
    fn owner(&self) -> Owner {
        let trust = |owner: &Owner| match owner {
            Owner::Trusted => 2,
            Owner::User(_) => 1,
            Owner::Unknown => 0,
        };
        let mut owners: Vec<Owner> = self.tables.iter().map(|table| table.owner()).collect();
        owners.sort_by_key(trust);
        match owners[..] {
            // Files of two users: neither can answer for both.
            [Owner::User(one), Owner::User(other), ..] if one != other => Owner::Unknown,
            [least, ..] => least,
            [] => Owner::Unknown,
        }
    }
}

struct Random {
    name: String,
    values: Vec<Bytes>,
    state: AtomicU64,
}

pub(crate) fn open_random(text: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let name = format!("randmap:{text}");
    let bad = || OpenError::Unusable(format!("bad syntax: \"{name}\"; need \"randmap:{{value...}}\""));
    let inside = braces::inside(text).map_err(|_| bad())?;
    let values = braces::elements(inside).map(|value| value_or_file(value.as_bytes(), context));
    let values = values.collect::<Result<Vec<_>, _>>().map_err(OpenError::Unusable)?;
    if values.is_empty() {
        return Err(bad());
    }
    let state = AtomicU64::new(RandomState::new().hash_one(0));
    Ok(Arc::new(Random { name, values, state }))
}

impl Random {
    /// Numbers as even as spreading a load needs (a Weyl sequence, mixed).
    fn next(&self) -> u64 {
        let weyl = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (weyl ^ (weyl >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }
}

impl Table for Random {
    fn get<'a>(&'a self, _key: &'a [u8]) -> Lookup<'a> {
        let at = self.next() % self.values.len() as u64;
        Lookup::ready(Ok(self.values.get(at as usize).cloned()))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_pattern(&self) -> bool {
        true
    }

    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}
