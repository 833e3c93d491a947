//! Lists of patterns: mydestination, mynetworks and their like.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| params::list::fuzz_list(data));
