//! Files of keys and certificates.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| net::tls::fuzz_certificates(data));
