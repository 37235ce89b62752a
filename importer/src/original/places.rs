//! Where the networks lie in a file of an original layout, and what lies beside them.

use std::collections::BTreeMap;

use dmdx_graph::Weight;
use indexmap::IndexMap;

/// Where a network may lie: its folder in the diffusers layout, its prefix in the file, and a name that shows it.
const PLACES: [(&str, &str, &str); 16] = [
    ("unet", "model.diffusion_model.", "input_blocks.0.0.weight"),
    ("transformer", "model.diffusion_model.", "joint_blocks.0.x_block.attn.qkv.weight"),
    ("vae", "first_stage_model.", "decoder.conv_in.weight"),
    ("vae", "vae.", "decoder.conv_in.weight"),
    ("text_encoder", "conditioner.embedders.0.transformer.", TOKENS),
    ("text_encoder", "conditioner.embedders.0.transformer.", BARE_TOKENS),
    ("text_encoder", "cond_stage_model.transformer.", TOKENS),
    ("text_encoder", "cond_stage_model.transformer.", BARE_TOKENS),
    ("text_encoder", "cond_stage_model.model.", "token_embedding.weight"),
    ("text_encoder", "text_encoders.clip_l.transformer.", TOKENS),
    ("text_encoder", "text_encoders.clip_l.transformer.", BARE_TOKENS),
    ("text_encoder_2", "conditioner.embedders.1.model.", "token_embedding.weight"),
    ("text_encoder_2", "text_encoders.clip_g.transformer.", TOKENS),
    ("text_encoder_2", "text_encoders.clip_g.transformer.", BARE_TOKENS),
    ("text_encoder_3", "text_encoders.t5xxl.transformer.", "encoder.final_layer_norm.weight"),
    ("sam", "", "image_encoder.patch_embed.proj.weight"),
];
/// The token table of a CLIP text encoder.
pub(super) const TOKENS: &str = "text_model.embeddings.token_embedding.weight";
/// The same where the file begins inside `text_model.`, as early files of Stable Diffusion 1 do.
pub(super) const BARE_TOKENS: &str = "embeddings.token_embedding.weight";
/// The refiner's only text encoder takes the place that the base model gives to CLIP-L.
const REFINER: (&str, &str, &str) = ("text_encoder_2", "conditioner.embedders.0.model.", "token_embedding.weight");

/// Tensors beside the networks, and why nothing is lost.
const BESIDE: [(&str, &str); 13] = [
    ("model_ema.", "a moving average of the weights; the weights themselves are used"),
    ("alphas_cumprod", SCHEDULE),
    ("alphas_cumprod_prev", SCHEDULE),
    ("betas", SCHEDULE),
    ("sqrt_", SCHEDULE),
    ("log_one_minus_alphas_cumprod", SCHEDULE),
    ("posterior_", SCHEDULE),
    ("denoiser.sigmas", SCHEDULE),
    ("logvar", SCHEDULE),
    ("lvlb_weights", SCHEDULE),
    ("model.model_sampling.", SCHEDULE),
    ("text_encoders.clip_l.logit_scale", LOSS),
    ("text_encoders.clip_g.logit_scale", LOSS),
];
const SCHEDULE: &str = "the noise schedule, which the scheduler computes";
const LOSS: &str = "scales similarities in the training loss only";

/// Tensors that hold no weights but say what the network predicts: trainers and merging programs leave them in a file.
pub(crate) mod marks {
    /// The network predicts velocity.
    pub(crate) const VELOCITY: &str = "v_pred";
    /// The noise ends at a signal-to-noise ratio of zero.
    pub(crate) const ZERO_SNR: &str = "ztsnr";
    /// The network is preconditioned as in EDM (arXiv 2206.00364).
    pub(crate) const EDM: [&str; 4] = ["edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min"];
    /// The product of all `1 - beta` by time, which trainers of the first models saved.
    pub(crate) const TABLE: &str = "alphas_cumprod";
}

/// The networks of a file: folder and prefix, in the order of [`PLACES`].
pub(crate) fn places(tensors: &BTreeMap<String, Weight>) -> IndexMap<&'static str, &'static str> {
    let has = |(_, prefix, name): &&(&str, &str, &str)| tensors.contains_key(&format!("{prefix}{name}"));
    let mut found = IndexMap::new();
    for (folder, prefix, _) in PLACES.iter().chain([&REFINER]).filter(has) {
        found.entry(*folder).or_insert(*prefix);
    }
    found
}

/// Why a tensor of no network is left out on purpose, if it is.
pub(crate) fn beside(tensor: &str) -> Option<&'static str> {
    if tensor == marks::VELOCITY || tensor == marks::ZERO_SNR || marks::EDM.contains(&tensor) {
        return Some("what the network predicts, which its scheduler says");
    }
    let found = BESIDE.iter().find(|(pattern, _)| tensor.starts_with(pattern));
    found.map(|(_, reason)| *reason).or_else(|| tensor.ends_with(".logit_scale").then_some(LOSS))
}

/// Why a tensor outside the network that was asked for is not missed, if it is not.
pub(crate) fn elsewhere(tensor: &str, tensors: &BTreeMap<String, Weight>) -> Option<&'static str> {
    let other = places(tensors).values().any(|prefix| !prefix.is_empty() && tensor.starts_with(prefix));
    beside(tensor).or_else(|| other.then_some("they belong to another network in the file, which was not asked for"))
}
