//! The spool's tests: what needs more than one file of the crate.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking; clippy's own exception stops at helpers")]

mod conformance;
mod crash;
mod damage;
mod faults;
mod kill;
mod model;
mod progress;
mod sim_disk;
