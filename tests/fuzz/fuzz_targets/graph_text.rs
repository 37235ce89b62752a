#![no_main]

use dmdx_fuzz::sound;
use dmdx_graph::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    if let Some(graph) = sound(text::parse(source)) {
        graph.verify().expect("a graph that was parsed verifies");
        let printed = text::print(&graph);
        let again = text::parse(&printed).expect("what was printed is read");
        assert_eq!(text::print(&again), printed);
    }
});
