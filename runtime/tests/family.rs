//! What families say about pipelines, against the defaults of diffusers' classes.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dmdx_runtime::family::{self, Family, Geometry, Networks, Place, Settings, Size};
use dmdx_runtime::manifest::{Unconditional, VaeScaling};
use dmdx_runtime::{Error, FamilyError, Tensor, Tokenizer};
use serde_json::{Value, json};

/// A pipeline of configurations alone, whose decoder gives back what it reads.
struct Files {
    index: Value,
    configs: Value,
    decoder: Vec<Option<usize>>,
}

impl Files {
    fn new(configs: Value) -> Self {
        Self { index: json!({}), configs, decoder: vec![None; 4] }
    }
}

impl Settings for Files {
    fn index(&self) -> &Value {
        &self.index
    }

    fn config(&self, folder: &str) -> &Value {
        &self.configs[folder]
    }

    fn input_sizes(&self, network: Place, _input: &str) -> Result<Vec<Option<usize>>, Error> {
        let channels = |folder: &str| self.configs[folder]["in_channels"].as_u64().map(|channels| channels as usize);
        Ok(match network {
            ("unet", _) => vec![None, channels("unet"), None, None],
            ("transformer", _) if self.decoder.len() == 5 => vec![None, None, channels("transformer"), None, None],
            ("transformer", _) => vec![None, channels("transformer"), None, None],
            _ => self.decoder.clone(),
        })
    }
}

impl Networks for Files {
    fn has(&self, _network: Place) -> bool {
        true
    }

    fn run(&self, network: Place, inputs: &[(&str, &Tensor)], wanted: &[&str]) -> Result<Vec<Tensor>, Error> {
        assert_eq!((network, inputs[0].0, wanted), (("vae", "vae_decoder"), "latent", &["sample"][..]));
        Ok(vec![inputs[0].1.clone()])
    }

    fn tokenizer(&self, folder: &str) -> Result<Arc<Tokenizer>, Error> {
        Err(FamilyError::NoTokenizer(folder.into()).into())
    }
}

fn of(class: &str) -> &'static dyn Family {
    family::of_class(class).unwrap()
}

const XL: &str = "StableDiffusionXLPipeline";
const SD: &str = "StableDiffusionPipeline";
const SD3: &str = "StableDiffusion3Pipeline";
const VIDEO: &str = "CogVideoXPipeline";

#[test]
fn classes_are_known_by_name() {
    for class in [XL, SD, SD3, VIDEO, "LatentConsistencyModelPipeline"] {
        assert_eq!(of(class).class(), class);
    }
    let error = family::of_class("FluxPipeline").unwrap_err().to_string();
    assert!(error.contains("FluxPipeline") && [XL, SD, SD3, VIDEO].iter().all(|class| error.contains(class)), "{error}");
}

/// `StableDiffusionXLPipeline.__init__` has `force_zeros_for_empty_prompt: bool = True`; no other class has it.
#[test]
fn zeros_stand_for_no_prompt_where_the_class_says_so() {
    let cases = [
        (XL, json!({}), Unconditional::Zeros),
        (XL, json!({"force_zeros_for_empty_prompt": true}), Unconditional::Zeros),
        (XL, json!({"force_zeros_for_empty_prompt": false}), Unconditional::EmptyPrompt),
        (SD, json!({"force_zeros_for_empty_prompt": true}), Unconditional::EmptyPrompt),
        (SD3, json!({}), Unconditional::EmptyPrompt),
        (VIDEO, json!({}), Unconditional::EmptyPrompt),
    ];
    for (class, index, wanted) in cases {
        let files = Files { index: index.clone(), ..Files::new(json!({})) };
        assert_eq!(of(class).unconditional(&files), wanted, "{class} {index}");
    }
}

fn vae(levels: usize) -> Value {
    json!({"block_out_channels": vec![8; levels]})
}

#[test]
fn latents_have_the_sizes_of_the_configurations() {
    let shape = |class: &str, configs: Value, asked: Size| {
        let Geometry { latent_shape, pixels } = of(class).geometry(&Files::new(configs), &asked).unwrap();
        (latent_shape, pixels)
    };
    let usual = Size::default();
    let unet = |size: Value| json!({"unet": {"sample_size": size}, "vae": vae(4)});
    assert_eq!(shape(XL, unet(json!(128)), usual), (vec![4, 128, 128], [1024, 1024]));
    assert_eq!(shape(SD, unet(json!([64, 96])), usual), (vec![4, 64, 96], [512, 768]));
    let asked = Size { height: Some(256), width: Some(512), frames: Some(7) };
    assert_eq!(shape(XL, unet(Value::Null), asked), (vec![4, 32, 64], [256, 512]));
    let transformer = json!({"transformer": {}, "vae": {"block_out_channels": [8, 8, 8, 8], "latent_channels": 16}});
    assert_eq!(shape(SD3, transformer.clone(), usual), (vec![16, 128, 128], [1024, 1024]));
    // CogVideoX: 49 frames of 480x720, and 81 of 1.5, which are filled up to whole patches.
    assert_eq!(shape(VIDEO, json!({"transformer": {}, "vae": {}}), usual), (vec![13, 16, 60, 90], [480, 720]));
    let patched =
        json!({"transformer": {"patch_size_t": 2, "sample_frames": 81, "sample_height": 96, "sample_width": 170}, "vae": {}});
    assert_eq!(shape(VIDEO, patched, usual), (vec![22, 16, 96, 170], [768, 1360]));
    let short = Size { frames: Some(9), height: Some(32), width: Some(48) };
    assert_eq!(shape(VIDEO, json!({"transformer": {}, "vae": {}}), short), (vec![3, 16, 4, 6], [32, 48]));
}

/// `AutoencoderKL.__init__` has `block_out_channels = (64,)`, one level, which halves nothing; `AutoencoderKLCogVideoX` has four.
#[test]
fn an_autoencoder_that_does_not_say_has_the_levels_of_its_class() {
    let cases = [
        (XL, json!({"unet": {"sample_size": 8}, "vae": {}}), [8, 8]),
        (SD, json!({"unet": {"sample_size": 8}, "vae": {}}), [8, 8]),
        (SD3, json!({"transformer": {"sample_size": 8}, "vae": {"latent_channels": 16}}), [8, 8]),
        (VIDEO, json!({"transformer": {"sample_height": 8, "sample_width": 8}, "vae": {}}), [64, 64]),
    ];
    for (class, configs, wanted) in cases {
        let geometry = of(class).geometry(&Files::new(configs), &Size::default()).unwrap();
        assert_eq!(geometry.pixels, wanted, "{class}");
    }
}

#[test]
fn sizes_that_cannot_be_are_refused_by_name() {
    let refused =
        |class: &str, configs: Value, asked: Size| of(class).geometry(&Files::new(configs), &asked).unwrap_err().to_string();
    let usual = Size::default();
    let cases = [
        (XL, json!({"unet": {}, "vae": vae(4)}), usual, "the unet's config.json has sample_size = null"),
        (XL, json!({"unet": {"sample_size": 1e9 as u64}}), usual, "one or two integers from 1 to 65536"),
        (SD, json!({"unet": {"sample_size": 8, "in_channels": 9}}), usual, "out_channels = null, but the 9 of in_channels"),
        (XL, json!({"unet": {"sample_size": 8, "out_channels": 8}}), usual, "out_channels = 8, but the 4 of in_channels"),
        (XL, json!({"unet": {"sample_size": 8}, "vae": {"latent_channels": 16}}), usual, "latent_channels = 16, but the 4"),
        (
            XL,
            json!({"unet": {"sample_size": 8}, "vae": vae(4)}),
            Size { height: Some(100), ..usual },
            "100 pixels was asked for; multiples of 8",
        ),
        (
            SD3,
            json!({"transformer": {"patch_size": 2}, "vae": {"block_out_channels": [1, 1, 1, 1], "latent_channels": 16}}),
            Size { width: Some(8), ..usual },
            "multiples of 16",
        ),
        (VIDEO, json!({"transformer": {"sample_height": 0}}), usual, "sample_height = 0, but an integer from 1 to 65536"),
    ];
    for (class, configs, asked, sentence) in cases {
        let found = refused(class, configs, asked);
        assert!(found.contains(sentence), "{found:?} lacks {sentence:?}");
    }
    let files = Files::new(json!({"unet": {"in_channels": 4}}));
    for shape in [vec![4, 8], vec![5, 8, 8], vec![4, 0, 8]] {
        let error = of(XL).check_latents(&files, &shape).unwrap_err().to_string();
        assert!(error.contains("do not fit the unet, which takes [4, any, any]"), "{error}");
    }
    of(XL).check_latents(&files, &[4, 8, 8]).unwrap();
}

/// What the classes multiply latents by, and which of them know an offset or statistics of channels.
#[test]
fn latents_are_scaled_as_each_pipeline_does() {
    let scaling =
        |class: &str, vae: Value| of(class).vae_scaling(&Files::new(json!({"unet": {}, "transformer": {}, "vae": vae})));
    let plain = VaeScaling::of;
    for (class, factor) in [(XL, 0.18215), (SD, 0.18215), (SD3, 0.18215), (VIDEO, 1.15258426)] {
        assert_eq!(scaling(class, json!({"scaling_factor": null})).unwrap(), plain(factor));
        assert!(scaling(class, json!({"scaling_factor": 0})).unwrap_err().to_string().contains("scaling_factor = 0"));
    }
    let full = json!({"scaling_factor": 2.0, "shift_factor": 0.5, "latents_mean": [1, 2, 3, 4], "latents_std": [5, 6, 7, 8]});
    let statistics =
        VaeScaling { latents_mean: Some(vec![1.0, 2.0, 3.0, 4.0]), latents_std: Some(vec![5.0, 6.0, 7.0, 8.0]), ..plain(2.0) };
    assert_eq!(scaling(XL, full.clone()).unwrap(), statistics);
    assert_eq!(statistics.maps()[1], (3.0, 2.0));
    assert_eq!(scaling(SD, full.clone()).unwrap(), plain(2.0));
    let shifted = VaeScaling { shift_factor: 0.5, ..plain(2.0) };
    assert_eq!((scaling(SD3, full.clone()).unwrap(), shifted.maps()), (shifted.clone(), vec![(0.5, 0.5)]));
    assert_eq!(scaling(VIDEO, full).unwrap(), plain(2.0));
    for half in [json!({"latents_mean": [1, 2, 3, 4]}), json!({"latents_std": [1, 2, 3, 4]})] {
        assert_eq!(scaling(XL, half).unwrap(), plain(0.18215), "diffusers wants both");
    }
    let short = scaling(XL, json!({"latents_mean": [1], "latents_std": [1]})).unwrap_err().to_string();
    assert!(short.contains("latents_mean = [1], but a list of 4 numbers"), "{short}");
}

#[test]
fn statistics_of_channels_are_applied_when_latents_are_decoded() {
    let statistics =
        VaeScaling { latents_mean: Some(vec![1.0, 2.0, 3.0]), latents_std: Some(vec![10.0, 20.0, 30.0]), ..VaeScaling::of(2.0) };
    let files = Files::new(json!({}));
    let latents = Tensor::f32([1, 3, 1, 2], vec![0.0, 1.0, 0.0, 1.0, 0.0, 1.0]).unwrap();
    let decoded = of(XL).decode(&files, &statistics, &latents, None).unwrap();
    assert_eq!(decoded.floats().unwrap(), [1.0, 6.0, 2.0, 12.0, 3.0, 18.0]);
    let four = Tensor::f32([1, 4, 1, 1], vec![0.0; 4]).unwrap();
    assert!(matches!(of(XL).decode(&files, &statistics, &four, None), Err(Error::Family(FamilyError::Latents { .. }))));
    assert!(matches!(
        of(XL).decode(&files, &VaeScaling::of(1.0), &four, None),
        Err(Error::Family(FamilyError::NoPictures { .. }))
    ));
    let damaged = Tensor::f32([1, 3, 1, 1], vec![f32::NAN; 3]).unwrap();
    assert!(matches!(of(XL).decode(&files, &VaeScaling::of(1.0), &damaged, None), Err(Error::Family(FamilyError::NotFinite))));
}

/// Two frames of three channels: the decoder reads channels first, the pipeline returns frames first, and what fills up
/// patches in time stands at the beginning.
#[test]
fn videos_are_decoded_without_the_frames_that_fill_up_patches() {
    let files = Files {
        decoder: vec![None, None, Some(1), None, None],
        ..Files::new(json!({"transformer": {"patch_size_t": 2, "in_channels": 3}}))
    };
    let latents = Tensor::f32([1, 2, 3, 1, 1], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let video = of(VIDEO).decode(&files, &VaeScaling::of(2.0), &latents, None).unwrap();
    assert_eq!((video.shape(), video.floats().unwrap()), (&[1, 1, 3, 1, 1][..], &[2.0, 2.5, 3.0][..]));
    of(VIDEO).check_latents(&files, &[2, 3, 1, 1]).unwrap();
    let error = of(VIDEO).check_latents(&files, &[1, 3, 1, 1]).unwrap_err().to_string();
    assert!(error.contains("a video of 1 in patches of 2 needs 2"), "{error}");
    assert!(of(VIDEO).decode(&files, &VaeScaling::of(2.0), &latents, Some(8)).unwrap_err().to_string().contains("tiles"));
}

#[test]
fn discriminators_tap_what_the_paper_taps() {
    let taps = |class: &str, marks: &[&str]| of(class).default_taps(&mut marks.iter().copied());
    let unet = [
        "conv_in",
        "down_blocks.0.resnets.0",
        "down_blocks.0.resnets.1",
        "down_blocks.1.attentions.1",
        "down_blocks.1.resnets.0",
        "mid_block.resnets.0",
        "mid_block.resnets.1",
        "up_blocks.0.resnets.2",
        "up_blocks.0.resnets.1",
        "up_blocks.0.resnets.2.conv1",
    ];
    let wanted = ["down_blocks.0.resnets.1", "down_blocks.1.resnets.0", "mid_block.resnets.1", "up_blocks.0.resnets.2"];
    assert_eq!((taps(XL, &unet), taps(SD, &unet)), (wanted.map(str::to_owned).to_vec(), wanted.map(str::to_owned).to_vec()));
    // A block of two results has two marks; the last block of Stable Diffusion 3 has the picture's alone.
    let blocks = [
        "transformer_blocks.0",
        "transformer_blocks.0:1",
        "transformer_blocks.10:1",
        "transformer_blocks.2:1",
        "transformer_blocks.0.attn",
    ];
    assert_eq!(taps(SD3, &blocks), ["transformer_blocks.0", "transformer_blocks.2", "transformer_blocks.10"]);
    let numbered: Vec<String> = (0..30).map(|block| format!("transformer_blocks.{block}")).collect();
    let found = taps(VIDEO, &numbered.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((found.len(), found[0].as_str(), found[9].as_str()), (10, "transformer_blocks.2", "transformer_blocks.29"));
}

#[test]
fn tokens_lie_in_the_grid_of_patches() {
    assert_eq!(of(XL).token_grid(&json!({}), &[4, 128, 128]), None);
    assert_eq!(of(SD3).token_grid(&json!({"patch_size": 2}), &[16, 128, 96]), Some(vec![64, 48]));
    assert_eq!(of(VIDEO).token_grid(&json!({"patch_size": 2}), &[13, 16, 60, 90]), Some(vec![13, 30, 45]));
    assert_eq!(of(VIDEO).token_grid(&json!({"patch_size": 2, "patch_size_t": 2}), &[22, 16, 96, 170]), Some(vec![11, 48, 85]));
}

#[test]
fn inputs_that_no_prompt_changes() {
    let geometry = Geometry { latent_shape: vec![4, 8, 16], pixels: [64, 128] };
    let fixed = of(XL).fixed(&Files::new(json!({})), &geometry).unwrap().for_batch(2).unwrap();
    let (name, ids) = &fixed.per_sample[0];
    assert_eq!((*name, ids.shape()), ("time_ids", &[2, 6][..]));
    assert_eq!(ids.floats().unwrap()[6..], [64.0, 128.0, 0.0, 0.0, 64.0, 128.0]);
    let rotary = json!({"transformer": {
        "attention_head_dim": 16, "patch_size": 2, "sample_height": 4, "sample_width": 6, "use_rotary_positional_embeddings": true
    }});
    let geometry = Geometry { latent_shape: vec![3, 16, 4, 6], pixels: [32, 48] };
    let fixed = of(VIDEO).fixed(&Files::new(rotary), &geometry).unwrap();
    let names: Vec<&str> = fixed.inputs().map(|(name, _)| name).collect();
    assert_eq!((names, fixed.shared[0].1.shape()), (vec!["rope_cos", "rope_sin"], &[18, 16][..]));
}

/// UNets with `time_cond_proj_dim` are told the weight of guidance as diffusers' `get_guidance_scale_embedding` embeds it.
#[test]
fn guidance_is_told_as_the_reference_embeds_it() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/unet-variants/answers.json");
    let answers: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for class in [XL, SD, "LatentConsistencyModelPipeline"] {
        let told = |width: Value, scale: f64| {
            of(class).told_guidance(&Files::new(json!({"unet": {"time_cond_proj_dim": width}})), scale)
        };
        for answer in answers["guidance"].as_array().unwrap() {
            let scale = answer["weight"].as_f64().unwrap();
            let (input, row) = told(answer["width"].clone(), scale).unwrap().unwrap();
            let wanted: Vec<f32> = serde_json::from_value(answer["values"].clone()).unwrap();
            assert_eq!((input, row.shape()), ("timestep_cond", &[1, wanted.len()][..]));
            let differences = row.floats().unwrap().iter().zip(&wanted).map(|(a, b)| f64::from((a - b).abs()));
            // Angles up to 7000 in float32, which two exponentials may round differently by one step of 5e-4; seven digits.
            assert!(differences.fold(0.0, f64::max) < 1e-5, "{class} {answer}: {:?}", row.floats().unwrap());
        }
        assert_eq!(told(Value::Null, 3.0).unwrap(), None);
        for width in [json!(3), json!("wide"), json!(0)] {
            let error = told(width, 3.0).unwrap_err().to_string();
            assert!(error.contains("time_cond_proj_dim"), "{error}");
        }
    }
    assert_eq!(of(SD3).told_guidance(&Files::new(json!({})), 3.0).unwrap(), None);
}
