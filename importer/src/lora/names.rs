//! How LoRA files name networks and modules: the reference library's path behind the network's folder (diffusers,
//! PEFT), the same flattened behind a short prefix (kohya, LyCORIS), other programs' names of networks, and what
//! wrappers leave in front.

use crate::component::Component;

/// Folders of the diffusers layout, what files call the network in them, and prefixes of flattened names.
const NETWORKS: [(&str, &[&str], &[&str]); 6] = [
    ("unet", &["unet", "diffusion_model", "model.diffusion_model"], &["lora_unet_", "lycoris_"]),
    (
        "transformer",
        &["transformer", "diffusion_model", "model.diffusion_model"],
        &["lora_transformer_", "lora_unet_", "lycoris_"],
    ),
    (
        "text_encoder",
        &["text_encoder", "clip_l", "clip_l.transformer", "text_encoders.clip_l", "text_encoders.clip_l.transformer"],
        &["lora_te_", "lora_te1_"],
    ),
    (
        "text_encoder_2",
        &["text_encoder_2", "clip_g", "clip_g.transformer", "text_encoders.clip_g", "text_encoders.clip_g.transformer"],
        &["lora_te2_"],
    ),
    (
        "text_encoder_3",
        &["text_encoder_3", "t5", "t5xxl", "t5xxl.transformer", "text_encoders.t5xxl", "text_encoders.t5xxl.transformer"],
        &["lora_te3_"],
    ),
    ("vae", &["vae"], &["lora_vae_"]),
];
/// What stands before names of a wrapped network: PEFT, `torch.compile`, data parallelism.
const WRAPPERS: [&str; 3] = ["base_model.model.", "_orig_mod.", "module."];

/// A module's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name<'m> {
    /// Folders of the networks that it may belong to; none where it names none.
    pub networks: Vec<String>,
    /// The module inside the network.
    pub path: &'m str,
    /// Whether dots of the path are underscores.
    pub is_flat: bool,
}

/// Takes a module's name apart; `present` are the folders of the networks that are here.
pub(super) fn read<'m>(module: &'m str, present: &[String]) -> Name<'m> {
    let module = without_wrappers(module);
    let own = present.iter().map(|folder| (folder.as_str(), folder.as_str()));
    let known = NETWORKS.iter().flat_map(|(folder, names, _)| names.iter().map(|name| (*folder, *name)));
    let dotted = own.chain(known).filter_map(|(folder, name)| Some((folder, module.strip_prefix(name)?.strip_prefix('.')?)));
    let (networks, rest) = shortest(dotted);
    if let Some(path) = rest {
        return Name { networks, path: without_wrappers(path), is_flat: false };
    }
    let prefixes = NETWORKS.iter().flat_map(|(folder, _, flat)| flat.iter().map(|prefix| (*folder, *prefix)));
    let (networks, rest) = shortest(prefixes.filter_map(|(folder, prefix)| Some((folder, module.strip_prefix(prefix)?))));
    if let Some(path) = rest {
        return Name { networks, path: path.strip_prefix("_orig_mod_").unwrap_or(path), is_flat: true };
    }
    Name { networks, path: module, is_flat: false }
}

/// The shortest of the rests, which is behind the longest name of a network, and all networks that it belongs to.
fn shortest<'f, 'm>(found: impl Iterator<Item = (&'f str, &'m str)>) -> (Vec<String>, Option<&'m str>) {
    let found: Vec<(&'f str, &'m str)> = found.collect();
    let rest = found.iter().map(|(_, rest)| *rest).min_by_key(|rest| rest.len());
    let mut networks: Vec<String> = Vec::new();
    for (folder, _) in found.iter().filter(|(_, path)| Some(*path) == rest) {
        if !networks.iter().any(|network| network == folder) {
            networks.push((*folder).into());
        }
    }
    (networks, rest)
}

/// A name without what wrappers left in front.
pub(super) fn without_wrappers(name: &str) -> &str {
    let inner = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper));
    inner.map_or(name, without_wrappers)
}

/// The name that older diffusers wrote, as it is now.
pub(super) fn present_path(path: &str) -> String {
    let mut name = path.replace(".processor.", ".");
    for (old, new) in [("to_q", "q_proj"), ("to_k", "k_proj"), ("to_v", "v_proj"), ("to_out", "out_proj")] {
        if let Some(attention) = name.strip_suffix(&format!("self_attn.{old}")) {
            name = format!("{attention}self_attn.{new}");
        }
    }
    if name.ends_with(".to_out") {
        name.push_str(".0");
    }
    name
}

/// The folder's name where it is one that LoRA files use, else what LoRA files call a network of this kind.
pub(super) fn lone_name(folder: &str, component: &Component) -> String {
    let takes = |input: &str| component.parts.values().any(|graph| graph.inputs().iter().any(|(name, _)| **name == *input));
    let has = |start: &str| component.parts.values().any(|graph| graph.params().keys().any(|name| name.starts_with(start)));
    let name = match component.class.as_str() {
        _ if NETWORKS.iter().any(|(name, _, _)| *name == folder) => folder,
        // A denoising network takes the time, whatever its class is called.
        _ if takes("timestep") && has("down_blocks.") => "unet",
        _ if takes("timestep") => "transformer",
        class if class.starts_with("AutoencoderKL") => "vae",
        "T5EncoderModel" => "text_encoder_3",
        _ if takes("input_ids") => "text_encoder",
        _ => folder,
    };
    name.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;
    use crate::import::import;
    use crate::options::ImportOptions;

    #[test]
    fn networks_that_lie_alone() {
        let name = |folder: &str, as_class: Option<&str>| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/zoo").join(folder);
            let mut component = import(&path, &ImportOptions::default()).unwrap();
            component.class = as_class.map_or(component.class.clone(), Into::into);
            lone_name(folder, &component)
        };
        // A class that nobody knows, as other programs write it.
        for (folder, expected) in
            [("unet_sd15", "unet"), ("sd3_medium", "transformer"), ("clip_l", "text_encoder"), ("dinov2", "dinov2")]
        {
            assert_eq!(name(folder, Some("Denoiser")), expected);
        }
        assert_eq!(name("t5_encoder", None), "text_encoder_3");
        assert_eq!(name("vae_sdxl", None), "vae");
    }

    #[test]
    fn networks_of_names() {
        let present = ["unet".to_string(), "text_encoder".to_string(), "image_encoder".to_string()];
        let all: Vec<String> = [
            "unet.conv_in",
            "unet._orig_mod.conv_in",
            "base_model.model.conv_in",
            "module.unet.base_model.model.conv_in",
            "model.diffusion_model.input_blocks.0.0",
            "clip_l.transformer.text_model.final_layer_norm",
            "lora_unet_conv_in",
            "lora_unet__orig_mod_conv_in",
            "lora_te1_text_model_final_layer_norm",
            "image_encoder.visual",
            "conv_in",
        ]
        .iter()
        .map(|module| {
            let name = read(module, &present);
            format!("{} {} {}", name.networks.join("|"), name.path, name.is_flat)
        })
        .collect();
        assert_eq!(
            all,
            [
                "unet conv_in false",
                "unet conv_in false",
                " conv_in false",
                "unet conv_in false",
                "unet|transformer input_blocks.0.0 false",
                "text_encoder text_model.final_layer_norm false",
                "unet|transformer conv_in true",
                "unet|transformer conv_in true",
                "text_encoder text_model_final_layer_norm true",
                "image_encoder visual false",
                " conv_in false",
            ]
        );
    }
}
