use dmdx_train::TrainError;
use dmdx_train::error::SheetDefect;
use dmdx_train::report::score::{self, Score, Scores};
use dmdx_train::report::{Manifest, Sheet, SheetRow, loss, samples};
use dmdx_train::session::logs::MetricsLine;

use super::toy;

fn row(label: &str, count: usize) -> SheetRow {
    // Red, then green, then blue in every picture, beyond the range as a decoder may be.
    let picture: Vec<f32> = (0..12).map(|index| if index % 5 == 0 { 1.2 } else { -1.0 }).collect();
    SheetRow { label: label.to_string(), pictures: picture.repeat(count) }
}

#[test]
fn sheets_show_labels_and_pictures() {
    let sheet = Sheet { height: 2, width: 2, columns: 3, group: 3, scale: 16, rows: vec![row("é A", 4), row("b", 1)] };
    let picture = sheet.draw().unwrap();
    assert_eq!(picture.dimensions(), (96, 24 + 64 + 24 + 32));
    assert_eq!(picture.get_pixel(0, 24).0, [255, 0, 0]);
    assert_eq!(picture.get_pixel(31, 24).0, [0, 255, 0]);
    assert_eq!(picture.get_pixel(95, 60).0, [255; 3], "no picture here");
    let ink = (0..24).flat_map(|y| (0..96).map(move |x| (x, y))).filter(|&(x, y)| picture.get_pixel(x, y).0 == [0; 3]).count();
    assert!((60..400).contains(&ink), "{ink} pixels of text");
    assert_eq!(samples::png(&picture).unwrap(), samples::png(&sheet.draw().unwrap()).unwrap());
}

/// Videos stand side by side with a gap between the last frame of one and the first of the next.
#[test]
fn groups_of_pictures_have_a_gap_between_them() {
    let sheet = Sheet { height: 2, width: 2, columns: 4, group: 2, scale: 16, rows: vec![row("a", 4)] };
    let picture = sheet.draw().unwrap();
    assert_eq!(picture.dimensions(), (128 + 8, 24 + 32));
    assert_eq!((64..72).map(|x| picture.get_pixel(x, 30).0).collect::<Vec<_>>(), [[255; 3]; 8]);
    assert_eq!(picture.get_pixel(72, 30).0, [255, 0, 0]);
}

#[test]
fn impossible_sheets_are_refused() {
    let sheet = |columns, scale, pictures: usize| Sheet {
        height: 2,
        width: 2,
        columns,
        group: 1,
        scale,
        rows: vec![SheetRow { label: "x".to_string(), pictures: vec![0.0; pictures] }],
    };
    assert!(matches!(sheet(0, 1, 12).draw(), Err(TrainError::Sheet(SheetDefect::Empty))));
    assert!(matches!(sheet(1, u32::MAX, 12).draw(), Err(TrainError::Sheet(SheetDefect::TooLarge))));
    assert!(matches!(sheet(1, 100_000, 12).draw(), Err(TrainError::Sheet(SheetDefect::TooLarge))));
    let error = sheet(1, 1, 13).draw().unwrap_err().to_string();
    assert_eq!(error, "the samples of x are 13 values, which are not whole pictures of 3×2×2");
}

#[test]
fn losses_are_drawn_per_phase() {
    let line = |phase: &str, iteration: u64, value: f64| MetricsLine {
        phase: phase.to_string(),
        iteration,
        step: iteration,
        metrics: [
            ("loss_generator".to_string(), Some(value)),
            ("loss_discriminator".to_string(), (iteration != 5).then_some(2.0)),
            ("brightness".to_string(), Some(1e9)),
        ]
        .into(),
    };
    let mut lines: Vec<_> = (0..1000).map(|index| line("adp", index, (index as f64 / 40.0).sin())).collect();
    lines.push(line("adm", 0, 0.25));
    let picture = loss::draw(&lines).unwrap();
    assert_eq!(picture.dimensions(), (960, 800));
    let count = |colour: [u8; 3]| picture.pixels().filter(|pixel| pixel.0 == colour).count();
    assert!(count([31, 119, 180]) > 500 && count([214, 39, 40]) > 500, "both curves are there");
    assert!(count([0; 3]) > 1000, "axes and text are there");
    assert_eq!(loss::draw(&lines).unwrap(), picture);
    assert!(matches!(loss::draw(&[]), Err(TrainError::NoLoss)));

    // A panel more where somebody looked at the student; a distance has no place among shares.
    let mut seen = lines.clone();
    for (index, line) in seen.iter_mut().enumerate().filter(|(index, _)| index % 100 == 99) {
        line.metrics.insert("spread".to_string(), Some(index as f64 / 1000.0));
        line.metrics.insert("score_digit_accuracy".to_string(), Some(0.5));
        line.metrics.insert("score_frechet".to_string(), Some(60.0));
    }
    let picture = loss::draw(&seen).unwrap();
    assert_eq!(picture.dimensions(), (960, 1200));
    let below = |colour: [u8; 3]| (800..1200).any(|y| (0..960).any(|x| picture.get_pixel(x, y).0 == colour));
    assert!(below([31, 119, 180]) && below([214, 39, 40]) && !below([44, 160, 44]), "two curves, not three");
}

/// Every meaning stands whole: the last columns of the legend stay white, and something is written before them.
#[test]
fn legends_fit() {
    for name in ["generator", "discriminator", "fake", "mse"] {
        let metrics = [(format!("loss_{name}"), Some(1.0))].into();
        let lines = [MetricsLine { phase: "adp".to_string(), iteration: 0, step: 0, metrics }];
        let picture = loss::draw(&lines).unwrap();
        let ink = |from: u32, to: u32| (from..to).any(|x| (36..46).any(|y| picture.get_pixel(x, y).0 != [255; 3]));
        assert!(ink(400, 700) && !ink(944, 960), "{name}");
    }
}

/// Bold is the mean: a loss that jumps between -1 and 1 has its bold curve at 0 and its pale one at both.
#[test]
fn losses_are_smoothed() {
    let line = |iteration: u64| MetricsLine {
        phase: "adp".to_string(),
        iteration,
        step: iteration,
        metrics: [("loss_generator".to_string(), Some(if iteration.is_multiple_of(2) { 1.0 } else { -1.0 }))].into(),
    };
    let picture = loss::draw(&(0..400).map(line).collect::<Vec<_>>()).unwrap();
    // In the right half, beside the legend's marks.
    let rows = |is_it: fn([u8; 3]) -> bool| {
        let row = |y: u32| (500..940).filter(|&x| is_it(picture.get_pixel(x, y).0)).count();
        (80..360).filter(|&y| row(y) > 60).collect::<Vec<u32>>()
    };
    let (bold, pale) = (rows(|pixel| pixel == [31, 119, 180]), rows(|[red, _, blue]| red > 60 && blue > red + 8));
    assert!(!bold.is_empty() && bold.len() <= 4, "{bold:?}");
    assert!(pale.len() > 100 && pale[0] + 50 < bold[0] && bold[0] + 50 < pale[pale.len() - 1], "{pale:?} {bold:?}");
}

#[test]
fn scores_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("score.json");
    let score = |frechet| -> Score {
        [("digit_accuracy", 1.0), ("colour_accuracy", 0.5), ("frechet", frechet)]
            .map(|(name, value)| (name.to_string(), value))
            .into()
    };
    let scores = Scores::from_iter([
        ("teacher_25".to_string(), score(9.5)),
        ("teacher_1".to_string(), score(115.0)),
        ("student_1".to_string(), score(26.0)),
    ]);
    score::write(&path, &scores).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(serde_json::from_str::<Scores>(&text).unwrap(), scores);
    assert!(text.starts_with(concat!(
        "{\n  \"teacher_25\": {\n    \"digit_accuracy\": 1.0,\n    \"colour_accuracy\": 0.5,\n    \"frechet\": 9.5\n  },\n",
        "  \"teacher_1\": {"
    )));
    assert!(text.find("teacher_25").unwrap() < text.find("teacher_1\"").unwrap());
    assert!(text.find("teacher_1\"").unwrap() < text.find("student_1").unwrap());
}

#[test]
fn manifests_hold_every_implicit_choice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.json");
    assert!(Manifest::read(&path).unwrap().is_none());
    let mut manifest = Manifest::new(&toy::loaded(&["run.seed=4"])).unwrap();
    manifest.inputs.insert("teacher".to_string(), "ab".to_string());
    manifest.write(&path).unwrap();
    assert_eq!(Manifest::read(&path).unwrap().unwrap(), manifest);
    let text = std::fs::read_to_string(&path).unwrap();
    for part in ["\"adm.fake_train_source\"", "\"full_rollout\"", "\"run.seed=4\"", "ChaCha8", "\"dmdx-train\""] {
        assert!(text.contains(part), "{part}");
    }
    let mut other = manifest.clone();
    other.inputs.insert("teacher".to_string(), "cd".to_string());
    let error = manifest.check_resume(&other).unwrap_err().to_string();
    assert!(error.starts_with("the run was started with input teacher = ab, but the recipe now says cd"), "{error}");
    std::fs::write(&path, "{").unwrap();
    assert!(Manifest::read(&path).unwrap_err().to_string().contains("manifest.json is damaged: it is not a manifest"));
}
