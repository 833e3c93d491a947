//! What libc and OpenSSL offer and no safe crate wraps: the only room with `unsafe`.
//!
//! Each block has a SAFETY comment and a test. Nothing here knows about mail.

pub mod local_time;
pub mod tls;
