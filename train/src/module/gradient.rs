//! Vector-Jacobian products between tapes: each part of a long backward pass is taken on its own and handed on.

use super::graph_module::GraphModule;
use super::optimizer::ParameterGradients;
use super::value::Value;
use crate::error::TrainError;

/// The gradient of a scalar for the trained parameters of a module.
pub fn parameter_gradients(loss: Value, module: &GraphModule) -> ParameterGradients {
    module.timed("backward", || ParameterGradients::take(module, &mut loss.backward()))
}

/// The gradients of a scalar for the trained parameters of two modules.
pub fn parameter_gradients_of_both(loss: Value, first: &GraphModule, second: &GraphModule) -> [ParameterGradients; 2] {
    first.timed("backward", || {
        let mut gradients = loss.backward();
        [first, second].map(|module| ParameterGradients::take(module, &mut gradients))
    })
}

/// The gradient of a scalar for `leaf`, an input on the way through a module.
///
/// # Errors
/// [`TrainError::NoGradient`] where the scalar does not depend on it.
pub fn input_gradient(loss: Value, leaf: &Value, through: &GraphModule) -> Result<Value, TrainError> {
    let gradient = through.timed("backward to its input", || loss.backward().take(leaf));
    gradient.ok_or(TrainError::NoGradient)
}

/// `gradient^T d output / d theta` for the trained parameters theta of a module.
pub fn pulled_back(output: &Value, gradient: &Value, module: &GraphModule) -> ParameterGradients {
    parameter_gradients(output.times(gradient).sum(), module)
}

/// `gradient^T d output / d leaf` for an input on the way through a module.
///
/// # Errors
/// As [`input_gradient`].
pub fn pulled_back_to(output: &Value, gradient: &Value, leaf: &Value, through: &GraphModule) -> Result<Value, TrainError> {
    input_gradient(output.times(gradient).sum(), leaf, through)
}
