//! Suite, selection and facts become a plan.

use std::collections::{BTreeMap, BTreeSet};

use wildmatch::WildMatchPattern;

use super::budget;
use super::cell::{Cell, CellId};
use super::error::PlanError;
use super::order::shuffled_blocks;
use super::selection::{Facts, Selection};
use super::weights::{Terms, Weights};
use super::{Plan, PlannedCell};
use crate::memory::MemoryBudget;
use crate::model::{Catalogue, CatalogueModel, FileMix, types_in_words};
use crate::settings::{Auto, Capabilities, FlashAttn, Soak};
use crate::suite::{
    Flaw, MAX_CELLS, MEASURING, Matrix, Point, Profiling, Suite, Times, cpus_word, engine_word,
    is_pattern, nearest,
};

/// A cell that is wanted, with its weights and how often it is to be measured.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub planned: PlannedCell,
    pub weights: Weights,
    /// On what its engine's memory hangs; absent where there is no such engine.
    pub terms: Option<Terms>,
}

/// The engine words that a plan will ask facts about.
pub fn engine_words(suite: &Suite, selection: &Selection) -> BTreeSet<String> {
    match &selection.engines {
        Some(engines) => engines.iter().cloned().collect(),
        None => suite.matrices.iter().flat_map(|m| m.axes.engine.iter().cloned()).collect(),
    }
}

/// The models of the catalogue that a plan will ask for, each once, where the selection makes sense.
pub fn named_models<'c>(
    suite: &Suite,
    selection: &Selection,
    catalogue: &'c Catalogue,
) -> Result<Vec<&'c CatalogueModel>, PlanError> {
    check_selection(suite, selection, catalogue)?;
    let mut models: Vec<&CatalogueModel> = Vec::new();
    for name in model_words(suite, selection) {
        if let Ok(model) = catalogue.find(name)
            && selection.filter.admits_model(&model.name)
            && is_in_a_matrix(model, suite, selection)
            && !models.iter().any(|known| known.name == model.name)
        {
            models.push(model);
        }
    }
    Ok(models)
}

/// Whether some matrix does not exclude every cell of a model.
fn is_in_a_matrix(model: &CatalogueModel, suite: &Suite, selection: &Selection) -> bool {
    let names_it = |matrix: &Matrix| {
        let words = &matrix.axes.model;
        selection.models.is_some()
            || words.iter().any(|word| model.names().any(|n| n.eq_ignore_ascii_case(word)))
    };
    let excludes_it =
        |matrix: &Matrix| matrix.excludes.iter().any(|filter| filter.holds_for_model(&model.name));
    suite.matrices.iter().any(|matrix| names_it(matrix) && !excludes_it(matrix))
}

/// The words that name models of the catalogue.
fn model_words<'s>(suite: &'s Suite, selection: &'s Selection) -> Vec<&'s String> {
    match &selection.models {
        Some(models) => models.iter().collect(),
        None if !selection.model_files.is_empty() => Vec::new(),
        None => suite.matrices.iter().flat_map(|m| &m.axes.model).collect(),
    }
}

/// Lays out what is wanted. What cannot run is skipped with its reason, unless it was asked for
/// by name and nothing of it can run: then there is no plan.
pub fn lay_out(suite: &Suite, selection: &Selection, facts: &Facts) -> Result<Plan, PlanError> {
    check_selection(suite, selection, facts.catalogue)?;
    let seed = selection.seed.unwrap_or(suite.seed);
    let wanted = wanted(suite, selection, facts, seed)?;

    let mut runnable: Vec<Wanted> = Vec::new();
    let mut skipped: Vec<(Cell, String)> = Vec::new();
    for mut want in wanted {
        match can_run(&want, facts) {
            Ok(predicted) => {
                want.planned.predicted = predicted;
                expect(&mut want, facts);
                want.planned.guess = budget::guess(&want, &facts.guess);
                runnable.push(want);
            }
            Err(reason) => skipped.push((want.planned.cell, reason)),
        }
    }
    refuse_what_was_named(selection, &runnable, &skipped)?;

    let mut notes = Vec::new();
    if let Some(budget) = selection.budget {
        notes.extend(budget::fit(&mut runnable, budget, facts));
    }
    let most_threads = runnable.iter().filter_map(|w| match w.planned.cell.settings.n_threads {
        Auto::Fixed(n) => Some(n),
        Auto::Auto => None,
    });
    if let Some(n) = most_threads.max().filter(|n| *n > facts.n_cores) {
        let s = if facts.n_cores == 1 { "" } else { "s" };
        notes.push(format!(
            "n_threads = {n} is more than the {} core{s} there are: threads will wait for each other",
            facts.n_cores
        ));
    }
    notes.extend(longer_than_trained(&runnable));
    let cells: Vec<PlannedCell> = runnable.into_iter().map(|want| want.planned).collect();
    let invocations: Vec<u32> = cells.iter().map(|cell| cell.invocations).collect();
    let order = shuffled_blocks(&invocations, seed);
    Ok(Plan { suite: suite.name.clone(), seed, cells, skipped, order, notes })
}

/// A line for each model with more tokens in its cache than it was trained for: its speed is what it is,
/// its answers are not.
fn longer_than_trained(runnable: &[Wanted]) -> Vec<String> {
    let mut longest: Vec<(&str, u32, u32)> = Vec::new();
    for want in runnable {
        let Ok(shape) = &want.weights.shape else { continue };
        let cell = &want.planned.cell;
        let (n, trained) = (cell.n_ctx_needed(), shape.n_ctx_train);
        if want.terms.is_none() || n <= trained || trained == 0 {
            continue;
        }
        match longest.iter_mut().find(|(model, ..)| *model == cell.model) {
            Some((_, most, _)) => *most = n.max(*most),
            None => longest.push((&cell.model, n, trained)),
        }
    }
    let line = |(model, n, trained): (&str, u32, u32)| {
        format!("{model}: {n} tokens are more than the {trained} it was trained for")
    };
    longest.into_iter().map(line).collect()
}

/// Has the cost of what was never measured here from what is expected.
fn expect(want: &mut Wanted, facts: &Facts) {
    let planned = &mut want.planned;
    // Engines that read no model take their time whatever the machine can do.
    if planned.cost.is_some() || planned.predicted.is_none() {
        return;
    }
    if let (Some(expected), Ok(shape)) = (&facts.expected, &want.weights.shape) {
        planned.cost = expected.cost(&planned.cell, shape, &want.weights.tensors);
        planned.is_expected = planned.cost.is_some();
    }
}

/// What a suite's reader has checked already is checked here for the command line.
fn check_selection(
    suite: &Suite,
    selection: &Selection,
    catalogue: &Catalogue,
) -> Result<(), PlanError> {
    for engine in selection.engines.iter().flatten() {
        if engine_word(engine).is_err() {
            return Err(PlanError::UnknownEngine {
                found: engine.clone(),
                known: MEASURING.iter().map(|e| (*e).to_owned()).collect(),
                nearest: nearest(engine, MEASURING.iter().copied()).map(str::to_owned),
            });
        }
    }
    for quant in selection.quants.iter().flatten() {
        quant.parse::<FileMix>()?;
    }
    if let Some(bad) = selection.cpus.iter().flatten().find(|cpus| cpus_word(cpus).is_err()) {
        return Err(PlanError::UnknownCpus(bad.clone()));
    }
    let one = |value: Option<u32>| value.map(|v| vec![v]);
    let fixed = |values: &Option<Vec<Auto<u32>>>| {
        values.as_ref().map(|values| values.iter().map(|v| v.unwrap_or(1)).collect::<Vec<_>>())
    };
    for (name, values) in [
        ("--invocations", one(selection.invocations)),
        ("--repetitions", one(selection.repetitions)),
        ("--timeout-s", one(selection.timeout_s)),
        ("--n-batch", selection.n_batch.clone()),
        ("--n-ubatch", selection.n_ubatch.clone()),
        ("--n-ctx", fixed(&selection.n_ctx)),
    ] {
        if values.is_some_and(|values| values.contains(&0)) {
            return Err(PlanError::Zero(name));
        }
    }
    let mut found: Vec<String> = Vec::new();
    for model in model_words(suite, selection) {
        let known = match is_pattern(model) {
            true => !models_meant(std::slice::from_ref(model), catalogue).is_empty(),
            false => catalogue.find(model).is_ok(),
        };
        if !known && !found.contains(model) {
            found.push(model.clone());
        }
    }
    if let Some(first) = found.first() {
        let near = catalogue.find(first).err().map(|unknown| unknown.near).unwrap_or_default();
        return Err(PlanError::UnknownModel { found, near });
    }
    Ok(())
}

/// Every cell that is asked for, each once, in the order of the suite.
fn wanted(
    suite: &Suite,
    selection: &Selection,
    facts: &Facts,
    seed: u64,
) -> Result<Vec<Wanted>, PlanError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut at: BTreeMap<CellId, usize> = BTreeMap::new();
    let mut known: BTreeMap<(String, String), Weights> = BTreeMap::new();
    let mut flaw: Option<Flaw> = None;
    let mut n_before_filter = BTreeSet::new();
    for matrix in &suite.matrices {
        let times = times(matrix.times, selection);
        for (mut point, file) in points(matrix, selection, facts)? {
            match point.flaw() {
                None => {}
                // `-p 0` on a suite that has pp and tg apart takes the pp away.
                Some(Flaw::NothingTimed) => {
                    flaw = Some(Flaw::NothingTimed);
                    continue;
                }
                Some(flaw) => return Err(PlanError::Impossible(flaw)),
            }
            let weights = match file {
                Some(file) => Weights::of_file(&selection.model_files[file]),
                None => match known.get(&(point.model.clone(), point.quant.clone())) {
                    Some(weights) => weights.clone(),
                    None => {
                        let weights = named(&point, facts)?;
                        known.insert((point.model.clone(), point.quant.clone()), weights.clone());
                        weights
                    }
                },
            };
            if let (None, Ok(model)) = (file, facts.catalogue.find(&point.model)) {
                // As the tables spell them, so that the cell's id does not hang on the case.
                point.model.clone_from(&model.name);
                if model.shape().is_some() {
                    point.quant = point.quant.to_ascii_uppercase();
                }
            }
            let cell = to_cell(&point, &weights, times, (suite, matrix.soak), seed);
            for (cell, times) in with_profile(cell, times, matrix.profile, selection) {
                n_before_filter.insert(cell.id.clone());
                if !selection.filter.matches(&point, &cell.id.0) {
                    continue;
                }
                match at.get(&cell.id) {
                    Some(&i) => merge(&mut wanted[i].planned, &cell, times),
                    None => {
                        at.insert(cell.id.clone(), wanted.len());
                        wanted.push(want(cell, times, &weights, facts));
                    }
                }
            }
        }
    }
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    Err(match flaw {
        _ if !n_before_filter.is_empty() => PlanError::NothingLeft {
            filter: selection.filter.to_string(),
            n_cells: n_before_filter.len(),
        },
        Some(flaw) => PlanError::Impossible(flaw),
        None => PlanError::Nothing,
    })
}

/// A cell, the one that profiles it, or both. One invocation has passes enough for a profile, unless
/// more are asked for where nothing else is.
fn with_profile(
    cell: Cell,
    times: Times,
    profile: Profiling,
    selection: &Selection,
) -> Vec<(Cell, Times)> {
    if profile == Profiling::No {
        return vec![(cell, times)];
    }
    let mut profiled = Cell {
        profile: true,
        repetitions: selection.repetitions.unwrap_or(times.repetitions.max(PROFILE_REPETITIONS)),
        ..cell.clone()
    };
    profiled.id = profiled.compute_id();
    if profile == Profiling::Alone {
        return vec![(profiled, times)];
    }
    vec![(cell, times), (profiled, Times { invocations: 1, ..times })]
}

/// Passes without and with spans that an interval of their ratio needs.
pub(super) const PROFILE_REPETITIONS: u32 = 5;

fn want(cell: Cell, times: Times, weights: &Weights, facts: &Facts) -> Wanted {
    let cost = facts.earlier.get(&cell.id).copied();
    let terms = match facts.engines.get(&cell.engine) {
        Some(Ok(can)) => Some(Terms::of(can, facts.n_cores, facts.huge_pages)),
        _ => None,
    };
    let planned = PlannedCell {
        cell,
        invocations: times.invocations,
        bits_per_weight: weights.bits_per_weight,
        types: types_in_words(&weights.type_bytes),
        predicted: None,
        cost,
        is_expected: false,
        guess: None,
    };
    Wanted { planned, weights: weights.clone(), terms }
}

/// The points of a matrix as the selection changes it, each with the index of the user's file
/// whose weights it has.
fn points(
    matrix: &Matrix,
    selection: &Selection,
    facts: &Facts,
) -> Result<Vec<(Point, Option<usize>)>, PlanError> {
    let mut axes = selection.applied_to(&matrix.axes);
    axes.model = models_meant(&axes.model, facts.catalogue);
    let files = &selection.model_files;
    if !files.is_empty() && selection.models.is_none() {
        axes.model.clear();
    }
    let mut spans = Vec::new();
    if !axes.model.is_empty() || files.is_empty() {
        spans.push((axes.clone(), None));
    }
    for (i, file) in files.iter().enumerate() {
        let mut axes = axes.clone();
        axes.model = vec![file.label.clone()];
        axes.quant = vec![file.quant.clone()];
        spans.push((axes, Some(i)));
    }
    let mut points = Vec::new();
    for (axes, file) in spans {
        match axes.n_points(facts.n_cpus) {
            Some(0) => return Err(PlanError::EmptyAxis(axes.empty_axis().unwrap_or("an axis"))),
            Some(n) if n <= MAX_CELLS => {}
            _ => return Err(PlanError::TooManyCells),
        }
        let own = |point: Point| match file {
            None => as_its_file(point, selection, facts),
            Some(_) => Some(point),
        };
        let admitted = axes
            .points(facts.n_cpus)
            .into_iter()
            .filter_map(own)
            .filter(|point| matrix.admits(point));
        points.extend(admitted.map(|point| (point, file)));
    }
    Ok(points)
}

/// The models that names and patterns mean, each once. A pattern means models by shape, in the
/// order of the catalogue: what would have to be found or fetched is named by itself.
fn models_meant(words: &[String], catalogue: &Catalogue) -> Vec<String> {
    let mut models: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !models.iter().any(|known| known == name) {
            models.push(name.to_owned());
        }
    };
    for word in words {
        if is_pattern(word) {
            let pattern = WildMatchPattern::<'*', '?'>::new_case_insensitive(word);
            let answers = |model: &&CatalogueModel| model.names().any(|n| pattern.matches(n));
            let by_shape = catalogue.models().iter().filter(|model| model.shape().is_some());
            by_shape.filter(answers).for_each(|model| add(&model.name));
        } else {
            add(word);
        }
    }
    models
}

/// A model that is a file has the types it has: its points of all file mixes are one.
fn as_its_file(mut point: Point, selection: &Selection, facts: &Facts) -> Option<Point> {
    let Ok(model) = facts.catalogue.find(&point.model) else { return Some(point) };
    match facts.files.get(&model.name) {
        Some(file) => point.quant.clone_from(&file.quant),
        // Nobody has opened it, for the filter wants none of it.
        None if model.shape().is_none() && !selection.filter.admits_model(&model.name) => {
            return None;
        }
        None => {}
    }
    Some(point)
}

/// The weights of a point of the catalogue.
fn named(point: &Point, facts: &Facts) -> Result<Weights, PlanError> {
    let model = facts.catalogue.find(&point.model).map_err(|unknown| PlanError::UnknownModel {
        found: vec![unknown.name],
        near: unknown.near,
    })?;
    if let Some(file) = facts.files.get(&model.name) {
        return Ok(Weights::of_file(file));
    }
    let shape = model.shape().ok_or_else(|| PlanError::NoFile(model.name.clone()))?;
    let mix = point.quant.parse::<FileMix>()?;
    Ok(Weights::synthetic(shape, mix))
}

fn times(times: Times, selection: &Selection) -> Times {
    Times {
        repetitions: selection.repetitions.unwrap_or(times.repetitions),
        warmup: selection.warmup.unwrap_or(times.warmup),
        invocations: selection.invocations.unwrap_or(times.invocations),
        timeout_s: selection.timeout_s.unwrap_or(times.timeout_s),
    }
}

/// A cell that several matrices name is measured as often as the one that wants most of it.
fn merge(planned: &mut PlannedCell, other: &Cell, times: Times) {
    planned.invocations = planned.invocations.max(times.invocations);
    let cell = &mut planned.cell;
    cell.repetitions = cell.repetitions.max(other.repetitions);
    cell.warmup = cell.warmup.max(other.warmup);
    cell.timeout_s = cell.timeout_s.max(other.timeout_s);
}

fn to_cell(
    point: &Point,
    weights: &Weights,
    times: Times,
    (suite, soak): (&Suite, Option<Soak>),
    seed: u64,
) -> Cell {
    let mut cell = Cell {
        id: CellId(String::new()),
        engine: point.engine.clone(),
        model: point.model.clone(),
        quant: point.quant.clone(),
        source: weights.source.clone(),
        cpus: point.cpus.clone(),
        n_prompt: point.n_prompt,
        n_gen: point.n_gen,
        n_depth: point.n_depth,
        settings: point.settings.clone(),
        feed: suite.feed,
        soak,
        profile: false,
        repetitions: times.repetitions,
        warmup: times.warmup,
        timeout_s: times.timeout_s,
        token_seed: seed,
    };
    cell.id = cell.compute_id();
    cell
}

/// What memory the cell will need (`None` where its engine reads no model), or why it cannot run.
fn can_run(want: &Wanted, facts: &Facts) -> Result<Option<MemoryBudget>, String> {
    let cell = &want.planned.cell;
    let engine = &cell.engine;
    let can = match facts.engines.get(engine) {
        Some(Ok(capabilities)) => capabilities,
        Some(Err(reason)) => return Err(reason.clone()),
        None => return Err(format!("nothing is known of the engine {engine}")),
    };
    if let Some(reason) = refused_setting(cell, can) {
        return Err(format!("{engine} {reason}"));
    }
    if let Some(why) = facts.cpus_refused.get(&cell.cpus) {
        return Err(why.clone());
    }
    if !can.needs_model_file {
        return Ok(None);
    }
    let weights = &want.weights;
    if !can.runs(&weights.arch) {
        let only = can.archs.as_ref().map(|archs| format!(", only {}", archs.join(", ")));
        let (arch, only) = (&weights.arch, only.unwrap_or_default());
        return Err(format!("{engine} does not run {arch} models{only}"));
    }
    if let (Some(_), Err(why)) = (&can.archs, &weights.shape) {
        return Err(format!("{engine} cannot run it: {why}"));
    }
    if let Some(types) = &can.weight_types
        && let Some(t) = weights.type_bytes.keys().find(|t| !types.contains(t))
    {
        return Err(format!("{engine} reads no {t} tensors, only {}", listed(types)));
    }
    if let Some(flaw) = weights.kv_flaw(&cell.settings) {
        return Err(flaw);
    }
    let predicted = weights.predict(cell, Terms::of(can, facts.n_cores, facts.huge_pages));
    let Some(predicted) = predicted else { return Ok(None) };
    match facts.memory_available_bytes.and_then(|available| predicted.shortage(available)) {
        Some(shortage) => Err(shortage),
        None => Ok(Some(predicted)),
    }
}

/// The first setting that the engine does not obey.
fn refused_setting(cell: &Cell, can: &Capabilities) -> Option<String> {
    let s = &cell.settings;
    if let Some(t) = [s.type_k, s.type_v].into_iter().find(|t| !can.kv_types.contains(t)) {
        return Some(format!("keeps no {t} KV cache, only {}", listed(&can.kv_types)));
    }
    if !can.flash_attn.contains(&s.flash_attn) {
        let only = listed(&can.flash_attn);
        return Some(format!("does not obey flash_attn = {}, only {only}", s.flash_attn));
    }
    let values_alone = can.flash_attn_for_values && s.flash_attn == FlashAttn::Off;
    if values_alone && s.type_v.block_size() > 1 {
        return Some(format!("keeps values in {} only with flash attention", s.type_v));
    }
    if !can.load_modes.contains(&s.load_mode) {
        let only = listed(&can.load_modes);
        return Some(format!("does not obey load_mode = {}, only {only}", s.load_mode));
    }
    if !can.devices.iter().any(|device| device.eq_ignore_ascii_case(&s.backend_device)) {
        let only = can.devices.join(", ");
        return Some(format!("has no device {} here, only {only}", s.backend_device));
    }
    // Such a cell would be measured on the CPU, and its record would say otherwise.
    let computes_on_cpu = s.backend_device.eq_ignore_ascii_case("cpu")
        || can.devices.iter().all(|device| ["auto", "cpu"].contains(&&**device));
    match s.n_gpu_layers {
        Auto::Fixed(n @ 1..) if can.needs_model_file && computes_on_cpu => {
            Some(format!("has no device for n_gpu_layers = {n}, it computes on the CPU"))
        }
        _ => None,
    }
}

fn listed<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// What the command line named must run at least in part.
fn refuse_what_was_named(
    selection: &Selection,
    runnable: &[Wanted],
    skipped: &[(Cell, String)],
) -> Result<(), PlanError> {
    type Word = fn(&Cell) -> String;
    fn words<T: ToString>(values: &Option<Vec<T>>) -> Vec<String> {
        values.iter().flatten().map(T::to_string).collect()
    }
    let files = selection.model_files.iter().map(|f| f.label.clone()).collect();
    let named: [(&'static str, Vec<String>, Word); 11] = [
        ("--engine", words(&selection.engines), |cell| cell.engine.clone()),
        ("--model", words(&selection.models), |cell| cell.model.clone()),
        ("-m", files, |cell| cell.model.clone()),
        ("--quant", words(&selection.quants), |cell| cell.quant.clone()),
        ("--type-k", words(&selection.type_k), |cell| cell.settings.type_k.to_string()),
        ("--type-v", words(&selection.type_v), |cell| cell.settings.type_v.to_string()),
        ("--flash-attn", words(&selection.flash_attn), |cell| cell.settings.flash_attn.to_string()),
        ("--load-mode", words(&selection.load_mode), |cell| cell.settings.load_mode.to_string()),
        ("--backend-device", words(&selection.backend_device), |cell| {
            cell.settings.backend_device.clone()
        }),
        ("--n-gpu-layers", words(&selection.n_gpu_layers), |cell| {
            cell.settings.n_gpu_layers.to_string()
        }),
        ("--cpus", words(&selection.cpus), |cell| cell.cpus.clone()),
    ];
    for (option, words, word_of) in named {
        for word in words {
            let pattern = WildMatchPattern::<'*', '?'>::new_case_insensitive(&word);
            let is_it = |cell: &Cell| pattern.matches(&word_of(cell));
            if runnable.iter().any(|want| is_it(&want.planned.cell)) {
                continue;
            }
            let mut reasons: Vec<String> = Vec::new();
            for (_, reason) in skipped.iter().filter(|(cell, _)| is_it(cell)) {
                // A reason that begins with the key says what the option has said.
                let key = format!("{} = {word}: ", option.trim_start_matches('-'));
                let reason = reason.strip_prefix(&key).unwrap_or(reason);
                if !reasons.iter().any(|known| known == reason) {
                    reasons.push(reason.to_owned());
                }
            }
            if !reasons.is_empty() {
                return Err(PlanError::CannotRun { option, word, reasons });
            }
        }
    }
    Ok(())
}
