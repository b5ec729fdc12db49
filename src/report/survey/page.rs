//! `survey.md`: every figure with what it shows here, what the survey's showed and what differs.

use super::runs::Runs;
use super::{Figure, Missing};
use crate::report::plot::distinct;
use crate::report::text::markdown as md;
use crate::report::{results, text};

/// The page.
pub fn write(runs: &Runs, figures: &[Figure], missing: &[Missing]) -> String {
    let mut out = String::from("# The survey's figures, measured here\n\n");
    out += "The runtime figures of \"Small Language Models: Survey, Measurements, and Insights\" (Lu et \
            al., arXiv 2409.15790), in its form. Its own values stand beside them for their shape, on axes \
            of their own where they are times of another device. Points are geometric means of the medians \
            of the invocations. Each figure has a CSV of its numbers. What the survey got wrong, and how \
            this program avoids it: `docs/survey.md`.\n\n";
    for view in runs.views {
        let run = view.run;
        let host = &run.host;
        let engines: Vec<String> = run
            .engines
            .iter()
            .map(|engine| format!("{} {}", engine.name, engine.version))
            .collect();
        let line = format!(
            "{}: suite {}, {}; {}, {}",
            view.device(),
            run.suite,
            engines.join(", "),
            host.os,
            run.started_at
        );
        out += &format!("- {}\n", md(&line));
        for (engine, why) in results::below_machine(view) {
            let line = format!("{engine} is slower than this machine allows: {why}.");
            out += &format!("  - {}\n", md(&line));
        }
    }
    for figure in figures {
        out += &format!("\n## Figure {}: {}\n\n", figure.name.number, md(figure.name.title));
        out += &format!("![{}]({}.svg)\n\n", md(figure.name.title), figure.name.stem);
        for paragraph in &figure.told {
            out += &format!("{}\n\n", md(paragraph));
        }
        out += &format!("Numbers: [{0}.csv]({0}.csv)\n", figure.name.stem);
    }
    if !missing.is_empty() {
        out += "\n## Not drawn\n\nThese runs hold nothing for:\n\n";
    }
    for without in missing {
        let Missing { number, title, command } = without;
        out += &format!("- Figure {number}, {}: `{command}`\n", md(title));
    }
    out + &unfinished(runs)
}

/// Every cell of which an invocation did not finish, with the reason, and how many were not run yet.
fn unfinished(runs: &Runs) -> String {
    let mut lines = Vec::new();
    for view in runs.views {
        for cell in &view.cells {
            let Some(reason) = &cell.outcome.reason else { continue };
            lines.push(format!(
                "{}: {}: {}: {}",
                view.device(),
                results::name(cell),
                results::share(cell),
                reason.text
            ));
        }
        let open = view.cells.iter().filter(|c| c.records.len() < c.outcome.planned).count();
        if open > 0 {
            let cells = text::count(open, "cell");
            let suite = &view.run.suite;
            lines.push(format!(
                "{}: {cells} of suite {suite} still lack invocations",
                view.device()
            ));
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = distinct(lines.iter().map(|line| format!("- {}\n", md(line))));
    format!("\n## Not finished\n\n{}", lines.concat())
}
