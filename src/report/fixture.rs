//! Made-up runs with plausible numbers, for tests of everything that reads a [`ReportView`].
//!
//! Times follow a small cost model with seeded noise, so that tables and plots look like real
//! ones and stay the same from build to build.

use std::collections::BTreeMap;

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::SplitMix64;

use crate::ggml::GgmlType;
use crate::memory::Habit;
use crate::model::TensorGroup;
use crate::plan::{Cell, CellId, ModelSource};
use crate::probe::{MemoryReading, Number, Pages, Peak, Spread, Unit};
use crate::record::{
    Allocated, Efficiency, EngineInfo, HeldAgainst, Load, Mark, MemoryBudget, MemoryRecord,
    ModelIdentity, Op, OpCost, OpKind, OpSpan, OpTotal, Outcome, PhaseProfile, Probe, Profile,
    RECORD_FORMAT, Record, Resolved, RunInfo, Sample, Stage, Surroundings, Trace, TracedCall,
};
use crate::settings::{Auto, Settings, TokenFeed};

/// A model as the cost model sees it.
#[derive(Clone, Copy)]
pub struct Model {
    pub name: &'static str,
    pub arch: &'static str,
    pub n_params: u64,
    pub n_params_llama_cpp: u64,
    pub kv_bytes_per_token: u64,
}

const fn model(name: &'static str, arch: &'static str, n_params: u64, kv: u64) -> Model {
    Model { name, arch, n_params, n_params_llama_cpp: n_params, kv_bytes_per_token: kv }
}

pub const SMOLLM2: Model = model("SmolLM2-135M", "llama", 134_515_008, 23_040);
pub const QWEN25: Model = model("Qwen2.5-0.5B", "qwen2", 494_032_768, 12_288);

/// Models of many sizes, some of nearly the same, two with a head that copies the embedding.
const MODELS: [Model; 11] = [
    model("SmolLM-135M", "llama", 134_515_008, 23_040),
    SMOLLM2,
    model("SmolLM2-360M", "llama", 361_821_120, 40_960),
    model("Qwen1.5-0.5B", "qwen2", 463_987_712, 98_304),
    Model { n_params_llama_cpp: 630_167_424, ..QWEN25 },
    model("gemma-3-270m", "gemma3", 268_098_176, 18_432),
    model("gemma-3-1b", "gemma3", 999_885_952, 26_624),
    model("TinyLlama-1.1B", "llama", 1_100_048_384, 22_528),
    Model {
        n_params_llama_cpp: 1_498_482_720,
        ..model("Llama-3.2-1B", "llama", 1_235_814_400, 32_768)
    },
    model("Qwen2.5-1.5B", "qwen2", 1_543_714_304, 28_672),
    model("SmolLM2-1.7B", "llama", 1_711_376_384, 196_608),
];

/// File mixes: each type with its share of the parameters.
const MIXES: [(&str, &[(GgmlType, f64)]); 15] = [
    ("F32", &[(GgmlType::F32, 1.0)]),
    ("F16", &[(GgmlType::F16, 1.0)]),
    ("Q8_0", &[(GgmlType::Q8_0, 1.0)]),
    ("Q6_K", &[(GgmlType::Q6_K, 0.8), (GgmlType::Q8_0, 0.2)]),
    ("Q5_K_M", &[(GgmlType::Q5_K, 0.7), (GgmlType::Q6_K, 0.1), (GgmlType::Q8_0, 0.2)]),
    ("Q5_K_S", &[(GgmlType::Q5_K, 0.8), (GgmlType::Q8_0, 0.2)]),
    ("Q5_0", &[(GgmlType::Q5_0, 0.79), (GgmlType::Q8_0, 0.21)]),
    ("Q4_K_M", &[(GgmlType::Q4_K, 0.66), (GgmlType::Q6_K, 0.14), (GgmlType::Q8_0, 0.2)]),
    ("Q4_K_S", &[(GgmlType::Q4_K, 0.79), (GgmlType::Q8_0, 0.21)]),
    ("IQ4_XS", &[(GgmlType::IQ4_XS, 0.8), (GgmlType::Q8_0, 0.2)]),
    ("Q4_0", &[(GgmlType::Q4_0, 0.79), (GgmlType::Q8_0, 0.21)]),
    ("Q3_K_L", &[(GgmlType::Q3_K, 0.5), (GgmlType::Q5_K, 0.3), (GgmlType::Q8_0, 0.2)]),
    ("Q3_K_M", &[(GgmlType::Q3_K, 0.55), (GgmlType::Q4_K, 0.25), (GgmlType::Q8_0, 0.2)]),
    ("Q3_K_S", &[(GgmlType::Q3_K, 0.8), (GgmlType::Q8_0, 0.2)]),
    ("Q2_K", &[(GgmlType::Q2_K, 0.6), (GgmlType::Q3_K, 0.2), (GgmlType::Q8_0, 0.2)]),
];

/// A run and its records.
pub struct Fixture {
    pub run: RunInfo,
    pub records: Vec<Record>,
}

/// Two engines × two models × three quantisations × two depths.
pub fn matrix(invocations: u32) -> Fixture {
    let mut cells = Vec::new();
    for model in [SMOLLM2, QWEN25] {
        for quant in [GgmlType::F16, GgmlType::Q8_0, GgmlType::Q4_0] {
            for engine in ["reference", "llama-cpp"] {
                for depth in [0, 512] {
                    cells.push((model, cell(model.name, quant, engine, depth)));
                }
            }
        }
    }
    fixture(cells, invocations)
}

/// Many depths, several thread counts, one engine of a long name: what a curious user asks for.
pub fn many() -> Fixture {
    let mut cells = Vec::new();
    for engine in ["reference", "fake:prefill_ms=40,decode_ms=10,noise=0.05,seed=7", "llama-cpp"] {
        for n_threads in [1, 4] {
            for depth in [0, 128, 256, 512, 1024, 2048, 4096] {
                let mut cell = cell(QWEN25.name, GgmlType::Q4_0, engine, depth);
                cell.settings.n_threads = Auto::Fixed(n_threads);
                cell.id = cell.compute_id();
                cells.push((QWEN25, cell));
            }
        }
    }
    fixture(cells, 5)
}

/// Eleven models in two quantisations: what a comparison of models asks for.
pub fn models() -> Fixture {
    let mut cells = Vec::new();
    for model in MODELS {
        for quant in [GgmlType::Q8_0, GgmlType::Q4_0] {
            for engine in ["reference", "llama-cpp"] {
                cells.push((model, cell(model.name, quant, engine, 0)));
            }
        }
    }
    fixture(cells, 3)
}

/// One model in fifteen mixes on two engines, and in three on a second model.
pub fn mixes() -> Fixture {
    let mut cells = Vec::new();
    for (model, n) in [(QWEN25, MIXES.len()), (SMOLLM2, 3)] {
        for (quant, _) in &MIXES[..n] {
            for engine in ["reference", "llama-cpp"] {
                let mut cell = cell(model.name, GgmlType::Q4_0, engine, 0);
                cell.quant = (*quant).into();
                cell.id = cell.compute_id();
                cells.push((model, cell));
            }
        }
    }
    fixture(cells, 3)
}

/// Two cells on a device whose ceilings are known.
pub fn probed(invocations: u32) -> Fixture {
    let cells = [GgmlType::Q8_0, GgmlType::Q4_0]
        .map(|quant| (SMOLLM2, cell(SMOLLM2.name, quant, "reference", 0)));
    let mut fixture = fixture(cells.into(), invocations);
    fixture.run.probe = Some(probe());
    for record in &mut fixture.records {
        let mbu = if record.cell.quant == "Q8_0" { 0.8 } else { 0.5 };
        record.efficiency = Some(Efficiency {
            held_against: HeldAgainst::Run,
            read_bytes_per_s: 17e9,
            ops_per_s: Some(230e9),
            decode_bytes: Some(145e6),
            prefill_ops: Some(27_000_000_000),
            mbu: Some(mbu),
            mfu: Some(0.412),
        });
    }
    fixture
}

/// What four threads of that device can do.
pub fn probe() -> Probe {
    let spread = |best: f64| Spread { best, median: best, q25: best, q75: best, n: 12 };
    let peak = |number, rate| Peak {
        number,
        unit: Unit::Vectors,
        instructions: "dotprod sdot".into(),
        n_threads: 4,
        ops_per_s: spread(rate),
    };
    Probe {
        quick: true,
        took_ns: 3_000_000_000,
        cpus: vec![0, 1, 2, 3],
        foreign_cpu_share: Some(0.001),
        steal_share: None,
        read_with: "neon".into(),
        page_bytes: 4096,
        memory: vec![MemoryReading {
            pages: Pages::Small,
            n_threads: 4,
            buffer_bytes: 256 << 20,
            huge_bytes: None,
            bytes_per_s: spread(17e9),
        }],
        caches: vec![],
        peaks: vec![peak(Number::Int8, 230e9), peak(Number::F32, 60e9)],
        fork_join: vec![],
        absent: vec![],
    }
}

/// One cell that finished.
pub fn single(invocations: u32) -> Fixture {
    fixture(vec![(SMOLLM2, cell("SmolLM2-135M", GgmlType::Q8_0, "reference", 0))], invocations)
}

/// Cells that ended in every way, with hostile names.
pub fn mishaps() -> Fixture {
    let outcomes = [
        Outcome::Finished,
        Outcome::Failed { stage: Stage::Engine, message: "unknown tensor type `IQ9` | no".into() },
        Outcome::Crashed { signal: Some(11), status: None },
        Outcome::TimedOut { limit_s: 60 },
        Outcome::OutOfMemory { message: "killed while the kernel's oom count rose".into() },
        Outcome::Skipped { reason: "needs 3.1 GiB, 1.9 GiB available".into() },
    ];
    let names = [
        "a|b`<script>alert(1)</script>\n# boo",
        "Llama-3.2-1B",
        "A-Very-Long-Model-Name-That-Somebody-Gave-To-A-Merge-Of-Merges-v0.3-final-2-1.1B-Instruct",
    ];
    let mut cells = Vec::new();
    for name in names {
        for engine in ["reference", "llama-cpp"] {
            cells.push((SMOLLM2, cell(name, GgmlType::Q4_0, engine, 0)));
        }
    }
    let mut fixture = fixture(cells, 1);
    for (record, outcome) in fixture.records.iter_mut().zip(outcomes) {
        if outcome != Outcome::Finished {
            record.samples.clear();
            record.load = None;
            record.resolved = None;
            record.memory.allocated = None;
            record.memory.peak_rss_bytes = None;
            record.log = Some(format!("logs/{}-0.log", record.cell.id));
        }
        if matches!(outcome, Outcome::Skipped { .. }) {
            record.log = None;
        }
        record.outcome = outcome;
    }
    fixture.records[0].marks = vec![Mark::Disturbed];
    fixture.run.engines[1].below_machine = Some("built without AVX2, which this CPU has".into());
    fixture.run.label = Some("Bob's *board* | <b>".into());
    fixture
}

/// One profile, as the scripted engine tells it.
pub fn profiled() -> Fixture {
    let mut fixture = single(1);
    fixture.run.probe = Some(probe());
    let cell = Cell { profile: true, ..fixture.run.cells[0].clone() };
    let cell = Cell { id: cell.compute_id(), ..cell };
    fixture.run.cells = vec![cell.clone()];
    let record = &mut fixture.records[0];
    record.cell = cell;
    let op = |name: &str, kind, part, layer, ty| Op {
        name: name.into(),
        kind,
        part,
        layer,
        ty,
        is_alone: false,
    };
    use TensorGroup::{Attention, Embedding, Ffn, Norm, Output};
    let q8 = Some(GgmlType::Q8_0);
    let ops = [
        (op("token_embd", OpKind::Lookup, Some(Embedding), None, None), 10),
        (op("attn_norm", OpKind::Norm, Some(Norm), Some(0), None), 20),
        (op("attn_qkv", OpKind::Quantise, Some(Attention), Some(0), None), 20),
        (op("attn_qkv", OpKind::Matmul, Some(Attention), Some(0), q8), 200),
        (op("attn_qkv", OpKind::Wait, Some(Attention), Some(0), None), 30),
        (op("attn_qkv", OpKind::Spans, None, Some(0), None), 5),
        (op("attn_scores", OpKind::Attention, Some(Attention), Some(0), None), 100),
        (op("ffn_down", OpKind::Matmul, Some(Ffn), Some(1), q8), 400),
        (op("output", OpKind::Matmul, Some(Output), None, Some(GgmlType::Q6_K)), 185),
    ];
    let totals = |calls: u64, n_tokens: u64| -> Vec<OpTotal> {
        let cost = |op: &Op, ns: u64| {
            let weights = if op.ty.is_some() { ns * 7_000 } else { 0 };
            let has_work = !matches!(op.kind, OpKind::Wait | OpKind::Spans);
            let bytes = if has_work { calls * (weights + 4096 * n_tokens) } else { 0 };
            let (ns, ops) = (ns * calls * 1000 * n_tokens, 2 * weights * calls * n_tokens);
            OpCost { ns, calls, ops, bytes, memory_bytes: weights * calls }
        };
        ops.iter().map(|(op, ns)| OpTotal { op: op.clone(), cost: cost(op, *ns) }).collect()
    };
    let phase = |calls: u64, n_tokens: u64| {
        let passes = 5;
        let all = totals(calls * passes, n_tokens);
        let sum: u64 = all.iter().map(|total| total.cost.ns).sum::<u64>() / passes;
        PhaseProfile {
            plain_ns: (0..passes).map(|i| sum + sum / 100 * (i % 3)).collect(),
            profiled_ns: (0..passes).map(|i| sum + sum / 50 + sum / 100 * (i % 3)).collect(),
            n_calls: calls * passes,
            n_stamps: calls * passes * 400,
            ops: all,
        }
    };
    let mut trace =
        Trace { ops: ops.iter().map(|(op, _)| op.clone()).collect(), calls: vec![], is_cut: false };
    for (index, phase) in ["prefill", "decode", "decode"].into_iter().enumerate() {
        let start_ns = 1_000_000_000 + 2_000_000 * index as u64;
        let mut call = TracedCall {
            phase: phase.into(),
            index: index.saturating_sub(1) as u32,
            start_ns,
            end_ns: start_ns + 1_000_000,
            spans: Vec::new(),
        };
        let mut at = start_ns;
        for (op, (_, us)) in ops.iter().enumerate() {
            let ns = us * 1000;
            // The two of a section share a stretch.
            let shared = if op == 2 { 220_000 } else { ns };
            let op = op as u32;
            let span = OpSpan { op, thread: 0, start_ns: at, end_ns: at + shared, busy_ns: ns };
            call.keep(op, &span);
            at += ns;
        }
        trace.calls.push(call);
    }
    record.profile = Some(Profile {
        stamp_ns: Some(25.0),
        prefill: Some(phase(1, 128)),
        decode: Some(phase(64, 1)),
        trace,
    });
    fixture
}

/// A cell with a prompt of 128 tokens and 64 decode calls.
pub fn cell(model: &str, quant: GgmlType, engine: &str, n_depth: u32) -> Cell {
    let mut cell = Cell {
        id: CellId(String::new()),
        engine: engine.into(),
        model: model.into(),
        quant: quant.name().into(),
        source: ModelSource::Synthetic { seed: 1, shape: String::new() },
        cpus: "all".into(),
        n_prompt: 128,
        n_gen: 64,
        n_depth,
        settings: Settings::default(),
        feed: TokenFeed::Random,
        soak: None,
        profile: false,
        repetitions: 5,
        warmup: 1,
        timeout_s: 60,
        token_seed: 1,
    };
    cell.id = cell.compute_id();
    cell
}

/// Runs `cells` on the cost model.
pub fn fixture(cells: Vec<(Model, Cell)>, invocations: u32) -> Fixture {
    let mut noise = Noise(SplitMix64::seed_from_u64(7));
    let records = cells
        .iter()
        .flat_map(|(model, cell)| (0..invocations).map(move |i| (model, cell, i)))
        .map(|(model, cell, invocation)| record(model, cell, invocation, &mut noise))
        .collect();
    let cells: Vec<Cell> = cells.into_iter().map(|(_, cell)| cell).collect();
    let order = (0..invocations).flat_map(|i| (0..cells.len()).map(move |c| (c, i))).collect();
    let mut run = RunInfo {
        format: RECORD_FORMAT,
        program: "slmbench 0.1.0 (0123abc)".into(),
        suite: "quick".into(),
        sources: BTreeMap::from([("suite".into(), "built in".into())]),
        label: None,
        command: "slmbench run quick --seed 7".into(),
        seed: 7,
        started_at: "2026-11-23T12:00:00Z".into(),
        host: Default::default(),
        engines: ["reference", "llama-cpp"].map(engine).into(),
        cells,
        order,
        device: None,
        sensing: None,
        ambient: None,
        gate: None,
        probing: None,
        probe: None,
        cost: None,
    };
    run.host.os = "Debian GNU/Linux 12".into();
    run.host.kernel = "6.1.0".into();
    run.host.cpu_arch = "aarch64".into();
    run.host.cpu = "Cortex-A76".into();
    run.host.n_cpus = 4;
    run.host.n_cores = 4;
    run.host.memory_bytes = 8 << 30;
    run.host.machine = Some("Raspberry Pi 5 Model B Rev 1.0".into());
    run.host.governor = Some("ondemand".into());
    Fixture { run, records }
}

fn engine(name: &str) -> EngineInfo {
    EngineInfo {
        name: name.into(),
        version: "0.1.0".into(),
        build: "release".into(),
        system: "NEON DOTPROD".into(),
        below_machine: None,
    }
}

fn record(model: &Model, cell: &Cell, invocation: u32, noise: &mut Noise) -> Record {
    let type_bytes = type_bytes(model, cell);
    let weight_bytes: u64 = type_bytes.values().sum();
    let n_ctx = cell.n_ctx_needed().next_multiple_of(256);
    let kv_bytes = model.kv_bytes_per_token * u64::from(n_ctx);
    // Decode streams weights and cache; prefill computes.
    let slower = if cell.engine == "reference" { 1.25 } else { 1.0 };
    let unpacking = match cell.quant.as_str() {
        "F16" => 1.3,
        "Q8_0" => 1.0,
        _ => 1.12,
    };
    let process = noise.factor(0.012);
    let token_ns = |past: u32| {
        let bytes = weight_bytes + 4 * model.kv_bytes_per_token * u64::from(past);
        bytes as f64 / 11.0 * slower * process
    };
    let prefill = f64::from(cell.n_prompt) * model.n_params as f64 * 2.0 / 55.0
        * slower
        * unpacking
        * process
        * (1.0 + f64::from(cell.n_depth) / 4000.0);
    let samples = (0..cell.repetitions)
        .map(|repetition| {
            let prefill_ns = (prefill * noise.factor(0.006)) as u64;
            let first = cell.n_depth + cell.n_prompt;
            Sample {
                start_ns: u64::from(repetition) * 1_000_000_000,
                prefill_ns: (cell.n_prompt > 0).then_some(prefill_ns),
                ttft_ns: (cell.n_prompt > 0).then_some(prefill_ns + 41_000),
                itl_ns: (0..cell.n_gen)
                    .map(|i| {
                        let hiccup = if noise.unit() < 0.01 { 1.5 } else { 1.0 };
                        (token_ns(first + i) * noise.factor(0.015) * hiccup) as u64
                    })
                    .collect(),
            }
        })
        .collect();
    let (compute_bytes, output_bytes) = (21 << 20, 192 << 10);
    let n_ubatch = 64;
    let habit = match cell.engine.as_str() {
        "llama-cpp" => Habit::CacheFirst,
        _ => Habit::ComputeFirst,
    };
    let mut budget = MemoryBudget {
        weight_bytes,
        kv_bytes,
        compute_bytes,
        output_bytes,
        ..MemoryBudget::default()
    };
    budget.untouched_bytes = cell.usage(n_ctx, n_ubatch, habit).untouched_bytes(&budget);
    let process_bytes = 8 << 20;
    let peak = process_bytes + budget.total_bytes() - budget.untouched_bytes + (3 << 19);
    Record {
        format: RECORD_FORMAT,
        program: "slmbench 0.1.0".into(),
        cell: cell.clone(),
        invocation,
        started_at: "2026-11-23T12:00:01.000Z".into(),
        wall_ns: 4_000_000_000,
        outcome: Outcome::Finished,
        marks: Vec::new(),
        cpus: vec![0, 1, 2, 3],
        engine: Some(engine(&cell.engine)),
        resolved: Some(Resolved {
            n_threads: cell.settings.n_threads.unwrap_or(4),
            n_ctx,
            n_batch: 2048,
            n_ubatch,
            flash_attn: cell.engine == "llama-cpp",
            backend_device: "cpu".into(),
            load_mode: "mmap".into(),
        }),
        model: Some(ModelIdentity {
            origin: "synthetic".into(),
            hash: "00".into(),
            seed: Some(1),
            synth_version: Some(1),
            arch: model.arch.into(),
            n_params: model.n_params,
            n_params_llama_cpp: model.n_params_llama_cpp,
            weight_bytes,
            bits_per_weight: 8.0 * weight_bytes as f64 / model.n_params as f64,
            type_bytes,
        }),
        load: Some(Load {
            load_ns: (weight_bytes as f64 / 2.4 * noise.factor(0.05)) as u64,
            cached_share: Some(1.0),
        }),
        samples,
        memory: MemoryRecord {
            predicted: Some(budget),
            allocated: Some(Allocated {
                weight_mapped_bytes: weight_bytes,
                kv_bytes,
                compute_bytes,
                output_bytes,
                ..Allocated::default()
            }),
            rss_before_load_bytes: Some(process_bytes),
            peak_rss_bytes: Some(peak),
            ..MemoryRecord::default()
        },
        surroundings: Surroundings::default(),
        gate: None,
        sensors: None,
        soak_end: None,
        probe: None,
        efficiency: None,
        profile: None,
        log: Some(format!("logs/{}-{invocation}.log", cell.id)),
    }
}

/// Bytes by type of a mix by name; cells that name a type instead are of that one only.
fn type_bytes(model: &Model, cell: &Cell) -> BTreeMap<String, u64> {
    let one = cell.quant.parse::<GgmlType>().ok().map(|ty| vec![(ty, 1.0)]);
    let mixed = |name: &str| MIXES.iter().find(|(n, _)| *n == name).map(|(_, mix)| mix.to_vec());
    let bytes = |ty: GgmlType, share: f64| {
        (model.n_params as f64 * share * ty.bits_per_element() / 8.0) as u64
    };
    let types = one.or_else(|| mixed(&cell.quant)).expect("a type or a mix");
    types.into_iter().map(|(ty, share)| (ty.name().to_owned(), bytes(ty, share))).collect()
}

struct Noise(SplitMix64);

impl Noise {
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Around 1, with about the standard deviation `sd`.
    fn factor(&mut self, sd: f64) -> f64 {
        let sum: f64 = (0..12).map(|_| self.unit()).sum();
        1.0 + sd * (sum - 6.0)
    }
}
