//! LoRA files of other kinds and spellings. The merged weights are those that PEFT and LyCORIS compute in f64
//! (`fixtures/lora/make_kinds.py`); spellings are held against files of fixtures that say the same in another way.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Raw, copy, edit, fixture, sentence};
use dmdx_importer::{Component, ImportOptions, LoraFile, import, import_pipeline};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// The f32 tensor that `make_kinds.py` made: number `number` of its case.
fn piece(number: usize, name: &str, shape: &[usize]) -> Raw {
    let offset = if name.contains("dora_scale") || name.contains("magnitude") { 1.5 } else { 0.0 };
    let value = |i: usize| ((i * 7919 + number * 104_729) % 2003) as f64 / 2003.0 - 0.5 + offset;
    let bytes = (0..shape.iter().product()).flat_map(|i| (value(i) as f32).to_le_bytes()).collect();
    Raw { dtype: Dtype::F32, shape: shape.into(), bytes }
}

fn write(path: &Path, tensors: &BTreeMap<String, Raw>) {
    let views =
        tensors.iter().map(|(name, raw)| (name.clone(), TensorView::new(raw.dtype, raw.shape.clone(), &raw.bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn scalar(value: f64) -> Raw {
    Raw { dtype: Dtype::F32, shape: vec![], bytes: (value as f32).to_le_bytes().to_vec() }
}

fn merged(lora: &Path, scale: f64) -> Result<Component, dmdx_importer::ImportError> {
    let loras = vec![LoraFile { path: lora.into(), scale }];
    import(&fixture("zoo/unet_sdxl"), &ImportOptions { loras, ..ImportOptions::default() })
}

fn weight(component: &Component, param: &str) -> Vec<f32> {
    component.parts["unet"].params()[param].weight.as_ref().unwrap().to_f32()
}

/// The case as a file of kohya's, or as a folder of PEFT's if it has settings.
fn file_of(case: &Value, folder: &Path) -> std::path::PathBuf {
    let (module, shapes) = (case["module"].as_str().unwrap(), case["shapes"].as_object().unwrap());
    let start = match case["settings"].is_null() {
        true => format!("lora_unet_{}", module.replace('.', "_")),
        false => format!("base_model.model.{module}"),
    };
    let mut names: Vec<&String> = shapes.keys().collect();
    names.sort();
    let shape = |name: &str| -> Vec<usize> { serde_json::from_value(shapes[name].clone()).unwrap() };
    let pieces = names.iter().enumerate().map(|(n, name)| (format!("{start}.{name}"), piece(n, name, &shape(name))));
    let mut tensors: BTreeMap<String, Raw> = pieces.collect();
    if let Some(alpha) = case["alpha"].as_f64() {
        tensors.insert(format!("{start}.alpha"), scalar(alpha));
    }
    if case["settings"].is_null() {
        write(&folder.join("lora.safetensors"), &tensors);
        return folder.join("lora.safetensors");
    }
    write(&folder.join("adapter_model.safetensors"), &tensors);
    std::fs::write(folder.join("adapter_config.json"), case["settings"].to_string()).unwrap();
    folder.into()
}

#[test]
fn every_kind_is_merged_as_its_library_does() {
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(fixture("lora/kinds.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 19);
    let before = import(&fixture("zoo/unet_sdxl"), &ImportOptions::default()).unwrap();
    for case in &cases {
        let folder = tempfile::tempdir().unwrap();
        let component = merged(&file_of(case, folder.path()), case["scale"].as_f64().unwrap()).unwrap();
        for (param, samples) in case["merged"].as_object().unwrap() {
            let param = format!("{}.{param}", case["module"].as_str().unwrap());
            let (values, old) = (weight(&component, &param), weight(&before, &param));
            assert_ne!(values, old);
            for sample in samples.as_array().unwrap() {
                let (place, expected) = (sample[0].as_u64().unwrap() as usize, sample[1].as_f64().unwrap());
                let error = (f64::from(values[place]) - expected).abs();
                // One rounding to f32 of a sum in f64, and nine digits in the fixture.
                assert!(error <= 1e-7 * expected.abs().max(0.1), "{}: {param}[{place}]: {error:e}", case["name"]);
            }
        }
        let kinds = case["name"].as_str().unwrap();
        let note = component.report.notes.last().unwrap();
        for kind in ["LoHa", "LoKr", "Tucker", "DoRA", "norm", "difference"] {
            // PEFT and LyCORIS call a Tucker decomposition inside LoHa by LoHa's name.
            let named = kind != "Tucker" || !kinds.contains("LoHa");
            assert!(!kinds.contains(kind) || !named || note.contains(kind), "{kinds}: {note}");
        }
    }
}

/// SHA-256 of every weight of the pipeline of `original/sdxl` with a LoRA file.
fn pipeline_weights(lora: &Path) -> BTreeMap<String, [u8; 32]> {
    pipeline_weights_of(&[LoraFile { path: lora.into(), scale: 0.5 }])
}

fn pipeline_weights_of(loras: &[LoraFile]) -> BTreeMap<String, [u8; 32]> {
    let loras = loras.to_vec();
    let options = ImportOptions { config: Some(fixture("original/sdxl/config")), loras, ..ImportOptions::default() };
    let pipeline = import_pipeline(&fixture("original/sdxl/sdxl.safetensors"), &options).unwrap();
    let params = pipeline.components.iter().flat_map(|(name, component)| {
        let params = component.parts.values().flat_map(|graph| graph.params());
        params.map(move |(param, value)| (format!("{name}.{param}"), value.weight.as_ref().unwrap().hash()))
    });
    params.collect()
}

/// A name as another program spells it.
type Spell = fn(&str) -> String;

#[test]
fn spellings_of_names() {
    let expected = pipeline_weights(&fixture("lora/peft.safetensors"));
    let spellings: [(&str, Spell); 7] = [
        ("torch.compile", |key| key.replacen("unet.", "unet._orig_mod.", 1)),
        ("torch.compile of a pipeline", |key| format!("_orig_mod.{key}")),
        ("data parallel", |key| format!("module.{key}")),
        ("SimpleTuner", |key| key.replacen("unet.", "unet.base_model.model.", 1)),
        ("PEFT around all", |key| format!("base_model.model.{key}")),
        ("adapter names", |key| key.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")),
        ("other matrices", |key| key.replace(".lora_A.", ".lora_down.").replace(".lora_B.", ".lora_up.")),
    ];
    for (name, spell) in spellings {
        let folder = copy("lora");
        let path = folder.path().join("peft.safetensors");
        edit(&path, |tensors| *tensors = std::mem::take(tensors).into_iter().map(|(key, raw)| (spell(&key), raw)).collect());
        assert!(pipeline_weights(&path) == expected, "{name}");
    }
}

/// An adapter's names say nothing of the network: both text encoders have these modules, and one has this size.
#[test]
fn an_adapter_of_one_text_encoder() {
    let expected = pipeline_weights(&fixture("lora/peft.safetensors"));
    let before = pipeline_weights_of(&[]);
    let folder = copy("lora/adapter");
    let peft = std::fs::read(fixture("lora/peft.safetensors")).unwrap();
    edit(&folder.path().join("adapter_model.safetensors"), |tensors| {
        let file = safetensors::SafeTensors::deserialize(&peft).unwrap();
        let raw = |view: TensorView<'_>| Raw { dtype: view.dtype(), shape: view.shape().into(), bytes: view.data().into() };
        let named = |key: String| Some(format!("base_model.model.{}", key.strip_prefix("text_encoder_2.")?));
        *tensors = file.tensors().into_iter().filter_map(|(key, view)| Some((named(key)?, raw(view)))).collect();
    });
    let weights = pipeline_weights(folder.path());
    let mut changed = 0;
    for (param, hash) in &weights {
        let wanted = if param.starts_with("text_encoder_2.") { &expected } else { &before };
        assert!(*hash == wanted[param], "{param}");
        changed += usize::from(*hash != before[param]);
    }
    assert!(changed > 4);
}

/// What falls on fused and rearranged weights is the same whether it is written as two matrices or as their product, and
/// stays the same when its rows are brought to the lengths that they have.
#[test]
fn dense_changes_of_fused_weights() {
    let transformer = |lora: &Path| {
        let loras = vec![LoraFile { path: lora.into(), scale: 1.0 }];
        let options = ImportOptions { config: Some(fixture("original/sd35/config")), loras, ..ImportOptions::default() };
        let mut pipeline = import_pipeline(&fixture("original/sd35/sd3.safetensors"), &options).unwrap();
        pipeline.components.shift_remove("transformer").unwrap()
    };
    let values = |component: &Component, param: &str| -> Vec<f64> {
        component.parts["transformer"].params()[param].weight.as_ref().unwrap().to_f64()
    };
    let expected = transformer(&fixture("lora/kohya_sd3.safetensors"));
    let norms = |param: &str| -> Vec<f32> {
        let shape = &expected.parts["transformer"].params()[param].shape;
        let rows = values(&expected, param);
        rows.chunks(shape[1]).map(|row| row.iter().map(|v| v * v).sum::<f64>().sqrt() as f32).collect()
    };
    let lengths = |module: &str| -> Option<Vec<f32>> {
        match module {
            "lora_unet_joint_blocks_0_x_block_attn_qkv" => {
                Some(["to_q", "to_k", "to_v"].map(|part| norms(&format!("transformer_blocks.0.attn.{part}.weight"))).concat())
            }
            "lora_unet_final_layer_adaLN_modulation_1" => {
                let rows = norms("norm_out.linear.weight");
                let (first, second) = rows.split_at(rows.len() / 2);
                Some([second, first].concat())
            }
            _ => None,
        }
    };
    let folder = copy("lora");
    let path = folder.path().join("kohya_sd3.safetensors");
    let floats = |raw: &Raw| -> Vec<f32> { raw.bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect() };
    let raw = |shape: Vec<usize>, values: Vec<f32>| Raw {
        dtype: Dtype::F32,
        shape,
        bytes: values.into_iter().flat_map(f32::to_le_bytes).collect(),
    };
    let mut with_lengths = 0;
    edit(&path, |tensors| {
        let old = std::mem::take(tensors);
        for (key, up) in old.iter().filter(|(key, _)| key.ends_with(".lora_up.weight")) {
            let module = key.strip_suffix(".lora_up.weight").unwrap();
            let down = &old[&format!("{module}.lora_down.weight")];
            let factor = floats(&old[&format!("{module}.alpha")])[0] / up.shape[1] as f32;
            let (rank, columns, up_values, down_values) = (up.shape[1], down.shape[1], floats(up), floats(down));
            let product = up_values.chunks(rank).flat_map(|row| {
                let sum =
                    |column| row.iter().enumerate().map(|(r, u)| u * down_values[r * columns + column]).sum::<f32>() * factor;
                (0..columns).map(sum).collect::<Vec<f32>>()
            });
            tensors.insert(format!("{module}.diff"), raw(vec![up.shape[0], columns], product.collect()));
            if let Some(lengths) = lengths(module) {
                with_lengths += 1;
                tensors.insert(format!("{module}.dora_scale"), raw(vec![lengths.len(), 1], lengths));
            }
        }
    });
    assert_eq!(with_lengths, 2);
    let found = transformer(&path);
    for param in expected.parts["transformer"].params().keys() {
        let (a, b) = (values(&expected, param), values(&found, param));
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // The product is rounded to f32 in the file, the lengths too.
        assert!(worst < 2e-6, "{param}: {worst:e}");
    }
}

/// OneTrainer's dotted names of the original layout, LyCORIS's flat ones, and other programs' names of text encoders.
#[test]
fn spellings_of_networks() {
    let expected = pipeline_weights(&fixture("lora/kohya_original.safetensors"));
    let bytes = std::fs::read(fixture("original/sdxl/sdxl.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let modules = file.names().into_iter().filter_map(|name| name.strip_prefix("model.diffusion_model."));
    let dotted: BTreeMap<String, &str> = modules
        .filter_map(|name| name.strip_suffix(".weight"))
        .map(|module| (format!("lora_unet_{}", module.replace('.', "_")), module))
        .collect();
    for (unet, text) in
        [("unet", "clip_g"), ("diffusion_model", "text_encoders.clip_g.transformer"), ("model.diffusion_model", "text_encoder_2")]
    {
        let folder = copy("lora");
        let path = folder.path().join("kohya_original.safetensors");
        let flat_text = |module: &str| {
            let module = module.strip_prefix("lora_te2_text_model_encoder_layers_")?;
            let (layer, rest) = module.split_once('_')?;
            let rest = rest.replacen("self_attn_", "self_attn.", 1).replacen("mlp_", "mlp.", 1);
            Some(format!("{text}.text_model.encoder.layers.{layer}.{rest}"))
        };
        edit(&path, |tensors| {
            let spelled = std::mem::take(tensors).into_iter().map(|(key, raw)| {
                let (module, piece) = key.split_once('.').unwrap();
                let module = dotted.get(module).map(|module| format!("{unet}.{module}")).or_else(|| flat_text(module));
                (format!("{}.{piece}", module.unwrap()), raw)
            });
            *tensors = spelled.collect();
            let embedding = Raw { dtype: Dtype::F32, shape: vec![2, 4], bytes: vec![0; 32] };
            tensors.insert("bundle_emb.my style.clip_l".into(), embedding.clone());
            tensors.insert("bundle_emb.my style.clip_g".into(), embedding);
        });
        assert!(pipeline_weights(&path) == expected, "{unet} {text}");
    }
}

#[test]
fn embeddings_are_left_out_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one trainer.safetensors");
    let module = "lora_unet_mid_block_attentions_0_proj_in";
    let mut tensors = BTreeMap::from([
        (format!("{module}.lora_up.weight"), piece(0, "", &[32, 1])),
        (format!("{module}.lora_down.weight"), piece(1, "", &[1, 32])),
    ]);
    tensors.insert("bundle_emb.v1.5 style.clip_l".into(), piece(2, "", &[2, 4]));
    write(&path, &tensors);
    let note = merged(&path, 1.0).unwrap().report.notes.pop().unwrap();
    assert_eq!(
        note,
        "the LoRA file one trainer.safetensors was merged with scale 1 into 1 weights of unet; the embeddings that it \
         carries (v1.5 style) were left out, so prompts with their words are not understood"
    );
}

/// PEFT's patterns are regular expressions of a name's end; a pattern's alpha goes before the general one.
#[test]
fn settings_by_pattern() {
    let module = "mid_block.attentions.0.proj_in";
    let change = |config: Value| {
        let folder = tempfile::tempdir().unwrap();
        let tensors = BTreeMap::from([
            (format!("base_model.model.{module}.lora_B.weight"), piece(0, "", &[32, 2])),
            (format!("base_model.model.{module}.lora_A.weight"), piece(1, "", &[2, 32])),
        ]);
        write(&folder.path().join("adapter_model.safetensors"), &tensors);
        std::fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
        let param = format!("{module}.weight");
        let base = import(&fixture("zoo/unet_sdxl"), &ImportOptions::default()).unwrap();
        merged(folder.path(), 1.0).map(|component| weight(&component, &param)[40] - weight(&base, &param)[40])
    };
    let settings = |pattern: &str| json!({"peft_type": "LORA", "r": 8, "lora_alpha": 2, "alpha_pattern": {pattern: 6}});
    let one = change(json!({"peft_type": "LORA", "r": 8, "lora_alpha": 2})).unwrap();
    for (pattern, factor) in [
        ("proj_in", 3.0),
        (r"attentions\.\d+\.proj_(in|out)", 3.0),
        ("mid_block.attentions.0.proj_in", 3.0),
        ("roj_in", 1.0),
        ("proj", 1.0),
    ] {
        let ratio = change(settings(pattern)).unwrap() / one;
        assert!((ratio - factor).abs() < 1e-4, "{pattern}: {ratio}");
    }
    let refused = change(settings("proj_in(")).unwrap_err().to_string();
    assert!(
        refused.ends_with(
            "its setting `alpha_pattern` = \"proj_in(\": 6 is not supported; LoRA, LoHa, LoKr and DoRA are merged, without it"
        ),
        "{refused}"
    );
}

fn refusal(pieces: &[(&str, &[usize])]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let tensors = pieces.iter().map(|(key, shape)| ((*key).to_string(), piece(0, key, shape)));
    write(&path, &tensors.collect());
    let text = sentence(merged(&path, 1.0), folder.path());
    text.strip_prefix("the LoRA file `DIR/x.safetensors` cannot be merged: ").unwrap().to_string()
}

#[test]
fn what_does_not_fit_is_said() {
    let (up, down) = ("unet.conv_in.lora_B.weight", "unet.conv_in.lora_A.weight");
    let fits: [(&str, &[usize]); 2] = [(up, &[8, 2, 1, 1]), (down, &[2, 4, 3, 3])];
    assert_eq!(
        refusal(&[fits[0], fits[1], ("unet.conv_in.diff", &[8, 4, 3, 3])]),
        "1 key(s) do not fit: unet.conv_in is changed twice, by LoRA and by difference"
    );
    assert_eq!(
        refusal(&[(up, &[8, 2, 1, 1]), (down, &[2, 9, 2, 2])]),
        "1 key(s) do not fit: conv_in.weight: a change with [9, 2, 2] behind the first dimension does not fit a weight of \
         [8, 4, 3, 3]"
    );
    assert_eq!(
        refusal(&[("unet.conv_in.hada_w1_a", &[8, 2]), ("unet.conv_in.hada_w1_b", &[2, 36])]),
        "1 key(s) do not fit: unet.conv_in lacks a tensor that its change needs"
    );
    let to_q = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.diff_b";
    assert_eq!(
        refusal(&[(to_q, &[32])]),
        "1 key(s) do not fit: the network has no mid_block.attentions.0.transformer_blocks.0.attn1.to_q.bias"
    );
    assert_eq!(
        refusal(&[fits[0], fits[1], ("unet.conv_in.dora_scale", &[9, 1, 1, 1])]),
        "1 key(s) do not fit: conv_in.weight: [8, 4, 3, 3] and [9] cannot be given lengths"
    );
    assert_eq!(
        refusal(&[fits[0], fits[1], ("unet.conv_out.oft_blocks", &[2, 2, 2])]),
        "1 of its tensors are of the kind OFT or BOFT, which is not supported; let a program that knows it merge them into \
         the weights, and import those"
    );
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        sentence(merged(folder.path(), 1.0), folder.path()),
        "the LoRA file `DIR` cannot be merged: the folder holds neither adapter_model.safetensors nor \
         pytorch_lora_weights.safetensors; give the file itself"
    );
}
