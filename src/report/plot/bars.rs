//! Horizontal bars in groups: long names have room at the left, and any number of bars is just a
//! taller picture.

use super::canvas::{
    self, Anchor, Canvas, Color, GRID, HEADING, INK, LABEL, NOTE, fitting, text_width,
};
use super::frame::{Frame, MARGIN, WIDTH, draw_interval, draw_range};
use super::scale::{Scale, Ticks};
use crate::report::text;
use crate::stats::Estimate;

/// Bars under one heading.
pub struct Section {
    /// The heading: a model. Nothing where all bars stand in one section.
    pub heading: String,
    /// Groups of bars.
    pub groups: Vec<Group>,
}

/// Bars that belong together.
pub struct Group {
    /// What they have in common: a quantisation.
    pub label: String,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// One bar.
pub struct Bar {
    /// What sets it apart in its group; empty when its colour says so.
    pub label: String,
    /// Lengths laid end to end, with their colours. None where there is no number.
    pub parts: Vec<(f64, Color)>,
    /// A whisker at the end.
    pub spread: Option<Estimate>,
    /// A line across at this value.
    pub tick: Option<f64>,
    /// What stands behind it.
    pub text: String,
    /// What is told of it to who points at it, where that is more than the text.
    pub tip: String,
}

impl Section {
    fn head(&self) -> f64 {
        if self.heading.is_empty() { BARE_HEAD } else { HEAD }
    }
}

impl Bar {
    fn end(&self) -> f64 {
        let reach = self.spread.map(|e| e.interval().unwrap_or(e.range).1);
        let length: f64 = self.parts.iter().map(|(v, _)| v).sum();
        length.max(reach.unwrap_or(0.0)).max(self.tick.unwrap_or(0.0))
    }
}

const BAR: f64 = 15.0;
const BAR_GAP: f64 = 2.0;
const GROUP_GAP: f64 = 9.0;
const HEAD: f64 = 28.0;
const BARE_HEAD: f64 = 8.0;
const FOOT: f64 = 56.0;

/// Draws `sections` under `frame`; `axis` names the horizontal axis with its unit.
pub fn draw(frame: &Frame, sections: &[Section], axis: &str) -> String {
    let groups = || sections.iter().flat_map(|s| &s.groups);
    let bars = || groups().flat_map(|g| &g.bars);
    let widest = |texts: &mut dyn Iterator<Item = &String>, most: f64| {
        texts.map(|t| text_width(t, LABEL)).fold(0.0, f64::max).min(most)
    };
    let group_width = widest(&mut groups().map(|g| &g.label), 220.0);
    let bar_width = widest(&mut bars().map(|b| &b.label), 330.0);
    // Where there is no bar, its text has all the room.
    let text_room = widest(&mut bars().filter(|b| !b.parts.is_empty()).map(|b| &b.text), 260.0);
    let bar_x = MARGIN + group_width + if bar_width > 0.0 { 12.0 } else { 0.0 };
    let left = bar_x + bar_width + 8.0;
    let right = WIDTH - MARGIN - text_room - 10.0;

    let most = bars().map(Bar::end).fold(0.0, f64::max);
    let (ticks, top) = Ticks::from_zero(most, 8);
    let scale = Scale::new((0.0, top), (left, right));
    let group_height = |g: &Group| g.bars.len() as f64 * (BAR + BAR_GAP) - BAR_GAP + GROUP_GAP;
    let data_height: f64 =
        sections.iter().map(|s| s.head() + s.groups.iter().map(group_height).sum::<f64>()).sum();
    let (from, to) = (frame.height(), frame.height() + data_height);

    canvas::draw(WIDTH, to + FOOT, &frame.title, |canvas| {
        frame.draw(canvas);
        for &value in &ticks.values {
            let x = scale.at(value);
            let label = text::grouped(value, ticks.decimals);
            canvas.text((x, to + 14.0), Anchor::Middle, LABEL, &label);
        }
        canvas.text(((left + right) / 2.0, to + 36.0), Anchor::Middle, LABEL, axis);
        let mut y = from;
        for section in sections {
            let heading = fitting(&section.heading, WIDTH - 2.0 * MARGIN, HEADING);
            canvas.text((MARGIN, y + HEAD - 14.0), Anchor::Start, HEADING, &heading);
            y += section.head();
            let height: f64 = section.groups.iter().map(group_height).sum();
            for &value in &ticks.values {
                let x = scale.at(value);
                canvas.line((x, y - 4.0), (x, y + height - 4.0), GRID, 1.0);
            }
            let head = y;
            for group in &section.groups {
                let middle = y + (group_height(group) - GROUP_GAP) / 2.0;
                let label = fitting(&group.label, group_width, LABEL);
                canvas.text((MARGIN + group_width, middle), Anchor::End, LABEL, &label);
                for bar in &group.bars {
                    draw_bar(canvas, bar, &scale, y + BAR / 2.0, (bar_x, bar_width), text_room);
                    let told = if bar.tip.is_empty() { &bar.text } else { &bar.tip };
                    let names = [&section.heading, &group.label, &bar.label, told];
                    let names: Vec<&str> =
                        names.into_iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
                    canvas.tip((left, y), (right, y + BAR), &names.join(", "));
                    y += BAR + BAR_GAP;
                }
                y += GROUP_GAP - BAR_GAP;
            }
            canvas.line((left, head - 4.0), (left, y - 4.0), INK, 1.0);
        }
    })
}

fn draw_bar(
    canvas: &mut Canvas,
    bar: &Bar,
    scale: &Scale,
    y: f64,
    (label_x, label_width): (f64, f64),
    text_room: f64,
) {
    let label = fitting(&bar.label, label_width, LABEL);
    canvas.text((label_x + label_width, y), Anchor::End, LABEL, &label);
    let mut done = 0.0;
    for &(value, color) in &bar.parts {
        let (a, b) = (scale.at(done), scale.at(done + value));
        canvas.rect((a, y - BAR / 2.0), (b, y + BAR / 2.0), color, 1.0);
        done += value;
    }
    if let Some(estimate) = bar.spread {
        match estimate.interval() {
            Some((lo, hi)) => draw_interval(canvas, scale.at(lo), scale.at(hi), y),
            None => draw_range(canvas, scale.at(estimate.range.0), scale.at(estimate.range.1), y),
        }
    }
    if let Some(value) = bar.tick {
        let x = scale.at(value);
        canvas.line((x, y - BAR / 2.0 - 1.0), (x, y + BAR / 2.0 + 1.0), INK, 2.0);
    }
    let style = if bar.parts.is_empty() { NOTE } else { LABEL };
    let room = if bar.parts.is_empty() { f64::INFINITY } else { text_room };
    let text = fitting(&bar.text, room, style);
    let x = scale.at(bar.end()) + 7.0;
    let under = (x - 2.0, x + text_width(&text, style));
    canvas.rect((under.0, y - BAR / 2.0), (under.1, y + BAR / 2.0), canvas::PAPER, 1.0);
    canvas.text((x, y), Anchor::Start, style, &text);
}
