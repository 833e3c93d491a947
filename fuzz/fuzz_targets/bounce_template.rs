#![no_main]
//! `bounce_template_file`: whatever it holds, it is read or refused.

libfuzzer_sys::fuzz_target!(|data: &[u8]| qmgr::notice::fuzz_template(data));
