//! The adapter of the built-in engine.

mod spans;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::{
    Allocated, Engine, EngineError, EngineInfo, Planned, ProfiledSession, Resolved, Session,
    TracedSession, Waypoint, fixed,
};
use crate::memory::Basis;
use crate::reference::kernel::{self, Kernels};
use crate::reference::quant::{KV_TYPES, WEIGHT_TYPES};
use crate::reference::{self, Buffers, Loading, Model, ReferenceError, SessionConfig};
use crate::settings::{Auto, Capabilities, FlashAttn, LoadMode, MemoryRule, Settings};

/// The environment variable that forces an instruction set: `plain` or `avx2`.
pub const ISA_VARIABLE: &str = "SLMBENCH_ISA";

/// The built-in engine with the instruction set it was started with.
pub struct ReferenceEngine {
    kernels: &'static dyn Kernels,
}

impl ReferenceEngine {
    /// The fastest instruction set of this machine, or the one that [`ISA_VARIABLE`] names.
    pub fn new() -> Result<ReferenceEngine, EngineError> {
        let forced = std::env::var(ISA_VARIABLE).ok().filter(|name| !name.is_empty());
        ReferenceEngine::with_isa(forced.as_deref())
    }

    /// The instruction set called `isa`, or the fastest where none is named.
    pub fn with_isa(isa: Option<&str>) -> Result<ReferenceEngine, EngineError> {
        match kernel::choose(isa) {
            Ok(kernels) => Ok(ReferenceEngine { kernels }),
            Err(error) => Err(EngineError::Unsupported(format!(
                "{error}\nhint: the variable {ISA_VARIABLE} forces it"
            ))),
        }
    }
}

impl ReferenceEngine {
    fn open(&self, model: &Path, settings: &Settings) -> Result<ReferenceSession, EngineError> {
        let (loading, config) = config(settings)?;
        let model = Arc::new(Model::open(model, loading).map_err(told)?);
        let session = reference::Session::new(model, self.kernels, config).map_err(told)?;
        // As in llama.cpp: no batch is larger than the context.
        let n_batch = settings.n_batch.min(session.config().n_ctx as u32);
        Ok(ReferenceSession { session, n_batch, loading })
    }
}

impl Engine for ReferenceEngine {
    fn info(&self) -> EngineInfo {
        let fastest = kernel::available()[0].name();
        let forced = fastest != self.kernels.name();
        EngineInfo {
            name: "reference".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: build(),
            system: self.kernels.name().to_owned(),
            below_machine: forced
                .then(|| format!("{ISA_VARIABLE} forces {}, {fastest} runs", self.kernels.name())),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            archs: Some(reference::ARCHS.iter().map(|a| a.name().to_owned()).collect()),
            not_archs: Vec::new(),
            weight_types: Some(WEIGHT_TYPES.to_vec()),
            kv_types: KV_TYPES.to_vec(),
            flash_attn: vec![FlashAttn::On, FlashAttn::Off, FlashAttn::Auto],
            flash_attn_for_values: false,
            load_modes: vec![LoadMode::Auto, LoadMode::Mmap, LoadMode::None],
            devices: vec!["auto".to_owned(), "cpu".to_owned()],
            n_ctx_padding: reference::N_CTX_PADDING as u32,
            memory_rule: MemoryRule::BuiltIn,
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
        Ok(Box::new(self.open(model, settings)?))
    }

    fn load_traced(
        &self,
        model: &Path,
        settings: &Settings,
    ) -> Result<Box<dyn TracedSession>, EngineError> {
        let mut opened = self.open(model, settings)?;
        opened.session.take_trace(true);
        Ok(Box::new(opened))
    }

    fn plan(&self, model: &Path, settings: &Settings) -> Result<Option<Planned>, EngineError> {
        let (loading, config) = config(settings)?;
        let buffers = Buffers::of_file(model, loading, config).map_err(told)?;
        let buffers = allocated(buffers);
        // A tokenizer it has none, and its lists are some hundred kilobytes.
        Ok(Some(Planned { basis: Basis::Planner, buffers, heap_bytes: 0 }))
    }
}

/// How weights come to lie and how a session is to run.
fn config(settings: &Settings) -> Result<(Loading, SessionConfig), EngineError> {
    let loading = loading(settings)?;
    refuse_devices(settings)?;
    if settings.n_batch == 0 {
        let (field, allowed) = ("n_batch", "1 or more");
        return Err(told(ReferenceError::Setting { field, found: 0, allowed }));
    }
    let n_ubatch = settings.n_ubatch.min(settings.n_batch);
    let config = SessionConfig {
        n_ctx: fixed("n_ctx", settings.n_ctx)? as usize,
        n_ubatch: n_ubatch as usize,
        n_threads: fixed("n_threads", settings.n_threads)? as usize,
        type_k: settings.type_k,
        type_v: settings.type_v,
        flash_attn: settings.flash_attn != FlashAttn::Off,
    };
    Ok((loading, config))
}

fn allocated(buffers: Buffers) -> Allocated {
    Allocated {
        weight_bytes: buffers.weight_bytes,
        weight_mapped_bytes: buffers.weight_mapped_bytes,
        weight_copy_bytes: 0,
        kv_bytes: buffers.kv_bytes,
        compute_bytes: buffers.compute_bytes,
        output_bytes: buffers.output_bytes,
    }
}

fn loading(settings: &Settings) -> Result<Loading, EngineError> {
    match settings.load_mode {
        LoadMode::Auto | LoadMode::None => Ok(Loading::Owned),
        LoadMode::Mmap => Ok(Loading::Mapped),
        other => Err(EngineError::Unsupported(format!(
            "load_mode {other}, the built-in engine does auto, mmap, none"
        ))),
    }
}

fn refuse_devices(settings: &Settings) -> Result<(), EngineError> {
    if !["auto", "cpu"].contains(&settings.backend_device.as_str()) {
        return Err(EngineError::Unsupported(format!(
            "backend_device `{}`, the built-in engine computes on cpu",
            settings.backend_device
        )));
    }
    match settings.n_gpu_layers {
        Auto::Fixed(n @ 1..) => Err(EngineError::Unsupported(format!(
            "n_gpu_layers is {n}, the built-in engine computes on the CPU: 0 or auto"
        ))),
        _ => Ok(()),
    }
}

struct ReferenceSession {
    session: reference::Session,
    n_batch: u32,
    loading: Loading,
}

impl Session for ReferenceSession {
    fn resolved(&self) -> Resolved {
        let config = self.session.config();
        Resolved {
            n_threads: config.n_threads as u32,
            n_ctx: config.n_ctx as u32,
            n_batch: self.n_batch,
            n_ubatch: config.n_ubatch as u32,
            flash_attn: config.flash_attn,
            backend_device: "cpu".to_owned(),
            load_mode: match self.loading {
                Loading::Owned => "none",
                Loading::Mapped => "mmap",
            }
            .to_owned(),
        }
    }

    fn allocated(&self) -> Option<Allocated> {
        Some(allocated(self.session.buffers()))
    }

    fn n_vocab(&self) -> u32 {
        self.session.model().shape.n_vocab
    }

    fn rewind(&mut self, n_past: u32) -> Result<(), EngineError> {
        self.session.rewind(n_past as usize).map_err(told)
    }

    fn prefill(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        self.session.prefill(tokens).map_err(told)
    }

    fn decode(&mut self, token: u32) -> Result<(), EngineError> {
        self.session.decode(token).map_err(told)
    }

    fn logits(&mut self) -> Result<&[f32], EngineError> {
        self.session.logits().map_err(told)
    }
}

impl TracedSession for ReferenceSession {
    fn waypoints(&mut self) -> Vec<Waypoint> {
        let points = self.session.trace().iter();
        let told = points.map(|point| Waypoint {
            name: format!("{}-{}", point.name, point.layer),
            row: point.row.clone(),
        });
        told.collect()
    }
}

/// The engine's error in the words of the trait.
fn told(error: ReferenceError) -> EngineError {
    let text = error.to_string();
    match error {
        ReferenceError::Gguf(_) | ReferenceError::Model(_) => EngineError::Model(text),
        ReferenceError::WeightType { .. }
        | ReferenceError::UnknownTensor { .. }
        | ReferenceError::KvType { .. }
        | ReferenceError::Setting { .. } => EngineError::Unsupported(text),
        ReferenceError::ContextFull { n_ctx, .. } => {
            EngineError::ContextFull { n_ctx: n_ctx as u32 }
        }
        ReferenceError::Memory { .. } => EngineError::OutOfMemory(text),
        ReferenceError::Threads { error, .. } if error.kind() == ErrorKind::OutOfMemory => {
            EngineError::OutOfMemory(text)
        }
        _ => EngineError::Failed(text),
    }
}

/// Target and the instruction sets that plain code was compiled for.
fn build() -> String {
    let mut features = Vec::new();
    macro_rules! note {
        ($($name:literal)*) => { $(if cfg!(target_feature = $name) { features.push($name); })* };
    }
    note!("sse2" "sse4.2" "avx2" "fma" "avx512f" "neon" "dotprod" "i8mm");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!(
        "rustc {}-{} {profile} +{}",
        std::env::consts::ARCH,
        std::env::consts::OS,
        features.join("+")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(settings: &Settings) -> String {
        let engine = ReferenceEngine::with_isa(None).unwrap();
        let result = engine.load(Path::new("/no/such/file.gguf"), settings);
        result.err().expect("there is no such file").to_string()
    }

    fn settings() -> Settings {
        Settings { n_ctx: Auto::Fixed(64), n_threads: Auto::Fixed(1), ..Settings::default() }
    }

    #[test]
    fn what_the_engine_does_not_do_is_refused_before_the_file_is_opened() {
        let error = load(&Settings { n_gpu_layers: Auto::Fixed(3), ..settings() });
        assert!(error.starts_with("n_gpu_layers is 3"), "{error}");
        let error = load(&Settings { backend_device: "CUDA0".to_owned(), ..settings() });
        assert!(error.starts_with("backend_device `CUDA0`"), "{error}");
        let error = load(&Settings { load_mode: LoadMode::Mlock, ..settings() });
        assert!(error.starts_with("load_mode mlock"), "{error}");
        let error = load(&Settings { n_batch: 0, ..settings() });
        assert_eq!(error, "n_batch is 0, allowed are 1 or more");
        let error = load(&settings());
        assert!(error.contains("/no/such/file.gguf"), "{error}");
    }

    #[test]
    fn a_set_below_the_machine_is_said_in_the_record() {
        let plain = ReferenceEngine::with_isa(Some("plain")).unwrap().info();
        assert_eq!(plain.system, "plain");
        assert_eq!(plain.below_machine.is_some(), kernel::available().len() > 1);
        let best = ReferenceEngine::with_isa(None).unwrap().info();
        assert_eq!((best.name.as_str(), best.below_machine), ("reference", None));
        let error = ReferenceEngine::with_isa(Some("mmx")).err().unwrap().to_string();
        assert!(error.contains("hint: the variable SLMBENCH_ISA"), "{error}");
    }
}
