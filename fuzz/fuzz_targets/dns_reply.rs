//! A name server's reply: outside data of the worst kind.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| net::resolver::fuzz_dns_reply(data));
