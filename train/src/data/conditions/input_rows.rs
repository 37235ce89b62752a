//! Rows of a network's inputs on the host.

/// Some rows of one input of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputRows {
    /// The input's name.
    pub name: String,
    /// Shape of one row.
    pub shape: Vec<usize>,
    /// The values, `[rows, ..shape]`.
    pub values: Vec<f32>,
}

impl InputRows {
    /// How many values one row has.
    pub fn row_len(&self) -> usize {
        self.shape.iter().product()
    }
}
