//! What is wrong with a configuration, where, and how bad it is.

use std::fmt;
use std::ops::Range;

/// A mistake in the value of one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The parameter, or the restriction class: `smtpd_client_restrictions`.
    pub parameter: String,
    /// Octets of the parameter's expanded value; empty if the whole value is meant.
    pub span: Range<usize>,
    pub severity: Severity,
    /// Postfix's words, where it has any.
    pub text: String,
}

/// How bad a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, but perhaps not as meant.
    Warning,
    /// Mail that comes this far in the list is answered with `451 4.3.5 Server configuration error`.
    Error,
    /// Postfix's smtpd does not start.
    Fatal,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.parameter, self.text)
    }
}
