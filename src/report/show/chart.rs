//! A chart made of characters: a column for each value, from zero, with a dot where the worst lies.

use unicode_width::UnicodeWidthStr;

use super::super::text;

/// Rows of a chart.
const HEIGHT: usize = 8;

/// The widest that a value's column gets where there are few of them.
const WIDEST: usize = 4;

/// A worst value beyond this multiple of the largest typical one does not stretch the axis: an arrow
/// stands for it.
const STRETCH: f64 = 2.0;

/// What fills a row by eighths.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is typical at a place, and what was the worst there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// How high the column is.
    pub typical: f64,
    /// Where the dot stands, where that is above it.
    pub worst: f64,
}

/// As many bars as there is room for: of neighbours that share one, the median of what is typical and
/// the worst of the worst.
pub fn thinned(bars: &[Bar], room: usize) -> Vec<Bar> {
    let n = bars.len().min(room.max(1));
    let span = |i: usize| i * bars.len() / n..(i + 1) * bars.len() / n;
    (0..n).map(|i| together(&bars[span(i)])).collect()
}

fn together(bars: &[Bar]) -> Bar {
    let typical: Vec<f64> = bars.iter().map(|bar| bar.typical).collect();
    Bar {
        typical: crate::stats::median(&typical).unwrap_or(f64::NAN),
        worst: bars.iter().map(|bar| bar.worst).fold(f64::NAN, f64::max),
    }
}

/// The chart, at most `width` columns wide, with the ends of its axis named; nothing without bars.
pub fn chart(bars: &[Bar], [from, axis, to]: [&str; 3], width: usize) -> String {
    let highest = bars.iter().map(|bar| bar.typical).fold(0.0, f64::max);
    if bars.is_empty() || !highest.is_finite() || highest <= 0.0 {
        return String::new();
    }
    let worst = bars.iter().map(|bar| bar.worst).fold(highest, f64::max);
    let top = round_up(worst.min(STRETCH * highest));
    let labels = [text::number(top), text::number(top / 2.0), "0".to_owned()];
    let gutter = labels.iter().map(|label| label.width()).max().unwrap_or(0);
    let room = width.saturating_sub(gutter + 2).max(1);
    let bars = thinned(bars, room);
    let each = (room / bars.len()).clamp(1, WIDEST);
    let row = |row: usize, label: &str| {
        let edge = if label.is_empty() { '│' } else { '┤' };
        let columns = bars.iter().flat_map(|bar| wide(mark(bar, row, top), each));
        let line: String = columns.collect();
        format!("{label:>gutter$} {edge}{}", line.trim_end()).trim_end().to_owned() + "\n"
    };
    let mut out = String::new();
    for i in (0..HEIGHT).rev() {
        let label = match i + 1 {
            HEIGHT => &labels[0],
            edge if 2 * edge == HEIGHT => &labels[1],
            _ => "",
        };
        out.push_str(&row(i, label));
    }
    let length = bars.len() * each;
    out.push_str(&format!("{:>gutter$} └{}\n", labels[2], "─".repeat(length)));
    out.push_str(&format!("{:gutter$}  {}\n", "", ends(from, axis, to, length)));
    out
}

/// What stands at the place of `bar` in a row, counted from the lowest.
fn mark(bar: &Bar, row: usize, top: f64) -> char {
    let rows = |value: f64| value / top * HEIGHT as f64;
    let filled = (rows(bar.typical) * 8.0).round() - 8.0 * row as f64;
    match filled.clamp(0.0, 8.0) as usize {
        0 if bar.worst > top && row + 1 == HEIGHT => '▲',
        0 if rows(bar.worst).ceil() as usize == row + 1 => '·',
        eighths => EIGHTHS[eighths],
    }
}

/// A mark over so many columns: a bar fills them, a dot stands in the middle.
fn wide(mark: char, columns: usize) -> impl Iterator<Item = char> {
    let is_dot = matches!(mark, '·' | '▲');
    (0..columns).map(move |at| if is_dot && at != columns / 2 { ' ' } else { mark })
}

/// The names of an axis' ends and of the axis, where there is room between them.
fn ends(from: &str, axis: &str, to: &str, wide: usize) -> String {
    let taken = from.width() + axis.width() + to.width();
    match wide.checked_sub(taken).filter(|free| *free >= 2) {
        Some(free) => {
            let before = free / 2;
            format!("{from}{}{axis}{}{to}", " ".repeat(before), " ".repeat(free - before))
        }
        None => format!("{from} – {to} {axis}"),
    }
}

/// The next round number.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    // Up to what rounding may have added.
    let step = steps.into_iter().find(|step| step * power >= value * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(n: usize) -> Vec<Bar> {
        vec![Bar { typical: 5.0, worst: 5.0 }; n]
    }

    #[test]
    fn columns_stand_on_zero_and_dots_mark_the_worst() {
        let mut bars = flat(16);
        bars[3].worst = 7.9;
        bars[12].worst = 80.0;
        bars[15] = Bar { typical: 10.0, worst: 10.0 };
        let lines = [
            "20.00 ┤                                                  ▲",
            "      │",
            "      │",
            "      │",
            "10.00 ┤              ·                                             ████",
            "      │                                                            ████",
            "      │████████████████████████████████████████████████████████████████",
            "      │████████████████████████████████████████████████████████████████",
            "    0 └────────────────────────────────────────────────────────────────",
            "       1                            token                            16",
        ];
        assert_eq!(chart(&bars, ["1", "token", "16"], 80), lines.join("\n") + "\n");
    }

    #[test]
    fn many_values_share_columns_and_few_are_widened() {
        let wide = chart(&flat(1000), ["1", "token", "1000"], 60);
        assert!(wide.lines().all(|line| line.width() <= 60), "{wide}");
        let few = chart(&flat(3), ["1", "token", "3"], 60);
        assert!(few.contains(&"█".repeat(12)) && !few.contains(&"█".repeat(13)), "{few}");
        let bars = [Bar { typical: 1.0, worst: 9.0 }, Bar { typical: 3.0, worst: 3.0 }];
        assert_eq!(thinned(&bars, 1), [Bar { typical: 2.0, worst: 9.0 }]);
    }

    #[test]
    fn without_a_value_there_is_no_chart() {
        assert_eq!(chart(&[], ["1", "token", "0"], 80), "");
        let nothing = Bar { typical: 0.0, worst: 0.0 };
        assert_eq!(chart(&[nothing], ["1", "token", "1"], 80), "");
        let unknown = Bar { typical: f64::NAN, worst: f64::NAN };
        assert_eq!(chart(&[unknown], ["1", "token", "1"], 80), "");
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        assert_eq!([7.9, 10.0, 10.1, 0.013, 1.0].map(round_up), [8.0, 10.0, 12.0, 0.015, 1.0]);
    }
}
