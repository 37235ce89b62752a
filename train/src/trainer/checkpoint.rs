//! Checkpoints: one self-describing safetensors file each, written whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::recipe;
use crate::session::logs::LogLengths;
use crate::store::tensor_file::TensorFile;
use crate::store::{NamedRoles, StoredState, state};

const FORMAT: u32 = 1;
const STATE_KEY: &str = "dmdx.checkpoint";
/// What the generator is, in the words of `dmdx_student.json`.
const STUDENT_KEY: &str = "dmdx.student";

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

/// A position and the state there, which stays on the disk until it is asked for.
#[derive(Debug)]
pub struct Checkpoint {
    /// Where the run stands.
    pub position: Position,
    /// The phase's state there.
    pub state: StoredState,
    /// What the generator in it is, in the words of `dmdx_student.json`, where the run said it.
    pub student: Option<String>,
}

impl Checkpoint {
    /// Whether a file says that it is a checkpoint.
    pub fn is_one(path: &Path) -> bool {
        TensorFile::has(path, STATE_KEY)
    }

    /// Opens a checkpoint and checks it against its own hash.
    ///
    /// # Errors
    /// [`TrainError::Read`], [`TrainError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let mut file = TensorFile::open(path)?;
        let damaged = |reason: String| TrainError::damaged(path, reason);
        let header = file.metadata.get(STATE_KEY).ok_or_else(|| damaged("it is not a checkpoint".to_string()))?;
        let header: Header =
            serde_json::from_str(header).map_err(|error| damaged(format!("its description cannot be read ({error})")))?;
        if header.format != FORMAT {
            return Err(damaged(format!("it has format {}, but this program reads {FORMAT}", header.format)));
        }
        let student = file.metadata.remove(STUDENT_KEY);
        let state = StoredState::new(&header.position.phase, header.counters, file)?;
        Ok(Self { position: header.position, state, student })
    }
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
    student: Option<String>,
}

impl Checkpoints {
    /// The checkpoints in `folder`, which must exist.
    pub fn new(folder: &Path, options: &recipe::Checkpoint) -> Self {
        Self { folder: folder.to_path_buf(), options: options.clone(), student: None }
    }

    /// The same, which say of their generator what `dmdx_student.json` would.
    #[must_use]
    pub fn of_student(&self, student: Option<&str>) -> Self {
        Self { student: student.map(str::to_string), ..self.clone() }
    }

    /// Whether a checkpoint is due after `iteration` iterations of a phase.
    pub fn due(&self, iteration: u64) -> bool {
        iteration.is_multiple_of(self.options.every.max(1))
    }

    /// Writes one, tensor by tensor, then removes those that are no longer kept. Each tensor is shown to `look` first.
    ///
    /// # Errors
    /// [`TrainError::Write`], and those of the roles and of `look`; the earlier checkpoints are all there then.
    pub fn save(
        &self,
        position: &Position,
        roles: &NamedRoles<'_>,
        look: impl FnMut(&str, &[f32]) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let path = self.folder.join(file_name(position));
        let header = Header { format: FORMAT, position: position.clone(), counters: state::counters(roles) };
        let header = serde_json::to_string(&header).map_err(|error| TrainError::json("a checkpoint's description", &error))?;
        let student = self.student.iter().map(|text| (STUDENT_KEY.to_string(), text.clone()));
        let metadata = std::iter::once((STATE_KEY.to_string(), header)).chain(student).collect();
        state::save(&path, &metadata, roles, look)?;
        self.prune(&path)
    }

    /// Keeps the ends of phases, the newest due ones, and nothing from between them but `newest` itself, so that an
    /// interrupted run ends with the files of an uninterrupted one.
    fn prune(&self, newest: &Path) -> Result<(), TrainError> {
        let mut kept = 0;
        for path in self.list()?.into_iter().rev() {
            let Some(Name { iteration, end, .. }) = parse_name(&path) else { continue };
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
            match Checkpoint::open(&path) {
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

    /// Where the newest checkpoint is; none where there is none that can be listed.
    pub fn newest_path(&self) -> Option<PathBuf> {
        self.list().ok()?.pop()
    }

    /// The checkpoint at the end of `phase`; none where the phase has not ended.
    ///
    /// # Errors
    /// [`TrainError::Read`], [`TrainError::Damaged`].
    pub fn end_of(&self, phase: &str) -> Result<Option<Checkpoint>, TrainError> {
        let is_end = |path: &&PathBuf| parse_name(path).is_some_and(|name| name.end && name.phase == phase);
        self.list()?.iter().find(is_end).map(|path| Checkpoint::open(path)).transpose()
    }
}

/// Names sort in the order of the run.
fn file_name(position: &Position) -> String {
    let end = if position.complete { "-end" } else { "" };
    format!("{:02}-{}-{:09}{end}.safetensors", position.phase_index, position.phase, position.iteration)
}

/// What a checkpoint's name says.
struct Name<'a> {
    phase: &'a str,
    iteration: u64,
    /// Whether it is the end of its phase.
    end: bool,
}

fn parse_name(path: &Path) -> Option<Name<'_>> {
    let name = path.file_name()?.to_str()?.strip_suffix(".safetensors")?;
    let (name, end) = name.strip_suffix("-end").map_or((name, false), |name| (name, true));
    let (rest, iteration) = name.rsplit_once('-')?;
    let (_, phase) = rest.split_once('-')?;
    Some(Name { phase, iteration: iteration.parse().ok()?, end })
}
