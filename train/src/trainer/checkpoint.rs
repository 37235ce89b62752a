//! Checkpoints: one self-describing safetensors file each, written whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::recipe;
use crate::session::logs::LogLengths;
use crate::store::atomic::write_atomically;
use crate::store::tensor_file;
use crate::store::tensor_file::{TensorFile, Values};
use crate::store::{State, StateTensor};

const FORMAT: u32 = 1;
const STATE_KEY: &str = "dmdx.checkpoint";

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Which of the run's phases, from 0.
    pub phase_index: usize,
    /// The phase's name.
    pub phase: String,
    /// How many of its iterations are done.
    pub iteration: u64,
    /// Whether that is all of them.
    pub complete: bool,
    /// The logs' lengths after that iteration.
    pub logs: LogLengths,
}

/// A position and the state there.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where the run stands.
    pub position: Position,
    /// The phase's state there.
    pub state: State,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    position: Position,
    counters: BTreeMap<String, u64>,
}

/// The folder of a run's checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    options: recipe::Checkpoint,
}

impl Checkpoints {
    /// The checkpoints in `folder`, which must exist.
    pub fn new(folder: &Path, options: &recipe::Checkpoint) -> Self {
        Self { folder: folder.to_path_buf(), options: options.clone() }
    }

    /// Whether a checkpoint is due after `iteration` iterations of a phase.
    pub fn due(&self, iteration: u64) -> bool {
        iteration.is_multiple_of(self.options.every.max(1))
    }

    /// Writes one, then removes those that are no longer kept.
    ///
    /// # Errors
    /// [`TrainError::Write`]; the earlier checkpoints are all there then.
    pub fn save(&self, position: &Position, state: &State) -> Result<(), TrainError> {
        let path = self.folder.join(file_name(position));
        let header = Header { format: FORMAT, position: position.clone(), counters: state.counters.clone() };
        write_atomically(&path, |writer| {
            let metadata = BTreeMap::from([(STATE_KEY.to_string(), serde_json::to_string(&header)?)]);
            let tensors = state
                .tensors
                .iter()
                .map(|(name, tensor)| (name.as_str(), (tensor.shape.as_slice(), Values::F32(&tensor.values))))
                .collect();
            tensor_file::write(writer, &metadata, &tensors)
        })?;
        self.prune(&path)
    }

    /// Keeps the ends of phases, the newest due ones, and nothing from between them but `newest` itself, so that an
    /// interrupted run ends with the files of an uninterrupted one.
    fn prune(&self, newest: &Path) -> Result<(), TrainError> {
        let mut kept = 0;
        for path in self.list()?.into_iter().rev() {
            let Some((iteration, end)) = parse_name(&path) else { continue };
            if end || path == newest && !self.due(iteration) {
                continue;
            }
            if self.due(iteration) && kept < self.options.keep {
                kept += 1;
                continue;
            }
            std::fs::remove_file(&path).map_err(TrainError::write(&path))?;
        }
        Ok(())
    }

    /// Checkpoint files, oldest first.
    fn list(&self) -> Result<Vec<PathBuf>, TrainError> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(TrainError::read(&self.folder))? {
            let path = entry.map_err(TrainError::read(&self.folder))?.path();
            if parse_name(&path).is_some() {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// The newest intact checkpoint, and a sentence about each newer one that is damaged. Those are removed, as is what
    /// a killed process had no time to remove.
    ///
    /// # Errors
    /// [`TrainError::Read`], [`TrainError::Write`]; the last damage where there are checkpoints but none is intact.
    pub fn newest(&self) -> Result<(Option<Checkpoint>, Vec<String>), TrainError> {
        let mut warnings = Vec::new();
        let mut damaged = Vec::new();
        let mut damage = None;
        for path in self.list()?.into_iter().rev() {
            match Self::read(&path) {
                Ok(checkpoint) => {
                    if damage.is_some() {
                        warnings.push(format!("continuing from {} instead", path.display()));
                    }
                    for path in damaged {
                        std::fs::remove_file(&path).map_err(TrainError::write(&path))?;
                    }
                    self.prune(&path)?;
                    return Ok((Some(checkpoint), warnings));
                }
                Err(error @ TrainError::Damaged { .. }) => {
                    warnings.push(error.to_string());
                    damage = Some(error);
                    damaged.push(path);
                }
                Err(error) => return Err(error),
            }
        }
        damage.map_or(Ok((None, warnings)), Err)
    }

    /// The checkpoint at the end of `phase`; none where the phase has not ended.
    ///
    /// # Errors
    /// [`TrainError::Read`], [`TrainError::Damaged`].
    pub fn end_of(&self, phase: &str) -> Result<Option<Checkpoint>, TrainError> {
        let wanted = format!("-{phase}-");
        let is_end = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.contains(&wanted) && parse_name(path).is_some_and(|(_, end)| end)
        };
        self.list()?.iter().find(|path| is_end(path)).map(|path| Self::read(path)).transpose()
    }

    fn read(path: &Path) -> Result<Checkpoint, TrainError> {
        let file = TensorFile::read(path)?;
        let damaged = |reason: String| TrainError::damaged(path, reason);
        let header = file.metadata.get(STATE_KEY).ok_or_else(|| damaged("it is not a checkpoint".to_string()))?;
        let header: Header =
            serde_json::from_str(header).map_err(|error| damaged(format!("its description cannot be read ({error})")))?;
        if header.format != FORMAT {
            return Err(damaged(format!("it has format {}, but this program reads {FORMAT}", header.format)));
        }
        let mut state = State { counters: header.counters, ..State::default() };
        for name in file.tensors.keys() {
            let (shape, values) = file.f32(name).ok_or_else(|| damaged(format!("its tensor {name} is not of type F32")))?;
            state.tensors.insert(name.clone(), StateTensor { shape: shape.to_vec(), values });
        }
        Ok(Checkpoint { position: header.position, state })
    }
}

/// Names sort in the order of the run.
fn file_name(position: &Position) -> String {
    let end = if position.complete { "-end" } else { "" };
    format!("{:02}-{}-{:09}{end}.safetensors", position.phase_index, position.phase, position.iteration)
}

/// The iteration in a checkpoint's name, and whether it is the end of its phase.
fn parse_name(path: &Path) -> Option<(u64, bool)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".safetensors")?;
    let (name, end) = name.strip_suffix("-end").map_or((name, false), |name| (name, true));
    Some((name.rsplit_once('-')?.1.parse().ok()?, end))
}
