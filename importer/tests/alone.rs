//! Networks without a configuration: recognised by the shapes of released ones, described otherwise; what wrappers left in
//! names is removed.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Raw, copy, edit, fixture, sentence};
use dmdx_importer::{ImportOptions, check, import, import_pipeline, inspect};
use safetensors::tensor::Dtype;

type Shapes = BTreeMap<String, Vec<usize>>;

fn options() -> ImportOptions {
    ImportOptions::default()
}

/// A file of these tensors that takes no room: everything behind the header is a hole.
fn sparse(path: &Path, shapes: &Shapes) {
    let mut header = serde_json::Map::new();
    let mut offset = 0;
    for (name, shape) in shapes {
        let end = offset + 2 * shape.iter().product::<usize>();
        header.insert(name.clone(), serde_json::json!({"dtype": "F16", "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let bytes = common::file_of(&serde_json::Value::Object(header).to_string(), &[]);
    std::fs::write(path, &bytes).unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_len((bytes.len() + offset) as u64).unwrap();
}

/// Names and shapes of a released network's checkpoint, buffers included.
fn released(name: &str) -> Shapes {
    let released = common::released(name);
    released.tensors.into_iter().chain(released.buffers).collect()
}

fn recognised(shapes: &Shapes) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alone.safetensors");
    sparse(&path, shapes);
    let quick = ImportOptions { nonfinite: dmdx_importer::Nonfinite::Skip, ..options() };
    let component = import(&path, &quick).unwrap_or_else(|error| panic!("{error}"));
    assert!(component.report.unused.iter().all(|name| name.ends_with("logit_scale")), "{:?}", component.report.unused);
    (component.class, component.report.notes)
}

#[test]
fn released_networks_are_recognised_by_their_shapes() {
    for (name, class, title) in [
        ("unet_sdxl_base", "UNet2DConditionModel", "Stable Diffusion XL base"),
        ("unet_sdxl_refiner", "UNet2DConditionModel", "Stable Diffusion XL refiner"),
        ("unet_sd15", "UNet2DConditionModel", "Stable Diffusion 1"),
        ("unet_sd21", "UNet2DConditionModel", "Stable Diffusion 2"),
        ("sd3_medium", "SD3Transformer2DModel", "Stable Diffusion 3 Medium"),
        ("sd35_medium", "SD3Transformer2DModel", "Stable Diffusion 3.5 Medium"),
        ("sd35_large", "SD3Transformer2DModel", "Stable Diffusion 3.5 Large"),
        ("cogvideox_2b", "CogVideoXTransformer3DModel", "CogVideoX-2b"),
        ("cogvideox_5b", "CogVideoXTransformer3DModel", "CogVideoX-5b"),
        ("cogvideox_5b_i2v", "CogVideoXTransformer3DModel", "CogVideoX-5b-I2V"),
        ("cogvideox_15_5b", "CogVideoXTransformer3DModel", "CogVideoX1.5-5B"),
        ("vae_sd15", "AutoencoderKL", "the autoencoder of Stable Diffusion"),
        ("vae_sdxl", "AutoencoderKL", "the autoencoder of Stable Diffusion"),
        ("vae_sd3", "AutoencoderKL", "the autoencoder of Stable Diffusion 3"),
        ("vae_cogvideox_2b", "AutoencoderKLCogVideoX", "the autoencoder of CogVideoX"),
        ("clip_l_text", "CLIPTextModel", "the text encoder CLIP ViT-L/14"),
        ("clip_l_text_proj", "CLIPTextModelWithProjection", "the text encoder CLIP ViT-L/14 with projection"),
        ("clip_h_text_sd21", "CLIPTextModel", "the text encoder OpenCLIP ViT-H/14"),
        ("clip_bigg_text_proj", "CLIPTextModelWithProjection", "the text encoder OpenCLIP ViT-bigG/14"),
        ("t5_xxl_encoder", "T5EncoderModel", "the text encoder of T5 v1.1 XXL"),
    ] {
        let mut shapes = released(name);
        if name.starts_with("clip") {
            // As the files of single text encoders have it.
            shapes.insert("logit_scale".into(), Vec::new());
        }
        let (found, notes) = recognised(&shapes);
        assert_eq!(
            (found.as_str(), notes[0].as_str()),
            (class, format!("recognised as {title} by its shapes").as_str()),
            "{name}"
        );
        // What shapes cannot show is said.
        assert_eq!(name.starts_with("vae"), notes.iter().any(|note| note.contains("was assumed")), "{notes:?}");
    }
}

/// As programs of single files write a UNet and an autoencoder: original names, with and without a prefix.
#[test]
fn original_names_without_their_prefix() {
    for (list, prefix, title) in [
        ("unet_sdxl_base", "model.diffusion_model.", "Stable Diffusion XL base"),
        ("sd35_large", "model.diffusion_model.", "Stable Diffusion 3.5 Large"),
        ("vae_sdxl", "first_stage_model.", "the autoencoder of Stable Diffusion"),
        ("vae_sd3", "first_stage_model.", "the autoencoder of Stable Diffusion 3"),
    ] {
        let bare = |(name, shape): (String, Vec<usize>)| (name.strip_prefix(prefix).unwrap().to_string(), shape);
        let (_, notes) = recognised(&common::named(&[list]).into_iter().map(bare).collect());
        assert_eq!(notes[0], format!("recognised as {title} by its shapes"), "{list}");
    }
}

/// A network with one tensor more, fewer or of another shape is not taken for a released one.
#[test]
fn almost_released() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unet.safetensors");
    let refused = |change: fn(&mut Shapes)| {
        let mut shapes = released("unet_sd15");
        change(&mut shapes);
        sparse(&path, &shapes);
        sentence(import(&path, &options()), folder.path())
    };
    let looks = |tensors: usize| {
        format!(
            "`DIR/unet.safetensors` has no configuration, and its {tensors} tensors are those of a UNet2DConditionModel of \
             other shapes than Stable Diffusion XL base, Stable Diffusion XL refiner, Stable Diffusion 1, Stable Diffusion 2; \
             give the folder with its config.json with --config"
        )
    };
    // A guidance embedding, an inpainting network, a network with its last layer cut off.
    assert_eq!(refused(|shapes| drop(shapes.insert("time_embedding.cond_proj.weight".into(), vec![320, 256]))), looks(687));
    assert_eq!(refused(|shapes| shapes.get_mut("conv_in.weight").unwrap()[1] = 9), looks(686));
    assert_eq!(refused(|shapes| drop(shapes.remove("conv_out.bias"))), looks(685));
    let said = refused(|shapes| {
        *shapes = [("input_hint_block.0.weight".to_string(), vec![16, 3, 3, 3])].into();
    });
    assert!(said.contains("are those of a ControlNet, which is not supported") && !said.contains("--config"), "{said}");
    let said = refused(|shapes| *shapes = [("a.b".to_string(), vec![1]), ("c".to_string(), vec![1])].into());
    assert!(said.contains("its 2 tensors are of no network that is known (a.b, c, …)"), "{said}");
}

/// Renames the tensors of the small UNet and compares with the reference's outputs.
fn wrapped(prefix: impl Fn(&str) -> String) -> Vec<String> {
    let folder = copy("zoo/unet_sd15");
    edit(&folder.path().join("diffusion_pytorch_model.safetensors"), |tensors| {
        *tensors = std::mem::take(tensors).into_iter().map(|(name, tensor)| (prefix(&name), tensor)).collect();
    });
    checked(folder.path())
}

fn checked(folder: &Path) -> Vec<String> {
    let report = check::run(folder, &folder.join("io.safetensors"), 1e-4, &options()).unwrap_or_else(|error| panic!("{error}"));
    assert!(report.passed(), "{report}");
    let component = import(folder, &options()).unwrap();
    assert!(component.report.unused.is_empty(), "{:?}", component.report.unused);
    component.report.notes
}

#[test]
fn wrappers_before_every_name() {
    for prefix in ["_orig_mod.", "module.", "feedforward_model.", "model."] {
        let notes = wrapped(|name| format!("{prefix}{name}"));
        assert_eq!(notes[0], format!("`{prefix}` in the names of all tensors was left by a wrapper and is removed"));
    }
    let notes = wrapped(|name| format!("module._orig_mod.{name}"));
    assert_eq!(notes[0], "`_orig_mod.` and `module.` in the names of all tensors was left by a wrapper and is removed");
    // torch.compile of every block, and FSDP around it.
    let notes = wrapped(|name| name.replace("resnets.0.", "resnets.0._fsdp_wrapped_module._orig_mod."));
    assert!(notes[0].starts_with("`_orig_mod.` and `_fsdp_wrapped_module.` in"), "{notes:?}");
    // Whatever stands before all names.
    let notes = wrapped(|name| format!("pipeline.student.{name}"));
    assert_eq!(notes[0], "all tensors have `pipeline.student.` before their names, which is removed");
}

#[test]
fn moving_averages() {
    // Alone they are the weights; beside the weights they are left out.
    let notes = wrapped(|name| format!("ema.{name}"));
    assert_eq!(notes[1], "the weights are moving averages (EMA); the file holds no others");
    let beside = |plain: fn(&str) -> String, average: fn(&str) -> String| {
        let folder = copy("zoo/unet_sd15");
        edit(&folder.path().join("diffusion_pytorch_model.safetensors"), |tensors| {
            for (name, tensor) in std::mem::take(tensors) {
                let zero = Raw { bytes: vec![0; tensor.bytes.len()], ..tensor.clone() };
                tensors.insert(average(&name), zero);
                tensors.insert(plain(&name), tensor);
            }
            let counter = Raw { dtype: Dtype::F32, shape: vec![], bytes: vec![0; 4] };
            if tensors.keys().any(|name| name.starts_with("ema.")) {
                tensors.insert("ema.decay".into(), counter);
            }
        });
        checked(folder.path())
    };
    let left_out = "tensor(s) are moving averages of others in the file and are left out; the weights themselves are used";
    let notes = beside(|name| format!("model.{name}"), |name| format!("ema.{name}"));
    assert!(notes[0].ends_with(left_out) && notes[1].starts_with("`model.` in"), "{notes:?}");
    let notes = beside(|name| name.into(), |name| format!("model_ema.{name}"));
    assert!(notes[0].ends_with(left_out), "{notes:?}");
    let notes = beside(|name| name.into(), |name| format!("{name}_ema"));
    assert!(notes[0].ends_with(left_out), "{notes:?}");
}

/// The wrapper's names in a LoRA file: the merged network equals the reference's.
#[test]
fn wrappers_in_lora_files() {
    for (file, wrap) in [
        ("peft.safetensors", (|name| name.replacen("unet.", "unet._orig_mod.", 1)) as fn(&str) -> String),
        ("peft.safetensors", |name| name.replacen("unet.", "unet.module._orig_mod.", 1)),
        ("peft.safetensors", |name| format!("module.{name}")),
        ("kohya.safetensors", |name| name.replacen("lora_unet_", "lora_unet__orig_mod_", 1)),
    ] {
        let folder = copy("lora");
        edit(&folder.path().join(file), |tensors| {
            *tensors = std::mem::take(tensors).into_iter().map(|(name, tensor)| (wrap(&name), tensor)).collect();
        });
        let merged = |path: &Path| {
            let lora = dmdx_importer::LoraFile { path: path.into(), scale: 0.5 };
            let config = Some(fixture("original/sdxl/config"));
            let options = ImportOptions { loras: vec![lora], config, ..options() };
            import_pipeline(&fixture("original/sdxl/sdxl.safetensors"), &options).unwrap_or_else(|error| panic!("{error}"))
        };
        let (wrapped, plain) = (merged(&folder.path().join(file)), merged(&fixture("lora").join(file)));
        let weights = |pipeline: &dmdx_importer::Pipeline| -> Vec<_> {
            let params = pipeline.components.values().flat_map(|c| c.parts.values()).flat_map(|graph| graph.params());
            params.map(|(name, param)| (name.to_string(), param.weight.as_ref().unwrap().to_f32())).collect()
        };
        assert!(weights(&wrapped) == weights(&plain), "{file}");
    }
}

#[test]
fn lora_files_are_described() {
    let described = |name: &str| inspect(&fixture("lora").join(name), &options(), false).unwrap().to_string();
    let expected = "LoRA file, to be merged into a model with --lora\n  \
        rank: 2\n  \
        text_encoder_2: 8 modules\n  \
        unet: 141 modules\n";
    assert!(described("kohya.safetensors").starts_with(expected), "{}", described("kohya.safetensors"));
    assert!(described("adapter").contains("  a network without a name: 141 modules\n"), "{}", described("adapter"));
    // The width of what the keys of cross-attention read.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lcm.safetensors");
    for (width, title) in [(768, "Stable Diffusion 1"), (2048, "Stable Diffusion XL")] {
        let module = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k";
        let shapes =
            [(format!("{module}.lora_down.weight"), vec![64, width]), (format!("{module}.lora_up.weight"), vec![640, 64])];
        sparse(&path, &shapes.into());
        let text = inspect(&path, &options(), false).unwrap().to_string();
        assert!(text.contains(&format!("  base by its shapes: {title} (its text is {width} wide)\n")), "{text}");
        assert_eq!(
            sentence(import_pipeline(&path, &options()), folder.path()),
            format!(
                "`DIR/lcm.safetensors` is a file of changes to a model (LoRA, rank 64, 1 module of unet, for {title} (its text is \
                 {width} wide)), not a network; give the model that it changes, and this file with --lora"
            )
        );
    }
}

#[test]
fn a_variant_of_some_networks() {
    let folder = copy("digits-sdxl");
    let unet = folder.path().join("unet");
    let fp16 = ImportOptions { variant: Some("fp16".into()), ..options() };
    assert_eq!(
        sentence(import_pipeline(folder.path(), &fp16), folder.path()),
        "no network in `DIR` has weights of the variant `fp16`; leave --variant out, or name one that is there"
    );
    let (plain, half) = (unet.join("diffusion_pytorch_model.safetensors"), unet.join("diffusion_pytorch_model.fp16.safetensors"));
    std::fs::copy(plain, &half).unwrap();
    edit(&half, |tensors| tensors.values_mut().for_each(|tensor| tensor.bytes.fill(0)));
    let pipeline = import_pipeline(folder.path(), &fp16).unwrap();
    for name in ["vae", "text_encoder", "text_encoder_2"] {
        let note = format!("{name} has no weights of the variant `fp16`; its plain ones are used");
        assert!(pipeline.notes.contains(&note), "{:?}", pipeline.notes);
    }
    let bias = pipeline.components["unet"].parts["unet"].params()["conv_in.bias"].weight.as_ref().unwrap().to_f32();
    assert!(bias.iter().all(|value| *value == 0.0));
    // A network alone has no other to fall back for.
    assert!(sentence(import(&folder.path().join("vae"), &fp16), folder.path()).contains("holds no safetensors weights"));
}
