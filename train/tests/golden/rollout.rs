//! Item 11: what a walk of several steps trains, and how often it calls its network.

use std::sync::Arc;

use dmdx_train::method::dmd;
use dmdx_train::method::matching::{GeneratorDraws, Scored};
use dmdx_train::module::{GraphModule, Profile};

use crate::plane::{denoiser, floats, flow, perceptron, spread, unconditional, value, walk};

fn drawn(z: &[f64], call: usize) -> GeneratorDraws {
    let samples = z.len() / 2;
    GeneratorDraws {
        z: value(z, 2),
        fresh: Vec::new(),
        call,
        times: vec![0.5; samples],
        noise: value(&spread(z.len(), 2), 2),
        weights: vec![1.0; samples],
        student_weights: None,
    }
}

/// The trained call's gradient is that of a student which is handed the walked sample and has never walked, to the bit; and
/// the whole batch is at the same call.
#[test]
fn the_way_to_the_trained_call_contributes_no_gradient() {
    let (teacher, fake) = (denoiser(&perceptron(1), flow()), denoiser(&perceptron(2), flow()));
    let module = denoiser(&perceptron(3), flow()).module.trainable_copy();
    let told = [1000.0, 700.0, 300.0];
    for call in 1..told.len() {
        let step = |told: &[f64], draws: &GeneratorDraws, module: &GraphModule| {
            let student = walk(&teacher, told);
            let roles = Scored { generator: module, student: &student, fake_score: &fake.module, teacher: &teacher };
            dmd::step::generator_step(&roles, &unconditional(), draws).unwrap()
        };
        let whole = step(&told, &drawn(&spread(8, 1), call), &module);
        assert_eq!(whole.walked.len(), call);
        let arrived = floats(whole.walked.last().unwrap());
        let alone = step(&told[call..], &drawn(&arrived, 0), &module);
        assert!(alone.walked.is_empty());
        let of = |made: &dmd::step::GeneratorStep| {
            let named = made.gradients.iter().map(|(name, value)| (name.to_string(), value.to_f32().unwrap()));
            named.collect::<Vec<_>>()
        };
        assert!(of(&whole).len() > 8 && of(&whole) == of(&alone), "call {call}");
    }
}

#[test]
fn a_student_of_one_step_is_called_once() {
    let (teacher, fake) = (denoiser(&perceptron(1), flow()), denoiser(&perceptron(2), flow()));
    for told in [&[1000.0][..], &[1000.0, 700.0, 300.0]] {
        let profile = Arc::new(Profile::default());
        let mut module = teacher.module.trainable_copy().labelled("student");
        module.set_profile(Some(profile.clone()));
        let student = walk(&teacher, told);
        let roles = Scored { generator: &module, student: &student, fake_score: &fake.module, teacher: &teacher };
        dmd::step::generator_step(&roles, &unconditional(), &drawn(&spread(8, 1), told.len() - 1)).unwrap();
        let ranking = profile.ranking();
        let calls = |name: &str| ranking.iter().find(|(found, _)| found == name).map(|(_, spent)| spent.calls);
        assert_eq!((calls("student forward"), calls("student backward")), (Some(told.len() as u64), Some(1)));
    }
}
