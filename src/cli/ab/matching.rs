//! Which cells of two sides belong together, and which a side has alone.

use std::collections::BTreeMap;

use crate::cli::exit::{Ending, Failure};
use crate::compare::{Words, what};
use crate::plan::{Cell, CellId, Plan};

/// The cells of two sides.
#[derive(Debug)]
pub struct Matched {
    /// That of the baseline and that of the candidate.
    pub cells: Vec<(CellId, CellId)>,
    /// What only the baseline measures, and why the candidate does not.
    pub only_a: Vec<String>,
    /// What only the candidate measures, and why the baseline does not.
    pub only_b: Vec<String>,
}

/// The cells that belong together: equal but for what the sides set.
pub fn matched(a: &Plan, b: &Plan, sets: &[&str]) -> Result<Matched, Failure> {
    let key = |cell: &Cell| -> Words {
        let mut words = what(cell);
        words.retain(|name, _| !sets.contains(&name.as_str()));
        words
    };
    let (of_a, of_b) = (by_key("--a", a, &key)?, by_key("--b", b, &key)?);
    let alone = |of: &BTreeMap<Words, &Cell>, others: &BTreeMap<Words, &Cell>, plan: &Plan| {
        let lonely = of.iter().filter(|(key, _)| !others.contains_key(*key));
        let why = |words: &Words| {
            let skipped = plan.skipped.iter().find(|(cell, _)| key(cell) == *words);
            skipped.map_or(String::new(), |(_, reason)| format!(": the other side: {reason}"))
        };
        lonely.map(|(words, cell)| name(cell) + &why(words)).collect::<Vec<String>>()
    };
    // In the order of the suite.
    let pairs = a.cells.iter().filter_map(|planned| {
        let other = of_b.get(&key(&planned.cell)).filter(|_| planned.cell.is_timed())?;
        Some((planned.cell.id.clone(), other.id.clone()))
    });
    let found = Matched {
        cells: pairs.collect(),
        only_a: alone(&of_a, &of_b, b),
        only_b: alone(&of_b, &of_a, a),
    };
    if found.cells.is_empty() {
        let all = found.only_a.iter().chain(&found.only_b).map(|line| format!("\n  {line}"));
        return Err(format!(
            "the two sides have no cell in common{}\n\
             hint: what sets the sides apart is named by --a and --b alone",
            all.collect::<String>()
        ))
        .or_usage();
    }
    Ok(found)
}

/// The cells of a side by what they are beside what sets the sides apart. A sustained run has no
/// repetitions that could be compared.
fn by_key<'p>(
    option: &str,
    plan: &'p Plan,
    key: &dyn Fn(&Cell) -> Words,
) -> Result<BTreeMap<Words, &'p Cell>, Failure> {
    let mut found: BTreeMap<Words, &Cell> = BTreeMap::new();
    let cells = plan.cells.iter().map(|planned| &planned.cell);
    for cell in cells.filter(|cell| cell.is_timed()) {
        if let Some(twice) = found.insert(key(cell), cell) {
            return Err(format!(
                "{option}: a side is one thing, and both {} and {} are meant\n\
                 hint: name one value, or narrow the suite with --filter",
                name(twice),
                name(cell)
            ))
            .or_usage();
        }
    }
    Ok(found)
}

fn name(cell: &Cell) -> String {
    format!("{} {} {} {}", cell.model, cell.quant, cell.engine, cell.test())
}
