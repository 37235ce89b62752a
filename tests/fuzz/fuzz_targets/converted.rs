#![no_main]

use dmdx_fuzz::{sound, written};
use dmdx_importer::{ImportOptions, import};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (_, path) = written("x.safetensors", bytes);
    sound(import(&path, &ImportOptions::default()));
});
