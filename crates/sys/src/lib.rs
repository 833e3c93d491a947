//! What libc offers and no safe crate wraps: the only room with `unsafe`. Each block has a SAFETY comment and a test.
//!
//! Also the plain form of what this project's processes say to each other. Nothing here knows about mail.

pub mod dane;
pub mod descriptors;
pub mod fields;
pub mod local_time;
pub mod memory;
pub mod pcre;
pub mod posix_regex;
pub mod process;
pub mod signals;
pub mod tls;
