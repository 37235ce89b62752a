//! What is saved of a training phase: its roles, tensor by tensor.

use crate::error::TrainError;

/// Named f32 tensors, on a device or not, that are read and replaced one at a time: a large network never has to be on
/// the host as a whole.
pub trait Parameters {
    /// Name and shape of each; no name twice.
    fn parameters(&self) -> Vec<(String, Vec<usize>)>;

    /// The values of one, row-major.
    ///
    /// # Errors
    /// When there is none of that name, or the device does not deliver it.
    fn parameter(&self, name: &str) -> Result<Vec<f32>, TrainError>;

    /// Replaces the values of one.
    ///
    /// # Errors
    /// When there is none of that name, or `values` are not as many as it has.
    fn set_parameter(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError>;
}

/// A trained part of a phase: weights, and the state of the optimizer that trains them.
///
/// Every parameter that was updated has a second moment of its shape.
pub trait Role: Parameters {
    /// Names of the parameters that have a second moment.
    fn moments(&self) -> Vec<String>;

    /// The second moment of one parameter, row-major.
    ///
    /// # Errors
    /// When it has none, or the device does not deliver it.
    fn moment(&self, name: &str) -> Result<Vec<f32>, TrainError>;

    /// Sets the second moment of one parameter.
    ///
    /// # Errors
    /// When there is no parameter of that name, or `values` are not as many as it has.
    fn set_moment(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError>;

    /// How many steps the optimizer has made.
    fn steps(&self) -> u64;

    /// Forgets every second moment and sets the number of steps.
    fn restart(&mut self, steps: u64);
}

/// The role whose weights become the student's.
pub const GENERATOR: &str = "generator";

/// The roles of a phase under the names that their tensors begin with.
pub type NamedRoles<'a> = Vec<(&'static str, &'a mut dyn Role)>;
