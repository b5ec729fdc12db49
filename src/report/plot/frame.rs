//! What stands around the data of every plot: title, what and where, legend. All of it above the
//! data, so that it never covers any.

use super::canvas::{
    Anchor, Canvas, Color, FAINT, INK, LABEL, MUTED, NOTE, PAPER, TITLE, fitting, text_width,
};

/// Width of every plot in pixels.
pub const WIDTH: f64 = 900.0;
/// Space left free at the sides.
pub const MARGIN: f64 = 24.0;

const LINE: f64 = 18.0;
const SIGN: f64 = 22.0;

/// Colours that people of every colour vision tell apart (Okabe and Ito 2008), without the yellow,
/// which is too pale on white.
const PALETTE: [Color; 7] = [
    Color(0x00, 0x72, 0xb2),
    Color(0xd5, 0x5e, 0x00),
    Color(0x00, 0x9e, 0x73),
    Color(0xcc, 0x79, 0xa7),
    Color(0x56, 0xb4, 0xe9),
    Color(0xe6, 0x9f, 0x00),
    Color(0x00, 0x00, 0x00),
];

/// How many things have a colour of their own.
pub const N_COLORS: usize = PALETTE.len();

/// Colour and shape of the `i`th thing, where there are more things than colours.
pub fn color_and_shape(i: usize) -> (Color, usize) {
    (color(i), i / PALETTE.len())
}

/// The colour of the `i`th thing; colours repeat after the seventh.
pub fn color(i: usize) -> Color {
    PALETTE[i % PALETTE.len()]
}

/// A sign that data is drawn with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sign {
    /// A filled area.
    Area(Color),
    /// A line with a paler band around it.
    Band(Color),
    /// A line.
    Line(Color),
    /// A point of the `i`th shape.
    Point(usize),
    /// A point of this colour and shape.
    Dot(Color, usize),
    /// A round point with a faint line to where it would stand by another count.
    Ghost,
    /// An interval, with caps.
    Interval,
    /// A range, without.
    Range,
    /// A bar across.
    Tick,
}

/// A line of the legend.
pub struct Key {
    /// The sign.
    pub sign: Sign,
    /// What it stands for.
    pub label: String,
}

impl Key {
    /// A key.
    pub fn new(sign: Sign, label: impl Into<String>) -> Key {
        Key { sign, label: label.into() }
    }
}

/// Title, notes and legend.
pub struct Frame {
    /// What is shown.
    pub title: String,
    /// On what, how often, how sure.
    pub notes: Vec<String>,
    /// The legend.
    pub keys: Vec<Key>,
}

impl Frame {
    /// Height that it takes; the data begins below.
    pub fn height(&self) -> f64 {
        let rows = self.key_rows().len() as f64;
        42.0 + LINE * (self.note_lines().len() as f64 + rows) + if rows > 0.0 { 12.0 } else { 6.0 }
    }

    /// Draws it at the top.
    pub fn draw(&self, canvas: &mut Canvas) {
        let title = fitting(&self.title, WIDTH - 2.0 * MARGIN, TITLE);
        canvas.text((MARGIN, 26.0), Anchor::Start, TITLE, &title);
        let mut y = 50.0;
        for line in self.note_lines() {
            canvas.text((MARGIN, y), Anchor::Start, NOTE, &line);
            y += LINE;
        }
        y += 4.0;
        for row in self.key_rows() {
            for (x, key, label) in row {
                draw_sign(canvas, key.sign, (x, y));
                canvas.text((x + SIGN + 6.0, y), Anchor::Start, LABEL, &label);
            }
            y += LINE;
        }
    }

    fn note_lines(&self) -> Vec<String> {
        let room = WIDTH - 2.0 * MARGIN;
        let mut lines = Vec::new();
        for note in &self.notes {
            let mut line = String::new();
            for word in note.split(' ') {
                let longer =
                    if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
                if text_width(&longer, NOTE) > room && !line.is_empty() {
                    lines.push(std::mem::replace(&mut line, word.to_owned()));
                } else {
                    line = longer;
                }
            }
            lines.push(line);
        }
        lines.iter().map(|line| fitting(line, room, NOTE)).collect()
    }

    fn key_rows(&self) -> Vec<Vec<(f64, &Key, String)>> {
        let mut rows: Vec<Vec<(f64, &Key, String)>> = Vec::new();
        let mut x = WIDTH;
        for key in &self.keys {
            let label = fitting(&key.label, 380.0, LABEL);
            let width = SIGN + 6.0 + text_width(&label, LABEL);
            if rows.is_empty() || x + width > WIDTH - MARGIN {
                rows.push(Vec::new());
                x = MARGIN;
            }
            rows.last_mut().expect("a row was just made").push((x, key, label));
            x += width + 20.0;
        }
        rows
    }
}

fn draw_sign(canvas: &mut Canvas, sign: Sign, (x, y): (f64, f64)) {
    let (middle, end) = (x + SIGN / 2.0, x + SIGN);
    match sign {
        Sign::Area(color) => canvas.rect((x + 4.0, y - 6.0), (end - 4.0, y + 6.0), color, 1.0),
        Sign::Band(color) => {
            canvas.rect((x, y - 6.0), (end, y + 6.0), color, 0.22);
            canvas.line((x, y), (end, y), color, 2.0);
        }
        Sign::Line(color) => canvas.line((x, y), (end, y), color, 2.5),
        Sign::Point(i) => draw_point(canvas, i, (middle, y), MUTED),
        Sign::Dot(color, shape) => draw_point(canvas, shape, (middle, y), color),
        Sign::Ghost => draw_ghost(canvas, (x + 3.0, y), end - 3.0),
        Sign::Interval => draw_interval(canvas, x + 2.0, end - 2.0, y),
        Sign::Range => draw_range(canvas, x + 2.0, end - 2.0, y),
        Sign::Tick => canvas.line((middle, y - 7.0), (middle, y + 7.0), INK, 2.0),
    }
}

/// A point of the `i`th shape; hollow ones after the fifth.
pub fn draw_point(canvas: &mut Canvas, i: usize, (x, y): (f64, f64), color: Color) {
    let r = 4.2;
    let corners: Vec<(f64, f64)> = match i % 5 {
        0 => Vec::new(),
        1 => vec![(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2 => vec![(0.0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
        3 => vec![(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        _ => vec![(0.0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
    };
    let mut shape = |r: f64, color: Color| {
        if corners.is_empty() {
            canvas.disc((x, y), r, color);
        } else {
            let points: Vec<_> = corners.iter().map(|c| (x + c.0 * r, y + c.1 * r)).collect();
            canvas.area(&points, color, 1.0);
        }
    };
    shape(r + 1.0, PAPER);
    shape(r, color);
    if i / 5 % 2 == 1 {
        shape(r - 1.8, PAPER);
    }
}

/// A faint line from a point to a hollow one at `x`.
pub fn draw_ghost(canvas: &mut Canvas, from: (f64, f64), x: f64) {
    canvas.line(from, (x, from.1), FAINT, 1.3);
    canvas.disc((x, from.1), 3.2, FAINT);
    canvas.disc((x, from.1), 1.9, PAPER);
}

/// A whisker with caps: an interval.
pub fn draw_interval(canvas: &mut Canvas, from: f64, to: f64, y: f64) {
    canvas.line((from, y), (to, y), INK, 1.3);
    for x in [from, to] {
        canvas.line((x, y - 4.0), (x, y + 4.0), INK, 1.3);
    }
}

/// A whisker without caps: a range.
pub fn draw_range(canvas: &mut Canvas, from: f64, to: f64, y: f64) {
    canvas.line((from, y), (to, y), INK, 2.4);
}
