//! Where the time goes, as an icicle for each phase: parts of the model, what is done in them, and with
//! which tensor, each level as wide as its share.

use std::collections::BTreeMap;

use super::canvas::{self, Anchor, Canvas, Color, FAINT, HEADING, INK, PAPER, Type};
use super::canvas::{fitting, text_width};
use super::frame::{Frame, Key, MARGIN, Sign, WIDTH};
use super::{Plot, Sheet};
use crate::record::OpKind;
use crate::report::profile::{PhaseView, ProfileView, place_and_word};
use crate::report::text;

/// The file.
pub const FILE: &str = "profile.svg";

/// Colours of the parts, in the order in which a token passes them; what belongs to none is grey.
const COLORS: [(&str, Color); 5] = [
    ("embedding", Color(0xcc, 0x79, 0xa7)),
    ("norms", Color(0xe6, 0x9f, 0x00)),
    ("attention", Color(0x00, 0x72, 0xb2)),
    ("FFN", Color(0x00, 0x9e, 0x73)),
    ("LM head", Color(0xd5, 0x5e, 0x00)),
];

/// Phases that are drawn; the others are in the tables.
const MOST_PHASES: usize = 24;

const LEVEL: f64 = 24.0;
const HEAD: f64 = 34.0;
const GAP: f64 = 16.0;
const SMALL: Type = Type { size: 11.0, color: INK, bold: false };
const ON_COLOR: Type = Type { size: 12.0, color: PAPER, bold: true };

/// A block and what it is made of.
#[derive(Default)]
struct Block {
    ns: u64,
    within: BTreeMap<(u32, String), Block>,
}

/// The colour of a part.
pub fn color(part: &str) -> Color {
    COLORS.iter().find(|(name, _)| *name == part).map_or(FAINT, |(_, color)| *color)
}

/// The plot; `None` where nothing was profiled.
pub fn plot(sheet: &Sheet) -> Option<Plot> {
    let profiles = &sheet.view.profiles;
    let phases: Vec<(&ProfileView, &PhaseView)> = profiles
        .iter()
        .flat_map(|view| view.phases.iter().map(move |phase| (view, phase)))
        .collect();
    if phases.is_empty() {
        return None;
    }
    let left_out = phases.len().saturating_sub(MOST_PHASES);
    let phases = &phases[..phases.len() - left_out];
    let title = "Where the time goes".to_owned();
    let frame = Frame {
        title: title.clone(),
        notes: vec![
            format!("{}; each phase in passes of its own.", text::plain(&sheet.view.device())),
            "From above: part of the model, kind of operation, tensor or step. Waiting for other \
             threads stands in the part that is waited for; what is grey belongs to no part."
                .to_owned(),
        ]
        .into_iter()
        .chain((left_out > 0).then(|| format!("{left_out} more are in profile.csv.")))
        .collect(),
        keys: COLORS.iter().map(|(name, color)| Key::new(Sign::Area(*color), *name)).collect(),
    };
    let row = HEAD + 3.0 * LEVEL + GAP;
    let height = frame.height() + row * phases.len() as f64 + 8.0;
    let svg = canvas::draw(WIDTH, height, &title, |canvas| {
        frame.draw(canvas);
        let mut y = frame.height();
        for (view, phase) in phases {
            draw_phase(canvas, view, phase, y);
            y += row;
        }
    });
    Some(Plot { file: FILE.to_owned(), title, svg })
}

fn draw_phase(canvas: &mut Canvas, view: &ProfileView, phase: &PhaseView, y: f64) {
    let cell = &view.record.cell;
    let time = phase.call_ms().map(|ms| format!(": {} ms a call", text::number(ms)));
    let heading = format!(
        "{} {} {}, {}{}",
        cell.model,
        cell.quant,
        cell.engine,
        phase.test,
        time.unwrap_or_default()
    );
    let heading = fitting(&heading, WIDTH - 2.0 * MARGIN, HEADING);
    canvas.text((MARGIN, y + HEAD - 12.0), Anchor::Start, HEADING, &heading);
    let mut whole = Block::default();
    for total in &phase.profile.ops {
        let [part, kind] = ["part", "kind"].map(|by| place_and_word(by, &total.op));
        // The type stands above it.
        let step = match total.op.kind {
            OpKind::Wait | OpKind::Spans => kind.clone(),
            _ => (0, total.op.name.clone()),
        };
        let ns = total.cost.ns;
        whole.ns += ns;
        let part = whole.within.entry(part).or_default();
        part.ns += ns;
        let kind = part.within.entry(kind).or_default();
        kind.ns += ns;
        kind.within.entry(step).or_default().ns += ns;
    }
    whole.within.entry((99, "other".to_owned())).or_default().ns += phase.profile.rest_ns();
    let room = (MARGIN, WIDTH - MARGIN);
    let per_ns = (room.1 - room.0) / phase.total_ns.max(1) as f64;
    let mut x = room.0;
    for ((_, name), block) in &whole.within {
        draw_block(canvas, (name, block), (x, y + HEAD, per_ns), (color(name), 0), phase.total_ns);
        x += block.ns as f64 * per_ns;
    }
}

fn draw_block(
    canvas: &mut Canvas,
    (name, block): (&str, &Block),
    (x, y, per_ns): (f64, f64, f64),
    (color, level): (Color, usize),
    total_ns: u64,
) {
    let width = block.ns as f64 * per_ns;
    if width < 0.3 {
        return;
    }
    let opacity = [1.0, 0.42, 0.22][level];
    canvas.rect((x, y), (x + width, y + LEVEL - 1.0), color, opacity);
    let (share, ms) = (100.0 * block.ns as f64 / total_ns.max(1) as f64, block.ns as f64 / 1e6);
    let told = format!("{name}: {share:.1} % of the time, {} ms in all", text::number(ms));
    canvas.tip((x, y), (x + width, y + LEVEL - 1.0), &told);
    // A thin line of paper between neighbours.
    canvas.line((x + width, y), (x + width, y + LEVEL - 1.0), PAPER, 1.0);
    let style = if level == 0 { ON_COLOR } else { SMALL };
    let whole = format!("{name} {share:.0} %");
    let label = [whole, name.to_owned()].into_iter().find(|l| text_width(l, style) < width - 6.0);
    let label = label.or_else(|| (width > 44.0).then(|| fitting(name, width - 6.0, style)));
    if let Some(label) = label {
        canvas.text((x + width / 2.0, y + LEVEL / 2.0), Anchor::Middle, style, &label);
    }
    let mut at = x;
    for ((_, name), inner) in &block.within {
        draw_block(canvas, (name, inner), (at, y + LEVEL, per_ns), (color, level + 1), total_ns);
        at += inner.ns as f64 * per_ns;
    }
}
