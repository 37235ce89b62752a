//! The guided teacher's own pictures, with whose features those of teacher and students are compared: drawn once a run.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_runtime::Tensor;
use dmdx_runtime::score::{Reference, Scorer};

use super::distillation::Distillation;
use super::models::Drawer;
use super::pictures::PictureSet;
use super::{evaluate, record};
use crate::data::StoredConditions;
use crate::error::TrainError;
use crate::session::Interrupt;
use crate::store::atomic::write_atomically;
use crate::store::tensor_file::{TensorFile, Values, write};

/// What the reference is called where its numbers are.
const NAME: &str = "teacher";

/// The reference in `file`, which is drawn anew where it is not there or was made for another recipe.
pub(super) fn reference(
    job: &Distillation,
    file: &Path,
    conditions: &StoredConditions,
    interrupt: &Interrupt,
) -> Result<Option<Reference>, TrainError> {
    let (Some(scorer), Some(section)) = (&job.scorer, &job.loaded.recipe.score) else { return Ok(None) };
    let set = PictureSet::reference(section.count_per_prompt, job.prompts.len());
    let metadata = provenance(job, scorer.as_ref(), &set)?;
    let wrap = |error| TrainError::component("comparing with the teacher's pictures", error);
    if !file.is_file() || TensorFile::open(file)?.metadata != metadata {
        let features = drawn(job, scorer.as_ref(), conditions, &set, interrupt)?;
        let (shape, values) = (features.shape().to_vec(), features.floats().map_err(wrap)?);
        let tensors = BTreeMap::from([(Reference::tensor(), (shape.as_slice(), Values::F32(values)))]);
        write_atomically(file, |sink| write(sink, &metadata, &tensors))?;
    }
    Reference::read(file, scorer.identity(), scorer.threads()).map(Some).map_err(wrap)
}

/// Everything that the features depend on.
fn provenance(job: &Distillation, scorer: &dyn Scorer, set: &PictureSet) -> Result<BTreeMap<String, String>, TrainError> {
    let plan = record::pair_plan(job);
    let [low, high] = plan.guidance;
    let facts = [
        ("teacher_sha256", plan.teacher_sha256),
        ("prompts_sha256", plan.prompts_sha256),
        ("conditions_dtype", format!("{:?}", job.loaded.recipe.prompts.dtype).to_lowercase()),
        ("unconditional", plan.unconditional),
        ("sampler", plan.sampler),
        ("steps", plan.steps.to_string()),
        ("guidance", ((low + high) / 2.0).to_string()),
        ("seed", plan.seed.to_string()),
        ("noise", set.draws.to_string()),
        ("pictures_per_prompt", set.group.to_string()),
    ];
    let facts = facts.into_iter().map(|(name, value)| (name.to_string(), value));
    Ok(facts.chain(Reference::metadata(NAME, scorer.identity())).collect())
}

/// The features of the teacher's pictures `[count, width]`.
fn drawn(
    job: &Distillation,
    scorer: &dyn Scorer,
    conditions: &StoredConditions,
    set: &PictureSet,
    interrupt: &Interrupt,
) -> Result<Tensor, TrainError> {
    let wrap = |error| TrainError::component("comparing with the teacher's pictures", error);
    let (mut features, mut width) = (Vec::new(), 0);
    let teacher = Drawer::Teacher { steps: job.loaded.recipe.pairs.steps };
    evaluate::draw(job, teacher, conditions, set, |first, _, pictures| {
        interrupt.check(|| format!("the teacher's reference after {first} of {} pictures", set.count))?;
        let found = scorer.features(pictures).map_err(wrap)?;
        width = found.row_len();
        features.extend_from_slice(found.floats().map_err(wrap)?);
        Ok(())
    })?;
    Tensor::f32([set.count, width], features).map_err(wrap)
}
