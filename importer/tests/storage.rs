//! Weights of eight bits: floats that are widened exactly, with or without a scale, and packed ones that are refused by the
//! name of who packed them.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Raw, copy, edit, edit_text, file_of, fixture, sentence};
use dmdx_graph::{DType, Weight};
use dmdx_importer::hf::tensors::{Tensors, open};
use dmdx_importer::{ImportOptions, check, convert, import, inspect};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

/// What PyTorch makes of every pattern of a type: the bits of a 16-bit float, and its value.
fn torch(name: &str) -> Vec<(u16, f32)> {
    let values: BTreeMap<String, String> =
        serde_json::from_slice(&std::fs::read(fixture("float8/values.json")).unwrap()).unwrap();
    let bits = values[name].as_bytes().chunks(4).map(|hex| u16::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
    let bits: Vec<u16> = bits.collect();
    let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let numbers = Weight::owned(bytes.into(), DType::F16, vec![bits.len()]).unwrap().to_f32();
    bits.into_iter().zip(numbers).collect()
}

fn file(folder: &Path, tensors: &[(&str, Dtype, &[usize], &[u8])]) {
    let views =
        tensors.iter().map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()));
    std::fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

fn read(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Result<Tensors, String> {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), tensors);
    open(folder.path(), &ImportOptions::default()).map_err(|error| sentence::<()>(Err(error), folder.path()))
}

/// All 256 patterns of every 8-bit float type are the number that PyTorch says, bit for bit.
#[test]
fn every_pattern_of_eight_bits() {
    let patterns: Vec<u8> = (0..=255).collect();
    for (dtype, name, stored) in [
        (Dtype::F8_E4M3, "float8_e4m3fn", "f8_e4m3"),
        (Dtype::F8_E5M2, "float8_e5m2", "f8_e5m2"),
        (Dtype::F8_E4M3FNUZ, "float8_e4m3fnuz", "f8_e4m3fnuz"),
        (Dtype::F8_E5M2FNUZ, "float8_e5m2fnuz", "f8_e5m2fnuz"),
    ] {
        let tensors = read(&[("w", dtype, &[16, 16], &patterns)]).unwrap();
        let weight = &tensors.weights["w"];
        assert_eq!((weight.shape(), weight.stored()), (&[16, 16][..], (stored, 256)));
        let found: Vec<u16> = weight.with_bytes(|bytes| bytes.chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect());
        let wanted = torch(name);
        assert_eq!(wanted.len(), 256);
        for (pattern, ((bits, wanted_bits), (found, wanted))) in
            found.iter().zip(wanted.iter().map(|w| w.0)).zip(weight.to_f32().iter().zip(wanted.iter().map(|w| w.1))).enumerate()
        {
            let same = *bits == wanted_bits || (found.is_nan() && wanted.is_nan());
            assert!(same, "{name} {pattern:#04x}: {found} is not {wanted}");
        }
        assert_eq!(weight.nonfinite(), wanted.iter().filter(|(_, value)| !value.is_finite()).count(), "{name}");
    }
}

/// The nearest number of eight bits, ties to the even pattern.
fn narrow(values: &[(u16, f32)], value: f32) -> u8 {
    let distance = |bits: &u8| (f64::from(values[usize::from(*bits)].1) - f64::from(value)).abs();
    let finite = (0..=255u8).filter(|bits| values[usize::from(*bits)].1.is_finite());
    finite.min_by(|a, b| distance(a).total_cmp(&distance(b)).then((a & 1).cmp(&(b & 1)))).unwrap()
}

fn floats(raw: &Raw) -> Vec<f32> {
    raw.bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// A T5 in 8-bit floats is the T5 whose weights are those numbers; it converts, and `inspect` counts them.
#[test]
fn a_text_encoder_in_eight_bits() {
    let values = torch("float8_e4m3fn");
    let (small, wide) = (copy("zoo/t5_encoder"), copy("zoo/t5_encoder"));
    let mut elements = 0;
    for (folder, is_small) in [(&small, true), (&wide, false)] {
        edit(&folder.path().join("model.safetensors"), |tensors| {
            elements = 0;
            for raw in tensors.values_mut().filter(|raw| raw.dtype == Dtype::F32) {
                let bits: Vec<u8> = floats(raw).iter().map(|value| narrow(&values, *value)).collect();
                elements += bits.len() as u64;
                if is_small {
                    *raw = Raw { dtype: Dtype::F8_E4M3, shape: raw.shape.clone(), bytes: bits };
                } else {
                    raw.bytes = bits.iter().flat_map(|b| values[usize::from(*b)].1.to_le_bytes()).collect();
                }
            }
        });
    }
    let options = ImportOptions::default();
    let (small_t5, wide_t5) = (import(small.path(), &options).unwrap(), import(wide.path(), &options).unwrap());
    for (part, graph) in &wide_t5.parts {
        for (name, param) in graph.params() {
            let of = |param: &dmdx_graph::ir::Param| param.weight.as_ref().unwrap().to_f64();
            assert_eq!(of(&small_t5.parts[part].params()[name]), of(param), "{name}");
        }
    }
    assert_eq!(small_t5.report.dtypes, BTreeMap::from([("f8_e4m3", elements)]));
    assert_eq!(small_t5.report.bytes, elements);
    let text = inspect(small.path(), &options, false).unwrap().to_string();
    assert!(text.contains(&format!("{elements} bytes ({elements} f8_e4m3)")), "{text}");
    // Converted, the widened numbers are what is stored.
    let to = small.path().join("converted.safetensors");
    convert(small.path(), &to, &options, Default::default()).unwrap();
    assert_eq!(import(&to, &options).unwrap().report.dtypes, BTreeMap::from([("f16", elements)]));
}

/// One network in 8 bits does not keep the others from being read.
#[test]
fn one_network_of_a_file_in_eight_bits() {
    let folder = copy("original/sd3");
    let path = folder.path().join("sd3.safetensors");
    let options = ImportOptions { config: Some(folder.path().join("config")), deny_unused: true, ..ImportOptions::default() };
    let prefix = "text_encoders.t5xxl.transformer.";
    edit(&path, |tensors| {
        for (_, raw) in tensors.iter_mut().filter(|(name, raw)| name.starts_with(prefix) && raw.dtype == Dtype::F16) {
            // The upper half of a 16-bit float is an E5M2.
            raw.bytes = raw.bytes.chunks(2).map(|b| b[1]).collect();
            raw.dtype = Dtype::F8_E5M2;
        }
    });
    let pipeline = dmdx_importer::import_pipeline(&path, &options).unwrap();
    let names: Vec<&str> = pipeline.components["text_encoder_3"].report.dtypes.keys().copied().collect();
    assert_eq!((pipeline.components.len(), names), (5, vec!["f8_e5m2"]));
    let report =
        check::run_component(&path, Some("transformer"), &fixture("original/sd3/io_transformer.safetensors"), 1e-4, &options);
    assert!(report.unwrap().passed());
}

/// Scaled weights are the 8-bit numbers times the number beside them; what only 8-bit arithmetic needs is left out.
#[test]
fn scales_are_multiplied_in() {
    let scale = 0.37f32.to_le_bytes();
    for (scales, input) in [("scale_weight", "scale_input"), ("weight_scale", "input_scale")] {
        let (scales, input) = (format!("l.{scales}"), format!("l.{input}"));
        let tensors = read(&[
            ("l.weight", Dtype::F8_E4M3, &[1, 2], &[0x38, 0xb5]),
            ("l.bias", Dtype::F8_E4M3, &[1], &[0x38]),
            (&scales, Dtype::F32, &[], &scale),
            (&input, Dtype::F32, &[1], &scale),
            ("scaled_fp8", Dtype::F8_E4M3, &[0], &[]),
        ])
        .unwrap();
        assert_eq!(tensors.weights.keys().collect::<Vec<_>>(), ["l.bias", "l.weight"]);
        // 0x38 is 1 and 0xb5 is -0.8125, in the format's definition.
        let products = [1.0, -0.8125].map(|value| (value * f64::from(0.37f32)) as f32);
        assert_eq!(tensors.weights["l.weight"].to_f32(), products);
        assert_eq!(tensors.weights["l.weight"].stored(), ("f8_e4m3", 2));
        assert_eq!(tensors.weights["l.bias"].to_f32(), [1.0]);
        assert!(
            tensors.notes[0].starts_with("1 weights of 8-bit floats are multiplied") && tensors.notes[0].contains("2 tensor(s)")
        );
    }
    let refused = |tensors: &[(&str, Dtype, &[usize], &[u8])]| read(tensors).unwrap_err();
    assert_eq!(
        refused(&[
            ("l.weight", Dtype::F8_E4M3, &[2, 1], &[0x38, 0x38]),
            ("l.weight_scale", Dtype::F32, &[2], &[scale, scale].concat()),
        ]),
        "`DIR` holds weights quantised by scales other than one number per tensor (the tensor `l.weight_scale`), which are not \
         read; take the model's fp16 or bf16 weights, or save it again after `dequantize()` where you have it loaded"
    );
    let half = [("l.weight", Dtype::F16, &[1usize][..], &[0u8, 0x3c][..]), ("l.scale_weight", Dtype::F32, &[], &scale)];
    assert!(refused(&half).contains("a scale beside numbers that are no 8-bit floats"));
    let nan = [
        ("l.weight", Dtype::F8_E4M3, &[1usize][..], &[0x38u8][..]),
        ("l.scale_weight", Dtype::F32, &[], &f32::NAN.to_le_bytes()),
    ];
    assert!(refused(&nan).contains("other than one number"));
}

/// Packed weights are refused by the name of what packed them, whatever their types.
#[test]
fn packed_weights_are_named() {
    for (name, dtype, method) in [
        ("l.weight.absmax", "F32", "bitsandbytes"),
        ("l.weight.quant_state.bitsandbytes__nf4", "U8", "bitsandbytes"),
        ("l.SCB", "F32", "bitsandbytes"),
        ("l.g_idx", "I32", "GPTQ"),
        ("l.qweight", "I32", "GPTQ or AWQ"),
        ("l.weight._data", "I8", "optimum-quanto"),
        ("l.weight_packed", "I32", "compressed-tensors"),
        ("l.wscales", "F16", "Nunchaku (SVDQuant)"),
        ("l.W_q", "U8", "HQQ"),
    ] {
        let folder = copy("zoo/t5_encoder");
        // The packed numbers themselves, of a type that no network has.
        let size = if dtype == "F32" || dtype == "I32" { 4 } else { 1 + usize::from(dtype == "F16") };
        let header = json!({
            "l.weight": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]},
            name: {"dtype": dtype, "shape": [1], "data_offsets": [1, 1 + size]},
        });
        std::fs::write(folder.path().join("model.safetensors"), file_of(&header.to_string(), &vec![0; 1 + size])).unwrap();
        let text = sentence(import(folder.path(), &ImportOptions::default()), folder.path());
        assert!(
            text.contains(&format!("holds weights quantised by {method} (the tensor `{name}`), which are not read")),
            "{text}"
        );
    }
    // The configuration says it where nothing but the type of the numbers does.
    let folder = copy("zoo/t5_encoder");
    edit_text(&folder.path().join("config.json"), |text| {
        text.replacen('{', "{\"quantization_config\": {\"quant_method\": \"torchao\"},", 1)
    });
    for dtype in ["F32", "I8"] {
        let size = if dtype == "F32" { 4 } else { 1 };
        let header = json!({"l.weight": {"dtype": dtype, "shape": [1], "data_offsets": [0, size]}});
        std::fs::write(folder.path().join("model.safetensors"), file_of(&header.to_string(), &vec![0; size])).unwrap();
        assert_eq!(
            sentence(import(folder.path(), &ImportOptions::default()), folder.path()),
            "`DIR` holds weights quantised by torchao (the key `quantization_config` of its configuration), which are not read; \
             take the model's fp16 or bf16 weights, or save it again after `dequantize()` where you have it loaded"
        );
    }
    edit_text(&folder.path().join("config.json"), |text| text.replace("{\"quant_method\": \"torchao\"}", "null"));
    let text = sentence(import(folder.path(), &ImportOptions::default()), folder.path());
    assert!(text.contains("type I8"), "{text}");
}
