//! Model cards: what they say of students of every kind. That their examples run is checked by `tests/clients/cards.py`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use dmdx_runtime::card::{self, Notes};
use dmdx_runtime::family;
use dmdx_runtime::manifest::{GuidanceRange, Manifest, Role, Unconditional};
use dmdx_runtime::process::{NoiseSchedule, Parameterisation, StepRule};
use dmdx_runtime::student::{Layout, StudentInfo};
use serde_json::json;

fn info(parameterisation: Parameterisation, steps: &[f64], sampler: StepRule) -> StudentInfo {
    let schedule = NoiseSchedule::scaled_linear(0.00085, 0.012, 1000);
    let mut info = StudentInfo {
        steps: steps.to_vec(),
        parameterisation,
        sampler,
        consistency: None,
        schedule,
        guidance: None,
        unconditional: None,
        diffusers: None,
        teacher: "stabilityai/stable-diffusion-xl-base-1.0".into(),
        teacher_sha256: "0".repeat(64),
        licence: "openrail++".into(),
    };
    let layout = Layout::new(sdxl(), [&json!({}), &json!(null)], &info.rollout().unwrap(), &info.schedule, None);
    info.diffusers = Some(layout.diffusers);
    info
}

fn sdxl() -> &'static dyn family::Family {
    family::of_class("StableDiffusionXLPipeline").unwrap()
}

fn notes() -> Notes {
    let numbers = |accuracy| vec![("accuracy".to_string(), accuracy), ("frechet".to_string(), 18.6049)];
    Notes {
        teacher: Some("stabilityai/stable-diffusion-xl-base-1.0".into()),
        prompt: Some("a \"blue\" four".into()),
        scores: vec![("teacher_25".into(), numbers(1.0)), ("student_1".into(), vec![("accuracy".into(), 0.998)])],
    }
}

fn has(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} is not in\n{text}"));
}

/// A student as low-rank factors: loaded into the teacher, with the scheduler that lies beside them.
#[test]
fn factors_are_loaded_into_the_teacher() {
    let info = info(Parameterisation::Epsilon, &[999.0, 749.0, 499.0, 249.0], StepRule::Ode);
    let modules = vec!["mid_block.attentions.0.proj_in".to_string()];
    let facts = |alpha: f64, changed: bool| card::Factors {
        file: "pytorch_lora_weights.safetensors",
        rank: 4,
        alpha,
        modules: modules.clone(),
        changed,
        began: None,
    };
    let text = card::factors(sdxl(), &info, &notes(), &facts(4.0, false)).unwrap();
    has(
        &text,
        &[
            "\n- diffusers\n- lora\n- distillation\n",
            "changes 1 layer of its teacher, stabilityai/stable-diffusion-xl-base-1.0, by low-rank factors (LoRA): rank 4, alpha 4. Rank",
            "from diffusers import StableDiffusionXLPipeline, DPMSolverMultistepScheduler\n",
            "pipe = StableDiffusionXLPipeline.from_pretrained(\"stabilityai/stable-diffusion-xl-base-1.0\")  # its teacher\n\
             pipe.load_lora_weights(\".\", weight_name=\"pytorch_lora_weights.safetensors\")  # this folder\n\
             pipe.scheduler = DPMSolverMultistepScheduler.from_pretrained(\".\", subfolder=\"scheduler\")\n",
            "num_inference_steps=4, guidance_scale=1).images[0]",
        ],
    );
    assert!(!text.contains("the strength") && !text.contains("on top of them"), "{text}");
    let text = card::factors(sdxl(), &info, &notes(), &facts(6.0, true)).unwrap();
    has(&text, &["a program that does not read them needs the strength 1.5. ", "these factors belong on top of them. "]);
    let text =
        card::factors(sdxl(), &info, &notes(), &card::Factors { began: Some("student".into()), ..facts(4.0, false) }).unwrap();
    has(
        &text,
        &[
            "changes 1 layer of the student that its training began with, student, by",
            "from_pretrained(\"student\")  # the student that its training began with\n",
        ],
    );
}

#[test]
fn a_one_step_student_is_defined_and_called() {
    let info = info(Parameterisation::LineVelocity, &[999.0], StepRule::Ode);
    let text = card::student(sdxl(), &info, &notes()).unwrap();
    assert_eq!(text, card::student(sdxl(), &info, &notes()).unwrap());
    let front = "---\nlibrary_name: diffusers\npipeline_tag: text-to-image\nbase_model: \"stabilityai/stable-diffusion-xl-base-1.0\"\n\
                 license: openrail++\ntags:\n- text-to-image\n- dmdx\n- diffusers\n- distillation\n- few-step\n---\n";
    assert!(text.starts_with(front), "{text}");
    has(
        &text,
        &[
            "# A student of stabilityai/stable-diffusion-xl-base-1.0 in one step\n",
            "picture = pipe(\"a \\\"blue\\\" four\", num_inference_steps=1, guidance_scale=1).images[0]",
            "\nx0 = z - G(z, 999)\n",
            "ChaCha12 (`rand_chacha`, `seed_from_u64(s)`, stream `i`)",
            "| | accuracy | frechet |\n|---|---|---|\n| teacher_25 | 1.0000 | 18.6049 |\n| student_1 | 0.9980 |  |\n",
            "that of the teacher's weights: openrail++",
        ],
    );
    assert!(!text.contains("fresh"), "{text}");
}

#[test]
fn several_steps_are_formulas_with_the_processes_numbers() {
    let ode = info(Parameterisation::LineVelocity, &[999.0, 499.0], StepRule::Ode);
    has(
        &card::student(sdxl(), &ode, &notes()).unwrap(),
        &["x1 = z - 0.501 G(z, 999)\nx0 = x1 - 0.499 G(x1, 499)\n", "Mind that its noise levels are up to 0.001 lower"],
    );
    let renoise = info(Parameterisation::Epsilon, &[999.0, 499.0], StepRule::Renoise);
    // 1 / alpha and sigma / alpha at 999, alpha and sigma at 499, of the alphas_cumprod of diffusers.
    has(
        &card::student(sdxl(), &renoise, &notes()).unwrap(),
        &["x1 = 0.5269", " (14.648", " z - 14.614", " G(z, 999)) + 0.8499", " n1\n", "stream `i xor ((k + 1) << 48)`"],
    );
    let none = info(Parameterisation::LineVelocity, &[999.0, 499.0], StepRule::Renoise);
    let text = card::student(sdxl(), &none, &notes()).unwrap();
    has(&text, &["Stock pipelines of diffusers cannot draw with it (diffusers' schedulers for UNets"]);
    assert!(!text.contains("```python"), "{text}");
}

#[test]
fn a_strangers_words_stay_words() {
    let mut info = info(Parameterisation::LineVelocity, &[999.0], StepRule::Ode);
    info.licence = "Ours\n- evil: [x](http://x)".into();
    let notes = Notes { teacher: Some("x\"\nlicense: mit".into()), prompt: Some("\")\nimport os".into()), ..Notes::default() };
    let text = card::student(sdxl(), &info, &notes).unwrap();
    has(
        &text,
        &[
            "base_model: \"x\\\"\\nlicense: mit\"\n",
            "license: other\nlicense_name: \"Ours\\n- evil: [x](http://x)\"\n",
            "pipe(\"\\\")\\nimport os\", num",
            "that of the teacher's weights: Ours- evil: \\[x\\](http://x)",
        ],
    );
    info.licence = String::new();
    let text = card::student(sdxl(), &info, &Notes::default()).unwrap();
    assert!(!text.contains("license") && text.contains("not stated"), "{text}");
}

#[test]
fn a_bundle_shows_its_walk_in_python_and_its_errors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tiny-bundle/bundle");
    let text = std::fs::read_to_string(folder.join("dmdx.json")).unwrap();
    let mut manifest = Manifest::parse(&text).unwrap();
    let family = family::of_class(&manifest.pipeline).unwrap();
    let index = serde_json::from_str(&std::fs::read_to_string(folder.join("model_index.json")).unwrap()).unwrap();
    let ids = card::token_ids(family, &folder, &index, &notes()).unwrap();
    assert_eq!(
        ids.iter().map(|(name, ids)| (name.as_str(), ids.len())).collect::<Vec<_>>(),
        [("tokenizer", 16), ("tokenizer_2", 16)]
    );
    let card = card::bundle(family, &manifest, None, &ids, &notes()).unwrap();
    has(
        &card,
        &["library_name: onnx", "dmdx-run generate . --prompt 'a \"blue\" four'", "## Errors", "onnxruntime.InferenceSession"],
    );
    assert!(!card.contains('@'), "every mark of the template is filled: {card}");

    manifest.role = Role::Student;
    manifest.guidance_scale = None;
    manifest.guidance = Some(GuidanceRange { default: 2.5, range: [1.0, 4.0] });
    manifest.unconditional = Unconditional::Zeros;
    manifest.parameterisation = Parameterisation::Epsilon;
    (manifest.steps, manifest.sampler) = (vec![999.0, 499.0], StepRule::Renoise);
    let card = card::bundle(family, &manifest, None, &ids, &notes()).unwrap();
    has(
        &card,
        &[
            "nothing = {name: np.zeros_like(value) for name, value in told.items()}",
            "    o = u + np.float32(2.5) * (c - u)\n",
            "np.float32(sigma) * noise.standard_normal(x.shape)",
            "from 1 to 4",
            "u.map((value, i) => value + 2.5 * (c[i] - value))",
            "alpha * (a * value + b * o[i]) + sigma * normal()",
        ],
    );
    // A page has no room for more, and no ids of the empty prompt.
    manifest.unconditional = Unconditional::EmptyPrompt;
    assert!(!card::bundle(family, &manifest, None, &ids, &notes()).unwrap().contains("```js"));
    manifest.guidance = None;
    assert!(card::bundle(family, &manifest, None, &ids, &notes()).unwrap().contains("```js"));
    manifest.files.values_mut().for_each(|file| file.bytes = 1 << 31);
    assert!(!card::bundle(family, &manifest, None, &ids, &notes()).unwrap().contains("```js"));
}
