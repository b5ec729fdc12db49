//! The only unsafe code of this adapter: llama.cpp's C interface behind owned, checked types.
//!
//! The raw bindings (`llama-cpp-sys-2`) are used for everything that touches a model or a context:
//! `llama-cpp-2` keeps its pointers to itself and lacks the load modes, the memory breakdown and
//! the rewind by position that a measurement needs, and safe and raw objects cannot be mixed.
//! What it has complete, starting the backend and listing devices, is taken from it.
//!
//! Nothing here decides anything: policy is in the files beside it.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::{LlamaBackendDeviceType, list_llama_ggml_backend_devices};
use llama_cpp_sys_2 as sys;

use super::eval::{Node, Tape, Watch};
use super::log::{self, Level};
use crate::ggml::GgmlType;
use crate::settings::{FlashAttn, LoadMode};

/// Starts the library once for this process, its log taken over first.
pub fn start() {
    static BACKEND: OnceLock<Option<LlamaBackend>> = OnceLock::new();
    BACKEND.get_or_init(|| {
        // SAFETY: `on_log` has the signature asked for, uses no user data and lives for ever.
        unsafe { sys::llama_log_set(Some(on_log), ptr::null_mut()) };
        LlamaBackend::init().ok()
    });
}

/// Receives every line llama.cpp and ggml write.
unsafe extern "C" fn on_log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    let level = match level {
        sys::GGML_LOG_LEVEL_DEBUG => Level::Debug,
        sys::GGML_LOG_LEVEL_WARN => Level::Warning,
        sys::GGML_LOG_LEVEL_ERROR => Level::Error,
        sys::GGML_LOG_LEVEL_CONT => Level::Continued,
        _ => Level::Info,
    };
    if level != Level::Debug && !text.is_null() {
        // SAFETY: llama.cpp passes a terminated string that lives for the length of the call.
        log::write(level, &unsafe { CStr::from_ptr(text) }.to_string_lossy());
    }
}

/// The text behind a pointer the library owns; empty for none.
fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: only called with strings the library keeps terminated, and copied at once.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// Versions of llama.cpp and ggml, and ggml's commit where the build knew it.
pub fn versions() -> (String, String, String) {
    // SAFETY: the three functions take nothing and return static strings.
    unsafe { (text(sys::llama_version()), text(sys::ggml_version()), text(sys::ggml_commit())) }
}

/// llama.cpp's own line about instruction sets and backends.
pub fn system_info() -> String {
    // SAFETY: returns a string the library owns until the next call; it is copied before that.
    text(unsafe { sys::llama_print_system_info() })
}

/// Names of the backends compiled in.
pub fn backends() -> Vec<String> {
    // SAFETY: indices stay below the count; the names are static strings.
    unsafe {
        (0..sys::ggml_backend_reg_count())
            .map(|i| text(sys::ggml_backend_reg_name(sys::ggml_backend_reg_get(i))))
            .collect()
    }
}

/// Names of the devices beside the CPU that can hold layers.
pub fn devices() -> Vec<String> {
    list_llama_ggml_backend_devices()
        .into_iter()
        .filter(|d| {
            matches!(
                d.device_type,
                LlamaBackendDeviceType::Gpu | LlamaBackendDeviceType::IntegratedGpu
            )
        })
        .map(|d| d.name)
        .collect()
}

/// Instruction sets ggml's CPU code was compiled for, of those that `machine` can name.
pub fn compiled_features() -> Vec<&'static str> {
    type Has = unsafe extern "C" fn() -> std::ffi::c_int;
    let table: &[(&str, Has)] = &[
        ("AVX", sys::ggml_cpu_has_avx),
        ("AVX2", sys::ggml_cpu_has_avx2),
        ("AVX-VNNI", sys::ggml_cpu_has_avx_vnni),
        ("FMA", sys::ggml_cpu_has_fma),
        ("F16C", sys::ggml_cpu_has_f16c),
        ("BMI2", sys::ggml_cpu_has_bmi2),
        ("AVX512", sys::ggml_cpu_has_avx512),
        ("AVX512 VBMI", sys::ggml_cpu_has_avx512_vbmi),
        ("AVX512 VNNI", sys::ggml_cpu_has_avx512_vnni),
        ("AVX512 BF16", sys::ggml_cpu_has_avx512_bf16),
        ("NEON", sys::ggml_cpu_has_neon),
        ("FP16", sys::ggml_cpu_has_fp16_va),
        ("DOTPROD", sys::ggml_cpu_has_dotprod),
        ("I8MM", sys::ggml_cpu_has_matmul_int8),
        ("SVE", sys::ggml_cpu_has_sve),
    ];
    // SAFETY: each of these functions takes nothing and answers from the build.
    table.iter().filter(|(_, has)| unsafe { has() } != 0).map(|(name, _)| *name).collect()
}

/// Which devices a model may use.
pub enum Placement<'a> {
    /// Those the library picks.
    Auto,
    /// None beside the CPU.
    Cpu,
    /// This one.
    Device(&'a str),
}

/// A loaded model.
pub struct Model(ptr::NonNull<sys::llama_model>);

/// How a model is loaded.
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// Where its layers go.
    pub placement: &'a Placement<'a>,
    /// How many of them; below zero all.
    pub n_gpu_layers: i32,
    /// How weights come into memory.
    pub mode: LoadMode,
    /// Whether weights may be laid out anew for the CPU's instructions, as is the library's default.
    pub repacks: bool,
    /// Whether memory is only counted and no tensor is read.
    pub no_alloc: bool,
}

impl Model {
    /// Opens a file. `None` when the library refused; its log says why.
    ///
    pub fn load(path: &Path, options: &LoadOptions<'_>) -> Option<Model> {
        let LoadOptions { placement, n_gpu_layers, mode, repacks, no_alloc } = *options;
        let path = CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
        let mut devices: Vec<sys::ggml_backend_dev_t> = match placement {
            Placement::Auto => Vec::new(),
            Placement::Cpu => vec![ptr::null_mut()],
            Placement::Device(name) => {
                let name = CString::new(*name).ok()?;
                // SAFETY: a terminated string, read during the call only.
                let device = unsafe { sys::ggml_backend_dev_by_name(name.as_ptr()) };
                if device.is_null() {
                    return None;
                }
                vec![device, ptr::null_mut()]
            }
        };
        // SAFETY: returns plain data.
        let mut params = unsafe { sys::llama_model_default_params() };
        if !devices.is_empty() {
            params.devices = devices.as_mut_ptr();
        }
        params.n_gpu_layers = n_gpu_layers;
        params.use_extra_bufts = repacks;
        params.no_alloc = no_alloc;
        params.load_mode = match mode {
            LoadMode::Auto => sys::LLAMA_LOAD_MODE_AUTO,
            LoadMode::Mmap => sys::LLAMA_LOAD_MODE_MMAP,
            LoadMode::None => sys::LLAMA_LOAD_MODE_NONE,
            LoadMode::Mlock => sys::LLAMA_LOAD_MODE_MMAP_MLOCK,
        };
        // SAFETY: the path is terminated; `devices`, ended by a null, outlives the call, and the
        // library copies what it keeps of it. All other parameters are its own defaults.
        ptr::NonNull::new(unsafe { sys::llama_model_load_from_file(path.as_ptr(), params) })
            .map(Model)
    }

    /// Opens a file without memory for its tensors and without reading any of them. `None` when
    /// the library refused; its log says why.
    pub fn load_header(path: &Path) -> Option<Model> {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
        let mut no_devices: [sys::ggml_backend_dev_t; 1] = [ptr::null_mut()];
        // SAFETY: returns plain data.
        let mut params = unsafe { sys::llama_model_default_params() };
        params.devices = no_devices.as_mut_ptr();
        params.no_alloc = true;
        params.load_mode = sys::LLAMA_LOAD_MODE_NONE;
        // SAFETY: the path is terminated; the list of devices, ended by a null, outlives the call.
        ptr::NonNull::new(unsafe { sys::llama_model_load_from_file(path.as_ptr(), params) })
            .map(Model)
    }

    /// Parameters as the library counts them: every element of every tensor.
    pub fn n_params(&self) -> u64 {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_n_params(self.0.as_ptr()) }
    }

    /// Bytes of all tensors as the file has them.
    pub fn size(&self) -> u64 {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_size(self.0.as_ptr()) }
    }

    /// Tokens that layers with a sliding window look back; 0 where there are none.
    pub fn n_swa(&self) -> u32 {
        // SAFETY: the model is alive.
        u32::try_from(unsafe { sys::llama_model_n_swa(self.0.as_ptr()) }).unwrap_or(0)
    }

    /// The architecture's name in GGUF; empty where the file tells none.
    pub fn arch(&self) -> String {
        let mut name = [0; 64];
        // SAFETY: the model is alive; at most the length given is written, ended by a null.
        let n = unsafe {
            sys::llama_model_meta_val_str(
                self.0.as_ptr(),
                c"general.architecture".as_ptr(),
                name.as_mut_ptr(),
                name.len(),
            )
        };
        if n < 0 { String::new() } else { text(name.as_ptr()) }
    }

    /// Number of token ids.
    pub fn n_vocab(&self) -> u32 {
        // SAFETY: the model is alive, and its vocabulary lives as long.
        let n = unsafe { sys::llama_vocab_n_tokens(sys::llama_model_get_vocab(self.0.as_ptr())) };
        u32::try_from(n).unwrap_or(0)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made by the library, freed once, and contexts on it are freed before
        // (`Context` owns its model and frees itself first).
        unsafe { sys::llama_model_free(self.0.as_ptr()) };
    }
}

/// Has the quantiser make a file of another, or only say what it would make where no path is given.
/// `false` when it refused; the log says why, and otherwise what.
pub fn quantize(path: &Path, out: Option<&Path>, file_type: u32) -> bool {
    let text = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes());
    let (Ok(path), Ok(to)) = (text(path), text(out.unwrap_or(Path::new("")))) else {
        return false;
    };
    // SAFETY: returns plain data.
    let mut params = unsafe { sys::llama_model_quantize_default_params() };
    params.ftype = file_type as sys::llama_ftype;
    params.nthread = 1;
    params.dry_run = out.is_none();
    // SAFETY: both paths are terminated strings, and nothing is written to the second in a dry run;
    // all other parameters are the library's own defaults. It lets no C++ exception out.
    unsafe { sys::llama_model_quantize(path.as_ptr(), to.as_ptr(), &params) == 0 }
}

/// What a context is made with.
pub struct ContextOptions {
    /// Capacity of the KV cache.
    pub n_ctx: u32,
    /// Logical batch.
    pub n_batch: u32,
    /// Physical batch.
    pub n_ubatch: u32,
    /// Threads, for prompts and single tokens alike.
    pub n_threads: u32,
    /// Element type of the keys.
    pub type_k: GgmlType,
    /// Element type of the values.
    pub type_v: GgmlType,
    /// Flash attention.
    pub flash_attn: FlashAttn,
    /// Whether it is to be watched node by node.
    pub watched: bool,
}

/// Bytes of one buffer type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRow {
    /// The buffer type's name: `CPU`, `CPU_Mapped`, `CPU_REPACK`, `CUDA0`.
    pub name: String,
    /// The device that holds it; `None` for memory of the CPU.
    pub device: Option<String>,
    /// Weights.
    pub model: u64,
    /// The KV cache.
    pub context: u64,
    /// Buffers of the graph.
    pub compute: u64,
}

/// The library's own timers.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// Time in prompts, ms.
    pub prefill_ms: f64,
    /// Time in single tokens, ms.
    pub decode_ms: f64,
    /// Prompt tokens.
    pub n_prefill: u32,
    /// Single tokens.
    pub n_decode: u32,
}

/// A context: KV cache, graph buffers, threads.
pub struct Context {
    raw: ptr::NonNull<sys::llama_context>,
    model: Model,
    tokens: Vec<sys::llama_token>,
    outputs: Vec<i8>,
    /// Freed behind the context, which writes on it.
    tape: Option<Tape>,
}

#[repr(C)]
struct RawMemoryRow {
    buft: sys::ggml_backend_buffer_type_t,
    model: u64,
    context: u64,
    compute: u64,
}

unsafe extern "C" {
    /// `shim/llama_cpp.cpp`.
    fn slmbench_memory_breakdown(
        ctx: *const sys::llama_context,
        rows: *mut RawMemoryRow,
        capacity: usize,
    ) -> usize;

    /// `shim/llama_cpp.cpp`: `llama_decode` and `llama_synchronize`, nothing thrown.
    fn slmbench_decode(ctx: *mut sys::llama_context, batch: *const sys::llama_batch) -> i32;
}

/// The code of [`Context::run`] when C++ threw `std::bad_alloc`.
pub const OUT_OF_MEMORY: i32 = i32::MIN;
/// The code of [`Context::run`] when C++ threw anything else.
pub const THREW: i32 = i32::MIN + 1;

// The shim declares the batch a second time: any difference ends the build here.
const _: () = {
    use std::mem::offset_of;
    type Batch = sys::llama_batch;
    let word = size_of::<*const c_void>();
    assert!(size_of::<sys::llama_token>() == 4 && size_of::<sys::llama_pos>() == 4);
    assert!(size_of::<sys::llama_seq_id>() == 4);
    assert!(offset_of!(Batch, n_tokens) == 0 && offset_of!(Batch, token) == word);
    assert!(offset_of!(Batch, embd) == 2 * word && offset_of!(Batch, pos) == 3 * word);
    assert!(offset_of!(Batch, n_seq_id) == 4 * word && offset_of!(Batch, seq_id) == 5 * word);
    assert!(offset_of!(Batch, logits) == 6 * word && size_of::<Batch>() == 7 * word);
};

impl Context {
    /// Takes KV cache and buffers. `None` when the library refused; its log says why.
    pub fn new(model: Model, options: &ContextOptions) -> Option<Context> {
        // SAFETY: returns plain data.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = options.n_ctx;
        params.n_batch = options.n_batch;
        params.n_ubatch = options.n_ubatch;
        params.n_seq_max = 1;
        let n_threads = i32::try_from(options.n_threads).unwrap_or(i32::MAX);
        params.n_threads = n_threads;
        params.n_threads_batch = n_threads;
        params.type_k = options.type_k.id() as sys::ggml_type;
        params.type_v = options.type_v.id() as sys::ggml_type;
        params.flash_attn_type = match options.flash_attn {
            FlashAttn::On => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            FlashAttn::Off => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
            FlashAttn::Auto => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
        };
        params.no_perf = false;
        let tape = options.watched.then(Tape::default);
        if let Some(tape) = &tape {
            (params.cb_eval, params.cb_eval_user_data) = tape.hook();
        }
        // SAFETY: the model is alive and moves into the result, which frees the context first; so does
        // the tape, which stays where it is in memory.
        let raw = unsafe { sys::llama_init_from_model(model.0.as_ptr(), params) };
        let raw = ptr::NonNull::new(raw)?;
        Some(Context { raw, model, tokens: Vec::new(), outputs: Vec::new(), tape })
    }

    /// Whether it was made to be watched.
    pub fn is_watched(&self) -> bool {
        self.tape.is_some()
    }

    /// What is written down of nodes from now on: nothing where it was not made to be watched.
    pub fn watch(&mut self, watch: Watch) {
        if let Some(tape) = &mut self.tape {
            tape.switch(watch);
        }
    }

    /// How many nodes were written down since they were last taken.
    pub fn n_nodes(&mut self) -> usize {
        self.tape.as_mut().map_or(0, Tape::n_nodes)
    }

    /// Nodes that were computed since the last time.
    pub fn nodes(&mut self) -> Vec<Node> {
        self.tape.as_mut().map(Tape::take).unwrap_or_default()
    }

    /// Names and rows of the nodes that are watched for those.
    pub fn rows(&mut self) -> &[(String, Vec<f32>)] {
        self.tape.as_mut().map(Tape::rows).unwrap_or_default()
    }

    /// The model it runs.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Capacity of the KV cache, as padded.
    pub fn n_ctx(&self) -> u32 {
        // SAFETY: the context is alive.
        unsafe { sys::llama_n_ctx(self.raw.as_ptr()) }
    }

    /// Logical batch, as clamped.
    pub fn n_batch(&self) -> u32 {
        // SAFETY: the context is alive.
        unsafe { sys::llama_n_batch(self.raw.as_ptr()) }
    }

    /// Physical batch, as clamped.
    pub fn n_ubatch(&self) -> u32 {
        // SAFETY: the context is alive.
        unsafe { sys::llama_n_ubatch(self.raw.as_ptr()) }
    }

    /// Threads in use.
    pub fn n_threads(&self) -> u32 {
        // SAFETY: the context is alive.
        u32::try_from(unsafe { sys::llama_n_threads(self.raw.as_ptr()) }).unwrap_or(0)
    }

    /// Runs tokens behind those in the cache and waits for the device. With `output`, the logits
    /// of the last one are kept. Answers the library's code, where 0 is success, or
    /// [`OUT_OF_MEMORY`] or [`THREW`].
    pub fn run(&mut self, tokens: &[u32], output: bool) -> i32 {
        self.tokens.clear();
        // An id beyond i32 is no token; -1 makes the library say so.
        self.tokens.extend(tokens.iter().map(|&t| i32::try_from(t).unwrap_or(-1)));
        self.outputs.clear();
        self.outputs.resize(tokens.len(), 0);
        if let Some(last) = self.outputs.last_mut() {
            *last = i8::from(output);
        }
        let batch = sys::llama_batch {
            n_tokens: i32::try_from(tokens.len()).unwrap_or(-1),
            token: self.tokens.as_mut_ptr(),
            embd: ptr::null_mut(),
            pos: ptr::null_mut(),
            n_seq_id: ptr::null_mut(),
            seq_id: ptr::null_mut(),
            logits: self.outputs.as_mut_ptr(),
        };
        // SAFETY: the context is alive and not shared; both arrays are `n_tokens` long and live
        // through the call; null positions and sequences are documented to mean "continue
        // sequence 0". The shim lets no C++ exception out.
        unsafe { slmbench_decode(self.raw.as_ptr(), &batch) }
    }

    /// Drops everything from position `n_past` on. `false` when this kind of cache cannot.
    pub fn rewind(&mut self, n_past: u32) -> bool {
        // SAFETY: the context is alive and not shared; its memory lives as long. Position -1
        // means "to the end".
        unsafe {
            let memory = sys::llama_get_memory(self.raw.as_ptr());
            if n_past == 0 {
                sys::llama_memory_clear(memory, false);
                return true;
            }
            let from = i32::try_from(n_past).unwrap_or(i32::MAX);
            sys::llama_memory_seq_rm(memory, 0, from, -1)
        }
    }

    /// Logits kept by the last `run`; `None` when it kept none.
    pub fn logits(&mut self) -> Option<&[f32]> {
        let n_vocab = self.model.n_vocab() as usize;
        // SAFETY: the context is alive and not shared. A non-null answer points to a row of
        // `n_vocab` floats that stays until the next call that changes the context, which needs
        // the exclusive borrow held by the result.
        unsafe {
            let row = sys::llama_get_logits_ith(self.raw.as_ptr(), -1);
            (!row.is_null()).then(|| std::slice::from_raw_parts(row, n_vocab))
        }
    }

    /// Bytes by buffer type; `None` when the library failed to tell.
    pub fn memory(&self) -> Option<Vec<MemoryRow>> {
        let mut rows: Vec<RawMemoryRow> = Vec::with_capacity(32);
        // SAFETY: the context is alive; at most `capacity` rows are written.
        let n = unsafe {
            slmbench_memory_breakdown(self.raw.as_ptr(), rows.as_mut_ptr(), rows.capacity())
        };
        if n > rows.capacity() {
            return None;
        }
        // SAFETY: the first `n` rows were written.
        unsafe { rows.set_len(n) };
        Some(rows.iter().map(memory_row).collect())
    }

    /// The library's own timers since the context was made.
    pub fn counters(&self) -> Counters {
        // SAFETY: the context is alive; the answer is plain data.
        let data = unsafe { sys::llama_perf_context(self.raw.as_ptr()) };
        Counters {
            prefill_ms: data.t_p_eval_ms,
            decode_ms: data.t_eval_ms,
            n_prefill: u32::try_from(data.n_p_eval).unwrap_or(0),
            n_decode: u32::try_from(data.n_eval).unwrap_or(0),
        }
    }
}

fn memory_row(raw: &RawMemoryRow) -> MemoryRow {
    // SAFETY: buffer types are static objects of the library; so are their devices and names.
    // A buffer type without a device, or one the CPU reads directly (pinned memory of a GPU
    // driver), is memory of the CPU.
    let (name, device) = unsafe {
        let device = sys::ggml_backend_buft_get_device(raw.buft);
        let elsewhere = !device.is_null()
            && !sys::ggml_backend_buft_is_host(raw.buft)
            && matches!(
                sys::ggml_backend_dev_type(device),
                sys::GGML_BACKEND_DEVICE_TYPE_GPU | sys::GGML_BACKEND_DEVICE_TYPE_IGPU
            );
        (
            text(sys::ggml_backend_buft_name(raw.buft)),
            elsewhere.then(|| text(sys::ggml_backend_dev_name(device))),
        )
    };
    MemoryRow { name, device, model: raw.model, context: raw.context, compute: raw.compute }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by the library and freed once; the model field is dropped after this.
        unsafe { sys::llama_free(self.raw.as_ptr()) };
    }
}
