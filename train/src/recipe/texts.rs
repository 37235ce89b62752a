//! What the keys of the common sections are for; those of the methods stand in their own sections. A test holds every meaning
//! to the documentation of the field, and every field to an entry.

/// The method's paper says it.
pub const PAPER: &str = "DMDX, arXiv 2507.18569";
/// The paper leaves it open; this is how we read it.
pub const READING: &str = "our reading where DMDX, arXiv 2507.18569, is silent";
/// Of another paper, which has the same step.
pub const DMD2: &str = "DMD2, arXiv 2405.14867";
/// Latent consistency models; the constants are those of diffusers' training script.
pub const LCM: &str = "latent consistency models, arXiv 2310.04378";
/// Latent adversarial diffusion distillation.
pub const LADD: &str = "LADD, arXiv 2403.12015";
/// A matter of this program.
pub const OURS: &str = "dmdx";

/// What a key is for.
#[derive(Clone, Copy, Debug)]
pub struct KeyText {
    /// Its name, dotted; in a method's section without the section.
    pub key: &'static str,
    /// What it counts or measures; empty for words and plain factors.
    pub unit: &'static str,
    /// Where key and default come from.
    pub source: &'static str,
    /// As the field's documentation has it.
    pub meaning: &'static str,
}

impl KeyText {
    /// One entry.
    pub const fn new(key: &'static str, unit: &'static str, source: &'static str, meaning: &'static str) -> Self {
        Self { key, unit, source, meaning }
    }
}

/// In the order of the sections.
pub(super) const COMMON: &[KeyText] = &[
    KeyText::new(
        "teacher.path",
        "folder",
        OURS,
        "Pipeline folder in the diffusers layout, model's folder in the Hugging Face cache, or single-file checkpoint.",
    ),
    KeyText::new("teacher.variant", "text", OURS, "Which variant of the weights to read (fp16 reads *.fp16.safetensors)."),
    KeyText::new("teacher.config", "folder", OURS, "Folder with the configurations, scheduler and tokenizers of a single file."),
    KeyText::new("teacher.lora", "files", OURS, "LoRA files to merge, each with a scale other than 1 behind =."),
    KeyText::new("teacher.allow_pickle", "", OURS, "Read tensors out of pickle files."),
    KeyText::new("teacher.root", "folders", OURS, "Folders into which links may lead."),
    KeyText::new("teacher.allow_hard_links", "", OURS, "Accept shards that have several hard links."),
    KeyText::new(
        "teacher.max_sequence_length",
        "tokens",
        OURS,
        "How many tokens of T5 a Stable Diffusion 3 pipeline is given, as diffusers' argument of that name; 256 where left out.",
    ),
    KeyText::new(
        "teacher.guidance",
        "weight",
        PAPER,
        "Guidance weight of the teacher, standard form (uncond + w (cond − uncond)), drawn from this range.",
    ),
    KeyText::new("teacher.uncond", "", READING, "What the teacher is given where it is asked for nothing."),
    KeyText::new(
        "prompts.template",
        "text",
        OURS,
        "A prompt with {name} placeholders; every combination of the values is a prompt, the last placeholder fastest.",
    ),
    KeyText::new("prompts.values", "texts", OURS, "The values of each placeholder."),
    KeyText::new("prompts.list", "texts", OURS, "The prompts themselves."),
    KeyText::new(
        "prompts.file",
        "file",
        OURS,
        "A file of prompts: text with one a line, of which blank ones are skipped, or by the end of its name JSON lines (.jsonl, \
         .ndjson, .json), a table with a header (.csv, .tsv) or Parquet (.parquet).",
    ),
    KeyText::new(
        "prompts.column",
        "text",
        OURS,
        "The key or column of the prompts in such a file; where it is left out the one that is called prompt, text or caption.",
    ),
    KeyText::new("prompts.dtype", "number format", OURS, "Stored precision of the prompts' conditions."),
    KeyText::new("pairs.count", "pairs", READING, "How many pairs."),
    KeyText::new("pairs.steps", "steps", READING, "Sampler steps."),
    KeyText::new("pairs.sampler", "", READING, "Sampler."),
    KeyText::new(
        "pairs.dtype",
        "number format",
        DMD2,
        "Stored precision of noise and latents. The noise is rounded before the teacher sees it.",
    ),
    KeyText::new("pairs.shard", "pairs per file", OURS, "Pairs per file."),
    KeyText::new("pairs.path", "folder", OURS, "Folder of the pairs; the run folder's pairs where left out."),
    KeyText::new(
        "data.path",
        "folder",
        OURS,
        "Folder of pictures, with their captions in metadata.jsonl (file_name, text) or a .txt beside each.",
    ),
    KeyText::new(
        "data.latents",
        "folder",
        OURS,
        "Folder of their latents; the run folder's latents where left out. Without data.path they must all be there.",
    ),
    KeyText::new(
        "data.posterior",
        "",
        READING,
        "What is taken of the distribution that the encoder gives: where it is densest, or one draw.",
    ),
    KeyText::new("data.dtype", "", OURS, "Stored precision of the latents."),
    KeyText::new("data.shard", "latents", OURS, "Latents per file."),
    KeyText::new(
        "student.init",
        "path",
        OURS,
        "What the first phase begins with instead of the teacher: a run's folder, a student's folder, a run's checkpoint, a \
         pipeline or its denoising network in the diffusers layout, one file of weights, or a LoRA on the teacher (with a scale \
         other than 1 behind =).",
    ),
    KeyText::new(
        "student.init_parameterisation",
        "",
        OURS,
        "What the output of that student means: the teacher's own prediction, another one on the teacher's noise table, or the \
         velocity on the line between noise and latent (ADP, reflow). Students of this program and schedulers beside others say \
         it themselves.",
    ),
    KeyText::new(
        "student.steps",
        "calls",
        PAPER,
        "How often its network is called, at times spaced as the teacher's; once where neither this nor times is given.",
    ),
    KeyText::new(
        "student.times",
        "times of the teacher",
        PAPER,
        "The times that its network is told, falling; the first stands for pure noise.",
    ),
    KeyText::new("student.sampler", "", PAPER, "What happens between two calls."),
    KeyText::new(
        "student.guidance_offset",
        "weight",
        PAPER,
        "Makes the student a guided one, whose weight is the teacher's less this much (the paper's video variant: 2).",
    ),
    KeyText::new("lora.rank", "", READING, "Rank of the factors B A that are trained beside each weight."),
    KeyText::new("lora.alpha", "", READING, "B A is multiplied with this over the rank; the rank itself where left out."),
    KeyText::new(
        "lora.targets",
        "ends of module paths",
        READING,
        "Linear layers and convolutions, as PEFT's target_modules names them: whole module paths, or their ends behind a dot. \
         Empty for the projections of every attention and both layers of every feed-forward.",
    ),
    KeyText::new("lora.roles", "", READING, "Which networks are trained so; the others are trained whole."),
    KeyText::new(
        "lora.init",
        "",
        OURS,
        "What A begins as: gaussian for normal with deviation 1 / rank, kaiming for uniform in ± 1 / √inputs (PEFT's own \
         default). B begins as zero.",
    ),
    KeyText::new("lora.dropout", "", DMD2, "Share of a layer's inputs that the factors do not see; only 0."),
    KeyText::new(
        "discriminator.latent_taps",
        "module paths",
        PAPER,
        "Module paths of the teacher whose outputs get a head each; empty for the teacher family's own choice (a UNet: the last ResNet of every block).",
    ),
    KeyText::new("discriminator.head_width", "channels", READING, "Channels of every head."),
    KeyText::new("discriminator.head_groups", "groups", OURS, "Groups of the heads' group norms."),
    KeyText::new(
        "discriminator.head_min_size",
        "latent rows and columns",
        READING,
        "The heads halve the picture until its side is at most this.",
    ),
    KeyText::new("discriminator.head_output", "", READING, "What a head ends in."),
    KeyText::new(
        "discriminator.logit_scale",
        "factor",
        READING,
        "Factor on the initial weights of each head's last convolution.",
    ),
    KeyText::new("discriminator.pixel.path", "folder", PAPER, "Folder of the vision encoder (SAM's layout)."),
    KeyText::new(
        "discriminator.pixel.layers",
        "layers, from 0",
        PAPER,
        "Encoder layers whose outputs get a head each, counted from 0.",
    ),
    KeyText::new("discriminator.pixel.input", "", READING, "What the encoder is given."),
    KeyText::new("optimizer.beta1", "", PAPER, "Decay of the first moment; only 0, so that none is kept."),
    KeyText::new("optimizer.beta2", "", PAPER, "Decay of the second moment."),
    KeyText::new("optimizer.eps", "", READING, "Added to the root of the second moment."),
    KeyText::new("optimizer.weight_decay", "", PAPER, "Decoupled weight decay."),
    KeyText::new("checkpoint.every", "iterations", OURS, "Iterations between checkpoints; each phase's end is saved as well."),
    KeyText::new("checkpoint.keep", "checkpoints", OURS, "How many to keep besides the ends of phases."),
    KeyText::new(
        "health.window",
        "iterations",
        OURS,
        "Iterations of the window; nothing but finiteness is watched before the first window is full.",
    ),
    KeyText::new("health.latent_mean", "scaled latents", DMD2, "Largest absolute mean of generated latents."),
    KeyText::new("health.latent_std", "scaled latents", DMD2, "Range of the standard deviation of generated latents."),
    KeyText::new("health.brightness", "pixels in -1 to 1", DMD2, "Range of the mean of decoded pictures, black −1, white 1."),
    KeyText::new(
        "health.discriminator_accuracy",
        "share of samples",
        OURS,
        "The discriminator has won where its accuracy is at least this over the window; above 1 turns the check off.",
    ),
    KeyText::new(
        "health.discriminator_chance",
        "share of samples",
        OURS,
        "The discriminator is at chance where its accuracy is less than this from one half over the window, or over a whole phase \
         that is shorter; 0 turns the check off.",
    ),
    KeyText::new("health.at_chance", "", OURS, "What a run does then: say so and go on, or stop."),
    KeyText::new(
        "health.contrast",
        "pixels in -1 to 1",
        OURS,
        "Pictures are of one colour where their values deviate by less than this within a picture.",
    ),
    KeyText::new(
        "health.noise",
        "share",
        OURS,
        "Pictures are noise where neighbouring pixels differ, squared, by more than this share of what distant ones would.",
    ),
    KeyText::new(
        "health.saturation",
        "share of values",
        OURS,
        "Pictures are saturated where more than this share of their values is beyond ±1.5.",
    ),
    KeyText::new(
        "health.spread",
        "share",
        OURS,
        "Pictures of one prompt are all alike where they differ by less than this share of the most that they have in the run.",
    ),
    KeyText::new(
        "health.motion",
        "pixels in -1 to 1",
        OURS,
        "Videos stand still where two frames that follow one another differ by less than this (root mean square).",
    ),
    KeyText::new(
        "health.flicker",
        "pixels in -1 to 1",
        OURS,
        "Videos flash where the brightness of two frames that follow one another differs by more than this.",
    ),
    KeyText::new("export.targets", "names", OURS, "Targets by the exporter's names; none for no bundle."),
    KeyText::new(
        "score.classifier",
        "folder",
        OURS,
        "Folder of the classifier that reads the pictures, with the real pictures' feature statistics.",
    ),
    KeyText::new("score.count_per_prompt", "pictures", OURS, "Pictures drawn of every prompt."),
    KeyText::new("run.seed", "", OURS, "Seed of every random draw."),
    KeyText::new("run.device", "", OURS, "Where the tensors live."),
    KeyText::new("run.threads", "threads", OURS, "CPU threads; 0 for one per core."),
    KeyText::new(
        "run.sample_every",
        "iterations",
        OURS,
        "Iterations of a phase between two looks at its student: pictures (in samples/ and TensorBoard), their spread and, \
         with [score], their score. 0 for none. No trained value depends on it.",
    ),
    KeyText::new(
        "run.sample_count",
        "pictures",
        OURS,
        "Pictures of one look, each of another prompt; those of one prompt that show the spread come on top.",
    ),
];
