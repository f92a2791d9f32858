#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| greenloop_fuzz::tasks(data));
