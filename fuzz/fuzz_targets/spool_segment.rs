//! Segments of the spool's log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spool::fuzz_segment(data));
