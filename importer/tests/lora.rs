//! LoRA files of several programs, merged: the outputs are those of PEFT, which applies them unmerged in f32.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;

use common::{copy, edit, fixture, sentence};
use dmdx_importer::check::{Report, run_component};
use dmdx_importer::{ImportError, ImportOptions, LoraFile, import, import_pipeline};
use safetensors::tensor::Dtype;

/// The scale that the references were made with.
const SCALE: f64 = 0.5;

fn options(case: &str, lora: PathBuf, scale: f64) -> ImportOptions {
    ImportOptions {
        config: Some(fixture(&format!("original/{case}/config"))),
        loras: vec![LoraFile { path: lora, scale }],
        ..ImportOptions::default()
    }
}

fn merged(lora: &str, component: &str, scale: f64) -> Report {
    let (case, file) = if lora == "kohya_sd3" { ("sd35", "sd3") } else { ("sdxl", "sdxl") };
    let path = fixture(&format!("original/{case}/{file}.safetensors"));
    let io = fixture(&format!("lora/io_{component}.safetensors"));
    let lora = fixture(&format!("lora/{lora}.safetensors"));
    // The references are f32 throughout; the merged weights are rounded to f32 once.
    run_component(&path, Some(component), &io, 1e-4, &options(case, lora, scale)).unwrap()
}

#[test]
fn outputs_equal_the_reference_in_every_naming() {
    for lora in ["peft", "kohya", "kohya_original", "older_diffusers"] {
        for component in ["unet", "text_encoder_2"] {
            let report = merged(lora, component, SCALE);
            assert!(report.passed(), "{lora} {report}");
        }
    }
    let report = merged("adapter/adapter_model", "unet", SCALE);
    assert!(report.passed(), "{report}");
    // Fused query, key and value, and modulations with swapped halves.
    let report = merged("kohya_sd3", "transformer", SCALE);
    assert!(report.passed(), "{report}");
}

#[test]
fn the_scale_matters() {
    assert!(!merged("peft", "unet", SCALE * 1.01).passed());
    let none = merged("peft", "unet", 0.0);
    assert!(!none.passed());
}

#[test]
fn one_network_takes_its_own_part() {
    let lora = fixture("lora/peft.safetensors");
    let unet = ImportOptions { config: Some(fixture("original/sdxl/config/unet")), ..options("sdxl", lora, SCALE) };
    let component = import(&fixture("original/sdxl/sdxl.safetensors"), &unet);
    // The folder is not called `unet`, the class says what it is.
    let component = component.unwrap();
    let note = component.report.notes.last().unwrap();
    assert!(note.starts_with("the LoRA file peft.safetensors was merged with scale 0.5 into "), "{note}");
    assert!(note.ends_with(" of its modules belong to other networks and were left out"), "{note}");
}

fn refusal(change: impl FnOnce(&mut std::collections::BTreeMap<String, common::Raw>)) -> String {
    let folder = copy("lora");
    let lora = folder.path().join("kohya.safetensors");
    edit(&lora, change);
    let result = import_pipeline(&fixture("original/sdxl/sdxl.safetensors"), &options("sdxl", lora, 1.0));
    sentence(result, folder.path())
}

#[test]
fn every_key_that_does_not_fit_is_listed() {
    let text = refusal(|tensors| {
        let module = "lora_unet_mid_block_attentions_0_proj_in";
        for kind in ["lora_down.weight", "lora_up.weight", "alpha"] {
            let tensor = tensors.remove(&format!("{module}.{kind}")).unwrap();
            tensors.insert(format!("lora_unet_mid_block_attentions_9_proj_in.{kind}"), tensor);
        }
        tensors.remove("lora_unet_mid_block_resnets_0_conv1.lora_up.weight").unwrap();
        let tensor = tensors["lora_unet_mid_block_resnets_1_conv1.alpha"].clone();
        tensors.insert("lora_unet_mid_block_resnets_1_conv1.lora_aside".into(), tensor);
        let down = tensors.get_mut("lora_te2_text_model_encoder_layers_1_mlp_fc1.lora_down.weight").unwrap();
        (down.shape, down.bytes) = (vec![2, 3], vec![0; 24]);
    });
    assert_eq!(
        text,
        "the LoRA file `DIR/kohya.safetensors` cannot be merged: 4 key(s) do not fit: \
         lora_unet_mid_block_resnets_1_conv1.lora_aside is of no kind that is known, lora_unet_mid_block_resnets_0_conv1 \
         lacks a tensor that its change needs, lora_unet_mid_block_attentions_9_proj_in has no weight to change, \
         text_model.encoder.layers.1.mlp.fc1.weight: [32, 2] times [2, 3] does not fit a weight of [32, 16]"
    );
}

#[test]
fn settings_that_are_not_plain_lora() {
    let folder = copy("lora/adapter");
    common::edit_text(&folder.path().join("adapter_config.json"), |text| {
        text.replace("\"use_dora\": false", "\"fan_in_fan_out\": true")
    });
    let options = options("sdxl", folder.path().join("adapter_model.safetensors"), 1.0);
    let result = import_pipeline(&fixture("original/sdxl/sdxl.safetensors"), &options);
    assert_eq!(
        sentence(result, folder.path()),
        "the LoRA file `DIR/adapter_model.safetensors` cannot be merged: its setting `fan_in_fan_out` = true is not \
         supported; LoRA, LoHa, LoKr and DoRA are merged, without it"
    );
    let infinite = self::options("sdxl", fixture("lora/peft.safetensors"), f64::INFINITY);
    let error = import_pipeline(&fixture("original/sdxl/sdxl.safetensors"), &infinite).unwrap_err();
    assert!(matches!(error, ImportError::Lora { .. }), "{error}");
}

#[test]
fn values_that_are_not_finite() {
    let alpha = "lora_unet_mid_block_attentions_0_proj_in.alpha";
    let folder = copy("lora");
    let lora = folder.path().join("kohya.safetensors");
    edit(&lora, |tensors| tensors.get_mut(alpha).unwrap().bytes = f32::MAX.to_le_bytes().to_vec());
    let import = |scale| import_pipeline(&fixture("original/sdxl/sdxl.safetensors"), &options("sdxl", lora.clone(), scale));
    assert_eq!(
        sentence(import(1e300), folder.path()),
        "the LoRA file `DIR/kohya.safetensors` cannot be merged: 1 key(s) do not fit: \
         lora_unet_mid_block_attentions_0_proj_in has a factor (scale and alpha over rank) that is not finite"
    );
    let up = "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight";
    edit(&lora, |tensors| {
        let up = tensors.get_mut(up).unwrap();
        assert_eq!(up.dtype, Dtype::F32);
        up.bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let notes = import(1.0).unwrap().notes;
    let warning = format!("; it holds 1 NaN or infinite values in {up}");
    assert!(notes.iter().any(|note| note.ends_with(&warning)), "{notes:?}");
}

/// 16-bit weights become f32 where they are changed, and stay as they are elsewhere.
#[test]
fn storage_types() {
    let pipeline =
        import_pipeline(&fixture("original/sdxl/sdxl.safetensors"), &options("sdxl", fixture("lora/kohya.safetensors"), SCALE))
            .unwrap();
    let params = pipeline.components["unet"].parts["unet"].params();
    let dtype = |name: &str| dmdx_importer::hf::safetensors::safetensors_dtype(params[name].weight.as_ref().unwrap().dtype());
    assert_eq!(dtype("mid_block.resnets.0.conv1.weight"), Dtype::F32);
    assert_eq!(dtype("mid_block.resnets.0.conv1.bias"), Dtype::F16);
}
