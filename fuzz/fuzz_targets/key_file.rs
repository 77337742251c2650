//! libFuzzer's door to `telovix_fuzz::key_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::key_file::run(data));
