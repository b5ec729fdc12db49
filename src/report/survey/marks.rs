//! What the survey's figures are drawn with, in one look: colours as in all plots, hollow or pale where
//! the numbers are the survey's.

use super::runs::{self, Measured};
use crate::report::plot::bars::Bar;
use crate::report::plot::canvas::{Color, FAINT};
use crate::report::plot::panels::{Line, Point};
use crate::report::plot::scatter::Dot;
use crate::stats::Estimate;

/// The survey's numbers.
pub const SURVEY: Color = FAINT;
/// A hollow disc.
pub const HOLLOW: usize = 5;
/// As headings and keys call them.
pub const FOR_SHAPE: &str = "the survey's values, for shape";

/// A colour mixed with white: the survey's share of what has the colour here.
pub fn pale(color: Color) -> Color {
    let mixed = |c: u8| (f64::from(c) * 0.38 + 255.0 * 0.62).round() as u8;
    Color(mixed(color.0), mixed(color.1), mixed(color.2))
}

/// A point of a scatter.
pub fn dot(at: (f64, f64), color: Color, shape: usize, name: &str) -> Dot {
    Dot {
        x: at.0,
        y: at.1,
        spread: None,
        color,
        shape,
        name: name.to_owned(),
        ghost: None,
        tip: String::new(),
    }
}

/// A line through measured points with their intervals.
pub fn line(name: &str, points: &[(f64, Estimate)], color: Color) -> Line {
    let point = |&(x, e): &(f64, Estimate)| Point { x, y: e.value, spread: e.interval() };
    let points = points.iter().map(point).collect();
    Line { color, point: Some(0), points, band: false, name: name.to_owned() }
}

/// A hollow point on a line, for a cell under a mark.
pub fn hollow(name: &str, (x, y): (f64, f64), color: Color) -> Line {
    let points = vec![Point { x, y, spread: None }];
    Line { color, point: Some(HOLLOW), points, band: false, name: name.to_owned() }
}

/// A thin line through many points.
pub fn curve(name: &str, points: &[(f64, f64)], color: Color) -> Line {
    let points = points.iter().map(|&(x, y)| Point { x, y, spread: None }).collect();
    Line { color, point: None, points, band: false, name: name.to_owned() }
}

/// A bar of parts.
pub fn bar(label: String, parts: Vec<(f64, Color)>, text: String) -> Bar {
    Bar { label, parts, spread: None, tick: None, text, tip: String::new() }
}

/// How often, and what whiskers stand on.
pub fn certainty(cells: &[Measured], estimates: &[Estimate]) -> String {
    let often = runs::how_often(cells);
    let with = estimates.iter().filter(|e| e.interval().is_some()).count();
    match with {
        0 => format!("{often}: too few for intervals"),
        n if n == estimates.len() => format!("{often}; whiskers: 95 % interval over invocations"),
        _ => format!("{often}; whiskers where there are three: 95 % interval over them"),
    }
}
