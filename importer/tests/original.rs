//! Checkpoints in the layouts of their first publications: small ones equal the reference library's conversion and
//! outputs, and the complete name lists of the released sizes map one to one.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{copy, edit, fixture, named, sentence, sparse};
use dmdx_graph::store::hash;
use dmdx_importer::{ImportOptions, Nonfinite, Pipeline, check, convert, import, import_pipeline};

fn with_config(case: &str) -> ImportOptions {
    ImportOptions { config: Some(fixture(&format!("original/{case}/config"))), deny_unused: true, ..ImportOptions::default() }
}

fn file(case: &str) -> std::path::PathBuf {
    fixture(&format!("original/{case}/{}.safetensors", if case == "sdxl" { "sdxl" } else { "sd3" }))
}

/// The tensors of every network are bit for bit those that diffusers' converters give.
#[test]
fn tensors_equal_the_reference_conversion() {
    for (case, networks) in [("sdxl", 4), ("sd3", 5), ("sd35", 2)] {
        let pipeline = import_pipeline(&file(case), &with_config(case)).unwrap();
        assert_eq!(pipeline.components.len(), networks, "{case}");
        let wanted: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_slice(&std::fs::read(fixture(&format!("original/{case}/tensors.json"))).unwrap()).unwrap();
        for (folder, wanted) in wanted {
            let params = pipeline.components[&folder].parts.values().flat_map(|graph| graph.params());
            let found: BTreeMap<String, String> = params
                .map(|(name, param)| {
                    let hash = param.weight.as_ref().unwrap().with_bytes(hash::bytes);
                    (name.to_string(), hash[..16].to_string())
                })
                .collect();
            let wanted = wanted.into_iter().filter(|(name, _)| name != "encoder.embed_tokens.weight").collect();
            assert_eq!(found, wanted, "{case} {folder}");
        }
    }
}

#[test]
fn outputs_equal_the_reference() {
    for (case, component) in
        [("sdxl", "unet"), ("sdxl", "vae"), ("sdxl", "text_encoder_2"), ("sd3", "transformer"), ("sd35", "transformer")]
    {
        let io = fixture(&format!("original/{case}/io_{component}.safetensors"));
        // References in f32 against f64.
        let report = check::run_component(&file(case), Some(component), &io, 1e-4, &with_config(case)).unwrap();
        assert!(report.passed(), "{report}");
    }
    for io in ["image", "text"] {
        let folder = fixture("original/open_clip");
        let io = folder.join(format!("io_{io}.safetensors"));
        let report = check::run(&folder, &io, 1e-4, &ImportOptions { deny_unused: true, ..ImportOptions::default() }).unwrap();
        assert!(report.passed(), "{report}");
    }
}

#[test]
fn converted_like_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("pipe");
    convert(&file("sd3"), &to, &with_config("sd3"), Default::default()).unwrap();
    let io = fixture("original/sd3/io_transformer.safetensors");
    let report = check::run(&to.join("transformer"), &io, 1e-4, &ImportOptions::default()).unwrap();
    assert!(report.passed(), "{report}");
    let (from, to) =
        (import_pipeline(&file("sd3"), &with_config("sd3")).unwrap(), import_pipeline(&to, &ImportOptions::default()).unwrap());
    assert_eq!((from.class, from.scheduler), (to.class, to.scheduler));
    assert_eq!(from.components.keys().collect::<Vec<_>>(), to.components.keys().collect::<Vec<_>>());
}

/// The identity stands for the projection that SD3's files leave out.
#[test]
fn a_file_without_the_projection_of_clip_l() {
    let folder = copy("original/sd3");
    edit(&folder.path().join("sd3.safetensors"), |tensors| {
        tensors.remove("text_encoders.clip_l.transformer.text_projection.weight").unwrap();
    });
    let pipeline = import_pipeline(&folder.path().join("sd3.safetensors"), &with_config("sd3")).unwrap();
    let graph = &pipeline.components["text_encoder"].parts["text_encoder"];
    let weight = graph.params()["text_projection.weight"].weight.as_ref().unwrap().to_f32();
    assert_eq!(weight, (0..64).map(|i| if i % 9 == 0 { 1.0 } else { 0.0 }).collect::<Vec<f32>>());
}

#[test]
fn what_does_not_fit_is_listed_with_the_names_of_the_file() {
    let folder = copy("original/sd35");
    let path = folder.path().join("sd3.safetensors");
    edit(&path, |tensors| {
        tensors.remove("model.diffusion_model.x_embedder.proj.bias").unwrap();
        tensors.get_mut("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.bias").unwrap().shape = vec![16, 3];
        let stranger = tensors["model.diffusion_model.pos_embed"].clone();
        tensors.insert("model.diffusion_model.stranger".into(), stranger);
    });
    assert_eq!(
        sentence(import_pipeline(&path, &with_config("sd35")), folder.path()),
        "the weights in `DIR/sd3.safetensors` do not fit SD3Transformer2DModel: 1 missing tensor(s): \
         model.diffusion_model.x_embedder.proj.bias; 1 tensor(s) of wrong shape: \
         model.diffusion_model.joint_blocks.0.x_block.attn.qkv.bias is [16, 3] but [48] is needed; 1 unused tensor(s): \
         model.diffusion_model.stranger"
    );
}

#[test]
fn files_that_say_too_little() {
    let path = file("sdxl");
    assert_eq!(
        sentence(import_pipeline(&path, &ImportOptions::default()), &fixture("original/sdxl")),
        "`DIR/sdxl.safetensors` holds a network in the original layout (unet) that is none of Stable Diffusion XL base, \
         Stable Diffusion XL refiner, Stable Diffusion 1, Stable Diffusion 2, Stable Diffusion 3 Medium, Stable Diffusion \
         3.5 Medium, Stable Diffusion 3.5 Large, Segment Anything ViT-B, Segment Anything ViT-L, Segment Anything ViT-H; give its configuration with --config"
    );
    assert_eq!(
        sentence(import(&path, &ImportOptions::default()), &fixture("original/sdxl")),
        "`DIR/sdxl.safetensors` holds several networks; convert it first with `dmdx-import convert DIR/sdxl.safetensors -o \
         FOLDER` and give one of the folders that this makes, such as its `unet`"
    );
    // The configuration of one network picks that network out of the file.
    let unet = ImportOptions { config: Some(fixture("original/sdxl/config/unet")), ..ImportOptions::default() };
    assert_eq!(import(&path, &unet).unwrap().class, "UNet2DConditionModel");
}

/// The complete original name lists (which diffusers' converters turn into those of the full-size models) are recognised
/// and used up without a remainder.
#[test]
fn released_sizes_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let options = ImportOptions { nonfinite: Nonfinite::Skip, deny_unused: true, ..ImportOptions::default() };
    let whole: [(&str, &[&str]); 4] = [
        ("Stable Diffusion XL base", &["unet_sdxl_base", "vae_sdxl", "clip_bigg_text_proj"]),
        ("Stable Diffusion 3 Medium", &["sd3_medium", "vae_sd3"]),
        ("Stable Diffusion 3.5 Medium", &["sd35_medium", "vae_sd3"]),
        ("Stable Diffusion 3.5 Large", &["sd35_large", "vae_sd3"]),
    ];
    for (title, lists) in whole {
        sparse(&path, &named(lists), &[]);
        let pipeline: Pipeline = import_pipeline(&path, &options).unwrap();
        assert!(pipeline.notes[0].starts_with(&format!("recognised as {title} by ")), "{:?}", pipeline.notes);
        assert_eq!(pipeline.components.len(), lists.len(), "{title}");
    }
    for (title, list) in [
        ("Stable Diffusion XL refiner", "unet_sdxl_refiner"),
        ("Stable Diffusion 1", "unet_sd15"),
        ("Stable Diffusion 2", "unet_sd21"),
    ] {
        sparse(&path, &named(&[list]), &[]);
        let component = import(&path, &options).unwrap();
        assert!(component.report.notes[0].starts_with(&format!("recognised as {title} by ")), "{:?}", component.report.notes);
    }
}
