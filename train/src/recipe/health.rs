//! `[health]`.

use serde::{Deserialize, Serialize};

/// `[health]`: limits whose crossing stops the run. Those of the numbers of iterations are on the mean over the last `window`,
/// those of pictures on one look at them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Iterations of the window; nothing but finiteness is watched before the first window is full.
    pub window: u64,
    /// Largest absolute mean of generated latents.
    pub latent_mean: f64,
    /// Range of the standard deviation of generated latents.
    pub latent_std: [f64; 2],
    /// Range of the mean of decoded pictures, black −1, white 1.
    pub brightness: [f64; 2],
    /// The discriminator has won where its accuracy is at least this over the window; above 1 turns the check off.
    pub discriminator_accuracy: f64,
    /// The discriminator is at chance where its accuracy is less than this from one half over the window, or over a whole phase
    /// that is shorter; 0 turns the check off.
    pub discriminator_chance: f64,
    /// What a run does then: say so and go on, or stop.
    pub at_chance: AtChance,
    /// Pictures are of one colour where their values deviate by less than this within a picture.
    pub contrast: f64,
    /// Pictures are noise where neighbouring pixels differ, squared, by more than this share of what distant ones would.
    pub noise: f64,
    /// Pictures are saturated where more than this share of their values is beyond ±1.5.
    pub saturation: f64,
    /// Pictures of one prompt are all alike where they differ by less than this share of the most that they have in the run.
    pub spread: f64,
    /// Videos stand still where two frames that follow one another differ by less than this (root mean square).
    pub motion: f64,
    /// Videos flash where the brightness of two frames that follow one another differs by more than this.
    pub flicker: f64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            window: 200,
            latent_mean: 5.0,
            latent_std: [0.02, 20.0],
            brightness: [-1.5, 1.5],
            discriminator_accuracy: 0.9999,
            discriminator_chance: 0.01,
            at_chance: AtChance::Warn,
            contrast: 0.02,
            noise: 0.9,
            saturation: 0.25,
            spread: 0.1,
            motion: 0.002,
            flicker: 0.4,
        }
    }
}

/// What a run does whose discriminator stays at chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtChance {
    /// It says so and goes on: the student gets worse by a discriminator that guesses, but its other losses may still teach it.
    #[default]
    Warn,
    /// It stops.
    Stop,
}
