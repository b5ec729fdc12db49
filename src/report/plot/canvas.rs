//! A sheet to draw on: plotters' SVG backend in pixels and tenths of them.
//!
//! No font is ever asked: text goes into the SVG as text in the reader's own sans-serif, and its
//! width is estimated from a wide face, so that nothing runs into its neighbour in a narrower one.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color as _, FontStyle, FontTransform, IntoFont, RGBAColor, ShapeStyle, TextStyle,
};

use crate::report::text::is_unseen;

/// A colour without transparency.
pub use plotters::style::RGBColor as Color;

/// Text and axes.
pub const INK: Color = Color(0x22, 0x22, 0x22);
/// Text that explains.
pub const MUTED: Color = Color(0x5c, 0x5c, 0x5c);
/// Lines behind the data.
pub const GRID: Color = Color(0xe4, 0xe4, 0xe4);
/// What stands behind the data and is not the grid.
pub const FAINT: Color = Color(0xa0, 0xa0, 0xa0);
/// What is drawn on.
pub const PAPER: Color = Color(0xff, 0xff, 0xff);

/// Units of the drawing in a pixel: plotters counts in whole units.
const FINE: f64 = 10.0;

/// How near to a point one has to point.
const REACH: f64 = 7.0;
/// Columns of a tip at most.
const MOST_TOLD: usize = 200;

/// Which end of a text its place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

/// How text looks.
#[derive(Clone, Copy)]
pub struct Type {
    /// Height of the font in pixels.
    pub size: f64,
    /// Colour.
    pub color: Color,
    /// Bold.
    pub bold: bool,
}

/// Axis ticks, labels of bars, legends.
pub const LABEL: Type = Type { size: 12.0, color: INK, bold: false };
/// What explains.
pub const NOTE: Type = Type { size: 12.0, color: MUTED, bold: false };
/// Headings within a plot.
pub const HEADING: Type = Type { size: 13.0, color: INK, bold: true };
/// The plot's title.
pub const TITLE: Type = Type { size: 17.0, color: INK, bold: true };

/// The sheet.
pub struct Canvas<'a> {
    backend: SVGBackend<'a>,
    /// What readers are told who point at a place: drawn last, so that nothing lies on it.
    tips: String,
}

/// Draws an SVG of `width` × `height` pixels, described by `title` for readers who cannot see it.
pub fn draw(width: f64, height: f64, title: &str, paint: impl FnOnce(&mut Canvas)) -> String {
    let (w, h) = (width.ceil() as u32, height.ceil() as u32);
    let (fine_w, fine_h) = (w * FINE as u32, h * FINE as u32);
    let mut svg = String::new();
    let backend = SVGBackend::with_string(&mut svg, (fine_w, fine_h));
    let mut canvas = Canvas { backend, tips: String::new() };
    canvas.rect((0.0, 0.0), (f64::from(w), f64::from(h)), PAPER, 1.0);
    paint(&mut canvas);
    canvas.backend.present().expect("drawing into a string cannot fail");
    let tips = std::mem::take(&mut canvas.tips);
    drop(canvas);
    if let Some(end) = svg.rfind("</svg>") {
        svg.insert_str(end, &tips);
    }
    let fine_head = format!("<svg width=\"{fine_w}\" height=\"{fine_h}\"");
    let head = format!("<svg role=\"img\" width=\"{w}\" height=\"{h}\"");
    let svg = svg.replacen(&fine_head, &head, 1);
    svg.replacen(">\n", &format!(">\n<title>{}</title>\n", escape(title)), 1)
}

/// `text` inside an XML element. Characters that XML does not know become U+FFFD.
fn escape(text: &str) -> String {
    known(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Without characters that no XML document may hold, escaped or not, and without those that turn the
/// direction of writing or cannot be seen.
fn known(text: &str) -> String {
    let known = |c: char| !(c.is_control() || is_unseen(c) || matches!(c, '\u{fffe}' | '\u{ffff}'));
    text.chars().map(|c| if known(c) { c } else { '\u{fffd}' }).collect()
}

impl Canvas<'_> {
    /// A filled rectangle between two corners.
    pub fn rect(&mut self, a: (f64, f64), b: (f64, f64), color: Color, opacity: f64) {
        let (a, b) = (fine(a), fine(b));
        let style = stroke(color, opacity, 0.0);
        done(self.backend.draw_rect(
            (a.0.min(b.0), a.1.min(b.1)),
            (a.0.max(b.0), a.1.max(b.1)),
            &style,
            true,
        ));
    }

    /// A straight line.
    pub fn line(&mut self, a: (f64, f64), b: (f64, f64), color: Color, width: f64) {
        done(self.backend.draw_line(fine(a), fine(b), &stroke(color, 1.0, width)));
    }

    /// A line through `points`.
    pub fn path(&mut self, points: &[(f64, f64)], color: Color, width: f64) {
        let points = points.iter().map(|&p| fine(p));
        done(self.backend.draw_path(points, &stroke(color, 1.0, width)));
    }

    /// The area within `points`.
    pub fn area(&mut self, points: &[(f64, f64)], color: Color, opacity: f64) {
        let points: Vec<_> = points.iter().map(|&p| fine(p)).collect();
        done(self.backend.fill_polygon(points, &stroke(color, opacity, 0.0)));
    }

    /// A filled circle.
    pub fn disc(&mut self, at: (f64, f64), radius: f64, color: Color) {
        let style = stroke(color, 1.0, 0.0);
        done(self.backend.draw_circle(fine(at), (radius * FINE) as u32, &style, true));
    }

    /// One line of text, its middle at the height of `at`.
    pub fn text(&mut self, at: (f64, f64), anchor: Anchor, style: Type, text: &str) {
        self.write(at, anchor, style, text, FontTransform::None);
    }

    /// One line of text that reads upwards, centred at `at`.
    pub fn text_upwards(&mut self, at: (f64, f64), style: Type, text: &str) {
        self.write(at, Anchor::Middle, style, text, FontTransform::Rotate270);
    }

    /// Tells `text` to whoever points between two corners. Nothing of it is seen.
    pub fn tip(&mut self, a: (f64, f64), b: (f64, f64), text: &str) {
        let (a, b) = (fine(a), fine(b));
        let (x, y) = (a.0.min(b.0).max(0), a.1.min(b.1).max(0));
        let (width, height) = ((a.0.max(b.0) - x).max(1), (a.1.max(b.1) - y).max(1));
        self.tips.push_str(&format!(
            "<rect class=\"tip\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             opacity=\"0\"><title>{}</title></rect>\n",
            escape(&super::super::text::elide(&super::super::text::plain(text), MOST_TOLD))
        ));
    }

    /// The same around a point.
    pub fn tip_at(&mut self, (x, y): (f64, f64), text: &str) {
        self.tip((x - REACH, y - REACH), (x + REACH, y + REACH), text);
    }

    fn write(
        &mut self,
        at: (f64, f64),
        anchor: Anchor,
        style: Type,
        text: &str,
        transform: FontTransform,
    ) {
        let h = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        // plotters takes the height of a line and writes the height of the font.
        let size = style.size * 1.24 * FINE;
        let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = ("sans-serif", size).into_font().style(weight).transform(transform);
        let style = TextStyle::from(font).color(&style.color).pos(Pos::new(h, VPos::Center));
        done(self.backend.draw_text(&known(text), &style, fine(at)));
    }
}

fn fine((x, y): (f64, f64)) -> (i32, i32) {
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

fn stroke(color: Color, opacity: f64, width: f64) -> ShapeStyle {
    let color: RGBAColor = color.mix(opacity);
    ShapeStyle { color, filled: true, stroke_width: (width * FINE).round() as u32 }
}

fn done<T, E: std::fmt::Debug>(result: Result<T, E>) {
    result.map(drop).expect("drawing into a string cannot fail");
}

/// An upper estimate of the width of `text` in pixels: widths of DejaVu Sans, which is wide.
pub fn text_width(text: &str, style: Type) -> f64 {
    let em: f64 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | ' ' | 'I' | '\u{202f}' => 0.33,
            'f' | 'r' | 't' | '(' | ')' | '[' | ']' | '/' | '-' | '·' => 0.42,
            'm' | 'M' | 'w' | 'W' | '@' | '%' => 0.98,
            'A'..='Z' => 0.72,
            ' '..='~' => 0.635,
            '\u{2e80}'.. => 1.05,
            _ => 0.72,
        })
        .sum();
    em * style.size * if style.bold { 1.1 } else { 1.0 }
}

/// `text` in at most `width` pixels, `…` standing for its middle where it is longer.
pub fn fitting(text: &str, width: f64, style: Type) -> String {
    let text = super::super::text::plain(text);
    let mut columns = text.chars().count();
    let mut short = text.clone();
    while text_width(&short, style) > width && columns > 1 {
        columns -= 1;
        short = super::super::text::elide(&text, columns);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_strangers_bring_no_markup_into_an_svg() {
        let svg = draw(100.0, 20.0, "</title><script>", |canvas| {
            canvas.text((0.0, 10.0), Anchor::Start, LABEL, "<b>&\"\u{1}\u{202e}");
        });
        assert!(svg.contains("<title>&lt;/title&gt;&lt;script&gt;</title>"), "{svg}");
        assert!(svg.contains("&lt;b&gt;&amp;&quot;\u{fffd}\u{fffd}"), "{svg}");
    }

    #[test]
    fn the_sheet_is_drawn_finer_than_it_is_shown() {
        let svg = draw(90.0, 40.0, "t", |canvas| {
            canvas.line((1.25, 2.0), (3.0, 4.0), INK, 1.5);
        });
        assert!(svg.contains(r#"width="90" height="40" viewBox="0 0 900 400""#), "{svg}");
        assert!(svg.contains(r#"stroke-width="15" x1="13""#), "{svg}");
    }

    #[test]
    fn what_is_told_of_a_place_lies_above_everything_and_is_escaped() {
        let svg = draw(90.0, 40.0, "t", |canvas| {
            canvas.tip_at((20.0, 20.0), "a <b> & c");
            canvas.line((1.0, 2.0), (3.0, 4.0), INK, 1.5);
        });
        let tip = "<rect class=\"tip\" x=\"130\" y=\"130\" width=\"140\" height=\"140\" opacity=\"0\">\
                   <title>a &lt;b&gt; &amp; c</title></rect>\n</svg>";
        assert!(svg.trim_end().ends_with(tip), "{svg}");
    }

    #[test]
    fn a_long_name_is_cut_to_its_room() {
        let name = "A-Very-Long-Model-Name-Of-A-Merge-Of-Merges";
        let short = fitting(name, 100.0, LABEL);
        assert!(short.contains('…') && text_width(&short, LABEL) <= 100.0, "{short}");
        assert_eq!(fitting("short", 100.0, LABEL), "short");
    }
}
