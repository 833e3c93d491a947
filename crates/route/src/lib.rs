//! Rewriting and resolving: what an address becomes, and where mail for it goes.
//!
//! The order is Postfix's. Every address is brought to its standard form first ([`standard`]). What `cleanup` does to
//! envelopes and headers ([`headers`]) follows: canonical maps, masquerading ([`canonical`]), automatic BCC ([`bcc`]), virtual aliases
//! ([`virtual_alias`]). Resolving ([`resolve`]) comes when mail is received, to judge it, and again when it is to be
//! delivered: class, transport, nexthop. The SMTP client has its generic maps ([`generic`]).
//!
//! Tables are open when they get here, and every question ends as their lookups do: found, not found, or try later.

pub mod bcc;
pub mod canonical;
pub mod generic;
pub mod headers;
pub mod listed;
pub mod lists;
pub mod maps;
pub mod resolve;
pub mod settings;
pub mod standard;
pub mod transport;
pub mod virtual_alias;

pub use lists::NameList;
pub use maps::{Hit, Maps};
pub use resolve::{Class, Route, Unresolved};
pub use settings::{Classes, Routes, Settings};
pub use standard::Context;

use std::sync::Arc;

/// Rewrites and resolves by one set of parameters. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    pub settings: Arc<Settings>,
    warn: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Router {
    /// `warn` logs what an administrator is to know, as `trivial-rewrite` does.
    pub fn new(settings: Arc<Settings>, warn: Arc<dyn Fn(&str) + Send + Sync>) -> Router {
        Router { settings, warn }
    }

    /// The same router for a program that has a log of its own.
    pub fn logging_to(self, warn: Arc<dyn Fn(&str) + Send + Sync>) -> Router {
        Router { warn, ..self }
    }

    fn warn(&self, text: &str) {
        (self.warn)(text);
    }
}

#[cfg(test)]
mod tests;
