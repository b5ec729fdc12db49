//! llama.cpp, compiled in (feature `llama-cpp`).
//!
//! Run as its own tools run it, so that figures agree with llama-bench: the same calls, the same
//! defaults, micro-batches inside of `llama_decode`. What differs is said by an error, never
//! papered over: a device that was asked for and does not hold the layers, pages that could not be
//! locked. `ffi` and `eval` hold all that is unsafe.
//!
//! ggml computes in an OpenMP team with a barrier between any two steps of the graph, a thousand
//! for each token of a small model, where a libgomp thread spins for about a millisecond before it
//! sleeps. With the cores to itself that is fastest by far (on 2 CPUs: 76 tokens/s, 25 without
//! spinning), so it is left as llama.cpp's own tools have it. When another process takes a core,
//! the team spins against the very thread it waits for, and decoding falls to a tenth: such a
//! record is marked `disturbed`. `GOMP_SPINCOUNT` set by the user reaches the child.

mod eval;
mod ffi;
mod header;
mod log;
mod machine;
mod nodes;

use std::path::Path;

use super::{
    Allocated, Engine, EngineError, EngineInfo, Planned, ProfiledSession, Resolved, Session, Spans,
    TracedSession, Waypoint, fixed,
};
use crate::ggml::GgmlType;
use crate::memory::Basis;
use crate::model::Arch;
use crate::settings::{Auto, Capabilities, FlashAttn, LoadMode, MemoryRule, Settings};
use eval::Watch;
use ffi::{Context, ContextOptions, LoadOptions, MemoryRow, Model, Placement};

pub use ffi::Counters;
pub use header::{QuantisedTensor, n_params, quantised_tensors, quantize};

/// Name of the engine in suites and records.
pub const NAME: &str = "llama-cpp";

/// Version of the bindings, which carry llama.cpp's source; as pinned in `Cargo.toml`.
const BINDINGS: &str = "0.1.161";

/// Architectures of this program that llama.cpp has under no name.
fn unknown_archs() -> Vec<String> {
    let unknown = Arch::ALL.iter().filter(|arch| !arch.is_llama_cpps());
    unknown.map(|arch| arch.name().to_owned()).collect()
}

/// Element types llama.cpp takes for the KV cache.
const KV_TYPES: [GgmlType; 9] = [
    GgmlType::F32,
    GgmlType::F16,
    GgmlType::BF16,
    GgmlType::Q8_0,
    GgmlType::Q4_0,
    GgmlType::Q4_1,
    GgmlType::IQ4_NL,
    GgmlType::Q5_0,
    GgmlType::Q5_1,
];

/// Tensors that are told of each layer, where its architecture names them: [`Waypoint`] says what they
/// are.
const WAYPOINTS: &[&str] = &["kqv_out", "ffn_inp", "sa_out", "l_out"];

/// llama.cpp as an engine. The library starts with its first use.
#[derive(Clone, Copy, Debug)]
pub struct LlamaCpp {
    echo: bool,
    repacks: bool,
}

impl Default for LlamaCpp {
    fn default() -> LlamaCpp {
        LlamaCpp::new()
    }
}

impl LlamaCpp {
    /// The engine, its log going to standard error.
    pub fn new() -> LlamaCpp {
        LlamaCpp { echo: true, repacks: true }
    }

    /// The engine without a word: for comparisons with it.
    pub fn quiet() -> LlamaCpp {
        LlamaCpp { echo: false, repacks: true }
    }

    /// The same with weights as they are in the file: its plainest kernels, alike on all machines of
    /// an architecture. For comparisons with it, never for a figure.
    pub fn without_repacking(self) -> LlamaCpp {
        LlamaCpp { repacks: false, ..self }
    }

    /// As [`Engine::load`], with the type that also answers [`LlamaCppSession::counters`].
    pub fn open(&self, path: &Path, settings: &Settings) -> Result<LlamaCppSession, EngineError> {
        self.open_as(path, settings, false)
    }

    /// The same, to be watched node by node or not.
    fn open_as(
        &self,
        path: &Path,
        settings: &Settings,
        watched: bool,
    ) -> Result<LlamaCppSession, EngineError> {
        ffi::start();
        let wanted = Wanted::read(settings)?;
        let _alone = log::begin(self.echo);
        let asked = Asked { mode: settings.load_mode, no_alloc: false, watched };
        let context = self.context(path, settings, &wanted, asked)?;
        if settings.load_mode == LoadMode::Mlock && log::lock_refused(&log::lines()) {
            return Err(EngineError::Unsupported(
                "the weights could not be locked in memory\nhint: raise `ulimit -l`, or choose \
                 another load_mode"
                    .to_owned(),
            ));
        }

        let said = log::lines();
        let rows = context
            .memory()
            .ok_or_else(|| EngineError::Failed("llama.cpp did not tell its memory".to_owned()))?;
        let holders = holders(&rows);
        wanted.check(&holders)?;
        let resolved = Resolved {
            n_threads: context.n_threads(),
            n_ctx: context.n_ctx(),
            n_batch: context.n_batch(),
            n_ubatch: context.n_ubatch(),
            flash_attn: match settings.flash_attn {
                FlashAttn::On => true,
                FlashAttn::Off => false,
                FlashAttn::Auto => log::flash_attention(&said).ok_or_else(|| {
                    EngineError::Failed("llama.cpp did not tell what flash_attn became".to_owned())
                })?,
            },
            backend_device: holders.join("+"),
            load_mode: log::load_mode(&said).unwrap_or_else(|| settings.load_mode.to_string()),
        };
        let allocated = allocated(&rows, context.model().n_vocab());
        Ok(LlamaCppSession {
            context,
            resolved,
            allocated,
            n_past: 0,
            has_logits: false,
            calls: Vec::new(),
        })
    }

    /// A model with its cache and buffers.
    fn context(
        &self,
        path: &Path,
        settings: &Settings,
        wanted: &Wanted,
        asked: Asked,
    ) -> Result<Context, EngineError> {
        let Asked { mode, no_alloc, watched } = asked;
        let model = Model::load(
            path,
            &LoadOptions {
                placement: &wanted.placement(),
                n_gpu_layers: wanted.n_gpu_layers,
                mode,
                repacks: self.repacks,
                no_alloc,
            },
        )
        .ok_or_else(|| refused(EngineError::Model, "the model"))?;
        Context::new(
            model,
            &ContextOptions {
                n_ctx: fixed("n_ctx", settings.n_ctx)?,
                n_batch: settings.n_batch,
                n_ubatch: settings.n_ubatch,
                n_threads: fixed("n_threads", settings.n_threads)?,
                type_k: settings.type_k,
                type_v: settings.type_v,
                flash_attn: settings.flash_attn,
                watched,
            },
        )
        .ok_or_else(|| refused(EngineError::Failed, "a context"))
    }
}

impl Engine for LlamaCpp {
    fn info(&self) -> EngineInfo {
        ffi::start();
        let (llama, ggml, commit) = ffi::versions();
        let ggml = match commit.as_str() {
            "" | "unknown" => ggml,
            commit => format!("{ggml} {commit}"),
        };
        EngineInfo {
            name: NAME.to_owned(),
            version: format!("{llama} (ggml {ggml})"),
            build: format!(
                "llama-cpp-sys-2 {BINDINGS}, static, OpenMP, backends {}, target-cpu {}",
                ffi::backends().join(" "),
                env!("SLMBENCH_TARGET_CPU"),
            ),
            system: ffi::system_info().trim().trim_end_matches('|').trim_end().to_owned(),
            below_machine: machine::below(&ffi::compiled_features(), &machine::features()),
        }
    }

    fn capabilities(&self) -> Capabilities {
        ffi::start();
        let mut devices = vec!["auto".to_owned(), "cpu".to_owned()];
        devices.extend(ffi::devices());
        Capabilities {
            archs: None,
            not_archs: unknown_archs(),
            weight_types: None,
            kv_types: KV_TYPES.to_vec(),
            flash_attn: vec![FlashAttn::On, FlashAttn::Off, FlashAttn::Auto],
            flash_attn_for_values: true,
            load_modes: vec![LoadMode::Auto, LoadMode::Mmap, LoadMode::None, LoadMode::Mlock],
            devices,
            // llama_context: n_ctx is padded to 256.
            n_ctx_padding: 256,
            memory_rule: MemoryRule::LlamaCpp,
            needs_model_file: true,
        }
    }

    fn load(&self, model: &Path, settings: &Settings) -> Result<Box<dyn Session>, EngineError> {
        Ok(Box::new(self.open(model, settings)?))
    }

    fn load_profiled(
        &self,
        model: &Path,
        settings: &Settings,
    ) -> Result<Box<dyn ProfiledSession>, EngineError> {
        Ok(Box::new(self.open_as(model, settings, true)?))
    }

    fn load_traced(
        &self,
        model: &Path,
        settings: &Settings,
    ) -> Result<Box<dyn TracedSession>, EngineError> {
        let mut session = self.open_as(model, settings, true)?;
        session.context.watch(Watch::Rows(WAYPOINTS));
        Ok(Box::new(session))
    }

    fn plan(&self, model: &Path, settings: &Settings) -> Result<Option<Planned>, EngineError> {
        ffi::start();
        let wanted = Wanted::read(settings)?;
        let _alone = log::begin(self.echo);
        // The library counts without memory only what it would read into memory of its own.
        let before = anonymous_bytes();
        let asked = Asked { mode: LoadMode::None, no_alloc: true, watched: false };
        let context = self.context(model, settings, &wanted, asked)?;
        // No buffer is there, so whatever became resident is what the library keeps beside them.
        let heap_bytes = anonymous_bytes().saturating_sub(before);
        let rows = context
            .memory()
            .ok_or_else(|| EngineError::Failed("llama.cpp did not tell its memory".to_owned()))?;
        let read = allocated(&rows, context.model().n_vocab());
        // What of an offloaded model is mapped as well as copied, only loading it shows.
        let offloaded = rows.iter().any(|row| row.device.is_some());
        let basis = if offloaded { Basis::Estimate } else { Basis::Library };
        let buffers = match settings.load_mode {
            LoadMode::None => read,
            LoadMode::Auto | LoadMode::Mmap | LoadMode::Mlock => {
                mapped_instead(&rows, read, context.model().size())
            }
        };
        Ok(Some(Planned { basis, buffers, heap_bytes }))
    }
}

/// How a context is asked for.
#[derive(Clone, Copy)]
struct Asked {
    mode: LoadMode,
    /// Only the sizes of its buffers.
    no_alloc: bool,
    /// Node by node.
    watched: bool,
}

/// A model loaded by llama.cpp.
pub struct LlamaCppSession {
    context: Context,
    resolved: Resolved,
    allocated: Allocated,
    n_past: u32,
    has_logits: bool,
    /// Calls since spans were last taken.
    calls: Vec<WatchedCall>,
}

/// A call that was watched.
struct WatchedCall {
    /// Where its nodes begin.
    first_node: usize,
    /// Tokens in the cache before.
    n_past: u32,
}

impl LlamaCppSession {
    /// The library's own timers, for comparison with the stopwatch outside. It books calls when
    /// it synchronises; as every call here ends with that, prompts and single tokens stay apart.
    pub fn counters(&self) -> Counters {
        self.context.counters()
    }

    fn run(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        let n_ctx = self.resolved.n_ctx;
        let n = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        if n > n_ctx - self.n_past {
            return Err(EngineError::ContextFull { n_ctx });
        }
        let n_vocab = self.n_vocab();
        if let Some(token) = tokens.iter().find(|&&t| t >= n_vocab) {
            return Err(EngineError::Failed(format!(
                "token {token} is not below the vocabulary's {n_vocab}"
            )));
        }
        self.has_logits = false;
        if self.context.is_watched() {
            let first_node = self.context.n_nodes();
            self.calls.push(WatchedCall { first_node, n_past: self.n_past });
        }
        let mut chunks = tokens.chunks(self.resolved.n_batch.max(1) as usize).peekable();
        while let Some(chunk) = chunks.next() {
            let last = chunks.peek().is_none();
            match self.context.run(chunk, last) {
                0 => self.n_past += chunk.len() as u32,
                1 => return Err(EngineError::ContextFull { n_ctx }),
                ffi::OUT_OF_MEMORY => {
                    return Err(EngineError::OutOfMemory(
                        "llama.cpp was refused memory while it computed".to_owned(),
                    ));
                }
                ffi::THREW => {
                    return Err(EngineError::Failed(format!(
                        "llama.cpp threw a C++ exception while it computed: {}",
                        log::errors(&log::lines())
                    )));
                }
                -2 => return Err(EngineError::OutOfMemory(log::errors(&log::lines()))),
                code => {
                    return Err(EngineError::Failed(format!(
                        "llama_decode answered {code}: {}",
                        log::errors(&log::lines())
                    )));
                }
            }
        }
        self.has_logits = !tokens.is_empty();
        Ok(())
    }
}

impl Session for LlamaCppSession {
    fn resolved(&self) -> Resolved {
        self.resolved.clone()
    }

    fn allocated(&self) -> Option<Allocated> {
        Some(self.allocated.clone())
    }

    fn n_vocab(&self) -> u32 {
        self.context.model().n_vocab()
    }

    fn rewind(&mut self, n_past: u32) -> Result<(), EngineError> {
        if n_past > self.n_past {
            return Err(EngineError::Failed(format!(
                "cannot rewind to {n_past} tokens: the KV cache holds {}",
                self.n_past
            )));
        }
        self.has_logits = false;
        if !self.context.rewind(n_past) {
            return Err(EngineError::Unsupported(format!(
                "this model's cache cannot go back to {n_past} tokens"
            )));
        }
        self.n_past = n_past;
        Ok(())
    }

    fn prefill(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        self.run(tokens)
    }

    fn decode(&mut self, token: u32) -> Result<(), EngineError> {
        self.run(&[token])
    }

    fn logits(&mut self) -> Result<&[f32], EngineError> {
        let none = || EngineError::Failed("no token has run since the last rewind".to_owned());
        if !self.has_logits {
            return Err(none());
        }
        self.context.logits().ok_or_else(none)
    }
}

impl ProfiledSession for LlamaCppSession {
    fn take_spans(&mut self, on: bool) {
        self.context.watch(if on { Watch::Times } else { Watch::Nothing });
        self.calls.clear();
    }

    /// To be watched, the graph is taken apart: that costs more than reading the clock.
    fn stamp_ns(&self) -> Option<f64> {
        None
    }

    fn spans(&mut self) -> Vec<Spans> {
        let nodes = self.context.nodes();
        let calls = std::mem::take(&mut self.calls);
        let ends = calls.iter().skip(1).map(|call| call.first_node).chain([nodes.len()]);
        let model = self.context.model();
        let (arch, n_swa) = (Arch::from_name(&model.arch()), model.n_swa());
        let window = |layer| arch.filter(|arch| n_swa > 0 && arch.slides(layer)).map(|_| n_swa);
        let of = |(call, end): (&WatchedCall, usize)| {
            nodes::spans(&nodes[call.first_node..end], call.n_past, &window)
        };
        calls.iter().zip(ends).map(of).collect()
    }
}

impl TracedSession for LlamaCppSession {
    fn waypoints(&mut self) -> Vec<Waypoint> {
        let told = |(name, row): &(String, Vec<f32>)| {
            // Two names of one tensor: it depends on the architecture.
            let name = name.replace("sa_out-", "ffn_inp-");
            Waypoint { name, row: row.clone() }
        };
        self.context.rows().iter().map(told).collect()
    }
}

/// Why the last call answered with nothing, by the log.
fn refused(kind: fn(String) -> EngineError, what: &str) -> EngineError {
    let said = log::lines();
    let reason = log::errors(&said);
    if log::tells_of_memory(&said) {
        EngineError::OutOfMemory(reason)
    } else {
        kind(format!("llama.cpp refused {what}: {reason}"))
    }
}

/// Where the layers are to go.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// `None` leaves it to the library; `cpu` or a device's name otherwise.
    device: Option<String>,
    /// Below zero: all.
    n_gpu_layers: i32,
}

impl Wanted {
    /// Checks what can be checked before anything is loaded.
    fn read(settings: &Settings) -> Result<Wanted, EngineError> {
        for (name, found) in [("type_k", settings.type_k), ("type_v", settings.type_v)] {
            if !KV_TYPES.contains(&found) {
                let allowed: Vec<&str> = KV_TYPES.iter().map(|t| t.name()).collect();
                return Err(EngineError::Unsupported(format!(
                    "{name} = {found}: llama.cpp takes {}",
                    allowed.join(", ")
                )));
            }
        }
        if settings.type_v.block_size() > 1 && settings.flash_attn == FlashAttn::Off {
            return Err(EngineError::Unsupported(format!(
                "type_v = {} needs flash attention\nhint: set flash_attn to on or auto",
                settings.type_v
            )));
        }
        let layers = match settings.n_gpu_layers {
            Auto::Auto => -1,
            Auto::Fixed(n) => i32::try_from(n).unwrap_or(i32::MAX),
        };
        let asked = settings.backend_device.as_str();
        if asked.eq_ignore_ascii_case("auto") {
            return Ok(Wanted { device: None, n_gpu_layers: layers });
        }
        if asked.eq_ignore_ascii_case("cpu") {
            if layers > 0 {
                return Err(EngineError::Unsupported(format!(
                    "n_gpu_layers = {layers} with backend_device = cpu\nhint: leave n_gpu_layers \
                     at auto, or name the device"
                )));
            }
            return Ok(Wanted { device: Some("cpu".to_owned()), n_gpu_layers: 0 });
        }
        let present = ffi::devices();
        match present.iter().find(|d| d.eq_ignore_ascii_case(asked)) {
            Some(name) => Ok(Wanted { device: Some(name.clone()), n_gpu_layers: layers }),
            None => Err(EngineError::Unsupported(format!(
                "no device `{asked}` here: this build of llama.cpp finds auto, cpu{}{}",
                if present.is_empty() { "" } else { ", " },
                present.join(", ")
            ))),
        }
    }

    fn placement(&self) -> Placement<'_> {
        match self.device.as_deref() {
            None => Placement::Auto,
            Some("cpu") => Placement::Cpu,
            Some(name) => Placement::Device(name),
        }
    }

    /// Whether the devices that hold the layers are those asked for. llama.cpp falls back to the
    /// CPU without a word.
    fn check(&self, holders: &[String]) -> Result<(), EngineError> {
        let Some(asked) = self.device.as_deref() else { return Ok(()) };
        let whole = self.n_gpu_layers < 0 || asked == "cpu";
        let held = if whole {
            holders == [asked]
        } else {
            self.n_gpu_layers == 0 || holders.iter().any(|h| h == asked)
        };
        if held {
            return Ok(());
        }
        Err(EngineError::Failed(format!(
            "asked for device {asked}, but the layers are held by {}",
            holders.join(" and ")
        )))
    }
}

/// The devices that hold layers, most bytes first. A layer's cache lies with its layer, while some
/// weights (the token embedding) stay with the CPU whatever is asked; so the cache tells, and the
/// weights only where there is none.
fn holders(rows: &[MemoryRow]) -> Vec<String> {
    let by = |bytes: fn(&MemoryRow) -> u64| {
        let mut sums: Vec<(String, u64)> = Vec::new();
        for row in rows.iter().filter(|r| bytes(r) > 0) {
            let device = row.device.as_deref().unwrap_or("cpu");
            match sums.iter_mut().find(|(name, _)| name == device) {
                Some((_, sum)) => *sum += bytes(row),
                None => sums.push((device.to_owned(), bytes(row))),
            }
        }
        sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sums.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let cache = by(|r| r.context);
    if cache.is_empty() { by(|r| r.model) } else { cache }
}

/// The same with the CPU's weights mapped: all of them, of which those that are laid out anew are
/// there a second time. The library maps from the first to the last tensor that it does not lay out
/// anew, so this is what it maps at most.
fn mapped_instead(rows: &[MemoryRow], read: Allocated, tensor_bytes: u64) -> Allocated {
    let of_cpu: u64 = rows.iter().filter(|row| row.device.is_none()).map(|row| row.model).sum();
    let elsewhere = read.weight_bytes - of_cpu;
    Allocated {
        weight_bytes: elsewhere,
        weight_mapped_bytes: tensor_bytes.saturating_sub(elsewhere),
        weight_copy_bytes: rows.iter().filter(|r| is_repacked(r)).map(|r| r.model).sum(),
        ..read
    }
}

fn is_mapped(row: &MemoryRow) -> bool {
    row.name.ends_with("_Mapped")
}

/// The CPU's other buffers hold weights for its special instructions, `CPU_REPACK`, `AMX`, others;
/// but for those that a device's driver pins for it, such as `CUDA_Host`.
fn is_repacked(row: &MemoryRow) -> bool {
    row.device.is_none() && row.name != "CPU" && !is_mapped(row) && !is_pinned(row)
}

fn is_pinned(row: &MemoryRow) -> bool {
    row.name.ends_with("_Host")
}

/// The sums of all buffers, by kind.
fn allocated(rows: &[MemoryRow], n_vocab: u32) -> Allocated {
    let weights = |which: &dyn Fn(&MemoryRow) -> bool| -> u64 {
        rows.iter().filter(|row| which(row)).map(|row| row.model).sum()
    };
    let mapped = weights(&is_mapped);
    // Without a mapping they are the only ones.
    let copies = if mapped > 0 { weights(&is_repacked) } else { 0 };
    Allocated {
        weight_bytes: weights(&|row| !is_mapped(row)) - copies,
        weight_mapped_bytes: mapped,
        weight_copy_bytes: copies,
        kv_bytes: rows.iter().map(|r| r.context).sum(),
        compute_bytes: rows.iter().map(|r| r.compute).sum(),
        // Not in the library's breakdown: one row of logits, for one sequence.
        output_bytes: u64::from(n_vocab) * size_of::<f32>() as u64,
    }
}

/// Anonymous memory of this process that is resident; 0 where the system does not tell.
fn anonymous_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| {
        let mut fields = text.split_whitespace().skip(1).map(|field| field.parse::<u64>().ok());
        let (resident, of_files) = (fields.next()??, fields.next()??);
        Some(resident.saturating_sub(of_files))
    });
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests;
