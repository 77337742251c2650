//! libFuzzer's door to `telovix_fuzz::token_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::token_file::run(data));
