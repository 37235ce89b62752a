#![no_main]

use dmdx_fuzz::{sound, written};
use dmdx_importer::path::open_given;
use dmdx_importer::{Limits, pickle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (_, path) = written("x.bin", bytes);
    let open = open_given(&path).expect("the file is there");
    sound(pickle::read(&open, &Limits::default()));
});
