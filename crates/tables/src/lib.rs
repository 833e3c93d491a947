//! Lookup tables: `hash:/etc/postfix/access` and its kind.
//!
//! [`Table::get`] is an exact lookup of one key. Search orders (full address, without extension, `@domain`, parent
//! domains) are `mail::keys`' job; [`Maps`] asks a list of tables for such keys. A lookup has three ends: found, not
//! found, try later; nothing here turns the third into the second.
//!
//! [`open`] opens a table by its type. A file that changes is noticed at the next lookup and read again whole
//! (`watched`); keys are folded in one place (`fold`). What builds and changes files for postmap(1) and postalias(1) is
//! in `edit`.

mod bdb;
mod braces;
mod cdb;
mod cidr;
mod client;
mod compound;
mod constant;
mod context;
mod db_table;
mod domains;
pub mod edit;
mod file_values;
mod fold;
mod inline;
mod lmdb;
mod maps;
mod nul;
mod open;
mod parameters;
mod pattern;
mod proxy;
mod replace;
mod rules;
pub mod servers;
mod socketmap;
pub mod source;
mod sqlite;
mod system;
mod tcp;
mod template;
mod texthash;
mod watched;

pub use context::{Duplicates, MainCf, OpenContext, OpenFile, Report, Severity, SourceFormat, Terminators};
pub use maps::{Hit, Maps, split_list};
pub use open::{OpenError, known_types, open, open_or_defer};

use bytes::Bytes;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Runtime;

/// An open table.
pub trait Table: Send + Sync {
    /// Looks up exactly this key (case folding is the table's own business, as its type demands). A pending lookup
    /// does nothing until it is polled.
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a>;

    /// `type:name`, as warnings and logs name it.
    fn name(&self) -> &str;

    /// Whether this is a pattern table (regexp, pcre, cidr, tcp …), which is asked for whole keys only, never for parts.
    fn is_pattern(&self) -> bool {
        false
    }

    /// Calls `visit` with each key and value. None: this type of table cannot be listed.
    fn visit(&self, _visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        None
    }

    /// Whose word this is.
    fn owner(&self) -> Owner {
        Owner::Unknown
    }
}

/// Who may have written what a table says: local(8) runs its commands with that user's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// root, or the configuration itself.
    Trusted,
    /// The user that owns the file.
    User(u32),
    /// A server, say.
    Unknown,
}

impl Owner {
    pub(crate) fn of(uid: u32) -> Owner {
        if uid == 0 { Owner::Trusted } else { Owner::User(uid) }
    }
}

/// Found, not found, or try later.
pub type Found = Result<Option<Bytes>, TryLater>;

/// The table could not be asked. The message says which table and why; callers answer 4xx or defer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TryLater(pub String);

impl std::fmt::Display for TryLater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TryLater {}

/// A lookup under way. Files answer at once and cost no allocation; servers are waited for.
pub enum Lookup<'a> {
    Ready(Option<Found>),
    Pending(Pin<Box<dyn Future<Output = Found> + Send + 'a>>),
}

impl Lookup<'_> {
    pub fn ready(found: Found) -> Self {
        Lookup::Ready(Some(found))
    }
}

impl Future for Lookup<'_> {
    type Output = Found;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Found> {
        match &mut *self {
            Lookup::Ready(found) => Poll::Ready(found.take().expect("polled once after it was ready")),
            Lookup::Pending(future) => future.as_mut().poll(context),
        }
    }
}

thread_local! {
    /// For programs without a runtime: one for all lookups, since a table's connections live as long as theirs.
    static RUNTIME: io::Result<Runtime> = tokio::runtime::Builder::new_current_thread().enable_all().build();
}

/// Looks up a key and waits for the answer. For programs without a runtime; on a runtime's thread it would panic.
pub fn get_now(table: &dyn Table, key: &[u8]) -> Found {
    let pending = match table.get(key) {
        Lookup::Ready(Some(found)) => return found,
        pending => pending,
    };
    RUNTIME.with(|runtime| match runtime {
        Ok(runtime) => runtime.block_on(pending),
        Err(error) => Err(TryLater(format!("{}: {}", table.name(), error_text(error)))),
    })
}

/// What some of Postfix's messages call a table: with its database file's suffix.
pub fn label(name: &str) -> String {
    let suffix = match name.split_once(':') {
        Some(("hash" | "btree", _)) => ".db",
        Some(("cdb", _)) => ".cdb",
        _ => "",
    };
    format!("{name}{suffix}")
}

/// The content of the files that a value names, as it is stored in a table whose values are files.
pub fn file_to_value(paths: &[u8]) -> Result<Bytes, String> {
    file_values::read_files(paths, &|path: &std::path::Path| std::fs::File::open(path))
}

/// An error as strerror(3) words it, which is how Postfix reports it: without Rust's `(os error 2)`.
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) if error.raw_os_error().is_some() => text[..at].to_owned(),
        _ => text,
    }
}

/// Opens a table whose name may be anything, and asks it; for the fuzz target of that name. Names of files and servers
/// are left alone.
pub fn fuzz_open(data: &[u8]) {
    let spec = String::from_utf8_lossy(data);
    let has_text = ["inline:", "static:", "cidr:{", "regexp:{", "pcre:{", "randmap:"];
    let elements = spec.split_once('{').map_or("", |(_, inside)| inside);
    let is_of_others = ["unionmap:{", "pipemap:{"].iter().any(|kind| spec.starts_with(kind))
        && split_list(elements.trim_end_matches('}'))
            .all(|one| has_text.iter().any(|kind| one.starts_with(kind)));
    if !is_of_others && !has_text.iter().any(|kind| spec.starts_with(kind)) {
        return;
    }
    let context = OpenContext::plain(std::sync::Arc::new(|_, _: &str| {}));
    if let Ok(table) = open(&spec, &context) {
        for key in [&b""[..], b"a", b"192.0.2.1", b"::1", data] {
            let _any = get_now(table.as_ref(), key);
        }
    }
}

/// Reads a cdb file that may be anything; for the fuzz target of that name.
pub fn fuzz_cdb(data: &[u8]) {
    cdb::fuzz(data);
}

/// Reads a Berkeley DB file that may be anything; for the fuzz target of that name.
pub fn fuzz_database(data: &[u8]) {
    with_file(data, bdb::fuzz);
}

/// Reads an LMDB file that may be anything; for the fuzz target of that name.
pub fn fuzz_lmdb(data: &[u8]) {
    with_file(data, lmdb::fuzz);
}

/// Reads what servers say that may be anything; for the fuzz target of that name.
pub fn fuzz_servers(data: &[u8]) {
    servers::fuzz(data);
}

fn with_file(data: &[u8], read: fn(std::fs::File)) {
    use io::{Seek, Write};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    if let Ok(mut file) = memfd_create("fuzz", MFdFlags::empty()).map(std::fs::File::from)
        && file.write_all(data).is_ok()
        && file.rewind().is_ok()
    {
        read(file);
    }
}
