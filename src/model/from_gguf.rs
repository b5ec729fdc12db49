//! The shape of a model as its GGUF header tells it.

use super::{Arch, ModelShape, RopeScaling, ShapeError};
use crate::gguf::{Gguf, GgufError};

/// Why a GGUF file has no shape this program understands.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A key or tensor is missing or of another type.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Another family.
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
    #[error("{what} is not supported")]
    Unsupported {
        /// What the file asks for.
        what: String,
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
    /// Numbers that no model can have.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl ModelShape {
    /// Reads the shape from a file's metadata, and holds the tensors' dimensions against it.
    ///
    /// Frequencies scaled for long contexts are stored in GGUF as a tensor; the shape then says
    /// [`RopeScaling::Factors`], since what they were computed from is not in the file.
    pub fn from_gguf(gguf: &Gguf) -> Result<ModelShape, ModelError> {
        let found = gguf.str("general.architecture")?;
        let arch =
            Arch::from_name(found).ok_or_else(|| ModelError::Arch { found: found.to_owned() })?;
        let key = |name: &str| format!("{arch}.{name}");

        if let Some(n @ 1..) = gguf.opt_u32(&key("expert_count"))? {
            return Err(ModelError::Unsupported { what: format!("a mixture of {n} experts") });
        }
        let n_embd = gguf.u32(&key("embedding_length"))?;
        let n_head = gguf.u32(&key("attention.head_count"))?;
        let even_share = n_embd.checked_div(n_head).unwrap_or(0);
        let head_dim = gguf.opt_u32(&key("attention.key_length"))?.unwrap_or(even_share);
        let value_dim = gguf.opt_u32(&key("attention.value_length"))?.unwrap_or(even_share);
        if value_dim != head_dim {
            return Err(ModelError::Unsupported {
                what: format!("heads of {head_dim} key and {value_dim} value elements"),
            });
        }
        let embedding = gguf.tensor("token_embd.weight")?;
        let n_vocab = embedding.dims.get(1).copied().unwrap_or(0);
        let name = match gguf.opt_str("general.name")? {
            Some(name) if !name.is_empty() => name,
            _ => arch.name(),
        };
        let shape = ModelShape {
            name: name.to_owned(),
            arch,
            n_layer: gguf.u32(&key("block_count"))?,
            n_embd,
            n_ff: gguf.u32(&key("feed_forward_length"))?,
            n_head,
            n_head_kv: gguf.opt_u32(&key("attention.head_count_kv"))?.unwrap_or(n_head),
            head_dim,
            n_rot: gguf.opt_u32(&key("rope.dimension_count"))?.unwrap_or(head_dim),
            n_vocab: u32::try_from(n_vocab).unwrap_or(u32::MAX),
            n_ctx_train: gguf.u32(&key("context_length"))?,
            tied_output: !gguf.has_tensor("output.weight"),
            rope_freq_base: shortest(gguf.opt_f32(&key("rope.freq_base"))?.unwrap_or(10_000.0)),
            rope_scaling: rope_scaling(gguf, &key)?,
            norm_eps: shortest(gguf.f32(&key("attention.layer_norm_rms_epsilon"))?),
        };
        shape.validate()?;
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

fn rope_scaling(
    gguf: &Gguf,
    key: &impl Fn(&str) -> String,
) -> Result<Option<RopeScaling>, ModelError> {
    match gguf.opt_str(&key("rope.scaling.type"))? {
        Some("none") => {}
        // Without a type llama.cpp scales linearly, by the newer key or the older one.
        None => {
            for name in ["rope.scaling.factor", "rope.scale_linear"].map(key) {
                let factor = gguf.opt_f32(&name)?.unwrap_or(0.0);
                if factor != 0.0 && factor != 1.0 {
                    let what = format!("linear rope scaling (`{name}` is {factor})");
                    return Err(ModelError::Unsupported { what });
                }
            }
        }
        Some(kind) => {
            return Err(ModelError::Unsupported { what: format!("rope scaling of type `{kind}`") });
        }
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

    /// Writes a model of two layers; `change` sees each of its numbers first.
    fn file(arch: &str, change: impl Fn(&str, u32) -> Option<u32>) -> Gguf {
        file_with(arch, change, &[])
    }

    /// The same with more keys.
    fn file_with(
        arch: &str,
        change: impl Fn(&str, u32) -> Option<u32>,
        more: &[(&str, f32)],
    ) -> Gguf {
        let mut w = GgufWriter::new();
        w.set_str("general.architecture", arch).set_str("general.name", "small");
        for (name, value) in [
            ("block_count", 2),
            ("embedding_length", 64),
            ("feed_forward_length", 96),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
            ("context_length", 128),
        ] {
            if let Some(value) = change(name, value) {
                w.set(&format!("{arch}.{name}"), value);
            }
        }
        w.set(&format!("{arch}.attention.layer_norm_rms_epsilon"), 1e-5f32);
        for &(name, value) in more {
            w.set(&format!("{arch}.{name}"), value);
        }
        let shape = ModelShape {
            name: String::new(),
            arch: Arch::from_name(arch).unwrap_or(Arch::Llama),
            n_layer: 2,
            n_embd: 64,
            n_ff: 96,
            n_head: 4,
            n_head_kv: 2,
            head_dim: 16,
            n_rot: 16,
            n_vocab: 300,
            n_ctx_train: 128,
            tied_output: true,
            rope_freq_base: 1e4,
            rope_scaling: Some(RopeScaling::Factors),
            norm_eps: 1e-5,
        };
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

    fn said(arch: &str, field: &str, value: u32) -> String {
        let change = |name: &str, v| Some(if name == field { value } else { v });
        ModelShape::from_gguf(&file(arch, change)).unwrap_err().to_string()
    }

    #[test]
    fn a_header_tells_the_shape() {
        for arch in Arch::ALL {
            let shape = ModelShape::from_gguf(&file(arch.name(), |_, v| Some(v))).unwrap();
            assert_eq!((shape.name.as_str(), shape.arch), ("small", arch));
            assert_eq!((shape.head_dim, shape.n_rot, shape.n_vocab), (16, 16, 300));
            assert!(shape.tied_output);
            assert_eq!(shape.rope_scaling, Some(RopeScaling::Factors));
            assert_eq!(shape.norm_eps, 1e-5);
        }
    }

    #[test]
    fn a_rope_factor_without_a_type_is_linear_scaling_and_refused() {
        for name in ["rope.scaling.factor", "rope.scale_linear"] {
            let read = |factor| {
                let file = file_with("llama", |_, v| Some(v), &[(name, factor)]);
                ModelShape::from_gguf(&file).map_err(|e| e.to_string())
            };
            assert!(read(0.0).is_ok() && read(1.0).is_ok());
            let expected = format!("linear rope scaling (`llama.{name}` is 4) is not supported");
            assert_eq!(read(4.0).unwrap_err(), expected);
        }
    }

    #[test]
    fn nonsense_is_refused_and_named() {
        assert!(said("llama", "attention.head_count", 0).contains("n_head: found 0"));
        assert!(said("llama", "attention.head_count_kv", 3).contains("cannot share 3 evenly"));
        assert!(said("llama", "embedding_length", 4_000_000).contains("n_embd: found 4000000"));
        assert!(said("llama", "embedding_length", 60).contains("head_dim: found 15, must be even"));
        assert!(said("qwen2", "block_count", 3).contains("tensor `blk.2."));
        let error = said("llama", "feed_forward_length", 128);
        assert_eq!(
            error,
            "tensor `blk.0.ffn_down.weight` has dimensions [96, 64], the metadata says [128, 64]"
        );
        let error = said("mamba", "", 0);
        assert!(error.starts_with("architecture `mamba`, known are llama, qwen2"), "{error}");
        let absent = |name: &str, v| (name != "block_count").then_some(v);
        let error = ModelShape::from_gguf(&file("llama", absent)).unwrap_err().to_string();
        assert_eq!(error, "key `llama.block_count`: the key is missing");
    }
}
