//! The run folder: its layout, and the lock that keeps a second process out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dmdx_graph::store::{Existing, check_new_folder};

use crate::error::TrainError;
use crate::store::atomic::remove_unfinished;

const LOCK: &str = "run.lock";

/// A run folder that this process may write into, until the value is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// A folder for a new run: made, or found empty.
    ///
    /// # Errors
    /// [`TrainError::RunFolderExists`], [`TrainError::Locked`], [`TrainError::Write`].
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        std::fs::create_dir_all(path).map_err(TrainError::write(path))?;
        if std::fs::read_dir(path).map_err(TrainError::read(path))?.next().is_some() {
            return Err(TrainError::RunFolderExists { path: path.to_path_buf() });
        }
        Self::open(path)
    }

    /// The folder of a run that was started before.
    ///
    /// # Errors
    /// [`TrainError::NothingToResume`], [`TrainError::Locked`], [`TrainError::Write`].
    pub fn resume(path: &Path) -> Result<Self, TrainError> {
        if !path.join(LOCK).is_file() {
            return Err(TrainError::NothingToResume { path: path.to_path_buf() });
        }
        Self::open(path)
    }

    /// Refuses what [`RunFolder::create`] or, with `resume`, [`RunFolder::resume`] would refuse, before any work: nothing is
    /// made.
    ///
    /// # Errors
    /// As theirs.
    pub fn check(path: &Path, resume: bool) -> Result<(), TrainError> {
        if resume {
            return match path.join(LOCK).is_file() {
                true => Ok(()),
                false => Err(TrainError::NothingToResume { path: path.to_path_buf() }),
            };
        }
        if path.is_dir() && std::fs::read_dir(path).map_err(TrainError::read(path))?.next().is_some() {
            return Err(TrainError::RunFolderExists { path: path.to_path_buf() });
        }
        check_new_folder(&path.join(LOCK), Existing::Keep).map_err(|error| dmdx_runtime::Error::from(error).into())
    }

    fn open(path: &Path) -> Result<Self, TrainError> {
        let lock = lock(path)?;
        let folder = Self { path: path.to_path_buf(), _lock: lock };
        for part in [folder.checkpoints(), folder.tensorboard(), folder.samples()] {
            std::fs::create_dir_all(&part).map_err(TrainError::write(&part))?;
        }
        remove_unfinished(path)?;
        remove_unfinished(&folder.checkpoints())?;
        remove_unfinished(&folder.samples())?;
        Ok(folder)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.join("checkpoints")
    }

    /// Folder of the TensorBoard event file.
    pub fn tensorboard(&self) -> PathBuf {
        self.join("tensorboard")
    }

    /// Folder of the prompts' conditions.
    pub fn conditions(&self) -> PathBuf {
        self.join("conditions")
    }

    /// Folder of the ODE pairs, where the recipe names no other.
    pub fn pairs(&self) -> PathBuf {
        self.join("pairs")
    }

    /// Features of the teacher's pictures, with which all others are compared.
    pub fn reference(&self) -> PathBuf {
        self.join("reference.safetensors")
    }

    /// Folder of the latents of real pictures, where the recipe names no other.
    pub fn latents(&self) -> PathBuf {
        self.join("latents")
    }

    /// One JSON line per iteration.
    pub fn metrics(&self) -> PathBuf {
        self.join("metrics.jsonl")
    }

    /// Folder of the pictures drawn during training.
    pub fn samples(&self) -> PathBuf {
        self.join("samples")
    }

    /// One JSON line per iteration with its time, seconds, pace and memory. Two equal runs differ in this file, and in the
    /// times and the `performance/…` scalars of the TensorBoard event file, and in nothing else.
    pub fn timing(&self) -> PathBuf {
        self.join("timing.jsonl")
    }

    /// What the run is: recipe, defaults, versions, hashes.
    pub fn manifest(&self) -> PathBuf {
        self.join("manifest.json")
    }
}

/// Tries for a fifth of a second: a process that is being started elsewhere in this program holds a copy of every open
/// file, and with it of a lock that was just given back, for an instant.
fn patient_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..20 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
    file.try_lock()
}

/// Takes the folder's lock. The system gives it back when the process ends, however it ends.
fn lock(folder: &Path) -> Result<File, TrainError> {
    let path = folder.join(LOCK);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(TrainError::write(&path))?;
    match patient_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            file.read_to_string(&mut owner).map_err(TrainError::read(&path))?;
            return Err(TrainError::Locked { path: folder.to_path_buf(), owner: owner.trim().to_string() });
        }
        Err(TryLockError::Error(source)) => return Err(TrainError::Write { path, source }),
    }
    let mut record = || {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())
    };
    record().map_err(TrainError::write(&path))?;
    Ok(file)
}
