//! libFuzzer's door to `telovix_fuzz::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::request::run(data));
