//! The adversarial losses at points where their values are known.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use dmdx_train::discriminator::{Features, accuracy, generator_loss, hinge_loss};
use dmdx_train::module::Value;
use dmdx_train::recipe::HeadReduce;

fn heads(values: &[&[f32]]) -> Features {
    let head = |(i, values): (usize, &&[f32])| {
        (format!("head{i}"), Value::float(values.to_vec(), &[values.len(), 1, 1, 1], &Device::flex()).unwrap())
    };
    values.iter().enumerate().map(head).collect()
}

fn hinge(fake: &[&[f32]], real: &[&[f32]], reduce: HeadReduce) -> f64 {
    hinge_loss(&heads(fake), &heads(real), reduce).unwrap().scalar().unwrap()
}

#[test]
fn the_hinge_is_satisfied_beyond_one() {
    assert_eq!(hinge(&[&[-1.0, -3.0]], &[&[1.0, 2.0]], HeadReduce::Mean), 0.0);
    assert_eq!(hinge(&[&[0.0, 0.0]], &[&[0.0, 0.0]], HeadReduce::Mean), 2.0);
    // Per logit before the mean: the mean logits alone would satisfy it.
    assert_eq!(hinge(&[&[-3.0, 1.0]], &[&[1.0, 1.0]], HeadReduce::Mean), 1.0);
    // Per head before the mean of heads.
    assert_eq!(hinge(&[&[-3.0], &[1.0]], &[&[1.0], &[1.0]], HeadReduce::Mean), 1.0);
    assert_eq!(hinge(&[&[-3.0], &[1.0]], &[&[1.0], &[1.0]], HeadReduce::Sum), 2.0);
}

#[test]
fn the_generator_is_rewarded_without_limit() {
    let loss = |values: &[&[f32]]| generator_loss(&heads(values), HeadReduce::Mean).unwrap().scalar().unwrap();
    assert_eq!(loss(&[&[5.0, 7.0], &[2.0, 2.0]]), -4.0);
    assert!(generator_loss(&Features::new(), HeadReduce::Mean).is_err());
}

#[test]
fn accuracy_counts_the_right_side_of_zero() {
    assert_eq!(accuracy(&heads(&[&[-1.0, 1.0]]), &heads(&[&[2.0, 3.0]])).unwrap(), 0.75);
}
