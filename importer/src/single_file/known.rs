//! The released models whose files are recognised by the shapes of their tensors, with their published configurations.

/// A released model.
pub(super) struct Known {
    /// What people call it.
    pub title: &'static str,
    /// The class of its pipeline.
    pub pipeline: &'static str,
    /// Configurations by the folder of the diffusers layout; the denoising network comes first.
    pub configs: &'static [(&'static str, &'static str)],
    /// The scheduler's configuration, where the shapes say which it is.
    pub scheduler: Option<&'static str>,
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

/// Every model that is recognised.
pub(super) const KNOWN: [Known; 7] = [
    Known {
        title: "Stable Diffusion XL base",
        pipeline: "StableDiffusionXLPipeline",
        configs: &[
            ("unet", config!("unet_sdxl")),
            ("vae", config!("vae_sdxl")),
            ("text_encoder", config!("clip_l")),
            ("text_encoder_2", config!("clip_bigg")),
        ],
        scheduler: Some(config!("scheduler_sdxl")),
    },
    Known {
        title: "Stable Diffusion XL refiner",
        pipeline: "StableDiffusionXLImg2ImgPipeline",
        configs: &[
            ("unet", config!("unet_sdxl_refiner")),
            ("vae", config!("vae_sdxl")),
            ("text_encoder_2", config!("clip_bigg")),
        ],
        scheduler: Some(config!("scheduler_sdxl")),
    },
    Known {
        title: "Stable Diffusion 1",
        pipeline: "StableDiffusionPipeline",
        configs: &[("unet", config!("unet_sd15")), ("vae", config!("vae_sd15")), ("text_encoder", config!("clip_l"))],
        scheduler: Some(config!("scheduler_sd15")),
    },
    Known {
        title: "Stable Diffusion 2",
        pipeline: "StableDiffusionPipeline",
        configs: &[("unet", config!("unet_sd21")), ("vae", config!("vae_sd15")), ("text_encoder", config!("clip_h"))],
        // The models for 512 and for 768 pixels have the same shapes and predict noise and velocity.
        scheduler: None,
    },
    Known {
        title: "Stable Diffusion 3 Medium",
        pipeline: "StableDiffusion3Pipeline",
        configs: &[("transformer", config!("sd3_medium")), SD3_ENCODERS[0], SD3_ENCODERS[1], SD3_ENCODERS[2], SD3_ENCODERS[3]],
        scheduler: Some(config!("scheduler_sd3")),
    },
    Known {
        title: "Stable Diffusion 3.5 Medium",
        pipeline: "StableDiffusion3Pipeline",
        configs: &[("transformer", config!("sd35_medium")), SD3_ENCODERS[0], SD3_ENCODERS[1], SD3_ENCODERS[2], SD3_ENCODERS[3]],
        scheduler: Some(config!("scheduler_sd3")),
    },
    Known {
        title: "Stable Diffusion 3.5 Large",
        pipeline: "StableDiffusion3Pipeline",
        configs: &[("transformer", config!("sd35_large")), SD3_ENCODERS[0], SD3_ENCODERS[1], SD3_ENCODERS[2], SD3_ENCODERS[3]],
        scheduler: Some(config!("scheduler_sd3")),
    },
];

impl Known {
    /// The configuration of the network that belongs into a folder.
    pub(super) fn config(&self, folder: &str) -> Option<&'static str> {
        self.configs.iter().find(|(name, _)| *name == folder).map(|(_, config)| *config)
    }
}
