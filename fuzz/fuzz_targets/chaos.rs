//! libFuzzer's door to `telovix_fuzz::chaos`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::chaos::run(data));
