//! The result of a check, printed the same way whatever engine was checked.

use std::fmt;

use crate::reference::RefTensor;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An output of the network.
    Output,
    /// The result of a module inside.
    Activation,
    /// The gradient of an input or a parameter.
    Gradient,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Output => "output",
            Kind::Activation => "activation",
            Kind::Gradient => "gradient",
        }
    }
}

/// One tensor of the reference and how far the network is from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What is compared.
    pub kind: Kind,
    /// Its name in the reference file.
    pub name: String,
    /// Largest absolute difference; NaN when a value is not finite or nothing could be compared.
    pub max_abs_error: f64,
    /// Largest absolute difference that passes.
    pub tolerance: f64,
    /// Whether it passes.
    pub ok: bool,
    /// Why nothing could be compared, or empty.
    pub note: String,
}

impl Row {
    /// Compares a tensor of the reference with `values` of `shape`, row-major. A value that is not finite fails.
    pub fn compare(kind: Kind, name: &str, reference: &RefTensor, shape: &[usize], values: &[f64], tolerance: f64) -> Self {
        let mut row = Row { note: String::new(), ..Row::missing(kind, name, tolerance) };
        if reference.shape != shape {
            row.note = format!("has shape {shape:?}, the reference has {:?}", reference.shape);
            return row;
        }
        let expected = reference.to_f64();
        if expected.len() != values.len() {
            row.note = format!("has {} elements, the reference has {}", values.len(), expected.len());
            return row;
        }
        let errors = expected.iter().zip(values).map(|(a, b)| (a - b).abs());
        // `f64::max` would drop a NaN.
        row.max_abs_error =
            errors.fold(0.0, |worst: f64, error| if error.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(error) });
        row.ok = row.max_abs_error <= tolerance;
        if row.max_abs_error.is_nan() {
            row.note = "holds values that are not finite".into();
        }
        row
    }

    /// As [`Row::compare`] with a tolerance relative to the largest entry of the reference: the rule for gradients.
    pub fn compare_relative(
        kind: Kind,
        name: &str,
        reference: &RefTensor,
        shape: &[usize],
        values: &[f64],
        relative: f64,
    ) -> Self {
        let largest = reference.to_f64().iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        Self::compare(kind, name, reference, shape, values, relative * largest)
    }

    /// The network has nothing of this name.
    pub fn missing(kind: Kind, name: &str, tolerance: f64) -> Self {
        let note = "the network has no value of this name".into();
        Self { kind, name: name.into(), max_abs_error: f64::NAN, tolerance, ok: false, note }
    }
}

/// A table of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was checked.
    pub title: String,
    /// One row per tensor of the reference.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether every row passes; an empty report does not.
    pub fn passed(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.ok)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        writeln!(f, "{}", self.title)?;
        for row in &self.rows {
            let verdict = if row.ok { "ok" } else { "FAILED" };
            let Row { kind, name, max_abs_error, tolerance, note, .. } = row;
            write!(f, "  {:<10}  {name:<width$}  {max_abs_error:>9.2e}  of {tolerance:>8.1e}  {verdict}", kind.name())?;
            writeln!(f, "{}{note}", if note.is_empty() { "" } else { ": " })?;
        }
        let failed = self.rows.iter().filter(|row| !row.ok).count();
        match (self.passed(), failed) {
            (true, _) => writeln!(f, "{} tensors agree with the reference", self.rows.len()),
            (false, 0) => writeln!(f, "the reference holds nothing to compare"),
            (false, _) => writeln!(f, "{failed} of {} tensors do not agree with the reference", self.rows.len()),
        }
    }
}
