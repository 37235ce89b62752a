//! Few-step students as they are published, in their full sizes: every tensor of a UNet and every module of a LoRA has its
//! place. The files are of zeros that take no room; names and shapes are those of `fixtures/full`.
#![allow(clippy::unwrap_used)]

mod common;

use common::sparse;
use dmdx_importer::{ImportOptions, LoraFile, Nonfinite, import};
use serde_json::{Value, json};

type Tensors = Vec<(String, Vec<usize>)>;

/// The configuration and the tensors of a released size.
fn released(name: &str) -> (Value, Tensors) {
    let released = common::released(name);
    (released.config, released.tensors.into_iter().collect())
}

fn options() -> ImportOptions {
    ImportOptions { nonfinite: Nonfinite::Skip, deny_unused: true, ..ImportOptions::default() }
}

/// UNets that replace the teacher's: SDXL-Lightning, DMD2, the Turbo models, and LCM's, which are told their guidance.
#[test]
fn whole_networks_import() {
    for (student, size, file, told) in [
        ("ByteDance/SDXL-Lightning", "unet_sdxl_base", "sdxl_lightning_4step_unet.safetensors", None),
        ("tianweiy/DMD2", "unet_sdxl_base", "dmd2_sdxl_4step_unet_fp16.safetensors", None),
        ("stabilityai/sdxl-turbo", "unet_sdxl_base", "diffusion_pytorch_model.safetensors", None),
        ("stabilityai/sd-turbo", "unet_sd21", "diffusion_pytorch_model.safetensors", None),
        ("latent-consistency/lcm-sdxl", "unet_sdxl_base", "diffusion_pytorch_model.safetensors", Some(256)),
        ("SimianLuo/LCM_Dreamshaper_v7", "unet_sd15", "diffusion_pytorch_model.safetensors", Some(256)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (mut config, mut tensors) = released(size);
        if let Some(width) = told {
            config["time_cond_proj_dim"] = json!(width);
            tensors.push(("time_embedding.cond_proj.weight".into(), vec![320, width]));
        }
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        sparse(&folder.path().join(file), &tensors, &[]);
        let component = import(&folder.path().join(file), &options()).unwrap();
        assert_eq!(component.report.used, tensors.len(), "{student}");
        let inputs: Vec<&str> = component.parts["unet"].inputs().iter().map(|(name, _)| &**name).collect();
        assert_eq!(inputs.contains(&"timestep_cond"), told.is_some(), "{student}: {inputs:?}");
    }
}

/// The modules that LCM's training script adapts, as its LoRAs, PCM's and Hyper-SD's have them.
const ADAPTED: [&str; 14] = [
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "proj_in",
    "proj_out",
    "ff.net.0.proj",
    "ff.net.2",
    "conv1",
    "conv2",
    "conv_shortcut",
    "downsamplers.0.conv",
    "upsamplers.0.conv",
    "time_emb_proj",
];

/// LoRAs over the teacher's UNet, with the names of kohya's scripts (LCM-LoRA) and of diffusers (Flash Diffusion).
#[test]
fn loras_find_every_module() {
    for size in ["unet_sdxl_base", "unet_sd15"] {
        let folder = tempfile::tempdir().unwrap();
        let (config, tensors) = released(size);
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        sparse(&folder.path().join("diffusion_pytorch_model.safetensors"), &tensors, &[]);
        let modules: Vec<(&str, &Vec<usize>)> = tensors
            .iter()
            .filter_map(|(name, shape)| Some((name.strip_suffix(".weight")?, shape)))
            .filter(|(module, _)| ADAPTED.iter().any(|adapted| module.ends_with(&format!(".{adapted}"))))
            .collect();
        let rank = 64;
        let matrices = |shape: &Vec<usize>| {
            let down = [&[rank], &shape[1..]].concat();
            let up = [vec![shape[0], rank], vec![1; shape.len() - 2]].concat();
            (down, up)
        };
        for is_kohya in [true, false] {
            let mut lora = Tensors::new();
            for (module, shape) in &modules {
                let (down, up) = matrices(shape);
                if is_kohya {
                    let module = format!("lora_unet_{}", module.replace('.', "_"));
                    lora.push((format!("{module}.alpha"), Vec::new()));
                    lora.push((format!("{module}.lora_down.weight"), down));
                    lora.push((format!("{module}.lora_up.weight"), up));
                } else {
                    lora.push((format!("unet.{module}.lora_A.weight"), down));
                    lora.push((format!("unet.{module}.lora_B.weight"), up));
                }
            }
            let path = folder.path().join("pytorch_lora_weights.safetensors");
            sparse(&path, &lora, &[]);
            let options = ImportOptions { loras: vec![LoraFile { path, scale: 1.0 }], ..options() };
            let component = import(folder.path(), &options).unwrap();
            let changed = component.parts["unet"].params().values().filter(|param| {
                // A 16-bit weight that is changed becomes one of 32 bits.
                param.weight.as_ref().unwrap().dtype() == dmdx_graph::DType::F32
            });
            assert_eq!(changed.count(), modules.len(), "{size} {is_kohya}");
        }
    }
}
