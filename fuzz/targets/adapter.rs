#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = steadfast::untrusted::run("adapter", bytes);
});
