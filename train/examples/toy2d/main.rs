//! Distils an exact teacher of eight Gaussians in the plane into one-step students by every method that it can be tried on,
//! and prints how far each is from the truth, which is known here.
//!
//!     cargo run --release --example toy2d [-- PICTURE.png]
//!
//! It takes a few minutes of one core. The picture is `toy2d.png` unless a name is given.
//!
//! Distances are of densities blurred by 0.15; see `measure.rs`. `near` is the share of points within three standard
//! deviations of a mode, `weights` how far the modes' shares are off (a rare mode that is lost counts here), `modes` how many
//! are covered. The picture shows the blurred densities.

mod expressed;
mod measure;
mod mixture;
mod networks;
mod students;

use std::path::PathBuf;
use std::time::Instant;

use dmdx_runtime::process::Parameterisation;
use dmdx_train::TrainError;
use dmdx_train::report::samples::{Sheet, SheetRow, write_png};
use dmdx_train::session::Draws;

use measure::{CELLS, Score};
use students::{Budget, Pretraining, Rates, World, backbone};

const BUDGET: Budget = Budget { backbone: 6000, iterations: 2500, batch: 256, pairs: 32_768, steps: 100, width: 64 };

/// As in the paper, the student is slower once it is nearly right, and the fake score keeps up with it.
const PRETRAINING: Rates = Rates { generator: 3e-4, fake: 0.0, heads: 1e-3 };
const MATCHING: Rates = Rates { generator: 1e-4, fake: 2e-3, heads: 2e-3 };

fn main() -> Result<(), TrainError> {
    let picture = std::env::args().nth(1).map_or_else(|| PathBuf::from("toy2d.png"), PathBuf::from);
    let started = Instant::now();
    println!(
        "| sampler | TV | KL(real, fake) | KL(fake, real) | near | weights | modes | seconds |\n|---|---|---|---|---|---|---|---|"
    );
    let noises = measure::noises(17);
    let mut rows: Vec<SheetRow> = Vec::new();
    let mut show = |name: &str, points: &[f32], since: Instant| -> Result<(), TrainError> {
        let Score { tv, forward, reverse, near, weights, modes } = measure::score(points)?;
        let seconds = since.elapsed().as_secs_f64();
        println!("| {name} | {tv:.3} | {forward:.3} | {reverse:.3} | {near:.3} | {weights:.3} | {modes} | {seconds:.0} |");
        rows.push(panel(name, &measure::blurred(points)));
        Ok(())
    };
    show("the mixture itself", &mixture::samples(&mut Draws::new(0, "toy truth", 0), 200_000), started)?;
    let perceptron = backbone(&BUDGET)?;
    let flow = World::new(Parameterisation::Flow, &perceptron, BUDGET)?;
    show("teacher, 100 steps", &flow.teacher_points()?, started)?;
    let untrained = flow.untrained()?;
    show("teacher's network, 1 step", &flow.points(&untrained, &noises)?, started)?;

    let since = Instant::now();
    show("A1 reflow", &flow.points(&flow.reflow(PRETRAINING.generator)?, &noises)?, since)?;
    let since = Instant::now();
    let pretrained = flow.adp(PRETRAINING, Pretraining::default())?;
    show("A4 ADP", &flow.points(&pretrained, &noises)?, since)?;
    for (name, start) in [("without", &untrained), ("after", &pretrained)] {
        let since = Instant::now();
        show(&format!("ADM {name} ADP"), &flow.points(&flow.adm(start, MATCHING, false)?, &noises)?, since)?;
        let since = Instant::now();
        show(&format!("DMD {name} ADP"), &flow.points(&flow.dmd(start, MATCHING)?, &noises)?, since)?;
    }
    // The same teacher as a network that predicts noise, and as one that predicts v.
    for (name, predicts) in [("eps", Parameterisation::Epsilon), ("v", Parameterisation::VPrediction)] {
        let since = Instant::now();
        let world = World::new(predicts, &perceptron, BUDGET)?;
        let student = world.adm(&world.untrained()?, MATCHING, false)?;
        show(&format!("ADM without ADP, {name} teacher"), &world.points(&student, &noises)?, since)?;
    }
    let sheet = Sheet { height: CELLS as u32, width: CELLS as u32, columns: 4, group: 4, scale: 1, rows };
    write_png(&picture, &sheet.draw()?)?;
    println!("\n{:.0} s in all; the densities are in {}", started.elapsed().as_secs_f64(), picture.display());
    Ok(())
}

/// A density as a picture, dark where there is nothing; every picture has the same scale.
fn panel(name: &str, grid: &[f64]) -> SheetRow {
    let most = measure::truth(measure::BLUR).into_iter().fold(0.0, f64::max);
    let level = |row: usize, column: usize| (grid[(CELLS - 1 - row) * CELLS + column] / most).clamp(0.0, 1.0).sqrt();
    let cells = || (0..CELLS * CELLS).map(|cell| level(cell / CELLS, cell % CELLS));
    // Black, red, yellow, white.
    let channel = |from: f64| cells().map(move |level| (((level - from) * 3.0).clamp(0.0, 1.0) * 2.0 - 1.0) as f32);
    SheetRow { label: name.to_string(), pictures: channel(0.0).chain(channel(1.0 / 3.0)).chain(channel(2.0 / 3.0)).collect() }
}
