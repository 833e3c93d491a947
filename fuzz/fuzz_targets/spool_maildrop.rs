//! Files in the maildrop, and what `sendmail` pipes to `postdrop`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spool::maildrop::fuzz_reader(data));
