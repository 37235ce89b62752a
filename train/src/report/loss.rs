//! `loss.png`: the losses of every phase, and what was seen of the student on the way.

use std::collections::BTreeMap;

use image::{Rgb, RgbImage};
use plotters::prelude::*;

use super::canvas::Canvas;
use crate::error::TrainError;
use crate::session::logs::MetricsLine;

const WIDTH: u32 = 960;
const PANEL: u32 = 400;
/// Height of a title and of a line of the legend.
const TITLE: i32 = 36;
const LEGEND: i32 = 14;
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

/// What curves mean, for somebody who sees them for the first time.
const MEANINGS: [(&str, &str); 7] = [
    ("generator", "0 if the discriminator is undecided about the student, below if it takes it for the teacher"),
    ("discriminator", "2 (by the default weights) if it cannot tell student from teacher, 0 if it always can"),
    ("classifier", "1.39 if it cannot tell student from real pictures, 0 if it always can"),
    ("fake", "error of the network that follows the student's pictures: low is needed, not the goal"),
    ("mse", "squared distance between the student's latents and the teacher's"),
    ("spread", "how different the pictures of one prompt are; should come near the teacher's in score.json"),
    ("accuracy", "share of pictures in which the classifier reads what the prompt asks for"),
];

type Curves = BTreeMap<String, Vec<(f64, f64)>>;

/// One diagram.
struct Panel {
    title: String,
    along: &'static str,
    up: &'static str,
    curves: Curves,
}

/// Draws every `loss_*` of the lines against the iteration, one panel per phase in the order of the run: pale what it was, bold
/// its mean over the last iterations. Below them, where somebody looked at the student, `spread` and every `score_*` that is a
/// share, over all phases.
///
/// # Errors
/// [`TrainError::NoLoss`] where there is no loss to draw.
pub fn draw(lines: &[MetricsLine]) -> Result<RgbImage, TrainError> {
    let mut panels: Vec<Panel> = Vec::new();
    let mut seen = Curves::new();
    for line in lines {
        if panels.last().is_none_or(|panel| panel.title != line.phase) {
            panels.push(Panel { title: line.phase.clone(), along: "iteration", up: "loss", curves: Curves::new() });
        }
        let Some(Panel { curves, .. }) = panels.last_mut() else { continue };
        for (name, value) in &line.metrics {
            let Some(value) = *value else { continue };
            if let Some(name) = name.strip_prefix("loss_") {
                curves.entry(name.to_string()).or_default().push((line.iteration as f64, value));
            } else if let Some(name) = name.strip_prefix("score_").or_else(|| (name == "spread").then_some("spread")) {
                seen.entry(name.to_string()).or_default().push((line.step as f64, value));
            }
        }
    }
    panels.retain(|panel| !panel.curves.is_empty());
    if panels.is_empty() {
        return Err(TrainError::NoLoss);
    }
    // Distances have scales of their own, which would flatten the others.
    seen.retain(|_, points| points.len() > 1 && points.iter().all(|point| (0.0..=1.0).contains(&point.1)));
    if !seen.is_empty() {
        panels.push(Panel { title: "the student on the way".into(), along: "iteration of all phases", up: "", curves: seen });
    }
    let count = u32::try_from(panels.len()).unwrap_or(u32::MAX);
    let mut picture = RgbImage::from_pixel(WIDTH, PANEL.saturating_mul(count), Rgb([255; 3]));
    let root = Canvas(&mut picture).into_drawing_area();
    for (area, panel) in root.split_evenly((panels.len(), 1)).iter().zip(&panels) {
        panel.draw(area).map_err(|error| TrainError::Drawing { reason: error.to_string() })?;
    }
    drop(root);
    Ok(picture)
}

type Area<'a> = DrawingArea<Canvas<'a>, plotters::coord::Shift>;

impl Panel {
    fn draw(&self, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let window = self.curves.values().map(|points| window(points.len())).max().unwrap_or(1);
        let lines = i32::try_from(self.curves.len())? + i32::from(window > 1);
        let (header, below) = area.split_vertically(TITLE + lines * LEGEND);
        self.legend(&header, window)?;
        let raw: Vec<_> = self.curves.values().map(|points| thin(points)).collect();
        let smooth: Vec<_> = self.curves.values().map(|points| thin(&smoothed(points))).collect();
        let points = || raw.iter().flatten();
        let first = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let last = points().map(|point| point.0).fold(first + 1.0, f64::max);
        let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let high = points().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
        let margin = (0.05 * (high - low)).max(1e-6);
        let mut chart = ChartBuilder::on(&below)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(84)
            .build_cartesian_2d(first.min(0.0)..last, low - margin..high + margin)?;
        chart
            .configure_mesh()
            .x_labels(last.min(10.0) as usize + 1)
            .label_style(("sans-serif", 8))
            .axis_desc_style(("sans-serif", 8))
            .x_desc(self.along)
            .y_desc(self.up)
            .x_label_formatter(&|value| format!("{value:.0}"))
            .y_label_formatter(&|value| format!("{value:.3}"))
            .light_line_style(WHITE.mix(0.0))
            .draw()?;
        for (points, colour) in raw.into_iter().zip(COLOURS.iter().cycle()) {
            chart.draw_series(LineSeries::new(points, colour.mix(0.3)))?;
        }
        for (points, colour) in smooth.into_iter().zip(COLOURS.iter().cycle()) {
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        }
        Ok(())
    }

    /// Title and legend. Plotters would lay its own out by the widths of a font that is not ours.
    fn legend(&self, header: &Area<'_>, window: usize) -> Result<(), Box<dyn std::error::Error>> {
        let write = |words: String, size: i32, left: i32, top: i32, colour: &RGBColor| {
            header.draw(&Text::new(words, (left, top), ("sans-serif", size).into_font().color(colour)))
        };
        write(self.title.clone(), 16, 96, 12, &BLACK)?;
        let mut top = TITLE;
        for (name, colour) in self.curves.keys().zip(COLOURS.iter().cycle()) {
            header.draw(&PathElement::new([(96, top + 4), (112, top + 4)], colour.stroke_width(2)))?;
            let meaning = MEANINGS.iter().find(|(known, _)| name == known || name.ends_with(&format!("_{known}")));
            let words = meaning.map_or_else(|| name.clone(), |(_, meaning)| format!("{name}: {meaning}"));
            write(words, 8, 118, top, colour)?;
            top += LEGEND;
        }
        if window > 1 {
            write(format!("pale: every iteration; bold: mean of the last {window}"), 8, 118, top, &BLACK)?;
        }
        Ok(())
    }
}

/// Iterations that a point of a smoothed curve is the mean of.
fn window(points: usize) -> usize {
    (points / 20).max(1)
}

/// Means over the last points, of as many as there are at the beginning.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (window, mut sum) = (window(points.len()), 0.0);
    let mut smooth = Vec::with_capacity(points.len());
    for (index, point) in points.iter().enumerate() {
        sum += point.1 - if index >= window { points[index - window].1 } else { 0.0 };
        smooth.push((point.0, sum / (index + 1).min(window) as f64));
    }
    smooth
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
