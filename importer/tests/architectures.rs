//! Builders against the tensor lists of full-size models, and what they do with configurations that they cannot build.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::released;
use dmdx_importer::arch::{self, ArchGraphs};
use serde_json::{Value, json};

fn declared(network: &ArchGraphs) -> BTreeMap<String, Vec<usize>> {
    let params = network.parts.iter().flat_map(|(_, graph)| graph.params());
    params.map(|(name, param)| (name.to_string(), param.shape.clone())).collect()
}

/// Names and shapes are exactly those of the reference library, beside what is left out by design.
fn is_full_size(name: &str) {
    let full = released(name);
    let network = arch::build(&full.config).unwrap();
    assert_eq!(network.warnings, Vec::<String>::new(), "{name}");
    let wanted = full.tensors.into_iter().filter(|(tensor, _)| network.ignored(tensor).is_none()).collect();
    assert_eq!(declared(&network), wanted, "{name}");
    // Only where nothing is left out does the published number count the same.
    if network.ignored.is_empty() {
        let buffers: usize = full.buffers.values().map(|shape| shape.iter().product::<usize>()).sum();
        let elements: u64 = network.parts.iter().map(|(_, graph)| graph.param_elements()).sum();
        assert_eq!(Some(elements - buffers as u64), full.parameters, "{name}");
    }
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
fn diffusion_transformers_declare_the_released_tensors() {
    for name in ["sd3_medium", "sd35_medium", "sd35_large"] {
        is_full_size(name);
    }
    for name in ["cogvideox_2b", "cogvideox_5b", "cogvideox_5b_i2v", "cogvideox_15_5b"] {
        is_full_size(name);
    }
}

#[test]
fn autoencoders_declare_the_released_tensors() {
    for name in ["vae_sd15", "vae_sdxl", "vae_sd3", "vae_cogvideox_2b", "vae_cogvideox_5b"] {
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
fn whole_clip_models_declare_the_released_tensors() {
    for name in ["clip_model_l", "clip_model_h", "clip_model_g", "clip_model_bigg"] {
        is_full_size(name);
    }
}

#[test]
fn t5_encoders_declare_the_released_tensors() {
    is_full_size("t5_xxl_encoder");
}

#[test]
fn sam_models_declare_the_released_tensors() {
    for name in ["sam_vit_b", "sam_vit_l", "sam_vit_h"] {
        is_full_size(name);
    }
}

#[test]
fn dinov2_models_declare_the_released_tensors() {
    for name in ["dinov2_s", "dinov2_b", "dinov2_l", "dinov2_g"] {
        is_full_size(name);
    }
}

fn inputs(config: &Value) -> Vec<String> {
    let network = arch::build(config).unwrap();
    let graph = &network.parts[0].1;
    graph.inputs().iter().map(|(name, id)| format!("{name} {}", graph.value(*id).ty)).collect()
}

/// The size conditioning is not in the configuration: six numbers for the base model, five for the refiner.
#[test]
fn sdxl_inputs_follow_from_the_projection() {
    for (name, text, ids) in [("unet_sdxl_base", 1280, 6), ("unet_sdxl_refiner", 1280, 5)] {
        let inputs = inputs(&released(name).config);
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

/// Every size of the released networks is a symbol, but those that a table in the file fixes.
#[test]
fn video_inputs_follow_from_the_positions() {
    let inputs = |name: &str| inputs(&released(name).config).join("; ");
    assert_eq!(
        inputs("cogvideox_2b"),
        "hidden_states f32[b, f, 16, 2*h, 2*w]; encoder_hidden_states f32[b, s, 4096]; timestep f32[b]"
    );
    assert_eq!(
        inputs("cogvideox_5b"),
        "hidden_states f32[b, f, 16, 2*h, 2*w]; encoder_hidden_states f32[b, s, 4096]; timestep f32[b]; rope_cos f32[f*h*w, 64]; \
         rope_sin f32[f*h*w, 64]"
    );
    assert_eq!(
        inputs("cogvideox_5b_i2v"),
        "hidden_states f32[b, 13, 32, 60, 90]; encoder_hidden_states f32[b, 226, 4096]; timestep f32[b]; rope_cos f32[17550, 64]; \
         rope_sin f32[17550, 64]"
    );
    assert_eq!(
        inputs("cogvideox_15_5b"),
        "hidden_states f32[b, 2*f, 16, 2*h, 2*w]; encoder_hidden_states f32[b, s, 4096]; timestep f32[b]; \
         rope_cos f32[f*h*w, 64]; rope_sin f32[f*h*w, 64]"
    );
}

fn zoo_config(case: &str) -> Value {
    serde_json::from_slice(&std::fs::read(common::fixture(&format!("zoo/{case}/config.json"))).unwrap()).unwrap()
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
    insta::assert_snapshot!(refusal("clip_l", "hidden_act", json!("mish")), @"the configuration of CLIPTextModel has `hidden_act` = \"mish\", but only `quick_gelu` or `gelu` or `gelu_new` or `gelu_pytorch_tanh` or `relu` is supported");
    insta::assert_snapshot!(refusal("sam", "vision_config", json!(3)), @"the configuration of SamModel has `vision_config` = 3, but a JSON object is needed");
    let known: Vec<&str> = arch::classes().collect();
    assert_eq!(
        refusal("clip_l", "architectures", json!(["GPT2Model"])),
        format!("the network class `GPT2Model` is not supported; known are {}", known.join(", "))
    );
    insta::assert_snapshot!(refusal("clip_model", "text_config_dict", json!({"hidden_size": 25})), @r#"the configuration of CLIPModel has `text_config_dict` = {"hidden_size":25}, but it contradicts `text_config`; make them agree"#);
    insta::assert_snapshot!(refusal("vae_sd3", "norm_num_groups", json!(5)), @"the configuration of AutoencoderKL has `norm_num_groups` = 5, but 8 channels do not divide into so many groups");
}

#[test]
fn refusals_of_diffusion_transformers() {
    insta::assert_snapshot!(refusal("sd3_medium", "pos_embed_max_size", json!(null)), @"the configuration of SD3Transformer2DModel has `pos_embed_max_size` = null, but only a table of positions in the file, with its side, is supported");
    insta::assert_snapshot!(refusal("sd3_medium", "pos_embed_max_size", json!(1 << 20)), @"the configuration of SD3Transformer2DModel has `pos_embed_max_size` = 1048576, but at most 4096 is supported");
    insta::assert_snapshot!(refusal("sd3_medium", "qk_norm", json!("layer_norm")), @r#"the configuration of SD3Transformer2DModel has `qk_norm` = "layer_norm", but only "rms_norm" and null are supported"#);
    insta::assert_snapshot!(refusal("sd3_medium", "caption_projection_dim", json!(80)), @"the configuration of SD3Transformer2DModel has `caption_projection_dim` = 80, but `num_attention_heads` * `attention_head_dim` = 16 is needed");
    insta::assert_snapshot!(refusal("sd3_medium", "dual_attention_layers", json!([0, 3])), @"the configuration of SD3Transformer2DModel has `dual_attention_layers` = [0,3], but a list of layers from 0 to 2 is needed");
    insta::assert_snapshot!(refusal("sd3_medium", "num_layers", json!(1 << 20)), @"the configuration of SD3Transformer2DModel has `num_layers` = 1048576, but at most 512 are supported");
    insta::assert_snapshot!(refusal("sd3_medium", "num_attention_heads", json!(0)), @"the configuration of SD3Transformer2DModel has `num_attention_heads` = 0, but an integer from 1 to 1048576 is needed");
    insta::assert_snapshot!(refusal("sd3_medium", "attention_head_dim", json!(1 << 20)), @"the configuration of SD3Transformer2DModel has `num_attention_heads` = 2, but `num_attention_heads` * `attention_head_dim` of at most 1048576 is supported");
    insta::assert_snapshot!(refusal("sd3_medium", "patch_size", json!(65)), @"the configuration of SD3Transformer2DModel has `patch_size` = 65, but at most 64 is supported");
    insta::assert_snapshot!(refusal("cogvideox_2b", "num_attention_heads", json!(1 << 20)), @"the configuration of CogVideoXTransformer3DModel has `num_attention_heads` = 1048576, but an even `num_attention_heads` * `attention_head_dim` of at most 1048576 is needed");
    insta::assert_snapshot!(refusal("cogvideox_2b", "attention_head_dim", json!(4)), @"the configuration of CogVideoXTransformer3DModel has `num_attention_heads` = 2, but without rotary positions `num_attention_heads` * `attention_head_dim` must be a multiple of 16");
    insta::assert_snapshot!(refusal("cogvideox_2b", "patch_size_t", json!(2)), @"the configuration of CogVideoXTransformer3DModel has `patch_size_t` = 2, but patches in time are supported with rotary positions only");
    insta::assert_snapshot!(refusal("cogvideox_2b", "use_learned_positional_embeddings", json!(true)), @"the configuration of CogVideoXTransformer3DModel has `use_learned_positional_embeddings` = true, but it needs `use_rotary_positional_embeddings` = true, as in the reference");
    insta::assert_snapshot!(refusal("cogvideox_2b", "activation_fn", json!("geglu")), @r#"the configuration of CogVideoXTransformer3DModel has `activation_fn` = "geglu", but only `gelu-approximate` or `gelu` is supported"#);
    insta::assert_snapshot!(refusal("cogvideox_2b", "spatial_interpolation_scale", json!(0)), @"the configuration of CogVideoXTransformer3DModel has `spatial_interpolation_scale` = 0, but a number above 0 is needed");
    insta::assert_snapshot!(refusal("cogvideox_5b", "attention_head_dim", json!(15)), @"the configuration of CogVideoXTransformer3DModel has `attention_head_dim` = 15, but rotary positions need an even number");
    insta::assert_snapshot!(refusal("cogvideox_5b", "ofs_embed_dim", json!(6)), @"the configuration of CogVideoXTransformer3DModel has `ofs_embed_dim` = 6, but null or an even `time_embed_dim` = 8 is needed");
    insta::assert_snapshot!(refusal("cogvideox_5b", "time_embed_dim", json!(1.5)), @"the configuration of CogVideoXTransformer3DModel has `time_embed_dim` = 1.5, but an integer from 1 to 1048576 is needed");
    insta::assert_snapshot!(refusal("cogvideox_5b_i2v", "sample_width", json!(7)), @"the configuration of CogVideoXTransformer3DModel has `sample_width` = 7, but with a table of positions a multiple of `patch_size` = 2 is needed");
    insta::assert_snapshot!(refusal("cogvideox_5b_i2v", "sample_frames", json!(1 << 20)), @"the configuration of CogVideoXTransformer3DModel has `sample_frames` = 1048576, but a table of positions of at most 1048576 tokens is supported");
    insta::assert_snapshot!(refusal("cogvideox_5b_i2v", "patch_size_t", json!(1)), @"the configuration of CogVideoXTransformer3DModel has `patch_size_t` = 1, but patches in time are supported with rotary positions only");
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
    let network = arch::build(&json!({"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768})).unwrap();
    assert_eq!(declared(&network), released("unet_sd15").tensors);
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
    let cases = [
        "unet_sdxl",
        "unet_options",
        "sd3_options",
        "cogvideox_options",
        "cogvideox_5b_i2v",
        "cogvideox_15_i2v",
        "vae_sdxl",
        "vae_cogvideox",
        "clip_l",
        "clip_vision",
        "clip_model",
        "sam",
        "sam_options",
        "t5_encoder",
        "t5_options",
        "dinov2",
        "dinov2_swiglu",
    ];
    for case in cases {
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
