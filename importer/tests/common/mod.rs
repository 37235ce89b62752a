//! What the tests share: copies of fixtures, hand-made safetensors files, sentences without machine paths.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dmdx_importer::ImportError;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// A folder of `fixtures/`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// A temporary copy of the files of a fixture folder.
pub fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_into(&fixture(name), folder.path());
    folder
}

/// A network of 16-bit floats as a variant.
pub fn half_variant() -> tempfile::TempDir {
    let folder = copy("zoo/unet_sd21");
    let file = |variant: &str| folder.path().join(format!("diffusion_pytorch_model{variant}.safetensors"));
    std::fs::rename(file(""), file(".fp16")).unwrap();
    folder
}

/// Copies the files of a folder.
pub fn copy_into(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            copy_into(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::write(to.join(entry.file_name()), std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// The message of an error, with `DIR` for the folder.
pub fn sentence<T>(result: Result<T, ImportError>, folder: &Path) -> String {
    let text = result.err().expect("an error was expected").to_string();
    let canonical = folder.canonicalize().unwrap_or(folder.into());
    text.replace(&canonical.display().to_string(), "DIR").replace(&folder.display().to_string(), "DIR")
}

/// A safetensors file of a header as it stands and the bytes after it.
pub fn file_of(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A tensor of a file that is being changed.
#[derive(Clone)]
pub struct Raw {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// Rewrites a safetensors file.
pub fn edit(path: &Path, change: impl FnOnce(&mut BTreeMap<String, Raw>)) {
    let bytes = std::fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut tensors: BTreeMap<String, Raw> = SafeTensors::deserialize(&bytes)
        .unwrap()
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, Raw { dtype: view.dtype(), shape: view.shape().into(), bytes: view.data().into() }))
        .collect();
    change(&mut tensors);
    let views =
        tensors.iter().map(|(name, raw)| (name.clone(), TensorView::new(raw.dtype, raw.shape.clone(), &raw.bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, metadata.metadata().clone()).unwrap()).unwrap();
}

/// Changes the text of a file.
pub fn edit_text(path: &Path, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "the change did nothing");
    std::fs::write(path, changed).unwrap();
}

/// Names and shapes of lists of `fixtures/original/names.json`, each sorted by name.
pub fn named(lists: &[&str]) -> Vec<(String, Vec<usize>)> {
    let names: serde_json::Value = serde_json::from_slice(&std::fs::read(fixture("original/names.json")).unwrap()).unwrap();
    lists.iter().flat_map(|list| flat(&names[*list])).collect()
}

/// A released network of `fixtures/full`: its configuration, its number of parameters, and names and shapes of its
/// checkpoint's tensors and of those among them that are no parameters.
pub struct Released {
    pub config: serde_json::Value,
    pub parameters: Option<u64>,
    pub tensors: BTreeMap<String, Vec<usize>>,
    pub buffers: BTreeMap<String, Vec<usize>>,
}

pub fn released(name: &str) -> Released {
    let facts = std::fs::read(fixture(&format!("full/{name}.json"))).unwrap();
    let mut facts: serde_json::Value = serde_json::from_slice(&facts).unwrap();
    Released {
        config: facts["config"].take(),
        parameters: facts["parameters"].as_u64(),
        tensors: flat(&facts["tensors"]),
        buffers: facts.get("buffers").map(flat).unwrap_or_default(),
    }
}

/// Names and shapes of a list that is split at the dots of its names.
fn flat(list: &serde_json::Value) -> BTreeMap<String, Vec<usize>> {
    let mut names = BTreeMap::new();
    for (name, below) in list.as_object().unwrap() {
        if below.is_array() {
            names.insert(name.clone(), serde_json::from_value(below.clone()).unwrap());
        } else {
            names.extend(flat(below).into_iter().map(|(rest, shape)| (format!("{name}.{rest}"), shape)));
        }
    }
    names
}

/// A file of these tensors, of 16-bit zeros, that takes no room: everything behind the header is a hole.
pub fn sparse(path: &Path, tensors: &[(String, Vec<usize>)], metadata: &[(&str, &str)]) {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!(metadata.iter().copied().collect::<BTreeMap<_, _>>()));
    let mut offset = 0;
    for (name, shape) in tensors {
        let end = offset + 2 * shape.iter().product::<usize>();
        header.insert(name.clone(), serde_json::json!({"dtype": "F16", "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let bytes = file_of(&serde_json::Value::Object(header).to_string(), &[]);
    std::fs::write(path, &bytes).unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_len((bytes.len() + offset) as u64).unwrap();
}
