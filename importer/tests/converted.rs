//! `convert`: the same model gives the same bytes, comes back equal, and nothing half-written is ever left.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use common::{edit, fixture, sentence};
use dmdx_graph::text;
use dmdx_importer::graph_file::{Model, WriteOptions, write, write_stream};
use dmdx_importer::{Component, ImportError, ImportOptions, convert, import, import_pipeline, write_pipeline};

fn options() -> ImportOptions {
    ImportOptions::default()
}

fn converted(name: &str) -> (tempfile::TempDir, std::path::PathBuf, Component) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    convert(&fixture(name), &path, &options(), WriteOptions::default()).unwrap();
    let component = import(&path, &options()).unwrap();
    (folder, path, component)
}

fn assert_equal(a: &Component, b: &Component) {
    assert_eq!((&a.class, &a.config, &a.config_text), (&b.class, &b.config, &b.config_text));
    assert!(a.parts.keys().eq(b.parts.keys()));
    for (part, graph) in &a.parts {
        let other = &b.parts[part];
        assert_eq!(text::print(graph), text::print(other));
        assert!(graph.params().keys().eq(other.params().keys()));
        for (name, param) in graph.params() {
            let (a, b) = (param.weight.as_ref().unwrap(), other.params()[name].weight.as_ref().unwrap());
            assert_eq!((a.dtype(), a.hash()), (b.dtype(), b.hash()), "{name}");
        }
    }
}

#[test]
fn every_network_comes_back_equal() {
    for name in ["unet_sdxl", "unet_sd15", "vae_sdxl", "clip_l", "clip_g_proj", "sharded_clip_l", "sam"] {
        let name = format!("zoo/{name}");
        let (folder, path, component) = converted(&name);
        assert_equal(&import(&fixture(&name), &options()).unwrap(), &component);
        assert!(component.report.unused.is_empty() && component.report.ignored.is_empty());
        // The converted file converts to its own bytes.
        let again = folder.path().join("again.safetensors");
        convert(&path, &again, &options(), WriteOptions::default()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap(), "{name}");
    }
}

#[test]
fn other_tools_read_the_weights() {
    let (_folder, path, _) = converted("zoo/unet_sd21");
    let ours = std::fs::read(path).unwrap();
    let theirs = std::fs::read(fixture("zoo/unet_sd21/diffusion_pytorch_model.safetensors")).unwrap();
    let ours = safetensors::SafeTensors::deserialize(&ours).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&theirs).unwrap();
    assert_eq!(ours.len(), theirs.len());
    for (name, tensor) in theirs.tensors() {
        assert_eq!(ours.tensor(&name).unwrap(), tensor);
    }
}

#[test]
fn a_folder_with_a_converted_file_is_enough() {
    let (folder, _, component) = converted("zoo/clip_l");
    assert_equal(&import(folder.path(), &options()).unwrap(), &component);
}

#[test]
fn a_pipeline_becomes_a_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("pipeline");
    let files = convert(&fixture("digits-sdxl"), &to, &options(), WriteOptions::default()).unwrap().files;
    assert!(files.iter().all(|file| file.is_file()));
    let (before, after) =
        (import_pipeline(&fixture("digits-sdxl"), &options()).unwrap(), import_pipeline(&to, &options()).unwrap());
    assert!(before.components.keys().eq(after.components.keys()));
    for (name, component) in &before.components {
        assert_equal(component, &after.components[name]);
    }
    assert_eq!((before.scheduler, before.model_index), (after.scheduler, after.model_index));
    assert_eq!(names(folder.path()), ["pipeline"]);
    let force = WriteOptions { force: true, stop: None };
    assert_eq!(
        sentence(convert(&fixture("digits-sdxl"), &to, &options(), force), folder.path()),
        "`DIR/pipeline` exists already; name a new folder, dmdx never replaces a whole one"
    );
}

#[test]
fn a_student_is_described_and_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let [student, copy] = ["student", "copy"].map(|name| folder.path().join(name));
    convert(&fixture("digits-sdxl"), &student, &options(), WriteOptions::default()).unwrap();
    let notes = || import_pipeline(&student, &options()).unwrap().notes;
    assert!(notes().is_empty());
    let info = r#"{"steps": [999.0], "parameterisation": "line_velocity", "sampler": "ode", "teacher": "digits-sdxl"}"#;
    std::fs::write(student.join("dmdx_student.json"), info).unwrap();
    assert_eq!(
        notes(),
        ["this is a student, distilled from digits-sdxl: its network is told the times [999.0], predicts line_velocity and \
          walks by ode; dmdx_student.json states it, the scheduler here is for other programs"]
    );
    convert(&student, &copy, &options(), WriteOptions::default()).unwrap();
    assert_eq!(std::fs::read_to_string(copy.join("dmdx_student.json")).unwrap(), info);
    std::fs::write(student.join("dmdx_student.json"), "steps").unwrap();
    let refused = sentence(import_pipeline(&student, &options()), folder.path());
    assert!(refused.contains("dmdx_student.json"), "{refused}");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn existing_files_are_kept_without_force() {
    let (folder, path, component) = converted("zoo/clip_l");
    let model = Model::from(&component);
    std::fs::write(folder.path().join("old"), b"old").unwrap();
    let old = folder.path().join("old");
    assert_eq!(
        sentence(write(&old, model, WriteOptions::default()), folder.path()),
        "DIR/old exists already; choose another name or pass --force to replace it"
    );
    assert_eq!(std::fs::read(&old).unwrap(), b"old");
    write(&old, model, WriteOptions { force: true, stop: None }).unwrap();
    assert_eq!(std::fs::read(&old).unwrap(), std::fs::read(&path).unwrap());
    assert_eq!(names(folder.path()), ["model.safetensors", "old"]);
}

#[test]
fn stopping_leaves_nothing() {
    let component = import(&fixture("zoo/clip_l"), &options()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(true);
    let path = folder.path().join("x.safetensors");
    assert_eq!(
        sentence(write(&path, Model::from(&component), WriteOptions { force: false, stop: Some(&stop) }), folder.path()),
        "stopped while writing `DIR/x.safetensors`; nothing was left there"
    );
    assert!(names(folder.path()).is_empty());
}

/// A disk that is full after some bytes.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk() {
    let component = import(&fixture("zoo/clip_l"), &options()).unwrap();
    let model = Model::from(&component);
    let mut whole = Vec::new();
    write_stream(&mut whole, Path::new("x"), model, None).unwrap();
    for room in [0, 3, 1000, whole.len() / 2, whole.len() - 1] {
        let error = write_stream(&mut Full(room), Path::new("x"), model, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write `x`: no storage space; nothing was left there, give another place or make room"
        );
        assert_eq!(error.exit_code(), 3);
    }
    #[cfg(target_os = "linux")]
    {
        let mut full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let error = write_stream(&mut full, Path::new("x"), model, None).unwrap_err();
        assert!(matches!(error, ImportError::Write { error, .. } if error.kind() == std::io::ErrorKind::StorageFull));
    }
}

#[test]
fn a_destination_that_cannot_be_written() {
    let component = import(&fixture("zoo/clip_l"), &options()).unwrap();
    let model = Model::from(&component);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"").unwrap();
    for place in ["missing/x.safetensors", "file/x.safetensors"] {
        let error = write(&folder.path().join(place), model, WriteOptions::default()).unwrap_err();
        assert!(matches!(error, ImportError::Write { .. }) && error.exit_code() == 3, "{error}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let locked = folder.path().join("locked");
        std::fs::create_dir(&locked).unwrap();
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
        // The superuser may write everywhere; /proc refuses even that user.
        let locked = if std::fs::write(locked.join("probe"), b"").is_ok() { Path::new("/proc").into() } else { locked };
        let error = write(&locked.join("x.safetensors"), model, WriteOptions::default()).unwrap_err();
        assert!(error.to_string().starts_with("cannot write `"), "{error}");
    }
}

fn tampered(change: impl Fn(&mut std::collections::BTreeMap<String, String>)) -> String {
    let (folder, path, _) = converted("zoo/clip_l");
    let bytes = std::fs::read(&path).unwrap();
    let parsed = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata = header.metadata().clone().unwrap().into_iter().collect();
    change(&mut metadata);
    let bytes = safetensors::serialize(parsed.tensors(), Some(metadata.into_iter().collect())).unwrap();
    std::fs::write(&path, bytes).unwrap();
    sentence(import(&path, &options()), folder.path())
}

#[test]
fn files_that_were_changed() {
    let set = |key: &'static str, value: &'static str| {
        tampered(move |metadata| {
            metadata.insert(key.into(), value.into());
        })
    };
    let file = "`DIR/model.safetensors` is not a converted model: ";
    assert_eq!(set("dmdx.version", "2"), format!("{file}it has version \"2\", this program reads \"1\"; convert it again"));
    assert_eq!(set("dmdx.parts", "[]"), format!("{file}it lists 0 parts, 1 to 16 are possible"));
    assert_eq!(set("dmdx.parts", "[\"x\"]"), format!("{file}its header has no `dmdx.graph.x`; convert it again"));
    assert_eq!(
        set("dmdx.parts", "[\"text_encoder\", \"text_encoder\"]"),
        format!("{file}it lists the part \"text_encoder\" twice")
    );
    assert!(set("dmdx.parts", "{").starts_with(&format!("{file}its list of parts is broken")));
    assert!(set("dmdx.config", "{").starts_with(&format!("{file}its configuration is broken")));
    assert!(set("dmdx.graph.text_encoder", "nonsense").starts_with("`DIR/model.safetensors`: line 1 of the graph text"));
    for key in ["dmdx.class", "dmdx.config", "dmdx.parts"] {
        let removed = tampered(|metadata| {
            metadata.remove(key);
        });
        assert_eq!(removed, format!("{file}its header has no `{key}`; convert it again"));
    }
}

#[test]
fn weights_that_were_changed() {
    let norm = "text_model.final_layer_norm.weight";
    let (folder, path, _) = converted("zoo/clip_l");
    edit(&path, |tensors| {
        let tensor = tensors[norm].clone();
        tensors.insert("stranger".into(), tensor);
    });
    assert_eq!(
        sentence(import(&path, &options()), folder.path()),
        "`DIR/model.safetensors` is not a converted model: its graphs do not use the tensors stranger; it was changed \
         after it was written"
    );
    edit(&path, |tensors| {
        tensors.remove(norm);
    });
    assert_eq!(
        sentence(import(&path, &options()), folder.path()),
        format!(
            "the weights in `DIR/model.safetensors` do not fit CLIPTextModel: 1 missing tensor(s): {norm}; 1 unused \
             tensor(s): stranger"
        )
    );
}

#[test]
fn a_graph_without_weights_is_not_written() {
    let component = import(&fixture("zoo/clip_l"), &options()).unwrap();
    let bare = component.parts.iter().map(|(name, graph)| (name.clone(), text::parse(&text::print(graph)).unwrap()));
    let parts = bare.collect();
    let model = Model { class: "CLIPTextModel", config_text: "{}", parts: &parts };
    let error = write_stream(&mut Vec::new(), Path::new("x"), model, None).unwrap_err();
    assert!(error.to_string().ends_with("of `text_encoder` has no weight to write"), "{error}");
}

/// What a student is made of whose teacher is no plain folder: all networks as they were imported but one.
#[test]
fn a_pipeline_without_the_weights_of_one_network() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = import_pipeline(&fixture("digits-sdxl"), &ImportOptions::default()).unwrap();
    let names = write_pipeline(&pipeline, folder.path(), "unet", &ImportOptions::default(), None).unwrap();
    assert!(!names.iter().any(|name| name.starts_with("unet/") && name != "unet/config.json"), "{names:?}");
    assert!(folder.path().join("unet/config.json").is_file() && names.contains(&"tokenizer/vocab.json".to_string()));
    let vae = import(&folder.path().join("vae"), &ImportOptions::default()).unwrap();
    let values = |component: &Component| -> Vec<Vec<f32>> {
        let params = component.parts.values().flat_map(|graph| graph.params());
        params.map(|(_, param)| param.weight.as_ref().unwrap().to_f32()).collect()
    };
    assert!(values(&vae) == values(&pipeline.components["vae"]));
}
