//! libFuzzer's door to `telovix_fuzz::signed_call`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::signed_call::run(data));
