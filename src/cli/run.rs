//! `slmbench run`: from a suite to a folder with records, table, CSV and plots.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::VERSION;
use super::engines::{self, EngineEntry};
use super::exit::{Ending, Exit, Failure};
use super::select::Select;
use super::{files, report, resume};
use crate::model::{Catalogue, FileMix, ModelIdentity, UnknownMix};
use crate::plan::{self, Cell, Facts, ModelFile, ModelSource, Plan, SpeedGuess, Weights};
use crate::record::{Journal, Outcome, RECORD_FORMAT, RunInfo, read_journal};
use crate::report::{Align, Column, Table};
use crate::runner::{
    self, Bar, ChildCommand, Lines, Lock, MachineBusy, Prepared, Request, RunFolder, Silent,
    Watcher,
};
use crate::sensors::{self, HostFacts, Root};
use crate::suite;
use crate::synth;
use crate::units::Bytes;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Suite: its name, or a file
    #[arg(default_value = suite::DEFAULT_SUITE)]
    suite: String,
    #[command(flatten)]
    select: Select,
    /// Folder for the results [default: reports/<UTC>-<suite>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What to call this device in reports
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    /// Show what would be measured, in order, with predicted memory and time
    #[arg(long)]
    dry_run: bool,
    /// Continue the run in this folder: only what is missing
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "dry_run"])]
    resume: Option<PathBuf>,
    /// Continue although program or engines have changed
    #[arg(long, requires = "resume")]
    force: bool,
    /// Folder for synthetic model files [default: the user's cache folder]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// models.toml to read
    #[arg(long, value_name = "FILE")]
    models: Option<PathBuf>,
    /// While another run measures on this machine: wait, or refuse
    #[arg(long, value_name = "WORD", default_value = "wait", value_parser = ["wait", "refuse"])]
    when_busy: String,
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

/// Measures.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let machine = Machine::this();
    let user_files = UserFiles::read(&arguments.select.model_files)?;
    match &arguments.resume {
        Some(folder) => continue_run(arguments, &machine, &user_files, folder),
        None => begin_run(arguments, &machine, &user_files),
    }
}

/// The machine, or the folder that stands for one in tests.
struct Machine {
    root: Root,
    host: HostFacts,
}

impl Machine {
    fn this() -> Machine {
        let root = std::env::var_os("SLMBENCH_ROOT").map_or_else(Root::default, Root::new);
        let host = sensors::host_facts(&root);
        Machine { root, host }
    }
}

/// GGUF files named on the command line, read once.
struct UserFiles {
    files: Vec<ModelFile>,
    identities: BTreeMap<String, ModelIdentity>,
}

impl UserFiles {
    fn read(paths: &[PathBuf]) -> Result<UserFiles, Failure> {
        let mut read = UserFiles { files: Vec::new(), identities: BTreeMap::new() };
        for path in paths {
            let (file, identity) = files::model_file(path)?;
            read.identities.insert(file.sha256.clone(), identity);
            read.files.push(file);
        }
        Ok(read)
    }
}

fn begin_run(
    arguments: &Arguments,
    machine: &Machine,
    user_files: &UserFiles,
) -> Result<Exit, Failure> {
    let here = files::working_dir()?;
    let found = suite::find(&arguments.suite, &here).or_usage()?;
    let suite = suite::parse(&found.text, &found.shown).or_usage()?;
    let (catalogue, models_source) = files::catalogue(arguments.models.as_deref())?;
    let selection = arguments.select.selection(user_files.files.clone())?;
    let entries =
        engines::ask(&plan::engine_words(&suite, &selection).into_iter().collect::<Vec<_>>())?;

    let facts = Facts {
        catalogue: &catalogue,
        engines: capabilities(&entries),
        memory_available_bytes: sensors::memory_available(&machine.root),
        n_cores: machine.host.n_cores,
        earlier: resume::earlier_costs(&here.join("reports"), &machine.host),
        guess: SpeedGuess::default(),
    };
    let plan = plan::lay_out(&suite, &selection, &facts).or_usage()?;
    if !arguments.quiet {
        announce(&plan, &entries);
    }
    if arguments.dry_run {
        show_plan(&plan);
        return Ok(Exit::Done);
    }

    let path = arguments.out.clone().unwrap_or_else(|| {
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        Path::new("reports").join(format!("{stamp}-{}", suite.name))
    });
    let folder = RunFolder::create(&path).map_err(folder_failure)?;
    let _writing = folder.lock().map_err(folder_failure)?;
    let info = RunInfo {
        format: RECORD_FORMAT,
        program: format!("slmbench {VERSION}"),
        suite: plan.suite.clone(),
        sources: BTreeMap::from([
            ("suite".to_owned(), found.source.to_string()),
            ("models".to_owned(), models_source),
        ]),
        label: arguments.label.clone(),
        command: command_line(),
        seed: plan.seed,
        started_at: runner::utc_now(),
        host: machine.host.clone(),
        engines: entries.iter().filter_map(|entry| entry.info.clone()).collect(),
        cells: plan.cells.iter().map(|planned| without_path(&planned.cell)).collect(),
        order: plan.order.iter().map(|step| (step.cell, step.invocation)).collect(),
        cost: None,
    };
    folder.write_info(&info).or_unwritable()?;
    note_skipped(&folder, &plan)?;
    let steps = info.order.clone();
    Measuring { arguments, machine, catalogue: &catalogue, user_files, engines: &entries }
        .go(&folder, info, &steps)
}

fn continue_run(
    arguments: &Arguments,
    machine: &Machine,
    user_files: &UserFiles,
    path: &Path,
) -> Result<Exit, Failure> {
    let (folder, mut info) = RunFolder::open(path).or_usage()?;
    let _writing = folder.lock().map_err(folder_failure)?;
    let records = match read_journal(&folder.journal()) {
        Ok(records) => records,
        Err(_) if !folder.journal().exists() => Vec::new(),
        Err(e) => return Err(Failure { exit: Exit::Usage, message: e.to_string() }),
    };
    let words: BTreeSet<String> = info.cells.iter().map(|cell| cell.engine.clone()).collect();
    let entries = engines::ask(&words.into_iter().collect::<Vec<_>>())?;
    resume::check_same_program(&info, &entries, arguments.force)?;
    for cell in &mut info.cells {
        user_files.restore_path(cell)?;
    }
    let done: BTreeSet<_> = resume::done(&records).into_iter().collect();
    let left: Vec<(usize, u32)> = info
        .order
        .iter()
        .copied()
        .filter(|&(index, invocation)| !done.contains(&(info.cells[index].id.clone(), invocation)))
        .collect();
    if !arguments.quiet {
        eprintln!("{} of {} invocations are left", left.len(), info.order.len());
    }
    let (catalogue, _) = files::catalogue(arguments.models.as_deref())?;
    Measuring { arguments, machine, catalogue: &catalogue, user_files, engines: &entries }
        .go(&folder, info, &left)
}

impl UserFiles {
    /// `run.json` names a user's file by its content only. The file must be named again.
    fn restore_path(&self, cell: &mut Cell) -> Result<(), Failure> {
        let ModelSource::File { path, sha256 } = &mut cell.source else { return Ok(()) };
        let file = self.files.iter().find(|file| file.sha256 == *sha256);
        *path = Some(
            file.ok_or_else(|| {
                format!(
                    "the run measures the file {}, which is not among those named\n\
                     hint: name it again with -m",
                    cell.model
                )
            })
            .or_usage()?
            .path
            .clone(),
        );
        Ok(())
    }
}

fn capabilities(
    entries: &[EngineEntry],
) -> BTreeMap<String, Result<crate::settings::Capabilities, String>> {
    let known = |entry: &EngineEntry| match (&entry.capabilities, &entry.missing) {
        (Some(capabilities), _) => Ok(capabilities.clone()),
        (None, missing) => Err(missing.clone().unwrap_or_default()),
    };
    entries.iter().map(|entry| (entry.word.clone(), known(entry))).collect()
}

/// Everything needed to measure, once it is known what.
struct Measuring<'a> {
    arguments: &'a Arguments,
    machine: &'a Machine,
    catalogue: &'a Catalogue,
    user_files: &'a UserFiles,
    engines: &'a [EngineEntry],
}

impl Measuring<'_> {
    fn go(
        &self,
        folder: &RunFolder,
        mut info: RunInfo,
        steps: &[(usize, u32)],
    ) -> Result<Exit, Failure> {
        let quiet = self.arguments.quiet;
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // A second signal ends the program at once.
            signal_hook::flag::register_conditional_default(signal, interrupted.clone())
                .and_then(|_| signal_hook::flag::register(signal, interrupted.clone()))
                .or_usage()?;
        }
        let _alone = self.lock_machine(&interrupted)?;
        let mut watcher = watcher(quiet);
        let cache = match &self.arguments.cache_dir {
            Some(folder) => synth::Cache::new(folder),
            None => synth::Cache::of_user().or_usage()?,
        };
        let mut prepare =
            |cell: &Cell, watcher: &mut dyn Watcher| self.prepare(cell, &cache, watcher);
        let ended = runner::run(Request {
            folder,
            cells: &self.cells_with_paths(&info),
            steps,
            child: &ChildCommand {
                program: runner::own_executable().or_usage()?,
                arguments: vec!["child".to_owned()],
            },
            root: &self.machine.root,
            interrupted: &interrupted,
            prepare: &mut prepare,
            watcher: watcher.as_mut(),
        })
        .or_unwritable()?;

        for cell in &mut info.cells {
            *cell = without_path(cell);
        }
        info.cost = Some(ended.cost);
        folder.write_info(&info).or_unwritable()?;
        let records = read_journal(&folder.journal()).or_unwritable()?;
        report::write(folder, &info, &records, quiet)?;
        if ended.interrupted {
            eprintln!("stopped; continue with\n  {}", self.resume_command(folder));
            return Ok(Exit::Interrupted);
        }
        if !quiet {
            println!("\nResults: {}", folder.path().display());
        }
        // What an earlier part of the same run left unfinished counts as well.
        let unfinished = records
            .iter()
            .any(|r| !matches!(r.outcome, Outcome::Finished | Outcome::Skipped { .. }))
            || ended.n_unfinished > 0;
        Ok(if unfinished { Exit::Unfinished } else { Exit::Done })
    }

    fn lock_machine(&self, interrupted: &AtomicBool) -> Result<Lock, Failure> {
        let busy = match self.arguments.when_busy.as_str() {
            "refuse" => MachineBusy::Refuse,
            _ => MachineBusy::Wait,
        };
        let mut said = false;
        let mut waiting = || {
            if !said {
                eprintln!("another slmbench measures on this machine; waiting for it to end");
                said = true;
            }
            !interrupted.load(Ordering::Relaxed)
        };
        match Lock::machine(busy, &mut waiting).or_usage()? {
            Some(lock) => Ok(lock),
            None if interrupted.load(Ordering::Relaxed) => Err(Failure {
                exit: Exit::Interrupted,
                message: "stopped while waiting".to_owned(),
            }),
            None => Err(Failure {
                exit: Exit::Usage,
                message: "another slmbench measures on this machine\nhint: --when-busy wait"
                    .to_owned(),
            }),
        }
    }

    /// The cells with the paths of the user's files, which never reach `run.json`.
    fn cells_with_paths(&self, info: &RunInfo) -> Vec<Cell> {
        let mut cells = info.cells.clone();
        for cell in &mut cells {
            // A file that is not there is found out when it is opened.
            let _ = self.user_files.restore_path(cell);
        }
        cells
    }

    /// Makes or finds the file of a cell.
    fn prepare(
        &self,
        cell: &Cell,
        cache: &synth::Cache,
        watcher: &mut dyn Watcher,
    ) -> Result<Prepared, String> {
        if !self.needs_file(cell) {
            return Ok(Prepared {
                path: PathBuf::new(),
                identity: None,
                predicted: None,
                guard: None,
            });
        }
        let n_ctx = cell.settings.n_ctx.unwrap_or(cell.n_ctx_needed());
        match &cell.source {
            ModelSource::File { path, sha256 } => {
                let file = self.user_files.files.iter().find(|file| file.sha256 == *sha256);
                Ok(Prepared {
                    path: path.clone().ok_or("the file is not named on the command line")?,
                    identity: self.user_files.identities.get(sha256).cloned(),
                    predicted: file
                        .and_then(|f| Weights::of_file(f).predict(&cell.settings, n_ctx)),
                    guard: None,
                })
            }
            ModelSource::Synthetic { seed } => {
                let shape = self.catalogue.get(&cell.model).map_err(|e| e.to_string())?;
                let mix: FileMix = cell.quant.parse().map_err(|e: UnknownMix| e.to_string())?;
                let mut said = false;
                let progress = |_: u64, total: u64| {
                    if !said {
                        watcher.say(&format!("making {} {mix}, {}", shape.name, Bytes(total)));
                        said = true;
                    }
                };
                let file = cache.obtain(shape, mix, *seed, progress).map_err(|e| e.to_string())?;
                let identity = ModelIdentity::of_synthetic(shape, mix, *seed, synth::SYNTH_VERSION);
                let weights = Weights::synthetic(shape, mix);
                Ok(Prepared {
                    path: file.path().to_owned(),
                    identity: Some(identity),
                    predicted: weights.predict(&cell.settings, n_ctx),
                    guard: Some(Box::new(file)),
                })
            }
        }
    }

    /// Whether the cell's engine opens a model file.
    fn needs_file(&self, cell: &Cell) -> bool {
        let entry = self.engines.iter().find(|entry| entry.word == cell.engine);
        entry.and_then(|e| e.capabilities.as_ref()).is_none_or(|can| can.needs_model_file)
    }

    fn resume_command(&self, folder: &RunFolder) -> String {
        let mut words = vec!["slmbench run --resume".to_owned(), quoted(&folder.path().display())];
        for path in &self.arguments.select.model_files {
            words.push(format!("-m {}", quoted(&path.display())));
        }
        if let Some(path) = &self.arguments.cache_dir {
            words.push(format!("--cache-dir {}", quoted(&path.display())));
        }
        words.join(" ")
    }
}

fn watcher(quiet: bool) -> Box<dyn Watcher> {
    if quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() {
        Box::new(Bar::default())
    } else {
        Box::new(Lines::default())
    }
}

fn folder_failure(error: runner::FolderError) -> Failure {
    let exit = match error {
        runner::FolderError::Io { .. } => Exit::Unwritable,
        _ => Exit::Usage,
    };
    Failure { exit, message: error.to_string() }
}

fn without_path(cell: &Cell) -> Cell {
    let mut cell = cell.clone();
    if let ModelSource::File { path, .. } = &mut cell.source {
        *path = None;
    }
    cell
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

/// What a person should know before the run begins.
fn announce(plan: &Plan, entries: &[EngineEntry]) {
    for note in &plan.notes {
        eprintln!("note: {note}");
    }
    for entry in entries {
        if let Some(why) = entry.info.as_ref().and_then(|info| info.below_machine.as_ref()) {
            eprintln!("warning: {}: {why}; its figures are marked below_machine", entry.word);
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
        eprintln!("skipped: {what}: {reason}");
    }
}

fn show_plan(plan: &Plan) {
    let described = plan.describe();
    let numbers = ["weights", "KV", "invocations", "repetitions", "time"];
    let column = |name: &&str| match numbers.contains(name) {
        true => Column::new(*name, Align::Right),
        false => Column::new(*name, Align::Left),
    };
    let mut table = Table::new(described.header.iter().map(column).collect());
    described.rows.into_iter().for_each(|row| table.push(row));
    print!("{}", table.to_text(report::terminal_width()));
    let order: Vec<&str> =
        plan.order.iter().map(|&step| plan.cell(step).cell.id.0.as_str()).collect();
    println!("\norder ({} invocations, seed {}):", order.len(), plan.seed);
    for line in order.chunks(7) {
        println!("  {}", line.join(" "));
    }
    match plan.estimate() {
        Some(time) => println!("time: about {time}"),
        None => println!("time: unknown (not every cell was measured on this machine before)"),
    }
}

/// The command as typed, without the folders in it: reports get passed around.
fn command_line() -> String {
    let words = std::env::args().skip(1).map(|word| {
        let short = word.rsplit('/').next().unwrap_or(&word).to_owned();
        quoted(&if word.starts_with('/') || word.starts_with('~') { short } else { word })
    });
    std::iter::once("slmbench".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// A word fit for a shell.
fn quoted(word: &impl ToString) -> String {
    let word = word.to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
