#![no_main]

use dmdx_fuzz::{sound, written};
use dmdx_importer::{ImportOptions, import_pipeline};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (folder, _) = written("model_index.json", bytes);
    sound(import_pipeline(folder, &ImportOptions::default()));
});
