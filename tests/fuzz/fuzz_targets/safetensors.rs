#![no_main]

use std::path::Path;

use dmdx_fuzz::sound;
use dmdx_graph::weights::MappedFile;
use dmdx_importer::{Limits, hf::safetensors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let map = MappedFile::in_memory(Path::new("x.safetensors"), bytes.to_vec());
    if let Some(file) = sound(safetensors::read_mapped(map, &Limits::default())) {
        // Every accepted tensor lies in the file, without overlaps.
        let described: usize = file.tensors.values().map(|weight| weight.with_bytes(<[u8]>::len)).sum();
        assert!(described < bytes.len());
    }
});
