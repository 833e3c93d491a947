//! intake

pub mod cleanup;
