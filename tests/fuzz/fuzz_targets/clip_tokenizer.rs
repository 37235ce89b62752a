#![no_main]

use dmdx_fuzz::{halves, sound};
use dmdx_runtime::Tokenizer;
use dmdx_runtime::tokenizer::{Class, Files, Padding};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (vocab, rest) = halves(bytes);
    let (merges, rest) = halves(rest);
    let (config, text) = halves(rest);
    let files = Files { config, vocab: Some(vocab), merges: Some(merges), ..Files::default() };
    for class in [Class::Clip, Class::ClipFast] {
        if let Some(tokenizer) = sound(Tokenizer::new(class, &files)) {
            sound(tokenizer.encode(&String::from_utf8_lossy(text), 77, Padding::MaxLength));
        }
    }
});
