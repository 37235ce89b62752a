//! `[lora]`: low-rank factors beside frozen weights, trained in place of whole networks.

use serde::{Deserialize, Serialize};

/// `[lora]`: what is trained of the networks that start as the teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lora {
    /// Rank of the factors B A that are trained beside each weight.
    pub rank: usize,
    /// B A is multiplied with this over the rank; the rank itself where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Linear layers and convolutions, as PEFT's `target_modules` names them: whole module paths, or their ends behind a dot.
    /// Empty for the projections of every attention and both layers of every feed-forward.
    pub targets: Vec<String>,
    /// Which networks are trained so; the others are trained whole.
    pub roles: Vec<LoraRole>,
    /// What A begins as: `gaussian` for normal with deviation 1 / rank, `kaiming` for uniform in ± 1 / √inputs (PEFT's own
    /// default). B begins as zero.
    pub init: LoraStart,
    /// Share of a layer's inputs that the factors do not see; only 0.
    pub dropout: f64,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 64,
            alpha: None,
            targets: Vec::new(),
            roles: vec![LoraRole::Generator, LoraRole::FakeScore],
            init: LoraStart::Gaussian,
            dropout: 0.0,
        }
    }
}

impl Lora {
    /// `alpha` itself.
    pub fn alpha(&self) -> f64 {
        self.alpha.unwrap_or(self.rank as f64)
    }

    /// Whether the network of a role is trained by factors.
    pub fn trains(&self, role: LoraRole) -> bool {
        self.roles.contains(&role)
    }
}

/// A network that starts as the teacher's and is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraRole {
    /// The student.
    Generator,
    /// The network that learns the student's samples.
    FakeScore,
}

/// What A begins as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraStart {
    /// Normal with deviation 1 / rank, as diffusers' training scripts have it.
    #[default]
    Gaussian,
    /// Uniform in ± 1 / √inputs, PEFT's own default.
    Kaiming,
}
