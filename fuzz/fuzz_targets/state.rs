//! libFuzzer's door to `telovix_fuzz::state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::state::run(data));
