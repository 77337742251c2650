//! libFuzzer's door to `telovix_fuzz::licence`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::licence::run(data));
