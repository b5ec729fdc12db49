//! `slmbench run`: from a suite to a folder with records, table, CSV and plots.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::conduct::{self, Conduct, Rest};
use super::engines::{self, EngineEntry};
use super::exit::{Ending, Exit, Failure};
use super::measuring::{Measuring, lock_machine, quoted, watch_signals};
use super::preparing::{Preparing, UserFiles};
use super::probing::is_scripted;
use super::select::{Select, between};
use super::until::Until;
use super::{expected, files, judging, print, report, resume};
use crate::model::{Catalogue, CatalogueModel};
use crate::plan::{self, Cell, Facts, ModelFile, Plan, PlannedCell, Selection, SpeedGuess};
use crate::record::{Journal, Outcome, PROGRAM, RECORD_FORMAT, RunInfo, read_journal};
use crate::report::{Align, Column, Narrow, Table, count};
use crate::runner::{self, FolderError, Lock, RunFolder};
use crate::sensors::{self, HostFacts, PowerSource, Root};
use crate::settings::{Capabilities, Gate, ProbeWhen};
use crate::suite::{self, DeviceSpec, Source, Suite};
use crate::synth;

const EXAMPLES: &str = "Examples:
  slmbench run                                        the suite `quick`: two models, two minutes
  slmbench run survey --model 'Qwen*' --label laptop  part of a suite, under this device's name
  slmbench run -m model.gguf -p 512 -n 128 -d 0,4096  a file of your own, at two depths
  slmbench run --model SmolLM2-135M --quant Q8_0,Q4_0 --threads 1..all --invocations 3
  slmbench run threads --dry-run                      what would be measured, in which order
  slmbench run quant --budget 5m                      as much of it as fits into five minutes
  slmbench run --resume reports/RUN                   what is missing of a run that was cut off

`slmbench list suites` tells what suites there are, docs/suites.md how to write one.";

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Suite: its name, or a file
    #[arg(default_value = suite::DEFAULT_SUITE)]
    suite: String,
    #[command(flatten)]
    pub(super) select: Select,
    /// Continue the run in this folder: only what is missing
    #[arg(long, value_name = "DIR", conflicts_with_all = Select::NOT_WITH_RESUME,
        help_heading = conduct::HEADING)]
    resume: Option<PathBuf>,
    /// Continue although program or engines have changed
    #[arg(long, requires = "resume", help_heading = conduct::HEADING)]
    force: bool,
    /// Add invocations until every interval is this narrow to either side: 2%
    #[arg(long, value_name = "SHARE", value_parser = half_width, allow_hyphen_values = true,
        help_heading = conduct::HEADING)]
    until: Option<f64>,
    /// With --until, invocations of a cell at the most
    #[arg(long, value_name = "N", default_value_t = 20, requires = "until", value_parser = between::<3, 10_000>,
        allow_negative_numbers = true,
        help_heading = conduct::HEADING)]
    max_invocations: u32,
    #[command(flatten)]
    conduct: Conduct,
}

/// Measures.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let until = arguments.until.map(|share| Until { share, most: arguments.max_invocations });
    let setting = |suite: Option<&Suite>| {
        let setting = Setting::new(&arguments.select, &arguments.conduct, suite)?;
        Ok::<_, Failure>(Setting { until, ..setting })
    };
    match &arguments.resume {
        Some(folder) => {
            RunFolder::open(folder).or_usage()?;
            setting(None)?.continue_run(folder, arguments.force)
        }
        None => {
            let found = find_suite(&arguments.suite)?;
            let suite = suite::parse(&found.text, &found.shown).or_usage()?;
            setting(Some(&suite))?.begin_run(&suite, &found.source.to_string())
        }
    }
}

/// `2%` → 0.02: half of an interval, as a share of the value it stands around.
fn half_width(text: &str) -> Result<f64, String> {
    judging::share(text)
        .ok()
        .filter(|share| *share < 1.0)
        .ok_or_else(|| "expected a share such as 2%, above 0% and below 100%".to_owned())
}

/// What is to be measured, laid out for this machine.
pub(super) struct LaidOut {
    /// The work.
    pub plan: Plan,
    /// The run that it is, nothing of which has been measured.
    pub info: RunInfo,
    /// What is known of this machine.
    pub device: Option<DeviceSpec>,
    /// Models that can be made.
    pub catalogue: Catalogue,
    /// What the engines can do.
    pub engines: Vec<EngineEntry>,
}

/// What a run starts from, new or continued.
pub(super) struct Setting<'a> {
    select: &'a Select,
    conduct: &'a Conduct,
    /// The machine.
    pub root: Root,
    host: HostFacts,
    cache: synth::Cache,
    /// Files named by `-m`.
    pub named_files: Vec<ModelFile>,
    /// Those, and every other file that cells have their weights from.
    pub user_files: UserFiles,
    /// Set when the user wants to stop.
    pub interrupted: Arc<AtomicBool>,
    /// Whether invocations are added until intervals are narrow.
    until: Option<Until>,
    /// The machine to itself.
    _alone: Option<Lock>,
}

impl<'a> Setting<'a> {
    /// Has the machine to itself, and looks at it and at the user's files. What can be told to be wrong
    /// without reading much is told before another run is waited for: `suite` is what will be measured,
    /// where nothing is continued.
    pub fn new(
        select: &'a Select,
        conduct: &'a Conduct,
        suite: Option<&Suite>,
    ) -> Result<Setting<'a>, Failure> {
        conduct.rest.check()?;
        if let Some(out) = &conduct.out {
            check_free(out)?;
        }
        let selection = select.selection(Vec::new())?;
        if !select.model_files.is_empty()
            && selection.models.is_none()
            && selection.quants.is_some()
        {
            return Err("--quant is for models by name: the types of a file are what they are\n\
                 hint: leave it out, or name models with --model as well")
            .or_usage();
        }
        for path in &select.model_files {
            files::check_is_gguf(path)?;
        }
        let catalogue = files::catalogue(conduct.files.models.as_deref())?.0;
        files::devices(conduct.devices.as_deref())?;
        if let Some(suite) = suite {
            // Files stand in the place of the suite's models.
            let models = selection.models.clone();
            let no_models = (!select.model_files.is_empty()).then(Vec::new);
            let selection = Selection { models: models.or(no_models), ..selection };
            plan::named_models(suite, &selection, &catalogue).or_usage()?;
        }
        let interrupted = watch_signals()?;
        // Reading files and asking engines would disturb another run as much as measuring.
        let _alone = match conduct.dry_run {
            true => None,
            false => Some(lock_machine(&conduct.when_busy, &interrupted)?),
        };
        let cache = match &conduct.cache_dir {
            Some(folder) => synth::Cache::new(folder),
            None => synth::Cache::of_user().or_usage()?,
        };
        let mut user_files = UserFiles::default();
        for path in &select.model_files {
            user_files.push(files::model_file(path)?);
        }
        let root = files::machine();
        let host = sensors::host_facts(&root);
        let named_files = user_files.files.clone();
        Ok(Setting {
            select,
            conduct,
            root,
            host,
            cache,
            named_files,
            user_files,
            interrupted,
            until: None,
            _alone,
        })
    }

    /// Measures a suite that comes from `source`.
    pub fn begin_run(mut self, suite: &Suite, source: &str) -> Result<Exit, Failure> {
        let arguments = self.conduct;
        let selection = self.select.selection(self.named_files.clone())?;
        let program = runner::own_executable().or_usage()?;
        let laid = self.lay_out(suite, source, &selection, &program)?;
        if !arguments.quiet {
            announced(&laid.plan, &laid.engines).iter().for_each(|line| eprintln!("{line}"));
        }
        if arguments.dry_run {
            show_plan(&laid.plan)?;
            return Ok(Exit::Done);
        }
        let folder = RunFolder::create(&self.out(&suite.name)).map_err(folder_failure)?;
        let _writing = folder.lock().map_err(folder_failure)?;
        folder.write_info(&laid.info).or_unwritable()?;
        note_skipped(&folder, &laid.plan)?;
        let steps = laid.info.order.clone();
        let preparing = self.preparing(&laid.catalogue, &laid.engines, program);
        self.measuring(laid.device, preparing).go(&folder, laid.info, &steps, &[])
    }

    /// The folder for the results: as named, or a new one.
    pub fn out(&self, name: &str) -> PathBuf {
        self.conduct.out.clone().unwrap_or_else(|| {
            let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
            Path::new("reports").join(format!("{stamp}-{name}"))
        })
    }

    /// Lays out what is to be measured by `program`, this one or another build of it.
    pub fn lay_out(
        &mut self,
        suite: &Suite,
        source: &str,
        selection: &Selection,
        program: &Path,
    ) -> Result<LaidOut, Failure> {
        let arguments = self.conduct;
        let here = files::working_dir()?;
        let (catalogue, models_source) = files::catalogue(arguments.files.models.as_deref())?;
        let (device, devices_source) = files::device(arguments.devices.as_deref(), &self.host)?;
        let named = plan::named_models(suite, selection, &catalogue).or_usage()?;
        let model_files = self.open(&named)?;
        let words: Vec<String> = plan::engine_words(suite, selection).into_iter().collect();
        let entries = engines::ask(program, &words)?;

        let facts = Facts {
            catalogue: &catalogue,
            files: model_files,
            engines: capabilities(&entries),
            memory_available_bytes: match arguments.ignore_memory {
                true => None,
                false => sensors::memory_available(&self.root),
            },
            cpus_refused: self.cpus_refused(suite, selection),
            n_cpus: self.host.n_cpus,
            n_cores: self.host.n_cores,
            huge_pages: self.host.grants_huge_pages(),
            earlier: resume::earlier_costs(&here.join("reports"), &self.host),
            expected: expected::costs(
                &here.join("reports"),
                &self.host,
                &entries,
                self.auto_threads(),
            ),
            guess: SpeedGuess::default(),
        };
        let plan = plan::lay_out(suite, selection, &facts).or_usage()?;
        let info = RunInfo {
            format: RECORD_FORMAT,
            program: PROGRAM.to_owned(),
            suite: plan.suite.clone(),
            sources: BTreeMap::from([
                ("suite".to_owned(), source.to_owned()),
                ("models".to_owned(), models_source),
                ("devices".to_owned(), devices_source),
            ]),
            label: arguments.label.clone(),
            command: command_line(),
            seed: plan.seed,
            started_at: runner::utc_now(),
            host: self.host.clone(),
            device: device.as_ref().map(|device| device.name.clone()),
            engines: entries.iter().filter_map(|entry| entry.info.clone()).collect(),
            cells: plan.cells.iter().map(|planned| planned.cell.clone()).collect(),
            order: plan.order.iter().map(|step| (step.cell, step.invocation)).collect(),
            sensing: None,
            ambient: arguments.rest.ambient()?,
            gate: gate(suite, source, &plan.cells, &arguments.rest),
            probing: probing(arguments.probe.unwrap_or(suite.probe), &plan.cells),
            probe: None,
            cost: None,
        };
        Ok(LaidOut { plan, info, device, catalogue, engines: entries })
    }

    fn continue_run(mut self, path: &Path, force: bool) -> Result<Exit, Failure> {
        let arguments = self.conduct;
        let (folder, info) = RunFolder::open(path).or_usage()?;
        let _writing = folder.lock().map_err(folder_failure)?;
        let records = match read_journal(&folder.journal()) {
            Err(_) if !folder.journal().exists() => Vec::new(),
            records => records.or_usage()?,
        };
        let words: BTreeSet<String> = info.cells.iter().map(|cell| cell.engine.clone()).collect();
        let program = runner::own_executable().or_usage()?;
        let entries = engines::ask(&program, &words.into_iter().collect::<Vec<_>>())?;
        let (catalogue, _) = files::catalogue(arguments.files.models.as_deref())?;
        let (device, _) = files::device(arguments.devices.as_deref(), &self.host)?;
        resume::check_same_program(&info, &entries, force)?;
        self.open(&resume::models_that_are_files(&info.cells, &catalogue, &self.user_files))?;
        resume::check_models(&info.cells, &catalogue, &self.user_files)?;
        let left = resume::left(&info, &records);
        if !arguments.quiet {
            eprintln!("{} of {} invocations are left", left.len(), info.order.len());
        }
        let preparing = self.preparing(&catalogue, &entries, program);
        self.measuring(device, preparing).go(&folder, info, &left, &records)
    }

    /// Opens those of `models` that are files, and has them among the user's files from then on.
    fn open(&mut self, models: &[&CatalogueModel]) -> Result<BTreeMap<String, ModelFile>, Failure> {
        let Conduct { files, quiet, .. } = self.conduct;
        let mut opened = BTreeMap::new();
        for (model, path) in files.find(models, *quiet, &self.interrupted)? {
            let (file, identity) = files::model_file(&path)?;
            let file = ModelFile { label: model.name.clone(), ..file };
            opened.insert(model.name.clone(), file.clone());
            self.user_files.push((file, identity));
        }
        Ok(opened)
    }

    fn measuring<'m>(
        &'m self,
        device: Option<DeviceSpec>,
        preparing: Preparing<'m>,
    ) -> Measuring<'m> {
        Measuring {
            select: self.select,
            conduct: self.conduct,
            root: &self.root,
            device,
            preparing,
            until: self.until,
            interrupted: self.interrupted.clone(),
        }
    }

    /// Where the models of `program` come from.
    pub fn preparing<'m>(
        &'m self,
        catalogue: &'m Catalogue,
        engines: &'m [EngineEntry],
        program: PathBuf,
    ) -> Preparing<'m> {
        Preparing {
            program,
            root: &self.root,
            huge_pages: self.host.grants_huge_pages(),
            catalogue,
            user_files: &self.user_files,
            engines,
            cache: self.cache.clone(),
            interrupted: self.interrupted.clone(),
            planned: RefCell::default(),
        }
    }

    /// What `n_threads = "auto"` stands for where a cell has all CPUs.
    fn auto_threads(&self) -> u32 {
        sensors::auto_threads(&self.root, &sensors::allowed_cpus())
    }

    /// Values of `cpus` that this process cannot have.
    fn cpus_refused(&self, suite: &Suite, selection: &Selection) -> BTreeMap<String, String> {
        let allowed = sensors::allowed_cpus();
        let named = suite.matrices.iter().flat_map(|matrix| &matrix.axes.cpus);
        named
            .chain(selection.cpus.iter().flatten())
            .filter_map(|word| {
                let refusal = sensors::cpus_named(&self.root, word, &allowed).err()?;
                Some((word.clone(), refusal))
            })
            .collect()
    }
}

/// The suite that a word means. The commonest mistakes are a model or a file in a suite's place.
pub(super) fn find_suite(word: &str) -> Result<suite::Found, Failure> {
    let here = files::working_dir()?;
    let path = here.join(word);
    let shown = quoted(&word);
    let is_gguf = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf"));
    if is_gguf || files::is_gguf(&path) {
        return Err(format!(
            "{word} is no suite but a model file\nhint: did you mean `-m {shown}`?"
        ))
        .or_usage();
    }
    suite::find(word, &here)
        .map_err(|error| {
            let is_unknown = matches!(error, suite::FindError::UnknownSuite { nearest: None, .. });
            let model = is_unknown.then(|| files::catalogue(None).ok()).flatten();
            match model.as_ref().map(|(catalogue, _)| catalogue.find(word)) {
                Some(Ok(model)) => format!(
                    "{word} is no suite but a model\nhint: did you mean `--model {}`?",
                    quoted(&model.name)
                ),
                _ => error.to_string(),
            }
        })
        .or_usage()
}

/// Refuses a folder for results that holds some already.
fn check_free(out: &Path) -> Result<(), Failure> {
    if out.join("trial.json").exists() {
        let shown = out.display();
        return Err(format!(
            "{shown} holds a trial already\n\
             hint: `slmbench ab --resume {shown}` continues it; --out names another folder"
        ))
        .or_usage();
    }
    RunFolder::check_free(out).map_err(folder_failure)
}

/// How the machine comes to rest. A scripted engine heats nothing: for it alone nobody waits unless
/// a suite of the user's asks for it.
fn gate(suite: &Suite, source: &str, cells: &[PlannedCell], rest: &Rest) -> Option<Gate> {
    let all_scripted = all_scripted(cells);
    let asked = suite.gate.filter(|_| !all_scripted || source != Source::BuiltIn.to_string());
    asked.or((!all_scripted).then(Gate::default)).filter(|_| !rest.no_gate)
}

/// When ceilings are probed. A scripted engine reads and computes nothing.
fn probing(asked: ProbeWhen, cells: &[PlannedCell]) -> Option<ProbeWhen> {
    Some(asked).filter(|when| *when != ProbeWhen::Off && !all_scripted(cells))
}

fn all_scripted(cells: &[PlannedCell]) -> bool {
    cells.iter().all(|planned| is_scripted(&planned.cell.engine))
}

fn capabilities(entries: &[EngineEntry]) -> BTreeMap<String, Result<Capabilities, String>> {
    let known = |entry: &EngineEntry| match (&entry.capabilities, &entry.missing) {
        (Some(capabilities), _) => Ok(capabilities.clone()),
        (None, missing) => Err(missing.clone().unwrap_or_default()),
    };
    entries.iter().map(|entry| (entry.word.clone(), known(entry))).collect()
}

pub(super) fn folder_failure(error: FolderError) -> Failure {
    let exit = match error {
        FolderError::Io { .. } => Exit::Unwritable,
        _ => Exit::Usage,
    };
    Failure::new(exit, &error)
}

/// Planned skips are records too: a reader of the journal sees the whole matrix.
fn note_skipped(folder: &RunFolder, plan: &Plan) -> Result<(), Failure> {
    let mut journal = Journal::open(&folder.journal()).or_unwritable()?;
    for (cell, reason) in &plan.skipped {
        let outcome = Outcome::Skipped { reason: reason.clone() };
        journal.append(&runner::bare_record(cell, 0, outcome)).or_unwritable()?;
    }
    Ok(())
}

/// What a person should know before the run begins, line by line.
pub(super) fn announced(plan: &Plan, entries: &[EngineEntry]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for note in &plan.notes {
        lines.push(match note.starts_with("hint: ") {
            true => note.clone(),
            false => format!("note: {note}"),
        });
    }
    for entry in entries {
        if let Some(why) = entry.info.as_ref().and_then(|info| info.below_machine.as_ref()) {
            let word = &entry.word;
            lines.push(format!("warning: {word}: {why}; its figures are marked below_machine"));
        }
    }
    // One line for each reason, not for each cell.
    let mut reasons: BTreeMap<&str, Vec<&Cell>> = BTreeMap::new();
    for (cell, reason) in &plan.skipped {
        reasons.entry(reason).or_default().push(cell);
    }
    for (reason, cells) in reasons {
        let cell = cells[0];
        let what = match cells.len() {
            1 => format!("{} {} {} {}", cell.engine, cell.model, cell.quant, cell.test()),
            n => format!("{n} cells"),
        };
        lines.push(format!("skipped: {what}: {reason}"));
    }
    lines
}

/// Invocations of the order that are shown.
const SHOWN_STEPS: usize = 6;

pub(super) fn show_plan(plan: &Plan) -> Result<(), Failure> {
    let described = plan.describe();
    let numbers = ["bpw", "weights", "KV", "invocations", "repetitions", "time"];
    let column = |name: &&str| match *name {
        "types by bytes" => Column::new(*name, Align::Left).narrow(Narrow::Drop(0)),
        name if numbers.contains(&name) => Column::new(name, Align::Right),
        name => Column::new(name, Align::Left),
    };
    let mut table = Table::new(described.header.iter().map(column).collect());
    described.rows.into_iter().for_each(|row| table.push(row));
    print(&table.to_text(report::terminal_width()))?;
    let order: Vec<&str> =
        plan.order.iter().map(|&step| plan.cell(step).cell.id.0.as_str()).collect();
    let first = order[..order.len().min(SHOWN_STEPS)].join(" ");
    let n_more = order.len().saturating_sub(SHOWN_STEPS);
    print(&format!(
        "\n{}, in an order of chance (seed {}): {first}{}\n",
        count(order.len(), "invocation"),
        plan.seed,
        if n_more > 0 { format!(" and {n_more} more") } else { String::new() }
    ))?;
    print(&match (plan.estimate(), plan.guess()) {
        (Some(time), _) if plan.is_expected() => {
            format!(
                "time: about {time} (~: never measured here, expected from the probe of a run)\n"
            )
        }
        (Some(time), _) => format!("time: about {time}\n"),
        (None, Some(time)) => format!(
            "time: about {time}, guessed from the models' size (not all of it was measured here \
             before)\n"
        ),
        (None, None) => {
            "time: unknown (not every cell was measured on this machine before)\n".to_owned()
        }
    })
}

/// The command as typed, without the folders in it: reports get passed around.
pub(super) fn command_line() -> String {
    let mut meter_follows = false;
    let words = std::env::args_os().skip(1).map(|word| {
        let word = word.to_string_lossy().into_owned();
        // A meter's command may hold names and secrets.
        let (option, meter) = match (word.split_once('='), meter_follows) {
            (Some((option @ "--power-source", meter)), _) => (format!("{option}="), Some(meter)),
            (_, true) => (String::new(), Some(word.as_str())),
            _ => (String::new(), None),
        };
        meter_follows = word == "--power-source";
        match meter {
            Some(meter) => {
                let source = PowerSource::parse(meter).map(|meter| meter.channel().source);
                quoted(&format!("{option}{}", source.unwrap_or_default()))
            }
            None => quoted(&without_folders(&word)),
        }
    });
    std::iter::once("slmbench".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// `--out=/home/me/x` → `--out=x`, `-m/home/me/f.gguf` → `-mf.gguf`, `../me/f.gguf` → `f.gguf`.
fn without_folders(word: &str) -> String {
    if !word.contains('/') {
        return word.to_owned();
    }
    let (option, value) = match (word.split_once('='), word.strip_prefix('-')) {
        (Some((option, value)), Some(_)) if !option.contains('/') => (format!("{option}="), value),
        (_, Some(short)) if !short.starts_with('-') => {
            let letter = short.chars().next().map_or(0, char::len_utf8);
            (format!("-{}", &short[..letter]), &short[letter..])
        }
        _ => (String::new(), word),
    };
    let name = value.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    format!("{option}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_stays_in_the_command_that_is_kept() {
        for (typed, kept) in [
            ("--out=/home/me/x", "--out=x"),
            ("-m/home/me/f.gguf", "-mf.gguf"),
            ("../me/f.gguf", "f.gguf"),
            ("~/out/", "out"),
            ("quant=Q4_*", "quant=Q4_*"),
            ("--quant", "--quant"),
        ] {
            assert_eq!(without_folders(typed), kept);
        }
    }
}
