//! Configurations and pipelines that are refused.
#![allow(clippy::unwrap_used)]

mod common;

use common::{copy, edit_text, fixture, sentence};
use dmdx_importer::{ImportOptions, arch, import, import_pipeline};

fn with_config(change: impl FnOnce(String) -> String) -> String {
    let folder = copy("zoo/clip_l");
    edit_text(&folder.path().join("config.json"), change);
    sentence(import(folder.path(), &ImportOptions::default()), folder.path())
}

#[test]
fn text_that_is_no_configuration() {
    let reason = |text: &str| {
        let sentence = with_config(|_| text.into());
        sentence.strip_prefix("`DIR/config.json` is not valid JSON for this purpose: ").unwrap().to_string()
    };
    assert_eq!(reason("{"), "EOF while parsing an object at line 1 column 1");
    assert_eq!(reason("3"), "it should be an object { … }");
    assert_eq!(reason("{} {}"), "trailing characters at line 1 column 4");
    assert_eq!(reason("{\"a\": NaN}"), "expected value at line 1 column 7");
    assert_eq!(reason("{\"a\": 1, \"a\": 2}"), "the key \"a\" occurs twice at line 1 column 16");
    let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    assert_eq!(reason(&nested(33)), "it is nested deeper than 32 levels at line 1 column 161");
    assert!(reason(&nested(150_000)).starts_with("it is nested deeper than 32 levels"));
    // 32 levels are accepted as JSON; what they say is another matter.
    let none = "`DIR/config.json`: the configuration names no class; add `_class_name` (diffusers) or `architectures` \
                (transformers)";
    assert_eq!(with_config(|_| nested(32)), none);
}

#[test]
fn bytes_that_are_no_text_and_files_that_are_too_large() {
    let folder = copy("zoo/clip_l");
    let path = folder.path().join("config.json");
    std::fs::write(&path, b"{\"a\": \"\xff\"}").unwrap();
    assert!(sentence(import(folder.path(), &ImportOptions::default()), folder.path()).contains("it is not UTF-8"));
    std::fs::write(&path, format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20))).unwrap();
    assert_eq!(
        sentence(import(folder.path(), &ImportOptions::default()), folder.path()),
        "`DIR/config.json`: the size in bytes is 1048585, the limit is 1048576; raise `Limits::config_bytes` if you \
         trust the file"
    );
}

#[test]
fn unknown_architectures_and_values() {
    assert_eq!(
        with_config(|text| text.replace("CLIPTextModel", "GPT2LMHeadModel")),
        format!(
            "`DIR/config.json`: the network class `GPT2LMHeadModel` is not supported; known are {}",
            arch::classes().collect::<Vec<_>>().join(", ")
        )
    );
    let value = with_config(|text| text.replace("quick_gelu", "swish_9"));
    assert!(value.starts_with("`DIR/config.json`: the configuration of CLIPTextModel has `hidden_act` = \"swish_9\""), "{value}");
    for (from, to) in [("\"hidden_size\": 24", "\"hidden_size\": -24"), ("\"hidden_size\": 24", "\"hidden_size\": \"24\"")] {
        let value = with_config(|text| text.replace(from, to));
        assert!(value.contains("has `hidden_size` ="), "{value}");
    }
    // A width of 2^40 must be refused before anything is multiplied or allocated.
    let value = with_config(|text| text.replace("\"hidden_size\": 24", "\"hidden_size\": 1099511627776"));
    assert!(value.contains("has `hidden_size` = 1099511627776"), "{value}");
}

#[test]
fn unknown_keys_are_told() {
    let folder = copy("zoo/clip_l");
    edit_text(&folder.path().join("config.json"), |text| text.replacen('{', "{\"rotary_base\": 7,", 1));
    let component = import(folder.path(), &ImportOptions::default()).unwrap();
    assert!(component.report.notes.iter().any(|note| note.contains("rotary_base")), "{:?}", component.report.notes);
}

#[test]
fn a_pipeline_where_a_component_is_wanted() {
    let folder = fixture("digits-sdxl");
    assert_eq!(
        sentence(import(&folder, &ImportOptions::default()), &folder),
        "`DIR` is a whole pipeline; give one of the folders in it, such as its `unet`"
    );
}

#[test]
fn a_whole_pipeline() {
    let pipeline = import_pipeline(&fixture("digits-sdxl"), &ImportOptions::default()).unwrap();
    assert_eq!(pipeline.class, "StableDiffusionXLPipeline");
    let mut names: Vec<&str> = pipeline.components.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["text_encoder", "text_encoder_2", "unet", "vae"]);
    assert_eq!(pipeline.components["unet"].param_elements(), 1_737_060);
    assert_eq!(pipeline.scheduler.as_ref().unwrap()["_class_name"], "EulerDiscreteScheduler");
    assert_eq!(pipeline.tokenizers.len(), 2);
}

fn with_index(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let folder = copy("digits-sdxl");
    let path = folder.path().join("model_index.json");
    let mut index = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut index);
    std::fs::write(&path, index.to_string()).unwrap();
    sentence(import_pipeline(folder.path(), &ImportOptions::default()), folder.path())
}

#[test]
fn pipelines_that_are_refused() {
    let network = || serde_json::json!(["diffusers", "UNet2DConditionModel"]);
    assert_eq!(
        with_index(|index| index["../unet"] = network()),
        "`DIR/model_index.json` names the file \"../unet\", which contains `.` or `..`; only plain names inside the \
         folder are read"
    );
    assert_eq!(
        with_index(|index| index["a/b"] = network()),
        "`DIR/model_index.json` names the file \"a/b\", which is not the name of a folder beside it"
    );
    assert_eq!(
        with_index(|index| index["unet"] = serde_json::json!(["diffusers", 3])),
        "`DIR/model_index.json` is not valid JSON for this purpose: `unet` should be [library, class]"
    );
    assert_eq!(
        with_index(|index| {
            index["unet"][1] = "UNetMotionModel".into();
            index["vae"][1] = "AutoencoderTiny".into();
        }),
        "`DIR/model_index.json` uses classes that are not supported: unet: UNetMotionModel, vae: AutoencoderTiny; import \
         the other folders one by one"
    );
    assert_eq!(
        with_index(|index| index["nothing"] = network()),
        "`DIR/nothing` does not exist; give a component folder, a .safetensors file or a pipeline folder"
    );
    assert_eq!(
        with_index(|index| *index = serde_json::json!({"_class_name": "X"})),
        "`DIR/model_index.json` is not valid JSON for this purpose: it names no component"
    );
    assert!(
        with_index(|index| {
            for i in 0..100 {
                index[format!("unet_{i}")] = network();
            }
        })
        .contains("the number of components is 107, the limit is 64")
    );
}

#[test]
fn tokenizers_that_are_refused() {
    let folder = copy("digits-sdxl");
    let vocabulary = folder.path().join("tokenizer/vocab.json");
    let refused = || sentence(import_pipeline(folder.path(), &ImportOptions::default()), folder.path());
    std::fs::write(&vocabulary, "{\"a\": 1, \"a\": 2}").unwrap();
    assert!(refused().starts_with("`DIR/tokenizer/vocab.json` is not valid JSON for this purpose: the key \"a\" occurs twice"));
    std::fs::remove_file(&vocabulary).unwrap();
    assert_eq!(
        refused(),
        "`DIR/tokenizer` holds no tokenizer; it needs vocab.json with merges.txt, spiece.model, or tokenizer.json"
    );
}
