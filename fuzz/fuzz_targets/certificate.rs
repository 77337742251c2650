//! libFuzzer's door to `telovix_fuzz::certificate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::certificate::run(data));
