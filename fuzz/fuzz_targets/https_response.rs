//! A web server's answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| net::https::fuzz_https_response(data));
