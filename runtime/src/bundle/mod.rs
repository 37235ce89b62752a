//! Opens a bundle and checks it against its manifest before anything in it is used.

mod place;

use std::path::{Path, PathBuf};

use dmdx_graph::store::{hash, hub};

use crate::Error;
use crate::files::read_text;
use crate::manifest::{self, FileRecord, Manifest};

/// An opened bundle: every listed file is there, has its recorded size and hash, and lies inside the folder or, where this
/// is a snapshot of the hub's cache, in the model's blobs.
#[derive(Debug, Clone)]
pub struct Bundle {
    root: PathBuf,
    manifest: Manifest,
}

impl Bundle {
    /// Opens the bundle in `folder`, or the one in a run folder, and compares every file with `dmdx.json`.
    ///
    /// # Errors
    /// [`Error::Read`] for what cannot be read, [`Error::Manifest`] for a bad manifest, [`Error::Bundle`] for a file that is
    /// missing, outside the folder, unlisted beside a model, or not what the manifest says.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let root = place::find(folder)?;
        let text = read_text(&root.join(manifest::FILE_NAME), manifest::MAX_BYTES)?;
        let manifest = Manifest::parse(&text).map_err(|source| Error::Manifest { bundle: folder.into(), source })?;
        let bundle = Self { root, manifest };
        for (name, record) in &bundle.manifest.files {
            verify_file(&bundle.root, name, record)?;
        }
        bundle.refuse_unlisted()?;
        Ok(bundle)
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether the manifest lists the file.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.manifest.files.contains_key(name)
    }

    /// The path of a listed file.
    ///
    /// # Errors
    /// [`Error::Bundle`] if the manifest does not list it.
    pub fn file(&self, name: &str) -> Result<PathBuf, Error> {
        if self.has(name) {
            Ok(self.root.join(name))
        } else {
            Err(Error::bundle(
                &self.root,
                format!("dmdx.json does not list {name}, which this pipeline needs; export the bundle again"),
            ))
        }
    }

    /// A listed JSON file, at most 64 MiB.
    ///
    /// # Errors
    /// [`Error::Bundle`] if it is not listed or not JSON, [`Error::Read`] if it cannot be read.
    pub fn json(&self, name: &str) -> Result<serde_json::Value, Error> {
        let path = self.file(name)?;
        let text = read_text(&path, 64 << 20)?;
        serde_json::from_str(&text).map_err(|e| Error::bundle(path, format!("is not JSON ({e})")))
    }

    /// A model may name external data files beside itself; only hashed ones may lie there.
    fn refuse_unlisted(&self) -> Result<(), Error> {
        for model in self.manifest.files.keys().filter(|name| name.ends_with(".onnx")) {
            let folder = model.rsplit_once('/').map_or("", |(folder, _)| folder);
            let path = self.root.join(folder);
            for entry in std::fs::read_dir(&path).map_err(Error::read(&path))? {
                let entry = entry.map_err(Error::read(&path))?;
                if entry.path().is_dir() {
                    continue;
                }
                let file = entry.file_name();
                let name = file.to_string_lossy();
                let name = if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") };
                if !self.has(&name) && name != manifest::FILE_NAME {
                    return Err(Error::bundle(
                        entry.path(),
                        "lies beside a model but dmdx.json does not list it; remove it or export again",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether git has left a pointer in the place of a file.
fn is_pointer(file: &Path) -> bool {
    // A pointer is shorter than the limit; what is longer is none.
    read_text(file, 1024).is_ok_and(|text| text.starts_with("version https://git-lfs.github.com/spec/"))
}

/// Checks that `root/name` is a regular file inside `root`, or a blob of the hub's cache that `root` is a snapshot of
/// ([`hub::blob`]), with the recorded size and hash.
///
/// # Errors
/// [`Error::Bundle`] with what differs, [`Error::Read`] if it cannot be read.
pub fn verify_file(root: &Path, name: &str, record: &FileRecord) -> Result<(), Error> {
    manifest::validate_path(name).map_err(|problem| Error::bundle(root, format!("the file name {name:?} {problem}")))?;
    let path = root.join(name);
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::bundle(path, "is listed in the manifest but missing; copy the bundle again"));
        }
        Err(source) => return Err(Error::Read { path, source }),
    };
    if !real.starts_with(root) && hub::blob(&path).is_none_or(|blob| blob != real) {
        return Err(Error::bundle(path, "is a link that leaves its folder; put the file itself there"));
    }
    let metadata = real.metadata().map_err(Error::read(&path))?;
    if !metadata.is_file() {
        return Err(Error::bundle(path, "is not a regular file; copy the bundle again"));
    }
    if metadata.len() != record.bytes {
        if is_pointer(&real) {
            return Err(Error::bundle(
                path,
                "is a Git LFS pointer, not the file itself; run `git lfs pull` where it was cloned, or download the bundle",
            ));
        }
        return Err(Error::bundle(
            path,
            format!("has {} bytes but the manifest says {}; copy the bundle again", metadata.len(), record.bytes),
        ));
    }
    let found = hash::file(&real).map_err(Error::read(&path))?.sha256;
    if found != record.sha256 {
        return Err(Error::bundle(
            path,
            format!("has SHA-256 {found} but the manifest says {}; copy the bundle again", record.sha256),
        ));
    }
    Ok(())
}
