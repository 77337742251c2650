//! libFuzzer's door to `telovix_fuzz::listing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::listing::run(data));
