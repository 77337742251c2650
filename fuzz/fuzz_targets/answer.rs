//! libFuzzer's door to `telovix_fuzz::answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::answer::run(data));
