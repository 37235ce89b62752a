//! What other programs need of a file: types of every value, optimum's names, one time for a whole batch, the reference's
//! weights under the reference's names, and no more bytes than the checkpoint has. `tests/clients` asks these programs.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dmdx_export::bundle::{ComponentOptions, ComponentReport, export_component};
use dmdx_export::onnx::WriteOptions;
use dmdx_export::onnx::proto::{DataType, DimensionValue, ModelProto, ValueInfoProto};
use dmdx_export::{BundleOptions, COMPAT, Role, Stage, Verifier, export_bundle};
use dmdx_graph::{DType, Weight};
use dmdx_importer::{Component, ImportOptions, import, import_pipeline, onnx};
use dmdx_runtime::engine::locate::locate;
use dmdx_runtime::engine::ort::OrtEngine;
use dmdx_runtime::engine::tract::TractEngine;
use dmdx_runtime::{Engine, Tensor};
use prost::Message;
use support::{fixtures, verifier};

fn component(name: &str) -> Component {
    let options = ImportOptions { variant: name.starts_with("half").then(|| "fp16".into()), ..ImportOptions::default() };
    import(&fixtures("zoo").join(name), &options).unwrap()
}

fn export(name: &str, out: &Path, verifier: Option<&Verifier>) -> ComponentReport {
    let source = fixtures("zoo").join(name);
    let options = ComponentOptions {
        source: &source,
        target: &COMPAT,
        write: WriteOptions::default(),
        verifier,
        force: false,
        cancelled: None,
        progress: &mut |_: Stage<'_>| {},
    };
    export_component(&component(name), out, options).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every model of an export by the path in its folder.
fn models(folder: &Path) -> BTreeMap<String, ModelProto> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap().to_string();
        if entry.is_dir() {
            found.extend(models(&entry).into_iter().map(|(inner, model)| (format!("{name}/{inner}"), model)));
        } else if name.ends_with(".onnx") {
            found.insert(name, ModelProto::decode(std::fs::read(&entry).unwrap().as_slice()).unwrap());
        }
    }
    found
}

/// ONNX Runtime where it is found, which keeps sizes open, otherwise tract.
fn engine() -> Box<dyn Engine> {
    match locate(None) {
        Ok(library) => Box::new(OrtEngine::new(&library, 1).unwrap()),
        Err(_) => Box::new(TractEngine::new(1)),
    }
}

fn tensor_type(value: &ValueInfoProto) -> (i32, Vec<Option<DimensionValue>>) {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    (tensor.elem_type, tensor.shape.as_ref().unwrap().dim.iter().map(|dim| dim.value.clone()).collect())
}

/// The value of a text such as `height*width/16+1`.
fn evaluate(text: &str, sizes: &BTreeMap<String, i64>) -> i64 {
    let mut total = 0;
    for term in text.replace('-', "+-").split('+').filter(|term| !term.is_empty()) {
        let (sign, term) = term.strip_prefix('-').map_or((1, term), |term| (-1, term));
        let (product, over) = term.split_once('/').unwrap_or((term, "1"));
        let factors = product.split('*').map(|factor| factor.parse().unwrap_or_else(|_| sizes[factor]));
        let (product, over): (i64, i64) = (factors.product(), over.parse().unwrap());
        assert_eq!(product % over, 0, "{text} of {sizes:?}");
        total += sign * product / over;
    }
    total
}

fn size(dim: &Option<DimensionValue>, sizes: &BTreeMap<String, i64>) -> i64 {
    match dim {
        Some(DimensionValue::Value(size)) => *size,
        Some(DimensionValue::Param(text)) => evaluate(text, sizes),
        None => panic!("a size is open"),
    }
}

/// A size for every name that an input has alone: multiples of 8, so that every expression is whole, but for texts.
fn sizes_of(model: &ModelProto, more: i64) -> BTreeMap<String, i64> {
    let mut sizes = BTreeMap::new();
    for dim in model.graph.as_ref().unwrap().input.iter().flat_map(|input| tensor_type(input).1) {
        if let Some(DimensionValue::Param(name)) = dim
            && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
        {
            let size = match name.as_str() {
                "batch" | "points" | "point_sets" => 1 + more,
                "timesteps" => 1,
                "sequence" => 5 + more,
                "latent_frames" | "latent_height" | "latent_width" => 4 * (1 + more),
                _ => 56 * (1 + more),
            };
            sizes.insert(name, size);
        }
    }
    sizes
}

fn tensors(model: &ModelProto, sizes: &BTreeMap<String, i64>) -> Vec<(String, Tensor)> {
    let inputs = model.graph.as_ref().unwrap().input.iter();
    let tensor = |input: &ValueInfoProto| {
        let (kind, dims) = tensor_type(input);
        let shape: Vec<usize> = dims.iter().map(|dim| size(dim, sizes) as usize).collect();
        let count: usize = shape.iter().product();
        let tensor = match kind == DataType::Int64 as i32 {
            true => Tensor::i64(shape, (0..count as i64).map(|i| i % 2).collect()),
            false => Tensor::f32(shape, (0..count).map(|i| ((i * 7919 % 997) as f32 / 500.0) - 1.0).collect()),
        };
        (input.name.clone(), tensor.unwrap())
    };
    inputs.map(tensor).collect()
}

/// Makes every value an output, and compares what an engine computes with what the file states.
fn states_the_types_of_its_values(path: &str, model: &ModelProto, engine: &dyn Engine) {
    let graph = model.graph.as_ref().unwrap();
    let results: BTreeSet<&String> = graph.node.iter().flat_map(|node| &node.output).collect();
    let stated: BTreeSet<&String> = graph.value_info.iter().chain(&graph.output).map(|value| &value.name).collect();
    assert_eq!(results, stated, "{path}");
    let mut all = model.clone();
    let shown = graph.value_info.iter().filter(|value| [1, 7].contains(&tensor_type(value).0)).cloned();
    all.graph.as_mut().unwrap().output.extend(shown);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.onnx");
    std::fs::write(&file, all.encode_to_vec()).unwrap();
    let session = engine.load(&file).unwrap_or_else(|error| panic!("{path}: {}", error.chain()));
    for more in [0, 1] {
        let sizes = sizes_of(model, more);
        let inputs = tensors(model, &sizes);
        let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let results = session.run(&inputs).unwrap_or_else(|error| panic!("{path}: {}", error.chain()));
        for value in &all.graph.as_ref().unwrap().output {
            let (_, tensor) = results.iter().find(|(name, _)| *name == value.name).unwrap();
            let wanted: Vec<usize> = tensor_type(value).1.iter().map(|dim| size(dim, &sizes) as usize).collect();
            assert_eq!(tensor.shape(), wanted, "{path}: {}", value.name);
        }
    }
}

#[test]
fn every_value_has_its_type_and_its_sizes() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), engine());
    for name in ["unet_sdxl", "clip_g_proj", "sd35_large", "cogvideox_5b", "vae_sdxl", "t5_encoder", "dinov2", "sam_whole"] {
        let out = folder.path().join(name);
        export(name, &out, None);
        for (path, model) in models(&out) {
            // Weights that lie in a file beside it are not in reach of the copy.
            if !out.join("model.onnx_data").exists() {
                states_the_types_of_its_values(&format!("{name}/{path}"), &model, engine.as_ref());
            }
        }
    }
}

/// What the target accepts.
const COMPAT_TOLERANCE: f64 = 1e-5;

/// Names as `optimum.exporters.onnx.model_configs` of optimum-onnx 0.1.0 has them for diffusers' components.
const OPTIMUM: &[(&str, &str, &[&str], &[&str])] = &[
    ("unet_sdxl", "model.onnx", &["sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids"], &["out_sample"]),
    ("unet_sd15", "model.onnx", &["sample", "timestep", "encoder_hidden_states"], &["out_sample"]),
    (
        "sd35_medium",
        "model.onnx",
        &["hidden_states", "encoder_hidden_states", "pooled_projections", "timestep"],
        &["out_hidden_states"],
    ),
    ("vae_sdxl", "vae_encoder/model.onnx", &["sample"], &["latent_parameters"]),
    ("vae_sdxl", "vae_decoder/model.onnx", &["latent_sample"], &["sample"]),
    (
        "clip_l",
        "model.onnx",
        &["input_ids"],
        &["last_hidden_state", "pooler_output", "hidden_states.0", "hidden_states.1", "hidden_states.2", "hidden_states.3"],
    ),
    (
        "clip_g_proj",
        "model.onnx",
        &["input_ids"],
        &[
            "text_embeds",
            "last_hidden_state",
            "hidden_states.0",
            "hidden_states.1",
            "hidden_states.2",
            "hidden_states.3",
            "hidden_states.4",
        ],
    ),
];

#[test]
fn inputs_and_outputs_have_the_names_of_optimum() {
    let folder = tempfile::tempdir().unwrap();
    for (name, path, inputs, outputs) in OPTIMUM {
        let out = folder.path().join(name);
        if !out.exists() {
            export(name, &out, None);
        }
        let graph = models(&out)[*path].graph.clone().unwrap();
        let names = |values: &[ValueInfoProto]| values.iter().map(|value| value.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&graph.input), names(&graph.output)),
            (inputs.iter().map(ToString::to_string).collect(), outputs.iter().map(ToString::to_string).collect()),
            "{name}"
        );
    }
    // Sizes have names that a reader knows.
    let graph = models(&folder.path().join("unet_sdxl"))["model.onnx"].graph.clone().unwrap();
    let named = |value: &ValueInfoProto| {
        let text = |dim| match dim {
            Some(DimensionValue::Param(text)) => text,
            Some(DimensionValue::Value(size)) => size.to_string(),
            None => String::new(),
        };
        tensor_type(value).1.into_iter().map(text).collect::<Vec<_>>().join(" ")
    };
    let inputs: Vec<String> = graph.input.iter().map(named).collect();
    assert_eq!(inputs, ["batch 4 latent_height latent_width", "timesteps", "batch sequence 56", "batch 32", "batch 6"]);
    assert_eq!(named(&graph.output[0]), "batch 4 latent_height latent_width");
    let encoder = models(&folder.path().join("vae_sdxl"))["vae_encoder/model.onnx"].graph.clone().unwrap();
    assert_eq!([&encoder.input[0], &encoder.output[0]].map(named), ["batch 3 height width", "batch 8 height/8 width/8"]);
}

/// optimum gives one time, whatever the batch.
#[test]
fn one_time_serves_a_whole_batch() {
    let folder = tempfile::tempdir().unwrap();
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(TractEngine::new(1))];
    engines.extend(locate(None).ok().map(|library| Box::new(OrtEngine::new(&library, 1).unwrap()) as Box<dyn Engine>));
    for name in ["unet_sdxl", "unet_sd15", "sd35_medium", "cogvideox_5b_i2v"] {
        let out = folder.path().join(name);
        export(name, &out, None);
        let model = &models(&out)["model.onnx"];
        let mut sizes = sizes_of(model, 1);
        sizes.insert("batch".into(), 4);
        let run = |engine: &dyn Engine, times: usize| {
            let mut inputs = tensors(model, &sizes);
            for (_, tensor) in inputs.iter_mut().filter(|(name, _)| ["timestep", "ofs"].contains(&name.as_str())) {
                *tensor = Tensor::f32([times], vec![500.0; times]).unwrap();
            }
            let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
            engine.load(&out.join("model.onnx")).unwrap().run(&inputs).unwrap_or_else(|error| panic!("{name}: {}", error.chain()))
        };
        for engine in &engines {
            assert_eq!(run(engine.as_ref(), 1), run(engine.as_ref(), 4), "{name} by {}", engine.name());
        }
    }
}

/// A tool that finds a weight by the reference's name finds the reference's tensor.
#[test]
fn what_bears_a_weights_name_is_the_weight() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["unet_sdxl", "clip_l", "unet_sd21", "bf16_sd35_medium"] {
        let out = folder.path().join(name);
        export(name, &out, None);
        let (mut same, mut others) = (0, 0);
        for (_, model) in models(&out) {
            let component = component(name);
            let params = component.parts.values().next().unwrap().params();
            for tensor in &model.graph.as_ref().unwrap().initializer {
                let Some(param) = params.get(tensor.name.as_str()) else {
                    others += usize::from(params.keys().any(|name| tensor.name.starts_with(&**name)));
                    continue;
                };
                let weight = param.weight.as_ref().unwrap();
                let shape: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
                assert_eq!(shape, weight.shape(), "{}", tensor.name);
                let dtype = if tensor.data_type == DataType::Float as i32 { DType::F32 } else { DType::F16 };
                let bytes = tensor.raw_data.as_ref().unwrap().as_slice().into();
                let values = Weight::owned(bytes, dtype, shape).unwrap().to_f32();
                assert_eq!(values, weight.to_f32(), "{}", tensor.name);
                same += 1;
            }
        }
        println!("{name}: {same} weights bear their names, {others} are stored in another form");
        assert!(same > 10 && others > 10);
    }
}

/// Half-precision checkpoints stay as small as they are, and every engine computes with exactly their numbers.
#[test]
fn half_precision_is_not_widened() {
    let folder = tempfile::tempdir().unwrap();
    let verifier = verifier();
    for name in ["unet_sd21", "bf16_sd35_medium"] {
        let out = folder.path().join(name);
        let report = export(name, &out, Some(&verifier));
        let component = component(name);
        let params = component.parts.values().flat_map(|graph| graph.params().values());
        let (matrices, vectors): (Vec<_>, Vec<_>) = params.partition(|param| param.shape.len() > 1);
        let bytes =
            |params: &[&dmdx_graph::ir::Param]| params.iter().map(|p| p.weight.as_ref().unwrap().byte_length()).sum::<usize>();
        let stored: usize = models(&out)["model.onnx"]
            .graph
            .as_ref()
            .unwrap()
            .initializer
            .iter()
            .map(|tensor| tensor.raw_data.as_ref().unwrap().len())
            .sum();
        // Matrices as they are, vectors widened, and the constants of the operations.
        let limit = bytes(&matrices) + 3 * bytes(&vectors) + 20_000;
        println!("{name}: {} bytes of matrices, {} of vectors, {stored} stored", bytes(&matrices), bytes(&vectors));
        assert!(stored <= limit, "{name}: {stored} bytes for at most {limit}");
        let measured: Vec<_> = report.record.verification.values().flatten().collect();
        assert!(!measured.is_empty() && measured.iter().all(|one| one.problem.is_none()), "{measured:?}");
    }
}

/// The file alone says what it is, and where it comes from.
#[test]
fn a_bundles_models_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (fixtures("digits-sdxl"), folder.path().join("bundle"));
    let pipeline = import_pipeline(&source, &ImportOptions::default()).unwrap();
    let mut quiet = |_: Stage<'_>| {};
    let report =
        export_bundle(&pipeline, &source, &out, BundleOptions::new(Role::Teacher, vec![999.0, 499.0], &mut quiet)).unwrap();
    let models = models(&out);
    let facts = |path: &str| -> BTreeMap<String, String> {
        let pairs = models[path].metadata_props.iter();
        pairs.map(|pair| (pair.key.clone().unwrap(), pair.value.clone().unwrap())).collect()
    };
    let unet = facts("unet/model.onnx");
    let told = |key: &str| unet[&format!("dmdx.{key}")].as_str();
    assert_eq!((told("role"), told("steps"), told("parameterisation")), ("teacher", "[999.0,499.0]", "epsilon"));
    assert_eq!((told("source"), told("source_sha256")), ("digits-sdxl", report.manifest.provenance.source_sha256.as_str()));
    assert_eq!(told("inputs"), r#"{"timestep":{"min":0,"max":1000}}"#);
    assert_eq!(facts("text_encoder/model.onnx")["dmdx.inputs"].split(':').next(), Some(r#"{"input_ids""#));
    assert!(models["unet/model.onnx"].doc_string.starts_with("unet of digits-sdxl, a teacher of the kind StableDiffusionXL"));
    assert!(
        report.manifest.files.contains_key("vae_encoder/model.onnx")
            && report.manifest.files.contains_key("vae_encoder/config.json")
    );
}

/// Sizes that the file names are read back as the graph had them, so that halving them is exact.
#[test]
fn a_written_network_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["unet_sdxl", "unet_sd21", "vae_sdxl"] {
        let out = folder.path().join(name);
        export(name, &out, None);
        for path in models(&out).keys() {
            let graph = onnx::open(&out.join(path), &ImportOptions::default()).and_then(|model| model.to_graph());
            let graph = graph.unwrap_or_else(|error| panic!("{name}/{path}: {error}"));
            let batch = &graph.value(graph.inputs()[0].1).ty.shape.0[0];
            assert_eq!(batch.to_string(), "b");
        }
    }
}

#[test]
fn a_component_has_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clip");
    let verifier = verifier();
    let report = export("clip_l", &out, Some(&verifier));
    let text = std::fs::read_to_string(out.join("dmdx_component.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["class"], "CLIPTextModel");
    let hash = dmdx_graph::store::hash::file(&out.join("model.onnx")).unwrap();
    assert_eq!(record["files"]["model.onnx"]["sha256"], hash.sha256.as_str());
    assert_eq!(record["verification"]["text_encoder"].as_array().unwrap().len(), verifier.engines().len());
    assert_eq!(record["provenance"]["source"], "clip_l");
    assert_eq!(record["provenance"]["source_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(report.record.files.len(), 2);
}

/// The table of positions of this network is so large that float32 itself moves the masks: engines are held to that.
#[test]
fn what_float32_moves_by_itself_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let report = export("sam", &folder.path().join("sam"), Some(&verifier()));
    for one in &report.record.verification["sam"] {
        assert!(one.relative > COMPAT_TOLERANCE && one.relative <= one.tolerance && one.tolerance < 2e-4, "{one:?}");
    }
    for one in &report.record.verification["vision_encoder"] {
        assert!(one.tolerance == COMPAT_TOLERANCE && one.relative <= COMPAT_TOLERANCE, "{one:?}");
    }
}

/// What two models of a component have in common lies there once.
#[test]
fn common_weights_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let verifier = verifier();
    for (name, models) in [("t5_encoder", ["text_encoder", "text_encoder_masked"]), ("sam_whole", ["sam", "vision_encoder"])] {
        let out = folder.path().join(name);
        let report = export(name, &out, Some(&verifier));
        let weights: u64 = component(name).param_elements() * 4;
        let data = out.join("model.onnx_data").metadata().unwrap().len();
        let written: u64 = report.models.values().map(|model| model.written.data_bytes).sum();
        println!("{name}: {weights} bytes of weights, {data} in the data file");
        // Alignment to 64 bytes, and a layout of its own where one model wants another form.
        assert!(data == written && data < weights * 5 / 4, "{name}: {data} bytes for {weights}");
        for model in models {
            assert!(out.join(format!("{model}.onnx")).is_file(), "{name}");
            assert!(report.record.verification[model].iter().all(|one| one.problem.is_none()));
        }
        assert_eq!(report.record.files.len(), 4);
    }
}
