//! From `type:name` to a table.

use crate::bdb::Method;
use crate::{Lookup, OpenContext, Owner, Severity, Table, TryLater};
use crate::{
    cdb, cidr, compound, constant, db_table, file_values, fold, inline, lmdb, pattern, proxy, servers,
    socketmap, sqlite, system, tcp, texthash,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Why a table could not be opened, in Postfix's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Not `type:name`. Postfix ends the process for this one.
    Form(String),
    /// No such type here.
    UnsupportedType(String),
    /// The file is missing, the text does not parse, and so on.
    Unusable(String),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::Form(spec) => {
                write!(f, "open dictionary: expecting \"type:name\" form instead of \"{spec}\"")
            }
            OpenError::UnsupportedType(kind) => write!(f, "unsupported dictionary type: {kind}"),
            OpenError::Unusable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for OpenError {}

/// Opens what `hash:/etc/postfix/access` names; it has to be usable now.
pub fn open(spec: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let (kind, name) = match spec.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => (kind, name),
        _ => return Err(OpenError::Form(spec.to_owned())),
    };
    let table = fold::wrap(open_type(kind, name, context)?, context);
    // Tables within these are opened as any other, and have their values decoded there.
    let is_of_others = matches!(kind, "unionmap" | "pipemap" | "proxy");
    Ok(if is_of_others { table } else { file_values::wrap(table, context) })
}

/// Opens a table for a server: what cannot be used now is logged, answers "try later", and is opened again now and then.
pub fn open_or_defer(spec: &str, context: &OpenContext) -> Arc<dyn Table> {
    match open(spec, context) {
        Ok(table) => table,
        Err(error) => {
            (context.report)(Severity::Fatal, &error.to_string());
            let state = Mutex::new(Attempt { error, at: Instant::now(), table: None });
            Arc::new(Deferred { spec: spec.to_owned(), context: context.clone(), state })
        }
    }
}

fn open_type(kind: &str, name: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    match kind {
        "hash" => db_table::open(Method::Hash, name, context),
        "btree" => db_table::open(Method::Btree, name, context),
        "texthash" => texthash::open(name, context),
        "static" => constant::open_static(name, context),
        "inline" => inline::open(name, context),
        "fail" => Ok(constant::open_fail(name)),
        "cdb" => cdb::open(name, context),
        "cidr" => cidr::open(name, context),
        "lmdb" => lmdb::open(name, context),
        "regexp" => pattern::open_regexp(name, context),
        "pcre" => pattern::open_pcre(name, context),
        "unionmap" => compound::open_union(name, context),
        "pipemap" => compound::open_pipe(name, context),
        "randmap" => compound::open_random(name, context),
        "environ" => Ok(system::open_environ(name)),
        "internal" => Ok(system::open_internal(name)),
        "nis" => system::open_nis(name, context),
        "unix" => system::open_unix(name),
        "proxy" => proxy::open_proxy(name, context),
        "socketmap" => socketmap::open(name, context),
        "sqlite" => sqlite::open(name, context),
        "tcp" => tcp::open(name, context),
        _ => match context.servers.iter().find(|one| one.kind == kind) {
            Some(server) => servers::open(server, name, context),
            None => Err(OpenError::UnsupportedType(kind.to_owned())),
        },
    }
}

/// All types there are, sorted, as `postconf -m` lists them.
pub fn known_types() -> &'static [&'static str] {
    &[
        "btree",
        "cdb",
        "cidr",
        "environ",
        "fail",
        "hash",
        "inline",
        "internal",
        "ldap",
        "lmdb",
        "memcache",
        "mysql",
        "nis",
        "pcre",
        "pgsql",
        "pipemap",
        "proxy",
        "randmap",
        "regexp",
        "socketmap",
        "sqlite",
        "static",
        "tcp",
        "texthash",
        "unionmap",
        "unix",
    ]
}

/// How often an unusable table is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A table that could not be opened.
struct Deferred {
    spec: String,
    context: OpenContext,
    state: Mutex<Attempt>,
}

struct Attempt {
    error: OpenError,
    at: Instant,
    table: Option<Arc<dyn Table>>,
}

impl Deferred {
    /// The table, if it can be opened by now.
    fn table(&self) -> Result<Arc<dyn Table>, TryLater> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.table.is_none() && state.at.elapsed() >= RETRY {
            state.at = Instant::now();
            match open(&self.spec, &self.context) {
                Ok(table) => state.table = Some(table),
                Err(error) => state.error = error,
            }
        }
        match &state.table {
            Some(table) => Ok(Arc::clone(table)),
            None => {
                let text = format!("{} is unavailable. {}", self.spec, state.error);
                self.context.warn(&text);
                Err(TryLater(text))
            }
        }
    }
}

impl Table for Deferred {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        let table = match self.table() {
            Ok(table) => table,
            Err(later) => return Lookup::ready(Err(later)),
        };
        if let Lookup::Ready(found) = table.get(key) {
            return Lookup::Ready(found);
        }
        Lookup::Pending(Box::pin(async move { table.get(key).await }))
    }

    fn name(&self) -> &str {
        &self.spec
    }

    /// Postfix: while it cannot be opened it is taken for a pattern table, and not asked for parts of a key.
    fn is_pattern(&self) -> bool {
        self.table_if_open().is_none_or(|table| table.is_pattern())
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        match self.table() {
            Ok(table) => table.visit(visit),
            Err(later) => Some(Err(later)),
        }
    }

    fn owner(&self) -> Owner {
        self.table_if_open().map_or(Owner::Unknown, |table| table.owner())
    }
}

impl Deferred {
    fn table_if_open(&self) -> Option<Arc<dyn Table>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).table.clone()
    }
}
