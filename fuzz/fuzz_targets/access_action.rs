//! The right side of an access table, and what a policy server answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzz_action(data));
