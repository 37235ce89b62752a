use dmdx_train::TrainError;
use dmdx_train::session::logs::Metrics;
use dmdx_train::session::logs::{MetricsLine, read_metrics};
use dmdx_train::session::{Interrupt, RunFolder};
use dmdx_train::trainer::health::Health;
use dmdx_train::trainer::{Glance, Phase, PhaseSlot, Seen};

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

/// What is said of the last checkpoint.
fn advice(folder: &RunFolder, name: &str) -> String {
    let path = folder.checkpoints().join(name).canonicalize().unwrap();
    format!(
        "; the last good checkpoint is kept, and a new run with other settings begins with it by --out FOLDER --set student.init={}",
        path.display()
    )
}

/// Each collapse by its sign, where it comes; what was there from the beginning only after the window.
#[test]
fn a_collapse_is_named_by_its_sign() {
    let stop_at = |name: &'static str, before: f64, after: f64| {
        stop(health(&[]), move |index| metrics(&[(name, if index < 4 { before } else { after })]))
    };
    for (name, good, bad, words) in [
        (
            "picture_contrast",
            0.3,
            0.001,
            "the student draws pictures of one colour (picture_contrast is 0.0010, beyond health.contrast)",
        ),
        ("picture_noise", 0.3, 0.98, "the student draws noise (picture_noise is 0.9800, beyond health.noise)"),
        (
            "picture_saturation",
            0.0,
            0.6,
            "the student's pictures are saturated (picture_saturation is 0.6000, beyond health.saturation)",
        ),
        ("video_motion", 0.1, 0.0, "the student's videos stand still (video_motion is 0.0000, beyond health.motion)"),
        ("video_flicker", 0.1, 0.9, "the student's videos flash (video_flicker is 0.9000, beyond health.flicker)"),
        (
            "spread",
            0.2,
            0.01,
            "the student draws the same picture whatever the noise (spread is 0.0100, less than 0.1 of the 0.2000 that it was, \
             health.spread)",
        ),
    ] {
        let wanted = format!("training stopped in phase adp at iteration 4: {words}; lower the learning rates");
        assert_eq!(stop_at(name, good, bad), Some((4, wanted)), "{name}");
        assert_eq!(stop_at(name, good, good), None, "{name}");
        // A student begins so; the window is its time to leave.
        let from_the_start = stop_at(name, bad, bad).map(|(iteration, _)| iteration);
        assert_eq!(from_the_start, (name != "spread").then_some(9), "{name}");
    }
    // What the phase before was without counts too.
    let line = |phase: &str, metrics: &[(&str, f64)]| MetricsLine {
        phase: phase.to_string(),
        iteration: 0,
        step: 0,
        metrics: metrics.iter().map(|(name, value)| (name.to_string(), Some(*value))).collect(),
    };
    let earlier = [line("adp", &[("picture_contrast", 0.3), ("spread", 0.2)])];
    let limits = toy::recipe(&["health.window=10"]).health;
    let mut adm = Health::new("adm", &limits, &earlier);
    assert!(adm.observe(0, false, &metrics(&[("picture_contrast", 0.001)])).is_err());
    assert!(adm.observe(0, false, &metrics(&[("spread", 0.01)])).is_err());
}

/// The look before a checkpoint stops the run, so that what is kept is from before the collapse.
#[test]
fn a_collapse_is_seen_before_it_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = RunFolder::create(folder.path()).unwrap();
    let recipe = toy::recipe(&["run.sample_every=0", "checkpoint.keep=1"]);
    let slot = |name: &'static str| {
        let toy = Toy::new(name, 20, None).unwrap();
        PhaseSlot { name, student: None, build: Box::new(move |_| Ok(Box::new(toy) as Box<dyn Phase>)) }
    };
    let mut glances = Vec::new();
    let mut look = |phase: &dyn Phase, iteration: u64, glance: Glance| {
        glances.push((phase.name(), iteration, glance));
        let contrast = if phase.name() == "adm" && iteration == 15 { 0.0 } else { 0.4 };
        Ok(Seen { numbers: metrics(&[("picture_contrast", contrast)]), picture: None })
    };
    let slots = vec![slot("adp"), slot("adm")];
    let error = dmdx_train::trainer::run(&run_folder, &recipe, &Interrupt::default(), slots, &mut look).unwrap_err();
    let stopped = "training stopped in phase adm at iteration 14: the student draws pictures of one colour (picture_contrast is \
                   0.0000, beyond health.contrast); lower the learning rates";
    let kept = advice(&run_folder, "01-adm-000000010.safetensors");
    assert_eq!(error.to_string(), format!("{stopped}{kept} --set adp.iterations=0"));
    // Every checkpoint was looked at, also where nobody wants pictures.
    let iterations = |name: &str| glances.iter().filter(|(phase, ..)| *phase == name).map(|(_, at, _)| *at).collect::<Vec<_>>();
    assert_eq!((iterations("adp"), iterations("adm")), (vec![5, 10, 15, 20], vec![5, 10, 15]));
    assert!(glances.iter().all(|(.., glance)| *glance == Glance::Health));
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
    let stopped = "training stopped in phase adp at iteration 13: loss_toy is NaN; lower the learning rates";
    assert_eq!(error.to_string(), format!("{stopped}{}", advice(&run_folder, "00-adp-000000010.safetensors")));
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
    let stopped =
        "training stopped in phase adp at iteration 14: generator.w holds values that are not finite, so it was not saved";
    assert_eq!(error.to_string(), format!("{stopped}{}", advice(&run_folder, "00-adp-000000010.safetensors")));
    let mut saved: Vec<_> =
        std::fs::read_dir(run_folder.checkpoints()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    saved.sort();
    assert_eq!(saved, ["00-adp-000000005.safetensors", "00-adp-000000010.safetensors"]);
}
