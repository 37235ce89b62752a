use std::path::{Path, PathBuf};

use dmdx_importer::source::SourceOptions;
use dmdx_train::TrainError;
use dmdx_train::data::Prompts;
use dmdx_train::method::adm::{Adm, AdmGradient};
use dmdx_train::method::adp::Adp;
use dmdx_train::method::sections;
use dmdx_train::recipe::{HeadOutput, LoadedRecipe, PairDtype, Recipe, Section, keys};

use super::toy::RECIPE;

fn parse(text: &str, overrides: &[&str]) -> Result<LoadedRecipe, TrainError> {
    let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
    LoadedRecipe::parse(text, Path::new("folder/recipe.toml"), &overrides, &sections())
}

fn problem(overrides: &[&str]) -> String {
    parse(RECIPE, overrides).unwrap_err().to_string()
}

fn section<S: Section>(recipe: &Recipe) -> S {
    recipe.section().unwrap().unwrap()
}

fn digits() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/digits-sdxl/dmdx.toml")
}

#[test]
fn the_main_job_is_the_reference_run() {
    let loaded = LoadedRecipe::read(&digits(), &[], &sections()).unwrap();
    let Recipe { teacher, pairs, discriminator, optimizer, .. } = &loaded.recipe;
    let (adp, adm): (Adp, Adm) = (section(&loaded.recipe), section(&loaded.recipe));
    assert_eq!(teacher.guidance, [2.5, 3.5]);
    assert_eq!((pairs.count, pairs.steps, pairs.dtype), (1200, 25, PairDtype::F32));
    assert_eq!((discriminator.latent_taps.len(), discriminator.head_width, discriminator.head_groups), (7, 64, 16));
    assert_eq!((discriminator.head_min_size, discriminator.head_output), (2, HeadOutput::Map));
    assert_eq!(discriminator.pixel.as_ref().unwrap().layers, [2, 5, 8, 11]);
    assert_eq!((adp.iterations, adp.batch, adp.lr_generator, adp.lr_discriminator), (400, 32, 1e-4, 5e-4));
    assert_eq!((adp.lambda_latent, adp.lambda_pixel), (0.85, 0.15));
    assert_eq!((adm.iterations, adm.batch, adm.lr_generator, adm.lr_fake, adm.lr_discriminator), (200, 32, 2e-6, 3e-4, 2e-3));
    assert_eq!((adm.dt_steps, adm.t_min, adm.t_max, adm.ttur), (125.0, 20.0, 980.0, 2));
    assert_eq!((optimizer.beta1, optimizer.beta2, optimizer.eps, optimizer.weight_decay), (0.0, 0.99, 1e-8, 0.0));
    let prompts = Prompts::open(&loaded).unwrap();
    assert_eq!(prompts.len(), 60);
    let [first, eighth, last] = [0, 7, 59].map(|id| prompts.get(id).unwrap());
    assert_eq!((first.as_str(), eighth.as_str(), last.as_str()), ("a red zero", "a red seven", "a magenta nine"));
    for path in [&teacher.path, &discriminator.pixel.as_ref().unwrap().path] {
        assert!(loaded.resolve(path).join("").is_dir(), "{path:?}");
    }
}

/// The teacher is read with the choices that every command has.
#[test]
fn the_commands_options_are_keys_of_the_teacher() {
    let named: Vec<String> = SourceOptions::names().iter().map(|name| format!("teacher.{}", name.replace('-', "_"))).collect();
    let own = ["teacher.path", "teacher.guidance", "teacher.uncond"];
    let known = keys::known(&sections());
    let keys: Vec<String> = known.into_iter().filter(|key| key.starts_with("teacher.") && !own.contains(&key.as_str())).collect();
    assert_eq!(keys, named);
    let given =
        ["variant=fp16", "config=c", "lora=[\"a=0.5\",\"b\"]", "allow_pickle=true", "root=[\"r\"]", "allow_hard_links=true"];
    let given: Vec<String> = given.iter().map(|text| format!("teacher.{text}")).collect();
    let loaded = parse(RECIPE, &given.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let reading = loaded.recipe.teacher.reading(|path| loaded.resolve(path)).unwrap().import();
    assert_eq!((reading.variant.as_deref(), reading.allow_pickle, reading.files.hard_links), (Some("fp16"), true, true));
    assert_eq!((reading.config, reading.files.roots), (Some("folder/c".into()), vec!["folder/r".into()]));
    let loras: Vec<_> = reading.loras.iter().map(|lora| (lora.path.to_str().unwrap(), lora.scale)).collect();
    assert_eq!(loras, [("folder/a", 0.5), ("folder/b", 1.0)]);
    let wrong = parse(RECIPE, &["teacher.lora=[\"a=b\"]"]).unwrap().recipe.teacher.reading(Path::to_path_buf).unwrap_err();
    assert_eq!(wrong.to_string(), "the recipe's teacher.lora is wrong: the scale \"b\" behind `=` is not a finite number");
    // And advice is in the recipe's words.
    let pickle = dmdx_importer::ImportError::Pickle { path: "x".into(), files: vec!["y.bin".into()] };
    let said = TrainError::TeacherImport(pickle.into()).to_string();
    assert!(said.ends_with("or give teacher.allow_pickle to read nothing but tensors"), "{said}");
}

#[test]
fn defaults_are_listed_and_given_keys_are_not() {
    let loaded = parse(RECIPE, &["run.seed=3"]).unwrap();
    assert!(loaded.defaults.contains(&"adm.adm_grad".to_string()));
    assert!(loaded.defaults.contains(&"optimizer.beta2".to_string()));
    for given in ["adp.iterations", "run.seed", "teacher.path", "checkpoint.every"] {
        assert!(!loaded.defaults.contains(&given.to_string()), "{given}");
    }
    assert_eq!(loaded.overrides, ["run.seed=3"]);
}

#[test]
fn defaults_are_the_papers() {
    let recipe = parse(RECIPE, &[]).unwrap().recipe;
    let (adp, adm): (Adp, Adm) = (section(&recipe), section(&recipe));
    assert_eq!((adp.batch, adp.lr_generator, adp.lr_discriminator), (128, 1e-6, 5e-6));
    assert_eq!((adm.lr_generator, adm.lr_fake, adm.lr_discriminator), (1e-7, 1e-6, 5e-6));
    assert_eq!((adp.mse_weight, adp.mse_warmup_steps, adp.gan_share_t, adp.gan_share_noise), (0.0, 0, true, false));
    assert_eq!((adm.ttur, adm.adm_grad, recipe.discriminator.head_width), (1, AdmGradient::Full, 256));
}

/// The table of keys and the types must not drift apart: every key of a full recipe is known, and every known key is
/// one that the types accept.
#[test]
fn the_table_of_keys_is_complete() {
    let full = r#"
        [teacher]
        path = "t"
        guidance = [6, 8]
        variant = "fp16"
        config = "c"
        lora = ["l"]
        allow_pickle = true
        root = ["r"]
        allow_hard_links = true
        max_sequence_length = 77
        [prompts]
        file = "p.txt"
        column = "c"
        [discriminator.pixel]
        path = "s"
        [pairs]
        path = "pairs"
        [data]
        path = "pictures"
        latents = "latents"
        [student]
        init = "s"
        init_parameterisation = "teacher"
        [lora]
        alpha = 64
        [score]
        classifier = "c"
    "#;
    let mut found = Vec::new();
    // Not every method goes with every other.
    for section in sections() {
        let recipe = parse(&format!("{full}\n[{}]\n{}", section.name, section.needed), &[]).unwrap().recipe;
        collect(&recipe.resolved().unwrap(), "", &mut found);
    }
    for key in &found {
        assert!(keys::known(&sections()).contains(key), "{key} is not in the table");
    }
    let choices = [
        "prompts.template",
        "prompts.values",
        "prompts.list",
        "student.steps",
        "student.times",
        "student.guidance_offset",
        "adm.guidance",
        "ladd.probabilities",
    ];
    for known in keys::known(&sections()).into_iter().filter(|known| !choices.contains(&known.as_str())) {
        assert!(found.contains(&known), "{known} is no key of a recipe");
    }
}

fn collect(table: &toml::Table, prefix: &str, found: &mut Vec<String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => collect(inner, &key, found),
            _ => found.push(key),
        }
    }
}

#[test]
fn impossible_values_are_named_with_what_is_allowed() {
    for (set, sentence) in [
        ("adp.lr_generator=-1e-4", "the recipe's adp.lr_generator is -0.0001, but must be a number above 0 and at most 1"),
        ("adp.lr_generator=nan", "the recipe's adp.lr_generator is nan, but must be a number above 0 and at most 1"),
        ("adp.batch=0", "the recipe's adp.batch is 0, but must be a whole number from 1 to 65536"),
        ("adp.batch=many", "the recipe's adp.batch is \"many\", but must be a whole number from 1 to 65536"),
        ("adp.lambda_latent=-1", "the recipe's adp.lambda_latent is -1, but must be a number from 0 to 1000"),
        (
            "adp.lambda_latent=0",
            "the recipe's adp.lambda_latent is 0 and so is adp.lambda_pixel, but one of them must be above 0",
        ),
        (
            "adp.lambda_pixel=0.15",
            "the recipe's adp.lambda_pixel is 0.15, but there is no [discriminator.pixel]; add it, or set lambda_pixel = 0",
        ),
        ("adm.dt_steps=1000", "the recipe's adm.dt_steps is 1000, but must be a number above 0 and at most 999"),
        ("adm.dt_steps=970", "the recipe's adm.dt_steps is 970, but must be at most t_max − t_min = 960"),
        ("adm.t_min=980", "the recipe's adm.t_min is 980, but must be below t_max = 980"),
        ("adm.adm_grad=half", "the recipe's adm.adm_grad is \"half\", but must be one of \"full\", \"detach_fake\""),
        ("adp.student_param=snr_matched", "the recipe's adp.student_param is \"snr_matched\", but must be \"raw_velocity\""),
        ("optimizer.beta1=0.9", "the recipe's optimizer.beta1 is 0.9, but must be 0, since the optimizer keeps no first moment"),
        ("optimizer.beta2=1.0", "the recipe's optimizer.beta2 is 1.0, but must be a number from 0 to 0.999999"),
        (
            "teacher.guidance=[8, 6]",
            "the recipe's teacher.guidance is [8, 6], but must be two numbers [low, high] from 0 to 1000 with low ≤ high",
        ),
        ("discriminator.head_groups=7", "the recipe's discriminator.head_groups is 7, but must divide head_width = 256"),
        ("adp.gan_share_t=1", "the recipe's adp.gan_share_t is 1, but must be true or false"),
        (
            "discriminator.pixel.layers=[1, 1]",
            "the recipe's discriminator.pixel.layers is [1, 1], but must be a list of at least one, all different, whole numbers from 0 to 10000",
        ),
        ("lora.rank=0", "the recipe's lora.rank is 0, but must be a whole number from 1 to 65536"),
        (
            "lora.dropout=0.1",
            "the recipe's lora.dropout is 0.1, but must be 0, since nothing is dropped while factors are trained",
        ),
        (
            "lora.roles=[]",
            "the recipe's lora.roles is [], but must be a list of at least one, all different, of \"generator\", \"fake_score\"",
        ),
        (
            "lora.roles=[\"generator\", \"heads\"]",
            "the recipe's lora.roles is [\"generator\", \"heads\"], but must be a list of at least one, all different, of \"generator\", \"fake_score\"",
        ),
        ("run.seed=-1", "the recipe's run.seed is -1, but must be a whole number, 0 or more"),
        ("score.count_per_prompt=3", "the recipe's score.classifier is missing, but [score] needs it"),
        (
            "ladd.probabilities=[0.5, 0.5]",
            "the recipe's ladd.probabilities has 2 numbers, but the student is called 1 times; give one for each call",
        ),
        ("ladd.probabilities=[0.5]", "the recipe's ladd.probabilities is [0.5], which adds up to 0.5 instead of 1"),
        ("lcm.ema_decay=1", "the recipe's lcm.ema_decay is 1, but must be a number from 0 to 0.999999"),
        ("prompts.file=x", "the recipe's prompts must have exactly one of template, list and file"),
    ] {
        assert_eq!(problem(&[set]), sentence);
    }
}

#[test]
fn unknown_keys_are_refused_with_the_known_ones() {
    assert_eq!(
        problem(&["run.sed=1"]),
        "the recipe's run.sed is not a key; [run] knows seed, device, threads, sample_every, sample_count"
    );
    assert!(problem(&["adq.batch=1"]).starts_with("the recipe's adq is not a key; a recipe knows teacher, prompts, pairs"));
    let nested = format!("{RECIPE}\n[discriminator.pixel]\npath = 's'\nlayer = [1]\n");
    let error = parse(&nested, &[]).unwrap_err().to_string();
    assert_eq!(error, "the recipe's discriminator.pixel.layer is not a key; [discriminator.pixel] knows path, layers, input");
}

#[test]
fn overrides_know_the_types_of_their_keys() {
    let recipe =
        parse(RECIPE, &["teacher.path=7", "adm.adm_grad=detach_fake", "adp.lr_generator=1", "teacher.guidance=[3, 3.5]"])
            .unwrap()
            .recipe;
    assert_eq!(recipe.teacher.path, Path::new("7"));
    assert_eq!(section::<Adm>(&recipe).adm_grad, AdmGradient::DetachFake);
    assert_eq!(section::<Adp>(&recipe).lr_generator, 1.0);
    assert_eq!(recipe.teacher.guidance, [3.0, 3.5]);
    let quoted = parse(RECIPE, &["prompts.list=[\"a=b\"]"]).unwrap();
    assert_eq!(Prompts::open(&quoted).unwrap().get(0).unwrap(), "a=b");
    for malformed in ["adp.batch", "batch=1", ".batch=1", "adp.=1"] {
        assert_eq!(problem(&[malformed]), format!("--set {malformed} is not of the form section.key=value"));
    }
    assert_eq!(
        problem(&["adp.batch.size=1"]),
        "the recipe's adp.batch is { size = 1 }, but must be a whole number from 1 to 65536"
    );
}

#[test]
fn syntax_errors_and_missing_files_name_the_file() {
    let error = parse("[teacher\n", &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("the recipe folder/recipe.toml cannot be understood: TOML parse error at line 1"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 1);
    let error = LoadedRecipe::read(Path::new("nowhere.toml"), &[], &sections()).unwrap_err();
    assert!(error.to_string().starts_with("nowhere.toml cannot be read"), "{error}");
    assert_eq!(error.exit_code(), 1);
    assert_eq!(parse("", &[]).unwrap_err().to_string(), "the recipe's teacher is missing, but every recipe needs this section");
}
