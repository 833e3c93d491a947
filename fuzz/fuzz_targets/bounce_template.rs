#![no_main]
//! `bounce_template_file`: whatever it holds, it is read or refused.

libfuzzer_sys::fuzz_target!(|data: &[u8]| params::bounce_template::fuzz_template(data));
