//! The teacher's encoder: pictures to latents.

use dmdx_export::Imported;
use dmdx_runtime::Tensor;

use super::Teacher;
use super::networks::OnBurn;
use crate::error::TrainError;

/// The encoder on the teacher's device, where it comes when the first picture does.
pub struct Encoder<'t> {
    teacher: &'t Teacher,
    networks: OnBurn<'t>,
}

impl<'t> Encoder<'t> {
    /// That of a teacher.
    pub fn of(teacher: &'t Teacher) -> Self {
        let device = teacher.denoiser.module.device().clone();
        Self { teacher, networks: OnBurn::new(&teacher.pipeline, device) }
    }

    /// Latents `[count, ..latent_shape]`, scaled as the teacher's network sees them, of pictures `[count, 3, height, width]`
    /// in [-1, 1]; drawn with `noise` of the latents' size, or without it where they are most likely.
    ///
    /// # Errors
    /// When the pipeline has no encoder, or it does not take the pictures.
    pub fn latents(&self, count: usize, pictures: Vec<f32>, noise: Option<Vec<f32>>) -> Result<Vec<f32>, TrainError> {
        let Teacher { family, pipeline, latent_shape, picture_size: [height, width], .. } = self.teacher;
        let pictures = Tensor::f32([count, 3, *height, *width], pictures)?;
        let shape: Vec<usize> = std::iter::once(count).chain(latent_shape.iter().copied()).collect();
        let noise = noise.map(|noise| Tensor::f32(shape, noise)).transpose()?;
        let scaling = family.vae_scaling(&Imported(pipeline))?;
        Ok(family.latents(&self.networks, &scaling, &pictures, noise.as_ref())?.floats()?.to_vec())
    }
}
