//! `texthash:`: a source file read into memory; also the source of a database that is missing.

use crate::file_values::value_or_file;
use crate::inline::key_as_stored;
use crate::open::OpenError;
use crate::source::table::{Entries, For};
use crate::source::{Item, aliases, show};
use crate::watched::{Content, FindError, Load, LoadError, Loaded, Stamp, Watched};
use crate::{Duplicates, OpenContext, Owner, SourceFormat, Table, error_text};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) fn open(path: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let (path, name) = (PathBuf::from(path), format!("texthash:{path}"));
    let (load_path, load_context) = (path.clone(), context.clone());
    let load: Load = Box::new(move |_| load_texthash(&load_path, &load_context));
    Watched::open(name, false, vec![path], load, context).map_err(OpenError::Unusable)
}

fn load_texthash(path: &Path, context: &OpenContext) -> Result<Loaded, LoadError> {
    let (text, metadata) = read(path, context).map_err(|error| {
        let doing = if error.kind() == io::ErrorKind::IsADirectory { "read" } else { "open database" };
        LoadError::Unusable(format!("{doing} {}: {}", path.display(), error_text(&error)))
    })?;
    let shown = path.display().to_string();
    let entries = Entries::new(&shown, &text, context.smtputf8_enable, For::Texthash);
    let memory = parse(entries, &text, &shown, context).map_err(LoadError::Unusable)?;
    Ok(loaded(memory, 0, &metadata))
}

/// The source of a missing database, as postmap(1) or postalias(1) would read it. `file` is its place among the files
/// that are watched.
pub(crate) fn load_source(path: &Path, file: usize, context: &OpenContext) -> io::Result<Loaded> {
    let (text, metadata) = read(path, context)?;
    let shown = path.display().to_string();
    let context = OpenContext { duplicates: Duplicates::Warn, ..context.clone() };
    let utf8 = context.smtputf8_enable;
    let memory = match context.source_format {
        SourceFormat::Table => {
            parse(Entries::new(&shown, &text, utf8, For::Postmap), &text, &shown, &context)
        }
        SourceFormat::Aliases => parse(aliases::Entries::new(&shown, &text, utf8), &text, &shown, &context),
    };
    let memory = memory.map_err(io::Error::other)?;
    Ok(loaded(memory, file, &metadata))
}

fn read(path: &Path, context: &OpenContext) -> io::Result<(Bytes, Metadata)> {
    let mut file = (context.open_file)(path)?;
    let metadata = file.metadata()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok((text.into(), metadata))
}

fn loaded(memory: Memory, file: usize, metadata: &Metadata) -> Loaded {
    Loaded {
        content: Box::new(Text(memory)),
        stamp: Some(Stamp::new(file, metadata)),
        owner: Owner::of(metadata.uid()),
    }
}

/// Keys, folded as they are when they are looked up, and values, most of which are parts of the text.
type Memory = HashMap<Box<[u8]>, Bytes>;

fn parse<'a>(
    items: impl Iterator<Item = Item<'a>>,
    text: &Bytes,
    path: &str,
    context: &OpenContext,
) -> Result<Memory, String> {
    let mut memory = Memory::new();
    for item in items {
        let entry = match item {
            Item::Entry(entry) => entry,
            Item::Warning(text) => {
                context.warn(&text);
                continue;
            }
        };
        let line = entry.line;
        let value = match entry.value {
            Cow::Borrowed(value) if !context.values_are_files => Ok(text.slice_ref(value)),
            ref value => value_or_file(value, context),
        };
        let value = match value {
            Ok(value) => value,
            Err(why) => {
                context.warn(&format!("{path}, line {line}: {why}: skipping this entry"));
                continue;
            }
        };
        match memory.entry(key_as_stored(&entry.key, context).into()) {
            Place::Vacant(place) => {
                place.insert(value);
                continue;
            }
            Place::Occupied(mut place) if context.duplicates == Duplicates::Replace => {
                place.insert(value);
                continue;
            }
            Place::Occupied(_) => {}
        }
        let duplicate = format!("{path}, line {line}: duplicate entry: \"{}\"", show(&entry.key));
        match context.duplicates {
            Duplicates::Refuse => return Err(duplicate),
            Duplicates::Warn => context.warn(&duplicate),
            Duplicates::Ignore | Duplicates::Replace => {}
        }
    }
    Ok(memory)
}

struct Text(Memory);

impl Content for Text {
    fn find(&self, key: &[u8]) -> Result<Option<Bytes>, FindError> {
        Ok(self.0.get(key).cloned())
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), String>> {
        // Postfix's order is a random one.
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort_unstable();
        pairs.iter().for_each(|(key, value)| visit(key, value));
        Some(Ok(()))
    }
}
