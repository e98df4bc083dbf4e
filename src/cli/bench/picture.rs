//! Draws growth: speed by context length, and by number of sequences.

use std::{fmt::Display, ops::Range};

use bimetal::{Error, Result};
use plotters::{
    coord::Shift,
    prelude::{
        ChartBuilder, Circle, DrawingArea, EmptyElement, IntoDrawingArea, IntoFont, IntoLogRange, LineSeries, RGBColor,
        SVGBackend, Text, WHITE,
    },
    style::Color,
};

use super::growth::{Growth, Point};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (1200, 520);
const PREFILL: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const DECODE: RGBColor = RGBColor(0xd6, 0x5f, 0x0e);

/// Draws two panels as SVG.
///
/// # Errors
/// [`Error::Request`] if drawing fails.
pub fn svg(title: &str, growth: &Growth) -> Result<String> {
    let mut text = String::new();
    draw(title, growth, &mut text).map_err(failed)?;
    Ok(text)
}

fn failed(why: impl Display) -> Error {
    Error::Request(format!("the picture cannot be drawn: {why}"))
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(title: &str, growth: &Growth, text: &mut String) -> Drawn {
    let whole = SVGBackend::with_string(text, SIZE).into_drawing_area();
    whole.fill(&WHITE)?;
    let panels = whole.margin(8, 0, 0, 0).titled(title, ("sans-serif", 20))?.split_evenly((1, 2));
    let axes = ["tokens of context", "sequences"];
    for ((panel, axis), points) in panels.iter().zip(axes).zip([&growth.contexts, &growth.sequences]) {
        chart(panel, axis, points)?;
    }
    drop(panels);
    whole.present()?;
    Ok(())
}

fn chart(panel: &Area<'_>, axis: &str, points: &[Point]) -> Drawn {
    let rates = || points.iter().flat_map(|point| [point.prefill, point.decode]);
    let across = around(points.iter().map(|point| f64::from(point.at)), 1.15);
    let up = around(rates(), 1.6);
    let mut chart = ChartBuilder::on(panel)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(across.log_scale().base(2.0), up.log_scale())?;
    let number = |value: &f64| format!("{value:.0}");
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(axis).y_desc("tok/s").x_labels(points.len().max(2)).x_label_formatter(&number);
    mesh.y_label_formatter(&number).light_line_style(RGBColor(0xee, 0xee, 0xee)).draw()?;
    for (name, color) in [("prefill", PREFILL), ("decode", DECODE)] {
        let rate = |point: &Point| if name == "prefill" { point.prefill } else { point.decode };
        let places = || points.iter().map(|point| (f64::from(point.at), rate(point)));
        let line = chart.draw_series(LineSeries::new(places(), color.stroke_width(2)))?;
        line.label(name).legend(move |(x, y)| Circle::new((x + 8, y), 4, color.filled()));
        let marks = places().map(|place| {
            let font = ("sans-serif", 12).into_font().color(&color);
            EmptyElement::at(place)
                + Circle::new((0, 0), 4, color.filled())
                + Text::new(format!("{:.0}", place.1), (-10, -18), font)
        });
        chart.draw_series(marks)?;
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(RGBColor(0xcc, 0xcc, 0xcc)).draw()?;
    Ok(())
}

/// A range that contains all values, and a factor more at both ends.
fn around(values: impl Iterator<Item = f64>, factor: f64) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, 0.0), |(low, high), value| (value.min(low), value.max(high)));
    low / factor..high * factor
}
