//! What stands on the reader: the shape of a model, what running it would take, what it would be made
//! into by the quantiser, and, as what was planned, a prompt of two tokens and one more.

#![no_main]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use slmbench::ggml::GgmlType;
use slmbench::gguf::Gguf;
use slmbench::model::{self, FileMix, ModelIdentity, ModelShape};
use slmbench::quantize::Quantization;
use slmbench::reference::{Buffers, Loading, Model, Session, SessionConfig, kernel};
use slmbench_fuzz::{change, files, justified, most_taken, write_seeds};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    change(data, size, max_size, seed)
});

fuzz_target!(init: write_seeds(&files()), |data: &[u8]| -> Corpus {
    let len = data.len();
    let (answer, most) = most_taken(|| Gguf::parse(data.to_vec()).ok().map(|file| {
        // One way or the other, as the bytes have it.
        let choice = data.iter().fold(len, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        try_all(file, len, choice)
    }));
    assert!(most <= justified(len), "{most} bytes taken for a file of {len}");
    // What the reader refuses is `gguf`'s to look into: it would fill the corpus.
    let kept = if answer.is_some() { Corpus::Keep } else { Corpus::Reject };
    note(answer);
    kept
});

/// Says now and then how far inputs come: a fuzzer that never loads a model finds nothing there.
fn note(answer: Option<Option<()>>) {
    static COUNTS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    let mut counts = [true, answer.is_some(), answer.flatten().is_some()].into_iter();
    let counts = COUNTS.each_ref().map(|count| {
        let one = u64::from(counts.next().unwrap_or(false));
        count.fetch_add(one, Ordering::Relaxed) + one
    });
    if counts[0] >= 1 << 12 && counts[0].is_power_of_two() {
        eprintln!(
            "of {} inputs {} were files, {} of them models that ran",
            counts[0], counts[1], counts[2]
        );
    }
}

/// `None` where it is refused on the way.
fn try_all(file: Gguf, len: usize, choice: usize) -> Option<()> {
    if let Ok(identity) = ModelIdentity::of_file(&file, String::new()) {
        let _ = (identity.types_in_words(), model::quant_name(&file));
    }
    if let Ok(shape) = ModelShape::from_gguf(&file) {
        assert!(shape.problems().is_empty());
        let _ = (shape.n_params(), shape.hash());
    }
    for mix in [FileMix::Q4_K_M, FileMix::Q8_0] {
        if let Ok(made) = Quantization::new(&file, mix) {
            let _ = made.size();
        }
    }
    let loading = if choice.is_multiple_of(2) { Loading::Owned } else { Loading::Mapped };
    let type_k = if choice.is_multiple_of(3) { GgmlType::F32 } else { GgmlType::F16 };
    let type_v = if choice.is_multiple_of(5) { GgmlType::BF16 } else { GgmlType::F16 };
    let flash_attn = !choice.is_multiple_of(7);
    let config = SessionConfig { n_ctx: 16, n_ubatch: 2, n_threads: 1, type_k, type_v, flash_attn };
    let planned = Buffers::of(&file, loading, config);
    if let Ok(planned) = &planned {
        let Buffers { weight_bytes, weight_mapped_bytes, kv_bytes, compute_bytes, output_bytes } =
            *planned;
        let all = weight_bytes + weight_mapped_bytes + kv_bytes + compute_bytes + output_bytes;
        assert!(all <= justified(len) as u64, "{planned:?} for a file of {len} bytes");
    }
    let model = Arc::new(Model::load(file, loading).ok()?);
    let planned = planned.expect("what is loaded has a plan");
    let n_vocab = model.shape.n_vocab;
    for kernels in kernel::available() {
        let mut s = Session::new(Arc::clone(&model), kernels, config).ok()?;
        assert_eq!(s.buffers(), planned);
        s.prefill(&[0, n_vocab - 1]).ok()?;
        s.decode(n_vocab / 2).ok()?;
        assert_eq!(s.logits().ok()?.len(), n_vocab as usize);
    }
    Some(())
}
