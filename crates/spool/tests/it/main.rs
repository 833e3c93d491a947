//! The spool's tests: what needs more than one file of the crate.

mod conformance;
