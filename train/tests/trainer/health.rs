use dmdx_train::TrainError;
use dmdx_train::session::logs::Metrics;
use dmdx_train::session::logs::{MetricsLine, read_metrics};
use dmdx_train::session::{Interrupt, RunFolder};
use dmdx_train::trainer::health::Health;
use dmdx_train::trainer::{Phase, PhaseSlot};

use super::toy::{self, Toy};

fn metrics(pairs: &[(&str, f64)]) -> Metrics {
    pairs.iter().map(|(name, value)| (name.to_string(), *value)).collect()
}

fn health(sets: &[&str]) -> Health {
    let mut sets = sets.to_vec();
    sets.push("health.window=10");
    Health::new("adp", &toy::recipe(&sets).health, &[])
}

/// Iteration and sentence of the stop, within a hundred iterations.
fn stop(mut health: Health, at: impl Fn(u64) -> Metrics) -> Option<(u64, String)> {
    (0..100).find_map(|index| health.observe(index, false, &at(index)).err().map(|error| (index, error.to_string())))
}

#[test]
fn a_healthy_run_is_left_alone() {
    // The beginning of ADP: an almost empty latent that grows fifteenfold, a discriminator that wins for a while.
    let found = stop(health(&[]), |index| {
        let grown = (index as f64 / 50.0).min(1.0);
        let accuracy = if index < 9 { 1.0 } else { 0.97 };
        metrics(&[
            ("loss_generator", 1.0),
            ("latent_mean", 0.1),
            ("latent_std", 0.07 + 0.9 * grown),
            ("brightness", -0.9),
            ("discriminator_accuracy", accuracy),
        ])
    });
    assert_eq!(found, None);
    assert_eq!(stop(health(&[]), |_| Metrics::new()), None);
}

#[test]
fn what_is_not_finite_stops_at_once() {
    let found = stop(health(&[]), |index| metrics(&[("loss_fake", if index == 3 { f64::NAN } else { 0.0 })]));
    assert_eq!(
        found.unwrap(),
        (3, "training stopped in phase adp at iteration 3: loss_fake is NaN; lower the learning rates".to_string())
    );
}

#[test]
fn drift_and_saturation_stop_after_a_window() {
    for (name, value, key) in [
        ("latent_mean", -6.0, "-6.0000 on average over 10 iterations, outside -5 to 5 (health.latent_mean)"),
        ("latent_std", 0.001, "0.0010 on average over 10 iterations, outside 0.02 to 20 (health.latent_std)"),
        ("latent_std", 30.0, "outside 0.02 to 20 (health.latent_std)"),
        ("brightness", 1.7, "outside -1.5 to 1.5 (health.brightness)"),
        ("discriminator_accuracy", 1.0, "the discriminator was right in 1.0000 of cases over 10 iterations, 0.9999 or more"),
    ] {
        let (iteration, reason) = stop(health(&[]), |_| metrics(&[(name, value)])).unwrap();
        assert_eq!(iteration, 9, "{name}");
        assert!(reason.contains(key), "{reason}");
    }
    let off = ["health.discriminator_accuracy=2"];
    assert_eq!(stop(health(&off), |_| metrics(&[("discriminator_accuracy", 1.0)])), None);
}

#[test]
fn one_odd_batch_does_not_stop_a_run() {
    let found = stop(health(&[]), |index| metrics(&[("latent_std", if index == 50 { 100.0 } else { 1.0 })]));
    assert_eq!(found, None);
}

#[test]
fn windows_are_as_full_after_resuming() {
    let line = |phase: &str, iteration| MetricsLine {
        phase: phase.to_string(),
        iteration,
        step: iteration,
        metrics: [("brightness".to_string(), Some(2.0))].into(),
    };
    let mut earlier: Vec<MetricsLine> = (0..20).map(|iteration| line("adm", iteration)).collect();
    earlier.extend((0..7).map(|iteration| line("adp", iteration)));
    let limits = toy::recipe(&["health.window=10"]).health;
    let mut health = Health::new("adp", &limits, &earlier);
    let bright = metrics(&[("brightness", 2.0)]);
    assert!(health.observe(7, false, &bright).is_ok() && health.observe(8, false, &bright).is_ok());
    assert!(health.observe(9, false, &bright).is_err());
}

/// A discriminator that guesses is spoken of once, after a window or at the end of a shorter phase, and stops a run that asks
/// for that.
#[test]
fn a_discriminator_at_chance_is_named_once() {
    let said = |sets: &[&str], total: u64, accuracy: fn(u64) -> f64| {
        let mut health = health(sets);
        let observe = |index| {
            let said = health.observe(index, index + 1 == total, &metrics(&[("discriminator_accuracy", accuracy(index))]));
            said.unwrap_or_else(|error| Some(error.to_string())).map(|sentence| (index, sentence))
        };
        (0..total).filter_map(observe).collect::<Vec<_>>()
    };
    let found = said(&[], 100, |index| if index.is_multiple_of(2) { 0.55 } else { 0.462 });
    let [(9, sentence)] = found.as_slice() else { panic!("{found:?}") };
    let wanted = "phase adp at iteration 9: the discriminator was right in 0.5060 of cases over 10 iterations, which is chance \
                  (less than 0.01 from one half, health.discriminator_chance), so what it tells the student is noise; raise \
                  lr_discriminator, or in ADM dt_steps, or lower lr_generator";
    assert_eq!(sentence, wanted);
    // A discriminator that got behind later; one that is wrong more often than it is right has seen something.
    assert_eq!(said(&[], 100, |index| if index < 50 { 0.6 } else { 0.5 })[0].0, 59);
    assert_eq!(said(&[], 100, |_| 0.52), []);
    assert_eq!(said(&[], 100, |_| 0.45), []);
    assert_eq!(said(&["health.discriminator_chance=0.03"], 100, |_| 0.52).len(), 1);
    assert_eq!(said(&["health.discriminator_chance=0"], 100, |_| 0.5), []);
    // A phase that ends before its first window is full.
    assert_eq!(said(&[], 7, |_| 0.503)[0].0, 6);
    let stopped = said(&["health.at_chance=stop"], 11, |_| 0.5);
    assert!(
        stopped[0].1.starts_with("training stopped in phase adp at iteration 9: the discriminator was right in 0.5000"),
        "{stopped:?}"
    );
}

#[test]
fn weights_that_are_not_finite_are_never_saved() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = RunFolder::create(folder.path()).unwrap();
    let mut toy = Toy::new("adp", 20, None).unwrap();
    toy.poison = Some(12);
    let slot = PhaseSlot { name: "adp", student: None, build: Box::new(move |_| Ok(Box::new(toy) as Box<dyn Phase>)) };
    let error =
        dmdx_train::trainer::run(&run_folder, &toy::recipe(&[]), &Interrupt::default(), vec![slot], &mut toy::look).unwrap_err();
    assert!(matches!(error, TrainError::Health { .. }));
    assert_eq!(error.exit_code(), 1);
    // The poison reaches the loss one iteration later.
    assert_eq!(error.to_string(), "training stopped in phase adp at iteration 13: loss_toy is NaN; lower the learning rates");
    let lines = read_metrics(&run_folder.metrics()).unwrap();
    assert_eq!(lines.last().unwrap().metrics["loss_toy"], None);
    let saved = std::fs::read_dir(run_folder.checkpoints()).unwrap().count();
    assert_eq!(saved, 2);
    let health = Health::new("adp", &toy::recipe(&[]).health, &[]);
    assert!(health.weights(4, "generator.w", &[0.0, f32::MAX, -0.0]).is_ok());
    assert_eq!(
        health.weights(4, "generator.w", &[0.0, f32::INFINITY]).unwrap_err().to_string(),
        "training stopped in phase adp at iteration 4: generator.w holds values that are not finite, so it was not saved"
    );
}

#[test]
fn poison_that_no_number_shows_is_found_while_it_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = RunFolder::create(folder.path()).unwrap();
    let mut toy = Toy::new("adp", 20, None).unwrap();
    // The iteration before a checkpoint: the loss does not show it yet.
    toy.poison = Some(14);
    let slot = PhaseSlot { name: "adp", student: None, build: Box::new(move |_| Ok(Box::new(toy) as Box<dyn Phase>)) };
    let error =
        dmdx_train::trainer::run(&run_folder, &toy::recipe(&[]), &Interrupt::default(), vec![slot], &mut toy::look).unwrap_err();
    assert_eq!(
        error.to_string(),
        "training stopped in phase adp at iteration 14: generator.w holds values that are not finite, so it was not saved"
    );
    let mut saved: Vec<_> =
        std::fs::read_dir(run_folder.checkpoints()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    saved.sort();
    assert_eq!(saved, ["00-adp-000000005.safetensors", "00-adp-000000010.safetensors"]);
}
