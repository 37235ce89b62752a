//! Builders against the tensor lists of full-size models, and what they do with configurations that they cannot build.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_importer::arch::{self, ArchGraphs};
use serde_json::{Value, json};

fn fixture(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn declared(network: &ArchGraphs) -> BTreeMap<String, Vec<usize>> {
    let params = network.parts.iter().flat_map(|(_, graph)| graph.params());
    params.map(|(name, param)| (name.to_string(), param.shape.clone())).collect()
}

/// Names and shapes are exactly those of the reference library, beside what is left out by design.
fn is_full_size(name: &str) {
    let full = fixture(&format!("full/{name}.json"));
    let network = arch::build(&full["config"]).unwrap();
    assert_eq!(network.warnings, Vec::<String>::new(), "{name}");
    let tensors: BTreeMap<String, Vec<usize>> = serde_json::from_value(full["tensors"].clone()).unwrap();
    let wanted = tensors.into_iter().filter(|(tensor, _)| network.ignored(tensor).is_none()).collect();
    assert_eq!(declared(&network), wanted, "{name}");
    for (_, graph) in &network.parts {
        graph.verify().unwrap();
    }
}

#[test]
fn unets_declare_the_released_tensors() {
    for name in ["unet_sdxl_base", "unet_sdxl_refiner", "unet_sd15", "unet_sd21"] {
        is_full_size(name);
    }
}

#[test]
fn autoencoders_declare_the_released_tensors() {
    for name in ["vae_sd15", "vae_sdxl", "vae_sd3"] {
        is_full_size(name);
    }
}

#[test]
fn clip_encoders_declare_the_released_tensors() {
    for name in ["clip_l_text", "clip_l_text_proj", "clip_bigg_text_proj", "clip_h_text_sd21"] {
        is_full_size(name);
    }
}

#[test]
fn sam_encoders_declare_the_released_tensors() {
    for name in ["sam_vit_b", "sam_vit_l", "sam_vit_h"] {
        is_full_size(name);
    }
}

/// The size conditioning is not in the configuration: six numbers for the base model, five for the refiner.
#[test]
fn sdxl_inputs_follow_from_the_projection() {
    for (name, text, ids) in [("unet_sdxl_base", 1280, 6), ("unet_sdxl_refiner", 1280, 5)] {
        let network = arch::build(&fixture(&format!("full/{name}.json"))["config"]).unwrap();
        let graph = &network.parts[0].1;
        let inputs: Vec<String> = graph.inputs().iter().map(|(name, id)| format!("{name} {}", graph.value(*id).ty)).collect();
        let (factor, width) = if ids == 6 { (4, 2048) } else { (8, 1280) };
        let wanted = [
            format!("sample f32[b, 4, {factor}*h, {factor}*w]"),
            "timestep f32[b]".into(),
            format!("encoder_hidden_states f32[b, s, {width}]"),
            format!("text_embeds f32[b, {text}]"),
            format!("time_ids f32[b, {ids}]"),
        ];
        assert_eq!(inputs, wanted);
    }
}

fn zoo_config(case: &str) -> Value {
    fixture(&format!("zoo/{case}/config.json"))
}

fn refusal(case: &str, key: &str, value: Value) -> String {
    let mut config = zoo_config(case);
    config[key] = value;
    arch::build(&config).unwrap_err().to_string()
}

#[test]
fn refusals_name_key_value_and_what_is_supported() {
    insta::assert_snapshot!(refusal("unet_sdxl", "act_fn", json!("mish")), @"the configuration of UNet2DConditionModel has `act_fn` = \"mish\", but only `silu` or `swish` is supported");
    insta::assert_snapshot!(refusal("unet_sdxl", "class_embed_type", json!("timestep")), @"the configuration of UNet2DConditionModel has `class_embed_type` = \"timestep\", but only null is supported");
    insta::assert_snapshot!(refusal("unet_sdxl", "attention_head_dim", json!([1, 2, 5])), @"the configuration of UNet2DConditionModel has `attention_head_dim` = [1,2,5], but it is the number of heads, and 32 channels do not divide into 5 heads");
    insta::assert_snapshot!(refusal("unet_sdxl", "down_block_types", json!(["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"])), @r#"the configuration of UNet2DConditionModel has `down_block_types` = ["DownBlock2D","AttnDownBlock2D","DownBlock2D"], but a list of DownBlock2D, CrossAttnDownBlock2D is supported"#);
    insta::assert_snapshot!(refusal("unet_sdxl", "layers_per_block", json!(-1)), @"the configuration of UNet2DConditionModel has `layers_per_block` = -1, but an integer from 1 to 1048576 is needed");
    insta::assert_snapshot!(refusal("unet_sdxl", "transformer_layers_per_block", json!([[1, 1], [1, 1], [2, 2]])), @"the configuration of UNet2DConditionModel has `transformer_layers_per_block` = [[1,1],[1,1],[2,2]], but with a list per level, `reverse_transformer_layers_per_block` is needed as well");
    insta::assert_snapshot!(refusal("clip_l", "hidden_act", json!("relu")), @"the configuration of CLIPTextModel has `hidden_act` = \"relu\", but only `quick_gelu` or `gelu` or `gelu_new` or `gelu_pytorch_tanh` is supported");
    insta::assert_snapshot!(refusal("sam", "vision_config", json!(3)), @"the configuration of SamModel has `vision_config` = 3, but a JSON object is needed");
    insta::assert_snapshot!(refusal("clip_l", "architectures", json!(["GPT2Model"])), @"the network class `GPT2Model` is not supported; known are UNet2DConditionModel, AutoencoderKL, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionModel, CLIPVisionModelWithProjection, CLIPModel, SamVisionModel, SamModel");
    insta::assert_snapshot!(refusal("clip_model", "text_config_dict", json!({"hidden_size": 25})), @r#"the configuration of CLIPModel has `text_config_dict` = {"hidden_size":25}, but it contradicts `text_config`; make them agree"#);
    insta::assert_snapshot!(refusal("vae_sd3", "norm_num_groups", json!(5)), @"the configuration of AutoencoderKL has `norm_num_groups` = 5, but 8 channels do not divide into so many groups");
}

#[test]
fn unknown_keys_are_reported() {
    let mut config = zoo_config("vae_sd3");
    config["new_option"] = json!(true);
    let network = arch::build(&config).unwrap();
    assert_eq!(
        network.warnings,
        ["the configuration of AutoencoderKL has keys that are not known and were not used: `new_option`"]
    );
}

#[test]
fn missing_keys_get_the_defaults_of_the_reference_library() {
    // Stable Diffusion 1.5 is what diffusers builds without any configuration, but for the width of the text.
    let full = fixture("full/unet_sd15.json");
    let network = arch::build(&json!({"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768})).unwrap();
    let wanted: BTreeMap<String, Vec<usize>> = serde_json::from_value(full["tensors"].clone()).unwrap();
    assert_eq!(declared(&network), wanted);
}

#[test]
fn lists_per_layer_build_asymmetric_networks() {
    let mut config = zoo_config("unet_sdxl");
    config["layers_per_block"] = json!([1, 2, 3]);
    config["transformer_layers_per_block"] = json!([[1], [1, 2], [2, 1, 1]]);
    config["reverse_transformer_layers_per_block"] = json!([[1, 1, 1, 3], [1, 2, 1], [1, 1]]);
    let names = declared(&arch::build(&config).unwrap());
    let blocks =
        |path: &str| (0..9).take_while(|i| names.contains_key(&format!("{path}.transformer_blocks.{i}.norm1.weight"))).count();
    assert_eq!(blocks("down_blocks.1.attentions.1"), 2);
    assert_eq!(blocks("down_blocks.2.attentions.0"), 2);
    assert_eq!(blocks("mid_block.attentions.0"), 2);
    assert_eq!(blocks("up_blocks.0.attentions.3"), 3);
    assert_eq!(blocks("up_blocks.1.attentions.1"), 2);
}

#[test]
fn old_names_of_attention_are_known() {
    let network = arch::build(&zoo_config("vae_sdxl")).unwrap();
    let old = "decoder.mid_block.attentions.0.proj_attn.weight";
    assert_eq!(network.canonical_name(old), "decoder.mid_block.attentions.0.to_out.0.weight");
    assert_eq!(network.canonical_name("encoder.conv_in.weight"), "encoder.conv_in.weight");
}

/// Whatever stands at a key, building ends with graphs that verify or with an error about the
/// configuration.
#[test]
fn no_value_of_any_key_breaks_a_builder() {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(3),
        json!(1 << 20),
        json!(u64::MAX),
        json!(1e300),
        json!(0.5),
        json!("x"),
        json!([]),
        json!([0, 1]),
        json!([7, 7, 7]),
        json!([[1], [2, 3], []]),
        json!({}),
        json!({"hidden_size": 0}),
    ];
    for case in ["unet_sdxl", "unet_options", "vae_sdxl", "clip_l", "clip_vision", "clip_model", "sam", "sam_options"] {
        let config = zoo_config(case);
        let names_the_class = |key: &&String| ["_class_name", "architectures"].contains(&key.as_str());
        for key in config.as_object().unwrap().keys().filter(|key| !names_the_class(key)) {
            for value in &values {
                let mut config = config.clone();
                config[key] = value.clone();
                match arch::build(&config) {
                    Ok(network) => network.parts.iter().for_each(|(_, graph)| graph.verify().unwrap()),
                    Err(error) => {
                        assert!(error.to_string().starts_with("the configuration of"), "{case}, {key} = {value}: {error}")
                    }
                }
            }
        }
    }
}
