#![no_main]

use dmdx_fuzz::{sound, written};
use dmdx_importer::{ImportOptions, hf::tensors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The shards are not there: what is tried is how the index is read and which names it may give.
    let (folder, _) = written("model.safetensors.index.json", bytes);
    sound(tensors::open(folder, &ImportOptions::default()));
});
