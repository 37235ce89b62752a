//! Low-rank factors beside frozen weights: PEFT's arithmetic, which gradients they get, what they cost, and what is refused.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../importer/tests/counting/mod.rs"]
mod counting;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dmdx_graph::{Graph, Weight, text};
use dmdx_importer::reference::{RefValues, ReferenceFile};
use dmdx_importer::{ImportOptions, LoraFile, import};
use dmdx_train::TrainError;
use dmdx_train::module::{
    AdamSettings, GraphModule, Layer, LowRank, ParameterGradients, Trained, Value, Weights, input_gradient, parameter_gradients,
};
use dmdx_train::store::tensor_file::TensorFile;
use dmdx_train::store::{NamedRoles, Parameters, StoredState, state};
use safetensors::SafeTensors;

const SETTINGS: AdamSettings = AdamSettings { rate: 1e-3, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.0 };

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// The scale that PEFT's outputs were recorded with.
const STRENGTH: f64 = 0.5;

/// The UNet that PEFT's recorded adapters belong to, with those merged where `loras` has them.
fn unet(loras: Vec<LoraFile>) -> Graph {
    let config = Some(fixture("original/sdxl/config/unet"));
    let options = ImportOptions { config, loras, ..ImportOptions::default() };
    import(&fixture("original/sdxl/sdxl.safetensors"), &options).unwrap().parts["unet"].clone()
}

/// Factors as PEFT stored them, by their names in the UNet.
fn peft() -> Weights {
    let bytes = std::fs::read(fixture("lora/peft.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let of_unet = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("unet.")?.to_string(), tensor)));
    of_unet
        .map(|(name, tensor)| {
            let values = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            (name, (tensor.shape().to_vec(), values))
        })
        .collect()
}

fn with_factors(module: &GraphModule, low_rank: &LowRank, from: &Weights) -> GraphModule {
    let start = |layer: &Layer| {
        let found: Vec<Vec<f32>> = layer
            .parameters()
            .map(|(name, shape)| {
                assert_eq!(from[&name].0, shape, "{name}");
                from[&name].1.clone()
            })
            .collect();
        Ok([found[0].clone(), found[1].clone()])
    };
    module.with_factors(low_rank, start).unwrap()
}

/// PEFT's adapters in their own layers: linear ones, convolutions of 3×3 with stride 1 and 2, pointwise ones.
fn adapted() -> (GraphModule, LowRank, Weights) {
    let weights = peft();
    let targets = weights.keys().filter_map(|name| Some(name.strip_suffix(".lora_A.weight")?.to_string())).collect();
    let low_rank = LowRank { rank: 2, alpha: 6.0 * STRENGTH, targets, is_common: false };
    let frozen = GraphModule::new(&unet(Vec::new()), &Device::flex(), false).unwrap();
    (with_factors(&frozen, &low_rank, &weights), low_rank, weights)
}

/// The recorded call of the UNet, and what PEFT made of it.
fn call() -> (Vec<(String, Value)>, Vec<f32>) {
    let reference = ReferenceFile::open(&fixture("lora/io_unet.safetensors")).unwrap();
    let inputs = reference.inputs_for(&unet(Vec::new())).unwrap().into_iter().map(|(name, tensor)| {
        let value = match &tensor.values {
            RefValues::Int(values) => Value::int(values.clone(), &tensor.shape, &Device::flex()),
            RefValues::Float(values) => Value::float(values.clone(), &tensor.shape, &Device::flex()),
        };
        (name, value.unwrap())
    });
    (inputs.collect(), reference.outputs["sample"].to_f32())
}

fn output(module: &GraphModule, wanted: &str) -> Value {
    let (inputs, _) = call();
    let inputs: Vec<(&str, Value)> = inputs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    module.output(&inputs, wanted).unwrap()
}

/// A scalar on which every element of the output bears otherwise.
fn loss(module: &GraphModule) -> Value {
    let result = output(module, "sample");
    let count = result.shape().iter().product();
    let weights = (0..count).map(|i| ((i * 37) % 23) as f32 / 11.0 - 1.0).collect();
    result.times(&Value::float(weights, &result.shape(), &Device::flex()).unwrap()).sum()
}

#[test]
fn layers_with_factors_compute_what_peft_computes() {
    let (module, low_rank, weights) = adapted();
    let (_, expected) = call();
    let far = |module: &GraphModule| {
        let found = output(module, "sample").to_f32().unwrap();
        found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    // Both are f32 throughout; values are about 1.
    assert!(far(&module) < 2e-5, "{}", far(&module));
    let plain = GraphModule::new(&unet(Vec::new()), &Device::flex(), false).unwrap();
    let stronger = with_factors(&plain, &LowRank { alpha: 3.03, ..low_rank }, &weights);
    assert!(far(&stronger) > 1e-3 && far(&plain) > 1e-2, "{} {}", far(&stronger), far(&plain));
}

/// `dL/dA = s Bᵀ dL/dW` and `dL/dB = s dL/dW Aᵀ`, where W is the whole weight that the importer makes of PEFT's file.
#[test]
fn factors_get_the_gradients_of_the_weight_that_they_make() {
    let (module, low_rank, weights) = adapted();
    let merged = unet(vec![LoraFile { path: fixture("lora/peft.safetensors"), scale: STRENGTH }]);
    let whole = GraphModule::new(&merged, &Device::flex(), true).unwrap();
    let of_whole = parameter_gradients(loss(&whole), &whole);
    let of_factors = parameter_gradients(loss(&module), &module);
    let names: BTreeSet<&str> = of_factors.iter().map(|(name, _)| name).collect();
    assert!(names.iter().copied().eq(weights.keys().map(String::as_str)), "gradients reach the factors and nothing else");
    let close = |name: &str, expected: &[f64]| {
        let found = of_factors.get(name).unwrap().to_f32().unwrap();
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let size = square(&mut expected.iter().copied());
        let error = square(&mut found.iter().zip(expected).map(|(a, b)| f64::from(*a) - b));
        assert!(error <= 1e-4 * size && size > 0.0, "{name}: {error} of {size}");
    };
    for layer in module.plan().layers(&LowRank { is_common: true, ..low_rank.clone() }).unwrap() {
        let [(a, _), (b, _)] = [layer.parameters().next().unwrap(), layer.parameters().nth(1).unwrap()];
        let (rank, rows, columns) = (low_rank.rank, layer.up[0], layer.inputs());
        let dense = of_whole.get(&layer.weight()).unwrap().to_f32().unwrap();
        let sum = |terms: &mut dyn Iterator<Item = (f32, f32)>| -> f64 {
            low_rank.scale() * terms.map(|(x, y)| f64::from(x) * f64::from(y)).sum::<f64>()
        };
        let (first, second) = (&weights[&a].1, &weights[&b].1);
        let of_a = (0..rank * columns).map(|i| {
            let (k, j) = (i / columns, i % columns);
            sum(&mut (0..rows).map(|row| (second[row * rank + k], dense[row * columns + j])))
        });
        let of_b = (0..rows * rank).map(|i| {
            let (row, k) = (i / rank, i % rank);
            sum(&mut (0..columns).map(|j| (dense[row * columns + j], first[k * columns + j])))
        });
        close(&a, &of_a.collect::<Vec<_>>());
        close(&b, &of_b.collect::<Vec<_>>());
    }
}

/// A step moves the factors; the teacher whose storage they stand beside, and a role beside them, stay bit for bit.
#[test]
fn the_weights_that_factors_stand_beside_never_move() {
    let teacher = GraphModule::new(&unet(Vec::new()), &Device::flex(), false).unwrap();
    let before = teacher.weights().unwrap();
    let (_, low_rank, weights) = adapted();
    let mut role = Trained::new(with_factors(&teacher, &low_rank, &weights), SETTINGS);
    let untouched = output(&teacher, "sample").to_f32().unwrap();
    for _ in 0..2 {
        let gradients = parameter_gradients(loss(&role.module), &role.module);
        role.update(gradients);
    }
    assert_eq!(teacher.weights().unwrap(), before);
    assert_eq!(output(&teacher, "sample").to_f32().unwrap(), untouched);
    let after = role.module.weights().unwrap();
    assert!(after.keys().eq(weights.keys()), "a role with factors has no parameters but them");
    assert!(after.iter().all(|(name, values)| weights[name] != *values), "every factor moved");
    assert!(role.optimizer.moments().eq(weights.keys().map(String::as_str)));
    let view = role.module.frozen();
    assert!(role.module.is_trainable() && !view.is_trainable());
    let none = ParameterGradients::take(&view, &mut loss(&view).backward());
    assert_eq!(none.iter().count(), 0);
    assert!(view.trainable_copy().is_trainable());
    assert_eq!(parameter_gradients(loss(&view.trainable_copy()), &view.trainable_copy()).iter().count(), 0);
}

/// Attention and feed-forward of the flow transformer, by the common targets: 33 layers as in PEFT's own list, and the last
/// block's query of the text has no influence.
#[test]
fn common_targets_of_a_flow_transformer() {
    let graph = import(&fixture("zoo/sd3_medium"), &ImportOptions::default()).unwrap().parts["transformer"].clone();
    let teacher = GraphModule::new(&graph, &Device::flex(), false).unwrap();
    let names = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "ff.net.0.proj"];
    let names = names.into_iter().chain(["ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"]);
    let low_rank = LowRank { rank: 4, alpha: 8.0, targets: names.map(str::to_string).collect(), is_common: true };
    let number = |shape: &[usize]| {
        let count: usize = shape.iter().product();
        Value::float((0..count).map(|i| ((i * 29) % 17) as f32 / 9.0 - 0.9).collect(), shape, &Device::flex()).unwrap()
    };
    let start = |layer: &Layer| {
        let values = |shape: &[usize]| (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin() * 0.1).collect();
        Ok([values(&layer.down), values(&layer.up)])
    };
    let module = teacher.with_factors(&low_rank, start).unwrap();
    let layers = teacher.plan().layers(&low_rank).unwrap();
    assert_eq!(layers.len(), 33);
    let [sample, prompt, pooled] = [number(&[1, 16, 8, 8]), number(&[1, 5, 80]), number(&[1, 56])];
    let inputs = [
        ("hidden_states", sample),
        ("timestep", number(&[1])),
        ("encoder_hidden_states", prompt),
        ("pooled_projections", pooled),
    ];
    let result = module.output(&inputs, module.plan().outputs()[0].as_str()).unwrap();
    let gradients = parameter_gradients(result.square().mean(), &module);
    let factors: BTreeSet<String> =
        layers.iter().flat_map(|layer| layer.parameters().map(|(name, _)| name).collect::<Vec<_>>()).collect();
    assert!(gradients.iter().all(|(name, _)| factors.contains(name)));
    for name in &factors {
        let size = gradients.get(name).map_or(0.0, |gradient| gradient.square().sum().scalar().unwrap());
        assert_eq!(size > 0.0, !name.starts_with("transformer_blocks.2.attn.add_q_proj."), "{name}: {size}");
    }
}

/// Four layers of 1024 by 1024, 16 MiB: whole and with factors of rank 4.
#[test]
fn the_dense_weight_is_held_once_and_never_made() {
    const LAYERS: usize = 4;
    let size = 1024 * 1024;
    let mut source = "graph 1 layers\ninput %0 x : f32[2, 1024]\n".to_string();
    (0..LAYERS).for_each(|i| source += &format!("param layer{i}.weight : f32[1024, 1024]\n"));
    (0..LAYERS).for_each(|i| source += &format!("%{} = linear %{i} @layer{i}.weight : f32[2, 1024]\n", i + 1));
    source += &format!("output y %{LAYERS}\n");
    let mut graph = text::parse(&source).unwrap();
    for i in 0..LAYERS {
        let values: Vec<f32> = (0..size).map(|j| ((i + j * 31) % 19) as f32 / 190.0 - 0.05).collect();
        graph.set_weight(&format!("layer{i}.weight"), Weight::from_f32(&values, vec![1024, 1024]).unwrap()).unwrap();
    }
    let teacher = GraphModule::new(&graph, &Device::flex(), false).unwrap();
    let low_rank = LowRank {
        rank: 4,
        alpha: 4.0,
        targets: vec!["layer0".into(), "layer1".into(), "layer2".into(), "layer3".into()],
        is_common: false,
    };
    let start = |layer: &Layer| Ok([vec![0.01; layer.down.iter().product()], vec![0.02; layer.up.iter().product()]]);
    let x = Value::float((0..2048).map(|i| (i % 7) as f32 - 3.0).collect(), &[2, 1024], &Device::flex()).unwrap();
    let run = |module: &GraphModule, x: &Value| module.output(&[("x", x.clone())], "y").unwrap().square().mean();
    let factors = LAYERS * 2 * 4 * 1024 * size_of::<f32>();

    let (mut role, made) = counting::peak(|| Trained::new(teacher.with_factors(&low_rank, start).unwrap(), SETTINGS));
    assert!(made < 4 * factors, "making the role held {made} bytes beside the teacher");
    let step = |role: &mut Trained| {
        let gradients = parameter_gradients(run(&role.module, &x), &role.module);
        role.update(gradients);
    };
    // What products of whole matrices hold on their way is no business of the factors.
    let leaf = x.leaf();
    let (_, passing) = counting::peak(|| input_gradient(run(&teacher, &leaf), &leaf, &teacher).unwrap());
    let ((), stepping) = counting::peak(|| step(&mut role));
    let dense = size * size_of::<f32>();
    assert!(stepping < passing + dense / 4, "a step held {stepping} bytes, passing a gradient through held {passing}");
    let elements = |shape: &[usize]| shape.iter().product::<usize>();
    let trained: usize = role.module.parameters().iter().map(|(_, shape)| elements(shape)).sum();
    assert_eq!((trained * size_of::<f32>(), role.optimizer.moments().count()), (factors, 2 * LAYERS));

    // The measure sees whole weights where they are trained.
    let mut whole = Trained::new(teacher.trainable_copy(), SETTINGS);
    let ((), stepping) = counting::peak(|| step(&mut whole));
    assert!(stepping > passing + LAYERS * dense, "{stepping}");
}

#[test]
fn a_saved_role_continues_bit_for_bit() {
    let (module, low_rank, weights) = adapted();
    let step = |role: &mut Trained| {
        let gradients = parameter_gradients(loss(&role.module), &role.module);
        role.update(gradients);
    };
    let mut whole = Trained::new(module, SETTINGS);
    step(&mut whole);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let roles: NamedRoles<'_> = vec![("generator", &mut whole)];
    let counters = state::counters(&roles);
    state::save(&path, &BTreeMap::new(), &roles, |_, _| Ok(())).unwrap();
    let saved = StoredState::new("test", counters, TensorFile::open(&path).unwrap()).unwrap();
    assert_eq!(saved.under("generator").count(), weights.len());
    assert_eq!(saved.under("generator_optimizer").count(), weights.len());
    step(&mut whole);
    let frozen = GraphModule::new(&unet(Vec::new()), &Device::flex(), false).unwrap();
    let zeros = weights.iter().map(|(name, (shape, values))| (name.clone(), (shape.clone(), vec![0.0; values.len()]))).collect();
    let mut resumed = Trained::new(with_factors(&frozen, &low_rank, &zeros), SETTINGS);
    saved.load(vec![("generator", &mut resumed)]).unwrap();
    step(&mut resumed);
    assert_eq!(resumed.module.weights().unwrap(), whole.module.weights().unwrap());

    // Whole networks do not continue from factors, nor the other way round.
    let mut network = Trained::new(frozen.trainable_copy(), SETTINGS);
    let error = saved.load(vec![("generator", &mut network)]).unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
}

/// A network that ends earlier shares the factors of the layers that it has.
#[test]
fn a_shorter_network_has_the_same_factors() {
    let (module, _, _) = adapted();
    let mark = "mid_block.resnets.0".to_string();
    let short = module.share(&unet(Vec::new()).tapped(std::slice::from_ref(&mark)).unwrap()).unwrap();
    assert_eq!(output(&short, &mark).to_f32().unwrap(), output(&module, &mark).to_f32().unwrap());
    let own = short.weights().unwrap();
    assert!(
        own.keys().all(|name| !name.starts_with("up_blocks.")) && own.contains_key("mid_block.resnets.0.conv1.lora_A.weight")
    );
    assert!(own.iter().all(|(name, values)| module.weights().unwrap()[name] == *values));
}

#[test]
fn what_cannot_have_factors_is_a_sentence() {
    let module = GraphModule::new(&unet(Vec::new()), &Device::flex(), false).unwrap();
    let say = |rank: usize, target: &str| {
        let low_rank = LowRank { rank, alpha: 1.0, targets: vec![target.to_string()], is_common: false };
        let error = module.with_factors(&low_rank, |_| Ok([Vec::new(), Vec::new()])).unwrap_err();
        assert!(matches!(error, TrainError::Lora(_)), "{error}");
        error.to_string()
    };
    assert_eq!(
        say(2, "to_qq"),
        "the recipe's lora.targets has \"to_qq\", which ends the path of no layer of UNet2DConditionModel; its layers end in conv, \
         conv1, conv2, conv_in, conv_out, conv_shortcut, linear_1, linear_2, net, proj, proj_in, proj_out, time_emb_proj, to_k, \
         to_out, to_q, to_v"
    );
    assert_eq!(
        say(2, "norm1"),
        "the recipe's lora.targets has \"norm1\", which is down_blocks.0.resnets.0.norm1 of UNet2DConditionModel, but only linear \
         layers and convolutions of one group have low-rank factors; name those in it"
    );
    assert!(say(2, "attn1").contains("is down_blocks.1.attentions.0.transformer_blocks.0.attn1 of"));
    assert_eq!(
        say(5, "conv_out"),
        "the recipe's lora.rank is 5, but the weight of conv_out is 4 by 72 and has no higher rank than 4; lower it, or take that \
         layer out of lora.targets"
    );
    let none = LowRank { rank: 2, alpha: 1.0, targets: vec!["to_add_out".to_string()], is_common: true };
    let error = module.plan().layers(&none).unwrap_err().to_string();
    assert!(error.starts_with("lora.targets is empty, but UNet2DConditionModel has no attention or feed-forward"), "{error}");
    // Ends are whole parts of a path.
    assert!(say(2, "o_q").contains("ends the path of no layer"));
}
