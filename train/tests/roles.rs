//! Roles of one network: what is frozen gets no gradient and never changes, whoever shares its storage.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../importer/tests/counting/mod.rs"]
mod counting;

use std::path::Path;
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use dmdx_graph::{Graph, Weight, text};
use dmdx_importer::{ImportOptions, import};
use dmdx_train::TrainError;
use dmdx_train::error::{NetworkError, OperationError, TensorError};
use dmdx_train::module::{
    AdamSettings, GraphModule, ParameterGradients, Profile, Trained, Value, input_gradient, parameter_gradients,
};
use dmdx_train::store::tensor_file::TensorFile;
use dmdx_train::store::{NamedRoles, Parameters, StoredState, state};

fn unet() -> Graph {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/zoo/unet_sdxl");
    import(&path, &ImportOptions::default()).unwrap().parts["unet"].clone()
}

fn inputs(leaf: bool) -> Vec<(&'static str, Value)> {
    let number = |count: usize, shape: &[usize]| {
        let values = (0..count).map(|i| ((i * 29) % 17) as f32 / 9.0 - 0.9).collect();
        Value::float(values, shape, &Device::flex()).unwrap()
    };
    let sample = number(256, &[1, 4, 8, 8]);
    vec![
        ("sample", if leaf { sample.leaf() } else { sample }),
        ("timestep", number(1, &[1])),
        ("encoder_hidden_states", number(280, &[1, 5, 56])),
        ("text_embeds", number(32, &[1, 32])),
        ("time_ids", number(6, &[1, 6])),
    ]
}

const SETTINGS: AdamSettings = AdamSettings { rate: 1e-2, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.0 };

#[test]
fn a_frozen_network_passes_gradients_on_and_keeps_none() {
    let module = GraphModule::new(&unet(), &Device::flex(), false).unwrap();
    let inputs = inputs(true);
    let mut gradients = module.output(&inputs, "sample").unwrap().square().mean().backward();
    assert!(gradients.take(&inputs[0].1).is_some());
    assert_eq!(ParameterGradients::take(&module, &mut gradients).iter().count(), 0);
    assert!(!module.is_trainable());
}

#[test]
fn nothing_is_recorded_where_nothing_is_trained() {
    let module = GraphModule::new(&unet(), &Device::flex(), false).unwrap();
    let trained = module.trainable_copy();
    let mut of_frozen = module.output(&inputs(false), "sample").unwrap().sum().backward();
    assert_eq!(ParameterGradients::take(&trained, &mut of_frozen).iter().count(), 0);
    let view = trained.frozen();
    let mut of_view = view.output(&inputs(false), "sample").unwrap().sum().backward();
    assert_eq!(ParameterGradients::take(&view, &mut of_view).iter().count(), 0);
    assert!(trained.is_trainable() && !view.is_trainable());
    let mut of_trained = trained.output(&inputs(false), "sample").unwrap().sum().backward();
    assert!(ParameterGradients::take(&trained, &mut of_trained).iter().count() > 200);
}

#[test]
fn training_one_role_leaves_the_others_alone() {
    let teacher = GraphModule::new(&unet(), &Device::flex(), false).unwrap();
    let before = teacher.weights().unwrap();
    let mut student = Trained::new(teacher.trainable_copy(), SETTINGS);
    let other = teacher.trainable_copy();
    for _ in 0..2 {
        let loss = student.module.output(&inputs(false), "sample").unwrap().square().mean();
        let gradients = ParameterGradients::take(&student.module, &mut loss.backward());
        student.update(gradients);
    }
    assert_eq!(teacher.weights().unwrap(), before);
    assert_eq!(other.weights().unwrap(), before);
    let after = student.module.weights().unwrap();
    let changed = after.iter().filter(|(name, values)| before[*name] != **values).count();
    assert!(changed > before.len() * 9 / 10, "{changed} of {} changed", before.len());
    assert_eq!(student.optimizer.steps(), 2);
}

#[test]
fn a_saved_role_continues_bit_for_bit() {
    let teacher = GraphModule::new(&unet(), &Device::flex(), false).unwrap();
    let step = |role: &mut Trained| {
        let loss = role.module.output(&inputs(false), "sample").unwrap().square().mean();
        let gradients = ParameterGradients::take(&role.module, &mut loss.backward());
        role.update(gradients);
    };
    let mut whole = Trained::new(teacher.trainable_copy(), SETTINGS);
    step(&mut whole);
    let folder = tempfile::tempdir().unwrap();
    let saved = stored(&mut whole, folder.path());
    step(&mut whole);
    let mut resumed = Trained::new(teacher.trainable_copy(), SETTINGS);
    saved.load(vec![("student", &mut resumed)]).unwrap();
    step(&mut resumed);
    assert_eq!(resumed.module.weights().unwrap(), whole.module.weights().unwrap());

    let mut student = teacher.frozen();
    saved.load_weights("student", &mut student).unwrap();
    assert!(!student.is_trainable());
    let error = saved.load(vec![("teacher", &mut resumed)]).unwrap_err().to_string();
    assert!(error.contains("counter teacher_optimizer.steps is missing"), "{error}");
    let error = student.set_parameter("conv_in.weight", vec![0.0]).unwrap_err().to_string();
    assert!(error.contains("parameter conv_in.weight") && error.contains("cannot hold 1 values"), "{error}");
    let error = student.parameter("nothing").unwrap_err().to_string();
    assert!(error.contains("parameter nothing") && error.contains("does not exist"), "{error}");
}

/// A role written to `folder` and opened again.
fn stored(role: &mut Trained, folder: &Path) -> StoredState {
    let path = folder.join("state.safetensors");
    let roles: NamedRoles<'_> = vec![("student", role)];
    let counters = state::counters(&roles);
    state::save(&path, &Default::default(), &roles, |_, _| Ok(())).unwrap();
    StoredState::new("test", counters, TensorFile::open(&path).unwrap()).unwrap()
}

#[test]
fn times_are_recorded_under_the_role() {
    let names = |profile: &Profile| {
        let mut names: Vec<(String, u64)> = profile.ranking().into_iter().map(|(name, spent)| (name, spent.calls)).collect();
        names.sort();
        names
    };
    let (roles, everything) = (Arc::new(Profile::default()), Arc::new(Profile::with_operations()));
    let mut teacher = GraphModule::new(&unet(), &Device::flex(), false).unwrap();
    teacher.output(&inputs(false), "sample").unwrap();
    teacher.set_profile(Some(roles.clone()));
    let mut student = teacher.trainable_copy().labelled("student");
    teacher.output(&inputs(false), "sample").unwrap();
    student.output(&inputs(false), "sample").unwrap();
    student.frozen().output(&inputs(false), "sample").unwrap();
    assert_eq!(names(&roles), [("UNet2DConditionModel forward".to_string(), 1), ("student forward".to_string(), 2)]);
    student.set_profile(Some(everything.clone()));
    student.output(&inputs(false), "sample").unwrap();
    let found = names(&everything);
    assert!(found.contains(&("student forward".to_string(), 1)), "{found:?}");
    let convolutions = found.iter().filter(|(name, _)| name.starts_with("student: conv2d [1, ")).count();
    assert!(convolutions > 3, "{found:?}");
    assert_eq!(names(&roles).len(), 2);
    student.set_profile(Some(roles.clone()));
    let loss = student.output(&inputs(false), "sample").unwrap().mean();
    parameter_gradients(loss, &student);
    let leaf = inputs(true);
    let loss = teacher.output(&leaf, "sample").unwrap().mean();
    input_gradient(loss, &leaf[0].1, &teacher).unwrap();
    let found = names(&roles);
    for name in ["student backward", "UNet2DConditionModel backward to its input"] {
        assert!(found.contains(&(name.to_string(), 1)), "{found:?}");
    }
}

/// Weights and moments of a role on a device are on the host one tensor at a time.
#[test]
fn a_role_is_saved_and_loaded_tensor_by_tensor() {
    const TABLES: usize = 12;
    let size = [1024, 256];
    let mut source = "graph 1 tables\ninput %0 ids : i64[2]\n".to_string();
    (0..TABLES).for_each(|i| source += &format!("param t{i:02} : f32[1024, 256]\n"));
    (0..TABLES).for_each(|i| source += &format!("%{} = embedding %0 @t{i:02} : f32[2, 256]\n", i + 1));
    (0..TABLES).for_each(|i| source += &format!("output y{i} %{}\n", i + 1));
    let mut graph = text::parse(&source).unwrap();
    for i in 0..TABLES {
        let weight = Weight::from_f32(&vec![i as f32; 1024 * 256], size.to_vec()).unwrap();
        graph.set_weight(&format!("t{i:02}"), weight).unwrap();
    }
    let mut role = Trained::new(GraphModule::new(&graph, &Device::flex(), true).unwrap(), SETTINGS);
    let outputs: Vec<String> = (0..TABLES).map(|i| format!("y{i}")).collect();
    let wanted: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let ids = Value::int(vec![0, 3], &[2], &Device::flex()).unwrap();
    let loss = role.module.forward(&[("ids", ids)], &wanted).unwrap();
    let loss = loss.values().skip(1).fold(loss["y0"].square().sum(), |sum, output| sum.plus(&output.square().sum()));
    role.update(parameter_gradients(loss, &role.module));
    assert_eq!(role.optimizer.moments().count(), TABLES);

    let folder = tempfile::tempdir().unwrap();
    let (saved, saving) = counting::peak(|| stored(&mut role, folder.path()));
    // A tensor may be copied on its way; there are two dozen of them. The writer's buffer is as large as one.
    let limit = 5 * 4 * size.iter().product::<usize>();
    assert!(saving < limit, "saving held {saving} bytes");
    let before = role.module.weights().unwrap();
    let ((), loading) = counting::peak(|| saved.load(vec![("student", &mut role)]).unwrap());
    assert!(loading < limit, "loading held {loading} bytes");
    assert_eq!(role.module.weights().unwrap(), before);
}

#[test]
fn burn_sees_the_reference_names() {
    #[derive(Default)]
    struct Names {
        path: Vec<String>,
        found: Vec<String>,
    }
    impl ModuleVisitor for Names {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
            self.found.push(self.path.join("."));
        }
    }
    let graph = unet();
    let module = GraphModule::new(&graph, &Device::flex(), true).unwrap();
    let mut names = Names::default();
    module.visit(&mut names);
    let wanted: Vec<String> = graph.params().keys().map(|name| name.to_string()).collect();
    assert_eq!(names.found, wanted);
    assert_eq!(module.num_params() as u64, graph.param_elements());
}

#[test]
fn wrong_inputs_are_sentences() {
    let module = GraphModule::new(&unet(), &Device::flex(), false).unwrap();
    let error = |inputs: &[(&str, Value)], wanted: &str| module.output(inputs, wanted).unwrap_err().to_string();
    let text = error(&inputs(false)[..1], "sample");
    assert!(text.contains("needs its input"), "{text}");
    let text = error(&inputs(false), "nothing");
    assert!(text.contains("neither an output nor a module called nothing"), "{text}");
    let mut extra = inputs(false);
    extra.push(("mask", extra[1].1.clone()));
    let text = error(&extra, "sample");
    assert!(text.contains("has no input mask"), "{text}");
    let mut odd = inputs(false);
    odd[0].1 = Value::float(vec![0.0; 4 * 9 * 9], &[1, 4, 9, 9], &Device::flex()).unwrap();
    let text = error(&odd, "sample");
    assert!(text.contains("sample"), "{text}");
}

/// What fails where, as variants that callers can tell apart and as sentences.
#[test]
fn failures_are_told_apart() {
    let device = Device::flex();
    let source = "graph 1 words\ninput %0 ids : i64[2]\nparam table : f32[3, 2]\n\
                  %1 = embedding %0 @table : f32[2, 2]  # tokens\noutput y %1\n";
    let mut graph = text::parse(source).unwrap();
    let missing = GraphModule::new(&graph, &device, false).unwrap_err();
    assert!(matches!(missing, TrainError::Network(NetworkError::NoWeight { .. })), "{missing}");
    graph.set_weight("table", Weight::from_f32(&[0.0; 6], vec![3, 2]).unwrap()).unwrap();
    let module = GraphModule::new(&graph, &device, false).unwrap();
    let ids = Value::int(vec![0, 3], &[2], &device).unwrap();
    let error = module.output(&[("ids", ids)], "y").unwrap_err();
    assert_eq!(error.to_string(), "words fails in embedding at tokens: an id is not in a table of 3");
    assert!(
        matches!(error, TrainError::Operation { op: "embedding", reason, .. } if matches!(*reason, OperationError::Id { entries: 3 }))
    );
    let error = module.output(&[], "y").unwrap_err();
    assert_eq!(error.to_string(), "words needs its input ids");
    assert!(matches!(error, TrainError::Network(NetworkError::InputNotGiven { .. })));
    let error = Value::float(vec![0.0; 3], &[2], &device).unwrap_err();
    assert_eq!(error, TensorError::Count { shape: vec![2], count: 3 });
}
