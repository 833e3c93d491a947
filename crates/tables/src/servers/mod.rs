//! Tables that ask servers: mysql_table(5), pgsql_table(5), ldap_table(5), memcache_table(5).
//!
//! The protocols are ours: a few messages each, over the streams of `client` and the system's OpenSSL. What a key goes
//! into and what comes out is the same for all (`template`). A program names [`ALL`] in its
//! [`OpenContext`] to have them; set-gid programs do not.
//!
//! A connection belongs to the runtime that it was made on (`pool`).

#[cfg(feature = "ldap")]
mod ldap;
#[cfg(feature = "memcache")]
mod memcache;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "pgsql")]
mod pgsql;
mod pool;
#[cfg(any(feature = "mysql", feature = "pgsql"))]
mod sql;
#[cfg(any(feature = "mysql", feature = "pgsql", feature = "ldap"))]
mod tls;

use crate::open::OpenError;
use crate::parameters::{Parameters, is_path};
use crate::watched::Stamp;
use crate::{Lookup, OpenContext, Owner, Table, TryLater};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// A type of table that asks a server.
pub struct ServerType {
    pub(crate) kind: &'static str,
    open: Open,
}

/// An error is Postfix's words for what ends its process.
type Open = fn(Parameters, &OpenContext) -> Result<Arc<dyn Find>, String>;

/// All of them.
pub static ALL: &[ServerType] = &[
    #[cfg(feature = "ldap")]
    ServerType { kind: "ldap", open: ldap::open },
    #[cfg(feature = "memcache")]
    ServerType { kind: "memcache", open: memcache::open },
    #[cfg(feature = "mysql")]
    ServerType { kind: "mysql", open: mysql::open },
    #[cfg(feature = "pgsql")]
    ServerType { kind: "pgsql", open: pgsql::open },
];

/// What asks one server, as its parameters say.
trait Find: Send + Sync {
    fn find<'a>(&'a self, key: &'a [u8]) -> Lookup<'a>;

    /// None: cannot be listed.
    fn visit(&self, _visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        None
    }
}

/// The table; its file of parameters is read again when it has changed, since the worker lives long.
struct Server {
    name: String,
    server: &'static ServerType,
    context: OpenContext,
    state: RwLock<State>,
}

struct State {
    find: Result<Arc<dyn Find>, String>,
    owner: Owner,
    stamp: Option<Stamp>,
}

pub(crate) fn open(
    server: &'static ServerType,
    name: &str,
    context: &OpenContext,
) -> Result<Arc<dyn Table>, OpenError> {
    let state = load(server, name, context).map_err(OpenError::Unusable)?;
    let (name, context) = (format!("{}:{name}", server.kind), context.clone());
    Ok(Arc::new(Server { name, server, context, state: RwLock::new(state) }))
}

fn load(server: &ServerType, name: &str, context: &OpenContext) -> Result<State, String> {
    let (parameters, owner, metadata) = Parameters::read(name, context)?;
    let stamp = metadata.map(|metadata| Stamp::new(0, &metadata));
    Ok(State { find: Ok((server.open)(parameters, context)?), owner, stamp })
}

impl Server {
    fn current(&self) -> Result<Arc<dyn Find>, TryLater> {
        if self.is_changed() {
            self.reload();
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.find.clone().map_err(|why| {
            let text = format!("{} is unavailable. {why}", self.name);
            self.context.warn(&text);
            TryLater(text)
        })
    }

    fn parameters(&self) -> &str {
        self.name.split_once(':').map_or("", |(_, name)| name)
    }

    fn is_changed(&self) -> bool {
        let name = self.parameters();
        if !self.context.watch_files || !is_path(name) {
            return false;
        }
        // A file that cannot be looked at says nothing new.
        let seen = Path::new(name).metadata().ok().map(|metadata| Stamp::new(0, &metadata));
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        seen.is_some() && seen != state.stamp
    }

    fn reload(&self) {
        let seen = Path::new(self.parameters()).metadata().ok().map(|metadata| Stamp::new(0, &metadata));
        let new = load(self.server, self.parameters(), &self.context);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = new.unwrap_or_else(|why| State { find: Err(why), owner: Owner::Unknown, stamp: seen });
    }
}

impl Table for Server {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        match self.current() {
            Ok(find) => Lookup::Pending(Box::pin(async move { find.find(key).await })),
            Err(later) => Lookup::ready(Err(later)),
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        match self.current() {
            Ok(find) => find.visit(visit),
            Err(later) => Some(Err(later)),
        }
    }

    fn owner(&self) -> Owner {
        self.state.read().unwrap_or_else(PoisonError::into_inner).owner
    }
}

/// What errno says where Postfix's own would not tell anything.
const NOTHING: &str = "Application error";

/// A lookup that failed, as callers hear of it.
fn later(table: &str, why: &str) -> TryLater {
    TryLater(format!("{table}: {why}"))
}

/// Reads what servers say that may be anything.
pub(crate) fn fuzz(data: &[u8]) {
    #[cfg(feature = "ldap")]
    ldap::fuzz(data);
    #[cfg(feature = "mysql")]
    mysql::fuzz(data);
    #[cfg(feature = "pgsql")]
    pgsql::fuzz(data);
}
