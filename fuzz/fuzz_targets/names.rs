//! libFuzzer's door to `telovix_fuzz::names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::names::run(data));
