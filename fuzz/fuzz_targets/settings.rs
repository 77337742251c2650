//! libFuzzer's door to `telovix_fuzz::settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::settings::run(data));
