//! The state of a training phase on the disk, written and read tensor by tensor.
//!
//! Weights of role `generator` are `generator.NAME`, second moments `generator_optimizer.NAME`; the number of steps is
//! the counter `generator_optimizer.steps`.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;

use super::atomic::stream_atomically;
use super::role::{NamedRoles, Parameters, Role};
use super::tensor_file::{Entry, TensorFile, TensorWriter, Values};
use crate::error::{StateDefect, TrainError};

/// The number of steps of each role by the name of its counter.
pub fn counters(roles: &NamedRoles<'_>) -> BTreeMap<String, u64> {
    roles.iter().map(|(role, held)| (counter_name(role), held.steps())).collect()
}

fn counter_name(role: &str) -> String {
    format!("{}.steps", moments_name(role))
}

fn moments_name(role: &str) -> String {
    format!("{role}_optimizer")
}

/// Where one tensor of a file comes from.
struct Origin<'a> {
    role: &'a dyn Role,
    name: String,
    is_moment: bool,
}

/// Writes the tensors of all roles to `path`, one at a time; each is shown to `look` first, which may stop the writing.
///
/// # Errors
/// [`TrainError::Write`], and those of the roles and of `look`; `path` is as it was then.
pub fn save(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    roles: &NamedRoles<'_>,
    mut look: impl FnMut(&str, &[f32]) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let mut origins = BTreeMap::new();
    let mut entries = Vec::new();
    for (role, held) in roles {
        let held: &dyn Role = &**held;
        let (moments, moments_of) = (held.moments(), moments_name(role));
        for (name, shape) in held.parameters() {
            if moments.contains(&name) {
                let full = format!("{moments_of}.{name}");
                origins.insert(full.clone(), Origin { role: held, name: name.clone(), is_moment: true });
                entries.push(Entry::f32(full, shape.clone()));
            }
            let full = format!("{role}.{name}");
            origins.insert(full.clone(), Origin { role: held, name, is_moment: false });
            entries.push(Entry::f32(full, shape));
        }
    }
    stream_atomically(path, |sink| {
        let mut writer = TensorWriter::begin(sink, metadata, entries).map_err(TrainError::write(path))?;
        for (full, Origin { role, name, is_moment }) in &origins {
            let values = if *is_moment { role.moment(name)? } else { role.parameter(name)? };
            look(full, &values)?;
            writer.tensor(Values::F32(&values)).map_err(TrainError::write(path))?;
        }
        writer.finish().map_err(TrainError::write(path))
    })
}

/// The state of a phase in a checked file; tensors are read when they are asked for.
#[derive(Debug)]
pub struct StoredState {
    phase: String,
    counters: BTreeMap<String, u64>,
    file: TensorFile,
}

impl StoredState {
    /// The state of `phase` in `file`, with the counters that were stored beside it.
    ///
    /// # Errors
    /// [`TrainError::Damaged`] where a tensor is not of 32-bit floats.
    pub fn new(phase: &str, counters: BTreeMap<String, u64>, file: TensorFile) -> Result<Self, TrainError> {
        match file.tensors.iter().find(|(_, (dtype, _, _))| *dtype != Dtype::F32) {
            Some((name, _)) => Err(TrainError::damaged(file.path(), format!("its tensor {name} is not of type F32"))),
            None => Ok(Self { phase: phase.to_string(), counters, file }),
        }
    }

    /// The phase that it is of.
    pub fn phase(&self) -> &str {
        &self.phase
    }

    /// Name and shape of every tensor under `prefix` and a dot, by the rest of their names.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a [usize])> {
        self.file
            .tensors
            .iter()
            .filter_map(move |(name, (_, shape, _))| Some((name.strip_prefix(prefix)?.strip_prefix('.')?, shape.as_slice())))
    }

    /// The counter called `name`.
    ///
    /// # Errors
    /// [`TrainError::State`] where there is none.
    pub fn counter(&self, name: &str) -> Result<u64, TrainError> {
        self.counters.get(name).copied().ok_or_else(|| self.defect(StateDefect::NoCounter(name.to_string())))
    }

    /// The tensor called `name`, row-major.
    ///
    /// # Errors
    /// [`TrainError::State`] where there is none; [`TrainError::Read`].
    pub fn tensor(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        self.file.f32(name)?.ok_or_else(|| self.defect(StateDefect::NoTensor(name.to_string())))
    }

    /// Puts everything back into the roles that it was saved from. They are unchanged where something does not fit.
    ///
    /// # Errors
    /// [`TrainError::State`] where a tensor or counter is missing, unexpected or of another shape; [`TrainError::Read`].
    pub fn load(&self, roles: NamedRoles<'_>) -> Result<(), TrainError> {
        let mut known = Vec::new();
        for (role, held) in &roles {
            self.counter(&counter_name(role))?;
            for (name, shape) in held.parameters() {
                self.fits(&format!("{role}.{name}"), &shape)?;
                let moment = format!("{}.{name}", moments_name(role));
                if self.file.tensors.contains_key(&moment) {
                    self.fits(&moment, &shape)?;
                    known.push(moment);
                }
                known.push(format!("{role}.{name}"));
            }
        }
        known.sort();
        if let Some(extra) = self.file.tensors.keys().find(|name| known.binary_search(name).is_err()) {
            return Err(self.defect(StateDefect::Unexpected(extra.clone())));
        }
        for (role, held) in roles {
            held.restart(self.counter(&counter_name(role))?);
            self.fill(role, held)?;
            let moments = moments_name(role);
            for (name, _) in self.under(&moments) {
                held.set_moment(name, self.tensor(&format!("{moments}.{name}"))?)?;
            }
        }
        Ok(())
    }

    /// Puts the weights of `role` into a network, which is unchanged where they do not fit.
    ///
    /// # Errors
    /// [`TrainError::State`] where one is missing, unexpected or of another shape; [`TrainError::Read`].
    pub fn load_weights(&self, role: &str, network: &mut dyn Parameters) -> Result<(), TrainError> {
        let own: BTreeMap<String, Vec<usize>> = network.parameters().into_iter().collect();
        for (name, shape) in &own {
            self.fits(&format!("{role}.{name}"), shape)?;
        }
        if let Some((extra, _)) = self.under(role).find(|(name, _)| !own.contains_key(*name)) {
            return Err(self.defect(StateDefect::Unexpected(format!("{role}.{extra}"))));
        }
        self.fill(role, network)
    }

    fn fill(&self, role: &str, network: &mut (impl Parameters + ?Sized)) -> Result<(), TrainError> {
        for (name, _) in self.under(role) {
            network.set_parameter(name, self.tensor(&format!("{role}.{name}"))?)?;
        }
        Ok(())
    }

    fn fits(&self, name: &str, shape: &[usize]) -> Result<(), TrainError> {
        match self.file.tensors.get(name) {
            None => Err(self.defect(StateDefect::NoTensor(name.to_string()))),
            Some((_, found, _)) if found != shape => {
                let (name, found, wanted) = (name.to_string(), found.clone(), shape.to_vec());
                Err(self.defect(StateDefect::Shape { name, found, wanted }))
            }
            Some(_) => Ok(()),
        }
    }

    fn defect(&self, defect: StateDefect) -> TrainError {
        TrainError::State { phase: self.phase.clone(), defect }
    }
}
