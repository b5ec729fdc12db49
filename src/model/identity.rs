//! Which model exactly a number belongs to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{FileMix, ModelShape, type_shares, types_in_words};
use crate::gguf::{Gguf, GgufError};

/// A model file's identity: part of every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelIdentity {
    /// `synthetic` or `file`.
    pub origin: String,
    /// SHA-256 of the file's content where it is a user's file; of the shape where synthetic.
    pub hash: String,
    /// Seed of synthetic weights.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seed: Option<u64>,
    /// Version of the synthesiser that wrote them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub synth_version: Option<u32>,
    /// GGUF name of the architecture.
    pub arch: String,
    /// Unique parameters: a duplicated tied embedding counts once.
    pub n_params: u64,
    /// Parameters as llama.cpp counts them: every element of every tensor.
    pub n_params_llama_cpp: u64,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
    /// 8 × weight bytes ÷ unique parameters.
    pub bits_per_weight: f64,
    /// Bytes by tensor type, by its ggml name.
    pub type_bytes: BTreeMap<String, u64>,
}

impl ModelIdentity {
    /// The identity of a file with synthetic weights.
    pub fn of_synthetic(
        shape: &ModelShape,
        mix: FileMix,
        seed: u64,
        synth_version: u32,
    ) -> ModelIdentity {
        let tensors = mix.tensors(shape);
        let n_params = shape.n_params();
        let type_bytes = mix.type_bytes(shape);
        let weight_bytes = type_bytes.values().sum();
        ModelIdentity {
            origin: "synthetic".to_owned(),
            hash: shape.hash(),
            seed: Some(seed),
            synth_version: Some(synth_version),
            arch: shape.arch.name().to_owned(),
            n_params,
            n_params_llama_cpp: tensors.iter().map(|(t, _)| t.n_elements()).sum(),
            weight_bytes,
            bits_per_weight: bits_per_weight(weight_bytes, n_params),
            type_bytes: type_bytes.into_iter().map(|(ty, n)| (ty.name().to_owned(), n)).collect(),
        }
    }

    /// The identity of a user's file, whose content has the hash `sha256`. Of a file that names
    /// no architecture it is `unknown`.
    ///
    /// An output head that repeats the embedding byte for byte counts once among the unique
    /// parameters. One that repeats it in another type cannot be told from one of its own.
    pub fn of_file(gguf: &Gguf, sha256: String) -> Result<ModelIdentity, GgufError> {
        let (mut all, mut weight_bytes) = (0u64, 0u64);
        let mut type_bytes = BTreeMap::<String, u64>::new();
        let mut factors = 0;
        for tensor in gguf.tensors() {
            all = all.saturating_add(tensor.n_elements());
            weight_bytes = weight_bytes.saturating_add(tensor.bytes);
            let sum = type_bytes.entry(tensor.ty.name().to_owned()).or_default();
            *sum = sum.saturating_add(tensor.bytes);
            if tensor.name.starts_with("rope_") {
                factors += tensor.n_elements();
            }
        }
        let n_params = all - factors - duplicated_head(gguf);
        Ok(ModelIdentity {
            origin: "file".to_owned(),
            hash: sha256,
            seed: None,
            synth_version: None,
            arch: gguf.opt_str("general.architecture")?.unwrap_or("unknown").to_owned(),
            n_params,
            n_params_llama_cpp: all,
            weight_bytes,
            bits_per_weight: bits_per_weight(weight_bytes, n_params),
            type_bytes,
        })
    }
}

impl ModelIdentity {
    /// Types with their share of the bytes, 0 to 1, the largest first.
    pub fn type_shares(&self) -> Vec<(String, f64)> {
        type_shares(&self.type_bytes)
    }

    /// `66% Q4_0, 33% Q8_0`: the types that make at least half a percent.
    pub fn types_in_words(&self) -> String {
        types_in_words(&self.type_bytes)
    }
}

impl ModelShape {
    /// SHA-256 of every field, in lower-case hexadecimal.
    pub fn hash(&self) -> String {
        let text = serde_json::to_string(self).expect("a shape is always valid JSON");
        hex(&Sha256::digest(text.as_bytes()))
    }
}

/// Elements of an output head that is a copy of the token embedding; 0 where it is not.
fn duplicated_head(gguf: &Gguf) -> u64 {
    let (Some(head), Some(embedding)) =
        (gguf.header().tensor("output.weight"), gguf.header().tensor("token_embd.weight"))
    else {
        return 0;
    };
    let same = head.ty == embedding.ty
        && head.dims == embedding.dims
        && gguf.data_of(head) == gguf.data_of(embedding);
    if same { head.n_elements() } else { 0 }
}

fn bits_per_weight(bytes: u64, n_params: u64) -> f64 {
    if n_params == 0 { 0.0 } else { 8.0 * bytes as f64 / n_params as f64 }
}

/// SHA-256 of a file's content in lower-case hexadecimal, read in pieces. `progress` hears how
/// many bytes have been read.
pub fn file_sha256(path: &Path, mut progress: impl FnMut(u64)) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(n) => {
                hasher.update(&piece[..n]);
                done += n as u64;
                progress(done);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ggml::GgmlType;
    use crate::gguf::GgufWriter;
    use crate::model::{Catalogue, Rules};

    #[test]
    fn a_synthetic_model_is_known_by_its_shape() {
        let catalogue = Catalogue::built_in().unwrap();
        let shape = catalogue.get("Llama-3.2-1B").unwrap();
        let id = ModelIdentity::of_synthetic(shape, FileMix::Q4_0, 7, 1);
        assert_eq!(id.n_params, 1_235_814_400);
        assert_eq!(id.n_params_llama_cpp, 1_235_814_432);
        assert_eq!(id.type_bytes.values().sum::<u64>(), id.weight_bytes);
        assert!((id.bits_per_weight - 4.94).abs() < 0.005);
        let qwen = catalogue.get("Qwen1.5-0.5B").unwrap();
        let survey = FileMix::Q4_K_M.by(Rules::Mid2024);
        let id = ModelIdentity::of_synthetic(qwen, survey, 7, 1);
        assert_eq!((id.n_params, id.n_params_llama_cpp), (463_987_712, 619_570_176));
        let other = ModelShape { norm_eps: 1e-6, ..shape.clone() };
        assert_ne!(other.hash(), shape.hash());
    }

    #[test]
    fn a_copied_embedding_counts_once_among_unique_parameters() {
        let file = |head: &[u8]| {
            let mut w = GgufWriter::new();
            w.tensor("output.weight", &[2, 3], GgmlType::F32).tensor(
                "token_embd.weight",
                &[2, 3],
                GgmlType::F32,
            );
            let mut stream = w.start(Vec::new()).unwrap();
            stream.write(head).unwrap();
            stream.write(&[1; 24]).unwrap();
            Gguf::parse(stream.finish().unwrap()).unwrap()
        };
        let id = |head| ModelIdentity::of_file(&file(head), "abc".into()).unwrap();
        assert_eq!((id(&[1; 24]).n_params, id(&[1; 24]).n_params_llama_cpp), (6, 12));
        assert_eq!(id(&[2; 24]).n_params, 12);
        assert_eq!(id(&[2; 24]).arch, "unknown");
    }

    #[test]
    fn a_files_hash_is_that_of_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"abc").unwrap();
        let mut heard = 0;
        let hash = file_sha256(&path, |n| heard = n).unwrap();
        assert!(hash.starts_with("ba7816bf8f01cfea414140de5dae2223"));
        assert_eq!(heard, 3);
    }
}
