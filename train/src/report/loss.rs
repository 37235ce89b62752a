//! `loss.png`: the losses of every phase.

use std::collections::BTreeMap;

use image::{Rgb, RgbImage};
use plotters::prelude::*;

use super::canvas::Canvas;
use super::text;
use crate::error::TrainError;
use crate::session::logs::MetricsLine;

const WIDTH: u32 = 960;
const PANEL: u32 = 360;
/// More points than this are averaged, since the picture could not show them.
const POINTS: usize = 400;
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(255, 127, 14),
    RGBColor(23, 190, 207),
];

type Curves = BTreeMap<String, Vec<(f64, f64)>>;

/// Draws every `loss_*` of the lines against the iteration, one panel per phase in the order of the run.
///
/// # Errors
/// [`TrainError::NoLoss`] where there is no loss to draw.
pub fn draw(lines: &[MetricsLine]) -> Result<RgbImage, TrainError> {
    let mut phases: Vec<(&str, Curves)> = Vec::new();
    for line in lines {
        if phases.last().is_none_or(|(name, _)| *name != line.phase) {
            phases.push((&line.phase, Curves::new()));
        }
        let Some((_, curves)) = phases.last_mut() else { continue };
        for (name, value) in &line.metrics {
            if let (Some(name), Some(value)) = (name.strip_prefix("loss_"), value) {
                curves.entry(name.to_string()).or_default().push((line.iteration as f64, *value));
            }
        }
    }
    phases.retain(|(_, curves)| !curves.is_empty());
    if phases.is_empty() {
        return Err(TrainError::NoLoss);
    }
    let panels = u32::try_from(phases.len()).unwrap_or(u32::MAX);
    let mut picture = RgbImage::from_pixel(WIDTH, PANEL.saturating_mul(panels), Rgb([255; 3]));
    let root = Canvas(&mut picture).into_drawing_area();
    for (area, (name, curves)) in root.split_evenly((phases.len(), 1)).iter().zip(&phases) {
        panel(area, name, curves).map_err(|error| TrainError::Drawing { reason: error.to_string() })?;
    }
    drop(root);
    Ok(picture)
}

type Area<'a> = DrawingArea<Canvas<'a>, plotters::coord::Shift>;

fn panel(area: &Area<'_>, name: &str, curves: &Curves) -> Result<(), Box<dyn std::error::Error>> {
    let thinned: Vec<(&str, Vec<(f64, f64)>)> = curves.iter().map(|(name, points)| (name.as_str(), thin(points))).collect();
    let points = || thinned.iter().flat_map(|(_, points)| points);
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let high = points().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
    let margin = (0.05 * (high - low)).max(1e-6);
    let mut chart = ChartBuilder::on(area)
        .caption(name, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..last, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .x_labels(last.min(10.0) as usize + 1)
        .label_style(("sans-serif", 8))
        .axis_desc_style(("sans-serif", 8))
        .x_desc("iteration")
        .y_desc("loss")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.3}"))
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    // Plotters would lay its own legend out by the widths of a font that is not ours.
    let mut left = 96;
    for ((name, points), colour) in thinned.into_iter().zip(COLOURS.iter().cycle()) {
        chart.draw_series(LineSeries::new(points, colour))?;
        area.draw(&PathElement::new([(left, 22), (left + 16, 22)], colour))?;
        area.draw(&Text::new(name, (left + 20, 18), ("sans-serif", 8).into_font().color(colour)))?;
        left += 44 + i32::try_from(text::width(name, 1))?;
    }
    Ok(())
}

/// Means over equal stretches.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let stretch = points.len().div_ceil(POINTS).max(1);
    let mean = |points: &[(f64, f64)]| {
        let count = points.len() as f64;
        let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / count, sum.1 / count)
    };
    points.chunks(stretch).map(mean).collect()
}
