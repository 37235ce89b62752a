//! Weights that do not fit their network: one error lists everything.
#![allow(clippy::unwrap_used)]

mod common;

use common::{copy, edit, fixture, sentence};
use dmdx_importer::{ImportError, ImportOptions, Nonfinite, import};
use safetensors::tensor::Dtype;

const NORM: &str = "text_model.final_layer_norm.weight";

fn options() -> ImportOptions {
    ImportOptions::default()
}

#[test]
fn every_defect_is_listed_at_once() {
    let folder = copy("zoo/clip_l");
    edit(&folder.path().join("model.safetensors"), |tensors| {
        tensors.remove("text_model.embeddings.position_embedding.weight").unwrap();
        let moved = tensors.remove("text_model.encoder.layers.1.mlp.fc1.bias").unwrap();
        tensors.insert("text_model.encoder.layers.1.mlp.fc1.bais".into(), moved);
        tensors.get_mut(NORM).unwrap().shape = vec![2, 12];
        let bias = tensors.get_mut("text_model.final_layer_norm.bias").unwrap();
        (bias.dtype, bias.bytes) = (Dtype::I32, vec![0; 96]);
    });
    assert_eq!(
        sentence(import(folder.path(), &options()), folder.path()),
        "the weights in `DIR` do not fit CLIPTextModel: 2 missing tensor(s): \
         text_model.embeddings.position_embedding.weight, text_model.encoder.layers.1.mlp.fc1.bias; \
         1 tensor(s) of wrong shape: text_model.final_layer_norm.weight is [2, 12] but [24] is needed; \
         1 tensor(s) of wrong type: text_model.final_layer_norm.bias is i32 but f32 is needed; \
         1 unused tensor(s): text_model.encoder.layers.1.mlp.fc1.bais"
    );
}

#[test]
fn long_lists_are_shortened() {
    let folder = copy("zoo/clip_l");
    edit(&folder.path().join("model.safetensors"), |tensors| tensors.retain(|name, _| name == NORM));
    let error = import(folder.path(), &options()).unwrap_err();
    assert!(error.to_string().ends_with(" and 31 more"), "{error}");
    let ImportError::Binding { defects, .. } = error else { panic!("{error}") };
    assert_eq!(defects.missing.len(), 51);
}

#[test]
fn unused_tensors_are_reported_or_refused() {
    let folder = copy("zoo/clip_l");
    edit(&folder.path().join("model.safetensors"), |tensors| {
        let tensor = tensors[NORM].clone();
        tensors.insert("lora.up.weight".into(), tensor);
    });
    assert_eq!(import(folder.path(), &options()).unwrap().report.unused, ["lora.up.weight"]);
    let deny = ImportOptions { deny_unused: true, ..options() };
    assert_eq!(
        sentence(import(folder.path(), &deny), folder.path()),
        "the weights in `DIR` do not fit CLIPTextModel: 1 unused tensor(s): lora.up.weight"
    );
}

#[test]
fn tensors_that_are_left_out_on_purpose() {
    let folder = copy("zoo/clip_l");
    edit(&folder.path().join("model.safetensors"), |tensors| {
        let ids: Vec<u8> = (0i64..77).flat_map(i64::to_le_bytes).collect();
        let position_ids = common::Raw { dtype: Dtype::I64, shape: vec![1, 77], bytes: ids };
        tensors.insert("text_model.embeddings.position_ids".into(), position_ids);
    });
    let deny = ImportOptions { deny_unused: true, ..options() };
    let report = import(folder.path(), &deny).unwrap().report;
    let ignored: Vec<&String> = report.ignored.values().flatten().collect();
    assert_eq!(ignored, ["text_model.embeddings.position_ids"]);
}

#[test]
fn names_of_older_files() {
    let old = |name: &str| {
        name.replace("to_q.", "query.").replace("to_k.", "key.").replace("to_v.", "value.").replace("to_out.0.", "proj_attn.")
    };
    let folder = copy("zoo/vae_sdxl");
    edit(&folder.path().join("diffusion_pytorch_model.safetensors"), |tensors| {
        *tensors = tensors.iter().map(|(name, tensor)| (old(name), tensor.clone())).collect();
    });
    let component = import(folder.path(), &ImportOptions { deny_unused: true, ..options() }).unwrap();
    assert_eq!(component.report.renamed.len(), 16);
    same_weights(&component, "zoo/vae_sdxl");
}

/// Early conversions kept the 1×1 convolutions of the original's attention, under either name.
#[test]
fn attention_of_convolutions() {
    let old = |name: &str| name.replace("encoder.mid_block.attentions.0.to_q.", "encoder.mid_block.attentions.0.query.");
    let folder = copy("zoo/vae_sdxl");
    let file = folder.path().join("diffusion_pytorch_model.safetensors");
    edit(&file, |tensors| {
        let weights = tensors.iter_mut().filter(|(name, raw)| name.contains(".attentions.") && raw.shape.len() == 2);
        assert_eq!(weights.map(|(_, raw)| raw.shape.extend([1, 1])).count(), 8);
        *tensors = tensors.iter().map(|(name, tensor)| (old(name), tensor.clone())).collect();
    });
    let component = import(folder.path(), &ImportOptions { deny_unused: true, ..options() }).unwrap();
    same_weights(&component, "zoo/vae_sdxl");
    // A kernel of another size is no matrix, and no other layer takes one.
    let name = "encoder.mid_block.attentions.0.to_k.weight";
    edit(&file, |tensors| tensors.get_mut(name).unwrap().shape = vec![32, 8, 2, 2]);
    let text = sentence(import(folder.path(), &options()), folder.path());
    assert!(text.contains(name) && text.contains("[32, 8, 2, 2]"), "{text}");
}

fn same_weights(component: &dmdx_importer::Component, case: &str) {
    let today = import(&fixture(case), &options()).unwrap();
    for (part, graph) in &today.parts {
        for (name, param) in graph.params() {
            let (weight, other) = (param.weight.as_ref().unwrap(), component.parts[part].params()[name].weight.as_ref().unwrap());
            assert_eq!((other.shape(), other.hash()), (weight.shape(), weight.hash()), "{name}");
        }
    }
}

#[test]
fn nan_weights() {
    let folder = copy("zoo/clip_l");
    edit(&folder.path().join("model.safetensors"), |tensors| {
        let bytes = &mut tensors.get_mut(NORM).unwrap().bytes;
        bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes[8..12].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    let found = import(folder.path(), &options()).unwrap().report.nonfinite.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(NORM.to_string(), 2)]);
    let with = |nonfinite| ImportOptions { nonfinite, ..options() };
    assert_eq!(import(folder.path(), &with(Nonfinite::Skip)).unwrap().report.nonfinite, None);
    assert_eq!(
        sentence(import(folder.path(), &with(Nonfinite::Deny)), folder.path()),
        format!("the weights in `DIR` hold 2 NaN or infinite values in {NORM}; take an undamaged file")
    );
}
