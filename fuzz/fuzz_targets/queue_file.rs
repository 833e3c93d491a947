//! Postfix's queue files, as postcat reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| commands::postcat::fuzz_queue_file(data));
