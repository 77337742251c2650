//! libFuzzer's door to `telovix_fuzz::csr`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telovix_fuzz::csr::run(data));
