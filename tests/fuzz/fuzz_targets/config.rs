#![no_main]

use dmdx_fuzz::sound;
use dmdx_importer::arch;
use dmdx_importer::hf::json::parse_object;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(config) = parse_object(text, 32) else { return };
    if let Some(network) = sound(arch::build(&config)) {
        for (_, graph) in &network.parts {
            graph.verify().expect("a graph that was built verifies");
        }
    }
});
