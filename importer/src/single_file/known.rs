//! The released models whose files are recognised by the shapes of their tensors, with their published configurations.

/// A released model.
pub(super) struct Known {
    /// What people call it.
    pub title: &'static str,
    /// The class of its pipeline.
    pub pipeline: &'static str,
    /// Configurations by the folder of the diffusers layout; the denoising network comes first.
    pub configs: &'static [(&'static str, &'static str)],
    /// How it was released to be sampled; nothing for a network that makes no pictures.
    pub sampling: Option<Released>,
}

/// How a model was released to be sampled.
pub(super) struct Released {
    /// The scheduler's configuration.
    pub scheduler: &'static str,
    /// What the network predicts.
    pub predicts: Predicts,
}

/// What a released network predicts, as far as its shapes tell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Predicts {
    /// The noise, in everything that was released under this name.
    Noise,
    /// Models of both kinds were released.
    NoiseOrVelocity,
    /// The velocity of flow matching.
    Flow,
}

macro_rules! config {
    ($name:literal) => {
        include_str!(concat!("configs/", $name, ".json"))
    };
}

const SD3_ENCODERS: [(&str, &str); 4] = [
    ("vae", config!("vae_sd3")),
    ("text_encoder", config!("clip_l_proj")),
    ("text_encoder_2", config!("clip_bigg")),
    ("text_encoder_3", config!("t5_xxl")),
];
const SDXL: Option<Released> = Some(Released { scheduler: config!("scheduler_sdxl"), predicts: Predicts::Noise });
const SD1: Option<Released> = Some(Released { scheduler: config!("scheduler_sd15"), predicts: Predicts::Noise });
/// The models for 512 and for 768 pixels have the same shapes.
const SD2: Option<Released> = Some(Released { scheduler: SCHEDULER_SD2, predicts: Predicts::NoiseOrVelocity });
const SD3: Option<Released> = Some(Released { scheduler: config!("scheduler_sd3"), predicts: Predicts::Flow });
/// The scheduler of Stable Diffusion 2, whose class can begin at a signal-to-noise ratio of zero.
pub(super) const SCHEDULER_SD2: &str = config!("scheduler_sd2");

/// Every model that is recognised.
pub(super) const KNOWN: [Known; 10] = [
    Known {
        title: "Stable Diffusion XL base",
        pipeline: "StableDiffusionXLPipeline",
        configs: &[
            ("unet", config!("unet_sdxl")),
            ("vae", config!("vae_sdxl")),
            ("text_encoder", config!("clip_l")),
            ("text_encoder_2", config!("clip_bigg")),
        ],
        sampling: SDXL,
    },
    Known {
        title: "Stable Diffusion XL refiner",
        pipeline: "StableDiffusionXLImg2ImgPipeline",
        configs: &[
            ("unet", config!("unet_sdxl_refiner")),
            ("vae", config!("vae_sdxl")),
            ("text_encoder_2", config!("clip_bigg")),
        ],
        sampling: SDXL,
    },
    Known {
        title: "Stable Diffusion 1",
        pipeline: "StableDiffusionPipeline",
        configs: &[("unet", config!("unet_sd15")), ("vae", config!("vae_sd15")), ("text_encoder", config!("clip_l"))],
        sampling: SD1,
    },
    Known {
        title: "Stable Diffusion 2",
        pipeline: "StableDiffusionPipeline",
        configs: &[("unet", config!("unet_sd21")), ("vae", config!("vae_sd15")), ("text_encoder", config!("clip_h"))],
        sampling: SD2,
    },
    Known {
        title: "Stable Diffusion 3 Medium",
        pipeline: "StableDiffusion3Pipeline",
        configs: &[("transformer", config!("sd3_medium")), SD3_ENCODERS[0], SD3_ENCODERS[1], SD3_ENCODERS[2], SD3_ENCODERS[3]],
        sampling: SD3,
    },
    Known {
        title: "Stable Diffusion 3.5 Medium",
        pipeline: "StableDiffusion3Pipeline",
        configs: &[("transformer", config!("sd35_medium")), SD3_ENCODERS[0], SD3_ENCODERS[1], SD3_ENCODERS[2], SD3_ENCODERS[3]],
        sampling: SD3,
    },
    Known {
        title: "Stable Diffusion 3.5 Large",
        pipeline: "StableDiffusion3Pipeline",
        configs: &[("transformer", config!("sd35_large")), SD3_ENCODERS[0], SD3_ENCODERS[1], SD3_ENCODERS[2], SD3_ENCODERS[3]],
        sampling: SD3,
    },
    Known { title: "Segment Anything ViT-B", pipeline: "SamModel", configs: &[("sam", config!("sam_vit_b"))], sampling: None },
    Known { title: "Segment Anything ViT-L", pipeline: "SamModel", configs: &[("sam", config!("sam_vit_l"))], sampling: None },
    Known { title: "Segment Anything ViT-H", pipeline: "SamModel", configs: &[("sam", config!("sam_vit_h"))], sampling: None },
];

/// Channels that a UNet takes where it is given more than the noisy latent, what for, and what the class of its pipeline
/// is called in the middle.
pub(super) const MORE_CHANNELS: [(u64, &str, &str); 3] =
    [(9, "inpainting", "Inpaint"), (8, "editing a picture", "InstructPix2Pix"), (5, "pictures of a given depth", "Depth2Img")];

impl Known {
    /// The configuration of the network that belongs into a folder.
    pub(super) fn config(&self, folder: &str) -> Option<&'static str> {
        self.configs.iter().find(|(name, _)| *name == folder).map(|(_, config)| *config)
    }
}

/// A network that is published in a file of its own.
pub(super) struct Alone {
    /// What people call it.
    pub title: &'static str,
    /// Its configuration.
    pub config: &'static str,
    /// What was assumed, where its shapes are those of others too.
    pub assumed: Option<&'static str>,
}

const fn alone(title: &'static str, config: &'static str) -> Alone {
    Alone { title, config, assumed: None }
}

/// Every network that is recognised without the denoising network of its model, and denoising networks without a model in
/// [`KNOWN`]. The first of those that fit is taken.
pub(super) const ALONE: [Alone; 15] = [
    alone("CogVideoX-2b", config!("cogvideox_2b")),
    alone("CogVideoX-5b", config!("cogvideox_5b")),
    alone("CogVideoX-5b-I2V", config!("cogvideox_5b_i2v")),
    alone("CogVideoX1.5-5B", config!("cogvideox_15_5b")),
    Alone {
        title: "the autoencoder of Stable Diffusion",
        config: config!("vae_sd15"),
        assumed: Some(
            "the autoencoders of Stable Diffusion 1 and 2 (scaling_factor 0.18215) and of SDXL (0.13025) have the same \
             shapes; the configuration of the former was assumed, which encoding and decoding do not depend on",
        ),
    },
    Alone {
        title: "the autoencoder of Stable Diffusion 3",
        config: config!("vae_sd3"),
        assumed: Some(
            "the autoencoders of Stable Diffusion 3 (scaling_factor 1.5305, shift_factor 0.0609) and of FLUX (0.3611, \
             0.1159) have the same shapes; the configuration of the former was assumed, which encoding and decoding do not \
             depend on",
        ),
    },
    Alone {
        title: "the autoencoder of CogVideoX",
        config: config!("vae_cogvideox"),
        assumed: Some(
            "the autoencoders of CogVideoX-2b (scaling_factor 1.15258426) and of CogVideoX-5b (0.7) have the same shapes; \
             the configuration of the former was assumed, which encoding and decoding do not depend on",
        ),
    },
    alone("the text encoder CLIP ViT-L/14", config!("clip_l")),
    alone("the text encoder CLIP ViT-L/14 with projection", config!("clip_l_proj")),
    alone("the text encoder OpenCLIP ViT-H/14", config!("clip_h")),
    alone("the text encoder OpenCLIP ViT-bigG/14", config!("clip_bigg")),
    alone("the text encoder of T5 v1.1 XXL", config!("t5_xxl")),
    alone("InceptionV3 of the Fr\u{e9}chet distance", r#"{"_class_name": "InceptionV3", "variant": "fid"}"#),
    alone("torchvision's InceptionV3", r#"{"_class_name": "InceptionV3", "variant": "torchvision"}"#),
    alone("LPIPS on VGG16", r#"{"_class_name": "LPIPS", "net": "vgg"}"#),
];
