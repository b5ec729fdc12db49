//! The shape of a model as its GGUF header tells it.

use super::arch::Head;
use super::{Arch, ModelShape, PerLayer, RopeScaling, ShapeError, ShapeProblem};
use crate::gguf::{Gguf, GgufError};

/// Why a GGUF file has no shape this program understands.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A key or tensor is missing or of another type.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Another architecture.
    #[error(
        "architecture `{found}`, known are {}\n\
         hint: only engines that read such files themselves can run it",
        Arch::NAMES.join(", ")
    )]
    Arch {
        /// `general.architecture`.
        found: String,
    },
    /// A part that this program's graphs do not have.
    #[error(
        "{what} is not supported\nhint: only engines that read such files themselves can run it"
    )]
    Unsupported {
        /// What the file asks for.
        what: String,
    },
    /// One of several files that make up a model.
    #[error(
        "one of {count} files of a split model\nhint: join them first, with \
         `llama-gguf-split --merge`"
    )]
    Split {
        /// How many there are (`split.count`).
        count: u32,
    },
    /// A tensor of another shape than the metadata says.
    #[error("tensor `{tensor}` has dimensions {found:?}, the metadata says {expected:?}")]
    TensorShape {
        /// Its name.
        tensor: String,
        /// What stands in the file.
        found: Vec<u64>,
        /// What the shape asks for.
        expected: Vec<u64>,
    },
    /// A token embedding that is no matrix, or has no rows.
    #[error(
        "tensor `token_embd.weight` has dimensions {found:?}, expected are two, the second of them \
         1 or more: a row for each token"
    )]
    Embedding {
        /// What stands in the file.
        found: Vec<u64>,
    },
    /// Numbers that no model can have.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Refuses a file that has only some of a model's tensors.
pub fn check_whole(gguf: &Gguf) -> Result<(), ModelError> {
    match gguf.opt_u32("split.count")? {
        Some(count @ 2..) => Err(ModelError::Split { count }),
        _ => Ok(()),
    }
}

impl ModelShape {
    /// Reads the shape from a file's metadata, and holds the tensors' dimensions against it.
    ///
    /// Frequencies scaled for long contexts are stored in GGUF as a tensor; the shape then says
    /// [`RopeScaling::Factors`], since what they were computed from is not in the file.
    pub fn from_gguf(gguf: &Gguf) -> Result<ModelShape, ModelError> {
        // Only the first file of a split model has the metadata of all.
        check_whole(gguf)?;
        let found = gguf.str("general.architecture")?;
        let arch =
            Arch::from_name(found).ok_or_else(|| ModelError::Arch { found: found.to_owned() })?;
        let key = |name: &str| format!("{arch}.{name}");

        if let Some(n @ 1..) = gguf.opt_u32(&key("expert_count"))? {
            let what = format!("a mixture of {n} experts ({})", key("expert_count"));
            return Err(ModelError::Unsupported { what });
        }
        let n_layer = gguf.u32(&key("block_count"))?;
        let n_embd = gguf.u32(&key("embedding_length"))?;
        let n_head = per_layer(gguf, &key("attention.head_count"))?;
        let n_head_kv = match gguf.get(&key("attention.head_count_kv")) {
            Some(_) => per_layer(gguf, &key("attention.head_count_kv"))?,
            None => n_head.clone(),
        };
        let even_share = n_embd.checked_div(n_head.max()).unwrap_or(0);
        let head_dim = gguf.opt_u32(&key("attention.key_length"))?.unwrap_or(even_share);
        let value_dim = gguf.opt_u32(&key("attention.value_length"))?.unwrap_or(even_share);
        let embedding = gguf.tensor("token_embd.weight")?;
        let [_, n_vocab @ 1..=u64::MAX] = embedding.dims[..] else {
            return Err(ModelError::Embedding { found: embedding.dims.clone() });
        };
        // Said here, as a tensor: behind this a shape would be found to have an embedding for a head.
        if arch.spec().head == Head::Own {
            gguf.tensor("output.weight")?;
        }
        let name = match gguf.opt_str("general.name")? {
            Some(name) if !name.is_empty() => name,
            _ => arch.name(),
        };
        let mut n_ff = per_layer(gguf, &key("feed_forward_length"))?;
        if let (Arch::Qwen, PerLayer::Same(n)) = (arch, &mut n_ff) {
            // Its key counts gate and up together.
            *n /= 2;
        }
        let rotates = arch.rotates();
        let all = if rotates { head_dim } else { 0 };
        let base = gguf.opt_f32(&key("rope.freq_base"))?.unwrap_or(10_000.0);
        let positive =
            |name: &str| Ok::<_, ModelError>(gguf.opt_u32(&key(name))?.filter(|n| *n > 0));
        let window = match gguf.opt_u32(&key("attention.sliding_window"))? {
            None => arch.usual_window(),
            Some(0) if arch.usual_window().is_some() => {
                let what = format!("a window of no tokens ({})", key("attention.sliding_window"));
                return Err(ModelError::Unsupported { what });
            }
            Some(0) => None,
            Some(n) => Some(n),
        };
        let shape = ModelShape {
            name: name.to_owned(),
            arch,
            n_layer,
            n_embd,
            n_ff,
            n_head,
            n_head_kv,
            head_dim,
            value_dim: (value_dim != head_dim).then_some(value_dim),
            n_rot: if rotates {
                gguf.opt_u32(&key("rope.dimension_count"))?.unwrap_or(all)
            } else {
                0
            },
            n_vocab: u32::try_from(n_vocab).unwrap_or(u32::MAX),
            n_ctx_train: gguf.u32(&key("context_length"))?,
            tied_output: !gguf.has_tensor("output.weight"),
            rope_freq_base: rotates.then(|| shortest(base)),
            rope_scaling: rope_scaling(gguf, &key)?,
            norm_eps: shortest(gguf.f32(&key(arch.spec().norm.eps_key()))?),
            // Elsewhere the key is there at times, and llama.cpp does not read it.
            n_swa: window.filter(|_| arch.has_windows()),
            q_lora_rank: positive("attention.q_lora_rank")?,
            kv_lora_rank: positive("attention.kv_lora_rank")?,
            n_embd_tok: positive("token_embedding_length")?,
            post_norm: gguf.opt_bool(&key("post_norm"))?.unwrap_or(false),
            qkv_bias: arch.may_have_qkv_bias() && gguf.has_tensor("blk.0.attn_q.bias"),
            shared_ffn: false,
            copied_output_2024: false,
            sharded: false,
        };
        shape.validate()?;
        justify_layers(gguf, &shape)?;
        refuse_what_is_not_computed(gguf, &key, &shape)?;
        for spec in shape.tensors() {
            let found = &gguf.tensor(&spec.name)?.dims;
            if *found != spec.dims {
                return Err(ModelError::TensorShape {
                    tensor: spec.name,
                    found: found.clone(),
                    expected: spec.dims,
                });
            }
        }
        Ok(shape)
    }
}

/// A number of each layer: one for all, or a list of either sign, as converters write it.
fn per_layer(gguf: &Gguf, key: &str) -> Result<PerLayer, ModelError> {
    if gguf.array_len(key).is_none() {
        return Ok(PerLayer::Same(gguf.u32(key)?));
    }
    let list = match gguf.array::<i32>(key) {
        Ok(list) => list.into_iter().map(|n| u32::try_from(n).unwrap_or(0)).collect(),
        Err(_) => gguf.array::<u32>(key)?,
    };
    Ok(PerLayer::from_list(list))
}

/// Refuses a number of layers that the file cannot have, before a list of their tensors is made.
fn justify_layers(gguf: &Gguf, shape: &ModelShape) -> Result<(), ShapeError> {
    let n_tensors = gguf.tensors().len();
    if shape.n_layer as usize <= n_tensors {
        return Ok(());
    }
    let message = format!("found {}, the file has {n_tensors} tensors in all", shape.n_layer);
    Err(ShapeError {
        name: shape.name.clone(),
        problems: vec![ShapeProblem { field: "n_layer", message }],
    })
}

/// Refuses what a file may ask for and nothing here computes: its logits would be those of another
/// model. `shape` is valid, and what the file says otherwise.
fn refuse_what_is_not_computed(
    gguf: &Gguf,
    key: &impl Fn(&str) -> String,
    shape: &ModelShape,
) -> Result<(), ModelError> {
    let refuse = |what: String| Err(ModelError::Unsupported { what });
    if gguf.opt_bool(&key("attention.causal"))? == Some(false) {
        return refuse(format!("attention to later tokens ({} is false)", key("attention.causal")));
    }
    if let Some(n @ 1..) = gguf.opt_u32(&key("nextn_predict_layers"))? {
        let name = key("nextn_predict_layers");
        return refuse(format!(
            "layers beside the model's that predict further tokens ({name}: {n})"
        ));
    }
    if shape.n_swa.is_some() && (0..shape.n_layer).any(|layer| shape.arch.slides(layer)) {
        refuse_other_windows(gguf, key, shape)?;
    }
    let factor = gguf.opt_f32(&key("rope.scaling.attn_factor"))?.filter(|factor| *factor != 1.0);
    let is_left_out = shape.arch.rotates() && !gguf.has_tensor("rope_factors_long.weight");
    if let Some(factor) = factor.filter(|_| is_left_out) {
        let name = key("rope.scaling.attn_factor");
        return refuse(format!("{name} {factor} without factors for long contexts"));
    }
    let is_long = gguf.opt_str(&key("rope.scaling.type"))? == Some("longrope");
    match rope_factor(gguf, key)?.filter(|_| is_long) {
        Some(factor) => refuse(format!("longrope with {} {factor}", key("rope.scaling.factor"))),
        None => Ok(()),
    }
}

/// Refuses windows in other layers than the architecture has them in, and what only such layers would
/// have of their own.
fn refuse_other_windows(
    gguf: &Gguf,
    key: &impl Fn(&str) -> String,
    shape: &ModelShape,
) -> Result<(), ModelError> {
    let (arch, layers) = (shape.arch, 0..shape.n_layer);
    let refuse = |what: String| Err(ModelError::Unsupported { what });
    let name = "attention.sliding_window_pattern";
    if gguf.get(&key(name)).is_some() {
        let slides: Vec<bool> = match gguf.array_len(&key(name)) {
            Some(_) => gguf.array(&key(name))?,
            None => {
                let step = gguf.u32(&key(name))?;
                layers.clone().map(|layer| step == 0 || layer % step + 1 < step).collect()
            }
        };
        if !layers.map(|layer| arch.slides(layer)).eq(slides) {
            return refuse(format!("windows in other layers than those of {arch} ({})", key(name)));
        }
    }
    for (name, usual) in [
        ("attention.key_length_swa", shape.head_dim),
        ("attention.value_length_swa", shape.value_dim()),
        ("rope.dimension_count_swa", shape.n_rot),
    ] {
        if let Some(found) = gguf.opt_u32(&key(name))?.filter(|found| *found != usual) {
            let name = key(name);
            return refuse(format!(
                "{name} of {found}, where layers without a window have {usual},"
            ));
        }
    }
    let name = "rope.freq_base_swa";
    let base = gguf.opt_f32(&key(name))?.map(shortest);
    if let Some(found) =
        base.filter(|base| !arch.has_key(name) && Some(*base) != shape.rope_freq_base)
    {
        let (name, usual) = (key(name), shape.rope_freq_base.unwrap_or_default());
        return refuse(format!("{name} of {found}, where layers without a window have {usual},"));
    }
    // llama.cpp leaves the factor out in layers without a window alone.
    let is_none = gguf.opt_str(&key("rope.scaling.type"))? == Some("none");
    if let Some(factor) = rope_factor(gguf, key)?.filter(|_| is_none && !arch.has_key(name)) {
        let (kind, name) = (key("rope.scaling.type"), key("rope.scaling.factor"));
        return refuse(format!("{kind} `none` beside {name} of {factor}"));
    }
    Ok(())
}

/// What positions are divided by, under the newer key or the older one, which llama.cpp looks for
/// only where the newer is not there. Neither 0 nor 1 divides.
fn rope_factor(gguf: &Gguf, key: &impl Fn(&str) -> String) -> Result<Option<f32>, ModelError> {
    let factor = match gguf.opt_f32(&key("rope.scaling.factor"))? {
        None => gguf.opt_f32(&key("rope.scale_linear"))?,
        found => found,
    };
    Ok(factor.filter(|factor| ![0.0, 1.0].contains(factor)))
}

fn rope_scaling(
    gguf: &Gguf,
    key: &impl Fn(&str) -> String,
) -> Result<Option<RopeScaling>, ModelError> {
    match gguf.opt_str(&key("rope.scaling.type"))? {
        // Whether there are two sets of factors is seen from the tensors.
        Some("none" | "longrope") => {}
        // Without a type llama.cpp scales linearly.
        None | Some("linear") => {
            if let Some(factor) = rope_factor(gguf, key)? {
                return Ok(Some(RopeScaling::Linear { factor: shortest(factor) }));
            }
        }
        Some(kind) => {
            let what = format!("rotary scaling of type `{kind}` ({})", key("rope.scaling.type"));
            return Err(ModelError::Unsupported { what });
        }
    }
    if gguf.has_tensor("rope_factors_long.weight") {
        let n_ctx_orig = gguf.opt_u32(&key("rope.scaling.original_context_length"))?;
        let attn_factor = gguf.opt_f32(&key("rope.scaling.attn_factor"))?.unwrap_or(1.0);
        return Ok(Some(RopeScaling::LongRope {
            n_ctx_orig: n_ctx_orig.map_or_else(|| gguf.u32(&key("context_length")), Ok)?,
            attn_factor: shortest(attn_factor),
        }));
    }
    Ok(gguf.has_tensor("rope_freqs.weight").then_some(RopeScaling::Factors))
}

/// The double whose decimal digits are those of the single: 1e-5 and not 9.999999747378752e-6.
fn shortest(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ggml::GgmlType;
    use crate::gguf::GgufWriter;
    use crate::model::MetaValue;
    use crate::model::fixtures::small;

    /// The header of a small model; `change` sees each of its numbers first.
    fn file(shape: &ModelShape, change: impl Fn(&str, u32) -> Option<u32>) -> Gguf {
        file_with(shape, change, &[])
    }

    /// The same with more keys, or with others instead of the usual.
    fn file_with(
        shape: &ModelShape,
        change: impl Fn(&str, u32) -> Option<u32>,
        more: &[(&str, MetaValue)],
    ) -> Gguf {
        let mut w = GgufWriter::new();
        w.set_str("general.architecture", shape.arch.name()).set_str("general.name", "small");
        let named = |name: &str| format!("{}.{name}", shape.arch);
        for (key, value) in shape.metadata() {
            let name = &key[shape.arch.name().len() + 1..];
            let value = match value {
                _ if more.iter().any(|(other, _)| *other == name) => None,
                MetaValue::U32(v) => change(name, v).map(MetaValue::U32),
                value => Some(value),
            };
            if let Some(value) = value {
                value.write(&mut w, &key);
            }
        }
        more.iter().for_each(|(name, value)| value.write(&mut w, &named(name)));
        let mut n = 0;
        for tensor in shape.tensors() {
            w.tensor(&tensor.name, &tensor.dims, GgmlType::F32);
            n += 4 * tensor.n_elements().next_multiple_of(8);
        }
        let mut bytes = Vec::new();
        let _ = w.start(&mut bytes).unwrap();
        bytes.resize(bytes.len() + n as usize, 0);
        Gguf::parse(bytes).unwrap()
    }

    fn said(arch: Arch, field: &str, value: u32) -> String {
        let change = |name: &str, v| Some(if name == field { value } else { v });
        ModelShape::from_gguf(&file(&small(arch), change)).unwrap_err().to_string()
    }

    #[test]
    fn a_header_tells_the_shape_of_every_architecture() {
        for &arch in Arch::ALL {
            let shape = small(arch);
            assert_eq!(ModelShape::from_gguf(&file(&shape, |_, v| Some(v))).unwrap(), shape);
        }
        let factors = Some(RopeScaling::Factors);
        let shape = ModelShape { rope_scaling: factors, ..small(Arch::Llama) };
        assert_eq!(ModelShape::from_gguf(&file(&shape, |_, v| Some(v))).unwrap(), shape);
        let long = Some(RopeScaling::LongRope { n_ctx_orig: 64, attn_factor: 1.19 });
        let shape = ModelShape { rope_scaling: long, ..small(Arch::Phi3) };
        assert_eq!(ModelShape::from_gguf(&file(&shape, |_, v| Some(v))).unwrap(), shape);
        let biased = ModelShape { qkv_bias: true, ..small(Arch::Stablelm) };
        assert_eq!(ModelShape::from_gguf(&file(&biased, |_, v| Some(v))).unwrap(), biased);
        let mixed = ModelShape {
            n_ff: PerLayer::Each(vec![32, 96]),
            n_head: PerLayer::Each(vec![2, 4]),
            n_head_kv: PerLayer::Each(vec![1, 2]),
            ..small(Arch::Openelm)
        };
        assert_eq!(ModelShape::from_gguf(&file(&mixed, |_, v| Some(v))).unwrap(), mixed);
    }

    #[test]
    fn a_rope_factor_without_a_type_is_linear_scaling() {
        for name in ["rope.scaling.factor", "rope.scale_linear"] {
            let read = |factor| {
                let file = file_with(
                    &small(Arch::Llama),
                    |_, v| Some(v),
                    &[(name, MetaValue::F32(factor))],
                );
                ModelShape::from_gguf(&file).unwrap().rope_scaling
            };
            assert_eq!((read(0.0), read(1.0)), (None, None));
            assert_eq!(read(4.0), Some(RopeScaling::Linear { factor: 4.0 }));
        }
    }

    #[test]
    fn the_older_key_of_a_rope_factor_is_read_where_the_newer_one_is_not_there() {
        let both = [
            ("rope.scaling.factor", MetaValue::F32(1.0)),
            ("rope.scale_linear", MetaValue::F32(4.0)),
        ];
        let read = |keys: &[(&str, MetaValue)]| {
            let file = file_with(&small(Arch::Llama), |_, v| Some(v), keys);
            ModelShape::from_gguf(&file).unwrap().rope_scaling
        };
        assert_eq!(read(&both), None);
        assert_eq!(read(&both[1..]), Some(RopeScaling::Linear { factor: 4.0 }));
    }

    #[test]
    fn nonsense_is_refused_and_named() {
        assert!(said(Arch::Llama, "attention.head_count", 0).contains("n_head: found 0"));
        assert!(said(Arch::Llama, "attention.head_count_kv", 3).contains("cannot share 3 evenly"));
        assert!(said(Arch::Llama, "embedding_length", 4_000_000).contains("n_embd: found 4000000"));
        assert!(
            said(Arch::Llama, "embedding_length", 60)
                .contains("n_rot: found 16, allowed are 2 to 15")
        );
        assert!(said(Arch::Qwen2, "block_count", 3).contains("tensor `blk.2."));
        let error = said(Arch::Llama, "feed_forward_length", 128);
        assert_eq!(
            error,
            "tensor `blk.0.ffn_down.weight` has dimensions [96, 64], the metadata says [128, 64]"
        );
        let mut w = GgufWriter::new();
        w.set_str("general.architecture", "mamba");
        let mut bytes = Vec::new();
        let _ = w.start(&mut bytes).unwrap();
        let error = ModelShape::from_gguf(&Gguf::parse(bytes).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("architecture `mamba`, known are llama, smollm3"), "{error}");
        let absent = |name: &str, v| (name != "block_count").then_some(v);
        let error =
            ModelShape::from_gguf(&file(&small(Arch::Llama), absent)).unwrap_err().to_string();
        assert_eq!(error, "key `llama.block_count`: the key is missing");
    }

    #[test]
    fn more_layers_than_the_file_can_have_are_refused_before_anything_is_made_of_them() {
        for (arch, found) in [(Arch::Llama, 4096), (Arch::Gemma2, 4096), (Arch::Gpt2, 400)] {
            let error = said(arch, "block_count", found);
            let expected = format!("n_layer: found {found}, the file has ");
            assert!(error.contains(&expected), "{error}");
        }
        // The pattern of windows is a step: it would be a list of four thousand million truths.
        let pattern = ("attention.sliding_window_pattern", MetaValue::U32(2));
        let all = |name: &str, v| Some(if name == "block_count" { u32::MAX } else { v });
        let file = file_with(&small(Arch::Gemma2), all, &[pattern]);
        let error = ModelShape::from_gguf(&file).unwrap_err().to_string();
        assert!(error.contains("n_layer: found 4294967295, allowed are 1 to 4096"), "{error}");
    }

    #[test]
    fn a_long_list_of_nonsense_is_told_in_a_line() {
        let lists = |n: usize| {
            let list = (0..n as i32).collect();
            let absent = |name: &str, v| (name != "attention.head_count").then_some(v);
            let named = ("attention.head_count", MetaValue::I32s(list));
            let file = file_with(&small(Arch::Openelm), absent, &[named]);
            ModelShape::from_gguf(&file).unwrap_err().to_string()
        };
        assert_eq!(lists(10_000), "model `small`: n_head: found 10000 numbers for 2 layers");
        assert_eq!(lists(2), "model `small`: n_head: found 0, allowed are 1 to 4096");
    }

    #[test]
    fn a_part_of_a_split_model_is_told_as_that_though_it_has_no_metadata() {
        let mut w = GgufWriter::new();
        w.set("split.no", 1u16).set("split.count", 3u16).set("split.tensors.count", 1i32);
        w.tensor("blk.1.ffn_up.weight", &[0], GgmlType::F32);
        let file = Gguf::parse(w.start(Vec::new()).unwrap().finish().unwrap()).unwrap();
        let error = ModelShape::from_gguf(&file).unwrap_err().to_string();
        assert!(error.starts_with("one of 3 files of a split model\nhint: "), "{error}");
    }

    /// Every key by which llama.cpp would compute otherwise than this program can.
    #[test]
    fn what_a_file_asks_for_and_nobody_computes_is_refused_with_the_key() {
        use MetaValue::{Bool, F32, Str, U32};
        let said = |arch: Arch, name: &str, value: MetaValue| {
            let file = file_with(&small(arch), |_, v| Some(v), &[(name, value)]);
            ModelShape::from_gguf(&file).err().map(|e| e.to_string()).unwrap_or_default()
        };
        let word = |word: &str| Str(word.to_owned());
        for (arch, name, value) in [
            (Arch::Llama, "expert_count", U32(8)),
            (Arch::Qwen2, "attention.causal", Bool(false)),
            (Arch::Qwen3, "nextn_predict_layers", U32(1)),
            (Arch::Gemma2, "attention.sliding_window", U32(0)),
            (Arch::Gemma2, "attention.sliding_window_pattern", U32(3)),
            (Arch::Gemma3, "attention.sliding_window_pattern", U32(2)),
            (Arch::Gemma3, "attention.key_length_swa", U32(8)),
            (Arch::Gemma2, "attention.value_length_swa", U32(8)),
            (Arch::Gemma2, "rope.dimension_count_swa", U32(8)),
            (Arch::Gemma2, "rope.freq_base_swa", F32(1e6)),
            (Arch::Llama, "rope.scaling.type", word("yarn")),
            (Arch::Gptneox, "rope.scaling.type", word("yarn")),
            (Arch::Llama, "rope.scaling.attn_factor", F32(1.5)),
        ] {
            let error = said(arch, name, value);
            let names_the_key = error.contains(&format!("{arch}.{name}"));
            assert!(
                names_the_key && error.contains(" is not supported\nhint: "),
                "{arch} {name}: {error}"
            );
        }
        // Without positions turned as the type says, llama.cpp still divides them in windows.
        let both = [("rope.scaling.type", word("none")), ("rope.scaling.factor", F32(4.0))];
        for arch in [Arch::Gemma2, Arch::Gemma3, Arch::Llama] {
            let file = file_with(&small(arch), |_, v| Some(v), &both);
            let error = ModelShape::from_gguf(&file).err().map(|e| e.to_string());
            let is_refused = error.is_some_and(|e| e.contains("gemma2.rope.scaling.factor of 4"));
            assert_eq!(is_refused, arch == Arch::Gemma2, "{arch}");
        }
        // The same keys where they ask for nothing else, or where nobody reads them.
        for (arch, name, value) in [
            (Arch::Llama, "expert_count", U32(0)),
            (Arch::Qwen2, "attention.causal", Bool(true)),
            (Arch::Qwen3, "nextn_predict_layers", U32(0)),
            (Arch::Gemma3, "attention.sliding_window", U32(0)),
            (Arch::Gemma2, "attention.sliding_window_pattern", U32(2)),
            (Arch::Gemma3, "attention.sliding_window_pattern", U32(6)),
            (Arch::Llama, "attention.sliding_window_pattern", U32(3)),
            (Arch::Gemma3, "attention.key_length_swa", U32(16)),
            (Arch::Gemma2, "rope.dimension_count_swa", U32(16)),
            (Arch::Gemma2, "rope.freq_base_swa", F32(1e4)),
            (Arch::Gemma3, "rope.freq_base_swa", F32(1e6)),
            (Arch::Llama, "rope.freq_base_swa", F32(1e6)),
            (Arch::Llama, "rope.scaling.attn_factor", F32(1.0)),
            (Arch::Bloom, "rope.scaling.attn_factor", F32(1.5)),
            (Arch::Llama, "rope.scaling.finetuned", Bool(true)),
        ] {
            assert_eq!(said(arch, name, value), "", "{arch} {name}");
        }
    }

    #[test]
    fn windows_slide_in_every_other_layer_of_gemma2_and_in_five_of_six_of_gemma3() {
        let slides = |arch: Arch| -> Vec<bool> { (0..7).map(|layer| arch.slides(layer)).collect() };
        assert_eq!(slides(Arch::Gemma2), [true, false, true, false, true, false, true]);
        assert_eq!(slides(Arch::Gemma3), [true, true, true, true, true, false, true]);
        let others = Arch::ALL.iter().filter(|a| ![Arch::Gemma2, Arch::Gemma3].contains(a));
        others.for_each(|arch| assert_eq!(slides(*arch), [false; 7], "{arch}"));
    }

    #[test]
    fn a_window_that_is_not_named_is_the_one_that_llama_cpp_presumes() {
        let window = |arch: Arch| {
            let absent = |name: &str, v| (name != "attention.sliding_window").then_some(v);
            ModelShape::from_gguf(&file(&small(arch), absent)).unwrap().n_swa
        };
        assert_eq!(window(Arch::Gemma2), Some(4096));
        assert_eq!([Arch::Gemma3, Arch::Llama].map(window), [None, None]);
    }
}
