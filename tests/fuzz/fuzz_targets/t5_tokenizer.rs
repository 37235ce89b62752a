#![no_main]

use dmdx_fuzz::sound;
use dmdx_runtime::Tokenizer;
use dmdx_runtime::tokenizer::{Class, Files, Padding};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let config = br#"{"tokenizer_class":"T5Tokenizer","eos_token":"</s>","pad_token":"<pad>","unk_token":"<unk>"}"#;
    // The last bytes are the text; the vocabulary may be of any kind.
    let (file, text) = bytes.split_at(bytes.len() - bytes.len().min(16));
    let text = String::from_utf8_lossy(text);
    let spiece = Files { config, spiece: Some(file), ..Files::default() };
    let json = Files { config, tokenizer: Some(file), ..Files::default() };
    for (class, files) in [(Class::T5, spiece), (Class::T5Fast, spiece), (Class::T5Fast, json)] {
        if let Some(tokenizer) = sound(Tokenizer::new(class, &files)) {
            sound(tokenizer.encode(&text, 64, Padding::MaxLength));
        }
    }
});
