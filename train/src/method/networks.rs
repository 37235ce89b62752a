//! Networks that start as the teacher and are trained: whole, or by low-rank factors where the recipe has `[lora]`.

use super::materials::Materials;
use crate::error::TrainError;
use crate::module::{GraphModule, Layer, LowRank};
use crate::recipe::{Lora, LoraRole, LoraStart};
use crate::session::Draws;

/// The projections of attention layers and both layers of feed-forwards, as diffusers calls them in every network; none of
/// them has all.
const COMMON: [&str; 12] = [
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "add_q_proj",
    "add_k_proj",
    "add_v_proj",
    "to_add_out",
    "ff.net.0.proj",
    "ff.net.2",
    "ff_context.net.0.proj",
    "ff_context.net.2",
];

/// What the factors of a recipe are.
fn low_rank(lora: &Lora) -> LowRank {
    let is_common = lora.targets.is_empty();
    let targets = if is_common { COMMON.map(str::to_string).to_vec() } else { lora.targets.clone() };
    LowRank { rank: lora.rank, alpha: lora.alpha(), targets, is_common }
}

impl Materials<'_> {
    /// What factors a role's network is trained by; none where it is trained whole.
    pub(super) fn lora(&self, role: LoraRole) -> Option<&Lora> {
        self.recipe.lora.as_ref().filter(|lora| lora.trains(role))
    }

    /// The factors of a role's network and their layers; none where it is trained whole.
    ///
    /// # Errors
    /// [`TrainError::Lora`] where the teacher has not the layers that the recipe wants.
    pub fn factors(&self, role: LoraRole) -> Result<Option<(LowRank, Vec<Layer>)>, TrainError> {
        let Some(lora) = self.lora(role) else { return Ok(None) };
        let low_rank = low_rank(lora);
        let layers = self.teacher.denoiser.module.plan().layers(&low_rank)?;
        Ok(Some((low_rank, layers)))
    }

    /// A network of its own that starts as the teacher's and is trained. Where it is trained by factors, these stand beside the
    /// teacher's weights, in the same storage, and the student's beside those of the recipe's `student.init` where there is one;
    /// A is drawn for the role and the layer, whatever the other layers are, and B is zero.
    ///
    /// # Errors
    /// As [`Materials::factors`]; those of `student.init`.
    pub fn network(&self, role: LoraRole) -> Result<GraphModule, TrainError> {
        let teacher = &self.teacher.denoiser;
        let label = match role {
            LoraRole::Generator => "generator",
            LoraRole::FakeScore => "fake score",
        };
        let Some(lora) = self.lora(role) else {
            return Ok(teacher.trainable_copy().labelled(label));
        };
        let start = |layer: &Layer| {
            let mut draws = Draws::new(self.recipe.run.seed, &format!("lora of {label} {}", layer.module), 0);
            let a = match lora.init {
                LoraStart::Gaussian => {
                    let values = draws.normal(&layer.down);
                    values.into_iter().map(|value| value / lora.rank as f32).collect()
                }
                LoraStart::Kaiming => {
                    let bound = 1.0 / (layer.inputs().max(1) as f32).sqrt();
                    let values = draws.uniform(layer.down.iter().product());
                    values.into_iter().map(|value| bound * (2.0 * value - 1.0)).collect()
                }
            };
            Ok([a, vec![0.0; layer.up.iter().product()]])
        };
        let mut base = teacher.module.clone();
        if let (LoraRole::Generator, Some(init)) = (role, self.init) {
            init.load(&mut base)?;
        }
        Ok(base.with_factors(&low_rank(lora), start)?.labelled(label))
    }
}
