//! Rewriting and resolving: what an address becomes, and where mail for it goes.
//!
//! The order is Postfix's. Every address is brought to its standard form first ([`standard`]). What `cleanup` does to
//! envelopes and headers ([`headers`]) follows: canonical maps, masquerading ([`canonical`]), automatic BCC ([`bcc`]), virtual aliases
//! ([`virtual_alias`]). Resolving ([`resolve`]) comes when mail is received, to judge it, and again when it is to be
//! delivered: class, transport, nexthop. The SMTP client has its generic maps ([`generic`]).
//! What both have are checks of headers and bodies ([`checks`]).
//!
//! Tables are open when they get here, and every question ends as their lookups do: found, not found, or try later.

pub mod bcc;
pub mod canonical;
pub mod checks;
pub mod generic;
pub mod headers;
pub mod listed;
pub mod lists;
pub mod resolve;
pub mod settings;
pub mod standard;
pub mod transport;
pub mod virtual_alias;

pub use lists::NameList;
pub use resolve::{Class, Route, Unresolved};
pub use settings::{Classes, Routes, Settings};
pub use standard::Context;

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

/// Takes a line for the log.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Rewrites and resolves by one set of parameters. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    pub settings: Arc<Settings>,
    warn: Say,
    /// None: nobody is to be reminded.
    remind: Option<Say>,
}

impl Router {
    /// `warn` logs what an administrator is to know, as `trivial-rewrite` does.
    pub fn new(settings: Arc<Settings>, warn: Say) -> Router {
        Router { settings, warn, remind: None }
    }

    /// The same router for a program that has a log of its own.
    pub fn logging_to(self, warn: Say) -> Router {
        Router { warn, ..self }
    }

    /// The same router, which says so whenever `append_dot_mydomain = yes` does something: for when it is a default of
    /// an old `compatibility_level`, and nobody has set it.
    pub fn reminding(self, remind: Say) -> Router {
        Router { remind: Some(remind), ..self }
    }

    fn warn(&self, text: &str) {
        (self.warn)(text);
    }

    fn warn_of_failure(&self, why: &tables::TryLater) {
        why.0.lines().for_each(|line| self.warn(line));
    }
}

/// Brings any octets to standard form and resolves them; what comes out must be usable.
#[doc(hidden)]
pub fn fuzz_resolve(data: &[u8]) {
    let router = Router::new(Arc::new(Settings::new("mail.example.com")), Arc::new(|_: &str| {}));
    let address = mail::Address::new(router.standard_external(data, Context::Local));
    let sender = mail::Address::null();
    let mut resolving = std::pin::pin!(router.resolve(&sender, &address));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(resolved) = resolving.as_mut().poll(&mut context) else {
        panic!("there are no tables to wait for");
    };
    if let Ok(route) = resolved {
        assert!(route.recipient.domain().is_some() && !route.nexthop.is_empty());
    }
}

#[cfg(test)]
mod tests;
