//! A domain's MTA-STS record and policy.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| deliver::mta_sts::fuzz_mta_sts(data));
