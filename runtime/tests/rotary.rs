//! CogVideoX' position tables and guidance against diffusers 0.36.0 (fixtures/schedulers/positions.safetensors).
#![allow(clippy::unwrap_used)]

use dmdx_runtime::Tensor;
use dmdx_runtime::family::rotary::Rotary;
use dmdx_runtime::pipeline::guidance::rescale;
use dmdx_runtime::process::guidance::dynamic_scale;
use safetensors::SafeTensors;
use serde_json::{Value, json};

fn fixture() -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/schedulers/positions.safetensors")).unwrap()
}

fn metadata(bytes: &[u8], key: &str) -> Value {
    serde_json::from_str(&SafeTensors::read_metadata(bytes).unwrap().1.metadata().as_ref().unwrap()[key]).unwrap()
}

fn tensor(bytes: &[u8], name: &str) -> Tensor {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Tensor::f32(view.shape(), values).unwrap()
}

#[test]
fn tables_equal_the_pipelines() {
    let bytes = fixture();
    let mut worst = 0.0f32;
    for (index, case) in metadata(&bytes, "cases").as_array().unwrap().iter().enumerate() {
        let rotary = Rotary::from_config(&case["config"]).unwrap().unwrap();
        let [frames, rows, columns] = [0, 1, 2].map(|axis| case["latents"][axis].as_u64().unwrap() as usize);
        let (cos, sin) = rotary.tables(frames, rows, columns).unwrap();
        assert_eq!(cos.shape()[0] as u64, case["total"].as_u64().unwrap());
        for (table, name) in [(cos, "cos"), (sin, "sin")] {
            let wanted = tensor(&bytes, &format!("{name}.{index}"));
            assert_eq!(table.shape()[1], wanted.shape()[1]);
            let wanted = wanted.floats().unwrap().chunks(wanted.row_len());
            for (row, wanted) in case["rows"].as_array().unwrap().iter().zip(wanted) {
                let row = row.as_u64().unwrap() as usize;
                let found = &table.floats().unwrap()[row * table.row_len()..][..table.row_len()];
                worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
            }
        }
    }
    println!("worst {worst:e}");
    assert!(worst <= 1e-6, "{worst}");
}

#[test]
fn sizes_without_positions_are_refused() {
    let config = |patch_t: Value| json!({"attention_head_dim": 16, "patch_size": 2, "patch_size_t": patch_t, "sample_height": 20, "sample_width": 16, "use_rotary_positional_embeddings": true});
    let counted = Rotary::from_config(&config(json!(2))).unwrap().unwrap();
    assert!(counted.tables(4, 20, 16).is_ok());
    let error = counted.tables(4, 22, 16).unwrap_err().to_string();
    assert_eq!(error, "11x8 patches are more than the 10x8 that the transformer has positions for; choose a smaller size");
    let cropped = Rotary::from_config(&config(Value::Null)).unwrap().unwrap();
    for [frames, height, width] in [[0, 4, 4], [1, 1, 4], [1, 4, 0], [usize::MAX, 4, 4], [1 << 20, 1 << 20, 1 << 20]] {
        assert!(cropped.tables(frames, height, width).is_err());
    }
    let mut odd = config(Value::Null);
    odd["attention_head_dim"] = json!(24);
    assert!(Rotary::from_config(&odd).unwrap_err().to_string().contains("multiple of 16"));
    odd["patch_size"] = json!(0);
    assert!(Rotary::from_config(&odd).unwrap_err().to_string().contains("patch_size = 0"));
    assert_eq!(Rotary::from_config(&json!({"use_rotary_positional_embeddings": false})).unwrap(), None);
}

#[test]
fn guidance_equals_the_pipelines() {
    let bytes = fixture();
    for case in metadata(&bytes, "dynamic").as_array().unwrap() {
        let [scale, steps, time, wanted] = [0, 1, 2, 3].map(|index| case[index].as_f64().unwrap());
        let found = dynamic_scale(scale, steps as usize, time);
        assert!((found - wanted).abs() < 1e-9, "{case}: {found}");
    }
    let (guided, text) = (tensor(&bytes, "rescale.guided"), tensor(&bytes, "rescale.text"));
    let (found, wanted) = (rescale(&guided, &text, 0.7).unwrap(), tensor(&bytes, "rescale.out"));
    let pairs = found.floats().unwrap().iter().zip(wanted.floats().unwrap());
    assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-6);
    assert_eq!(rescale(&guided, &text, 0.0).unwrap(), guided);
    assert!(rescale(&guided, &tensor(&bytes, "cos.0"), 0.5).is_err());
}
