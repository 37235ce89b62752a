//! The typed configuration of `UNet2DConditionModel`, with diffusers' defaults.

use serde_json::{Value, json};

use crate::arch::config::{Config, LARGEST_COUNT};
use crate::error::Result;

/// Most levels: the latent's side is a multiple of `2^(levels - 1)`.
const MOST_LEVELS: usize = 16;

/// Most transformer blocks in all; SDXL has 70.
const MOST_TRANSFORMER_BLOCKS: usize = 4096;

/// Transformer blocks per attention layer of one level.
#[derive(Clone)]
pub(super) enum Depth {
    /// As many in every layer.
    Uniform(usize),
    /// One number per layer.
    Each(Vec<usize>),
}

impl Depth {
    /// Blocks of all `layers` layers.
    fn total(&self, layers: usize) -> usize {
        (0..layers).map(|layer| self.at(layer)).sum()
    }

    /// Blocks of layer `layer`; lists were checked to be long enough.
    pub(super) fn at(&self, layer: usize) -> usize {
        match self {
            Depth::Uniform(depth) => *depth,
            Depth::Each(depths) => depths.get(layer).copied().unwrap_or(1),
        }
    }
}

/// What one resolution level of the network has.
#[derive(Clone)]
pub(super) struct Level {
    pub channels: usize,
    pub layers: usize,
    /// Whether its downward block attends to the text.
    pub down_attends: bool,
    /// Whether its upward block attends to the text.
    pub up_attends: bool,
    pub heads: usize,
    pub down_depth: Depth,
    pub up_depth: Depth,
    /// Both attentions of a transformer block look at the text.
    pub only_cross_attention: bool,
}

/// The block of the lowest resolution, between both halves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Middle {
    /// There is none.
    None,
    /// `UNetMidBlock2D`: one ResNet.
    Plain,
    /// `UNetMidBlock2DCrossAttn`: a transformer between two ResNets.
    Attends,
}

/// The pooled text and size conditioning of SDXL.
pub(super) struct TextTime {
    /// Width of the pooled text embedding.
    pub text_width: usize,
    /// Size, crop and target numbers per picture.
    pub ids: usize,
    /// Embedding width of each of them.
    pub id_width: usize,
}

/// Everything that shapes the network.
pub(super) struct UnetConfig {
    pub in_channels: usize,
    pub out_channels: usize,
    /// Side of the latents that the network was trained on, if the configuration says so.
    pub sample_size: Option<usize>,
    pub center_input_sample: bool,
    pub flip_sin_to_cos: bool,
    pub freq_shift: f64,
    /// From the highest resolution down.
    pub levels: Vec<Level>,
    pub mid_block: Middle,
    pub mid_block_scale_factor: f64,
    pub downsample_padding: usize,
    pub norm_num_groups: usize,
    pub norm_eps: f64,
    pub cross_attention_dim: usize,
    pub use_linear_projection: bool,
    pub time_embedding_dim: usize,
    /// Width of the embedded guidance weight that a guidance-distilled network is told.
    pub time_cond_proj_dim: Option<usize>,
    pub conv_in_kernel: usize,
    pub conv_out_kernel: usize,
    pub text_time: Option<TextTime>,
}

impl UnetConfig {
    /// Reads and checks it.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        refuse_variants(config)?;
        let channels = config.sizes("block_out_channels", &[320, 640, 1280, 1280])?;
        if channels.len() > MOST_LEVELS {
            return Err(config.refused("block_out_channels", &format!("at most {MOST_LEVELS} levels are supported")));
        }
        if channels[0] % 2 != 0 {
            return Err(config.refused("block_out_channels", "the first level, which embeds the timestep, needs an even number"));
        }
        let cross_attention_dims = config.size_per_level("cross_attention_dim", 1280, channels.len())?;
        if cross_attention_dims.iter().any(|dim| *dim != cross_attention_dims[0]) {
            return Err(config.refused("cross_attention_dim", "only one width for all levels is supported"));
        }
        let mid_block = match config.get("mid_block_type").unwrap_or(&json!("UNetMidBlock2DCrossAttn")) {
            Value::Null => Middle::None,
            kind if kind == "UNetMidBlock2DCrossAttn" => Middle::Attends,
            kind if kind == "UNetMidBlock2D" => Middle::Plain,
            _ => {
                let supported = "only \"UNetMidBlock2DCrossAttn\", \"UNetMidBlock2D\" and null are supported";
                return Err(config.refused("mid_block_type", supported));
            }
        };
        let downsample_padding = config.get("downsample_padding").map_or(Some(1), Value::as_u64);
        let mid_block_scale_factor = config.number("mid_block_scale_factor", 1.0)?;
        if mid_block_scale_factor == 0.0 {
            return Err(config.refused("mid_block_scale_factor", "a number above 0 is needed"));
        }
        Ok(Self {
            in_channels: config.size("in_channels", 4)?,
            out_channels: config.size("out_channels", 4)?,
            sample_size: config.square("sample_size")?,
            center_input_sample: config.flag("center_input_sample", false)?,
            flip_sin_to_cos: config.flag("flip_sin_to_cos", true)?,
            freq_shift: config.number("freq_shift", 0.0)?,
            mid_block,
            mid_block_scale_factor,
            downsample_padding: match downsample_padding {
                Some(0) => 0,
                Some(1) => 1,
                _ => return Err(config.refused("downsample_padding", "only 0 and 1 are supported")),
            },
            norm_num_groups: config.groups("norm_num_groups", &channels)?,
            norm_eps: config.number("norm_eps", 1e-5)?,
            cross_attention_dim: cross_attention_dims[0],
            use_linear_projection: config.flag("use_linear_projection", false)?,
            time_cond_proj_dim: config.optional_size("time_cond_proj_dim")?,
            time_embedding_dim: config.optional_size("time_embedding_dim")?.unwrap_or(4 * channels[0]),
            conv_in_kernel: odd(config, "conv_in_kernel")?,
            conv_out_kernel: odd(config, "conv_out_kernel")?,
            text_time: text_time(config, cross_attention_dims[0])?,
            levels: levels(config, &channels)?,
        })
    }
}

/// Options that no released checkpoint of the SD 1.5, 2.1 and SDXL families uses, and keys without effect.
fn refuse_variants(config: &Config<'_>) -> Result<()> {
    config.choice("act_fn", "silu", &["silu", "swish"])?;
    config.fixed(&[
        ("num_attention_heads", Value::Null),
        ("dual_cross_attention", json!(false)),
        ("class_embed_type", Value::Null),
        ("num_class_embeds", Value::Null),
        ("class_embeddings_concat", json!(false)),
        ("encoder_hid_dim", Value::Null),
        ("encoder_hid_dim_type", Value::Null),
        ("resnet_time_scale_shift", json!("default")),
        ("resnet_skip_time_act", json!(false)),
        ("resnet_out_scale_factor", json!(1.0)),
        ("time_embedding_type", json!("positional")),
        ("time_embedding_act_fn", Value::Null),
        ("timestep_post_act", Value::Null),
        ("attention_type", json!("default")),
        ("cross_attention_norm", Value::Null),
    ])?;
    // Upcasting means f32, which every graph computes in; the others belong to variants that are refused above.
    config.unused(&["dropout", "upcast_attention", "addition_embed_type_num_heads", "mid_block_only_cross_attention"]);
    Ok(())
}

fn odd(config: &Config<'_>, key: &str) -> Result<usize> {
    let kernel = config.size(key, 3)?;
    if kernel % 2 == 1 { Ok(kernel) } else { Err(config.refused(key, "only odd kernels keep the size of the picture")) }
}

fn levels(config: &Config<'_>, channels: &[usize]) -> Result<Vec<Level>> {
    let count = channels.len();
    let (plain_down, cross_down) = ("DownBlock2D", "CrossAttnDownBlock2D");
    let (plain_up, cross_up) = ("UpBlock2D", "CrossAttnUpBlock2D");
    let usual_down = [cross_down, cross_down, cross_down, plain_down];
    let usual_up = [plain_up, cross_up, cross_up, cross_up];
    let down = config.choice_per_level("down_block_types", &usual_down, &[plain_down, cross_down], count)?;
    let up = config.choice_per_level("up_block_types", &usual_up, &[plain_up, cross_up], count)?;
    let layers = config.size_per_level("layers_per_block", 2, count)?;
    if layers.iter().any(|layers| *layers > LARGEST_COUNT) {
        return Err(config.refused("layers_per_block", &format!("at most {LARGEST_COUNT} are supported")));
    }
    // A historical misnomer: the released configurations give the number of heads here.
    let heads = config.size_per_level("attention_head_dim", 8, count)?;
    if let Some((channels, heads)) = channels.iter().zip(&heads).find(|(channels, heads)| *channels % *heads != 0) {
        let supported = format!("it is the number of heads, and {channels} channels do not divide into {heads} heads");
        return Err(config.refused("attention_head_dim", &supported));
    }
    let only_cross = match config.get("only_cross_attention") {
        None => vec![false; count],
        Some(Value::Bool(flag)) => vec![*flag; count],
        Some(value) => value
            .as_array()
            .and_then(|list| list.iter().map(Value::as_bool).collect::<Option<Vec<bool>>>())
            .filter(|list| list.len() == count)
            .ok_or_else(|| config.refused("only_cross_attention", "a truth value, or one for each level, is needed"))?,
    };
    let (down_depth, up_depth) = depths(config, &layers)?;
    let totals = (0..count).map(|i| down_depth[i].total(layers[i]) + up_depth[i].total(layers[i] + 1));
    if totals.sum::<usize>() > MOST_TRANSFORMER_BLOCKS {
        let supported = format!("at most {MOST_TRANSFORMER_BLOCKS} transformer blocks in all are supported");
        return Err(config.refused("transformer_layers_per_block", &supported));
    }
    Ok((0..count)
        .map(|i| Level {
            channels: channels[i],
            layers: layers[i],
            down_attends: down[i] == cross_down,
            // Upward blocks are listed from the lowest resolution.
            up_attends: up[count - 1 - i] == cross_up,
            heads: heads[i],
            down_depth: down_depth[i].clone(),
            up_depth: up_depth[i].clone(),
            only_cross_attention: only_cross[i],
        })
        .collect())
}

/// Transformer blocks per level, downward and upward, both from the highest resolution.
fn depths(config: &Config<'_>, layers: &[usize]) -> Result<(Vec<Depth>, Vec<Depth>)> {
    let (key, reverse_key) = ("transformer_layers_per_block", "reverse_transformer_layers_per_block");
    let down = match config.get(key) {
        None => vec![Depth::Uniform(1); layers.len()],
        Some(Value::Array(list)) => depth_list(config, key, list, layers, 0)?,
        Some(value) => vec![depth(config, key, value, 0)?; layers.len()],
    };
    let up = match config.get(reverse_key) {
        Some(Value::Array(list)) => {
            let reversed: Vec<usize> = layers.iter().rev().copied().collect();
            depth_list(config, reverse_key, list, &reversed, 1)?.into_iter().rev().collect()
        }
        None | Some(Value::Null) if down.iter().all(|depth| matches!(depth, Depth::Uniform(_))) => down.clone(),
        None | Some(Value::Null) => {
            return Err(config.refused(key, &format!("with a list per level, `{reverse_key}` is needed as well")));
        }
        Some(_) => return Err(config.refused(reverse_key, "a list is needed")),
    };
    Ok((down, up))
}

fn depth_list(config: &Config<'_>, key: &str, list: &[Value], layers: &[usize], more: usize) -> Result<Vec<Depth>> {
    if list.len() != layers.len() {
        return Err(config.refused(key, &format!("the network has {} levels, one entry for each is needed", layers.len())));
    }
    list.iter().zip(layers).map(|(value, layers)| depth(config, key, value, layers + more)).collect()
}

fn depth(config: &Config<'_>, key: &str, value: &Value, layers: usize) -> Result<Depth> {
    // A level may have attention layers without a block, and levels without attention name a depth as well.
    let one = |value: &Value| if *value == 0 { Ok(0) } else { config.as_size(key, value) };
    let depth = match value {
        Value::Array(list) => Depth::Each(list.iter().map(one).collect::<Result<_>>()?),
        value => Depth::Uniform(one(value)?),
    };
    let fits = match &depth {
        Depth::Uniform(depth) => *depth <= LARGEST_COUNT,
        Depth::Each(depths) => layers > 0 && depths.len() == layers && depths.iter().all(|depth| *depth <= LARGEST_COUNT),
    };
    if fits {
        Ok(depth)
    } else {
        Err(config.refused(key, &format!("one number per layer, each at most {LARGEST_COUNT}, is supported")))
    }
}

fn text_time(config: &Config<'_>, cross_attention_dim: usize) -> Result<Option<TextTime>> {
    let kind = config.get("addition_embed_type").unwrap_or(&Value::Null);
    let id_width = config.optional_size("addition_time_embed_dim")?;
    let total = config.optional_size("projection_class_embeddings_input_dim")?;
    if kind.is_null() {
        return Ok(None);
    }
    if kind != "text_time" {
        return Err(config.refused("addition_embed_type", "only \"text_time\" and null are supported"));
    }
    let id_width = id_width.filter(|width| width % 2 == 0);
    let id_width = id_width.ok_or_else(|| config.refused("addition_time_embed_dim", "\"text_time\" needs an even number"))?;
    let total = total.ok_or_else(|| config.refused("projection_class_embeddings_input_dim", "\"text_time\" needs an integer"))?;
    // The configuration gives only the sum. The base model has six numbers per picture (original size, crop, target
    // size). The refiner has five (aesthetic score instead of the target size); its only text encoder gives both the
    // tokens and the pooled text, so that their widths are equal.
    let ids = if total.checked_sub(5 * id_width) == Some(cross_attention_dim) { 5 } else { 6 };
    match total.checked_sub(ids * id_width) {
        Some(text_width) if text_width > 0 => Ok(Some(TextTime { text_width, ids, id_width })),
        _ => {
            let supported = format!("more than {ids} times `addition_time_embed_dim` = {id_width} is needed");
            Err(config.refused("projection_class_embeddings_input_dim", &supported))
        }
    }
}
