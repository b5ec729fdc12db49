//! `summary.md`: what was measured on what, the numbers, the warnings. Markdown as GitHub reads it, fit to
//! be put under a pull request: what matters first, the rest to be unfolded.

use std::io::{self, Write};
use std::path::PathBuf;

use super::table::Table;
use super::text::{self, markdown as md};
use super::view::ReportView;
use super::{ceilings, energy, memory, profile, results, soak};
use crate::record::Mark;
use crate::stats::MIN_INVOCATIONS;
use crate::units::{Bytes, Nanos};

/// Rows of a table at most: GitHub takes comments of up to 65,536 characters.
const MOST_ROWS: usize = 60;

/// What stands below the table of times.
pub const LATENCY_NOTE: &str = "TTFT: prompt handed over to first token chosen, no tokenising in it. TPOT: mean time per token \
     after the first. ITL: gap between neighbouring tokens. n: invocations that finished.";

/// What stands below the table of memory.
pub const MEMORY_NOTE: &str = "Predicted: before it ran, by the engine or by formula. Allocated: what the engine says it took. \
     Resident: what of it is in memory at the peak, as far as it can be told; process: before the \
     model was opened; unaccounted: what of the peak none of these explains, below zero where they \
     explain more than there was. Of invocations that finished the one with the largest peak is \
     shown.";

/// What stands below the table of speeds.
pub const THROUGHPUT_NOTE: &str = "`pp` is prefill, `tg` is decode, the number behind it how many tokens, `@ d` how many were in \
     the KV cache before. Values are geometric means of the medians of the invocations; intervals \
     cover 95 %, by Student's t on logarithms over invocations. `bpw` is effective bits per weight: \
     8 × bytes of all tensors ÷ unique parameters. The types by bytes say what a quantisation's name \
     stands for; types below half a percent are left out.";

/// What stands below the table of sustained runs.
pub const SUSTAINED_NOTE: &str = "The first pass does not count. Burst: median of the first three windows. Sustained: median of \
     the last fifth, at least twelve windows, with an interval for windows that resemble their \
     neighbours. Kept: sustained ÷ burst. τ: time constant. A slowdown is told only where a curve \
     explains the windows much better than a level that wanders; it is called throttled only where a \
     flag, a cap, a cooling state or the clock confirms it. `docs/soak-analysis.md` has the rules, \
     `soak.csv` the series.";

/// What stands below the tables of profiles.
pub const PROFILE_NOTE: &str = "Taken in passes of its own, never in those whose times are reported. Rows add up to the whole; \
     `other` belongs to no operation. Bytes are weights, KV cache and activations, operations of \
     anything but products and attention nominal. Of ceiling: the least time that the row's bytes or \
     operations would take on this device ÷ the time they took. `docs/profile.md` has the rules, \
     `profile.csv` every operation of every layer, `trace-*.json` some calls for Perfetto or \
     speedscope.";

/// Writes the summary; `errors` are those of predictions, `plots` the plots' paths, relative to it, with
/// what they show.
pub fn write_summary(
    view: &ReportView,
    errors: Option<&Table>,
    plots: &[(PathBuf, String)],
    out: &mut dyn Write,
) -> io::Result<()> {
    let run = view.run;
    writeln!(out, "# {} on {}\n", md(&run.suite), md(&view.device()))?;
    let facts = facts(view);
    let first = |name: &str| facts.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let line: Vec<&str> = ["Measured", "CPU", "Memory"].into_iter().filter_map(first).collect();
    writeln!(out, "{}.\n", md(&line.join("; ")))?;
    let warnings = warnings(view);
    if !warnings.is_empty() {
        writeln!(out, "> [!WARNING]")?;
        for warning in warnings {
            writeln!(out, "> - {}", md(&warning))?;
        }
        writeln!(out)?;
    }

    sustained(view, out)?;
    profiles(view, out)?;
    if !view.cells.is_empty() {
        throughput(view, out)?;
    }
    unfinished(view, out)?;
    let device: Vec<String> =
        facts.iter().map(|(name, value)| format!("- {name}: {}\n", md(value))).collect();
    folded("Device and program", &device.concat(), out)?;
    if view.cells.iter().any(|c| c.outcome.finished()) {
        let table = cut(&results::latencies(view));
        folded("Latency and load", &format!("{table}\n{LATENCY_NOTE}\n"), out)?;
    }
    if let Some(table) = energy::table(view) {
        folded("Energy", &format!("{}\n{}\n", cut(&table), energy::NOTE), out)?;
    }
    if let Some(table) = errors {
        let note = "Predicted: from the probe and the shape alone, by the built-in coefficients \
             (`docs/predict.md`). Error: of tokens per second, above zero where less was measured; aim: \
             within 30 % in prefill, 20 % in decode. Every cell is in `predicted.csv`.";
        folded("Predicted against measured", &format!("{}\n{note}\n", table.to_markdown()), out)?;
    }
    if let Some(table) = memory::table(view) {
        folded("Memory", &format!("{}\n{MEMORY_NOTE}\n", cut(&table)), out)?;
    }
    let shown = plots.iter().map(|(path, title)| {
        let path = path.to_string_lossy().replace('\\', "/");
        format!("![{}]({path})\n", md(title))
    });
    if !plots.is_empty() {
        let note =
            "They show where this file lies beside them; `report.html` holds them itself.\n\n";
        folded("Plots", &(note.to_owned() + &shown.collect::<Vec<_>>().join("\n")), out)?;
    }
    writeln!(out, "## Again\n\n{}", code_block(&run.command))?;
    writeln!(
        out,
        "Everything on one page: `report.html`. All numbers: `cells.csv` (a row per cell), \
         `samples.csv` (per repetition), `tokens.csv` (per token), `records.jsonl` (everything). `slmbench report` makes this folder's tables \
         and plots anew from `records.jsonl`."
    )
}

/// A table as long as a comment under a pull request can bear.
fn cut(table: &Table) -> String {
    table.to_markdown_up_to(MOST_ROWS, "`report.html` and `cells.csv` have all")
}

/// Something to be unfolded. The empty lines are what has it read as Markdown.
fn folded(title: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<details><summary>{title}</summary>\n\n{text}\n</details>\n")
}

fn throughput(view: &ReportView, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "## Throughput\n\n{}", cut(&results::results(view)))?;
    for note in [results::range_note(view), ceilings::note(view)].into_iter().flatten() {
        writeln!(out, "{}\n", md(&note))?;
    }
    writeln!(out, "{THROUGHPUT_NOTE}\n")
}

fn sustained(view: &ReportView, out: &mut dyn Write) -> io::Result<()> {
    if view.soaks.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Sustained speed\n\n{}", soak::markdown(&view.soaks))?;
    writeln!(out, "{SUSTAINED_NOTE}\n")
}

fn profiles(view: &ReportView, out: &mut dyn Write) -> io::Result<()> {
    if view.profiles.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Where the time goes\n\n{}", profile::markdown(&view.profiles))?;
    writeln!(out, "{PROFILE_NOTE}\n")
}

/// What was measured on what: names with their values.
pub fn facts(view: &ReportView) -> Vec<(String, String)> {
    let (run, host) = (view.run, &view.run.host);
    let mut memory = Bytes(host.memory_bytes).to_string();
    if let Some(limit) = host.memory_limit_bytes {
        memory.push_str(&format!(", limited to {}", Bytes(limit)));
    }
    let mut cpu = format!(
        "{} ({}), {}, {}",
        if host.cpu.is_empty() { "unknown" } else { &host.cpu },
        host.cpu_arch,
        text::count(host.n_cores as usize, "core"),
        text::count(host.n_cpus as usize, "CPU"),
    );
    if let Some(clock) = host.clock_max {
        cpu.push_str(&format!(", up to {clock}"));
    }
    if let Some(governor) = &host.governor {
        cpu.push_str(&format!(", governor {governor}"));
    }
    let mut system = format!("{}, kernel {}", host.os, host.kernel);
    if host.virtualised == Some(true) {
        system.push_str(", virtualised");
    }
    let finished = view.cells.iter().filter(|c| c.outcome.finished()).count();
    let mut measured = Vec::new();
    if !view.cells.is_empty() {
        measured.push(format!("{finished} of {} finished", text::count(view.cells.len(), "cell")));
    }
    if !view.soaks.is_empty() {
        measured.push(text::count(view.soaks.len(), "sustained run"));
    }
    if !view.profiles.is_empty() {
        measured.push(text::count(view.profiles.len(), "profile"));
    }
    measured.push(format!("{} planned", text::count(run.order.len(), "invocation")));
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    fact("Measured", measured.join(", "));
    if let Some(machine) = &host.machine {
        fact("Machine", machine.clone());
    }
    fact("CPU", cpu);
    fact("Memory", memory);
    if let Some(ceilings) = run.probe.as_ref().and_then(ceilings::in_words) {
        fact("Ceilings", ceilings);
    }
    fact("System", system);
    for engine in &run.engines {
        let build = [&engine.build, &engine.system].map(String::as_str);
        let build = build.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join("; ");
        let open = if build.is_empty() { String::new() } else { format!(" ({build})") };
        fact("Engine", format!("{} {}{open}", engine.name, engine.version));
    }
    fact("Program", run.program.clone());
    let sources: Vec<String> =
        run.sources.iter().map(|(what, whence)| format!("{what}: {whence}")).collect();
    if !sources.is_empty() {
        fact("Sources", sources.join(", "));
    }
    fact("Started", format!("{}, seed {}", run.started_at, run.seed));
    if let Some(cost) = &run.cost {
        let share = format!("{:.2} %", 100.0 * cost.parent_cpu_share);
        fact(
            "Took",
            format!("{}; the measuring program itself used {share} of a core", Nanos(cost.wall_ns)),
        );
    }
    facts
}

/// What has to be known before any number is believed.
pub fn warnings(view: &ReportView) -> Vec<String> {
    let mut warnings = Vec::new();
    for (engine, why) in results::below_machine(view) {
        warnings.push(format!("{engine} is slower than this machine allows: {why}."));
    }
    let marked = view.marked();
    for (mark, n) in marked.into_iter().filter(|(mark, _)| *mark != Mark::BelowMachine) {
        let all = text::count(view.n_cells(), "cell");
        let word = mark.word().replace('_', " ");
        warnings.push(format!("{n} of {all} {word}: {}.", results::meaning(mark)));
    }
    let failed = view.cells.iter().filter(|c| c.outcome.any_failed()).count()
        + view.soaks.iter().filter(|soak| soak.trouble.is_some()).count();
    if failed > 0 {
        let cells = text::count(failed, "cell");
        warnings.push(format!("{cells} with invocations that did not finish: see below."));
    }
    let open = view.cells.iter().filter(|c| c.records.len() < c.outcome.planned).count();
    if open > 0 {
        let cells = text::count(open, "cell");
        warnings.push(format!("The run is not complete: {cells} still lack invocations."));
    }
    if view.finished_invocations().is_some_and(|(fewest, _)| fewest < MIN_INVOCATIONS) {
        warnings.push(format!(
            "Fewer than {MIN_INVOCATIONS} invocations for some cells: their numbers carry no \
             interval."
        ));
    }
    warnings
}

fn unfinished(view: &ReportView, out: &mut dyn Write) -> io::Result<()> {
    let mut cells = view.cells.iter().filter(|c| c.outcome.reason.is_some()).peekable();
    if cells.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "## Not finished\n")?;
    for cell in cells.by_ref().take(MOST_ROWS) {
        let Some(reason) = &cell.outcome.reason else { continue };
        write!(out, "- {}: ", md(&results::name(cell)))?;
        write!(out, "{}: {}", results::share(cell), md(&reason.text))?;
        if let Some(log) = &reason.log {
            write!(out, " (log: {})", md(log))?;
        }
        writeln!(out)?;
    }
    match cells.count() {
        0 => writeln!(out),
        more => writeln!(out, "- and {more} more, in `report.html`\n"),
    }
}

/// A fenced block that no run of backticks inside can end.
fn code_block(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sh\n{}\n{fence}\n", text::plain(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Fixture};

    fn summary(fixture: &Fixture) -> String {
        let mut out = Vec::new();
        let plots = [(PathBuf::from("plots/decode.svg"), "Decode".to_owned())];
        let view = ReportView::new(&fixture.run, &fixture.records);
        write_summary(&view, None, &plots, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_summary_is_as_it_was() {
        insta::assert_snapshot!(summary(&fixture::matrix(3)));
    }

    #[test]
    fn the_summary_of_a_run_with_mishaps_warns_and_says_why() {
        insta::assert_snapshot!(summary(&fixture::mishaps()));
    }

    #[test]
    fn the_summary_of_a_probed_run_tells_the_ceilings_and_what_was_used_of_them() {
        let text = summary(&fixture::probed(3));
        let ceilings = "- Ceilings: 4 threads: 17.00 GB/s from memory, int8 230.0 Gop/s, ";
        assert!(text.contains(ceilings), "{text}");
        assert!(text.contains("of device: decode used 50 to 80 % of memory bandwidth"), "{text}");
        assert!(text.contains("| 41 % peak |") && text.contains("| 80 % mem |"), "{text}");
    }

    #[test]
    fn names_of_strangers_bring_no_markup_into_the_summary() {
        let text = summary(&fixture::mishaps());
        assert!(!text.contains("<script") && !text.contains("<b>"), "{text}");
        assert!(!text.lines().any(|line| line == "# boo"), "{text}");
    }

    #[test]
    fn a_command_with_backticks_stays_inside_its_block() {
        assert_eq!(code_block("run -m '```x'"), "````sh\nrun -m '```x'\n````\n");
    }
}
