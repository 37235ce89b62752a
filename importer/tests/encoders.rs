//! Text and vision encoders and networks for scoring: what their configurations and files may say, and what not.
#![allow(clippy::unwrap_used)]

mod common;

use common::{copy, edit, edit_text, fixture};
use dmdx_importer::arch::{self, ArchGraphs};
use dmdx_importer::{Component, ImportOptions, import};
use serde_json::{Value, json};

fn config(case: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture("zoo").join(case).join("config.json")).unwrap()).unwrap()
}

fn refusal(case: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut config = config(case);
    change(&mut config);
    arch::build(&config).unwrap_err().to_string()
}

fn parts(network: &ArchGraphs) -> Vec<&str> {
    network.parts.iter().map(|(name, _)| name.as_str()).collect()
}

fn import_edited(case: &str, file: &str, change: impl FnOnce(&mut std::collections::BTreeMap<String, common::Raw>)) -> Component {
    let folder = copy(&format!("zoo/{case}"));
    edit(&folder.path().join(file), change);
    import(folder.path(), &ImportOptions { deny_unused: true, ..ImportOptions::default() }).unwrap()
}

#[test]
fn relatives_of_t5_and_dinov2_are_refused_by_name() {
    insta::assert_snapshot!(refusal("t5_encoder", |c| c["model_type"] = json!("umt5")), @r#"the configuration of T5EncoderModel has `model_type` = "umt5", but only "t5" is supported"#);
    insta::assert_snapshot!(refusal("dinov2", |c| c["model_type"] = json!("dinov2_with_registers")), @r#"the configuration of Dinov2Model has `model_type` = "dinov2_with_registers", but only "dinov2" is supported"#);
    for class in ["UMT5EncoderModel", "Dinov2WithRegistersModel", "SamHQModel"] {
        let sentence = refusal("t5_encoder", |c| c["architectures"][0] = json!(class));
        assert!(sentence.starts_with(&format!("the network class `{class}` is not supported")), "{sentence}");
    }
}

#[test]
fn refusals_name_key_value_and_what_is_supported() {
    insta::assert_snapshot!(refusal("t5_encoder", |c| c["feed_forward_proj"] = json!("gated-swish")), @r#"the configuration of T5EncoderModel has `feed_forward_proj` = "gated-swish", but only `relu` or `gelu` or `gelu_new` or `silu` or `gated-relu` or `gated-gelu` or `gated-gelu_new` or `gated-silu` is supported"#);
    insta::assert_snapshot!(refusal("t5_encoder", |c| c["dense_act_fn"] = json!("tanh")), @r#"the configuration of T5EncoderModel has `dense_act_fn` = "tanh", but only `relu` or `gelu` or `gelu_new` or `silu` is supported"#);
    insta::assert_snapshot!(refusal("t5_encoder", |c| c["relative_attention_num_buckets"] = json!(3)), @"the configuration of T5EncoderModel has `relative_attention_num_buckets` = 3, but at least 4 are needed");
    insta::assert_snapshot!(refusal("t5_encoder", |c| c["relative_attention_max_distance"] = json!(8)), @"the configuration of T5EncoderModel has `relative_attention_max_distance` = 8, but more than a quarter of `relative_attention_num_buckets` = 32 is needed");
    insta::assert_snapshot!(refusal("dinov2", |c| c["mlp_ratio"] = json!(0.5)), @"the configuration of Dinov2Model has `mlp_ratio` = 0.5, but a number from 1 to 64 is supported");
    insta::assert_snapshot!(refusal("dinov2", |c| c["patch_size"] = json!(29)), @"the configuration of Dinov2Model has `patch_size` = 29, but at most `image_size` = 28 is possible");
    insta::assert_snapshot!(refusal("dinov2", |c| c["image_size"] = json!([28, 28])), @"the configuration of Dinov2Model has `image_size` = [28,28], but an integer from 1 to 1048576 is needed");
    insta::assert_snapshot!(refusal("sam_whole", |c| c["prompt_encoder_config"]["hidden_size"] = json!(24)), @"the configuration of SamModel has `prompt_encoder_config.hidden_size` = 24, but `vision_config.output_channels` = 16 is needed");
    insta::assert_snapshot!(refusal("sam_whole", |c| c["prompt_encoder_config"]["image_size"] = json!(64)), @"the configuration of SamModel has `prompt_encoder_config.patch_size` = 16, but `image_size` = 64 has to give the 5 patches of the vision encoder");
    insta::assert_snapshot!(refusal("sam_whole", |c| c["prompt_encoder_config"]["num_point_embeddings"] = json!(5)), @"the configuration of SamModel has `prompt_encoder_config.num_point_embeddings` = 5, but only 4 is supported");
    insta::assert_snapshot!(refusal("sam_whole", |c| c["vision_config"]["num_pos_feats"] = json!(16)), @"the configuration of SamModel has `vision_config.num_pos_feats` = 16, but half of `prompt_encoder_config.hidden_size` = 16 is needed");
    insta::assert_snapshot!(refusal("sam_whole", |c| c["mask_decoder_config"]["hidden_size"] = json!(32)), @"the configuration of SamModel has `mask_decoder_config.hidden_size` = 32, but `prompt_encoder_config.hidden_size` = 16, and at least 8, is needed");
    insta::assert_snapshot!(refusal("sam_whole", |c| c["mask_decoder_config"]["attention_downsample_rate"] = json!(8)), @"the configuration of SamModel has `mask_decoder_config.num_attention_heads` = 4, but `hidden_size` = 16 and its share by `attention_downsample_rate` = 8 do not divide into so many heads");
    insta::assert_snapshot!(refusal("sam_whole", |c| c["mask_decoder_config"] = json!("small")), @r#"the configuration of SamModel has `mask_decoder_config` = "small", but a JSON object is needed"#);
    let scoring = |config: Value| arch::build(&config).unwrap_err().to_string();
    insta::assert_snapshot!(scoring(json!({"_class_name": "InceptionV3", "variant": "tensorflow"})), @r#"the configuration of InceptionV3 has `variant` = "tensorflow", but only `torchvision` or `fid` is supported"#);
    insta::assert_snapshot!(scoring(json!({"_class_name": "InceptionV3", "image_size": 74})), @"the configuration of InceptionV3 has `image_size` = 74, but at least 75 are needed");
    insta::assert_snapshot!(scoring(json!({"_class_name": "LPIPS", "net": "squeeze"})), @r#"the configuration of LPIPS has `net` = "squeeze", but only `alex` or `vgg` or `vgg16` is supported"#);
    insta::assert_snapshot!(scoring(json!({"_class_name": "LPIPS", "version": "0.0"})), @r#"the configuration of LPIPS has `version` = "0.0", but only "0.1" is supported"#);
}

/// Whatever stands at a key of an inner object, or of our own configurations, building ends with graphs that verify or
/// with an error about the configuration.
#[test]
fn no_value_of_any_inner_key_breaks_a_builder() {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(7),
        json!(1 << 20),
        json!(u64::MAX),
        json!(1e300),
        json!(0.5),
        json!("x"),
        json!([]),
        json!([[1], [2, 3], []]),
        json!({}),
    ];
    let check = |config: &Value, what: &str| match arch::build(config) {
        Ok(network) => network.parts.iter().for_each(|(_, graph)| graph.verify().unwrap()),
        Err(error) => assert!(error.to_string().starts_with("the configuration of"), "{what}: {error}"),
    };
    let sam = config("sam_whole");
    for inner in ["vision_config", "prompt_encoder_config", "mask_decoder_config"] {
        for key in sam[inner].as_object().unwrap().keys() {
            for value in &values {
                let mut config = sam.clone();
                config[inner][key] = value.clone();
                check(&config, &format!("{inner}.{key} = {value}"));
            }
        }
    }
    let inception = json!({"_class_name": "InceptionV3", "variant": "fid", "image_size": 75, "resize_input": true,
        "normalize_input": true, "num_classes": 10});
    let lpips = json!({"_class_name": "LPIPS", "net": "vgg", "version": "0.1", "lpips": true, "spatial": false});
    for own in [inception, lpips] {
        for key in own.as_object().unwrap().keys().filter(|key| *key != "_class_name") {
            for value in &values {
                let mut config = own.clone();
                config[key] = value.clone();
                check(&config, &format!("{key} = {value}"));
            }
        }
    }
}

/// The token table of T5 stands under one of two names, or under both.
#[test]
fn the_token_table_of_t5_has_two_names() {
    let (shared, own) = ("shared.weight", "encoder.embed_tokens.weight");
    let once = import_edited("t5_encoder", "model.safetensors", |_| ());
    let other = import_edited("t5_encoder", "model.safetensors", |tensors| {
        let table = tensors.remove(shared).unwrap();
        tensors.insert(own.into(), table);
    });
    let twice = import_edited("t5_encoder", "model.safetensors", |tensors| {
        let table = tensors[shared].clone();
        tensors.insert(own.into(), table);
    });
    let table = |component: &Component, part: &str| component.parts[part].params()[shared].weight.as_ref().unwrap().hash();
    for component in [&once, &other, &twice] {
        assert_eq!(component.parts.keys().collect::<Vec<_>>(), ["text_encoder", "text_encoder_masked"]);
        assert_eq!(component.param_elements(), 25_856);
        for part in ["text_encoder", "text_encoder_masked"] {
            assert_eq!(table(component, part), table(&once, "text_encoder"));
        }
    }
    assert_eq!(other.report.renamed, ["encoder.embed_tokens.weight -> shared.weight"]);

    let folder = copy("zoo/t5_encoder");
    edit(&folder.path().join("model.safetensors"), |tensors| {
        let mut table = tensors[shared].clone();
        table.bytes[0] ^= 1;
        tensors.insert(own.into(), table);
    });
    let component = import(folder.path(), &ImportOptions::default()).unwrap();
    assert_eq!(component.report.unused, [own]);
}

#[test]
fn the_table_of_positions_of_sam_has_two_names() {
    let (shared, own) = ("shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding");
    let other = import_edited("sam_whole", "model.safetensors", |tensors| {
        let table = tensors.remove(shared).unwrap();
        tensors.insert(own.into(), table);
    });
    assert_eq!(other.report.renamed, [format!("{own} -> {shared}")]);
    let twice = import_edited("sam_whole", "model.safetensors", |tensors| {
        let table = tensors[shared].clone();
        tensors.insert(own.into(), table);
    });
    assert_eq!(twice.report.unused, Vec::<String>::new());
}

/// A file with the encoder alone, and a configuration that describes it alone.
#[test]
fn sam_without_its_prompts() {
    let component = import_edited("sam_whole", "model.safetensors", |tensors| {
        tensors.retain(|name, _| name.starts_with("vision_encoder."));
    });
    assert_eq!(component.parts.keys().collect::<Vec<_>>(), ["vision_encoder"]);
    assert_eq!(component.report.notes, ["`sam` is left out: the file holds none of its tensors"]);

    let mut config = config("sam_whole");
    config.as_object_mut().unwrap().retain(|key, _| !["prompt_encoder_config", "mask_decoder_config"].contains(&key.as_str()));
    let network = arch::build(&config).unwrap();
    assert_eq!(parts(&network), ["vision_encoder"]);
    assert!(network.ignored("mask_decoder.iou_token.weight").is_some());

    let folder = copy("zoo/sam_whole");
    edit(&folder.path().join("model.safetensors"), |tensors| {
        tensors.remove("mask_decoder.iou_token.weight").unwrap();
    });
    let error = import(folder.path(), &ImportOptions::default()).unwrap_err().to_string();
    assert!(error.contains("mask_decoder.iou_token.weight"), "{error}");
}

/// Transformers reads the copy of a half's configuration, with defaults for what it leaves out.
#[test]
fn the_copy_of_a_half_of_clip_wins() {
    let folder = copy("zoo/clip_model");
    edit_text(&folder.path().join("config.json"), |text| {
        let mut config: Value = serde_json::from_str(&text).unwrap();
        let mut half = config["text_config"].clone();
        half.as_object_mut().unwrap().remove("eos_token_id").unwrap();
        config["text_config_dict"] = half;
        config.to_string()
    });
    let component = import(folder.path(), &ImportOptions::default()).unwrap();
    let rules: Vec<String> = component.parts["text_encoder"]
        .values()
        .filter_map(|(id, _)| component.parts["text_encoder"].op(id))
        .filter(|(op, _)| op.name() == "pool_token")
        .map(|(op, _)| format!("{op:?}"))
        .collect();
    assert_eq!(rules, ["PoolToken { rule: FirstEqual(49407) }"]);
}

/// The names of torchvision and of `lpips`, and what their files hold beside the weights that are used.
#[test]
fn scoring_networks_take_the_names_of_their_libraries() {
    let lpips = arch::build(&json!({"_class_name": "LPIPS", "net": "vgg"})).unwrap();
    assert_eq!(parts(&lpips), ["lpips"]);
    assert_eq!(lpips.canonical_name("features.28.bias"), "net.slice5.28.bias");
    assert_eq!(lpips.canonical_name("lins.3.model.1.weight"), "lin3.model.1.weight");
    assert_eq!(lpips.canonical_name("net.slice5.28.bias"), "net.slice5.28.bias");
    // VGG16's features and 1472 weights for their channels.
    assert_eq!(lpips.parts[0].1.param_elements(), 14_714_688 + 1472);
    let lpips = arch::build(&json!({"_class_name": "LPIPS"})).unwrap();
    assert_eq!(lpips.canonical_name("features.10.weight"), "net.slice5.10.weight");
    assert_eq!(lpips.parts[0].1.param_elements(), 2_469_696 + 1152);

    let inception = arch::build(&json!({"_class_name": "InceptionV3"})).unwrap();
    assert_eq!(parts(&inception), ["inception"]);
    assert!(inception.ignored("Mixed_5b.branch1x1.bn.num_batches_tracked").is_some());
    assert!(inception.ignored("AuxLogits.fc.weight").is_some());
    assert!(inception.ignored("Mixed_5b.branch1x1.bn.running_mean").is_none());
    // Torchvision's 27,161,264 less the auxiliary classifier, and the running statistics of 94 norms.
    let norms = |name: &str| name.contains(".running_");
    let graph = &inception.parts[0].1;
    let statistics: usize = graph.params().iter().filter(|(name, _)| norms(name)).map(|(_, param)| param.shape[0]).sum();
    assert_eq!(graph.param_elements() - statistics as u64, 23_834_568);
}
