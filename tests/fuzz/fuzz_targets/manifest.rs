#![no_main]

use dmdx_fuzz::sound;
use dmdx_runtime::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(manifest) = sound(Manifest::parse(text)) {
        manifest.validate().expect("a manifest that was read is valid");
        let written = manifest.to_json().expect("a manifest that was read can be written");
        assert_eq!(Manifest::parse(&written).expect("what was written is read"), manifest);
    }
});
