//! Node by node: the callback by which llama.cpp lets itself be watched.
//!
//! Where a callback wants a node, ggml's scheduler computes up to it, waits, and tells: it takes the
//! graph apart, which costs fusions and a start of all threads for every node. So a context has the
//! callback only when it was made to be watched: for a profile, which wants every node's times, or for
//! a comparison, which wants what some nodes came to. What is unsafe of this is here; what nodes mean is
//! in `nodes`.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use crate::clock::{Clock, MonotonicClock};
use crate::ggml::GgmlType;

/// Sources of a node that are looked at: those of attention are five.
const MAX_SOURCES: usize = 5;

/// What is written down while a context computes. ggml keeps a pointer to it: it is one here too, from
/// which all others come.
pub struct Tape(NonNull<Recording>);

/// What is written down of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// Nothing.
    #[default]
    Nothing,
    /// Of every node when it was computed, and from what.
    Times,
    /// Of nodes whose names begin so, a `-` and the layer behind it, what they came to: the row of
    /// the last token.
    Rows(&'static [&'static str]),
}

#[derive(Default)]
struct Recording {
    watch: Watch,
    began: Option<u64>,
    nodes: Vec<RawNode>,
    /// Name and row of a node; of a name the last.
    rows: Vec<(String, Vec<f32>)>,
}

/// A tensor, without a pointer.
#[derive(Clone, Copy)]
struct RawTensor {
    op: sys::ggml_op,
    ty: sys::ggml_type,
    ne: [i64; 4],
    bytes: usize,
    name: [c_char; 64],
    is_view: bool,
    of_cache: bool,
}

struct RawNode {
    start_ns: u64,
    end_ns: u64,
    result: RawTensor,
    sources: [Option<RawTensor>; MAX_SOURCES],
}

/// A tensor of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// `Qcur-3`, `blk.3.attn_q.weight`.
    pub name: String,
    /// Whether it is a view of another.
    pub is_view: bool,
    /// Whether it is a KV cache or a view of one.
    pub of_cache: bool,
    /// Its type; absent where this program does not know it.
    pub ty: Option<GgmlType>,
    /// Its dimensions, ggml's order.
    pub ne: [u64; 4],
    /// Bytes from its first element to its last.
    pub bytes: u64,
}

impl Tensor {
    /// Number of elements.
    pub fn n_elements(&self) -> u64 {
        self.ne.iter().product()
    }
}

/// A node that was computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// As ggml names it: `MUL_MAT`.
    pub op: String,
    /// What came out.
    pub result: Tensor,
    /// What went in.
    pub sources: Vec<Tensor>,
    /// When the scheduler began with it, on the monotonic clock.
    pub start_ns: u64,
    /// When it was done.
    pub end_ns: u64,
}

impl Default for Tape {
    fn default() -> Tape {
        Tape(NonNull::from(Box::leak(Box::default())))
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        // SAFETY: it came from a box and is freed once; its context, the only other one who knows it, was
        // freed before.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Tape {
    fn recording(&mut self) -> &mut Recording {
        // SAFETY: it is alive, and ggml writes only within calls that hold the context, and with it this
        // tape, exclusively.
        unsafe { self.0.as_mut() }
    }

    /// From now on writes this down. What was written down before is forgotten.
    pub fn switch(&mut self, watch: Watch) {
        let recording = self.recording();
        (recording.watch, recording.began) = (watch, None);
        recording.nodes.clear();
        recording.rows.clear();
    }

    /// How many nodes were written down since they were last taken.
    pub fn n_nodes(&mut self) -> usize {
        self.recording().nodes.len()
    }

    /// What was written down since the last time. Its room is kept.
    pub fn take(&mut self) -> Vec<Node> {
        let recording = self.recording();
        recording.began = None;
        recording.nodes.drain(..).map(|raw| raw.told()).collect()
    }

    /// Names and rows of the last token, in the order in which they were computed.
    pub fn rows(&mut self) -> &[(String, Vec<f32>)] {
        &self.recording().rows
    }

    /// The callback with its data, for the parameters of a context that does not outlive the tape.
    pub fn hook(&self) -> (sys::ggml_backend_sched_eval_callback, *mut c_void) {
        (Some(on_node), self.0.as_ptr().cast())
    }
}

/// Called before a node is computed, whether it is wanted, and after it.
unsafe extern "C" fn on_node(node: *mut sys::ggml_tensor, ask: bool, data: *mut c_void) -> bool {
    // SAFETY: `data` is the recording of a tape that outlives its context. ggml calls from the thread
    // that called it, which holds the session exclusively, so nobody else has the recording.
    let recording = unsafe { &mut *data.cast::<Recording>() };
    // SAFETY: ggml passes a node of the graph that it is computing.
    let node = unsafe { &*node };
    match recording.watch {
        Watch::Nothing => return false,
        Watch::Times => {}
        Watch::Rows(names) if ask => return is_one_of(&node.name, names),
        Watch::Rows(_) => {
            if let Some(row) = last_row(node) {
                let name = text(&node.name);
                // An earlier micro-batch, or an earlier call, had one of this name.
                recording.rows.retain(|(known, _)| *known != name);
                recording.rows.push((name, row));
            }
            return true;
        }
    }
    if ask {
        recording.began.get_or_insert_with(now);
        return computes(node.op);
    }
    let end_ns = now();
    let start_ns = recording.began.take().unwrap_or(end_ns);
    let mut sources = [None; MAX_SOURCES];
    for (kept, &source) in sources.iter_mut().zip(&node.src) {
        // SAFETY: a source is null or a tensor that lives as long as the graph.
        *kept = unsafe { source.as_ref() }.map(raw);
    }
    recording.nodes.push(RawNode { start_ns, end_ns, result: raw(node), sources });
    true
}

/// Whether `name` is one of `names` with a layer behind it.
fn is_one_of(name: &[c_char; 64], names: &[&str]) -> bool {
    let name = text(name);
    let known = name.rsplit_once('-').filter(|(_, layer)| layer.parse::<u32>().is_ok());
    known.is_some_and(|(stem, _)| names.contains(&stem))
}

/// The last row of a tensor of single precision that has been computed; none where it has no rows, as
/// behind the cache of the last layer where no logits are wanted.
fn last_row(tensor: &sys::ggml_tensor) -> Option<Vec<f32>> {
    let [width, n_rows, 1, 1] = tensor.ne.map(|n| usize::try_from(n).unwrap_or(0)) else {
        return None;
    };
    // SAFETY: reads the dimensions of a tensor that is alive.
    let is_whole = unsafe { sys::ggml_is_contiguous(tensor) };
    if tensor.type_ != sys::GGML_TYPE_F32 || !is_whole || n_rows == 0 {
        return None;
    }
    let mut row = vec![0.0f32; width];
    let bytes = size_of_val(&row[..]);
    // SAFETY: the tensor has its data, for it was just computed; it holds `n_rows` rows of so many
    // bytes, of which the last goes into as many of ours.
    unsafe {
        sys::ggml_backend_tensor_get(tensor, row.as_mut_ptr().cast(), (n_rows - 1) * bytes, bytes);
    }
    Some(row)
}

fn now() -> u64 {
    MonotonicClock.now().0
}

/// Whether an operation does more than to look at its source in another way.
fn computes(op: sys::ggml_op) -> bool {
    !matches!(
        op,
        sys::GGML_OP_NONE
            | sys::GGML_OP_RESHAPE
            | sys::GGML_OP_VIEW
            | sys::GGML_OP_PERMUTE
            | sys::GGML_OP_TRANSPOSE
    )
}

fn raw(tensor: &sys::ggml_tensor) -> RawTensor {
    // SAFETY: null, or a tensor that lives as long as its views.
    let viewed = unsafe { tensor.view_src.as_ref() };
    RawTensor {
        op: tensor.op,
        ty: tensor.type_,
        ne: tensor.ne,
        // SAFETY: reads the dimensions of a tensor that is alive.
        bytes: unsafe { sys::ggml_nbytes(tensor) },
        name: tensor.name,
        is_view: viewed.is_some(),
        of_cache: is_cache(&viewed.unwrap_or(tensor).name),
    }
}

impl RawNode {
    fn told(self) -> Node {
        // SAFETY: takes an operation of ggml's own and returns a static string.
        let op = unsafe { CStr::from_ptr(sys::ggml_op_name(self.result.op)) };
        Node {
            op: op.to_string_lossy().into_owned(),
            result: self.result.told(),
            sources: self.sources.iter().flatten().map(RawTensor::told).collect(),
            start_ns: self.start_ns,
            end_ns: self.end_ns,
        }
    }
}

impl RawTensor {
    fn told(&self) -> Tensor {
        Tensor {
            name: text(&self.name),
            is_view: self.is_view,
            of_cache: self.of_cache,
            ty: GgmlType::from_id(self.ty),
            ne: self.ne.map(|n| u64::try_from(n).unwrap_or(0)),
            bytes: self.bytes as u64,
        }
    }
}

/// `cache_k_l0`.
fn is_cache(name: &[c_char; 64]) -> bool {
    name.iter().zip(b"cache_").all(|(c, expected)| *c as u8 == *expected)
}

/// A text of at most 64 bytes, up to its end.
fn text(name: &[c_char; 64]) -> String {
    let bytes: Vec<u8> = name.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
