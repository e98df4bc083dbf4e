//! Draws growth: prefill and decode speed by context length, and by number of sequences.

use std::{fmt::Display, ops::Range};

use bimetal::{Error, Result};
use plotters::{
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint, Ranged},
    },
    prelude::{
        ChartBuilder, Circle, DrawingArea, EmptyElement, IntoDrawingArea, IntoFont, LineSeries, RGBColor, SVGBackend,
        Text,
    },
    style::{
        Color, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::report::Report;
use crate::cli::figures::{count, short};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (1200, 900);
const HEAD: u32 = 92;
/// The picture's own background, so that it reads the same on a dark page.
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x22, 0x26, 0x2b);
const FADED: RGBColor = RGBColor(0x5a, 0x62, 0x6b);
const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xea);
const PREFILL: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const DECODE: RGBColor = RGBColor(0xc4, 0x52, 0x0a);
/// Most labelled places of an axis.
const TICKS: usize = 12;

/// Draws four panels as SVG.
///
/// # Errors
/// [`Error::Request`] if drawing fails.
pub fn svg(report: &Report) -> Result<String> {
    let mut text = String::new();
    draw(report, &mut text).map_err(failed)?;
    Ok(text)
}

fn failed(why: impl Display) -> Error {
    Error::Request(format!("the picture cannot be drawn: {why}"))
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// A panel: its title, its axis, and its points.
struct Panel {
    title: String,
    axis: &'static str,
    color: RGBColor,
    points: Vec<(u32, f64)>,
}

fn panels(report: &Report) -> [Panel; 4] {
    let contexts = |rate: fn(f64, f64) -> f64| {
        report.contexts.iter().map(|point| (point.at.context, rate(point.prefill, point.decode))).collect()
    };
    let sequences = |rate: fn(f64, f64) -> f64| {
        report.sequences.iter().map(|point| (point.at.sequences, rate(point.prefill, point.decode))).collect()
    };
    let depth = count(report.depth);
    let panel = |title: &str, axis, color, points| Panel { title: title.into(), axis, color, points };
    [
        panel("Prefill of one prompt", "tokens of the prompt", PREFILL, contexts(|prefill, _| prefill)),
        panel("Decode of one sequence", "tokens of context before it", DECODE, contexts(|_, decode| decode)),
        panel(
            &format!("Prefill of several prompts of {depth} tokens"),
            "sequences",
            PREFILL,
            sequences(|prefill, _| prefill),
        ),
        panel(
            &format!("Decode of several sequences together, each after {depth} tokens"),
            "sequences",
            DECODE,
            sequences(|_, decode| decode),
        ),
    ]
}

fn draw(report: &Report, text: &mut String) -> Drawn {
    let whole = SVGBackend::with_string(text, SIZE).into_drawing_area();
    whole.fill(&PAPER)?;
    let (head, body) = whole.split_vertically(HEAD);
    let line = |size: u32, color: RGBColor| {
        let style: TextStyle<'_> = ("sans-serif", size).into_font().color(&color);
        style.pos(Pos::new(HPos::Center, VPos::Top))
    };
    let middle = (SIZE.0 / 2) as i32;
    head.draw_text("Speed by context length and by number of sequences", &line(24, INK), (middle, 14))?;
    head.draw_text(&report.subject(), &line(16, FADED), (middle, 46))?;
    head.draw_text(&report.settings(), &line(16, FADED), (middle, 68))?;
    for (area, panel) in body.split_evenly((2, 2)).iter().zip(panels(report)) {
        chart(area, &panel)?;
    }
    drop((head, body));
    whole.present()?;
    Ok(())
}

/// An axis with labels at given places.
struct Ticks {
    range: Range<f64>,
    labelled: Vec<f64>,
}

impl Ranged for Ticks {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        low + (f64::from(high - low) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.labelled.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// Where the label of a point is free of the line, and the side of the label that is there. A line that rises by less
/// than `slight` leaves the room above the point free.
fn beside(rates: &[f64], number: usize, slight: f64) -> ((i32, i32), Pos) {
    let is_higher = |other: Option<&f64>| other.is_some_and(|other| other - rates[number] > slight);
    let before = is_higher(number.checked_sub(1).and_then(|before| rates.get(before)));
    match (before, is_higher(rates.get(number + 1))) {
        (false, false) => ((0, -8), Pos::new(HPos::Center, VPos::Bottom)),
        (false, true) => ((7, 4), Pos::new(HPos::Left, VPos::Top)),
        (true, false) => ((-7, 4), Pos::new(HPos::Right, VPos::Top)),
        (true, true) => ((0, 9), Pos::new(HPos::Center, VPos::Top)),
    }
}

/// One panel. Its lower axis is logarithmic, with a label at each point; its upright one is linear, from zero.
fn chart(area: &Area<'_>, panel: &Panel) -> Drawn {
    let Panel { title, axis, color, points } = panel;
    let place = |at: u32| f64::from(at).log2();
    let places = || points.iter().map(|(at, _)| place(*at));
    let (first, last) = places().fold((f64::INFINITY, 0.0), |(low, high), at| (at.min(low), at.max(high)));
    let edge = (0.05 * (last - first)).max(0.3);
    let highest = points.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let labelled: Vec<_> = places().step_by(points.len().div_ceil(TICKS)).collect();
    let across = Ticks { range: first - edge..last + edge, labelled };
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .caption(title, ("sans-serif", 18).into_font().color(&INK))
        .x_label_area_size(46)
        .y_label_area_size(84)
        .build_cartesian_2d(across, 0.0..1.15 * highest)?;
    let mut mesh = chart.configure_mesh();
    let tick = |at: &f64| count(at.exp2().round() as u64);
    let font = ("sans-serif", 13).into_font().color(&INK);
    mesh.x_desc(*axis).y_desc("tokens/s").axis_desc_style(("sans-serif", 15).into_font().color(&INK));
    mesh.x_label_formatter(&tick).y_label_formatter(&|rate| short(*rate)).y_labels(7).label_style(font);
    mesh.axis_style(FADED).bold_line_style(GRID).light_line_style(PAPER).max_light_lines(0).draw()?;
    let drawn = || points.iter().map(|(at, rate)| (place(*at), *rate));
    chart.draw_series(LineSeries::new(drawn(), color.stroke_width(2)))?;
    let label: TextStyle<'_> = ("sans-serif", 13).into_font().color(color);
    let rates: Vec<_> = points.iter().map(|(_, rate)| *rate).collect();
    let marks = drawn().enumerate().map(|(number, (at, rate))| {
        let (from_point, anchor) = beside(&rates, number, 0.03 * highest);
        EmptyElement::at((at, rate))
            + Circle::new((0, 0), 4, color.filled())
            + Text::new(short(rate), from_point, label.pos(anchor))
    });
    chart.draw_series(marks)?;
    Ok(())
}
