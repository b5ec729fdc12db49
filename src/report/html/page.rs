//! What stands on a page: parts, sections, texts, tables, pictures. No markup.

use super::super::plot::Plot;
use super::super::summary;
use super::super::table::{Align, Table};
use super::super::text;
use super::super::{results, soak};
use super::fitness::Fitness;
use super::{Drawn, across, sections};

/// Columns of a text in a table at most: names of strangers may have any length.
const WIDEST: usize = 120;

/// Rows of the headline table at most; the table of all cells has every one.
const HEADLINE_ROWS: usize = 120;

/// A page.
pub struct Page {
    /// What it is called.
    pub title: String,
    /// What several runs have in common; nothing for a single one.
    pub across: Vec<Section>,
    /// A part for each run.
    pub parts: Vec<Part>,
}

/// What is told of one run.
pub struct Part {
    /// What links lead to.
    pub id: String,
    /// The suite and the device.
    pub title: String,
    /// The device in a line.
    pub device: String,
    /// When, by which program.
    pub subtitle: String,
    /// The device card: names with their values.
    pub facts: Vec<(String, String)>,
    /// Whether the machine was fit.
    pub fitness: Fitness,
    /// What has to be known before any number is believed.
    pub warnings: Vec<String>,
    /// The table that comes first.
    pub headline: Option<Grid>,
    /// What stands below it.
    pub notes: Vec<Prose>,
    /// Everything else.
    pub sections: Vec<Section>,
}

/// A section.
pub struct Section {
    /// What links lead to.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What stands in it.
    pub blocks: Vec<Block>,
}

/// What stands in a section.
pub enum Block {
    /// A heading within it.
    Heading(String),
    /// A paragraph.
    Text(Prose),
    /// A list.
    List(Vec<Prose>),
    /// A list that waits to be unfolded, under its title.
    Fold(String, Vec<Prose>),
    /// A command.
    Command(String),
    /// Names with what they mean.
    Terms(Vec<(String, Prose)>),
    /// A table.
    Table(Grid),
    /// A picture with its data.
    Chart(Chart),
}

/// Text in which some words are code.
pub struct Prose(pub Vec<(bool, String)>);

impl Prose {
    /// Of text in which backticks stand around code.
    pub fn new(text: &str) -> Prose {
        let pieces = text.split('`').enumerate();
        let shown = pieces.map(|(i, piece)| (i % 2 == 1, tame(piece)));
        Prose(shown.filter(|(_, piece)| !piece.is_empty()).collect())
    }

    /// Of a stranger's text, in which a backtick is one.
    pub fn plain(text: &str) -> Prose {
        Prose(vec![(false, tame(text))])
    }
}

/// Text of any length and any characters, fit to be shown.
fn tame(text: &str) -> String {
    text::elide(&text::laid_out(text), 2000)
}

/// A picture.
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// SVG, whose text is escaped.
    pub svg: String,
    /// The numbers behind it.
    pub data: Option<Grid>,
    /// Whether it waits to be unfolded.
    pub is_folded: bool,
}

/// A table, ready to be shown.
pub struct Grid {
    /// What it holds.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Field>,
    /// Its rows: a text and how it looks for each column.
    pub rows: Vec<Vec<Field>>,
    /// Whether it can be filtered and copied.
    pub has_tools: bool,
    /// Rows that were left out.
    pub n_left_out: usize,
}

/// A text in a table, and the class of how it looks.
pub struct Field {
    /// The text.
    pub text: String,
    /// The class, or nothing.
    pub class: &'static str,
}

impl Grid {
    /// The table, as far as its first `most` rows go.
    pub fn new(name: &str, table: &Table, most: usize) -> Grid {
        let columns = table.columns();
        let field = |(header, align): &(&str, Align), text: &str| Field {
            text: text::elide(&text::plain(text), WIDEST),
            class: match (*header, *align) {
                ("marks", _) if !text.is_empty() => "mark",
                ("verdict", _) => verdict_class(text),
                ("outcome", _) if text != "finished" => "bad",
                (_, Align::Right) => "r",
                _ => "",
            },
        };
        let n = table.rows().count();
        Grid {
            name: name.to_owned(),
            rows: table
                .rows()
                .take(most)
                .map(|row| columns.iter().zip(row).map(|(c, text)| field(c, text)).collect())
                .collect(),
            columns: columns
                .iter()
                .map(|(header, align)| Field {
                    text: text::plain(header),
                    class: if *align == Align::Right { "r" } else { "" },
                })
                .collect(),
            has_tools: false,
            n_left_out: n.saturating_sub(most),
        }
    }

    /// The same with the columns of these headers behind all others: what comes first is what is seen
    /// on a narrow screen.
    fn with_last(mut self, headers: &[&str]) -> Grid {
        let is_last = |at: &usize| headers.contains(&self.columns[*at].text.as_str());
        let (last, mut order): (Vec<usize>, Vec<usize>) =
            (0..self.columns.len()).partition(is_last);
        order.extend(last);
        self.columns = in_order(self.columns, &order);
        self.rows = self.rows.into_iter().map(|row| in_order(row, &order)).collect();
        self
    }

    /// The same, to be filtered and copied.
    pub fn with_tools(self) -> Grid {
        Grid { has_tools: true, ..self }
    }
}

/// Fields in another order.
fn in_order(fields: Vec<Field>, order: &[usize]) -> Vec<Field> {
    let mut fields: Vec<Option<Field>> = fields.into_iter().map(Some).collect();
    order.iter().filter_map(|&at| fields[at].take()).collect()
}

fn verdict_class(text: &str) -> &'static str {
    match text.split(' ').next() {
        Some("regressed") => "bad",
        Some("improved") => "good",
        Some("unclear" | "not") => "mark",
        _ => "",
    }
}

impl Page {
    /// The page of these runs.
    pub fn new(runs: &[Drawn]) -> Page {
        let titles = titles(runs);
        let parts: Vec<Part> = runs
            .iter()
            .zip(&titles)
            .enumerate()
            .map(|(i, (run, title))| Part::new(run, title, &format!("r{}", i + 1)))
            .collect();
        let title = match &parts[..] {
            [one] => one.title.clone(),
            several => text::count(several.len(), "run"),
        };
        let across = if runs.len() > 1 { across::sections(runs, &titles) } else { Vec::new() };
        Page { title, across, parts }
    }
}

/// `quick on Raspberry Pi 5`, with a number where two runs would be called the same.
fn titles(runs: &[Drawn]) -> Vec<String> {
    let mut titles: Vec<String> = Vec::new();
    for run in runs {
        let (suite, device) = (&run.view.run.suite, run.view.device());
        let title = text::elide(&text::plain(&format!("{suite} on {device}")), WIDEST);
        let same = titles.iter().filter(|t| **t == title || t.starts_with(&format!("{title} #")));
        titles.push(match same.count() {
            0 => title,
            n => format!("{title} #{}", n + 1),
        });
    }
    titles
}

impl Part {
    fn new(run: &Drawn, title: &str, id: &str) -> Part {
        let view = run.view;
        let headline = match (&view.cells[..], &view.soaks[..]) {
            ([], []) => None,
            ([], soaks) => Some(Grid::new("sustained speed", &soak::table(soaks), HEADLINE_ROWS)),
            _ => {
                let grid = Grid::new("results", &results::results(view), HEADLINE_ROWS);
                Some(grid.with_last(&["bpw", "types by bytes", "size MiB", "threads"]))
            }
        };
        let notes = results::footnotes(view);
        let facts: Vec<(String, String)> = summary::facts(view)
            .into_iter()
            .map(|(name, value)| (name, text::elide(&text::plain(&value), 600)))
            .collect();
        let short =
            facts.iter().filter(|(name, _)| ["Machine", "CPU", "Memory"].contains(&&**name));
        let short = short.map(|(_, value)| text::elide(value, WIDEST));
        let device = short.collect::<Vec<_>>().join(" · ");
        Part {
            id: id.to_owned(),
            title: title.to_owned(),
            device,
            // The commit stands in the device card.
            subtitle: text::plain(&format!(
                "{}, by {}, seed {}",
                view.run.started_at,
                view.run.program.split(" (").next().unwrap_or_default(),
                view.run.seed
            )),
            facts,
            fitness: Fitness::new(view),
            warnings: summary::warnings(view).iter().map(|w| text::plain(w)).collect(),
            headline,
            notes: notes.iter().map(|note| Prose::plain(note)).collect(),
            sections: sections::of(run, id),
        }
    }
}

impl Chart {
    /// Of a plot, with the numbers behind it.
    pub fn new(plot: &Plot, data: Option<Grid>) -> Chart {
        Chart { title: plot.title.clone(), svg: slim(&plot.svg), data, is_folded: false }
    }
}

/// The drawing without what says nothing within a page. A name in it that holds one of these to the letter
/// loses it.
fn slim(svg: &str) -> String {
    let idle = [
        " opacity=\"1\"",
        " stroke=\"none\"",
        " font-family=\"sans-serif\"",
        " xmlns=\"http://www.w3.org/2000/svg\"",
    ];
    idle.iter().fold(svg.to_owned(), |svg, attribute| svg.replace(attribute, ""))
}
