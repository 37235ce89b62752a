//! Single files: what they say about their scheduler, and that none of their tensors is lost.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Raw, copy, edit, edit_text, fixture, named, sentence, sparse};
use dmdx_graph::store::hash;
use dmdx_importer::{
    Component, Description, ImportOptions, Nonfinite, Pipeline, check, convert, import, import_pipeline, inspect,
};
use serde_json::{Value, json};

fn skip() -> ImportOptions {
    ImportOptions { nonfinite: Nonfinite::Skip, ..ImportOptions::default() }
}

/// A file of the released sizes with more tensors, `[0]` where nothing else is said.
fn file(folder: &Path, lists: &[&str], more: &[(&str, &[usize])], metadata: &[(&str, &str)]) -> std::path::PathBuf {
    let path = folder.join("model.safetensors");
    let mut tensors = named(lists);
    tensors.extend(more.iter().map(|(name, shape)| (name.to_string(), shape.to_vec())));
    sparse(&path, &tensors, metadata);
    path
}

const SDXL: [&str; 2] = ["unet_sdxl_base", "vae_sdxl"];

fn pipeline(more: &[(&str, &[usize])], metadata: &[(&str, &str)]) -> Pipeline {
    let folder = tempfile::tempdir().unwrap();
    import_pipeline(&file(folder.path(), &SDXL, more, metadata), &ImportOptions { deny_unused: true, ..skip() }).unwrap()
}

fn scheduler(pipeline: &Pipeline) -> (&str, bool, &str) {
    let scheduler = pipeline.scheduler.as_ref().unwrap();
    let text = |key: &str| scheduler[key].as_str().unwrap();
    (text("prediction_type"), scheduler["rescale_betas_zero_snr"] == true, text("timestep_spacing"))
}

/// The marks of velocity and of a signal-to-noise ratio of zero make the scheduler, as in ComfyUI; metadata do as well.
#[test]
fn marks_make_the_scheduler() {
    let plain = pipeline(&[], &[]);
    assert_eq!(scheduler(&plain), ("epsilon", false, "leading"));
    let assumed = plain.assumed().unwrap();
    assert!(assumed.contains("the network predicts noise (epsilon), its noise table is scaled_linear, 0.00085 to 0.012 in 1000"));
    assert!(plain.notes.iter().any(|note| note == assumed), "{:?}", plain.notes);

    let velocity = pipeline(&[("v_pred", &[0])], &[]);
    assert_eq!(scheduler(&velocity), ("v_prediction", false, "leading"));
    assert!(!velocity.assumed().unwrap().contains("epsilon"));
    let zero = pipeline(&[("v_pred", &[0]), ("ztsnr", &[0])], &[("modelspec.prediction_type", "v")]);
    assert_eq!(scheduler(&zero), ("v_prediction", true, "trailing"));
    for says in ["the tensor `v_pred` says so", "the tensor `ztsnr` says so"] {
        assert!(zero.notes.iter().any(|note| note.ends_with(says)), "{:?}", zero.notes);
    }
    assert_eq!(scheduler(&pipeline(&[], &[("modelspec.prediction_type", "v")])), ("v_prediction", false, "leading"));
    // A table that ends at zero (here of zeros) says the same as the mark.
    assert_eq!(scheduler(&pipeline(&[("v_pred", &[0]), ("alphas_cumprod", &[1000])], &[])), ("v_prediction", true, "trailing"));
    // The tensor is what every program obeys.
    let both = pipeline(&[("v_pred", &[0])], &[("modelspec.prediction_type", "epsilon")]);
    assert_eq!(scheduler(&both).0, "v_prediction");
    assert!(both.notes.iter().any(|note| note.contains("which is believed")), "{:?}", both.notes);

    let strange = pipeline(&[], &[("modelspec.prediction_type", "score")]);
    assert_eq!(strange.scheduler, None);
    assert!(strange.notes.iter().any(|note| note.contains("give the scheduler with --config")), "{:?}", strange.notes);
    let impossible = pipeline(&[("ztsnr", &[0])], &[]);
    assert_eq!(impossible.scheduler, None);
}

#[test]
fn preconditioned_networks_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for marks in [["edm_mean", "edm_std"], ["edm_vpred.sigma_max", "edm_vpred.sigma_min"]] {
        let path = file(folder.path(), &SDXL, &marks.map(|mark| (mark, &[1usize][..])), &[]);
        assert_eq!(
            sentence(import_pipeline(&path, &skip()), folder.path()),
            format!(
                "`DIR/model.safetensors` says by `{}`, `{}` that its network is preconditioned as in EDM (Playground v2.5, \
                 CosXL), which is not supported; take a model that predicts noise or velocity",
                marks[0], marks[1]
            )
        );
    }
}

/// Stable Diffusion 1 is released with a scheduler whose class leaves the table as it is: another one ends at zero.
#[test]
fn stable_diffusion_1_follows_the_marks() {
    let folder = tempfile::tempdir().unwrap();
    for (marks, class, wanted) in [
        (&[][..], "PNDMScheduler", ("epsilon", false, "leading")),
        (&["v_pred"][..], "PNDMScheduler", ("v_prediction", false, "leading")),
        (&["v_pred", "ztsnr"][..], "DDIMScheduler", ("v_prediction", true, "trailing")),
    ] {
        let more: Vec<(&str, &[usize])> = marks.iter().map(|mark| (*mark, &[0usize][..])).collect();
        let pipeline = import_pipeline(&file(folder.path(), &["unet_sd15", "vae_sdxl"], &more, &[]), &skip()).unwrap();
        assert_eq!((pipeline.scheduler.as_ref().unwrap()["_class_name"].as_str(), scheduler(&pipeline)), (Some(class), wanted));
    }
}

/// Models of Stable Diffusion 2 predict noise or velocity; metadata decide, and nothing is assumed without.
#[test]
fn stable_diffusion_2_asks_or_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let of = |metadata: &[(&str, &str)]| {
        let path = file(folder.path(), &["unet_sd21", "vae_sdxl"], &[], metadata);
        import_pipeline(&path, &skip()).unwrap()
    };
    let told = of(&[("modelspec.architecture", "stable-diffusion-v2-768-v")]);
    assert_eq!(told.scheduler.as_ref().unwrap()["_class_name"], "DDIMScheduler");
    assert_eq!(scheduler(&told), ("v_prediction", false, "leading"));
    assert_eq!(scheduler(&of(&[("modelspec.architecture", "stable-diffusion-v2-512")])).0, "epsilon");
    let asks = of(&[]);
    assert_eq!((asks.scheduler.is_none(), asks.assumed()), (true, None));
    assert!(asks.notes.iter().any(|note| note.contains("give the scheduler with --config")), "{:?}", asks.notes);
}

/// A configuration is often given for its tokenizers: what the file says of its network changes the scheduler there.
#[test]
fn what_the_file_says_changes_a_scheduler_that_was_given() {
    let folder = copy("original/sdxl");
    let path = folder.path().join("sdxl.safetensors");
    let options = ImportOptions { config: Some(folder.path().join("config")), ..skip() };
    let mark = |name: &str| {
        let raw = Raw { dtype: safetensors::Dtype::F32, shape: vec![0], bytes: Vec::new() };
        edit(&path, |tensors| drop(tensors.insert(name.into(), raw)));
        import_pipeline(&path, &options)
    };
    let zero_alone = mark("ztsnr").unwrap();
    assert_eq!(scheduler(&zero_alone), ("epsilon", false, "leading"));
    assert!(zero_alone.notes.iter().any(|note| note.ends_with("which the scheduler does not")), "{:?}", zero_alone.notes);
    let both = mark("v_pred").unwrap();
    assert_eq!(scheduler(&both), ("v_prediction", true, "trailing"));
    for note in [
        "the scheduler of the configuration has prediction_type epsilon, which is made v_prediction as the tensor `v_pred` says",
        "the scheduler of the configuration is rescaled to a signal-to-noise ratio of zero as the tensor `ztsnr` says",
    ] {
        assert!(both.notes.iter().any(|found| found == note), "{:?}", both.notes);
    }
    // A class of diffusers that ignores the rescaling is replaced, in the index as well; the converted folder has it so.
    edit_text(&folder.path().join("config/scheduler/scheduler_config.json"), |text| {
        text.replace("EulerDiscreteScheduler", "PNDMScheduler")
    });
    let to = folder.path().join("pipe");
    let written = convert(&path, &to, &options, Default::default()).unwrap();
    assert!(written.notes.iter().any(|note| note.contains("is made v_prediction")), "{:?}", written.notes);
    let converted = import_pipeline(&to, &skip()).unwrap();
    assert_eq!(converted.scheduler.as_ref().unwrap()["_class_name"], "DDIMScheduler");
    assert_eq!(converted.model_index["scheduler"], json!(["diffusers", "DDIMScheduler"]));
    assert_eq!(scheduler(&converted), ("v_prediction", true, "trailing"));
    let refused = sentence(mark("edm_mean"), folder.path());
    assert!(refused.contains("preconditioned as in EDM"), "{refused}");
}

/// What was assumed is kept in the converted folder's index, and told again of it.
#[test]
fn assumptions_travel_with_the_folder() {
    let folder = copy("original/sdxl");
    let config = folder.path().join("config");
    edit_text(&config.join("model_index.json"), |text| text.replacen('{', "{\"_dmdx_assumed\": \"assumed: a round table\",", 1));
    let options = ImportOptions { config: Some(config), ..skip() };
    let to = folder.path().join("pipe");
    convert(&folder.path().join("sdxl.safetensors"), &to, &options, Default::default()).unwrap();
    let index: Value = serde_json::from_slice(&std::fs::read(to.join("model_index.json")).unwrap()).unwrap();
    assert_eq!(index["_dmdx_assumed"], "assumed: a round table");
    assert_eq!(import_pipeline(&to, &skip()).unwrap().assumed(), Some("assumed: a round table"));
    let Description::Pipeline { notes, scheduler_config, .. } = inspect(&to, &skip(), false).unwrap() else { panic!() };
    assert!(notes.iter().any(|note| note == "assumed: a round table"), "{notes:?}");
    assert_eq!(scheduler_config.unwrap()["_class_name"], "EulerDiscreteScheduler");
}

/// A file in which one network is recognised: the rest is unused or left out for a reason, and said.
#[test]
fn nothing_is_lost_beside_the_only_network() {
    let folder = tempfile::tempdir().unwrap();
    let more: [(&str, &[usize]); 5] = [
        ("cond_stage_model.strange.embeddings.token_embedding.weight", &[10, 4]),
        ("lora_unet_down.weight", &[4]),
        ("alphas_cumprod_prev", &[1000]),
        ("model_ema.decay", &[]),
        ("v_pred", &[0]),
    ];
    let path = file(folder.path(), &["unet_sd15"], &more, &[]);
    let component = import(&path, &skip()).unwrap();
    assert_eq!(component.report.unused, [more[0].0, more[1].0]);
    let left_out: Vec<&String> = component.report.ignored.values().flatten().collect();
    assert_eq!(left_out.len(), 3, "{left_out:?}");
    assert!(component.report.notes.iter().any(|note| note.contains("predicts velocity")), "{:?}", component.report.notes);
    let text = inspect(&path, &skip(), false).unwrap().to_string();
    assert!(text.contains("  unused tensors: 2: cond_stage_model.strange") && !text.contains("unused tensors: none"), "{text}");
    let refused = sentence(import(&path, &ImportOptions { deny_unused: true, ..skip() }), folder.path());
    assert!(refused.contains("2 unused tensor(s): cond_stage_model.strange"), "{refused}");
}

/// A conversion says which tensors it leaves behind.
#[test]
fn a_conversion_names_what_it_leaves() {
    let folder = copy("original/sdxl");
    let path = folder.path().join("sdxl.safetensors");
    edit(&path, |tensors| {
        let stranger = tensors["model.diffusion_model.out.2.bias"].clone();
        for place in ["model.diffusion_model.stranger", "stranger"] {
            tensors.insert(place.into(), stranger.clone());
        }
    });
    let options = ImportOptions { config: Some(folder.path().join("config")), ..skip() };
    let notes = convert(&path, &folder.path().join("pipe"), &options, Default::default()).unwrap().notes;
    let says = |note: &str| notes.iter().any(|found| found == note);
    assert!(says("1 tensor(s) belong to no network: stranger"), "{notes:?}");
    assert!(says("unet: 1 tensor(s) of the file are not used: model.diffusion_model.stranger"), "{notes:?}");
    let options = ImportOptions { config: Some(folder.path().join("config/unet")), ..skip() };
    let notes = convert(&path, &folder.path().join("unet.safetensors"), &options, Default::default()).unwrap().notes;
    let wanted = "2 tensor(s) of the file are not used: model.diffusion_model.stranger, stranger";
    assert!(notes.iter().any(|found| found == wanted), "{notes:?}");
}

/// The same of a pipeline, and of one network that a configuration picks out of a whole file.
#[test]
fn nothing_is_lost_beside_several_networks() {
    let found = pipeline(&[("denoiser.sigmas", &[1000]), ("model_ema.decay", &[])], &[]);
    let left_out: Vec<&String> = found.notes.iter().filter(|note| note.contains("left out on purpose")).collect();
    assert_eq!(left_out.len(), 2, "{:?}", found.notes);
    assert!(left_out[0].ends_with(": model_ema.decay") || left_out[1].ends_with(": model_ema.decay"), "{left_out:?}");

    let path = fixture("original/sdxl/sdxl.safetensors");
    let whole = dmdx_importer::hf::tensors::open(path.parent().unwrap(), &skip());
    assert!(whole.is_err(), "the folder has no weights under a known name");
    let unet = import(&path, &ImportOptions { config: Some(fixture("original/sdxl/config/unet")), ..skip() }).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let all = safetensors::SafeTensors::deserialize(&bytes).unwrap().len();
    let report = &unet.report;
    assert_eq!(report.used + report.unused.len() + report.ignored.values().map(Vec::len).sum::<usize>(), all);
    assert_eq!(report.unused, Vec::<String>::new());
    let others = &report.ignored["they belong to another network in the file, which was not asked for"];
    assert!(others.iter().any(|name| name.starts_with("first_stage_model.")), "{others:?}");
}

/// The tensors of `zoo/clip_l` under a prefix.
fn clip(prefix: &str, strip: &str) -> tempfile::TempDir {
    let folder = copy("zoo/clip_l");
    edit(&folder.path().join("model.safetensors"), |tensors| {
        let renamed = std::mem::take(tensors).into_iter();
        *tensors = renamed.map(|(name, raw)| (format!("{prefix}{}", name.strip_prefix(strip).unwrap_or(&name)), raw)).collect();
        let ids = Raw { dtype: safetensors::Dtype::I64, shape: vec![1, 1], bytes: vec![0; 8] };
        tensors.insert(format!("{prefix}{}embeddings.position_ids", if strip.is_empty() { "text_model." } else { "" }), ids);
    });
    folder
}

fn weights(component: &Component) -> BTreeMap<String, String> {
    let params = component.parts.values().flat_map(|graph| graph.params());
    let hash = |bytes: &[u8]| hash::bytes(bytes);
    params.map(|(name, param)| (name.to_string(), param.weight.as_ref().unwrap().with_bytes(hash))).collect()
}

/// CLIP's names begin with `text_model.` in most files, without it in early ones.
#[test]
fn text_encoders_in_both_spellings() {
    let wanted = weights(&import(&fixture("zoo/clip_l"), &skip()).unwrap());
    let options = ImportOptions { deny_unused: true, ..skip() };
    for prefix in ["cond_stage_model.transformer.", "conditioner.embedders.0.transformer.", ""] {
        for strip in ["", "text_model."] {
            let folder = clip(prefix, strip);
            let component = import(folder.path(), &options).unwrap();
            assert_eq!(weights(&component), wanted, "{prefix} {strip}");
            let left_out: Vec<&String> = component.report.ignored.values().flatten().collect();
            assert_eq!(left_out.len(), 1, "{left_out:?}");
        }
    }
    // In a whole file.
    let folder = copy("original/sdxl");
    let path = folder.path().join("sdxl.safetensors");
    let options = ImportOptions { config: Some(folder.path().join("config")), ..options };
    let wanted = weights(&import_pipeline(&path, &options).unwrap().components["text_encoder"]);
    edit(&path, |tensors| {
        let bare = |name: String| {
            name.replace("conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.0.transformer.")
        };
        *tensors = std::mem::take(tensors).into_iter().map(|(name, raw)| (bare(name), raw)).collect();
    });
    assert_eq!(weights(&import_pipeline(&path, &options).unwrap().components["text_encoder"]), wanted);
    // An autoencoder under the prefix that newer programs give it.
    edit(&path, |tensors| {
        let vae = |name: String| name.replace("first_stage_model.", "vae.");
        *tensors = std::mem::take(tensors).into_iter().map(|(name, raw)| (vae(name), raw)).collect();
    });
    assert!(import_pipeline(&path, &options).unwrap().components.contains_key("vae"));
}

/// A UNet for inpainting reads nine channels: recognised as what it is.
#[test]
fn networks_with_more_channels_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for (lists, channels, class) in [
        (["unet_sdxl_base", "vae_sdxl"], 9, "StableDiffusionXLInpaintPipeline"),
        (["unet_sd15", "vae_sdxl"], 9, "StableDiffusionInpaintPipeline"),
        (["unet_sd15", "vae_sdxl"], 8, "StableDiffusionInstructPix2PixPipeline"),
        (["unet_sd21", "vae_sdxl"], 5, "StableDiffusionDepth2ImgPipeline"),
    ] {
        let mut tensors = named(&lists);
        for (_, shape) in tensors.iter_mut().filter(|(name, _)| name == "model.diffusion_model.input_blocks.0.0.weight") {
            shape[1] = channels;
        }
        sparse(&path, &tensors, &[]);
        let pipeline = import_pipeline(&path, &skip()).unwrap();
        assert_eq!((pipeline.class.as_str(), &pipeline.model_index["_class_name"]), (class, &json!(class)));
        assert_eq!(pipeline.components["unet"].config["in_channels"], channels);
        assert!(pipeline.notes.iter().any(|note| note.starts_with(&format!("the network reads {channels} channels"))));
    }
}

/// The name that Meta's file gives to a tensor: the inverse of transformers' `convert_sam_to_hf.py`. Of the perceptrons that
/// the file numbers through, the scores' has so many hidden layers, and the masks' have one.
fn original_sam(name: &str, hidden: usize) -> String {
    for (perceptron, hidden) in [("iou_prediction_head.", hidden), ("output_hypernetworks_mlps.", 1)] {
        let Some((start, rest)) = name.split_once(perceptron) else { continue };
        let last = format!("layers.{}.", hidden + 1);
        let rest = match rest.split_once("layers.") {
            Some((mask, rest)) => {
                let (layer, end) = rest.split_once('.').unwrap();
                format!("{mask}layers.{}.{end}", layer.parse::<usize>().unwrap() + 1)
            }
            None => rest.replace("proj_in.", "layers.0.").replace("proj_out.", &last),
        };
        return format!("{start}{perceptron}{rest}");
    }
    let renames = [
        ("shared_image_embedding.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
        ("mask_decoder.upscale_conv1", "mask_decoder.output_upscaling.0"),
        ("mask_decoder.upscale_layer_norm", "mask_decoder.output_upscaling.1"),
        ("mask_decoder.upscale_conv2", "mask_decoder.output_upscaling.3"),
        ("mask_embed.conv1", "mask_downscaling.0"),
        ("mask_embed.layer_norm1", "mask_downscaling.1"),
        ("mask_embed.conv2", "mask_downscaling.3"),
        ("mask_embed.layer_norm2", "mask_downscaling.4"),
        ("mask_embed.conv3", "mask_downscaling.6"),
        ("prompt_encoder.point_embed.", "prompt_encoder.point_embeddings."),
        ("neck.conv1", "neck.0"),
        ("neck.layer_norm1", "neck.1"),
        ("neck.conv2", "neck.2"),
        ("neck.layer_norm2", "neck.3"),
        ("patch_embed.projection", "patch_embed.proj"),
        (".layer_norm", ".norm"),
        ("vision_encoder.layers", "image_encoder.blocks"),
        ("vision_encoder", "image_encoder"),
    ];
    renames.iter().fold(name.to_string(), |name, (new, old)| name.replace(new, old))
}

/// Meta's own file of SAM is the same network, and the three released sizes are recognised without a configuration.
#[test]
fn segment_anything_as_published() {
    let folder = copy("zoo/sam_whole");
    edit(&folder.path().join("model.safetensors"), |tensors| {
        *tensors = std::mem::take(tensors).into_iter().map(|(name, raw)| (original_sam(&name, 2), raw)).collect();
        assert!(tensors.contains_key("mask_decoder.output_hypernetworks_mlps.2.layers.2.bias"));
        assert!(tensors.contains_key("mask_decoder.transformer.norm_final_attn.weight"));
        assert!(tensors.contains_key("mask_decoder.iou_prediction_head.layers.3.bias"));
        assert!(tensors.keys().all(|name| !name.contains("layer_norm") && !name.contains("proj_in")));
    });
    let options = ImportOptions { deny_unused: true, ..ImportOptions::default() };
    let io = folder.path().join("io_whole.safetensors");
    // References in f32 against f64, as for the file of transformers.
    let report = check::run(folder.path(), &io, 1e-4, &options).unwrap();
    assert!(report.passed(), "{report}");

    let path = folder.path().join("sam_vit.safetensors");
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    for size in ["b", "l", "h"] {
        let tensors: Vec<(String, Vec<usize>)> = common::released(&format!("sam_vit_{size}"))
            .tensors
            .into_iter()
            .filter(|(name, _)| name != "prompt_encoder.shared_embedding.positional_embedding")
            .map(|(name, shape)| (original_sam(&name, 1), shape))
            .collect();
        sparse(&path, &tensors, &[]);
        let component = import(&path, &ImportOptions { deny_unused: true, ..skip() }).unwrap();
        let title = format!("recognised as Segment Anything ViT-{} by", size.to_uppercase());
        assert!(component.report.notes[0].starts_with(&title), "{:?}", component.report.notes);
        assert_eq!(component.parts.keys().collect::<Vec<_>>(), ["vision_encoder", "sam"]);
    }
}
