//! Students that a run begins with: the same bytes as by a phase of its own, every kind of place, and what is refused.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dmdx_graph::ir::Param;
use dmdx_importer::source::SourceOptions;
use dmdx_importer::{ImportOptions, LoraFile, Pipeline, import_pipeline};
use dmdx_runtime::StudentInfo;
use dmdx_runtime::manifest::GuidanceRange;
use dmdx_runtime::process::{NoiseSchedule, Parameterisation, StepRule};
use dmdx_train::TrainError;
use dmdx_train::job::Distillation;
use dmdx_train::job::work::work;
use dmdx_train::method::sections;
use dmdx_train::module::Weights;
use dmdx_train::recipe::{InitParameterisation, LoadedRecipe};
use dmdx_train::session::Interrupt;
use dmdx_train::store::Parameters;
use dmdx_train::store::tensor_file::TensorFile;
use dmdx_train::teacher::Header;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Type, shape and bytes of tensors by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").canonicalize().unwrap()
}

/// The digits recipe with so many iterations of ADP and ADM.
fn recipe(iterations: [u32; 2], more: &[String]) -> LoadedRecipe {
    let mut sets: Vec<String> = [
        "pairs.count=6",
        "pairs.steps=2",
        "adp.batch=3",
        "adm.batch=3",
        "checkpoint.every=2",
        "score.count_per_prompt=1",
        "run.sample_every=0",
        "export.targets=[]",
    ]
    .map(String::from)
    .into();
    sets.extend([format!("adp.iterations={}", iterations[0]), format!("adm.iterations={}", iterations[1])]);
    sets.extend_from_slice(more);
    LoadedRecipe::read(&fixtures().join("digits-sdxl/dmdx.toml"), &sets, &sections()).unwrap()
}

fn run(loaded: &LoadedRecipe, folder: &Path, resume: bool) -> Result<(), TrainError> {
    work(loaded, folder, resume, &Interrupt::default(), &Distillation::open(loaded)?)
}

fn init(path: &Path) -> String {
    format!("student.init={}", path.display())
}

/// Every tensor of a checkpoint.
fn tensors(checkpoint: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = TensorFile::open(checkpoint).unwrap();
    file.tensors.keys().map(|name| (name.clone(), file.bytes(name).unwrap().unwrap())).collect()
}

/// ADP is paid once: its student, from its run or from a checkpoint of another, goes through ADM as in one recipe.
#[test]
fn adm_after_a_stored_student_is_adp_and_adm_in_one_recipe() {
    let root = tempfile::tempdir().unwrap();
    let place = |name: &str| root.path().join(name);
    run(&recipe([3, 3], &[]), &place("both"), false).unwrap();
    run(&recipe([3, 0], &[]), &place("adp"), false).unwrap();
    let weights = |name: &str| std::fs::read(place(name).join("student/unet/diffusion_pytorch_model.safetensors")).unwrap();
    let end = |name: &str, file: &str| tensors(&place(name).join("checkpoints").join(file));
    let both = end("both", "01-adm-000000003-end.safetensors");
    let own_checkpoint = place("both").join("checkpoints/00-adp-000000003-end.safetensors");
    for (name, begin) in [("of-run", place("adp")), ("of-student", place("adp/student")), ("of-checkpoint", own_checkpoint)] {
        run(&recipe([0, 3], &[init(&begin)]), &place(name), false).unwrap();
        assert!(weights(name) == weights("both"), "{name}: another student");
        assert!(end(name, "00-adm-000000003-end.safetensors") == both, "{name}: another state");
    }
    assert!(weights("adp") != weights("both"), "ADM changed nothing");

    // What the student says of itself is in the manifest, and so is its hash.
    let text = std::fs::read_to_string(place("of-run").join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let student = &manifest["recipe"]["student"];
    assert_eq!((&student["init_parameterisation"], &student["times"]), (&"line_velocity".into(), &serde_json::json!([999.0])));
    assert_eq!(manifest["inputs"]["student.init"].as_str().unwrap().len(), 64);

    // Another student at the same place is another run.
    std::fs::copy(
        place("both/student/unet/diffusion_pytorch_model.safetensors"),
        place("adp/student/unet/diffusion_pytorch_model.safetensors"),
    )
    .unwrap();
    let changed = run(&recipe([0, 3], &[init(&place("adp"))]), &place("of-run"), true).unwrap_err();
    assert!(changed.to_string().starts_with("the run was started with input student.init = "), "{changed}");
}

/// The generator that the first phase of a recipe begins with.
fn beginning(loaded: &LoadedRecipe) -> Weights {
    let job = Distillation::open(loaded).unwrap();
    job.materials().generator(1e-4, None).unwrap().module.weights().unwrap()
}

/// A student that a recipe with this teacher begins with, on the host.
struct Host(Weights);

impl Parameters for Host {
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        self.0.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect()
    }

    fn parameter(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        Ok(self.0[name].1.clone())
    }

    fn set_parameter(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        self.0.get_mut(name).unwrap().1 = values;
        Ok(())
    }
}

fn unet(pipeline: &Pipeline) -> Weights {
    let params = pipeline.components["unet"].parts["unet"].params();
    let weights = |param: &Param| (param.shape.clone(), param.weight.as_ref().unwrap().to_f32());
    params.iter().map(|(name, param)| (name.to_string(), weights(param))).collect()
}

/// The UNet of the small SDXL file as a teacher's, after `student.init` was put into it; and the recipe as it was filled in.
fn begun(more: &[String]) -> Result<(Weights, LoadedRecipe), TrainError> {
    let text = "[teacher]\npath = 't'\nguidance = [2, 3]\n[prompts]\nlist = ['p']\n[adm]\niterations = 1\n";
    let mut loaded = LoadedRecipe::parse(text, Path::new("recipe.toml"), more, &sections()).unwrap();
    let reading = SourceOptions { config: Some(fixtures().join("original/sdxl/config")), ..SourceOptions::default() };
    let path = fixtures().join("original/sdxl/sdxl.safetensors");
    let header = Header::read(&path, &reading).unwrap();
    let init = header.init(&path, &reading, &mut loaded)?.unwrap();
    let mut host = Host(unet(&header.pipeline));
    init.load(&mut host)?;
    Ok((host.0, loaded))
}

fn as_teacher(path: &Path) -> Vec<String> {
    vec![init(path), "student.init_parameterisation=teacher".into()]
}

#[test]
fn networks_folders_and_files_are_students() {
    let root = tempfile::tempdir().unwrap();
    let teachers = fixtures().join("digits-sdxl");
    let teacher = beginning(&recipe([0, 1], &[]));
    assert_eq!(teacher.len(), 328);
    // Of the same pipeline, so that what is read is known: a folder, a network, a file without its configuration.
    let bare = root.path().join("weights.safetensors");
    std::fs::copy(teachers.join("unet/diffusion_pytorch_model.safetensors"), &bare).unwrap();
    assert!(beginning(&recipe([0, 1], &[init(&teachers)])) == teacher);
    for path in [&teachers.join("unet"), &bare] {
        assert!(beginning(&recipe([0, 1], &as_teacher(path))) == teacher, "{path:?}");
    }
}

/// What the importer makes of a LoRA is held against PEFT in its own tests.
#[test]
fn loras_and_files_of_whole_pipelines_are_students() {
    let path = fixtures().join("original/sdxl/sdxl.safetensors");
    let config = Some(fixtures().join("original/sdxl/config"));
    let plain = ImportOptions { config, ..ImportOptions::default() };
    let teacher = unet(&import_pipeline(&path, &plain).unwrap());
    // Its scheduler is known by the configuration of the teacher.
    let (own, loaded) = begun(&[init(&path)]).unwrap();
    assert!(own == teacher);
    assert_eq!(loaded.recipe.student.init_parameterisation, Some(InitParameterisation::Teacher));

    let lora = fixtures().join("lora/peft.safetensors");
    for (given, scale) in [(lora.clone(), 1.0), (PathBuf::from(format!("{}=0.5", lora.display())), 0.5)] {
        let loras = vec![LoraFile { path: lora.clone(), scale }];
        let merged = unet(&import_pipeline(&path, &ImportOptions { loras, ..plain.clone() }).unwrap());
        assert!(begun(&as_teacher(&given)).unwrap().0 == merged && merged != teacher, "{scale}");
    }
    let folder = begun(&as_teacher(&fixtures().join("lora/adapter"))).unwrap().0;
    assert!(folder != teacher);
}

#[test]
fn what_the_output_means_is_said_by_somebody() {
    let digits = fixtures().join("digits-sdxl");
    // The teacher predicts eps; another prediction on its table is another walk, and one on the line the line's.
    for (word, parameterisation) in [("teacher", "Epsilon"), ("v_prediction", "VPrediction"), ("line_velocity", "LineVelocity")] {
        let more = [init(&digits), format!("student.init_parameterisation={word}")];
        let job = Distillation::open(&recipe([0, 1], &more)).unwrap();
        let student = job.materials().student("adm").unwrap();
        assert_eq!(format!("{:?}", student.rollout().process().parameterisation()), parameterisation);
    }
}

#[test]
fn what_does_not_go_with_the_teacher_is_one_sentence() {
    let root = tempfile::tempdir().unwrap();
    let copy = |name: &str, change: &dyn Fn(&Path)| {
        let folder = root.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        for entry in std::fs::read_dir(fixtures().join("digits-sdxl/unet")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
        change(&folder);
        folder
    };
    let digits = |more: &[String]| Distillation::open(&recipe([0, 1], more)).err().unwrap().chain();
    let file = "diffusion_pytorch_model.safetensors";
    let tensors = |folder: &Path, change: &dyn Fn(&mut Tensors)| {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let mut found: Tensors = SafeTensors::deserialize(&bytes)
            .unwrap()
            .iter()
            .map(|(name, view)| (name.to_string(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
            .collect();
        change(&mut found);
        let views =
            found.iter().map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
        std::fs::write(folder.join(file), safetensors::serialize(views, None).unwrap()).unwrap();
    };

    let nobody = digits(&[init(&fixtures().join("digits-sdxl/unet"))]);
    assert_eq!(
        nobody,
        "the recipe's student.init_parameterisation is missing, but student.init does not say what its output means: \"teacher\" \
         where it is what the teacher predicts, \"line_velocity\" after ADP and reflow"
    );
    let nowhere = digits(&as_teacher(Path::new("nowhere")));
    assert!(
        nowhere.starts_with("the recipe's student.init is ") && nowhere.ends_with("nowhere, which is not there"),
        "{nowhere}"
    );
    let heads = copy("heads", &|folder| {
        let config = folder.join("config.json");
        let text = std::fs::read_to_string(&config).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["norm_num_groups"] = 4.into();
        std::fs::write(config, value.to_string()).unwrap();
    });
    let said = digits(&as_teacher(&heads));
    assert!(
        said.contains(
            "student.init has the teacher's tensors, but another network is made of them by norm_num_groups = 4 instead of "
        ),
        "{said}"
    );
    let nan = copy("nan", &|folder| {
        tensors(folder, &|found| found.get_mut("conv_in.bias").unwrap().2.fill(0xff));
    });
    let job = Distillation::open(&recipe([0, 1], &as_teacher(&nan))).unwrap();
    let said = job.materials().generator(1e-4, None).unwrap_err().to_string();
    assert_eq!(said, "the recipe's student.init holds values in conv_in.bias that are not finite");
    let other = digits(&as_teacher(&fixtures().join("zoo/unet_sd15")));
    assert!(other.contains("student.init has "), "{other}");
    let transformer = digits(&as_teacher(&fixtures().join("zoo/sd3_medium")));
    assert!(
        transformer.contains("student.init is a SD3Transformer2DModel, but the teacher's network is a UNet2DConditionModel"),
        "{transformer}"
    );
    let alone = LoadedRecipe::read(
        &fixtures().join("digits-sdxl/dmdx.toml"),
        &["student.init_parameterisation=teacher".to_string()],
        &sections(),
    );
    assert_eq!(
        alone.unwrap_err().to_string(),
        "the recipe's student.init_parameterisation is given, but belongs to student.init and there is none"
    );
    let flow = digits(&[
        init(&fixtures().join("digits-sdxl")),
        "student.init_parameterisation=epsilon".into(),
        "student.times=[999.5]".into(),
    ]);
    assert!(flow.contains("student.times"), "{flow}");
}

/// Students of ours say what they are, and nobody else does.
#[test]
fn a_students_own_words_hold() {
    let root = tempfile::tempdir().unwrap();
    let student = root.path().join("student");
    let digits = fixtures().join("digits-sdxl");
    std::fs::create_dir_all(student.join("unet")).unwrap();
    for name in ["config.json", "diffusion_pytorch_model.safetensors"] {
        std::fs::copy(digits.join("unet").join(name), student.join("unet").join(name)).unwrap();
    }
    let written = |change: &dyn Fn(&mut StudentInfo)| {
        let mut info = StudentInfo {
            steps: vec![999.0, 499.0],
            parameterisation: Parameterisation::LineVelocity,
            sampler: StepRule::Renoise,
            consistency: None,
            schedule: NoiseSchedule::scaled_linear(0.00085, 0.012, 1000),
            guidance: None,
            unconditional: None,
            diffusers: None,
            teacher: "t".into(),
            teacher_sha256: "0".repeat(64),
            licence: String::new(),
        };
        change(&mut info);
        std::fs::write(student.join(StudentInfo::FILE_NAME), info.to_json()).unwrap();
    };
    let open = |more: &[&str]| {
        let more: Vec<String> = std::iter::once(init(&student)).chain(more.iter().map(|set| (*set).to_string())).collect();
        Distillation::open(&recipe([0, 1], &more))
    };
    written(&|_| {});
    let own = open(&[]).unwrap().recipe().clone();
    assert_eq!((own.recipe.student.times.as_deref(), own.recipe.student.sampler), (Some(&[999.0, 499.0][..]), StepRule::Renoise));
    assert!(!own.defaults.iter().any(|key| key == "student.sampler"), "{:?}", own.defaults);
    // The recipe's own words about the walk are stronger, those about the output are not.
    let given = open(&["student.steps=1", "student.sampler=ode"]).unwrap().recipe().recipe.student.clone();
    assert_eq!((given.calls(), given.times, given.sampler), (1, None, StepRule::Ode));
    let said = |more: &[&str]| open(more).err().unwrap().to_string();
    assert_eq!(
        said(&["student.init_parameterisation=teacher"]),
        "the recipe's student.init_parameterisation is \"teacher\", but student.init says that it is \"line_velocity\"; leave it out"
    );
    written(&|info| info.guidance = Some(GuidanceRange { default: 2.0, range: [1.0, 3.0] }));
    assert!(said(&[]).contains("is a guided student (weights from 1 to 3), but student.guidance_offset is not given"));
    open(&["student.guidance_offset=1"]).unwrap();
    written(&|info| {
        info.parameterisation = Parameterisation::Epsilon;
        info.schedule = NoiseSchedule::scaled_linear(0.0001, 0.02, 1000);
    });
    assert!(said(&[]).contains("is a student on another noise table than the teacher's"));

    // A run that was stopped has no student.
    let stopped = root.path().join("run");
    std::fs::create_dir_all(stopped.join("checkpoints")).unwrap();
    std::fs::write(stopped.join("manifest.json"), "{}").unwrap();
    let more = [init(&stopped)];
    let text = Distillation::open(&recipe([0, 1], &more)).err().unwrap().to_string();
    assert_eq!(
        text,
        "the recipe's student.init is the folder of a run that has written no student yet; resume that run, or name one of its \
         checkpoints"
    );
}
