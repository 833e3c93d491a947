//! Every parameter, declared once: its name, type, default, bounds and a line on what it is for.
//!
//! A parameter is a type of its own name in [`p`], so that code says `p::smtpd_timeout` and one grep finds the declaration, the
//! structs that have it and who obeys it. Parameters that each transport has are in [`transport`].

use crate::value::{Converted, Input, Kind};

#[macro_use]
mod macros;

mod address;
mod cleanup;
mod common;
mod local;
mod postscreen;
mod queue;
mod smtp;
mod smtp_tls;
mod smtpd;
mod smtpd_tls;
mod table;
mod tls;
pub mod transport;
mod verify;

/// The parameters by their names.
pub mod p {
    pub use super::{
        address::*, cleanup::*, common::*, local::*, postscreen::*, queue::*, smtp::*, smtp_tls::*,
    };
    pub use super::{smtpd::*, smtpd_tls::*, table::*, tls::*, verify::*};
}

/// A parameter, as a type.
pub trait Param {
    type Kind: Kind;
    const SPEC: &'static Spec;
    /// What lmtp(8) reads in its place: `lmtp_…` for an `smtp_…` parameter.
    const LMTP: &'static Spec = Self::SPEC;
}

/// What code sees of a parameter.
pub type Value<P> = <<P as Param>::Kind as Kind>::Value;

/// What is known of a parameter.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub name: &'static str,
    /// As `postconf -d` prints it; empty if `is_computed`.
    pub default: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// The name of its type.
    pub kind: &'static str,
    /// `$names` in it are expanded only when it is used.
    pub is_raw: bool,
    /// The smallest number, time in seconds, or length; 0 sets none.
    pub min: i64,
    /// The largest; 0 sets none.
    pub max: i64,
    /// The default comes from the host or the program.
    pub is_computed: bool,
    /// The version of Postfix after 3.7 that brought it, or nothing.
    pub since: &'static str,
    /// A former name, which only the new one's default refers to.
    pub is_former: bool,
    /// Set by the program; what files say does not count.
    pub is_read_only: bool,
    check: fn(&Input<'_>) -> Result<Option<String>, String>,
}

impl Spec {
    pub(crate) const fn new<K: Kind>(name: &'static str, default: &'static str, doc: &'static str) -> Spec {
        Spec {
            name,
            default,
            doc,
            kind: K::NAME,
            is_raw: K::IS_RAW,
            min: 0,
            max: 0,
            is_computed: false,
            since: "",
            is_former: false,
            is_read_only: false,
            check: check::<K>,
        }
    }

    pub(crate) const fn min(self, min: i64) -> Spec {
        Spec { min, ..self }
    }

    pub(crate) const fn max(self, max: i64) -> Spec {
        Spec { max, ..self }
    }

    pub(crate) const fn since(self, since: &'static str) -> Spec {
        Spec { since, ..self }
    }

    pub(crate) const fn computed(self) -> Spec {
        Spec { is_computed: true, ..self }
    }

    pub(crate) const fn former(self) -> Spec {
        Spec { is_former: true, ..self }
    }

    pub(crate) const fn read_only(self) -> Spec {
        Spec { is_read_only: true, ..self }
    }

    /// Whether the default depends on all server processes being busy.
    pub fn is_stress_dependent(&self) -> bool {
        self.default.contains("${stress?")
    }

    /// Whether `postconf` lists it although it is not set: what Postfix 3.7 has.
    pub fn is_listed(&self) -> bool {
        self.since.is_empty() && !self.is_former
    }

    /// Converts a value for its errors (`fatal: …`) and its warning only.
    pub fn check(&self, input: &Input<'_>) -> Result<Option<String>, String> {
        (self.check)(input)
    }
}

fn check<K: Kind>(input: &Input<'_>) -> Result<Option<String>, String> {
    K::convert(input).map(|Converted { warning, .. }| warning)
}

/// All parameters with names of their own, in no order.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    let rooms = [
        address::SPECS,
        cleanup::SPECS,
        common::SPECS,
        local::SPECS,
        postscreen::SPECS,
        queue::SPECS,
        smtp::SPECS,
        smtp::TWINS,
        smtp_tls::SPECS,
        smtp_tls::TWINS,
        smtpd::SPECS,
        smtpd_tls::SPECS,
        table::SPECS,
        tls::SPECS,
        verify::SPECS,
    ];
    rooms.into_iter().flatten().copied()
}

/// The parameter of that name.
pub fn find(name: &str) -> Option<&'static Spec> {
    all().find(|spec| spec.name == name)
}

#[cfg(test)]
mod tests;
