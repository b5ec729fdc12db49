//! A table of text: aligned columns for a terminal, or Markdown.

use unicode_width::UnicodeWidthStr;

use super::paint::Tone;
use super::text;

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// What becomes of a column when the terminal is too narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrow {
    /// It stays.
    Keep,
    /// Its texts lose their middle, down to this width.
    ElideTo(usize),
    /// It goes, those with the smallest number first, once eliding did not suffice.
    Drop(u8),
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    header: String,
    align: Align,
    narrow: Narrow,
    tone: Option<fn(&str) -> Option<Tone>>,
    is_said_once: bool,
}

impl Column {
    /// A column that stays as it is.
    pub fn new(header: impl Into<String>, align: Align) -> Column {
        Column {
            header: header.into(),
            align,
            narrow: Narrow::Keep,
            tone: None,
            is_said_once: false,
        }
    }

    /// The same, giving way as told when there is too little room.
    pub fn narrow(self, narrow: Narrow) -> Column {
        Column { narrow, ..self }
    }

    /// The same, one of those that say whose a row is: where a row has the same in all of them as the one
    /// above, text and Markdown leave them out. Tables that are sorted keep them.
    pub fn said_once(self) -> Column {
        Column { is_said_once: true, ..self }
    }

    /// The same, its words coloured on a terminal as `tone` says.
    pub fn toned(self, tone: fn(&str) -> Option<Tone>) -> Column {
        Column { tone: Some(tone), ..self }
    }
}

/// Rows of untrusted text under headers.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// Space between two columns on a terminal.
const GAP: usize = 2;

impl Table {
    /// A table without rows.
    pub fn new(columns: Vec<Column>) -> Table {
        Table { columns, rows: Vec::new() }
    }

    /// Appends a row: one text per column.
    pub fn push(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.columns.len(), "a row has as many cells as there are columns");
        self.rows.push(row);
    }

    /// Aligned lines of at most `width` columns where that can be reached, with the colours of its
    /// columns. A column without any text is left out.
    pub fn to_text(&self, width: usize) -> String {
        let cells: Vec<Vec<String>> =
            self.read().map(|row| row.iter().map(|c| clean(c)).collect()).collect();
        let mut shown: Vec<usize> = (0..self.columns.len())
            .filter(|&i| cells.is_empty() || cells.iter().any(|row| !row[i].is_empty()))
            .collect();
        let mut widths: Vec<usize> = (0..self.columns.len())
            .map(|i| {
                let longest = cells.iter().map(|row| row[i].width()).max().unwrap_or(0);
                longest.max(self.columns[i].header.width())
            })
            .collect();
        self.fit(&mut shown, &mut widths, width);

        let line = |texts: Vec<&str>, is_toned: bool| {
            let mut out = String::new();
            for (&i, cell) in shown.iter().zip(texts) {
                let tone = self.columns[i].tone.filter(|_| is_toned).and_then(|tone| tone(cell));
                let cell = text::elide(cell, widths[i]);
                let pad = " ".repeat(widths[i] - cell.width());
                let cell = tone.map_or(cell.clone(), |tone| tone.paint(&cell));
                if !out.is_empty() {
                    out.push_str(&" ".repeat(GAP));
                }
                match self.columns[i].align {
                    Align::Left => out.extend([cell, pad]),
                    Align::Right => out.extend([pad, cell]),
                }
            }
            out.truncate(out.trim_end().len());
            out.push('\n');
            out
        };
        let total = total(&shown, &widths);
        let headers = shown.iter().map(|&i| self.columns[i].header.as_str()).collect();
        let mut out = line(headers, false);
        out.push_str(&"─".repeat(total));
        out.push('\n');
        for row in &cells {
            out.push_str(&line(shown.iter().map(|&i| row[i].as_str()).collect(), true));
        }
        out
    }

    /// The rows as they are read from above to below: what was just said is not said again.
    fn read(&self) -> impl Iterator<Item = Vec<&str>> {
        let names = |row: &[String]| -> Vec<String> {
            let of = self.columns.iter().zip(row).filter(|(column, _)| column.is_said_once);
            of.map(|(_, text)| text.clone()).collect()
        };
        let mut above: Option<Vec<String>> = None;
        self.rows.iter().map(move |row| {
            let own = names(row);
            let is_said = above.as_ref() == Some(&own);
            above = Some(own);
            let texts = self.columns.iter().zip(row);
            texts
                .map(|(c, text)| if c.is_said_once && is_said { "" } else { text.as_str() })
                .collect()
        })
    }

    fn fit(&self, shown: &mut Vec<usize>, widths: &mut [usize], width: usize) {
        for &i in shown.iter() {
            if let Narrow::ElideTo(least) = self.columns[i].narrow {
                let over = total(shown, widths).saturating_sub(width);
                widths[i] = widths[i].saturating_sub(over).max(least.min(widths[i]));
            }
        }
        while total(shown, widths) > width {
            let rank = |&i: &usize| match self.columns[i].narrow {
                Narrow::Drop(rank) => Some((rank, i)),
                _ => None,
            };
            let Some((_, first)) = shown.iter().filter_map(rank).min() else { return };
            shown.retain(|&i| i != first);
        }
    }

    /// Header and alignment of each column that has any text.
    pub fn columns(&self) -> Vec<(&str, Align)> {
        let column = |i: usize| (self.columns[i].header.as_str(), self.columns[i].align);
        self.filled().into_iter().map(column).collect()
    }

    /// The texts of each row in those columns.
    pub fn rows(&self) -> impl Iterator<Item = Vec<&str>> {
        let filled = self.filled();
        self.rows.iter().map(move |row| filled.iter().map(|&i| row[i].as_str()).collect())
    }

    /// Columns that have any text; all where there is no row.
    fn filled(&self) -> Vec<usize> {
        let has_text = |&i: &usize| self.rows.iter().any(|row| !row[i].is_empty());
        (0..self.columns.len()).filter(|i| self.rows.is_empty() || has_text(i)).collect()
    }

    /// The whole table as Markdown.
    pub fn to_markdown(&self) -> String {
        self.to_markdown_up_to(usize::MAX, "")
    }

    /// The first `most` rows as Markdown, and where the others are.
    pub fn to_markdown_up_to(&self, most: usize, elsewhere: &str) -> String {
        let mut out = String::new();
        let mut line = |cells: Vec<String>| {
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
        };
        let shown = self.filled();
        line(shown.iter().map(|&i| text::markdown(&self.columns[i].header)).collect());
        line(
            shown
                .iter()
                .map(|&i| match self.columns[i].align {
                    Align::Left => "---".to_owned(),
                    Align::Right => "---:".to_owned(),
                })
                .collect(),
        );
        for row in self.read().take(most) {
            line(shown.iter().map(|&i| text::markdown(row[i])).collect());
        }
        if self.rows.len() > most {
            let more = text::count(self.rows.len() - most, "more row");
            out.push_str(&format!("\n{more}: {elsewhere}\n"));
        }
        out
    }
}

/// Harmless, but with the trailing space that keeps brackets aligned.
fn clean(cell: &str) -> String {
    let mut out = text::plain(cell);
    if cell.ends_with(' ') && !out.is_empty() {
        out.push(' ');
    }
    out
}

fn total(shown: &[usize], widths: &[usize]) -> usize {
    shown.iter().map(|&i| widths[i]).sum::<usize>() + GAP * shown.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(vec![
            Column::new("model", Align::Left).narrow(Narrow::ElideTo(6)),
            Column::new("empty", Align::Left),
            Column::new("size", Align::Right).narrow(Narrow::Drop(1)),
            Column::new("t/s", Align::Right),
        ]);
        table.push(vec!["a-rather-long-name".into(), String::new(), "12".into(), "5.0".into()]);
        table.push(vec!["b".into(), String::new(), "1234".into(), "15.0".into()]);
        table
    }

    #[test]
    fn numbers_stand_right_and_empty_columns_are_left_out() {
        assert_eq!(
            table().to_text(100),
            "model               size   t/s\n\
             ──────────────────────────────\n\
             a-rather-long-name    12   5.0\n\
             b                   1234  15.0\n"
        );
    }

    #[test]
    fn a_narrow_terminal_shortens_names_before_it_costs_a_column() {
        let line = |width| table().to_text(width).lines().nth(2).unwrap().to_owned();
        assert_eq!(line(18), "a-r…me    12   5.0");
        assert_eq!(line(14), "a-r…me   5.0");
    }

    #[test]
    fn whose_a_row_is_stands_once_where_it_is_read_and_always_where_it_is_sorted() {
        let mut table = Table::new(vec![
            Column::new("model", Align::Left).said_once(),
            Column::new("quant", Align::Left).said_once(),
            Column::new("n", Align::Right),
        ]);
        for row in [["a", "Q8_0", "1"], ["a", "Q8_0", "2"], ["a", "Q4_0", "3"]] {
            table.push(row.map(str::to_owned).into());
        }
        assert_eq!(
            table.to_text(80),
            "model  quant  n\n───────────────\na      Q8_0   1\n              2\na      Q4_0   3\n"
        );
        assert_eq!(table.rows().nth(1).unwrap(), ["a", "Q8_0", "2"]);
        let cut = table.to_markdown_up_to(2, "`cells.csv`");
        assert!(cut.ends_with("|  |  | 2 |\n\n1 more row: `cells.csv`\n"), "{cut}");
    }

    #[test]
    fn colour_changes_neither_the_words_nor_where_they_stand() {
        let tone = |cell: &str| (cell == "regressed").then_some(Tone::Bad);
        let filled = |columns: Vec<Column>| {
            let mut table = Table::new(columns);
            table.push(vec!["regressed".into(), "1".into()]);
            table.push(vec!["same".into(), "2".into()]);
            table
        };
        let columns = [Column::new("verdict", Align::Left), Column::new("n", Align::Right)];
        let plain = filled(columns.clone().into());
        let [verdict, n] = columns;
        let toned = filled(vec![verdict.toned(tone), n]);
        assert_ne!(toned.to_text(80), plain.to_text(80));
        assert_eq!(super::super::paint::without_colour(&toned.to_text(80)), plain.to_text(80));
        assert_eq!(toned.to_markdown(), plain.to_markdown());
    }

    #[test]
    fn a_pipe_in_a_name_ends_no_markdown_cell() {
        let mut table = Table::new(vec![Column::new("model", Align::Left)]);
        table.push(vec!["a|b".into()]);
        assert_eq!(table.to_markdown(), "| model |\n| --- |\n| a\\|b |\n");
    }
}
