//! Restrictions against what Debian's Postfix answered to the same sessions.

#![allow(clippy::unwrap_used)]

mod rows;
mod sets;
mod world;
