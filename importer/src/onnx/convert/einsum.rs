//! Einsum of one operand (a permutation) and of two (a matrix product between permutations).

use dmdx_graph::{Dim, Op, Shape, ValueId};

use super::converter::Converter;
use super::site::Site;
use crate::onnx::shown::shown;

/// The letters of an equation.
struct Equation {
    operands: Vec<Vec<u8>>,
    result: Vec<u8>,
}

impl Equation {
    fn parse(text: &str) -> Result<Self, String> {
        let fail = || format!("its equation `{}` is not of the kind `ab,bc->ac`", shown(text));
        let plain: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
        let plain = String::from_utf8(plain).map_err(|_| fail())?;
        let (operands, result) = plain.split_once("->").ok_or_else(fail)?;
        let letters = |part: &str| {
            let letters = part.as_bytes().to_vec();
            let once =
                letters.iter().enumerate().all(|(i, letter)| letter.is_ascii_alphabetic() && !letters[..i].contains(letter));
            (once && letters.len() <= 8).then_some(letters)
        };
        let operands = operands.split(',').map(letters).collect::<Option<Vec<_>>>().ok_or_else(fail)?;
        let result = letters(result).ok_or_else(fail)?;
        // A letter of one operand alone would be summed up.
        let known = result.iter().all(|letter| operands.iter().any(|operand| operand.contains(letter)));
        let shared = |letter: &u8| result.contains(letter) || operands.iter().all(|operand| operand.contains(letter));
        match known && (1..=2).contains(&operands.len()) && operands.iter().flatten().all(shared) {
            true if operands.len() == 2 || operands[0].len() == result.len() => Ok(Self { operands, result }),
            _ => Err(fail()),
        }
    }
}

pub(super) fn einsum(c: &mut Converter<'_>, site: &Site<'_>) -> Result<ValueId, String> {
    let equation = Equation::parse(site.text("equation", "")?)?;
    if equation.operands.len() != site.inputs.len() {
        return Err("its equation has another number of operands".into());
    }
    let values = (0..site.inputs.len()).map(|index| c.value(site, index)).collect::<Result<Vec<_>, _>>()?;
    if values.iter().zip(&equation.operands).any(|(value, letters)| c.shape(*value).rank() != letters.len()) {
        return Err("its equation has another number of dimensions".into());
    }
    let ([a, b], [left, right]) = (values.as_slice(), equation.operands.as_slice()) else {
        return permuted(c, values[0], &equation.operands[0], &equation.result);
    };
    let result = &equation.result;
    let pick = |from: &[u8], keep: &dyn Fn(&u8) -> bool| from.iter().copied().filter(|letter| keep(letter)).collect::<Vec<u8>>();
    let batch = pick(result, &|letter| left.contains(letter) && right.contains(letter));
    let rows = pick(left, &|letter| !right.contains(letter));
    let columns = pick(right, &|letter| !left.contains(letter));
    let inner = pick(left, &|letter| right.contains(letter) && !result.contains(letter));
    let size = |c: &Converter<'_>, letter: &u8| -> Dim {
        let at = |value: &ValueId, letters: &[u8]| {
            letters.iter().position(|other| other == letter).map(|axis| c.shape(*value).0[axis].clone())
        };
        at(a, left).or_else(|| at(b, right)).unwrap_or_default()
    };
    let sizes = |c: &Converter<'_>, letters: &[u8]| letters.iter().map(|letter| size(c, letter)).collect::<Vec<Dim>>();
    let product = |c: &Converter<'_>, letters: &[u8]| Shape(sizes(c, letters)).elements();
    let matrix = |c: &mut Converter<'_>, value: ValueId, letters: &[u8], first: &[u8], second: &[u8]| {
        let moved = permuted(c, value, letters, &[&batch, first, second].concat())?;
        let mut shape = sizes(c, &batch);
        shape.extend([product(c, first), product(c, second)]);
        c.push(Op::Reshape { shape: Shape(shape) }, &[moved])
    };
    let a_matrix = matrix(c, *a, left, &rows, &inner)?;
    let b_matrix = matrix(c, *b, right, &inner, &columns)?;
    let y = c.push(Op::MatMul { transpose_a: false, transpose_b: false }, &[a_matrix, b_matrix])?;
    let letters = [batch.as_slice(), &rows, &columns].concat();
    let shape = Shape(sizes(c, &letters));
    let y = c.push(Op::Reshape { shape }, &[y])?;
    permuted(c, y, &letters, result)
}

/// Brings the dimensions of a value from one order of letters into another.
fn permuted(c: &mut Converter<'_>, x: ValueId, from: &[u8], to: &[u8]) -> Result<ValueId, String> {
    if from == to {
        return Ok(x);
    }
    let axes = to.iter().map(|letter| from.iter().position(|other| other == letter)).collect::<Option<Vec<_>>>();
    c.push(Op::Permute { axes: axes.ok_or("its letters do not fit")? }, &[x])
}
