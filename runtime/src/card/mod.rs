//! Model cards: the `README.md` of a student's checkpoint and of a bundle. The same facts give the same text.

mod javascript;
mod python;
mod walk;

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::Error;
use crate::family::{Family, FileNames};
use crate::manifest::{GuidanceRange, Manifest, Role, Unconditional, Verification};
use crate::noise;
use crate::process::{NoiseSchedule, ProcessError, Rollout};
use crate::student::{Call, Diffusers, StudentInfo};
use crate::tokenizer::{Padding, Tokenizer};

/// The name of a card.
pub const FILE_NAME: &str = "README.md";

/// A prompt where nobody names one.
const PROMPT: &str = "a red seven";

/// What a card tells besides what its files state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// What the teacher is called.
    pub teacher: Option<String>,
    /// A prompt that the model was trained for.
    pub prompt: Option<String>,
    /// What was measured of whom: numbers by name.
    pub scores: Vec<(String, Vec<(String, f64)>)>,
}

impl Notes {
    /// The prompt of the examples.
    #[must_use]
    pub fn prompt(&self) -> &str {
        self.prompt.as_deref().unwrap_or(PROMPT)
    }
}

/// The token ids of the example's prompt, by tokenizer, for an example that has no tokenizer at hand: those in the folders
/// beside a `model_index.json`. None for families without such an example.
///
/// # Errors
/// When a tokenizer cannot be read.
pub fn token_ids(family: &dyn Family, root: &Path, index: &Value, notes: &Notes) -> Result<Vec<(String, Vec<i64>)>, Error> {
    let entries = index.as_object().filter(|_| family.javascript().is_some()).into_iter().flatten();
    let tokenizers = entries.filter_map(|(name, entry)| Some((name, entry.get(1)?.as_str()?)));
    tokenizers
        .filter(|(_, class)| class.contains("Tokenizer"))
        .map(|(name, class)| {
            let reader = Tokenizer::of_class(&root.join(name), class)?;
            let ids = reader.encode(notes.prompt(), reader.max_length(), Padding::MaxLength)?.ids;
            Ok((name.clone(), ids))
        })
        .collect()
}

/// What a student and a bundle have in common.
struct Subject<'a> {
    family: &'a dyn Family,
    role: Role,
    is_video: bool,
    rollout: Rollout,
    schedule: &'a NoiseSchedule,
    guidance: Option<GuidanceRange>,
    guidance_scale: Option<f64>,
    unconditional: Unconditional,
    diffusers: Option<&'a Diffusers>,
    licence: &'a str,
    notes: &'a Notes,
}

/// The card of a student's checkpoint.
///
/// # Errors
/// [`ProcessError`] for a student whose steps cannot be walked.
pub fn student(family: &dyn Family, info: &StudentInfo, notes: &Notes) -> Result<String, ProcessError> {
    let subject = Subject::student(family, info, notes)?;
    let mut text = subject.head("diffusers");
    text += "The checkpoint is a pipeline in the diffusers layout. `dmdx_student.json` states how it is sampled.\n\n## Draw\n\n";
    text += &subject.in_diffusers();
    let file = if subject.is_video { "video.apng" } else { "picture.png" };
    let _ = write!(
        text,
        "`dmdx-train sample . --prompt TEXT -o {file}` draws with it too, and `dmdx-export . -o BUNDLE` makes an ONNX bundle of it.\n\n"
    );
    text += &subject.tail();
    Ok(text)
}

/// What a card tells of low-rank factors.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// Their file.
    pub file: &'static str,
    /// Their rank.
    pub rank: usize,
    /// Their product is multiplied with this over the rank.
    pub alpha: f64,
    /// Paths of the layers that they change.
    pub modules: Vec<String>,
    /// Whether the teacher was something else than the plain files of its folder.
    pub changed: bool,
    /// What the student is called that they change, where it is not the teacher.
    pub began: Option<String>,
}

/// The card of a student as factors beside its teacher's weights.
///
/// # Errors
/// [`ProcessError`] for a student whose steps cannot be walked.
pub fn factors(family: &dyn Family, info: &StudentInfo, notes: &Notes, factors: &Factors) -> Result<String, ProcessError> {
    let subject = Subject::student(family, info, notes)?;
    let Factors { file, rank, alpha, modules, changed, began } = factors;
    let mut text = subject.head("diffusers").replace("- diffusers\n", "- diffusers\n- lora\n");
    let teacher = notes.teacher.as_deref().unwrap_or(&info.teacher);
    let (base, what) = match began {
        Some(began) => (began.as_str(), "the student that its training began with"),
        None => (teacher, "its teacher"),
    };
    let (count, name) = (modules.len(), plain(base));
    let layers = if count == 1 { "layer" } else { "layers" };
    let _ = write!(
        text,
        "`{file}` changes {count} {layers} of {what}, {name}, by low-rank factors (LoRA): rank {rank}, alpha {alpha}. "
    );
    if *changed {
        text += "The teacher was not what its folder holds as it stands: a variant, a configuration or LoRA files of the recipe's \
                 `[teacher]` are part of it, and these factors belong on top of them. ";
    }
    text += "Rank and alpha stand in the file's metadata, where diffusers finds them";
    let scale = alpha / *rank as f64;
    if scale != 1.0 {
        let _ = write!(text, "; a program that does not read them needs the strength {scale}");
    }
    text += ". `dmdx_student.json` states how the student is sampled.\n\n## Draw\n\n";
    text += &subject.with_factors((base, what), file);
    let _ = write!(
        text,
        "`--lora {file}` merges it when dmdx reads the network that it changes; the run has merged it into the folder `student` \
         already.\n\n"
    );
    text += &subject.tail();
    Ok(text)
}

/// The card of a bundle. `diffusers` is how diffusers' schedulers come to its steps, for students; `ids` are [`token_ids`].
///
/// # Errors
/// [`ProcessError`] for a manifest whose steps cannot be walked.
pub fn bundle(
    family: &dyn Family,
    manifest: &Manifest,
    diffusers: Option<&Diffusers>,
    ids: &[(String, Vec<i64>)],
    notes: &Notes,
) -> Result<String, ProcessError> {
    let subject = Subject {
        family,
        role: manifest.role,
        is_video: family.makes_videos(),
        rollout: manifest.rollout()?,
        schedule: &manifest.schedule,
        guidance: manifest.guidance,
        guidance_scale: manifest.guidance_scale,
        unconditional: manifest.unconditional,
        diffusers,
        licence: &manifest.provenance.licence,
        notes,
    };
    let mut text = subject.head("onnx");
    text += "The bundle holds every network as ONNX, tokenizers, and `dmdx.json`: how the networks are called, sizes and hashes of \
             all files but this one, and the measured errors.\n\n## Draw\n\n";
    let prompt = notes.prompt();
    let file = if subject.is_video { "videos.apng --frames" } else { "pictures.png" };
    let _ = write!(text, "```sh\ndmdx-run generate . --prompt {} --count 8 --seed 1 -o {file}\n```\n\n", shell(prompt));
    if let Some(code) = python::onnxruntime(&subject, manifest) {
        let _ = write!(text, "With onnxruntime, numpy, pillow and transformers alone:\n\n```python\n{code}```\n\n");
    }
    if let Some(code) = python::optimum(&subject) {
        let _ = write!(text, "With optimum-onnx:\n\n```python\n{code}```\n\n");
    }
    if let Some(code) = javascript::onnxruntime_web(&subject, manifest, ids) {
        let _ = write!(text, "In a browser, as a module with onnxruntime-web:\n\n```js\n{code}```\n\n");
    }
    text += &subject.tail();
    text += &errors(manifest);
    Ok(text)
}

impl<'a> Subject<'a> {
    fn student(family: &'a dyn Family, info: &'a StudentInfo, notes: &'a Notes) -> Result<Self, ProcessError> {
        Ok(Self {
            family,
            role: Role::Student,
            is_video: family.makes_videos(),
            rollout: info.rollout()?,
            schedule: &info.schedule,
            guidance: info.guidance,
            guidance_scale: None,
            unconditional: info.unconditional.unwrap_or(Unconditional::EmptyPrompt),
            diffusers: info.diffusers.as_ref(),
            licence: &info.licence,
            notes,
        })
    }
}

impl Subject<'_> {
    /// The weight of guidance, where there is any.
    fn weight(&self) -> Option<f64> {
        self.guidance_scale.or(self.guidance.map(|guidance| guidance.default))
    }

    /// What a bundle calls the denoiser, and its sample, time and output.
    fn names(&self) -> [&'static str; 4] {
        let (denoiser, networks) = (self.family.denoiser(), self.family.networks());
        let network = networks.iter().find(|network| network.place == denoiser.place());
        let names = FileNames::of(denoiser.part);
        let bundle = network.map_or(denoiser.part, |network| network.bundle);
        [bundle, names.input(denoiser.sample), names.input(denoiser.time), names.output(denoiser.output)]
    }

    fn calls(&self) -> String {
        match self.rollout.steps().len() {
            1 => "one step".into(),
            count => format!("{count} steps"),
        }
    }

    /// Front matter, title and what it is.
    fn head(&self, library: &str) -> String {
        let is_student = self.role == Role::Student;
        let teacher = self.notes.teacher.as_deref().filter(|_| is_student);
        let task = if self.is_video { "text-to-video" } else { "text-to-image" };
        let mut text = format!("---\nlibrary_name: {library}\npipeline_tag: {task}\n");
        if let Some(teacher) = teacher {
            let _ = writeln!(text, "base_model: {}", quoted(teacher));
        }
        // The hub knows licences by short words; everything else has a name of its own.
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.+".contains(c);
        if self.licence.chars().all(is_word) && !self.licence.is_empty() {
            let _ = writeln!(text, "license: {}", self.licence);
        } else if !self.licence.is_empty() {
            let _ = writeln!(text, "license: other\nlicense_name: {}", quoted(self.licence));
        }
        let _ = write!(text, "tags:\n- {task}\n- dmdx\n- {library}\n");
        if is_student {
            text += "- distillation\n- few-step\n";
        }
        let of = teacher.map_or_else(String::new, |name| format!(" of {}", plain(name)));
        let (kind, calls) = (self.family.class(), self.calls());
        text + &match self.role {
            Role::Student => format!(
                "---\n\n# A student{of} in {calls}\n\nA {kind} whose denoising network was distilled with dmdx to draw in {calls}. "
            ),
            Role::Teacher => format!("---\n\n# {kind} in {calls}\n\nA pipeline as exported by dmdx to draw in {calls}. "),
        }
    }

    /// The lines that call `pipe` and write a file.
    fn drawn(&self, call: &Call) -> String {
        let (prompt, arguments) = (quoted(self.notes.prompt()), call.python());
        match self.is_video {
            false => format!("picture = pipe({prompt}, {arguments}).images[0]\npicture.save(\"diffusers.png\")\n"),
            // pillow writes an animated PNG.
            true => format!(
                "frames = pipe({prompt}, {arguments}).frames[0]\n\
                 frames[0].save(\"diffusers.png\", save_all=True, append_images=frames[1:], duration=125)\n"
            ),
        }
    }

    /// How stock pipelines draw with the checkpoint.
    fn in_diffusers(&self) -> String {
        match self.diffusers {
            Some(Diffusers::Scheduler { scheduler, call, note }) => {
                let class = self.family.class();
                let drawn = self.drawn(call);
                let note = note.as_ref().map_or_else(String::new, |note| format!(" Mind that {note}."));
                format!(
                    "```python\nfrom diffusers import {class}\n\npipe = {class}.from_pretrained(\".\")  # this folder\n\
                     {drawn}```\n\n\
                     All of these arguments are needed: the pipeline's own defaults are those of a many-step teacher. The \
                     {scheduler} beside it was written for this call.{note}\n\n"
                )
            }
            Some(Diffusers::None { no_scheduler }) => {
                format!(
                    "Stock pipelines of diffusers cannot draw with it ({no_scheduler}), so it has no scheduler and \
                     `from_pretrained` says so. Export it and draw with the bundle.\n\n"
                )
            }
            None => String::new(),
        }
    }

    /// How stock pipelines draw with the pipeline called `base` and the factors in `file`.
    fn with_factors(&self, (base, what): (&str, &str), file: &str) -> String {
        let Some(Diffusers::Scheduler { scheduler, call, note }) = self.diffusers else { return self.in_diffusers() };
        let (class, base, drawn) = (self.family.class(), quoted(base), self.drawn(call));
        let note = note.as_ref().map_or_else(String::new, |note| format!(" Mind that {note}."));
        format!(
            "```python\nfrom diffusers import {class}, {scheduler}\n\npipe = {class}.from_pretrained({base})  # {what}\n\
             pipe.load_lora_weights(\".\", weight_name={})  # this folder\n\
             pipe.scheduler = {scheduler}.from_pretrained(\".\", subfolder=\"scheduler\")\n\
             {drawn}```\n\n\
             All of these arguments are needed, and so is the scheduler: it was written for this call.{note}\n\n",
            quoted(file)
        )
    }

    /// What it computes, of which noise, how well, and under which licence.
    fn tail(&self) -> String {
        let mut text = String::from("## What it computes\n\n");
        text += &walk::definition(&self.rollout, self.schedule);
        text += &self.guided();
        let _ = write!(
            text,
            "## Noise\n\nThe start `z` is standard normal, one value per latent element. For picture `i` of seed `s`, `dmdx-run` and \
             `dmdx-train sample` draw it by {}. Any other standard normal noise does as well; the same noise gives the same picture.",
            noise::RULE
        );
        if walk::draws(&self.rollout) {
            let _ = write!(text, " Fresh noise is {}.", noise::RULE_BETWEEN_STEPS);
        }
        text += "\n\n";
        text += &scores(&self.notes.scores);
        let licence = match self.licence {
            "" => "not stated by the teacher's checkpoint; ask its authors before you pass the weights on".to_string(),
            licence => format!("that of the teacher's weights: {}", plain(licence)),
        };
        let _ = writeln!(text, "## Licence\n\nThe licence is {licence}.");
        text
    }

    fn guided(&self) -> String {
        let form = "the output is `u + w (c - u)` of the outputs with the prompt (`c`) and without (`u`)";
        let without = self.unconditional.words();
        match (self.guidance, self.guidance_scale) {
            (Some(known), _) => format!(
                "It is a guided student: {form}, the unconditional half is fed {without}, and the weight `w` is {} unless asked \
                 otherwise, from {} to {}.\n\n",
                known.default, known.range[0], known.range[1]
            ),
            (None, Some(scale)) => format!("Guidance: {form}, the unconditional half is fed {without}, `w` is {scale}.\n\n"),
            (None, None) => "There is no classifier-free guidance: the network runs once a step.\n\n".into(),
        }
    }
}

/// A table of what was measured; nothing where nothing was.
fn scores(scores: &[(String, Vec<(String, f64)>)]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in scores.iter().flat_map(|(_, numbers)| numbers) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return String::new();
    }
    let mut text = String::from("## Scores\n\nMeasured at the end of the run, on the same prompts and noise.");
    if names.contains(&"coverage") {
        text += " `density` and `coverage` (k = 5), and distances called `_to_teacher`, are to pictures that the guided teacher drew of \
                 other noise: its own row says what is within chance.";
    }
    if names.contains(&"spread") {
        text += " `spread` is how far apart pictures of one prompt are, root mean square, of values from -1 to 1.";
    }
    if names.contains(&"discriminator_accuracy") {
        text += " `discriminator_accuracy` is how often the phase's discriminator was right at its end; 0.5 is chance.";
    }
    let _ = write!(text, "\n\n| | {} |\n|---|", names.join(" | "));
    text += &"---|".repeat(names.len());
    text += "\n";
    for (who, numbers) in scores {
        let cell = |name: &&str| {
            let found = numbers.iter().find(|(known, _)| known == name);
            found.map_or_else(String::new, |(_, value)| format!("{value:.4}"))
        };
        let _ = writeln!(text, "| {who} | {} |", names.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
    text + "\n"
}

/// How far the files are from the networks that they were made of.
fn errors(manifest: &Manifest) -> String {
    let mut text = String::from("\n## Errors\n\n");
    if manifest.verification.values().all(Vec::is_empty) {
        return text + "The files were not run against their source.\n";
    }
    text += "Every file was run against the network that it was made of, in f64 by the reference interpreter.\n\n\
             | network | engine | largest difference | of the largest value | limit |\n|---|---|---|---|---|\n";
    for (network, measured) in &manifest.verification {
        for Verification { engine, max_absolute, relative, tolerance, problem } in measured {
            let problem = problem.as_ref().map(|problem| format!(" ({})", plain(problem))).unwrap_or_default();
            let _ = writeln!(text, "| {network} | {engine}{problem} | {max_absolute:.1e} | {relative:.1e} | {tolerance:.0e} |");
        }
    }
    text
}

/// A text as YAML, JSON and Python quote it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text in one pair of single quotes for a shell.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A stranger's text as plain words of Markdown.
fn plain(text: &str) -> String {
    let is_markup = |c: char| "\\`*_{}[]<>#|!".contains(c);
    text.chars().filter(|c| !c.is_control()).flat_map(|c| is_markup(c).then_some('\\').into_iter().chain([c])).collect()
}
