//! Inputs and outputs of the network, as the file declares them.

use dmdx_graph::{DType, Dim, Shape, Type};

use super::converter::Converter;
use super::item::Item;
use super::sizes::within_limits;
use crate::error::{ImportError, Result};
use crate::onnx::shown::shown;
use crate::onnx::tensor::dtype_of;
use crate::onnx::view::{Size, ValueInfo};

/// Declares an input of the network.
///
/// # Errors
/// When its type or shape is none that graphs know.
pub(super) fn input<'m>(c: &mut Converter<'m>, info: &ValueInfo<'m>) -> Result<()> {
    let fail = |reason: String| ImportError::Onnx {
        path: c.model.path.clone(),
        defects: vec![format!("the input `{}` {reason}", shown(info.name))],
        more: 0,
    };
    let (element, sizes) = info.tensor.as_ref().ok_or_else(|| fail("has no tensor type".into()))?;
    let dtype = dtype_of(*element).ok_or_else(|| fail(format!("has the element type {element}")))?;
    let mut dims = Vec::with_capacity(sizes.len());
    for (axis, size) in sizes.iter().enumerate() {
        dims.push(match size {
            Size::Known(size) => Dim::constant(usize::try_from(*size).unwrap_or_default()),
            Size::Named(name) => named_size(c, name),
            Size::Unknown => named_size(c, &format!("{}_{axis}", info.name)),
        });
    }
    let shape = Shape(dims);
    within_limits(&shape).map_err(fail)?;
    let id = c.graph.input(info.name, Type { dtype, shape })?;
    c.items.insert(info.name, Item::Value(id));
    Ok(())
}

/// A size by the name that the file gives it: what the file says that it is, an expression such as `8*h`, or any text, which
/// becomes one symbol.
fn named_size(c: &mut Converter<'_>, name: &str) -> Dim {
    if let Some(dim) = c.sizes.get(name) {
        return dim.clone();
    }
    let text = c.model.sizes.get(name).map_or(name, String::as_str);
    let parsed = text.parse::<Dim>().ok().filter(|dim| {
        let counts = dim.terms().all(|(_, coefficient)| coefficient > 0);
        counts && dim.symbols().next().is_some() && within_limits(&Shape(vec![dim.clone()])).is_ok()
    });
    let dim = parsed.unwrap_or_else(|| {
        let plain: String =
            name.chars().take(60).map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
        let mut symbol = format!("size_{plain}");
        while c.graph.symbols().contains_key(symbol.as_str()) {
            symbol.push('_');
        }
        Dim::symbol(&symbol)
    });
    c.sizes.insert(name.into(), dim.clone());
    for symbol in dim.symbols().cloned().collect::<Vec<_>>() {
        c.graph.symbol(&symbol, &format!("as in the ONNX file: {}", shown(name)), 1);
    }
    dim
}

/// Declares an output of the network; one that cannot be is among the refused operations.
pub(super) fn output(c: &mut Converter<'_>, info: &ValueInfo<'_>) {
    let Some(item) = c.items.get(info.name).cloned() else { return };
    if matches!(item, Item::Lost) {
        return;
    }
    let value = c.value_of(&item, info.name).and_then(|id| {
        let ty = c.graph.value(id).ty.clone();
        match &info.tensor {
            Some((element, sizes)) if !fits(&ty, *element, sizes) => Err(format!("is {ty}, which is not what the file declares")),
            _ => c.graph.output(info.name, id).map_err(|error| error.to_string()),
        }
    });
    if let Err(reason) = value {
        c.refuse(format!("the output `{}`", shown(info.name)), reason);
    }
}

/// Whether a value is what the file declares it to be; open sizes and names are not compared.
fn fits(ty: &Type, element: i64, sizes: &[Size<'_>]) -> bool {
    let size = |(dim, size): (&Dim, &Size<'_>)| match (dim.known(), size) {
        (Some(have), Size::Known(declared)) => i64::try_from(have) == Ok(*declared),
        _ => true,
    };
    let alike = |dtype: DType| dtype == ty.dtype || (!dtype.is_float() && ty.dtype == DType::I64);
    dtype_of(element).is_some_and(alike) && ty.shape.rank() == sizes.len() && ty.shape.0.iter().zip(sizes).all(size)
}
