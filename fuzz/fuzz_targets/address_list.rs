//! Address lists as headers and tables hold them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mail::header::addresses::fuzz_address_list(data));
