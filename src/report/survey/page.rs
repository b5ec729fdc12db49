//! `survey.md`: every figure with what it shows here, what the survey's showed and what differs.

use super::runs::Runs;
use super::{Figure, Missing};
use crate::report::text::markdown as md;

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
    }
    for figure in figures {
        out += &format!("\n## Figure {}: {}\n\n", figure.number, md(&figure.title));
        out += &format!("![{}]({}.svg)\n\n", md(&figure.title), figure.stem);
        for paragraph in &figure.told {
            out += &format!("{}\n\n", md(paragraph));
        }
        out += &format!("Numbers: [{0}.csv]({0}.csv)\n", figure.stem);
    }
    if !missing.is_empty() {
        out += "\n## Not drawn\n\nThese runs hold nothing for:\n\n";
    }
    for without in missing {
        let Missing { number, title, command } = without;
        out += &format!("- Figure {number}, {}: `{command}`\n", md(title));
    }
    out
}
